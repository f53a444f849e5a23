"""Planted copies that the audit finds, and pairs it names that are none. Prints one table.

Run as `audit_copies.py [RADIOGRAPHS.csv]`, a table of radiographs with path, split and patient_id. Limits were chosen
on one half of its training patients (`--half tune`) and on drawn cohorts of seed 1; the table is of the other half and
of seed 2.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import time
from pathlib import Path

import numpy as np
from PIL import Image

from medladder.audit import find_near_copies
from medladder.phantoms import draw

KINDS = ("recompressed", "resized", "brightened", "cropped", "flipped", "rotated")
PLANTED = 200
SIDE = 64


def alter(pixels: np.ndarray, kind: str, rng: np.random.Generator) -> np.ndarray:
    """One picture as someone's tools might have left it."""
    picture = Image.fromarray(pixels)
    if kind == "recompressed":
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=int(rng.integers(30, 76)))
        return np.asarray(Image.open(file))
    if kind == "resized":
        by = rng.choice([0.5, 0.6, 0.75, 1.5])
        size = (round(picture.width * by), round(picture.height * by))
        return np.asarray(picture.resize(size, Image.Resampling.BICUBIC))
    if kind == "brightened":
        gain, offset, gamma = rng.uniform(0.8, 1.25), rng.uniform(-25, 25), rng.uniform(0.85, 1.18)
        return ((pixels / 255) ** gamma * 255 * gain + offset).clip(0, 255).round().astype(np.uint8)
    if kind == "cropped":  # up to a twentieth off each side
        height, width = pixels.shape[:2]
        top, bottom = (max(1, round(share * height)) for share in rng.uniform(0, 0.05, 2))
        left, right = (max(1, round(share * width)) for share in rng.uniform(0, 0.05, 2))
        return pixels[top : height - bottom, left : width - right]
    if kind == "flipped":
        return pixels[:, ::-1] if rng.random() < 0.7 else pixels[::-1]
    return np.rot90(pixels, int(rng.integers(1, 4)))


def shrunk(pixels: np.ndarray) -> np.ndarray:
    """At working size, as a cohort is read."""
    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def score(name: str, pictures: list[np.ndarray], owners: np.ndarray, seed: int) -> None:
    """Plant copies of every kind among pictures, search, and print a row."""
    rng = np.random.default_rng(seed)
    base = [shrunk(picture) for picture in pictures]
    clean = find_near_copies(np.stack(base), _contents(base))
    one, other = owners[clean.pairs].T
    false, same_patient = int((one != other).sum()), int((one == other).sum())
    found = []
    began = time.perf_counter()
    for kind in KINDS:
        sources = rng.choice(len(base), min(PLANTED, len(base)), replace=False)
        images = [*base, *(shrunk(alter(pictures[i], kind, rng)) for i in sources)]
        near = find_near_copies(np.stack(images), _contents(images))
        named = set(map(tuple, near.pairs.tolist()))
        exact = [(images[i] == images[len(base) + k]).all() for k, i in enumerate(sources)]
        hits = [e or (int(i), len(base) + k) in named for k, (i, e) in enumerate(zip(sources, exact, strict=True))]
        found.append(f"{np.mean(hits):6.1%}")
    seconds = (time.perf_counter() - began) / len(KINDS)
    row = (f"{name:26}", f"{len(base):6}", *(f"{cell:>12}" for cell in found))
    print(*row, f"{false:6} ({1000 * false / len(base):.2f})", f"{same_patient:12}", f"{seconds:6.1f} s", flush=True)


def _contents(images: list[np.ndarray]) -> np.ndarray:
    return np.array([hashlib.sha256(image.tobytes()).hexdigest() for image in images])


def radiographs(table: Path, half: int) -> tuple[list[np.ndarray], np.ndarray]:
    """The images and patients of one half of the training patients."""
    with table.open() as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "train"]
    patients = sorted({row["patient_id"] for row in rows})
    np.random.default_rng(0).shuffle(patients)
    middle = len(patients) // 2
    chosen = set(patients[:middle] if half == 0 else patients[middle:])
    rows = [row for row in rows if row["patient_id"] in chosen]
    pictures = [np.asarray(Image.open(table.parent / row["path"]).convert("L")) for row in rows]
    return pictures, np.unique([row["patient_id"] for row in rows], return_inverse=True)[1]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("table", nargs="?", type=Path)
    parser.add_argument("--half", choices=("tune", "score"), default="score")
    given = parser.parse_args()
    seed = 1 if given.half == "tune" else 2
    print(f"{'':26} images", *(f"{kind:>12}" for kind in KINDS), "false (of 1,000)", "same patient", "a search")
    for name in ("nodule", "atrophy", "cells"):
        drawn = draw(name, n_patients=800, size=96, seed=seed)
        score(f"drawn {name}", list(drawn.images), drawn.patients, seed)
    if given.table is not None:
        score(f"radiographs, {given.half} half", *radiographs(given.table, seed - 1), seed)


if __name__ == "__main__":
    main()
