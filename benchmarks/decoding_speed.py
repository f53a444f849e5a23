"""Files to prepared images, against bare Pillow that decodes and resizes the same files and keeps nothing.

    python benchmarks/decoding_speed.py [FOLDER] [--rounds 5]

FOLDER holds a CSV of paths, by default the radiographs beside the project. Both sides use as many processes as there
are processors; rounds alternate, and the median ratio counts. The 100,000 files opened from cache are drawn and small.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import resource
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from medladder.images.decoding import prepare_files
from medladder.images.reading import Reading
from medladder.machine import n_processors

SIDE = 64
RADIOGRAPHS = Path(__file__).resolve().parents[2] / "shared" / "data" / "kermany_cxr"


def bare(path: str) -> int:
    """What Pillow alone has to do: decode, turn to grey, bring to size."""
    with Pillow.open(path) as picture:
        return int(np.asarray(picture.convert("L").resize((SIDE, SIDE), Pillow.Resampling.BILINEAR))[0, 0])


def ours(folder: Path, names: list[str]) -> tuple[float, np.ndarray]:
    with tempfile.TemporaryDirectory() as cache:
        begun = time.perf_counter()
        found = prepare_files(folder, names, Reading((SIDE, SIDE)), root=Path(cache))
        return time.perf_counter() - begun, np.array(found.pixels[:, 0, 0])


def theirs(paths: list[str]) -> tuple[float, np.ndarray]:
    with multiprocessing.get_context("spawn").Pool(n_processors()) as pool:
        pool.map(bare, paths[:2])  # started, as our workers are after the first round
        begun = time.perf_counter()
        corners = pool.map(bare, paths, chunksize=16)
        return time.perf_counter() - begun, np.array(corners)


def open_many(n_files: int) -> tuple[float, float]:
    """Seconds to open so many files from cache, and the most memory that caching them took, in MB."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "images"
        folder.mkdir()
        names = [f"{number:06d}.png" for number in range(n_files)]
        rng = np.random.default_rng(0)
        for name in names:
            Pillow.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8)).save(folder / name)
        cache = Path(place) / "cache"
        begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        prepare_files(folder, names, root=cache)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - begun
        start = time.perf_counter()
        prepare_files(folder, names, root=cache)
        return time.perf_counter() - start, grown / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", default=RADIOGRAPHS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--many", type=int, default=100_000)
    asked = parser.parse_args()
    if not asked.folder.is_dir():
        print(f"skipped: {asked.folder} is not there")
        return
    with (asked.folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        names = [row["path"] for row in csv.DictReader(file)]
    paths = [str(asked.folder / name) for name in names]
    ours(asked.folder, names[:32])
    rounds = [(ours(asked.folder, names), theirs(paths)) for _ in range(asked.rounds)]
    alike = np.array_equal(rounds[0][0][1], rounds[0][1][1])
    print(f"{len(names):,} files, {n_processors()} processes each, corner pixels alike: {alike}")
    print(
        f"ours {statistics.median(len(names) / one[0] for one, _ in rounds):,.0f} files a second (cached on disk too)"
    )
    print(f"bare Pillow {statistics.median(len(names) / other[0] for _, other in rounds):,.0f} files a second")
    print(f"median ratio {statistics.median(other[0] / one[0] for one, other in rounds):.2f}")
    seconds, grown = open_many(asked.many)
    print(f"{asked.many:,} files opened from cache in {seconds:.1f} s; caching them took {grown:.0f} MB more")


if __name__ == "__main__":
    main()
