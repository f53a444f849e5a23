"""The arithmetic of many dense networks of one shape, stacked: forward, loss and gradients.

Parameters stand in one tensor, a row a network. What is computed for one network is the same to the last bit,
whatever networks stand beside it (on one thread; more threads cut the work by its size): every matrix product is a
call of its own, for one batched call would choose its kernel by the number of networks, and is no faster here; and
every matrix begins at a place aligned alike. On a GPU one batched call does the work of all, and a network is the
same alone or among others up to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float, Float32
from torch import Tensor
from torch.nn import functional

from medladder.rungs.recipe import ALIGNMENT, ActivationName


@dataclass(frozen=True)
class Activation:
    """What a hidden node does to its sum."""

    value: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor, Tensor], Tensor]
    """The derivative, from the sum and the value."""
    gain: float
    """First weights have the deviation gain / √inputs, so that signals neither fade nor grow with depth."""


ACTIVATIONS: dict[ActivationName, Activation] = {
    "sigmoid": Activation(torch.sigmoid, lambda _, a: a * (1 - a), gain=4.0),
    "tanh": Activation(torch.tanh, lambda _, a: 1 - a * a, gain=1.0),
    "relu": Activation(torch.relu, lambda _, a: a > 0, gain=math.sqrt(2)),
    "gelu": Activation(
        functional.gelu,
        lambda z, _: torch.special.ndtr(z) + z * torch.exp(-z * z / 2) / math.sqrt(2 * math.pi),
        gain=math.sqrt(2),
    ),
}


def row_places(nodes: tuple[int, ...]) -> list[int]:
    """Where each weight matrix and each bias begins in a network's row, and how long the row is."""
    places = [0]
    for before, after in pairwise(nodes):
        for size in (before * after, after):
            places.append(places[-1] + math.ceil(size / ALIGNMENT) * ALIGNMENT)
    return places


Layers = list[tuple[Float[Tensor, "network before after"], Float[Tensor, "network 1 after"]]]
"""Weights and biases, layer by layer."""


def see_layers(rows: Float[Tensor, "network parameter"], nodes: tuple[int, ...]) -> Layers:
    """See rows of parameters as weights and biases, without copying."""
    places, layers = row_places(nodes), []
    for layer, (before, after) in enumerate(pairwise(nodes)):
        at, then = places[2 * layer : 2 * layer + 2]
        weights = rows[:, at : at + before * after].view(-1, before, after)
        layers.append((weights, rows[:, None, then : then + after]))
    return layers


def write_gradients(layers: Layers, gradients: Layers, batch: Sequence[Tensor], activation: ActivationName) -> None:
    """Write the gradient of each network's mean weighted log loss on its own batch.

    `batch` holds pixels, targets and weights, and a dropout mask a hidden layer if nodes drop out.
    """
    pixels, targets, weights, *masks = batch
    act, values, slopes = ACTIVATIONS[activation], [pixels], []
    for layer, (matrix, bias) in enumerate(layers[:-1]):
        total = _products(values[-1], matrix).add_(bias)
        value = act.value(total)
        slope = act.slope(total, value)
        values.append(value * masks[layer] if masks else value)
        slopes.append(slope * masks[layer] if masks else slope)
    matrix, bias = layers[-1]
    proba = probabilities(_products(values[-1], matrix).add_(bias))
    error = (proba - targets) * (weights / weights.shape[1])[:, :, None]
    for layer in range(len(layers) - 1, -1, -1):
        torch.sum(error, dim=1, keepdim=True, out=gradients[layer][1])
        _products(values[layer].transpose(1, 2), error, out=gradients[layer][0])
        if layer > 0:
            error = _products(error, layers[layer][0].transpose(1, 2)).mul_(slopes[layer - 1])


def _products(
    left: Float32[Tensor, "network row inner"],
    right: Float32[Tensor, "network inner column"],
    out: Float32[Tensor, "network row column"] | None = None,
) -> Float32[Tensor, "network row column"]:
    """Multiply network by network; the module's docstring says why not in one call."""
    if left.is_cuda:
        return torch.bmm(left, right, out=out)
    if out is None:
        out = torch.empty((*left.shape[:2], right.shape[2]))
    for a, b, product in zip(left, right, out, strict=True):
        torch.mm(a, b, out=product)
    return out


def logits_of_one(
    layers: Sequence[tuple[Tensor, Tensor]], value: Float[Tensor, "row input"], activation: ActivationName
) -> Float[Tensor, "row output"]:
    """Ask one network."""
    matrix, bias = layers[-1]
    return torch.addmm(bias, hidden_of_one(layers[:-1], value, activation), matrix)


def hidden_of_one(
    layers: Sequence[tuple[Tensor, Tensor]], value: Float[Tensor, "row input"], activation: ActivationName
) -> Float[Tensor, "row node"]:
    """What the last of these hidden layers of one network passes on."""
    for matrix, bias in layers:
        value = ACTIVATIONS[activation].value(torch.addmm(bias, value, matrix))
    return value


def probabilities(logits: Float[Tensor, "*row output"]) -> Float[Tensor, "*row output"]:
    """Two classes share one output; more have one each."""
    return logits.sigmoid() if logits.shape[-1] == 1 else logits.softmax(dim=-1)


def log_loss(logits: Float32[Tensor, "row output"], targets: Float32[Tensor, "row output"]) -> Float32[Tensor, " row"]:
    """Minus the log of the probability that each row's own class was given."""
    if logits.shape[1] == 1:
        return functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")[:, 0]
    return functional.cross_entropy(logits, targets, reduction="none")
