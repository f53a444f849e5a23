"""A page on paper, by a Chromium that is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from ...errors import OptionError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
SECONDS = 120


def find_browser() -> str:
    """The first browser on the path that prints without a screen.

    Raises
    ------
    OptionError
        There is none.
    """
    for name in BROWSERS:
        if found := shutil.which(name):
            return found
    raise OptionError(
        found="--pdf, and no Chromium or Chrome on the path.",
        needed="A browser that prints: chromium, google-chrome or msedge.",
        do="Install one, or open report.html in any browser and print it.",
    )


def print_page(page: Path, out: Path, browser: str) -> None:
    """Print a page of this machine to PDF; nothing of the network is asked.

    Raises
    ------
    OptionError
        The browser failed or took too long.
    """
    with tempfile.TemporaryDirectory() as profile:
        command = [browser, "--headless", "--disable-gpu", "--no-pdf-header-footer", f"--user-data-dir={profile}"]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            command.append("--no-sandbox")  # which a browser refuses to root
        command += [
            "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--print-to-pdf={out.absolute()}",
            page.absolute().as_uri(),
        ]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=SECONDS)
        except (subprocess.SubprocessError, OSError) as error:
            raise OptionError(
                found=f"{Path(browser).name} could not print the report ({type(error).__name__}).",
                needed="A browser that prints without a screen.",
                do="Open report.html in a browser and print it.",
            ) from error
