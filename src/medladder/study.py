"""A study: plan, fleets, record; the same folder again goes on where it stopped."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .cohort import Cohort
from .cost import expected_seconds, threads_a_fleet
from .decision import apparent_shares, choose_decision, score_out_of_part
from .engine import LocalEngine, WorkerDied
from .errors import OptionError, StudyError
from .fleets import FittedTrial, FleetTask, fit_fleet
from .images.pictures import to_png
from .inspecting import inspect_study
from .inspection import NETWORKS
from .planning import PlannedStudy, Wishes, blocks, plan_study
from .progress import QUIET, Progress
from .record.folder import FleetPredictions, KeptNetwork, StudyFolder
from .record.lock import only_writer
from .record.plan import FleetKey, Plan
from .record.trials import Trial
from .rungs.draws import Draw, may_learn
from .views import views_of
from .whereabouts import remember

PICTURES_A_CLASS = 6


def run_study(
    cohort: Cohort,
    out: str | Path,
    *,
    jobs: int | None = None,
    device: str = "auto",
    cache: Path | None = None,
    pictures: bool = True,
    inspection: bool = True,
    progress: Progress = QUIET,
    **wishes: Any,
) -> StudyFolder:
    """Run a study into `out`, or go on with the one that stands there.

    `wishes` are the fields of `planning.Wishes`; `device` is "cpu", "cuda", or "auto", CUDA where there is any. A trial
    that fails is recorded with its reason and the study goes on. Unless `inspection` is turned off, the networks are
    looked into when all is fitted.

    Raises
    ------
    CohortError
        The audit found what a study cannot mend.
    OptionError
        A wish that is unknown, out of range or without effect.
    StudyError
        The folder holds another study, is in use, or its disk is full; what was recorded stays whole.
    """
    if jobs is not None and jobs < 1:
        raise OptionError(found=f"--jobs {jobs}.", needed="1 or more.", do="Leave it out to use every core.")
    if device not in ("auto", "cpu"):
        _check_device(device)
    wanted = Wishes.of(**wishes)
    folder = StudyFolder(out)
    with LocalEngine(jobs) as engine:  # its workers import while this process plans
        planned = plan_study(cohort, wanted, progress=progress)
        _make_room(folder)
        remember(cohort.fingerprint, [asdict(origin) for origin in cohort.origins])
        with only_writer(folder.path):
            planned = _go_on(folder, planned, engine, device=device, cache=cache, pictures=pictures, progress=progress)
            if inspection:
                inspect_study(folder, planned, engine, device=device, cache=cache, pictures=pictures, progress=progress)
    return folder


def _check_device(name: str) -> None:
    from .rungs.training import find_device  # imports torch, which planning does without

    find_device(name)


def _go_on(
    folder: StudyFolder,
    planned: PlannedStudy,
    engine: LocalEngine,
    *,
    device: str,
    cache: Path | None,
    pictures: bool,
    progress: Progress,
) -> PlannedStudy:
    """Run what is missing of a study, as the folder's only writer; the plan that it then holds."""
    planned, done = _open(folder, planned)
    # The plan first: a folder with a plan can be gone on with, wherever the writing was cut off.
    folder.write_json("plan.json", planned.plan.to_json())
    folder.write_json("cohort.json", planned.record.to_json())
    if pictures:
        _write_pictures(folder, planned)
    missing = [key for key in planned.plan.fleets() if key.name not in done]
    folder.log(f"{len(missing)} fleets to run, {len(done)} done before")
    if done:
        progress.say(f"{len(done)} of {len(done) + len(missing)} fleets stand already; going on with the rest.")
    _run_fleets(folder, planned, missing, engine, device=device, cache=cache, progress=progress)
    folder.log("all fleets done")
    return planned


def _make_room(folder: StudyFolder) -> None:
    path = folder.path
    if path.exists() and not path.is_dir():
        raise StudyError(found=f"{path} is a file.", needed="A folder for the study.", do="Use another --out.")
    if path.is_dir() and not folder.is_study and any(not child.name.startswith(".") for child in path.iterdir()):
        raise StudyError(
            found=f"{path} holds other files and no study.",
            needed="An empty or new folder, or one with a study to go on with.",
            do="Use another --out.",
        )
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudyError(
            found=f"{path} cannot be made ({error.strerror}).",
            needed="A folder that may be written.",
            do="Use another --out.",
        ) from error


def _open(folder: StudyFolder, planned: PlannedStudy) -> tuple[PlannedStudy, set[str]]:
    """The plan to run, joined with the one that stands in the folder, and the fleets that are whole."""
    if not folder.is_study:
        return planned, set()
    before = folder.read_plan()
    plan = _extended(folder, before, planned.plan)
    expected = {key.name: key for key in before.fleets()}
    trials = folder.read_trials()
    # A fleet with a failed trial runs again: its cause may have been mended, or the machine is another.
    lines = Counter(trial.fleet for trial in trials if trial.is_done)
    whole = {
        name
        for name, key in expected.items()
        if lines[name] == len(key.repeats) and (folder.path / "predictions" / f"{name}.npz").is_file()
    }
    if any(trial.fleet not in whole for trial in trials) or _is_torn(folder):
        folder.log("dropping lines of fleets that were not whole")
        folder.keep_trials([trial for trial in trials if trial.fleet in whole])
    pools = tuple(replace(pool, repeats_a_round=plan.round) for pool in planned.pools)
    return replace(planned, plan=plan, pools=pools), whole


def _is_torn(folder: StudyFolder) -> bool:
    journal = folder.path / "trials.jsonl"
    content = journal.read_bytes() if journal.exists() else b""
    return bool(content) and not content.endswith(b"\n")


def _extended(folder: StudyFolder, before: Plan, now: Plan) -> Plan:
    """The plan of a study that goes on: everything agrees, and rungs, sizes and repeats only grow.

    Raises
    ------
    StudyError
        They do not.
    """
    fixed = (
        "cohort",
        "seed",
        "image",
        "split",
        "folds",
        "keep_val",
        "margin",
        "operating",
        "covariates",
        "training",
        "protocol",
    )
    for name in fixed:
        # Through JSON and back, so that tuples and lists do not differ.
        was, wanted = (json.loads(json.dumps(plan.to_json()[name])) for plan in (before, now))
        if was != wanted and not (name == "cohort" and was["fingerprint"] == wanted["fingerprint"]):
            raise StudyError(
                found=f"{folder.path} holds a study with {_in_words(name, was)}, not {_in_words(name, wanted)}.",
                needed="The same cohort, seed, image size, split, margin, operating points and covariates "
                "to go on with a study.",
                do="Give them as they were, or use another --out.",
            )
    kept: dict[str, tuple[list[Any], list[Any]]] = {
        "rungs": ([p.rung for p in before.rungs], [p.rung for p in now.rungs]),
        "sizes": (list(before.sizes), list(now.sizes)),
        "repeats": (list(range(before.repeats)), list(range(now.repeats))),
    }
    for name, (old, new) in kept.items():
        gone = [str(value) for value in old if value not in new]
        if gone:
            raise StudyError(
                found=f"{folder.path} holds a study with the {name} {_short(old)}; this asks for {_short(new)}.",
                needed=f"All the {name} there were; more may be added.",
                do=f"{_how_to_keep(name, old)}, or use another --out.",
            )
    added = {name: new for name, (old, new) in kept.items() if len(new) > len(old)}
    extended = replace(
        now,
        round=before.round,
        repeat_blocks=before.repeat_blocks + blocks(before.repeats, now.repeats),
        versions=before.versions,
        extensions=before.extensions,
    )
    if not added:
        return extended
    summary = {name: values if name != "repeats" else [before.repeats, now.repeats] for name, values in added.items()}
    extension = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "added": summary,
        "after_looking": (folder.path / "evidence.json").exists(),
        "versions": now.versions,
    }
    return replace(extended, extensions=(*before.extensions, extension))


def _how_to_keep(name: str, old: Sequence[object]) -> str:
    if name == "repeats":
        return f"Give --repeats {len(old)} or more"
    if name == "sizes":
        return f"Name {', '.join(map(str, old))} in --sizes"
    return "Name " + " ".join(f"--rung {rung}" for rung in old)


def _in_words(name: str, value: Any) -> str:
    if name == "cohort":
        return f"the cohort '{value['name']}' (fingerprint {value['fingerprint'][:8]})"
    if name == "image":
        return f"images of {'×'.join(map(str, value['shape']))}"
    if name == "training":
        return f"networks trained the way of version {value}"
    if name == "covariates":
        return _covariates_in_words(value)
    return f"{name.replace('_', ' ')} {value}"


def _covariates_in_words(covariates: dict[str, Any] | None) -> str:
    if covariates is None:
        return "no covariates"
    names = ", ".join(column["column"] for column in covariates["columns"])
    within = f" on '{covariates['normal_class']}'" if covariates["normal_class"] else ""
    return f"the covariates {names} as {covariates['use']}{within}"


def _short(values: Sequence[object]) -> str:
    is_count = len(values) > 2 and list(values) == list(range(len(values)))
    return f"0 to {len(values) - 1}" if is_count else ", ".join(map(str, values))


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
    folder: StudyFolder,
    planned: PlannedStudy,
    keys: Sequence[FleetKey],
    engine: LocalEngine,
    *,
    device: str,
    cache: Path | None,
    progress: Progress,
) -> None:
    if not keys:
        return
    specs = {spec.rung: spec for spec in planned.specs}
    cost = partial(expected_seconds, planned.plan)
    wanted = {key.rung for key in keys}
    seen = [spec for name, spec in specs.items() if name in wanted]
    seeing = {planned_rung.rung for planned_rung in planned.plan.rungs if planned_rung.has_covariates}
    views = views_of(planned.cohort, seen, engine, cache=cache, progress=progress)
    tasks = [
        FleetTask(
            key,
            specs[key.rung],
            views[key.rung],
            planned.record.labels,
            tuple(planned.draws(key)),
            planned.test_rows(key.fold),
            planned.covariates if key.rung in seeing else None,
            device,
            **_looking(planned.plan, key),
        )
        for key in keys
    ]
    threads = threads_a_fleet(planned.plan, engine.jobs)
    with progress.follow("Training the ladder", sum(cost(key) for key in keys)) as advance:
        for task, result in engine.run(fit_fleet, tasks, threads=threads):
            _record_fleet(folder, planned, task, result)
            advance(cost(task.key))


def _looking(plan: Plan, key: FleetKey) -> dict[str, Any]:
    """What is looked at of a fleet's networks: at full size the layers of ten or more, and one is kept."""
    known = next(planned for planned in plan.rungs if planned.rung == key.rung)
    if key.n_train != plan.sizes[-1] or key.fold != 0 or known.members is None or known.has_covariates:
        return {}
    a_draw = 0 if known.kind == "logistic" else min(known.members, math.ceil(NETWORKS / plan.repeats))
    return {"looked_into": a_draw, "kept": 0 if key == plan.first_fleet(key.rung) else None}


def _record_fleet(
    folder: StudyFolder, planned: PlannedStudy, task: FleetTask, result: list[FittedTrial] | WorkerDied
) -> None:
    key = task.key
    if isinstance(result, WorkerDied):
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
            folder.write_network(
                key, KeptNetwork(fitted.kept.arrays, fitted.kept.facts, fitted.out_of_part_proba, known)
            )
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
    if fitted.out_of_part_proba is None:
        return Trial(status="failed", reason=fitted.reason, **known)
    record = planned.record
    labels = record.labels[draw.rows]
    decision = choose_decision(
        fitted.out_of_part_proba,
        labels,
        record.patients[draw.rows],
        prevalence=apparent_shares(
            labels[may_learn(draw.fold)],
            fitted.out_of_part_proba,
            is_weighted=_settings(planned.plan, key.rung).get("class_weight") is not None,
        ),
        is_thin=draw.is_thin,
    )
    return Trial(
        status="done",
        decision=decision.to_json(),
        n_parameters=fitted.n_parameters,
        chosen=fitted.chosen,
        out_of_part=score_out_of_part(fitted.out_of_part_proba, labels, record.patients[draw.rows]),
        layers=fitted.layers,
        **known,
    )


def _settings(plan: Plan, rung: str) -> dict[str, Any]:
    return next(planned.settings for planned in plan.rungs if planned.rung == rung)
