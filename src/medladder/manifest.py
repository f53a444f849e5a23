"""Which files make a cohort and what is known of each: from class folders or from a CSV."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
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

_SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini"})
_NOTES = frozenset({".csv", ".txt", ".json", ".md", ".xml"})

_PATIENT_COLUMNS = ("patient", "patient_id")
_OWN_COLUMNS = ("path", "label", "split", *_PATIENT_COLUMNS)


@dataclass(frozen=True)
class Manifest:
    """A row a file: `names` are relative to `folder`; `patients` is None where no one said whose the images are.

    `columns` are the further columns of a CSV, as text; `n_unlabelled` rows had no label and are not here.
    `ignored` counts, by ending, files beside the images of class folders that are neither images nor notes.
    """

    folder: Path
    names: tuple[str, ...]
    labels: tuple[str, ...]
    parts: tuple[str, ...]
    patients: tuple[str, ...] | None = None
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    n_unlabelled: int = 0
    ignored: Mapping[str, int] = field(default_factory=dict)


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
            ignored.update({ending: count for ending, count in others.items() if ending not in _NOTES})
    if not rows:
        raise CohortError(
            found=f"{folder} holds no images in class folders; {_what_is_in(folder)}.",
            needed="One folder a class with PNG, JPEG, TIFF or BMP files in it.",
            do="Name the folder whose inner folders are the classes, or give a CSV with the columns path and label.",
        )
    for name, endings in barren.items():
        raise CohortError(
            found=f"Class folder '{name}' of {folder} holds no image of a known kind; {_most(endings)}.",
            needed="PNG, JPEG, TIFF or BMP files in every class folder.",
            do="Export its images as one of these (16-bit PNG keeps the depth of DICOM), or move the folder away.",
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
    """Every file that a person put there: nothing hidden, nothing that a file manager leaves behind."""
    for place, inner, files in os.walk(folder):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        for file in sorted(files):
            if not file.startswith(".") and file.lower() not in _SYSTEM_FILES:
                yield Path(place, file)


def _ending(file: Path) -> str:
    return file.suffix.lower() or "no ending"


def _what_is_in(folder: Path) -> str:
    endings = Counter(_ending(file) for file in _files_below(folder))
    return _most(endings) if endings else "it is empty"


def _most(endings: Counter[str]) -> str:
    most = ", ".join(f"{count} × {ending}" for ending, count in endings.most_common(3))
    return f"below it lie {most}"


def read_csv(path: Path) -> Manifest:
    """Read a CSV with the columns path and label, and optionally patient (or patient_id), split and others.

    Paths are relative to the CSV. Comma, semicolon and tab are told apart by the header line.

    Raises
    ------
    CohortError
        Not text, quotes that do not close, a column missing, no label at all, a file missing or named twice, or an
        unknown split.
    """
    header, rows = _read_table(path)
    columns = {name: tuple(row[i] for row in rows) for i, name in enumerate(header)}
    _check_columns(path, header)
    is_labelled = [bool(label) for label in columns["label"]]
    if not any(is_labelled):
        raise CohortError(
            found=f"All {len(rows)} rows of {path.name} have no label.",
            needed="A label in the rows to study.",
            do="Fill the column, or name the one that holds the classes 'label'.",
        )
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
    table = _cells(path, lines, delimiter)
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


def _cells(path: Path, lines: Sequence[str], delimiter: str) -> list[list[str]]:
    # Strict: else a quote that nobody closed swallows the rest of the file into one cell.
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        return [[cell.strip() for cell in row] for row in reader if any(row)]
    except csv.Error as error:
        odd = (number for number, line in enumerate(lines, start=1) if line.count('"') % 2)
        raise CohortError(
            found=f"The double quotes of {path.name} do not pair up ({error}); see line {next(odd, reader.line_num)}.",
            needed='Quotes around a whole cell, and "" for a quote within it.',
            do="Mend the quotes, or save the file again from a spreadsheet.",
        ) from error


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
    missing = [name for name in names if not os.path.isfile(path.parent / name)]
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
