"""Whether two pictures are one: laid over each other, does the fine detail agree?

People look alike in a radiograph's coarse shapes, so these only lay one over the other; what decides is the band of
detail that a person has for themselves and a recompressed copy keeps.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

LARGEST_CROP = 0.16
"""Of a side, that one picture may lack of the other; beyond it a fit counts as none."""

_LARGE = 64
_NARROW_BAND, _WIDE_BAND = (0.4, 1.2), (0.7, 2.5)
"""Standard deviations in pixels of the two blurs between which detail lies. People differ most in the narrow band, but
in pictures without much detail recompression takes that away."""
_WIDE_STRICTNESS = 3.25
"""Disagreement in the wide band counts so many times: .96 there says what .87 says in the narrow one."""

Planes = Float[np.ndarray, "pair row column"]
Frames = Float[np.ndarray, "pair axis 2"]
"""Of each pair and axis, the shift and the stretch of one picture on the other, in half sides; 0 and 1 for a copy."""


def agreement(ones: Planes, others: Planes) -> Float[np.ndarray, " pair"]:
    """Correlation, -1 to 1, of the detail of square pictures after laying each pair over each other; 0 where it fails.

    Source
    ------
    Baker & Matthews 2004, doi:10.1023/B:VISI.0000011205.11775.fd, for the fit (Gauss–Newton, with gain and offset).
    """
    scores = np.zeros(len(ones), np.float32)
    frames = np.tile(np.array([0.0, 1.0], np.float32), (len(ones), 2, 1))
    left = np.arange(len(ones))
    small = _halved(ones), _halved(others)
    for (first, second), n_steps, least in ((small, 3, 0.6), (small, 4, 0.82), ((ones, others), 3, 1.0)):
        frames[left] = _laid_over(first[left], second[left], frames[left], n_steps)
        scores[left] = _scored(first[left], second[left], frames[left])
        is_promising = scores[left] >= least
        if second is not others:
            scores[left[~is_promising]] = 0.0
        left = left[is_promising]
        if not len(left):
            break
    return scores


def _scored(ones: Planes, others: Planes, frames: Frames) -> Float[np.ndarray, " pair"]:
    """Agreement of the detail of pictures that lie so, in the better of both bands; 0 where they share too little."""
    inside, scores = _inside(ones.shape[1]), []
    for band in (_WIDE_BAND, _NARROW_BAND):
        warped, seen = _warped(_detail(others, *band), frames)  # in this order: what lies without has no detail
        scores.append(_correlation(_detail(ones, *band), warped, seen * inside))
    best = np.maximum(1 - _WIDE_STRICTNESS * (1 - scores[0]), scores[1])
    is_near = np.abs(frames - np.array([0.0, 1.0], np.float32)).max(axis=(1, 2)) <= LARGEST_CROP
    return np.where(is_near, best, np.float32(0.0))


def _laid_over(ones: Planes, others: Planes, frames: Frames, n_steps: int) -> Frames:
    """Shifts and stretches of the second picture that fit the first best, from those given on."""
    n, side, _ = ones.shape
    blur = _blur(side, 1.0)
    ones, others = blur @ ones @ blur.T, blur @ others @ blur.T
    places = _places(side)
    right = ones.reshape(n, -1, 1)
    for _ in range(n_steps):
        warped, seen = _warped(others, frames)
        down, across = (slope * np.float32(side / 2) for slope in np.gradient(warped, axis=(1, 2)))
        moved = (down, down * places[:, None], across, across * places, warped, np.ones_like(warped))
        design = np.stack(moved, axis=1).reshape(n, 6, -1)
        weighed = design * seen.reshape(n, 1, -1)
        normal = weighed @ design.transpose(0, 2, 1) + np.float32(1e-5) * np.eye(6, dtype=np.float32)
        answer = np.linalg.solve(normal, weighed @ right)[..., 0]
        gain = np.where(np.abs(answer[:, 4]) < 0.1, np.float32(np.inf), answer[:, 4])[:, None]
        step = np.clip(answer[:, :4] / gain, -0.08, 0.08).reshape(n, 2, 2)
        frames = np.clip(frames + step, np.array([-0.4, 0.6], np.float32), np.array([0.4, 1.4], np.float32))
    return frames


def _halved(planes: Planes) -> Float[np.ndarray, "pair row2 column2"]:
    """Means of two by two where pictures are large: what lays them over each other needs no more."""
    if planes.shape[1] < _LARGE:
        return planes
    return 0.25 * (planes[:, ::2, ::2] + planes[:, 1::2, ::2] + planes[:, ::2, 1::2] + planes[:, 1::2, 1::2])


def _places(side: int) -> Float[np.ndarray, " side"]:
    """Middles of pixels from -1 to 1."""
    return ((np.arange(side) + 0.5) / side * 2 - 1).astype(np.float32)


def _warped(planes: Planes, frames: Frames) -> tuple[Planes, Planes]:
    """Planes at shifted and stretched places, bilinear; and 1 where a place lies within, else 0."""
    side = planes.shape[1]
    at = frames[:, :, :1] + frames[:, :, 1:] * _places(side)
    pixels = (at + 1) / 2 * side - 0.5
    hats = np.maximum(0.0, 1.0 - np.abs(pixels[..., None] - np.arange(side, dtype=np.float32)))
    within = ((pixels >= 0) & (pixels <= side - 1)).astype(np.float32)
    return hats[:, 0] @ planes @ hats[:, 1].transpose(0, 2, 1), within[:, 0, :, None] * within[:, 1, None, :]


def _detail(planes: Planes, fine: float, coarse: float) -> Planes:
    narrow, wide = _blur(planes.shape[1], fine), _blur(planes.shape[1], coarse)
    return narrow @ planes @ narrow.T - wide @ planes @ wide.T


def _blur(side: int, deviation: float) -> Float[np.ndarray, "side side"]:
    apart = np.arange(side)[:, None] - np.arange(side)
    weights = np.exp(-0.5 * (apart / deviation) ** 2)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _inside(side: int) -> Float[np.ndarray, "side side"]:
    """0 along the border, where blurring sees only half."""
    inner = np.zeros(side, np.float32)
    inner[3:-3] = 1.0
    return inner[:, None] * inner


def _correlation(ones: Planes, others: Planes, weights: Planes) -> Float[np.ndarray, " pair"]:
    total = np.maximum(weights.sum(axis=(1, 2)), 1.0)[:, None, None]
    ones = ones - (ones * weights).sum(axis=(1, 2), keepdims=True) / total
    others = others - (others * weights).sum(axis=(1, 2), keepdims=True) / total
    both = (weights * ones * others).sum(axis=(1, 2))
    sizes = np.sqrt((weights * ones**2).sum(axis=(1, 2)) * (weights * others**2).sum(axis=(1, 2)))
    return np.where(sizes > 1e-9, both / np.maximum(sizes, 1e-9), 0.0)
