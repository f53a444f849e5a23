"""What the pages of the workbench show: from a study's files and what was asked, to the names of a template."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from medladder.architecture import SIDES, Budget, convolution_layers, count, dense_layers, tapered_widths
from medladder.audit.gallery import show_near_pairs
from medladder.audit.mending import judged, write_manifest
from medladder.audit.places import folder_of
from medladder.errors import InputError, OptionError
from medladder.evidence.exploring import Acting
from medladder.evidence.forecast import Span
from medladder.language import counted, speaking, spoken, tr, translate
from medladder.models.looking import read_inspection
from medladder.record.folder import StudyFolder
from medladder.report import tiles, wording
from medladder.report.diagrams import draw_network
from medladder.report.feature_maps import draw_feature_maps
from medladder.report.figures import draw_scores
from medladder.report.layer_tables import count_units, name_layer, noun_of
from medladder.report.page import read_examples, say_scores
from medladder.report.palette import choose_looks
from medladder.report.regions_figure import Picture, draw_outlines
from medladder.report.tables import choose_size, list_rungs

from .runs import Runs
from .shelf import Shelved

Asked = Mapping[str, str]

_PAIRS_A_PAGE = 60
_ROWS = 256


# Studies and models


def model_row(one: Shelved) -> dict[str, Any]:
    """A model in the list."""
    try:
        record = one.model.record
    except InputError as error:
        return {"name": one.name, "problem": error.found}
    n, known = record.training["patients"], record.training["patients_known"]
    trained = counted(n, "{n} patient", "{n} patients") if known else counted(n, "{n} image", "{n} images")
    return {
        "name": one.name,
        "problem": None,
        "rung": record.rung["rung"],
        "classes": record.classes,
        "trained_on": tr("{images} of {cohort}", images=trained, cohort=record.training["cohort"]["name"]),
    }


def score_of(evidence: Mapping[str, Any]) -> dict[str, float] | None:
    """The AUROC of the recommended rung at its largest size."""
    points = next(one["points"] for one in evidence["rungs"] if one["rung"] == evidence["verdict"]["recommended"])
    return points[-1]["auroc"] if points else None


def draw_curves(folder: StudyFolder, shown: Sequence[str] | None) -> dict[str, Any]:
    """The scores of some rungs, in the colours that they have among all; None is all."""
    stamp = (folder.path / "evidence.json").stat().st_mtime_ns
    names = None if shown is None else tuple(shown)
    return _drawn(str(folder.path), stamp, names, spoken())


@lru_cache(maxsize=256)
def _drawn(path: str, _stamp: int, shown: tuple[str, ...] | None, language: str) -> dict[str, Any]:
    evidence = StudyFolder(path).read_evidence()
    looks = choose_looks(evidence["rungs"])
    rungs = [one for one in evidence["rungs"] if shown is None or one["rung"] in shown]
    picked = {**evidence, "rungs": rungs}
    sizes = sorted({point["n_train"] for one in rungs for point in one["points"]})
    if not sizes:
        return {"scores": None, "sizes": []}
    compared = max(sizes) if shown is not None else choose_size(evidence, sizes)
    with speaking(language):
        said = say_scores(list_rungs(picked, compared), compared, evidence["unit"])
        return {"scores": draw_scores(picked, sizes, looks, label=said), "sizes": sizes}


def draw_report(folder: StudyFolder, language: str) -> str:
    """The study's own page; drawn once for what stands in the folder."""
    files = (folder.path / name for name in ("evidence.json", "inspection.json"))
    stamps = tuple(file.stat().st_mtime_ns if file.exists() else 0 for file in files)
    return _report(str(folder.path), stamps, language)


@lru_cache(maxsize=16)
def _report(path: str, _stamps: tuple[int, ...], language: str) -> str:
    from medladder.report.page import render

    return render(StudyFolder(path), language=language)


# Evidence


def ask_evidence(one: Shelved, asked: Any) -> dict[str, Any]:
    """Patients for a score, and acting from a threshold on.

    Raises
    ------
    StudyError
        It has not been weighed.
    """
    evidence = one.folder.read_evidence()
    scored = [rung["rung"] for rung in evidence["rungs"] if rung["points"]]
    recommended, last = evidence["verdict"]["recommended"], score_of(evidence)
    chosen = asked.get("rung", recommended)
    shown = [name for name in asked.getlist("show") if name in scored] or scored
    positive = evidence["positive"]
    names: dict[str, Any] = {
        "rungs": scored,
        "scored": [name for name in scored if not _is_floor(evidence, name)] or scored,
        "shown": shown,
        "chosen": chosen,
        "positive": positive,
        "unit": wording.UNITS[evidence["unit"]],
        "n_train": choose_size(evidence, sorted({p["n_train"] for rung in evidence["rungs"] for p in rung["points"]})),
        "target": round(min((last["estimate"] if last else 0.8) + 0.02, 0.99), 3),
        "threshold": 0.5,
        "prevalence": round(_prevalence(evidence), 3),
        "acting": None,
    }
    try:
        for name in ("target", "threshold", "prevalence"):
            if name in asked:
                names[name] = _number(name, asked[name])
        needed = one.explored.needed(chosen, names["target"])
        names["needed_said"] = _say_needed(evidence, chosen, names["target"], needed)
        if positive is not None:
            acting = one.explored.acting(chosen, names["n_train"], names["threshold"], names["prevalence"])
            names |= _tell_acting(acting, names["prevalence"])
    except OptionError as error:
        return {**names, "error": error}
    return {**names, **draw_curves(one.folder, shown)}


def _is_floor(evidence: Mapping[str, Any], rung: str) -> bool:
    return any(one["rung"] == rung and one["family"] == "floor" for one in evidence["rungs"])


def _prevalence(evidence: Mapping[str, Any]) -> float:
    counts = evidence["n_test"]["per_class"]
    return min(max(counts[-1] / max(sum(counts), 1), 0.001), 0.999)


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < 1:
        raise OptionError(found=f"{name}={text[:20]}.", needed="A number between 0 and 1.", do="Give one, such as 0.9.")
    return value


def _say_needed(evidence: Mapping[str, Any], rung: str, target: float, needed: Span | None) -> str:
    unit = wording.UNITS[evidence["unit"]]
    if needed is None:
        return tr("One size was run, so {rung} has no curve to continue: run the study at more sizes.", rung=rung)
    measured = max(p["n_train"] for one in evidence["rungs"] if one["rung"] == rung for p in one["points"])
    if needed.low is None:
        return tr(
            "{rung} is not expected to reach {target} with up to {n} training {unit}s.",
            rung=rung, target=f"{target:.3f}", n=10 * measured, unit=unit,
        )  # fmt: skip
    if needed.high is None:
        return tr(
            "{rung} needs at least {low} training {unit}s for {target}; within {n} it may not reach it at all.",
            rung=rung, low=needed.low, target=f"{target:.3f}", n=10 * measured, unit=unit,
        )  # fmt: skip
    return tr(
        "{rung} needs {low} to {high} training {unit}s for {target}.",
        rung=rung, low=needed.low, high=needed.high, target=f"{target:.3f}", unit=unit,
    )  # fmt: skip


def _tell_acting(acting: Acting | None, prevalence: float) -> dict[str, Any]:
    if acting is None:
        return {}
    at = acting.at
    rows = [
        (tr("Sensitivity"), acting.sensitivity.to_json()),
        (tr("Specificity"), acting.specificity.to_json()),
        (tr("PPV"), at.ppv.to_json()),
        (tr("NPV"), at.npv.to_json()),
        (tr("Net benefit"), at.net_benefit.to_json()),
    ]
    sick = 1000 * prevalence
    caught = sick * acting.sensitivity.estimate
    called = caught + (1000 - sick) * (1 - acting.specificity.estimate)
    out_of = {
        "sick": round(sick),
        "caught": round(caught),
        "called": round(called),
        "missed": round(sick) - round(caught),
    }
    return {"acting": rows, "signed": True, "out_of": out_of}


# Layers


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


# Try it


def say_decision(one: Shelved) -> str:
    """From which probability on it decides so, and whether the probabilities were calibrated."""
    asked = one.answering()
    sentences = []
    if len(asked.classes) == 2:
        threshold = asked.weights[1] / sum(asked.weights)
        sentences.append(
            tr(
                "It decides for {class_} from a probability of {threshold} on.",
                class_=asked.classes[1],
                threshold=f"{threshold:.2f}",
            )
        )
    if one.is_study:
        sentences.append(
            tr(
                "This is the network that the study kept of its first repeat, {rung}, and not calibrated: to use one, "
                "make a model of it.",
                rung=one.network.name,
            )
        )
    return " ".join(sentences)


# Budget


def count_budget(asked: Any) -> dict[str, Any]:
    """A dense network beside a convolutional one, on images of one size and as they grow."""
    chosen = {
        "side": _whole(asked, "side", 64, 16, 512),
        "nodes": _whole(asked, "nodes", 256, 16, 1024),
        "layers": _whole(asked, "layers", 3, 1, 6),
        "width": _whole(asked, "width", 64, 8, 256),
        "taper": _share(asked, "taper", 0.5),
        "colour": asked.get("colour") == "1",
        "volume": asked.get("volume") == "1",
    }
    widths = tapered_widths(chosen["nodes"], chosen["layers"], chosen["taper"])

    def shape(side: int) -> tuple[int, ...]:
        grid = (side,) * (3 if chosen["volume"] else 2)
        return (*grid, 3) if chosen["colour"] else (*grid, 1) if chosen["volume"] else grid

    def budgets(side: int) -> tuple[Budget, Budget]:
        dense = count(dense_layers(shape(side), widths))
        return dense, count(convolution_layers(shape(side), width=chosen["width"], depth=None, n_classes=2))

    names, here = (tr("Dense"), tr("Convolutional")), budgets(chosen["side"])
    planned = convolution_layers(shape(chosen["side"]), width=chosen["width"], depth=None, n_classes=2)
    nodes = [layer.nodes for layer in dense_layers(shape(chosen["side"]), widths)]
    pictures = (
        draw_network(
            nodes, name="dense", label=tr("The dense network: {nodes} nodes.", nodes=" → ".join(map(str, nodes)))
        ),
        draw_feature_maps(planned, name="convolutional", label=tr("The convolutional network, stage by stage.")),
    )
    ratio = here[0].parameters / here[1].parameters
    said = (
        tr(
            "On {side}² the dense network has {times} times the parameters of the convolutional one.",
            side=chosen["side"],
            times=wording.ratio(ratio),
        )
        if not chosen["volume"]
        else tr(
            "On {side}³ the dense network has {times} times the parameters of the convolutional one.",
            side=chosen["side"],
            times=wording.ratio(ratio),
        )
    )
    sides = sorted({*(side for side in SIDES if side <= (128 if chosen["volume"] else 512)), chosen["side"]})
    grown = {side: budgets(side) for side in sides}
    most = max(math.log10(one.parameters) for pair in grown.values() for one in pair)
    return {
        "title": tr("Budget"),
        "asked": chosen,
        "said": said,
        "networks": [
            {
                "name": name,
                "parameters": wording.large(one.parameters),
                "multiply_adds": wording.large(one.multiply_adds),
                "model": _bytes(one.model_bytes),
                "training": _bytes(one.training_bytes or 0),
                "svg": svg,
            }
            for name, one, svg in zip(names, here, pictures, strict=True)
        ],
        "growth": [
            {
                "side": f"{side}{'³' if chosen['volume'] else '²'}",
                "is_here": side == chosen["side"],
                "bars": [
                    {
                        "kind": kind,
                        "share": 100 * math.log10(one.parameters) / most,
                        "said": wording.large(one.parameters),
                    }
                    for kind, one in zip(("dense", "convolutional"), pair, strict=True)
                ],
            }
            for side, pair in grown.items()
        ],
    }


def _whole(asked: Asked, name: str, usual: int, least: int, most: int) -> int:
    text = asked.get(name, "")
    return min(max(int(text), least), most) if text.isascii() and text.isdigit() and len(text) < 9 else usual


def _share(asked: Asked, name: str, usual: float) -> float:
    try:
        value = float(asked.get(name, usual))
    except ValueError:
        return usual
    return min(max(value, 0.25), 1.0) if math.isfinite(value) else usual


def _bytes(number: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number / 1e3:.0f} kB"


# Audit


def show_audit(one: Shelved, runs: Runs | None, asked: Any, at: str) -> dict[str, Any]:
    """What the audit found, and pairs to judge; while near copies are looked for, that they are."""
    if not one.audit.is_over():
        return {"searching": True, "findings": None}
    cohort, near, findings = one.audit.result()
    first = _whole(asked, "from", 0, 0, max(0, len(near.pairs) - 1)) if len(near.pairs) else 0
    more = first + _PAIRS_A_PAGE
    folder = folder_of(cohort)
    return {
        "searching": False,
        "findings": [
            {"severity": found.severity, "message": translate(found.message), "action": translate(found.action)}
            for found in findings
        ],
        "n_pairs": len(near.pairs),
        "pairs": show_near_pairs(cohort, near, first, _PAIRS_A_PAGE),
        "more": f"{at}?from={more}" if more < len(near.pairs) else None,
        "choices": [
            ("keep", tr("two patients")),
            ("join", tr("one patient")),
            ("drop", tr("leave the second out")),
        ],
        "may_write": runs is not None and folder is not None and folder.resolve().is_relative_to(runs.root),
    }


def mend(one: Shelved, runs: Runs | None, given: Sequence[tuple[str, str]]) -> str:
    """Write the manifest that was asked for, and say what it holds.

    Raises
    ------
    OptionError
        It may not be written from here, or its name is none.
    CohortError
        It is there already.
    """
    cohort, near, _ = one.audit.result()
    folder, name = folder_of(cohort), dict(given).get("manifest", "")
    if runs is None or folder is None or not folder.resolve().is_relative_to(runs.root):
        raise OptionError(
            found="The images lie outside --root.", needed="A --root above them.", do="Start the server with it."
        )
    if Path(name).name != name or not name.endswith(".csv") or name.startswith("."):
        raise OptionError(found=f"The name '{name[:80]}'.", needed="A name such as labels-mended.csv.", do="Write one.")
    places = {key.removeprefix("pair-"): value for key, value in given if key.startswith("pair-")}
    chosen = {int(key): value for key, value in places.items() if key.isascii() and key.isdigit() and len(key) < 9}
    within = {key: value for key, value in chosen.items() if key < len(near.pairs)}
    dropped = [int(near.pairs[key, 1]) for key, value in within.items() if value == "drop"]
    joined = [key for key, value in within.items() if value == "join"]
    mended = judged(cohort, near, dropped=dropped, joined=joined)
    write_manifest(cohort, mended, folder / name)
    n_kept = int(mended.kept.sum())
    return tr(
        "{name} is written, with {kept} of {all} images. Start a study on it, or: medladder study {name}",
        name=name, kept=n_kept, all=len(mended.kept),
    )  # fmt: skip


# Start a study


def start(runs: Runs, fields: Asked, rungs: Sequence[str], language: str) -> None:
    """Start what a form asks for; raises OptionError for what is none."""
    from medladder.rungs import LADDER

    known = [rung.name for rung in LADDER]
    chosen = [name for name in known if name in rungs]
    if not chosen:
        raise OptionError(found="No rung.", needed="At least one.", do="Choose one or more.")
    repeats = fields.get("repeats", "10")
    if not (repeats.isascii() and repeats.isdigit() and 1 <= int(repeats[:4]) <= 100):
        raise OptionError(found=f"{repeats[:20]} redraws.", needed="A number from 1 to 100.", do="Change it.")
    words = ["--rungs", ",".join(chosen), "--repeats", repeats, "--lang", language]
    sizes = "".join(fields.get("sizes", "").split())
    if sizes:
        if not all(part == "all" or (part.isascii() and part.isdigit()) for part in sizes.split(",")):
            raise OptionError(found=f"Sizes {sizes[:40]}.", needed="Numbers, as 50,200,all.", do="Change them.")
        words += ["--sizes", sizes]
    runs.start(fields.get("name", ""), fields.get("path", ""), words)
