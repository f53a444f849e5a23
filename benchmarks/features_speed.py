"""Hand-crafted features: the study's own road on two processes against scikit-image, one image at a time.

Run with ``python benchmarks/features_speed.py [IMAGES]``. scikit-image's side is the same features written plainly with
its functions, in a loop, in this process. Ours is `views_of` with an empty cache: computing and writing the file are in
it, with and without starting the processes, which a study starts once. Prints one table and leaves nothing behind.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter
from skimage.feature import graycomatrix, graycoprops, hog, local_binary_pattern
from skimage.measure import block_reduce
from threadpoolctl import threadpool_limits

from medladder.cohort import read_cohort
from medladder.engine.local import LocalEngine
from medladder.rungs import parse_rung
from medladder.views import views_of

SIDE, ROUNDS, JOBS = 64, 3, 2
QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
TEXTURE = ("contrast", "dissimilarity", "homogeneity", "ASM", "correlation", "entropy")


def draw_images(n: int) -> np.ndarray:
    """Smooth noise of many scales: neither flat nor white."""
    rng = np.random.default_rng(0)
    images = np.stack([gaussian_filter(rng.normal(size=(SIDE, SIDE)), rng.uniform(0.5, 6)) for _ in range(n)])
    spread = images.std(axis=(1, 2), keepdims=True)
    return (128 + 45 * images / spread).clip(0, 255).astype(np.uint8)


def describe_plainly(image: np.ndarray) -> np.ndarray:
    """The features of one image, each from the scikit-image function for it where there is one."""
    grey = image.astype(np.float32) / np.float32(255)
    side = SIDE // 4
    grid = block_reduce(grey, (side, side), np.mean)
    half = block_reduce(grid, (2, 2), np.mean)
    centre = grid[1:3, 1:3].mean()
    contrasts = [
        half[:, 0].mean() - half[:, 1].mean(),
        half[0].mean() - half[1].mean(),
        (half[0, 0] + half[1, 1] - half[0, 1] - half[1, 0]) / 2,
        grid[:, 1:3].mean() - grid[:, [0, 3]].mean(),
        grid[1:3].mean() - grid[[0, 3]].mean(),
        centre - (grid.sum() - 4 * centre) / 12,
    ]
    ranked = stretch(grey, float(grey.min()), float(grey.max()), 2**16).astype(np.uint16)
    patterns = []
    for radius, points in ((1, 8), (2, 16)):
        codes = local_binary_pattern(ranked, points, radius, method="uniform")
        patterns.append(np.bincount(codes.astype(int).ravel(), minlength=points + 2) / codes.size)
    low, high = np.quantile(grey, (0.01, 0.99))
    levels = stretch(grey, float(low), float(high), 16).astype(np.uint8)
    pairs = graycomatrix(levels, (1, 2), np.arange(4) * np.pi / 4, 16, symmetric=True, normed=True)
    texture = np.stack([graycoprops(pairs, name) for name in TEXTURE])
    described = [
        [grey.mean(), grey.std(), *np.quantile(grey, QUANTILES)],
        block_reduce(grey, (SIDE // 8, SIDE // 8), np.mean).ravel(),
        contrasts,
        *patterns,
        texture.mean(axis=-1).ravel(),
        np.ptp(texture, axis=-1).ravel(),
        hog(grey, orientations=9, pixels_per_cell=(side, side), cells_per_block=(2, 2)),
    ]
    return np.concatenate(described).astype(np.float32)


def stretch(grey: np.ndarray, low: float, high: float, levels: int) -> np.ndarray:
    share = np.clip((grey.astype(np.float64) - low) / (high - low), 0, 1)
    return np.rint(share * (levels - 1))


def main(n_images: int) -> None:
    images = draw_images(n_images)
    seconds: dict[str, list[float]] = {"plain": [], "starting": [], "started": []}
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "drawn.npz", train_images=images, train_labels=np.arange(n_images) % 2)
        cohort = read_cohort(Path(folder) / "drawn.npz", cache=Path(folder) / "images")
        for turn in range(ROUNDS):
            began = time.perf_counter()
            with threadpool_limits(1):
                plain = np.stack([describe_plainly(image) for image in images])
            seconds["plain"].append(time.perf_counter() - began)
            began = time.perf_counter()
            with LocalEngine(JOBS) as engine:
                for side in ("starting", "started"):
                    views = views_of(cohort, [parse_rung("svm")], engine, cache=Path(folder) / f"{side}-{turn}")
                    seconds[side].append(time.perf_counter() - began)
                    began = time.perf_counter()
        ours = np.load(views["svm"])
    median = {side: statistics.median(taken) for side, taken in seconds.items()}
    print(f"{n_images:,} images of {SIDE}×{SIDE}, {ours.shape[1]} features each, medians of {ROUNDS} runs")
    print()
    print("| | seconds | times faster |")
    print("|---|---|---|")
    print(f"| scikit-image, one at a time, one process | {median['plain']:.2f} | |")
    for side, name in (("starting", "the starting of them included"), ("started", "as a study's next rung has them")):
        print(f"| medladder, {JOBS} processes, {name} | {median[side]:.2f} | {median['plain'] / median[side]:.2f} |")
    print()
    print(f"Largest difference of a feature: {np.abs(ours - plain).max():.1e}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
