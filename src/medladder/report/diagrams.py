"""Networks as the lecture draws them: a circle a node, colours deepening toward the output, real node counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log2
from xml.etree.ElementTree import Element

from ..language import counted, tr, translate
from . import wording
from .palette import INK, SOFT, deepen
from .svg import add, number, start_svg, to_text

LINE = "#aab0b8"
# A deeper network is drawn as its first and last layers, with the number left out said between them.
_MOST_LAYERS, _FIRST, _LAST = 7, 3, 3
_LETTER = 6.8  # width of a digit at 12 px

Place = Callable[[float, float], tuple[float, float]]
"""From depth (0 at the input, 1 at the output) and pixels across the network to x and y."""


@dataclass(frozen=True)
class Layer:
    """One layer as drawn: `shown` of its `nodes` are circles, dots stand for the rest."""

    nodes: int
    shown: int
    depth: float
    colour: str

    @property
    def is_elided(self) -> bool:
        """Whether dots stand for some of the nodes."""
        return self.shown < self.nodes

    def offsets(self, spacing: float) -> list[float]:
        """Where the circles stand across the network, about 0; two slots in the middle are the dots'."""
        before = (self.shown + 1) // 2 if self.is_elided else self.shown
        slots = self.shown + (2 if self.is_elided else 0)
        steps = [*range(before), *range(slots - self.shown + before, slots)]
        return [(step - (slots - 1) / 2) * spacing for step in steps]


def draw_network(layers: Sequence[int], *, name: str, label: str) -> str:
    """One network, from its input at the left to its output at the right."""
    width, height, inset = 340, 290, 36
    svg = start_svg(width, height, name=name, label=label)
    drawn, left_out = choose_layers(layers)

    def place(depth: float, across: float) -> tuple[float, float]:
        return inset + depth * (width - 2 * inset), 152 + across

    add_network(svg, drawn, left_out, place, spacing=19)
    add_counts_above(svg, drawn, place, 18)
    for depth, role in ((0.0, tr("input")), (1.0, tr("output"))):
        add_text(svg, place(depth, 0)[0], height - 6, role, anchor="middle", colour=SOFT)
    if len(layers) > 2:
        hidden = translate(counted(len(layers) - 2, "one hidden layer", "{n} hidden layers"))
        add_text(svg, width / 2, height - 6, hidden, anchor="middle", colour=SOFT)
    return to_text(svg)


def choose_layers(layers: Sequence[int]) -> tuple[list[Layer], int]:
    """The layers to draw, and how many are left out of the middle so that any depth stays legible."""
    is_deep = len(layers) > _MOST_LAYERS
    chosen = [*layers[:_FIRST], *layers[-_LAST:]] if is_deep else list(layers)
    places = [float(i + (is_deep and i >= _FIRST)) for i in range(len(chosen))]
    colours = deepen(len(chosen))
    drawn = [
        Layer(nodes, count_shown(nodes), place / places[-1], colour)
        for nodes, place, colour in zip(chosen, places, colours, strict=True)
    ]
    return drawn, len(layers) - len(chosen)


def count_shown(nodes: int) -> int:
    """Circles for a layer: all of a few, else an even number that grows with the logarithm."""
    return nodes if nodes <= 6 else max(6, min(10, 2 * round(log2(nodes) / 2)))


def add_network(svg: Element, drawn: Sequence[Layer], left_out: int, place: Place, *, spacing: float) -> None:
    """Every connection between the nodes shown, then the nodes over them."""
    lines = []
    for i, (before, after) in enumerate(pairwise(drawn)):
        if left_out and i == _FIRST - 1:
            _add_left_out(svg, before, after, left_out, place)
            continue
        for start in before.offsets(spacing):
            for end in after.offsets(spacing):
                (x1, y1), (x2, y2) = place(before.depth, start), place(after.depth, end)
                lines.append(f"M{number(x1)} {number(y1)}L{number(x2)} {number(y2)}")
    add(svg, "path", d="".join(lines), fill="none", stroke=LINE, stroke_width=0.6, opacity=0.75)
    for layer in drawn:
        add_nodes(svg, layer, place, spacing)


def add_nodes(svg: Element, layer: Layer, place: Place, spacing: float) -> None:
    """The circles of one layer, and the dots for those not shown."""
    radius = 11.0 if layer.nodes == 1 else spacing * 0.36
    for offset in layer.offsets(spacing):
        x, y = place(layer.depth, offset)
        add(svg, "circle", cx=x, cy=y, r=radius, fill=layer.colour, stroke=INK, stroke_width=0.8)
    if layer.is_elided:
        for step in (-0.5, 0.0, 0.5):
            x, y = place(layer.depth, step * spacing)
            add(svg, "circle", cx=x, cy=y, r=1.6, fill=INK)


def _add_left_out(svg: Element, before: Layer, after: Layer, left_out: int, place: Place) -> None:
    """Three dots and the number of layers they stand for."""
    for share in (0.4, 0.5, 0.6):
        x, y = place(before.depth + share * (after.depth - before.depth), 0)
        add(svg, "circle", cx=x, cy=y, r=2, fill=INK)
    x, y = place((before.depth + after.depth) / 2, 0)
    add_text(svg, x, y - 14, tr("{n} more", n=left_out), anchor="middle", colour=SOFT)


def add_counts_above(svg: Element, drawn: Sequence[Layer], place: Place, y: float) -> None:
    """Each layer's number of nodes over it, on two levels where they would touch on one."""
    texts = [wording.count(layer.nodes) for layer in drawn]
    add_row(svg, texts, [place(layer.depth, 0)[0] for layer in drawn], y, weight="600")


def add_row(
    svg: Element, texts: Sequence[str], places: Sequence[float], y: float, *, colour: str = INK, weight: str = "400"
) -> None:
    """Texts side by side, on two levels where they would touch on one."""
    is_tight = any(
        (len(a) + len(b)) / 2 * _LETTER + 6 > end - start
        for (a, start), (b, end) in pairwise(zip(texts, places, strict=True))
    )
    for i, (text, x) in enumerate(zip(texts, places, strict=True)):
        add_text(svg, x, y + (16 if is_tight and i % 2 else 0), text, anchor="middle", colour=colour, weight=weight)


def add_text(
    svg: Element,
    x: float,
    y: float,
    text: str,
    *,
    anchor: str = "start",
    colour: str = INK,
    weight: str = "400",
    baseline: str = "auto",
) -> None:
    """Text at 12 px in the page's font; `baseline` "central" stands it beside a node."""
    add(
        svg, "text", text, x=x, y=y, text_anchor=anchor, fill=colour, font_weight=weight, font_size=12,
        dominant_baseline=baseline,
    )  # fmt: skip
