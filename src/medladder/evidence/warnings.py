"""What outranks every sentence of the verdict: reasons to trust a study less than its numbers look."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import numpy as np

from ..language import counted, join, message_of, phrase
from ..record.plan import Plan
from .intervals import FEW_PATIENTS
from .scores import Scores
from .verdict import Pick, Sentence, Standing

FEW_REPEATS = 5
_WISHES = {
    "at_specificity": phrase("specificity"),
    "at_sensitivity": phrase("sensitivity"),
    "prevalence": phrase("prevalence"),
}
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
        message, action = message_of(finding, "message"), message_of(finding, "action")
        if finding["severity"] == "warning" and finding["kind"] not in _SAID_ELSEWHERE:
            yield Sentence(join([message, action]), phrase("found by the audit: {kind}", kind=finding["kind"]))
        if finding["severity"] == "stop":
            yield Sentence(
                phrase("A severe finding was accepted: {message}", message=message),
                phrase("severe finding accepted: {kind}", kind=finding["kind"]),
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
                    phrase("{rung} is not shown to be better than knowing nothing.", rung=pick.rung),
                    phrase("no better than prior: the pick"),
                )
    if pick.rung in floors and len(standing.aurocs) > 1:
        yield Sentence(
            phrase("No rung is shown to be better than knowing nothing on these test patients."),
            phrase("no better than prior"),
        )


def _of_test_part(scores: Scores, standing: Standing) -> Iterator[Sentence]:
    classes = scores.cohort.classes
    unit = standing.unit
    few = [(count, name) for count, name in zip(standing.counts, classes, strict=True) if count < FEW_PATIENTS]
    for count, name in few:
        yield Sentence(
            phrase(
                "Class '{name}' has only {count} test {unit}s: the test part is too small to tell rungs apart.",
                name=name,
                count=count,
                unit=unit,
            ),
            phrase("test set too small: under 10 in a class"),
        )
    lacking = sum(len(np.unique(units.truth)) < len(classes) for units in scores.units)
    if lacking:
        yield Sentence(
            phrase(
                "{lacking} of {folds} test folds lack a class and are left out of AUROC.",
                lacking=lacking,
                folds=len(scores.units),
            ),
            phrase("a test fold lacks a class"),
        )
    if not scores.cohort.patients_known:
        yield Sentence(
            phrase(
                "No patient numbers were given, so every image counts as a patient: if patients have several images, "
                "every interval may be too narrow and scores too good."
            ),
            phrase("no patient ids"),
        )


def _of_trials(scores: Scores, standing: Standing) -> Iterator[Sentence]:
    for planned in scores.plan.rungs:
        mine = [trial for trial in scores.trials if trial.rung == planned.rung]
        failed = [trial for trial in mine if not trial.is_done]
        if failed:
            text = phrase(
                "{failed} of {all} trials of {rung} failed; the first said: {reason}",
                failed=len(failed), all=len(mine), rung=planned.rung, reason=failed[0].reason,
            )  # fmt: skip
            yield Sentence(text, phrase("failed trials"))
        if planned.rung not in standing.aurocs:
            text = phrase(
                "{rung} has no score at {n} training {unit}s and took no part in the choice.",
                rung=planned.rung, n=standing.n_train, unit=standing.unit,
            )  # fmt: skip
            yield Sentence(text, phrase("left out of the choice"))
    plan = scores.plan
    planned_trials = len(plan.rungs) * len(plan.sizes) * len(plan.folds) * plan.repeats
    if len(scores.trials) < planned_trials:
        missing = planned_trials - len(scores.trials)
        text = phrase("{missing} of {all} planned trials have not been run yet.", missing=missing, all=planned_trials)
        yield Sentence(text, phrase("study not finished"))


def _of_looking(scores: Scores) -> Iterator[Sentence]:
    looks = sum(bool(extension.get("after_looking")) for extension in scores.plan.extensions)
    if looks:
        text = counted(
            looks,
            "The study was extended after looking, once: its intervals do not allow for that.",
            "The study was extended after looking, {n} times: its intervals do not allow for that.",
        )
        yield Sentence(text, phrase("extended after looking"))


def _of_wishes(plan: Plan, as_planned: Plan) -> Iterator[Sentence]:
    if plan.margin != as_planned.margin:
        yield Sentence(
            phrase(
                "The margin of {margin} AUROC was chosen after looking; the plan said {planned}.",
                margin=f"{plan.margin:g}",
                planned=f"{as_planned.margin:g}",
            ),
            phrase("margin chosen afterwards"),
        )
    for name, planned in asdict(as_planned.operating).items():
        value = getattr(plan.operating, name)
        if value != planned:
            what = _WISHES[name]
            text = phrase(
                "The {what} of {value} was chosen after looking; the plan said {planned}.",
                what=what, value=f"{value:g}", planned=phrase("none") if planned is None else f"{planned:g}",
            )  # fmt: skip
            yield Sentence(text, phrase("{what} chosen afterwards", what=what))


def _of_repeats(n_repeats: int, is_training_draw_held: bool) -> Iterator[Sentence]:
    if not is_training_draw_held:
        yield Sentence(
            phrase(
                "Intervals hold the chance of the test patients only: too few repeats on separate training patients to "
                "see what another draw would bring."
            ),
            phrase("test patients only"),
        )
    elif n_repeats < FEW_REPEATS:
        yield Sentence(
            phrase(
                "With {n} repeats the luck of the training draw is hardly known, which makes intervals very wide: "
                "10 repeats narrow them.",
                n=n_repeats,
            ),
            phrase("few repeats"),
        )
