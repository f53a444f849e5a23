"""The sentences that the evidence supports, each with the rule that fired; always with a pick."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .comparisons import Comparison
from .forecast import Span
from .intervals import FEW_PATIENTS, Interval
from .outlook import Crossing, Outlook, patients_to_test

# A difference that nothing here excludes and that is larger than this leaves the choice open.
TOO_MUCH_TO_MISS = 0.10
DEEP = ("deep", "transfer")
# Beliefs that twice the patients bring more than the margin.
RISING, SATURATED = 0.9, 0.1


@dataclass(frozen=True)
class Sentence:
    """One sentence and the name of its rule."""

    text: str
    rule: str

    def to_json(self) -> dict[str, str]:
        """The sentence as evidence.json holds it."""
        return {"text": self.text, "rule": self.rule}


@dataclass(frozen=True)
class Verdict:
    """A pick, its grade («shown», «not contradicted», «cannot tell»), and what is said of it.

    Warnings outrank sentences: they come first wherever both are shown.
    """

    recommended: str
    grade: str
    sentences: tuple[Sentence, ...]
    warnings: tuple[Sentence, ...]
    crossings: tuple[Crossing, ...] = ()
    needed: tuple[float, Span] | None = None

    def to_json(self) -> dict[str, Any]:
        """The verdict as evidence.json holds it."""
        return {
            "recommended": self.recommended,
            "grade": self.grade,
            "sentences": [sentence.to_json() for sentence in self.sentences],
            "warnings": [warning.to_json() for warning in self.warnings],
            "crossover": [crossing.to_json() for crossing in self.crossings],
            "needed": None if self.needed is None else {"score": self.needed[0], **self.needed[1].to_json()},
        }


@dataclass(frozen=True)
class Pick:
    """The rung the rules choose; up to `missed` AUROC may be lost by staying with it."""

    rung: str
    grade: str
    missed: float


@dataclass(frozen=True)
class Standing:
    """What the verdict rests on, at the size where the rungs are compared; rungs in ladder order."""

    n_train: int
    families: Mapping[str, str]
    aurocs: Mapping[str, Interval]
    comparisons: Sequence[Comparison]
    counts: Sequence[int]
    margin: float
    unit: str


@dataclass(frozen=True)
class Trend:
    """What is known of the way on: the picked rung's outlook, and what tells it from `rival`, the best other.

    `tested` and `trained` are half-widths of their difference: what the chance of the test patients and of the training
    draw leave of it.
    """

    outlook: Outlook | None
    rival: str | None
    tested: float
    trained: float
    n_test: int


def pick_rung(standing: Standing) -> Pick:
    """Choose by the three grades of docs/architecture.md; `prior` only if nothing is shown to beat it.

    Shown: the simplest rung that the best falls short of the margin above, itself shown better than `prior`. Not
    contradicted: the simplest rung that may be the best. Cannot tell: as before, but more than .10 AUROC may be
    missed, or a class has fewer than ten test patients.

    Source
    ------
    Hsu 1984, doi:10.1214/aos/1176346522: which rungs may be the best, and how far each may stand below it.
    """
    rungs = list(standing.aurocs)
    gains, ahead = _gains(standing), _ahead_of(standing)
    may_be_best = [rung for rung in rungs if all(high > 0 for (ours, _), high in ahead.items() if ours == rung)]

    def missed(rung: str) -> float:
        # No score is above 1, whatever the interval of a difference allows.
        room = 1 - standing.aurocs[rung].low
        return min(room, max([0.0, *(ahead[best, rung] for best in may_be_best or rungs if (best, rung) in ahead)]))

    floors = [rung for rung in rungs if standing.families[rung] == "floor"]

    def is_learned(rung: str) -> bool:
        return rung not in floors and all(gains[rung, floor].low > 0 for floor in floors if (rung, floor) in gains)

    is_thin = min(standing.counts) < FEW_PATIENTS
    if len(rungs) > 1 and may_be_best and not is_thin:
        for rung in rungs:
            if is_learned(rung) and missed(rung) < standing.margin:
                return Pick(rung, "shown", missed(rung))
    # A floor that nothing beats is the simplest wherever it was named; else a rung that is shown to have learned goes
    # before one that is not.
    unbeaten = [rung for rung in (*floors, *rungs) if rung in may_be_best]
    if not set(unbeaten) & set(floors):
        unbeaten.sort(key=lambda rung: not is_learned(rung))
    # The best estimate may always be the best; pairs that were not compared can leave none, and nothing is told then.
    rung = unbeaten[0] if unbeaten else max(rungs, key=lambda name: standing.aurocs[name].estimate)
    is_open = is_thin or not unbeaten or missed(rung) > TOO_MUCH_TO_MISS
    return Pick(rung, "cannot tell" if is_open else "not contradicted", missed(rung))


def _ahead_of(standing: Standing) -> dict[tuple[str, str], float]:
    """Of every ordered pair, how far the first may stand above the second if the first is best."""
    ahead = {}
    for found in standing.comparisons:
        ahead[found.rung, found.against] = found.to_best.high
        ahead[found.against, found.rung] = -found.to_best.low
    return ahead


def _gains(standing: Standing) -> dict[tuple[str, str], Interval]:
    """Interval of (first - second) for every ordered pair."""
    gains = {}
    for found in standing.comparisons:
        up = found.difference
        gains[found.rung, found.against] = up
        gains[found.against, found.rung] = Interval(-up.estimate, -up.high, -up.low)
    return gains


def rival_of(standing: Standing, pick: Pick) -> str | None:
    """The other rung that may stand furthest above the pick; floors apart."""
    ahead = {
        other: high
        for (other, rung), high in _ahead_of(standing).items()
        if rung == pick.rung and standing.families[other] != "floor"
    }
    return max(ahead, key=lambda rung: ahead[rung]) if ahead else None


def speak(standing: Standing, pick: Pick, trend: Trend | None = None) -> tuple[Sentence, ...]:
    """Two or three sentences a clinician understands, then what more patients would bring."""
    said = [
        _of_pick(standing, pick),
        _of_families(standing),
        _of_more_patients(standing, pick, trend),
        _of_more_tests(standing, pick, trend),
        _of_transfer(standing),
    ]
    return tuple(sentence for sentence in said if sentence is not None)


def _of_pick(standing: Standing, pick: Pick) -> Sentence:
    """What to use, the short answer first: the report shows it as its headline."""
    score = f"AUROC {_span(standing.aurocs[pick.rung])} with {standing.n_train:,} training {standing.unit}s"
    if standing.families[pick.rung] == "floor":
        text = f"Nothing here is shown to be better than knowing nothing. {pick.rung} stands, {score}{_limit(pick)}."
        rule = f"{pick.grade}: nothing shown better than {pick.rung}"
    elif len(standing.aurocs) == 1:
        text, rule = f"Only {pick.rung} was tried. {score}.", f"{pick.grade}: no other rung"
    elif pick.grade == "shown":
        text = f"Use {pick.rung}: no other rung tried is better by {standing.margin:g} AUROC or more. {score}."
        rule = "shown: simplest rung that none beats by the margin"
    elif pick.grade == "not contradicted":
        text = f"Use {pick.rung}: nothing here shows that another rung is better. {score}{_limit(pick)}."
        rule = "not contradicted: simplest rung that none is shown better than"
    else:
        text = (
            f"These data cannot tell which rung is best. {pick.rung} is the simplest that none is shown better "
            f"than, {score}{_limit(pick)}."
        )
        rule = "cannot tell: more than .10 AUROC may be missed, or a class is thin"
    if not _has_transfer(standing):
        text = f"Among models trained from scratch, {text[0].lower()}{text[1:]}"
    return Sentence(text, rule)


def _has_transfer(standing: Standing) -> bool:
    return any(standing.families[rung] == "transfer" for rung in standing.aurocs)


def _has_convolution(standing: Standing) -> bool:
    """Networks that see images as images; a backbone does too."""
    return _has_transfer(standing) or any(rung.partition(":")[0] == "cnn" for rung in standing.aurocs)


def _limit(pick: Pick) -> str:
    return f"; up to {pick.missed:.3f} AUROC may be missed" if pick.missed > 0 else ""


def _of_families(standing: Standing) -> Sentence | None:
    """Deep against conventional: the best of each by estimate, compared within the family of all pairs."""

    def best(families: Sequence[str]) -> str | None:
        members = [rung for rung in standing.aurocs if standing.families[rung] in families]
        return max(members, key=lambda rung: standing.aurocs[rung].estimate) if members else None

    deep, conventional = best(DEEP), best(("conventional",))
    gain = _gains(standing).get((deep or "", conventional or ""))
    if deep is None or conventional is None or gain is None:
        return None
    span = _change(gain)
    if gain.low > 0:
        text = f"Deep learning is shown better than conventional methods here: {deep} against {conventional}, {span}."
    elif gain.high < 0:
        beaten = "deep learning" if _has_convolution(standing) else "networks on the unrolled image"
        text = f"Conventional methods are shown better than {beaten} here: {deep} against {conventional}, {span}."
    else:
        text = f"No difference between deep and conventional methods is shown: {deep} against {conventional}, {span}."
    if gain.low <= 0 and not _has_convolution(standing):
        text += " No convolutional network was tried."
    if len(standing.aurocs) > 2:
        text += " Each is the best of its kind on these patients, so its own score may look better than it is."
    return Sentence(text, "deep against conventional: best of each by estimate, simultaneous interval")


def _of_more_patients(standing: Standing, pick: Pick, trend: Trend | None) -> Sentence | None:
    """Saturated, rising or not known: by the belief that twice the patients bring more than the margin."""
    if trend is None or trend.outlook is None or standing.families[pick.rung] == "floor":
        return None
    outlook, margin = trend.outlook, standing.margin
    gain = f"twice the training {standing.unit}s would bring {pick.rung} {_change(outlook.gain)}"
    if outlook.course.name == "falls":
        text = f"{pick.rung} got worse with more training {standing.unit}s here; {gain}."
        return Sentence(text, "the curve falls")
    if outlook.p_gain >= RISING:
        text, rule = f"More {standing.unit}s would help: {gain}.", f"rising: P(gain to 2× > {margin:g}) ≥ .9"
    elif outlook.p_gain <= SATURATED:
        text, rule = f"More {standing.unit}s would hardly help: {gain}.", f"saturated: P(gain to 2× > {margin:g}) ≤ .1"
    else:
        text = f"Whether more {standing.unit}s would help is not known: {gain}."
        rule = f"neither rising nor saturated: P(gain to 2× > {margin:g}) between .1 and .9"
    if outlook.course.name == "breaks":
        text += " Its curve breaks, so that this stands on little."
    return Sentence(text, rule)


def _of_more_tests(standing: Standing, pick: Pick, trend: Trend | None) -> Sentence | None:
    """Whether more test patients could settle the choice, and how many."""
    if trend is None or trend.rival is None or pick.grade == "shown" or trend.tested <= 0:
        return None
    pair = f"{pick.rung} from {trend.rival}"
    if trend.trained >= standing.margin:
        text = f"More test {standing.unit}s cannot tell {pair}; more training {standing.unit}s or repeats can."
        return Sentence(text, "the training draw alone leaves more than the margin")
    needed = patients_to_test(trend.tested, trend.n_test, standing.margin)
    if needed <= trend.n_test:
        return None
    text = (
        f"To tell {pair} within {standing.margin:g} AUROC would take about {_rounded(needed):,} test {standing.unit}s "
        f"instead of {trend.n_test:,}."
    )
    return Sentence(text, "test patients that bring their part of the half-width to the margin")


def _rounded(n: int) -> int:
    """Two digits: it is no more exact."""
    return round(n, 2 - len(str(n)))


def _of_transfer(standing: Standing) -> Sentence | None:
    """What a rung that was not tried might have changed: Doerrich et al. 2025, doi:10.1038/s41598-025-92156-9."""
    if _has_transfer(standing):
        return None
    text = (
        "No pretrained backbone was compared: on small sets a frozen one has matched or beaten networks trained from "
        "scratch, and might change the pick."
    )
    return Sentence(text, "no transfer rung was scored")


def _span(interval: Interval) -> str:
    return f"{interval.estimate:.3f} (95 % interval {interval.low:.3f}–{interval.high:.3f})"


def _change(interval: Interval) -> str:
    text = f"{interval.estimate:+.3f} AUROC ({interval.low:+.3f} to {interval.high:+.3f})"
    return text.replace("-", "−")
