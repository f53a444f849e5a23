"""From a cohort, or a finished study, to a model: one rung fitted on every patient."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from sklearn.base import BaseEstimator

from medladder import rungs
from medladder.audit import Finding, audit, conflicting_rows, contents_for_grouping, refuse_unmendable
from medladder.cohort import Cohort, Origin, join_test, read_origin
from medladder.cost import seconds_a_fit
from medladder.decision import Decision, apparent_shares, choose_decision
from medladder.engine.contract import Limits, Lost
from medladder.engine.data import SharedArray
from medladder.engine.local import LocalEngine
from medladder.engine.running import run_tasks
from medladder.errors import CohortError, FitError, MedladderError, OptionError, StudyError, unknown_name
from medladder.evidence.fixed import weigh_model
from medladder.evidence.reading import with_parts
from medladder.evidence.subgroups import subgroup_scores
from medladder.evidence.weighing import Evidence, weigh
from medladder.images.prepare import Preparation
from medladder.images.reading import Reading
from medladder.inspection import NETWORKS
from medladder.planning import planned_rung, versions_of
from medladder.progress import QUIET, Progress
from medladder.record.folder import StudyFolder
from medladder.record.plan import TRAINING, Plan
from medladder.rungs.choosing import Calibration
from medladder.rungs.draws import Draw, evenly, fit_many, may_learn
from medladder.rungs.networks import NetworkClassifier
from medladder.splits import draw_seed, groups_of, parts_for_choosing
from medladder.views import views_of
from medladder.whereabouts import recall

from .calibration import calibrate, calibrated
from .folder import check_out, write_model
from .likeness import Likeness, learn_likeness
from .model import Model
from .record import ModelRecord

if TYPE_CHECKING:
    from medladder.inspection.whole import Inspection

LIKENESS_IMAGES = 4096
"""Images, at most, that say what training images look like."""

LIKENESS_VALUES = 2**27
"""Pixels of all of them together, at most: large volumes are fewer."""


@dataclass(frozen=True, eq=False)
class FitTask:
    """What a worker is sent to fit one rung on all rows of one draw."""

    spec: rungs.RungSpec
    seen: SharedArray
    labels: Int[np.ndarray, " image"]
    patients: Int[np.ndarray, " image"]
    draw: Draw
    classes: tuple[str, ...]
    device: str
    seed: int


@dataclass(frozen=True, eq=False)
class Fitted:
    """A rung with what follows from its out-of-part predictions; rows are those of `draw`."""

    rung: BaseEstimator
    draw: Draw
    out_of_part: Float[np.ndarray, "row class_"]
    """Calibrated; NaN where a row was never held out."""
    calibration: Calibration
    decision: Decision

    @property
    def was_held_out(self) -> Bool[np.ndarray, " row"]:
        """Rows that some member had not seen."""
        return ~np.isnan(self.out_of_part).any(axis=1)


def fit_model(
    source: Cohort | StudyFolder | str | Path,
    out: str | Path,
    *,
    rung: str | None = None,
    cohort: Cohort | None = None,
    seed: int | None = None,
    keep_test: bool = False,
    accept: Sequence[str] = (),
    device: str = "auto",
    jobs: int | None = None,
    cache: Path | None = None,
    progress: Progress = QUIET,
) -> Model:
    """Fit one rung on all patients of a cohort, or the rung that a study recommends on all of the study's.

    `source` is a `Cohort`, or the folder of a study; `rung` names the rung, and for a study is the recommended one
    unless given. A study's images are found where they were read from; `cohort` gives them where they lie elsewhere.
    `keep_test` leaves the cohort's own test part out, so that the model can be evaluated on it.

    Raises
    ------
    CohortError
        The audit found what cannot be mended, or a class has fewer than two patients.
    StudyError
        The folder holds no study, or one of another way of training, or its images are not found or have changed.
    ModelError
        `out` is not empty, or cannot be written.
    OptionError
        An option that is unknown, out of range or without effect here.
    FitError
        The rung could not be fitted.
    """
    check_out(Path(out))
    evidence: dict[str, Any] | None = None
    group_near = False
    if isinstance(source, Cohort):
        if rung is None:
            raise OptionError(
                found="A cohort without --rung.",
                needed="The rung to fit.",
                do="Add --rung svm, or fit the folder of a study: it recommends one.",
            )
        if cohort is not None:
            raise OptionError(found="Two cohorts.", needed="One.", do="Drop --cohort.")
        spec, images = rungs.parse_rung(rung), source
    else:
        folder = source if isinstance(source, StudyFolder) else StudyFolder(source)
        plan = _read_plan(folder, seed, keep_test=keep_test)
        weighed = weigh(folder)
        spec = _rung_of_study(plan, weighed, rung)
        images = images_of(folder, plan, cohort, cache, progress)
        evidence, seed = _evidence_of(plan, weighed, spec.rung, is_recommended=rung is None), plan.seed
        group_near = plan.group_near
        accept = (*plan.accept, *accept)
    return _fit(
        images,
        spec,
        Path(out),
        evidence=evidence,
        seed=seed or 0,
        keep_test=keep_test,
        group_near=group_near,
        accept=tuple(accept),
        device=device,
        jobs=jobs,
        cache=cache,
        progress=progress,
    )


def _read_plan(folder: StudyFolder, seed: int | None, *, keep_test: bool) -> Plan:
    plan = folder.read_plan()
    if seed is not None or keep_test:
        given = "--keep-test" if keep_test else "--seed"
        raise OptionError(
            found=f"{given} with the folder of a study.",
            needed="A study's model is fitted on all patients with the study's seed.",
            do=f"Drop {given}, or fit the cohort itself: medladder fit COHORT --rung R {given}.",
        )
    if plan.training != TRAINING:
        raise StudyError(
            found=f"{folder.path} holds a study whose rungs were trained the way of version {plan.training}.",
            needed=f"The way of this version, {TRAINING}: else the evidence would be of another recipe.",
            do="Run the study again, or fit with the version of medladder that made it.",
        )
    return plan


def _rung_of_study(plan: Plan, evidence: Evidence, given: str | None) -> rungs.RungSpec:
    """The rung to fit, with what its settings name on this machine."""
    name = given or evidence.recommended
    known = [planned.rung for planned in plan.rungs]
    if name.startswith("pretrained") and given is None:
        raise OptionError(
            found=f"The study recommends {name}.",
            needed="The path of that backbone: a study keeps none.",
            do="Add --rung pretrained:backbone=PATH.",
        )
    spec = rungs.parse_rung(name)
    if spec.rung not in known:
        raise unknown_name("rung of this study", spec.rung, known)
    if next(planned for planned in plan.rungs if planned.rung == spec.rung).has_covariates:
        others = [planned.rung for planned in plan.rungs if not planned.has_covariates and planned.family != "floor"]
        raise OptionError(
            found=f"{spec.rung} saw the covariates of this study.",
            needed="A rung that sees the image alone: a model is asked about files, which bring no covariates.",
            do=f"Add --rung {others[0]}." if others else "Run the study without --covariates.",
        )
    return spec


def images_of(folder: StudyFolder, plan: Plan, given: Cohort | None, cache: Path | None, progress: Progress) -> Cohort:
    """The study's own images, at its working size; raises StudyError where they are not found or have changed."""
    origins = recall(plan.cohort["fingerprint"])
    if given is None and not origins:
        raise StudyError(
            found=f"Where the images of {folder.path} lie is not known on this machine.",
            needed="The cohort of the study; its folder holds no path.",
            do="Add --cohort COHORT.",
        )
    cohort = given
    if cohort is None:
        reading = Reading.again(Preparation.of_json(plan.image["preparation"]))
        read = [read_origin(Origin.of_json(one), reading, cache=cache, progress=progress) for one in origins]
        cohort = read[0] if len(read) == 1 else join_test(read[0], read[1], cache=cache)
    if cohort.fingerprint != plan.cohort["fingerprint"]:
        raise StudyError(
            found=f"The images, labels or columns of {cohort.name} are not those of the study.",
            needed="The cohort as it was: the evidence is of that one.",
            do="Give it with --cohort as it was, or run the study again.",
        )
    return cohort


def _evidence_of(plan: Plan, evidence: Evidence, rung: str, *, is_recommended: bool) -> dict[str, Any]:
    """What a study shows of the recipe, for record and card."""
    weighed = evidence.to_json()
    points = next(one["points"] for one in weighed["rungs"] if one["rung"] == rung)
    if not points:
        raise OptionError(
            found=f"{rung} finished no trial in this study.",
            needed="A rung with evidence.",
            do="Choose another with --rung, or fit the cohort itself.",
        )
    selected = weighed.get("selected") or {}
    return {
        "is_recommended": is_recommended,
        "grade": weighed["verdict"]["grade"],
        "recommended": weighed["verdict"]["recommended"],
        "target": weighed["target"],
        "unit": weighed["unit"],
        "n_test": weighed["n_test"],
        "tested_by": plan.split,
        "point": points[-1],
        "selected": selected if selected.get("rung") == rung else None,
        "rungs_compared": [planned.rung for planned in plan.rungs],
        **{kind: with_parts(weighed["verdict"])[kind] for kind in ("sentences", "warnings")},
    }


def _fit(
    cohort: Cohort,
    spec: rungs.RungSpec,
    out: Path,
    *,
    evidence: dict[str, Any] | None,
    seed: int,
    keep_test: bool,
    group_near: bool,
    accept: tuple[str, ...],
    device: str,
    jobs: int | None,
    cache: Path | None,
    progress: Progress,
) -> Model:
    findings = audit(cohort, is_grouped=group_near, progress=progress)
    refuse_unmendable(findings, accept)
    rungs.check_images(spec, cohort.images.shape[1:])
    draw = rows_to_learn_from(cohort, seed, keep_test=keep_test, group_near=group_near)
    trained, looked = _train(cohort, spec, draw, seed, device, jobs, cache, progress)
    fitted = _with_choices(trained, cohort, spec, draw)
    progress.say("Looking at the training images, and writing the model.")
    likeness = likeness_to(cohort, draw, seed)
    training = _training(cohort, fitted.draw, seed, keep_test=keep_test, group_near=group_near)
    record = _record(cohort, spec, fitted, evidence, findings, training)
    backbone = Path(spec.files["backbone"]) if "backbone" in spec.files else None
    return write_model(record, fitted.rung, likeness, cohort.hashes_of(draw.rows), out, backbone, looked)


def likeness_to(cohort: Cohort, draw: Draw, seed: int) -> Likeness:
    """What the images of a draw look like, learned from as many of them as that takes."""
    at_most = min(LIKENESS_IMAGES, max(64, LIKENESS_VALUES // math.prod(cohort.images.shape[1:])))
    some = evenly(np.arange(len(draw.rows)), at_most)
    return learn_likeness(cohort.images[draw.rows[some]], draw.fold[some], seed=seed)


def rows_to_learn_from(cohort: Cohort, seed: int, *, keep_test: bool, group_near: bool = False) -> Draw:
    """All rows that may be learned from, in patient-wise parts; with `group_near` near copies are in one part too."""
    groups = groups_of(cohort.patients, contents_for_grouping(cohort, group_near=group_near))
    left_out = conflicting_rows(cohort)
    if keep_test:
        is_test = cohort.parts == "test"
        if not is_test.any():
            raise OptionError(
                found=f"--keep-test, but '{cohort.name}' has no test part.", needed="One.", do="Drop --keep-test."
            )
        left_out = left_out | np.isin(groups, groups[is_test])  # with its patients and copies wherever they are
    rows = np.flatnonzero(~left_out)
    for class_, name in enumerate(cohort.classes):
        n = len(np.unique(cohort.patients[rows][cohort.labels[rows] == class_]))
        if n < 2:
            raise CohortError(
                found=f"Class '{name}' has {n} patient{'' if n == 1 else 's'} to learn from.",
                needed="2 or more.",
                do="Add patients, merge the class into another, or leave it out.",
            )
    fold, is_thin = parts_for_choosing(
        cohort.labels[rows], cohort.patients[rows], groups[rows], seed=seed, fold=0, repeat=0
    )
    return Draw(rows, fold, draw_seed(seed, 0, 0), is_thin)


def _train(
    cohort: Cohort,
    spec: rungs.RungSpec,
    draw: Draw,
    seed: int,
    device: str,
    jobs: int | None,
    cache: Path | None,
    progress: Progress,
) -> tuple[BaseEstimator, Inspection | None]:
    """Fit in a worker, which may run out of memory without taking this process along, and look into a network there."""
    n_patients = len(np.unique(cohort.patients[draw.rows]))
    planned = planned_rung(spec, cohort.images.shape[1:], len(cohort.classes))
    with LocalEngine(jobs) as engine:
        view = views_of(cohort, [spec], engine, cache=cache, progress=progress)[spec.rung]
        task = FitTask(spec, SharedArray.at(view), cohort.labels, cohort.patients, draw, cohort.classes, device, seed)
        expected = seconds_a_fit(planned, n_patients, cohort.images.shape[1:])
        with progress.follow(f"Fitting {spec.rung}", expected) as advance, _ticking(advance, expected):
            [(_, result)] = list(run_tasks(engine, fit_one, [task], limits_of=lambda _: Limits(engine.n_workers)))
    if isinstance(result, Lost):
        raise MedladderError(f"Fitting {spec.rung}: {result.reason}")
    fitted, looked = result
    if isinstance(fitted, FitError):
        raise fitted
    if isinstance(looked, str):
        progress.say(f"The layers were not looked into: {looked}")
        looked = None
    return fitted, looked


def fit_one(task: FitTask) -> tuple[BaseEstimator | FitError, Inspection | str | None]:
    """Fit the task's rung and, where it is a network, look into it; or say why not. The work of a worker."""
    images = task.seen.mapped()
    [fitted] = fit_many(rungs.build(task.spec, task.device), images, task.labels, [task.draw])
    if isinstance(fitted, FitError) or rungs.members(task.spec) is None:
        return fitted, None
    try:
        return fitted, _look_into(task, fitted, images)
    except Exception as error:  # what was fitted must not be lost over a picture of it
        return fitted, f"{type(error).__name__}: {error}"


def _look_into(task: FitTask, fitted: BaseEstimator, images: Shaped[np.ndarray, "image ..."]) -> Inspection:
    from medladder.inspection.growth import measure_networks
    from medladder.inspection.whole import look_into

    measured = []
    if isinstance(fitted, NetworkClassifier):
        measured = measure_networks(
            fitted, images, task.labels, task.draw, n_classes=len(task.classes), at_most=NETWORKS
        )
    return look_into(
        fitted,
        images,
        task.labels,
        task.patients,
        task.draw,
        name=task.spec.rung,
        classes=task.classes,
        measured=measured,
        seed=task.seed,
    )


@contextmanager
def _ticking(advance: Any, expected: float) -> Iterator[None]:
    """Move the bar by the clock: one fit does not say how far it is."""
    ended = threading.Event()

    def tick() -> None:
        for _ in range(int(expected)):
            if ended.wait(1):
                return
            advance(1)

    ticker = threading.Thread(target=tick, daemon=True)
    ticker.start()
    try:
        yield
    finally:
        ended.set()
        ticker.join()


def _with_choices(rung: BaseEstimator, cohort: Cohort, spec: rungs.RungSpec, draw: Draw) -> Fitted:
    """Calibration, then the decision, both from what members said of patients they had not seen."""
    labels = cohort.labels[draw.rows]
    calibration = calibrate(rung.out_of_part_proba_, labels)
    out_of_part = np.full(rung.out_of_part_proba_.shape, np.nan)
    held = ~np.isnan(rung.out_of_part_proba_).any(axis=1)
    out_of_part[held] = calibrated(calibration, rung.out_of_part_proba_[held])
    is_weighted = spec.settings.get("class_weight") is not None
    decision = choose_decision(
        out_of_part,
        labels,
        cohort.patients[draw.rows],
        prevalence=apparent_shares(labels[may_learn(draw.fold)], out_of_part, is_weighted=is_weighted),
        is_thin=draw.is_thin,
    )
    return Fitted(rung, draw, out_of_part, calibration, decision)


def _record(
    cohort: Cohort,
    spec: rungs.RungSpec,
    fitted: Fitted,
    evidence: Mapping[str, Any] | None,
    findings: Sequence[Finding],
    training: Mapping[str, Any],
) -> ModelRecord:
    held = int(fitted.was_held_out.sum())
    total = sum(fitted.decision.weights)
    rule = "out-of-part" if held else "none"
    return ModelRecord(
        rung={"rung": spec.rung, "kind": spec.kind, "family": spec.family, "settings": dict(spec.settings)},
        classes=cohort.classes,
        image={
            "shape": list(cohort.images.shape[1:]),
            "bit_depth": cohort.bit_depth,
            "preparation": cohort.preparation.to_json(),
        },
        parameters={"n": int(fitted.rung.n_parameters_), "chosen": fitted.rung.chosen_},
        calibration={
            "slope": fitted.calibration.slope,
            "bias": fitted.calibration.bias.tolist(),
            "rule": rule,
            "images": held,
        },
        decision={"weights": [weight / total for weight in fitted.decision.weights], "rule": fitted.decision.rule},
        training=training,
        out_of_part=_own_scores(cohort, fitted) if held else None,
        evidence=evidence,
        subgroups=tuple(_subgroups(cohort, fitted)) if held else (),
        findings=tuple(finding.without_files() for finding in findings),
        rebuilding={},
        self_test=(),
        versions={
            **versions_of(has_backbone=spec.family == "transfer"),
            **{name: metadata.version(name) for name in ("onnxruntime", "safetensors", "skops")},
        },
    )


def _training(cohort: Cohort, draw: Draw, seed: int, *, keep_test: bool, group_near: bool) -> dict[str, Any]:
    labels, patients = cohort.labels[draw.rows], cohort.patients[draw.rows]
    per_class = {
        name: {
            "images": int((labels == class_).sum()),
            "patients": len(np.unique(patients[labels == class_])),
        }
        for class_, name in enumerate(cohort.classes)
    }
    return {
        "cohort": {"name": cohort.name, "fingerprint": cohort.fingerprint},
        "images": len(draw.rows),
        "patients": len(np.unique(patients)),
        "patients_known": cohort.patients_known,
        "per_class": per_class,
        "prevalence": (np.bincount(labels, minlength=len(cohort.classes)) / len(labels)).tolist(),
        "left_out": len(cohort.labels) - len(draw.rows) + len(cohort.unreadable),
        "test_part_kept_apart": keep_test,
        "near_copies_grouped": group_near,
        "heights": _spread(cohort.heights[draw.rows]),
        "widths": _spread(cohort.widths[draw.rows]),
        "seed": seed,
        "parts": int(draw.fold.max()) + 1,
    }


def _spread(lengths: Int[np.ndarray, " image"]) -> list[int]:
    return [int(lengths.min()), int(np.median(lengths)), int(lengths.max())]


def _own_scores(cohort: Cohort, fitted: Fitted) -> dict[str, Any]:
    held = fitted.was_held_out
    rows = fitted.draw.rows[held]
    return weigh_model(
        fitted.out_of_part[held],
        cohort.labels[rows],
        cohort.patients[rows],
        patients_known=cohort.patients_known,
        classes=cohort.classes,
        weights=fitted.decision.weights,
    ).to_json()


def _subgroups(cohort: Cohort, fitted: Fitted) -> list[dict[str, Any]]:
    rows = fitted.draw.rows
    return subgroup_scores(
        fitted.out_of_part,
        cohort.labels[rows],
        cohort.patients[rows],
        {name: column[rows] for name, column in cohort.columns.items()},
        patients_known=cohort.patients_known,
        classes=cohort.classes,
        weights=fitted.decision.weights,
    )
