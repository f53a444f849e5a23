"""What more patients would bring, for the page: forecasts as a table, patients needed and crossings in words."""

from __future__ import annotations

from typing import Any

from ..language import tr
from . import wording


def gather_ahead(evidence: dict[str, Any]) -> dict[str, Any] | None:
    """What the section's template names; None for a study of one size, which has no curve."""
    rungs = [rung for rung in evidence["rungs"] if rung["forecast"]]
    if not rungs:
        return None
    verdict, unit = evidence["verdict"], evidence["unit"]
    pick = verdict["recommended"]
    needed = verdict["needed"]
    return {
        "sizes": [point["n_train"] for point in rungs[0]["forecast"]],
        "rows": [
            {
                "rung": rung["rung"],
                "is_best": rung["rung"] == pick,
                "today": rung["points"][-1]["auroc"],
                "ahead": [point["auroc"] for point in rung["forecast"]],
            }
            for rung in rungs
        ],
        "needed": None if needed is None else say_needed(pick, needed, unit),
        "crossings": [say_crossing(crossing, unit) for crossing in verdict["crossover"] or []],
    }


def say_needed(rung: str, needed: dict[str, Any], unit: str) -> str:
    """Patients that a score needs, as a range.

    Example
    -------
    >>> say_needed("svm", {"score": 0.9, "low": 812, "high": None, "estimate": 1900}, "patient")
    'An AUROC of 0.9 would take svm 810 or more training patients, perhaps more than ten times those of today.'
    """
    told = {"score": f"{needed['score']:g}", "rung": rung, "unit": wording.UNITS[unit]}
    if needed["low"] is None:
        return tr(
            "An AUROC of {score} would take {rung} more than ten times the training {unit}s of today, if it reaches "
            "it at all.",
            **told,
        )
    low = _rounded(needed["low"])
    if needed["high"] is None:
        return tr(
            "An AUROC of {score} would take {rung} {low} or more training {unit}s, perhaps more than ten times those "
            "of today.",
            **told,
            low=low,
        )
    return tr(
        "An AUROC of {score} would take {rung} {low} to {high} training {unit}s.",
        **told, low=low, high=_rounded(needed["high"]),
    )  # fmt: skip


def say_crossing(crossing: dict[str, Any], unit: str) -> str:
    """From how many patients on the higher rung is at least as good."""
    told: dict[str, Any] = {"lower": crossing["lower"], "upper": crossing["upper"], "unit": wording.UNITS[unit]}
    if not crossing["matters"]:
        return tr("{upper} and {lower}: no crossover that matters.", **told)
    if crossing["low"] is None:
        return tr("{upper} is not expected to reach {lower} within ten times the training {unit}s of today.", **told)
    told["low"] = _rounded(crossing["low"])
    if crossing["high"] is None:
        return tr(
            "{upper} may reach {lower} from {low} training {unit}s on, or not within ten times those of today.", **told
        )
    if crossing["low"] == crossing["high"]:
        return tr("{upper} is at least as good as {lower} from {low} training {unit}s on.", **told)
    return tr(
        "{upper} is at least as good as {lower} from somewhere between {low} and {high} training {unit}s on.",
        **told,
        high=_rounded(crossing["high"]),
    )


def _rounded(n: int) -> int:
    """Two digits: it is no more exact."""
    return round(n, 2 - len(str(n)))
