"""How often the 95 % intervals hold E(n): tier B, drawn images and the rungs themselves.

    python honesty/images.py FOLDER [--studies 300] [--processes 1] [--cells NAME;NAME] [--quick]
    python honesty/images.py FOLDER --table

A study is drawn anew each time and goes the road of `medladder study`: subsets by `Pool`, parts for choosing,
thresholds chosen out of part. E(n) is the mean over 200 models of fresh draws, twenty at a time scored on fresh
patients of their own. FOLDER keeps every probability (`studies/`), so that the table is weighed by whatever rules stand
now; a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from drawn import METRICS, score
from intervals import Row, make_row, render
from progress import Batch, read_lines, rng_of, run_cells
from scipy.ndimage import gaussian_filter

from medladder import rungs
from medladder.decision import apparent_shares, choose_decision
from medladder.errors import FitError
from medladder.evidence.measures import Measures
from medladder.evidence.points import weigh_metrics
from medladder.evidence.scores import FoldScores
from medladder.rungs.draws import Draw, fit_many, may_learn
from medladder.splits import Pool, draw_seed, parts_for_choosing, stratified_folds

NAME, TRUTH = "images", "images_truth"
SIDE = 12
# Every rung, each as small as still learns: how often an interval holds does not hang on the number of trees.
LADDER = (
    "logistic", "svm", "forest:trees=50", "boosting:rounds=20", "nn:members=2", "dnn:members=2",
    "cnn:members=1,epochs=12,width=16",
)  # fmt: skip
STUDIES, MODELS, MODELS_A_BATCH, FRESH = 300, 200, 20, 4000
GOAL, POOLED_GOAL = (91.0, 98.5), (93.0, 97.0)


@dataclass(frozen=True)
class Images:
    """One kind of study of drawn images: a spot near the middle, brighter than the noise by `contrast`.

    With folds the pool is what the other folds hold.
    """

    sizes: tuple[int, ...]
    n_pool: int
    n_test: int
    prevalence: float = 0.5
    contrast: float = 1.3
    folds: int = 1
    repeats: int = 3
    rungs: tuple[str, ...] = LADDER


CELLS = {
    "images, own 150": Images((40, 120), 160, 150),
    "images, rare, own 200": Images((70, 140), 180, 200, prevalence=0.2, contrast=1.6),
    "images, 5-fold 150": Images((40, 120), 0, 150, folds=5, rungs=("logistic", LADDER[2], LADDER[4])),
}


def draw_images(labels: np.ndarray, kind: Images, rng: np.random.Generator) -> np.ndarray:
    """Grey values `(patient, 12, 12)`."""
    noise = gaussian_filter(rng.standard_normal((len(labels), SIDE, SIDE)), (0, 0.6, 0.6))
    axis = np.arange(SIDE)
    centres = (SIDE - 1) / 2 + rng.uniform(-2.5, 2.5, (2, len(labels), 1))
    rows, columns = np.exp(-((axis - centres) ** 2) / 4)
    spot = rows[:, :, None] * columns[:, None, :] * (labels == 1)[:, None, None]
    return np.clip(110 + 40 * (noise / noise.std() + kind.contrast * spot), 0, 255).astype(np.uint8)


def labels_of(n: int, prevalence: float) -> np.ndarray:
    return (np.arange(n) < round(n * prevalence)).astype(int)


@dataclass(frozen=True)
class Fitted:
    """Probabilities of the positive class `(repeat, test patient)` and each repeat's threshold."""

    p: np.ndarray
    cuts: np.ndarray


def fit_subsets(rung: str, seen: np.ndarray, labels: np.ndarray, draws: list[Draw], test: np.ndarray) -> Fitted:
    """Fit a rung on every draw; thresholds by the rule of `medladder study`."""
    p, cuts = [], []
    for fitted, draw in zip(fit_many(rungs.build(rungs.parse_rung(rung)), seen, labels, draws), draws, strict=True):
        if isinstance(fitted, FitError):
            raise fitted
        p.append(fitted.predict_proba(test)[:, 1])
        learned = labels[draw.rows][may_learn(draw.fold)]
        out = fitted.out_of_part_proba_
        decision = choose_decision(
            out,
            labels[draw.rows],
            draw.rows,
            prevalence=apparent_shares(learned, out, is_weighted=False),
            is_thin=draw.is_thin,
        )
        cuts.append(decision.weights[1] / sum(decision.weights))
    return Fitted(np.array(p), np.array(cuts))


def subset_draw(pool: Pool, labels: np.ndarray, n: int, repeat: int) -> Draw:
    rows = pool.subset(n, repeat)
    fold, is_thin = parts_for_choosing(labels[rows], rows, rows, seed=pool.seed, fold=pool.fold, repeat=repeat)
    return Draw(rows, fold, draw_seed(pool.seed, pool.fold, repeat), is_thin)


def views(images: np.ndarray, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """What each rung sees: images, or features that need no fitting, computed once a kind."""
    found: dict[str, np.ndarray] = {}
    by_kind: dict[str, np.ndarray] = {}
    for name in names:
        rung = rungs.build(rungs.parse_rung(name))
        if not hasattr(rung, "extract"):
            found[name] = images
            continue
        kind = getattr(rung, "features_kind", name)
        if kind not in by_kind:
            by_kind[kind] = rung.extract(images)
        found[name] = by_kind[kind]
    return found


def layout(kind: Images, labels: np.ndarray, seed: int) -> Iterator[tuple[int, np.ndarray, Pool]]:
    """Fold, its test patients, and the pool it trains on."""
    patients = np.arange(len(labels))
    if kind.folds == 1:
        fold_of = np.where(patients < kind.n_pool, -1, 0)
    else:
        fold_of = stratified_folds(labels, patients, ("negative", "positive"), seed=seed).of_image
    for fold in range(kind.folds):
        rows = np.flatnonzero(fold_of != fold)
        yield fold, np.flatnonzero(fold_of == fold), Pool(rows, patients, labels, seed, fold, kind.repeats)


def one_batch(kind: Images, batch: Batch, *, folder: Path) -> int:
    """Fit the studies of a batch and keep their probabilities."""
    kept: dict[str, np.ndarray] = {}
    for study in batch.studies:
        rng = rng_of(NAME, batch.cell, study)
        labels = np.concatenate([labels_of(n, kind.prevalence) for n in (kind.n_pool, kind.n_test)])
        seen = views(draw_images(labels, kind, rng), kind.rungs)
        for fold, test, pool in layout(kind, labels, int(rng.integers(2**31))):
            kept[f"{study}/{fold}/test"] = test
            for n in kind.sizes:
                draws = [subset_draw(pool, labels, n, repeat) for repeat in range(kind.repeats)]
                kept[f"{study}/{fold}/{n}/overlap"] = np.mean([pool.overlap(n, r) for r in range(kind.repeats)])
                for rung in kind.rungs:
                    fitted = fit_subsets(rung, seen[rung], labels, draws, seen[rung][test])
                    kept[f"{study}/{fold}/{n}/{rung}/p"] = fitted.p.astype(np.float32)
                    kept[f"{study}/{fold}/{n}/{rung}/cuts"] = fitted.cuts
    (folder / "studies").mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path_of(folder, batch.cell, batch.first), **kept)
    return batch.count


def path_of(folder: Path, cell: str, first: int) -> Path:
    return folder / "studies" / f"{list(CELLS).index(cell)}_{first:05d}.npz"


def one_truth(kind: Images, batch: Batch) -> dict[str, dict[str, list[float]]]:
    """`found[n][rung]`: metrics, the mean over models of fresh draws, all scored on the same fresh patients."""
    rng = rng_of(TRUTH, batch.cell, batch.first)
    fresh = labels_of(FRESH, 0.5)
    test = views(draw_images(fresh, kind, rng), kind.rungs)
    found: dict[str, dict[str, list[float]]] = {str(n): {} for n in kind.sizes}
    for n in kind.sizes:
        one = labels_of(n, kind.prevalence)
        labels = np.tile(one, batch.count)
        seen = views(draw_images(labels, kind, rng), kind.rungs)
        draws = []
        for model in range(batch.count):
            rows = model * n + np.arange(n)
            fold, is_thin = parts_for_choosing(one, rows, rows, seed=batch.first, fold=0, repeat=model)
            draws.append(Draw(rows, fold, draw_seed(batch.first, n, model), is_thin))
        for rung in kind.rungs:
            fitted = fit_subsets(rung, seen[rung], labels, draws, test[rung])
            found[str(n)][rung] = score(fitted.p, fitted.cuts, fresh).mean(axis=0).round(6).tolist()
    return found


def sum_up(folder: Path, cells: dict[str, Images]) -> list[Row]:
    """Coverage and widths of what is there, by the rules that stand now."""
    truths: dict[str, list[Any]] = {}
    for line in read_lines(folder / f"{TRUTH}.jsonl", cells):
        truths.setdefault(line["cell"], []).append(line["result"])
    firsts: dict[str, list[tuple[int, int]]] = {}
    for line in read_lines(folder / f"{NAME}.jsonl", cells):
        firsts.setdefault(line["cell"], []).append((line["first"], line["count"]))
    rows = []
    for cell, kind in cells.items():
        if cell not in firsts or cell not in truths:
            continue
        found: dict[tuple[int, str], list[Any]] = {}
        for first, count in firsts[cell]:
            with np.load(path_of(folder, cell, first)) as kept:
                for study in range(first, first + count):
                    for key, intervals in weigh_study(kind, kept, study).items():
                        found.setdefault(key, []).append(intervals)
        fewest = round(kind.n_test * min(kind.prevalence, 1 - kind.prevalence))
        for (n, rung), intervals in sorted(found.items(), key=lambda item: (kind.rungs.index(item[0][1]), item[0][0])):
            means = np.array([truth[str(n)][rung] for truth in truths[cell]])
            error = means.std(axis=0, ddof=1) / np.sqrt(len(means)) if len(means) > 1 else np.full(3, np.nan)
            array = np.array(intervals)
            for k, metric in enumerate(METRICS):
                truth = [float(means[:, k].mean()), float(error[k])]
                rows.append(make_row(f"{rung}, {cell}", n, fewest, metric, truth, array[:, k]))
    return rows


def weigh_study(kind: Images, kept: Any, study: int) -> dict[tuple[int, str], list[list[float]]]:
    """Estimate, low and high of every metric, by size and rung."""
    labels = np.concatenate([labels_of(n, kind.prevalence) for n in (kind.n_pool, kind.n_test)])
    tests = [kept[f"{study}/{fold}/test"] for fold in range(kind.folds)]
    pools = np.ones((kind.folds, len(labels)))
    for fold, test in enumerate(tests):
        pools[fold, test] = 0
    common = pools @ pools.T / np.outer(pools.sum(axis=1), pools.sum(axis=1))
    found = {}
    for rung in kind.rungs:
        by_size = {}
        for n in kind.sizes:
            folds = []
            for fold, test in enumerate(tests):
                p, cuts = (kept[f"{study}/{fold}/{n}/{rung}/{part}"] for part in ("p", "cuts"))
                both, decided = np.stack([1 - p, p], axis=2).astype(float), (p >= cuts[:, None]).astype(int)
                overlap = float(kept[f"{study}/{fold}/{n}/overlap"])
                folds.append(FoldScores(fold, np.arange(len(p)), overlap, both, decided, labels[test], test))
            by_size[n] = Measures(tuple(folds))
        weighed = weigh_metrics(by_size, {n: n * common for n in kind.sizes}, METRICS)
        for n, point in weighed.items():
            intervals = [point.metrics[metric] for metric in METRICS]
            found[n, rung] = [[one.estimate, one.low, one.high] for one in intervals]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--studies", type=int, default=STUDIES)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--cells", help="names with semicolons between")
    parser.add_argument("--quick", action="store_true", help="twenty studies of the first cell, twenty models a truth")
    parser.add_argument("--table", action="store_true", help="run nothing, sum up what is there")
    asked = parser.parse_args()
    names = asked.cells.split(";") if asked.cells else list(CELLS)[: 1 if asked.quick else None]
    cells = {name: CELLS[name] for name in names}
    studies, models = (20, MODELS_A_BATCH) if asked.quick else (asked.studies, MODELS)
    if not asked.table:
        warnings.simplefilter("ignore")
        work = partial(one_batch, folder=asked.folder)
        for name, kind in cells.items():
            one = {name: kind}
            run_cells(asked.folder, NAME, one, studies, work, batch=10, processes=asked.processes)
            run_cells(asked.folder, TRUTH, one, models, one_truth, batch=MODELS_A_BATCH, processes=asked.processes)
    rows = sum_up(asked.folder, cells)
    table = render(rows, goal=GOAL)
    (asked.folder / f"{NAME}.json").write_text(json.dumps([row.__dict__ for row in rows], indent=1))
    (asked.folder / f"{NAME}.md").write_text(table)
    print(table)


if __name__ == "__main__":
    main()
