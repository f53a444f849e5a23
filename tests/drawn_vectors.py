"""Vectors drawn for the conventional rungs' tests."""

from __future__ import annotations

import numpy as np

from medladder.rungs.draws import Draw


def draw_vectors(n: int, d: int, n_classes: int = 2, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noisy classes that differ in one direction each, in values of very different units."""
    rng = np.random.default_rng(seed)
    codes = np.arange(n) % n_classes
    vectors = rng.normal(size=(n, d)) + 1.5 * rng.normal(size=(n_classes, d))[codes] / np.sqrt(d) * 2
    return vectors * rng.uniform(0.1, 9, d) + rng.normal(size=d), codes


def a_draw(fold: np.ndarray, is_thin: bool = False) -> Draw:
    return Draw(np.arange(len(fold)), fold, seed=0, is_thin=is_thin)


def z_scores(vectors: np.ndarray, learn: np.ndarray | None = None) -> np.ndarray:
    learn = vectors if learn is None else learn
    return (vectors - learn.mean(axis=0)) / learn.std(axis=0)
