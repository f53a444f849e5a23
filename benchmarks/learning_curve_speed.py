"""A learning curve of `dnn`, one network a fit: the whole `medladder study` process against scikit-learn's loop.

Run with ``python benchmarks/learning_curve_speed.py [breast|radiographs] [ROUNDS]``. Both sides fit the same rows and
score the same test images. scikit-learn's side is what people write: `learning_curve` over `StandardScaler` and an
`MLPClassifier` of the same widths, 40 epochs, batches of 32, two jobs. Ours is timed from the shell's prompt to the
written report. Reads the data sets beside the project; prints one table and leaves nothing behind.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import learning_curve
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from medladder.cohort import Cohort, read_cohort
from medladder.images.prepare import parse_size
from medladder.planning import PlannedStudy, Wishes, plan_study
from medladder.record.folder import StudyFolder

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@dataclass(frozen=True)
class Case:
    """A cohort, how it is cut, and the rungs timed on it."""

    source: Path
    sizes: tuple[int, ...]
    repeats: int
    image_size: str | None
    rungs: tuple[str, ...]


def pooled_breast(folder: Path) -> Path:
    """All BreastMNIST images as one part, so that the study tests in folds."""
    with np.load(DATA / "breastmnist.npz") as archive:
        parts = [[archive[f"{part}_{kind}"] for part in ("train", "val", "test")] for kind in ("images", "labels")]
    images, labels = (np.concatenate(part) for part in parts)
    np.savez(folder / "breast.npz", train_images=images, train_labels=labels)
    return folder / "breast.npz"


def cases(folder: Path) -> dict[str, Case]:
    as_theirs = "dnn:members=1,epochs=40,batch_size=32"
    return {
        "breast": Case(pooled_breast(folder), (40, 80, 160, 320, 620), 10, None, ("dnn:members=1", as_theirs)),
        "radiographs": Case(
            DATA / "kermany_cxr" / "labels.csv", (100, 200, 400), 2, "224", ("dnn:members=1", as_theirs)
        ),
    }


def time_ours(case: Case, rung: str, folder: Path) -> tuple[float, dict[tuple[int, int, int], float]]:
    """Seconds of the whole process, and the AUROC of each (size, fold, repeat)."""
    out = Path(tempfile.mkdtemp(dir=folder))
    command = [sys.executable, "-m", "medladder", "study", str(case.source), "--out", str(out), "--rung", rung]
    command += ["--sizes", ",".join(map(str, case.sizes)), "--repeats", str(case.repeats), "--cache", str(folder)]
    command += ["--image-size", case.image_size] if case.image_size else []
    began = time.perf_counter()
    subprocess.run([*command, "--json"], check=True, capture_output=True)
    seconds = time.perf_counter() - began
    study = StudyFolder(out)
    labels = np.array(json.loads((out / "cohort.json").read_text())["labels"])
    scores = {}
    for key in study.read_plan().fleets():
        with np.load(out / "predictions" / f"{key.name}.npz", allow_pickle=False) as predicted:
            for repeat, proba in zip(predicted["repeats"], predicted["probabilities"], strict=True):
                scores[key.n_train, key.fold, int(repeat)] = roc_auc_score(labels[predicted["rows"]], proba[:, 1])
    return seconds, scores


def time_theirs(case: Case, cohort: Cohort, planned: PlannedStudy) -> tuple[float, dict[tuple[int, int, int], float]]:
    """The same rows in scikit-learn's loop."""
    fits = [(fold, repeat) for fold in range(len(planned.plan.folds)) for repeat in range(case.repeats)]
    orders = [planned.pools[fold].subset(case.sizes[-1], repeat) for fold, repeat in fits]
    n_rows = [min(len(planned.pools[fold].subset(n, repeat)) for fold, repeat in fits) for n in case.sizes]
    used = np.unique(np.concatenate([*orders, *(planned.test_rows(fold) for fold, _ in fits)]))
    vectors = cohort.images[used].reshape(len(used), -1).astype(np.float32) / 255
    splits = [
        (np.searchsorted(used, order), np.searchsorted(used, planned.test_rows(fold)))
        for order, (fold, _) in zip(orders, fits, strict=True)
    ]
    network = MLPClassifier((256, 64, 16), batch_size=32, max_iter=40, random_state=0)
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        _, _, scores = learning_curve(
            make_pipeline(StandardScaler(), network),
            vectors,
            cohort.labels[used],
            train_sizes=n_rows,
            cv=splits,
            scoring="roc_auc",
            n_jobs=2,
        )
    seconds = time.perf_counter() - began
    return seconds, {
        (n, *fit): score
        for n, row in zip(case.sizes, scores, strict=True)
        for fit, score in zip(fits, row, strict=True)
    }


def differences(
    ours: dict[tuple[int, int, int], float], theirs: dict[tuple[int, int, int], float], sizes: Sequence[int]
) -> str:
    """Paired AUROC differences with their standard errors, over all fits and by size."""

    def say(keys: list[tuple[int, int, int]]) -> str:
        gaps = np.array([ours[key] - theirs[key] for key in keys])
        return f"{gaps.mean():+.4f} ± {gaps.std(ddof=1) / len(gaps) ** 0.5:.4f}"

    by_size = [f"{n}: {say([key for key in theirs if key[0] == n])}" for n in sizes]
    return f"all {say(list(theirs))}; " + ", ".join(by_size)


def main() -> None:
    names = [sys.argv[1]] if len(sys.argv) > 1 else ["breast", "radiographs"]
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in names:
            case = cases(folder)[name]
            size = None if case.image_size is None else parse_size(case.image_size)
            cohort = read_cohort(case.source, image_size=size, cache=folder)  # warms the cache
            wishes = Wishes(rungs=case.rungs, sizes=case.sizes, repeats=case.repeats)
            planned = plan_study(cohort, wishes)
            timed: dict[str, list[float]] = {}
            scores = {}
            for _ in range(rounds):
                for side in ("scikit-learn", *case.rungs):
                    if side == "scikit-learn":
                        seconds, scores[side] = time_theirs(case, cohort, planned)
                    else:
                        seconds, scores[side] = time_ours(case, side, folder)
                    timed.setdefault(side, []).append(seconds)
            theirs = statistics.median(timed["scikit-learn"])
            print(f"{name}: {len(scores['scikit-learn'])} fits, medians of {rounds}", flush=True)
            for side, runs in timed.items():
                median = statistics.median(runs)
                mean = statistics.mean(scores[side].values())
                print(f"  {side:<40} {median:7.1f} s  {theirs / median:5.1f}×  mean AUROC {mean:.4f}", flush=True)
                if side != "scikit-learn":
                    print(f"    difference: {differences(scores[side], scores['scikit-learn'], case.sizes)}")


if __name__ == "__main__":
    main()
