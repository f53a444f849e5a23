"""Copies side by side on one page, for someone to look at: names and images, so for the holder of the data only."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from html import escape

import numpy as np
from PIL import Image as Pillow

from ..cohort import Cohort
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
    *("as it is", "flipped upside down", "flipped left to right", "turned by 180°"),
    *("mirrored at the diagonal", "turned by 90°", "turned by 270°", "mirrored at the other diagonal"),
)


def draw_pairs(cohort: Cohort, near: NearCopies) -> str:
    """A whole HTML page of near copies, then exact ones, with the part and class of each."""
    order = np.argsort(near.agreement, kind="stable")[:MOST_PAIRS]
    nearly = [
        _figure(
            cohort,
            int(near.pairs[i, 0]),
            int(near.pairs[i, 1]),
            f"Detail agrees {near.agreement[i]:.2f}; the second is shown {_POSITIONS[near.position[i]]}.",
            int(near.position[i]),
        )
        for i in order.tolist()
    ]
    exact = [_figure(cohort, one, other, "Same pixels.", 0) for one, other in _exact(cohort)]
    body = "".join(
        f"<h2>{title}: {n}</h2>"
        + (f"<p>{len(drawn)} of them:</p>" if n > len(drawn) else "")
        + f'<div class="pairs">{"".join(drawn)}</div>'
        for title, n, drawn in (
            ("Pairs nearly the same", len(near.pairs), nearly),
            ("Exact copies", len(cohort.contents) - len(np.unique(cohort.contents)), exact),
        )
    )
    title = f"Copies in {escape(cohort.name)}"
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{_STYLE}</style>"
        f"<h1>{title}</h1><p>Shows images and file names: for those who may see them.</p>{body}</html>\n"
    )


def _exact(cohort: Cohort) -> Iterator[tuple[int, int]]:
    """The first image of each content with each of its copies."""
    _, first, content = np.unique(cohort.contents, return_index=True, return_inverse=True)
    copies = np.flatnonzero(first[content] != np.arange(len(content)))[:MOST_PAIRS]
    yield from zip(first[content[copies]].tolist(), copies.tolist(), strict=True)


def _figure(cohort: Cohort, one: int, other: int, what: str, position: int) -> str:
    planes = grey_planes(cohort.images, np.array([one, other]))
    shown = (planes[0], positioned(planes[1:], position)[0])
    pictures = "".join(
        f'<div><img alt="" src="data:image/png;base64,{_png(plane)}">'
        f"<p>{escape(cohort.files[row])}<br>{cohort.parts[row]}, {escape(cohort.classes[cohort.labels[row]])}</p></div>"
        for row, plane in zip((one, other), shown, strict=True)
    )
    unlike = []
    if cohort.parts[one] != cohort.parts[other]:
        unlike.append("on two sides of the split")
    if cohort.labels[one] != cohort.labels[other]:
        unlike.append("under two labels")
    warning = f" <strong>They stand {' and '.join(unlike)}.</strong>" if unlike else ""
    return f'<figure><div class="two">{pictures}</div><p>{what}{warning}</p></figure>'


def _png(plane: np.ndarray) -> str:
    file = io.BytesIO()
    Pillow.fromarray((plane * 255).round().astype(np.uint8)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode("ascii")
