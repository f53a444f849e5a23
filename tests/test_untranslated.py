"""No English is left in a Korean report: not a heading, an axis, an alternative text or a warning."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import medladder as ml
from medladder.language import speaking
from medladder.models.folder import CARD
from medladder.record.folder import StudyFolder
from medladder.report.page import render
from report_studies import write_study
from untranslated import english_in, english_in_drawings, plain_texts

STUDIES: dict[str, dict[str, Any]] = {
    "plain": {},
    "without pictures": {"pictures": 0, "classes": ("a", "b", "c")},
    "one size": {"sizes": (120,), "repeats": 1},
    "convolutional": {"rungs": ("logistic", "cnn"), "shape": (64, 64, 3)},
}


def test_english_is_found() -> None:
    page = (
        '<p title="The reason why">한국어 <b>svm</b> 모델</p><pre>medladder study my folder</pre><p>left in English</p>'
    )
    assert english_in(page) == ["The reason why", "left in English"]
    assert english_in(page, names=["The reason why", "in English"]) == []


@pytest.mark.parametrize("kind", STUDIES)
def test_nothing_of_a_drawn_study_is_in_english(kind: str, tmp_path: Path) -> None:
    folder = write_study(tmp_path / "chest", **STUDIES[kind])
    assert _english_of(folder) == []
    plan, cohort = folder.read_plan(), folder.read_cohort()
    names = ["AUROC", *cohort.classes, *(one.rung for one in plan.rungs), *(one.kind for one in plan.rungs)]
    assert english_in_drawings(render(folder, language="ko"), names) == []


def _english_of(folder: StudyFolder) -> list[str]:
    plan, cohort = folder.read_plan(), folder.read_cohort()
    files = (folder.read_evidence(), cohort.to_json(), folder.read_inspection())
    names = [cohort.name, *cohort.classes, *(one.rung for one in plan.rungs)]
    names += [*plan.versions, *plan.versions.values()]
    return english_in(render(folder, language="ko"), names + plain_texts(list(files)))


def test_nothing_of_a_model_card_is_in_english(tmp_path: Path) -> None:
    cohort = ml.read_cohort("demo:nodule", image_size=(12,))
    with speaking("ko"):
        model = ml.fit_model(cohort, tmp_path / "model", rung="logistic")
    text = (tmp_path / "model" / CARD).read_text("utf-8")
    prose = re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.DOTALL)
    names = [cohort.name, *cohort.classes, model.record.preparation.resampling, *model.record.versions.values()]
    assert "## 근거" in text
    assert english_in(prose, names) == []
