"""What a rung is told about a trial, and fitting one rung on many draws.

A rung sees arrays only. A `Draw` names the rows it may use and, by number, the parts that hold rows out for
choosing: no path, patient or split reaches it, so it cannot leak what it never had.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from medladder.errors import FitError

THIN_CLASS_ROWS = 10
"""Below this a held-out part has one or two rows of the class: too few to choose an epoch or a penalty by."""

SMALLEST_SPREAD = 1e-6
"""Of an image of one grey, rounding leaves less than this, and every library leaves something else."""

_FOLDS = 0xF01D  # keeps the folds' random numbers apart from what a rung draws with the same seed


@dataclass(frozen=True, eq=False)
class Draw:
    """The rows one trial may see, how they are held out for choosing, and its seed."""

    rows: Int[np.ndarray, " row"]
    """Positions in the images given beside the draw."""
    fold: Int[np.ndarray, " row"]
    """The part that holds this row out for choosing; -1: never held out."""
    seed: int
    is_thin: bool = False
    """A class has too few patients to choose by: nothing is stopped early."""

    def __post_init__(self) -> None:
        if self.rows.ndim != 1 or self.rows.shape != self.fold.shape:
            raise ValueError(f"rows {self.rows.shape} and fold {self.fold.shape} must be two equal vectors.")


@dataclass(frozen=True, eq=False)
class Sample:
    """A draw, its classes as codes, and the weight of each class in the loss."""

    draw: Draw
    codes: Int[np.ndarray, " row"]
    class_weights: Float[np.ndarray, " class_"]


def parts_of(fold: Int[np.ndarray, " row"]) -> int:
    """Count the parts: 0 nothing is held out, 1 for choosing only, 2 or more each row is held out in turn."""
    return int(fold.max(initial=-1)) + 1


def may_learn(fold: Int[np.ndarray, " row"]) -> Bool[np.ndarray, " row"]:
    """Mark the rows that some model may be trained on: all, unless a lone part is for choosing only."""
    return fold == -1 if parts_of(fold) == 1 else np.ones(len(fold), dtype=bool)


def evenly(rows: Int[np.ndarray, " row"], most: int) -> Int[np.ndarray, " some"]:
    """Take at most so many rows, evenly from first to last.

    Example
    -------
    >>> evenly(np.arange(10), 4)
    array([0, 2, 5, 7])
    """
    return rows if len(rows) <= most else rows[np.arange(most) * len(rows) // most]


def draw_by_row(labels: Shaped[np.ndarray, " row"], seed: int, parts: int = 5) -> Draw:
    """Draw for a lone `fit(X, y)`: every row, held out in parts stratified by class.

    A class with fewer rows than `parts` lowers their number, so that every part holds every class; a class
    with one row leaves no part at all. Patients are unknown here: a study brings its own draws.
    """
    codes, counts = np.unique(labels, return_inverse=True, return_counts=True)[1:]
    parts = min(parts, int(counts.min(initial=len(labels))))
    fold = np.full(len(labels), -1)
    if parts >= 2:
        shuffled = np.random.default_rng([seed, _FOLDS]).permutation(len(labels))
        by_class = shuffled[np.argsort(codes[shuffled], kind="stable")]
        fold[by_class] = np.arange(len(labels)) % parts
    return Draw(np.arange(len(labels)), fold, seed, is_thin=bool((counts < THIN_CLASS_ROWS).any()))


def fit_many(
    rung: BaseEstimator,
    images: Shaped[np.ndarray, "image ..."],
    labels: Shaped[np.ndarray, " image"],
    draws: Sequence[Draw],
) -> list[BaseEstimator | FitError]:
    """Fit one rung on many draws: at once where it can train a fleet, else draw by draw.

    A classifier that knows no draws is fitted as a `Guest`. One failed fit does not stop the others: its
    place in the list holds a `FitError` with the reason.
    """
    if hasattr(rung, "fit_fleet"):
        try:
            fitted: list[BaseEstimator | FitError] = rung.fit_fleet(images, labels, draws)
        except Exception as error:
            return [_reason(error) for _ in draws]
        return fitted
    knows_draws = "draw" in inspect.signature(rung.fit).parameters
    return [_fit_one(rung if knows_draws else Guest(rung), images, labels, draw) for draw in draws]


class Guest(MetaEstimatorMixin, ClassifierMixin, BaseEstimator):
    """Any scikit-learn classifier as a rung: images unrolled, out-of-part probabilities from refits."""

    def __init__(self, classifier: BaseEstimator) -> None:
        self.classifier = classifier

    def fit(self, X: ArrayLike, y: ArrayLike, draw: Draw | None = None) -> Self:
        """Fit on every row that may be learned from, and once more a part without its rows."""
        labels = np.asarray(y)
        if draw is None:
            draw = draw_by_row(labels, seed=0)
        seen = self._as_seen(X)
        learn = may_learn(draw.fold)
        seeded = clone(self.classifier).set_params(**_seeds(self.classifier, draw.seed))
        self.classifier_ = clone(seeded).fit(seen[learn], labels[learn])
        self.classes_ = self.classifier_.classes_
        self.out_of_part_proba_ = np.full((len(labels), len(self.classes_)), np.nan)
        parts = parts_of(draw.fold)
        for part in range(parts):
            held = draw.fold == part
            if held.any():
                without = self.classifier_ if parts == 1 else clone(seeded).fit(seen[~held], labels[~held])
                self.out_of_part_proba_[held] = self._proba(without, seen[held])
        self.n_parameters_ = _count_numbers(self.classifier_)
        self.chosen_: dict[str, Any] = {}
        return self

    def predict_proba(self, X: ArrayLike) -> Float[np.ndarray, "image class_"]:
        """Probability of each class, in the order of `classes_`."""
        check_is_fitted(self)
        return self._proba(self.classifier_, self._as_seen(X))

    def predict(self, X: ArrayLike) -> Shaped[np.ndarray, " image"]:
        """The likeliest class."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def _as_seen(self, X: ArrayLike) -> Shaped[np.ndarray, "image ..."]:
        images = in_unit_range(np.asarray(X))
        return images if get_tags(self.classifier).input_tags.three_d_array else images.reshape(len(images), -1)

    def _proba(self, fitted: BaseEstimator, seen: Shaped[np.ndarray, "image ..."]) -> Float[np.ndarray, "image class_"]:
        """Align the columns: a refit that missed a class gives it probability 0."""
        proba = np.zeros((len(seen), len(self.classes_)))
        proba[:, np.searchsorted(self.classes_, fitted.classes_)] = fitted.predict_proba(seen)
        return proba

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


def in_unit_range(images: Shaped[np.ndarray, "image ..."]) -> Float[np.ndarray, "image ..."]:
    """Scale pixels, uint8 or uint16, from their full range to 0–1; floats and columns of a table keep theirs."""
    if images.dtype in (np.uint8, np.uint16):
        return images.astype(np.float32) / np.float32(np.iinfo(images.dtype).max)
    return images.astype(np.result_type(images.dtype, np.float32))


def _fit_one(
    rung: BaseEstimator,
    images: Shaped[np.ndarray, "image ..."],
    labels: Shaped[np.ndarray, " image"],
    draw: Draw,
) -> BaseEstimator | FitError:
    alone = replace(draw, rows=np.arange(len(draw.rows)))
    try:
        seeded = clone(rung).set_params(**_seeds(rung, draw.seed))
        return seeded.fit(images[draw.rows], labels[draw.rows], draw=alone)
    except Exception as error:
        return _reason(error)


def _seeds(rung: BaseEstimator, seed: int) -> dict[str, int]:
    """Every `random_state` of the rung and of the steps inside it, set to the draw's seed."""
    names = [name for name in rung.get_params() if name.split("__")[-1] == "random_state"]
    return dict.fromkeys(names, seed % 2**32)


def _reason(error: Exception) -> FitError:
    return error if isinstance(error, FitError) else FitError(f"{type(error).__name__}: {error}", is_certain=False)


def _count_numbers(fitted: object) -> int:
    """Count the numbers a fitted object keeps in arrays, those of its trees and steps included."""
    visited: dict[int, object] = {}  # keeps what was seen alive, so that no id comes twice

    def count(value: object) -> int:
        if id(value) in visited:
            return 0
        visited[id(value)] = value
        if isinstance(value, np.ndarray) and value.dtype.kind in "biufcV":
            return value.size * len(value.dtype.names or [""])
        if isinstance(value, dict):
            return sum(map(count, value.values()))
        if isinstance(value, list | tuple | np.ndarray):
            return sum(map(count, value))
        if callable(value) or type(value).__module__.partition(".")[0] in ("builtins", "numpy"):
            return 0
        return count(value.__getstate__())

    return count(fitted)
