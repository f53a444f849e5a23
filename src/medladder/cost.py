"""About how long a fleet takes, before it runs: for `--plan` and for the time left, never for evidence."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from .architecture import convolution_layers, count_parameters
from .machine import n_processors
from .record.plan import FleetKey, Plan, PlannedRung
from .record.trials import Trial

_FLOPS_A_SECOND = 5e10
"""What one core reached while training small networks (docs/LOG.md); machines differ by a factor of two or three."""

_MOVED_ROWS, _SPAN_GAIN = 512, 0.7  # as in medladder.rungs.pixels, which would bring torch along

_SECONDS_A_STEP = 2e-4
"""What a step costs a network besides its products."""

_SECONDS_A_CONVOLVED_STEP = 2e-3
"""The same for a convolutional network, which is normalised and trained layer by layer."""

_BACKBONE_FEATURES = 768
"""Values an image that a middle-sized backbone gives; the time to compute them comes once a cohort, on top."""


_FEW_SECONDS = 1.0
"""Of foreseen work that was done: below it a rung's pace is mostly taken from the others'."""

SECONDS_A_LOOK = 20.0
"""For one network at the end of a study."""


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
        keys, processes = list(plan.fleets()), jobs or n_processors()
        seconds = [expected_seconds(plan, key) for key in keys]
        return cls(
            fits=sum(len(key.repeats) for key in keys),
            processes=processes,
            threads=threads_a_fleet(plan, processes),
            expected_seconds=math.ceil(_side_by_side(seconds, processes)),
        )


class Pace:
    """How fast fleets of a plan go here, learned from those that are done: what comes follows the largest that were."""

    def __init__(self, plan: Plan, trials: Iterable[Trial] = ()) -> None:
        self._plan = plan
        self._kinds = {planned.rung: planned.kind for planned in plan.rungs}
        self._keys = {key.name: key for key in plan.fleets()}
        self._taken: dict[str, float] = dict.fromkeys(self._kinds.values(), 0.0)
        self._foreseen = dict(self._taken)
        for trial in trials:
            if trial.fit_seconds is not None and trial.fleet in self._keys:
                key = self._keys[trial.fleet]
                self._count(key, trial.fit_seconds, expected_seconds(plan, key) / len(key.repeats))

    def learn(self, key: FleetKey, seconds: float) -> None:
        """One more fleet is done, after so many seconds of one worker."""
        self._count(key, seconds, expected_seconds(self._plan, key))

    @property
    def is_known(self) -> bool:
        """Whether any fleet was done here."""
        return any(self._foreseen.values())

    def seconds(self, key: FleetKey) -> float:
        """Of one worker for a fleet, as things go here."""
        kind = self._kinds[key.rung]
        taken, foreseen = sum(self._taken.values()), sum(self._foreseen.values())
        overall = taken / foreseen if foreseen > 0 else 1.0
        expected = expected_seconds(self._plan, key)
        # What this kind of rung has shown counts as far as it has shown something; before that, what others have.
        trust = _FEW_SECONDS + 0.02 * expected
        factor = (self._taken[kind] + trust * overall) / (self._foreseen[kind] + trust)
        return factor * expected

    def seconds_left(self, keys: Iterable[FleetKey], processes: int) -> float:
        """Until these are done by so many workers."""
        return _side_by_side([self.seconds(key) for key in keys], processes)

    def _count(self, key: FleetKey, taken: float, foreseen: float) -> None:
        kind = self._kinds[key.rung]
        self._taken[kind] += taken
        self._foreseen[kind] += foreseen


def _side_by_side(seconds: Sequence[float], processes: int) -> float:
    """Fleets fill the workers, but the longest bounds the whole."""
    return max(sum(seconds) / max(processes, 1), max(seconds, default=0.0))


def seconds_until_it_hangs(plan: Plan, key: FleetKey) -> float:
    """When a fleet counts as hung: far beyond what was foreseen, for machines differ and share their cores."""
    return 600.0 + 30.0 * expected_seconds(plan, key)


def seconds_to_look(plan: Plan) -> float:
    """Seconds on one core for looking into the networks when all is fitted: tiles and probes, and refits."""
    rungs = [planned for planned in plan.rungs if planned.members is not None and not planned.has_covariates]
    n, shape = plan.sizes[-1], plan.image["shape"]
    refits = sum(seconds_a_fit(one, n, shape) for one in plan.rungs if one.family != "floor")
    return SECONDS_A_LOOK * len(rungs) + refits


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
        multiply_adds = sum(one.multiply_adds for one in convolution_layers(image_shape, **_convolution(planned)))
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


def bytes_a_fleet(planned: PlannedRung, n: int, image_shape: Sequence[int], n_classes: int, draws: int) -> int:
    """Memory that fitting so many draws of n images together takes, rather too much than too little.

    Measured by benchmarks/fleet_memory.py. What networks take together is bounded by the fleet engine, which trains
    them in turns.
    """
    n_pixels = int(np.prod(image_shape))
    pixels = 4 * n * n_pixels
    if planned.kind == "logistic":
        alone, together = 50e6 + 10 * pixels + 24 * min(n, n_pixels) ** 2, 0.0
    elif planned.kind == "svm":
        alone, together = 60e6 + 40.0 * n**2, 0.0
    elif planned.kind in ("nn", "dnn"):
        parameters = count_parameters(list(planned.layers or [n_pixels, n_classes])) * (planned.members or 1)
        axes = min(n + _MOVED_ROWS, n_pixels)
        alone = 120e6 + 2 * pixels + 12 * axes**2 + _bytes_of_networks(parameters)
        together = 12 * axes**2 + (_bytes_of_networks(parameters * draws) - _bytes_of_networks(parameters)) / draws
    elif planned.kind == "cnn":
        layers_of_one = convolution_layers(image_shape, **_convolution(planned))
        nodes = sum(layer.nodes for layer in layers_of_one)
        alone = 150e6 + 2 * pixels + 16 * _BATCH * nodes
        together = 4.0 * sum(layer.parameters for layer in layers_of_one) * (planned.members or 1)
    else:
        alone, together = 100e6 + 40.0 * n * _BACKBONE_FEATURES, 0.0
    return int(alone + together * (draws - 1))


def _bytes_of_networks(parameters: int) -> float:
    """Of networks while they are trained, which the fleet engine does in turns above a bound, and of what is kept."""
    return min(24.0 * parameters, 1.5 * 2**30) + min(8.0 * parameters, 2.0**30)


_BATCH = 64


def _convolution(planned: PlannedRung) -> dict[str, Any]:
    return {name: planned.settings[name] for name in ("width", "depth") if name in planned.settings}
