"""Forecasts of curves measured by others: fitted on n ≤ 360, scored on the means over repeats at each later n.

    python honesty/learning_curves.py CURVES.csv [--exponent 0.5]

The curves of Harvey et al. 2023, arXiv 2311.18025: AUROC of fine-tuned image classifiers, columns cohort, range,
label_index, n_train, repeat, auroc. Beside ours a flat line, a line in log n, and the plain power law by least squares,
with exponents up to 1 and intervals by the delta method. Root mean squared error and mean Winkler score (interval
width, plus 40 times by how much a value lies outside), both in AUROC points, means over labels. Nothing was chosen on
these curves.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.optimize import least_squares
from scipy.stats import t as student

from medladder.evidence.curves import Curve, Trials, fit_curve
from medladder.evidence.families import NETWORK, Prior
from medladder.evidence.forecast import foresee

PILOT = 360
Forecast = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Estimate, lower and upper bound at each later size, for the mean over as many repeats."""


def read(path: Path) -> dict[tuple[str, str, str], Trials]:
    """Curves by range, cohort and label."""
    rows = defaultdict(list)
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            key = (row["range"], row["cohort"], row["label_index"])
            rows[key].append((float(row["n_train"]), int(row["repeat"]), float(row["auroc"])))
    return {key: Trials(*(np.array(column) for column in zip(*found, strict=True))) for key, found in rows.items()}


def ours(prior: Prior) -> Callable[[Trials, np.ndarray], Forecast]:
    """Our forecast of the mean over the pilot's own repeats, which go on to more patients."""

    def forecast(pilot: Trials, sizes: np.ndarray) -> Forecast:
        curve = fit_curve(pilot, prior=prior)
        drawn = np.clip(curve.expected(sizes) + luck_of_the_repeats(pilot, curve, sizes), 0, 1)
        low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
        return drawn.mean(axis=0), low, high

    return forecast


def luck_of_the_repeats(pilot: Trials, curve: Curve, sizes: np.ndarray) -> np.ndarray:
    """By how much the mean over these repeats will lie off E(n), a draw a row.

    What a repeat has at all sizes alike shows in how far the pilot's means lie off the curve: standard deviations from
    it correlate by ρ between sizes, so that those to come are normal given those that were seen.
    """
    seen = np.unique(pilot.n_train)
    repeats = len(np.unique(pilot.repeat))
    means = np.array([pilot.score[pilot.n_train == n].mean() for n in seen])
    away = ((means - curve.expected(seen)) / curve.scatter(seen)).sum(axis=1)
    together = curve.shared / (1 - curve.shared + len(seen) * curve.shared)
    spread = np.sqrt(np.maximum(curve.shared - len(seen) * curve.shared * together, 0) / repeats)
    alone = np.sqrt((1 - curve.shared) / repeats)
    rng = np.random.default_rng(0)
    alike = together * away + spread * rng.standard_normal(len(away))
    chance = alone[:, None] * rng.standard_normal((len(away), len(sizes)))
    return curve.scatter(sizes) * (alike[:, None] + chance)


def expected(prior: Prior) -> Callable[[Trials, np.ndarray], Forecast]:
    """Our forecast of E(n), as `medladder forecast` prints it."""

    def forecast(pilot: Trials, sizes: np.ndarray) -> Forecast:
        points = foresee(fit_curve(pilot, prior=prior), sizes.astype(int).tolist())
        return tuple(np.array([getattr(p.expected, name) for p in points]) for name in ("estimate", "low", "high"))

    return forecast


def flat(pilot: Trials, sizes: np.ndarray) -> Forecast:
    """The mean at the largest size goes on; its own scatter over repeats, once for it and once for what comes."""
    last = pilot.score[pilot.n_train == PILOT]
    half = student.ppf(0.975, len(last) - 1) * last.std(ddof=1) * np.sqrt(2 / len(last))
    middle = np.full(len(sizes), last.mean())
    return middle, middle - half, middle + half


def by_least_squares(
    curve: Callable[[np.ndarray, np.ndarray], np.ndarray], start: np.ndarray, bounds: tuple
) -> Callable[[Trials, np.ndarray], Forecast]:
    """Any curve fitted to all points alike; the delta method, and the scatter of a mean over repeats."""

    def forecast(pilot: Trials, sizes: np.ndarray) -> Forecast:
        found = least_squares(lambda p: curve(p, pilot.n_train) - pilot.score, start, bounds=bounds, xtol=1e-12)
        dof, repeats = len(pilot.score) - len(start), len(np.unique(pilot.repeat))
        variance = float((found.fun**2).sum()) / dof
        steps = 1e-6 * np.eye(len(start))
        slope = np.stack([(curve(found.x + s, sizes) - curve(found.x - s, sizes)) / 2e-6 for s in steps], axis=1)
        covariance = variance * np.linalg.pinv(found.jac.T @ found.jac)
        spread = np.sqrt(np.einsum("ni,ij,nj->n", slope, covariance, slope) + variance / repeats)
        middle, half = curve(found.x, sizes), student.ppf(0.975, dof) * spread
        return middle, middle - half, middle + half

    return forecast


def power(p: np.ndarray, n: np.ndarray) -> np.ndarray:
    return 1 - p[0] - p[1] * n ** -p[2]


def line(p: np.ndarray, n: np.ndarray) -> np.ndarray:
    return p[0] + p[1] * np.log(n)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("curves", type=Path)
    parser.add_argument("--each", action="store_true", help="Every label's error as well.")
    asked = parser.parse_args()
    prior = Prior()
    methods = {
        "ours": ours(prior),
        "E(n) alone": expected(prior),
        "ours, of networks": ours(NETWORK),
        "ours, exponent / 2": ours(replace(prior, exponent=prior.exponent / 2)),
        "ours, exponent × 2": ours(replace(prior, exponent=prior.exponent * 2)),
        "flat": flat,
        "line in log n": by_least_squares(line, np.array([0.5, 0.05]), (-np.inf, np.inf)),
        "power law": by_least_squares(power, np.array([0.05, 1.0, 0.3]), ([0, 0, 0], [0.5, np.inf, 1.0])),
    }
    curves = read(asked.curves)
    for range_ in ("short", "long"):
        labels = {key: trials for key, trials in curves.items() if key[0] == range_}
        print(f"\n{range_}, {len(labels)} labels\n{'':22}{'RMSE':>8}{'Winkler':>9}{'inside':>8}{'width':>8}")
        for name, forecast in methods.items():
            found = [score(forecast, trials) for trials in labels.values()]
            rmse, winkler, inside, width = (100 * np.mean(column) for column in zip(*found, strict=True))
            print(f"{name:22}{rmse:8.2f}{winkler:9.2f}{inside:7.0f} %{width:8.2f}", flush=True)
            if asked.each:
                for key, row in zip(labels, found, strict=True):
                    print(f"   {' '.join(key[1:]):20}" + "".join(f"{100 * value:8.2f}" for value in row))


def score(forecast: Callable[[Trials, np.ndarray], Forecast], trials: Trials) -> tuple[float, float, float, float]:
    """Root mean squared error, Winkler score, share inside and width, of one curve."""
    early = trials.n_train <= PILOT
    pilot = Trials(trials.n_train[early], trials.repeat[early], trials.score[early])
    sizes = np.unique(trials.n_train[~early])
    means = np.array([trials.score[trials.n_train == n].mean() for n in sizes])
    middle, low, high = forecast(pilot, sizes)
    outside = np.maximum(low - means, 0) + np.maximum(means - high, 0)
    winkler = (high - low) + 2 / 0.05 * outside
    return (
        float(np.sqrt(((middle - means) ** 2).mean())), float(winkler.mean()), float((outside == 0).mean()),
        float((high - low).mean()),
    )  # fmt: skip


if __name__ == "__main__":
    main()
