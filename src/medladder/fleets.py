"""One fleet as a task that a worker can do: arrays in, probabilities out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from sklearn.base import BaseEstimator

from . import rungs
from .decision import apparent_shares, choose_decision, score_out_of_part
from .engine.data import SharedArray
from .errors import FitError
from .record.plan import FleetKey
from .rungs.covariates import Covariates, beside, fit_beside
from .rungs.draws import Draw, fit_many, may_learn
from .rungs.networks import NetworkClassifier
from .weights.freezing import Frozen, freeze

MODELS_BYTES = 2**29
"""Models of a fleet that would need more than this together are not held together."""


@dataclass(frozen=True, eq=False)
class FleetTask:
    """What a worker is sent: of images nothing but where their array is, of patients their numbers, and no split.

    The rung is fitted on arrays and draws; patients are for the decision, which counts each once.
    """

    key: FleetKey
    spec: rungs.RungSpec
    seen: SharedArray
    labels: Int[np.ndarray, " image"]
    patients: Int[np.ndarray, " image"]
    draws: tuple[Draw, ...]
    test_rows: Int[np.ndarray, " row"]
    covariates: Covariates | None = None
    device: str = "cpu"
    looked_into: int = 0
    """Networks of each draw whose layers are measured."""
    kept: int | None = None
    """The draw whose fitted rung comes back itself."""
    at_once: int | None = None
    """Draws fitted together, where memory is short; the others follow, and nothing of what is fitted changes."""

    def __getstate__(self) -> dict[str, Any]:
        """On the way to a worker, whole numbers take as few bytes as they can."""
        draws = tuple(replace(draw, rows=_narrow(draw.rows), fold=_narrow(draw.fold)) for draw in self.draws)
        narrow = {name: _narrow(getattr(self, name)) for name in _NUMBERS}
        return {**self.__dict__, **narrow, "draws": draws}

    def __setstate__(self, state: dict[str, Any]) -> None:
        draws = tuple(replace(draw, rows=_wide(draw.rows), fold=_wide(draw.fold)) for draw in state["draws"])
        wide = {name: _wide(state[name]) for name in _NUMBERS}
        self.__dict__.update({**state, **wide, "draws": draws})


_NUMBERS = ("labels", "patients", "test_rows")


def _narrow(numbers: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    low, high = int(numbers.min(initial=0)), int(numbers.max(initial=0))
    return numbers.astype(np.promote_types(np.min_scalar_type(low), np.min_scalar_type(high)))


def _wide(numbers: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    return numbers.astype(np.int64)


@dataclass(frozen=True, eq=False)
class FittedTrial:
    """What comes back of one draw: probabilities over all classes, or the reason for their absence."""

    fit_seconds: float
    test_proba: Float[np.ndarray, "row class_"] | None = None
    decision: dict[str, Any] | None = None
    out_of_part: dict[str, Any] | None = None
    n_parameters: int | None = None
    chosen: dict[str, Any] | None = None
    reason: str | None = None
    is_certain: bool = True
    """Whether the reason lies in the subset, so that another try would fail alike."""
    layers: list[dict[str, Any]] | None = None
    kept: Frozen | None = None
    held_out_proba: Float[np.ndarray, "row class_"] | None = None
    """Of what is kept alone."""


def fit_fleet(task: FleetTask) -> list[FittedTrial]:
    """Fit every draw of a fleet and predict its test images; draws fitted together share their seconds evenly.

    Models too large to be held together are fitted and asked a few at a time.
    """
    images = task.seen.mapped()
    n_classes = int(task.labels.max()) + 1
    rung, covariates = rungs.build(task.spec, task.device), task.covariates
    test_images = images[task.test_rows]
    if covariates is not None:
        test_images = beside(test_images, covariates.values[task.test_rows])
    a_model = rung.model_bytes(images.shape[1:], n_classes) if hasattr(rung, "model_bytes") else 0
    at_once = min(task.at_once or len(task.draws), max(1, MODELS_BYTES // a_model) if a_model else len(task.draws))
    trials = []
    for start in range(0, len(task.draws), at_once):
        draws = task.draws[start : start + at_once]
        began = time.perf_counter()
        if covariates is None:
            fitted = fit_many(rung, images, task.labels, draws)
        else:
            fitted = fit_beside(rung, images, task.labels, draws, covariates)
        seconds = (time.perf_counter() - began) / len(draws)
        made = [
            _trial(one, task, draw, test_images, n_classes, seconds) for one, draw in zip(fitted, draws, strict=True)
        ]
        if task.looked_into:
            made = _look_into(task, images, made, fitted, draws)
        trials += [
            _with_itself(trial, one, n_classes) if start + place == task.kept and trial.reason is None else trial
            for place, (trial, one) in enumerate(zip(made, fitted, strict=True))
        ]
    return trials


def _with_itself(trial: FittedTrial, fitted: BaseEstimator, n_classes: int) -> FittedTrial:
    held_out = _over_all_classes(fitted.out_of_part_proba_, fitted.classes_, n_classes)
    return replace(trial, kept=freeze(fitted), held_out_proba=held_out)


def flaw_of(trials: Sequence[FittedTrial]) -> str | None:
    """Why a fleet is worth another try; None where there is nothing wrong, or nothing that a try would mend."""
    return next((trial.reason for trial in trials if trial.reason is not None and not trial.is_certain), None)


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


def _trial(
    fitted: BaseEstimator | FitError,
    task: FleetTask,
    draw: Draw,
    test_images: np.ndarray,
    n_classes: int,
    seconds: float,
) -> FittedTrial:
    if isinstance(fitted, FitError):
        return FittedTrial(seconds, reason=str(fitted), is_certain=fitted.is_certain)
    try:
        test_proba = _over_all_classes(fitted.predict_proba(test_images), fitted.classes_, n_classes)
    except Exception as error:  # whatever a rung raises costs its own trial only
        reason = f"Predicting failed: {type(error).__name__}: {error}"
        return FittedTrial(seconds, reason=reason, is_certain=False)
    if not np.isfinite(test_proba).all():
        reason = "The fitted model gives probabilities that are not numbers."
        return FittedTrial(seconds, reason=reason, is_certain=False)
    held_out = _over_all_classes(fitted.out_of_part_proba_, fitted.classes_, n_classes)
    labels, patients = task.labels[draw.rows], task.patients[draw.rows]
    decision = choose_decision(
        held_out,
        labels,
        patients,
        prevalence=apparent_shares(
            labels[may_learn(draw.fold)], held_out, is_weighted=task.spec.settings.get("class_weight") is not None
        ),
        is_thin=draw.is_thin,
    )
    return FittedTrial(
        fit_seconds=seconds,
        test_proba=test_proba,
        decision=decision.to_json(),
        out_of_part=score_out_of_part(held_out, labels, patients),
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
