"""How much the picked rung looks better than it is, before and after the correction, where the truth is known.

    python honesty/selection.py FOLDER [--studies 300] [--processes 1] [--quick]

FOLDER gets `selection.jsonl`, a line a finished batch, so that a stopped run goes on, and the table. A rung's scores
are Gaussian in each class, so that E(n) of an AUROC is known exactly. Rungs share 70 % of the variance of a patient's
score and half of the luck of a training subset; a tenth of the variance is the trial's own. Repeats and folds share
luck as far as they share training patients. The classes are those of BreastMNIST's (42, 114) and PneumoniaMNIST's
(234, 390) test parts. Each study is picked from twice: by the study's own rule, and by the best estimate, as «best
deep» is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from progress import Batch, measure, rng_of
from scipy.stats import norm

from medladder.evidence.comparisons import Curve, compare_all
from medladder.evidence.intervals import Interval, auroc_interval
from medladder.evidence.metrics import FoldMeasure, Measure, auroc
from medladder.evidence.selection import Selected, choose_by_rule, correct_pick
from medladder.evidence.variance import training_spread, variance_of
from medladder.evidence.verdict import Standing

NAME, STUDIES, DRAWS = "selection", 300, 200
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

    @property
    def label(self) -> str:
        """What stands in the table's first column, and names the cell."""
        how = "own part" if self.folds == 1 else f"{self.folds}-fold"
        span = f"{min(self.aurocs):.2f}–{max(self.aurocs):.2f}"
        return f"{self.name} | {len(self.aurocs)} | {span} | {self.n_test}, {how}"


def by_label(cells: Iterable[Cell]) -> dict[str, Cell]:
    return {cell.label: cell for cell in cells}


CELLS = by_label(
    (
        *(Cell("8 equal", (top,) * 8, n, folds) for n in (156, 624) for top in (0.85, 0.95) for folds in (1, 5)),
        *(Cell("7, last better", (0.85,) * 7 + (0.90,), n) for n in (156, 624)),
        *(Cell("8 ascending", tuple(np.linspace(0.80, 0.88, 8)), n) for n in (156, 624)),
        *(Cell("2 equal", (0.85,) * 2, n) for n in (156, 624)),
        Cell("2, last better", (0.85, 0.90), 156),
    )
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


def one_batch(cell: Cell, batch: Batch) -> list[dict[str, list[float]]]:
    """Of every study and way of choosing: truth, optimism, whether the first was picked, and both intervals."""
    layout = lay_out(cell)
    truth = known(cell, layout)
    found = []
    for study in batch.studies:
        curves = draw_curves(cell, layout, rng_of(NAME, batch.cell, study))
        standing = stand(curves, cell, layout)
        picks = {
            name: correct_pick(standing, curves, layout.shared, seed=study, choose=choose, draws=DRAWS)
            for name, choose in CHOICES.items()
        }
        found.append({name: _numbers(one, truth) for name, one in picks.items()})
    return found


def _numbers(one: Selected, truth: dict[str, float]) -> list[float]:
    intervals = [value for x in (one.naive, one.auroc) for value in (x.estimate, x.low, x.high)]
    return [round(value, 6) for value in (truth[one.rung], one.optimism, float(one.rung == "rung0"), *intervals)]


def known(cell: Cell, layout: Layout) -> dict[str, float]:
    """E(n): luck is normal, so averaging over it only widens the noise."""
    wider = np.sqrt(1 + LUCK**2 / layout.sizes[-1])
    return {"prior": 0.5, **{f"rung{k}": float(norm.cdf(norm.ppf(a) / wider)) for k, a in enumerate(cell.aurocs)}}


HEAD = (
    "| rungs | number | true AUROC | test patients | picked by | first picked % | bias | corrected | error (rms) | "
    "corrected | coverage % | corrected | width | corrected |"
)


def row_of(numbers: np.ndarray) -> str:
    """Bias and coverage of the picked rung's AUROC, as it looks and corrected for the picking."""
    truth, first = numbers[:, 0], numbers[:, 2]
    naive, fair = (numbers[:, place : place + 3] - truth[:, None] for place in (3, 6))
    error = naive[:, 0].std() / np.sqrt(len(numbers))
    held = [100 * np.mean((one[:, 1] <= 0) & (one[:, 2] >= 0)) for one in (naive, fair)]
    chance = [100 * np.sqrt(max(share / 100 * (1 - share / 100), 1e-9) / len(numbers)) for share in held]
    wide = [np.mean(one[:, 2] - one[:, 1]) for one in (naive, fair)]
    rms = [np.sqrt((one[:, 0] ** 2).mean()) for one in (naive, fair)]
    return (
        f"{100 * first.mean():.0f} | {naive[:, 0].mean():+.4f} ± {error:.4f} | {fair[:, 0].mean():+.4f} | "
        f"{rms[0]:.4f} | {rms[1]:.4f} | {held[0]:.1f} ± {chance[0]:.1f} | {held[1]:.1f} ± {chance[1]:.1f} | "
        f"{wide[0]:.3f} | {wide[1]:.3f}"
    )


def rows_of(_cell: Cell, found: list[dict[str, list[float]]]) -> list[str]:
    return [f"{name} | {row_of(np.array([one[name] for one in found]))}" for name in CHOICES]


if __name__ == "__main__":
    measure(__doc__, NAME, CELLS, one_batch, rows_of, HEAD, studies=STUDIES, batch=20)
