"""One network of a fitted rung, layer by layer: what each unit sums up, with gradients down to the image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Num
from torch import Tensor

from ..architecture import ConvolutionLayer, split_channels
from ..errors import InputError
from ..rungs import filters
from ..rungs.dense import ACTIVATIONS
from ..rungs.logistic import LogisticClassifier
from ..rungs.networks import DenseClassifier, NetworkClassifier
from ..rungs.pixels import unrolled
from ..rungs.recipe import ActivationName

_NULL = 0x0DD  # keeps random weights apart from what else a seed is used for


@dataclass(frozen=True, eq=False)
class LayeredNetwork:
    """A network as its layers; the output is the last, and for two classes one unit, the log odds of the second.

    A unit of a dense layer is a node. A unit of a convolution is a channel: it does the same at every position, so that
    what is said of one position holds of all but the rim's.
    """

    image_shape: tuple[int, ...]
    activation: ActivationName
    is_standardised: bool
    weights: tuple[tuple[Float32[Tensor, "..."], Float32[Tensor, " after"]], ...]
    """Weights and biases as in `rungs.training.Network`: (before, after) if dense, (after, before, …) if not."""
    convolutions: tuple[ConvolutionLayer, ...] | None = None
    centre: Float[np.ndarray, " channel"] | None = None
    scale: Float[np.ndarray, " channel"] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the layers, those that `extractor` takes."""
        kind = "hidden" if self.convolutions is None else "convolution"
        return (*(f"{kind}{place}" for place in range(1, len(self.weights))), "output")

    @property
    def units(self) -> tuple[int, ...]:
        """Units of each layer."""
        return tuple(len(bias) for _, bias in self.weights)

    @property
    def grid(self) -> tuple[int, ...]:
        """Positions of an image along each axis, channels apart."""
        return split_channels(self.image_shape)[0]

    @property
    def channels(self) -> int:
        """Channels of an image."""
        return split_channels(self.image_shape)[1]

    @property
    def seen_shape(self) -> tuple[int, ...]:
        """Shape of one image as the network sees it."""
        if self.convolutions is None:
            return (math.prod(self.image_shape),)
        return (self.channels, *self.grid)

    def see(self, images: Num[np.ndarray, "image ..."]) -> Float32[Tensor, "image ..."]:
        """Images as the first layer takes them: standardised; for convolutions with the channels first."""
        flat = torch.from_numpy(unrolled(images, self.is_standardised))
        if self.convolutions is None:
            return flat.float()
        assert self.centre is not None
        assert self.scale is not None
        return filters.see(flat, self.convolutions[0], self.centre, self.scale).contiguous()

    def to_image(self, seen: Float32[Tensor, "row ..."]) -> Float32[np.ndarray, "row *axis channel"]:
        """What stands beside each value that the network sees, such as a gradient, at its place in the image."""
        if self.convolutions is None:
            return seen.reshape(len(seen), *self.grid, self.channels).numpy()
        return seen.movedim(1, -1).contiguous().numpy()

    def sums(self, seen: Float32[Tensor, "row ..."], layer: int) -> Float32[Tensor, "row unit ..."]:
        """What each unit of a layer, counted from 0, adds up before its activation; of a convolution everywhere."""
        value = seen
        for place in range(layer):
            value = self._passed_on(value, place)
        return self._summed(value, layer)

    def values(self, seen: Float32[Tensor, "row ..."], layer: int) -> Float32[Tensor, "row unit ..."]:
        """What a layer passes on; of the output its sums."""
        is_output = layer == len(self.weights) - 1
        value = seen
        for place in range(layer):
            value = self._passed_on(value, place)
        return self._summed(value, layer) if is_output else self._passed_on(value, layer)

    def from_values(self, values: Float32[Tensor, "row unit ..."], layer: int) -> Float32[Tensor, "row output"]:
        """The output's sums, from what a hidden layer passed on."""
        for place in range(layer + 1, len(self.weights) - 1):
            values = self._passed_on(values, place)
        return self._summed(values, len(self.weights) - 1)

    def logits(self, seen: Float32[Tensor, "row ..."]) -> Float32[Tensor, "row output"]:
        """The output's sums."""
        return self.sums(seen, len(self.weights) - 1)

    def randomised(
        self, seed: int, seen: Float32[Tensor, "row ..."] | None = None, *, above: int = 0
    ) -> LayeredNetwork:
        """The same network with weights drawn as before training, in the layers from `above` (counted from 0) on.

        `seen` are images to centre a dense first layer on and to scale it by, as training does; without them it is not.
        """
        drawn = []
        for place, (weight, bias) in enumerate(self.weights):
            if place < above:
                drawn.append((weight, bias))
                continue
            rng = np.random.default_rng([seed, _NULL, place])
            fan_in = len(weight) if self.convolutions is None else weight[0].numel()
            gain = ACTIVATIONS[self.activation].gain
            normal = rng.standard_normal(tuple(weight.shape), dtype=np.float32) * np.float32(gain / math.sqrt(fan_in))
            new = torch.from_numpy(normal)
            shift = torch.zeros_like(bias)
            if place == 0 and self.convolutions is None and seen is not None:
                centre = seen.mean(dim=0)
                spread = float((seen - centre).square().mean().sqrt())
                new = new / (spread or 1.0)  # of one image nothing is left
                shift = -(centre @ new)
            drawn.append((new, shift))
        return replace(self, weights=tuple(drawn))

    def _summed(self, value: Float32[Tensor, "row ..."], layer: int) -> Float32[Tensor, "row unit ..."]:
        weight, bias = self.weights[layer]
        if self.convolutions is None:
            return torch.addmm(bias, value, weight)
        if layer == len(self.weights) - 1:
            return filters.answered(value, weight, bias)
        return filters.convolved(value, weight, bias, self.convolutions[layer + 1])

    def _passed_on(self, value: Float32[Tensor, "row ..."], layer: int) -> Float32[Tensor, "row unit ..."]:
        total = self._summed(value, layer)
        if self.convolutions is None:
            return ACTIVATIONS[self.activation].value(total)
        return filters.pooled(total, self.convolutions[layer + 1]).relu()


def networks_of(rung: Any, image_shape: Sequence[int]) -> tuple[LayeredNetwork, ...]:
    """The networks of a fitted rung, one a member: of `logistic` the one neuron (or one a class) that it is.

    Raises
    ------
    InputError
        The rung is no network, or one on other values than such an image has.
    """
    shape = tuple(image_shape)
    if isinstance(rung, LogisticClassifier):
        _require_values(rung.coef_.shape[1], shape)
        weight = (
            torch.from_numpy(rung.coef_.T.astype(np.float32)),
            torch.from_numpy(rung.intercept_.astype(np.float32)),
        )
        return (LayeredNetwork(shape, "sigmoid", False, (weight,)),)
    if not isinstance(rung, NetworkClassifier):
        raise _no_network(f"A {type(rung).__name__}.")
    _require_values(rung.n_features_in_, shape)
    ensemble = rung.ensemble_
    pairs = [
        tuple(
            (torch.from_numpy(weight).float(), torch.from_numpy(bias).float())
            for weight, bias in zip(network.weights, network.biases, strict=True)
        )
        for network in ensemble.members
    ]
    if isinstance(rung, DenseClassifier):
        return tuple(LayeredNetwork(shape, ensemble.activation, ensemble.is_standardised, one) for one in pairs)
    return tuple(
        LayeredNetwork(shape, "relu", ensemble.is_standardised, one, ensemble.layers, ensemble.centre, ensemble.scale)
        for one in pairs
    )


def _require_values(n_values: int, image_shape: tuple[int, ...]) -> None:
    if n_values != math.prod(image_shape):
        raise InputError(
            found=f"A network on {n_values:,} values.",
            needed=f"One on an image's {math.prod(image_shape):,}: what lies beside the pixels has no place in it.",
            do="Give the shape of the images that it learned from, or a rung that saw no covariates.",
        )


def _no_network(found: str) -> InputError:
    return InputError(
        found=found,
        needed="logistic, nn, dnn or cnn: other rungs have no layers to look into.",
        do="Choose one of these.",
    )
