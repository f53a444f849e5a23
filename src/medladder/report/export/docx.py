"""The page as a Word document that authors edit: its headings, sentences, tables and figures, in the page's order."""

from __future__ import annotations

import base64
import re
from io import BytesIO
from typing import Any

import docx
from docx.oxml import OxmlElement
from docx.oxml.ns import qn
from docx.shared import Mm, Pt
from lxml import html

from .figures import FigureFile, to_png, width_in_mm

_TEXT_MM, _PICTURE_MM = 165.0, 16.0
_LEFT_OUT = ("on-narrow", "store", "swatch", "strip", "strip-head", "against-word", "tiles", "looking", "rule")
"""What a page shows for a phone, or what paper does without."""

_HEADINGS = {"h1": 1, "h2": 1, "h3": 2, "h4": 3}


def to_docx(page: str, figures: list[FigureFile]) -> bytes:
    """The document; figures are those of `figures.list_figures`, pictures of units are left to the page."""
    root = html.fromstring(page)
    document = docx.Document()
    _set_fonts(document)
    _Writer(document, {figure.name: figure for figure in figures}).write(root.find(".//main"))
    buffer = BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def _set_fonts(document: Any) -> None:
    for style in ("Normal", "Heading 1", "Heading 2", "Heading 3", "Caption"):
        font = document.styles[style].font
        font.name = "Arial"
        document.styles[style].element.get_or_add_rPr().get_or_add_rFonts().set(qn("w:eastAsia"), "Malgun Gothic")
    document.styles["Normal"].font.size = Pt(10)
    section = document.sections[0]
    section.left_margin = section.right_margin = Mm(22)


class _Writer:
    """Walks the page's elements and writes each as Word has it."""

    def __init__(self, document: Any, figures: dict[str, FigureFile]) -> None:
        self._document = document
        self._figures = figures

    def write(self, element: Any) -> None:
        """An element and what it holds."""
        if not isinstance(element.tag, str) or set(element.get("class", "").split()) & set(_LEFT_OUT):
            return
        tag = element.tag
        if tag in _HEADINGS:
            self._document.add_heading(_text(element), level=_HEADINGS[tag])
        elif tag == "table":
            self._add_table([[_text(cell) for cell in _cells(row)] for row in element.iter("tr")], element)
        elif tag == "dl":
            self._add_table([[_text(term), _text(term.getnext())] for term in element.iter("dt")], element)
        elif tag == "svg":
            self._add_figure(element)
        elif tag == "img":
            self._add_picture(element)
        elif tag in ("p", "summary", "pre", "figcaption", "li"):
            self._add_paragraph(element)
        else:
            for child in element:
                self.write(child)

    def _add_paragraph(self, element: Any) -> None:
        text = element.text_content().strip() if element.tag == "pre" else _text(element)
        if not text:
            return
        style = {"figcaption": "Caption", "li": "List Bullet"}.get(element.tag)
        paragraph = self._document.add_paragraph(style=style)
        run = paragraph.add_run(text)
        if element.tag == "pre":
            run.font.name, run.font.size = "Courier New", Pt(8)
        run.bold = element.tag == "summary" or None

    def _add_table(self, rows: list[list[str]], element: Any) -> None:
        rows = [row for row in rows if row]
        if not rows:
            return
        table = self._document.add_table(rows=0, cols=max(map(len, rows)), style="Light Grid Accent 1")
        for row in rows:
            cells = table.add_row().cells
            for cell, text in zip(cells, row, strict=False):
                cell.text = text
                for run in cell.paragraphs[0].runs:
                    run.font.size = Pt(8)
        if element.find("thead") is not None:
            repeated = OxmlElement("w:tblHeader")
            repeated.set(qn("w:val"), "true")
            table.rows[0]._tr.get_or_add_trPr().append(repeated)
        self._document.add_paragraph()

    def _add_figure(self, element: Any) -> None:
        figure = self._figures.get(element.get("id", "").removesuffix("-wide"))
        if figure is not None:
            width = min(width_in_mm(figure), _TEXT_MM)
            self._add_image(to_png(figure), width, figure.said, self._document.add_paragraph())

    def _add_picture(self, element: Any) -> None:
        found = re.match(r"data:image/png;base64,(.*)", element.get("src", ""), re.DOTALL)
        if found:
            last = self._document.paragraphs[-1] if self._document.paragraphs else None
            paragraph = last if last is not None and last.style.name == "Normal" else self._document.add_paragraph()
            self._add_image(base64.b64decode(found[1]), _PICTURE_MM, element.get("alt", ""), paragraph)

    def _add_image(self, png: bytes, width_mm: float, said: str, paragraph: Any) -> None:
        shape = paragraph.add_run().add_picture(BytesIO(png), width=Mm(width_mm))
        shape._inline.docPr.set("descr", said)


def _cells(row: Any) -> list[Any]:
    return [cell for cell in row if not set(cell.get("class", "").split()) & set(_LEFT_OUT)]


def _text(element: Any) -> str:
    """What a reader sees of an element, its parts apart where the page sets them apart."""
    parts = []
    for node in element.iter():
        hidden = [one for one in (node, *node.iterancestors()) if set(one.get("class", "").split()) & set(_LEFT_OUT)]
        if isinstance(node.tag, str) and not hidden and node.tag not in ("style", "script", "svg", "title"):
            parts.append(node.text or "")
        if node is not element:
            parent_hidden = [one for one in node.iterancestors() if set(one.get("class", "").split()) & set(_LEFT_OUT)]
            parts.append("" if parent_hidden else node.tail or "")
    return " ".join("".join(parts).split())
