"""What the recommended rung is like: ROC, reliability, confusion, every metric, and whom it serves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from matplotlib.axes import Axes

from ..language import tr, translate
from . import tables, wording
from .figures import Format, start_axes
from .palette import FAINT, INK, SOFT, Look, deepen
from .svg import from_figure

FORMATS = (Format("wide", 470, 430, 13), Format("narrow", 350, 330, 11.5))

_ROOM = {"left": 52, "right": 14, "top": 14, "bottom": 48}
_MARKERS = "osDv^Pp"
_PALE_LINE = "#a88a1c"  # the palest colour is lost on white paper


def gather_portrait(
    evidence: dict[str, Any], rows: Sequence[tables.RungRow], looks: dict[str, Look]
) -> dict[str, Any] | None:
    """What the section's template names; None where the recommended rung learned nothing."""
    portraits = {rung["rung"]: rung["portrait"] for rung in evidence["rungs"]}
    pick = evidence["verdict"]["recommended"]
    drawn = portraits.get(pick)
    if drawn is None:
        return None
    point = next(row.point for row in rows if row.rung == pick)
    if point is None:
        return None
    # Of two classes every rung has one curve, to stand beside the others; of more the recommended one has one a class.
    others = {name: one for name, one in portraits.items() if one is not None and name != pick}
    look, bins = looks[pick], drawn["reliability"]
    return {
        "rung": pick,
        "n_train": drawn["n_train"],
        "roc": {
            shape.name: draw_roc(drawn["roc"], point, pick, looks, others if evidence["positive"] else {}, shape)
            for shape in FORMATS
        },
        "reliability": {shape.name: draw_reliability(bins, pick, look, shape) for shape in FORMATS} if bins else None,
        "calibration": say_reliability(bins),
        "decision": _show_decision(drawn, others, pick, looks),
        "confusion": shade(point["confusion"]),
        "metrics": list_metrics(point),
        "areas": point["per_class_auroc"] if not evidence["positive"] else {},
        "in_use": point["at_prevalence"],
        "corrected": say_corrected(evidence["selected"], evidence["unit"]),
        "served": evidence["served"],
    }


def list_metrics(point: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Every metric that the rung has, with its title."""
    found = [(translate(title), point[key]) for key, title in tables.METRICS + tables.MORE_METRICS if point[key]]
    at_specificity, at_sensitivity = point["sensitivity_at_specificity"], point["specificity_at_sensitivity"]
    if at_specificity:
        found.append((tr("Sensitivity at specificity {at}", at=f"{at_specificity['at']:g}"), at_specificity))
    if at_sensitivity:
        found.append((tr("Specificity at sensitivity {at}", at=f"{at_sensitivity['at']:g}"), at_sensitivity))
    return found


def shade(confusion: Sequence[Sequence[float]]) -> list[list[dict[str, float]]]:
    """Counts of each true class (a row) decided to be each class, with their share of the row."""
    return [[{"count": value, "share": value / max(sum(row), 1e-9)} for value in row] for row in confusion]


def say_corrected(selected: Mapping[str, Any], unit: str) -> str | None:
    """What is left of the picked rung's score once it is counted that it was picked; None where it was not.

    Example
    -------
    >>> auroc = {"estimate": 0.93, "low": 0.9, "high": 0.95}
    >>> say_corrected({"rung": "svm", "n_rungs": 6, "optimism": 0.004, "auroc": auroc}, "patient")
    'It was picked from 6 rungs on these patients; less what picking flatters (0.004) its AUROC is 0.930 (0.900–0.950).'
    """
    if selected["n_rungs"] < 2:
        return None
    return tr(
        "It was picked from {n} rungs on these {unit}s; less what picking flatters ({optimism}) its AUROC is {auroc}.",
        n=selected["n_rungs"], unit=wording.UNITS[unit], optimism=wording.score(selected["optimism"]),
        auroc=wording.estimate_with_span(selected["auroc"]),
    )  # fmt: skip


def say_reliability(bins: Sequence[Mapping[str, Any]]) -> str | None:
    """In how many bins the frequency's interval holds the mean probability.

    Example
    -------
    >>> say_reliability([{"predicted": 0.2, "observed": {"low": 0.1, "high": 0.3}, "n": 40}])
    'In 1 of 1 bins the probability lies within the interval of what happened.'
    """
    if not bins:
        return None
    inside = sum(one["observed"]["low"] <= one["predicted"] <= one["observed"]["high"] for one in bins)
    return tr(
        "In {inside} of {n} bins the probability lies within the interval of what happened.",
        inside=inside, n=len(bins),
    )  # fmt: skip


def draw_roc(
    curves: Sequence[Mapping[str, Any]],
    point: Mapping[str, Any],
    rung: str,
    looks: Mapping[str, Look],
    others: Mapping[str, Mapping[str, Any]],
    shape: Format,
) -> str:
    """Mean ROC curves; the operating point of the recommended rung with the intervals of both its sides."""
    figure, axes = start_axes(shape, height=shape.height, **_ROOM)
    _square(axes, tr("False alarms (1 − specificity)"), tr("Sensitivity"), shape)
    for other, portrait in others.items():
        curve, look = portrait["roc"][0], looks[other]
        colour = look.casing or look.colour
        (line,) = axes.plot(curve["alarms"], curve["sensitivity"], color=colour, lw=1.1, alpha=0.8, label=other)
        if look.dash:
            line.set_dashes(look.dash)
    for curve, colour, marker in _by_class(curves, looks[rung]):
        x, y = curve["alarms"], curve["sensitivity"]
        if len(curves) == 1:
            axes.plot(x, y, color=colour, lw=2.6, label=rung)
        else:
            axes.plot(x, y, color=colour, lw=1.7, label=curve["class"], marker=marker, markevery=8, ms=4.5)
    if point["sensitivity"] is not None:
        hit, clear = point["sensitivity"], point["specificity"]
        axes.plot([1 - clear["high"], 1 - clear["low"]], [hit["estimate"]] * 2, color=INK, lw=1.4, zorder=5)
        axes.plot([1 - clear["estimate"]] * 2, [hit["low"], hit["high"]], color=INK, lw=1.4, zorder=5)
        axes.plot([1 - clear["estimate"]], [hit["estimate"]], "o", color=INK, ms=6, zorder=6)
    _name_lines(axes, shape, "lower right")
    area = wording.estimate_with_span(point["auroc"])
    return from_figure(
        figure, name=f"roc-{shape.name}", label=tr("ROC curve of {rung}: AUROC {auroc}.", rung=rung, auroc=area)
    )


def _show_decision(
    drawn: Mapping[str, Any], others: Mapping[str, Mapping[str, Any]], rung: str, looks: Mapping[str, Look]
) -> dict[str, Any] | None:
    """The decision curve and what it shows; None where no prevalence was stated."""
    points = drawn.get("decision_curve")
    if not points:
        return None
    beside = {name: one["decision_curve"] for name, one in others.items() if one.get("decision_curve")}
    said = say_decision(points)
    return {
        "said": said,
        "drawings": {shape.name: draw_decision(points, beside, rung, looks, said, shape) for shape in FORMATS},
    }


def say_decision(points: Sequence[Mapping[str, Any]]) -> str:
    """Between which thresholds acting on the rung is shown better than acting on all and on none.

    Example
    -------
    >>> better = {"net_benefit": {"low": 0.02}, "of_all": 0.01}
    >>> say_decision([{"threshold": 0.1, **better}, {"threshold": 0.12, **better}])
    'Acting on it is shown better than acting on all or on none from a threshold of 10 % to one of 12 %.'
    """
    longest = _shown_better(points)
    if not longest:
        return tr("At no threshold is acting on it shown better than acting on all or on none.")
    return tr(
        "Acting on it is shown better than acting on all or on none from a threshold of {low} to one of {high}.",
        low=wording.percent(longest[0]), high=wording.percent(longest[-1]),
    )  # fmt: skip


def _shown_better(points: Sequence[Mapping[str, Any]]) -> list[float]:
    """The longest run of thresholds at which the interval lies above acting on all and on none."""
    runs: list[list[float]] = [[]]
    for one in points:
        if one["net_benefit"]["low"] > max(0.0, one["of_all"]):
            runs[-1].append(one["threshold"])
        elif runs[-1]:
            runs.append([])
    return max(runs, key=len)


def draw_decision(
    points: Sequence[Mapping[str, Any]],
    others: Mapping[str, Sequence[Mapping[str, Any]]],
    rung: str,
    looks: Mapping[str, Look],
    said: str,
    shape: Format,
) -> str:
    """Net benefit by threshold, with the interval of the recommended rung, beside acting on all and on none."""
    figure, axes = start_axes(shape, height=shape.height, **_ROOM | {"left": 70})
    shown = [one for one in points if one["threshold"] <= _reach(points)]
    x = [one["threshold"] for one in shown]
    estimate, low, high = ([one["net_benefit"][key] for one in shown] for key in ("estimate", "low", "high"))
    top = max([*high, shown[0]["of_all"]])
    if top <= 0:  # worse than none throughout: its best is still seen
        top = -5 * max(estimate)
    axes.set_xlim(0, 1.02 * x[-1])
    axes.set_ylim(-0.25 * top, 1.08 * top)
    axes.set_xlabel(tr("Threshold probability"), color=SOFT, labelpad=7)
    axes.set_ylabel(tr("Net benefit"), color=SOFT, fontsize=shape.font, labelpad=7)
    axes.grid(color=FAINT, lw=0.6)
    axes.plot(x, [0.0] * len(x), color=INK, lw=1.0, label=tr("act on none"))
    axes.plot(x, [one["of_all"] for one in shown], color=SOFT, lw=1.0, dashes=(4, 3), label=tr("act on all"))
    for other, curve in others.items():
        look = looks[other]
        (line,) = axes.plot(
            x, [one["net_benefit"]["estimate"] for one in curve[: len(x)]], color=look.casing or look.colour, lw=1.1,
            alpha=0.8, label=other,
        )  # fmt: skip
        if look.dash:
            line.set_dashes(look.dash)
    look = looks[rung]
    ink = look.casing or look.colour
    axes.fill_between(x, low, high, color=ink, alpha=0.15, lw=0)
    axes.plot(x, estimate, color=ink, lw=2.6, label=rung)
    _name_lines(axes, shape, "upper right")
    return from_figure(
        figure, name=f"decision-{shape.name}", label=tr("Decision curve of {rung}. {said}", rung=rung, said=said)
    )


def _reach(points: Sequence[Mapping[str, Any]]) -> float:
    """How far to draw: far above the prevalence would press the rest together; what is said is shown."""
    crossing = next((one["threshold"] for one in points if one["of_all"] < 0), 0.5)
    return float(max([3 * crossing, *_shown_better(points)]))


def draw_reliability(bins: Sequence[Mapping[str, Any]], rung: str, look: Look, shape: Format) -> str:
    """How often a class was there, by the probability that it was given, with an interval a bin."""
    figure, axes = start_axes(shape, height=shape.height, **_ROOM)
    _square(axes, tr("Probability given"), tr("Share that happened"), shape)
    classes = list(dict.fromkeys(one["class"] for one in bins))
    curves = [{"class": name, "bins": [one for one in bins if one["class"] == name]} for name in classes]
    for curve, colour, marker in _by_class(curves, look):
        x = [one["predicted"] for one in curve["bins"]]
        for place, one in zip(x, curve["bins"], strict=True):
            ends = [one["observed"]["low"], one["observed"]["high"]]
            axes.plot([place] * 2, ends, color=colour, lw=1.2 if len(curves) == 1 else 0.8, alpha=0.75)
        y = [one["observed"]["estimate"] for one in curve["bins"]]
        axes.plot(x, y, color=colour, lw=1.4, marker=marker, ms=5, label=curve["class"])
    _name_lines(axes, shape, "upper left")
    label = tr("Reliability of the probabilities of {rung}. {said}", rung=rung, said=say_reliability(bins))
    return from_figure(figure, name=f"reliability-{shape.name}", label=label)


def _by_class(curves: Sequence[Mapping[str, Any]], look: Look) -> list[tuple[Mapping[str, Any], str, str]]:
    """A colour and a marker a curve: the rung's own colour where there is one curve."""
    colours = [look.casing or look.colour] if len(curves) == 1 else [_PALE_LINE, *deepen(len(curves))[1:]]
    return [(curve, colours[i], _MARKERS[i % len(_MARKERS)]) for i, curve in enumerate(curves)]


def _square(axes: Axes, below: str, beside: str, shape: Format) -> None:
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)
    axes.set_xlabel(below, color=SOFT, labelpad=7)
    axes.set_ylabel(beside, color=SOFT, fontsize=shape.font, labelpad=7)
    axes.grid(color=FAINT, lw=0.6)
    axes.plot([0, 1], [0, 1], color=SOFT, lw=0.9, dashes=(4, 3), zorder=1)


def _name_lines(axes: Axes, shape: Format, place: Literal["lower right", "upper left", "upper right"]) -> None:
    if len(axes.get_legend_handles_labels()[1]) > 1:
        legend = axes.legend(
            loc=place, framealpha=0.85, edgecolor="none", fontsize=shape.font - 2, labelcolor=INK, handlelength=2.6
        )
        for text in legend.get_texts():
            text.set_text(wording.shorten(text.get_text(), 22))
