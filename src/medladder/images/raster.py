"""PNG, JPEG, TIFF, BMP, GIF and WebP by Pillow: bit depth kept, palettes and transparency resolved."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import UInt
from PIL import ExifTags, ImageOps, JpegImagePlugin, PngImagePlugin, TiffImagePlugin
from PIL import Image as Pillow

from ..errors import ImageError, MedladderError
from ..language import phrase
from .image import MAX_PIXELS, Header, Image
from .wholeness import (
    MISSING_ROWS,
    are_covering,
    has_all_scans,
    is_mid_grey,
    is_whole_jpeg,
    is_whole_png,
    last_block,
    may_lack_rows,
)

_DEEP_MODES = frozenset({"I", "I;16", "I;16L", "I;16B", "I;16N"})
_PILLOWS_WORDS = (
    phrase("image file is truncated"),
    phrase("broken data stream when reading image file"),
    phrase("unrecognized data stream contents when reading image file"),
)
"""Its commonest reasons, here for the catalogues alone."""


def raise_limit_of_pillow() -> None:
    """Let Pillow refuse what has over `MAX_PIXELS`, in a process of our own: by default it refuses a tenth earlier."""
    Pillow.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # it warns beyond this, and refuses beyond twice as many


def read_header(path: Path) -> Header:
    """Read the header alone.

    Raises
    ------
    ImageError
        The file cannot be opened as an image, claims more than `MAX_PIXELS` pixels, or has 16 bits a colour channel.
    """
    with _opened(path) as picture:
        width, height = picture.size
        if _orientation(picture, path) in (5, 6, 7, 8):
            width, height = height, width
        is_deep = picture.mode == "F" or picture.mode in _DEEP_MODES
        return Header((height, width), is_deep, is_colour=not is_deep and picture.mode not in ("1", "L"))


def _orientation(picture: Pillow.Image, path: Path) -> int:
    with _plain_reasons(path):  # metadata may lie behind a break in the file
        return int(picture.getexif().get(ExifTags.Base.Orientation, 1))


def read_image(path: Path) -> Image:
    """Decode one file; the first page where there are several, which a note says.

    EXIF orientation is applied, transparency is laid over black, palettes and CMYK become RGB, and a colour picture
    whose channels are all equal becomes grey.

    Raises
    ------
    ImageError
        The file is missing, truncated, not an image, too large, has 16 bits a colour channel, or holds values that have
        no stated range.
    """
    with _opened(path) as picture, _plain_reasons(path):
        is_upright = _orientation(picture, path) == 1
        is_progressive = bool(picture.info.get("progressive"))
        is_covered = not isinstance(picture, TiffImagePlugin.TiffImageFile) or _is_covered(picture)
        picture.load()
        if not is_covered or not _is_whole(picture, path):
            raise ImageError(path.name, MISSING_ROWS)
        pages = getattr(picture, "n_frames", 1)
        notes = [f"the first of {pages} pages"] if pages > 1 else []
        if is_progressive and not has_all_scans(path.read_bytes()):
            notes.append(phrase("its last scans are missing, and it is blurred"))
        pixels = _pixels(picture if is_upright else ImageOps.exif_transpose(picture), path)
    return Image(pixels, notes=tuple(notes))


def _is_covered(picture: TiffImagePlugin.TiffImageFile) -> bool:
    width, height = picture.size
    # The first of the arguments is the plane, where each has its own; a tile without extents is all of the picture.
    tiles = ((str((tile.args or "-")[0]), tile.extents or (0, 0, width, height)) for tile in picture.tile)
    return are_covering(tiles, picture.size)


def _is_whole(picture: Pillow.Image, path: Path) -> bool:
    """Whether a loaded picture is there to its last row; worked out only where its end looks as if it were not."""
    width, height = picture.size
    if isinstance(picture, PngImagePlugin.PngImageFile):
        rows = picture.crop((0, max(0, height - 2), width, height))  # two: the last is not in every pass
        return not may_lack_rows(np.asarray(rows)) or is_whole_png(path)
    # The last pixel is soon told, and mostly enough.
    is_jpeg = isinstance(picture, JpegImagePlugin.JpegImageFile)
    if is_jpeg and is_mid_grey(np.asarray(picture.getpixel((width - 1, height - 1)))):
        block = picture.crop(last_block(picture.size))
        return not is_mid_grey(np.asarray(block)) or is_whole_jpeg(path.read_bytes(), _decoded_jpeg)
    return True


def _decoded_jpeg(stream: bytes) -> UInt[np.ndarray, "row column *channel"]:
    with Pillow.open(io.BytesIO(stream), formats=("JPEG",)) as picture:
        return np.asarray(picture)


def _opened(path: Path) -> Pillow.Image:
    with warnings.catch_warnings(), _plain_reasons(path):
        # Our own limit speaks instead of Pillow's; a warning about metadata says nothing about the pixels.
        warnings.simplefilter("ignore")
        picture = Pillow.open(path)
    width, height = picture.size
    if width * height > MAX_PIXELS:
        picture.close()
        raise ImageError(path.name, f"its header claims {width}×{height} pixels, over the limit of {MAX_PIXELS:,}")
    if _loses_depth(picture):
        picture.close()
        reason = phrase(
            "it has 16 bits a channel, read for grey alone: save it as 16-bit grey without alpha or as 8-bit colour"
        )
        raise ImageError(path.name, reason)
    return picture


def _loses_depth(picture: Pillow.Image) -> bool:
    """Whether Pillow would cut 16 bits a channel to 8 without a word, as it does wherever there are several channels.

    Source: Pillow's PngImagePlugin._MODES and TiffImagePlugin.OPEN_INFO, where «RGB;16B» and the like decode to RGB.
    """
    if isinstance(picture, PngImagePlugin.PngImageFile):
        return any(";16" in str(tile.args) for tile in picture.tile) and picture.mode not in _DEEP_MODES
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        bits = picture.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (1,))
        return len(picture.getbands()) > 1 and max(bits) > 8
    return False


@contextlib.contextmanager
def _plain_reasons(path: Path) -> Iterator[None]:
    """Whatever fails within is an `ImageError`: damaged files end Pillow in many ways (IndexError, TypeError, ...)."""
    try:
        yield
    except MedladderError:
        raise
    except Exception as error:
        raise ImageError(path.name, _reason(error)) from error


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return phrase("it is not there")
    if isinstance(error, MemoryError):
        return phrase("it needs more memory than there is")
    if isinstance(error, Pillow.DecompressionBombError):
        claimed, most = (int(number) for number in re.findall(r"[0-9]+", str(error))[:2])
        return f"its header claims {claimed:,} pixels, over the limit of {most:,}"
    if not isinstance(error, OSError | ValueError | SyntaxError | EOFError):
        # Pillow's own words would speak of the program.
        return phrase("it is damaged") + f" ({type(error).__name__} in Pillow)"
    # An OSError from the system names the whole path, which must not travel.
    text = getattr(error, "strerror", None) or str(error)
    return phrase("it is not an image of a known kind") if text.startswith("cannot identify") else text


def _pixels(picture: Pillow.Image, path: Path) -> UInt[np.ndarray, "row column channel"]:
    if picture.mode == "F":
        return _deep(np.asarray(picture), path, unit_range=True)
    if picture.mode in _DEEP_MODES:
        return _deep(np.asarray(picture), path, unit_range=False)
    if picture.mode == "1":
        picture = picture.convert("L")
    if picture.mode == "L":
        return np.asarray(picture)[:, :, None]
    if picture.mode == "P" and picture.palette is None:  # Pillow would show all of it black
        raise ImageError(path.name, phrase("its colours come from a palette that it does not hold"))
    if picture.has_transparency_data:
        seen = picture.convert("RGBA")
        black = Pillow.new("RGBA", seen.size, (0, 0, 0, 255))
        picture = Pillow.alpha_composite(black, seen)
    return _grey_where_equal(picture if picture.mode == "RGB" else picture.convert("RGB"))


def _grey_where_equal(picture: Pillow.Image) -> UInt[np.ndarray, "row column channel"]:
    # Four bytes a pixel, compared as one number: five times faster than along the channels. Many radiographs come so.
    packed = np.frombuffer(picture.tobytes("raw", "RGBX"), "<u4")
    unlike = packed >> 8
    unlike ^= packed
    unlike &= 0xFFFF
    if unlike.any():
        return np.asarray(picture)
    return packed.astype(np.uint8).reshape(picture.height, picture.width, 1)


def _deep(values: np.ndarray, path: Path, *, unit_range: bool) -> UInt[np.ndarray, "row column 1"]:
    """Bring 16-bit, 32-bit and float pictures to uint16; what has no stated range is refused, not guessed."""
    top = 1.0 if unit_range else 65535
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > top:
        wanted = "floats within 0–1" if unit_range else "whole numbers within 0–65535"
        raise ImageError(path.name, f"its values run from {values.min()} to {values.max()}; medladder reads {wanted}")
    scaled = np.round(values * 65535.0) if unit_range else values
    return scaled.astype(np.uint16)[:, :, None]
