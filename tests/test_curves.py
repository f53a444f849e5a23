"""Learning curves: families by hand, the likelihood against a full covariance, the sampler against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from medladder.errors import InputError
from medladder.evidence import curves
from medladder.evidence.curves import Trials, fit_curve
from medladder.evidence.families import FAMILIES, N_SHAPE, NETWORK, Prior

SIZES = (60, 120, 180, 240, 300, 360)
MEDIAN = np.zeros((1, N_SHAPE))
HALVES = Prior(asymptote=0.5, asymptote_spread=1.0, exponent=0.5, exponent_spread=0.5)


def course(n: np.ndarray, floor: float = 0.08, scale: float = 1.2, exponent: float = 0.45) -> np.ndarray:
    return 1 - floor - scale * np.asarray(n, dtype=float) ** -exponent


def measure(
    repeats: int = 5,
    *,
    noise: float = 0.02,
    shared: float = 0.5,
    seed: int = 0,
    sizes: tuple[int, ...] = SIZES,
    f=course,
) -> Trials:
    rng = np.random.default_rng(seed)
    n, repeat = np.tile(np.array(sizes, dtype=float), repeats), np.repeat(np.arange(repeats), len(sizes))
    luck = np.sqrt(shared) * rng.normal(size=repeats)[repeat] + np.sqrt(1 - shared) * rng.normal(size=len(n))
    return Trials(n, repeat, np.clip(f(n) + noise * luck, 0, 1))


# Families


def test_the_power_law_by_hand() -> None:
    """Half of the error lasts, half falls with the root of n: at four times the patients, .5 + .5 / 2."""
    power = next(family for family in FAMILIES if family.name == "power law")
    assert power.errors(MEDIAN, np.array([100.0, 400.0]), 100.0, HALVES) == pytest.approx(np.array([[1.0, 0.75]]))
    steep = np.array([[0.0, np.log(2) / 0.5, 0.0]])  # an exponent of .5 · 2 = 1
    assert power.errors(steep, np.array([400.0]), 100.0, HALVES) == pytest.approx(np.array([[0.625]]))


def test_the_others_by_hand() -> None:
    by_name = {family.name: family for family in FAMILIES}
    at = np.array([400.0])
    # d = 20: (420 / 120)^−.5; h = 30, b = .75: (1 + 3.333^.75) / (1 + 13.333^.75); exp(−3); .5 + .5 · 1.5 grown.
    for name, remaining in (
        ("POW4", 3.5**-0.5),
        ("MMF4", (1 + (10 / 3) ** 0.75) / (1 + (40 / 3) ** 0.75)),
        ("exponential", np.exp(-3.0)),
    ):
        found = by_name[name].errors(MEDIAN, at, 100.0, HALVES)
        assert found == pytest.approx(np.array([[0.5 + 0.5 * remaining]])), name
    assert by_name["falling"].errors(MEDIAN, at, 100.0, HALVES) == pytest.approx(np.array([[1.25 - 0.25 / 2]]))


@given(st.lists(st.floats(-3, 3), min_size=N_SHAPE, max_size=N_SHAPE), st.floats(20, 2000))
def test_every_family_passes_its_reference_and_is_monotone(numbers: list[float], at: float) -> None:
    sizes = at * np.geomspace(0.1, 100, 30)
    for family in FAMILIES:
        errors = family.errors(np.array([numbers]), np.append(sizes, at), at, HALVES)[0]
        assert errors[-1] == pytest.approx(1)
        steps = np.diff(errors[:-1])
        assert (steps >= -1e-9).all() if family.is_falling else (steps <= 1e-9).all()
        assert family.is_falling or (errors > 0).all()


def test_beliefs_before_any_data_add_up() -> None:
    for prior in (Prior(), NETWORK):
        assert sum(family.belief(prior) for family in FAMILIES) == pytest.approx(1)


# The likelihood


@pytest.mark.parametrize("has_one_test", [False, True])
@pytest.mark.parametrize("overlap", [0.0, 0.4])
def test_the_likelihood_is_that_of_the_whole_covariance(overlap: float, has_one_test: bool) -> None:
    """Of all trials at once: variance by size, correlation by repeat and by overlap, worked out in full."""
    trials = measure(4)
    overlaps = np.full(len(trials.score), overlap)
    trials = Trials(trials.n_train, trials.repeat, trials.score, overlaps, has_one_test=has_one_test)
    rng = np.random.default_rng(1)
    numbers = 0.5 * rng.standard_normal((6, 4 + N_SHAPE))
    numbers[:, 0] += 1.5
    family, at, prior = FAMILIES[0], trials.at, Prior()
    same_repeat = trials.repeat[:, None] == trials.repeat
    same_size = trials.n_train[:, None] == trials.n_train
    table = curves._tabulate(trials)
    found = curves._log_likelihood(family, numbers, table, prior)
    expected = []
    for row in numbers:
        one = row[None]
        mean = curves._scores(family, one, trials.n_train, at, prior)[0]
        deviation = curves._scatter(one, trials.n_train, at)[0]
        shared = float(curves._share(one, table.shared_centre)[0])
        across = np.where(same_size, 1.0, shared)
        correlation = across * np.where(same_repeat, 1.0, overlap)
        expected.append(multivariate_normal(mean, np.outer(deviation, deviation) * correlation).logpdf(trials.score))
    # Sums of the same repeats turned into means and deviations: they differ by what no parameter is in.
    assert found - found[0] == pytest.approx(np.array(expected) - expected[0], abs=1e-6)


def test_scatter_at_full_overlap_is_no_evidence() -> None:
    """Ten repeats of the same patients that agree to the last digit do not say that luck is small."""
    trials = measure(10, sizes=(100, 200, 400))
    overlap = np.where(trials.n_train == 400, 1.0, 0.0)
    agreed = np.where(trials.n_train == 400, 0.8, trials.score)
    sure = fit_curve(Trials(trials.n_train, trials.repeat, agreed), seed=1)
    told = fit_curve(Trials(trials.n_train, trials.repeat, agreed, overlap), seed=1)
    assert np.std(told.expected([400])) > 1.25 * np.std(sure.expected([400]))
    assert np.median(told.scatter([400])) > 0.01


def test_evidence_is_that_of_brute_force() -> None:
    trials = measure(2, sizes=(100, 200))
    table, rng = curves._tabulate(trials), np.random.default_rng(5)
    for family in (FAMILIES[0], FAMILIES[-1]):
        numbers = rng.standard_normal((100_000, 4 + N_SHAPE))
        numbers[:, 0] += np.log(table.level / (1 - table.level))
        likelihood = curves._log_likelihood(family, numbers, table, Prior())
        brute = logsumexp(likelihood) - np.log(len(likelihood))
        sampled = np.mean([curves._sample(family, table, Prior(), 1500, np.random.default_rng(s))[1] for s in range(4)])
        assert sampled == pytest.approx(brute, abs=0.15)


# The curve


def test_the_same_seed_gives_the_same_curve() -> None:
    one, again, other = (fit_curve(measure(), seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.expected([720]), again.expected([720]))
    assert one.beliefs == again.beliefs
    assert not np.array_equal(one.expected([720]), other.expected([720]))


def test_many_repeats_find_the_course() -> None:
    curve = fit_curve(measure(60, noise=0.01))
    for n in (60, 360, 720):
        expected = curve.expected([n])
        assert np.median(expected) == pytest.approx(float(course(n)), abs=0.01)
    assert curve.scatter([360]).mean() == pytest.approx(0.01, rel=0.2)
    assert curve.shared.mean() == pytest.approx(0.5, abs=0.15)


def test_more_repeats_narrow_it() -> None:
    few, many = (np.std(fit_curve(measure(repeats, seed=3)).expected([720])) for repeats in (3, 48))
    assert many < 0.5 * few


def test_beliefs_are_shares_and_draws_are_scores() -> None:
    curve = fit_curve(measure())
    assert sum(curve.beliefs.values()) == pytest.approx(1)
    draws = curve.expected([10, 360, 1e6])
    assert draws.shape == (curves.PARTICLES, 3)
    assert ((draws > 0) & (draws < 1)).all()
    assert (curve.scatter([10, 360]) > 0).all()


@settings(max_examples=8, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([20.0, 50.0, 400.0]), st.integers(0, 3), st.floats(0, 1)), min_size=2, max_size=20
    )
)
def test_any_scores_at_two_sizes_make_a_curve(rows: list[tuple[float, int, float]]) -> None:
    n, repeat, score = (np.array(column) for column in zip(*rows, strict=True))
    if len(set(n.tolist())) < 2:
        return
    curve = fit_curve(Trials(n, repeat, score), particles=100)
    assert np.isfinite(curve.expected([20, 4000])).all()


@pytest.mark.parametrize(
    ("n", "score", "found"),
    [
        ([], [], "No score at all"),
        ([60.0, 60.0], [0.7, 0.8], "A single size, 60"),
        ([60.0, 120.0], [0.7, np.nan], "1 of 2 scores are not from 0 to 1"),
        ([60.0, 120.0], [0.7, 1.2], "1 of 2 scores are not from 0 to 1; the first is 1.2"),
        ([0.0, 120.0], [0.7, 0.8], "A size of 0"),
    ],
)
def test_what_is_no_curve_is_refused(n: list[float], score: list[float], found: str) -> None:
    with pytest.raises(InputError, match=found):
        Trials(np.array(n), np.zeros(len(n), dtype=int), np.array(score))


def test_repeats_scored_on_the_same_patients_do_not_bend_the_curve_away_from_its_points() -> None:
    """Three repeats of an SVM on PneumoniaMNIST: what sizes share cannot excuse missing all of them by .06."""
    scores = np.array(
        [
            [0.9193, 0.9525, 0.9496, 0.9590, 0.9664, 0.9683],
            [0.9030, 0.9080, 0.9415, 0.9636, 0.9689, 0.9683],
            [0.8716, 0.8932, 0.9422, 0.9553, 0.9679, 0.9683],
        ]
    )
    sizes = np.array([32.0, 89, 246, 681, 1888, 5232])
    overlap = np.tile(sizes / 5232, 3)
    trials = Trials(np.tile(sizes, 3), np.repeat(np.arange(3), 6), scores.ravel(), overlap, has_one_test=True)
    fitted = fit_curve(trials).expected(sizes).mean(axis=0)
    assert np.abs(fitted - scores.mean(axis=0)).max() < 0.02
