"""One plain sentence a figure: what it shows in this study, from the numbers that it is drawn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..architecture import Layer
from . import wording
from .growth import Growth
from .tables import RungRow


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
    for_each = f"for each of {wording.number_of(n_train, f'training {unit}')}"
    said = f"{most.rung} stores {wording.ratio(most.each)} parameters {for_each}"
    return f"{said}." if most is least else f"{said}, {least.rung} {wording.ratio(least.each)}."


def say_network(layers: Sequence[Layer], n_train: int, unit: str) -> str:
    """Parameters of one network, where they lie, and how many there are for each training patient."""
    parameters = [layer.parameters for layer in layers[1:]]
    total, most = sum(parameters), parameters.index(max(parameters))
    share = f"{100 * parameters[most] / total:.0f} %"
    where = "between the input and the first layer" if most == 0 else f"in layer {most + 1} of {len(parameters)}"
    lies = f"{'nearly all' if share == '100 %' else share} of them {where}"
    if not n_train:
        return f"Here it has {wording.number_of(total, 'parameter')}, {lies}."
    each = f"{wording.ratio(total / n_train)} parameters for each of {wording.number_of(n_train, f'training {unit}')}"
    return f"Here that is {each}." if len(parameters) == 1 else f"Here one network has {each}, {lies}."


def say_unrolled(layers: Sequence[int]) -> str:
    """What the unrolled image costs in weights."""
    weights = layers[0] * layers[1]
    nodes = wording.number_of(layers[1], "node")
    into = f"{wording.count(weights)} weights into the {nodes} of the next layer"
    return f"Here each image becomes {wording.count(layers[0])} input nodes, with {into}."


def say_growth(grown: Sequence[Growth]) -> str:
    """At the largest side drawn: the largest network, and the one that has grown least."""
    most, least = max(grown, key=lambda one: one.end), min(grown, key=lambda one: one.end[1] / one.working)
    text = f"At a side of {most.end[0]} {_say_grown(most)}"
    if least is not most:
        at = "" if least.end[0] == most.end[0] else f" at {least.end[0]}"
        text += f"; {_say_grown(least)}{at}"
    return f"{text}."


def _say_grown(one: Growth) -> str:
    factor = one.end[1] / one.working
    times = "about as many as here" if 0.9 < factor < 1.1 else f"{wording.ratio(factor)} times those here"
    return f"{one.rung} would hold {wording.large(one.end[1])} parameters, {times}"


def say_curves(evidence: dict[str, Any], sizes: Sequence[int]) -> str | None:
    """Which rung is estimated highest with the fewest and the most patients, and there the best of the other kind."""
    first, last = _highest(evidence, sizes[0]), _highest(evidence, sizes[-1])
    if not last:
        return None
    unit = f"training {evidence['unit']}"
    said = f"{wording.number_of(sizes[-1], unit)} {_named(last[0])}"
    if len(sizes) > 1 and first:
        said = f"{wording.number_of(sizes[0], unit)} {_named(first[0], 'AUROC ')} is estimated highest; with {said}"
    else:
        said = f"{wording.number_of(sizes[-1], unit)} {_named(last[0], 'AUROC ')} is estimated highest"
    other = next((entry for entry in last if entry[2] != last[0][2]), None)
    if other is not None:
        said += f", before {_named(other)}, the best {other[2]} rung"
    return f"With {said}."


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
