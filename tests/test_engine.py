"""Workers on this machine: all work done, a dead worker costs its own item, none outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from medladder.engine import LocalEngine, WorkerDied


def double(number: int) -> int:
    return 2 * number


def die_of_three(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * number


def refuse(number: int) -> int:
    raise ValueError(f"not {number}")


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_item_is_done_once(jobs: int) -> None:
    with LocalEngine(jobs) as engine:
        assert sorted(engine.run(double, range(5))) == [(i, 2 * i) for i in range(5)]


def test_a_dead_worker_costs_its_own_item_only() -> None:
    with LocalEngine(2) as engine:
        results = dict(engine.run(die_of_three, range(6)))
    assert results.pop(3) == WorkerDied()
    assert results == {i: 2 * i for i in range(6) if i != 3}


def test_a_fault_in_the_work_is_raised() -> None:
    with LocalEngine(2) as engine, pytest.raises(ValueError, match="not 0"):
        list(engine.run(refuse, [0]))


def test_a_worker_that_died_while_idle_is_replaced() -> None:
    with LocalEngine(2) as engine:
        assert len(dict(engine.run(double, range(4)))) == 4
        for slot in engine._slots:
            for process in slot.executor._processes.values():
                process.kill()
                process.join()
        time.sleep(0.5)
        assert dict(engine.run(double, range(4))) == {i: 2 * i for i in range(4)}


def test_a_script_without_a_guard_is_told_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text("def double(number):\n    return 2 * number\n")
    (tmp_path / "main.py").write_text(
        "from medladder.engine import LocalEngine\n"
        "from work import double\n"
        "with LocalEngine(2) as engine:\n"
        "    print(list(engine.run(double, [1, 2, 3])))\n"
    )
    done = subprocess.run([sys.executable, "main.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert "if __name__ ==" in done.stderr


def test_workers_end_with_their_parent() -> None:
    script = (
        "import os, time\n"
        "from medladder.engine import LocalEngine\n"
        "from tests_engine_work import sleep_long\n"
        "if __name__ == '__main__':\n"
        "    with LocalEngine(2) as engine:\n"
        "        for item, pid in engine.run(sleep_long, [0, 0, 600, 600]):\n"
        "            print(pid, flush=True)\n"
    )
    work = "import os, time\ndef sleep_long(seconds):\n    time.sleep(seconds)\n    return os.getpid()\n"
    pids = _workers_of_a_killed_parent(script, work)
    deadline = time.monotonic() + 20
    while any(map(_is_running, pids)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(_is_running, pids))


def _workers_of_a_killed_parent(script: str, work: str) -> list[int]:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "tests_engine_work.py").write_text(work)
        (Path(folder) / "main.py").write_text(script)
        parent = subprocess.Popen([sys.executable, "main.py"], cwd=folder, stdout=subprocess.PIPE, text=True)
        assert parent.stdout is not None
        pids = [int(parent.stdout.readline()) for _ in range(2)]
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
    script = "from medladder.engine import LocalEngine\nwith LocalEngine(2): pass\n"
    done = subprocess.run([sys.executable, "-"], input=script, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert "Save it as a file" in done.stderr
