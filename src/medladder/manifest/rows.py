"""A row a file: what a manifest says of each, and what is checked of paths, labels, parts and patients."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import CohortError, unknown_name
from .cells import MISSING, Table, shown

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

_WHOLE = re.compile(r"(-?(?:0|[1-9][0-9]*))\.0*")


@dataclass(frozen=True)
class Manifest:
    """A row an image: `names` are files or folders of one series, relative to `folder`.

    `patients` is None where no one said whose the images are. `columns` are the further columns of a table, as text;
    `n_unlabelled` rows had no label and are not here. `ignored` counts, by ending, files beside the images of class
    folders that are neither images nor notes.
    """

    folder: Path
    names: tuple[str, ...]
    labels: tuple[str, ...]
    parts: tuple[str, ...]
    patients: tuple[str, ...] | None = None
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    n_unlabelled: int = 0
    ignored: Mapping[str, int] = field(default_factory=dict)


def label_of(text: str) -> str:
    """A label as its class is called: 1.0 means 1, and what stands for a missing value is none.

    Example
    -------
    >>> [label_of(text) for text in ("1", "1.0", "0.", "1.5", "01.0", "NaN", "none")]
    ['1', '1', '0', '1.5', '01.0', '', 'none']
    """
    if text in MISSING:
        return ""
    whole = _WHOLE.fullmatch(text)
    return text if whole is None else str(int(whole[1]))


def keep_labelled(table: Table, place: int) -> tuple[Table, tuple[str, ...]]:
    """The rows that have a label, and their labels.

    Raises
    ------
    CohortError
        None has.
    """
    labels = [label_of(text) for text in table.column(place)]
    kept = [i for i, label in enumerate(labels) if label]
    if not kept:
        raise CohortError(
            found=f"All {len(labels)} rows of {table.name} have no label.",
            needed="A label in the rows to study.",
            do="Fill the column, or say --label-column NAME of the one that holds the classes.",
        )
    rows = [table.rows[i] for i in kept]
    return Table(table.name, table.header, rows, [table.numbers[i] for i in kept]), tuple(labels[i] for i in kept)


def parts_of(table: Table, place: int | None) -> tuple[str, ...]:
    """The part of each row; all are for training where no column says it.

    Raises
    ------
    CohortError
        A row without a part, or an unknown one.
    """
    if place is None:
        return ("train",) * len(table.rows)
    values = table.column(place)
    n_missing = sum(value in MISSING for value in values)
    if n_missing:
        raise CohortError(
            found=f"{n_missing} rows of {table.name} have no split.",
            needed="train, val or test in every row, or no split column.",
            do="Fill the column, or delete it to let medladder split by patient.",
        )
    unknown = sorted({value for value in values if value.lower() not in PARTS})
    if unknown:
        raise CohortError(
            found=f"The split column of {table.name} holds '{shown(unknown[0])}'.",
            needed="train, val or test.",
            do=unknown_name("split", unknown[0], ("train", "val", "test")).do,
        )
    return tuple(PARTS[value.lower()] for value in values)


def patients_of(table: Table, place: int | None) -> tuple[str, ...] | None:
    """Whose image each row is, where a column says it.

    Raises
    ------
    CohortError
        A row without a patient.
    """
    if place is None:
        return None
    values = table.column(place)
    n_missing = sum(value in MISSING for value in values)
    if n_missing:
        raise CohortError(
            found=f"{n_missing} rows of {table.name} have no patient.",
            needed="A patient in every row, or no patient column.",
            do="Fill the column; an image whose patient nobody knows can have an id of its own.",
        )
    return values


def further_columns(table: Table, places: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
    """The columns that are not among `places`, as text."""
    taken: Sequence[int] = list(places.values())
    return {name: table.column(i) for i, name in enumerate(table.header) if i not in taken}
