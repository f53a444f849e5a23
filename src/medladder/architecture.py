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


MOST_POSITIONS = 4096
"""Where an image has more, as 64×64 does not, the first convolution takes larger strides, for cost grows with them."""

FEWEST_POSITIONS = 64
"""Halving goes on until so few are left: 8×8, or 4×4×4 in a volume."""


@dataclass(frozen=True)
class ConvolutionLayer(Layer):
    """One layer of a convolutional network; the output layer has a kernel of 1 and sees one position."""

    size: tuple[int, ...]
    """Positions along each axis of what it gives, after pooling."""
    channels: int
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    pool: tuple[int, ...]
    """The largest of so many neighbours along each axis is passed on."""


def split_channels(image_shape: Sequence[int]) -> tuple[tuple[int, ...], int]:
    """Tell the axes along which a kernel moves from the channels; a vector is one position with a channel a column.

    Example
    -------
    >>> split_channels((28, 28)), split_channels((64, 64, 3)), split_channels((10,))
    (((28, 28), 1), ((64, 64), 3), ((1, 1), 10))
    """
    if len(image_shape) == 1:
        return (1, 1), image_shape[0]
    return (tuple(image_shape), 1) if len(image_shape) == 2 else (tuple(image_shape[:-1]), image_shape[-1])


def convolution_layers(
    image_shape: Sequence[int], *, width: int = 64, depth: int | None = None, n_classes: int = 2
) -> tuple[ConvolutionLayer, ...]:
    """Plan a convolutional network: stages of two convolutions, each with half the positions of the one before.

    The last of `depth` stages has `width` channels, each before it half as many, so that no stage costs much more
    than another. The output sees the mean and the largest value of every channel. Normalisation between the layers is
    folded into their weights, which is how they are counted.

    Parameters
    ----------
    depth
        Stages; None: as many as leave `FEWEST_POSITIONS` or fewer.

    Raises
    ------
    OptionError
        `width` below 2, `depth` below 1, or more stages than the image can be halved.

    Example
    -------
    >>> [(layer.size, layer.channels) for layer in convolution_layers((28, 28))[1:7:2]]
    [((28, 28), 16), ((14, 14), 32), ((7, 7), 64)]
    """
    if width < NARROWEST or (depth is not None and depth < 1):
        raise OptionError(
            found=f"width={width}, depth={depth}.", needed="width is 2 or more, depth 1 or more.", do="Raise it."
        )
    grid, channels = split_channels(image_shape)
    kernel, stride = _first_window(grid)
    stages = _halvings(tuple((size - by) // by + 1 for size, by in zip(grid, stride, strict=True)), depth)
    one = (1,) * len(grid)
    layers = [ConvolutionLayer("input", math.prod(image_shape), 0, 0, grid, channels, one, one, one)]
    for stage, size in enumerate(stages):
        after = max(NARROWEST, width // 2 ** (len(stages) - 1 - stage))
        halving = tuple(min(2, n) for n in size) if stage < len(stages) - 1 else one
        for pool in (one, halving):
            layers.append(_convolution(len(layers), layers[-1].channels, after, kernel, stride, size, pool))
            kernel, stride = _window(layers[-1].size), one
    outputs = 1 if n_classes == 2 else n_classes
    weights = 2 * layers[-1].channels * outputs
    return (*layers, ConvolutionLayer("output", outputs, weights + outputs, weights, one, outputs, one, one, one))


def _first_window(grid: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Kernel and stride of the first convolution; where it strides, kernels overlap by two."""
    step = 1
    while math.prod(math.ceil(size / step) for size in grid) > MOST_POSITIONS:
        step += 1
    stride = tuple(min(step, size) for size in grid)
    return tuple(by + 2 if size > 1 else 1 for by, size in zip(stride, grid, strict=True)), stride


def _window(size: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(3 if n > 1 else 1 for n in size)


def _halvings(size: tuple[int, ...], depth: int | None) -> list[tuple[int, ...]]:
    stages = [size]
    while math.prod(stages[-1]) > FEWEST_POSITIONS if depth is None else len(stages) < depth:
        if math.prod(stages[-1]) == 1:
            raise OptionError(
                found=f"depth={depth}.",
                needed=f"Stages that halve {'×'.join(map(str, size))} positions: {len(stages)} at most.",
                do="Lower depth, or leave it out.",
            )
        stages.append(tuple(max(1, n // 2) for n in stages[-1]))
    return stages


def _convolution(
    number: int,
    before: int,
    after: int,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    size: tuple[int, ...],
    pool: tuple[int, ...],
) -> ConvolutionLayer:
    weights = math.prod(kernel) * before * after
    given = tuple(n // by for n, by in zip(size, pool, strict=True))
    return ConvolutionLayer(
        name=f"convolution {number}",
        nodes=math.prod(given) * after,
        parameters=weights + after,
        multiply_adds=math.prod(size) * weights,
        size=given,
        channels=after,
        kernel=kernel,
        stride=stride,
        pool=pool,
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
