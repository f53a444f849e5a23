"""What the audit finds, and what a study does about it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medladder.audit import audit, conflicting_rows, counts, refuse_unmendable
from medladder.cohort import Cohort, read_cohort
from medladder.errors import CohortError


@pytest.fixture
def cohort(class_folders: Path) -> Cohort:
    return read_cohort(class_folders)


def kinds(cohort: Cohort) -> dict[str, str]:
    return {finding.kind: finding.severity for finding in audit(cohort)}


def test_a_clean_cohort_with_patients_has_no_findings(cohort: Cohort) -> None:
    assert kinds(replace(cohort, patients_known=True)) == {}
    assert kinds(cohort) == {"no-patient-ids": "warning"}


def test_unreadable_files_warn_and_many_stop(class_folders: Path) -> None:
    for i in range(4):
        (class_folders / "clear" / f"bad{i}.png").write_bytes(b"no")
    cohort = read_cohort(class_folders)
    finding = audit(cohort)[0]
    assert (finding.kind, finding.severity, finding.count) == ("unreadable", "warning", 4)
    assert finding.files == tuple(f"clear/bad{i}.png" for i in range(4))
    assert "bad" not in finding.without_files()["message"], "the record names no file"
    (class_folders / "clear" / "bad4.png").write_bytes(b"no")
    findings = audit(read_cohort(class_folders))
    assert findings[0].severity == "stop"
    with pytest.raises(CohortError, match="--accept unreadable"):
        refuse_unmendable(findings, ())
    refuse_unmendable(findings, ("unreadable",))


def test_copies_with_one_label_and_with_two(class_folders: Path) -> None:
    shutil.copy(class_folders / "clear" / "00.png", class_folders / "clear" / "copy.png")
    shutil.copy(class_folders / "clear" / "05.png", class_folders / "effusion" / "copy.png")
    cohort = read_cohort(class_folders)
    found = {finding.kind: finding for finding in audit(cohort)}
    assert found["exact-duplicate"].count == 2
    assert set(found["label-conflict"].files) == {"clear/05.png", "effusion/copy.png"}
    assert np.flatnonzero(conflicting_rows(cohort)).tolist() == [
        cohort.files.index("clear/05.png"),
        cohort.files.index("effusion/copy.png"),
    ]


def test_a_patient_or_many_copies_on_both_sides_stop(cohort: Cohort) -> None:
    parts = np.array(["train"] * 10 + ["test"] * 10 + ["train"] * 10 + ["test"] * 10)
    patients = cohort.patients.copy()
    patients[10] = patients[9]
    finding = audit(replace(cohort, parts=parts, patients=patients, patients_known=True))[0]
    assert (finding.kind, finding.severity, finding.count) == ("patient-overlap", "stop", 1)
    assert len(finding.files) == 2
    contents = cohort.contents.copy()
    contents[10] = contents[9]
    finding = audit(replace(cohort, parts=parts, contents=contents))[0]
    assert (finding.kind, finding.severity) == ("image-overlap", "stop"), "1 of 20 test images is over 1 %"
    parts[parts == "test"] = "val"
    assert kinds(replace(cohort, parts=parts, contents=contents))["image-overlap"] == "note"


def test_thin_classes_and_patients_in_two_classes(cohort: Cohort) -> None:
    few = replace(cohort, patients=np.repeat(np.arange(10), 4), patients_known=True)
    assert kinds(few) == {"thin-class": "warning"}
    mixed = replace(cohort, patients=np.arange(40) % 30, patients_known=True)
    assert kinds(mixed) == {"patient-in-two-classes": "warning"}


def test_counts(cohort: Cohort) -> None:
    counted = counts(replace(cohort, patients=np.arange(40) // 2, patients_known=True))
    assert counted["parts"] == {
        "train": {"clear": {"images": 20, "patients": 10}, "effusion": {"images": 20, "patients": 10}}
    }
    assert counted["commonest_size"] == [16, 16]


def test_kermany_has_32_copies_and_no_overlap(shared_data: Callable[[str], Path]) -> None:
    found = {f.kind: f for f in audit(read_cohort(shared_data("kermany_cxr") / "labels.csv"))}
    assert found["exact-duplicate"].count == 32
    assert not {"patient-overlap", "image-overlap", "label-conflict"} & set(found)


def test_pneumoniamnist_has_8_images_in_train_and_val(shared_data: Callable[[str], Path]) -> None:
    found = {f.kind: f for f in audit(read_cohort(shared_data("pneumoniamnist.npz")))}
    assert found["image-overlap"].count == 8
    assert found["image-overlap"].severity == "note"


def test_breastmnist_has_a_test_image_in_training(shared_data: Callable[[str], Path]) -> None:
    found = {f.kind: f for f in audit(read_cohort(shared_data("breastmnist.npz")))}
    assert (found["image-overlap"].severity, found["image-overlap"].count) == ("warning", 1)


def test_files_of_other_kinds_are_counted(class_folders: Path) -> None:
    (class_folders / "clear" / "scan.avi").write_bytes(b"RIFF")
    found = {finding.kind: finding for finding in audit(read_cohort(class_folders))}
    assert (found["ignored"].severity, found["ignored"].count) == ("warning", 1)
    assert "1 × .avi" in found["ignored"].message
