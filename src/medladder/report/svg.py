"""SVG for a page that holds many: no id shared, no style that leaks, text in the page's own font."""

from __future__ import annotations

import warnings
from io import StringIO
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import matplotlib as mpl
from matplotlib.figure import Figure

# The style sheet puts the page's own font in the place of the one that matplotlib measures with.
_SETTINGS: Any = {"svg.fonttype": "none", "text.parse_math": False, "font.sans-serif": ["DejaVu Sans"]}


def start_svg(width: float, height: float, *, name: str, label: str) -> Element:
    """An empty drawing, one unit a CSS pixel; `label` says to a screen reader what the eye would find."""
    return Element(
        "svg",
        {
            "id": name,
            "class": "drawing",
            "viewBox": f"0 0 {number(width)} {number(height)}",
            "role": "img",
            "aria-label": label,
            "style": f"max-width:{number(width)}px",
        },
    )


def add(parent: Element, tag: str, text: str = "", /, **attributes: float | str) -> Element:
    """Append an element; `stroke_width` becomes `stroke-width`, `class_` becomes `class`."""
    named = {
        key.rstrip("_").replace("_", "-"): value if isinstance(value, str) else number(value)
        for key, value in attributes.items()
    }
    child = SubElement(parent, tag, named)
    child.text = text or None
    return child


def number(value: float) -> str:
    """A coordinate to a hundredth of a pixel, without trailing zeros."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def to_text(drawing: Element) -> str:
    """The drawing as it stands in the page; whatever text it holds is escaped."""
    return ElementTree.tostring(drawing, encoding="unicode")


def from_figure(figure: Figure, *, name: str, label: str) -> str:
    """A matplotlib figure, drawn at 72 dots an inch, as inline SVG with real text."""
    buffer = StringIO()
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    with mpl.rc_context(_SETTINGS | {"svg.hashsalt": name}), warnings.catch_warnings():
        # Text stays text: the reader's own font has the letters that the one it is measured with lacks.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(buffer, format="svg", metadata=nothing, transparent=True)
    # The parser drops comments and the document type, which have no place inside HTML.
    root = ElementTree.fromstring(buffer.getvalue())
    _drop_namespaces(root)
    _drop_style_sheets(root)
    _make_ids_unique(root, name)
    width, height = (float(side) for side in root.attrib["viewBox"].split()[2:])
    drawing = start_svg(width, height, name=name, label=label)
    # matplotlib writes this as a style sheet for everything on the page.
    group = add(drawing, "g", stroke_linejoin="round", stroke_linecap="butt")
    group.extend(root)
    return to_text(drawing)


def _drop_namespaces(root: Element) -> None:
    for element in root.iter():
        element.tag = element.tag.rsplit("}", 1)[-1]
        for key in list(element.attrib):
            if key.startswith("{"):
                element.set(key.rsplit("}", 1)[-1], element.attrib.pop(key))


def _drop_style_sheets(root: Element) -> None:
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in ("style", "metadata") or (child.tag == "defs" and child.find("style") is not None):
                parent.remove(child)


def _make_ids_unique(root: Element, name: str) -> None:
    for element in root.iter():
        for key, value in list(element.attrib.items()):
            if key == "id":
                element.set(key, f"{name}-{value}")
            elif key == "href" and value.startswith("#"):
                element.set(key, f"#{name}-{value[1:]}")
            elif "url(#" in value:
                element.set(key, value.replace("url(#", f"url(#{name}-"))


def letter_width(text: str, latin: float) -> float:
    """The mean width of a letter of this text, where one of a Latin text is `latin`: Hangul is nearly twice as wide.

    Example
    -------
    >>> letter_width("images", 6.6), letter_width("영상", 6.6)
    (6.6, 12.0)
    """
    n_wide = sum("\u1100" <= letter <= "\ud7ff" for letter in text)
    return round(latin * (1 + 0.82 * n_wide / max(len(text), 1)), 1)
