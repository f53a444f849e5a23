"""Whether two pictures are one: laid over each other, does the fine detail agree?

People look alike in a radiograph's coarse shapes, so these only lay one over the other; what decides is the band of
detail that a person has for themselves and a recompressed copy keeps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

LARGEST_CROP = 0.16
"""Of a side, that one picture may lack of the other; beyond it a fit counts as none."""

_LARGE = 64
_NARROW_BAND, _WIDE_BAND = (0.4, 1.2), (0.7, 2.5)
"""Standard deviations in pixels of the two blurs between which detail lies. People differ most in the narrow band, but
in pictures without much detail recompression takes that away."""
_WIDE_STRICTNESS = 3.25
"""Disagreement in the wide band counts so many times: .96 there says what .87 says in the narrow one."""

_STEPS_AT_HALF, _STEPS_IN_FULL = 2, 3
_LEAST_ROUGH = 0.79
"""Of the detail before the last steps of the fit, which add up to .06 for copies."""

_CLIPPED = 0.002
"""Values nearer than this to black or white are clipped: a copy that was brightened has lost its detail there."""
_LEAST_SHOWN = 0.3
"""With less of the picture unclipped, all of it is compared: black around a small organ is no damage."""
_ALL = 0.999
"""A pixel laid over the other picture counts if none that it is mixed of is clipped; less for rounding."""

Planes = Float[np.ndarray, "_ row column"]
Frames = Float[np.ndarray, "pair axis 2"]
"""Of each pair and axis, the shift and the stretch of one picture on the other, in half sides; 0 and 1 for a copy."""


@dataclass(frozen=True)
class _Template:
    """What is worked out once for a picture that others are laid over.

    `solver` gives, from what another picture has more than this one, the shift and the stretch along rows and columns,
    the gain and the offset that explain it best.
    """

    blurred: Planes
    solver: Float[np.ndarray, "pair 6 pixel"]

    @classmethod
    def of(cls, planes: Planes) -> _Template:
        n, side, _ = planes.shape
        blurred, places = _blurred(planes), _places(side)
        down, across = (slope * np.float32(side / 2) for slope in np.gradient(blurred, axis=(1, 2)))
        moved = (down, down * places[:, None], across, across * places, blurred, np.ones_like(blurred))
        design = np.stack(moved, axis=1).reshape(n, 6, -1)
        normal = design @ design.transpose(0, 2, 1) + np.float32(1e-5) * np.eye(6, dtype=np.float32)
        return cls(blurred, np.linalg.inv(normal) @ design)


def agreement(ones: Planes, others: Planes, of: Int[np.ndarray, " pair2"]) -> Float[np.ndarray, " pair2"]:
    """Correlation, -1 to 1, of the detail of square pictures after laying each pair over each other; 0 where it fails.

    `others[i]` is laid over `ones[of[i]]`. Most pairs are given up after a fit at half size.

    Source
    ------
    Baker & Matthews 2004, doi:10.1023/B:VISI.0000011205.11775.fd, for the fit (inverse compositional, with gain and
    offset).
    """
    scores = np.zeros(len(of), np.float32)
    frames = np.tile(np.array([0.0, 1.0], np.float32), (len(of), 2, 1))
    frames = _laid_over(_Template.of(_halved(ones)), of, _halved(others), frames, _STEPS_AT_HALF)
    left = np.flatnonzero(_scored(ones, of, others, frames) >= _LEAST_ROUGH)
    if len(left):
        distinct, at = np.unique(of[left], return_inverse=True)
        first, second = ones[distinct], others[left]
        fitted = _laid_over(_Template.of(first), at, second, frames[left], _STEPS_IN_FULL)
        scores[left] = _scored(first, at, second, fitted)
    return scores


def _scored(ones: Planes, at: Int[np.ndarray, " pair"], others: Planes, frames: Frames) -> Float[np.ndarray, " pair"]:
    """Agreement of the detail of pictures that lie so, in the better of both bands; 0 where they share too little."""
    scores = []
    shows, _ = _warped(_shows_detail(others), frames)
    weights = (shows > _ALL) * _inside(others.shape[1]) * _shows_detail(ones)[at]
    for own, detail in zip(_details(ones), _details(others), strict=True):
        warped, _ = _warped(detail, frames)  # in this order: what lies without has no detail
        scores.append(_correlation(own[at], warped, weights))
    best = np.maximum(1 - _WIDE_STRICTNESS * (1 - scores[0]), scores[1])
    is_near = np.abs(frames - np.array([0.0, 1.0], np.float32)).max(axis=(1, 2)) <= LARGEST_CROP
    return np.where(is_near, best, np.float32(0.0)).astype(np.float32)


def _laid_over(
    template: _Template, at: Int[np.ndarray, " pair"], others: Planes, frames: Frames, n_steps: int
) -> Frames:
    """Shifts and stretches of the second picture that fit the first best, from those given on."""
    others = _blurred(others)
    fixed, solver = template.blurred[at], template.solver[at]
    gain, offset = _gain(fixed, *_warped(others, frames))
    for _ in range(n_steps):
        warped, seen = _warped(others, frames)
        missing = seen * (warped - gain[:, None, None] * fixed - offset[:, None, None])
        answer = (solver @ missing.reshape(len(at), -1, 1))[..., 0]
        gain, offset = gain + answer[:, 4], offset + answer[:, 5]
        moved = answer[:, :4] / np.where(np.abs(gain) < 0.1, np.float32(np.inf), gain)[:, None]
        moved = np.clip(moved, -0.08, 0.08).reshape(-1, 2, 2)
        # The first picture moved so looks like the second; the second moved by the reverse looks like the first.
        stretch = frames[..., 1] / (1 + moved[..., 1])
        frames = np.stack([frames[..., 0] - moved[..., 0] * stretch, stretch], axis=-1)
        frames = np.clip(frames, np.array([-0.4, 0.6], np.float32), np.array([0.4, 1.4], np.float32))
    return frames


def _gain(fixed: Planes, warped: Planes, seen: Planes) -> tuple[Float[np.ndarray, " pair"], Float[np.ndarray, " pair"]]:
    """Gain and offset from one picture's values to the other's, where both are seen."""
    n = np.maximum(seen.sum(axis=(1, 2)), 1.0)
    one, other = (seen * fixed).sum(axis=(1, 2)) / n, (seen * warped).sum(axis=(1, 2)) / n
    apart = seen * (fixed - one[:, None, None])
    gain = (apart * warped).sum(axis=(1, 2)) / np.maximum((apart**2).sum(axis=(1, 2)), 1e-9)
    return gain, other - gain * one


def _halved(planes: Planes) -> Float[np.ndarray, "_ row2 column2"]:
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


def _blurred(planes: Planes) -> Planes:
    blur = _blur(planes.shape[1], 1.0)
    return blur @ planes @ blur.T


def _details(planes: Planes) -> tuple[Planes, Planes]:
    """In the wide and in the narrow band: the difference of two blurs."""
    side = planes.shape[1]
    blurs = np.stack([_blur(side, deviation) for band in (_WIDE_BAND, _NARROW_BAND) for deviation in band])
    down = (blurs.reshape(-1, side) @ planes).reshape(len(planes), 4, side, side)
    return down[:, 0] @ blurs[0].T - down[:, 1] @ blurs[1].T, down[:, 2] @ blurs[2].T - down[:, 3] @ blurs[3].T


def _blur(side: int, deviation: float) -> Float[np.ndarray, "side side"]:
    apart = np.arange(side)[:, None] - np.arange(side)
    weights = np.exp(-0.5 * (apart / deviation) ** 2)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _shows_detail(planes: Planes) -> Planes:
    """0 where a picture is clipped at black or white, unless that is most of it, else 1."""
    shows = ((planes > _CLIPPED) & (planes < 1 - _CLIPPED)).astype(np.float32)
    is_clipped = shows.mean(axis=(1, 2), keepdims=True) < _LEAST_SHOWN
    return np.where(is_clipped, np.float32(1.0), shows)


def _inside(side: int) -> Float[np.ndarray, "side side"]:
    """0 along the border, where blurring sees only half."""
    inner = np.zeros(side, np.float32)
    inner[3:-3] = 1.0
    return inner[:, None] * inner


def _correlation(ones: Planes, others: Planes, weights: Planes) -> Float[np.ndarray, " pair"]:
    """Of values that are weighed 0 or 1; in one pass, since detail has almost no mean."""
    first, second = ones * weights, others * weights
    n = np.maximum(weights.sum(axis=(1, 2)), 1.0)
    mean_one, mean_other = first.sum(axis=(1, 2)) / n, second.sum(axis=(1, 2)) / n
    both = np.einsum("irc,irc->i", first, second) / n - mean_one * mean_other
    power_one = np.einsum("irc,irc->i", first, first) / n - mean_one**2
    power_other = np.einsum("irc,irc->i", second, second) / n - mean_other**2
    sizes = np.sqrt(np.maximum(power_one * power_other, 0.0))
    return np.where(sizes > 1e-12, both / np.maximum(sizes, 1e-12), 0.0)
