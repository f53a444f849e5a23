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

    Images without a probability (NaN) are left out, and so are groups of fewer than ten patients, the recall of a class
    of which a group holds fewer than ten, and columns that look like identifiers. A patient whose images differ in a
    column is in several of its groups.
    """
    known = ~np.isnan(probabilities).any(axis=1)
    found = []
    for column, values in columns.items():
        for group, inside in _groups(values[known].astype(np.str_), patients[known]):
            rows = np.flatnonzero(known)[inside]
            n_patients = len(np.unique(patients[rows]))
            if n_patients < LEAST_PATIENTS:
                continue
            tested = score_once(probabilities[rows], labels[rows], patients[rows] if patients_known else None, weights)
            scores, recall = weigh_once(tested, classes)
            counts = np.bincount(tested.truth, minlength=len(classes))
            shown = [one if n >= LEAST_PATIENTS else None for one, n in zip(recall.values(), counts, strict=True)]
            found.append(
                {
                    "column": column,
                    "group": group,
                    "patients": n_patients,
                    "auroc": None if scores["auroc"] is None else scores["auroc"].to_json(),
                    "recall": {
                        name: None if one is None else one.to_json() for name, one in zip(classes, shown, strict=True)
                    },
                }
            )
    return found


def _groups(
    texts: Shaped[np.ndarray, " image"], patients: Int[np.ndarray, " image"]
) -> Iterator[tuple[str, Bool[np.ndarray, " image"]]]:
    """Values of a column, or thirds of its numbers; nothing of a column that says one thing of all, or names them."""
    kinds = sorted(set(texts.tolist()))
    if 2 <= len(kinds) <= MOST_KINDS:
        for kind in kinds:
            yield kind or "(none)", texts == kind
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
