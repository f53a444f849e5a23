"""One worker against two on the default study: every rung, size and repeat of `medladder study demo:nodule`.

Both sides run the same fleets; evidence must be equal. The goal is a ratio of 1.7. Some twenty minutes.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import medladder as ml
from medladder.record.folder import StudyFolder


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--turns", type=int, default=1)
    words.add_argument("--cohort", default="demo:nodule")
    given = words.parse_args()
    with tempfile.TemporaryDirectory() as place:
        cohort = ml.read_cohort(given.cohort)
        for turn in range(given.turns):
            seconds, scores = {}, []
            for jobs in (1, 2):
                out = Path(place) / f"{turn}-{jobs}"
                began = time.perf_counter()
                folder = ml.run_study(cohort, out, jobs=jobs, inspection=False, pictures=False)
                seconds[jobs] = time.perf_counter() - began
                scores.append(told(folder))
                fits = sum(trial.fit_seconds or 0.0 for trial in folder.read_trials())
                print(f"{jobs} worker(s): {seconds[jobs]:.0f} s, of which fits {fits:.0f} s of one core", flush=True)
            assert scores[0] == scores[1], "both find the same"
            best, score = max(scores[0].items(), key=lambda one: one[1])
            print(f"two workers are {seconds[1] / seconds[2]:.2f} times as fast; both: {best} AUROC {score:.3f}")


def told(folder: StudyFolder) -> dict[str, float]:
    return {rung["rung"]: rung["points"][-1]["auroc"]["estimate"] for rung in ml.weigh(folder).to_json()["rungs"]}


if __name__ == "__main__":
    main()
