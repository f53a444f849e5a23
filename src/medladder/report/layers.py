"""«What each layer learned»: an inspection's numbers and pictures, made ready for the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ..architecture import ConvolutionLayer, Layer, dense_layers
from ..errors import StudyError
from ..language import counted, of_record, phrase, tr, translate
from ..record.cohort import CohortRecord
from ..record.folder import StudyFolder
from ..record.plan import Plan
from . import tiles, wording
from .growth import plan_layers
from .layer_tables import (
    count_units,
    lay_out,
    name_layer,
    noun_of,
    say_absent,
    say_features,
    tell_features,
    tell_regions,
    title_of,
)
from .palette import Look
from .probes_figure import draw_probes, place_of
from .regions_figure import Picture, choose_rows, draw_outlines, draw_spans
from .sketches import draw_marked, draw_parted

Facts = Mapping[str, Any]

DIFFERS = 0.5
"""Tiles whose beginnings in noise agree less are said to differ."""

_PICTURES_A_CLASS = 2


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
    """
    inspection = folder.read_inspection()
    if inspection is None:
        return {"is_there": False, "rules": []} if _has_network(plan) else None
    try:
        return _gather(inspection, folder, plan, cohort, looks, examples, _Rules(first_rule))
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise StudyError(
            found=f"inspection.json in {folder.path} is damaged ({type(error).__name__}: {error}).",
            needed="All fields of an inspection.",
            do="Delete it and run the study again with the same --out, which writes it anew.",
        ) from error


def _gather(
    inspection: Facts, folder: StudyFolder, plan: Plan, cohort: CohortRecord, looks: dict[str, Look],
    examples: Sequence[Sequence[Path]], rules: _Rules,
) -> dict[str, Any]:  # fmt: skip
    networks, structure, taper = (inspection[key] for key in ("networks", "structure", "taper"))
    gallery = _Gallery(examples, folder.pictures, cohort)
    room = tiles.choose_room(folder.pictures, networks)
    show = partial(
        _show, plan=plan, cohort=cohort, looks=looks, pictures=folder.pictures, gallery=gallery, room=room, rules=rules
    )
    shown = [show(networks[i], place) for place, i in enumerate(_order(networks))]
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
            {"text": wording.true_minus(of_record(one)), "rule": of_record(one, "rule"), "number": self._number(one)}
            for one in sentences
            if one["about"] == about
        ]

    def _number(self, sentence: Facts) -> int:
        rule = of_record(sentence, "rule")
        if rule not in self.texts:
            self.texts.append(rule)
        return self.first + self.texts.index(rule)


class _Gallery:
    """Examples that regions are outlined on: each stands once in the page, however often it is used."""

    def __init__(self, examples: Sequence[Sequence[Path]], kept: Path, cohort: CohortRecord) -> None:
        self.pictures: dict[str, str] = {}
        self._kept = kept
        self.shape: list[int] = cohort.image["shape"]
        self._classes = list(cohort.classes)
        at_most = _PICTURES_A_CLASS if len(cohort.classes) == 2 else 1
        self._paths = [list(paths[:at_most]) for paths in examples]

    @property
    def sides(self) -> tuple[int, int]:
        """Rows and columns of what an image shows."""
        rows, columns = self.shape[1:3] if len(self.shape) == 4 else self.shape[:2]
        return rows, columns

    def choose(self, class_: str, place: int, unit: Facts) -> Picture | None:
        """An example of a class; of volumes the slice that the inspection kept for this unit."""
        if class_ not in self._classes:
            return None
        examples = self._paths[self._classes.index(class_)]
        if unit["slice"] is not None:
            path = tiles.find(self._kept, unit["on"])
        else:
            path = examples[place % len(examples)] if examples else None
        if path is None:
            return None
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
    network: Facts, place: int, *, plan: Plan, cohort: CohortRecord, looks: dict[str, Look], pictures: Path,
    gallery: _Gallery, room: tuple[int, int], rules: _Rules,
) -> dict[str, Any]:  # fmt: skip
    planned = _plan(network, plan, cohort)
    layers, sentences = network["layers"], network["sentences"] or []
    look = replace(looks[network["rung"]], dash=())  # dashed are random weights
    is_convolution = any(isinstance(layer, ConvolutionLayer) for layer in planned or ())
    probes = draw_probes(network, look, name=f"probes-{place}")
    rows = choose_rows(len(layers))
    return {
        "key": place,
        "rung": network["rung"],
        "title": title_of(network, is_convolution=is_convolution),
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
        "region_table": [tell_regions(layer, is_convolution=is_convolution) for layer in layers],
        "tiles": [_show_tiles(layer, pictures, room, is_convolution=is_convolution) for layer in layers],
        "features": rules.say(sentences, "features") or [say_features(layers)],
        "feature_table": [tell_features(layer, is_convolution=is_convolution) for layer in layers],
        "probe": rules.say(sentences, "probe"),
        "probe_note": of_record(network, "probe_note") if network.get("probe_note") else None,
        "probes": probes,
        "parted": None if probes is None or planned is None else _draw_parted(network, planned, place),
        "separable": network["separable"],
        "extractor": None if network["extractor"] is None else _show_extractor(network["extractor"], plan.margin),
        "extractor_said": rules.say(sentences, "extractor"),
    }


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


def _show_row(
    network: Facts, layer: int, place: int, planned: tuple[Layer, ...] | None, gallery: _Gallery
) -> dict[str, Any]:
    """One layer's units in the network, and their regions on images."""
    facts = network["layers"][layer]
    shown = facts["regions"]["shown"]
    noun = noun_of(facts, is_convolution=isinstance((planned or [None])[0], ConvolutionLayer))
    layer_name = name_layer(facts["name"])
    name = f"{network['rung']}, {layer_name}"
    units = []
    for i, unit in enumerate(shown):
        class_ = facts["features"]["by_unit"]["favours"][unit["unit"]]
        picture = gallery.choose(class_, i, unit)
        area = wording.percent(unit["area"])
        pieces = translate(counted(round(unit["pieces"]), "{n} piece", "{n} pieces"))
        on = phrase("an empty frame") if picture is None else phrase("an image of class {name}", name=class_)
        label = tr(
            "{layer}, {noun} {i}: its region, {area} of the image in {pieces}, on {on}.",
            layer=name, noun=noun, i=unit["unit"], area=area, pieces=pieces, on=on,
        )  # fmt: skip
        units.append(
            {
                "svg": draw_outlines(
                    unit, gallery.sides, picture, name=f"outline-{place}-{layer}-{i}", label=label,
                ),
                "class": class_ if picture is not None else None,
                "area": area,
                "pieces": pieces,
                "slice": None if unit["slice"] is None else unit["slice"] + 1,
            }
        )  # fmt: skip
    label = tr("The network, {layer} outlined in red.", layer=name)
    return {
        "name": layer_name,
        "units": count_units(facts, noun),
        "dead": facts["dead"],
        "sketch": None
        if planned is None
        else draw_marked(planned, layer + 1, len(shown), name=f"marked-{place}-{layer}", label=label),
        "shown": units,
        "absent": None if shown else say_absent(facts, noun),
    }


def _show_tiles(layer: Facts, pictures: Path, room: tuple[int, int], *, is_convolution: bool) -> dict[str, Any]:
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
    noun = noun_of(layer, is_convolution=is_convolution)
    return {
        "name": name_layer(layer["name"]),
        "noun": noun,
        "of": count_units(layer, noun),
        "n_shown": len(units),
        "units": units if any(unit["tile"] or unit["examples"] for unit in units) else [],
        "absent": None if shown else tr("No image excites any of its {units}.", units=count_units(layer, noun)),
    }


def _draw_parted(network: Facts, planned: tuple[Layer, ...], place: int) -> str:
    last = place_of(network)
    names = ["input", *(layer["name"] for layer in network["layers"])]
    if last == 0:
        label = tr(
            "The network of {rung}: nothing boxed as feature extractor, all of it as classifier.", rung=network["rung"]
        )
    else:
        label = tr(
            "The network of {rung}: its layers up to {layer} boxed as feature extractor, the rest as classifier.",
            rung=network["rung"], layer=name_layer(names[-2 if last is None else min(last, len(names) - 2)]),
        )  # fmt: skip
    return draw_parted(planned, last, name=f"parted-{place}", label=label)


def _show_extractor(extractor: Facts, margin: float) -> dict[str, Any]:
    others = extractor["classifiers"] or []
    return {
        "layer": name_layer(extractor["layer"]),
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
