"""Studies side by side: differences against themselves are nought, and only what may be compared is."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import html5lib
import pytest
from typer.testing import CliRunner

import medladder as ml
from medladder.cli import app
from medladder.errors import OptionError
from medladder.evidence.across import check_alike, compare_studies
from medladder.evidence.weighing import weigh
from medladder.record.folder import StudyFolder
from medladder.report.comparison import write_comparison
from untranslated import english_in

RUNGS = ["prior", "logistic", "nn:epochs=3"]


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> list[StudyFolder]:
    """One cohort at two image sizes."""
    place = tmp_path_factory.mktemp("studies")
    made = []
    for side in (12, 16):
        cohort = ml.read_cohort("demo:nodule", image_size=(side,))
        study = ml.run_study(
            cohort, place / f"side{side}", rungs=RUNGS, sizes=["40", "120"], repeats=3, jobs=1, inspection=False
        )
        weigh(study)
        made.append(study)
    return made


def test_a_study_differs_from_itself_by_nothing(studies: list[StudyFolder]) -> None:
    found = compare_studies([studies[0], studies[0]])
    assert {one.rung for one in found} == set(RUNGS)
    assert all(one.difference.estimate == 0 and one.n_train == 120 for one in found)


def test_differences_are_those_of_the_scores(studies: list[StudyFolder]) -> None:
    scores = [
        {rung["rung"]: rung["points"][-1]["auroc"]["estimate"] for rung in study.read_evidence()["rungs"]}
        for study in studies
    ]
    for one in compare_studies(studies):
        assert one.study == 1
        expected = scores[1][one.rung] - scores[0][one.against]
        assert one.difference.estimate == pytest.approx(expected, abs=1e-9)
        assert one.difference.low <= one.difference.estimate <= one.difference.high


def test_other_patients_are_not_paired_and_other_classes_refused(studies: list[StudyFolder]) -> None:
    cohort = studies[0].read_cohort()
    assert check_alike([cohort, studies[1].read_cohort()])
    assert not check_alike([cohort, replace(cohort, test_fold=cohort.test_fold[::-1].copy())])
    with pytest.raises(OptionError, match="other classes"):
        check_alike([cohort, replace(cohort, classes=("a", "b"))])


@pytest.mark.parametrize("language", ["en", "ko"])
def test_the_page(studies: list[StudyFolder], tmp_path: Path, language: str) -> None:
    page = tmp_path / "both.html"
    told = write_comparison(studies, page, language=language)
    assert told["is_paired"]
    text = page.read_text("utf-8")
    parser = html5lib.HTMLParser()
    parser.parse(text)
    assert parser.errors == []
    assert text.count("<figure>") == 2
    ids = re.findall(r' id="([\w-]+)"', text)
    assert len(ids) == len(set(ids))
    for study in studies:
        for rung in study.read_evidence()["rungs"]:
            assert f"{rung['points'][-1]['auroc']['estimate']:.3f}" in text
    if language == "ko":
        cohort = studies[0].read_cohort()
        assert english_in(text, [cohort.name, *cohort.classes]) == []
    write_comparison(studies, page, language=language)
    page.write_text("my notes", "utf-8")
    with pytest.raises(OptionError, match="no comparison"):
        write_comparison(studies, page)
    assert page.read_text("utf-8") == "my notes"


def test_the_command(studies: list[StudyFolder], tmp_path: Path) -> None:
    runs = [str(study.path) for study in studies]
    told = CliRunner().invoke(app, ["report", *runs, "--out", str(tmp_path / "page.html"), "--json"])
    assert told.exit_code == 0, told.output
    found = json.loads(told.stdout)
    assert found["studies"] == runs
    assert {one["rung"] for one in found["differences"]} == set(RUNGS)
    refused = CliRunner().invoke(app, ["report", *runs, "--pdf"])
    assert refused.exit_code == 2
    assert "one study at a time" in refused.output
