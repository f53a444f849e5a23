"""One fleet as a task that a worker can do: arrays in, probabilities out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from sklearn.base import BaseEstimator

from . import rungs
from .errors import FitError
from .record.plan import FleetKey
from .rungs.covariates import Covariates, beside, fit_beside
from .rungs.draws import Draw, fit_many
from .rungs.networks import NetworkClassifier
from .weights.freezing import Frozen, freeze

MODELS_BYTES = 2**29
"""Models of a fleet that would need more than this together are not held together."""


@dataclass(frozen=True, eq=False)
class FleetTask:
    """What a worker is sent: no path but that of the prepared array, no patient, no split."""

    key: FleetKey
    spec: rungs.RungSpec
    seen: Path
    labels: Int[np.ndarray, " image"]
    draws: tuple[Draw, ...]
    test_rows: Int[np.ndarray, " row"]
    covariates: Covariates | None = None
    device: str = "cpu"
    looked_into: int = 0
    """Networks of each draw whose layers are measured."""
    kept: int | None = None
    """The draw whose fitted rung comes back itself."""


@dataclass(frozen=True, eq=False)
class FittedTrial:
    """What comes back of one draw: probabilities over all classes, or the reason for their absence."""

    fit_seconds: float
    test_proba: Float[np.ndarray, "row class_"] | None = None
    out_of_part_proba: Float[np.ndarray, "row class_"] | None = None
    n_parameters: int | None = None
    chosen: dict[str, Any] | None = None
    reason: str | None = None
    layers: list[dict[str, Any]] | None = None
    kept: Frozen | None = None


def fit_fleet(task: FleetTask) -> list[FittedTrial]:
    """Fit every draw of a fleet and predict its test images; draws fitted together share their seconds evenly.

    Models too large to be held together are fitted and asked a few at a time.
    """
    images = np.load(task.seen, mmap_mode="r", allow_pickle=False)
    n_classes = int(task.labels.max()) + 1
    rung, covariates = rungs.build(task.spec, task.device), task.covariates
    test_images = images[task.test_rows]
    if covariates is not None:
        test_images = beside(test_images, covariates.values[task.test_rows])
    a_model = rung.model_bytes(images.shape[1:], n_classes) if hasattr(rung, "model_bytes") else 0
    at_once = len(task.draws) if a_model == 0 else max(1, MODELS_BYTES // a_model)
    trials = []
    for start in range(0, len(task.draws), at_once):
        draws = task.draws[start : start + at_once]
        began = time.perf_counter()
        if covariates is None:
            fitted = fit_many(rung, images, task.labels, draws)
        else:
            fitted = fit_beside(rung, images, task.labels, draws, covariates)
        seconds = (time.perf_counter() - began) / len(draws)
        made = [_trial(one, test_images, n_classes, seconds) for one in fitted]
        if task.looked_into:
            made = _look_into(task, images, made, fitted, draws)
        trials += [
            replace(trial, kept=freeze(one)) if start + place == task.kept and trial.reason is None else trial
            for place, (trial, one) in enumerate(zip(made, fitted, strict=True))
        ]
    return trials


def _look_into(
    task: FleetTask,
    images: np.ndarray,
    trials: Sequence[FittedTrial],
    fitted: Sequence[BaseEstimator | FitError],
    draws: Sequence[Draw],
) -> list[FittedTrial]:
    """Measure the layers of each network that was fitted."""
    from .inspection.growth import measure_networks

    n_classes, looked = int(task.labels.max()) + 1, []
    for trial, rung, draw in zip(trials, fitted, draws, strict=True):
        if trial.reason is None and isinstance(rung, NetworkClassifier):
            layers = measure_networks(rung, images, task.labels, draw, n_classes=n_classes, at_most=task.looked_into)
            trial = replace(trial, layers=layers)
        looked.append(trial)
    return looked


def _trial(fitted: BaseEstimator | FitError, test_images: np.ndarray, n_classes: int, seconds: float) -> FittedTrial:
    if isinstance(fitted, FitError):
        return FittedTrial(seconds, reason=str(fitted))
    try:
        test_proba = _over_all_classes(fitted.predict_proba(test_images), fitted.classes_, n_classes)
    except Exception as error:  # whatever a rung raises costs its own trial only
        return FittedTrial(seconds, reason=f"Predicting failed: {type(error).__name__}: {error}")
    if not np.isfinite(test_proba).all():
        return FittedTrial(seconds, reason="The fitted model gives probabilities that are not numbers.")
    return FittedTrial(
        fit_seconds=seconds,
        test_proba=test_proba,
        out_of_part_proba=_over_all_classes(fitted.out_of_part_proba_, fitted.classes_, n_classes),
        n_parameters=int(fitted.n_parameters_),
        chosen=fitted.chosen_,
    )


def _over_all_classes(
    proba: Float[np.ndarray, "row known"], known: Int[np.ndarray, " known"], n_classes: int
) -> Float[np.ndarray, "row class_"]:
    """Give a class that the subset lacked probability 0."""
    whole = np.zeros((len(proba), n_classes))
    whole[:, known] = proba
    return whole
