"""Hostile tables and archives: the part of the corpus of test_hostile_files.py in which one file is the whole cohort.

Each is written beside the good pictures `0.png` to `3.png`. It is refused with words that hold `found`, or where that
is empty it is read.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openpyxl
import pyarrow
import pyarrow.parquet

NAMES = tuple(f"{number}.png" for number in range(4))
HEADER = ("path", "label")
ROWS = tuple(zip(NAMES, "abab", strict=True))


@dataclass(frozen=True)
class TableCase:
    """A file that is read as a cohort."""

    name: str
    make: Callable[[Path], object]
    found: str = ""


def table(name: str, content: bytes | str | Callable[[Path], object], found: str = "") -> TableCase:
    """A case of bytes, of text, or of what writes them."""
    if callable(content):
        return TableCase(name, content, found)
    whole = content.encode() if isinstance(content, str) else content
    return TableCase(name, lambda path: path.write_bytes(whole), found)


def tenths(name: str, content: bytes) -> list[TableCase]:
    """A file that ends after each tenth of its bytes but the last; one case of nine files."""
    stem, _, ending = name.partition(".")
    return [table(f"{stem}-{n}.{ending}", content[: len(content) * n // 10], " ") for n in range(1, 10)]


def csv(*more: str, rows: tuple[tuple[str, str], ...] = ROWS) -> str:
    return "\n".join([",".join(HEADER), *(",".join(row) for row in rows), *more])


def link(path: Path, name: str, target: str) -> None:
    path.with_name(name).symlink_to(target)
    path.write_text(csv(f"{name},a"))


def large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**34)


def texts() -> list[TableCase]:
    good = csv()
    return [
        table("empty.csv", "", "nothing in it"),
        table("header.csv", "path,label\n", "a header and no rows"),
        table("up.csv", csv("../../../etc/passwd,a"), "lead out of its folder"),
        table("root.csv", csv("/etc/passwd,a"), "lead out of its folder"),
        table("drive.csv", csv("C:\\secret.png,a"), "lead out of its folder"),
        table("hidden steps.csv", csv("x/../../secret.png,a"), "lead out of its folder"),
        table("link.csv", lambda path: link(path, "out.png", "/etc/passwd"), "lead out of its folder"),
        table("loop.csv", lambda path: link(path, "loop.png", "loop.png"), "cannot be reached"),
        table("dangling.csv", lambda path: link(path, "dangling.png", "gone.png"), "are not there"),
        table("pipe.csv", lambda path: (os.mkfifo(path.with_name("p.png")), path.write_text(csv("p.png,a"))),
              "neither a file nor a folder"),
        table("is a pipe.csv", os.mkfifo, "a file of another kind"),
        table("is a folder.csv", lambda path: path.mkdir(), "holds no images"),
        table("absent.csv", csv("gone.png,a"), "are not there"),
        table("long.csv", csv(f"{'x' * 300}.png,a"), "cannot be reached"),
        table("twice.csv", csv("0.png,b"), "more than once"),
        table("latin.csv", csv("ä.png,a").encode("latin-1"), "not UTF-8"),
        table("utf-16.csv", good.encode("utf-16"), "not UTF-8"),
        table("nul.csv", csv("a\0.png,a"), "NUL"),
        table("quote.csv", csv('"4.png,a'), "quotes"),
        table("cell.csv", csv(f"{'x' * 200_000},a"), "characters"),
        table("ragged.csv", csv("4.png,a,b,c"), "cells"),
        table("large.csv", large, "larger than 64 MiB"),
        table("steering.csv", csv("\x1b[2J.png,a"), "are not there"),
        table("formula.csv", csv(rows=tuple((name, f"=cmd|'/c calc'!{label}1") for name, label in ROWS))),
        table("bytes.csv", bytes(range(256)) * 9, " "),
    ]  # fmt: skip


def workbook(rows: tuple[tuple[str, str], ...] = (HEADER, *ROWS)) -> bytes:
    book, file = openpyxl.Workbook(), io.BytesIO()
    for row in rows:
        book.active.append(row)
    book.save(file)
    return file.getvalue()


def with_part(content: bytes, name: str, part: bytes) -> bytes:
    """A zip one of whose parts is another."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for one in old.namelist():
            new.writestr(one, part if one == name else old.read(one))
    return file.getvalue()


def laughs() -> bytes:
    """Entities that name ten others each, ten times over."""
    told = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 11))
    cell = '<row r="1"><c r="A1" t="inlineStr"><is><t>&a10;</t></is></c></row>'
    space = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    return (
        f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a0 "ha">{told}]>'
        f'<worksheet xmlns="{space}"><sheetData>{cell}</sheetData></worksheet>'
    ).encode()


def workbooks() -> list[TableCase]:
    good, sheet = workbook(), "xl/worksheets/sheet1.xml"

    def bomb(path: Path) -> None:
        with (
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file,
            file.open(sheet, "w") as part,
        ):
            for _ in range(600):
                part.write(b" " * 2**20)

    return [
        *tenths("cut.xlsx", good),
        table("text.xlsx", "path,label\n0.png,a", "another kind of file"),
        table("old.xlsx", b"\xd0\xcf\x11\xe0" + bytes(999), "password"),
        table("bomb.xlsx", bomb, "unpacked it is"),
        table("laughs.xlsx", with_part(good, sheet, laughs()), "cannot be read as an Excel workbook"),
        table("formula.xlsx", workbook((HEADER, *ROWS[:3], ("3.png", "=1+1"))), "value was never stored"),
        table("up.xlsx", workbook((HEADER, *ROWS, ("../x.png", "a"))), "lead out of its folder"),
    ]


def parquet(columns: dict[str, list[object]]) -> bytes:
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), file)
    return file.getvalue()


def lists() -> list[TableCase]:
    entries = [{"image": name, "label": label} for name, label in ROWS]
    good = json.dumps(entries)
    columns: dict[str, list[object]] = {"path": list(NAMES), "label": list("abab")}
    return [
        *tenths("cut.json", good.encode()),
        *tenths("cut.parquet", parquet(columns)),
        table("deep.json", "[" * 10**6, "deeper than Python reads"),
        table("number.json", good.replace('"a"', "9" * 9999, 1), "not JSON"),
        table("latin.json", good.replace("0.png", "ä.png").encode("latin-1"), "not UTF-8"),
        table("up.json", good.replace("0.png", "../0.png"), "lead out of its folder"),
        table("surrogate.json", good.replace("0.png", "\\ud800.png"), "no text"),
        table("twice.json", '[{"image": "0.png", "image": "1.png", "label": 1}]', "stands twice"),
        table("text.parquet", "PAR1 and nothing else PAR1", "cannot be read as Parquet"),
        table("nested.parquet", parquet({**columns, "label": [["a"]] * 4}), "holds list"),
        table("bytes.parquet", parquet({**columns, "path": [b"\xff\xfe"] * 4}), " "),
    ]


# Archives


TOUCHED = "a pickle was opened"


class Toucher:
    """What would write a file if anyone unpickled it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.write_text, (self.path, TOUCHED)


def archive(**changes: np.ndarray) -> bytes:
    rng = np.random.default_rng(0)
    arrays = {
        "train_images": rng.integers(0, 255, (8, 12, 10), dtype=np.uint8),
        "train_labels": np.arange(8)[:, None] % 2,
    } | changes
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def pickled(path: Path) -> None:
    """Object arrays, and a bare pickle for a part, that would both write `touched` beside the archive."""
    objects = np.empty(8, dtype=object)
    objects[:] = [Toucher(path.with_name("touched"))] * 8
    path.write_bytes(archive(train_labels=objects))


def bare_pickle(path: Path) -> None:
    # The only way to write the attack is to write it: nothing here or in medladder ever opens one.
    import pickle

    path.write_bytes(pickle.dumps(Toucher(path.with_name("touched"))))


def part_of_pickle(path: Path) -> None:
    import pickle

    content = pickle.dumps(Toucher(path.with_name("touched")))
    path.write_bytes(with_part(archive(), "train_labels.npy", content))


def npy_header(text: str) -> bytes:
    """The head of an array, saying what it likes."""
    return b"\x93NUMPY\x01\x00" + (len(text) + 1).to_bytes(2, "little") + text.encode() + b"\n"


def bomb(path: Path) -> None:
    n_images = 320_000
    head = npy_header(f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({n_images}, 32, 32)}}")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        with file.open("train_images.npy", "w") as part:
            part.write(head)
            for _ in range(n_images // 1000):
                part.write(bytes(1000 * 32 * 32))
        with file.open("train_labels.npy", "w") as part:
            np.lib.format.write_array(part, np.arange(n_images) % 2)


def archives() -> list[TableCase]:
    good = archive()
    images = "train_images.npy"
    huge = npy_header("{'descr': '|u1', 'fortran_order': False, 'shape': (2147483648, 2147483648)}")
    far = npy_header("{'descr': '|u1', 'fortran_order': False, 'shape': (34359738368,)}")
    open_ended = npy_header("{'descr': '|u1', 'fortran_order': (False")
    encrypted = bytearray(good)
    encrypted[6] |= 1
    encrypted[encrypted.index(b"PK\x01\x02") + 8] |= 1
    floats = np.full((8, 12, 10), 0.5)
    floats[3, 4, 5] = np.nan
    return [
        *tenths("cut.npz", good),
        table("empty.npz", b"", "cannot be read"),
        table("text.npz", b"no archive" * 99, "cannot be read"),
        table("objects.npz", pickled, "never opened"),
        table("pickle.npz", bare_pickle, "cannot be read"),
        table("part.npz", part_of_pickle, "train_labels is no array"),
        table("bomb.npz", bomb, "would unpack to"),
        table("huge.npz", with_part(good, images, huge), "cannot be read"),
        table("far.npz", with_part(good, images, far), "cannot be read"),
        table("header.npz", with_part(good, images, open_ended), "damaged (TokenError)"),
        table("code.npz", with_part(good, images, npy_header("__import__('os').abort()")), "cannot be read"),
        table("encrypted.npz", bytes(encrypted), "damaged (RuntimeError)"),
        table("nan.npz", archive(train_images=floats), " "),
        table("labels.npz", archive(train_labels=np.arange(5)), "8 entries and train_labels 5"),
        table("flat.npz", archive(train_images=np.zeros((8, 0, 10), np.uint8)), "shape (8, 0, 10"),
        table("words.npz", archive(train_labels=np.array(list("abababab"))), "type <U1"),
    ]


TABLES: dict[str, Callable[[], list[TableCase]]] = {
    "csv": texts, "xlsx": workbooks, "json and parquet": lists, "npz": archives,
}  # fmt: skip
"""The cases that are a cohort by themselves."""
