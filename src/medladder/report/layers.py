"""«What each layer learned»: an inspection's numbers and pictures, made ready for the page."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..architecture import ConvolutionLayer, Layer, dense_layers
from ..record.cohort import CohortRecord
from ..record.folder import StudyFolder
from ..record.plan import Plan
from . import tiles, wording
from .growth import plan_layers
from .palette import Look
from .probes_figure import draw_probes, place_of
from .regions_figure import Picture, choose_rows, draw_outlines, draw_spans
from .sketches import draw_marked, draw_parted

Facts = Mapping[str, Any]

DIFFERS = 0.5
"""Tiles whose beginnings in noise agree less are said to differ."""

_PICTURES_A_CLASS = 2


@dataclass(frozen=True)
class Cell:
    """A measure of one layer: its median over units, the quartiles, and the median at random weights."""

    median: str
    quartiles: str
    random: str | None


def gather_layers(
    folder: StudyFolder,
    plan: Plan,
    cohort: CohortRecord,
    looks: dict[str, Look],
    examples: Sequence[Sequence[Path]],
    *,
    first_rule: int,
) -> dict[str, Any] | None:
    """What the section's template names; None for a study without any network to look into.

    `first_rule` is the number of the first of this section's rules among those of the page.

    Raises
    ------
    StudyError
        inspection.json is damaged or of another protocol.
    """  # fmt: skip
    inspection = folder.read_inspection()
    if inspection is None:
        return {"is_there": False, "rules": []} if _has_network(plan) else None
    rules = _Rules(first_rule)
    networks, structure, taper = (inspection.get(key) for key in ("networks", "structure", "taper"))
    networks = networks or []
    gallery = _Gallery(examples, cohort)
    room = tiles.choose_room(folder.pictures, networks)
    order = _order(networks)
    shown = [
        _show(networks[i], place, plan, cohort, looks, folder, gallery, room, rules) for place, i in enumerate(order)
    ]
    return {
        "is_there": True,
        "n_train": inspection["n_train"],
        "networks": shown,
        "has_pictures": any(unit["tile"] for one in shown for row in one["tiles"] for unit in row["units"]),
        "gallery": gallery.pictures,
        "sides": gallery.sides,
        "structure": None if structure is None else _show_structure(structure, plan.margin, rules),
        "taper": None if taper is None else _show_taper(taper, rules),
        "rules": rules.texts,
    }


def _has_network(plan: Plan) -> bool:
    return any(planned.layers or planned.convolution for planned in plan.rungs)


class _Rules:
    """The rules behind the section's sentences, each with one number of the page's list."""

    def __init__(self, first: int) -> None:
        self.first = first
        self.texts: list[str] = []

    def say(self, sentences: Sequence[Facts], about: str) -> list[dict[str, Any]]:
        """The sentences about one thing, with the numbers of their rules."""
        return [
            {"text": wording.true_minus(one["text"]), "rule": one["rule"], "number": self._number(one["rule"])}
            for one in sentences
            if one["about"] == about
        ]

    def _number(self, rule: str) -> int:
        if rule not in self.texts:
            self.texts.append(rule)
        return self.first + self.texts.index(rule)


class _Gallery:
    """Examples that regions are outlined on: each stands once in the page, however often it is used."""

    def __init__(self, examples: Sequence[Sequence[Path]], cohort: CohortRecord) -> None:
        self.pictures: dict[str, str] = {}
        self.shape: list[int] = cohort.image["shape"]
        self._classes = list(cohort.classes)
        at_most = _PICTURES_A_CLASS if len(cohort.classes) == 2 else 1
        self._paths = [list(paths[:at_most]) for paths in examples]

    @property
    def sides(self) -> tuple[int, int]:
        """Rows and columns of what an image shows."""
        rows, columns = self.shape[1:3] if len(self.shape) == 4 else self.shape[:2]
        return rows, columns

    def choose(self, class_: str, place: int, slice_: int | None) -> Picture | None:
        """An example of a class; of volumes only the middle slice is at hand."""
        if class_ not in self._classes or (slice_ is not None and slice_ != self.shape[0] // 2):
            return None
        label = self._classes.index(class_)
        paths = self._paths[label]
        if not paths:
            return None
        path = paths[place % len(paths)]
        key = f"layers-{path.stem}"
        if key not in self.pictures:
            self.pictures[key] = tiles.embed_small(path)
        return Picture(key, class_)


def _order(networks: Sequence[Facts]) -> list[int]:
    """The deepest plain network first, as it is the one the lecture speaks of; the others as they were planned."""
    if not networks:
        return []
    plain = [i for i, network in enumerate(networks) if network["kind"] == "dnn"] or list(range(len(networks)))
    first = max(plain, key=lambda i: len(networks[i]["layers"]))
    return [first, *(i for i in range(len(networks)) if i != first)]


def _show(
    network: Facts, place: int, plan: Plan, cohort: CohortRecord, looks: dict[str, Look], folder: StudyFolder,
    gallery: _Gallery, room: tuple[int, int], rules: _Rules,
) -> dict[str, Any]:  # fmt: skip
    planned = _plan(network, plan, cohort)
    look, layers, sentences = looks[network["rung"]], network["layers"], network["sentences"] or []
    is_convolution = any(isinstance(layer, ConvolutionLayer) for layer in planned or ())
    probes = draw_probes(network, look, name=f"probes-{place}")
    rows = choose_rows(len(layers))
    return {
        "key": place,
        "rung": network["rung"],
        "title": _title(network, is_convolution=is_convolution),
        "is_first": place == 0,
        "is_convolution": is_convolution,
        "members": network["members"],
        "images": network["images"],
        "measured": len(network["networks"] or []),
        "rows": [_show_row(network, layer, place, planned, gallery) for layer in rows],
        "left_out": len(layers) - len(rows),
        "has_slices": len(gallery.shape) == 4,
        "regions": rules.say(sentences, "regions"),
        "spans": draw_spans(network, look, name=f"spans-{place}"),
        "region_table": [_tell_regions(layer) for layer in layers],
        "tiles": [_show_tiles(layer, folder.pictures, room, is_convolution) for layer in layers],
        "features": rules.say(sentences, "features") or [_say_features(layers)],
        "feature_table": [_tell_features(layer) for layer in layers],
        "probe": rules.say(sentences, "probe"),
        "probe_note": network.get("probe_note"),
        "probes": probes,
        "parted": None if probes is None or planned is None else _draw_parted(network, planned, place),
        "separable": network["separable"],
        "extractor": None if network["extractor"] is None else _show_extractor(network["extractor"], plan.margin),
        "extractor_said": rules.say(sentences, "extractor"),
    }


def _title(network: Facts, *, is_convolution: bool) -> str:
    n = len(network["layers"]) - 1
    if n == 0:
        return wording.number_of(network["layers"][0]["units"], "neuron")
    what = "convolution" if is_convolution else "hidden layer"
    return f"{wording.number_of(n, what)} and the output"


def _plan(network: Facts, plan: Plan, cohort: CohortRecord) -> tuple[Layer, ...] | None:
    """The layers as they are drawn: as planned where the plan tells them, else by their node counts."""
    shape, n_classes = cohort.image["shape"], len(cohort.classes)
    n_layers = len(network["layers"]) + 1
    for planned in plan.rungs:
        if planned.rung == network["rung"]:
            layers = plan_layers(planned, shape, n_classes)
            if layers is not None and len(layers) == n_layers:
                return layers
    if network["kind"] == "cnn":
        return None
    return dense_layers(shape, [layer["units"] for layer in network["layers"][:-1]], n_classes)


def _noun(layer: Facts, *, is_convolution: bool) -> str:
    return "map" if is_convolution and layer["name"] != "output" else "node"


def _show_row(
    network: Facts, layer: int, place: int, planned: tuple[Layer, ...] | None, gallery: _Gallery
) -> dict[str, Any]:
    """One layer's units in the network, and their regions on images."""
    facts = network["layers"][layer]
    shown = facts["regions"]["shown"]
    noun = _noun(facts, is_convolution=isinstance((planned or [None])[0], ConvolutionLayer))
    name = f"{network['rung']}, {facts['name']}"
    units = []
    for i, unit in enumerate(shown):
        class_ = facts["features"]["by_unit"]["favours"][unit["unit"]]
        picture = gallery.choose(class_, i, unit["slice"])
        area, pieces = wording.percent(unit["area"]), wording.number_of(round(unit["pieces"]), "piece")
        on = "an empty frame" if picture is None else f"an image of class {class_}"
        units.append(
            {
                "svg": draw_outlines(
                    unit, gallery.sides, picture, name=f"outline-{place}-{layer}-{i}",
                    label=f"{name}, {noun} {unit['unit']}: its region, {area} of the image in {pieces}, on {on}.",
                ),
                "class": class_ if picture is not None else None,
                "area": area,
                "pieces": pieces,
                "slice": None if unit["slice"] is None else unit["slice"] + 1,
            }
        )  # fmt: skip
    label = f"The network of {name} outlined in red."
    return {
        "name": facts["name"],
        "units": wording.number_of(facts["units"], noun),
        "dead": facts["dead"],
        "sketch": None
        if planned is None
        else draw_marked(planned, layer + 1, len(shown), name=f"marked-{place}-{layer}", label=label),
        "shown": units,
        "absent": None if shown else _say_absent(facts, noun),
    }


def _say_absent(facts: Facts, noun: str) -> str:
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
    return Cell(write(spread["median"]), f"{low}–{ends[1]}", None if random is None else write(random["median"]))


def _tell_regions(layer: Facts) -> dict[str, Any]:
    regions, random = layer["regions"], layer["regions"]["random"] or {}
    ways: dict[str, Callable[[float], str]] = {
        "area": wording.percent,
        "pieces": "{:.0f}".format,
        "overlap": "{:.2f}".format,
    }
    return {
        "name": layer["name"], "units": layer["units"], "dead": layer["dead"],
        **{key: _cell(regions[key], random.get(key), write) for key, write in ways.items()},
    }  # fmt: skip


def _tell_features(layer: Facts) -> dict[str, Any]:
    features, random = layer["features"], layer["features"]["random"] or {}
    ways: dict[str, Callable[[float], str]] = {
        "edge_likeness": "{:.2f}".format, "frequency": "{:.1f}".format, "selectivity": "{:.2f}".format,
    }  # fmt: skip
    return {"name": layer["name"], **{key: _cell(features[key], random.get(key), write) for key, write in ways.items()}}


def _say_features(layers: Sequence[Facts]) -> dict[str, Any]:
    """A network of one layer has no depth to speak of: what its units are is said instead."""
    features = layers[-1]["features"]
    edges, selectivity = features["edge_likeness"], features["selectivity"]
    said = [
        *([f"a share of {edges['median']:.2f} of its pattern is one edge or stripe"] if edges else []),
        *(
            [f"its values tell the classes apart with a selectivity of {selectivity['median']:.2f}"]
            if selectivity
            else []
        ),
    ]
    whose = "Of its neuron" if layers[-1]["units"] == 1 else "Of a typical neuron"
    text = f"{whose} {', and '.join(said)}." if said else "No neuron tells the classes apart."
    return {"text": text, "rule": None, "number": None}


def _show_tiles(layer: Facts, pictures: Path, room: tuple[int, int], is_convolution: bool) -> dict[str, Any]:
    n_units, n_examples = room
    shown = layer["features"]["shown"]
    drawn = shown[:n_units]
    embedded = tiles.embed_tiles(pictures, [unit["tile"] for unit in drawn])
    units = []
    for unit, tile in zip(drawn, embedded, strict=True):
        agreement = unit["agreement"]
        units.append(
            {
                "unit": unit["unit"],
                "tile": tile,
                "examples": tiles.embed(pictures, (unit["examples"] or [])[:n_examples]),
                "favours": unit["favours"],
                "differs": agreement is not None and not math.isnan(agreement) and agreement < DIFFERS,
            }
        )
    noun = _noun(layer, is_convolution=is_convolution)
    return {
        "name": layer["name"],
        "noun": noun,
        "of": wording.number_of(layer["units"], noun),
        "n_shown": len(units),
        "units": units if any(unit["tile"] or unit["examples"] for unit in units) else [],
        "absent": None if shown else f"No image excites any of its {wording.number_of(layer['units'], noun)}.",
    }


def _draw_parted(network: Facts, planned: tuple[Layer, ...], place: int) -> str:
    last = place_of(network)
    names = ["input", *(layer["name"] for layer in network["layers"])]
    upto = "nothing" if last == 0 else f"its layers up to {names[-2 if last is None else min(last, len(names) - 2)]}"
    label = f"The network of {network['rung']}: {upto} boxed as feature extractor, the rest as classifier."
    return draw_parted(planned, last, name=f"parted-{place}", label=label)


def _show_extractor(extractor: Facts, margin: float) -> dict[str, Any]:
    others = extractor["classifiers"] or []
    return {
        "layer": extractor["layer"],
        "end_to_end": extractor["end_to_end"],
        "strip": lay_out([other["against_end_to_end"] for other in others], margin),
        "rows": others,
    }


def _show_structure(structure: Facts, margin: float, rules: _Rules) -> dict[str, Any] | None:
    rungs = structure["rungs"] or []
    return {
        "n_train": structure["n_train"],
        "rows": rungs,
        "strip": lay_out([one["change"] for one in rungs], margin),
        "said": rules.say(structure["sentences"] or [], "structure"),
    }


def _show_taper(taper: Facts, rules: _Rules) -> dict[str, Any]:
    return {**taper, "said": rules.say(taper["sentences"] or [], "taper")}


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
        return 50 + 50 * value / reach

    return {
        "places": [[place(change[key]) for key in ("low", "estimate", "high")] for change in changes],
        "zero": 50,
        "margin_low": place(-margin),
        "margin_high": place(margin),
    }
