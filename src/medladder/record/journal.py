"""The journal of a study, trials.jsonl: a line a trial, written by appending whole fleets and read with suspicion.

Copies and network drives tear, repeat and mix files. What can be mended without guessing is passed over and told of in
`Journal.mended`; everything else is refused by the number of its line. The order of lines means nothing.
"""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import StudyError
from .plan import FleetKey, Plan
from .trials import Trial


@dataclass(frozen=True)
class Journal:
    """Trials as they stand in the file, each once, and what was passed over to read them.

    `at_odds` are fleets of which two lines say different things of one trial; their lines are not among `trials`.
    """

    trials: tuple[Trial, ...]
    mended: tuple[str, ...] = ()
    at_odds: Mapping[str, tuple[int, int]] | None = None

    def settled(self, path: Path) -> list[Trial]:
        """The trials, where no two lines are at odds; raises StudyError where some are."""
        for fleet, (first, second) in (self.at_odds or {}).items():
            raise StudyError(
                found=f"Lines {first} and {second} of {path} say different things of one trial of the fleet '{fleet}'.",
                needed="Each trial once.",
                do="Give 'medladder study' the same command again: it runs that fleet anew.",
            )
        return list(self.trials)


def read_journal(path: Path, plan: Plan | None) -> Journal:
    """Read a journal; `plan` tells which fleets may stand there, None: any.

    Raises
    ------
    StudyError
        A line, but a torn last one, is not a trial, or it is of a fleet that the plan does not have.
    """
    if not path.exists():
        return Journal(())
    *lines, torn = path.read_bytes().split(b"\n")
    keys = None if plan is None else {key.name: key for key in plan.fleets()}
    first_lines: dict[tuple[str, int], tuple[int, Trial]] = {}
    repeated: list[int] = []
    at_odds: dict[str, tuple[int, int]] = {}
    for number, trial in enumerate(_trials(path, lines), start=1):
        if keys is not None:
            _check_belongs(path, number, trial, keys.get(trial.fleet))
        before = first_lines.setdefault((trial.fleet, trial.repeat), (number, trial))
        if before[0] != number:
            if before[1] == trial:
                repeated.append(number)
            else:
                at_odds.setdefault(trial.fleet, (before[0], number))
    mended = []
    if torn:
        mended.append(f"the last line is torn after {len(torn)} bytes; its fleet is not whole")
    if repeated:
        mended.append(f"{len(repeated)} lines stand there twice, as line {repeated[0]}; each counts once")
    trials = tuple(trial for _, trial in first_lines.values() if trial.fleet not in at_odds)
    return Journal(trials, tuple(mended), at_odds)


def append_lines(path: Path, trials: Sequence[Trial]) -> None:
    """Append the lines of a fleet in one write and to the disk, or on failure cut the file back to what it was."""
    before = path.stat().st_size if path.exists() else 0
    try:
        with path.open("ab") as file:
            file.write(lines_of(trials))
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        if path.exists():
            os.truncate(path, before)
        raise


def lines_of(trials: Iterable[Trial]) -> bytes:
    """Trials as they stand in the journal."""
    return "".join(_lines(trials)).encode("utf-8")


def _lines(trials: Iterable[Trial]) -> Iterator[str]:
    for trial in trials:
        yield json.dumps(trial.to_json(), ensure_ascii=False) + "\n"


def _trials(path: Path, lines: Sequence[bytes]) -> list[Trial]:
    """All lines read at once, which takes half the time; one by one where that fails, to say which is at fault."""
    with _without_collecting():
        try:
            objects = json.loads(b"[" + b",".join(lines) + b"]")
        except ValueError:
            objects = []
        if len(objects) != len(lines):
            objects = [_object_of(path, number, line) for number, line in enumerate(lines, start=1)]
        return [_trial_of(path, number, one) for number, one in enumerate(objects, start=1)]


@contextmanager
def _without_collecting() -> Iterator[None]:
    """Hundreds of thousands of objects that all stay: looking through them for garbage costs as much as making them."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _object_of(path: Path, number: int, line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise _no_trial(path, number, error) from error


def _trial_of(path: Path, number: int, fields: Any) -> Trial:
    try:
        trial = Trial(**fields)
        if not isinstance(trial.fleet, str) or type(trial.repeat) is not int or trial.status not in ("done", "failed"):
            raise ValueError("its fleet, repeat or status is none")
    except (ValueError, TypeError) as error:
        raise _no_trial(path, number, error) from error
    return trial


def _no_trial(path: Path, number: int, error: Exception) -> StudyError:
    return StudyError(
        found=f"Line {number} of {path} is not a trial ({error}).",
        needed="The journal holds one JSON object a line.",
        do="Restore the file from a copy; or delete that line and give the same command again, which runs what "
        "is missing.",
    )


def _check_belongs(path: Path, number: int, trial: Trial, key: FleetKey | None) -> None:
    facts = (trial.rung, trial.n_train, trial.fold)
    if key is None or facts != (key.rung, key.n_train, key.fold) or trial.repeat not in key.repeats:
        raise StudyError(
            found=f"Line {number} of {path} is of the fleet '{trial.fleet}', which this study's plan does not have.",
            needed="Trials of this study alone.",
            do="Restore the file from a copy; or delete the lines that another study wrote there.",
        )
