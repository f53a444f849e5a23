"""What every page stands in: its language, its heading, and how an error is told to a person."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote

from fastapi import Request
from fastapi.responses import HTMLResponse, Response
from starlette.concurrency import run_in_threadpool

from medladder import __version__
from medladder.errors import InputError, MedladderError
from medladder.language import LANGUAGES, speaking, tr
from medladder.report import html

from ..api import hub_of
from ..refusals import ForbiddenError, RequestError
from ..runs import Runs
from ..shelf import Shelved
from ..standing import standing_of

_LANGUAGE = "lang"
_MOST_FORM = 2**20
Draw = Callable[[], tuple[str, dict[str, Any]]]
"""Names a template and what fills it."""


def language_of(request: Request) -> str:
    """What a page is said in: what was asked for, else what was chosen before, else what the browser prefers."""
    asked = request.query_params.get(_LANGUAGE) or request.cookies.get(_LANGUAGE)
    if asked in LANGUAGES:
        return str(asked)
    preferred = re.findall(r"[a-z]{2}", request.headers.get("accept-language", "").lower())
    return next((code for code in preferred if code in LANGUAGES), "en")


async def draw_page(request: Request, draw: Draw, status: int = 200) -> Response:
    """Draw a page in a thread, in the language of the one who asks; an error becomes a page that says it."""
    language, is_fragment = language_of(request), "x-fragment" in request.headers

    def drawn() -> tuple[str, int]:
        with speaking(language):
            try:
                template, names = draw()
                return _render(request, template, names, is_fragment=is_fragment), status
            except InputError as error:
                return _message(request, error), error.http_status

    text, found = await run_in_threadpool(drawn)
    response = HTMLResponse(text, found)
    if request.query_params.get(_LANGUAGE) in LANGUAGES:
        response.set_cookie(_LANGUAGE, language, samesite="strict", max_age=365 * 24 * 3600, httponly=True)
    return response


def _render(request: Request, template: str, names: dict[str, Any], *, is_fragment: bool = False) -> str:
    runs = request.app.state.runs
    places = [("/", tr("Studies")), ("/try", tr("Try it")), ("/budget", tr("Budget"))]
    frame = {
        "places": [*places, *([("/new", tr("Start a study"))] if runs is not None else [])],
        "languages": LANGUAGES,
        "version": __version__,
        "here": request.url.path,
        "layout": "fragment.html.j2" if is_fragment else "base.html.j2",
        "may_start": runs is not None,
        "error": None,
    }
    return html.render(template, {**frame, **names}, package="medladder.serve")


def _message(request: Request, error: MedladderError) -> str:
    said = error if isinstance(error, InputError) else InputError(found=str(error), needed="", do="")
    title = tr("This did not work")
    return _render(request, "message.html.j2", {"title": title, "error": said, "asks_token": False})


async def error_page(request: Request, error: MedladderError) -> Response:
    """An error, for a person."""
    with speaking(language_of(request)):
        return HTMLResponse(_message(request, error), error.http_status, getattr(error, "headers", None))


def wants_page(request: Request) -> bool:
    """Whether a person asks, in a browser."""
    return "text/html" in request.headers.get("accept", "") or "x-fragment" in request.headers


def token_page(language: str) -> str:
    """Asks for the token; drawn at the door, where nothing else is known."""
    with speaking(language):
        error = InputError(
            found=tr("This server answers only those who have its token."),
            needed=tr("'medladder serve' printed it, or whoever started it knows it."),
            do="",
        )
        names = {
            "title": tr("Token"), "error": error, "asks_token": True, "places": [], "languages": {}, "here": "",
            "version": __version__,
        }  # fmt: skip
        return html.render("message.html.j2", names, package="medladder.serve")


def describe_study(one: Shelved, request: Request) -> dict[str, Any]:
    """What the heading and the progress of a study say."""
    runs: Runs | None = request.app.state.runs
    standing, at = standing_of(one.folder), f"/study/{quote(one.name)}"
    is_ours = runs is not None and one.path.parent == runs.folder
    places = [
        (at, tr("Overview")), (f"{at}/evidence", tr("Evidence")), (f"{at}/layers", tr("Layers")),
        (f"/try/{quote(one.name)}", tr("Try it")), (f"{at}/audit", tr("Audit")), (f"{at}/report", tr("Whole report")),
    ]  # fmt: skip
    return {
        "name": one.name,
        "key": hashlib.sha256(one.name.encode()).hexdigest()[:8],
        "standing": standing,
        "places": places,
        "may_stop": is_ours and standing.state == "running",
        "may_go_on": runs is not None and is_ours and standing.state == "stopped" and runs.may_go_on(one.path.name),
    }


def study_named(request: Request, name: str) -> Shelved:
    """The study of this name; raises NotFoundError, or ForbiddenError for a model."""
    one = hub_of(request).shelf.named(name)
    if not one.is_study:
        raise ForbiddenError(found=f"{name} is a model.", needed="A study.", do="Try it at /try.")
    return one


async def form_of(request: Request) -> list[tuple[str, str]]:
    """The fields of a form, which must be short."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_FORM:
            raise RequestError(found="A form of more than 1 MiB.", needed="A shorter one.", do="Fill it in again.")
    return list(_pairs(body))


def _pairs(body: bytes) -> Iterator[tuple[str, str]]:
    yield from parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=5000)


def whole_number(asked: Mapping[str, str], name: str, usual: int, least: int, most: int) -> int:
    """What was asked for, brought within its bounds; the usual number where it is none."""
    text = asked.get(name, "")
    return min(max(int(text), least), most) if text.isascii() and text.isdigit() and len(text) < 9 else usual
