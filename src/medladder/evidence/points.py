"""One rung at one size: all its metrics, each with its interval."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from jaxtyping import Float

from ..record.plan import USUAL_POINTS, OperatingPoints
from .intervals import (
    Interval,
    auroc_interval,
    joined_interval,
    mean_interval,
    positive_interval,
    proportion_interval,
    quantile,
    root_interval,
)
from .metrics import FoldMeasure, Measure, auroc, average, brier_terms, log_loss_terms, macro, mean_over_units
from .prevalence import AtPrevalence
from .ranked import average_precision, f1, sensitivity_at
from .reliability import LEAST_UNITS, squared_calibration_error
from .scores import FoldScores
from .variance import Variance, patient_variance, training_spread, variance_of

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Measures:
    """Every metric of one rung at one size; None where it is for two classes only.

    `areas` holds each class's AUROC against the rest, `confusion` the mean number, over repeats, of units of class i
    that were decided to be j. `is_constant`: no trial told any two units apart, so its ROC is the diagonal whatever the
    patients.
    """

    auroc: Measure
    areas: tuple[Measure, ...]
    average_precision: Measure
    accuracy: Measure
    f1: Measure
    brier: Measure
    log_loss: Measure
    squared_calibration_error: Measure | None
    sensitivity_at_specificity: Measure | None
    specificity_at_sensitivity: Measure | None
    recalls: tuple[Measure, ...]
    balanced_accuracy: Measure
    counts: tuple[int, ...]
    confusion: Float[np.ndarray, "class_ class_"]
    is_constant: bool


METRICS = (
    "auroc",
    "average_precision",
    "balanced_accuracy",
    "accuracy",
    "sensitivity",
    "specificity",
    "f1",
    "brier",
    "log_loss",
    "expected_calibration_error",
    "sensitivity_at_specificity",
    "specificity_at_sensitivity",
)
"""Names as evidence.json and `evaluate --json` have them."""


@dataclass(frozen=True)
class Point:
    """One rung at one size; None where a metric is for two classes, or too few units tell it."""

    n_train: int
    repeats: int
    failed: int
    overlap: float
    holds: str
    metrics: Mapping[str, Interval | None]
    recall: Mapping[str, Interval]
    per_class_auroc: Mapping[str, Interval]
    confusion: Float[np.ndarray, "class_ class_"]
    operating: OperatingPoints
    at_prevalence: AtPrevalence | None = None

    @property
    def auroc(self) -> Interval:
        """The metric by which rungs are compared."""
        found = self.metrics["auroc"]
        assert found is not None
        return found

    def to_json(self) -> dict[str, Any]:
        """The point as evidence.json holds it."""
        return {
            "n_train": self.n_train,
            "repeats": self.repeats,
            "failed": self.failed,
            "overlap": self.overlap,
            "holds": self.holds,
            **metrics_json(self.metrics, self.operating),
            "recall": {name: interval.to_json() for name, interval in self.recall.items()},
            "per_class_auroc": {name: interval.to_json() for name, interval in self.per_class_auroc.items()},
            "confusion": self.confusion.round(3).tolist(),
            "at_prevalence": None if self.at_prevalence is None else self.at_prevalence.to_json(),
        }


def metrics_json(metrics: Mapping[str, Interval | None], operating: OperatingPoints) -> dict[str, Any]:
    """Every metric by name, those at a fixed operating point with where it is."""
    at = {
        "sensitivity_at_specificity": operating.at_specificity,
        "specificity_at_sensitivity": operating.at_sensitivity,
    }
    found: dict[str, Any] = {}
    for name in METRICS:
        interval = metrics.get(name)
        where = {"at": at[name]} if name in at else {}
        found[name] = None if interval is None else {**where, **interval.to_json()}
    return found


def measure_folds(folds: Sequence[FoldScores], operating: OperatingPoints = USUAL_POINTS) -> Measures:
    """Every metric of the finished trials of one rung at one size; at least one fold must hold all classes."""
    n_classes = folds[0].probabilities.shape[2]
    truth = np.concatenate([fold.truth for fold in folds])
    whole = [fold for fold in folds if len(np.unique(fold.truth)) == n_classes]
    recalls = tuple(_recall(folds, k) for k in range(n_classes))
    is_binary = n_classes == 2

    def of_whole(score: Callable[[FoldScores], Scored]) -> Measure:
        return _measure(whole, score)

    def of_all(score: Callable[[FoldScores], Scored]) -> Measure:
        return _measure(folds, score)

    def area(k: int) -> Measure:
        return of_whole(lambda fold: auroc(fold.probabilities[:, :, k], fold.truth == k))

    def at(k: int, rate: float) -> Measure:
        return of_whole(lambda fold: sensitivity_at(fold.probabilities[:, :, k], fold.truth == k, rate))

    return Measures(
        auroc=of_whole(_macro_auroc),
        areas=tuple(area(k) for k in range(n_classes)),
        average_precision=of_whole(
            lambda fold: macro(
                lambda k: average_precision(fold.probabilities[:, :, k], fold.truth == k), n_classes, fold.truth
            )
        ),
        accuracy=of_all(lambda fold: mean_over_units(fold.decided == fold.truth, _all(fold))),
        f1=of_whole(lambda fold: macro(lambda k: f1(fold.decided == k, fold.truth == k), n_classes, fold.truth)),
        brier=of_all(lambda fold: mean_over_units(brier_terms(fold.probabilities, fold.truth), _all(fold))),
        log_loss=of_all(lambda fold: mean_over_units(log_loss_terms(fold.probabilities, fold.truth), _all(fold))),
        squared_calibration_error=None
        if min(len(fold.truth) for fold in folds) < LEAST_UNITS
        else of_all(lambda fold: squared_calibration_error(fold.probabilities, fold.truth)),
        sensitivity_at_specificity=at(1, operating.at_specificity) if is_binary else None,
        specificity_at_sensitivity=at(0, operating.at_sensitivity) if is_binary else None,
        recalls=recalls,
        balanced_accuracy=average(recalls),
        counts=tuple(np.bincount(truth, minlength=n_classes).tolist()),
        confusion=_confusion(folds, n_classes),
        is_constant=_is_constant(folds),
    )


def _macro_auroc(fold: FoldScores) -> Scored:
    return macro(lambda k: auroc(fold.probabilities[:, :, k], fold.truth == k), fold.probabilities.shape[2], fold.truth)


def _confusion(folds: Sequence[FoldScores], n_classes: int) -> Float[np.ndarray, "class_ class_"]:
    found = np.zeros((n_classes, n_classes))
    for fold in folds:
        for decided in fold.decided:
            np.add.at(found, (fold.truth, decided), 1 / len(fold.decided))
    return found


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


def weigh_metrics(by_size: Mapping[int, Measures], shared: Shared) -> dict[int, Weighed]:
    """Intervals of every metric at every size; what the training draw brings is pooled over the sizes."""
    first = next(iter(by_size.values()))
    n_classes = len(first.counts)
    single = [field.name for field in fields(Measures) if isinstance(getattr(first, field.name), Measure)]
    # A metric that a size cannot tell is not told at the others either.
    single = [name for name in single if all(getattr(one, name) is not None for one in by_size.values())]
    variances = {name: _variances({n: getattr(m, name) for n, m in by_size.items()}, shared) for name in single}
    of_recall = [_variances({n: m.recalls[k] for n, m in by_size.items()}, shared) for k in range(n_classes)]
    of_area = [_variances({n: m.areas[k] for n, m in by_size.items()}, shared) for k in range(n_classes)]
    return {
        n: Weighed(
            _intervals(m, {name: found[n] for name, found in variances.items()}, [found[n] for found in of_recall]),
            tuple(_proportion(*one) for one in zip(m.recalls, m.counts, [v[n] for v in of_recall], strict=True)),
            tuple(_area_of(m, k, found[n]) for k, found in enumerate(of_area)),
        )
        for n, m in by_size.items()
    }


@dataclass(frozen=True)
class Weighed:
    """Intervals at one size: by metric, and each class's recall and AUROC against the rest."""

    metrics: Mapping[str, Interval | None]
    recalls: tuple[Interval | None, ...]
    areas: tuple[Interval | None, ...]


def _variances(measures: Mapping[int, Measure], shared: Shared) -> dict[int, Variance]:
    spread = training_spread(measures)
    return {n: variance_of(measure, n, spread, shared[n]) for n, measure in measures.items()}


def _intervals(
    measures: Measures, variances: Mapping[str, Variance], of_recall: Sequence[Variance]
) -> dict[str, Interval | None]:
    n, fewest = sum(measures.counts), min(measures.counts)
    is_binary = len(measures.counts) == 2
    positives = measures.counts[1] if is_binary else fewest
    recalls = list(zip(measures.recalls, measures.counts, of_recall, strict=True))
    # Recalls of different classes rest on different patients but on the same training draw.
    tested = [(recall, count, Variance(found.patient, found.patient_dof)) for recall, count, found in recalls]
    found: dict[str, Interval | None] = {
        "auroc": _area_interval(measures.auroc, measures.counts, variances["auroc"], is_constant=measures.is_constant),
        "average_precision": _mean(measures.average_precision, positives, 1.0, variances["average_precision"]),
        "balanced_accuracy": _balanced_of(tested, variances["balanced_accuracy"]),
        "accuracy": _proportion(measures.accuracy, n, variances["accuracy"]),
        "f1": _mean(measures.f1, positives, 1.0, variances["f1"]),
        "brier": _mean(measures.brier, n, 1.0 if is_binary else 2.0, variances["brier"]),
        "log_loss": positive_interval(measures.log_loss.estimate, variances["log_loss"], confidence=CONFIDENCE),
    }
    if is_binary:
        found["specificity"], found["sensitivity"] = (_proportion(*recall) for recall in recalls)
        for name, k in (("sensitivity_at_specificity", 1), ("specificity_at_sensitivity", 0)):
            found[name] = _proportion(getattr(measures, name), measures.counts[k], variances[name])
    if "squared_calibration_error" in variances and measures.squared_calibration_error is not None:
        squared, variance = measures.squared_calibration_error.estimate, variances["squared_calibration_error"]
        found["expected_calibration_error"] = root_interval(squared, variance, confidence=CONFIDENCE)
    return found


def _mean(measure: Measure, n: int, top: float, variance: Variance) -> Interval:
    return mean_interval(measure.estimate, n, top, variance, confidence=CONFIDENCE)


def _area_of(measures: Measures, k: int, variance: Variance) -> Interval:
    counts = (measures.counts[k], sum(measures.counts) - measures.counts[k])
    return _area_interval(measures.areas[k], counts, variance, is_constant=measures.is_constant)


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


def weigh_part(fold: FoldScores) -> Weighed:
    """Metrics of one fold that lacks a class, each with the chance of its patients alone.

    AUROC and balanced accuracy are means over the classes that are there, and None with only one, as is what needs
    both of two classes; recalls and areas are None where a class is absent.
    """
    n_classes, n = fold.probabilities.shape[2], len(fold.truth)
    counts = np.bincount(fold.truth, minlength=n_classes).tolist()
    here = [k for k, count in enumerate(counts) if count]
    recalls = {k: _recall([fold], k) for k in here}
    found = {k: _proportion(measure, counts[k], _of_patients(measure)) for k, measure in recalls.items()}
    accuracy = _measure([fold], lambda one: mean_over_units(one.decided == one.truth, _all(one)))
    metrics: dict[str, Interval | None] = {"accuracy": _proportion(accuracy, n, _of_patients(accuracy))}
    if len(here) > 1:
        area = _measure([fold], _macro_auroc)
        present = [counts[k] for k in here]
        metrics["auroc"] = _area_interval(area, present, _of_patients(area), is_constant=_is_constant([fold]))
        metrics["balanced_accuracy"] = joined_interval(list(found.values()), None, 0.0)
    brier = _measure([fold], lambda one: mean_over_units(brier_terms(one.probabilities, one.truth), _all(one)))
    metrics["brier"] = _mean(brier, n, 1.0 if n_classes == 2 else 2.0, _of_patients(brier))
    loss = _measure([fold], lambda one: mean_over_units(log_loss_terms(one.probabilities, one.truth), _all(one)))
    metrics["log_loss"] = positive_interval(loss.estimate, _of_patients(loss), confidence=CONFIDENCE)
    if n_classes == 2:
        metrics |= {"specificity": found.get(0), "sensitivity": found.get(1)}
    return Weighed(metrics, tuple(found.get(k) for k in range(n_classes)), (None,) * n_classes)


def _of_patients(measure: Measure) -> Variance:
    return Variance(*patient_variance(measure))
