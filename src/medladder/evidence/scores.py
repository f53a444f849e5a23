"""From the record to arrays: every trial's probabilities on the test patients, images of a patient averaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from ..errors import StudyError
from ..record.cohort import CohortRecord
from ..record.folder import FleetPredictions, StudyFolder
from ..record.plan import Plan
from ..record.trials import Trial


@dataclass(frozen=True)
class Units:
    """What is scored in one test fold: a unit is a patient in one class (an image, where patients are not known).

    A patient with images of two classes is two units; their chance is still one patient's, see `patients`.
    """

    rows: Int[np.ndarray, " row"]
    unit_of_row: Int[np.ndarray, " row"]
    truth: Int[np.ndarray, " unit"]
    patients: Int[np.ndarray, " unit"]


@dataclass(frozen=True)
class FoldScores:
    """All finished trials of one rung at one size in one fold, repeats in order.

    `overlap` is the mean share of a repeat's training patients that another repeat has too, 0–1.
    """

    fold: int
    repeats: Int[np.ndarray, " repeat"]
    overlap: float
    probabilities: Float[np.ndarray, "repeat unit class_"]
    decided: Int[np.ndarray, "repeat unit"]
    truth: Int[np.ndarray, " unit"]
    patients: Int[np.ndarray, " unit"]


@dataclass(frozen=True)
class Scores:
    """The whole record of a study, opened for evidence; probabilities are read a rung and size at a time."""

    folder: StudyFolder
    plan: Plan
    cohort: CohortRecord
    units: tuple[Units, ...]
    trials: tuple[Trial, ...]

    def at(self, rung: str, n_train: int, inside: Bool[np.ndarray, " image"] | None = None) -> list[FoldScores]:
        """The folds in which this rung finished a trial at this size, of all test images or those `inside`."""
        here = [trial for trial in self.trials if (trial.rung, trial.n_train) == (rung, n_train) and trial.is_done]
        by_fold: dict[int, list[Trial]] = {}
        for trial in here:
            by_fold.setdefault(trial.fold, []).append(trial)
        found = []
        for fold, trials in sorted(by_fold.items()):
            units = self.units[fold]
            counted = np.ones(len(units.rows), dtype=bool) if inside is None else inside[units.rows]
            if counted.any():
                of_these = units if counted.all() else _units(self.cohort, units.rows[counted])
                found.append(_fold_scores(self.folder, units, of_these, trials, len(self.cohort.classes)))
        return found


def read_scores(folder: StudyFolder) -> Scores:
    """Open a study's record.

    Trials are put in the plan's order: the journal's own order tells which fleet finished first, nothing else.

    Raises
    ------
    StudyError
        The plan, the cohort or the journal is missing or damaged.
    """
    plan, cohort = folder.read_plan(), folder.read_cohort()
    units = tuple(_units(cohort, np.flatnonzero(cohort.test_fold == fold)) for fold in range(len(plan.folds)))
    place = {planned.rung: number for number, planned in enumerate(plan.rungs)}
    known = [trial for trial in folder.read_trials() if trial.rung in place]
    trials = sorted(known, key=lambda trial: (place[trial.rung], trial.n_train, trial.fold, trial.repeat))
    return Scores(folder, plan, cohort, units, tuple(trials))


def _units(cohort: CohortRecord, rows: Int[np.ndarray, " row"]) -> Units:
    return units_of(rows, cohort.labels, cohort.patients if cohort.patients_known else None)


def units_of(
    rows: Int[np.ndarray, " row"], labels: Int[np.ndarray, " image"], patients: Int[np.ndarray, " image"] | None
) -> Units:
    """Units that these rows make: patients in a class, or the images themselves where patients are not known."""
    who = rows if patients is None else patients[rows]
    pairs, unit_of_row = np.unique(np.stack([who, labels[rows]]), axis=1, return_inverse=True)
    return Units(rows, unit_of_row.ravel(), pairs[1], pairs[0])


def mean_by_unit(
    by_row: Float[np.ndarray, "repeat row class_"], unit_of_row: Int[np.ndarray, " row"]
) -> Float[np.ndarray, "repeat unit class_"]:
    """A unit's probability is the mean over its images."""
    counts = np.bincount(unit_of_row)
    # Rows are sorted by unit so that a unit's images lie together and one pass adds them up.
    order = np.argsort(unit_of_row, kind="stable")
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    return np.asarray(np.add.reduceat(by_row[:, order].astype(float), starts, axis=1) / counts[:, None])


def _fold_scores(
    folder: StudyFolder, tested: Units, units: Units, trials: Sequence[Trial], n_classes: int
) -> FoldScores:
    """Scores of `units`, all or some of those that the fold `tested`."""
    fleets: dict[str, FleetPredictions] = {}
    for trial in trials:
        if trial.fleet not in fleets:
            fleets[trial.fleet] = folder.read_predictions(trial.fleet, trial.predictions_sha256)
    by_row = np.stack([_probabilities_of(trial, fleets[trial.fleet], tested, n_classes) for trial in trials])
    by_row = by_row[:, np.isin(tested.rows, units.rows)]
    probabilities = mean_by_unit(by_row, units.unit_of_row)
    weights = np.array([_weights_of(trial, n_classes) for trial in trials])
    return FoldScores(
        fold=trials[0].fold,
        repeats=np.array([trial.repeat for trial in trials]),
        overlap=float(np.mean([trial.overlap or 0.0 for trial in trials])),
        probabilities=probabilities,
        decided=np.argmax(probabilities / weights[:, None, :], axis=2),
        truth=units.truth,
        patients=units.patients,
    )


def _probabilities_of(
    trial: Trial, fleet: FleetPredictions, units: Units, n_classes: int
) -> Float[np.ndarray, "row class_"]:
    order = np.argsort(fleet.rows, kind="stable")
    is_same_cohort = np.array_equal(fleet.rows[order], units.rows) and fleet.probabilities.shape[2] == n_classes
    place = np.flatnonzero(fleet.repeats == trial.repeat)
    if not is_same_cohort or len(place) != 1 or not np.isfinite(fleet.probabilities[place[0]]).all():
        raise StudyError(
            found=f"The predictions of fleet '{trial.fleet}' do not fit its trials and the cohort.",
            needed=f"{len(units.rows)} rows, {n_classes} classes, finite probabilities for each finished repeat.",
            do=f"Delete the lines of fleet '{trial.fleet}' from trials.jsonl and run the study again.",
        )
    return fleet.probabilities[place[0]][order]


def _weights_of(trial: Trial, n_classes: int) -> list[float]:
    weights = (trial.decision or {}).get("weights")
    if weights is None or len(weights) != n_classes:
        raise StudyError(
            found=f"A trial of fleet '{trial.fleet}' says no decision weights for {n_classes} classes.",
            needed="Every finished trial holds 'decision' with a weight a class.",
            do=f"Delete the lines of fleet '{trial.fleet}' from trials.jsonl and run the study again.",
        )
    return [float(weight) for weight in weights]
