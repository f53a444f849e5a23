"""What is scored, as evidence.json names it, for sentences to say."""

from __future__ import annotations

from ..language import phrase

UNITS = {"patient": phrase("patient"), "image": phrase("image")}
