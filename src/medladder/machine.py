"""What this machine has for us, and how a process is kept from taking more."""

from __future__ import annotations

import os
from pathlib import Path


def n_processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_bytes() -> int | None:
    """Memory that processes here may use together, that of a container where there is one; None if it is not told."""
    found = [size for size in (_physical_bytes(), *map(_cgroup_bytes, _CGROUP_FILES)) if size]
    return min(found, default=None)


def limit_memory(beyond: int) -> None:
    """Let an allocation fail that takes this process so many bytes beyond what it has, where the system can do that."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text("ascii").split()[5])
    except (ImportError, OSError):
        return
    most = pages * os.sysconf("SC_PAGE_SIZE") + beyond
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


_CGROUP_FILES = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def _cgroup_bytes(path: str) -> int | None:
    try:
        text = Path(path).read_text("ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None


def _physical_bytes() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf, and some systems no such name
        return None
