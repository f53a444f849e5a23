"""Which column of a table means what: by the names the user gives, else by the usual ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from ..errors import CohortError, unknown_name
from .cells import Table, listed, named_twice, shown

USUAL = {
    "path": ("path",),
    "label": ("label",),
    "patient": ("patient", "patient_id", "patientid"),
    "split": ("split",),
    "series": ("series", "series_instance_uid", "seriesinstanceuid"),
    "instance": ("instance", "sop_instance_uid", "sopinstanceuid"),
}
"""Names by which a column is known without being told, in any case."""


@dataclass(frozen=True)
class Columns:
    """What the user says the columns of a table are called, each where it is not called as usual (`USUAL`)."""

    path: str | None = None
    label: str | None = None
    patient: str | None = None
    split: str | None = None

    def given(self) -> dict[str, str]:
        """The names that were given, by what they mean."""
        return {meaning: name for meaning, name in asdict(self).items() if name is not None}


def find_columns(table: Table, columns: Columns, meanings: Sequence[str]) -> dict[str, int]:
    """The place of each column that has one of these meanings; a meaning without a column is left out.

    Raises
    ------
    CohortError
        The user's name for a column is not there or means two things; two columns have one meaning.
    """
    given = columns.given()
    places: dict[str, int] = {}
    for meaning, name in given.items():
        if name not in table.header:
            raise CohortError(
                found=f"{table.name} has no column '{shown(name)}' for the {meaning}.",
                needed=f"One of its columns: {listed(table.header)}.",
                do=unknown_name("column", name, table.header).do,
            )
        same = next((other for other, place in places.items() if table.header[place] == name), None)
        if same is not None:
            raise CohortError(
                found=f"Column '{shown(name)}' is named for both {same} and {meaning}.",
                needed="A column of its own for each.",
                do="Name another one, or leave one of the two options out.",
            )
        places[meaning] = table.header.index(name)
    taken = set(places.values())
    for meaning in meanings:
        if meaning not in given:
            hits = [i for i, name in enumerate(table.header) if name.lower() in USUAL[meaning] and i not in taken]
            if len(hits) > 1:
                raise named_twice(table.name, " and ".join(sorted(table.header[i] for i in hits)))
            if hits:
                places[meaning] = hits[0]
    return places


def check_needed(table: Table, places: dict[str, int], needed: Sequence[str]) -> None:
    """Refuse a table that lacks a column.

    Raises
    ------
    CohortError
        It does.
    """
    missing = [meaning for meaning in needed if meaning not in places]
    if missing:
        raise CohortError(
            found=f"{table.name} has the columns {listed(table.header)}.",
            needed=f"A column named {' and one named '.join(missing)}.",
            do=f"Say --{missing[0]}-column NAME, or rename the column that holds the {missing[0]} of each image.",
        )
