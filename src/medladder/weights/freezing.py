"""A fitted rung as plain arrays and small facts, and back: the same answers to the last bit, and no pickle.

What comes back from a file may have been written by anyone. Every array's name, kind, size and values are held against
what the rung's settings and the image's shape ask for, before anything is built from it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Shaped
from sklearn.base import BaseEstimator

from medladder import rungs
from medladder.errors import OptionError

from .arrays import Arrays, require_arrays
from .packing import PACKING, Task
from .skops_archive import read_archive, write_archive

_FACTS: dict[str, type] = {"n_features_in_": int, "n_parameters_": int, "chosen_": dict, "by_column": list}
"""Of every rung. `by_column` names arrays that lie in memory column by column."""

_MOST_VALUES = 2**30
"""Of one image: a volume of 1024 voxels along each axis."""

_SIDE = 16
"""Hand-crafted features are as many on this side as on any longer one, and counted faster."""


@dataclass(frozen=True, eq=False)
class Frozen:
    """All that a fitted rung needs to answer, beside its settings."""

    arrays: dict[str, Shaped[np.ndarray, "..."]]
    """Numbers by names such as `member0/weight1`; empty for a rung on hand-crafted features."""
    facts: dict[str, Any]
    """What JSON can hold."""
    trees: bytes | None
    """The numbers of a rung on hand-crafted features, as a skops archive; None for the others."""


def freeze(rung: BaseEstimator) -> Frozen:
    """Take a fitted rung's numbers out of it.

    Raises
    ------
    OptionError
        It is no rung of the ladder, whose numbers are known by name, or it is not fitted.
    """
    kind = _kind_of(rung)
    if not hasattr(rung, "classes_"):
        raise OptionError(found=f"A rung {kind} that is not fitted.", needed="A fitted one.", do="Fit it first.")
    packing = PACKING[kind]
    arrays = packing.pack(rung)
    # A product rounds otherwise where a matrix lies in memory by columns.
    by_column = [name for name, array in arrays.items() if array.flags.f_contiguous and not array.flags.c_contiguous]
    facts = {name: getattr(rung, name) for name in _FACTS if name != "by_column"}
    facts |= {"by_column": by_column, **packing.facts_of(rung)}
    facts = json.loads(json.dumps(facts, default=lambda number: number.item()))
    if packing.is_archive:
        return Frozen({}, facts, write_archive(arrays))
    return Frozen({name: np.ascontiguousarray(array) for name, array in arrays.items()}, facts, None)


def thaw(spec: rungs.RungSpec, image_shape: tuple[int, ...], classes_count: int, frozen: Frozen) -> BaseEstimator:
    """Build the fitted rung again, with `classes_` of 0, 1, … and no out-of-part predictions.

    A rung that was fitted on features of images, as a study does it, takes the images themselves as well.

    Raises
    ------
    ValueError
        Its arrays or facts are not those of such a rung on such images; the text is the reason, without a full stop.
    """
    is_image = 1 <= len(image_shape) <= 4 and min(image_shape) >= 1 and math.prod(image_shape) <= _MOST_VALUES
    if classes_count < 2 or not is_image:
        raise ValueError(f"no rung tells {classes_count} classes apart on images of {image_shape}")
    rung, packing = rungs.build(spec), PACKING[spec.kind]
    facts = _checked(frozen.facts, _FACTS | packing.facts)
    if (frozen.trees is not None) != packing.is_archive or (packing.is_archive and frozen.arrays):
        raise ValueError(f"a rung {spec.kind} is not kept in such files")
    arrays = frozen.arrays if frozen.trees is None else read_archive(frozen.trees)
    _require_few(rung, facts, len(arrays))
    n_features = _n_features(rung, image_shape, facts["n_features_in_"])
    if facts["n_features_in_"] != n_features:
        raise ValueError(f"it was fitted on {facts['n_features_in_']} values an image, where there are {n_features}")
    task = Task(rung, image_shape, n_features, classes_count, facts)
    require_arrays(arrays, packing.wanted(task, arrays))
    packing.unpack(task, _laid_out(arrays, facts["by_column"]))
    rung.classes_, rung.n_features_in_ = np.arange(classes_count), n_features
    rung.n_parameters_, rung.chosen_ = facts["n_parameters_"], facts["chosen_"]
    return rung


def _kind_of(rung: BaseEstimator) -> str:
    target = f"{type(rung).__module__}:{type(rung).__qualname__}"
    for known in rungs.LADDER:
        if known.target == target:
            return known.name
    if type(rung).__name__ == "CovariateClassifier":
        raise OptionError(
            found="A rung that takes covariates beside the image.",
            needed="One that answers from the image alone: files to predict bring no covariates.",
            do="Fit it without covariates to keep it.",
        )
    raise OptionError(
        found=f"A classifier of its own kind, {type(getattr(rung, 'classifier', rung)).__name__}.",
        needed=f"One of {', '.join(known.name for known in rungs.LADDER)}, which can be written without pickle.",
        do="Fit one of these, or keep the classifier by the means of its own library.",
    )


def _checked(facts: Any, wanted: Mapping[str, type]) -> dict[str, Any]:
    if not isinstance(facts, dict) or facts.keys() != wanted.keys():
        raise ValueError(f"its facts are not {', '.join(wanted)}")
    for name, kind in wanted.items():
        if type(facts[name]) is not kind:
            raise ValueError(f"the fact {name} is no {kind.__name__}")
    if min(facts["n_parameters_"], facts["n_features_in_"]) < 1:
        raise ValueError("it has no parameters or no features")
    return facts


def _require_few(rung: Any, facts: Mapping[str, Any], n_arrays: int) -> None:
    """Refuse more members or layers than there are arrays, before any are listed or laid out."""
    numbers = {"members": facts.get("members")}
    if hasattr(rung, "members"):
        numbers |= {"members": rung.members, "depth": getattr(rung, "depth", None)}
    for name, number in numbers.items():
        if number is not None and not 0 < number <= n_arrays:
            raise ValueError(f"{name}={number} with {n_arrays} arrays")


def _n_features(rung: Any, image_shape: tuple[int, ...], said: int) -> int:
    """Values that an image has for the rung; of a backbone they are known only when it is opened."""
    if not hasattr(rung, "extract") or len(image_shape) == 1:
        return math.prod(image_shape)
    if hasattr(rung, "backbone"):
        return said
    n_axes = 2 if len(image_shape) < 4 else 3
    small = (*(min(side, _SIDE) for side in image_shape[:n_axes]), *image_shape[n_axes:])
    if math.prod(small) > 2**20:
        raise ValueError(f"no rung describes {image_shape[-1]} channels by features")
    return int(rung.extract(np.zeros((1, *small), np.uint8)).shape[1])


def _laid_out(arrays: Arrays, by_column: Sequence[Any]) -> Arrays:
    """Arrays as they lay in memory when the rung was fitted, and as torch takes them: aligned and its to write."""
    return {
        name: np.require(array, requirements=["F" if name in by_column else "C", "A", "W"])
        for name, array in arrays.items()
    }
