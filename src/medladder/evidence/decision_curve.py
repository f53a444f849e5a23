"""What acting on a rung's probabilities would bring at a stated prevalence, for every threshold one may act at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import logit

from .intervals import Interval, quantile
from .scores import FoldScores

THRESHOLDS = tuple((np.arange(1, 50) / 50).round(2).tolist())
"""Probabilities in use from which on one acts."""


@dataclass(frozen=True)
class NetBenefit:
    """Net benefit of acting from one threshold on, in true positives a patient; `of_all` is that of acting on all.

    The interval holds the chance of the test patients alone, and a little more than that: a mean over repeats varies
    less than one decision does.
    """

    threshold: float
    benefit: Interval
    of_all: float

    def to_json(self) -> dict[str, Any]:
        """As evidence.json holds it."""
        return {"threshold": self.threshold, "net_benefit": self.benefit.to_json(), "of_all": self.of_all}


def decision_curve(
    folds: Sequence[FoldScores], prevalence: float, trained_prevalence: float, *, confidence: float
) -> tuple[NetBenefit, ...]:
    """The decision curve of the positive class of two, were it as common as `prevalence`, 0–1.

    A probability p given where the class had the share `trained_prevalence` means another one in use: the logits differ
    by those of the two shares. Sensitivity and specificity are means over repeats.

    Source
    ------
    Vickers & Elkin 2006, doi:10.1177/0272989X06295361.
    """
    share = logit(prevalence) - logit(trained_prevalence)
    found = []
    for threshold in THRESHOLDS:
        # Where training saw it, this threshold was another one.
        here = 1 / (1 + np.exp(-(logit(threshold) - share)))
        hits, n_sick = _called(folds, here, truth=1)
        alarms, n_well = _called(folds, here, truth=0)
        odds = threshold / (1 - threshold)
        benefit = hits * prevalence - alarms * (1 - prevalence) * odds
        variance = prevalence**2 * _variance(hits, n_sick) + ((1 - prevalence) * odds) ** 2 * _variance(alarms, n_well)
        half = quantile(np.inf, confidence) * float(np.sqrt(variance))
        of_all = prevalence - (1 - prevalence) * odds
        found.append(NetBenefit(threshold, Interval(benefit, benefit - half, benefit + half), of_all))
    return tuple(found)


def _called(folds: Sequence[FoldScores], threshold: float, *, truth: int) -> tuple[float, int]:
    """The share of the units of one class called positive, its mean over repeats, and how many units these are."""
    called: list[Float[np.ndarray, " unit"]] = [
        (fold.probabilities[:, fold.truth == truth, 1] >= threshold).mean(axis=0) for fold in folds
    ]
    each = np.concatenate(called)
    return float(each.mean()), len(each)


def _variance(share: float, n: int) -> float:
    """Of a share seen on n units, by half a unit more of either kind: all or none is not certain."""
    smoothed = (share * n + 0.5) / (n + 1)
    return smoothed * (1 - smoothed) / n
