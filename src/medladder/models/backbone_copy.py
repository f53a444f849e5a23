"""A model's own copy of its backbone: every file that decides what it answers, and nothing that leads out of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import onnx

from medladder import rungs
from medladder.backbones import files_of, find_backbone, read_json

from .backbone_graph import external_names

BACKBONE = "backbone"

LARGEST_SIDE = 4096
"""Pixels along a side of a backbone's input: beyond it one image fills a machine's memory."""

_SETTINGS = ("backbone", "penalty", "input_size")


def copy_backbone(backbone: Path, folder: Path) -> None:
    """Copy a backbone into a model's folder, so that the model stands alone."""
    into = folder / BACKBONE
    into.mkdir()
    for file in files_of(backbone):
        shutil.copyfile(file, into / file.name)


def rung_with_copy(folder: Path, stated: Mapping[str, Any], inside: set[str]) -> rungs.RungSpec:
    """The rung `pretrained` that a record states, with the backbone that lies in the model's folder.

    `inside` names the files of `backbone/` that are known to be those that were written.

    Raises
    ------
    ValueError
        The rung or its backbone is not what a model has; the text is the reason, without a full stop.
    OptionError
        A file of the backbone is missing, or a setting is out of range.
    """
    settings = dict(stated["settings"])
    if (stated["kind"], stated["family"]) != ("pretrained", "transfer") or not set(settings) <= set(_SETTINGS):
        raise ValueError(f"rung {stated['rung']!r} is of another kind")
    side, penalty = settings.get("input_size", LARGEST_SIDE), settings.get("penalty", 1.0)
    if type(side) is not int or side > LARGEST_SIDE or type(penalty) not in (int, float):
        raise ValueError("the settings of its rung are out of range")
    name, _, digest = str(settings["backbone"]).rpartition("@")
    if not inside:
        raise ValueError("its backbone is missing")
    # A Hugging Face folder's files lie in `backbone/` itself.
    place = folder / BACKBONE / name if name in inside else folder / BACKBONE
    _require_closed(place, inside)
    if find_backbone(place).identity.rpartition("@")[2] != digest:
        raise ValueError("its backbone is another than its rung names")
    spec = rungs.RungSpec(str(stated["rung"]), "pretrained", "transfer", settings, {"backbone": str(place)})
    rungs.build(spec).check_settings()
    return spec


def _require_closed(place: Path, inside: set[str]) -> None:
    """Refuse a backbone that names, or lies beside, anything but the files known: it would be read as well."""
    if {path.name for path in (place if place.is_dir() else place.parent).iterdir()} != inside:
        raise ValueError(f"{BACKBONE}/ holds other files than were written")
    if {file.name for file in files_of(place)} != inside:
        raise ValueError(f"{BACKBONE}/ holds files that are no part of the backbone")
    if place.is_dir():
        if leading := sorted(_ways_out(read_json(place / "config.json"))):
            raise ValueError(f"its backbone's config.json names {leading[0]!r}, which lies elsewhere")
        return
    try:
        named = external_names(onnx.load(place, load_external_data=False))
    except Exception as error:  # its errors share no base
        raise ValueError("its backbone is no ONNX file") from error
    if not named <= inside:
        raise ValueError(f"its backbone names {sorted(named - inside)[0]!r}, which lies elsewhere")


def _ways_out(config: object) -> Iterator[str]:
    """What transformers would look for in other folders or on the network: another backbone, or code for attention."""
    if isinstance(config, list):
        for value in config:
            yield from _ways_out(value)
    if not isinstance(config, dict):
        return
    for key, value in config.items():
        is_backbone = key == "backbone" and isinstance(value, str)
        is_code = key.strip("_").removesuffix("_internal") in ("attn_implementation", "experts_implementation")
        if is_backbone or (is_code and "/" in str(value)):
            yield str(value)
        yield from _ways_out(value)
