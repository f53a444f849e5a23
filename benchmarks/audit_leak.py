"""What a leak does to a study, and what the audit takes back: test images copied into training. Prints one table.

A fifth of the test images, with their labels, stand in training too, as exact copies or as near ones (altered as in
audit_copies.py). Each study is run three times on the same split: without copies, with copies of which nothing is
known, and with the audit's mend (the default for exact copies, `--group-near` for near ones). Exact copies go unknown
by giving each image another content hash; near ones do without `--group-near`. Means over seeds, which draw the cohort
or split it anew, and 95 % intervals of Student's t over seeds.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.stats import t as student

import medladder as ml
from audit_copies import KINDS, alter
from medladder.cohort import Cohort
from medladder.phantoms import draw

RUNGS = ("logistic", "svm", "forest", "nn")
COPIED = 0.2
VARIANTS = ("none", "exact, unknown", "exact, mended", "near, unknown", "near, mended")
SIDE = 48


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images of 400 drawn patients, one each, their labels, and which are the test part: a third."""
    found = draw("nodule", n_patients=400, size=SIDE, seed=9000 + seed)
    _, first = np.unique(found.patients, return_index=True)
    return found.images[first], found.labels[first], np.random.default_rng(seed).permutation(len(first)) % 3 == 0


def ultrasound(path: Path, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pictures of BreastMNIST, each content once, split anew: a third are the test part."""
    with np.load(path) as held:
        images = np.concatenate([held[f"{part}_images"] for part in ("train", "val", "test")])
        labels = np.concatenate([held[f"{part}_labels"] for part in ("train", "val", "test")]).ravel()
    _, first = np.unique(images.reshape(len(images), -1), axis=0, return_index=True)
    return images[first], labels[first], np.random.default_rng(seed).permutation(len(first)) % 3 == 0


def cohort_of(
    images: np.ndarray, labels: np.ndarray, is_test: np.ndarray, variant: str, seed: int, folder: Path
) -> Cohort:
    """The split as an npz, with copies of a fifth of its test part in training, through the ordinary door."""
    rng = np.random.default_rng(seed)
    tested = np.flatnonzero(is_test)
    copied = rng.choice(tested, round(COPIED * len(tested)), replace=False) if variant != "none" else tested[:0]
    copies = [_near(images[i], rng) if variant.startswith("near") else images[i] for i in copied]
    train = np.concatenate([images[~is_test], np.array(copies, np.uint8).reshape(-1, *images.shape[1:])])
    path = folder / f"{variant.split(',')[0]}.npz"
    np.savez(
        path,
        train_images=train,
        train_labels=np.concatenate([labels[~is_test], labels[copied]]),
        test_images=images[is_test],
        test_labels=labels[is_test],
    )
    cohort = ml.read_cohort(path, cache=folder)
    if variant.endswith("unknown"):
        return replace(cohort, contents=np.array([f"{i:032x}" for i in range(len(cohort.labels))]))
    return cohort


def _near(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    altered = Image.fromarray(np.ascontiguousarray(alter(pixels, str(rng.choice(KINDS)), rng)))
    return np.asarray(altered.resize(pixels.shape[::-1], Image.Resampling.BILINEAR))


def scores(cohort: Cohort, variant: str, out: Path) -> tuple[list[float], int]:
    """AUROC on the test part by rung, and how many images the study left out."""
    folder = ml.run_study(
        cohort,
        out,
        rungs=RUNGS,
        sizes="all",
        repeats=1,
        accept="image-overlap",
        group_near=variant == "near, mended",
        pictures=False,
        inspection=False,
    )
    evidence = ml.weigh(folder).to_json()
    record = json.loads((out / "cohort.json").read_text("utf-8"))
    n_apart = sum(one["count"] for one in record["excluded"] if one["kind"] == "held-apart")
    return [rung["points"][-1]["auroc"]["estimate"] for rung in evidence["rungs"]], n_apart


def told(values: np.ndarray) -> str:
    """Mean and 95 % interval over seeds."""
    margin = student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return f"{values.mean():+.3f} ({values.mean() - margin:+.3f} to {values.mean() + margin:+.3f})"


def rows(name: str, found: np.ndarray, apart: np.ndarray, n_copied: int) -> Iterator[str]:
    """A row a rung; `found` is seed × variant × rung."""
    for at, rung in enumerate(RUNGS):
        clean = found[:, 0, at]
        changes = (told(found[:, variant, at] - clean) for variant in range(1, len(VARIANTS)))
        yield f"| {name} | `{rung}` | {clean.mean():.3f} | " + " | ".join(changes) + " |"
    left = ", ".join(f"{VARIANTS[i]} {apart[:, i].mean() / n_copied:.0%}" for i in (2, 4))
    yield f"{name}: {n_copied} copies; left out of training: {left}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("breast", nargs="?", type=Path, help="breastmnist.npz")
    parser.add_argument("--seeds", type=int, default=10)
    given = parser.parse_args()
    print("| images | rung | AUROC without copies | " + " | ".join(VARIANTS[1:]) + " |", flush=True)
    for name in ("drawn nodule", *(["BreastMNIST"] if given.breast else [])):
        found, apart = [], []
        for seed in range(given.seeds):
            began = time.perf_counter()
            images, labels, is_test = drawn(seed) if name == "drawn nodule" else ultrasound(given.breast, seed)
            with tempfile.TemporaryDirectory() as folder:
                pairs = [
                    scores(
                        cohort_of(images, labels, is_test, variant, seed, Path(folder)), variant, Path(folder, f"{at}")
                    )
                    for at, variant in enumerate(VARIANTS)
                ]
            found.append([aurocs for aurocs, _ in pairs])
            apart.append([n for _, n in pairs])
            print(f"# {name}, seed {seed}: {time.perf_counter() - began:.0f} s", flush=True)
        print(*rows(name, np.array(found), np.array(apart), round(COPIED * is_test.sum())), sep="\n", flush=True)


if __name__ == "__main__":
    main()
