"""What is known of a model, as model.json holds it; checked whenever it is read, whoever wrote it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from medladder.images.prepare import Preparation

PROTOCOL = 1


@dataclass(frozen=True)
class ModelRecord:
    """All facts of a model; see docs/architecture.md, model.json, for each field."""

    rung: Mapping[str, Any]
    classes: tuple[str, ...]
    image: Mapping[str, Any]
    parameters: Mapping[str, Any]
    calibration: Mapping[str, Any]
    decision: Mapping[str, Any]
    training: Mapping[str, Any]
    out_of_part: Mapping[str, Any] | None
    evidence: Mapping[str, Any] | None
    subgroups: tuple[Mapping[str, Any], ...]
    findings: tuple[Mapping[str, Any], ...]
    rebuilding: Mapping[str, Any]
    """What the weights do not say of themselves."""
    self_test: tuple[tuple[float, ...], ...]
    """Probabilities for the images of `model.self_test_images`."""
    versions: Mapping[str, str]
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """SHA-256 and size in bytes of each other file of the folder, the card excepted."""
    protocol: int = PROTOCOL

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of an image as the rung sees it."""
        return tuple(self.image["shape"])

    @property
    def preparation(self) -> Preparation:
        """How an image is brought to that shape."""
        return Preparation.of_json(self.image["preparation"])

    @property
    def positive(self) -> str | None:
        """The class that sensitivity is for, with two classes."""
        return self.classes[1] if len(self.classes) == 2 else None

    @property
    def threshold(self) -> float | None:
        """With two classes, the probability of `positive` from which it is decided for."""
        return float(self.decision["weights"][1]) if len(self.classes) == 2 else None

    @property
    def identity(self) -> str:
        """SHA-256 of everything above and, by their hashes, of every other file: another model has another."""
        return hashlib.sha256(json.dumps(self._plain(), sort_keys=True, allow_nan=False).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """As it stands in model.json."""
        return {"protocol": self.protocol, "identity": self.identity, **self._plain()}

    def _plain(self) -> dict[str, Any]:
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self), allow_nan=False))
        return plain

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ModelRecord:
        """Rebuild a record.

        Raises
        ------
        ValueError
            A field is missing, unknown, of another kind or out of range; the reason names it.
        """
        known = {name: value for name, value in data.items() if name != "identity"}
        try:
            record = cls(**{**known, **{name: tuple(known[name]) for name in ("classes", "subgroups", "findings")}})
            _check(record)
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"a field is missing, unknown or of another kind ({error})") from error
        return record


def _check(record: ModelRecord) -> None:
    """Refuse what no model can have, before anything is built from it."""
    n_classes, shape = len(record.classes), record.shape
    weights, bias = record.decision["weights"], record.calibration["bias"]
    rules = {
        "classes": n_classes >= 2 and len(set(record.classes)) == n_classes and all(map(_is_name, record.classes)),
        "image": 1 <= len(shape) <= 4 and all(type(side) is int and 1 <= side <= 4096 for side in shape),
        "preparation": _is_our_way(record.preparation, shape),
        "decision": len(weights) == n_classes and all(_is_number(weight) and weight > 0 for weight in weights),
        "calibration": len(bias) == n_classes
        and all(map(_is_number, [*bias, record.calibration["slope"]]))
        and record.calibration["slope"] > 0,
        "rung": all(isinstance(record.rung[name], str) for name in ("rung", "kind", "family")),
        "parameters": type(record.parameters["n"]) is int and isinstance(record.parameters["chosen"], Mapping),
        "training": isinstance(record.training["cohort"], Mapping),
        "self_test": all(len(row) == n_classes and all(map(_is_number, row)) for row in record.self_test),
        "files": all(isinstance(name, str) and _is_file(fact) for name, fact in record.files.items()),
    }
    for name, is_met in rules.items():
        if not is_met:
            raise ValueError(f"{name} is not what a model has")


def _is_our_way(preparation: Preparation, shape: tuple[int, ...]) -> bool:
    """Whether images are prepared here as they were for the model, and become what its rung sees."""
    size = preparation.size
    is_seen = len(size) in (2, 3) and shape[: len(size)] == size and shape[len(size) :] in ((), (1,), (3,))
    own = Preparation(size)
    return is_seen and (preparation.resampling, preparation.protocol) == (own.resampling, own.protocol)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_file(fact: Mapping[str, Any]) -> bool:
    return isinstance(fact["sha256"], str) and len(fact["sha256"]) == 64 and type(fact["bytes"]) is int
