"""Many pieces of work through an engine: each tried twice at most, handed out as they end."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from .contract import CPU, GPU, Engine, EngineLostError, Limits, Lost, Outcome, WorkerLostError

Item = TypeVar("Item")
Result = TypeVar("Result")

_SECONDS_BETWEEN_LOOKS = 0.5


def _usual(item: Any) -> Limits:  # noqa: ARG001
    return Limits()


def _as_it_is(item: Any) -> Any:
    return item


def _sound(result: Any) -> str | None:  # noqa: ARG001
    return None


def _always(item: Any) -> bool:  # noqa: ARG001
    return True


def _say_nothing(item: Any, reason: str) -> None:  # noqa: ARG001
    return


@dataclass(frozen=True)
class _Try(Generic[Item]):
    item: Item
    avoid: str = ""
    is_second: bool = False


def run_tasks(
    engine: Engine,
    work: Callable[[Any], Result],
    items: Sequence[Item],
    *,
    pack: Callable[[Item], Any] = _as_it_is,
    limits_of: Callable[[Item], Limits] = _usual,
    flaw_of: Callable[[Result], str | None] = _sound,
    may_begin: Callable[[Item], bool] = _always,
    told_retry: Callable[[Item, str], None] = _say_nothing,
) -> Iterator[tuple[Item, Result | Lost]]:
    """Do the work on every item in about their order, handing out results as they come.

    A worker is sent what `pack` makes of an item, when its turn comes and not before.

    No worker gets more work before its last result is taken and the next is asked for: whoever records each result as
    it comes loses at most one a worker. What a worker does not survive, raises, or gives back with a flaw is tried once
    more, elsewhere where there is an elsewhere; a result that is flawed again is handed out as it is. Once `may_begin`
    is asked about an item and says no, nothing more is begun, and what is under way is waited for.

    Raises
    ------
    InputError
        The work needs something of the person.
    EngineLostError
        There is nobody left to work.
    """
    waiting: dict[str, deque[_Try[Item]]] = {CPU: deque(), GPU: deque()}
    for item in items:
        waiting[GPU if limits_of(item).wants_gpu else CPU].append(_Try(item))
    running: dict[Future[Outcome], tuple[_Try[Item], str]] = {}
    try:
        give, goes_on = partial(_given, engine, work, pack, limits_of), True
        while running or (goes_on and any(waiting.values())):
            goes_on = goes_on and _begin(engine, give, waiting, running, may_begin)
            if goes_on and not running:  # no worker is there at present
                time.sleep(_SECONDS_BETWEEN_LOOKS)
            done, _ = wait(running, timeout=_SECONDS_BETWEEN_LOOKS, return_when=FIRST_COMPLETED)
            for future in done:
                one, lane = running.pop(future)
                result, reason, worker, is_final = _result_of(future, flaw_of)
                if reason is None or one.is_second or is_final:
                    yield one.item, result
                else:
                    told_retry(one.item, reason)
                    waiting[lane].appendleft(_Try(one.item, worker, is_second=True))
    finally:
        for future in running:
            future.cancel()


def _given(
    engine: Engine,
    work: Callable[[Any], Any],
    pack: Callable[[Item], Any],
    limits_of: Callable[[Item], Limits],
    one: _Try[Item],
    lane: str,
) -> Future[Outcome]:
    return engine.submit(work, pack(one.item), limits_of(one.item), lane=lane, avoid=one.avoid)


def _begin(
    engine: Engine,
    give: Callable[[_Try[Item], str], Future[Outcome]],
    waiting: dict[str, deque[_Try[Item]]],
    running: dict[Future[Outcome], tuple[_Try[Item], str]],
    may_begin: Callable[[Item], bool],
) -> bool:
    """Give work to every worker that has none, unless told not to; whether more may be begun later.

    A GPU worker without any work of its own takes what a CPU worker would.
    """
    lanes = engine.lanes
    for lane in (GPU, CPU):
        free = lanes.get(lane, 0) - sum(taken == lane for _, taken in running.values())
        own = [lane, CPU] if lane == GPU or lanes.get(GPU, 0) else [CPU, GPU]
        for _ in range(free):
            queue = next((waiting[name] for name in own if waiting[name]), None)
            if queue is None:
                break
            if not may_begin(queue[0].item):
                return False
            one = queue.popleft()
            running[give(one, lane)] = (one, lane)
    return True


def _result_of(future: Future[Outcome], flaw_of: Callable[[Any], str | None]) -> tuple[Any, str | None, str, bool]:
    """What is handed out if this is the last try, why there should be another, where it failed, whether it is final."""
    try:
        outcome = future.result()
    except WorkerLostError as error:
        return Lost(error.reason), error.reason, error.worker, error.is_final
    if outcome.error is not None:
        raise outcome.error
    if outcome.missing is not None:
        raise EngineLostError(
            found=f"A worker cannot read {outcome.missing.array.path}.",
            needed="A folder of prepared images that every worker reaches.",
            do="Name a shared folder with --cache.",
        )
    if outcome.reason is not None:
        return Lost(outcome.reason), outcome.reason, outcome.worker, False
    return outcome.value, flaw_of(outcome.value), outcome.worker, False
