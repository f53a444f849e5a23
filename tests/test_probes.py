"""Linear probes and extractors: tasks whose answer is known, who may see whom, and paired intervals that cover."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from medladder.errors import InputError
from medladder.evidence.fixed import weigh_model
from medladder.inspection.layered import LayeredNetwork, networks_of
from medladder.inspection.pairing import auroc_interval_of, hold_out, pair_out_of_part, paired_difference
from medladder.inspection.probes import (
    Probes,
    compare_as_extractor,
    layer_values,
    patient_parts,
    probe_layers,
    why_no_probe,
)
from medladder.rungs import build, parse_rung
from medladder.rungs.draws import Draw, draw_by_row

XOR = (([[1, -1], [-1, 1]], [0, 0]), ([[1], [1]], [-0.5]))
"""Two nodes, relu(a - b) and relu(b - a), and their sum: |a - b| - ½."""
IDENTITY = ((np.eye(2), [0, 0]), ([[1], [1]], [-1]))


def network(layers: Sequence[tuple], shape: tuple[int, ...] = (1, 2)) -> LayeredNetwork:
    """A dense relu network that takes images as they are."""
    weights = tuple((torch.tensor(weight).float(), torch.tensor(bias).float()) for weight, bias in layers)
    return LayeredNetwork(shape, "relu", False, weights)


def xor(seed: int, n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Images of two pixels near 0 or 1; the class is whether they differ."""
    rng = np.random.default_rng(seed)
    corners = rng.integers(2, size=(n, 2))
    pixels = corners + rng.normal(0, 0.1, (n, 2))
    return pixels.reshape(n, 1, 2), (corners[:, 0] != corners[:, 1]).astype(int)


def linear(seed: int, n: int = 400, noise: float = 0.02) -> tuple[np.ndarray, np.ndarray]:
    """Images of two pixels within 0–1; the class is whether their sum is above 1."""
    rng = np.random.default_rng(seed)
    pixels = rng.uniform(0, 1, (n, 2))
    return pixels.reshape(n, 1, 2), (pixels.sum(axis=1) + rng.normal(0, noise, n) > 1).astype(int)


def probed(layers: Sequence[tuple], images: np.ndarray, labels: np.ndarray, *, parts: int = 2, **options) -> Probes:
    """Probes of so many equal networks, a part of the rows held out from each."""
    patients = options.pop("patients", np.arange(len(labels)))
    networks = [network(layers)] * parts
    found = probe_layers(networks, images, labels, patients, draw_by_row(labels, 0, parts), n_classes=2, **options)
    assert found is not None
    return found


def drawn_scores(
    rng: np.random.Generator, labels: np.ndarray, *, shared: float = 0.7, n_classes: int = 2
) -> tuple[np.ndarray, np.ndarray]:
    """Two scorers that are equally good in truth, and alike in part."""
    wide = (len(labels), n_classes)
    both = np.eye(n_classes)[labels] + shared * rng.standard_normal(wide)
    return tuple(both + np.sqrt(1 - shared**2) * rng.standard_normal(wide) for _ in range(2))  # type: ignore[return-value]


# tasks whose answer is known


def test_classes_that_a_line_parts_are_apart_at_the_input() -> None:
    found = probed(IDENTITY, *linear(0))
    assert found.input.trained.estimate > 0.99
    assert found.separable_from == "input"
    assert (found.images, found.patients, found.note) == (400, 400, None)


def test_a_layer_that_passes_everything_on_is_as_good_as_its_input() -> None:
    found = probed(IDENTITY, *linear(1, noise=0.3))
    hidden = found.layers[0]
    assert (hidden.name, found.layers[1].name) == ("hidden1", "output")
    assert hidden.trained == found.input.trained
    assert hidden.against_output == found.input.against_output
    assert found.input.random is found.layers[1].against_output is None


def test_classes_that_no_line_parts_come_apart_in_the_hidden_layer() -> None:
    found = probed(XOR, *xor(0))
    assert found.input.trained.low < 0.5 < found.input.trained.high
    assert found.layers[0].trained.low > 0.97
    assert found.layers[1].trained.low > 0.97
    assert found.input.against_output.high < -0.3
    assert found.separable_from == "hidden1"
    assert found.layers[1].random.estimate < 0.9


def test_an_output_that_tells_nothing_is_no_end_to_reach() -> None:
    images, labels = linear(2)
    shuffled = np.random.default_rng(0).permutation(labels)
    assert probed(IDENTITY, images, shuffled).separable_from is None


def test_a_dead_layer_is_at_one_half() -> None:
    dead = ((np.eye(2), [-9, -9]), ([[1], [1]], [-1]))
    found = probed(dead, *linear(3))
    assert list(found.layers[0].trained.to_json().values()) == pytest.approx([0.5] * 3)


def test_the_margin_decides_from_where_on_classes_are_separable() -> None:
    images, labels = xor(1)
    assert probed(XOR, images, labels, margin=0.9).separable_from == "input"


def test_the_output_alone_may_be_where_classes_come_apart() -> None:
    """With no margin even an equal layer is not shown to be no worse: its interval reaches below 0."""
    found = probed(XOR, *xor(2), margin=0.0)
    assert found.separable_from == "output"


@pytest.mark.parametrize("n_classes", [3, 4])
def test_more_classes(n_classes: int) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(360) % n_classes
    images = (np.eye(4)[labels] + rng.normal(0, 0.2, (360, 4))).reshape(360, 2, 2)
    layers = ((np.eye(4), np.zeros(4)), (np.eye(4)[:, :n_classes], np.zeros(n_classes)))
    networks, draw = [network(layers, (2, 2))] * 2, draw_by_row(labels, 0, 2)
    found = probe_layers(networks, images, labels, np.arange(360), draw, n_classes=n_classes)
    assert found is not None
    assert found.input.trained.estimate > 0.98
    compared = compare_as_extractor(networks, images, labels, np.arange(360), draw, n_classes=n_classes)
    assert compared is not None
    assert all(one.auroc.low > 0.95 for one in compared[1])


# the network's front under other classifiers


def test_other_classifiers_on_the_last_hidden_layer() -> None:
    images, labels = xor(3)
    networks, draw = [network(XOR)] * 2, draw_by_row(labels, 0, 2)
    compared = compare_as_extractor(networks, images, labels, np.arange(400), draw, n_classes=2)
    assert compared is not None
    whole, others = compared
    assert whole.low > 0.97
    assert [(one.classifier, one.layer) for one in others] == [("svm", "hidden1"), ("forest", "hidden1")]
    for one in others:
        assert one.auroc.low > 0.97
        assert one.against_end_to_end.low < 0 < one.against_end_to_end.high
        assert one.against_end_to_end.estimate == pytest.approx(one.auroc.estimate - whole.estimate)


def test_a_forest_learns_from_the_member_s_own_rows_alone() -> None:
    """Classes swapped in the rows held out: what learned from them would follow, what did not is all wrong."""
    images, labels = xor(4)
    draw = draw_by_row(labels, 0, 2)
    only = Draw(draw.rows, np.where(draw.fold == 0, 0, -1), 0)
    swapped = np.where(only.fold == 0, 1 - labels, labels)
    compared = compare_as_extractor([network(XOR)], images, swapped, np.arange(400), only, n_classes=2)
    assert compared is not None
    assert all(one.auroc.high < 0.05 for one in compared[1])


def test_end_to_end_is_the_rung_s_own_out_of_part_answer() -> None:
    images, labels = linear(5, noise=0.5)
    draw = draw_by_row(labels, 0, 3)
    rung = build(parse_rung("dnn:widths=4,members=3,epochs=2")).fit(images, labels, draw=draw)
    compared = compare_as_extractor(
        networks_of(rung, (1, 2)), images, labels, np.arange(400), draw, n_classes=2, at_most=50
    )
    assert compared is not None
    held = hold_out(rung.out_of_part_proba_, labels, np.arange(400), draw.fold)
    assert compared[0].estimate == pytest.approx(auroc_interval_of(held).estimate, abs=1e-4)


def test_one_neuron_has_no_front() -> None:
    images, labels = linear(6)
    alone = [network((([[1], [1]], [-1]),))] * 2
    draw = draw_by_row(labels, 0, 2)
    compared = compare_as_extractor(alone, images, labels, np.arange(400), draw, n_classes=2)
    assert compared is not None
    assert compared[1] == ()
    found = probe_layers(alone, images, labels, np.arange(400), draw, n_classes=2)
    assert found is not None
    assert [probe.name for probe in found.layers] == ["output"]


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("dnn:widths=5-3,members=2,epochs=1", (12, 12)),
        ("cnn:members=2,epochs=1", (12, 12)),
        ("cnn:members=2,epochs=1", (12, 12, 3)),
        ("cnn:members=2,epochs=1", (8, 8, 8, 1)),
    ],
)
def test_layer_values_are_the_extractor_s(name: str, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.random((40, *shape), dtype=np.float32), np.arange(40) % 2
    rung = build(parse_rung(name)).fit(images, labels, draw=draw_by_row(labels, 0, 2))
    if name.startswith("dnn"):
        from medladder.rungs import fleet as kind
    else:
        from medladder.rungs import filters as kind
    networks = networks_of(rung, shape)
    values = layer_values(networks[1], images, range(len(networks[1].names)))
    for layer, mine in enumerate(values, start=1):
        np.testing.assert_allclose(mine, kind.layer_values(rung.ensemble_, images, layer)[:, 1], rtol=1e-4, atol=1e-4)


# who may see whom


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 5), st.integers(2, 4))
def test_no_patient_is_on_both_sides(seed: int, n_parts: int, n_classes: int) -> None:
    rng = np.random.default_rng(seed)
    of_patient = np.repeat(np.arange(n_classes), n_parts * 2)
    patients = rng.permutation(np.repeat(np.arange(len(of_patient)), rng.integers(1, 4, len(of_patient)))) * 7 + 3
    labels = of_patient[(patients - 3) // 7]
    part = patient_parts(labels, patients, n_parts, rng)
    assert all(len(np.unique(part[patients == one])) == 1 for one in np.unique(patients))
    for k in range(n_classes):
        counts = [len(np.unique(patients[(part == number) & (labels == k)])) for number in range(n_parts)]
        assert counts == [2] * n_parts


def test_a_network_is_measured_only_on_what_it_holds_out() -> None:
    """Two networks, three parts: the third is nobody's, and what stands in it changes nothing."""
    images, labels = linear(7, noise=0.3)
    draw, patients = draw_by_row(labels, 0, 3), np.arange(400)
    spoiled = np.where((draw.fold == 2)[:, None, None], 1e3, images)
    networks = [network(IDENTITY)] * 2
    found = probe_layers(networks, images, labels, patients, draw, n_classes=2)
    assert found == probe_layers(networks, spoiled, labels, patients, draw, n_classes=2)
    assert found is not None
    assert found.images == int((draw.fold < 2).sum())


def test_photographing_patients_thrice_does_not_narrow_their_interval() -> None:
    images, labels = linear(8, n=120, noise=0.5)
    once = draw_by_row(labels, 0, 2)
    place = np.repeat(np.arange(120), 3)
    thrice = Draw(np.arange(360), once.fold[place], 0)
    networks = [network(IDENTITY)] * 2
    one = probe_layers(networks, images, labels, np.arange(120), once, n_classes=2)
    three = probe_layers(networks, images[place], labels[place], place, thrice, n_classes=2)
    assert one is not None
    assert three is not None
    assert (three.images, three.patients) == (360, 120)
    widths = [probe.trained.high - probe.trained.low for probe in (one.input, three.input)]
    assert widths[1] == pytest.approx(widths[0], rel=0.1)


def test_the_same_seed_gives_the_same_numbers() -> None:
    images, labels = linear(9, noise=0.3)
    assert probed(XOR, images, labels, seed=4) == probed(XOR, images, labels, seed=4)


def test_fewer_images_may_be_asked_for() -> None:
    images, labels = linear(10)
    found = probed(IDENTITY, images, labels, at_most=80)
    assert 150 <= found.images <= 400


def test_more_members_than_parts_count_no_patient_twice() -> None:
    images, labels = linear(11)
    draw = draw_by_row(labels, 0, 2)
    found = probe_layers([network(IDENTITY)] * 5, images, labels, np.arange(400), draw, n_classes=2)
    assert found == probed(IDENTITY, images, labels)


# nothing to probe


def test_nobody_held_out_leaves_nothing_to_probe() -> None:
    images, labels = linear(12)
    patients, draw = np.arange(400), draw_by_row(labels, 0)
    nobody = Draw(draw.rows, np.full(400, -1), 0)
    for networks, what in (([network(XOR)], draw), ([network(XOR)] * 3, nobody)):
        assert probe_layers(networks, images, labels, patients, what, n_classes=2) is None
        assert compare_as_extractor(networks, images, labels, patients, what, n_classes=2) is None
        why = why_no_probe(networks, labels, patients, what, n_classes=2)
        assert why == "The network learned from every patient, so none is left to probe it on."


def test_a_class_too_thin_leaves_nothing_to_probe() -> None:
    images, _ = linear(13, n=60)
    labels = (np.arange(60) < 6).astype(int)  # three of the second class in each part
    draw, networks = draw_by_row(labels, 0, 2), [network(IDENTITY)] * 2
    assert probe_layers(networks, images, labels, np.arange(60), draw, n_classes=2) is None
    why = why_no_probe(networks, labels, np.arange(60), draw, n_classes=2)
    assert why == "No network holds out 4 patients of every class, too few to probe it on."


def test_a_thin_class_is_said() -> None:
    images, labels = linear(14, n=300)
    keep = np.concatenate([np.flatnonzero(labels == 0), np.flatnonzero(labels == 1)[:12]])
    found = probed(IDENTITY, images[keep], labels[keep])
    assert found.note == "A class has fewer than 10 held-out patients a network: probes learn little."


# scores and pairs


def test_each_part_is_scored_within_itself() -> None:
    # Within each part the classes are apart; in one ROC 2 of the 8 pairs across the parts would be the wrong way round.
    scores = np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9])
    labels, part = np.array([0, 0, 1, 1] * 2), np.repeat([0, 1], 4)
    both = np.column_stack([1 - scores, scores])
    assert auroc_interval_of(hold_out(both, labels, np.arange(8), part)).estimate == 1.0
    assert auroc_interval_of(hold_out(both, labels, np.arange(8))).estimate == pytest.approx(
        roc_auc_score(labels, scores)
    )


def test_parts_weigh_by_their_patients() -> None:
    # Part 0 has two patients and is all wrong, part 1 has six and is all right: (2 · 0 + 6 · 1) / 8.
    scores = np.array([0.9, 0.1, 0.1, 0.2, 0.3, 0.7, 0.8, 0.9])
    labels, part = np.array([0, 1, 0, 0, 0, 1, 1, 1]), np.array([0, 0, 1, 1, 1, 1, 1, 1])
    held = hold_out(np.column_stack([1 - scores, scores]), labels, np.arange(8), part)
    assert auroc_interval_of(held).estimate == pytest.approx(0.75)
    assert held.n_patients == 8


@pytest.mark.parametrize("n_classes", [2, 3])
def test_one_part_is_a_fixed_model(n_classes: int) -> None:
    rng = np.random.default_rng(0)
    labels, patients = rng.integers(n_classes, size=90), np.arange(90)
    proba = rng.dirichlet(np.ones(n_classes), 90) * 0.7 + 0.3 * np.eye(n_classes)[labels]
    model = weigh_model(
        proba,
        labels,
        patients,
        patients_known=True,
        classes="abc"[:n_classes],
        weights=[1.0] * n_classes,
    )
    assert auroc_interval_of(hold_out(proba, labels, patients)) == model.metrics["auroc"]


def test_pairs_are_made_on_rows_that_both_have() -> None:
    rng = np.random.default_rng(1)
    labels, patients = np.arange(80) % 2, np.arange(80)
    one, other = drawn_scores(rng, labels)
    one[:7], other[5:12] = np.nan, np.nan
    a, b, difference = pair_out_of_part(one, other, labels, patients)
    assert a.estimate == pytest.approx(roc_auc_score(labels[12:], one[12:, 1]))
    assert b.estimate == pytest.approx(roc_auc_score(labels[12:], other[12:, 1]))
    assert difference.estimate == pytest.approx(a.estimate - b.estimate)
    back = pair_out_of_part(other, one, labels, patients)[2]
    assert (back.low, back.high) == (pytest.approx(-difference.high), pytest.approx(-difference.low))


def test_equal_things_differ_by_nothing_with_a_little_doubt() -> None:
    labels = np.arange(60) % 2
    one, _ = drawn_scores(np.random.default_rng(2), labels)
    difference = pair_out_of_part(one, one, labels, np.arange(60))[2]
    assert difference.estimate == 0
    assert -0.05 < difference.low < 0 < difference.high < 0.05


@pytest.mark.parametrize(("n", "parts", "n_classes", "images"), [(80, 1, 2, 1), (150, 3, 2, 1), (120, 2, 3, 2)])
def test_the_paired_interval_of_two_equal_things_covers(n: int, parts: int, n_classes: int, images: int) -> None:
    """In 95 % of 250 simulations, give or take 2.8: the truth is that neither scorer is better."""
    rng, covered = np.random.default_rng(3), 0
    labels, patients = np.arange(n) % n_classes, np.arange(n)
    part = np.arange(n) // n_classes % parts
    row = np.repeat(patients, images)
    for _ in range(250):
        pair = [
            scores[row] + 0.3 * rng.standard_normal((n * images, n_classes))
            for scores in drawn_scores(rng, labels, n_classes=n_classes)
        ]
        one, other = (hold_out(scores, labels[row], row, part[row]) for scores in pair)
        difference = paired_difference(one, other)
        covered += difference.low <= 0 <= difference.high
    assert 0.915 <= covered / 250 <= 0.988


def test_what_was_scored_on_others_is_no_pair() -> None:
    labels = np.arange(40) % 2
    one, other = drawn_scores(np.random.default_rng(4), labels)
    with pytest.raises(ValueError, match="same patients"):
        paired_difference(hold_out(one, labels, np.arange(40)), hold_out(other, labels, np.arange(40) + 1))


def test_a_class_without_patients_has_no_auroc() -> None:
    one, other = drawn_scores(np.random.default_rng(5), np.zeros(20, dtype=int))
    with pytest.raises(InputError, match="a class is missing"):
        pair_out_of_part(one, other, np.zeros(20, dtype=int), np.arange(20))
