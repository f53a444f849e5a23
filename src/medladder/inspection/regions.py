"""Regions: where in the image each unit looks, how large that is, in how many pieces, and shared with which others."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from scipy import ndimage
from torch import Tensor

from .layered import LayeredNetwork

BLUR = 1 / 64
"""Deviation of the Gaussian that gradients are smoothed with before they are squared, as a share of each side: what
differs from pixel to pixel is what random first weights left behind, and would drown the rest of a dense layer."""

SMOOTHING = 2 / 64
"""Deviation of the Gaussian that the squares are smoothed with."""

HALF = 0.5
"""Share of a region's mass that its area holds."""


@dataclass(frozen=True, eq=False)
class Regions:
    """What the units of one layer look at; `mass` sums to 1 a unit, or to 0 for one that sees nothing."""

    mass: Float32[np.ndarray, "unit *axis"]
    core: Bool[np.ndarray, "unit *axis"]
    """The smallest set of pixels that holds half of the mass."""
    area: Float[np.ndarray, " unit"]
    """Its share of the image, 0-1; NaN for a unit that sees nothing."""
    pieces: Float[np.ndarray, " unit"]
    """Connected pieces of it, touching corners apart."""
    overlap: Float[np.ndarray, " unit"]
    """Mean share of pixels in common with another unit's core, of those in either (Jaccard); NaN for a lone unit."""


def mean_gradients(
    network: LayeredNetwork, seen: Float32[Tensor, "row ..."], layer: int, units: Sequence[int] | None = None
) -> Float32[np.ndarray, "unit *axis channel"]:
    """Signed gradient of what each unit adds up, by what the network sees, averaged over images.

    Of a convolution, of the sum at the middle of its map. In the first layer these are the weights themselves.
    Moving all images alike by δ changes the mean sum by their inner product with δ, to first order.
    """
    chosen = range(network.units[layer]) if units is None else units
    shift = torch.zeros((1, *network.seen_shape), requires_grad=True)
    sums = network.sums(seen + shift, layer)
    while sums.ndim > 2:  # one axis of positions after the other
        sums = sums[:, :, sums.shape[2] // 2]
    middle = sums.mean(dim=0)
    found = torch.empty((len(chosen), *network.seen_shape))
    for place, unit in enumerate(chosen):
        (found[place],) = torch.autograd.grad(middle[unit], shift, retain_graph=True)[0]
    return network.to_image(found)


Projection = Callable[[Float32[np.ndarray, "pixel unit"]], Float32[np.ndarray, "pixel unit"]]
"""Keeps of weights on pixels what a network could hold that learned in the span of its images."""


def as_trained(
    gradients: Float32[np.ndarray, "unit *axis channel"], project: Projection | None
) -> Float32[np.ndarray, "unit *axis channel"]:
    """Mean gradients of random weights as if these lay where training would have them: in the span of the images.

    A gradient is the first weights times what lies above them, so what becomes of these becomes of it.
    """
    if project is None:
        return gradients
    flat = np.ascontiguousarray(gradients.reshape(len(gradients), -1).T)
    return np.ascontiguousarray(project(flat).T).reshape(gradients.shape)


def regions_of(
    gradients: Float32[np.ndarray, "unit *axis channel"], *, blur: float = BLUR, smoothing: float = SMOOTHING
) -> Regions:
    """Regions from mean signed gradients: smoothed a little, squared, added up over channels, smoothed.

    Gradients whose sign changes from image to image cancel, so that what is left is where a unit looks every time.

    Source
    ------
    The receptive field of a unit as its mean gradient: Luo et al. 2016, arXiv 1701.04128; there unsigned.
    """
    sides = gradients.shape[1:-1]
    mass = np.empty(gradients.shape[:-1], dtype=np.float32)
    for unit, gradient in enumerate(gradients):
        soft = ndimage.gaussian_filter(
            gradient.astype(np.float64), [*(blur * side for side in sides), 0], mode="nearest"
        )
        smooth = ndimage.gaussian_filter((soft**2).sum(axis=-1), [smoothing * side for side in sides], mode="nearest")
        total = smooth.sum()
        mass[unit] = smooth / total if total > 0 else 0.0
    core = np.array([smallest_core(one) for one in mass], dtype=bool).reshape(mass.shape)
    n = len(mass)
    flat = core.reshape(n, math.prod(sides))
    sizes = flat.sum(axis=1)
    sees = sizes > 0
    area = np.where(sees, sizes / flat.shape[1], np.nan)
    pieces = np.array([ndimage.label(one)[1] if any_ else np.nan for one, any_ in zip(core, sees, strict=True)])
    return Regions(mass, core, area, pieces.astype(float), _overlaps(flat, sees))


def smallest_core(mass: Float32[np.ndarray, "*axis"], share: float = HALF) -> Bool[np.ndarray, "*axis"]:
    """The fewest pixels that hold this share of the mass; none where there is no mass.

    Example
    -------
    >>> smallest_core(np.array([[0.1, 0.3], [0.2, 0.4]])).tolist()
    [[False, True], [False, True]]
    """
    flat = mass.ravel()
    order = np.argsort(-flat, kind="stable")
    held = np.cumsum(flat[order], dtype=np.float64)
    core = np.zeros(flat.shape, dtype=bool)
    if held[-1] > 0:
        core[order[: int(np.searchsorted(held, share * held[-1] * (1 - 1e-9))) + 1]] = True
    return core.reshape(mass.shape)


def _overlaps(cores: Bool[np.ndarray, "unit pixel"], sees: Bool[np.ndarray, " unit"]) -> Float[np.ndarray, " unit"]:
    overlap = np.full(len(cores), np.nan)
    if sees.sum() < 2:
        return overlap
    seeing = cores[sees].astype(np.float32)
    shared = seeing @ seeing.T
    sizes = np.diag(shared)
    jaccard = shared / (sizes[:, None] + sizes[None] - shared)
    np.fill_diagonal(jaccard, 0.0)
    overlap[sees] = jaccard.sum(axis=1) / (len(seeing) - 1)
    return overlap
