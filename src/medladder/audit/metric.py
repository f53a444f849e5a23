"""By what copies are told from other images: distances in which what a crop or another window changes counts little.

Where all images are much alike, as drawn chests are, a crop moves a copy further than people differ. How it moves a
spectrum is seen on some of the cohort's own images, and those directions are weighed down.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, UInt

from .thumbnails import Planes, grey_planes, invariants_of, spectra_of_planes

_AXES = 64
_SAMPLE = 5000
_VARIED = 24
_IMAGES_A_VARIATION = 128
_LARGEST_CUT = 0.05
_FLOOR = 0.03
"""Of the mean variance that variations bring: what every direction has besides, of noise and recompression."""


def copy_axes(
    images: UInt[np.ndarray, "image ..."], rows: Int[np.ndarray, " row"], values: Float[np.ndarray, "row value"]
) -> Float[np.ndarray, "value axis"]:
    """Axes along which images lie far apart and varied copies of one image near; `values` are the invariants of `rows`.

    Source
    ------
    Fisher 1936, doi:10.1111/j.1469-1809.1936.tb02137.x; Shental et al. 2002, doi:10.1007/3-540-47979-1_52, for
    whitening by what does not tell.
    """
    rng = np.random.default_rng(0)
    some = rng.permutation(len(rows))[:_SAMPLE]
    within = _within(images, rows, values, rng)
    floor = max(_FLOOR * np.trace(within) / len(within), 1e-9)
    variances, axes = np.linalg.eigh(within + floor * np.eye(len(within)))
    whitened = axes * variances**-0.5
    between = np.cov((values[some].astype(np.float64) @ whitened).T)
    return (whitened @ np.linalg.eigh(between)[1][:, ::-1][:, :_AXES]).astype(np.float32)


def _within(
    images: UInt[np.ndarray, "image ..."],
    rows: Int[np.ndarray, " row"],
    values: Float[np.ndarray, "row value"],
    rng: np.random.Generator,
) -> Float[np.ndarray, "value value"]:
    """Mean products of what variations of some images change."""
    total, n = np.zeros((values.shape[1], values.shape[1])), 0
    for _ in range(_VARIED):
        some = rng.integers(0, len(rows), _IMAGES_A_VARIATION)
        planes = _varied(grey_planes(images, rows[some]), rng)
        apart = (invariants_of(spectra_of_planes(planes)) - values[some]).astype(np.float64)
        total += apart.T @ apart
        n += len(apart)
    return total / n


def _varied(planes: Planes, rng: np.random.Generator) -> Float[np.ndarray, "image row2 column2"]:
    """Cut at each side by up to a twentieth and seen through another window."""
    height, width = planes.shape[1:]
    top, bottom = np.round(rng.uniform(0, _LARGEST_CUT, 2) * height).astype(int)
    left, right = np.round(rng.uniform(0, _LARGEST_CUT, 2) * width).astype(int)
    gain, offset, gamma = rng.uniform(0.85, 1.2), rng.uniform(-0.08, 0.08), rng.uniform(0.85, 1.18)
    seen = planes[:, top : height - bottom, left : width - right]
    return np.clip(seen**gamma * gain + offset, 0.0, 1.0).astype(np.float32)
