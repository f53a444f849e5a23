"""The numbers of an inspection, layer by layer, as the page's tables and strips hold them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..language import Message, counted, phrase, tr, translate
from . import wording

Facts = Mapping[str, Any]


_NAMES = {"input": phrase("input"), "output": phrase("output")}


@dataclass(frozen=True)
class Cell:
    """A measure of one layer: its median over units, the quartiles, and the median at random weights."""

    median: str
    quartiles: str | None
    random: str | None


def noun_of(layer: Facts, *, is_convolution: bool) -> Message:
    """What a unit of a layer is called: a map of a convolution, else a node."""
    return phrase("map") if is_convolution and layer["name"] != "output" else phrase("node")


def name_layer(name: str) -> str:
    """A layer as the page names it: its first and last in words, the others by the name that code knows them by."""
    return translate(_NAMES.get(name, name))


def count_units(layer: Facts, noun: str) -> str:
    """How many units a layer has."""
    return translate(counted(layer["units"], "{n} {noun}", "{n} {noun}s", noun=noun))


def title_of(network: Facts, *, is_convolution: bool) -> str:
    """How deep a network is."""
    n = len(network["layers"]) - 1
    if n == 0:
        return translate(counted(network["layers"][0]["units"], "{n} neuron", "{n} neurons"))
    if is_convolution:
        return translate(counted(n, "{n} convolution and the output", "{n} convolutions and the output"))
    return translate(counted(n, "{n} hidden layer and the output", "{n} hidden layers and the output"))


def say_absent(facts: Facts, noun: str) -> str:
    """Why no region of a layer is drawn."""
    n, regions, shown = facts["units"], facts["regions"], len(facts["features"]["shown"])
    if facts["dead"] == n:
        return tr("No image excites any of its {units}: dead, they look nowhere.", units=count_units(facts, noun))
    if regions["like_noise"] >= n:
        text = counted(
            n,
            "Its only {noun} looks at no region that differs from noise, so none is drawn.",
            "None of its {n} {noun}s looks at a region that differs from noise, so none is drawn.",
            noun=noun,
        )
        return translate(text)
    return tr(
        "{like_noise} of its {n} {noun}s look at no region that differs from noise, the {shown} that matter most among "
        "them, so none is drawn.",
        like_noise=regions["like_noise"], n=n, noun=noun, shown=shown,
    )  # fmt: skip


def _cell(spread: Facts | None, random: Facts | None, write: Callable[[float], str]) -> Cell | None:
    if spread is None:
        return None
    ends = [write(spread["low"]), write(spread["high"])]
    low = ends[0].removesuffix("%").rstrip() if ends[1].endswith("%") else ends[0]
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
        "name": name_layer(layer["name"]), "dead": layer["dead"],
        "units": count_units(layer, noun_of(layer, is_convolution=is_convolution)),
        **{key: _cell(regions[key], random.get(key), write) for key, write in ways.items()},
    }  # fmt: skip


def tell_features(layer: Facts, *, is_convolution: bool) -> dict[str, Any]:
    """A row on the features of one layer."""
    features, random = layer["features"], layer["features"]["random"] or {}
    ways: dict[str, Callable[[float], str]] = {
        "edge_likeness": "{:.2f}".format, "frequency": "{:.1f}".format, "selectivity": "{:.2f}".format,
    }  # fmt: skip
    return {
        "name": name_layer(layer["name"]),
        "units": count_units(layer, noun_of(layer, is_convolution=is_convolution)),
        **{key: _cell(features[key], random.get(key), write) for key, write in ways.items()},
    }


def say_features(layers: Sequence[Facts]) -> dict[str, Any]:
    """A network of one layer has no depth to speak of: what its units are is said instead."""
    features = layers[-1]["features"]
    edges, selectivity = features["edge_likeness"], features["selectivity"]
    of_edges = (
        tr("{share} of its pattern is one edge or patch of stripes", share=wording.percent(edges["median"]))
        if edges
        else ""
    )
    of_classes = (
        tr(
            "its values part the classes with a selectivity of {selectivity}",
            selectivity=f"{selectivity['median']:.2f}",
        )
        if selectivity
        else ""
    )
    said = " · ".join(one for one in (of_edges, of_classes) if one)
    if not said:
        text = tr("No neuron tells the classes apart.")
    elif layers[-1]["units"] == 1:
        text = tr("The neuron in numbers: {said}.", said=said)
    else:
        text = tr("A typical neuron in numbers: {said}.", said=said)
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
