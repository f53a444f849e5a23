"""The cohort as the record keeps it: numbers and class names; no path, no identifier, no image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Int

from .grouping import Grouping
from .plan import PROTOCOL


@dataclass(frozen=True)
class CohortRecord:
    """What evidence and report need to know of the cohort; see docs/architecture.md, cohort.json."""

    name: str
    fingerprint: str
    classes: tuple[str, ...]
    patients_known: bool
    image: dict[str, Any]
    labels: Int[np.ndarray, " image"]
    patients: Int[np.ndarray, " image"]
    groups: Int[np.ndarray, " image"]
    test_fold: Int[np.ndarray, " image"]
    excluded: tuple[dict[str, Any], ...] = ()
    findings: tuple[dict[str, Any], ...] = ()
    contents: tuple[str, ...] = ()
    """The beginning of each image's content hash, which tells an image that changed; older records do not say."""
    columns: Mapping[str, Grouping] = field(default_factory=dict)
    """Of each column of the manifest that tells groups apart, which one an image is in."""

    def to_json(self) -> dict[str, Any]:
        """The cohort as it stands in cohort.json."""
        return {
            "protocol": PROTOCOL,
            "name": self.name,
            "fingerprint": self.fingerprint,
            "classes": list(self.classes),
            "patients_known": self.patients_known,
            "image": self.image,
            "labels": self.labels.tolist(),
            "patients": self.patients.tolist(),
            "groups": self.groups.tolist(),
            "test_fold": self.test_fold.tolist(),
            "excluded": list(self.excluded),
            "findings": list(self.findings),
            "contents": " ".join(self.contents),
            "columns": {name: grouping.to_json() for name, grouping in self.columns.items()},
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> CohortRecord:
        """Rebuild the record from cohort.json's content."""
        known = {key: value for key, value in data.items() if key != "protocol"}
        for name in ("labels", "patients", "groups", "test_fold"):
            known[name] = np.asarray(data[name], dtype=np.int64)
        for name in ("classes", "excluded", "findings"):
            known[name] = tuple(data[name])
        known["contents"] = tuple(data.get("contents", "").split())
        known["columns"] = {name: Grouping.from_json(one) for name, one in data.get("columns", {}).items()}
        return cls(**known)
