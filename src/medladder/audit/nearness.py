"""What near copies mean for a cohort: across its split, and under two labels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int

from ..cohort import Cohort
from .finding import Finding, files_of, number
from .near import NearCopies

_PAIRS = ("pair", "pairs")


def findings_of(cohort: Cohort, near: NearCopies, *, is_grouped: bool) -> Iterator[Finding]:
    """Findings whose `files` go pair by pair: first, its copy, next, its copy."""
    pairs = near.pairs
    if not len(pairs):
        return
    yield Finding(
        "near-duplicate",
        "note",
        _files(cohort, pairs),
        len(pairs),
        f"{number(len(pairs), *_PAIRS)} of images that are nearly the same (recompressed, resized, brightened, cropped "
        "a little, flipped or turned).",
        "Kept together as one patient wherever the study splits."
        if is_grouped
        else "Look at them with 'medladder check --html'. Kept together as one patient only with --group-near.",
    )
    yield from _across_parts(cohort, pairs, is_grouped=is_grouped)
    one, other = cohort.labels[pairs].T
    if len(mixed := pairs[one != other]):
        yield Finding(
            "label-conflict",
            "warning",
            _files(cohort, mixed),
            len(mixed),
            f"{number(len(mixed), *_PAIRS)} of images that are nearly the same have different labels.",
            "Kept in the study, since a near copy may be another image: look at them with 'medladder check --html'.",
        )


def _across_parts(cohort: Cohort, pairs: Int[np.ndarray, "pair 2"], *, is_grouped: bool) -> Iterator[Finding]:
    one, other = cohort.parts[pairs].T
    for first, second in (("train", "test"), ("val", "test"), ("train", "val")):
        across = pairs[((one == first) & (other == second)) | ((one == second) & (other == first))]
        if len(across):
            yield Finding(
                "near-overlap",
                "note" if second == "val" else "warning",
                _files(cohort, across),
                len(across),
                f"{number(len(across), *_PAIRS)} of images that are nearly the same, one in {first}, one in {second}.",
                _what_is_done(first, second, is_grouped=is_grouped),
            )


def _what_is_done(first: str, second: str, *, is_grouped: bool) -> str:
    if second == "val":
        return "Kept in both" + ("; under --keep-val left out of train." if is_grouped else ".")
    if is_grouped:
        return f"Those in {first} are left out of the study."
    return f"Kept in both. Look at them with 'medladder check --html'; --group-near leaves those in {first} out."


def _files(cohort: Cohort, pairs: Int[np.ndarray, "pair 2"]) -> tuple[str, ...]:
    return files_of(cohort, pairs.ravel())
