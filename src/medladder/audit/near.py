"""Copies that are not exact: recompressed, resized, brightened, cropped a little, flipped or turned by quarters.

Three sieves, each cheaper a pair than the next: nearest by what all eight positions share (`thumbnails`, `neighbours`,
also of the image less a border, for crops); what a shift, a stretch and a gain cannot explain; agreement of the detail
(`registering`). Their limits were chosen on planted copies among half of a collection of radiographs and hold on the
other half and on drawn cohorts (docs/benchmarks.md).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped, UInt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from threadpoolctl import threadpool_limits

from ..progress import QUIET, Progress
from .metric import copy_axes
from .neighbours import nearest
from .registering import agreement
from .tangents import unexplained, weights_of
from .thumbnails import POSITIONS, grey_planes, invariants_of, positioned, resized, spectra_of

LARGEST_UNEXPLAINED = 0.12
"""Of the weighted coarse shape; planted copies have .08 at most, 99 of 100 neighbours that are none .10 or more."""
SMALLEST_AGREEMENT = 0.87
"""Of the detail; 98 of 100 crops by up to a tenth reach it, none of 2,000 neighbours of other patients."""
SMALLEST_SIDE = 16
"""Images prepared to less than this have no detail to tell people by, and are not searched."""

_NEIGHBOURS = 8
_BEST = 3
_BORDER = 0.03
"""Of a side: what is cut off on each for the second search, half of what a crop of a little takes at most."""
_FINE_SIDE, _COARSE_SIDE = 64, 32
_PAIRS_AT_ONCE = 128
_SHAPES_AT_ONCE = 4096


@dataclass(frozen=True)
class NearCopies:
    """Pairs of images, each the smaller row first, that are copies but not exact ones; `position` turns the second.

    `position` is as `thumbnails.positioned` counts them: 0 as it is. `agreement` is of the detail, `SMALLEST_AGREEMENT`
    to 1.
    """

    pairs: Int[np.ndarray, "pair 2"]
    position: Int[np.ndarray, " pair"]
    agreement: Float[np.ndarray, " pair"]


def no_near_copies() -> NearCopies:
    """Of images that were not searched."""
    return NearCopies(np.empty((0, 2), np.int64), np.empty(0, np.int64), np.empty(0))


def find_near_copies(
    images: UInt[np.ndarray, "image ..."], contents: Shaped[np.ndarray, " image"], *, progress: Progress = QUIET
) -> NearCopies:
    """All pairs found; of exact copies only the first is looked at, and images of one grey not at all."""
    is_volume = images.ndim == 5
    if min(images.shape[2:4] if is_volume else images.shape[1:3]) < SMALLEST_SIDE:
        return no_near_copies()
    _, first = np.unique(contents, return_index=True)
    spectra = _spectra(images, progress)
    rows = np.sort(first)
    rows = rows[np.abs(spectra[rows]).max(axis=(1, 2)) > 0]
    if len(rows) < 2:
        return no_near_copies()
    pairs = rows[_candidates(images, spectra, rows, progress)]
    pairs, position = _explained(images, spectra, rows, pairs, progress)
    return _agreeing(images, pairs, position, progress)


def merged_contents(contents: Shaped[np.ndarray, " image"], near: NearCopies) -> Int[np.ndarray, " image"]:
    """A number each image that near and exact copies share, as `groups_of` takes contents."""
    _, content = np.unique(contents, return_inverse=True)
    one, other = content[near.pairs].T
    n = int(content.max()) + 1
    _, component = connected_components(coo_array((np.ones(len(one)), (one, other)), shape=(n, n)), directed=False)
    return np.asarray(component, dtype=np.int64)[content]


def _spectra(images: UInt[np.ndarray, "image ..."], progress: Progress) -> Float[np.ndarray, "image f f"]:
    with progress.follow("Looking at images", len(images)) as advance:
        found = []
        for piece in spectra_of(images):
            found.append(piece)
            advance(len(piece))
    return np.concatenate(found)


def _candidates(
    images: UInt[np.ndarray, "image ..."],
    spectra: Float[np.ndarray, "image f f"],
    rows: Int[np.ndarray, " row"],
    progress: Progress,
) -> Int[np.ndarray, "pair 2"]:
    """Pairs, by place in `rows`, that lie near each other in what all positions share."""
    values = invariants_of(spectra[rows])
    axes = copy_axes(images, rows, values)
    vectors = values @ axes
    cropped = np.concatenate([invariants_of(piece) @ axes for piece in spectra_of(images, border=_BORDER)])[rows]
    k = min(_NEIGHBOURS + 1, len(rows))
    found = np.hstack([nearest(vectors, asked, k, progress=progress)[0] for asked in (vectors, cropped)])
    asking = np.repeat(np.arange(len(rows)), found.shape[1])
    pairs = np.sort(np.stack([asking, found.ravel()], axis=1), axis=1)
    pairs = pairs[(pairs[:, 0] >= 0) & (pairs[:, 0] < pairs[:, 1])]
    return np.stack(np.divmod(np.unique(pairs[:, 0] * len(rows) + pairs[:, 1]), len(rows)), axis=1)


def _explained(
    images: UInt[np.ndarray, "image ..."],
    spectra: Float[np.ndarray, "image f f"],
    rows: Int[np.ndarray, " row"],
    pairs: Int[np.ndarray, "pair 2"],
    progress: Progress,
) -> tuple[Int[np.ndarray, "kept 2"], Int[np.ndarray, " kept"]]:
    """Pairs whose coarse shapes differ by little but a shift, a stretch and a gain, and the second's best position."""
    weights = weights_of(spectra[rows])
    share, position = np.ones(len(pairs)), np.zeros(len(pairs), np.int64)
    with progress.follow("Comparing shapes", len(pairs)) as advance:
        for block in _blocks(len(pairs), _SHAPES_AT_ONCE):
            share[block], position[block] = unexplained(images, spectra, pairs[block], weights)
            advance(block.stop - block.start)
    kept = np.flatnonzero((share <= LARGEST_UNEXPLAINED) & _is_among_best(pairs, share))
    return pairs[kept], position[kept]


def _is_among_best(
    pairs: Int[np.ndarray, "pair 2"], unexplained: Float[np.ndarray, " pair"]
) -> Bool[np.ndarray, " pair"]:
    """Whether a pair is one of the `_BEST` that either of its images is in: drawn images are alike by their shapes."""
    is_best = np.zeros(len(pairs), dtype=bool)
    for images in pairs.T:
        order = np.lexsort((unexplained, images))
        _, start, counts = np.unique(images[order], return_index=True, return_counts=True)
        is_best[order] |= np.arange(len(order)) - np.repeat(start, counts) < _BEST
    return is_best


def _agreeing(
    images: UInt[np.ndarray, "image ..."],
    pairs: Int[np.ndarray, "pair 2"],
    position: Int[np.ndarray, " pair"],
    progress: Progress,
) -> NearCopies:
    """Those pairs whose detail agrees."""
    side = _FINE_SIDE if min(images.shape[-3:-1] if images.ndim > 3 else images.shape[1:]) >= 48 else _COARSE_SIDE

    def score(block: slice) -> Float[np.ndarray, " pair"]:
        ones, others = pairs[block].T
        distinct, of = np.unique(ones, return_inverse=True)
        moved = _moved(resized(grey_planes(images, others), side), position[block])
        return agreement(resized(grey_planes(images, distinct), side), moved, of)

    scores = np.zeros(len(pairs))
    blocks = list(_blocks(len(pairs), _PAIRS_AT_ONCE))
    # Products of small matrices gain nothing from threads of their own.
    with (
        progress.follow("Comparing detail", len(pairs)) as advance,
        threadpool_limits(1),
        ThreadPoolExecutor(os.cpu_count()) as threads,
    ):
        for block, found in zip(blocks, threads.map(score, blocks), strict=True):
            scores[block] = found
            advance(len(found))
    kept = scores >= SMALLEST_AGREEMENT
    return NearCopies(pairs[kept], position[kept], scores[kept])


def _moved(planes: Float[np.ndarray, "pair a b"], position: Int[np.ndarray, " pair"]) -> Float[np.ndarray, "pair a b"]:
    """Each plane in its own position."""
    moved = planes.copy()
    for one in range(1, POSITIONS):
        here = position == one
        moved[here] = positioned(planes[here], one)
    return moved


def _blocks(n: int, at_once: int) -> Iterator[slice]:
    for at in range(0, n, at_once):
        yield slice(at, min(at + at_once, n))
