"""The checklists: whole, answered once, true of the study, and every link leads somewhere."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from medladder.record.folder import StudyFolder
from medladder.report.checklists import LISTS, Checklist, Study, answer_checklists
from medladder.report.page import render
from report_studies import write_study
from test_paper import STUDIES

COUNTS = {"CLAIM 2024": (44, 44), "TRIPOD+AI": (52, 27), "STARD-AI": (48, 40)}
"""Numbered rows, and whole numbers among them."""


def asked(folder: StudyFolder, **others: Any) -> Study:
    known = Study(
        folder.read_plan(), folder.read_cohort(), folder.read_evidence(), n_left_out=0, has_characteristics=False,
        has_networks=True, is_inspected=False,
    )  # fmt: skip
    return replace(known, **others)


def answers(study: Study, name: str = "CLAIM 2024") -> dict[str, tuple[str, str]]:
    found = next(one for one in answer_checklists(study) if one.name == name)
    return {item.number: (item.answer.status, item.answer.text) for item in found.items}


@pytest.mark.parametrize("name", COUNTS)
def test_each_list_is_whole(name: str) -> None:
    items = next(items for listed, _, _, items in LISTS if listed == name)
    rows, numbers = COUNTS[name]
    assert len(items) == rows
    assert sorted({int(re.match(r"\d+", number)[0]) for number in items}) == list(range(1, numbers + 1))


@pytest.mark.parametrize("kind", STUDIES)
def test_every_link_leads_to_a_place_on_the_page(kind: str, tmp_path: Path) -> None:
    text = render(write_study(tmp_path / "chest", **STUDIES[kind]))
    section = text[text.index('<section id="checklists">') :].split("</section>")[0]
    links = set(re.findall(r'href="#([\w-]+)"', section))
    assert len(links) > 5
    assert links <= set(re.findall(r'id="([\w-]+)"', text))


def test_the_share_said_is_counted(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "chest")
    text = render(folder)
    section = text[text.index('<section id="checklists">') :].split("</section>")[0]
    for part in section.split("<details")[1:]:
        filled, of = map(int, re.search(r"(\d+) of (\d+) items", part).groups())
        assert filled == part.count('class="status-filled"')
        assert of == part.count('<th scope="row">') - part.count('class="status-not-applicable"')


def test_answers_follow_the_study(tmp_path: Path) -> None:
    known = asked(write_study(tmp_path / "known"))
    unknown = asked(write_study(tmp_path / "unknown"))
    unknown = replace(unknown, cohort=replace(unknown.cohort, patients_known=False))
    assert answers(known)["20"] == ("filled", "By patient: no patient stands on both sides.")
    assert answers(unknown)["20"][0] == "in part"
    assert answers(known)["36"][0] == "author"
    assert answers(replace(known, has_characteristics=True))["36"][0] == "in part"
    assert answers(known)["31"][0] == "not applicable"
    assert answers(replace(known, is_inspected=True))["31"][0] == "filled"
    assert answers(known)["33"][0] == "author"
    abroad = replace(known, plan=replace(known.plan, tested_on="other"))
    assert answers(abroad)["33"][0] == "filled"
    apart = replace(known, plan=replace(known.plan, leave_out="site"))
    assert answers(apart)["33"][0] == "in part"
    assert answers(apart, "TRIPOD+AI")["23b"][0] == "filled"
    assert answers(known, "TRIPOD+AI")["23b"][0] == "author"
    assert answers(replace(known, n_left_out=3))["10"] == ("filled", "3 images left out, with their reasons.")
    once = asked(write_study(tmp_path / "once", repeats=1, sizes=(120,)))
    assert answers(once)["30"][0] == "author"


def test_what_no_study_can_know_is_left_to_its_authors(tmp_path: Path) -> None:
    study = asked(write_study(tmp_path / "chest"), has_characteristics=True, is_inspected=True)
    for name, numbers in {
        "CLAIM 2024": ("5", "7", "8", "11", "14", "16", "34", "44"),
        "TRIPOD+AI": ("3c", "5b", "8a", "17", "18a", "18b", "18d", "19"),
        "STARD-AI": ("6", "9", "16a", "17b", "32", "38", "39"),
    }.items():
        assert {answers(study, name)[number][0] for number in numbers} == {"author"}


def test_what_is_doubtful_is_said_on_the_page(tmp_path: Path) -> None:
    doubts = {one.name: one.doubt for one in answer_checklists(asked(write_study(tmp_path / "chest")))}
    assert doubts["TRIPOD+AI"] is doubts["STARD-AI"] is None
    assert "could not be checked" in doubts["CLAIM 2024"]
    assert render(write_study(tmp_path / "chest")).count("could not be checked") == 1


def test_counts_are_of_what_applies() -> None:
    whole = Checklist("a", "b", "c", ())
    assert (whole.n_filled, whole.n_asked) == (0, 0)
