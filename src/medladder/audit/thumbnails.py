"""What a copy keeps when it is recompressed, resized, brightened, flipped or turned: an image's lowest frequencies.

Flipping an image changes the signs of half of its cosine coefficients and nothing else; transposing it swaps the two
of a pair. So the sorted sizes of each pair are the same for all eight, and two images lie no further apart in them
than in whichever of the eight positions fits best.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt
from scipy.fft import dct

FREQUENCIES = 12
"""Along each axis. Beyond these, recompression and a crop change more than people differ."""

POSITIONS = 8
"""Of a square: four quarter turns, each as it is and mirrored."""

_ROWS_AT_ONCE = 512
_TANGENT_SIDE = 32

Planes = Float[np.ndarray, "image row column"]
Spectra = Float[np.ndarray, "image frequency frequency"]


def grey_planes(
    images: UInt[np.ndarray, "image ..."], rows: Int[np.ndarray, " some"]
) -> Float[np.ndarray, "some row column"]:
    """Some images as grey planes of 0–1; of a volume its middle slice, or the mean of the two in the middle."""
    block = np.asarray(images[rows])
    top = np.iinfo(block.dtype).max
    if block.ndim == 5:
        n = block.shape[1]
        block = block[:, (n - 1) // 2 : n // 2 + 1].astype(np.float32).mean(axis=1)
    if block.ndim == 4:
        block = block.astype(np.float32).mean(axis=-1)
    return block.astype(np.float32) / np.float32(top)


def resized(planes: Planes, side: int) -> Float[np.ndarray, "image side side"]:
    """Planes at `side` × `side`, stretched, each value the mean of a triangle as wide as the reduction."""
    return _triangles(planes.shape[1], side) @ planes @ _triangles(planes.shape[2], side).T


def _triangles(n: int, side: int) -> Float[np.ndarray, "side n"]:
    middles = (np.arange(side) + 0.5) * n / side - 0.5
    width = max(n / side, 1.0)
    weights = np.maximum(0.0, 1.0 - np.abs(middles[:, None] - np.arange(n)) / width)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def spectra_of(images: UInt[np.ndarray, "image ..."], *, border: float = 0.0) -> Iterator[Spectra]:
    """The spectra of many images, in pieces, so that a progress bar can follow.

    `border` is the share of a side that is cut off at each end before.
    """
    n_rows, n_columns = _plane_shape(images)
    top, left = round(border * n_rows), round(border * n_columns)
    for start in range(0, len(images), _ROWS_AT_ONCE):
        planes = grey_planes(images, np.arange(start, min(start + _ROWS_AT_ONCE, len(images))))
        yield spectra_of_planes(planes[:, top : n_rows - top, left : n_columns - left])


def spectra_of_planes(planes: Planes) -> Spectra:
    """Each plane's lowest cosine coefficients, of norm 1 and without the mean, so that gain and offset do not matter.

    A plane without any contrast has zeros.

    Source
    ------
    Zauner 2010, «Implementation and Benchmarking of Perceptual Image Hash Functions», section 3.2.1 (the cosine hash).
    """
    spectra = _cosines(planes.shape[1]) @ planes @ _cosines(planes.shape[2]).T
    spectra[:, 0, 0] = 0.0
    norms = np.sqrt((spectra**2).sum(axis=(1, 2), keepdims=True))
    found: Spectra = np.where(norms > 1e-4, spectra / np.maximum(norms, 1e-4), 0.0).astype(np.float32)
    return found


def tangents_of(planes: Planes) -> Float[np.ndarray, "image direction value"]:
    """What scales an image's spectrum, and what shifting and stretching it a little along rows and columns adds to it.

    Unlike the spectra these are not brought to norm 1: only the space they span is of use. Slopes are taken of the
    image at 32 × 32; all is linear, and so one matrix a side.
    """
    down, across = _moving(planes.shape[1]), _moving(planes.shape[2])
    spectra = down.reshape(-1, planes.shape[1]) @ planes @ across.reshape(-1, planes.shape[2]).T
    spectra = spectra.reshape(len(planes), 3, FREQUENCIES, 3, FREQUENCIES)
    moved = np.stack([spectra[:, i, :, j] for i, j in ((0, 0), (1, 0), (2, 0), (0, 1), (0, 2))], axis=1)
    moved[..., 0, 0] = 0.0
    return moved.reshape(len(planes), 5, FREQUENCIES**2)


def _moving(n: int) -> Float[np.ndarray, "what frequency n"]:
    """From a line of `n` pixels to its cosine coefficients, to those of its slopes and of its slopes times places."""
    reduced = _triangles(n, _TANGENT_SIDE)
    slopes = np.gradient(np.eye(_TANGENT_SIDE), axis=0)
    places = (np.arange(_TANGENT_SIDE) + 0.5) / _TANGENT_SIDE * 2 - 1
    made = np.stack([np.eye(_TANGENT_SIDE), slopes, places[:, None] * slopes])
    return (_cosines(_TANGENT_SIDE) @ made @ reduced).astype(np.float32)


def _plane_shape(images: UInt[np.ndarray, "image ..."]) -> tuple[int, int]:
    shape: tuple[Any, ...] = images.shape
    return (shape[2], shape[3]) if images.ndim == 5 else (shape[1], shape[2])


def _cosines(n: int) -> Float[np.ndarray, "frequency n"]:
    """A row a frequency, over pixels; zeros for those that so few pixels do not have. Of unit norm over the side."""
    rows = np.zeros((FREQUENCIES, n), np.float32)
    found = dct(np.eye(n), axis=0, norm="ortho")[:FREQUENCIES] / np.sqrt(n)
    rows[: len(found)] = found
    return rows


def invariants_of(spectra: Spectra) -> Float[np.ndarray, "image value"]:
    """What is the same in all eight positions: of each pair of transposed coefficients the two sizes, larger first.

    No further apart than the spectra themselves: sorting and sizes bring numbers no further from each other.
    """
    upper, lower = np.triu_indices(FREQUENCIES, k=1)
    sizes = np.abs(spectra)
    pairs = np.stack([sizes[:, upper, lower], sizes[:, lower, upper]], axis=2)
    diagonal = np.einsum("iff->if", sizes)[:, 1:]
    return np.hstack([pairs.max(axis=2), pairs.min(axis=2), diagonal])


def positioned(planes: Planes, position: int) -> Float[np.ndarray, "image row2 column2"]:
    """Planes in one of the eight positions; bit 0 flips rows, bit 1 columns, bit 2 transposes first."""
    moved = planes.transpose(0, 2, 1) if position & 4 else planes
    return moved[:, :: -1 if position & 1 else 1, :: -1 if position & 2 else 1]


def best_positions(ones: Spectra, others: Spectra) -> tuple[Int[np.ndarray, " image"], Spectra]:
    """The position, of the eight, in which each of `others` is most like its partner, and its spectrum there."""
    straight = (ones * others).reshape(len(ones), -1)
    transposed = (ones * others.transpose(0, 2, 1)).reshape(len(ones), -1)
    fits = np.hstack([straight @ _SIGNS.T, transposed @ _SIGNS.T])
    position = fits.argmax(axis=1)
    moved = np.where((position & 4 > 0)[:, None, None], others.transpose(0, 2, 1), others)
    return position, moved * _SIGNS[position & 3].reshape(moved.shape)


def _signs() -> Float[np.ndarray, "flip value"]:
    """What each flip does to the coefficients; bit 0 flips rows, bit 1 columns."""
    one, turned = np.ones(FREQUENCIES, np.float32), (-1.0) ** np.arange(FREQUENCIES, dtype=np.float32)
    pairs = ((one, one), (turned, one), (one, turned), (turned, turned))
    return np.stack([np.outer(down, across).ravel() for down, across in pairs])


_SIGNS = _signs()
