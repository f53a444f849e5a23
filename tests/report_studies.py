"""Studies written by hand for the report: every number is a plain function of rung and size, none is measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import image as raster

from medladder.record.cohort import CohortRecord
from medladder.record.folder import StudyFolder
from medladder.record.plan import Plan, PlannedRung

FAMILIES = {
    "prior": "floor", "logistic": "conventional", "svm": "conventional", "forest": "conventional",
    "boosting": "conventional", "nn": "deep", "dnn": "deep", "cnn": "deep", "pretrained": "transfer",
}  # fmt: skip
HIDDEN: dict[str, list[int]] = {"logistic": [], "nn": [64], "dnn": [256, 128, 64]}
MEMBERS = {"logistic": 1, "nn": 5, "dnn": 5, "cnn": 3}
CONVOLUTION: dict[str, dict[str, Any]] = {
    "cnn": {"width": 64, "depth": None}, "cnn:width=128,depth=5": {"width": 128, "depth": 5},
    "cnn:width=64,depth=7": {"width": 64, "depth": 7},
}  # fmt: skip
LADDER = ("prior", "logistic", "svm", "nn", "dnn")


def metric(estimate: float, half: float) -> dict[str, float]:
    return {
        "estimate": estimate,
        "low": max(0.0, estimate - 1.3 * half),
        "high": min(1.0, estimate + 0.8 * half),
    }


def draw_point(place: int, n_train: int, classes: tuple[str, ...], repeats: int, *, is_floor: bool) -> dict[str, Any]:
    auroc = 0.5 if is_floor else 0.97 - 0.012 * place - (0.6 + 0.4 * place) * n_train**-0.55
    half = 0.0 if is_floor else 0.015 + 0.4 * n_train**-0.55
    two = len(classes) == 2
    scores = {
        name: metric(auroc - drop, half)
        for name, drop in (("auroc", 0), ("balanced_accuracy", 0.07), ("accuracy", 0.06))
    }
    sides = {
        name: metric(auroc - drop, half) if two else None
        for name, drop in (("sensitivity", 0.02), ("specificity", 0.12))
    }
    return {
        "n_train": n_train, "repeats": repeats, "failed": 0, "overlap": 0.0,
        "holds": "test patients and training draw" if repeats > 1 else "test patients only",
        **scores, **sides, "brier": metric(1 - auroc, half / 2),
        "recall": {name: metric(auroc - 0.01 * i, half) for i, name in enumerate(classes)},
    }  # fmt: skip


def write_study(
    path: Path,
    *,
    rungs: tuple[str, ...] = LADDER,
    classes: tuple[str, ...] = ("normal", "pneumonia"),
    sizes: tuple[int, ...] = (31, 86, 240, 670, 1870, 5232),
    repeats: int = 10,
    shape: tuple[int, ...] = (28, 28),
    hidden: dict[str, list[int]] | None = None,
    is_told: bool = True,
    missing: tuple[tuple[str, int], ...] = (),
    pictures: int = 4,
    grade: str = "shown",
    sentences: tuple[str, ...] | None = None,
    warnings: tuple[str, ...] = (),
    folds: tuple[str, ...] = ("test",),
    patients_known: bool = True,
    n_images: int = 600,
    excluded: tuple[dict[str, Any], ...] = (),
    findings: tuple[dict[str, Any], ...] = (),
    **plan_fields: Any,
) -> StudyFolder:
    """A whole study folder less the journal and predictions, which the report has no use for."""
    path.mkdir(parents=True, exist_ok=True)
    folder = StudyFolder(path)
    layers = HIDDEN | (hidden or {})
    inputs = int(np.prod(shape))
    outputs = 1 if len(classes) == 2 else len(classes)
    planned = tuple(
        PlannedRung(
            rung, rung.split(":")[0], FAMILIES[rung.split(":")[0]], {},
            [inputs, *layers.get(rung, layers.get(rung.split(":")[0], [])), outputs]
            if rung.split(":")[0] in layers else None,
            members=MEMBERS.get(rung.split(":")[0]),
            convolution=CONVOLUTION.get(rung) if is_told else None,
        )
        for rung in rungs
    )  # fmt: skip
    settings: dict[str, Any] = {
        "repeat_blocks": ((0, repeats),), "round": repeats, "split": "own test part", "keep_val": False, "seed": 0,
        "leave_out": None,
        "tested_on": None, "margin": 0.02, "accept": (), "extensions": (),
        "versions": {"medladder": "0.1.0", "python": "3.11.7", "numpy": "2.3.0"},
    }  # fmt: skip
    preparation = {"size": list(shape[:2]), "resampling": "bilinear, antialiased", "protocol": 1}
    plan = Plan(
        cohort={"name": path.name, "fingerprint": "5f1e0c"}, rungs=planned, sizes=sizes, repeats=repeats, folds=folds,
        image={"shape": list(shape), "preparation": preparation}, **(settings | plan_fields),
    )  # fmt: skip
    folder.write_json("plan.json", plan.to_json())
    folder.write_json(
        "cohort.json", _draw_cohort(path.name, classes, shape, folds, patients_known, n_images, excluded, findings)
    )
    folder.write_json(
        "evidence.json",
        _draw_evidence(planned, classes, sizes, repeats, set(missing), grade, sentences, warnings, len(folds)),
    )
    for label in range(len(classes)):
        for i in range(pictures):
            _draw_picture(folder.pictures / f"example-{label}-{i}.png", shape, seed=label * 10 + i)
    return folder


def _draw_cohort(
    name: str,
    classes: tuple[str, ...],
    shape: tuple[int, ...],
    folds: tuple[str, ...],
    patients_known: bool,
    n_images: int,
    excluded: tuple[dict[str, Any], ...],
    findings: tuple[dict[str, Any], ...],
) -> dict[str, Any]:
    """Two images a patient, classes in turn by patient; every fourth patient is tested, or all, fold by fold."""
    patients = np.arange(n_images) // 2
    test_fold = np.where(patients % 4 == 3, 0, -1) if len(folds) == 1 else patients % len(folds)
    sides = {"low": shape[0], "median": shape[0], "high": shape[0]}
    return CohortRecord(
        name, "5f1e0c", classes, patients_known,
        {"shape": list(shape), "bit_depth": 8, "source_heights": sides, "source_widths": sides},
        patients % len(classes), patients, patients, test_fold, excluded, findings,
    ).to_json()  # fmt: skip


def _draw_evidence(
    planned: tuple[PlannedRung, ...],
    classes: tuple[str, ...],
    sizes: tuple[int, ...],
    repeats: int,
    missing: set[tuple[str, int]],
    grade: str,
    sentences: tuple[str, ...] | None,
    warnings: tuple[str, ...],
    n_folds: int,
) -> dict[str, Any]:
    names = [rung.rung for rung in planned]
    best = names[-1]
    said = sentences or (
        f"Use {best}: with {sizes[-1]:,} training patients it tells {classes[-1]} from {classes[0]} best.",
        "Its expected AUROC is 0.91; no simpler rung comes within the margin of 0.02.",
        "The curve still rises at its end, so more patients would probably help.",
    )
    n_test = 75 if n_folds == 1 else 300
    return {
        "protocol": 1, "target": "expected", "confidence": 0.95, "unit": "patient",
        "n_test": {"patients": n_test, "per_class": [n_test // len(classes)] * len(classes), "folds": n_folds},
        "classes": list(classes), "positive": classes[1] if len(classes) == 2 else None,
        "rungs": [
            {
                "rung": rung.rung, "family": rung.family, "curve": None, "forecast": None, "portrait": None,
                "points": [
                    draw_point(len(names) - place, size, classes, repeats, is_floor=rung.family == "floor")
                    for size in sizes
                    if (rung.rung, size) not in missing
                ],
            }
            for place, rung in enumerate(planned)
        ],
        "comparisons": [
            {
                "metric": "auroc", "n_train": sizes[-1], "rung": best, "against": name, "simultaneous": True,
                "difference": {"estimate": 0.006 * i - 0.004, "low": 0.006 * i - 0.021, "high": 0.006 * i + 0.013},
            }
            for i, name in enumerate(reversed(names[:-1]))
        ],
        "margin": 0.02,
        "verdict": {
            "recommended": best, "grade": grade, "crossover": None, "needed": None,
            "sentences": [{"text": text, "rule": f"rule of sentence {i}"} for i, text in enumerate(said)],
            "warnings": [{"text": text, "rule": f"rule of warning {i}"} for i, text in enumerate(warnings)],
        },
        "cost": {
            name: [
                {"n_train": size, "fit_seconds": 0.001 * size * place, "n_parameters": 1000 * place + size}
                for size in sizes
            ]
            for place, name in enumerate(names)
        },
    }  # fmt: skip


def _draw_picture(path: Path, shape: tuple[int, ...], *, seed: int) -> None:
    """A round field with a bright spot, at working size; grey unless the images have channels."""
    path.parent.mkdir(exist_ok=True)
    rows, columns = shape[:2]
    y, x = np.mgrid[0:rows, 0:columns]
    rng = np.random.default_rng(seed)
    spot_y, spot_x = rng.uniform(0.3, 0.7, 2)
    field = 0.7 * np.exp(-(((y / rows - 0.5) / 0.4) ** 2) - ((x / columns - 0.5) / 0.35) ** 2)
    field += 0.3 * np.exp(-((y / rows - spot_y) ** 2 + (x / columns - spot_x) ** 2) / 0.006)
    tints = np.array([1.0, 0.7, 0.8]) if len(shape) == 3 else np.ones(3)
    raster.imsave(path, np.clip(field, 0, 1)[:, :, None] * tints, format="png")
