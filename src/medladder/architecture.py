"""Layers, parameters, arithmetic and memory of a network, from the size of its images, before anything is built.

An unrolled image has as many input nodes as it has pixels times channels, so the first layer nearly always holds
most of the weights: 224×224 pixels into 512 nodes are 25.7 million. A convolution's weights do not grow with the
image. These counts are exact for the networks that are trained; tests hold the two together.
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
    """One layer of a network; the input layer computes nothing and stores nothing."""

    name: str
    nodes: int
    parameters: int
    """Weights and biases."""
    multiply_adds: int
    """For one image: one a weight, at each position."""
    kept: int
    """Numbers of each image that a training step keeps until the gradient is known; of a dense layer, its nodes."""


@dataclass(frozen=True)
class Budget:
    """What one network holds and costs."""

    layers: tuple[Layer, ...]
    members: int
    """Networks in the ensemble; everything here is counted for one of them."""
    batch: int | None
    """Images a training step; None where the network is not trained in steps."""
    parameters: int
    multiply_adds: int
    """For the prediction of one image; a training step costs about three times as many an image."""
    model_bytes: int
    """The parameters alone, in float32."""
    training_bytes: int | None
    """Weights, gradients, Adam's two moments, and what one batch keeps of its activations, in float32."""


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


def equal_width(n_inputs: int, n_classes: int, *, depth: int, taper: float, parameters: int) -> int:
    """Find the width of the first hidden layer at which a network holds as many parameters as another.

    Widths are whole, so it is the largest that holds no more; the next would add about `n_inputs` parameters.

    Raises
    ------
    OptionError
        So many layers hold more parameters at the narrowest, or a setting is out of range.

    Example
    -------
    >>> tapered = count_parameters(node_counts(784, (256, 64, 16), n_classes=2))
    >>> width = equal_width(784, 2, depth=3, taper=1, parameters=tapered)
    >>> width, count_parameters(node_counts(784, (width,) * 3, n_classes=2)), tapered
    (187, 217295, 218465)
    """

    def held(width: int) -> int:
        return count_parameters(node_counts(n_inputs, tapered_widths(width, depth, taper), n_classes))

    if held(NARROWEST) > parameters:
        raise OptionError(
            found=f"width=equal with depth={depth}.",
            needed=f"{parameters:,} parameters, which so many layers exceed even with {NARROWEST} nodes each.",
            do="Lower depth.",
        )
    below, above = NARROWEST, max(NARROWEST + 1, parameters)
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (middle, above) if held(middle) <= parameters else (below, middle)
    return below


def training_bytes(nodes: Sequence[int], batch: int) -> int:
    """Bytes to train one dense network: weights, gradients, Adam's moments, and a batch of every node's value."""
    return BYTES_PER_NUMBER * (TRAINING_COPIES * count_parameters(nodes) + batch * sum(nodes))


def dense_layers(image_shape: Sequence[int], hidden: Sequence[int], n_classes: int = 2) -> tuple[Layer, ...]:
    """Plan a dense network on the unrolled image, from its input nodes to its output.

    Raises
    ------
    OptionError
        A size or a width below 1, or fewer than two classes.

    Example
    -------
    >>> [layer.parameters for layer in dense_layers((28, 28), (64,))]
    [0, 50240, 65]
    """
    _require_sizes((*image_shape, *hidden), n_classes)
    nodes = node_counts(math.prod(image_shape), hidden, n_classes)
    names = [*(f"hidden {i + 1}" for i in range(len(hidden))), "output"]
    computed = (
        Layer(name, after, count_parameters((before, after)), before * after, after)
        for name, (before, after) in zip(names, pairwise(nodes), strict=True)
    )
    return (Layer("input", nodes[0], 0, 0, nodes[0]), *computed)


def count(layers: Sequence[Layer], *, members: int = 1, batch: int | None = 64) -> Budget:
    """Add up what a network of these layers holds and costs.

    Raises
    ------
    OptionError
        `batch` below 1.
    """
    _require_sizes(() if batch is None else (batch,))
    parameters = sum(layer.parameters for layer in layers)
    training = TRAINING_COPIES * parameters + (batch or 0) * sum(layer.kept for layer in layers)
    return Budget(
        layers=tuple(layers),
        members=members,
        batch=batch,
        parameters=parameters,
        multiply_adds=sum(layer.multiply_adds for layer in layers),
        model_bytes=BYTES_PER_NUMBER * parameters,
        training_bytes=None if batch is None else BYTES_PER_NUMBER * training,
    )


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
    return count(dense_layers(image_shape, hidden, n_classes), batch=batch)


def _require_sizes(sizes: Sequence[int], n_classes: int = 2) -> None:
    if n_classes < 2 or min(sizes, default=1) < 1:
        raise OptionError(
            found=f"Sizes {', '.join(map(str, sizes))} and {n_classes} classes.",
            needed="Every size is 1 or more, and classes are 2 or more.",
            do="Correct the size.",
        )


SIDES = (28, 64, 128, 224, 512)
"""Image sides, in pixels, between which growth is shown: from MedMNIST's to a radiograph's."""


def with_side(image_shape: Sequence[int], side: int) -> tuple[int, ...]:
    """Give an image `side` pixels along every axis, and the channels that it has.

    Example
    -------
    >>> with_side((28, 28), 224), with_side((48, 64, 3), 28), with_side((16, 64, 64, 1), 32)
    ((224, 224), (28, 28, 3), (32, 32, 32, 1))
    """
    grid = (side,) * len(split_channels(image_shape)[0])
    return grid if len(image_shape) == 2 else (*grid, image_shape[-1])


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
        `width` below 2, `depth` below 1, more stages than the image can be halved, or no image or classes.

    Example
    -------
    >>> [(layer.size, layer.channels) for layer in convolution_layers((28, 28))[1:7:2]]
    [((28, 28), 16), ((14, 14), 32), ((7, 7), 64)]
    """
    if width < NARROWEST or (depth is not None and depth < 1):
        raise OptionError(
            found=f"width={width}, depth={depth}.", needed="width is 2 or more, depth 1 or more.", do="Raise it."
        )
    _require_sizes(image_shape, n_classes)
    grid, channels = split_channels(image_shape)
    kernel, stride = _first_window(grid)
    stages = _halvings(tuple((size - by) // by + 1 for size, by in zip(grid, stride, strict=True)), depth)
    one = (1,) * len(grid)
    n_inputs = math.prod(image_shape)
    layers = [ConvolutionLayer("input", n_inputs, 0, 0, n_inputs, grid, channels, one, one, one)]
    for stage, size in enumerate(stages):
        after = max(NARROWEST, width // 2 ** (len(stages) - 1 - stage))
        halving = tuple(min(2, n) for n in size) if stage < len(stages) - 1 else one
        for pool in (one, halving):
            layers.append(_convolution(len(layers), layers[-1].channels, after, kernel, stride, size, pool))
            kernel, stride = _window(layers[-1].size), one
    last, outputs = layers[-1].channels, 1 if n_classes == 2 else n_classes
    weights, kept = 2 * last * outputs, 3 * last  # means and largest values side by side, and the latter once more
    return (*layers, ConvolutionLayer("output", outputs, weights + outputs, weights, kept, one, outputs, one, one, one))


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
    nodes = math.prod(given) * after
    return ConvolutionLayer(
        name=f"convolution {number}",
        nodes=nodes,
        parameters=weights + after,
        multiply_adds=math.prod(size) * weights,
        # The sums and their normalised values; after pooling its values too, and 8 bytes each to say where they were.
        kept=2 * math.prod(size) * after + (3 * nodes if max(pool) > 1 else 0),
        size=given,
        channels=after,
        kernel=kernel,
        stride=stride,
        pool=pool,
    )


def parse_image_shape(text: str) -> tuple[int, ...]:
    """Read an image's size as people write it: height × width, × channels where there are several.

    A volume has four numbers, slices first and channels last, so that it is never taken for a picture of many channels.

    Example
    -------
    >>> parse_image_shape("28x28x3"), parse_image_shape("64x64x64x1")
    ((28, 28, 3), (64, 64, 64, 1))
    """
    sizes = _whole_numbers(text, "[x×]")
    if sizes is None or len(sizes) not in (2, 3, 4):
        raise OptionError(
            found=f"Image size '{text}'.",
            needed="Height x width, and x channels where there are several; of a volume slices x both x channels.",
            do="Write it like 224x224 or 28x28x3, a grey volume like 64x64x64x1.",
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
