"""Work on a Dask cluster: a scheduler and workers as processes of their own on loopback, started by hand."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import medladder as ml
from medladder.engine.cluster import DaskEngine, open_address, open_local, open_slurm
from medladder.engine.contract import EngineLostError, Limits, Lost
from medladder.engine.data import SharedArray
from medladder.engine.running import run_tasks
from medladder.errors import OptionError
from test_engine import double
from test_faults import evidence_of, recorded, wait_until

TESTS = Path(__file__).parent
WORDS = ["--rungs", "prior,logistic", "--rung", "nn:width=8,members=1", "--sizes", "16,all", "--repeats", "3", "--json"]


def sum_of(array: SharedArray) -> int:
    return int(array.mapped().sum())


def hang_at_two(number: int) -> int:
    time.sleep(600 if number == 2 else 0)
    return 2 * number


def die_of_two(number: int) -> int:
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * number


class Cluster:
    """A scheduler and its workers, each of which may keep no copy that another has."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.processes = folder, []
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"dask://127.0.0.1:{self.port}"
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", str(self.port))
        wait_until(self._answers)
        self.workers = [self._worker() for _ in range(2)]

    def _worker(self) -> subprocess.Popen[bytes]:
        return self._start(
            "worker", f"127.0.0.1:{self.port}", "--nthreads", "1", "--local-directory", str(self.folder / "local")
        )

    def _start(self, *words: str) -> subprocess.Popen[bytes]:
        paths = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
        with (self.folder / f"{len(self.processes)}.log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "dask", *words, "--no-dashboard"],
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": paths},
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def _answers(self) -> bool:
        with socket.socket() as door:
            return door.connect_ex(("127.0.0.1", self.port)) == 0

    def end(self) -> None:
        for process in reversed(self.processes):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster that no test kills as a whole."""
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    yield cluster
    cluster.end()


@pytest.fixture
def engine(standing: Cluster) -> Iterator[DaskEngine]:
    with open_address(standing.address, print) as engine:
        wait_until(lambda: engine.n_workers == 2)
        yield engine


def test_work_is_done_and_what_is_lost_is_tried_again(engine: DaskEngine) -> None:
    assert sorted(run_tasks(engine, double, range(8))) == [(i, 2 * i) for i in range(8)]
    assert engine.unheld == ()
    assert engine.memory_bytes
    retried: list[int] = []
    limits: dict[str, Any] = {"limits_of": lambda _: Limits(seconds=15)}
    limits["told_retry"] = lambda item, reason: retried.append(item)
    results = dict(run_tasks(engine, hang_at_two, range(5), **limits))
    assert results.pop(2) == Lost("It hung: its worker was ended after 15 seconds.")
    assert results == {i: 2 * i for i in (0, 1, 3, 4)}
    assert retried == [2]
    results = dict(run_tasks(engine, die_of_two, range(5)))
    assert "most often because memory ran out" in results.pop(2).reason
    assert results == {i: 2 * i for i in (0, 1, 3, 4)}


@pytest.mark.skipif(sys.platform != "linux", reason="a path that this process alone can open")
def test_an_array_that_is_not_shared_is_sent_once_a_worker(engine: DaskEngine, standing: Cluster) -> None:
    numbers = standing.folder / "numbers.npy"
    np.save(numbers, np.arange(5_000_000))
    with numbers.open("rb") as file:
        ours = SharedArray(Path(f"/proc/self/fd/{file.fileno()}"), "numbers.npy", numbers.stat().st_size)
        found = list(run_tasks(engine, sum_of, [ours] * 8))
    assert [result for _, result in found] == [int(np.arange(5_000_000).sum())] * 8
    copies = list((standing.folder / "local").rglob("numbers.npy"))
    assert 1 <= len(copies) <= 2, "one a worker at most"
    assert all(stat.S_IMODE(copy.parent.stat().st_mode) == 0o700 for copy in copies), "of images of patients"


def test_a_worker_killed_costs_nothing_and_without_a_scheduler_it_stops_and_goes_on(
    class_folders: Path, tmp_path: Path
) -> None:
    cluster = Cluster(tmp_path)
    words = [sys.executable, "-m", "medladder", "study", str(class_folders), "--cache", str(tmp_path / "cache")]
    words += [*WORDS, "--out"]
    run, n_fleets = tmp_path / "run", 3 * 2 * 5
    try:
        study = subprocess.Popen([*words, str(run), "--engine", cluster.address], stdout=subprocess.PIPE, text=True)
        wait_until(lambda: len(recorded(run)) > 4)
        os.killpg(cluster.workers[0].pid, signal.SIGKILL)
        after = len(recorded(run))
        wait_until(lambda: len(recorded(run)) > after + 4)
        assert study.poll() is None, "it goes on with the other"
        os.killpg(cluster.scheduler.pid, signal.SIGKILL)
        said, _ = study.communicate(timeout=90)
        assert study.returncode == 2
        assert "The Dask scheduler is gone" in said
        assert "the study goes on where it stopped" in said
        assert len(recorded(run)) < n_fleets
        assert not (run / ".lock").exists()
    finally:
        cluster.end()
    for out in (run, tmp_path / "whole"):  # on this machine's own processes
        subprocess.run([*words, str(out), "--jobs", "2"], check=True, capture_output=True)
    assert evidence_of(run) == evidence_of(tmp_path / "whole")
    assert len(set(recorded(run))) == len(recorded(run)) == n_fleets


def test_a_cluster_of_this_machine_finds_the_same(class_folders: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "medladder", "study", str(class_folders), "--cache", str(tmp_path / "cache")]
    for name in ("local", "dask"):
        out = [*WORDS, "--jobs", "2", "--engine", name, "--out", str(tmp_path / name)]
        subprocess.run([*words, *out], check=True, capture_output=True)
    assert evidence_of(tmp_path / "dask") == evidence_of(tmp_path / "local")


SBATCH = """#!{python}
import subprocess, sys
lines = open(sys.argv[-1]).read().splitlines()
with open({told!r}, "a") as told:
    told.write("\\n".join(line for line in lines if line.startswith("#SBATCH")) + "\\n")
subprocess.Popen(["bash", sys.argv[-1]], stdout=open({log!r}, "a"), stderr=subprocess.STDOUT, start_new_session=True)
print("Submitted batch job 1")
"""


def test_slurm_is_asked_for_workers(class_folders: Path, tmp_path: Path) -> None:
    """There is no Slurm here: a stand-in runs what it is given at once."""
    commands = tmp_path / "bin"
    commands.mkdir()
    told = tmp_path / "told.txt"
    (commands / "sbatch").write_text(
        SBATCH.format(python=sys.executable, told=str(told), log=str(tmp_path / "log.txt"))
    )
    (commands / "scancel").write_text(f"#!/bin/sh\npkill -f {tmp_path}/local\n")
    for command in commands.iterdir():
        command.chmod(0o755)
    settings = tmp_path / "dask"
    settings.mkdir()
    (settings / "jobqueue.yaml").write_text(
        "jobqueue:\n  slurm:\n    cores: 1\n    processes: 1\n    memory: 2GiB\n    queue: short\n"
        f"    interface: lo\n    local-directory: {tmp_path}/local\n    walltime: '00:10:00'\n"
    )
    path = f"{commands}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "DASK_CONFIG": str(settings)}
    words = [sys.executable, "-m", "medladder", "study", str(class_folders), "--cache", str(tmp_path / "cache")]
    done = subprocess.run(
        [*words, *WORDS, "--engine", "slurm", "--jobs", "2", "--out", str(tmp_path / "run")],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "2 workers are asked of Slurm" in done.stderr
    assert "talk without TLS" in done.stderr
    assert "#SBATCH -p short" in told.read_text()
    assert "#SBATCH -t 00:10:00" in told.read_text()
    assert len(recorded(tmp_path / "run")) == 3 * 2 * 5


def test_without_sbatch_slurm_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OptionError, match=r"sbatch, and cores.*jobqueue\.yaml"):
        open_slurm(2, print)


def test_an_open_port_on_another_machine_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medladder.engine.cluster.SECONDS_TO_CONNECT", 0.5)
    said: list[str] = []
    with pytest.raises(OptionError, match=r"No Dask scheduler answers at 192\.0\.2\.1:8786"):
        open_address("dask://192.0.2.1:8786", said.append)
    assert "neither TLS nor this machine" in said[0]
    said.clear()
    with pytest.raises(OptionError, match="No Dask scheduler answers"):
        open_address("dask://localhost:1", said.append)
    assert not said


def test_a_cluster_with_another_version_is_refused(standing: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medladder.engine.cluster.__version__", "99.0")
    with pytest.raises(OptionError, match=rf"another medladder: {ml.__version__}.*Version 99\.0"):
        open_address(standing.address, print)


def test_a_cluster_of_this_machine_ends_with_the_engine() -> None:
    with open_local(2) as engine:
        assert dict(run_tasks(engine, double, range(3))) == {0: 0, 1: 2, 2: 4}
        assert engine.n_workers == 2

    with pytest.raises(EngineLostError, match="scheduler is gone"):
        _ = engine.lanes
