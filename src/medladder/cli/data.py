"""The verb data: cohorts that are drawn, MedMNIST, and backbones, fetched by name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import OptionError
from ..terminal import errors_spoken, print_json
from .doors import data
from .options import AsJson, CacheFolder


@data.command("list")
def list_data(as_json: AsJson = False) -> None:
    """Name the drawn cohorts and the MedMNIST sets."""
    from ..medmnist import RELEASES
    from ..phantoms import known

    if as_json:
        drawn = [{"name": p.name, "about": p.sentence, "classes": p.classes, "patients": p.n_patients} for p in known()]
        print_json({"drawn": drawn, "medmnist": [{"name": r.name, "classes": r.classes} for r in RELEASES.values()]})
        return
    for phantom in known():
        print(f"demo:{phantom.name:<18} {phantom.sentence}")
    for release in RELEASES.values():
        print(f"medmnist:{release.name:<14} {', '.join(release.classes)}")


@data.command("make")
def make_data(
    name: Annotated[str, typer.Argument(help="nodule, atrophy or cells.")],
    out: Annotated[Path, typer.Option(help="A new folder for PNG files and labels.csv.")],
    patients: Annotated[int | None, typer.Option(help="How many patients to draw.")] = None,
    seed: Annotated[int, typer.Option(help="What every picture is keyed by.")] = 0,
    size: Annotated[int | None, typer.Option(help="Side of an image in pixels.")] = None,
    as_json: AsJson = False,
) -> None:
    """Draw a cohort with known truth and write it as a folder with a CSV."""
    from ..drawing import write_drawn
    from ..progress import Terminal

    with errors_spoken(as_json=as_json):
        drawn = name.removeprefix("demo:")
        manifest, n_images = write_drawn(drawn, out, n_patients=patients, seed=seed, size=size, progress=Terminal())
        if as_json:
            print_json({"manifest": str(manifest), "images": n_images})
        else:
            print(f"{n_images} images. Next: medladder study {manifest} --out RUN")


@data.command("fetch")
def fetch_data(
    name: Annotated[
        str, typer.Argument(help="A MedMNIST set, as breastmnist, or a pretrained backbone, as backbone:URL.")
    ],
    sha256: Annotated[str | None, typer.Option(metavar="HEX", help="Checksum that a backbone must have.")] = None,
    cache: CacheFolder = None,
    as_json: AsJson = False,
) -> None:
    """Fetch a MedMNIST set or a backbone once and verify its checksum."""
    from ..images.cache import cache_root
    from ..medmnist import fetch

    with errors_spoken(as_json=as_json):
        if name.startswith("backbone:"):
            _fetch_backbone(name.removeprefix("backbone:"), sha256, cache, as_json=as_json)
            return
        if sha256 is not None:
            raise OptionError(
                found=f"--sha256 for {name}.", needed="It has a published checksum already.", do="Leave --sha256 out."
            )
        path, release = fetch(name.removeprefix("medmnist:"), cache_root(cache))
        if as_json:
            print_json({"file": str(path), "md5": release.md5})
        else:
            print(f"{path}. Next: medladder study medmnist:{release.name} --out RUN")


def _fetch_backbone(url: str, sha256: str | None, cache: Path | None, *, as_json: bool) -> None:
    from ..backbones import fetch_backbone, find_backbone
    from ..images.cache import cache_root

    path = fetch_backbone(url, sha256, cache_root(cache))
    if as_json:
        print_json({"file": str(path), "identity": find_backbone(path).identity})
    else:
        print(f"{path}. Next: medladder study COHORT --out RUN --rungs svm,dnn --rung pretrained:backbone={path}")
