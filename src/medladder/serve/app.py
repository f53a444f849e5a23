"""The application: routes, how errors are answered, and the door around it all."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from medladder import __version__
from medladder.errors import InputError, MedladderError

from .api import router
from .guard import Guard, Policy
from .hub import Hub
from .refusals import MethodNotAllowedError, NotFoundError, RequestError, answer_error
from .runs import Runs
from .workbench import router as pages
from .workbench.frame import error_page, wants_page


def make_app(hub: Hub, policy: Policy, runs: Runs | None = None) -> ASGIApp:
    """The service and the workbench around a hub; with `runs` studies can be started."""
    app = FastAPI(
        title="medladder",
        version=__version__,
        description="Models and studies of medladder. Nothing that is sent is kept or logged.",
        docs_url=None,  # both pages load scripts from elsewhere
        redoc_url=None,
    )
    app.state.hub = hub
    app.state.runs = runs
    app.include_router(router)
    app.include_router(pages)
    app.add_exception_handler(MedladderError, _medladder)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    return Guard(app, policy, hub.metrics)


async def _medladder(request: Request, error: Exception) -> Response:
    assert isinstance(error, MedladderError)
    return await error_page(request, error) if wants_page(request) else answer_error(error)


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    fields = ", ".join(sorted({".".join(map(str, one["loc"][1:])) for one in error.errors()}))
    return answer_error(
        InputError(found=f"{fields or 'The request'} cannot be read.", needed="As /openapi.json says.", do="Mend it.")
    )


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = (
        NotFoundError
        if error.status_code == 404
        else MethodNotAllowedError
        if error.status_code == 405
        else RequestError
    )
    made = kind(
        found="No such page." if kind is NotFoundError else str(error.detail) + ".",
        needed="An address of this server.",
        do="Look at /openapi.json, or begin at /.",
        headers=dict(error.headers or {}),
    )
    made.http_status = error.status_code
    return await _medladder(request, made)
