"""What near copies mean for a cohort: across its split, and under two labels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int

from ..cohort import Cohort
from ..language import counted, phrase
from .finding import PARTS, Finding, files_of
from .near import NearCopies


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
        counted(
            len(pairs),
            "{n} pair of images that are nearly the same (recompressed, resized, brightened, cropped a little, flipped "
            "or turned).",
            "{n} pairs of images that are nearly the same (recompressed, resized, brightened, cropped a little, "
            "flipped or turned).",
        ),
        phrase("Kept together as one patient wherever the study splits.")
        if is_grouped
        else phrase("Look at them with 'medladder check --html'. Kept together as one patient only with --group-near."),
    )
    yield from _across_parts(cohort, pairs, is_grouped=is_grouped)
    one, other = cohort.labels[pairs].T
    if len(mixed := pairs[one != other]):
        yield Finding(
            "label-conflict",
            "warning",
            _files(cohort, mixed),
            len(mixed),
            counted(
                len(mixed),
                "{n} pair of images that are nearly the same have different labels.",
                "{n} pairs of images that are nearly the same have different labels.",
            ),
            phrase(
                "Kept in the study, since a near copy may be another image: look at them with 'medladder check --html'."
            ),
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
                counted(
                    len(across),
                    "{n} pair of images that are nearly the same, one in {first}, one in {second}.",
                    "{n} pairs of images that are nearly the same, one in {first}, one in {second}.",
                    first=PARTS[first],
                    second=PARTS[second],
                ),
                _what_is_done(first, second, is_grouped=is_grouped),
            )


def _what_is_done(first: str, second: str, *, is_grouped: bool) -> str:
    if second == "val":
        return phrase("Kept in both; under --keep-val left out of train.") if is_grouped else phrase("Kept in both.")
    if is_grouped:
        return phrase("Those in {first} are left out of the study.", first=PARTS[first])
    return phrase(
        "Kept in both. Look at them with 'medladder check --html'; --group-near leaves those in {first} out.",
        first=first,
    )


def _files(cohort: Cohort, pairs: Int[np.ndarray, "pair 2"]) -> tuple[str, ...]:
    return files_of(cohort, pairs.ravel())
