"""What outranks every sentence of the verdict: reasons to trust a study less than its numbers look."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import numpy as np

from ..record.plan import Plan
from .intervals import FEW_PATIENTS
from .scores import Scores
from .verdict import Pick, Sentence, Standing

FEW_REPEATS = 5
_SAID_ELSEWHERE = ("no-patient-ids", "thin-class")


def find_warnings(
    scores: Scores, standing: Standing, pick: Pick, *, is_training_draw_held: bool, as_planned: Plan
) -> tuple[Sentence, ...]:
    """All warnings, the gravest first."""
    return (
        *_of_cohort(scores),
        *_of_prior(standing, pick),
        *_of_test_part(scores, standing),
        *_of_trials(scores, standing),
        *_of_looking(scores),
        *_of_wishes(scores.plan, as_planned),
        *_of_repeats(scores.plan.repeats, is_training_draw_held),
    )


def _of_cohort(scores: Scores) -> Iterator[Sentence]:
    for finding in scores.cohort.findings:
        if finding["severity"] == "warning" and finding["kind"] not in _SAID_ELSEWHERE:
            yield Sentence(f"{finding['message']} {finding['action']}", f"found by the audit: {finding['kind']}")
        if finding["severity"] == "stop":
            yield Sentence(
                f"A severe finding was accepted: {finding['message']}", f"severe finding accepted: {finding['kind']}"
            )


def _of_prior(standing: Standing, pick: Pick) -> Iterator[Sentence]:
    floors = [rung for rung in standing.aurocs if standing.families[rung] == "floor"]
    for found in standing.comparisons:
        pair = {found.rung, found.against}
        if pick.rung in pair and pair & set(floors) and pick.rung not in floors:
            sign = 1 if found.rung == pick.rung else -1
            low = found.difference.low if sign == 1 else -found.difference.high
            if low <= 0:
                yield Sentence(
                    f"{pick.rung} is not shown to be better than knowing nothing.", "no better than prior: the pick"
                )
    if pick.rung in floors and len(standing.aurocs) > 1:
        yield Sentence(
            "No rung is shown to be better than knowing nothing on these test patients.", "no better than prior"
        )


def _of_test_part(scores: Scores, standing: Standing) -> Iterator[Sentence]:
    classes = scores.cohort.classes
    unit = "patients" if scores.cohort.patients_known else "images"
    few = [(count, name) for count, name in zip(standing.counts, classes, strict=True) if count < FEW_PATIENTS]
    for count, name in few:
        yield Sentence(
            f"Class '{name}' has only {count} test {unit}: the test part is too small to tell rungs apart.",
            "test set too small: under 10 in a class",
        )
    lacking = sum(len(np.unique(units.truth)) < len(classes) for units in scores.units)
    if lacking:
        yield Sentence(
            f"{lacking} of {len(scores.units)} test folds lack a class and are left out of AUROC.",
            "a test fold lacks a class",
        )
    if not scores.cohort.patients_known:
        yield Sentence(
            "No patient numbers were given, so every image counts as a patient: if patients have several images, every "
            "interval may be too narrow and scores too good.",
            "no patient ids",
        )


def _of_trials(scores: Scores, standing: Standing) -> Iterator[Sentence]:
    for planned in scores.plan.rungs:
        mine = [trial for trial in scores.trials if trial.rung == planned.rung]
        failed = [trial for trial in mine if not trial.is_done]
        if failed:
            text = f"{len(failed)} of {len(mine)} trials of {planned.rung} failed; the first said: {failed[0].reason}"
            yield Sentence(text, "failed trials")
        if planned.rung not in standing.aurocs:
            text = (
                f"{planned.rung} has no score at {standing.n_train:,} training patients and took no part in the choice."
            )
            yield Sentence(text, "left out of the choice")
    plan = scores.plan
    planned_trials = len(plan.rungs) * len(plan.sizes) * len(plan.folds) * plan.repeats
    if len(scores.trials) < planned_trials:
        missing = planned_trials - len(scores.trials)
        yield Sentence(f"{missing:,} of {planned_trials:,} planned trials have not been run yet.", "study not finished")


def _of_looking(scores: Scores) -> Iterator[Sentence]:
    looks = sum(bool(extension.get("after_looking")) for extension in scores.plan.extensions)
    if looks:
        times = "once" if looks == 1 else f"{looks} times"
        yield Sentence(
            f"The study was extended after looking, {times}: its intervals do not allow for that.",
            "extended after looking",
        )


def _of_wishes(plan: Plan, as_planned: Plan) -> Iterator[Sentence]:
    if plan.margin != as_planned.margin:
        yield Sentence(
            f"The margin of {plan.margin:g} AUROC was chosen after looking; the plan said {as_planned.margin:g}.",
            "margin chosen afterwards",
        )
    for name, planned in asdict(as_planned.operating).items():
        value = getattr(plan.operating, name)
        if value != planned:
            said = "none" if planned is None else f"{planned:g}"
            what = name.removeprefix("at_")
            yield Sentence(
                f"The {what} of {value:g} was chosen after looking; the plan said {said}.", f"{what} chosen afterwards"
            )


def _of_repeats(n_repeats: int, is_training_draw_held: bool) -> Iterator[Sentence]:
    if not is_training_draw_held:
        yield Sentence(
            "Intervals hold the chance of the test patients only: too few repeats on separate training patients to "
            "see what another draw would bring.",
            "test patients only",
        )
    elif n_repeats < FEW_REPEATS:
        yield Sentence(
            f"With {n_repeats} repeats the luck of the training draw is hardly known, which makes intervals very wide: "
            "10 repeats narrow them.",
            "few repeats",
        )
