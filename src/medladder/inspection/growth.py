"""How layers differ: their typical region and template, and whether that changes with depth by learning.

One network says nothing of others, and its units are not independent: what is tested is the slope over layers of each
of several networks, less that of its own random start. Units only describe.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Num, Shaped

from ..evidence.intervals import Interval, quantile
from ..rungs.draws import Draw, evenly, may_learn
from ..rungs.networks import NetworkClassifier
from . import NETWORKS
from .layered import LayeredNetwork, networks_of
from .maximisation import highest_sums
from .regions import mean_gradients, regions_of
from .templates import edge_likeness, planes_of, selectivity, spatial_frequency

REFERENCE_IMAGES = 64
"""Images that gradients are averaged over: more change a region's share of the image by less than .01."""

MEASURED_UNITS = 64
"""Units of a layer, at most, that its typical numbers are taken over."""

MEASURES = ("area", "pieces", "overlap", "edge_likeness", "frequency", "selectivity")

_VALUES = 2**25  # pixels times images times units of a layer, above which fewer are looked at
_LEAST_IMAGES = 4


@dataclass(frozen=True)
class LayerMeasure:
    """Medians over the units of one layer that are alive; NaN where a layer has none."""

    name: str
    units: int
    dead: int
    """Units of those looked at that no image excites."""
    area: float
    pieces: float
    overlap: float
    edge_likeness: float
    frequency: float
    selectivity: float

    def to_json(self) -> dict[str, Any]:
        """As a trial's line holds it; NaN as null."""
        return {name: None if value != value else value for name, value in asdict(self).items()}


def reference_rows(rows: Int[np.ndarray, " row"], n_values: int) -> Int[np.ndarray, " some"]:
    """Images to average gradients over: `REFERENCE_IMAGES`, fewer where they are large."""
    return evenly(rows, min(REFERENCE_IMAGES, max(_LEAST_IMAGES, _VALUES // (8 * n_values))))


def units_to_measure(network: LayeredNetwork, layer: int, n_images: int) -> Int[np.ndarray, " some"]:
    """Units of a layer to look at: `MEASURED_UNITS` evenly from first to last, fewer where images are large."""
    at_most = MEASURED_UNITS
    if network.convolutions is not None:  # each costs a pass through the maps
        at_most = min(at_most, max(4, _VALUES // (n_images * math.prod(network.image_shape))))
    return evenly(np.arange(network.units[layer]), at_most)


def measure_layers(
    network: LayeredNetwork, images: Num[np.ndarray, "image ..."], labels: Int[np.ndarray, " image"], n_classes: int
) -> tuple[LayerMeasure, ...]:
    """Look at every layer of one network with these images."""
    seen, found = network.see(images), []
    for layer, name in enumerate(network.names):
        units = units_to_measure(network, layer, len(images))
        highest = highest_sums(network, layer, seen)[:, units].numpy()
        dead = dead_units(highest, network.activation, is_output=name == "output")
        gradients = mean_gradients(network, seen, layer, units.tolist())[~dead]
        regions, planes = regions_of(gradients), planes_of(gradients)
        found.append(
            LayerMeasure(
                name,
                units=network.units[layer],
                dead=int(dead.sum()),
                area=_median(regions.area),
                pieces=_median(regions.pieces),
                overlap=_median(regions.overlap),
                edge_likeness=_median(edge_likeness(planes)),
                frequency=_median(spatial_frequency(planes)),
                selectivity=_median(selectivity(highest[:, ~dead], labels, n_classes)),
            )
        )
    return tuple(found)


def measure_networks(
    rung: NetworkClassifier,
    images: Shaped[np.ndarray, "image ..."],
    labels: Int[np.ndarray, " image"],
    draw: Draw,
    *,
    n_classes: int,
    at_most: int,
) -> list[dict[str, Any]]:
    """Measure the layers of a fitted rung's first members, and of the same networks before they learned."""
    shape = images.shape[1:]
    rows = reference_rows(draw.rows[may_learn(draw.fold)], math.prod(shape))
    before = copy(rung)
    [before.ensemble_] = rung.before_training(images, labels, [draw])
    pairs = list(zip(networks_of(rung, shape), networks_of(before, shape), strict=True))[:at_most]
    seen = images[rows]
    return [
        {
            of: [layer.to_json() for layer in measure_layers(network, seen, labels[rows], n_classes)]
            for of, network in (("trained", trained), ("start", start))
        }
        for trained, start in pairs
    ]


def dead_units(
    highest: Float[np.ndarray, "image unit"], activation: str, *, is_output: bool
) -> Bool[np.ndarray, " unit"]:
    """Mark the units that pass on the same whatever the image: below 0 on all of them, or never moving at all."""
    still = np.ptp(highest, axis=0) < 1e-6
    return still if is_output or activation != "relu" else still | (highest <= 0).all(axis=0)


@dataclass(frozen=True)
class Slope:
    """Change of one measure a layer, over networks: `learned` is less that of each one's own random start."""

    measure: str
    networks: int
    own: Interval | None
    learned: Interval | None
    verdict: str
    """«rises», «falls», «not shown» or «too few networks»."""

    def to_json(self) -> dict[str, Any]:
        """As inspection.json holds it."""
        return {
            "measure": self.measure,
            "networks": self.networks,
            "own": None if self.own is None else self.own.to_json(),
            "learned": None if self.learned is None else self.learned.to_json(),
            "verdict": self.verdict,
        }


def slope_of(values: Sequence[float | None]) -> float:
    """Least-squares change a layer; NaN with fewer than two layers that have a value.

    Example
    -------
    >>> slope_of([0.1, 0.2, 0.3])
    0.1
    """
    known = [(layer, value) for layer, value in enumerate(values) if value is not None and value == value]
    if len(known) < 2:
        return math.nan
    layers, heights = np.array(known, dtype=float).T
    away = layers - layers.mean()
    return round(float(away @ heights / (away @ away)), 12)


def weigh_slope(measure: str, networks: Sequence[Mapping[str, Any]]) -> Slope:
    """Does a measure change with depth in the networks, and more than in their random starts?

    `networks` hold `{"trained": [layer, …], "start": [layer, …]}`, layers as `LayerMeasure.to_json` gives them. The
    interval is Student's over networks: they learn from subsets that overlap, so it speaks of networks trained on
    these patients. With fewer than `NETWORKS` nothing is claimed.
    """
    own, learned = [], []
    for network in networks:
        trained, start = (slope_of([layer[measure] for layer in network[of]]) for of in ("trained", "start"))
        if math.isfinite(trained) and math.isfinite(start):
            own.append(trained)
            learned.append(trained - start)
    interval = _student(learned)
    verdict = "not shown"
    if len(learned) < NETWORKS:
        verdict = "too few networks"
    elif interval is not None and interval.low > 0:
        verdict = "rises"
    elif interval is not None and interval.high < 0:
        verdict = "falls"
    return Slope(measure, len(learned), _student(own), interval, verdict)


def _student(values: Sequence[float], confidence: float = 0.95) -> Interval | None:
    if len(values) < 2:
        return None
    mean, spread = float(np.mean(values)), float(np.std(values, ddof=1))
    half = quantile(len(values) - 1, confidence) * spread / math.sqrt(len(values))
    return Interval(mean, mean - half, mean + half)


def _median(values: Float[np.ndarray, " unit"]) -> float:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else math.nan
