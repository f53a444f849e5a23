"""Cohorts in all their forms, and what is said of those that are none."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import medladder as ml
from medladder.archive import read_archive
from medladder.cohort import join_test, read_cohort
from medladder.errors import CohortError, OptionError
from medladder.manifest import read_folder


def write_csv(path: Path, rows: list[dict[str, str]], delimiter: str = ",") -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def manifest(class_folders: Path) -> tuple[Path, list[dict[str, str]]]:
    rows = [
        {"path": f"cohort/{name}/{i:02d}.png", "label": name, "patient_id": f"{name}-{i // 2}", "age": str(40 + i)}
        for name in ("clear", "effusion")
        for i in range(20)
    ]
    return class_folders.parent / "chest.csv", rows


def test_class_folders(class_folders: Path) -> None:
    (class_folders / "notes.csv").write_text("loose files are ignored")
    (class_folders / "clear" / "Thumbs.db").write_text("so are these")
    cohort = read_cohort(class_folders)
    assert cohort.classes == ("clear", "effusion")
    assert cohort.images.shape == (40, 16, 16)
    assert np.bincount(cohort.labels).tolist() == [20, 20]
    assert not cohort.patients_known
    assert set(cohort.parts) == {"train"}


def test_part_folders_in_any_case(class_folders: Path, tmp_path: Path) -> None:
    for part in ("Training", "VALID", "test"):
        shutil.copytree(class_folders, tmp_path / "parted" / part)
    cohort = read_cohort(tmp_path / "parted")
    assert {part: int((cohort.parts == part).sum()) for part in ("train", "val", "test")} == {
        "train": 40,
        "val": 40,
        "test": 40,
    }
    (tmp_path / "parted" / "spare").mkdir()
    with pytest.raises(CohortError, match=r"both parts .* and other folders \(spare\)"):
        read_cohort(tmp_path / "parted")


def test_two_folders_of_one_part_are_both_named(class_folders: Path, tmp_path: Path) -> None:
    for part in ("Validation", "test", "val"):
        shutil.copytree(class_folders, tmp_path / "parted" / part)
    with pytest.raises(CohortError, match="holds Validation and val, which both mean val"):
        read_cohort(tmp_path / "parted")


def test_a_class_folder_without_images_never_vanishes(class_folders: Path) -> None:
    (class_folders / "mass" / "series 1").mkdir(parents=True)
    read_folder(class_folders)  # empty: no one meant it as a class yet
    (class_folders / "mass" / ".DS_Store").touch()
    (class_folders / "mass" / "desktop.ini").touch()
    read_folder(class_folders)
    for i in range(3):
        (class_folders / "mass" / "series 1" / f"{i}.DOC").touch()
    with pytest.raises(CohortError, match=r"'mass' of .* holds no image of a known kind; below it lie 3 × \.doc\."):
        read_folder(class_folders)
    (class_folders.parent / "parted").mkdir()
    shutil.move(class_folders, class_folders.parent / "parted" / "test")
    with pytest.raises(CohortError, match="Class folder 'test/mass'"):
        read_folder(class_folders.parent / "parted")


def test_files_beside_images_are_counted_unless_notes_or_hidden(class_folders: Path) -> None:
    assert read_folder(class_folders).ignored == {}
    names = [
        "a.DOC",
        "b.doc",
        "c.tar.gz",
        "Thumbs.db",
        "DICOMDIR",
        "voxels.raw",
        ".hidden.doc",
        "x.csv",
        "x.TXT",
        "x.json",
        "x.md",
        "x.xml",
    ]
    for name in names:
        (class_folders / "clear" / name).touch()
    (class_folders / "effusion" / "c.doc").touch()
    (class_folders / "loose.doc").touch()
    assert read_folder(class_folders).ignored == {".doc": 3, ".tar.gz": 1}


def test_hidden_folders_below_a_class_are_passed_over(class_folders: Path) -> None:
    hidden = class_folders / "clear" / ".ipynb_checkpoints"
    hidden.mkdir()
    shutil.copy(class_folders / "clear" / "00.png", hidden / "00-checkpoint.png")
    assert len(read_folder(class_folders).names) == 40


def test_images_may_lie_deeper_in_a_class_folder(class_folders: Path) -> None:
    (class_folders / "clear" / "visit 2" / "left").mkdir(parents=True)
    shutil.move(class_folders / "clear" / "03.png", class_folders / "clear" / "visit 2" / "left" / "ü 3.PNG")
    cohort = read_cohort(class_folders)
    assert len(cohort.labels) == 40
    assert "clear/visit 2/left/ü 3.PNG" in cohort.files


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv(manifest: tuple[Path, list[dict[str, str]]], delimiter: str) -> None:
    path, rows = manifest
    rows[7]["label"] = ""
    cohort = read_cohort(write_csv(path, rows, delimiter))
    assert cohort.name == "chest"
    assert len(cohort.labels) == 39
    assert cohort.n_unlabelled == 1
    assert cohort.patients_known
    assert cohort.patients[:6].tolist() == [0, 0, 1, 1, 2, 2], "patients are numbered in cohort order"
    assert cohort.column("age")[:3].tolist() == ["40", "41", "42"]
    with pytest.raises(OptionError, match="Did you mean 'age'"):
        cohort.column("agee")


def test_labels_that_are_numbers_are_ordered_as_numbers(manifest: tuple[Path, list[dict[str, str]]]) -> None:
    path, rows = manifest
    for i, row in enumerate(rows):
        row["label"] = ("2", "10")[i % 2]
    assert read_cohort(write_csv(path, rows)).classes == ("2", "10")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: [row.pop("label") for row in rows], "A column named label"),
        (lambda rows: rows[0].update(path="gone.png"), "1 of the 40 files .* not there; the first: gone.png"),
        (lambda rows: rows[0].update(path=rows[1]["path"]), "names 1 files more than once"),
        (lambda rows: rows[3].update(patient_id=""), "1 rows of chest.csv have no patient"),
        (lambda rows: [row.update(split="trian") for row in rows], "Did you mean 'train'"),
        (lambda rows: [row.update(split="") for row in rows], "40 rows of chest.csv have no split"),
        (lambda rows: [row.update(label="one") for row in rows], "1 class with readable images: one"),
        (lambda rows: [row.update(label="") for row in rows], "All 40 rows of chest.csv have no label"),
        (
            lambda rows: rows[0].update(path="x" * 5000),
            r"x… \(5,000 characters\) in chest.csv cannot be reached: File name too long",
        ),
        (lambda rows: [row.update(patient="x") for row in rows], "names a column twice: patient and patient_id"),
    ],
)
def test_csv_that_makes_no_cohort(
    manifest: tuple[Path, list[dict[str, str]]], change: Callable[[list[dict[str, str]]], object], message: str
) -> None:
    path, rows = manifest
    change(rows)
    with pytest.raises(CohortError, match=message):
        read_cohort(write_csv(path, rows))


def test_csv_that_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(CohortError, match="nothing in it"):
        read_cohort(tmp_path / "empty.csv")
    (tmp_path / "ragged.csv").write_text("path,label\na.png,x,y\n")
    with pytest.raises(CohortError, match=r"Row 2 of ragged\.csv has 3 cells"):
        read_cohort(tmp_path / "ragged.csv")
    (tmp_path / "latin.csv").write_bytes("path,label\nä.png,x\n".encode("latin-1"))
    with pytest.raises(CohortError, match="not UTF-8"):
        read_cohort(tmp_path / "latin.csv")


@pytest.mark.parametrize("n_rows", [30, 12_000])
def test_a_quote_that_is_not_closed_is_found(tmp_path: Path, n_rows: int) -> None:
    lines = ["path,label", *(f"{i:06d}.png,clear" for i in range(n_rows))]
    lines[17] = '"000016.png,clear'
    (tmp_path / "a.csv").write_text("\n".join(lines))
    with pytest.raises(CohortError, match=r"quotes of a\.csv do not pair up .* see line 18"):
        read_cohort(tmp_path / "a.csv")


def save_npz(path: Path, **changes: np.ndarray) -> Path:
    rng = np.random.default_rng(0)
    arrays = {
        "train_images": rng.integers(0, 255, (12, 8, 8), dtype=np.uint8),
        "train_labels": np.arange(12)[:, None] % 2,
        "test_images": rng.integers(0, 255, (6, 8, 8), dtype=np.uint8),
        "test_labels": np.arange(6)[:, None] % 2,
    }
    np.savez(path, **{**arrays, **changes})
    return path


def test_npz(tmp_path: Path) -> None:
    cohort = read_cohort(save_npz(tmp_path / "a.npz"))
    assert cohort.classes == ("0", "1")
    assert cohort.parts.tolist() == ["train"] * 12 + ["test"] * 6
    assert cohort.images.shape == (18, 8, 8)


@pytest.mark.parametrize(
    ("shape", "seen"),
    [((8, 8, 3), (8, 8, 3)), ((8, 8, 1), (8, 8)), ((8, 8, 4), (8, 8, 3)), ((5, 8, 8), (5, 8, 8, 1)),
     ((5, 8, 8, 3), (5, 8, 8, 3))],
)  # fmt: skip
def test_axes_of_an_npz(tmp_path: Path, shape: tuple[int, ...], seen: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    images = {
        f"{part}_images": rng.integers(0, 255, (n, *shape), dtype=np.uint8) for part, n in (("train", 12), ("test", 6))
    }
    assert read_cohort(save_npz(tmp_path / "a.npz", **images)).images.shape == (18, *seen)


def test_numbers_of_other_types_in_an_npz(tmp_path: Path) -> None:
    floats = {"train_images": np.linspace(0, 1, 768).reshape(12, 8, 8), "test_images": np.zeros((6, 8, 8))}
    cohort = read_cohort(save_npz(tmp_path / "floats.npz", **floats))
    assert cohort.bit_depth == 16
    assert cohort.images[11, 7, 7] == 65535
    wide = {
        "train_images": np.full((12, 8, 8), 255, dtype=np.int64),
        "test_images": np.zeros((6, 8, 8), dtype=np.int64),
    }
    assert read_cohort(save_npz(tmp_path / "wide.npz", **wide)).bit_depth == 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_labels": np.array([{}] * 12)}, "arrays of Python objects, which are never opened"),
        ({"train_labels": np.zeros((12, 14), dtype=int)}, "14 labels an image"),
        ({"train_labels": np.zeros(11, dtype=int)}, "12 entries and train_labels 11"),
        ({"train_labels": np.linspace(0, 1, 12)}, "type float64"),
        ({"train_images": np.full((12, 8, 8), -3.0), "test_images": np.zeros((6, 8, 8))}, r"from -3\.0 to"),
        ({"train_images": np.full((12, 8, 8), np.nan), "test_images": np.zeros((6, 8, 8))}, "no NaN"),
        ({"train_images": np.zeros((12, 9, 8), dtype=np.uint8)}, "differing shapes"),
        ({"train_images": np.zeros((12, 8), dtype=np.uint8), "test_images": np.zeros((6, 8), dtype=np.uint8)}, "shape"),
        ({"train_labels": np.array(1)}, r"train_labels has shape \(\)"),
        ({"train_images": np.array(1)}, "train_images has no axes and train_labels 12"),
        ({"train_images": np.zeros((12, 0, 8)), "test_images": np.zeros((6, 0, 8))}, r"shape \(18, 0, 8\)"),
        ({"train_images": np.full((12, 8, 8), "a"), "test_images": np.full((6, 8, 8), "b")}, "images are <U1"),
        (
            {"test_images": np.zeros((6, 8, 8), dtype=np.uint16)},
            "train_images is uint8, test_images is uint16.*one value means one brightness",
        ),
        ({"train_labels": np.zeros(12, dtype=int), "test_labels": np.zeros(6, dtype=int)}, "1 class"),
    ],
)
def test_npz_that_makes_no_cohort(tmp_path: Path, changes: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(CohortError, match=message):
        read_cohort(save_npz(tmp_path / "a.npz", **changes))


def test_black_and_white_in_an_npz_takes_the_full_range(tmp_path: Path) -> None:
    masks = {"train_images": np.ones((12, 8, 8), dtype=bool), "test_images": np.zeros((6, 8, 8), dtype=bool)}
    cohort = read_cohort(save_npz(tmp_path / "a.npz", **masks))
    assert (int(cohort.images.min()), int(cohort.images.max())) == (0, 255)


def test_damaged_bytes_of_a_compressed_npz_are_said(tmp_path: Path) -> None:
    arrays = {
        "train_images": np.random.default_rng(0).integers(0, 9, (4, 4, 4), dtype=np.uint8),
        "train_labels": np.arange(4) % 2,
    }
    np.savez_compressed(tmp_path / "whole.npz", **arrays)
    whole = (tmp_path / "whole.npz").read_bytes()
    n_refused = 0
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 255
        (tmp_path / "a.npz").write_bytes(damaged)
        try:
            archive = read_archive(tmp_path / "a.npz")
        except CohortError:
            n_refused += 1
        else:  # dates and attributes of the zip may be anything
            np.testing.assert_array_equal(archive.images[..., 0], arrays["train_images"])
    assert n_refused > len(whole) / 2


def test_npz_without_its_arrays_or_that_is_none(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    with pytest.raises(CohortError, match="no train_images"):
        read_cohort(tmp_path / "other.npz")
    (tmp_path / "text.npz").write_text("text")
    with pytest.raises(CohortError, match=r"text\.npz cannot be read"):
        read_cohort(tmp_path / "text.npz")
    np.save(tmp_path / "single.npy", np.zeros(3))
    (tmp_path / "single.npy").rename(tmp_path / "single.npz")
    with pytest.raises(CohortError, match="it holds a single array"):
        read_cohort(tmp_path / "single.npz")


def test_sources_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match=r"gone is not there.*medladder data list"):
        read_cohort(tmp_path / "gone")
    with pytest.raises(CohortError, match="it is empty"):
        read_cohort(tmp_path)
    (tmp_path / "a.dcm").write_text("")
    with pytest.raises(CohortError, match=r"1 × \.dcm"):
        read_cohort(tmp_path)
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(CohortError, match="file of another kind"):
        read_cohort(tmp_path / "notes.txt")
    with pytest.raises(OptionError, match="Did you mean 'nodule'"):
        read_cohort("demo:nodul")


def test_one_class_folder_is_refused_and_an_unreadable_file_is_not(class_folders: Path) -> None:
    (class_folders / "clear" / "cut.png").write_bytes((class_folders / "clear" / "00.png").read_bytes()[:60])
    cohort = read_cohort(class_folders)
    assert list(cohort.unreadable) == ["clear/cut.png"]
    assert len(cohort.labels) == 40
    shutil.rmtree(class_folders / "effusion")
    with pytest.raises(CohortError, match="1 class with readable images: clear"):
        read_cohort(class_folders)


def test_the_fingerprint_follows_content_and_not_place(class_folders: Path, tmp_path: Path) -> None:
    fingerprint = read_cohort(class_folders).fingerprint
    shutil.copytree(class_folders, tmp_path / "moved")
    assert read_cohort(tmp_path / "moved").fingerprint == fingerprint
    Image.fromarray(np.zeros((16, 16), dtype=np.uint8)).save(tmp_path / "moved" / "clear" / "00.png")
    assert read_cohort(tmp_path / "moved").fingerprint != fingerprint


def test_another_cohort_as_test_part(class_folders: Path, tmp_path: Path) -> None:
    shutil.copytree(class_folders, tmp_path / "other hospital")
    shutil.rmtree(tmp_path / "other hospital" / "clear")
    (tmp_path / "other hospital" / "clear").mkdir()
    for i in range(3):
        Image.fromarray(np.full((32, 32), 7 * i, dtype=np.uint8)).save(
            tmp_path / "other hospital" / "clear" / f"{i}.png"
        )
    here = read_cohort(class_folders)
    there = read_cohort(tmp_path / "other hospital", image_size=here.preparation.size)
    both = join_test(here, there)
    assert both.parts.tolist() == ["train"] * 40 + ["test"] * 23
    np.testing.assert_array_equal(both.images[40:], there.images)
    assert both.patients.max() == 62
    with pytest.raises(CohortError, match="test part of its own"):
        join_test(both, there)
    with pytest.raises(CohortError, match="same class names"):
        join_test(here, read_cohort("demo:nodule", image_size=(16,)))


def test_medmnist_offline_says_which_file_to_put_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(**_: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("pooch.retrieve", offline)
    with pytest.raises(CohortError, match=r"breastmnist\.npz.*MD5 750601b1f35ba3300ea97c75c52ff8f6.*put it into"):
        read_cohort("medmnist:breastmnist", cache=tmp_path)
    with pytest.raises(OptionError, match="Did you mean 'breastmnist'"):
        read_cohort("medmnist:brestmnist", cache=tmp_path)


def test_medmnist_from_the_cache_is_verified(shared_data: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "medmnist").mkdir()
    shutil.copy(shared_data("breastmnist.npz"), tmp_path / "medmnist")
    cohort = read_cohort("medmnist:breastmnist", cache=tmp_path)
    assert cohort.classes == ("malignant", "normal or benign")
    assert {part: int((cohort.parts == part).sum()) for part in ("train", "val", "test")} == {
        "train": 546,
        "val": 78,
        "test": 156,
    }


def test_kermany_is_read_with_its_patients(shared_data: Callable[[str], Path]) -> None:
    cohort = read_cohort(shared_data("kermany_cxr") / "labels.csv")
    assert cohort.name == "kermany_cxr"
    assert cohort.images.shape == (5840, 64, 64)
    assert len(np.unique(cohort.patients)) == 4082
    assert int((cohort.parts == "test").sum()) == 624


def test_a_cohort_shows_itself(class_folders: Path) -> None:
    cohort = ml.read_cohort(class_folders)
    assert repr(cohort) == "Cohort('cohort': 40 images; clear 20, effusion 20)"
    assert "<td>effusion</td><td>20</td>" in cohort._repr_html_()
