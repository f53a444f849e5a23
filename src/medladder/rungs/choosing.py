"""Choosing by parts: predictions for rows that a fit had not seen, their loss, and their calibration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Num
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from medladder.rungs.draws import parts_of

Rows = Bool[np.ndarray, " row"]
HoldOut = Callable[[Rows, Rows], Num[np.ndarray, "candidate held output"]]
"""Fit every candidate on the first rows and predict the second."""

_LEAST_PROBABILITY = 1e-6  # what then happened never costs more than the log of this


def predict_out_of_part(
    fold: Int[np.ndarray, " row"], hold_out: HoldOut, n_candidates: int, n_outputs: int
) -> Float[np.ndarray, "candidate row output"]:
    """Predict each part by fits without it, for every candidate at once; NaN where a row is never held out."""
    predicted = np.full((n_candidates, len(fold), n_outputs), np.nan)
    for part in range(parts_of(fold)):
        held = fold == part
        if held.any():
            predicted[:, held] = hold_out(~held, held)
    return predicted


def held_out_loss(proba: Float[np.ndarray, "row class_"], codes: Int[np.ndarray, " row"]) -> float:
    """Mean log loss over the rows that were held out; infinite without any."""
    held = ~np.isnan(proba[:, 0])
    if not held.any():
        return float("inf")
    return float(-np.log(np.maximum(proba[held, codes[held]], _LEAST_PROBABILITY)).mean())


def least_loss(proba: Float[np.ndarray, "candidate row class_"], codes: Int[np.ndarray, " row"]) -> int:
    """Position of the candidate with the lowest log loss over the rows held out; the first of equals."""
    return int(np.argmin([held_out_loss(one, codes) for one in proba]))


@dataclass(frozen=True)
class Calibration:
    """Scores to probabilities: softmax(slope · score + bias), the slope always forward.

    Two classes share one score, half of it to each side; this is then Platt's sigmoid.
    """

    slope: float
    bias: Float[np.ndarray, " class_"]

    def proba(self, score: Float[np.ndarray, "row output"]) -> Float[np.ndarray, "row class_"]:
        """Probability of each class."""
        return softmax(self.slope * _by_class(score) + self.bias, axis=1)


def fit_calibration(
    score: Float[np.ndarray, "row output"],
    codes: Int[np.ndarray, " row"],
    shares: Float[np.ndarray, " class_"],
    slope: float,
) -> Calibration:
    """Fit slope and bias to the rows whose score is not NaN, held by a prior of unit deviation to a default.

    The default, and all there is without such rows, is the slope given and the log of the class shares: machines
    that weigh classes alike score the evidence of an image, to which the prevalence is added. The prior does for few
    rows what Platt's smoothed targets do, and a slope never points backwards.

    Source
    ------
    Platt 1999, «Probabilistic outputs for support vector machines», Advances in Large Margin Classifiers.
    """
    start = np.concatenate([[np.log(slope)], np.log(shares)])
    known = ~np.isnan(score[:, 0])
    evidence, happened = _by_class(score[known]), np.eye(len(shares))[codes[known]]

    def loss(theta: Float[np.ndarray, " parameter"]) -> tuple[float, Float[np.ndarray, " parameter"]]:
        steep, away = np.exp(theta[0]), theta - start
        log_proba = log_softmax(steep * evidence + theta[1:], axis=1)
        excess = np.exp(log_proba) - happened
        gradient = np.concatenate([[steep * (excess * evidence).sum()], excess.sum(axis=0)]) + away
        return float(-(log_proba * happened).sum() + away @ away / 2), gradient

    theta = minimize(loss, start, jac=True, method="L-BFGS-B").x
    return Calibration(float(np.exp(theta[0])), theta[1:])


def calibrate_out_of_part(
    score: Float[np.ndarray, "row output"],
    codes: Int[np.ndarray, " row"],
    fold: Int[np.ndarray, " row"],
    shares: Float[np.ndarray, " class_"],
    slope: float,
) -> Float[np.ndarray, "row class_"]:
    """Calibrate each part's scores by those of the other parts; a lone part, for choosing only, by its own."""
    proba = np.full((len(codes), len(shares)), np.nan)
    for part in range(parts_of(fold)):
        held = fold == part
        seen = held if parts_of(fold) == 1 else ~held
        proba[held] = fit_calibration(score[seen], codes[seen], shares, slope).proba(score[held])
    return proba


def _by_class(score: Float[np.ndarray, "row output"]) -> Float[np.ndarray, "row class_"]:
    return np.hstack([-score / 2, score / 2]) if score.shape[1] == 1 else score
