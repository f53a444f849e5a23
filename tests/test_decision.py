"""Thresholds from out-of-part patients, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medladder.decision import best_threshold, choose_decision

EVEN = np.array([0.5, 0.5])


def two_classes(p: list[float]) -> np.ndarray:
    return np.stack([1 - np.array(p), np.array(p)], axis=1)


def test_the_threshold_with_the_best_balanced_accuracy() -> None:
    # At .35 one of three positives is missed and no negative called: (2/3 + 1) / 2, the best there is.
    scores = np.array([0.1, 0.2, 0.3, 0.05, 0.4, 0.9])
    is_positive = np.array([False, False, False, True, True, True])
    assert best_threshold(scores, is_positive) == pytest.approx(0.35)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=2, max_size=40))
def test_no_other_threshold_is_better(pairs: list[tuple[float, bool]]) -> None:
    scores, is_positive = np.array([p for p, _ in pairs]), np.array([b for _, b in pairs])
    if is_positive.all() or not is_positive.any():
        return

    def balanced(threshold: float) -> float:
        return float((scores[is_positive] >= threshold).mean() + (scores[~is_positive] < threshold).mean())

    chosen = best_threshold(scores, is_positive)
    assert 0 < chosen < 1
    inner = [t for t in np.concatenate([scores, np.nextafter(scores, 2)]) if 1e-6 <= t <= 1 - 1e-6]
    assert balanced(chosen) >= max(map(balanced, [1e-6, 1 - 1e-6, *inner])) - 1e-9


def test_a_patient_counts_once_however_many_images() -> None:
    # Patient 2 has three images whose mean is .5; by image, .2 and .8 would pull the threshold elsewhere.
    labels = np.array([0, 0, 1, 1, 1, 1])
    patients = np.array([0, 1, 2, 2, 2, 3])
    decision = choose_decision(
        two_classes([0.1, 0.3, 0.2, 0.5, 0.8, 0.9]), labels, patients, prevalence=EVEN, is_thin=False
    )
    assert decision.rule == "out-of-part"
    assert decision.weights[1] == pytest.approx(0.4)


def test_thin_many_classes_and_nothing_held_out_fall_back_to_prevalence() -> None:
    labels, patients = np.array([0, 0, 0, 1]), np.arange(4)
    scores = two_classes([0.1, 0.2, 0.3, 0.9])
    shares = np.array([0.75, 0.25])
    assert choose_decision(scores, labels, patients, prevalence=shares, is_thin=True).weights == (0.75, 0.25)
    nothing = np.full((4, 2), np.nan)
    assert choose_decision(nothing, labels, patients, prevalence=shares, is_thin=False).rule == "prevalence"
    three, shares = np.eye(3)[[0, 1, 2, 2]], np.array([0.25, 0.25, 0.5])
    many = choose_decision(three, np.array([0, 1, 2, 2]), patients, prevalence=shares, is_thin=False)
    assert many.weights == (0.25, 0.25, 0.5)


def test_where_every_score_is_the_same_the_majority_decides() -> None:
    scores, shares = two_classes([0.25] * 4), np.array([0.75, 0.25])
    decision = choose_decision(scores, np.array([0, 0, 0, 1]), np.arange(4), prevalence=shares, is_thin=False)
    assert decision.weights == (0.5, 0.5)


def test_rows_that_were_never_held_out_are_not_used() -> None:
    scores = two_classes([0.1, 0.3, 0.5, 0.9])
    scores[0] = np.nan
    decision = choose_decision(scores, np.array([1, 0, 1, 1]), np.arange(4), prevalence=EVEN, is_thin=False)
    assert decision.weights[1] == pytest.approx(0.4)
