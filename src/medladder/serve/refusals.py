"""What the service refuses by itself, each with its HTTP status, said as every error of medladder is."""

from __future__ import annotations

import math
from typing import Any

from starlette.responses import JSONResponse

from medladder.errors import InputError, MedladderError


class RequestError(InputError):
    """A request that the service does not take on; `headers` go with the answer."""

    def __init__(self, *, found: str, needed: str, do: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(found=found, needed=needed, do=do)
        self.headers = headers or {}


class UnauthorisedError(RequestError):
    """No token, or another one."""

    http_status = 401


class ForbiddenError(RequestError):
    """Asked from another site, or under a name that this server does not go by."""

    http_status = 403


class NotFoundError(RequestError):
    """Nothing of this name."""

    http_status = 404


class MethodNotAllowedError(RequestError):
    """A route that is there, asked in another way."""

    http_status = 405


class TooSlowError(RequestError):
    """The upload did not arrive in time."""

    http_status = 408


class TooLargeError(RequestError):
    """More bytes or files than one request may bring."""

    http_status = 413


class BadRequestError(RequestError):
    """A body that cannot be taken apart."""

    http_status = 400


class BusyError(RequestError):
    """No room now; `seconds` from now there may be."""

    http_status = 429

    def __init__(self, what: str, seconds: float) -> None:
        wait = max(1, math.ceil(seconds))
        super().__init__(
            found=f"The server is busy: {what}.",
            needed="Room for one more request.",
            do=f"Ask again in {wait} s.",
            headers={"Retry-After": str(wait), "Connection": "close"},
        )


class UnreadyError(RequestError):
    """Models are still being opened, or the answer took too long."""

    http_status = 503


def error_json(error: MedladderError) -> dict[str, Any]:
    """As the command line prints an error with `--json`."""
    if isinstance(error, InputError):
        parts = {"found": error.found, "needed": error.needed, "do": error.do}
    else:
        parts = {"found": str(error)}
    return {"error": {"kind": type(error).__name__, **parts}}


def answer_error(error: MedladderError) -> JSONResponse:
    """The error as a response."""
    return JSONResponse(error_json(error), error.http_status, getattr(error, "headers", None))
