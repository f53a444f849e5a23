"""Whether a picture that decodes is there to its last row: some decoders fill in what a file lacks, without a word.

Pillow leaves the rows black that a PNG or an uncompressed TIFF does not hold, and libjpeg repeats grey where a JPEG
ends early but with its marker of the end (all seen with Pillow 12, libjpeg-turbo 3 and GDCM 3).
"""

from __future__ import annotations

import re
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Num

from ..language import phrase

MISSING_ROWS = phrase("it holds fewer rows than its header claims")

_PIECE = 1 << 20
_MORE = bytes(range(1, 255)) * 16
"""Bytes that no decoder takes for a marker: as data of a JPEG they are noise."""

_END = b"\xff\xd9"
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""Of JPEG, past the data of a scan, in which a byte of 255 is followed by 0 or stands before a restart."""

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Column and row of the first pixel of each pass, and the steps along both (PNG, third edition, section 8.1)."""


def may_lack_rows(last: Num[np.ndarray, "row column *channel"]) -> bool:
    """Whether any of the last rows, which are read last, is what a row that is not there looks like: zeros alone."""
    return not all(row.any() for row in last)


def is_whole_png(path: Path) -> bool:
    """Whether the pixels of a PNG unpack to as many bytes as its header claims; damaged ones are for who decodes."""
    with path.open("rb") as file:
        file.seek(8)
        needed, machine = 0, zlib.decompressobj()
        while len(head := file.read(8)) == 8:
            length, name = struct.unpack(">I4s", head)
            if name == b"IHDR":
                needed = _claimed_bytes(file.read(length))
            elif name == b"IDAT":
                for left in range(length, 0, -_PIECE):
                    needed -= _unpacked(machine, file.read(min(_PIECE, left)))
                if needed <= 0:
                    return True
            else:
                file.seek(length, 1)
            file.seek(4, 1)
    return needed <= 0


def _unpacked(machine: zlib._Decompress, packed: bytes) -> int:
    """How many bytes a piece unpacks to, never holding many of them."""
    done = 0
    while packed and not machine.eof:
        done += len(machine.decompress(packed, _PIECE))
        packed = machine.unconsumed_tail
    return done


def _claimed_bytes(header: bytes) -> int:
    """Of all rows, each with a byte for its filter before it."""
    width, height, bits, colours, _, _, is_interlaced = struct.unpack(">IIBBBBB", header[:13])
    passes = [(width, height)]
    if is_interlaced:
        passes = [(-(-(width - x) // right), -(-(height - y) // down)) for x, y, right, down in _ADAM7]
    bits *= _CHANNELS[colours]
    return sum((-(-columns * bits // 8) + 1) * rows for columns, rows in passes if columns > 0 and rows > 0)


def are_covering(tiles: Iterable[tuple[str, tuple[int, int, int, int]]], size: tuple[int, int]) -> bool:
    """Whether the tiles of each plane, with its name and (left, top, right, bottom), fill a picture of this size."""
    areas: Counter[str] = Counter()
    for plane, (left, top, right, bottom) in tiles:
        areas[plane] += max(0, right - left) * max(0, bottom - top)
    return all(area >= size[0] * size[1] for area in areas.values())


def is_whole_jpeg(stream: bytes, decode: Callable[[bytes], Num[np.ndarray, "..."]]) -> bool:
    """Whether a JPEG that ends with its marker held data for all of its pixels.

    It is decoded twice, the second time with more data before the end: only where some were missing, that changes the
    picture. What `decode` raises, it raised for the file itself before.
    """
    end = stream.rfind(_END)
    if end < 0:
        return True
    try:
        return np.array_equal(decode(stream), decode(stream[:end] + _MORE + stream[end:]))
    except Exception:  # the noise broke it: it was read
        return False


def has_all_scans(stream: bytes) -> bool:
    """Whether the scans of a progressive JPEG bring every coefficient to its last bit (ISO 10918-1 G.1.1.1.1).

    One that breaks off after a few is whole in its rows, and blurred.
    """
    place, lacking = 2, set[tuple[int, int]]()
    while (marker := _MARKER.search(stream, place)) and marker[0] != _END:
        (length,) = struct.unpack(">H", stream[marker.end() : marker.end() + 2].ljust(2, b"\0"))
        segment = stream[marker.end() + 2 : marker.end() + length]
        if marker[0] == b"\xff\xc2":
            lacking = {(component, band) for component in segment[6::3] for band in range(64)}
        elif marker[0] == b"\xff\xda" and segment and len(segment) >= 4 + 2 * segment[0]:
            first, last, bits = segment[1 + 2 * segment[0] :][:3]
            if not bits & 15:
                components = segment[1 : 1 + 2 * segment[0] : 2]
                lacking -= {(component, band) for component in components for band in range(first, last + 1)}
        place = marker.end() + length
    return not lacking


def is_mid_grey(corner: Num[np.ndarray, "..."]) -> bool:
    """Whether the last block of a JPEG is as libjpeg leaves it where data are missing."""
    return bool((corner == 128).all())


def ends_alike(values: Num[np.ndarray, "row column *channel"]) -> bool:
    """Whether the last pixels are equal, as JPEGs of all kinds end where data are missing."""
    left, _, width, _ = last_block((values.shape[1], values.shape[0]))
    end = values[-1, left:width]
    return bool((end == end[:1]).all())


def last_block(size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the block of 8×8 pixels that a JPEG of this width and height ends with."""
    width, height = size
    return (width - 1) // 8 * 8, (height - 1) // 8 * 8, width, height
