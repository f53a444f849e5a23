"""Logistic regression: one fit at one penalty, and the whole path with its parts, against scikit-learn's solvers.

Run with ``python benchmarks/logistic_speed.py [ROUNDS]``. All sides are given the same pixels, standardise them, and
solve the same problems: an L2 penalty of .1 a pixel; and 9 penalties in 5 parts, then the best of them on every row.
scikit-learn's tolerance is its own default. Real training images where the data lie beside the project, else drawn
ones. CPU seconds on one thread, medians; «stopped» is over a minute. Prints two tables and writes nothing.
"""

from __future__ import annotations

import csv
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from medladder.rungs.draws import Draw
from medladder.rungs.logistic import LogisticClassifier

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SHAPES = ((100, 28), (620, 28), (5_232, 28), (400, 224), (5_216, 64))
PENALTIES = (100.0, 30.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01)
SOLVERS = ("lbfgs", "newton-cholesky", "liblinear")
PARTS = 5
PATIENCE_SECONDS = 60
PATIENCE_BYTES = 2**30
"""newton-cholesky keeps a square of the pixels: past this it is not asked."""


def images_of(n: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of 0–1 and labels, in an order of their own."""
    if side == 28 and (DATA / "pneumoniamnist.npz").exists():
        with np.load(DATA / "pneumoniamnist.npz") as archive:
            pixels = np.concatenate([archive["train_images"], archive["val_images"]])
            labels = np.concatenate([archive["train_labels"], archive["val_labels"]]).ravel()
    elif side != 28 and (DATA / "kermany_cxr").exists():
        with (DATA / "kermany_cxr" / "labels.csv").open() as file:
            rows = [row for row in csv.DictReader(file) if row["split"] == "train"]
        rows = [rows[i] for i in np.random.default_rng(1).permutation(len(rows))[:n]]
        pictures = [Image.open(DATA / "kermany_cxr" / row["path"]).convert("L") for row in rows]
        pixels = np.stack([np.asarray(one.resize((side, side), Image.Resampling.BOX)) for one in pictures])
        labels = np.array([row["label"] == "PNEUMONIA" for row in rows])
    else:
        rng = np.random.default_rng(1)
        smooth = gaussian_filter(rng.normal(size=(n, side, side)), (0, side / 16, side / 16))
        pixels = (128 + 40 * smooth / smooth.std()).clip(0, 255).astype(np.uint8)
        direction = gaussian_filter(rng.normal(size=(side, side)), side / 8).ravel()
        truth = pixels.reshape(n, -1) / 255.0 @ direction
        labels = truth + truth.std() * rng.normal(size=n) > truth.mean()
    order = np.random.default_rng(0).permutation(len(labels))[:n]
    return pixels[order].reshape(n, -1) / np.float32(255), labels[order].astype(int)


def ours(vectors: np.ndarray, labels: np.ndarray, fold: np.ndarray, penalty: float | None) -> LogisticClassifier:
    return LogisticClassifier(penalty=penalty).fit(vectors, labels, draw=Draw(np.arange(len(fold)), fold, seed=0))


class OutOfTimeError(Exception):
    """The other side had its minute."""


def theirs(
    solver: str, vectors: np.ndarray, labels: np.ndarray, fold: np.ndarray, penalties: tuple[float, ...]
) -> tuple[LogisticRegression, np.ndarray, np.ndarray]:
    """The fit, the out-of-part probabilities at its penalty, and its own predictions."""
    began = time.process_time()
    n, d = vectors.shape
    centred = vectors - vectors.mean(axis=0)
    spread = centred.std(axis=0)
    standard = centred / np.where(spread > 0, spread, 1)
    if solver == "liblinear":  # it penalises the intercept, unless that is out of scale
        settings = {"solver": solver, "intercept_scaling": 100.0}
    else:
        settings = {"solver": solver, "warm_start": solver == "lbfgs"}
    proba = np.full((len(penalties), n), np.nan)
    for part in range(fold.max() + 1):
        held = fold == part
        machine = LogisticRegression(max_iter=1000, **settings)
        for place, penalty in enumerate(penalties):
            machine.set_params(C=1 / (penalty * d)).fit(standard[~held], labels[~held])
            proba[place, held] = machine.predict_proba(standard[held])[:, 1]
            if time.process_time() - began > PATIENCE_SECONDS:
                raise OutOfTimeError
    best = 0
    if fold.max() >= 0:
        happened = np.where(labels == 1, proba, 1 - proba)
        best = int(np.log(np.maximum(happened, 1e-6)).mean(axis=1).argmax())
    machine = LogisticRegression(C=1 / (penalties[best] * d), max_iter=1000, **settings).fit(standard, labels)
    return machine, proba[best], machine.predict_proba(standard)[:, 1]


def measure(work: Callable[[], object], rounds: int) -> tuple[float, object]:
    """Median CPU seconds and the last result."""
    taken, result = [], None
    for _ in range(rounds):
        began = time.process_time()
        result = work()
        taken.append(time.process_time() - began)
        if taken[-1] > 10:
            break
    return statistics.median(taken), result


def loss_of(labels: np.ndarray, proba: np.ndarray) -> float:
    return float(-np.log(np.maximum(np.where(labels == 1, proba, 1 - proba), 1e-6)).mean())


def table(rounds: int, *, is_path: bool) -> None:
    print("| images × pixels | " + " | ".join(("medladder", *SOLVERS)) + " |")
    print("|---|---|---|---|---|")
    for n, side in SHAPES:
        vectors, labels = images_of(n, side)
        fold = np.random.default_rng(2).permutation(n) % PARTS if is_path else np.full(n, -1)
        seconds, rung = measure(lambda: ours(vectors, labels, fold, None if is_path else 0.1), rounds)  # noqa: B023
        shown = rung.out_of_part_proba_ if is_path else rung.predict_proba(vectors)
        cells = [say(seconds, labels, shown[:, 1], is_path=is_path)]
        for solver in SOLVERS:
            if solver == "newton-cholesky" and 8 * side**4 > PATIENCE_BYTES:
                cells.append("not asked")
                continue
            try:
                seconds, (_, out_of_part, own) = measure(
                    lambda: theirs(solver, vectors, labels, fold, PENALTIES if is_path else (0.1,)),  # noqa: B023
                    rounds,
                )
                cells.append(say(seconds, labels, out_of_part if is_path else own, is_path=is_path))
            except OutOfTimeError:
                cells.append("stopped")
        print(f"| {n:,} × {side**2:,} | " + " | ".join(cells) + " |", flush=True)
    print()


def say(seconds: float, labels: np.ndarray, proba: np.ndarray, *, is_path: bool) -> str:
    if is_path:
        return f"{seconds:.3g} s, AUROC {roc_auc_score(labels, proba):.4f}, loss {loss_of(labels, proba):.4f}"
    return f"{seconds:.3g} s, loss {loss_of(labels, proba):.5f}"


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", FutureWarning)
        print("One fit on every row at a penalty of .1 a pixel; log loss a row on the same rows\n")
        table(rounds, is_path=False)
        print(f"{len(PENALTIES)} penalties in {PARTS} parts and the last fit; out-of-part AUROC and log loss\n")
        table(rounds, is_path=True)


if __name__ == "__main__":
    main()
