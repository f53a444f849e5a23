"""What a fitted learning curve says beyond the data: scores to come, patients needed, where two curves cross."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import chdtrc

from ..errors import OptionError
from .curves import Curve, Trials, fit_curve
from .families import Prior
from .intervals import Interval

HORIZON = 10.0
"""Nothing is said of more patients than this many times the largest size."""

STEPS = 400
"""Places on log n, up to the horizon, at which curves are compared."""

RANGE = 0.90
"""Share of belief that a range of patients needed holds."""

_SURE, _NOTABLE = 0.9, 0.005
_MISFIT = 0.01
_NEW_STUDY = 0x5EED


@dataclass(frozen=True)
class Foreseen:
    """The score at one size: its mean over endlessly many repeats, and between which bounds one new study would lie."""

    n_train: int
    expected: Interval
    new_low: float
    new_high: float

    def to_json(self) -> dict[str, float]:
        """As `forecast --json` holds it."""
        return {
            "n_train": self.n_train,
            **self.expected.to_json(),
            "new_low": self.new_low,
            "new_high": self.new_high,
        }


@dataclass(frozen=True)
class Span:
    """A range of patients, on which `RANGE` of the belief lies; None: beyond the horizon.

    `beyond` is the share of belief that lies there, 0–1.
    """

    estimate: int | None
    low: int | None
    high: int | None
    beyond: float

    def to_json(self) -> dict[str, Any]:
        """As evidence.json holds it."""
        return {"estimate": self.estimate, "low": self.low, "high": self.high, "beyond_horizon": self.beyond}


def foresee(
    curve: Curve,
    sizes: Sequence[int],
    *,
    confidence: float = 0.95,
    shared_deviation: float = 0.0,
) -> tuple[Foreseen, ...]:
    """Forecast the score at these sizes.

    `shared_deviation` is the standard deviation, at the largest size, of what all repeats have in common, such as one
    set of test patients: no scatter between repeats shows it. It shrinks with the error.
    """
    rng = np.random.default_rng(_NEW_STUDY)
    expected, scatter = curve.expected(sizes), curve.scatter(sizes)
    here = curve.expected([curve.at])
    tested, once = rng.standard_normal((2, len(expected), 1))
    expected = np.clip(expected + shared_deviation * tested * (1 - expected) / (1 - here), 0, 1)
    new = np.clip(expected + scatter * once, 0, 1)
    tails = [50 - 50 * confidence, 50 + 50 * confidence]
    found = []
    for place, n in enumerate(sizes):
        low, high = np.percentile(expected[:, place], tails)
        # One study scatters more than the mean; of little scatter the draws' own chance is larger.
        once_low, once_high = np.percentile(new[:, place], tails)
        new_low, new_high = min(once_low, low), max(once_high, high)
        estimate = float(np.clip(expected[:, place].mean(), low, high))
        found.append(Foreseen(int(n), Interval(estimate, float(low), float(high)), float(new_low), float(new_high)))
    return tuple(found)


def patients_needed(curve: Curve, target: float, *, horizon: float = HORIZON) -> Span:
    """The fewest training patients from which on the expected score stays at or above the target, up to the horizon.

    Raises
    ------
    OptionError
        The target is not between 0 and 1.
    """
    if not 0 < target < 1:
        raise OptionError(
            found=f"A target of {target:g}.", needed="A score between 0 and 1.", do="Give one, such as 0.9."
        )
    sizes = _places(min(curve.sizes), curve.at * horizon)
    return _span(curve.expected(sizes) >= target, sizes)


def crossover(lower: Curve, upper: Curve, *, margin: float, horizon: float = HORIZON) -> Span | None:
    """The fewest patients from which on `upper` is expected to be at least as good as `lower`, up to the horizon.

    None where they hardly differ: the mean difference is within the margin at all sizes up to the horizon. The curves
    are taken as independent, which makes the range too wide where they share their luck.
    """
    sizes = _places(max(min(lower.sizes), min(upper.sizes)), min(lower.at, upper.at) * horizon)
    below, above = lower.expected(sizes), upper.expected(sizes)
    if (np.abs(above.mean(axis=0) - below.mean(axis=0)) < margin).all():
        return None
    n = min(len(below), len(above))
    pairing = np.random.default_rng(_NEW_STUDY)  # draws come family by family, which must not meet in that order
    return _span(above[pairing.permutation(len(above))[:n]] >= below[pairing.permutation(len(below))[:n]], sizes)


def _places(low: float, high: float) -> Float[np.ndarray, " size"]:
    return np.geomspace(low, high, STEPS)


def _span(holds: np.ndarray, sizes: Float[np.ndarray, " size"]) -> Span:
    """Where each row begins to hold to its end; rows that do not hold at the end lie beyond."""
    lasting = np.logical_and.accumulate(holds[:, ::-1], axis=1).sum(axis=1)  # places at the end that hold
    starts = np.where(lasting > 0, sizes[np.maximum(len(sizes) - lasting, 0) % len(sizes)], np.inf)

    def at(share: float) -> int | None:
        value = float(np.quantile(starts, share, method="inverted_cdf"))
        return None if math.isinf(value) else math.ceil(value - 1e-9)

    return Span(at(0.5), at(0.5 - RANGE / 2), at(0.5 + RANGE / 2), float(np.isinf(starts).mean()))


@dataclass(frozen=True)
class Course:
    """How a curve runs where it was measured, from its first size to its last: «rises», «falls», «breaks», «not shown».

    Rising and falling are believed by nine to one, and by half a point at least: curves are held to rise beforehand.
    `misfit` is how likely scores as far from the families as these are, 0–1: little where the curve breaks.
    """

    name: str
    misfit: float


def recognise(trials: Trials, curve: Curve) -> Course:
    """Say whether the curve falls, or breaks: then no family fits, and a forecast stands on little."""
    misfit = _misfit(trials, curve)
    first, last = curve.expected([min(curve.sizes), curve.at]).T
    fell = (
        trials.score[trials.n_train == trials.n_train.min()].mean() - trials.score[trials.n_train == trials.at].mean()
    )
    # What does not fall in the scores either is a dent that no family fits, not a fall.
    if (last < first - _NOTABLE).mean() >= _SURE and fell > _NOTABLE:
        return Course("falls", misfit)
    if misfit < _MISFIT:
        return Course("breaks", misfit)
    return Course("rises" if (last > first + _NOTABLE).mean() >= _SURE else "not shown", misfit)


def _misfit(trials: Trials, curve: Curve) -> float:
    """Chance that means over repeats lie as far from the best fitting draw as they do; three numbers were fitted.

    What all sizes of a repeat share moves the means together, and counts for no misfit.
    """
    sizes, place = np.unique(trials.n_train, return_inverse=True)
    counts = np.bincount(place)
    means = np.bincount(place, trials.score) / counts
    away = (means - curve.expected(sizes)) / curve.scatter(sizes) * np.sqrt(counts)
    dof = len(sizes) - 3
    if dof < 1:
        return 1.0
    centred = away - away.mean(axis=1, keepdims=True)
    own = np.maximum(1 - curve.shared, 0.05)
    return float(chdtrc(dof, np.quantile((centred**2).sum(axis=1) / own, 0.1)))


@dataclass(frozen=True)
class Ahead:
    """All that is said ahead of one curve that was measured elsewhere."""

    at: int
    repeats: int
    points: tuple[Foreseen, ...]
    measured: tuple[Foreseen, ...]
    course: Course
    beliefs: dict[str, float]
    needed: Span | None
    target: float | None
    confidence: float
    prior: Prior

    def to_json(self) -> dict[str, Any]:
        """As `forecast --json` prints it."""
        return {
            "target": "expected",
            "confidence": self.confidence,
            "n_train_max": self.at,
            "repeats": self.repeats,
            "forecast": [point.to_json() for point in self.points],
            "measured": [point.to_json() for point in self.measured],
            "course": {"name": self.course.name, "misfit": self.course.misfit},
            "families": dict(self.beliefs),
            "needed": None if self.needed is None else {"score": self.target, **self.needed.to_json()},
            "prior": asdict(self.prior),
            "warnings": [{"text": text, "rule": rule} for text, rule in self._warnings()],
        }

    def _warnings(self) -> Iterator[tuple[str, str]]:
        if self.course.name == "breaks":
            text = "The curve breaks: no smooth course fits its scores, so that a forecast stands on little."
            yield text, "the curve breaks"
        if self.course.name == "falls":
            yield "The curve falls: more patients made the score worse where it was measured.", "the curve falls"
        if self.repeats < 2:
            text = "With one repeat the luck of its patients cannot be told from the course: repeats would show it."
            yield text, "one repeat"
        far = [point.n_train for point in self.points if point.n_train > HORIZON * self.at]
        if far:
            text = (
                f"{min(far):,} patients are more than {HORIZON:g} times the {self.at:,} that were measured: so far "
                "ahead the form that the curve is taken to have decides as much as the scores do."
            )
            yield text, "beyond the horizon"


def look_ahead(
    trials: Trials,
    sizes: Sequence[int] | None = None,
    *,
    target: float | None = None,
    confidence: float = 0.95,
    prior: Prior | None = None,
) -> Ahead:
    """Fit a curve and say all of it; by default at twice, five and ten times the largest size.

    Raises
    ------
    OptionError
        A size below 1, or a target that is not between 0 and 1.
    """
    asked = [round(factor * trials.at) for factor in (2, 5, 10)] if sizes is None else sorted(set(sizes))
    if any(size < 1 for size in asked) or not asked:
        raise OptionError(
            found=f"A forecast at {min(asked, default=0)} patients.", needed="1 or more.", do="Give sizes as 500,1000."
        )
    curve = fit_curve(trials, prior=prior)
    return Ahead(
        at=int(trials.at),
        repeats=len(np.unique(trials.repeat)),
        points=foresee(curve, asked, confidence=confidence),
        measured=foresee(curve, curve.sizes, confidence=confidence),
        course=recognise(trials, curve),
        beliefs=curve.beliefs,
        needed=None if target is None else patients_needed(curve, target),
        target=target,
        confidence=confidence,
        prior=curve.prior,
    )
