"""Style sheets and the script."""

from __future__ import annotations

from functools import cache
from importlib import resources

from fastapi import APIRouter
from fastapi.responses import Response

from medladder.report import html
from medladder.report.palette import dark_rules

router = APIRouter(include_in_schema=False)


@router.get("/static/{name}")
async def static(name: str) -> Response:
    """Style sheets and the script."""
    kinds = {"report.css": "text/css", "workbench.css": "text/css", "workbench.js": "text/javascript"}
    if name not in kinds:
        return Response(status_code=404)
    return Response(_static(name), media_type=kinds[name], headers={"Cache-Control": "max-age=3600"})


@cache
def _static(name: str) -> str:
    if name != "report.css":
        return (resources.files("medladder.serve") / "static" / name).read_text("utf-8")
    sheet = (resources.files("medladder.report") / "templates" / "page.css").read_text("utf-8")
    return sheet + html.render("dark.css.j2", {"dark_rules": dark_rules()})
