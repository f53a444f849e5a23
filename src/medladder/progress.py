"""Long work shows how far it is and how long it has left, on stderr; stdout belongs to results."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, runtime_checkable

Advance = Callable[[float], None]


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


def _ignore(amount: float) -> None:  # noqa: ARG001
    return


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
        """Tell the person one thing, on stderr."""
        print(line, file=sys.stderr, flush=True)

    @contextmanager
    def _bar(self, what: str, total: float) -> Iterator[Advance]:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description:<22}"),
            BarColumn(complete_style="yellow", finished_style="blue"),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(what, total=total)
            yield lambda amount: bar.advance(task, amount)

    def _lines(self, what: str, total: float) -> Advance:
        began = last = time.monotonic()
        done = 0.0

        def advance(amount: float) -> None:
            nonlocal done, last
            done += amount
            now = time.monotonic()
            if now - last >= self.seconds_between_lines and 0 < done < total:
                last = now
                left = (now - began) * (total - done) / done
                self.say(f"{what}: {100 * done / total:.0f} %, about {left:.0f} s left")

        return advance


QUIET = Quiet()
