"""Whether a map of one image hangs on what a network learned: the same map by networks with weights drawn at random."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float32
from scipy.stats import rankdata
from torch import Tensor

from .layered import LayeredNetwork

DRAWS = 5
"""Random networks a layer."""

MOST_DRAWS = 20
"""Networks drawn at most to find these: one whose map is constant, as Grad-CAM's can be, compares with nothing."""

MOST_ALIKE = 0.5
"""A map that is more alike than this to maps of wholly random weights is not believed: it would look so anyway.

Measured on `logistic`, `nn`, `dnn` and `cnn`, drawn nodules and PneumoniaMNIST: integrated gradients come out .31 to
.45 alike on average, .28 to .52 image by image, for they multiply by the image, which all networks share; those of
networks that never learned .33 to .47. Grad-CAM comes out .16 to .19 alike, .38 at most, and .11 to .14.
"""

_FLAT = 1e-6  # of the largest value: what rounding leaves of a constant map
_CASCADE = 0xCA5C  # keeps these random weights apart from what else a seed is used for


@dataclass(frozen=True, eq=False)
class Check:
    """One step of the cascading randomisation: how alike the map still is."""

    layer: str
    """From the output down to this layer weights are random; those below are as learned."""
    similarity: float
    """Mean over random networks of |Spearman's rank correlation| of the maps without signs, 0-1; 0 if none compares."""

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {"layer": self.layer, "similarity": self.similarity}


def cascade(
    map_of: Callable[[Sequence[LayeredNetwork]], Float[np.ndarray, "*axis"]],
    networks: Sequence[LayeredNetwork],
    learned: Float[np.ndarray, "*axis"],
    seen: Float32[Tensor, "row ..."],
    *,
    seed: int,
) -> tuple[Check, ...]:
    """Randomise the layers one after another from the output down; in the last check no learned weight is left.

    `learned` is the map to compare with, `map_of` draws it for other members of the ensemble, and `seen` is what a
    dense first layer of random weights is centred on. This asks whether a map hangs on the weights at all. It does not
    ask whether they are any good: a network that never learned passes as one that did.

    Source
    ------
    Adebayo et al. 2018, arXiv 1810.03292, section 3: cascading randomisation, and rank correlation of absolute maps.
    """
    checks = []
    for layer in reversed(range(len(networks[0].weights))):
        found: list[float] = []
        for draw in range(0 if is_flat(learned) else MOST_DRAWS):
            other = map_of(
                [
                    network.randomised(_seed(seed, draw, member), seen, above=layer)
                    for member, network in enumerate(networks)
                ]
            )
            if not is_flat(other):
                found.append(similarity(learned, other))
            if len(found) == DRAWS:
                break
        checks.append(Check(networks[0].names[layer], float(np.mean(found)) if found else 0.0))
    return tuple(checks)


def similarity(one: Float[np.ndarray, "*axis"], other: Float[np.ndarray, "*axis"]) -> float:
    """|Spearman's rank correlation| of two maps without their signs, 0-1; 0 where one of them is constant.

    Example
    -------
    >>> similarity(np.array([1.0, -2.0, 3.0]), np.array([-9.0, 5.0, 1.0]))
    1.0
    """
    if is_flat(one) or is_flat(other):
        return 0.0
    ranks = [rankdata(np.abs(values).ravel()) for values in (one, other)]
    return float(np.clip(abs(np.corrcoef(*ranks)[0, 1]), 0, 1))


def is_flat(values: Float[np.ndarray, "*axis"]) -> bool:
    """Whether a map, without its signs, is the same everywhere."""
    sizes = np.abs(values)
    return bool(np.ptp(sizes) <= _FLAT * sizes.max())


def _seed(seed: int, draw: int, member: int) -> int:
    return int(np.random.SeedSequence([seed, _CASCADE, draw, member]).generate_state(1)[0])
