"""Networks drawn small, for one thing to be pointed out in them: a layer's units, or where extractor ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt
from xml.etree.ElementTree import Element

from ..architecture import ConvolutionLayer
from ..architecture import Layer as PlannedLayer
from ..language import tr
from .diagrams import Layer, Place, add_network, add_nodes, add_text, choose_layers
from .figures import thin_out
from .palette import INK, NAVY, SOFT, deepen
from .svg import add, start_svg, to_text

RED, GREEN = "#c8102e", "#2e7d4f"
"""Of regions, and of the classifier's box."""

_SHEET = 3.0  # by which the sheets of a stack are set off
_TURN = 0.34  # maps are seen from the side: their width is drawn as short
_OUTPUT = 20.0


@dataclass(frozen=True)
class Span:
    """Where one layer stands in a sketch; several that are left out share the place of their dots."""

    left: float
    right: float
    top: float
    bottom: float


@dataclass(frozen=True)
class Frame:
    """The part of a drawing that a network may fill."""

    left: float
    right: float
    top: float
    bottom: float

    @property
    def middle(self) -> float:
        """Half of its height."""
        return (self.top + self.bottom) / 2


def draw_marked(layers: Sequence[PlannedLayer], marked: int, n_marked: int, *, name: str, label: str) -> str:
    """A network with `n_marked` units of one layer (0: the input) outlined in red."""
    width, height = 250.0, 150.0
    svg = start_svg(width, height, name=name, label=label)
    spans = _add(svg, layers, Frame(14, width - 16, 6, height - 6), 7, marked=marked, n_marked=n_marked)
    if not n_marked:  # a layer without a unit to show is pointed at, in another way
        span = spans[marked]
        add(
            svg, "rect", x=span.left - 4, y=span.top - 7, width=span.right - span.left + 8,
            height=span.bottom - span.top + 14, rx=5, fill="none", stroke=SOFT, stroke_width=1.4,
            stroke_dasharray="3 3",
        )  # fmt: skip
    return to_text(svg)


def draw_parted(layers: Sequence[PlannedLayer], last: int | None, *, name: str, label: str) -> str:
    """A network with a box around its extractor, up to the layer `last`, and a green one around its classifier.

    `last` of 0, the input, leaves nothing to extract.
    """
    width, height = 400.0, 270.0
    svg = start_svg(width, height, name=name, label=label)
    spans = _add(svg, layers, Frame(28, width - 34, 50, height - 48), 13)
    last = len(spans) - 2 if last is None else min(last, len(spans) - 2)
    # A layer that is left out stands in the dots, which no edge may cross.
    following = next(span for span in spans[last + 1 :] if span != spans[last])
    edge = (spans[last].right + following.left) / 2
    top, bottom = min(span.top for span in spans) - 15, max(span.bottom for span in spans) + 15
    box: dict[str, float | str] = {"y": top, "height": bottom - top, "rx": 9.0, "fill": "none"}
    right = width - 4
    if last == 0:
        add_text(svg, 4, top - 10, tr("nothing to extract"), colour=SOFT)
    else:
        add(svg, "rect", x=4, width=edge - 6.5, stroke=NAVY, stroke_width=1.8, stroke_dasharray="6 4", **box)
        add_text(svg, 4, top - 10, tr("feature extractor"), colour=NAVY, weight="600")
    add(svg, "rect", x=edge + 2.5, width=right - edge - 2.5, stroke=GREEN, stroke_width=2.4, **box)
    add_text(svg, right, top - 10, tr("classifier"), anchor="end", colour=GREEN, weight="600")
    _name_layers(svg, spans, bottom + 18)
    return to_text(svg)


def _name_layers(svg: Element, spans: Sequence[Span], y: float) -> None:
    """Names as on the axis of a curve over layers, as many as there is room for."""
    names = [tr("input"), *(str(i) for i in range(1, len(spans) - 1)), tr("output")]
    places = [(span.left + span.right) / 2 for span in spans]
    is_shared = [places.count(place) > 1 for place in places]  # by layers left out, whose number their dots say
    kept = thin_out(["" if shared else name for name, shared in zip(names, is_shared, strict=True)], places, 12)
    for name, x in zip(kept, places, strict=True):
        if name:
            add_text(svg, x, y, name, anchor="middle", colour=SOFT)


def _add(
    svg: Element,
    layers: Sequence[PlannedLayer],
    frame: Frame,
    gap: float,
    *,
    marked: int | None = None,
    n_marked: int = 0,
) -> list[Span]:
    """Every layer, stacks at least `gap` apart."""
    stacks = [layer for layer in layers[:-1] if isinstance(layer, ConvolutionLayer)]
    if stacks:
        return _add_maps(svg, stacks, layers[-1].nodes, frame, gap, marked, n_marked)
    return _add_dense(svg, [layer.nodes for layer in layers], frame, marked, n_marked)


def _add_dense(svg: Element, nodes: Sequence[int], frame: Frame, marked: int | None, n_marked: int) -> list[Span]:
    drawn, left_out = choose_layers(nodes)
    spacing = (frame.bottom - frame.top) / 12

    def place(depth: float, across: float) -> tuple[float, float]:
        return frame.left + depth * (frame.right - frame.left), frame.middle + across

    add_network(svg, drawn, left_out, place, spacing=spacing)
    n_first = _drawn_before_dots(drawn) if left_out else len(drawn)
    spans = []
    for layer in range(len(nodes)):
        if layer < n_first or layer >= n_first + left_out:
            one = drawn[layer if layer < n_first else layer - left_out]
            half = 11.0 if one.nodes == 1 else spacing * 0.36
            x, offsets = place(one.depth, 0)[0], one.offsets(spacing)
            spans.append(Span(x - half, x + half, frame.middle + offsets[0], frame.middle + offsets[-1]))
            if layer == marked:
                _ring_nodes(svg, one, n_marked, place, spacing)
        else:
            before, after = drawn[n_first - 1], drawn[n_first]
            x = place((before.depth + after.depth) / 2, 0)[0]
            spans.append(Span(x - 12, x + 12, frame.middle - 10, frame.middle + 10))
            if layer == marked:
                add(
                    svg, "rect", x=x - 16, y=frame.middle - 9, width=32, height=18, rx=9, fill="none", stroke=RED,
                    stroke_width=2.4,
                )  # fmt: skip
    return spans


def _drawn_before_dots(drawn: Sequence[Layer]) -> int:
    """Layers before the widest step in depth, which is that of the layers left out."""
    steps = [after.depth - before.depth for before, after in pairwise(drawn)]
    return 1 + steps.index(max(steps))


def _ring_nodes(svg: Element, layer: Layer, n_marked: int, place: Place, spacing: float) -> None:
    """White nodes ringed in red, spread over those drawn: which of the real ones they are, no place can say."""
    offsets = layer.offsets(spacing)
    n = min(n_marked, len(offsets))
    radius = 11.0 if layer.nodes == 1 else spacing * 0.36
    for i in range(n):
        x, y = place(layer.depth, offsets[(2 * i + 1) * len(offsets) // (2 * n)])
        add(svg, "circle", cx=x, cy=y, r=radius + 0.4, fill="#ffffff", stroke=RED, stroke_width=2.4)


def _add_maps(
    svg: Element, stacks: Sequence[ConvolutionLayer], n_outputs: int, frame: Frame, least: float, marked: int | None,
    n_marked: int,
) -> list[Span]:  # fmt: skip
    """A stack of sheets a layer, whose drawn side grows with the square root of the real one."""
    longest = max(stacks[0].size)
    ratios = [[sqrt(side / longest) for side in (stack.size[-2], stack.size[-1])] for stack in stacks]
    sheets = [min(3, stack.channels) for stack in stacks]
    room = frame.right - frame.left - _OUTPUT - sum(_SHEET * (n - 1) for n in sheets)
    n_gaps, wide = len(stacks), sum(ratio[1] for ratio in ratios)
    unit = max(6.0, min(0.9 * (frame.bottom - frame.top), (room - least * n_gaps) / (_TURN * wide)))
    gap = (room - _TURN * unit * wide) / n_gaps
    colours = deepen(len(stacks) + 1)
    spans, x = [], frame.left
    for i, (high, across) in enumerate(ratios):
        height, width = unit * high, _TURN * unit * across
        top = frame.middle - height / 2
        for sheet in range(sheets[i] - 1, -1, -1):
            is_marked = i == marked and sheet < n_marked
            add(
                svg, "rect", x=x + sheet * _SHEET, y=top - sheet * _SHEET, width=width, height=height,
                fill="#ffffff" if is_marked else colours[i], stroke=RED if is_marked else INK,
                stroke_width=2.0 if is_marked else 0.7,
            )  # fmt: skip
        right = x + width + _SHEET * (sheets[i] - 1)
        spans.append(Span(x, right, top - _SHEET * (sheets[i] - 1), top + height))
        x = right + gap
    output = Layer(n_outputs, min(n_outputs, 6), 1.0, colours[-1])
    middle = frame.right - _OUTPUT / 2

    def place(_depth: float, across: float) -> tuple[float, float]:
        return middle, frame.middle + across

    add_nodes(svg, output, place, _OUTPUT)
    if marked == len(stacks):
        _ring_nodes(svg, output, n_marked, place, _OUTPUT)
    spans.append(Span(middle - 11, middle + 11, frame.middle - 11, frame.middle + 11))
    return spans
