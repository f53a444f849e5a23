"""Hostile files on the road of every cohort: named or read right, soon, within memory, and never to their neighbours' harm."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from hostile_files import FOLDERS, SHAPE, Case, nifti
from medladder.cohort import read_cohort

SECONDS = 10.0
"""For a whole folder or table of cases; no single file may take as long."""

MOST_BYTES = 2**30

GOOD = [np.random.default_rng(seed).integers(30, 220, SHAPE, dtype=np.uint8) for seed in range(4)]


def folder_of(root: Path, cases: list[Case], *, are_volumes: bool) -> Path:
    """Two classes of good files, and the cases among the first."""
    for number, pixels in enumerate(GOOD):
        place = root / ("clear", "effusion")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        if are_volumes:
            (place / f"good{number}.nii").write_bytes(nifti())
        else:
            Pillow.fromarray(pixels).save(place / f"good{number}.png")
    for one in cases:
        one.make(root / "clear" / one.name)
    return root


def n_cases(cases: list[Case]) -> int:
    """Cases, where a file that is cut at every tenth is one."""
    return len([one for one in cases if not one.name.partition(".")[0].endswith(tuple(["-2", "-3", "-4", "-5", "-6", "-7", "-8", "-9"]))])


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_folder_of_hostile_files(tmp_path: Path, kind: str) -> None:
    cases, are_volumes = FOLDERS[kind](), kind in ("nifti", "metaimage", "nrrd")
    folder = folder_of(tmp_path / "cohort", cases, are_volumes=are_volumes)
    size = (5, 6, 7) if are_volumes else SHAPE
    begun = time.monotonic()
    cohort = read_cohort(folder, image_size=size)
    assert time.monotonic() - begun < SECONDS * (1 + len(cases) // 16)
    notes = [one.note for one in cases if one.note]
    assert all(any(note in told for told in cohort.notes) for note in notes), cohort.notes
    images = dict(zip(cohort.files, np.asarray(cohort.images), strict=True))
    for one in cases:
        name = f"clear/{one.name}"
        if one.reason:
            assert one.reason in cohort.unreadable[name], one.name
            assert str(tmp_path) not in cohort.unreadable[name]
            assert name not in images
        else:
            assert name not in cohort.unreadable, (one.name, cohort.unreadable.get(name))
        if one.picture is not None:
            np.testing.assert_array_equal(images[name], as_colour(one.picture, images[name]), err_msg=one.name)
    if not are_volumes:
        for number, pixels in enumerate(GOOD):
            seen = images[f"{('clear', 'effusion')[number % 2]}/good{number}.png"]
            np.testing.assert_array_equal(seen, as_colour(pixels, seen))
    assert sum("good" in name for name in cohort.files) == len(GOOD)


def as_colour(picture: np.ndarray, like: np.ndarray) -> np.ndarray:
    """As a cohort holds it that has colours, or 16 bits, among its images."""
    if like.dtype == np.uint16 and picture.dtype == np.uint8:
        picture = picture * np.uint16(257)
    return np.broadcast_to(picture[..., None], like.shape) if picture.ndim < like.ndim else picture
