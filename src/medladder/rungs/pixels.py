"""Images as dense networks take them: unrolled, moved and normalised; from memory where they fit, else from the file.

Two views of a draw's images look alike to a network: the pixels themselves, or, where images are fewer than pixels,
their coordinates in an orthonormal basis of what they span. A first layer's gradients never leave that span, so
training there and mapping the weights back to pixels loses nothing, and costs by the image instead of by the pixel.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
import scipy.fft
import scipy.linalg
import torch
from jaxtyping import Float, Float32, Float64, Int, Shaped
from torch import Tensor

from medladder.rungs.draws import SMALLEST_SPREAD, Draw, evenly, in_unit_range, may_learn

STORE_BYTES = 2**29
"""Rows that would need more than this as floats are read from the file, batch by batch."""

ROWS_AT_ONCE = 512

MOVED_ROWS = 512
"""Images and their moved copies are at most this many, or the images alone: few gain by being moved, many lose."""

SPAN_GAIN = 0.7
"""The span is worth its price where it has at most this share of the axes that pixels have."""

NORMALISING_ROWS = 8192
"""Rows that centre and spread are measured on, at most; more would move them by less than 1 % of the spread."""

SPAN_AXES = 3072
"""Most axes of a span: a draw keeps twelve bytes times their square, and a fleet a handful of draws."""

SPATIAL_AXES = {3: (1, 2), 4: (1, 2), 5: (1, 2, 3)}
"""Axes along which images move, by the number of axes; vectors have none."""

_COLUMNS_AT_ONCE = 4096
_AXES_STEP = 64  # axes are filled up with zeros to a multiple of this, so that draws of almost one size share a fleet
_JITTER = 1e-9  # of the mean square, so that copies of one image leave the Gram matrix positive definite
_MOVES = 0x59A  # keeps the choice of moves apart from what else a draw's seed is used for


def unrolled(images: Shaped[np.ndarray, "image ..."], is_standardised: bool) -> Float[np.ndarray, "image input"]:
    """See images as vectors, row by row, each with mean 0 and spread 1 of its own if standardised."""
    pixels = in_unit_range(images).reshape(len(images), -1)
    if is_standardised:
        pixels -= pixels.mean(axis=1, keepdims=True)
        spread = pixels.std(axis=1, keepdims=True)
        pixels /= np.where(spread > SMALLEST_SPREAD, spread, 1)
    return pixels


class Inputs(ABC):
    """What the networks of one draw see of its rows."""

    device: torch.device
    n_inputs: int
    n_moves: int
    """Ways to move an image; the first is none."""
    first_deviation: float
    """Deviation of first weights that passes a signal on with its size."""
    centre: Float64[np.ndarray, " pixel"]
    scale: Float64[np.ndarray, " pixel"]

    @abstractmethod
    def take(self, places: Int[np.ndarray, " row"], move: int) -> Float32[Tensor, "row input"]:
        """Rows of the draw, by their place in it, moved together and normalised."""

    @abstractmethod
    def to_pixels(self, weights: Float32[np.ndarray, "input node"]) -> Float32[np.ndarray, "pixel node"]:
        """The first layer's weights, as weights of normalised pixels."""


class Pixels:
    """The images that some draws may see: standardised once, in memory, where they fit, else whenever asked for."""

    def __init__(
        self,
        images: Shaped[np.ndarray, "image ..."],
        draws: Sequence[Draw],
        *,
        is_standardised: bool,
        shift: float,
        device: torch.device,
    ) -> None:
        self._images, self._shape = images, images.shape[1:]
        self.are_images = images.ndim > 2
        self.is_standardised = is_standardised and self.are_images
        self.device = device
        self.n_inputs = math.prod(images.shape[1:])
        axes = SPATIAL_AXES.get(images.ndim, ())
        reaches = [round(shift * size) if axis in axes else 0 for axis, size in enumerate(self._shape, start=1)]
        self.offsets = list(itertools.product(*(range(-reach, reach + 1) for reach in reaches)))
        self.offsets.sort(key=lambda offset: any(offset))  # where nothing moves comes first
        self._sources: dict[int, Int[Tensor, " input"]] = {}
        self._rows = np.unique(np.concatenate([draw.rows for draw in draws]))
        self._store = self._read_all()

    def _read_all(self) -> Float[Tensor, "row input"] | None:
        kind = np.result_type(self._images.dtype if self._images.dtype.kind == "f" else np.float32, np.float32)
        if len(self._rows) * self.n_inputs * kind.itemsize > STORE_BYTES:
            return None
        store = torch.empty((len(self._rows), self.n_inputs), dtype=torch.from_numpy(np.empty(0, kind)).dtype)
        for start in range(0, len(self._rows), ROWS_AT_ONCE):
            block = self._images[self._rows[start : start + ROWS_AT_ONCE]]
            store[start : start + len(block)] = torch.from_numpy(unrolled(block, self.is_standardised))
        return store.to(self.device)

    def read(self, rows: Int[np.ndarray, " row"], move: int = 0) -> Float[Tensor, "row input"]:
        """Images by their rows, moved together; where nothing is known, the rim is repeated."""
        if self._store is None:
            block = torch.from_numpy(unrolled(self._images[rows], self.is_standardised)).to(self.device)
        else:
            block = self._store[torch.from_numpy(np.searchsorted(self._rows, rows)).to(self.device)]
        return block[:, self._source_of(move)] if move else block

    def _source_of(self, move: int) -> Int[Tensor, " input"]:
        """Where each pixel of a moved image comes from."""
        if move not in self._sources:
            moved = [
                np.clip(np.arange(size) + by, 0, size - 1)
                for by, size in zip(self.offsets[move], self._shape, strict=True)
            ]
            places = np.ravel_multi_index(np.ix_(*moved), self._shape)
            self._sources[move] = torch.from_numpy(places.ravel()).to(self.device)
        return self._sources[move]

    def blocks(self, rows: Int[np.ndarray, " row"], move: int = 0) -> Iterator[Float[Tensor, "row input"]]:
        """Images by their rows, a few at a time."""
        for start in range(0, len(rows), ROWS_AT_ONCE):
            yield self.read(rows[start : start + ROWS_AT_ONCE], move)

    def normalisation(
        self, rows: Int[np.ndarray, " row"]
    ) -> tuple[Float64[np.ndarray, " input"], Float64[np.ndarray, " input"]]:
        """Centre each input; pixels share one spread, so that a dark rim stays quiet, columns have their own."""
        rows = evenly(rows, NORMALISING_ROWS)
        centre = torch.zeros(self.n_inputs, dtype=torch.float64, device=self.device)
        for block in self.blocks(rows):
            centre += block.sum(dim=0, dtype=torch.float64) / len(rows)
        squares = torch.zeros_like(centre)
        for block in self.blocks(rows):
            away = block - centre.to(block.dtype)
            if self.are_images:
                squares += (away.ravel() @ away.ravel()).double() / self.n_inputs
            else:
                squares += (away**2).sum(dim=0, dtype=torch.float64)
        variance = squares / len(rows)
        return centre.cpu().numpy(), np.sqrt(torch.where(variance > 0, variance, 1.0).cpu().numpy())


class PixelInputs(Inputs):
    """The pixels of a draw's rows."""

    def __init__(self, pixels: Pixels, draw: Draw) -> None:
        self._pixels, self._rows, self.device = pixels, draw.rows, pixels.device
        self.n_rows = len(draw.rows)
        self.n_inputs = pixels.n_inputs
        learn = may_learn(draw.fold)
        self.n_moves = max(1, min(len(pixels.offsets), MOVED_ROWS // int(learn.sum())))
        others = np.random.default_rng([draw.seed, _MOVES]).permutation(np.arange(1, len(pixels.offsets)))
        self._moves = [0, *others[: self.n_moves - 1].tolist()]
        self.first_deviation = 1 / math.sqrt(pixels.n_inputs)
        self.centre, self.scale = pixels.normalisation(draw.rows[learn])

    @cached_property
    def _normaliser(self) -> tuple[Tensor, Tensor]:
        # In the images' own precision: a column far from zero loses its digits if it is cut to float32 too early.
        kind = self._pixels.read(self._rows[:1]).dtype
        centre, scale = (torch.from_numpy(numbers).to(self.device, kind) for numbers in (self.centre, self.scale))
        return centre, 1 / scale

    def take(self, places: Int[np.ndarray, " row"], move: int) -> Float32[Tensor, "row input"]:
        """Rows of the draw, by their place in it, moved together and normalised."""
        centre, gain = self._normaliser
        return torch.sub(self._pixels.read(self._rows[places], self._moves[move]), centre).mul_(gain).to(torch.float32)

    def to_pixels(self, weights: Float32[np.ndarray, "input node"]) -> Float32[np.ndarray, "pixel node"]:
        """The weights as they are."""
        return weights


class SpanInputs(Inputs):
    """Coordinates of a draw's rows, some of them moved, in an orthonormal basis of what they span.

    With A the rows of normalised pixels and A Aᵀ = L Lᵀ, the coordinates are L and the basis is L⁻¹A. They are
    stretched so that a step of an optimiser that gives each weight a step of one length, as Adam does, turns a node by
    as much as the same step would on pixels.
    """

    def __init__(self, seen: PixelInputs) -> None:
        self._seen, self._n_rows, self.device = seen, seen.n_rows, seen.device
        self.centre, self.scale, self.n_moves = seen.centre, seen.scale, seen.n_moves
        places = np.arange(self._n_rows)
        self._factor = _factor(torch.cat([seen.take(places, move) for move in range(self.n_moves)]).cpu().numpy())
        self._stretch = math.sqrt(seen.n_inputs / len(self._factor))
        self._signs = np.random.default_rng(len(self._factor)).choice([-1.0, 1.0], len(self._factor))
        self.first_deviation = seen.first_deviation / self._stretch
        self.n_inputs = math.ceil(len(self._factor) / _AXES_STEP) * _AXES_STEP
        coordinates = torch.zeros(len(self._factor), self.n_inputs)
        coordinates[:, : len(self._factor)] = torch.from_numpy(_mix(self._factor, self._signs) * self._stretch)
        self._coordinates = coordinates.reshape(self.n_moves, self._n_rows, self.n_inputs).to(seen.device)

    def take(self, places: Int[np.ndarray, " row"], move: int) -> Float32[Tensor, "row input"]:
        """Coordinates of rows of the draw, by their place in it, moved together."""
        return self._coordinates[move, torch.from_numpy(places)]

    def to_pixels(self, weights: Float32[np.ndarray, "input node"]) -> Float32[np.ndarray, "pixel node"]:
        """Map back: the weights times the basis."""
        on_axes = _unmix(weights[: len(self._factor)].astype(np.float64) * self._stretch, self._signs)
        return self._on_basis(on_axes)

    def project(self, weights: Float32[np.ndarray, "pixel node"]) -> Float32[np.ndarray, "pixel node"]:
        """What of the weights lies in the span: all that the images can tell apart, and all that training moves."""
        given = torch.from_numpy(weights)
        on_rows = np.concatenate([(block @ given).numpy() for _, _, block in self._blocks()]).astype(np.float64)
        return self._on_basis(scipy.linalg.solve_triangular(self._factor, on_rows, lower=True, check_finite=False))

    def _on_basis(self, on_axes: Float64[np.ndarray, "axis node"]) -> Float32[np.ndarray, "pixel node"]:
        shares = scipy.linalg.solve_triangular(self._factor, on_axes, lower=True, trans="T", check_finite=False)
        by_move = torch.from_numpy(shares.astype(np.float32)).reshape(self.n_moves, self._n_rows, -1)
        total = torch.zeros(self._seen.n_inputs, on_axes.shape[1])
        for move, places, block in self._blocks():
            total.addmm_(block.T, by_move[move, places])
        return total.numpy()

    def _blocks(self) -> Iterator[tuple[int, slice, Float32[Tensor, "row pixel"]]]:
        """The rows of normalised pixels, move by move, a few at a time; with their place in the draw."""
        for move in range(self.n_moves):
            for start in range(0, self._n_rows, ROWS_AT_ONCE):
                places = np.arange(start, min(start + ROWS_AT_ONCE, self._n_rows))
                yield move, slice(start, start + len(places)), self._seen.take(places, move).cpu()


def inputs_of(pixels: Pixels, draw: Draw, basis: str) -> Inputs:
    """Choose what the networks of a draw see.

    `basis` is "pixels", "span" (wherever images are fewer than pixels), or "auto" for the cheaper of the two. A draw
    with rows for choosing only is always seen in pixels.
    """
    seen = PixelInputs(pixels, draw)
    n_axes = seen.n_moves * seen.n_rows
    is_cheaper = n_axes <= min(SPAN_GAIN * seen.n_inputs, SPAN_AXES) and n_axes * seen.n_inputs * 4 <= STORE_BYTES
    if not may_learn(draw.fold).all():
        return seen  # rows for choosing only must not shape the basis
    if (basis == "span" and n_axes <= seen.n_inputs) or (basis == "auto" and pixels.are_images and is_cheaper):
        return SpanInputs(seen)
    return seen


def _factor(rows: Float32[np.ndarray, "row pixel"]) -> Float64[np.ndarray, "row row"]:
    """L of A Aᵀ = L Lᵀ, in double precision, a few columns of A at a time."""
    gram = np.zeros((len(rows), len(rows)))
    for start in range(0, rows.shape[1], _COLUMNS_AT_ONCE):
        block = rows[:, start : start + _COLUMNS_AT_ONCE].astype(np.float64)
        gram += block @ block.T
    gram[np.diag_indices_from(gram)] += _JITTER * max(float(np.trace(gram)), 1.0) / len(gram)
    return scipy.linalg.cholesky(gram, lower=True, check_finite=False)


def _mix(
    factor: Float64[np.ndarray, "row axis"], signs: Float64[np.ndarray, " axis"]
) -> Float64[np.ndarray, "row axis"]:
    """Turn the axes so that each holds a like share of everything: signs at random, then a cosine transform.

    Along the axes as factored an optimiser that scales each weight's step by itself would raise what the images
    hardly differ in: it cost up to .03 AUROC (docs/LOG.md).
    """
    return scipy.fft.dct(factor * signs, axis=1, norm="ortho")


def _unmix(
    weights: Float64[np.ndarray, "axis node"], signs: Float64[np.ndarray, " axis"]
) -> Float64[np.ndarray, "axis node"]:
    """Turn weights on mixed axes back to the axes as factored."""
    return signs[:, None] * scipy.fft.idct(weights, axis=0, norm="ortho")
