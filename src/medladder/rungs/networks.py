"""What every network rung shares, and the rungs on the unrolled image: `nn` with one hidden layer, `dnn` with more.

All are ensembles. Each member holds out another part of the rows, keeps the weights that did best there, and so
gives out-of-part probabilities for free, unless it is alone; the answer is the members' mean probability.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from typing import Any, Literal, Self, TypeGuard

import numpy as np
from jaxtyping import Float, Float32, Shaped
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils import check_random_state, compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from medladder.architecture import (
    BYTES_PER_NUMBER,
    count_parameters,
    equal_width,
    node_counts,
    parse_widths,
    tapered_widths,
)
from medladder.errors import FitError, InputError
from medladder.rungs.draws import Draw, Sample, draw_by_row, may_learn, parts_of
from medladder.rungs.recipe import ActivationName, BasisName, DeviceName, Recipe, require_class_weight

ROWS_AT_ONCE = 512
"""Images read from their file together when they are asked about: those of a whole part may not fit in memory."""


class NetworkClassifier(ClassifierMixin, BaseEstimator):
    """An ensemble of networks: all but how they are built, trained and asked."""

    class_weight: Mapping[Any, float] | str | None
    members: int
    random_state: int | np.random.RandomState | None

    @abstractmethod
    def check_settings(self) -> None:
        """Raise an `OptionError` for a setting out of range, as `fit` would."""

    @abstractmethod
    def _train_ensembles(self, images: Shaped[np.ndarray, "image ..."], samples: Sequence[Sample]) -> Sequence[Any]:
        """Train the members of every sample: one ensemble, with its `members` and `epochs`, a sample."""

    @abstractmethod
    def _start_ensembles(self, images: Shaped[np.ndarray, "image ..."], samples: Sequence[Sample]) -> Sequence[Any]:
        """The same ensembles as they are before they learn anything."""

    @abstractmethod
    def _ask(
        self, images: Shaped[np.ndarray, "image ..."], members: Sequence[int] | None = None
    ) -> Float[np.ndarray, "image class_"]:
        """Mean probability over the members, all unless named."""

    def _chosen(self) -> dict[str, Any]:
        return {"epochs": list(self.ensemble_.epochs)}

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

    def before_training(
        self,
        images: Shaped[np.ndarray, "image ..."],
        labels: Shaped[np.ndarray, " image"],
        draws: Sequence[Draw],
    ) -> list[Any]:
        """The ensembles that `fit_fleet` starts from on these draws, before they learn anything."""
        samples = [self._sample(labels[draw.rows], draw) for draw in draws]
        return list(self._start_ensembles(images, samples))

    def predict_proba(self, X: ArrayLike) -> Float[np.ndarray, "image class_"]:
        """Mean probability over the members, a column a class in the order of `classes_`."""
        check_is_fitted(self)
        return self._ask(validate_data(self, _unrolled(X), reset=False))

    def predict(self, X: ArrayLike) -> Shaped[np.ndarray, " image"]:
        """The likeliest class."""
        proba = self.predict_proba(X)
        return self.classes_[proba.argmax(axis=1)]

    def _checked(
        self, X: ArrayLike, y: ArrayLike
    ) -> tuple[Shaped[np.ndarray, "image ..."], Shaped[np.ndarray, " image"]]:
        flat, labels = validate_data(self, _unrolled(X), y)
        check_classification_targets(labels)
        return X if are_images(X) else flat, labels

    def _train(
        self,
        fitted: Sequence[NetworkClassifier],
        images: Shaped[np.ndarray, "image ..."],
        labels: Shaped[np.ndarray, " image"],
        draws: Sequence[Draw],
    ) -> list[InputError | None]:
        """Fill the estimators, one a draw; where a draw cannot be learned from, say why instead."""
        problems = [_problem(labels[draw.rows], draw) for draw in draws]
        able = [(one, draw) for one, draw, why in zip(fitted, draws, problems, strict=True) if why is None]
        samples = [self._sample(labels[draw.rows], draw) for _, draw in able]
        ensembles = self._train_ensembles(images, samples)
        for (one, draw), ensemble in zip(able, ensembles, strict=True):
            one.classes_ = np.unique(labels[draw.rows])
            one.ensemble_ = ensemble
            one.out_of_part_proba_ = one._out_of_part(images, draw)
            one.n_parameters_ = sum(network.n_parameters for network in ensemble.members)
            one.chosen_ = one._chosen()
        return problems

    def _sample(self, labels: Shaped[np.ndarray, " row"], draw: Draw) -> Sample:
        classes, codes = np.unique(labels, return_inverse=True)
        learn = may_learn(draw.fold)  # labels that are for choosing only weigh nothing
        known, of_known = np.unique(labels[learn], return_inverse=True)
        weights = np.ones(len(classes))
        weights[np.searchsorted(classes, known)] = compute_class_weight(
            self.class_weight, classes=known, y=known[of_known]
        )
        return Sample(draw, codes, weights / weights[codes[learn]].mean())

    def _out_of_part(self, images: Shaped[np.ndarray, "image ..."], draw: Draw) -> Float[np.ndarray, "row class_"]:
        """Probabilities of each row from the members that held it out; a lone member leaves several parts alone."""
        proba, parts = np.full((len(draw.rows), len(self.classes_)), np.nan), parts_of(draw.fold)
        if self.members == 1 and parts > 1:
            return proba
        for part in range(min(parts, self.members)):
            held = np.flatnonzero(draw.fold == part)
            for start in range(0, len(held), ROWS_AT_ONCE):
                some = held[start : start + ROWS_AT_ONCE]
                proba[some] = self._ask(images[draw.rows[some]], range(part, self.members, parts))
        return proba

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


class DenseClassifier(NetworkClassifier):
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
        device: DeviceName,
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
        self.device = device
        self.random_state = random_state

    def check_settings(self) -> None:
        """Raise an `OptionError` for a setting out of range, as `fit` would."""
        self._recipe(n_inputs=1, n_classes=2)
        require_class_weight(self.class_weight)

    def model_bytes(self, image_shape: Sequence[int], n_classes: int) -> int:
        """Bytes of a fitted model, all members together."""
        n_inputs = math.prod(image_shape)
        nodes = node_counts(n_inputs, self.hidden_widths(n_inputs, n_classes), n_classes)
        return BYTES_PER_NUMBER * self.members * count_parameters(nodes)

    @abstractmethod
    def hidden_widths(self, n_inputs: int, n_classes: int) -> tuple[int, ...]:
        """Node counts of the hidden layers, from input to output, on images of so many values and classes."""

    def _train_ensembles(self, images: Shaped[np.ndarray, "image ..."], samples: Sequence[Sample]) -> Sequence[Any]:
        from medladder.rungs.fleet import train_fleet

        return self._by_classes(train_fleet, images, samples)

    def _start_ensembles(self, images: Shaped[np.ndarray, "image ..."], samples: Sequence[Sample]) -> Sequence[Any]:
        from medladder.rungs.fleet import start_fleet

        return self._by_classes(start_fleet, images, samples)

    def _by_classes(
        self, make: Callable[..., list[Any]], images: Shaped[np.ndarray, "image ..."], samples: Sequence[Sample]
    ) -> Sequence[Any]:
        """One fleet a number of classes, for their networks differ in shape."""
        n_inputs = math.prod(images.shape[1:])
        ensembles: dict[int, Any] = {}
        for n_classes in sorted({len(sample.class_weights) for sample in samples}):
            alike = [index for index, sample in enumerate(samples) if len(sample.class_weights) == n_classes]
            recipe = self._recipe(n_inputs, n_classes)
            made = make(images, [samples[index] for index in alike], recipe, self.device)
            ensembles |= dict(zip(alike, made, strict=True))
        return [ensembles[index] for index in range(len(samples))]

    def projection(
        self, images: Shaped[np.ndarray, "image ..."], draw: Draw
    ) -> Callable[[Float32[np.ndarray, "pixel node"]], Float32[np.ndarray, "pixel node"]] | None:
        """Keep of weights on pixels what a first layer could hold that learns in the span of a draw's images.

        None where this rung would learn from the pixels themselves, and could hold any.
        """
        from medladder.rungs.fleet import span_of

        span = span_of(images, draw, self._recipe(math.prod(images.shape[1:]), len(self.classes_)))
        return None if span is None else span.project

    def _ask(
        self, images: Shaped[np.ndarray, "image ..."], members: Sequence[int] | None = None
    ) -> Float[np.ndarray, "image class_"]:
        from medladder.rungs.fleet import predict

        return predict(self.ensemble_, images, members)

    def _chosen(self) -> dict[str, Any]:
        return {"epochs": list(self.ensemble_.epochs), "basis": self.ensemble_.basis}

    def _recipe(self, n_inputs: int, n_classes: int) -> Recipe:
        return Recipe(
            hidden=self.hidden_widths(n_inputs, n_classes),
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
        device: DeviceName = "cpu",
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
            device=device,
            random_state=random_state,
        )
        self.width = width

    def hidden_widths(self, n_inputs: int, n_classes: int) -> tuple[int, ...]:  # noqa: ARG002
        """Node count of the hidden layer, the same on any image."""
        return tapered_widths(self.width, depth=1, taper=1)


class DeepNetworkClassifier(DenseClassifier):
    """Hidden layers that narrow toward the output, on the unrolled image: the rung `dnn`.

    `widths`, as "256-64-16" or as numbers, names the hidden layers outright; else hidden layer i has
    `width` · `taper`^i nodes. With `width` "equal" the network holds as many parameters as the default one does on the
    same images, up to a node's: `taper=1, width="equal"` puts constant width against the taper at equal parameters.
    The other settings are those of `NeuralNetworkClassifier`.
    """

    def __init__(
        self,
        *,
        depth: int = 3,
        width: int | Literal["equal"] = 256,
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
        device: DeviceName = "cpu",
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
            device=device,
            random_state=random_state,
        )
        self.depth = depth
        self.width = width
        self.taper = taper
        self.widths = widths

    def hidden_widths(self, n_inputs: int, n_classes: int) -> tuple[int, ...]:
        """Node counts of the hidden layers, from input to output, on images of so many values and classes."""
        if self.widths is not None:
            return parse_widths(self.widths if isinstance(self.widths, str) else "-".join(map(str, self.widths)))
        width = self.width
        if width == "equal":
            default = DeepNetworkClassifier().hidden_widths(n_inputs, n_classes)
            parameters = count_parameters(node_counts(n_inputs, default, n_classes))
            width = equal_width(n_inputs, n_classes, depth=self.depth, taper=self.taper, parameters=parameters)
        return tapered_widths(width, self.depth, self.taper)


def _unrolled(X: ArrayLike) -> ArrayLike:
    """See images as vectors, row by row, without copying; what is a table already stays as it is."""
    return X.reshape(len(X), -1) if are_images(X) else X


def are_images(X: ArrayLike) -> TypeGuard[np.ndarray]:
    """Images have axes; a table, or a list, has rows and columns."""
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
