"""What a rung is told, and that one failed or foreign rung does not spoil a fleet."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from medladder.errors import FitError
from medladder.rungs.draws import Draw, Guest, draw_by_row, fit_many, in_unit_range, may_learn, parts_of


def images_and_labels(n: int = 60, classes: str = "ab") -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.array(list(classes))[np.arange(n) % len(classes)]
    images = rng.integers(0, 100, (n, 4, 4)).astype(np.uint8)
    images[:, 1, 2] += (100 * (np.arange(n) % len(classes) == 0)).astype(np.uint8)
    return images, labels


class Recorder(ClassifierMixin, BaseEstimator):
    """A rung that knows draws and keeps what it was given; it fails on seed 13."""

    def __init__(self, random_state=None):
        self.random_state = random_state

    def fit(self, X, y, draw=None):
        if draw.seed == 13:
            raise ArithmeticError("no solution")
        self.given_ = X, y, draw
        return self


def test_parts_are_counted_as_none_one_or_many():
    assert parts_of(np.array([-1, -1])) == 0
    assert parts_of(np.array([-1, 0])) == 1
    assert parts_of(np.array([0, 1, 2, 0])) == 3
    assert parts_of(np.array([], dtype=int)) == 0


def test_a_lone_part_is_never_learned_from_and_many_are():
    assert may_learn(np.array([-1, 0, -1])).tolist() == [True, False, True]
    assert may_learn(np.array([0, 1, 0])).all()
    assert may_learn(np.array([-1, -1])).all()


def test_a_draw_needs_a_part_for_every_row():
    with pytest.raises(ValueError, match="two equal vectors"):
        Draw(np.arange(3), np.zeros(2, dtype=int), seed=0)


@given(counts=st.lists(st.integers(1, 40), min_size=2, max_size=4), seed=st.integers(0, 2**31))
def test_parts_by_row_hold_every_class_in_equal_shares(counts, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    draw = draw_by_row(labels, seed)
    assert draw.rows.tolist() == list(range(len(labels)))
    assert draw.is_thin == (min(counts) < 10)
    if min(counts) == 1:
        assert parts_of(draw.fold) == 0
        return
    assert parts_of(draw.fold) == min(5, min(counts))
    for code, count in enumerate(counts):
        per_part = np.bincount(draw.fold[labels == code], minlength=parts_of(draw.fold))
        assert per_part.min() >= 1
        assert per_part.max() - per_part.min() <= 1
        assert per_part.sum() == count


def test_parts_by_row_follow_the_seed():
    labels = np.arange(100) % 2
    assert np.array_equal(draw_by_row(labels, 1).fold, draw_by_row(labels, 1).fold)
    assert not np.array_equal(draw_by_row(labels, 1).fold, draw_by_row(labels, 2).fold)


def test_pixels_fill_the_unit_range_and_columns_stay():
    assert in_unit_range(np.array([0, 51, 255], dtype=np.uint8)).tolist() == [0, np.float32(0.2), 1]
    assert in_unit_range(np.array([65535], dtype=np.uint16)).tolist() == [1]
    assert in_unit_range(np.array([-3, 2**40])).tolist() == [-3, 2**40]
    assert in_unit_range(np.array([1.5], dtype=np.float32)).dtype == np.float32


def test_a_rung_that_knows_draws_gets_its_rows_in_order():
    images, labels = images_and_labels()
    rows, fold = np.array([7, 3, 40]), np.array([0, 1, 0])
    [fitted] = fit_many(Recorder(), images, labels, [Draw(rows, fold, seed=5, is_thin=True)])
    X, y, draw = fitted.given_
    assert np.array_equal(X, images[[7, 3, 40]])
    assert y.tolist() == labels[[7, 3, 40]].tolist()
    assert (draw.rows.tolist(), draw.fold.tolist(), draw.seed, draw.is_thin) == ([0, 1, 2], [0, 1, 0], 5, True)
    assert fitted.random_state == 5


def test_one_failed_fit_leaves_its_reason_and_the_others():
    images, labels = images_and_labels()
    draws = [draw_by_row(labels, seed) for seed in (1, 13, 2)]
    first, failed, last = fit_many(Recorder(), images, labels, draws)
    assert isinstance(first, Recorder)
    assert isinstance(last, Recorder)
    assert isinstance(failed, FitError)
    assert str(failed) == "ArithmeticError: no solution"


def test_a_fleet_that_fails_as_a_whole_fails_every_draw():
    class Sunk(BaseEstimator):
        def fit_fleet(self, images, labels, draws):
            raise MemoryError("too large")

    images, labels = images_and_labels()
    failed = fit_many(Sunk(), images, labels, [draw_by_row(labels, seed) for seed in (1, 2)])
    assert [str(one) for one in failed] == ["MemoryError: too large"] * 2


def test_a_foreign_classifier_becomes_a_guest():
    images, labels = images_and_labels(classes="abc")
    draw = draw_by_row(labels, seed=3)
    [guest] = fit_many(DecisionTreeClassifier(), images, labels, [draw])
    assert isinstance(guest, Guest)
    assert guest.classes_.tolist() == ["a", "b", "c"]
    assert guest.classifier_.random_state == 3
    assert guest.predict(images).tolist() == labels.tolist()  # a full tree knows its own rows
    assert guest.chosen_ == {}
    by_hand = DecisionTreeClassifier(random_state=3)
    seen = images.reshape(60, 16).astype(np.float32) / np.float32(255)
    held = draw.fold == 2
    by_hand.fit(seen[~held], labels[~held])
    assert np.array_equal(guest.out_of_part_proba_[held], by_hand.predict_proba(seen[held]))


def test_a_guest_never_learns_from_a_lone_part():
    images, labels = images_and_labels()
    fold = np.where(np.arange(60) < 20, 0, -1)
    other = images.copy()
    other[:20] = 255 - other[:20]
    guests = [fit_many(LogisticRegression(), x, labels, [Draw(np.arange(60), fold, 1)])[0] for x in (images, other)]
    assert np.array_equal(guests[0].classifier_.coef_, guests[1].classifier_.coef_)
    assert np.isnan(guests[0].out_of_part_proba_[20:]).all()
    assert not np.isnan(guests[0].out_of_part_proba_[:20]).any()


def test_a_guest_gives_a_class_its_refit_missed_no_probability():
    images, labels = images_and_labels(classes="abc")
    fold = np.where(labels == "b", 1, 0)  # part 1 holds every b, and nothing else
    [guest] = fit_many(DummyClassifier(strategy="prior"), images, labels, [Draw(np.arange(60), fold, 1)])
    assert guest.out_of_part_proba_[labels == "b"].tolist() == [[0.5, 0, 0.5]] * 20


def test_a_guest_counts_the_numbers_it_keeps():
    images, labels = images_and_labels()
    rung = make_pipeline(StandardScaler(), LogisticRegression())
    [guest] = fit_many(rung, images, labels, [draw_by_row(labels, 0)])
    scaler = 3 * 16  # mean, variance, scale
    assert guest.n_parameters_ == scaler + 16 + 1 + 1  # weights, intercept, and the count of iterations


def test_a_guest_without_probabilities_is_a_failed_fit():
    images, labels = images_and_labels()
    [failed] = fit_many(LinearSVC(), images, labels, [draw_by_row(labels, 0)])
    assert isinstance(failed, FitError)
    assert "predict_proba" in str(failed)
