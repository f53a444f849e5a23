"""Support vectors: scikit-learn as the oracle, on features and on vectors."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.svm import SVC

from drawn_vectors import draw_vectors, z_scores
from medladder.rungs.support_vectors import SupportVectorClassifier, mean_squares


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
