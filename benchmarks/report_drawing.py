"""Drawing the report of a study of 500 trials, without images and without torch: seconds, and megabytes of the page.

The study is drawn: 10 rungs at 5 sizes in 10 repeats, with examples; `weigh` is timed apart by benchmarks of evidence.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
for absent in ("torch", "skimage"):
    sys.modules[absent] = None  # type: ignore[assignment]

from report_studies import write_study  # noqa: E402

RUNGS = ("prior", "logistic", "svm", "forest", "boosting", "nn", "dnn", "dnn:depth=5", "cnn", "cnn:width=128")
SIZES = (100, 200, 400, 800, 1600)


def main() -> None:
    from medladder.report.export.figures import list_figures
    from medladder.report.page import render

    with tempfile.TemporaryDirectory() as place:
        folder = write_study(Path(place) / "study", rungs=RUNGS, sizes=SIZES, repeats=10)
        for language in ("en", "ko"):
            seconds = []
            for _ in range(3):
                start = time.perf_counter()
                page = render(folder, language=language)
                seconds.append(time.perf_counter() - start)
            n_trials = len(RUNGS) * len(SIZES) * 10
            print(
                f"{language}: {n_trials} trials, median of 3: {statistics.median(seconds):.2f} s, "
                f"{len(page.encode()) / 1e6:.2f} MB, {len(list_figures(page))} figures"
            )


if __name__ == "__main__":
    main()
