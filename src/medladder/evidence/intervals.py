"""Intervals that hold their estimate, stay inside the metric's range and never shrink to a point by luck.

A bound is the value θ from which the estimate is just t standard errors away, with the standard error that θ itself
would have (a score interval). Near 0 and 1, where a standard error taken at the estimate goes to zero, this is the
difference between an interval that covers and one that does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import stdtrit

from .variance import Variance

# Below this many patients in a class the scatter of their own scores is not trusted to be smaller than theory's.
FEW_PATIENTS = 10
# Weight of theory's variance, in patients that were got wrong: with many of those the data speak for themselves.
THEORY_WEIGHT = 2.0
EDGE = 1e-9


@dataclass(frozen=True)
class Interval:
    """An estimate with its bounds."""

    estimate: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        """The three numbers by name."""
        return {"estimate": self.estimate, "low": self.low, "high": self.high}


def quantile(dof: float, confidence: float) -> float:
    """Two-sided quantile of Student's t."""
    return float(stdtrit(dof, 0.5 + confidence / 2))


def wilson_interval(share: float, n: float, *, quantile: float = 1.959964) -> Interval:
    """Bound a proportion, such as sensitivity, that was seen on `n` patients; `n` may be an effective number.

    Unlike the textbook interval it keeps a width when every patient was right.

    Source
    ------
    Wilson 1927, doi:10.1080/01621459.1927.10502953.
    """
    middle = (share + quantile**2 / (2 * n)) / (1 + quantile**2 / n)
    half = quantile * np.sqrt(share * (1 - share) / n + quantile**2 / (4 * n**2)) / (1 + quantile**2 / n)
    return _clipped(share, float(middle - half), float(middle + half))


def hanley_mcneil(theta: float, n_positive: int, n_negative: int) -> float:
    """Variance of an AUROC whose truth is `theta`, 0–1, both classes' placements being alike in shape.

    Source
    ------
    Newcombe 2006, doi:10.1002/sim.2324, method 5, after Hanley & McNeil 1982, doi:10.1148/radiology.143.1.7063747.
    """
    middle = (n_positive + n_negative) / 2 - 1
    spread = 1 + middle * ((1 - theta) / (2 - theta) + theta / (1 + theta))
    return theta * (1 - theta) * spread / (n_positive * n_negative)


def proportion_interval(estimate: float, n: int, variance: Variance, *, confidence: float) -> Interval:
    """Interval of a share of `n` patients whose hits were averaged over repeats: Wilson on the effective number.

    Averaging makes a patient's hit less variable than a coin's toss, which the effective number says; where few
    patients were got wrong that cannot be seen, and the coin's variance is mixed in.
    """
    coin = _inner(estimate, n)
    at_coin = coin * (1 - coin)
    ratio = _trusted_ratio(variance.patient * n, estimate * (1 - estimate), n, estimate)
    effective = 1 / (ratio / n + (variance.training or 0.0) / at_coin)
    return wilson_interval(estimate, effective, quantile=quantile(variance.dof, confidence))


def auroc_interval(
    estimate: float, n_positive: int, n_negative: int, variance: Variance, *, confidence: float
) -> Interval:
    """Interval of an AUROC: the score form, with the variance seen as a multiple of Hanley & McNeil's.

    With complete separation, or under ten patients in a class, DeLong's variance is too small or zero: theirs is the
    floor then.
    """
    fewest = min(n_positive, n_negative)

    def theory(theta: float) -> float:
        return hanley_mcneil(theta, n_positive, n_negative)

    ratio = _trusted_ratio(variance.patient, theory(estimate), fewest, estimate)
    ratio += (variance.training or 0.0) / theory(_inner(estimate, fewest))
    t = quantile(variance.dof, confidence)
    return _score_interval(estimate, t, lambda theta: ratio * theory(theta))


def mean_interval(estimate: float, n: int, top: float, variance: Variance, *, confidence: float) -> Interval:
    """Interval of a mean over `n` patients of a score between 0 and `top`, such as Brier's.

    One made-up patient who scores 0 or `top` by chance is added to the variance: it matters only where `n` is small or
    all scores are alike.
    """
    share = estimate / top
    inner = _inner(share, n)
    ratio = variance.total / top**2 / (inner * (1 - inner)) + 1 / n**2
    t = quantile(variance.dof, confidence)
    unit = _score_interval(share, t, lambda theta: ratio * theta * (1 - theta))
    return Interval(estimate, min(unit.low * top, estimate), max(unit.high * top, estimate))


def positive_interval(estimate: float, variance: Variance, *, confidence: float) -> Interval:
    """Interval of a mean that is positive and has no top, such as log loss: even on the logarithm."""
    if estimate <= 0:
        return Interval(0.0, 0.0, 0.0)
    half = quantile(variance.dof, confidence) * np.sqrt(variance.total) / estimate
    return Interval(estimate, float(estimate * np.exp(-half)), float(estimate * np.exp(half)))


def root_interval(squared: float, variance: Variance, *, confidence: float) -> Interval:
    """Interval of the root, 0–1, of a mean square whose own interval may reach below nought."""
    half = quantile(variance.dof, confidence) * np.sqrt(variance.total)
    estimate, low, high = (float(np.sqrt(np.clip(one, 0, 1))) for one in (squared, squared - half, squared + half))
    return Interval(estimate, low, high)


def joined_interval(parts: Sequence[Interval], training: float | None, quantile: float) -> Interval:
    """Interval of the mean of independent estimates from theirs (MOVER): each side keeps its own length.

    `training` is the variance that the training draw brings to the mean, in which the parts are not independent.

    Source
    ------
    Zou & Donner 2008, doi:10.1002/sim.3095.
    """
    estimate = float(np.mean([part.estimate for part in parts]))
    trained = quantile**2 * (training or 0.0)
    down = np.sqrt(np.mean([(part.estimate - part.low) ** 2 for part in parts]) / len(parts) + trained)
    up = np.sqrt(np.mean([(part.high - part.estimate) ** 2 for part in parts]) / len(parts) + trained)
    return _clipped(estimate, float(estimate - down), float(estimate + up))


def difference_interval(estimate: float, counts: Sequence[int], variance: Variance, *, confidence: float) -> Interval:
    """Interval of a difference of two paired scores, within -1 to 1.

    On Fisher's scale. In each class one more patient is imagined whom the two rungs rank a quarter of the way apart,
    so that two rungs without a mistake are not said to be exactly alike.
    """
    imagined = sum((0.25 / (count + 2)) ** 2 for count in counts)
    t = quantile(variance.dof, confidence)
    inner = float(np.clip(estimate, -1 + 1e-9, 1 - 1e-9))
    half = t * np.sqrt(variance.total + imagined) / (1 - inner**2)
    low, high = np.tanh(np.arctanh(inner) - half), np.tanh(np.arctanh(inner) + half)
    return Interval(estimate, min(float(low), estimate), max(float(high), estimate))


def _inner(share: float, n: float) -> float:
    """The share with half a patient added on either side, so that it is never 0 or 1."""
    return (n * share + 0.5) / (n + 1)


def _trusted_ratio(seen: float, theory: float, n: int, share: float) -> float:
    """Seen variance over theory's, drawn towards 1 where few patients were got wrong (or few right)."""
    weight = 4 * n * share * (1 - share)
    # However alike patients are, together they tell as much as one.
    ratio = min(seen / theory, n) if theory > EDGE else 1.0
    ratio = (weight * ratio + THEORY_WEIGHT) / (weight + THEORY_WEIGHT)
    return max(ratio, 1.0) if n < FEW_PATIENTS else ratio


def _score_interval(estimate: float, t: float, variance_at: Callable[[float], float]) -> Interval:
    def excess(theta: float) -> float:
        return abs(theta - estimate) - t * np.sqrt(max(variance_at(theta), 0.0))

    # At 0 and 1 the variance is 0 and the estimate itself would pass for a bound, so the search stays just inside.
    first, last = max(estimate, EDGE), min(estimate, 1 - EDGE)
    low = brentq(excess, 0.0, last) if excess(last) < 0 else estimate
    high = brentq(excess, first, 1.0) if excess(first) < 0 else estimate
    return _clipped(estimate, float(low), float(high))


def _clipped(estimate: float, low: float, high: float) -> Interval:
    return Interval(estimate, min(max(low, 0.0), estimate), max(min(high, 1.0), estimate))
