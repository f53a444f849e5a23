"""A study as a whole: what it records, how it goes on, what it refuses."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import medladder as ml
from medladder.cohort import Cohort, read_cohort
from medladder.cost import Effort, threads_a_fleet
from medladder.errors import CohortError, InputError, OptionError, StudyError
from medladder.planning import Wishes, plan_study
from medladder.record.folder import StudyFolder
from medladder.report.rerun import write_commands

QUICK: dict[str, Any] = {"rungs": ("prior", "logistic"), "sizes": ("16", "all"), "repeats": 3, "jobs": 1}


@pytest.fixture
def cohort(class_folders: Path) -> Cohort:
    return read_cohort(class_folders)


@pytest.fixture
def parted(cohort: Cohort) -> Cohort:
    """The same with a val and a test part."""
    return replace(cohort, parts=np.array((["train"] * 12 + ["val"] * 2 + ["test"] * 6) * 2))


def evidence_of(folder: StudyFolder) -> dict[str, Any]:
    """The evidence as a dict, without seconds."""
    evidence = ml.weigh(folder).to_json()
    evidence.pop("cost")
    return evidence


def test_a_study_records_every_trial(cohort: Cohort, tmp_path: Path) -> None:
    folder = ml.run_study(cohort, tmp_path / "run", **QUICK)
    plan, trials = folder.read_plan(), folder.read_trials()
    assert len(trials) == 2 * 2 * 3 * 5, "rungs, sizes, repeats, folds"
    assert all(trial.is_done for trial in trials)
    assert plan.sizes == (16, 32)
    record = folder.read_cohort()
    for trial in trials:
        predictions = folder.read_predictions(trial.fleet)
        assert (record.test_fold[predictions.rows] == trial.fold).all()
        np.testing.assert_allclose(predictions.probabilities.sum(axis=2), 1, atol=1e-6)
        assert "auroc" not in json.dumps(trial.to_json()), "no test score in the journal"
    assert len(list(folder.pictures.glob("example-1-*.png"))) == 6


def test_nothing_on_disk_names_a_file_or_a_patient(class_folders: Path, tmp_path: Path) -> None:
    rows = ["path,label,patient"]
    for name in ("clear", "effusion"):
        for i in range(20):
            source = class_folders / name / f"{i:02d}.png"
            source.rename(class_folders / name / f"SECRETFILE{i:02d}.png")
            rows.append(f"{name}/SECRETFILE{i:02d}.png,{name},SECRETPATIENT{name}{i // 2}")
    rows.append("clear/SECRETBAD.png,clear,SECRETPATIENT99")
    (class_folders / "clear" / "SECRETBAD.png").write_bytes(b"no")
    (class_folders / "chest.csv").write_text("\n".join(rows))
    folder = ml.run_study(read_cohort(class_folders / "chest.csv"), tmp_path / "run", **QUICK)
    ml.weigh(folder)
    ml.write_report(folder)
    for path in folder.path.rglob("*"):
        assert b"SECRET" not in (path.read_bytes() if path.is_file() else b""), path
        assert b"SECRET" not in path.name.encode()


def test_the_same_command_twice_runs_nothing_again(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ml.run_study(cohort, tmp_path / "run", **QUICK)
    before = (folder.path / "trials.jsonl").read_bytes()
    monkeypatch.setattr("medladder.study.fit_fleet", lambda _: pytest.fail("fitted again"))
    ml.run_study(cohort, tmp_path / "run", **QUICK)
    assert (folder.path / "trials.jsonl").read_bytes() == before


def test_a_study_cut_short_goes_on_to_equal_evidence(cohort: Cohort, tmp_path: Path) -> None:
    whole = ml.run_study(cohort, tmp_path / "whole", **QUICK)
    shutil.copytree(whole.path, tmp_path / "cut")
    cut = StudyFolder(tmp_path / "cut")
    lines = (cut.path / "trials.jsonl").read_bytes().splitlines(keepends=True)
    # Killed in the middle of a line, of a fleet that was half written, and with a prediction file gone.
    (cut.path / "trials.jsonl").write_bytes(b"".join(lines[:31]) + lines[31][:20])
    first = json.loads(lines[0])["fleet"]
    (cut.path / "predictions" / f"{first}.npz").unlink()
    ml.run_study(cohort, cut.path, **QUICK)
    assert len(cut.read_trials()) == len(lines)
    assert evidence_of(cut) == evidence_of(whole)


def test_a_study_killed_by_the_system_goes_on_to_equal_evidence(class_folders: Path, tmp_path: Path) -> None:
    words = ["study", str(class_folders), "--rungs", "prior,logistic", "--sizes", "16,all", "--repeats", "6"]
    words += ["--rung", "dnn:width=16,depth=2,members=2"]
    words += ["--jobs", "2", "--cache", str(tmp_path / "cache"), "--json"]
    command = [sys.executable, "-m", "medladder", *words]
    killed = tmp_path / "killed"
    process = subprocess.Popen([*command, "--out", str(killed)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    journal = killed / "trials.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (journal.exists() and len(journal.read_bytes().splitlines()) > 40):
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    n_before = len(StudyFolder(killed).read_trials())
    assert 0 < n_before < 3 * 2 * 6 * 5, "killed halfway"
    for out in (killed, tmp_path / "whole"):
        subprocess.run([*command, "--out", str(out)], check=True, capture_output=True)
    assert len(StudyFolder(killed).read_trials()) == 3 * 2 * 6 * 5
    assert evidence_of(StudyFolder(killed)) == evidence_of(StudyFolder(tmp_path / "whole"))


def test_more_rungs_sizes_and_repeats_move_nothing(cohort: Cohort, tmp_path: Path) -> None:
    small = ml.run_study(cohort, tmp_path / "run", **QUICK)
    before = {trial.fleet: small.read_predictions(trial.fleet).probabilities for trial in small.read_trials()}
    ml.weigh(small)
    grown = {**QUICK, "rungs": ("prior", "logistic", "svm"), "sizes": ("16", "24", "all"), "repeats": 4}
    folder = ml.run_study(cohort, tmp_path / "run", **grown)
    assert len(folder.read_trials()) == 3 * 3 * 4 * 5
    for fleet, probabilities in before.items():
        np.testing.assert_array_equal(folder.read_predictions(fleet).probabilities, probabilities)
    extension = folder.read_plan().extensions[0]
    assert extension["added"] == {"rungs": ["prior", "logistic", "svm"], "sizes": [16, 24, 32], "repeats": [3, 4]}
    assert extension["after_looking"] is True
    assert any("after looking" in warning["text"] for warning in evidence_of(folder)["verdict"]["warnings"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 1}, "a study with seed 0, not seed 1"),
        ({"margin": 0.05}, "margin 0.02, not margin 0.05"),
        ({"rungs": ("prior",)}, "the rungs prior, logistic; this asks for prior"),
        ({"sizes": ("all",)}, "Name 16, 32 in --sizes"),
        ({"repeats": 2}, "Give --repeats 3 or more"),
    ],
)
def test_what_only_grows_may_not_shrink(cohort: Cohort, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    folder = ml.run_study(cohort, tmp_path / "run", **QUICK)
    before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    with pytest.raises(StudyError, match=message):
        ml.run_study(cohort, tmp_path / "run", **{**QUICK, **changes})
    assert {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()} == before


def test_another_cohorts_study_and_other_files_are_left_alone(
    cohort: Cohort, class_folders: Path, tmp_path: Path
) -> None:
    ml.run_study(cohort, tmp_path / "run", **QUICK)
    (class_folders / "clear" / "00.png").unlink()
    with pytest.raises(StudyError, match="gone or altered: one of class clear that was the first file"):
        ml.run_study(read_cohort(class_folders), tmp_path / "run", **QUICK)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("precious")
    with pytest.raises(StudyError, match="holds other files and no study"):
        ml.run_study(cohort, tmp_path / "thesis", **QUICK)


def test_a_failing_trial_is_recorded_and_the_study_goes_on(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from medladder.rungs.logistic import LogisticClassifier

    fit = LogisticClassifier.fit

    def fails_at_sixteen(self: Any, X: Any, y: Any, draw: Any = None) -> Any:
        if len(X) == 16:
            raise ArithmeticError("the moon is full")
        return fit(self, X, y, draw)

    monkeypatch.setattr(LogisticClassifier, "fit", fails_at_sixteen)
    folder = ml.run_study(cohort, tmp_path / "run", **QUICK)
    failed = [trial for trial in folder.read_trials() if not trial.is_done]
    assert len(failed) == 3 * 5
    assert all("the moon is full" in str(trial.reason) for trial in failed)
    evidence = evidence_of(folder)
    logistic = next(rung for rung in evidence["rungs"] if rung["rung"] == "logistic")
    assert [point["n_train"] for point in logistic["points"] if point["auroc"]] == [32]
    assert any("moon" in warning["text"] for warning in evidence["verdict"]["warnings"])
    ml.write_report(folder)


def test_a_worker_that_dies_costs_its_fleet_only(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from medladder.engine.contract import Lost
    from medladder.fleets import fit_fleet

    def dies_once(engine: Any, work: Any, keys: Any, pack: Any, **_: Any) -> Any:
        for key in keys:
            task = pack(key)
            yield key, Lost("Memory ran out.") if key.name == "prior-n16-f1-r0-2" else fit_fleet(task)

    monkeypatch.setattr("medladder.study.run_tasks", dies_once)
    folder = ml.run_study(cohort, tmp_path / "run", inspection=False, **QUICK)
    failed = [trial for trial in folder.read_trials() if not trial.is_done]
    assert {trial.fleet for trial in failed} == {"prior-n16-f1-r0-2"}
    assert failed[0].reason == "Memory ran out."


def test_a_fleet_that_failed_runs_again_with_the_next_call(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from medladder.rungs.logistic import LogisticClassifier

    with monkeypatch.context() as broken:
        broken.setattr(LogisticClassifier, "fit", lambda *_: np.linalg.inv("x"))
        folder = ml.run_study(cohort, tmp_path / "run", **QUICK)
    assert sum(not trial.is_done for trial in folder.read_trials()) == 2 * 3 * 5
    ml.run_study(cohort, tmp_path / "run", **QUICK)
    assert len(folder.read_trials()) == 2 * 2 * 3 * 5
    assert all(trial.is_done for trial in folder.read_trials())
    assert evidence_of(folder) == evidence_of(ml.run_study(cohort, tmp_path / "whole", **QUICK))


def test_a_study_cut_off_while_it_was_opened_goes_on(cohort: Cohort, tmp_path: Path) -> None:
    ml.run_study(cohort, tmp_path / "run", **QUICK)
    (tmp_path / "run" / "cohort.json").unlink()
    (tmp_path / "run" / ".cohort.json.part").write_text("{")
    ml.run_study(cohort, tmp_path / "run", **QUICK)
    assert StudyFolder(tmp_path / "run").read_cohort().fingerprint == cohort.fingerprint


def test_what_is_kept_for_choosing_does_not_count_as_prevalence(parted: Cohort, tmp_path: Path) -> None:
    labels = np.where(parted.parts == "val", 1, parted.labels)
    labels[12] = 0  # four val images, three of them of class 1: too few to search a threshold on
    wishes = {"rungs": ("logistic",), "sizes": ("all",), "repeats": 1, "jobs": 1, "keep_val": True}
    (trial,) = ml.run_study(replace(parted, labels=labels), tmp_path / "run", **wishes).read_trials()
    assert trial.decision == {"weights": [0.5, 0.5], "rule": "prevalence"}, "24 training images, half of each class"


def test_the_cohorts_own_test_part_is_the_only_one_tested(parted: Cohort, tmp_path: Path) -> None:
    folder = ml.run_study(parted, tmp_path / "run", **{**QUICK, "sizes": ("16", "28")})
    record = folder.read_cohort()
    np.testing.assert_array_equal(record.test_fold, np.where(parted.parts == "test", 0, -1))
    assert {trial.fold for trial in folder.read_trials()} == {0}


def test_kept_val_images_choose_and_never_train(parted: Cohort) -> None:
    planned = plan_study(parted, Wishes(rungs=("logistic",), keep_val=True))
    assert planned.plan.sizes[-1] == 24, "n counts training patients only"
    is_val = parted.parts == "val"
    for key in planned.plan.fleets():
        for draw in planned.draws(key):
            np.testing.assert_array_equal(draw.fold == 0, is_val[draw.rows])
            assert set(draw.rows[draw.fold == 0]) == set(np.flatnonzero(is_val))
            assert (parted.parts[draw.rows] != "test").all()


def test_copies_across_a_given_split_never_train(parted: Cohort) -> None:
    contents = parted.contents.copy()
    contents[0] = contents[15]  # a training image that is also a test image
    contents[1] = contents[12]  # and one that is also a val image
    leaking = replace(parted, contents=contents)
    planned = plan_study(leaking, Wishes(rungs=("prior",), accept=("image-overlap",)))
    assert planned.record.test_fold[[0, 1, 15]].tolist() == [-3, -1, 0]
    planned = plan_study(leaking, Wishes(rungs=("prior",), accept=("image-overlap",), keep_val=True))
    assert planned.record.test_fold[[0, 1, 12, 15]].tolist() == [-3, -3, -2, 0]


def test_wishes_without_effect_or_out_of_range_are_refused(cohort: Cohort, parted: Cohort) -> None:
    for where, wishes, message in (
        (cohort, {"keep_val": True}, "no val part"),
        (cohort, {"rungs": ("logistc",)}, "Did you mean 'logistic'"),
        (cohort, {"rungs": ("dnn:dept=3",)}, "Did you mean 'depth'"),
        (cohort, {"rungs": ("nn", "nn")}, "named twice"),
        (cohort, {"repeats": 0}, "--repeats 0"),
        (cohort, {"margin": 0.9}, "--margin 0.9"),
        (cohort, {"leave_out": "site"}, "Unknown column 'site'"),
        (cohort, {"sizes": ("33",)}, "the 32 there are"),
        (parted, {"leave_out": "site"}, "test part of its own"),
        (cohort, {"repeat": 3}, "Did you mean 'repeats'"),
        (cohort, {"accept": ("patient-overlp",)}, "Did you mean 'patient-overlap'"),
    ):
        with pytest.raises(OptionError, match=message):
            plan_study(where, Wishes.of(**wishes))


def test_a_class_with_one_patient_and_a_part_without_a_class_are_refused(cohort: Cohort, parted: Cohort) -> None:
    one = replace(cohort, patients=np.where(cohort.labels == 1, 99, cohort.patients), patients_known=True)
    with pytest.raises(CohortError, match="Class 'effusion' has 1 patient"):
        plan_study(one, Wishes())
    parts = parted.parts.copy()
    parts[(parts == "test") & (parted.labels == 1)] = "train"
    with pytest.raises(CohortError, match="All 6 images of the part 'test' are of class 'clear'"):
        plan_study(replace(parted, parts=parts), Wishes())
    with pytest.raises(CohortError, match="Class 'effusion' has 0 patients in the test part"):
        plan_study(replace(parted, parts=parts), Wishes.of(accept=("one-class-part",)))


def test_every_value_of_a_column_is_left_out_in_turn(cohort: Cohort, tmp_path: Path) -> None:
    sited = replace(cohort, columns={"site": np.array(["A", "B"] * 20)})
    folder = ml.run_study(sited, tmp_path / "run", **{**QUICK, "leave_out": "site", "sizes": ("all",)})
    assert folder.read_plan().folds == ("A", "B")
    np.testing.assert_array_equal(folder.read_cohort().test_fold, [0, 1] * 20)
    assert "--leave-out site" in write_commands(folder.read_plan())[0]


def test_the_plan_says_about_how_long(cohort: Cohort) -> None:
    few = plan_study(cohort, Wishes(rungs=("logistic",), repeats=1)).plan
    many = plan_study(cohort, Wishes(rungs=("logistic", "dnn"), repeats=10)).plan
    assert 0 < Effort.of(few, 1).expected_seconds < Effort.of(many, 1).expected_seconds
    assert Effort.of(many, 2).expected_seconds < Effort.of(many, 1).expected_seconds
    assert (Effort.of(many, 2).fits, Effort.of(many, 2).threads) == (2 * 10 * 5 * len(many.sizes), 1)


def test_workers_get_more_threads_only_where_they_outnumber_the_plans_fleets(cohort: Cohort) -> None:
    parts = np.where(np.arange(40) % 4 == 0, "test", "train")
    plan = plan_study(replace(cohort, parts=parts), Wishes(rungs=("logistic",), sizes=("all",), repeats=1)).plan
    assert [threads_a_fleet(plan, jobs) for jobs in (1, 2, 8)] == [1, 2, 8]
    more = plan_study(replace(cohort, parts=parts), Wishes(rungs=("logistic", "nn"), sizes=("all",), repeats=1)).plan
    assert [threads_a_fleet(more, jobs) for jobs in (1, 2, 3, 4)] == [1, 1, 1, 2]


def test_strict_refuses_unreadable_files(class_folders: Path, tmp_path: Path) -> None:
    (class_folders / "clear" / "bad.png").write_bytes(b"no")
    cohort = read_cohort(class_folders)
    with pytest.raises(CohortError, match="With --strict every file readable"):
        ml.run_study(cohort, tmp_path / "run", **QUICK, strict=True)
    assert not (tmp_path / "run").exists()


def test_out_that_cannot_be(cohort: Cohort, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        ml.run_study(cohort, tmp_path / "file", **QUICK)
    with pytest.raises(InputError, match="cannot be made"):
        ml.run_study(cohort, tmp_path / "file" / "run", **QUICK)


def test_damaged_features_are_computed_again(cohort: Cohort, tmp_path: Path) -> None:
    wishes: dict[str, Any] = {**QUICK, "rungs": ("svm",), "sizes": ("16",), "cache": tmp_path / "cache"}
    first = ml.run_study(cohort, tmp_path / "first", **wishes)
    (features,) = (tmp_path / "cache" / "features").glob("*/features.npy")
    features.write_bytes(features.read_bytes()[:-40])
    second = ml.run_study(cohort, tmp_path / "second", **wishes)
    assert evidence_of(first) == evidence_of(second)


def test_a_study_trained_the_old_way_is_not_gone_on_with(cohort: Cohort, tmp_path: Path) -> None:
    folder = ml.run_study(cohort, tmp_path / "run", **QUICK)
    plan = json.loads((folder.path / "plan.json").read_text("utf-8"))
    del plan["training"]
    (folder.path / "plan.json").write_text(json.dumps(plan), "utf-8")
    with pytest.raises(StudyError, match="trained the way of version 1, not networks trained the way of version 2"):
        ml.run_study(cohort, folder.path, **QUICK)
    assert ml.weigh(folder), "it can be read all the same"


def test_a_lone_balanced_network_is_decided_at_even_shares(cohort: Cohort, tmp_path: Path) -> None:
    rung = "nn:class_weight=balanced,members=1,epochs=1"
    folder = ml.run_study(cohort, tmp_path / "run", rungs=(rung,), sizes=(20,), repeats=1, jobs=1)
    for trial in folder.read_trials():
        assert trial.decision is not None
        assert trial.decision["weights"] == [0.5, 0.5]
