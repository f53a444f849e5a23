"""Where units look, how layers differ, and what is said of it: by hand, as laws, and where the truth is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medladder import rungs
from medladder.errors import InputError
from medladder.inspection import NETWORKS
from medladder.inspection.growth import dead_units, measure_layers, reference_rows, slope_of, weigh_slope
from medladder.inspection.importance import classes_favoured, importance_of
from medladder.inspection.layered import LayeredNetwork, networks_of
from medladder.inspection.neighbours import nearest_images
from medladder.inspection.regions import mean_gradients, regions_of, smallest_core
from medladder.inspection.speaking import speak_structure, speak_taper
from medladder.models.extractor import layer_names
from medladder.rungs import filters, fleet
from medladder.rungs.draws import draw_by_row

SHAPES = {"grey": (12, 12), "colour": (10, 12, 3), "volume": (8, 8, 8, 1)}
RUNGS = ("nn:width=6,epochs=1,members=2", "dnn:widths=8-4,epochs=1,members=2", "cnn:width=8,epochs=1,members=2")


def drawn(shape: tuple[int, ...], n: int = 24, n_classes: int = 2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.arange(n) % n_classes
    images = rng.integers(0, 200, (n, *shape), dtype=np.uint8)
    images[labels == 1, ..., : shape[0] // 2] += 40
    return images, labels


def fitted(name: str, shape: tuple[int, ...], n_classes: int = 2) -> tuple[Any, np.ndarray, np.ndarray]:
    images, labels = drawn(shape, n_classes=n_classes)
    [rung] = rungs.build(rungs.parse_rung(name)).fit_fleet(images, labels, [draw_by_row(labels, seed=1)])
    return rung, images, labels


def dense(*weights: list[list[float]], biases: list[list[float]]) -> LayeredNetwork:
    pairs = tuple((torch.tensor(w), torch.tensor(b)) for w, b in zip(weights, biases, strict=True))
    return LayeredNetwork((1, len(weights[0])), "relu", False, pairs)


# The view of a network


@pytest.mark.parametrize("name", RUNGS)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_network_seen_in_layers_answers_as_the_rung_does(name: str, shape: tuple[int, ...]) -> None:
    rung, images, _ = fitted(name, shape)
    networks = networks_of(rung, shape)
    assert list(networks[0].names) == layer_names(rung)
    with torch.no_grad():
        votes = [torch.sigmoid(network.logits(network.see(images)))[:, 0].numpy() for network in networks]
    assert np.mean(votes, axis=0) == pytest.approx(rung.predict_proba(images)[:, 1], abs=2e-5)
    module = filters if name.startswith("cnn") else fleet
    for layer in range(len(networks[0].names)):
        known = module.layer_values(rung.ensemble_, images, layer + 1)[:, 0]
        values = networks[0].values(networks[0].see(images), layer).detach()
        if values.ndim > 2:
            flat = values.flatten(2)
            values = torch.cat([flat.mean(dim=2), flat.amax(dim=2)], dim=1)
        assert values.numpy() == pytest.approx(known, abs=1e-4)
        if layer < len(networks[0].names) - 1:
            onward = networks[0].from_values(networks[0].values(networks[0].see(images), layer), layer)
            assert onward.detach().numpy() == pytest.approx(
                networks[0].logits(networks[0].see(images)).detach().numpy(), abs=1e-4
            )


def test_logistic_is_its_one_neuron() -> None:
    images, labels = drawn((6, 6))
    rung = rungs.build(rungs.parse_rung("logistic")).fit(images, labels)
    [network] = networks_of(rung, (6, 6))
    assert network.names == ("output",)
    logits = network.logits(network.see(images)).detach().numpy()[:, 0]
    assert 1 / (1 + np.exp(-logits)) == pytest.approx(rung.predict_proba(images)[:, 1], abs=1e-5)
    assert mean_gradients(network, network.see(images), 0).ravel() == pytest.approx(rung.coef_.ravel(), rel=1e-5)


def test_what_is_no_network_is_refused() -> None:
    images, labels = drawn((8, 8))
    with pytest.raises(InputError, match="PriorClassifier"):
        networks_of(rungs.build(rungs.parse_rung("prior")).fit(images, labels), (8, 8))


def test_random_weights_are_random_from_a_layer_on_and_repeat_with_their_seed() -> None:
    rung, images, _ = fitted(RUNGS[1], (12, 12))
    [network, _] = networks_of(rung, (12, 12))
    seen = network.see(images)
    above, again, other = (network.randomised(seed, seen, above=1) for seed in (3, 3, 4))
    assert torch.equal(above.weights[0][0], network.weights[0][0])
    for layer in (1, 2):
        assert not torch.equal(above.weights[layer][0], network.weights[layer][0])
        assert torch.equal(above.weights[layer][0], again.weights[layer][0])
        assert not torch.equal(above.weights[layer][0], other.weights[layer][0])
    whole = network.randomised(3, seen)
    assert whole.sums(seen, 0).mean(dim=0).abs().max() < 1e-3  # centred on these images, as training starts


@pytest.mark.parametrize(
    ("name", "basis"),
    [
        ("dnn:widths=8-4,members=2", "pixels"),
        ("dnn:widths=8-4,members=2", "span"),
        ("cnn:width=8,members=2", None),
    ],
)
def test_training_starts_from_what_it_says(name: str, basis: str | None) -> None:
    """With hardly any learning the trained network is the start, in pixels as in the span."""
    images, labels = drawn((12, 12))
    draw = draw_by_row(labels, seed=5)
    rung = rungs.build(rungs.parse_rung(name)).set_params(epochs=1, learning_rate=1e-9)
    if basis is not None:
        rung = rung.set_params(basis=basis, shift=0.0)
    [start] = rung.before_training(images, labels, [draw])
    [once] = rung.before_training(images, labels, [draw])
    [trained] = rung.fit_fleet(images, labels, [draw])
    for before, same, after in zip(start.members, once.members, trained.ensemble_.members, strict=True):
        for layer, weight in enumerate(before.weights):
            assert np.array_equal(weight, same.weights[layer])
            if basis is not None:  # a convolution's batch normalisation changes with the images it met
                assert weight == pytest.approx(after.weights[layer], abs=1e-4)
            assert weight.shape == after.weights[layer].shape
    learned = rungs.build(rungs.parse_rung(name)).fit_fleet(images, labels, [draw])[0]
    assert not np.allclose(learned.ensemble_.members[0].weights[-1], start.members[0].weights[-1], atol=1e-3)


# Regions


def test_mean_gradients_of_two_layers_by_hand() -> None:
    """z2 = 2·relu(x1 − x2) − 3·relu(x1 + x2 − 1); image 1 opens both gates, image 2 the first alone."""
    network = dense([[1.0, 1.0], [-1.0, 1.0]], [[2.0], [-3.0]], biases=[[0.0, -1.0], [0.5]])
    seen = torch.tensor([[2.0, 0.0], [0.4, 0.1]])
    first = mean_gradients(network, seen, 0)
    assert first[:, 0, :, 0].tolist() == [[1.0, -1.0], [1.0, 1.0]]
    # image 1: 2·(1, −1) − 3·(1, 1) = (−1, −5); image 2: 2·(1, −1) = (2, −2)
    assert mean_gradients(network, seen, 1)[0, 0, :, 0].tolist() == [0.5, -3.5]


def test_gradients_that_turn_from_image_to_image_cancel() -> None:
    network = dense([[1.0, -1.0]], [[1.0], [1.0]], biases=[[0.0, 0.0], [0.0]])  # |x|
    assert mean_gradients(network, torch.tensor([[1.0], [-1.0]]), 1).ravel().tolist() == [0.0]


def test_a_convolution_looks_from_the_middle_of_its_map() -> None:
    rung, images, _ = fitted(RUNGS[2], (12, 12))
    network = networks_of(rung, (12, 12))[0]
    gradients = mean_gradients(network, network.see(images), 0)[..., 0]
    inside = np.zeros((12, 12), dtype=bool)
    inside[5:8, 5:8] = True
    assert np.abs(gradients[:, ~inside]).max() == 0
    kernel = network.weights[0][0][:, 0].numpy()
    assert gradients[:, 5:8, 5:8] == pytest.approx(kernel, abs=1e-6)


def test_areas_and_overlaps_by_hand() -> None:
    gradients = np.zeros((3, 4, 4, 1), dtype=np.float32)
    gradients[0, 0, 0] = gradients[0, 3, 3] = 1  # two pieces
    gradients[1, 0, 0] = 5
    regions = regions_of(gradients, blur=0, smoothing=0)
    assert regions.area.tolist()[:2] == [1 / 16, 1 / 16]  # half of two equal pixels is one of them
    assert regions.overlap[:2].tolist() == [1.0, 1.0]
    assert np.isnan([regions.area[2], regions.pieces[2], regions.overlap[2]]).all()
    gradients[0, 0, 0] = gradients[0, 3, 3] = gradients[0, 0, 3] = 1
    parted = regions_of(gradients, blur=0, smoothing=0)
    assert (parted.area[0], parted.pieces[0]) == (2 / 16, 2)
    assert parted.overlap[0] == 0.5


@given(seed=st.integers(0, 1000), share=st.floats(0.1, 0.9))
@settings(max_examples=40, deadline=None)
def test_a_core_is_the_smallest_that_holds_its_share(seed: int, share: float) -> None:
    mass = np.random.default_rng(seed).random((5, 7)).astype(np.float32)
    core = smallest_core(mass, share)
    held = mass[core].sum(dtype=float)
    assert held >= share * mass.sum(dtype=float) * (1 - 1e-6)
    assert held - mass[core].min() < share * mass.sum(dtype=float) * (1 + 1e-6)
    assert mass[core].min() >= mass[~core].max()


@given(seed=st.integers(0, 1000), factor=st.sampled_from([-1.0, 1e-3, 250.0]))
@settings(max_examples=20, deadline=None)
def test_size_and_sign_of_a_gradient_and_the_order_of_units_do_not_matter(seed: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    gradients = rng.standard_normal((4, 16, 16, 1)).astype(np.float32)
    plain, scaled = regions_of(gradients), regions_of((gradients * factor).astype(np.float32))
    assert scaled.area == pytest.approx(plain.area, abs=2 / 256)
    turned = regions_of(gradients[::-1])
    assert turned.area.tolist() == plain.area[::-1].tolist()
    assert turned.overlap[::-1] == pytest.approx(plain.overlap)


# How layers differ


def test_units_that_pass_on_the_same_for_every_image_are_dead() -> None:
    highest = np.array([[-1.0, 2.0, 3.0, -2.0], [-2.0, 2.0, 4.0, 1.0]])
    assert dead_units(highest, "relu", is_output=False).tolist() == [True, True, False, False]
    assert dead_units(highest, "tanh", is_output=False).tolist() == [False, True, False, False]
    assert dead_units(highest, "relu", is_output=True).tolist() == [False, True, False, False]


@pytest.mark.parametrize("name", ["nn:width=6,epochs=1", "cnn:width=8,epochs=1,members=2"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_every_layer_is_measured(name: str, shape: tuple[int, ...]) -> None:
    rung, images, labels = fitted(name, shape)
    network = networks_of(rung, shape)[0]
    layers = measure_layers(network, images, labels, 2)
    assert [layer.name for layer in layers] == list(network.names)
    for layer in layers:
        if layer.dead < layer.units:
            assert 0 < layer.area <= 0.5
            assert layer.pieces >= 1
            assert 0 <= layer.selectivity <= 1
            assert 0 <= layer.edge_likeness <= 1


def test_larger_images_are_looked_at_fewer_at_a_time() -> None:
    rows = np.arange(1000)
    assert len(reference_rows(rows, 28 * 28)) == 64
    assert 4 <= len(reference_rows(rows, 96**3)) < 10


def networks(rng: np.random.Generator, n: int, slope: float) -> list[dict[str, Any]]:
    def layers(tilt: float) -> list[dict[str, float]]:
        return [{"area": 0.3 + tilt * layer + 0.02 * rng.standard_normal()} for layer in range(4)]

    return [{"trained": layers(slope), "start": layers(0.0)} for _ in range(n)]


def test_a_slope_that_is_not_there_is_claimed_one_time_in_twenty() -> None:
    rng = np.random.default_rng(0)
    said = [weigh_slope("area", networks(rng, NETWORKS, 0.0)).verdict for _ in range(1000)]
    wrong = np.mean([verdict != "not shown" for verdict in said])
    assert 0.03 < wrong < 0.07
    assert {weigh_slope("area", networks(rng, NETWORKS, 0.05)).verdict for _ in range(50)} == {"rises"}
    assert {weigh_slope("area", networks(rng, NETWORKS, -0.05)).verdict for _ in range(50)} == {"falls"}


def test_nothing_is_claimed_from_few_networks() -> None:
    rng = np.random.default_rng(0)
    few = weigh_slope("area", networks(rng, NETWORKS - 1, 0.2))
    assert (few.verdict, few.networks) == ("too few networks", NETWORKS - 1)
    assert few.own is not None
    assert few.own.estimate == pytest.approx(0.2, abs=0.02)
    none = weigh_slope("area", [])
    assert (none.verdict, none.own, none.learned) == ("too few networks", None, None)


def test_a_layer_without_a_value_is_passed_over() -> None:
    assert slope_of([0.1, None, 0.5]) == pytest.approx(0.2)
    assert np.isnan(slope_of([None, 0.2]))


def test_importance_by_hand() -> None:
    """Two units, of which the second reaches the answer tenfold; the third never does."""
    network = dense([[1.0, 1.0, 1.0]], [[1.0], [10.0], [0.0]], biases=[[0.0, 0.0, 0.0], [0.0]])
    seen = torch.tensor([[1.0], [3.0]])
    assert importance_of(network, seen, 0).tolist() == [1.0, 10.0, 0.0]
    assert importance_of(network, seen, 1).tolist() == [11.0]


def test_the_class_that_a_unit_ranks_highest() -> None:
    values = np.array([[0.0, 5.0], [1.0, 4.0], [2.0, 3.0], [3.0, 0.0]])
    assert classes_favoured(values, np.array([0, 0, 1, 1]), 2).tolist() == [1, 0]


def test_an_image_lies_nearest_to_itself() -> None:
    rung, images, _ = fitted(RUNGS[1], (12, 12))
    rows = np.arange(3, 20)
    found, distances = nearest_images(networks_of(rung, (12, 12)), images[7], images, rows, n=4)
    assert found[0] == 7
    assert distances[0] == pytest.approx(0, abs=1e-6)
    assert (np.diff(distances) >= 0).all()
    assert set(found) <= set(rows)


# What is said


def change(estimate: float, half: float) -> dict[str, float]:
    return {"estimate": estimate, "low": estimate - half, "high": estimate + half}


def test_what_shuffling_costs_is_told_apart_from_what_it_does_not() -> None:
    rungs_ = [
        {"rung": "logistic", "change": change(0.0, 0.01)},
        {"rung": "cnn", "change": change(-0.05, 0.02)},
    ]
    [said] = speak_structure(rungs_, 0.02)
    assert said["text"].startswith("With the pixels shuffled cnn (-0.050) does worse: it uses what lies beside what.")
    assert "logistic loses nothing that matters" in said["text"]
    [small] = speak_structure([{"rung": "svm", "change": change(-0.01, 0.002)}], 0.02)
    assert "though by less than 0.02" in small["text"]
    [open_] = speak_structure([{"rung": "svm", "change": change(-0.01, 0.2)}], 0.02)
    assert "not settled" in open_["text"]


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        (change(0.05, 0.01), "do better here"),
        (change(-0.05, 0.01), "do worse here"),
        (change(0.001, 0.005), "makes no difference that matters"),
        (change(0.03, 0.1), "is not settled"),
    ],
)
def test_the_taper_is_judged_by_its_interval(difference: dict[str, float], words: str) -> None:
    [said] = speak_taper({"difference": difference, "parameters": 218465, "against_parameters": 217295}, 0.02)
    assert words in said["text"]
    assert "218,465" in said["text"]
