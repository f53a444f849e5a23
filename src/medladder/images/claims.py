"""What the header of a volume claims, whatever its format, checked before any voxel is read."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ..errors import ImageError
from ..language import phrase
from .image import MAX_PIXELS

LONGEST_HEADER = 1 << 20
"""Bytes of a text header; those of diffusion volumes reach tens of thousands."""

MILLIMETRES = {"": 1.0, "mm": 1.0, "cm": 10.0, "m": 1000.0, "um": 0.001, "µm": 0.001}
"""Units of length by name; a spacing without a unit is in mm by custom."""

TEXT_VOXELS = phrase("its voxels are written as text; save them as raw or compressed")
UNKNOWN_VOXELS = phrase("its voxels are of a type that is not read")

_LONGEST_SKIP = 1 << 26
"""Bytes that are unpacked and passed over before the voxels, such as extensions of a NIfTI header."""

_DEEPEST_DEFLATE = 1032
"""Bytes that one byte of gzip or zlib can stand for at most (zlib, «Technical Details»)."""


@dataclass(frozen=True)
class Claim:
    """Where the voxels of a file lie and what they are; axes as stored, the fastest first.

    `sizes` may hold an axis of colours (`channel_axis`). `affine` takes an index along the axes of space to mm in RAS;
    None where the file does not say how it lies in a patient. `spacing_mm` is None where no known unit is stated.
    `start` counts bytes of `source`, `skip` bytes after unpacking (`streams.PACKINGS`). A value is `slope` times what
    is stored, plus `inter`.
    """

    sizes: tuple[int, ...]
    dtype: np.dtype[Any]
    spacing_mm: tuple[float, ...] | None
    affine: Float[np.ndarray, "4 4"] | None
    source: Path
    packing: str = "raw"
    start: int = 0
    skip: int = 0
    channel_axis: int | None = None
    slope: float = 1.0
    inter: float = 0.0

    @property
    def space(self) -> tuple[int, ...]:
        """Sizes along the axes of space: at least three, and no 1 after the third."""
        sizes = [size for axis, size in enumerate(self.sizes) if axis != self.channel_axis]
        while len(sizes) > 3 and sizes[-1] == 1:
            sizes.pop()
        return (*sizes, *(1,) * (3 - len(sizes)))

    @property
    def channels(self) -> int:
        """Numbers a voxel: 1, or 3 for colour; others are refused."""
        return 1 if self.channel_axis is None else self.sizes[self.channel_axis]

    @property
    def size(self) -> int:
        """Bytes of all voxels, unpacked."""
        return math.prod(self.sizes) * self.dtype.itemsize


def check_claim(claim: Claim, name: str) -> None:
    """Refuse what is not read, or cannot be true.

    Raises
    ------
    ImageError
        Neither picture nor volume, several volumes, more than `MAX_PIXELS`, colours not of 8 bits, a spacing that is
        not above 0, or more voxels than the file can hold.
    """
    reason = _wrong_shape(claim) or _wrong_room(claim)
    if reason:
        raise ImageError(name, reason)


def _wrong_shape(claim: Claim) -> str:
    space = claim.space
    if len(claim.sizes) < (2 if claim.channel_axis is None else 3) or min(claim.sizes) < 1:
        return f"its header claims {_by(claim.sizes)} voxels, which is neither picture nor volume"
    if len(space) == 4:
        return f"it holds {space[3]} volumes along a 4th axis, and one is read"
    if len(space) > 4:
        return f"it has {len(space)} axes ({_by(space)}), and one volume is read"
    if math.prod(space) > MAX_PIXELS:
        return f"its header claims {_by(space)} voxels, over the limit of {MAX_PIXELS:,}"
    if claim.channels not in (1, 3) or (claim.channels == 3 and claim.dtype != np.uint8):
        return f"each of its voxels holds {claim.channels} numbers; read are 1, or 3 of 8 bits as colour"
    if claim.spacing_mm is not None and not all(0 < step < math.inf for step in claim.spacing_mm):
        return f"its header claims a spacing of {_by(claim.spacing_mm)} mm, and each has to be above 0"
    return ""


def _wrong_room(claim: Claim) -> str:
    held = claim.source.stat().st_size
    if claim.packing == "raw":
        follow = held - claim.start - claim.skip
        return "" if follow >= claim.size else cut_off(claim.size, max(0, follow))
    if claim.skip > _LONGEST_SKIP:
        return f"its header claims that {claim.skip:,} other bytes come before the voxels"
    if claim.packing != "bzip2" and claim.skip + claim.size > held * _DEEPEST_DEFLATE:
        return f"its header claims {claim.size:,} bytes of voxels, more than {held:,} compressed bytes can hold"
    return ""


def cut_off(claimed: int, held: int) -> str:
    """The reason where voxels are missing."""
    return f"it is cut off: its header claims {claimed:,} bytes of voxels, and it holds {held:,}"


def _by(numbers: Sequence[float]) -> str:
    return "×".join(f"{number:g}" if isinstance(number, float) else str(number) for number in numbers)


def affine_of(directions: Float[np.ndarray, "axis 3"], signs: tuple[float, ...]) -> Float[np.ndarray, "4 4"]:
    """From the step in mm along each of three axes, in a space that `signs` take to RAS; it begins at 0."""
    affine = np.eye(4)
    affine[:3, :3] = (directions * np.array(signs)).T
    return affine


def whole_numbers(text: str, field: str, name: str, *, n: int = 1) -> tuple[int, ...]:
    """The `n` whole numbers of a field.

    Raises
    ------
    ImageError
        There are others, or more or fewer.
    """
    parts = text.split()
    if len(parts) != n or not all(re.fullmatch(r"[-+]?[0-9]{1,18}", part) for part in parts):
        raise ImageError(name, f"its header is damaged: {field} should be {_of(n, 'whole number')}")
    return tuple(int(part) for part in parts)


def numbers(text: str, field: str, name: str, *, n: int = 1) -> tuple[float, ...]:
    """The `n` numbers of a field, apart by spaces or commas; NaN and infinity are numbers here.

    Raises
    ------
    ImageError
        There is something else, or more or fewer.
    """
    try:
        found = tuple(float(part) for part in text.replace(",", " ").split())
    except ValueError:
        found = ()
    if len(found) != n:
        raise ImageError(name, f"its header is damaged: {field} should be {_of(n, 'number')}")
    return found


def _of(n: int, what: str) -> str:
    return f"a {what}" if n == 1 else f"{n} {what}s"


def beside(path: Path, named: str) -> Path:
    """The file of voxels that a header names: within the folder of the header, or refused.

    Raises
    ------
    ImageError
        It is a list or a pattern of files, lies elsewhere (an absolute path, «..», a link that leads out), or is no
        file.
    """
    if re.match(r"list\b", named, re.IGNORECASE) or re.search(r"%\d*d.*\s[-+]?\d", named):
        raise ImageError(path.name, phrase("its voxels lie in several files, and one is read"))
    try:
        target = path.parent / named
        is_inside = ".." not in Path(named).parts and target.resolve().is_relative_to(path.parent.resolve())
        is_there = is_inside and target.is_file()
    except (OSError, RuntimeError, ValueError) as error:  # a name too long, links in a circle, a zero byte
        raise ImageError(path.name, phrase("the file of its voxels has a name that cannot be")) from error
    if not is_inside:
        raise ImageError(path.name, phrase("its header sends for voxels outside of its folder"))
    if not is_there:
        raise ImageError(path.name, phrase("the file of its voxels is not there"))
    return target


def first_byte(claim: Claim, start: int, name: str) -> int:
    """Where voxels begin that are said to begin at `start`; -1 says that they are the end of the file.

    Raises
    ------
    ImageError
        `start` is otherwise below 0, or -1 where only unpacking would tell.
    """
    if start >= 0:
        return start
    if start < -1 or claim.packing != "raw":
        raise ImageError(name, f"its header claims that the voxels begin at byte {start}")
    return max(0, claim.source.stat().st_size - claim.size)
