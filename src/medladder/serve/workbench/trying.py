"""Drop an image: what is said of it, where a network looked, what is alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from medladder.errors import InputError
from medladder.language import tr
from medladder.rungs import LADDER

from ..api import explanation_of, hub_of, predictions_of
from ..hub import Hub
from ..shelf import Shelved
from ..uploads import receive_files
from .frame import describe_study, draw_page

router = APIRouter(include_in_schema=False)


@router.get("/try")
async def try_any(request: Request) -> Response:
    """The default model."""
    hub = hub_of(request)
    chosen = await run_in_threadpool(lambda: hub.opened(hub.shelf.default()))
    return RedirectResponse(f"/try/{quote(chosen.name)}", 303)


@router.get("/try/{name}")
async def try_it(request: Request, name: str) -> Response:
    """A place to drop an image."""
    return await draw_page(request, lambda: ("try.html.j2", _trying(request, hub_of(request).shelf.named(name))))


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
            names["said"] = say_decision(chosen)
        return "try.html.j2", names

    return await draw_page(request, draw, 200 if problem is None else problem.http_status)


def _trying(request: Request, one: Shelved) -> dict[str, Any]:
    return {
        "title": tr("Try {name}", name=one.name),
        "name": one.name,
        "names": [other.name for other in hub_of(request).shelf],
        "study": describe_study(one, request) if one.is_study else None,
        "found": None,
        "unexplained": None,
    }


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


def say_decision(one: Shelved) -> str:
    """From which probability on it decides so, and whether the probabilities were calibrated."""
    asked = one.answering()
    sentences = []
    if len(asked.classes) == 2:
        threshold = asked.weights[1] / sum(asked.weights)
        sentences.append(
            tr(
                "It decides for {class_} from a probability of {threshold} on.",
                class_=asked.classes[1],
                threshold=f"{threshold:.2f}",
            )
        )
    if one.is_study:
        sentences.append(
            tr(
                "This is the network that the study kept of its first repeat, {rung}, and not calibrated: to use one, "
                "make a model of it.",
                rung=one.network.name,
            )
        )
    return " ".join(sentences)
