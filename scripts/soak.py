"""Studies under random kills for hours: `python scripts/soak.py FOLDER --hours 2`; figures go to FOLDER/soak.jsonl.

Study after study is run on this machine's processes and on a Dask cluster of one scheduler and two workers in turn, and
met by what goes wrong: SIGKILL, SIGTERM and Ctrl-C to the study, SIGKILL to one of its workers or to the scheduler, a
torn line at the end of the journal, a line that stands there twice, a prediction file that is gone or altered. Each is
then given the same command again, until it ends. Its evidence must equal that of a study that nothing happened to, no
recorded fleet may have run twice unless its file was taken, and a kill may cost each slot one fleet at most.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import medladder as ml
from medladder.record.folder import StudyFolder

WORDS = ["demo:nodule", "--rungs", "prior,logistic,svm", "--rung", "nn:width=32,members=2"]
WORDS += [
    "--rung",
    "dnn:width=64,members=2",
    "--sizes",
    "30,60,120,240",
    "--repeats",
    "20",
    "--no-inspection",
    "--json",
]
SLOTS = 2
FLEETS = 5 * 4 * 4


@dataclass
class Told:
    """What came of one study."""

    engine: str
    seconds: float = 0.0
    faults: dict[str, int] = field(default_factory=dict)
    recorded: int = 0
    recorded_twice: int = 0
    taken: int = 0
    """Fleets whose record the soak itself took away."""
    lost: int = 0
    most_lost_a_kill: int = 0
    is_equal: bool = False
    clear_errors: int = 0


class Cluster:
    """A scheduler and two workers, begun again whenever one is gone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def mend(self) -> None:
        place = f"127.0.0.1:{self.port}"
        self._ensure("scheduler", "--host", "127.0.0.1", "--port", str(self.port))
        while True:
            with socket.socket() as door:
                if door.connect_ex(("127.0.0.1", self.port)) == 0:
                    break
            time.sleep(0.1)
        for number in range(SLOTS):
            folder = str(self.folder / "local")
            self._ensure(f"worker {number}", place, "--nthreads", "1", "--local-directory", folder)

    def _ensure(self, name: str, *words: str) -> None:
        process = self.processes.get(name)
        if process is None or process.poll() is not None:
            with (self.folder / "dask.log").open("a") as log:
                self.processes[name] = subprocess.Popen(
                    [sys.executable, "-m", "dask", name.split()[0], *words, "--no-dashboard"],
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )

    def kill(self, name: str) -> None:
        process = self.processes[name]
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def end(self) -> None:
        for name in self.processes:
            self.kill(name)


def evidence_of(folder: Path) -> dict[str, Any]:
    study = StudyFolder(folder)
    evidence = ml.weigh(study).to_json()
    evidence.pop("cost")
    return {**evidence, "digests": sorted((t.fleet, t.repeat, t.predictions_sha256) for t in study.read_trials())}


def names_of(out: Path, pattern: str) -> list[str]:
    log = out / "log.txt"
    return re.findall(pattern, log.read_text("utf-8"), re.MULTILINE) if log.exists() else []


def recorded(out: Path) -> list[str]:
    return names_of(out, r" (\S+): \d+ trials done")


def begun(out: Path) -> list[str]:
    return names_of(out, r" (\S+): begun$")


def workers_of(process: int) -> list[int]:
    found, seen = [], [process]
    while seen:
        one = seen.pop()
        try:
            children = Path(f"/proc/{one}/task/{one}/children").read_text().split()
            name = Path(f"/proc/{one}/cmdline").read_bytes()
        except OSError:
            continue
        if one != process and b"forkserver" in name and not children:
            found.append(one)
        seen += [int(child) for child in children]
    return found


def harm(out: Path, rng: random.Random, told: Told) -> None:
    """What copying, and network drives, do to a folder that nobody writes."""
    journal = out / "trials.jsonl"
    if not journal.exists() or rng.random() < 0.6:
        return
    kind = rng.choice(["torn line", "line twice", "file gone", "file altered"])
    lines = journal.read_bytes().splitlines(keepends=True)
    if not lines:
        return
    told.faults[kind] = told.faults.get(kind, 0) + 1
    if kind == "torn line":
        with journal.open("ab") as file:
            file.write(lines[0][: len(lines[0]) // 2])
        return
    if kind == "line twice":
        with journal.open("ab") as file:
            file.write(rng.choice(lines))
        return
    path = out / "predictions" / f"{json.loads(rng.choice(lines))['fleet']}.npz"
    told.taken += 1
    if kind == "file gone":
        path.unlink()
    else:
        content = bytearray(path.read_bytes())
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(content)


def run_one(folder: Path, engine: str, cluster: Cluster, whole: dict[str, Any], rng: random.Random) -> Told:
    out, told, began = folder / "run", Told(engine), time.monotonic()
    shutil.rmtree(out, ignore_errors=True)
    words = [sys.executable, "-m", "medladder", "study", *WORDS, "--out", str(out), "--cache", str(folder / "cache")]
    words += ["--jobs", str(SLOTS)] if engine == "local" else ["--engine", f"dask://127.0.0.1:{cluster.port}"]
    while True:
        if engine == "dask":
            cluster.mend()
        lost_before = len(begun(out)) - len(recorded(out))
        with (folder / "said.txt").open("w") as said:
            process = subprocess.Popen(words, stdout=said, stderr=said, start_new_session=True)
            fault = meet(process, out, engine, cluster, rng, told)
            code = process.wait()
        lost = len(begun(out)) - len(recorded(out)) - lost_before
        told.lost += lost
        told.most_lost_a_kill = max(told.most_lost_a_kill, lost)
        if code == 0:
            break
        text = (folder / "said.txt").read_text()
        assert "Traceback" not in text, text
        if fault == "kill the scheduler" and code == 2:
            assert "scheduler is gone" in text, text
            told.clear_errors += 1
        else:
            assert code == {"kill": -9, "terminate": 143, "interrupt": 130, "interrupt twice": 130}.get(fault), (
                fault,
                code,
                text,
            )
        harm(out, rng, told)
    counts = Counter(recorded(out))
    told.recorded = len(counts)
    told.recorded_twice = sum(counts.values()) - len(counts)
    told.is_equal = evidence_of(out) == whole
    told.seconds = time.monotonic() - began
    return told


def meet(
    process: subprocess.Popen[bytes], out: Path, engine: str, cluster: Cluster, rng: random.Random, told: Told
) -> str:
    """Let something happen to a study after a random while; what it was, "" where the study ended first."""
    until = time.monotonic() + rng.uniform(3, 25)
    while time.monotonic() < until:
        if process.poll() is not None:
            return ""
        time.sleep(0.02)
    kinds = ["kill", "kill", "terminate", "interrupt", "interrupt twice", "kill a worker", "none"]
    fault = rng.choice(kinds + (["kill the scheduler"] if engine == "dask" else []))
    if process.poll() is not None or not (out / ".lock").exists():
        return ""  # it ended, or is only beginning, or weighs what it found
    told.faults[fault] = told.faults.get(fault, 0) + 1
    if fault == "kill":
        process.kill()
    elif fault == "terminate":
        process.terminate()
    elif fault.startswith("interrupt"):
        os.killpg(process.pid, signal.SIGINT)
        if fault == "interrupt twice":
            time.sleep(rng.random())
            os.killpg(process.pid, signal.SIGINT)
    elif fault == "kill the scheduler":
        cluster.end()  # workers end by themselves after a while when it is gone
    elif fault == "kill a worker":
        if engine == "dask":
            cluster.kill(f"worker {rng.randrange(SLOTS)}")
            time.sleep(1)
            cluster.mend()
        else:
            workers = workers_of(process.pid)
            if workers:
                os.kill(rng.choice(workers), signal.SIGKILL)
    return fault


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    rng, deadline = random.Random(given.seed), time.monotonic() + 3600 * given.hours
    whole_folder = given.folder / "whole"
    words = [sys.executable, "-m", "medladder", "study", *WORDS, "--out", str(whole_folder)]
    words += ["--cache", str(given.folder / "cache"), "--jobs", str(SLOTS)]
    subprocess.run(words, check=True, capture_output=True)
    whole, cluster, n = evidence_of(whole_folder), Cluster(given.folder), 0
    try:
        while time.monotonic() < deadline:
            told = run_one(given.folder, ("local", "dask")[n % 2], cluster, whole, rng)
            n += 1
            with (given.folder / "soak.jsonl").open("a") as file:
                file.write(json.dumps(asdict(told)) + "\n")
            print(json.dumps(asdict(told)), flush=True)
            assert told.is_equal
            assert told.recorded == FLEETS
            assert told.recorded_twice <= told.taken
    finally:
        cluster.end()


if __name__ == "__main__":
    main()
