"""One rung at one size: all its metrics, each with its interval."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from .intervals import (
    Interval,
    auroc_interval,
    joined_interval,
    mean_interval,
    proportion_interval,
    quantile,
)
from .metrics import FoldMeasure, Measure, average, brier_terms, macro_auroc, mean_over_units
from .scores import FoldScores
from .variance import Variance, patient_variance, training_spread, variance_of

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Measures:
    """Every metric of one rung at one size.

    `is_constant`: no trial told any two units apart, so its ROC is the diagonal whatever the patients.
    """

    auroc: Measure
    accuracy: Measure
    brier: Measure
    recalls: tuple[Measure, ...]
    balanced_accuracy: Measure
    counts: tuple[int, ...]
    is_constant: bool


@dataclass(frozen=True)
class Point:
    """One rung at one size; sensitivity and specificity are None with more than two classes."""

    n_train: int
    repeats: int
    failed: int
    overlap: float
    holds: str
    auroc: Interval
    balanced_accuracy: Interval
    accuracy: Interval
    sensitivity: Interval | None
    specificity: Interval | None
    brier: Interval
    recall: Mapping[str, Interval]

    def to_json(self) -> dict[str, Any]:
        """The point as evidence.json holds it."""
        metrics = ("auroc", "balanced_accuracy", "accuracy", "sensitivity", "specificity", "brier")
        found = {name: getattr(self, name) for name in metrics}
        return {
            "n_train": self.n_train,
            "repeats": self.repeats,
            "failed": self.failed,
            "overlap": self.overlap,
            "holds": self.holds,
            **{name: None if interval is None else interval.to_json() for name, interval in found.items()},
            "recall": {name: interval.to_json() for name, interval in self.recall.items()},
        }


def measure_folds(folds: Sequence[FoldScores]) -> Measures:
    """Every metric of the finished trials of one rung at one size; at least one fold must hold all classes."""
    n_classes = folds[0].probabilities.shape[2]
    truth = np.concatenate([fold.truth for fold in folds])
    counts = tuple(int((truth == k).sum()) for k in range(n_classes))
    whole = [fold for fold in folds if len(np.unique(fold.truth)) == n_classes]
    recalls = tuple(_recall(folds, k) for k in range(n_classes))
    return Measures(
        auroc=_measure(whole, lambda fold: macro_auroc(fold.probabilities, fold.truth)),
        accuracy=_measure(folds, lambda fold: mean_over_units(fold.decided == fold.truth, _all(fold))),
        brier=_measure(folds, lambda fold: mean_over_units(brier_terms(fold.probabilities, fold.truth), _all(fold))),
        recalls=recalls,
        balanced_accuracy=average(recalls),
        counts=counts,
        is_constant=_is_constant(folds),
    )


Scored = tuple[np.ndarray, np.ndarray]


def _measure(folds: Sequence[FoldScores], score: Callable[[FoldScores], Scored]) -> Measure:
    return Measure(tuple(_part(fold, *score(fold), weight=len(fold.truth)) for fold in folds))


def _recall(folds: Sequence[FoldScores], k: int) -> Measure:
    """Recall of one class; a fold weighs as many patients of that class as it holds."""
    held = [fold for fold in folds if (fold.truth == k).any()]
    parts = []
    for fold in held:
        counted = fold.truth == k
        parts.append(_part(fold, *mean_over_units(fold.decided == k, counted), weight=int(counted.sum())))
    return Measure(tuple(parts))


def _is_constant(folds: Sequence[FoldScores]) -> bool:
    return all(bool((np.ptp(fold.probabilities, axis=1) == 0).all()) for fold in folds)


def _all(fold: FoldScores) -> np.ndarray:
    return np.ones(len(fold.truth), dtype=bool)


def _part(fold: FoldScores, values: np.ndarray, influence: np.ndarray, *, weight: float) -> FoldMeasure:
    return FoldMeasure(fold.fold, weight, fold.repeats, fold.overlap, values, influence, fold.truth, fold.patients)


Shared = Mapping[int, Float[np.ndarray, "fold fold"]]


def weigh_metrics(by_size: Mapping[int, Measures], shared: Shared) -> dict[int, dict[str, Any]]:
    """Intervals of every metric at every size; what the training draw brings is pooled over the sizes."""
    names = ("auroc", "accuracy", "brier", "balanced_accuracy")
    variances = {name: _variances({n: getattr(m, name) for n, m in by_size.items()}, shared) for name in names}
    n_recalls = len(next(iter(by_size.values())).recalls)
    of_recall = [_variances({n: m.recalls[k] for n, m in by_size.items()}, shared) for k in range(n_recalls)]
    return {
        n: _intervals(m, {name: variances[name][n] for name in names}, [found[n] for found in of_recall])
        for n, m in by_size.items()
    }


def _variances(measures: Mapping[int, Measure], shared: Shared) -> dict[int, Variance]:
    spread = training_spread(measures)
    return {n: variance_of(measure, n, spread, shared[n]) for n, measure in measures.items()}


def _intervals(measures: Measures, variances: Mapping[str, Variance], of_recall: Sequence[Variance]) -> dict[str, Any]:
    n = sum(measures.counts)
    recalls = list(zip(measures.recalls, measures.counts, of_recall, strict=True))
    # Recalls of different classes rest on different patients but on the same training draw.
    tested = [(recall, count, Variance(found.patient, found.patient_dof)) for recall, count, found in recalls]
    return {
        "auroc": _area_interval(measures.auroc, measures.counts, variances["auroc"], is_constant=measures.is_constant),
        "balanced_accuracy": _balanced_of(tested, variances["balanced_accuracy"]),
        "accuracy": _proportion(measures.accuracy, n, variances["accuracy"]),
        "brier": mean_interval(
            measures.brier.estimate,
            n,
            1.0 if len(measures.counts) == 2 else 2.0,
            variances["brier"],
            confidence=CONFIDENCE,
        ),
        "recalls": [_proportion(*recall) for recall in recalls],
    }


def _proportion(measure: Measure, count: int, variance: Variance) -> Interval:
    return proportion_interval(measure.estimate, count, variance, confidence=CONFIDENCE)


def _balanced_of(tested: Sequence[tuple[Measure, int, Variance]], variance: Variance) -> Interval:
    parts = [_proportion(*recall) for recall in tested]
    return joined_interval(parts, variance.training, quantile(variance.dof, CONFIDENCE))


def _area_interval(measure: Measure, counts: Sequence[int], variance: Variance, *, is_constant: bool) -> Interval:
    if is_constant:
        # All patients tie: the area is one half on any patients and after any training, so nothing is uncertain.
        return Interval(measure.estimate, measure.estimate, measure.estimate)
    fewest = min(counts)
    return auroc_interval(measure.estimate, fewest, sum(counts) - fewest, variance, confidence=CONFIDENCE)


def weigh_part(fold: FoldScores) -> dict[str, Any]:
    """Metrics of one fold that lacks a class, each with the chance of its patients alone.

    AUROC and balanced accuracy are means over the classes that are there, and None with only one; `recalls` has None
    where a class is absent.
    """
    n_classes, n = fold.probabilities.shape[2], len(fold.truth)
    counts = np.bincount(fold.truth, minlength=n_classes).tolist()
    here = [k for k, count in enumerate(counts) if count]
    recalls = {k: _recall([fold], k) for k in here}
    found = {k: _proportion(measure, counts[k], _of_patients(measure)) for k, measure in recalls.items()}
    accuracy = _measure([fold], lambda one: mean_over_units(one.decided == one.truth, _all(one)))
    brier = _measure([fold], lambda one: mean_over_units(brier_terms(one.probabilities, one.truth), _all(one)))
    auroc = balanced = None
    if len(here) > 1:
        area = _measure([fold], lambda one: macro_auroc(one.probabilities, one.truth))
        present = [counts[k] for k in here]
        auroc = _area_interval(area, present, _of_patients(area), is_constant=_is_constant([fold]))
        balanced = joined_interval(list(found.values()), None, 0.0)
    top = 1.0 if n_classes == 2 else 2.0
    return {
        "auroc": auroc,
        "balanced_accuracy": balanced,
        "accuracy": _proportion(accuracy, n, _of_patients(accuracy)),
        "brier": mean_interval(brier.estimate, n, top, _of_patients(brier), confidence=CONFIDENCE),
        "recalls": [found.get(k) for k in range(n_classes)],
    }


def _of_patients(measure: Measure) -> Variance:
    return Variance(*patient_variance(measure))
