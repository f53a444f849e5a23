"""How long the audit of many drawn radiographs takes, how much memory, and what it finds among so many. Prints one row.

Drawn at 64×64 and read through the ordinary door; copies are planted as in audit_copies.py, of radiographs drawn at
96×96. The audit runs in a process of its own, after the images were decoded, and its largest resident memory counts
the pages of images that it has mapped. `--keep FOLDER` keeps the drawn images for the next run.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import resource
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from audit_copies import KINDS, alter, shrunk
from medladder.audit import audit, find_near_copies
from medladder.cohort import read_cohort
from medladder.phantoms import draw
from medladder.progress import Terminal

SIDE = 64
PATIENTS_AT_ONCE = 512
PLANTED = 200


def drawn(task: tuple[str, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Images and their patients, of one seed."""
    name, seed, size = task
    found = draw(name, n_patients=PATIENTS_AT_ONCE, size=size, seed=seed)
    grey = found.images if found.images.ndim == 3 else found.images.mean(axis=-1).astype(np.uint8)
    return grey, found.patients


def make(name: str, n: int, path: Path, first_seed: int) -> None:
    """Write an npz of `n` images, the planted ones last, and beside it who is in which and of what a copy."""
    rng = np.random.default_rng(3)
    large, whose = zip(*map(drawn, ((name, seed, 96) for seed in range(first_seed, first_seed + 2))), strict=True)
    pictures, owners = np.concatenate(large), np.concatenate([owner + at * 10**6 for at, owner in enumerate(whose)])
    sources = np.concatenate([rng.choice(len(pictures), PLANTED, replace=False) for _ in KINDS])
    kinds = np.repeat(np.arange(len(KINDS)), PLANTED)
    copies = [shrunk(alter(pictures[i], KINDS[kind], rng)) for i, kind in zip(sources, kinds, strict=True)]
    images, patients = [np.stack([shrunk(picture) for picture in pictures])], [owners]
    seed, missing = first_seed + 2, n - len(pictures) - len(copies)
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        while missing > 0:
            seeds = range(seed, seed + -(-missing // PATIENTS_AT_ONCE))
            for at, (more, owner) in zip(seeds, pool.map(drawn, ((name, s, SIDE) for s in seeds)), strict=True):
                images.append(more[: max(missing, 0)])
                patients.append((owner + at * 10**6)[: max(missing, 0)])
                missing -= len(images[-1])
            seed = seeds.stop
    everything = np.concatenate([*images, np.stack(copies)])
    labels = np.random.default_rng(4).integers(0, 2, (len(everything), 1))
    none = {f"{part}_{what}": value[:0] for part in ("val", "test") for what, value in _arrays(everything, labels)}
    np.savez(path, **{f"train_{what}": value for what, value in _arrays(everything, labels)}, **none)
    np.savez(_truth(path), owners=np.concatenate([*patients, owners[sources]]), sources=sources, kinds=kinds)


def _arrays(images: np.ndarray, labels: np.ndarray) -> tuple[tuple[str, np.ndarray], ...]:
    return (("images", images), ("labels", labels))


def _truth(path: Path) -> Path:
    return path.with_name(f"{path.stem}-truth.npz")


def audit_one(path: Path, cache: Path) -> dict[str, object]:
    """In a process of its own: seconds of the search and of everything else, memory, findings and pairs."""
    cohort = read_cohort(path, cache=cache)
    before = resource.getrusage(resource.RUSAGE_SELF)
    began = time.perf_counter()
    near = find_near_copies(cohort.images, cohort.contents, progress=Terminal())
    searched = time.perf_counter()
    findings = audit(cohort, near)
    ended = time.perf_counter()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "search": searched - began,
        "rest": ended - searched,
        "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "memory": after.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 2**30,
        "pairs": near.pairs,
        "contents": np.asarray(cohort.contents),
        "kinds": [finding.kind for finding in findings],
    }


def main() -> None:
    """Print the row."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--name", default="nodule")
    parser.add_argument("--seed", type=int, default=7000, help="the first; limits were chosen on those below 100")
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{given.name}{given.images}-{given.seed}.npz"
        if not _truth(path).exists():
            make(given.name, given.images, path, given.seed)
        read_cohort(path, cache=folder / "cache")  # decoded and hashed, as once a cohort
        load = os.getloadavg()[0]
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            told = pool.submit(audit_one, path, folder / "cache").result()
        with np.load(_truth(path)) as truth:
            owners, sources, kinds = truth["owners"], truth["sources"], truth["kinds"]
    pairs, contents = told["pairs"], told["contents"]
    one, other = owners[pairs].T
    named, first = set(map(tuple, pairs.tolist())), len(owners) - len(sources)
    hits = np.array(
        [
            (int(source), first + k) in named or contents[source] == contents[first + k]
            for k, source in enumerate(sources)
        ]
    )
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load before {load:.1f}")
    print(
        f"{given.name}, {len(owners)} images: near copies {told['search']:.0f} s, everything else {told['rest']:.0f} s"
    )
    print(
        f"{told['cpu']:.0f} s of CPU, at most {told['memory']:.2f} GiB resident; findings: {', '.join(told['kinds'])}"
    )
    print(*(f"{kind} {hits[kinds == at].mean():.1%}" for at, kind in enumerate(KINDS)), sep=", ")
    print(f"{int((one != other).sum())} pairs of different patients, {int((one == other).sum())} of one")


if __name__ == "__main__":
    main()
