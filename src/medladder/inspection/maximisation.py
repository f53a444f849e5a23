"""What excites a unit most: an input drawn for it from noise, and the given images or patches of them that do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from scipy import ndimage
from torch import Tensor

from ..errors import InputError
from ..rungs.filters import POSITIONS_AT_ONCE
from .layered import LayeredNetwork

STARTS, STEPS = 3, 32
"""Beginnings in noise, and steps from each; 100 steps raise the median sum of a layer by 2 % at most."""

FEWEST_STEPS, STEPPED_POSITIONS = 8, 2**20
"""For larger images steps times positions are held to this, but for so many steps: 20 at 224×224, 8 at 64×64×64."""

SMOOTHNESS = (1 / 32, 1 / 16)
"""Deviation of the Gaussian that gradients are smoothed with: so much of the image's side, at most so much of that of
what a unit sees. It halves waves of 6 cycles an image side, and leaves kernels of 3 pixels as they are."""

_NOISE = 0xE8C  # keeps the noise apart from what else a seed is used for
_DENSE_ROWS = 4096
_LEAST = 1e-30  # of a gradient that is there


@dataclass(frozen=True, eq=False)
class Excited:
    """What excites some units of one layer most."""

    images: Float32[np.ndarray, "unit *axis channel"]
    """The best start's input, as the network sees it; grey where a unit does not look."""
    sums: Float[np.ndarray, " unit"]
    """What the unit adds up there, before its activation."""
    reached_by_images: Float[np.ndarray, " unit"]
    """The most that the unit adds up in any given image, of a convolution at any position."""
    agreement: Float[np.ndarray, " unit"]
    """Mean correlation about grey, -1 to 1, of the pictures that the starts lead to; 1: one picture, NaN: one start."""


def excite(
    network: LayeredNetwork,
    layer: int,
    units: Sequence[int],
    seen: Float32[Tensor, "row ..."],
    *,
    seed: int = 0,
    starts: int = STARTS,
    steps: int | None = None,
) -> Excited:
    """Draw for each unit, from noise, a picture that raises its sum; of a convolution, the sum at the map's middle.

    Three rules keep it a picture. Its values lie as far from grey (the mean of the images in `seen`; root mean square)
    as theirs do. Where the network gives each image mean 0, it has mean 0, if the unit sees the whole of it. And it is
    smooth: each step goes 2 / (step + 2) of the way to the gradient after a Gaussian blur (`SMOOTHNESS`). It comes to
    rest where picture and blurred gradient are one: where nothing near has a higher sum, once fine detail costs
    contrast as the blur takes it away. For a dense first layer that is the weights, blurred, after one step.

    The contrast is that of real images, but all of it serves one unit: expect sums far above those of any image, except
    of a first convolution, which a glaring patch of an image excites as much. Starts that disagree may mean a unit that
    answers to the same thing at any place, and not only one that is nothing. A unit whose gradient is 0 at a start,
    such as one behind dead units or saturated sigmoids, keeps the noise.

    Cost: `starts` × `steps` × units gradients, each of one image, however many images are given. `steps` of None are
    `STEPS`, or fewer in large images. 8 units take .05 s a layer in the default `dnn` at 28×28 on one core, in the
    default `cnn` .1 to .6 s at 28×28 and 5 s at most in volumes up to 64×64×64. Memory is bounded as in prediction.

    Raises
    ------
    InputError
        A layer or unit that the network has not, no images, images of another network or of one grey, or fewer than
        one start or step.

    Source
    ------
    Activation maximisation: Erhan et al. 2009, Visualizing higher-layer features of a deep network, technical report
    1341, Université de Montréal; there with the norm alone. Steps: Frank & Wolfe 1956, doi:10.1002/nav.3800030109.
    """
    _require(network, layer, units, seen)
    if steps is None:
        steps = min(STEPS, max(FEWEST_STEPS, STEPPED_POSITIONS // math.prod(network.grid)))
    if starts < 1 or steps < 1:
        raise InputError(
            found=f"starts={starts}, steps={steps}.", needed="1 or more of each.", do="Raise the one that is lower."
        )
    canvas = _Canvas.of(network, layer, seen)
    noise = [np.random.default_rng([seed, _NOISE, layer, unit, start]) for unit in units for start in range(starts)]
    begun = np.stack([rng.standard_normal(canvas.shape, dtype=np.float32) for rng in noise])
    of_unit = torch.tensor(units).repeat_interleave(starts)
    away = canvas.allowed(torch.from_numpy(begun))
    sums = torch.empty(len(away))
    at_once = _rows_at_once(network)
    for first in range(0, len(away), at_once):
        rows = slice(first, first + at_once)
        away[rows], sums[rows] = _climb(network, layer, of_unit[rows], canvas, away[rows], steps)
    by_start = sums.view(len(units), starts)
    best = by_start.argmax(dim=1) + starts * torch.arange(len(units))
    return Excited(
        network.to_image(canvas.painted(away[best])),
        sums[best].double().numpy(),
        highest_sums(network, layer, seen)[:, list(units)].amax(dim=0).double().numpy(),
        _agreement(away.reshape(len(units), starts, -1).double().numpy()),
    )


@dataclass(frozen=True, eq=False)
class _Canvas:
    """Where a unit looks, as values of (row, *axis, channel), and what may be painted there."""

    grey: Float32[Tensor, "*axis channel"]
    window: tuple[slice, ...]
    length: float
    blurs: tuple[Float32[Tensor, "side side"], ...]
    level: Float32[Tensor, " channel"] | None
    """What every allowed picture is at right angles to, once a position, so that its mean stays; None: nothing."""
    is_dense: bool

    @classmethod
    def of(cls, network: LayeredNetwork, layer: int, seen: Float32[Tensor, "row ..."]) -> _Canvas:
        """Measure grey and contrast on the given images."""
        is_dense = network.convolutions is None
        images = seen.reshape(len(seen), *network.grid, network.channels) if is_dense else seen.movedim(1, -1)
        grey = images.double().flatten(0, -2).mean(dim=0)
        contrast = math.sqrt(float((images.double() - grey).square().mean()))
        if not contrast > 0:
            raise InputError(
                found=f"{len(seen)} images of one grey.",
                needed="Images that have a contrast, which the drawn ones are given.",
                do="Give images the network was trained on.",
            )
        window = patch_slices(network, layer)
        sides = [one.stop - one.start for one in window]
        blurs = tuple(map(_blur, network.grid, sides))
        level = None
        if network.is_standardised and sides == list(network.grid):
            scale = np.ones(network.channels) if network.scale is None else network.scale
            level = torch.from_numpy(scale / np.linalg.norm(scale)).float()
        size = math.prod(sides) * network.channels
        whole = grey.float().expand(*network.grid, network.channels)
        return cls(whole, window, contrast * math.sqrt(size), blurs, level, is_dense)

    @property
    def shape(self) -> tuple[int, ...]:
        """Values of a patch."""
        return (*(len(blur) for blur in self.blurs), self.grey.shape[-1])

    def allowed(self, patches: Float32[Tensor, "row *axis channel"]) -> Float32[Tensor, "row *axis channel"]:
        """Smooth patches, and give them mean and contrast; one of nothing stays nothing."""
        patches = patches / patches.flatten(1).abs().amax(dim=1).clamp_min(_LEAST).view(-1, *(1,) * len(self.shape))
        for axis, blur in enumerate(self.blurs, start=1):
            patches = torch.tensordot(patches, blur, dims=([axis], [0])).movedim(-1, axis)
        if self.level is not None:
            axes = tuple(range(1, patches.ndim - 1))
            shade = (patches @ self.level).mean(dim=axes, keepdim=True)
            patches = patches - shade.unsqueeze(-1) * self.level
        return self.stretched(patches)

    def stretched(self, patches: Float32[Tensor, "row *axis channel"]) -> Float32[Tensor, "row *axis channel"]:
        """Give patches the contrast of the images."""
        length = patches.flatten(1).norm(dim=1).view(-1, *(1,) * len(self.shape))
        return patches * torch.where(length > _LEAST, self.length / length.clamp_min(_LEAST), 0)

    def painted(self, patches: Float32[Tensor, "row *axis channel"]) -> Float32[Tensor, "row ..."]:
        """Patches on grey images, as the network sees them."""
        images = self.grey.repeat(len(patches), *(1,) * self.grey.ndim)
        images[(slice(None), *self.window)] += patches
        return images.flatten(1) if self.is_dense else images.movedim(-1, 1).contiguous()


def _climb(
    network: LayeredNetwork,
    layer: int,
    units: Int[Tensor, " row"],
    canvas: _Canvas,
    away: Float32[Tensor, "row *axis channel"],
    steps: int,
) -> tuple[Float32[Tensor, "row *axis channel"], Float32[Tensor, " row"]]:
    """Move the row of each unit towards its smoothed gradient, step by step; with it, the sum reached."""
    rows = torch.arange(len(away))
    for step in range(steps + 1):
        away = away.requires_grad_()
        found = network.sums(canvas.painted(away), layer)
        middle = found.flatten(2)[rows, units, _middle(found.shape[2:])] if found.ndim > 2 else found[rows, units]
        if step == steps:
            break
        (gradient,) = torch.autograd.grad(middle.sum(), away)
        away, goal = away.detach(), canvas.allowed(gradient)
        share = torch.where(goal.flatten(1).any(dim=1), 2 / (step + 2), 0.0).view(-1, *(1,) * len(canvas.shape))
        away = canvas.stretched((1 - share) * away + share * goal)
    return away.detach(), middle.detach()


def _middle(sides: Sequence[int]) -> int:
    return int(np.ravel_multi_index([side // 2 for side in sides], tuple(sides)))


def _blur(image_side: int, side: int) -> Float32[Tensor, "side side"]:
    """A Gaussian blur along one axis of a patch, mirrored at the rim: as a matrix it is symmetric."""
    deviation = min(SMOOTHNESS[0] * image_side, SMOOTHNESS[1] * side)
    return torch.from_numpy(ndimage.gaussian_filter1d(np.eye(side), deviation, axis=0)).float()


def _agreement(away: Float[np.ndarray, "unit start value"]) -> Float[np.ndarray, " unit"]:
    n_starts = away.shape[1]
    if n_starts < 2:
        return np.full(len(away), np.nan)
    length = np.linalg.norm(away, axis=2, keepdims=True)
    alike = np.linalg.norm((away / np.where(length > 0, length, 1)).sum(axis=1), axis=1) ** 2
    return np.asarray((alike - n_starts) / (n_starts * (n_starts - 1)))


def highest_sums(network: LayeredNetwork, layer: int, seen: Float32[Tensor, "row ..."]) -> Float32[Tensor, "row unit"]:
    """What each unit adds up in each image, of a convolution at its best position."""
    found = torch.empty((len(seen), network.units[layer]))
    at_once = _rows_at_once(network)
    with torch.inference_mode():
        for first in range(0, len(seen), at_once):
            rows = slice(first, first + at_once)
            found[rows] = (
                network.sums(seen[rows], layer).flatten(2).amax(dim=2)
                if _has_map(network, layer)
                else (network.sums(seen[rows], layer))
            )
    return found


def most_exciting_images(
    network: LayeredNetwork, layer: int, units: Sequence[int], seen: Float32[Tensor, "row ..."], n: int = 4
) -> Int[np.ndarray, "unit n"]:
    """The given images, by their place, in which each unit adds up most, the best first; at most as many as there are.

    Raises
    ------
    InputError
        A layer or unit that the network has not, no images, or images of another network.
    """
    _require(network, layer, units, seen)
    found = highest_sums(network, layer, seen)[:, list(units)].numpy()
    return np.ascontiguousarray(np.argsort(-found, axis=0, kind="stable")[:n].T)


def where_most_exciting(
    network: LayeredNetwork, layer: int, unit: int, image: Float32[Tensor, "..."]
) -> tuple[int, ...]:
    """Position on its map at which a channel of a convolution adds up most in one image as seen; () if no convolution.

    Raises
    ------
    InputError
        A layer or unit that the network has not, or an image of another network.
    """
    _require(network, layer, [unit], image[None])
    if not _has_map(network, layer):
        return ()
    with torch.inference_mode():
        sums = network.sums(image[None], layer)[0, unit]
    return tuple(int(at) for at in np.unravel_index(int(sums.argmax()), tuple(sums.shape)))


def patch_of(network: LayeredNetwork, layer: int, unit: int, image: Float32[Tensor, "..."]) -> tuple[slice, ...]:
    """The patch of one image as seen, along its axes, that excites a unit most: the whole of it if no convolution.

    Raises
    ------
    InputError
        A layer or unit that the network has not, or an image of another network.
    """
    return patch_slices(network, layer, where_most_exciting(network, layer, unit, image) or None)


def receptive_field(network: LayeredNetwork, layer: int) -> tuple[int, ...]:
    """Pixels along each axis that one position of a layer depends on; near the rim fewer, and it may exceed the image.

    Strides, kernels and pools of all layers before count. Of a dense layer, and of the output, the whole image.

    Raises
    ------
    InputError
        A layer that the network has not.
    """
    _require_layer(network, layer)
    if network.convolutions is None or layer == len(network.weights) - 1:
        return network.grid
    side, apart = [1] * len(network.grid), [1] * len(network.grid)
    for place, one in enumerate(network.convolutions[1 : layer + 2]):
        for axis in range(len(side)):
            side[axis] += (one.kernel[axis] - 1) * apart[axis]
            apart[axis] *= one.stride[axis]
            if place < layer:
                side[axis] += (one.pool[axis] - 1) * apart[axis]
                apart[axis] *= one.pool[axis]
    return tuple(side)


def patch_slices(network: LayeredNetwork, layer: int, position: Sequence[int] | None = None) -> tuple[slice, ...]:
    """Pixels along each axis that one position of a layer depends on, within the image; None: the middle position.

    Of a dense layer, and of the output, the whole image.

    Raises
    ------
    InputError
        A layer that the network has not, or a position outside its map.
    """
    _require_layer(network, layer)
    if not _has_map(network, layer):
        return tuple(slice(0, side) for side in network.grid)
    assert network.convolutions is not None
    sizes = [network.grid]  # positions that each convolution gives, before its pool
    for before, after in pairwise(network.convolutions[: layer + 2]):
        sizes.append(tuple(map(_given, before.size, after.kernel, after.stride)))
    at = tuple(side // 2 for side in sizes[-1]) if position is None else tuple(position)
    if len(at) != len(sizes[-1]) or not all(0 <= place < side for place, side in zip(at, sizes[-1], strict=True)):
        raise InputError(
            found=f"Position {at}.",
            needed=f"One on the map of {network.names[layer]}, of {'×'.join(map(str, sizes[-1]))} positions.",
            do="Give one that is on it.",
        )
    spans = [(place, place) for place in at]
    for index in range(layer + 1, 0, -1):
        one, before = network.convolutions[index], network.convolutions[index - 1]
        spans = [
            _before(
                span, one.kernel[axis], one.stride[axis], before.size[axis], before.pool[axis], sizes[index - 1][axis]
            )
            for axis, span in enumerate(spans)
        ]
    return tuple(slice(first, last + 1) for first, last in spans)


def _given(size: int, kernel: int, stride: int) -> int:
    """Positions of a convolution, which is padded by one where its kernel is wider than one."""
    return (size + 2 * int(kernel > 1) - kernel) // stride + 1


def _before(span: tuple[int, int], kernel: int, stride: int, n_pooled: int, pool: int, n_given: int) -> tuple[int, int]:
    """What positions of a convolution see of the one before it: kernel, then pool; the padding is nobody's."""
    first = max(span[0] * stride - int(kernel > 1), 0)
    last = min(span[1] * stride - int(kernel > 1) + kernel - 1, n_pooled - 1)
    return first * pool, min(last * pool + pool - 1, n_given - 1)


def _has_map(network: LayeredNetwork, layer: int) -> bool:
    return network.convolutions is not None and layer < len(network.weights) - 1


def _rows_at_once(network: LayeredNetwork) -> int:
    if network.convolutions is None:
        return _DENSE_ROWS
    return max(1, POSITIONS_AT_ONCE // math.prod(network.grid))


def _require_layer(network: LayeredNetwork, layer: int) -> None:
    if not 0 <= layer < len(network.weights):
        raise InputError(
            found=f"Layer {layer}.",
            needed=f"0 to {len(network.weights) - 1}, as there are {', '.join(network.names)}.",
            do="Choose one of these.",
        )


def _require(network: LayeredNetwork, layer: int, units: Sequence[int], seen: Float32[Tensor, "row ..."]) -> None:
    _require_layer(network, layer)
    n_units = network.units[layer]
    if not len(units) or not all(0 <= unit < n_units for unit in units):
        raise InputError(
            found=f"Units {', '.join(map(str, units)) or 'none'} of {network.names[layer]}.",
            needed=f"One or more, each from 0 to {n_units - 1}.",
            do="Choose among these.",
        )
    if not len(seen) or tuple(seen.shape[1:]) != network.seen_shape:
        raise InputError(
            found=f"{len(seen)} images of shape {tuple(seen.shape[1:])}.",
            needed=f"One or more as this network sees them, of shape {network.seen_shape}.",
            do="Give what its method `see` makes of images.",
        )
