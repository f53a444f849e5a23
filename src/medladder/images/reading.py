"""What is asked of reading a cohort's files, and what comes of it once their headers are known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import CohortError, OptionError
from ..language import phrase
from .image import Header
from .prepare import STACKS, Preparation
from .values import Window

SMALLEST, LARGEST = 4, 1024
LARGEST_DEFAULT = 64
"""Working size is the smaller of this and the median short side, unless the user says otherwise."""


@dataclass(frozen=True)
class Reading:
    """How files are read and brought to one size; see `Preparation`, which it becomes.

    `size`, `spacing_mm` and `box_mm` have a number for each axis, or one for all. Of the three at most two can be
    given: a box of so many mm at so many mm a pixel is of one size.
    """

    size: tuple[int, ...] | None = None
    window: Window | None = None
    stacks: str | None = None
    is_cropped: bool = False
    spacing_mm: tuple[float, ...] | None = None
    box_mm: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be meant.

        Raises
        ------
        OptionError
            A size below 4; a spacing or box that is not above 0; all three; stacks of an unknown kind.
        """
        for name, given in (("--image-size", self.size), ("--spacing-mm", self.spacing_mm), ("--box-mm", self.box_mm)):
            least = SMALLEST if name == "--image-size" else 0
            if given is not None and not all(np.isfinite(one) and one >= least and one > 0 for one in given):
                said = "x".join(f"{one:g}" for one in given)
                needed = f"{SMALLEST} or more." if least else "Millimetres above 0."
                raise OptionError(found=f"{name} {said}.", needed=needed, do=f"Change {name}.")
        if None not in (self.size, self.spacing_mm, self.box_mm):
            raise OptionError(
                found="--image-size, --spacing-mm and --box-mm.",
                needed="Two of them at the most: a box in mm at a spacing in mm is of one size.",
                do="Leave one out.",
            )
        if self.stacks is not None and self.stacks not in STACKS:
            raise OptionError(
                found=f"--stacks {self.stacks}.", needed=f"One of {', '.join(STACKS)}.", do="Change --stacks."
            )

    @classmethod
    def again(cls, preparation: Preparation) -> Reading:
        """The reading that settles on this very preparation."""
        return cls(
            preparation.size, preparation.window, preparation.stacks, preparation.is_cropped, None, preparation.box_mm
        )

    def settle(self, shapes: Sequence[tuple[int, ...]], spacings: Sequence[tuple[float, ...] | None]) -> Preparation:
        """The preparation of images of these stored shapes, all pictures or all volumes.

        Raises
        ------
        CohortError
            A size with another number of sides than the images; a spacing in mm where most files state none.
        """
        axes = len(shapes[0])
        asked = Preparation((), self.window, self.stacks, self.is_cropped)
        if self.spacing_mm is None and self.box_mm is None:
            return replace(asked, size=_all_sides(self.size, axes) or _usual_size(shapes))
        box = _in_mm("--box-mm", self.box_mm, axes) or _usual_extent(shapes, spacings)
        if self.spacing_mm is not None:
            size = tuple(round(a / b) for a, b in zip(box, _in_mm("--spacing-mm", self.spacing_mm, axes), strict=True))
        else:
            size = _all_sides(self.size, axes) or tuple(round(side / max(box) * LARGEST_DEFAULT) for side in box)
        if not all(SMALLEST <= side <= LARGEST for side in size):
            raise CohortError(
                found=f"A box of {_written(box)} mm is {'x'.join(map(str, size))} pixels.",
                needed=f"Sides of {SMALLEST} to {LARGEST} pixels.",
                do="Change --spacing-mm or --box-mm.",
            )
        return replace(asked, size=size, box_mm=box)


def _all_sides(size: tuple[int, ...] | None, axes: int) -> tuple[int, ...]:
    """One number stands for every side; empty where none is given."""
    if size is None:
        return ()
    if len(size) not in (1, axes):
        raise CohortError(
            found=f"{'Pictures' if axes == 2 else 'Volumes'} to be brought to {'x'.join(map(str, size))}.",
            needed="Pictures have 2 sides." if axes == 2 else "These volumes have 3 sides.",
            do="Bring images of the other kind; or give --image-size a number for each side, as 48x64, or one for all.",
        )
    return size * axes if len(size) == 1 else size


def _in_mm(option: str, given: tuple[float, ...] | None, axes: int) -> tuple[float, ...]:
    if given is None:
        return ()
    if len(given) not in (1, axes):
        raise CohortError(
            found=f"{option} {_written(given)} for {'pictures' if axes == 2 else 'volumes'}.",
            needed=f"One number for all sides, or {axes}: "
            + ("rows x columns." if axes == 2 else "slices x rows x columns."),
            do=f"Change {option}.",
        )
    return given * axes if len(given) == 1 else given


def _written(sides: Sequence[float]) -> str:
    return "x".join(f"{side:g}" for side in sides)


def _usual_size(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """Square or cubic on the median short side, up to the limit; small volumes as they mostly are."""
    middle = np.median(shapes, axis=0)
    if len(middle) == 3 and middle.max() <= LARGEST_DEFAULT:
        return tuple(int(side) for side in middle)
    return (min(LARGEST_DEFAULT, int(np.median(np.min(shapes, axis=1)))),) * len(middle)


def _usual_extent(shapes: Sequence[tuple[int, ...]], spacings: Sequence[tuple[float, ...] | None]) -> tuple[float, ...]:
    """Median extent along each axis of the images that state their spacing."""
    known = [np.array(shape) * spacing for shape, spacing in zip(shapes, spacings, strict=True) if spacing is not None]
    if 2 * len(known) < len(shapes):
        raise CohortError(
            found=f"{len(shapes) - len(known)} of {len(shapes)} images do not state the spacing of their pixels.",
            needed="A spacing in every image where lengths in mm are asked for.",
            do="Leave --spacing-mm and --box-mm out, or bring files that state it.",
        )
    return tuple(round(float(side), 3) for side in np.median(known, axis=0))


@dataclass(frozen=True)
class Source:
    """What makes one image, by positions among the files asked for: a file, a frame of it, or the files of a series."""

    members: tuple[int, ...]
    shape: tuple[int, ...]
    frame: int | None = None
    is_stack: bool = False


def find_sources(
    headers: Sequence[Header | str], stacks: str | None, *, axes: int | None = None
) -> tuple[list[Source], dict[int, str]]:
    """What files make images, in order, and what does not, by position with the reason.

    Where some files are pictures (2 axes) and others volumes (3), those of `axes` are meant, else the commoner kind.
    """
    unreadable = {place: header for place, header in enumerate(headers) if isinstance(header, str)}
    found: list[Source] = []
    by_series: dict[str, list[int]] = {}
    for place, header in enumerate(headers):
        if isinstance(header, str):
            continue
        series = header.facts.get("series")
        if header.frames > 1:
            found += _sources_of_frames(place, header, stacks)
        elif stacks == "volumes" and series:
            by_series.setdefault(series, []).append(place)
        else:
            found.append(Source((place,), header.shape))
    for places in by_series.values():
        first = headers[places[0]]
        assert isinstance(first, Header)
        if len(places) == 1:
            unreadable[places[0]] = phrase("it is a series of a single picture, and volumes are asked for")
        else:
            found.append(Source(tuple(places), (len(places), *first.shape), is_stack=True))
    unreadable |= _refused_frames(headers, stacks)
    kinds = Counter(len(one.shape) for one in found)
    usual = axes or (kinds.most_common(1)[0][0] if kinds else 0)
    if set(kinds) - {usual}:
        odd = phrase("it is a volume among pictures") if usual == 2 else phrase("it is a picture among volumes")
        for one in found:
            unreadable |= refusal_of(one, odd) if len(one.shape) != usual else {}
        found = [one for one in found if len(one.shape) == usual]
    return sorted(found, key=lambda one: (one.members, one.frame or 0)), unreadable


def refusal_of(source: Source, reason: str) -> dict[int, str]:
    """An image that cannot be read, by the position of its first file: a series counts once."""
    n_files = len(source.members)
    return {source.members[0]: reason if n_files == 1 else f"{reason} (a series of {n_files} files)"}


def _sources_of_frames(place: int, header: Header, stacks: str | None) -> list[Source]:
    if stacks == "slices":
        return [Source((place,), header.shape, frame=frame) for frame in range(header.frames)]
    return [Source((place,), (header.frames, *header.shape), is_stack=True)] if stacks == "volumes" else []


def _refused_frames(headers: Sequence[Header | str], stacks: str | None) -> Mapping[int, str]:
    if stacks is not None:
        return {}
    return {
        place: f"it holds {header.frames} frames: --stacks slices takes each as an image, --stacks volumes all as one"
        for place, header in enumerate(headers)
        if isinstance(header, Header) and header.frames > 1
    }
