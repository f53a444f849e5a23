"""NIfTI, MetaImage and NRRD: volumes laid along the patient's axes, their values shown as grey."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Num, UInt

from ..errors import ImageError
from . import metaimage, nifti, nrrd
from .claims import Claim, check_claim, cut_off
from .image import Header, Image
from .names import ending_of
from .orientation import canonical
from .streams import Shortage, plain_reasons, read_claimed
from .values import Window, show, usual_range

_READERS = {
    **dict.fromkeys((".nii", ".nii.gz"), nifti.read_claim),
    **dict.fromkeys((".mha", ".mhd"), metaimage.read_claim),
    **dict.fromkeys((".nrrd", ".nhdr"), nrrd.read_claim),
}

_SMALLEST_SPREAD, _LARGEST_SPREAD = 1e-290, 1e290
"""Values further apart or closer together cannot be brought to grey without overflow."""

_NOT_PLACED = "orientation not stated; taken as stored"
_LONGER = "more bytes than its header claims; they were passed over"


def read_header(path: Path) -> Header:
    """What a volume claims, as it will lie after reading; of a packed one a first piece is unpacked.

    Raises
    ------
    ImageError
        As `read_volume`, for all that the header and the length of the file show.
    """
    claim = _claim(path)
    # One number stands for all voxels: no memory is taken.
    laid, spacing = _laid(np.broadcast_to(np.uint8(0), claim.space), claim, path.name)
    is_colour = claim.channels == 3
    return Header(laid.shape, is_deep=not is_colour, is_colour=is_colour, spacing_mm=spacing)


def read_volume(path: Path, *, window: Window | None = None) -> Image:
    """Read one volume, or a picture where an axis has a single voxel.

    Values are scaled as the header says and shown through `window`, else between the `usual_range` of the volume;
    colours of 8 bits stay as they are. Axes run along the patient's (`orientation.canonical`), or as stored (columns
    the fastest, then rows) where the file does not say how it lies, which a note says.

    Raises
    ------
    ImageError
        The file is missing, of another format or damaged; holds fewer voxels than it claims, more than `MAX_PIXELS`,
        more than one volume, complex numbers, colours of other depth, or values that are NaN or infinite; claims a
        spacing that is not above 0; or sends for its voxels outside of its folder.
    """
    claim = _claim(path)
    stored, is_longer = _stored(claim, path.name)
    laid, spacing = _laid(stored, claim, path.name)
    pixels = _grey_where_equal(laid) if claim.channels == 3 else _shown(stored, laid, claim, window, path.name)
    told = ((claim.affine is None, _NOT_PLACED), (is_longer, _LONGER))
    return Image(pixels, spacing, tuple(note for holds, note in told if holds))


def _claim(path: Path) -> Claim:
    # A number in a header may be anything: what overflows is refused by its result.
    with plain_reasons(path.name), np.errstate(all="ignore"):
        claim = _READERS[ending_of(path.name)](path)
        check_claim(claim, path.name)
        return claim


def _stored(claim: Claim, name: str) -> tuple[Num[np.ndarray, "axis0 axis1 axis2 *channel"], bool]:
    """The numbers in the file, and whether more follow them."""
    with plain_reasons(name):
        try:
            content, is_longer = read_claimed(
                claim.source, start=claim.start, packing=claim.packing, skip=claim.skip, size=claim.size
            )
        except Shortage as error:
            raise ImageError(name, cut_off(claim.size, error.held)) from error
    numbers = content.view(claim.dtype).reshape(claim.sizes, order="F")
    if claim.channel_axis is None:
        return numbers.reshape(claim.space, order="F"), is_longer
    return np.moveaxis(numbers, claim.channel_axis, -1).reshape(*claim.space, claim.channels, order="A"), is_longer


def _laid(
    stored: Num[np.ndarray, "axis0 axis1 axis2 *channel"], claim: Claim, name: str
) -> tuple[Num[np.ndarray, "..."], tuple[float, ...] | None]:
    """A view with the axes of `Image`, without the first that has a single voxel; and the spacing along them."""
    if claim.affine is None:
        laid = np.swapaxes(stored, 0, 2)
        steps = tuple(reversed((*(claim.spacing_mm or ()), 1.0, 1.0, 1.0)[:3]))
    else:
        try:
            with np.errstate(all="ignore"):
                laid, steps = canonical(stored, claim.affine)
        except ValueError as error:
            raise ImageError(name, str(error)) from error
    if 1 in laid.shape[:3]:
        single = laid.shape.index(1)
        laid, steps = laid.squeeze(single), (*steps[:single], *steps[single + 1 :])
    return laid, None if claim.spacing_mm is None else steps


def _grey_where_equal(laid: UInt[np.ndarray, "*space 3"]) -> UInt[np.ndarray, "*space channel"]:
    is_grey = bool((laid == laid[..., :1]).all())
    return np.ascontiguousarray(laid[..., :1] if is_grey else laid)


def _shown(
    stored: Num[np.ndarray, "..."], laid: Num[np.ndarray, "..."], claim: Claim, window: Window | None, name: str
) -> UInt[np.ndarray, "*space 1"]:
    """Grey values, a plane at a time: floats of the whole volume would take four times its memory."""
    if stored.dtype.kind == "f" and (broken := stored.size - sum(int(np.isfinite(plane).sum()) for plane in stored.T)):
        raise ImageError(name, f"{broken:,} of its {stored.size:,} voxels are NaN or infinite")
    ends = [float(end) * claim.slope + claim.inter for end in (stored.min(), stored.max())]
    spread = abs(ends[1] - ends[0])
    if spread and not _SMALLEST_SPREAD < spread < _LARGEST_SPREAD:
        raise ImageError(name, f"its values run from {ends[0]:g} to {ends[1]:g}, which cannot be shown as grey")
    if window is None:
        low, high = sorted(end * claim.slope + claim.inter for end in usual_range(stored))
    else:
        low, high = window.bounds
    pixels = np.empty((*laid.shape, 1), np.uint16)
    for grey, plane in zip(pixels, laid, strict=True):
        grey[..., 0] = show(plane.astype(np.float64) * claim.slope + claim.inter, low, high)
    return pixels
