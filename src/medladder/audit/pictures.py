"""Images that stand out by themselves: of one grey, or of a size unlike the others'."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float

from ..cohort import Cohort
from ..language import counted, phrase
from .finding import Finding, files_of

BLANK_RANGE = 0.01
"""Of the full range: an image whose values all lie within so much shows nothing."""

OUTLYING_FACTOR = 2.0
OUTLYING_DEVIATIONS = 6.0
"""A side or an aspect is an outlier beyond this factor and so many robust standard deviations of its logarithm."""

_ROWS_AT_ONCE = 512
_LEAST_IMAGES = 20
_MAD_TO_DEVIATION = 1.4826


def blank(cohort: Cohort) -> Iterator[Finding]:
    """Images at working size that show one grey."""
    rows = np.flatnonzero(_ranges(cohort) <= BLANK_RANGE)
    if len(rows):
        yield Finding(
            "blank",
            "warning",
            files_of(cohort, rows),
            len(rows),
            counted(
                len(rows), "{n} image shows one grey and nothing else.", "{n} images show one grey and nothing else."
            ),
            phrase("Kept in the study. Leave them out, or export them again."),
        )


def _ranges(cohort: Cohort) -> Float[np.ndarray, " image"]:
    top = np.iinfo(cohort.images.dtype).max
    found = []
    for at in range(0, len(cohort.labels), _ROWS_AT_ONCE):
        block = np.asarray(cohort.images[at : at + _ROWS_AT_ONCE]).reshape(-1, *cohort.images.shape[1:])
        axes = tuple(range(1, block.ndim))
        found.append((block.max(axis=axes).astype(np.float64) - block.min(axis=axes)) / top)
    return np.concatenate(found)


def size_outliers(cohort: Cohort) -> Iterator[Finding]:
    """Stored sizes far from the others': a thumbnail, a screenshot, a scan of another kind.

    Source
    ------
    Iglewicz & Hoaglin 1993, «How to Detect and Handle Outliers» (deviations by the median absolute deviation).
    """
    if len(cohort.labels) < _LEAST_IMAGES:
        return
    height, width = np.log(cohort.heights), np.log(cohort.widths)
    rows = np.flatnonzero(_stands_out((height + width) / 2) | _stands_out(height - width))
    if len(rows):
        middle = f"{int(np.median(cohort.heights))}×{int(np.median(cohort.widths))}"
        yield Finding(
            "size-outlier",
            "note",
            files_of(cohort, rows),
            len(rows),
            counted(
                len(rows),
                "{n} image is of a size or shape far from the usual (median {middle}).",
                "{n} images are of a size or shape far from the usual (median {middle}).",
                middle=middle,
            ),
            phrase("Kept in the study, stretched to working size like all. See that they are what they should be."),
        )


def _stands_out(logarithm: Float[np.ndarray, " image"]) -> Bool[np.ndarray, " image"]:
    apart = np.abs(logarithm - np.median(logarithm))
    deviation = _MAD_TO_DEVIATION * np.median(apart)
    return apart > max(np.log(OUTLYING_FACTOR), OUTLYING_DEVIATIONS * deviation)
