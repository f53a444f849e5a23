"""Templates: how edge-like the pattern is that a unit looks for, how fine, and how far its values tell classes apart.

A template is one number a pixel: the weights of a unit in a dense first layer, its mean signed gradient in any other.
Its sign and its size change none of these measures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Complex64, Float, Float32, Float64, Int, Num
from scipy.stats import rankdata

from ..errors import InputError

LONGEST_SIDE = 64
"""Larger planes are brought to this many pixels, by area means, before a Gabor is fitted."""

NARROWEST, WIDEST = 0.8, 1 / 6
"""Deviations of a Gabor's envelope: from so many pixels to this share of the longer side."""

FEWEST_WAVES, MOST_WAVES = 0.2, 0.85
"""Cycles within one deviation of the envelope: from a lone edge or line to a patch of stripes."""

FASTEST = 0.5
"""Cycles a pixel, at most."""

_STARTS, _ROUNDS, _NARROWING = 2, 6, 0.65  # 20 rounds from 4 starts explain .003 more
_WAVES_STEP, _WIDTH_STEP = 0.2, math.sqrt(2)
_UNITS_AT_ONCE, _VALUES_AT_ONCE = 64, 2**16  # values that stay in the caches
_RIDGE = 1e-4  # where even and odd part, cut by the rim, are almost one

_Settings = Num[np.ndarray, "*setting"]


def planes_of(templates: Float[np.ndarray, "unit *axis channel"]) -> Float[np.ndarray, "unit row column"]:
    """See each template as one grey plane.

    Channels are added up along the direction in which they vary most together (the first principal component of a
    template's pixels), so that a red-green edge stays an edge; its largest part is positive. Of a volume, that slice
    along its first axis in which most of the variation lies.

    Raises
    ------
    InputError
        The templates are of vectors, which have no plane.
    """
    if templates.ndim not in (4, 5):
        raise InputError(
            found=f"Templates with {max(templates.ndim - 2, 0)} axes besides units and channels.",
            needed="2 of a picture or 3 of a volume: the columns of a vector have no neighbours.",
            do="Give templates of images.",
        )
    values = np.asarray(templates, dtype=np.float64)
    if values.shape[-1] == 1:
        planes = values[..., 0]
    else:
        flat = values.reshape(len(values), -1, values.shape[-1])
        apart = flat - flat.mean(axis=1, keepdims=True)
        direction = np.linalg.eigh(apart.mT @ apart)[1][:, :, -1]
        largest = np.take_along_axis(direction, np.abs(direction).argmax(axis=1)[:, None], axis=1)
        planes = (flat @ (direction * np.sign(largest))[:, :, None]).reshape(values.shape[:-1])
    if planes.ndim == 4:
        most = planes.var(axis=(2, 3)).argmax(axis=1)
        planes = planes[np.arange(len(planes)), most]
    return planes


def edge_likeness(planes: Float[np.ndarray, "unit row column"]) -> Float[np.ndarray, " unit"]:
    """Share of each plane's energy about its mean, 0-1, that one Gabor explains; NaN for a plane of one value.

    The Gabor is the one of least squared error: a bank over places, widths and waves finds the two best beginnings,
    and a search over all five settings goes on from there. Even and odd part are fitted at once, so that the phase is
    free: an edge, a line, or stripes. The envelope is round, so that a long line is explained in part; it reaches from
    `NARROWEST` to `WIDEST` with `FEWEST_WAVES` to `MOST_WAVES` in one deviation. The even part is balanced (it adds up
    to 0, as the odd does), or a blob would pass for a line. White noise of n pixels gets about 20 / n, and
    smooth noise more, so that planes of a few pixels always look like edges: compare with random weights. Planes larger
    than `LONGEST_SIDE` are shrunk first, which takes away what is finer. A plane takes about 1 ms at 28×28,
    and 5 ms at 64×64 or more.

    Source
    ------
    Least-squares Gabors: Jones & Palmer 1987, doi:10.1152/jn.1987.58.6.1233, there with an envelope of two widths and
    an even part that is not balanced.
    """
    shrunk = _shrunk(np.asarray(planes, dtype=np.float64))
    apart = shrunk - shrunk.mean(axis=(1, 2), keepdims=True)
    length = np.sqrt((apart**2).sum(axis=(1, 2)))
    varies = length > 1e-6 * math.sqrt(math.prod(apart.shape[1:])) * np.abs(shrunk).max(axis=(1, 2), initial=0)
    share = np.full(len(planes), np.nan)
    for start in range(0, int(varies.sum()), _UNITS_AT_ONCE):
        units = np.flatnonzero(varies)[start : start + _UNITS_AT_ONCE]
        share[units] = _best_share((apart[units] / length[units, None, None]).astype(np.float32))
    return np.asarray(np.clip(share, 0, 1))


def spatial_frequency(planes: Float[np.ndarray, "unit row column"]) -> Float[np.ndarray, " unit"]:
    """Mean frequency of each plane, weighted by power, in cycles along its longer side; NaN for a plane of one value.

    Whatever its direction; the mean grey is left out. A pattern is seen as going on beyond the rim as it begins on
    the other side, so that a step from rim to rim counts as an edge.
    """
    values = np.asarray(planes, dtype=np.float64)
    rows, columns = values.shape[1:]
    down, across = np.fft.fftfreq(rows), np.fft.rfftfreq(columns)
    frequency = max(rows, columns) * np.hypot(down[:, None], across)
    twice = np.where((across > 0) & (across < 0.5), 2.0, 1.0)  # each stands for itself and its mirror image
    found = np.full(len(values), np.nan)
    for unit, plane in enumerate(values):
        apart = plane - plane.mean()
        if np.abs(apart).max() > 1e-6 * np.abs(plane).max():
            power = twice * np.abs(np.fft.rfft2(apart)) ** 2
            found[unit] = (power * frequency).sum() / power.sum()
    return found


def selectivity(
    values: Float[np.ndarray, "image unit"], labels: Int[np.ndarray, " image"], n_classes: int
) -> Float[np.ndarray, " unit"]:
    """How far a unit's values tell one class from all others: |2 AUROC - 1|, the largest over the classes.

    0 where they tell nothing, as of a unit of one value, and 1 where every image of the class lies above, or below,
    every other. With few images it is above 0 by chance: by about 1 / √n of the rarer class.

    Raises
    ------
    InputError
        A label is no class, or all images are of one class.
    """
    if len(labels) == 0 or labels.min() < 0 or labels.max() >= n_classes or len(labels) != len(values):
        raise InputError(
            found=f"{len(labels)} labels for {len(values)} images and {n_classes} classes.",
            needed="A label an image, each from 0 to one less than the number of classes.",
            do="Give the labels that belong to the images.",
        )
    members = np.bincount(labels, minlength=n_classes)
    known = (members > 0) & (members < len(labels))
    if not known.any():
        raise InputError(
            found=f"{len(labels)} images of one class.",
            needed="Images of two classes.",
            do="Give images of each class.",
        )
    belongs = (labels[:, None] == np.flatnonzero(known)).astype(np.float64)
    ranks = rankdata(values, axis=0)
    inside = members[known][:, None].astype(np.float64)
    auroc = (belongs.T @ ranks - inside * (inside + 1) / 2) / (inside * (len(labels) - inside))
    return np.asarray(np.abs(2 * auroc - 1).max(axis=0))


def _shrunk(planes: Float[np.ndarray, "unit row column"]) -> Float[np.ndarray, "unit row column"]:
    """Area means on a grid of at most `LONGEST_SIDE` a side, in the proportions of the plane."""
    sides = planes.shape[1:]
    step = max(sides) / LONGEST_SIDE
    if step <= 1:
        return planes
    down, across = (_area_means(side, max(1, round(side / step))) for side in sides)
    return np.asarray(down @ planes @ across.T)


def _area_means(before: int, after: int) -> Float[np.ndarray, "after before"]:
    covered = np.clip(np.arange(after + 1)[:, None] * (before / after) - np.arange(before), 0, 1)
    return np.asarray(np.diff(covered, axis=0) * (after / before))


@dataclass(frozen=True, eq=False)
class _Waves:
    """Waves under an envelope along one axis: the envelope, it times cosine and sine, and sums that tell their lengths.

    A Gabor with a round envelope is the product of one wave down and one across.
    """

    envelope: Float64[np.ndarray, "*setting pixel"]
    even: Float64[np.ndarray, "*setting pixel"]
    odd: Float64[np.ndarray, "*setting pixel"]

    @classmethod
    def of(cls, place: _Settings, width: _Settings, waves: _Settings, side: int) -> _Waves:
        """`waves` are cycles within one deviation, which is `width` pixels."""
        away = (np.arange(side) - np.asarray(place)[..., None]) / np.asarray(width)[..., None]
        envelope, phase = np.exp(-(away**2) / 2), 2 * math.pi * np.asarray(waves)[..., None] * away
        envelope, phase = np.broadcast_arrays(envelope, phase)
        return cls(envelope, envelope * np.cos(phase), envelope * np.sin(phase))

    def sums(self) -> tuple[_Settings, ...]:
        """How much of the envelope a wave holds; sums of the envelope's square, that times the wave once and twice."""
        wave = self.even + 1j * self.odd
        squares = (self.envelope**2, self.envelope * wave, wave**2)
        return (wave.sum(axis=-1) / self.envelope.sum(axis=-1), *(one.sum(axis=-1) for one in squares))


def _form(down: tuple[_Settings, ...], across: tuple[_Settings, ...]) -> tuple[_Settings, tuple[_Settings, ...]]:
    """How much of the envelope to take off a Gabor, so that its parts add up to 0 in the plane.

    And the share that it explains, as a quadratic form of what its even and odd part have in common with the plane.
    """
    balance, plain, once, twice = (one * other for one, other in zip(down, across, strict=True))
    both = plain * (1 + np.abs(balance) ** 2) - 2 * (balance.conj() * once).real
    apart = twice - 2 * balance * once + balance**2 * plain
    even, odd, shared = ((1 + _RIDGE) * both + apart.real) / 2, ((1 + _RIDGE) * both - apart.real) / 2, apart.imag / 2
    area = np.maximum(even * odd - shared**2, 1e-12)  # a wave of no cycles is nothing but its envelope
    return balance, (odd / area, -2 * shared / area, even / area)


@dataclass(frozen=True, eq=False)
class _Width:
    """The Gabors of one width in the bank."""

    width: float
    places: tuple[Float64[np.ndarray, " place"], Float64[np.ndarray, " place"]]
    waves: tuple[Float64[np.ndarray, " wave"], Float64[np.ndarray, " wave"]]
    """Down they begin at 0, for a Gabor turned by half a circle is the same."""
    down: Complex64[np.ndarray, "place*wave row"]
    across: Complex64[np.ndarray, "column place*wave"]
    balance: Complex64[np.ndarray, "place wave place wave"]
    form: tuple[Float32[np.ndarray, "place wave place wave"], ...]
    """0 for Gabors that are not in the bank."""

    def best(
        self, planes: Float32[np.ndarray, "unit row column"]
    ) -> tuple[Float32[np.ndarray, " unit"], Float64[np.ndarray, "unit setting"]]:
        """The largest share of each plane that a Gabor of this width explains, and that Gabor."""
        found = (self.down @ (planes @ self.across)).reshape(len(planes), *self.form[0].shape)
        middle = len(self.waves[1]) // 2
        found -= self.balance * found[:, :, :1, :, middle : middle + 1]
        even, odd = found.real, found.imag
        share = even * (self.form[0] * even + self.form[1] * odd) + self.form[2] * odd**2
        most = share.reshape(len(planes), -1).argmax(axis=1)
        row, wave_down, column, wave_across = np.unravel_index(most, share.shape[1:])
        settings = [
            self.places[0][row],
            self.places[1][column],
            np.full(len(planes), math.log(self.width)),
            self.waves[0][wave_down],
            self.waves[1][wave_across],
        ]
        return share.reshape(len(planes), -1)[np.arange(len(planes)), most], np.stack(settings, axis=1)


@cache
def _bank(rows: int, columns: int) -> tuple[_Width, ...]:
    """A Gabor not far from every one that the search may find."""
    side, widths = max(rows, columns), [NARROWEST]
    while widths[-1] * _WIDTH_STEP <= side * WIDEST:
        widths.append(widths[-1] * _WIDTH_STEP)
    return tuple(_of_width(width, rows, columns) for width in widths)


def _of_width(width: float, rows: int, columns: int) -> _Width:
    most = min(MOST_WAVES, FASTEST * width)
    steps = math.floor(most / _WAVES_STEP + 1e-9)
    waves = (_WAVES_STEP * np.arange(steps + 1), _WAVES_STEP * np.arange(-steps, steps + 1))
    places = [_places(width, side) for side in (rows, columns)]
    down, across = (
        _Waves.of(at[:, None], np.array(width), among, side)
        for at, among, side in zip(places, waves, (rows, columns), strict=True)
    )
    balance, form = _form(tuple(one[:, :, None, None] for one in down.sums()), across.sums())
    total = np.hypot(waves[0][:, None, None], waves[1])
    is_in = (total > FEWEST_WAVES - 1e-9) & (total < most + 1e-9)
    as_rows = [(one.even + 1j * one.odd).astype(np.complex64).reshape(-1, one.even.shape[-1]) for one in (down, across)]
    return _Width(
        width,
        (places[0], places[1]),
        waves,
        as_rows[0],
        np.ascontiguousarray(as_rows[1].T),
        balance.astype(np.complex64),
        tuple(np.where(is_in, one, 0).astype(np.float32) for one in form),
    )


def _places(width: float, side: int) -> Float64[np.ndarray, " place"]:
    """Centres along an axis; one deviation from the rim at least, or half an edge, which is a blob, would be one."""
    first = min(width, (side - 1) / 2)
    length = side - 1 - 2 * first
    return np.linspace(first, side - 1 - first, math.ceil(length / max(1.0, width)) + 1)


def _best_share(planes: Float32[np.ndarray, "unit row column"]) -> Float64[np.ndarray, " unit"]:
    """Share of each plane, of mean 0 and length 1, that the best Gabor explains."""
    bank = _bank(*planes.shape[1:])
    shares, settings = np.empty((len(planes), len(bank))), np.empty((len(planes), len(bank), 5))
    for place, one in enumerate(bank):
        at_once = max(1, _VALUES_AT_ONCE // one.form[0].size)
        for start in range(0, len(planes), at_once):
            some = slice(start, start + at_once)
            shares[some, place], settings[some, place] = one.best(planes[some])
    first = np.argsort(-shares, axis=1, kind="stable")[:, :_STARTS]
    at = np.take_along_axis(settings, first[:, :, None], axis=1)
    wide = planes.astype(np.float64)
    share = _shares(wide, at)
    for turn in range(_ROUNDS):
        at, share = _closer(wide, at, share, _NARROWING**turn)
    return np.asarray(share.max(axis=1))


def _closer(
    planes: Float64[np.ndarray, "unit row column"],
    at: Float64[np.ndarray, "unit start setting"],
    share: Float64[np.ndarray, "unit start"],
    step: float,
) -> tuple[Float64[np.ndarray, "unit start setting"], Float64[np.ndarray, "unit start"]]:
    """Go to the best of: where one is, a step either way in each setting, and the top of parabolas through those."""
    limits, n_settings = planes.shape[1:], at.shape[-1]
    reach = np.empty_like(at)
    reach[..., :2], reach[..., 2], reach[..., 3:] = 0.3 * np.exp(at[..., 2:3]), 0.15, 0.08
    reach *= step
    ways = np.concatenate([np.eye(n_settings), -np.eye(n_settings)])
    tried = _within(at[:, :, None] + ways * reach[:, :, None], limits)
    found = _shares(planes, tried)
    above, below = found[..., :n_settings] - share[..., None], found[..., n_settings:] - share[..., None]
    bend = above + below
    top = np.where(bend < 0, (below - above) / np.where(bend < 0, 2 * bend, 1), np.sign(above - below))
    vertex = _within(at + np.clip(top, -2, 2) * reach, limits)[:, :, None]
    tried = np.concatenate([at[:, :, None], tried, vertex], axis=2)
    found = np.concatenate([share[..., None], found, _shares(planes, vertex)], axis=2)
    most = found.argmax(axis=2)[..., None]
    return np.take_along_axis(tried, most[..., None], axis=2)[:, :, 0], np.take_along_axis(found, most, axis=2)[..., 0]


def _within(at: Float64[np.ndarray, "*any setting"], sides: tuple[int, ...]) -> Float64[np.ndarray, "*any setting"]:
    """The nearest settings that are allowed."""
    held = at.copy()
    held[..., 2] = np.clip(at[..., 2], math.log(NARROWEST), math.log(max(NARROWEST, WIDEST * max(sides))))
    width = np.exp(held[..., 2])
    for axis, side in enumerate(sides):
        first = np.minimum(width, (side - 1) / 2)
        held[..., axis] = np.clip(at[..., axis], first, side - 1 - first)
    total = np.maximum(np.hypot(at[..., 3], at[..., 4]), 1e-9)
    most = np.minimum(MOST_WAVES, FASTEST * width)
    held[..., 3:] *= (np.clip(total, FEWEST_WAVES, most) / total)[..., None]
    return held


def _shares(
    planes: Float64[np.ndarray, "unit row column"], at: Float64[np.ndarray, "unit *any setting"]
) -> Float64[np.ndarray, "unit *any"]:
    """Share of a plane that the Gabors of these settings explain."""
    flat = at.reshape(len(planes), -1, at.shape[-1])
    width = np.exp(flat[..., 2])
    down = _Waves.of(flat[..., 0], width, flat[..., 3], planes.shape[1])
    across = _Waves.of(flat[..., 1], width, flat[..., 4], planes.shape[2])
    balance, form = _form(down.sums(), across.sums())
    even, odd, plain = (one @ planes for one in (down.even, down.odd, down.envelope))
    taken = balance * np.vecdot(plain, across.envelope)
    with_even = np.vecdot(even, across.even) - np.vecdot(odd, across.odd) - taken.real
    with_odd = np.vecdot(even, across.odd) + np.vecdot(odd, across.even) - taken.imag
    share = with_even * (form[0] * with_even + form[1] * with_odd) + form[2] * with_odd**2
    return np.asarray(share.reshape(at.shape[:-1]))
