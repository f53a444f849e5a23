"""Which kind of file something is, and the reader that knows it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import ImageError
from ..language import phrase
from . import dicom, raster, series, volumes
from .image import Header, Image
from .names import RASTER, ending_of, is_volume_name
from .values import Window

_MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"BM", b"GIF8", b"RIFF")


def read_header(path: Path) -> Header:
    """What one file claims, before it is decoded.

    A name with an ending of a volume format is read as that; else DICOM is told by its content, whatever its name; what
    is left is for Pillow.

    Raises
    ------
    ImageError
        The file is missing, of no known kind, damaged, or claims more than `MAX_PIXELS`.
    """
    _check_file(path)
    if is_volume_name(path.name):
        return volumes.read_header(path)
    return dicom.read_header(path) if _is_dicom(path) else raster.read_header(path)


def read_image(
    paths: Sequence[Path], *, window: Window | None = None, frame: int | None = None, is_stack: bool = False
) -> Image:
    """Read one picture or volume.

    Several files are the slices of one DICOM series. Of a multi-frame DICOM a single `frame` is read, or with
    `is_stack` all of them as a volume.

    Raises
    ------
    ImageError
        Any of the files is missing, damaged, too large, or does not go with the others.
    """
    first = paths[0]
    for path in paths:
        _check_file(path)
    if len(paths) > 1:
        return series.read_series(paths, window=window)
    if is_volume_name(first.name):
        return volumes.read_volume(first, window=window)
    if _is_dicom(first):
        if is_stack:
            return series.read_frames(first, window=window)
        return dicom.read_file(first, window=window, frame=frame)
    return raster.read_image(first)


def _is_dicom(path: Path) -> bool:
    """By its content; that of a file with the ending of a picture is only asked where it does not begin as one."""
    if ending_of(path.name) in RASTER:
        with path.open("rb") as file:
            if file.read(4).startswith(_MAGIC):
                return False
    return dicom.is_dicom(path)


def _check_file(path: Path) -> None:
    """Refuse what would be no file, or would never end, such as a pipe."""
    try:
        if not path.is_file():
            raise ImageError(path.name, phrase("it is no file") if path.exists() else phrase("it is not there"))
    except OSError as error:  # a name that is too long for the system
        raise ImageError(path.name, error.strerror or phrase("its name cannot be used")) from error
