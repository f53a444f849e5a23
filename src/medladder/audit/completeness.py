"""What is missing: files that cannot be read, labels, patients, classes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import numpy as np

from ..cohort import Cohort
from ..splits import FEW_PATIENTS
from .finding import Finding, number

LARGEST_UNREADABLE_SHARE = 0.1

_MOST_NAMED = 5
_SUSPICIOUSLY_MANY = 10


def unreadable(cohort: Cohort) -> Iterator[Finding]:
    """Files left out, with the commonest reasons; many stop a study."""
    n_bad = len(cohort.unreadable)
    if not n_bad:
        return
    share = n_bad / (n_bad + len(cohort.labels))
    # «(14 bytes not processed)» would make every reason its own.
    kinds = (re.sub(r"\s*\([^)]*\)", "", reason) for reason in cohort.unreadable.values())
    commonest = Counter(kinds).most_common(3)
    reasons = "; ".join(f"{n} × {reason}" for reason, n in commonest)
    yield Finding(
        "unreadable",
        "stop" if share > LARGEST_UNREADABLE_SHARE else "warning",
        tuple(cohort.unreadable),
        n_bad,
        f"{n_bad} of {n_bad + len(cohort.labels)} images ({share:.1%}) could not be read ({reasons}).",
        "Left out of the study. Export these files again.",
        is_left_out=True,
    )


def unlabelled(cohort: Cohort) -> Iterator[Finding]:
    """Rows or files without a label."""
    if cohort.n_unlabelled:
        yield Finding(
            "unlabelled",
            "note",
            (),
            cohort.n_unlabelled,
            f"{number(cohort.n_unlabelled, 'row or file', 'rows or files')} without a label.",
            "Left out of the study.",
            is_left_out=True,
        )


def ignored(cohort: Cohort) -> Iterator[Finding]:
    """Files beside the images of no kind that is read."""
    n_ignored = sum(cohort.ignored.values())
    if n_ignored:
        endings = ", ".join(f"{count} × {ending}" for ending, count in cohort.ignored.items())
        yield Finding(
            "ignored",
            "warning",
            (),
            n_ignored,
            f"{number(n_ignored, 'file', 'files')} beside the images of no kind that is read ({endings}).",
            "Left out of the study. Convert them if they are images.",
        )


def passed_over(cohort: Cohort) -> Iterator[Finding]:
    """What readers saw in files and did not use."""
    for note, count in cohort.notes.items():
        message = f"{number(count, 'image', 'images')}: {note}."
        yield Finding("passed-over", "note", (), count, message, "Nothing to do.")


def thin_classes(cohort: Cohort) -> Iterator[Finding]:
    """Classes of few patients, in one finding; many of them are said to look like patients taken for classes."""
    n_patients = {
        name: len(np.unique(cohort.patients[cohort.labels == class_])) for class_, name in enumerate(cohort.classes)
    }
    thin = {name: n for name, n in n_patients.items() if n < 2 * FEW_PATIENTS}
    if not thin:
        return
    told = [f"'{name}' ({number(n, 'patient', 'patients')})" for name, n in list(thin.items())[:_MOST_NAMED]]
    more = f" and {len(thin) - len(told)} more" if len(thin) > len(told) else ""
    looks_wrong = len(thin) >= _SUSPICIOUSLY_MANY and len(thin) > len(n_patients) / 2
    yield Finding(
        "thin-class",
        "warning",
        (),
        len(thin),
        f"{number(len(thin), 'class has', 'classes have')} fewer than {2 * FEW_PATIENTS} patients: "
        f"{', '.join(told)}{more}.",
        "Too few to say much about them: add patients, or merge classes."
        + (
            " If these folders are patients and no classes, give the labels in a table: --labels TABLE."
            if looks_wrong
            else ""
        ),
    )


def unknown_patients(cohort: Cohort) -> Iterator[Finding]:
    """That every image counts as a patient, where no one said whose they are."""
    if not cohort.patients_known:
        yield Finding(
            "no-patient-ids",
            "warning",
            (),
            len(cohort.labels),
            "No one said which images are of one patient.",
            "Every image counts as a patient, so intervals may be too narrow and scores too good. "
            "Give a CSV with a patient column if a patient has several images.",
        )


def one_class_parts(cohort: Cohort) -> Iterator[Finding]:
    """Parts that came with the cohort and cannot serve: nothing is learned from one class, and nothing tested on it."""
    for part in ("train", "val", "test"):
        present = np.unique(cohort.labels[cohort.parts == part])
        if len(present) == 1:
            n_images = int((cohort.parts == part).sum())
            yield Finding(
                "one-class-part",
                "note" if part == "val" else "stop",
                (),
                n_images,
                f"All {n_images} images of the part '{part}' are of class '{cohort.classes[present[0]]}'.",
                "Mend the split column, or leave it out and let the study split."
                if part != "val"
                else "Of no use under --keep-val; otherwise these images join the training pool.",
            )
