"""The folder of a study: whole or as before, whatever happens while it is written."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest

from medladder.errors import StudyError
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


def test_a_plan_survives_its_file(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    folder.write_json("plan.json", plan().to_json())
    assert folder.read_plan() == plan()


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
    assert folder.read_trials() == trials()
    read = folder.read_predictions(KEY.name)
    np.testing.assert_array_equal(read.probabilities, PREDICTIONS.probabilities)
    np.testing.assert_array_equal(read.repeats, [0, 1])


def test_a_torn_last_line_is_passed_over_and_a_torn_middle_refused(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    folder.write_fleet(KEY, PREDICTIONS, trials())
    journal = tmp_path / "trials.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-10])
    assert folder.read_trials() == trials(1)
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
    with pytest.raises(StudyError, match="Delete the lines of fleet 'x'"):
        folder.read_predictions("x")


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
    import socket
    import subprocess
    import sys

    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (tmp_path / ".lock").write_text(json.dumps({"host": socket.gethostname(), "process": gone.pid, "since": "then"}))
    with only_writer(tmp_path):
        pass
    (tmp_path / ".lock").write_text(json.dumps({"host": "elsewhere", "process": 1, "since": "then"}))
    with pytest.raises(StudyError, match=r"on elsewhere.*if that process is gone, delete"), only_writer(tmp_path):
        pass
