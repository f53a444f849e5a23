"""From the folder of a study to its evidence: every number with its interval, every pair compared, one verdict."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from ..errors import OptionError, StudyError
from ..record.cohort import CohortRecord
from ..record.folder import StudyFolder
from ..record.plan import PROTOCOL, Plan
from ..record.trials import Trial
from .comparisons import Comparison, compare_all, paired_change
from .errors import WorstError, find_worst
from .families import NETWORK, Prior
from .intervals import Interval, quantile
from .measures import Measures
from .metrics import Measure
from .outlook import Outlook, find_crossings, look_out, span_to
from .points import CONFIDENCE, Point, weigh_metrics
from .portrait import Portrait, Served, portray, serve, trained_share
from .prevalence import AtPrevalence, Rate, at_prevalence
from .reading import UNITS
from .scores import Scores, read_scores
from .selection import Selected, correct_pick
from .variance import training_spread
from .verdict import Pick, Standing, Trend, Verdict, pick_rung, rival_of, speak
from .warnings import find_warnings


@dataclass(frozen=True)
class RungEvidence:
    """One rung's points, sizes ascending."""

    rung: str
    family: str
    points: tuple[Point, ...]
    outlook: Outlook | None = None
    portrait: Portrait | None = None

    def to_json(self) -> dict[str, Any]:
        """The rung as evidence.json holds it; with one size it has neither curve nor forecast."""
        return {
            "rung": self.rung,
            "family": self.family,
            "points": [point.to_json() for point in self.points],
            "curve": None if self.outlook is None else self.outlook.curve_json(),
            "forecast": None if self.outlook is None else self.outlook.forecast_json(),
            "portrait": None if self.portrait is None else self.portrait.to_json(),
        }


@dataclass(frozen=True)
class Evidence:
    """What a study shows; see docs/architecture.md, evidence.json.

    `cost` alone holds seconds: all else is the same however often the study was interrupted.
    """

    unit: str
    n_test: Mapping[str, Any]
    classes: tuple[str, ...]
    rungs: tuple[RungEvidence, ...]
    comparisons: tuple[Comparison, ...]
    margin: float
    verdict: Verdict
    selected: Selected
    served: Served
    errors: tuple[WorstError, ...]
    cost: Mapping[str, Sequence[Mapping[str, float]]]

    @property
    def recommended(self) -> str:
        """The rung the verdict picks."""
        return self.verdict.recommended

    def to_json(self) -> dict[str, Any]:
        """All of it, as evidence.json holds it."""
        return {
            "protocol": PROTOCOL,
            "target": "expected",
            "confidence": CONFIDENCE,
            "unit": self.unit,
            "n_test": dict(self.n_test),
            "classes": list(self.classes),
            "positive": self.classes[1] if len(self.classes) == 2 else None,
            "rungs": [rung.to_json() for rung in self.rungs],
            "comparisons": [comparison.to_json() for comparison in self.comparisons],
            "margin": self.margin,
            "verdict": self.verdict.to_json(),
            "selected": self.selected.to_json(),
            "served": self.served.to_json(),
            "errors": [error.to_json() for error in self.errors],
            "cost": {rung: [dict(at) for at in sizes] for rung, sizes in self.cost.items()},
        }

    def __repr__(self) -> str:
        return f"Evidence(recommended={self.recommended!r}, grade={self.verdict.grade!r}, rungs={len(self.rungs)})"

    def _repr_html_(self) -> str:
        said = [*self.verdict.warnings, *self.verdict.sentences]
        sentences = "".join(f"<p>{html.escape(sentence.text)}</p>" for sentence in said)
        rows = "".join(
            f"<tr><td>{html.escape(rung.rung)}</td><td>{rung.points[-1].n_train}</td>"
            f"<td>{rung.points[-1].auroc.estimate:.3f}</td>"
            f"<td>{rung.points[-1].auroc.low:.3f}–{rung.points[-1].auroc.high:.3f}</td></tr>"
            for rung in self.rungs
            if rung.points
        )
        head = "<tr><th>rung</th><th>training patients</th><th>AUROC</th><th>95 % interval</th></tr>"
        return f"{sentences}<table>{head}{rows}</table>"


def weigh(
    run: StudyFolder | str | os.PathLike[str],
    *,
    margin: float | None = None,
    at_specificity: float | None = None,
    at_sensitivity: float | None = None,
    prevalence: float | None = None,
) -> Evidence:
    """Weigh a study and leave evidence.json in its folder.

    `margin` is a difference in AUROC, 0–1, that shall count as none. Sensitivity is given `at_specificity` too, and the
    reverse; `prevalence` asks for predictive values. Each is the plan's where it is None; another than the plan's was
    chosen after looking, and a warning says so.

    Raises
    ------
    StudyError
        The record is missing or damaged, no trial was finished, or no test fold holds every class.
    OptionError
        A margin that is not above 0 and below .5; a specificity, sensitivity or prevalence that is none.
    """
    folder = run if isinstance(run, StudyFolder) else StudyFolder(run)
    scores = read_scores(folder)
    _check(scores)
    as_planned = scores.plan
    asked = {"at_specificity": at_specificity, "at_sensitivity": at_sensitivity, "prevalence": prevalence}
    scores = replace(scores, plan=_as_asked(as_planned, len(scores.cohort.classes), margin, asked))
    shared = {n: shared_training(scores.cohort, len(scores.units), n) for n in scores.plan.sizes}
    rungs, curves = [], {}
    for planned in scores.plan.rungs:
        measured = measure_rung(scores, planned.rung)
        curves[planned.rung] = {n: measures.auroc for n, measures in measured.items()}
        points = _points(scores, planned.rung, measured, shared)
        outlook = None
        if planned.family != "floor":
            prior = NETWORK if planned.family == "deep" else Prior()
            outlook = look_out(curves[planned.rung], margin=scores.plan.margin, confidence=CONFIDENCE, prior=prior)
        rungs.append(RungEvidence(planned.rung, planned.family, points, outlook))
    counts = count_tested(scores)
    decided_at = _size_to_decide_at(scores, curves)
    floors = [planned.rung for planned in scores.plan.rungs if planned.family == "floor"]
    comparisons = compare_all(curves, decided_at, counts, shared, confidence=CONFIDENCE, floors=floors)
    standing = _stand(scores, rungs, comparisons, decided_at)
    verdict = _judge(scores, rungs, curves, standing, shared, as_planned)
    evidence = Evidence(
        unit="patient" if scores.cohort.patients_known else "image",
        n_test={"patients": _n_patients(scores), "per_class": counts, "folds": len(scores.units)},
        classes=scores.cohort.classes,
        rungs=tuple(replace(one, portrait=_portray(scores, one, decided_at)) for one in rungs),
        comparisons=comparisons,
        margin=scores.plan.margin,
        verdict=verdict,
        selected=correct_pick(standing, curves, shared, seed=scores.plan.seed),
        served=serve(scores, verdict.recommended, decided_at, shared),
        errors=find_worst(scores.at(verdict.recommended, decided_at), scores.units),
        cost=_cost(scores),
    )
    folder.write_json("evidence.json", evidence.to_json())
    return evidence


def _portray(scores: Scores, rung: RungEvidence, n_train: int) -> Portrait | None:
    is_here = any(point.n_train == n_train for point in rung.points)
    return portray(scores, rung.rung, n_train) if is_here and rung.family != "floor" else None


def _as_asked(plan: Plan, n_classes: int, margin: float | None, asked: Mapping[str, float | None]) -> Plan:
    """The plan with what was asked for after looking in place of its own."""
    if margin is not None and not 0 < margin < 0.5:
        raise OptionError(
            found=f"A margin of {margin:g}.", needed="Above 0 and below 0.5 AUROC.", do="Give one, such as 0.02."
        )
    operating = replace(plan.operating, **{name: value for name, value in asked.items() if value is not None})
    operating.check_classes(n_classes)
    return replace(plan, margin=plan.margin if margin is None else margin, operating=operating)


def shared_training(cohort: CohortRecord, n_folds: int, n_train: int) -> Float[np.ndarray, "fold fold"]:
    """Expected share of patients that a subset of one fold's pool has in common with one of another's."""
    pools = np.zeros((n_folds, int(cohort.patients.max()) + 1))
    for fold in range(n_folds):
        pools[fold, cohort.patients[(cohort.test_fold != fold) & (cohort.test_fold >= -1)]] = 1
    sizes = np.maximum(pools.sum(axis=1), 1)
    return np.asarray(n_train * (pools @ pools.T) / np.outer(sizes, sizes))


def _check(scores: Scores) -> None:
    n_classes = len(scores.cohort.classes)
    if not any(trial.is_done for trial in scores.trials):
        reason = next((f" The first failed with: {trial.reason}" for trial in scores.trials), "")
        raise StudyError(
            found=f"{scores.folder.path} holds no finished trial.{reason}",
            needed="At least one trial of one rung.",
            do="Mend the cause and give 'medladder study' the same command again.",
        )
    if not any(len(np.unique(units.truth)) == n_classes for units in scores.units):
        raise StudyError(
            found=f"No test part of {scores.folder.path} holds all {n_classes} classes.",
            needed="A test patient of every class: without one there is no ROC curve.",
            do="Choose other test patients, with --test or by leaving the cohort's own test part out.",
        )


def measure_rung(scores: Scores, rung: str) -> dict[int, Measures]:
    """The rung's metrics at every size at which a fold with all classes was finished."""
    measured = {}
    for n in scores.plan.sizes:
        folds = scores.at(rung, n)
        if any(len(np.unique(fold.truth)) == len(scores.cohort.classes) for fold in folds):
            measured[n] = Measures(tuple(folds), scores.plan.operating)
    return measured


def _points(
    scores: Scores, rung: str, measured: Mapping[int, Measures], shared: Mapping[int, Float[np.ndarray, "f f"]]
) -> tuple[Point, ...]:
    if not measured:
        return ()
    is_trained = training_spread({n: measures.auroc for n, measures in measured.items()}) is not None
    found = weigh_metrics(measured, shared)
    points = []
    classes = scores.cohort.classes
    for n, weighed in found.items():
        here = [trial for trial in scores.trials if (trial.rung, trial.n_train) == (rung, n)]
        done = [trial for trial in here if trial.is_done]
        points.append(
            Point(
                n_train=n,
                repeats=len({trial.repeat for trial in done}),
                failed=len(here) - len(done),
                overlap=float(np.mean([trial.overlap or 0.0 for trial in done])),
                holds="test patients and training draw" if is_trained else "test patients only",
                metrics=weighed.metrics,
                recall=_by_class(classes, weighed.recalls),
                per_class_auroc=_by_class(classes, weighed.areas),
                confusion=measured[n].confusion,
                operating=scores.plan.operating,
                at_prevalence=_at_prevalence(scores, weighed.recalls, done),
            )
        )
    return tuple(points)


def _by_class(classes: Sequence[str], intervals: Sequence[Interval | None]) -> dict[str, Interval]:
    return {name: one for name, one in zip(classes, intervals, strict=True) if one is not None}


def _at_prevalence(scores: Scores, recalls: Sequence[Interval | None], done: Sequence[Trial]) -> AtPrevalence | None:
    """What decisions are worth at the asked prevalence: by the mean threshold, which is meant for the training pool."""
    prevalence = scores.plan.operating.prevalence
    if prevalence is None:
        return None
    specificity, sensitivity = (
        Rate.of_interval(recall, confidence=CONFIDENCE) for recall in recalls if recall is not None
    )
    weights = np.array([(trial.decision or {})["weights"] for trial in done])
    threshold = float((weights[:, 1] / weights.sum(axis=1)).mean())
    trained = float(np.mean([trained_share(scores.cohort, trial.fold) for trial in done]))
    return at_prevalence(specificity, sensitivity, prevalence, threshold, trained, confidence=CONFIDENCE)


def count_tested(scores: Scores) -> list[int]:
    """Units tested of each class."""
    truth = np.concatenate([units.truth for units in scores.units])
    return np.bincount(truth, minlength=len(scores.cohort.classes)).tolist()


def _n_patients(scores: Scores) -> int:
    return len(np.unique(np.concatenate([units.patients for units in scores.units])))


def _size_to_decide_at(scores: Scores, curves: Mapping[str, Mapping[int, Measure]]) -> int:
    """The largest size at which every rung has been tried; while a study runs, the one where most have a score."""
    tried = {(trial.rung, trial.n_train) for trial in scores.trials}
    sizes = sorted({n for curve in curves.values() for n in curve}, reverse=True)
    for n in sizes:
        if all((rung, n) in tried for rung in curves):
            return n
    return max(sizes, key=lambda n: (sum(n in curve for curve in curves.values()), n))


def _points_at(rungs: Sequence[RungEvidence], n_train: int) -> dict[str, Point]:
    return {rung.rung: point for rung in rungs for point in rung.points if point.n_train == n_train}


def _stand(scores: Scores, rungs: Sequence[RungEvidence], comparisons: Sequence[Comparison], n_train: int) -> Standing:
    here = _points_at(rungs, n_train)
    return Standing(
        n_train=n_train,
        families={rung.rung: rung.family for rung in rungs if rung.rung in here},
        aurocs={rung: point.auroc for rung, point in here.items()},
        comparisons=comparisons,
        counts=count_tested(scores),
        margin=scores.plan.margin,
        unit=UNITS["patient" if scores.cohort.patients_known else "image"],
    )


def _judge(
    scores: Scores,
    rungs: Sequence[RungEvidence],
    curves: Mapping[str, Mapping[int, Measure]],
    standing: Standing,
    shared: Mapping[int, Float[np.ndarray, "f f"]],
    as_planned: Plan,
) -> Verdict:
    pick = pick_rung(standing)
    outlooks = {rung.rung: rung.outlook for rung in rungs if rung.outlook is not None}
    trend = _trend(standing, pick, curves, outlooks.get(pick.rung), shared)
    here = _points_at(rungs, standing.n_train)
    is_trained = all(point.holds != "test patients only" for point in here.values())
    warnings = find_warnings(scores, standing, pick, is_training_draw_held=is_trained, as_planned=as_planned)
    return Verdict(
        pick.rung,
        pick.grade,
        speak(standing, pick, trend),
        warnings,
        find_crossings(outlooks, pick.rung, margin=standing.margin),
        span_to(outlooks[pick.rung]) if pick.rung in outlooks else None,
    )


def _trend(
    standing: Standing,
    pick: Pick,
    curves: Mapping[str, Mapping[int, Measure]],
    outlook: Outlook | None,
    shared: Mapping[int, Float[np.ndarray, "f f"]],
) -> Trend:
    """What parts the pick from its rival, and what more patients would bring it."""
    rival, n = rival_of(standing, pick), sum(standing.counts)
    apart = None if rival is None else paired_change(curves[rival], curves[pick.rung], standing.n_train, shared)
    if apart is None:
        return Trend(outlook, None, 0.0, 0.0, n)
    tested, trained = (
        quantile(apart[1].dof, CONFIDENCE) * part**0.5 for part in (apart[1].patient, apart[1].training or 0.0)
    )
    return Trend(outlook, rival, tested, trained, n)


def _cost(scores: Scores) -> dict[str, list[dict[str, float]]]:
    """Mean seconds and parameters of one fit, a rung and size; journal order does not reach the sums."""
    cost: dict[str, list[dict[str, float]]] = {}
    for planned in scores.plan.rungs:
        cost[planned.rung] = []
        for n in scores.plan.sizes:
            done = [t for t in scores.trials if (t.rung, t.n_train) == (planned.rung, n) and t.is_done]
            if done:
                seconds = float(np.mean([trial.fit_seconds or 0.0 for trial in done]))
                parameters = round(float(np.mean([trial.n_parameters or 0 for trial in done])))
                cost[planned.rung].append({"n_train": n, "fit_seconds": seconds, "n_parameters": parameters})
    return cost
