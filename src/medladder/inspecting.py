"""Looks into the networks that a study kept, while its images are at hand: RUN/inspection.json and small pictures."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int, Shaped

from . import rungs
from .architecture import count_parameters
from .cost import SECONDS_A_LOOK, seconds_a_fit
from .engine.contract import Engine, Lost
from .engine.data import SharedArray
from .engine.running import run_tasks
from .errors import FitError, InputError
from .images.pictures import to_png
from .inspection.pairing import pair_out_of_part
from .inspection.speaking import speak_structure, speak_taper
from .planning import PlannedStudy, planned_rung
from .progress import Progress
from .record.folder import INSPECTION_PROTOCOL, KeptNetwork, StudyFolder
from .record.plan import FleetKey, Plan
from .record.trials import Trial
from .rungs.draws import Draw, fit_many
from .views import views_of
from .weights.freezing import Frozen, thaw

if TYPE_CHECKING:
    from .inspection.whole import Inspection

CONSTANT_WIDTH = "dnn:width=equal,taper=1"
"""What the tapered `dnn` is held against."""

_SHUFFLE = 0x5F1E  # keeps the permutation's random numbers apart from what else a seed is used for


@dataclass(frozen=True, eq=False)
class Look:
    """What a worker is sent to look into one kept rung."""

    spec: rungs.RungSpec
    kept: Frozen
    store: SharedArray
    labels: Int[np.ndarray, " image"]
    patients: Int[np.ndarray, " image"]
    draw: Draw
    classes: tuple[str, ...]
    measured: tuple[dict[str, Any], ...]
    margin: float
    seed: int
    seconds: float = SECONDS_A_LOOK


@dataclass(frozen=True, eq=False)
class Refit:
    """What a worker is sent to fit one rung once more: on its own view, or on shuffled pixels."""

    spec: rungs.RungSpec
    store: SharedArray
    labels: Int[np.ndarray, " image"]
    draw: Draw
    device: str
    seconds: float
    shuffled_by: int | None = None
    """The seed of the permutation; None leaves the images alone."""


def work(task: Look | Refit) -> Inspection | Float[np.ndarray, "row class_"] | str:
    """The work of a worker; a text is the reason why there is no result."""
    try:
        return _look(task) if isinstance(task, Look) else _refit(task)
    except Exception as error:  # whatever goes wrong here must not take a finished study along
        return f"{type(error).__name__}: {error}"


def _look(task: Look) -> Inspection:
    from .inspection.whole import look_into  # imports torch, which the main process does without

    images = task.store.mapped()
    rung = thaw(task.spec, images.shape[1:], len(task.classes), task.kept)
    return look_into(
        rung,
        images,
        task.labels,
        task.patients,
        task.draw,
        name=task.spec.rung,
        classes=task.classes,
        measured=task.measured,
        margin=task.margin,
        seed=task.seed,
    )


def _refit(task: Refit) -> Float[np.ndarray, "row class_"] | str:
    images = task.store.mapped()
    draw, labels = task.draw, task.labels
    if task.shuffled_by is not None:
        images, labels = shuffled(images[draw.rows], task.shuffled_by), labels[draw.rows]
        draw = replace(draw, rows=np.arange(len(draw.rows)))
    [fitted] = fit_many(rungs.build(task.spec, task.device), images, labels, [draw])
    if isinstance(fitted, FitError):
        return str(fitted)
    return np.asarray(fitted.out_of_part_proba_)


def shuffled(images: Shaped[np.ndarray, "image ..."], seed: int) -> Shaped[np.ndarray, "image ..."]:
    """The same images with their pixels in another order, one for all of them; channels of a pixel stay together.

    Example
    -------
    >>> shuffled(np.array([[[1, 2], [3, 4]]]), seed=0).tolist()
    [[[2, 1], [3, 4]]]
    """
    shape = images.shape
    n_channels = shape[-1] if images.ndim > 3 else 1
    flat = images.reshape(len(images), -1, n_channels)
    order = np.random.default_rng([seed, _SHUFFLE]).permutation(flat.shape[1])
    return np.ascontiguousarray(flat[:, order]).reshape(shape)


def inspect_study(
    folder: StudyFolder,
    planned: PlannedStudy,
    engine: Engine,
    *,
    device: str,
    cache: Path | None,
    pictures: bool,
    progress: Progress,
) -> None:
    """Write inspection.json and its pictures, unless they stand there already for the study as it is.

    What goes wrong is said and logged, and the rest is written.
    """
    plan = planned.plan
    kept = {name: network for name, network in _kept(folder, plan).items() if network is not None}
    trials = folder.read_trials()
    measured = {name: tuple(measured_networks(trials, name, plan.sizes[-1])) for name in kept}
    key: str | None = _key_of(plan, {name: len(networks) for name, networks in measured.items()}, pictures=pictures)
    before = folder.read_inspection()
    if before is not None and before["key"] == key:
        return
    [draw] = planned.draws(FleetKey("", plan.sizes[-1], 0, 0, 1))
    tasks: list[Look | Refit] = [
        *_looks(planned, kept, measured, draw),
        *_refits(planned, kept, draw, engine, device, cache, progress),
    ]
    if not tasks:
        return
    results: dict[tuple[str, str], Any] = {}
    with progress.follow("Looking into the networks", sum(task.seconds for task in tasks)) as advance:
        for task, result in run_tasks(engine, work, sorted(tasks, key=lambda task: -task.seconds)):
            advance(task.seconds)
            if isinstance(result, str | Lost):
                reason = result if isinstance(result, str) else result.reason
                folder.log(f"looking into {task.spec.rung}: {reason}")
                progress.say(f"Not looked into: {task.spec.rung} {_named(task)}: {reason}")
                key = None  # it is tried again when the study goes on
            else:
                results[_named(task), task.spec.rung] = result
    _write(folder, planned, key, kept, draw, results, pictures=pictures)


def _key_of(plan: Plan, measured: Mapping[str, int], *, pictures: bool) -> str:
    """Changes with whatever an inspection of this plan rests on: `measured` counts networks of each kept rung."""
    rests_on = [
        INSPECTION_PROTOCOL,
        measured,
        plan.sizes[-1],
        plan.repeats,
        [p.rung for p in plan.rungs],
        plan.seed,
        plan.training,
        pictures,
    ]
    return hashlib.sha256(json.dumps(rests_on).encode()).hexdigest()[:16]


def _kept(folder: StudyFolder, plan: Plan) -> dict[str, KeptNetwork | None]:
    return {
        planned.rung: folder.read_network(plan.first_fleet(planned.rung))
        for planned in plan.rungs
        if planned.members is not None and not planned.has_covariates
    }


def _looks(
    planned: PlannedStudy,
    kept: Mapping[str, KeptNetwork],
    measured: Mapping[str, tuple[dict[str, Any], ...]],
    draw: Draw,
) -> Iterator[Look]:
    plan = planned.plan
    for spec in planned.specs:
        if spec.rung in kept:
            yield Look(
                spec,
                Frozen(kept[spec.rung].arrays, kept[spec.rung].facts, None),
                SharedArray.at(planned.cohort.store),
                planned.record.labels,
                planned.record.patients,
                draw,
                tuple(planned.cohort.classes),
                measured[spec.rung],
                plan.margin,
                plan.seed,
            )


def measured_networks(trials: Sequence[Trial], rung: str, n_train: int) -> list[dict[str, Any]]:
    """Networks of one rung at full size whose layers were measured, one a repeat first, then further members."""
    by_trial = [
        trial.layers
        for trial in sorted(trials, key=lambda trial: trial.repeat)
        if trial.rung == rung and trial.n_train == n_train and trial.fold == 0 and trial.layers
    ]
    most = max(map(len, by_trial), default=0)
    return [layers[member] for member in range(most) for layers in by_trial if member < len(layers)]


def _refits(
    planned: PlannedStudy,
    kept: Mapping[str, KeptNetwork],
    draw: Draw,
    engine: Engine,
    device: str,
    cache: Path | None,
    progress: Progress,
) -> Iterator[Refit]:
    """Each rung on shuffled pixels, and as it is where that is not known; `dnn` at constant width."""
    if draw.fold.max(initial=-1) < 0:
        return  # nothing is held out to compare by
    plan, cohort = planned.plan, planned.cohort
    left_out = {
        one.rung
        for one in plan.rungs
        if one.has_covariates or one.family == "floor" or one.settings.get("members") == 1
    }
    specs = [spec for spec in planned.specs if spec.rung not in left_out]
    views = views_of(cohort, specs, engine, cache=cache, progress=progress)
    store = SharedArray.at(cohort.store)
    again = partial(Refit, labels=planned.record.labels, draw=draw, device=device)
    for spec in specs:
        known = next(one for one in plan.rungs if one.rung == spec.rung)
        seconds = seconds_a_fit(known, plan.sizes[-1], plan.image["shape"])
        yield again(spec, store, seconds=seconds, shuffled_by=plan.seed)
        if spec.rung not in kept or kept[spec.rung].out_of_part is None:
            yield again(spec, SharedArray.at(views[spec.rung]), seconds=seconds)
    if "dnn" in kept:
        spec = rungs.parse_rung(CONSTANT_WIDTH)
        constant = planned_rung(spec, cohort.images.shape[1:], len(cohort.classes))
        yield again(spec, store, seconds=seconds_a_fit(constant, plan.sizes[-1], plan.image["shape"]))


def _named(task: Look | Refit) -> str:
    if isinstance(task, Look):
        return "layers"
    return "as it is" if task.shuffled_by is None else "shuffled"


def _write(
    folder: StudyFolder,
    planned: PlannedStudy,
    key: str | None,
    kept: Mapping[str, KeptNetwork],
    draw: Draw,
    results: Mapping[tuple[str, str], Any],
    *,
    pictures: bool,
) -> None:
    plan, record = planned.plan, planned.record
    looked = [results["layers", one.rung] for one in plan.rungs if ("layers", one.rung) in results]
    as_is = {name: network.out_of_part for name, network in kept.items() if network.out_of_part is not None}
    as_is |= {rung: proba for (what, rung), proba in results.items() if what == "as it is"}
    labels, patients = record.labels[draw.rows], record.patients[draw.rows]
    structure = []
    for one in plan.rungs:
        if one.rung in as_is and ("shuffled", one.rung) in results:
            found = _paired(results["shuffled", one.rung], as_is[one.rung], labels, patients)
            if found is not None:
                structure.append({"rung": one.rung, **dict(zip(("shuffled", "auroc", "change"), found, strict=True))})
    # The pictures first: what inspection.json names is there, wherever the writing is cut off.
    drawn = {name: pixels for one in looked for name, pixels in (one.tiles | one.examples).items()} if pictures else {}
    for name, pixels in drawn.items():
        folder.write_bytes(f"pictures/{name}", to_png(pixels))
    folder.write_json(
        "inspection.json",
        {
            "protocol": INSPECTION_PROTOCOL,
            "key": key,
            "n_train": plan.sizes[-1],
            "networks": [one.facts if pictures else one.facts_alone() for one in looked],
            "structure": {
                "n_train": plan.sizes[-1],
                "rungs": structure,
                "sentences": speak_structure(structure, plan.margin),
            }
            if structure
            else None,
            "taper": _taper(planned, as_is, labels, patients),
        },
    )
    folder.keep_pictures(drawn, of=("unit-", "excites-", "on-"))
    folder.log(f"looked into {', '.join(one.facts['rung'] for one in looked) or 'no network'}")


def _taper(
    planned: PlannedStudy,
    as_is: Mapping[str, Float[np.ndarray, "row class_"]],
    labels: Int[np.ndarray, " row"],
    patients: Int[np.ndarray, " row"],
) -> dict[str, Any] | None:
    if "dnn" not in as_is or CONSTANT_WIDTH not in as_is:
        return None
    found = _paired(as_is["dnn"], as_is[CONSTANT_WIDTH], labels, patients)
    if found is None:
        return None
    shape, n_classes = planned.cohort.images.shape[1:], len(planned.cohort.classes)
    tapered, constant = (
        rungs.layers(rungs.parse_rung(name), shape, n_classes) or [] for name in ("dnn", CONSTANT_WIDTH)
    )
    facts: dict[str, Any] = {
        "rung": "dnn",
        "against": CONSTANT_WIDTH,
        "layers": tapered,
        "against_layers": constant,
        "parameters": count_parameters(tapered),
        "against_parameters": count_parameters(constant),
        **dict(zip(("auroc", "against_auroc", "difference"), found, strict=True)),
    }
    return {**facts, "sentences": speak_taper(facts, planned.plan.margin)}


def _paired(
    one: Float[np.ndarray, "row class_"],
    other: Float[np.ndarray, "row class_"],
    labels: Int[np.ndarray, " row"],
    patients: Int[np.ndarray, " row"],
) -> list[dict[str, float]] | None:
    try:
        return [interval.to_json() for interval in pair_out_of_part(one, other, labels, patients)]
    except InputError:  # nobody of some class was held out
        return None
