"""What an engine costs a fleet besides its fits: sending it, waiting, recording it; on this machine and through Dask.

The fleets are real ones of the cheapest rung on a cohort of many images, so that what is sent weighs what it would. All
three sides do the same work in the same run; the scores' digests are compared. Goals: 50 ms local, 100 ms through Dask.
"""

from __future__ import annotations

import argparse
import pickle
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

import medladder as ml
from medladder.engine.cluster import open_local
from medladder.engine.contract import Engine
from medladder.engine.local import LocalEngine
from medladder.planning import Wishes, plan_study
from medladder.progress import QUIET
from medladder.record.folder import StudyFolder
from medladder.study import Going, _packing

TURNS = 3
SIDES: dict[str, Callable[[], AbstractContextManager[Engine]]] = {
    "in this process": lambda: LocalEngine(1),
    "local, 2 workers": lambda: LocalEngine(2),
    "Dask on loopback, 2 workers": lambda: open_local(2),
}


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--images", type=int, default=5_000)
    given = words.parse_args()
    with tempfile.TemporaryDirectory() as place:
        rng = np.random.default_rng(0)
        labels = rng.integers(0, 2, given.images).astype(np.uint8)
        images = rng.integers(0, 256, (given.images, 8, 8)).astype(np.uint8)
        parts = np.split(np.arange(given.images), [given.images * 8 // 10])
        arrays = {f"{part}_{kind}": values[rows] for part, rows in zip(("train", "test"), parts, strict=True)
                  for kind, values in (("images", images), ("labels", labels[:, None]))}  # fmt: skip
        np.savez(Path(place) / "set.npz", **arrays)
        cohort = ml.read_cohort(Path(place) / "set.npz", cache=Path(place) / "cache")
        wishes = {"rungs": ("prior",), "sizes": tuple(range(200, 3_200, 200)), "repeats": 20}
        planned = plan_study(cohort, Wishes.of(**wishes))
        keys = list(planned.plan.fleets())
        with LocalEngine(1) as engine:
            going = Going(StudyFolder(place), engine, None, "cpu", Path(place) / "cache", QUIET)  # type: ignore[arg-type]
            task = _packing(going, planned, keys, {})(keys[-1])
        print(f"{given.images:,} images, {len(keys)} fleets of 5 repeats, to 3,000 patients")
        print(f"the largest as sent: {len(pickle.dumps(task)) / 1e6:.2f} MB\n")
        found: dict[str, list[float]] = {name: [] for name in SIDES}
        digests = set()
        for turn in range(TURNS):
            for name, opened in SIDES.items():
                out = Path(place) / f"{turn}-{len(digests)}-{name[:5]}"
                seconds, folder = overhead(cohort, out, opened, wishes, Path(place) / "cache")
                found[name].append(seconds)
                digests.add(tuple(sorted({(t.fleet, t.predictions_sha256) for t in folder.read_trials()})))
        assert len(digests) == 1, "every engine finds the same"
        for name, seconds in found.items():
            told = ", ".join(f"{1000 * one:.0f}" for one in seconds)
            print(f"{name:<30}{1000 * statistics.median(seconds):>6.0f} ms a fleet   (turns: {told})")


def overhead(
    cohort: Any, out: Path, opened: Callable[[], AbstractContextManager[Engine]], wishes: dict[str, Any], cache: Path
) -> tuple[float, StudyFolder]:
    """Seconds of a worker a fleet beyond its fits, recording included; the workers have their imports behind them."""
    with opened() as engine:
        how: dict[str, Any] = {"engine": engine, "cache": cache, "pictures": False, "inspection": False}
        ml.run_study(cohort, out.with_name(f"{out.name}-first"), **how, **{**wishes, "sizes": (200,)})
        planning = time.perf_counter()
        ml.run_study(cohort, out.with_name(f"{out.name}-first"), **how, **{**wishes, "sizes": (200,)})
        planning = time.perf_counter() - planning  # nothing is left to run
        began = time.perf_counter()
        folder = ml.run_study(cohort, out, **how, **wishes)
        seconds = time.perf_counter() - began - planning
        trials = folder.read_trials()
        fleets = len({trial.fleet for trial in trials})
        return (seconds * engine.n_workers - sum(trial.fit_seconds or 0.0 for trial in trials)) / fleets, folder


if __name__ == "__main__":
    main()
