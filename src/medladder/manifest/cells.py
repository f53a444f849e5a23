"""The cells of a table as text, whatever file they came from, and what no table may hold."""

from __future__ import annotations

import datetime
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from ..errors import CohortError

MAX_BYTES = 64 * 2**20
"""A larger file is refused before reading; 400,000 lines of MIMIC-CXR's metadata are within it."""

MAX_CELLS = 10_000_000
"""More cells are refused: as text they take about 60 bytes each."""

MAX_CELL = 131_072
"""Characters of one cell; also where Python's csv module stops by default. A spreadsheet holds 32,767."""

MISSING = frozenset({"", "NaN", "nan", "NAN", "NA", "None", "null", "NULL"})
"""What programs write where nothing is known; «none» in small letters is not here, since it can name a class."""

_NO_TEXT = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True)
class Table:
    """`rows` of text under a `header` of differing names; `numbers` are their rows in the file, `name` is its name."""

    name: str
    header: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    numbers: Sequence[int]

    def column(self, place: int) -> tuple[str, ...]:
        """One column from top to bottom."""
        return tuple(row[place] for row in self.rows)


def text_of(value: object) -> str:
    """A cell as text: whole numbers without a point, true and false, dates as ISO 8601, nothing where none is known.

    Raises
    ------
    TypeError
        A list, bytes, or anything else that is no single value.

    Example
    -------
    >>> [text_of(value) for value in (1.0, 2.5, True, None, float("nan"), datetime.datetime(2024, 5, 17))]
    ['1', '2.5', 'true', '', '', '2024-05-17']
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float | Decimal):
        return _number(value)
    if isinstance(value, datetime.datetime) and value.time() == datetime.time() and value.tzinfo is None:
        return value.date().isoformat()
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return str(value)
    raise TypeError(f"a cell of type {type(value).__name__}")


def _number(value: float | Decimal) -> str:
    if math.isnan(value):
        return ""
    is_whole = math.isfinite(value) and -(2**53) < value < 2**53 and value == int(value)
    return str(int(value)) if is_whole else str(value)


def read_bytes(path: Path) -> bytes:
    """A whole file, where it is of a size that a table can have.

    Raises
    ------
    CohortError
        Larger than `MAX_BYTES`, or not to be read.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise CohortError(
            found=f"{path} cannot be read: {error.strerror}.",
            needed="A file that may be read.",
            do="Check the path and who may read it.",
        ) from error
    if len(content) > MAX_BYTES:
        raise CohortError(
            found=f"{path.name} is larger than {MAX_BYTES // 2**20} MiB.",
            needed="A list of images with their labels.",
            do="Check that this is the right file, or delete columns that are not used.",
        )
    return content


def refuse_cells(name: str) -> CohortError:
    """The error of a table with more than `MAX_CELLS`."""
    return CohortError(
        found=f"{name} has more than {MAX_CELLS:,} cells.",
        needed="A list of images with their labels.",
        do="Check that this is the right file, or delete columns that are not used.",
    )


def build_table(name: str, lines: Iterable[tuple[int, Sequence[str]]]) -> Table:
    """A table of the lines of a file, blank ones skipped; the first names the columns.

    Columns without a name and without content are left out. Shorter rows are refused by who reads them, where the kind
    of file can have any.

    Raises
    ------
    CohortError
        Nothing but a header or less; columns without a name or twice; rows of another length than the header; a cell
        that is too long or holds what is no text.
    """
    filled = ((number, row) for number, row in lines if any(row))
    _, header = next(filled, (0, ()))
    rows, numbers, n_cells = [], [], 0
    for number, row in filled:
        if len(row) != len(header):
            raise CohortError(
                found=f"Row {number} of {name} has {len(row)} cells, the header {len(header)}.",
                needed="As many cells in every row as in the header.",
                do="Put text that holds the separator in double quotes.",
            )
        n_cells += len(row)
        if n_cells > MAX_CELLS:
            raise refuse_cells(name)
        _check_cells(name, number, row)
        rows.append(row)
        numbers.append(number)
    if not rows:
        raise CohortError(
            found=f"{name} has {'a header and no rows' if header else 'nothing in it'}.",
            needed="A header line and a line an image.",
            do="Check that this is the right file.",
        )
    _check_cells(name, 1, header)
    return _check_header(_without_nameless(Table(name, tuple(header), rows, numbers)))


def _check_cells(name: str, number: int, row: Sequence[str]) -> None:
    for cell in row:
        if len(cell) > MAX_CELL:
            raise CohortError(
                found=f"Row {number} of {name} has a cell of {len(cell):,} characters.",
                needed=f"{MAX_CELL:,} or fewer.",
                do="Shorten it, or delete the column.",
            )
        # Either would end the program later: no path holds a NUL, and no file half a character.
        if _NO_TEXT.search(cell):
            raise CohortError(
                found=f"Row {number} of {name} has a cell with characters that are no text: {shown(cell)}.",
                needed="Whole Unicode characters, and no NUL.",
                do="Save the file again from the program that made it.",
            )


def _without_nameless(table: Table) -> Table:
    """Spreadsheets leave empty columns behind, which no one means."""
    kept = [i for i, name in enumerate(table.header) if name or any(row[i] for row in table.rows)]
    if len(kept) == len(table.header):
        return table
    rows = [[row[i] for i in kept] for row in table.rows]
    return Table(table.name, tuple(table.header[i] for i in kept), rows, table.numbers)


def _check_header(table: Table) -> Table:
    if "" in table.header:
        raise CohortError(
            found=f"Column {table.header.index('') + 1} of {table.name} has no name.",
            needed="A name over every column.",
            do="Name it, or delete the column.",
        )
    twice = [name for name, count in Counter(table.header).items() if count > 1]
    if twice:
        raise named_twice(table.name, listed(twice))
    return table


def named_twice(name: str, columns: str) -> CohortError:
    """The error of a table with two columns of one meaning."""
    return CohortError(
        found=f"{name} names a column twice: {columns}.",
        needed="Each column once.",
        do="Rename or delete one of them.",
    )


def shown(text: str, length: int = 80) -> str:
    """Text from a file as a message can hold it: not too long, and nothing in it that steers a terminal."""
    seen = text if text.isprintable() else text.encode("unicode_escape").decode("ascii")
    return seen if len(seen) <= length else f"{seen[:length]}… ({len(text):,} characters)"


def listed(names: Sequence[str], most: int = 12) -> str:
    """Names from a file, the first of many."""
    first = ", ".join(shown(name) for name in names[:most])
    return first if len(names) <= most else f"{first} and {len(names) - most} more"
