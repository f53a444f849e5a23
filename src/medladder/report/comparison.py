"""Several studies on one page: what differs between them, their curves on one scale, and rung against rung."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import OptionError
from ..evidence.across import check_alike, compare_studies
from ..language import speaking, tr
from ..record.folder import StudyFolder
from . import html, saying, tables, wording
from .figures import Format, draw_curves, find_limits
from .page import GRADES, say_scores
from .palette import choose_looks, dark_rules

_SIDE = Format("side", 520, 430, 12)
_MARK = '<meta name="generator" content="medladder comparison">'


def write_comparison(folders: Sequence[StudyFolder], page: Path, *, language: str = "en") -> dict[str, Any]:
    """Put studies that were weighed on one page; what `report --json` prints of it.

    Raises
    ------
    OptionError
        The classes of the studies differ, or the page would replace another file.
    """
    if page.exists() and _MARK not in page.read_text("utf-8", errors="replace")[:1000]:
        raise OptionError(
            found=f"{page} is there already, and no comparison.", needed="A name that is free.", do="Name another."
        )
    cohorts = [folder.read_cohort() for folder in folders]
    is_paired = check_alike(cohorts)
    differences = compare_studies(folders)
    with speaking(language):
        names = _gather(folders, is_paired, [one.to_json() for one in differences])
        page.write_text(html.render("comparison.html.j2", names), "utf-8")
    return {
        "comparison": str(page),
        "studies": [str(folder.path) for folder in folders],
        "is_paired": is_paired,
        "differences": [one.to_json() for one in differences],
    }


def _gather(folders: Sequence[StudyFolder], is_paired: bool, differences: list[dict[str, Any]]) -> dict[str, Any]:
    evidences = [folder.read_evidence() for folder in folders]
    rungs = list({rung["rung"]: rung for evidence in evidences for rung in evidence["rungs"]}.values())
    looks = choose_looks(rungs)
    return {
        "mark": _MARK,
        "studies": [_show(folder, place, evidences, looks) for place, folder in enumerate(folders)],
        "rungs": [rung["rung"] for rung in rungs],
        "differences": differences,
        "is_paired": is_paired,
        "unit": wording.UNITS[evidences[0]["unit"]],
        "confidence": round(100 * evidences[0]["confidence"]),
        "dark_rules": dark_rules(),
    }


def _show(
    folder: StudyFolder, place: int, evidences: Sequence[dict[str, Any]], looks: dict[str, Any]
) -> dict[str, Any]:
    """One study: its plan in a row, its curves, and its scores at the size at which its rungs are compared."""
    plan, evidence = folder.read_plan(), evidences[place]
    sizes = sorted({point["n_train"] for rung in evidence["rungs"] for point in rung["points"]})
    compared = tables.choose_size(evidence, sizes) if sizes else 0
    rows = tables.list_rungs(evidence, compared) if sizes else []
    lows, highs = zip(*(find_limits(one) for one in evidences), strict=True)
    label = say_scores(rows, compared, evidence["unit"])
    drawn = len(sizes) > 1
    return {
        "name": folder.path.name,
        "letter": chr(ord("A") + place),
        "cohort": folder.read_cohort().name,
        "fingerprint": plan.cohort["fingerprint"][:8],
        "image": " × ".join(map(str, plan.image["shape"])),
        "split": saying.say_split(plan),
        "sizes": ", ".join(wording.count(size) for size in plan.sizes),
        "repeats": plan.repeats,
        "seed": str(plan.seed),
        "pick": evidence["verdict"]["recommended"],
        "grade": GRADES[evidence["verdict"]["grade"]],
        "compared": compared,
        "points": {row.rung: row.point["auroc"] for row in rows if row.point is not None},
        "svg": draw_curves(
            evidence, sizes, looks, shape=_SIDE, label=label, name=f"study-{place}", limits=(min(lows), max(highs))
        ) if drawn else None,
        "said": tr("Study {letter}: {said}", letter=chr(ord("A") + place), said=label),
    }  # fmt: skip
