"""What one rung is like at one size: its ROC curve, what its probabilities mean, and whom it serves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ..record.cohort import CohortRecord
from ..record.grouping import Grouping
from .decision_curve import NetBenefit, decision_curve
from .intervals import Interval, auroc_interval, hanley_mcneil
from .measures import Measures
from .points import CONFIDENCE, Weighed, weigh_metrics, weigh_part
from .ranked import sensitivity_at
from .reliability import Bin, mean_curve
from .scores import FoldScores, Scores
from .subgroups import tell_groups
from .variance import Variance

# Shares of false alarms at which a ROC curve is told; denser where a specificity is high.
ALARMS = tuple(((np.arange(41) / 40) ** 2).round(6).tolist())


@dataclass(frozen=True)
class Roc:
    """Sensitivity for one class at each share of false alarms, both 0–1: the mean over repeats and folds."""

    class_: str
    alarms: tuple[float, ...]
    sensitivity: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """As evidence.json holds it."""
        return {"class": self.class_, "alarms": list(self.alarms), "sensitivity": list(self.sensitivity)}


@dataclass(frozen=True)
class Portrait:
    """Curves of the positive class, or of each of more than two."""

    n_train: int
    roc: tuple[Roc, ...]
    reliability: tuple[Bin, ...]
    decision_curve: tuple[NetBenefit, ...] = ()
    """Of two classes where a prevalence is stated, else empty."""

    def to_json(self) -> dict[str, Any]:
        """As evidence.json holds it."""
        return {
            "n_train": self.n_train,
            "roc": [curve.to_json() for curve in self.roc],
            "reliability": [one.to_json() for one in self.reliability],
            "decision_curve": [one.to_json() for one in self.decision_curve],
        }


def portray(scores: Scores, rung: str, n_train: int) -> Portrait | None:
    """Draw one rung at one size from its predictions; None where no fold holds every class.

    Source
    ------
    A mean ROC curve is averaged vertically, as in Fawcett 2006, doi:10.1016/j.patrec.2005.10.010.
    """
    folds, classes = scores.at(rung, n_train), scores.cohort.classes
    whole = [fold for fold in folds if len(np.unique(fold.truth)) == len(classes)]
    if not whole:
        return None
    shown = [1] if len(classes) == 2 else range(len(classes))
    roc = tuple(Roc(classes[k], ALARMS, tuple(_sensitivities(whole, k).round(5).tolist())) for k in shown)
    prevalence = scores.plan.operating.prevalence
    curve = (
        ()
        if prevalence is None or len(classes) != 2
        else decision_curve(
            whole, prevalence, [trained_share(scores.cohort, fold.fold) for fold in whole], confidence=CONFIDENCE
        )
    )
    return Portrait(n_train, roc, mean_curve(folds, classes, confidence=CONFIDENCE), curve)


def trained_share(cohort: CohortRecord, fold: int) -> float:
    """How common the positive class of two is among the images of one fold's training pool, 0–1."""
    pool = (cohort.test_fold >= -1) & (cohort.test_fold != fold)
    return float((cohort.labels[pool] == 1).mean())


def _sensitivities(folds: Sequence[FoldScores], k: int) -> Float[np.ndarray, " alarm"]:
    shares = np.array([len(fold.truth) for fold in folds])
    by_fold = [
        [sensitivity_at(fold.probabilities[:, :, k], fold.truth == k, 1 - alarms)[0].mean() for alarms in ALARMS]
        for fold in folds
    ]
    return np.average(by_fold, axis=0, weights=shares)


@dataclass(frozen=True)
class Served:
    """Scores of one rung at one size in groups of test patients, as `subgroups.tell_groups` tells them.

    `outside` are those of the collection or the values of the column that training never saw; `inside` is the AUROC out
    of part, on patients of the collections that it did see. None where the test patients are no others.
    """

    rung: str
    n_train: int
    inside: Interval | None
    outside: tuple[Mapping[str, Any], ...]
    subgroups: tuple[Mapping[str, Any], ...]

    def to_json(self) -> dict[str, Any]:
        """As evidence.json holds it."""
        return {
            "rung": self.rung,
            "n_train": self.n_train,
            "inside": None if self.inside is None else self.inside.to_json(),
            "outside": [dict(one) for one in self.outside],
            "subgroups": [dict(one) for one in self.subgroups],
        }


Shared = Mapping[int, Float[np.ndarray, "fold fold"]]


def serve(scores: Scores, rung: str, n_train: int, shared: Shared) -> Served:
    """Score one rung in every group of test patients that may be shown."""
    plan, cohort = scores.plan, scores.cohort
    tested = np.flatnonzero(cohort.test_fold >= 0)

    def score(rows: Int[np.ndarray, " row"]) -> Weighed:
        inside = np.zeros(len(cohort.labels), dtype=bool)
        inside[tested[rows]] = True
        return _weigh_group(scores.at(rung, n_train, inside), len(cohort.classes), n_train, shared)

    outside = {}
    if plan.leave_out is not None:
        outside[plan.leave_out] = Grouping(plan.folds, cohort.test_fold[tested])
    elif plan.tested_on is not None:
        outside["tested on"] = Grouping((plan.tested_on,), np.zeros(len(tested), dtype=np.int64))
    columns = {
        name: Grouping(grouping.groups, grouping.of_image[tested])
        for name, grouping in cohort.columns.items()
        if name != plan.leave_out
    }
    labels, patients = cohort.labels[tested], cohort.patients[tested]
    return Served(
        rung,
        n_train,
        _inside(scores, rung, n_train) if outside else None,
        tuple(tell_groups(outside, labels, patients, cohort.classes, score)),
        tuple(tell_groups(columns, labels, patients, cohort.classes, score)),
    )


def _weigh_group(folds: Sequence[FoldScores], n_classes: int, n_train: int, shared: Shared) -> Weighed:
    """Intervals of a group's patients; with the patients' chance alone where no fold holds all classes of them."""
    if not folds:
        return Weighed({}, (None,) * n_classes, (None,) * n_classes)
    if any(len(np.unique(fold.truth)) == n_classes for fold in folds):
        return weigh_metrics({n_train: Measures(tuple(folds))}, shared)[n_train]
    return weigh_part(max(folds, key=lambda fold: len(fold.truth)))


def _inside(scores: Scores, rung: str, n_train: int) -> Interval | None:
    """AUROC out of part, its mean over trials with the chance of one trial's patients."""
    found = [
        trial.out_of_part
        for trial in scores.trials
        if (trial.rung, trial.n_train) == (rung, n_train) and trial.out_of_part is not None
    ]
    if not found:
        return None
    area = float(np.mean([one["area"] for one in found]))
    counts = np.mean([one["per_class"] for one in found], axis=0)
    fewest, rest = max(round(counts.min()), 1), max(round(counts.sum() - counts.min()), 1)
    chance = Variance(hanley_mcneil(area, fewest, rest), float(fewest + rest - 2))
    return auroc_interval(area, fewest, rest, chance, confidence=CONFIDENCE)
