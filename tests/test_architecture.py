"""Counts before anything is built, by hand and against the tensors that are trained."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from medladder.architecture import (
    budget,
    count_parameters,
    node_counts,
    parse_image_shape,
    parse_widths,
    tapered_widths,
    training_bytes,
)
from medladder.errors import OptionError
from medladder.rungs.dense import see_layers


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
    assert parse_widths("512,128,32") == (512, 128, 32)
    assert parse_widths("256-64-16") == (256, 64, 16)
    assert parse_widths("64") == (64,)


@pytest.mark.parametrize("text", ["", "28", "28x", "28x28x3x1", "28x0", "-28x28", "28,28", "axb", "28.5x28"])
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
