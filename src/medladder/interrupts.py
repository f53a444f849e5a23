"""Being told to stop: Ctrl-C once lets what is under way finish, twice or another signal stops at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_AT_ONCE = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


class StoppedError(KeyboardInterrupt):
    """The system, or whoever closed the terminal, told us to stop; `number` is that of the signal."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@contextmanager
def ending_in_order() -> Iterator[None]:
    """Make SIGTERM and SIGHUP a StoppedError, so that locks are given back and workers ended; not what is ignored."""
    with _handling(dict.fromkeys(_AT_ONCE, _stop)):
        yield


@contextmanager
def patient(say: Callable[[str], None], line: Callable[[], str]) -> Iterator[Callable[[], bool]]:
    """What is handed out says whether Ctrl-C was pressed; the second raises KeyboardInterrupt. `say` is told `line`."""
    asked = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        say(line())

    with _handling({signal.SIGINT: handle}):
        yield asked.is_set


def _stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    raise StoppedError(number)


@contextmanager
def _handling(handlers: dict[Any, Callable[[int, FrameType | None], None]]) -> Iterator[None]:
    """Set handlers while this holds: in the main thread alone can that be done, and what is ignored stays ignored."""
    before: dict[Any, Any] = {}
    if threading.current_thread() is threading.main_thread():
        before = {one: signal.getsignal(one) for one in handlers}
        before = {one: handler for one, handler in before.items() if handler is not signal.SIG_IGN}
        for one in before:
            signal.signal(one, handlers[one])
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
