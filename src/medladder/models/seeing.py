"""Prepared pixels as a model sees them: channels as those it was trained on."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""ITU-R BT.601, as Pillow turns colour to grey."""


def has_foreign_colour(pixels: UInt[np.ndarray, "*space channel"], shape: tuple[int, ...]) -> bool:
    """Whether a picture is in colour and the model, whose images have this shape, knows grey alone."""
    return pixels.shape[-1] == 3 and not _is_colour(shape, n_axes=pixels.ndim - 1)


def as_seen(pixels: UInt[np.ndarray, "*space channel"], shape: tuple[int, ...]) -> UInt[np.ndarray, "..."]:
    """One prepared image with a channel axis as the model wants it: grey repeated, or colour turned to grey.

    Example
    -------
    >>> grey, colour = np.full((2, 2, 1), 7, np.uint8), np.full((2, 2, 3), 7, np.uint8)
    >>> as_seen(grey, (2, 2, 3)).shape, as_seen(colour, (2, 2)).tolist()
    ((2, 2, 3), [[7, 7], [7, 7]])
    """
    n_axes = pixels.ndim - 1
    if _is_colour(shape, n_axes):
        return pixels if pixels.shape[-1] == 3 else np.repeat(pixels, 3, axis=-1)
    grey = pixels if pixels.shape[-1] == 1 else np.round(pixels @ _LUMA).astype(pixels.dtype)[..., None]
    return grey.reshape(shape)


def _is_colour(shape: tuple[int, ...], n_axes: int) -> bool:
    return len(shape) == n_axes + 1 and shape[-1] == 3
