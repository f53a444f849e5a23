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
    "body{font:14px system-ui,sans-serif;margin:2rem;max-width:70rem}"
    "figure{display:inline-block;margin:.5rem;width:20rem}"
    "img{width:10rem;image-rendering:pixelated}figcaption{overflow-wrap:anywhere;font-size:12px}"
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
            f"detail agrees {near.agreement[i]:.2f}",
            int(near.position[i]),
        )
        for i in order.tolist()
    ]
    exact = [_figure(cohort, one, other, "same pixels", 0) for one, other in _exact(cohort)]
    body = "".join(
        f"<h2>{title}: {n}</h2>" + (f"<p>{len(drawn)} of them:</p>" if n > len(drawn) else "") + "".join(drawn)
        for title, n, drawn in (
            ("Pairs nearly the same", len(near.pairs), nearly),
            ("Exact copies", len(cohort.contents) - len(np.unique(cohort.contents)), exact),
        )
    )
    title = f"Copies in {escape(cohort.name)}"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"<h1>{title}</h1><p>Shows images and file names: for those who may see them.</p>{body}</html>\n"
    )


def _exact(cohort: Cohort) -> Iterator[tuple[int, int]]:
    """The first image of each content with each of its copies."""
    _, first, content = np.unique(cohort.contents, return_index=True, return_inverse=True)
    copies = np.flatnonzero(first[content] != np.arange(len(content)))[:MOST_PAIRS]
    yield from zip(first[content[copies]].tolist(), copies.tolist(), strict=True)


def _figure(cohort: Cohort, one: int, other: int, what: str, position: int) -> str:
    planes = grey_planes(cohort.images, np.array([one, other]))
    pictures = "".join(
        f'<img alt="" src="data:image/png;base64,{_png(plane)}">'
        for plane in (planes[0], positioned(planes[1:], position)[0])
    )
    told = ""
    for row in (one, other):
        place = f"{cohort.parts[row]}, {cohort.classes[cohort.labels[row]]}"
        told += f"<br>{escape(cohort.files[row])} ({escape(place)})"
    return f"<figure>{pictures}<figcaption>{what}, second {_POSITIONS[position]}{told}</figcaption></figure>"


def _png(plane: np.ndarray) -> str:
    file = io.BytesIO()
    Pillow.fromarray((plane * 255).round().astype(np.uint8)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode("ascii")
