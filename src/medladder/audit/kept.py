"""Near copies are searched for once a cohort: what was found is kept beside the images at working size."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from ..cohort import Cohort
from ..images.cache import cached, key_of
from ..progress import QUIET, Progress
from .near import NearCopies, find_near_copies, merged_contents

NEAR_PROTOCOL = 1
"""Raised whenever the search finds other pairs in the same images."""

_BYTES_AT_ONCE = 2**24


def near_copies_of(cohort: Cohort, *, progress: Progress = QUIET) -> NearCopies:
    """The cohort's near copies, from its cache, or searched for and put there.

    The entry is named by the pixels themselves, so that other images never find it, and holds rows only: no label, no
    patient and no name.

    Raises
    ------
    StudyError
        The cache directory is full or cannot be written.
    """

    def make(entry: Path) -> None:
        near = find_near_copies(cohort.images, cohort.contents, progress=progress)
        np.savez(entry / "pairs.npz", pairs=near.pairs, position=near.position, agreement=near.agreement)

    root = cohort.store.parents[2]  # images/KEY/pixels.npy
    return cached(root, "near", key_of("near", NEAR_PROTOCOL, _hash_of(cohort)), make, _read)


def contents_for_grouping(
    cohort: Cohort, *, group_near: bool, progress: Progress = QUIET
) -> Shaped[np.ndarray, " image"]:
    """What `groups_of` is to take for copies: exact ones, or near ones too."""
    return (
        merged_contents(cohort.contents, near_copies_of(cohort, progress=progress)) if group_near else cohort.contents
    )


def _hash_of(cohort: Cohort) -> str:
    digest = hashlib.blake2b(repr((cohort.images.shape, cohort.images.dtype.str)).encode(), digest_size=16)
    at_once = max(1, _BYTES_AT_ONCE // max(cohort.images[:1].nbytes, 1))
    for at in range(0, len(cohort.images), at_once):
        digest.update(np.ascontiguousarray(cohort.images[at : at + at_once]).tobytes())
    digest.update("\n".join(cohort.contents.tolist()).encode())
    return digest.hexdigest()


def _read(entry: Path) -> NearCopies:
    with np.load(entry / "pairs.npz", allow_pickle=False) as kept:
        return NearCopies(kept["pairs"], kept["position"], kept["agreement"])
