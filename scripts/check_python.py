"""Say, before anything is installed, whether this Python and this machine can run medladder. Runs on any Python 3."""

import platform
import sys


def why_not():
    """Return found, needed and do, or None if all is well."""
    found = "Python %d.%d at %s." % (sys.version_info[0], sys.version_info[1], sys.executable)
    if not (3, 11) <= sys.version_info[:2] <= (3, 14):
        return found, "Python 3.11, 3.12, 3.13 or 3.14.", "Install one and say 'make PYTHON=/path/to/python3.12'."
    system, machine = platform.system(), platform.machine()
    if system == "Darwin" and machine != "arm64":
        return "macOS on %s." % machine, "Apple silicon: PyTorch no longer supports Intel Macs.", "Use another machine."
    if system == "Linux" and platform.libc_ver()[0] != "glibc":
        return (
            "Linux without glibc.",
            "glibc, as in Debian, Ubuntu, Fedora: PyTorch has no musl build.",
            "Use one of these.",
        )
    if system not in ("Darwin", "Linux", "Windows"):
        return "%s." % system, "Linux, macOS or Windows.", "Use one of these."
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        return (
            found + " It has no venv module.",
            "venv, to keep medladder apart.",
            "On Debian: apt install python3-venv.",
        )
    return None


if __name__ == "__main__":
    problem = why_not()
    if problem:
        sys.exit("found   %s\nneeded  %s\ndo      %s" % problem)
