"""What is written beside a study's report.html, from that page alone."""

from __future__ import annotations

from typing import Any

from ...record.folder import StudyFolder
from . import pdf

find_printer = pdf.find_browser


def export(folder: StudyFolder, *, has_docx: bool, has_figures: bool, printer: str | None) -> dict[str, Any]:
    """Write what is asked for; the paths by kind. `printer` is a browser of `find_printer`, None for no PDF."""
    written: dict[str, Any] = {}
    page = folder.report.read_text("utf-8")
    if has_docx or has_figures:
        from .figures import list_figures, to_png

        figures = list_figures(page)
        if has_figures:
            written["figures"] = []
            for figure in figures:
                for ending, content in (("svg", figure.svg.encode("utf-8")), ("png", to_png(figure))):
                    folder.write_bytes(f"figures/{figure.name}.{ending}", content)
                    written["figures"].append(str(folder.path / "figures" / f"{figure.name}.{ending}"))
        if has_docx:
            from .docx import to_docx

            folder.write_bytes("report.docx", to_docx(page, figures))
            written["docx"] = str(folder.path / "report.docx")
    if printer is not None:
        pdf.print_page(folder.report, folder.path / "report.pdf", printer)
        written["pdf"] = str(folder.path / "report.pdf")
    return written
