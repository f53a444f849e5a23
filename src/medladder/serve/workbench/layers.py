"""Walk through the layers of a network, unit by unit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import Response

from medladder.language import tr
from medladder.models.looking import read_inspection
from medladder.record.folder import StudyFolder
from medladder.report import tiles, wording
from medladder.report.layer_tables import count_units, name_layer, noun_of
from medladder.report.page import read_examples
from medladder.report.regions_figure import Picture, draw_outlines

from .frame import describe_study, draw_page, study_named

router = APIRouter(include_in_schema=False)

_ROWS = 256


@router.get("/study/{name}/layers")
async def layers(request: Request, name: str) -> Response:
    """Walk through the layers of a network, unit by unit."""

    def draw() -> tuple[str, dict[str, Any]]:
        one = study_named(request, name)
        names = {"title": name, "study": describe_study(one, request)}
        return "layers.html.j2", {**names, **walk_layers(one.folder, request.url.path, request.query_params)}

    return await draw_page(request, draw)


def walk_layers(folder: StudyFolder, at: str, asked: Any) -> dict[str, Any]:
    """One layer of one network, and one unit of it.

    Raises
    ------
    StudyError
        It was not looked into.
    """
    found = read_inspection(folder.path, asked.get("rung"))
    layers, cohort = found["layers"], folder.read_cohort()
    names = [layer["name"] for layer in layers]
    here = names.index(asked["layer"]) if asked.get("layer") in names else 0
    layer, is_convolution = layers[here], found["kind"] == "cnn"

    def address(place: int, unit: int | None = None) -> str:
        query: dict[str, Any] = {"rung": found["rung"], "layer": names[place]}
        return f"{at}?{urlencode(query if unit is None else {**query, 'unit': unit})}"

    shown = layer["features"]["shown"]
    order = sorted(range(layer["units"]), key=lambda unit: -(layer["features"]["by_unit"]["importance"][unit] or 0))
    given = asked.get("unit", "")
    first = shown[0]["unit"] if shown else order[0]
    unit = int(given) if given.isascii() and given.isdigit() and int(given) < layer["units"] else first
    drawn = tiles.embed_tiles(folder.pictures, [one["tile"] for one in shown])
    probe = layer["probe"] and tr(
        "A linear classifier on what this layer gives tells the classes apart with an AUROC of {auroc}.",
        auroc=wording.estimate_with_span(layer["probe"]["auroc"]),
    )
    return {
        "rungs": sorted([found["rung"], *found["others"]]),
        "chosen": found["rung"],
        "walk": [
            {
                "address": address(place),
                "name": name_layer(one["name"]),
                "units": count_units(one, noun_of(one, is_convolution=is_convolution)),
                "area": one["regions"]["area"] and wording.percent(one["regions"]["area"]["median"]),
                "is_here": place == here,
            }
            for place, one in enumerate(layers)
        ],
        "before": address(here - 1) if here else None,
        "after": address(here + 1) if here + 1 < len(layers) else None,
        "layer": {"name": name_layer(layer["name"])},
        "probe": probe,
        "units": [
            {**one, "address": address(here, one["unit"]), "tile": tile, "is_here": one["unit"] == unit}
            for one, tile in zip(shown, drawn, strict=True)
        ],
        "unit": _show_unit(folder, cohort, layer, unit, dict(zip([one["unit"] for one in shown], drawn, strict=True))),
        "sides": tuple(cohort.image["shape"][1:3] if len(cohort.image["shape"]) == 4 else cohort.image["shape"][:2]),
        "columns": [tr("Unit"), *(title for title, _, _ in _unit_columns())],
        "table": [{"unit": one, "address": address(here, one), "cells": _cells(layer, one)} for one in order[:_ROWS]],
        "left_out": max(0, len(order) - _ROWS),
    }


def _unit_columns() -> list[tuple[str, str, str]]:
    """Title, part of the facts, key."""
    return [
        (tr("Importance"), "features", "importance"),
        (tr("Area"), "regions", "area"),
        (tr("Pieces"), "regions", "pieces"),
        (tr("Overlap"), "regions", "overlap"),
        (tr("Edge-likeness"), "features", "edge_likeness"),
        (tr("Class selectivity"), "features", "selectivity"),
        (tr("Favours"), "features", "favours"),
    ]


def _cells(layer: Mapping[str, Any], unit: int) -> list[str]:
    cells = []
    for _, part, key in _unit_columns():
        value = layer[part]["by_unit"][key][unit]
        if value is None or isinstance(value, str):
            cells.append(value or wording.ABSENT)
        elif key == "area":
            cells.append(wording.percent(value))
        else:
            cells.append(f"{value:.0f}" if key == "pieces" else f"{value:.2f}")
    return cells


def _show_unit(
    folder: StudyFolder, cohort: Any, layer: Mapping[str, Any], unit: int, drawn: Mapping[int, str | None]
) -> dict[str, Any]:
    region = next((one for one in layer["regions"]["shown"] if one["unit"] == unit), None)
    feature = next((one for one in layer["features"]["shown"] if one["unit"] == unit), None)
    outline, example, area = None, None, None
    if region is not None:
        path = (
            tiles.find(folder.pictures, region["on"])
            if region["slice"] is not None
            else _example(folder, cohort, feature)
        )
        example = None if path is None else tiles.embed_small(path)
        shape = cohort.image["shape"]
        sides = (shape[1], shape[2]) if len(shape) == 4 else (shape[0], shape[1])
        label = tr("The region that unit {n} looks at", n=unit)
        picture = None if example is None else Picture("example", "")
        outline = draw_outlines(region, sides, picture, name="region", label=label)
        area = wording.percent(region["area"])
    titles = [title for title, _, _ in _unit_columns()]
    return {
        "unit": unit,
        "tile": drawn.get(unit),
        "differs": feature is not None and feature["agreement"] is not None and feature["agreement"] < 0.5,
        "outline": outline,
        "example": example,
        "area": area,
        "examples": tiles.embed(folder.pictures, feature["examples"] or []) if feature is not None else [],
        "facts": list(zip(titles, _cells(layer, unit), strict=True)),
    }


def _example(folder: StudyFolder, cohort: Any, feature: Mapping[str, Any] | None) -> Path | None:
    """An example of the class that a unit favours."""
    examples = read_examples(folder.pictures, len(cohort.classes))
    classes = list(cohort.classes)
    if feature is not None and feature["favours"] in classes:
        examples = [examples[classes.index(feature["favours"])], *examples]
    return next((path for paths in examples for path in paths), None)
