"""How often the 95 % intervals hold E(n): tier A, fast rungs on drawn patients whose truth is known by brute force.

    python honesty/intervals.py FOLDER [--studies 2000] [--cells choose|confirm|NAME,NAME] [--processes 1] [--quick]
    python honesty/intervals.py FOLDER --table [--against OTHER_FOLDER]

A study is drawn anew each time: its training pool, its test patients, its repeats. Intervals are the product's own
(`Measures`, `weigh_metrics`). FOLDER gets `intervals.jsonl`, a line a finished batch, `truth.jsonl`, a line a
known E(n), then `intervals.json` and `intervals.md`; a run that was stopped goes on where it was.

Cells whose name begins with «choose» were looked at while the intervals were mended; the others, of other populations,
rungs and seeds, were run once the rules were fixed. What the training draw brings is known from a third lot of
populations and rungs, see `honesty/spreads.py`.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from drawn import METRICS, Design, Population, draw_study, expect
from progress import Batch, mark, read_lines, rng_of, run_cells

from medladder.evidence.measures import Measures
from medladder.evidence.points import weigh_metrics

NAME, TRUTH = "intervals", "truth"
STUDIES, QUICK_STUDIES = 2000, 200
TRUTH_ERROR, QUICK_TRUTH_ERROR = 0.0015, 0.004
GOAL, FEW_GOAL, FEW_PATIENTS = (93.0, 97.0), 93.0, 10

NEAR = Population()
FAR = Population(distance=3.0)
SKEWED = Population(features=20, informative=4, distance=2.0, noise="skewed")
KINDS = Population(features=8, informative=2, distance=2.5, subtypes=2)
HEAVY = Population(features=6, informative=3, distance=1.2, noise="heavy")


def _of(population: Population, **other: Any) -> Population:
    return Population(**{**population.__dict__, **other})


def _rare(population: Population, **other: Any) -> Population:
    return _of(population, prevalence=0.1, **other)


OWN, RARE_OWN = (40, 100, 400), (80, 140, 400)
# In folds of 200, 400 and 160 patients; the largest is the whole pool.
FOLDED, RARE_FOLDED, THIN_FOLDED = (40, 80, 160), (80, 140, 320), (80, 128)

CELLS = {
    "choose: lda, own 60": Design(NEAR, "lda", OWN, 60),
    "choose: lda, own 400": Design(NEAR, "lda", OWN, 400),
    "choose: lda far, own 200": Design(FAR, "lda", OWN, 200),
    "choose: lda, rare, own 80": Design(_rare(NEAR), "lda", RARE_OWN, 80),
    "choose: lda, own 200, 3 repeats": Design(NEAR, "lda", OWN, 200, repeats=3),
    "choose: centroid skewed, own 200, 3 images": Design(_of(SKEWED, images=3), "centroid", OWN, 200),
    "choose: lda, 5-fold 200": Design(NEAR, "lda", FOLDED, 200, 5),
    "choose: lda, rare, 5-fold 400": Design(_rare(NEAR), "lda", RARE_FOLDED, 400, 5),
    "choose: centroid skewed, 5-fold 200": Design(SKEWED, "centroid", FOLDED, 200, 5),
    "choose: layer, 5-fold 200, 3 repeats": Design(NEAR, "layer", FOLDED, 200, 5, repeats=3),
    "lda, own 200, 3 images": Design(_of(NEAR, images=3), "lda", OWN, 200),
    "lda, rare, own 400": Design(_rare(NEAR), "lda", RARE_OWN, 400),
    "lda far, rare, own 80": Design(_rare(FAR), "lda", RARE_OWN, 80),
    "lda, 5-fold 200, 3 images": Design(_of(NEAR, images=3), "lda", FOLDED, 200, 5),
    "lda, 5-fold 200, 2 repeats": Design(NEAR, "lda", FOLDED, 200, 5, repeats=2),
    "lda far, 5-fold 200": Design(FAR, "lda", FOLDED, 200, 5),
    "centroid skewed, own 60": Design(SKEWED, "centroid", OWN, 60),
    "centroid skewed, rare, own 80": Design(_rare(SKEWED), "centroid", RARE_OWN, 80),
    "centroid skewed, rare, own 400, 3 images": Design(_rare(SKEWED, images=3), "centroid", RARE_OWN, 400),
    "centroid skewed, rare, 5-fold 400": Design(_rare(SKEWED), "centroid", RARE_FOLDED, 400, 5),
    "logistic kinds, own 100, 2 repeats": Design(KINDS, "logistic", OWN, 100, repeats=2),
    "logistic kinds, own 200": Design(KINDS, "logistic", OWN, 200),
    "logistic kinds, rare, own 200": Design(_rare(KINDS), "logistic", RARE_OWN, 200),
    "logistic kinds, 5-fold 200": Design(KINDS, "logistic", FOLDED, 200, 5),
    "logistic kinds, 5-fold 200, 3 repeats": Design(KINDS, "logistic", FOLDED, 200, 5, repeats=3),
    "logistic kinds, rare, 5-fold 400": Design(_rare(KINDS), "logistic", RARE_FOLDED, 400, 5),
    "logistic kinds, rare, 5-fold 160": Design(_rare(KINDS), "logistic", THIN_FOLDED, 160, 5),
    "layer heavy, own 60, 3 repeats": Design(HEAVY, "layer", OWN, 60, repeats=3),
    "layer heavy, own 200": Design(HEAVY, "layer", OWN, 200),
    "layer heavy, rare, own 80": Design(_rare(HEAVY), "layer", RARE_OWN, 80),
    "layer heavy, 5-fold 200": Design(HEAVY, "layer", FOLDED, 200, 5),
    "layer heavy, rare, 5-fold 400": Design(_rare(HEAVY), "layer", RARE_FOLDED, 400, 5),
}
QUICK = ("choose: lda, own 60", "choose: lda, rare, own 80", "choose: lda, 5-fold 200")


def one_batch(design: Design, batch: Batch) -> dict[str, list[list[list[float]]]]:
    """`found[n][study]` is estimate, low and high of every metric."""
    found: dict[str, list[list[list[float]]]] = {str(n): [] for n in design.sizes}
    for study in batch.studies:
        drawn = draw_study(design, rng_of(NAME, batch.cell, study))
        weighed = weigh_metrics(
            {n: Measures(tuple(folds)) for n, folds in drawn.by_size.items()}, drawn.shared, METRICS
        )
        for n, point in weighed.items():
            intervals = [point.metrics[metric] for metric in METRICS]
            found[str(n)].append([[round(x, 5) for x in (one.estimate, one.low, one.high)] for one in intervals])
    return found


@dataclass(frozen=True)
class Known:
    """What is asked of one truth: E(n) of a rung on a population."""

    population: Population
    rung: str
    n: int
    error: float


def know_truths(folder: Path, cells: dict[str, Design], error: float, processes: int) -> None:
    """Work out every E(n) that these cells need and that is not in FOLDER yet."""
    run_cells(folder, TRUTH, _truths(cells, error), 1, one_truth, batch=1, processes=processes)


def one_truth(known: Known, batch: Batch) -> dict[str, list[float]]:
    rng = rng_of(TRUTH, batch.cell, 0)
    return expect(known.population, known.rung, known.n, rng, error=known.error)


def _truths(cells: dict[str, Design], error: float) -> dict[str, Known]:
    asked = {Known(cell.population, cell.rung, n, error): None for cell in cells.values() for n in cell.sizes}
    return {f"{one.rung} {one.n} {mark(one)}": one for one in asked}


@dataclass(frozen=True)
class Row:
    """One metric at one size of one cell, percentages and AUROC units.

    `best_half` is the half-width of an interval that knew the estimate's standard deviation.
    """

    cell: str
    n: int
    fewest: int
    metric: str
    studies: int
    truth: float
    truth_error: float
    coverage: float
    error: float
    above: float
    below: float
    half: float
    best_half: float
    bias: float

    def is_held(self, goal: tuple[float, float] = GOAL) -> bool:
        """Whether the goal is met, give or take two Monte Carlo errors."""
        low, high = goal
        slack = 2 * self.error
        return self.coverage >= low - slack and (self.fewest < FEW_PATIENTS or self.coverage <= high + slack)


def sum_up(folder: Path, cells: dict[str, Design], error: float) -> list[Row]:
    """Coverage and widths of all that was run."""
    truths = _truths(cells, error)
    known = {line["cell"]: line["result"] for line in read_lines(folder / f"{TRUTH}.jsonl", truths)}
    batches: dict[str, dict[int, Any]] = {}
    for line in read_lines(folder / f"{NAME}.jsonl", cells):
        batches.setdefault(line["cell"], {})[line["first"]] = line["result"]
    rows = []
    for name, design in cells.items():
        if name not in batches:
            continue
        fewest = round(design.n_test * min(design.population.prevalence, 1 - design.population.prevalence))
        for n in design.sizes:
            asked = Known(design.population, design.rung, n, error)
            truth = known[f"{asked.rung} {asked.n} {mark(asked)}"]
            found = np.array([study for result in batches[name].values() for study in result[str(n)]])
            for k, metric in enumerate(METRICS):
                rows.append(make_row(name, n, fewest, metric, truth[metric], found[:, k]))
    return rows


def make_row(name: str, n: int, fewest: int, metric: str, truth: list[float], found: np.ndarray) -> Row:
    estimate, low, high = found.T
    held = (low <= truth[0]) & (truth[0] <= high)
    share, count = held.mean(), len(held)
    return Row(
        *(name, n, fewest, metric, count),
        *map(float, truth),
        coverage=100 * float(share),
        error=100 * float(np.sqrt(max(share * (1 - share), 0.25 / count) / count)),
        above=100 * float((low > truth[0]).mean()),
        below=100 * float((high < truth[0]).mean()),
        half=float((high - low).mean() / 2),
        best_half=float(1.96 * estimate.std(ddof=1)),
        bias=float(estimate.mean() - truth[0]),
    )


def render(rows: list[Row], before: list[Row] | None = None, *, goal: tuple[float, float] = GOAL) -> str:
    """The table; `before` are rows of the same studies weighed by another version."""
    old = {(row.cell, row.n, row.metric): row for row in before or []}
    head = "| cell | test patients in the thinner class | n | " + " | ".join(METRICS) + " |"
    lines = [
        f"Coverage of 95 % intervals in %, ± Monte Carlo error ({min(row.studies for row in rows)}–"
        f"{max(row.studies for row in rows)} studies a cell); in brackets the mean half-width, and after the slash "
        "that of an interval that knew the estimate's standard deviation. Bold: outside "
        f"{goal[0]:g}–{goal[1]:g} % by more than two Monte Carlo errors"
        f" (under {FEW_PATIENTS} test patients in a class: below {min(goal[0], FEW_GOAL):g} %).",
        "",
        head,
        "|" + "---|" * (3 + len(METRICS)),
    ]
    for place in range(0, len(rows), len(METRICS)):
        here = rows[place : place + len(METRICS)]
        cells = [_shown(row, old.get((row.cell, row.n, row.metric)), goal) for row in here]
        lines.append(f"| {here[0].cell} | {here[0].fewest} | {here[0].n} | " + " | ".join(cells) + " |")
    lines += ["", _pooled("all cells", rows, goal)]
    if old:
        lines += [_pooled("before", list(old.values()), goal)]
    return "\n".join(lines) + "\n"


def _shown(row: Row, before: Row | None, goal: tuple[float, float]) -> str:
    share = f"{row.coverage:.1f}" if row.is_held(goal) else f"**{row.coverage:.1f}**"
    was = "" if before is None else f"{before.coverage:.1f} [{before.half:.3f}] → "
    return f"{was}{share} ± {row.error:.1f} [{row.half:.3f}/{row.best_half:.3f}]"


def _pooled(name: str, rows: list[Row], goal: tuple[float, float]) -> str:
    said = [
        f"{metric} {np.mean([r.coverage for r in rows if r.metric == metric]):.1f} %, half-width over the best "
        f"{np.mean([r.half / r.best_half for r in rows if r.metric == metric]):.2f}"
        for metric in METRICS
    ]
    held = sum(row.is_held(goal) for row in rows)
    return f"{name}: {held} of {len(rows)} in the goal; mean coverage {'; '.join(said)}."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--studies", type=int)
    parser.add_argument("--cells", help="choose, confirm, or names with semicolons between")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="three cells, 200 studies, a rougher truth")
    parser.add_argument("--table", action="store_true", help="run nothing, sum up what is there")
    parser.add_argument("--against", type=Path, help="a folder of another version, to stand before the arrow")
    asked = parser.parse_args()
    error = QUICK_TRUTH_ERROR if asked.quick else TRUTH_ERROR
    studies = asked.studies or (QUICK_STUDIES if asked.quick else STUDIES)
    cells = {name: CELLS[name] for name in _names(asked.cells, is_quick=asked.quick)}
    if not asked.table:
        know_truths(asked.folder, cells, error, asked.processes)
        run_cells(asked.folder, NAME, cells, studies, one_batch, processes=asked.processes)
    rows = sum_up(asked.folder, cells, error)
    before = None if asked.against is None else sum_up(asked.against, cells, error)
    table = render(rows, before)
    (asked.folder / f"{NAME}.json").write_text(json.dumps([row.__dict__ for row in rows], indent=1))
    (asked.folder / f"{NAME}.md").write_text(table)
    print(table)


def _names(asked: str | None, *, is_quick: bool) -> list[str]:
    if asked is None:
        return list(QUICK if is_quick else CELLS)
    if asked in ("choose", "confirm"):
        return [name for name in CELLS if name.startswith("choose") == (asked == "choose")]
    unknown = [name for name in asked.split(";") if name not in CELLS]
    if unknown:
        raise SystemExit(f"No cell '{unknown[0]}'. There are: {'; '.join(CELLS)}.")
    return asked.split(";")


if __name__ == "__main__":
    main()
