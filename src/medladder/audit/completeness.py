"""What is missing: files that cannot be read, labels, patients, classes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import numpy as np

from ..cohort import Cohort
from ..language import counted, from_text, join, phrase
from ..splits import FEW_PATIENTS
from .finding import Finding

LARGEST_UNREADABLE_SHARE = 0.1

_MOST_NAMED = 5
_SUSPICIOUSLY_MANY = 10
_NO_CLASSES = phrase("If these folders are patients and no classes, give the labels in a table: --labels TABLE.")


def unreadable(cohort: Cohort) -> Iterator[Finding]:
    """Files left out, with the commonest reasons; many stop a study."""
    n_bad = len(cohort.unreadable)
    if not n_bad:
        return
    share = n_bad / (n_bad + len(cohort.labels))
    # «(14 bytes not processed)» would make every reason its own.
    kinds = (re.sub(r"\s*\([^)]*\)", "", reason) for reason in cohort.unreadable.values())
    commonest = Counter(kinds).most_common(3)
    reasons = join([phrase("{times} × {reason}", times=n, reason=from_text(reason)) for reason, n in commonest], "; ")
    yield Finding(
        "unreadable",
        "stop" if share > LARGEST_UNREADABLE_SHARE else "warning",
        tuple(cohort.unreadable),
        n_bad,
        phrase(
            "{bad} of {all} images ({share} %) could not be read ({reasons}).",
            bad=n_bad,
            all=n_bad + len(cohort.labels),
            share=f"{100 * share:.1f}",
            reasons=reasons,
        ),
        phrase("Left out of the study. Export these files again."),
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
            counted(cohort.n_unlabelled, "{n} row or file without a label.", "{n} rows or files without a label."),
            phrase("Left out of the study."),
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
            counted(
                n_ignored,
                "{n} file beside the images of no kind that is read ({endings}).",
                "{n} files beside the images of no kind that is read ({endings}).",
                endings=endings,
            ),
            phrase("Left out of the study. Convert them if they are images."),
        )


def passed_over(cohort: Cohort) -> Iterator[Finding]:
    """What readers saw in files and did not use."""
    for note, count in cohort.notes.items():
        message = counted(count, "{n} image: {note}.", "{n} images: {note}.", note=from_text(note))
        yield Finding("passed-over", "note", (), count, message, phrase("Nothing to do."))


def thin_classes(cohort: Cohort) -> Iterator[Finding]:
    """Classes of few patients, in one finding; many of them are said to look like patients taken for classes."""
    n_patients = {
        name: len(np.unique(cohort.patients[cohort.labels == class_])) for class_, name in enumerate(cohort.classes)
    }
    thin = {name: n for name, n in n_patients.items() if n < 2 * FEW_PATIENTS}
    if not thin:
        return
    told = [
        counted(n, "'{name}' ({n} patient)", "'{name}' ({n} patients)", name=name)
        for name, n in list(thin.items())[:_MOST_NAMED]
    ]
    n_more = len(thin) - len(told)
    more = phrase(" and {n} more", n=n_more) if n_more else ""
    action = phrase("Too few to say much about them: add patients, or merge classes.")
    looks_wrong = len(thin) >= _SUSPICIOUSLY_MANY and len(thin) > len(n_patients) / 2
    yield Finding(
        "thin-class",
        "warning",
        (),
        len(thin),
        counted(
            len(thin),
            "{n} class has fewer than {least} patients: {names}{more}.",
            "{n} classes have fewer than {least} patients: {names}{more}.",
            least=2 * FEW_PATIENTS,
            names=join(told, ", "),
            more=more,
        ),
        join([action, _NO_CLASSES]) if looks_wrong else action,
    )


def unknown_patients(cohort: Cohort) -> Iterator[Finding]:
    """That every image counts as a patient, where no one said whose they are."""
    if not cohort.patients_known:
        yield Finding(
            "no-patient-ids",
            "warning",
            (),
            len(cohort.labels),
            phrase("No one said which images are of one patient."),
            phrase(
                "Every image counts as a patient, so intervals may be too narrow and scores too good. Give a CSV with "
                "a patient column if a patient has several images."
            ),
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
                phrase(
                    "All {n} images of the part '{part}' are of class '{name}'.",
                    n=n_images,
                    part=part,
                    name=cohort.classes[present[0]],
                ),
                phrase("Mend the split column, or leave it out and let the study split.")
                if part != "val"
                else phrase("Of no use under --keep-val; otherwise these images join the training pool."),
            )
