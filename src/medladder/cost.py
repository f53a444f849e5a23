"""About how long a fleet takes, before it runs: for `--plan` and for the time left, never for evidence."""

from __future__ import annotations

import os
from itertools import pairwise

import numpy as np

from .record.plan import FleetKey, Plan

_FLOPS_A_SECOND = 2e10
"""What one core reaches while training small networks here; other machines differ by a factor of two or three."""


def study_seconds(plan: Plan, jobs: int | None) -> float:
    """Seconds for the whole study: fleets fill the cores, but the longest fleet bounds it."""
    seconds = [expected_seconds(plan, key) for key in plan.fleets()]
    return max(sum(seconds) / (jobs or os.cpu_count() or 1), *seconds)


def expected_seconds(plan: Plan, key: FleetKey) -> float:
    """Seconds on one core for all repeats of a fleet, right within a factor of about three."""
    planned = next(p for p in plan.rungs if p.rung == key.rung)
    n, n_pixels = key.n_train, int(np.prod(plan.image["shape"]))
    if planned.kind == "prior":
        a_trial = 0.002
    elif planned.kind == "logistic":
        a_trial = 0.05 + 2e-7 * n * min(n, n_pixels)
    elif planned.kind == "svm":
        a_trial = 0.05 + 6e-7 * n**2
    else:
        layers = planned.layers or [n_pixels, 1]
        n_weights = sum(a * b for a, b in pairwise(layers))
        members = planned.settings.get("members", 5)
        a_trial = members * (0.1 + 6.0 * n_weights * (8_000 + 25 * n) / _FLOPS_A_SECOND)
    return a_trial * len(key.repeats)
