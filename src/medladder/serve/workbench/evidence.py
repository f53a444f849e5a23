"""Ask a study again: rungs, a score to reach, a threshold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from medladder.errors import OptionError
from medladder.evidence.exploring import Acting
from medladder.evidence.forecast import Span
from medladder.language import tr
from medladder.report import wording
from medladder.report.tables import choose_size

from ..shelf import Shelved
from .curves import draw_curves, score_of
from .frame import describe_study, draw_page, study_named

router = APIRouter(include_in_schema=False)


@router.get("/study/{name}/evidence")
async def evidence(request: Request, name: str) -> Response:
    """Ask a study again: rungs, a score to reach, a threshold."""

    def draw() -> tuple[str, dict[str, Any]]:
        one = study_named(request, name)
        names = {"title": name, "study": describe_study(one, request)}
        return "evidence.html.j2", {**names, **ask_evidence(one, request.query_params)}

    return await draw_page(request, draw)


def ask_evidence(one: Shelved, asked: Any) -> dict[str, Any]:
    """Patients for a score, and acting from a threshold on.

    Raises
    ------
    StudyError
        It has not been weighed.
    """
    evidence = one.folder.read_evidence()
    scored = [rung["rung"] for rung in evidence["rungs"] if rung["points"]]
    recommended, last = evidence["verdict"]["recommended"], score_of(evidence)
    chosen = asked.get("rung", recommended)
    shown = [name for name in asked.getlist("show") if name in scored] or scored
    positive = evidence["positive"]
    names: dict[str, Any] = {
        "rungs": scored,
        "scored": [name for name in scored if not _is_floor(evidence, name)] or scored,
        "shown": shown,
        "chosen": chosen,
        "positive": positive,
        "unit": wording.UNITS[evidence["unit"]],
        "n_train": choose_size(evidence, sorted({p["n_train"] for rung in evidence["rungs"] for p in rung["points"]})),
        "target": round(min((last["estimate"] if last else 0.8) + 0.02, 0.99), 3),
        "threshold": 0.5,
        "prevalence": round(_prevalence(evidence), 3),
        "acting": None,
    }
    try:
        for name in ("target", "threshold", "prevalence"):
            if name in asked:
                names[name] = _number(name, asked[name])
        needed = one.explored.needed(chosen, names["target"])
        names["needed_said"] = _say_needed(evidence, chosen, names["target"], needed)
        if positive is not None:
            acting = one.explored.acting(chosen, names["n_train"], names["threshold"], names["prevalence"])
            names |= _tell_acting(acting, names["prevalence"])
    except OptionError as error:
        return {**names, "error": error}
    return {**names, **draw_curves(one.folder, shown)}


def _is_floor(evidence: Mapping[str, Any], rung: str) -> bool:
    return any(one["rung"] == rung and one["family"] == "floor" for one in evidence["rungs"])


def _prevalence(evidence: Mapping[str, Any]) -> float:
    counts = evidence["n_test"]["per_class"]
    return min(max(counts[-1] / max(sum(counts), 1), 0.001), 0.999)


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < 1:
        raise OptionError(found=f"{name}={text[:20]}.", needed="A number between 0 and 1.", do="Give one, such as 0.9.")
    return value


def _say_needed(evidence: Mapping[str, Any], rung: str, target: float, needed: Span | None) -> str:
    unit = wording.UNITS[evidence["unit"]]
    if needed is None:
        return tr("One size was run, so {rung} has no curve to continue: run the study at more sizes.", rung=rung)
    measured = max(p["n_train"] for one in evidence["rungs"] if one["rung"] == rung for p in one["points"])
    if needed.low is None:
        return tr(
            "{rung} is not expected to reach {target} with up to {n} training {unit}s.",
            rung=rung, target=f"{target:.3f}", n=10 * measured, unit=unit,
        )  # fmt: skip
    if needed.high is None:
        return tr(
            "{rung} needs at least {low} training {unit}s for {target}; within {n} it may not reach it at all.",
            rung=rung, low=needed.low, target=f"{target:.3f}", n=10 * measured, unit=unit,
        )  # fmt: skip
    return tr(
        "{rung} needs {low} to {high} training {unit}s for {target}.",
        rung=rung, low=needed.low, high=needed.high, target=f"{target:.3f}", unit=unit,
    )  # fmt: skip


def _tell_acting(acting: Acting | None, prevalence: float) -> dict[str, Any]:
    if acting is None:
        return {}
    at = acting.at
    rows = [
        (tr("Sensitivity"), acting.sensitivity.to_json()),
        (tr("Specificity"), acting.specificity.to_json()),
        (tr("PPV"), at.ppv.to_json()),
        (tr("NPV"), at.npv.to_json()),
        (tr("Net benefit"), at.net_benefit.to_json()),
    ]
    sick = 1000 * prevalence
    caught = sick * acting.sensitivity.estimate
    called = caught + (1000 - sick) * (1 - acting.specificity.estimate)
    out_of = {
        "sick": round(sick),
        "caught": round(caught),
        "called": round(called),
        "missed": round(sick) - round(caught),
    }
    return {"acting": rows, "signed": True, "out_of": out_of}
