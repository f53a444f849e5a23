"""One image on its way into a network: rows laid end to end, each number of the vector an input node."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import pairwise
from math import prod
from xml.etree.ElementTree import Element

import numpy as np
from jaxtyping import Float
from matplotlib import image as raster

from ..language import tr
from . import wording
from .diagrams import Place, add_counts_above, add_network, add_text, choose_layers
from .palette import FAINT, INK, deepen
from .svg import add, number, start_svg, to_text

_STRIP, _GAP = 22.0, 30.0


@dataclass(frozen=True)
class Layout:
    """Where the parts stand: across a page, or down a phone with the network below."""

    name: str
    width: float
    is_down: bool
    image_x: float
    image_side: float
    strip_x: float
    top: float
    segment: float
    spacing: float


_ACROSS = Layout("wide", 960, False, 4, 250, 372, 44, 80, 24)
_DOWN = Layout("narrow", 350, True, 4, 176, 300, 40, 56, 22)


def draw_unrolling(
    layers: Sequence[int],
    shape: Sequence[int],
    picture: Float[np.ndarray, "row column channel"] | None,
    *,
    outputs: Sequence[str],
    label: str,
) -> dict[str, str]:
    """The same diagram in both layouts; without a picture its cells stay empty."""
    if picture is None:
        rows, columns = shape[-3:-1] if len(shape) > 2 else shape
        picture = np.full((rows, columns, 1), 0.93)
    return {
        layout.name: _draw(layers, describe_size(shape, layers[0]), picture, outputs, layout, label)
        for layout in (_ACROSS, _DOWN)
    }


def describe_size(shape: Sequence[int], inputs: int) -> str:
    """How an image's sides multiply to the number of input nodes.

    Example
    -------
    >>> describe_size([28, 28], 784), describe_size([64, 64, 3], 12288)
    ('28 × 28 = 784', '64 × 64 × 3 = 12,288')
    """
    sides = list(shape[:-1]) if len(shape) == 4 and shape[-1] == 1 else list(shape)
    sides = sides[:-1] if len(sides) == 3 and len(shape) == 3 and sides[-1] == 1 else sides
    text = " × ".join(str(side) for side in sides)
    return f"{text} = {wording.count(inputs)}" if prod(sides) == inputs else text


def unroll_row(row: Float[np.ndarray, "column channel"]) -> Float[np.ndarray, "cell rgb"]:
    """One cell a number: a grey pixel stays one, a colour pixel becomes a red, a green and a blue cell."""
    if row.shape[1] == 1:
        return np.repeat(row, 3, axis=1)
    cells: Float[np.ndarray, "cell rgb"] = (row[:, :, None] * np.eye(3)).reshape(-1, 3)
    return cells


def _draw(
    layers: Sequence[int],
    size: str,
    picture: Float[np.ndarray, "row column channel"],
    outputs: Sequence[str],
    layout: Layout,
    label: str,
) -> str:
    drawn, left_out = choose_layers(layers)
    strip_end = layout.top + 3 * layout.segment + 2 * _GAP
    pitch = 62.0
    height = strip_end + 96 + (len(drawn) + bool(left_out) - 1) * pitch if layout.is_down else strip_end + 14
    svg = start_svg(layout.width, height, name=f"unrolled-{layout.name}", label=label)
    _add_strip(svg, picture, layout, strip_end)
    add_text(svg, layout.image_x, 16, size, weight="600")
    add_text(svg, layout.strip_x + _STRIP / 2, 16, tr("row by row"), anchor="middle", weight="600")

    def place(depth: float, across: float) -> tuple[float, float]:
        if layout.is_down:
            return 186 + across, strip_end + 56 + depth * (height - strip_end - 96)
        return 518 + depth * 306, (layout.top + strip_end) / 2 + across

    ends = (drawn[0].offsets(layout.spacing)[0], drawn[0].offsets(layout.spacing)[-1])
    _add_funnel(svg, layout, strip_end, place(0, ends[0] - 9), place(0, ends[1] + 9))
    add_network(svg, drawn, left_out, place, spacing=layout.spacing)
    if layout.is_down:
        for layer in drawn:
            add_text(svg, 2, place(layer.depth, 0)[1], wording.count(layer.nodes), weight="600", baseline="central")
    else:
        add_counts_above(svg, drawn, place, 16)
    _add_outputs(svg, drawn[-1].offsets(layout.spacing), outputs, layout, place, is_elided=drawn[-1].is_elided)
    return to_text(svg)


def _add_strip(
    svg: Element, picture: Float[np.ndarray, "row column channel"], layout: Layout, strip_end: float
) -> None:
    """The image, its first, middle and last row marked on it, and the same rows in the vector."""
    rows, columns, _ = picture.shape
    pixel = layout.image_side / max(rows, columns)
    x, width, image_height = layout.image_x, columns * pixel, rows * pixel
    y = (layout.top + strip_end - image_height) / 2
    _add_raster(svg, picture, x, y, width, image_height)
    marked = list(dict.fromkeys([0, rows // 2, rows - 1]))
    tops = [layout.top + i * (layout.segment + _GAP) for i in range(len(marked))]
    for row, top, colour in zip(marked, tops, deepen(3), strict=False):
        row_y = y + row * pixel
        start, end, bend = x + width, layout.strip_x, (x + width + layout.strip_x) / 2
        edges = [number(value) for value in (start, row_y, bend, end, top, top + layout.segment, row_y + pixel)]
        x0, y0, xm, x1, y1, y2, y3 = edges
        ribbon = f"M{x0} {y0}C{xm} {y0} {xm} {y1} {x1} {y1}V{y2}C{xm} {y2} {xm} {y3} {x0} {y3}Z"
        add(svg, "path", d=ribbon, fill=colour, opacity=0.3)
        cells = unroll_row(picture[row])[:, None]
        _add_raster(svg, cells, layout.strip_x, top, _STRIP, layout.segment)
        for left, upper, wide, high in (
            (x, row_y, width, pixel),
            (layout.strip_x, top, _STRIP, layout.segment),
        ):
            add(svg, "rect", x=left, y=upper, width=wide, height=high, fill="none", stroke=colour, stroke_width=2)
        middle = top + layout.segment / 2
        text = add_label(svg, layout.strip_x - 10, middle, tr("row {n}", n=row + 1))
        text.set("text-anchor", "end")
    for before, after in pairwise(zip(marked, tops, strict=True)):
        if after[0] - before[0] > 1:
            for step in (-7, 0, 7):
                gap = after[1] - _GAP / 2 + step
                add(svg, "circle", cx=layout.strip_x + _STRIP / 2, cy=gap, r=1.7, fill=INK)


def add_label(svg: Element, x: float, y: float, text: str) -> Element:
    """Text that stays legible over a ribbon."""
    return add(
        svg, "text", text, x=x, y=y, font_size=12, fill=INK, dominant_baseline="central",
        stroke="#ffffff", stroke_width=3, stroke_opacity=0.75, paint_order="stroke",
    )  # fmt: skip


def _add_funnel(
    svg: Element, layout: Layout, strip_end: float, first: tuple[float, float], last: tuple[float, float]
) -> None:
    """The way from the vector to the input nodes, a number to each."""
    if layout.is_down:
        corners = [(layout.strip_x, strip_end + 3), (layout.strip_x + _STRIP, strip_end + 3), last, first]
    else:
        right = layout.strip_x + _STRIP + 3
        corners = [(right, layout.top), (right, strip_end), last, first]
    points = " ".join(f"{number(x)},{number(y)}" for x, y in corners)
    add(svg, "polygon", points=points, fill=FAINT, opacity=0.45)


def _add_outputs(
    svg: Element, offsets: Sequence[float], outputs: Sequence[str], layout: Layout, place: Place, *, is_elided: bool
) -> None:
    """What each output node says, where there is room to name them all."""
    if is_elided or (layout.is_down and len(outputs) > 1):
        return
    for offset, output in zip(offsets, outputs, strict=True):
        x, y = place(1, offset)
        if layout.is_down:
            add_text(svg, x, y + 30, wording.shorten(output, 36), anchor="middle")
        else:
            add_text(svg, x + 18, y, wording.shorten(output, 17), baseline="central")


def _add_raster(
    svg: Element, pixels: Float[np.ndarray, "row column channel"], x: float, y: float, width: float, height: float
) -> None:
    """Pixels as they are, without smoothing, inside the page."""
    buffer = BytesIO()
    rgb = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
    raster.imsave(buffer, np.ascontiguousarray(np.clip(rgb, 0, 1)), format="png")
    add(
        svg, "image", href="data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii"),
        x=x, y=y, width=width, height=height, preserveAspectRatio="none", style="image-rendering:pixelated",
    )  # fmt: skip
