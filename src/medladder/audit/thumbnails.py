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
    """Each image's lowest cosine coefficients, of norm 1 and without the mean, so that gain and offset do not matter.

    An image without any contrast has zeros. `border` is the share of a side that is cut off at each end before. In
    pieces, so that a progress bar can follow.

    Source
    ------
    Zauner 2010, «Implementation and Benchmarking of Perceptual Image Hash Functions», section 3.2.1 (the cosine hash).
    """
    n_rows, n_columns = _plane_shape(images)
    top, left = round(border * n_rows), round(border * n_columns)
    down, across = _cosines(n_rows - 2 * top), _cosines(n_columns - 2 * left)
    for start in range(0, len(images), _ROWS_AT_ONCE):
        planes = grey_planes(images, np.arange(start, min(start + _ROWS_AT_ONCE, len(images))))
        spectra = down @ planes[:, top : n_rows - top, left : n_columns - left] @ across.T
        spectra[:, 0, 0] = 0.0
        norms = np.sqrt((spectra**2).sum(axis=(1, 2), keepdims=True))
        yield np.where(norms > 1e-4, spectra / np.maximum(norms, 1e-4), 0.0).astype(np.float32)


def tangents_of(
    images: UInt[np.ndarray, "image ..."], rows: Int[np.ndarray, " row"]
) -> Float[np.ndarray, "row direction value"]:
    """What scales an image's spectrum, and what shifting and stretching it a little along rows and columns adds to it.

    Unlike the spectra these are not brought to norm 1: only the space they span is of use.
    """
    planes = resized(grey_planes(images, rows), _TANGENT_SIDE)
    down, across = np.gradient(planes, axis=(1, 2))
    places = ((np.arange(_TANGENT_SIDE) + 0.5) / _TANGENT_SIDE * 2 - 1).astype(np.float32)
    moved = np.stack([planes, down, down * places[:, None], across, across * places], axis=1)
    cosines = _cosines(_TANGENT_SIDE)
    spectra = cosines @ moved @ cosines.T
    spectra[..., 0, 0] = 0.0
    return spectra.reshape(len(planes), moved.shape[1], FREQUENCIES**2)


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


def positioned_spectra(spectra: Spectra, position: int) -> Spectra:
    """What `spectra_of` would say of the planes in that position."""
    signs = (-1.0) ** np.arange(FREQUENCIES, dtype=np.float32)
    moved = spectra.transpose(0, 2, 1) if position & 4 else spectra
    if position & 1:
        moved = moved * signs[:, None]
    return moved * signs if position & 2 else moved
