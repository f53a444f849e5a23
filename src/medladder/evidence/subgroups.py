"""Scores in groups of patients, by the columns of a manifest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from ..record.grouping import UNNAMED, Grouping, group_by
from .fixed import score_once, weigh_once
from .points import Weighed

LEAST_PATIENTS = 10
"""Smaller groups are not shown: they tell little, and may tell who is in them."""


def subgroup_scores(
    probabilities: Float[np.ndarray, "image class_"],
    labels: Int[np.ndarray, " image"],
    patients: Int[np.ndarray, " image"],
    columns: Mapping[str, Shaped[np.ndarray, " image"]],
    *,
    patients_known: bool,
    classes: Sequence[str],
    weights: Sequence[float],
) -> list[dict[str, Any]]:
    """AUROC and recall in each group: a value of a text column, a third of a column of numbers.

    Images without a probability (NaN) are left out. Nothing rests on fewer than ten patients: such groups are not
    shown, nor the recall of a class of which a group holds fewer, nor then its AUROC. Where what a column hides is of
    fewer than ten patients together, it could be told by subtraction from the whole, and the smallest that is shown is
    hidden too, unless only an empty cell is hidden, by which no one is known. This holds a column at a time: two
    columns that part nearly the same patients still may tell. Columns that look like identifiers are left out. A
    patient whose images differ in a column is in several of its groups.
    """
    known = np.flatnonzero(~np.isnan(probabilities).any(axis=1))
    groupings = {column: group_by(values[known], patients[known]) for column, values in columns.items()}

    def score(rows: Int[np.ndarray, " row"]) -> Weighed:
        here = known[rows]
        return weigh_once(
            score_once(probabilities[here], labels[here], patients[here] if patients_known else None, weights)
        )

    told = {column: grouping for column, grouping in groupings.items() if grouping is not None}
    return tell_groups(told, labels[known], patients[known], classes, score)


def tell_groups(
    groupings: Mapping[str, Grouping],
    labels: Int[np.ndarray, " row"],
    patients: Int[np.ndarray, " row"],
    classes: Sequence[str],
    score: Callable[[Int[np.ndarray, " row"]], Weighed],
) -> list[dict[str, Any]]:
    """What `score` gives the rows of each group that may be shown, by the rules of `subgroup_scores`."""
    found = []
    for column, grouping in groupings.items():
        groups = [(name, np.flatnonzero(grouping.of_image == number)) for number, name in enumerate(grouping.groups)]
        groups = [(name, rows) for name, rows in groups if len(rows)]
        is_shown, is_told = _may_show(groups, labels, patients, len(classes))
        for number, (group, rows) in enumerate(groups):
            if not is_shown[number]:
                continue
            weighed = score(rows)
            area = weighed.metrics.get("auroc") if is_told[number][np.unique(labels[rows])].all() else None
            recalls = zip(classes, weighed.recalls, is_told[number], strict=True)
            found.append(
                {
                    "column": column,
                    "group": group,
                    "patients": len(np.unique(patients[rows])),
                    "auroc": None if area is None else area.to_json(),
                    "recall": {name: one.to_json() if may and one is not None else None for name, one, may in recalls},
                }
            )
    return found


def _may_show(
    groups: Sequence[tuple[str, Int[np.ndarray, " _"]]],
    labels: Int[np.ndarray, " image"],
    patients: Int[np.ndarray, " image"],
    n_classes: int,
) -> tuple[Bool[np.ndarray, " group"], Bool[np.ndarray, "group class_"]]:
    """Which groups, and which classes in them, may be shown: ten patients in each, and none or ten in the rest."""
    is_named = np.array([group != UNNAMED for group, _ in groups])
    is_shown = _without_rest([patients[rows] for _, rows in groups], is_named, np.ones(len(groups), dtype=bool))
    of_class = [[patients[rows[labels[rows] == k]] for _, rows in groups] for k in range(n_classes)]
    return is_shown, np.stack([_without_rest(inside, is_named, is_shown) for inside in of_class], axis=1)


def _without_rest(
    groups: Sequence[Int[np.ndarray, " _"]],
    is_named: Bool[np.ndarray, " group"],
    may_show: Bool[np.ndarray, " group"],
) -> Bool[np.ndarray, " group"]:
    """Of the groups that may be shown those to show, so that the rest can be subtracted without harm."""
    counts = np.array([len(np.unique(group)) for group in groups])
    is_shown = may_show & (counts >= LEAST_PATIENTS)
    while is_shown.any():
        hidden = [group for group, shown in zip(groups, is_shown, strict=True) if not shown]
        rest = np.unique(np.concatenate(hidden or [groups[0][:0]]))
        is_harmless = len(rest) >= LEAST_PATIENTS or not counts[is_named & ~is_shown].any()
        if is_harmless:
            break
        is_shown[np.flatnonzero(is_shown)[counts[is_shown].argmin()]] = False
    return is_shown
