"""Families of learning curves: error against number of training patients, each pinned at the largest number seen.

A score f(n) of 1 is perfect, and 1 − f(n) is the error. Every family is written in the error at the reference number
of patients, `at`, so that what is well known stands apart from what is not:

    1 − f(n) = error · (κ + (1 − κ) · g(n)),  g(at) = 1,  g → 0 as n → ∞

κ is the share of today's error that no amount of data removes. Only g differs from family to family.

Source
------
Viering & Loog 2023, doi:10.1109/TPAMI.2022.3220744 (the families); Figueroa et al. 2012, doi:10.1186/1472-6947-12-8.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import expit

N_SHAPE = 3
"""Numbers, at most, that shape a curve beside its error at the reference: κ first."""

LATE_AT, LATE_SPREAD, LATE_POWER, LATE_LEAVES = 4.0, 1.5, 2.5, 0.003
"""A late start: its middle, as a multiple of the reference, and the spread of that on the logarithm; how steep it is;
and what share of the error it leaves."""

Shapes = Float[np.ndarray, "draw shape"]
Sizes = Float[np.ndarray, " size"]


@dataclass(frozen=True)
class Prior:
    """What is held likely of a curve before any of it is seen; spreads are standard deviations.

    Medians: the share `asymptote` of today's error never goes, the rest falls as n to the power of −`exponent`. Chosen
    by interval score on drawn cohorts of even number (honesty/curve_bank.py); measured on others.
    """

    asymptote: float = 0.6
    asymptote_spread: float = 1.5
    """On the log odds of the share."""
    exponent: float = 0.5
    exponent_spread: float = 0.8
    """On the logarithm of the exponent."""
    late_start: float = 0.02
    """Belief, 0–1, that much is learned at once beyond the patients seen; `NETWORK` believes it more."""


NETWORK = Prior(late_start=0.4)
"""Of networks on raw images, which may learn little from hundreds of them and nearly all there is from thousands."""


@dataclass(frozen=True)
class Family:
    """One form of curve; `remaining` is g, from standard normal numbers that stand for its shape."""

    name: str
    weight: float | None
    """Share, before any data, of the belief in an early start; None: all the belief in a late one."""
    remaining: Callable[[Shapes, Sizes, float, Prior], Float[np.ndarray, "draw size"]]
    is_falling: bool = False

    def errors(self, shapes: Shapes, sizes: Sizes, at: float, prior: Prior) -> Float[np.ndarray, "draw size"]:
        """Error at each size as a share of that at the reference."""
        lasting = expit(np.log(prior.asymptote / (1 - prior.asymptote)) + prior.asymptote_spread * shapes[:, :1])
        if self.is_falling:
            # The error grows, toward at most half as much again: κ is above 1.
            lasting = 1 + 0.5 * lasting
        # Shapes beyond belief, as steps of the sampler try them, overflow; they are refused by their prior.
        with np.errstate(over="ignore", invalid="ignore"):
            early = lasting + (1 - lasting) * self.remaining(shapes, sizes, at, prior)
        return np.asarray(early * _late_start(shapes, sizes, at) if self.weight is None else early)

    def belief(self, prior: Prior) -> float:
        """Share of the belief before any data, 0–1."""
        return prior.late_start if self.weight is None else self.weight * (1 - prior.late_start)


def _exponents(numbers: Float[np.ndarray, "draw one"], prior: Prior) -> Float[np.ndarray, "draw one"]:
    return np.asarray(prior.exponent * np.exp(prior.exponent_spread * numbers))


def _power(shapes: Shapes, sizes: Sizes, at: float, prior: Prior) -> Float[np.ndarray, "draw size"]:
    """Training patients to the power of −b."""
    return np.asarray((sizes / at) ** -_exponents(shapes[:, 1:2], prior))


def _shifted_power(shapes: Shapes, sizes: Sizes, at: float, prior: Prior) -> Float[np.ndarray, "draw size"]:
    """POW4: (n + d) to the power of −b, with d about a fifth of the reference: the power law starts late."""
    later = 0.2 * at * np.exp(shapes[:, 2:3])
    return np.asarray(((sizes + later) / (at + later)) ** -_exponents(shapes[:, 1:2], prior))


def _sigmoid(shapes: Shapes, sizes: Sizes, at: float, prior: Prior) -> Float[np.ndarray, "draw size"]:
    """MMF4: 1 / (1 + (n / h)^b), a power law that starts at h and has no end at n = 0."""
    half, power = 0.3 * at * np.exp(1.5 * shapes[:, 2:3]), 1.5 * _exponents(shapes[:, 1:2], prior)
    return np.asarray((1 + (at / half) ** power) / (1 + (sizes / half) ** power))


def _exponential(shapes: Shapes, sizes: Sizes, at: float, prior: Prior) -> Float[np.ndarray, "draw size"]:
    """exp(−n / s): what can be learned is learned soon."""
    del prior
    return np.asarray(np.exp(np.minimum((at - sizes) / (at * np.exp(shapes[:, 1:2])), 50.0)))


def _late_start(shapes: Shapes, sizes: Sizes, at: float) -> Float[np.ndarray, "draw size"]:
    """From some n on, likely beyond the reference, what error is left falls steeply, nearly to nothing."""
    half = LATE_AT * at * np.exp(LATE_SPREAD * shapes[:, 2:3])
    return np.asarray(_steep(sizes / half) / _steep(at / half))


def _steep(share: Float[np.ndarray, "draw one"]) -> Float[np.ndarray, "draw one"]:
    return np.asarray(LATE_LEAVES + (1 - LATE_LEAVES) / (1 + share**LATE_POWER))


FAMILIES = (
    Family("power law", 0.4, _power),
    Family("POW4", 0.2, _shifted_power),
    Family("MMF4", 0.2, _sigmoid),
    Family("exponential", 0.15, _exponential),
    Family("falling", 0.05, _power, is_falling=True),
    Family("late start", None, _power),
)
