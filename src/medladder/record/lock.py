"""One writer a study: a file that names host, process and start, stale once that process is gone."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from ..errors import StudyError


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Hold the folder of a study while writing.

    Raises
    ------
    StudyError
        Another process holds it, or one on another host may.
    """
    lock = folder / ".lock"
    while True:
        try:
            with lock.open("x", encoding="utf-8") as file:
                started = datetime.now(UTC).isoformat(timespec="seconds")
                json.dump({"host": socket.gethostname(), "process": os.getpid(), "since": started}, file)
            break
        except FileExistsError:
            _refuse_if_held(lock)
            lock.unlink(missing_ok=True)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def _refuse_if_held(lock: Path) -> None:
    try:
        holder = json.loads(lock.read_text("utf-8"))
    except (OSError, ValueError):
        return  # torn while being written by a process that was killed
    is_here = holder["host"] == socket.gethostname()
    if is_here and not _is_running(holder["process"]):
        return
    raise StudyError(
        found=f"Process {holder['process']} on {holder['host']} writes {lock.parent} since {holder['since']}.",
        needed="One writer a study.",
        do="Wait for it, or use another --out."
        if is_here
        else f"Wait for it, or use another --out; if that process is gone, delete {lock}.",
    )


def _is_running(process: int) -> bool:
    if process == os.getpid():
        return True
    if os.name == "nt":
        import ctypes

        handle = ctypes.windll.kernel32.OpenProcess(0x1000, False, process)  # type: ignore[attr-defined,unused-ignore]
        if handle:
            ctypes.windll.kernel32.CloseHandle(handle)  # type: ignore[attr-defined,unused-ignore]
        return bool(handle)
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
