"""Where units look: worked by hand, against captum, and the laws of regions."""

from __future__ import annotations

import math
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from captum.attr import Saliency
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from medladder.architecture import convolution_layers
from medladder.inspection.layered import LayeredNetwork
from medladder.inspection.regions import BLUR, SMOOTHING, mean_gradients, regions_of, smallest_core
from medladder.rungs.dense import ACTIVATIONS
from medladder.rungs.filters import weight_shapes

pytestmark = pytest.mark.usefixtures("one_thread")


def as_network(*layers: tuple[list, list], activation: Any = "relu") -> LayeredNetwork:
    """A dense network that takes images of one row as they are."""
    pairs = [(torch.tensor(weight).float(), torch.tensor(bias).float()) for weight, bias in layers]
    return LayeredNetwork((1, len(pairs[0][0])), activation, False, tuple(pairs))


@cache
def dense(shape: tuple[int, ...], nodes: tuple[int, ...], activation: Any = "relu") -> LayeredNetwork:
    rng = np.random.default_rng(0)
    pairs = [
        (rng.standard_normal((before, after)) / math.sqrt(before), rng.standard_normal(after) / 3)
        for before, after in pairwise((math.prod(shape), *nodes))
    ]
    tensors = tuple((torch.tensor(weight).float(), torch.tensor(bias).float()) for weight, bias in pairs)
    return LayeredNetwork(shape, activation, True, tensors)


@cache
def convolutional(shape: tuple[int, ...], width: int = 6, depth: int | None = None) -> LayeredNetwork:
    rng, layers = np.random.default_rng(0), convolution_layers(shape, width=width, depth=depth, n_classes=3)
    pairs = [
        (
            torch.from_numpy(rng.standard_normal(size) * math.sqrt(2 / math.prod(size[1:]))).float(),
            torch.from_numpy(rng.standard_normal(size[0]) / 3).float(),
        )
        for size in weight_shapes(layers)
    ]
    n = layers[0].channels
    return LayeredNetwork(shape, "relu", True, tuple(pairs), layers, np.zeros(n), np.full(n, 2.0))


def see(network: LayeredNetwork, n: int = 5) -> torch.Tensor:
    return network.see(np.random.default_rng(1).random((n, *network.image_shape)).astype(np.float32))


NETWORKS = [
    (dense, ((5, 6), (7, 4, 1))),
    (dense, ((4, 5, 3), (6, 3))),
    (dense, ((3, 4, 5, 1), (6, 4, 1), "tanh")),
    (convolutional, ((12, 12),)),
    (convolutional, ((9, 13, 3),)),
    (convolutional, ((8, 8, 9, 1),)),
]


# gradients


def test_two_layers_by_hand() -> None:
    """z = 2·relu(x1 − x2) − 3·relu(x1 + x2 − 1) + ½: the gates that an image opens say what counts in it."""
    network = as_network(([[1, 1], [-1, 1]], [0, -1]), ([[2], [-3]], [0.5]))
    seen = torch.tensor([[2.0, 0], [0.4, 0.1], [0, 0.5], [0, 3]])
    # Open: both, (−1, −5); the first, (2, −2); none; the second, (−3, −3).
    wanted = [[-1, -5], [2, -2], [0, 0], [-3, -3]]
    for row, gradient in zip(seen, wanted, strict=True):
        assert mean_gradients(network, row[None], 1).ravel().tolist() == gradient
    assert mean_gradients(network, seen, 1).tolist() == [[[[-0.5], [-2.5]]]]
    assert mean_gradients(network, seen, 0)[:, 0, :, 0].tolist() == [[1, -1], [1, 1]]


@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
def test_a_smooth_gate_by_hand(activation: Any) -> None:
    network = as_network(([[1], [2]], [0]), ([[5]], [0]), activation=activation)
    seen = torch.tensor([[0.5, 0], [0.3, 0.4]])
    sums = np.array([0.5, 1.1])
    slope = 1 - np.tanh(sums) ** 2 if activation == "tanh" else np.exp(-sums) / (1 + np.exp(-sums)) ** 2
    wanted = 5 * slope.mean() * np.array([1, 2])
    assert mean_gradients(network, seen, 1).ravel() == pytest.approx(wanted, rel=1e-5)


def test_gradients_that_turn_from_image_to_image_cancel() -> None:
    """|x1| + x2: on average only x2 counts."""
    network = as_network(([[1, -1, 0], [0, 0, 1]], [0, 0, 0]), ([[1], [1], [1]], [0]))
    assert mean_gradients(network, torch.tensor([[2.0, 1], [-5, 1]]), 1).ravel().tolist() == [0, 1]


@pytest.mark.parametrize("shape", [(5, 6), (4, 5, 3), (3, 4, 5, 1)])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_of_a_first_layer_they_are_its_weights_whatever_the_images(shape: tuple[int, ...], activation: Any) -> None:
    network = dense(shape, (7, 4, 1), activation)
    weights = network.weights[0][0].numpy().T.reshape(7, *network.grid, network.channels)
    for n in (1, 5):
        assert mean_gradients(network, see(network, n), 0) == pytest.approx(weights, rel=1e-5, abs=1e-7)
    chosen = mean_gradients(network, see(network), 0, [3, 0])
    assert chosen == pytest.approx(weights[[3, 0]], rel=1e-5, abs=1e-7)


@pytest.mark.parametrize(("make", "given_"), NETWORKS)
def test_they_are_captums_averaged_over_images(make: Any, given_: tuple) -> None:
    network = make(*given_)
    seen = see(network).requires_grad_()
    for layer in range(len(network.weights)):

        def middle(images: torch.Tensor, layer: int = layer) -> torch.Tensor:
            sums = network.sums(images, layer)
            return sums[(..., *(side // 2 for side in sums.shape[2:]))]

        units = [0, network.units[layer] - 1]
        found = mean_gradients(network, seen.detach(), layer, units)
        for place, unit in enumerate(units):
            each = Saliency(middle).attribute(seen, target=unit, abs=False)
            wanted = network.to_image(each.detach()).mean(axis=0)
            assert np.abs(wanted).max() > 1e-4, "a dead unit compares nothing"
            assert found[place] == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize(("make", "given_"), NETWORKS)
def test_they_say_what_a_small_change_of_all_images_does(make: Any, given_: tuple) -> None:
    """To first order: against differences, in double precision."""
    network = make(*given_)
    double = LayeredNetwork(
        network.image_shape,
        network.activation,
        True,
        tuple((weight.double(), bias.double()) for weight, bias in network.weights),
        network.convolutions,
        network.centre,
        network.scale,
    )
    layer, seen = len(network.weights) - 1, see(network)
    step = 1e-7 * torch.randn(seen.shape[1:], generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    before, after = (double.logits(images).mean(dim=0)[0] for images in (seen.double(), seen.double() + step))
    [gradient] = mean_gradients(network, seen, layer, [0])
    [direction] = network.to_image(step[None])
    assert float((gradient * direction).sum()) == pytest.approx(float(after - before), rel=1e-3)


@pytest.mark.parametrize(
    ("shape", "middle"), [((12, 12), (6, 6)), ((9, 13), (4, 6)), ((9, 9, 3), (4, 4)), ((8, 8, 9, 1), (4, 4, 4))]
)
def test_a_convolution_looks_from_the_middle_of_its_map(shape: tuple[int, ...], middle: tuple[int, ...]) -> None:
    """Its kernel, as it is, about the middle position; nothing elsewhere."""
    network = convolutional(shape)
    gradients = mean_gradients(network, see(network), 0)
    around = tuple(slice(at - 1, at + 2) for at in middle)
    kernels = np.moveaxis(network.weights[0][0].numpy(), 1, -1)
    assert gradients[:, *around] == pytest.approx(kernels, abs=1e-6)
    gradients[:, *around] = 0
    assert not gradients.any()


# regions by hand


def plane(*rows: str) -> np.ndarray:
    """A gradient of one channel: digits, . for 0."""
    return np.array([[0.0 if mark == "." else float(mark) for mark in row] for row in rows], dtype=np.float32)[
        ..., None
    ]


def sharp(*gradients: np.ndarray) -> Any:
    """Regions of pixels, none smoothed over its neighbours."""
    return regions_of(np.stack(gradients), blur=0, smoothing=0)


def test_area_pieces_and_overlap_by_hand() -> None:
    one = sharp(
        plane("5...", "....", "..33", "...."),
        plane("33..", "...3", "...3", "222."),
        plane("....", "....", "2...", "...2"),
        plane("....", "....", "....", "...."),
    )
    # 25 of 43 lie in one pixel; of 4 · 9 + 3 · 4 = 48 three nines are 27; one of two equal pixels is half.
    assert one.core.sum(axis=(1, 2)).tolist() == [1, 3, 1, 0]
    assert one.area[:3].tolist() == [1 / 16, 3 / 16, 1 / 16]
    assert one.pieces[:3].tolist() == [1, 2, 1]
    # Equals are taken from the first on: row 0, columns 0 and 1, then row 1; the first lies in the second's core.
    assert np.argwhere(one.core[1]).tolist() == [[0, 0], [0, 1], [1, 3]]
    assert np.argwhere(one.core[2]).tolist() == [[2, 0]]
    # Jaccard: (1 of 3 + 0) / 2; the same; 0. The unit that sees nothing is no other.
    assert one.overlap[:3].tolist() == pytest.approx([1 / 6, 1 / 6, 0])
    assert np.isnan([one.area[3], one.pieces[3], one.overlap[3]]).all()
    assert one.mass[0, 0, 0] == pytest.approx(25 / 43)
    assert one.mass.sum(axis=(1, 2)).tolist() == pytest.approx([1, 1, 1, 0])


def test_corners_that_touch_do_not_join_pieces() -> None:
    one = sharp(plane("3...", ".3..", "..33", "...."))
    assert one.area.tolist() == [2 / 16]
    assert one.pieces.tolist() == [2]
    assert np.isnan(one.overlap).all(), "a lone unit shares with no one"


def test_channels_add_up_their_squares_and_signs_do_not_matter() -> None:
    """3² + 4² = 25 in one pixel weighs as 5² in another, though the signs are opposed."""
    colour = np.zeros((1, 2, 2, 3), dtype=np.float32)
    colour[0, 0, 0] = [3, -4, 0]
    colour[0, 1, 1] = [0, 0, -5]
    one = regions_of(colour, blur=0, smoothing=0)
    assert one.mass[0].ravel().tolist() == [0.5, 0, 0, 0.5]


def test_a_volume_has_pieces_across_slices() -> None:
    volume = np.zeros((1, 4, 4, 4, 1), dtype=np.float32)
    volume[0, 1, 2, 2] = volume[0, 2, 2, 2] = volume[0, 0, 0, 0] = 2
    volume[0, 3, 0, 3] = 1
    one = regions_of(volume, blur=0, smoothing=0)  # 13 in all; 4 + 4 make half
    assert one.area.tolist() == [2 / 64]
    assert one.pieces.tolist() == [2]
    volume[0, 0, 0, 0] = 1
    assert regions_of(volume, blur=0, smoothing=0).pieces.tolist() == [1]


def test_smoothing_is_as_wide_as_is_said() -> None:
    """A lone pixel becomes a Gaussian: before it is squared of `BLUR`, then of `SMOOTHING` sides, which add up."""
    side = 64
    spike = np.zeros((1, side, side, 1), dtype=np.float32)
    spike[0, 32, 32] = 7
    [mass] = regions_of(spike).mass
    rows = mass.sum(axis=1, dtype=np.float64)
    # A Gaussian's square has half its variance.
    wanted = (BLUR * side) ** 2 / 2 + (SMOOTHING * side) ** 2
    assert (rows * (np.arange(side) - 32) ** 2).sum() == pytest.approx(wanted, rel=0.02)
    assert (rows * np.arange(side)).sum() == pytest.approx(32, abs=1e-4)


def test_each_side_is_smoothed_by_its_own_length() -> None:
    spike = np.zeros((1, 16, 64, 1), dtype=np.float32)
    spike[0, 8, 32] = 1
    for blur, smoothing, times in ((0, 0.05, 1), (0.05, 0, 0.5)):  # a Gaussian's square has half its variance
        [mass] = regions_of(spike, blur=blur, smoothing=smoothing).mass
        spread = [(mass.sum(axis=1 - axis) * (np.arange(n) - n // 2) ** 2).sum() for axis, n in enumerate((16, 64))]
        assert spread == pytest.approx([times * 0.8**2, times * 3.2**2], rel=0.05)


def test_what_changes_sign_from_pixel_to_pixel_counts_little() -> None:
    """A blurred chequerboard is nearly nothing, so that a flat patch of a fifth of its height outweighs it."""
    board = (-1.0) ** np.indices((64, 64)).sum(axis=0)
    patch = np.zeros((64, 64))
    patch[:16, :16] = 0.2
    [core] = regions_of((board + patch).astype(np.float32)[None, ..., None]).core
    assert core[:16, :16].mean() > 0.4
    assert not core[20:, 20:].any()
    [plain] = regions_of((board + patch).astype(np.float32)[None, ..., None], blur=0).core
    assert plain[20:, 20:].any()


# laws


GRADIENTS = arrays(np.float32, (3, 8, 8, 2), elements=st.floats(-1, 1, width=32))


@settings(deadline=None, max_examples=40)
@given(GRADIENTS, st.sampled_from([-1.0, 2.0, -0.125, 2.0**40, 2.0**-30]))
def test_size_and_sign_of_a_gradient_change_nothing(gradients: np.ndarray, factor: float) -> None:
    """By powers of two, which rounding leaves alone."""
    gradients[np.abs(gradients) < 1e-4] = 0  # below, float32 has fewer digits
    plain, scaled = regions_of(gradients), regions_of((gradients * factor).astype(np.float32))
    for part in ("mass", "core", "area", "pieces", "overlap"):
        np.testing.assert_array_equal(getattr(scaled, part), getattr(plain, part), err_msg=part)


@settings(deadline=None, max_examples=40)
@given(GRADIENTS, st.permutations(range(3)))
def test_units_in_another_order_are_the_same_units(gradients: np.ndarray, order: list[int]) -> None:
    plain, turned = regions_of(gradients), regions_of(gradients[order])
    for part in ("mass", "core", "area", "pieces"):
        np.testing.assert_array_equal(getattr(turned, part), getattr(plain, part)[order], err_msg=part)
    np.testing.assert_allclose(turned.overlap, plain.overlap[order], rtol=1e-6)


@settings(deadline=None, max_examples=40)
@given(GRADIENTS)
def test_mirrored_gradients_have_mirrored_regions(gradients: np.ndarray) -> None:
    plain, mirrored = regions_of(gradients), regions_of(gradients[:, ::-1])
    np.testing.assert_allclose(mirrored.mass, plain.mass[:, ::-1], atol=1e-6)


@settings(deadline=None, max_examples=100)
@given(
    arrays(np.float32, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.floats(0, 1, width=32)),
    st.floats(0.05, 0.95),
)
def test_a_core_holds_its_share_and_one_pixel_fewer_does_not(mass: np.ndarray, share: float) -> None:
    core, total = smallest_core(mass, share), mass.sum(dtype=np.float64)
    if total == 0:
        assert not core.any()
        return
    held = np.sort(mass[core].astype(np.float64))
    assert held.sum() >= share * total * (1 - 1e-8)
    assert held[1:].sum() < share * total, "nor would any other set of as few, for these are the largest"
    assert mass[core].min() >= mass[~core].max(initial=0)


@settings(deadline=None, max_examples=40)
@given(GRADIENTS)
def test_numbers_lie_where_they_may(gradients: np.ndarray) -> None:
    found = regions_of(gradients)
    sees = gradients.any(axis=(1, 2, 3))
    assert np.array_equal(~np.isnan(found.area), sees)
    assert np.array_equal(~np.isnan(found.pieces), sees)
    assert np.array_equal(~np.isnan(found.overlap), sees & (sees.sum() > 1))
    assert ((found.area[sees] > 0) & (found.area[sees] <= 0.5)).all()
    assert (found.pieces[sees] >= 1).all()
    assert ((found.overlap[~np.isnan(found.overlap)] >= 0) & (found.overlap[~np.isnan(found.overlap)] <= 1)).all()
    assert found.pieces[sees].tolist() == [ndimage.label(core)[1] for core in found.core[sees]]
    assert (found.mass >= 0).all()


def test_the_same_unit_twice_overlaps_wholly_and_units_apart_not_at_all() -> None:
    left, right = plane("33....", "33...."), plane("....33", "....33")
    assert sharp(left, left, left).overlap.tolist() == [1, 1, 1]
    assert sharp(left, right).overlap.tolist() == [0, 0]
    assert sharp(left, left, right).overlap.tolist() == [0.5, 0.5, 0]


def test_a_larger_region_has_a_larger_area_and_a_scattered_one_more_pieces() -> None:
    centres = [[(16, 16)], [(8, 8), (24, 24)], [(6, 6), (6, 26), (26, 6), (26, 26)]]
    grid = np.indices((32, 32))
    gradients = [
        sum(np.exp(-((grid[0] - row) ** 2 + (grid[1] - column) ** 2) / (2 * width**2)) for row, column in places)
        for places, width in [(centres[0], 2), (centres[0], 4), (centres[1], 2), (centres[2], 2)]
    ]
    found = regions_of(np.array(gradients, dtype=np.float32)[..., None])
    assert found.pieces.tolist() == [1, 1, 2, 4]
    assert found.area[0] < found.area[1] < 0.2
    assert found.area[2:] == pytest.approx([2 * found.area[0], 4 * found.area[0]], rel=0.2)


# what sees nothing


def test_a_unit_that_sees_nothing_is_nan_and_never_nought() -> None:
    found = regions_of(np.zeros((2, 6, 6, 1), dtype=np.float32))
    for part in (found.area, found.pieces, found.overlap):
        assert np.isnan(part).all()
    assert not found.core.any()
    assert not found.mass.any()
    none = regions_of(np.zeros((0, 6, 6, 1), dtype=np.float32))
    assert none.core.shape == none.mass.shape == (0, 6, 6)
    assert none.area.shape == none.pieces.shape == none.overlap.shape == (0,)


def test_behind_dead_units_nothing_is_seen_and_the_living_do_not_mind() -> None:
    """The second output hangs on a node that no image opens; beside it the first keeps its region and no overlap."""
    network = as_network(([[1, -1], [1, -1], [0, 0], [0, 0]], [0, -100]), ([[1, 0], [0, 1]], [0, 0]))
    seen = network.see(np.random.default_rng(0).random((6, 1, 4)))
    found = regions_of(mean_gradients(network, seen, 1), blur=0, smoothing=0)
    assert found.area[0] == 1 / 4
    assert np.isnan(found.area[1])
    assert np.isnan(found.overlap).all()
