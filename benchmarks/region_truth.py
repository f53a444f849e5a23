"""Do regions find the truth? Nodules confined to one quadrant: the share of the output's region that lies there.

Trained networks beside the same networks at random weights, in the span of the images where they were trained in
it; the quadrant is a quarter, so the ratio's ceiling is 4.
How regions are smoothed was chosen on seed 1; the seeds here are others.

    python benchmarks/region_truth.py [--patients 1400] [--seeds 11,12,13,14,15] [--rungs dnn,cnn]
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from medladder import rungs
from medladder.inspection.attribution import attribute
from medladder.inspection.growth import reference_rows
from medladder.inspection.layered import networks_of
from medladder.inspection.regions import as_trained, mean_gradients, regions_of
from medladder.phantoms.drawn import draw
from medladder.rungs.draws import draw_by_row
from medladder.rungs.networks import DenseClassifier

RANDOM_DRAWS = 10
EXPLAINED = 20


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--patients", type=int, default=1400)
    parser.add_argument("--seeds", default="11,12,13,14,15")
    parser.add_argument("--rungs", default="dnn,cnn")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    print(
        f"{'rung':6}{'seed':>5}{'n':>6}{'AUROC':>8}{'trained':>9}{'random':>9}{'ratio':>7}{'hidden':>8}{'random':>8}",
        end="",
    )
    print(f"{'map in nodule':>15}{'random':>8}")
    for name in asked.rungs.split(","):
        ratios = []
        for seed in map(int, asked.seeds.split(",")):
            ratios.append(one(name, asked.patients, seed))
        print(
            f"{name}: ratio, median over seeds {np.median(ratios):.2f}, from {min(ratios):.2f} to {max(ratios):.2f}\n"
        )


def one(name: str, n_patients: int, seed: int) -> float:
    cohort = draw("nodule", n_patients=n_patients, seed=seed, quadrant=0)
    parts = np.array(cohort.parts)
    train, test = np.flatnonzero(parts == "train"), np.flatnonzero(parts == "test")
    rung, rows = rungs.build(rungs.parse_rung(name), "cpu"), draw_by_row(cohort.labels[train], seed)
    rung.fit(cohort.images[train], cohort.labels[train], draw=rows)
    project = rung.projection(cohort.images[train], rows) if isinstance(rung, DenseClassifier) else None
    auroc = roc_auc_score(cohort.labels[test], rung.predict_proba(cohort.images[test])[:, 1])
    side = cohort.images.shape[1]
    quadrant = np.zeros((side, side), dtype=bool)
    quadrant[: side // 2, : side // 2] = True
    networks = networks_of(rung, cohort.images.shape[1:])
    images = cohort.images[reference_rows(train, side * side)]
    shares = {"output": ([], []), "hidden": ([], [])}
    for member, network in enumerate(networks):
        seen = network.see(images)
        for layer, (trained, random) in ((-1, shares["output"]), (-2, shares["hidden"])):
            place = len(network.units) + layer
            trained.append(share_in(network, seen, place, quadrant))
            random += [
                share_in(network.randomised(100 * member + number, seen), seen, place, quadrant, project)
                for number in range(RANDOM_DRAWS)
            ]
    inside, inside_random = overlap(cohort, networks, test, seed)
    means = [np.mean(values) for pair in shares.values() for values in pair]
    ratio = means[0] / means[1]
    print(
        f"{name:6}{seed:5d}{len(train):6d}{auroc:8.3f}{means[0]:9.3f}{means[1]:9.3f}{ratio:7.2f}"
        f"{means[2]:8.3f}{means[3]:8.3f}{inside:15.2f}{inside_random:8.2f}",
        flush=True,
    )
    return float(ratio)


def share_in(network, seen, layer, quadrant, project=None) -> float:
    regions = regions_of(as_trained(mean_gradients(network, seen, layer), project))
    sees = regions.mass.sum(axis=(1, 2)) > 0
    return float(regions.mass[sees][:, quadrant].sum(axis=1).mean())


def overlap(cohort, networks, test, seed) -> tuple[float, float]:
    """How much stronger a map (integrated gradients) is in the nodule's disc than on average; at random weights too."""
    with_nodule = [row for row in test if cohort.labels[row] == 1][:EXPLAINED]
    rows, columns = np.indices(cohort.images.shape[1:])
    found, null = [], []
    for row in with_nodule:
        away = np.hypot(rows - cohort.truth["row"][row], columns - cohort.truth["column"][row])
        disc = away <= max(cohort.truth["radius"][row], 1)
        image = cohort.images[row]
        for kept, asked in ((found, networks), (null, [network.randomised(seed) for network in networks])):
            values = np.abs(attribute(asked, image, towards=1, n_classes=2)[0].values)
            kept.append(values[disc].mean() / values.mean())
    return float(np.mean(found)), float(np.mean(null))


if __name__ == "__main__":
    main()
