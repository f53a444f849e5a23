"""How sure each comparison must be so that all of them together are as sure as asked.

Differences between rungs move together: they share a rung, and rungs share test patients and training draws. The
variances of all paired differences fix how: a covariance is half of what two variances lack. The largest of all
standardised differences is then drawn, instead of bounded as if they were independent.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import norm

DRAWS = 20_000
_SEED = 0x2B357


def draw_together(variances: Float[np.ndarray, "rung rung"]) -> Float[np.ndarray, "draw rung"]:
    """Normal rungs whose paired differences have these variances (0 on the diagonal), as far as that can be.

    Variances that were each estimated need not fit together: the nearest that do are taken.

    Source
    ------
    Gower 1966, doi:10.1093/biomet/53.3-4.325: squared distances to products about their centre.
    """
    n = len(variances)
    centre = np.eye(n) - 1 / n
    values, axes = np.linalg.eigh(-0.5 * centre @ variances @ centre)
    root = axes * np.sqrt(np.maximum(values, 0.0))
    return np.asarray(np.random.default_rng(_SEED).standard_normal((DRAWS, n)) @ root.T)


def pairs_confidence(
    variances: Float[np.ndarray, "rung rung"],
    confidence: float,
    *,
    only: Bool[np.ndarray, "rung rung"] | None = None,
) -> float:
    """Two-sided confidence of each pair's interval with which all pairs, or `only` these, hold together (max-t).

    Source
    ------
    Hothorn et al. 2008, doi:10.1002/bimj.200810425.
    """
    asked = np.triu(np.ones_like(variances, dtype=bool) if only is None else only, 1)
    if not asked.any():
        return confidence
    largest = np.abs(_standardised(variances)[:, asked]).max(axis=1)
    return float(2 * norm.cdf(np.quantile(largest, confidence)) - 1)


def best_confidence(
    variances: Float[np.ndarray, "rung rung"], confidence: float, *, among: Bool[np.ndarray, " rung"]
) -> Float[np.ndarray, " rung"]:
    """Of each rung the one-sided confidence with which it holds against all others of these together, if it is best.

    Whichever rung is truly best, its differences to the others must hold, and no other pair's.

    Source
    ------
    Hsu 1984, doi:10.1214/aos/1176346522 (constrained multiple comparisons with the best).
    """
    found = np.full(len(variances), confidence)
    place = np.flatnonzero(among)
    if len(place) > 1:
        signed = _standardised(variances[np.ix_(place, place)])
        signed[:, np.arange(len(place)), np.arange(len(place))] = -np.inf
        found[place] = norm.cdf(np.quantile(signed.max(axis=2), confidence, axis=0))
    return found


def _standardised(variances: Float[np.ndarray, "rung rung"]) -> Float[np.ndarray, "draw rung rung"]:
    """Differences of drawn rungs over their own spread; those of rungs that never differ are 0."""
    drawn = draw_together(variances)
    apart = drawn[:, :, None] - drawn[:, None, :]
    spread = np.sqrt((apart**2).mean(axis=0))
    return np.asarray(apart / np.where(spread > 1e-6 * spread.max(), spread, np.inf))
