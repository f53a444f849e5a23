"""Learning curves on training parts of published sets, with the classifiers and the format of `curve_bank.py`.

    python honesty/real_curves.py OUT.csv pneumoniamnist.npz breastmnist.npz kermany_cxr/labels.csv

No test part is read. Each repeat draws its own patients to score on (a third, at most 1,500) and trains on the others,
one image a patient; `score` is the AUROC on 300 of these at most, `truth` on all of them. Cohorts count from 100.
"""

from __future__ import annotations

import argparse
import csv
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from curve_bank import FIELDS, SEEN, classifiers
from sklearn.metrics import roc_auc_score

import medladder as ml

SIZES = (30, 60, 90, 120, 180, 240, 300, 360, 720, 1440, 2400, 3600)


def read(source: str) -> tuple[np.ndarray, np.ndarray]:
    """One unrolled image a patient of the training part, and its class."""
    cohort = ml.read_cohort(source, image_size=(28, 28))
    rows = np.flatnonzero(np.array(cohort.parts) == "train")
    _, first = np.unique(np.asarray(cohort.patients)[rows], return_index=True)
    rows = rows[first]
    return np.asarray(cohort.images[rows]).reshape(len(rows), -1) / 255.0, np.asarray(cohort.labels)[rows]


def measure(number: int, source: str, repeats: int) -> Iterator[dict[str, object]]:
    """All trials of one set."""
    images, labels = read(source)
    n_test = min(1500, len(labels) // 3)
    for repeat in range(repeats):
        order = np.random.default_rng([number, repeat]).permutation(len(labels))
        tested, rest = order[:n_test], order[n_test:]
        for n in [size for size in SIZES if size <= len(rest)]:
            for rung, model in classifiers(repeat, n).items():
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    model.fit(images[rest[:n]], labels[rest[:n]])
                said = model.predict_proba(images[tested])[:, 1]
                yield {
                    "cohort": 100 + number, "rung": rung, "n_train": n, "repeat": repeat,
                    "score": round(roc_auc_score(labels[tested[:SEEN]], said[:SEEN]), 6),
                    "truth": round(roc_auc_score(labels[tested], said), 6),
                }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("sources", nargs="+")
    parser.add_argument("--repeats", type=int, default=9)
    asked = parser.parse_args()
    with asked.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        for number, source in enumerate(asked.sources):
            writer.writerows(measure(number, source, asked.repeats))
            file.flush()
            print(source, flush=True)


if __name__ == "__main__":
    main()
