"""The conventional rungs: class frequencies, logistic regression on pixels, support vectors on features.

What is chosen is chosen inside the rows given, by the log loss of predictions for rows that a fit had not seen.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from jaxtyping import Float, Int, Num, Shaped
from numpy.typing import ArrayLike
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from medladder.errors import InputError, OptionError
from medladder.rungs.choosing import Rows, calibrate_out_of_part, fit_calibration, least_loss, predict_out_of_part
from medladder.rungs.draws import Draw, draw_by_row, in_unit_range, may_learn, parts_of
from medladder.rungs.features import HandCraftedFeatures

RandomState = int | np.random.RandomState | None

_PENALTIES = (100.0, 30.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01)
_COSTS = (1.0, 3.0, 10.0)
_GAMMAS = (0.25, 0.5, 1.0)
# The defaults did well from 16 to 300 rows of the training parts of BreastMNIST and PneumoniaMNIST.
_DEFAULT_PENALTY = 0.3
_DEFAULT_COST = 1.0
_DEFAULT_GAMMA = 0.5

_BLOCK_COLUMNS = 4096


class _ConventionalRung(ClassifierMixin, BaseEstimator):
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


class PriorClassifier(_ConventionalRung):
    """Knows the class frequencies and nothing else: the floor every other rung stands on."""

    def __init__(self, random_state: RandomState = None) -> None:
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike, draw: Draw | None = None) -> Self:
        """Count the classes of the rows that may be learned from."""
        _, codes, draw = self._read_to_fit(X, y, draw)
        n_classes = len(self.classes_)

        self.shares_ = _shares(codes[may_learn(draw.fold)], n_classes)
        # Parts differ in their frequencies by chance alone, and a floor must not rank rows by that.
        self.out_of_part_proba_ = np.where((draw.fold >= 0)[:, None], self.shares_, np.nan)
        self.n_parameters_ = n_classes
        self.chosen_: dict[str, float] = {}
        return self

    def predict_proba(self, X: ArrayLike) -> Float[np.ndarray, "image class_"]:
        """The same class frequencies for each image."""
        rows = self._read(X)
        return np.tile(self.shares_, (len(rows), 1))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = True
        return tags


class LogisticClassifier(_ConventionalRung):
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
        penalties = _candidates(self.penalty, _PENALTIES, _DEFAULT_PENALTY, draw)
        costs = [1 / (penalty * vectors.shape[1]) for penalty in penalties]

        def hold_out(learn: Rows, held: Rows) -> Float[np.ndarray, "candidate held class_"]:
            return follow_path(points[learn], codes[learn], points[held], costs, n_classes)

        proba = predict_out_of_part(draw.fold, hold_out, len(costs), n_classes)
        best = least_loss(proba, codes)
        self.out_of_part_proba_ = proba[best]
        machine = LogisticRegression(C=costs[best], tol=_tolerance(points) / 100, max_iter=9999).fit(
            points[learn], codes[learn]
        )
        self.coef_ = (machine.coef_ if lift is None else (machine.coef_ @ lift.T) @ standard) / scale
        self.intercept_ = machine.intercept_ - self.coef_ @ centre
        self.n_parameters_ = self.coef_.size + self.intercept_.size
        self.chosen_ = {"penalty": penalties[best]}
        return self

    def predict_proba(self, X: ArrayLike) -> Float[np.ndarray, "image class_"]:
        """Probability of each class, in the order of `classes_`."""
        score = self._read(X) @ self.coef_.T + self.intercept_
        if score.shape[1] > 1:
            return softmax(score, axis=1)
        return np.hstack([expit(-score), expit(score)])


class SupportVectorClassifier(_ConventionalRung):
    """Support vectors with a Gaussian kernel on hand-crafted features; on vectors, on the vectors themselves.

    One machine for two classes, else one a class against the rest; classes weigh the same in each, and a
    `Calibration` of out-of-part scores returns them to their prevalence as probabilities.

    Parameters
    ----------
    cost
        Price of a row on the wrong side of the margin. None: chosen by parts.
    gamma
        Steepness of the kernel exp(-gamma · mean squared difference of the standardised values).
        None: chosen by parts.

    Source
    ------
    Cortes & Vapnik 1995, doi:10.1007/BF00994018.
    """

    def __init__(self, cost: float | None = None, gamma: float | None = None, random_state: RandomState = None) -> None:
        self.cost = cost
        self.gamma = gamma
        self.random_state = random_state

    def check_settings(self) -> None:
        """Refuse a cost or a gamma that is not above 0."""
        require_positive(cost=self.cost, gamma=self.gamma)

    def extract(self, images: Num[np.ndarray, "image *shape"]) -> Float[np.ndarray, "image feature"]:
        """Describe each image by its hand-crafted features, float32: the same whatever the other images."""
        return HandCraftedFeatures().transform(images)

    def fit(self, X: ArrayLike, y: ArrayLike, draw: Draw | None = None) -> Self:
        """Choose and calibrate by parts, then fit on every row that may be learned from."""
        vectors, codes, draw = self._read_to_fit(X, y, draw)
        n_classes, learn = len(self.classes_), may_learn(draw.fold)
        require_every_class(codes[learn], n_classes)
        points, self.centre_, self.scale_ = standardise(vectors, learn)
        costs = _candidates(self.cost, _COSTS, _DEFAULT_COST, draw)
        gammas = _candidates(self.gamma, _GAMMAS, _DEFAULT_GAMMA, draw)
        pairs = [(gamma, cost) for gamma in gammas for cost in costs]
        shares = _shares(codes[learn], n_classes)
        squares = mean_squares(points, points)

        def hold_out(learn: Rows, held: Rows) -> Float[np.ndarray, "candidate held output"]:
            near, far = squares[np.ix_(learn, learn)], squares[np.ix_(held, learn)]
            scores = []
            for gamma in gammas:
                kernel, to_held = np.exp(-gamma * near).astype(np.float64), np.exp(-gamma * far)
                for cost in costs:
                    dual, offset = train_machines(kernel, codes[learn], n_classes, cost)
                    scores.append(to_held @ dual + offset)
            return np.stack(scores)

        score = predict_out_of_part(draw.fold, hold_out, len(pairs), 1 if n_classes == 2 else n_classes)
        proba = np.stack([calibrate_out_of_part(s, codes, draw.fold, shares) for s in score])
        best = least_loss(proba, codes)
        gamma, cost = pairs[best]
        self.out_of_part_proba_ = proba[best]
        self.calibration_ = fit_calibration(score[best], codes, shares)
        dual, self.offset_ = train_machines(
            np.exp(-gamma * squares[np.ix_(learn, learn)]), codes[learn], n_classes, cost
        )
        is_support = dual.any(axis=1)
        self.support_vectors_, self.dual_coef_ = points[learn][is_support], dual[is_support]
        kept = (self.support_vectors_, self.dual_coef_, self.offset_, self.centre_, self.scale_, self.calibration_.bias)
        self.n_parameters_ = sum(array.size for array in kept) + 1  # one more for the slope
        self.chosen_ = {"cost": cost, "gamma": gamma, "slope": round(self.calibration_.slope, 4)}
        return self

    def predict_proba(self, X: ArrayLike) -> Float[np.ndarray, "image class_"]:
        """Probability of each class, in the order of `classes_`."""
        points = (self._read(X) - self.centre_) / self.scale_
        near = np.exp(-self.chosen_["gamma"] * mean_squares(points, self.support_vectors_))
        return self.calibration_.proba(near @ self.dual_coef_ + self.offset_)

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
    """Centre each value and divide by its deviation over the rows to learn from; constants stay 0."""
    centre = vectors[learn].mean(axis=0, dtype=np.float64)
    spread = vectors[learn].std(axis=0, dtype=np.float64)
    scale = np.where(spread > 1e-7 * np.abs(centre), spread, 1.0)
    return ((vectors - centre) / scale).astype(np.float32), centre, scale


def span_of_rows(
    standard: Float[np.ndarray, "row value"],
) -> tuple[Float[np.ndarray, "row axis"], Float[np.ndarray, "row axis"] | None]:
    """Coordinates of the rows in an orthonormal basis of their span, and what lifts coefficients out of it.

    Coefficients `c` on the coordinates are `(c @ lift.T) @ standard` on the values. With as many rows as
    values the rows themselves are the coordinates, and there is nothing to lift.
    """
    n, d = standard.shape
    if n >= d:
        return standard.astype(np.float64), None
    gram = np.zeros((n, n))
    for start in range(0, d, _BLOCK_COLUMNS):  # in blocks: the whole in double precision may not fit in memory
        block = standard[:, start : start + _BLOCK_COLUMNS].astype(np.float64)
        gram += block @ block.T
    squares, axes = np.linalg.eigh(gram)
    is_real = squares > 1e-12 * max(squares[-1], 1e-300)
    lengths = np.sqrt(squares[is_real])
    return axes[:, is_real] * lengths, axes[:, is_real] / lengths


def follow_path(
    points: Float[np.ndarray, "row axis"],
    codes: Int[np.ndarray, " row"],
    held_points: Float[np.ndarray, "held axis"],
    costs: Sequence[float],
    n_classes: int,
) -> Float[np.ndarray, "candidate held class_"]:
    """Fit from the strongest penalty to the weakest, each from the last, and predict the rows held out.

    A class these rows lack gets probability 0; a class alone gets 1.
    """
    present = np.unique(codes)
    proba = np.zeros((len(costs), len(held_points), n_classes))
    if len(present) == 1:
        proba[:, :, present] = 1
        return proba
    machine = LogisticRegression(warm_start=True, tol=_tolerance(points), max_iter=9999)
    for candidate, cost in enumerate(costs):
        machine.set_params(C=cost).fit(points, codes)
        proba[candidate][:, present] = machine.predict_proba(held_points)
    return proba


def train_machines(
    kernel: Float[np.ndarray, "row row"], codes: Int[np.ndarray, " row"], n_classes: int, cost: float
) -> tuple[Float[np.ndarray, "row output"], Float[np.ndarray, " output"]]:
    """Train one machine for two classes, else one a class against the rest: dual coefficients and offsets.

    Against a class these rows lack, the machine always answers with the rest.
    """
    targets = [codes == c for c in ([1] if n_classes == 2 else range(n_classes))]
    kernel = kernel.astype(np.float64, copy=False)  # SVC takes no other, and would copy for each machine
    dual, offset = np.zeros((len(codes), len(targets))), np.zeros(len(targets))
    for output, target in enumerate(targets):
        if target.all() or not target.any():
            offset[output] = 1.0 if target.all() else -1.0
            continue
        machine = SVC(kernel="precomputed", C=cost, class_weight="balanced").fit(kernel, target)
        dual[machine.support_, output] = machine.dual_coef_[0]
        offset[output] = machine.intercept_[0]
    return dual, offset


def mean_squares(
    points: Float[np.ndarray, "row value"], others: Float[np.ndarray, "other value"]
) -> Float[np.ndarray, "row other"]:
    """Squared distance of every two points, as a mean over their values."""
    squares = points @ others.T
    squares *= -2
    squares += (points * points).sum(axis=1)[:, None]
    squares += (others * others).sum(axis=1)
    return np.maximum(squares / points.shape[1], 0, out=squares)


def _tolerance(points: Float[np.ndarray, "row axis"]) -> float:
    """Be rough while choosing on many rows: a finer fit moves their loss by under 1 % and doubles the time."""
    return 1e-3 if points.size > 1_000_000 else 1e-5


def _shares(codes: Int[np.ndarray, " row"], n_classes: int) -> Float[np.ndarray, " class_"]:
    return np.bincount(codes, minlength=n_classes) / len(codes)


def _candidates(given: float | None, grid: tuple[float, ...], default: float, draw: Draw) -> tuple[float, ...]:
    """What to choose from: what was given; the default where there is too little to choose by; else the grid."""
    if given is not None:
        return (float(given),)
    return grid if parts_of(draw.fold) and not draw.is_thin else (default,)
