"""What one fixed model shows on a cohort: its scores there, with the chance of the patients alone.

Nothing of the training draw is in these numbers: `target` is "model", not the expected score of a recipe.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ..errors import CohortError, OptionError
from ..record.plan import USUAL_POINTS, OperatingPoints
from .intervals import FEW_PATIENTS, Interval
from .measures import Measures
from .points import CONFIDENCE, Weighed, metrics_json, weigh_metrics, weigh_part
from .prevalence import AtPrevalence, Rate, at_prevalence
from .reliability import Reliability, reliability_of
from .scores import FoldScores, mean_by_unit, units_of

_DIGITS = 12
_NO_FOLDS = np.zeros((1, 1))  # no training patients are shared: nothing was trained


@dataclass(frozen=True, eq=False)
class FixedEvidence:
    """Scores of one model on one cohort; what the cohort cannot tell is None.

    A patient with images of two classes is one of `n_patients` and two of the `counts`. `confusion[i][j]` counts those
    of class i that were decided to be j.
    """

    classes: tuple[str, ...]
    unit: str
    n_patients: int
    n_images: int
    counts: tuple[int, ...]
    metrics: Mapping[str, Interval | None]
    operating: OperatingPoints
    per_class_auroc: Mapping[str, Interval | None]
    recall: Mapping[str, Interval | None]
    confusion: tuple[tuple[int, ...], ...]
    calibration: Reliability
    at_prevalence: AtPrevalence | None
    warnings: tuple[Mapping[str, str], ...]

    def to_json(self) -> dict[str, Any]:
        """As `evaluate --json` prints it."""
        return {
            "target": "model",
            "confidence": CONFIDENCE,
            "unit": self.unit,
            "classes": list(self.classes),
            "positive": self.classes[1] if len(self.classes) == 2 else None,
            "n": {
                "patients": self.n_patients,
                "images": self.n_images,
                "per_class": dict(zip(self.classes, self.counts, strict=True)),
            },
            **metrics_json(self.metrics, self.operating),
            "per_class_auroc": {name: _plain(interval) for name, interval in self.per_class_auroc.items()},
            "recall": {name: _plain(interval) for name, interval in self.recall.items()},
            "confusion": [list(row) for row in self.confusion],
            "calibration": self.calibration.to_json(),
            "at_prevalence": None if self.at_prevalence is None else self.at_prevalence.to_json(),
            "warnings": [dict(warning) for warning in self.warnings],
        }


def _plain(interval: Interval | None) -> dict[str, float] | None:
    return None if interval is None else interval.to_json()


def weigh_model(
    probabilities: Float[np.ndarray, "image class_"],
    labels: Int[np.ndarray, " image"],
    patients: Int[np.ndarray, " image"],
    *,
    patients_known: bool,
    classes: Sequence[str],
    weights: Sequence[float],
    operating: OperatingPoints = USUAL_POINTS,
    trained_prevalence: Sequence[float] | None = None,
) -> FixedEvidence:
    """Score one model's probabilities; the images of a patient are averaged, as in a study.

    `weights` are those of the decision: for the class of largest probability / weight. The prevalence of
    `operating` (two classes) asks for predictive values there; `trained_prevalence` are the shares that the
    probabilities were calibrated to.

    Raises
    ------
    CohortError
        No image, or a probability that is none.
    OptionError
        A prevalence with more than two classes, or where a class has no patient.
    """
    _check_probabilities(probabilities)
    tested = score_once(probabilities, labels, patients if patients_known else None, weights)
    counts = tuple(np.bincount(tested.truth, minlength=len(classes)).tolist())
    decided = tested.decided[0]
    confusion = np.zeros((len(classes), len(classes)), dtype=int)
    np.add.at(confusion, (tested.truth, decided), 1)
    weighed = weigh_once(tested, operating)
    worth = None
    if operating.prevalence is not None:
        if len(classes) != 2 or min(counts) == 0:
            raise OptionError(
                found=f"--prevalence {operating.prevalence:g} with {len(classes)} classes, "
                f"of which {sum(n > 0 for n in counts)} are here.",
                needed="Two classes, and patients of both.",
                do="Drop --prevalence.",
            )
        trained = None if trained_prevalence is None else trained_prevalence[1] / sum(trained_prevalence)
        specificity, sensitivity = (Rate.of_counts(int(confusion[k, k]), counts[k]) for k in (0, 1))
        threshold = weights[1] / sum(weights)
        worth = at_prevalence(specificity, sensitivity, operating.prevalence, threshold, trained, confidence=CONFIDENCE)
    return FixedEvidence(
        classes=tuple(classes),
        unit="patient" if patients_known else "image",
        n_patients=len(np.unique(tested.patients)),
        n_images=len(labels),
        counts=counts,
        metrics=weighed.metrics,
        operating=operating,
        per_class_auroc=dict(zip(classes, weighed.areas, strict=True)),
        recall=dict(zip(classes, weighed.recalls, strict=True)),
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        calibration=reliability_of(
            tested.probabilities[0], tested.truth, tested.patients, classes, confidence=CONFIDENCE
        ),
        at_prevalence=worth,
        warnings=tuple(_warnings(counts, classes, patients_known=patients_known)),
    )


def _check_probabilities(probabilities: Float[np.ndarray, "image class_"]) -> None:
    is_right = np.asarray(((probabilities >= 0) & (probabilities <= 1)).all(axis=1))  # false of NaN
    if not len(is_right) or not is_right.all():
        raise CohortError(
            found=f"{(~is_right).sum():,} of {len(is_right):,} images have a probability that is not from 0 to 1.",
            needed="An image at least, and a probability of each class for all of them.",
            do="Leave out the images that could not be predicted.",
        )


def score_once(
    probabilities: Float[np.ndarray, "image class_"],
    labels: Int[np.ndarray, " image"],
    patients: Int[np.ndarray, " image"] | None,
    weights: Sequence[float],
) -> FoldScores:
    """One model's predictions by unit, as one repeat of one fold."""
    units = units_of(np.arange(len(labels)), labels, patients)
    # A sum depends on the order of its images by a rounding error, which must not part patients that are alike.
    by_unit = mean_by_unit(probabilities[None], units.unit_of_row).round(_DIGITS)
    weighed = (by_unit / np.asarray(weights))[:, :, ::-1]  # of equals the last, so that p = threshold is positive
    decided = by_unit.shape[2] - 1 - weighed.argmax(axis=2)
    return FoldScores(0, np.zeros(1, dtype=int), 0.0, by_unit, decided, units.truth, units.patients)


def weigh_once(tested: FoldScores, operating: OperatingPoints = USUAL_POINTS) -> Weighed:
    """Every metric; None where a class that is not there would have to tell."""
    counts = np.bincount(tested.truth, minlength=tested.probabilities.shape[2])
    if counts.min() == 0:
        return weigh_part(tested)
    return weigh_metrics({1: Measures((tested,), operating)}, {1: _NO_FOLDS})[1]


def _warnings(counts: Sequence[int], classes: Sequence[str], *, patients_known: bool) -> Iterator[dict[str, str]]:
    unit = "patients" if patients_known else "images"
    for name, count in zip(classes, counts, strict=True):
        if count == 0:
            kept = (
                "AUROC and balanced accuracy are means over the others"
                if sum(n > 0 for n in counts) > 1
                else "there is no AUROC"
            )
            yield {"text": f"No {unit} of class '{name}' are here: {kept}.", "rule": "a class is absent"}
        elif count < FEW_PATIENTS:
            text = f"Class '{name}' has only {count} {unit} here: its scores are nearly unknown."
            yield {"text": text, "rule": "under 10 in a class"}
    if not patients_known:
        text = "Every image counts as a patient: if patients have several, every interval may be too narrow."
        yield {"text": text, "rule": "no patient ids"}
