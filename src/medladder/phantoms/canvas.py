"""What the cohorts are drawn with: soft shapes, bands, clouds and scattered points on the unit square.

Lengths are fractions of the image's side, so that a picture is the same picture at every size.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Float
from scipy.interpolate import BSpline
from scipy.ndimage import gaussian_filter

Field = Float[np.ndarray, "row column"]


@lru_cache(maxsize=8)
def grid(size: int) -> tuple[Field, Field]:
    """Column and row position of every pixel's centre, from -0.5 to 0.5."""
    steps = ((np.arange(size) + 0.5) / size - 0.5).astype(np.float32)
    across, down = np.meshgrid(steps, steps)
    across.setflags(write=False)
    down.setflags(write=False)
    return across, down


def soft(depth: Field, edge: float) -> Field:
    """1 well inside a shape, 0 well outside; `depth` is the signed distance inward, `edge` the blur."""
    return 1 / (1 + np.exp(np.clip(depth / -edge, -30, 30)))


def turn(across: Field, down: Field, angle: float) -> tuple[Field, Field]:
    """Rotate coordinates by `angle` radians about the origin."""
    cosine, sine = float(np.cos(angle)), float(np.sin(angle))
    return cosine * across + sine * down, cosine * down - sine * across


def ellipse_depth(across: Field, down: Field, width: float, height: float) -> Field:
    """Depth inside an ellipse of these half axes at the origin; a true distance near its edge."""
    radius = np.sqrt((across / width) ** 2 + (down / height) ** 2)
    return (1 - radius) * min(width, height)


def ridge(offset: Field, width: float) -> Field:
    """A line with a Gaussian profile where `offset` is 0."""
    return np.exp(-0.5 * (offset / width) ** 2)


@lru_cache(maxsize=32)
def _spline_basis(size: int, knots: int) -> Float[np.ndarray, "pixel knot"]:
    places = (np.arange(size) + 0.5) / size * knots
    basis = BSpline.design_matrix(places, np.arange(-3.0, knots + 4.0), 3).toarray()
    return basis.astype(np.float32)


def cloud(rng: np.random.Generator, size: int, knots: int) -> Field:
    """A smooth random field with mean 0 and standard deviation about 1, about `knots` bumps across.

    It takes the same numbers from `rng` at every size.
    """
    basis = _spline_basis(size, knots)
    heights = rng.standard_normal((basis.shape[1], basis.shape[1]), dtype=np.float32)
    # A cubic B-spline keeps 151/315 of the variance along one axis, so along two that is left of the deviation.
    return basis @ heights @ basis.T * np.float32(315 / 151)


def scatter(
    points: Float[np.ndarray, "point 2"], weights: Float[np.ndarray, " point"], size: int, blur: float
) -> Field:
    """Points (across, down) as Gaussian specks whose mass, in units of the image's area, is their weight."""
    column, row = np.floor((points.T + 0.5) * size).astype(np.int64)
    is_seen = (column >= 0) & (column < size) & (row >= 0) & (row < size)
    mass = np.bincount(row[is_seen] * size + column[is_seen], weights[is_seen], minlength=size * size)
    specks = mass.reshape(size, size).astype(np.float32) * size**2
    return gaussian_filter(specks, blur * size, mode="constant")


def grain(rng: np.random.Generator, size: int, strength: float, blur: float = 0.008) -> Field:
    """Counting noise seen through a detector: the same noise for the same area at every size.

    `strength` is the standard deviation of a 64-pixel image's pixel, before the detector blurs it.
    """
    noise = gaussian_filter(rng.standard_normal((size, size), dtype=np.float32), blur * size, mode="nearest")
    return noise * np.float32(strength * size / 64)
