"""Learning curves whose later course is known: drawn cohorts of many kinds, several classifiers, up to 20,000 patients.

A cohort is a recipe for 16×16 images: smooth noise, a pattern at a fixed place, a bump anywhere, a texture, some labels
that are wrong. Each is present to a degree drawn with the cohort, so that curves start and end at different heights
and rise at different speeds. Even cohorts are for choosing (priors, families), odd ones for measuring.

Each repeat draws its own training patients and its own 20,000 test patients of the population; `score` is the AUROC on
the first 300 of these, as a study would see it, `truth` on all of them.

    python honesty/curve_bank.py OUT.csv [--first 0] [--cohorts 24] [--parity odd] [--repeats 9] [--processes 1]
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

SIDE = 16
EARLY = (30, 60, 90, 120, 180, 240, 300, 360)
# By size how many repeats: a model's own luck is small where there are many patients, and there fitting is dear.
LATE = {720: 5, 1800: 4, 3600: 3, 7200: 2, 20000: 2}
TESTED, SEEN = 20_000, 300
FIELDS = ("cohort", "rung", "n_train", "repeat", "score", "truth")


@dataclass(frozen=True)
class Recipe:
    """What tells the classes of one drawn cohort apart, in units of the noise."""

    template: np.ndarray
    contrast: float
    bump: float
    texture: float
    smoothness: float
    wrong: float

    @classmethod
    def of(cls, cohort: int) -> Recipe:
        """Draw the recipe of one cohort."""
        rng = np.random.default_rng([cohort, 0xC0])
        template = gaussian_filter(rng.normal(size=(SIDE, SIDE)), rng.uniform(0.7, 2.5))
        kinds = rng.random(3) < (0.7, 0.6, 0.4)
        if not kinds.any():
            kinds[rng.integers(3)] = True
        strengths = np.exp(rng.normal(np.log((0.14, 2.2, 0.45)), 0.5)) * kinds
        return cls(
            template / template.std(), *strengths, smoothness=float(rng.uniform(0.4, 1.6)),
            wrong=float(rng.choice([0, 0, 0.03, 0.08])),
        )  # fmt: skip

    def draw(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Images, unrolled, and labels of n patients."""
        labels = rng.permutation(np.arange(n) % 2)
        noise = rng.standard_normal((n, SIDE, SIDE), dtype=np.float32)
        fine = gaussian_filter(noise, (0, 0.5, 0.5))
        coarse = gaussian_filter(noise, (0, self.smoothness, self.smoothness))
        images = coarse / coarse.std()
        ill = labels == 1
        images[ill] += self.contrast * self.template
        if self.bump:
            axis = np.arange(SIDE)
            centres = rng.uniform(2, SIDE - 3, (2, ill.sum(), 1))
            rows, columns = np.exp(-((axis - centres) ** 2) / 4.5)
            images[ill] += self.bump * rows[:, :, None] * columns[:, None, :]
        if self.texture:
            images[ill] += self.texture * (fine / fine.std())[ill]
        shown = np.where(rng.random(n) < self.wrong, 1 - labels, labels)
        return images.reshape(n, -1), shown


def classifiers(seed: int, n: int) -> dict[str, object]:
    """Classifiers of different appetite; a network takes as many steps with few images as with many."""
    return {
        "logistic": make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300)),
        "kernel": make_pipeline(
            StandardScaler(),
            Nystroem(gamma=1 / 400, n_components=300, random_state=seed),
            LogisticRegression(C=10, max_iter=300),
        ),
        "trees": ExtraTreesClassifier(60, min_samples_leaf=2, random_state=seed),
        "network": make_pipeline(
            StandardScaler(),
            MLPClassifier(
                (64, 16),
                alpha=1e-2,
                max_iter=int(np.clip(20_000 / n, 12, 200)),
                batch_size=min(64, n // 2),
                random_state=seed,
            ),
        ),
        "neighbours": make_pipeline(StandardScaler(), KNeighborsClassifier(15)),
    }


def measure(cohort: int, repeats: int) -> Iterator[dict[str, object]]:
    """All trials of one cohort."""
    recipe = Recipe.of(cohort)
    for repeat in range(repeats):
        rng = np.random.default_rng([cohort, repeat, 0xDA])
        sizes = [*EARLY, *(n for n, most in LATE.items() if repeat < most)]
        images, labels = recipe.draw(max(sizes), rng)
        tested, truth = recipe.draw(TESTED, rng)
        for n in sizes:
            for rung, model in classifiers(repeat, n).items():
                if rung == "neighbours" and n < 60:
                    continue
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    model.fit(images[:n], labels[:n])
                said = model.predict_proba(tested)[:, 1]
                yield {
                    "cohort": cohort, "rung": rung, "n_train": n, "repeat": repeat,
                    "score": round(roc_auc_score(truth[:SEEN], said[:SEEN]), 6),
                    "truth": round(roc_auc_score(truth, said), 6),
                }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--cohorts", type=int, default=24, help="the number after the last one")
    parser.add_argument("--parity", choices=("odd", "even"), help="only cohorts of such a number")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--processes", type=int, default=1)
    asked = parser.parse_args()
    done = set()
    if asked.out.exists():
        with asked.out.open() as file:
            done = {int(row["cohort"]) for row in csv.DictReader(file)}
    step = 1 if asked.parity is None else 2
    first = asked.first + (asked.parity is not None and asked.first % 2 != (asked.parity == "odd"))
    left = [cohort for cohort in range(first, asked.cohorts, step) if cohort not in done]
    start = time.perf_counter()
    with ProcessPoolExecutor(asked.processes, multiprocessing.get_context("spawn")) as pool:
        waiting = {pool.submit(measure_all, cohort, asked.repeats): cohort for cohort in left}
        for place, one in enumerate(as_completed(waiting), 1):
            write(asked.out, one.result())
            minutes = (time.perf_counter() - start) / place * (len(left) - place) / 60
            print(f"cohort {waiting[one]}: {place} of {len(left)}, {minutes:.0f} min left", flush=True)


def measure_all(cohort: int, repeats: int) -> list[dict[str, object]]:
    return list(measure(cohort, repeats))


def write(out: Path, rows: list[dict[str, object]]) -> None:
    """A cohort at once, by the main process alone: a run that was stopped goes on with those that are not there."""
    is_new = not out.exists()
    with out.open("a", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        if is_new:
            writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
