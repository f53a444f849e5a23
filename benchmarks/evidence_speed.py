"""Seconds to weigh a study of 10,000 trials, and to forecast a curve from a CSV as the command does.

    python benchmarks/evidence_speed.py

The study is drawn: five rungs, ten sizes, 200 repeats, 624 test images. The curve has twenty repeats of five sizes.
"""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from drawn_studies import draw_study
from medladder.evidence.weighing import weigh

SIZES = (31, 60, 86, 130, 240, 400, 670, 1200, 2400, 5232)


def write_curve(path: Path) -> None:
    """Twenty repeats of a power law with noise."""
    rng = np.random.default_rng(0)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["n_train", "repeat", "score"])
        for repeat in range(20):
            luck = 0.01 * rng.standard_normal()
            for n in (30, 60, 120, 240, 360):
                score = 0.95 - 0.8 * n**-0.5 + luck + 0.3 / np.sqrt(n) * 0.2 * rng.standard_normal()
                writer.writerow([n, repeat, round(float(score), 5)])


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = draw_study(Path(place) / "run", sizes=SIZES, repeats=200, n_test_patients=624, pool=5232)
        start = time.perf_counter()
        weigh(folder)
        print(f"evidence over {len(folder.read_trials()):,} trials: {time.perf_counter() - start:.1f} s (goal 60)")
        curves = Path(place) / "curves.csv"
        write_curve(curves)
        command = [sys.executable, "-m", "medladder", "forecast", str(curves), "--at", "804,1796,20000", "--json"]
        seconds = []
        for _ in range(3):
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            seconds.append(time.perf_counter() - start)
        print(f"forecast of a curve, whole process, median of three: {np.median(seconds):.2f} s (goal 2)")


if __name__ == "__main__":
    main()
