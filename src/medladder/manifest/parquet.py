"""Parquet: one value a cell, dates as ISO text, categories as their names."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import CohortError, MedladderError
from .cells import MAX_CELLS, Table, build_table, read_bytes, refuse_cells, text_of
from .libraries import load_library

MAX_UNPACKED = 512 * 2**20
"""Bytes of all columns together, as the file states them."""


def read_parquet(path: Path) -> Table:
    """Read every column; the index that pandas puts beside them is left out.

    Raises
    ------
    CohortError
        Not a Parquet file, larger than the limits, a column of lists, structures or bytes; or no table (`build_table`).
    InputError
        pyarrow is not installed.
    """
    pyarrow, parquet = load_library("pyarrow", path.name), load_library("pyarrow.parquet", path.name)
    content = read_bytes(path)
    try:
        file = parquet.ParquetFile(io.BytesIO(content))
        facts = file.metadata
        size = sum(facts.row_group(i).total_byte_size for i in range(facts.num_row_groups))
        if facts.num_rows * facts.num_columns > MAX_CELLS or size > MAX_UNPACKED:
            raise refuse_cells(path.name)
        names = [name for name in file.schema_arrow.names if not re.fullmatch(r"__index_level_\d+__", name)]
        table = file.read(columns=names)
        columns = [_texts(path.name, pyarrow, name, table.column(i)) for i, name in enumerate(table.column_names)]
        return build_table(path.name, _lines([name.strip() for name in table.column_names], columns))
    except MedladderError:
        raise
    # A damaged file ends pyarrow in many ways (ArrowException, OSError, KeyError, UnicodeDecodeError, ...).
    except Exception as error:
        raise CohortError(
            found=f"{path.name} cannot be read as Parquet: {type(error).__name__} in pyarrow.",
            needed="A whole Parquet file.",
            do="Write it again, or as CSV.",
        ) from error


def _lines(header: Sequence[str], columns: Sequence[Sequence[str]]) -> Iterator[tuple[int, Sequence[str]]]:
    yield 0, header
    yield from enumerate(zip(*columns, strict=True), start=1)


def _texts(name: str, pyarrow: Any, column: str, values: Any) -> list[str]:
    types = pyarrow.types
    kind = values.type
    if types.is_dictionary(kind):
        values = values.cast(kind.value_type)
        kind = values.type
    if types.is_float32(kind) or types.is_float16(kind):
        # By way of text: as float64 a stored 0.1 would read 0.10000000149.
        texts = values.cast(pyarrow.float32()).cast(pyarrow.string()).to_pylist()
        return [text_of(None if text is None else float(text)) for text in texts]
    if types.is_timestamp(kind):
        values = values.cast(pyarrow.timestamp("us", kind.tz), safe=False)  # Python's own dates have no nanoseconds
    try:
        return [text_of(value) for value in values.to_pylist()]
    except TypeError as error:
        raise CohortError(
            found=f"Column '{column}' of {name} holds {kind}.",
            needed="Text, numbers, dates or true and false.",
            do="Convert the column, or leave it out.",
        ) from error
