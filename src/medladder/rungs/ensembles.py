"""What trained networks are kept as: plain arrays, which can be held, checked and written without torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Float32, Float64

from medladder.architecture import ConvolutionLayer
from medladder.rungs.recipe import ActivationName


@dataclass(frozen=True)
class Network:
    """One trained network, layer by layer, the output last: (before, after) if dense, (after, before, …) if not."""

    weights: tuple[Float32[np.ndarray, "..."], ...]
    biases: tuple[Float[np.ndarray, " after"], ...]

    @property
    def n_parameters(self) -> int:
        """Weights and biases."""
        return sum(array.size for array in (*self.weights, *self.biases))


@dataclass(frozen=True)
class DenseEnsemble:
    """The trained networks of one draw. They take images as `unrolled` gives them."""

    activation: ActivationName
    is_standardised: bool
    members: tuple[Network, ...]
    epochs: tuple[float, ...]
    """Passes over the rows after which each member was kept."""
    basis: str = "pixels"
    """What the first layer was trained on."""


@dataclass(frozen=True)
class ConvolutionalEnsemble:
    """The trained networks of one draw."""

    layers: tuple[ConvolutionLayer, ...]
    is_standardised: bool
    centre: Float64[np.ndarray, " channel"]
    scale: Float64[np.ndarray, " channel"]
    """What is taken off each channel of an image before a network sees it, and what it is divided by."""
    members: tuple[Network, ...]
    epochs: tuple[float, ...]
    """Passes over the rows after which each member was kept."""


def weight_shapes(layers: Sequence[ConvolutionLayer]) -> list[tuple[int, ...]]:
    """Shapes of a network's weights: after × before × kernel of each convolution, at last output × two a channel."""
    shapes = [(after.channels, before.channels, *after.kernel) for before, after in pairwise(layers[:-1])]
    return [*shapes, (layers[-1].channels, 2 * layers[-2].channels)]
