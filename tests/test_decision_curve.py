"""Decision curves: by hand, against the classical formula, and intervals against a truth that is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from medladder.evidence.decision_curve import decision_curve, thresholds_at
from medladder.evidence.portrait import trained_share
from medladder.evidence.scores import FoldScores
from medladder.record.cohort import CohortRecord
from medladder.report.figures import Format
from medladder.report.palette import choose_looks
from medladder.report.portrait import draw_decision, say_decision


def fold_of(probabilities: np.ndarray, truth: np.ndarray) -> FoldScores:
    """One fold; a row of probabilities of the positive class a repeat."""
    n = probabilities.shape[0]
    both = np.stack([1 - probabilities, probabilities], axis=2)
    return FoldScores(0, np.arange(n), 0.0, both, (probabilities >= 0.5).astype(np.int64), truth, np.arange(len(truth)))


def test_by_hand() -> None:
    """Of four sick three are called at .5, of six well two: at a prevalence of .4, as trained, nothing is shifted."""
    truth = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
    fold = fold_of(np.array([[0.9, 0.8, 0.6, 0.12, 0.7, 0.6, 0.2, 0.2, 0.12, 0.12]]), truth)
    found = {one.threshold: one for one in decision_curve([fold], 0.4, [0.4], confidence=0.95)}
    assert found[0.5].benefit.estimate == pytest.approx(3 / 10 - 2 / 10 * 1)
    assert found[0.5].of_all == pytest.approx(4 / 10 - 6 / 10 * 1)
    assert found[0.1].benefit.estimate == pytest.approx(found[0.1].of_all)
    assert found[0.1].of_all == pytest.approx(0.4 - 0.6 / 9)
    assert found[0.98].benefit.estimate == 0
    assert all(one.benefit.low < one.benefit.estimate < one.benefit.high for one in found.values())


def test_probabilities_are_brought_to_the_stated_share() -> None:
    """Trained at odds 1, used at odds 1/9: a threshold of .1 in use is one of .5 where it was trained."""
    truth = np.array([1, 1, 0, 0])
    fold = fold_of(np.array([[0.51, 0.49, 0.51, 0.49]]), truth)
    found = {one.threshold: one for one in decision_curve([fold], 0.1, [0.5], confidence=0.95)}
    assert found[0.1].benefit.estimate == pytest.approx(0.5 * 0.1 - 0.5 * 0.9 / 9)
    assert found[0.2].benefit.estimate == 0
    assert found[0.08].benefit.estimate == pytest.approx(found[0.08].of_all)


@pytest.mark.parametrize(
    ("n_sick", "n_well", "prevalence", "shift"), [(60, 90, 0.4, 1.2), (20, 200, 0.1, 1.5), (20, 200, 0.01, 2.0)]
)
def test_intervals_hold_the_truth(n_sick: int, n_well: int, prevalence: float, shift: float) -> None:
    """Two normal scores, 400 cohorts. Where the truth lies below an interval, use may be shown better wrongly.

    Nominal are 95 % inside and 2.5 % below; of 4,000 cohorts 91–95 % were inside at the worst threshold, and up to
    2.6 % below. The bounds leave room for the luck of 400.
    """
    rng = np.random.default_rng(0)
    truth = np.repeat([1, 0], [n_sick, n_well])
    trained = n_sick / (n_sick + n_well)
    cuts = np.array(thresholds_at(prevalence))
    ratio = cuts / (1 - cuts) * (1 - prevalence) / prevalence
    at = (np.log(ratio) + shift**2 / 2) / shift
    benefit = norm.sf(at - shift) * prevalence - norm.sf(at) * prevalence * ratio
    inside, below = np.zeros(len(cuts)), np.zeros(len(cuts))
    for _ in range(400):
        score = rng.normal(size=len(truth)) + shift * truth
        odds = np.exp(shift * score - shift**2 / 2) * n_sick / n_well
        fold = fold_of((odds / (1 + odds))[None], truth)
        found = [one.benefit for one in decision_curve([fold], prevalence, [trained], confidence=0.95)]
        inside += [one.low <= true <= one.high for one, true in zip(found, benefit, strict=True)]
        below += [true < one.low for one, true in zip(found, benefit, strict=True)]
    assert min(inside) / 400 > 0.88
    assert np.mean(inside) / 400 > 0.94
    assert max(below) / 400 < 0.05


def test_a_rare_class_has_thresholds_near_its_share() -> None:
    for prevalence in (0.001, 0.013, 0.05, 0.3):
        near = [one for one in thresholds_at(prevalence) if one <= prevalence]
        assert len(near) >= 5
    assert thresholds_at(0.1) == thresholds_at(0.6) == tuple((np.arange(1, 50) / 50).round(2).tolist())


def test_folds_are_shifted_each_by_its_own_share() -> None:
    """One probability in both folds: .5 means .5 where training saw one half, and .1 where it saw nine tenths."""
    fold = fold_of(np.full((1, 2), 0.5), np.array([1, 0]))
    found = {one.threshold: one for one in decision_curve([fold, fold], 0.5, [0.5, 0.9], confidence=0.95)}
    assert found[0.08].benefit.estimate == pytest.approx(found[0.08].of_all)
    assert found[0.3].benefit.estimate == pytest.approx(found[0.3].of_all / 2)
    assert found[0.52].benefit.estimate == 0


def test_the_trained_share_leaves_the_test_part_out() -> None:
    """Of a pool of four one is positive; a test part, all of it positive, and images for choosing change nothing."""
    labels, fold = np.array([0, 0, 0, 1, 1, 1, 1, 1]), np.array([-1, -1, -1, -1, 0, 0, 0, -2])
    patients = np.arange(8)
    cohort = CohortRecord(
        "drawn", "0" * 8, ("a", "b"), True, {}, labels=labels, patients=patients, groups=patients, test_fold=fold
    )
    assert trained_share(cohort, 0) == 0.25


def test_a_rung_that_only_harms_is_drawn_upright() -> None:
    """Sure of itself and wrong in a fifth of the well: at one in a hundred thousand every net benefit is below 0."""
    truth = np.repeat([1, 0], [50, 50])
    sure = np.concatenate([np.ones(50), np.repeat([1.0, 0.0], [10, 40])])
    found = decision_curve([fold_of(sure[None], truth)], 1e-5, [0.5], confidence=0.95)
    points = [one.to_json() for one in found]
    assert max(one["net_benefit"]["high"] for one in points) < 0
    looks = choose_looks([{"rung": "svm", "family": "conventional"}])
    assert "<svg" in draw_decision(points, {}, "svm", looks, "", Format("wide", 470, 430, 13))


def test_what_is_said_is_the_longest_stretch() -> None:
    def point(threshold: float, low: float, of_all: float) -> dict[str, object]:
        return {"threshold": threshold, "net_benefit": {"low": low}, "of_all": of_all}

    points = [point(0.1, 0.2, 0.1), point(0.2, 0.1, 0.15), point(0.3, 0.1, 0.0), point(0.4, 0.1, -1.0)]
    assert "from a threshold of 30 % to one of 40 %" in say_decision(points)
    assert "from a threshold of 0.04 % to one of 0.6 %" in say_decision([point(0.0004, 0.1, 0), point(0.006, 0.1, 0)])
    assert "At no threshold" in say_decision([point(0.1, -0.1, 0.2)])
