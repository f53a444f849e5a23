"""How layers differ, what each unit adds and which images are alike: by hand, as laws, and where the truth is known."""

from __future__ import annotations

import json
import math
from copy import copy
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from medladder import rungs
from medladder.inspection import NETWORKS
from medladder.inspection.growth import (
    MEASURED_UNITS,
    MEASURES,
    REFERENCE_IMAGES,
    LayerMeasure,
    dead_units,
    measure_layers,
    measure_networks,
    reference_rows,
    slope_of,
    units_to_measure,
    weigh_slope,
)
from medladder.inspection.importance import classes_favoured, importance_of
from medladder.inspection.layered import LayeredNetwork, networks_of
from medladder.inspection.maximisation import highest_sums
from medladder.inspection.neighbours import Neighbours
from medladder.inspection.regions import mean_gradients, regions_of
from medladder.inspection.templates import edge_likeness, planes_of, selectivity, spatial_frequency
from medladder.rungs.draws import Draw, draw_by_row

pytestmark = pytest.mark.usefixtures("one_thread")

GREY, COLOUR, VOLUME = (12, 12), (10, 11, 3), (6, 7, 8, 1)
NN, CNN = "nn:width=6,epochs=3,members=2", "cnn:width=8,epochs=2,members=2"


def as_network(*layers: tuple[Any, Any], shape: tuple[int, ...] | None = None, activation: Any = "relu") -> Any:
    """A dense network that takes images, of one row unless told, as they are."""
    pairs = [(torch.tensor(weight).float(), torch.tensor(bias).float()) for weight, bias in layers]
    return LayeredNetwork(shape or (1, len(pairs[0][0])), activation, False, tuple(pairs))


def draw_images(shape: tuple[int, ...], n_classes: int = 2, n: int = 30) -> tuple[np.ndarray, np.ndarray]:
    rng, labels = np.random.default_rng(len(shape)), np.arange(n) % n_classes
    images = rng.integers(0, 120, (n, *shape))
    images[:, shape[0] // 2 :] += 40 * labels.reshape(-1, *(1,) * len(shape))
    return images.astype(np.uint8), labels


@cache
def fit(name: str, shape: tuple[int, ...], n_classes: int = 2) -> Any:
    images, labels = draw_images(shape, n_classes)
    [fitted] = rungs.build(rungs.parse_rung(name)).fit_fleet(images, labels, [draw_by_row(labels, seed=4)])
    return fitted


# one network


def test_a_layer_is_measured_by_hand() -> None:
    """Six nodes on an image of 4 × 4, of which two are dead: medians are over the four that live."""
    masks = np.zeros((6, 4, 4), dtype=np.float32)
    masks[0, 0, 0] = masks[1, 0, 0] = masks[2, 3, 3] = masks[3, 0, 3] = 1
    masks[4, :2, :2] = -1  # below 0 on every image
    weights, bias = masks.reshape(6, 16).T, [0, 0, 0, 0, 0, -1]
    network = as_network((weights, bias), (np.ones((6, 1)), [0]), shape=(4, 4))
    images, labels = np.random.default_rng(0).uniform(0.1, 1, (8, 4, 4)), np.arange(8) % 2
    images[:, 0, 0] += labels  # tells the classes apart wholly
    hidden, output = measure_layers(network, images, labels, 2)
    assert (hidden.name, hidden.units, hidden.dead) == ("hidden1", 6, 2)
    assert (output.name, output.units, output.dead) == ("output", 1, 0)
    regions = regions_of(masks[:4, ..., None])
    assert hidden.area == pytest.approx(np.median(regions.area))
    assert hidden.pieces == 1
    # Cores about three corners: the first two units share theirs, the others stand alone.
    assert regions.overlap.tolist() == pytest.approx([1 / 3, 1 / 3, 0, 0])
    assert hidden.overlap == pytest.approx(1 / 6)
    told = selectivity(images.reshape(8, 16)[:, [0, 0, 15, 3]], labels, 2)
    assert told[0] == 1
    assert hidden.selectivity == pytest.approx(np.median(told))
    planes = planes_of(masks[:4, ..., None])
    assert hidden.edge_likeness == pytest.approx(np.median(edge_likeness(planes)))
    assert hidden.frequency == pytest.approx(np.median(spatial_frequency(planes)))
    assert math.isnan(output.overlap), "a lone unit shares with no one"
    # Each living unit is open on every image: the output's gradient is their sum.
    assert output.area == pytest.approx(regions_of(masks[:4].sum(axis=0)[None, ..., None]).area[0])


@pytest.mark.parametrize("name", [NN, f"{NN},activation=tanh", CNN])
@pytest.mark.parametrize(("shape", "n_classes"), [(GREY, 2), (COLOUR, 3), (VOLUME, 2)])
def test_every_layer_of_a_trained_network_is_measured(name: str, shape: tuple[int, ...], n_classes: int) -> None:
    """As its parts say, one by one."""
    images, labels = draw_images(shape, n_classes)
    [network, _] = networks_of(fit(name, shape, n_classes), shape)
    seen = network.see(images)
    found = measure_layers(network, images, labels, n_classes)
    assert [layer.name for layer in found] == list(network.names)
    assert [layer.units for layer in found] == list(network.units)
    for place, layer in enumerate(found):
        sums = network.sums(seen, place).flatten(2).amax(dim=2) if name == CNN and place < len(found) - 1 else None
        highest = (network.sums(seen, place) if sums is None else sums).numpy()
        lives = ~dead_units(highest, network.activation, is_output=layer.name == "output")
        assert layer.dead == (~lives).sum()
        if not lives.any():
            continue
        gradients = mean_gradients(network, seen, place)[lives]
        wanted = regions_of(gradients)
        assert layer.area == pytest.approx(np.nanmedian(wanted.area))
        assert layer.pieces == pytest.approx(np.nanmedian(wanted.pieces))
        assert 0 < layer.area <= 0.5
        assert layer.selectivity == pytest.approx(np.median(selectivity(highest[:, lives], labels, n_classes)))
        assert layer.edge_likeness == pytest.approx(np.nanmedian(edge_likeness(planes_of(gradients))), rel=1e-3)


def test_a_layer_that_is_wholly_dead_has_no_numbers_and_those_behind_it_none_either() -> None:
    network = as_network((np.eye(4), [-9] * 4), (np.ones((4, 2)), [1, 1]), (np.ones((2, 1)), [0]), shape=(2, 2))
    found = measure_layers(network, np.random.default_rng(0).random((6, 2, 2)), np.arange(6) % 2, 2)
    assert [layer.dead for layer in found] == [4, 2, 1]
    for layer in found:
        assert all(math.isnan(getattr(layer, measure)) for measure in MEASURES)
        assert all(layer.to_json()[measure] is None for measure in MEASURES)
    json.dumps([layer.to_json() for layer in found], allow_nan=False)


def test_a_measure_is_written_with_null_for_what_is_unknown() -> None:
    layer = LayerMeasure("hidden1", 4, 1, 0.25, 1.0, math.nan, 0.5, 2.0, 0.0)
    wanted = {"name": "hidden1", "units": 4, "dead": 1, "area": 0.25, "pieces": 1, "overlap": None}
    assert layer.to_json() == wanted | {"edge_likeness": 0.5, "frequency": 2, "selectivity": 0}
    assert set(MEASURES) == set(layer.to_json()) - {"name", "units", "dead"}


def test_the_order_of_images_and_units_does_not_matter() -> None:
    images, labels = draw_images(GREY)
    [network, _] = networks_of(fit(NN, GREY), GREY)
    order, turned = np.random.default_rng(0).permutation(len(labels)), torch.tensor([3, 0, 5, 1, 4, 2])
    (into, bias), (out, shift) = network.weights
    other = LayeredNetwork(GREY, "relu", True, ((into[:, turned], bias[turned]), (out[turned], shift)))
    for one, same in zip(
        measure_layers(network, images, labels, 2),
        measure_layers(other, images[order], labels[order], 2),
        strict=True,
    ):
        for measure in ("dead", *MEASURES):
            assert getattr(same, measure) == pytest.approx(getattr(one, measure), rel=1e-3, nan_ok=True), measure


# dead units


def test_dead_units_by_hand() -> None:
    #                   below 0, at 0, one above, still above, still below, moving below and 0
    highest = np.array([[-1.0, 0, -2, 2, -3, -1], [-2.0, 0, 1, 2, -3, 0]])
    assert dead_units(highest, "relu", is_output=False).tolist() == [True, True, False, True, True, True]
    for activation in ("tanh", "sigmoid", "gelu"):  # what lies below 0 is passed on, if little of it
        assert dead_units(highest, activation, is_output=False).tolist() == [False, True, False, True, True, False]
    assert dead_units(highest, "relu", is_output=True).tolist() == [False, True, False, True, True, False]


@pytest.mark.parametrize("name", [NN, CNN])
def test_a_dead_unit_passes_on_one_value_and_a_living_one_does_not(name: str) -> None:
    images, _ = draw_images(GREY)
    [network, _] = networks_of(fit(name, GREY), GREY)
    (weight, bias), *rest = network.weights
    bias = bias.clone()
    bias[[0, 2]] = -1000
    killed = LayeredNetwork(
        GREY, "relu", True, ((weight, bias), *rest), network.convolutions, network.centre, network.scale
    )
    seen = killed.see(images)
    dead = dead_units(highest_sums(killed, 0, seen).numpy(), "relu", is_output=False)
    moves = killed.values(seen, 0).reshape(len(images), len(bias), -1).numpy().max(axis=2)
    assert dead[[0, 2]].all()
    assert not dead.all()
    assert dead.tolist() == (np.ptp(moves, axis=0) == 0).tolist()


# what is looked at


def test_reference_rows_are_spread_over_all() -> None:
    rows = np.arange(100, 1100)
    some = reference_rows(rows, 28 * 28)
    assert len(some) == REFERENCE_IMAGES
    assert (some[0], some[1]) == (100, 115)
    assert some[-1] >= 1080
    assert reference_rows(rows[:10], 28 * 28).tolist() == rows[:10].tolist()
    sizes = [len(reference_rows(rows, n)) for n in (64, 128**2, 256**2, 512**2, 64**3, 128**3, 1024**3)]
    assert sizes == sorted(sizes, reverse=True)
    # 2²⁵ values at 8 units are 16 volumes of 64³ and 2 of 128³; but never fewer than 4.
    assert sizes[4:] == [16, 4, 4]


def test_units_to_measure_are_spread_over_the_layer() -> None:
    wide = as_network((np.zeros((4, 300)), np.zeros(300)), (np.zeros((300, 1)), [0]))
    some = units_to_measure(wide, 0, 64)
    assert len(some) == MEASURED_UNITS == len(set(some))
    assert some[0] == 0
    assert some[-1] > 290
    assert units_to_measure(wide, 1, 64).tolist() == [0]
    assert len(units_to_measure(wide, 0, 10**9)) == MEASURED_UNITS, "a dense gradient costs little"
    [network, _] = networks_of(fit(CNN, GREY), GREY)
    last = len(network.units) - 2
    assert len(units_to_measure(network, last, 64)) == network.units[last] == 8
    assert len(units_to_measure(network, last, 10**9)) == 4


# trained networks and their starts


@pytest.mark.parametrize("name", [NN, CNN])
def test_trained_networks_stand_beside_their_own_starts(name: str) -> None:
    images, labels = draw_images(GREY)
    rung, draw = fit(name, GREY), draw_by_row(labels, seed=4)
    kept = rung.ensemble_
    found = measure_networks(rung, images, labels, draw, n_classes=2, at_most=5)
    assert rung.ensemble_ is kept, "the fitted rung is left as it was"
    assert [sorted(one) for one in found] == [["start", "trained"]] * 2
    [start] = rung.before_training(images, labels, [draw])
    for member, one in enumerate(found):
        for of, ensemble in (("trained", kept), ("start", start)):
            alike = copy(rung)
            alike.ensemble_ = ensemble
            network = networks_of(alike, GREY)[member]
            assert one[of] == [layer.to_json() for layer in measure_layers(network, images, labels, 2)]
        assert one["start"] != one["trained"]
    assert measure_networks(rung, images, labels, draw, n_classes=2, at_most=1) == found[:1]
    json.dumps(found, allow_nan=False)


def test_networks_are_measured_on_rows_to_learn_from_alone() -> None:
    images, labels = draw_images(GREY)
    draw = Draw(np.arange(30), np.where(np.arange(30) < 10, 0, -1), seed=1)
    [rung] = rungs.build(rungs.parse_rung(NN)).fit_fleet(images, labels, [draw])
    changed = images.copy()
    changed[:10] = 255 - changed[:10]
    one, other = (measure_networks(rung, some, labels, draw, n_classes=2, at_most=2) for some in (images, changed))
    assert one == other


# slopes


def test_a_slope_by_hand() -> None:
    assert slope_of([1, 2, 3]) == 1
    assert slope_of([0.3, 0.1]) == -0.2
    assert slope_of([2, 2, 2, 2]) == 0
    # About the middle layer 1: (−1)(1) + 0 + (1)(4) over 2.
    assert slope_of([1, 9, 4]) == 1.5
    # Layers 0 and 3 alone are known: three steps from 1 to 7.
    assert slope_of([1, None, math.nan, 7]) == 2
    for unknown in ([], [1], [None, 3], [math.nan, math.nan]):
        assert math.isnan(slope_of(unknown))


@settings(deadline=None)
@given(st.lists(st.floats(-100, 100), min_size=2, max_size=8), st.floats(-3, 3), st.floats(-5, 5))
def test_a_slope_is_scipys_and_moves_with_a_line(values: list[float], rise: float, height: float) -> None:
    known = slope_of(values)
    assert known == pytest.approx(stats.linregress(range(len(values)), values).slope, abs=1e-9)
    tilted = [value + rise * at + height for at, value in enumerate(values)]
    assert slope_of(tilted) == pytest.approx(known + rise, abs=1e-8)
    assert slope_of(values[::-1]) == pytest.approx(-known, abs=1e-9)


def network_with(trained: list[float | None], start: list[float | None]) -> dict[str, Any]:
    return {"trained": [{"area": one} for one in trained], "start": [{"area": one} for one in start]}


def test_a_slope_is_weighed_by_hand() -> None:
    """Own slopes 1, 2, … 10; starts rise by 2: learned −1, 0, … 8, mean 3.5, deviation √(82.5 / 9), Student's 2.262."""
    networks = [network_with([0, own], [5, 7]) for own in range(1, 11)]
    found = weigh_slope("area", networks)
    half = 2.262157 * math.sqrt(82.5 / 9) / math.sqrt(10)
    assert found.own is not None
    assert found.learned is not None
    assert found.own.estimate == 5.5
    assert found.learned.estimate == 3.5
    for interval in (found.own, found.learned):
        assert interval.high - interval.estimate == pytest.approx(half, rel=1e-6)
        assert interval.estimate - interval.low == pytest.approx(half, rel=1e-6)
    assert (found.measure, found.networks, found.verdict) == ("area", 10, "rises")
    told = found.to_json()
    assert told["learned"] == {"estimate": 3.5, "low": pytest.approx(3.5 - half), "high": pytest.approx(3.5 + half)}
    assert [told[name] for name in ("measure", "networks", "verdict")] == ["area", 10, "rises"]


def test_it_is_what_was_learned_that_is_judged_and_not_the_architecture() -> None:
    """All rise; in some no more than their starts do, in some less."""
    noise = 0.01 * np.random.default_rng(0).standard_normal(12)
    for own, verdict in ((3, "rises"), (2, "not shown"), (1, "falls")):
        networks = [network_with([0, own + off], [0, 2 + 2 * off - noise.mean()]) for off in noise]
        found = weigh_slope("area", networks)
        assert found.verdict == verdict
        assert found.own is not None
        assert found.own.low > 0


@pytest.mark.parametrize("n", range(NETWORKS))
def test_from_fewer_than_ten_networks_nothing_is_claimed(n: int) -> None:
    found = weigh_slope("area", [network_with([0, 1 + 1e-6 * at], [0, 0]) for at in range(n)])
    assert (found.verdict, found.networks) == ("too few networks", n)
    assert (found.own is None) == (found.learned is None) == (n < 2)
    assert NETWORKS == 10
    json.dumps(found.to_json(), allow_nan=False)


def test_networks_without_a_slope_do_not_count() -> None:
    """One of ten is dead in all but one layer, trained or at the start: nine are left."""
    rises = [network_with([0, 1 + 1e-6 * at], [0, 0]) for at in range(9)]
    assert weigh_slope("area", [*rises, network_with([0, 1], [0, 0])]).verdict == "rises"
    for other in (network_with([None, 1], [0, 0]), network_with([0, 1], [0, None])):
        found = weigh_slope("area", [*rises, other])
        assert (found.verdict, found.networks) == ("too few networks", 9)


def test_equal_networks_that_did_not_change_show_nothing() -> None:
    found = weigh_slope("area", [network_with([0, 1], [0, 1])] * 10)
    assert found.verdict == "not shown"
    assert found.learned is not None
    assert (found.learned.low, found.learned.high) == (0, 0)


def simulated(rng: np.random.Generator, n: int, *, learned: float) -> list[dict[str, Any]]:
    """Networks of four layers; each start has a slope of its own, which training changes by `learned` on average."""

    def layers(slope: float) -> list[dict[str, float]]:
        return [{"area": 0.3 + slope * at + 0.01 * off} for at, off in enumerate(rng.standard_normal(4))]

    slopes = 0.05 + 0.02 * rng.standard_normal(n)
    return [
        {"trained": layers(slope + learned + 0.02 * off), "start": layers(slope)}
        for slope, off in zip(slopes, rng.standard_normal(n), strict=True)
    ]


@pytest.mark.parametrize("n", [10, 25])
def test_where_training_changes_nothing_a_claim_is_made_one_time_in_twenty(n: int) -> None:
    """Though all slopes are far from 0; as often up as down. Five deviations of 1500 draws are ±.028."""
    rng = np.random.default_rng(n)
    said = [weigh_slope("area", simulated(rng, n, learned=0)).verdict for _ in range(1500)]
    rises, falls = (said.count(word) / len(said) for word in ("rises", "falls"))
    assert rises + falls == pytest.approx(0.05, abs=0.02)
    assert rises == pytest.approx(0.025, abs=0.015)
    assert said.count("not shown") == len(said) - said.count("rises") - said.count("falls")


def test_the_interval_holds_what_was_learned_nineteen_times_in_twenty_and_finds_it() -> None:
    rng, learned = np.random.default_rng(3), -0.03
    found = [weigh_slope("area", simulated(rng, 10, learned=learned)) for _ in range(1500)]
    held = np.mean([one.learned is not None and one.learned.low <= learned <= one.learned.high for one in found])
    assert held == pytest.approx(0.95, abs=0.02)
    said = [one.verdict for one in found]
    assert said.count("falls") > 0.9 * len(said)
    assert said.count("rises") == 0


# importance


def test_importance_by_hand() -> None:
    """Values times slopes: 2·(1, 3), then 5·(0, 2) through an open and a shut gate, then nothing of the third."""
    network = as_network(([[1, 1, 1]], [0, -1, 0]), ([[2], [-5], [0]], [7]))
    seen = torch.tensor([[1.0], [3.0]])
    assert importance_of(network, seen, 0).tolist() == [2, 5, 0]
    # 2·1 − 0 and 2·3 − 10: 2 and −4.
    assert importance_of(network, seen, 1).tolist() == [3]


def test_importance_for_several_outputs_is_their_mean() -> None:
    network = as_network(([[1, 1]], [0, 0]), ([[1, 0, 5], [0, 4, -2]], [0, 0, 0]))
    seen = torch.tensor([[0.0], [2.0]])  # deviation 1
    assert importance_of(network, seen, 0).tolist() == [2, 2]
    assert importance_of(network, seen, 1).tolist() == [1, 4, 3]


def test_importance_of_a_convolution_is_what_its_map_gives_the_answer() -> None:
    """The output sees a map's mean and largest value: of the last convolution they are all that counts."""
    images, _ = draw_images(VOLUME, 3)
    [network, _] = networks_of(fit(CNN, VOLUME, 3), VOLUME)
    seen, last = network.see(images), len(network.weights) - 2
    maps, (weight, _) = network.values(seen, last).flatten(2).numpy(), network.weights[-1]
    by_mean, by_largest = np.split(weight.numpy(), 2, axis=1)
    given_ = by_mean * maps.mean(axis=2)[:, None] + by_largest * maps.max(axis=2)[:, None]
    found = importance_of(network, seen, last)
    assert found == pytest.approx(given_.std(axis=0).mean(axis=0), rel=1e-4, abs=1e-6)
    assert np.ptp(found) > 0


@pytest.mark.parametrize("layer", [0, 1])
def test_importance_does_not_hang_on_units_of_measure_nor_on_their_order(layer: int) -> None:
    """A relu that adds up ten times as much, and whose followers weigh it a tenth, is the same unit."""
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal(size) for size in ((5, 6), (6, 4), (4, 2))]
    biases = [rng.standard_normal(n) for n in (6, 4, 2)]
    seen = torch.from_numpy(rng.standard_normal((20, 5))).float()
    plain = importance_of(as_network(*zip(weights, biases, strict=True)), seen, layer)
    assert (plain > 0).any()
    factors = np.exp(rng.standard_normal(len(plain)))
    weights[layer], biases[layer] = weights[layer] * factors, biases[layer] * factors
    weights[layer + 1] = weights[layer + 1] / factors[:, None]
    assert importance_of(as_network(*zip(weights, biases, strict=True)), seen, layer) == pytest.approx(plain, rel=1e-4)
    order = rng.permutation(len(plain))
    weights[layer], biases[layer] = weights[layer][:, order], biases[layer][order]
    weights[layer + 1] = weights[layer + 1][order]
    turned = importance_of(as_network(*zip(weights, biases, strict=True)), seen, layer)
    assert turned == pytest.approx(plain[order], rel=1e-4)


def test_favoured_classes_by_hand() -> None:
    labels = np.array([0, 0, 1, 1, 2, 2])
    values = np.array(
        [
            [9, 8, 1, 2, 3, 4],  # class 0
            [1, 2, 9, 0, 3, 4],  # class 1 by 9, but ranks 6 and 1 are fewer than 4 and 5 together: class 2
            [5, 5, 5, 5, 5, 5],  # none: the first
            [-9, -8, -1, -2, -3, -4],
            [1, 5, 2, 6, 3, 4],  # ranks 1 5, 2 6, 3 4: class 1
        ]
    ).T
    assert classes_favoured(values.astype(float), labels, 3).tolist() == [0, 2, 0, 1, 1]
    # Ranks 9, 7, 6, 3 are less on average than 8 and 5, but win 15 of 20 pairs, and these 10 of 14.
    ranks, sizes = np.array([[8.0, 5, 9, 7, 6, 3, 4, 2, 1]]).T, np.array([0, 0, 1, 1, 1, 1, 2, 2, 2])
    assert classes_favoured(ranks, sizes, 3).tolist() == [1]
    # A class without images, here 0, is favoured by no one; what all share goes to the first that has some.
    assert classes_favoured(values.astype(float), labels + 1, 4).tolist() == [1, 3, 1, 2, 2]


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_favoured_class_lies_highest_in_pairs_and_turns_with_the_sign(seed: int) -> None:
    """Against Mann and Whitney's count of pairs, whatever a rising function does to the values."""
    rng = np.random.default_rng(seed)
    values, labels = rng.integers(0, 9, (12, 4)).astype(float), rng.integers(0, 3, 12)
    labels[:3] = 0, 1, 2
    found = classes_favoured(values, labels, 3)
    wins = [
        [np.mean(np.sign(unit[labels == code][:, None] - unit[labels != code][None])) for code in range(3)]
        for unit in values.T
    ]
    for unit, code in enumerate(found):
        assert wins[unit][code] == pytest.approx(max(wins[unit]))
    assert np.array_equal(classes_favoured(np.exp(values), labels, 3), found)
    two = classes_favoured(values, labels % 2, 2)
    ranks = [stats.rankdata(unit) for unit in values.T]
    told = [not math.isclose(unit[labels % 2 == 0].mean(), unit[labels % 2 == 1].mean()) for unit in ranks]
    assert np.array_equal(classes_favoured(-values, labels % 2, 2)[told], 1 - two[told])


# neighbours


def space(n_units: int = 2) -> LayeredNetwork:
    """Passes the first pixels on, as they are."""
    return as_network((np.eye(4)[:, :n_units], np.zeros(n_units)), (np.ones((n_units, 1)), [0]))


def test_distances_by_hand() -> None:
    """Axes have deviations 2 and 1 over the rows; a third never moves and does not count."""
    images = np.array([[1, 3, 9, 0], [5, 3, 9, 1], [1, 1, 9, 0], [5, 1, 9, 5]], dtype=float)[:, None]
    image = np.array([[1.0, 2, 4, 7]])
    rows, distances = Neighbours.of([space(3)], images, np.arange(4)).nearest(image, n=3)
    # (0, 1), (2, 1), (0, −1), (2, −1) deviations away: half the mean squares are 1/4, 5/4, 1/4, 5/4.
    assert rows.tolist() == [0, 2, 1]
    assert distances == pytest.approx([0.5, 0.5, math.sqrt(1.25)])


def test_members_share_the_space_equally() -> None:
    """Two members see one pixel each."""
    left, right = (as_network((np.eye(2)[:, [at]], [0]), ([[1]], [0])) for at in (0, 1))
    images = np.array([[[0, 0]], [[2, 20]], [[0, 20]], [[2, 0]]], dtype=float)
    rows, distances = Neighbours.of([left, right], images, np.arange(4)).nearest(np.array([[0.0, 10]]))
    assert rows.tolist() == [0, 2, 1, 3]
    # (0, 1), (0, 1), (2, 1), (2, 1) deviations
    assert distances == pytest.approx([0.5, 0.5, math.sqrt(1.25), math.sqrt(1.25)])


@pytest.mark.parametrize("name", ["logistic", NN, f"{NN},activation=tanh", "dnn:widths=9-5,epochs=2,members=2", CNN])
@pytest.mark.parametrize("shape", [GREY, VOLUME])
def test_a_training_image_is_nearest_to_itself(name: str, shape: tuple[int, ...]) -> None:
    images, labels = draw_images(shape)
    rung = fit(name, shape) if name != "logistic" else rungs.build(rungs.parse_rung(name)).fit(images, labels)
    networks, rows = networks_of(rung, shape), np.arange(29, 3, -2)
    for row in (29, 11, 5):
        found, distances = Neighbours.of(networks, images, rows).nearest(images[row], n=len(rows))
        assert found[0] == row
        assert distances[0] == pytest.approx(0, abs=1e-4)
        assert distances[1] > 1e-3
        assert (np.diff(distances) >= 0).all()
        assert sorted(found) == sorted(rows)
    assert Neighbours.of(networks, images, rows).nearest(images[0])[0].shape == (5,)
    assert Neighbours.of(networks, images, rows[:2]).nearest(images[0])[0].shape == (2,)


@pytest.mark.parametrize("name", [NN, CNN])
def test_a_typical_step_between_two_images_is_one(name: str) -> None:
    """The root mean square over all pairs is, in any space."""
    images, _ = draw_images(GREY)
    networks, rows = networks_of(fit(name, GREY), GREY), np.arange(5, 25)
    steps = [Neighbours.of(networks, images, rows).nearest(images[row], n=20)[1] for row in rows]
    assert np.mean(np.square(steps)) == pytest.approx(1, rel=1e-4)


def test_a_space_in_which_nothing_moves_has_no_distances() -> None:
    dead = as_network((np.eye(4), [-9] * 4), (np.ones((4, 1)), [0]))
    images = np.random.default_rng(0).random((6, 1, 4))
    rows, distances = Neighbours.of([dead], images, np.arange(1, 6)).nearest(np.ones((1, 4)), n=2)
    assert rows.tolist() == [1, 2]
    assert distances.tolist() == [0, 0]


def test_blocks_of_rows_change_nothing() -> None:
    """More rows than are asked about at once, from a file or from memory."""
    rng = np.random.default_rng(1)
    images = rng.random((300, 1, 4))
    rows, distances = Neighbours.of([space()], images, np.arange(300)).nearest(images[290], n=300)
    away = (images - images[290])[:, 0, :2] / images[:, 0, :2].std(axis=0)
    wanted = np.sqrt((away**2).mean(axis=1) / 2)
    assert rows.tolist() == np.argsort(wanted, kind="stable").tolist()
    assert distances == pytest.approx(np.sort(wanted), abs=1e-5)
