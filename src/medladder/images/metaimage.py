"""The header of a MetaImage, .mha or .mhd.

It is read here and not by SimpleITK, which takes a negative spacing as positive and microns as millimetres, follows a
header to any file of the machine, and prints to the terminal (all seen with SimpleITK 2.5). In the tests it is the
second reader that this one is compared with.

Source
------
https://itk.org/Wiki/ITK/MetaIO/Documentation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
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
    "CHAR": "i1",
    "UCHAR": "u1",
    "SHORT": "i2",
    "USHORT": "u2",
    "INT": "i4",
    "UINT": "u4",
    "LONG": "i4",
    "ULONG": "u4",
    "LONG_LONG": "i8",
    "ULONG_LONG": "u8",
    "FLOAT": "f4",
    "DOUBLE": "f8",
}
"""By name without «MET_»; a long has 4 bytes on every machine."""

_TRUE = ("True", "true", "1")
_FROM_LPS = (-1.0, -1.0, 1.0)


def read_claim(path: Path) -> Claim:
    """What a MetaImage claims, not yet checked.

    Raises
    ------
    ImageError
        It is no MetaImage, its header is damaged, or its voxels lie in several files, elsewhere, or as text.
    """
    name = path.name
    told, end = _fields(path)
    lacking = [field for field in ("NDims", "DimSize", "ElementType") if field not in told]
    if lacking:
        raise ImageError(name, f"its header lacks {lacking[0]}")
    if told.get("BinaryData", "True") not in _TRUE:
        raise ImageError(name, TEXT_VOXELS)
    (axes,) = whole_numbers(told["NDims"], "NDims", name)
    sizes = whole_numbers(told["DimSize"], "DimSize", name, n=axes)
    (channels,) = whole_numbers(told.get("ElementNumberOfChannels", "1"), "ElementNumberOfChannels", name)
    spacing, affine = _space(told, axes, name)
    slope, inter = (
        numbers(told.get(field, usual), field, name)[0]
        for field, usual in (("ElementToIntensityFunctionSlope", "1"), ("ElementToIntensityFunctionOffset", "0"))
    )
    is_within = told["ElementDataFile"].lower() == "local"
    claim = Claim(
        sizes if channels == 1 else (channels, *sizes),
        _dtype(told, name),
        spacing,
        affine,
        path if is_within else beside(path, told["ElementDataFile"]),
        "zlib" if told.get("CompressedData") in _TRUE else "raw",
        channel_axis=None if channels == 1 else 0,
        slope=slope,
        inter=inter,
    )
    (start,) = whole_numbers(told.get("HeaderSize", "0"), "HeaderSize", name)
    return replace(claim, start=first_byte(claim, start or (end if is_within else 0), name))


def _fields(path: Path) -> tuple[dict[str, str], int]:
    """All up to the name of the file of voxels, which is the last; and at which byte that line ends."""
    block = read_start(path, LONGEST_HEADER, "raw")
    if not block:
        raise ImageError(path.name, phrase("it is empty"))
    told: dict[str, str] = {}
    for line in re.finditer(rb"([^\n]*)(\n|$)", block):
        text = line[1].decode("utf-8", "surrogateescape")
        field = re.fullmatch(r"\s*(\w+)\s*[=:]\s*(.*?)\s*", text)
        if field is None and "NDims" in told and not line[2]:
            break
        if field is None and text.strip():
            raise ImageError(
                path.name, phrase("its header is damaged") if "NDims" in told else phrase("it is not a MetaImage file")
            )
        if field is None:
            continue
        if field[1] in told and field[1] != "Comment":
            raise ImageError(path.name, f"its header states {field[1]} twice")
        told[field[1]] = field[2]
        if field[1] == "ElementDataFile":
            return told, line.end()
    raise ImageError(path.name, phrase("it is cut off within its header"))


def _dtype(told: Mapping[str, str], name: str) -> np.dtype[Any]:
    kind = told["ElementType"].removeprefix("MET_").removesuffix("_ARRAY")
    if kind not in _TYPES:
        raise ImageError(name, UNKNOWN_VOXELS)
    is_big = _first_told(told, "BinaryDataByteOrderMSB", "ElementByteOrderMSB") in _TRUE
    return np.dtype((">" if is_big else "<") + _TYPES[kind])


def _space(
    told: Mapping[str, str], axes: int, name: str
) -> tuple[tuple[float, ...] | None, Float[np.ndarray, "4 4"] | None]:
    """Spacing and affine, each None where it is not stated; a picture of two axes lies in no patient."""
    stated = _first_told(told, "ElementSpacing", "ElementSize")
    unit = MILLIMETRES.get(told.get("DistanceUnits", "").lower())
    spacing = None
    if stated is not None:
        steps = numbers(stated, "ElementSpacing", name, n=axes)[:3]
        spacing = None if unit is None else tuple(step * unit for step in steps)
    matrix = _first_told(told, "TransformMatrix", "Orientation", "Rotation")
    if matrix is None or axes < 3:
        return spacing, None
    directions = np.reshape(numbers(matrix, "TransformMatrix", name, n=axes * axes), (axes, axes))[:3, :3]
    # Row i of the matrix is the direction of axis i. Without a spacing, directions still say which axis is which.
    return spacing, affine_of(directions * np.reshape(spacing or (1.0, 1.0, 1.0), (3, 1)), _FROM_LPS)


def _first_told(told: Mapping[str, str], *fields: str) -> str | None:
    return next((told[field] for field in fields if field in told), None)
