"""Runs fleets on this machine: one process a slot, one thread a process unless slots outnumber fleets.

A dead worker costs its own fleet only. On Linux workers are forked from a server that has imported what they need
and nothing else, so that two workers cost the imports of one; elsewhere each is spawned and imports for itself.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import wait as wait_for_handles
from multiprocessing.context import BaseContext
from types import TracebackType
from typing import TypeVar

from .errors import InputError

Item = TypeVar("Item")
Result = TypeVar("Result")


EARLY_SLOTS = 2
"""Workers that start before it is known how much there is to do."""


@dataclass(frozen=True)
class WorkerDied:
    """In place of a result: the worker was ended from outside, most often for want of memory."""

    reason: str = "The worker process ended without a word, most often because memory ran out."


class LocalEngine:
    """Slots that each own one worker process; used as a context manager, within which the workers start at once.

    `jobs` of 1 runs everything in this process.
    """

    def __init__(self, jobs: int | None = None) -> None:
        self.jobs = jobs if jobs is not None else (os.cpu_count() or 1)
        self._slots: list[_Slot] = []

    def __enter__(self) -> LocalEngine:
        if self.jobs > 1:
            _check_script()
            self._slots = [_Slot() for _ in range(min(self.jobs, EARLY_SLOTS))]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for slot in self._slots:
            slot.end()

    def run(
        self, work: Callable[[Item], Result], items: Sequence[Item], *, threads: int = 1
    ) -> Iterator[tuple[Item, Result | WorkerDied]]:
        """Do the work on every item, handing out results as they come; an exception in the work is raised here.

        Raises
        ------
        InputError
            Workers cannot start, most often because a script is not guarded by `if __name__ == "__main__":`.
        """
        if self.jobs == 1:
            for item in items:
                yield item, _limited(work, threads, item)
            return
        waiting = deque(items)
        while len(self._slots) < min(self.jobs, len(items)):
            self._slots.append(_Slot())
        running: dict[Future[Result], tuple[Item, int]] = {}
        free = list(range(len(self._slots)))
        while waiting or running:
            while waiting and free:
                place, item = free.pop(), waiting.popleft()
                running[self._submitted(place, partial(_limited, work, threads), item)] = (item, place)
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                item, place = running.pop(future)
                free.append(place)
                try:
                    yield item, future.result()
                except BrokenProcessPool:
                    self._replace(place)
                    yield item, WorkerDied()

    def _submitted(self, place: int, work: Callable[[Item], Result], item: Item) -> Future[Result]:
        try:
            return self._slots[place].executor.submit(work, item)
        except BrokenProcessPool:  # it died while it had nothing to do
            self._replace(place)
            return self._slots[place].executor.submit(work, item)

    def _replace(self, place: int) -> None:
        slot = self._slots[place]
        slot.end()
        if not slot.did_start:
            raise InputError(
                found="The worker processes ended while they were starting.",
                needed="A script that may be imported: each worker imports the file that started it.",
                do="Put the call below a line 'if __name__ == \"__main__\":', or run in this process with jobs=1.",
            )
        self._slots[place] = _Slot()


class _Slot:
    """One worker process and whether it ever started."""

    def __init__(self) -> None:
        self.executor = ProcessPoolExecutor(1, _context(), initializer=_begin_worker)
        self._ready = self.executor.submit(os.getpid)

    @property
    def did_start(self) -> bool:
        return self._ready.done() and not self._ready.cancelled() and self._ready.exception() is None

    def end(self) -> None:
        processes = list((self.executor._processes or {}).values())
        self.executor.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.kill()
        for process in processes:
            process.join()


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
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["medladder.fleets", "medladder.rungs.fleet"])
    return server


def _begin_worker() -> None:
    """Leave Ctrl-C to the main process, end when it is gone, and have imports behind it when work comes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with limit_threads(1):
        return


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for_handles([parent.sentinel])
        os._exit(1)


def _limited(work: Callable[[Item], Result], threads: int, item: Item) -> Result:
    with limit_threads(threads):
        return work(item)


@contextmanager
def limit_threads(threads: int) -> Iterator[None]:
    """So many threads for linear algebra and torch while this holds.

    Measured: two one-thread processes scale 1.98 times, while two threads a process fight over the cores
    (docs/LOG.md).
    """
    import scipy.linalg  # noqa: F401 - its own BLAS is limited only if it is loaded by now
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(threads):
            yield
    finally:
        torch.set_num_threads(before)
