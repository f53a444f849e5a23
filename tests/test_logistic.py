"""Logistic regression: exactness, whatever road it takes, and what is chosen."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from drawn_vectors import a_draw, draw_vectors, z_scores
from medladder.rungs.logistic import LogisticClassifier, choose_strength, span_of_rows
from medladder.rungs.regressions import Regressions, solve


@pytest.mark.parametrize("fold", [np.full(60, -1), np.arange(60) % 5], ids=["no part", "parts"])
def test_with_parts_or_none_the_final_fit_uses_every_row(fold: np.ndarray) -> None:
    vectors, codes = draw_vectors(60, 4)
    rung = LogisticClassifier(penalty=0.5).fit(vectors, codes, draw=a_draw(fold))
    oracle = LogisticRegression(C=1 / (0.5 * 4), tol=1e-8).fit(z_scores(vectors), codes)
    assert rung.coef_ * vectors.std(axis=0) == pytest.approx(oracle.coef_, abs=1e-4)


@pytest.mark.parametrize(("n", "d"), [(40, 70), (70, 40), (40, 5000)])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_span_of_the_rows_gives_what_the_pixels_give(n: int, d: int, n_classes: int) -> None:
    vectors, codes = draw_vectors(n, d, n_classes)
    rung = LogisticClassifier(penalty=0.1).fit(vectors, codes)
    oracle = LogisticRegression(C=1 / (0.1 * d), tol=1e-9, max_iter=9999).fit(z_scores(vectors), codes)
    assert rung.coef_.shape == (1 if n_classes == 2 else 3, d)
    assert rung.coef_ * vectors.std(axis=0) == pytest.approx(oracle.coef_, abs=1e-4)
    new = draw_vectors(50, d, n_classes, seed=1)[0]
    expected = oracle.predict_proba(z_scores(new, vectors))
    assert rung.predict_proba(new) == pytest.approx(expected, abs=1e-4)
    assert rung.n_parameters_ == rung.coef_.size + rung.intercept_.size


def test_the_span_is_orthonormal_and_complete() -> None:
    rows = np.random.default_rng(0).normal(size=(6, 30)).astype(np.float32)
    rows[5] = rows[0] - 2 * rows[1]
    points, lift = span_of_rows(rows)
    assert lift is not None
    assert points.shape == (6, 5)
    basis = lift.T @ rows
    assert basis @ basis.T == pytest.approx(np.eye(5), abs=1e-5)
    assert points @ basis == pytest.approx(rows, abs=1e-5)


def test_the_penalty_has_the_least_loss_on_rows_not_seen() -> None:
    vectors, codes = draw_vectors(80, 30)
    codes = np.where(np.random.default_rng(0).random(80) < 0.25, 1 - codes, codes)
    fold = np.arange(80) // 2 % 4
    rung = LogisticClassifier().fit(vectors, codes, draw=a_draw(fold))
    losses = {}
    for penalty in (100.0, 30.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01):
        proba = np.zeros((80, 2))
        for part in range(4):
            out = fold == part
            one = LogisticRegression(C=1 / (penalty * 30), tol=1e-8).fit(z_scores(vectors)[~out], codes[~out])
            proba[out] = one.predict_proba(z_scores(vectors)[out])
        losses[penalty] = log_loss(codes, proba)
        if penalty == rung.chosen_["penalty"]:
            assert rung.out_of_part_proba_ == pytest.approx(proba, abs=5e-3)
    assert rung.chosen_["penalty"] == min(losses, key=losses.__getitem__)
    assert 0.01 < rung.chosen_["penalty"] < 100


def test_coefficients_are_in_units_of_0_to_1_a_pixel() -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 5, 6), dtype=np.uint8)
    labels = np.where(images[:, 2, 2] > 127, "sick", "well")
    rung = LogisticClassifier(random_state=0).fit(images, labels)
    by_hand = images.reshape(40, 30) / 255 @ rung.coef_[0] + rung.intercept_[0]
    assert rung.predict_proba(images)[:, 1] == pytest.approx(1 / (1 + np.exp(-by_hand)), abs=1e-5)
    assert np.abs(rung.coef_).argmax() == 2 * 6 + 2
    same = clone(rung).fit(images.astype(np.uint16) * 257, labels)
    assert same.coef_ == pytest.approx(rung.coef_, abs=1e-3)


def test_what_it_learns_from_few_images_is_a_mixture_of_them() -> None:
    images = np.random.default_rng(0).integers(0, 256, (30, 12, 12), dtype=np.uint8)
    labels, draw = np.arange(30) % 2, a_draw(np.arange(30) % 3)
    rung = LogisticClassifier().fit(images, labels, draw=draw)
    project = rung.projection(images, draw)
    assert project is not None
    coef = rung.coef_.T.astype(np.float32)
    assert project(coef) == pytest.approx(coef, abs=1e-4 * float(np.abs(coef).max()))
    noise = np.random.default_rng(1).normal(size=(144, 4)).astype(np.float32)
    rows = z_scores(images.reshape(30, -1) / 255.0, images.reshape(30, -1) / 255.0).T
    spread = (images.reshape(30, -1) / 255.0).std(axis=0)[:, None]
    on_rows = rows @ np.linalg.lstsq(rows, noise * spread, rcond=1e-6)[0]  # by least squares, independently
    assert project(noise) == pytest.approx(on_rows / spread, abs=1e-3)
    many = np.random.default_rng(0).integers(0, 256, (60, 3, 3), dtype=np.uint8)
    several = a_draw(np.arange(60) % 3)
    assert clone(rung).fit(many, np.arange(60) % 2, draw=several).projection(many, several) is None


def test_a_pixel_that_never_changes_weighs_nothing() -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 4, 4), dtype=np.uint8)
    images[:, 0, 0] = 77
    rung = LogisticClassifier().fit(images, images[:, 1, 1] > 127)
    assert abs(rung.coef_[0, 0]) < 1e-6


@pytest.mark.parametrize(("n", "d"), [(100, 784), (620, 784), (900, 1600)], ids=["n << d", "n near d", "n < d"])
def test_every_road_ends_where_scikit_learn_does(n: int, d: int) -> None:
    rng = np.random.default_rng(0)
    side = int(np.sqrt(d))
    smooth = gaussian_filter(rng.normal(size=(n + 200, side, side)), (0, 3, 3)).reshape(-1, d)
    images = (smooth / smooth.std() + 0.2 * rng.normal(size=smooth.shape)).astype(np.float32)
    codes = (images @ rng.normal(size=d) / np.sqrt(d) + rng.normal(size=len(images)) > 0).astype(int)
    rung = LogisticClassifier().fit(images[:n], codes[:n])
    scaled = z_scores(images.astype(float), images[:n].astype(float))
    oracle = LogisticRegression(C=1 / (rung.chosen_["penalty"] * d), tol=1e-8, max_iter=9999)
    expected = oracle.fit(scaled[:n], codes[:n]).predict_proba(scaled)
    assert rung.predict_proba(images) == pytest.approx(expected, abs=1e-4)


def test_regressions_solved_together_are_those_solved_alone() -> None:
    vectors, codes = draw_vectors(90, 12, n_classes=3)
    points = z_scores(vectors)
    learn = np.stack([np.arange(90) % 4 != part for part in range(4)], axis=1)
    task = Regressions(points, codes, learn, n_classes=3)
    together = solve(task, 3.0, excess=1e-11)
    for regression, rows in enumerate(learn.T):
        oracle = LogisticRegression(C=1 / 3, tol=1e-9, max_iter=9999).fit(points[rows], codes[rows])
        assert together.proba[:, regression] == pytest.approx(oracle.predict_proba(points), abs=1e-5)
        assert pytest.approx(oracle.coef_, abs=1e-4) == together.coef[:-1, regression].T
        alone = solve(task.alone(regression), 3.0, together.alone(regression), excess=1e-11)
        assert alone.proba[:, 0] == pytest.approx(together.proba[:, regression], abs=1e-5)


def test_a_class_missing_from_a_regressions_rows_has_no_probability_in_it() -> None:
    vectors, codes = draw_vectors(30, 4, n_classes=3)
    learn = np.stack([codes != 1, codes == 2, codes >= 0], axis=1)
    proba = solve(Regressions(z_scores(vectors), codes, learn, n_classes=3), 1.0, excess=1e-9).proba
    assert not proba[:, 0, 1].any()
    assert proba[:, 0].sum(axis=1) == pytest.approx(1)
    assert (proba[:, 1] == [0, 0, 1]).all()
    assert (proba[:, 2] > 0).all()


def test_the_path_ends_past_the_least_loss() -> None:
    vectors, codes = draw_vectors(80, 30)
    codes = np.where(np.random.default_rng(0).random(80) < 0.25, 1 - codes, codes)
    fold = np.arange(80) // 2 % 4
    learn = np.stack([*(fold != part for part in range(4)), np.ones(80, bool)], axis=1)
    task = Regressions(z_scores(vectors), codes, learn, n_classes=2)
    strengths = [30 * 10.0**power for power in (2, 1, 0, -1, -2, -3, -4)]
    visited = []

    def note(task: Regressions, strength: float, *rest: object, **named: object) -> object:
        visited.append(strength)
        return solve(task, strength, *rest, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("medladder.rungs.logistic.solve", note)
        best, at, proba = choose_strength(task, strengths, a_draw(fold))
    assert 0 < best < len(visited) < len(strengths)
    assert at.coef.shape == (31, 1, 1)
    assert not np.isnan(proba).any()


def test_no_end_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medladder.rungs.regressions._MOST_STEPS", 2)
    with pytest.warns(ConvergenceWarning, match="No minimum after 2 steps"):
        LogisticClassifier(penalty=1e-3).fit(*draw_vectors(90, 12))
