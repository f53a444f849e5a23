"""Decoding processes: in order, under limits, and no file takes its neighbours along."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from medladder.images import pool
from medladder.images.pool import Pool, decoding_pool
from medladder.images.prepare import Preparation

FAULTY = Path(__file__).with_name("faulty_worker.py")


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pool]:
    monkeypatch.setattr(pool, "COMMAND", (sys.executable, str(FAULTY)))
    monkeypatch.setattr(pool, "SECONDS_A_FILE", 0.3)
    ours = Pool(2)
    yield ours
    ours.end()


def look(*names: str) -> list[dict[str, str]]:
    return [{"look": name} for name in names]


def test_answers_come_in_the_order_of_the_jobs(faulty: Pool) -> None:
    names = [str(number) for number in range(100)]
    assert [answer["header"] for answer in faulty.answer(look(*names))] == names


@pytest.mark.parametrize(
    ("culprit", "reason"),
    [
        ("hang", "reading it takes longer than 0.3 s"),
        ("end", "reading it ended the decoder"),
        ("part", "reading it ended the decoder"),
    ],
)
def test_one_file_is_to_blame_and_the_others_go_on(faulty: Pool, culprit: str, reason: str) -> None:
    names = [str(number) for number in range(40)]
    names[20] = culprit
    answers = list(faulty.answer(look(*names)))
    assert answers[20] == {"reason": reason}
    assert [answer.get("header") for place, answer in enumerate(answers) if place != 20] == names[:20] + names[21:]


def test_a_file_that_hangs_takes_no_more_than_its_own_time(faulty: Pool) -> None:
    list(faulty.answer(look(*map(str, range(40)))))  # both have started
    begun = time.monotonic()
    assert "reason" in next(faulty.answer(look("hang", *map(str, range(pool._BUNDLE - 1)))))
    assert time.monotonic() - begun < pool._BUNDLE * pool.SECONDS_A_FILE / 2


def test_a_series_has_as_much_time_as_it_has_files(faulty: Pool) -> None:
    assert pool._files_of({"prepare": ["a", "b", "c"]}) == 3
    assert pool._files_of({"look": "a"}) == 1


def test_whoever_stops_early_waits_for_nobody(faulty: Pool) -> None:
    begun = time.monotonic()
    answers = faulty.answer(look(*map(str, range(16)), *["hang"] * 200))
    assert next(answers) == {"header": "0"}
    answers.close()
    assert time.monotonic() - begun < 30


def prepared(path: Path, preparation: Preparation) -> dict[str, object]:
    job = {"prepare": [str(path)], "frame": None, "is_stack": False, "preparation": preparation.to_json()}
    return next(decoding_pool().answer([job]))


def test_pixels_come_back_at_working_size(tmp_path: Path) -> None:
    grey = np.arange(48, dtype=np.uint8).reshape(6, 8)
    Pillow.fromarray(grey).save(tmp_path / "ä 1.png")
    answer = prepared(tmp_path / "ä 1.png", Preparation((6, 8)))
    np.testing.assert_array_equal(answer["pixels"][:, :, 0], grey)
    assert (answer["is_colour"], answer["notes"]) == (False, [])


def test_what_cannot_be_read_has_a_reason(tmp_path: Path) -> None:
    assert prepared(tmp_path / "gone.png", Preparation((6, 8)))["reason"] == "it is not there"
    os.mkfifo(tmp_path / "pipe.png")
    assert prepared(tmp_path / "pipe.png", Preparation((6, 8)))["reason"] == "it is no file"
    assert prepared(tmp_path / ("x" * 300), Preparation((6, 8)))["reason"] == "File name too long"
    assert prepared(tmp_path, Preparation((6, 8)))["reason"] == "it is no file"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is limited on Linux alone")
def test_a_worker_may_not_take_all_memory() -> None:
    code = (
        "from medladder.images import worker\n"
        "from medladder.machine import limit_memory\n"
        "import numpy as np\n"
        "limit_memory(worker.MEMORY_BYTES)\n"
        "worker.read_header = lambda path: np.ones(3 * 2**28)\n"
        "print(worker.answer_job({'look': 'x'}))\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "more than 1 GB of memory" in said


def test_a_worker_ends_with_its_input() -> None:
    worker = subprocess.Popen(pool.COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    said, _ = worker.communicate(json.dumps([{"look": "gone"}]).encode() + b"\n", timeout=60)
    ready, answer = said.splitlines(keepends=True)
    assert (worker.returncode, ready, json.loads(answer)) == (0, pool.READY, {"reason": "it is not there"})
