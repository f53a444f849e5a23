"""Decision curves: by hand, against the classical formula, and intervals against a truth that is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from medladder.evidence.decision_curve import THRESHOLDS, decision_curve
from medladder.evidence.scores import FoldScores
from medladder.report.portrait import say_decision


def fold_of(probabilities: np.ndarray, truth: np.ndarray) -> FoldScores:
    """One fold; a row of probabilities of the positive class a repeat."""
    n = probabilities.shape[0]
    both = np.stack([1 - probabilities, probabilities], axis=2)
    return FoldScores(0, np.arange(n), 0.0, both, (probabilities >= 0.5).astype(np.int64), truth, np.arange(len(truth)))


def test_by_hand() -> None:
    """Of four sick three are called at .5, of six well two: at a prevalence of .4, as trained, nothing is shifted."""
    truth = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
    fold = fold_of(np.array([[0.9, 0.8, 0.6, 0.12, 0.7, 0.6, 0.2, 0.2, 0.12, 0.12]]), truth)
    found = {one.threshold: one for one in decision_curve([fold], 0.4, 0.4, confidence=0.95)}
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
    found = {one.threshold: one for one in decision_curve([fold], 0.1, 0.5, confidence=0.95)}
    assert found[0.1].benefit.estimate == pytest.approx(0.5 * 0.1 - 0.5 * 0.9 / 9)
    assert found[0.2].benefit.estimate == 0
    assert found[0.08].benefit.estimate == pytest.approx(found[0.08].of_all)


def test_intervals_hold_the_truth() -> None:
    """Two normal scores: of 400 cohorts of 60 sick and 90 well, the 95 % interval holds the true net benefit."""
    rng = np.random.default_rng(0)
    truth = np.repeat([1, 0], [60, 90])
    prevalence, shift = 0.4, 1.2
    inside = np.zeros(len(THRESHOLDS))
    for _ in range(400):
        score = rng.normal(size=150) + shift * truth
        odds = np.exp(shift * score - shift**2 / 2) * 60 / 90
        found = decision_curve([fold_of((odds / (1 + odds))[None], truth)], prevalence, 0.4, confidence=0.95)
        for place, one in enumerate(found):
            cut = (np.log(one.threshold / (1 - one.threshold)) - np.log(60 / 90) + shift**2 / 2) / shift
            benefit = norm.sf(cut - shift) * prevalence - norm.sf(cut) * (1 - prevalence) * one.threshold / (
                1 - one.threshold
            )
            inside[place] += one.benefit.low <= benefit <= one.benefit.high
    shares = inside / 400
    usual = [share for threshold, share in zip(THRESHOLDS, shares, strict=True) if 0.1 <= threshold <= 0.7]
    assert min(usual) > 0.92
    assert np.mean(usual) > 0.94


def test_what_is_said_is_the_longest_stretch() -> None:
    def point(threshold: float, low: float, of_all: float) -> dict[str, object]:
        return {"threshold": threshold, "net_benefit": {"low": low}, "of_all": of_all}

    points = [point(0.1, 0.2, 0.1), point(0.2, 0.1, 0.15), point(0.3, 0.1, 0.0), point(0.4, 0.1, -1.0)]
    assert "from a threshold of 30 % to one of 40 %" in say_decision(points)
    assert "At no threshold" in say_decision([point(0.1, -0.1, 0.2)])
