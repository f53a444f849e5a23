"""Arrays by name, and what is wanted of them: nothing that came from a file is used before it is known to fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped
from numpy.typing import DTypeLike

Arrays = dict[str, Shaped[np.ndarray, "..."]]


@dataclass(frozen=True)
class Wanted:
    """What one array must be; its floats are finite besides."""

    dtype: DTypeLike
    shape: tuple[int, ...]
    least: float | None = None
    is_above: bool = False
    """The least value itself is refused."""


def require_arrays(arrays: Mapping[str, Shaped[np.ndarray, "..."]], wanted: Mapping[str, Wanted]) -> None:
    """Refuse arrays that lack one of those wanted, or have another, or one that is not as wanted.

    Raises
    ------
    ValueError
        With the first that does not fit.

    Example
    -------
    >>> require_arrays({"bias": np.zeros(3)}, {"bias": Wanted("<f8", (2,))})
    Traceback (most recent call last):
    ValueError: array 'bias' has the shape 3, not 2
    """
    for name in wanted:
        if name not in arrays:
            raise ValueError(f"array {name!r} is missing")
    for name, array in arrays.items():
        if name not in wanted:
            raise ValueError(f"array {name[:60]!r} has no place in it")
        _require(name, array, wanted[name])


def _require(name: str, array: Shaped[np.ndarray, "..."], wanted: Wanted) -> None:
    if array.dtype != np.dtype(wanted.dtype):
        raise ValueError(f"array {name!r} is of {_short(array.dtype)}, not {_short(np.dtype(wanted.dtype))}")
    if array.shape != wanted.shape:
        found, needed = ("×".join(map(str, shape)) or "nothing" for shape in (array.shape, wanted.shape))
        raise ValueError(f"array {name!r} has the shape {found}, not {needed}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"array {name!r} holds a value that is not finite")
    least = wanted.least
    if least is not None and ((array <= least) if wanted.is_above else (array < least)).any():
        raise ValueError(f"array {name!r} holds a value {'not above' if wanted.is_above else 'below'} {least:g}")


def _short(dtype: np.dtype) -> str:
    return dtype.name if dtype.names is None else f"records of {', '.join(dtype.names)}"[:90]
