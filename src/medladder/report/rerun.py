"""The commands that run the study again, without a path of this machine."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from typing import Any

from ..record.plan import USUAL_POINTS, Plan, PlannedRung


def write_commands(plan: Plan) -> list[str]:
    """One command; two where repeats were added later, since repeats are drawn in the rounds they came in."""
    if plan.repeats == plan.round:
        return [_write_command(plan, plan.repeats)]
    return [_write_command(plan, plan.round), _write_command(plan, plan.repeats)]


def _write_command(plan: Plan, repeats: int) -> str:
    words = ["medladder", "study", "COHORT", "--out", "RUN", *_name_rungs(plan.rungs)]
    words += ["--sizes", ",".join(str(size) for size in plan.sizes), "--repeats", str(repeats)]
    words += _name_reading(plan.image["preparation"])
    words += ["--seed", str(plan.seed), "--margin", f"{plan.margin:g}"]
    for name, value in asdict(plan.operating).items():
        if value != getattr(USUAL_POINTS, name):
            words += ["--" + name.replace("_", "-"), f"{value:g}"]
    words += ["--leave-out", plan.leave_out] if plan.leave_out else []
    words += _name_covariates(plan.covariates) if plan.covariates else []
    words += ["--keep-val"] if plan.keep_val else []
    words += ["--test", "OTHER_COHORT"] if plan.tested_on else []
    if plan.group_near:
        words.append("--group-near")
    for kind in plan.accept:
        words += ["--accept", kind]
    return shlex.join(words)


def _name_rungs(rungs: tuple[PlannedRung, ...]) -> list[str]:
    """Plain rungs in one list; where one has settings each is named by itself, which keeps their order."""
    if not any(":" in planned.rung for planned in rungs):
        return ["--rungs", ",".join(planned.rung for planned in rungs)]
    return [word for planned in rungs for word in ("--rung", planned.rung)]


def _name_reading(preparation: dict[str, Any]) -> list[str]:
    """How files were read; `--spacing-mm` has become an image size and a box."""
    words = ["--image-size", _write_size(preparation["size"])]
    window, box = preparation.get("window"), preparation.get("box_mm")
    words += ["--window", f"{window['centre']:g}/{window['width']:g}"] if window else []
    words += ["--stacks", preparation["stacks"]] if preparation.get("stacks") else []
    words += ["--box-mm", "x".join(repr(float(side)) for side in box)] if box else []
    return [*words, "--crop"] if preparation.get("is_cropped") else words


def _name_covariates(covariates: dict[str, Any]) -> list[str]:
    names = ",".join(column["column"] for column in covariates["columns"])
    within = ["--normal", covariates["normal_class"]] if covariates["normal_class"] else []
    return ["--covariates", names, "--covariate-use", covariates["use"], *within]


def _write_size(sides: list[int]) -> str:
    return str(sides[0]) if len(set(sides)) == 1 else "x".join(map(str, sides))
