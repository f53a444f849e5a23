"""Any `concurrent.futures.Executor` as an engine."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import BrokenExecutor, Executor, Future
from typing import Any

from medladder.machine import n_processors

from .contract import CPU, GPU, EngineLostError, Limits, Outcome, Work, attempt

_UNHELD = (
    "This executor cannot end a fleet that hangs: it is waited for.",
    "This executor cannot hold a fleet to its share of memory: the system ends a process that takes too much.",
)


class ExecutorEngine:
    """Executors that a person brings, `cpu` for every rung, or for the conventional ones if there is a `gpu` too.

    Their workers must reach the cache directory, and take work in processes or on hosts of their own: threads of one
    process would share what limits threads. `workers` says how many pieces of work each has under way at once; by
    default what the executor says of itself, else the processors here.
    """

    unheld = _UNHELD
    memory_bytes: int | None = None

    def __init__(self, cpu: Executor, gpu: Executor | None = None, *, workers: Mapping[str, int] | None = None) -> None:
        self._executors = {CPU: cpu} if gpu is None else {CPU: cpu, GPU: gpu}
        counts = dict(workers or {})
        self.lanes = {name: counts.get(name, _workers_of(one)) for name, one in self._executors.items()}

    @property
    def n_workers(self) -> int:
        """Pieces of work that are under way at once."""
        return sum(self.lanes.values())

    def submit(
        self,
        work: Work,
        item: Any,
        limits: Limits,
        *,
        lane: str = CPU,
        avoid: str = "",  # noqa: ARG002 - an executor chooses for itself
    ) -> Future[Outcome]:
        """See `Engine`."""
        try:
            given = self._executors[lane].submit(attempt, work, item, limits.threads, lane)
        except (BrokenExecutor, RuntimeError) as error:
            raise _gone(error) from error
        future: Future[Outcome] = Future()
        given.add_done_callback(lambda done: _pass_on(done, future))
        return future

    def close(self, *, now: bool = False) -> None:
        """Leave the executors to whoever brought them; `now`: without what they have not begun."""
        if now:
            for executor in self._executors.values():
                executor.shutdown(wait=False, cancel_futures=True)


def _workers_of(executor: Executor) -> int:
    known = getattr(executor, "_max_workers", None)
    return known if isinstance(known, int) else n_processors()


def _gone(error: BaseException) -> EngineLostError:
    return EngineLostError(
        found=f"The executor takes no work ({type(error).__name__}: {error}).",
        needed="One that works.",
        do="Start another and give the same call again: the study goes on where it stopped.",
    )


def _pass_on(done: Future[Outcome], future: Future[Outcome]) -> None:
    if done.cancelled():
        future.cancel()
        return
    error = done.exception()
    if error is None:
        future.set_result(done.result())
    elif isinstance(error, BrokenExecutor):
        future.set_exception(_gone(error))
    else:
        future.set_exception(error)
