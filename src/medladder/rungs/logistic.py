"""Logistic regression on the unrolled image: one neuron."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Self

import numpy as np
from jaxtyping import Float, Float32, Shaped
from numpy.typing import ArrayLike
from scipy.special import expit, softmax

from medladder.rungs.choosing import held_out_loss
from medladder.rungs.conventional import (
    ConventionalRung,
    RandomState,
    candidates,
    require_every_class,
    require_positive,
    standardise,
)
from medladder.rungs.draws import Draw, may_learn, parts_of
from medladder.rungs.regressions import Regressions, Solution, solve

_PENALTIES = (100.0, 30.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01)
# Did well from 16 to 300 rows of the training parts of BreastMNIST and PneumoniaMNIST.
_DEFAULT_PENALTY = 0.3

_ROUGH, _FINE = 1e-5, 1e-11
"""Loss a row above its minimum: while choosing, where penalties differ by a thousand times more; and in the end."""
_PASSED = 1.05
"""A loss as many times the least before it says that the path has passed its minimum."""

_SPAN_ROWS, _SPAN_SHARE = 2000, 4
_BLOCK_COLUMNS = 4096


class LogisticClassifier(ConventionalRung):
    """Logistic regression on the unrolled, standardised image: one neuron, y = Wx + b.

    Classes are not balanced: probabilities keep the prevalence of the training rows, and deciding has weights of
    its own. `coef_` `(output, value)` and `intercept_` are in units of the image given, 0–1 a pixel, with
    the standardisation inside; one output for two classes.

    Parameters
    ----------
    penalty
        Weight of the squared coefficients against the log loss summed over rows, as a share of the number of
        values an image has, so that one number suits every image size. None: chosen by parts.

    Source
    ------
    Hastie & Tibshirani 2004, doi:10.1093/biostatistics/kxh010: with an L2 penalty and fewer rows than values,
    fitting in an orthonormal basis of the rows' span is exact.
    """

    def __init__(self, penalty: float | None = None, random_state: RandomState = None) -> None:
        self.penalty = penalty
        self.random_state = random_state

    def check_settings(self) -> None:
        """Refuse a penalty that is not above 0."""
        require_positive(penalty=self.penalty)

    def fit(self, X: ArrayLike, y: ArrayLike, draw: Draw | None = None) -> Self:
        """Choose the penalty by parts, then fit on every row that may be learned from."""
        vectors, codes, draw = self._read_to_fit(X, y, draw)
        n_classes, learn = len(self.classes_), may_learn(draw.fold)
        require_every_class(codes[learn], n_classes)
        standard, centre, scale = standardise(vectors, learn)
        points, lift = span_of_rows(standard)
        parts = [draw.fold != part for part in range(parts_of(draw.fold))]
        task = Regressions(points, codes, np.stack([*parts, learn], axis=1), n_classes)
        penalties = candidates(self.penalty, _PENALTIES, _DEFAULT_PENALTY, draw)
        strengths = [penalty * vectors.shape[1] for penalty in penalties]
        best, start, self.out_of_part_proba_ = 0, None, np.full((len(codes), n_classes), np.nan)
        if parts:
            best, start, self.out_of_part_proba_ = choose_strength(task, strengths, draw)
        coef = solve(task.alone(-1), strengths[best], start, excess=_FINE).coef[:, 0].T
        on_values = coef[:, :-1] if lift is None else (coef[:, :-1] @ lift.T).astype(np.float32) @ standard
        self.coef_ = on_values / scale
        self.intercept_ = coef[:, -1] - self.coef_ @ centre
        self.n_parameters_ = self.coef_.size + self.intercept_.size
        self.chosen_ = {"penalty": float(penalties[best])}
        return self

    def projection(
        self, images: Shaped[np.ndarray, "image ..."], draw: Draw
    ) -> Callable[[Float32[np.ndarray, "value node"]], Float32[np.ndarray, "value node"]] | None:
        """Keep of weights on pixels what this neuron could hold: of few images a mixture, whatever it learns.

        None where images are so many that it could hold almost any.
        """
        standard, _, scale = standardise(self._read(images[draw.rows]), may_learn(draw.fold))
        _, lift = span_of_rows(standard)
        if lift is None:
            return None

        def project(weights: Float32[np.ndarray, "value node"]) -> Float32[np.ndarray, "value node"]:
            on_axes = lift.T @ (standard @ (weights * scale[:, None]))
            return np.asarray(standard.T @ (lift @ on_axes) / scale[:, None], dtype=np.float32)

        return project

    def predict_proba(self, X: ArrayLike) -> Float[np.ndarray, "image class_"]:
        """Probability of each class, in the order of `classes_`."""
        score = self._read(X) @ self.coef_.T + self.intercept_
        if score.shape[1] > 1:
            return softmax(score, axis=1)
        return np.hstack([expit(-score), expit(score)])


def choose_strength(
    task: Regressions, strengths: Sequence[float], draw: Draw
) -> tuple[int, Solution, Float[np.ndarray, "row class_"]]:
    """Follow the penalties from the strongest to past the least loss on the rows held out.

    The regressions of the task are those without each part, in order, and last the one on every row. Of the penalty
    chosen: its position, the last regression's solution, and the probabilities of the rows held out.
    """
    held = draw.fold >= 0
    visited: list[tuple[Solution, Float[np.ndarray, "row class_"]]] = []
    losses: list[float] = []
    at = None
    for strength in strengths:
        at = solve(task, strength, at, excess=_ROUGH)
        proba = np.full((len(held), task.n_classes), np.nan)
        proba[held] = at.proba[held, draw.fold[held]]
        visited.append((at.alone(-1), proba))
        losses.append(held_out_loss(proba, task.codes))
        if losses[-1] > _PASSED * min(losses):
            break
    best = int(np.argmin(losses))
    return best, *visited[best]


def span_of_rows(
    standard: Float[np.ndarray, "row value"],
) -> tuple[Float[np.ndarray, "row axis"], Float[np.ndarray, "row axis"] | None]:
    """Coordinates of few rows in an orthonormal basis of their span, and what lifts coefficients out of it.

    Coefficients `c` on the coordinates are `(c @ lift.T) @ standard` on the values. Where finding the basis costs
    more than it saves, the rows themselves are the coordinates, and there is nothing to lift.
    """
    n, d = standard.shape
    if n > min(_SPAN_ROWS, d // _SPAN_SHARE):
        return standard, None
    gram = np.zeros((n, n))
    for start in range(0, d, _BLOCK_COLUMNS):  # in blocks: the whole in double precision may not fit in memory
        block = standard[:, start : start + _BLOCK_COLUMNS].astype(np.float64)
        gram += block @ block.T
    squares, axes = np.linalg.eigh(gram)
    is_real = squares > 1e-12 * max(squares[-1], 1e-300)
    lengths = np.sqrt(squares[is_real])
    return axes[:, is_real] * lengths, axes[:, is_real] / lengths
