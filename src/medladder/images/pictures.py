"""Prepared images as PNG, for people to look at."""

from __future__ import annotations

import io

import numpy as np
from jaxtyping import UInt
from PIL import Image as Pillow


def to_png(pixels: UInt[np.ndarray, "..."]) -> bytes:
    """One prepared image as an 8-bit PNG; of a volume the middle slice.

    16-bit images are shown between their 1st and 99th percentile, as a viewer would window them.
    """
    if pixels.ndim == 4:
        pixels = pixels[len(pixels) // 2]
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if pixels.dtype == np.uint16:
        low, high = np.percentile(pixels, (1, 99))
        pixels = np.clip((pixels - low) / max(high - low, 1) * 255, 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Pillow.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG")
    return file.getvalue()
