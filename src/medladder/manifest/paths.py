"""Paths in a manifest: below its own folder, there, and each once."""

from __future__ import annotations

import os
import posixpath
import re
import stat
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ..errors import CohortError
from .cells import MISSING, Table, shown


def names_of(table: Table, place: int) -> tuple[str, ...]:
    """Paths as they are written, with slashes for backslashes and without empty steps, all of them relative.

    Raises
    ------
    CohortError
        A row without a path; a path that is absolute, or leads out of the folder by `..`.
    """
    values = table.column(place)
    n_missing = sum(value in MISSING for value in values)
    if n_missing:
        raise CohortError(
            found=f"{n_missing} rows of {table.name} have no path.",
            needed="A path in every row that has a label.",
            do="Fill the column, or delete these rows.",
        )
    names = tuple(PurePosixPath(value.replace("\\", "/")).as_posix() for value in values)
    outside = [name for name in names if _is_absolute(name) or posixpath.normpath(name).split("/")[0] == ".."]
    if outside:
        raise _refuse_outside(table.name, outside[0], len(outside))
    return names


def _is_absolute(name: str) -> bool:
    return name.startswith("/") or re.match("[A-Za-z]:", name) is not None


def _refuse_outside(manifest: str, name: str, count: int) -> CohortError:
    return CohortError(
        found=f"{count} of the paths in {manifest} lead out of its folder; the first: {shown(name)}.",
        needed=f"Paths relative to the folder of {manifest}, to files within it.",
        do="Put the table into a folder above the images, and write the paths from there.",
    )


def check_files(folder: Path, manifest: str, names: Sequence[str]) -> None:
    """Check that every path is there, below `folder` also after symbolic links, and names an image of its own.

    Raises
    ------
    CohortError
        A file is missing, not to be reached, neither file nor folder, outside, or named twice: by itself or by the
        folder of its series.
    """
    missing, outside = [], []
    inside = _Inside(folder)
    for name in names:
        try:
            if not inside.holds(name):
                outside.append(name)
        except (FileNotFoundError, NotADirectoryError):
            missing.append(name)
        except (OSError, ValueError) as error:  # ValueError: a character that no path of this system can have
            raise CohortError(
                found=f"{shown(name)} in {manifest} cannot be reached: {getattr(error, 'strerror', None) or error}.",
                needed="Paths of files or folders that may be read.",
                do="Mend the path, or delete the row.",
            ) from error
    if missing:
        raise CohortError(
            found=f"{len(missing)} of the {len(names)} files in {manifest} are not there; "
            f"the first: {shown(missing[0])}.",
            needed=f"Every path, relative to the folder of {manifest}.",
            do="Mend the paths, or delete these rows.",
        )
    if outside:
        raise _refuse_outside(manifest, outside[0], len(outside))
    _check_once(manifest, [posixpath.normpath(name) for name in names])


class _Inside:
    """Tells whether files lie below a folder; real places of inner folders are looked up once."""

    def __init__(self, folder: Path) -> None:
        self._root = os.path.realpath(folder)
        self._places: dict[str, str] = {}

    def holds(self, name: str) -> bool:
        """Whether it is there and below; raises OSError where it is not there, or neither file nor folder."""
        path = os.path.join(self._root, name)
        kind = os.lstat(path).st_mode
        if stat.S_ISLNK(kind) or name in (".", "..") or name.endswith("/.."):
            place = os.path.realpath(path, strict=True)
            kind = os.stat(place).st_mode
        else:
            above, own = os.path.split(path)
            if above not in self._places:
                self._places[above] = os.path.realpath(above, strict=True)
            place = os.path.join(self._places[above], own)
        if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
            raise OSError(None, "it is neither a file nor a folder")
        return place == self._root or place.startswith(os.path.join(self._root, ""))


def _check_once(manifest: str, names: Sequence[str]) -> None:
    counts = Counter(names)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise CohortError(
            found=f"{manifest} names {len(twice)} files more than once; the first: {shown(twice[0])}.",
            needed="One row a file.",
            do="Delete the rows that repeat.",
        )
    for name in names:
        above = posixpath.dirname(name)
        while above and above not in counts:
            above = posixpath.dirname(above)
        if above:
            raise CohortError(
                found=f"{manifest} names {shown(name)}, and the folder {shown(above)} it lies in.",
                needed="One row an image: a file, or the folder of a series.",
                do="Delete the row of one of them.",
            )
