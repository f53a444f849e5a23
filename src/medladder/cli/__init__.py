"""The command line: one verb a function, no logic."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from .. import __version__
from . import curves, data, layers, models, service, studies
from .doors import app

__all__ = ["app", "curves", "data", "layers", "main", "models", "service", "studies"]


def main() -> None:
    """Enter here."""
    for stream in (sys.stdout, sys.stderr):
        # Windows writes redirected text in an old code page that has no minus sign and not every class name.
        stream.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    app()


def _version(wanted: bool) -> None:
    if wanted:
        print(f"medladder {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say and exit.")] = False,  # noqa: ARG001
) -> None:
    return
