"""What a test's answers are worth where the positive class is rarer or commoner than in the cohort."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit, logit

from .intervals import Interval, quantile

_DRAWS = 40_000
_LEAST_DEVIATION, _LEAST_KNOWN = 1e-4, 0.1


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


@dataclass(frozen=True)
class Rate:
    """A share, 0–1, and what is known of it as a beta distribution."""

    estimate: float
    hits: float
    misses: float

    @classmethod
    def of_counts(cls, hits: int, count: int) -> Rate:
        """Seen on `count` patients: Jeffreys' posterior."""
        return cls(hits / count, hits + 0.5, count - hits + 0.5)

    @classmethod
    def of_interval(cls, interval: Interval, *, confidence: float) -> Rate:
        """The beta distribution of the middle and width of an interval, which may hold more than patients' chance."""
        middle = (interval.low + interval.high) / 2
        deviation = (interval.high - interval.low) / 2 / quantile(np.inf, confidence)
        known = max(middle * (1 - middle) / max(deviation, _LEAST_DEVIATION) ** 2 - 1, _LEAST_KNOWN)
        return cls(interval.estimate, max(middle, _LEAST_DEVIATION) * known, max(1 - middle, _LEAST_DEVIATION) * known)


def at_prevalence(
    specificity: Rate,
    sensitivity: Rate,
    prevalence: float,
    threshold: float,
    trained_prevalence: float | None,
    *,
    confidence: float,
) -> AtPrevalence:
    """Judge the decisions of a test by its specificity and sensitivity.

    A score that means probability t where the positive class has share π means another one, t', where it has share P:
    logit t' = logit t + logit P - logit π. Whoever decides at t' holds a false alarm to cost t' / (1 - t') of what a
    miss costs, and by that rate false positives are counted off.

    Source
    ------
    Intervals: Mossman & Berger 2001, doi:10.1177/0272989X0102100608 (draws from the posteriors of sensitivity and
    specificity, as independent). Net benefit: Vickers & Elkin 2006, doi:10.1177/0272989X06295361.
    """
    shift = 0.0 if trained_prevalence is None else logit(prevalence) - logit(trained_prevalence)
    here = float(expit(logit(threshold) + shift))
    rng = np.random.default_rng(0)
    drawn = [rng.beta(rate.hits, rate.misses, _DRAWS) for rate in (specificity, sensitivity)]
    seen = [np.array([rate.estimate]) for rate in (specificity, sensitivity)]
    tail = (1 - confidence) / 2
    intervals = []
    for estimate, draws in zip(_values(seen, prevalence, here), _values(drawn, prevalence, here), strict=True):
        low, high = np.quantile(draws, [tail, 1 - tail])
        intervals.append(
            Interval(float(estimate[0]), min(float(low), float(estimate[0])), max(float(high), float(estimate[0])))
        )
    ppv, npv, net_benefit = intervals
    treating_all = prevalence - (1 - prevalence) * here / (1 - here)
    return AtPrevalence(prevalence, here, ppv, npv, net_benefit, treating_all)


def _values(
    rates: Sequence[np.ndarray], prevalence: float, threshold: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """PPV, NPV, net benefit. A test that calls no one positive has the PPV of chance, and so for NPV."""
    specificity, sensitivity = rates
    true_positive, false_positive = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    true_negative, false_negative = specificity * (1 - prevalence), (1 - sensitivity) * prevalence
    ppv = _share(true_positive, false_positive, prevalence)
    npv = _share(true_negative, false_negative, 1 - prevalence)
    return ppv, npv, true_positive - false_positive * threshold / (1 - threshold)


def _share(right: np.ndarray, wrong: np.ndarray, by_chance: float) -> np.ndarray:
    total = right + wrong
    return np.where(total > 0, right / np.where(total > 0, total, 1), by_chance)
