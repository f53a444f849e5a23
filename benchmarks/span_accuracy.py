"""The first layer trained in the span of the images, against the same network trained on pixels: AUROC and seconds.

Run with ``python benchmarks/span_accuracy.py [REPEATS]``; prints one table and leaves nothing behind. Radiographs of
the training part of `kermany_cxr`, split by patient: a quarter of the patients is scored, n images of the others are
learned from. Both sides see the same rows with the same seeds, on one thread.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from medladder.cohort import Cohort, read_cohort
from medladder.engine.threads import limit_threads
from medladder.rungs.draws import Draw, draw_by_row
from medladder.rungs.networks import DeepNetworkClassifier

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
CASES = ((28, 60), (28, 250), (28, 500), (64, 60), (64, 500), (64, 2000), (128, 250))


def draw_of(cohort: Cohort, n: int, repeat: int) -> tuple[Draw, np.ndarray]:
    """Take n rows to learn from and the rows of a quarter of the patients, neither from the test part."""
    rng = np.random.default_rng(repeat)
    own = np.flatnonzero(cohort.parts != "test")
    patients = rng.permutation(np.unique(cohort.patients[own]))
    is_scored = np.isin(cohort.patients[own], patients[: len(patients) // 4])
    rows = rng.permutation(own[~is_scored])[:n]
    drawn = draw_by_row(cohort.labels[rows], seed=repeat)
    return Draw(rows, drawn.fold, repeat, drawn.is_thin), own[is_scored]


def measure(cohort: Cohort, n: int, repeats: int, basis: str) -> tuple[np.ndarray, float]:
    """AUROC of each repeat, and CPU seconds a fit."""
    drawn = [draw_of(cohort, n, repeat) for repeat in range(repeats)]
    rung = DeepNetworkClassifier(basis=basis)
    began = time.process_time()
    fitted = rung.fit_fleet(cohort.images, cohort.labels, [draw for draw, _ in drawn])
    seconds = (time.process_time() - began) / repeats
    scores = [
        roc_auc_score(cohort.labels[rows], one.predict_proba(cohort.images[rows])[:, 1])
        for one, (_, rows) in zip(fitted, drawn, strict=True)
    ]
    return np.array(scores), seconds


def main() -> None:
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 6
    print("dnn, five members    pixels          span            difference          CPU s a fit, pixels / span")
    with limit_threads(1):
        for side, n in CASES:
            cohort = read_cohort(DATA / "kermany_cxr" / "labels.csv", image_size=(side, side))
            (plain, plain_seconds), (span, seconds) = (measure(cohort, n, repeats, b) for b in ("pixels", "span"))
            gaps = span - plain
            print(
                f"{side:3}×{side:<3} n = {n:<6} {plain.mean():12.4f} {span.mean():14.4f}"
                f"     {gaps.mean():+.4f} ± {gaps.std(ddof=1) / repeats**0.5:.4f}"
                f"   {plain_seconds:8.2f} / {seconds:.2f} = {plain_seconds / seconds:.1f}×",
                flush=True,
            )


if __name__ == "__main__":
    main()
