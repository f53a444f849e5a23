"""Metrics, variances and intervals against numbers worked by hand, scikit-learn, and laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss, roc_auc_score

from medladder.evidence.intervals import (
    Interval,
    auroc_interval,
    difference_interval,
    hanley_mcneil,
    joined_interval,
    mean_interval,
    proportion_interval,
    wilson_interval,
)
from medladder.evidence.measures import Measures
from medladder.evidence.metrics import auroc, brier_terms, log_loss_terms
from medladder.evidence.points import weigh_metrics
from medladder.evidence.scores import FoldScores
from medladder.evidence.variance import Variance, patient_variance, training_spread, variance_of

ALONE = np.ones((1, 1))


def fold_of(scores, truth, *, patients=None, cut=0.5, overlap=0.0) -> FoldScores:
    """Binary scores `(repeat, unit)` as one fold."""
    scores, truth = np.atleast_2d(np.asarray(scores, dtype=float)), np.asarray(truth)
    patients = np.arange(len(truth)) if patients is None else np.asarray(patients)
    both = np.stack([1 - scores, scores], axis=2)
    return FoldScores(0, np.arange(len(scores)), overlap, both, (scores >= cut).astype(int), truth, patients)


def weigh_one(fold: FoldScores):
    return weigh_metrics({100: Measures((fold,))}, {100: ALONE})[100]


def gaussian(rng: np.random.Generator, n: int, repeats: int = 1) -> tuple[np.ndarray, np.ndarray]:
    truth = np.arange(n) % 2
    z = truth + rng.standard_normal(n) + 0.3 * rng.standard_normal((repeats, n))
    return 1 / (1 + np.exp(0.5 - z)), truth


def test_auroc_and_delong_variance_by_hand():
    # Positives .8 .4, negatives .6 .2 .4: .8 wins 3 pairs; .4 loses to .6, wins over .2, ties .4: (3 + 1.5) / 6.
    scores, truth = [0.8, 0.4, 0.6, 0.2, 0.4], [1, 1, 0, 0, 0]
    values, influence = auroc(np.array([scores]), np.array(truth, dtype=bool))
    assert values[0] == pytest.approx(0.75)
    # Placements: positives 1, .5; negatives (.5, 1, .75). S10 = .125, S01 = .0625; variance = .125/2 + .0625/3.
    assert influence[0] == pytest.approx([0.125, -0.125, -0.25 / 3, 0.25 / 3, 0])
    variance, _ = patient_variance(Measures((fold_of(scores, truth),)).auroc)
    assert variance == pytest.approx(0.125 / 2 + 0.0625 / 3)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40))
def test_auroc_is_scikit_learns_ties_included(pairs):
    scores, truth = (np.array(column) for column in zip(*pairs, strict=True))
    if truth.all() or not truth.any():
        return
    values, influence = auroc(scores[None, :].astype(float), truth)
    assert values[0] == pytest.approx(roc_auc_score(truth, scores))
    assert influence.sum() == pytest.approx(0, abs=1e-12)


def test_macro_auroc_is_scikit_learns():
    rng = np.random.default_rng(0)
    probabilities, truth = rng.dirichlet([1, 1, 1], size=60), np.arange(60) % 3
    found = Measures((FoldScores(0, np.arange(1), 0.0, probabilities[None], truth[None], truth, np.arange(60)),))
    assert found.auroc.estimate == pytest.approx(roc_auc_score(truth, probabilities, multi_class="ovr"))
    for k, area in enumerate(found.areas):
        assert area.estimate == pytest.approx(roc_auc_score(truth == k, probabilities[:, k]))


def test_log_loss_is_scikit_learns_and_finite():
    rng = np.random.default_rng(0)
    probabilities, truth = rng.dirichlet([1, 1, 1], size=60), np.arange(60) % 3
    assert log_loss_terms(probabilities[None], truth).mean() == pytest.approx(log_loss(truth, probabilities))
    assert np.isfinite(log_loss_terms(np.array([[[1.0, 0.0]]]), np.array([1]))).all()


def test_brier_by_hand():
    p = np.array([[[0.2, 0.8], [0.6, 0.4]]])
    assert brier_terms(p, np.array([1, 1]))[0] == pytest.approx([0.04, 0.36])
    # Three classes: .5² + .3² + .2² with y = 0.
    assert brier_terms(np.array([[[0.5, 0.3, 0.2]]]), np.array([0]))[0] == pytest.approx([0.25 + 0.09 + 0.04])


def test_wilson_by_hand():
    # 8 of 10, z = 1.96: middle (.8 + .19208) / 1.38416, half 1.96·sqrt(.016 + .0096040) / 1.38416.
    interval = wilson_interval(0.8, 10, quantile=1.96)
    assert (interval.low, interval.high) == pytest.approx((0.49016, 0.94330), abs=1e-4)
    assert wilson_interval(1.0, 10).low == pytest.approx(10 / (10 + 1.959964**2))


def test_hanley_mcneil_by_hand():
    # θ = .5, 2 and 2 units: .25·(1 + 1·(1/3 + 1/3)) / 4.
    assert hanley_mcneil(0.5, 2, 2) == pytest.approx(0.25 * (1 + 2 / 3) / 4)
    assert hanley_mcneil(1.0, 5, 7) == 0


def test_complete_separation_keeps_a_width():
    found = weigh_one(fold_of([0.9] * 20 + [0.1] * 20, [1] * 20 + [0] * 20))
    for name in ("auroc", "balanced_accuracy", "accuracy"):
        assert found.metrics[name].estimate == found.metrics[name].high == 1
        assert 0.7 < found.metrics[name].low < 0.97
    brier = found.metrics["brier"]
    assert brier.low < brier.estimate < brier.high


def test_a_rung_that_tells_nobody_apart_scores_exactly_one_half():
    found = weigh_one(fold_of(np.full((3, 20), 0.3), np.arange(20) % 2))
    assert found.metrics["auroc"] == Interval(0.5, 0.5, 0.5)


shares = st.floats(0, 1)
variances = st.builds(Variance, st.floats(0, 0.1), st.floats(1, 500), st.none() | st.floats(0, 0.1), st.floats(0, 0.1))


@settings(max_examples=300)
@given(shares, st.integers(1, 500), st.integers(1, 500), variances)
def test_every_interval_holds_its_estimate_and_stays_in_range(share, m, n, variance):
    found = [
        (proportion_interval(share, m, variance, confidence=0.95), 0, 1),
        (auroc_interval(share, m, n, variance, confidence=0.95), 0, 1),
        (mean_interval(2 * share, m, 2.0, variance, confidence=0.95), 0, 2),
        (difference_interval(2 * share - 1, (m, n), variance, confidence=0.99), -1, 1),
    ]
    halves = [found[0][0], wilson_interval(1 - share, n)]
    found.append((joined_interval(halves, variance.training, 2.0), 0, 1))
    for interval, bottom, top in found:
        assert bottom <= interval.low <= interval.estimate <= interval.high <= top
        assert interval.high > interval.low


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 9))
def test_m_times_the_independent_patients_narrow_every_interval_by_the_root_of_m(seed, m):
    scores, truth = gaussian(np.random.default_rng(seed), 400)
    once, more = (weigh_one(fold_of(np.tile(scores, k), np.tile(truth, k))).metrics for k in (1, m))
    # The calibration error has a bias that falls with the patients; the operating points' slope is over a window.
    for name in (
        "auroc",
        "average_precision",
        "balanced_accuracy",
        "accuracy",
        "sensitivity",
        "f1",
        "brier",
        "log_loss",
    ):
        narrowed = (once[name].high - once[name].low) / (more[name].high - more[name].low)
        assert narrowed == pytest.approx(np.sqrt(m), rel=0.1), name


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 9))
def test_copies_of_each_patient_narrow_nothing(seed, m):
    scores, truth = gaussian(np.random.default_rng(seed), 100)
    copied = fold_of(np.tile(scores, m), np.tile(truth, m), patients=np.tile(np.arange(100), m))
    once, more = weigh_one(fold_of(scores, truth)).metrics, weigh_one(copied).metrics
    for name in (
        "auroc",
        "average_precision",
        "balanced_accuracy",
        "accuracy",
        "sensitivity",
        "f1",
        "brier",
        "log_loss",
    ):
        assert more[name].high - more[name].low > 0.93 * (once[name].high - once[name].low), name


def test_patients_in_two_classes_count_once():
    scores, truth = gaussian(np.random.default_rng(2), 40)
    apart, _ = patient_variance(Measures((fold_of(scores, truth),)).accuracy)
    # Two units of one patient that are right and wrong together: squares of sums, not sums of squares.
    both = fold_of(np.full((1, 4), 0.7), [0, 1, 0, 1], patients=[0, 0, 1, 1])
    paired, _ = patient_variance(Measures((both,)).accuracy)
    alone, _ = patient_variance(Measures((fold_of(np.full((1, 4), 0.7), [0, 1, 0, 1]),)).accuracy)
    assert apart > 0
    assert paired == pytest.approx(0, abs=1e-12)
    assert alone > 0.01


def test_swapping_the_classes_swaps_sensitivity_and_specificity_only():
    scores, truth = gaussian(np.random.default_rng(3), 100, repeats=4)
    fold = fold_of(scores, truth)
    swapped = FoldScores(
        0, fold.repeats, 0.0, fold.probabilities[:, :, ::-1], 1 - fold.decided, 1 - truth, fold.patients
    )
    one, other = weigh_one(fold), weigh_one(swapped)
    for name in ("auroc", "balanced_accuracy", "accuracy", "brier", "log_loss", "expected_calibration_error"):
        assert one.metrics[name].to_json() == pytest.approx(other.metrics[name].to_json()), name
    for name, twin in SWAPPED.items():
        assert one.metrics[name].to_json() == pytest.approx(other.metrics[twin].to_json()), name
    for k in (0, 1):
        assert one.recalls[k].to_json() == pytest.approx(other.recalls[1 - k].to_json())


SWAPPED = {
    "sensitivity": "specificity",
    "specificity": "sensitivity",
    "sensitivity_at_specificity": "specificity_at_sensitivity",
    "specificity_at_sensitivity": "sensitivity_at_specificity",
}


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.permutations(range(3)))
def test_renaming_three_classes_changes_no_macro_metric(seed, order):
    rng = np.random.default_rng(seed)
    probabilities, truth = rng.dirichlet([1, 1, 1], size=(2, 60)), np.arange(60) % 3
    place = np.argsort(order)

    def weighed(probabilities, truth):
        decided = probabilities.argmax(axis=2)
        return weigh_one(FoldScores(0, np.arange(2), 0.0, probabilities, decided, truth, np.arange(60)))

    one, other = weighed(probabilities, truth), weighed(probabilities[:, :, order], place[truth])
    assert one.metrics.keys() == other.metrics.keys()
    for name, interval in one.metrics.items():
        assert interval.to_json() == pytest.approx(other.metrics[name].to_json()), name
    for new, old in enumerate(order):
        assert other.recalls[new].to_json() == pytest.approx(one.recalls[old].to_json())
        assert other.areas[new].to_json() == pytest.approx(one.areas[old].to_json())


def measures_at(sizes: dict[int, float], sd: float, seed: int = 0, overlap: float = 0.0) -> dict[int, Measures]:
    """Scores whose repeats shift the threshold, so that sensitivity has a training spread of its own."""
    rng, found = np.random.default_rng(seed), {}
    for n, size in sizes.items():
        scores, truth = gaussian(np.random.default_rng(9), 2000)
        shift = sd / np.sqrt(size) * rng.standard_normal((10, 1))
        found[n] = Measures((fold_of(scores + shift, truth, overlap=overlap),))
    return found


def test_training_spread_is_found_and_falls_with_n():
    measured = measures_at({40: 1, 100: 2.5, 400: 10}, 0.1)
    spread = training_spread({n: found.recalls[1] for n, found in measured.items()})
    assert spread is not None
    parts = {n: variance_of(found.recalls[1], n, spread, ALONE).training for n, found in measured.items()}
    seen = measured[40].recalls[1].parts[0].values.var(ddof=1)
    assert parts[40] == pytest.approx(seen / 10, rel=0.7)
    assert parts[400] < parts[100] < parts[40]


def test_shared_subsets_are_no_fresh_draws():
    separate = measures_at({40: 1}, 0.1)[40].recalls[1]
    spread = training_spread({40: separate})
    same = measures_at({40: 1}, 0.1, overlap=1.0)[40].recalls[1]
    assert variance_of(same, 40, spread, ALONE).training > 2 * variance_of(separate, 40, spread, ALONE).training


@pytest.mark.parametrize(("overlap", "repeats"), [(0.9, 10), (0.0, 1)])
def test_no_training_spread_where_nothing_shows_it(overlap, repeats):
    scores, truth = gaussian(np.random.default_rng(4), 60, repeats)
    measured = Measures((fold_of(scores, truth, overlap=overlap),))
    assert training_spread({50: measured.auroc}) is None
    assert variance_of(measured.auroc, 50, None, ALONE).training is None
