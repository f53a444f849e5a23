"""From a cohort and a person's wishes to a plan: everything decided before the first rung is fitted."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from importlib import metadata
from importlib.util import find_spec
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from . import __version__, rungs
from .audit import Finding, audit, conflicting_rows, merged_contents, near_copies_of, refuse_unmendable
from .cohort import Cohort
from .cost import expected_seconds
from .errors import CohortError, OptionError, unknown_name
from .progress import QUIET, Progress
from .record.cohort import CohortRecord
from .record.grouping import group_by
from .record.plan import FleetKey, OperatingPoints, Plan, PlannedRung
from .rungs.columns import find_normal_class, read_column
from .rungs.covariates import Covariates, read_use
from .rungs.draws import Draw
from .splits import (
    FEW_PATIENTS,
    Pool,
    TestFolds,
    default_sizes,
    draw_seed,
    folds_by_column,
    groups_of,
    own_test_part,
    parse_sizes,
    parts_for_choosing,
    stratified_folds,
)

SLOW_RUNG = "cnn"
DEFAULT_RUNGS = ("prior", "logistic", "svm", "forest", "boosting", "nn", "dnn")
"""What minutes buy; `SLOW_RUNG` takes as long as all of these three times over, and is offered when they are done."""
REPEATS_A_FLEET = 5
"""Repeats trained together: small enough to fill two cores at the largest size, where most of the time goes."""
LONG_SECONDS = 1200.0
"""Of one core for a fleet: where the longest would take more, fewer repeats make one, down to a single one."""

CONTENT_LETTERS = 8
"""Of a content hash, that are kept: enough to tell a changed image, and to find no one by."""

_LEFT_OUT, _CHOOSING_ONLY, _POOL_ONLY = -3, -2, -1


@dataclass(frozen=True)
class Wishes:
    """What a person may ask of a study; the command line's options of the same names."""

    rungs: Sequence[str] = DEFAULT_RUNGS
    sizes: Sequence[str | int] | None = None
    repeats: int = 10
    seed: int = 0
    leave_out: str | None = None
    keep_val: bool = False
    margin: float = 0.02
    at_specificity: float = 0.9
    at_sensitivity: float = 0.9
    prevalence: float | None = None
    accept: Sequence[str] = ()
    strict: bool = False
    group_near: bool = False
    covariates: Sequence[str] | None = None
    covariate_use: str | None = None
    normal: str | None = None

    @classmethod
    def of(cls, **wishes: Any) -> Wishes:
        """Wishes by name, a lone rung or size for a list of one; raises OptionError for an unknown name."""
        known = [field.name for field in fields(cls)]
        for name in wishes:
            if name not in known:
                raise unknown_name("option", name, known)
        for name in ("rungs", "sizes", "accept", "covariates"):
            if isinstance(wishes.get(name), str | int):
                wishes[name] = (wishes[name],)
        return cls(**wishes)

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("repeats", self.repeats, 1, 1000),
            ("seed", self.seed, 0, 2**32 - 1),
            ("margin", self.margin, 0, 0.5),
        ):
            if not low <= value <= high:
                raise OptionError(
                    found=f"--{name} {value}.", needed=f"A number from {low} to {high}.", do=f"Change --{name}."
                )
        _ = self.operating

    @property
    def operating(self) -> OperatingPoints:
        """Where else than at the chosen threshold two classes are judged; raises OptionError for what is no share."""
        return OperatingPoints(self.at_specificity, self.at_sensitivity, self.prevalence)


@dataclass(frozen=True)
class PlannedStudy:
    """A plan and all that is needed to run it; `pools[k]` is the pool of fold k."""

    cohort: Cohort
    plan: Plan
    record: CohortRecord
    findings: tuple[Finding, ...]
    pools: tuple[Pool, ...]
    specs: tuple[rungs.RungSpec, ...]
    """The plan's rungs, with the files that their settings name on this machine."""
    covariates: Covariates | None = None

    def draws(self, key: FleetKey) -> list[Draw]:
        """What each repeat of a fleet may see."""
        return [self._draw(key.n_train, key.fold, repeat) for repeat in key.repeats]

    def test_rows(self, fold: int) -> Int[np.ndarray, " row"]:
        """The images that one fold tests."""
        return np.flatnonzero(self.record.test_fold == fold)

    def _draw(self, n_train: int, fold: int, repeat: int) -> Draw:
        record, plan = self.record, self.plan
        rows = self.pools[fold].subset(n_train, repeat)
        seed = draw_seed(plan.seed, fold, repeat)
        chosen_on = np.flatnonzero(record.test_fold == _CHOOSING_ONLY)
        if len(chosen_on):
            parts = np.concatenate([np.full(len(rows), -1), np.zeros(len(chosen_on), dtype=np.int64)])
            is_thin = _thinnest(record.labels[chosen_on], record.patients[chosen_on]) < FEW_PATIENTS
            return Draw(np.concatenate([rows, chosen_on]), parts, seed, is_thin)
        parts, is_thin = parts_for_choosing(
            record.labels[rows],
            record.patients[rows],
            record.groups[rows],
            seed=plan.seed,
            fold=fold,
            repeat=repeat,
        )
        return Draw(rows, parts, seed, is_thin)


def plan_study(cohort: Cohort, wishes: Wishes, *, progress: Progress = QUIET) -> PlannedStudy:
    """Audit, split and plan; nothing is fitted, and nothing written but near copies to the cohort's cache.

    Raises
    ------
    CohortError
        The audit found what a study cannot mend, or a part lacks a class.
    OptionError
        A wish that is unknown, out of range or without effect here.
    """
    near = near_copies_of(cohort, progress=progress)
    findings = tuple(audit(cohort, near, is_grouped=wishes.group_near))
    refuse_unmendable(list(findings), tuple(wishes.accept))
    if wishes.strict and (bad := [f for f in findings if f.kind == "unreadable"]):
        raise CohortError(
            found=bad[0].message, needed="With --strict every file readable.", do="Mend them, or drop --strict."
        )
    wishes.operating.check_classes(len(cohort.classes))
    specs = _parse_rungs(wishes.rungs)
    for spec in specs:
        rungs.check_images(spec, cohort.images.shape[1:])
    contents = merged_contents(cohort.contents, near) if wishes.group_near else cohort.contents
    groups = groups_of(cohort.patients, contents)
    folds = _test_folds(cohort, groups, wishes)
    _check_parts(cohort, folds)
    record = _record(cohort, groups, folds, findings)
    pools = tuple(
        Pool(
            rows=np.flatnonzero((folds.of_image != fold) & (folds.of_image >= _POOL_ONLY)),
            patients=cohort.patients,
            labels=cohort.labels,
            seed=wishes.seed,
            fold=fold,
            repeats_a_round=wishes.repeats,
        )
        for fold in range(len(folds.names))
    )
    trained_on = np.unique(np.concatenate([pool.rows for pool in pools]))
    covariates, noted = _plan_covariates(cohort, wishes, specs, trained_on)
    smallest = min(pools, key=lambda pool: pool.n_patients)
    share = _thinnest(cohort.labels[smallest.rows], cohort.patients[smallest.rows]) / smallest.n_patients
    n_classes = len(cohort.classes)
    plan = Plan(
        cohort={"name": cohort.name, "fingerprint": cohort.fingerprint},
        rungs=tuple(planned_rung(spec, cohort.images.shape[1:], n_classes, covariates) for spec in specs),
        sizes=default_sizes(smallest.n_patients, share)
        if wishes.sizes is None
        else parse_sizes(wishes.sizes, smallest.n_patients),
        repeats=wishes.repeats,
        repeat_blocks=((0, wishes.repeats),),
        round=wishes.repeats,
        folds=folds.names,
        split=folds.how,
        leave_out=wishes.leave_out,
        tested_on=cohort.tested_on,
        keep_val=wishes.keep_val,
        seed=wishes.seed,
        image={"shape": list(cohort.images.shape[1:]), "preparation": cohort.preparation.to_json()},
        margin=wishes.margin,
        accept=tuple(wishes.accept),
        versions=versions_of(has_backbone=any(spec.family == "transfer" for spec in specs)),
        covariates=noted,
        operating=wishes.operating,
        group_near=wishes.group_near,
    )
    plan = replace(plan, repeat_blocks=blocks(0, wishes.repeats, repeats_a_fleet(plan)))
    return PlannedStudy(cohort, plan, record, findings, pools, tuple(specs), covariates)


def with_slow_rung(plan: Plan, n_classes: int) -> Plan:
    """The plan with the slow rung in place of its own: what adding it would ask for."""
    spec = rungs.parse_rung(SLOW_RUNG)
    return replace(plan, rungs=(planned_rung(spec, tuple(plan.image["shape"]), n_classes, None),))


def repeats_a_fleet(plan: Plan) -> int:
    """Repeats that make a fleet: work that is worth sending, and that one can bear to lose.

    What is fitted does not depend on it; how long the last worker is alone does.
    """
    longest = max(expected_seconds(plan, key) / len(key.repeats) for key in plan.fleets())
    return max(1, min(REPEATS_A_FLEET, int(LONG_SECONDS / max(longest, 1e-9))))


def blocks(first: int, last: int, length: int) -> tuple[tuple[int, int], ...]:
    """Cut repeats into the blocks that are trained together.

    Example
    -------
    >>> blocks(0, 12, 5)
    ((0, 5), (5, 10), (10, 12))
    """
    return tuple((at, min(at + length, last)) for at in range(first, last, length))


def _parse_rungs(texts: Sequence[str]) -> list[rungs.RungSpec]:
    specs = [rungs.parse_rung(text) for text in texts]
    names = [spec.rung for spec in specs]
    twice = {name for name in names if names.count(name) > 1}
    if twice or not names:
        raise OptionError(
            found=f"Rung '{twice.pop()}' is named twice." if twice else "No rung is named.",
            needed="Each rung once, and at least one.",
            do=f"For example --rungs {','.join(DEFAULT_RUNGS)}.",
        )
    return specs


def _plan_covariates(
    cohort: Cohort, wishes: Wishes, specs: Sequence[rungs.RungSpec], trained_on: Int[np.ndarray, " row"]
) -> tuple[Covariates | None, dict[str, Any] | None]:
    """The covariates as numbers, which stay in memory, and how they were read, for the plan."""
    _check_covariate_wishes(wishes, specs)
    if not wishes.covariates:
        return None, None
    texts = [cohort.column(name) for name in wishes.covariates]
    readings = [
        read_column(name, column, cohort.labels, cohort.classes, trained_on)
        for name, column in zip(wishes.covariates, texts, strict=True)
    ]
    use = read_use(wishes.covariate_use)
    normal_class = find_normal_class(cohort.classes, wishes.normal) if use == "residual" else None
    values = np.hstack([reading.code(column) for reading, column in zip(readings, texts, strict=True)])
    noted = {
        "columns": [reading.to_json() for reading in readings],
        "use": use,
        "normal_class": None if normal_class is None else cohort.classes[normal_class],
    }
    return Covariates(values, use, normal_class), noted


def _check_covariate_wishes(wishes: Wishes, specs: Sequence[rungs.RungSpec]) -> None:
    """Refuse what would have no effect."""
    if wishes.covariates is not None and not wishes.covariates:
        raise OptionError(found="--covariates names no column.", needed="One or more.", do="Name some, or drop it.")
    names = list(wishes.covariates or ())
    idle = {"--covariate-use": wishes.covariate_use, "--normal": wishes.normal}
    for option, given in idle.items():
        if given is not None and not names:
            raise OptionError(
                found=f"{option} {given} without --covariates.",
                needed="Columns that it is for.",
                do=f"Add --covariates, or drop {option}.",
            )
    if wishes.normal is not None and read_use(wishes.covariate_use) != "residual":
        raise OptionError(
            found=f"--normal {wishes.normal}, but covariates as features.",
            needed="A normal class is for residuals only.",
            do="Add --covariate-use residual, or drop --normal.",
        )
    if twice := {name for name in names if names.count(name) > 1}:
        raise OptionError(found=f"--covariates names {twice.pop()} twice.", needed="Each once.", do="Drop one.")
    if wishes.leave_out in names:
        raise OptionError(
            found=f"Column '{wishes.leave_out}' is both a covariate and left out in turn.",
            needed="A covariate whose values in the test part occur in training.",
            do=f"Drop {wishes.leave_out} from --covariates, or drop --leave-out.",
        )
    if names and not any(_takes_covariates(spec) for spec in specs):
        raise OptionError(
            found=f"--covariates, but none of the rungs takes them ({', '.join(spec.rung for spec in specs)}).",
            needed="A conventional rung, as logistic or svm.",
            do="Add one, or drop --covariates.",
        )


def _takes_covariates(spec: rungs.RungSpec) -> bool:
    return spec.family == "conventional"


def planned_rung(
    spec: rungs.RungSpec, image_shape: tuple[int, ...], n_classes: int, covariates: Covariates | None = None
) -> PlannedRung:
    """A rung as a plan holds it, with what follows from its settings and the images."""
    return PlannedRung(
        rung=spec.rung,
        kind=spec.kind,
        family=spec.family,
        settings=dict(spec.settings),
        layers=rungs.layers(spec, image_shape, n_classes),
        members=rungs.members(spec),
        convolution=rungs.convolution_settings(spec),
        has_covariates=covariates is not None and _takes_covariates(spec),
    )


def _test_folds(cohort: Cohort, groups: Int[np.ndarray, " image"], wishes: Wishes) -> TestFolds:
    has_test = bool((cohort.parts == "test").any())
    if wishes.keep_val and not (cohort.parts == "val").any():
        raise OptionError(
            found="--keep-val, but the cohort has no val part.", needed="A val part.", do="Drop --keep-val."
        )
    if wishes.keep_val and not has_test:
        raise OptionError(
            found="--keep-val, but the cohort has no test part of its own.",
            needed="Both parts, as published, to leave val out of training.",
            do="Drop --keep-val, or add --test.",
        )
    if has_test and wishes.leave_out:
        raise OptionError(
            found=f"--leave-out {wishes.leave_out}, but the cohort has a test part of its own.",
            needed="One way of testing.",
            do="Drop --leave-out, or give a manifest without the split column.",
        )
    if has_test:
        folds = own_test_part(cohort.parts, keep_val=wishes.keep_val)
    elif wishes.leave_out:
        folds = folds_by_column(cohort.column(wishes.leave_out), groups, wishes.leave_out)
    else:
        folds = stratified_folds(cohort.labels, groups, cohort.classes, seed=wishes.seed)
    of_image = np.where(_rows_left_out(cohort, groups, folds), _LEFT_OUT, folds.of_image)
    return TestFolds(folds.names, of_image, folds.how)


def _rows_left_out(cohort: Cohort, groups: Int[np.ndarray, " image"], folds: TestFolds) -> Bool[np.ndarray, " image"]:
    """Copies with conflicting labels, and pool images of a group that is also tested or is for choosing only.

    In folds that medladder made no group is on both sides, so only a split that came with the cohort loses images here.
    """
    left_out = conflicting_rows(cohort)
    if (folds.of_image < 0).any():
        held_apart = np.unique(groups[(folds.of_image >= 0) & ~left_out])
        left_out |= (folds.of_image < 0) & np.isin(groups, held_apart)
        chosen_on = np.unique(groups[(folds.of_image == _CHOOSING_ONLY) & ~left_out])
        left_out |= (folds.of_image == _POOL_ONLY) & np.isin(groups, chosen_on)
    return left_out


def _check_parts(cohort: Cohort, folds: TestFolds) -> None:
    """Every class must be learnable and, in some fold, testable."""
    for class_, name in enumerate(cohort.classes):
        here = cohort.labels == class_
        n_tested = int((here & (folds.of_image >= 0)).sum())
        n_pool = min(
            len(np.unique(cohort.patients[here & (folds.of_image != fold) & (folds.of_image >= _POOL_ONLY)]))
            for fold in range(len(folds.names))
        )
        if n_pool < 2 or n_tested < 1:
            where = "to train on" if n_pool < 2 else "in the test part"
            raise CohortError(
                found=f"Class '{name}' has {n_pool if n_pool < 2 else n_tested} patients {where} ({folds.how}).",
                needed="At least 2 to train on and 1 to test.",
                do="Add patients, merge the class into another, leave it out, or split otherwise.",
            )


def _record(
    cohort: Cohort, groups: Int[np.ndarray, " image"], folds: TestFolds, findings: Sequence[Finding]
) -> CohortRecord:
    excluded = [{"kind": f.kind, "count": f.count, "message": f.message} for f in findings if f.is_left_out]
    n_apart = int(((folds.of_image == _LEFT_OUT) & ~conflicting_rows(cohort)).sum())
    if n_apart:
        message = f"{n_apart} training images whose copy or patient is tested, or kept for choosing."
        excluded.append({"kind": "held-apart", "count": n_apart, "message": message})
    groupings = {name: group_by(texts, cohort.patients) for name, texts in cohort.columns.items()}
    return CohortRecord(
        name=cohort.name,
        fingerprint=cohort.fingerprint,
        classes=cohort.classes,
        patients_known=cohort.patients_known,
        image={
            "shape": list(cohort.images.shape[1:]),
            "bit_depth": cohort.bit_depth,
            "source_heights": _spread(cohort.heights),
            "source_widths": _spread(cohort.widths),
        },
        labels=cohort.labels,
        patients=cohort.patients,
        groups=groups,
        test_fold=folds.of_image,
        excluded=tuple(excluded),
        findings=tuple(finding.without_files() for finding in findings),
        contents=tuple(content[:CONTENT_LETTERS] for content in cohort.contents.tolist()),
        columns={name: found for name, found in groupings.items() if found is not None},
    )


def _spread(lengths: Int[np.ndarray, " image"]) -> dict[str, int]:
    return {"low": int(lengths.min()), "median": int(np.median(lengths)), "high": int(lengths.max())}


def _thinnest(labels: Int[np.ndarray, " row"], patients: Int[np.ndarray, " row"]) -> int:
    return min(len(np.unique(patients[labels == class_])) for class_ in np.unique(labels))


def versions_of(*, has_backbone: bool) -> dict[str, str]:
    """What a study or a model was made with."""
    names = ["numpy", "scipy", "scikit-learn", "scikit-image", "torch", "pillow"]
    if has_backbone:  # either library may run it, and an ONNX file needs but one of them
        names += [name for name in ("onnxruntime", "transformers") if find_spec(name)]
    return {
        "medladder": __version__,
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in names},
        "system": f"{platform.system()} {platform.machine()}",
    }
