"""Convolutional networks: trained one after another, each normalised by its batches, kept as plain arrays.

On a CPU a convolution already fills its core, and one call for several networks (grouped channels) is no faster; so a
network is trained for itself and ends with the same numbers, alone or among others. While it learns, every
convolution is followed by batch normalisation; what is kept, and what its best weights are chosen on, is the network
with that normalisation folded into its weights.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int, Shaped
from torch import Tensor
from torch.nn import functional

from medladder.architecture import ConvolutionLayer, convolution_layers
from medladder.rungs.dense import log_loss, probabilities
from medladder.rungs.draws import Draw, Sample, evenly, may_learn
from medladder.rungs.ensembles import ConvolutionalEnsemble, Network, weight_shapes
from medladder.rungs.pixels import Pixels, unrolled
from medladder.rungs.recipe import ConvolutionRecipe
from medladder.rungs.training import (
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
from medladder.rungs.variation import vary

STEPS = 300
"""Fewest steps of a training: with few rows, many passes over them."""

EPOCHS = 8
"""Fewest passes over the rows: with many rows, more steps."""

MEMORY = 0.9
"""Share that the running mean and variance of a channel keep at each step, once there were ten."""

NORMALISED_BY = 2048
"""Rows, at most, that say where each channel lies: an image has thousands of values a channel."""

FIRST_LOOK = 1 / 3
"""Share of the steps after which the held-out part is looked at: at a high learning rate nothing good is kept."""

POSITIONS_AT_ONCE = 2**18
"""Positions, pixels or voxels, that are asked about at once; fewer rows for larger images."""

_EPSILON = 1e-5

_CONVOLVE = {2: functional.conv2d, 3: functional.conv3d}
_LARGEST = {2: functional.max_pool2d, 3: functional.max_pool3d}
_DENSE_IN_CHANNELS = {4: torch.channels_last, 5: torch.channels_last_3d}


def pace(n_rows: int, recipe: ConvolutionRecipe) -> Pace:
    """Fit batch and passes to the rows that may be learned from: the more of `EPOCHS` passes and `STEPS` steps."""
    batch = recipe.batch or (32 if n_rows < 2_000 else 64)
    return set_pace(n_rows, batch, recipe.epochs, least_epochs=EPOCHS, least_steps=STEPS)


def train_ensembles(
    images: Shaped[np.ndarray, "image ..."],
    samples: Sequence[Sample],
    recipe: ConvolutionRecipe,
    device: str = "cpu",
) -> list[ConvolutionalEnsemble]:
    """Train `recipe.members` networks a sample, one after another; one ensemble a sample."""
    return _ensembles(images, samples, recipe, device, is_trained=True)


def start_ensembles(
    images: Shaped[np.ndarray, "image ..."],
    samples: Sequence[Sample],
    recipe: ConvolutionRecipe,
    device: str = "cpu",
) -> list[ConvolutionalEnsemble]:
    """The networks that `train_ensembles` starts from."""
    return _ensembles(images, samples, recipe, device, is_trained=False)


def _ensembles(
    images: Shaped[np.ndarray, "image ..."],
    samples: Sequence[Sample],
    recipe: ConvolutionRecipe,
    device: str,
    *,
    is_trained: bool,
) -> list[ConvolutionalEnsemble]:
    if not samples:
        return []
    pixels = Pixels(
        images,
        [sample.draw for sample in samples],
        is_standardised=recipe.standardise,
        shift=0,
        device=find_device(device),
    )
    ensembles = []
    for sample in samples:
        layers = convolution_layers(
            images.shape[1:], width=recipe.width, depth=recipe.depth, n_classes=len(sample.class_weights)
        )
        seen = _Seen(pixels, sample.draw, layers[0])
        steps = pace(int(may_learn(sample.draw.fold).sum()), recipe)
        members = members_of(sample, recipe.members, pixels.device)
        made = [
            _train(seen, member, layers, steps, recipe) if is_trained else _untrained(seen, member, layers)
            for member in members
        ]
        networks, epochs = zip(*made, strict=True)
        ensembles.append(
            ConvolutionalEnsemble(layers, pixels.is_standardised, seen.centre, seen.scale, networks, epochs)
        )
    return ensembles


def predict(
    ensemble: ConvolutionalEnsemble, images: Shaped[np.ndarray, "image ..."], members: Sequence[int] | None = None
) -> Float64[np.ndarray, "image class_"]:
    """Mean probability over the members (all unless named).

    A block always has as many rows, filled up with empty ones, so that a row is computed alike, whoever stands
    beside it.
    """
    asked = ensemble.members if members is None else [ensemble.members[member] for member in members]
    proba = np.zeros((len(images), ensemble.layers[-1].channels))
    for block, seen in _blocks(ensemble, images):
        for network in asked:
            with torch.inference_mode():
                vote = probabilities(_logits(ensemble.layers, _as_tensors(network), seen).double())
            proba[block] += vote.numpy()[: len(proba[block])] / len(asked)
    return np.hstack([1 - proba, proba]) if proba.shape[1] == 1 else proba


def layer_values(
    ensemble: ConvolutionalEnsemble, images: Shaped[np.ndarray, "image ..."], layer: int
) -> Float32[np.ndarray, "image member value"]:
    """What convolution `layer`, counted from 1, of each member passes on; of the output, the last, its sums.

    Of a convolution's maps, the mean of each and then the largest value of each: what the output sees of the last.
    """
    is_output = layer == len(ensemble.layers) - 1
    size = ensemble.layers[layer].channels * (1 if is_output else 2)
    values = np.empty((len(images), len(ensemble.members), size), dtype=np.float32)
    for block, seen in _blocks(ensemble, images):
        for place, network in enumerate(ensemble.members):
            weights = _as_tensors(network)
            with torch.inference_mode():
                if is_output:
                    found = _logits(ensemble.layers, weights, seen)
                else:
                    found = _summed(_maps(ensemble.layers[1 : layer + 1], weights[:layer], seen))
            values[block, place] = found.numpy()[: len(values[block])]
    return values


def _blocks(
    ensemble: ConvolutionalEnsemble, images: Shaped[np.ndarray, "image ..."]
) -> Iterator[tuple[slice, Float32[Tensor, "row channel ..."]]]:
    """Where some images stand, and what a network sees of them, filled up with empty rows."""
    rows = min(32, _rows_at_once(ensemble.layers))
    for start in range(0, len(images), rows):
        block = unrolled(images[start : start + rows], ensemble.is_standardised)
        filled = np.zeros((rows, block.shape[1]), dtype=block.dtype)
        filled[: len(block)] = block
        seen = see(torch.from_numpy(filled), ensemble.layers[0], ensemble.centre, ensemble.scale)
        yield slice(start, start + rows), seen


def _as_tensors(network: Network) -> list[tuple[Tensor, Tensor]]:
    pairs = zip(network.weights, network.biases, strict=True)
    return [(torch.from_numpy(weight), torch.from_numpy(bias)) for weight, bias in pairs]


class _Seen:
    """What the networks of one draw see of its rows."""

    def __init__(self, pixels: Pixels, draw: Draw, layer: ConvolutionLayer) -> None:
        self._pixels, self._rows, self._layer = pixels, draw.rows, layer
        self.are_images, self.device = pixels.are_images, pixels.device
        rows = evenly(draw.rows[may_learn(draw.fold)], NORMALISED_BY)
        total, squares = np.zeros(layer.channels), np.zeros(layer.channels)
        for block in self._blocks(rows):
            total += block.sum(dim=0).cpu().numpy()
        positions = len(rows) * math.prod(layer.size)
        self.centre = total / positions
        for block in self._blocks(rows):
            squares += ((block - torch.from_numpy(self.centre).to(block.device)) ** 2).sum(dim=0).cpu().numpy()
        self.scale = np.sqrt(np.where(squares > 0, squares / positions, 1.0))

    def _blocks(self, rows: Int[np.ndarray, " row"]) -> Iterator[Float64[Tensor, "position channel"]]:
        at_once = max(1, POSITIONS_AT_ONCE // math.prod(self._layer.size))
        for start in range(0, len(rows), at_once):
            yield self._pixels.read(rows[start : start + at_once]).view(-1, self._layer.channels).double()

    def take(self, places: Int[np.ndarray, " row"]) -> Float32[Tensor, "row channel ..."]:
        """Rows of the draw, by their place in it."""
        return see(self._pixels.read(self._rows[places]), self._layer, self.centre, self.scale)


def see(
    pixels: Shaped[Tensor, "row input"],
    layer: ConvolutionLayer,
    centre: Float64[np.ndarray, " channel"],
    scale: Float64[np.ndarray, " channel"],
) -> Float32[Tensor, "row channel ..."]:
    """Normalise each channel and put the channels before the axes that a kernel moves along."""
    moved, gain = (torch.from_numpy(array).to(pixels) for array in (centre, 1 / scale))
    seen = (pixels.view(len(pixels), *layer.size, layer.channels) - moved).mul_(gain)
    return seen.to(torch.float32).movedim(-1, 1)


Weights = Sequence[tuple[Float32[Tensor, "after before ..."], Float32[Tensor, " after"]]]
"""Weights and biases, layer by layer, the output last."""


def _logits(
    layers: Sequence[ConvolutionLayer], weights: Weights, seen: Float32[Tensor, "row channel ..."]
) -> Float32[Tensor, "row output"]:
    """Ask one network."""
    return answered(_maps(layers[1:-1], weights[:-1], seen), *weights[-1])


def _maps(
    layers: Sequence[ConvolutionLayer], weights: Weights, seen: Float32[Tensor, "row channel ..."]
) -> Float32[Tensor, "row channel ..."]:
    """What the last of these convolutions of one network passes on."""
    for layer, (weight, bias) in zip(layers, weights, strict=True):
        seen = pooled(convolved(seen, weight, bias, layer), layer).relu_()
    return seen


def convolved(
    seen: Float32[Tensor, "row before ..."],
    weight: Float32[Tensor, "after before ..."],
    bias: Float32[Tensor, " after"] | None,
    layer: ConvolutionLayer,
) -> Float32[Tensor, "row after ..."]:
    """What a convolution adds up at every position; beyond the rim stand zeros."""
    rim = tuple(int(width > 1) for width in layer.kernel)
    return _CONVOLVE[len(layer.size)](seen, weight, bias, layer.stride, rim)


def pooled(seen: Float32[Tensor, "row channel ..."], layer: ConvolutionLayer) -> Float32[Tensor, "row channel ..."]:
    """The largest of the neighbours that a layer pools."""
    return _LARGEST[len(layer.size)](seen, layer.pool) if max(layer.pool) > 1 else seen


def answered(
    seen: Float32[Tensor, "row channel ..."], weight: Float32[Tensor, "output sum"], bias: Float32[Tensor, " output"]
) -> Float32[Tensor, "row output"]:
    """The output's sums from the last convolution's maps."""
    return functional.linear(_summed(seen), weight, bias)


def _summed(seen: Float32[Tensor, "row channel ..."]) -> Float32[Tensor, "row sum"]:
    """The mean says how much of a feature an image holds, the largest value whether it holds any."""
    values = seen.flatten(2)
    return torch.cat([values.mean(dim=2), values.amax(dim=2)], dim=1)


def _rows_at_once(layers: Sequence[ConvolutionLayer]) -> int:
    return max(1, POSITIONS_AT_ONCE // math.prod(layers[0].size))


class _Learner:
    """A network while it learns: each convolution is followed by batch normalisation instead of a bias."""

    def __init__(self, layers: Sequence[ConvolutionLayer], rng: np.random.Generator, device: torch.device) -> None:
        self.layers = layers
        self.weights = [_start(shape, rng, device) for shape in weight_shapes(layers)]
        channels = [layer.channels for layer in layers[1:-1]]
        self.gains = [torch.ones(n, device=device, requires_grad=True) for n in channels]
        self.biases = [torch.zeros(n, device=device, requires_grad=True) for n in (*channels, layers[-1].channels)]
        self.means = [torch.zeros(n, device=device) for n in channels]
        self.variances = [torch.ones(n, device=device) for n in channels]

    def logits(self, seen: Float32[Tensor, "row channel ..."], step: int) -> Float32[Tensor, "row output"]:
        """Ask while learning: each channel is normalised by the batch, whose mean and variance are remembered."""
        share = max(1 - MEMORY, 1 / step)  # a plain mean at first, so that the start leaves no trace
        for index, layer in enumerate(self.layers[1:-1]):
            seen = convolved(seen, self.weights[index], None, layer)
            seen = functional.batch_norm(
                seen,
                self.means[index],
                self.variances[index],
                self.gains[index],
                self.biases[index],
                training=True,
                momentum=share,
                eps=_EPSILON,
            )
            seen = pooled(seen, layer).relu_()
        return answered(seen, self.weights[-1], self.biases[-1])

    @torch.no_grad()
    def fold(self) -> Float32[Tensor, " parameter"]:
        """The weights and biases that give the same answers by the means and variances remembered."""
        flat: list[Tensor] = []
        for weight, gain, bias, mean, variance in zip(
            self.weights[:-1], self.gains, self.biases[:-1], self.means, self.variances, strict=True
        ):
            factor = gain / (variance + _EPSILON).sqrt()
            flat += [(weight * factor.view(-1, *(1,) * (weight.ndim - 1))).flatten(), bias - mean * factor]
        return torch.cat([*flat, self.weights[-1].flatten(), self.biases[-1]])

    def see(self, folded: Float32[Tensor, " parameter"]) -> list[tuple[Tensor, Tensor]]:
        """See a row of `fold` as weights and biases, without copying."""
        sizes = [size for w, b in zip(self.weights, self.biases, strict=True) for size in (w.numel(), b.numel())]
        pieces = iter(torch.split(folded, sizes))
        return [(next(pieces).view(weight.shape), next(pieces)) for weight in self.weights]


def _start(
    shape: tuple[int, ...], rng: np.random.Generator, device: torch.device
) -> Float32[Tensor, "after before ..."]:
    """Draw first weights that pass a signal on with its size.

    Source
    ------
    He et al. 2015, doi:10.1109/ICCV.2015.123.
    """
    normal = rng.standard_normal(shape, dtype=np.float32) * np.float32(math.sqrt(2 / math.prod(shape[1:])))
    weight = torch.from_numpy(normal).to(device)
    if weight.ndim in _DENSE_IN_CHANNELS:
        weight = weight.contiguous(memory_format=_DENSE_IN_CHANNELS[weight.ndim])
    return weight.requires_grad_()


def _train(
    seen: _Seen, member: Member, layers: Sequence[ConvolutionLayer], steps: Pace, recipe: ConvolutionRecipe
) -> tuple[Network, float]:
    """Train one network; with it, the passes over the rows after which it was kept."""
    learner = _Learner(layers, member.rng(START), seen.device)
    shifting = [*learner.gains, *learner.biases]
    optimiser = Optimiser([(learner.weights, recipe.weight_decay), (shifting, 0.0)])
    kept, moves = Kept(learner.fold()[None]), member.rng(MOVES)

    @torch.inference_mode()
    def losses_of(_network: int, cases: Cases) -> Float32[Tensor, " row"]:
        return log_loss(_logits(layers, learner.see(folded), seen.take(cases.places)), cases.targets)

    for step, which in enumerate(member.order(steps.batch, steps.steps), start=1):
        cases = member.learn[which]
        rows = seen.take(cases.places)
        if seen.are_images:
            rows = vary(rows, recipe, moves)
        rows = rows.contiguous(memory_format=_DENSE_IN_CHANNELS[rows.ndim])
        losses = log_loss(learner.logits(rows, step), cases.targets)
        loss = losses @ cases.weights / steps.batch
        for tensor in (*learner.weights, *shifting):
            tensor.grad = None
        torch.autograd.backward(loss)
        optimiser.step(recipe.learning_rate * one_cycle(step / steps.steps))
        is_last = step == steps.steps
        if is_last or (step % (2 * steps.check_every) == 0 and step > FIRST_LOOK * steps.steps):
            folded = learner.fold()
            held_out = held_out_losses([member], losses_of, _rows_at_once(layers))
            kept.look(folded[None], held_out, step, is_last=is_last)
    return _network(learner, kept.parameters[0]), kept.step.item() / steps.steps_per_epoch


def _untrained(seen: _Seen, member: Member, layers: Sequence[ConvolutionLayer]) -> tuple[Network, float]:
    """The network that `_train` starts from."""
    learner = _Learner(layers, member.rng(START), seen.device)
    return _network(learner, learner.fold()), 0.0


def _network(learner: _Learner, folded: Float32[Tensor, " parameter"]) -> Network:
    arrays = [(weight.cpu().numpy(), bias.cpu().numpy()) for weight, bias in learner.see(folded)]
    weights, biases = zip(*arrays, strict=True)
    return Network(weights, biases)
