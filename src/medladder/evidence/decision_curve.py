"""What acting on a rung's probabilities would bring at a stated prevalence, for every threshold one may act at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import expit, logit

from .intervals import Interval, quantile, wilson_interval
from .scores import FoldScores

_STEPS = (0.02, 0.01, 0.005, 0.002, 0.001, 0.0005, 0.0002)
_N_FINE = 40  # with steps of at most a fifth of the prevalence they reach three times as far as it


@dataclass(frozen=True)
class NetBenefit:
    """Net benefit of acting from one threshold on, in true positives a patient; `of_all` is that of acting on all.

    The interval holds the chance of the test patients alone, at this threshold alone, and a little more than that: a
    mean over repeats varies less than one decision does.
    """

    threshold: float
    benefit: Interval
    of_all: float

    def to_json(self) -> dict[str, Any]:
        """As evidence.json holds it."""
        return {"threshold": self.threshold, "net_benefit": self.benefit.to_json(), "of_all": self.of_all}


def thresholds_at(prevalence: float) -> tuple[float, ...]:
    """Probabilities in use from which on one acts: every 2 %, and closer ones where the class is rare.

    Example
    -------
    >>> thresholds_at(0.3)[:3], thresholds_at(0.01)[:3], thresholds_at(0.01)[-2:]
    ((0.02, 0.04, 0.06), (0.002, 0.004, 0.006), (0.96, 0.98))
    """
    step = next((one for one in _STEPS if one <= prevalence / 5 * (1 + 1e-9)), _STEPS[-1])
    fine = step * np.arange(1, _N_FINE + 1)
    return tuple(np.unique(np.concatenate([fine, np.arange(1, 50) / 50]).round(4)).tolist())


def decision_curve(
    folds: Sequence[FoldScores], prevalence: float, trained: Sequence[float], *, confidence: float
) -> tuple[NetBenefit, ...]:
    """The decision curve of the positive class of two, were it as common as `prevalence`, 0–1.

    `trained` is how common the class was where each fold's rungs learned. A probability given there means another one
    in use: the logits differ by those of the two shares. Sensitivity and specificity are means over repeats.

    Source
    ------
    Vickers & Elkin 2006, doi:10.1177/0272989X06295361. Interval: Wilson's of both shares, put together as in Zou &
    Donner 2008, doi:10.1002/sim.3095.
    """
    shifts = [float(logit(prevalence) - logit(share)) for share in trained]
    z = quantile(np.inf, confidence)
    found = []
    for threshold in thresholds_at(prevalence):
        # Where training saw it, this threshold was another one.
        here = [float(expit(logit(threshold) - shift)) for shift in shifts]
        hits, alarms = (wilson_interval(*called_share(folds, here, truth=truth), quantile=z) for truth in (1, 0))
        gain, cost = prevalence, (1 - prevalence) * threshold / (1 - threshold)
        benefit = gain * hits.estimate - cost * alarms.estimate
        down = np.hypot(gain * (hits.estimate - hits.low), cost * (alarms.high - alarms.estimate))
        up = np.hypot(gain * (hits.high - hits.estimate), cost * (alarms.estimate - alarms.low))
        interval = Interval(benefit, benefit - float(down), benefit + float(up))
        found.append(NetBenefit(threshold, interval, gain - cost))
    return tuple(found)


def called_share(folds: Sequence[FoldScores], thresholds: Sequence[float], *, truth: int) -> tuple[float, int]:
    """The share of the units of one class called positive from each fold's threshold on: its mean, and of how many."""
    called: list[Float[np.ndarray, " unit"]] = [
        (fold.probabilities[:, fold.truth == truth, 1] >= threshold).mean(axis=0)
        for fold, threshold in zip(folds, thresholds, strict=True)
    ]
    each = np.concatenate(called)
    return float(each.mean()), len(each)
