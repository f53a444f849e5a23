"""Many files or arrays to one prepared array, in parallel, once."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt

from ..errors import CohortError, ImageError
from ..progress import QUIET, Progress
from .cache import PreparedImages, cached, key_of, read_entry, take_room, write_entry
from .formats import Header, Image, read_header, read_image
from .prepare import PREPARATION_PROTOCOL, Preparation, prepare, prepare_volume

SMALLEST = 4
LARGEST_DEFAULT = 64
"""Working size is the smaller of this and the median short side, unless the user says otherwise."""


def prepare_files(
    folder: Path,
    names: Sequence[str],
    *,
    size: tuple[int, ...] | None,
    root: Path,
    progress: Progress = QUIET,
) -> PreparedImages:
    """Decode files to working size into the cache; unreadable ones are named by position, with the reason.

    The entry is keyed by folder, relative name, size in bytes, time of change and preparation. The folder is in it
    because unpacking two archives of one layout can give other pictures the same names, sizes and times.

    Raises
    ------
    CohortError
        No file could be read, or `size` has three sides or one below 4.
    StudyError
        The cache directory is full or cannot be written.
    """
    size = _all_sides(size, axes=2)
    stamps = [_stamp(folder / name) for name in names]
    key = key_of("files", PREPARATION_PROTOCOL, size, str(folder.resolve()), list(zip(names, stamps, strict=True)))
    paths = [folder / name for name in names]
    return cached(root, "images", key, lambda entry: _decode(entry, paths, size, progress), read_entry)


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return (-1, -1)
    return (status.st_size, status.st_mtime_ns)


def _decode(entry: Path, paths: Sequence[Path], size: tuple[int, ...] | None, progress: Progress) -> None:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        headers = list(pool.map(_header_or_reason, paths))
        readable = [header for header in headers if isinstance(header, Header)]
        if not readable:
            raise CohortError(
                found=f"None of the {len(paths)} image files can be read; the first: {headers[0]}.",
                needed="PNG, JPEG, TIFF or BMP files.",
                do="Open one in a viewer; export them again if it fails there too.",
            )
        preparation = Preparation(size or _default_size(readable))
        is_deep = any(header.is_deep for header in readable)
        channels = 3 if any(header.is_colour for header in readable) else 1
        unreadable = {i: header for i, header in enumerate(headers) if isinstance(header, str)}
        contents = [""] * len(paths)
        shape = (len(paths), *preparation.size, channels)
        with tempfile.TemporaryFile(dir=entry.parent) as scratch:
            # A file, not memory: 100,000 colour images of 224×224 are 15 GB. Its room is taken beforehand: writing
            # through a map into a full disk ends the process without a word.
            take_room(scratch, int(np.prod(shape)) * (2 if is_deep else 1))
            pixels = np.memmap(scratch, dtype=np.uint16 if is_deep else np.uint8, mode="r+", shape=shape)
            readable_at = [i for i in range(len(paths)) if i not in unreadable]
            decode_one = partial(_decode_one, preparation=preparation, pixels=pixels)
            with progress.follow("Decoding images", len(readable_at)) as advance:
                for i, (content, reason) in zip(
                    readable_at,
                    pool.map(decode_one, readable_at, (paths[i] for i in readable_at)),
                    strict=True,
                ):
                    contents[i] = content
                    if reason:
                        unreadable[i] = reason
                    advance(1)
            write_entry(
                entry,
                pixels,
                contents=contents,
                heights=[h.height if isinstance(h, Header) else 0 for h in headers],
                widths=[h.width if isinstance(h, Header) else 0 for h in headers],
                unreadable=unreadable,
                bit_depth=16 if is_deep else 8,
                shape=preparation.size,
            )


def _header_or_reason(path: Path) -> Header | str:
    try:
        return read_header(path)
    except ImageError as error:
        return error.reason


def _decode_one(
    position: int,
    path: Path,
    *,
    preparation: Preparation,
    pixels: UInt[np.ndarray, "position row column channel"],
) -> tuple[str, str]:
    """Decode one file into its place; its content hash, or else the reason."""
    try:
        image = read_image(path)
    except ImageError as error:
        return "", error.reason
    prepared = prepare(image, preparation)
    if prepared.dtype == np.uint8 and pixels.dtype == np.uint16:
        prepared = prepared * np.uint16(257)
    pixels[position] = prepared
    return image.content, ""


def _default_size(headers: Sequence[Header]) -> tuple[int, int]:
    side = int(np.median([min(header.height, header.width) for header in headers]))
    return (min(LARGEST_DEFAULT, side),) * 2


def prepare_arrays(
    images: UInt[np.ndarray, "image ... channel"], *, size: tuple[int, ...] | None, root: Path
) -> PreparedImages:
    """Bring images that came as one array to working size, into the cache under a hash of their pixels.

    `images` has axes (image, row, column, channel) or (image, slice, row, column, channel).

    Raises
    ------
    CohortError
        `size` has another number of axes than the images.
    """
    stored = images.shape[1:-1]
    size = _all_sides(size, axes=len(stored))
    preparation = Preparation(size or tuple(min(LARGEST_DEFAULT, side) for side in _smallest(stored)))

    def make(entry: Path) -> None:
        bring = _prepare_picture if len(stored) == 2 else prepare_volume
        pixels = images if stored == preparation.size else np.stack([bring(one, preparation) for one in images])
        write_entry(
            entry,
            pixels,
            contents=[Image(one).content for one in images],
            heights=[stored[-2]] * len(images),
            widths=[stored[-1]] * len(images),
            unreadable={},
            bit_depth=images.dtype.itemsize * 8,
            shape=preparation.size,
        )

    content = hashlib.blake2b(np.ascontiguousarray(images).data, digest_size=16).hexdigest()
    key = key_of("array", PREPARATION_PROTOCOL, size, images.shape, images.dtype.str, content)
    return cached(root, "images", key, make, read_entry)


def _prepare_picture(
    pixels: UInt[np.ndarray, "row column channel"], preparation: Preparation
) -> UInt[np.ndarray, "row2 column2 channel"]:
    return prepare(Image(pixels), preparation)


def _smallest(stored: tuple[int, ...]) -> tuple[int, ...]:
    """Working shape before the limit: as stored where it is small, else square (cubic) on the short side."""
    return stored if max(stored) <= LARGEST_DEFAULT else (min(stored),) * len(stored)


def _all_sides(size: tuple[int, ...] | None, *, axes: int) -> tuple[int, ...] | None:
    """One number stands for every side."""
    if size is not None and min(size, default=0) < SMALLEST:
        raise CohortError(
            found=f"Image size {'x'.join(map(str, size))}.", needed=f"{SMALLEST} or more.", do="Ask for larger images."
        )
    if size is not None and len(size) == 1:
        return size * axes
    if size is not None and len(size) != axes:
        raise CohortError(
            found=f"{'Pictures' if axes == 2 else 'Volumes'} to be brought to {'x'.join(map(str, size))}.",
            needed="Pictures have 2 sides." if axes == 2 else "These volumes have 3 sides.",
            do="Bring images of the other kind; or give --image-size a number for each side, as 48x64, or one for all.",
        )
    return size
