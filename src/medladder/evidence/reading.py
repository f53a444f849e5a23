"""What evidence.json says, for those who read it: light, so that a page needs nothing else of this package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..language import phrase

UNITS = {"patient": phrase("patient"), "image": phrase("image")}
"""What is scored."""


def with_parts(verdict: Mapping[str, Any]) -> dict[str, Any]:
    """A verdict of evidence.json, its sentences and warnings with the parts that say them in other languages."""
    known = verdict.get("said", {})
    told = {
        kind: [
            {**sentence, "said": parts}
            for sentence, parts in zip(verdict[kind], known.get(kind) or [{}] * len(verdict[kind]), strict=True)
        ]
        for kind in ("sentences", "warnings")
    }
    return {**verdict, **told}
