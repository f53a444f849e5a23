"""Cost to accuracy of `cnn`: single networks on the published splits, beside the published ResNet-18.

Run with ``python benchmarks/cnn_accuracy.py [SEEDS]``; prints one table and leaves nothing behind. **Opens the test
parts of PneumoniaMNIST and BreastMNIST**: for a release only, and each time is entered in docs/LOG.md. Val is kept for
choosing, as published; accuracy is that of the likelier class. Seconds a network are those of a core.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from sklearn.metrics import accuracy_score, roc_auc_score

from medladder.record.folder import StudyFolder

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
PUBLISHED = {"pneumoniamnist": (0.944, 0.854), "breastmnist": (0.901, 0.863)}
RUNGS = ("cnn:members=1", "cnn")


def score(name: str, rung: str, seeds: int) -> tuple[np.ndarray, np.ndarray, float]:
    """AUROC and accuracy of each seed on the test part, and seconds a fit."""
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary) / "run"
        command = [sys.executable, "-m", "medladder", "study", str(DATA / f"{name}.npz"), "--out", str(out)]
        command += ["--keep-val", "--sizes", "all", "--repeats", str(seeds), "--rung", rung, "--cache", temporary]
        subprocess.run([*command, "--json"], check=True, capture_output=True)
        study = StudyFolder(out)
        labels, aurocs, accuracies = study.read_cohort().labels, [], []
        for key in study.read_plan().fleets():
            with np.load(out / "predictions" / f"{key.name}.npz", allow_pickle=False) as predicted:
                truth = labels[predicted["rows"]]
                for proba in predicted["probabilities"]:
                    aurocs.append(roc_auc_score(truth, proba[:, 1]))
                    accuracies.append(accuracy_score(truth, proba.argmax(axis=1)))
        seconds = np.mean([trial.fit_seconds for trial in study.read_trials()])
    return np.array(aurocs), np.array(accuracies), float(seconds)


def main() -> None:
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    for name, (auroc, accuracy) in PUBLISHED.items():
        print(f"{name}: published ResNet-18 {auroc:.3f} / {accuracy:.3f}")
        for rung in RUNGS:
            aurocs, accuracies, seconds = score(name, rung, seeds)
            said = " / ".join(f"{v.mean():.4f} ± {v.std(ddof=1) / seeds**0.5:.4f}" for v in (aurocs, accuracies))
            print(f"  {rung:<14} AUROC / accuracy {said}   {seconds:.0f} s a fit, {seeds} seeds", flush=True)


if __name__ == "__main__":
    main()
