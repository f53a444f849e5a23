"""Covariates beside the image: how a conventional rung takes them, as features or by what they leave of the image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self, get_args

import numpy as np
from jaxtyping import Float, Int, Num, Shaped
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from medladder.errors import FitError, InputError, unknown_name
from medladder.rungs.choosing import least_loss
from medladder.rungs.draws import Draw, draw_by_row, fit_many, in_unit_range, may_learn, parts_of

CovariateUse = Literal["feature", "residual"]
USES: tuple[str, ...] = get_args(CovariateUse)


@dataclass(frozen=True, eq=False)
class Covariates:
    """What stands beside the images for the rungs that take covariates; `normal_class` is a label."""

    values: Float[np.ndarray, "image covariate"]
    use: CovariateUse
    normal_class: int | None


def read_use(given: str | None) -> CovariateUse:
    """How covariates are to be used; as features unless told otherwise."""
    if given in (None, "feature"):
        return "feature"
    if given == "residual":
        return "residual"
    raise unknown_name("use of covariates", str(given), USES)


def fit_beside(
    rung: BaseEstimator,
    images: Shaped[np.ndarray, "image ..."],
    labels: Shaped[np.ndarray, " image"],
    draws: Sequence[Draw],
    covariates: Covariates,
) -> list[BaseEstimator | FitError]:
    """`fit_many` for a rung that takes covariates; what is fitted sees what `beside` gives."""
    taking = CovariateClassifier(
        rung,
        n_covariates=covariates.values.shape[1],
        use=covariates.use,
        normal_class=covariates.normal_class,
    )
    fitted = []
    for draw in draws:  # one at a time: unrolled images of all draws may not fit in memory
        alone = replace(draw, rows=np.arange(len(draw.rows)))
        vectors = beside(images[draw.rows], covariates.values[draw.rows])
        fitted += fit_many(taking, vectors, labels[draw.rows], [alone])
    return fitted


def beside(
    images: Num[np.ndarray, "image ..."], values: Float[np.ndarray, "image covariate"]
) -> Float[np.ndarray, "image value"]:
    """Unroll the images, 0–1 where they are pixels, and put the covariates in the last columns."""
    vectors = in_unit_range(images.reshape(len(images), -1))
    return np.hstack([vectors, values.astype(vectors.dtype)])


class CovariateClassifier(MetaEstimatorMixin, ClassifierMixin, BaseEstimator):
    """A conventional rung on vectors whose last columns are covariates.

    As a *feature* a covariate stands beside the other columns. Rungs standardise their columns, so that one would be
    drowned by thousands; it therefore stands there in as many copies as did best on rows held out, by log loss: one
    each, or the square root of the number of other columns together, or a quarter of it. To a linear or a kernel rung
    copies are weight, to a forest they are chances to be looked at. With too little to choose by: one each.

    For the *residual* every other column is regressed on the covariates in the rows of the normal class that may be
    learned from, and the rung sees what is left. A row of the normal class never enters its own regression, nor
    do the rows of its part with the same covariates, which may be its own patient's: otherwise rows that were regressed
    on would lie nearer to 0 than those of new patients. Rows of the normal class that a part holds out do enter the
    regressions of other rows: with under 25 rows of that class a covariate, out-of-part probabilities are somewhat
    too good. Fitting anew for each part costs five times as much and errs as far to the other side (docs/LOG.md).

    Parameters
    ----------
    rung
        A classifier whose `fit` takes a draw.
    normal_class
        For the residual: the label of the class to regress in. None: every row.

    Source
    ------
    Dukart et al. 2011, doi:10.1371/journal.pone.0022193: age effects removed by regression in the controls.
    """

    def __init__(
        self, rung: BaseEstimator, *, n_covariates: int = 1, use: CovariateUse = "feature", normal_class: Any = None
    ) -> None:
        self.rung = rung
        self.n_covariates = n_covariates
        self.use = use
        self.normal_class = normal_class

    def fit(self, X: ArrayLike, y: ArrayLike, draw: Draw | None = None) -> Self:
        """Fit the rung on copies or residuals.

        Raises
        ------
        InputError
            No column but covariates, or too few rows of the normal class to regress on them.
        """
        vectors, labels = validate_data(self, X, y)
        check_classification_targets(labels)
        values, covariates = self._split(vectors)
        draw = draw_by_row(labels, seed=0) if draw is None else draw
        if read_use(self.use) == "feature":
            self._fit_copies(values, covariates, labels, draw)
        else:
            self._fit_residuals(values, covariates, labels, draw)
        self.classes_ = self.rung_.classes_
        self.out_of_part_proba_ = self.rung_.out_of_part_proba_
        return self

    def predict_proba(self, X: ArrayLike) -> Float[np.ndarray, "image class_"]:
        """Probability of each class, in the order of `classes_`."""
        check_is_fitted(self)
        values, covariates = self._split(validate_data(self, X, reset=False))
        if self.use == "feature":
            return self.rung_.predict_proba(_with_copies(values, covariates, self.copies_))
        return self.rung_.predict_proba(self.regression_.residual(values, covariates))

    def predict(self, X: ArrayLike) -> Shaped[np.ndarray, " image"]:
        """The likeliest class."""
        proba = self.predict_proba(X)
        return self.classes_[proba.argmax(axis=1)]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        # What is left after a regression on every row need not tell the classes of a drawn table apart.
        tags.classifier_tags.poor_score = self.use == "residual"
        return tags

    def _split(
        self, vectors: Num[np.ndarray, "row column"]
    ) -> tuple[Float[np.ndarray, "row value"], Float[np.ndarray, "row covariate"]]:
        n_columns, k = vectors.shape[1], self.n_covariates
        if not 0 < k < n_columns:
            raise InputError(
                found=f"X has {n_columns} feature(s), of which {k} are covariates.",
                needed="At least one of each.",
                do="Correct n_covariates, or give the rung without covariates.",
            )
        return in_unit_range(vectors[:, :-k]), vectors[:, -k:].astype(np.float64)

    def _fit_copies(
        self,
        values: Float[np.ndarray, "row value"],
        covariates: Float[np.ndarray, "row covariate"],
        labels: Shaped[np.ndarray, " row"],
        draw: Draw,
    ) -> None:
        d, k = values.shape[1], covariates.shape[1]
        can_choose = parts_of(draw.fold) > 0 and not draw.is_thin
        together = (k, math.sqrt(d), d / 4) if can_choose else (k,)
        numbers = sorted({max(1, round(total / k)) for total in together})
        fitted = [
            clone(self.rung).fit(_with_copies(values, covariates, copies), labels, draw=draw) for copies in numbers
        ]
        codes = np.unique(labels, return_inverse=True)[1]
        best = least_loss(np.stack([one.out_of_part_proba_ for one in fitted]), codes)
        self.rung_, self.copies_ = fitted[best], numbers[best]
        self.n_parameters_ = self.rung_.n_parameters_
        self.chosen_ = {**self.rung_.chosen_, "covariate_copies": self.copies_}

    def _fit_residuals(
        self,
        values: Float[np.ndarray, "row value"],
        covariates: Float[np.ndarray, "row covariate"],
        labels: Shaped[np.ndarray, " row"],
        draw: Draw,
    ) -> None:
        is_normal = may_learn(draw.fold)
        if self.normal_class is not None:
            is_normal &= labels == self.normal_class
        n_normal, n_needed = int(is_normal.sum()), covariates.shape[1] + 3
        if n_normal < n_needed:
            raise InputError(
                found=f"The normal class has {n_normal} sample{'' if n_normal == 1 else 's'} to learn from.",
                needed=f"{n_needed} or more to regress on {covariates.shape[1]} columns of covariates.",
                do="Give larger sizes or fewer covariates, or give the covariates as features.",
            )
        self.regression_ = regress(values[is_normal], covariates[is_normal])
        seen = self.regression_.residual(values, covariates)
        seen[is_normal] = unseen_residual(values[is_normal], covariates[is_normal], draw.fold[is_normal])
        self.rung_ = clone(self.rung).fit(seen, labels, draw=draw)
        self.n_parameters_ = self.rung_.n_parameters_ + self.regression_.n_numbers
        self.chosen_ = self.rung_.chosen_


@dataclass(frozen=True)
class Regression:
    """Every column as a weighted sum of covariates: `weights` are those of 1 and of each covariate, standardised."""

    centre: Float[np.ndarray, " covariate"]
    scale: Float[np.ndarray, " covariate"]
    weights: Float[np.ndarray, "term value"]

    @property
    def n_numbers(self) -> int:
        """Numbers stored."""
        return self.centre.size + self.scale.size + self.weights.size

    def residual(
        self, values: Float[np.ndarray, "row value"], covariates: Float[np.ndarray, "row covariate"]
    ) -> Float[np.ndarray, "row value"]:
        """What the covariates leave of each value."""
        terms = _terms(covariates, self.centre, self.scale).astype(values.dtype)
        return values - terms @ self.weights.astype(values.dtype)


def regress(values: Float[np.ndarray, "row value"], covariates: Float[np.ndarray, "row covariate"]) -> Regression:
    """Least squares; of covariates that say the same, or nothing, in these rows, the smallest weights that do."""
    centre, scale = _spread(covariates)
    terms = _terms(covariates, centre, scale)
    return Regression(centre, scale, _solve(terms.T @ terms, _products(terms, values)))


def unseen_residual(
    values: Float[np.ndarray, "row value"],
    covariates: Float[np.ndarray, "row covariate"],
    fold: Int[np.ndarray, " row"],
) -> Float[np.ndarray, "row value"]:
    """The residual of each row by a regression on the other rows.

    Left out with a row are the rows of its part with the same covariates, which may be its own patient's; a row in no
    part (-1) is left out alone.
    """
    terms = _terms(covariates, *_spread(covariates))
    alone = np.where(fold < 0, np.arange(len(fold)), -1)
    groups = np.unique(np.column_stack([fold, alone, covariates]), axis=0, return_inverse=True)[1].ravel()
    squares, products = terms.T @ terms, _products(terms, values)
    residual = np.empty_like(values)
    order = np.argsort(groups, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
        own = terms[rows]
        weights = _solve(squares - own.T @ own, products - own.T @ values[rows])
        residual[rows] = values[rows] - own @ weights
    return residual


def _with_copies(
    values: Float[np.ndarray, "row value"], covariates: Float[np.ndarray, "row covariate"], copies: int
) -> Float[np.ndarray, "row column"]:
    return np.hstack([values, np.tile(covariates.astype(values.dtype), (1, copies))])


def _spread(
    covariates: Float[np.ndarray, "row covariate"],
) -> tuple[Float[np.ndarray, " covariate"], Float[np.ndarray, " covariate"]]:
    spread = covariates.std(axis=0)
    return covariates.mean(axis=0), np.where(spread > 0, spread, 1.0)


def _terms(
    covariates: Float[np.ndarray, "row covariate"],
    centre: Float[np.ndarray, " covariate"],
    scale: Float[np.ndarray, " covariate"],
) -> Float[np.ndarray, "row term"]:
    return np.hstack([np.ones((len(covariates), 1)), (covariates - centre) / scale])


def _products(
    terms: Float[np.ndarray, "row term"], values: Float[np.ndarray, "row value"]
) -> Float[np.ndarray, "term value"]:
    """In the precision of the values: as many images in double precision may not fit in memory."""
    return (terms.T.astype(values.dtype) @ values).astype(np.float64)


def _solve(
    squares: Float[np.ndarray, "term term"], products: Float[np.ndarray, "term value"]
) -> Float[np.ndarray, "term value"]:
    return np.linalg.pinv(squares, rcond=1e-9, hermitian=True) @ products
