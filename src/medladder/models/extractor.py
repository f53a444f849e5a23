"""The front of a network as a scikit-learn transformer, for another classifier to stand on.

A deep network is a feature extractor and a classifier learned together; cut at any layer, what is before the cut turns
images into features: `make_pipeline(extractor(dnn, "hidden2"), SVC())`.
"""

from __future__ import annotations

import math
from copy import copy
from typing import Any, Self

import numpy as np
from jaxtyping import Float32, Num
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_array

from medladder.architecture import split_channels
from medladder.errors import InputError, OptionError, unknown_name
from medladder.rungs.convolution import ConvolutionalNetworkClassifier
from medladder.rungs.networks import NetworkClassifier


def extractor(model: Any, layer: str | int) -> LayerExtractor:
    """Cut a fitted network after a layer, so that its front turns images into features.

    Parameters
    ----------
    model
        A fitted `nn`, `dnn` or `cnn`, or a model whose rung is one.
    layer
        A name from `layer_names`, or a place among them: -1 is the output, -2 the last layer before it.

    Raises
    ------
    InputError
        `model` is no network, or is not fitted.
    OptionError
        It has no such layer.
    """
    cut = LayerExtractor(model, layer)
    cut.get_feature_names_out()
    return cut


def layer_names(model: Any) -> list[str]:
    """Name the layers that a network can be cut after: `hidden1`, … or `convolution1`, …, and at last `output`.

    Raises
    ------
    InputError
        `model` is no network, or is not fitted.
    """
    network = _network_of(model)
    if isinstance(network, ConvolutionalNetworkClassifier):
        return [layer.name.replace(" ", "") for layer in network.ensemble_.layers[1:]]
    n_hidden = len(network.ensemble_.members[0].weights) - 1
    return [*(f"hidden{place}" for place in range(1, n_hidden + 1)), "output"]


class LayerExtractor(TransformerMixin, BaseEstimator):
    """Images to what a layer of a fitted network passes on, its members side by side.

    Of a hidden layer these are the nodes' values after the activation; of a convolution, the mean and the largest value
    of every map over its positions, as the network's own output sees the last one, so that features stay few; of the
    output, its sums before they become probabilities. There is nothing left to fit, and a clone keeps the network.
    """

    def __init__(self, model: Any, layer: str | int) -> None:
        self.model = model
        self.layer = layer

    def fit(self, X: ArrayLike, y: object = None) -> Self:  # noqa: ARG002
        """Learn nothing; raises as `transform` does."""
        self._place()
        _checked(self.model, X)
        return self

    def transform(self, X: ArrayLike) -> Float32[np.ndarray, "image feature"]:
        """Features of each image, the same whatever images are beside it.

        Raises
        ------
        InputError
            Images of another shape than the network learned from, or no fitted network.
        OptionError
            The network has no such layer.
        """
        place, images = self._place(), _checked(self.model, X)
        network = _network_of(self.model)
        if isinstance(network, ConvolutionalNetworkClassifier):
            from medladder.rungs import filters

            values = filters.layer_values(network.ensemble_, images, place)
        else:
            from medladder.rungs import fleet

            values = fleet.layer_values(network.ensemble_, images, place)
        return values.reshape(len(values), -1)

    def get_feature_names_out(self, input_features: object = None) -> np.ndarray:  # noqa: ARG002
        """Name the features, such as `member0_hidden2_17` or `member0_convolution4_largest17`, counted from 0."""
        network, place = _network_of(self.model), self._place()
        name = layer_names(network)[place - 1]
        kinds = ("mean", "largest") if name.startswith("convolution") else ("",)
        n_nodes = network.ensemble_.members[0].biases[place - 1].size
        names = [
            f"member{member}_{name}_{kind}{node}"
            for member in range(len(network.ensemble_.members))
            for kind in kinds
            for node in range(n_nodes)
        ]
        return np.array(names, dtype=object)

    def _place(self) -> int:
        """The layer's place, counted from 1."""
        names = layer_names(self.model)
        if isinstance(self.layer, str):
            if self.layer not in names:
                raise unknown_name("layer", self.layer, names)
            return names.index(self.layer) + 1
        is_place = isinstance(self.layer, int | np.integer) and not isinstance(self.layer, bool)
        if not is_place or not -len(names) <= self.layer < len(names):
            raise OptionError(
                found=f"Layer {self.layer!r}.",
                needed=f"A name, or a place from 0 to {len(names) - 1}: {', '.join(names)}.",
                do="Choose one of these.",
            )
        return int(self.layer) % len(names) + 1

    def __sklearn_clone__(self) -> Self:
        return copy(self)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.three_d_array = True
        return tags


def _network_of(model: Any) -> NetworkClassifier:
    network = model if isinstance(model, NetworkClassifier) else getattr(model, "rung", model)
    if not isinstance(network, NetworkClassifier):
        raise InputError(
            found=f"A {type(network).__name__}.",
            needed="A network (nn, dnn or cnn): other rungs have no layers to cut between.",
            do="Give a fitted network, or a model that holds one.",
        )
    if not hasattr(network, "ensemble_"):
        raise InputError(
            found=f"A {type(network).__name__} that is not fitted.",
            needed="A fitted network, whose layers have learned something.",
            do="Fit it first.",
        )
    return network


def _checked(model: Any, X: ArrayLike) -> Num[np.ndarray, "image ..."]:
    """Images, unrolled or not, of the shape that the network learned from, as far as it is known."""
    network = _network_of(model)
    images = check_array(X, ensure_2d=False, allow_nd=True, dtype="numeric")
    shape, needed = images.shape[1:], f"{network.n_features_in_} values"
    is_alike = bool(shape) and math.prod(shape) == network.n_features_in_
    if isinstance(network, ConvolutionalNetworkClassifier):
        first = network.ensemble_.layers[0]
        needed = f"{'×'.join(map(str, first.size))} positions with {needed} in all"
        is_alike = is_alike and (len(shape) == 1 or split_channels(shape) == (first.size, first.channels))
    if (
        known := getattr(getattr(model, "record", None), "shape", None)
    ) is not None:  # a model knows what its rung may not
        needed = "×".join(map(str, known))
        is_alike = is_alike and (len(shape) == 1 or shape == tuple(known))
    if not is_alike:
        raise InputError(
            found=f"An array of shape {'×'.join(map(str, images.shape))}.",
            needed=f"A row an image, of {needed} as the network learned from.",
            do="Bring the images to that size.",
        )
    return images
