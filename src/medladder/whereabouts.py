"""Where the images of a study lie on this machine: in the user's own state directory, never in the study's folder.

A study holds no path, so that it can be handed on; `fit RUN` finds the images again by the cohort's fingerprint.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import platformdirs


def remember(fingerprint: str, origins: Sequence[Mapping[str, Any]]) -> None:
    """Note what a cohort was read from; a state directory that cannot be written only costs the note."""
    note = _note(fingerprint)
    draft = note.with_name(f".{note.name}.{secrets.token_hex(4)}")
    with suppress(OSError):
        note.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps({"origins": list(origins)}), "utf-8")
        os.replace(draft, note)


def recall(fingerprint: str) -> tuple[dict[str, Any], ...]:
    """What the cohort was read from, the other cohort it was tested on after it; empty where no one knows."""
    try:
        origins = json.loads(_note(fingerprint).read_text("utf-8"))["origins"]
        return tuple(dict(origin) for origin in origins)
    except (OSError, ValueError, KeyError, TypeError):
        return ()


def _note(fingerprint: str) -> Path:
    return Path(platformdirs.user_state_dir("medladder")) / "cohorts" / f"{fingerprint}.json"
