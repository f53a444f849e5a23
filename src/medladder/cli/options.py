"""Options that several verbs share, and what they are read into."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ..errors import OptionError

Source = Annotated[
    str,
    typer.Argument(
        metavar="COHORT", help="Folder of class folders, table of paths and labels, npz, demo:NAME or medmnist:NAME."
    ),
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
Language = Annotated[
    Literal["en", "ko"], typer.Option("--lang", help="Language of what is written for readers: English or Korean.")
]
Jobs = Annotated[int | None, typer.Option(help="Worker processes; by default one a core.")]
_HOW_IMAGES = "How images are read"
_WHICH_LABELS = "Labels and columns"


def _option(text: str, panel: str, metavar: str | None = None) -> Any:
    return typer.Option(help=text, rich_help_panel=panel, metavar=metavar)


_IMAGES: dict[str, Any] = {
    "image_size": Annotated[
        str | None,
        _option("Working size, as 64 or 48x64; by default the smaller of 64 and the median short side.", _HOW_IMAGES),
    ],
    "window": Annotated[
        str | None,
        _option(
            "How CT and other measured values are shown: lung, brain, bone …, or centre/width as 40/400; by default "
            "each file's own, else nearly its whole range.",
            _HOW_IMAGES,
        ),
    ],
    "stacks": Annotated[
        str | None, _option("Read DICOM series and multi-frame files as slices or as volumes.", _HOW_IMAGES)
    ],
    "spacing_mm": Annotated[
        str | None, _option("Resample to so many mm a pixel, as 2 or 3x1x1 (slices x rows x columns).", _HOW_IMAGES)
    ],
    "box_mm": Annotated[
        str | None,
        _option("Keep a box about the middle, as 180 or 160x200x180; by default the median extent.", _HOW_IMAGES),
    ],
    "crop": Annotated[bool, _option("Take the dark background off first.", _HOW_IMAGES)],
}
_TABLE: dict[str, Any] = {
    "labels": Annotated[
        Path | None,
        _option(
            "Table with the labels of a folder's images: a column path, or one for SOP instance, series or patient.",
            _WHICH_LABELS,
            "TABLE",
        ),
    ],
    "path_column": Annotated[str | None, _option("The column that holds paths; else path.", _WHICH_LABELS, "COLUMN")],
    "label_column": Annotated[
        str | None, _option("The column that holds classes; else label.", _WHICH_LABELS, "COLUMN")
    ],
    "patient_column": Annotated[
        str | None,
        _option("The column that says whose images they are; else patient or patient_id.", _WHICH_LABELS, "COLUMN"),
    ],
    "split_column": Annotated[
        str | None, _option("The column of train, val and test; else split.", _WHICH_LABELS, "COLUMN")
    ],
}


@dataclass(frozen=True)
class CohortOptions:
    """What verbs that read a cohort are told of it, as typed."""

    image_size: str | None = None
    window: str | None = None
    stacks: str | None = None
    spacing_mm: str | None = None
    box_mm: str | None = None
    crop: bool = False
    labels: Path | None = None
    path_column: str | None = None
    label_column: str | None = None
    patient_column: str | None = None
    split_column: str | None = None
    cache: Path | None = None

    @property
    def how_images(self) -> dict[str, Any]:
        """The keywords of `read_cohort` that say how images are read, those that were given."""
        from ..images.prepare import parse_size

        asked: dict[str, Any] = {"window": self.window, "stacks": self.stacks, "crop": self.crop or None}
        asked["image_size"] = None if self.image_size is None else parse_size(self.image_size)
        asked["spacing_mm"] = _lengths("--spacing-mm", self.spacing_mm)
        asked["box_mm"] = _lengths("--box-mm", self.box_mm)
        return {name: value for name, value in asked.items() if value is not None}

    @property
    def columns(self) -> dict[str, str]:
        """Names of columns that were given."""
        named = {part: getattr(self, f"{part}_column") for part in ("path", "label", "patient", "split")}
        return {part: name for part, name in named.items() if name is not None}

    def read(self, source: str, *, test: str | None = None, like: Any = None) -> Any:
        """The cohort that a person named, joined with the one to test on; prepared `like` a model's images, if given.

        Raises
        ------
        OptionError
            How images are read was given beside `like`.
        """
        from ..cohort import Origin, join_test, read_cohort, read_origin
        from ..images.reading import Reading
        from ..progress import Terminal

        progress = Terminal()
        if like is None:
            given: dict[str, Any] = {**self.how_images, "labels": self.labels, "columns": self.columns}
            cohort = read_cohort(source, **given, cache=self.cache, progress=progress)
        else:
            cohort = read_origin(
                Origin.of(source, self.labels, self.columns), Reading.again(like), cache=self.cache, progress=progress
            )
        if test is None:
            return cohort
        origin = Origin.of(test, None, self.columns if self.labels is None else {})
        other = read_origin(origin, Reading.again(cohort.preparation), cache=self.cache, progress=progress)
        return join_test(cohort, other, cache=self.cache)


def takes_cohort(*, is_prepared: bool = False) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a verb the options of reading a cohort, which it gets as `how`; without those of images if `is_prepared`."""
    groups: Mapping[str, Any] = {**({} if is_prepared else _IMAGES), **_TABLE, "cache": CacheFolder}
    defaults = {field.name: field.default for field in fields(CohortOptions)}

    def dress(verb: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(verb, eval_str=True)
        kept = [one for one in own.parameters.values() if one.name != "how"]
        added = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=defaults[name], annotation=annotation)
            for name, annotation in groups.items()
        ]

        @wraps(verb)
        def told(**given: Any) -> None:
            how = CohortOptions(**{name: given.pop(name) for name in groups})
            verb(**given, how=how)

        told.__signature__ = own.replace(parameters=[*kept, *added])  # type: ignore[attr-defined]
        told.__annotations__ = {one.name: one.annotation for one in [*kept, *added]}
        return told

    return dress


def _lengths(option: str, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.lower().replace("×", "x").split("x"))
    except ValueError as error:
        raise OptionError(
            found=f"{option} {text}.", needed="Millimetres, as 2 or 3x1x1.", do=f"Change {option}."
        ) from error


def listed(text: str | None) -> tuple[str, ...] | None:
    """The names in a list with commas."""
    return None if text is None else tuple(part.strip() for part in text.split(",") if part.strip())
