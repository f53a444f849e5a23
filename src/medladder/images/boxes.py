"""What part of an image is kept: all but its dark background, or a box of stated extent."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from ..errors import ImageError
from ..language import phrase
from .image import MAX_PIXELS, Image

BACKGROUND_SHARE = 0.05
"""Values up to this share of the full range of the dtype are background."""


def crop_background(image: Image) -> Image:
    """Keep the smallest box that holds everything brighter than `BACKGROUND_SHARE`.

    A pixel is as bright as its brightest channel. An image with nothing brighter is kept whole, as is one of a single
    value. What is bright and far from the body, such as a burnt-in letter, stays inside the box.
    """
    brightness = image.pixels.max(axis=-1)
    is_bright = brightness > BACKGROUND_SHARE * np.iinfo(brightness.dtype).max
    box = []
    for axis in range(is_bright.ndim):
        hits = np.flatnonzero(is_bright.any(axis=tuple(other for other in range(is_bright.ndim) if other != axis)))
        if not hits.size:
            return image
        box.append(slice(int(hits[0]), int(hits[-1]) + 1))
    return replace(image, pixels=image.pixels[tuple(box)])


def take_box(image: Image, box_mm: tuple[float, ...]) -> Image:
    """Keep the box of this extent about the centre: cut where the image is larger, 0 around it where smaller.

    `box_mm` has one number an axis of space, in the order of `Image`. The box is of whole voxels, at least 1; where an
    odd number of voxels is cut or added, the end of the axis has one more of them than its start.

    Raises
    ------
    ImageError
        The image states no spacing, has another number of axes than the box, or its voxels are so small that the box
        would have over `MAX_PIXELS`.
    """
    if image.spacing_mm is None:
        raise ImageError("image", phrase("it states no spacing of its pixels, so no box in mm can be taken"))
    if len(box_mm) != len(image.spacing_mm):
        raise ImageError("image", f"it has {len(image.spacing_mm)} axes, and the box in mm has {len(box_mm)}")
    sides = [side / step for side, step in zip(box_mm, image.spacing_mm, strict=True)]
    if not math.prod(max(1.0, side) for side in sides) <= MAX_PIXELS:
        raise ImageError("image", f"at its spacing the box in mm has over {MAX_PIXELS:,} voxels")
    wanted = [max(1, round(side)) for side in sides]
    space = image.pixels.shape[:-1]
    if list(space) == wanted:
        return image
    taken = np.zeros((*wanted, image.pixels.shape[-1]), image.pixels.dtype)
    overlaps = [_overlap(size, side) for size, side in zip(space, wanted, strict=True)]
    taken[tuple(to for _, to in overlaps)] = image.pixels[tuple(of for of, _ in overlaps)]
    return replace(image, pixels=taken)


def _overlap(size: int, side: int) -> tuple[slice, slice]:
    """Along one axis: what is taken of an image of `size`, and where that lies in a box of `side`."""
    kept = min(size, side)
    cut, added = (size - kept) // 2, (side - kept) // 2
    return slice(cut, cut + kept), slice(added, added + kept)
