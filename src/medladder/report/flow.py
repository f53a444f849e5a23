"""The flow diagram: from the images given to those analysed, with every exclusion and its reason.

Source
------
The flow of participants that STARD (Bossuyt et al. 2015, doi:10.1136/bmj.h5527) and CLAIM (Tejani et al. 2024,
doi:10.1148/ryai.240300) ask for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from textwrap import wrap
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from ..language import counted, of_record, phrase, tr, translate
from ..record.cohort import CohortRecord
from . import wording
from .diagrams import LINE, add_text
from .svg import add, letter_width, number, start_svg, to_text
from .tables import PartCounts

REASONS = {
    "unreadable": phrase("could not be read"),
    "unlabelled": phrase("without a label"),
    "label-conflict": phrase("exact copies under two labels"),
    "held-apart": phrase("copy or patient of a test image, or kept for choosing"),
}
"""What an exclusion of cohort.json is called in the diagram; others are named by their own message."""

_LINE_HEIGHT, _PAD, _GAP = 18.0, 12.0, 26.0
_LETTER = 6.6  # mean width of a letter at 12 px
_MOST_CLASSES = 6


@dataclass(frozen=True)
class Flow:
    """Images from first to last: `n_given` = those left out, by reason, and `n_analysed`. Patients None: not known."""

    n_given: int
    left_out: tuple[tuple[str, int], ...]
    n_analysed: int
    n_patients: int | None
    parts: tuple[PartCounts, ...]


@dataclass(frozen=True)
class _Box:
    """Lines in a frame; the first is bold."""

    x: float
    y: float
    width: float
    lines: tuple[str, ...]

    @property
    def height(self) -> float:
        return 2 * _PAD + _LINE_HEIGHT * len(self.lines) - 5

    @property
    def bottom(self) -> float:
        return self.y + self.height

    @property
    def middle(self) -> float:
        return self.x + self.width / 2


def count_flow(cohort: CohortRecord, parts: Sequence[PartCounts]) -> Flow:
    """Every image of the cohort, and whether a rung ever saw it; `parts` as `tables.count_parts` counts them."""
    left_out = tuple((_reason(one), int(one["count"])) for one in cohort.excluded)
    in_parts = cohort.test_fold >= -2
    n_analysed = int(in_parts.sum())
    return Flow(
        n_given=n_analysed + sum(count for _, count in left_out),
        left_out=left_out,
        n_analysed=n_analysed,
        n_patients=len(np.unique(cohort.patients[in_parts])) if cohort.patients_known else None,
        parts=tuple(parts),
    )


def _reason(excluded: Mapping[str, Any]) -> str:
    known = REASONS.get(excluded["kind"])
    return of_record(excluded, "message") if known is None else translate(known)


def draw_flow(flow: Flow, classes: Sequence[str]) -> dict[str, str]:
    """For a wide page with exclusions at the side, and for a phone with everything in one column."""
    label = say_flow(flow)
    return {"wide": _draw(flow, classes, label, is_wide=True), "narrow": _draw(flow, classes, label, is_wide=False)}


def say_flow(flow: Flow) -> str:
    """The diagram in words, for those who do not see it."""
    reasons = "; ".join(f"{wording.count(count)} {reason}" for reason, count in flow.left_out)
    parts = "; ".join(f"{part.part}: {_size(part, flow.n_patients is not None)}" for part in flow.parts)
    return tr(
        "Of {given} {analysed} were analysed. Left out: {reasons}. {parts}.",
        given=counted(flow.n_given, "{n} image", "{n} images"),
        analysed=flow.n_analysed,
        reasons=reasons or phrase("none"),
        parts=parts,
    )


def _draw(flow: Flow, classes: Sequence[str], label: str, *, is_wide: bool) -> str:
    width = 720.0 if is_wide else 340.0
    main = 330.0 if is_wide else width - 2
    given = _Box(1, 1, main, (tr("Images given"), _images(flow.n_given)))
    side = width - main - 40 if is_wide else width - 2
    x_side = main + 39 if is_wide else 1
    left_out = _Box(x_side, given.bottom + _GAP, side, _reasons(flow, side)) if flow.left_out else None
    below = (left_out.bottom if left_out else given.bottom) + _GAP
    analysed = _Box(1, below, main, (tr("Analysed"), _patients(flow)))
    parts = _place_parts(flow, classes, analysed, width - 2 if is_wide else main, is_wide=is_wide)
    boxes = [given, *([left_out] if left_out else []), analysed, *parts]
    svg = start_svg(
        width, max(box.bottom for box in boxes) + 1, name=f"flow-{'wide' if is_wide else 'narrow'}", label=label
    )
    if left_out is None or is_wide:
        _arrow(svg, (given.middle, given.bottom), (given.middle, analysed.y))
        if left_out:
            across = left_out.y + left_out.height / 2
            _arrow(svg, (given.middle, across), (left_out.x, across))
    else:
        for before, after in pairwise((given, left_out, analysed)):
            _arrow(svg, (before.middle, before.bottom), (after.middle, after.y))
    for part in parts if is_wide else parts[:1]:
        _branch(svg, analysed, part)
    for before, after in pairwise([] if is_wide else parts):
        _arrow(svg, (before.middle, before.bottom), (after.middle, after.y), has_head=False)
    for box in boxes:
        _add_box(svg, box, is_side=box is left_out)
    return to_text(svg)


def _place_parts(flow: Flow, classes: Sequence[str], above: _Box, width: float, *, is_wide: bool) -> list[_Box]:
    """Side by side below the analysed images, or one below the other."""
    told = [_part_lines(part, classes, flow.n_patients is not None) for part in flow.parts]
    if is_wide:
        each = min((width - 14 * (len(told) - 1)) / len(told), above.width)
        return [_Box(1 + at * (each + 14), above.bottom + _GAP, each, lines) for at, lines in enumerate(told)]
    boxes: list[_Box] = []
    for lines in told:
        boxes.append(_Box(1, (boxes[-1] if boxes else above).bottom + _GAP, width, lines))
    return boxes


def _part_lines(part: PartCounts, classes: Sequence[str], patients_known: bool) -> tuple[str, ...]:
    by_class = [
        f"{name}: {_images_of(images, patients) if patients_known else wording.count(images)}"
        for name, images, patients in zip(classes, part.images, part.patients, strict=True)
    ]
    n_more = len(by_class) - _MOST_CLASSES
    more = [translate(counted(n_more, "and {n} more class", "and {n} more classes"))] if n_more > 0 else []
    return (part.part, _size(part, patients_known), *by_class[:_MOST_CLASSES], *more)


def _images_of(images: int, patients: int) -> str:
    return translate(counted(patients, "{images} of {n} patient", "{images} of {n} patients", images=images))


def _images(n: int) -> str:
    return translate(counted(n, "{n} image", "{n} images"))


def _size(part: PartCounts, patients_known: bool) -> str:
    n = sum(part.images)
    return _said_of(n, part.all_patients) if patients_known else _images(n)


def _patients(flow: Flow) -> str:
    n = flow.n_analysed
    return _images(n) if flow.n_patients is None else _said_of(n, flow.n_patients)


def _said_of(n_images: int, n_patients: int) -> str:
    return tr(
        "{images} of {patients}",
        images=counted(n_images, "{n} image", "{n} images"),
        patients=counted(n_patients, "{n} patient", "{n} patients"),
    )


def _reasons(flow: Flow, width: float) -> tuple[str, ...]:
    n_left_out = sum(count for _, count in flow.left_out)
    lines = [tr("Left out: {images}", images=counted(n_left_out, "{n} image", "{n} images"))]
    for reason, count in flow.left_out:
        text = tr("{count} {reason}", count=count, reason=reason)
        lines += wrap(text, int((width - 2 * _PAD) / letter_width(text, _LETTER)))
    return tuple(lines)


def _add_box(svg: Element, box: _Box, *, is_side: bool) -> None:
    add(
        svg, "rect", x=box.x, y=box.y, width=box.width, height=box.height, rx=4, fill="#f6f7f8" if is_side else "#fff",
        stroke=LINE, stroke_width=1,
    )  # fmt: skip
    for at, line in enumerate(box.lines):
        room = int((box.width - 2 * _PAD) / letter_width(line, _LETTER))
        shown = line if len(line) <= room else line[: room - 1] + "…"
        add_text(svg, box.x + _PAD, box.y + _PAD + 10 + at * _LINE_HEIGHT, shown, weight="400" if at else "600")


def _branch(svg: Element, above: _Box, below: _Box) -> None:
    """From the middle of one box down, across and down onto another."""
    turn = above.bottom + _GAP / 2
    add(
        svg, "path", d=f"M{number(above.middle)} {number(above.bottom)}V{number(turn)}H{number(below.middle)}",
        fill="none", stroke=LINE, stroke_width=1.2,
    )  # fmt: skip
    _arrow(svg, (below.middle, turn), (below.middle, below.y))


def _arrow(svg: Element, start: tuple[float, float], end: tuple[float, float], *, has_head: bool = True) -> None:
    (x1, y1), (x2, y2) = start, end
    add(svg, "line", x1=x1, y1=y1, x2=x2, y2=y2, stroke=LINE, stroke_width=1.2)
    if has_head:
        back = ((-6, -3.5), (-6, 3.5)) if y1 == y2 else ((-3.5, -6), (3.5, -6))
        points = " ".join(f"{number(x2 + dx)},{number(y2 + dy)}" for dx, dy in ((0, 0), *back))
        add(svg, "polygon", points=points, fill=LINE)
