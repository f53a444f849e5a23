"""The score curves of a study, drawn once for what stands in its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from medladder.language import speaking, spoken
from medladder.record.folder import StudyFolder
from medladder.report.figures import draw_scores
from medladder.report.page import say_scores
from medladder.report.palette import choose_looks
from medladder.report.tables import choose_size, list_rungs


def score_of(evidence: Mapping[str, Any]) -> dict[str, float] | None:
    """The AUROC of the recommended rung at its largest size."""
    points = next(one["points"] for one in evidence["rungs"] if one["rung"] == evidence["verdict"]["recommended"])
    return points[-1]["auroc"] if points else None


def draw_curves(folder: StudyFolder, shown: Sequence[str] | None) -> dict[str, Any]:
    """The scores of some rungs, in the colours that they have among all; None is all."""
    stamp = (folder.path / "evidence.json").stat().st_mtime_ns
    names = None if shown is None else tuple(shown)
    return _drawn(str(folder.path), stamp, names, spoken())


@lru_cache(maxsize=256)
def _drawn(path: str, _stamp: int, shown: tuple[str, ...] | None, language: str) -> dict[str, Any]:
    evidence = StudyFolder(path).read_evidence()
    looks = choose_looks(evidence["rungs"])
    rungs = [one for one in evidence["rungs"] if shown is None or one["rung"] in shown]
    picked = {**evidence, "rungs": rungs}
    sizes = sorted({point["n_train"] for one in rungs for point in one["points"]})
    if not sizes:
        return {"scores": None, "sizes": []}
    compared = max(sizes) if shown is not None else choose_size(evidence, sizes)
    with speaking(language):
        said = say_scores(list_rungs(picked, compared), compared, evidence["unit"])
        return {"scores": draw_scores(picked, sizes, looks, label=said), "sizes": sizes}
