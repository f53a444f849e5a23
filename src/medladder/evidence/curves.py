"""A learning curve fitted to the scores of repeats at several sizes, by Bayes' rule over families of curves.

The score of repeat r at n patients is f(n) + √v(n) · luck, with v(n) = σ² · (n / at)^−γ. Luck correlates by ρ between
sizes of one repeat, and by the overlap of their patients between repeats of one size: what all repeats share cannot be
seen in their scatter, and is no evidence. Families of f are weighed by theirs.

Every number is drawn by a sequential Monte Carlo sampler from the prior to the posterior (Del Moral et al. 2006,
doi:10.1111/j.1467-9868.2006.00553.x), which finds several modes and yields each family's evidence with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.special import expit, logit, ndtr

from ..errors import InputError
from .families import FAMILIES, N_SHAPE, Family, Prior

PARTICLES = 1500
KEPT_SHARE = 0.5
"""The next step toward the posterior is as long as leaves this share of the draws effective."""
MOVES = 4
MOST_OVERLAP = 0.55
"""Above it the scatter over repeats says little of what other patients would bring (see `variance`)."""
SEED = 0x1EA2

_LEVEL, _NOISE, _DECAY, _SHARED = range(4)
_N_COMMON = 4
# Before any score: log odds about today's level; standard deviation of a score at the largest size; its decay with n,
# uniform from 0; and the log odds of the share of luck that a repeat has at all sizes alike: with test patients of its
# own nearly all, which its sizes share; with everyone's test patients as much as its nested subsets share.
_LEVEL_SPREAD = 1.0
_NOISE_MEDIAN, _NOISE_SPREAD = 0.03, 0.7
_DECAY_MOST = 1.2
_SHARED_CENTRE, _SHARED_SPREAD = 2.5, 0.7
_NESTED_CENTRE = -1.0
_LEAST, _MOST = 1e-4, 1 - 1e-6


Sizes = Sequence[float] | Float[np.ndarray, " size"]


@dataclass(frozen=True, eq=False)
class Trials:
    """Scores of one curve: one a size and repeat, 0–1, where 1 is perfect."""

    n_train: Float[np.ndarray, " trial"]
    repeat: Int[np.ndarray, " trial"]
    score: Float[np.ndarray, " trial"]
    overlap: Float[np.ndarray, " trial"] | None = None
    """Mean share of the trial's training patients that another repeat of its size has too, 0–1; None: no share."""
    has_one_test: bool = False
    """All repeats were scored on the same test patients, whose luck then does not show between repeats."""

    def __post_init__(self) -> None:
        """Refuse what is no curve.

        Raises
        ------
        InputError
            No score, a single size, a size below 1, or a score that is no number from 0 to 1.
        """
        sizes = np.unique(self.n_train)
        wrong = ~((self.score >= 0) & (self.score <= 1))  # true of NaN
        if not len(self.score):
            found = "No score at all."
        elif wrong.any():
            found = (
                f"{wrong.sum():,} of {len(wrong):,} scores are not from 0 to 1; the first is {self.score[wrong][0]}."
            )
        elif not (sizes >= 1).all() or not np.isfinite(sizes).all():
            found = f"A size of {sizes[~(sizes >= 1)][0] if not (sizes >= 1).all() else sizes[-1]} training patients."
        elif len(sizes) < 2:
            found = f"A single size, {sizes[0]:g} training patients."
        else:
            return
        raise InputError(
            found=found,
            needed="Scores from 0 to 1 at two sizes or more, 1 being perfect: a curve has a course.",
            do="Correct the scores, or measure at a smaller number of patients as well.",
        )

    @property
    def at(self) -> float:
        """The reference size: the largest."""
        return float(self.n_train.max())


@dataclass(frozen=True, eq=False)
class Curve:
    """Draws from the posterior, the families in the share that their evidence gives them."""

    at: float
    sizes: tuple[int, ...]
    prior: Prior
    beliefs: dict[str, float]
    """Share of each family, 0–1."""
    parts: tuple[tuple[Family, Float[np.ndarray, "_ parameter"]], ...]
    shared_centre: float = _SHARED_CENTRE
    """Log odds, before any score, of the share of a repeat's luck that it has at all sizes alike."""

    def expected(self, sizes: Sizes) -> Float[np.ndarray, "draw size"]:
        """E(n), the mean over endlessly many repeats: a draw of the posterior a row."""
        asked = np.asarray(sizes, dtype=np.float64)
        return np.concatenate([_scores(family, numbers, asked, self.at, self.prior) for family, numbers in self.parts])

    def scatter(self, sizes: Sizes) -> Float[np.ndarray, "draw size"]:
        """Standard deviation of one repeat about E(n)."""
        asked = np.asarray(sizes, dtype=np.float64)
        return np.concatenate([_scatter(numbers, asked, self.at) for _, numbers in self.parts])

    @property
    def shared(self) -> Float[np.ndarray, " draw"]:
        """Share, 0–1, of a repeat's scatter that it has at all sizes alike."""
        return np.concatenate([_share(numbers, self.shared_centre) for _, numbers in self.parts])


def fit_curve(trials: Trials, *, prior: Prior | None = None, particles: int = PARTICLES, seed: int = SEED) -> Curve:
    """Draw from the posterior of the curve; the same numbers for the same seed."""
    prior = prior or Prior()
    rng = np.random.default_rng(seed)
    table = _tabulate(trials)
    drawn, evidences = [], []
    for family in FAMILIES:
        numbers, evidence = _sample(family, table, prior, particles, rng)
        drawn.append(numbers)
        evidences.append(evidence + np.log(family.belief(prior)))
    beliefs = np.exp(np.array(evidences) - _log_sum(np.array(evidences)))
    counts = _apportion(beliefs, particles)
    parts = [
        (family, numbers[rng.choice(particles, count, replace=False)])
        for family, numbers, count in zip(FAMILIES, drawn, counts, strict=True)
        if count
    ]
    return Curve(
        trials.at,
        tuple(int(n) for n in np.unique(trials.n_train)),
        prior,
        {family.name: float(belief) for family, belief in zip(FAMILIES, beliefs, strict=True)},
        tuple(parts),
        table.shared_centre,
    )


def _apportion(shares: Float[np.ndarray, " family"], n: int) -> list[int]:
    """Whole numbers that add up to n, by largest remainder."""
    whole = np.floor(shares * n).astype(int)
    short = n - whole.sum()
    whole[np.argsort(whole - shares * n)[:short]] += 1
    return whole.tolist()


@dataclass(frozen=True, eq=False)
class _Table:
    """Means over repeats a size, and the products of deviations from them, summed over repeats.

    `own` is the share of the luck's variance that a mean keeps; `free` says how many repeats tell of scatter.
    """

    sizes: Float[np.ndarray, " size"]
    at: float
    means: Float[np.ndarray, " size"]
    own: Float[np.ndarray, " size"]
    scattered: Float[np.ndarray, " told"]
    products: Float[np.ndarray, "told told"]
    free: float
    level: float
    shared_centre: float


def _tabulate(trials: Trials) -> _Table:
    sizes, column = np.unique(trials.n_train, return_inverse=True)
    repeats, row = np.unique(trials.repeat, return_inverse=True)
    sums, counts = (np.zeros((len(repeats), len(sizes))) for _ in range(2))
    np.add.at(sums, (row, column), trials.score)
    np.add.at(counts, (row, column), 1)
    there = counts > 0
    scores = np.where(there, sums / np.maximum(counts, 1), np.nan)  # several of one repeat and size count as one
    n = there.sum(axis=0)
    means = np.nanmean(scores, axis=0)
    overlap = np.zeros(len(sizes))
    if trials.overlap is not None:
        overlap = np.bincount(column, trials.overlap) / np.bincount(column)
    tells = (overlap <= MOST_OVERLAP) & (n > 1)
    # A trial that is missing is set to its size's mean: it then tells nothing, and adds no freedom.
    away = np.where(there, scores - means, 0.0)[:, tells] / np.sqrt(1 - overlap[tells])
    free = float((n[tells] - 1).mean()) if tells.any() else 0.0
    level = float(np.clip(means[-1], 0.005, 0.995))
    return _Table(
        sizes.astype(np.float64), float(sizes[-1]), means, overlap + (1 - overlap) / n, sizes[tells].astype(np.float64),
        away.T @ away, free, level, _NESTED_CENTRE if trials.has_one_test else _SHARED_CENTRE,
    )  # fmt: skip


def _scores(
    family: Family, numbers: Float[np.ndarray, "draw parameter"], sizes: Float[np.ndarray, " size"], at: float,
    prior: Prior,
) -> Float[np.ndarray, "draw size"]:  # fmt: skip
    error = expit(-numbers[:, _LEVEL])[:, None]
    shares = family.errors(numbers[:, _N_COMMON:], sizes, at, prior)
    return np.clip(1 - error * shares, _LEAST, _MOST)


def _scatter(
    numbers: Float[np.ndarray, "draw parameter"], sizes: Float[np.ndarray, " size"], at: float
) -> Float[np.ndarray, "draw size"]:
    deviation = _NOISE_MEDIAN * np.exp(_NOISE_SPREAD * numbers[:, _NOISE])
    decay = _DECAY_MOST * ndtr(numbers[:, _DECAY])
    return np.asarray(deviation[:, None] * (sizes / at) ** (-decay[:, None] / 2))


def _share(numbers: Float[np.ndarray, "draw parameter"], centre: float) -> Float[np.ndarray, " draw"]:
    return np.asarray(expit(centre + _SHARED_SPREAD * numbers[:, _SHARED]))


def _log_likelihood(
    family: Family, numbers: Float[np.ndarray, "draw parameter"], table: _Table, prior: Prior
) -> Float[np.ndarray, " draw"]:
    """Of the means, and of the scatter about them: for normal scores they are independent."""
    shared = _share(numbers, table.shared_centre)
    away = table.means - _scores(family, numbers, table.sizes, table.at, prior)
    deviations = _scatter(numbers, table.sizes, table.at) * np.sqrt(table.own)
    away = away / deviations
    total = _log_normal((away**2).sum(axis=1), away.sum(axis=1) ** 2, deviations, shared, 1.0)
    if table.free:
        deviations = _scatter(numbers, table.scattered, table.at)
        inverse = 1 / deviations
        squares = (inverse**2) @ np.diag(table.products)
        sums = np.einsum("di,ij,dj->d", inverse, table.products, inverse, optimize=True)
        total += _log_normal(squares, sums, deviations, shared, table.free)
    return total


def _log_normal(
    squares: Float[np.ndarray, " draw"],
    sums: Float[np.ndarray, " draw"],
    deviations: Float[np.ndarray, "draw size"],
    shared: Float[np.ndarray, " draw"],
    times: float,
) -> Float[np.ndarray, " draw"]:
    """Normal log density of so many vectors whose numbers correlate by `shared`.

    `squares` are the sums of squares of the standardised numbers, `sums` the squares of their sums, added over vectors.
    """
    n = deviations.shape[1]
    own, together = 1 - shared, 1 + (n - 1) * shared
    spread = 2 * np.log(deviations).sum(axis=1) + (n - 1) * np.log(own) + np.log(together) + n * np.log(2 * np.pi)
    return np.asarray(-0.5 * ((squares - shared * sums / together) / own + times * spread))


def _log_prior(numbers: Float[np.ndarray, "draw parameter"], table: _Table) -> Float[np.ndarray, " draw"]:
    centred = numbers.copy()
    centred[:, _LEVEL] = (numbers[:, _LEVEL] - logit(table.level)) / _LEVEL_SPREAD
    return np.asarray(-0.5 * (centred**2).sum(axis=1))


def _sample(
    family: Family, table: _Table, prior: Prior, particles: int, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "draw parameter"], float]:
    """Draws of one family's posterior and the logarithm of its evidence."""
    n_numbers = _N_COMMON + N_SHAPE
    numbers = rng.standard_normal((particles, n_numbers))
    numbers[:, _LEVEL] = logit(table.level) + _LEVEL_SPREAD * numbers[:, _LEVEL]
    likelihood = _log_likelihood(family, numbers, table, prior)
    evidence, heat, scale = 0.0, 0.0, 2.38 / np.sqrt(n_numbers)
    while heat < 1:
        step = _longest_step(likelihood, 1 - heat)
        weights = step * likelihood
        evidence += _log_sum(weights) - np.log(particles)
        heat = 1.0 if step == 1 - heat else heat + step
        chosen = _resample(np.exp(weights - _log_sum(weights)), rng)
        numbers, likelihood = numbers[chosen], likelihood[chosen]
        root = np.linalg.cholesky(np.cov(numbers.T) + 1e-9 * np.eye(n_numbers))
        before = _log_prior(numbers, table)
        for _ in range(MOVES if heat < 1 else 2 * MOVES):
            moved = numbers + scale * rng.standard_normal(numbers.shape) @ root.T
            there, after = _log_likelihood(family, moved, table, prior), _log_prior(moved, table)
            accepted = np.log(rng.random(particles)) < heat * (there - likelihood) + after - before
            numbers[accepted], likelihood[accepted], before[accepted] = (
                moved[accepted],
                there[accepted],
                after[accepted],
            )
            scale *= float(np.exp(accepted.mean() - 0.25))
    return numbers, evidence


def _longest_step(likelihood: Float[np.ndarray, " draw"], most: float) -> float:
    """How far the likelihood may be heated so that `KEPT_SHARE` of the draws stay effective; by bisection."""

    def kept(step: float) -> float:
        weights = step * likelihood
        return float(np.exp(2 * _log_sum(weights) - _log_sum(2 * weights))) / len(likelihood)

    if kept(most) >= KEPT_SHARE:
        return most
    low, high = 0.0, most
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if kept(middle) >= KEPT_SHARE else (low, middle)
    return max(low, 1e-12)


def _log_sum(logs: Float[np.ndarray, " draw"]) -> float:
    """Logarithm of a sum of exponentials; scipy's own spends twenty times as long on kinds of arrays."""
    most = logs.max()
    return float(most + np.log(np.exp(logs - most).sum()))


def _resample(weights: Float[np.ndarray, " draw"], rng: np.random.Generator) -> Int[np.ndarray, " draw"]:
    """Systematic resampling: each draw as often as its weight asks, give or take one."""
    n = len(weights)
    places = (rng.random() + np.arange(n)) / n
    return np.minimum(np.searchsorted(np.cumsum(weights), places), n - 1)
