"""The road of a person whose images are DICOM or NIfTI: labels in a table, a study, a model, answers."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

import medladder as ml
from drawn_dicom import drawn
from medladder.images.image import hash_identifier
from test_cli import answer, refused

SYNTAXES = ("explicit", "implicit", "big endian", "RLE", "JPEG 2000", "JPEG-LS", "JPEG lossless")
RUNGS = ("--rungs", "prior,logistic", "--sizes", "16", "--repeats", "2", "--jobs", "1")


def films(folder: Path, *, patients: int = 40, images: int = 2) -> list[dict[str, str]]:
    """Drawn films as DICOM without endings, in several transfer syntaxes; every second patient has a bright spot."""
    rng = np.random.default_rng(0)
    rows = []
    for patient in range(patients):
        is_ill = patient % 2
        for image in range(images):
            film = rng.normal(1000, 80, (20, 24))
            film[6:12, 8:14] += 400 * is_ill
            place = folder / f"P{patient:03d}"
            place.mkdir(parents=True, exist_ok=True)
            drawn(
                place / f"IM{image:04d}",
                np.clip(film, 0, 4095).astype(np.uint16),
                syntax=SYNTAXES[(patient + image) % len(SYNTAXES)],
                PatientID=f"hospital-{patient}",
                SOPInstanceUID=f"1.2.{patient + 1}.{image + 1}",
                SeriesInstanceUID=f"1.3.{patient + 1}",
                Manufacturer="ACME",
                PatientAge=f"{30 + patient:03d}Y",
                PatientSex="FM"[patient % 2],
                BitsStored=12,
                HighBit=11,
            )
        rows.append({"PatientID": f"hospital-{patient}", "label": ("clear", "spot")[is_ill]})
    return rows


def written(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, rows[0].keys())
        table.writeheader()
        table.writerows(rows)
    return path


def test_a_folder_of_dicom_and_a_table_of_patients_become_a_model(tmp_path: Path) -> None:
    table = written(tmp_path / "labels.csv", films(tmp_path / "films"))
    given = (tmp_path / "films", "--labels", table, "--image-size", "12", "--window", "1100/800")
    checked = answer("check", *given)
    assert (checked["counts"]["images"], checked["counts"]["patients"]) == (80, 40)
    studied = answer("study", *given, *RUNGS, "--out", tmp_path / "run", "--accept", "patient-overlap")
    assert studied["evidence"]["unit"] == "patient"
    assert studied["evidence"]["rungs"][1]["points"][-1]["auroc"]["estimate"] > 0.9
    fitted = answer("fit", tmp_path / "run", "--out", tmp_path / "model", "--rung", "logistic")
    assert fitted["image"]["preparation"]["window"] == {"centre": 1100, "width": 800}
    one = tmp_path / "films" / "P001" / "IM0000"
    said = answer("predict", tmp_path / "model", one)["predictions"][0]
    assert said["decision"] == "spot"
    cohort = ml.read_cohort(tmp_path / "films", labels=table, image_size=(12, 12), window="1100/800")
    row = cohort.files.index("P001/IM0000")
    same = ml.read_model(tmp_path / "model").predict_proba(np.asarray(cohort.images)[row : row + 1])
    assert list(said["probabilities"].values()) == pytest.approx(same[0].tolist(), abs=1e-6)
    assert set(cohort.columns) >= {"age", "sex", "maker"}
    for place in (tmp_path / "run", tmp_path / "model"):
        text = b"".join(file.read_bytes() for file in place.rglob("*") if file.is_file())
        assert b"hospital-1" not in text
        assert hash_identifier("hospital-1").encode() not in text


def series(folder: Path, rng: np.random.Generator, patient: int, *, n: int = 8) -> None:
    """One patient's slices, in files whose names say nothing of their order."""
    volume = rng.normal(100, 10, (n, 16, 16))
    volume[3:6, 5:10, 5:10] += 60 * (patient % 2)
    for number, place in enumerate(rng.permutation(n)):
        drawn(
            folder / f"p{patient}-{number}.dcm",
            volume[place].astype(np.int16),
            PatientID=f"id{patient}",
            SeriesInstanceUID=f"1.9.{patient + 1}",
            SOPInstanceUID=f"1.9.{patient + 1}.{number + 1}",
            ImagePositionPatient=[0, 0, float(place) * 2.5],
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            PixelSpacing=[1.5, 1.5],
        )


def test_series_become_volumes_where_that_is_asked(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    folder = tmp_path / "ct"
    folder.mkdir()
    for patient in range(24):
        series(folder, rng, patient)
    rows = [{"series_instance_uid": f"1.9.{k + 1}", "label": str(k % 2)} for k in range(24)]
    table = written(tmp_path / "labels.csv", rows)
    (folder / "p5-3.dcm").unlink()  # a slice from the middle or the end: the series has a gap or is a little shorter
    as_volumes = ml.read_cohort(folder, labels=table, stacks="volumes", image_size=(8, 8, 8))
    assert as_volumes.images.shape[1:] == (8, 8, 8, 1)
    assert len(as_volumes.labels) + len(as_volumes.unreadable) == 24, "a series with a gap is one image that is missing"
    as_slices = ml.read_cohort(folder, labels=table, image_size=(8, 8))
    assert len(as_slices.labels) == 24 * 8 - 1
    assert len(np.unique(as_slices.patients)) == 24
    assert {note: count for note, count in as_slices.notes.items() if "--stacks volumes" in note}.popitem()[1] == 191
    assert not as_volumes.notes
    given = (folder, "--labels", table, "--stacks", "volumes", "--image-size", "8")
    studied = answer("study", *given, *RUNGS, "--out", tmp_path / "run")
    assert studied["evidence"]["rungs"][1]["points"][-1]["auroc"]["estimate"] > 0.8
    answer("fit", tmp_path / "run", "--out", tmp_path / "model", "--rung", "logistic")
    lone = tmp_path / "new"
    lone.mkdir()
    series(lone, rng, 101)
    said = answer("predict", tmp_path / "model", lone)["predictions"]
    assert [one["decision"] for one in said] == ["1"]


def test_nifti_volumes_become_a_model(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    folder = tmp_path / "brains"
    rows = []
    for patient in range(30):
        volume = rng.normal(200, 20, (14, 16, 12)).astype(np.float32)
        volume[5:9, 6:10, 4:8] += 120 * (patient % 2)
        flips = np.diag([(-1) ** patient * 2.0, 2.0, 2.0, 1.0])  # stored left to right and right to left by turns
        stored = volume[::-1] if patient % 2 else volume
        folder.mkdir(exist_ok=True)
        nibabel.Nifti1Image(stored, flips).to_filename(folder / f"{patient}.nii.gz")
        rows.append({"path": f"{patient}.nii.gz", "finding": "ill" if patient % 2 else "well", "person": str(patient)})
    table = written(folder / "list.csv", rows)
    named = ("--label-column", "finding", "--patient-column", "person")
    studied = answer(
        "study", table, *named, "--spacing-mm", "3", "--box-mm", "24", *RUNGS, "--out", tmp_path / "run"
    )  # fmt: skip
    assert studied["evidence"]["rungs"][1]["points"][-1]["auroc"]["estimate"] > 0.9
    fitted = answer("fit", tmp_path / "run", "--out", tmp_path / "model", "--rung", "logistic")
    assert fitted["image"]["preparation"]["box_mm"] == [24, 24, 24]
    assert fitted["image"]["preparation"]["size"] == [8, 8, 8]
    said = answer("predict", tmp_path / "model", folder / "0.nii.gz", folder / "1.nii.gz")["predictions"]
    assert [one["decision"] for one in said] == ["well", "ill"]
    shutil.copy(folder / "1.nii.gz", tmp_path / "cut.nii.gz")
    (tmp_path / "cut.nii.gz").write_bytes((folder / "1.nii.gz").read_bytes()[:2000])
    assert "it is cut off" in refused("predict", tmp_path / "model", tmp_path / "cut.nii.gz")["found"]


def test_what_a_multi_frame_file_means_is_asked(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    rows = []
    for patient in range(6):
        drawn(
            tmp_path / f"{patient}.dcm", rng.integers(0, 255, (5, 8, 8)).astype(np.uint8), PatientID=str(patient),
            SOPInstanceUID=f"1.5.{patient + 1}",
        )  # fmt: skip
        rows.append({"path": f"{patient}.dcm", "label": str(patient % 2)})
    table = written(tmp_path / "labels.csv", rows)
    error = refused("check", table)
    assert "it holds 5 frames: --stacks slices takes each as an image" in error["found"]
    assert answer("check", table, "--stacks", "slices")["counts"]["images"] == 30
    cohort = ml.read_cohort(table, stacks="volumes")
    assert cohort.images.shape == (6, 5, 8, 8, 1)
    assert cohort.files[0] == "0.dcm"
    assert ml.read_cohort(table, stacks="slices").files[6] == "1.dcm[1]"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("--window", "lungs"), "--window lungs"),
        (("--stacks", "both"), "--stacks both"),
        (("--spacing-mm", "0"), "--spacing-mm 0"),
        (("--spacing-mm", "a"), "--spacing-mm a"),
        (("--box-mm", "10", "--spacing-mm", "2", "--image-size", "8"), "--image-size, --spacing-mm and --box-mm"),
        (("--label-column", "classes"), "classes"),
    ],
)
def test_options_that_mean_nothing_are_refused(class_folders: Path, words: tuple[str, ...], found: str) -> None:
    table = written(class_folders / "labels.csv", [{"path": "clear/0.png", "label": "a"}])
    assert found in refused("check", table, *words)["found"]


def test_lengths_in_mm_need_a_spacing(class_folders: Path) -> None:
    assert "do not state the spacing" in refused("check", class_folders, "--spacing-mm", "2")["found"]


def test_the_brains_of_ixi_are_read(shared_data: Callable[[str], Path], tmp_path: Path) -> None:
    shutil.copytree(shared_data("nifti"), tmp_path / "ixi")
    with (tmp_path / "ixi" / "demographics.csv").open(newline="", encoding="utf-8") as file:
        people = [{"path": f"{row['MRID']}-T1_ds.nii.gz", **row} for row in csv.DictReader(file)]
    table = written(tmp_path / "ixi" / "labels.csv", people)
    columns = {"label": "Sex", "patient": "MRID"}
    cohort = ml.read_cohort(table, columns=columns, spacing_mm=(4,), crop=True)
    assert cohort.images.shape == (10, *cohort.preparation.size, 1)
    assert cohort.preparation.box_mm == (240, 240, 180)
    assert cohort.classes == ("F", "M")
    assert set(cohort.columns) == {"Age"}
    middle = np.asarray(cohort.images)[:, 30, 30, 22, 0] / 65535
    assert ((middle > 0.1) & (middle < 0.9)).all(), "grey of brains in the middle of each box"
