"""What a test's answers are worth where the positive class is rarer or commoner than in the cohort."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit, logit

from ..errors import OptionError
from .intervals import Interval

_DRAWS = 40_000


@dataclass(frozen=True)
class AtPrevalence:
    """Predictive values and net benefit at one prevalence; net benefit is in true positives a patient.

    `threshold` is the model's own one, as a probability in a population of this prevalence.
    """

    prevalence: float
    threshold: float
    ppv: Interval
    npv: Interval
    net_benefit: Interval
    net_benefit_of_treating_all: float

    def to_json(self) -> dict[str, Any]:
        """As `evaluate --json` prints it."""
        return {
            "prevalence": self.prevalence,
            "threshold": self.threshold,
            "ppv": self.ppv.to_json(),
            "npv": self.npv.to_json(),
            "net_benefit": self.net_benefit.to_json(),
            "net_benefit_of_treating_all": self.net_benefit_of_treating_all,
        }


def at_prevalence(
    hits: tuple[int, int],
    counts: tuple[int, int],
    prevalence: float,
    threshold: float,
    trained_prevalence: float | None,
    *,
    confidence: float,
) -> AtPrevalence:
    """Judge the decisions of a test that was right on `hits` of `counts` negatives and positives.

    A score that means probability t where the positive class has share π means another one, t', where it has share P:
    logit t' = logit t + logit P - logit π. Whoever decides at t' holds a false alarm to cost t' / (1 - t') of what a
    miss costs, and by that rate false positives are counted off.

    Raises
    ------
    OptionError
        A prevalence that is not between 0 and 1.

    Source
    ------
    Intervals: Mossman & Berger 2001, doi:10.1177/0272989X0102100608 (draws from Jeffreys' posteriors of sensitivity and
    specificity). Net benefit: Vickers & Elkin 2006, doi:10.1177/0272989X06295361.
    """
    require_prevalence(prevalence, n_classes=2)
    shift = 0.0 if trained_prevalence is None else logit(prevalence) - logit(trained_prevalence)
    here = float(expit(logit(threshold) + shift))
    rng = np.random.default_rng(0)
    drawn = [rng.beta(right + 0.5, count - right + 0.5, _DRAWS) for right, count in zip(hits, counts, strict=True)]
    seen = [np.array([right / count]) for right, count in zip(hits, counts, strict=True)]
    values = [_values(rates[0], rates[1], prevalence, here) for rates in (seen, drawn)]
    tail = (1 - confidence) / 2
    intervals = []
    for estimate, draws in zip(*values, strict=True):
        low, high = np.quantile(draws, [tail, 1 - tail])
        intervals.append(
            Interval(float(estimate[0]), min(float(low), float(estimate[0])), max(float(high), float(estimate[0])))
        )
    ppv, npv, net_benefit = intervals
    treating_all = prevalence - (1 - prevalence) * here / (1 - here)
    return AtPrevalence(prevalence, here, ppv, npv, net_benefit, treating_all)


def require_prevalence(prevalence: float, n_classes: int) -> None:
    """Raise an `OptionError` for a share that is none, or where there is no positive class to have it."""
    if n_classes != 2:
        raise OptionError(
            found=f"--prevalence with {n_classes} classes.", needed="Two classes.", do="Drop --prevalence."
        )
    if not 0 < prevalence < 1:
        raise OptionError(found=f"--prevalence {prevalence}.", needed="A share between 0 and 1.", do="Change it.")


def _values(
    specificity: np.ndarray, sensitivity: np.ndarray, prevalence: float, threshold: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """PPV, NPV, net benefit. A test that calls no one positive has the PPV of chance, and so for NPV."""
    true_positive, false_positive = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    true_negative, false_negative = specificity * (1 - prevalence), (1 - sensitivity) * prevalence
    ppv = _share(true_positive, false_positive, prevalence)
    npv = _share(true_negative, false_negative, 1 - prevalence)
    return ppv, npv, true_positive - false_positive * threshold / (1 - threshold)


def _share(right: np.ndarray, wrong: np.ndarray, by_chance: float) -> np.ndarray:
    total = right + wrong
    return np.where(total > 0, right / np.where(total > 0, total, 1), by_chance)
