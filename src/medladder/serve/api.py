"""The REST service: predict, explain, models and their cards, health and metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response

from medladder import __version__
from medladder.errors import InputError
from medladder.images.names import READABLE
from medladder.models.files import Prediction, Predictions, Wanted, sort_out

from .hub import Hub
from .refusals import BadRequestError, NotFoundError, UnreadyError, error_json
from .schemas import (
    Explaining,
    Health,
    Listed,
    Predicting,
    PredictingProblem,
    Readiness,
    Served,
    body_of_files,
    problems,
)
from .shelf import Shelved
from .uploads import Sent, receive_files

router = APIRouter()

_NAME = Query(default=None, description="Which of those at GET /models; by default the first model.")


def hub_of(request: Request) -> Hub:
    """What all routes share."""
    hub: Hub = request.app.state.hub
    return hub


@router.get("/health", response_model=Health, tags=["operating"])
async def health() -> JSONResponse:
    """Whether the process is alive."""
    return JSONResponse({"status": "ok", "version": __version__})


@router.get(
    "/ready",
    response_model=Readiness,
    responses={503: {"model": Readiness, "description": "Not yet."}},
    tags=["operating"],
)
async def ready(request: Request) -> JSONResponse:
    """Whether everything that was named is open."""
    hub = hub_of(request)
    opened = {one.name: one.is_open() or one.name in hub.closed for one in hub.shelf.given}
    is_ready = hub.is_ready.is_set()
    found = {
        "ready": is_ready,
        "opened": [name for name, is_open in opened.items() if is_open],
        "opening": [name for name, is_open in opened.items() if not is_open],
    }
    return JSONResponse(found, 200 if is_ready else 503)


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}, **problems(401, 403)},
    tags=["operating"],
)
async def metrics(request: Request) -> Response:
    """Counts and times in Prometheus' text format."""
    return Response(hub_of(request).metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/models", response_model=Listed, responses=problems(401, 403, 503), tags=["models"])
async def models(request: Request) -> JSONResponse:
    """Everything that is served, and which of it answers where none is named."""
    hub = hub_of(request)
    hub.require_ready()
    return JSONResponse(await asyncio.to_thread(_listed, hub))


def _listed(hub: Hub) -> dict[str, Any]:
    found = []
    for one in hub.shelf:
        try:
            found.append(one.facts())
        except InputError as error:
            kind = "study" if one.is_study else "model"
            found.append({"name": one.name, "kind": kind, "problem": error_json(error)["error"]})
    try:
        default = hub.shelf.default().name
    except NotFoundError:
        default = None
    return {"default": default, "models": found}


@router.get("/models/{name}", response_model=Served, responses=problems(401, 403, 404, 422, 503), tags=["models"])
async def model(request: Request, name: str) -> JSONResponse:
    """One of them."""
    hub = hub_of(request)
    return JSONResponse(await asyncio.to_thread(hub.opened(hub.shelf.named(name)).facts))


@router.get(
    "/models/{name}/card",
    response_class=Response,
    responses={200: {"content": {"text/markdown": {}}}, **problems(401, 403, 404, 422, 503)},
    tags=["models"],
)
async def card(request: Request, name: str) -> Response:
    """Its model card, as Markdown."""
    hub = hub_of(request)
    text = await asyncio.to_thread(hub.opened(hub.shelf.named(name)).card)
    return Response(text, media_type="text/markdown; charset=utf-8")


@router.post(
    "/predict",
    response_model=Predicting,
    responses=problems(400, 401, 403, 404, 408, 413, 422, 429, 503, model=PredictingProblem),
    openapi_extra=body_of_files(),
    tags=["asking"],
)
async def predict(request: Request, model: str | None = _NAME) -> JSONResponse:
    """Predict one or many images. Files of one series make a volume, where the model was trained on volumes."""
    hub = hub_of(request)
    with hub.room.request():
        chosen = await _chosen(hub, model)
        sent = await receive_files(request, hub.room)
        found = await predictions_of(hub, chosen, sent)
    said = {"model": _asked(chosen), **found.to_json()}
    if found.predictions:
        return JSONResponse(said)
    file, reason = next(iter(found.unreadable.items()))
    error = InputError(
        found=f"None of the {len(found.unreadable)} files can be read; {file}: {reason}.",
        needed=READABLE,
        do="Open one in a viewer; export them again if it fails there too.",
    )
    return JSONResponse({**error_json(error), **said}, error.http_status)


async def predictions_of(hub: Hub, chosen: Shelved, sent: Sequence[Sent]) -> Predictions:
    """What the model says of files that were sent, under their own names; raises UnreadyError after too long."""
    asked = chosen.answering() if chosen.is_open() else await asyncio.to_thread(chosen.answering)
    names = _told_apart([one.name for one in sent])
    with hub.shelter.hold(sent) as paths:
        named = [Wanted(name, (path,)) for name, path in zip(names, paths, strict=True)]
        try:
            if asked.preparation.stacks is None:
                wanted, unreadable = named, dict[str, str]()
            else:
                wanted, unreadable = await asyncio.to_thread(sort_out, named, asked.preparation)
            outcomes = await hub.predictor.predict(wanted, asked)
        except TimeoutError as error:
            raise UnreadyError(
                found=f"No answer within {hub.room.limits.seconds_to_answer:g} s.",
                needed="Fewer or smaller images.",
                do="Send fewer at once, or come back when the server is less busy.",
                headers={"Retry-After": "10"},
            ) from error
    # A reason may name the file as it lies here; the sender knows it by another name.
    own = {str(path): name for path, name in zip(paths, names, strict=True)}
    reasons = {
        one.file: _in_their_words(outcome, own)
        for one, outcome in zip(wanted, outcomes, strict=True)
        if isinstance(outcome, str)
    }
    answered = tuple(one for one in outcomes if isinstance(one, Prediction))
    hub.metrics.images.labels("predicted").inc(len(answered))
    hub.metrics.images.labels("unreadable").inc(len(unreadable) + len(reasons))
    refused = {file: _in_their_words(reason, own) for file, reason in unreadable.items()}
    return Predictions(asked.classes, answered, refused | reasons)


def _in_their_words(reason: str, own: dict[str, str]) -> str:
    for path, name in own.items():
        reason = reason.replace(path, name)
    return str(reason)


def _told_apart(names: Sequence[str]) -> list[str]:
    """Names by which answers can be told apart: a second one of the same name gets a number."""
    seen: dict[str, int] = {}
    told = []
    for given in names:
        name = given or "file"
        seen[name] = seen.get(name, 0) + 1
        told.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return told


@router.post(
    "/explain",
    response_model=Explaining,
    responses=problems(400, 401, 403, 404, 408, 413, 422, 429, 503),
    openapi_extra=body_of_files(one=True),
    tags=["asking"],
)
async def explain(request: Request, model: str | None = _NAME) -> JSONResponse:
    """Explain what a network says of one image: where it looked, whether that may be believed, and what is alike."""
    hub = hub_of(request)
    with hub.room.request(), hub.room.explanation():
        chosen = await _chosen(hub, model)
        sent = await receive_files(request, hub.room)
        found = await explanation_of(hub, chosen, sent)
    return JSONResponse({"model": _asked(chosen), **found})


async def explanation_of(hub: Hub, chosen: Shelved, sent: Sequence[Sent]) -> dict[str, Any]:
    """One image explained, its pictures as data URIs; raises BadRequestError for several files."""
    if len(sent) != 1:
        raise BadRequestError(found=f"{len(sent)} files.", needed="One to explain.", do="Send them one by one.")
    with hub.shelter.hold(sent) as [path]:
        name = sent[0].name or "file"
        work = asyncio.get_running_loop().run_in_executor(hub.explainer, _explain, chosen, path, name)
        # It cannot be stopped: the file is held, and the place taken, until it is done.
        return await work


def _explain(chosen: Shelved, path: Path, name: str) -> dict[str, Any]:
    from medladder.models.looking import explain_file
    from medladder.report.explanation import draw

    try:
        likeness = chosen.answering().likeness
        found = explain_file(chosen.network, path, name=name, known=lambda: chosen.known, likeness=likeness)
    except InputError as error:
        own = {str(path): name}
        what, needed, do = (_in_their_words(part, own) for part in (error.found, error.needed, error.do))
        raise InputError(found=what, needed=needed, do=do) from None
    drawn, said = draw(found.to_page()), found.to_json()
    pictures = zip(said.pop("attributions"), drawn.maps, strict=True)
    near = said["nearest"] and zip(said["nearest"], drawn.near, strict=True)
    return {
        **said,
        "picture": drawn.picture,
        "maps": [{**one, "picture": picture} for one, picture in pictures],
        "nearest": near and [{**one, "picture": picture} for one, picture in near],
    }


async def _chosen(hub: Hub, name: str | None) -> Shelved:
    if name is not None:
        return hub.opened(hub.shelf.named(name))
    if hub.is_ready.is_set():
        return hub.shelf.default()  # all are open, or cannot be
    return hub.opened(await asyncio.to_thread(hub.shelf.default))


def _asked(chosen: Shelved) -> dict[str, Any]:
    return {"name": chosen.name, "identity": chosen.identity}
