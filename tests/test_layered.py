"""A network layer by layer: worked by hand, and equal to what the fitted rung itself says and starts from."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage, stats
from scipy.special import erf, expit, softmax
from skimage.measure import block_reduce

from medladder import rungs
from medladder.architecture import ConvolutionLayer
from medladder.errors import InputError
from medladder.inspection.layered import LayeredNetwork, networks_of
from medladder.models.extractor import extractor, layer_names
from medladder.rungs import filters, fleet
from medladder.rungs.dense import ACTIVATIONS
from medladder.rungs.draws import Draw, draw_by_row
from medladder.rungs.pixels import unrolled

pytestmark = pytest.mark.usefixtures("one_thread")

GREY, COLOUR, VOLUME = (12, 12), (9, 10, 3), (6, 8, 7, 1)
NN = "nn:width=6,epochs=3,members=2"
DNN = "dnn:widths=8-5,epochs=3,members=2"
CNN = "cnn:width=8,epochs=2,members=2"
FITTED = [
    ("logistic", GREY, 2),
    ("logistic", COLOUR, 3),
    (NN, GREY, 2),
    (f"{NN},activation=gelu,standardise=false", COLOUR, 2),
    (f"{NN},activation=sigmoid", VOLUME, 3),
    (DNN, GREY, 3),
    (f"{DNN},activation=tanh", COLOUR, 2),
    (DNN, VOLUME, 2),
    (CNN, GREY, 2),
    (CNN, COLOUR, 3),
    (f"{CNN},standardise=false", VOLUME, 2),
]
"""Rungs, shapes of their images, and numbers of classes."""
DEEP = [one for one in FITTED if one[0] != "logistic"]


def draw_images(shape: tuple[int, ...], n_classes: int, n: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of 8 bits; the later the class, the brighter their lower part."""
    rng, labels = np.random.default_rng(len(shape)), np.arange(n) % n_classes
    images = rng.integers(0, 120, (n, *shape))
    images[:, shape[0] // 2 :] += 40 * labels.reshape(-1, *(1,) * len(shape))
    return images.astype(np.uint8), labels


@cache
def fit(name: str, shape: tuple[int, ...], n_classes: int = 2) -> Any:
    images, labels = draw_images(shape, n_classes)
    return rungs.build(rungs.parse_rung(name)).set_params(random_state=3).fit(images, labels)


def seen_by(name: str, shape: tuple[int, ...], n_classes: int) -> tuple[tuple[LayeredNetwork, ...], torch.Tensor, Any]:
    rung, (images, _) = fit(name, shape, n_classes), draw_images(shape, n_classes)
    networks = networks_of(rung, shape)
    return networks, networks[0].see(images), images


def as_network(weights: list, biases: list, activation: Any = "relu") -> LayeredNetwork:
    """A dense network that takes images of one row as they are."""
    pairs = [(torch.tensor(one).float(), torch.tensor(bias).float()) for one, bias in zip(weights, biases, strict=True)]
    return LayeredNetwork((1, len(weights[0])), activation, False, tuple(pairs))


def few(values: torch.Tensor) -> np.ndarray:
    """Of a map its mean and largest value, as extractors give it."""
    if values.ndim == 2:
        return values.numpy()
    return torch.cat([values.flatten(2).mean(dim=2), values.flatten(2).amax(dim=2)], dim=1).numpy()


def from_sums(sums: torch.Tensor) -> np.ndarray:
    """Probabilities of each class."""
    wide = sums.double().numpy()
    return softmax(wide, axis=1) if wide.shape[1] > 1 else np.column_stack([expit(-wide), expit(wide)])


# by hand


TWO_LAYERS = as_network([[[1, -1, 0], [1, 1, 2]], [[1], [2], [-3]]], [[0, 1, -1], [0.5]])
IMAGES = np.array([[[1.0, 2.0]], [[3.0, 0.5]]])
# sums: 1 + 2, -1 + 2 + 1, 4 - 1 and 3 + .5, -3 + .5 + 1, 1 - 1
SUMS = [[3, 2, 3], [3.5, -1.5, 0]]


def test_two_layers_by_hand() -> None:
    seen = TWO_LAYERS.see(IMAGES)
    assert seen.tolist() == [[1, 2], [3, 0.5]]
    assert TWO_LAYERS.sums(seen, 0).tolist() == SUMS
    assert TWO_LAYERS.values(seen, 0).tolist() == [[3, 2, 3], [3.5, 0, 0]]
    outputs = [[3 + 2 * 2 - 3 * 3 + 0.5], [3.5 + 0.5]]
    assert TWO_LAYERS.sums(seen, 1).tolist() == TWO_LAYERS.values(seen, 1).tolist() == outputs
    assert TWO_LAYERS.logits(seen).tolist() == outputs
    assert TWO_LAYERS.from_values(torch.tensor([[1.0, 0, 0], [0, 0, 1]]), 0).tolist() == [[1.5], [-2.5]]
    assert TWO_LAYERS.names == ("hidden1", "output")
    assert (TWO_LAYERS.units, TWO_LAYERS.grid, TWO_LAYERS.channels) == ((3, 1), (1, 2), 1)
    assert TWO_LAYERS.to_image(seen).tolist() == IMAGES[..., None].tolist()


ACTIVATED: dict[Any, Callable[[np.ndarray], np.ndarray]] = {
    "relu": lambda z: np.maximum(z, 0),
    "tanh": np.tanh,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "gelu": lambda z: z * (1 + erf(z / math.sqrt(2))) / 2,
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_layer_passes_on_its_activation_and_the_output_its_sums(activation: Any) -> None:
    network = as_network([[[1, -1, 0], [1, 1, 2]], [[1], [2], [-3]]], [[0, 1, -1], [0.5]], activation)
    seen = network.see(IMAGES)
    values = ACTIVATED[activation](np.array(SUMS))
    assert network.sums(seen, 0).tolist() == SUMS
    assert network.values(seen, 0).numpy() == pytest.approx(values, abs=1e-5)
    assert network.values(seen, 1).numpy() == pytest.approx(values @ [[1], [2], [-3]] + 0.5, abs=1e-5)


def convolutional(kernels: np.ndarray, pool: int, *, n_outputs: int = 1) -> LayeredNetwork:
    """Two convolutions, with `pool` between them, and an output; channels are moved by 1 and divided by 2, 4, …"""
    rng, (after, before), rank = np.random.default_rng(0), kernels.shape[:2], kernels.ndim - 2
    grid, one, three = (6,) * rank, (1,) * rank, (3,) * rank
    layers = (
        ConvolutionLayer("input", 0, 0, 0, 0, grid, before, one, one, one),
        ConvolutionLayer("convolution 1", 0, 0, 0, 0, grid, after, three, one, (pool,) * rank),
        ConvolutionLayer("convolution 2", 0, 0, 0, 0, tuple(n // pool for n in grid), 2, three, one, one),
        ConvolutionLayer("output", n_outputs, 0, 0, 0, one, n_outputs, one, one, one),
    )
    shapes = [(after, before, *three), (2, after, *three), (n_outputs, 4)]
    weights = [rng.standard_normal(shape) for shape in shapes]
    weights[0] = kernels
    pairs = [
        (torch.from_numpy(one).float(), torch.from_numpy(rng.standard_normal(len(one))).float()) for one in weights
    ]
    scale = 2.0 ** np.arange(1, before + 1)
    return LayeredNetwork((*grid, before), "relu", False, tuple(pairs), layers, np.ones(before), scale)


@pytest.mark.parametrize("pool", [1, 2])
@pytest.mark.parametrize("rank", [2, 3])
def test_convolutions_are_what_scipy_says(rank: int, pool: int) -> None:
    rng = np.random.default_rng(1)
    network = convolutional(rng.standard_normal((3, 2, *(3,) * rank)), pool, n_outputs=3)
    images = rng.random((4, *(6,) * rank, 2))
    seen = network.see(images)
    assert network.names == ("convolution1", "convolution2", "output")
    assert network.to_image(seen) == pytest.approx((images - 1) / [2, 4], abs=1e-6)
    correlated = partial(ndimage.correlate, mode="constant")  # zeros beyond the rim
    value = np.moveaxis((images - 1) / [2, 4], -1, 1)
    for layer, by in enumerate((pool, 1)):
        weight, bias = (one.double().numpy() for one in network.weights[layer])
        sums = np.array(
            [
                [sum(map(correlated, image, kernels)) + shift for kernels, shift in zip(weight, bias, strict=True)]
                for image in value
            ]
        )
        assert network.sums(seen, layer).numpy() == pytest.approx(sums, abs=1e-4)
        value = np.maximum(block_reduce(sums, (1, 1, *(by,) * rank), np.max), 0)
        assert network.values(seen, layer).numpy() == pytest.approx(value, abs=1e-4)
    weight, bias = (one.double().numpy() for one in network.weights[2])
    flat = value.reshape(4, 2, -1)
    answers = np.concatenate([flat.mean(axis=2), flat.max(axis=2)], axis=1) @ weight.T + bias
    assert network.logits(seen).numpy() == pytest.approx(answers, abs=1e-4)


# the rung's own answers


@pytest.mark.parametrize(("name", "shape", "n_classes"), FITTED)
def test_the_members_together_answer_as_the_rung_does(name: str, shape: tuple[int, ...], n_classes: int) -> None:
    networks, seen, images = seen_by(name, shape, n_classes)
    proba = np.mean([from_sums(network.logits(seen)) for network in networks], axis=0)
    assert proba == pytest.approx(fit(name, shape, n_classes).predict_proba(images), abs=1e-5)
    assert proba.shape == (len(images), n_classes)
    assert np.ptp(proba[:, 0]) > 1e-3, "a rung that says the same of every image could hide a mistake"


@pytest.mark.parametrize(("name", "shape", "n_classes"), DEEP)
def test_every_member_answers_for_itself_and_passes_on_what_the_rung_does(
    name: str, shape: tuple[int, ...], n_classes: int
) -> None:
    rung, (networks, seen, images) = fit(name, shape, n_classes), seen_by(name, shape, n_classes)
    module = filters if name.startswith("cnn") else fleet
    assert len(networks) == 2
    for member, network in enumerate(networks):
        alone = module.predict(rung.ensemble_, images, [member])
        assert from_sums(network.logits(seen)) == pytest.approx(alone, abs=1e-5)
        for layer in range(len(network.names)):
            known = module.layer_values(rung.ensemble_, images, layer + 1)[:, member]
            assert few(network.values(seen, layer)) == pytest.approx(known, abs=2e-5)
    assert np.abs(from_sums(networks[0].logits(seen)) - from_sums(networks[1].logits(seen))).max() > 1e-3


@pytest.mark.parametrize(("name", "shape", "n_classes"), DEEP)
def test_from_any_hidden_layer_on_the_answer_is_the_same(name: str, shape: tuple[int, ...], n_classes: int) -> None:
    [network, _], seen, _ = seen_by(name, shape, n_classes)
    for layer in range(len(network.names) - 1):
        assert torch.equal(network.from_values(network.values(seen, layer), layer), network.logits(seen))
        off = torch.zeros_like(network.values(seen, layer))
        assert not torch.equal(network.from_values(off, layer), network.logits(seen))


@pytest.mark.parametrize(("name", "shape", "n_classes"), DEEP)
def test_layers_bear_the_names_that_extractor_takes(name: str, shape: tuple[int, ...], n_classes: int) -> None:
    rung, (networks, _, images) = fit(name, shape, n_classes), seen_by(name, shape, n_classes)
    assert list(networks[0].names) == layer_names(rung)
    assert networks[0].units[-1] == (1 if n_classes == 2 else n_classes)
    for layer, (layer_name, units) in enumerate(zip(networks[0].names, networks[0].units, strict=True)):
        values = [few(one.values(one.see(images), layer)) for one in networks]
        assert extractor(rung, layer_name).transform(images) == pytest.approx(np.hstack(values), abs=2e-5)
        assert values[0].shape[1] == units * (2 if layer_name.startswith("convolution") else 1)


def test_logistic_is_one_neuron_or_one_a_class() -> None:
    for shape, n_classes, n_units in ((GREY, 2, 1), (COLOUR, 3, 3)):
        rung = fit("logistic", shape, n_classes)
        [network] = networks_of(rung, shape)
        assert (network.names, network.units) == (("output",), (n_units,))
        assert network.weights[0][0].numpy() == pytest.approx(rung.coef_.T, rel=1e-6)


# what a network sees


@pytest.mark.parametrize(("name", "shape", "n_classes"), FITTED)
def test_what_is_seen_stands_at_its_place_in_the_image(name: str, shape: tuple[int, ...], n_classes: int) -> None:
    [network, *_], seen, images = seen_by(name, shape, n_classes)
    wanted = images.reshape(len(images), -1) / 255
    if network.is_standardised:
        wanted = stats.zscore(wanted, axis=1)
    wanted = wanted.reshape(len(images), *network.grid, network.channels)
    if network.convolutions is not None:
        ensemble = fit(name, shape, n_classes).ensemble_
        wanted = (wanted - ensemble.centre) / ensemble.scale
    assert seen.shape[1:] == network.seen_shape
    assert seen.dtype == torch.float32
    assert network.to_image(seen) == pytest.approx(wanted, abs=1e-5)
    assert network.is_standardised == (name != "logistic" and "standardise=false" not in name)
    assert (*network.grid, network.channels) == (shape if len(shape) > 2 else (*shape, 1))


@pytest.mark.parametrize(("name", "shape"), [(DNN, GREY), (CNN, VOLUME)])
def test_bytes_words_and_shares_of_one_image_are_seen_alike(name: str, shape: tuple[int, ...]) -> None:
    [network, _], seen, images = seen_by(name, shape, 2)
    for other in (images / 255, (images / 255).astype(np.float32), images.astype(np.uint16) * 257):
        assert network.see(other).numpy() == pytest.approx(seen.numpy(), abs=1e-5)


# random weights


@pytest.mark.parametrize(("name", "shape", "n_classes"), DEEP)
def test_weights_are_drawn_from_a_layer_on_and_those_below_stay(
    name: str, shape: tuple[int, ...], n_classes: int
) -> None:
    [network, _], seen, _ = seen_by(name, shape, n_classes)
    kept = [weight.clone() for weight, _ in network.weights]
    wholly = network.randomised(4, seen)
    for above in range(len(kept) + 1):
        random, again = network.randomised(4, seen, above=above), network.randomised(4, seen, above=above)
        for layer, ((weight, bias), (same, _)) in enumerate(zip(random.weights, again.weights, strict=True)):
            assert torch.equal(weight, same)
            if layer < above:
                assert torch.equal(weight, kept[layer])
                assert torch.equal(bias, network.weights[layer][1])
            else:
                assert torch.equal(weight, wholly.weights[layer][0]), "a cascade keeps what it has drawn"
                assert weight.shape == kept[layer].shape
                assert not torch.isclose(weight, kept[layer]).any(dim=0).all()
    assert all(torch.equal(weight, one) for (weight, _), one in zip(network.weights, kept, strict=True))
    assert not torch.equal(network.randomised(5, seen).weights[-1][0], wholly.weights[-1][0])
    first, second = wholly.weights[0][0].flatten(), wholly.weights[1][0].flatten()
    n = min(len(first), len(second))
    assert not torch.allclose(first[:n] / first[0], second[:n] / second[0]), "layers are drawn apart"


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("is_standardised", [True, False])
def test_random_weights_pass_a_signal_on_as_the_true_start_does(activation: Any, is_standardised: bool) -> None:
    """Sums of both have the same mean and deviation in every layer, up to chance."""
    images, labels = draw_images((16, 16), 2, n=64)
    draw = draw_by_row(labels, seed=2)
    rung = rungs.build(rungs.parse_rung(f"dnn:widths=300-200,activation={activation},epochs=1,members=1"))
    rung.set_params(standardise=is_standardised, random_state=0).fit(images, labels, draw)
    [learned] = networks_of(rung, (16, 16))
    [rung.ensemble_] = rung.before_training(images, labels, [draw])
    [start], seen = networks_of(rung, (16, 16)), learned.see(images)
    random = learned.randomised(7, seen)
    for layer in range(2):
        known, found = start.sums(seen, layer).numpy(), random.sums(seen, layer).numpy()
        assert found.std() == pytest.approx(known.std(), rel=0.15)
    assert random.sums(seen, 0).mean(dim=0).abs().max() < 1e-4
    assert not any(bias.any() for _, bias in random.weights[1:])
    assert not any(bias.any() for _, bias in learned.randomised(7).weights), "without images there is no centre"


def test_random_convolutions_have_the_deviation_of_the_true_start() -> None:
    images, labels = draw_images(GREY, 2)
    rung = rungs.build(rungs.parse_rung("cnn:width=32,epochs=1,members=1")).fit(images, labels)
    [learned] = networks_of(rung, GREY)
    [rung.ensemble_] = rung.before_training(images, labels, [draw_by_row(labels, seed=2)])
    [start] = networks_of(rung, GREY)
    for (random, bias), (known, _) in zip(learned.randomised(1).weights, start.weights, strict=True):
        assert not bias.any()
        tolerance = 5 / math.sqrt(2 * known.numel())  # five deviations of a deviation
        assert random.std() == pytest.approx(float(known.std()), rel=tolerance)


def test_random_weights_on_one_image_are_numbers() -> None:
    [network, _], seen, _ = seen_by(DNN, GREY, 3)
    random = network.randomised(0, seen[:1])
    assert torch.isfinite(random.logits(seen)).all()


# refusals


@pytest.mark.parametrize("name", ["prior", "svm", "forest", "boosting"])
def test_a_rung_without_layers_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"logistic, nn, dnn or cnn: other rungs have no layers") as told:
        networks_of(rungs.build(rungs.parse_rung(name)), GREY)
    assert type(rungs.build(rungs.parse_rung(name))).__name__ in str(told.value)


def test_what_is_no_rung_at_all_is_refused() -> None:
    for other in ("dnn", None, torch.nn.Linear(2, 1)):
        with pytest.raises(InputError, match="no layers to look into"):
            networks_of(other, GREY)


@pytest.mark.parametrize("name", ["logistic", NN, CNN])
def test_a_network_on_more_than_the_image_is_refused(name: str) -> None:
    """As with a column beside the pixels, which would have no place in the image."""
    images, labels = draw_images((3, 4), 2)
    wider = np.column_stack([images.reshape(len(images), -1) / 255, labels % 3])
    rung = rungs.build(rungs.parse_rung(name)).fit(wider, labels)
    with pytest.raises(InputError, match=r"A network on 13 values.*an image's 12"):
        networks_of(rung, (3, 4))


# before training


STARTED = [
    (f"{DNN},basis=pixels,shift=0", GREY, 2),
    (f"{DNN},basis=span,shift=0", GREY, 3),
    (f"{NN},basis=span,shift=0.1,activation=tanh", (16, 16, 3), 2),
    (NN, COLOUR, 2),
    (CNN, GREY, 2),
    (CNN, VOLUME, 3),
]


def unfitted(name: str, **settings: Any) -> Any:
    return rungs.build(rungs.parse_rung(name)).set_params(**settings)


@pytest.mark.parametrize(("name", "shape", "n_classes"), STARTED)
def test_the_start_is_the_same_again_and_not_what_was_learned(
    name: str, shape: tuple[int, ...], n_classes: int
) -> None:
    images, labels = draw_images(shape, n_classes)
    draw, other = draw_by_row(labels, seed=5), draw_by_row(labels, seed=6)
    [trained] = unfitted(name).fit_fleet(images, labels, [draw])
    [start] = unfitted(name).before_training(images, labels, [draw])
    [once_more, another] = trained.before_training(images, labels, [draw, other])
    assert start.epochs == (0.0, 0.0)
    assert len(start.members) == len(trained.ensemble_.members)
    for one, same, apart, learned in zip(
        start.members, once_more.members, another.members, trained.ensemble_.members, strict=True
    ):
        for array, twin, foreign, after in zip(one.weights, same.weights, apart.weights, learned.weights, strict=True):
            assert np.array_equal(array, twin), "whoever stands beside it, fitted or not"
            assert (array.shape, array.dtype) == (after.shape, after.dtype)
            assert not np.allclose(array, foreign, atol=1e-3)
            assert not np.allclose(array, after, atol=1e-5)
        assert [bias.shape for bias in one.biases] == [bias.shape for bias in learned.biases]
    first, second = start.members
    assert not np.allclose(first.weights[-1], second.weights[-1], atol=1e-3), "members start apart"


@pytest.mark.parametrize(("name", "shape", "n_classes"), [one for one in STARTED if "cnn" not in one[0]])
def test_training_that_learns_nothing_leaves_the_start(name: str, shape: tuple[int, ...], n_classes: int) -> None:
    images, labels = draw_images(shape, n_classes)
    draw = draw_by_row(labels, seed=5)
    still = unfitted(name, epochs=1, learning_rate=1e-12)
    [trained] = still.fit_fleet(images, labels, [draw])
    [start] = still.before_training(images, labels, [draw])
    assert start.basis == trained.ensemble_.basis
    for before, after in zip(start.members, trained.ensemble_.members, strict=True):
        for array, other in zip((*before.weights, *before.biases), (*after.weights, *after.biases), strict=True):
            assert array == pytest.approx(other, abs=1e-7)


@pytest.mark.parametrize(("shape", "n_classes"), [(GREY, 2), (VOLUME, 3)])
def test_a_convolution_that_learns_nothing_is_the_start_normalised(shape: tuple[int, ...], n_classes: int) -> None:
    """What it meets sets the mean and spread of each channel: kernels are those of the start, times a number."""
    images, labels = draw_images(shape, n_classes)
    draw = draw_by_row(labels, seed=5)
    still = unfitted(CNN, epochs=1, learning_rate=1e-12)
    [trained] = still.fit_fleet(images, labels, [draw])
    [start] = still.before_training(images, labels, [draw])
    for before, after in zip(start.members, trained.ensemble_.members, strict=True):
        for kernel, other in zip(before.weights[:-1], after.weights[:-1], strict=True):
            flat, scaled = kernel.reshape(len(kernel), -1), other.reshape(len(kernel), -1)
            factor = (flat * scaled).sum(axis=1) / (flat**2).sum(axis=1)
            assert (factor > 0).all()
            assert scaled == pytest.approx(flat * factor[:, None], rel=1e-3, abs=1e-6)
        assert before.weights[-1] == pytest.approx(after.weights[-1], abs=1e-7)


def test_the_start_in_the_span_lies_in_the_span_of_the_images() -> None:
    images, labels = draw_images(GREY, 2)
    draw = Draw(np.arange(4, 24), draw_by_row(labels[4:], 0).fold, seed=1)
    in_span, in_pixels = (
        unfitted(NN, basis=basis, shift=0).before_training(images, labels, [draw])[0] for basis in ("span", "pixels")
    )
    pixels = unrolled(images[draw.rows], is_standardised=True).astype(np.float64)
    away = (pixels - pixels.mean(axis=0)).T
    assert (in_span.basis, in_pixels.basis) == ("span", "pixels")
    for member in range(2):
        for start, shared in ((in_span, 1.0), (in_pixels, len(draw.rows) / 144)):
            weights = start.members[member].weights[0]
            inside = away @ np.linalg.lstsq(away, weights, rcond=1e-6)[0]
            # Random pixels have as much of their square in the span as it has axes, of 144.
            assert (inside**2).sum() / (weights**2).sum() == pytest.approx(shared, rel=0.25 if shared < 1 else 1e-5)


@pytest.mark.parametrize("basis", ["span", "pixels"])
def test_of_small_images_the_basis_is_told_too(basis: Any) -> None:
    """The axes of a span are filled up to 64, as many as these images have pixels."""
    images, labels = draw_images((8, 8), 2)
    draw = draw_by_row(labels, seed=1)
    [start] = unfitted(NN, basis=basis, shift=0).before_training(images, labels, [draw])
    [trained] = unfitted(NN, basis=basis, shift=0).fit_fleet(images, labels, [draw])
    assert start.basis == trained.ensemble_.basis == basis


@pytest.mark.parametrize("name", [NN, DNN, CNN])
def test_rows_for_choosing_only_are_not_centred_on(name: str) -> None:
    """Their pixels may be anything: a start hangs on the rows to learn from."""
    images, labels = draw_images(GREY, 2)
    draw = Draw(np.arange(24), np.where(np.arange(24) < 6, 0, -1), seed=1)
    changed = images.copy()
    changed[:6] = 255 - changed[:6]
    starts = [unfitted(name).before_training(pixels, labels, [draw])[0] for pixels in (images, changed)]
    for one, other in zip(*(start.members for start in starts), strict=True):
        assert all(map(np.array_equal, (*one.weights, *one.biases), (*other.weights, *other.biases)))
    changed[6:] = 255 - changed[6:]
    [moved] = unfitted(name).before_training(changed, labels, [draw])
    if name != CNN:  # a convolution takes its centre off what it sees
        assert not np.allclose(moved.members[0].biases[0], starts[0].members[0].biases[0])


def test_classes_of_words_start_and_train_too() -> None:
    images, labels = draw_images(GREY, 3)
    words = np.array(["benign", "malign", "normal"])[labels]
    draw = draw_by_row(words, seed=1)
    [start] = unfitted(DNN).before_training(images, words, [draw])
    [same] = unfitted(DNN).before_training(images, labels, [draw])
    assert start.members[0].biases[-1].shape == (3,)
    assert np.array_equal(start.members[0].weights[0], same.members[0].weights[0])
