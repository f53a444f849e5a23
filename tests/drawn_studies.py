"""Study folders drawn from a known score model: evidence and report are tested without fitting anything.

An image of true class y has logits `delta·[class == y] + noise`, noise of variance 1 a class, so that with two
classes and one image a patient the AUROC of a rung is exactly Φ(delta). The noise has a part that belongs to the
patient and is shared by all rungs, one that belongs to the image, and one that belongs to the trial.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax
from scipy.stats import norm

from medladder.record.cohort import CohortRecord
from medladder.record.folder import FleetPredictions, StudyFolder
from medladder.record.plan import FleetKey, Plan, PlannedRung
from medladder.record.trials import Trial

FAMILIES = {
    "prior": "floor",
    "logistic": "conventional",
    "svm": "conventional",
    "forest": "conventional",
    "boosting": "conventional",
    "nn": "deep",
    "dnn": "deep",
    "cnn": "deep",
}
# AUROC at n patients is ceiling - slope / sqrt(n): the higher the rung, the later and the higher it ends.
CURVES = {
    "logistic": (0.88, 0.6),
    "svm": (0.93, 0.8),
    "forest": (0.92, 0.9),
    "boosting": (0.92, 1.0),
    "nn": (0.91, 1.0),
    "dnn": (0.95, 1.5),
    "cnn": (0.97, 2.0),
}


def expected_auroc(rung: str, n_train: int) -> float:
    """The truth of a rung by its default curve, at least .5."""
    ceiling, slope = CURVES[rung]
    return max(0.5, ceiling - slope / np.sqrt(n_train))


def draw_study(
    path: Path,
    *,
    classes: Sequence[str] = ("normal", "pneumonia"),
    rungs: Sequence[str] = ("prior", "logistic", "svm", "nn", "dnn"),
    sizes: Sequence[int] = (31, 86, 240, 670),
    repeats: int = 10,
    n_test_patients: int = 200,
    images_per_patient: int = 1,
    folds: int = 1,
    seed: int = 0,
    shares: Sequence[float] | None = None,
    auroc: Mapping[str, float | Callable[[int], float]] | None = None,
    training_sd: float = 0.02,
    pool: int | None = None,
    margin: float = 0.02,
    patients_known: bool = True,
    failed: Collection[tuple[str, int, int]] = (),
    failure: str = "The loss became NaN.",
    extensions: Sequence[dict[str, Any]] = (),
    findings: Sequence[dict[str, Any]] = (),
    excluded: Sequence[dict[str, Any]] = (),
    accept: Sequence[str] = (),
) -> StudyFolder:
    """Write a whole study.

    `shares` are the classes' shares of the test patients (default equal). `auroc` gives a rung its truth, as a
    number or a function of n. `training_sd` is the standard deviation of a trial's delta at the smallest size; it
    shrinks as 1/sqrt(n) and repeats share it as far as their subsets overlap. `pool` counts the training patients
    of a fold (default the largest size, or the other folds' patients). `failed` names trials as (rung, n_train,
    repeat), in every fold.
    """
    folder = StudyFolder(path)
    cohort = _draw_cohort(
        classes,
        shares,
        n_test_patients,
        images_per_patient,
        folds,
        max(sizes) if folds == 1 else 0,
        patients_known,
    )
    cohort = CohortRecord(**{**cohort.__dict__, "findings": tuple(findings), "excluded": tuple(excluded)})
    plan = _plan(rungs, sizes, repeats, folds, seed, margin, accept, extensions, len(classes))
    folder.write_json("plan.json", plan.to_json())
    folder.write_json("cohort.json", cohort.to_json())
    n_pool = pool or (max(sizes) if folds == 1 else n_test_patients * (folds - 1) // folds)
    overlaps = {n: _overlaps(n, max(n_pool, n), repeats) for n in sizes}
    for key in plan.fleets():
        truth = (auroc or {}).get(key.rung)
        expected = truth(key.n_train) if callable(truth) else truth
        if expected is None and key.rung != "prior":
            expected = expected_auroc(key.rung, key.n_train)
        lost = {repeat for repeat in key.repeats if (key.rung, key.n_train, repeat) in failed}
        done = [repeat for repeat in key.repeats if repeat not in lost]
        spread = training_sd * np.sqrt(min(sizes) / key.n_train)
        predictions = _predict(cohort, key, done, expected, spread, overlaps[key.n_train], seed, list(rungs))
        trials = [
            _trial(key, repeat, overlaps[key.n_train], len(classes), failure if repeat in lost else None)
            for repeat in key.repeats
        ]
        folder.write_fleet(key, predictions if done else None, trials)
    return folder


def _draw_cohort(
    classes: Sequence[str],
    shares: Sequence[float] | None,
    n_test: int,
    images_per_patient: int,
    folds: int,
    n_pool: int,
    patients_known: bool,
) -> CohortRecord:
    shares = shares or [1 / len(classes)] * len(classes)
    counts = np.round(np.asarray(shares) * n_test).astype(int)
    counts[0] += n_test - counts.sum()
    test_labels = np.repeat(np.arange(len(classes)), counts)
    # Each class is dealt over the folds in turn, as a stratified split would.
    test_fold = np.concatenate([np.arange(count) % folds for count in counts])
    pool_labels = np.arange(n_pool) % len(classes)
    labels = np.repeat(np.concatenate([pool_labels, test_labels]), images_per_patient)
    fold = np.repeat(np.concatenate([np.full(n_pool, -1), test_fold]), images_per_patient)
    patients = np.repeat(np.arange(n_pool + n_test), images_per_patient)
    if not patients_known:
        patients = np.arange(len(labels))
    side = {"low": 28, "median": 28, "high": 28}
    return CohortRecord(
        name="drawn",
        fingerprint="0" * 64,
        classes=tuple(classes),
        patients_known=patients_known,
        image={"shape": [28, 28], "bit_depth": 8, "source_heights": side, "source_widths": side},
        labels=labels,
        patients=patients,
        groups=patients,
        test_fold=fold,
    )


def _plan(
    rungs: Sequence[str],
    sizes: Sequence[int],
    repeats: int,
    folds: int,
    seed: int,
    margin: float,
    accept: Sequence[str],
    extensions: Sequence[dict[str, Any]],
    n_classes: int,
) -> Plan:
    outputs = 1 if n_classes == 2 else n_classes
    layers = {"logistic": [784, outputs], "nn": [784, 64, outputs], "dnn": [784, 256, 128, 64, outputs]}
    half = max(1, repeats // 2)
    return Plan(
        cohort={"name": "drawn", "fingerprint": "0" * 64},
        rungs=tuple(
            PlannedRung(rung, rung.split(":")[0], FAMILIES[rung.split(":")[0]], {}, layers.get(rung)) for rung in rungs
        ),
        sizes=tuple(sorted(sizes)),
        repeats=repeats,
        repeat_blocks=((0, half), (half, repeats)) if repeats > half else ((0, repeats),),
        round=repeats,
        folds=("test",) if folds == 1 else tuple(f"fold {number + 1} of {folds}" for number in range(folds)),
        split="own test part" if folds == 1 else "patient-wise stratified folds",
        leave_out=None,
        tested_on=None,
        keep_val=False,
        seed=seed,
        image={
            "shape": [28, 28],
            "preparation": {"size": [28, 28], "resampling": "bilinear, antialiased", "protocol": 1},
        },
        margin=margin,
        accept=tuple(accept),
        versions={"medladder": "0.1.0", "python": "3.11.7", "numpy": np.__version__},
        extensions=tuple(extensions),
    )


def _overlaps(n_train: int, pool: int, repeats: int) -> list[float]:
    """Mean share of a repeat's patients that another repeat has too, by the cyclic rule of docs/architecture.md."""
    subsets = [set((repeat * pool // repeats + np.arange(n_train)) % pool) for repeat in range(repeats)]
    return [
        float(np.mean([len(own & other) / n_train for j, other in enumerate(subsets) if j != i]))
        if repeats > 1
        else 0.0
        for i, own in enumerate(subsets)
    ]


def _predict(
    cohort: CohortRecord,
    key: FleetKey,
    done: list[int],
    expected: float | None,
    spread: float,
    overlaps: list[float],
    seed: int,
    rungs: list[str],
) -> FleetPredictions:
    rows = np.flatnonzero(cohort.test_fold == key.fold)
    n_classes = len(cohort.classes)
    if expected is None:
        frequencies = np.bincount(cohort.labels, minlength=n_classes) / len(cohort.labels)
        return FleetPredictions(np.tile(frequencies, (len(done), len(rows), 1)), rows, np.array(done, dtype=int))
    delta = norm.ppf(expected)
    truth = np.eye(n_classes)[cohort.labels[rows]]

    def patient_noise(*purpose: int) -> np.ndarray:
        rng = np.random.default_rng([seed, *purpose])
        return rng.standard_normal((cohort.patients.max() + 1, n_classes))[cohort.patients[rows]]

    place = rungs.index(key.rung)
    of_patient = np.sqrt(0.7) * patient_noise(1) + np.sqrt(0.3) * patient_noise(2, place)
    of_image = np.random.default_rng([seed, 3, key.fold]).standard_normal(truth.shape)
    several = len(np.unique(cohort.patients)) < len(cohort.patients)
    fixed = np.sqrt(0.7) * of_patient + np.sqrt(0.3) * of_image if several else of_patient
    shared = np.random.default_rng([seed, 4, place, key.n_train, key.fold]).standard_normal()
    probabilities = []
    for repeat in done:
        rng = np.random.default_rng([seed, 5, place, key.n_train, key.fold, repeat])
        luck = np.sqrt(overlaps[repeat]) * shared + np.sqrt(1 - overlaps[repeat]) * rng.standard_normal()
        noise = np.sqrt(0.9) * fixed + np.sqrt(0.1) * rng.standard_normal(truth.shape)
        probabilities.append(softmax((delta + spread * luck) * truth + noise, axis=1))
    return FleetPredictions(
        np.array(probabilities).reshape(len(done), len(rows), n_classes), rows, np.array(done, dtype=int)
    )


def _trial(key: FleetKey, repeat: int, overlaps: list[float], n_classes: int, failure: str | None) -> Trial:
    if failure is not None:
        return Trial(key.name, key.rung, key.n_train, key.fold, repeat, "failed", reason=failure)
    sizes = {"prior": n_classes, "logistic": 785, "svm": 20_000, "nn": 50_305, "dnn": 242_177}
    return Trial(
        fleet=key.name,
        rung=key.rung,
        n_train=key.n_train,
        fold=key.fold,
        repeat=repeat,
        status="done",
        n_images=key.n_train,
        overlap=overlaps[repeat],
        decision={"weights": [1 / n_classes] * n_classes, "rule": "out-of-part"},
        n_parameters=sizes.get(key.rung.split(":")[0], 100_000),
        chosen={},
        fit_seconds=round(0.001 * key.n_train * (1 + repeat / 100), 4),
    )
