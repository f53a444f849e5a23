"""The verb about curves that were measured elsewhere: forecast."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import OptionError
from ..terminal import errors_spoken, print_forecast, print_json
from .doors import app
from .options import AsJson, listed


@app.command()
def forecast(
    curves: Annotated[Path, typer.Argument(metavar="CURVES.csv", help="Columns n_train, repeat, score; scores 0–1.")],
    at: Annotated[
        str | None,
        typer.Option(metavar="N,N,…", help="Numbers of training patients; by default 2, 5 and 10 times the largest."),
    ] = None,
    target: Annotated[float | None, typer.Option(help="How many patients does this score need? 0–1.")] = None,
    is_network: Annotated[
        bool, typer.Option("--network", help="The curve is of a network on raw images, which may start to learn late.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """What more patients would bring, from scores at several numbers of patients."""
    from ..evidence.curve_files import read_trials
    from ..evidence.families import NETWORK, Prior
    from ..evidence.forecast import look_ahead

    with errors_spoken(as_json=as_json):
        sizes = None if at is None else [_size(part) for part in listed(at) or ()]
        prior = NETWORK if is_network else Prior()
        found = look_ahead(read_trials(curves), sizes, target=target, prior=prior).to_json()
        if as_json:
            print_json(found)
        else:
            print_forecast(found)


def _size(text: str) -> int:
    if not text.isdecimal():
        raise OptionError(
            found=f"--at has '{text}'.", needed="Whole numbers of patients, as 500,1000.", do="Correct it."
        )
    return int(text)
