"""Listening: from options to a server that is up, until it is told to stop."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import secrets
import signal
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from medladder.errors import OptionError

from .app import make_app
from .guard import LOG, Policy
from .hub import Hub
from .limits import Limits
from .runs import Runs
from .shelf import Shelf

SHORTEST_TOKEN = 16
"""Characters: a shorter one can be guessed."""


@dataclass(frozen=True)
class Place:
    """Where to listen, and who may ask."""

    host: str
    port: int
    token: str | None = None
    hosts: tuple[str, ...] = ()
    """More names that the server goes by, as behind a proxy."""
    certificate: Path | None = None
    key: Path | None = None

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can ask."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def policy(self) -> Policy:
        """Who may ask; on loopback only under its own names, for a page elsewhere may call itself as it likes."""
        if not self.is_loopback and not self.hosts:
            return Policy(None, self.token)
        return Policy(
            frozenset({"localhost", "127.0.0.1", "::1", self.host.lower(), *map(str.lower, self.hosts)}), self.token
        )


def choose_token(given: str | None, *, is_loopback: bool) -> str | None:
    """The token that was given; a new one where others than this machine can ask.

    Raises
    ------
    OptionError
        It is too short, or holds what no header can.
    """
    if given is None:
        return None if is_loopback else secrets.token_urlsafe(32)
    if len(given) < SHORTEST_TOKEN or not given.isascii() or not given.isprintable() or " " in given:
        raise OptionError(
            found=f"A token of {len(given)} characters.",
            needed=f"At least {SHORTEST_TOKEN} letters, digits and signs, without blanks.",
            do="Make one: python -c 'import secrets; print(secrets.token_urlsafe(32))'.",
        )
    return given


def serve(shelf: Shelf, place: Place, limits: Limits, started: Callable[[str], None], root: Path | None = None) -> None:
    """Answer until a signal comes; then finish what was taken. `started` is told the address. Below `root`
    lie images that studies may be started on, in the shelf's folder of runs.

    Raises
    ------
    OptionError
        It cannot listen there, or the certificate cannot be read.
    """
    listening = _listen(place)
    hub = Hub.start(shelf, limits)
    try:
        config = uvicorn.Config(
            make_app(hub, place.policy(), _runs(shelf, root)),
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="off",
            timeout_keep_alive=10,
            timeout_graceful_shutdown=limits.seconds_to_stop,
            h11_max_incomplete_event_size=2**16,
            ssl_certfile=place.certificate,
            ssl_keyfile=place.key,
        )
        try:
            config.load()
        except OSError as error:
            raise OptionError(
                found=f"The certificate or its key cannot be read ({error.strerror or error}).",
                needed="Two PEM files.",
                do="Check --tls-cert and --tls-key.",
            ) from error
        _follow_log()
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(_answer(uvicorn.Server(config), listening, lambda: started(_address(place, listening))))
    finally:
        hub.close()
        listening.close()


def _runs(shelf: Shelf, root: Path | None) -> Runs | None:
    return None if root is None or shelf.runs is None else Runs(root, shelf.runs)


async def _answer(server: uvicorn.Server, listening: socket.socket, started: Callable[[], None]) -> None:
    with _own_signals():
        running = asyncio.create_task(server.serve([listening]))
        while not server.started and not running.done():
            await asyncio.sleep(0.01)
        if server.started:
            started()
        await running


class _own_signals:  # noqa: N801 - it reads as contextlib's own
    """Once it has stopped, the server raises the signal that it was stopped by again: that is not to end us."""

    def __enter__(self) -> None:
        self._before = {one: signal.signal(one, lambda *_: None) for one in (signal.SIGINT, signal.SIGTERM)}

    def __exit__(self, *_: Any) -> None:
        for one, handler in self._before.items():
            signal.signal(one, handler)


def _listen(place: Place) -> socket.socket:
    try:
        found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = found[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(512)
        except OSError:
            listening.close()
            raise
    except (OSError, OverflowError) as error:
        raise OptionError(
            found=f"It cannot listen at {place.host}:{place.port} ({getattr(error, 'strerror', None) or error}).",
            needed="An address of this machine and a free port.",
            do="Give another --port; 0 takes any that is free.",
        ) from error
    return listening


def _address(place: Place, listening: socket.socket) -> str:
    scheme = "https" if place.certificate is not None else "http"
    host = f"[{place.host}]" if ":" in place.host else place.host
    return f"{scheme}://{host}:{listening.getsockname()[1]}"


def _follow_log() -> None:
    """Our lines on stderr with the time; of the libraries only what is a warning."""
    if not LOG.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
    LOG.propagate = False
    for name in ("uvicorn", "uvicorn.error", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def open_shelf(paths: Sequence[Path], runs: Path | None) -> Shelf:
    """What is to be served; raises InputError, and OptionError where nothing was named."""
    if not paths and runs is None:
        raise OptionError(
            found="Nothing to serve.",
            needed="A model, a study, a folder that holds some, or --runs FOLDER.",
            do="Name one: medladder serve MODEL.",
        )
    return Shelf.of(paths, runs)
