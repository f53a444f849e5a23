"""What a study must not hide: unreadable files, copies, label conflicts, patients on both sides, shortcuts."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from ..cohort import Cohort
from ..progress import QUIET, Progress
from . import completeness, copies, nearness, pictures, shortcuts
from .copies import conflicting_rows
from .finding import STOPPING_KINDS, Finding, Severity, refuse_unmendable
from .kept import contents_for_grouping, near_copies_of
from .near import NearCopies, find_near_copies, merged_contents

__all__ = [
    "STOPPING_KINDS",
    "Finding",
    "NearCopies",
    "Severity",
    "audit",
    "conflicting_rows",
    "contents_for_grouping",
    "counts",
    "find_near_copies",
    "merged_contents",
    "near_copies_of",
    "refuse_unmendable",
]


def audit(
    cohort: Cohort, near: NearCopies | None = None, *, is_grouped: bool = False, progress: Progress = QUIET
) -> list[Finding]:
    """Everything found, worst first.

    `near` are near copies that were searched for before, else they are now; `is_grouped`: they count as one patient.
    """
    finders = (
        completeness.unreadable,
        completeness.unlabelled,
        completeness.ignored,
        completeness.passed_over,
        completeness.one_class_parts,
        copies.image_overlap,
        copies.patient_overlap,
        copies.label_conflicts,
        copies.exact_duplicates,
        copies.patients_in_two_classes,
        completeness.thin_classes,
        completeness.unknown_patients,
        pictures.blank,
        pictures.size_outliers,
        shortcuts.shortcuts,
    )
    found = [finding for finder in finders for finding in finder(cohort)]
    if near is None:
        near = near_copies_of(cohort, progress=progress)
    found += nearness.findings_of(cohort, near, is_grouped=is_grouped)
    return sorted(found, key=lambda finding: ("stop", "warning", "note").index(finding.severity))


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
