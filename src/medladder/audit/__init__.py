"""What a study must not hide: unreadable files, copies, label conflicts, patients on both sides, thin classes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Int

from ..cohort import Cohort
from ..errors import CohortError, unknown_name
from ..splits import FEW_PATIENTS

Severity = Literal["stop", "warning", "note"]

STOPPING_KINDS = ("unreadable", "image-overlap", "patient-overlap")
"""Kinds that can stop a study, and so can be accepted."""

LARGEST_UNREADABLE_SHARE = 0.1
LARGEST_COPIED_SHARE = 0.01
"""Of the test images; published splits have a copy or two (BreastMNIST has one), more is a mistake."""


@dataclass(frozen=True)
class Finding:
    """One thing found: `files` are complete and relative to the cohort, `count` is in the unit the message names.

    A study stops for `stop` unless told to accept the kind, repeats a `warning` at the top of its report, and lists a
    `note`.
    """

    kind: str
    severity: Severity
    files: tuple[str, ...]
    count: int
    message: str
    action: str

    def to_json(self) -> dict[str, Any]:
        """As `check --json` prints it."""
        return asdict(self)

    def without_files(self) -> dict[str, Any]:
        """As the record keeps it: a file name may name a patient."""
        return {key: value for key, value in asdict(self).items() if key != "files"}


def audit(cohort: Cohort) -> list[Finding]:
    """Everything found, worst first."""
    finders = (
        _unreadable,
        _unlabelled,
        _ignored,
        _passed_over,
        _image_overlap,
        _patient_overlap,
        _label_conflicts,
        _exact_duplicates,
        _patients_in_two_classes,
        _thin_classes,
        _unknown_patients,
    )
    found = [finding for finder in finders for finding in finder(cohort)]
    return sorted(found, key=lambda finding: ("stop", "warning", "note").index(finding.severity))


def refuse_unmendable(findings: list[Finding], accepted: tuple[str, ...]) -> None:
    """Stop a study for what it cannot mend.

    Raises
    ------
    CohortError
        A finding of severity `stop` whose kind is not accepted.
    OptionError
        `accepted` holds a kind that never stops a study.
    """
    for kind in accepted:
        if kind not in STOPPING_KINDS:
            raise unknown_name("kind to accept", kind, STOPPING_KINDS)
    for finding in findings:
        if finding.severity == "stop" and finding.kind not in accepted:
            raise CohortError(
                found=finding.message,
                needed="A cohort in which this does not happen, or your word that it may.",
                do=f"Mend it ('medladder check' lists the files), or go on all the same with --accept {finding.kind}.",
            )


def conflicting_rows(cohort: Cohort) -> Bool[np.ndarray, " image"]:
    """Images whose exact copy stands under another class: no one knows which label is right."""
    _, content = np.unique(cohort.contents, return_inverse=True)
    pairs = np.unique(np.stack([content, cohort.labels], axis=1), axis=0)
    n_labels = np.bincount(pairs[:, 0], minlength=content.max() + 1)
    return n_labels[content] > 1


def _number(n: int, one: str, many: str) -> str:
    return f"{n} {one if n == 1 else many}"


def _files(cohort: Cohort, rows: Int[np.ndarray, " row"]) -> tuple[str, ...]:
    return tuple(cohort.files[i] for i in rows)


def _unreadable(cohort: Cohort) -> Iterator[Finding]:
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
    )


def _unlabelled(cohort: Cohort) -> Iterator[Finding]:
    if cohort.n_unlabelled:
        yield Finding(
            "unlabelled",
            "note",
            (),
            cohort.n_unlabelled,
            f"{_number(cohort.n_unlabelled, 'row or file', 'rows or files')} without a label.",
            "Left out of the study.",
        )


def _ignored(cohort: Cohort) -> Iterator[Finding]:
    n_ignored = sum(cohort.ignored.values())
    if n_ignored:
        endings = ", ".join(f"{count} × {ending}" for ending, count in cohort.ignored.items())
        yield Finding(
            "ignored",
            "warning",
            (),
            n_ignored,
            f"{_number(n_ignored, 'file', 'files')} beside the images of no kind that is read ({endings}).",
            "Left out of the study. Convert them if they are images.",
        )


def _passed_over(cohort: Cohort) -> Iterator[Finding]:
    """What readers saw in files and did not use."""
    for note, count in cohort.notes.items():
        message = f"{_number(count, 'image', 'images')}: {note}."
        yield Finding("passed-over", "note", (), count, message, "Nothing to do.")


def _image_overlap(cohort: Cohort) -> Iterator[Finding]:
    _, content = np.unique(cohort.contents, return_inverse=True)
    yield from _overlap(
        cohort, content, "image-overlap", ("set of exact copies", "sets of exact copies"), LARGEST_COPIED_SHARE
    )


def _patient_overlap(cohort: Cohort) -> Iterator[Finding]:
    if cohort.patients_known:
        yield from _overlap(cohort, cohort.patients, "patient-overlap", ("patient", "patients"), 0.0)


def _overlap(
    cohort: Cohort, unit: Int[np.ndarray, " image"], kind: str, what: tuple[str, str], largest_share: float
) -> Iterator[Finding]:
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
        yield Finding(
            kind,
            severity,
            _files(cohort, rows),
            len(both),
            f"{_number(len(both), *what)} in both {one} and {other} ({len(rows)} images).",
            "Kept together wherever the study splits; under --keep-val left out of train."
            if other == "val"
            else f"Their images in {one} are left out of the study. Mend the split if it is yours.",
        )


def _label_conflicts(cohort: Cohort) -> Iterator[Finding]:
    rows = np.flatnonzero(conflicting_rows(cohort))
    if len(rows):
        n_sets = len(np.unique(cohort.contents[rows]))
        yield Finding(
            "label-conflict",
            "warning",
            _files(cohort, rows),
            len(rows),
            f"{len(rows)} images have an exact copy with another label ({_number(n_sets, 'set', 'sets')} of copies).",
            "Left out of the study: no one can say which label is right.",
        )


def _exact_duplicates(cohort: Cohort) -> Iterator[Finding]:
    _, content, counts = np.unique(cohort.contents, return_inverse=True, return_counts=True)
    rows = np.flatnonzero(counts[content] > 1)
    if len(rows):
        rows = rows[np.argsort(content[rows], kind="stable")]
        n_sets = int((counts > 1).sum())
        yield Finding(
            "exact-duplicate",
            "note",
            _files(cohort, rows),
            len(rows) - n_sets,
            f"{_number(len(rows) - n_sets, 'exact copy', 'exact copies')} of another image "
            f"({_number(n_sets, 'set', 'sets')}, {len(rows)} images in all).",
            "Kept together as one patient wherever the study splits.",
        )


def _patients_in_two_classes(cohort: Cohort) -> Iterator[Finding]:
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
            _files(cohort, rows),
            len(mixed),
            f"{_number(len(mixed), 'patient', 'patients')} with images of more than one class ({len(rows)} images).",
            "Kept on one side of every split, scored once a class. Right for two eyes, wrong for a typing error.",
        )


def _thin_classes(cohort: Cohort) -> Iterator[Finding]:
    for class_, name in enumerate(cohort.classes):
        n_patients = len(np.unique(cohort.patients[cohort.labels == class_]))
        if n_patients < 2 * FEW_PATIENTS:
            yield Finding(
                "thin-class",
                "warning",
                (),
                n_patients,
                f"Class '{name}' has {_number(n_patients, 'patient', 'patients')}.",
                "Too few to say much about it: add patients or merge the class into another.",
            )


def _unknown_patients(cohort: Cohort) -> Iterator[Finding]:
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


def counts(cohort: Cohort) -> dict[str, Any]:
    """Images and patients by part and class, as `check` prints them."""
    parts = [part for part in ("train", "val", "test") if part in set(cohort.parts.tolist())]
    per_part = {
        part: {
            name: {
                "images": int((rows := (cohort.parts == part) & (cohort.labels == class_)).sum()),
                "patients": len(np.unique(cohort.patients[rows])),
            }
            for class_, name in enumerate(cohort.classes)
        }
        for part in parts
    }
    sizes = Counter(zip(cohort.heights.tolist(), cohort.widths.tolist(), strict=True))
    return {
        "images": len(cohort.labels),
        "patients": len(np.unique(cohort.patients)) if cohort.patients_known else None,
        "parts": per_part,
        "sizes": len(sizes),
        "commonest_size": list(sizes.most_common(1)[0][0]),
        "smallest_side": int(min(cohort.heights.min(), cohort.widths.min())),
        "largest_side": int(max(cohort.heights.max(), cohort.widths.max())),
        "bit_depth": cohort.bit_depth,
        "is_colour": cohort.images.shape[-1] == 3 and cohort.images.ndim in (4, 5),
    }
