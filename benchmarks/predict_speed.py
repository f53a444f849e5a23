"""A model's answers beside bare ONNX Runtime, and a folder of JPEGs beside bare decoding, on the same cores.

The bare side is what nobody can beat with the same library: `session.run` on float32 arrays that are already there, and
Pillow's decoding in as many threads. Both sides take turns; the table has medians.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

import medladder as ml
from medladder.models.model import Model

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
RUNGS = ("logistic", "nn", "dnn", "cnn")
TURNS = 7


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--files", type=int, default=5000)
    words.add_argument("--rungs", default=",".join(RUNGS))
    given = words.parse_args()
    with tempfile.TemporaryDirectory() as place:
        from_arrays(Path(place), given.rungs.split(","))
        from_files(Path(place), given.files)


def from_arrays(place: Path, rungs: list[str]) -> None:
    print("Decoded arrays, images a second; the share is of bare ONNX Runtime on float32 arrays at its best batch")
    head = (
        f"{'rung':<10}{'image':>8}{'bare':>12}{'model':>12}{'share':>8}{'with flag':>12}{'share':>8}{'differ by':>11}"
    )
    print(head)
    for side in (28, 64):
        cohort = ml.read_cohort(radiographs(place, DATA / "kermany_cxr", "train", 400), image_size=(side, side))
        for rung in rungs:
            model = fitted(cohort, rung, place / f"{rung}-{side}")
            images = np.tile(np.asarray(cohort.images), (4 if rung == "cnn" else 60, 1, 1))
            floats = images.astype(np.float32) / 255
            session = onnxruntime.InferenceSession((place / f"{rung}-{side}" / "model.onnx").read_bytes())
            batch = best_batch(session, floats)

            def with_flag(model: Model = model, images: np.ndarray = images) -> None:
                model.decide(model.predict_proba(images))
                model.is_unlike(images)

            sides: list[Callable[[], object]] = [
                lambda session=session, floats=floats, batch=batch: bare(session, floats, batch),
                lambda model=model, images=images: model.predict_proba(images),
                with_flag,
            ]
            taken = turns(sides)
            rate = [len(images) / one for one in taken]
            apart = np.abs(bare(session, floats[:400], 400) - model.predict_proba(images[:400])).max()
            print(
                f"{rung:<10}{side:>5}²  {rate[0]:>11,.0f}{rate[1]:>12,.0f}{rate[1] / rate[0]:>8.0%}"
                f"{rate[2]:>12,.0f}{rate[2] / rate[0]:>8.0%}{apart:>11.0e}",
                flush=True,
            )


def from_files(place: Path, n_files: int) -> None:
    print("\nA folder of JPEGs of 224×224, files a second; the share is of bare decoding in as many threads")
    print(f"{'rung':<10}{'image':>8}{'files':>8}{'bare':>12}{'predict':>12}{'share':>8}")
    files = sorted((DATA / "kermany_cxr").rglob("*.jpeg"))[:n_files]
    for side, rung in ((28, "dnn"), (64, "dnn"), (64, "cnn")):
        model = ml.read_model(place / f"{rung}-{side}")
        taken = turns([lambda: decoded(files), lambda model=model: model.predict_files(*files)], 3)
        rate = [len(files) / one for one in taken]
        print(
            f"{rung:<10}{side:>5}²  {len(files):>7,}{rate[0]:>12,.0f}{rate[1]:>12,.0f}{rate[1] / rate[0]:>8.0%}",
            flush=True,
        )


def radiographs(place: Path, source: Path, part: str, n: int) -> Path:
    """A manifest of every so many radiographs of one part."""
    lines = (source / "labels.csv").read_text("utf-8").splitlines()
    rows = [line.split(",") for line in lines[1:]]
    rows = [row for row in rows if row[1] == part]
    rows = rows[:: max(1, len(rows) // n)][:n]
    manifest = place / "radiographs.csv"
    written = ["path,label,patient", *(f"{source / row[0]},{row[2]},{row[4]}" for row in rows)]
    manifest.write_text("\n".join(written), "utf-8")
    return manifest


def fitted(cohort: object, rung: str, out: Path) -> Model:
    if out.exists():
        return ml.read_model(out)
    epochs = "" if rung == "logistic" else ":epochs=2"  # weights are as many, however they came
    return ml.fit_model(cohort, out, rung=rung + epochs)


def best_batch(session: onnxruntime.InferenceSession, floats: np.ndarray) -> int:
    return min((256, 1024, 4096), key=lambda n: seconds(lambda: bare(session, floats, n), 2))


def bare(session: onnxruntime.InferenceSession, floats: np.ndarray, batch: int) -> np.ndarray:
    return np.concatenate(
        [session.run(None, {"images": floats[at : at + batch]})[0] for at in range(0, len(floats), batch)]
    )


def decoded(files: list[Path]) -> int:
    def one(path: Path) -> int:
        with Image.open(path) as picture:
            return np.asarray(picture).size

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return sum(pool.map(one, files))


def turns(sides: list[Callable[[], object]], n: int = TURNS) -> list[float]:
    """Median seconds of each side, taken in turns."""
    taken = [[seconds(side, 1) for side in sides] for _ in range(n)]
    return [statistics.median(column) for column in zip(*taken, strict=True)]


def seconds(work: Callable[[], object], times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - began) / times


if __name__ == "__main__":
    main()
