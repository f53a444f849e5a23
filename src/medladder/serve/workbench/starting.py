"""Start a study from images below the root; stop it, go on with it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from medladder.errors import InputError, OptionError
from medladder.language import speaking, tr
from medladder.planning import DEFAULT_RUNGS
from medladder.record.folder import StudyFolder
from medladder.rungs import LADDER

from ..api import hub_of
from ..refusals import ForbiddenError
from ..runs import Runs
from ..shelf import Shelved
from .frame import draw_page, form_of, language_of, study_named

router = APIRouter(include_in_schema=False)


@router.get("/new")
async def new(request: Request) -> Response:
    """Choose images below the root, and start."""
    return await draw_page(request, lambda: ("new.html.j2", _beginning(request, request.query_params.get("path", ""))))


def _beginning(request: Request, path: str) -> dict[str, Any]:
    runs = _runs(request)
    parts = [part for part in path.split("/") if part]
    way = [("/new?" + urlencode({"path": "/".join(parts[: i + 1])}), part) for i, part in enumerate(parts)]
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", Path(path).stem).strip("-._") if parts else ""
    return {
        "title": tr("Start a study"),
        "path": "/".join(parts),
        "way": way,
        "entries": runs.entries(path),
        "may_be": bool(parts) and runs.may_be_cohort(path),
        "name": name[:61],
        "ladder": [known.name for known in LADDER if known.name != "pretrained"],
        "usual": DEFAULT_RUNGS,
        "repeats": 10,
        "sizes": "",
        "beginnings": runs.beginnings(),
    }


@router.post("/new")
async def begin(request: Request) -> Response:
    """Start it, and show how far it is."""
    given = await form_of(request)
    fields = dict(given)
    rungs = [value for key, value in given if key == "rungs"]

    def start() -> InputError | None:
        try:
            start_study(_runs(request), fields, rungs, language_of(request))
        except InputError as error:
            return error
        return None

    problem = await run_in_threadpool(start)
    if problem is None:
        return RedirectResponse("/new/" + quote(fields["name"]), 303)

    def draw() -> tuple[str, dict[str, Any]]:
        names = _beginning(request, fields.get("path", ""))
        kept: dict[str, Any] = {key: fields[key] for key in ("name", "sizes", "repeats") if key in fields}
        return "new.html.j2", {**names, **kept, "usual": rungs, "error": problem}

    return await draw_page(request, draw, problem.http_status)


def start_study(runs: Runs, fields: Mapping[str, str], rungs: Sequence[str], language: str) -> None:
    """Start what a form asks for; raises OptionError for what is none."""
    known = [rung.name for rung in LADDER]
    chosen = [name for name in known if name in rungs]
    if not chosen:
        raise OptionError(found="No rung.", needed="At least one.", do="Choose one or more.")
    repeats = fields.get("repeats", "10")
    if not (repeats.isascii() and repeats.isdigit() and 1 <= int(repeats[:4]) <= 100):
        raise OptionError(found=f"{repeats[:20]} redraws.", needed="A number from 1 to 100.", do="Change it.")
    words = ["--rungs", ",".join(chosen), "--repeats", repeats, "--lang", language]
    sizes = "".join(fields.get("sizes", "").split())
    if sizes:
        if not all(part == "all" or (part.isascii() and part.isdigit()) for part in sizes.split(",")):
            raise OptionError(found=f"Sizes {sizes[:40]}.", needed="Numbers, as 50,200,all.", do="Change them.")
        words += ["--sizes", sizes]
    runs.start(fields.get("name", ""), fields.get("path", ""), words)


@router.get("/new/{name}")
async def begun(request: Request, name: str) -> Response:
    """To the study, once it has a plan; until then what it says."""
    runs = _runs(request)
    if StudyFolder(runs.folder / name).is_study and (runs.folder / name).parent == runs.folder:
        if "x-fragment" in request.headers:
            return HTMLResponse("<p data-reload></p>")
        known = next((one.name for one in hub_of(request).shelf if one.path == runs.folder / name), name)
        return RedirectResponse(f"/study/{quote(known)}", 303)
    if "x-fragment" in request.headers and runs.is_running(name):
        with speaking(language_of(request)):
            said = tr("Its images are being read.")
        return HTMLResponse(f'<p class="state" data-refresh="{request.url.path}">{said}</p>')
    if "x-fragment" in request.headers:
        return HTMLResponse("<p data-reload></p>")
    return await draw_page(request, lambda: ("new.html.j2", _beginning(request, "")))


@router.post("/new/{name}/forget")
async def forget(request: Request, name: str) -> Response:
    """Take away what is left of one that never began."""
    await run_in_threadpool(_runs(request).forget, name)
    return RedirectResponse("/new", 303)


@router.post("/study/{name}/stop")
async def stop(request: Request, name: str) -> Response:
    """Stop it as Ctrl-C does."""
    one, runs = study_named(request, name), _runs(request)
    _require_ours(one, runs)
    await run_in_threadpool(runs.stop, one.path.name)
    return RedirectResponse(f"/study/{quote(name)}", 303)


@router.post("/study/{name}/go-on")
async def go_on(request: Request, name: str) -> Response:
    """Go on with it where it stopped."""
    one, runs = study_named(request, name), _runs(request)
    _require_ours(one, runs)
    await run_in_threadpool(runs.go_on, one.path.name)
    return RedirectResponse(f"/study/{quote(name)}", 303)


def _require_ours(one: Shelved, runs: Runs) -> None:
    if one.path.parent != runs.folder:
        raise ForbiddenError(
            found=f"{one.name} lies in another folder than the runs of this server.",
            needed="A study that was started from here.",
            do="Stop it, or go on with it, where it was started.",
        )


def _runs(request: Request) -> Runs:
    runs: Runs | None = request.app.state.runs
    if runs is None:
        raise ForbiddenError(
            found="Studies cannot be started from this server.",
            needed="A folder with images and one for the studies.",
            do="Start it with --root FOLDER and --runs FOLDER.",
        )
    return runs
