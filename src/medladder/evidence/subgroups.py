"""Scores of one model in groups of patients, by the columns of a manifest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from .fixed import score_once, weigh_once

LEAST_PATIENTS = 10
"""Smaller groups are not shown: they tell little, and may tell who is in them."""

MOST_KINDS = 10
"""A column of more texts is an identifier or a note."""

UNNAMED = "(none)"
"""The group of those of whom a column says nothing."""


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
    known = ~np.isnan(probabilities).any(axis=1)
    found = []
    for column, values in columns.items():
        groups = [
            (group, np.flatnonzero(known)[inside])
            for group, inside in _groups(values[known].astype(np.str_), patients[known])
        ]
        if not groups:
            continue
        is_shown, is_told = _may_show(groups, labels, patients, len(classes))
        for number, (group, rows) in enumerate(groups):
            if not is_shown[number]:
                continue
            tested = score_once(probabilities[rows], labels[rows], patients[rows] if patients_known else None, weights)
            weighed = weigh_once(tested)
            area = weighed.metrics.get("auroc") if is_told[number][np.unique(tested.truth)].all() else None
            told = zip(classes, weighed.recalls, is_told[number], strict=True)
            found.append(
                {
                    "column": column,
                    "group": group,
                    "patients": len(np.unique(patients[rows])),
                    "auroc": None if area is None else area.to_json(),
                    "recall": {name: one.to_json() if may and one is not None else None for name, one, may in told},
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


def _groups(
    texts: Shaped[np.ndarray, " image"], patients: Int[np.ndarray, " image"]
) -> Iterator[tuple[str, Bool[np.ndarray, " image"]]]:
    """Values of a column, or thirds of its numbers; nothing of a column that says one thing of all, or names them."""
    kinds = sorted(set(texts.tolist()))
    if 2 <= len(kinds) <= MOST_KINDS:
        for kind in kinds:
            yield kind.strip() or UNNAMED, texts == kind
        return
    numbers = _numbers(texts)
    if numbers is None or len(kinds) < 2:
        return
    # Once a patient and number, so that a patient of many images does not move the cuts.
    told = np.unique(np.stack([patients, numbers])[:, np.isfinite(numbers)], axis=1)
    if _is_identifier(told[1]):
        return
    low, high = np.quantile(told[1], [1 / 3, 2 / 3])
    if low < high:
        yield f"up to {low:.4g}", numbers <= low
        yield f"above {low:.4g} to {high:.4g}", (numbers > low) & (numbers <= high)
        yield f"above {high:.4g}", numbers > high
        yield UNNAMED, np.isnan(numbers)


def _is_identifier(numbers: Float[np.ndarray, " value"]) -> bool:
    """Whole numbers of which no two patients share one."""
    return bool((numbers == np.round(numbers)).all()) and len(np.unique(numbers)) == len(numbers)


def _numbers(texts: Shaped[np.ndarray, " image"]) -> Float[np.ndarray, " image"] | None:
    """A column as numbers, NaN where it is empty; None where some text is none."""
    try:
        numbers = np.array([float(text) if text.strip() else np.nan for text in texts.tolist()])
    except ValueError:
        return None
    return numbers if np.isfinite(numbers).any() else None
