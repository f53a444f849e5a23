"""The verb about what networks learned: inspect."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import OptionError, unknown_name
from ..progress import Terminal
from ..terminal import errors_spoken, print_explanation, print_inspection, print_json, print_units
from .doors import app
from .options import AsJson, CohortOptions, takes_cohort


@app.command()
@takes_cohort(is_prepared=True)
def inspect(
    target: Annotated[Path, typer.Argument(metavar="RUN|MODEL", help="Folder of a study or of a model.")],
    rung: Annotated[
        str | None, typer.Option(help="Which network of a RUN; by default the recommended one, else its last.")
    ] = None,
    layer: Annotated[
        str | None, typer.Option(help="One layer unit by unit, as hidden2, convolution4 or output.")
    ] = None,
    on: Annotated[str | None, typer.Option(metavar="COHORT", help="Look again with the images of this cohort.")] = None,
    image: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Explain one image: a file, or of an npz as scans.npz:images[3]."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="With --image: a page with the pictures.")
    ] = None,
    as_json: AsJson = False,
    *,
    how: CohortOptions,
) -> None:
    """What each layer of a network does, measured; or where its answer to one image comes from."""
    from ..models import looking
    from ..models.known import known_images

    with errors_spoken(as_json=as_json):
        if out is not None and (image is None or out.suffix.lower() not in (".html", ".htm")):
            what = "--out without --image" if image is None else f"--out {out}"
            raise OptionError(found=f"{what}.", needed="--image FILE --out PAGE.html.", do="Correct or drop --out.")
        if out is not None and out.exists():
            raise OptionError(found=f"{out} exists.", needed="A new file.", do="Use another --out, or move it away.")
        if image is None and on is None:
            _show(looking.read_inspection(target, rung), layer, as_json=as_json)
            return
        if image is not None and layer is not None:
            raise OptionError(found="--layer with --image.", needed="One of the two.", do="Drop --layer.")
        opened = looking.open_network(target, rung)
        if image is not None and on is not None and opened.plan is None:
            raise OptionError(
                found="--on with the --image of a model.",
                needed="Only a RUN shows the training images nearest to an image.",
                do="Drop --on.",
            )
        cohort = None if on is None else how.read(on, like=opened.preparation)
        if image is None and cohort is not None:
            n = len(opened.networks)
            Terminal().say(f"Looking into the {'network' if n == 1 else f'{n} networks'} of {opened.name}.")
            _show(looking.inspect_on(opened, cohort), layer, as_json=as_json)
            return
        assert image is not None
        explained = looking.explain_file(
            opened, image, known=lambda: known_images(opened, cohort, cache=how.cache, progress=Terminal())
        )
        if out is not None:
            from ..report.explanation import write_explanation

            write_explanation(explained.to_page(), out)
        if as_json:
            print_json({**explained.to_json(), "page": None if out is None else str(out)})
        else:
            print_explanation(explained.to_json(), out)


def _show(found: dict[str, Any], layer: str | None, *, as_json: bool) -> None:
    if layer is not None:
        by_name = {one["name"]: one for one in found["layers"]}
        if layer not in by_name:
            raise unknown_name(f"layer of {found['rung']}", layer, list(by_name))
        found = {**found, "layers": [by_name[layer]]}
    if as_json:
        print_json(found)
    elif layer is not None:
        print_units(found["layers"][0])
    else:
        print_inspection(found)
