"""One writer a study: a file that names host, process and start, stale once that process is gone."""

from __future__ import annotations

import json
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from ..errors import StudyError


@dataclass(frozen=True)
class _Holder:
    """Who writes; `birth` tells a process from a later one of the same number, None where the system does not say."""

    host: str
    process: int
    birth: str | None
    since: str


@dataclass(frozen=True)
class Lock:
    """A folder that is held."""

    path: Path
    holder: _Holder

    def check(self) -> None:
        """Raise StudyError where another process has taken over."""
        now = _read_holder(self.path) if self.path.is_file() else None
        if now != self.holder:
            by = "another process" if now is None else f"process {now.process} on {now.host}"
            raise StudyError(
                found=f"{self.path.parent} was taken over by {by}.",
                needed="One writer a study.",
                do="Nothing: what was recorded is whole, and the study goes on there.",
            )


@contextmanager
def only_writer(folder: Path, *, take_over: bool = False) -> Iterator[Lock]:
    """Hold the folder of a study while writing; `take_over` from a process of another host that is gone.

    Raises
    ------
    StudyError
        Another process holds it, one on another host may, or the folder cannot be written.
    """
    lock = folder / ".lock"
    try:
        held = Lock(lock, _take(lock, take_over=take_over))
    except OSError as error:
        raise StudyError(
            found=f"{folder} cannot be written ({error.strerror}).",
            needed="Room and permission to write the study.",
            do="Make room or ask for permission, or use another --out.",
        ) from error
    try:
        yield held
    finally:
        # A disk that fails now must not hide what happened while writing; the next writer sees that we are gone.
        with suppress(OSError):
            if _read_holder(lock) == held.holder:
                lock.unlink(missing_ok=True)


def process_writing(folder: Path) -> int | None:
    """The process of this machine that writes a study now; None where there is none."""
    lock = folder / ".lock"
    holder = _read_holder(lock) if lock.is_file() else None
    if holder is None or holder.host != socket.gethostname() or not _is_running(holder.process, holder.birth):
        return None
    return holder.process


def _take(lock: Path, *, take_over: bool) -> _Holder:
    process = os.getpid()
    started = datetime.now(UTC).isoformat(timespec="seconds")
    us = _Holder(socket.gethostname(), process, _birth_of(process), started)
    while True:
        try:
            _create_whole(lock, json.dumps(asdict(us)))
        except FileExistsError:
            with suppress(FileNotFoundError):  # given back in between: what stands there next is another's
                _refuse_if_held(lock, take_over=take_over)
                lock.unlink()
        else:
            return us


def _create_whole(lock: Path, content: str) -> None:
    """Create the file with all its content at once or raise FileExistsError: no rival may see it half written."""
    draft = lock.with_name(f"{lock.name}.{secrets.token_hex(8)}")
    try:
        draft.write_text(content, "utf-8")
        try:
            os.link(draft, lock)
        except FileExistsError:
            raise
        except OSError:  # a file system without links, such as exFAT
            with lock.open("x", encoding="utf-8") as file:
                file.write(content)
    finally:
        draft.unlink(missing_ok=True)


def _refuse_if_held(lock: Path, *, take_over: bool) -> None:
    holder = _read_holder(lock)
    if holder is None:
        return
    is_here = holder.host == socket.gethostname()
    if (is_here and not _is_running(holder.process, holder.birth)) or (not is_here and take_over):
        return
    raise StudyError(
        found=f"Process {holder.process} on {holder.host} writes {lock.parent} since {holder.since}.",
        needed="One writer a study.",
        do=f"Wait for it, stop it, or use another --out; if it is no study, delete {lock}."
        if is_here
        else f"Wait for it, or use another --out; if it is gone, which cannot be seen from {socket.gethostname()}, "
        "add --take-over.",
    )


def _read_holder(lock: Path) -> _Holder | None:
    """Who holds the lock; None where a crash of the system tore it."""
    try:
        data = json.loads(lock.read_text("utf-8"))
        return _Holder(str(data["host"]), int(data["process"]), data.get("birth"), str(data["since"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _is_running(process: int, birth: str | None) -> bool:
    now = _birth_of(process)
    if birth is not None and now is not None and birth != now:
        return False
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
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _birth_of(process: int) -> str | None:
    """Boot and clock tick at which a process began; None where there is no /proc or no such process.

    Source: proc_pid_stat(5), field 22; fields are counted after the name, which may hold blanks and brackets.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        stat = Path(f"/proc/{process}/stat").read_bytes()
        return f"{boot} {stat.rpartition(b')')[2].split()[19].decode('ascii')}"
    except (OSError, IndexError):
        return None
