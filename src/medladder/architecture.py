"""Widths, parameters, arithmetic and memory of a dense network, before anything is built.

An unrolled image has as many input nodes as it has pixels times channels, so the first layer nearly always holds
most of the weights: 224×224 pixels into 512 nodes are 25.7 million. These counts are exact for the networks of
`medladder.rungs.fleet`; a test holds the two together.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from medladder.errors import OptionError

BYTES_PER_NUMBER = 4
"""Training is in float32."""

TRAINING_COPIES = 4
"""Numbers held a parameter while training: its weight, its gradient and Adam's two moments."""

NARROWEST = 2
"""A layer of one node would pass on a single number, whatever the classes."""


@dataclass(frozen=True)
class Layer:
    """One layer of a dense network; the input layer computes nothing and stores nothing."""

    name: str
    nodes: int
    parameters: int
    """Weights and biases."""
    multiply_adds: int
    """For one image: one a weight."""


@dataclass(frozen=True)
class Budget:
    """What one dense network holds and costs."""

    layers: tuple[Layer, ...]
    batch: int
    parameters: int
    multiply_adds: int
    """For the prediction of one image; a training step costs about three times as many an image."""
    model_bytes: int
    """The parameters alone, in float32."""
    training_bytes: int
    """Weights, gradients, Adam's two moments, and one batch of activations, in float32."""


def tapered_widths(width: int, depth: int, taper: float) -> tuple[int, ...]:
    """Shrink the node counts toward the output: hidden layer i has `width` · `taper`^i nodes, at least 2.

    Raises
    ------
    OptionError
        `width` below 2, `depth` below 1, or `taper` outside (0, 1]; 1 keeps the width constant.

    Example
    -------
    >>> tapered_widths(256, 3, 0.25)
    (256, 64, 16)
    """
    if width < NARROWEST:
        raise OptionError(found=f"width={width}.", needed="A layer needs 2 nodes or more.", do="Raise width.")
    if depth < 1:
        raise OptionError(found=f"depth={depth}.", needed="1 hidden layer or more.", do="Raise depth.")
    if not 0 < taper <= 1:
        raise OptionError(
            found=f"taper={taper}.",
            needed="Above 0 and at most 1, so that node counts never grow toward the output.",
            do="Give 0.25 for a quarter of the nodes layer by layer, or 1 for constant width.",
        )
    return tuple(max(NARROWEST, round(width * taper**i)) for i in range(depth))


def node_counts(n_inputs: int, hidden: Sequence[int], n_classes: int) -> tuple[int, ...]:
    """Count nodes from input to output; two classes share one output node, more have one each.

    Example
    -------
    >>> node_counts(784, (256, 64, 16), n_classes=2)
    (784, 256, 64, 16, 1)
    """
    return (n_inputs, *hidden, 1 if n_classes == 2 else n_classes)


def count_parameters(nodes: Sequence[int]) -> int:
    """Count weights and biases of a dense network.

    Example
    -------
    >>> count_parameters((3, 2, 1))  # 3·2 + 2 into the hidden layer, 2·1 + 1 out of it
    11
    """
    return sum(before * after + after for before, after in pairwise(nodes))


def training_bytes(nodes: Sequence[int], batch: int) -> int:
    """Bytes to train one network: weights, gradients, Adam's moments, and a batch of every node's value."""
    return BYTES_PER_NUMBER * (TRAINING_COPIES * count_parameters(nodes) + batch * sum(nodes))


def budget(image_shape: Sequence[int], hidden: Sequence[int], n_classes: int = 2, batch: int = 64) -> Budget:
    """Count what a dense network on the unrolled image holds and costs, layer by layer.

    Raises
    ------
    OptionError
        A size, a width or the batch below 1, or fewer than two classes.

    Example
    -------
    >>> budget((28, 28), (512, 128, 32)).parameters
    471745
    """
    if n_classes < 2 or min((*image_shape, *hidden, batch)) < 1:
        raise OptionError(
            found=f"Image {tuple(image_shape)}, layers {tuple(hidden)}, {n_classes} classes, batch {batch}.",
            needed="Every size is 1 or more, and classes are 2 or more.",
            do="Correct the size.",
        )
    nodes = node_counts(math.prod(image_shape), hidden, n_classes)
    names = ["input", *(f"hidden {i + 1}" for i in range(len(hidden))), "output"]
    layers = [Layer(names[0], nodes[0], 0, 0)]
    for name, (before, after) in zip(names[1:], pairwise(nodes), strict=True):
        layers.append(Layer(name, after, count_parameters((before, after)), before * after))
    parameters = count_parameters(nodes)
    return Budget(
        layers=tuple(layers),
        batch=batch,
        parameters=parameters,
        multiply_adds=sum(layer.multiply_adds for layer in layers),
        model_bytes=BYTES_PER_NUMBER * parameters,
        training_bytes=training_bytes(nodes, batch),
    )


def parse_image_shape(text: str) -> tuple[int, ...]:
    """Read an image's size as people write it: height × width, × channels where there are several.

    Example
    -------
    >>> parse_image_shape("28x28x3")
    (28, 28, 3)
    """
    sizes = _whole_numbers(text, "[x×]")
    if sizes is None or len(sizes) not in (2, 3):
        raise OptionError(
            found=f"Image size '{text}'.",
            needed="Height x width, and x channels where there are several.",
            do="Write it like 224x224 or 28x28x3.",
        )
    return sizes


def parse_widths(text: str) -> tuple[int, ...]:
    """Read the node counts of the hidden layers, from input to output.

    Example
    -------
    >>> parse_widths("512,128,32"), parse_widths("256-64-16")
    ((512, 128, 32), (256, 64, 16))
    """
    widths = _whole_numbers(text, "[,-]")
    if widths is None:
        raise OptionError(
            found=f"Layer widths '{text}'.",
            needed="Whole numbers of 1 or more, a number a hidden layer.",
            do="Write them like 512,128,32 or 256-64-16.",
        )
    return widths


def _whole_numbers(text: str, separator: str) -> tuple[int, ...] | None:
    parts = [part.strip() for part in re.split(separator, text.strip())]
    if not all(re.fullmatch(r"[0-9]{1,9}", part) and int(part) > 0 for part in parts):
        return None
    return tuple(int(part) for part in parts)
