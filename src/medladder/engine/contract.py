"""What an engine is: it takes one piece of work at a time and hands back its outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from medladder.errors import InputError, MedladderError

from .data import MissingDataError
from .threads import limit_threads

CPU, GPU = "cpu", "gpu"
"""Kinds of workers."""

Work = Callable[[Any], Any]


@dataclass(frozen=True)
class Limits:
    """What one piece of work may take; None: as much as it likes."""

    threads: int = 1
    seconds: float | None = None
    """Of a piece that is given to a worker, until it counts as hung and its worker is ended."""
    wants_gpu: bool = False
    """It goes to a GPU worker, where the engine knows which these are."""


@dataclass(frozen=True)
class Outcome:
    """What became of a piece of work: its `value`, or why there is none."""

    worker: str
    value: Any = None
    reason: str | None = None
    error: InputError | None = None
    """Something the person can mend."""
    missing: MissingDataError | None = None


@dataclass(frozen=True)
class Lost:
    """In place of a result, when the second try failed too."""

    reason: str


class WorkerLostError(MedladderError):
    """The worker ended, or was ended because it hung: the piece of work is lost, the engine goes on."""

    def __init__(self, reason: str, *, worker: str = "", is_final: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.worker = worker
        self.is_final = is_final
        """It was tried more than once by the engine itself."""


class EngineLostError(InputError):
    """There is nobody left to work; what is recorded stays, and the study can go on with another engine."""


class Engine(Protocol):
    """Somebody who works.

    Whoever makes one closes it. Limits that it cannot hold are said before the work begins.
    """

    @property
    def unheld(self) -> tuple[str, ...]:
        """Limits that it cannot hold, in words."""
        ...

    @property
    def n_workers(self) -> int:
        """Pieces of work that are under way at once."""
        ...

    @property
    def lanes(self) -> Mapping[str, int]:
        """Workers of each kind, `CPU` and `GPU`; all are `CPU` where nothing is known of their kinds."""
        ...

    @property
    def memory_bytes(self) -> int | None:
        """What one worker may use; None where that is not known."""
        ...

    def submit(self, work: Work, item: Any, limits: Limits, *, lane: str = CPU, avoid: str = "") -> Future[Outcome]:
        """Have a worker of this kind do the work, not the one to `avoid` if there is another.

        The future raises WorkerLostError where the worker was lost, EngineLostError where the engine was.
        """
        ...

    def close(self, *, now: bool = False) -> None:
        """End the workers; `now`: also those that are busy."""
        ...


def attempt(work: Work, item: Any, threads: int, worker: str) -> Outcome:
    """Do the work where this runs; whatever it raises becomes part of the outcome."""
    try:
        with limit_threads(threads):
            return Outcome(worker, work(item))
    except MissingDataError as error:
        return Outcome(worker, reason=str(error), missing=error)
    except InputError as error:
        return Outcome(worker, reason=str(error), error=error)
    except MemoryError:
        return Outcome(worker, reason="It takes more memory than a worker may use.")
    except Exception as error:
        return Outcome(worker, reason=f"{type(error).__name__}: {error}")
