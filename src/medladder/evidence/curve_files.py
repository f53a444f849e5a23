"""Curves measured elsewhere: a CSV with a line a trial."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from ..errors import InputError
from .curves import Trials

COLUMNS = ("n_train", "repeat", "score")
_BYTES = 50_000_000


def read_trials(path: Path) -> Trials:
    """Scores of one curve from a CSV with columns n_train, repeat and score; other columns are not read.

    Columns may be parted by commas, semicolons or tabs. `repeat` is any name of a repeat.

    Raises
    ------
    InputError
        No such file, no text, a column is missing, a value is no number, a repeat has two scores at one size; or what
        `Trials` refuses: no score, a single size, a score outside 0–1.
    """
    lines = _lines_of(path)
    header = [name.strip().lower() for name in lines[0]] if lines else []
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise InputError(
            found=f"{path} is empty." if not lines else f"{path} has no column {', '.join(missing)}.",
            needed="A CSV with the columns n_train, repeat and score, a line a trial.",
            do="Name the columns so in its first line.",
        )
    n_at, repeat_at, score_at = (header.index(name) for name in COLUMNS)
    sizes, scores, repeats = [], [], []
    seen: dict[tuple[float, str], int] = {}
    for number, line in enumerate(lines[1:], start=2):
        if not any(cell.strip() for cell in line):
            continue
        if len(line) != len(header):
            raise _refused(path, number, f"{len(line)} values", f"{len(header)}, as its first line has")
        n, score = (_number(path, number, name, line[at]) for name, at in (("n_train", n_at), ("score", score_at)))
        repeat = line[repeat_at].strip()
        before = seen.setdefault((n, repeat), number)
        if before != number:
            what = f"a second score of repeat {repeat or '(empty)'} at {n:g} patients, the first being in line {before}"
            raise _refused(path, number, what, "one curve a file, one score a size and repeat")
        sizes.append(n)
        scores.append(score)
        repeats.append(repeat)
    _, codes = np.unique(np.array(repeats, dtype=str), return_inverse=True)
    return Trials(np.array(sizes, dtype=float), codes, np.array(scores, dtype=float))


def _lines_of(path: Path) -> list[list[str]]:
    try:
        if path.stat().st_size > _BYTES:
            raise InputError(
                found=f"{path} has {path.stat().st_size / 1e6:,.0f} MB.",
                needed=f"At most {_BYTES / 1e6:.0f} MB: a curve is a few hundred lines.",
                do="Give a file of one curve.",
            )
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise InputError(
            found=f"{path} cannot be read ({error.strerror}).", needed="A CSV file.", do="Correct the path."
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(
            found=f"{path} is no UTF-8 text.", needed="A CSV file.", do="Save it as CSV in UTF-8."
        ) from error
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    try:
        return list(csv.reader(text.splitlines(), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise InputError(
            found=f"{path} is no CSV ({error}).", needed="A line a trial, values parted alike.", do="Save it anew."
        ) from error


def _number(path: Path, line: int, name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise _refused(path, line, f"{name} '{text.strip()}'", "a number, with a decimal point")
    return value


def _refused(path: Path, line: int, what: str, needed: str) -> InputError:
    return InputError(
        found=f"Line {line} of {path} has {what}.", needed=f"{needed[0].upper()}{needed[1:]}.", do="Correct the line."
    )
