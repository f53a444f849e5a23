"""Where a cohort's images lie, where each is a file of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int

from ..cohort import Cohort

_FRAME = re.compile(r"\[[0-9]+\]$")


def folder_of(cohort: Cohort) -> Path | None:
    """The folder that names of files are relative to; None for an npz, a drawn cohort or two that were joined."""
    source = Path(cohort.origins[0].source) if len(cohort.origins) == 1 else None
    if source is None or source.suffix.lower() == ".npz" or not source.exists():
        return None
    return source if source.is_dir() else source.parent


def paths_of(cohort: Cohort, rows: Int[np.ndarray, " row"]) -> Sequence[Path] | None:
    """The files of some images, of a frame the one it is in; None where they are no files of their own."""
    folder = folder_of(cohort)
    return None if folder is None else [folder / _FRAME.sub("", cohort.files[row]) for row in rows.tolist()]
