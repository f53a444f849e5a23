"""What the training draw brings to a score, on many drawn populations: the source of the prior in `variance.py`.

    python honesty/spreads.py FOLDER [--studies 150] [--processes 1] [--table]

Every model of a drawn study is scored on 2,000 fresh patients too, so that an estimate's error parts into what the test
patients bring (the estimate less the models' true mean) and what the training draw brings (that mean less E(n)). Four
numbers are read off a population, rung, size and metric:

r       s²(n), the variance of one model's true score over training draws, in units of the variance that one score would
        have if it were tested on n patients
linear  λ: how far the true scores of two models correlate, for each share of their training patients in common
apart   λ again, for models of different folds
folds   correlation over studies of the two parts, where folds test the patients that others train on

The populations and rungs are none of those that `honesty/intervals.py` scores.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from drawn import METRICS, Design, Population, draw_study
from progress import Batch, read_lines, rng_of, run_cells

from medladder.evidence.measures import Measures
from medladder.evidence.metrics import Measure

NAME, FRESH = "spreads", 2000

WIDE = {"features": 5, "informative": 2, "distance": 1.1}
POPULATIONS = {
    "5 features": Population(**WIDE),
    "5 features, rare": Population(**WIDE, prevalence=0.15),
    "16 features": Population(features=16, informative=3, distance=1.8),
    "16 features, rare": Population(features=16, informative=3, distance=2.2, prevalence=0.15),
    "30 features, strong": Population(features=30, informative=8, distance=3.2),
    "skewed": Population(features=8, informative=2, distance=1.3, noise="skewed"),
    "heavy": Population(features=12, informative=4, distance=2.4, noise="heavy"),
    "three kinds": Population(features=12, informative=2, distance=2.6, subtypes=3),
    "two images": Population(features=10, informative=2, distance=1.6, images=2),
}
RUNGS = ("bayes", "neighbours", "logistic", "layer")


def _cells() -> dict[str, Design]:
    cells = {}
    for name, population in POPULATIONS.items():
        for rung in RUNGS:
            if rung == "layer" and population.noise == "heavy":
                continue  # «layer heavy» is scored
            if rung == "logistic" and population.subtypes > 1:
                continue  # as is «logistic kinds»
            is_rare = population.prevalence < 0.5
            small, most = (70, 280) if is_rare else (40, 200)
            sizes = (small, round(np.sqrt(small * most)), most)
            cells[f"{name}: {rung}, own"] = Design(population, rung, sizes, 150)
            folded = most * 5 // 4
            cells[f"{name}: {rung}, folds"] = Design(population, rung, sizes, folded, 5)
    return cells


CELLS = _cells()


def one_batch(design: Design, batch: Batch) -> dict[str, list[Any]]:
    """By size and metric and study: estimate, true scores `(fold, repeat)`, unit variance, and both parts as stated."""
    found: dict[str, list[Any]] = {str(n): [] for n in design.sizes}
    for study in batch.studies:
        drawn = draw_study(design, rng_of(NAME, batch.cell, study), fresh=FRESH)
        for n, folds in drawn.by_size.items():
            measures = Measures(tuple(folds))
            parts = [
                [one.estimate, *_units(one, n), np.round(drawn.true[n][:, :, k], 5).tolist()]
                for k, one in enumerate(_measured(measures))
            ]
            found[str(n)].append(
                {"overlap": folds[0].overlap, "apart": float(drawn.shared[n][0, -1]), "metrics": parts}
            )
    return found


def _measured(measures: Measures) -> tuple[Measure, ...]:
    return measures.auroc, measures.balanced_accuracy, measures.recalls[1]


def _units(measure: Measure, n: int) -> tuple[float, float]:
    """Variance of one score on n patients, and that of the averaged score on the patients there are."""
    one = sum(
        share * (part.influence**2).sum(axis=1).mean() * len(part.truth) / n
        for share, part in zip(measure.shares, measure.parts, strict=True)
    )
    mean = sum(
        share**2 * (part.influence.mean(axis=0) ** 2).sum()
        for share, part in zip(measure.shares, measure.parts, strict=True)
    )
    return float(one), float(mean)


def sum_up(folder: Path) -> list[dict[str, Any]]:
    """One line a cell, size and metric."""
    batches: dict[str, list[Any]] = {}
    for line in read_lines(folder / f"{NAME}.jsonl", CELLS):
        batches.setdefault(line["cell"], []).append(line["result"])
    rows = []
    for name, results in batches.items():
        design = CELLS[name]
        for n in design.sizes:
            studies = [study for result in results for study in result[str(n)]]
            for k, metric in enumerate(METRICS):
                rows.append({"cell": name, "n": n, "metric": metric, **_components(studies, k)})
    return rows


def _components(studies: list[Any], k: int) -> dict[str, float]:
    estimate, unit, stated, true = (np.array([study["metrics"][k][j] for study in studies]) for j in range(4))
    expected = true.mean()
    off = true - expected
    folds, repeats = true.shape[1:]
    own = float((off**2).mean())
    within = (off.sum(axis=2) ** 2 - (off**2).sum(axis=2)).mean() / (repeats * (repeats - 1))
    model = off.mean(axis=(1, 2))
    tested = estimate - true.mean(axis=(1, 2))
    found = {
        "r": own / unit.mean(),
        "s": own**0.5,
        "overlap": float(np.mean([study["overlap"] for study in studies])),
        "within": float(within) / own,
        "training": float(model.var()),
        "patient": float(tested.var()),
        "stated": float(stated.mean()),
        "folds": float(np.corrcoef(tested, model)[0, 1]),
        "covariance": float(np.cov(tested, model)[0, 1]),
        "score": float(expected),
    }
    if folds > 1:
        mean = off.mean(axis=2)
        between = (mean.sum(axis=1) ** 2 - (mean**2).sum(axis=1)).mean() / (folds * (folds - 1))
        found |= {"apart": float(np.mean([study["apart"] for study in studies])), "between": float(between) / own}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--studies", type=int, default=150)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--table", action="store_true")
    asked = parser.parse_args()
    if not asked.table:
        run_cells(asked.folder, NAME, CELLS, asked.studies, one_batch, processes=asked.processes)
    rows = sum_up(asked.folder)
    (asked.folder / f"{NAME}.json").write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
