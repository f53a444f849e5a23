"""What excites units most: worked by hand on small networks; receptive fields against what an impulse reaches."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import ndimage

from medladder.architecture import convolution_layers
from medladder.errors import InputError
from medladder.inspection.layered import LayeredNetwork
from medladder.inspection.maximisation import (
    FEWEST_STEPS,
    SMOOTHNESS,
    excite,
    highest_sums,
    most_exciting_images,
    patch_of,
    patch_slices,
    receptive_field,
    where_most_exciting,
)
from medladder.rungs.filters import weight_shapes

pytestmark = pytest.mark.usefixtures("one_thread")


def dense(shape, nodes, *, activation="relu", is_standardised=True, seed=0) -> LayeredNetwork:
    """A dense network of random weights and biases."""
    rng, sizes = np.random.default_rng(seed), (math.prod(shape), *nodes)
    weights = tuple(
        (as_tensor(rng.standard_normal((before, after)) / math.sqrt(before)), as_tensor(rng.standard_normal(after) / 9))
        for before, after in pairwise(sizes)
    )
    return LayeredNetwork(shape, activation, is_standardised, weights)


def convolutional(shape, *, width=8, depth=None, seed=0, scale=None, are_positive=False) -> LayeredNetwork:
    """A convolutional network of random weights; positive ones without biases pass every impulse on."""
    rng, layers = np.random.default_rng(seed), convolution_layers(shape, width=width, depth=depth)
    weights = []
    for size in weight_shapes(layers):
        weight = rng.standard_normal(size) * math.sqrt(2 / math.prod(size[1:]))
        bias = np.zeros(size[0]) if are_positive else rng.standard_normal(size[0]) / 9
        weights.append((as_tensor(np.abs(weight) if are_positive else weight), as_tensor(bias)))
    n = layers[0].channels
    return LayeredNetwork(
        shape, "relu", True, tuple(weights), layers, np.zeros(n), np.ones(n) if scale is None else np.asarray(scale)
    )


def as_tensor(values) -> torch.Tensor:
    return torch.from_numpy(np.asarray(values, dtype=np.float32))


def see(network: LayeredNetwork, n: int = 12, seed: int = 1) -> torch.Tensor:
    return network.see(np.random.default_rng(seed).random((n, *network.image_shape), dtype=np.float32))


def root_mean_square(values) -> float:
    return float(np.sqrt(np.mean(np.square(np.asarray(values, dtype=np.float64)))))


@pytest.mark.parametrize("is_standardised", [True, False])
@pytest.mark.parametrize("shape", [(10, 12), (9, 8, 3), (5, 6, 7, 1)])
def test_a_first_layer_is_most_excited_by_its_weights(shape, is_standardised):
    network = dense(shape, (4, 1), is_standardised=is_standardised)
    seen = see(network)
    found = excite(network, 0, [2, 0], seen)
    full = (*shape, 1) if len(shape) == 2 else shape
    assert found.images.shape == (2, *full)
    grey = seen.numpy().reshape(-1, full[-1]).mean(axis=0)
    contrast = root_mean_square(seen.numpy().reshape(-1, *full) - grey)
    for place, unit in enumerate((2, 0)):
        weights = network.weights[0][0][:, unit].numpy().reshape(full)
        deviations = [SMOOTHNESS[0] * side for side in full[:-1]]
        wanted = ndimage.gaussian_filter(weights.astype(np.float64), [*deviations, 0])
        wanted -= wanted.mean() if is_standardised else 0
        wanted = grey + wanted * contrast / root_mean_square(wanted)
        np.testing.assert_allclose(found.images[place], wanted, atol=1e-4)
        sum_ = float((wanted * weights).sum() + network.weights[0][1][unit])
        assert found.sums[place] == pytest.approx(sum_, rel=1e-4)
    np.testing.assert_allclose(found.agreement, 1, atol=1e-6)
    np.testing.assert_allclose(found.reached_by_images, network.sums(seen, 0)[:, [2, 0]].amax(dim=0), rtol=1e-6)
    assert (found.sums > found.reached_by_images).all()


def test_two_layers_by_hand():
    """Hidden nodes pass x and y on where positive; the output is 3 x - y: all contrast belongs to x, none to -y."""
    weights = (
        (as_tensor([[1, 0], [0, 1]]), as_tensor([0, 0])),
        (as_tensor([[3], [-1]]), as_tensor([0.5])),
    )
    network = LayeredNetwork((1, 2), "relu", False, weights)
    seen = as_tensor([[2, 0], [-2, 0], [0, 1], [0, -1]])  # mean 0; root mean square √(10 / 8)
    found = excite(network, 1, [0], seen, starts=8, steps=400)
    length = math.sqrt(2 * 10 / 8)
    np.testing.assert_allclose(found.images[0, 0, :, 0], [length, 0], atol=0.03)
    assert found.sums[0] == pytest.approx(3 * length + 0.5, abs=0.01)
    assert found.reached_by_images[0] == pytest.approx(3 * 2 + 0.5)


def test_a_kernel_is_excited_by_itself_and_all_around_is_grey():
    network = convolutional((9, 8))
    seen = see(network) + 0.25
    found = excite(network, 0, [3], seen)
    kernel = network.weights[0][0][3, 0].double().numpy()
    grey = float(seen.double().mean())
    wanted = np.full((9, 8), grey)
    wanted[3:6, 3:6] += kernel * root_mean_square(seen - grey) / root_mean_square(kernel)
    np.testing.assert_allclose(found.images[0, ..., 0], wanted, atol=1e-4)
    assert found.sums[0] == pytest.approx(float(network.sums(as_tensor(wanted)[None, None], 0)[0, 3, 4, 4]), rel=1e-4)
    assert found.agreement[0] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("shape", [(16, 16), (12, 14, 3), (6, 8, 7, 1)])
def test_every_layer_of_a_convolutional_network_is_excited(shape):
    network = convolutional(shape, scale=[0.5, 1, 2] if shape[-1] == 3 else None)
    seen = see(network)
    grey = seen.double().mean(dim=(0, *range(2, seen.ndim))).numpy()
    contrast = root_mean_square(seen.double().movedim(1, -1).numpy() - grey)
    for layer in range(len(network.weights)):
        found = excite(network, layer, [0], seen, steps=FEWEST_STEPS)
        away = found.images[0] - grey
        window = patch_slices(network, layer)
        assert root_mean_square(away[window]) == pytest.approx(contrast, rel=1e-4)
        outside = np.ones(away.shape, dtype=bool)
        outside[window] = False
        np.testing.assert_allclose(away[outside], 0, atol=1e-6)
        if not outside.any():  # undoing the scale of each channel: mean 0, as every image has
            assert (away * network.scale).mean() == pytest.approx(0, abs=1e-5)
        sums = network.sums(as_tensor(found.images).movedim(-1, 1).contiguous(), layer)[0, 0]
        middle = sums[tuple(side // 2 for side in sums.shape)]
        assert found.sums[0] == pytest.approx(float(middle), rel=1e-3)
        assert found.sums[0] > found.reached_by_images[0] or layer == 0


def test_deep_sums_rise_far_above_those_of_images_and_with_steps():
    network = dense((10, 10), (32, 16, 4, 1), activation="gelu")
    seen = see(network, 50)
    for layer in range(4):
        units = range(network.units[layer])
        found = excite(network, layer, units, seen)
        assert (found.sums > 2 * found.reached_by_images).all()
        longer = excite(network, layer, units, seen, steps=200)
        assert (longer.sums >= found.sums * 0.99).all()
        assert np.median(longer.sums / found.sums) < 1.02
        assert abs(found.images).max() < 10


def test_a_unit_is_the_same_alone_or_among_others_and_follows_the_seed():
    network = convolutional((12, 12))
    seen = see(network)
    together, again = (excite(network, 2, [0, 1, 2], seen) for _ in range(2))
    np.testing.assert_array_equal(together.images, again.images)
    np.testing.assert_allclose(excite(network, 2, [1], seen).images[0], together.images[1], atol=1e-3)
    other = excite(network, 2, [0, 1, 2], seen, seed=5)
    assert not np.array_equal(together.images, other.images)
    # The seed changes where one begins, less what is reached.
    np.testing.assert_allclose(other.sums, together.sums, rtol=0.4)


def test_starts_that_lead_to_two_pictures_disagree():
    """The output rises with |x - y|: half of the starts lead to x, half to y."""
    weights = ((as_tensor([[1, -1], [-1, 1]]), as_tensor([0, 0])), (as_tensor([[1], [1]]), as_tensor([0])))
    network = LayeredNetwork((1, 2), "relu", True, weights)
    seen = as_tensor([[1, -1], [-1, 1]])
    found = excite(network, 1, [0], seen, starts=40)
    assert found.sums[0] == pytest.approx(2, abs=1e-5)
    np.testing.assert_allclose(np.abs(found.images.ravel()), 1, atol=1e-5)
    # Of 40 vectors of length 1, k one way and the rest the other: the mean of their products.
    wanted = [((2 * k - 40) ** 2 - 40) / (40 * 39) for k in range(41)]
    assert np.abs(np.array(wanted) - found.agreement[0]).min() < 1e-6
    assert abs(found.agreement[0]) < 0.3
    assert math.isnan(excite(network, 1, [0], seen, starts=1).agreement[0])


def test_a_dead_unit_keeps_its_noise():
    network = dense((8, 8), (5, 3, 1))
    (weight, bias), *others = network.weights
    dead = LayeredNetwork((8, 8), "relu", True, ((weight, bias - 1e4), *others))
    seen = see(network, 200)
    found = excite(dead, 1, [0, 1], seen)
    np.testing.assert_allclose(found.sums, others[0][1][:2])
    assert (np.abs(found.agreement) < 0.6).all()
    assert np.isfinite(found.images).all()
    # Units that are dead but have weights are drawn like any other.
    np.testing.assert_array_equal(excite(dead, 0, [1], seen).images, excite(network, 0, [1], seen).images)


def test_saturated_sigmoids_give_finite_pictures():
    network = dense((8, 8), (6, 4, 1), activation="sigmoid")
    loud = LayeredNetwork((8, 8), "sigmoid", True, tuple((200 * weight, bias) for weight, bias in network.weights))
    for layer in range(3):
        assert np.isfinite(excite(loud, layer, [0], see(network)).images).all()


RINGED = [(13, 9), (20, 17), (70, 66), (11, 12, 2), (9, 8, 7, 1), (18, 17, 16, 1), (1, 30)]


@pytest.mark.parametrize("shape", RINGED)
def test_a_receptive_field_is_where_an_impulse_reaches(shape):
    """With positive weights and no biases, a lone bright pixel raises the sum of every position that sees it."""
    network = convolutional(shape, width=4, are_positive=True)
    grid = network.grid
    n_pixels = math.prod(grid)
    step = max(1, n_pixels // 500)
    pixels = np.arange(0, n_pixels, step)
    seen = torch.zeros((len(pixels), network.channels, *grid))
    seen.view(len(pixels), network.channels, -1)[np.arange(len(pixels)), :, pixels] = 1
    places = np.stack(np.unravel_index(pixels, grid), axis=1)
    for layer in range(len(network.weights) - 1):
        reached = (network.sums(seen, layer)[:, 0] > 0).numpy()
        sides = receptive_field(network, layer)
        rng = np.random.default_rng(layer)
        corners = [(0,) * len(grid), tuple(side - 1 for side in reached.shape[1:])]
        for position in [*corners, None, *(tuple(rng.integers(0, reached.shape[1:])) for _ in range(10))]:
            at = tuple(side // 2 for side in reached.shape[1:]) if position is None else position
            window = patch_slices(network, layer, position)
            inside = np.all(
                [(one.start <= p) & (p < one.stop) for one, p in zip(window, places.T, strict=True)], axis=0
            )
            np.testing.assert_array_equal(reached[(slice(None), *at)], inside)
            assert all(one.stop - one.start <= side for one, side in zip(window, sides, strict=True))
    assert patch_slices(network, len(network.weights) - 1) == tuple(slice(0, side) for side in grid)


def test_receptive_fields_by_hand():
    # Two kernels of 3: 3, 5. The pool of 2 adds 1, a kernel then 2 · 2: 10, 14. Once more 1 · 2, and 2 · 4: 24, 32.
    network = convolutional((28, 28))
    assert [receptive_field(network, layer)[0] for layer in range(7)] == [3, 5, 10, 14, 24, 32, 28]
    assert patch_slices(network, 0) == (slice(13, 16), slice(13, 16))
    assert patch_slices(network, 1, (0, 27)) == (slice(0, 3), slice(25, 28))
    # A stride of 2 with a kernel of 4, padded by 1: position 3 sees from 5 to 8; a kernel of 3 on that, 3 to 10.
    strided = convolutional((70, 70))
    assert patch_slices(strided, 0, (3, 0)) == (slice(5, 9), slice(0, 3))
    assert receptive_field(strided, 1) == (8, 8)
    assert patch_slices(strided, 1, (3, 0)) == (slice(3, 11), slice(0, 5))
    assert receptive_field(dense((6, 7), (3, 1)), 0) == (6, 7)


@pytest.mark.parametrize("position", [(28, 0), (-1, 0), (0,), (0, 0, 0)])
def test_a_position_off_the_map_is_refused(position):
    with pytest.raises(InputError, match="map of convolution1, of 28×28 positions"):
        patch_slices(convolutional((28, 28)), 0, position)


def test_the_most_exciting_images_by_hand():
    weights = ((as_tensor([[1, 0], [0, -1]]), as_tensor([0, 0])), (as_tensor([[1], [1]]), as_tensor([0])))
    network = LayeredNetwork((1, 2), "relu", False, weights)
    seen = as_tensor([[1, 5], [3, 5], [2, -1], [3, 0]])
    assert most_exciting_images(network, 0, [0, 1], seen, n=3).tolist() == [
        [1, 3, 2],
        [2, 3, 0],
    ]  # first of equals first
    assert most_exciting_images(network, 0, [1], seen).tolist() == [[2, 3, 0, 1]]
    assert most_exciting_images(network, 0, [1], seen[:2], n=9).tolist() == [[0, 1]]
    assert highest_sums(network, 0, seen)[:, 1].tolist() == [-5, -5, 1, 0]
    assert where_most_exciting(network, 0, 0, seen[0]) == ()
    assert patch_of(network, 0, 0, seen[0]) == (slice(0, 1), slice(0, 2))


def test_the_patch_that_excites_a_kernel_is_found():
    network = convolutional((12, 10))
    kernel = network.weights[0][0][2, 0]
    seen = torch.zeros((3, 1, 12, 10))
    seen[1, 0, 4:7, 2:5] = 0.5 * kernel
    seen[2, 0, 7:10, 5:8] = kernel
    assert most_exciting_images(network, 0, [2], seen, n=2).tolist() == [[2, 1]]
    assert where_most_exciting(network, 0, 2, seen[1]) == (5, 3)
    assert patch_of(network, 0, 2, seen[2]) == (slice(7, 10), slice(5, 8))
    np.testing.assert_array_equal(seen[2][(0, *patch_of(network, 0, 2, seen[2]))], kernel)


def test_images_in_blocks_are_the_same_as_at_once(monkeypatch):
    network = convolutional((12, 12))
    seen = see(network, 7)
    at_once, drawn = highest_sums(network, 3, seen), excite(network, 3, [0, 1], seen)
    monkeypatch.setattr("medladder.inspection.maximisation.POSITIONS_AT_ONCE", 2 * 144)
    np.testing.assert_allclose(highest_sums(network, 3, seen), at_once, atol=1e-5)
    np.testing.assert_allclose(excite(network, 3, [0, 1], seen).images, drawn.images, atol=1e-3)


def test_vectors_seen_by_convolutions_are_one_position():
    network = convolutional((6,), width=4)
    found = excite(network, 1, [0], see(network))
    assert found.images.shape == (1, 1, 1, 6)
    assert receptive_field(network, 1) == (1, 1)


def test_what_no_network_has_is_refused():
    network = dense((4, 4), (3, 1))
    seen = see(network)
    for layer in (-1, 2):
        with pytest.raises(InputError, match="0 to 1, as there are hidden1, output"):
            excite(network, layer, [0], seen)
        with pytest.raises(InputError, match=f"Layer {layer}"):
            receptive_field(network, layer)
    for units in ([], [0, 3], [-1]):
        for function in (excite, most_exciting_images):
            with pytest.raises(InputError, match="each from 0 to 2"):
                function(network, 0, units, seen)
    for others in (seen[:0], seen[:, :9], see(convolutional((4, 4)))):
        with pytest.raises(InputError, match=r"as this network sees them, of shape \(16,\)"):
            excite(network, 0, [0], others)
    with pytest.raises(InputError, match="images of one grey"):
        excite(network, 0, [0], torch.full((5, 16), 0.3))
    for wrong in ({"starts": 0}, {"steps": 0}):
        with pytest.raises(InputError, match="1 or more of each"):
            excite(network, 0, [0], seen, **wrong)
