"""Which files make a cohort and what is known of each: from class folders or from a CSV."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .errors import CohortError, unknown_name
from .images.formats import is_image_name

PARTS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""Names of parts as people write them, any case."""

_PATIENT_COLUMNS = ("patient", "patient_id")
_OWN_COLUMNS = ("path", "label", "split", *_PATIENT_COLUMNS)


@dataclass(frozen=True)
class Manifest:
    """A row a file: `names` are relative to `folder`; `patients` is None where no one said whose the images are.

    `columns` are the further columns of a CSV, as text; `n_unlabelled` rows had no label and are not here.
    """

    folder: Path
    names: tuple[str, ...]
    labels: tuple[str, ...]
    parts: tuple[str, ...]
    patients: tuple[str, ...] | None = None
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    n_unlabelled: int = 0


def read_folder(folder: Path) -> Manifest:
    """List a folder of class folders, with optional train, val and test folders above them.

    Images may lie any number of folders below their class folder. Loose files beside class folders are ignored.

    Raises
    ------
    CohortError
        No class folders, or no images in them.
    """
    inner = _subfolders(folder)
    by_part = {PARTS[child.name.lower()]: child for child in inner if child.name.lower() in PARTS}
    if by_part and len(by_part) < len(inner):
        others = [child.name for child in inner if child.name.lower() not in PARTS]
        raise CohortError(
            found=f"{folder} holds both parts ({', '.join(sorted(by_part))}) and other folders ({', '.join(others)}).",
            needed="Either class folders, or only train, val and test folders with class folders in them.",
            do="Move the other folders away, or write a CSV with the columns path, label and split.",
        )
    rows = [
        (name, label, part)
        for part, top in (by_part or {"train": folder}).items()
        for label_folder in _subfolders(top)
        for name, label in _images_below(folder, label_folder)
    ]
    if not rows:
        raise CohortError(
            found=f"{folder} holds no images in class folders; {_what_is_in(folder)}.",
            needed="One folder a class with PNG, JPEG, TIFF or BMP files in it.",
            do="Name the folder whose inner folders are the classes, or give a CSV with the columns path and label.",
        )
    rows.sort()
    names, labels, parts = zip(*rows, strict=True)
    return Manifest(folder, names, labels, parts)


def _subfolders(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))


def _images_below(folder: Path, label_folder: Path) -> list[tuple[str, str]]:
    return [
        (Path(place, file).relative_to(folder).as_posix(), label_folder.name)
        for place, inner, files in os.walk(label_folder)
        if not inner.sort()
        for file in sorted(files)
        if is_image_name(file) and not file.startswith(".")
    ]


def _what_is_in(folder: Path) -> str:
    endings = Counter(
        os.path.splitext(file)[1].lower() or "no ending" for _, _, files in os.walk(folder) for file in files
    )
    if not endings:
        return "it is empty"
    most = ", ".join(f"{count} × {ending}" for ending, count in endings.most_common(3))
    return f"below it lie {most}"


def read_csv(path: Path) -> Manifest:
    """Read a CSV with the columns path and label, and optionally patient (or patient_id), split and others.

    Paths are relative to the CSV. Comma, semicolon and tab are told apart by the header line.

    Raises
    ------
    CohortError
        Not text, a column missing, a file missing or named twice, or an unknown split.
    """
    header, rows = _read_table(path)
    columns = {name: tuple(row[i] for row in rows) for i, name in enumerate(header)}
    _check_columns(path, header)
    is_labelled = [bool(label) for label in columns["label"]]
    kept = {
        name: tuple(v for v, keep in zip(values, is_labelled, strict=True) if keep) for name, values in columns.items()
    }
    names = tuple(value.replace("\\", "/") for value in kept["path"])
    _check_files(path, names)
    patient_column = next((name for name in _PATIENT_COLUMNS if name in kept), None)
    return Manifest(
        folder=path.parent,
        names=names,
        labels=kept["label"],
        parts=_parts(path, kept.get("split"), len(names)),
        patients=_patients(path, kept[patient_column]) if patient_column else None,
        columns={name: values for name, values in kept.items() if name not in _OWN_COLUMNS},
        n_unlabelled=is_labelled.count(False),
    )


def _read_table(path: Path) -> tuple[list[str], list[list[str]]]:
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise CohortError(
            found=f"{path.name} is not UTF-8 text ({error.reason} at byte {error.start}).",
            needed="A CSV saved as UTF-8.",
            do="Save it again as «CSV UTF-8».",
        ) from error
    first = lines[0] if lines else ""
    delimiter = max(",;\t", key=first.count)
    table = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter) if any(row)]
    if len(table) < 2:
        raise CohortError(
            found=f"{path.name} has {'a header and no rows' if table else 'nothing in it'}.",
            needed="A header line and a line an image.",
            do="Check that this is the right file.",
        )
    header, *rows = table
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise CohortError(
                found=f"Row {number} of {path.name} has {len(row)} cells, the header {len(header)}.",
                needed="As many cells in every row as in the header.",
                do="Put text that holds the separator in double quotes.",
            )
    return [name.lower() if name.lower() in _OWN_COLUMNS else name for name in header], rows


def _check_columns(path: Path, header: Sequence[str]) -> None:
    missing = [name for name in ("path", "label") if name not in header]
    if missing:
        raise CohortError(
            found=f"{path.name} has the columns {', '.join(header)}.",
            needed=f"A column named {' and one named '.join(missing)}.",
            do=f"Rename the column that holds the {missing[0]} of each image.",
        )
    twice = [name for name, count in Counter(header).items() if count > 1]
    if twice or all(name in header for name in _PATIENT_COLUMNS):
        raise CohortError(
            found=f"{path.name} names a column twice: {', '.join(twice) or 'patient and patient_id'}.",
            needed="Each column once.",
            do="Rename or delete one of them.",
        )


def _check_files(path: Path, names: Sequence[str]) -> None:
    missing = [name for name in names if not (path.parent / name).is_file()]
    if missing:
        raise CohortError(
            found=f"{len(missing)} of the {len(names)} files in {path.name} are not there; the first: {missing[0]}.",
            needed="Every path, relative to the CSV.",
            do="Mend the paths, or delete these rows.",
        )
    twice = [name for name, count in Counter(os.path.normpath(name) for name in names).items() if count > 1]
    if twice:
        raise CohortError(
            found=f"{path.name} names {len(twice)} files more than once; the first: {twice[0]}.",
            needed="One row a file.",
            do="Delete the rows that repeat.",
        )


def _parts(path: Path, values: Sequence[str] | None, n_rows: int) -> tuple[str, ...]:
    if values is None:
        return ("train",) * n_rows
    unknown = sorted({value for value in values if value.lower() not in PARTS})
    if unknown == [""] or "" in unknown:
        raise CohortError(
            found=f"{sum(not value for value in values)} rows of {path.name} have no split.",
            needed="train, val or test in every row, or no split column.",
            do="Fill the column, or delete it to let medladder split by patient.",
        )
    if unknown:
        raise CohortError(
            found=f"The split column of {path.name} holds '{unknown[0]}'.",
            needed="train, val or test.",
            do=str(unknown_name("split", unknown[0], ("train", "val", "test")).do),
        )
    return tuple(PARTS[value.lower()] for value in values)


def _patients(path: Path, values: tuple[str, ...]) -> tuple[str, ...]:
    n_missing = sum(not value for value in values)
    if n_missing:
        raise CohortError(
            found=f"{n_missing} rows of {path.name} have no patient.",
            needed="A patient in every row, or no patient column.",
            do="Fill the column; an image whose patient nobody knows can have an id of its own.",
        )
    return values
