"""The drawings: node counts, unrolled cells and labels, worked by hand or held by a law."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medladder.report.diagrams import Layer, choose_layers, draw_network
from medladder.report.figures import spread_labels
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
