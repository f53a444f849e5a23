"""A cohort's images at working size, decoded once: a folder a cohort in the user's cache directory.

An entry holds `pixels.npy` (memory-mapped by whoever uses it) and `index.npz`: content hashes, sizes and what could
not be read, by position. No path and no name is kept. An entry is made under a temporary name and renamed when whole,
so that an interrupted decoding or two at once leave no half entry.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
import platformdirs
from jaxtyping import Int, Shaped, UInt

from ..errors import StudyError
from .prepare import Preparation

Content = TypeVar("Content")

_CHUNK = 256
_BLOCK_BYTES = 2**24


@dataclass(frozen=True)
class Facts:
    """What is known of images from their files: a row an image, in the order of their pixels.

    `members` are the positions, among the files asked for, of those that make an image: one, or a series; `frames` the
    frame of a multi-frame file, -1 where the whole file is the image. `heights` and `widths` are the stored sizes in
    pixels. `told` has what headers say (`image.FACTS`), as text, where any does; `notes` counts what was passed over.
    """

    members: tuple[tuple[int, ...], ...]
    frames: Int[np.ndarray, " image"]
    contents: tuple[str, ...]
    heights: Int[np.ndarray, " image"]
    widths: Int[np.ndarray, " image"]
    told: Mapping[str, Shaped[np.ndarray, " image"]] = field(default_factory=dict)
    notes: Mapping[str, int] = field(default_factory=dict)

    def of(self, rows: Sequence[int]) -> Facts:
        """Those of some images."""
        return Facts(
            tuple(self.members[row] for row in rows),
            self.frames[list(rows)],
            tuple(self.contents[row] for row in rows),
            self.heights[list(rows)],
            self.widths[list(rows)],
            {name: values[list(rows)] for name, values in self.told.items()},
            self.notes,
        )


@dataclass(frozen=True)
class PreparedImages:
    """Readable images at working size, and what is known of them.

    `pixels` has axes as docs/architecture.md says. `unreadable` maps positions of files to reasons.
    """

    path: Path
    pixels: UInt[np.ndarray, "image ..."]
    facts: Facts
    bit_depth: int
    unreadable: dict[int, str]
    preparation: Preparation

    @property
    def positions(self) -> Int[np.ndarray, " image"]:
        """Where each image stood among the files asked for: the first of them that make it."""
        return np.array([members[0] for members in self.facts.members], dtype=np.int64)


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
    rows: Int[np.ndarray, " image"],
    facts: Facts,
    *,
    unreadable: Mapping[int, str],
    preparation: Preparation,
) -> None:
    """Write one entry from some rows of an array; `facts` are of these rows.

    Three channels that are equal in every image become one, and the last axis of grey 2-D images is dropped.
    """
    has_colour = pixels.shape[-1] == 3 and any(
        bool((pixels[chunk] != pixels[chunk][..., :1]).any()) for chunk in _chunks(rows)
    )
    is_volume = len(preparation.size) == 3
    channels: tuple[int, ...] = (3,) if has_colour else (1,) if is_volume else ()
    # Written in order and not through a map, so that a full disk is an error and not a signal.
    with (folder / "pixels.npy").open("wb") as file:
        shape = (len(rows), *preparation.size, *channels)
        header = {"descr": pixels.dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for chunk in _chunks(rows):
            block = pixels[chunk]
            seen = block if has_colour else block[..., :1] if is_volume else block[..., 0]
            file.write(np.ascontiguousarray(seen).tobytes())
    told: dict[str, Any] = {f"told_{name}": values for name, values in facts.told.items()}
    np.savez(
        folder / "index.npz",
        members=np.array([place for members in facts.members for place in members], dtype=np.int64),
        n_members=np.array([len(members) for members in facts.members], dtype=np.int64),
        frames=facts.frames,
        contents=np.array(facts.contents, dtype=np.str_),
        heights=facts.heights,
        widths=facts.widths,
        bit_depth=np.array(pixels.dtype.itemsize * 8),
        unreadable_positions=np.array(sorted(unreadable), dtype=np.int64),
        unreadable_reasons=np.array([unreadable[i] for i in sorted(unreadable)], dtype=np.str_),
        preparation=np.array(json.dumps(preparation.to_json())),
        notes=np.array(json.dumps(dict(facts.notes))),
        **told,
    )


def _chunks(positions: Int[np.ndarray, " image"]) -> list[Int[np.ndarray, " chunk"]]:
    return [positions[at : at + _CHUNK] for at in range(0, len(positions), _CHUNK)]


def read_entry(folder: Path) -> PreparedImages:
    """Open an entry; pixels stay on disk until they are looked at."""
    path = folder / "pixels.npy"
    with np.load(folder / "index.npz", allow_pickle=False) as index:
        reasons = zip(index["unreadable_positions"].tolist(), index["unreadable_reasons"].tolist(), strict=True)
        ends = np.cumsum(index["n_members"]).tolist()
        members = index["members"].tolist()
        firsts = [0, *ends[:-1]] if ends else []
        facts = Facts(
            members=tuple(tuple(members[first:end]) for first, end in zip(firsts, ends, strict=True)),
            frames=index["frames"],
            contents=tuple(index["contents"].tolist()),
            heights=index["heights"],
            widths=index["widths"],
            told={key.removeprefix("told_"): index[key] for key in index.files if key.startswith("told_")},
            notes=json.loads(str(index["notes"])),
        )
        return PreparedImages(
            path=path,
            # An array without elements cannot be mapped.
            pixels=np.load(path, mmap_mode="r" if ends else None, allow_pickle=False),
            facts=facts,
            bit_depth=int(index["bit_depth"]),
            unreadable=dict(reasons),
            preparation=Preparation.of_json(json.loads(str(index["preparation"]))),
        )
