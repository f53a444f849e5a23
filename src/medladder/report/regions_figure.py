"""Where the units of a network look: outlines on images, and how large their regions are layer by layer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from matplotlib.axes import Axes

from ..language import counted, tr
from .figures import LETTER, Format, label_curves, marker, start_axes, thin_out
from .layer_tables import name_layer
from .palette import FAINT, SOFT, Look
from .sketches import RED
from .svg import add, from_figure, number, start_svg, to_text

FORMATS = (Format("wide", 960, 270, 13), Format("narrow", 350, 260, 11.5))

RANDOM = Look("#7b828c", "#5d646e", (3.0, 1.8), "o", True)
"""Random weights, or the start of training, in every figure."""

MOST_ROWS = 5
"""A deeper network shows the layer next to the input, the middle one and the output."""


@dataclass(frozen=True)
class Picture:
    """An example image that stands once in the page; `key` names it there."""

    key: str
    class_: str


def choose_rows(n_layers: int) -> list[int]:
    """The layers that get a row of outlines.

    Example
    -------
    >>> choose_rows(4), choose_rows(7)
    ([0, 1, 2, 3], [0, 3, 6])
    """
    return list(range(n_layers)) if n_layers <= MOST_ROWS else [0, (n_layers - 1) // 2, n_layers - 1]


def draw_outlines(
    unit: Mapping[str, Any], sides: tuple[int, int], picture: Picture | None, *, name: str, label: str
) -> str:
    """One unit's region in red on an image; without one, on an empty frame of its size."""
    rows, columns = sides
    svg = start_svg(columns, rows, name=name, label=label)
    svg.set("viewBox", f"-0.5 -0.5 {columns} {rows}")
    svg.attrib.pop("style")
    if picture is None:
        add(svg, "rect", x=-0.5, y=-0.5, width=columns, height=rows, fill="#eef0f2")
    else:
        add(svg, "use", href=f"#{picture.key}")
    path = "".join(_line(line) for line in unit["outlines"])
    # A white line under the red one keeps it apart from dark images, and in grey print.
    for colour, width in (("#ffffff", 3.6), (RED, 1.8)):
        add(
            svg, "path", d=path, fill="none", stroke=colour, stroke_width=width, stroke_linejoin="round",
            vector_effect="non-scaling-stroke",
        )  # fmt: skip
    return to_text(svg)


def _line(points: Sequence[Sequence[float]]) -> str:
    return "M" + "L".join(f"{number(column)} {number(row)}" for row, column in points) + "Z"


def draw_spans(network: Mapping[str, Any], look: Look, *, name: str) -> dict[str, str] | None:
    """Median area of each layer's regions, a thin line a network; None where there are fewer than two layers."""
    trained, starts = areas_of(network)
    if len(network["layers"]) < 2 or not any(map(_known, trained)):
        return None
    return {shape.name: _draw(network, trained, starts, look, shape, f"{name}-{shape.name}") for shape in FORMATS}


def areas_of(network: Mapping[str, Any]) -> tuple[list[list[float]], list[list[float]]]:
    """Areas in percent, layer by layer: of each measured network, and of its random start.

    Where none was measured, of the one network that was looked into, and of random weights.
    """
    measured = network["networks"] or [
        {
            "trained": {"area": [_median(layer["regions"]["area"]) for layer in network["layers"]]},
            "start": {"area": [_median(layer["regions"]["random"]["area"]) for layer in network["layers"]]},
        }
    ]
    trained, starts = ([_percents(one[of]["area"]) for one in measured] for of in ("trained", "start"))
    return trained, starts


def _median(spread: Mapping[str, float] | None) -> float | None:
    return None if spread is None else spread["median"]


def _percents(areas: Sequence[float | None]) -> list[float]:
    return [math.nan if area is None else 100 * area for area in areas]


def _known(values: Sequence[float]) -> list[float]:
    return [value for value in values if not math.isnan(value)]


def middle_line(lines: Sequence[Sequence[float]]) -> list[float]:
    """Of several lines, the median at each place, of those known there."""
    columns = [_known(column) for column in zip(*lines, strict=True)]
    return [median(column) if column else math.nan for column in columns]


def _draw(
    network: Mapping[str, Any],
    trained: list[list[float]],
    starts: list[list[float]],
    look: Look,
    shape: Format,
    name: str,
) -> str:
    random = tr("random start") if network["networks"] else tr("random weights")
    captions = {"trained": [tr("trained")], "random start": [random]}
    figure, axes = start_layers(network["layers"], shape, captions, name_axis=tr("median region, % of the image"))
    looks = {"trained": look, "random start": RANDOM}
    values = _known([value for line in (*trained, *starts) for value in line])
    axes.set_ylim(0, max(values) * 1.12)
    ends: dict[str, tuple[float, float]] = {}
    for key, lines in (("random start", starts), ("trained", trained)):
        for line in lines if len(lines) > 1 else []:
            axes.plot(line, color=looks[key].casing or looks[key].colour, lw=0.7, alpha=0.35, zorder=2)
        middle = middle_line(lines)
        if _known(middle):
            plot_layers(axes, middle, looks[key])
            last = max(place for place, value in enumerate(middle) if not math.isnan(value))
            ends[key] = (last, middle[last])
    label_curves(figure, axes, ends, {key: captions[key] for key in ends}, looks, shape)
    return from_figure(figure, name=name, label=_describe(network, trained, starts))


def start_layers(
    layers: Sequence[Mapping[str, Any]],
    shape: Format,
    captions: Mapping[str, Sequence[str]],
    *,
    name_axis: str,
    with_input: bool = False,
) -> tuple[Any, Axes]:
    """Axes with a place a layer, from 0, and room at the right for the names of the lines."""
    right = 44 + LETTER * shape.font * max(len(line) for lines in captions.values() for line in lines)
    figure, axes = start_axes(shape, left=42, right=right, height=shape.height)
    n = len(layers) + with_input
    first = [tr("input")] if with_input else []
    texts = [*first, *(str(i + 1) for i in range(len(layers) - 1)), tr("output")]
    axes.set_xlim(-0.15, n - 0.85)
    axes.set_xticks(range(n))
    places = [axes.transData.transform((i, 0))[0] for i in range(n)]
    axes.set_xticklabels(thin_out(texts, places, shape.font))
    axes.grid(axis="y", color=FAINT, lw=0.6)
    axes.set_xlabel(tr("layer, from the image to the answer"), color=SOFT, labelpad=6)
    axes.annotate(
        name_axis, (0, 1), xycoords="axes fraction", xytext=(-42, 12), textcoords="offset points", color=SOFT,
        fontsize=shape.font,
    )  # fmt: skip
    return figure, axes


def plot_layers(axes: Axes, values: Sequence[float], look: Look, *, size: float = 6) -> None:
    """A line over layers; where a layer has no value it is broken."""
    if look.casing:
        axes.plot(values, color=look.casing, lw=3.8, zorder=4, solid_capstyle="round")
    (line,) = axes.plot(values, color=look.colour, lw=2.2, zorder=5)
    if look.dash:
        line.set_dashes(look.dash)
    axes.plot(values, ls="", zorder=6, **marker(look, look.marker or "o", size))


def _describe(network: Mapping[str, Any], trained: list[list[float]], starts: list[list[float]]) -> str:
    def listed(lines: list[list[float]]) -> str:
        values = zip(network["layers"], middle_line(lines), strict=True)
        return ", ".join(f"{name_layer(layer['name'])} {value:.1f}" for layer, value in values if not math.isnan(value))

    return tr(
        "Median region in percent of the image, layer by layer, {networks} of {rung}: trained {trained}; at random "
        "weights {random}.",
        networks=counted(len(trained), "{n} network", "{n} networks"), rung=network["rung"],
        trained=listed(trained), random=listed(starts),
    )  # fmt: skip
