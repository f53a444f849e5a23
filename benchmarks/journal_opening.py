"""How long a study of 100,000 trials takes to open: reading its journal, and going on, which looks at every prediction.

The goal is 3 seconds for the journal.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import replace
from typing import Any

import numpy as np

from medladder.record.folder import FleetPredictions, StudyFolder
from medladder.record.plan import Plan, PlannedRung
from medladder.record.trials import Trial
from medladder.resuming import _whole

TURNS = 5


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--trials", type=int, default=100_000)
    words.add_argument("--test", type=int, default=600, help="test images of each prediction file")
    given = words.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = StudyFolder(place)
        write(folder, given.trials, given.test)
        print(f"{given.trials:,} trials, {folder.journal.stat().st_size / 1e6:.0f} MB, {given.test} test images")
        for name, work in (
            ("the journal is read", folder.read_trials),
            ("a study goes on: predictions by digest too", lambda: _whole(folder, folder.read_plan(), print)),
        ):
            found = []
            for _ in range(TURNS):
                began = time.perf_counter()
                count = len(work())
                found.append(time.perf_counter() - began)
            print(f"{name:<46}{statistics.median(found):>6.2f} s  ({count:,})")


def write(folder: StudyFolder, n_trials: int, n_test: int) -> None:
    """A journal as a study of 10 rungs, 10 sizes and 5 folds writes it."""
    repeats = n_trials // 500
    rungs = tuple(PlannedRung(f"nn:width={w}", "nn", "deep", {"width": w}, [784, w, 1]) for w in range(8, 18))
    facts: dict[str, Any] = {
        "cohort": {"name": "drawn", "fingerprint": "f"}, "split": "patient-wise stratified 5-fold", "leave_out": None,
        "tested_on": None, "keep_val": False, "seed": 0, "image": {"shape": [28, 28], "preparation": {}},
        "margin": 0.02, "accept": (), "versions": {},
    }  # fmt: skip
    plan = Plan(
        rungs=rungs,
        sizes=tuple(range(100, 1100, 100)),
        repeats=repeats,
        repeat_blocks=tuple((at, at + 5) for at in range(0, repeats, 5)),
        round=repeats,
        folds=tuple(f"fold {k + 1}" for k in range(5)),
        **facts,
    )
    folder.write_json("plan.json", plan.to_json())
    (folder.path / "predictions").mkdir()
    probabilities = np.full((5, n_test, 2), 0.5, dtype=np.float32)
    a_trial = Trial(
        "", "", 0, 0, 0, "done", n_images=500, overlap=0.123456,
        decision={"weights": [0.4321, 0.5679], "rule": "out-of-part"}, n_parameters=100_481,
        chosen={"epochs": [7.2, 6.8, 7.5, 7.0, 8.1], "basis": "span"},
        out_of_part={"area": 0.912345, "per_class": [250, 250]}, fit_seconds=1.2345,
    )  # fmt: skip
    import os

    sync, os.fsync = os.fsync, lambda _: None  # 20,000 files: what is measured is reading
    try:
        for key in plan.fleets():
            facts = {"fleet": key.name, "rung": key.rung, "n_train": key.n_train, "fold": key.fold}
            trials = [replace(a_trial, repeat=repeat, **facts) for repeat in key.repeats]
            folder.write_fleet(key, FleetPredictions(probabilities, np.arange(n_test), np.array(key.repeats)), trials)
    finally:
        os.fsync = sync


if __name__ == "__main__":
    main()
