"""Exact copies and patients: on both sides of a split, under two labels, in two classes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Int

from ..cohort import Cohort
from ..language import counted, phrase
from .finding import PARTS, Finding, Severity, files_of

LARGEST_COPIED_SHARE = 0.01
"""Of the test images; published splits have a copy or two (BreastMNIST has one), more is a mistake."""


def conflicting_rows(cohort: Cohort) -> Bool[np.ndarray, " image"]:
    """Images whose exact copy stands under another class: no one knows which label is right."""
    _, content = np.unique(cohort.contents, return_inverse=True)
    pairs = np.unique(np.stack([content, cohort.labels], axis=1), axis=0)
    n_labels = np.bincount(pairs[:, 0], minlength=content.max() + 1)
    return n_labels[content] > 1


def image_overlap(cohort: Cohort) -> Iterator[Finding]:
    """Exact copies with one image in each of two parts."""
    _, content = np.unique(cohort.contents, return_inverse=True)
    yield from _overlap(cohort, content, "image-overlap", LARGEST_COPIED_SHARE)


def patient_overlap(cohort: Cohort) -> Iterator[Finding]:
    """Patients with images in two parts."""
    if cohort.patients_known:
        yield from _overlap(cohort, cohort.patients, "patient-overlap", 0.0)


def _overlap(cohort: Cohort, unit: Int[np.ndarray, " image"], kind: str, largest_share: float) -> Iterator[Finding]:
    """Units with images in two parts; those shared with the test part stop a study above `largest_share` of it.

    Whatever is decided, the training side of an overlap never trains: `planning` leaves it out.
    """
    for one, other in (("train", "test"), ("val", "test"), ("train", "val")):
        both = np.intersect1d(unit[cohort.parts == one], unit[cohort.parts == other])
        if not len(both):
            continue
        rows = np.flatnonzero(np.isin(unit, both) & np.isin(cohort.parts, (one, other)))
        share = (cohort.parts[rows] == "test").sum() / max((cohort.parts == "test").sum(), 1)
        severity: Severity = "note" if other == "val" else "stop" if share > largest_share else "warning"
        told = {"one": PARTS[one], "other": PARTS[other], "images": len(rows)}
        message = (
            counted(
                len(both),
                "{n} patient in both {one} and {other} ({images} images).",
                "{n} patients in both {one} and {other} ({images} images).",
                **told,
            )
            if kind == "patient-overlap"
            else counted(
                len(both),
                "{n} set of exact copies in both {one} and {other} ({images} images).",
                "{n} sets of exact copies in both {one} and {other} ({images} images).",
                **told,
            )
        )
        action = (
            phrase("Kept together wherever the study splits; under --keep-val left out of train.")
            if other == "val"
            else phrase(
                "Their images in {one} are left out of the study. Mend the split if it is yours.", one=PARTS[one]
            )
        )
        yield Finding(kind, severity, files_of(cohort, rows), len(both), message, action)


def label_conflicts(cohort: Cohort) -> Iterator[Finding]:
    """Exact copies under several labels."""
    rows = np.flatnonzero(conflicting_rows(cohort))
    if len(rows):
        n_sets = len(np.unique(cohort.contents[rows]))
        yield Finding(
            "label-conflict",
            "warning",
            files_of(cohort, rows),
            len(rows),
            counted(
                n_sets,
                "{images} images have an exact copy with another label ({n} set of copies).",
                "{images} images have an exact copy with another label ({n} sets of copies).",
                images=len(rows),
            ),
            phrase("Left out of the study: no one can say which label is right."),
            is_left_out=True,
        )


def exact_duplicates(cohort: Cohort) -> Iterator[Finding]:
    """Exact copies, set by set."""
    _, content, counts = np.unique(cohort.contents, return_inverse=True, return_counts=True)
    rows = np.flatnonzero(counts[content] > 1)
    if len(rows):
        rows = rows[np.argsort(content[rows], kind="stable")]
        n_sets = int((counts > 1).sum())
        yield Finding(
            "exact-duplicate",
            "note",
            files_of(cohort, rows),
            len(rows) - n_sets,
            phrase(
                "{copies} of another image ({sets}, {images} images in all).",
                copies=counted(len(rows) - n_sets, "{n} exact copy", "{n} exact copies"),
                sets=counted(n_sets, "{n} set", "{n} sets"),
                images=len(rows),
            ),
            phrase("Kept together as one patient wherever the study splits."),
        )


def patients_in_two_classes(cohort: Cohort) -> Iterator[Finding]:
    """Patients with images of several classes."""
    if not cohort.patients_known:
        return
    pairs = np.unique(np.stack([cohort.patients, cohort.labels], axis=1), axis=0)
    patients, n_classes = np.unique(pairs[:, 0], return_counts=True)
    mixed = patients[n_classes > 1]
    if len(mixed):
        rows = np.flatnonzero(np.isin(cohort.patients, mixed))
        yield Finding(
            "patient-in-two-classes",
            "warning",
            files_of(cohort, rows),
            len(mixed),
            counted(
                len(mixed),
                "{n} patient with images of more than one class ({images} images).",
                "{n} patients with images of more than one class ({images} images).",
                images=len(rows),
            ),
            phrase(
                "Kept on one side of every split, scored once a class. Right for two eyes, wrong for a typing error."
            ),
        )
