"""Several studies of one cohort side by side: the same rungs, compared in pairs where they met the same patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import OptionError
from ..record.cohort import CohortRecord
from ..record.folder import StudyFolder
from .comparisons import paired_interval
from .intervals import Interval
from .points import CONFIDENCE
from .scores import Scores, read_scores
from .weighing import count_tested, measure_rung, shared_training


@dataclass(frozen=True)
class Across:
    """AUROC of one rung in a study less that of one in the first study, at a size that both have.

    `study` counts from 0; each difference stands for itself.
    """

    study: int
    rung: str
    against: str
    n_train: int
    difference: Interval

    def to_json(self) -> dict[str, Any]:
        """As `report --json` prints it."""
        return {
            "study": self.study,
            "rung": self.rung,
            "against": self.against,
            "n_train": self.n_train,
            "difference": self.difference.to_json(),
        }


def check_alike(cohorts: Sequence[CohortRecord]) -> bool:
    """Whether all studies tested the same patients, so that differences are paired.

    Raises
    ------
    OptionError
        Their classes differ, so that their scores mean different things.
    """
    first = cohorts[0]
    for cohort in cohorts[1:]:
        if cohort.classes != first.classes:
            raise OptionError(
                found=f"Studies of other classes: {', '.join(first.classes)}, and {', '.join(cohort.classes)}.",
                needed="The same classes, in the same order.",
                do="Compare studies of one cohort.",
            )
    return all(
        np.array_equal(getattr(cohort, name), getattr(first, name))
        for cohort in cohorts[1:]
        for name in ("labels", "patients", "test_fold")
    )


def compare_studies(folders: Sequence[StudyFolder]) -> tuple[Across, ...]:
    """Every rung that a study shares with the first, and the picks of both, at the largest size that both have.

    Empty where the test patients are not the same.
    """
    studies = [read_scores(folder) for folder in folders]
    if not check_alike([scores.cohort for scores in studies]):
        return ()
    picks = [folder.read_evidence()["verdict"]["recommended"] for folder in folders]
    first, known = studies[0], [planned.rung for planned in studies[0].plan.rungs]
    found = []
    for place, scores in enumerate(studies[1:], start=1):
        pairs = [(planned.rung, planned.rung) for planned in scores.plan.rungs if planned.rung in known]
        pairs.append((picks[place], picks[0]))
        for rung, against in dict.fromkeys(pairs):
            one = _compare(scores, rung, first, against)
            if one is not None:
                found.append(Across(place, rung, against, *one))
    return tuple(found)


def _compare(scores: Scores, rung: str, first: Scores, against: str) -> tuple[int, Interval] | None:
    curve = {n: measures.auroc for n, measures in measure_rung(scores, rung).items()}
    other = {n: measures.auroc for n, measures in measure_rung(first, against).items()}
    for n in sorted(set(curve) & set(other), reverse=True):
        shared = {size: shared_training(first.cohort, len(first.units), size) for size in curve}
        interval = paired_interval(curve, other, n, count_tested(first), shared, confidence=CONFIDENCE)
        if interval is not None:
            return n, interval
    return None
