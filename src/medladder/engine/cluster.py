"""A Dask cluster as an engine: one of this machine, one that runs already, or one that Slurm starts.

Each piece of work under way has a thread here that waits for it, sends a worker the arrays it lacks, and ends a worker
that hangs. All else, from finding a worker to restarting it, is Dask's.
"""

from __future__ import annotations

import contextlib
import ipaddress
import itertools
import logging
import os
import pickle
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlparse

import distributed
from distributed import Client, KilledWorker, LocalCluster, Security

from medladder import __version__
from medladder.errors import OptionError

from .contract import CPU, GPU, EngineLostError, Limits, Outcome, Work, WorkerLostError, attempt
from .data import CHUNK_BYTES, SharedArray, keep_copies_in, receive

SECONDS_TO_CONNECT = 15.0
SECONDS_WITHOUT_WORKERS = 60.0
"""So long a cluster that is not started by us may be without any worker."""

MOST_AT_ONCE = 4096
"""Threads that wait for pieces of work; no more are under way."""

_SECONDS_BETWEEN_LOOKS = 2.0
_SECONDS_TO_RESTART = 20.0

_BUSY = threading.Lock()
"""On a worker: threads of one process would fight over what limits threads, so that they take turns."""


class DaskEngine:
    """Workers of a Dask cluster.

    Workers that were started with `--resources GPU=1` take the deep rungs, the others the conventional ones. `is_ours`:
    the cluster ends with this engine. `is_patient`: it may be without workers for as long as it likes, as in a queue.
    """

    def __init__(
        self,
        client: Client,
        *,
        end_cluster: Callable[[], Any] | None = None,
        is_patient: bool = False,
        unheld: tuple[str, ...] = (),
    ) -> None:
        for name in ("distributed", "distributed.client", "distributed.nanny", "distributed.core"):
            logging.getLogger(name).setLevel(logging.ERROR)  # what it warns of, a person is told by us
        self._client = client
        self._end_cluster = end_cluster
        self._is_patient = is_patient
        self._threads = ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="dask")
        self._sending: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()
        self._numbers = itertools.count()
        self._alone_since: float | None = None
        self.unheld = unheld
        self.memory_bytes = min((one["memory_limit"] or 0 for one in self._workers().values()), default=0) or None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.close(now=True)

    @property
    def n_workers(self) -> int:
        """Worker processes there are at present."""
        return len(self._workers())

    @property
    def lanes(self) -> Mapping[str, int]:
        """Workers of each kind there are at present.

        Raises
        ------
        EngineLostError
            There have been none for a minute, or the scheduler is gone.
        """
        workers = self._workers()
        gpus = sum(_has_gpu(one) for one in workers.values())
        self._check_company(len(workers))
        return {CPU: len(workers) - gpus, GPU: gpus}

    def submit(self, work: Work, item: Any, limits: Limits, *, lane: str = CPU, avoid: str = "") -> Future[Outcome]:
        """See `Engine`."""
        return self._threads.submit(self._follow, work, item, limits, lane, avoid)

    def close(self, *, now: bool = False) -> None:
        """Leave the cluster, and end it if it is ours; `now`: whatever is under way is not waited for."""
        self._threads.shutdown(wait=not now, cancel_futures=True)
        with _hushed(), contextlib.suppress(Exception):  # it may be gone already
            self._client.close(timeout=5)
        if self._end_cluster is not None:
            with _hushed(), contextlib.suppress(Exception):
                self._end_cluster()

    def _workers(self) -> dict[str, dict[str, Any]]:
        if self._client.status not in ("running", "connecting", "newly-created"):
            raise self._lost()
        return dict(self._client.scheduler_info()["workers"]) if self._client.status == "running" else {}

    def _check_company(self, n_workers: int) -> None:
        now = time.monotonic()
        if n_workers or self._is_patient:
            self._alone_since = None
        elif self._alone_since is None:
            self._alone_since = now
        elif now - self._alone_since > SECONDS_WITHOUT_WORKERS:
            raise self._lost()

    def _follow(self, work: Work, item: Any, limits: Limits, lane: str, avoid: str) -> Outcome:
        """Have one piece of work done: again with the data, if that is what was missing."""
        # The scheduler opens what it is sent, all but bytes: it needs neither our imports nor the time.
        parcel = pickle.dumps((work, item), protocol=pickle.HIGHEST_PROTOCOL)
        while True:
            outcome = self._once(parcel, limits, lane, avoid)
            if outcome.missing is None:
                return outcome
            self._send(outcome.missing.array, outcome.worker)

    def _once(self, parcel: bytes, limits: Limits, lane: str, avoid: str) -> Outcome:
        key = f"medladder-{os.getpid()}-{id(self):x}-{next(self._numbers)}"
        chosen = self._chosen(lane, avoid)
        try:
            given = self._client.submit(_on_worker, parcel, limits.threads, key=key, pure=False, **chosen)
            return self._waited(given, key, limits)
        except KilledWorker as error:
            raise WorkerLostError(
                f"It ended {error.allowed_failures + 1} Dask workers, most often because memory ran out.",
                is_final=True,
            ) from error
        except (CancelledError, distributed.client.FutureCancelledError, OSError, AttributeError) as error:
            raise self._lost() from error

    def _chosen(self, lane: str, avoid: str) -> dict[str, Any]:
        """Which workers may do it, in Dask's words."""
        if lane == GPU:
            return {"resources": {"GPU": 1}}
        workers = self._workers()
        others = [name for name, one in workers.items() if name != avoid and not _has_gpu(one)]
        if not others or len(others) == len(workers):
            return {}
        return {"workers": others, "allow_other_workers": True}

    def _waited(self, given: Any, key: str, limits: Limits) -> Outcome:
        began = time.monotonic()
        while True:
            try:
                outcome: Outcome = given.result(timeout=_SECONDS_BETWEEN_LOOKS)
                return outcome
            except TimeoutError:
                pass
            worker = self._where(key)
            if worker is None:
                began = time.monotonic()  # it waits for a worker
            elif limits.seconds is not None and time.monotonic() - began > limits.seconds:
                given.cancel(force=True)
                self._end_worker(worker)
                reason = f"It hung: its worker was ended after {limits.seconds:.0f} seconds."
                raise WorkerLostError(reason, worker=worker)

    def _where(self, key: str) -> str | None:
        """The worker that is at it now; None where it still waits for one."""
        if self._client.status != "running":
            return None
        for worker, keys in self._client.processing().items():
            if key in keys:
                return str(worker)
        return None

    def _end_worker(self, worker: str) -> None:
        """By its nanny, else from within; a worker without either goes on, and nothing waits for it."""
        known = self._workers().get(worker)
        with contextlib.suppress(Exception):
            if known is not None and known.get("nanny"):
                self._client.restart_workers([worker], timeout=_SECONDS_TO_RESTART, raise_for_error=False)
            else:
                self._client.run(os._exit, 1, workers=[worker], wait=False, on_error="ignore")

    def _send(self, array: SharedArray, worker: str) -> None:
        """Give one worker a copy, once: others that miss the same one meanwhile wait here and find it."""
        with self._guard:
            lock = self._sending.setdefault(f"{worker} {array.name}", threading.Lock())
        with lock, array.path.open("rb") as file:
            if self._ask(worker, _has_copy, array):
                return
            at = 0
            while chunk := file.read(CHUNK_BYTES):
                at = self._ask(worker, receive, array.name, at, chunk, array.n_bytes)

    def _ask(self, worker: str, question: Callable[..., Any], *words: Any) -> Any:
        try:
            return self._client.run(question, *words, workers=[worker])[worker]
        except Exception as error:
            raise WorkerLostError(f"Its data did not reach it ({error}).", worker=worker) from error

    def _lost(self) -> EngineLostError:
        return EngineLostError(
            found="The Dask scheduler is gone, or has no workers.",
            needed="A scheduler that answers, and a worker or more.",
            do="Start it again, then give the same command again: the study goes on where it stopped, on any engine.",
        )


def _has_gpu(worker: Mapping[str, Any]) -> bool:
    return bool(worker.get("resources", {}).get("GPU", 0))


def _on_worker(parcel: bytes, threads: int) -> Outcome:
    """What a Dask worker is asked to run."""
    worker = distributed.get_worker()
    keep_copies_in(Path(worker.local_directory) / "medladder")
    with _BUSY:
        return attempt(_do, parcel, threads, worker.address)


def _do(parcel: bytes) -> Any:
    work, item = pickle.loads(parcel)  # noqa: S301 - from whoever may run code here: Dask's own messages are no safer
    return work(item)


def _has_copy(array: SharedArray, dask_worker: distributed.Worker) -> bool:
    keep_copies_in(Path(dask_worker.local_directory) / "medladder")
    return array.is_here()


# Opening one


def open_local(jobs: int) -> DaskEngine:
    """A cluster of this machine, of so many workers, that ends with the engine."""
    import dask

    with _hushed(), dask.config.set({"distributed.scheduler.allowed-failures": 1}):
        cluster = LocalCluster(n_workers=jobs, threads_per_worker=1, dashboard_address="127.0.0.1:0", host="127.0.0.1")
        client = Client(cluster, set_as_default=False)
    return DaskEngine(client, end_cluster=lambda: cluster.close())


def open_address(address: str, say: Callable[[str], None]) -> DaskEngine:
    """The cluster whose scheduler listens at dask://HOST:PORT; by TLS where Dask's own settings name certificates.

    Raises
    ------
    OptionError
        Nobody answers there, or its workers are without medladder, or with another version of it.
    """
    security = Security()
    has_tls = security.get_connection_args("client").get("ssl_context") is not None
    place = urlparse(address)
    if place.hostname is None or place.port is None:
        raise OptionError(
            found=f"--engine {address}.", needed="dask://HOST:PORT.", do="For example --engine dask://10.0.0.5:8786."
        )
    if not has_tls and not _is_loopback(place.hostname):
        say(
            f"Warning: {address} is neither TLS nor this machine: whoever reaches that port can run code on the "
            "cluster and read what is sent. Set up TLS in Dask's settings (distributed.comm.tls)."
        )
    try:
        with _hushed():
            client = Client(
                f"{'tls' if has_tls else 'tcp'}://{place.hostname}:{place.port}",
                security=security,
                timeout=SECONDS_TO_CONNECT,
                set_as_default=False,
            )
    except (OSError, TimeoutError) as error:
        raise OptionError(
            found=f"No Dask scheduler answers at {place.hostname}:{place.port}.",
            needed="One that runs: dask scheduler, and dask worker HOST:PORT --nthreads 1.",
            do="Start it, or check host and port.",
        ) from error
    try:
        _check_workers(client)
        unheld = _told_of(client.scheduler_info()["workers"])
    except BaseException:
        client.close(timeout=5)
        raise
    return DaskEngine(client, unheld=unheld)


def open_slurm(jobs: int, say: Callable[[str], None]) -> DaskEngine:
    """Workers that Slurm starts, so many; how, is said in dask-jobqueue's own settings file, jobqueue.yaml.

    Raises
    ------
    OptionError
        dask-jobqueue's settings lack something, or sbatch is not there.
    """
    from dask_jobqueue.slurm import SLURMCluster

    try:
        if shutil.which("sbatch") is None:
            raise OSError("there is no sbatch here")
        with _hushed():
            cluster = SLURMCluster()
            cluster.scale(jobs)
            client = Client(cluster, set_as_default=False)
    except (OSError, ValueError, RuntimeError) as error:
        raise OptionError(
            found=f"Slurm's workers cannot be asked for ({error}).",
            needed="sbatch, and cores, memory and what else your site asks for under jobqueue.slurm in "
            "~/.config/dask/jobqueue.yaml.",
            do="See README, «On a cluster».",
        ) from error
    if not str(cluster.scheduler_address).startswith("tls://"):
        say(
            "Warning: workers and scheduler talk without TLS: whoever reaches the scheduler's port can run code on the "
            "cluster. Set protocol: tls:// under jobqueue.slurm if your network is not your own."
        )
    say(f"{jobs} workers are asked of Slurm; the study begins with the first that starts.")
    return DaskEngine(client, end_cluster=cluster.close, is_patient=True)


def _check_workers(client: Client) -> None:
    deadline = time.monotonic() + SECONDS_TO_CONNECT
    while not client.scheduler_info()["workers"] and time.monotonic() < deadline:
        time.sleep(0.2)
    workers = client.scheduler_info()["workers"]
    if not workers:
        raise OptionError(
            found="The Dask scheduler has no workers.",
            needed="One or more.",
            do="Start some: dask worker HOST:PORT --nthreads 1.",
        )
    try:
        told = [client.run_on_scheduler(_version), *client.run(_version, on_error="return").values()]
    except Exception as error:  # whatever comes of a scheduler that cannot import us
        told = [f"none ({error})"]
    others = sorted({str(one) for one in told if one != __version__})
    if others:
        raise OptionError(
            found=f"Scheduler or workers of the Dask cluster have another medladder: {', '.join(others)}.",
            needed=f"Version {__version__} on all of them, as here.",
            do="Install it there: pip install 'medladder[cluster]' with the same constraints.",
        )


def _version() -> str:
    return __version__


def _told_of(workers: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    unheld = []
    if any(one.get("nthreads", 1) > 1 for one in workers.values()):
        unheld.append(
            "Some Dask workers have several threads, of which one fleet uses one: start them with --nthreads 1 "
            "--nworkers N."
        )
    if any(not one.get("nanny") for one in workers.values()):
        unheld.append("Some Dask workers have no nanny: one that is ended, or that takes too much memory, stays away.")
    return tuple(unheld)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextmanager
def _hushed() -> Iterator[None]:
    """Dask tells of connections that close while it closes them."""
    loggers = [logging.getLogger(name) for name in ("distributed", "distributed.nanny", "distributed.client", "bokeh")]
    before = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for one, level in zip(loggers, before, strict=True):
            one.setLevel(level)
