"""CSV and TSV: text in UTF-8, one line a row; a cell that looks like a formula is text like any other."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import CohortError
from .cells import MAX_CELL, MAX_CELLS, Table, build_table, read_bytes, refuse_cells


def read_delimited(path: Path) -> Table:
    """Read a CSV, whose comma, semicolon or tab is told by its header line, or a TSV.

    Raises
    ------
    CohortError
        Not UTF-8, NUL bytes, quotes that do not close, or no table (`build_table`).
    """
    content = read_bytes(path)
    first = _first_line(path, content)
    delimiter = "\t" if path.suffix.lower() == ".tsv" else max(",;\t", key=first.count)
    if content.count(delimiter.encode()) > MAX_CELLS:
        raise refuse_cells(path.name)
    return build_table(path.name, _lines(path, content, delimiter))


def _first_line(path: Path, content: bytes) -> str:
    """The header without what stands in quotes, once all of the file is known to be text."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CohortError(
            found=f"{path.name} is not UTF-8 text ({error.reason} at byte {error.start}).",
            needed="A CSV saved as UTF-8.",
            do="Save it again as «CSV UTF-8».",
        ) from error
    if "\0" in text:
        raise CohortError(
            found=f"{path.name} holds NUL bytes, the first in line {text[: text.index(chr(0))].count(chr(10)) + 1}.",
            needed="A CSV saved as UTF-8.",
            do="Save it again as «CSV UTF-8»; NUL bytes come from UTF-16, or from a damaged file.",
        )
    return re.sub(r'"[^"]*"', "", text.lstrip().partition("\n")[0])


def _lines(path: Path, content: bytes, delimiter: str) -> Iterator[tuple[int, Sequence[str]]]:
    # Line ends are left as they are: within quotes they belong to the cell, and \r alone ends a line of old files.
    text = io.TextIOWrapper(io.BytesIO(content), "utf-8-sig", newline="")
    # Strict: else a quote that nobody closed swallows the rest of the file into one cell.
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    number = 1
    try:
        for row in reader:
            yield number, [cell.strip() for cell in row]
            number = reader.line_num + 1
    except csv.Error as error:
        raise _refusal(path, content, error, number) from error


def _refusal(path: Path, content: bytes, error: csv.Error, number: int) -> CohortError:
    odd = next((i for i, line in enumerate(content.splitlines(), start=1) if line.count(b'"') % 2), None)
    if odd is None and "field limit" in str(error):
        return CohortError(
            found=f"Row {number} of {path.name} has a cell of more than {csv.field_size_limit():,} characters.",
            needed=f"{MAX_CELL:,} or fewer.",
            do="Shorten it, or delete the column.",
        )
    return CohortError(
        found=f"The double quotes of {path.name} do not pair up ({error}); see line {odd or number}.",
        needed='Quotes around a whole cell, and "" for a quote within it.',
        do="Mend the quotes, or save the file again from a spreadsheet.",
    )
