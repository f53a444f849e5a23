"""Metrics that rest on the order of scores or on thresholds, each with every unit's influence (see `metrics`).

All are of one positive class. Influences are the first-order terms of the metric in the two classes' distributions,
with the share of positives held as it is.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import rankdata

Scored = tuple[Float[np.ndarray, " repeat"], Float[np.ndarray, "repeat unit"]]
Scores = Float[np.ndarray, "repeat unit"]
Marks = Bool[np.ndarray, " unit"]

_ROUNDING = 1e-9
# The slope of a ROC curve at a point is taken over so many times n^(-1/3) of the false positive rates about it.
_WINDOW = 0.5


def average_precision(scores: Scores, is_positive: Marks) -> Scored:
    """Mean over positives of the precision at their score, 0–1, as scikit-learn's; ties are decided alike.

    Source
    ------
    Boyd, Eng & Page 2013, doi:10.1007/978-3-642-40994-3_29, on what it estimates; influences by the delta method.
    """
    n_positive = int(is_positive.sum())
    above = rankdata(-scores, method="max", axis=1)  # units with this score or a higher one
    positives_above = np.zeros(scores.shape)
    positives_above[:, is_positive] = rankdata(-scores[:, is_positive], method="max", axis=1)
    precision = np.where(is_positive, positives_above / above, 0.0)
    values = precision.sum(axis=1) / n_positive
    # One more positive (negative) at or above a positive's score raises (lowers) its precision by so much.
    gains = np.where(is_positive, (above - positives_above) / above**2, 0.0)
    losses = np.where(is_positive, positives_above / above**2, 0.0)
    order = np.argsort(scores, axis=1, kind="stable")
    last = (rankdata(scores, method="max", axis=1) - 1).astype(int)  # the last of those that tie, in this order
    gained, lost = (
        np.take_along_axis(np.cumsum(np.take_along_axis(one, order, axis=1), axis=1), last, axis=1)
        for one in (gains, losses)
    )
    influence = np.where(is_positive, precision - values[:, None] + gained, -lost)
    return values, _centred(influence, is_positive) / n_positive


def sensitivity_at(scores: Scores, is_positive: Marks, specificity: float) -> Scored:
    """Largest sensitivity, 0–1, at a threshold whose specificity on these very units is at least the asked one.

    The threshold moves with the negatives: by the slope of the ROC curve there, taken over a window.

    Source
    ------
    Pepe 2003, The Statistical Evaluation of Medical Tests, section 5.3 (the variance of an empirical ROC point).
    """
    n_positive = int(is_positive.sum())
    n_negative = len(is_positive) - n_positive
    descending = -np.sort(-scores[:, ~is_positive], axis=1)
    may_alarm = (1 - specificity) * n_negative

    def reached(alarms: float) -> Bool[np.ndarray, "repeat positive"]:
        """Which positives lie above all negatives but so many."""
        place = int(np.clip(np.floor(alarms + _ROUNDING), 0, n_negative))
        cut = np.full((len(scores), 1), -np.inf) if place == n_negative else descending[:, place : place + 1]
        return np.asarray(scores[:, is_positive] > cut)

    hit = reached(may_alarm)
    values = hit.mean(axis=1)
    reach = max(_WINDOW * n_negative ** (2 / 3), 1.0)
    first, last = max(may_alarm - reach, 0.0), min(may_alarm + reach, float(n_negative))
    slope = (reached(last).mean(axis=1) - reached(first).mean(axis=1)) / ((last - first) / n_negative)
    place = int(np.clip(np.floor(may_alarm + _ROUNDING), 0, n_negative))
    is_alarm = rankdata(-scores[:, ~is_positive], method="min", axis=1) <= place
    influence = np.zeros(scores.shape)
    influence[:, is_positive] = (hit - values[:, None]) / n_positive
    influence[:, ~is_positive] = -slope[:, None] * (is_alarm - is_alarm.mean(axis=1, keepdims=True)) / n_negative
    return values, influence


def f1(is_decided: Bool[np.ndarray, "repeat unit"], is_positive: Marks) -> Scored:
    """Harmonic mean of precision and recall of what was decided to be positive, 0–1; 0 where nothing was."""
    n_positive = int(is_positive.sum())
    hits = is_decided[:, is_positive]
    total = n_positive + is_decided.sum(axis=1, keepdims=True)
    values = 2 * hits.sum(axis=1) / total[:, 0]
    influence = is_decided * -(values[:, None] / total)
    influence[:, is_positive] += hits * (2 / total)
    return values, _centred(influence, is_positive)


def _centred(influence: Scores, is_positive: Marks) -> Scores:
    """Less its mean in either class: how many units a class has is held."""
    for here in (is_positive, ~is_positive):
        if here.any():
            influence[:, here] -= influence[:, here].mean(axis=1, keepdims=True)
    return influence
