"""Training images that a network takes for alike: nearest in what its last hidden layer passes on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float64, Int, Num, Shaped

from .layered import LayeredNetwork
from .probes import layer_values

_ROWS_AT_ONCE = 128


def nearest_images(
    networks: Sequence[LayeredNetwork],
    image: Num[np.ndarray, "..."],
    images: Shaped[np.ndarray, "image ..."],
    rows: Int[np.ndarray, " row"],
    *,
    n: int = 5,
) -> tuple[Int[np.ndarray, " near"], Float[np.ndarray, " near"]]:
    """The rows whose images lie nearest, nearest first, and how far.

    The space has an axis for each unit of each member, scaled to deviation 1 over the rows; distance is the root of
    half the mean square over axes that move at all, so that 1 is a typical step between two of the rows' images (the
    root mean square over all pairs). Of a convolution's unit the mean and the largest value count. Networks of one
    layer have no hidden one: their sums are the space.
    """
    here = _place(networks, image[None])
    there = np.concatenate(
        [
            _place(networks, np.asarray(images[rows[at : at + _ROWS_AT_ONCE]]))
            for at in range(0, len(rows), _ROWS_AT_ONCE)
        ]
    )
    spread = there.std(axis=0)
    moving = spread > 1e-9
    away = (there[:, moving] - here[:, moving]) / spread[moving]
    distance = np.sqrt((away**2).mean(axis=1) / 2) if moving.any() else np.zeros(len(rows))
    order = np.argsort(distance, kind="stable")[:n]
    return rows[order], distance[order]


def _place(
    networks: Sequence[LayeredNetwork], images: Shaped[np.ndarray, "image ..."]
) -> Float64[np.ndarray, "image axis"]:
    last = [(network, max(0, len(network.weights) - 2)) for network in networks]
    axes = [values for network, layer in last for values in layer_values(network, images, [layer])]
    return np.concatenate(axes, axis=1).astype(np.float64)
