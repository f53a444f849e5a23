"""How often what the verdict says is true: claims that a rung is better, the pick, and what it may miss.

    python honesty/claims.py [--studies 400] [--cells 0,1]

Rungs are drawn as in `honesty/selection.py`: Gaussian scores, ten repeats, E(n) known. A claim is false where the truth
is the reverse or nothing; «power» is how often the truly better rung is said better than the first; «missed» how often
the best rung truly stands above the pick by no more than the verdict says.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
from selection import CLASSES, Cell, draw_curves, known, lay_out, stand

from medladder.evidence.verdict import pick_rung

CLASSES[300] = (200, 100)

CELLS = (
    *(Cell("2 equal", (top,) * 2, n, folds) for n, folds in ((156, 1), (300, 1), (156, 5)) for top in (0.75, 0.9)),
    *(Cell("8 equal", (top,) * 8, n, folds) for n, folds in ((156, 1), (300, 1), (156, 5)) for top in (0.75, 0.9)),
    *(Cell("random labels", (0.5,) * k, n) for k in (2, 8) for n in (156, 300)),
    *(Cell("better by .05", (top,) * (k - 1) + (top + 0.05,), 300) for k in (2, 6) for top in (0.75, 0.85, 0.9)),
    *(Cell("better by .10", (top,) * (k - 1) + (top + 0.10,), 300) for k in (2, 6) for top in (0.75, 0.85)),
    Cell("ascending", tuple(np.linspace(0.80, 0.88, 8)), 300),
)

HEAD = (
    f"{'rungs':15}{'K':>3}{'AUROC':>10}{'test':>6}{'folds':>6}  "
    f"{'false %':>8}{'power %':>8}{'floor %':>8}{'shown':>6}{'not c.':>7}{'cannot':>7}"
    f"{'loss':>7}{'missed ok':>10}{'missed':>8}"
)


@dataclass(frozen=True)
class Outcome:
    """What one study said, beside the truth; `of_floor`: that some rung is better than knowing nothing."""

    is_false: bool
    is_found: bool
    of_floor: bool
    grade: str
    loss: float
    holds: bool
    missed: float


def one_study(cell: Cell, layout, seed: list[int]) -> Outcome:
    curves = draw_curves(cell, layout, np.random.default_rng(seed))
    standing, truth = stand(curves, cell, layout), known(cell, layout)
    pick, best = pick_rung(standing), max(truth.values())
    last = f"rung{len(cell.aurocs) - 1}"
    is_false = is_found = of_floor = False
    for pair in standing.comparisons:
        apart = truth[pair.rung] - truth[pair.against]
        said = 1 if pair.difference.low > 0 else -1 if pair.difference.high < 0 else 0
        is_false |= said != 0 and np.sign(apart) != said
        is_found |= said == 1 and (pair.rung, pair.against) == (last, "rung0")
        of_floor |= said == 1 and pair.against == "prior"
    loss = best - truth[pick.rung]
    return Outcome(is_false, is_found, of_floor, pick.grade, loss, loss <= pick.missed + 1e-9, pick.missed)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--studies", type=int, default=400)
    parser.add_argument("--cells", default=",".join(map(str, range(len(CELLS)))))
    asked = parser.parse_args()
    print(
        f"{asked.studies} studies a cell; Monte Carlo error of 5 % about {100 * np.sqrt(0.0475 / asked.studies):.1f} %."
    )
    print(HEAD)
    for number in map(int, asked.cells.split(",")):
        cell = CELLS[number]
        layout = lay_out(cell)
        found = [one_study(cell, layout, [0xC1, number, study]) for study in range(asked.studies)]
        share = {
            name: 100 * np.mean([getattr(one, name) for one in found])
            for name in ("is_false", "is_found", "of_floor", "holds")
        }
        grades = [
            100 * np.mean([one.grade == grade for one in found])
            for grade in ("shown", "not contradicted", "cannot tell")
        ]
        span = f"{min(cell.aurocs):.2f}–{max(cell.aurocs):.2f}"
        print(
            f"{cell.name:15}{len(cell.aurocs):3d}{span:>10}{cell.n_test:6d}{cell.folds:6d}  "
            f"{share['is_false']:8.1f}{share['is_found']:8.1f}{share['of_floor']:8.1f}"
            f"{grades[0]:6.0f}{grades[1]:7.0f}{grades[2]:7.0f}"
            f"{np.mean([one.loss for one in found]):7.3f}{share['holds']:10.1f}"
            f"{np.mean([one.missed for one in found]):8.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
