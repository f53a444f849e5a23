"""Train many dense networks of one shape at once.

A fleet is every member of every draw of one rung: its networks share the images and the shape, and differ in rows,
normalisation and seed. All parameters stand in one tensor, a row a network, so that activations, losses and the
optimiser are one call for the whole fleet; `medladder.rungs.dense` computes each network for itself, so that one ends
with the same numbers, alone or among others.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Float64, Shaped
from torch import Tensor

from medladder.architecture import node_counts, training_bytes
from medladder.rungs.dense import (
    ACTIVATIONS,
    hidden_of_one,
    log_loss,
    logits_of_one,
    probabilities,
    row_places,
    see_layers,
    write_gradients,
)
from medladder.rungs.draws import Draw, Sample, may_learn
from medladder.rungs.ensembles import DenseEnsemble, Network
from medladder.rungs.pixels import ROWS_AT_ONCE, Inputs, Pixels, SpanInputs, inputs_of, unrolled
from medladder.rungs.recipe import ActivationName, Recipe
from medladder.rungs.training import (
    DROPOUT,
    MOVES,
    START,
    Cases,
    Kept,
    Member,
    Optimiser,
    Pace,
    find_device,
    held_out_losses,
    members_of,
    one_cycle,
    set_pace,
)

FLEET_BYTES = 2**30
"""Networks that would need more than this together are trained in turns."""

STEPS = 150
"""Fewest steps of a training: with few rows, many passes over them."""

EPOCHS = 12
"""Fewest passes over the rows: with many rows, more steps."""

STEPS_AT_ONCE = 16
"""Steps whose random numbers are drawn together."""

VALUED_ROWS = 32
"""Images whose values in a layer are computed together."""


def pace(n_rows: int, recipe: Recipe) -> Pace:
    """Fit batch and passes to the rows that may be learned from.

    Batches of 32 rows below 2,000 rows, of 64 below 20,000, else of 128; then the more of `EPOCHS` passes and
    `STEPS` steps.
    """
    batch = recipe.batch or (32 if n_rows < 2_000 else 64 if n_rows < 20_000 else 128)
    return set_pace(n_rows, batch, recipe.epochs, least_epochs=EPOCHS, least_steps=STEPS)


def train_fleet(
    images: Shaped[np.ndarray, "image ..."],
    samples: Sequence[Sample],
    recipe: Recipe,
    device: str = "cpu",
) -> list[DenseEnsemble]:
    """Train `recipe.members` networks a sample, all together; one ensemble a sample."""
    if not samples:
        return []
    pixels = _pixels_of(images, [sample.draw for sample in samples], recipe, device)
    groups: dict[tuple[Pace, tuple[int, ...]], list[int]] = defaultdict(list)
    views = [inputs_of(pixels, sample.draw, recipe.basis) for sample in samples]
    for index, (sample, inputs) in enumerate(zip(samples, views, strict=True)):
        nodes = node_counts(inputs.n_inputs, recipe.hidden, len(sample.class_weights))
        groups[pace(int(may_learn(sample.draw.fold).sum()), recipe), nodes].append(index)
    ensembles: dict[int, DenseEnsemble] = {}
    for (steps, nodes), indices in groups.items():
        crew = [seat for index in indices for seat in _seats(samples[index], views[index], recipe, pixels)]
        at_once = max(1, FLEET_BYTES // training_bytes(nodes, steps.batch))
        trained = [
            result
            for start in range(0, len(crew), at_once)
            for result in _train(crew[start : start + at_once], nodes, steps, recipe)
        ]
        for place, index in enumerate(indices):
            mine = trained[place * recipe.members : (place + 1) * recipe.members]
            ensembles[index] = _ensemble(views[index], mine, nodes, recipe.activation, pixels.is_standardised)
    return [ensembles[index] for index in range(len(samples))]


def start_fleet(
    images: Shaped[np.ndarray, "image ..."],
    samples: Sequence[Sample],
    recipe: Recipe,
    device: str = "cpu",
) -> list[DenseEnsemble]:
    """The networks that `train_fleet` starts from; what it would train in a span is mapped to pixels alike."""
    if not samples:
        return []
    pixels, ensembles = _pixels_of(images, [sample.draw for sample in samples], recipe, device), []
    for sample in samples:
        inputs = inputs_of(pixels, sample.draw, recipe.basis)
        nodes = node_counts(inputs.n_inputs, recipe.hidden, len(sample.class_weights))
        starts = [
            _Trained(_start(seat, nodes, recipe.activation), 0.0) for seat in _seats(sample, inputs, recipe, pixels)
        ]
        ensembles.append(_ensemble(inputs, starts, nodes, recipe.activation, pixels.is_standardised))
    return ensembles


def span_of(images: Shaped[np.ndarray, "image ..."], draw: Draw, recipe: Recipe) -> SpanInputs | None:
    """What a draw's networks see, if they are trained in the span of its images."""
    inputs = inputs_of(_pixels_of(images, [draw], recipe, "cpu"), draw, recipe.basis)
    return inputs if isinstance(inputs, SpanInputs) else None


def _pixels_of(images: Shaped[np.ndarray, "image ..."], draws: Sequence[Draw], recipe: Recipe, device: str) -> Pixels:
    return Pixels(
        images,
        draws,
        is_standardised=recipe.standardise,
        shift=recipe.shift,
        device=find_device(device),
    )


def _seats(sample: Sample, inputs: Inputs, recipe: Recipe, pixels: Pixels) -> list[Seat]:
    return [Seat(member, inputs) for member in members_of(sample, recipe.members, pixels.device)]


def predict(
    ensemble: DenseEnsemble, images: Shaped[np.ndarray, "image ..."], members: Sequence[int] | None = None
) -> Float64[np.ndarray, "image class_"]:
    """Mean probability over the members (all unless named), in float64: rows do not hang on their neighbours."""
    asked = ensemble.members if members is None else [ensemble.members[member] for member in members]
    proba = np.zeros((len(images), ensemble.members[0].biases[-1].size))
    for network in asked:
        layers = _in_double(network)
        for start in range(0, len(images), ROWS_AT_ONCE):
            block = slice(start, start + ROWS_AT_ONCE)
            pixels = torch.from_numpy(unrolled(images[block], ensemble.is_standardised).astype(np.float64))
            vote = probabilities(logits_of_one(layers, pixels, ensemble.activation))
            proba[block] += vote.numpy() / len(asked)
    return np.hstack([1 - proba, proba]) if proba.shape[1] == 1 else proba


def layer_values(
    ensemble: DenseEnsemble, images: Shaped[np.ndarray, "image ..."], layer: int
) -> Float32[np.ndarray, "image member node"]:
    """What hidden layer `layer`, counted from 1, of each member passes on; of the output, the last, its sums.

    A block always has as many rows, filled up with empty ones, so that a row is computed alike, whoever stands
    beside it.
    """
    nodes = ensemble.members[0].biases[layer - 1].size
    values = np.empty((len(images), len(ensemble.members), nodes), dtype=np.float32)
    for place, network in enumerate(ensemble.members):
        layers = _in_double(network, layer)
        passed_on = logits_of_one if layer == len(network.weights) else hidden_of_one
        for start in range(0, len(images), VALUED_ROWS):
            block = unrolled(images[start : start + VALUED_ROWS], ensemble.is_standardised)
            filled = np.zeros((VALUED_ROWS, block.shape[1]))
            filled[: len(block)] = block
            found = passed_on(layers, torch.from_numpy(filled), ensemble.activation)
            values[start : start + VALUED_ROWS, place] = found.numpy()[: len(block)]
    return values


def _in_double(network: Network, n_layers: int | None = None) -> list[tuple[Tensor, Tensor]]:
    """The weights and biases of the first layers, all unless told how many."""
    return [
        (torch.from_numpy(matrix).double(), torch.from_numpy(bias))
        for matrix, bias in zip(network.weights[:n_layers], network.biases[:n_layers], strict=True)
    ]


@dataclass(frozen=True)
class Seat:
    """A network's place in the fleet: whose member it is, and what it sees."""

    member: Member
    inputs: Inputs


@dataclass(frozen=True)
class _Trained:
    parameters: Float32[np.ndarray, " parameter"]
    epochs: float


def _train(crew: Sequence[Seat], nodes: tuple[int, ...], steps: Pace, recipe: Recipe) -> list[_Trained]:
    device = crew[0].inputs.device
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")  # TF32: three more digits than bfloat16, and as good as its speed
    parameters = torch.from_numpy(np.stack([_start(seat, nodes, recipe.activation) for seat in crew])).to(device)
    parameters.grad = torch.zeros_like(parameters)
    layers, gradients = see_layers(parameters, nodes), see_layers(parameters.grad, nodes)
    optimiser = Optimiser([([parameters], recipe.weight_decay)])
    kept = Kept(parameters)
    members = [seat.member for seat in crew]

    def losses_of(network: int, cases: Cases) -> Float32[Tensor, " row"]:
        one = [(matrix[network], bias[network, 0]) for matrix, bias in layers]
        seen = crew[network].inputs.take(cases.places, 0)
        return log_loss(logits_of_one(one, seen, recipe.activation), cases.targets)

    for step, batch in enumerate(_batches(crew, nodes, steps, recipe), start=1):
        write_gradients(layers, gradients, batch, recipe.activation)
        optimiser.step(recipe.learning_rate * one_cycle(step / steps.steps))
        is_last = step == steps.steps
        if is_last or step % steps.check_every == 0:
            losses = held_out_losses(members, losses_of, ROWS_AT_ONCE)
            kept.look(parameters, losses, step, is_last=is_last)
    rows, at = kept.parameters.cpu().numpy(), kept.step.tolist()
    return [_Trained(row, step / steps.steps_per_epoch) for row, step in zip(rows, at, strict=True)]


def _start(seat: Seat, nodes: tuple[int, ...], activation: ActivationName) -> Float32[np.ndarray, " parameter"]:
    """Draw the first weights; biases start at 0."""
    rng, row = seat.member.rng(START), np.zeros((1, row_places(nodes)[-1]), dtype=np.float32)
    for layer, (weights, _) in enumerate(see_layers(torch.from_numpy(row), nodes)):
        deviation = 1 / math.sqrt(weights.shape[1]) if layer else seat.inputs.first_deviation
        normal = rng.standard_normal(weights.shape, dtype=np.float32)
        weights.copy_(torch.from_numpy(normal * np.float32(ACTIVATIONS[activation].gain * deviation)))
    return row[0]


def _batches(
    crew: Sequence[Seat], nodes: tuple[int, ...], steps: Pace, recipe: Recipe
) -> Iterator[list[Float32[Tensor, "network row ..."]]]:
    """Yield pixels, targets and weights of every network, then a mask a hidden layer if nodes drop out."""
    orders = [seat.member.order(steps.batch, steps.steps) for seat in crew]
    moves = [seat.member.rng(MOVES).integers(seat.inputs.n_moves, size=steps.steps) for seat in crew]
    drops = [seat.member.rng(DROPOUT) for seat in crew]
    device = crew[0].inputs.device
    seen = torch.empty((len(crew), steps.batch, nodes[0]), device=device)
    targets = torch.empty((len(crew), steps.batch, nodes[-1]), device=device)
    weights = torch.empty((len(crew), steps.batch), device=device)
    masks: list[Tensor] = []
    for step in range(steps.steps):
        if recipe.dropout and step % STEPS_AT_ONCE == 0:
            masks = _masks(drops, steps.batch, recipe, device)
        for network, seat in enumerate(crew):
            cases = seat.member.learn[orders[network][step]]
            seen[network] = seat.inputs.take(cases.places, int(moves[network][step]))
            targets[network], weights[network] = cases.targets, cases.weights
        yield [seen, targets, weights, *(mask[step % STEPS_AT_ONCE] for mask in masks)]


def _masks(
    rngs: Sequence[np.random.Generator], batch: int, recipe: Recipe, device: torch.device
) -> list[Float32[Tensor, "step network row node"]]:
    """Draw which nodes stay in the next steps; those that do are raised by what the others no longer give."""
    sizes = (STEPS_AT_ONCE, batch, sum(recipe.hidden))
    threshold = round(recipe.dropout * 2**16)  # two bytes a node: a quarter of the random numbers that a float needs
    masks = np.empty((STEPS_AT_ONCE, len(rngs), *sizes[1:]), dtype=np.float32)
    for network, rng in enumerate(rngs):
        stays = rng.integers(2**16, size=sizes, dtype=np.uint16) >= threshold
        np.multiply(stays, np.float32(1 / (1 - recipe.dropout)), out=masks[:, network])
    return list(torch.split(torch.from_numpy(masks).to(device), list(recipe.hidden), dim=-1))


def _ensemble(
    inputs: Inputs,
    trained: Sequence[_Trained],
    nodes: tuple[int, ...],
    activation: ActivationName,
    is_standardised: bool,
) -> DenseEnsemble:
    return DenseEnsemble(
        activation,
        is_standardised,
        tuple(_network(inputs, one.parameters, nodes) for one in trained),
        tuple(one.epochs for one in trained),
        basis="span" if isinstance(inputs, SpanInputs) else "pixels",
    )


def _network(inputs: Inputs, row: Float32[np.ndarray, " parameter"], nodes: tuple[int, ...]) -> Network:
    """Fold the normalisation into the first layer, in place, so that the network takes images as they are."""
    layers = see_layers(torch.from_numpy(row[None]), nodes)
    weights = [matrix[0].numpy() for matrix, _ in layers]
    biases = [bias[0, 0].double().numpy() for _, bias in layers]
    weights[0] = inputs.to_pixels(weights[0])
    weights[0] /= inputs.scale[:, None]
    biases[0] -= inputs.centre @ weights[0]
    return Network(tuple(weights), tuple(biases))
