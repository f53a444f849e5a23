"""What the audit finds, and what a study does about it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medladder.audit import (
    audit,
    conflicting_rows,
    counts,
    find_near_copies,
    merged_contents,
    near_copies_of,
    refuse_unmendable,
)
from medladder.audit.gallery import draw_pairs
from medladder.audit.mending import drop_duplicates, regroup, write_manifest
from medladder.audit.near import no_near_copies
from medladder.audit.neighbours import nearest
from medladder.audit.shortcuts import shortcuts
from medladder.audit.thumbnails import best_positions, grey_planes, invariants_of, positioned, spectra_of
from medladder.cohort import Cohort, read_cohort
from medladder.errors import CohortError
from medladder.images.encoding import Encoding, read_encoding
from medladder.language import Message
from medladder.models.fitting import fit_model, rows_to_learn_from
from medladder.models.known import study_draw
from medladder.phantoms import draw
from medladder.rungs.draws import Draw
from medladder.study import run_study


@pytest.fixture
def cohort(class_folders: Path) -> Cohort:
    return read_cohort(class_folders)


def kinds(cohort: Cohort) -> dict[str, str]:
    return {finding.kind: finding.severity for finding in audit(cohort)}


def test_a_clean_cohort_with_patients_has_no_findings(cohort: Cohort) -> None:
    dull = replace(cohort, labels=np.arange(40) % 2)  # as drawn, the classes differ in brightness, the border's too
    assert kinds(replace(dull, patients_known=True)) == {}
    assert kinds(dull) == {"no-patient-ids": "warning"}
    assert kinds(replace(cohort, patients_known=True)) == {"shortcut": "warning"}


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


def test_the_record_keeps_the_parts_of_each_sentence(class_folders: Path) -> None:
    (class_folders / "clear" / "bad.png").write_bytes(b"no")
    (class_folders / "clear" / "list.xyz").write_bytes(b"no")
    shutil.copy(class_folders / "clear" / "00.png", class_folders / "clear" / "copy.png")
    shutil.copy(class_folders / "clear" / "05.png", class_folders / "effusion" / "copy.png")
    cohort = read_cohort(class_folders)
    parts = np.where(np.arange(len(cohort.labels)) < 3, "test", cohort.parts)
    parts[-2:] = "val"
    cohort = replace(cohort, parts=parts, notes={"the first of {2} pages": 1}, n_unlabelled=1200)
    findings = [*audit(cohort), *audit(replace(cohort, patients=cohort.patients // 3, patients_known=True))]
    assert len({finding.kind for finding in findings}) >= 12
    for finding in findings:
        assert set(finding.to_json()) == {"kind", "severity", "files", "count", "message", "action"}
        kept = json.loads(json.dumps(finding.without_files()))
        for key in ("message", "action"):
            assert Message.from_json(kept["said"][key]) == kept[key] == getattr(finding, key)
    told = {finding.kind: finding.message for finding in findings}
    assert told["unreadable"] == "1 of 43 images (2.3 %) could not be read (1 × it is not an image of a known kind)."
    assert told["unlabelled"] == "1,200 rows or files without a label."
    assert told["passed-over"] == "1 image: the first of {2} pages."
    assert told["label-conflict"] == "2 images have an exact copy with another label (1 set of copies)."
    assert told["exact-duplicate"] == "2 exact copies of another image (2 sets, 4 images in all)."


def test_copies_with_one_label_and_with_two(class_folders: Path) -> None:
    shutil.copy(class_folders / "clear" / "00.png", class_folders / "clear" / "copy.png")
    shutil.copy(class_folders / "clear" / "05.png", class_folders / "effusion" / "copy.png")
    cohort = read_cohort(class_folders)
    found = {finding.kind: finding for finding in audit(cohort)}
    assert found["exact-duplicate"].count == 2
    assert set(found["label-conflict"].files) == {"clear/05.png", "effusion/copy.png"}
    assert [kind for kind, finding in found.items() if finding.is_left_out] == ["label-conflict"]
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
    (thin,) = audit(few)
    assert (thin.kind, thin.severity, thin.count) == ("thin-class", "warning", 2)
    assert "'clear' (5 patients), 'effusion' (5 patients)" in thin.message
    assert "--labels" not in thin.action
    mixed = replace(cohort, patients=np.arange(40) % 30, patients_known=True)
    assert kinds(mixed) == {"patient-in-two-classes": "warning", "shortcut": "warning"}


def test_folders_of_patients_are_doubted_as_classes(cohort: Cohort) -> None:
    """One finding, however many folders, and the hint that a table of labels is what such folders need."""
    names = tuple(f"patient {n}" for n in range(20))
    found = audit(replace(cohort, classes=names, labels=np.arange(40) // 2))
    (thin,) = [finding for finding in found if finding.kind == "thin-class"]
    assert thin.count == 20
    assert thin.message.endswith("'patient 4' (2 patients) and 15 more.")
    assert "--labels TABLE" in thin.action


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


def test_blank_images_and_odd_sizes(cohort: Cohort) -> None:
    images = np.array(cohort.images)
    images[3] = 7
    heights = cohort.heights.copy()
    heights[5] = 200
    found = {f.kind: f for f in audit(replace(cohort, images=images, heights=heights))}
    assert found["blank"].files == (cohort.files[3],)
    assert found["size-outlier"].files == (cohort.files[5],)


def test_a_part_with_one_class_stops(cohort: Cohort) -> None:
    parts = np.where(cohort.labels == 0, "train", np.where(np.arange(40) % 2, "test", "train"))
    findings = audit(replace(cohort, parts=parts))
    assert (findings[0].kind, findings[0].severity) == ("one-class-part", "stop")
    with pytest.raises(CohortError, match="one-class-part"):
        refuse_unmendable(findings, ())
    refuse_unmendable(findings, ("one-class-part",))


def test_spectra_turn_with_the_picture_and_invariants_stay() -> None:
    images = draw("nodule", n_patients=3, size=48).images
    planes = grey_planes(images, np.arange(len(images)))
    (spectra,) = spectra_of(images)
    for position in range(8):
        (turned,) = spectra_of(np.round(positioned(planes, position) * 255).astype(np.uint8))
        back, moved = best_positions(spectra, turned)
        np.testing.assert_allclose(moved, spectra, atol=1e-5)
        for plane, turned_plane, how in zip(planes, positioned(planes, position), back.tolist(), strict=True):
            np.testing.assert_array_equal(positioned(turned_plane[None], how)[0], plane)
        np.testing.assert_allclose(invariants_of(turned), invariants_of(spectra), atol=1e-5)


def test_cells_find_what_comparing_all_finds() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(5000, 6)).astype(np.float32)
    queries = vectors[:300] + rng.normal(0, 0.01, (300, 6)).astype(np.float32)
    found, _ = nearest(vectors, queries, 3)
    exact = ((queries[:, None] - vectors) ** 2).sum(axis=2).argmin(axis=1)
    assert np.mean([want in got for want, got in zip(exact, found, strict=True)]) >= 0.99


def _drawn_with_copies() -> np.ndarray:
    """Fifty chests; 50 is chest 0 mirrored and brighter, 51 chest 1 turned, 52 chest 2 without four border lines."""
    drawn = draw("nodule", n_patients=50, size=64, seed=4)
    images = drawn.images[np.unique(drawn.patients, return_index=True)[1]]
    brighter = (images[0, :, ::-1] * 0.8 + 30).astype(np.uint8)
    cropped = np.asarray(Image.fromarray(images[2]).resize((64, 64), Image.Resampling.BILINEAR, box=(1, 3, 64, 64)))
    return np.concatenate([images, np.stack([brighter, np.rot90(images[1]), cropped])])


def test_near_copies_are_found_in_their_position_and_others_are_not() -> None:
    images = _drawn_with_copies()
    near = find_near_copies(images, np.arange(53).astype(str))
    assert near.pairs.tolist() == [[0, 50], [1, 51], [2, 52]]
    for (one, other), position in zip(near.pairs[:2].tolist(), near.position.tolist(), strict=False):
        likeness = np.corrcoef(
            images[one].ravel(), positioned(grey_planes(images, np.array([other])), position)[0].ravel()
        )
        assert likeness[0, 1] > 0.99
    merged = merged_contents(np.arange(53).astype(str), near)
    assert merged[0] == merged[50]
    assert len(np.unique(merged)) == 50


def test_volumes_are_searched_by_their_middle_slice() -> None:
    images = np.repeat(_drawn_with_copies()[:, None, ..., None], 3, axis=1)
    assert find_near_copies(images, np.arange(53).astype(str)).pairs.tolist() == [[0, 50], [1, 51], [2, 52]]


def test_near_copies_across_the_split_and_under_two_labels(cohort: Cohort) -> None:
    parts = np.array(["train"] * 10 + ["test"] * 10 + ["train"] * 10 + ["test"] * 10)
    near = replace(no_near_copies(), pairs=np.array([[0, 35]]), position=np.array([0]), agreement=np.array([0.9]))
    found = {f.kind: f for f in audit(replace(cohort, parts=parts), near)}
    assert found["near-overlap"].severity == "warning"
    assert "--group-near" in found["near-overlap"].action
    assert found["label-conflict"].files == (cohort.files[0], cohort.files[35])
    assert not found["label-conflict"].is_left_out, "a near copy may be another image"
    grouped = {f.kind: f for f in audit(replace(cohort, parts=parts), near, is_grouped=True)}
    assert grouped["near-overlap"].action == "Those in train are left out of the study."
    page = draw_pairs(cohort, near)
    assert cohort.files[35] in page
    assert page.count("<img") == 2


def test_a_maker_that_gives_the_class_away_is_a_shortcut(cohort: Cohort) -> None:
    labels = np.arange(40) % 2
    dull = replace(cohort, labels=labels, columns={"maker": np.where(labels == 1, "A", "B"), "diagnosis": labels})
    (finding,) = [f for f in audit(dull) if f.kind == "shortcut"]
    assert "maker" in finding.message
    assert "diagnosis" not in finding.message


def test_mends_are_new_manifests(class_folders: Path) -> None:
    shutil.copy(class_folders / "clear" / "00.png", class_folders / "clear" / "copy.png")
    shutil.copy(class_folders / "clear" / "05.png", class_folders / "effusion" / "copy.png")
    cohort = read_cohort(class_folders)
    write_manifest(cohort, drop_duplicates(cohort), class_folders / "once.csv")
    assert len(read_cohort(class_folders / "once.csv").labels) == 39, "a copy and both of a conflict are gone"
    write_manifest(cohort, regroup(cohort, no_near_copies()), class_folders / "grouped.csv")
    again = read_cohort(class_folders / "grouped.csv")
    assert again.patients_known
    assert (len(again.labels), len(np.unique(again.patients))) == (40, 39)
    with pytest.raises(CohortError, match="there already"):
        write_manifest(cohort, drop_duplicates(cohort), class_folders / "once.csv")


def test_fit_and_inspect_keep_near_copies_together_as_the_study_did(tmp_path: Path) -> None:
    drawn = draw("nodule", n_patients=80, size=48, seed=4)
    _, first = np.unique(drawn.patients, return_index=True)
    images, labels = drawn.images[first], drawn.labels[first]
    brighter = (images[:20, :, ::-1] * 0.8 + 30).astype(np.uint8)
    none = {f"{part}_{what}": array[:0] for part in ("val", "test") for what, array in _npz(images, labels).items()}
    both = _npz(np.concatenate([images, brighter]), np.concatenate([labels, labels[:20]]))
    np.savez(tmp_path / "copies.npz", **{f"train_{what}": array for what, array in both.items()}, **none)
    cohort = read_cohort(tmp_path / "copies.npz", cache=tmp_path / "cache")
    pairs = near_copies_of(cohort).pairs
    assert len(pairs) >= 18

    study = run_study(
        cohort, tmp_path / "run", rungs="logistic", sizes="all", repeats=1, jobs=1, group_near=True, inspection=False
    )
    model = fit_model(study, tmp_path / "model", cohort=cohort, rung="logistic", jobs=1)
    assert model.record.training["near_copies_grouped"]
    seed = model.record.training["seed"]
    fitted = rows_to_learn_from(cohort, seed, keep_test=False, group_near=True)
    assert _n_parted(fitted, pairs) == 0
    assert _n_parted(rows_to_learn_from(cohort, seed, keep_test=False), pairs) > 0, "not by chance"
    assert _n_parted(study_draw(study.read_plan(), cohort, "logistic"), pairs) == 0


def _npz(images: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    return {"images": images, "labels": labels.reshape(-1, 1)}


def _n_parted(drawn: Draw, pairs: np.ndarray) -> int:
    """How many pairs that are both in a draw stand in two of its parts."""
    fold = dict(zip(drawn.rows.tolist(), drawn.fold.tolist(), strict=True))
    return sum(fold[one] != fold[other] for one, other in pairs.tolist() if one in fold and other in fold)


def test_how_files_were_stored_is_a_shortcut(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, how in (("sick", {"quality": 60}), ("well", {"quality": 90})):
        (tmp_path / name).mkdir()
        for i in range(20):
            picture = Image.fromarray(rng.normal(100, 30, (16, 16)).clip(0, 255).astype(np.uint8))
            picture.save(tmp_path / name / f"{i}.jpg", **how)
    (finding,) = [f for f in audit(read_cohort(tmp_path)) if f.kind == "shortcut"]
    assert "compression" in finding.message


def test_encodings_of_pictures_and_dicom(tmp_path: Path, shared_data: Callable[[str], Path]) -> None:
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(tmp_path / "deep.png")
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "a.tif", compression="tiff_lzw")
    (tmp_path / "bad.jpg").write_bytes(b"no")
    assert read_encoding(tmp_path / "deep.png") == Encoding("PNG", "16", "I", "")
    assert read_encoding(tmp_path / "a.tif") == Encoding("TIFF", "8", "RGB", "tiff_lzw")
    assert read_encoding(tmp_path / "bad.jpg") == Encoding()
    dicom = read_encoding(shared_data("dicom") / "693_UNCR.dcm")
    assert (dicom.kind, dicom.bits, dicom.compression) == ("DICOM", "14", "Explicit VR Little Endian")


def test_a_mark_in_one_corner_is_a_shortcut(tmp_path: Path) -> None:
    """Noise in all the frame's other values would drown it if all were always weighed together."""
    rng = np.random.default_rng(5)
    images = rng.integers(0, 256, (120, 32, 32), np.uint8)
    labels = np.arange(120) % 2
    marked = np.flatnonzero((labels == 0) == (rng.random(120) < 0.75))
    images[marked, :5, :5] //= 2
    none = {f"{part}_{what}": array[:0] for part in ("val", "test") for what, array in _npz(images, labels).items()}
    np.savez(tmp_path / "x.npz", **{f"train_{what}": array for what, array in _npz(images, labels).items()}, **none)
    (finding,) = shortcuts(read_cohort(tmp_path / "x.npz", cache=tmp_path / "cache"))
    assert "border and corners" in finding.message
