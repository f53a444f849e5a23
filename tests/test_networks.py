"""The rungs `nn` and `dnn`: scikit-learn's contract, the contract of draws, and real images."""

from __future__ import annotations

import json
import math
from unittest import SkipTest

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.utils.estimator_checks import estimator_checks_generator

from medladder.architecture import count_parameters
from medladder.errors import FitError, InputError, OptionError
from medladder.rungs.draws import Draw, draw_by_row, fit_many
from medladder.rungs.networks import DeepNetworkClassifier, NeuralNetworkClassifier

QUICK = {"epochs": 8, "members": 3, "random_state": 0}


pytestmark = pytest.mark.usefixtures("one_thread")


def spots(n: int = 80, shape: tuple[int, ...] = (6, 6), classes: str = "ab") -> tuple[np.ndarray, np.ndarray]:
    """Noise images in which a class brightens its own rows."""
    rng = np.random.default_rng(2)
    codes = np.arange(n) % len(classes)
    images = rng.integers(0, 150, (n, *shape)).astype(np.uint8)
    for code in range(len(classes)):
        images[codes == code, code] += 60
    return images, np.array(list(classes))[codes]


@pytest.mark.parametrize("rung", [NeuralNetworkClassifier, DeepNetworkClassifier])
def test_scikit_learns_estimator_checks_pass_in_full(rung):
    passed, absent = 0, []
    for estimator, check in estimator_checks_generator(rung(random_state=0)):
        try:
            check(estimator)
            passed += 1
        except SkipTest as reason:
            absent.append(str(reason))
    print(f"{rung.__name__}: {passed} checks passed, {len(absent)} need a library that is absent: {absent}")
    assert passed >= 55
    assert all("SCIPY_ARRAY_API" in reason for reason in absent)


@pytest.mark.parametrize("shape", [(36,), (6, 6), (6, 6, 3), (4, 6, 6, 1)])
@pytest.mark.parametrize("rung", [NeuralNetworkClassifier, DeepNetworkClassifier])
def test_vectors_images_and_volumes_are_taken(rung, shape):
    images, labels = spots(shape=shape)
    fitted = rung(**QUICK).fit(images, labels)
    inputs = int(np.prod(shape))
    assert fitted.n_features_in_ == inputs
    assert fitted.predict_proba(images).shape == (80, 2)
    assert fitted.n_parameters_ == 3 * count_parameters((inputs, *fitted.hidden_widths(inputs, 2), 1))


def test_more_classes_have_an_output_node_each():
    images, labels = spots(classes="abcd")
    fitted = DeepNetworkClassifier(**QUICK).fit(images, labels)
    assert fitted.classes_.tolist() == ["a", "b", "c", "d"]
    assert fitted.n_parameters_ == 3 * count_parameters((36, 256, 64, 16, 4))
    np.testing.assert_allclose(fitted.predict_proba(images).sum(axis=1), 1)
    assert (fitted.predict(images) == labels).mean() > 0.8


def test_widths_come_from_the_taper_or_are_named_outright():
    assert NeuralNetworkClassifier(width=100).hidden_widths(784, 2) == (100,)
    assert DeepNetworkClassifier().hidden_widths(784, 2) == (256, 64, 16)
    assert DeepNetworkClassifier(depth=4, width=512, taper=0.5).hidden_widths(784, 2) == (512, 256, 128, 64)
    assert DeepNetworkClassifier(widths="30-20").hidden_widths(784, 2) == (30, 20)
    assert DeepNetworkClassifier(widths=(30, 20)).hidden_widths(784, 2) == (30, 20)
    assert DeepNetworkClassifier(widths=[30]).hidden_widths(784, 2) == (30,)


@pytest.mark.parametrize("shape", [(28, 28), (64, 64), (224, 224, 3), (16, 32, 32, 1)])
@pytest.mark.parametrize("n_classes", [2, 9])
@pytest.mark.parametrize(
    "settings", [{"taper": 1}, {"taper": 1, "depth": 5}, {"taper": 0.5}, {"taper": 0.25, "depth": 1}]
)
def test_an_equal_width_holds_as_many_parameters_as_the_default(shape, n_classes, settings):
    n_inputs = math.prod(shape)
    tapered, other = (
        rung.model_bytes(shape, n_classes)
        for rung in (DeepNetworkClassifier(), DeepNetworkClassifier(width="equal", **settings))
    )
    assert 0.99 * tapered <= other <= tapered
    assert DeepNetworkClassifier(width="equal").hidden_widths(n_inputs, n_classes) == (256, 64, 16)


def test_an_equal_width_follows_the_classes_of_each_draw_alone_or_among_others():
    images, labels = spots(n=90, classes="abc")
    rung = DeepNetworkClassifier(**QUICK, taper=1, width="equal")
    two = np.flatnonzero(labels != "c")
    draws = [draw_by_row(labels, seed=0), Draw(two, np.arange(len(two)) % 3, seed=1)]
    together = fit_many(rung, images, labels, draws)
    for fitted, draw, n_classes in zip(together, draws, (3, 2), strict=True):
        [alone] = fit_many(rung, images, labels, [draw])
        np.testing.assert_array_equal(fitted.predict_proba(images), alone.predict_proba(images))
        nodes = (36, *rung.hidden_widths(36, n_classes), 1 if n_classes == 2 else 3)
        assert fitted.n_parameters_ == 3 * count_parameters(nodes)


def test_a_fitted_network_of_equal_width_is_that_wide():
    images, labels = spots()
    fitted = DeepNetworkClassifier(**QUICK, taper=1, width="equal").fit(images, labels)
    width, *others = fitted.hidden_widths(36, 2)
    assert others == [width, width]  # 36·256 + 256 + 64·257 + 16·65 + 17 = 26,977 ≥ 2·w² + 40·w + 1
    assert width == 106
    assert fitted.n_parameters_ == 3 * (2 * 106**2 + 40 * 106 + 1)
    assert fitted.n_parameters_ == 3 * count_parameters((36, 106, 106, 106, 1)) <= 3 * 26_977


@pytest.mark.parametrize(
    "settings", [{"widths": "30-x"}, {"depth": 0}, {"taper": 2}, {"activation": "rleu"}, {"members": 0}]
)
def test_settings_are_refused_before_anything_is_trained(settings):
    with pytest.raises(OptionError):
        DeepNetworkClassifier(**settings).check_settings()
    with pytest.raises(OptionError):
        DeepNetworkClassifier(**settings).fit(*spots())


def test_one_class_cannot_be_told_apart():
    images, _ = spots()
    with pytest.raises(InputError, match="1 class"):
        NeuralNetworkClassifier(**QUICK).fit(images, np.zeros(80))


def test_images_of_another_size_are_refused():
    images, labels = spots()
    fitted = NeuralNetworkClassifier(**QUICK).fit(images, labels)
    with pytest.raises(ValueError, match="features"):
        fitted.predict_proba(images[:, :5])


def test_a_lone_fit_is_a_fleet_of_one():
    images, labels = spots()
    draw = draw_by_row(labels, seed=5)
    rung = DeepNetworkClassifier(**QUICK)
    draws = [draw_by_row(labels, seed=4), draw, draw_by_row(labels, seed=6)]
    from_fleet = fit_many(rung, images, labels, draws)[1]
    alone = clone(rung).fit(images, labels, draw=draw)
    assert np.array_equal(from_fleet.predict_proba(images), alone.predict_proba(images))
    np.testing.assert_array_equal(from_fleet.out_of_part_proba_, alone.out_of_part_proba_)
    assert not hasattr(rung, "classes_")


def test_the_rows_of_a_draw_are_the_rows_of_a_lone_fit():
    images, labels = spots()
    rows = np.random.default_rng(0).permutation(80)[:50]
    inner = draw_by_row(labels[rows], seed=5)
    [from_fleet] = fit_many(DeepNetworkClassifier(**QUICK), images, labels, [Draw(rows, inner.fold, 5)])
    alone = DeepNetworkClassifier(**QUICK).fit(images[rows], labels[rows], draw=Draw(np.arange(50), inner.fold, 5))
    assert np.array_equal(from_fleet.predict_proba(images), alone.predict_proba(images))
    np.testing.assert_array_equal(from_fleet.out_of_part_proba_, alone.out_of_part_proba_)


def test_the_seed_decides_everything():
    images, labels = spots()
    first, again, other = (
        NeuralNetworkClassifier(**{**QUICK, "random_state": seed}).fit(images, labels).predict_proba(images)
        for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_rows_are_answered_out_of_part_by_the_members_that_held_them_out():
    images, labels = spots()
    draw = draw_by_row(labels, seed=0)  # five parts, three members: parts 3 and 4 are never held out
    fitted = DeepNetworkClassifier(**QUICK).fit(images, labels, draw=draw)
    held_out = draw.fold < 3
    assert np.isnan(fitted.out_of_part_proba_[~held_out]).all()
    np.testing.assert_allclose(fitted.out_of_part_proba_[held_out].sum(axis=1), 1)


def test_a_lone_member_holds_nothing_out_and_answers_nothing_out_of_part():
    images, labels = spots()
    lone = DeepNetworkClassifier(**{**QUICK, "members": 1}).fit(images, labels, draw=draw_by_row(labels, seed=0))
    assert np.isnan(lone.out_of_part_proba_).all()
    assert lone.chosen_["epochs"] == [8.0]


def test_a_lone_part_is_answered_by_every_member():
    images, labels = spots()
    fold = np.where(np.arange(80) < 20, 0, -1)
    fitted = NeuralNetworkClassifier(**QUICK).fit(images, labels, draw=Draw(np.arange(80), fold, 1))
    assert np.array_equal(fitted.out_of_part_proba_[:20], fitted.predict_proba(images[:20]))
    assert np.isnan(fitted.out_of_part_proba_[20:]).all()


def test_with_no_part_there_is_nothing_to_choose_on():
    images, labels = spots()
    draw = Draw(np.arange(80), np.full(80, -1), seed=1)
    fitted = NeuralNetworkClassifier(**QUICK).fit(images, labels, draw=draw)
    assert fitted.chosen_ == {"epochs": [8.0, 8.0, 8.0], "basis": "pixels"}
    assert np.isnan(fitted.out_of_part_proba_).all()


def test_what_was_chosen_can_be_written_as_json():
    fitted = NeuralNetworkClassifier(**QUICK).fit(*spots())
    assert json.loads(json.dumps(fitted.chosen_)) == fitted.chosen_
    assert len(fitted.chosen_["epochs"]) == 3


def test_a_draw_of_one_class_fails_alone():
    images, labels = spots()
    only_a = np.flatnonzero(labels == "a")
    none = Draw(only_a, np.full(len(only_a), -1), seed=1)
    fitted, failed = fit_many(NeuralNetworkClassifier(**QUICK), images, labels, [draw_by_row(labels, 0), none])
    assert isinstance(fitted, NeuralNetworkClassifier)
    assert isinstance(failed, FitError)
    assert "hold 1 class: ['a']" in str(failed)


def test_a_class_absent_from_a_subset_is_absent_from_its_answer():
    images, labels = spots(classes="abc")
    without = np.flatnonzero(labels != "b")
    inner = draw_by_row(labels[without], seed=0)
    whole, part = fit_many(
        DeepNetworkClassifier(**QUICK),
        images,
        labels,
        [draw_by_row(labels, 0), Draw(without, inner.fold, 0)],
    )
    assert whole.classes_.tolist() == ["a", "b", "c"]
    assert part.classes_.tolist() == ["a", "c"]
    assert part.predict_proba(images).shape == (80, 2)


def test_balanced_weights_raise_the_rare_class():
    images, labels = spots(n=200)
    keep = np.flatnonzero((labels == "a") | (np.arange(200) % 8 == 1))
    plain, balanced = (
        NeuralNetworkClassifier(**QUICK, class_weight=weight).fit(images[keep], labels[keep]).predict_proba(images)
        for weight in (None, "balanced")
    )
    assert balanced[:, 1].mean() > plain[:, 1].mean()


@pytest.mark.parametrize("rung", [NeuralNetworkClassifier, DeepNetworkClassifier])
def test_pneumonia_is_told_from_few_radiographs(rung, shared_data):
    """128 radiographs to learn from; a floor far under what was measured (.97 on such rows)."""
    with np.load(shared_data("pneumoniamnist.npz")) as data:
        images, labels = data["val_images"], data["val_labels"].ravel()
    fitted = rung(random_state=0).fit(images[:128], labels[:128])
    assert roc_auc_score(labels[128:], fitted.predict_proba(images[128:])[:, 1]) > 0.93
    assert roc_auc_score(labels[:128], fitted.out_of_part_proba_[:, 1]) > 0.93


def test_labels_for_choosing_only_weigh_nothing():
    labels = np.array([0, 1] * 20 + [0] * 20)
    rung = NeuralNetworkClassifier(class_weight="balanced")
    draw = Draw(np.arange(60), np.where(np.arange(60) < 40, -1, 0), seed=0)
    assert rung._sample(labels, draw).class_weights.tolist() == [1, 1]


@pytest.mark.parametrize("rung", [NeuralNetworkClassifier, DeepNetworkClassifier])
def test_an_unknown_device_is_refused(rung):
    images, labels = spots()
    with pytest.raises(OptionError, match="Unknown device 'nonsense'"):
        rung(**QUICK, device="nonsense").fit(images, labels)


def test_an_unknown_weight_of_classes_is_refused_before_anything_is_trained():
    with pytest.raises(OptionError, match="Did you mean 'balanced'"):
        NeuralNetworkClassifier(class_weight="balancd").check_settings()
