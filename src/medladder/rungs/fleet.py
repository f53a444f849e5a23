"""Train many dense networks of one shape at once.

A fleet is every member of every draw of one rung: its networks share the images and the shape, and differ in rows,
normalisation and seed. All parameters stand in one tensor, a row a network, so that activations, losses and the
optimiser are one call for the whole fleet.

A network ends with the same numbers, alone or among others: its random numbers are keyed by (seed, member,
purpose), its steps follow from its own draw, and `medladder.rungs.dense` computes each network for itself.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int, Shaped
from torch import Tensor

from medladder.architecture import NARROWEST, node_counts, training_bytes
from medladder.errors import OptionError, unknown_name
from medladder.rungs.dense import (
    ACTIVATIONS,
    ALIGNMENT,
    ActivationName,
    Layers,
    log_loss,
    logits_of_one,
    probabilities,
    row_places,
    see_layers,
    write_gradients,
)
from medladder.rungs.draws import Draw, in_unit_range, may_learn, parts_of

FLEET_BYTES = 2**31
"""Networks that would need more than this together are trained in turns."""

STEPS = 150
"""Fewest steps of a training: with few rows, many passes over them."""

EPOCHS = 12
"""Fewest passes over the rows: with many rows, more steps."""

WARM_UP = 0.2
"""Share of the steps in which the learning rate rises; after it, it falls along half a cosine."""

CHECKS = 24
"""How often, at most, the held-out part is looked at in one training."""

ROWS_AT_ONCE = 512

SPATIAL_AXES = {3: (1, 2), 4: (1, 2), 5: (1, 2, 3)}
"""Axes along which images move, by the number of axes; vectors have none."""

_START, _BATCHES, _DROPOUT, _SHIFTS = range(4)  # what random numbers are for


@dataclass(frozen=True)
class Recipe:
    """How every network of a fleet is built and trained.

    Raises
    ------
    OptionError
        A setting is unknown or out of range.
    """

    hidden: tuple[int, ...]
    activation: ActivationName
    members: int
    dropout: float
    weight_decay: float
    shift: float
    """The images of a batch move together, by up to this share of their side each way."""
    standardise: bool
    """Give each image mean 0 and spread 1 of its own, so that exposure says nothing; vectors stay as they are."""
    learning_rate: float
    """At its peak."""
    epochs: int | None = None
    """Passes over the rows; None: by `pace`."""
    batch: int | None = None
    """Rows a step; None: by `pace`."""

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise unknown_name("activation", str(self.activation), ACTIVATIONS)
        _require("widths", self.hidden, bool(self.hidden) and min(self.hidden) >= NARROWEST, "2 or more each")
        _require("members", self.members, self.members >= 1, "1 or more")
        _require("dropout", self.dropout, 0 <= self.dropout < 1, "at least 0 and below 1")
        _require("weight_decay", self.weight_decay, self.weight_decay >= 0, "0 or more")
        _require("shift", self.shift, 0 <= self.shift <= 0.5, "between 0 and 0.5, a share of the side")
        _require("learning_rate", self.learning_rate, self.learning_rate > 0, "above 0")
        _require("epochs", self.epochs, self.epochs is None or self.epochs >= 1, "1 or more")
        is_aligned = self.batch is None or (self.batch >= ALIGNMENT and self.batch % ALIGNMENT == 0)
        _require("batch_size", self.batch, is_aligned, f"a multiple of {ALIGNMENT}")


def _require(name: str, value: object, is_met: bool, needed: str) -> None:
    if not is_met:
        raise OptionError(found=f"{name}={value}.", needed=f"It is {needed}.", do=f"Change {name}.")


@dataclass(frozen=True)
class Sample:
    """A draw, its classes as codes, and the weight of each class in the loss."""

    draw: Draw
    codes: Int[np.ndarray, " row"]
    class_weights: Float[np.ndarray, " class_"]


@dataclass(frozen=True)
class Ensemble:
    """The trained networks of one draw. They take images as `unrolled` gives them."""

    activation: str
    is_standardised: bool
    weights: tuple[Float32[np.ndarray, "member before after"], ...]
    biases: tuple[Float64[np.ndarray, "member after"], ...]
    epochs: tuple[float, ...]
    """Passes over the rows after which each member was kept."""


@dataclass(frozen=True)
class Pace:
    """The steps of a training. Draws that differ in it are trained apart."""

    batch: int
    steps_per_epoch: int
    steps: int


def pace(n_rows: int, recipe: Recipe) -> Pace:
    """Fit batch and passes to the rows that may be learned from.

    Batches of 32 rows below 2,000 rows, of 64 below 20,000, else of 128; then the more of `EPOCHS` passes and
    `STEPS` steps.
    """
    batch = recipe.batch or (32 if n_rows < 2_000 else 64 if n_rows < 20_000 else 128)
    steps_per_epoch = math.ceil(n_rows / batch)
    epochs = recipe.epochs or max(EPOCHS, math.ceil(STEPS / steps_per_epoch))
    return Pace(batch, steps_per_epoch, epochs * steps_per_epoch)


def train_fleet(images: Shaped[np.ndarray, "image ..."], samples: Sequence[Sample], recipe: Recipe) -> list[Ensemble]:
    """Train `recipe.members` networks a sample, all together; one ensemble a sample."""
    groups: dict[tuple[Pace, tuple[int, ...]], list[int]] = defaultdict(list)
    for index, sample in enumerate(samples):
        nodes = node_counts(math.prod(images.shape[1:]), recipe.hidden, len(sample.class_weights))
        groups[pace(int(may_learn(sample.draw.fold).sum()), recipe), nodes].append(index)
    ensembles: dict[int, Ensemble] = {}
    for (steps, nodes), indices in groups.items():
        crew = [network for index in indices for network in _networks(images, samples[index], recipe)]
        at_once = max(1, FLEET_BYTES // training_bytes(nodes, steps.batch))
        trained = [
            result
            for start in range(0, len(crew), at_once)
            for result in _train(images, crew[start : start + at_once], nodes, steps, recipe)
        ]
        for place, index in enumerate(indices):
            mine = slice(place * recipe.members, (place + 1) * recipe.members)
            ensembles[index] = _ensemble(crew[mine], trained[mine], nodes, recipe.activation)
    return [ensembles[index] for index in range(len(samples))]


def predict(
    ensemble: Ensemble, images: Shaped[np.ndarray, "image ..."], members: Sequence[int] | None = None
) -> Float64[np.ndarray, "image class_"]:
    """Mean probability over the members (all unless named), in float64: rows do not hang on their neighbours."""
    members = range(len(ensemble.epochs)) if members is None else members
    means = []
    for start in range(0, len(images), ROWS_AT_ONCE):
        block = images[start : start + ROWS_AT_ONCE]
        pixels = torch.from_numpy(unrolled(block, ensemble.is_standardised).astype(np.float64))
        votes = [probabilities(logits_of_one(_member(ensemble, m), pixels, ensemble.activation)) for m in members]
        means.append(torch.stack(votes).mean(dim=0).numpy())
    proba = np.concatenate(means)
    return np.hstack([1 - proba, proba]) if proba.shape[1] == 1 else proba


def unrolled(images: Shaped[np.ndarray, "image ..."], is_standardised: bool) -> Float[np.ndarray, "image input"]:
    """See images as vectors, row by row, each with mean 0 and spread 1 of its own if standardised."""
    pixels = in_unit_range(images).reshape(len(images), -1)
    if is_standardised:
        pixels -= pixels.mean(axis=1, keepdims=True)
        spread = pixels.std(axis=1, keepdims=True)
        pixels /= np.where(spread > 0, spread, 1)
    return pixels


@dataclass(frozen=True)
class _Cases:
    """Rows with what is to be learned from them."""

    rows: Int[np.ndarray, " row"]
    targets: Float32[np.ndarray, "row output"]
    weights: Float32[np.ndarray, " row"]

    def __getitem__(self, places: Int[np.ndarray, " place"] | Bool[np.ndarray, " row"] | slice) -> _Cases:
        return _Cases(self.rows[places], self.targets[places], self.weights[places])


@dataclass(frozen=True)
class _Network:
    """One member of one draw, as its training needs it."""

    seed: int
    member: int
    learn: _Cases
    choose: _Cases
    is_standardised: bool
    centre: Float64[np.ndarray, " input"]
    scale: Float64[np.ndarray, " input"]

    def rng(self, purpose: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, self.member, purpose])


@dataclass(frozen=True)
class _Trained:
    parameters: Float32[np.ndarray, " parameter"]
    epochs: float


def _networks(images: Shaped[np.ndarray, "image ..."], sample: Sample, recipe: Recipe) -> Iterator[_Network]:
    draw, parts, n_classes = sample.draw, parts_of(sample.draw.fold), len(sample.class_weights)
    is_standardised = recipe.standardise and images.ndim > 2
    centre, scale = _normalisation(images, draw.rows[may_learn(draw.fold)], is_standardised)
    outputs = np.array([1]) if n_classes == 2 else np.arange(n_classes)
    targets = (sample.codes[:, None] == outputs).astype(np.float32)
    cases = _Cases(draw.rows, targets, sample.class_weights[sample.codes].astype(np.float32))
    for member in range(recipe.members):
        held = (draw.fold == member % parts) if parts else np.zeros(len(draw.rows), dtype=bool)
        choose = cases[held & (not draw.is_thin)]
        yield _Network(draw.seed, member, cases[~held], choose, is_standardised, centre, scale)


def _normalisation(
    images: Shaped[np.ndarray, "image ..."], rows: Int[np.ndarray, " row"], is_standardised: bool
) -> tuple[Float64[np.ndarray, " input"], Float64[np.ndarray, " input"]]:
    """Centre each input; pixels share one spread, so that a dark rim stays quiet, columns have their own."""

    def blocks() -> Iterator[Float[np.ndarray, "row input"]]:
        for start in range(0, len(rows), ROWS_AT_ONCE):
            yield unrolled(images[rows[start : start + ROWS_AT_ONCE]], is_standardised)

    centre = np.sum([block.sum(axis=0, dtype=np.float64) for block in blocks()], axis=0) / len(rows)
    variance = np.sum([((block - centre) ** 2).sum(axis=0) for block in blocks()], axis=0) / len(rows)
    if images.ndim > 2:
        variance = np.full_like(variance, variance.mean())
    return centre, np.sqrt(np.where(variance > 0, variance, 1.0))


def _train(
    images: Shaped[np.ndarray, "image ..."],
    crew: Sequence[_Network],
    nodes: tuple[int, ...],
    steps: Pace,
    recipe: Recipe,
) -> list[_Trained]:
    parameters = torch.from_numpy(np.stack([_start(network, nodes, recipe.activation) for network in crew]))
    parameters.grad = torch.zeros_like(parameters)
    layers, gradients = see_layers(parameters, nodes), see_layers(parameters.grad, nodes)
    optimiser = torch.optim.AdamW([parameters], weight_decay=recipe.weight_decay, fused=True)
    feeds = [_feed(images, network, steps.batch, recipe) for network in crew]
    kept, kept_loss = parameters.numpy().copy(), np.full(len(crew), np.inf)
    kept_step = np.zeros(len(crew))
    for step in range(1, steps.steps + 1):
        batch = [torch.from_numpy(np.stack(arrays)) for arrays in zip(*map(next, feeds), strict=True)]
        write_gradients(layers, gradients, batch, recipe.activation)
        optimiser.param_groups[0]["lr"] = recipe.learning_rate * one_cycle(step / steps.steps)
        optimiser.step()
        is_last = step == steps.steps
        if is_last or step % math.ceil(steps.steps / CHECKS) == 0:
            loss = _held_out_losses(images, crew, layers, recipe.activation)
            better = np.where(np.isnan(loss), is_last, loss < kept_loss)
            kept[better], kept_loss[better] = parameters.numpy()[better], loss[better]
            kept_step[better] = step
    return [_Trained(row, at / steps.steps_per_epoch) for row, at in zip(kept, kept_step, strict=True)]


def one_cycle(share: float) -> float:
    """Learning rate at this share of the steps, as a share of its peak.

    Source
    ------
    Smith & Topin 2018, arXiv 1708.07120; here with a cosine fall, and from and to 0.
    """
    if share < WARM_UP:
        return share / WARM_UP
    return (1 + math.cos(math.pi * (share - WARM_UP) / (1 - WARM_UP))) / 2


def _start(network: _Network, nodes: tuple[int, ...], activation: str) -> Float32[np.ndarray, " parameter"]:
    """Draw the first weights; biases start at 0."""
    rng, row = network.rng(_START), np.zeros((1, row_places(nodes)[-1]), dtype=np.float32)
    for weights, _ in see_layers(torch.from_numpy(row), nodes):
        deviation = ACTIVATIONS[activation].gain / math.sqrt(weights.shape[1])
        normal = rng.standard_normal(weights.shape, dtype=np.float32)
        weights.copy_(torch.from_numpy(normal * np.float32(deviation)))
    return row[0]


def _feed(
    images: Shaped[np.ndarray, "image ..."], network: _Network, batch: int, recipe: Recipe
) -> Iterator[list[Float32[np.ndarray, "row ..."]]]:
    """Yield pixels, targets and weights, batch after batch, then a mask a hidden layer if nodes drop out."""
    shuffle, drop, move = (network.rng(purpose) for purpose in (_BATCHES, _DROPOUT, _SHIFTS))
    waiting = np.empty(0, dtype=np.int64)
    while True:
        while len(waiting) < batch:
            waiting = np.concatenate([waiting, shuffle.permutation(len(network.learn.rows))])
        cases, waiting = network.learn[waiting[:batch]], waiting[batch:]
        block = _moved(images[cases.rows], recipe.shift, move)
        masks = []
        for width in recipe.hidden if recipe.dropout else ():
            stays = drop.random((batch, width), dtype=np.float32) >= recipe.dropout
            masks.append(stays / np.float32(1 - recipe.dropout))
        yield [_normalised(block, network), cases.targets, cases.weights, *masks]


def _moved(
    block: Shaped[np.ndarray, "row ..."], shift: float, rng: np.random.Generator
) -> Shaped[np.ndarray, "row ..."]:
    """Move the images of a block together; where nothing is known, the rim is repeated."""
    for axis in SPATIAL_AXES.get(block.ndim, ()):
        size = block.shape[axis]
        reach = round(shift * size)
        offset = rng.integers(-reach, reach + 1)
        block = block.take(np.clip(np.arange(size) + offset, 0, size - 1), axis=axis)
    return block


def _normalised(block: Shaped[np.ndarray, "row ..."], network: _Network) -> Float32[np.ndarray, "row input"]:
    pixels = unrolled(block, network.is_standardised)
    pixels -= network.centre.astype(pixels.dtype)
    pixels /= network.scale.astype(pixels.dtype)
    return pixels.astype(np.float32, copy=False)


def _held_out_losses(
    images: Shaped[np.ndarray, "image ..."], crew: Sequence[_Network], layers: Layers, activation: str
) -> Float64[np.ndarray, " network"]:
    """Mean weighted log loss of each network on the rows it chooses by; NaN where it has none."""
    losses = np.full(len(crew), np.nan)
    for index, network in enumerate(crew):
        one = [(matrix[index], bias[index]) for matrix, bias in layers]
        total = 0.0
        for start in range(0, len(network.choose.rows), ROWS_AT_ONCE):
            cases = network.choose[start : start + ROWS_AT_ONCE]
            logits = logits_of_one(one, torch.from_numpy(_normalised(images[cases.rows], network)), activation)
            total += float(log_loss(logits, torch.from_numpy(cases.targets)) @ torch.from_numpy(cases.weights))
        if len(network.choose.rows):
            losses[index] = total / len(network.choose.rows)
    return losses


def _ensemble(
    crew: Sequence[_Network], trained: Sequence[_Trained], nodes: tuple[int, ...], activation: str
) -> Ensemble:
    """Fold each network's normalisation into its first layer, so that it takes images as they are."""
    layers = see_layers(torch.from_numpy(np.stack([one.parameters for one in trained])), nodes)
    weights = [matrix.numpy().copy() for matrix, _ in layers]
    biases = [bias.numpy()[:, 0].astype(np.float64) for _, bias in layers]
    for member, network in enumerate(crew):
        weights[0][member] /= network.scale[:, None]
        biases[0][member] -= network.centre @ weights[0][member]
    return Ensemble(
        activation,
        crew[0].is_standardised,
        tuple(weights),
        tuple(biases),
        tuple(float(one.epochs) for one in trained),
    )


def _member(ensemble: Ensemble, member: int) -> list[tuple[Float64[Tensor, "before after"], Float64[Tensor, " after"]]]:
    return [
        (torch.from_numpy(matrix[member]).double(), torch.from_numpy(bias[member]))
        for matrix, bias in zip(ensemble.weights, ensemble.biases, strict=True)
    ]
