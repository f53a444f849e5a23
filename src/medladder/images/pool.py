"""Processes that decode images side by side, under limits of time and memory, kept for the next call.

A C decoder cannot be stopped from within, so it runs in a process that can be ended from without (`worker`). Jobs go
out in bundles and are answered one by one, so that the one that takes too long or ends the process is known.
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
import time
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from jaxtyping import UInt

from ..language import phrase
from ..machine import n_processors

SECONDS_A_FILE = 10.0
"""No file may take longer; a series as often as it has files."""

_SECONDS_TO_START = 60.0

COMMAND = (sys.executable, "-m", "medladder.images.worker")

READY = b"ready\n"
"""What a process says first."""

_SETTINGS = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"), "1"),
    # glibc and Pillow keep the memory of one image for the next: fresh pages for each cost time in the kernel.
    **dict.fromkeys(("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"), str(32 * 2**20)),
    "PILLOW_BLOCKS_MAX": "4",
}
_BUNDLE = 32
_AHEAD = 2

Job = dict[str, Any]
Answer = dict[str, Any]


class _Worker:
    """One process, started when first asked, and again after it ended."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._is_closed = False
        self._asked: subprocess.Popen[bytes] | None = None
        self._until = 0.0
        self.was_slow = False

    def ask(self, jobs: Sequence[Job]) -> Iterator[Answer]:
        """Answers as they come, pixels under `pixels`; fewer than jobs where one ended the process or was too slow."""
        self.was_slow = False
        if self._is_closed:
            return
        n_answered = 0
        self._until = time.monotonic() + _SECONDS_TO_START
        is_new = self._process is None
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        self._asked = process
        _watch(self)
        try:
            if is_new and process.stdout.readline() != READY:
                raise EOFError
            self._allow(jobs[0])
            process.stdin.write(json.dumps(jobs, separators=(",", ":")).encode() + b"\n")
            process.stdin.flush()
            for at in range(len(jobs)):
                line = process.stdout.readline()
                if not line.endswith(b"\n"):
                    break
                answer = _with_pixels(json.loads(line), process)
                self._allow(jobs[min(at + 1, len(jobs) - 1)])
                n_answered += 1
                yield answer
        except (OSError, EOFError, ValueError):
            pass  # the process ended
        finally:
            self._asked = None
            if n_answered < len(jobs):
                self.end()

    def _allow(self, job: Job) -> None:
        self._until = time.monotonic() + SECONDS_A_FILE * _files_of(job)

    def end_if_slow(self) -> None:
        """Kill the process if it has been at a file for too long."""
        process = self._asked
        if process is not None and time.monotonic() >= self._until:
            self.was_slow = True
            process.kill()

    def _start(self) -> subprocess.Popen[bytes]:
        places = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        self._process = subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **places, **_SETTINGS},
        )
        return self._process

    def interrupt(self) -> None:
        """Leave what is under way unanswered."""
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


_watched: weakref.WeakSet[_Worker] = weakref.WeakSet()
_watch_lock = threading.Lock()
_watchman: threading.Thread | None = None


def _watch(worker: _Worker) -> None:
    """Have one thread look after every process that is asked: to start one for each question would cost more."""
    global _watchman
    if worker in _watched and _watchman is not None and _watchman.is_alive():
        return
    with _watch_lock:
        _watched.add(worker)
        if _watchman is None or not _watchman.is_alive():
            _watchman = threading.Thread(target=_keep_watch, name="watchman", daemon=True)
            _watchman.start()


def _keep_watch() -> None:
    while True:
        time.sleep(SECONDS_A_FILE / 10)
        with _watch_lock:
            workers = list(_watched)
        for worker in workers:
            worker.end_if_slow()


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
        return list(self._answers(jobs, asked))

    def answer_together(self, jobs: Sequence[Job]) -> Iterator[Answer]:
        """Answers of one process, each as soon as it is there; for a few jobs, and from several threads at once."""
        return self._answers(jobs, _Asked())

    def _answers(self, jobs: Sequence[Job], asked: _Asked) -> Iterator[Answer]:
        worker = self._idle.get()
        asked.busy.add(worker)
        n_answered = 0
        try:
            while n_answered < len(jobs):
                for answer in worker.ask(jobs[n_answered:]):
                    n_answered += 1
                    yield answer
                if asked.is_stopped:
                    return
                if n_answered < len(jobs):
                    n_answered += 1
                    yield self._blame(worker, jobs[n_answered - 1])
        finally:
            asked.busy.discard(worker)
            self._idle.put(worker)

    @staticmethod
    def _blame(worker: _Worker, job: Job) -> Answer:
        """Why a job was not answered; where it ended the process, another is asked: memory may have run low."""
        if not worker.was_slow:
            for answer in worker.ask([job]):
                return answer
        is_slow = worker.was_slow
        reason = (
            f"reading it takes longer than {SECONDS_A_FILE:g} s" if is_slow else phrase("reading it ended the decoder")
        )
        return {"reason": reason}

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


def _end_pool() -> None:
    if _pool is not None:
        _pool.end()


def _forget() -> None:
    global _pool
    _pool = None


atexit.register(_end_pool)

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)  # a forked process must not talk into its parent's pipes
