"""What calibrating by out-of-part predictions brings on fresh patients, whose number a drawn cohort does not limit.

For each rung, fits on n patients of several seeds: log loss of the probabilities as the rung gives them and as the
model states them, on patients drawn afresh, and the calibration slope of both (1 is right).
"""

from __future__ import annotations

import argparse

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from medladder import phantoms
from medladder.models.calibration import calibrate, calibrated, scores_of
from medladder.rungs import build, parse_rung
from medladder.rungs.draws import draw_by_row, fit_many

RUNGS = ("logistic", "svm", "forest", "boosting", "nn", "dnn", "cnn")


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--cohort", default="nodule")
    words.add_argument("--sizes", default="60,240")
    words.add_argument("--seeds", type=int, default=5)
    words.add_argument("--rungs", default=",".join(RUNGS))
    given = words.parse_args()
    fresh, truth = one_image_a_patient(given.cohort, 2000, seed=10_000)
    print(f"{given.cohort}: {len(truth):,} fresh patients, {given.seeds} fits a row; mean ± standard error of the gain")
    print(f"{'rung':<10}{'n':>6}{'log loss':>10}{'calibrated':>12}{'gain':>18}{'slope':>8}{'calibrated':>12}")
    for n in map(int, given.sizes.split(",")):
        for rung in given.rungs.split(","):
            rows = np.array([gain(given.cohort, rung, n, seed, fresh, truth) for seed in range(given.seeds)])
            before, after, slope, mended = rows.mean(axis=0)
            gains = rows[:, 0] - rows[:, 1]
            said = f"{gains.mean():+.4f} ± {gains.std(ddof=1) / np.sqrt(len(gains)):.4f}"
            print(f"{rung:<10}{n:>6}{before:>10.4f}{after:>12.4f}{said:>18}{slope:>8.2f}{mended:>12.2f}", flush=True)


def gain(
    cohort: str, rung: str, n: int, seed: int, fresh: np.ndarray, truth: np.ndarray
) -> tuple[float, float, float, float]:
    images, labels = one_image_a_patient(cohort, n, seed)
    [fitted] = fit_many(build(parse_rung(rung)), images, labels, [draw_by_row(labels, seed)])
    raw = np.clip(fitted.predict_proba(fresh), 1e-7, 1 - 1e-7)
    stated = calibrated(calibrate(fitted.out_of_part_proba_, labels), raw)
    return log_loss(truth, raw), log_loss(truth, stated), slope_of(raw, truth), slope_of(stated, truth)


def slope_of(proba: np.ndarray, truth: np.ndarray) -> float:
    return float(LogisticRegression(C=np.inf).fit(scores_of(proba), truth).coef_[0, 0])


def one_image_a_patient(cohort: str, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    drawn = phantoms.draw(cohort, n_patients=n, seed=seed, size=32)
    first = np.unique(drawn.patients, return_index=True)[1]
    return drawn.images[first], drawn.labels[first]


if __name__ == "__main__":
    main()
