"""Exact duplicates across a split, patients on both sides, conflicting labels: what the audit finds. Prints one table.

Planted in drawn chests of 400 patients, a cohort a seed, with a split of its own: each file of a planted thing must be
named by the finding of its kind.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from medladder.audit import copies
from medladder.cohort import Cohort, read_cohort
from medladder.phantoms import draw

PLANTED = 20


def cohort_of(seed: int, folder: Path) -> tuple[Cohort, dict[str, np.ndarray]]:
    """A cohort through the ordinary door, and the rows of what was planted, `kind` → planted × 2 rows.

    The last images of train are copies of test images, and after them copies of train's under another label; some
    patients of test have an image in train.
    """
    drawn = draw("nodule", n_patients=400, size=32, seed=20_000 + seed)
    rng, n = np.random.default_rng(seed), len(drawn.labels)
    is_test = np.isin(drawn.patients, rng.permutation(400)[:130])
    train, test = np.flatnonzero(~is_test), np.flatnonzero(is_test)
    copied, doubted = rng.choice(test, PLANTED, replace=False), rng.choice(train, PLANTED, replace=False)
    source = np.concatenate([np.arange(n), copied, doubted])
    labels = np.concatenate([drawn.labels, drawn.labels[copied], 1 - drawn.labels[doubted]])
    owners = np.concatenate([drawn.patients, drawn.patients[copied] + 1000, drawn.patients[doubted]])
    moved = rng.choice(train, PLANTED, replace=False)
    owners[moved] = rng.choice(np.unique(drawn.patients[test]), PLANTED, replace=False)
    is_tested = np.concatenate([is_test, np.zeros(2 * PLANTED, bool)])
    order = np.concatenate([np.flatnonzero(~is_tested), np.flatnonzero(is_tested)])
    place = np.argsort(order)
    images = drawn.images[source][order]
    n_train = int((~is_tested).sum())
    arrays = {"train": slice(0, n_train), "val": slice(0, 0), "test": slice(n_train, None)}
    path = folder / f"{seed}.npz"
    pixels = {f"{part}_images": images[rows] for part, rows in arrays.items()}
    np.savez(path, **pixels, **{f"{part}_labels": labels[order][rows].reshape(-1, 1) for part, rows in arrays.items()})
    cohort = replace(read_cohort(path, cache=folder / "cache"), patients=owners[order], patients_known=True)
    planted = {
        "image-overlap": place[np.stack([copied, n + np.arange(PLANTED)], axis=1)],
        "label-conflict": place[np.stack([doubted, n + PLANTED + np.arange(PLANTED)], axis=1)],
        "patient-overlap": place[moved][:, None],
    }
    return cohort, planted


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cohorts", type=int, default=50)
    given = parser.parse_args()
    found: dict[str, list[bool]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(given.cohorts):
            cohort, planted = cohort_of(seed, Path(folder))
            finders = (copies.image_overlap, copies.patient_overlap, copies.label_conflicts)
            findings = [finding for find in finders for finding in find(cohort)]
            for kind, rows in planted.items():
                named = {file for finding in findings if finding.kind == kind for file in finding.files}
                hits = [all(cohort.files[row] in named for row in pair) for pair in rows.tolist()]
                found.setdefault(kind, []).extend(hits)
    for kind, hits in found.items():
        print(f"{kind:16} {np.mean(hits):8.2%} of {len(hits)} found")


if __name__ == "__main__":
    main()
