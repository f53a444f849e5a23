"""One plain sentence a figure: what it shows in this study, from the numbers that it is drawn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..architecture import Layer
from ..language import Message, counted, phrase, tr, translate
from ..record.plan import Plan
from . import wording
from .growth import Growth
from .tables import RungRow

_RESAMPLING = {"bilinear, antialiased": phrase("bilinear, antialiased")}


@dataclass(frozen=True)
class ParameterRow:
    """What one rung stores at the size compared, and for each training patient."""

    rung: str
    n_parameters: float
    of_one: int | None
    """Of one network, where the rung is one or several."""
    members: int | None
    each: float


def list_parameters(rows: Sequence[RungRow], networks: Sequence[dict[str, Any]], n_train: int) -> list[ParameterRow]:
    """A row a rung whose parameters are known; networks are those that the page draws."""
    drawn = {network["rung"]: network for network in networks}
    return [
        ParameterRow(
            row.rung,
            row.n_parameters,
            drawn[row.rung]["of_one"] if row.rung in drawn else None,
            drawn[row.rung]["members"] if row.rung in drawn else None,
            row.n_parameters / n_train,
        )
        for row in rows
        if row.n_parameters is not None and row.family != "floor" and n_train
    ]


def say_parameters(rows: Sequence[ParameterRow], n_train: int, unit: str) -> str:
    """Most and fewest parameters a training patient."""
    most, least = max(rows, key=lambda row: row.each), min(rows, key=lambda row: row.each)
    told = {"most": most.rung, "each": wording.ratio(most.each), "n": n_train, "unit": wording.UNITS[unit]}
    if most is least:
        return tr("{most} stores {each} parameters for each of {n} training {unit}s.", **told)
    return tr(
        "{most} stores {each} parameters for each of {n} training {unit}s, {least} {fewest}.",
        **told, least=least.rung, fewest=wording.ratio(least.each),
    )  # fmt: skip


def say_network(layers: Sequence[Layer], n_train: int, unit: str) -> str:
    """Parameters of one network, where they lie, and how many there are for each training patient."""
    parameters = [layer.parameters for layer in layers[1:]]
    total, most = sum(parameters), parameters.index(max(parameters))
    share = wording.percent(parameters[most] / total)
    told = {
        "share": phrase("nearly all") if share in ("100 %", "100%") else share,
        "layer": most + 1,
        "of": len(parameters),
        "unit": wording.UNITS[unit],
        "n": n_train,
        "each": wording.ratio(total / n_train) if n_train else "",
        "total": total,
    }
    if len(parameters) == 1 and n_train:
        return tr("Here that is {each} parameters for each of {n} training {unit}s.", **told)
    if n_train and most == 0:
        return tr(
            "Here one network has {each} parameters for each of {n} training {unit}s, {share} of them between the "
            "input and the first layer.",
            **told,
        )
    if n_train:
        return tr(
            "Here one network has {each} parameters for each of {n} training {unit}s, {share} of them in layer "
            "{layer} of {of}.",
            **told,
        )
    if most == 0:
        return tr("Here it has {total} parameters, {share} of them between the input and the first layer.", **told)
    return tr("Here it has {total} parameters, {share} of them in layer {layer} of {of}.", **told)


def say_split(plan: Plan) -> str:
    """How patients were put apart for testing."""
    if plan.leave_out is not None:
        return tr("each value of the column '{column}' left out in turn", column=plan.leave_out)
    if plan.tested_on is not None:
        return tr("tested on another cohort, {name}", name=plan.tested_on)
    if len(plan.folds) > 1:
        return tr("patient-wise stratified {n}-fold", n=len(plan.folds))
    return tr("the cohort's own test part")


def say_resampling(how: str) -> str:
    """How pixels were brought to another size, as the record names it."""
    return translate(_RESAMPLING.get(how, how))


def say_unrolled(layers: Sequence[int]) -> str:
    """What the unrolled image costs in weights."""
    return translate(
        counted(
            layers[1],
            "Here each image becomes {inputs} input nodes, with {weights} weights into the {n} node of the next layer.",
            "Here each image becomes {inputs} input nodes, with {weights} weights into the {n} nodes of the next "
            "layer.",
            inputs=layers[0],
            weights=layers[0] * layers[1],
        )
    )


def say_growth(grown: Sequence[Growth]) -> str:
    """At the largest side drawn: the largest network, and the one that has grown least."""
    most, least = max(grown, key=lambda one: one.end), min(grown, key=lambda one: one.end[1] / one.working)
    if least is most:
        return tr("At a side of {side} {grown}.", side=most.end[0], grown=_say_grown(most))
    if least.end[0] == most.end[0]:
        return tr(
            "At a side of {side} {grown}; {other}.", side=most.end[0], grown=_say_grown(most), other=_say_grown(least)
        )
    return tr(
        "At a side of {side} {grown}; {other} at {other_side}.",
        side=most.end[0], grown=_say_grown(most), other=_say_grown(least), other_side=least.end[0],
    )  # fmt: skip


def _say_grown(one: Growth) -> Message:
    factor = one.end[1] / one.working
    told = {"rung": one.rung, "n": wording.large(one.end[1])}
    if 0.9 < factor < 1.1:
        return phrase("{rung} would hold {n} parameters, about as many as here", **told)
    return phrase("{rung} would hold {n} parameters, {factor} times those here", **told, factor=wording.ratio(factor))


def say_curves(evidence: dict[str, Any], sizes: Sequence[int]) -> str | None:
    """Which rung is estimated highest with the fewest and the most patients, and there the best of the other kind."""
    first, last = _highest(evidence, sizes[0]), _highest(evidence, sizes[-1])
    if not last:
        return None
    told: dict[str, Any] = {"most": sizes[-1], "unit": wording.UNITS[evidence["unit"]], "best": _named(last[0])}
    if len(sizes) > 1 and first:
        text = phrase(
            "With {fewest} training {unit}s {first} is estimated highest; with {most} training {unit}s {best}",
            **told | {"fewest": sizes[0], "first": _named(first[0], "AUROC ")},
        )
    else:
        text = phrase(
            "With {most} training {unit}s {best} is estimated highest", **told | {"best": _named(last[0], "AUROC ")}
        )
    other = next((entry for entry in last if entry[2] != last[0][2]), None)
    if other is None:
        return tr("{said}.", said=text)
    if other[2] == "deep":
        return tr("{said}, before {other}, the best deep rung.", said=text, other=_named(other))
    return tr("{said}, before {other}, the best conventional rung.", said=text, other=_named(other))


def _named(entry: tuple[str, float, str], metric: str = "") -> str:
    return f"{entry[0]} ({metric}{wording.score(entry[1])})"


def _highest(evidence: dict[str, Any], n_train: int) -> list[tuple[str, float, str]]:
    """Rung, AUROC, and whether it is conventional or deep (transfer counts as deep); best first, no floor."""
    found = [
        (rung["rung"], point["auroc"]["estimate"], "conventional" if rung["family"] == "conventional" else "deep")
        for rung in evidence["rungs"]
        for point in rung["points"]
        if point["n_train"] == n_train and rung["family"] != "floor"
    ]
    return sorted(found, key=lambda entry: -entry[1])
