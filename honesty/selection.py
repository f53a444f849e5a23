"""How much the picked rung looks better than it is, before and after the correction, where the truth is known.

Run with ``python honesty/selection.py [--studies N] [--draws N] [--cells 0,1]``; prints one table and writes
nothing. A rung's scores are Gaussian in each class, so that E(n) of an AUROC is known exactly. Rungs share 70 % of the
variance of a patient's score and half of the luck of a training subset; a tenth of the variance is the trial's own.
Repeats and folds share luck as far as they share training patients. The classes are those of BreastMNIST's (42, 114)
and PneumoniaMNIST's (234, 390) test parts. Each study is picked from twice: by the study's own rule, and by the best
estimate, as «best deep» is.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from medladder.evidence.comparisons import Curve, compare_all
from medladder.evidence.intervals import Interval, auroc_interval
from medladder.evidence.metrics import FoldMeasure, Measure, auroc
from medladder.evidence.selection import Selected, choose_by_rule, correct_pick
from medladder.evidence.variance import training_spread, variance_of
from medladder.evidence.verdict import Standing

REPEATS = 10
CLASSES = {156: (42, 114), 624: (234, 390)}
POOL = 1000
RUNGS_SHARE, LUCK_SHARED, TRIALS_OWN = 0.7, 0.5, 0.1
# Standard deviation of a trial's distance between the classes, in units of AUROC's normal quantile: LUCK / sqrt(n).
LUCK = 0.5


@dataclass(frozen=True)
class Cell:
    """One kind of study: the rungs' true AUROC in ladder order, before the luck of training."""

    name: str
    aurocs: tuple[float, ...]
    n_test: int
    folds: int = 1


CELLS = (
    *(Cell("8 equal", (top,) * 8, n, folds) for n in (156, 624) for top in (0.85, 0.95) for folds in (1, 5)),
    *(Cell("7, last better", (0.85,) * 7 + (0.90,), n) for n in (156, 624)),
    *(Cell("8 ascending", tuple(np.linspace(0.80, 0.88, 8)), n) for n in (156, 624)),
    *(Cell("2 equal", (0.85,) * 2, n) for n in (156, 624)),
    Cell("2, last better", (0.85, 0.90), 156),
)


@dataclass(frozen=True)
class Layout:
    """Who is tested in which fold, how large the subsets are, and how far they overlap."""

    truth: np.ndarray
    fold: np.ndarray
    sizes: tuple[int, int]
    overlap: dict[int, float]
    shared: dict[int, np.ndarray]


def lay_out(cell: Cell) -> Layout:
    """Two sizes, a quarter of the pool and all of it; subsets by the cyclic rule of docs/architecture.md."""
    truth = np.repeat([0, 1], CLASSES[cell.n_test])
    fold = np.concatenate([np.arange(count) % cell.folds for count in CLASSES[cell.n_test]])
    pool = POOL if cell.folds == 1 else cell.n_test - int(np.bincount(fold).max())
    sizes = (pool // 4, pool)
    alike = np.full((cell.folds, cell.folds), (cell.folds - 2) / max(cell.folds - 1, 1))
    np.fill_diagonal(alike, 1.0)
    return Layout(truth, fold, sizes, {n: overlap(n, pool) for n in sizes}, {n: alike * n / pool for n in sizes})


def overlap(n: int, pool: int) -> float:
    subsets = np.zeros((REPEATS, pool))
    for repeat in range(REPEATS):
        subsets[repeat, (repeat * pool // REPEATS + np.arange(n)) % pool] = 1
    return float(((subsets @ subsets.T).sum() / n - REPEATS) / (REPEATS * (REPEATS - 1)))


def draw_luck(rungs: int, n: int, layout: Layout, rng: np.random.Generator) -> np.ndarray:
    """Standard normal luck `(rung, fold, repeat)`, alike over repeats and folds as far as subsets overlap."""
    folds = len(layout.shared[n])
    within = layout.overlap[n]
    across = min(within, float(layout.shared[n][0, -1])) if folds > 1 else 0.0

    def once(count: int) -> np.ndarray:
        of_study = np.sqrt(across) * rng.standard_normal((count, 1, 1))
        of_fold = np.sqrt(within - across) * rng.standard_normal((count, folds, 1))
        return of_study + of_fold + np.sqrt(1 - within) * rng.standard_normal((count, folds, REPEATS))

    return np.sqrt(LUCK_SHARED) * once(1) + np.sqrt(1 - LUCK_SHARED) * once(rungs)


def draw_curves(cell: Cell, layout: Layout, rng: np.random.Generator) -> dict[str, Curve]:
    """One study's AUROC by rung and size, `prior` first."""
    rungs, units = len(cell.aurocs), len(layout.truth)
    patient = np.sqrt(RUNGS_SHARE) * rng.standard_normal(units)
    patient = patient + np.sqrt(1 - RUNGS_SHARE) * rng.standard_normal((rungs, units))
    curves: dict[str, dict[int, Measure]] = {"prior": {}, **{f"rung{place}": {} for place in range(rungs)}}
    for n in layout.sizes:
        luck = LUCK / np.sqrt(n) * draw_luck(rungs, n, layout, rng)
        apart = np.sqrt(2) * (norm.ppf(cell.aurocs)[:, None, None] + luck)
        curves["prior"][n] = Measure(tuple(part_of(layout, fold, 0.0) for fold in range(cell.folds)))
        for place in range(rungs):
            parts = []
            for fold in range(cell.folds):
                here = layout.fold == fold
                own = np.sqrt(TRIALS_OWN) * rng.standard_normal((REPEATS, int(here.sum())))
                noise = np.sqrt(1 - TRIALS_OWN) * patient[place, here] + own
                scores = apart[place, fold][:, None] * layout.truth[here] + noise
                parts.append(part_of(layout, fold, layout.overlap[n], scores))
            curves[f"rung{place}"][n] = Measure(tuple(parts))
    return curves


def part_of(layout: Layout, fold: int, overlap: float, scores: np.ndarray | None = None) -> FoldMeasure:
    here = np.flatnonzero(layout.fold == fold)
    if scores is None:
        scores = np.zeros((REPEATS, len(here)))
    values, influence = auroc(scores, layout.truth[here] == 1)
    return FoldMeasure(fold, len(here), np.arange(REPEATS), overlap, values, influence, layout.truth[here], here)


def stand(curves: dict[str, Curve], cell: Cell, layout: Layout) -> Standing:
    n, counts = layout.sizes[-1], CLASSES[cell.n_test]
    aurocs = {"prior": Interval(0.5, 0.5, 0.5)}
    for rung, curve in list(curves.items())[1:]:
        variance = variance_of(curve[n], n, training_spread(curve), layout.shared[n])
        aurocs[rung] = auroc_interval(curve[n].estimate, *counts, variance, confidence=0.95)
    families = {rung: "floor" if rung == "prior" else "conventional" for rung in curves}
    comparisons = compare_all(curves, n, counts, layout.shared, confidence=0.95, floors=["prior"])
    return Standing(n, families, aurocs, comparisons, counts, 0.02, "patient")


def choose_best(standing: Standing) -> str:
    learned = [rung for rung in standing.aurocs if rung != "prior"]
    return max(learned, key=lambda rung: standing.aurocs[rung].estimate)


CHOICES: dict[str, Callable[[Standing], str]] = {"rule": choose_by_rule, "best": choose_best}


def one_study(cell: Cell, layout: Layout, seed: list[int], draws: int) -> dict[str, Selected]:
    curves = draw_curves(cell, layout, np.random.default_rng(seed))
    standing = stand(curves, cell, layout)
    return {
        name: correct_pick(standing, curves, layout.shared, seed=seed[-1], choose=choose, draws=draws)
        for name, choose in CHOICES.items()
    }


def known(cell: Cell, layout: Layout) -> dict[str, float]:
    """E(n): luck is normal, so averaging over it only widens the noise."""
    wider = np.sqrt(1 + LUCK**2 / layout.sizes[-1])
    return {"prior": 0.5, **{f"rung{k}": float(norm.cdf(norm.ppf(a) / wider)) for k, a in enumerate(cell.aurocs)}}


HEAD = """\
                                        first     bias of the pick      error (rms)    coverage in %        width
rungs          AUROC     test fold by    %    naive  corrected   +/-    naive  corr.  naive shift corr.  naive corr."""


def row_of(found: list[Selected], truth: dict[str, float]) -> str:
    """Bias and coverage as given; «shift» is the naive interval moved as a whole by the optimism."""
    true = np.array([truth[one.rung] for one in found])
    naive, fair = (np.array([(x.estimate, x.low, x.high) for x in xs]).T - true
                   for xs in ([one.naive for one in found], [one.auroc for one in found]))  # fmt: skip
    optimism = np.array([one.optimism for one in found])
    shifted = naive - optimism
    held = [100 * np.mean((low <= 0) & (high >= 0)) for _, low, high in (naive, shifted, fair)]
    wide = [np.mean(high - low) for _, low, high in (naive, fair)]
    first = 100 * np.mean([one.rung == "rung0" for one in found])
    error = naive[0].std() / np.sqrt(len(found))
    return (
        f"{first:3.0f}  {naive[0].mean():+.4f}  {fair[0].mean():+.4f}  {error:.4f}   "
        f"{np.sqrt((naive[0] ** 2).mean()):.4f} {np.sqrt((fair[0] ** 2).mean()):.4f}  "
        f"{held[0]:5.1f} {held[1]:5.1f} {held[2]:5.1f}  {wide[0]:.3f} {wide[1]:.3f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--studies", type=int, default=60)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--cells", default=",".join(map(str, range(len(CELLS)))))
    asked = parser.parse_args()
    worst = 100 * np.sqrt(0.95 * 0.05 / asked.studies)
    print(
        f"{asked.studies} studies a cell, {asked.draws} draws each; Monte Carlo error of coverage about {worst:.1f} %."
    )
    print(HEAD)
    for number in map(int, asked.cells.split(",")):
        cell, start = CELLS[number], time.perf_counter()
        layout = lay_out(cell)
        found = [one_study(cell, layout, [number, study], asked.draws) for study in range(asked.studies)]
        for name in CHOICES:
            span = f"{min(cell.aurocs):.2f}–{max(cell.aurocs):.2f}"
            row = row_of([one[name] for one in found], known(cell, layout))
            print(f"{cell.name:14} {span:9} {cell.n_test:4} {cell.folds:4} {name}  {row}", flush=True)
        print(f"  ({time.perf_counter() - start:.0f} s)", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
