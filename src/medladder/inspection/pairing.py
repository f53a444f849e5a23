"""AUROC of predictions on held-out patients, and paired differences of two such predictions, with intervals.

The road is the one that evidence takes for a fixed model: influences a patient, never one ROC for scores of different
models. Intervals hold the chance of the patients alone: they speak of these very models, not of what another training
would bring.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from ..errors import InputError
from ..evidence.comparisons import paired_interval
from ..evidence.fixed import score_once
from ..evidence.intervals import Interval, auroc_interval
from ..evidence.measures import Measures
from ..evidence.points import CONFIDENCE
from ..evidence.scores import FoldScores
from ..evidence.variance import Variance, patient_variance

_ONCE = 1  # evidence keeps measures by training size; what is fixed has one, and its number means nothing


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Scores of one kind of model on held-out patients, in parts: each scored by a model of its own, within itself."""

    parts: tuple[FoldScores, ...]

    @property
    def n_patients(self) -> int:
        """Patients over all parts."""
        return len(np.unique(np.concatenate([part.patients for part in self.parts])))


def hold_out(
    scores: Float[np.ndarray, "row class_"],
    labels: Int[np.ndarray, " row"],
    patients: Int[np.ndarray, " row"],
    part: Int[np.ndarray, " row"] | None = None,
) -> HeldOut:
    """Sort scores into parts, a patient's images averaged.

    Scores are probabilities, or anything that grows with the class: only their order within a column and a part counts.
    `part` says by number which model scored a row; without it one did. Left out are rows with NaN in their scores or
    part -1, and parts that lack a class.

    Raises
    ------
    InputError
        No part holds patients of every class.
    """
    whose = np.zeros(len(labels), dtype=int) if part is None else part
    weights = [1.0] * scores.shape[1]  # of a decision, which no AUROC asks for
    known = (whose >= 0) & ~np.isnan(scores).any(axis=1)
    found: list[FoldScores] = []
    for number in np.unique(whose[known]):
        rows = np.flatnonzero(known & (whose == number))
        if len(np.unique(labels[rows])) == scores.shape[1]:
            once = score_once(scores[rows], labels[rows], patients[rows], weights)
            found.append(_numbered(once, len(found)))
    if not found:
        raise InputError(
            found="Among the held-out patients that were scored a class is missing.",
            needed=f"Patients of each of the {scores.shape[1]} classes in a part.",
            do="Add patients of the missing class, or leave it out.",
        )
    return HeldOut(tuple(found))


def auroc_interval_of(held: HeldOut) -> Interval:
    """Macro AUROC, the mean over parts by their patients, with the chance of the patients, whole over all parts.

    Where no part tells any two patients apart it is one half, whatever the patients.

    Source
    ------
    DeLong et al. 1988, doi:10.2307/2531595, and a score interval, see `evidence.intervals`.
    """
    measures = Measures(held.parts)
    estimate = measures.auroc.estimate
    if measures.is_constant:
        return Interval(estimate, estimate, estimate)
    fewest = min(measures.counts)
    variance = Variance(*patient_variance(measures.auroc))
    return auroc_interval(estimate, fewest, sum(measures.counts) - fewest, variance, confidence=CONFIDENCE)


def paired_difference(held: HeldOut, against: HeldOut) -> Interval:
    """Macro AUROC of `held` less that of `against`, paired by patient and part.

    Raises
    ------
    ValueError
        The two were not scored on the same patients in the same parts.
    """
    pairs = zip(held.parts, against.parts, strict=True)
    if not all(np.array_equal(_who(one), _who(other)) for one, other in pairs):
        raise ValueError("Two predictions are paired on the same patients in the same parts.")
    mine, theirs = Measures(held.parts), Measures(against.parts)
    return _paired(mine, theirs, len(held.parts))


def pair_out_of_part(
    proba: Float[np.ndarray, "row class_"],
    against: Float[np.ndarray, "row class_"],
    labels: Int[np.ndarray, " row"],
    patients: Int[np.ndarray, " row"],
) -> tuple[Interval, Interval, Interval]:
    """AUROC of one whole set of out-of-part probabilities, of another, and of the first less the second.

    Both sets are scored on the rows that both have. The members of an ensemble stand in one ROC here, as they do where
    a rung's own out-of-part probabilities choose its threshold: both sets are treated alike.

    Raises
    ------
    InputError
        Among the rows that both have a class is missing.
    """
    known = np.where(np.isnan(proba).any(axis=1) | np.isnan(against).any(axis=1), -1, 0)
    one, other = hold_out(proba, labels, patients, known), hold_out(against, labels, patients, known)
    return auroc_interval_of(one), auroc_interval_of(other), paired_difference(one, other)


def _paired(mine: Measures, theirs: Measures, n_parts: int) -> Interval:
    nothing_shared = np.zeros((n_parts, n_parts))
    found = paired_interval(
        {_ONCE: mine.auroc}, {_ONCE: theirs.auroc}, _ONCE, mine.counts, {_ONCE: nothing_shared}, confidence=CONFIDENCE
    )
    assert found is not None
    return found


def _numbered(once: FoldScores, number: int) -> FoldScores:
    return FoldScores(**{**once.__dict__, "fold": number})


def _who(part: FoldScores) -> Int[np.ndarray, "two unit"]:
    return np.stack([part.patients, part.truth])
