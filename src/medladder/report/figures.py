"""Score against training size, and intervals where there is one size only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

from ..language import tr
from . import wording
from .palette import FAINT, SOFT, Look
from .svg import from_figure

LETTER = 0.58
"""Of the font size: the mean width of a letter in the sans-serifs of common systems."""


@dataclass(frozen=True)
class Format:
    """One of the two shapes in which each figure is drawn: a screen or paper, and a phone."""

    name: str
    width: int
    height: int
    font: float


WIDE, NARROW = Format("wide", 960, 470, 13), Format("narrow", 350, 430, 11.5)
FORMATS = (WIDE, NARROW)

FAR_BELOW = 0.15
"""AUROC between a floor and the lowest interval above which the floor is named and not drawn."""


def draw_scores(
    evidence: dict[str, Any], sizes: Sequence[int], looks: dict[str, Look], *, label: str
) -> dict[str, str]:
    """AUROC against training size, a curve a rung; with one size, a dot and an interval a rung."""
    draw = draw_curves if len(sizes) > 1 else draw_intervals
    return {
        shape.name: draw(evidence, sizes, looks, shape=shape, label=label, name=f"scores-{shape.name}")
        for shape in FORMATS
    }


def draw_curves(
    evidence: dict[str, Any],
    sizes: Sequence[int],
    looks: dict[str, Look],
    *,
    shape: Format,
    label: str,
    name: str,
    limits: tuple[float, float] | None = None,
) -> str:
    """The learning curves in one shape; a size that a rung failed at leaves a gap in its curve.

    `limits` are the ends of the scale of scores; by default those of `find_limits`.
    """
    recommended = evidence["verdict"]["recommended"]
    below = floors_below(evidence["rungs"])
    rungs = [rung for rung in evidence["rungs"] if rung["points"] and rung["rung"] not in below]
    captions = {rung["rung"]: wrap_name(rung["rung"]) for rung in rungs}
    figure, axes = start_curves(shape, captions)
    ahead = {rung["rung"]: _ahead(rung) for rung in rungs}
    _scale_axes(axes, limits or find_limits(evidence), sizes, shape, evidence["unit"], ahead)
    for layer, rung in enumerate(rungs):
        look, is_best = looks[rung["rung"]], rung["rung"] == recommended
        before = set(axes.get_children())
        if rung["family"] == "floor":
            level = rung["points"][-1]["auroc"]["estimate"]
            axes.axhline(level, color=look.colour, lw=0.9, dashes=look.dash, zorder=1)
        else:
            for run in _unbroken_runs(rung["points"], sizes):
                _plot_run(axes, run, look, is_best=is_best, layer=3 + layer)
            _plot_ahead(axes, ahead[rung["rung"]], look, is_best=is_best, layer=3 + layer)
        _name_artists(axes, before, evidence["rungs"].index(rung))
    last = {name: points[-1] for name, points in ahead.items() if points}
    last = {rung["rung"]: last.get(rung["rung"], _flat(rung["points"][-1])) for rung in rungs}
    ends = {name: (point["n_train"], point["estimate"]) for name, point in last.items()}
    label_curves(figure, axes, ends, captions, looks, shape, strong=recommended)
    return from_figure(figure, name=name, label=label)


def _name_artists(axes: Axes, before: set[Artist], place: int) -> None:
    """Let the page's script find what was drawn of a rung, by its place in the evidence."""
    for i, artist in enumerate(child for child in axes.get_children() if child not in before):
        is_points = isinstance(artist, Line2D) and artist.get_marker() not in ("None", "", None)
        artist.set_gid(f"rung-{place}-{'points' if is_points else 'part'}-{i}")


def find_limits(evidence: dict[str, Any]) -> tuple[float, float]:
    """The ends of a scale that holds the intervals of what is drawn, and where its forecasts lead."""
    below = floors_below(evidence["rungs"])
    rungs = [rung for rung in evidence["rungs"] if rung["points"] and rung["rung"] not in below]
    ahead = {rung["rung"]: _ahead(rung) for rung in rungs}
    low, high = _score_range(rungs)
    tops = [point["estimate"] + 0.01 for points in ahead.values() for point in points]
    of_pick = [point["high"] for point in ahead.get(evidence["verdict"]["recommended"], [])]
    return low, min(1.004, max([high, *tops, *of_pick]))


def _flat(point: dict[str, Any]) -> dict[str, Any]:
    return {"n_train": point["n_train"], **point["auroc"]}


def _ahead(rung: dict[str, Any]) -> list[dict[str, Any]]:
    """The fitted curve of a rung from its last point on; none without one."""
    if rung["curve"] is None:
        return []
    return [point for point in rung["curve"]["points"] if point["n_train"] >= rung["points"][-1]["n_train"]]


def floors_below(rungs: Sequence[dict[str, Any]]) -> list[str]:
    """Floors so far under every learned rung that drawing them would press the curves together."""
    learned = [point["auroc"]["low"] for rung in rungs if rung["family"] != "floor" for point in rung["points"]]
    levels = {
        rung["rung"]: rung["points"][-1]["auroc"]["high"]
        for rung in rungs
        if rung["family"] == "floor" and rung["points"]
    }
    return [name for name, level in levels.items() if learned and min(learned) - level > FAR_BELOW]


def draw_intervals(
    evidence: dict[str, Any],
    sizes: Sequence[int],
    looks: dict[str, Look],
    *,
    shape: Format,
    label: str,
    name: str,
) -> str:
    """One row a rung at the only size: the estimate a dot, the interval a line, the numbers beside it."""
    rungs = [rung for rung in evidence["rungs"] if rung["points"]]
    captions = [wrap_name(rung["rung"]) for rung in rungs]
    left = 18 + LETTER * shape.font * max([len(line) for lines in captions for line in lines], default=0)
    row = shape.font * 1.22 * max([len(lines) for lines in captions], default=1) + 20
    figure, axes = start_axes(shape, left=left, right=20, height=70 + row * max(len(rungs), 1))
    low, high = _score_range(rungs)
    axes.set_xlim(low, high)
    axes.set_ylim(len(rungs) - 0.5, -0.5)
    axes.yaxis.set_major_locator(NullLocator())
    axes.grid(axis="x", color=FAINT, lw=0.6)
    axes.set_xlabel(
        tr("AUROC with its 95 % interval, {n} training {unit}s", n=sizes[0], unit=wording.UNITS[evidence["unit"]]),
        color=SOFT,
        labelpad=8,
    )
    for place, (rung, lines) in enumerate(zip(rungs, captions, strict=True)):
        look, metric = looks[rung["rung"]], rung["points"][-1]["auroc"]
        axes.plot([metric["low"], metric["high"]], [place, place], color=look.casing or look.colour, lw=2)
        axes.plot([metric["estimate"]], [place], **marker(look, look.marker or "o", 8))
        axes.annotate(
            "\n".join(lines),
            (0, place),
            xycoords=("axes fraction", "data"),
            xytext=(-12, 0),
            textcoords="offset points",
            ha="right",
            va="center",
            color=look.ink,
            fontsize=shape.font,
            weight="bold" if rung["rung"] == evidence["verdict"]["recommended"] else "normal",
        )
    return from_figure(figure, name=name, label=label)


def spread_labels(wanted: Sequence[float], heights: Sequence[float], low: float, high: float) -> list[float]:
    """Move label centres as little as need be (least squares) so that none overlaps its neighbour.

    `wanted` ascends; the answer keeps its order, and stays between `low` and `high` where the labels fit.

    Example
    -------
    >>> spread_labels([10.0, 11.0, 40.0], [6.0, 6.0, 6.0], 0.0, 50.0)
    [7.5, 13.5, 40.0]
    """
    # Less what stands below each label, «not overlapping» becomes «not falling»: pool adjacent violators.
    offsets = [sum(heights[:i]) + heights[i] / 2 for i in range(len(heights))]
    blocks: list[tuple[float, int]] = []
    for place, offset in zip(wanted, offsets, strict=True):
        mean, size = place - offset, 1
        while blocks and blocks[-1][0] >= mean:
            before, count = blocks.pop()
            mean, size = (before * count + mean * size) / (count + size), count + size
        blocks.append((mean, size))
    highest = max(low, high - sum(heights))
    starts = [min(max(mean, low), highest) for mean, size in blocks for _ in range(size)]
    return [start + offset for start, offset in zip(starts, offsets, strict=True)]


def start_curves(shape: Format, captions: dict[str, list[str]], *, left: float = 46) -> tuple[Figure, Axes]:
    """Axes for curves that are named at their right, as high as their names need."""
    right = 44 + LETTER * shape.font * max([len(line) for lines in captions.values() for line in lines], default=0)
    height = sum(_label_height(lines, shape) for lines in captions.values()) + 110
    return start_axes(shape, left=left, right=right, height=max(shape.height, height))


def _label_height(lines: Sequence[str], shape: Format) -> float:
    return shape.font * 1.22 * len(lines) + 3


def start_axes(
    shape: Format, *, left: float = 46, right: float, height: float, top: float = 30, bottom: float = 46
) -> tuple[Figure, Axes]:
    """Axes placed in CSS pixels, with a thin line below and nothing else."""
    figure = Figure(figsize=(shape.width / 72, height / 72), dpi=72)
    axes = figure.add_axes(
        (
            left / shape.width,
            bottom / height,
            1 - (left + right) / shape.width,
            1 - (top + bottom) / height,
        )
    )
    axes.patch.set_visible(False)
    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set(color="#9aa1aa", linewidth=0.8)
    axes.tick_params(length=0, labelsize=shape.font - 1, labelcolor=SOFT, pad=6)
    axes.tick_params(axis="x", length=4, width=0.8, color="#9aa1aa")
    axes.xaxis.label.set_fontsize(shape.font)
    axes.set_axisbelow(True)
    return figure, axes


def _scale_axes(
    axes: Axes,
    limits: tuple[float, float],
    sizes: Sequence[int],
    shape: Format,
    unit: str,
    ahead: dict[str, list[dict[str, Any]]],
) -> None:
    axes.set_xscale("log")
    furthest = max([points[-1]["n_train"] for points in ahead.values() if points], default=sizes[-1])
    margin = (furthest / sizes[0]) ** 0.02
    axes.set_xlim(sizes[0] / margin, furthest * margin)
    axes.set_ylim(*limits)
    axes.grid(axis="y", color=FAINT, lw=0.6)
    ticks = [*sizes, *([2 * sizes[-1], furthest] if furthest > sizes[-1] else [])]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    places = [axes.transData.transform((size, 0.5))[0] for size in ticks]
    axes.set_xticklabels(thin_out([wording.count(size) for size in ticks], places, shape.font))
    if furthest > sizes[-1]:
        axes.axvline(sizes[-1], color=SOFT, lw=0.8, dashes=(1, 2.5), zorder=1)
        axes.annotate(
            tr("forecast"), (sizes[-1], 0), xycoords=("data", "axes fraction"), xytext=(6, 6),
            textcoords="offset points", color=SOFT, fontsize=shape.font - 1,
        )  # fmt: skip
    axes.set_xlabel(tr("training {unit}s (log scale)", unit=wording.UNITS[unit]), color=SOFT, labelpad=8)
    axes.annotate(
        tr("AUROC, bands are 95 % intervals"),
        (0, 1),
        xycoords="axes fraction",
        xytext=(-46, 14),
        textcoords="offset points",
        color=SOFT,
        fontsize=shape.font,
    )


def thin_out(texts: Sequence[str], places: Sequence[float], font: float) -> list[str]:
    """Blank the tick labels that would touch: the largest size keeps its own, then the smallest."""
    kept: list[int] = []
    for i in [len(texts) - 1, 0, *range(len(texts) - 2, 0, -1)]:
        half = len(texts[i]) * font * LETTER / 2
        if all(abs(places[i] - places[k]) > half + len(texts[k]) * font * LETTER / 2 + 6 for k in kept):
            kept.append(i)
    return [text if i in kept else "" for i, text in enumerate(texts)]


def _score_range(rungs: Sequence[dict[str, Any]]) -> tuple[float, float]:
    """From a little under the lowest interval to a little over the highest, to the next .02."""
    metrics = [point["auroc"] for rung in rungs for point in rung["points"]]
    low = min([metric["low"] for metric in metrics], default=0.5)
    high = max([metric["high"] for metric in metrics], default=1.0)
    return max(0.0, (low * 50 // 1) / 50 - 0.02), min(1.004, (high * 50 // 1) / 50 + 0.024)


def _unbroken_runs(points: Sequence[dict[str, Any]], sizes: Sequence[int]) -> list[list[dict[str, Any]]]:
    """The points, parted where the rung has none at a size of the study."""
    at_size = {point["n_train"]: point for point in points}
    runs: list[list[dict[str, Any]]] = [[]]
    for size in sizes:
        if size in at_size:
            runs[-1].append(at_size[size])
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _plot_run(axes: Axes, run: Sequence[dict[str, Any]], look: Look, *, is_best: bool, layer: int) -> None:
    """One unbroken stretch of a curve: band, line, markers; a lone point gets its interval as a line."""
    n = [point["n_train"] for point in run]
    estimate, low, high = ([point["auroc"][key] for point in run] for key in ("estimate", "low", "high"))
    width = 2.6 if is_best else 1.7
    ink = look.casing or look.colour
    if len(run) == 1:
        axes.plot([n[0], n[0]], [low[0], high[0]], color=ink, lw=1.2, zorder=layer)
    # Bands overlap on most cohorts: faint fills, the edges drawn, and the recommended rung's a little stronger.
    axes.fill_between(n, low, high, color=ink, alpha=0.15 if is_best else 0.05, lw=0, zorder=2)
    for edge in (low, high):
        axes.plot(n, edge, color=ink, lw=0.6, alpha=0.55 if is_best else 0.35, zorder=2.5)
    if look.casing:
        axes.plot(n, estimate, color=look.casing, lw=width + 1.6, zorder=layer, solid_capstyle="round")
    (line,) = axes.plot(n, estimate, color=look.colour, lw=width, zorder=layer)
    if look.dash:
        line.set_dashes(look.dash)
    axes.plot(n, estimate, ls="", zorder=layer, **marker(look, look.marker, 6.5 if is_best else 5.5))


def _plot_ahead(axes: Axes, points: Sequence[dict[str, Any]], look: Look, *, is_best: bool, layer: int) -> None:
    """The forecast: dotted, with the band of the recommended rung alone, for bands of all would hide each other."""
    if not points:
        return
    n = [point["n_train"] for point in points]
    estimate, low, high = ([point[key] for point in points] for key in ("estimate", "low", "high"))
    ink = look.casing or look.colour
    if is_best:
        axes.fill_between(n, low, high, color=ink, alpha=0.08, lw=0, zorder=2)
        for edge in (low, high):
            axes.plot(n, edge, color=ink, lw=0.6, ls=":", alpha=0.7, zorder=2.5)
    axes.plot(n, estimate, color=ink, lw=2.2 if is_best else 1.4, ls=(0, (1, 1.6)), zorder=layer)


def marker(look: Look, marker: str, size: float) -> dict[str, Any]:
    """How matplotlib is to mark a point of a rung."""
    return {
        "marker": marker,
        "ms": size,
        "mec": look.casing or look.colour,
        "mew": 1.2,
        "mfc": "white" if look.is_hollow else look.colour,
    }


def wrap_name(rung: str) -> list[str]:
    """A rung's name in short lines: its kind, then a setting a line."""
    kind, _, settings = rung.partition(":")
    return [kind, *[wording.shorten(setting, 18) for setting in settings.split(",") if setting]]


def label_curves(
    figure: Figure,
    axes: Axes,
    points: dict[str, tuple[float, float]],
    captions: dict[str, list[str]],
    looks: dict[str, Look],
    shape: Format,
    *,
    strong: str | None = None,
) -> None:
    """Each rung's caption at the right of its curve's last point, a thin line leading there where it was moved."""
    names, ends = list(points), [axes.transData.transform(point) for point in points.values()]
    order = sorted(range(len(names)), key=lambda i: float(ends[i][1]))
    heights = [_label_height(captions[names[i]], shape) for i in order]
    places = spread_labels([float(ends[i][1]) for i in order], heights, 4, figure.bbox.height - 4)
    start = axes.bbox.x1 + 34
    for i, place in zip(order, places, strict=True):
        name = names[i]
        # A curve that stops early must not look as if it went on: its leader is faint and dotted.
        is_whole = float(ends[i][0]) >= max(float(end[0]) for end in ends) - 1
        figure.add_artist(
            Line2D(
                [float(ends[i][0]) + 5, axes.bbox.x1 + 8, start - 3],
                [float(ends[i][1]), float(ends[i][1]), place],
                transform=None,
                color=(looks[name].casing or looks[name].colour) if is_whole else SOFT,
                lw=0.7 if is_whole else 0.9,
                ls="-" if is_whole else (0, (1, 3)),
            )
        )
        for line, text in enumerate(captions[name]):
            rise = (len(captions[name]) - 1) / 2 - line
            figure.text(
                start,
                place + rise * shape.font * 1.22,
                text,
                transform=None,
                va="center",
                color=looks[name].ink if line == 0 else SOFT,
                fontsize=shape.font if line == 0 else shape.font - 1.5,
                weight="bold" if name == strong and line == 0 else "normal",
            )
