"""The fleet engine against a plain PyTorch loop, and against what the machine's matrix products can do.

Run with ``python benchmarks/fleet_speed.py [ROUNDS]``; prints two tables and leaves nothing behind. The first times a
study of 20 networks 784-256-64-16-1, from the shell's prompt to the written report, a network; the plain loop trains
the same network on the same rows for as many epochs, in the batches ours takes, once as tutorials write it (a
`DataLoader`) and once with its batches indexed by hand. Only PneumoniaMNIST's training and validation images are
read: a fifth of them is the test part here.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from medladder.architecture import node_counts
from medladder.engine.threads import limit_threads
from medladder.record.folder import StudyFolder
from medladder.rungs.draws import Draw
from medladder.rungs.fleet import EPOCHS
from medladder.rungs.networks import DeepNetworkClassifier
from medladder.rungs.pixels import unrolled

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
NETWORKS = 20
BATCH = 64


def split_training_images(folder: Path) -> tuple[Path, dict[str, np.ndarray]]:
    """PneumoniaMNIST's training and validation images, a fifth of them as the test part."""
    with np.load(DATA / "pneumoniamnist.npz") as archive:
        images, labels = (
            np.concatenate([archive[f"{part}_{kind}"] for part in ("train", "val")]) for kind in ("images", "labels")
        )
    is_test = np.random.default_rng(0).permutation(len(images)) < len(images) // 5
    parts = {
        f"{part}_{kind}": array[chosen]
        for part, chosen in (("train", ~is_test), ("test", is_test))
        for kind, array in (("images", images), ("labels", labels))
    }
    np.savez(folder / "pneumonia.npz", **parts)
    return folder / "pneumonia.npz", parts


def time_study(source: Path, folder: Path) -> tuple[float, float]:
    """Seconds a network and mean AUROC of a study of 20 networks."""
    out = Path(tempfile.mkdtemp(dir=folder))
    command = [sys.executable, "-m", "medladder", "study", str(source), "--out", str(out), "--rung", "dnn:members=1"]
    command += ["--sizes", "all", "--repeats", str(NETWORKS), "--cache", str(folder)]
    began = time.perf_counter()
    subprocess.run([*command, "--json"], check=True, capture_output=True)
    seconds = time.perf_counter() - began
    study = StudyFolder(out)
    labels = study.read_cohort().labels
    scores = []
    for key in study.read_plan().fleets():
        with np.load(out / "predictions" / f"{key.name}.npz", allow_pickle=False) as predicted:
            scores += [roc_auc_score(labels[predicted["rows"]], proba[:, 1]) for proba in predicted["probabilities"]]
    return seconds / NETWORKS, float(np.mean(scores))


def time_loop(parts: dict[str, np.ndarray], seed: int, *, has_loader: bool) -> tuple[float, float]:
    """Seconds and AUROC of one network in a plain loop, with torch's own number of threads."""
    torch.manual_seed(seed)
    pixels, tested = (torch.from_numpy(unrolled(parts[f"{part}_images"], True)) for part in ("train", "test"))
    targets = torch.from_numpy(parts["train_labels"].astype(np.float32)).reshape(-1, 1)
    began = time.perf_counter()
    centre, spread = pixels.mean(dim=0), pixels.std()
    pixels, tested = (pixels - centre) / spread, (tested - centre) / spread
    network = nn.Sequential(
        *(nn.Linear(784, 256), nn.ReLU(), nn.Dropout(0.2), nn.Linear(256, 64), nn.ReLU(), nn.Dropout(0.2)),
        *(nn.Linear(64, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 1)),
    )
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.01)
    steps = EPOCHS * -(-len(pixels) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-3, total_steps=steps, pct_start=0.2)
    loader = DataLoader(TensorDataset(pixels, targets), batch_size=BATCH, shuffle=True)
    loss_of = nn.BCEWithLogitsLoss()
    for _ in range(EPOCHS):
        for x, y in loader if has_loader else by_hand(pixels, targets):
            optimiser.zero_grad()
            loss_of(network(x), y).backward()
            optimiser.step()
            schedule.step()
    network.eval()
    with torch.no_grad():
        scores = network(tested)[:, 0].numpy()
    return time.perf_counter() - began, float(roc_auc_score(parts["test_labels"].ravel(), scores))


def by_hand(pixels: Tensor, targets: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    for rows in torch.randperm(len(pixels)).split(BATCH):
        yield pixels[rows], targets[rows]


def product_peak(seconds: float = 1.0) -> float:
    """Multiply-adds a second of one thread's best matrix product."""
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    best, began = 0.0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        start = time.perf_counter()
        torch.mm(a, b)
        best = max(best, 1024**3 / (time.perf_counter() - start))
    return best


def share_of_peak(rounds: int, networks: int = 8, n: int = 2560, epochs: int = 3) -> list[float]:
    """Multiply-adds that training needs, as a share of the peak measured before and after it; one thread."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8), np.arange(n) % 2
    draws = [Draw(np.arange(n), np.full(n, -1), seed) for seed in range(networks)]
    rung = DeepNetworkClassifier(widths="512-128-32", batch_size=128, epochs=epochs, members=1)
    nodes = node_counts(784, rung.hidden_widths(784, 2), 2)
    first, *others = [before * after for before, after in pairwise(nodes)]
    a_row = 2 * first + 3 * sum(others)  # forward and weight gradients; errors pass back through all but the first
    shares = []
    with limit_threads(1):
        for _ in range(rounds):
            before = product_peak()
            began = time.perf_counter()
            rung.fit_fleet(images, labels, draws)
            reached = a_row * n * epochs * networks / (time.perf_counter() - began)
            shares.append(2 * reached / (before + product_peak()))
    return shares


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with tempfile.TemporaryDirectory() as temporary:
        source, parts = split_training_images(Path(temporary))
        runs: dict[str, list[tuple[float, float]]] = {}
        for seed in range(rounds):
            runs.setdefault("medladder study, 20 networks", []).append(time_study(source, Path(temporary)))
            for name, has_loader in (("plain loop with a DataLoader", True), ("plain loop indexed by hand", False)):
                runs.setdefault(name, []).append(time_loop(parts, seed, has_loader=has_loader))
    ours = statistics.median(seconds for seconds, _ in runs["medladder study, 20 networks"])
    print(f"{len(parts['train_images'])} rows, {EPOCHS} epochs, medians of {rounds}")
    for name, measured in runs.items():
        seconds = statistics.median(second for second, _ in measured)
        scores = np.array([score for _, score in measured])
        print(f"  {name:<32} {seconds:6.2f} s a network  {seconds / ours:5.2f}×  AUROC {scores.mean():.4f}")
    shares = share_of_peak(rounds)
    print(f"784-512-128-32-1 at batches of 128: {statistics.median(shares):.0%} of the product peak (goal 50 %)")


if __name__ == "__main__":
    main()
