"""Whether an image looks like the training images, whatever rung learned from them.

Each image is brought to mean 0 and spread 1, as film and window set both. Then it is described by how far it lies
within the subspace that the training images span best (T²), how much of it lies outside (Q), how it goes with their
mean, and by its brightness, contrast and texture. How these vary together over images that the subspace was not learned
from says what is usual. It is a net for what is grossly other: another organ, another modality, noise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Bool, Float, Int, Num
from scipy.special import ndtr, ndtri
from sklearn.utils.extmath import randomized_svd

from medladder.architecture import split_channels
from medladder.rungs.draws import parts_of

FLAGGED = 0.01
"""Share of images like the training images that is flagged, before the limit is widened for being learned from few."""

MOST_AXES, IMAGES_AN_AXIS = 16, 10
"""Axes of the subspace: one for every so many images; 32 flagged no more strangers and cost twice as much."""

LONGEST_SIDE = {2: 32, 3: 16}
"""Pictures and volumes are seen at most so large: area means say what an image is of."""

_VALUES_AT_ONCE = 2**19  # pixels that stay in the caches
_FLATTEST = 0.02  # images of less contrast are not stretched to that of others: they would be noise
_LEAST = 1e-4
_PARTS, _KNOTS, _FURTHEST, _NARROWEST = 5, 33, 2.576, 0.1
_SHRINK = 30  # made-up images that vary in each measure by itself: the fewer real ones, the more they count

_Subspace = tuple[Float[np.ndarray, " pixel"], Float[np.ndarray, "pixel axis"], Float[np.ndarray, " axis"]]


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
        for start, stop in _blocks(images):
            small, greys = _described(images[start:stop])
            measures.append(np.hstack([_distances(small, (self.centre, self.axes, self.spread)), greys]))
        apart = _normal_scores(np.concatenate(measures), self.usual, self.scores) @ self.whitening
        return np.asarray(np.linalg.norm(apart, axis=1) / self.limit[0])

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Every array by its name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], image_shape: tuple[int, ...] | None = None) -> Likeness:
        """Rebuild from arrays that anyone may have written, for images of this shape where it is known.

        Raises
        ------
        ValueError
            One is missing, of another shape or kind, or holds what is no number or in no order.
        """
        names = [field.name for field in fields(cls)]
        if sorted(arrays) != sorted(names) or not all(isinstance(array, np.ndarray) for array in arrays.values()):
            raise ValueError("what training images look like is not told by the arrays there are")
        n_pixels, n_axes, n_measures = arrays["centre"].size, arrays["spread"].size, arrays["usual"].size // _KNOTS
        within, table = (n_pixels, n_axes), (n_measures, _KNOTS)
        shapes = [(n_pixels,), within, (n_axes,), table, table, (n_measures, n_measures), (1,)]
        for name, shape in zip(names, shapes, strict=True):
            array = arrays[name]
            if array.shape != shape or array.dtype != np.float32 or not np.isfinite(array).all():
                raise ValueError(f"the array unlike/{name} is not what it must be")
        falls = [(np.diff(arrays[name]) < 0).any() for name in ("usual", "scores")]
        if any(falls) or not (arrays["limit"][0] > 0 and (arrays["spread"] > 0).all()):
            raise ValueError("a limit or spread of likeness is not above 0, or its usual values do not rise")
        if image_shape is not None:
            small, greys = _described(np.zeros((1, *image_shape), np.uint8))
            if (n_pixels, n_measures) != (small.shape[1], 3 + greys.shape[1]) or n_axes > n_pixels:
                raise ValueError("the arrays of likeness are for images of another shape")
        return cls(**arrays)


def learn_likeness(images: Num[np.ndarray, "image ..."], fold: Int[np.ndarray, " image"], *, seed: int) -> Likeness:
    """Learn what these images look like; `fold` are patient-wise parts, and no image is judged by its own part.

    The limit is where a power-law tail through the furthest tenth leaves `FLAGGED` of images beyond, and 1 / √n wider
    than that: with 100 images by a tenth, for false alarms tire more than a missed stranger surprises.

    Source
    ------
    T² and Q: Jackson & Mudholkar 1979, doi:10.1080/00401706.1979.10489779; here on a logarithmic scale, and joined by
    one Mahalanobis distance over images not learned from, as Lee et al. 2018, arXiv 1807.03888, do with features. The
    tail: Hill 1975, doi:10.1214/aos/1176343247.
    """
    described = [_described(images[start:stop]) for start, stop in _blocks(images)]
    small, greys = map(np.concatenate, zip(*described, strict=True))
    parts = fold if parts_of(fold) > 1 else np.arange(len(small)) % _PARTS
    distances = np.empty((len(small), 3), np.float32)
    for part in np.unique(parts):
        held = parts == part
        learned = ~held if (~held).sum() > 1 else np.ones_like(held)
        distances[held] = _distances(small[held], _subspace(small[learned], seed))
    usual, scores = _usual(np.hstack([distances, greys], dtype=np.float64))
    normal = _normal_scores(np.hstack([distances, greys]), usual, scores)
    whitening = _whitening(normal)
    limit = np.array([_limit(np.linalg.norm(normal @ whitening, axis=1))])
    found = (*_subspace(small, seed), usual, scores, whitening, limit)
    return Likeness(*(array.astype(np.float32) for array in found))


def _blocks(images: Num[np.ndarray, "image ..."]) -> list[tuple[int, int]]:
    """Where to cut many images."""
    rows = max(1, _VALUES_AT_ONCE // math.prod(images.shape[1:]))
    return [(start, start + rows) for start in range(0, len(images), rows)]


def _described(
    images: Num[np.ndarray, "image ..."],
) -> tuple[Float[np.ndarray, "image pixel"], Float[np.ndarray, "image statistic"]]:
    """Images as small vectors of mean 0 and spread 1; brightness, contrast, and texture along each axis."""
    unit = 1 / np.iinfo(images.dtype).max if images.dtype in (np.uint8, np.uint16) else 1.0
    size, channels = split_channels(images.shape[1:])
    flat = np.asarray(images).reshape(len(images), -1).astype(np.float32)
    mean = np.vecdot(flat, np.ones_like(flat[0])) / flat.shape[1]
    flat -= mean[:, None]
    contrast = unit * _root_mean_square(flat)
    step, steps, after = np.empty_like(flat), [], flat.shape[1]
    for side in (*size, channels):
        after //= side
        if side > 1:  # neighbours along an axis lie `after` apart; over the end of a line is no step
            np.subtract(flat.ravel()[after:], flat.ravel()[:-after], out=step.ravel()[:-after])
            step.reshape(len(flat), -1, side, after)[:, :, -1] = 0
            rough = unit * _root_mean_square(step) * math.sqrt(side / (side - 1))
            steps.append(np.log((rough + 1e-3) / (contrast + 1e-2)))
    small = _reduced(flat, size, channels)
    small /= np.maximum(_root_mean_square(small), np.float32(_FLATTEST / unit))[:, None]
    return small, np.stack([unit * mean, np.log(contrast + 1e-2), *steps], axis=1).astype(np.float32)


def _root_mean_square(flat: Float[np.ndarray, "image pixel"]) -> Float[np.ndarray, " image"]:
    return np.asarray(np.sqrt(np.vecdot(flat, flat) / flat.shape[1]))


def _reduced(
    flat: Float[np.ndarray, "image pixel"], size: tuple[int, ...], channels: int
) -> Float[np.ndarray, "image small"]:
    """Area means on a grid of at most `LONGEST_SIDE` a side."""
    most, before, after, values = LONGEST_SIDE[len(size)], len(flat), flat.shape[1], flat
    for axis, side in enumerate(size):
        after //= side
        if side > most:
            before_edge = np.clip(np.arange(most + 1)[:, None] * (side / most) - np.arange(side), 0, 1)  # of each pixel
            weights = (np.diff(before_edge, axis=0) * (most / side)).astype(np.float32)
            if axis == len(size) - 1:  # a few channels are no matrix worth a product of its own
                values = values.reshape(before, -1) @ np.kron(weights, np.eye(channels, dtype=np.float32)).T
            else:
                values = weights @ values.reshape(before, side, after)
        before *= min(side, most)
    return values.reshape(len(flat), -1)


def _subspace(small: Float[np.ndarray, "image pixel"], seed: int) -> _Subspace:
    """Centre, axes, and the deviation of the images along each."""
    centre = small.mean(axis=0)
    n_axes = max(1, min(MOST_AXES, len(small) // IMAGES_AN_AXIS, small.shape[1] - 1))
    _, lengths, axes = randomized_svd(small - centre, n_axes, random_state=seed)
    return centre, np.ascontiguousarray(axes.T), np.maximum(lengths / np.sqrt(len(small)), 1e-3)


def _distances(small: Float[np.ndarray, "image pixel"], subspace: _Subspace) -> Float[np.ndarray, "image 3"]:
    """Logarithms of T² an axis and of Q a pixel, and minus Fisher's z of the correlation with the centre."""
    centre, axes, spread = subspace
    found = small @ np.column_stack([axes, centre])  # one product: the images are gone through once
    scores, along = found[:, :-1] - centre @ axes, found[:, -1]
    energy, length = np.vecdot(small, small), np.linalg.norm(centre)
    outside = energy - 2 * along + length**2 - np.vecdot(scores, scores)
    within = ((scores / spread) ** 2).mean(axis=1)
    correlation = along / max(float(length) * math.sqrt(small.shape[1]), _LEAST)
    logs = np.log([within + _LEAST, np.maximum(outside, 0) / small.shape[1] + _LEAST])
    return np.column_stack([*logs, -np.arctanh(np.clip(correlation, -0.999, 0.999))])


def _usual(
    measures: Float[np.ndarray, "image measure"],
) -> tuple[Float[np.ndarray, "measure knot"], Float[np.ndarray, "measure knot"]]:
    """Values of each measure from the lowest to the highest, and the normal score of each; equal ones share theirs."""
    at = np.linspace(-1, 1, _KNOTS) * ndtri(1 - 0.5 / max(len(measures), 2))
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
    """Measures by their place among the usual ones; beyond those a score goes on as steeply as it came.

    The three distances do not go on downwards: an image closer than any, such as a learned one, is not unlike.
    """
    found = np.empty(measures.shape)
    for column, (known, score) in enumerate(zip(usual, scores, strict=True)):
        values, low, middle, high = measures[:, column], known[0], known[_KNOTS // 2], known[-1]
        below = (column > 2) * np.minimum(values - low, 0) * _FURTHEST / max(middle - low, _NARROWEST)
        above = np.maximum(values - high, 0) * _FURTHEST / max(high - middle, _NARROWEST)
        found[:, column] = np.interp(values, known, score) + below + above
    return found


def _whitening(apart: Float[np.ndarray, "image measure"]) -> Float[np.ndarray, "measure measure"]:
    """The inverse root of the measures' covariance, drawn towards that of measures that do not vary together."""
    covariance, weight = apart.T @ apart / len(apart), _SHRINK / (_SHRINK + len(apart))
    alone = np.diag(np.maximum(np.diag(covariance), 1e-4))
    values, vectors = np.linalg.eigh((1 - weight) * covariance + weight * alone)
    return np.asarray(vectors / np.sqrt(values) @ vectors.T)


def _limit(apart: Float[np.ndarray, " image"]) -> float:
    """Where the tail of these distances leaves `FLAGGED` of new ones beyond; never below 1."""
    share = min(0.5, max(0.1, 10 / len(apart)))
    begins = max(float(np.quantile(apart, 1 - share)), _LEAST)
    beyond = np.log(apart[apart > begins] / begins)
    limit = begins * (share / FLAGGED) ** (beyond.mean() if len(beyond) else 0.0)
    return float(max(limit * (1 + 1 / math.sqrt(len(apart))), 1.0))
