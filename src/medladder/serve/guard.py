"""The door: who may ask, from where and under which name; what every answer carries; and what the log is told.

Nothing of a request but its route, status and time is logged: no name of a file, no query, no body, and of a fault its
kind and the lines of code it came through. Sources: OWASP's cheat sheets on cross-site request forgery (Fetch Metadata)
and on HTTP headers; DNS rebinding is what the check of the host's name is for.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import time
import traceback
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .metrics import Metrics
from .refusals import ForbiddenError, RequestError, UnauthorisedError, answer_error
from .workbench.frame import language_of, token_page

LOG = logging.getLogger("medladder.serve")

OPEN = ("/health", "/ready")
"""Answered without a token: they say nothing of models or patients."""

ENTER, STATIC = "/enter", "/static/"

COOKIE = "medladder"

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    # Drawings set styles of their own; scripts come from this server's files only.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Policy:
    """Who may ask: names that the server goes by (None: any), and the token, if there is one."""

    hosts: frozenset[str] | None
    token: str | None = None


class Guard:
    """Wraps the application; the outermost of all."""

    def __init__(self, app: ASGIApp, policy: Policy, metrics: Metrics) -> None:
        self._app, self._policy, self._metrics = app, policy, metrics
        # The cookie is worth nothing after a restart, and does not hold the token.
        key = secrets.token_bytes(32)
        self._session = hmac.new(key, (policy.token or "").encode(), hashlib.sha256).hexdigest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # there are no websockets here
            await send({"type": "websocket.close", "code": 1008})
            return
        began, answered = time.perf_counter(), _Answered(send)
        try:
            refusal = self._refusal(scope)
            if refusal is not None:
                await _refused(scope, refusal)(scope, receive, answered.send)
            elif scope["path"] == ENTER and self._policy.token is not None:
                await (await self._enter(scope, receive))(scope, receive, answered.send)
            else:
                await self._app(scope, receive, answered.send)
        except Exception as error:
            LOG.error("fault: %s", _told(error))
            if not answered.status:
                await _fault()(scope, receive, answered.send)
        finally:
            self._record(scope, answered.status, time.perf_counter() - began)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", None) or "other"
        self._metrics.requests.labels(route, str(status)).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST") else "other"
        LOG.info("%s %s %d %.0f ms", method, route, status, 1000 * seconds)

    def _refusal(self, scope: Scope) -> RequestError | None:
        headers = Headers(scope=scope)
        if self._policy.hosts is not None and _name_of(headers.get("host", "")) not in self._policy.hosts:
            return ForbiddenError(
                found="The request names another host.",
                needed=f"One of {', '.join(sorted(self._policy.hosts))}.",
                do="Use the address that 'medladder serve' printed, or start it with --allow-host NAME.",
            )
        if _is_cross_site(scope["method"], headers):
            return ForbiddenError(
                found="The request comes from a page of another site.",
                needed="One from this server's own pages, or from a program.",
                do="Open this server's own address.",
            )
        if (
            scope["path"] in (*OPEN, ENTER)
            or scope["path"].startswith(STATIC)
            or self._policy.token is None
            or self._is_known(headers)
        ):
            return None
        return UnauthorisedError(
            found="No token, or not the one of this server.",
            needed="The token that 'medladder serve' was started with.",
            do="Send 'Authorization: Bearer TOKEN'; in a browser open the address with the token that it printed.",
            headers={"WWW-Authenticate": 'Bearer realm="medladder"'},
        )

    def _is_known(self, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._is_token(given.strip()):
            return True
        try:
            cookies = SimpleCookie(headers.get("cookie", ""))
        except CookieError:
            return False
        return COOKIE in cookies and hmac.compare_digest(cookies[COOKIE].value.encode(), self._session.encode())

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), (self._policy.token or "").encode())

    async def _enter(self, scope: Scope, receive: Receive) -> Response:
        """Give the browser its cookie for the token, from the address that was printed or from the form."""
        query = scope["query_string"] if scope["method"] in ("GET", "HEAD") else await _short_body(receive)
        given = parse_qs(query.decode("ascii", "replace")).get("token", [""])[0]
        if not self._is_token(given):
            return RedirectResponse("/", 303)
        response = RedirectResponse("/", 303)
        response.set_cookie(COOKIE, self._session, httponly=True, samesite="strict", secure=scope["scheme"] == "https")
        return response


class _Answered:
    """Sends, with the headers that every answer carries, and remembers the status."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            given = {name.lower() for name, _ in message["headers"]}
            more = [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]
            message["headers"] = [*message["headers"], *(pair for pair in more if pair[0] not in given)]
        await self._send(message)


def _name_of(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _is_cross_site(method: str, headers: Headers) -> bool:
    """Whether a browser says that another site asks; a person who follows a link to a page is no harm."""
    origin, host = headers.get("origin"), headers.get("host", "")
    if origin is not None and _authority(origin) != host.lower():
        return True
    site = headers.get("sec-fetch-site", "none")
    is_visit = method in ("GET", "HEAD") and headers.get("sec-fetch-mode") == "navigate"
    return site not in ("none", "same-origin") and not (is_visit and headers.get("sec-fetch-dest") == "document")


def _authority(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


async def _short_body(receive: Receive) -> bytes:
    body = b""
    while True:
        message: Any = await receive()
        body += message.get("body", b"")
        if len(body) > 4096 or not message.get("more_body"):
            return body[:4096]


def _refused(scope: Scope, refusal: RequestError) -> Response:
    if isinstance(refusal, UnauthorisedError) and "text/html" in Headers(scope=scope).get("accept", ""):
        return HTMLResponse(token_page(language_of(Request(scope))), refusal.http_status, refusal.headers)
    return answer_error(refusal)


def _fault() -> JSONResponse:
    return JSONResponse({"error": {"kind": "Fault", "found": "A fault of medladder; its log says where."}}, 500)


def _told(error: BaseException) -> str:
    """A fault without its message, which may hold what was sent."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} at " + " < ".join(f"{one.name}:{one.lineno}" for one in reversed(frames[-8:]))
