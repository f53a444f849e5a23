"""What every conventional rung promises: scikit-learn's own checks, and what the parts are for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.metrics import roc_auc_score
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import check_estimator

from drawn_vectors import a_draw, draw_vectors
from medladder.errors import InputError, OptionError
from medladder.rungs.draws import Draw, draw_by_row, fit_many
from medladder.rungs.logistic import LogisticClassifier
from medladder.rungs.prior import PriorClassifier
from medladder.rungs.support_vectors import SupportVectorClassifier
from medladder.rungs.trees import BoostingClassifier, ForestClassifier

RUNGS = [
    PriorClassifier(),
    LogisticClassifier(),
    SupportVectorClassifier(),
    ForestClassifier(),
    BoostingClassifier(),
]
CHOOSING = RUNGS[1:]


@pytest.mark.parametrize(
    "rung",
    [*RUNGS[:3], ForestClassifier(trees=20), BoostingClassifier(rounds=10)],  # fewer trees, sooner checked
    ids=lambda rung: type(rung).__name__,
)
def test_estimator_checks_pass_in_full(rung: BaseEstimator) -> None:
    assert get_tags(rung).input_tags.two_d_array
    checks = check_estimator(rung, on_skip=None)
    by_status = {s: [c["check_name"] for c in checks if c["status"] == s] for s in ("passed", "skipped")}
    print(f"{type(rung).__name__}: {len(by_status['passed'])} of {len(checks)} estimator checks passed")
    assert len(by_status["passed"]) >= 54
    assert len(by_status["passed"]) + len(by_status["skipped"]) == len(checks)
    # Skipped only where scikit-learn lacks what it checks with: array-API mode.
    assert set(by_status["skipped"]) <= {"check_array_api_input"}


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


@pytest.mark.parametrize(
    "rung",
    [
        LogisticClassifier(penalty=0.7),
        SupportVectorClassifier(cost=0.7, gamma=0.5),
        ForestClassifier(20, random_state=0),
        BoostingClassifier(rounds=5, random_state=0),
    ],
    ids=lambda rung: type(rung).__name__,
)
@pytest.mark.parametrize("d", [5, 90])
def test_no_model_trains_on_a_lone_part(rung: BaseEstimator, d: int) -> None:
    vectors, codes = draw_vectors(60, d)
    fold = np.where(np.arange(60) < 45, -1, 0)
    spoilt, flipped = vectors.copy(), codes.copy()
    spoilt[45:] += 100 * np.random.default_rng(1).normal(size=(15, d))
    flipped[45:] = 1 - codes[45:]
    kept = [clone(rung).fit(v, c, draw=a_draw(fold)) for v, c in ((vectors, codes), (spoilt, flipped))]
    if isinstance(rung, LogisticClassifier):
        assert kept[0].coef_ == pytest.approx(kept[1].coef_, rel=1e-3, abs=1e-4)
    elif isinstance(rung, SupportVectorClassifier):  # its calibration may read the part; its machine may not
        assert kept[0].dual_coef_ == pytest.approx(kept[1].dual_coef_, abs=1e-4)
        assert len(kept[0].support_vectors_) <= 45
    else:  # the same for a forest's calibration
        voted = [np.stack([m.predict_proba(vectors) for m in one.members_]) for one in kept]
        assert np.array_equal(*voted)


@pytest.mark.parametrize("rung", CHOOSING, ids=lambda rung: type(rung).__name__)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_without_a_part_the_defaults_rule(rung: BaseEstimator, n_classes: int) -> None:
    vectors, codes = draw_vectors(45, 8, n_classes)
    fitted = clone(rung).fit(vectors, codes, draw=a_draw(np.full(45, -1)))
    assert np.isnan(fitted.out_of_part_proba_).all()
    assert fitted.predict_proba(vectors).sum(axis=1) == pytest.approx(1)
    assert fitted.score(vectors, codes) > 0.7
    assert (
        fitted.chosen_
        == {
            "LogisticClassifier": {"penalty": 0.3},
            "SupportVectorClassifier": {"cost": 1.0, "gamma": 0.5, "slope": 2.0},
            "ForestClassifier": {"slope": 1.5},
            "BoostingClassifier": {"rounds": [30]},
        }[type(rung).__name__]
    )
    if hasattr(fitted, "calibration_"):
        assert fitted.calibration_.bias == pytest.approx(np.log(np.bincount(codes) / 45))


@pytest.mark.parametrize("rung", CHOOSING, ids=lambda rung: type(rung).__name__)
def test_a_thin_draw_takes_the_defaults_and_still_predicts_its_parts(rung: BaseEstimator) -> None:
    vectors, codes = draw_vectors(16, 30)
    draw = draw_by_row(codes, seed=3)
    assert draw.is_thin
    thin = clone(rung).fit(vectors, codes, draw=draw)
    defaults = clone(rung).fit(vectors, codes, draw=a_draw(np.full(16, -1))).chosen_
    for name in set(defaults) - {"slope"}:
        assert set(np.ravel(thin.chosen_[name])) == set(np.ravel(defaults[name]))
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


@pytest.mark.parametrize("rung", RUNGS, ids=lambda rung: type(rung).__name__)
@pytest.mark.parametrize("n", [2, 40])
def test_constant_images_say_no_more_than_the_prevalence(rung: BaseEstimator, n: int) -> None:
    codes = (np.arange(n) < 0.7 * n).astype(int) if n > 2 else np.arange(2)
    images = np.full((n, 6, 6), 77, np.uint8)
    proba = clone(rung).set_params(random_state=0).fit(images, codes).predict_proba(images)
    assert proba[:, 1] == pytest.approx(codes.mean(), abs=0.03)


@pytest.mark.parametrize("rung", RUNGS, ids=lambda rung: type(rung).__name__)
def test_two_images_are_enough(rung: BaseEstimator) -> None:
    images = np.stack([np.zeros((9, 9), np.uint8), np.tile(np.arange(0, 180, 20, dtype=np.uint8), (9, 1))])
    proba = clone(rung).fit(images, ["ill", "well"]).predict_proba(images)
    assert np.isfinite(proba).all()
    assert proba.sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize("rung", RUNGS, ids=lambda rung: type(rung).__name__)
def test_a_pixel_that_is_not_a_number_is_refused(rung: BaseEstimator) -> None:
    images = np.random.default_rng(0).random((12, 8, 8), dtype=np.float32)
    images[3, 2, 2] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        clone(rung).fit(images, np.arange(12) % 2)


@pytest.mark.parametrize("rung", RUNGS, ids=lambda rung: type(rung).__name__)
def test_a_class_may_have_one_row(rung: BaseEstimator) -> None:
    vectors, codes = draw_vectors(31, 6)
    codes[:] = np.arange(31) % 2
    codes[-1] = 2
    fitted = clone(rung).fit(vectors, codes)
    assert np.isnan(fitted.out_of_part_proba_).all(), "nothing to hold out by"
    proba = fitted.predict_proba(vectors)
    assert proba.shape == (31, 3)
    assert proba.sum(axis=1) == pytest.approx(1)


def test_a_draw_of_other_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="3 rows"):
        PriorClassifier().fit(np.zeros((4, 1)), [0, 0, 1, 1], draw=a_draw(np.zeros(3, int)))


@pytest.mark.parametrize(
    "rung",
    [
        LogisticClassifier(penalty=0),
        SupportVectorClassifier(cost=-1),
        ForestClassifier(trees=0),
        ForestClassifier(depth=-2),
        BoostingClassifier(learning_rate=0),
        BoostingClassifier(rounds=0),
    ],
)
def test_settings_out_of_range_are_refused(rung: BaseEstimator) -> None:
    with pytest.raises(OptionError, match="above 0"):
        rung.fit(*draw_vectors(12, 3))


def test_every_rung_learns_real_radiographs(shared_data: Callable[[str], Path]) -> None:
    with np.load(shared_data("pneumoniamnist.npz")) as cohort:
        images = np.concatenate([cohort["train_images"][:400], cohort["val_images"]])
        labels = np.concatenate([cohort["train_labels"][:400], cohort["val_labels"]]).ravel()
    rows = np.arange(400)
    draw = Draw(rows, rows % 5, seed=0)
    svm, forest, boosting = SupportVectorClassifier(), ForestClassifier(100), BoostingClassifier()
    features = svm.extract(images)
    rungs = ((LogisticClassifier(), images, 0.96), *((one, features, 0.97) for one in (svm, forest, boosting)))
    for rung, seen, floor in rungs:
        [fitted] = fit_many(rung, seen, labels, [draw])
        assert roc_auc_score(labels[400:], fitted.predict_proba(seen[400:])[:, 1]) > floor
        assert roc_auc_score(labels[rows], fitted.out_of_part_proba_[:, 1]) > floor - 0.02
