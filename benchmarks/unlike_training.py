"""What is flagged as unlike the training images, in hundredths of each kind of image, and what asking costs.

A row is what a model was trained on, a column what it is asked about. «own» are images of the same cohort that the
model did not see: its val part, a tenth of the patients (kermany), or patients drawn afresh; in rows «+val» they were
among the training images. No test part is read. Rows of few images are means over draws of them. Colour is asked in
grey of the models of grey pictures, and grey in colour. The last table has the microseconds an image beside those of a
default `dnn` ensemble in ONNX Runtime, one after the other: its threads wait for work and take cores from others.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from medladder import phantoms
from medladder.cohort import read_cohort
from medladder.images.prepare import resize
from medladder.models.graph import open_graph, to_graph
from medladder.models.likeness import Likeness, learn_likeness
from medladder.rungs import build, parse_rung
from medladder.rungs.choosing import Calibration
from medladder.rungs.draws import draw_by_row, evenly, fit_many

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SIDE, VOLUME_SIDE, MOST, TURNS = 28, 24, 4096, 9
NAMES = ("pneumonia", "breast", "kermany", "cells", "nodule", "volumes")


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--sizes", default="60,100,200,1000")
    words.add_argument("--draws", type=int, default=8)
    given = words.parse_args()
    sources = {name: part_of(name, "train") for name in NAMES}
    own = {name: part_of(name, "val") for name in NAMES}
    print(f"Flagged, % of each, at {SIDE}×{SIDE} (volumes {VOLUME_SIDE}³)")
    asked = {name: in_grey(images) for name, images in own.items() if name != "volumes"}
    columns = ("own", *asked, *strangers((SIDE, SIDE)), "inverted", "upside down")
    print(f"{'trained on':<22}{'n':>6}" + "".join(f"{column[:9]:>10}" for column in columns))
    for name, images in sources.items():
        print_row(name, len(images), flagged(learned(images), own[name], asked), columns)
        if name in ("pneumonia", "breast"):
            both = np.concatenate([images, own[name]])
            print_row(name + "+val", len(both), flagged(learned(both), own[name], asked), columns)
        for n in map(int, given.sizes.split(",")):
            if n < len(images) and name != "kermany":
                draws = [
                    np.random.default_rng(seed).choice(len(images), n, replace=False) for seed in range(given.draws)
                ]
                found = [flagged(learned(images[rows]), own[name], asked) for rows in draws]
                print_row(name, n, {key: float(np.mean([one[key] for one in found])) for key in found[0]}, columns)
    margins(sources["pneumonia"], own["pneumonia"])
    cost(sources["pneumonia"])


def learned(images: np.ndarray) -> Likeness:
    some = images[evenly(np.arange(len(images)), MOST)]
    return learn_likeness(some, np.arange(len(some)) % 5, seed=0)


def flagged(found: Likeness, own: np.ndarray, asked: dict[str, np.ndarray]) -> dict[str, float]:
    shape = own.shape[1:]
    others = {"own": own, **strangers(shape), "inverted": 255 - own, "upside down": own[:, ::-1]}
    for name, images in asked.items():
        if shape == images.shape[1:]:
            others[name] = images
        elif shape == (*images.shape[1:], 3):
            others[name] = np.repeat(images[..., None], 3, axis=-1)
    return {name: 100 * float(found.is_unlike(images).mean()) for name, images in others.items()}


def print_row(name: str, n: int, shares: dict[str, float], columns: tuple[str, ...]) -> None:
    cells = (f"{shares[column]:>10.1f}" if column in shares else f"{'–':>10}" for column in columns)
    print(f"{name:<22}{n:>6}" + "".join(cells), flush=True)


def part_of(name: str, part: str) -> np.ndarray:
    if name in ("pneumonia", "breast"):
        with np.load(DATA / f"{name}mnist.npz") as file:
            images: np.ndarray = file[f"{part}_images"]
            return images
    if name == "kermany":
        cohort = read_cohort(DATA / "kermany_cxr" / "labels.csv", image_size=(SIDE, SIDE))
        train = np.asarray(cohort.images[cohort.parts == "train"])
        held = cohort.patients[cohort.parts == "train"] % 10 == 0  # a tenth of the patients stands for a val part
        return train[held] if part == "val" else train[~held]
    return drawn(name, 1200 if part == "train" else 500, seed=0 if part == "train" else 1)


def drawn(name: str, n: int, seed: int) -> np.ndarray:
    """One image of each of n patients."""
    if name == "volumes":
        return volumes(n // 2, seed)
    cohort = phantoms.draw(name, n_patients=n, seed=seed, size=SIDE)
    return cohort.images[np.unique(cohort.patients, return_index=True)[1]]


def volumes(n: int, seed: int) -> np.ndarray:
    """Ellipsoids of varying size, place and brightness, with a warm spot near their middle."""
    rng, side = np.random.default_rng(seed), VOLUME_SIDE
    place = np.stack(np.meshgrid(*[np.linspace(-1, 1, side)] * 3, indexing="ij"))
    made = np.empty((n, side, side, side, 1), np.uint8)
    for volume in made:
        centre, radius = rng.normal(0, 0.06, (3, 1, 1, 1)), rng.uniform(0.6, 0.8, (3, 1, 1, 1))
        body = (((place - centre) / radius) ** 2).sum(axis=0) < 1
        spot = np.exp(-((place - rng.normal(0, 0.3, (3, 1, 1, 1))) ** 2).sum(axis=0) / 0.05)
        grey = rng.uniform(90, 150) * body + 60 * spot + rng.normal(10, 6, body.shape)
        volume[..., 0] = grey.clip(0, 255)
    return made


def in_grey(images: np.ndarray) -> np.ndarray:
    return images if images.ndim == 3 else np.round(images @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)


def strangers(shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Images that no cohort holds, the same ones at each call."""
    rng, found = np.random.default_rng(0), {}
    found["uniform"] = rng.integers(0, 256, (500, *shape), dtype=np.uint8)
    found["Gaussian"] = rng.normal(128, 40, (500, *shape)).clip(0, 255).astype(np.uint8)
    axes = range(1, 3 if len(shape) < 4 else 4)
    for width in (1, 3):
        noise = gaussian_filter(rng.normal(size=(500, *shape)), width, axes=axes).reshape(500, -1)
        low, high = noise.min(axis=1, keepdims=True), noise.max(axis=1, keepdims=True)
        found[f"smooth {width}"] = (255 * (noise - low) / (high - low)).astype(np.uint8).reshape(500, *shape)
    greys = rng.integers(0, 256, (100, *[1] * len(shape)), dtype=np.uint8)
    found["one grey"] = np.broadcast_to(greys, (100, *shape)).copy()
    found["black"] = np.zeros((1, *shape), np.uint8)
    return found


def margins(trained: np.ndarray, own: np.ndarray) -> None:
    """Why the same hospital's radiographs are flagged: MedMNIST cut the middle out of them."""
    cohort = read_cohort(DATA / "kermany_cxr" / "labels.csv", image_size=(224, 224))
    found, whole = learned(trained), np.asarray(cohort.images[np.flatnonzero(cohort.parts == "train")[::8]])
    print(
        "\nkermany_cxr, every eighth training image, by a model of PneumoniaMNIST train: flagged %, by what is cut away"
    )
    for share in (0, 0.05, 0.10, 0.15):
        cut = round(224 * share)
        kept = whole[:, :, cut : 224 - cut]
        small = np.stack([resize(image[..., None], (SIDE, SIDE))[..., 0] for image in kept])
        print(f"{share:>6.0%} of the width on either side{100 * found.is_unlike(small).mean():>8.1f}")
    print(f"{'its own val images':<32}{100 * found.is_unlike(own).mean():>8.1f}")


def cost(images: np.ndarray) -> None:
    labels = (images.mean(axis=(1, 2)) > images.mean()).astype(int)  # what it learned costs nothing to ask
    some = images[:600]
    found, many = learned(images), np.tile(images, (4, 1, 1))
    likeness = median_seconds(lambda: found.is_unlike(many))
    [rung] = fit_many(build(parse_rung("dnn:epochs=2")), some, labels[:600], [draw_by_row(labels[:600], 0)])
    ask = open_graph(to_graph(rung, Calibration(1.0, np.zeros(2)), images.shape[1:], ("no", "yes")))
    network = median_seconds(lambda: ask(many))
    learning = median_seconds(lambda: learned(images))
    print(f"\nMicroseconds an image, medians of {TURNS} times over {len(many):,} images of {SIDE}×{SIDE}")
    print(f"{'flag':>8}{'dnn':>8}{'share':>8}{'seconds to learn from ' + str(MOST):>32}")
    a, b = (1e6 * seconds / len(many) for seconds in (likeness, network))
    print(f"{a:>8.2f}{b:>8.2f}{a / b:>8.0%}{learning:>32.2f}")


def median_seconds(work: Callable[[], object]) -> float:
    taken = []
    for _ in range(TURNS):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


if __name__ == "__main__":
    main()
