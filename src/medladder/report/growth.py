"""How the networks of a study would grow with its images: dense ones by every pixel, convolutional ones hardly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

from ..architecture import SIDES, Layer, convolution_layers, dense_layers, split_channels, with_side
from ..errors import OptionError
from ..language import join, phrase, tr
from ..record.plan import PlannedRung
from . import wording
from .figures import FORMATS, NARROW, Format, label_curves, marker, start_curves, thin_out, wrap_name
from .palette import FAINT, INK, SOFT, Look
from .svg import from_figure

_STEPS = 48


@dataclass(frozen=True)
class Growth:
    """One rung's parameters, its members counted once, as the image's side grows."""

    rung: str
    sides: tuple[int, ...]
    parameters: tuple[int | None, ...]
    """At each side; None where the stages asked for cannot halve so few pixels."""
    working: int
    """Parameters on the study's own images."""

    @property
    def lone(self) -> list[int]:
        """Places of sides between two without a network, where a line has nothing to join."""
        known = [False, *(n is not None for n in self.parameters), False]
        return [i for i in range(len(self.sides)) if known[i : i + 3] == [False, True, False]]

    @property
    def end(self) -> tuple[int, int]:
        """The largest side with a network, and its parameters."""
        return next((side, n) for side, n in zip(self.sides[::-1], self.parameters[::-1], strict=True) if n)


def plan_layers(planned: PlannedRung, image_shape: Sequence[int], n_classes: int) -> tuple[Layer, ...] | None:
    """The layers of a planned rung on images of some size; None if it is no network or can have none there."""
    if planned.layers:
        return dense_layers(image_shape, planned.layers[1:-1], n_classes)
    if planned.convolution is None:
        return None
    try:
        return convolution_layers(image_shape, n_classes=n_classes, **planned.convolution)
    except OptionError:  # fewer pixels than its stages can halve
        return None


@dataclass(frozen=True)
class Variants:
    """Parameters of one network as it is here and with one thing changed; None where there is no such network."""

    rung: str
    here: int
    twice_the_side: int | None
    twice_the_nodes: int | None
    a_layer_more: int | None


def count_variants(rungs: Sequence[PlannedRung], image_shape: Sequence[int], n_classes: int) -> list[Variants]:
    """Count each network of a plan with images of twice the side, with twice the nodes, and with a layer more.

    The layer more is as wide as the last hidden one; of a convolutional network it is a stage of two convolutions, and
    nodes are channels.
    """
    found = []
    for planned in rungs:
        here = _count(planned, image_shape, n_classes)
        if here is None:
            continue
        wide, deep = _widened(planned), _deepened(planned, image_shape, n_classes)
        found.append(
            Variants(
                planned.rung,
                here,
                _count(planned, _enlarged(image_shape), n_classes) if len(image_shape) > 1 else None,
                None if wide is None else _count(wide, image_shape, n_classes),
                None if deep is None else _count(deep, image_shape, n_classes),
            )
        )
    return found


def _enlarged(image_shape: Sequence[int]) -> tuple[int, ...]:
    grid, channels = split_channels(image_shape)
    twice = tuple(2 * side for side in grid)
    return twice if len(image_shape) == 2 else (*twice, channels)


def _widened(planned: PlannedRung) -> PlannedRung | None:
    if planned.convolution is not None:
        return replace(planned, convolution={**planned.convolution, "width": 2 * planned.convolution["width"]})
    layers = planned.layers or []
    if len(layers) < 3:
        return None
    return replace(planned, layers=[layers[0], *(2 * nodes for nodes in layers[1:-1]), layers[-1]])


def _deepened(planned: PlannedRung, image_shape: Sequence[int], n_classes: int) -> PlannedRung | None:
    if planned.convolution is not None:
        stages = (len(plan_layers(planned, image_shape, n_classes) or ()) - 2) // 2
        return replace(planned, convolution={**planned.convolution, "depth": stages + 1})
    layers = planned.layers or []
    return None if len(layers) < 3 else replace(planned, layers=[*layers[:-1], layers[-2], layers[-1]])


def grow(rungs: Sequence[PlannedRung], image_shape: Sequence[int], n_classes: int) -> list[Growth]:
    """Count every network of a plan at sides around those of `medladder.architecture.SIDES`.

    The hidden layers stay those that the plan has, and so does a convolution's width.
    """
    low, high = min(SIDES[0], working_side(image_shape)), max(SIDES[-1], working_side(image_shape))
    steps = {round(low * (high / low) ** (step / _STEPS)) for step in range(_STEPS + 1)}
    sides = tuple(sorted({*steps, *SIDES, round(working_side(image_shape))}))
    grown = []
    for planned in rungs:
        counted = tuple(_count(planned, with_side(image_shape, side), n_classes) for side in sides)
        working = _count(planned, image_shape, n_classes)
        if working and any(counted):
            grown.append(Growth(planned.rung, sides, counted, working))
    return grown


def working_side(image_shape: Sequence[int]) -> float:
    """The side of the square, or cube, that has as many pixels as an image.

    Example
    -------
    >>> working_side((28, 28, 3)), round(working_side((16, 32, 32, 1)), 1)
    (28.0, 25.4)
    """
    grid, _ = split_channels(image_shape)
    return float(round(math.prod(grid) ** (1 / len(grid)), 9))


def describe_growth(grown: Sequence[Growth]) -> str:
    """The figure in one sentence, for those who do not see it."""
    each = [
        phrase(
            "{rung} {working} at working size, {largest} at a side of {side}",
            rung=one.rung, working=wording.large(one.working), largest=wording.large(one.end[1]), side=one.end[0],
        )
        for one in grown
    ]  # fmt: skip
    return tr("Parameters of one network as images grow: {listed}.", listed=join(each, "; "))


def draw_growth(grown: Sequence[Growth], looks: dict[str, Look], image_shape: Sequence[int]) -> dict[str, str]:
    """Parameters against image side, both on logarithmic scales, a curve a rung."""
    return {shape.name: _draw(grown, looks, image_shape, shape) for shape in FORMATS}


def _count(planned: PlannedRung, image_shape: Sequence[int], n_classes: int) -> int | None:
    layers = plan_layers(planned, image_shape, n_classes)
    return None if layers is None else sum(layer.parameters for layer in layers)


def _draw(grown: Sequence[Growth], looks: dict[str, Look], image_shape: Sequence[int], shape: Format) -> str:
    captions = {one.rung: [*wrap_name(one.rung), wording.large(one.end[1])] for one in grown}
    figure, axes = start_curves(shape, captions, left=62 if shape is NARROW else 76)
    _scale_axes(axes, grown, image_shape, shape)
    for layer, one in enumerate(grown):
        look, parameters = looks[one.rung], [math.nan if n is None else n for n in one.parameters]
        if look.casing:
            axes.plot(one.sides, parameters, color=look.casing, lw=3.6, zorder=3 + layer)
        (line,) = axes.plot(one.sides, parameters, color=look.colour, lw=2, zorder=3 + layer)
        axes.plot(one.sides, parameters, ls="", marker=".", ms=5, mec="none", mfc=look.colour, markevery=one.lone)
        if look.dash:
            line.set_dashes(look.dash)
        here = (working_side(image_shape), one.working)
        axes.plot(*([value] for value in here), ls="", zorder=20 + layer, **marker(look, look.marker or "o", 7))
    label_curves(figure, axes, {one.rung: one.end for one in grown}, captions, looks, shape)
    return from_figure(figure, name=f"growth-{shape.name}", label=describe_growth(grown))


def _scale_axes(axes: Axes, grown: Sequence[Growth], image_shape: Sequence[int], shape: Format) -> None:
    here, counts = working_side(image_shape), [n for one in grown for n in (*one.parameters, one.working) if n]
    sides = sorted({*SIDES, round(here)})
    low, high = min(counts) / 2, max(counts) * 4
    if high < 100 * low:  # what hardly grows must not look as if it did
        low, high = low / 10, high * 10
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(sides[0] / 1.06, sides[-1] * 1.02)
    axes.set_ylim(low, high)
    powers = [10**power for power in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)]
    for axis, ticks in ((axes.xaxis, sides), (axes.yaxis, powers)):
        axis.set_major_locator(FixedLocator(ticks))
        axis.set_minor_locator(NullLocator())
        axis.set_minor_formatter(NullFormatter())
    places = [axes.transData.transform((side, powers[0]))[0] for side in sides]
    axes.set_xticklabels(thin_out([str(side) for side in sides], places, shape.font))
    axes.set_yticklabels([wording.large(power) for power in powers])
    axes.grid(axis="y", color=FAINT, lw=0.6)
    grid, _ = split_channels(image_shape)
    side = tr("image side in voxels (log scale)") if len(grid) == 3 else tr("image side in pixels (log scale)")
    axes.set_xlabel(side, color=SOFT, labelpad=8)
    axes.axvline(here, color=INK, lw=0.8, dashes=(1.5, 3), zorder=1)
    is_left = here < math.sqrt(sides[0] * sides[-1])
    axes.annotate(
        tr("{size} here", size=" × ".join(map(str, grid))),
        (here, 1),
        xycoords=("data", "axes fraction"),
        xytext=(6 if is_left else -6, -shape.font - 4),
        textcoords="offset points",
        ha="left" if is_left else "right",
        color=INK,
        fontsize=shape.font - 1,
    )
    axes.annotate(
        tr("parameters of one network (log scale)"),
        (0, 1),
        xycoords="axes fraction",
        xytext=(-axes.bbox.x0, 14),
        textcoords="offset points",
        color=SOFT,
        fontsize=shape.font,
    )
