"""Trials: one rung fitted on one subset in one repeat, a JSON line each."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Trial:
    """What is known of one trial without opening any test label; a failed one holds its `reason`."""

    fleet: str
    rung: str
    n_train: int
    fold: int
    repeat: int
    status: str
    n_images: int | None = None
    overlap: float | None = None
    decision: dict[str, Any] | None = None
    n_parameters: int | None = None
    chosen: dict[str, Any] | None = None
    out_of_part: dict[str, Any] | None = None
    """Of the patients held out for choosing the `area` under their ROC curve, and how many there were `per_class`."""
    fit_seconds: float | None = None
    layers: list[dict[str, Any]] | None = None
    """Of networks looked into, a dict each: its layers `trained` and at their `start`, see `inspection.growth`."""
    reason: str | None = None
    predictions_sha256: str | None = None
    """Of the file with its fleet's predictions; older studies do not say."""

    @property
    def is_done(self) -> bool:
        """Whether the trial left predictions."""
        return self.status == "done"

    def to_json(self) -> dict[str, Any]:
        """The line, less what does not apply."""
        return {key: value for key, value in asdict(self).items() if value is not None}
