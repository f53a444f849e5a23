"""Metrics of ranks and thresholds against scikit-learn, numbers worked by hand, and the jackknife."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, roc_curve

from medladder.evidence.measures import Measures
from medladder.evidence.metrics import mean_over_units
from medladder.evidence.ranked import average_precision, f1, sensitivity_at
from medladder.evidence.scores import FoldScores
from medladder.evidence.variance import patient_variance


@st.composite
def scored(draw):
    """Scores with ties, and a mark; both classes have a unit."""
    n = draw(st.integers(2, 40))
    scores = np.array(draw(st.lists(st.integers(0, 6), min_size=n, max_size=n)), dtype=float)
    marks = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    marks[:2] = [True, False]
    return scores, marks


def gaussian(seed: int, n: int, gap: float = 1.2, share: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    marks = np.arange(n) < round(share * n)
    return rng.standard_normal(n) + gap * marks, marks


@given(scored())
def test_average_precision_is_scikit_learns_ties_included(pair):
    scores, marks = pair
    values, influence = average_precision(scores[None], marks)
    assert values[0] == pytest.approx(average_precision_score(marks, scores))
    assert influence[0, marks].sum() == pytest.approx(0, abs=1e-12)
    assert influence[0, ~marks].sum() == pytest.approx(0, abs=1e-12)


@given(scored(), st.floats(0.05, 0.95))
def test_sensitivity_is_the_best_on_scikit_learns_roc_with_that_specificity(pair, specificity):
    scores, marks = pair
    values, influence = sensitivity_at(scores[None], marks, specificity)
    alarms, hits, _ = roc_curve(marks, scores, drop_intermediate=False)
    assert values[0] == pytest.approx(hits[alarms <= 1 - specificity + 1e-9].max())
    assert influence.sum() == pytest.approx(0, abs=1e-12)


@given(scored(), st.integers(0, 7))
def test_f1_is_scikit_learns(pair, cut):
    scores, marks = pair
    decided = scores >= cut
    values, influence = f1(decided[None], marks)
    assert values[0] == pytest.approx(f1_score(marks, decided, zero_division=0))
    assert influence.sum() == pytest.approx(0, abs=1e-12)


def test_by_hand():
    # In order of score: + - + -. Precision at the positives 1 and 2/3; at most none of two negatives above: one of two.
    scores, marks = np.array([[0.9, 0.8, 0.7, 0.1]]), np.array([True, False, True, False])
    assert average_precision(scores, marks)[0][0] == pytest.approx((1 + 2 / 3) / 2)
    assert sensitivity_at(scores, marks, 0.9)[0][0] == 0.5
    assert sensitivity_at(scores, marks, 0.5)[0][0] == 1
    # Two called positive, one rightly, two to find: 2 · 1 / (2 + 2).
    assert f1(scores >= 0.8, marks)[0][0] == pytest.approx(0.5)


def jackknife(score, scores: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """Influence of each unit as the value changes when it is left out, 0 on average in a class."""
    full = score(scores[None], marks)[0][0]
    found = np.empty(len(scores))
    for unit in range(len(scores)):
        rest = np.arange(len(scores)) != unit
        found[unit] = full - score(scores[None][:, rest], marks[rest])[0][0]
    for here in (marks, ~marks):
        found[here] -= found[here].mean()
    return found


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_influences_are_the_jackknifes(seed):
    scores, marks = gaussian(seed, 300)
    for score in (average_precision, lambda s, m: f1(s >= 0.8, m)):
        influence = score(scores[None], marks)[1][0]
        left_out = jackknife(score, scores, marks)
        assert np.corrcoef(influence, left_out)[0, 1] > 0.99
        assert influence.std() == pytest.approx(left_out.std(), rel=0.1)


@pytest.mark.parametrize(
    ("score", "within"),
    [
        (average_precision, 0.12),
        (lambda scores, marks: sensitivity_at(scores, marks, 0.9), 0.2),
        (lambda scores, marks: f1(scores >= 0.8, marks), 0.12),
        (lambda scores, marks: mean_over_units(scores >= 0.8, marks), 0.12),
    ],
)
def test_the_stated_deviation_is_the_one_of_fresh_patients(score, within):
    found = []
    for seed in range(400):
        scores, marks = gaussian(seed, 200)
        values, influence = score(scores[None], marks)
        n = (marks.sum(), (~marks).sum())
        variance = sum(
            (influence[0, here] ** 2).sum() * m / (m - 1) for here, m in zip((marks, ~marks), n, strict=True)
        )
        found.append((values[0], np.sqrt(variance)))
    values, stated = np.transpose(found)
    assert np.median(stated) == pytest.approx(values.std(), rel=within)


def test_patients_with_several_images_are_counted_once():
    scores, marks = gaussian(3, 60)
    z = 1 / (1 + np.exp(-scores))

    def fold(repeat: int) -> FoldScores:
        p, patients = np.tile(z, repeat)[None], np.tile(np.arange(60), repeat)
        return FoldScores(
            0,
            np.arange(1),
            0.0,
            np.stack([1 - p, p], axis=2),
            (p > 0.6).astype(int),
            np.tile(marks, repeat) * 1,
            patients,
        )

    for name in ("average_precision", "f1", "sensitivity_at_specificity"):
        once, nine = (patient_variance(getattr(Measures((fold(k),)), name))[0] for k in (1, 9))
        assert nine > 0.8 * once, name
