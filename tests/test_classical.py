"""The conventional rungs: exactness, what the parts are for, and scikit-learn's own checks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.svm import SVC
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import check_estimator

from medladder.errors import InputError, OptionError
from medladder.rungs.choosing import Calibration, calibrate_out_of_part, fit_calibration
from medladder.rungs.classical import (
    LogisticClassifier,
    PriorClassifier,
    SupportVectorClassifier,
    mean_squares,
    span_of_rows,
)
from medladder.rungs.draws import Draw, draw_by_row, fit_many

RUNGS = [PriorClassifier(), LogisticClassifier(), SupportVectorClassifier()]
CHOOSING = RUNGS[1:]


def draw_vectors(n: int, d: int, n_classes: int = 2, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noisy classes that differ in one direction each, in values of very different units."""
    rng = np.random.default_rng(seed)
    codes = np.arange(n) % n_classes
    vectors = rng.normal(size=(n, d)) + 1.5 * rng.normal(size=(n_classes, d))[codes] / np.sqrt(d) * 2
    return vectors * rng.uniform(0.1, 9, d) + rng.normal(size=d), codes


def a_draw(fold: np.ndarray, is_thin: bool = False) -> Draw:
    return Draw(np.arange(len(fold)), fold, seed=0, is_thin=is_thin)


def z_scores(vectors: np.ndarray, learn: np.ndarray | None = None) -> np.ndarray:
    learn = vectors if learn is None else learn
    return (vectors - learn.mean(axis=0)) / learn.std(axis=0)


@pytest.mark.parametrize("rung", RUNGS, ids=lambda rung: type(rung).__name__)
def test_estimator_checks_pass_in_full(rung: BaseEstimator) -> None:
    assert get_tags(rung).input_tags.two_d_array
    checks = check_estimator(rung, on_skip=None)
    by_status = {s: [c["check_name"] for c in checks if c["status"] == s] for s in ("passed", "skipped")}
    print(f"{type(rung).__name__}: {len(by_status['passed'])} of {len(checks)} estimator checks passed")
    assert len(by_status["passed"]) >= 50
    assert len(by_status["passed"]) + len(by_status["skipped"]) == len(checks)
    # Skipped only where scikit-learn lacks what it checks with: array-API mode, pandas.
    assert set(by_status["skipped"]) <= {"check_array_api_input", "check_classifier_data_not_an_array"}


# ---- what parts are for


def test_prior_by_hand() -> None:
    rung = PriorClassifier().fit(np.zeros((4, 1)), [0, 0, 0, 1], draw=a_draw(np.array([0, 0, 1, 1])))
    assert rung.predict_proba(np.zeros((2, 1))).tolist() == [[0.75, 0.25]] * 2
    assert rung.out_of_part_proba_.tolist() == [[0.75, 0.25]] * 4, "a floor ranks no one"
    assert rung.n_parameters_ == 2


def test_prior_never_counts_a_lone_part() -> None:
    rung = PriorClassifier().fit(np.zeros((4, 1)), [0, 0, 1, 1], draw=a_draw(np.array([-1, -1, -1, 0])))
    assert rung.predict_proba(np.zeros((1, 1)))[0] == pytest.approx([2 / 3, 1 / 3])
    assert rung.out_of_part_proba_[3] == pytest.approx([2 / 3, 1 / 3])
    assert np.isnan(rung.out_of_part_proba_[:3]).all()


@pytest.mark.parametrize("rung", RUNGS, ids=lambda rung: type(rung).__name__)
@pytest.mark.parametrize(
    "fold",
    [np.arange(48) % 5, np.arange(48) // 24, np.where(np.arange(48) < 36, -1, 0), np.arange(48) % 4 - 1],
    ids=["five parts", "two parts", "one part", "three parts and rows never held out"],
)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_out_of_part_probabilities_sum_to_1_where_rows_were_held_out(
    rung: BaseEstimator, fold: np.ndarray, n_classes: int
) -> None:
    vectors, codes = draw_vectors(48, 6, n_classes)
    proba = clone(rung).fit(vectors, codes, draw=a_draw(fold)).out_of_part_proba_
    assert proba.shape == (48, n_classes)
    assert np.array_equal(np.isnan(proba), np.tile(fold[:, None] == -1, n_classes))
    assert proba[fold >= 0].sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize("rung", CHOOSING, ids=lambda rung: type(rung).__name__)
@pytest.mark.parametrize("d", [5, 90])
def test_no_model_trains_on_a_lone_part(rung: BaseEstimator, d: int) -> None:
    vectors, codes = draw_vectors(60, d)
    fold = np.where(np.arange(60) < 45, -1, 0)
    rung = clone(rung).set_params(**{next(iter(clone(rung).get_params())): 0.7})  # nothing left to choose
    spoilt, flipped = vectors.copy(), codes.copy()
    spoilt[45:] += 100 * np.random.default_rng(1).normal(size=(15, d))
    flipped[45:] = 1 - codes[45:]
    if isinstance(rung, SupportVectorClassifier):  # its calibration may read the part; its machine may not
        rung.set_params(gamma=0.5)
        kept = [clone(rung).fit(v, c, draw=a_draw(fold)) for v, c in ((vectors, codes), (spoilt, flipped))]
        assert kept[0].dual_coef_ == pytest.approx(kept[1].dual_coef_, abs=1e-4)
        assert len(kept[0].support_vectors_) <= 45
    else:
        kept = [clone(rung).fit(v, c, draw=a_draw(fold)) for v, c in ((vectors, codes), (spoilt, flipped))]
        assert kept[0].coef_ == pytest.approx(kept[1].coef_, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("fold", [np.full(60, -1), np.arange(60) % 5], ids=["no part", "parts"])
def test_with_parts_or_none_the_final_fit_uses_every_row(fold: np.ndarray) -> None:
    vectors, codes = draw_vectors(60, 4)
    rung = LogisticClassifier(penalty=0.5).fit(vectors, codes, draw=a_draw(fold))
    oracle = LogisticRegression(C=1 / (0.5 * 4), tol=1e-8).fit(z_scores(vectors), codes)
    assert rung.coef_ * vectors.std(axis=0) == pytest.approx(oracle.coef_, abs=1e-4)


@pytest.mark.parametrize("rung", CHOOSING, ids=lambda rung: type(rung).__name__)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_without_a_part_the_defaults_rule(rung: BaseEstimator, n_classes: int) -> None:
    vectors, codes = draw_vectors(45, 8, n_classes)
    fitted = clone(rung).fit(vectors, codes, draw=a_draw(np.full(45, -1)))
    assert np.isnan(fitted.out_of_part_proba_).all()
    assert fitted.predict_proba(vectors).sum(axis=1) == pytest.approx(1)
    assert fitted.score(vectors, codes) > 0.7
    if isinstance(rung, LogisticClassifier):
        assert fitted.chosen_ == {"penalty": 0.3}
    else:
        assert fitted.chosen_ == {"cost": 1.0, "gamma": 0.5, "slope": 2.0}
        assert fitted.calibration_.bias == pytest.approx(np.log(np.bincount(codes) / 45))


@pytest.mark.parametrize("rung", CHOOSING, ids=lambda rung: type(rung).__name__)
def test_a_thin_draw_takes_the_defaults_and_still_predicts_its_parts(rung: BaseEstimator) -> None:
    vectors, codes = draw_vectors(16, 30)
    draw = draw_by_row(codes, seed=3)
    assert draw.is_thin
    thin = clone(rung).fit(vectors, codes, draw=draw)
    defaults = clone(rung).fit(vectors, codes, draw=a_draw(np.full(16, -1))).chosen_
    assert {k: v for k, v in thin.chosen_.items() if k != "slope"} == {
        k: v for k, v in defaults.items() if k != "slope"
    }
    assert not np.isnan(thin.out_of_part_proba_).any()


@pytest.mark.parametrize("rung", CHOOSING, ids=lambda rung: type(rung).__name__)
def test_a_class_that_the_other_parts_lack_is_no_reason_to_stop(rung: BaseEstimator) -> None:
    vectors, codes = draw_vectors(30, 5, n_classes=3)
    fold = np.where(codes == 2, 0, np.arange(30) % 2)
    proba = clone(rung).fit(vectors, codes, draw=a_draw(fold)).out_of_part_proba_
    assert proba.sum(axis=1) == pytest.approx(1)
    assert (proba[fold == 0, 2] < 0.34).all()


@pytest.mark.parametrize("rung", CHOOSING, ids=lambda rung: type(rung).__name__)
def test_a_part_may_hold_all_of_a_class_but_one(rung: BaseEstimator) -> None:
    vectors, codes = draw_vectors(20, 5)
    fitted = clone(rung).fit(vectors, codes, draw=a_draw(codes.copy()))  # each part's complement has one class
    assert np.isfinite(fitted.out_of_part_proba_).all()


@pytest.mark.parametrize("rung", CHOOSING, ids=lambda rung: type(rung).__name__)
def test_too_few_classes_to_learn_from_are_refused(rung: BaseEstimator) -> None:
    vectors, codes = draw_vectors(12, 3)
    with pytest.raises(InputError, match="1 class"):
        clone(rung).fit(vectors, np.zeros(12))
    with pytest.raises(InputError, match="1 class"):
        clone(rung).fit(vectors, codes, draw=a_draw(np.where(codes == 1, 0, -1)))


def test_a_draw_of_other_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="3 rows"):
        PriorClassifier().fit(np.zeros((4, 1)), [0, 0, 1, 1], draw=a_draw(np.zeros(3, int)))


@pytest.mark.parametrize("rung", [LogisticClassifier(penalty=0), SupportVectorClassifier(cost=-1)])
def test_settings_out_of_range_are_refused(rung: BaseEstimator) -> None:
    with pytest.raises(OptionError, match="above 0"):
        rung.fit(*draw_vectors(12, 3))


# ---- logistic regression


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
    rows = np.random.default_rng(0).normal(size=(6, 20)).astype(np.float32)
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
    rung = LogisticClassifier().fit(images, labels)
    by_hand = images.reshape(40, 30) / 255 @ rung.coef_[0] + rung.intercept_[0]
    assert rung.predict_proba(images)[:, 1] == pytest.approx(1 / (1 + np.exp(-by_hand)), abs=1e-5)
    assert np.abs(rung.coef_).argmax() == 2 * 6 + 2
    same = clone(rung).fit(images.astype(np.uint16) * 257, labels)
    assert same.coef_ == pytest.approx(rung.coef_, abs=1e-3)


def test_a_pixel_that_never_changes_weighs_nothing() -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 4, 4), dtype=np.uint8)
    images[:, 0, 0] = 77
    rung = LogisticClassifier().fit(images, images[:, 1, 1] > 127)
    assert abs(rung.coef_[0, 0]) < 1e-6


# ---- support vectors


@pytest.mark.parametrize("n_classes", [2, 3])
def test_scores_are_those_of_scikit_learn(n_classes: int) -> None:
    vectors, codes = draw_vectors(60, 7, n_classes)
    new = draw_vectors(30, 7, n_classes, seed=1)[0]
    rung = SupportVectorClassifier(cost=2.0, gamma=0.8).fit(vectors, codes)
    score = []
    for target in [codes == c for c in ([1] if n_classes == 2 else range(3))]:
        oracle = SVC(C=2.0, gamma=0.8 / 7, class_weight="balanced").fit(z_scores(vectors), target)
        score.append(oracle.decision_function(z_scores(new, vectors)))
    expected = rung.calibration_.proba(np.transpose(score))
    assert rung.predict_proba(new) == pytest.approx(expected, abs=2e-3)


def test_mean_squares_by_hand() -> None:
    assert mean_squares(np.array([[0.0, 0.0], [1.0, 2.0]]), np.array([[3.0, 4.0]])).tolist() == [[12.5], [4.0]]


def test_images_are_described_and_vectors_are_not() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 120, (40, 12, 12), dtype=np.uint8)
    labels = np.arange(40) % 2
    images[labels == 1, 3:9, 3:9] += 60
    rung = SupportVectorClassifier(random_state=0)
    features = rung.extract(images)
    assert features.dtype == np.float32
    on_images, on_features = clone(rung).fit(images, labels), clone(rung).fit(features, labels)
    assert on_images.n_features_in_ == features.shape[1]
    assert np.array_equal(on_images.predict_proba(images), on_features.predict_proba(features))
    assert np.array_equal(on_images.predict_proba(features), on_features.predict_proba(images))
    assert on_images.score(images, labels) == 1


def test_stored_numbers_are_counted() -> None:
    vectors, codes = draw_vectors(40, 6, n_classes=3)
    rung = SupportVectorClassifier().fit(vectors, codes)
    n_support = len(rung.support_vectors_)
    # Support vectors, their 3 weights each, 3 offsets, centre and scale, one slope and 3 biases.
    assert rung.n_parameters_ == n_support * 6 + n_support * 3 + 3 + 12 + 1 + 3


def test_calibration_finds_the_sigmoid_behind_many_scores() -> None:
    rng = np.random.default_rng(0)
    score = rng.normal(size=(20_000, 1))
    codes = (rng.random(20_000) < 1 / (1 + np.exp(-(1.5 * score[:, 0] - 0.5)))).astype(int)
    found = fit_calibration(score, codes, np.array([0.5, 0.5]))
    assert found.slope == pytest.approx(1.5, abs=0.1)
    assert found.bias[1] - found.bias[0] == pytest.approx(-0.5, abs=0.1)


def test_calibration_never_points_backwards() -> None:
    score, codes = np.linspace(-1, 1, 40)[:, None], (np.arange(40) < 20).astype(int)
    found = fit_calibration(score, codes, np.array([0.5, 0.5]))
    assert 0 < found.slope < 1


def test_calibration_by_hand() -> None:
    proba = Calibration(2.0, np.log([0.25, 0.75])).proba(np.array([[0.0], [1.0]]))
    assert proba[0] == pytest.approx([0.25, 0.75])
    assert proba[1, 1] == pytest.approx(3 * np.e**2 / (1 + 3 * np.e**2))


def test_a_part_is_calibrated_by_the_others() -> None:
    score, codes = np.random.default_rng(0).normal(size=(30, 1)), np.arange(30) % 2
    fold, shares = np.arange(30) // 10, np.array([0.5, 0.5])
    proba = calibrate_out_of_part(score, codes, fold, shares)
    flipped = np.where(fold == 1, 1 - codes, codes)
    again = calibrate_out_of_part(score, flipped, fold, shares)
    assert np.array_equal(proba[fold == 1], again[fold == 1])
    assert not np.allclose(proba[fold == 0], again[fold == 0])


# ---- real images


def test_both_rungs_learn_real_radiographs(shared_data: Callable[[str], Path]) -> None:
    with np.load(shared_data("pneumoniamnist.npz")) as cohort:
        images = np.concatenate([cohort["train_images"][:400], cohort["val_images"]])
        labels = np.concatenate([cohort["train_labels"][:400], cohort["val_labels"]]).ravel()
    rows = np.arange(400)
    draw = Draw(rows, rows % 5, seed=0)
    svm = SupportVectorClassifier()
    for rung, seen, floor in ((LogisticClassifier(), images, 0.96), (svm, svm.extract(images), 0.97)):
        [fitted] = fit_many(rung, seen, labels, [draw])
        assert roc_auc_score(labels[400:], fitted.predict_proba(seen[400:])[:, 1]) > floor
        assert roc_auc_score(labels[rows], fitted.out_of_part_proba_[:, 1]) > floor - 0.02
