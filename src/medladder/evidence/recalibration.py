"""Intercept and slope of logistic recalibration: what happened, regressed on the log odds that were stated.

Both are bounded by their likelihood, the slope's penalised by Jeffreys' prior: with four positive patients Wald's
interval of the slope with clustered variances held the truth in 89–91 % of cohorts
(benchmarks/fixed_model_coverage.py).
The intercept is not penalised: with probabilities near 0 and 1 the prior's own peak lies where they would all be one
half, and a classifier without a mistake was told an intercept of -10.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import brentq, minimize_scalar
from scipy.special import expit

from .intervals import FEW_PATIENTS, THEORY_WEIGHT, Interval, quantile

# Where rounding has eaten all information, far outside any interval.
_HOPELESS = -1e6
_SMALLEST_SPREAD = 1e-9

Floats = Float[np.ndarray, " unit"]
Likelihood = Callable[[float], float]


def recalibration_intercept(
    odds: Floats, happened: Floats, patients: Int[np.ndarray, " unit"], *, confidence: float
) -> Interval:
    """Log odds to add to those stated so that they are right on average; 0 where they are. Also «in the large».

    Needs units of both kinds.

    Source
    ------
    Cox 1958, doi:10.1093/biomet/45.3-4.562; Van Calster et al. 2019, doi:10.1186/s12916-019-1466-7.
    """
    # At these bounds the units of the one kind alone outweigh all of the other.
    far = float(np.abs(odds).max()) + np.log(len(odds)) + 1
    estimate = float(brentq(lambda value: float((happened - expit(odds + value)).sum()), -far, far, xtol=1e-9))

    def likelihood(intercept: float) -> float:
        return _log_likelihood(odds + intercept, happened)

    seen, doubt = _excess_variance(odds + estimate, happened, np.ones((len(odds), 1)), patients)
    excess = (doubt * seen + THEORY_WEIGHT) / (doubt + THEORY_WEIGHT)
    return _bounded(likelihood, estimate, excess * quantile(len(odds) - 1, confidence) ** 2)


def recalibration_slope(
    odds: Floats, happened: Floats, patients: Int[np.ndarray, " unit"], *, confidence: float
) -> Interval | None:
    """Factor on the log odds that were stated; 1 is right, below 1 they are too far from 0, above 1 too near.

    Needs units of both kinds; None where all odds are the same, and where the classes separate: any factor, however
    large, would fit better still, and what the penalty makes of that tells of the penalty alone.

    Source
    ------
    Penalty: Firth 1993, doi:10.1093/biomet/80.1.27; interval: Heinze & Schemper 2002, doi:10.1002/sim.1047.
    """
    spread = float(odds.std())
    if spread < _SMALLEST_SPREAD or separates(odds, happened):
        return None
    steps = (odds - odds.mean()) / spread
    terms = np.column_stack([steps, np.ones(len(steps))])

    def best_intercept(slope: float) -> float:
        return _peak(lambda intercept: _penalised(intercept + slope * steps, happened, terms))

    def likelihood(slope: float) -> float:
        return _penalised(best_intercept(slope) + slope * steps, happened, terms)

    estimate = _peak(likelihood)
    fitted = best_intercept(estimate) + estimate * steps
    seen, doubt = _excess_variance(fitted, happened, terms, patients)
    # With 40 patients the clustered variance is a half to a third of the true one as often as not: it only widens.
    excess = max((doubt * seen + FEW_PATIENTS) / (doubt + FEW_PATIENTS), 1.0)
    found = _bounded(likelihood, estimate, excess * quantile(np.inf, confidence) ** 2)
    return Interval(found.estimate / spread, found.low / spread, found.high / spread)


def separates(odds: Floats, happened: Floats) -> bool:
    """Whether some cut of the odds has all units of one kind on its one side, of the other on its other or at it.

    Source
    ------
    Albert & Anderson 1984, doi:10.1093/biomet/71.1.1.
    """
    yes, no = odds[happened == 1], odds[happened == 0]
    return bool(yes.min() >= no.max() or no.min() >= yes.max())


def _log_likelihood(odds: Floats, happened: Floats) -> float:
    return float((happened * odds - np.logaddexp(0, odds)).sum())


def _penalised(odds: Floats, happened: Floats, terms: Float[np.ndarray, "unit term"]) -> float:
    """Log likelihood and half the logarithm of the information's determinant."""
    likelihood = _log_likelihood(odds, happened)
    log_weight = -np.abs(odds) - 2 * np.log1p(np.exp(-np.abs(odds)))
    largest = float(log_weight.max())  # taken out, so that weights do not all underflow
    sign, log_det = np.linalg.slogdet((terms * np.exp(log_weight - largest)[:, None]).T @ terms)
    if sign <= 0:
        return _HOPELESS
    return max(likelihood + (float(log_det) + terms.shape[1] * largest) / 2, _HOPELESS)


def _peak(likelihood: Likelihood) -> float:
    return float(minimize_scalar(lambda value: -likelihood(value), bracket=(-0.5, 0.5), options={"xtol": 1e-7}).x)


def _bounded(likelihood: Likelihood, estimate: float, drop: float) -> Interval:
    """Values of which twice the log likelihood is not more than `drop` below the peak."""
    floor = likelihood(estimate) - drop / 2

    def above(value: float) -> float:
        return likelihood(value) - floor

    bounds = []
    for side in (-1, 1):
        step = 0.25
        while above(estimate + side * step) > 0:
            step *= 2
        bounds.append(float(brentq(above, estimate, estimate + side * step, xtol=1e-6)))
    return Interval(estimate, bounds[0], bounds[1])


def _excess_variance(
    odds: Floats, happened: Floats, terms: Float[np.ndarray, "unit term"], patients: Int[np.ndarray, " unit"]
) -> tuple[float, float]:
    """Variance of the first term with units clustered by patient, over the one that the likelihood knows of.

    It is 1 where units are independent and the regression is right. With it comes how much doubt the units leave, the
    sum of p·(1 - p): little doubt tells little of a variance, and too often that it is small.
    """
    proba = expit(odds)
    doubts = proba * (1 - proba)
    inverse = np.linalg.pinv((terms * doubts[:, None]).T @ terms)
    clusters = np.unique(patients, return_inverse=True)[1].ravel()
    pushes = np.zeros((int(clusters.max()) + 1, terms.shape[1]))
    np.add.at(pushes, clusters, terms * (happened - proba)[:, None])
    free = max(len(pushes) - terms.shape[1], 1) / len(pushes)
    clustered = (inverse @ (pushes.T @ pushes) @ inverse)[0, 0] / free
    return float(clustered / inverse[0, 0]), float(doubts.sum())
