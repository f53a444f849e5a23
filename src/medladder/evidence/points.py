"""One rung at one size: all its metrics, each with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from ..record.plan import OperatingPoints
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
from .measures import Measures, all_units, macro_auroc, measure, recall
from .metrics import Measure, brier_terms, log_loss_terms, mean_over_units
from .prevalence import AtPrevalence
from .scores import FoldScores
from .variance import Variance, patient_variance, training_spread, variance_of

CONFIDENCE = 0.95


CALIBRATION_ERROR = "expected_calibration_error"

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
    CALIBRATION_ERROR,
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


Shared = Mapping[int, Float[np.ndarray, "fold fold"]]


def weigh_metrics(
    by_size: Mapping[int, Measures], shared: Shared, names: Sequence[str] = METRICS
) -> dict[int, Weighed]:
    """Intervals of the named metrics at every size; what the training draw brings is pooled over the sizes."""
    first = next(iter(by_size.values()))
    # A metric that a size cannot tell is not told at the others either.
    told = [name for name in names if all(_measured(one, name) is not None for one in by_size.values())]

    def variances_of(measures: Mapping[int, Measure | None]) -> dict[int, Variance]:
        found = {n: one for n, one in measures.items() if one is not None}
        spread = training_spread(found)
        return {n: variance_of(one, n, spread, shared[n]) for n, one in found.items()}

    classes = range(first.n_classes)
    variances = {name: variances_of({n: _measured(m, name) for n, m in by_size.items()}) for name in told}
    recalls = [variances_of({n: m.recalls[k] for n, m in by_size.items()}) for k in classes]
    areas = [
        # Both classes' areas are one number where there are two.
        variances["auroc"]
        if first.n_classes == 2 and "auroc" in variances
        else variances_of({n: m.areas[k] for n, m in by_size.items()})
        for k in classes
    ]
    return {
        n: Weighed(
            {name: _interval(m, name, found[n], [one[n] for one in recalls]) for name, found in variances.items()},
            tuple(_proportion(m.recalls[k], m.counts[k], recalls[k][n]) for k in classes),
            tuple(_area_of(m, k, areas[k][n]) for k in classes),
        )
        for n, m in by_size.items()
    }


def _measured(measures: Measures, name: str) -> Measure | None:
    """A metric by its name in evidence.json."""
    if name in ("specificity", "sensitivity"):
        return measures.recalls[name == "sensitivity"] if measures.n_classes == 2 else None
    found: Measure | None = getattr(measures, "squared_calibration_error" if name == CALIBRATION_ERROR else name)
    return found


@dataclass(frozen=True)
class Weighed:
    """Intervals at one size: by metric, and each class's recall and AUROC against the rest."""

    metrics: Mapping[str, Interval | None]
    recalls: tuple[Interval | None, ...]
    areas: tuple[Interval | None, ...]


def _interval(measures: Measures, name: str, variance: Variance, recalls: Sequence[Variance]) -> Interval:
    """One metric's interval, of the kind that its range and its parts ask for; `recalls` are the classes' variances."""
    n, fewest = sum(measures.counts), min(measures.counts)
    is_binary = measures.n_classes == 2
    measure = _measured(measures, name)
    assert measure is not None
    if name == "auroc":
        return _area_interval(measure, measures.counts, variance, is_constant=measures.is_constant)
    if name in ("average_precision", "f1"):
        return _mean(measure, measures.counts[1] if is_binary else fewest, 1.0, variance)
    if name == "balanced_accuracy":
        # Recalls of different classes rest on different patients but on the same training draw.
        tested = [Variance(one.patient, one.patient_dof) for one in recalls]
        return _balanced_of(list(zip(measures.recalls, measures.counts, tested, strict=True)), variance)
    if name == "brier":
        return _mean(measure, n, 1.0 if is_binary else 2.0, variance)
    if name == "log_loss":
        return positive_interval(measure.estimate, variance, confidence=CONFIDENCE)
    if name == CALIBRATION_ERROR:
        return root_interval(measure.estimate, variance, confidence=CONFIDENCE)
    if name == "accuracy":
        return _proportion(measure, n, variance)
    of_positives = name in ("sensitivity", "sensitivity_at_specificity")
    return _proportion(measure, measures.counts[1 if of_positives else 0], variance)


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
    recalls = {k: recall([fold], k) for k in here}
    found = {k: _proportion(measure, counts[k], _of_patients(measure)) for k, measure in recalls.items()}
    accuracy = measure([fold], lambda one: mean_over_units(one.decided == one.truth, all_units(one)))
    metrics: dict[str, Interval | None] = {"accuracy": _proportion(accuracy, n, _of_patients(accuracy))}
    if len(here) > 1:
        area = measure([fold], macro_auroc)
        present = [counts[k] for k in here]
        metrics["auroc"] = _area_interval(area, present, _of_patients(area), is_constant=Measures((fold,)).is_constant)
        metrics["balanced_accuracy"] = joined_interval(list(found.values()), None, 0.0)
    brier = measure([fold], lambda one: mean_over_units(brier_terms(one.probabilities, one.truth), all_units(one)))
    metrics["brier"] = _mean(brier, n, 1.0 if n_classes == 2 else 2.0, _of_patients(brier))
    loss = measure([fold], lambda one: mean_over_units(log_loss_terms(one.probabilities, one.truth), all_units(one)))
    metrics["log_loss"] = positive_interval(loss.estimate, _of_patients(loss), confidence=CONFIDENCE)
    if n_classes == 2:
        metrics |= {"specificity": found.get(0), "sensitivity": found.get(1)}
    return Weighed(metrics, tuple(found.get(k) for k in range(n_classes)), (None,) * n_classes)


def _of_patients(measure: Measure) -> Variance:
    return Variance(*patient_variance(measure))
