"""The report as files: figures that stand alone, a Word document with every table, a PDF where a browser is."""

from __future__ import annotations

import json
import re
import shutil
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import docx
import pytest
from PIL import Image
from typer.testing import CliRunner

from medladder.cli import app
from medladder.errors import OptionError
from medladder.report.export import pdf
from medladder.report.export.docx import to_docx
from medladder.report.export.figures import DPI, FigureFile, list_figures, to_png
from medladder.report.page import render
from report_studies import write_study
from test_report import Page

NASTY = "<script>alert('x')</script> & \"quoted\""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    return render(write_study(tmp_path_factory.mktemp("study") / "chest", classes=(NASTY, "b", "c")))


@pytest.fixture(scope="module")
def figures(page: str) -> list[FigureFile]:
    return list_figures(page)


def test_every_wide_figure_is_a_file_that_stands_alone(page: str, figures: list[FigureFile]) -> None:
    names = {figure.name for figure in figures}
    assert {"scores", "unrolled", "growth", "flow", "network-0"} <= names
    assert not any(name.endswith("-narrow") for name in names)
    for figure in figures:
        root = ElementTree.fromstring(figure.svg)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        ids = {element.get("id") for element in root.iter()}
        pointed = set(re.findall(r'href="#([^"]+)"', figure.svg)) | set(re.findall(r"url\(#([^)]+)\)", figure.svg))
        assert pointed <= ids, figure.name
        assert root[0].text == figure.said != ""
        assert "inherit" not in figure.svg
    assert list_figures(page) == figures


def test_a_png_is_as_large_as_it_is_printed(figures: list[FigureFile]) -> None:
    scores = next(figure for figure in figures if figure.name == "scores")
    drawn = Image.open(BytesIO(to_png(scores)))
    assert drawn.width == round(180 / 25.4 * DPI)
    assert drawn.info["dpi"] == pytest.approx((DPI, DPI), abs=0.1)
    colours = drawn.convert("RGB").getcolors(maxcolors=1_000_000)
    assert max(colours)[1] == (255, 255, 255)
    assert len(colours) > 50


def test_the_document_holds_headings_tables_and_figures(page: str, figures: list[FigureFile]) -> None:
    document = docx.Document(BytesIO(to_docx(page, figures)))
    read = Page(page)
    headings = [paragraph.text for paragraph in document.paragraphs if paragraph.style.name.startswith("Heading")]
    assert "The cohort" in headings
    assert "For the paper" in headings
    cells = " ".join(cell.text for table in document.tables for row in table.rows for cell in row.cells)
    for row in read.rows[:12]:
        for number in re.findall(r"\b0\.\d{3}\b", row):
            assert number in cells
    assert NASTY in cells
    said = [shape._inline.docPr.get("descr") for shape in document.inline_shapes]
    assert len(said) >= len(figures)
    assert {figure.said for figure in figures} <= set(said)
    assert any(table.rows[0]._tr.xpath("./w:trPr/w:tblHeader") for table in document.tables)


def test_korean_has_a_font_of_its_own(tmp_path: Path) -> None:
    text = render(write_study(tmp_path / "chest"), language="ko")
    document = docx.Document(BytesIO(to_docx(text, [])))
    fonts = document.styles["Normal"].element.rPr.rFonts
    assert fonts.get("{http://schemas.openxmlformats.org/wordprocessingml/2006/main}eastAsia") == "Malgun Gothic"
    assert "코호트" in [paragraph.text for paragraph in document.paragraphs]


def test_a_missing_browser_is_told_before_anything_is_done(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OptionError, match="no Chromium"):
        pdf.find_browser()
    told = CliRunner().invoke(app, ["report", str(tmp_path / "none"), "--pdf"])
    assert told.exit_code == 2
    assert "Chromium" in told.output


def test_a_page_is_printed(tmp_path: Path) -> None:
    if not any(shutil.which(name) for name in pdf.BROWSERS):
        pytest.skip("No Chromium or Chrome on the path.")
    page = tmp_path / "page.html"
    page.write_text(render(write_study(tmp_path / "chest")), "utf-8")
    pdf.print_page(page, tmp_path / "page.pdf", pdf.find_browser())
    content = (tmp_path / "page.pdf").read_bytes()
    assert content.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", content)) > 5


def test_json_names_what_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from medladder.evidence import weighing

    folder = write_study(tmp_path / "chest")
    known = folder.read_evidence()

    class Weighed:
        def to_json(self) -> dict[str, object]:
            return known

    monkeypatch.setattr(weighing, "weigh", lambda *_, **__: Weighed())
    told = CliRunner().invoke(app, ["report", str(folder.path), "--docx", "--figures", "--json"])
    assert told.exit_code == 0, told.output
    written = json.loads(told.stdout)
    assert set(written) == {"report", "docx", "figures"}
    assert all(Path(path).is_file() for path in [written["report"], written["docx"], *written["figures"]])
