"""Long work shows how far it is and how long it has left, on stderr; stdout belongs to results."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Protocol, runtime_checkable


class Advance(Protocol):
    """Told of each amount that is done and, where it is known better than by the clock, of the seconds left."""

    def __call__(self, amount: float, seconds_left: float | None = None, /) -> None:
        """Count this amount."""
        ...


@runtime_checkable
class Progress(Protocol):
    """Anything that can follow a piece of long work."""

    def follow(self, what: str, total: float) -> AbstractContextManager[Advance]:
        """Follow one piece of work; the function handed out is told of each amount that is done."""
        ...

    def say(self, line: str) -> None:
        """Tell the person one thing."""
        ...


class Quiet:
    """Says nothing."""

    @contextmanager
    def follow(self, what: str, total: float) -> Iterator[Advance]:  # noqa: ARG002
        """Follow without a word."""
        yield _ignore

    def say(self, line: str) -> None:
        """Say nothing."""


def _ignore(amount: float, seconds_left: float | None = None) -> None:  # noqa: ARG001
    return


def minutes(seconds: float) -> str:
    """A duration as a person says it.

    Example
    -------
    >>> minutes(42), minutes(300), minutes(9000)
    ('40 seconds', '5 minutes', '2.5 hours')
    """
    if seconds < 90:
        return f"{max(10, round(seconds, -1)):.0f} seconds"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"


class Terminal:
    """A bar where a person watches; elsewhere (a log, a queue) a line now and then."""

    seconds_between_lines = 30.0

    @contextmanager
    def follow(self, what: str, total: float) -> Iterator[Advance]:
        """Follow one piece of work on stderr, time left learned from what is done."""
        if sys.stderr.isatty():
            with self._bar(what, total) as advance:
                yield advance
        else:
            yield self._lines(what, total)

    def say(self, line: str) -> None:
        """Tell the person one thing, on stderr; a terminal that was closed hears nothing."""
        with suppress(OSError):
            print(line, file=sys.stderr, flush=True)

    @contextmanager
    def _bar(self, what: str, total: float) -> Iterator[Advance]:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (
            TextColumn("{task.description:<22}"),
            BarColumn(complete_style="yellow", finished_style="blue"),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
        )
        left, bar = _Left(total), Progress(*columns, console=Console(stderr=True))
        task = bar.add_task(what, total=total, left="")

        def advance(amount: float, seconds_left: float | None = None, /) -> None:
            seconds = left.after(amount, seconds_left)
            bar.update(task, advance=amount, left="" if seconds is None else f"about {minutes(seconds)} left")

        bar.start()
        try:
            yield advance
        finally:
            with suppress(OSError):  # a terminal that was closed
                bar.stop()

    def _lines(self, what: str, total: float) -> Advance:
        last, left = time.monotonic(), _Left(total)

        def advance(amount: float, seconds_left: float | None = None, /) -> None:
            nonlocal last
            seconds, now = left.after(amount, seconds_left), time.monotonic()
            if now - last >= self.seconds_between_lines and seconds is not None:
                last = now
                self.say(f"{what}: {100 * left.share:.0f} %, about {minutes(seconds)} left")

        return advance


class _Left:
    """The time left: as told, else by what the clock says of what is done."""

    def __init__(self, total: float) -> None:
        self._total, self._done, self._began = total, 0.0, time.monotonic()

    @property
    def share(self) -> float:
        return self._done / self._total if self._total else 1.0

    def after(self, amount: float, told: float | None) -> float | None:
        self._done += amount
        if told is not None or not 0 < self._done < self._total:
            return told
        return (time.monotonic() - self._began) * (self._total - self._done) / self._done


QUIET = Quiet()
