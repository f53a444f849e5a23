"""About how long a fleet takes, before it runs: for `--plan` and for the time left, never for evidence."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .architecture import convolution_layers
from .record.plan import FleetKey, Plan, PlannedRung

_FLOPS_A_SECOND = 5e10
"""What one core reached while training small networks (docs/LOG.md); machines differ by a factor of two or three."""

_MOVED_ROWS, _SPAN_GAIN = 512, 0.7  # as in medladder.rungs.pixels, which would bring torch along

_SECONDS_A_STEP = 2e-4
"""What a step costs a network besides its products."""

_SECONDS_A_CONVOLVED_STEP = 2e-3
"""The same for a convolutional network, which is normalised and trained layer by layer."""

_BACKBONE_FEATURES = 768
"""Values an image that a middle-sized backbone gives; the time to compute them comes once a cohort, on top."""


@dataclass(frozen=True)
class Effort:
    """What a plan asks of this machine."""

    fits: int
    processes: int
    threads: int
    """Of each process."""
    expected_seconds: int

    @classmethod
    def of(cls, plan: Plan, jobs: int | None) -> Effort:
        """Fleets fill the processes, but the longest fleet bounds the whole."""
        keys, processes = list(plan.fleets()), jobs or os.cpu_count() or 1
        seconds = [expected_seconds(plan, key) for key in keys]
        return cls(
            fits=sum(len(key.repeats) for key in keys),
            processes=processes,
            threads=threads_a_fleet(plan, processes),
            expected_seconds=math.ceil(max(sum(seconds) / processes, *seconds)),
        )


def threads_a_fleet(plan: Plan, jobs: int) -> int:
    """Threads of one worker: one, unless the whole plan has fewer fleets than there are workers.

    It follows from the plan and not from what is left of it, so that a study gone on with ends as if never stopped.
    """
    return max(1, jobs // sum(1 for _ in plan.fleets()))


def expected_seconds(plan: Plan, key: FleetKey) -> float:
    """Seconds on one core for all repeats of a fleet, right within a factor of about three."""
    planned = next(p for p in plan.rungs if p.rung == key.rung)
    return seconds_a_fit(planned, key.n_train, plan.image["shape"]) * len(key.repeats)


def seconds_a_fit(planned: PlannedRung, n: int, image_shape: Sequence[int]) -> float:
    """Seconds on one core of one fit on n patients, right within a factor of about three."""
    n_pixels = int(np.prod(image_shape))
    if planned.kind == "prior":
        a_trial = 0.002
    elif planned.kind in ("logistic", "pretrained"):
        n_values = n_pixels if planned.kind == "logistic" else _BACKBONE_FEATURES
        a_trial = 0.03 + 2.1e-7 * n * n_values
    elif planned.kind == "svm":
        a_trial = 0.05 + 1.6e-7 * n**2
    elif planned.kind == "forest":
        a_trial = 0.3 + 8e-4 * n
    elif planned.kind == "boosting":
        a_trial = 0.5 + 1.3e-3 * n
    elif planned.kind == "cnn":
        shape = {name: planned.settings[name] for name in ("width", "depth") if name in planned.settings}
        multiply_adds = sum(layer.multiply_adds for layer in convolution_layers(image_shape, **shape))
        batch = 32 if n < 2_000 else 64
        steps = max(300, 8 * n / batch)
        products = 6.0 * steps * batch * multiply_adds
        a_trial = planned.settings.get("members", 3) * (steps * _SECONDS_A_CONVOLVED_STEP + products / _FLOPS_A_SECOND)
    else:
        layers = list(planned.layers or [n_pixels, 1])
        n_axes = max(n, _MOVED_ROWS)
        layers[0] = n_axes if n_axes <= _SPAN_GAIN * n_pixels else n_pixels
        n_weights = sum(a * b for a, b in pairwise(layers))
        batch = 32 if n < 2_000 else 64 if n < 20_000 else 128
        steps = planned.settings.get("members", 5) * max(150, 12 * n / batch)
        a_trial = steps * (_SECONDS_A_STEP + 6.0 * n_weights * batch / _FLOPS_A_SECOND)
    return a_trial
