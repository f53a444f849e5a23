"""Near copies side by side, and a new manifest by what was judged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from medladder.audit.gallery import show_near_pairs
from medladder.audit.mending import judged, write_manifest
from medladder.audit.places import folder_of
from medladder.errors import InputError, OptionError
from medladder.language import tr, translate
from medladder.report.page import SEVERITIES

from ..runs import Runs
from ..shelf import Shelved
from .frame import describe_study, draw_page, form_of, study_named, whole_number

router = APIRouter(include_in_schema=False)

_PAIRS_A_PAGE = 60


@router.get("/study/{name}/audit")
async def audit(request: Request, name: str) -> Response:
    """Copies side by side."""
    return await draw_page(request, lambda: ("audit.html.j2", _auditing(request, study_named(request, name))))


@router.get("/study/{name}/audit/ready")
async def audit_ready(request: Request, name: str) -> Response:
    """Whether the search for near copies is over."""
    is_over = study_named(request, name).audit.is_over()
    return Response("<p data-reload></p>" if is_over else f'<p class="state" data-refresh="{request.url.path}">…</p>')


@router.post("/study/{name}/audit")
async def mend(request: Request, name: str) -> Response:
    """Write a new manifest by what was judged."""
    given = await form_of(request)

    def draw() -> tuple[str, dict[str, Any]]:
        one, runs = study_named(request, name), request.app.state.runs
        names = _auditing(request, one)
        try:
            written = write_judged(one, runs, given)
        except InputError as error:
            return "audit.html.j2", {**names, "error": error}
        return "audit.html.j2", {**names, "written": written}

    return await draw_page(request, draw)


def _auditing(request: Request, one: Shelved) -> dict[str, Any]:
    names: dict[str, Any] = {
        "title": one.name,
        "study": describe_study(one, request),
        "severities": SEVERITIES,
        "written": None,
    }
    return {**names, **show_audit(one, request.app.state.runs, request.query_params, request.url.path)}


def show_audit(one: Shelved, runs: Runs | None, asked: Any, at: str) -> dict[str, Any]:
    """What the audit found, and pairs to judge; while near copies are looked for, that they are."""
    if not one.audit.is_over():
        return {"searching": True, "findings": None}
    cohort, near, findings = one.audit.result()
    first = whole_number(asked, "from", 0, 0, max(0, len(near.pairs) - 1)) if len(near.pairs) else 0
    more = first + _PAIRS_A_PAGE
    folder = folder_of(cohort)
    return {
        "searching": False,
        "findings": [
            {"severity": found.severity, "message": translate(found.message), "action": translate(found.action)}
            for found in findings
        ],
        "n_pairs": len(near.pairs),
        "pairs": show_near_pairs(cohort, near, first, _PAIRS_A_PAGE),
        "more": f"{at}?from={more}" if more < len(near.pairs) else None,
        "choices": [
            ("keep", tr("two patients")),
            ("join", tr("one patient")),
            ("drop", tr("leave the second out")),
        ],
        "may_write": runs is not None and folder is not None and folder.resolve().is_relative_to(runs.root),
    }


def write_judged(one: Shelved, runs: Runs | None, given: Sequence[tuple[str, str]]) -> str:
    """Write the manifest that was asked for, and say what it holds.

    Raises
    ------
    OptionError
        It may not be written from here, or its name is none.
    CohortError
        It is there already.
    """
    cohort, near, _ = one.audit.result()
    folder, name = folder_of(cohort), dict(given).get("manifest", "")
    if runs is None or folder is None or not folder.resolve().is_relative_to(runs.root):
        raise OptionError(
            found="The images lie outside --root.", needed="A --root above them.", do="Start the server with it."
        )
    if Path(name).name != name or not name.endswith(".csv") or name.startswith("."):
        raise OptionError(found=f"The name '{name[:80]}'.", needed="A name such as labels-mended.csv.", do="Write one.")
    places = {key.removeprefix("pair-"): value for key, value in given if key.startswith("pair-")}
    chosen = {int(key): value for key, value in places.items() if key.isascii() and key.isdigit() and len(key) < 9}
    within = {key: value for key, value in chosen.items() if key < len(near.pairs)}
    dropped = [int(near.pairs[key, 1]) for key, value in within.items() if value == "drop"]
    joined = [key for key, value in within.items() if value == "join"]
    mended = judged(cohort, near, dropped=dropped, joined=joined)
    write_manifest(cohort, mended, folder / name)
    n_kept = int(mended.kept.sum())
    return tr(
        "{name} is written, with {kept} of {all} images. Start a study on it, or: medladder study {name}",
        name=name, kept=n_kept, all=len(mended.kept),
    )  # fmt: skip
