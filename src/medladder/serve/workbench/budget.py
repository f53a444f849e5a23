"""What networks cost before they are trained, dense beside convolutional."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from medladder.architecture import SIDES, Budget, convolution_layers, count, dense_layers, tapered_widths
from medladder.language import tr
from medladder.report import wording
from medladder.report.diagrams import draw_network
from medladder.report.feature_maps import draw_feature_maps

from .frame import draw_page, whole_number

router = APIRouter(include_in_schema=False)

Asked = Mapping[str, str]


@router.get("/budget")
async def budget(request: Request) -> Response:
    """What networks cost before they are trained."""
    return await draw_page(request, lambda: ("budget.html.j2", count_budget(request.query_params)))


def count_budget(asked: Any) -> dict[str, Any]:
    """A dense network beside a convolutional one, on images of one size and as they grow."""
    chosen = {
        "side": whole_number(asked, "side", 64, 16, 512),
        "nodes": whole_number(asked, "nodes", 256, 16, 1024),
        "layers": whole_number(asked, "layers", 3, 1, 6),
        "width": whole_number(asked, "width", 64, 8, 256),
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
