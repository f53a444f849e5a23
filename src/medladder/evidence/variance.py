"""How far an averaged score may be from E(n): what the test patients bring, and what the training draw brings.

The law of total variance parts the two: given the models, the score averaged over repeats varies with the test
patients; over models, its expectation varies with the training patients drawn. The second part is s²(n)·(ρ + (1 - ρ)/R)
for R repeats whose expected scores correlate by ρ. Repeats whose subsets overlap by f have ρ = λ·f, with λ = 1 where
the score is linear in the patients trained on and λ < 1 where it is not (thresholds) or where seeds matter (networks).

s²(n) = c·n^-γ and λ show in the scatter over repeats of all sizes: its expectation is s²(n)·(1 - λ·f), and what the
meeting of test patients and models adds, which the influences' own scatter tells. c, γ and λ are averaged over their
posterior on a grid, so that ten repeats need not settle what ten repeats cannot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from .metrics import FoldMeasure, Measure

# Above this mean overlap the scatter over repeats says little of what another draw would bring.
MOST_OVERLAP = 0.55
# Grids of c (as a multiple of the largest scatter), γ and λ, and the prior's standard deviation of γ about 1.
SCALES = np.geomspace(1e-3, 30, 40)
DECAYS = np.linspace(0.5, 1.5, 9)
LINEAR = np.linspace(0.0, 1.0, 6)
DECAY_SD = 0.5
FLOOR = 1e-3
FOLDS_CORRELATE = 0.4

_ROUNDING = 1e-12


@dataclass(frozen=True)
class Variance:
    """Variance of an estimate of E(n), in squared units of the metric; `training` is None where nothing shows it."""

    patient: float
    patient_dof: float
    training: float | None = None
    training_error: float = 0.0

    @property
    def total(self) -> float:
        """Both parts."""
        return self.patient + (self.training or 0.0)

    @property
    def dof(self) -> float:
        """Degrees of freedom after Satterthwaite 1946, doi:10.2307/3002019; at least 1."""
        error = 2 * self.patient**2 / self.patient_dof + self.training_error**2
        return max(1.0, 2 * self.total**2 / error) if error > 0 else self.patient_dof


@dataclass(frozen=True)
class TrainingSpread:
    """Posterior of s²(n) = `scale`·(n / `centre`)^-`decay` and of λ (`linear`): columns with weights."""

    scale: Float[np.ndarray, " candidate"]
    decay: Float[np.ndarray, " candidate"]
    linear: Float[np.ndarray, " candidate"]
    weight: Float[np.ndarray, " candidate"]
    centre: float

    def of_mean(self, n_train: int, overlap: float, own: float) -> tuple[float, float]:
        """Variance of an average over trials at this size, and the standard deviation of what is known of it.

        The geometric mean over candidates: the plain mean would be ruled by the slowest decays.

        `overlap` is the mean overlap over pairs of trials, each by its weight in the average; `own` is the weight that
        falls on pairs of a trial with itself.
        """
        parts = self.scale * (n_train / self.centre) ** -self.decay * (own + self.linear * overlap)
        known = parts > 0
        if not known.any():
            return 0.0, 0.0
        logs, weight = np.log(parts[known]), self.weight[known]
        middle = float(np.average(logs, weights=weight))
        spread = float(np.sqrt(np.average((logs - middle) ** 2, weights=weight)))
        return float(np.exp(middle)), float(np.exp(middle)) * spread


def patient_variance(measure: Measure) -> tuple[float, float]:
    """Variance from the test patients of the score averaged over repeats, and its degrees of freedom.

    Influences are summed by patient before squaring, so that nine images of a patient count as one patient. The degrees
    of freedom are those of the rarest class.
    """
    shares = measure.shares
    truth = np.concatenate([part.truth for part in measure.parts])
    patients = np.concatenate([part.patients for part in measure.parts])
    moved = np.concatenate(
        [share * part.influence.mean(axis=0) for share, part in zip(shares, measure.parts, strict=True)]
    )
    dof = np.inf
    for k in np.unique(truth[np.abs(moved) > _ROUNDING]):
        count = int((truth == k).sum())
        # A mean is taken off in every fold that holds the class.
        folds = sum(bool((part.truth == k).any()) for part in measure.parts)
        free = max(count - folds, 1)
        moved[truth == k] *= np.sqrt(count / free)
        dof = min(dof, free)
    _, cluster = np.unique(patients, return_inverse=True)
    return float((np.bincount(cluster, weights=moved) ** 2).sum()), float(dof)


def training_spread(measures: Mapping[int, Measure]) -> TrainingSpread | None:
    """What the scatter over repeats at all sizes says of s²(n); None where no size has repeats that tell.

    A priori γ is near 1, within .5–1.5, λ is anything, and the standard deviation is flat.
    """
    seen = [(n, part) for n, measure in measures.items() for part in measure.parts if len(part.repeats) >= 2]
    if not any(part.overlap <= MOST_OVERLAP for _, part in seen):
        return None
    sizes = np.array([n for n, _ in seen], dtype=float)
    overlaps = np.array([part.overlap for _, part in seen])
    dof = np.array([len(part.repeats) - 1 for _, part in seen])
    scatter = np.array([part.values.var(ddof=1) for _, part in seen])
    met = np.array([_meeting(part) for _, part in seen])
    largest = float(scatter.max())
    if largest == 0:
        none = np.zeros(1)
        return TrainingSpread(none, none + 1, none + 1, none + 1, 1.0)
    centre = float(np.exp(np.mean(np.log(sizes))))
    scale, decay, linear = (axis.ravel() for axis in np.meshgrid(largest * SCALES, DECAYS, LINEAR, indexing="ij"))
    spread = scale[:, None] * (sizes / centre) ** -decay[:, None]
    # Equal subsets and equal seeds scatter not at all; a floor, the same for every candidate, keeps that finite.
    expected = np.maximum(spread * (1 - linear[:, None] * overlaps), FLOOR * largest) + met
    likelihood = -0.5 * (dof * (np.log(expected) + scatter / expected)).sum(axis=1)
    # On a grid even in log c, sqrt(c) as weight makes the standard deviation flat.
    posterior = likelihood + 0.5 * np.log(scale) - 0.5 * ((decay - 1) / DECAY_SD) ** 2
    weight = np.exp(posterior - posterior.max())
    return TrainingSpread(scale, decay, linear, weight / weight.sum(), centre)


def _meeting(part: FoldMeasure) -> float:
    """Scatter over repeats that comes of which test patients meet which model."""
    apart = part.influence - part.influence.mean(axis=0)
    return float((apart**2).sum() / (len(part.repeats) - 1))


def variance_of(
    measure: Measure, n_train: int, spread: TrainingSpread | None, shared: Float[np.ndarray, "fold fold"]
) -> Variance:
    """Both parts for one metric at one size.

    `shared[k, l]` is the share of training patients that a subset of fold k has in common with one of fold l. Folds
    test the patients that other folds train on: a patient who is hard to classify tends to be a bad teacher too, so
    the two parts are correlated, by about `FOLDS_CORRELATE` in simulation.
    """
    patient, dof = patient_variance(measure)
    if spread is None:
        return Variance(patient, dof)
    shares = measure.shares
    folds = [part.fold for part in measure.parts]
    common = shared[np.ix_(folds, folds)].astype(float)
    own = 0.0
    for place, (share, part) in enumerate(zip(shares, measure.parts, strict=True)):
        own += share**2 / len(part.repeats)
        common[place, place] = part.overlap * (1 - 1 / len(part.repeats))
    training, error = spread.of_mean(n_train, float(shares @ common @ shares), own)
    if len(folds) > 1:
        training += 2 * FOLDS_CORRELATE * float(np.sqrt(patient * training))
    return Variance(patient, dof, training, error)
