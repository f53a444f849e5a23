"""A million images on 64 GPU workers: the scheduler simulated with measured times, beside the arithmetic.

What is measured here first, on this machine: making and packing the largest fleet's draws, writing its record, and how
much fleets of one kind differ from what was foreseen (by the journal of a study, if one is named). The rest is assumed
and stated. Events: the main process packs fleets one after another and records them in turn; a worker gets its
next fleet when its last is recorded, as `engine.running` does.
"""

from __future__ import annotations

import argparse
import heapq
import pickle
import statistics
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from medladder.cost import bytes_a_fleet, expected_seconds
from medladder.planning import LONG_SECONDS, planned_rung, repeats_a_fleet
from medladder.record.folder import FleetPredictions, StudyFolder
from medladder.record.plan import FleetKey, Plan
from medladder.record.trials import Trial
from medladder.rungs import parse_rung
from medladder.rungs.draws import Draw
from medladder.splits import Pool, default_sizes, parts_for_choosing

GPU_GAIN = {"nn": 8.0, "dnn": 8.0, "cnn": 8.0}
"""A GPU worker against one core: measured on one H200 at 2 to 3 times 16 threads on small networks (docs/LOG.md), of
which a fleet there is bound by its host; 8 times one core is what one may count on when 8 share a host."""

NETWORK_BYTES_A_SECOND = 1e8
"""Through the scheduler to one worker after another, where the cache is not shared."""


@dataclass(frozen=True)
class Costs:
    """Seconds of the main process a fleet, by n; and the spread of a fleet's time, as the sd of its logarithm."""

    pack_a_patient: float
    record: float
    spread: float


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--images", type=int, default=1_000_000)
    words.add_argument("--side", type=int, default=64)
    words.add_argument("--workers", type=int, default=64)
    words.add_argument("--run", type=Path, help="a study whose journal tells how times scatter")
    given = words.parse_args()
    costs = measure(given.images, given.run)
    print(
        f"measured: draws and parcel {1e6 * costs.pack_a_patient:.2f} s a fleet of 10⁶ patients, record "
        f"{costs.record:.2f} s, fleets scatter by a factor of {np.exp(costs.spread):.2f}\n"
    )
    rungs = ("prior", "logistic", "nn", "dnn", "cnn")
    plan = plan_of(given.images, given.side, rungs)
    refused(given.images, given.side)
    planned = repeats_a_fleet(plan)
    for each in sorted({5, planned}, reverse=True):
        limit = f", as planned for at most {LONG_SECONDS:.0f} s" if each == planned else ""
        smaller = replace(plan, repeat_blocks=tuple((a, a + each) for a in range(0, 10, each)))
        tell(f"fleets of {each} repeat(s){limit}", smaller, given, costs)
    array = given.images * given.side**2
    sent = given.workers * array
    print(
        f"\nimages at {given.side}²: {array / 1e9:.1f} GB; by a shared cache nothing moves; else to {given.workers} "
        f"workers {sent / 1e9:.0f} GB, {sent / NETWORK_BYTES_A_SECOND / 3600:.1f} hours"
    )


def plan_of(n_images: int, side: int, names: tuple[str, ...]) -> Plan:
    """Own test part of a fifth; the pool's sizes as a study chooses them, with two more to bridge a million."""
    n_pool = n_images * 8 // 10
    facts: dict[str, Any] = {
        "cohort": {}, "split": "", "leave_out": None, "tested_on": None, "keep_val": False, "seed": 0,
        "image": {"shape": [side, side]}, "margin": 0.02, "accept": (), "versions": {},
    }  # fmt: skip
    return Plan(
        rungs=tuple(planned_rung(parse_rung(name), (side, side), 2) for name in names),
        sizes=default_sizes(n_pool, 0.5),
        repeats=10,
        repeat_blocks=((0, 10),),
        round=10,
        folds=("test",),
        **facts,
    )


def refused(n_images: int, side: int) -> None:
    for name in ("svm", "forest", "logistic", "dnn", "cnn"):
        planned = planned_rung(parse_rung(name), (side, side), 2)
        needed = bytes_a_fleet(planned, n_images * 8 // 10, [side, side], 2, 1)
        print(f"memory of one draw at full size: {name:<10}{needed / 1e9:>12,.0f} GB")
    print()


def tell(name: str, plan: Plan, given: argparse.Namespace, costs: Costs) -> None:
    keys = list(plan.fleets())
    seconds = {key.name: seconds_of(plan, key) for key in keys}
    total, longest = sum(seconds.values()), max(seconds.values())
    found = [simulate(plan, seconds, given.workers, costs, seed) for seed in range(20)]
    makespan, main_busy = (statistics.median(values) for values in zip(*found, strict=True))
    print(f"{name}: {len(keys)} fleets, {total / 3600:,.0f} worker hours, the longest {longest / 3600:.1f} hours")
    at_least = max(total / given.workers, longest)
    shares = [100 * total / given.workers / makespan, 100 * main_busy / makespan]
    print(f"  arithmetic: {at_least / 3600:.1f} hours; simulated: {makespan / 3600:.1f} hours")
    print(f"  workers busy {shares[0]:.0f} %, main process busy {shares[1]:.1f} %")


def seconds_of(plan: Plan, key: FleetKey) -> float:
    kind = next(one.kind for one in plan.rungs if one.rung == key.rung)
    return expected_seconds(plan, key) / GPU_GAIN.get(kind, 1.0)


def simulate(plan: Plan, seconds: dict[str, float], workers: int, costs: Costs, seed: int) -> tuple[float, float]:
    """Seconds until all is done, and those that the main process was busy."""
    rng = np.random.default_rng(seed)
    waiting = sorted(plan.fleets(), key=lambda key: (key.n_train, -seconds[key.name]))[::-1]
    main_free = busy = 0.0
    ends: list[tuple[float, int, FleetKey]] = []
    now, number, idle = 0.0, 0, workers
    while waiting or ends:
        while waiting and idle:
            key = waiting.pop()
            pack = costs.pack_a_patient * key.n_train * len(key.repeats) / 5
            main_free = max(main_free, now) + pack
            busy += pack
            took = seconds[key.name] * rng.lognormal(-(costs.spread**2) / 2, costs.spread)
            heapq.heappush(ends, (main_free + took, number, key))
            number, idle = number + 1, idle - 1
        now, _, _ = heapq.heappop(ends)
        main_free = max(main_free, now) + costs.record
        busy += costs.record
        now, idle = main_free, idle + 1
    return main_free, busy


def measure(n_images: int, run: Path | None) -> Costs:
    n_pool = n_images * 8 // 10
    rng = np.random.default_rng(0)
    labels, patients = rng.integers(0, 2, n_images), np.arange(n_images)
    pool = Pool(rows=np.arange(n_pool), patients=patients, labels=labels, seed=0, fold=0, repeats_a_round=10)
    began = time.perf_counter()
    draws = []
    for repeat in range(5):
        rows = pool.subset(n_pool, repeat)
        fold, _ = parts_for_choosing(labels[rows], patients[rows], patients[rows], seed=0, fold=0, repeat=repeat)
        draws.append(Draw(rows, fold, repeat))
    pickle.dumps([(d.rows.astype(np.uint32), d.fold.astype(np.int8)) for d in draws])
    packed = time.perf_counter() - began
    with tempfile.TemporaryDirectory() as place:
        folder, key = StudyFolder(place), FleetKey("dnn", n_pool, 0, 0, 5)
        predictions = FleetPredictions(
            np.full((5, n_images // 5, 2), 0.5, np.float32), np.arange(n_images // 5), np.arange(5)
        )
        trials = [Trial(key.name, "dnn", n_pool, 0, repeat, "done") for repeat in range(5)]
        began = time.perf_counter()
        folder.write_fleet(key, predictions, trials)
        recorded = time.perf_counter() - began
    return Costs(packed / n_pool, recorded, 0.3 if run is None else scatter(StudyFolder(run)))


def scatter(folder: StudyFolder) -> float:
    """Of the logarithms of taken over foreseen seconds, within a kind of rung and a size."""
    plan = folder.read_plan()
    keys = {key.name: key for key in plan.fleets()}
    logs = defaultdict(list)
    for trial in folder.read_trials():
        if trial.fit_seconds and trial.rung != "prior":
            key = keys[trial.fleet]
            logs[trial.rung, trial.n_train].append(np.log(trial.fit_seconds / expected_seconds(plan, key)))
    return float(np.sqrt(np.mean([np.var(values) for values in logs.values() if len(values) > 1])))


if __name__ == "__main__":
    main()
