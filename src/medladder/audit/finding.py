"""What an audit says: findings, how grave each is, and which of them stop a study."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Int

from ..cohort import Cohort
from ..errors import CohortError, unknown_name
from ..language import parts_of, phrase

Severity = Literal["stop", "warning", "note"]

STOPPING_KINDS = ("unreadable", "image-overlap", "patient-overlap", "one-class-part")
"""Kinds that can stop a study, and so can be accepted."""


PARTS = {"train": phrase("train"), "val": phrase("val"), "test": phrase("test")}
"""What the parts of a cohort are called in a sentence."""


@dataclass(frozen=True)
class Finding:
    """One thing found: `files` are complete and relative to the cohort, `count` is in the unit the message names.

    A study stops for `stop` unless told to accept the kind, repeats a `warning` at the top of its report, and lists a
    `note`. `is_left_out`: what was found takes no part in a study.
    """

    kind: str
    severity: Severity
    files: tuple[str, ...]
    count: int
    message: str
    action: str
    is_left_out: bool = False

    def to_json(self) -> dict[str, Any]:
        """As `check --json` prints it."""
        return {key: value for key, value in asdict(self).items() if key != "is_left_out"}

    def without_files(self) -> dict[str, Any]:
        """As the record keeps it: a file name may name a patient; with the parts of its texts, for other languages."""
        known = {key: value for key, value in self.to_json().items() if key != "files"}
        return {**known, "said": parts_of(message=self.message, action=self.action)}


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


def files_of(cohort: Cohort, rows: Int[np.ndarray, " row"]) -> tuple[str, ...]:
    """The names of some images' files."""
    return tuple(cohort.files[i] for i in rows)
