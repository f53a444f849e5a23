"""Training images that a network takes for alike: nearest in what its last hidden layer passes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Float64, Int, Num, Shaped

from .layered import LayeredNetwork
from .probes import layer_values

_ROWS_AT_ONCE = 128


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Where training images lie in what networks pass on, computed once; other images are then placed among them.

    The space has an axis for each unit of each member, scaled to deviation 1 over the rows; distance is the root of
    half the mean square over axes that move at all, so that 1 is a typical step between two of the rows' images (the
    root mean square over all pairs). Of a convolution's unit the mean and the largest value count. Networks of one
    layer have no hidden one: their sums are the space.
    """

    networks: tuple[LayeredNetwork, ...]
    rows: Int[np.ndarray, " row"]
    places: Float32[np.ndarray, "row axis"]
    """Scaled; axes that do not move are left out."""
    spread: Float64[np.ndarray, " all_axes"]

    @classmethod
    def of(
        cls,
        networks: Sequence[LayeredNetwork],
        images: Shaped[np.ndarray, "image ..."],
        rows: Int[np.ndarray, " row"],
    ) -> Neighbours:
        """Place these rows of `images`, which are uint8, uint16 or floats of 0-1 in the networks' own shape."""
        there = np.concatenate(
            [
                _place(networks, np.asarray(images[rows[at : at + _ROWS_AT_ONCE]]))
                for at in range(0, len(rows), _ROWS_AT_ONCE)
            ]
        )
        spread = there.std(axis=0)
        moving = spread > 1e-9
        return cls(tuple(networks), rows, (there[:, moving] / spread[moving]).astype(np.float32), spread)

    def nearest(
        self, image: Num[np.ndarray, "..."], *, n: int = 5
    ) -> tuple[Int[np.ndarray, " near"], Float[np.ndarray, " near"]]:
        """The `n` rows (fewer where there are fewer) whose images lie nearest, nearest first, and how far.

        `image` is one of the networks' shape; where no axis moves, all distances are 0.
        """
        moving = self.spread > 1e-9
        if not moving.any():
            return self.rows[:n], np.zeros(len(self.rows[:n]))
        here = _place(self.networks, image[None])[:, moving] / self.spread[moving]
        away = self.places - here.astype(np.float32)
        distance = np.sqrt((away**2).mean(axis=1) / 2)
        order = np.argsort(distance, kind="stable")[:n]
        return self.rows[order], distance[order]


def _place(
    networks: Sequence[LayeredNetwork], images: Shaped[np.ndarray, "image ..."]
) -> Float64[np.ndarray, "image axis"]:
    last = [(network, max(0, len(network.weights) - 2)) for network in networks]
    axes = [values for network, layer in last for values in layer_values(network, images, [layer])]
    return np.concatenate(axes, axis=1).astype(np.float64)
