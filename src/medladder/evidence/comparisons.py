"""Paired comparisons of rungs: same patients, same repeats, all pairs at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from .intervals import Interval, difference_interval
from .jointly import best_confidence, pairs_confidence
from .metrics import Measure, difference
from .variance import Variance, training_spread, variance_of


@dataclass(frozen=True)
class Comparison:
    """Macro AUROC of `rung` less that of `against`, the earlier on the ladder, at `n_train` patients.

    `difference` holds together with those of all pairs. `to_best` has bounds for choosing alone: its upper one that of
    `rung` if `rung` is best, its lower one that of `against` if `against` is.
    """

    n_train: int
    rung: str
    against: str
    difference: Interval
    to_best: Interval
    simultaneous: bool = True

    def to_json(self) -> dict[str, Any]:
        """The comparison as evidence.json holds it."""
        return {
            "metric": "auroc",
            "n_train": self.n_train,
            "rung": self.rung,
            "against": self.against,
            "difference": self.difference.to_json(),
            "to_best": {"low": self.to_best.low, "high": self.to_best.high},
            "simultaneous": self.simultaneous,
        }


Curve = Mapping[int, Measure]


def compare_all(
    curves: Mapping[str, Curve],
    n_train: int,
    counts: Sequence[int],
    shared: Mapping[int, Float[np.ndarray, "fold fold"]],
    *,
    confidence: float,
    floors: Collection[str] = (),
) -> tuple[Comparison, ...]:
    """All pairs of rungs at one size, each pair once, with intervals that hold together with this confidence.

    Comparisons with a floor hold together, and so do those of the others: rungs that are shown to have learned are
    compared among themselves. A pair of which neither is shown to must hold together with all, so that where nothing
    can be learned all claims are false no more often than asked. Pairs without a repeat in common are left out.
    """
    rungs = [rung for rung, curve in curves.items() if n_train in curve]
    found: dict[tuple[int, int], tuple[float, Variance]] = {}
    for i, rung in enumerate(rungs):
        for j in range(i):
            apart = paired_change(curves[rung], curves[rungs[j]], n_train, shared)
            if apart is not None:
                found[i, j] = apart
    variances = _together(len(rungs), found)
    is_floor: Bool[np.ndarray, " rung"] = np.array([rung in floors for rung in rungs], dtype=bool)

    def interval(pair: tuple[int, int], level: float) -> Interval:
        return difference_interval(found[pair][0], counts, found[pair][1], confidence=level)

    against_floors = pairs_confidence(variances, confidence, only=is_floor[:, None] != is_floor)
    has_learned = [
        any(is_floor[j] and interval((i, j), against_floors).low > 0 for k, j in found if k == i)
        or any(is_floor[k] and interval((k, i), against_floors).high < 0 for k, j in found if j == i)
        for i in range(len(rungs))
    ]
    learned = pairs_confidence(variances, confidence, only=~is_floor[:, None] & ~is_floor)
    all_together = pairs_confidence(variances, confidence) if is_floor.any() else learned
    if_best = best_confidence(variances, confidence, among=~is_floor)
    comparisons = []
    for i, j in found:
        if is_floor[i] or is_floor[j]:
            both = to_best = interval((i, j), against_floors)
        else:
            both = interval((i, j), learned if has_learned[i] or has_learned[j] else all_together)
            to_best = Interval(
                both.estimate,
                interval((i, j), 2 * float(if_best[j]) - 1).low,
                interval((i, j), 2 * float(if_best[i]) - 1).high,
            )
        comparisons.append(Comparison(n_train, rungs[i], rungs[j], both, to_best))
    return tuple(comparisons)


def _together(n: int, found: Mapping[tuple[int, int], tuple[float, Variance]]) -> Float[np.ndarray, "rung rung"]:
    """Variance of every pair's difference; a pair that cannot be compared counts as far apart, which narrows no one."""
    variances = np.full((n, n), max((variance.total for _, variance in found.values()), default=0.0))
    np.fill_diagonal(variances, 0.0)
    for (i, j), (_, variance) in found.items():
        variances[i, j] = variances[j, i] = variance.total
    return variances


def paired_interval(
    curve: Curve,
    against: Curve,
    n_train: int,
    counts: Sequence[int],
    shared: Mapping[int, Float[np.ndarray, "fold fold"]],
    *,
    confidence: float,
) -> Interval | None:
    """Interval of the paired difference at one size; None where no repeat was finished by both."""
    found = paired_change(curve, against, n_train, shared)
    return None if found is None else difference_interval(found[0], counts, found[1], confidence=confidence)


def paired_change(
    curve: Curve, against: Curve, n_train: int, shared: Mapping[int, Float[np.ndarray, "fold fold"]]
) -> tuple[float, Variance] | None:
    """Paired difference at one size and its variance; None where no repeat was finished by both.

    The training part is pooled over the sizes that both have, as it is for a rung alone.
    """
    both = {n: difference(curve[n], against[n]) for n in curve if n in against}
    known = {n: found for n, found in both.items() if found is not None}
    if n_train not in known:
        return None
    return known[n_train].estimate, variance_of(known[n_train], n_train, training_spread(known), shared[n_train])
