"""The page, put together: everything on it is read from the study's files."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib import image as raster

from ..architecture import ConvolutionLayer
from ..evidence.errors import OF_A_KIND
from ..evidence.reading import with_parts
from ..language import Message, counted, join, phrase, speaking, tr, translate
from ..record.cohort import CohortRecord
from ..record.folder import StudyFolder
from ..record.plan import Plan, PlannedRung
from . import html, saying, tables, wording
from .ahead import gather_ahead
from .checklists import STATUSES, Study, answer_checklists
from .diagrams import draw_network
from .feature_maps import draw_feature_maps
from .figures import draw_scores, floors_below
from .flow import count_flow, draw_flow
from .growth import count_variants, draw_growth, grow, plan_layers
from .layers import gather_layers
from .palette import Look, choose_looks, dark_rules
from .paper import gather_paper
from .portrait import gather_portrait
from .rerun import write_commands
from .unrolling import describe_size, draw_unrolling

GRADES = {
    "shown": phrase("Shown by these data"),
    "not contradicted": phrase("Not contradicted by these data"),
    "cannot tell": phrase("These data cannot tell"),
}
SEVERITIES = {"stop": phrase("stop"), "warning": phrase("warning"), "note": phrase("note")}
_ADDED = {"rungs": phrase("rungs"), "sizes": phrase("sizes"), "repeats": phrase("repeats")}
_PICTURE_BYTES = 1_200_000  # of examples on one page, before base64: the page stays well under 3 MB
_PICTURES_A_CLASS = 6
_ERROR_BYTES = 700_000  # of the worst errors' pictures, likewise; what has no room is listed without


def write_report(run: StudyFolder | str | os.PathLike[str], *, language: str = "en") -> Path:
    """Draw report.html from what the study left on disk; the same files give the same bytes.

    `language` is a code of `language.LANGUAGES`.

    Raises
    ------
    StudyError
        The folder holds no study, its evidence has not been weighed, or it cannot be written.
    OptionError
        No such language.
    """
    folder = run if isinstance(run, StudyFolder) else StudyFolder(run)
    folder.write_bytes(folder.report.name, render(folder, language=language).encode("utf-8"))
    return folder.report


def render(folder: StudyFolder, *, language: str = "en") -> str:
    """The page as text."""
    plan, cohort, evidence = folder.read_plan(), folder.read_cohort(), folder.read_evidence()
    with speaking(language):
        return html.render("page.html.j2", _gather(folder, plan, cohort, evidence))


def _gather(folder: StudyFolder, plan: Plan, cohort: CohortRecord, evidence: dict[str, Any]) -> dict[str, Any]:
    """What the templates name."""
    looks = choose_looks(evidence["rungs"])
    sizes = sorted({point["n_train"] for rung in evidence["rungs"] for point in rung["points"]})
    compared = tables.choose_size(evidence, sizes) if sizes else 0
    rows = tables.list_rungs(evidence, compared) if sizes else []
    examples = read_examples(folder.pictures, len(cohort.classes))
    finding = say_scores(rows, compared, evidence["unit"])
    points = [point for rung in evidence["rungs"] for point in rung["points"]]
    parts = tables.count_parts(cohort, plan.folds)
    networks = _draw_networks(plan, cohort, evidence, compared)
    parameters = saying.list_parameters(rows, networks, compared)
    n_rules = len(evidence["verdict"]["sentences"]) + len(evidence["verdict"]["warnings"])
    flow = count_flow(cohort, parts)
    portrait = gather_portrait(evidence, rows, looks)
    layers = gather_layers(folder, plan, cohort, looks, examples, first_rule=n_rules + 1)
    characteristics = tables.list_characteristics(cohort, plan.folds)
    is_inspected = bool(layers and layers["is_there"])
    asked = Study(
        plan, cohort, evidence, flow.n_given - flow.n_analysed, bool(characteristics), bool(networks), is_inspected
    )
    return {
        "plan": plan,
        "cohort": cohort,
        "evidence": evidence,
        "unit": wording.UNITS[evidence["unit"]],
        "verdict": with_parts(evidence["verdict"]),
        "severities": SEVERITIES,
        "added": _ADDED,
        "grade": GRADES[evidence["verdict"]["grade"]],
        "looks": looks,
        "sizes": sizes,
        "compared": compared,
        "rows": rows,
        "metrics": [(key, translate(title)) for key, title in tables.choose_metrics(rows)],
        "floors_below": floors_below(evidence["rungs"]) if len(sizes) > 1 else [],
        "scores": draw_scores(evidence, sizes, looks, label=finding) if sizes else None,
        "scores_said": saying.say_curves(evidence, sizes) if sizes else None,
        "differences": tables.group_differences(evidence, evidence["margin"]),
        "ahead": gather_ahead(evidence),
        "portrait": portrait,
        "networks": networks,
        "parameters": parameters,
        "parameters_said": saying.say_parameters(parameters, compared, evidence["unit"]) if parameters else None,
        "layers": layers,
        "unrolled": _draw_unrolled(plan, cohort, evidence, examples),
        "growth": _draw_growth(plan, cohort, looks),
        "parts": parts,
        "characteristics": characteristics,
        "checklists": answer_checklists(asked),
        "statuses": STATUSES,
        "places": _list_places(bool(sizes), portrait is not None, bool(networks), layers is not None),
        "flow": draw_flow(flow, cohort.classes),
        "paper": gather_paper(plan, cohort, evidence, flow, is_inspected=is_inspected),
        "examples": _embed(examples),
        "split": saying.say_split(plan),
        "resampling": saying.say_resampling(plan.image["preparation"]["resampling"]),
        "covariates_said": translate(plan.describe_covariates() or ""),
        "errors": _show_errors(folder, evidence, cohort.classes),
        "dark_rules": dark_rules(),
        "points": _tell_points(evidence) if sizes else None,
        "holds_test_only": [point["holds"] == "test patients only" for point in points],
        "failed": sum(point["failed"] for point in points),
        "commands": write_commands(plan),
        "metric_titles": {key: translate(title) for key, title in tables.METRICS},
    }


def say_scores(rows: Sequence[tables.RungRow], n_train: int, unit: str) -> str:
    """The scores in one sentence, best first, for those who do not see the figure."""
    scored = [(row.rung, row.point["auroc"]) for row in rows if row.point is not None]
    scored.sort(key=lambda entry: -entry[1]["estimate"])
    listed = "; ".join(f"{rung} {wording.estimate_with_span(auroc)}" for rung, auroc in scored)
    if not scored:
        return tr("No rung has a score.")
    return tr("AUROC at {n} training {unit}s: {listed}.", n=n_train, unit=wording.UNITS[unit], listed=listed)


def _show_errors(folder: StudyFolder, evidence: dict[str, Any], classes: Sequence[str]) -> dict[str, Any] | None:
    """The worst errors, with their pictures where the study kept them; None where there are none."""
    shown, room = [], _ERROR_BYTES
    for error in evidence.get("errors", []):
        path = folder.pictures / f"error-{error['row']}.png"
        n_bytes = path.stat().st_size if path.is_file() else 0
        is_shown = 0 < n_bytes <= room
        room -= n_bytes if is_shown else 0
        shown.append(
            {
                "row": error["row"] + 1,
                "truth": classes[error["truth"]],
                "decided": classes[error["decided"]],
                "probability": f"{error['probability']:.2f}",
                "images": error["images"],
                "picture": base64.b64encode(path.read_bytes()).decode("ascii") if is_shown else None,
            }
        )
    if not shown:
        return None
    has_pictures = any(one["picture"] for one in shown)
    rung = evidence["verdict"]["recommended"]
    return {"rung": rung, "shown": shown, "has_pictures": has_pictures, "of_a_kind": OF_A_KIND}


def _list_places(has_scores: bool, has_portrait: bool, has_networks: bool, has_layers: bool) -> set[str]:
    """Sections of this page that a checklist may lead to."""
    there = {"scores": has_scores, "rungs": has_scores, "portrait": has_portrait, "networks": has_networks}
    always = {"verdict", "cohort", "figure-flow", "run", "paper", "reading"}
    return always | {name for name, is_there in {**there, "layers": has_layers}.items() if is_there}


def _tell_points(evidence: dict[str, Any]) -> dict[str, Any]:
    """What the script says of each point of the curves, and the names of its buttons."""
    unit = wording.UNITS[evidence["unit"]]

    def tell(rung: str, point: dict[str, Any]) -> str:
        auroc = wording.estimate_with_span(point["auroc"])
        return tr("{rung}, {n} training {unit}s: {auroc}", rung=rung, n=point["n_train"], unit=unit, auroc=auroc)

    return {
        "rungs": [
            {"name": rung["rung"], "texts": [tell(rung["rung"], point) for point in rung["points"]]}
            for rung in evidence["rungs"]
        ],
        "pick": tr("Rungs shown"),
        "copy": tr("Copy"),
        "done": tr("Copied"),
    }


def read_examples(pictures: Path, n_classes: int) -> list[list[Path]]:
    """The example pictures of each class, as many of each as the page has room for."""
    found = [
        sorted(pictures.glob(f"example-{label}-*.png"), key=lambda path: int(path.stem.rsplit("-", 1)[1]))
        for label in range(n_classes)
    ]
    room = _PICTURES_A_CLASS
    while room and sum(path.stat().st_size for paths in found for path in paths[:room]) > _PICTURE_BYTES:
        room -= 1
    return [paths[:room] for paths in found]


def _embed(examples: Sequence[Sequence[Path]]) -> list[list[str]]:
    return [[base64.b64encode(path.read_bytes()).decode("ascii") for path in paths] for paths in examples]


def _read_picture(path: Path, *, is_colour: bool) -> Float[np.ndarray, "row column channel"]:
    """Pixels between 0 and 1 with as many channels as the rungs see, whatever the file holds."""
    pixels = np.asarray(raster.imread(BytesIO(path.read_bytes()), format="png"), dtype=np.float64)
    pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels[:, :, :3]
    return pixels if is_colour else pixels.mean(axis=2, keepdims=True)


def _draw_networks(plan: Plan, cohort: CohortRecord, evidence: dict[str, Any], compared: int) -> list[dict[str, Any]]:
    """One diagram for each rung that is a network whose layers the plan tells."""
    drawn: list[dict[str, Any]] = []
    for planned in plan.rungs:
        layers = plan_layers(planned, cohort.image["shape"], len(cohort.classes))
        if layers is None:
            continue
        name, costs = f"network-{len(drawn)}", evidence["cost"].get(planned.rung, [])
        stages = [layer for layer in layers[1:-1:2] if isinstance(layer, ConvolutionLayer)]
        title = translate(_name_stages(len(stages)) if stages else _name_network(planned.layers or []))
        svg = (
            draw_feature_maps(layers, name=name, label=_describe_convolution(planned, stages))
            if stages
            else draw_network(planned.layers or [], name=name, label=_describe_network(planned))
        )
        drawn.append(
            {
                "rung": planned.rung,
                "layers": planned.layers,
                "title": title,
                "said": saying.say_network(layers, compared, evidence["unit"]),
                "n_parameters": costs[-1]["n_parameters"] if costs else None,
                "of_one": sum(layer.parameters for layer in layers),
                "members": None if planned.has_covariates else planned.members,
                "svg": svg,
            }
        )
    return drawn


def _name_network(layers: Sequence[int]) -> Message:
    if len(layers) == 2:
        return counted(layers[-1], "one neuron", "{n} neurons, one a class")
    return counted(len(layers) - 2, "one hidden layer", "{n} hidden layers")


def _name_stages(n_stages: int) -> Message:
    return counted(n_stages, "two convolutions", "{n} stages of two convolutions")


def _describe_network(planned: PlannedRung) -> str:
    return tr(
        "The network of {rung}, {kind}: {nodes} nodes from input to output.",
        rung=planned.rung,
        kind=_name_network(planned.layers or []),
        nodes=" → ".join(wording.count(layer) for layer in planned.layers or []),
    )


def _describe_convolution(planned: PlannedRung, stages: Sequence[ConvolutionLayer]) -> str:
    maps = [phrase("{n} of {size}", n=stage.channels, size=" × ".join(map(str, stage.size))) for stage in stages]
    return tr(
        "The network of {rung}, {kind}: feature maps, {maps}.",
        rung=planned.rung, kind=_name_stages(len(stages)), maps=join(maps, " → "),
    )  # fmt: skip


def _draw_growth(plan: Plan, cohort: CohortRecord, looks: dict[str, Look]) -> dict[str, Any] | None:
    """How the plan's networks would grow with its images; None without a network, or for vectors, that have no side."""
    shape = cohort.image["shape"]
    grown = grow(plan.rungs, shape, len(cohort.classes)) if len(shape) > 1 else []
    if not grown:
        return None
    has = {planned.convolution is None for planned in plan.rungs if planned.layers or planned.convolution}
    return {
        "drawings": draw_growth(grown, looks, shape),
        "said": saying.say_growth(grown),
        "largest": grown[0].sides[-1],
        "has_dense": True in has,
        "has_convolution": False in has,
        "power": "cube" if len(shape) == 4 else "square",
        "variants": count_variants(plan.rungs, shape, len(cohort.classes)),
    }


def _draw_unrolled(
    plan: Plan, cohort: CohortRecord, evidence: dict[str, Any], examples: Sequence[Sequence[Path]]
) -> dict[str, Any] | None:
    """A network deep enough to show depth, if there is one, with the first example entering it."""
    networks = [planned for planned in plan.rungs if planned.layers]
    if not networks:
        return None
    chosen = max(networks, key=lambda planned: min(len(planned.layers or []), 5))
    layers, shape = chosen.layers or [], cohort.image["shape"]
    paths = [path for paths in examples for path in paths]
    size = describe_size(shape, layers[0])
    outputs = [f"P({evidence['positive']})"] if layers[-1] == 1 else list(cohort.classes)
    label = tr("One image unrolled row by row into {size} input nodes of {rung}.", size=size, rung=chosen.rung)
    is_colour = len(shape) == 3 and shape[-1] > 1
    picture = _read_picture(paths[0], is_colour=is_colour) if paths else None
    return {
        "size": size,
        "said": saying.say_unrolled(layers),
        "rung": chosen.rung,
        "inputs": layers[0],
        "has_picture": picture is not None,
        "slices": shape[0] if len(shape) == 4 else None,
        "drawings": draw_unrolling(layers, shape, picture, outputs=outputs, label=label),
    }
