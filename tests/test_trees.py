"""Forests and boosting: who sees what, what is counted, and what the settings do."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier

from drawn_vectors import a_draw, draw_vectors
from medladder.rungs.trees import BoostingClassifier, ForestClassifier

THIRDS = np.arange(60) // 7 % 3


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_forest_is_the_trees_of_its_parts_calibrated(n_classes: int) -> None:
    vectors, codes = draw_vectors(60, 8, n_classes)
    rung = ForestClassifier(trees=31, random_state=0).fit(vectors, codes, draw=a_draw(THIRDS))
    assert [len(member.estimators_) for member in rung.members_] == [11, 11, 11]
    votes = []
    for part, seed in enumerate(np.random.SeedSequence(0).generate_state(3)):
        oracle = ExtraTreesClassifier(11, max_features=0.1, class_weight="balanced", random_state=int(seed))
        votes.append(oracle.fit(vectors[part != THIRDS], codes[part != THIRDS]).predict_proba(vectors))
    doubt = 0.5 / 31
    log_votes = np.log((np.mean(votes, axis=0) + doubt / n_classes) / (1 + doubt))
    score = log_votes if n_classes > 2 else log_votes[:, [1]] - log_votes[:, [0]]
    assert rung.predict_proba(vectors) == pytest.approx(rung.calibration_.proba(score))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_boosting_is_the_mean_of_its_parts_members(n_classes: int) -> None:
    vectors, codes = draw_vectors(60, 8, n_classes)
    rung = BoostingClassifier(depth=2, random_state=0).fit(vectors, codes, draw=a_draw(THIRDS))
    alone = []
    for part, seed in enumerate(np.random.SeedSequence(0).generate_state(3)):
        held = part == THIRDS
        oracle = HistGradientBoostingClassifier(
            max_iter=300, max_depth=2, max_leaf_nodes=None, min_samples_leaf=int((~held).sum()) // 10,
            max_features=0.1, max_bins=32, early_stopping=True, n_iter_no_change=10,
            random_state=int(seed),
        )  # fmt: skip
        oracle.fit(vectors[~held], codes[~held], X_val=vectors[held], y_val=codes[held])
        alone.append(oracle.predict_proba(vectors))
        assert rung.out_of_part_proba_[held] == pytest.approx(alone[-1][held])
        assert rung.chosen_["rounds"][part] == oracle.n_iter_
    assert rung.predict_proba(vectors) == pytest.approx(np.mean(alone, axis=0))


@pytest.mark.parametrize("rung", [ForestClassifier(20, random_state=0), BoostingClassifier(rounds=5, random_state=0)])
def test_no_tree_that_speaks_of_a_part_has_seen_it(rung: ForestClassifier | BoostingClassifier) -> None:
    vectors, codes = draw_vectors(60, 8)
    spoilt = vectors + 100 * (THIRDS == 1)[:, None] * np.random.default_rng(1).normal(size=vectors.shape)
    fitted = [clone(rung).fit(seen, codes, draw=a_draw(THIRDS)) for seen in (vectors, spoilt)]
    said = [[member.predict_proba(vectors) for member in one.members_] for one in fitted]
    assert [np.array_equal(a, b) for a, b in zip(*said, strict=True)] == [False, True, False]


def test_votes_are_smoothed_by_half_a_tree() -> None:
    rung = ForestClassifier(trees=50)
    rung.classes_ = np.arange(2)
    assert rung._score(np.array([[0.0, 1.0], [0.5, 0.5]])) == pytest.approx(np.log([[50.25 / 0.25], [1.0]]))


def test_a_forest_is_sure_only_as_far_as_its_parts_bear_it_out() -> None:
    rng = np.random.default_rng(0)
    vectors, codes = rng.normal(size=(400, 20)), np.arange(400) % 2
    fitted = ForestClassifier(random_state=0).fit(vectors, codes)  # nothing to learn
    assert fitted.predict_proba(rng.normal(size=(200, 20)))[:, 1] == pytest.approx(0.5, abs=0.15)


def test_probabilities_keep_the_prevalence() -> None:
    rng = np.random.default_rng(0)
    codes = (rng.random(1000) < 0.1).astype(int)
    vectors = rng.normal(size=(1000, 5)) + codes[:, None]
    for rung in (ForestClassifier(random_state=0), BoostingClassifier(random_state=0)):
        fitted = rung.fit(vectors, codes)
        assert fitted.out_of_part_proba_[:, 1].mean() == pytest.approx(codes.mean(), abs=0.01)


def test_numbers_of_a_forest_by_hand() -> None:
    # Without parts every tree is one split: 2 numbers, and 2 shares in each of 2 leaves; slope and 2 biases.
    rung = ForestClassifier(trees=3, random_state=0)
    rung.fit([[0.0], [0.0], [1.0], [1.0]], [0, 0, 1, 1], draw=a_draw(np.full(4, -1)))
    assert rung.n_parameters_ == 3 * (2 + 4) + 3


def test_numbers_of_boosting_by_hand() -> None:
    # Each tree is one split: 3 numbers and 2 leaves; one start.
    vectors, codes = np.arange(40.0)[:, None] >= 20, np.arange(40) >= 20
    rung = BoostingClassifier(rounds=4).fit(vectors.astype(float), codes, draw=a_draw(np.full(40, -1)))
    assert rung.n_parameters_ == 4 * (3 + 2) + 1
    assert rung.chosen_ == {"rounds": [4]}


@pytest.mark.parametrize("rung", [ForestClassifier(20, depth=2), BoostingClassifier(depth=2, rounds=5)])
def test_depth_limits_every_tree(rung: ForestClassifier | BoostingClassifier) -> None:
    vectors, codes = draw_vectors(60, 8)
    members = rung.fit(vectors, codes).members_
    if isinstance(rung, ForestClassifier):
        depths = [tree.get_depth() for member in members for tree in member.estimators_]
    else:
        depths = [tree.get_max_depth() for member in members for trees in member._predictors for tree in trees]
    assert max(depths) == 2


def test_a_part_with_a_class_that_the_others_lack_may_stop_boosting() -> None:
    vectors, codes = draw_vectors(60, 5, n_classes=3)
    fold = np.where(codes == 2, 0, np.arange(60) % 2)
    fitted = BoostingClassifier(random_state=0).fit(vectors, codes, draw=a_draw(fold))
    assert fitted.out_of_part_proba_[fold == 0][:, 2] == pytest.approx(0)
    assert fitted.predict_proba(vectors)[codes == 2, 2].mean() > 0.3
