"""The one road to working size: study, fit, predict and serve all prepare an image here."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt
from PIL import Image as Pillow

from ..errors import OptionError
from .formats import Image

PREPARATION_PROTOCOL = 2


@dataclass(frozen=True)
class Preparation:
    """How images were brought to one size; written into plan and model so that both can be repeated.

    `size` is (row, column) or (slice, row, column). The whole picture is kept: one that is not of the working shape is
    stretched, never cropped or padded.
    """

    size: tuple[int, ...]
    resampling: str = "bilinear, antialiased"
    protocol: int = PREPARATION_PROTOCOL

    def to_json(self) -> dict[str, Any]:
        """The settings as they stand in plan.json."""
        return asdict(self)


def parse_size(text: str) -> tuple[int, ...]:
    """Read a working size as people write it: one number for all sides, or one for each.

    Raises
    ------
    OptionError
        Not whole numbers from 4 to 1024.

    Example
    -------
    >>> parse_size("64"), parse_size("48x64")
    ((64,), (48, 64))
    """
    parts = text.lower().replace("×", "x").split("x")
    if len(parts) > 3 or not all(part.isdecimal() and 4 <= int(part) <= 1024 for part in parts):
        raise OptionError(
            found=f"--image-size {text}.",
            needed="Whole numbers from 4 to 1024, as 64 or 48x64 (rows x columns).",
            do="Change --image-size.",
        )
    return tuple(int(part) for part in parts)


def prepare(image: Image, preparation: Preparation) -> UInt[np.ndarray, "row column channel"]:
    """Bring one picture to working size, bit depth and channels kept."""
    rows, columns = preparation.size
    return resize(image.pixels, (rows, columns))


def prepare_volume(
    voxels: UInt[np.ndarray, "slice row column channel"], preparation: Preparation
) -> UInt[np.ndarray, "slice2 row2 column2 channel"]:
    """Bring one volume to working size: every slice first, then along the slices."""
    slices, rows, columns = preparation.size
    flat = np.stack([resize(plane, (rows, columns)) for plane in voxels])
    upright = np.stack([resize(plane, (slices, columns)) for plane in np.moveaxis(flat, 1, 0)])
    return np.moveaxis(upright, 0, 1)


def resize(
    pixels: UInt[np.ndarray, "row column channel"], shape: tuple[int, int]
) -> UInt[np.ndarray, "row2 column2 channel"]:
    """Resample to `shape` (rows, columns) with a triangle filter as wide as the reduction, so nothing aliases."""
    if pixels.shape[:2] == shape:
        return pixels
    size = (shape[1], shape[0])
    if pixels.dtype == np.uint8:
        picture = Pillow.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        resized = np.asarray(picture.resize(size, Pillow.Resampling.BILINEAR))
        return resized.reshape(*shape, pixels.shape[2])
    planes = [
        np.asarray(Pillow.fromarray(plane.astype(np.float32)).resize(size, Pillow.Resampling.BILINEAR))
        for plane in np.moveaxis(pixels, 2, 0)
    ]
    top = np.iinfo(pixels.dtype).max
    return np.clip(np.round(np.stack(planes, axis=2)), 0, top).astype(pixels.dtype)
