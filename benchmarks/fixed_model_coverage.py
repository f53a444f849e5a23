"""How often the 95 % intervals of one fixed model hold the truth, which brute force tells.

Run with ``python benchmarks/fixed_model_coverage.py [--cohorts N] [--cells 0,1] [--jobs N]``; prints one table and
writes nothing. An image's finding is Gaussian in each class; half of its noise is the patient's, half the image's. The
model was trained where 30 % were positive, and is overconfident. Patients are drawn as they come, so that a cohort's
share of positives is chance too; a cohort that lacks a class is drawn anew. Values in use are asked for at 20 %.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.special import expit, logit
from scipy.stats import rankdata

from medladder.evidence.fixed import weigh_model

DISTANCE, STEEPNESS = 1.8, 1.25
TRAINED, USED, THRESHOLD = 0.3, 0.2, 0.3
METRICS = ("auroc", "sensitivity", "balanced_accuracy", "ppv", "npv", "net_benefit", "slope", "intercept")
TRUE_PATIENTS = 2_000_000
STEPS = 30


@dataclass(frozen=True)
class Cell:
    """One kind of cohort."""

    n_test: int
    prevalence: float
    images: int


CELLS = tuple(Cell(n, share, images) for images, share, n in product((1, 3), (0.5, 0.1), (40, 156, 624)))


def state(positive: np.ndarray, images: int, rng: np.random.Generator) -> np.ndarray:
    """The model's probability of the positive class, `(patient, image)`."""
    person = rng.standard_normal((len(positive), 1))
    own = rng.standard_normal((len(positive), images))
    finding = DISTANCE * positive[:, None] + (person + own) * np.sqrt(0.5)
    odds = logit(TRAINED) + DISTANCE * finding - DISTANCE**2 / 2
    return np.asarray(expit(STEEPNESS * odds))


def truth(cell: Cell, rng: np.random.Generator) -> dict[str, float]:
    """What the model scores on all patients there are."""
    positive = np.arange(TRUE_PATIENTS) % 2
    stated = state(positive, cell.images, rng).mean(axis=1)
    half = TRUE_PATIENTS // 2
    ranks = rankdata(stated)[positive == 1].sum()
    sensitivity = float((stated[positive == 1] >= THRESHOLD).mean())
    specificity = float((stated[positive == 0] < THRESHOLD).mean())
    shift = logit(USED) - logit(TRAINED)
    exchange = np.exp(logit(THRESHOLD) + shift)
    found, missed = sensitivity * USED, (1 - sensitivity) * USED
    alarmed, cleared = (1 - specificity) * (1 - USED), specificity * (1 - USED)
    weight = np.where(positive == 1, cell.prevalence, 1 - cell.prevalence)
    slope, _ = regress(np.column_stack([logit(stated), np.ones_like(stated)]), 0.0, positive, weight)
    (intercept,) = regress(np.ones((TRUE_PATIENTS, 1)), logit(stated), positive, weight)
    return {
        "auroc": (ranks - half * (half + 1) / 2) / half**2,
        "sensitivity": sensitivity,
        "balanced_accuracy": (sensitivity + specificity) / 2,
        "ppv": found / (found + alarmed),
        "npv": cleared / (cleared + missed),
        "net_benefit": found - alarmed * exchange,
        "slope": slope,
        "intercept": intercept,
    }


def regress(terms: np.ndarray, offset: np.ndarray | float, positive: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted logistic regression by Newton's steps."""
    theta = np.zeros(terms.shape[1])
    for _ in range(STEPS):
        proba = expit(offset + terms @ theta)
        curvature = (terms * (weight * proba * (1 - proba))[:, None]).T @ terms
        theta = theta + np.linalg.solve(curvature, terms.T @ (weight * (positive - proba)))
    return theta


def ask(cell: Cell, rng: np.random.Generator) -> dict[str, dict[str, float] | None]:
    """One cohort's intervals."""
    positive = np.zeros(cell.n_test, dtype=int)
    while positive.min() == positive.max():
        positive = (rng.random(cell.n_test) < cell.prevalence).astype(int)
    stated = state(positive, cell.images, rng).ravel()
    found = weigh_model(
        np.column_stack([1 - stated, stated]),
        np.repeat(positive, cell.images),
        np.repeat(np.arange(cell.n_test), cell.images),
        patients_known=True,
        classes=("normal", "disease"),
        weights=(1 - THRESHOLD, THRESHOLD),
        prevalence=USED,
        trained_prevalence=(1 - TRAINED, TRAINED),
    ).to_json()
    everything = {**found, **found["at_prevalence"], **found["calibration"]}
    return {metric: everything[metric] for metric in METRICS}


def weigh_cell(number: int, cohorts: int) -> str:
    """A row of the table: the share of intervals that hold the truth, and of those that miss on either side."""
    cell = CELLS[number]
    known = truth(cell, np.random.default_rng([1, number]))
    asked = [ask(cell, np.random.default_rng([2, number, cohort])) for cohort in range(cohorts)]
    told = []
    for metric in METRICS:
        found = [interval for one in asked if (interval := one[metric]) is not None]
        low, high = (np.array([one[side] for one in found]) for side in ("low", "high"))
        held = float(((low <= known[metric]) & (known[metric] <= high)).mean())
        error = np.sqrt(held * (1 - held) / len(found))
        lacking = f" ({cohorts - len(found)} none)" if len(found) < cohorts else ""
        told.append(f"{100 * held:5.1f} ± {100 * error:.1f} [{np.median(high - low):.3f}]{lacking}")
    return f"{cell.images}  {cell.prevalence:3}  {cell.n_test:4}  {known['auroc']:.3f}  " + "  ".join(told)


def weigh_cells(cells: list[int], cohorts: int, jobs: int) -> Iterator[str]:
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(weigh_cell, cells, [cohorts] * len(cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cohorts", type=int, default=2000)
    parser.add_argument("--cells", default=",".join(map(str, range(len(CELLS)))))
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    start = time.perf_counter()
    print(f"Coverage of 95 % intervals in %, {options.cohorts} cohorts a cell; median width in brackets.")
    print("images  prevalence  patients  AUROC  " + "  ".join(METRICS), flush=True)
    for row in weigh_cells([int(number) for number in options.cells.split(",")], options.cohorts, options.jobs):
        print(row, flush=True)
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
