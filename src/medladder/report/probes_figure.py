"""How far each layer parts the classes: a linear probe after every layer, beside random weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from ..language import tr
from . import wording
from .figures import Format, label_curves
from .layer_tables import name_layer
from .palette import Look
from .regions_figure import RANDOM, plot_layers, start_layers
from .sketches import GREEN
from .svg import from_figure

FORMATS = (Format("wide", 540, 300, 13), Format("narrow", 350, 280, 11.5))

Metric = Mapping[str, float]


def draw_probes(network: Mapping[str, Any], look: Look, *, name: str) -> dict[str, str] | None:
    """AUROC with its interval at the input and after each layer; None where no layer was probed."""
    trained, random = probes_of(network)
    if sum(one is not None for one in trained) < 2:
        return None
    return {shape.name: _draw(network, trained, random, look, shape, f"{name}-{shape.name}") for shape in FORMATS}


def probes_of(network: Mapping[str, Any]) -> tuple[list[Metric | None], list[Metric | None]]:
    """The probe's AUROC at the input, then layer by layer: of the trained network, and at random weights."""
    at_input = (network["input"] or {}).get("auroc")
    probes = [layer["probe"] or {} for layer in network["layers"]]
    trained, random = ([probe.get(of) for probe in probes] for of in ("auroc", "random"))
    # Random weights leave the pixels as they are, so that both curves begin in one point.
    return [at_input, *trained], [at_input if any(random) else None, *random]


def place_of(network: Mapping[str, Any]) -> int | None:
    """The layer (0: the input) from which on the classes are as separable as at the output; None if none was found."""
    separable = network["separable"]
    if separable is None or separable["from"] is None:
        return None
    return ["input", *(layer["name"] for layer in network["layers"])].index(separable["from"])


def _draw(
    network: Mapping[str, Any],
    trained: Sequence[Metric | None],
    random: Sequence[Metric | None],
    look: Look,
    shape: Format,
    name: str,
) -> str:
    captions = {"trained": [tr("trained")], "random": tr("random weights").split(" ")}
    figure, axes = start_layers(
        network["layers"],
        shape,
        captions,
        name_axis=tr("AUROC of a linear probe, bars are 95 % intervals"),
        with_input=True,
    )
    _scale(axes, trained, random)
    looks = {"trained": look, "random": RANDOM}
    ends: dict[str, tuple[float, float]] = {}
    for key, metrics, aside in (("random", random, 0.05), ("trained", trained, -0.05)):
        if not any(metrics):
            continue
        for place, metric in enumerate(metrics):
            if metric is not None and (key == "trained" or place > 0):
                ink = looks[key].casing or looks[key].colour
                axes.plot([place + aside] * 2, [metric["low"], metric["high"]], color=ink, lw=1.1, zorder=3)
        plot_layers(axes, [math.nan if metric is None else metric["estimate"] for metric in metrics], looks[key])
        last = max(place for place, metric in enumerate(metrics) if metric is not None)
        ends[key] = (last, metrics[last]["estimate"])  # type: ignore[index]
    first = place_of(network)
    if first is not None and trained[first] is not None:
        height = trained[first]["estimate"]  # type: ignore[index]
        axes.plot([first], [height], ls="", marker="o", ms=15, mec=GREEN, mfc="none", mew=2, zorder=8)
    label_curves(figure, axes, ends, {key: captions[key] for key in ends}, looks, shape)
    return from_figure(figure, name=name, label=_describe(network, trained, random))


def _scale(axes: Axes, trained: Sequence[Metric | None], random: Sequence[Metric | None]) -> None:
    """From a little under the lowest interval; rounded to .05, so that small differences do not look large."""
    metrics = [metric for metric in (*trained, *random) if metric is not None]
    low = math.floor(20 * min(metric["low"] for metric in metrics)) / 20
    high = max(metric["high"] for metric in metrics)
    low = min(low, high - 0.1)
    axes.set_ylim(low, high + 0.04 * (high - low))


def _describe(network: Mapping[str, Any], trained: Sequence[Metric | None], random: Sequence[Metric | None]) -> str:
    names = ["input", *(layer["name"] for layer in network["layers"])]

    def listed(metrics: Sequence[Metric | None]) -> str:
        return ", ".join(
            f"{name_layer(name)} {wording.estimate_with_span(dict(metric))}"
            for name, metric in zip(names, metrics, strict=True)
            if metric is not None
        )

    told = {"rung": network["rung"], "trained": listed(trained)}
    if not any(random):
        return tr("AUROC of a linear probe on {rung}: {trained}.", **told)
    return tr(
        "AUROC of a linear probe on {rung}: {trained}; at random weights {random}.", **told, random=listed(random)
    )
