"""The fleet engine on a GPU against the CPU of the same machine, and against a plain PyTorch loop on the GPU.

Run with ``python benchmarks/gpu_speed.py [ROUNDS] [--data PNEUMONIAMNIST.npz]`` where PyTorch sees a GPU; prints one
table and leaves nothing behind. Networks learn from PneumoniaMNIST's training images and are scored on its validation
images; the test part stays closed. Seconds are those of `fit_fleet` alone, after one fleet that warms the device up,
with torch's own number of threads on the CPU.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from medladder import rungs
from medladder.engine.threads import limit_threads
from medladder.rungs.draws import Draw, fit_many
from medladder.rungs.fleet import EPOCHS
from medladder.rungs.pixels import unrolled

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "pneumoniamnist.npz"
FLEETS = (
    ("dnn:members=1", 500, (20, 100, 400)),
    ("dnn:members=1", 4708, (20, 100)),
    ("dnn:members=1,widths=1024-256-64", 4708, (20,)),
    ("cnn:members=1", 500, (5,)),
    ("cnn:members=1", 4708, (5,)),
)
"""Rung, images a network, networks in a fleet."""

BATCH = 64

Part = tuple[np.ndarray, np.ndarray]


def draws_of(n_images: int, n: int, networks: int) -> list[Draw]:
    """Draw images for each network."""
    rngs = [np.random.default_rng(seed) for seed in range(networks)]
    fold = np.full(n, -1)
    return [Draw(np.sort(rng.choice(n_images, n, replace=False)), fold, seed) for seed, rng in enumerate(rngs)]


def time_fleet(spec: str, device: str, learn: Part, asked: Part, draws: list[Draw]) -> tuple[float, float]:
    """Seconds a network and mean AUROC."""
    rung = rungs.build(rungs.parse_rung(spec), device)
    began = time.perf_counter()
    fitted = fit_many(rung, *learn, draws)
    seconds = time.perf_counter() - began
    failed = [one for one in fitted if isinstance(one, Exception)]
    if failed:
        raise failed[0]
    some = fitted[:20]
    scores = [roc_auc_score(asked[1], one.predict_proba(asked[0])[:, 1]) for one in some]
    return seconds / len(draws), float(np.mean(scores))


def time_loop(learn: Part, asked: Part, draw: Draw) -> tuple[float, float]:
    """Seconds and AUROC of one `dnn` in a plain loop on the GPU: all images there, batches indexed by hand."""
    torch.manual_seed(draw.seed)
    pixels, tested = (torch.from_numpy(unrolled(images, True)).cuda() for images in (learn[0][draw.rows], asked[0]))
    targets = torch.from_numpy(learn[1][draw.rows].astype(np.float32)).reshape(-1, 1).cuda()
    began = time.perf_counter()
    centre, spread = pixels.mean(dim=0), pixels.std()
    pixels, tested = (pixels - centre) / spread, (tested - centre) / spread
    network = nn.Sequential(
        *(nn.Linear(784, 256), nn.ReLU(), nn.Dropout(0.2), nn.Linear(256, 64), nn.ReLU(), nn.Dropout(0.2)),
        *(nn.Linear(64, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 1)),
    ).cuda()
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, 1e-3, total_steps=EPOCHS * -(-len(pixels) // BATCH), pct_start=0.2
    )
    loss_of = nn.BCEWithLogitsLoss()
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(pixels), device="cuda").split(BATCH):
            optimiser.zero_grad()
            loss_of(network(pixels[rows]), targets[rows]).backward()
            optimiser.step()
            schedule.step()
    network.eval()
    with torch.no_grad():
        scores = network(tested)[:, 0].cpu().numpy()
    return time.perf_counter() - began, float(roc_auc_score(asked[1], scores))


def several(rounds: int, run: Callable[[], tuple[float, float]]) -> tuple[float, float]:
    """The median of the seconds; the AUROC."""
    runs = [run() for _ in range(rounds)]
    return statistics.median(seconds for seconds, _ in runs), runs[0][1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("rounds", type=int, nargs="?", default=3)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--cpu-threads", type=int, default=torch.get_num_threads())
    asked_for = parser.parse_args()
    with np.load(asked_for.data) as archive:
        learn, asked = ((archive[f"{p}_images"], archive[f"{p}_labels"].ravel()) for p in ("train", "val"))
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}, {asked_for.cpu_threads} CPU threads")
    time_fleet("dnn:members=1", "cuda", learn, asked, draws_of(len(learn[0]), 200, 2))
    [draw] = draws_of(len(learn[0]), len(learn[0]), 1)
    loop = several(asked_for.rounds, lambda: time_loop(learn, asked, draw))
    print(f"plain loop on the GPU, dnn, n {len(learn[0])}: {loop[0]:.3f} s a network, AUROC {loop[1]:.4f}", flush=True)
    for spec, n, sizes in FLEETS:
        for networks in sizes:
            draws = draws_of(len(learn[0]), n, networks)
            gpu = several(asked_for.rounds, partial(time_fleet, spec, "cuda", learn, asked, draws))
            with limit_threads(asked_for.cpu_threads):
                cpu = time_fleet(spec, "cpu", learn, asked, draws[:20])
            print(
                f"{spec:<34} n {n:>5}  {networks:>4} networks  GPU {gpu[0]:7.4f} s  CPU {cpu[0]:7.4f} s a network"
                f"  {cpu[0] / gpu[0]:6.1f}×  AUROC {gpu[1]:.4f} / {cpu[1]:.4f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
