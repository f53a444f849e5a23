"""Do forecasts hold? Coverage, error and interval score on drawn cohorts whose later course is known.

    python honesty/forecasts.py BANK.csv [BANK.csv ...] [--repeats 3] [--parity odd] [--one-test]

Curves of `honesty/curve_bank.py`: the pilot is n ≤ 360 with so many repeats, each with 300 test patients of its own;
the truth at each later n is the mean over its trials on 20,000 patients. Bounds and truth are compared as they are
printed, to three digits, bounds rounded outward. Drawn cohorts of even number and the training parts of
`honesty/real_curves.py` served to choose the prior; drawn cohorts of odd number are scored. The Monte Carlo error
counts the curves of one cohort, which share their test patients, as one. «Needed» asks what a study's report asks: the
first three of the usual scores (.60, .65 … .95, .98, .99) above what the pilot shows; a score that is not reached by
twenty thousand patients, the horizon, is needed beyond it. With `--one-test` the pilot's scores are those on 20,000
patients, as in a study, whose repeats are all scored on the same ones: what is left is the luck of training.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
from learning_curves import by_least_squares, line, power
from scipy.optimize import least_squares
from scipy.special import logit
from scipy.stats import t as student

from medladder.evidence.curves import Curve, Trials, fit_curve
from medladder.evidence.families import NETWORK, Prior
from medladder.evidence.forecast import crossover, foresee, patients_needed

PILOT, HORIZON, MARGIN = 360, 20_000, 0.02
TARGETS = (0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99)
DISTANCES = {720: "2 ×", 1800: "5 ×", 3600: "10 ×", 7200: "20 ×", 20_000: "56 ×"}
Rows = np.ndarray


def read(path: Path, *, is_odd: bool) -> dict[tuple[int, str], Rows]:
    """Trials `(trial, (n_train, repeat, score, truth))` by cohort and rung."""
    found = defaultdict(list)
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if int(row["cohort"]) % 2 == is_odd:
                trial = [float(row[name]) for name in ("n_train", "repeat", "score", "truth")]
                found[int(row["cohort"]), row["rung"]].append(trial)
    return {key: np.array(rows) for key, rows in found.items()}


def true_course(rows: Rows) -> dict[int, float]:
    return {int(n): float(rows[rows[:, 0] == n, 3].mean()) for n in np.unique(rows[:, 0])}


def pilots(rows: Rows, repeats: int, *, has_one_test: bool) -> list[Trials]:
    """Disjoint pilots of so many repeats each."""
    early = rows[(rows[:, 0] <= PILOT) & (rows[:, 0] >= 60)]
    n_pilots = int(early[:, 1].max() + 1) // repeats
    chosen = [early[early[:, 1] // repeats == pilot] for pilot in range(n_pilots)]
    column = 3 if has_one_test else 2
    return [Trials(one[:, 0], one[:, 1].astype(int), one[:, column], has_one_test=has_one_test) for one in chosen]


def printed(middle: float, low: float, high: float) -> tuple[float, float, float]:
    return middle, float(np.floor(low * 1000) / 1000), float(np.ceil(high * 1000) / 1000)


def winkler(low: float, high: float, value: float, alpha: float) -> float:
    return (high - low) + 2 / alpha * (max(low - value, 0) + max(value - high, 0))


def clustered(values: list[float], cohorts: list[int]) -> tuple[float, float]:
    """Mean, and its standard error over cohorts."""
    by_cohort = [np.mean([v for v, c in zip(values, cohorts, strict=True) if c == one]) for one in sorted(set(cohorts))]
    return float(np.mean(values)), float(np.std(by_cohort, ddof=1) / np.sqrt(len(by_cohort)))


def score_methods(
    curves: dict[tuple[int, str], Rows], repeats: int, *, has_one_test: bool
) -> dict[tuple[int, str], Curve]:
    """Print coverage, error and interval score a method and distance; the fitted curves of the first pilot."""
    kept, found = {}, defaultdict(list)
    for (cohort, rung), rows in curves.items():
        prior = NETWORK if rung == "network" else Prior()
        truth = true_course(rows)
        for number, pilot in enumerate(pilots(rows, repeats, has_one_test=has_one_test)):
            fitted = {
                "ours": fit_curve(pilot, prior=prior),
                "exponent / 2": fit_curve(pilot, prior=replace(prior, exponent=prior.exponent / 2)),
                "exponent × 2": fit_curve(pilot, prior=replace(prior, exponent=prior.exponent * 2)),
            }
            if has_one_test:
                fitted["as if many tests"] = fit_curve(replace(pilot, has_one_test=False), prior=prior)
            if number == 0:
                kept[cohort, rung] = fitted["ours"]
            sizes = np.array(list(DISTANCES))
            for name, curve in fitted.items():
                for point in foresee(curve, sizes.tolist()):
                    bounds = (point.expected.estimate, point.expected.low, point.expected.high)
                    found[name, point.n_train].append((cohort, *printed(*bounds), round(truth[point.n_train], 3)))
            for name, method in PLAIN.items():
                for n, *bounds in zip(sizes, *method(pilot, sizes), strict=True):
                    found[name, int(n)].append((cohort, *printed(*bounds), round(truth[int(n)], 3)))
    print(f"{'':16}{'at':>7}{'curves':>8}{'coverage %':>14}{'RMSE':>7}{'width':>7}{'Winkler':>9}")
    for (name, n), rows in found.items():
        cohorts = [row[0] for row in rows]
        cover, error = clustered([float(low <= true <= high) for _, _, low, high, true in rows], cohorts)
        rmse = np.sqrt(np.mean([(middle - true) ** 2 for _, middle, _, _, true in rows]))
        width = np.mean([high - low for _, _, low, high, _ in rows])
        points = np.mean([winkler(low, high, true, 0.05) for _, _, low, high, true in rows])
        print(
            f"{name:16}{DISTANCES[n]:>7}{len(rows):8d}{100 * cover:8.1f} ± {100 * error:.1f}{100 * rmse:7.2f}"
            f"{100 * width:7.2f}{100 * points:9.2f}",
            flush=True,
        )
    return kept


def score_needed(
    curves: dict[tuple[int, str], Rows], kept: dict[tuple[int, str], Curve], repeats: int, *, has_one_test: bool
) -> None:
    """Print how often the range of patients needed holds the truth, beside two plain ranges."""
    found = defaultdict(list)
    cohorts = []
    for (cohort, rung), curve in kept.items():
        truth = true_course(curves[cohort, rung])
        pilot = pilots(curves[cohort, rung], repeats, has_one_test=has_one_test)[0]
        today = float(curve.expected([PILOT]).mean())
        for target in [one for one in TARGETS if one > today][:3]:
            n_true = first_reached(truth, target)
            span = patients_needed(curve, target, horizon=HORIZON / PILOT)
            ranges = {
                "ours": (span.low or HORIZON, span.high or HORIZON),
                "[pilot / 4, horizon]": (PILOT / 4, HORIZON),
                "delta method": needed_by_delta(pilot, target),
            }
            for name, (low, high) in ranges.items():
                held = low <= n_true * 1.0001 and high >= n_true * 0.9999
                score = winkler(np.log2(low), np.log2(high), np.log2(n_true), 0.1)
                found[name].append((float(held), score, float(high >= HORIZON), float(low >= HORIZON)))
            cohorts.append(cohort)
            found["truth"].append((n_true >= HORIZON,))
    share = 100 * np.mean(found.pop("truth"))
    print(f"needed: {len(cohorts)} targets, {share:.0f} % of them beyond the horizon")
    for name, rows in found.items():
        held, score, is_open, is_beyond = zip(*rows, strict=True)
        cover, error = clustered(held, cohorts)
        print(
            f"  {name:22} held {100 * cover:5.1f} ± {100 * error:.1f} %, score on log2 n {np.mean(score):6.2f}, "
            f"open {100 * np.mean(is_open):3.0f} %, of which wholly beyond {100 * np.mean(is_beyond):3.0f} %"
        )


def needed_by_delta(pilot: Trials, target: float) -> tuple[float, float]:
    """The 90 % range of log n by a plain power law and the delta method, between 1 and the horizon."""
    found = least_squares(
        lambda p: power(p, pilot.n_train) - pilot.score, *POWER_START, bounds=POWER_BOUNDS, xtol=1e-12
    )
    error, scale, exponent = found.x
    if target >= 1 - error - 1e-9:
        return HORIZON, HORIZON  # the fitted asymptote lies below it
    middle = np.log(scale / (1 - error - target)) / max(exponent, 1e-9)
    slope = np.array([1 / (1 - error - target), 1 / scale, -middle]) / max(exponent, 1e-9)
    variance = float((found.fun**2).sum()) / (len(pilot.score) - 3)
    covariance = variance * np.linalg.pinv(found.jac.T @ found.jac)
    half = student.ppf(0.95, len(pilot.score) - 3) * np.sqrt(max(slope @ covariance @ slope, 0.0))
    low, high = np.exp(np.clip([middle - half, middle + half], 0.0, np.log(HORIZON)))
    return float(low), float(high)


def first_reached(truth: dict[int, float], target: float) -> float:
    """Where the true course, straight between its points on log n and log odds, first reaches a score for good."""
    n = np.array(sorted(truth))
    scores = np.array([truth[size] for size in n])
    last_below = max([i for i in range(len(n)) if scores[i] < target], default=-1)
    if last_below < 0:
        return float(n[0])
    if last_below == len(n) - 1:
        return float(HORIZON)
    here, there = logit(scores[last_below : last_below + 2])
    share = (logit(target) - here) / (there - here)
    return float(np.exp(np.log(n[last_below]) + share * np.log(n[last_below + 1] / n[last_below])))


def score_crossings(curves: dict[tuple[int, str], Rows], kept: dict[tuple[int, str], Curve]) -> None:
    """Print how often the range of a crossover holds the truth, over all pairs of rungs of a cohort."""
    held, points, plain, is_open, cohorts, quiet = [], [], [], [], [], []
    for cohort in sorted({cohort for cohort, _ in kept}):
        rungs = [rung for one, rung in kept if one == cohort]
        for i, upper in enumerate(rungs):
            for lower in rungs[:i]:
                a, b = true_course(curves[cohort, lower]), true_course(curves[cohort, upper])
                sizes = sorted(n for n in set(a) & set(b) if n >= 60)
                apart = {n: 0.5 + (b[n] - a[n]) / 2 for n in sizes}
                if max(abs(b[n] - a[n]) for n in sizes) < MARGIN:
                    span = crossover(kept[cohort, lower], kept[cohort, upper], margin=MARGIN, horizon=HORIZON / PILOT)
                    quiet.append(float(span is None))
                    continue
                n_true = first_reached(apart, 0.5)
                span = crossover(kept[cohort, lower], kept[cohort, upper], margin=MARGIN, horizon=HORIZON / PILOT)
                if span is None:
                    held.append(0.0)
                    points.append(winkler(np.log2(PILOT / 4), np.log2(HORIZON), np.log2(n_true), 0.1))
                    is_open.append(0.0)
                else:
                    low, high = span.low or HORIZON, span.high or HORIZON
                    held.append(float(low <= n_true * 1.02 and high >= n_true * 0.98))
                    points.append(winkler(np.log2(low), np.log2(high), np.log2(n_true), 0.1))
                    is_open.append(float(span.high is None))
                plain.append(winkler(np.log2(PILOT / 4), np.log2(HORIZON), np.log2(n_true), 0.1))
                cohorts.append(cohort)
    cover, error = clustered(held, cohorts)
    print(
        f"crossover: {len(held)} pairs, held {100 * cover:.1f} ± {100 * error:.1f} %, score on log2 n "
        f"{np.mean(points):.2f} against {np.mean(plain):.2f}, open {100 * np.mean(is_open):.0f} %; of {len(quiet)} "
        f"that touch within the margin {100 * np.mean(quiet or [0]):.0f} % are said not to matter"
    )


POWER_START = (np.array([0.05, 1.0, 0.3]),)
POWER_BOUNDS = ([0, 0, 0], [0.5, np.inf, 1.0])
PLAIN = {
    "line in log n": by_least_squares(line, np.array([0.5, 0.05]), (-np.inf, np.inf)),
    "power law": by_least_squares(power, *POWER_START, POWER_BOUNDS),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("banks", type=Path, nargs="+")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--parity", choices=("odd", "even"), default="odd")
    parser.add_argument("--one-test", action="store_true")
    asked = parser.parse_args()
    curves = {key: rows for bank in asked.banks for key, rows in read(bank, is_odd=asked.parity == "odd").items()}
    n = len({cohort for cohort, _ in curves})
    print(f"{len(curves)} curves of {n} drawn cohorts of {asked.parity} number, pilots of {asked.repeats} repeats")
    kept = score_methods(curves, asked.repeats, has_one_test=asked.one_test)
    score_needed(curves, kept, asked.repeats, has_one_test=asked.one_test)
    score_crossings(curves, kept)


if __name__ == "__main__":
    main()
