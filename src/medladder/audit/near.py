"""Copies that are not exact: recompressed, resized, brightened, cropped a little, flipped or turned by quarters.

Three sieves, each cheaper a pair than the next: nearest by what all eight positions share (`thumbnails`, `neighbours`,
also of the image less a border, for crops); what a shift, a stretch and a gain cannot explain; agreement of the detail
(`registering`). Their limits were chosen on planted copies among half of a collection of radiographs and hold on the
other half and on drawn cohorts (docs/benchmarks.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped, UInt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ..progress import QUIET, Progress
from .neighbours import nearest
from .registering import agreement
from .thumbnails import (
    POSITIONS,
    grey_planes,
    invariants_of,
    positioned,
    positioned_spectra,
    resized,
    spectra_of,
    tangents_of,
)

LARGEST_UNEXPLAINED = 0.12
"""Of the weighted coarse shape; planted copies have .08 at most, 99 of 100 neighbours that are none .10 or more."""
SMALLEST_AGREEMENT = 0.87
"""Of the detail; 98 of 100 crops by up to a tenth reach it, none of 2,000 neighbours of other patients."""
SMALLEST_SIDE = 16
"""Images prepared to less than this have no detail to tell people by, and are not searched."""

_NEIGHBOURS = 8
_BEST = 3
_AXES = 64
_BORDER = 0.03
"""Of a side: what is cut off on each for the second search, half of what a crop of a little takes at most."""
_SAMPLE = 5000
_FINE_SIDE, _COARSE_SIDE = 64, 32
_PAIRS_AT_ONCE = 256


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
    pairs, position = _explained(images, spectra, pairs, progress)
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
    some = values[np.random.default_rng(0).permutation(len(values))[:_SAMPLE]]
    middle = some.mean(axis=0)
    variances, axes = np.linalg.eigh(np.atleast_2d(np.cov((some - middle).T)))
    axes, variances = axes[:, ::-1][:, :_AXES], np.maximum(variances[::-1][:_AXES], 1e-12)
    weighed = (axes * variances**-0.25).astype(np.float32)
    vectors = (values - middle) @ weighed
    cropped = np.concatenate([invariants_of(piece) for piece in spectra_of(images, border=_BORDER)])[rows]
    k = min(_NEIGHBOURS + 1, len(rows))
    found = np.hstack(
        [nearest(vectors, asked, k, progress=progress)[0] for asked in (vectors, (cropped - middle) @ weighed)]
    )
    asking = np.repeat(np.arange(len(rows)), found.shape[1])
    pairs = np.sort(np.stack([asking, found.ravel()], axis=1), axis=1)
    return np.unique(pairs[(pairs[:, 0] >= 0) & (pairs[:, 0] < pairs[:, 1])], axis=0)


def _explained(
    images: UInt[np.ndarray, "image ..."],
    spectra: Float[np.ndarray, "image f f"],
    pairs: Int[np.ndarray, "pair 2"],
    progress: Progress,
) -> tuple[Int[np.ndarray, "kept 2"], Int[np.ndarray, " kept"]]:
    """Pairs whose coarse shapes differ by little but a shift, a stretch and a gain, and the second's best position.

    Source
    ------
    Simard, LeCun & Denker 1993, «Efficient pattern recognition using a new transformation distance».
    """
    deviations = spectra.std(axis=0).ravel()
    weights = np.where(deviations > 1e-6, 1 / np.sqrt(np.maximum(deviations, 1e-6)), 0.0).astype(np.float32)
    unexplained, positions = np.ones(len(pairs)), np.zeros(len(pairs), np.int64)
    with progress.follow("Comparing pairs", len(pairs)) as advance:
        for block in _blocks(len(pairs)):
            ones, others = pairs[block].T
            fits = np.stack(
                [
                    np.einsum("iuv,iuv->i", spectra[ones], positioned_spectra(spectra[others], p))
                    for p in range(POSITIONS)
                ]
            )
            position = fits.argmax(axis=0)
            moved = _moved(positioned_spectra, spectra[others], position).reshape(len(ones), -1) * weights
            distinct, at = np.unique(ones, return_inverse=True)
            tangents = tangents_of(images, distinct)[at] * weights
            unexplained[block] = _unexplained(tangents, moved)
            positions[block] = position
            advance(len(ones))
    kept = np.flatnonzero((unexplained <= LARGEST_UNEXPLAINED) & _is_among_best(pairs, unexplained))
    return pairs[kept], positions[kept]


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


def _unexplained(
    tangents: Float[np.ndarray, "pair direction value"], values: Float[np.ndarray, "pair value"]
) -> Float[np.ndarray, " pair"]:
    """The share, 0–1, of each vector's square that no sum of its directions gives."""
    lengths = np.linalg.norm(tangents, axis=2, keepdims=True)
    basis, _ = np.linalg.qr((tangents / np.maximum(lengths, 1e-9)).transpose(0, 2, 1))
    inside = (basis.transpose(0, 2, 1) @ values[..., None])[..., 0]
    total = (values**2).sum(axis=1)
    return 1 - (inside**2).sum(axis=1) / np.maximum(total, 1e-12)


def _agreeing(
    images: UInt[np.ndarray, "image ..."],
    pairs: Int[np.ndarray, "pair 2"],
    position: Int[np.ndarray, " pair"],
    progress: Progress,
) -> NearCopies:
    """Those pairs whose detail agrees."""
    side = _FINE_SIDE if min(images.shape[-3:-1] if images.ndim > 3 else images.shape[1:]) >= 48 else _COARSE_SIDE
    scores = np.zeros(len(pairs))
    with progress.follow("Comparing detail", len(pairs)) as advance:
        for block in _blocks(len(pairs)):
            ones, others = pairs[block].T
            moved = _moved(positioned, resized(grey_planes(images, others), side), position[block])
            scores[block] = agreement(resized(grey_planes(images, ones), side), moved)
            advance(len(ones))
    kept = scores >= SMALLEST_AGREEMENT
    return NearCopies(pairs[kept], position[kept], scores[kept])


def _moved(
    move: Callable[[Float[np.ndarray, "pair a b"], int], Float[np.ndarray, "pair a b"]],
    planes: Float[np.ndarray, "pair a b"],
    position: Int[np.ndarray, " pair"],
) -> Float[np.ndarray, "pair a b"]:
    """Each plane in its own position."""
    moved = planes.copy()
    for one in range(POSITIONS):
        here = position == one
        moved[here] = move(planes[here], one)
    return moved


def _blocks(n: int) -> Iterator[slice]:
    for at in range(0, n, _PAIRS_AT_ONCE):
        yield slice(at, min(at + _PAIRS_AT_ONCE, n))
