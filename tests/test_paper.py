"""The text for a paper says what this study did, in the past tense, and cites what it used and nothing else."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import pytest

from medladder.report.page import render
from medladder.report.references import REFERENCES, to_bibtex
from medladder.report.wording import estimate_with_span
from report_studies import write_study

STUDIES: dict[str, dict[str, Any]] = {
    "patients": {},
    "no networks": {"rungs": ("prior", "logistic", "svm")},
    "convolutional": {"rungs": ("logistic", "cnn"), "shape": (64, 64, 3)},
    "one size": {"sizes": (120,), "repeats": 1},
    "three classes": {"classes": ("a", "b", "c")},
}


def section(text: str) -> str:
    return text[text.index('<section id="paper">') :].split("</section>")[0]


def prose(text: str) -> str:
    """Methods and sample size, without tags."""
    part = section(text).split('<ol class="references" lang="en">')[0]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", part)).split())


@pytest.mark.parametrize("kind", STUDIES)
def test_what_is_cited_is_what_is_listed(kind: str, tmp_path: Path) -> None:
    text = section(render(write_study(tmp_path / "chest", **STUDIES[kind])))
    cited = set(re.findall(r'href="#ref-(\w+)"', text))
    listed = re.findall(r'<li id="ref-(\w+)">', text)
    entries = re.findall(r"@\w+\{(\w+),", text)
    assert listed == sorted(cited)
    assert entries == listed
    assert "[[" not in text
    assert "]]" not in text


def test_the_text_follows_the_study(tmp_path: Path) -> None:
    said = {kind: prose(render(write_study(tmp_path / kind, **STUDIES[kind]))) for kind in STUDIES}
    assert "AdamW" in said["patients"]
    assert "AdamW" not in said["no networks"]
    assert "The network cnn was convolutional." in said["convolutional"]
    assert "convolutional" not in said["patients"]
    assert "No learning curve was measured" in said["one size"]
    assert "trained once at each size: 120 training patients" in said["one size"]
    assert "Curves of AUROC" not in said["one size"]
    assert "best balanced accuracy on held-out" in said["patients"]
    assert "largest ratio of its probability" in said["three classes"]
    assert "support vector machine" not in said["convolutional"]


def test_numbers_are_those_of_plan_and_evidence(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "chest")
    plan, evidence = folder.read_plan(), folder.read_evidence()
    said = prose(render(folder))
    rung = next(one for one in evidence["rungs"] if one["rung"] == evidence["verdict"]["recommended"])
    assert estimate_with_span(rung["points"][-1]["auroc"]) in said
    assert f"in {plan.repeats} repeats at each size" in said
    assert f"from seed {plan.seed}." in said
    for name, version in plan.versions.items():
        assert f"{name} {version}" in said


@pytest.mark.parametrize("kind", STUDIES)
def test_methods_are_told_in_the_past(kind: str, tmp_path: Path) -> None:
    methods = prose(render(write_study(tmp_path / "chest", **STUDIES[kind]))).split("Sample size")[0]
    assert re.findall(r"\b(?:will|are|is|uses|shall)\b", methods) == []


def test_bibtex_is_well_formed() -> None:
    text = to_bibtex(list(REFERENCES))
    for entry in text.split("\n\n"):
        assert re.fullmatch(r"@\w+\{\w+,\n(?:  \w+ = \{.+\},\n)+\}", entry), entry
        assert entry.count("{") == entry.count("}")
    assert all(dict(one.fields)["year"] in one.cited for one in REFERENCES.values())
    assert len({one.cited for one in REFERENCES.values()}) == len(REFERENCES)
