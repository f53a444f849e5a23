"""Whether probabilities mean what they say: calibration in the large, slope, error, and the reliability curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.special import expit, logit

from .intervals import Interval, quantile, wilson_interval

MOST_BINS, LEAST_UNITS = 10, 10
"""Bins of a curve, and units in each."""

_LEAST_PROBABILITY = 1e-6
_STEPS = 50


@dataclass(frozen=True)
class Bin:
    """Units whose probability of a class is alike: its mean, and how often the class was there."""

    class_: str
    predicted: float
    observed: Interval
    n: int

    def to_json(self) -> dict[str, Any]:
        """As `evaluate --json` prints it."""
        return {"class": self.class_, "predicted": self.predicted, "observed": self.observed.to_json(), "n": self.n}


@dataclass(frozen=True)
class Reliability:
    """`intercept` is calibration in the large (0 is right), `slope` that of log odds (1 is right): two classes only.

    `expected_error` is the root mean square distance of probabilities from frequencies, 0–1, less what chance alone
    puts there.
    """

    intercept: Interval | None
    slope: Interval | None
    expected_error: float | None
    curve: tuple[Bin, ...]

    def to_json(self) -> dict[str, Any]:
        """As `evaluate --json` prints it."""
        return {
            "intercept": None if self.intercept is None else self.intercept.to_json(),
            "slope": None if self.slope is None else self.slope.to_json(),
            "expected_error": self.expected_error,
            "curve": [one.to_json() for one in self.curve],
        }


def reliability_of(
    probabilities: Float[np.ndarray, "unit class_"],
    truth: Int[np.ndarray, " unit"],
    patients: Int[np.ndarray, " unit"],
    classes: Sequence[str],
    *,
    confidence: float,
) -> Reliability:
    """Weigh probabilities against what happened.

    Source
    ------
    Intercept and slope: Cox 1958, doi:10.1093/biomet/45.3-4.562, with variances clustered by patient. Error: the
    bias-corrected reliability of Ferro & Fricker 2012, doi:10.1002/qj.1924, its root.
    """
    n_classes = len(classes)
    shown = [1] if n_classes == 2 else list(range(n_classes))
    bins = [(k, part) for k in shown for part in _bins(probabilities[:, k])]
    curve = tuple(_bin(probabilities[part, k], truth[part] == k, classes[k], confidence) for k, part in bins)
    excess = [_squared_excess(probabilities[part, k], truth[part] == k) * len(part) for k, part in bins]
    error = float(np.sqrt(max(sum(excess) / (len(truth) * len(shown)), 0.0))) if bins else None
    intercept = slope = None
    if n_classes == 2 and len(np.unique(truth)) == 2:
        score = logit(np.clip(probabilities[:, 1], _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY))
        happened = (truth == 1).astype(float)
        intercept = _regressed(np.ones((len(truth), 1)), score, happened, patients, confidence)
        if np.ptp(score) > 0:
            terms = np.column_stack([score, np.ones(len(truth))])
            slope = _regressed(terms, np.zeros(len(truth)), happened, patients, confidence)
    return Reliability(intercept, slope, error, curve)


def _bins(values: Float[np.ndarray, " unit"]) -> list[Int[np.ndarray, " some"]]:
    """Units in the order of their probability, cut into bins of equal number; equal ones stay together."""
    n_bins = min(MOST_BINS, len(values) // LEAST_UNITS)
    if n_bins < 1:
        return []
    order = np.argsort(values, kind="stable")
    cuts = np.searchsorted(values[order], values[order][np.arange(1, n_bins) * len(values) // n_bins])
    return [part for part in np.split(order, np.unique(cuts)) if len(part) >= LEAST_UNITS]


def _bin(values: Float[np.ndarray, " some"], happened: np.ndarray, name: str, confidence: float) -> Bin:
    share = float(happened.mean())
    observed = wilson_interval(share, len(values), quantile=quantile(np.inf, confidence))
    return Bin(name, float(values.mean()), observed, len(values))


def _squared_excess(values: Float[np.ndarray, " some"], happened: np.ndarray) -> float:
    share = float(happened.mean())
    return float((values.mean() - share) ** 2 - share * (1 - share) / max(len(values) - 1, 1))


def _regressed(
    terms: Float[np.ndarray, "unit term"],
    offset: Float[np.ndarray, " unit"],
    happened: Float[np.ndarray, " unit"],
    patients: Int[np.ndarray, " unit"],
    confidence: float,
) -> Interval | None:
    """The first coefficient of a logistic regression by Newton's steps; None where classes separate."""
    theta = np.zeros(terms.shape[1])
    for _ in range(_STEPS):
        proba = expit(offset + terms @ theta)
        curvature = (terms * (proba * (1 - proba))[:, None]).T @ terms
        if np.linalg.cond(curvature) > 1e10:
            return None
        step = np.linalg.solve(curvature, terms.T @ (happened - proba))
        theta = theta + np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-10:
            break
    else:
        return None
    pushes = terms * (happened - expit(offset + terms @ theta))[:, None]
    clusters = np.unique(patients, return_inverse=True)[1]
    summed = np.zeros((clusters.max() + 1, terms.shape[1]))
    np.add.at(summed, clusters, pushes)
    inverse = np.linalg.inv(curvature)
    variance = inverse @ (summed.T @ summed) @ inverse * len(summed) / max(len(summed) - terms.shape[1], 1)
    half = quantile(max(len(summed) - terms.shape[1], 1), confidence) * float(np.sqrt(variance[0, 0]))
    return Interval(float(theta[0]), float(theta[0]) - half, float(theta[0]) + half)
