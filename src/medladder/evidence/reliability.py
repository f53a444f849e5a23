"""Whether probabilities mean what they say: calibration in the large, slope, error, and the reliability curve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.special import logit

from .intervals import Interval, quantile, wilson_interval
from .recalibration import recalibration_intercept, recalibration_slope, separates
from .scores import FoldScores

MOST_BINS, LEAST_UNITS = 10, 10
"""Bins of a curve, and units in each."""

_LEAST_PROBABILITY = 1e-6


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
    """`intercept` is calibration in the large (0 is right), `slope` that of log odds (1 is right).

    `expected_error` is the root mean square distance of probabilities from frequencies over the curve's bins, 0–1, less
    what chance alone puts there. `note` says why a number is None.
    """

    intercept: Interval | None
    slope: Interval | None
    expected_error: float | None
    curve: tuple[Bin, ...]
    note: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As `evaluate --json` prints it."""
        return {
            "intercept": None if self.intercept is None else self.intercept.to_json(),
            "slope": None if self.slope is None else self.slope.to_json(),
            "expected_error": self.expected_error,
            "curve": [one.to_json() for one in self.curve],
            "note": self.note,
        }


def reliability_of(
    probabilities: Float[np.ndarray, "unit class_"],
    truth: Int[np.ndarray, " unit"],
    patients: Int[np.ndarray, " unit"],
    classes: Sequence[str],
    *,
    confidence: float,
) -> Reliability:
    """Weigh probabilities against what happened: those of the positive class, or of each of more than two.

    A curve's intervals count units as independent; intercept and slope know which are one patient's.

    Source
    ------
    Error: the squared distance of a bin less its variance, after Ferro & Fricker 2012, doi:10.1002/qj.1924, whose bins
    hold equal probabilities (with unequal ones the variance of the frequency is more than that of the distance); of
    more classes the mean over one against the rest (Kumar et al. 2019, arXiv 1909.10155).
    """
    n_classes = len(classes)
    shown = [1] if n_classes == 2 else list(range(n_classes))
    bins = [(k, part) for k in shown for part in _bins(probabilities[:, k])]
    curve = tuple(_bin(probabilities[part, k], truth[part] == k, classes[k], confidence) for k, part in bins)
    excess = sum(_squared_excess(probabilities[part, k], truth[part] == k) * len(part) for k, part in bins)
    error = float(np.sqrt(max(excess / (len(truth) * len(shown)), 0.0))) if bins else None
    if n_classes != 2 or len(np.unique(truth)) < 2:
        why = "are for two classes" if n_classes != 2 else "need units of both classes"
        return Reliability(None, None, error, curve, f"Intercept and slope {why}.")
    odds = logit(np.clip(probabilities[:, 1], _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY))
    happened = (truth == 1).astype(float)
    intercept = recalibration_intercept(odds, happened, patients, confidence=confidence)
    slope = recalibration_slope(odds, happened, patients, confidence=confidence)
    note = None
    if slope is None:
        is_parted = np.ptp(odds) > 0 and separates(odds, happened)
        note = "The probabilities part the classes entirely" if is_parted else "All probabilities are the same"
        note += ", so there is no slope."
    return Reliability(intercept, slope, error, curve, note)


def squared_calibration_error(
    probabilities: Float[np.ndarray, "repeat unit class_"], truth: Int[np.ndarray, " unit"]
) -> tuple[Float[np.ndarray, " repeat"], Float[np.ndarray, "repeat unit"]]:
    """Square of the expected error of each repeat's own bins, with every unit's influence; it may be below 0 by chance.

    A bin's squared distance d² has the variance 4 d² v + 2 v², where v is that of d: influences are scaled to it. Both
    are nought where there are too few units for a bin.
    """
    n_repeats, n_units, n_classes = probabilities.shape
    shown = [1] if n_classes == 2 else range(n_classes)
    values, influence = np.zeros(n_repeats), np.zeros((n_repeats, n_units))
    for repeat in range(n_repeats):
        for k in shown:
            bins = _bins(probabilities[repeat, :, k])
            if not bins:
                continue
            order, sizes = np.concatenate(bins), np.array([len(part) for part in bins])
            firsts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
            apart = probabilities[repeat, order, k] - (truth[order] == k)
            mean = np.add.reduceat(apart, firsts) / sizes
            away = apart - np.repeat(mean, sizes)
            squares = np.add.reduceat(away**2, firsts)
            values[repeat] += (_excess(mean, squares, sizes) * sizes).sum()
            slope = np.sqrt(4 * mean**2 + 2 * squares / sizes**2)
            influence[repeat, order] += np.repeat(np.copysign(slope, mean), sizes) * away
    n = n_units * len(shown)
    return values / n, influence / n


def mean_curve(folds: Sequence[FoldScores], classes: Sequence[str], *, confidence: float) -> tuple[Bin, ...]:
    """The reliability curve of a rung over its repeats and folds: of the positive class, or of each of more than two.

    Bins are cut in the probabilities of all repeats together. Repeats are no more patients: an interval is that of
    the number of units a repeat has in a bin, and a bin has at least ten.
    """
    n_units = sum(len(fold.truth) for fold in folds)
    n_classes = len(classes)
    found = []
    for k in [1] if n_classes == 2 else range(n_classes):
        values = np.concatenate([fold.probabilities[:, :, k].ravel() for fold in folds])
        happened = np.concatenate([np.tile(fold.truth == k, len(fold.repeats)) for fold in folds])
        copies = len(values) / n_units
        found += [
            _bin(values[part], happened[part], classes[k], confidence, copies=copies)
            for part in _bins(values, least=math.ceil(copies * LEAST_UNITS))
        ]
    return tuple(found)


def _bins(values: Float[np.ndarray, " unit"], least: int = LEAST_UNITS) -> list[Int[np.ndarray, " some"]]:
    """Units in the order of their probability, cut into about equal numbers; equal probabilities stay together."""
    n_bins = min(MOST_BINS, len(values) // least)
    if n_bins < 1:
        return []
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    cuts: list[int] = []
    for wanted in np.arange(1, n_bins) * len(values) // n_bins:
        cut = int(np.searchsorted(ordered, ordered[wanted]))
        # Equal probabilities may leave a bin nearly empty: it goes with the next one then.
        if cut - (cuts[-1] if cuts else 0) >= least and len(values) - cut >= least:
            cuts.append(cut)
    return np.split(order, cuts)


def _bin(
    values: Float[np.ndarray, " some"], happened: np.ndarray, name: str, confidence: float, *, copies: float = 1.0
) -> Bin:
    share, n = float(happened.mean()), math.floor(len(values) / copies + 1e-9)
    observed = wilson_interval(share, n, quantile=quantile(np.inf, confidence))
    return Bin(name, float(values.mean()), observed, n)


def _squared_excess(values: Float[np.ndarray, " some"], happened: np.ndarray) -> float:
    """A bin's squared distance less its variance, that of the distances: 0 on average if probabilities are right."""
    apart = values - happened
    mean = apart.mean()
    return float(_excess(mean, ((apart - mean) ** 2).sum(), len(apart)))


def _excess(mean: Any, squares: Any, n: Any) -> Any:
    return mean**2 - squares / (n - 1) / n
