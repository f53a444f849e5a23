"""Copies side by side on one page, for someone to look at: names and images, so for the holder of the data only."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

import numpy as np
from jaxtyping import Int
from PIL import Image as Pillow

from ..cohort import Cohort
from ..language import phrase, speaking, spoken, tr, translate
from .finding import PARTS
from .near import NearCopies
from .thumbnails import grey_planes, positioned

MOST_PAIRS = 300
"""On one page; the least alike first, since these are most in doubt."""

_STYLE = (
    "body{font:15px/1.45 system-ui,sans-serif;color:#222;margin:2rem auto;max-width:82rem;padding:0 1.5rem}"
    ".pairs{display:grid;grid-template-columns:repeat(auto-fill,minmax(22rem,1fr));gap:1.25rem}"
    "figure{margin:0;padding:.75rem;border:1px solid #ddd;border-radius:6px}"
    ".two{display:grid;grid-template-columns:1fr 1fr;gap:.75rem}"
    "img{width:100%;image-rendering:pixelated;display:block}"
    "p{margin:.25rem 0;overflow-wrap:anywhere}figure p{font-size:12px}strong{color:#a33}"
)
_POSITIONS = (
    *(phrase("as it is"), phrase("flipped upside down"), phrase("flipped left to right"), phrase("turned by 180°")),
    *(phrase("mirrored at the diagonal"), phrase("turned by 90°"), phrase("turned by 270°")),
    phrase("mirrored at the other diagonal"),
)


def draw_pairs(cohort: Cohort, near: NearCopies, *, language: str = "en") -> str:
    """A whole HTML page of near copies, then exact ones, with the part and class of each.

    `language` is a code of `language.LANGUAGES`; raises OptionError for another.
    """
    with speaking(language):
        return _page(cohort, near)


def _page(cohort: Cohort, near: NearCopies) -> str:
    order = _in_doubt(near)[:MOST_PAIRS]
    nearly = [_figure(_show_near(cohort, near, i)) for i in order.tolist()]
    exact = [_figure(_show(cohort, one, other, tr("Same pixels."), 0)) for one, other in _exact(cohort)]
    n_near, n_exact = len(near.pairs), len(cohort.contents) - len(np.unique(cohort.contents))
    some = tr("{shown} of them:", shown=MOST_PAIRS)
    body = "".join(
        f"<h2>{escape(title)}</h2>"
        + (f"<p>{escape(some)}</p>" if n > len(drawn) else "")
        + f'<div class="pairs">{"".join(drawn)}</div>'
        for title, n, drawn in (
            (tr("Pairs nearly the same: {count}", count=n_near), n_near, nearly),
            (tr("Exact copies: {count}", count=n_exact), n_exact, exact),
        )
    )
    title = escape(tr("Copies in {cohort}", cohort=cohort.name))
    for_whom = escape(tr("Shows images and file names: for those who may see them."))
    return (
        f'<!doctype html><html lang="{spoken()}"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{_STYLE}</style>"
        f"<h1>{title}</h1><p>{for_whom}</p>{body}</html>\n"
    )


def _exact(cohort: Cohort) -> Iterator[tuple[int, int]]:
    """The first image of each content with each of its copies."""
    _, first, content = np.unique(cohort.contents, return_index=True, return_inverse=True)
    copies = np.flatnonzero(first[content] != np.arange(len(content)))[:MOST_PAIRS]
    yield from zip(first[content[copies]].tolist(), copies.tolist(), strict=True)


@dataclass(frozen=True)
class Side:
    """One image of a pair: its row of the cohort, its picture as a data URI, and what is known of it."""

    row: int
    picture: str
    file: str
    part: str
    class_: str


@dataclass(frozen=True)
class Shown:
    """Two images side by side, and what is said of them; `place` is the pair's among all near copies."""

    place: int
    sides: tuple[Side, Side]
    what: str
    warning: str


def show_near_pairs(cohort: Cohort, near: NearCopies, first: int, most: int) -> tuple[Shown, ...]:
    """Near copies, those most in doubt first, from the `first` on, in the language spoken."""
    return tuple(_show_near(cohort, near, i) for i in _in_doubt(near)[first : first + most].tolist())


def _in_doubt(near: NearCopies) -> Int[np.ndarray, " pair"]:
    return np.argsort(near.agreement, kind="stable")


def _show_near(cohort: Cohort, near: NearCopies, i: int) -> Shown:
    what = tr(
        "Detail agrees {agreement}; the second is shown {position}.",
        agreement=format(near.agreement[i], ".2f"),
        position=_POSITIONS[near.position[i]],
    )
    return _show(cohort, int(near.pairs[i, 0]), int(near.pairs[i, 1]), what, int(near.position[i]), place=i)


def _show(cohort: Cohort, one: int, other: int, what: str, position: int, *, place: int = 0) -> Shown:
    planes = grey_planes(cohort.images, np.array([one, other]))
    pictures = (planes[0], positioned(planes[1:], position)[0])
    first, second = (
        Side(
            row,
            f"data:image/png;base64,{_png(plane)}",
            str(cohort.files[row]),
            translate(PARTS[str(cohort.parts[row])]),
            cohort.classes[cohort.labels[row]],
        )
        for row, plane in zip((one, other), pictures, strict=True)
    )
    warning = _warning(
        is_split=bool(cohort.parts[one] != cohort.parts[other]),
        is_mixed=bool(cohort.labels[one] != cohort.labels[other]),
    )
    return Shown(place, (first, second), what, warning)


def _figure(shown: Shown) -> str:
    pictures = "".join(
        f'<div><img alt="" src="{side.picture}"><p>{escape(side.file)}<br>{side.part}, {escape(side.class_)}</p></div>'
        for side in shown.sides
    )
    warning = f" <strong>{escape(shown.warning)}</strong>" if shown.warning else ""
    return f'<figure><div class="two">{pictures}</div><p>{escape(shown.what)}{warning}</p></figure>'


def _warning(*, is_split: bool, is_mixed: bool) -> str:
    if is_split and is_mixed:
        return tr("They stand on two sides of the split and under two labels.")
    if is_split:
        return tr("They stand on two sides of the split.")
    return tr("They stand under two labels.") if is_mixed else ""


def _png(plane: np.ndarray) -> str:
    file = io.BytesIO()
    Pillow.fromarray((plane * 255).round().astype(np.uint8)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode("ascii")
