"""A cohort's images at working size, decoded once: a folder a cohort in the user's cache directory.

An entry holds `pixels.npy` (memory-mapped by whoever uses it) and `index.npz`: content hashes, sizes and what could
not be read, by position. No path and no name is kept. An entry is made under a temporary name and renamed when whole,
so that an interrupted decoding or two at once leave no half entry.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
import platformdirs
from jaxtyping import Int, Shaped, UInt

from ..errors import StudyError
from .prepare import Preparation

Content = TypeVar("Content")

_CHUNK = 256
_BLOCK_BYTES = 2**24


@dataclass(frozen=True)
class PreparedImages:
    """Readable images at working size, and for each where it stood among those asked for.

    `pixels` has axes as docs/architecture.md says; `heights` and `widths` are the stored sizes in pixels.
    `unreadable` maps positions to reasons.
    """

    path: Path
    pixels: UInt[np.ndarray, "image ..."]
    positions: Int[np.ndarray, " image"]
    contents: tuple[str, ...]
    heights: Int[np.ndarray, " image"]
    widths: Int[np.ndarray, " image"]
    bit_depth: int
    unreadable: dict[int, str]
    preparation: Preparation


def cache_root(given: Path | None = None) -> Path:
    """Where prepared images are kept: the folder given, else the user's cache directory."""
    return given if given is not None else Path(platformdirs.user_cache_dir("medladder"))


def key_of(*parts: object) -> str:
    """A name for a cache entry from whatever decides its content."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(repr(part).encode("utf-8"))
        digest.update(b"\0")
    return digest.hexdigest()


def cached(root: Path, kind: str, key: str, make: Callable[[Path], None], read: Callable[[Path], Content]) -> Content:
    """What `read` finds in one entry, made on first use, and again if a cleaner or a crash damaged it.

    Raises
    ------
    StudyError
        The cache directory is full or cannot be written.
    """
    folder = _made(root, kind, key, make)
    try:
        return read(folder)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        shutil.rmtree(folder, ignore_errors=True)
        return read(_made(root, kind, key, make))


def read_array(path: Path) -> Shaped[np.ndarray, "..."]:
    """Map one array of an entry; raises OSError or ValueError where the file is gone or cut."""
    array: Shaped[np.ndarray, "..."] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def _made(root: Path, kind: str, key: str, make: Callable[[Path], None]) -> Path:
    entry = root / kind / key
    if entry.is_dir():
        return entry
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=".making-", dir=entry.parent))
        try:
            make(unfinished)
            _flush(unfinished)
            _move_into_place(unfinished, entry)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise StudyError(
            found=f"The cache directory {root} " + ("is full." if full else f"cannot be used ({error.strerror})."),
            needed="Room and permission to keep the images at working size.",
            do="Make room there, or name another place with --cache.",
        ) from error
    return entry


def take_room(file: BinaryIO, n_bytes: int) -> None:
    """Take the room for a file before it is written through a map; raises OSError where there is none."""
    if hasattr(os, "posix_fallocate") and n_bytes:
        os.posix_fallocate(file.fileno(), 0, n_bytes)
    else:
        for at in range(0, n_bytes, _BLOCK_BYTES):
            file.write(bytes(min(_BLOCK_BYTES, n_bytes - at)))
        file.flush()


def _flush(folder: Path) -> None:
    """To the disk before it gets its name: after a power cut an entry is whole or absent."""
    for path in folder.iterdir():
        with path.open("rb+") as file:
            os.fsync(file.fileno())


def _move_into_place(unfinished: Path, entry: Path) -> None:
    try:
        os.rename(unfinished, entry)
    except OSError:
        # Another process finished the same entry first; theirs is as good.
        if not entry.is_dir():
            raise


def write_entry(
    folder: Path,
    pixels: UInt[np.ndarray, "position ..."],
    *,
    contents: list[str],
    heights: list[int],
    widths: list[int],
    unreadable: dict[int, str],
    bit_depth: int,
    shape: tuple[int, ...],
) -> None:
    """Write one entry from arrays over all positions, leaving out those that could not be read.

    Three channels that are equal in every image become one, and the last axis of grey 2-D images is dropped.
    """
    positions = np.array([i for i in range(len(pixels)) if i not in unreadable], dtype=np.int64)
    has_colour = pixels.shape[-1] == 3 and any(
        bool((pixels[chunk] != pixels[chunk][..., :1]).any()) for chunk in _chunks(positions)
    )
    is_volume = len(shape) == 3
    channels: tuple[int, ...] = (3,) if has_colour else (1,) if is_volume else ()
    # Written in order and not through a map, so that a full disk is an error and not a signal.
    with (folder / "pixels.npy").open("wb") as file:
        header = {"descr": pixels.dtype.str, "fortran_order": False, "shape": (len(positions), *shape, *channels)}
        np.lib.format.write_array_header_1_0(file, header)
        for chunk in _chunks(positions):
            block = pixels[chunk]
            seen = block if has_colour else block[..., :1] if is_volume else block[..., 0]
            file.write(np.ascontiguousarray(seen).tobytes())
    np.savez(
        folder / "index.npz",
        positions=positions,
        contents=np.array([contents[i] for i in positions], dtype=np.str_),
        heights=np.array(heights, dtype=np.int64)[positions],
        widths=np.array(widths, dtype=np.int64)[positions],
        bit_depth=np.array(bit_depth),
        unreadable_positions=np.array(sorted(unreadable), dtype=np.int64),
        unreadable_reasons=np.array([unreadable[i] for i in sorted(unreadable)], dtype=np.str_),
        shape=np.array(shape, dtype=np.int64),
    )


def _chunks(positions: Int[np.ndarray, " image"]) -> list[Int[np.ndarray, " chunk"]]:
    return [positions[at : at + _CHUNK] for at in range(0, len(positions), _CHUNK)]


def read_entry(folder: Path) -> PreparedImages:
    """Open an entry; pixels stay on disk until they are looked at."""
    path = folder / "pixels.npy"
    with np.load(folder / "index.npz", allow_pickle=False) as index:
        reasons = zip(index["unreadable_positions"].tolist(), index["unreadable_reasons"].tolist(), strict=True)
        return PreparedImages(
            path=path,
            # An array without elements cannot be mapped.
            pixels=np.load(path, mmap_mode="r" if len(index["positions"]) else None, allow_pickle=False),
            positions=index["positions"],
            contents=tuple(index["contents"].tolist()),
            heights=index["heights"],
            widths=index["widths"],
            bit_depth=int(index["bit_depth"]),
            unreadable=dict(reasons),
            preparation=Preparation(tuple(index["shape"].tolist())),
        )
