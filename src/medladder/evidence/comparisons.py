"""Paired comparisons of rungs: same patients, same repeats, all pairs at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from .intervals import Interval, difference_interval
from .metrics import Measure, difference
from .variance import training_spread, variance_of


@dataclass(frozen=True)
class Comparison:
    """Macro AUROC of `rung` less that of `against`, the earlier on the ladder, at `n_train` patients."""

    n_train: int
    rung: str
    against: str
    difference: Interval
    simultaneous: bool = True

    def to_json(self) -> dict[str, Any]:
        """The comparison as evidence.json holds it."""
        return {
            "metric": "auroc",
            "n_train": self.n_train,
            "rung": self.rung,
            "against": self.against,
            "difference": self.difference.to_json(),
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
) -> tuple[Comparison, ...]:
    """All pairs of rungs at one size, each pair once; all intervals hold together with this confidence.

    Source
    ------
    Šidák 1967, doi:10.1080/01621459.1967.10482935: conservative for correlated normal statistics.
    """
    rungs = [rung for rung, curve in curves.items() if n_train in curve]
    pairs = [(rung, against) for place, rung in enumerate(rungs) for against in rungs[:place]]
    each = confidence ** (1 / max(len(pairs), 1))
    found = []
    for rung, against in pairs:
        interval = paired_interval(curves[rung], curves[against], n_train, counts, shared, confidence=each)
        if interval is not None:
            found.append(Comparison(n_train, rung, against, interval))
    return tuple(found)


def paired_interval(
    curve: Curve,
    against: Curve,
    n_train: int,
    counts: Sequence[int],
    shared: Mapping[int, Float[np.ndarray, "fold fold"]],
    *,
    confidence: float,
) -> Interval | None:
    """Interval of the paired difference at one size; None where no repeat was finished by both.

    The training part is pooled over the sizes that both have, as it is for a rung alone.
    """
    both = {n: difference(curve[n], against[n]) for n in curve if n in against}
    known = {n: found for n, found in both.items() if found is not None}
    if n_train not in known:
        return None
    variance = variance_of(known[n_train], n_train, training_spread(known), shared[n_train])
    return difference_interval(known[n_train].estimate, counts, variance, confidence=confidence)


def change(
    curve: Curve,
    n_train: int,
    counts: Sequence[int],
    shared: Mapping[int, Float[np.ndarray, "fold fold"]],
    *,
    confidence: float,
) -> tuple[int, Interval] | None:
    """What the last step of data brought: AUROC at `n_train` less that at the size before it, and that size.

    Subsets are nested within a repeat, so the two share patients and the scatter of their differences over repeats is
    what the smaller subset's luck leaves. It is taken as it stands at the smaller size, whose subsets overlap less.
    """
    before = [n for n in curve if n < n_train]
    if n_train not in curve or not before:
        return None
    smaller = max(before)
    step = difference(curve[n_train], curve[smaller])
    if step is None:
        return None
    at_smaller = difference(curve[smaller], curve[n_train])
    assert at_smaller is not None
    # `difference` keeps the overlap of its first measure; the smaller size's is the one that tells.
    variance = variance_of(at_smaller, smaller, training_spread({smaller: at_smaller}), shared[smaller])
    return smaller, difference_interval(step.estimate, counts, variance, confidence=confidence)
