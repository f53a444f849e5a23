"""Workers of this machine: one process a slot, so that a dead or hung worker costs its own piece of work.

On Linux workers are forked from a server that has imported what they need and nothing else, so that two workers cost
the imports of one; elsewhere each is spawned and imports for itself.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import wait as wait_for_handles
from multiprocessing.context import BaseContext
from types import TracebackType
from typing import Any, Self

from medladder.errors import InputError
from medladder.machine import limit_memory, memory_bytes, n_processors

from .contract import CPU, Limits, Outcome, Work, WorkerLostError, attempt
from .threads import limit_threads

OF_ALL_MEMORY = 0.9
"""What workers may use together, of the memory that this machine has."""

EARLY_SLOTS = 2
"""Workers that start before it is known how much there is to do."""

HERE = "this process"

ENDED = "The worker process ended without a word, most often because memory ran out."
NEVER_BEGAN = InputError(
    found="The worker processes ended while they were starting.",
    needed="A script that may be imported: each worker imports the file that started it.",
    do="Put the call below a line 'if __name__ == \"__main__\":', or run in this process with jobs=1.",
)


@dataclass(frozen=True, eq=False)
class _Job:
    work: Work
    item: Any
    limits: Limits
    avoid: str
    future: Future[Outcome]


class LocalEngine:
    """Slots that each own one worker process; a context manager, within which the workers start at once.

    `jobs` of 1 does everything in this process, where nothing can be ended from without.
    """

    def __init__(self, jobs: int | None = None) -> None:
        self.n_workers = jobs if jobs is not None else n_processors()
        self.unheld: tuple[str, ...] = () if self.n_workers > 1 else _UNHELD_HERE
        all_bytes = memory_bytes()
        self.memory_bytes = None if all_bytes is None else int(OF_ALL_MEMORY * all_bytes / self.n_workers)
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._slots: list[_Slot] = []
        self._n_idle = 0
        self._is_closed = False

    def __enter__(self) -> Self:
        if self.n_workers > 1:
            _check_script()
            _start_server()
            for _ in range(min(self.n_workers, EARLY_SLOTS)):
                self._add_slot()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(now=True)

    @property
    def lanes(self) -> Mapping[str, int]:
        """All workers are of one kind."""
        return {CPU: self.n_workers}

    def submit(
        self,
        work: Work,
        item: Any,
        limits: Limits,
        *,
        lane: str = CPU,  # noqa: ARG002 - all are alike
        avoid: str = "",
    ) -> Future[Outcome]:
        """See `Engine`; with one worker the future is done when this returns.

        Raises
        ------
        InputError
            Workers cannot start, most often because a script is not guarded by `if __name__ == "__main__":`. The future
            raises it.
        """
        future: Future[Outcome] = Future()
        if self.n_workers == 1:
            future.set_result(attempt(work, item, limits.threads, HERE))
            return future
        with self._changed:
            self._jobs.append(_Job(work, item, limits, avoid, future))
            if len(self._jobs) > self._n_idle and len(self._slots) < self.n_workers:
                self._add_slot()
            self._changed.notify_all()
        return future

    def _add_slot(self) -> None:
        self._slots.append(_Slot(self, f"worker {len(self._slots) + 1}"))

    def close(self, *, now: bool = False) -> None:
        """End the workers; `now`: also those that are busy."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        for slot in self._slots:
            slot.end(now=now)
        for slot in self._slots:
            slot.thread.join()

    def next_job(self, name: str) -> _Job | None:
        """The first job that this slot need not avoid; waits for one, None when the engine is closed."""
        with self._changed:
            while not self._is_closed:
                for job in self._jobs:
                    if job.avoid != name:
                        self._jobs.remove(job)
                        return job
                self._n_idle += 1
                self._changed.wait()
                self._n_idle -= 1
        return None


_UNHELD_HERE = ("With --jobs 1 a fleet that hangs, or takes too much memory, is not ended.",)


class _Slot:
    """One worker process at a time, and the thread that gives it work."""

    def __init__(self, engine: LocalEngine, name: str) -> None:
        self._engine, self._name = engine, name
        self._is_ending = self._has_failed_to_start = False
        self._start()
        self.thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self.thread.start()

    def end(self, *, now: bool) -> None:
        """Let the thread end, when it has a result if not `now`."""
        if now:
            self._is_ending = True
            self._kill()

    def _start(self) -> None:
        self._executor = ProcessPoolExecutor(
            1, _context(), initializer=_begin_worker, initargs=(self._engine.memory_bytes,)
        )
        self._ready = self._executor.submit(os.getpid)

    def _kill(self) -> None:
        processes = list((self._executor._processes or {}).values())
        self._executor.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.kill()
        for process in processes:
            process.join()

    def _serve(self) -> None:
        while (job := self._engine.next_job(self._name)) is not None:
            if job.future.set_running_or_notify_cancel():
                self._do(job)
        self._kill()

    def _do(self, job: _Job) -> None:
        try:
            outcome = self._result(job)
        except BaseException as error:  # it goes to whoever waits for it, whatever it is
            job.future.set_exception(error)
        else:
            job.future.set_result(outcome)

    def _result(self, job: _Job) -> Outcome:
        try:
            self._ready.result()
            return self._given(job).result(job.limits.seconds)
        except TimeoutError:
            self._replace()
            reason = f"It hung: it was ended after {job.limits.seconds:.0f} seconds."
            raise WorkerLostError(reason, worker=self._name) from None
        except (BrokenProcessPool, RuntimeError) as error:
            if self._is_ending:
                raise WorkerLostError("It was stopped.", worker=self._name) from error
            if not self._did_start():
                if self._has_failed_to_start:
                    raise NEVER_BEGAN from error
                self._has_failed_to_start = True  # it may be that a signal met it
            self._replace()
            raise WorkerLostError(ENDED, worker=self._name) from error

    def _given(self, job: _Job) -> Future[Outcome]:
        given = partial(attempt, job.work, job.item, job.limits.threads, self._name)
        try:
            return self._executor.submit(given)
        except BrokenProcessPool:  # it died while it had nothing to do
            self._replace()
            return self._executor.submit(given)

    def _did_start(self) -> bool:
        return self._ready.done() and not self._ready.cancelled() and self._ready.exception() is None

    def _replace(self) -> None:
        self._kill()
        if not self._is_ending:
            self._start()


def _check_script() -> None:
    """Refuse a script that no worker can import, before any tries."""
    file = getattr(sys.modules["__main__"], "__file__", None)
    if file is not None and file.startswith("<"):
        raise InputError(
            found=f"The running script is read from {file}.",
            needed="A script in a file: each worker imports the file that started it.",
            do="Save it as a file, or run in this process with jobs=1.",
        )


def _context() -> BaseContext:
    """How workers start: never forked from this process, for torch's threads do not survive that."""
    return multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")


def _start_server() -> None:
    """Start the server that workers are forked from; Ctrl-C is ignored by it, and so by workers from their birth."""
    if sys.platform != "linux":
        return
    from multiprocessing import forkserver  # Windows has none

    _context().set_forkserver_preload(["medladder.fleets", "medladder.rungs.fleet"])
    if threading.current_thread() is not threading.main_thread():
        forkserver.ensure_running()
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        forkserver.ensure_running()
    finally:
        signal.signal(signal.SIGINT, before)


def _begin_worker(most_bytes: int | None) -> None:
    """Leave Ctrl-C to the main process, end when it is gone, and have imports behind it when work comes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with limit_threads(1):
        pass
    if most_bytes is not None and not _has_gpu():  # a GPU's driver takes address space that is no memory
        limit_memory(most_bytes)


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for_handles([parent.sentinel])
        os._exit(1)
