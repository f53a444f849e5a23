"""What the page's tables hold, as evidence and cohort have it; nothing is computed but counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool

from ..language import phrase, tr
from ..record.cohort import CohortRecord
from ..record.grouping import Grouping

METRICS = (
    ("auroc", "AUROC"),
    ("balanced_accuracy", phrase("Balanced accuracy")),
    ("accuracy", phrase("Accuracy")),
    ("sensitivity", phrase("Sensitivity")),
    ("specificity", phrase("Specificity")),
    ("brier", phrase("Brier score")),
)
"""Of every rung, side by side."""

MORE_METRICS = (
    ("average_precision", phrase("Average precision")),
    ("f1", "F1"),
    ("log_loss", phrase("Log loss")),
    ("expected_calibration_error", phrase("Expected calibration error")),
)
"""Of the recommended rung, below those."""


@dataclass(frozen=True)
class RungRow:
    """One rung at the size compared; `point` is None where no trial of it was scored."""

    rung: str
    family: str
    point: dict[str, Any] | None
    n_parameters: float | None
    fit_seconds: float | None
    is_recommended: bool


@dataclass(frozen=True)
class DifferenceRow:
    """One paired difference; places run from 0 to 100 along the strip it is drawn on."""

    rung: str
    against: str
    difference: dict[str, Any]
    low: float
    middle: float
    high: float


@dataclass(frozen=True)
class DifferenceTable:
    """Differences in one metric at one size, with the places of nought and of the margin on their strips."""

    metric: str
    n_train: int
    is_simultaneous: bool
    is_to_floor: bool
    rows: list[DifferenceRow]
    zero: float
    margin_low: float
    margin_high: float


@dataclass(frozen=True)
class PartCounts:
    """Images and patients of each class in one part of the cohort."""

    part: str
    images: list[int]
    patients: list[int]
    all_patients: int


@dataclass(frozen=True)
class GroupCounts:
    """Patients of one group, and their share, part by part."""

    group: str
    patients: list[int]
    shares: list[float]


@dataclass(frozen=True)
class Characteristic:
    """One column of the manifest and its groups."""

    column: str
    groups: list[GroupCounts]


def choose_size(evidence: dict[str, Any], sizes: Sequence[int]) -> int:
    """The size at which the verdict compares the rungs: the largest that they share, else the largest."""
    compared = [entry["n_train"] for entry in evidence["comparisons"] if entry["simultaneous"]]
    return max(compared, default=sizes[-1])


def list_rungs(evidence: dict[str, Any], n_train: int) -> list[RungRow]:
    """A row a rung, in the order in which the rungs were named."""
    rows = []
    for rung in evidence["rungs"]:
        name = rung["rung"]
        costs = [cost for cost in evidence["cost"].get(name, []) if cost["n_train"] == n_train]
        points = [point for point in rung["points"] if point["n_train"] == n_train]
        rows.append(
            RungRow(
                name,
                rung["family"],
                points[0] if points else None,
                costs[0]["n_parameters"] if costs else None,
                costs[0]["fit_seconds"] if costs else None,
                name == evidence["verdict"]["recommended"],
            )
        )
    return rows


def choose_metrics(rows: Sequence[RungRow]) -> list[tuple[str, str]]:
    """The metrics that some rung has: sensitivity and specificity are for two classes only."""
    return [(key, title) for key, title in METRICS if any(row.point is not None and row.point[key] for row in rows)]


def group_differences(evidence: dict[str, Any], margin: float) -> list[DifferenceTable]:
    """Comparisons by metric, size and kind of interval, the simultaneous ones first.

    Those with the floor stand apart: they are so large that on one scale the others could not be told apart.
    """
    floor = {rung["rung"] for rung in evidence["rungs"] if rung["family"] == "floor"}
    groups: dict[tuple[bool, bool, str, int], list[dict[str, Any]]] = {}
    for comparison in evidence["comparisons"]:
        is_to_floor = not floor.isdisjoint((comparison["rung"], comparison["against"]))
        key = (not comparison["simultaneous"], is_to_floor, comparison["metric"], comparison["n_train"])
        groups.setdefault(key, []).append(comparison)
    return [_lay_out(key, groups[key], margin) for key in sorted(groups, key=lambda key: key[:2])]


def _lay_out(key: tuple[bool, bool, str, int], comparisons: Sequence[dict[str, Any]], margin: float) -> DifferenceTable:
    """Set the differences of one group on one scale, symmetric about nought."""
    ends = [abs(comparison["difference"][key]) for comparison in comparisons for key in ("low", "high")]
    reach = 1.06 * max([*ends, margin, 1e-6])

    def place(value: float) -> float:
        return 50 + 50 * value / reach

    rows = [
        DifferenceRow(
            comparison["rung"],
            comparison["against"],
            comparison["difference"],
            *(place(comparison["difference"][key]) for key in ("low", "estimate", "high")),
        )
        for comparison in comparisons
    ]
    is_single, is_to_floor, metric, n_train = key
    return DifferenceTable(metric, n_train, not is_single, is_to_floor, rows, place(0), place(-margin), place(margin))


def count_parts(cohort: CohortRecord, folds: Sequence[str]) -> list[PartCounts]:
    """Images and patients per class in the pool, in the test part, and among those for choosing only."""
    return [_count_part(cohort, part, mask) for part, mask in _parts(cohort, folds)]


def list_characteristics(cohort: CohortRecord, folds: Sequence[str]) -> list[Characteristic]:
    """Patients of each part by the groups of each column that came with the cohort, such as sex, age or maker.

    A patient whose images are in two groups counts in both. Shares are of all the part's patients.
    """
    parts = _parts(cohort, folds)
    n_patients = [len(np.unique(cohort.patients[mask])) for _, mask in parts]
    return [
        Characteristic(
            column,
            [
                GroupCounts(name, counts, [count / of for count, of in zip(counts, n_patients, strict=True)])
                for group, name in enumerate(grouping.groups)
                if any(counts := [_patients_in(cohort, grouping, group, mask) for _, mask in parts])
            ],
        )
        for column, grouping in cohort.columns.items()
    ]


def _patients_in(cohort: CohortRecord, grouping: Grouping, group: int, mask: Bool[np.ndarray, " image"]) -> int:
    return len(np.unique(cohort.patients[mask & (grouping.of_image == group)]))


def _parts(cohort: CohortRecord, folds: Sequence[str]) -> list[tuple[str, Bool[np.ndarray, " image"]]]:
    """The parts that hold an image, with their names."""
    n = len(folds)
    tested = tr("Test") if n == 1 else tr("Tested, each in one of {n} folds", n=n)
    pool = tr("Training pool") if n == 1 else tr("Training pool of every fold")
    masks = (
        (pool, cohort.test_fold == -1),
        (tested, cohort.test_fold >= 0),
        (tr("For choosing only"), cohort.test_fold == -2),
    )
    return [(part, mask) for part, mask in masks if mask.any()]


def _count_part(cohort: CohortRecord, part: str, mask: Bool[np.ndarray, " image"]) -> PartCounts:
    by_class = [mask & (cohort.labels == label) for label in range(len(cohort.classes))]
    return PartCounts(
        part,
        [int(rows.sum()) for rows in by_class],
        [len(np.unique(cohort.patients[rows])) for rows in by_class],
        len(np.unique(cohort.patients[mask])),
    )
