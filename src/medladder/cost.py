"""About how long a fleet takes, before it runs: for `--plan` and for the time left, never for evidence."""

from __future__ import annotations

import os
from itertools import pairwise

import numpy as np

from .record.plan import FleetKey, Plan

_FLOPS_A_SECOND = 5e10
"""What one core reached while training small networks (docs/LOG.md); machines differ by a factor of two or three."""

_SECONDS_A_STEP = 2e-4
"""What a step costs a network besides its products."""


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
        a_trial = 0.05 + 8e-7 * n * min(n, n_pixels)
    elif planned.kind == "svm":
        a_trial = 0.05 + 1.6e-7 * n**2
    else:
        layers = planned.layers or [n_pixels, 1]
        n_weights = sum(a * b for a, b in pairwise(layers))
        batch = 32 if n < 2_000 else 64 if n < 20_000 else 128
        steps = planned.settings.get("members", 5) * max(150, 12 * n / batch)
        a_trial = steps * (_SECONDS_A_STEP + 6.0 * n_weights * batch / _FLOPS_A_SECOND)
    return a_trial * len(key.repeats)
