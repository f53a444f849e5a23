"""Metrics of trials, each with the influence every test unit has on it.

An influence says how far one unit moves a metric: a metric's value less its expectation is, to first order, the sum of
its units' influences, so the sum of their squares is the variance that the test patients bring. Influences are kept a
trial, because their mean over repeats is what an averaged score rests on, and their scatter over repeats is what
test patients and training draw bring together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

LEAST_PROBABILITY = 1e-6
"""Smaller probabilities count as this one where a logarithm is taken: one of 0 would rule a whole mean."""


@dataclass(frozen=True)
class FoldMeasure:
    """One metric over one test fold: a row a repeat, a column a test unit.

    `weight` is the fold's share in the study's metric, before the shares are made to sum to 1.
    """

    fold: int
    weight: float
    repeats: Int[np.ndarray, " repeat"]
    overlap: float
    values: Float[np.ndarray, " repeat"]
    influence: Float[np.ndarray, "repeat unit"]
    truth: Int[np.ndarray, " unit"]
    patients: Int[np.ndarray, " unit"]


@dataclass(frozen=True)
class Measure:
    """One metric of one rung at one size: a part a test fold, none of weight 0."""

    parts: tuple[FoldMeasure, ...]

    @property
    def shares(self) -> Float[np.ndarray, " fold"]:
        """The folds' weights, summing to 1."""
        weights = np.array([part.weight for part in self.parts])
        return weights / weights.sum()

    @property
    def estimate(self) -> float:
        """Mean over repeats, then over folds; scores of different models are never pooled."""
        return float(self.shares @ [part.values.mean() for part in self.parts])


def auroc(
    scores: Float[np.ndarray, "repeat unit"], is_positive: Bool[np.ndarray, " unit"]
) -> tuple[Float[np.ndarray, " repeat"], Float[np.ndarray, "repeat unit"]]:
    """Area under the ROC curve of each repeat, 0–1, ties counting half, and each unit's influence on it.

    A unit's placement is the share of the other class that it outranks (positives) or is outranked by (negatives);
    their mean over a class is the AUROC. Meaningless unless both classes have a unit.

    Source
    ------
    DeLong et al. 1988, doi:10.2307/2531595; by ranks after Sun & Xu 2014, doi:10.1109/LSP.2014.2337313.
    """
    from scipy.stats import rankdata  # half a second to import, which a forecast can do without

    n_positive = int(is_positive.sum())
    n_negative = len(is_positive) - n_positive
    ranks = rankdata(scores, axis=1)
    above = (ranks[:, is_positive] - rankdata(scores[:, is_positive], axis=1)) / n_negative
    below = 1 - (ranks[:, ~is_positive] - rankdata(scores[:, ~is_positive], axis=1)) / n_positive
    values = above.mean(axis=1)
    influence = np.empty(scores.shape)
    influence[:, is_positive] = (above - values[:, None]) / n_positive
    influence[:, ~is_positive] = (below - values[:, None]) / n_negative
    return values, influence


def macro(
    score: Callable[[int], tuple[Float[np.ndarray, " repeat"], Float[np.ndarray, "repeat unit"]]],
    n_classes: int,
    truth: Int[np.ndarray, " unit"],
) -> tuple[Float[np.ndarray, " repeat"], Float[np.ndarray, "repeat unit"]]:
    """A score of class 1 for two classes, else the mean over the classes that are there of one against the rest."""
    pairs = [score(k) for k in ([1] if n_classes == 2 else np.unique(truth).tolist())]
    return np.mean([values for values, _ in pairs], axis=0), np.mean([influence for _, influence in pairs], axis=0)


def mean_over_units(
    values: Float[np.ndarray, "repeat unit"] | Bool[np.ndarray, "repeat unit"], counted: Bool[np.ndarray, " unit"]
) -> tuple[Float[np.ndarray, " repeat"], Float[np.ndarray, "repeat unit"]]:
    """Mean over the counted units, with influences; accuracy, recall and Brier score are such means."""
    means = values[:, counted].mean(axis=1)
    influence = np.where(counted, values - means[:, None], 0.0) / counted.sum()
    return means, influence


def log_loss_terms(
    probabilities: Float[np.ndarray, "repeat unit class_"], truth: Int[np.ndarray, " unit"]
) -> Float[np.ndarray, "repeat unit"]:
    """Negative natural logarithm of what a unit's own class was given, in nats, at most that of `LEAST_PROBABILITY`."""
    given = probabilities[:, np.arange(len(truth)), truth]
    return np.asarray(-np.log(np.clip(given, LEAST_PROBABILITY, 1.0)))


def brier_terms(
    probabilities: Float[np.ndarray, "repeat unit class_"], truth: Int[np.ndarray, " unit"]
) -> Float[np.ndarray, "repeat unit"]:
    """Squared error of the probabilities a unit: (p - y)² for two classes (0–1), else summed over classes (0–2).

    Source
    ------
    Brier 1950, doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2; the form for two classes is half of his.
    """
    squares = (probabilities - np.eye(probabilities.shape[2])[truth]) ** 2
    return np.asarray(squares[:, :, 1] if probabilities.shape[2] == 2 else squares.sum(axis=2))


def average(measures: Sequence[Measure]) -> Measure:
    """The plain mean of several metrics over the same trials, such as balanced accuracy of the recalls.

    A fold's weight is the mean of its weights: a fold without patients of a class adds nothing to that class.
    """
    by_fold: dict[int, list[FoldMeasure]] = {}
    totals = [sum(part.weight for part in measure.parts) for measure in measures]
    for measure, total in zip(measures, totals, strict=True):
        for part in measure.parts:
            by_fold.setdefault(part.fold, []).append(_scaled(part, 1 / (total * len(measures))))
    return Measure(tuple(_joined(by_fold[fold]) for fold in sorted(by_fold)))


def _scaled(part: FoldMeasure, factor: float) -> FoldMeasure:
    return FoldMeasure(**{**part.__dict__, "weight": part.weight * factor})


def _joined(parts: list[FoldMeasure]) -> FoldMeasure:
    shares = np.array([part.weight for part in parts])
    weight = float(shares.sum())
    shares = shares / weight
    values = sum(share * part.values for share, part in zip(shares, parts, strict=True))
    influence = sum(share * part.influence for share, part in zip(shares, parts, strict=True))
    return FoldMeasure(**{**parts[0].__dict__, "weight": weight, "values": values, "influence": influence})


def difference(measure: Measure, against: Measure) -> Measure | None:
    """Paired difference over the folds and repeats that both have; None if they share none."""
    others = {part.fold: part for part in against.parts}
    parts = []
    for part in measure.parts:
        if part.fold not in others:
            continue
        other = others[part.fold]
        repeats, mine, theirs = np.intersect1d(part.repeats, other.repeats, return_indices=True)
        if len(repeats):
            values = part.values[mine] - other.values[theirs]
            influence = part.influence[mine] - other.influence[theirs]
            paired = {**part.__dict__, "repeats": repeats, "values": values, "influence": influence}
            parts.append(FoldMeasure(**paired))
    return Measure(tuple(parts)) if parts else None
