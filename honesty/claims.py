"""How often what the verdict says is true: claims that a rung is better, the pick, and what it may miss.

    python honesty/claims.py FOLDER [--studies 500] [--processes 1] [--quick]

FOLDER gets `claims.jsonl`, a line a finished batch, so that a stopped run goes on, and the table.
Rungs are drawn as in `honesty/selection.py`: Gaussian scores, ten repeats, E(n) known. A claim is false where the truth
is the reverse or nothing; «power» is how often the truly better rung is said better than the first; «missed» how often
the best rung truly stands above the pick by no more than the verdict says.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from progress import Batch, measure, rng_of
from selection import CLASSES, Cell, Layout, by_label, draw_curves, known, lay_out, stand

from medladder.evidence.verdict import pick_rung

NAME, STUDIES = "claims", 500
CLASSES[300] = (200, 100)

CELLS = by_label(
    (
        *(Cell("2 equal", (top,) * 2, n, folds) for n, folds in ((156, 1), (300, 1), (156, 5)) for top in (0.75, 0.9)),
        *(Cell("8 equal", (top,) * 8, n, folds) for n, folds in ((156, 1), (300, 1), (156, 5)) for top in (0.75, 0.9)),
        *(Cell("random labels", (0.5,) * k, n) for k in (2, 8) for n in (156, 300)),
        *(Cell("better by .05", (top,) * (k - 1) + (top + 0.05,), 300) for k in (2, 6) for top in (0.75, 0.85, 0.9)),
        *(Cell("better by .10", (top,) * (k - 1) + (top + 0.10,), 300) for k in (2, 6) for top in (0.75, 0.85)),
        Cell("ascending", tuple(np.linspace(0.80, 0.88, 8)), 300),
    )
)

GRADES = ("shown", "not contradicted", "cannot tell")
HEAD = (
    "| rungs | number | true AUROC | test patients | false % | better than knowing nothing % | power % | "
    "shown / not contradicted / cannot tell % | loss of the pick | missed ok % | said to be missed |"
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


def one_study(cell: Cell, layout: Layout, rng: np.random.Generator) -> Outcome:
    curves = draw_curves(cell, layout, rng)
    standing, truth = stand(curves, cell, layout), known(cell, layout)
    pick, best = pick_rung(standing), max(truth.values())
    last = f"rung{len(cell.aurocs) - 1}"
    is_false = is_found = of_floor = False
    for pair in standing.comparisons:
        apart = truth[pair.rung] - truth[pair.against]
        said = 1 if pair.difference.low > 0 else -1 if pair.difference.high < 0 else 0
        is_false |= bool(said != 0 and np.sign(apart) != said)
        is_found |= said == 1 and (pair.rung, pair.against) == (last, "rung0")
        of_floor |= said == 1 and pair.against == "prior"
    loss = best - truth[pick.rung]
    return Outcome(is_false, is_found, of_floor, pick.grade, loss, bool(loss <= pick.missed + 1e-9), pick.missed)


def one_batch(cell: Cell, batch: Batch) -> list[dict[str, Any]]:
    """Every study's outcome."""
    layout = lay_out(cell)
    return [asdict(one_study(cell, layout, rng_of(NAME, batch.cell, study))) for study in batch.studies]


def rows_of(cell: Cell, found: list[dict[str, Any]]) -> list[str]:
    def share(name: str) -> str:
        part = float(np.mean([one[name] for one in found]))
        return f"{100 * part:.1f} ± {100 * np.sqrt(max(part * (1 - part), 1e-9) / len(found)):.1f}"

    grades = " / ".join(f"{100 * np.mean([one['grade'] == grade for one in found]):.0f}" for grade in GRADES)
    loss, missed = (np.mean([one[name] for one in found]) for name in ("loss", "missed"))
    power = share("is_found") if cell.aurocs[-1] > cell.aurocs[0] else "–"
    return [
        f"{share('is_false')} | {share('of_floor')} | {power} | {grades} | {loss:.3f} | {share('holds')} | {missed:.3f}"
    ]


if __name__ == "__main__":
    measure(__doc__, NAME, CELLS, one_batch, rows_of, HEAD, studies=STUDIES)
