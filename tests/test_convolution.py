"""The rung `cnn`: its layers by hand, its promises, and what only a convolution can learn."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from unittest import SkipTest

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.utils.estimator_checks import estimator_checks_generator
from torch.nn import functional

from medladder.architecture import FEWEST_POSITIONS, MOST_POSITIONS, convolution_layers
from medladder.errors import FitError, InputError, OptionError
from medladder.rungs import filters
from medladder.rungs.convolution import ConvolutionalNetworkClassifier
from medladder.rungs.draws import Draw, draw_by_row, fit_many
from medladder.rungs.networks import NeuralNetworkClassifier
from medladder.rungs.recipe import ConvolutionRecipe
from medladder.rungs.variation import vary

QUICK = {"width": 16, "epochs": 8, "members": 3, "random_state": 0}

STILL = ConvolutionRecipe(
    width=16,
    depth=None,
    members=1,
    weight_decay=0,
    shift=0,
    zoom=0,
    exposure=0,
    flips=None,
    standardise=True,
    learning_rate=0.01,
)


pytestmark = pytest.mark.usefixtures("one_thread")


def spots(n: int = 80, shape: tuple[int, ...] = (6, 6), classes: str = "ab") -> tuple[np.ndarray, np.ndarray]:
    """Noise images in which a class brightens its own rows."""
    rng = np.random.default_rng(2)
    codes = np.arange(n) % len(classes)
    images = rng.integers(0, 150, (n, *shape)).astype(np.uint8)
    for code in range(len(classes)):
        images[codes == code, code] += 60
    return images, np.array(list(classes))[codes]


def blobs(n: int, shape: tuple[int, ...], side: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Noise images; in every second one a small bright blob at a random place."""
    rng = np.random.default_rng(4)
    images = rng.integers(0, 120, (n, *shape)).astype(np.uint8)
    codes = np.arange(n) % 2
    for row in np.flatnonzero(codes == 1):
        corner = [rng.integers(size - side + 1) for size in shape]
        images[row][tuple(slice(at, at + side) for at in corner)] += 70
    return images, codes


def same_bits(one: ConvolutionalNetworkClassifier, other: ConvolutionalNetworkClassifier) -> bool:
    return all(
        np.array_equal(a, b)
        for mine, theirs in zip(one.ensemble_.members, other.ensemble_.members, strict=True)
        for a, b in zip((*mine.weights, *mine.biases), (*theirs.weights, *theirs.biases), strict=True)
    )


def test_scikit_learns_estimator_checks_pass_in_full():
    passed, absent = 0, []
    for estimator, check in estimator_checks_generator(
        ConvolutionalNetworkClassifier(width=16, epochs=15, random_state=0)
    ):
        try:
            check(estimator)
            passed += 1
        except SkipTest as reason:
            absent.append(str(reason))
    print(f"ConvolutionalNetworkClassifier: {passed} checks passed, {len(absent)} need an absent library: {absent}")
    assert passed >= 55
    assert all("SCIPY_ARRAY_API" in reason for reason in absent)


def test_the_layers_of_a_small_picture_by_hand():
    layers = convolution_layers((28, 28))
    assert [layer.channels for layer in layers] == [1, 16, 16, 32, 32, 64, 64, 1]
    assert [layer.size[0] for layer in layers] == [28, 28, 14, 14, 7, 7, 7, 1]  # after pooling
    assert {layer.kernel for layer in layers[1:-1]} == {(3, 3)}
    weights = [9 * 1 * 16, 9 * 16 * 16, 9 * 16 * 32, 9 * 32 * 32, 9 * 32 * 64, 9 * 64 * 64, 2 * 64 * 1]
    assert [layer.parameters for layer in layers] == [
        0,
        *(n + after for n, after in zip(weights, (16, 16, 32, 32, 64, 64, 1), strict=True)),
    ]
    positions = [784, 784, 196, 196, 49, 49, 1]  # a stage is halved after its two convolutions
    assert [layer.multiply_adds for layer in layers[1:]] == [n * at for n, at in zip(weights, positions, strict=True)]
    assert [layer.nodes for layer in layers] == [784, 12544, 3136, 6272, 1568, 3136, 3136, 1]


def test_a_large_image_costs_little_more_than_a_small_one():
    small, large = (sum(layer.multiply_adds for layer in convolution_layers((n, n, 3))) for n in (64, 512))
    assert large < 2 * small  # 64 times the pixels
    first = convolution_layers((224, 224, 3))[1]
    assert (first.stride, first.kernel, first.size) == ((4, 4), (6, 6), (56, 56))  # 75×75 would be too many positions


def test_a_vector_is_one_position_with_a_channel_a_column():
    layers = convolution_layers((10,), width=20, n_classes=3)
    assert [(layer.size, layer.channels, layer.kernel) for layer in layers] == [
        ((1, 1), 10, (1, 1)),
        ((1, 1), 20, (1, 1)),
        ((1, 1), 20, (1, 1)),
        ((1, 1), 3, (1, 1)),
    ]
    assert sum(layer.parameters for layer in layers) == (10 * 20 + 20) + (20 * 20 + 20) + (2 * 20 * 3 + 3)


@given(st.lists(st.integers(1, 600), min_size=1, max_size=3), st.integers(1, 4), st.integers(2, 5))
def test_any_image_has_a_plan_that_halves_to_few_positions(grid, channels, n_classes):
    layers = convolution_layers((*grid, channels), n_classes=n_classes)
    sizes = [math.prod(layer.size) for layer in layers[1:-1]]
    assert max(sizes) <= MOST_POSITIONS
    assert sizes == sorted(sizes, reverse=True)
    assert 1 <= sizes[-1] <= FEWEST_POSITIONS
    assert layers[-2].channels == 64
    assert layers[-1].nodes == (1 if n_classes == 2 else n_classes)


@pytest.mark.parametrize(
    "shape", [(7,), (6, 6), (20, 17), (70, 66, 3), (9, 12, 10, 1), (1, 30, 30, 2), (20, 20, 20, 1)]
)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_layers_are_those_of_the_built_network(shape, n_classes):
    layers = convolution_layers(shape, width=8, n_classes=n_classes)
    learner = filters._Learner(layers, np.random.default_rng(0), torch.device("cpu"))
    weights = learner.see(learner.fold())
    assert [weight.numel() + bias.numel() for weight, bias in weights] == [layer.parameters for layer in layers[1:]]
    seen = torch.zeros(2, layers[0].channels, *layers[0].size)
    for layer, (weight, bias) in zip(layers[1:-1], weights[:-1], strict=True):
        convolved = filters.convolved(seen, weight, bias, layer)
        assert convolved[0, 0].numel() * weight.numel() == layer.multiply_adds
        seen = filters.pooled(convolved, layer)
        assert seen.shape == (2, layer.channels, *layer.size)
        assert seen[0].numel() == layer.nodes
    assert filters.answered(seen, *weights[-1]).shape == (2, layers[-1].nodes)


def test_what_is_kept_is_the_network_with_its_normalisation_folded_in():
    layers = convolution_layers((12, 12), width=8)
    learner = filters._Learner(layers, np.random.default_rng(0), torch.device("cpu"))
    rng = torch.Generator().manual_seed(0)
    batch = torch.randn(16, 1, 12, 12, generator=rng)
    for step in range(1, 4):
        learner.logits(2 * batch + 1, step)
    for gain, bias in zip(learner.gains, learner.biases, strict=False):
        gain.data.uniform_(0.5, 2, generator=rng)
        bias.data.uniform_(-1, 1, generator=rng)
    expected = batch
    for index, layer in enumerate(layers[1:-1]):
        expected = filters.convolved(expected, learner.weights[index], None, layer)
        remembered = learner.means[index], learner.variances[index]
        expected = functional.batch_norm(expected, *remembered, learner.gains[index], learner.biases[index])
        expected = filters.pooled(expected, layer).relu()
    expected = filters.answered(expected, learner.weights[-1], learner.biases[-1])
    found = filters._logits(layers, learner.see(learner.fold()), batch)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_the_first_means_and_variances_remembered_are_those_of_the_first_batch():
    layers = convolution_layers((6, 6), width=4)
    learner = filters._Learner(layers, np.random.default_rng(0), torch.device("cpu"))
    batch = torch.randn(8, 1, 6, 6, generator=torch.Generator().manual_seed(0)) + 3
    learner.logits(batch, 1)
    sums = filters.convolved(batch, learner.weights[0], None, layers[1]).detach()
    torch.testing.assert_close(learner.means[0], sums.mean(dim=(0, 2, 3)))
    torch.testing.assert_close(learner.variances[0], sums.var(dim=(0, 2, 3)))


@pytest.mark.parametrize("shape", [(36,), (6, 6), (6, 6, 3), (4, 6, 6, 1)])
def test_vectors_pictures_and_volumes_are_taken(shape):
    images, labels = spots(shape=shape)
    fitted = ConvolutionalNetworkClassifier(**QUICK).fit(images, labels)
    assert fitted.predict_proba(images).shape == (80, 2)
    assert (fitted.predict(images) == labels).mean() > 0.8
    assert fitted.n_parameters_ == 3 * sum(layer.parameters for layer in convolution_layers(shape, width=16))


def test_a_blob_at_a_random_place_is_found_by_a_convolution_only():
    images, codes = blobs(500, (16, 16))
    settings = {"epochs": 25, "members": 1, "random_state": 0}
    convolutional, dense = (
        roc_auc_score(codes[200:], rung.fit(images[:200], codes[:200]).predict_proba(images[200:])[:, 1])
        for rung in (ConvolutionalNetworkClassifier(width=16, **settings), NeuralNetworkClassifier(**settings))
    )
    assert convolutional > 0.97
    assert dense < 0.8


def test_a_blob_in_a_volume_is_found():
    images, codes = blobs(300, (8, 10, 10))
    fitted = ConvolutionalNetworkClassifier(width=16, epochs=25, members=1, random_state=0)
    fitted.fit(images[:160, ..., None], codes[:160])
    assert roc_auc_score(codes[160:], fitted.predict_proba(images[160:, ..., None])[:, 1]) > 0.95


def test_colour_alone_tells_classes_apart():
    rng = np.random.default_rng(0)
    images = rng.integers(60, 120, (120, 8, 8, 3)).astype(np.uint8)
    codes = np.arange(120) % 3
    for code in range(3):
        images[codes == code, ..., code] += 30
    fitted = ConvolutionalNetworkClassifier(**QUICK).fit(images[:60], codes[:60])
    assert (fitted.predict(images[60:]) == codes[60:]).mean() > 0.95


def test_a_network_is_the_same_alone_and_among_others():
    images, labels = spots()
    rung = ConvolutionalNetworkClassifier(**QUICK)
    rows = np.random.default_rng(0).permutation(80)[:50]
    draws = [draw_by_row(labels, seed=4), replace(draw_by_row(labels[rows], seed=5), rows=rows), draw_by_row(labels, 6)]
    together = fit_many(rung, images, labels, draws)
    for draw, fitted in zip(draws, together, strict=True):
        [alone] = fit_many(rung, images, labels, [draw])
        assert same_bits(alone, fitted)
        np.testing.assert_array_equal(fitted.out_of_part_proba_, alone.out_of_part_proba_)
    copied = clone(rung).fit(images[rows], labels[rows], draw=replace(draws[1], rows=np.arange(50)))
    assert same_bits(copied, together[1])
    assert not same_bits(together[0], together[2])
    assert not hasattr(rung, "classes_")


def test_a_rows_answer_does_not_hang_on_its_neighbours():
    images, labels = spots(shape=(9, 9))
    fitted = ConvolutionalNetworkClassifier(**QUICK).fit(images, labels)
    whole = fitted.predict_proba(images)
    assert np.array_equal(fitted.predict_proba(images[5:6]), whole[5:6])
    assert np.array_equal(fitted.predict_proba(images[::-1])[::-1], whole)


def test_rows_are_answered_out_of_part_by_the_members_that_held_them_out():
    images, labels = spots()
    draw = draw_by_row(labels, seed=0)  # five parts, three members: parts 3 and 4 are never held out
    fitted = ConvolutionalNetworkClassifier(**QUICK).fit(images, labels, draw=draw)
    assert np.isnan(fitted.out_of_part_proba_[draw.fold >= 3]).all()
    for part in range(3):
        held = draw.fold == part
        assert np.array_equal(fitted.out_of_part_proba_[held], filters.predict(fitted.ensemble_, images[held], [part]))


def test_a_part_too_large_for_memory_is_asked_about_a_few_images_at_a_time(monkeypatch):
    images, labels = spots()
    at_once = ConvolutionalNetworkClassifier(**QUICK).fit(images, labels)
    asked = []
    ask = ConvolutionalNetworkClassifier._ask
    monkeypatch.setattr(
        ConvolutionalNetworkClassifier,
        "_ask",
        lambda self, x, members=None: (asked.append(len(x)), ask(self, x, members))[1],
    )
    monkeypatch.setattr("medladder.rungs.networks.ROWS_AT_ONCE", 5)
    in_turns = ConvolutionalNetworkClassifier(**QUICK).fit(images, labels)
    np.testing.assert_array_equal(in_turns.out_of_part_proba_, at_once.out_of_part_proba_)
    assert max(asked) == 5


def test_early_stopping_keeps_the_best_on_the_part_held_out():
    images, _ = spots()
    noisy = np.random.default_rng(1).integers(0, 2, len(images))  # labels that can only be learned by heart
    draw = draw_by_row(noisy, 0)
    rung = ConvolutionalNetworkClassifier(width=16, epochs=40, shift=0, zoom=0, exposure=0)
    stopped = clone(rung).fit(images, noisy, draw=draw)
    ended = clone(rung).fit(images, noisy, draw=replace(draw, is_thin=True))
    assert ended.chosen_ == {"epochs": [40.0, 40.0, 40.0]}
    assert json.loads(json.dumps(stopped.chosen_)) == stopped.chosen_
    for member in range(3):
        held = draw.fold == member
        best, last = (
            log_loss(noisy[held], filters.predict(one.ensemble_, images[held], [member])[:, 1])
            for one in (stopped, ended)
        )
        assert stopped.chosen_["epochs"][member] < 40
        assert best < last


def test_pixels_of_any_depth_and_a_memory_map_train_the_same_network(tmp_path):
    images, labels = spots()
    rung = ConvolutionalNetworkClassifier(**QUICK)
    eight, sixteen = (clone(rung).fit(pixels, labels) for pixels in (images, images.astype(np.uint16) * 257))
    expected = eight.predict_proba(images)
    np.testing.assert_allclose(sixteen.predict_proba(images.astype(np.uint16) * 257), expected, atol=1e-3)
    np.save(tmp_path / "images.npy", images)
    mapped = clone(rung).fit(np.load(tmp_path / "images.npy", mmap_mode="r"), labels)
    assert same_bits(mapped, eight)


def test_rows_read_from_the_file_train_the_same_network_as_rows_in_memory(monkeypatch):
    images, labels = spots()
    in_memory = ConvolutionalNetworkClassifier(**QUICK).fit(images, labels)
    monkeypatch.setattr("medladder.rungs.pixels.STORE_BYTES", 0)
    assert same_bits(ConvolutionalNetworkClassifier(**QUICK).fit(images, labels), in_memory)


def test_exposure_says_nothing_unless_it_is_let_in():
    images, labels = spots()
    darker = images.astype(np.float64) / 255 * 0.5 + 0.1
    blind, seeing = (
        ConvolutionalNetworkClassifier(**QUICK, standardise=is_on).fit(images, labels) for is_on in (True, False)
    )
    np.testing.assert_allclose(blind.predict_proba(darker), blind.predict_proba(images), atol=1e-4)
    assert np.abs(seeing.predict_proba(darker) - seeing.predict_proba(images)).max() > 0.02


def test_balanced_weights_raise_the_rare_class():
    images, labels = spots(n=240)
    keep = np.flatnonzero((labels == "a") | (np.arange(240) % 8 == 1))
    images = np.random.default_rng(0).integers(0, 255, images.shape).astype(np.uint8)  # nothing but their numbers
    plain, balanced = (
        ConvolutionalNetworkClassifier(**QUICK, class_weight=weight).fit(images[keep], labels[keep])
        for weight in (None, "balanced")
    )
    rare, even = (one.predict_proba(images)[:, 1].mean() for one in (plain, balanced))
    assert rare < 0.35
    assert even > rare + 0.1


def test_constant_images_are_survived():
    images, labels = np.full((20, 6, 6), 7, dtype=np.uint8), np.arange(20) % 2
    proba = ConvolutionalNetworkClassifier(**QUICK).fit(images, labels).predict_proba(images)
    assert np.isfinite(proba).all()
    assert np.ptp(proba[:, 0]) == 0


def test_two_images_are_enough_to_be_told_apart():
    images, labels = spots(n=2)
    fitted = ConvolutionalNetworkClassifier(**QUICK).fit(images, labels)
    assert fitted.predict(images).tolist() == ["a", "b"]
    assert np.isnan(fitted.out_of_part_proba_).all()


def test_what_cannot_be_learned_from_is_refused():
    images, labels = spots()
    rung = ConvolutionalNetworkClassifier(**QUICK)
    with pytest.raises(InputError, match="1 class"):
        rung.fit(images, np.zeros(80))
    with pytest.raises(ValueError, match="NaN"):
        rung.fit(np.where(images > 200, np.nan, images.astype(float)), labels)
    only_a = np.flatnonzero(labels == "a")
    none = Draw(only_a, np.full(len(only_a), -1), seed=1)
    fitted, failed = fit_many(rung, images, labels, [draw_by_row(labels, 0), none])
    assert isinstance(fitted, ConvolutionalNetworkClassifier)
    assert isinstance(failed, FitError)


def test_images_of_another_shape_are_refused_and_unrolled_ones_taken():
    images, labels = spots()
    fitted = ConvolutionalNetworkClassifier(**QUICK).fit(images, labels)
    with pytest.raises(InputError, match="6×6 positions and 1 channel"):
        fitted.predict_proba(images.reshape(80, 4, 9))
    assert np.array_equal(fitted.predict_proba(images.reshape(80, -1)), fitted.predict_proba(images))


@pytest.mark.parametrize(
    "settings",
    [
        {"width": 1},
        {"depth": 0},
        {"members": 0},
        {"weight_decay": -1},
        {"shift": 0.6},
        {"zoom": -0.1},
        {"exposure": 2},
        {"flips": "vertical"},
        {"learning_rate": 0},
        {"epochs": 0},
        {"batch_size": 1},
    ],
)
def test_settings_are_refused_before_anything_is_trained(settings):
    with pytest.raises(OptionError):
        ConvolutionalNetworkClassifier(**settings).check_settings()
    with pytest.raises(OptionError):
        ConvolutionalNetworkClassifier(**settings).fit(*spots())


def test_more_stages_than_an_image_can_be_halved_are_refused():
    ConvolutionalNetworkClassifier(depth=3).check_images((6, 6))
    with pytest.raises(OptionError, match="3 at most"):
        ConvolutionalNetworkClassifier(depth=4).check_images((6, 6))
    with pytest.raises(OptionError, match="3 at most"):
        ConvolutionalNetworkClassifier(depth=4, **{**QUICK, "epochs": 1}).fit(*spots())


def ramp(*size: int) -> torch.Tensor:
    """Thirty images whose value is the place along the last axis, plus ten times that along the one before."""
    last, before = torch.arange(float(size[-1])), torch.arange(float(size[-2]))[:, None]
    return (last + 10 * before).expand(30, 1, *size).clone()


def test_an_image_that_nothing_is_asked_of_stays_as_it_is():
    images = ramp(5, 6)
    assert torch.equal(vary(images, STILL, np.random.default_rng(0)), images)


@pytest.mark.parametrize("size", [(5, 6), (4, 5, 6)])
def test_images_are_mirrored_only_when_asked(size):
    images = ramp(*size)
    mirrored = images.flip(-1)
    for flips, allowed in (("horizontal", 2), ("all", 2 ** len(size))):
        seen = vary(images, replace(STILL, flips=flips), np.random.default_rng(0))
        kinds = {tuple(image.flatten().round().int().tolist()) for image in seen}
        assert tuple(mirrored[0].flatten().int().tolist()) in kinds
        assert tuple(images[0].flatten().int().tolist()) in kinds
        assert len(kinds) == (2 if flips == "horizontal" else allowed if len(size) == 2 else 4)  # slices are alike
    moved = vary(images, replace(STILL, shift=0.2, zoom=0.2), np.random.default_rng(0))
    assert (moved[..., -1] > moved[..., 0]).all()  # still from left to right


def test_images_move_by_a_share_of_their_side_at_most():
    for axis, side in ((3, 10), (2, 8)):
        places = torch.arange(float(side)).view([-1 if a == axis else 1 for a in range(4)])
        images = places.expand(200, 1, 8, 10).contiguous()
        by = (vary(images, replace(STILL, shift=0.2), np.random.default_rng(0)) - images)[:, 0, 4, 5]
        assert 0.9 * 0.2 * side < by.abs().max() <= 0.2 * side + 1e-4
        assert by.std().item() == pytest.approx(0.2 * side / math.sqrt(3), rel=0.15)  # evenly, both ways


def test_contrast_and_brightness_change_within_bounds():
    images = ramp(5, 6) / 30
    seen = vary(images, replace(STILL, exposure=0.1), np.random.default_rng(0))
    gain = (seen[:, 0, 4, 5] - seen[:, 0, 0, 0]) / (images[0, 0, 4, 5] - images[0, 0, 0, 0])
    assert 0.9 < gain.min() < 0.95
    assert 1.05 < gain.max() < 1.11
    assert 0.05 < seen[:, 0, 0, 0].abs().max() <= 0.1


def test_pneumonia_is_told_from_few_radiographs(shared_data):
    """128 radiographs to learn from; a floor under what was measured."""
    with np.load(shared_data("pneumoniamnist.npz")) as data:
        images, labels = data["val_images"], data["val_labels"].ravel()
    fitted = ConvolutionalNetworkClassifier(width=32, members=1, epochs=40, random_state=0).fit(
        images[:128], labels[:128]
    )
    assert roc_auc_score(labels[128:], fitted.predict_proba(images[128:])[:, 1]) > 0.95
