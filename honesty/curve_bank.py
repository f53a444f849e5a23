"""Learning curves whose later course is known: drawn cohorts of many kinds, several classifiers, up to 20,000 patients.

A cohort is a recipe for 16×16 images: smooth noise, a pattern at a fixed place, a bump anywhere, a texture, some labels
that are wrong. Each is present to a degree drawn with the cohort, so that curves start and end at different heights
and rise at different speeds. Even cohorts are for choosing (priors, families), odd ones for measuring.

Each repeat draws its own training patients and its own 20,000 test patients of the population; `score` is the AUROC on
the first 300 of these, as a study would see it, `truth` on all of them.

    python honesty/curve_bank.py OUT.csv [--first 0] [--cohorts 24] [--repeats 9] [--late-repeats 4]
"""

from __future__ import annotations

import argparse
import csv
import time
import warnings
from collections.abc import Iterator
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
LATE = (720, 1800, 3600, 7200, 20000)
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


def measure(cohort: int, repeats: int, late_repeats: int) -> Iterator[dict[str, object]]:
    """All trials of one cohort."""
    recipe = Recipe.of(cohort)
    for repeat in range(repeats):
        rng = np.random.default_rng([cohort, repeat, 0xDA])
        sizes = EARLY + (LATE if repeat < late_repeats else ())
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
    parser.add_argument("--cohorts", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--late-repeats", type=int, default=4)
    asked = parser.parse_args()
    done = set()
    if asked.out.exists():
        with asked.out.open() as file:
            done = {int(row["cohort"]) for row in csv.DictReader(file)}
    for cohort in range(asked.first, asked.cohorts):
        if cohort in done:
            continue
        start = time.perf_counter()
        rows = list(measure(cohort, asked.repeats, asked.late_repeats))
        is_new = not asked.out.exists()
        with asked.out.open("a", newline="") as file:
            writer = csv.DictWriter(file, FIELDS)
            if is_new:
                writer.writeheader()
            writer.writerows(rows)  # a cohort at once: a run that was stopped goes on with the next
        print(f"cohort {cohort}: {len(rows)} trials, {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
