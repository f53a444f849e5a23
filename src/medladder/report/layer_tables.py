"""The numbers of an inspection, layer by layer, as the page's tables and strips hold them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import wording

Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Cell:
    """A measure of one layer: its median over units, the quartiles, and the median at random weights."""

    median: str
    quartiles: str | None
    random: str | None


def noun_of(layer: Facts, *, is_convolution: bool) -> str:
    """What a unit of a layer is called: a map of a convolution, else a node."""
    return "map" if is_convolution and layer["name"] != "output" else "node"


def title_of(network: Facts, *, is_convolution: bool) -> str:
    """How deep a network is."""
    n = len(network["layers"]) - 1
    if n == 0:
        return wording.number_of(network["layers"][0]["units"], "neuron")
    what = "convolution" if is_convolution else "hidden layer"
    return f"{wording.number_of(n, what)} and the output"


def say_absent(facts: Facts, noun: str) -> str:
    """Why no region of a layer is drawn."""
    n, regions, shown = facts["units"], facts["regions"], len(facts["features"]["shown"])
    nodes = f"{noun}s"
    if facts["dead"] == n:
        return f"No image excites any of its {wording.number_of(n, noun)}: dead, they look nowhere."
    if regions["like_noise"] >= n:
        if n == 1:
            return f"Its only {noun} looks at no region that differs from noise, so none is drawn."
        return f"None of its {wording.count(n)} {nodes} looks at a region that differs from noise, so none is drawn."
    return (
        f"{wording.count(regions['like_noise'])} of its {wording.count(n)} {nodes} look at no region that differs from "
        f"noise, the {shown} that matter most among them, so none is drawn."
    )


def _cell(spread: Facts | None, random: Facts | None, write: Callable[[float], str]) -> Cell | None:
    if spread is None:
        return None
    ends = [write(spread["low"]), write(spread["high"])]
    low = ends[0].removesuffix(" %") if ends[1].endswith(" %") else ends[0]
    quartiles = None if spread["low"] == spread["high"] else f"{low}–{ends[1]}"
    return Cell(write(spread["median"]), quartiles, None if random is None else write(random["median"]))


def tell_regions(layer: Facts, *, is_convolution: bool) -> dict[str, Any]:
    """A row on the regions of one layer."""
    regions, random = layer["regions"], layer["regions"]["random"] or {}
    ways: dict[str, Callable[[float], str]] = {
        "area": wording.percent,
        "pieces": "{:.0f}".format,
        "overlap": "{:.2f}".format,
    }
    return {
        "name": layer["name"], "dead": layer["dead"],
        "units": wording.number_of(layer["units"], noun_of(layer, is_convolution=is_convolution)),
        **{key: _cell(regions[key], random.get(key), write) for key, write in ways.items()},
    }  # fmt: skip


def tell_features(layer: Facts, *, is_convolution: bool) -> dict[str, Any]:
    """A row on the features of one layer."""
    features, random = layer["features"], layer["features"]["random"] or {}
    ways: dict[str, Callable[[float], str]] = {
        "edge_likeness": "{:.2f}".format, "frequency": "{:.1f}".format, "selectivity": "{:.2f}".format,
    }  # fmt: skip
    return {
        "name": layer["name"],
        "units": wording.number_of(layer["units"], noun_of(layer, is_convolution=is_convolution)),
        **{key: _cell(features[key], random.get(key), write) for key, write in ways.items()},
    }


def say_features(layers: Sequence[Facts]) -> dict[str, Any]:
    """A network of one layer has no depth to speak of: what its units are is said instead."""
    features = layers[-1]["features"]
    edges, selectivity = features["edge_likeness"], features["selectivity"]
    said = [
        *([f"{wording.percent(edges['median'])} of its pattern is one edge or patch of stripes"] if edges else []),
        *([f"its values part the classes with a selectivity of {selectivity['median']:.2f}"] if selectivity else []),
    ]
    who = "The neuron" if layers[-1]["units"] == 1 else "A typical neuron"
    text = f"{who} in numbers: {', and '.join(said)}." if said else "No neuron tells the classes apart."
    return {"text": text, "rule": None, "number": None}


def lay_out(changes: Sequence[Facts], margin: float) -> dict[str, Any]:
    """Places from 0 to 100 along a strip that is symmetric about nought, for changes, nought and the margin.

    Example
    -------
    >>> strip = lay_out([{"estimate": -0.05, "low": -0.1, "high": 0.0}], 0.02)
    >>> [round(place, 1) for place in strip["places"][0]], strip["zero"]
    ([2.8, 26.4, 50.0], 50)
    """
    reach = 1.06 * max([abs(change[end]) for change in changes for end in ("low", "high")] + [margin, 1e-6])

    def place(value: float) -> float:
        return float(50 + 50 * value / reach)

    return {
        "places": [[place(change[key]) for key in ("low", "estimate", "high")] for change in changes],
        "zero": 50,
        "margin_low": place(-margin),
        "margin_high": place(margin),
    }
