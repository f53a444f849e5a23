"""What choosing flatters: the picked rung's AUROC, less what a pick among several looks better than it is.

The rung that wins on these patients wins partly because they suit it. How much is seen by choosing again: patients and
training draws are drawn anew, every rung's estimate moves by what the draw brings, and the study's own rule chooses.
How far the drawn pick then stands above its own estimate, on average, is the optimism.

Nothing is ranked again: an AUROC moves by the sum of its patients' influences. The draws start from estimates that
chance has spread already, so that equal rungs are twice as varied in them and the optimism seen is 1/√2 of the true
one. The estimate is lowered by what is seen, since a rung that is truly better needs less; the lower bound by the whole
(`WHOLE`), and the upper bound stays. Measured in honesty/selection.py.

Source
------
In the spirit of Tsamardinos et al. 2018, doi:10.1007/s10994-018-5714-4, who score each drawn pick on the patients that
the draw left out. To first order in the influences, that covered only 82–89 % in four settings where rungs differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from .comparisons import Curve
from .intervals import Interval
from .metrics import Measure, difference
from .variance import Variance, training_spread, variance_of
from .verdict import Standing, pick_rung

# The optimism's own chance is then .0005 at most, with 8 equal rungs and 156 test patients.
DRAWS = 400
# Whole optimism over what the draws see, where rungs are equal.
WHOLE = 2**0.5
# Keeps these draws apart from others of the plan's seed.
PURPOSE = 104

Shared = Mapping[int, Float[np.ndarray, "fold fold"]]


@dataclass(frozen=True)
class Selected:
    """The picked rung's AUROC, corrected for having been picked among `n_rungs`, the naive one beside it.

    `optimism`, at least 0, is how much better the pick looks than it is. Floors are not counted: what knows nothing
    scores one half on any patients and cannot look better than it is, though the rule may fall back on it.
    """

    rung: str
    n_train: int
    n_rungs: int
    auroc: Interval
    naive: Interval
    optimism: float

    def to_json(self) -> dict[str, Any]:
        """The correction as evidence.json holds it."""
        return {
            "rung": self.rung,
            "n_train": self.n_train,
            "n_rungs": self.n_rungs,
            "auroc": self.auroc.to_json(),
            "naive": self.naive.to_json(),
            "optimism": self.optimism,
        }


def choose_by_rule(standing: Standing) -> str:
    """Choose as the verdict does."""
    return pick_rung(standing).rung


def correct_pick(
    standing: Standing,
    curves: Mapping[str, Curve],
    shared: Shared,
    *,
    seed: int,
    choose: Callable[[Standing], str] = choose_by_rule,
    draws: int = DRAWS,
) -> Selected:
    """Correct the AUROC of the rung that `choose` takes for its having been chosen.

    With one learned rung, or a pick whose score is certain, there is nothing to correct.
    """
    picked = choose(standing)
    naive = standing.aurocs[picked]
    learned = [rung for rung in standing.aurocs if standing.families[rung] != "floor"]
    optimism = 0.0
    if len(learned) > 1 and naive.low < naive.high:
        at_size = {rung: curves[rung] for rung in learned}
        shifts = draw_shifts(at_size, standing.n_train, shared, draws=draws, rng=np.random.default_rng([seed, PURPOSE]))
        optimism = _optimism(standing, learned, shifts, choose)
    return Selected(picked, standing.n_train, len(learned), _lowered(naive, optimism), naive, optimism)


def draw_shifts(
    curves: Mapping[str, Curve], n_train: int, shared: Shared, *, draws: int, rng: np.random.Generator
) -> Float[np.ndarray, "draw rung"]:
    """How far each rung's AUROC at this size moves with other patients and other training draws; 0 on average.

    A patient counts as often as a Poisson draw says, the same for all rungs and all of the patient's units; influences
    are centred a class, so strata would change nothing. Training draws are normal, as correlated between two rungs as
    the variance of their paired difference says.
    """
    measures = [curve[n_train] for curve in curves.values()]
    variances = [_variance(curve, n_train, shared) for curve in curves.values()]
    moved = _moved_by_patient(measures, variances)
    training = _training_covariance(list(curves.values()), variances, n_train, shared)
    values, axes = np.linalg.eigh(training)
    # Variances that were each estimated need not fit together: what is below 0 is noise.
    root = axes * np.sqrt(np.maximum(values, 0.0))
    times = rng.poisson(1.0, (draws, moved.shape[1]))
    shifts = (times - 1.0) @ moved.T + rng.standard_normal((draws, len(root))) @ root.T
    return np.asarray(shifts - shifts.mean(axis=0))


def _variance(curve: Curve, n_train: int, shared: Shared) -> Variance:
    return variance_of(curve[n_train], n_train, training_spread(curve), shared[n_train])


def _moved_by_patient(measures: Sequence[Measure], variances: Sequence[Variance]) -> Float[np.ndarray, "rung patient"]:
    """Each patient's influence on each rung's estimate, scaled so that the squares sum to the rung's variance."""
    known = np.unique(np.concatenate([part.patients for measure in measures for part in measure.parts]))
    moved = np.zeros((len(measures), len(known)))
    for row, measure, variance in zip(moved, measures, variances, strict=True):
        for share, part in zip(measure.shares, measure.parts, strict=True):
            np.add.at(row, np.searchsorted(known, part.patients), share * part.influence.mean(axis=0))
        squares = float((row**2).sum())
        row *= np.sqrt(variance.patient / squares) if squares > 0 else 0.0
    return moved


def _training_covariance(
    curves: Sequence[Curve], variances: Sequence[Variance], n_train: int, shared: Shared
) -> Float[np.ndarray, "rung rung"]:
    """Covariance of what the training draw brings to two rungs: half of what their difference's variance lacks."""
    own = [variance.training or 0.0 for variance in variances]
    covariance = np.diag(own)
    for i, curve in enumerate(curves):
        for j in range(i):
            apart = _training_apart(curve, curves[j], n_train, shared)
            if apart is not None:
                covariance[i, j] = covariance[j, i] = (own[i] + own[j] - apart) / 2
    return covariance


def _training_apart(curve: Curve, against: Curve, n_train: int, shared: Shared) -> float | None:
    both = {n: difference(curve[n], against[n]) for n in curve if n in against}
    known = {n: found for n, found in both.items() if found is not None}
    return _variance(known, n_train, shared).training if n_train in known else None


def _optimism(
    standing: Standing,
    learned: Sequence[str],
    shifts: Float[np.ndarray, "draw rung"],
    choose: Callable[[Standing], str],
) -> float:
    """Mean over draws of how far the drawn pick was moved; a floor does not move.

    Shifts average 0 for every rung, so where no draw changes the pick this is 0 and not chance.
    """
    total = 0.0
    for shift in shifts:
        by_rung = dict(zip(learned, shift.tolist(), strict=True))
        total += by_rung.get(choose(_moved(standing, by_rung)), 0.0)
    # Being chosen makes no rung look worse: what is below 0 is the draws' own chance.
    return max(0.0, total / len(shifts))


def _moved(standing: Standing, shifts: Mapping[str, float]) -> Standing:
    """The standing with every estimate and paired difference moved, their intervals with them."""
    aurocs = {rung: _by(shifts.get(rung, 0.0), found) for rung, found in standing.aurocs.items()}
    comparisons = []
    for pair in standing.comparisons:
        apart = shifts.get(pair.rung, 0.0) - shifts.get(pair.against, 0.0)
        comparisons.append(replace(pair, difference=_by(apart, pair.difference), to_best=_by(apart, pair.to_best)))
    return replace(standing, aurocs=aurocs, comparisons=comparisons)


def _by(shift: float, interval: Interval) -> Interval:
    return Interval(interval.estimate + shift, interval.low + shift, interval.high + shift)


def _lowered(naive: Interval, optimism: float) -> Interval:
    """The estimate lowered by what is seen, the lower bound by the whole; neither below 0."""
    return Interval(max(0.0, naive.estimate - optimism), max(0.0, naive.low - WHOLE * optimism), naive.high)
