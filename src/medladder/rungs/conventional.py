"""What the conventional rungs share: arrays to vectors, labels to codes, and what there is to choose from.

What is chosen is chosen inside the rows given, by the log loss of predictions for rows that a fit had not seen.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float, Int, Num, Shaped
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from medladder.errors import InputError, OptionError
from medladder.rungs.choosing import Rows
from medladder.rungs.draws import Draw, draw_by_row, in_unit_range, parts_of
from medladder.rungs.features import HandCraftedFeatures

RandomState = int | np.random.RandomState | None
Value = TypeVar("Value", int, float)

_BLOCK_ROWS = 64


class ConventionalRung(ClassifierMixin, BaseEstimator):
    """The road into a conventional rung: arrays to vectors, labels to codes, rows to parts."""

    classes_: Shaped[np.ndarray, " class_"]
    random_state: RandomState

    def predict(self, X: ArrayLike) -> Shaped[np.ndarray, " image"]:
        """The likeliest class."""
        proba = self.predict_proba(X)
        return self.classes_[proba.argmax(axis=1)]

    @abstractmethod
    def predict_proba(self, X: ArrayLike) -> Float[np.ndarray, "image class_"]:
        """Probability of each class, in the order of `classes_`."""

    def check_settings(self) -> None:
        """Refuse a setting out of range."""

    def _as_vectors(self, X: ArrayLike) -> ArrayLike:
        """Unroll images row by row; vectors pass."""
        return X.reshape(len(X), -1) if isinstance(X, np.ndarray) and X.ndim > 2 else X

    def _read(self, X: ArrayLike) -> Float[np.ndarray, "row value"]:
        check_is_fitted(self)
        return in_unit_range(validate_data(self, self._as_vectors(X), reset=False))

    def _read_to_fit(
        self, X: ArrayLike, y: ArrayLike, draw: Draw | None
    ) -> tuple[Float[np.ndarray, "row value"], Int[np.ndarray, " row"], Draw]:
        self.check_settings()
        vectors, labels = validate_data(self, self._as_vectors(X), y)
        check_classification_targets(labels)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if draw is None:
            draw = draw_by_row(labels, seed=int(check_random_state(self.random_state).randint(2**31)))
        if len(draw.fold) != len(codes):
            raise ValueError(f"The draw has {len(draw.fold)} rows, X has {len(codes)}.")
        return in_unit_range(vectors), codes, draw

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


class FeatureRung(ConventionalRung):
    """Sees images by their hand-crafted features; vectors as they are."""

    features_kind = "hand-crafted"
    """Rungs of one kind see the same numbers, which a study computes once."""
    features_depend_on: tuple[str, ...] = ()

    def extract(self, images: Num[np.ndarray, "image *shape"]) -> Float[np.ndarray, "image feature"]:
        """Describe each image by its hand-crafted features, float32: the same whatever the other images."""
        return HandCraftedFeatures().transform(images)

    def _as_vectors(self, X: ArrayLike) -> ArrayLike:
        return self.extract(X) if isinstance(X, np.ndarray) and X.ndim > 2 else X


def require_positive(**settings: float | None) -> None:
    """Refuse a number that is not above 0; None is left to be chosen."""
    for name, value in settings.items():
        if value is not None and not value > 0:
            raise OptionError(
                found=f"{name}={value}.", needed=f"{name} is above 0.", do="Correct it, or leave it to be chosen."
            )


def require_every_class(codes: Int[np.ndarray, " row"], n_classes: int) -> None:
    """Refuse rows to learn from that lack a class, or that hold one class only."""
    found, needed = len(np.unique(codes)), max(2, n_classes)
    if found < needed:
        raise InputError(
            found=f"The rows to learn from hold {found} class{'' if found == 1 else 'es'}.",
            needed=f"This classifier needs {needed} classes.",
            do="Add images of the missing class, or leave it out.",
        )


def standardise(
    vectors: Float[np.ndarray, "row value"], learn: Rows
) -> tuple[Float[np.ndarray, "row value"], Float[np.ndarray, " value"], Float[np.ndarray, " value"]]:
    """Centre each value and divide by its deviation over the rows to learn from, in float32; constants stay 0."""
    seen = vectors if learn.all() else vectors[learn]
    centre = seen.mean(axis=0, dtype=np.float64)
    squares = np.zeros_like(centre)
    for start in range(0, len(seen), _BLOCK_ROWS):  # in blocks: the whole in double precision may not fit in memory
        squares += ((seen[start : start + _BLOCK_ROWS] - centre) ** 2).sum(axis=0)
    spread = np.sqrt(squares / len(seen))
    scale = np.where(spread > 1e-7 * np.abs(centre), spread, 1.0)
    standard = np.empty(vectors.shape, np.float32)
    for start in range(0, len(vectors), _BLOCK_ROWS):
        standard[start : start + _BLOCK_ROWS] = (vectors[start : start + _BLOCK_ROWS] - centre) / scale
    return standard, centre, scale


def class_shares(codes: Int[np.ndarray, " row"], n_classes: int) -> Float[np.ndarray, " class_"]:
    """Share of each class among the rows."""
    return np.bincount(codes, minlength=n_classes) / len(codes)


def candidates(given: Value | None, grid: tuple[Value, ...], default: Value, draw: Draw) -> tuple[Value, ...]:
    """What to choose from: what was given; the default where there is too little to choose by; else the grid."""
    if given is not None:
        return (given,)
    return grid if parts_of(draw.fold) and not draw.is_thin else (default,)
