"""The test patients that a rung was most surely wrong about, a few of each kind of error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .scores import FoldScores, Units

OF_A_KIND, IN_ALL = 4, 12


@dataclass(frozen=True)
class WorstError:
    """One unit (a patient in a class, or an image) decided wrongly in most repeats.

    `row` is its first image's place in the cohort, of `images`; `probability` that of the class it was taken for, the
    mean over repeats. Class numbers are those of the cohort.
    """

    row: int
    truth: int
    decided: int
    probability: float
    images: int

    def to_json(self) -> dict[str, Any]:
        """As evidence.json holds it."""
        return asdict(self)


def find_worst(folds: Sequence[FoldScores], units: Sequence[Units]) -> tuple[WorstError, ...]:
    """The errors with the highest mean probability of the class decided; kinds in turn, then by probability.

    `units` are those of every test fold, by its number.
    """
    found = [error for fold in folds for error in _of_fold(units[fold.fold], fold)]
    found.sort(key=lambda error: (-error.probability, error.row))
    kept: list[WorstError] = []
    of_kind: dict[tuple[int, int], int] = {}
    for error in found:
        kind = (error.truth, error.decided)
        if of_kind.get(kind, 0) < OF_A_KIND and len(kept) < IN_ALL:
            of_kind[kind] = of_kind.get(kind, 0) + 1
            kept.append(error)
    return tuple(sorted(kept, key=lambda error: (error.truth, error.decided, -error.probability)))


def _of_fold(units: Units, fold: FoldScores) -> Sequence[WorstError]:
    n_classes = fold.probabilities.shape[2]
    votes = np.stack([(fold.decided == k).mean(axis=0) for k in range(n_classes)], axis=1)
    decided, mean = votes.argmax(axis=1), fold.probabilities.mean(axis=0)
    wrong = np.flatnonzero((decided != fold.truth) & (votes.max(axis=1) > 0.5))
    found = []
    for unit in wrong:
        rows = units.rows[units.unit_of_row == unit]
        k = int(decided[unit])
        found.append(WorstError(int(rows[0]), int(fold.truth[unit]), k, round(float(mean[unit, k]), 4), len(rows)))
    return found
