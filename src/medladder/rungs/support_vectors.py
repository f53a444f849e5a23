"""Support vectors with a Gaussian kernel."""

from __future__ import annotations

from typing import Self

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike
from sklearn.svm import SVC

from medladder.rungs.choosing import Rows, calibrate_out_of_part, fit_calibration, least_loss, predict_out_of_part
from medladder.rungs.conventional import (
    FeatureRung,
    RandomState,
    candidates,
    class_shares,
    require_every_class,
    require_positive,
    standardise,
)
from medladder.rungs.draws import Draw, may_learn

_COSTS = (1.0, 3.0, 10.0)
_GAMMAS = (0.25, 0.5, 1.0)
# The defaults did well from 16 to 300 rows of the training parts of BreastMNIST and PneumoniaMNIST.
_DEFAULT_COST = 1.0
_DEFAULT_GAMMA = 0.5
_DEFAULT_SLOPE = 2.0


class SupportVectorClassifier(FeatureRung):
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

    def fit(self, X: ArrayLike, y: ArrayLike, draw: Draw | None = None) -> Self:
        """Choose and calibrate by parts, then fit on every row that may be learned from."""
        vectors, codes, draw = self._read_to_fit(X, y, draw)
        n_classes, learn = len(self.classes_), may_learn(draw.fold)
        require_every_class(codes[learn], n_classes)
        points, self.centre_, self.scale_ = standardise(vectors, learn)
        costs = candidates(self.cost, _COSTS, _DEFAULT_COST, draw)
        gammas = candidates(self.gamma, _GAMMAS, _DEFAULT_GAMMA, draw)
        pairs = [(gamma, cost) for gamma in gammas for cost in costs]
        shares = class_shares(codes[learn], n_classes)
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
        proba = np.stack([calibrate_out_of_part(s, codes, draw.fold, shares, _DEFAULT_SLOPE) for s in score])
        best = least_loss(proba, codes)
        gamma, cost = pairs[best]
        self.out_of_part_proba_ = proba[best]
        self.calibration_ = fit_calibration(score[best], codes, shares, _DEFAULT_SLOPE)
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
