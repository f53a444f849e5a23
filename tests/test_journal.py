"""The journal and its predictions: what was torn, doubled, moved, mixed or altered is never silently wrong."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

import medladder as ml
from medladder.cohort import Cohort, read_cohort
from medladder.errors import StudyError
from medladder.progress import Quiet
from medladder.record.folder import StudyFolder
from medladder.record.lock import only_writer


class Telling(Quiet):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, line: str) -> None:
        self.said.append(line)


QUICK: dict[str, Any] = {
    "rungs": ("prior", "logistic"),
    "sizes": ("16", "all"),
    "repeats": 3,
    "jobs": 1,
    "inspection": False,
}


@pytest.fixture
def cohort(class_folders: Path) -> Cohort:
    return read_cohort(class_folders)


@pytest.fixture
def whole(cohort: Cohort, tmp_path: Path) -> StudyFolder:
    return ml.run_study(cohort, tmp_path / "run", **QUICK)


def lines_of(folder: StudyFolder) -> list[bytes]:
    return folder.journal.read_bytes().splitlines(keepends=True)


def evidence_of(folder: StudyFolder) -> dict[str, Any]:
    evidence = ml.weigh(folder).to_json()
    evidence.pop("cost")
    return evidence


def go_on(cohort: Cohort, folder: StudyFolder) -> Telling:
    telling = Telling()
    ml.run_study(cohort, folder.path, **QUICK, progress=telling)
    return telling


def test_a_torn_last_line_is_mended_and_said(cohort: Cohort, whole: StudyFolder) -> None:
    before = evidence_of(whole)
    content = whole.journal.read_bytes()
    whole.journal.write_bytes(content[:-25])
    told = go_on(cohort, whole)
    assert any("the last line is torn after" in line for line in told.said)
    assert len(lines_of(whole)) == content.count(b"\n")
    assert evidence_of(whole) == before


def test_lines_in_another_order_or_twice_change_nothing(cohort: Cohort, whole: StudyFolder) -> None:
    before, lines = evidence_of(whole), lines_of(whole)
    random.Random(0).shuffle(lines)
    whole.journal.write_bytes(b"".join(lines))
    assert evidence_of(whole) == before
    whole.journal.write_bytes(b"".join(lines + lines[3:9]))
    assert evidence_of(whole) == before
    told = go_on(cohort, whole)
    assert any("6 lines stand there twice" in line for line in told.said)
    assert len(lines_of(whole)) == len(lines)
    assert evidence_of(whole) == before


def test_lines_at_odds_are_refused_by_the_report_and_mended_by_the_study(cohort: Cohort, whole: StudyFolder) -> None:
    before, lines = evidence_of(whole), lines_of(whole)
    other = {**json.loads(lines[0]), "overlap": 0.5}
    whole.journal.write_bytes(b"".join([*lines, json.dumps(other).encode() + b"\n"]))
    with pytest.raises(StudyError, match=rf"Lines 1 and {len(lines) + 1} of .*say different things of one trial"):
        ml.weigh(whole)
    told = go_on(cohort, whole)
    assert any(f"one trial of {other['fleet']}; it runs anew" in line for line in told.said)
    assert evidence_of(whole) == before


@pytest.mark.parametrize(
    "change", [{"fleet": "svm-n16-f0-r0-2"}, {"n_train": 99}, {"rung": "nn"}, {"fold": 4}, {"repeat": 7}]
)
def test_lines_of_another_study_are_refused_by_number(
    cohort: Cohort, whole: StudyFolder, change: dict[str, Any]
) -> None:
    lines = lines_of(whole)
    foreign = {**json.loads(lines[0]), **change}
    whole.journal.write_bytes(b"".join([*lines[:5], json.dumps(foreign).encode() + b"\n", *lines[5:]]))
    for read in (lambda: ml.weigh(whole), lambda: go_on(cohort, whole)):
        with pytest.raises(StudyError, match=r"Line 6 of .*trials\.jsonl is of the fleet .*plan does not have"):
            read()
    assert len(lines_of(whole)) == len(lines) + 1, "nothing was thrown away"


@pytest.mark.parametrize("line", [b"{}", b"[1]", b"\xff\xfe", b'{"fleet": 3, "rung": "prior"}', b'{"fleet": "x"'])
def test_what_is_no_trial_is_refused_by_number(cohort: Cohort, whole: StudyFolder, line: bytes) -> None:
    lines = lines_of(whole)
    whole.journal.write_bytes(b"".join([lines[0], line + b"\n", *lines[1:]]))
    for read in (lambda: ml.weigh(whole), lambda: go_on(cohort, whole)):
        with pytest.raises(StudyError, match=r"Line 2 of .* is not a trial .*delete that line"):
            read()


@pytest.mark.parametrize("is_gone", [True, False])
def test_predictions_that_are_gone_or_altered_are_refused_and_run_anew(
    cohort: Cohort, whole: StudyFolder, *, is_gone: bool
) -> None:
    before = evidence_of(whole)
    path = whole.path / "predictions" / "logistic-n16-f2-r0-2.npz"
    content = path.read_bytes()
    if is_gone:
        path.unlink()
    else:  # one bit of one probability
        path.write_bytes(content[:300] + bytes([content[300] ^ 1]) + content[301:])
    with pytest.raises(StudyError, match=r"logistic-n16-f2-r0-2\.npz cannot be read"):
        ml.weigh(whole)
    told = go_on(cohort, whole)
    assert any("logistic-n16-f2-r0-2.npz is not what the study wrote there, or gone" in line for line in told.said)
    assert path.read_bytes() == content
    assert evidence_of(whole) == before


def test_a_study_from_before_digests_is_read(cohort: Cohort, whole: StudyFolder) -> None:
    before, lines = evidence_of(whole), [json.loads(line) for line in lines_of(whole)]
    for line in lines:
        del line["predictions_sha256"]
    whole.journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert evidence_of(whole) == before
    assert not any("anew" in line for line in go_on(cohort, whole).said)


def test_files_of_the_cohort_that_changed_are_named(cohort: Cohort, class_folders: Path, whole: StudyFolder) -> None:
    one, other = (class_folders / "clear" / name for name in ("03.png", "11.png"))
    first, second = one.read_bytes(), other.read_bytes()
    other.write_bytes((class_folders / "effusion" / "05.png").read_bytes())
    with pytest.raises(StudyError, match=r"new or altered: clear/11\.png; gone or altered: .*after clear/10\.png"):
        go_on(read_cohort(class_folders), whole)
    other.write_bytes(second)
    one.rename(class_folders / "effusion" / "03b.png")
    with pytest.raises(StudyError, match=r"of another class: effusion/03b\.png"):
        go_on(read_cohort(class_folders), whole)
    one.write_bytes(first)
    (class_folders / "effusion" / "03b.png").unlink()
    go_on(read_cohort(class_folders), whole)


def test_a_study_goes_on_in_another_place(cohort: Cohort, whole: StudyFolder, tmp_path: Path) -> None:
    before = evidence_of(whole)
    lines = lines_of(whole)
    whole.path.rename(tmp_path / "moved")
    moved = StudyFolder(tmp_path / "moved")
    moved.journal.write_bytes(b"".join(lines[:-4]))
    told = go_on(cohort, moved)
    assert any("fleets stand already" in line for line in told.said)
    assert evidence_of(moved) == before


def test_who_was_taken_over_stops(cohort: Cohort, whole: StudyFolder) -> None:
    lock = whole.path / ".lock"
    with only_writer(whole.path) as held:
        held.check()
        lock.write_text(json.dumps({"host": "elsewhere", "process": 7, "since": "then"}))
        with pytest.raises(StudyError, match="was taken over by process 7 on elsewhere"):
            held.check()
    assert lock.exists(), "the other's lock stays"
    with pytest.raises(StudyError, match="add --take-over"):
        go_on(cohort, whole)
    ml.run_study(cohort, whole.path, **QUICK, take_over=True)
    assert not lock.exists()
