"""Everything that is served; one study, what it shows or how far it is."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from functools import lru_cache
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from starlette.concurrency import run_in_threadpool

from medladder.errors import InputError
from medladder.evidence.reading import with_parts
from medladder.language import counted, of_record, tr
from medladder.record.folder import StudyFolder
from medladder.report.page import GRADES, render
from medladder.report.wording import UNITS, split_headline

from ..api import hub_of
from ..shelf import Shelved
from ..standing import evidence_of
from .curves import draw_curves, score_of
from .frame import describe_study, draw_page, language_of, study_named

router = APIRouter(include_in_schema=False)


@router.get("/")
async def studies(request: Request) -> Response:
    """Everything that is served."""
    hub = hub_of(request)

    def draw() -> tuple[str, dict[str, Any]]:
        found = list(hub.shelf)
        names = {
            "title": tr("Studies"),
            "studies": [_card(one, request) for one in found if one.is_study],
            "models": [model_row(one) for one in found if not one.is_study],
        }
        return "studies.html.j2", names

    return await draw_page(request, draw)


def _card(one: Shelved, request: Request) -> dict[str, Any]:
    try:
        cohort = one.folder.read_cohort()
        found = describe_study(one, request)
    except InputError as error:
        return {"name": one.name, "problem": error.found}
    evidence = evidence_of(one.folder)
    verdict = with_parts(evidence["verdict"]) if evidence else None
    return {
        **found,
        "problem": None,
        "cohort": cohort.name,
        "images": len(cohort.labels),
        "patients": len(set(cohort.patients.tolist())),
        "patients_known": cohort.patients_known,
        "classes": cohort.classes,
        "headline": split_headline(of_record(verdict["sentences"][0]))[0] if verdict else None,
        "recommended": verdict["recommended"] if verdict else None,
        "auroc": score_of(evidence) if evidence else None,
    }


def model_row(one: Shelved) -> dict[str, Any]:
    """A model in the list."""
    try:
        record = one.model.record
    except InputError as error:
        return {"name": one.name, "problem": error.found}
    n, known = record.training["patients"], record.training["patients_known"]
    trained = counted(n, "{n} patient", "{n} patients") if known else counted(n, "{n} image", "{n} images")
    return {
        "name": one.name,
        "problem": None,
        "rung": record.rung["rung"],
        "classes": record.classes,
        "trained_on": tr("{images} of {cohort}", images=trained, cohort=record.training["cohort"]["name"]),
    }


@router.get("/study/{name}")
async def study(request: Request, name: str) -> Response:
    """What a study shows, or how far it is."""

    def draw() -> tuple[str, dict[str, Any]]:
        one = study_named(request, name)
        evidence = evidence_of(one.folder)
        names: dict[str, Any] = {"title": name, "study": describe_study(one, request), "verdict": None, "scores": None}
        if evidence is not None:
            verdict = with_parts(evidence["verdict"])
            curves = draw_curves(one.folder, None)
            names |= {"verdict": verdict, "grade": GRADES[verdict["grade"]], "unit": UNITS[evidence["unit"]], **curves}
        return "study.html.j2", names

    return await draw_page(request, draw)


@router.get("/study/{name}/progress")
async def progress(request: Request, name: str) -> Response:
    """How far it is, to be put in the place of what was said before."""

    def draw() -> tuple[str, dict[str, Any]]:
        return "progress.html.j2", {"study": describe_study(study_named(request, name), request)}

    return await draw_page(request, draw)


@router.get("/study/{name}/report")
async def report(request: Request, name: str) -> Response:
    """The study's own page; its script is let in by its hash."""

    def drawn() -> str:
        return draw_report(study_named(request, name).folder, language_of(request))

    text = await run_in_threadpool(drawn)
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    hashes = " ".join(f"'sha256-{b64encode(hashlib.sha256(one.encode()).digest()).decode()}'" for one in scripts)
    policy = (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    )
    return HTMLResponse(text, headers={"Content-Security-Policy": policy})


def draw_report(folder: StudyFolder, language: str) -> str:
    """The study's own page; drawn once for what stands in the folder."""
    files = (folder.path / name for name in ("evidence.json", "inspection.json"))
    stamps = tuple(file.stat().st_mtime_ns if file.exists() else 0 for file in files)
    return _report(str(folder.path), stamps, language)


@lru_cache(maxsize=16)
def _report(path: str, _stamps: tuple[int, ...], language: str) -> str:
    return render(StudyFolder(path), language=language)
