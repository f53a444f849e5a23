"""Studies that are started from the browser: from what lies below one folder, as processes that outlive the server.

A study is the command line's own verb, in a session of its own; its lock says whether it runs, whoever started it. What
it was told is kept beside the runs, to go on with it: on this machine, for this user only, as it names paths.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medladder.errors import OptionError
from medladder.images.names import is_image_name
from medladder.record.folder import StudyFolder
from medladder.record.lock import process_writing

from .refusals import ForbiddenError, NotFoundError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,60}")
_TABLES = (".csv", ".tsv", ".xlsx", ".parquet", ".npz")
_MOST_ENTRIES = 500
_TOLD_BYTES = 4000


@dataclass(frozen=True)
class Entry:
    """A folder or a table below the root, by its path from there."""

    path: str
    name: str
    is_folder: bool


@dataclass(frozen=True)
class Beginning:
    """A study that was started and has no plan yet, or that ended without one: what it said last."""

    name: str
    is_running: bool
    told: str


class Runs:
    """What lies below `root`, and the studies in `folder`."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root, self.folder = root.resolve(), folder.resolve()
        self._started: dict[str, subprocess.Popen[bytes]] = {}

    def within(self, path: str) -> Path:
        """A path from the root; raises ForbiddenError for one that leads out of it, by a link too."""
        found = (self.root / path).resolve()
        if not found.is_relative_to(self.root):
            raise ForbiddenError(
                found="A path above the folder that studies may be started from.",
                needed="One below it.",
                do="Start the server with another --root.",
            )
        if not found.exists():
            raise NotFoundError(found="There is nothing of this name.", needed="What is listed.", do="Go back.")
        return found

    def entries(self, path: str) -> list[Entry]:
        """Folders and tables in a folder below the root, by name; links out of it are left out."""
        folder = self.within(path)
        if not folder.is_dir():
            return []
        found = []
        for one in sorted(folder.iterdir(), key=lambda one: one.name.lower())[: 10 * _MOST_ENTRIES]:
            is_hidden = one.name.startswith(".") or not one.resolve().is_relative_to(self.root)
            if not is_hidden and (one.is_dir() or one.suffix.lower() in _TABLES):
                found.append(Entry(one.relative_to(self.root).as_posix(), one.name, one.is_dir()))
        return found[:_MOST_ENTRIES]

    def may_be_cohort(self, path: str) -> bool:
        """Whether a folder holds folders with images, or this is a table."""
        found = self.within(path)
        if found.is_file():
            return found.suffix.lower() in _TABLES
        inside = (one for sub in found.iterdir() if sub.is_dir() for one in _first(sub, 50))
        return any(is_image_name(one.name) and one.suffix for one in inside) or any(
            one.is_dir() for sub in found.iterdir() if sub.is_dir() for one in _first(sub, 50)
        )

    def start(self, name: str, cohort: str, options: Sequence[str]) -> None:
        """Start a study.

        Raises
        ------
        OptionError
            The name is none for a folder, or taken.
        """
        if not _NAME.fullmatch(name):
            raise OptionError(
                found=f"The name '{name[:80]}'.",
                needed="1 to 61 letters, digits, '.', '_' or '-', the first a letter or digit.",
                do="Write another.",
            )
        if (self.folder / name).exists() or self._command(name).exists():
            raise OptionError(found=f"'{name}' is taken.", needed="A free name.", do="Write another.")
        words = [str(self.within(cohort)), *options]
        self.folder.mkdir(parents=True, exist_ok=True)
        _write_private(self._command(name), json.dumps(words))
        self._run(name, words)

    def go_on(self, name: str) -> None:
        """Start a study again where it stopped; raises OptionError where it runs, or was started elsewhere."""
        if self.is_running(name):
            raise OptionError(found=f"'{name}' is running.", needed="A study that stopped.", do="Wait for it.")
        try:
            words = json.loads(self._command(name).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise OptionError(
                found=f"What '{name}' was started with is not known here.",
                needed="A study that was started from this page.",
                do="Give 'medladder study' the same command again.",
            ) from error
        self._run(name, [str(word) for word in words])

    def may_go_on(self, name: str) -> bool:
        """Whether it was started here and does not run."""
        return self._command(name).is_file() and not self.is_running(name)

    def stop(self, name: str) -> None:
        """Have it stop as Ctrl-C does; raises NotFoundError where it does not run."""
        process = process_writing(self.folder / name) if _NAME.fullmatch(name) else None
        started = self._started.get(name)
        if process is None and started is not None and started.poll() is None:
            process = started.pid
        if process is None:
            raise NotFoundError(found="It is not running.", needed="A study that runs.", do="Look at it again.")
        os.kill(process, signal.SIGINT)

    def is_running(self, name: str) -> bool:
        """Whether a process works on it."""
        started = self._started.get(name)
        return (started is not None and started.poll() is None) or process_writing(self.folder / name) is not None

    def beginnings(self) -> list[Beginning]:
        """Studies without a plan: their images are still being read, or something was in the way."""
        found = []
        for path in sorted(self.folder.glob(".*.command")):
            name = path.name[1 : -len(".command")]
            if not StudyFolder(self.folder / name).is_study:
                found.append(Beginning(name, self.is_running(name), self._told(name)))
        return found

    def forget(self, name: str) -> None:
        """Take away what is left of a study that never began; raises NotFoundError for any other."""
        if not any(one.name == name and not one.is_running for one in self.beginnings()):
            raise NotFoundError(found="Nothing of this name failed.", needed="A study that failed.", do="Go back.")
        for path in (self._command(name), self._log(name)):
            path.unlink(missing_ok=True)

    def _run(self, name: str, words: Sequence[str]) -> None:
        log = self._log(name)
        _write_private(log, "")
        with log.open("ab") as told:
            self._started[name] = subprocess.Popen(
                [sys.executable, "-m", "medladder", "study", *words, "--out", str(self.folder / name)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=told,
                start_new_session=True,
            )

    def _told(self, name: str) -> str:
        try:
            return self._log(name).read_bytes()[-_TOLD_BYTES:].decode("utf-8", "replace").strip()
        except OSError:
            return ""

    def _command(self, name: str) -> Path:
        return self.folder / f".{name}.command"

    def _log(self, name: str) -> Path:
        return self.folder / f".{name}.log"


def _first(folder: Path, most: int) -> list[Path]:
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            found.append(Path(entry.path))
            if len(found) == most:
                break
    return found


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(number, "w", encoding="utf-8") as file:
        file.write(text)
