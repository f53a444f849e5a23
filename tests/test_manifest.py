"""Manifests: tables of every kind, JSON lists, paths that stay within, labels joined to images, names of images."""

from __future__ import annotations

import contextlib
import datetime
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medladder.errors import CohortError, InputError, MedladderError, OptionError
from medladder.images.image import hash_identifier
from medladder.images.names import is_image_name
from medladder.manifest import (
    Columns,
    LabelTable,
    Manifest,
    cells,
    is_table_name,
    join,
    read_folder,
    read_labels,
    read_listing,
    read_table,
    workbooks,
)

FILES = ("a.png", "b.png", "c.png", "d.png")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with four files and a folder of a series."""
    for name in (*FILES, "s1/1.dcm", "s1/2.dcm"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def csv(folder: Path, text: str | bytes, name: str = "t.csv") -> Path:
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    return folder / name


def excel(folder: Path, rows: list[list[Any]], name: str = "t.xlsx") -> Path:
    book = openpyxl.Workbook()
    for row in rows:
        book.worksheets[0].append(row)
    book.create_sheet("another").append(["path", "label"])
    book.save(folder / name)
    return folder / name


def parquet(folder: Path, name: str = "t.parquet", **columns: Any) -> Path:
    pq.write_table(pa.table(columns), folder / name)
    return folder / name


def jsoned(folder: Path, told: object) -> Path:
    (folder / "t.json").write_text(told if isinstance(told, str) else json.dumps(told), "utf-8")
    return folder / "t.json"


# Tables


def test_one_table_in_five_forms_is_one_manifest(place: Path) -> None:
    header = ["path", "label", "PatientID", "Split", "age", "seen"]
    rows: list[list[Any]] = [
        ["a.png", 1, 7, "train", 40.5, datetime.date(2024, 5, 17)],
        ["b.png", 0, 7, "VALID", 41, datetime.date(2024, 5, 18)],
        ["c.png", None, 8, "test", 42, datetime.date(2024, 5, 19)],
        ["s1", 0, 9, "test", None, None],
    ]
    texts = [["" if cell is None else str(cell) for cell in row] for row in (header, *rows)]
    forms = [
        csv(place, "\n".join(",".join(row) for row in texts)),
        csv(place, "\ufeff" + "\r\n".join("\t".join(row) for row in texts), "t.TSV"),
        excel(place, [header, *rows]),
        parquet(place, **{name: [row[i] for row in rows] for i, name in enumerate(header)}),
        jsoned(place, [{**dict(zip(header, row, strict=True)), "seen": texts[i][5]} for i, row in enumerate(rows, 1)]),
    ]
    expected = Manifest(
        folder=place,
        names=("a.png", "b.png", "s1"),
        labels=("1", "0", "0"),
        parts=("train", "val", "test"),
        patients=("7", "7", "9"),
        columns={"age": ("40.5", "41", ""), "seen": ("2024-05-17", "2024-05-18", "")},
        n_unlabelled=1,
    )
    for path in forms[:4]:
        assert read_table(path) == expected, path.name
        assert is_table_name(path.name)
    assert read_table(forms[4], Columns(path="path")) == expected


def test_columns_are_called_as_the_user_says(place: Path) -> None:
    path = csv(place, "file,diagnosis,person,fold,label,path\na.png,x,p,train,1,1\nb.png,y,q,test,2,2\n")
    manifest = read_table(path, Columns("file", "diagnosis", "person", "fold"))
    assert manifest.names == ("a.png", "b.png")
    assert manifest.labels == ("x", "y")
    assert manifest.patients == ("p", "q")
    assert manifest.parts == ("train", "test")
    assert manifest.columns == {"label": ("1", "2"), "path": ("1", "2")}
    with pytest.raises(CohortError, match=r"no column 'diagnosys' for the label.*Did you mean 'diagnosis'\?"):
        read_table(path, Columns(label="diagnosys"))
    with pytest.raises(CohortError, match=r"Column 'file' is named for both path and label"):
        read_table(path, Columns(path="file", label="file"))
    with pytest.raises(CohortError, match=r"A column named path.*--path-column"):
        read_table(csv(place, "file,label\na.png,x\n"))


@pytest.mark.parametrize(
    ("labels", "seen", "n_unlabelled"),
    [
        ([1, 1.0, "1", "1.0"], ("1", "1", "1", "1"), 0),
        ([True, False, True, False], ("true", "false", "true", "false"), 0),
        (["x", None, "NaN", "null"], ("x",), 3),
        (["none", "NA", "None", ""], ("none",), 3),
        ([1.5, "01", "=cmd()", "+1"], ("1.5", "01", "=cmd()", "+1"), 0),
        ([10**17, -1, 0.0, -0.0], ("100000000000000000", "-1", "0", "0"), 0),
    ],
)
def test_labels_as_text_and_numbers(place: Path, labels: list[Any], seen: tuple[str, ...], n_unlabelled: int) -> None:
    path = jsoned(place, [{"image": name, "label": label} for name, label in zip(FILES, labels, strict=True)])
    assert read_table(path).labels == seen
    assert read_table(path).n_unlabelled == n_unlabelled


def test_numbers_of_excel_and_parquet_are_labels_without_a_point(place: Path) -> None:
    mixed = [["path", "label"], ["a.png", 1], ["b.png", 1.0], ["c.png", "1"], ["d.png", "1.0"]]
    assert read_table(excel(place, mixed)).labels == ("1", "1", "1", "1")
    floats = read_table(parquet(place, path=["a.png", "b.png", "c.png"], label=[1.0, float("nan"), 0.0]))
    assert (floats.labels, floats.n_unlabelled) == (("1", "0"), 1)
    narrow = parquet(place, path=["a.png"], label=["x"], dose=pa.array([0.1], pa.float32()))
    assert read_table(narrow).columns["dose"] == ("0.1",)
    kinds = parquet(
        place,
        path=pa.array(["a.png", "b.png"]).dictionary_encode(),
        label=[True, False],
        at=pa.array([1_700_000_000_123_456_789, None], pa.timestamp("ns", "UTC")),
        __index_level_0__=[3, 4],
    )
    assert read_table(kinds).labels == ("true", "false")
    assert read_table(kinds).columns == {"at": ("2023-11-14T22:13:20.123456+00:00", "")}


def test_formulas_in_a_csv_are_text_and_nothing_else(place: Path) -> None:
    (place / "=a.png").touch()
    manifest = read_table(csv(place, 'path,label,note\n=a.png,=cmd(),@x\nb.png,+1,"=HYPERLINK(""x"",""y"")"\n'))
    assert manifest.names == ("=a.png", "b.png")
    assert manifest.labels == ("=cmd()", "+1")
    assert manifest.columns == {"note": ("@x", '=HYPERLINK("x","y")')}


def test_cells_may_hold_separators_quotes_lines_and_any_script(place: Path) -> None:
    text = 'path;"label; kind";note\na.png;"x";"line 1\nline 2\u2028,\x0b."\nb.png;"die ""große""";患者\n'
    manifest = read_table(csv(place, text), Columns(label="label; kind"))
    assert manifest.labels == ("x", 'die "große"')
    assert manifest.columns == {"note": ("line 1\nline 2\u2028,\x0b.", "患者")}
    assert read_table(csv(place, "path,label\ra.png,x\rb.png,y\r")).labels == ("x", "y"), "line ends of old files"
    assert read_table(csv(place, "\n\npath,label,,\n\n,,,\na.png,x,,\n")).columns == {}, "empty columns and rows"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has nothing in it"),
        ("\ufeff\n,,\n", "has nothing in it"),
        ("path,label\n", "has a header and no rows"),
        ("path,label\n,\n", "has a header and no rows"),
        ("path,label\na.png,x\n\nb.png,y,z\n", "Row 4 of t.csv has 3 cells, the header 2"),
        ("path,label\na.png\n", "Row 2 of t.csv has 1 cells"),
        ("path,label,label\na.png,x,y\n", "names a column twice: label"),
        ("path,Label,label\na.png,x,y\n", "names a column twice: Label and label"),
        (",path,label\n0,a.png,x\n", "Column 1 of t.csv has no name"),
        ("path,label\na.png,x\0\n", "holds NUL bytes, the first in line 2"),
        ("path,label\na.png,x\n".encode("utf-16"), "not UTF-8 text"),
        ("path,label\na.png,x\n".encode("utf-16-le"), "NUL bytes, .* come from UTF-16|NUL bytes"),
        (f"path,label,note\na.png,x,{'y' * 140_000}\n", "Row 2 of t.csv has a cell of more than 131,072 characters"),
        ('path,label\n"a.png,x\n', "quotes of t.csv do not pair up .* see line 2"),
        ("path,label\n,x\n", "1 rows of t.csv have no path"),
        ("path,label\nNaN,x\n", "1 rows of t.csv have no path"),
        ("path,label,patient\na.png,x,nan\n", "1 rows of t.csv have no patient"),
        ("path,label,split\na.png,x,NA\n", "1 rows of t.csv have no split"),
        ("path,label\na.png,NaN\n", "All 1 rows of t.csv have no label.*--label-column"),
        ("path,label,split\na.png,x,\x1b[31mred\n", r"holds '\\x1b\[31mred'"),
        (",".join(f"c{i}" for i in range(5000)) + "\n" + "," * 4999 + "x\n", "c11 and 4988 more"),
    ],
)
def test_csv_that_is_no_manifest(place: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(CohortError, match=message):
        read_table(csv(place, text))


def test_files_that_are_too_large_are_refused_before_they_fill_the_memory(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medladder.manifest.delimited.MAX_CELLS", 5)
    with pytest.raises(CohortError, match=r"more than .* cells"):
        read_table(csv(place, "path,label\n" + "a.png,x\n" * 6))
    monkeypatch.setattr(cells, "MAX_CELLS", 5)
    with pytest.raises(CohortError, match=r"more than 5 cells"):
        read_table(excel(place, [["path", "label"], *([["a.png", "x"]] * 3)]))
    monkeypatch.setattr(cells, "MAX_BYTES", 2**20)
    with (place / "big.csv").open("wb") as file:
        file.truncate(2**21)
    with pytest.raises(CohortError, match=r"big\.csv is larger than 1 MiB"):
        read_table(place / "big.csv")


def test_tables_of_other_kinds_and_without_permission(place: Path) -> None:
    with pytest.raises(CohortError, match=r"t\.xls is a file of another kind.*\.csv, \.json, \.parquet, \.tsv, \.xlsx"):
        read_table(csv(place, "", "t.xls"))
    assert not is_table_name("t.xls")
    with pytest.raises(CohortError, match=r"gone\.csv cannot be read: No such file"):
        read_table(place / "gone.csv")


@pytest.mark.parametrize(("name", "library"), [("t.xlsx", "openpyxl"), ("t.parquet", "pyarrow")])
def test_a_missing_library_is_named(place: Path, monkeypatch: pytest.MonkeyPatch, name: str, library: str) -> None:
    monkeypatch.setitem(__import__("sys").modules, library, None)
    with pytest.raises(InputError, match=rf"{library}, which is not installed.*pip install 'medladder\[tables\]'"):
        read_table(csv(place, "", name))


# Excel


def with_sheet(path: Path, change: Callable[[str], str]) -> Path:
    """The workbook with other XML for its first sheet."""
    with zipfile.ZipFile(path) as old:
        parts = {name: old.read(name) for name in old.namelist()}
    sheet = "xl/worksheets/sheet1.xml"
    parts[sheet] = change(parts[sheet].decode()).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in parts.items():
            new.writestr(name, content)
    return path


def test_formulas_in_excel_need_stored_values(place: Path) -> None:
    path = excel(place, [["path", "label", "age"], ["a.png", "x", 1], ["b.png", "=A1&A2", None]])
    with pytest.raises(CohortError, match=r"Cell B3 of t.xlsx holds a formula whose value was never stored"):
        read_table(path)
    stored = with_sheet(path, lambda xml: xml.replace("<f>A1&amp;A2</f><v></v>", "<f>A1&amp;A2</f><v>7</v>")
                        .replace("<f>A1&amp;A2</f><v/>", "<f>A1&amp;A2</f><v>7</v>")
                        .replace("<f>A1&amp;A2</f><v />", "<f>A1&amp;A2</f><v>7</v>"))  # fmt: skip
    assert read_table(stored).labels == ("x", "7")


def test_errors_in_excel_are_missing_or_refused(place: Path) -> None:
    rows = [["path", "label"], ["a.png", "x"], ["b.png", "#N/A"]]
    assert read_table(excel(place, rows)).n_unlabelled == 1
    rows[1][1] = "#REF!"
    with pytest.raises(CohortError, match=r"Cell B2 of t\.xlsx holds the error #REF!"):
        read_table(excel(place, rows))


def test_rows_of_excel_may_end_early_and_never_late(place: Path) -> None:
    rows = [[], ["path", "label", "a", "b", None], [], ["a.png", "x"], [None, None, None], ["b.png", "y", None, 3]]
    assert read_table(excel(place, rows)).columns == {"a": ("", ""), "b": ("", "3")}
    rows.append(["c.png", "x", 1, 2, 3])
    with pytest.raises(CohortError, match=r"Row 7 of t\.xlsx has 5 cells, the header 4"):
        read_table(excel(place, rows))


def test_lying_dimensions_of_excel_are_not_believed(place: Path) -> None:
    rows = [["path", "label"], *([name, "x"] for name in FILES)]
    small = with_sheet(excel(place, rows), lambda xml: xml.replace("A1:B5", "A1:A2"))
    assert len(read_table(small).names) == 4
    large = with_sheet(excel(place, rows), lambda xml: xml.replace("A1:B5", "A1:XFD1048576"))
    assert len(read_table(large).names) == 4
    far = with_sheet(excel(place, rows), lambda xml: xml.replace('<row r="5"', '<row r="999999999999"'))
    with pytest.raises(CohortError, match=r"more than .* cells"):
        read_table(far)


def test_dates_that_are_none_and_other_odd_cells_of_excel(place: Path) -> None:
    rows = [["path", "label", "seen", "at", "for"]]
    rows.append(["a.png", "x", datetime.datetime(2024, 5, 17), datetime.time(8, 30), datetime.timedelta(hours=1)])
    rows.append(["b.png", "y", datetime.datetime(2024, 5, 17, 8, 30), None, None])
    columns = read_table(excel(place, rows)).columns
    assert columns == {"seen": ("2024-05-17", "2024-05-17T08:30:00"), "at": ("08:30:00", ""), "for": ("1:00:00", "")}
    bad = with_sheet(excel(place, rows), lambda xml: xml.replace("<v>45429</v>", "<v>1e300</v>"))
    with pytest.raises(CohortError, match=r"Cell C2 of t.xlsx holds the error #VALUE!"):
        read_table(bad)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "another kind of file, or cut short"),
        (b"PK\x03\x04", "another kind of file, or cut short"),
        (b"\xd0\xcf\x11\xe0" + b"\0" * 600, "locked with a password or in the format before 2007"),
    ],
)
def test_files_that_are_no_workbook(place: Path, content: bytes, message: str) -> None:
    with pytest.raises(CohortError, match=message):
        read_table(csv(place, content, "t.xlsx"))


def test_a_zip_without_a_workbook_and_a_bomb(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(place / "t.xlsx", "w") as archive:
        archive.writestr("readme", "no workbook")
    with pytest.raises(CohortError, match=r"cannot be read as an Excel workbook"):
        read_table(place / "t.xlsx")
    path = with_sheet(excel(place, [["path", "label"]]), lambda xml: xml + " " * 2**22)
    assert path.stat().st_size < 2**17
    monkeypatch.setattr(workbooks, "MAX_UNPACKED", 2**22)
    with pytest.raises(CohortError, match=r"unpacked it is 4 MiB"):
        read_table(path)


def test_entities_of_xml_are_not_multiplied(place: Path) -> None:
    def laugh(xml: str) -> str:
        start = xml.index("<worksheet")
        levels = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 12))
        return f'<!DOCTYPE w [<!ENTITY l0 "ha">{levels}]>' + xml[start:].replace("<v>", "<v>&l11;", 1)

    with pytest.raises(CohortError, match=r"cannot be read as an Excel workbook|characters"):
        read_table(with_sheet(excel(place, [["path", "label"], ["a.png", 1]]), laugh))


# Parquet


@pytest.mark.parametrize("column", [[["x"], ["y"]], [{"a": 1}, {"a": 2}], [b"x", b"y"]])
def test_nested_columns_of_parquet_are_named(place: Path, column: list[Any]) -> None:
    with pytest.raises(CohortError, match=r"Column 'more' of t\.parquet holds (list|struct|binary)"):
        read_table(parquet(place, path=["a.png", "b.png"], label=["x", "y"], more=column))


def test_parquet_that_is_none(place: Path) -> None:
    with pytest.raises(CohortError, match=r"t\.parquet cannot be read as Parquet"):
        read_table(csv(place, "PAR1 and so on PAR1", "t.parquet"))
    with pytest.raises(CohortError, match=r"a header and no rows"):
        read_table(parquet(place, path=pa.array([], pa.string()), label=pa.array([], pa.string())))
    with pytest.raises(CohortError, match=r"nothing in it"):
        read_table(parquet(place))


@pytest.mark.parametrize("kind", ["xlsx", "parquet"])
def test_damaged_workbooks_and_parquet_are_read_or_refused(place: Path, kind: str) -> None:
    """Every tenth cut, and single bytes turned over: never anything but a manifest or an error of medladder's own."""
    rows = [["path", "label"], *([name, i] for i, name in enumerate(FILES))]
    whole = excel(place, rows) if kind == "xlsx" else parquet(place, path=list(FILES), label=[0, 1, 0, 1])
    content = whole.read_bytes()
    damaged = [content[: len(content) * tenth // 10] for tenth in range(10)]
    for position in range(0, len(content), max(1, len(content) // 150)):
        damaged.append(content[:position] + bytes([content[position] ^ 255]) + content[position + 1 :])
    n_refused = 0
    for bad in damaged:
        whole.write_bytes(bad)
        try:
            read_table(whole)
        except MedladderError:
            n_refused += 1
    assert n_refused >= 20


# JSON

COCO: dict[str, Any] = {
    "images": [
        {"id": 1, "file_name": "a.png", "patient": "p", "width": 16, "tags": ["x"]},
        {"id": 2, "file_name": "b.png", "patient": "q", "width": 16},
        {"id": "three", "file_name": "c.png", "patient": "q"},
    ],
    "annotations": [
        {"image_id": 1, "category_id": 7, "bbox": [0, 0, 1, 1]},
        {"image_id": 1, "category_id": 7},
        {"image_id": "three", "category_id": 8},
    ],
    "categories": [{"id": 7, "name": "effusion"}, {"id": 8, "name": "clear"}],
    "info": {},
}


def test_coco(place: Path) -> None:
    manifest = read_table(jsoned(place, COCO))
    assert manifest.names == ("a.png", "c.png")
    assert manifest.labels == ("effusion", "clear")
    assert manifest.patients == ("p", "q")
    assert manifest.n_unlabelled == 1
    assert manifest.columns == {"width": ("16", "")}
    with pytest.raises(OptionError, match=r"--label-column kind, but t\.json is a list in JSON"):
        read_table(jsoned(place, COCO), Columns(label="kind"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"annotations": [{"image_id": 1, "category_id": c} for c in (7, 8)]}, "categories effusion and clear"),
        ({"annotations": [{"image_id": 9, "category_id": 7}]}, "image_id 9, which is nowhere defined"),
        ({"annotations": [{"image_id": 1, "category_id": 9}]}, "category_id 9, which is nowhere defined"),
        ({"annotations": [{"image_id": True, "category_id": 7}]}, "no 'image_id' that is a whole number or text"),
        ({"annotations": [{"image_id": [1], "category_id": 7}]}, "no 'image_id' that"),
        ({"annotations": None}, "'annotations' is not a list of objects"),
        ({"annotations": []}, "All 3 rows of t.json have no label"),
        ({"categories": [{"id": 7, "name": "x"}] * 2}, "two categories have the id 7"),
        ({"categories": [{"id": 7, "name": ["x"]}]}, "'name' is a list or an object"),
        ({"images": [{"id": 1, "file_name": "a.png"}] * 2}, "1 images have the id of another"),
        ({"images": [{"id": 1, "file_name": ["a.png"]}], "annotations": []}, "'file_name' is a list or an object"),
        ({"images": "a.png"}, "'images' is not a list of objects"),
        ({"images": []}, "nowhere defined"),
        ({"images": [{"id": 1}, {"id": "three", "file_name": "a.png"}], "annotations": COCO["annotations"][:1]},
         "1 rows of t.json have no path"),
    ],
)  # fmt: skip
def test_coco_that_is_no_manifest(place: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(CohortError, match=message):
        read_table(jsoned(place, {**COCO, **change}))


def test_monai(place: Path) -> None:
    told = {
        "name": "Task",
        "training": [{"image": "./a.png", "label": 1, "fold": 0}, {"image": "s1", "label": 0, "fold": 1, "box": [1]}],
        "validation": [{"image": "b.png", "label": 1.0}],
        "test": ["./c.png", {"image": "d.png", "label": 0}],
    }
    manifest = read_table(jsoned(place, told))
    assert manifest.names == ("a.png", "s1", "b.png", "d.png")
    assert manifest.labels == ("1", "0", "1", "0")
    assert manifest.parts == ("train", "train", "val", "test")
    assert manifest.columns == {"fold": ("0", "1", "", "")}
    assert manifest.patients is None
    assert manifest.n_unlabelled == 1
    with pytest.raises(OptionError, match=r"--split-column fold"):
        read_table(jsoned(place, told), Columns(split="fold"))


def test_monai_with_keys_of_its_own(place: Path) -> None:
    told = [
        {"t1": "a.png", "grade": "high", "who": 1, "part": "train"},
        {"t1": "b.png", "grade": "low", "who": 2, "part": "test"},
    ]
    manifest = read_table(jsoned(place, told), Columns("t1", "grade", "who", "part"))
    assert manifest == Manifest(place, ("a.png", "b.png"), ("high", "low"), ("train", "test"), ("1", "2"))
    with pytest.raises(CohortError, match=r"no entry has 'image'.*--path-column"):
        read_table(jsoned(place, told))
    with pytest.raises(CohortError, match=r"no entry has 'label'.*--label-column"):
        read_table(jsoned(place, told), Columns(path="t1"))


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ("", "not JSON"),
        ("[1, 2", "not JSON"),
        ("[" * 100_000, "deeper than Python reads"),
        ('{"a": 1, "a": 2}', "the key 'a' stands twice"),
        ("9" * 5000, "not JSON"),
        ("7", "'the whole' is not a list of objects"),
        ("[7]", "is not a list of objects"),
        ("[]", "nothing in it"),
        ("{}", "neither 'images' nor 'training'"),
        ({"training": {"image": "a.png"}}, "'training' is not a list of objects"),
        ({"training": [1]}, "'training' is not a list of objects"),
        ({"training": []}, "nothing in it"),
        ({"training": [{"image": "a.png", "label": 1, "split": "test"}]}, "has a 'split' of its own"),
        (
            [{"image": "a.png", "label": "labelsTr/a.nii.gz"}],
            "label that is 'labelsTr/a.nii.gz', an image.*no segmentation",
        ),
        ([{"image": "a.png", "label": [0, 1]}], "label that is a list of several values"),
        ([{"image": ["a.png", "b.png"], "label": 1}], "'image' is a list or an object"),
        ([{"image": "a.png", "label": "\ud800"}], "characters that are no text"),
        ([{"image": "a\0.png", "label": "x"}], "characters that are no text"),
        ([{"image": "a.png", "label": "x" * 140_000}], "a cell of 140,000 characters"),
    ],
)
def test_json_that_is_no_manifest(place: Path, told: object, message: str) -> None:
    with pytest.raises(CohortError, match=message):
        read_table(jsoned(place, told))


def test_json_that_is_not_utf_8(place: Path) -> None:
    with pytest.raises(CohortError, match=r"not UTF-8 text"):
        read_table(csv(place, '[{"image": "ä"}]'.encode("latin-1"), "t.json"))


# Paths


def test_paths_may_be_written_in_several_ways(place: Path) -> None:
    text = "path,label\n./a.png,x\ns1\\1.dcm,y\ns1//2.dcm,x\ns1/../b.png,y\n"
    assert read_table(csv(place, text)).names == ("a.png", "s1/1.dcm", "s1/2.dcm", "s1/../b.png")


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../x.png", "s1/../../x.png", "..", "C:\\x.png", "\\\\host\\x.png", "s1/../.."]
)
def test_paths_that_lead_out_are_refused(place: Path, path: str) -> None:
    with pytest.raises(CohortError, match=r"1 of the paths in t\.csv lead out of its folder; the first: "):
        read_table(csv(place, f"path,label\na.png,x\n{path},y\n"))


def test_links_may_stay_within_and_not_lead_out(place: Path) -> None:
    inner = place / "inner"
    inner.mkdir()
    (inner / "e.png").touch()
    (inner / "same.png").symlink_to(inner / "e.png")
    (inner / "out.png").symlink_to(place / "a.png")
    (inner / "around").symlink_to(place / "s1")
    (inner / "loop").symlink_to(inner / "loop")
    (inner / "dangling").symlink_to(inner / "gone")
    assert read_table(csv(inner, "path,label\ne.png,x\nsame.png,y\n")).names == ("e.png", "same.png")
    for name in ("out.png", "around", "around/1.dcm", "around/../a.png"):
        with pytest.raises(CohortError, match=f"lead out of its folder; the first: {name}"):
            read_table(csv(inner, f"path,label\n{name},x\n"))
    with pytest.raises(CohortError, match=r"loop in t.csv cannot be reached: Too many levels"):
        read_table(csv(inner, "path,label\nloop,x\n"))
    with pytest.raises(CohortError, match=r"1 of the 1 files in t.csv are not there; the first: dangling"):
        read_table(csv(inner, "path,label\ndangling,x\n"))
    (place / "linked").symlink_to(inner)
    csv(inner, "path,label\ne.png,x\n")
    assert read_table(place / "linked" / "t.csv").names == ("e.png",), "the folder itself may be reached by a link"


def test_names_that_no_system_can_hold(place: Path) -> None:
    (place / ("ü" * 120 + ".png")).touch()
    assert len(read_table(csv(place, f"path,label\n{'ü' * 120}.png,x\n")).names) == 1
    with pytest.raises(CohortError, match=r"x… \(300 characters\) in t\.csv cannot be reached: File name too long"):
        read_table(csv(place, f"path,label\n{'x' * 300},y\n"))
    os.mkfifo(place / "pipe")
    with pytest.raises(CohortError, match=r"pipe in t.csv cannot be reached: it is neither a file nor a folder"):
        read_table(csv(place, "path,label\npipe,x\n"))
    with pytest.raises(CohortError, match=r"not there; the first: a\.png/b"):
        read_table(csv(place, "path,label\na.png/b,x\n"))


def test_an_image_is_named_once(place: Path) -> None:
    with pytest.raises(CohortError, match=r"names 1 files more than once; the first: a\.png"):
        read_table(csv(place, "path,label\na.png,x\ns1/../a.png,y\n"))
    with pytest.raises(CohortError, match=r"names s1/1\.dcm, and the folder s1 it lies in"):
        read_table(csv(place, "path,label\ns1/1.dcm,x\ns1,y\n"))


def test_100_000_paths_are_checked_in_a_second_or_so(place: Path) -> None:
    from time import process_time

    (place / "deep/er/than/usual").mkdir(parents=True)
    names = [f"deep/er/than/usual/{i}" for i in range(2000)]
    for name in names:
        (place / name).touch()
    path = csv(place, "path,label\n" + "".join(f"{name},x\n" for name in names))
    start = process_time()
    read_table(path)
    assert process_time() - start < 0.5, "50 times this is to be far below the 5 s of opening 100,000 files"


# Labels for images that lie elsewhere


def test_labels_joined_by_each_identifier(place: Path) -> None:
    facts = [{"patient": hash_identifier(p), "series": hash_identifier(s), "instance": hash_identifier(i)}
             for p, s, i in (("P1", "1.2", "1.2.1"), ("P1", "1.2", "1.2.2"), ("P2", "1.3", "1.3.1"))]  # fmt: skip
    facts.append({})
    names = ["a", "b", "c", "d"]
    for header, rows, expected in (
        ("PatientID", ["P2", " P1 ", "P9"], (1, 1, 0, -1)),
        ("series", ["1.3", "1.2"], (1, 1, 0, -1)),
        ("SeriesInstanceUID", ["1.3"], (-1, -1, 0, -1)),
        ("sop_instance_uid", ["1.2.2", "1.2.1", "1.3.1"], (1, 0, 2, -1)),
        ("path", ["c", "./a"], (1, -1, 0, -1)),
    ):
        labels = read_labels(csv(place, "\n".join([f"{header},label", *(f"{row},x" for row in rows)])))
        assert join(labels, facts, names) == expected, header


@pytest.mark.parametrize(
    ("stated", "names", "expected"),
    [
        (["scan.2", "scan.10"], ["v1/scan.10.nii.gz", "v2/scan.3.nii.gz", "v2/scan.2.nii.gz"], (1, -1, 0)),
        (["images/a.png", "images/b.png"], ["b.png", "a.jpg"], (1, 0)),
        (["test/a", "b"], ["train/a.png", "train/b.png"], (-1, 1)),
        (["test/a.png"], ["train/a.png"], None),
        (["a", "b.png"], ["a.png", "b.png"], (-1, 1)),  # a path is met, so that paths are meant
        (["a"], ["v1/a.png", "v2/a.png"], None),
        (["v1/a", "v2/a"], ["a.png"], None),
        (["a"], ["a1.png"], None),
    ],
)
def test_names_are_joined_where_no_path_is_met_and_none_is_twice(
    place: Path, stated: list[str], names: list[str], expected: tuple[int, ...] | None
) -> None:
    labels = read_labels(csv(place, "\n".join(["path,label", *(f"{key},{at}" for at, key in enumerate(stated))])))
    if expected is None:
        with pytest.raises(CohortError, match="names of files, each only once"):
            join(labels, [{}] * len(names), names)
    else:
        assert join(labels, [{}] * len(names), names) == expected


def test_what_a_table_of_labels_says(place: Path) -> None:
    text = "SOPInstanceUID,label,PatientID,split,age\n1.1,x,P1,train,40\n1.2,,P1,train,41\n1.3,y,P2,test,42\n"
    assert read_labels(csv(place, text)) == LabelTable(
        name="t.csv",
        key="instance",
        keys=(hash_identifier("1.1"), hash_identifier("1.3")),
        labels=("x", "y"),
        parts=("train", "test"),
        numbers=(2, 4),
        patients=(hash_identifier("P1"), hash_identifier("P2")),
        columns={"age": ("40", "42")},
        n_unlabelled=1,
    )
    by_patient = read_labels(csv(place, "mrn,label\n007,x\n"), Columns(patient="mrn"))
    assert (by_patient.key, by_patient.keys, by_patient.patients) == ("patient", (hash_identifier("007"),), None)
    numbers = read_labels(excel(place, [["patient", "label"], [7, "x"], [8.0, "y"]]))
    assert numbers.keys == (hash_identifier("7"), hash_identifier("8"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label,age\nx,1\n", "One that says which image a label belongs to: path, .*SOPInstanceUID"[:52]),
        ("series,instance,label\n1,2,x\n", "can be joined on instance and on series"),
        ("path,series,label\na,2,x\n", "can be joined on path and on series"),
        ("series,SeriesInstanceUID,label\n1,2,x\n", "names a column twice"),
        ("series,age\n1,2\n", "A column named label"),
        ("series,label\n1,x\n,y\nnan,y\n", "2 rows of t.csv have a label and no series; the first is row 3"),
        (
            "series,label\n1.2.840,x\n1.3,x\n1.2.840,y\n",
            "Rows 2 and 4 of t.csv are about the same series and have different labels",
        ),
        ("series,label,split\n1,x,train\n1,x,test\n", "different splits"),
        ("patient,label,age\n1,x,40\n1,x,41\n", "same patient and have different values of 'age'"),
        ("path,label\n/etc/a,x\n", "lead out of its folder"),
    ],
)
def test_tables_that_label_nothing(place: Path, text: str, message: str) -> None:
    with pytest.raises(CohortError, match=message) as caught:
        read_labels(csv(place, text))
    assert "1.2.840" not in str(caught.value)


def test_rows_that_only_repeat_are_one(place: Path) -> None:
    labels = read_labels(csv(place, "patient,label,age\nP1,x,40\nP2,y,50\nP1,x,40\n"))
    assert join(labels, [{"patient": hash_identifier("P1")}], ["a"]) == (0,)


def test_keys_that_never_meet_are_said_without_a_name(place: Path) -> None:
    labels = read_labels(csv(place, "patient,label\nMeier^Anna,x\nHuber^Max,y\n"))
    facts: list[dict[str, str]] = [{"patient": hash_identifier("Anna Meier")}, {}]
    with pytest.raises(
        CohortError, match=r"None of the 2 patients in the 2 rows of t.csv is among the 1 patients of 2"
    ) as caught:
        join(labels, facts, ["a", "b"])
    assert not any(word in str(caught.value) for word in ("Meier", "Huber", hash_identifier("Meier^Anna")))
    by_path = read_labels(csv(place, "path,label\nimages/a.png,x\n"))
    with pytest.raises(CohortError, match=r"the first row has images/a\.png, the first image is b\.png"):
        join(by_path, [{}], ["b.png"])
    with pytest.raises(CohortError, match=r"0 paths of 0 images"):
        join(by_path, [], [])


# Folders and names


@pytest.mark.parametrize(
    ("name", "is_image"),
    [
        ("a.PNG", True), ("a.webp", True), ("a.nii", True), ("a.NII.GZ", True), ("a.mhd", True), ("a.nhdr", True),
        ("a.dcm", True), ("a.IMA", True), ("IM0001", True), ("IM.0001", True), ("1.2.840.113619", True), ("a.", True),
        ("DICOMDIR", False), ("dicomdir", False), (".hidden", False), (".a.png", False), ("", False), ("a.gz", False),
        ("a.raw", False), ("a.zraw", False), ("a.csv", False), ("a.tar.gz", False), ("a.²", False), ("a.1x", False),
    ],
)  # fmt: skip
def test_names_of_images(name: str, is_image: bool) -> None:
    assert is_image_name(name) == is_image


def test_folders_of_volumes_and_dicom(tmp_path: Path) -> None:
    for name in ("x/s/IM1", "x/s/IM2", "x/DICOMDIR", "x/v.mhd", "x/v.raw", "y/a.nii.gz", "y/1.2.840.5", "y/b.tar.gz"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    manifest = read_folder(tmp_path)
    assert manifest.names == ("x/s/IM1", "x/s/IM2", "x/v.mhd", "y/1.2.840.5", "y/a.nii.gz")
    assert manifest.ignored == {".tar.gz": 1}
    assert read_listing(tmp_path) == manifest.names
    assert read_listing(tmp_path / "x" / "s") == ("IM1", "IM2")
    (tmp_path / "z").mkdir()
    (tmp_path / "z" / "b.nii.bz2").touch()
    with pytest.raises(CohortError, match=r"'z' of .* no image of a known kind; below it lie 1 × \.bz2.*NIfTI"):
        read_folder(tmp_path)
    with pytest.raises(CohortError, match=r"z holds no image; below it lie 1 × \.bz2"):
        read_listing(tmp_path / "z")


def test_names_that_are_no_unicode_are_said(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / os.fsdecode(b"k\xf6rper.png")).touch()
    for read in (read_folder, read_listing):
        with pytest.raises(CohortError, match=r"The name of .*k\\udcf6rper\.png is not UTF-8"):
            read(tmp_path)


def test_folders_that_may_not_be_read_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").mkdir()

    def closed(path: str) -> None:
        raise PermissionError(13, "Permission denied", os.fspath(path))

    monkeypatch.setattr("os.scandir", closed)
    with pytest.raises(CohortError, match=r"may not be read: Permission denied"):
        read_listing(tmp_path)


# Fuzz: whatever the bytes, a manifest or an error of medladder's own


def survives(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    for read in (read_table, read_labels):
        with contextlib.suppress(MedladderError):
            read(folder / name)


FUZZED = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
PIECES = ["path", "label", "patient", "split", "series", "a.png", "../x", "/", ",", ";", "\t", "\n", "\r", '"', '""',
          "\0", "\ufeff", "nan", "=1+1", "train", " ", "\u2028", "\x1b", "1.0", "ü", "x" * 300, "s1"]  # fmt: skip


@FUZZED
@given(st.binary(max_size=200))
def test_any_bytes_as_a_csv(place: Path, content: bytes) -> None:
    survives(place, "fuzz.csv", content)


@FUZZED
@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join))
def test_any_text_as_a_csv(place: Path, text: str) -> None:
    survives(place, "fuzz.csv", f"path,label\n{text}".encode())
    survives(place, "fuzz.tsv", text.encode())


KEYS = st.sampled_from(["images", "annotations", "categories", "id", "image_id", "category_id", "file_name", "name",
                        "training", "test", "image", "label", "patient", "split", "path", ""])  # fmt: skip
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.floats(), st.sampled_from(["a.png", "s1", "x", "\ud800"])
)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=30
)


@FUZZED
@given(JSON)
def test_any_json(place: Path, told: object) -> None:
    survives(place, "fuzz.json", json.dumps(told).encode())


CELLS = (
    SCALARS.filter(lambda cell: cell != "\ud800")
    | st.dates()
    | st.sampled_from(["path", "=1+1", "../x", "nan", "#N/A"])
)


@settings(FUZZED, max_examples=60)
@given(st.lists(st.lists(CELLS, max_size=4), max_size=5))
def test_any_cells_in_excel(place: Path, rows: list[list[Any]]) -> None:
    book = openpyxl.Workbook()
    for row in (["path", "label"], *rows):
        book.worksheets[0].append(row)
    held = io.BytesIO()
    book.save(held)
    survives(place, "fuzz.xlsx", held.getvalue())
