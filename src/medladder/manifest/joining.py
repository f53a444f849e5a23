"""Labels from a table for images that lie elsewhere: joined on path, SOP instance, series or patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ..errors import CohortError
from ..images.image import hash_identifier
from ..images.names import ENDINGS, ending_of
from .cells import MISSING, Table, listed, shown
from .columns import USUAL, Columns, check_needed, find_columns
from .paths import names_of
from .rows import further_columns, keep_labelled, parts_of, patients_of
from .tables import load_table

KEYS = ("path", "instance", "series", "patient")
"""What a table can be joined on, the finest first."""

_PLURAL = {"path": "paths", "instance": "SOP instances", "series": "series", "patient": "patients"}


@dataclass(frozen=True)
class LabelTable:
    """A row a label: `keys` are relative paths where `key` is path, else hashes of identifiers.

    `patients` are hashes too, where a column of its own says whose the images are. `columns` are further ones as text;
    `numbers` are the rows in the file `name`; `n_unlabelled` rows had no label and are not here.
    """

    name: str
    key: str
    keys: tuple[str, ...]
    labels: tuple[str, ...]
    parts: tuple[str, ...]
    numbers: tuple[int, ...]
    patients: tuple[str, ...] | None = None
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    n_unlabelled: int = 0


def read_labels(path: Path, columns: Columns | None = None) -> LabelTable:
    """Read a table with the column label and one of path, instance, series and patient (`USUAL`).

    A patient beside another of these says whose the image is.

    Raises
    ------
    CohortError
        No table (`load_table`); no label, or none at all; none or several columns to join on; a row without its key,
        or two rows of one key that say different things.
    InputError
        The library that reads this kind is not installed.
    """
    table, columns = load_table(path, columns or Columns())
    places = find_columns(table, columns, ("label", "split", *KEYS))
    check_needed(table, places, ("label",))
    key = _key(table, places)
    labelled, labels = keep_labelled(table, places["label"])
    if key == "path":
        keys = names_of(labelled, places["path"])
    else:
        keys = _hashed(labelled, places[key], key)
    patients = None if key == "patient" else patients_of(labelled, places.get("patient"))
    read = LabelTable(
        name=table.name,
        key=key,
        keys=keys,
        labels=labels,
        parts=parts_of(labelled, places.get("split")),
        numbers=tuple(labelled.numbers),
        patients=None if patients is None else tuple(map(hash_identifier, patients)),
        columns=further_columns(labelled, places),
        n_unlabelled=len(table.rows) - len(labels),
    )
    _rows_by_key(read)
    return read


def _key(table: Table, places: Mapping[str, int]) -> str:
    found = [key for key in KEYS if key in places]
    if not found:
        raise CohortError(
            found=f"{table.name} has the columns {listed(table.header)}.",
            needed=f"One that says which image a label belongs to: {', '.join(USUAL[key][-1] for key in KEYS)}.",
            do="Rename that column, or say --path-column or --patient-column NAME.",
        )
    if len(found) > 1 and found[1] != "patient":
        raise CohortError(
            found=f"{table.name} can be joined on {' and on '.join(found)}.",
            needed="One column that says which image a label belongs to.",
            do="Delete the others.",
        )
    return found[0]


def _hashed(table: Table, place: int, key: str) -> tuple[str, ...]:
    values = table.column(place)
    missing = [number for number, value in zip(table.numbers, values, strict=True) if value in MISSING]
    if missing:
        raise CohortError(
            found=f"{len(missing)} rows of {table.name} have a label and no {key}; the first is row {missing[0]}.",
            needed=f"The {key} in every row that has a label.",
            do="Fill the column, or delete these rows.",
        )
    return tuple(map(hash_identifier, values))


def _rows_by_key(labels: LabelTable) -> dict[str, int]:
    """The first row of each key; a later one may only repeat it."""
    said = {
        "labels": labels.labels,
        "splits": labels.parts,
        "patients": labels.patients or (),
        **{f"values of '{shown(name)}'": values for name, values in labels.columns.items()},
    }
    rows: dict[str, int] = {}
    for row, key in enumerate(labels.keys):
        first = rows.setdefault(key, row)
        for what, values in said.items() if first != row else ():
            if values and values[first] != values[row]:
                raise CohortError(
                    found=f"Rows {labels.numbers[first]} and {labels.numbers[row]} of {labels.name} are about the same "
                    f"{labels.key} and have different {what}.",
                    needed=f"One row a {labels.key}, or rows that agree.",
                    do="Keep the right one, delete the column, or join on a finer key: "
                    "SOPInstanceUID, SeriesInstanceUID or path.",
                )
    return rows


def join(labels: LabelTable, facts: Sequence[Mapping[str, str]], names: Sequence[str]) -> tuple[int, ...]:
    """The row of `labels` for each image, -1 where none is about it.

    `facts` are the identifiers of each image as `Header.facts` holds them, `names` its path as the table would write
    it. Only one of the two is used, according to `labels.key`. Where a table holds no path of the images at all, as
    `scan_12` for `visit 1/scan_12.nii.gz`, names without ending are joined, provided that no two are alike and that the
    folders stated on both sides agree.

    Raises
    ------
    CohortError
        Two rows of one key say different things, or no image is met at all.
    """
    rows = _rows_by_key(labels)
    if labels.key == "path":
        keys = [PurePosixPath(name).as_posix() for name in names]
    else:
        keys = [told.get(labels.key, "") for told in facts]
    joined = tuple(rows.get(key, -1) for key in keys)
    if labels.key == "path" and max(joined, default=-1) < 0:
        joined = _joined_by_bare_names(rows, keys)
    if max(joined, default=-1) < 0:
        raise _refuse_strangers(labels, keys)
    return joined


def _joined_by_bare_names(rows: Mapping[str, int], keys: Sequence[str]) -> tuple[int, ...]:
    stated, found = [_bare(key) for key in rows], [_bare(key) for key in keys]
    if any(len({path.name for path in paths}) < len(paths) for paths in (stated, found)):
        return ()
    by_name = {path.name: (path, row) for path, row in zip(stated, rows.values(), strict=True)}
    joined = []
    for path in found:
        other, row = by_name.get(path.name, (path, -1))
        # Folders that differ are other patients' as likely as not, and a wrong label is worse than none.
        pairs = zip(reversed(path.parts), reversed(other.parts), strict=False)
        joined.append(row if all(one == another for one, another in pairs) else -1)
    return tuple(joined)


def _bare(key: str) -> PurePosixPath:
    """A path without the ending of an image."""
    path = PurePosixPath(key)
    last = ending_of(path.name)
    return path.with_name(path.name[: -len(last)]) if last in ENDINGS else path


def _refuse_strangers(labels: LabelTable, keys: Sequence[str]) -> CohortError:
    stated = {key for key in keys if key}
    many = _PLURAL[labels.key]
    found = (
        f"None of the {len(set(labels.keys))} {many} in the {len(labels.keys)} rows of {labels.name} is among the "
        f"{len(stated)} {many} of {len(keys)} images"
    )
    if labels.key == "path":
        first = f"; the first row has {shown(labels.keys[0])}, the first image is {shown(keys[0])}" if keys else ""
        return CohortError(
            found=f"{found}{first}.",
            needed="Paths relative to the folder of images, written as there; or names of files, each only once.",
            do="Mend the paths of the table, or join on a column SOPInstanceUID, SeriesInstanceUID or PatientID.",
        )
    return CohortError(
        found=f"{found}.",
        needed=f"The {labels.key} as the DICOM files state it, character by character.",
        do="Check that table and images belong together: files may have new identifiers since they were "
        "pseudonymised, and spreadsheets drop zeros in front and cut long numbers.",
    )
