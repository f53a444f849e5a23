"""What it costs to look into the networks of a rung: regions, features, probes, extractor, all of it.

    python benchmarks/inspection_speed.py pneumoniamnist.npz [--rungs dnn,cnn]

Trains each rung once on the train and val parts (the test part is not touched), then looks into it; one process,
the threads of two cores. The goal is a minute a network.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np
import torch

from medladder import rungs
from medladder.cohort import read_cohort
from medladder.inspection.growth import measure_networks
from medladder.inspection.whole import look_into
from medladder.rungs.draws import draw_by_row


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("cohort")
    parser.add_argument("--rungs", default="dnn,cnn")
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    cohort = read_cohort(asked.cohort)
    rows = np.flatnonzero(cohort.parts != "test")
    draw = replace(draw_by_row(cohort.labels[rows], seed=0), rows=rows)
    print(f"{'rung':8}{'n':>7}{'fit s':>9}{'members':>9}{'measured s':>12}{'a network':>11}{'looked into s':>15}")
    for name in asked.rungs.split(","):
        began = time.perf_counter()
        [rung] = rungs.build(rungs.parse_rung(name), "cpu").fit_fleet(cohort.images, cohort.labels, [draw])
        fitted = time.perf_counter()
        n_classes = len(cohort.classes)
        measured = measure_networks(rung, cohort.images, cohort.labels, draw, n_classes=n_classes, at_most=10)
        counted = time.perf_counter()
        look_into(
            rung,
            cohort.images,
            cohort.labels,
            cohort.patients,
            draw,
            name=name,
            classes=cohort.classes,
            measured=measured,
        )
        looked = time.perf_counter()
        print(
            f"{name:8}{len(rows):7d}{fitted - began:9.1f}{len(measured):9d}{counted - fitted:12.1f}"
            f"{(counted - fitted) / len(measured):11.2f}{looked - counted:15.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
