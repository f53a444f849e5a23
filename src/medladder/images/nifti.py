"""The header of a NIfTI, version 1 or 2, packed by gzip or not.

Source
------
https://nifti.nimh.nih.gov/nifti-1/documentation/nifti1fields.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ..errors import ImageError
from ..language import phrase
from .claims import UNKNOWN_VOXELS, Claim
from .streams import read_start

_UNITS = {1: 1000.0, 3: 0.001}
"""Metres and microns in mm; 2 is mm, and 0 (unknown) is by custom."""

_VECTOR_INTENTS = (1007, 2003)
"""NIFTI_INTENT_VECTOR, as SimpleITK writes colours, and NIFTI_INTENT_RGB_VECTOR."""


def read_claim(path: Path) -> Claim:
    """What a NIfTI claims, not yet checked. Whether it is packed is told by its first bytes, not by its name.

    Raises
    ------
    ImageError
        It is no NIfTI, its header is damaged or contradicts itself, or its voxels are complex or of another type that
        is not read.
    """
    packing = "gzip" if read_start(path, 2, "raw") == b"\x1f\x8b" else "raw"
    header = _header(read_start(path, 540, packing), path.name)
    axes = int(header["dim"][0])
    if not 1 <= axes <= 7:
        raise ImageError(path.name, f"its header claims {axes} axes")
    sizes = tuple(int(size) for size in header["dim"][1 : axes + 1])
    dtype, channel_axis = _type(header, sizes, path.name)
    offset = float(header["vox_offset"])
    if not (int(header["sizeof_hdr"]) <= offset < 2**53 and offset.is_integer()):
        raise ImageError(path.name, f"its header claims that the voxels begin at byte {offset:g}")
    _mend_steps(header, axes)
    unit = _UNITS.get(int(header["xyzt_units"]) & 7, 1.0)
    affine = _affine(header, path.name)
    slope, inter = _scaling(header, path.name)
    return Claim(
        (3, *sizes) if channel_axis == 0 else sizes,
        dtype,
        tuple(float(step) * unit for step in header["pixdim"][1:4]),
        None if affine is None else affine * unit,
        path,
        packing,
        skip=int(offset),
        channel_axis=channel_axis,
        slope=slope,
        inter=inter,
    )


def _header(block: bytes, name: str) -> Any:
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header

    if not block:
        raise ImageError(name, phrase("it is empty"))
    if len(block) < 4:
        raise ImageError(name, phrase("it is cut off within its header"))
    kinds: dict[int, tuple[Any, bytes, bytes]] = {
        348: (Nifti1Header, block[344:348], b"n+1\0"),
        540: (Nifti2Header, block[4:12], b"n+2\0\r\n\x1a\n"),
    }
    for size, (kind, mark, wanted) in kinds.items():
        for order in ("<", ">"):
            if np.frombuffer(block[:4], f"{order}i4") != size:
                continue
            if len(block) < size:
                raise ImageError(name, phrase("it is cut off within its header"))
            if mark[:3] in (b"ni1", b"ni2"):
                raise ImageError(name, phrase("its voxels lie in another file, an .img; save both as one .nii"))
            if mark != wanted:
                raise ImageError(name, phrase("its header lacks the mark of NIfTI; it may be of Analyze, or damaged"))
            return kind(block[:size], endianness=order, check=False)
    raise ImageError(name, phrase("it is not a NIfTI file"))


def _type(header: Any, sizes: tuple[int, ...], name: str) -> tuple[np.dtype[Any], int | None]:
    """Of what type the voxels are, and along which axis they are colours."""
    try:
        dtype = header.get_data_dtype()
    except KeyError as error:
        raise ImageError(
            name, f"its header claims type {int(header['datatype'])}, which NIfTI does not have"
        ) from error
    bits, claimed = dtype.itemsize * 8, int(header["bitpix"])
    if claimed != bits:
        raise ImageError(name, f"its header contradicts itself: a type of {bits} bits, and {claimed} bits a voxel")
    if dtype.names == ("R", "G", "B"):
        return np.dtype(np.uint8), 0
    if dtype.kind == "c":
        raise ImageError(name, phrase("its voxels are complex numbers"))
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise ImageError(name, UNKNOWN_VOXELS)
    is_colour = dtype == np.uint8 and sizes[3:] == (1, 3) and int(header["intent_code"]) in _VECTOR_INTENTS
    return dtype, 4 if is_colour else None


def _mend_steps(header: Any, axes: int) -> None:
    """What the standard leaves open: a step that is never taken, and the sign of a qform as 0."""
    steps = header["pixdim"]
    for axis in (1, 2, 3):
        if axis > axes or (header["dim"][axis] == 1 and steps[axis] == 0):
            steps[axis] = 1
    if steps[0] == 0:
        steps[0] = 1


def _affine(header: Any, name: str) -> Float[np.ndarray, "4 4"] | None:
    """By sform, else by qform, else None."""
    from nibabel.spatialimages import HeaderDataError

    if int(header["sform_code"]) > 0:
        return np.asarray(header.get_sform(), np.float64)
    if int(header["qform_code"]) <= 0 or not (header["pixdim"][1:4] > 0).all():  # the latter is refused with all else
        return None
    try:
        return np.asarray(header.get_qform(), np.float64)
    except (HeaderDataError, ValueError) as error:
        raise ImageError(name, phrase("its orientation is broken: its qform is no rotation")) from error


def _scaling(header: Any, name: str) -> tuple[float, float]:
    from nibabel.spatialimages import HeaderDataError

    try:
        slope, inter = header.get_slope_inter()
    except HeaderDataError as error:
        raise ImageError(name, phrase("its header scales values by what is no number")) from error
    return (1.0, 0.0) if slope is None else (slope, inter)
