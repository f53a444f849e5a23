"""Columns about the patient, read as numbers; and which class is the normal one, by its name."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Num, Shaped
from scipy.stats import rankdata

from medladder.errors import OptionError, unknown_name

_MOST_VALUES = 10
_MISSING = frozenset({"", "na", "n/a", "nan", "null"})
_NAMES_THE_CLASS = 0.99
_NORMAL = re.compile(r"normal|healthy|(healthy )?controls?|benign|stable|negative|no .+", re.IGNORECASE)


@dataclass(frozen=True)
class Reading:
    """How a column is read: as a number, or as an indicator of each of `values`, which leave out the commonest."""

    column: str
    values: tuple[str, ...] = ()

    def code(self, texts: Shaped[np.ndarray, " image"]) -> Float[np.ndarray, "image covariate"]:
        """Numbers for the texts of a column; a value the reading does not know counts as the commonest."""
        if not self.values:
            return np.array([[float(text)] for text in texts.tolist()])
        return (texts[:, None] == np.array(self.values)).astype(np.float64)

    def to_json(self) -> dict[str, Any]:
        """As plan.json has it: no value, for a value may be one patient's alone."""
        return {
            "column": self.column,
            "read_as": "indicators" if self.values else "number",
            "columns": max(1, len(self.values)),
        }


def read_column(
    name: str,
    texts: Shaped[np.ndarray, " image"],
    labels: Int[np.ndarray, " image"],
    classes: Sequence[str],
    pool: Int[np.ndarray, " row"],
) -> Reading:
    """Find how to read a column; only the rows of the pool say which values there are and what they tell.

    Raises
    ------
    OptionError
        Values are missing, are texts of too many kinds (as identifiers are), are all the same, or name a class.
    """
    n_missing = sum(_is_missing(text) for text in texts.tolist())
    if n_missing:
        raise OptionError(
            found=f"{n_missing} of {len(texts)} images have no {name}.",
            needed="A value for every image.",
            do=f"Fill the column, delete these rows, or drop {name} from --covariates.",
        )
    is_number = all(_as_number(text) is not None for text in texts.tolist())
    seen = Reading(name).code(texts[pool])[:, 0] if is_number else texts[pool]
    known, kind, counts = np.unique(seen, return_inverse=True, return_counts=True)
    if not is_number and len(known) > min(_MOST_VALUES, len(pool) // 2):
        n_numbers = sum(_as_number(text) is not None for text in texts.tolist())
        also = f", {n_numbers} of them numbers" if n_numbers else ""
        raise OptionError(
            found=f"Column '{name}' has {len(known)} different values in {len(pool)} training images{also}.",
            needed=f"Numbers throughout, or texts of {_MOST_VALUES} kinds at most; an identifier is no covariate.",
            do="Correct what is no number, group the values, or leave the column out.",
        )
    if len(known) == 1:
        raise OptionError(
            found=f"Column '{name}' has one value in all {len(pool)} training images.",
            needed="A covariate that differs between patients.",
            do=f"Drop {name} from --covariates.",
        )
    for code in np.unique(labels[pool]):
        told = how_telling(kind, labels[pool] == code, is_ordered=is_number)
        if told >= _NAMES_THE_CLASS:
            raise OptionError(
                found=f"Column '{name}' alone tells '{classes[code]}' from the rest ({told:.3f} of 1).",
                needed=f"A covariate that does not name the class: below {_NAMES_THE_CLASS}.",
                do=f"Drop {name} from --covariates: with it a rung would not need the image.",
            )
    return Reading(name) if is_number else Reading(name, tuple(np.delete(known, counts.argmax()).tolist()))


def how_telling(values: Num[np.ndarray, " row"], is_class: Bool[np.ndarray, " row"], *, is_ordered: bool) -> float:
    """How well one column alone tells a class from the rest, from 0.5 to 1.

    The AUROC, in whichever direction, of values that have an order; where the same few values come again and again,
    also the balanced accuracy of naming each after the side it is commoner on.
    """
    n_class, n_rest = int(is_class.sum()), int((~is_class).sum())
    told = 0.5
    if is_ordered:
        wins = rankdata(values)[is_class].sum() - n_class * (n_class + 1) / 2
        told = max(wins, n_class * n_rest - wins) / (n_class * n_rest)
    known, kind = np.unique(values, return_inverse=True)
    if not is_ordered or len(known) <= min(_MOST_VALUES, len(values) // 4):
        inside = np.bincount(kind[is_class], minlength=len(known)) / n_class
        outside = np.bincount(kind[~is_class], minlength=len(known)) / n_rest
        told = max(told, np.maximum(inside, outside).sum() / 2)
    return float(told)


def find_normal_class(classes: Sequence[str], given: str | None) -> int:
    """Which class is the normal one: the one given, else the only one with a name that says so.

    Raises
    ------
    OptionError
        No such class, or the names leave it open.

    Example
    -------
    >>> find_normal_class(["pneumonia", "normal"], None), find_normal_class(["nodule", "No finding"], None)
    (1, 1)
    """
    if given is not None:
        if given not in classes:
            raise unknown_name("class", given, classes)
        return list(classes).index(given)
    named = [code for code, name in enumerate(classes) if _NORMAL.fullmatch(re.sub(r"[\s_-]+", " ", name.strip()))]
    if len(named) != 1:
        names = ", ".join(f"'{classes[code]}'" for code in named) or "none"
        raise OptionError(
            found=f"Of the classes {', '.join(classes)}, {names} has a name for the normal one."
            if not named
            else f"Of the classes {', '.join(classes)}, more than one has a name for the normal one: {names}.",
            needed="The class whose patients say what age and the like do by themselves.",
            do="Name it with --normal CLASS, or give the covariates as features.",
        )
    return named[0]


def _is_missing(text: str) -> bool:
    number = _as_number(text)
    return text.strip().lower() in _MISSING or (number is not None and not math.isfinite(number))


def _as_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
