"""The verb serve."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from ..errors import OptionError
from ..progress import Terminal
from ..terminal import errors_spoken, print_json, print_serving
from .doors import app
from .options import AsJson


@app.command()
def serve(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="MODEL|RUN...", help="Folders of models or studies, or a folder that holds some."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen at; any but this machine's own needs a token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any that is free.")] = 8000,
    token_file: Annotated[
        Path | None,
        typer.Option(help="File that holds the token; else MEDLADDER_TOKEN, else one is made where one is needed."),
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A name it also goes by, as behind a proxy; repeatable.")
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Images below it may be studied from the browser; needs --runs."),
    ] = None,
    runs: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Studies and models in it are served too, also later ones.")
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate, PEM; with --tls-key it speaks HTTPS.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its key, PEM.")] = None,
    as_json: AsJson = False,
) -> None:
    """A REST service and the workbench in the browser, for models and studies."""
    with errors_spoken(as_json=as_json):
        try:
            from ..serve.limits import Limits
            from ..serve.running import Place, choose_token, open_shelf
            from ..serve.running import serve as answer
        except ImportError as error:
            raise OptionError(
                found=f"{error.name} is not installed.",
                needed="What the service is made of.",
                do="Run: pip install 'medladder[serve]'.",
            ) from error
        if (tls_cert is None) != (tls_key is None):
            raise OptionError(
                found="One of --tls-cert and --tls-key.", needed="Both or neither.", do="Give the other one too."
            )
        if root is not None and (runs is None or not root.is_dir()):
            raise OptionError(
                found="--root without --runs." if runs is None else f"{root} is no folder.",
                needed="A folder with images, and one for the studies.",
                do="Give both.",
            )
        shelf = open_shelf(paths or [], runs)
        place = Place(host, port, None, tuple(allow_host or ()), tls_cert, tls_key)
        token = choose_token(_token(token_file), is_loopback=place.is_loopback)
        place = Place(host, port, token, place.hosts, tls_cert, tls_key)

        if not place.is_loopback and tls_cert is None:
            Terminal().say("Without --tls-cert and --tls-key images and token cross the network in the clear.")

        def started(address: str) -> None:
            names = [one.name for one in shelf]
            if as_json:
                print_json({"url": address, "token": token, "models": names})
            else:
                print_serving(address, token, names)

        answer(shelf, place, Limits(), started, root)


def _token(file: Path | None) -> str | None:
    if file is None:
        return os.environ.get("MEDLADDER_TOKEN") or None
    try:
        return file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(
            found=f"{file} cannot be read.", needed="A text file with the token.", do="Check --token-file."
        ) from error
