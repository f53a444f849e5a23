"""Shortcuts that the audit finds where one was planted, and where none was, in drawn cohorts. Prints one table.

The planted one is a maker, one of two, that tells the class with the AUROC given, in 200 patients; the clean cohorts
have the same column at random.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from medladder.audit.shortcuts import shortcuts
from medladder.cohort import Cohort, read_cohort
from medladder.phantoms import draw

PATIENTS = 200
AUROC = 0.7


def cohort_of(name: str, seed: int, folder: Path) -> Cohort:
    """A drawn cohort of `PATIENTS`, through the ordinary door."""
    drawn = draw(name, n_patients=PATIENTS, size=32, seed=seed)
    path = folder / f"{name}{seed}.npz"
    grey = drawn.images if drawn.images.ndim == 3 else drawn.images.mean(axis=-1).astype(np.uint8)
    empty = {f"{part}_{what}": value[:0] for part in ("val", "test") for what, value in _arrays(grey, drawn.labels)}
    np.savez(path, **{f"train_{what}": value for what, value in _arrays(grey, drawn.labels)}, **empty)
    cohort = read_cohort(path, cache=folder)
    return replace(cohort, patients=drawn.patients, patients_known=True, columns={})


def _arrays(images: np.ndarray, labels: np.ndarray) -> tuple[tuple[str, np.ndarray], ...]:
    return (("images", images), ("labels", labels.reshape(-1, 1)))


def with_maker(cohort: Cohort, auroc: float, seed: int) -> Cohort:
    """With a column maker that tells the first class from the others with this AUROC; 0.5 for nothing."""
    rng = np.random.default_rng(seed)
    agrees = rng.random(cohort.patients.max() + 1) < auroc
    is_a = np.where(agrees[cohort.patients], cohort.labels == 0, cohort.labels != 0)
    return replace(cohort, columns={"maker": np.where(is_a, "A", "B")})


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cohorts", type=int, default=204)
    n = parser.parse_args().cohorts // 3
    print(f"{'':10} cohorts   found, AUROC {AUROC}   false alarms   of these the frame")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("nodule", "atrophy", "cells"):
            found = alarms = frames = 0
            for seed in range(5000, 5000 + n):
                cohort = cohort_of(name, seed, Path(folder))
                told = [finding.message for finding in shortcuts(with_maker(cohort, AUROC, seed))]
                found += any("maker" in message for message in told)
                told = [finding.message for finding in shortcuts(with_maker(cohort, 0.5, seed + 7))]
                alarms += bool(told)
                frames += any("border" in message for message in told)
            print(f"{name:10} {n:7} {found / n:15.1%} {alarms:10} ({alarms / n:.1%}) {frames:12}", flush=True)


if __name__ == "__main__":
    main()
