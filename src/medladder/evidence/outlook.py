"""What more patients would bring each rung of a study: its curve of AUROC, fitted and continued."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .curves import Curve, Trials, fit_curve
from .families import Prior
from .forecast import HORIZON, Course, Foreseen, Span, crossover, foresee, patients_needed, recognise
from .intervals import Interval
from .metrics import Measure
from .variance import patient_variance

AHEAD = (2, 5, 10)
"""Forecasts are made at so many times the largest size."""

TARGETS = (0.8, 0.85, 0.9, 0.95, 0.98, 0.99)
"""Scores that people ask for; the first above today's is answered unless another was asked."""

_COURSE_POINTS = 40


@dataclass(frozen=True, eq=False)
class Outlook:
    """One rung's curve, with the score to expect at more patients.

    `gain` is what twice the patients would bring, `p_gain` the belief, 0–1, that it is more than the margin.
    """

    curve: Curve
    course: Course
    drawn: tuple[Foreseen, ...]
    forecast: tuple[Foreseen, ...]
    gain: Interval
    p_gain: float

    def curve_json(self) -> dict[str, Any]:
        """The fitted curve as evidence.json holds it."""
        return {
            "course": self.course.name,
            "families": dict(self.curve.beliefs),
            "points": [{"n_train": one.n_train, **one.expected.to_json()} for one in self.drawn],
            "gain_at_twice": {**self.gain.to_json(), "more_than_margin": self.p_gain},
        }

    def forecast_json(self) -> list[dict[str, Any]]:
        """The forecast as evidence.json holds it."""
        return [
            {
                "n_train": one.n_train,
                "auroc": {**one.expected.to_json(), "new_low": one.new_low, "new_high": one.new_high},
            }
            for one in self.forecast
        ]


def look_out(
    measures: Mapping[int, Measure], *, margin: float, confidence: float, prior: Prior | None = None
) -> Outlook | None:
    """Fit the curve of one rung's AUROC over sizes; None with fewer than two.

    The test patients are the same at all sizes and in all repeats, so that their chance does not show in the scatter:
    it is added to what the scatter says.
    """
    if len(measures) < 2:
        return None
    trials = trials_of(measures)
    curve = fit_curve(trials, prior=prior)
    last = max(measures)
    tested = math.sqrt(patient_variance(measures[last])[0])
    sizes = sorted({last, *np.geomspace(min(measures), HORIZON * last, _COURSE_POINTS).round().astype(int).tolist()})
    twice = np.diff(curve.expected([last, 2 * last]), axis=1)[:, 0]
    low, high = np.percentile(twice, [50 - 50 * confidence, 50 + 50 * confidence])
    gain = Interval(float(np.clip(twice.mean(), low, high)), float(low), float(high))
    return Outlook(
        curve=curve,
        course=recognise(trials, curve),
        drawn=foresee(curve, sizes, confidence=confidence, shared_deviation=tested),
        forecast=foresee(curve, [times * last for times in AHEAD], confidence=confidence, shared_deviation=tested),
        gain=gain,
        p_gain=float((twice > margin).mean()),
    )


def trials_of(measures: Mapping[int, Measure]) -> Trials:
    """A score a size and repeat: the mean over folds, of the repeats that every fold of the size has."""
    rows: list[tuple[float, int, float, float]] = []
    for n, measure in measures.items():
        shares = measure.shares
        for repeat in _common(measure):
            values = [float(part.values[part.repeats == repeat][0]) for part in measure.parts]
            overlap = float(shares @ [part.overlap for part in measure.parts])
            rows.append((float(n), repeat, float(shares @ values), overlap))
    sizes, repeats, scores, overlaps = zip(*rows, strict=True)
    return Trials(
        np.array(sizes), np.array(repeats), np.clip(np.array(scores), 0, 1), np.array(overlaps), has_one_test=True
    )


def _common(measure: Measure) -> list[int]:
    repeats = set.intersection(*(set(part.repeats.tolist()) for part in measure.parts))
    return sorted(repeats)


def span_to(outlook: Outlook, targets: Sequence[float] = TARGETS) -> tuple[float, Span] | None:
    """Patients needed for the first of these scores that is above today's; None where all are reached."""
    today = float(outlook.curve.expected([outlook.curve.at]).mean())
    above = [target for target in targets if target > today]
    return (above[0], patients_needed(outlook.curve, above[0])) if above else None


@dataclass(frozen=True)
class Crossing:
    """From how many patients on `upper`, the higher on the ladder, is at least as good as `lower`.

    `span` is None where the two hardly differ up to the horizon: no crossover that matters.
    """

    lower: str
    upper: str
    span: Span | None

    def to_json(self) -> dict[str, Any]:
        """As evidence.json holds it."""
        found = {"estimate": None, "low": None, "high": None, "beyond_horizon": None}
        return {
            "lower": self.lower,
            "upper": self.upper,
            "matters": self.span is not None,
            **(found if self.span is None else self.span.to_json()),
        }


def find_crossings(outlooks: Mapping[str, Outlook], pick: str, *, margin: float) -> tuple[Crossing, ...]:
    """Where the picked rung meets each other one; rungs in ladder order."""
    rungs = list(outlooks)
    if pick not in rungs:
        return ()
    found = []
    for other in rungs:
        if other != pick:
            lower, upper = sorted((pick, other), key=rungs.index)
            span = crossover(outlooks[lower].curve, outlooks[upper].curve, margin=margin)
            found.append(Crossing(lower, upper, span))
    return tuple(found)


def patients_to_test(half_width: float, n_test: int, margin: float) -> int:
    """Test patients that bring a half-width which is theirs alone to the margin: it falls with the root of n."""
    return math.ceil(n_test * (half_width / margin) ** 2)
