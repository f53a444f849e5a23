"""What a fleet takes at its peak against what was foreseen, each in a process of its own.

Foreseen should never be far below measured: a fleet that is let begin must fit.
"""

from __future__ import annotations

import json
import subprocess
import sys

CASES = [
    (rung, side, n)
    for rung in ("logistic", "svm", "forest", "boosting", "nn", "dnn", "cnn")
    for side, n in ((28, 500), (28, 4000), (64, 1000), (128, 500))
    if (rung, side, n) not in (("cnn", 128, 500), ("cnn", 28, 4000))
]
DRAWS = 5

CHILD = """
import json, resource, sys, threading, tempfile
from pathlib import Path
import numpy as np
from medladder import rungs
from medladder.cost import bytes_a_fleet
from medladder.engine.data import SharedArray
from medladder.engine.threads import limit_threads
from medladder.fleets import FleetTask, fit_fleet
from medladder.planning import planned_rung
from medladder.record.plan import FleetKey
from medladder.rungs.draws import Draw
name, side, n, n_draws = json.loads(sys.argv[1])
rng = np.random.default_rng(0)
images = rng.integers(0, 256, (n + 100, side, side)).astype(np.uint8)
labels = np.arange(n + 100) % 2
images[labels == 1, : side // 2] //= 2
folder = Path(tempfile.mkdtemp()); (folder / "k").mkdir()
spec = rungs.parse_rung(name)
rung = rungs.build(spec)
seen = rung.extract(images) if hasattr(rung, "extract") else images
np.save(folder / "k" / "a.npy", seen)
del images, rung
draws = tuple(Draw(np.arange(n), np.arange(n) % 5, s) for s in range(n_draws))
array, tested = SharedArray.at(folder / "k" / "a.npy"), np.arange(n, n + 100)
task = FleetTask(FleetKey(name, n, 0, 0, n_draws), spec, array, labels, np.arange(n + 100), draws, tested)
with limit_threads(1):
    pass
small = tuple(Draw(np.arange(40), np.arange(40) % 5, 0) for _ in range(1))
first = FleetKey("prior", 40, 0, 0, 1)
fit_fleet(FleetTask(first, rungs.parse_rung("prior"), array, labels, np.arange(n + 100), small, tested))
def now():
    told = dict(line.split(":") for line in open("/proc/self/status"))
    return [int(told[name].split()[0]) * 1024 for name in ("VmData", "VmRSS")]
idle = now(); most = list(idle)
done = threading.Event()
def watch():
    while not done.wait(0.005):
        most[:] = map(max, most, now())
watcher = threading.Thread(target=watch); watcher.start()
with limit_threads(1):
    trials = fit_fleet(task)
done.set(); watcher.join()
assert all(t.reason is None for t in trials), trials[0].reason
planned = planned_rung(spec, (side, side), 2)
foreseen = bytes_a_fleet(planned, n, [side, side], 2, n_draws)
print(json.dumps([(most[0] - idle[0]) / 1e6, (most[1] - idle[1]) / 1e6, foreseen / 1e6]))
"""


def main() -> None:
    print(f"{'rung':<10}{'side':>6}{'n':>7}{'data MB':>10}{'resident MB':>13}{'foreseen MB':>13}{'ratio':>8}")
    for case in CASES:
        said = subprocess.run(
            [sys.executable, "-c", CHILD, json.dumps([*case, DRAWS])], capture_output=True, text=True, check=False
        )
        if said.returncode:
            print(case, said.stderr.strip().splitlines()[-1])
            continue
        data, resident, foreseen = json.loads(said.stdout)
        what, sizes = f"{case[0]:<10}{case[1]:>6}{case[2]:>7}", f"{data:>10.0f}{resident:>13.0f}{foreseen:>13.0f}"
        print(f"{what}{sizes}{foreseen / data:>8.1f}", flush=True)


if __name__ == "__main__":
    main()
