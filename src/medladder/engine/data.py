"""Arrays that workers read: by the path where it is shared, else from a copy that each worker was sent once."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

CHUNK_BYTES = 2**25


class MissingDataError(Exception):
    """A worker has no access to an array, and no copy."""

    def __init__(self, array: SharedArray) -> None:
        super().__init__(f"{array.path} is not on the worker.")
        self.array = array

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the array when the error crosses a process border."""
        return type(self), (self.array,)


@dataclass(frozen=True)
class SharedArray:
    """An array in an npy file; `name` and `n_bytes` tell its content wherever it is, as cache entries' names do."""

    path: Path
    name: str
    n_bytes: int

    @classmethod
    def at(cls, path: Path) -> SharedArray:
        """The array of a cache entry."""
        return cls(path, f"{path.parent.parent.name}-{path.parent.name}-{path.name}", path.stat().st_size)

    def mapped(self) -> Shaped[np.ndarray, "..."]:
        """Its numbers, which stay on disk; raises MissingDataError where neither it nor a copy is in reach."""
        path = self._found()
        if path is None:
            raise MissingDataError(self)
        array: Shaped[np.ndarray, "..."] = np.load(path, mmap_mode="r", allow_pickle=False)
        return array

    def is_here(self) -> bool:
        """Whether this process reaches it."""
        return self._found() is not None

    def _found(self) -> Path | None:
        for path in (self.path, *([_folder / self.name] if _folder else [])):
            if path.is_file() and path.stat().st_size == self.n_bytes:
                return path
        return None


def receive(name: str, at: int, chunk: bytes, n_bytes: int) -> int:
    """Write one stretch of a copy on a worker, and give the copy its name when it is whole; the bytes it has now."""
    assert _folder is not None, "keep_copies_in comes first"
    folder = _folder
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = folder / f"{name}.part"
    with unfinished.open("r+b" if at else "wb") as file:
        file.seek(at)
        file.write(chunk)
        has = file.tell()
    if has == n_bytes:
        os.replace(unfinished, folder / name)
    return has


_folder: Path | None = None


def keep_copies_in(folder: Path) -> None:
    """Say where what is sent to this process goes."""
    global _folder
    _folder = folder
