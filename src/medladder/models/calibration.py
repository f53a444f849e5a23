"""From a fitted rung's probabilities to a model's: slope and bias, learned on patients that no member had seen."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from medladder.rungs.choosing import Calibration, fit_calibration

LEAST_PROBABILITY = 1e-7
"""Probabilities are kept from 0 and 1 by this much before their logarithm is taken."""


def scores_of(proba: Float[np.ndarray, "row class_"]) -> Float[np.ndarray, "row output"]:
    """What a `Calibration` takes: log odds of the second of two classes, else the logarithm of each probability.

    Example
    -------
    >>> scores_of(np.array([[0.5, 0.5], [0.1, 0.9]])).round(3).tolist()
    [[0.0], [2.197]]
    """
    logs = np.log(np.maximum(proba, LEAST_PROBABILITY))
    return logs if logs.shape[1] > 2 else logs[:, [1]] - logs[:, [0]]


def calibrate(out_of_part: Float[np.ndarray, "row class_"], codes: Int[np.ndarray, " row"]) -> Calibration:
    """Slope and bias by the rows that were held out, held to leaving the probabilities as they are.

    Rows of NaN were never held out and are not used; without any other, nothing changes.

    Source
    ------
    Guo et al. 2017, arXiv 1706.04599 (temperature), with a bias a class; the prior of unit deviation is that of
    `medladder.rungs.choosing.fit_calibration`.
    """
    n_classes = out_of_part.shape[1]
    found = fit_calibration(scores_of(out_of_part), codes, np.full(n_classes, 1 / n_classes), slope=1.0)
    return Calibration(found.slope, found.bias - found.bias.mean())  # a constant on every class changes nothing


def calibrated(calibration: Calibration, proba: Float[np.ndarray, "row class_"]) -> Float[np.ndarray, "row class_"]:
    """The probabilities that a model states."""
    return calibration.proba(scores_of(proba))
