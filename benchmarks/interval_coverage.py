"""How often the 95 % intervals hold the truth, on Gaussian classes where E(n) is known by brute force.

Run with ``python benchmarks/interval_coverage.py [STUDIES]``; prints one table and writes nothing. The rung is linear
discriminant analysis in closed form, its threshold chosen out of part in five parts (at the training prevalence where a
class has fewer than 10 patients). Every study draws its own pool and its own test patients.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from medladder.evidence.points import measure_folds, weigh_metrics
from medladder.evidence.scores import FoldScores

FEATURES = 10
REPEATS = 10
METRICS = ("auroc", "balanced_accuracy", "sensitivity")
TRUE_MODELS, TRUE_PATIENTS = 400, 20_000


@dataclass(frozen=True)
class Cell:
    """One kind of study; with folds the test patients are the pool of the other folds too."""

    sizes: tuple[int, ...]
    prevalence: float
    n_test: int
    folds: int = 1
    images: int = 1
    distance: float = 1.5


CELLS = (
    Cell((40, 100, 400), 0.5, 60),
    Cell((40, 100, 400), 0.5, 400),
    Cell((40, 100, 400), 0.5, 200, images=3),
    Cell((40, 100, 400), 0.5, 200, distance=3.0),
    Cell((100, 200, 400), 0.1, 80),
    Cell((100, 200, 400), 0.1, 400),
    Cell((100, 200, 400), 0.1, 80, distance=3.0),
    Cell((40, 80, 160), 0.5, 200, folds=5),
    Cell((40, 80, 160), 0.5, 200, folds=5, images=3),
    Cell((100, 200, 320), 0.1, 400, folds=5),
)


def draw_patients(labels: np.ndarray, cell: Cell, rng: np.random.Generator) -> np.ndarray:
    """Features `(patient, image, feature)`: half of the noise is the patient's, half the image's."""
    shift = np.zeros(FEATURES)
    shift[0] = cell.distance
    person = rng.standard_normal((len(labels), 1, FEATURES))
    image = rng.standard_normal((len(labels), cell.images, FEATURES))
    noise = person if cell.images == 1 else np.sqrt(0.5) * (person + image)
    return labels[:, None, None] * shift + noise


def draw_labels(n: int, prevalence: float) -> np.ndarray:
    return (np.arange(n) < round(n * prevalence)).astype(int)


def fit(weights: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Discriminants of many subsets at once: `weights[draw, patient]` is 1 for those a draw trains on."""
    mean = x.mean(axis=1)
    images = x.reshape(-1, FEATURES)
    squares = (images[:, :, None] * images[:, None, :]).reshape(len(x), x.shape[1], -1).mean(axis=1)
    n1, n0 = weights @ y, weights @ (1 - y)
    m1, m0 = (weights * y) @ mean / n1[:, None], (weights * (1 - y)) @ mean / n0[:, None]
    total = (weights @ squares).reshape(-1, FEATURES, FEATURES)
    between = n1[:, None, None] * m1[:, :, None] * m1[:, None, :] + n0[:, None, None] * m0[:, :, None] * m0[:, None, :]
    within = (total - between) / (n1 + n0)[:, None, None] + 1e-3 * np.eye(FEATURES)
    slope = np.linalg.solve(within, (m1 - m0)[:, :, None])[:, :, 0]
    return slope, np.log(n1 / n0) - ((m1 + m0) * slope).sum(axis=1) / 2


def predict(slope: np.ndarray, offset: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Mean probability of class 1 over a patient's images, `(draw, patient)`."""
    scores = x.reshape(-1, FEATURES) @ slope.T + offset
    return expit(scores).reshape(len(x), x.shape[1], -1).mean(axis=1).T


def threshold(p: np.ndarray, y: np.ndarray) -> float:
    """The cut with the best balanced accuracy."""
    order = np.argsort(p)
    gained = np.cumsum(np.where(y[order] == 0, 1 / (y == 0).sum(), -1 / (y == 1).sum()))
    best = int(np.argmax(gained))
    return float((p[order][best] + p[order][min(best + 1, len(p) - 1)]) / 2)


def train(subsets: np.ndarray, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> tuple:
    """Discriminants and thresholds for subsets given as 0/1 `(repeat, patient)`."""
    slope, offset = fit(subsets, x, y)
    cuts = []
    for subset in subsets:
        rows = np.flatnonzero(subset)
        if min(y[rows].sum(), len(rows) - y[rows].sum()) < 10:
            cuts.append(y[rows].mean())
            continue
        part = np.empty(len(rows), dtype=int)
        for k in (0, 1):
            here = np.flatnonzero(y[rows] == k)
            part[here] = rng.permutation(len(here)) % 5
        others = (part[None, :] != np.arange(5)[:, None]).astype(float)
        scores = predict(*fit(others, x[rows], y[rows]), x[rows])
        cuts.append(threshold(scores[part, np.arange(len(rows))], y[rows]))
    return slope, offset, np.array(cuts)


def nested(y: np.ndarray, pool: np.ndarray, n: int, order: np.ndarray) -> tuple[np.ndarray, float]:
    """Subsets by the cyclic rule of docs/architecture.md and their mean overlap."""
    starts = np.arange(REPEATS) * len(pool) // REPEATS
    chosen = order[(starts[:, None] + np.arange(n)) % len(pool)]
    subsets = np.zeros((REPEATS, len(y)))
    np.put_along_axis(subsets, chosen, 1.0, axis=1)
    common = subsets @ subsets.T / n
    return subsets, float((common.sum() - REPEATS) / (REPEATS * (REPEATS - 1)))


def stratified_order(y: np.ndarray, pool: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The pool in an order whose every stretch holds the classes in the pool's shares."""
    place = np.empty(len(pool))
    for k in (0, 1):
        here = np.flatnonzero(y[pool] == k)
        place[rng.permutation(here)] = (np.arange(len(here)) + rng.random()) / len(here)
    return pool[np.argsort(place)]


def one_study(cell: Cell, rng: np.random.Generator) -> dict[int, dict]:
    """One study's intervals at every size."""
    n_pool = max(cell.sizes) if cell.folds == 1 else 0
    y = np.concatenate([draw_labels(n_pool, cell.prevalence), draw_labels(cell.n_test, cell.prevalence)])
    x = draw_patients(y, cell, rng)
    fold_of = np.full(len(y), -1)
    for k in (0, 1):
        here = n_pool + np.flatnonzero(y[n_pool:] == k)
        fold_of[here] = rng.permutation(len(here)) % cell.folds
    by_size: dict[int, list[FoldScores]] = {n: [] for n in cell.sizes}
    for fold in range(cell.folds):
        pool = np.flatnonzero(fold_of != fold)
        order, test = stratified_order(y, pool, rng), np.flatnonzero(fold_of == fold)
        for n in cell.sizes:
            subsets, overlap = nested(y, pool, n, order)
            slope, offset, cuts = train(subsets, x, y, rng)
            p = predict(slope, offset, x[test])
            both = np.stack([1 - p, p], axis=2)
            decided = (p >= cuts[:, None]).astype(int)
            by_size[n].append(FoldScores(fold, np.arange(REPEATS), overlap, both, decided, y[test], test))
    shared = {n: shared_training(fold_of, cell.folds, n) for n in cell.sizes}
    return weigh_metrics({n: measure_folds(folds) for n, folds in by_size.items()}, shared)


def shared_training(fold_of: np.ndarray, folds: int, n: int) -> np.ndarray:
    pools = np.array([fold_of != fold for fold in range(folds)], dtype=float)
    sizes = pools.sum(axis=1)
    return n * (pools @ pools.T) / np.outer(sizes, sizes)


def truth(cell: Cell, n: int, rng: np.random.Generator) -> dict[str, float]:
    """E(n): models on fresh patients, scored on many fresh patients."""
    y_test = draw_labels(TRUE_PATIENTS, 0.5)
    found = []
    for _ in range(TRUE_MODELS // 20):
        x_test = draw_patients(y_test, cell, rng)
        for _ in range(20):
            y = draw_labels(n, cell.prevalence)
            slope, offset, cuts = train(np.ones((1, n)), draw_patients(y, cell, rng), y, rng)
            p = predict(slope, offset, x_test)[0]
            hit = p >= cuts[0]
            sensitivity, specificity = hit[y_test == 1].mean(), 1 - hit[y_test == 0].mean()
            ranks = np.empty(len(p))
            ranks[np.argsort(p)] = np.arange(1, len(p) + 1)
            half = len(p) // 2
            area = (ranks[y_test == 1].sum() - half * (half + 1) / 2) / half**2
            found.append((area, (sensitivity + specificity) / 2, sensitivity))
    return dict(zip(METRICS, np.mean(found, axis=0), strict=True))


def main() -> None:
    studies = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    only = [int(number) for number in sys.argv[2].split(",")] if len(sys.argv) > 2 else range(len(CELLS))
    print(f"Coverage of 95 % intervals in %, {studies} studies a cell; mean width in brackets.")
    print("prevalence  test patients (fewest in class)  images  split   n     truth   " + "  ".join(METRICS))
    for number in only:
        cell = CELLS[number]
        rng = np.random.default_rng([1, number])
        known = {n: truth(cell, n, rng) for n in cell.sizes}
        held = {n: np.zeros((studies, len(METRICS))) for n in cell.sizes}
        width = {n: np.zeros(len(METRICS)) for n in cell.sizes}
        start = time.perf_counter()
        for study in range(studies):
            for n, found in one_study(cell, np.random.default_rng([2, number, study])).items():
                intervals = (found["auroc"], found["balanced_accuracy"], found["recalls"][1])
                for place, (metric, interval) in enumerate(zip(METRICS, intervals, strict=True)):
                    held[n][study, place] = interval.low <= known[n][metric] <= interval.high
                    width[n][place] += (interval.high - interval.low) / studies
        for n in cell.sizes:
            share = held[n].mean(axis=0)
            error = np.sqrt(share * (1 - share) / studies)
            cells = "  ".join(
                f"{100 * s:5.1f} ± {100 * e:.1f} [{w:.3f}]" for s, e, w in zip(share, error, width[n], strict=True)
            )
            split = "own" if cell.folds == 1 else f"{cell.folds}-fold"
            few = round(cell.n_test * min(cell.prevalence, 1 - cell.prevalence))
            print(
                f"{cell.prevalence:4}  {cell.n_test:4} ({few:3})  {cell.images}  {split:6}  {n:4}  "
                f"{known[n]['auroc']:.3f}  {cells}",
                flush=True,
            )
        print(f"  ({time.perf_counter() - start:.0f} s)", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
