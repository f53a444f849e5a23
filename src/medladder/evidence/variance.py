"""How far an averaged score may be from E(n): what the test patients bring, and what the training draw brings.

The law of total variance parts the two: given the models, the score averaged over repeats varies with the test
patients; over models, its expectation varies with the training patients drawn, by s²(n) for one model. Two models that
share a part f of their training patients correlate by λ·(f + f²)/2: what single patients teach goes with f, what pairs
of them teach with f², and λ < 1 where thresholds are searched for or seeds matter.

s²(n) = c·n^-γ and λ show in the scatter over repeats of all sizes: its expectation is s²(n)·(1 - λ·(f + f²)/2), and
what the meeting of test patients and models adds, which the influences' own scatter tells. Few repeats settle little:
c, γ and λ are averaged over their posterior on a grid, with a prior that drawn cohorts have taught (`SpreadPrior`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from .metrics import FoldMeasure, Measure

# Above this mean overlap the scatter over repeats says little of what another draw would bring.
MOST_OVERLAP = 0.55


@dataclass(frozen=True)
class SpreadPrior:
    """What the training draw brought on the drawn populations of honesty/spreads.py, none of which is scored.

    `ratio` is the median of s²(n) over the variance that one model's score would have if it were tested on n patients,
    which ties s² to what the score can spread by at that n; `ratio_sd` is the standard deviation of its logarithm. γ is
    near `decay`, λ near `linear`. Of what two models share, the part `singly` is taught by single patients. In folds,
    what the test patients bring and what the same patients taught other folds' models correlate by `alike` where
    subsets overlap little, and by `alike_whole` where each is all there is.
    """

    ratio: float
    ratio_sd: float
    decay: float
    decay_sd: float
    linear: float
    linear_sd: float
    singly: float
    alike: float
    alike_whole: float


WHOLE = SpreadPrior(
    ratio=0.2,
    ratio_sd=0.9,
    decay=1.5,
    decay_sd=0.4,
    linear=0.7,
    linear_sd=0.4,
    singly=0.4,
    alike=0.67,
    alike_whole=-0.05,
)
# A share of one class moves with the threshold, which trades one class for the other.
ONE_CLASS = SpreadPrior(
    ratio=2.3,
    ratio_sd=0.7,
    decay=0.9,
    decay_sd=0.25,
    linear=0.3,
    linear_sd=0.2,
    singly=0.2,
    alike=-0.12,
    alike_whole=-0.27,
)
# Above this part of the class weights a measure is taken for a share of one class.
ONE_SIDED = 0.85

RATIOS = np.linspace(-3.0, 4.0, 29)
DECAYS = np.linspace(-2.0, 2.0, 7)
LINEAR = np.linspace(0.0, 1.0, 7)
FLOOR = 1e-3

# How much more the folds' test patients bring together than apart: each is tested by models that the others taught.
FOLDS_MEET = 1.18

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
    prior: SpreadPrior

    def of_mean(self, n_train: int, alike: float, own: float) -> Float[np.ndarray, " candidate"]:
        """Variance of an average over trials at this size, a candidate each.

        `alike` is the mean of (f + f²)/2 over pairs of trials, each by its weight in the average; `own` is the weight
        that falls on pairs of a trial with itself.
        """
        return self.scale * (n_train / self.centre) ** -self.decay * (own + self.linear * alike)


def patient_variance(measure: Measure) -> tuple[float, float]:
    """Variance from the test patients of the score averaged over repeats, and its degrees of freedom.

    Influences are summed by patient before squaring, so that nine images of a patient count as one patient. The degrees
    of freedom are Welch's, over the classes.
    """
    shares = measure.shares
    truth = np.concatenate([part.truth for part in measure.parts])
    patients = np.concatenate([part.patients for part in measure.parts])
    moved = np.concatenate(
        [share * part.influence.mean(axis=0) for share, part in zip(shares, measure.parts, strict=True)]
    )
    by_class, free = [], []
    for k in np.unique(truth[np.abs(moved) > _ROUNDING]):
        count = int((truth == k).sum())
        # A mean is taken off in every fold that holds the class.
        folds = sum(bool((part.truth == k).any()) for part in measure.parts)
        free.append(max(count - folds, 1))
        moved[truth == k] *= np.sqrt(count / free[-1])
        by_class.append(float((moved[truth == k] ** 2).sum()))
    _, cluster = np.unique(patients, return_inverse=True)
    dof = sum(by_class) ** 2 / sum(part**2 / n for part, n in zip(by_class, free, strict=True)) if free else np.inf
    return float((np.bincount(cluster, weights=moved) ** 2).sum()), float(dof)


def training_spread(measures: Mapping[int, Measure]) -> TrainingSpread | None:
    """What the scatter over repeats at all sizes says of s²(n); None where no size has repeats that tell."""
    seen = [(n, part) for n, measure in measures.items() for part in measure.parts if len(part.repeats) >= 2]
    if not any(part.overlap <= MOST_OVERLAP for _, part in seen):
        return None
    sizes = np.array([n for n, _ in seen], dtype=float)
    prior = _prior_of([part for _, part in seen])
    alike = np.array([_alike_within(part, prior) for _, part in seen])
    dof = np.array([len(part.repeats) - 1 for _, part in seen])
    scatter = np.array([part.values.var(ddof=1) for _, part in seen])
    met = np.array([_meeting(part) for _, part in seen])
    centre = float(np.exp(np.mean(np.log(sizes))))
    unit = float(np.exp(np.mean([np.log(_unit(part, n)) for n, part in seen])))
    ratio, decay, linear = (axis.ravel() for axis in np.meshgrid(RATIOS, DECAYS, LINEAR, indexing="ij"))
    scale = unit * prior.ratio * np.exp(prior.ratio_sd * ratio)
    exponent = np.maximum(prior.decay + prior.decay_sd * decay, 0.0)
    spread = scale[:, None] * (sizes / centre) ** -exponent[:, None]
    # Equal subsets and equal seeds scatter not at all; a floor, the same for every candidate, keeps that finite.
    floor = FLOOR * max(float(scatter.max()), unit * prior.ratio)
    expected = np.maximum(spread * (1 - linear[:, None] * alike), floor) + met
    likelihood = -0.5 * (dof * (np.log(expected) + scatter / expected)).sum(axis=1)
    apart = (linear - prior.linear) / prior.linear_sd
    posterior = likelihood - 0.5 * (ratio**2 + decay**2 + apart**2)
    weight = np.exp(posterior - posterior.max())
    return TrainingSpread(scale, exponent, linear, weight / weight.sum(), centre, prior)


def _alike_within(part: FoldMeasure, prior: SpreadPrior) -> float:
    """Correlation of two repeats of a fold, λ apart."""
    mean = part.overlap
    # Windows on a ring: with more than three repeats, near ones share much and far ones little, which the mean hides.
    square = mean * (1 + mean) / 2 if len(part.repeats) > 3 else mean**2
    return prior.singly * mean + (1 - prior.singly) * square


def _meeting(part: FoldMeasure) -> float:
    """Scatter over repeats that comes of which test patients meet which model."""
    apart = part.influence - part.influence.mean(axis=0)
    return float((apart**2).sum() / (len(part.repeats) - 1))


def _unit(part: FoldMeasure, n_train: int) -> float:
    """Variance of one model's score if it were tested on as many patients as it was trained on.

    In each class one more patient is imagined who moves the score a little, so that it is never 0.
    """
    counts = np.unique(part.truth, return_counts=True)[1]
    imagined = float(((0.25 / (counts + 2)) ** 2).sum())
    return (float((part.influence**2).sum(axis=1).mean()) + imagined) * len(np.unique(part.patients)) / n_train


def _prior_of(parts: list[FoldMeasure]) -> SpreadPrior:
    """By whether the measure rests on one class alone, or nearly."""
    weights: dict[int, float] = {}
    for part in parts:
        for k in np.unique(part.truth):
            here = part.truth == k
            moved = float((part.influence[:, here] ** 2).sum() * here.sum())
            weights[int(k)] = weights.get(int(k), 0.0) + moved / len(part.repeats)
    total = sum(weights.values())
    return ONE_CLASS if total > 0 and max(weights.values()) > ONE_SIDED * total else WHOLE


def variance_of(
    measure: Measure, n_train: int, spread: TrainingSpread | None, shared: Float[np.ndarray, "fold fold"]
) -> Variance:
    """Both parts for one metric at one size.

    `shared[k, l]` is the share of training patients that a subset of fold k has in common with one of fold l. Folds
    test the patients that other folds train on: a patient who is hard to classify tends to be a bad teacher too, so
    the two parts are correlated (`SpreadPrior.alike`); their covariance counts as training.
    """
    patient, dof = patient_variance(measure)
    if spread is None:
        return Variance(patient, dof)
    shares = measure.shares
    folds = [part.fold for part in measure.parts]
    common = shared[np.ix_(folds, folds)].astype(float)
    np.fill_diagonal(common, [part.overlap for part in measure.parts])
    singly = spread.prior.singly
    alike = singly * common + (1 - singly) * common**2
    pairs = np.array([1 / len(part.repeats) for part in measure.parts])
    own = float(shares**2 @ pairs)
    within = np.array([_alike_within(part, spread.prior) for part in measure.parts])
    np.fill_diagonal(alike, within * (1 - pairs))
    training = spread.of_mean(n_train, float(shares @ alike @ shares), own)
    total = patient + training
    if len(folds) > 1:
        whole = min(float(shares @ common @ shares), 1.0)
        correlation = spread.prior.alike + (spread.prior.alike_whole - spread.prior.alike) * whole
        total = total + (FOLDS_MEET - 1) * patient + 2 * correlation * np.sqrt(patient * training)
    return _matched(patient, dof, total, spread.weight)


def _matched(
    patient: float, dof: float, total: Float[np.ndarray, " candidate"], weight: Float[np.ndarray, " candidate"]
) -> Variance:
    """The inverse gamma nearest to a posterior of the variance: Student's t is the normal mixed over that.

    Its harmonic mean is the variance, and its logarithm's variance, trigamma(dof / 2), gives the degrees of freedom.
    """
    logs = np.log(np.maximum(total, _ROUNDING**2))
    middle = float(-np.log(np.average(np.exp(logs.max() - logs), weights=weight)) + logs.max())
    centre = float(np.average(logs, weights=weight))
    apart = float(np.average((logs - centre) ** 2, weights=weight))
    training = max(float(np.exp(middle)) - patient, 0.0)
    half = (1 + np.sqrt(1 + 2 * apart)) / (2 * apart) if apart > _ROUNDING else np.inf
    return Variance(patient, dof, training, float((patient + training) * np.sqrt(1 / half)))
