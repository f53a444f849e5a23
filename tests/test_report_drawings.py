"""The drawings: node counts, unrolled cells and labels, worked by hand or held by a law."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medladder.architecture import convolution_layers, count, dense_layers
from medladder.record.plan import PlannedRung
from medladder.report.diagrams import Layer, choose_layers, draw_network
from medladder.report.feature_maps import draw_feature_maps, place_stacks
from medladder.report.figures import spread_labels
from medladder.report.growth import count_variants, describe_growth, grow, working_side
from medladder.report.palette import AMBER, NAVY, PALE, deepen
from medladder.report.unrolling import describe_size, draw_unrolling, unroll_row


@given(
    st.lists(st.tuples(st.floats(0, 400), st.floats(5, 60)), min_size=1, max_size=10),
    st.floats(0, 20),
)
def test_labels_never_overlap_and_keep_their_order(wishes: list[tuple[float, float]], low: float) -> None:
    wanted = sorted(wish for wish, _ in wishes)
    heights = [height for _, height in wishes]
    high = low + sum(heights) + 100
    places = spread_labels(wanted, heights, low, high)
    for (a, height_a), (b, height_b) in pairwise(zip(places, heights, strict=True)):
        assert b - a >= (height_a + height_b) / 2 - 1e-6
    assert places[0] - heights[0] / 2 >= low - 1e-6
    assert places[-1] + heights[-1] / 2 <= high + 1e-6


def test_labels_with_room_stay_where_they_were() -> None:
    assert spread_labels([20.0, 50.0, 90.0], [10.0, 10.0, 10.0], 0.0, 100.0) == [20.0, 50.0, 90.0]


def test_every_layer_of_a_shallow_network_is_drawn_and_deepens() -> None:
    drawn, left_out = choose_layers([784, 64, 1])
    assert left_out == 0
    assert [layer.nodes for layer in drawn] == [784, 64, 1]
    assert [layer.depth for layer in drawn] == [0, 0.5, 1]
    assert [layer.colour for layer in drawn] == [PALE, AMBER, NAVY]


@given(st.lists(st.integers(1, 10**6), min_size=2, max_size=200))
def test_any_depth_and_width_stays_legible(layers: list[int]) -> None:
    drawn, left_out = choose_layers(layers)
    assert len(drawn) + left_out == len(layers)
    assert len(drawn) <= 7
    assert (drawn[0].nodes, drawn[-1].nodes) == (layers[0], layers[-1])
    assert all(1 <= layer.shown <= min(layer.nodes, 10) for layer in drawn)
    assert all(before.depth < after.depth for before, after in pairwise(drawn))


def test_a_wider_layer_never_shows_fewer_nodes() -> None:
    shown = [choose_layers([nodes, 1])[0][0].shown for nodes in range(1, 2000)]
    assert shown == sorted(shown)


def test_nodes_stand_symmetric_with_room_for_the_dots() -> None:
    assert Layer(3, 3, 0, NAVY).offsets(10) == [-10, 0, 10]
    assert Layer(99, 4, 0, NAVY).offsets(10) == [-25, -15, 15, 25]


def test_real_counts_stand_in_the_diagram() -> None:
    svg = draw_network([50176, *[512] * 12, 8], name="n", label="A network.")
    assert ">50,176<" in svg
    assert ">8<" in svg
    assert ">8 more<" in svg
    assert ">12 hidden layers<" in svg


def test_a_colour_pixel_becomes_three_cells() -> None:
    row = np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
    expected = [[0.1, 0, 0], [0, 0.2, 0], [0, 0, 0.3], [0.4, 0, 0], [0, 0.5, 0], [0, 0, 0.6]]
    np.testing.assert_array_equal(unroll_row(row), expected)
    np.testing.assert_array_equal(unroll_row(np.array([[0.1], [0.4]])), [[0.1] * 3, [0.4] * 3])


@pytest.mark.parametrize(
    ("shape", "inputs", "text"),
    [
        ([28, 28], 784, "28 × 28 = 784"),
        ([64, 64, 3], 12288, "64 × 64 × 3 = 12,288"),
        ([16, 32, 32, 1], 16384, "16 × 32 × 32 = 16,384"),
        ([28, 28], 50, "28 × 28"),
    ],
)
def test_sides_multiply_to_the_input_nodes(shape: list[int], inputs: int, text: str) -> None:
    assert describe_size(shape, inputs) == text


@pytest.mark.parametrize(("shape", "rows"), [([28, 28], 28), ([64, 48, 3], 64), ([8, 40, 20, 1], 40), ([1, 9], 1)])
def test_an_image_is_unrolled_from_its_first_row_to_its_last(shape: list[int], rows: int) -> None:
    drawings = draw_unrolling([int(np.prod(shape)), 5, 2], shape, None, outputs=["a", "<b>"], label="An image.")
    for svg in drawings.values():
        assert ">row 1<" in svg
        assert f">row {rows}<" in svg
    assert ">&lt;b&gt;<" in drawings["wide"]


@given(st.integers(1, 40))
def test_colours_end_in_navy(steps: int) -> None:
    colours = deepen(steps)
    assert len(colours) == steps
    assert colours[-1] == NAVY


@given(
    st.lists(st.integers(1, 600), min_size=2, max_size=3), st.integers(1, 4), st.integers(2, 300), st.integers(2, 20)
)
def test_any_convolutional_network_fits_its_panel(grid: list[int], channels: int, width: int, n_classes: int) -> None:
    layers = convolution_layers((*grid, channels), width=width, n_classes=n_classes)
    stacks = place_stacks([layers[0], *layers[1:-1:2]])
    assert stacks[0].x >= 0
    for before, after in pairwise(stacks):
        assert after.x - before.right >= 13.9
    assert stacks[-1].right <= 340 - 26
    tops = [stack.place(1, 0)[1] for stack in stacks]
    bottoms = [stack.place(0, 1)[1] for stack in stacks]
    assert min(tops) > 22, "below the numbers of maps"
    assert max(bottoms) < 234, "above their sizes"
    heights = [stack.height for stack in stacks]
    assert heights == sorted(heights, reverse=True)


def test_maps_and_their_sizes_stand_in_the_drawing() -> None:
    svg = draw_feature_maps(convolution_layers((28, 28), n_classes=3), name="n", label="A network.")
    for text in ("1", "16", "32", "64", "3", "28×28", "14×14", "7×7"):
        assert f">{text}<" in svg
    assert " more<" not in svg


def test_the_middle_stages_of_a_deep_convolutional_network_are_said_and_not_drawn() -> None:
    svg = draw_feature_maps(convolution_layers((512, 512), depth=7), name="n", label="A network.")
    assert ">2 more<" in svg
    assert ">64×64<" in svg
    assert ">1×1<" in svg
    assert ">8×8<" not in svg


DENSE = PlannedRung("dnn", "dnn", "deep", {}, [784, 20, 1], members=5)
CNN = PlannedRung("cnn", "cnn", "deep", {}, None, members=3, convolution={"width": 16, "depth": None})
SVM = PlannedRung("svm", "svm", "conventional", {}, None)


def test_growth_is_counted_as_the_networks_are() -> None:
    dense, cnn = grow([DENSE, SVM, CNN], (28, 28), 2)
    assert (dense.rung, cnn.rung) == ("dnn", "cnn")
    assert dense.working == 784 * 20 + 20 + 21
    assert dict(zip(dense.sides, dense.parameters, strict=True))[224] == 224**2 * 20 + 20 + 21
    assert dense.end == (512, 512**2 * 20 + 20 + 21)
    assert cnn.end == (512, count(convolution_layers((512, 512), width=16)).parameters)
    assert "dnn 15,700 at working size, 5.24 million at a side of 512" in describe_growth([dense, cnn])


def test_an_image_that_is_no_square_stands_where_as_many_pixels_would() -> None:
    [wide] = grow([DENSE], (32, 128, 3), 2)
    assert working_side((32, 128, 3)) == 64
    assert wide.working == count(dense_layers((64, 64, 3), (20,))).parameters


def test_sides_without_a_network_leave_a_gap() -> None:
    deep = PlannedRung("cnn:depth=7", "cnn", "deep", {}, None, convolution={"width": 16, "depth": 7})
    [grown] = grow([deep], (128, 128), 2)
    counted = dict(zip(grown.sides, grown.parameters, strict=True))
    assert counted[28] is None
    assert counted[128] == grown.working
    assert all(grown.parameters[i] is not None for i in grown.lone)


def test_a_plan_in_which_no_network_is_told_does_not_grow() -> None:
    assert grow([SVM, PlannedRung("cnn", "cnn", "deep", {}, None)], (28, 28), 2) == []


def test_networks_with_one_thing_changed_are_counted_by_hand() -> None:
    dnn = PlannedRung("dnn", "dnn", "deep", {}, [784, 256, 64, 16, 1])
    logistic = PlannedRung("logistic", "logistic", "conventional", {}, [784, 1])
    one, other = count_variants([dnn, logistic], (28, 28), 2)
    assert one.here == 784 * 256 + 256 + 256 * 64 + 64 + 64 * 16 + 16 + 16 + 1
    assert one.twice_the_side == one.here + 3 * 784 * 256
    assert one.twice_the_nodes == 784 * 512 + 512 + 512 * 128 + 128 + 128 * 32 + 32 + 32 + 1
    assert one.a_layer_more == one.here + 16 * 16 + 16
    assert (other.here, other.twice_the_side) == (785, 4 * 784 + 1)
    assert other.twice_the_nodes is None
    assert other.a_layer_more is None


def test_a_stage_more_than_the_image_can_halve_is_no_network() -> None:
    cnn = PlannedRung("cnn", "cnn", "deep", {}, None, convolution={"width": 8, "depth": 5})
    [counted] = count_variants([cnn], (16, 16), 2)
    assert counted.here is not None
    assert counted.a_layer_more is None
    assert counted.twice_the_nodes is not None
    assert counted.twice_the_nodes > 2 * counted.here
