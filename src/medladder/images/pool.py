"""Processes that decode images side by side, under limits of time and memory, kept for the next call.

A C decoder cannot be stopped from within, so it runs in a process that can be ended from without (`worker`). Jobs go
out in bundles; where a bundle takes too long or ends its process, its jobs are given out again one by one, and the one
to blame is answered with a reason.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import json
import os
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from jaxtyping import UInt

SECONDS_A_FILE = 10.0
"""No file may take longer; a series as often as it has files."""

COMMAND = (sys.executable, "-m", "medladder.images.worker")

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")
_BUNDLE = 16
_AHEAD = 2

Job = dict[str, Any]
Answer = dict[str, Any]


class _Worker:
    """One process, started when first asked, and again after it ended."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._is_closed = False
        self.was_slow = False

    def ask(self, jobs: Sequence[Job]) -> list[Answer] | None:
        """Answers to all jobs, pixels under `pixels`; None where the process ended or was ended for its slowness."""
        self.was_slow = False
        if self._is_closed:
            return None
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        clock = threading.Timer(SECONDS_A_FILE * sum(_files_of(job) for job in jobs), self._end_slow)
        clock.daemon = True
        clock.start()
        try:
            process.stdin.write(json.dumps(jobs, separators=(",", ":")).encode() + b"\n")
            process.stdin.flush()
            line = process.stdout.readline()
            answers = None if not line.endswith(b"\n") else [_with_pixels(one, process) for one in json.loads(line)]
        except (OSError, EOFError, ValueError):
            answers = None
        finally:
            clock.cancel()
        if answers is None:
            self.end()
        return answers

    def _start(self) -> subprocess.Popen[bytes]:
        places = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        threads = dict.fromkeys(
            ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"), "1"
        )
        self._process = subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **places, **threads},
        )
        return self._process

    def _end_slow(self) -> None:
        self.was_slow = True
        self.interrupt()

    def interrupt(self) -> None:
        """Have a question that is under way answered by None."""
        process = self._process
        if process is not None:
            process.kill()

    def close(self) -> None:
        """End the process for good."""
        self._is_closed = True
        self.end()

    def end(self) -> None:
        """End the process; the next question starts another."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # what was still to be written goes nowhere
                    pipe.close()
        process.wait()


def _files_of(job: Job) -> int:
    return len(job.get("prepare", "1"))


def _with_pixels(answer: Answer, process: subprocess.Popen[bytes]) -> Answer:
    if "shape" not in answer:
        return answer
    dtype, shape = np.dtype(answer.pop("dtype")), tuple(answer.pop("shape"))
    size = int(np.prod(shape)) * dtype.itemsize
    assert process.stdout is not None
    data = process.stdout.read(size)
    if len(data) < size:
        raise EOFError
    pixels: UInt[np.ndarray, "..."] = np.frombuffer(data, dtype).reshape(shape)
    return {**answer, "pixels": pixels}


class Pool:
    """Decoding processes, as many as the machine has processors for us."""

    def __init__(self, n_workers: int) -> None:
        self._workers = [_Worker() for _ in range(n_workers)]
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        for worker in self._workers:
            self._idle.put(worker)

    def answer(self, jobs: Iterable[Job]) -> Iterator[Answer]:
        """Answers in the order of the jobs; a few bundles are under way ahead of what is taken."""
        bundles, asked = _bundled(jobs), _Asked()
        threads = ThreadPoolExecutor(len(self._workers))
        coming: deque[Future[list[Answer]]] = deque()
        try:
            for bundle in itertools.islice(bundles, _AHEAD * len(self._workers)):
                coming.append(threads.submit(self._answer_bundle, bundle, asked))
            while coming:
                answers = coming.popleft().result()
                for bundle in itertools.islice(bundles, 1):
                    coming.append(threads.submit(self._answer_bundle, bundle, asked))
                yield from answers
        finally:
            asked.stop()  # nobody waits for the rest, after a Ctrl-C for example
            threads.shutdown(wait=False, cancel_futures=True)

    def _answer_bundle(self, jobs: list[Job], asked: _Asked) -> list[Answer]:
        worker = self._idle.get()
        asked.busy.add(worker)
        try:
            answers = worker.ask(jobs)
            if answers is not None:
                return answers
            if len(jobs) == 1 or asked.is_stopped:
                return [_blame(worker)] * len(jobs)
            return [self._answer_alone(worker, job, asked) for job in jobs]
        finally:
            asked.busy.discard(worker)
            self._idle.put(worker)

    @staticmethod
    def _answer_alone(worker: _Worker, job: Job, asked: _Asked) -> Answer:
        answers = None if asked.is_stopped else worker.ask([job])
        return _blame(worker) if answers is None else answers[0]

    def end(self) -> None:
        """End all processes."""
        for worker in self._workers:
            worker.close()


class _Asked:
    """One series of questions: the workers that are busy with it, and whether anyone still waits."""

    def __init__(self) -> None:
        self.busy: set[_Worker] = set()
        self.is_stopped = False

    def stop(self) -> None:
        """Let what is under way come to nothing."""
        self.is_stopped = True
        for worker in list(self.busy):
            worker.interrupt()


def _blame(worker: _Worker) -> Answer:
    if worker.was_slow:
        return {"reason": f"reading it takes longer than {SECONDS_A_FILE:g} s"}
    return {"reason": "reading it ended the decoder"}


def _bundled(jobs: Iterable[Job]) -> Iterator[list[Job]]:
    """Bundles of files that are read one by one; a series goes alone."""
    bundle: list[Job] = []
    for job in jobs:
        if _files_of(job) > 1:
            yield [job]
            continue
        bundle.append(job)
        if len(bundle) == _BUNDLE:
            yield bundle
            bundle = []
    if bundle:
        yield bundle


_pool: Pool | None = None


def decoding_pool() -> Pool:
    """The pool of this process; its workers live until the process ends."""
    global _pool
    if _pool is None:
        _pool = Pool(n_processors())
    return _pool


def n_processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _end_pool() -> None:
    if _pool is not None:
        _pool.end()


def _forget() -> None:
    global _pool
    _pool = None


atexit.register(_end_pool)

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)  # a forked process must not talk into its parent's pipes
