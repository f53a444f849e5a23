"""One look a rung, the same in every figure: colour, dash and marker all carry the meaning."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

PALE, AMBER, NAVY = "#f8e391", "#e08a1e", "#14294d"
_PLUM = "#8a4a5e"  # amber and navy mixed outright give mud
INK, SOFT, FAINT = "#1c1f24", "#5d646e", "#d5d9de"


@dataclass(frozen=True)
class Look:
    """How one rung is drawn; `ink` is dark enough for text, `casing` outlines a line too pale for white paper."""

    colour: str
    ink: str
    dash: tuple[float, ...]
    marker: str
    is_hollow: bool
    casing: str | None = None


# Lightness falls from rung to rung within a family, so that grey print keeps the order; dashes are in line widths.
_KNOWN = {
    "logistic": Look("#959595", "#5f5f5f", (5.0, 1.6), "s", True),
    "svm": Look("#4f4f4f", "#3a3a3a", (2.6, 1.3), "^", True),
    "forest": Look("#aaaaaa", "#666666", (1.2, 1.2), "v", True),
    "boosting": Look("#6f6f6f", "#4c4c4c", (5.0, 1.3, 1.2, 1.3), "D", True),
    "nn": Look(PALE, "#7d6200", (), "o", False, casing="#a88a1c"),
    "dnn": Look(AMBER, "#9a5200", (), "D", False),
    "cnn": Look(NAVY, NAVY, (), "^", False),
    "pretrained": Look("#5a4a86", "#4a3a76", (), "P", False),
}
_FLOOR = Look("#8a9099", "#5d646e", (4.0, 3.0), "", True)
_OTHER = {"conventional": "boosting", "deep": "cnn", "transfer": "pretrained"}
# A second rung of one kind keeps its colour and takes another dash and marker.
_VARIANTS: tuple[tuple[tuple[float, ...], str], ...] = (
    ((7.0, 1.2), "s"),
    ((1.2, 1.2), "v"),
    ((7.0, 1.2, 1.2, 1.2), "p"),
    ((3.0, 1.2, 3.0, 3.0), "h"),
    ((2.0, 2.5), "<"),
    ((9.0, 2.5), ">"),
    ((1.2, 2.8), "P"),
    ((5.0, 1.2, 1.2, 1.2, 1.2, 1.2), "X"),
)


def choose_looks(rungs: Sequence[dict[str, Any]]) -> dict[str, Look]:
    """One look for each `{"rung", "family"}`, alike in every figure of a page."""
    looks: dict[str, Look] = {}
    for entry in rungs:
        kind, family = entry["rung"].split(":")[0], entry["family"]
        if family != "floor" and kind not in _KNOWN:
            kind = _OTHER[family]
        look = _FLOOR if family == "floor" else _KNOWN[kind]
        looks[entry["rung"]] = _set_apart(look, looks.values())
    return looks


def _set_apart(look: Look, others: Iterable[Look]) -> Look:
    """Another dash and marker for a second rung of one kind, as long as there are others left."""
    taken = {(other.dash, other.marker) for other in others}
    if (look.dash, look.marker) not in taken:
        return look
    dash, marker = next((variant for variant in _VARIANTS if variant not in taken), _VARIANTS[-1])
    return replace(look, dash=dash, marker=marker)


def deepen(steps: int) -> list[str]:
    """Colours from pale at the input through amber to navy at the output.

    Example
    -------
    >>> deepen(3)
    ['#f8e391', '#e08a1e', '#14294d']
    """
    if steps == 1:
        return [NAVY]
    return [_blend(2 * step / (steps - 1)) for step in range(steps)]


def _blend(place: float) -> str:
    """The colour at `place` on the way from pale (0) through amber (1) to navy (2)."""
    stops = (PALE, AMBER, _PLUM, NAVY)
    before = 0 if place <= 1 else 1 if place <= 1.5 else 2
    start, end = stops[before], stops[before + 1]
    share = (place, 2 * (place - 1), 2 * (place - 1.5))[before]
    parts = [round(int(start[i : i + 2], 16) * (1 - share) + int(end[i : i + 2], 16) * share) for i in (1, 3, 5)]
    return "#" + "".join(f"{part:02x}" for part in parts)


# What each colour of the drawings becomes on dark paper: as far from it as from white, its hue kept. Node fills between
# pale and navy stand on both papers and stay.
_ON_DARK = {
    INK: "#e6e8ec", SOFT: "#a9b0ba", FAINT: "#3a4048", "#7b828c": "#858c96", "#9aa1aa": "#767d87", "#aab0b8": "#6a717a",
    "#ffffff": "#15181d", "#fff": "#15181d", "#f6f7f8": "#1e2228", "#eef0f2": "#262b32", "#8a9099": "#8a9099",
    NAVY: "#86a9ec", "#4f4f4f": "#dcdcdc", "#3a3a3a": "#e2e2e2", "#6f6f6f": "#bcbcbc", "#4c4c4c": "#c6c6c6",
    "#959595": "#8f8f8f", "#5f5f5f": "#a6a6a6", "#aaaaaa": "#6d6d6d", "#666666": "#9c9c9c", "#7d6200": "#f0d66a",
    "#9a5200": "#f2ab52", "#5a4a86": "#a794e6", "#4a3a76": "#b9a9ee", "#2e7d4f": "#62c48c", "#c8102e": "#ff6f82",
}  # fmt: skip


def dark_rules() -> str:
    """CSS that repaints the drawings of a page, which hold their colours themselves, for dark paper."""
    rules = ["svg text:not([fill]):not([style*='fill']) { fill: var(--ink); }"]
    for part in ("fill", "stroke"):
        for light, dark in _ON_DARK.items():
            if light != dark:
                # matplotlib writes a style, our own drawings an attribute.
                where = f'svg [{part}="{light}"], svg [style*="{part}: {light};"], svg [style$="{part}: {light}"]'
                rules.append(f"{where} {{ {part}: {dark} !important; }}")
    return "\n".join(rules)
