"""Class folders, and folders of images whose labels stand elsewhere."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ..errors import CohortError
from ..images.names import READABLE, VOXELS, ending_of, is_image_name
from .cells import shown
from .rows import PARTS, Manifest

# A DICOMDIR is an index of files that lie beside it.
_SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini", "dicomdir"})
_NOTES = frozenset({".csv", ".tsv", ".xlsx", ".parquet", ".txt", ".json", ".md", ".xml"})


def read_folder(folder: Path) -> Manifest:
    """List a folder of class folders, with optional train, val and test folders above them.

    Images may lie any number of folders below their class folder. Loose files beside class folders are ignored, and so
    is what is hidden.

    Raises
    ------
    CohortError
        No class folders, no images in them, or a class folder with other files alone.
    """
    rows: list[tuple[str, str, str]] = []
    ignored: Counter[str] = Counter()
    barren: dict[str, Counter[str]] = {}
    for part, top in (_part_folders(folder) or {"train": folder}).items():
        for label_folder in _subfolders(top):
            files = list(_files_below(label_folder))
            images = [file for file in files if is_image_name(file.name)]
            others = Counter(_ending(file) for file in files if not is_image_name(file.name))
            if others and not images:
                barren[label_folder.relative_to(folder).as_posix()] = others
            rows += [(file.relative_to(folder).as_posix(), label_folder.name, part) for file in images]
            ignored.update({ending: count for ending, count in others.items() if ending not in _NOTES | VOXELS})
    if not rows:
        raise CohortError(
            found=f"{folder} holds no images in class folders; {_what_is_in(folder)}.",
            needed=f"One folder a class with {READABLE}",
            do="Name the folder whose inner folders are the classes; or give labels in a table: --labels TABLE beside "
            "the folder, or a CSV with the columns path and label in its place.",
        )
    for name, endings in barren.items():
        raise CohortError(
            found=f"Class folder '{name}' of {folder} holds no image of a known kind; {_most(endings)}.",
            needed=f"In every class folder {READABLE}",
            do="Export its images as one of these, or move the folder away.",
        )
    rows.sort()
    names, labels, parts = zip(*rows, strict=True)
    return Manifest(folder, names, labels, parts, ignored=dict(ignored.most_common()))


def _part_folders(folder: Path) -> dict[str, Path]:
    """The train, val and test folders; empty where class folders stand at the top."""
    inner = _subfolders(folder)
    by_part: dict[str, Path] = {}
    for child in (child for child in inner if child.name.lower() in PARTS):
        first = by_part.setdefault(PARTS[child.name.lower()], child)
        if first is not child:
            raise CohortError(
                found=f"{folder} holds {first.name} and {child.name}, which both mean {PARTS[child.name.lower()]}.",
                needed="One folder a part.",
                do="Move the class folders of both into one, or move one away.",
            )
    others = [child.name for child in inner if child.name.lower() not in PARTS]
    if by_part and others:
        raise CohortError(
            found=f"{folder} holds both parts ({', '.join(sorted(by_part))}) and other folders ({', '.join(others)}).",
            needed="Either class folders, or only train, val and test folders with class folders in them.",
            do="Move the other folders away, or write a CSV with the columns path, label and split.",
        )
    return by_part


def _subfolders(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))


def _files_below(folder: Path) -> Iterator[Path]:
    """Every file that a person put there: nothing hidden, nothing that a file manager leaves behind.

    Raises
    ------
    CohortError
        A folder below may not be read, or a name is not Unicode.
    """
    for place, inner, files in os.walk(folder, onerror=_refuse_closed):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        for file in sorted(files):
            if not file.startswith(".") and file.lower() not in _SYSTEM_FILES:
                _check_text(Path(place, file))
                yield Path(place, file)


def _refuse_closed(error: OSError) -> None:
    raise CohortError(
        found=f"{error.filename} may not be read: {error.strerror}.",
        needed="Permission to read every folder below.",
        do="Ask whoever owns it, or move it away.",
    ) from error


def _check_text(file: Path) -> None:
    # Python keeps bytes that are no UTF-8 as halves of characters, which no record and no page can hold.
    if re.search("[\ud800-\udfff]", str(file)):
        odd = next(part for part in reversed(file.parts) if re.search("[\ud800-\udfff]", part))
        raise CohortError(
            found=f"The name of {shown(odd)} is not UTF-8.",
            needed="Names in Unicode, as other programs write them.",
            do="Rename the file or the folder it lies in.",
        )


def _ending(file: Path) -> str:
    return ending_of(file.name) or "no ending"


def _what_is_in(folder: Path) -> str:
    endings = Counter(_ending(file) for file in _files_below(folder))
    return _most(endings) if endings else "it is empty"


def _most(endings: Counter[str]) -> str:
    most = ", ".join(f"{count} × {ending}" for ending, count in endings.most_common(3))
    return f"below it lie {most}"


def read_listing(folder: Path) -> tuple[str, ...]:
    """Names, relative to the folder, of all files below it that may be images, whatever folders they lie in.

    Raises
    ------
    CohortError
        There is none, a folder may not be read, or a name is not Unicode.
    """
    names = [file.relative_to(folder).as_posix() for file in _files_below(folder) if is_image_name(file.name)]
    if not names:
        raise CohortError(
            found=f"{folder} holds no image; {_what_is_in(folder)}.",
            needed=f"At any depth, {READABLE}",
            do="Name the folder that holds them.",
        )
    return tuple(sorted(names))
