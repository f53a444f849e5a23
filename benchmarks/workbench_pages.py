"""How long each page of the workbench takes on loopback: the first time a server is asked, and again.

For a study of PneumoniaMNIST of 180 trials that is run first, or for one that is given. The goal is 500 ms a page for a
study of 100 trials.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import medladder as ml

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"
SERVERS, TURNS = 3, 5


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("run", nargs="?", type=Path, help="folder of a study; by default one is run")
    given = words.parse_args().run
    with tempfile.TemporaryDirectory() as place:
        study = given.resolve() if given else a_study(Path(place) / "study")
        n_trials = len((study / "trials.jsonl").read_text("utf-8").splitlines())
        at = f"/study/{quote(study.name)}"
        pages = {
            "studies": "/",
            "study": at,
            "evidence": f"{at}/evidence?threshold=0.3&target=0.95",
            "layers": f"{at}/layers",
            "try it": f"/try/{quote(study.name)}",
            "budget": "/budget",
            "audit": f"{at}/audit",
            "start a study": "/new",
            "whole report": f"{at}/report",
        }
        first: dict[str, list[float]] = {name: [] for name in pages}
        again: dict[str, list[float]] = {name: [] for name in pages}
        for _ in range(SERVERS):
            with serving(study, Path(place) / "runs") as address:
                for name, path in pages.items():
                    first[name].append(milliseconds(address, path))
                for _ in range(TURNS):
                    for name, path in pages.items():
                        again[name].append(milliseconds(address, path))
    print(f"{n_trials} trials, medians of {SERVERS} servers\n{'page':<16}{'first':>10}{'again':>10}")
    for name in pages:
        print(f"{name:<16}{statistics.median(first[name]):>7.0f} ms{statistics.median(again[name]):>7.0f} ms")


def a_study(out: Path) -> Path:
    cohort = ml.read_cohort(DATA / "pneumoniamnist.npz")
    study = ml.run_study(cohort, out, rungs=("prior", "logistic", "nn"), sizes=("30", "60", "120", "240", "480", "960"))
    ml.weigh(study)
    return out


@contextlib.contextmanager
def serving(study: Path, runs: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "medladder", "serve", str(study), "--port", "0", "--json"]
    process = subprocess.Popen(
        [*command, "--root", str(DATA), "--runs", str(runs)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    address = urlsplit(json.loads(process.stdout.readline())["url"]).netloc
    try:
        while ask(address, "/ready") != 200:
            time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait(60)


def milliseconds(address: str, path: str) -> float:
    began = time.perf_counter()
    status = ask(address, path)
    assert status == 200, (path, status)
    return 1000 * (time.perf_counter() - began)


def ask(address: str, path: str) -> int:
    connection = http.client.HTTPConnection(address)
    connection.request("GET", path, headers={"Accept": "text/html"})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


if __name__ == "__main__":
    main()
