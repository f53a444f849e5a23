"""The training engine: by hand, against autograd, and its promise that fleet mates change nothing."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from medladder.architecture import count_parameters
from medladder.errors import OptionError
from medladder.rungs import fleet
from medladder.rungs import pixels as pixels_module
from medladder.rungs.dense import ACTIVATIONS, logits_of_one, see_layers, write_gradients
from medladder.rungs.dense import log_loss as torch_log_loss
from medladder.rungs.draws import Draw, Sample, draw_by_row
from medladder.rungs.ensembles import DenseEnsemble, Network
from medladder.rungs.fleet import pace, predict, train_fleet
from medladder.rungs.pixels import MOVED_ROWS, Pixels, inputs_of, unrolled
from medladder.rungs.recipe import Recipe
from medladder.rungs.training import Pace, members_of, one_cycle

RECIPE = Recipe(
    hidden=(12, 5),
    activation="relu",
    members=3,
    dropout=0.2,
    weight_decay=0.01,
    shift=0.04,
    standardise=True,
    learning_rate=0.01,
    epochs=8,
)


pytestmark = pytest.mark.usefixtures("one_thread")


def blobs(n: int = 90, n_classes: int = 2, shape: tuple[int, ...] = (6, 5)) -> tuple[np.ndarray, np.ndarray]:
    """Noise images in which a class brightens its own corner."""
    rng = np.random.default_rng(3)
    codes = np.arange(n) % n_classes
    images = rng.integers(0, 180, (n, *shape)).astype(np.uint8)
    flat = images.reshape(n, -1)
    for code in range(n_classes):
        flat[codes == code, 3 * code : 3 * code + 3] += 50
    return images, codes


def sample(codes: np.ndarray, draw: Draw) -> Sample:
    return Sample(draw, codes[draw.rows], np.ones(len(np.unique(codes[draw.rows]))))


def same_bits(one: DenseEnsemble, other: DenseEnsemble) -> bool:
    ours, theirs = ([array for m in e.members for array in (*m.weights, *m.biases)] for e in (one, other))
    return all(map(np.array_equal, ours, theirs)) and one.epochs == other.epochs


def by_hand() -> list[tuple[torch.Tensor, torch.Tensor]]:
    first = torch.tensor([[[1.0, -1.0], [2.0, 0.0]]]), torch.tensor([[[0.0, 0.5]]])
    return [first, (torch.tensor([[[0.2], [3.0]]]), torch.tensor([[[-1.0]]]))]


def test_a_two_layer_network_by_hand():
    # x = (1, 2): sums 1·1 + 2·2 = 5 and −1 + 0.5 = −0.5; relu (5, 0); 0.2·5 − 1 = 0; sigmoid 1/2.
    # x = (3, 2): sums 7 and −2.5; relu (7, 0); 0.2·7 − 1 = 0.4; sigmoid 1/(1 + e^−0.4).
    weights = tuple(matrix[0].numpy() for matrix, _ in by_hand())
    biases = tuple(bias[0, 0].numpy().astype(np.float64) for _, bias in by_hand())
    ensemble = DenseEnsemble("relu", False, (Network(weights, biases),), epochs=(1.0,))
    likely = 1 / (1 + math.exp(-0.4))
    found = predict(ensemble, np.array([[1.0, 2.0], [3.0, 2.0]]))
    np.testing.assert_allclose(found, [[0.5, 0.5], [1 - likely, likely]], atol=1e-7)


def test_the_gradient_of_a_two_layer_network_by_hand():
    # At x = (1, 2) the answer is 1/2; the class is 1, so the error is −1/2, and twice that for a weight of 2.
    # Output: −1 · (5, 0), bias −1. Hidden: −1 · (0.2, 3), of which only the first passes relu: −0.2 · (1, 2).
    layers, gradients = (
        by_hand(),
        [(torch.ones(1, 2, 2), torch.ones(1, 1, 2)), (torch.ones(1, 2, 1), torch.ones(1, 1, 1))],
    )
    batch = [torch.tensor([[[1.0, 2.0]]]), torch.tensor([[[1.0]]]), torch.tensor([[2.0]])]
    write_gradients(layers, gradients, batch, "relu")
    torch.testing.assert_close(gradients[1][0], torch.tensor([[[-5.0], [0.0]]]))
    torch.testing.assert_close(gradients[1][1], torch.tensor([[[-1.0]]]))
    torch.testing.assert_close(gradients[0][0], torch.tensor([[[-0.2, 0.0], [-0.4, 0.0]]]))
    torch.testing.assert_close(gradients[0][1], torch.tensor([[[-0.2, 0.0]]]))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("outputs", [1, 3])
def test_gradients_are_those_of_autograd(activation, outputs):
    generator = torch.Generator().manual_seed(0)
    nodes = (7, 6, 5, outputs)
    rows = torch.randn(2, 400, generator=generator).requires_grad_()
    pixels = torch.randn(2, 32, 7, generator=generator)
    codes = torch.randint(0, max(outputs, 2), (2, 32), generator=generator)
    targets = codes[..., None].float() if outputs == 1 else torch.eye(3)[codes]
    weights = torch.rand(2, 32, generator=generator)
    found = torch.zeros(2, 400)
    write_gradients(see_layers(rows.detach(), nodes), see_layers(found, nodes), [pixels, targets, weights], activation)
    for network in range(2):
        one = [(matrix[network], bias[network]) for matrix, bias in see_layers(rows, nodes)]
        losses = torch_log_loss(logits_of_one(one, pixels[network], activation), targets[network])
        (losses * weights[network]).mean().backward()
    torch.testing.assert_close(found, rows.grad, atol=1e-6, rtol=1e-4)


def test_dropped_nodes_pass_nothing_on_and_learn_nothing():
    layers, gradients = (
        by_hand(),
        [(torch.ones(1, 2, 2), torch.ones(1, 1, 2)), (torch.ones(1, 2, 1), torch.ones(1, 1, 1))],
    )
    batch = [torch.tensor([[[1.0, 2.0]]]), torch.tensor([[[1.0]]]), torch.tensor([[1.0]])]
    write_gradients(layers, gradients, [*batch, torch.tensor([[[0.0, 2.0]]])], "relu")
    assert not gradients[0][0].any()
    error = 1 / (1 + math.exp(1)) - 1  # only the bias of −1 reaches the output
    assert gradients[1][1].item() == pytest.approx(error)


def test_the_learning_rate_rises_in_a_fifth_of_the_steps_and_falls_to_nothing():
    found = [one_cycle(share) for share in (0.1, 0.2, 0.6, 1.0)]
    assert found == pytest.approx([0.5, 1, 0.5, 0])


def test_few_rows_get_many_passes_and_many_rows_large_batches():
    free = replace(RECIPE, epochs=None)
    assert pace(31, free) == Pace(batch=32, steps_per_epoch=1, steps=fleet.STEPS)
    assert pace(5232, free) == Pace(batch=64, steps_per_epoch=82, steps=82 * fleet.EPOCHS)
    assert pace(50_000, free) == Pace(batch=128, steps_per_epoch=391, steps=391 * fleet.EPOCHS)
    assert pace(100, replace(RECIPE, epochs=3, batch=64)) == Pace(64, 2, 6)


def test_it_learns_what_no_weighted_sum_can():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (400, 2))
    codes = (x[:, 0] * x[:, 1] > 0).astype(int)
    [trained] = train_fleet(x, [sample(codes, draw_by_row(codes, 0))], replace(RECIPE, epochs=40, dropout=0))
    fresh = rng.uniform(-1, 1, (400, 2))
    assert (predict(trained, fresh)[:, 1].round() == (fresh[:, 0] * fresh[:, 1] > 0)).mean() > 0.93


def test_the_loss_falls_with_training():
    images, codes = blobs()
    draw = replace(draw_by_row(codes, 0), fold=np.full(90, -1))
    losses = []
    for epochs in (1, 5, 25):
        [trained] = train_fleet(images, [sample(codes, draw)], replace(RECIPE, epochs=epochs))
        losses.append(log_loss(codes, predict(trained, images)[:, 1]))
    assert losses[0] > losses[1] > losses[2]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_network_is_the_same_alone_and_among_others(activation, n_classes):
    images, codes = blobs(n_classes=n_classes)
    recipe = replace(RECIPE, activation=activation, hidden=(33, 7))
    samples = [sample(codes, draw_by_row(codes, seed)) for seed in range(4)]
    together = train_fleet(images, samples, recipe)
    for place in (0, 2):
        [alone] = train_fleet(images, [samples[place]], recipe)
        assert same_bits(alone, together[place])
    assert not same_bits(together[0], together[1])


def test_a_fleet_too_large_for_memory_is_trained_in_turns(monkeypatch):
    images, codes = blobs()
    samples = [sample(codes, draw_by_row(codes, seed)) for seed in range(3)]
    at_once = train_fleet(images, samples, RECIPE)
    crews = []
    train = fleet._train
    monkeypatch.setattr(fleet, "_train", lambda crew, *rest: (crews.append(len(crew)), train(crew, *rest))[1])
    monkeypatch.setattr(fleet, "FLEET_BYTES", 4 * fleet.training_bytes((30, 12, 5, 1), batch=32))
    in_turns = train_fleet(images, samples, RECIPE)
    assert crews == [4, 4, 1]
    assert all(map(same_bits, at_once, in_turns))


def test_draws_of_other_sizes_and_classes_share_a_fleet():
    images, codes = blobs(n_classes=3)
    all_rows = draw_by_row(codes, 1)
    two = np.flatnonzero(codes < 2)
    two_classes = replace(draw_by_row(codes[two], 2), rows=two)
    few = replace(draw_by_row(codes[:20], 3), rows=np.arange(20))
    samples = [sample(codes, draw) for draw in (all_rows, two_classes, few)]
    together = train_fleet(images, samples, RECIPE)
    assert [one.members[2].weights[-1].shape for one in together] == [(5, 3), (5, 1), (5, 3)]
    for one, alone in zip(together, samples, strict=True):
        assert same_bits(one, train_fleet(images, [alone], RECIPE)[0])


def test_parameters_are_as_many_as_the_architecture_counts():
    images, codes = blobs()
    [trained] = train_fleet(images, [sample(codes, draw_by_row(codes, 0))], RECIPE)
    assert sum(network.n_parameters for network in trained.members) == 3 * count_parameters((30, 12, 5, 1))


def test_early_stopping_keeps_the_best_on_the_part_held_out():
    images, _ = blobs()
    noisy = np.random.default_rng(1).integers(0, 2, len(images))  # labels that can only be learned by heart
    draw = draw_by_row(noisy, 0)
    recipe = replace(RECIPE, epochs=60, dropout=0, shift=0)
    [stopped] = train_fleet(images, [sample(noisy, draw)], recipe)
    [ended] = train_fleet(images, [sample(noisy, replace(draw, is_thin=True))], recipe)
    assert ended.epochs == (60, 60, 60)
    for member in range(3):
        held = draw.rows[draw.fold == member]
        best, last = (log_loss(noisy[held], predict(one, images[held], [member])[:, 1]) for one in (stopped, ended))
        assert stopped.epochs[member] < 60
        assert best < last


def test_a_part_for_choosing_only_is_never_learned_from():
    images, codes = blobs()
    draw = Draw(np.arange(90), np.where(np.arange(90) < 30, 0, -1), seed=4, is_thin=True)
    other_images, other_codes = images.copy(), codes.copy()
    other_images[:30] = 255 - images[:30]
    other_codes[:30] = 1 - codes[:30]
    [one] = train_fleet(images, [sample(codes, draw)], RECIPE)
    [other] = train_fleet(other_images, [sample(other_codes, draw)], RECIPE)
    assert same_bits(one, other)


def test_members_hold_out_their_own_part_and_then_the_next():
    _, codes = blobs()
    draw = replace(draw_by_row(codes, 0, parts=2), rows=np.arange(90)[::-1])
    for member, part in zip(members_of(sample(codes, draw), 3), (0, 1, 0), strict=True):
        assert member.choose.places.tolist() == np.flatnonzero(draw.fold == part).tolist()
        assert member.learn.places.tolist() == np.flatnonzero(draw.fold != part).tolist()
        assert member.learn.targets[:, 0].tolist() == codes[draw.rows[member.learn.places]].tolist()


def test_a_lone_member_learns_from_every_row_but_those_for_choosing_only():
    _, codes = blobs()
    [member] = members_of(sample(codes, draw_by_row(codes, 0)), 1)
    assert (len(member.learn), len(member.choose)) == (90, 0)
    lone_part = Draw(np.arange(90), np.where(np.arange(90) < 30, 0, -1), seed=4)
    [member] = members_of(sample(codes, lone_part), 1)
    assert member.choose.places.tolist() == list(range(30))
    assert member.learn.places.tolist() == list(range(30, 90))


def test_a_thin_draw_holds_rows_out_but_chooses_nothing_by_them():
    _, codes = blobs()
    draw = replace(draw_by_row(codes, 0), is_thin=True)
    for member in members_of(sample(codes, draw), 3):
        assert (len(member.learn), len(member.choose)) == (72, 0)


def test_every_row_comes_once_a_pass():
    _, codes = blobs()
    [member] = members_of(sample(codes, replace(draw_by_row(codes, 0), fold=np.full(90, -1))), 1)
    order = member.order(batch=32, steps=6).ravel()
    assert sorted(order[:90].tolist()) == sorted(order[90:180].tolist()) == list(range(90))
    assert order[:90].tolist() != order[90:180].tolist()


def test_a_member_without_a_class_in_its_rows_is_trained_all_the_same():
    images, codes = blobs(n_classes=3)
    draw = replace(draw_by_row(codes, 0), fold=np.where(codes == 2, 1, 0))
    [trained] = train_fleet(images, [sample(codes, draw)], RECIPE)
    assert predict(trained, images[:4], [1]).shape == (4, 3)
    assert np.isfinite(predict(trained, images)).all()


def see(images: np.ndarray, draw: Draw | None = None, **options: object) -> Pixels:
    draw = draw or Draw(np.arange(len(images)), np.full(len(images), -1), seed=0)
    options = {"is_standardised": False, "shift": 0.0, "device": torch.device("cpu")} | options
    return Pixels(images, [draw], **options)


def test_a_table_is_scaled_by_column_and_pixels_together():
    table = np.array([[0.0, 10.0, 5.0], [2.0, 30.0, 5.0]])
    centre, scale = see(table).normalisation(np.array([0, 1]))
    assert centre.tolist() == [1, 20, 5]
    assert scale.tolist() == [1, 10, 1]  # a column that never changes is only centred
    centre, scale = see(table[:, None, :]).normalisation(np.array([0, 1]))
    assert centre.tolist() == [1, 20, 5]
    np.testing.assert_allclose(scale, math.sqrt((1 + 100 + 0) / 3))


def test_a_standardised_image_has_mean_0_and_spread_1_by_hand():
    images = np.array([[[1.0, 3.0], [1.0, 3.0]], [[7.0, 7.0], [7.0, 7.0]]])
    assert unrolled(images, is_standardised=True).tolist() == [[-1, 1, -1, 1], [0, 0, 0, 0]]
    assert unrolled(images, is_standardised=False).tolist() == [[1, 3, 1, 3], [7, 7, 7, 7]]


def test_exposure_says_nothing_unless_it_is_let_in():
    images, codes = blobs()
    samples = [sample(codes, draw_by_row(codes, 0))]
    darker = images.astype(np.float64) / 255 * 0.5 + 0.1
    [blind], [seeing] = (train_fleet(images, samples, replace(RECIPE, standardise=is_on)) for is_on in (True, False))
    np.testing.assert_allclose(predict(blind, darker), predict(blind, images), atol=1e-6)
    assert np.abs(predict(seeing, darker) - predict(seeing, images)).max() > 0.05
    [table] = train_fleet(images.reshape(90, -1), samples, RECIPE)
    assert not table.is_standardised


@pytest.mark.parametrize("store_bytes", [0, 2**20])
def test_moved_images_repeat_their_rim(monkeypatch, store_bytes):
    monkeypatch.setattr(pixels_module, "STORE_BYTES", store_bytes)
    pixels = see(np.array([[[1.0, 2, 3], [4, 5, 6], [7, 8, 9]]]), shift=0.4)
    assert pixels.offsets[0] == (0, 0)
    moved = [pixels.read(np.array([0]), move)[0].tolist() for move in range(9)]
    assert moved[0] == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert moved[pixels.offsets.index((1, 1))] == [5, 6, 6, 8, 9, 9, 8, 9, 9]
    assert len(set(map(tuple, moved))) == 9


def test_vectors_and_the_channels_of_images_never_move():
    assert see(np.zeros((1, 6)), shift=0.5).offsets == [(0,)]
    assert see(np.zeros((1, 1, 1, 30)), shift=0.4).offsets == [(0, 0, 0)]


def test_many_images_are_not_moved():
    for n, n_moves in ((50, 9), (MOVED_ROWS // 4, 4), (MOVED_ROWS // 2 + 1, 1)):
        images = np.zeros((n, 10, 10))
        draw = Draw(np.arange(n), np.full(n, -1), seed=0)
        assert inputs_of(see(images, draw, shift=0.1), draw, "pixels").n_moves == n_moves


def test_rows_read_from_the_file_are_those_kept_in_memory(monkeypatch):
    images, codes = blobs(shape=(6, 5, 3))
    samples = [sample(codes, draw_by_row(codes, 0))]
    [kept] = train_fleet(images, samples, RECIPE)
    monkeypatch.setattr(pixels_module, "STORE_BYTES", 0)
    [read] = train_fleet(images, samples, RECIPE)
    assert same_bits(kept, read)


def wide(n: int = 24, size: int = 24) -> tuple[np.ndarray, np.ndarray, Draw]:
    images, codes = blobs(n=n, shape=(size, size))
    return images, codes, draw_by_row(codes, 0)


def test_coordinates_in_the_span_keep_every_angle_and_length():
    images, _, draw = wide()
    pixels = see(images, draw, is_standardised=True, shift=0.05)
    span, plain = (inputs_of(pixels, draw, basis) for basis in ("span", "pixels"))
    for move in range(3):
        ours, theirs = (inputs.take(np.arange(24), move).double() for inputs in (span, plain))
        stretch = (plain.first_deviation / span.first_deviation) ** 2
        torch.testing.assert_close(ours @ ours.T / stretch, theirs @ theirs.T, rtol=1e-4, atol=1e-3)


def test_weights_mapped_back_to_pixels_answer_alike():
    images, _, draw = wide()
    pixels = see(images, draw, is_standardised=True, shift=0.05)
    span, plain = (inputs_of(pixels, draw, basis) for basis in ("span", "pixels"))
    weights = np.random.default_rng(0).normal(size=(span.n_inputs, 5)).astype(np.float32)
    back = torch.from_numpy(span.to_pixels(weights))
    for move in range(3):
        there = span.take(np.arange(24), move) @ torch.from_numpy(weights)
        torch.testing.assert_close(plain.take(np.arange(24), move) @ back, there, rtol=1e-3, atol=1e-2)


def test_what_is_projected_is_what_the_images_can_tell_apart():
    images, _, draw = wide()
    span = inputs_of(see(images, draw, is_standardised=True, shift=0.05), draw, "span")
    plain = inputs_of(see(images, draw, is_standardised=True, shift=0.05), draw, "pixels")
    rows = np.concatenate([plain.take(np.arange(24), move).numpy() for move in range(span.n_moves)]).astype(np.float64)
    weights = np.random.default_rng(0).normal(size=(24 * 24, 5)).astype(np.float32)
    on_span = np.linalg.lstsq(rows.T, weights, rcond=1e-6)[0]  # by least squares, independently
    assert span.project(weights) == pytest.approx(rows.T @ on_span, abs=2e-3)
    assert span.project(span.project(weights)) == pytest.approx(span.project(weights), abs=2e-3)
    inside = span.to_pixels(np.random.default_rng(1).normal(size=(span.n_inputs, 5)).astype(np.float32))
    assert span.project(inside) == pytest.approx(inside, abs=1e-3 * float(np.abs(inside).max()))


def test_the_span_is_chosen_where_it_is_smaller():
    images, codes, draw = wide()
    assert train_fleet(images, [sample(codes, draw)], RECIPE)[0].basis == "span"
    many, many_codes = blobs(n=420, shape=(24, 24))
    [trained] = train_fleet(many, [sample(many_codes, draw_by_row(many_codes, 0))], RECIPE)
    assert trained.basis == "pixels"
    [table] = train_fleet(images.reshape(24, -1), [sample(codes, draw)], RECIPE)
    assert table.basis == "pixels"


def test_copies_of_one_image_leave_a_span():
    images, codes, draw = wide()
    images[:] = images[0]
    [trained] = train_fleet(images, [sample(codes, draw)], replace(RECIPE, basis="span"))
    assert np.isfinite(predict(trained, images)).all()


def test_a_network_in_the_span_is_the_same_alone_and_among_others():
    images, codes = blobs(n=40, shape=(24, 24))
    samples = [sample(codes, draw_by_row(codes, seed)) for seed in range(3)]
    together = train_fleet(images, samples, RECIPE)
    for one, among in zip(samples, together, strict=True):
        assert among.basis == "span"
        assert same_bits(train_fleet(images, [one], RECIPE)[0], among)


def test_pixels_of_any_depth_train_the_same_network():
    images, codes = blobs()
    samples = [sample(codes, draw_by_row(codes, 0))]
    [bytes_] = train_fleet(images, samples, RECIPE)
    [words] = train_fleet(images.astype(np.uint16) * 257, samples, RECIPE)
    [floats] = train_fleet(images.astype(np.float32) / np.float32(255), samples, RECIPE)
    assert same_bits(bytes_, floats)
    np.testing.assert_allclose(predict(bytes_, images), predict(words, images.astype(np.uint16) * 257), atol=1e-4)


def test_a_read_only_memory_map_serves(tmp_path):
    images, codes = blobs(shape=(6, 5, 3))
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    samples = [sample(codes, draw_by_row(codes, 0))]
    assert same_bits(train_fleet(mapped, samples, RECIPE)[0], train_fleet(images, samples, RECIPE)[0])


def test_a_column_far_from_zero_keeps_its_digits():
    rng = np.random.default_rng(0)
    near = rng.normal(size=(200, 2))
    codes = (near[:, 0] > 0).astype(int)
    recipe = replace(RECIPE, epochs=30)
    [far] = train_fleet(near + 1e7, [sample(codes, draw_by_row(codes, 0))], recipe)
    assert (predict(far, near + 1e7)[:, 1].round() == codes).mean() > 0.93


def test_a_heavier_class_is_answered_more_often():
    images, codes = blobs()
    draw = draw_by_row(codes, 0)
    even, uneven = (Sample(draw, codes, np.array(weights)) for weights in ((1.0, 1.0), (0.2, 1.8)))
    first, second = train_fleet(images, [even, uneven], RECIPE)
    assert predict(second, images)[:, 1].mean() > predict(first, images)[:, 1].mean() + 0.1


def test_a_rows_answer_does_not_hang_on_its_neighbours():
    images, codes = blobs(n=90)
    [trained] = train_fleet(images, [sample(codes, draw_by_row(codes, 0))], RECIPE)
    many = np.concatenate([images] * 7)  # more than are predicted at once
    np.testing.assert_allclose(predict(trained, many)[600:603], predict(trained, many[600:603]), atol=1e-12)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("hidden", ()),
        ("hidden", (4, 1)),
        ("members", 0),
        ("dropout", 1.0),
        ("weight_decay", -0.1),
        ("shift", 2),
        ("learning_rate", 0.0),
        ("epochs", 0),
        ("batch", 20),
    ],
)
def test_settings_out_of_range_are_refused(setting, value):
    with pytest.raises(OptionError, match="It is"):
        replace(RECIPE, **{setting: value})


def test_a_mistyped_activation_gets_the_nearest_right_one():
    with pytest.raises(OptionError, match="Did you mean 'relu'"):
        replace(RECIPE, activation="rleu")


def test_a_mistyped_basis_gets_the_nearest_right_one():
    with pytest.raises(OptionError, match="Did you mean 'pixels'"):
        replace(RECIPE, basis="pixel")


def test_rows_for_choosing_only_shape_neither_moves_nor_basis():
    images, _ = blobs(n=200, shape=(24, 24))
    alone = Draw(np.arange(30), np.full(30, -1), seed=0)
    beside = Draw(np.arange(200), np.where(np.arange(200) < 30, -1, 0), seed=0)
    views = [inputs_of(see(images, draw, shift=0.05), draw, "auto") for draw in (alone, beside)]
    assert [view.n_moves for view in views] == [9, 9]
    assert views[0].n_inputs < 24 * 24
    assert views[1].n_inputs == 24 * 24
    np.testing.assert_array_equal(views[0].centre, views[1].centre)
