"""Shortcuts that the audit finds where one was planted, and where none was, in drawn cohorts. Prints one table.

What is planted stands in 7 of 10 patients of the first class and in 3 of 10 of the others, so that it alone tells them
with AUROC .7 in every cohort of 200 patients. Of the clean cohorts, a third each of nodule, atrophy and cells, every
patient has all of it at random, and the false alarms of all are counted together. Files are written and read through
the ordinary door.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool
from PIL import Image, ImageDraw

from medladder.audit.shortcuts import shortcuts
from medladder.cohort import Cohort, read_cohort
from medladder.phantoms import draw

PATIENTS = 200
AUROC = 0.7
SIDE = 64
NAMES = ("nodule", "atrophy", "cells")
COLUMNS = {"maker": ("Siemens", "GE"), "site": ("north", "south")}
IN_PICTURE, IN_FILE = ("border", "text"), ("compression", "bit depth", "size")
PLANTED = (*COLUMNS, *IN_PICTURE, *IN_FILE)


def marked(pixels: np.ndarray, kind: str) -> np.ndarray:
    """With a border of two pixels, or a letter in the corner: bright, or dark where the picture's corner is bright."""
    picture = Image.fromarray(pixels)
    pen = ImageDraw.Draw(picture)
    is_dark = pixels[:16, :16].mean() < 128
    if kind == "border":
        pen.rectangle((0, 0, SIDE - 1, SIDE - 1), outline=200 if is_dark else 55, width=2)
    else:
        pen.text((3, 1), "L", fill=255 if is_dark else 0)
    return np.asarray(picture)


def save(pixels: np.ndarray, path: Path, kinds: set[str]) -> str:
    """As a file, whose name is returned: of 16 bits, or a JPEG of much or little compression, and perhaps larger."""
    picture = Image.fromarray(pixels)
    if "size" in kinds:
        picture = picture.resize((80, 80), Image.Resampling.BILINEAR)
    if "bit depth" in kinds:
        path = path.with_suffix(".png")
        Image.fromarray(np.asarray(picture).astype(np.uint16) * 257).save(path)
    else:
        path = path.with_suffix(".jpg")
        picture.save(path, quality=60 if "compression" in kinds else 90)
    return path.name


def cohort_of(name: str, seed: int, folder: Path, planted: str | None) -> Cohort:
    """Drawn patients with one picture each; what is planted goes with the class, all else is everyone's or random."""
    drawn = draw(name, n_patients=PATIENTS, size=SIDE, seed=seed)
    _, first = np.unique(drawn.patients, return_index=True)
    images, labels = drawn.images[first], drawn.labels[first]
    grey = images if images.ndim == 3 else images.mean(axis=-1).astype(np.uint8)
    rng = np.random.default_rng(seed)

    def has(kind: str) -> Bool[np.ndarray, " image"]:
        if planted is None:
            return rng.random(len(labels)) < 0.5
        stands = np.zeros(len(labels), bool)
        if kind == planted:
            for rows, share in ((np.flatnonzero(labels == 0), AUROC), (np.flatnonzero(labels), 1 - AUROC)):
                stands[rng.permutation(rows)[: round(share * len(rows))]] = True
        return stands

    of = {kind: has(kind) for kind in PLANTED}
    if planted is None:  # files of 16 bits are no JPEG
        of["compression"] &= ~of["bit depth"]
    rows = ["path,label,patient,maker,site"]
    for i, pixels in enumerate(grey):
        for kind in IN_PICTURE:
            pixels = marked(pixels, kind) if of[kind][i] else pixels
        file = save(pixels, folder / f"{i}", {kind for kind in IN_FILE if of[kind][i]})
        told = (kinds[int(of[column][i])] for column, kinds in COLUMNS.items())
        rows.append(f"{file},{drawn.classes[labels[i]]},p{i},{','.join(told)}")
    (folder / "labels.csv").write_text("\n".join(rows), "utf-8")
    return replace(read_cohort(folder / "labels.csv", cache=folder / "cache"), patients_known=True)


def alarms(name: str, seed: int, planted: str | None) -> list[bool]:
    """Of each finding, whether it is of the frame."""
    with tempfile.TemporaryDirectory() as folder:
        return ["border" in one.message for one in shortcuts(cohort_of(name, seed, Path(folder), planted))]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--clean", type=int, default=204)
    parser.add_argument("--planted", type=int, default=102, help="cohorts a kind")
    parser.add_argument("--kinds", nargs="*", choices=PLANTED, default=PLANTED)
    parser.add_argument("--seed", type=int, default=8000, help="the first; the model was chosen on those below 7000")
    given = parser.parse_args()
    first = given.seed
    for kind in given.kinds:
        n = given.planted // len(NAMES)
        found = [
            sum((kind in IN_PICTURE) in alarms(name, seed, kind) for seed in range(first, first + n)) for name in NAMES
        ]
        parts = ", ".join(f"{name} {hits}" for name, hits in zip(NAMES, found, strict=True))
        print(f"{kind:12} found in {sum(found) / (n * len(NAMES)):6.1%} of {n * len(NAMES)} ({parts})", flush=True)
    n = given.clean // len(NAMES)
    false = [alarms(name, seed, None) for name in NAMES for seed in range(first + 1000, first + 1000 + n)]
    n_false, n_frame = sum(map(bool, false)), sum(any(one) for one in false)
    print(f"nothing      false alarms in {n_false / len(false):6.1%} of {len(false)}, of these {n_frame} by the frame")


if __name__ == "__main__":
    main()
