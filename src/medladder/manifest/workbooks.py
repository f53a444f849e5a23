"""The first sheet of an Excel workbook: values as they were stored; nothing is calculated."""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from ..errors import CohortError, MedladderError
from .cells import MAX_CELLS, Table, build_table, read_bytes, refuse_cells, text_of
from .libraries import load_library

MAX_ROWS = 1_048_576
"""Excel's own limit; a file can claim more, and openpyxl would count up to it."""

MAX_UNPACKED = 512 * 2**20
"""Bytes of all parts of a workbook together, as its directory states them."""


def read_workbook(path: Path) -> Table:
    """Read the first sheet; its first row that is not blank names the columns.

    Raises
    ------
    CohortError
        Not an Excel workbook, locked with a password, larger than the limits; a formula without a stored value or with
        an error for one; or no table (`build_table`).
    InputError
        openpyxl is not installed.
    """
    openpyxl = load_library("openpyxl", path.name)
    content = read_bytes(path)
    _check_archive(path, content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on styles, validation and print areas, which no table needs
        try:
            return build_table(path.name, _padded(_rows(path.name, openpyxl, content)))
        except MedladderError:
            raise
        # A damaged workbook ends openpyxl in any of a dozen ways (KeyError, ParseError, zlib.error, ...).
        except Exception as error:
            raise _refuse(path, f"{type(error).__name__} in openpyxl") from error


def _refuse(path: Path, reason: str) -> CohortError:
    return CohortError(
        found=f"{path.name} cannot be read as an Excel workbook: {reason}.",
        needed="A whole .xlsx file without a password.",
        do="Save it again from a spreadsheet, or as «CSV UTF-8».",
    )


def _check_archive(path: Path, content: bytes) -> None:
    if content.startswith(b"\xd0\xcf\x11\xe0"):
        raise _refuse(path, "it is locked with a password or in the format before 2007")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            size = sum(part.file_size for part in archive.infolist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError, OSError) as error:
        raise _refuse(path, "it is another kind of file, or cut short") from error
    if size > MAX_UNPACKED:
        raise _refuse(path, f"unpacked it is {size / 2**20:,.0f} MiB, over the limit of {MAX_UNPACKED // 2**20} MiB")


def _rows(name: str, openpyxl: Any, content: bytes) -> Iterator[list[str]]:
    """Rows of text; where a cell is empty, the workbook is asked a second time whether a formula stands in it."""
    formulas = enumerate(_sheet(openpyxl, content, is_data=False), start=1)
    at: tuple[int, Sequence[Any]] = (0, ())
    for number, row in enumerate(_sheet(openpyxl, content, is_data=True), start=1):
        if number > MAX_ROWS or number * len(row) > MAX_CELLS * 4:
            raise refuse_cells(name)
        if any(cell.value is None for cell in row):
            while at[0] < number:
                at = next(formulas)
            _check_formulas(name, number, row, at[1])
        yield [_text(name, number, place, cell) for place, cell in enumerate(row)]


def _sheet(openpyxl: Any, content: bytes, *, is_data: bool) -> Iterator[Sequence[Any]]:
    """Rows of cells of the first sheet: stored values, or the formulas they came from."""
    book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=is_data, keep_links=False)
    sheet = book.worksheets[0]
    sheet.reset_dimensions()  # some programs state too few, and the rest would not be read
    yield from sheet.iter_rows()


def _check_formulas(name: str, number: int, values: Sequence[Any], formulas: Sequence[Any]) -> None:
    for place, (value, formula) in enumerate(zip_longest(values, formulas)):
        if value is not None and value.value is None and formula is not None and formula.data_type == "f":
            raise CohortError(
                found=f"Cell {_letter(place)}{number} of {name} holds a formula whose value was never stored.",
                needed="Stored values; medladder calculates nothing.",
                do="Open the file in a spreadsheet and save it, or paste the values over the formulas.",
            )


def _text(name: str, number: int, place: int, cell: Any) -> str:
    if cell.data_type == "e" and cell.value != "#N/A":  # which means «not available»: a missing value
        raise CohortError(
            found=f"Cell {_letter(place)}{number} of {name} holds the error {cell.value}.",
            needed="Values.",
            do="Mend the formula, or empty the cell.",
        )
    return "" if cell.data_type == "e" else text_of(cell.value)


def _letter(place: int) -> str:
    name = ""
    place += 1
    while place:
        place, digit = divmod(place - 1, 26)
        name = chr(ord("A") + digit) + name
    return name


def _padded(rows: Iterator[list[str]]) -> Iterator[tuple[int, Sequence[str]]]:
    """Rows as long as the header: a sheet stores none of the empty cells at the end of a row."""
    width = 0
    for number, row in enumerate(rows, start=1):
        while row and not row[-1]:
            row.pop()
        width = width or len(row)
        yield number, row + [""] * (width - len(row)) if row else row
