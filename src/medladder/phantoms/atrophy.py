"""Axial brain slices, T1-like, in which the ventricles widen with age and more so with atrophy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .canvas import Field, cloud, ellipse_depth, grain, grid, ridge, soft, turn
from .patient import DrawnPatient

# Age is drawn after the class: patients with atrophy are older, and both ages overlap widely.
AGE_MEAN = (66.0, 70.0)
AGE_SPREAD = 8.0
# Of the logarithm of the ventricles' width: a year of age, the disease, and what differs between people.
WIDTH_A_YEAR = 0.02
WIDTH_OF_DISEASE = 0.28
WIDTH_SPREAD = 0.11

SCALP, BONE, FLUID, GREY, WHITE = 0.8, 0.08, 0.12, 0.42, 0.66


@dataclass(frozen=True)
class Brain:
    """One patient's anatomy; lengths as shares of the image's side, ventricles and sulci relative to the usual."""

    width: float
    height: float
    ventricles: float
    asymmetry: float
    sulci: float
    cortex: float
    shift: tuple[float, float]
    tilt: float


def draw_patient(rng: np.random.Generator, label: int, size: int) -> DrawnPatient:
    """Draw one patient: age and sex first, then a brain of that age, then one slice of it.

    The truth: the ventricles' area as a share of the brain's, and the widths of ventricles and sulci
    as multiples of the usual at 68 years.
    """
    age = round(float(np.clip(rng.normal(AGE_MEAN[label], AGE_SPREAD), 45, 95)))
    sex = str(rng.choice(["F", "M"]))
    brain = _draw_brain(rng, label, age, sex)
    picture, ventricle_area = _scan(rng, brain, size)
    truth = {"ventricle_area": ventricle_area, "ventricle_width": brain.ventricles, "sulcus_width": brain.sulci}
    return DrawnPatient([picture], [truth], {"age": age, "sex": sex})


def _draw_brain(rng: np.random.Generator, label: int, age: float, sex: str) -> Brain:
    head = rng.normal(0.97, 0.025) + (0.02 if sex == "M" else -0.02)
    width_log = WIDTH_A_YEAR * (age - 68) + WIDTH_OF_DISEASE * (label - 0.5) + rng.normal(0, WIDTH_SPREAD)
    return Brain(
        width=0.335 * head * rng.normal(1, 0.015),
        height=0.4 * head,
        ventricles=float(np.exp(width_log)),
        asymmetry=rng.normal(0, 0.06),
        sulci=float(np.exp(0.012 * (age - 68) + 0.06 * (label - 0.5) + rng.normal(0, 0.15))),
        cortex=rng.normal(0.04, 0.003),
        shift=(rng.normal(0, 0.008), rng.normal(0, 0.008)),
        tilt=rng.normal(0, 0.03),
    )


def _ventricle_depth(brain: Brain, across: Field, down: Field) -> Field:
    """Depth inside the lateral ventricles (frontal and occipital horns, bodies) and the third ventricle."""
    wide = brain.ventricles * (1 + brain.asymmetry * np.sign(across))
    side = np.abs(across)
    frontal = _horn(side - 0.036 - 0.012 * wide, down + 0.105, 0.42, 0.023 * wide, 0.075 * wide**0.5)
    body = _horn(side - 0.022 - 0.008 * wide, down + 0.03, 0.1, 0.012 * wide, 0.07)
    occipital = _horn(side - 0.085 - 0.012 * wide, down - 0.13, -0.5, 0.022 * wide, 0.085 * wide**0.5)
    third = _horn(side, down - 0.04, 0.0, 0.010 * wide, 0.045)
    return np.maximum(np.maximum(frontal, body), np.maximum(occipital, third))


def _horn(across: Field, down: Field, angle: float, width: Field, height: Field | float) -> Field:
    across, down = turn(across, down, angle)
    radius = np.sqrt((across / width) ** 2 + (down / height) ** 2)
    return (1 - radius) * width


def _scan(rng: np.random.Generator, brain: Brain, size: int) -> tuple[Field, float]:
    """One slice and the ventricles' area in it, as a share of the brain's."""
    across, down = grid(size)
    across, down = turn(across - brain.shift[0], down - brain.shift[1], brain.tilt)
    across = across + 0.004 * cloud(rng, size, 4)
    down = down + 0.004 * cloud(rng, size, 4)
    depth = ellipse_depth(across, down, brain.width, brain.height)
    folds, fine = cloud(rng, size, 19), cloud(rng, size, 13)
    near_surface = soft(0.09 - depth, 0.014)
    sulcus = np.maximum(ridge(folds, 0.3 * brain.sulci), ridge(fine, 0.22 * brain.sulci)) * near_surface
    banks = np.maximum(ridge(folds, 0.7), ridge(fine, 0.55)) * near_surface
    fissure = ridge(across + 0.004 * folds, 0.006 * brain.sulci) * soft(np.abs(down) - 0.2, 0.02)
    ventricle = soft(_ventricle_depth(brain, across, down), 0.005)
    inside = soft(depth, 0.005)
    grey = np.maximum(soft(brain.cortex - depth, 0.005), banks)
    side = np.abs(across)
    thalamus = soft(ellipse_depth(side - 0.048 - 0.008 * brain.ventricles, down - 0.05, 0.036, 0.05), 0.007)
    putamen = soft(ellipse_depth(*turn(side - 0.128, down + 0.02, 0.3), 0.026, 0.07), 0.007)
    caudate = soft(ellipse_depth(*turn(side - 0.062 - 0.022 * brain.ventricles, down + 0.1, 0.4), 0.016, 0.04), 0.006)
    grey = np.maximum(grey, 0.9 * np.maximum(thalamus, np.maximum(putamen, caudate)))
    tissue = WHITE + (GREY - WHITE) * grey + 0.015 * cloud(rng, size, 14)
    tissue = tissue + (FLUID - tissue) * np.maximum(np.maximum(0.85 * sulcus, fissure), ventricle)
    head = _skull(depth) * (1 - inside) + tissue * inside
    bias = 1 + 0.06 * cloud(rng, size, 2)
    gain = rng.normal(1.1, 0.06)
    area = float((soft(_ventricle_depth(brain, across, down), 1e-3) * inside).sum() / inside.sum())
    return gain * bias * head + np.abs(grain(rng, size, 0.03, blur=0.006)), area


def _skull(depth: Field) -> Field:
    """From the brain outward: fluid, dark bone with marrow, bright scalp, air."""
    out = -depth
    marrow = 0.25 * ridge(out - 0.028, 0.006)
    scalp = SCALP * soft(out - 0.043, 0.004) * soft(0.066 - out, 0.004)
    return FLUID * soft(0.014 - out, 0.004) + BONE * soft(0.045 - out, 0.004) + marrow + scalp
