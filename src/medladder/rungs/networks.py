"""Networks on the unrolled image: `nn` with one hidden layer, `dnn` with as many as asked for.

Both are ensembles. Each member holds out another part of the rows, keeps the weights that did best there, and so
gives out-of-part probabilities for free; the answer is the members' mean probability.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, Self, TypeGuard

import numpy as np
from jaxtyping import Float, Shaped
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils import check_random_state, compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from medladder.architecture import parse_widths, tapered_widths
from medladder.errors import FitError, InputError
from medladder.rungs.draws import Draw, Sample, draw_by_row, may_learn, parts_of
from medladder.rungs.recipe import ActivationName, BasisName, Recipe


class DenseClassifier(ClassifierMixin, BaseEstimator):
    """What `nn` and `dnn` share: all but the widths of their hidden layers."""

    def __init__(
        self,
        *,
        activation: ActivationName,
        dropout: float,
        weight_decay: float,
        shift: float,
        standardise: bool,
        class_weight: Mapping[Any, float] | str | None,
        members: int,
        epochs: int | None,
        batch_size: int | None,
        learning_rate: float,
        basis: BasisName,
        random_state: int | np.random.RandomState | None,
    ) -> None:
        self.activation = activation
        self.dropout = dropout
        self.weight_decay = weight_decay
        self.shift = shift
        self.standardise = standardise
        self.class_weight = class_weight
        self.members = members
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.basis = basis
        self.random_state = random_state

    def check_settings(self) -> None:
        """Raise an `OptionError` for a setting out of range, as `fit` would."""
        self._recipe()

    @abstractmethod
    def hidden_widths(self) -> tuple[int, ...]:
        """Node counts of the hidden layers, from input to output."""

    def fit(self, X: ArrayLike, y: ArrayLike, draw: Draw | None = None) -> Self:
        """Train a fleet of one.

        Raises
        ------
        InputError
            The rows hold a single class, or a setting is out of range.
        """
        images, labels = self._checked(X, y)
        if draw is None:
            draw = draw_by_row(labels, seed=int(check_random_state(self.random_state).randint(2**31)))
        [problem] = self._train([self], images, labels, [draw])
        if problem is not None:
            raise problem
        return self

    def fit_fleet(
        self,
        images: Shaped[np.ndarray, "image ..."],
        labels: Shaped[np.ndarray, " image"],
        draws: Sequence[Draw],
    ) -> list[Self | FitError]:
        """Train the networks of all draws together; each ends as it would alone."""
        checked = clone(self)
        images, labels = checked._checked(images, labels)
        fitted = [copy(checked) for _ in draws]
        problems = self._train(fitted, images, labels, draws)
        return [
            one if problem is None else FitError(str(problem)) for one, problem in zip(fitted, problems, strict=True)
        ]

    def predict_proba(self, X: ArrayLike) -> Float[np.ndarray, "image class_"]:
        """Mean probability over the members, a column a class in the order of `classes_`."""
        from medladder.rungs.fleet import predict

        check_is_fitted(self)
        return predict(self.ensemble_, validate_data(self, _unrolled(X), reset=False))

    def predict(self, X: ArrayLike) -> Shaped[np.ndarray, " image"]:
        """The likeliest class."""
        proba = self.predict_proba(X)
        return self.classes_[proba.argmax(axis=1)]

    def _checked(
        self, X: ArrayLike, y: ArrayLike
    ) -> tuple[Shaped[np.ndarray, "image ..."], Shaped[np.ndarray, " image"]]:
        flat, labels = validate_data(self, _unrolled(X), y)
        check_classification_targets(labels)
        return X if _are_images(X) else flat, labels

    def _train(
        self,
        fitted: Sequence[DenseClassifier],
        images: Shaped[np.ndarray, "image ..."],
        labels: Shaped[np.ndarray, " image"],
        draws: Sequence[Draw],
    ) -> list[InputError | None]:
        """Fill the estimators, one a draw; where a draw cannot be learned from, say why instead."""
        from medladder.rungs.fleet import train_fleet

        problems = [_problem(labels[draw.rows], draw) for draw in draws]
        able = [(one, draw) for one, draw, why in zip(fitted, draws, problems, strict=True) if why is None]
        samples = [self._sample(labels[draw.rows], draw) for _, draw in able]
        ensembles = train_fleet(images, samples, self._recipe())
        for (one, draw), ensemble in zip(able, ensembles, strict=True):
            one.classes_ = np.unique(labels[draw.rows])
            one.ensemble_ = ensemble
            one.out_of_part_proba_ = one._out_of_part(images, draw)
            one.n_parameters_ = sum(array.size for array in (*ensemble.weights, *ensemble.biases))
            one.chosen_ = {"epochs": list(ensemble.epochs), "basis": ensemble.basis}
        return problems

    def _sample(self, labels: Shaped[np.ndarray, " row"], draw: Draw) -> Sample:
        classes, codes = np.unique(labels, return_inverse=True)
        weights = compute_class_weight(self.class_weight, classes=classes, y=labels)
        return Sample(draw, codes, weights / weights[codes].mean())

    def _recipe(self) -> Recipe:
        return Recipe(
            hidden=self.hidden_widths(),
            activation=self.activation,
            members=self.members,
            dropout=self.dropout,
            weight_decay=self.weight_decay,
            shift=self.shift,
            standardise=self.standardise,
            learning_rate=self.learning_rate,
            epochs=self.epochs,
            batch=self.batch_size,
            basis=self.basis,
        )

    def _out_of_part(self, images: Shaped[np.ndarray, "image ..."], draw: Draw) -> Float[np.ndarray, "row class_"]:
        """Probabilities of each row from the members that held it out; a lone member leaves several parts alone."""
        from medladder.rungs.fleet import predict

        proba, parts = np.full((len(draw.rows), len(self.classes_)), np.nan), parts_of(draw.fold)
        if self.members == 1 and parts > 1:
            return proba
        for part in range(min(parts, self.members)):
            held = draw.fold == part
            proba[held] = predict(self.ensemble_, images[draw.rows[held]], range(part, self.members, parts))
        return proba

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


class NeuralNetworkClassifier(DenseClassifier):
    """One hidden layer on the unrolled image: the rung `nn`.

    `epochs` and `batch_size` of None follow the number of rows, see `medladder.rungs.fleet.pace`. `shift` is a
    share of the image's side, by which few images are moved (`medladder.rungs.pixels.MOVED_ROWS`). `basis` is what the
    first layer is trained on: the pixels, the span of the images, or the cheaper of the two. A lone member learns from
    every row and stops nothing early. `standardise` gives each image mean 0 and spread 1 of its own, so that exposure
    says nothing; turn it off where brightness alone tells the classes apart. Vectors know neither.
    """

    def __init__(
        self,
        *,
        width: int = 128,
        activation: ActivationName = "relu",
        dropout: float = 0.2,
        weight_decay: float = 0.01,
        shift: float = 0.04,
        standardise: bool = True,
        class_weight: Mapping[Any, float] | str | None = None,
        members: int = 5,
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float = 1e-3,
        basis: BasisName = "auto",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        super().__init__(
            activation=activation,
            dropout=dropout,
            weight_decay=weight_decay,
            shift=shift,
            standardise=standardise,
            class_weight=class_weight,
            members=members,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            basis=basis,
            random_state=random_state,
        )
        self.width = width

    def hidden_widths(self) -> tuple[int, ...]:
        """Node count of the hidden layer."""
        return tapered_widths(self.width, depth=1, taper=1)


class DeepNetworkClassifier(DenseClassifier):
    """Hidden layers that narrow toward the output, on the unrolled image: the rung `dnn`.

    `widths`, as "256-64-16" or as numbers, names the hidden layers outright; else hidden layer i has
    `width` · `taper`^i nodes. The other settings are those of `NeuralNetworkClassifier`.
    """

    def __init__(
        self,
        *,
        depth: int = 3,
        width: int = 256,
        taper: float = 0.25,
        widths: Sequence[int] | str | None = None,
        activation: ActivationName = "relu",
        dropout: float = 0.2,
        weight_decay: float = 0.01,
        shift: float = 0.04,
        standardise: bool = True,
        class_weight: Mapping[Any, float] | str | None = None,
        members: int = 5,
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float = 1e-3,
        basis: BasisName = "auto",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        super().__init__(
            activation=activation,
            dropout=dropout,
            weight_decay=weight_decay,
            shift=shift,
            standardise=standardise,
            class_weight=class_weight,
            members=members,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            basis=basis,
            random_state=random_state,
        )
        self.depth = depth
        self.width = width
        self.taper = taper
        self.widths = widths

    def hidden_widths(self) -> tuple[int, ...]:
        """Node counts of the hidden layers, from input to output."""
        if self.widths is None:
            return tapered_widths(self.width, self.depth, self.taper)
        return parse_widths(self.widths if isinstance(self.widths, str) else "-".join(map(str, self.widths)))


def _unrolled(X: ArrayLike) -> ArrayLike:
    """See images as vectors, row by row, without copying; what is a table already stays as it is."""
    return X.reshape(len(X), -1) if _are_images(X) else X


def _are_images(X: ArrayLike) -> TypeGuard[np.ndarray]:
    return isinstance(X, np.ndarray) and X.ndim > 2


def _problem(labels: Shaped[np.ndarray, " row"], draw: Draw) -> InputError | None:
    classes = np.unique(labels[may_learn(draw.fold)]).tolist()
    if len(classes) >= 2:
        return None
    return InputError(
        found=f"The rows to learn from hold {len(classes)} class: {classes}.",
        needed="A classifier needs 2 or more classes to tell apart.",
        do="Add images of another class.",
    )
