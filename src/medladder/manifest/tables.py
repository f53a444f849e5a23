"""Tables of images with their labels: CSV, TSV, Excel, Parquet and JSON lists, by the ending of the name."""

from __future__ import annotations

from pathlib import Path

from ..errors import CohortError
from .cells import Table
from .columns import Columns, check_needed, find_columns
from .delimited import read_delimited
from .lists import read_list
from .parquet import read_parquet
from .paths import check_files, names_of
from .rows import Manifest, further_columns, keep_labelled, parts_of, patients_of
from .workbooks import read_workbook

_READERS = {".csv": read_delimited, ".tsv": read_delimited, ".xlsx": read_workbook, ".parquet": read_parquet}

TABLES = frozenset({*_READERS, ".json"})


def is_table_name(name: str) -> bool:
    """Whether a file name ends like a table of images."""
    return Path(name).suffix.lower() in TABLES


def load_table(path: Path, columns: Columns) -> tuple[Table, Columns]:
    """The cells of a table as text, and what its columns are called.

    Raises
    ------
    CohortError
        A file of another kind, or one that holds no table.
    InputError
        The library that reads this kind is not installed.
    """
    suffix = path.suffix.lower()
    if suffix == ".json":
        return read_list(path, columns)
    if suffix not in _READERS:
        raise CohortError(
            found=f"{path.name} is a file of another kind.",
            needed=f"A table: {', '.join(sorted(TABLES))}.",
            do="Save it as one of these.",
        )
    return _READERS[suffix](path), columns


def read_table(path: Path, columns: Columns | None = None) -> Manifest:
    """Read a table with the columns path and label, and optionally patient (or patient_id), split and others.

    Paths are relative to the folder of the table and stay within it; one that names a folder means the series in it.
    `columns` says what the columns are called where it is not this.

    Raises
    ------
    CohortError
        No table (`load_table`); a column missing, no label at all; a path that is missing, outside or named twice; an
        unknown split; a row without patient.
    InputError
        The library that reads this kind is not installed.
    """
    table, columns = load_table(path, columns or Columns())
    places = find_columns(table, columns, ("path", "label", "patient", "split"))
    check_needed(table, places, ("path", "label"))
    labelled, labels = keep_labelled(table, places["label"])
    names = names_of(labelled, places["path"])
    check_files(path.parent, path.name, names)
    return Manifest(
        folder=path.parent,
        names=names,
        labels=labels,
        parts=parts_of(labelled, places.get("split")),
        patients=patients_of(labelled, places.get("patient")),
        columns=further_columns(labelled, places),
        n_unlabelled=len(table.rows) - len(labels),
    )
