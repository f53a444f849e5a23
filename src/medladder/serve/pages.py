"""The workbench: pages that the server draws, each of them whole without a script."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from medladder import __version__
from medladder.errors import InputError, MedladderError
from medladder.evidence.reading import with_parts
from medladder.language import LANGUAGES, of_record, speaking, tr
from medladder.record.folder import StudyFolder
from medladder.report import html
from medladder.report.page import GRADES, SEVERITIES
from medladder.report.palette import dark_rules
from medladder.report.wording import UNITS, split_headline
from medladder.rungs import LADDER

from . import views
from .api import explanation_of, hub_of, predictions_of
from .hub import Hub
from .refusals import ForbiddenError, RequestError
from .runs import Runs
from .shelf import Shelved
from .standing import evidence_of, standing_of
from .uploads import receive_files

router = APIRouter(include_in_schema=False)

_LANGUAGE = "lang"
_MOST_FORM = 2**20
USUAL_RUNGS = ("prior", "logistic", "svm", "forest", "boosting", "nn", "dnn")


def language_of(request: Request) -> str:
    """What a page is said in: what was asked for, else what was chosen before, else what the browser prefers."""
    asked = request.query_params.get(_LANGUAGE) or request.cookies.get(_LANGUAGE)
    if asked in LANGUAGES:
        return str(asked)
    preferred = re.findall(r"[a-z]{2}", request.headers.get("accept-language", "").lower())
    return next((code for code in preferred if code in LANGUAGES), "en")


Draw = Callable[[], tuple[str, dict[str, Any]]]


async def _page(request: Request, draw: Draw, status: int = 200) -> Response:
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


# What pages are made of


@router.get("/static/{name}")
async def static(name: str) -> Response:
    """Style sheets and the script."""
    kinds = {"report.css": "text/css", "workbench.css": "text/css", "workbench.js": "text/javascript"}
    if name not in kinds:
        return Response(status_code=404)
    return Response(_static(name), media_type=kinds[name], headers={"Cache-Control": "max-age=3600"})


@cache
def _static(name: str) -> str:
    if name != "report.css":
        return (resources.files("medladder.serve") / "static" / name).read_text("utf-8")
    sheet = (resources.files("medladder.report") / "templates" / "page.css").read_text("utf-8")
    return sheet + html.render("dark.css.j2", {"dark_rules": dark_rules()})


# Studies


@router.get("/")
async def studies(request: Request) -> Response:
    """Everything that is served."""
    hub = hub_of(request)

    def draw() -> tuple[str, dict[str, Any]]:
        found = list(hub.shelf)
        names = {
            "title": tr("Studies"),
            "studies": [_card(one, request) for one in found if one.is_study],
            "models": [views.model_row(one) for one in found if not one.is_study],
        }
        return "studies.html.j2", names

    return await _page(request, draw)


def _card(one: Shelved, request: Request) -> dict[str, Any]:
    try:
        cohort = one.folder.read_cohort()
        found = _study(one, request)
    except InputError as error:
        return {"name": one.name, "problem": error.found}
    evidence = evidence_of(one.folder)
    verdict = with_parts(evidence["verdict"]) if evidence else None
    return {
        **found,
        "problem": None,
        "cohort": cohort.name,
        "images": len(cohort.labels),
        "patients": len(set(cohort.patients.tolist())),
        "patients_known": cohort.patients_known,
        "classes": cohort.classes,
        "headline": split_headline(of_record(verdict["sentences"][0]))[0] if verdict else None,
        "recommended": verdict["recommended"] if verdict else None,
        "auroc": views.score_of(evidence) if evidence else None,
    }


def _study(one: Shelved, request: Request) -> dict[str, Any]:
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


def _named(request: Request, name: str) -> Shelved:
    one = hub_of(request).shelf.named(name)
    if not one.is_study:
        raise ForbiddenError(found=f"{name} is a model.", needed="A study.", do="Try it at /try.")
    return one


@router.get("/study/{name}")
async def study(request: Request, name: str) -> Response:
    """What a study shows, or how far it is."""

    def draw() -> tuple[str, dict[str, Any]]:
        one = _named(request, name)
        evidence = evidence_of(one.folder)
        names: dict[str, Any] = {"title": name, "study": _study(one, request), "verdict": None, "scores": None}
        if evidence is not None:
            verdict = with_parts(evidence["verdict"])
            curves = views.draw_curves(one.folder, None)
            names |= {"verdict": verdict, "grade": GRADES[verdict["grade"]], "unit": UNITS[evidence["unit"]], **curves}
        return "study.html.j2", names

    return await _page(request, draw)


@router.get("/study/{name}/progress")
async def progress(request: Request, name: str) -> Response:
    """How far it is, to be put in the place of what was said before."""

    def draw() -> tuple[str, dict[str, Any]]:
        return "progress.html.j2", {"study": _study(_named(request, name), request)}

    return await _page(request, draw)


@router.get("/study/{name}/report")
async def report(request: Request, name: str) -> Response:
    """The study's own page; its script is let in by its hash."""

    def drawn() -> str:
        return views.draw_report(_named(request, name).folder, language_of(request))

    text = await run_in_threadpool(drawn)
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    hashes = " ".join(f"'sha256-{b64encode(hashlib.sha256(one.encode()).digest()).decode()}'" for one in scripts)
    policy = (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    )
    return HTMLResponse(text, headers={"Content-Security-Policy": policy})


@router.get("/study/{name}/evidence")
async def evidence(request: Request, name: str) -> Response:
    """Ask a study again: rungs, a score to reach, a threshold."""

    def draw() -> tuple[str, dict[str, Any]]:
        one = _named(request, name)
        names = {"title": name, "study": _study(one, request)}
        return "evidence.html.j2", {**names, **views.ask_evidence(one, request.query_params)}

    return await _page(request, draw)


@router.get("/study/{name}/layers")
async def layers(request: Request, name: str) -> Response:
    """Walk through the layers of a network, unit by unit."""

    def draw() -> tuple[str, dict[str, Any]]:
        one = _named(request, name)
        names = {"title": name, "study": _study(one, request)}
        return "layers.html.j2", {**names, **views.walk_layers(one.folder, request.url.path, request.query_params)}

    return await _page(request, draw)


# Try it


@router.get("/try")
async def try_any(request: Request) -> Response:
    """The default model."""
    hub = hub_of(request)
    chosen = await run_in_threadpool(lambda: hub.opened(hub.shelf.default()))
    return RedirectResponse(f"/try/{quote(chosen.name)}", 303)


def _trying(request: Request, one: Shelved) -> dict[str, Any]:
    return {
        "title": tr("Try {name}", name=one.name),
        "name": one.name,
        "names": [other.name for other in hub_of(request).shelf],
        "study": _study(one, request) if one.is_study else None,
        "found": None,
        "unexplained": None,
    }


@router.get("/try/{name}")
async def try_it(request: Request, name: str) -> Response:
    """A place to drop an image."""
    return await _page(request, lambda: ("try.html.j2", _trying(request, hub_of(request).shelf.named(name))))


@router.post("/try/{name}")
async def try_one(request: Request, name: str) -> Response:
    """What is said of one image, where it looked, and what is alike."""
    hub = hub_of(request)
    found: dict[str, Any] | None = None
    unexplained: str | None = None
    problem: InputError | None = None
    chosen = hub.shelf.named(name)
    try:
        with hub.room.request(), hub.room.explanation():
            sent = await receive_files(request, hub.room)
            await run_in_threadpool(hub.opened(chosen).answering)
            if has_layers(chosen):
                found = await explanation_of(hub, chosen, sent)
            else:
                found, unexplained = await _predicted(hub, chosen, sent), "no layers"
    except InputError as error:
        problem = error
    answered = found

    def draw() -> tuple[str, dict[str, Any]]:
        names = {**_trying(request, chosen), "found": answered, "error": problem, "note": chosen.note}
        if unexplained is not None:
            names["unexplained"] = tr("This rung has no layers to look into: where it looked is not known.")
        if answered is not None:
            names["said"] = views.say_decision(chosen)
        return "try.html.j2", names

    return await _page(request, draw, 200 if problem is None else problem.http_status)


def has_layers(one: Shelved) -> bool:
    """Whether what answers can be looked into; to be asked in no hurry."""
    if one.is_study:
        return True  # it answers with a network that it kept
    kinds = {known.name for known in LADDER if known.network is not None}
    return one.model.record.rung["kind"] in kinds


async def _predicted(hub: Hub, chosen: Shelved, sent: Sequence[Any]) -> dict[str, Any]:
    predictions = await predictions_of(hub, chosen, sent)
    if not predictions.predictions:
        file, reason = next(iter(predictions.unreadable.items()))
        raise InputError(found=f"{file}: {reason}.", needed="An image.", do="Open it in a viewer; export it again.")
    return {**predictions.to_json()["predictions"][0], "maps": [], "nearest": None}


# Budget


@router.get("/budget")
async def budget(request: Request) -> Response:
    """What networks cost before they are trained."""
    return await _page(request, lambda: ("budget.html.j2", views.count_budget(request.query_params)))


# Audit


@router.get("/study/{name}/audit")
async def audit(request: Request, name: str) -> Response:
    """Copies side by side."""
    return await _page(request, lambda: ("audit.html.j2", _auditing(request, _named(request, name))))


@router.get("/study/{name}/audit/ready")
async def audit_ready(request: Request, name: str) -> Response:
    """Whether the search for near copies is over."""
    is_over = _named(request, name).audit.is_over()
    return Response("<p data-reload></p>" if is_over else f'<p class="state" data-refresh="{request.url.path}">…</p>')


@router.post("/study/{name}/audit")
async def mend(request: Request, name: str) -> Response:
    """Write a new manifest by what was judged."""
    given = await _form(request)

    def draw() -> tuple[str, dict[str, Any]]:
        one, runs = _named(request, name), request.app.state.runs
        names = _auditing(request, one)
        try:
            written = views.mend(one, runs, given)
        except InputError as error:
            return "audit.html.j2", {**names, "error": error}
        return "audit.html.j2", {**names, "written": written}

    return await _page(request, draw)


def _auditing(request: Request, one: Shelved) -> dict[str, Any]:
    names: dict[str, Any] = {
        "title": one.name,
        "study": _study(one, request),
        "severities": SEVERITIES,
        "written": None,
    }
    return {**names, **views.show_audit(one, request.app.state.runs, request.query_params, request.url.path)}


# Start a study


def _runs(request: Request) -> Runs:
    runs: Runs | None = request.app.state.runs
    if runs is None:
        raise ForbiddenError(
            found="Studies cannot be started from this server.",
            needed="A folder with images and one for the studies.",
            do="Start it with --root FOLDER and --runs FOLDER.",
        )
    return runs


@router.get("/new")
async def new(request: Request) -> Response:
    """Choose images below the root, and start."""
    return await _page(request, lambda: ("new.html.j2", _beginning(request, request.query_params.get("path", ""))))


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
        "usual": USUAL_RUNGS,
        "repeats": 10,
        "sizes": "",
        "beginnings": runs.beginnings(),
    }


@router.post("/new")
async def begin(request: Request) -> Response:
    """Start it, and show how far it is."""
    given = await _form(request)
    fields = dict(given)
    rungs = [value for key, value in given if key == "rungs"]

    def start() -> InputError | None:
        try:
            views.start(_runs(request), fields, rungs, language_of(request))
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

    return await _page(request, draw, problem.http_status)


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
    return await _page(request, lambda: ("new.html.j2", _beginning(request, "")))


@router.post("/new/{name}/forget")
async def forget(request: Request, name: str) -> Response:
    """Take away what is left of one that never began."""
    await run_in_threadpool(_runs(request).forget, name)
    return RedirectResponse("/new", 303)


@router.post("/study/{name}/stop")
async def stop(request: Request, name: str) -> Response:
    """Stop it as Ctrl-C does."""
    one, runs = _named(request, name), _runs(request)
    _require_ours(one, runs)
    await run_in_threadpool(runs.stop, one.path.name)
    return RedirectResponse(f"/study/{quote(name)}", 303)


@router.post("/study/{name}/go-on")
async def go_on(request: Request, name: str) -> Response:
    """Go on with it where it stopped."""
    one, runs = _named(request, name), _runs(request)
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


async def _form(request: Request) -> list[tuple[str, str]]:
    """The fields of a form, which must be short."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_FORM:
            raise RequestError(found="A form of more than 1 MiB.", needed="A shorter one.", do="Fill it in again.")
    return list(_pairs(body))


def _pairs(body: bytes) -> Iterator[tuple[str, str]]:
    yield from parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=5000)
