"""A study: plan, fleets, record; the same folder again goes on where it stopped."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .budgeting import draws_at_once, fit_to_budget
from .cohort import Cohort
from .cost import Pace, expected_seconds, seconds_until_it_hangs, threads_a_fleet
from .engine.contract import Engine, Limits, Lost
from .engine.data import SharedArray
from .engine.opening import USUAL, open_engine
from .engine.running import run_tasks
from .errors import OptionError
from .fleets import FittedTrial, FleetTask, fit_fleet, flaw_of
from .images.pictures import to_png
from .inspecting import inspect_study
from .inspection import NETWORKS
from .interrupts import ending_in_order, patient
from .planning import PlannedStudy, Wishes, plan_study
from .progress import QUIET, Progress
from .record.folder import FleetPredictions, KeptNetwork, StudyFolder
from .record.lock import Lock, only_writer
from .record.plan import FleetKey, Plan
from .record.trials import Trial
from .resuming import make_room, open_study
from .rungs.draws import Draw, may_learn
from .views import views_of
from .whereabouts import remember

PICTURES_A_CLASS = 6


def run_study(
    cohort: Cohort,
    out: str | Path,
    *,
    jobs: int | None = None,
    engine: str | Engine = USUAL,
    device: str = "auto",
    cache: Path | None = None,
    pictures: bool = True,
    inspection: bool = True,
    time_budget: float | None = None,
    take_over: bool = False,
    progress: Progress = QUIET,
    **wishes: Any,
) -> StudyFolder:
    """Run a study into `out`, or go on with the one that stands there.

    `wishes` are the fields of `planning.Wishes`; `device` is "cpu", "cuda", or "auto", CUDA where there is any;
    `engine` is a name that `--engine` takes, or an engine, which is left open. A trial that fails is recorded with its
    reason and the study goes on. Unless `inspection` is turned off, the networks are looked into when all is fitted.
    `time_budget` is in seconds: sizes and repeats are left out to fit it, and no fleet begins that would not end in it.
    `take_over` takes the folder from a process of another host that is gone.

    The first Ctrl-C lets fleets that are under way finish, the second stops at once; either way a KeyboardInterrupt is
    raised, and the same call goes on from there.

    Raises
    ------
    CohortError
        The audit found what a study cannot mend.
    OptionError
        A wish that is unknown, out of range or without effect; a rung that needs more memory than a worker has.
    StudyError
        The folder holds another study, is in use, or its disk is full; what was recorded stays whole.
    EngineLostError
        There is nobody left to work; what was recorded stays whole.
    """
    began = time.monotonic()
    if jobs is not None and jobs < 1:
        raise OptionError(found=f"--jobs {jobs}.", needed="1 or more.", do="Leave it out to use every core.")
    if time_budget is not None and time_budget <= 0:
        raise OptionError(found=f"A budget of {time_budget:g} seconds.", needed="Above 0.", do="Drop it, or raise it.")
    if device not in ("auto", "cpu"):
        _check_device(device)
    wanted = Wishes.of(**wishes)
    folder = StudyFolder(out)
    opened = open_engine(engine, jobs, progress.say) if isinstance(engine, str) else nullcontext(engine)
    with ending_in_order(), opened as workers:  # they import while this process plans
        for line in workers.unheld:
            progress.say(line)
        planned = plan_study(cohort, wanted, progress=progress)
        make_room(folder)
        remember(cohort.fingerprint, [asdict(origin) for origin in cohort.origins])
        with only_writer(folder.path, take_over=take_over) as lock:
            going = Going(folder, workers, lock, device, cache, progress)
            deadline = None if time_budget is None else began + time_budget
            planned = _go_on(going, planned, deadline, pictures=pictures, inspection=inspection)
            if inspection:
                inspect_study(
                    folder, planned, workers, device=device, cache=cache, pictures=pictures, progress=progress
                )
    return folder


@dataclass(frozen=True)
class Going:
    """What a study that runs has at hand."""

    folder: StudyFolder
    engine: Engine
    lock: Lock
    device: str
    cache: Path | None
    progress: Progress

    def say(self, line: str) -> None:
        """Tell the person, and the log."""
        self.progress.say(line)
        self.folder.log(line)


def _check_device(name: str) -> None:
    from .rungs.training import find_device  # imports torch, which planning does without

    find_device(name)


def _go_on(
    going: Going, planned: PlannedStudy, deadline: float | None, *, pictures: bool, inspection: bool
) -> PlannedStudy:
    """Run what is missing of a study, as the folder's only writer; the plan that it then holds."""
    folder, engine = going.folder, going.engine
    planned, whole = open_study(folder, planned, going.progress.say)
    pace = Pace(planned.plan, (trial for trials in whole.values() for trial in trials))
    if deadline is not None:
        seconds = deadline - time.monotonic()
        before = folder.read_plan() if folder.is_study else None
        planned, left_out = fit_to_budget(
            planned, before, set(whole), pace, seconds, engine.n_workers, inspection=inspection
        )
        for line in left_out:
            going.say(line)
    at_once = draws_at_once(planned, engine.memory_bytes)
    # The plan first: a folder with a plan can be gone on with, wherever the writing was cut off.
    folder.write_json("plan.json", planned.plan.to_json())
    folder.write_json("cohort.json", planned.record.to_json())
    if pictures:
        _write_pictures(folder, planned)
    missing = [key for key in planned.plan.fleets() if key.name not in whole]
    folder.log(f"{len(missing)} fleets to run, {len(whole)} done before")
    if whole:
        going.progress.say(f"{len(whole)} of {len(whole) + len(missing)} fleets stand already; going on with the rest.")
    left = _run_fleets(going, planned, missing, pace, at_once, deadline)
    if left:
        going.say(f"The time is up: {left} of {len(whole) + len(missing)} fleets are left for the same command again.")
    else:
        folder.log("all fleets done")
    return planned


def _write_pictures(folder: StudyFolder, planned: PlannedStudy) -> None:
    """A few images a class at working size, none of a test part; in folds each is tested in turn, and any will do."""
    rng = np.random.default_rng([planned.plan.seed, 0xEC5])
    record = planned.record
    for class_ in range(len(record.classes)):
        in_pool = np.flatnonzero((record.labels == class_) & (record.test_fold == -1))
        rows = in_pool if len(in_pool) else np.flatnonzero((record.labels == class_) & (record.test_fold >= 0))
        for i, row in enumerate(rng.permutation(rows)[:PICTURES_A_CLASS]):
            folder.write_bytes(f"pictures/example-{class_}-{i}.png", to_png(planned.cohort.images[row]))


def keep_errors(folder: StudyFolder, cohort: Cohort, rows: Sequence[int]) -> None:
    """Keep pictures of test images that a rung was wrong about, in the place of those kept before."""
    for before in folder.pictures.glob("error-*.png"):
        before.unlink()
    for row in rows:
        folder.write_bytes(f"pictures/error-{row}.png", to_png(cohort.images[row]))


def _run_fleets(
    going: Going,
    planned: PlannedStudy,
    keys: Sequence[FleetKey],
    pace: Pace,
    at_once: Mapping[str, int],
    deadline: float | None,
) -> int:
    """Run fleets and record each as it ends; how many were not begun because the deadline would have passed."""
    if not keys:
        return 0
    plan, engine = planned.plan, going.engine
    task_of = _packing(going, planned, keys, at_once)
    under_way: dict[str, FleetTask] = {}
    threads = threads_a_fleet(plan, engine.n_workers)
    left = {key.name: key for key in keys}
    done = {key.name for key in plan.fleets()} - set(left)
    cost = partial(expected_seconds, plan)

    deep = {one.rung for one in plan.rungs if one.family == "deep"}

    def pack(key: FleetKey) -> FleetTask:
        under_way[key.name] = task = task_of(key)
        return task

    def limits_of(key: FleetKey) -> Limits:
        return Limits(threads, seconds_until_it_hangs(plan, key), wants_gpu=key.rung in deep)

    def told_retry(key: FleetKey, reason: str) -> None:
        going.say(f"{key.name}: tried once more, for it failed: {reason}")

    def announce() -> str:
        return (
            f"Stopping when the fleets that are under way are done ({min(engine.n_workers, len(left))} at most). "
            "Ctrl-C again stops at once; nothing that is recorded is lost."
        )

    with (
        going.progress.follow("Training the ladder", sum(map(cost, plan.fleets()))) as advance,
        patient(going.progress.say, announce) as is_stopping,
    ):

        def may_begin(key: FleetKey) -> bool:
            is_late = deadline is not None and time.monotonic() + pace.seconds(key) > deadline
            if not is_late and not is_stopping():
                going.folder.log(f"{key.name}: begun")
                return True
            return False

        advance(
            sum(cost(key) for key in plan.fleets() if key.name in done),
            pace.seconds_left(left.values(), engine.n_workers),
        )
        for key, result in run_tasks(
            engine,
            fit_fleet,
            # Of one size the longest first, so that none ends alone.
            sorted(keys, key=lambda key: (key.n_train, -cost(key))),
            pack=pack,
            limits_of=limits_of,
            flaw_of=flaw_of,
            may_begin=may_begin,
            told_retry=told_retry,
        ):
            going.lock.check()
            _record_fleet(going.folder, planned, under_way.pop(key.name), result)
            del left[key.name]
            if not isinstance(result, Lost):
                pace.learn(key, sum(trial.fit_seconds for trial in result))
            advance(cost(key), pace.seconds_left(left.values(), engine.n_workers))
        if is_stopping():
            raise KeyboardInterrupt
    return len(left)


def _packing(
    going: Going, planned: PlannedStudy, keys: Sequence[FleetKey], at_once: Mapping[str, int]
) -> Callable[[FleetKey], FleetTask]:
    """What makes of a fleet what a worker is sent; not all at once, for the draws of a large study fill a memory."""
    plan = planned.plan
    specs = {spec.rung: spec for spec in planned.specs}
    wanted = {key.rung for key in keys}
    seen = [spec for name, spec in specs.items() if name in wanted]
    seeing = {planned_rung.rung for planned_rung in plan.rungs if planned_rung.has_covariates}
    views = views_of(planned.cohort, seen, going.engine, cache=going.cache, progress=going.progress)
    arrays = {name: SharedArray.at(path) for name, path in views.items()}

    def pack(key: FleetKey) -> FleetTask:
        return FleetTask(
            key,
            specs[key.rung],
            arrays[key.rung],
            planned.record.labels,
            planned.record.patients,
            tuple(planned.draws(key)),
            planned.test_rows(key.fold),
            planned.covariates if key.rung in seeing else None,
            going.device,
            at_once=at_once.get(key.name),
            **_looking(plan, key),
        )

    return pack


def _looking(plan: Plan, key: FleetKey) -> dict[str, Any]:
    """What is looked at of a fleet's networks: at full size the layers of ten or more, and one is kept."""
    known = next(planned for planned in plan.rungs if planned.rung == key.rung)
    if key.n_train != plan.sizes[-1] or key.fold != 0 or known.members is None or known.has_covariates:
        return {}
    a_draw = 0 if known.kind == "logistic" else min(known.members, math.ceil(NETWORKS / plan.repeats))
    return {"looked_into": a_draw, "kept": 0 if key == plan.first_fleet(key.rung) else None}


def _record_fleet(
    folder: StudyFolder, planned: PlannedStudy, task: FleetTask, result: list[FittedTrial] | Lost
) -> None:
    key = task.key
    if isinstance(result, Lost):
        result = [FittedTrial(0.0, reason=result.reason) for _ in task.draws]
    trials = [
        _trial(planned, key, repeat, draw, fitted)
        for repeat, draw, fitted in zip(key.repeats, task.draws, result, strict=True)
    ]
    done = [(repeat, f.test_proba) for repeat, f in zip(key.repeats, result, strict=True) if f.test_proba is not None]
    predictions = None
    if done:
        predictions = FleetPredictions(
            probabilities=np.stack([proba for _, proba in done]),
            rows=task.test_rows,
            repeats=np.array([repeat for repeat, _ in done]),
        )
    for draw, fitted in zip(task.draws, result, strict=True):
        if fitted.kept is not None:
            known = planned.cohort.hashes_of(draw.rows)
            kept = fitted.kept
            folder.write_network(key, KeptNetwork(kept.arrays, kept.facts, fitted.held_out_proba, known))
    folder.write_fleet(key, predictions, trials)
    failed = [trial.reason for trial in trials if trial.reason]
    folder.log(f"{key.name}: {len(done)} trials done" + (f", {len(failed)} failed: {failed[0]}" if failed else ""))


def _trial(planned: PlannedStudy, key: FleetKey, repeat: int, draw: Draw, fitted: FittedTrial) -> Trial:
    known: dict[str, Any] = {
        "fleet": key.name,
        "rung": key.rung,
        "n_train": key.n_train,
        "fold": key.fold,
        "repeat": repeat,
        "n_images": int(may_learn(draw.fold).sum()),
        "overlap": round(planned.pools[key.fold].overlap(key.n_train, repeat), 6),
        "fit_seconds": round(fitted.fit_seconds, 4),
    }
    if fitted.test_proba is None:
        return Trial(status="failed", reason=fitted.reason, **known)
    return Trial(
        status="done",
        decision=fitted.decision,
        n_parameters=fitted.n_parameters,
        chosen=fitted.chosen,
        out_of_part=fitted.out_of_part,
        layers=fitted.layers,
        **known,
    )
