"""The bytes of a file, packed or not: never more than asked for, and plain words where they break."""

from __future__ import annotations

import bz2
import gzip
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from ..errors import ImageError
from ..language import phrase

PACKINGS = ("raw", "gzip", "zlib", "bzip2")

_PIECE = 1 << 20
"""Bytes unpacked at a time, and how far past the voxels the checksum that ends a gzip is looked for."""


@runtime_checkable
class Readable(Protocol):
    """What bytes can be read from."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, none at the end."""


@contextmanager
def plain_reasons(name: str) -> Iterator[None]:
    """Turn what breaks while a file is read into an `ImageError` that names no path."""
    try:
        yield
    except EOFError as error:
        raise ImageError(name, phrase("it is cut off: its compressed data have no end")) from error
    except (zlib.error, gzip.BadGzipFile) as error:
        raise ImageError(name, phrase("its compressed data are damaged")) from error
    except MemoryError as error:
        raise ImageError(name, phrase("it needs more memory than there is")) from error
    except FileNotFoundError as error:
        raise ImageError(name, phrase("it is not there")) from error
    except OSError as error:  # one without a number comes from bzip2
        raise ImageError(name, error.strerror or "its compressed data are damaged") from error


def unpacked(file: IO[bytes], packing: str) -> Readable:
    """A stream of the bytes that were packed, from where `file` stands; `packing` is one of `PACKINGS`."""
    if packing == "gzip":
        return gzip.GzipFile(fileobj=file)
    if packing == "bzip2":
        return bz2.BZ2File(file)
    return _Inflated(file) if packing == "zlib" else file


class _Inflated:
    """A zlib stream, inflated no further than it is read."""

    def __init__(self, file: Readable) -> None:
        self._file = file
        self._inflater = zlib.decompressobj(47)  # 47: with the header of zlib or of gzip, as MetaIO reads it

    def read(self, size: int, /) -> bytes:
        while not self._inflater.eof:
            packed = self._inflater.unconsumed_tail or self._file.read(_PIECE)
            piece = self._inflater.decompress(packed, size)
            if piece:
                return piece
            if not packed:
                raise EOFError
        return b""


def read_start(path: Path, size: int, packing: str) -> bytes:
    """The first bytes of a file, unpacked; fewer than `size` where the file ends before."""
    with path.open("rb") as file:
        stream = unpacked(file, packing)
        pieces = []
        while size > 0 and (piece := stream.read(size)):
            pieces.append(piece)
            size -= len(piece)
    return b"".join(pieces)


class Shortage(Exception):  # noqa: N818
    """The stream ended after `held` of the bytes that were asked for."""

    def __init__(self, held: int) -> None:
        super().__init__(held)
        self.held = held


def read_claimed(
    path: Path, *, start: int, packing: str, skip: int, size: int
) -> tuple[UInt8[np.ndarray, " byte"], bool]:
    """Read the `size` bytes that a header claims, and whether more follow them.

    `start` counts bytes of the file, `skip` bytes after unpacking. A little is read past the end, to reach the checksum
    of a gzip; what never ends is left there. What breaks is for `plain_reasons`.

    Raises
    ------
    Shortage
        There are fewer bytes.
    """
    with path.open("rb") as file:
        file.seek(start)
        stream = unpacked(file, packing)
        if packing == "raw":
            file.seek(skip, os.SEEK_CUR)
        elif _pass_over(stream, skip) < skip:
            raise Shortage(0)
        content = np.empty(size, np.uint8)
        done = 0
        while done < size:
            piece = stream.read(min(_PIECE, size - done))
            if not piece:
                raise Shortage(done)
            content[done : done + len(piece)] = np.frombuffer(piece, np.uint8)
            done += len(piece)
        return content, _pass_over(stream, _PIECE) > 0


def _pass_over(stream: Readable, size: int) -> int:
    passed = 0
    while passed < size and (piece := stream.read(min(_PIECE, size - passed))):
        passed += len(piece)
    return passed
