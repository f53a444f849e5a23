"""The figures of a page as files of their own: SVG, and PNG at 300 dots an inch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape
from io import BytesIO

import resvg_py
from PIL import Image

DPI = 300
WIDE_UNITS, WIDE_MM = 960.0, 180.0
"""The widest figure's units, and its width where a journal prints over two columns; others in proportion."""

FONTS = "Arial, 'Liberation Sans', 'Helvetica Neue', 'DejaVu Sans', NanumGothic, 'Malgun Gothic', 'Noto Sans KR'"
_DRAWING = re.compile(r'<svg id="([\w-]+)" class="drawing"(.*?)>(.*?)</svg>', re.DOTALL)
_STORED = re.compile(r'<image id="([\w-]+)".*?/>', re.DOTALL)
_PARTS_OF_FIGURES = ("outline-", "marked-")


@dataclass(frozen=True)
class FigureFile:
    """One figure: a name for its files, what it shows in words, and its drawing."""

    name: str
    said: str
    svg: str


def list_figures(page: str) -> list[FigureFile]:
    """The drawings of a page for wide paper, each able to stand alone; those that repeat for a phone are left out."""
    stored = {found[1]: found[0] for found in _STORED.finditer(page)}
    figures = []
    for found in _DRAWING.finditer(page):
        name, attributes, content = found.groups()
        if not name.endswith("-narrow") and not name.startswith(_PARTS_OF_FIGURES):
            said = unescape(_attribute(attributes, "aria-label"))
            figures.append(FigureFile(name.removesuffix("-wide"), said, _alone(attributes, content, stored)))
    return figures


def to_png(figure: FigureFile) -> bytes:
    """A figure's drawing in pixels, as large as it is printed; white where nothing is drawn."""
    width, _ = _size(figure.svg)
    pixels = round(width / WIDE_UNITS * WIDE_MM / 25.4 * DPI)
    drawn = Image.open(BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=figure.svg, width=pixels))))
    buffer = BytesIO()
    drawn.convert("RGB").save(buffer, format="png", dpi=(DPI, DPI))
    return buffer.getvalue()


def width_in_mm(figure: FigureFile) -> float:
    """How wide a figure is printed."""
    return _size(figure.svg)[0] / WIDE_UNITS * WIDE_MM


def _alone(attributes: str, content: str, stored: dict[str, str]) -> str:
    """A drawing with all that the page around it gave: its size, white paper, fonts and the pictures it points to."""
    box = _attribute(attributes, "viewBox")
    x, y, width, height = box.split()
    used = [stored[key] for key in re.findall(r'href="#([\w-]+)"', content) if key in stored]
    text = re.sub(r"'DejaVu Sans'(?:, [^;\"]*)?", FONTS, content)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" width="{width}" height="{height}" '
        f'font-family="{FONTS}"><title>{_attribute(attributes, "aria-label")}</title>'
        f'<defs>{"".join(dict.fromkeys(used))}</defs><rect x="{x}" y="{y}" width="{width}" height="{height}" '
        f'fill="#ffffff"/>{text}</svg>'
    )


def _attribute(attributes: str, name: str) -> str:
    found = re.search(rf'{name}="(.*?)"', attributes, re.DOTALL)
    return found[1] if found else ""


def _size(svg: str) -> tuple[float, float]:
    width, height = _attribute(svg, "viewBox").split()[2:]
    return float(width), float(height)
