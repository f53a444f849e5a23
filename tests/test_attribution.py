"""Where one image's answer comes from: worked by hand, against captum, and when a map is not to be believed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import count

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients, LayerAttribution, LayerGradCam
from scipy.special import logit
from scipy.stats import spearmanr
from torch import nn

from medladder.architecture import convolution_layers
from medladder.errors import InputError
from medladder.inspection import attribution
from medladder.inspection.attribution import Attribution, attribute, grad_cam, integrated_gradients, log_odds
from medladder.inspection.layered import LayeredNetwork, networks_of
from medladder.inspection.sanity import DRAWS, MOST_ALIKE, cascade, is_flat, similarity
from medladder.rungs import build, parse_rung

pytestmark = pytest.mark.usefixtures("one_thread")

RNG = np.random.default_rng(3)
SHAPES = {"grey": (8, 8), "colour": (8, 7, 3), "volume": (6, 5, 6, 1)}
FITTED = {
    "logistic": "logistic",
    "nn": "nn:width=8,members=2,epochs=20",
    "dnn": "dnn:widths=16-8,members=2,epochs=20",
    "cnn": "cnn:width=4,members=2,epochs=6",
}


def dense(
    shape: tuple[int, ...],
    *layers: tuple[Sequence[object], Sequence[float]],
    is_standardised: bool = False,
) -> LayeredNetwork:
    weights = tuple((torch.tensor(matrix).float(), torch.tensor(bias).float()) for matrix, bias in layers)
    return LayeredNetwork(shape, "relu", is_standardised, weights)


def neuron(shape: tuple[int, ...], weights: np.ndarray, bias: float = 0.0, **kind: bool) -> LayeredNetwork:
    return dense(shape, (weights.reshape(-1, 1).tolist(), [bias]), **kind)


def mirror_network(output: Sequence[float]) -> LayeredNetwork:
    """A cnn on 4×4 images whose two maps are what lies above a grey of .5, and what lies below."""
    here = torch.zeros(2, 1, 3, 3)
    here[:, 0, 1, 1] = torch.tensor([1.0, -1.0])
    on = torch.zeros(2, 2, 3, 3)
    on[[0, 1], [0, 1], 1, 1] = 1
    weights = ((here, torch.zeros(2)), (on, torch.zeros(2)), (torch.tensor([output]), torch.zeros(1)))
    layers = convolution_layers((4, 4), width=2, depth=1)
    return LayeredNetwork((4, 4), "relu", False, weights, layers, np.array([0.5]), np.array([1.0]))


def cohort(shape: tuple[int, ...], n_classes: int = 2, n: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """Noise images in which a class brightens the rows it is counted by."""
    rng = np.random.default_rng(7)
    labels = np.arange(n) % n_classes
    images = rng.integers(0, 150, (n, *shape)).astype(np.uint8)
    for label in range(n_classes):
        images[labels == label, label] += 80
    return images, labels


def fitted(rung: str, shape: tuple[int, ...], n_classes: int = 2) -> tuple[object, np.ndarray]:
    images, labels = cohort(shape, n_classes)
    classifier = build(parse_rung(rung)).set_params(random_state=0)
    return classifier.fit(images, labels), images


def explain(network: LayeredNetwork, image: np.ndarray, towards: int = 1) -> Attribution:
    return attribute([network], image, towards=towards, n_classes=2)[0]


# by hand


def test_a_neuron_gives_each_pixel_its_weight_times_its_distance_from_the_mean_grey():
    image, weights = np.array([[0.0, 0.25], [0.5, 0.25]]), np.array([[1.0, -2.0], [4.0, 8.0]])
    found = explain(neuron((2, 2), weights, bias=3.0), image)  # mean .25
    np.testing.assert_allclose(found.values, [[-0.25, 0.0], [1.0, 0.0]], atol=1e-6)
    assert found.method == "integrated gradients"
    assert found.completeness == pytest.approx(0, abs=1e-6)
    against = explain(neuron((2, 2), weights, bias=3.0), image, towards=0)
    np.testing.assert_allclose(against.values, -found.values, atol=1e-6)


def test_a_standardising_neuron_gives_each_pixel_its_weight_times_its_standard_score():
    image, weights = np.array([[1.0, 2.0], [3.0, 6.0]]), np.array([[1.0, -2.0], [4.0, 8.0]])
    found = explain(neuron((2, 2), weights, is_standardised=True), image)
    np.testing.assert_allclose(found.values, weights * (image - 3) / np.sqrt(3.5), atol=1e-5)


def test_a_relu_counts_only_where_it_is_on():
    # From (.5, .5) to (1, 0). 4·relu(a - .75) is on for half of the way: 4/2·.5 = 1. -relu(b) is on all the way:
    # -1·-.5 = .5. Together 1.5, as the answer goes from -.5 to 1.
    network = dense((1, 2), ([[1.0, 0.0], [0.0, 1.0]], [-0.75, 0.0]), ([[4.0], [-1.0]], [0.0]))
    found = explain(network, np.array([[1.0, 0.0]]))
    np.testing.assert_allclose(found.values, [[1.0, 0.5]], atol=1e-6)
    assert found.completeness == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("shape", [(2, 3, 3), (2, 2, 2, 1), (2, 2, 2, 2)], ids=["colour", "volume", "two channels"])
def test_channels_are_added_up_at_their_pixel(shape):
    image, weights = RNG.random(shape), RNG.normal(size=shape)
    found = explain(neuron(shape, weights), image)
    np.testing.assert_allclose(found.values, (weights * (image - image.mean())).sum(axis=-1), atol=1e-5)


def test_members_are_averaged():
    image, one, other = RNG.random((3, 3)), RNG.normal(size=(3, 3)), RNG.normal(size=(3, 3))
    found = attribute([neuron((3, 3), one), neuron((3, 3), other)], image, towards=1, n_classes=2)[0]
    np.testing.assert_allclose(found.values, (one + other) / 2 * (image - image.mean()), atol=1e-5)


def test_of_several_classes_the_odds_against_the_others_are_explained():
    weights, image = RNG.normal(size=(4, 3)), RNG.random((2, 2))
    network = dense((2, 2), (weights.tolist(), [0.1, 0.0, -0.2]))
    shares = np.exp(image.reshape(-1) @ weights + [0.1, 0.0, -0.2])
    for towards in range(3):
        odds = shares[towards] / (shares.sum() - shares[towards])
        assert log_odds([network], network.see(image[None]), towards).item() == pytest.approx(np.log(odds), abs=1e-5)
        assert attribute([network], image, towards=towards, n_classes=3)[0].completeness < 1e-3


def test_grad_cam_weighs_each_map_by_its_mean_gradient():
    # The output is 16·mean of the first map, -8·mean of the second, and 16·its largest value. Over 16 positions the
    # mean gradients are 16/16 = 1 and (-8 + 16)/16 = .5.
    network, image = mirror_network([16.0, -8.0, 0.0, 16.0]), RNG.random((4, 4))
    found = attribute([network], image, towards=1, n_classes=2)[1]
    above, below = np.maximum(image - 0.5, 0), np.maximum(0.5 - image, 0)
    assert (found.method, found.completeness) == ("grad-cam", None)
    np.testing.assert_allclose(found.values, above + 0.5 * below, atol=1e-6)


def test_grad_cam_keeps_what_speaks_for_the_class():
    network, image = mirror_network([16.0, -8.0, 0.0, 0.0]), RNG.random((4, 4))
    seen = network.see(image[None])
    np.testing.assert_allclose(grad_cam([network], seen, 1), np.maximum(image - 0.5, 0), atol=1e-6)
    np.testing.assert_allclose(grad_cam([network], seen, 0), 0.5 * np.maximum(0.5 - image, 0), atol=1e-6)
    both = [network, mirror_network([0.0, 32.0, 0.0, 0.0])]  # members' maps stand side by side: (-.5 + 2) / 2 below
    expected = 0.5 * np.maximum(image - 0.5, 0) + 0.75 * np.maximum(0.5 - image, 0)
    np.testing.assert_allclose(grad_cam(both, seen, 1), expected, atol=1e-6)


# captum and the fitted rungs as oracles


def test_integrated_gradients_are_those_of_captum_on_a_network_of_its_own():
    classifier, images = fitted(FITTED["dnn"], (8, 8))
    members = networks_of(classifier, (8, 8))
    seen, baseline = members[0].see(images[:1]), torch.zeros(1, 64)
    total = torch.zeros(1, 64)
    for member in members:
        layers: list[nn.Module] = []
        for weight, bias in member.weights:
            linear = nn.Linear(*weight.shape)
            linear.weight.data, linear.bias.data = weight.T.contiguous(), bias
            layers += [linear, nn.ReLU() if member.activation == "relu" else nn.GELU()]
        plain = IntegratedGradients(nn.Sequential(*layers[:-1]))
        total += plain.attribute(seen, baselines=baseline, n_steps=64, target=0).detach()
    found = integrated_gradients(members, seen, baseline, 1, steps=64)
    assert members[0].activation in ("relu", "gelu")
    assert members[0].is_standardised
    np.testing.assert_allclose(found, (total / 2).reshape(8, 8).numpy(), atol=1e-5)


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_grad_cam_is_that_of_captum(kind, n_classes):
    shape = SHAPES[kind]
    classifier, images = fitted("cnn:width=4,members=2,epochs=2", shape, n_classes)
    members = networks_of(classifier, shape)
    last = len(members[0].weights) - 2

    class SideBySide(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.maps = nn.Identity()

        def forward(self, seen: torch.Tensor) -> torch.Tensor:
            maps = self.maps(torch.cat([member.values(seen, last) for member in members], dim=1))
            parts = maps.split(members[0].units[last], dim=1)
            logits = [member.from_values(part, last) for member, part in zip(members, parts, strict=True)]
            if n_classes == 2:
                return torch.stack(logits).mean(dim=0)[:, 0]
            odds = [one[:, 1] - one[:, [0, 2]].logsumexp(dim=1) for one in logits]
            return torch.stack(odds).mean(dim=0)

    module, seen = SideBySide(), members[0].see(images[1:2]).requires_grad_()
    cam = LayerGradCam(module, module.maps).attribute(seen, relu_attributions=True)
    mode = "trilinear" if kind == "volume" else "bilinear"
    expected = LayerAttribution.interpolate(cam, members[0].grid, mode).detach()[0, 0].numpy()
    found = grad_cam(members, seen.detach(), 1)
    assert found.shape == members[0].grid
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("rung", ["logistic", "nn:width=8,members=1,epochs=20", "cnn:width=4,members=1,epochs=6"])
def test_attributions_add_up_to_what_the_rung_itself_answers(rung):
    classifier, images = fitted(rung, (8, 8))
    grey = np.full((1, 8, 8), images[0].mean() / 255)
    image = images[:1] / 255
    change = logit(classifier.predict_proba(image)[0, 1]) - logit(classifier.predict_proba(grey)[0, 1])
    found = attribute(networks_of(classifier, (8, 8)), images[0], towards=1, n_classes=2)[0]
    assert found.values.sum() == pytest.approx(change, rel=0.02)


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("rung", FITTED)
def test_every_network_explains_every_kind_of_image(rung, kind):
    shape = SHAPES[kind]
    classifier, images = fitted(FITTED[rung], shape)
    members = networks_of(classifier, shape)
    found = attribute(members, images[1], towards=1, n_classes=2, seed=1)
    again = attribute(members, images[1], towards=1, n_classes=2, seed=1)
    assert [one.method for one in found] == ["integrated gradients", "grad-cam"][: 1 + (rung == "cnn")]
    for one, same in zip(found, again, strict=True):
        assert one.values.shape == members[0].grid
        assert np.isfinite(one.values).all()
        assert [check.layer for check in one.checks] == list(reversed(members[0].names))
        assert all(0 <= check.similarity <= 1 for check in one.checks)
        assert one.reason.endswith(".")
        np.testing.assert_array_equal(one.values, same.values)
        assert json.loads(json.dumps(one.to_json())) == same.to_json()
    assert found[0].completeness < 0.05


def test_where_the_classes_differ_is_where_the_answer_comes_from():
    classifier, images = fitted("logistic", (8, 8))
    found = attribute(networks_of(classifier, (8, 8)), images[1], towards=1, n_classes=2)[0]
    rows = np.abs(found.values).mean(axis=1)
    assert rows[:2].min() > 2 * rows[2:].max()  # class 0 brightens the first row, class 1 the second
    assert found.values[1].sum() > 0


def test_another_seed_draws_other_random_weights_and_the_same_map():
    network = neuron((6, 6), RNG.normal(size=(6, 6)))
    image = RNG.random((6, 6))
    one, other = (attribute([network], image, towards=1, n_classes=2, seed=seed)[0] for seed in (0, 1))
    np.testing.assert_array_equal(one.values, other.values)
    assert one.checks[0].similarity != other.checks[0].similarity


def test_bytes_and_the_numbers_they_stand_for_are_explained_alike():
    image = RNG.integers(0, 256, (5, 5)).astype(np.uint8)
    network = neuron((5, 5), RNG.normal(size=(5, 5)))
    np.testing.assert_allclose(
        explain(network, image).values, explain(network, (image / 255).astype(np.float32)).values, atol=1e-6
    )


# when a map is not believed


def test_a_map_that_only_shows_the_image_survives_random_weights():
    # Distances from the mean grey over four powers of ten: beside them the weights hardly matter.
    half = 0.4 * 10 ** RNG.uniform(-4, 0, (8, 16))
    image = 0.5 + np.concatenate([half, -half])
    found = explain(neuron((16, 16), RNG.normal(size=(16, 16))), image)
    assert found.checks[-1].similarity > 0.7
    assert not found.is_trustworthy
    assert "survives random weights" in found.reason


def test_a_map_of_even_contrast_does_not_survive():
    image = 0.5 + 0.3 * (RNG.integers(2, size=(16, 16)) - 0.5)
    found = explain(neuron((16, 16), RNG.normal(size=(16, 16))), image)
    assert found.checks[-1].similarity < 0.2
    assert found.is_trustworthy
    assert "the network's own weights" in found.reason


@pytest.mark.parametrize("rung", ["nn", "cnn"])
def test_a_network_that_never_learned_is_as_alike_to_random_weights_as_one_that_did(rung):
    # The limit of the check, as its docstring says: it asks whether a map hangs on the weights, not if they are good.
    classifier, images = fitted(FITTED[rung], (8, 8))
    members = networks_of(classifier, (8, 8))
    untrained = [member.randomised(90 + place, members[0].see(images)) for place, member in enumerate(members)]
    learned, never = (
        np.mean([attribute(which, image, towards=1, n_classes=2)[0].checks[-1].similarity for image in images[:12]])
        for which in (members, untrained)
    )
    assert 0.25 < learned < 0.6
    assert never == pytest.approx(learned, abs=0.1)


@pytest.mark.parametrize("towards", [0, 1])
def test_a_network_that_answers_nothing_has_an_empty_map(towards):
    for found in attribute([mirror_network([0.0] * 4)], RNG.random((4, 4)), towards=towards, n_classes=2):
        assert not found.values.any()
        assert not found.is_trustworthy
        assert "empty" in found.reason
        assert [check.similarity for check in found.checks] == [0.0] * 3


def test_a_dead_grad_cam_is_said_to_be_empty():
    _, found = attribute([mirror_network([16.0, 8.0, 0.0, 0.0])], RNG.random((4, 4)), towards=0, n_classes=2)
    assert not found.values.any()
    assert (found.is_trustworthy, "empty" in found.reason) == (False, True)


def test_an_even_grey_has_nothing_to_explain():
    found = explain(neuron((3, 3), RNG.normal(size=(3, 3)), is_standardised=True), np.full((3, 3), 0.37))
    assert found.completeness is None
    assert (found.is_trustworthy, "empty" in found.reason) == (False, True)


def test_a_map_that_is_the_same_everywhere_points_nowhere():
    image = np.array([[0.75, 0.25], [0.25, 0.75]])
    found = explain(neuron((2, 2), np.ones((2, 2)) * [[1, -1], [-1, 1]]), image)
    assert np.ptp(found.values) == 0
    assert (found.is_trustworthy, "points nowhere" in found.reason) == (False, True)


def test_a_map_that_does_not_add_up_is_not_believed(monkeypatch):
    # Two points on the way, at .21 and .79 of it: neither sees the node that is on for the last tenth only.
    monkeypatch.setattr(attribution, "STEPS", 2)
    monkeypatch.setattr(attribution, "MOST_STEPS", 2)
    network = dense((1, 2), ([[1.0, 0.0], [0.0, 1.0]], [-0.95, 0.0]), ([[20.0], [-1.0]], [0.0]))
    found = explain(network, np.array([[1.0, 0.0]]))  # 1 from the first node, unseen, and .5 from the second
    assert found.completeness == pytest.approx(2 / 3, abs=1e-4)
    assert not found.is_trustworthy
    assert "misses" in found.reason
    assert "67%" in found.reason


def test_points_are_added_until_the_map_adds_up():
    nodes = 40
    first = (RNG.normal(size=(2, nodes)).tolist(), RNG.normal(size=nodes).tolist())
    network = dense((1, 2), first, ((RNG.normal(size=(nodes, 1)) * 30).tolist(), [0.0]))
    assert explain(network, np.array([[3.0, -2.0]])).completeness <= 0.01


# the cascade


def test_layers_turn_random_from_the_output_down():
    network = dense((1, 2), (np.eye(2).tolist(), [0.0, 0.0]), (np.eye(2).tolist(), [0.0] * 2), ([[1.0], [2.0]], [0.0]))
    asked: list[list[bool]] = []

    def map_of(members: Sequence[LayeredNetwork]) -> np.ndarray:
        pairs = zip(members[0].weights, network.weights, strict=True)
        asked.append([torch.equal(one[0], other[0]) for one, other in pairs])
        return RNG.random(5)

    checks = cascade(map_of, [network], np.arange(5.0), torch.zeros(1, 2), seed=0)
    assert [check.layer for check in checks] == ["output", "hidden2", "hidden1"]
    assert asked == [[True, True, False]] * DRAWS + [[True, False, False]] * DRAWS + [[False] * 3] * DRAWS


def test_members_and_draws_have_random_weights_of_their_own():
    drawn = []

    def map_of(members: Sequence[LayeredNetwork]) -> np.ndarray:
        drawn.extend(tuple(member.weights[0][0].ravel().tolist()) for member in members)
        return RNG.random(5)

    cascade(map_of, [neuron((1, 2), np.ones(2))] * 3, np.arange(5.0), torch.zeros(1, 2), seed=0)
    assert len(set(drawn)) == 3 * DRAWS


def test_random_networks_whose_map_is_constant_are_drawn_again():
    calls = count()

    def every_other(_: Sequence[LayeredNetwork]) -> np.ndarray:
        return np.arange(4.0) if next(calls) % 2 else np.zeros(4)

    check = cascade(every_other, [neuron((1, 2), np.ones(2))], np.arange(4.0), torch.zeros(1, 2), seed=0)[0]
    assert (check.similarity, next(calls)) == (1.0, 2 * DRAWS)

    def never(_: Sequence[LayeredNetwork]) -> np.ndarray:
        return np.zeros(4)

    assert cascade(never, [neuron((1, 2), np.ones(2))], np.arange(4.0), torch.zeros(1, 2), seed=0)[0].similarity == 0


def test_similarity_is_the_rank_correlation_of_the_maps_without_signs():
    one, other = RNG.normal(size=(5, 6)), np.round(RNG.normal(size=(5, 6)))  # with ties
    expected = abs(spearmanr(np.abs(one).ravel(), np.abs(other).ravel()).statistic)
    assert similarity(one, other) == pytest.approx(expected, abs=1e-12)
    assert similarity(one, -one) == 1
    assert similarity(one, np.ones((5, 6))) == 0
    assert is_flat(np.array([1.0, -1.0]))
    assert 0 < MOST_ALIKE < 1


# refusals


@pytest.mark.parametrize("shape", [(4, 5), (1, 4, 4), (4, 4, 1), (16,)])
def test_an_image_of_another_shape_is_refused(shape):
    with pytest.raises(InputError, match=r"The network takes 4×4\."):
        attribute([mirror_network([1.0] * 4)], np.zeros(shape), towards=1, n_classes=2)


def test_an_image_with_holes_is_refused():
    image = np.zeros((4, 4))
    image[0, 0] = np.nan
    with pytest.raises(InputError, match="finite"):
        attribute([mirror_network([1.0] * 4)], image, towards=1, n_classes=2)


@pytest.mark.parametrize(("towards", "n_classes"), [(2, 2), (-1, 2), (1, 3), (0, 1)])
def test_a_class_that_the_network_does_not_know_is_refused(towards, n_classes):
    with pytest.raises(InputError, match="trained on"):
        attribute([mirror_network([1.0] * 4)], np.zeros((4, 4)), towards=towards, n_classes=n_classes)
