"""Every rung × every promise: what no rung may do to a person, whatever the images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from medladder import rungs
from medladder.errors import FitError
from medladder.rungs.draws import Draw, draw_by_row, fit_many

QUICK = {
    "forest": {"trees": 20},
    "boosting": {"rounds": 10},
    "nn": {"epochs": 3, "members": 2},
    "dnn": {"epochs": 3, "members": 2},
    "cnn": {"epochs": 2, "members": 2, "width": 16},
}
KINDS = [rung.name for rung in rungs.LADDER if rung.name != "pretrained"]  # it sees no image without a backbone


pytestmark = pytest.mark.usefixtures("one_thread")


def build(kind: str) -> Any:
    rung = rungs.build(rungs.parse_rung(kind))
    return rung.set_params(**QUICK.get(kind, {}))


def seen(kind: str, images: np.ndarray) -> np.ndarray:
    """Images as the study shows them to the rung: those with `extract` are fitted on what it gives."""
    rung = build(kind)
    return rung.extract(images) if hasattr(rung, "extract") else images


def noise(n: int = 40, side: int = 10) -> tuple[np.ndarray, np.ndarray]:
    labels = np.arange(n) % 2
    images = np.random.default_rng(1).integers(0, 150, (n, side, side)).astype(np.uint8)
    images[labels == 1, :4] += 80
    return images, labels


def answer(kind: str, images: np.ndarray, labels: np.ndarray, draw: Draw) -> np.ndarray | FitError:
    view = seen(kind, images)
    [fitted] = fit_many(build(kind), view, labels, [draw])
    return fitted if isinstance(fitted, FitError) else fitted.predict_proba(view)


def assert_probabilities(proba: np.ndarray | FitError, n: int) -> None:
    assert not isinstance(proba, FitError), str(proba)
    assert proba.shape == (n, 2)
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-6)
    assert proba.min() >= 0


@pytest.mark.parametrize("kind", KINDS)
def test_images_without_any_contrast_give_probabilities(kind: str) -> None:
    labels = np.arange(24) % 2
    for level in (0, 128, 255):
        images = np.full((24, 10, 10), level, np.uint8)
        assert_probabilities(answer(kind, images, labels, draw_by_row(labels, seed=0)), 24)


@pytest.mark.parametrize("kind", KINDS)
def test_one_image_without_contrast_among_others_is_survived(kind: str) -> None:
    images, labels = noise()
    images[3] = 77
    assert_probabilities(answer(kind, images, labels, draw_by_row(labels, seed=0)), 40)


@pytest.mark.parametrize("kind", KINDS)
def test_a_value_that_is_no_number_is_refused(kind: str) -> None:
    images, labels = noise()
    broken = images / 255
    broken[5, 2, 2] = np.nan
    with pytest.raises(ValueError, match=r"NaN|finite|number"):
        build(kind).fit(broken, labels)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "prior"])
def test_a_subset_of_one_class_is_refused_and_costs_itself_only(kind: str) -> None:
    images, labels = noise()
    view = seen(kind, images)
    lone = np.flatnonzero(labels == 1)
    draws = [draw_by_row(labels, seed=0), Draw(lone, np.full(len(lone), -1), seed=0, is_thin=True)]
    fitted, refused = fit_many(build(kind), view, labels, draws)
    assert_probabilities(fitted.predict_proba(view), 40)
    assert isinstance(refused, FitError)
    assert "1 class" in str(refused)
    assert "Add images" in str(refused)


@pytest.mark.parametrize("kind", KINDS)
def test_two_images_are_enough_to_answer(kind: str) -> None:
    images, labels = noise()
    draw = Draw(np.array([0, 1]), np.full(2, -1), seed=0, is_thin=True)
    assert_probabilities(answer(kind, images, labels, draw), 40)


@pytest.mark.parametrize("kind", KINDS)
def test_a_class_with_one_image_is_enough_to_answer(kind: str) -> None:
    images, labels = noise()
    rows = np.append(np.flatnonzero(labels == 0), 1)
    drawn = draw_by_row(labels[rows], seed=0)
    assert_probabilities(answer(kind, images, labels, Draw(rows, drawn.fold, 0, is_thin=True)), 40)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_outside_the_draw_change_nothing(kind: str) -> None:
    images, labels = noise(60)
    rows = np.arange(40)
    drawn = draw_by_row(labels[rows], seed=3)
    draw = Draw(rows, drawn.fold, seed=3)
    others = images.copy()
    others[40:] = 255 - others[40:]
    flipped = np.append(labels[:40], 1 - labels[40:])
    first = answer(kind, images, labels, draw)
    second = answer(kind, others, flipped, draw)
    np.testing.assert_array_equal(first[:40], second[:40])


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_answer(kind: str) -> None:
    images, labels = noise()
    draw = draw_by_row(labels, seed=5)
    np.testing.assert_array_equal(answer(kind, images, labels, draw), answer(kind, images, labels, draw))


@pytest.mark.parametrize("shape", [(12, 12, 3), (6, 8, 8, 1)])
@pytest.mark.parametrize("kind", KINDS)
def test_colour_and_volumes_are_taken(kind: str, shape: tuple[int, ...]) -> None:
    labels = np.arange(24) % 2
    images = np.random.default_rng(0).integers(0, 200, (24, *shape)).astype(np.uint8)
    assert_probabilities(answer(kind, images, labels, draw_by_row(labels, seed=0)), 24)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "prior"])
def test_a_rare_class_is_ranked_all_the_same(kind: str) -> None:
    images, _ = noise(120)
    labels = (np.arange(120) % 12 == 0).astype(int)
    images[:, :4] -= np.minimum(images[:, :4], 80)
    images[labels == 1, :4] += 80
    rung = build(kind).set_params(**({"epochs": 25} if kind in ("nn", "dnn", "cnn") else {}))
    view = seen(kind, images)
    [fitted] = fit_many(rung, view, labels, [draw_by_row(labels, seed=0)])
    proba = fitted.predict_proba(view)[:, 1]
    assert proba[labels == 1].mean() > 2 * proba[labels == 0].mean()
