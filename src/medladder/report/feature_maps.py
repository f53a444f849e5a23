"""Convolutional networks as stacks of feature maps: smaller from stage to stage, and more of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log2, sqrt
from xml.etree.ElementTree import Element

from ..architecture import ConvolutionLayer
from ..architecture import Layer as PlannedLayer
from ..language import tr
from .diagrams import Layer, add_nodes, add_row, add_text, count_shown
from .palette import INK, SOFT, deepen
from .svg import add, number, start_svg, to_text

_WIDTH, _HEIGHT, _INSET, _MIDDLE = 340.0, 290.0, 6.0, 138.0
_SHEET, _LARGEST, _GAP, _OUTPUT = 4.0, 132.0, 14.0, 26.0
_TURN, _RISE = 0.42, 0.3  # maps are seen from the side: their width is drawn as short, and their far edge as high
# A deeper network is drawn as its input, its first and its last stages, with the number left out said between them.
_MOST_STAGES, _FIRST, _LAST = 5, 3, 2


@dataclass(frozen=True)
class Stack:
    """The maps of one stage as drawn: so many sheets, each so wide and high, the front one at the left."""

    layer: ConvolutionLayer
    sheets: int
    width: float
    height: float
    x: float
    colour: str

    @property
    def right(self) -> float:
        """Where the last sheet ends."""
        return self.x + self.width + _SHEET * (self.sheets - 1)

    def place(self, across: float, down: float, sheet: int = 0) -> tuple[float, float]:
        """A point of a sheet, from 0 to 1 of its width and height."""
        rise = _RISE * self.width / _TURN * (0.5 - across)
        return self.x + sheet * _SHEET + across * self.width, _MIDDLE + (down - 0.5) * self.height + rise


def draw_feature_maps(layers: Sequence[PlannedLayer], *, name: str, label: str) -> str:
    """A convolutional network, from the image at the left to the output at the right.

    A map's drawn side grows with the square root of the real one, so that the last can be seen; a stack shows as many
    sheets as its channels have doublings.
    """
    svg = start_svg(_WIDTH, _HEIGHT, name=name, label=label)
    stages = [layer for layer in (layers[0], *layers[1:-1:2]) if isinstance(layer, ConvolutionLayer)]
    left_out = max(0, len(stages) - 1 - _MOST_STAGES)
    stacks = place_stacks(stages[: 1 + _FIRST] + stages[-_LAST:] if left_out else stages, is_elided=left_out > 0)
    for stack in stacks:
        _add_sheets(svg, stack)
    for i, (before, after) in enumerate(pairwise(stacks)):
        if left_out and i == _FIRST:
            _add_left_out(svg, before, after, left_out)
        else:
            _add_kernel(svg, before, after)
    _add_output(svg, stacks[-1], layers[-1].nodes)
    centres = [(stack.x + stack.right) / 2 for stack in stacks]
    add_row(svg, [f"{stack.layer.channels:,}" for stack in stacks], centres, 18, weight="600")
    add_text(svg, _WIDTH - _INSET - _OUTPUT / 2, 18, f"{layers[-1].nodes:,}", anchor="middle", weight="600")
    add_row(svg, ["×".join(map(str, stack.layer.size)) for stack in stacks], centres, 246, colour=SOFT)
    for x, role in ((centres[0], tr("input")), (_WIDTH / 2 + 20, tr("feature maps"))):
        add_text(svg, x, _HEIGHT - 6, role, anchor="middle", colour=SOFT)
    add_text(svg, _WIDTH - 2, _HEIGHT - 6, tr("output"), anchor="end", colour=SOFT)
    return to_text(svg)


def place_stacks(stages: Sequence[ConvolutionLayer], *, is_elided: bool = False) -> list[Stack]:
    """Sizes that fill the width, with gaps alike; one more gap where stages are left out."""
    sheets = [max(min(stage.channels, 2), round(log2(stage.channels))) for stage in stages]
    longest = max(stages[0].size)
    ratios = [[sqrt(side / longest) for side in stage.size[-2:]] for stage in stages]
    n_gaps = len(stages) + is_elided
    room, total = _WIDTH - 2 * _INSET - _OUTPUT - _SHEET * (sum(sheets) - len(stages)), sum(wide for _, wide in ratios)
    unit = min(_LARGEST, (room - n_gaps * _GAP) / (_TURN * total))
    gap = (room - _TURN * unit * total) / n_gaps
    stacks, x = [], _INSET
    for i, (stage, (high, wide), colour) in enumerate(zip(stages, ratios, deepen(len(stages) + 1), strict=False)):
        stacks.append(Stack(stage, sheets[i], _TURN * unit * wide, unit * high, x, colour))
        x = stacks[-1].right + gap * (2 if is_elided and i == _FIRST else 1)
    return stacks


def _add_sheets(svg: Element, stack: Stack) -> None:
    for sheet in range(stack.sheets - 1, -1, -1):
        corners = [stack.place(across, down, sheet) for across, down in ((0, 0), (1, 0), (1, 1), (0, 1))]
        _add_polygon(svg, corners, fill=stack.colour, stroke="#ffffff", stroke_width=2)
        _add_polygon(svg, corners, fill="none", stroke=INK, stroke_width=0.6)


def _add_kernel(svg: Element, before: Stack, after: Stack) -> None:
    """What one number of a map is computed from: the kernel, as large as it is on the maps before it."""
    layer = after.layer
    shares = [by / (size * step) for by, size, step in zip(layer.kernel, layer.size, layer.stride, strict=True)][-2:]
    sides = (before.height, before.width / _TURN)
    high, wide = (min(1.0, max(share, 4 / side)) for share, side in zip(shares, sides, strict=True))
    left, top = 0.5 * (1 - wide), 0.62 * (1 - high)
    corners = [
        before.place(left + across * wide, top + down * high) for across, down in ((0, 0), (1, 0), (1, 1), (0, 1))
    ]
    end = after.place(0.5, 0.62)
    path = "".join(f"M{number(x)} {number(y)}L{number(end[0])} {number(end[1])}" for x, y in corners[1:3])
    add(svg, "path", d=path, fill="none", stroke=INK, stroke_width=0.7, opacity=0.7)
    _add_polygon(svg, corners, fill="#ffffff", fill_opacity=0.8, stroke=INK, stroke_width=0.9)
    add(svg, "circle", cx=end[0], cy=end[1], r=1.8, fill="#ffffff", stroke=INK, stroke_width=0.9)


def _add_polygon(svg: Element, corners: Sequence[tuple[float, float]], **look: float | str) -> None:
    points = " ".join(f"{number(x)},{number(y)}" for x, y in corners)
    add(svg, "polygon", points=points, stroke_linejoin="round", **look)


def _add_left_out(svg: Element, before: Stack, after: Stack, left_out: int) -> None:
    """Three dots and the number of stages they stand for."""
    middle = (before.right + after.x) / 2
    for step in (-6.0, 0.0, 6.0):
        add(svg, "circle", cx=middle + step, cy=_MIDDLE, r=2, fill=INK)
    add_text(svg, middle, _MIDDLE - 60, tr("{n} more", n=left_out), anchor="middle", colour=SOFT)


def _add_output(svg: Element, last: Stack, nodes: int) -> None:
    """The output sees every map whole, by its mean and its largest value."""
    layer = Layer(nodes, count_shown(nodes), 1.0, deepen(3)[-1])
    x, spacing = _WIDTH - _INSET - _OUTPUT / 2, 22.0
    ends = (layer.offsets(spacing)[0], layer.offsets(spacing)[-1])
    corners = ((last.place(1, 0, last.sheets - 1), ends[0]), (last.place(1, 1, last.sheets - 1), ends[1]))
    path = "".join(f"M{number(a)} {number(b)}L{number(x)} {number(_MIDDLE + end)}" for (a, b), end in corners)
    add(svg, "path", d=path, fill="none", stroke=INK, stroke_width=0.7, opacity=0.7)
    add_nodes(svg, layer, lambda _, across: (x, _MIDDLE + across), spacing)
