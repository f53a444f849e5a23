"""The header of an NRRD, .nrrd or .nhdr; read here and not by SimpleITK, for the reasons of `metaimage`.

Source
------
https://teem.sourceforge.net/nrrd/format.html.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ..errors import ImageError
from ..language import phrase
from .claims import (
    LONGEST_HEADER,
    MILLIMETRES,
    TEXT_VOXELS,
    UNKNOWN_VOXELS,
    Claim,
    affine_of,
    beside,
    first_byte,
    numbers,
    whole_numbers,
)
from .streams import read_start

_TYPES = {
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), "i2"),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
    **dict.fromkeys(("longlong", "long long", "long long int", "signed long long"), "i8"),
    **dict.fromkeys(("signed long long int", "int64", "int64_t"), "i8"),
    **dict.fromkeys(("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"), "u8"),
    "float": "f4",
    "double": "f8",
}
_PACKINGS = {"raw": "raw", "gzip": "gzip", "gz": "gzip", "bzip2": "bzip2", "bz2": "bzip2"}
_NO_END = phrase("it is cut off within its header")
_TEXTS = ("ascii", "text", "txt", "hex")
_SPELLINGS = {"lineskip": "line skip", "byteskip": "byte skip", "datafile": "data file"}

_TO_RAS = {
    **dict.fromkeys(("right-anterior-superior", "ras"), (1.0, 1.0, 1.0)),
    **dict.fromkeys(("left-anterior-superior", "las"), (-1.0, 1.0, 1.0)),
    **dict.fromkeys(("left-posterior-superior", "lps"), (-1.0, -1.0, 1.0)),
}
"""The spaces that are of a patient; others, such as «scanner-xyz», do not say how the patient lay."""

_SPATIAL_KINDS = ("domain", "space", "???", "none")
_VOLUME_KINDS = ("???", "none", "list", "point", "time")


def read_claim(path: Path) -> Claim:
    """What an NRRD claims, not yet checked.

    Raises
    ------
    ImageError
        It is no NRRD, its header is damaged, or its voxels lie in several files, elsewhere, or as text.
    """
    name = path.name
    told, end = _fields(path)
    lacking = [field for field in ("dimension", "sizes", "type", "encoding") if field not in told]
    if lacking:
        raise ImageError(name, f"its header lacks {lacking[0]}")
    encoding = told["encoding"].lower()
    if encoding not in _PACKINGS:
        raise ImageError(
            name, TEXT_VOXELS if encoding in _TEXTS else phrase("its voxels are packed in a way that is not read")
        )
    (axes,) = whole_numbers(told["dimension"], "dimension", name)
    sizes = whole_numbers(told["sizes"], "sizes", name, n=axes)
    channel_axis, spacing, affine = _space(told, axes, name)
    claim = Claim(
        sizes,
        _dtype(told, name),
        spacing,
        affine,
        beside(path, told["data file"]) if "data file" in told else path,
        _PACKINGS[encoding],
        channel_axis=channel_axis,
    )
    (lines,) = whole_numbers(told.get("line skip", "0"), "line skip", name)
    (skip,) = whole_numbers(told.get("byte skip", "0"), "byte skip", name)
    if skip < 0:
        return replace(claim, start=first_byte(claim, skip, name))
    return replace(claim, start=_after_lines(claim.source, 0 if "data file" in told else end, lines), skip=skip)


def _fields(path: Path) -> tuple[dict[str, str], int]:
    """All up to the empty line, in lower case; and at which byte that line ends."""
    block = read_start(path, LONGEST_HEADER, "raw")
    if not re.match(rb"NRRD000\d\r?\n", block):
        raise ImageError(path.name, phrase("it is not an NRRD file") if block else phrase("it is empty"))
    told: dict[str, str] = {}
    for line in re.finditer(rb"([^\n]*)(\n|$)", block[block.index(b"\n") + 1 :]):
        text = line[1].decode("utf-8", "surrogateescape").rstrip("\r")
        if not text:
            return told, block.index(b"\n") + 1 + line.end()
        field = re.fullmatch(r"([^:=]+?)\s*:(?!=)\s*(.*?)\s*", text)
        if field is None and not text.startswith("#") and ":=" not in text:
            raise ImageError(path.name, phrase("its header is damaged") if line[2] else _NO_END)
        if field is None or text.startswith("#"):
            continue
        key = _SPELLINGS.get(field[1].lower(), field[1].lower())
        if key in told:
            raise ImageError(path.name, f"its header states {key} twice")
        told[key] = field[2]
        if key == "data file" and field[2].upper().startswith("LIST"):
            beside(path, field[2])  # refuses: the lines below are names of files
    raise ImageError(path.name, _NO_END)


def _dtype(told: Mapping[str, str], name: str) -> np.dtype[Any]:
    kind = " ".join(told["type"].lower().split())
    if kind not in _TYPES:
        raise ImageError(name, UNKNOWN_VOXELS)
    order = {"little": "<", "big": ">"}.get(told.get("endian", "").lower(), "")
    if not order and not _TYPES[kind].endswith("1"):
        raise ImageError(name, phrase("its header does not say which byte of a number comes first (endian)"))
    return np.dtype(order + _TYPES[kind])


def _after_lines(source: Path, start: int, lines: int) -> int:
    with source.open("rb") as file:
        file.seek(start)
        for _ in range(lines):
            if not file.readline(LONGEST_HEADER):
                break
        return file.tell()


def _space(
    told: Mapping[str, str], axes: int, name: str
) -> tuple[int | None, tuple[float, ...] | None, Float[np.ndarray, "4 4"] | None]:
    """The axis of colours, spacing and affine; each None where there is none or it is not stated."""
    kinds = told.get("kinds", "??? " * axes).lower().split()
    directions = _directions(told, axes, name)
    if len(kinds) != axes:
        raise ImageError(name, f"its header is damaged: kinds should be {axes} words")
    is_spatial = [kind in _SPATIAL_KINDS for kind in kinds]
    if directions is not None:
        is_spatial = [direction is not None for direction in directions]
    others = [axis for axis in range(axes) if not is_spatial[axis]]
    if len(others) > 1:
        raise ImageError(name, f"{len(others)} of its axes are not of space, and one volume is read")
    is_series = others == [3] and kinds[3] in _VOLUME_KINDS
    channel_axis = others[0] if others and not is_series else None
    if directions is not None:
        spacing, affine = _of_directions(told, [one for one in directions if one is not None])
        return channel_axis, spacing, affine
    if "spacings" not in told:
        return channel_axis, None, None
    steps = numbers(told["spacings"], "spacings", name, n=axes)
    units = [_unit(unit) for unit in re.findall(r'"([^"]*)"', told.get("units", ""))] or [1.0] * axes
    spatial = [axis for axis in range(axes) if is_spatial[axis]][:3]
    if len(units) != axes or any(units[axis] is None for axis in spatial):
        return channel_axis, None, None
    return channel_axis, tuple(steps[axis] * (units[axis] or 1.0) for axis in spatial), None


def _directions(told: Mapping[str, str], axes: int, name: str) -> list[tuple[float, ...] | None] | None:
    if "space directions" not in told:
        return None
    texts = re.findall(r"none|\(([^()]*)\)", told["space directions"].lower())
    if len(texts) != axes:
        raise ImageError(name, f"its header is damaged: space directions should be {axes} vectors")
    n = max(text.count(",") + 1 for text in texts)
    return [numbers(text, "each of the space directions", name, n=n) if text else None for text in texts]


def _of_directions(
    told: Mapping[str, str], directions: Sequence[tuple[float, ...]]
) -> tuple[tuple[float, ...] | None, Float[np.ndarray, "4 4"] | None]:
    units = {_unit(unit) for unit in re.findall(r'"([^"]*)"', told.get("space units", ""))} or {1.0}
    unit = units.pop() if len(units) == 1 else None
    steps = [[part * (unit or 1.0) for part in direction] for direction in directions[:3]]
    spacing = None if unit is None else tuple(math.hypot(*step) for step in steps)
    signs = _TO_RAS.get(told.get("space", "").lower())
    if signs is None or len(steps) < 2 or len(steps[0]) != 3:
        return spacing, None
    if len(steps) == 2:  # one slice: its thickness is never used
        steps.append(np.cross(np.array(steps[0]), np.array(steps[1])).tolist())
    return spacing, affine_of(np.array(steps), signs)


def _unit(name: str) -> float | None:
    return MILLIMETRES.get(name.lower())
