"""Several logistic regressions on the same rows at once, each learning from rows of its own.

The parts of a draw and the final fit differ in their rows only. Solved together, one pass over the images serves
them all; on two cores with 5,216 images of 4,096 pixels that is what most of the time goes into.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int
from sklearn.exceptions import ConvergenceWarning

_AXES = 64
"""Directions of largest variance whose curvature is used in full; 32 took a third more steps on radiographs."""

_STEPS_A_CURVATURE = 20
_MOST_STEPS = 2000
_LEAST_CURVATURE = 1e-3
Curvature = tuple[Float[np.ndarray, "regression output main main"], Float[np.ndarray, "regression output"]]

_SMALL = 2**17
"""Up to as many numbers, products in double precision cost next to nothing."""


@dataclass(frozen=True, eq=False)
class Regressions:
    """What is given; coefficients have the axes `(value, regression, output)`, one output for two classes.

    A class that a regression's rows lack has probability 0 in it; a class alone has 1.
    """

    points: Float[np.ndarray, "row axis"]
    codes: Int[np.ndarray, " row"]
    learn: Bool[np.ndarray, "row regression"]
    n_classes: int

    def alone(self, regression: int) -> Regressions:
        """One of them by itself."""
        one = replace(self, learn=self.learn[:, [regression]])
        one.__dict__["factors"] = self.factors
        return one

    @property
    def n_outputs(self) -> int:
        """Scores an image gets."""
        return 1 if self.n_classes == 2 else self.n_classes

    @cached_property
    def values(self) -> Float[np.ndarray, "row axis"]:
        """The points, in the precision that products are made in."""
        return self.points.astype(np.float64 if self.points.size <= _SMALL else np.float32, copy=False)

    @cached_property
    def factors(self) -> tuple[Float[np.ndarray, "axis main"], Float[np.ndarray, "row main"]]:
        """The main directions of the points, about, and the points' coordinates along them.

        Source
        ------
        Halko, Martinsson & Tropp 2011, doi:10.1137/090771806, algorithm 4.4.
        """
        n, d = self.values.shape
        basis = np.random.default_rng(0).standard_normal((d, min(_AXES, d, 8 + n // 8))).astype(self.values.dtype)
        for _ in range(2):
            basis = np.linalg.qr(self.values.T @ (self.values @ basis))[0]
        return basis, self.values @ basis

    @cached_property
    def missing(self) -> Float[np.ndarray, "regression class_"]:
        """Added to the scores: 0, and minus infinity for a class that a regression's rows lack."""
        counts = self.learn.T.astype(np.int64) @ np.eye(self.n_classes, dtype=np.int64)[self.codes]
        return np.where(counts > 0, 0.0, -np.inf)

    @cached_property
    def happened(self) -> Float[np.ndarray, "row 1 output"]:
        """1 where the row is of the output's class."""
        return np.eye(self.n_classes)[self.codes][:, None, -self.n_outputs :]


@dataclass(frozen=True, eq=False)
class Solution:
    """Coefficients, the intercept last, and what they say of every row."""

    coef: Float[np.ndarray, "value regression output"]
    score: Float[np.ndarray, "row regression output"]
    proba: Float[np.ndarray, "row regression class_"]
    objective: Float[np.ndarray, " regression"]

    def alone(self, regression: int) -> Solution:
        """One of them by itself."""
        one = [regression]
        return Solution(self.coef[:, one], self.score[:, one], self.proba[:, one], self.objective[one])


def solve(task: Regressions, penalty: float, start: Solution | None = None, *, excess: float) -> Solution:
    """Minimise each regression's log loss summed over its rows plus `penalty / 2` times its squared coefficients.

    Conjugate gradients, preconditioned by the curvature along the main directions and the penalty along the others.
    A step's scores are known before it is taken, so how far to go costs no pass over the points.
    Ends when the loss a row lies about `excess` above its minimum at most.

    Source
    ------
    Nocedal & Wright 2006, «Numerical Optimization», section 5.2 (Polak–Ribière with restarts).
    """
    coef = np.zeros((task.points.shape[1] + 1, task.learn.shape[1], task.n_outputs)) if start is None else start.coef
    weight = np.full((len(coef), 1, 1), penalty)
    weight[-1] = 0.0
    at = _at(task, weight, coef, _forward(task, coef) if start is None else start.score)
    allowed = excess * task.learn.sum(axis=0)
    direction = before = steepest = np.zeros_like(coef)
    for step in range(_MOST_STEPS):
        if step % _STEPS_A_CURVATURE == 0:
            curvature = _curvature(task, penalty, at.proba)
        gradient = _backward(task, at.proba) + weight * at.coef
        downhill = -_precondition(task, penalty, curvature, gradient)
        drop = -_dot(gradient, downhill)
        if (drop <= 2 * allowed).all():
            return at
        if step % _STEPS_A_CURVATURE == 0:
            direction = downhill
        else:
            kept = _dot(before - gradient, downhill) / np.maximum(-_dot(before, steepest), 1e-300)
            direction = downhill + np.maximum(kept, 0.0)[:, None] * direction
            direction = np.where((_dot(gradient, direction) < 0)[:, None], direction, downhill)
        at = _advance(task, weight, at, direction, gradient, drop > 2 * allowed)
        before, steepest = gradient, downhill
    warnings.warn(f"No minimum after {_MOST_STEPS} steps at penalty {penalty:.3g}.", ConvergenceWarning, stacklevel=2)
    return at


def _advance(
    task: Regressions,
    weight: Float[np.ndarray, "value 1 1"],
    at: Solution,
    direction: Float[np.ndarray, "value regression output"],
    gradient: Float[np.ndarray, "value regression output"],
    is_moving: Bool[np.ndarray, " regression"],
) -> Solution:
    """Go to the minimum along the direction by its curvature here, and a quarter as far while that leads uphill."""
    ahead = _forward(task, direction)
    expected = at.proba[:, :, -task.n_outputs :]
    spread = (expected * ahead**2).sum(axis=2) - (expected * ahead).sum(axis=2) ** 2
    bend = np.where(task.learn, spread, 0.0).sum(axis=0) + _dot(weight * direction, direction)
    stride = np.where(is_moving, -_dot(gradient, direction) / np.maximum(bend, 1e-300), 0.0)
    while True:
        by = stride[:, None]
        there = _at(task, weight, at.coef + by * direction, at.score + by * ahead)
        is_uphill = there.objective > at.objective + 1e-9 * np.abs(at.objective)
        if not is_uphill.any():
            return there
        stride = np.where(is_uphill, stride / 4, stride)


def _at(
    task: Regressions,
    weight: Float[np.ndarray, "value 1 1"],
    coef: Float[np.ndarray, "value regression output"],
    score: Float[np.ndarray, "row regression output"],
) -> Solution:
    by_class = np.concatenate([np.zeros_like(score), score], axis=2) if task.n_outputs == 1 else score
    by_class = by_class + task.missing
    top = by_class.max(axis=2, keepdims=True)
    share = np.exp(by_class - top)
    total = share.sum(axis=2, keepdims=True)
    truth = np.take_along_axis(by_class, task.codes[:, None, None], axis=2)
    loss = np.where(task.learn, (top + np.log(total) - truth)[..., 0], 0.0).sum(axis=0)
    return Solution(coef, score, share / total, loss + _dot(weight * coef, coef) / 2)


def _forward(
    task: Regressions, coef: Float[np.ndarray, "value regression output"]
) -> Float[np.ndarray, "row regression output"]:
    flat = coef[:-1].reshape(len(coef) - 1, coef[0].size).astype(task.values.dtype)
    return (task.values @ flat).astype(np.float64).reshape(-1, *coef.shape[1:]) + coef[-1]


def _backward(
    task: Regressions, proba: Float[np.ndarray, "row regression class_"]
) -> Float[np.ndarray, "value regression output"]:
    """Gradient of the log loss."""
    wrong = np.where(task.learn[:, :, None], proba[:, :, -task.n_outputs :] - task.happened, 0.0)
    flat = wrong.reshape(len(wrong), -1).astype(task.values.dtype)
    by_value = (task.values.T @ flat).astype(np.float64).reshape(task.values.shape[1], *wrong.shape[1:])
    return np.concatenate([by_value, wrong.sum(axis=0)[None]])


def _curvature(task: Regressions, penalty: float, proba: Float[np.ndarray, "row regression class_"]) -> Curvature:
    """What the inverse of the curvature along the main directions has beyond 1 / penalty; the intercepts' curvature."""
    expected = proba[:, :, -task.n_outputs :]
    swing = np.where(task.learn[:, :, None], expected * (1 - expected), 0.0)
    main = task.factors[1]
    identity = np.eye(main.shape[1])
    inverse = np.empty((*swing.shape[1:], *identity.shape))
    for place in np.ndindex(*swing.shape[1:]):
        weighted = main * np.sqrt(swing[:, *place], dtype=main.dtype, casting="same_kind")[:, None]
        inverse[place] = np.linalg.inv((weighted.T @ weighted).astype(np.float64) + penalty * identity)
    return inverse - identity / penalty, np.maximum(
        swing.sum(axis=0), _LEAST_CURVATURE * task.learn.sum(axis=0)[:, None]
    )


def _precondition(
    task: Regressions, penalty: float, curvature: Curvature, gradient: Float[np.ndarray, "value regression output"]
) -> Float[np.ndarray, "value regression output"]:
    inverse, intercept = curvature
    basis = task.factors[0]
    along = np.tensordot(basis, gradient[:-1], axes=(0, 0)).transpose(1, 2, 0)[..., None]
    scaled = np.empty_like(gradient)
    scaled[:-1] = gradient[:-1] / penalty + np.tensordot(basis, (inverse @ along)[..., 0], axes=(1, 2))
    scaled[-1] = gradient[-1] / intercept
    return scaled


def _dot(
    one: Float[np.ndarray, "value regression output"], other: Float[np.ndarray, "value regression output"]
) -> Float[np.ndarray, " regression"]:
    return np.einsum("vro,vro->r", one, other)
