"""Columns of a manifest, made coarse: groups of patients whose scores may be compared, never who is in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped

MOST_KINDS = 10
"""A column of more texts is an identifier or a note."""

UNNAMED = "(none)"
"""The group of those of whom a column says nothing."""


@dataclass(frozen=True)
class Grouping:
    """Which of the named groups each image is in."""

    groups: tuple[str, ...]
    of_image: Int[np.ndarray, " image"]

    def to_json(self) -> dict[str, Any]:
        """The grouping as it stands in cohort.json."""
        return {"groups": list(self.groups), "of_image": self.of_image.tolist()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Grouping:
        """Rebuild a grouping from its JSON."""
        return cls(tuple(data["groups"]), np.asarray(data["of_image"], dtype=np.int64))


def group_by(texts: Shaped[np.ndarray, " image"], patients: Int[np.ndarray, " image"]) -> Grouping | None:
    """The values of a column of texts, or thirds of its numbers.

    None where it says one thing of all images, or names them: more than ten texts, or whole numbers that no two
    patients share.
    """
    texts = np.asarray(texts).astype(np.str_)
    kinds, kind_of_image = np.unique(texts, return_inverse=True)
    if 2 <= len(kinds) <= MOST_KINDS:
        return Grouping(tuple(kind.strip() or UNNAMED for kind in kinds.tolist()), kind_of_image.reshape(-1))
    numbers = _numbers(texts)
    if numbers is None or len(kinds) < 2:
        return None
    # Once a patient and number, so that a patient of many images does not move the cuts.
    told = np.unique(np.stack([patients, numbers])[:, np.isfinite(numbers)], axis=1)
    if _is_identifier(told[1]):
        return None
    low, high = np.quantile(told[1], [1 / 3, 2 / 3])
    if not low < high:
        return None
    names = (f"up to {low:.4g}", f"above {low:.4g} to {high:.4g}", f"above {high:.4g}", UNNAMED)
    third = np.select([numbers <= low, numbers <= high, numbers > high], [0, 1, 2], 3)
    return Grouping(names, third)


def _is_identifier(numbers: Float[np.ndarray, " value"]) -> bool:
    return bool((numbers == np.round(numbers)).all()) and len(np.unique(numbers)) == len(numbers)


def _numbers(texts: Shaped[np.ndarray, " image"]) -> Float[np.ndarray, " image"] | None:
    """A column as numbers, NaN where it is empty; None where some text is none."""
    try:
        numbers = np.array([float(text) if text.strip() else np.nan for text in texts.tolist()])
    except ValueError:
        return None
    return numbers if np.isfinite(numbers).any() else None
