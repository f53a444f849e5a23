"""The sentences that the evidence supports, each with the rule that fired; always with a pick."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..language import Message, join, parts_of, phrase
from .comparisons import Comparison
from .forecast import Span
from .intervals import FEW_PATIENTS, Interval
from .outlook import Crossing, Outlook, patients_to_test

GRADES = {
    "shown": phrase("shown"),
    "not contradicted": phrase("not contradicted"),
    "cannot tell": phrase("cannot tell"),
}
"""As evidence.json names them, for rules to say."""

# A difference that nothing here excludes and that is larger than this leaves the choice open.
TOO_MUCH_TO_MISS = 0.10
DEEP = ("deep", "transfer")
# Beliefs that twice the patients bring more than the margin.
RISING, SATURATED = 0.9, 0.1


@dataclass(frozen=True)
class Sentence:
    """One sentence and the name of its rule; messages, or plain text as an older record holds it."""

    text: str
    rule: str

    def to_json(self) -> dict[str, Any]:
        """The sentence as evidence.json holds it."""
        return {"text": self.text, "rule": self.rule}

    def parts_json(self) -> dict[str, Any]:
        """Its parts, for other languages."""
        return parts_of(text=self.text, rule=self.rule)


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
            "said": {
                "sentences": [sentence.parts_json() for sentence in self.sentences],
                "warnings": [warning.parts_json() for warning in self.warnings],
            },
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
    told = {"rung": pick.rung, "score": _score(standing, pick), "limit": _limit(pick), "margin": f"{standing.margin:g}"}
    grade = GRADES[pick.grade]
    if standing.families[pick.rung] == "floor":
        texts = (
            phrase("Nothing here is shown to be better than knowing nothing. {rung} stands, {score}{limit}.", **told),
            phrase(
                "Among models trained from scratch, nothing here is shown to be better than knowing nothing. {rung} "
                "stands, {score}{limit}.",
                **told,
            ),
        )
        rule = phrase("{grade}: nothing shown better than {rung}", grade=grade, rung=pick.rung)
    elif len(standing.aurocs) == 1:
        texts = (
            phrase("Only {rung} was tried. {score}.", **told),
            phrase("Among models trained from scratch, only {rung} was tried. {score}.", **told),
        )
        rule = phrase("{grade}: no other rung", grade=grade)
    elif pick.grade == "shown":
        texts = (
            phrase("Use {rung}: no other rung tried is better by {margin} AUROC or more. {score}.", **told),
            phrase(
                "Among models trained from scratch, use {rung}: no other rung tried is better by {margin} AUROC or "
                "more. {score}.",
                **told,
            ),
        )
        rule = phrase("shown: simplest rung that none beats by the margin")
    elif pick.grade == "not contradicted":
        texts = (
            phrase("Use {rung}: nothing here shows that another rung is better. {score}{limit}.", **told),
            phrase(
                "Among models trained from scratch, use {rung}: nothing here shows that another rung is better. "
                "{score}{limit}.",
                **told,
            ),
        )
        rule = phrase("not contradicted: simplest rung that none is shown better than")
    else:
        texts = (
            phrase(
                "These data cannot tell which rung is best. {rung} is the simplest that none is shown better than, "
                "{score}{limit}.",
                **told,
            ),
            phrase(
                "Among models trained from scratch, these data cannot tell which rung is best. {rung} is the simplest "
                "that none is shown better than, {score}{limit}.",
                **told,
            ),
        )
        rule = phrase("cannot tell: more than .10 AUROC may be missed, or a class is thin")
    of_all, from_scratch = texts
    return Sentence(of_all if _has_transfer(standing) else from_scratch, rule)


def _has_transfer(standing: Standing) -> bool:
    return any(standing.families[rung] == "transfer" for rung in standing.aurocs)


def _has_convolution(standing: Standing) -> bool:
    """Networks that see images as images; a backbone does too."""
    return _has_transfer(standing) or any(rung.partition(":")[0] == "cnn" for rung in standing.aurocs)


def _score(standing: Standing, pick: Pick) -> Message:
    auroc = standing.aurocs[pick.rung]
    return phrase(
        "AUROC {estimate} (95 % interval {low}–{high}) with {n} training {unit}s",
        estimate=f"{auroc.estimate:.3f}", low=f"{auroc.low:.3f}", high=f"{auroc.high:.3f}", n=standing.n_train,
        unit=standing.unit,
    )  # fmt: skip


def _limit(pick: Pick) -> str:
    return phrase("; up to {missed} AUROC may be missed", missed=f"{pick.missed:.3f}") if pick.missed > 0 else ""


def _of_families(standing: Standing) -> Sentence | None:
    """Deep against conventional: the best of each by estimate, compared within the family of all pairs."""

    def best(families: Sequence[str]) -> str | None:
        members = [rung for rung in standing.aurocs if standing.families[rung] in families]
        return max(members, key=lambda rung: standing.aurocs[rung].estimate) if members else None

    deep, conventional = best(DEEP), best(("conventional",))
    gain = _gains(standing).get((deep or "", conventional or ""))
    if deep is None or conventional is None or gain is None:
        return None
    told = {"deep": deep, "conventional": conventional, "change": _change(gain)}
    if gain.low > 0:
        text = phrase(
            "Deep learning is shown better than conventional methods here: {deep} against {conventional}, {change}.",
            **told,
        )
    elif gain.high < 0 and _has_convolution(standing):
        text = phrase(
            "Conventional methods are shown better than deep learning here: {deep} against {conventional}, {change}.",
            **told,
        )
    elif gain.high < 0:
        text = phrase(
            "Conventional methods are shown better than networks on the unrolled image here: {deep} against "
            "{conventional}, {change}.",
            **told,
        )
    else:
        text = phrase(
            "No difference between deep and conventional methods is shown: {deep} against {conventional}, {change}.",
            **told,
        )
    said = [text]
    if gain.low <= 0 and not _has_convolution(standing):
        said.append(phrase("No convolutional network was tried."))
    if len(standing.aurocs) > 2:
        said.append(
            phrase("Each is the best of its kind on these patients, so its own score may look better than it is.")
        )
    return Sentence(join(said), phrase("deep against conventional: best of each by estimate, simultaneous interval"))


def _of_more_patients(standing: Standing, pick: Pick, trend: Trend | None) -> Sentence | None:
    """Saturated, rising or not known: by the belief that twice the patients bring more than the margin."""
    if trend is None or trend.outlook is None or standing.families[pick.rung] == "floor":
        return None
    outlook, margin = trend.outlook, f"{standing.margin:g}"
    told = {"rung": pick.rung, "unit": standing.unit, "change": _change(outlook.gain)}
    if outlook.course.name == "falls":
        text = phrase(
            "{rung} got worse with more training {unit}s here; twice the training {unit}s would bring {rung} {change}.",
            **told,
        )
        return Sentence(text, phrase("the curve falls"))
    if outlook.p_gain >= RISING:
        text = phrase("More {unit}s would help: twice the training {unit}s would bring {rung} {change}.", **told)
        rule = phrase("rising: P(gain to 2× > {margin}) ≥ .9", margin=margin)
    elif outlook.p_gain <= SATURATED:
        text = phrase("More {unit}s would hardly help: twice the training {unit}s would bring {rung} {change}.", **told)
        rule = phrase("saturated: P(gain to 2× > {margin}) ≤ .1", margin=margin)
    else:
        text = phrase(
            "Whether more {unit}s would help is not known: twice the training {unit}s would bring {rung} {change}.",
            **told,
        )
        rule = phrase("neither rising nor saturated: P(gain to 2× > {margin}) between .1 and .9", margin=margin)
    if outlook.course.name == "breaks":
        text = join([text, phrase("Its curve breaks, so that this stands on little.")])
    return Sentence(text, rule)


def _of_more_tests(standing: Standing, pick: Pick, trend: Trend | None) -> Sentence | None:
    """Whether more test patients could settle the choice, and how many."""
    if trend is None or trend.rival is None or pick.grade == "shown" or trend.tested <= 0:
        return None
    told = {"rung": pick.rung, "rival": trend.rival, "unit": standing.unit}
    if trend.trained >= standing.margin:
        text = phrase(
            "More test {unit}s cannot tell {rung} from {rival}; more training {unit}s or repeats can.", **told
        )
        return Sentence(text, phrase("the training draw alone leaves more than the margin"))
    needed = patients_to_test(trend.tested, trend.n_test, standing.margin)
    if needed <= trend.n_test:
        return None
    text = phrase(
        "To tell {rung} from {rival} within {margin} AUROC would take about {needed} test {unit}s instead of {n_test}.",
        **told, margin=f"{standing.margin:g}", needed=_rounded(needed), n_test=trend.n_test,
    )  # fmt: skip
    return Sentence(text, phrase("test patients that bring their part of the half-width to the margin"))


def _rounded(n: int) -> int:
    """Two digits: it is no more exact."""
    return round(n, 2 - len(str(n)))


def _of_transfer(standing: Standing) -> Sentence | None:
    """What a rung that was not tried might have changed: Doerrich et al. 2025, doi:10.1038/s41598-025-92156-9."""
    if _has_transfer(standing):
        return None
    text = phrase(
        "No pretrained backbone was compared: on small sets a frozen one has matched or beaten networks trained from "
        "scratch, and might change the pick."
    )
    return Sentence(text, phrase("no transfer rung was scored"))


def _change(interval: Interval) -> Message:
    estimate, low, high = (
        f"{value:+.3f}".replace("-", "−") for value in (interval.estimate, interval.low, interval.high)
    )
    return phrase("{estimate} AUROC ({low} to {high})", estimate=estimate, low=low, high=high)
