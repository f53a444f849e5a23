"""All metrics of one rung at one size, as measures: values with every unit's influence (see `metrics`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from ..record.plan import USUAL_POINTS, OperatingPoints
from .metrics import FoldMeasure, Measure, auroc, average, brier_terms, log_loss_terms, macro, mean_over_units
from .ranked import Scored, average_precision, f1, sensitivity_at
from .reliability import LEAST_UNITS, squared_calibration_error
from .scores import FoldScores


@dataclass(frozen=True)
class Measures:
    """Every metric of the finished trials of one rung at one size, each worked out when it is first asked for.

    At least one fold must hold all classes. A metric for two classes only, or that too few units tell, is None.
    """

    folds: tuple[FoldScores, ...]
    operating: OperatingPoints = USUAL_POINTS

    @cached_property
    def n_classes(self) -> int:
        """How many classes there are to tell apart."""
        return self.folds[0].probabilities.shape[2]

    @cached_property
    def whole(self) -> tuple[FoldScores, ...]:
        """The folds that hold every class."""
        return tuple(fold for fold in self.folds if len(np.unique(fold.truth)) == self.n_classes)

    @cached_property
    def auroc(self) -> Measure:
        """AUROC of class 1 for two classes, else the mean over classes of one against the rest."""
        return self.areas[1] if self.n_classes == 2 else measure(self.whole, macro_auroc)

    @cached_property
    def areas(self) -> tuple[Measure, ...]:
        """Each class's AUROC against the rest; of two classes both are one number, each patient moving it alike."""
        if self.n_classes == 2:
            return (measure(self.whole, macro_auroc),) * 2
        return tuple(self._area(k) for k in range(self.n_classes))

    def _area(self, k: int) -> Measure:
        return measure(self.whole, lambda fold: auroc(fold.probabilities[:, :, k], fold.truth == k))

    @cached_property
    def average_precision(self) -> Measure:
        """Of class 1 for two classes, else the mean over classes."""

        def score(fold: FoldScores) -> Scored:
            return macro(
                lambda k: average_precision(fold.probabilities[:, :, k], fold.truth == k), self.n_classes, fold.truth
            )

        return measure(self.whole, score)

    @cached_property
    def accuracy(self) -> Measure:
        """Share of decisions that were right."""
        return measure(self.folds, lambda fold: mean_over_units(fold.decided == fold.truth, all_units(fold)))

    @cached_property
    def f1(self) -> Measure:
        """Of class 1 for two classes, else the mean over classes."""

        def score(fold: FoldScores) -> Scored:
            return macro(lambda k: f1(fold.decided == k, fold.truth == k), self.n_classes, fold.truth)

        return measure(self.whole, score)

    @cached_property
    def brier(self) -> Measure:
        """Squared error of the probabilities."""
        return measure(
            self.folds, lambda fold: mean_over_units(brier_terms(fold.probabilities, fold.truth), all_units(fold))
        )

    @cached_property
    def log_loss(self) -> Measure:
        """Negative logarithm of what a unit's own class was given."""
        return measure(
            self.folds, lambda fold: mean_over_units(log_loss_terms(fold.probabilities, fold.truth), all_units(fold))
        )

    @cached_property
    def squared_calibration_error(self) -> Measure | None:
        """Square of the expected calibration error, free of bias."""
        if min(len(fold.truth) for fold in self.folds) < LEAST_UNITS:
            return None
        return measure(self.folds, lambda fold: squared_calibration_error(fold.probabilities, fold.truth))

    @cached_property
    def sensitivity_at_specificity(self) -> Measure | None:
        """Of class 1, at the specificity asked for."""
        return self._at(1, self.operating.at_specificity)

    @cached_property
    def specificity_at_sensitivity(self) -> Measure | None:
        """Of class 0, at the sensitivity asked for."""
        return self._at(0, self.operating.at_sensitivity)

    def _at(self, k: int, rate: float) -> Measure | None:
        if self.n_classes != 2:
            return None
        return measure(self.whole, lambda fold: sensitivity_at(fold.probabilities[:, :, k], fold.truth == k, rate))

    @cached_property
    def recalls(self) -> tuple[Measure, ...]:
        """Share of each class's units that were decided to be of it."""
        return tuple(recall(self.folds, k) for k in range(self.n_classes))

    @cached_property
    def balanced_accuracy(self) -> Measure:
        """The mean of the recalls."""
        return average(self.recalls)

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """Test units of each class."""
        truth = np.concatenate([fold.truth for fold in self.folds])
        return tuple(np.bincount(truth, minlength=self.n_classes).tolist())

    @cached_property
    def confusion(self) -> Float[np.ndarray, "class_ class_"]:
        """Mean number, over repeats, of units of class i that were decided to be j."""
        found = np.zeros((self.n_classes, self.n_classes))
        for fold in self.folds:
            for decided in fold.decided:
                np.add.at(found, (fold.truth, decided), 1 / len(fold.decided))
        return found

    @cached_property
    def is_constant(self) -> bool:
        """Whether no trial told any two units apart, so that its ROC is the diagonal whatever the patients."""
        return all(bool((np.ptp(fold.probabilities, axis=1) == 0).all()) for fold in self.folds)


def macro_auroc(fold: FoldScores) -> Scored:
    """AUROC of class 1 for two classes, else its mean over classes."""
    return macro(lambda k: auroc(fold.probabilities[:, :, k], fold.truth == k), fold.probabilities.shape[2], fold.truth)


def measure(folds: Sequence[FoldScores], score: Callable[[FoldScores], Scored]) -> Measure:
    """A metric over folds; a fold weighs as many units as it holds."""
    return Measure(tuple(_part(fold, *score(fold), weight=len(fold.truth)) for fold in folds))


def recall(folds: Sequence[FoldScores], k: int) -> Measure:
    """Recall of one class; a fold weighs as many patients of that class as it holds."""
    held = [fold for fold in folds if (fold.truth == k).any()]
    parts = []
    for fold in held:
        counted = fold.truth == k
        parts.append(_part(fold, *mean_over_units(fold.decided == k, counted), weight=int(counted.sum())))
    return Measure(tuple(parts))


def all_units(fold: FoldScores) -> np.ndarray:
    """Marks of a fold's units, all of them."""
    return np.ones(len(fold.truth), dtype=bool)


def _part(fold: FoldScores, values: np.ndarray, influence: np.ndarray, *, weight: float) -> FoldMeasure:
    return FoldMeasure(fold.fold, weight, fold.repeats, fold.overlap, values, influence, fold.truth, fold.patients)
