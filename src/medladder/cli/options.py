"""Options that several verbs share, and what they are read into."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

Source = Annotated[
    str, typer.Argument(metavar="COHORT", help="Folder of class folders, CSV, npz, demo:NAME or medmnist:NAME.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
CacheFolder = Annotated[
    Path | None, typer.Option("--cache", help="Where prepared images are kept; by default the user's cache directory.")
]
Device = Annotated[str, typer.Option(help="Where networks train: cpu, cuda, or auto (cuda where there is one).")]
AtSpecificity = Annotated[
    float, typer.Option(help="Sensitivity is also given at this specificity on the test patients; 0–1.")
]
AtSensitivity = Annotated[
    float, typer.Option(help="Specificity is also given at this sensitivity on the test patients; 0–1.")
]
Prevalence = Annotated[
    float | None, typer.Option(help="Share of the positive class in use: adds PPV, NPV and net benefit.")
]
Jobs = Annotated[int | None, typer.Option(help="Worker processes; by default one a core.")]
ImageSize = Annotated[
    str | None,
    typer.Option(help="Working size, as 64 or 48x64; by default the smaller of 64 and the median short side."),
]


def listed(text: str | None) -> tuple[str, ...] | None:
    """The names in a list with commas."""
    return None if text is None else tuple(part.strip() for part in text.split(",") if part.strip())


def read_source(source: str, image_size: str | None, cache: Path | None, test: str | None) -> Any:
    """The cohort that a person named, joined with the one to test on."""
    from ..cohort import join_test, read_cohort
    from ..images.prepare import parse_size
    from ..progress import Terminal

    size = None if image_size is None else parse_size(image_size)
    cohort = read_cohort(source, image_size=size, cache=cache, progress=Terminal())
    if test is None:
        return cohort
    other = read_cohort(test, image_size=cohort.preparation.size, cache=cache, progress=Terminal())
    return join_test(cohort, other, cache=cache)
