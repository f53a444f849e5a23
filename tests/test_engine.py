"""Workers of this machine: all work done, a lost worker costs its own item, none outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medladder.engine.contract import CPU, GPU, EngineLostError, Limits, Lost
from medladder.engine.data import MissingDataError, SharedArray, keep_copies_in, receive
from medladder.engine.executors import ExecutorEngine
from medladder.engine.local import ENDED, LocalEngine
from medladder.engine.opening import open_engine
from medladder.engine.running import run_tasks
from medladder.errors import InputError, OptionError


def double(number: int) -> int:
    return 2 * number


def die_of_three(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * number


def hang_at_three(number: int) -> int:
    time.sleep(600 if number == 3 else 0)
    return 2 * number


def swallow_memory_at_three(number: int) -> int:
    if number == 3:
        np.ones(2**34)
    return 2 * number


def refuse_three(number: int) -> int:
    if number == 3:
        raise ValueError("not three")
    return 2 * number


def need_more(number: int) -> int:
    raise InputError(found=f"{number}.", needed="More.", do="Give more.")


def fail_once(place: tuple[str, int]) -> int:
    """Fail the first time, and say who did."""
    folder, number = place
    with (Path(folder) / f"{number}").open("a") as file:
        file.write(f"{os.getpid()}\n")
    return -1 if len((Path(folder) / f"{number}").read_text().split()) == 1 else 2 * number


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_item_is_done_once(jobs: int) -> None:
    with LocalEngine(jobs) as engine:
        assert sorted(run_tasks(engine, double, range(5))) == [(i, 2 * i) for i in range(5)]


@pytest.mark.parametrize(
    ("work", "reason"),
    [
        (die_of_three, ENDED),
        (hang_at_three, "hung: it was ended after 2 seconds"),
        (refuse_three, "ValueError: not three"),
        pytest.param(
            swallow_memory_at_three,
            "more memory than a worker may use",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux alone"),
        ),
    ],
)
def test_a_worker_that_fails_costs_its_own_item_after_two_tries(work: Callable[[int], int], reason: str) -> None:
    retried: list[tuple[int, str]] = []
    with LocalEngine(2) as engine:
        found = run_tasks(
            engine,
            work,
            range(6),
            limits_of=lambda _: Limits(seconds=2),
            told_retry=lambda item, why: retried.append((item, why)),
        )
        results = dict(found)
    lost = results.pop(3)
    assert isinstance(lost, Lost)
    assert reason in lost.reason
    assert [item for item, _ in retried] == [3]
    assert results == {i: 2 * i for i in range(6) if i != 3}


def test_a_flawed_result_is_tried_once_more_elsewhere(tmp_path: Path) -> None:
    with LocalEngine(2) as engine:
        items = [(str(tmp_path), number) for number in range(4)]
        found = run_tasks(engine, fail_once, items, flaw_of=lambda result: "negative" if result < 0 else None)
        results = {number: result for (_, number), result in found}
    assert results == {i: 2 * i for i in range(4)}
    for number in range(4):
        first, second = (tmp_path / f"{number}").read_text().split()
        assert first != second, "by another process"


def test_a_flaw_that_stays_is_handed_out_as_it_is() -> None:
    with LocalEngine(1) as engine:
        assert list(run_tasks(engine, double, [2], flaw_of=lambda _: "never right")) == [(2, 4)]


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_the_person_can_mend_is_raised(jobs: int) -> None:
    with LocalEngine(jobs) as engine, pytest.raises(InputError, match=r"0\. More\. Give more\."):
        list(run_tasks(engine, need_more, [0]))


def test_nothing_is_begun_after_a_no() -> None:
    with LocalEngine(2) as engine:
        results = dict(run_tasks(engine, double, range(100), may_begin=lambda item: item < 5))
    assert results == {i: 2 * i for i in range(5)}


def test_no_worker_gets_more_before_its_result_was_taken() -> None:
    begun: list[int] = []

    def may_begin(item: int) -> bool:
        begun.append(item)
        return True

    with LocalEngine(2) as engine:
        for taken, _ in enumerate(run_tasks(engine, double, range(20), may_begin=may_begin), start=1):
            time.sleep(0.02)  # whoever records it
            assert len(begun) - taken < 2, "one a worker at most would be lost"


def test_a_worker_that_died_while_idle_is_replaced() -> None:
    with LocalEngine(2) as engine:
        assert len(dict(run_tasks(engine, double, range(4)))) == 4
        for slot in engine._slots:
            for process in slot._executor._processes.values():
                process.kill()
                process.join()
        time.sleep(0.5)
        assert dict(run_tasks(engine, double, range(4))) == {i: 2 * i for i in range(4)}


def test_closing_at_once_ends_what_is_under_way() -> None:
    began = time.monotonic()
    with LocalEngine(2) as engine:
        futures = [engine.submit(time.sleep, 600, Limits()) for _ in range(3)]
        time.sleep(1.0)
    assert time.monotonic() - began < 30
    assert not any(future.done() and future.exception() is None for future in futures)


def test_a_script_without_a_guard_is_told_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text("def double(number):\n    return 2 * number\n")
    (tmp_path / "main.py").write_text(
        "from medladder.engine.local import LocalEngine\n"
        "from medladder.engine.running import run_tasks\n"
        "from work import double\n"
        "with LocalEngine(2) as engine:\n"
        "    print(list(run_tasks(engine, double, [1, 2, 3])))\n"
    )
    done = subprocess.run([sys.executable, "main.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert "if __name__ ==" in done.stderr


def test_workers_end_with_their_parent() -> None:
    script = (
        "import os, time\n"
        "from medladder.engine.local import LocalEngine\n"
        "from medladder.engine.running import run_tasks\n"
        "from tests_engine_work import sleep_long\n"
        "if __name__ == '__main__':\n"
        "    with LocalEngine(2) as engine:\n"
        "        for item, pid in run_tasks(engine, sleep_long, [0, 0, 0, 0, 600, 600]):\n"
        "            print(pid, flush=True)\n"
    )
    work = "import os, time\ndef sleep_long(seconds):\n    time.sleep(seconds or 0.2)\n    return os.getpid()\n"
    pids = _workers_of_a_killed_parent(script, work)
    began = time.monotonic()
    while any(map(_is_running, pids)) and time.monotonic() - began < 20:
        time.sleep(0.02)
    assert not any(map(_is_running, pids))


def _workers_of_a_killed_parent(script: str, work: str) -> list[int]:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "tests_engine_work.py").write_text(work)
        (Path(folder) / "main.py").write_text(script)
        parent = subprocess.Popen([sys.executable, "main.py"], cwd=folder, stdout=subprocess.PIPE, text=True)
        assert parent.stdout is not None
        pids = [int(parent.stdout.readline()) for _ in range(4)]
        parent.kill()
        parent.wait()
        parent.stdout.close()
    return pids


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_script_from_standard_input_is_told_what_to_do() -> None:
    script = "from medladder.engine.local import LocalEngine\nwith LocalEngine(2): pass\n"
    done = subprocess.run([sys.executable, "-"], input=script, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert "Save it as a file" in done.stderr


# Any executor


@pytest.fixture
def pool() -> Iterator[Executor]:
    with ProcessPoolExecutor(2) as executor:
        yield executor


def test_any_executor_does_the_work_and_says_what_it_cannot_hold(pool: Executor) -> None:
    engine = ExecutorEngine(pool)
    assert engine.n_workers == 2
    assert sorted(run_tasks(engine, refuse_three, range(5))) == [(i, 2 * i) for i in range(3)] + [
        (3, Lost("ValueError: not three")),
        (4, 8),
    ]
    assert "hangs" in engine.unheld[0]
    assert "memory" in engine.unheld[1]


def test_a_broken_executor_is_told_of(pool: Executor) -> None:
    with pytest.raises(EngineLostError, match="takes no work"):
        list(run_tasks(ExecutorEngine(pool), die_of_three, range(6)))


class Noting(ThreadPoolExecutor):
    """An executor of one thread that notes what it was given."""

    def __init__(self) -> None:
        super().__init__(1)
        self.given: list[Any] = []

    def submit(self, work: Any, /, *words: Any, **named: Any) -> Future[Any]:
        self.given.append(words[1])
        return super().submit(work, *words, **named)


def test_gpu_workers_get_deep_work_and_help_out_when_they_have_none() -> None:
    with Noting() as cpu, Noting() as gpu:
        engine = ExecutorEngine(cpu, gpu)
        assert engine.lanes == {CPU: 1, GPU: 1}
        items = [*range(-6, 0), *range(100, 106)]
        results = dict(run_tasks(engine, double, items, limits_of=lambda item: Limits(wants_gpu=item < 0)))
    assert results == {i: 2 * i for i in items}
    assert gpu.given[:6] == [-6, -5, -4, -3, -2, -1], "its own first"
    assert not any(item < 0 for item in cpu.given), "a CPU never takes what wants a GPU"


# Arrays that workers read


def test_an_array_is_read_where_it_lies_or_from_a_copy_that_was_sent(tmp_path: Path) -> None:
    entry = tmp_path / "images" / "0123"
    entry.mkdir(parents=True)
    np.save(entry / "pixels.npy", np.arange(1000))
    array = SharedArray.at(entry / "pixels.npy")
    np.testing.assert_array_equal(array.mapped(), np.arange(1000))
    content = (entry / "pixels.npy").read_bytes()
    (entry / "pixels.npy").unlink()
    keep_copies_in(tmp_path / "copies")
    with pytest.raises(MissingDataError, match="is not on the worker"):
        array.mapped()
    assert receive(array.name, 0, content[:3000], len(content)) == 3000
    assert not array.is_here(), "half a copy is none"
    assert receive(array.name, 3000, content[3000:], len(content)) == len(content)
    np.testing.assert_array_equal(array.mapped(), np.arange(1000))
    (entry / "pixels.npy").write_bytes(content[:-8])
    np.testing.assert_array_equal(array.mapped(), np.arange(1000), err_msg="another file of the same name is not taken")


@pytest.mark.parametrize(
    ("name", "jobs", "message"),
    [
        ("dusk", None, "Did you mean 'dask'"),
        ("dask://host", None, r"dask://HOST:PORT\."),
        ("dask://localhost:1", 4, "Drop --jobs"),
        ("dask://localhost:1", None, "No Dask scheduler answers at localhost:1"),
        ("slurm", None, "Add --jobs 16"),
    ],
)
def test_engines_that_are_not_there_are_refused(
    name: str, jobs: int | None, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medladder.engine.cluster.SECONDS_TO_CONNECT", 1.0)
    with pytest.raises(OptionError, match=message):
        open_engine(name, jobs, lambda _: None)


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medladder.engine.opening.find_spec", lambda _: None)
    with pytest.raises(OptionError, match=r"pip install 'medladder\[cluster\]'"):
        open_engine("dask", 2, lambda _: None)
