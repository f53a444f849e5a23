"""What each rung sees of a cohort: the prepared images, or features that need no fitting, computed once and cached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from . import rungs
from .cohort import Cohort
from .engine.contract import Engine, Lost
from .engine.data import SharedArray
from .engine.running import run_tasks
from .errors import MedladderError
from .images.cache import cache_root, cached, key_of, read_array
from .progress import QUIET, Progress
from .rungs.features import FEATURES_PROTOCOL

_IMAGES_A_TASK = 128


@dataclass(frozen=True)
class _Stretch:
    """Consecutive images of which one worker computes the features."""

    spec: rungs.RungSpec
    store: SharedArray
    first: int
    last: int


def views_of(
    cohort: Cohort,
    specs: Sequence[rungs.RungSpec],
    engine: Engine,
    *,
    cache: Path | None = None,
    progress: Progress = QUIET,
) -> dict[str, Path]:
    """The array file that each rung is fitted on.

    A rung with an `extract` method is fitted on the vectors that it gives; they depend on one image each, so nothing of
    labels or of other images is in them.
    """
    views = {}
    for spec in specs:
        rung = rungs.build(spec)
        if hasattr(rung, "extract"):
            names = getattr(rung, "features_depend_on", tuple(spec.settings))
            settings = [(name, spec.settings.get(name)) for name in names]
            kind = getattr(rung, "features_kind", spec.kind)  # rungs of one kind share the file
            key = key_of("features", FEATURES_PROTOCOL, cohort.store.parent.name, kind, settings)

            def make(entry: Path, spec: rungs.RungSpec = spec) -> None:
                np.save(entry / "features.npy", _extracted(cohort, spec, engine, progress))

            views[spec.rung] = cached(cache_root(cache), "features", key, make, _checked)
        else:
            views[spec.rung] = cohort.store
    return views


def _checked(entry: Path) -> Path:
    """The features' file, if it is whole: a worker that finds it cut could only end the study."""
    path = entry / "features.npy"
    read_array(path)
    return path


def _extracted(
    cohort: Cohort, spec: rungs.RungSpec, engine: Engine, progress: Progress
) -> Float[np.ndarray, "image feature"]:
    n_images, store = len(cohort.labels), SharedArray.at(cohort.store)
    stretches = [
        _Stretch(spec, store, first, min(first + _IMAGES_A_TASK, n_images))
        for first in range(0, n_images, _IMAGES_A_TASK)
    ]
    parts: dict[int, Float[np.ndarray, "image feature"]] = {}
    with progress.follow(f"Features for {spec.rung}", n_images) as advance:
        for stretch, result in run_tasks(engine, _extract, stretches):
            if isinstance(result, Lost):
                raise MedladderError(f"Computing features for {spec.rung}: {result.reason}")
            parts[stretch.first] = result
            advance(stretch.last - stretch.first)
    return np.concatenate([parts[stretch.first] for stretch in stretches])


def _extract(stretch: _Stretch) -> Float[np.ndarray, "image feature"]:
    images = stretch.store.mapped()
    features: Float[np.ndarray, "image feature"] = rungs.build(stretch.spec).extract(
        images[stretch.first : stretch.last]
    )
    return features
