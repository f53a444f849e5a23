"""A finished study asked again: patients for a score that someone has in mind, and acting from another threshold on.

Nothing here changes what a study says; `weighing` is what its evidence rests on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ..errors import OptionError, unknown_name
from ..record.folder import StudyFolder
from .decision_curve import called_share
from .families import NETWORK, Prior
from .forecast import Span, patients_needed
from .intervals import Interval, quantile, wilson_interval
from .outlook import Outlook, look_out
from .points import CONFIDENCE
from .portrait import trained_share
from .prevalence import AtPrevalence, Rate, at_prevalence
from .scores import FoldScores, read_scores
from .weighing import measure_rung


@dataclass(frozen=True)
class Acting:
    """Acting on the positive class from a probability on, 0–1, as the rung gives it.

    The intervals hold the chance of the test patients alone, at this threshold alone: one that was chosen because it
    looked best here looks better than it is.
    """

    threshold: float
    sensitivity: Interval
    specificity: Interval
    at: AtPrevalence

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return {
            "threshold": self.threshold,
            "sensitivity": self.sensitivity.to_json(),
            "specificity": self.specificity.to_json(),
            "at_prevalence": self.at.to_json(),
        }


def act_from(
    folds: Sequence[FoldScores], threshold: float, prevalence: float, trained: float, *, confidence: float = CONFIDENCE
) -> Acting:
    """Sensitivity and specificity of acting from a threshold on, and what an answer is worth at a prevalence, 0–1.

    `trained` is how common the class was where the rung learned. Shares are means over repeats.

    Raises
    ------
    OptionError
        The threshold or the prevalence is not between 0 and 1.

    Source
    ------
    Wilson's interval of each share; the rest as `prevalence.at_prevalence`.
    """
    for name, value in (("threshold", threshold), ("prevalence", prevalence)):
        if not 0 < value < 1:
            raise OptionError(
                found=f"A {name} of {value:g}.", needed="One between 0 and 1.", do="Give one, such as 0.2."
            )
    z = quantile(float("inf"), confidence)
    thresholds = [threshold] * len(folds)
    hits, alarms = (wilson_interval(*called_share(folds, thresholds, truth=truth), quantile=z) for truth in (1, 0))
    specificity = Interval(1 - alarms.estimate, 1 - alarms.high, 1 - alarms.low)
    right, caught = (Rate.of_interval(one, confidence=confidence) for one in (specificity, hits))
    at = at_prevalence(right, caught, prevalence, threshold, trained, confidence=confidence)
    return Acting(threshold, hits, specificity, at)


class Explored:
    """The record of one study, opened once. Asked for the same thing again it remembers the answer.

    Raises
    ------
    StudyError
        The record is missing or damaged.
    """

    def __init__(self, folder: StudyFolder) -> None:
        self._scores = read_scores(folder)
        self._outlook_of = lru_cache(maxsize=None)(self._fit)

    def needed(self, rung: str, target: float) -> Span | None:
        """Training patients for a score, as `forecast.patients_needed`; None where only one size was run.

        Raises
        ------
        OptionError
            No such rung, or the target is not between 0 and 1.
        """
        outlook = self._outlook_of(self._known(rung))
        return None if outlook is None else patients_needed(outlook.curve, target)

    def acting(self, rung: str, n_train: int, threshold: float, prevalence: float) -> Acting | None:
        """As `act_from`, of two classes; None where the rung has no trial at this size or there are more classes."""
        folds = self._scores.at(self._known(rung), n_train)
        if len(self._scores.cohort.classes) != 2 or not folds:
            return None
        trained = [trained_share(self._scores.cohort, fold.fold) for fold in folds]
        return act_from(folds, threshold, prevalence, sum(trained) / len(trained))

    def _known(self, rung: str) -> str:
        names = [planned.rung for planned in self._scores.plan.rungs]
        if rung not in names:
            raise unknown_name("rung of this study", rung, names)
        return rung

    def _fit(self, rung: str) -> Outlook | None:
        family = next(one.family for one in self._scores.plan.rungs if one.rung == rung)
        if family == "floor":
            return None
        measures = {n: measures.auroc for n, measures in measure_rung(self._scores, rung).items()}
        prior = NETWORK if family == "deep" else Prior()
        return look_out(measures, margin=self._scores.plan.margin, confidence=CONFIDENCE, prior=prior)
