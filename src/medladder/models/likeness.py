"""Whether an image looks like the training images, whatever rung learned from them.

An image is described by how far it lies within the subspace that the training images span best (T²), how much of it
lies outside (Q), and a few plain statistics of its greys; how these vary together over images that the subspace was
not learned from says what is usual. It is a net for what is grossly other: another organ, another modality, noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Bool, Float, Int, Num
from scipy.special import ndtr, ndtri
from sklearn.utils.extmath import randomized_svd

from medladder.architecture import split_channels
from medladder.rungs.draws import in_unit_range, parts_of

FLAGGED = 0.01
"""Share of out-of-part training images beyond the threshold, before it is widened for being learned from few."""

MOST_AXES = 32
IMAGES_AN_AXIS = 10
"""Axes of the subspace: one for every so many images."""

LONGEST_SIDE = {2: 32, 3: 16}
"""Pictures and volumes are seen at most so large: area means say what an image is of."""

_PARTS = 5
_SHRINK = 10
"""Made-up images that vary in each measure by itself: the fewer real ones, the more they count."""
_KNOTS = 33
_NARROWEST = 0.1
_LEAST = 1e-6
_VALUES_AT_ONCE = 2**21
_DARK, _BRIGHT = 0.04, 0.96


@dataclass(frozen=True, eq=False)
class Likeness:
    """What training images look like; all arrays are float32.

    `usual` holds values of each measure over images not learned from, lowest first, and `scores` the normal score of
    each. An image's scores times `whitening` are uncorrelated and of unit variance; their length over `limit` is its
    unlikeness.
    """

    centre: Float[np.ndarray, " pixel"]
    axes: Float[np.ndarray, "pixel axis"]
    spread: Float[np.ndarray, " axis"]
    usual: Float[np.ndarray, "measure knot"]
    scores: Float[np.ndarray, "measure knot"]
    whitening: Float[np.ndarray, "measure measure"]
    limit: Float[np.ndarray, " one"]

    def is_unlike(self, images: Num[np.ndarray, "image ..."]) -> Bool[np.ndarray, " image"]:
        """Whether an image is further from the training images than nearly all of those were from each other."""
        return self.unlikeness(images) > 1

    def unlikeness(self, images: Num[np.ndarray, "image ..."]) -> Float[np.ndarray, " image"]:
        """0 for the most usual image, 1 where an image begins to be flagged."""
        measures = [np.zeros((0, len(self.usual)), np.float32)]
        rows = max(1, _VALUES_AT_ONCE // max(1, int(np.prod(images.shape[1:]))))
        for start in range(0, len(images), rows):
            small, greys = _described(images[start : start + rows])
            measures.append(np.hstack([_distances(small, self.centre, self.axes, self.spread), greys]))
        apart = _normal_scores(np.concatenate(measures), self.usual, self.scores) @ self.whitening
        return np.asarray(np.sqrt(np.einsum("ij,ij->i", apart, apart)) / self.limit[0])

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Every array by its name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Likeness:
        """Rebuild from arrays that anyone may have written.

        Raises
        ------
        ValueError
            One is missing, of another shape or kind, or holds what is no number.
        """
        names = [field.name for field in fields(cls)]
        if sorted(arrays) != sorted(names):
            raise ValueError("what training images look like is not told by the arrays there are")
        n_pixels, n_axes, n_measures = arrays["centre"].size, arrays["spread"].size, len(arrays["usual"])
        within, table = (n_pixels, n_axes), (n_measures, _KNOTS)
        shapes = [(n_pixels,), within, (n_axes,), table, table, (n_measures, n_measures), (1,)]
        for name, shape in zip(names, shapes, strict=True):
            array = arrays[name]
            if array.shape != shape or array.dtype != np.float32 or not np.isfinite(array).all():
                raise ValueError(f"the array unlike/{name} is not what it must be")
        if not (arrays["limit"][0] > 0 and (arrays["spread"] > 0).all()):
            raise ValueError("a limit or spread of likeness is not above 0")
        return cls(**arrays)


def learn_likeness(images: Num[np.ndarray, "image ..."], fold: Int[np.ndarray, " image"], *, seed: int) -> Likeness:
    """Learn what these images look like; `fold` are patient-wise parts, and no image is judged by its own part.

    Of n images the limit leaves out a hundredth, and is 2 / √n wider than that: with 20 images it is half as wide
    again, for false alarms tire more than a missed stranger surprises.

    Source
    ------
    T² and Q: Jackson & Mudholkar 1979, doi:10.1080/00401706.1979.10489779; here on a logarithmic scale, and joined by
    one Mahalanobis distance over images not learned from, as Lee et al. 2018, arXiv 1807.03888, do with features.
    """
    rows = max(1, _VALUES_AT_ONCE // max(1, int(np.prod(images.shape[1:]))))
    described = [_described(np.asarray(images[at : at + rows])) for at in range(0, len(images), rows)]
    small, greys = (np.concatenate(parts) for parts in zip(*described, strict=True))
    parts = fold if parts_of(fold) > 1 else np.arange(len(small)) % _PARTS
    distances = np.empty((len(small), 2), np.float32)
    for part in np.unique(parts):
        held = parts == part
        if held.all() or (~held).sum() < 2:
            held = np.ones(len(small), dtype=bool)
            distances[held] = _distances(small[held], *_subspace(small, seed))
        else:
            distances[held] = _distances(small[held], *_subspace(small[~held], seed))
    measures = np.hstack([distances, greys]).astype(np.float64)
    usual, scores = _usual(measures)
    normal = _normal_scores(measures, usual, scores)
    whitening = _whitening(normal)
    apart = np.linalg.norm(normal @ whitening, axis=1)
    limit = np.quantile(apart, 1 - FLAGGED, method="higher") * (1 + 2 / np.sqrt(len(small)))
    found = (*_subspace(small, seed), usual, scores, whitening, np.array([max(limit, 1.0)]))
    return Likeness(*(array.astype(np.float32) for array in found))


def _described(
    images: Num[np.ndarray, "image ..."],
) -> tuple[Float[np.ndarray, "image pixel"], Float[np.ndarray, "image statistic"]]:
    """Images as small vectors, and statistics of their greys at full size."""
    pixels = in_unit_range(images).astype(np.float32, copy=False)
    size, channels = split_channels(pixels.shape[1:])
    grid = pixels.reshape(len(pixels), *size, channels)
    flat = grid.reshape(len(pixels), -1)
    n_values = flat.shape[1]
    mean = flat.mean(axis=1)
    energy = np.einsum("ij,ij->i", flat, flat) / n_values
    spread = np.sqrt(np.maximum(energy - mean**2, 0))
    shares = [(flat < _DARK).mean(axis=1), (flat > _BRIGHT).mean(axis=1)]
    steps = []
    for axis in range(1, len(size) + 1):
        if grid.shape[axis] > 1:
            step = np.diff(grid, axis=axis).reshape(len(grid), -1)
            steps.append(np.log(np.sqrt(np.einsum("ij,ij->i", step, step) / step.shape[1]) + 1e-3))
    statistics = np.stack([mean, np.log(spread + 1e-2), *(np.sqrt(share) for share in shares), *steps], axis=1)
    return _reduced(grid, len(size)), statistics.astype(np.float32)


def _reduced(grid: Float[np.ndarray, "image ..."], n_axes: int) -> Float[np.ndarray, "image pixel"]:
    """Area means on a grid of at most `LONGEST_SIDE` a side."""
    for axis in range(1, n_axes + 1):
        side, most = grid.shape[axis], LONGEST_SIDE[n_axes]
        if side > most:
            edges = np.arange(most) * side // most
            counts = np.diff(np.append(edges, side)).astype(np.float32)
            shape = [1] * grid.ndim
            shape[axis] = most
            grid = np.add.reduceat(grid, edges, axis=axis) / counts.reshape(shape)
    return grid.reshape(len(grid), -1)


def _subspace(
    small: Float[np.ndarray, "image pixel"], seed: int
) -> tuple[Float[np.ndarray, " pixel"], Float[np.ndarray, "pixel axis"], Float[np.ndarray, " axis"]]:
    """Centre, axes, and the deviation of the images along each."""
    centre = small.mean(axis=0)
    n_axes = max(1, min(MOST_AXES, len(small) // IMAGES_AN_AXIS, small.shape[1] - 1))
    _, lengths, axes = randomized_svd(small - centre, n_axes, random_state=seed)
    return centre, np.ascontiguousarray(axes.T), np.maximum(lengths / np.sqrt(len(small)), 1e-3)


def _distances(
    small: Float[np.ndarray, "image pixel"],
    centre: Float[np.ndarray, " pixel"],
    axes: Float[np.ndarray, "pixel axis"],
    spread: Float[np.ndarray, " axis"],
) -> Float[np.ndarray, "image 2"]:
    """Logarithms of T² an axis and of Q a pixel."""
    apart = small - centre
    scores = apart @ axes
    outside = np.einsum("ij,ij->i", apart, apart) - np.einsum("ij,ij->i", scores, scores)
    within = ((scores / spread) ** 2).mean(axis=1)
    return np.log(np.stack([within, np.maximum(outside, 0) / small.shape[1]], axis=1) + _LEAST)


def _usual(
    measures: Float[np.ndarray, "image measure"],
) -> tuple[Float[np.ndarray, "measure knot"], Float[np.ndarray, "measure knot"]]:
    """Values of each measure from the lowest to the highest, and the normal score of each; equal ones share theirs."""
    furthest = float(ndtri(1 - 0.5 / len(measures)))
    at = np.linspace(-furthest, furthest, _KNOTS)
    usual = np.quantile(measures, ndtr(at), axis=0).T
    scores = np.empty_like(usual)
    for row, values in enumerate(usual):
        _, place = np.unique(values, return_inverse=True)
        scores[row] = (np.bincount(place, at) / np.bincount(place))[place]
    return usual, scores


def _normal_scores(
    measures: Float[np.ndarray, "image measure"],
    usual: Float[np.ndarray, "measure knot"],
    scores: Float[np.ndarray, "measure knot"],
) -> Float[np.ndarray, "image measure"]:
    """Measures by their place among the usual ones; beyond those a score goes on as steeply as it came."""
    found = np.empty(measures.shape)
    middle, furthest = usual.shape[1] // 2, float(ndtri(1 - 0.5 / 100))
    for column, (known, score) in enumerate(zip(usual, scores, strict=True)):
        values = measures[:, column]
        below, above = np.minimum(values - known[0], 0), np.maximum(values - known[-1], 0)
        left = furthest / max(known[middle] - known[0], _NARROWEST)
        right = furthest / max(known[-1] - known[middle], _NARROWEST)
        found[:, column] = np.interp(values, known, score) + below * left + above * right
    return found


def _whitening(apart: Float[np.ndarray, "image measure"]) -> Float[np.ndarray, "measure measure"]:
    """The inverse root of the measures' covariance, drawn towards that of measures that do not vary together."""
    covariance = apart.T @ apart / len(apart)
    diagonal = np.maximum(np.diag(covariance), 1e-4)
    weight = _SHRINK / (_SHRINK + len(apart))
    values, vectors = np.linalg.eigh(
        (1 - weight) * covariance + weight * np.diag(diagonal) + 1e-6 * np.eye(len(diagonal))
    )
    return np.asarray(vectors / np.sqrt(values) @ vectors.T)
