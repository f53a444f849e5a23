"""The one road to working size: study, fit, predict and serve all prepare an image here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt
from PIL import Image as Pillow

from ..errors import ImageError, OptionError
from ..language import phrase
from .boxes import crop_background, take_box
from .image import Image
from .values import Window

PREPARATION_PROTOCOL = 3

STACKS = ("slices", "volumes")
"""How pictures that make a stack are read, such as a DICOM series: each for itself, or together."""

_KINDS = {2: "picture", 3: "volume"}


@dataclass(frozen=True)
class Preparation:
    """How images were brought to one size; written into plan and model so that both can be repeated.

    `size` is (row, column) or (slice, row, column). An image that is not of the working shape is stretched, never
    cropped or padded, unless a box is asked for. `window` is how measured values such as Hounsfield units are shown,
    None for each file's own; `stacks` how multi-frame files and series are read (`STACKS`); `is_cropped` takes the dark
    background off; `box_mm` is the extent, along the axes of `size`, of what is kept about the middle.
    """

    size: tuple[int, ...]
    window: Window | None = None
    stacks: str | None = None
    is_cropped: bool = False
    box_mm: tuple[float, ...] | None = None
    resampling: str = phrase("bilinear, antialiased")
    protocol: int = PREPARATION_PROTOCOL

    @property
    def kind(self) -> str:
        """Whether its images are a picture or a volume each."""
        return _KINDS[len(self.size)]

    def to_json(self) -> dict[str, Any]:
        """The settings as they stand in plan.json."""
        return asdict(self)

    @classmethod
    def of_json(cls, settings: Mapping[str, Any]) -> Preparation:
        """The preparation that `to_json` wrote; raises KeyError, TypeError or ValueError where it is none."""
        if set(settings) != set(cls.__dataclass_fields__):
            raise ValueError(f"not a preparation: {sorted(settings)}")
        window, box = settings["window"], settings["box_mm"]
        read = {
            "size": tuple(settings["size"]),
            "window": None if window is None else Window(**window),
            "box_mm": None if box is None else tuple(box),
        }
        return cls(**{**settings, **read})


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


def prepare(image: Image, preparation: Preparation) -> UInt[np.ndarray, "*space channel"]:
    """Bring one picture or volume to working size, bit depth and channels kept.

    Raises
    ------
    ImageError
        It is a volume where pictures are meant or the reverse, or a box in mm is asked for and it states no spacing.
    """
    if image.pixels.ndim != len(preparation.size) + 1:
        kind = _KINDS.get(image.pixels.ndim - 1, "array of another kind")
        raise ImageError("image", f"it is a {kind} where a {preparation.kind} is meant")
    if preparation.is_cropped:
        image = crop_background(image)
    if preparation.box_mm is not None:
        image = take_box(image, preparation.box_mm)
    if len(preparation.size) == 3:
        return _resize_volume(image.pixels, preparation.size)
    return resize(image.pixels, (preparation.size[0], preparation.size[1]))


def _resize_volume(
    voxels: UInt[np.ndarray, "slice row column channel"], size: tuple[int, ...]
) -> UInt[np.ndarray, "slice2 row2 column2 channel"]:
    """Every slice first, then along the slices."""
    slices, rows, columns = size
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
