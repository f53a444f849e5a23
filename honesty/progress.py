"""The frame of `make honesty`: cells of a simulation run in batches that a stopped run need not do again.

A cell is a named kind of study. Its studies are numbered, and a study's seed is its cell's name and its number, so that
the order of work, the number of processes and other cells move nothing. Every finished batch is a line of
FOLDER/NAME.jsonl, written by the main process alone; a run goes on with the batches that are not there yet.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

# Batches handed to a process before the first is back: enough to keep it busy, few enough to stop soon.
AHEAD = 3
SECONDS_BETWEEN_LINES = 10.0


@dataclass(frozen=True)
class Batch:
    """Studies `first` … `first + count - 1` of one cell."""

    cell: str
    first: int
    count: int

    @property
    def studies(self) -> range:
        """Their numbers."""
        return range(self.first, self.first + self.count)


def rng_of(purpose: str, cell: str, study: int) -> np.random.Generator:
    """The chance of one study, whatever else is run."""
    return np.random.default_rng([zlib.crc32(purpose.encode()), zlib.crc32(cell.encode()), study])


def run_cells(
    folder: Path,
    name: str,
    cells: Mapping[str, Any],
    studies: int,
    one_batch: Callable[[Any, Batch], Any],
    *,
    batch: int = 50,
    processes: int = 1,
) -> None:
    """Finish `studies` studies of every cell; `one_batch` is a function of a module, its answer plain JSON.

    Raises
    ------
    SystemExit
        The file holds batches of a cell of this name with other settings.
    """
    path = folder / f"{name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    done = {(line["cell"], line["first"], line["count"]) for line in read_lines(path, cells)}
    wanted = [Batch(cell, first, min(batch, studies - first)) for cell in cells for first in range(0, studies, batch)]
    left = [one for one in wanted if (one.cell, one.first, one.count) not in done]
    clock = _Clock(name, len(wanted), len(wanted) - len(left))
    with path.open("a", encoding="utf-8") as file:
        if path.stat().st_size and not path.read_bytes().endswith(b"\n"):
            file.write("\n")  # a line that was cut off when the run was stopped; it is passed over on reading
        for one, result in _results(left, cells, one_batch, processes):
            line = {"cell": one.cell, "settings": mark(cells[one.cell]), "first": one.first, "count": one.count}
            file.write(json.dumps({**line, "result": result}, separators=(",", ":")) + "\n")
            file.flush()
            clock.tell()


def measure(
    about: str,
    name: str,
    cells: Mapping[str, Any],
    one_batch: Callable[[Any, Batch], list[Any]],
    rows_of: Callable[[Any, list[Any]], Sequence[str]],
    head: str,
    *,
    studies: int,
    batch: int = 50,
) -> None:
    """The command line of a simulation whose batches are lists of studies; a cell's label is its first columns.

    FOLDER gets NAME.jsonl and the table, NAME.md; `rows_of` a cell and its studies are the rest of its lines.
    """
    parser = argparse.ArgumentParser(description=about.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--studies", type=int, default=studies)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="one batch of the first cell")
    asked = parser.parse_args()
    if asked.quick:
        cells = dict(list(cells.items())[:1])
    wanted = batch if asked.quick else asked.studies
    run_cells(asked.folder, name, cells, wanted, one_batch, batch=batch, processes=asked.processes)
    lines, counts = [head, "|" + "---|" * head.count(" |")], set()
    for label in cells:
        told = [line for line in read_lines(asked.folder / f"{name}.jsonl", cells) if line["cell"] == label]
        found = [study for line in told for study in line["result"]]
        counts.add(len(found))
        lines += [f"| {label} | {row} |" for row in rows_of(cells[label], found)]
    table = f"{min(counts):,} studies a cell.\n\n" + "\n".join(lines) + "\n"
    (asked.folder / f"{name}.md").write_text(table)
    print(table)


def read_lines(path: Path, cells: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The finished batches of these cells; a line cut off by a stop is passed over.

    Raises
    ------
    SystemExit
        A line is of a cell of the same name with other settings.
    """
    found = []
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            continue
        if line["cell"] not in cells:
            continue
        if line["settings"] != mark(cells[line["cell"]]):
            raise SystemExit(
                f"{path} holds studies of a cell '{line['cell']}' that was set up otherwise. Every line of a cell must "
                "be of the same kind of study. Name another folder, or delete that cell's lines."
            )
        found.append(line)
    return found


def mark(settings: Any) -> str:
    """Ten letters that tell one cell's settings from another's."""
    return hashlib.sha256(repr(settings).encode()).hexdigest()[:10]


def _results(
    left: Sequence[Batch], cells: Mapping[str, Any], one_batch: Callable[[Any, Batch], Any], processes: int
) -> Iterator[tuple[Batch, Any]]:
    if processes == 1:
        for one in left:
            yield one, one_batch(cells[one.cell], one)
        return
    waiting, running = list(reversed(left)), {}
    # Children begin anew: a forked one may inherit a lock that a numeric library holds.
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        while waiting or running:
            while waiting and len(running) < AHEAD * processes:
                one = waiting.pop()
                running[pool.submit(one_batch, cells[one.cell], one)] = one
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()


class _Clock:
    """Says on stderr how far the run is and how long the rest will take."""

    def __init__(self, name: str, total: int, done: int) -> None:
        self.name, self.total, self.done, self.here = name, total, done, 0
        self.start = self.said = time.monotonic()
        print(f"{name}: {done} of {total} batches are there", file=sys.stderr, flush=True)

    def tell(self) -> None:
        """One batch more is done."""
        self.here += 1
        now = time.monotonic()
        left = self.total - self.done - self.here
        if now - self.said < SECONDS_BETWEEN_LINES and left:
            return
        self.said = now
        minutes = (now - self.start) / self.here * left / 60
        said = f"{self.name}: {self.done + self.here} of {self.total} batches, {minutes:.0f} min left"
        print(said, file=sys.stderr, flush=True)
