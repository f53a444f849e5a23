"""The service under load, beside bare ONNX Runtime in a loop; many clients, hostile uploads, and what it holds.

Both sides of the throughput decode the same files by the same code, one by one: `images.worker.answer_job`, in the
process itself for the bare loop. The clients run on the same cores as the server and take their share of them.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import onnxruntime

import medladder as ml
from medladder.images.worker import answer_job
from medladder.models.files import Wanted, job_for
from medladder.models.seeing import as_seen

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
TURNS = 5
_BOUNDARY = "a-boundary-of-no-file"


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--seconds", type=float, default=20.0, help="of load; the table in docs/serving.md is of 60")
    words.add_argument("--files", type=int, default=300)
    words.add_argument("--clients", type=int, default=64)
    words.add_argument("--hostile", type=int, default=1000)
    words.add_argument("--examples", type=int, default=50, help="of schemathesis, for each route")
    given = words.parse_args()
    with tempfile.TemporaryDirectory() as place:
        for name, source, size in (("X-rays as JPEG of 7 kB", DATA / "kermany_cxr", 64), ("PNG 28²", None, 28)):
            folder = Path(place) / str(size)
            folder.mkdir()
            model, files = prepared(folder, source, size, given.files)
            print(f"\n{name}, cnn on {size}²", flush=True)
            with serving(folder, model) as server:
                throughput(server, model, files)
                load(server, files, given.clients, given.seconds)
        with serving(folder, model) as server:
            for _ in range(3):  # what the first thousand grew, the next must not
                hostile(server, given.hostile)
            schema(server, given.examples)


def prepared(folder: Path, source: Path | None, size: int, n_files: int) -> tuple[Path, list[Path]]:
    """A model and files to ask it about: real radiographs, or small pictures written from PneumoniaMNIST."""
    cohort_source = source
    if source is None:
        from PIL import Image

        arrays = np.load(DATA / "pneumoniamnist.npz")
        for i, (pixels, label) in enumerate(
            zip(arrays["train_images"][:800], arrays["train_labels"][:800, 0], strict=True)
        ):
            (folder / "pictures" / str(label)).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / "pictures" / str(label) / f"{i}.png")
        cohort_source = folder / "pictures"
    assert cohort_source is not None
    cohort = ml.read_cohort(cohort_source, image_size=(size, size), cache=folder / "cache")
    ml.fit_model(cohort, folder / "model", rung="cnn:members=1", cache=folder / "cache")
    found = sorted(path for path in cohort_source.rglob("*") if path.suffix in (".jpeg", ".png"))
    return folder / "model", found[:: max(1, len(found) // n_files)][:n_files]


@dataclass
class Server:
    """A server of its own process."""

    address: str
    process: subprocess.Popen[str]

    def memory(self) -> float:
        """Resident MiB of the server and its decoders."""
        mine = [self.process.pid, *_children(self.process.pid)]
        pages = 0
        for number in mine:
            with contextlib.suppress(OSError):
                pages += int(Path(f"/proc/{number}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _children(number: int) -> list[int]:
    found = []
    for path in Path(f"/proc/{number}/task").glob("*/children"):
        found += [int(one) for one in path.read_text().split()]
    return found


@contextlib.contextmanager
def serving(folder: Path, model: Path) -> Iterator[Server]:
    with (folder / "serve.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "medladder", "serve", str(model), "--port", "0", "--json"],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    assert process.stdout is not None
    server = Server(urlsplit(json.loads(process.stdout.readline())["url"]).netloc, process)
    while ask(http.client.HTTPConnection(server.address), "GET", "/ready")[0] != 200:
        time.sleep(0.1)
    yield server
    process.send_signal(signal.SIGTERM)
    print(f"stopped with {process.wait(60)}", flush=True)


def ask(connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    headers = {} if body is None else {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


def upload(name: str, content: bytes) -> bytes:
    head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
    return head.encode() + content + f"\r\n--{_BOUNDARY}--\r\n".encode()


def throughput(server: Server, model: Path, files: Sequence[Path]) -> None:
    opened = ml.read_model(model)
    preparation = opened.record.preparation
    options = onnxruntime.SessionOptions()
    session = onnxruntime.InferenceSession((model / "model.onnx").read_bytes(), options)
    jobs = [job_for(Wanted(str(path), (path,)), preparation) for path in files]
    bodies = [upload(path.name, path.read_bytes()) for path in files]

    def bare() -> list[float]:
        found = []
        for job in jobs:
            _, pixels = answer_job(job)
            floats = as_seen(pixels, opened.record.shape)[None].astype(np.float32) / 255
            found.append(float(session.run(["probabilities"], {"images": floats})[0][0, -1]))
        return found

    def served(n_clients: int) -> list[float]:
        found = [0.0] * len(bodies)

        def client(which: int) -> None:
            connection = http.client.HTTPConnection(server.address)
            for i in range(which, len(bodies), n_clients):
                status, text = ask(connection, "POST", "/predict", bodies[i])
                assert status == 200, text
                found[i] = list(json.loads(text)["predictions"][0]["probabilities"].values())[-1]
            connection.close()

        threads = [threading.Thread(target=client, args=(i,)) for i in range(n_clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return found

    sides = {
        "bare loop": bare,
        "1 client": lambda: served(1),
        "4 clients": lambda: served(4),
        "16 clients": lambda: served(16),
    }
    taken: dict[str, list[float]] = {name: [] for name in sides}
    answers = {name: side() for name, side in sides.items()}  # and both are warm
    for _ in range(TURNS):
        for name, side in sides.items():
            began = time.perf_counter()
            side()
            taken[name].append(time.perf_counter() - began)
    ours = np.array(answers["bare loop"])
    print(f"{'one image a request':<22}{'images a second':>16}{'share of bare':>15}{'differ by':>11}")
    for name, times in taken.items():
        rate = len(files) / statistics.median(times)
        share = statistics.median(b / t for b, t in zip(taken["bare loop"], times, strict=True))
        apart = np.abs(np.array(answers[name]) - ours).max()
        print(f"{name:<22}{rate:>16,.0f}{share:>15.0%}{apart:>11.0e}", flush=True)


@dataclass
class Tally:
    """What came back."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    lost: int = 0


def load(server: Server, files: Sequence[Path], n_clients: int, seconds: float) -> None:
    bodies = [upload(path.name, path.read_bytes()) for path in files]
    until = time.monotonic() + seconds
    tallies = [Tally() for _ in range(n_clients)]

    def client(tally: Tally, first: int) -> None:
        connection = http.client.HTTPConnection(server.address)
        for i in itertools.count(first):
            if time.monotonic() >= until:
                return
            began = time.perf_counter()
            try:
                status, _ = ask(connection, "POST", "/predict", bodies[i % len(bodies)])
            except (OSError, http.client.HTTPException):
                tally.lost += 1
                connection.close()
                continue
            tally.statuses[status] += 1
            tally.seconds.append(time.perf_counter() - began)

    threads = [threading.Thread(target=client, args=(tally, 17 * i)) for i, tally in enumerate(tallies)]
    for thread in threads:
        thread.start()
    memory = []
    while time.monotonic() < until:
        memory.append(server.memory())
        time.sleep(0.5)
    for thread in threads:
        thread.join()
    statuses = sum((tally.statuses for tally in tallies), Counter[int]())
    times = np.array([one for tally in tallies for one in tally.seconds])
    quarter = len(memory) // 4
    early, late = (statistics.median(part) for part in (memory[quarter : 2 * quarter], memory[-quarter:]))
    p50, p99 = np.percentile(times, (50, 99))
    print(
        f"{n_clients} clients, {seconds:g} s: {len(times):,} answers, statuses {dict(statuses)}, "
        f"{sum(tally.lost for tally in tallies)} lost; p50 {1000 * p50:.0f} ms, p99 {1000 * p99:.0f} ms "
        f"({p99 / p50:.1f} ×), longest {1000 * times.max():.0f} ms; memory in the second quarter {early:.0f} MiB, "
        f"in the last {late:.0f} MiB",
        flush=True,
    )


def hostile(server: Server, n_uploads: int) -> None:
    sys.path.insert(0, str(ROOT / "tests"))
    from hostile_files import jpegs, others, pngs, tiffs
    from hostile_volumes import dicoms, metaimages, niftis, nrrds

    with tempfile.TemporaryDirectory() as place:
        cases = []
        for make in (pngs, jpegs, tiffs, others, dicoms, niftis, metaimages, nrrds):
            for number, case in enumerate(make()):
                path = Path(place) / make.__name__ / f"{number}" / case.name
                path.parent.mkdir(parents=True)
                case.make(path)
                if path.is_file() and path.stat().st_size < 2**26:
                    cases.append(upload(case.name.encode("ascii", "replace").decode(), path.read_bytes()))
    turns = itertools.islice(itertools.cycle(cases), n_uploads)
    lock, tally = threading.Lock(), Tally()
    before = server.memory()

    def client() -> None:
        connection = http.client.HTTPConnection(server.address, timeout=120)
        while True:
            with lock:
                body = next(turns, None)
            if body is None:
                return
            began = time.perf_counter()
            try:
                status, _ = ask(connection, "POST", "/predict", body)
            except (OSError, http.client.HTTPException):
                tally.lost += 1
                connection.close()
                continue
            tally.statuses[status] += 1
            tally.seconds.append(time.perf_counter() - began)

    threads = [threading.Thread(target=client) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(
        f"\n{n_uploads} hostile uploads ({len(cases)} different ones) by 8 clients: statuses {dict(tally.statuses)}, "
        f"{tally.lost} lost, longest {max(tally.seconds):.1f} s; memory before {before:.0f} MiB, "
        f"after {server.memory():.0f} MiB",
        flush=True,
    )


def schema(server: Server, n_examples: int) -> None:
    address = f"http://{server.address}/openapi.json"
    # Bytes at random are no image: that valid requests are refused is right.
    words = [
        "run",
        address,
        "--max-examples",
        str(n_examples),
        "--no-color",
        "--exclude-checks",
        "positive_data_acceptance",
    ]
    done = subprocess.run(["schemathesis", *words], capture_output=True, text=True, env=_with_our_programs())
    lines = done.stdout.strip().splitlines()
    print(f"schemathesis, {n_examples} examples a route: exit {done.returncode}; {' '.join(lines[-6:])}", flush=True)


def _with_our_programs() -> dict[str, str]:
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


if __name__ == "__main__":
    main()
