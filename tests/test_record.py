"""The folder of a study: whole or as before, whatever happens while it is written."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medladder.errors import StudyError
from medladder.record import lock as locks
from medladder.record.folder import FleetPredictions, StudyFolder
from medladder.record.lock import only_writer
from medladder.record.plan import FleetKey, Plan, PlannedRung
from medladder.record.trials import Trial


def plan(**changes: object) -> Plan:
    fields: dict[str, object] = {
        "cohort": {"name": "a", "fingerprint": "f"},
        "rungs": (
            PlannedRung("nn", "nn", "deep", {}, [4, 2, 1]),
            PlannedRung("svm:cost=1", "svm", "conventional", {}, None),
        ),
        "sizes": (10, 20),
        "repeats": 7,
        "repeat_blocks": ((0, 5), (5, 7)),
        "round": 7,
        "folds": ("test",),
        "split": "the cohort's own test part",
        "leave_out": None,
        "tested_on": None,
        "keep_val": False,
        "seed": 0,
        "image": {"shape": [2, 2], "preparation": {"size": [2, 2]}},
        "margin": 0.02,
        "accept": (),
        "versions": {},
    }
    return Plan(**{**fields, **changes})  # type: ignore[arg-type]


KEY = FleetKey("svm:cost=1,gamma=2", 10, 0, 0, 2)
PREDICTIONS = FleetPredictions(np.full((2, 3, 2), 0.5, dtype=np.float32), np.arange(3), np.arange(2))


def trials(n: int = 2) -> list[Trial]:
    return [Trial(KEY.name, KEY.rung, 10, 0, repeat, "done", n_images=10, overlap=0.0) for repeat in range(n)]


def without_digest(found: list[Trial]) -> list[Trial]:
    return [replace(trial, predictions_sha256=None) for trial in found]


def test_a_plan_survives_its_file(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    folder.write_json("plan.json", plan().to_json())
    assert folder.read_plan() == plan()


def test_a_plan_from_before_networks_were_told_is_read() -> None:
    older = plan().to_json()
    for planned in older["rungs"]:
        del planned["members"], planned["convolution"], planned["has_covariates"]
    assert Plan.from_json(older) == plan()


def test_fleets_cover_every_trial_once_small_sizes_first() -> None:
    keys = list(plan().fleets())
    covered = [(key.rung, key.n_train, repeat) for key in keys for repeat in key.repeats]
    assert len(covered) == len(set(covered)) == 2 * 2 * 7
    assert [key.n_train for key in keys] == sorted(key.n_train for key in keys)


def test_fleet_names_are_file_names() -> None:
    assert KEY.name == "svm_cost_1_gamma_2-n10-f0-r0-1"


def test_a_fleet_is_read_back(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    folder.write_fleet(KEY, PREDICTIONS, trials())
    assert without_digest(folder.read_trials()) == trials()
    read = folder.read_predictions(KEY.name)
    np.testing.assert_array_equal(read.probabilities, PREDICTIONS.probabilities)
    np.testing.assert_array_equal(read.repeats, [0, 1])


def test_a_torn_last_line_is_passed_over_and_a_torn_middle_refused(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    folder.write_fleet(KEY, PREDICTIONS, trials())
    journal = tmp_path / "trials.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-10])
    assert without_digest(folder.read_trials()) == trials(1)
    journal.write_bytes(whole[10:])
    with pytest.raises(StudyError, match=r"Line 1 of .* is not a trial"):
        folder.read_trials()


def test_a_full_disk_leaves_the_journal_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = StudyFolder(tmp_path)
    folder.write_fleet(KEY, PREDICTIONS, trials())
    before = (tmp_path / "trials.jsonl").read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StudyError, match=r"is full\..*the same command again"):
        folder.write_fleet(FleetKey("nn", 10, 0, 0, 2), None, trials())
    assert (tmp_path / "trials.jsonl").read_bytes() == before
    with pytest.raises(StudyError, match="is full"):
        folder.write_json("plan.json", {})
    assert sorted(child.name for child in tmp_path.iterdir()) == ["predictions", "trials.jsonl"]


def test_missing_damaged_and_newer_files_are_said(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    with pytest.raises(StudyError, match=r"holds no plan\.json"):
        folder.read_plan()
    (tmp_path / "plan.json").write_text("{")
    with pytest.raises(StudyError, match="is damaged"):
        folder.read_plan()
    (tmp_path / "plan.json").write_text(json.dumps({"protocol": 99}))
    with pytest.raises(StudyError, match="has protocol 99"):
        folder.read_plan()
    with pytest.raises(StudyError, match=r"x\.npz cannot be read.*it runs the fleet anew"):
        folder.read_predictions("x")


@pytest.mark.parametrize("content", ["[]", '{"protocol": 1}', '{"protocol": 1, "rungs": [{"rung": "nn"}]}'])
def test_json_without_its_fields_is_damaged(tmp_path: Path, content: str) -> None:
    folder = StudyFolder(tmp_path)
    for name, read in (("plan.json", folder.read_plan), ("cohort.json", folder.read_cohort)):
        (tmp_path / name).write_text(content)
        with pytest.raises(StudyError, match=rf"{name} is damaged \(.*start again with another --out"):
            read()


def test_damaged_predictions_are_said_at_every_length_and_byte(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    folder.write_fleet(KEY, PREDICTIONS, trials())
    path = tmp_path / "predictions" / f"{KEY.name}.npz"
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(StudyError, match="cannot be read"):
            folder.read_predictions(KEY.name)
    n_refused = 0
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 255]) + whole[position + 1 :])
        try:
            read = folder.read_predictions(KEY.name)
        except StudyError:
            n_refused += 1
        else:  # dates and attributes of the zip may be anything
            np.testing.assert_array_equal(read.probabilities, PREDICTIONS.probabilities)
    assert n_refused > len(whole) / 2


def test_pickled_predictions_are_never_opened(tmp_path: Path) -> None:
    (tmp_path / "predictions").mkdir()
    np.savez(tmp_path / "predictions" / "x.npz", probabilities=np.array([{}]), rows=np.arange(1), repeats=np.arange(1))
    with pytest.raises(StudyError, match="cannot be read"):
        StudyFolder(tmp_path).read_predictions("x")


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with only_writer(tmp_path), pytest.raises(StudyError, match="One writer a study"), only_writer(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_the_lock_of_a_process_that_is_gone_is_taken(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (tmp_path / ".lock").write_text(json.dumps({"host": socket.gethostname(), "process": gone.pid, "since": "then"}))
    with only_writer(tmp_path):
        pass
    (tmp_path / ".lock").write_text(json.dumps({"host": "elsewhere", "process": 1, "since": "then"}))
    with (
        pytest.raises(StudyError, match=r"on elsewhere.*if it is gone, .*add --take-over"),
        only_writer(tmp_path),
    ):
        pass


def test_a_lock_names_itself_where_it_refuses(tmp_path: Path) -> None:
    with only_writer(tmp_path), pytest.raises(StudyError) as caught, only_writer(tmp_path):
        pass
    assert f"delete {tmp_path / '.lock'}" in caught.value.do


def test_a_process_number_that_was_given_again_does_not_hold_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "_birth_of", lambda _: "boot 7")
    with only_writer(tmp_path):
        left = (tmp_path / ".lock").read_text()  # as after a loss of power: the number is alive, the process another
    (tmp_path / ".lock").write_text(left)
    with pytest.raises(StudyError, match="One writer"), only_writer(tmp_path):
        pass
    monkeypatch.setattr(locks, "_birth_of", lambda _: "boot 8")
    with only_writer(tmp_path):
        pass
    (tmp_path / ".lock").write_text(left)
    monkeypatch.setattr(locks, "_birth_of", lambda _: None)  # a system that does not say: better refuse
    with pytest.raises(StudyError, match="One writer"), only_writer(tmp_path):
        pass


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_processes_are_told_apart_by_their_birth() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        mine, other = locks._birth_of(os.getpid()), locks._birth_of(child.pid)
        assert mine is not None
        assert mine == locks._birth_of(os.getpid())
        assert mine != other
        child.communicate(b"\n")
    assert locks._birth_of(child.pid) is None


@pytest.mark.parametrize("content", ["", "{", "{}", "[]", "3", '{"host": "a", "process": "x", "since": "then"}'])
def test_a_torn_lock_is_taken(tmp_path: Path, content: str) -> None:
    (tmp_path / ".lock").write_text(content)
    with only_writer(tmp_path):
        assert json.loads((tmp_path / ".lock").read_text())["process"] == os.getpid()
    assert not list(tmp_path.iterdir())


def test_a_lock_is_never_seen_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    link = os.link

    def watched(source: Path, target: Path) -> None:
        seen.append(Path(target).exists())
        link(source, target)
        seen.append(json.loads(Path(target).read_text())["process"] == os.getpid())

    monkeypatch.setattr(os, "link", watched)
    with only_writer(tmp_path):
        assert seen == [False, True]
        assert [child.name for child in tmp_path.iterdir()] == [".lock"], "the draft is gone"


def test_a_disk_without_links_and_one_that_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unlinkable(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", unlinkable)
    with only_writer(tmp_path), pytest.raises(StudyError, match="One writer a study"), only_writer(tmp_path):
        pass

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(StudyError, match=r"cannot be written \(No space left on device\)"), only_writer(tmp_path):
        pass


def test_a_lock_taken_while_another_was_given_back_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / ".lock"
    lock.write_text("held")
    rival = json.dumps({"host": socket.gethostname(), "process": os.getpid(), "since": "now"})
    read_text = Path.read_text

    def given_back_and_taken(path: Path, *options: str) -> str:
        if path == lock and read_text(lock) == "held":
            lock.write_text(rival)
            raise FileNotFoundError
        return read_text(path, *options)

    monkeypatch.setattr(Path, "read_text", given_back_and_taken)
    with pytest.raises(StudyError, match="One writer"), only_writer(tmp_path):
        pass
    assert read_text(lock) == rival
