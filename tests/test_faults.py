"""Everything that breaks on the way: no finished fleet is lost, and evidence is as if nothing had happened.

With real processes, bounded in time; docs/SCALE.md has what a soak of hours showed. What tears and mixes files is in
test_journal.py, what befalls a Dask cluster in test_cluster.py.
"""

from __future__ import annotations

import os
import pty
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest

import medladder as ml
from faulty_fleets import DIES, HANGS, NAN, RAISES, SWALLOWS, fit_with_faults, fit_with_faults_once
from medladder.cohort import Cohort, read_cohort
from medladder.record.folder import StudyFolder

TESTS = Path(__file__).parent
SLOW = (
    "import sys\n"
    f"sys.path.insert(0, {str(TESTS)!r})\n"
    "import medladder.study\n"
    "from faulty_fleets import fit_slowly\n"
    "from medladder.cli import main\n"
    "medladder.study.fit_fleet = fit_slowly\n"
    "if __name__ == '__main__':\n"
    "    main()\n"
)
SMALL = ["--rungs", "prior,logistic", "--sizes", "16,all", "--repeats", "3", "--jobs", "2", "--no-inspection", "--json"]


def evidence_of(folder: Path) -> dict[str, Any]:
    study = StudyFolder(folder)
    evidence = ml.weigh(study).to_json()
    evidence.pop("cost")
    return {**evidence, "digests": sorted((t.fleet, t.repeat, t.predictions_sha256) for t in study.read_trials())}


def log_of(folder: Path, pattern: str) -> list[str]:
    log = folder / "log.txt"
    return re.findall(pattern, log.read_text("utf-8"), re.MULTILINE) if log.exists() else []


def begun(folder: Path) -> list[str]:
    return log_of(folder, r" (\S+): begun$")


def recorded(folder: Path) -> list[str]:
    return log_of(folder, r" (\S+): \d+ trials done")


def wait_until(is_so: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.02)


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_killed_at_twenty_moments_it_ends_as_if_never_stopped(class_folders: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "medladder", "study", str(class_folders), "--cache", str(tmp_path / "cache")]
    words += ["--rungs", "prior,logistic", "--rung", "nn:width=8,members=1", "--sizes", "16,24,all", "--repeats", "25"]
    words += ["--jobs", "2", "--no-inspection", "--no-pictures", "--json"]
    rng, killed, n_fleets = random.Random(11), tmp_path / "killed", 3 * 3 * 5 * 5
    with (tmp_path / "said").open("w") as said:
        for _ in range(20):
            before, more = len(recorded(killed)), rng.randrange(4)
            process = subprocess.Popen([*words, "--out", str(killed)], stdout=said, stderr=said)
            wait_until(lambda p=process, b=before, m=more: p.poll() is not None or len(recorded(killed)) >= b + m)
            time.sleep(rng.random() / 4)
            assert process.poll() is None, "it went on by itself until it was killed"
            process.kill()
            process.wait()
        assert len(recorded(killed)) < n_fleets, "every kill met a study under way"
        for out in (killed, tmp_path / "whole"):
            subprocess.run([*words, "--out", str(out)], check=True, stdout=said, stderr=said)
    assert evidence_of(killed) == evidence_of(tmp_path / "whole")
    assert max(Counter(recorded(killed)).values()) == 1, "no recorded fleet ran twice"
    assert n_fleets - 20 <= len(recorded(killed)) <= n_fleets, "a kill may come between the journal and the log"
    assert len(begun(killed)) - n_fleets <= 20 * 2, "a kill costs at most one fleet a slot"


FAULTS: dict[str, Any] = {
    "rungs": ("prior", "logistic"),
    "sizes": ("16", "all"),
    "repeats": 3,
    "jobs": 2,
    "inspection": False,
}


@pytest.fixture
def cohort(class_folders: Path) -> Cohort:
    return read_cohort(class_folders)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medladder.study.seconds_until_it_hangs", lambda plan, key: 4.0)


@pytest.mark.usefixtures("impatient")
@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux alone")
def test_what_goes_wrong_is_recorded_and_the_study_goes_on(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medladder.study.fit_fleet", fit_with_faults)
    folder = ml.run_study(cohort, tmp_path / "run", **FAULTS)
    trials = folder.read_trials()
    assert len(trials) == 2 * 2 * 3 * 5
    reasons = {trial.fleet: str(trial.reason) for trial in trials if not trial.is_done}
    expected = {
        DIES: "ended without a word",
        HANGS: "hung: it was ended after 4 seconds",
        RAISES: "the moon is full",
        SWALLOWS: "more memory than a worker may use",
        NAN: "not numbers",
    }
    assert reasons.keys() == expected.keys()
    for fleet, words in expected.items():
        assert words in reasons[fleet]
        assert len(log_of(folder.path, rf" {fleet}: tried once more")) == 1
    evidence = ml.weigh(folder).to_json()
    assert evidence["rungs"][1]["points"][-1]["auroc"], "what stands is weighed"
    monkeypatch.undo()
    ml.run_study(cohort, folder.path, **FAULTS)
    assert evidence_of(folder.path) == evidence_of(ml.run_study(cohort, tmp_path / "whole", **FAULTS).path)


@pytest.mark.usefixtures("impatient")
@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux alone")
def test_what_goes_wrong_once_is_mended_by_the_second_try(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "marks").mkdir()
    with monkeypatch.context() as faulty:
        faulty.setattr("medladder.study.fit_fleet", partial(fit_with_faults_once, str(tmp_path / "marks")))
        folder = ml.run_study(cohort, tmp_path / "run", **FAULTS)
    assert all(trial.is_done for trial in folder.read_trials())
    assert evidence_of(folder.path) == evidence_of(ml.run_study(cohort, tmp_path / "whole", **FAULTS).path)


def heed_ctrl_c() -> None:
    """A shell has what it starts in the background ignore it, and these tests may run there."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Slow:
    """A study each of whose fleets takes a second and a half, in a process of its own."""

    started: ClassVar[list[Slow]] = []

    def __init__(self, folder: Path, cohort: Path, **how: Any) -> None:
        (folder / "main.py").write_text(SLOW)
        self.out = folder / "run"
        self.words = ["study", str(cohort), "--cache", str(folder / "cache"), "--out", str(self.out), *SMALL]
        self.said = folder / "said.txt"
        with self.said.open("w") as said:
            told = {"stdout": subprocess.DEVNULL, "stderr": said, "start_new_session": True, **how}
            told.setdefault("preexec_fn", heed_ctrl_c)
            self.process = subprocess.Popen([sys.executable, str(folder / "main.py"), *self.words], **told)
        self.started.append(self)
        wait_until(lambda: len(begun(self.out)) >= 2)

    def workers(self) -> list[int]:
        """Processes that this one started, and those that they did."""
        found, seen = [], [self.process.pid]
        while seen:
            try:
                children = Path(f"/proc/{seen[-1]}/task/{seen.pop()}/children").read_text().split()
            except OSError:
                continue
            found += [int(child) for child in children]
            seen += [int(child) for child in children]
        return found

    def ends(self, seconds: float) -> int:
        workers = self.workers()
        code = self.process.wait(seconds)
        wait_until(lambda: not any(map(is_running, workers)), seconds=5)
        return code

    def end(self) -> None:
        """Whatever a test left."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def goes_on_to(self, whole: dict[str, Any]) -> None:
        """The same command again ends as if never stopped."""
        assert not (self.out / ".lock").exists(), "the folder is given back"
        subprocess.run([sys.executable, "-m", "medladder", *self.words], check=True, capture_output=True)
        assert evidence_of(self.out) == whole


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    yield
    while Slow.started:
        Slow.started.pop().end()


@pytest.fixture
def whole(cohort: Cohort, tmp_path: Path) -> dict[str, Any]:
    return evidence_of(ml.run_study(cohort, tmp_path / "whole", **FAULTS).path)


def test_ctrl_c_once_finishes_what_is_under_way(class_folders: Path, tmp_path: Path, whole: dict[str, Any]) -> None:
    study = Slow(tmp_path, class_folders)
    under_way = set(begun(study.out)) - set(recorded(study.out))
    os.killpg(study.process.pid, signal.SIGINT)  # a terminal tells every process of the group
    assert study.ends(30) == 130
    assert under_way <= set(recorded(study.out)), "what was under way was finished"
    assert set(begun(study.out)) == set(recorded(study.out)), "and nothing more was begun"
    said = study.said.read_text()
    assert "Ctrl-C again stops at once" in said
    assert "the same command goes on from there" in said
    assert "Traceback" not in said
    study.goes_on_to(whole)


def test_ctrl_c_twice_stops_at_once(class_folders: Path, tmp_path: Path, whole: dict[str, Any]) -> None:
    study = Slow(tmp_path, class_folders)
    os.killpg(study.process.pid, signal.SIGINT)
    wait_until(lambda: "Ctrl-C again" in study.said.read_text())
    began = time.monotonic()
    os.killpg(study.process.pid, signal.SIGINT)
    assert study.ends(30) == 130
    assert time.monotonic() - began < 10
    assert set(begun(study.out)) - set(recorded(study.out)), "something was under way and is lost"
    assert "Traceback" not in study.said.read_text()
    study.goes_on_to(whole)


def test_sigterm_stops_at_once_in_order(class_folders: Path, tmp_path: Path, whole: dict[str, Any]) -> None:
    study = Slow(tmp_path, class_folders)
    study.process.send_signal(signal.SIGTERM)
    assert study.ends(30) == 128 + signal.SIGTERM
    said = study.said.read_text()
    assert "the same command goes on from there" in said
    assert "leaked" not in said
    study.goes_on_to(whole)


def test_a_terminal_that_is_closed_stops_it_in_order(
    class_folders: Path, tmp_path: Path, whole: dict[str, Any]
) -> None:
    ours, theirs = pty.openpty()

    def take_terminal() -> None:
        import fcntl
        import termios

        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    study = Slow(tmp_path, class_folders, stdin=theirs, stdout=theirs, stderr=theirs, preexec_fn=take_terminal)
    os.close(theirs)
    os.close(ours)  # the kernel hangs up on the group
    assert study.ends(30) == 128 + signal.SIGHUP
    study.goes_on_to(whole)


def test_the_second_of_two_studies_into_one_folder_is_refused(
    class_folders: Path, tmp_path: Path, whole: dict[str, Any]
) -> None:
    study = Slow(tmp_path, class_folders)
    second = subprocess.run([sys.executable, "-m", "medladder", *study.words], capture_output=True, text=True)
    assert second.returncode == 2
    assert f"Process {study.process.pid} on" in second.stdout
    assert study.ends(120) == 0
    assert evidence_of(study.out) == whole


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte and a half."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("a file system is mounted by root alone")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1536k", "tmpfs", place], capture_output=True).returncode:
        pytest.skip("no file system may be mounted here")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def test_a_disk_that_fills_while_journalling_loses_nothing_recorded(
    class_folders: Path, tmp_path: Path, small_disk: Path, whole: dict[str, Any]
) -> None:
    out = small_disk / "run"
    words = [sys.executable, "-m", "medladder", "study", str(class_folders), "--cache", str(tmp_path / "cache")]
    words += ["--out", str(out), *SMALL]
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(1536 * 1024 - 112 * 1024))
    full = subprocess.run(words, capture_output=True, text=True)
    assert full.returncode == 2
    assert "is full" in full.stdout
    assert "the same command again" in full.stdout
    trials = StudyFolder(out).read_trials()
    assert 0 < len(trials) < 3 * 20, "it filled half way"
    assert len(trials) == 3 * len({trial.fleet for trial in trials}), "whole fleets alone"
    ballast.unlink()
    subprocess.run(words, check=True, capture_output=True)
    assert evidence_of(out) == whole


def test_a_disk_that_fills_while_caching_says_what_to_do(
    class_folders: Path, tmp_path: Path, small_disk: Path, whole: dict[str, Any]
) -> None:
    words = [sys.executable, "-m", "medladder", "study", str(class_folders), "--cache", str(small_disk / "cache")]
    words += ["--out", str(tmp_path / "run"), *SMALL]
    (small_disk / "ballast").write_bytes(bytes(1536 * 1024 - 4 * 1024))
    full = subprocess.run(words, capture_output=True, text=True)
    assert full.returncode == 2
    assert "The cache directory" in full.stdout
    assert "name another place with --cache" in full.stdout
    (small_disk / "ballast").unlink()
    subprocess.run(words, check=True, capture_output=True)
    assert evidence_of(tmp_path / "run") == whole
