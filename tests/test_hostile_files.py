"""Hostile files on the road of every cohort: named or read right, soon, in little memory, their neighbours whole."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

import medladder as ml
from hostile_files import NOISE, SHAPE, Case, entries, jpegs, others, png, pngs, tiffs
from hostile_tables import NAMES, TABLES, TableCase, csv
from hostile_volumes import dicoms, metaimages, nifti, niftis, nrrds
from medladder.cohort import read_cohort
from medladder.errors import CohortError, InputError
from test_cli import answer, refused

PICTURES = {
    "png": pngs,
    "jpeg": jpegs,
    "tiff": tiffs,
    "gif, webp and bmp": others,
    "dicom": dicoms,
    "entries": entries,
}
VOLUMES = {"nifti": niftis, "metaimage": metaimages, "nrrd": nrrds}
FOLDERS = PICTURES | VOLUMES
"""Cases that lie in a folder beside good files; those of `TABLES` are cohorts by themselves."""

LEAST_CASES = 200

SECONDS = 10.0
"""For 16 cases; a single one may not take as long."""

MOST_BYTES = 2**30

GOOD = [np.random.default_rng(seed).integers(30, 220, SHAPE, dtype=np.uint8) for seed in range(4)]


def class_of(number: int) -> str:
    return ("clear", "effusion")[number % 2]


def good_folder(root: Path, *, are_volumes: bool = False) -> Path:
    for number, pixels in enumerate(GOOD):
        place = root / class_of(number)
        place.mkdir(parents=True, exist_ok=True)
        if are_volumes:
            (place / f"good{number}.nii").write_bytes(nifti())
        else:
            Pillow.fromarray(pixels).save(place / f"good{number}.png")
    return root


def names_of(cases: Iterable[Case | TableCase]) -> set[str]:
    """Cases by name; a file that is cut at every tenth counts once."""
    return {re.sub(r"-[1-9](?=\.)", "", one.name) for one in cases}


def test_there_are_at_least_200_cases() -> None:
    counts = {kind: len(names_of(make())) for kind, make in (FOLDERS | TABLES).items()}
    assert sum(counts.values()) >= LEAST_CASES, counts


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_folder_of_hostile_files(tmp_path: Path, kind: str) -> None:
    cases, are_volumes = FOLDERS[kind](), kind in VOLUMES
    folder = good_folder(tmp_path / "cohort", are_volumes=are_volumes)
    for one in cases:
        one.make(folder / "clear" / one.name)
    begun = time.monotonic()
    cohort = read_cohort(folder, image_size=(5, 6, 7) if are_volumes else SHAPE)
    assert time.monotonic() - begun < SECONDS * (1 + len(cases) // 16)
    notes = [one.note for one in cases if one.note]
    assert all(any(note in told for told in cohort.notes) for note in notes), cohort.notes
    images = dict(zip(cohort.files, np.asarray(cohort.images), strict=True))
    for one in cases:
        name = f"clear/{one.name}"
        assert (name in cohort.unreadable) == bool(one.reason), (one.name, cohort.unreadable.get(name))
        assert one.reason in cohort.unreadable.get(name, ""), one.name
        assert str(tmp_path) not in cohort.unreadable.get(name, "")
        if one.picture is not None:
            assert_is_seen(images[name], one.picture)
    assert sum("good" in name for name in images) == len(GOOD)
    for number, pixels in enumerate(GOOD if not are_volumes else []):
        assert_is_seen(images[f"{class_of(number)}/good{number}.png"], pixels)


def assert_is_seen(seen: np.ndarray, picture: np.ndarray) -> None:
    """As a cohort holds it that may have colours, or 16 bits, among its images."""
    if seen.dtype == np.uint16 and picture.dtype == np.uint8:
        picture = picture * np.uint16(257)
    picture = picture[..., None] if picture.ndim < seen.ndim else picture
    np.testing.assert_array_equal(seen, np.broadcast_to(picture, seen.shape))


@pytest.mark.parametrize("kind", TABLES)
def test_hostile_tables_and_archives(tmp_path: Path, kind: str) -> None:
    cases = TABLES[kind]()
    for number, name in enumerate(NAMES):
        Pillow.fromarray(GOOD[number]).save(tmp_path / name)
    for one in cases:
        one.make(tmp_path / one.name)
        begun = time.monotonic()
        if one.found:
            with pytest.raises(InputError) as caught:
                read_cohort(tmp_path / one.name)
            assert one.found in caught.value.found, one.name
            assert caught.value.needed
            assert caught.value.do
            assert caught.value.found.isprintable(), "nothing in it steers a terminal"
        else:
            assert len(read_cohort(tmp_path / one.name).labels) == len(NAMES)
        assert time.monotonic() - begun < SECONDS, one.name
    assert not (tmp_path / "touched").exists(), "a pickle was opened"
    (tmp_path / "good.csv").write_text(csv())
    cohort = read_cohort(tmp_path / "good.csv", image_size=SHAPE)
    np.testing.assert_array_equal(np.asarray(cohort.images), np.array(GOOD))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is limited and told on Linux alone")
@pytest.mark.parametrize("kinds", [PICTURES, VOLUMES], ids=["pictures", "volumes"])
def test_all_of_them_together_take_less_than_a_gigabyte(
    tmp_path: Path, kinds: dict[str, Callable[[], list[Case]]]
) -> None:
    folder = good_folder(tmp_path / "cohort", are_volumes=kinds is VOLUMES)
    for one in [one for make in kinds.values() for one in make()]:
        one.make(folder / "clear" / one.name)
    code = (
        "import json, resource, sys\n"
        "from medladder.cohort import read_cohort\n"
        "from medladder.images.pool import decoding_pool\n"
        "cohort = read_cohort(sys.argv[1], image_size=(8,))\n"
        "decoding_pool().end()\n"
        "own = next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
        "workers = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss\n"
        "print(json.dumps([len(cohort.unreadable), int(own), workers]))\n"
    )
    told = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=True, timeout=120)
    n_unreadable, reader, worker = json.loads(told.stdout)
    assert n_unreadable > 40
    assert "Traceback" not in told.stderr
    assert max(reader, worker) * 1024 < MOST_BYTES


def test_a_name_that_is_no_unicode_is_named(tmp_path: Path) -> None:
    folder = good_folder(tmp_path / "cohort")
    try:
        Path(os.fsdecode(os.fsencode(folder) + b"/clear/\xff.png")).write_bytes(png())
    except OSError:
        pytest.skip("this system takes no such names")
    with pytest.raises(CohortError, match=r"The name of \\udcff.png is not UTF-8"):
        read_cohort(folder)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root reads whatever its permissions")
def test_files_and_folders_that_may_not_be_read(tmp_path: Path) -> None:
    folder = good_folder(tmp_path / "cohort")
    closed = folder / "clear" / "closed.png"
    closed.write_bytes(png())
    closed.chmod(0)
    assert read_cohort(folder).unreadable == {"clear/closed.png": "Permission denied"}
    (folder / "clear").chmod(0)
    try:
        with pytest.raises(CohortError, match="may not be read"):
            read_cohort(folder)
    finally:
        (folder / "clear").chmod(0o700)


# Files that change


def test_files_that_change_after_the_audit_are_not_trained_on(class_folders: Path, tmp_path: Path) -> None:
    cohort = read_cohort(class_folders)
    before = np.array(cohort.images)
    for path in class_folders.rglob("*.png"):
        path.write_bytes(png())
    study = ml.run_study(cohort, tmp_path / "run", rungs=("prior",), sizes=("16",), repeats=1, jobs=1)
    np.testing.assert_array_equal(np.asarray(cohort.images), before)
    assert study.read_cohort().fingerprint == cohort.fingerprint


def test_a_file_that_changes_between_audit_study_and_model_is_named(class_folders: Path, tmp_path: Path) -> None:
    answer("check", class_folders)
    words = ("study", class_folders, "--rungs", "prior,logistic", "--sizes", "16", "--repeats", "1", "--jobs", "1")
    answer(*words, "--out", tmp_path / "run")
    changed = class_folders / "clear" / "03.png"
    whole = changed.read_bytes()
    Pillow.fromarray(NOISE[:16, :16]).save(changed)
    assert "not those of the study" in refused("fit", tmp_path / "run", "--out", tmp_path / "model")["found"]
    assert "the cohort" in refused(*words, "--out", tmp_path / "run")["found"]
    changed.write_bytes(whole[:-30])
    assert "not those of the study" in refused("fit", tmp_path / "run", "--out", tmp_path / "model")["found"]
    changed.write_bytes(whole)
    answer("fit", tmp_path / "run", "--out", tmp_path / "model", "--rung", "logistic")
