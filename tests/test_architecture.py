"""Counts before anything is built, by hand and against the tensors that are trained."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from medladder import rungs
from medladder.architecture import (
    SIDES,
    budget,
    convolution_layers,
    count,
    count_parameters,
    dense_layers,
    equal_width,
    node_counts,
    parse_image_shape,
    parse_widths,
    tapered_widths,
    training_bytes,
    with_side,
)
from medladder.errors import OptionError
from medladder.rungs import filters
from medladder.rungs.budgets import count_rung, weigh_rung
from medladder.rungs.dense import logits_of_one, see_layers


def test_budget_of_the_first_try_by_hand():
    found = budget((28, 28), (512, 128, 32))
    assert [layer.nodes for layer in found.layers] == [784, 512, 128, 32, 1]
    assert [layer.name for layer in found.layers] == ["input", "hidden 1", "hidden 2", "hidden 3", "output"]
    weights = [784 * 512, 512 * 128, 128 * 32, 32 * 1]
    assert [layer.multiply_adds for layer in found.layers] == [0, *weights]
    assert [layer.parameters for layer in found.layers] == [0, 401920, 65664, 4128, 33]
    assert found.parameters == sum(weights) + 512 + 128 + 32 + 1 == 471745
    assert found.multiply_adds == sum(weights)
    assert found.model_bytes == 4 * 471745
    # weights, gradients, two moments; and 64 images' values at each of 784 + 512 + 128 + 32 + 1 nodes
    assert found.training_bytes == 4 * (4 * 471745 + 64 * 1457)


def test_a_large_image_into_512_nodes_is_25_million_weights():
    assert budget((224, 224), (512,)).layers[1].multiply_adds == 50_176 * 512 == 25_690_112


def test_colour_and_classes_are_counted():
    found = budget((28, 28, 3), (16,), n_classes=8)
    assert [layer.nodes for layer in found.layers] == [2352, 16, 8]
    assert found.layers[-1].parameters == 16 * 8 + 8


@pytest.mark.parametrize("n_classes", [2, 3, 8])
def test_counts_equal_those_of_the_tensors_that_are_trained(n_classes):
    nodes = node_counts(35, (12, 7), n_classes)
    layers = see_layers(torch.zeros(1, 10_000), nodes)
    assert count_parameters(nodes) == sum(matrix.numel() + bias.numel() for matrix, bias in layers)
    assert budget((7, 5), (12, 7), n_classes).multiply_adds == sum(matrix.numel() for matrix, _ in layers)


def test_training_bytes_hold_what_adam_holds():
    row = torch.zeros(1, count_parameters((35, 12, 1)), requires_grad=True)
    row.sum().backward()
    optimiser = torch.optim.AdamW([row])
    optimiser.step()
    held = [row, row.grad, *(t for t in optimiser.state[row].values() if t.shape == row.shape)]
    values = [torch.zeros(64, nodes) for nodes in (35, 12, 1)]
    assert training_bytes((35, 12, 1), batch=64) == sum(4 * t.numel() for t in [*held, *values])


def test_taper_by_hand():
    assert tapered_widths(256, 3, 0.25) == (256, 64, 16)
    assert tapered_widths(100, 4, 0.5) == (100, 50, 25, 12)
    assert tapered_widths(64, 3, 1) == (64, 64, 64)
    assert tapered_widths(8, 5, 0.25) == (8, 2, 2, 2, 2)


@given(width=st.integers(2, 4096), depth=st.integers(1, 20), taper=st.floats(0.01, 1))
def test_tapered_widths_never_grow_toward_the_output(width, depth, taper):
    widths = tapered_widths(width, depth, taper)
    assert len(widths) == depth
    assert widths[0] == width
    assert list(widths) == sorted(widths, reverse=True)
    assert min(widths) >= 2


@pytest.mark.parametrize("bad", [(1, 3, 0.5), (256, 0, 0.5), (256, 3, 0), (256, 3, 1.1), (256, 3, math.nan)])
def test_widths_that_make_no_network_are_refused(bad):
    with pytest.raises(OptionError):
        tapered_widths(*bad)


def test_sizes_are_read_as_people_write_them():
    assert parse_image_shape("28x28") == (28, 28)
    assert parse_image_shape(" 28 x 20 x 3") == (28, 20, 3)
    assert parse_image_shape("224×224") == (224, 224)
    assert parse_image_shape("64x64x64") == (64, 64, 64)  # a picture of 64 channels
    assert parse_image_shape("64x64x64x1") == (64, 64, 64, 1)  # a grey volume
    assert parse_widths("512,128,32") == (512, 128, 32)
    assert parse_widths("256-64-16") == (256, 64, 16)
    assert parse_widths("64") == (64,)


@pytest.mark.parametrize("text", ["", "28", "28x", "8x28x28x3x1", "28x0", "-28x28", "28,28", "axb", "28.5x28"])
def test_bad_image_sizes_say_what_is_needed(text):
    with pytest.raises(OptionError, match="Write it like 224x224"):
        parse_image_shape(text)


@pytest.mark.parametrize("text", ["", "512,", "512,,32", "0", "12.5", "a-b", "512 128"])
def test_bad_widths_say_what_is_needed(text):
    with pytest.raises(OptionError, match="Write them like 512,128,32"):
        parse_widths(text)


@pytest.mark.parametrize("bad", [{"n_classes": 1}, {"batch": 0}, {"image_shape": (0, 28)}, {"hidden": (512, 0)}])
def test_a_budget_of_nothing_is_refused(bad):
    with pytest.raises(OptionError, match="Every size is 1 or more"):
        budget(**{"image_shape": (28, 28), "hidden": (512,), **bad})


NETWORKS = (
    "logistic",
    "nn:width=12",
    "dnn:widths=12-7-5",
    "dnn:taper=1,width=equal",
    "cnn:width=8",
    "cnn:width=8,depth=2",
)
SHAPES = ((10,), (20, 17), (12, 12, 3), (9, 12, 10, 1))


@pytest.mark.parametrize(("shape", "n_classes"), list(zip(SHAPES, (3, 2, 4, 2), strict=True)), ids=str)
@pytest.mark.parametrize("name", NETWORKS)
def test_parameters_are_those_of_the_fitted_rung(name, shape, n_classes):
    spec = rungs.parse_rung(name)
    if shape == (10,) and "depth" in spec.settings:
        pytest.skip("One position cannot be halved.")
    rung = rungs.build(spec)
    quick = {"epochs": 1, "members": 1, "random_state": 0}
    rung.set_params(**{key: value for key, value in quick.items() if key in rung.get_params()})
    fitted = rung.fit(np.random.default_rng(0).random((24, *shape)), np.arange(24) % n_classes)
    assert fitted.n_parameters_ == count_rung(spec, shape, n_classes).parameters


def products_of(run):
    """Multiply-adds as PyTorch counts them: two operations each."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / 2


@pytest.mark.parametrize("n_classes", [2, 5])
def test_multiply_adds_of_dense_networks_are_those_that_torch_counts(n_classes):
    layers = see_layers(torch.zeros(1, 50_000), node_counts(340, (60, 20), n_classes))
    network = [(matrix[0], bias[0, 0]) for matrix, bias in layers]
    done = products_of(lambda: logits_of_one(network, torch.zeros(1, 340), "relu"))
    assert done == budget((20, 17), (60, 20), n_classes).multiply_adds


def learner_of(layers):
    return filters._Learner(layers, np.random.default_rng(0), torch.device("cpu"))


@pytest.mark.parametrize("shape", [*SHAPES, (70, 66, 3), (20, 20, 20, 1)], ids=str)
def test_multiply_adds_of_convolutional_networks_are_those_that_torch_counts(shape):
    layers = convolution_layers(shape, width=8, n_classes=3)
    learner = learner_of(layers)
    weights = learner.see(learner.fold())
    seen = torch.zeros(1, layers[0].channels, *layers[0].size)
    assert products_of(lambda: filters._logits(layers, weights, seen)) == count(layers).multiply_adds


@pytest.mark.parametrize("shape", [*SHAPES, (70, 66, 3)], ids=str)
def test_training_bytes_of_a_convolutional_network_are_what_autograd_keeps(shape):
    layers, batch = convolution_layers(shape, width=8, n_classes=3), 4
    learner = learner_of(layers)
    parameters = [*learner.weights, *learner.gains, *learner.biases]
    own = {tensor.data_ptr() for tensor in [*parameters, *learner.means, *learner.variances]}
    kept: dict[int, int] = {}

    def note(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        logits = learner.logits(torch.zeros(batch, layers[0].channels, *layers[0].size), 1)  # held, or it is freed
    channels = sum(layer.channels for layer in layers[1:-1])
    statistics = 4 * 2 * channels  # mean and deviation of each channel: of the batch, not of an image
    counted = count(layers, batch=batch)
    assert logits.shape == (batch, 3)
    assert sum(kept.values()) - statistics == counted.training_bytes - 4 * 4 * counted.parameters
    # Normalisation has a gain a channel while learning, folded into the weights that are counted.
    assert sum(tensor.numel() for tensor in parameters) == counted.parameters + channels


def test_training_bytes_of_dense_layers_are_those_the_fleet_is_planned_with():
    assert count(dense_layers((7, 5), (12,)), batch=64).training_bytes == training_bytes((35, 12, 1), batch=64)


def test_dense_networks_grow_with_the_square_of_the_side_and_convolutional_ones_hardly():
    dense, convolutional, logistic = (
        [budget.parameters for _, budget in weigh_rung(rungs.parse_rung(name), (28, 28)).growth]
        for name in ("dnn", "cnn", "logistic")
    )
    assert logistic == [side**2 + 1 for side in SIDES]
    assert dense == [256 * side**2 + 256 + 256 * 64 + 64 + 64 * 16 + 16 + 17 for side in SIDES]
    assert max(convolutional) < 1.05 * min(convolutional)


def test_what_the_growth_table_says_at_the_working_size_is_the_budget_itself():
    weighed = weigh_rung(rungs.parse_rung("dnn:width=equal,taper=1,batch_size=96"), (64, 64, 3), n_classes=4)
    assert dict(weighed.growth)[64, 64, 3] == weighed.budget
    assert (weighed.budget.batch, weighed.budget.members) == (96, 5)


def test_an_image_too_small_for_the_stages_asked_for_has_no_place_in_the_growth():
    weighed = weigh_rung(rungs.parse_rung("cnn:depth=6"), (128, 128))
    assert [shape for shape, grown in weighed.growth if grown is None] == [(28, 28)]  # 28, 14, 7, 3, 1: five stages
    assert weighed.to_json()["growth"][0] == {
        "image": (28, 28), "parameters": None, "multiply_adds": None, "model_bytes": None, "training_bytes": None,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["prior", "svm", "pretrained"])
def test_a_rung_that_is_no_network_has_no_budget(name):
    spec = rungs.RungSpec(name, name, "conventional", {})
    with pytest.raises(OptionError, match="logistic, nn, dnn or cnn"):
        count_rung(spec, (28, 28))


def test_logistic_is_not_trained_in_batches():
    found = count_rung(rungs.parse_rung("logistic"), (28, 28))
    assert (found.batch, found.training_bytes, found.members) == (None, None, 1)


@given(
    n_inputs=st.integers(1, 10**6),
    n_classes=st.integers(2, 12),
    depth=st.integers(1, 8),
    taper=st.floats(0.05, 1),
    parameters=st.integers(10**4, 10**8),
)
def test_an_equal_width_is_the_widest_that_holds_no_more(n_inputs, n_classes, depth, taper, parameters):
    def held(width):
        return count_parameters(node_counts(n_inputs, tapered_widths(width, depth, taper), n_classes))

    if held(2) > parameters:
        with pytest.raises(OptionError, match="Lower depth"):
            equal_width(n_inputs, n_classes, depth=depth, taper=taper, parameters=parameters)
    else:
        width = equal_width(n_inputs, n_classes, depth=depth, taper=taper, parameters=parameters)
        assert held(width) <= parameters < held(width + 1)


def test_a_side_is_given_to_every_axis_and_channels_stay():
    assert with_side((28, 20), 64) == (64, 64)
    assert with_side((28, 20, 3), 64) == (64, 64, 3)
    assert with_side((8, 28, 20, 1), 64) == (64, 64, 64, 1)
