"""A user's road through the command line."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from medladder.cli import app

QUICK = ["--rungs", "prior,logistic", "--sizes", "16,all", "--repeats", "2", "--jobs", "1"]


def call(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def answer(*words: str | Path) -> dict[str, Any]:
    result = call(*words, "--json")
    assert result.exit_code == 0, result.output
    parsed: dict[str, Any] = json.loads(result.stdout)
    return parsed


def refused(*words: str | Path) -> dict[str, str]:
    """The three parts of an error, which a person reads on stderr and a program on stdout."""
    result = call(*words, "--json")
    assert result.exit_code == 2, result.output
    error: dict[str, str] = json.loads(result.stdout)["error"]
    spoken = " ".join(result.stderr.split())
    for part in ("found", "needed", "do"):
        assert error[part]
        assert " ".join(error[part].split()) in spoken
    return error


def test_what_was_not_tried_is_offered_with_its_price(class_folders: Path, tmp_path: Path) -> None:
    words = ["study", class_folders, "--sizes", "16", "--repeats", "1", "--image-size", "8", "--jobs", "1"]
    plain = call(*words, "--out", tmp_path / "plain")
    assert plain.exit_code == 0, plain.output
    offer = " ".join(plain.stdout.split())
    assert "Not tried: cnn, 5 fits, about" in offer
    assert "--rungs prior,logistic,svm,forest,boosting,nn,dnn,cnn adds it to this study" in offer
    named = call(*words, "--out", tmp_path / "named", "--rungs", "prior")
    assert "Not tried" not in named.stdout, "who names the rungs has chosen"


def test_the_road_from_drawing_to_report(tmp_path: Path) -> None:
    made = answer("data", "make", "cells", "--out", tmp_path / "blood", "--patients", "60", "--size", "16")
    manifest = tmp_path / "blood" / "labels.csv"
    assert made["manifest"] == str(manifest)
    checked = answer("check", manifest)
    assert checked["counts"]["images"] == made["images"]
    planned = answer("study", manifest, "--out", tmp_path / "run", *QUICK, "--plan")
    assert planned["fits"] == 2 * 2 * 2
    assert planned["expected_seconds"] >= 0
    assert not (tmp_path / "run").exists(), "a plan writes nothing"
    done = answer("study", manifest, "--out", tmp_path / "run", *QUICK)
    assert done["evidence"]["verdict"]["recommended"] in ("prior", "logistic")
    on_disk = json.loads((tmp_path / "run" / "evidence.json").read_text("utf-8"))
    assert done["evidence"] == on_disk
    page = (tmp_path / "run" / "report.html").read_bytes()
    (tmp_path / "run" / "report.html").unlink()
    assert answer("report", tmp_path / "run") == {"report": done["report"]}
    assert (tmp_path / "run" / "report.html").read_bytes() == page


def test_evidence_is_what_the_design_says(class_folders: Path, tmp_path: Path) -> None:
    evidence = answer("study", class_folders, "--out", tmp_path / "run", *QUICK)["evidence"]
    assert evidence["protocol"] == 1
    assert [rung["rung"] for rung in evidence["rungs"]] == ["prior", "logistic"]
    for rung in evidence["rungs"]:
        assert set(rung) >= {"rung", "family", "points", "curve", "forecast"}
        assert [point["n_train"] for point in rung["points"]] == [16, 32]
        for point in rung["points"]:
            for metric in ("auroc", "accuracy", "balanced_accuracy", "sensitivity", "specificity", "brier"):
                interval = point[metric]
                assert 0 <= interval["low"] <= interval["estimate"] <= interval["high"] <= 1
    assert set(evidence["verdict"]) >= {"recommended", "grade", "sentences", "crossover", "needed"}
    assert all(set(sentence) == {"text", "rule"} for sentence in evidence["verdict"]["sentences"])


def test_what_a_person_reads(class_folders: Path, tmp_path: Path) -> None:
    result = call("study", class_folders, "--out", tmp_path / "run", *QUICK)
    assert result.exit_code == 0
    assert "logistic" in result.stdout
    assert "Report: " in result.stdout
    checked = call("check", class_folders)
    assert "no-patient-ids" in checked.stdout
    assert call("check", class_folders, "--strict").exit_code == 2
    shown = call("study", class_folders, "--plan", *QUICK)
    assert "16, 32 training patients, 2 repeats each" in shown.stdout


def test_unreadable_files_are_named_skipped_and_counted(class_folders: Path, tmp_path: Path) -> None:
    cut = (class_folders / "clear" / "00.png").read_bytes()[:70]
    (class_folders / "clear" / "cut.png").write_bytes(cut)
    result = call("study", class_folders, "--out", tmp_path / "run", *QUICK)
    assert result.exit_code == 0
    assert "left out: clear/cut.png" in result.stderr
    findings = answer("check", class_folders)["findings"]
    unreadable = next(finding for finding in findings if finding["kind"] == "unreadable")
    assert unreadable["files"] == ["clear/cut.png"]
    assert set(unreadable) == {"kind", "severity", "files", "count", "message", "action"}
    error = refused("study", class_folders, "--out", tmp_path / "strict", *QUICK, "--strict")
    assert "1 of 41 images" in error["found"]
    assert not (tmp_path / "strict").exists()


def test_bad_input_says_found_needed_do(class_folders: Path, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "run")
    (tmp_path / "empty").mkdir()
    assert "it is empty" in refused("study", tmp_path / "empty", *out)["found"]
    (tmp_path / "bare.csv").write_text("file,class\na.png,x\n")
    assert "path and one named label" in refused("study", tmp_path / "bare.csv", *out)["needed"]
    np.savez(tmp_path / "objects.npz", train_images=np.array([{}]), train_labels=np.array([1]))
    assert "Python objects" in refused("study", tmp_path / "objects.npz", *out)["found"]
    assert "Did you mean 'dnn'" in refused("study", class_folders, *out, "--rungs", "dnnn")["do"]
    assert "Did you mean 'members'" in refused("study", class_folders, *out, "--rung", "dnn:member=1")["do"]
    assert "--out RUN" in refused("study", class_folders)["do"]
    assert "rows x columns" in refused("study", class_folders, *out, "--image-size", "big")["needed"]
    assert "1 or more" in refused("study", class_folders, *out, "--jobs", "0")["needed"]
    assert "medladder study COHORT" in refused("report", tmp_path / "empty")["do"]
    assert "224x224" in refused("budget", "--image", "large", "--hidden", "10")["do"]
    assert "Did you mean 'nodule'" in refused("data", "make", "nodul", "--out", tmp_path / "x")["do"]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "meant"),
    [(["study", "--rugns", "prior"], "--rungs"), (["stduy"], "study"), (["budget", "--imag", "8x8"], "--image")],
)
def test_a_mistyped_verb_or_option_is_answered_with_the_right_one(words: list[str], meant: str) -> None:
    result = call(*words)
    assert result.exit_code == 2
    assert meant in result.stderr


def test_budget_by_hand() -> None:
    counted = answer("budget", "--image", "28x28", "--hidden", "512,128,32")
    # 784·512 + 512, 512·128 + 128, 128·32 + 32, 32·1 + 1
    assert [layer["parameters"] for layer in counted["layers"]] == [0, 401920, 65664, 4128, 33]
    assert counted["parameters"] == 471745
    assert answer("budget", "--image", "8x8x3", "--hidden", "10", "--classes", "4")["parameters"] == 192 * 10 + 10 + 44


def test_budgets_of_rungs_stand_side_by_side_and_grow() -> None:
    words = ("budget", "--image", "64x64", "--rung", "dnn:widths=8,members=2", "--rung", "cnn", "--rung", "logistic")
    counted = answer(*words)
    assert [one["rung"] for one in counted["rungs"]] == ["dnn:widths=8,members=2", "cnn", "logistic"]
    dense = counted["rungs"][0]
    assert (dense["parameters"], dense["members"]) == (4096 * 8 + 8 + 8 + 1, 2)
    assert [grown["image"][0] for grown in dense["growth"]] == [28, 64, 128, 224, 512]
    assert dense["growth"][-1]["parameters"] == 512**2 * 8 + 8 + 8 + 1
    said = call(*words).stdout
    assert "Images of 64 × 64 pixels." in said
    assert "× 2 members, counted for one" in said
    assert "2.10 M" in said  # 512² · 8 + 17
    assert "Images of 6 × 8 × 8 voxels and 2 channels." in call("budget", "--image", "6x8x8x2", "--rung", "nn").stdout


def test_a_budget_is_of_hidden_layers_or_of_rungs() -> None:
    assert "--rung dnn" in refused("budget", "--image", "8x8")["do"]
    both = refused("budget", "--image", "8x8", "--hidden", "10", "--rung", "dnn")
    assert both["found"] == "Both --hidden and --rung."
    assert "logistic, nn, dnn or cnn" in refused("budget", "--image", "8x8", "--rung", "svm")["needed"]


def test_lists_what_can_be_had() -> None:
    listed = answer("data", "list")
    assert [drawn["name"] for drawn in listed["drawn"]] == ["nodule", "atrophy", "cells"]
    assert "breastmnist" in [release["name"] for release in listed["medmnist"]]
    assert "demo:nodule" in call("data", "list").stdout


def test_fetch_says_what_to_do_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(**_: object) -> None:
        raise ConnectionError

    monkeypatch.setattr("pooch.retrieve", offline)
    error = refused("data", "fetch", "breastmnist", "--cache", tmp_path)
    assert str(tmp_path / "medmnist") in error["do"]


def test_drawing_over_something_is_refused(class_folders: Path) -> None:
    assert "there already" in refused("data", "make", "nodule", "--out", class_folders)["found"]


def test_a_full_disk_stops_with_what_to_do_and_loses_nothing(class_folders: Path, tmp_path: Path) -> None:
    """A real small file system, where the machine allows one to be mounted."""
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(small)], capture_output=True)
    if mounted.returncode:
        pytest.skip("no right to mount a small file system; test_record.py simulates a full disk")
    try:
        error = refused("study", class_folders, "--out", small / "run", *QUICK[:-4], "--repeats", "40", "--jobs", "1")
        assert "full" in error["found"]
        journal = small / "run" / "trials.jsonl"
        lines = journal.read_text("utf-8").splitlines() if journal.exists() else []
        assert all(json.loads(line)["status"] == "done" for line in lines)
        subprocess.run(["mount", "-o", "remount,size=50m", str(small)], check=True)
        answer("study", class_folders, "--out", small / "run", *QUICK[:-4], "--repeats", "40", "--jobs", "1")
        assert journal.read_text("utf-8").splitlines()[: len(lines)] == lines, "nothing recorded was lost"
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_the_reading_half_needs_no_torch_and_no_images(class_folders: Path, tmp_path: Path) -> None:
    answer("study", class_folders, "--out", tmp_path / "run", *QUICK)
    blocked = (
        "import sys\n"
        "class Blocked:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name in ('torch', 'skimage', 'medladder.images', 'medladder.cohort'):\n"
        "            raise ImportError(name + ' is blocked')\n"
        "sys.meta_path.insert(0, Blocked())\n"
        "sys.argv = ['medladder', 'report', sys.argv[1], '--json']\n"
        "from medladder.cli import main\n"
        "main()\n"
    )
    result = subprocess.run([sys.executable, "-c", blocked, str(tmp_path / "run")], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["report"].endswith("report.html")


def test_the_front_door_is_lazy_and_small() -> None:
    import medladder

    assert len(medladder.__all__) <= 20
    assert all(getattr(medladder, name) is not None for name in medladder.__all__)
    check = "import sys, medladder; assert not {'torch', 'sklearn', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)


def test_pneumoniamnist_from_npz_to_report(shared_data: Callable[[str], Path], tmp_path: Path) -> None:
    words = ("--rungs", "prior,svm", "--sizes", "31,200", "--repeats", "3", "--jobs", "1", "--image-size", "14")
    evidence = answer("study", shared_data("pneumoniamnist.npz"), "--out", tmp_path / "run", *words)["evidence"]
    svm = evidence["rungs"][1]["points"][-1]
    assert evidence["n_test"]["per_class"] == [234, 390]
    assert svm["auroc"]["low"] > 0.8
    assert evidence["verdict"]["recommended"] == "svm"


def _with_copies(class_folders: Path) -> Path:
    """One copy of the same class, and one under another."""
    shutil.copy(class_folders / "clear" / "00.png", class_folders / "clear" / "copy.png")
    shutil.copy(class_folders / "clear" / "05.png", class_folders / "effusion" / "copy.png")
    return class_folders


def _bytes_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_check_exits_0_whatever_it_finds_and_2_if_strict(class_folders: Path) -> None:
    found = {finding["kind"]: finding for finding in answer("check", _with_copies(class_folders))["findings"]}
    assert found["label-conflict"]["files"] == ["clear/05.png", "effusion/copy.png"]
    assert set(found["exact-duplicate"]["files"]) >= {"clear/00.png", "clear/copy.png"}
    assert call("check", class_folders).exit_code == 0
    assert call("check", class_folders, "--strict").exit_code == 2


def test_check_shows_copies_side_by_side(class_folders: Path, tmp_path: Path) -> None:
    page = tmp_path / "pairs.html"
    before = _bytes_in(_with_copies(class_folders))
    assert call("check", class_folders, "--html", page).exit_code == 0
    shown = page.read_text("utf-8")
    for name in ("clear/00.png", "clear/copy.png", "clear/05.png", "effusion/copy.png"):
        assert name in shown
    assert "http" not in shown, "nothing is fetched"
    assert call("check", class_folders, "--html", tmp_path / "ko.html", "--lang", "ko").exit_code == 0
    assert '<html lang="ko">' in (tmp_path / "ko.html").read_text("utf-8")
    assert "without --html" in refused("check", class_folders, "--lang", "ko")["found"]
    assert "there already" in refused("check", class_folders, "--html", page)["found"]
    assert page.read_text("utf-8") == shown
    assert "There is no folder" in refused("check", class_folders, "--html", tmp_path / "none" / "pairs.html")["found"]
    assert _bytes_in(class_folders) == before, "no image is touched"


def test_mends_are_new_manifests_and_nothing_is_overwritten(class_folders: Path) -> None:
    before = _bytes_in(_with_copies(class_folders))
    once, grouped = class_folders / "once.csv", class_folders / "grouped.csv"
    result = call("check", class_folders, "--fix", "drop-duplicates", "--out", once)
    assert result.exit_code == 0
    assert "39 images kept" in result.stderr
    assert answer("check", once)["counts"]["images"] == 39
    assert call("check", class_folders, "--regroup", "--out", grouped).exit_code == 0
    assert answer("check", grouped)["counts"]["patients"] == 39
    written = once.read_bytes()
    assert "there already" in refused("check", class_folders, "--fix", "drop-duplicates", "--out", once)["found"]
    assert once.read_bytes() == written
    after = _bytes_in(class_folders)
    assert {name: after[name] for name in before} == before, "no image is touched"


def test_mends_that_make_no_sense_are_refused(class_folders: Path, tmp_path: Path) -> None:
    out = class_folders / "new.csv"
    assert "A mend without --out" in refused("check", class_folders, "--regroup")["found"]
    assert "--out without --fix" in refused("check", class_folders, "--out", out)["found"]
    assert "drop-duplicates" in refused("check", class_folders, "--fix", "drop-duplicate", "--out", out)["do"]
    elsewhere = refused("check", class_folders, "--regroup", "--out", tmp_path / "new.csv")
    assert "another folder" in elsewhere["found"]
    assert not out.exists()
    assert not (tmp_path / "new.csv").exists()
