"""What of a study fits the time and the memory there is, and what leaving the rest out costs."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from .cost import Pace, bytes_a_fleet, seconds_to_look
from .errors import OptionError
from .evidence.variance import WHOLE
from .planning import PlannedStudy, blocks, repeats_a_fleet
from .progress import minutes
from .record.plan import Plan

FEWEST_REPEATS = 3
"""Below this the scatter over repeats says nothing of what another training draw would bring."""

WORTH_TELLING = 0.005
"""Of an interval's width: less is told as none."""


# Memory


def draws_at_once(planned: PlannedStudy, worker_bytes: int | None) -> dict[str, int]:
    """By the name of a fleet how many of its draws are fitted together, where not all fit into a worker's memory.

    Raises
    ------
    OptionError
        A fleet would not fit draw by draw.
    """
    if worker_bytes is None:
        return {}
    plan, n_classes = planned.plan, len(planned.cohort.classes)
    fewer, rungs = {}, {one.rung: one for one in plan.rungs}
    images = {
        (n, fold): len(pool.subset(n, 0)) for n in plan.sizes for fold, pool in enumerate(planned.pools)
    }  # of one repeat, which the others are like
    for key in plan.fleets():
        rung, n_images = rungs[key.rung], images[key.n_train, key.fold]
        of = [bytes_a_fleet(rung, n_images, plan.image["shape"], n_classes, draws) for draws in (1, len(key.repeats))]
        if of[0] > worker_bytes:
            raise OptionError(
                found=f"{key.rung} on {key.n_train} patients takes about {_gigabytes(of[0])} of memory.",
                needed=f"At most the {_gigabytes(worker_bytes)} that a worker has here.",
                do="Use fewer workers with --jobs, smaller images with --image-size, or leave the rung out.",
            )
        if of[1] > worker_bytes:
            a_draw = max(1.0, (of[1] - of[0]) / max(1, len(key.repeats) - 1))
            fewer[key.name] = max(1, int((worker_bytes - of[0]) / a_draw) + 1)
    return fewer


def _gigabytes(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes < 1e10 else f"{n_bytes / 1e9:.0f} GB"


# Time


@dataclass(frozen=True)
class _Choice:
    sizes: tuple[int, ...]
    repeats: int


def fit_to_budget(
    planned: PlannedStudy,
    before: Plan | None,
    done: Collection[str],
    pace: Pace,
    seconds: float,
    n_workers: int,
    *,
    inspection: bool,
) -> tuple[PlannedStudy, list[str]]:
    """The study with the sizes and repeats that fit so many seconds, and sentences on what was left out.

    First repeats go, down to `FEWEST_REPEATS`; then sizes between the smallest and the largest, every other one; then
    the largest, which is where time goes and what one least likes to miss. What stands in the folder stays. Repeats
    that are kept are those of the whole study, so that the rest can be added later. Of the time, what looking into the
    networks takes in the end is kept back, half of it at most.
    """
    plan = planned.plan
    looking = seconds_to_look(plan) / n_workers if inspection else 0.0
    usable = seconds - min(looking, seconds / 2)
    told = []
    if looking > seconds / 2:
        told.append(f"Looking into the networks takes about {minutes(looking)}; --no-inspection leaves it out.")

    def seconds_of(choice: _Choice) -> float:
        smaller = _planned(plan, before, choice)
        return pace.seconds_left((key for key in smaller.fleets() if key.name not in done), n_workers)

    whole = _Choice(plan.sizes, plan.repeats)
    if seconds_of(whole) <= usable:
        return planned, told
    choices = list(_choices(whole, before))
    chosen = next((one for one in choices if seconds_of(one) <= usable), choices[-1])
    smaller = _planned(plan, before, chosen)
    told.append(_left_out(planned, whole, chosen))
    if seconds_of(chosen) > usable:
        told.append(
            f"Even that takes about {minutes(seconds_of(chosen))}, more than there is: what does not end in time is "
            "left for the same command again."
        )
    return replace(planned, plan=smaller), told


def _choices(whole: _Choice, before: Plan | None) -> Iterator[_Choice]:
    """From the whole study to the least, in the order in which things are given up."""
    fixed = set(before.sizes) if before else set()
    least = max(min(FEWEST_REPEATS, whole.repeats), before.repeats if before else 0)
    for repeats in range(whole.repeats, least - 1, -1):
        yield _Choice(whole.sizes, repeats)
    sizes = list(whole.sizes)
    while len(sizes) > 2:
        thinner = [n for place, n in enumerate(sizes) if n in fixed or place in (0, len(sizes) - 1) or place % 2 == 0]
        if thinner == sizes:
            break
        sizes = thinner
        yield _Choice(tuple(sizes), least)
    sizes = list(whole.sizes)
    while len(sizes) > 1 and sizes[-1] not in fixed:
        sizes.pop()
        yield _Choice(tuple(sizes), least)


def _planned(plan: Plan, before: Plan | None, choice: _Choice) -> Plan:
    """The plan of a choice; blocks of repeats as they were, and the round of the whole study."""
    known = () if before is None else before.repeat_blocks
    first = 0 if before is None else before.repeats
    return replace(
        plan,
        sizes=choice.sizes,
        repeats=choice.repeats,
        repeat_blocks=known + blocks(first, choice.repeats, repeats_a_fleet(plan)),
    )


def _left_out(planned: PlannedStudy, whole: _Choice, chosen: _Choice) -> str:
    parts = []
    if chosen.repeats < whole.repeats:
        wider = [widening(planned, n, whole.repeats, chosen.repeats) for n in (chosen.sizes[0], chosen.sizes[-1])]
        parts.append(
            f"{chosen.repeats} repeats instead of {whole.repeats}, which makes intervals about {_percent(wider[0])} "
            f"wider at {chosen.sizes[0]} patients and {_percent(wider[1])} at {chosen.sizes[-1]}"
        )
    gone = [n for n in whole.sizes if n not in chosen.sizes]
    if gone:
        what = "no interval there, and " + (
            "a forecast instead of a measurement beyond the largest that is left"
            if whole.sizes[-1] in gone
            else "a curve through fewer points"
        )
        parts.append(f"without the sizes {', '.join(map(str, gone))}: {what}")
    return f"To fit the time: {'; '.join(parts)}. The same command without --time-budget adds the rest."


def _percent(share: float) -> str:
    return "0 %" if share < WORTH_TELLING else f"{100 * share:.0f} %"


def widening(planned: PlannedStudy, n_train: int, repeats: int, fewer: int) -> float:
    """By how much fewer repeats widen an interval at a size, as a share of its width: as foreseen, before any trial.

    The variance of a score is what the test patients bring and what the training draws bring (`evidence.variance`); the
    latter falls with repeats as far as their subsets are apart.
    """
    record = planned.record
    tested = record.test_fold >= 0
    n_test = len(set(record.patients[tested].tolist()))
    pool, singly = planned.pools[0], WHOLE.singly

    def variance(count: int) -> float:
        overlap = sum(pool.overlap(n_train, repeat) for repeat in range(count)) / count
        alike = singly * overlap + (1 - singly) * overlap**2
        training = 1 / count + WHOLE.linear * alike * (1 - 1 / count)
        return 1 / n_test + WHOLE.ratio / n_train * training

    return math.sqrt(variance(fewer) / variance(repeats)) - 1


def read_seconds(text: str) -> float:
    """Seconds of a duration as people write it: 90s, 45m, 2h, 1.5d.

    Raises
    ------
    OptionError
        It is none.

    Example
    -------
    >>> read_seconds("2h"), read_seconds("45m")
    (7200.0, 2700.0)
    """
    units: Mapping[str, int] = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    try:
        seconds = float(text[:-1]) * units[text[-1:].lower()]
    except (ValueError, KeyError):
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise OptionError(
            found=f"--time-budget {text}.", needed="A duration, as 90s, 45m, 2h or 1d.", do="Change --time-budget."
        )
    return seconds
