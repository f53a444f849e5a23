"""From the stored numbers of a DICOM file to what is looked at (PS3.4 N.2, the grey-scale transformations)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Num, UInt

from ..errors import ImageError
from ..language import phrase
from .dicom_file import DicomFile
from .values import Window, show, usual_range

if TYPE_CHECKING:
    from pydicom import Dataset
else:  # pydicom is imported by those who have DICOM
    Dataset = Any

_LARGEST_CURVE = 2**17
"""Whole numbers that span less are looked up in a curve instead of being reckoned one by one."""


@dataclass(frozen=True)
class Table:
    """A lookup table: `entries` (uint16) of `bits` for the whole numbers from `first` on (PS3.3 C.11.1.1)."""

    first: int
    bits: int
    entries: bytes

    @property
    def values(self) -> UInt[np.ndarray, "entry"]:
        """The entries as numbers."""
        return np.frombuffer(self.entries, "<u2").astype(np.uint16)

    def of(self, values: Num[np.ndarray, "*space"]) -> UInt[np.ndarray, "*space"]:
        """What the table says of each value; below and above it, its first and last entry."""
        places = np.clip(np.round(values.astype(np.float64)) - self.first, 0, len(self.entries) // 2 - 1)
        return self.values[places.astype(np.intp)]


@dataclass(frozen=True)
class FileWindow:
    """A window as a file states it, with its function LINEAR, LINEAR_EXACT or SIGMOID (PS3.3 C.11.2.1)."""

    centre: float
    width: float
    function: str

    @property
    def bounds(self) -> tuple[float, float]:
        """The last value shown as black and the first shown as white; not for SIGMOID, which has neither."""
        centre, width = self.centre, self.width
        if self.function == "LINEAR":
            centre, width = centre - 0.5, width - 1
        return centre - width / 2, centre + width / 2

    def show(self, values: Num[np.ndarray, "*space"]) -> UInt[np.ndarray, "*space"]:
        """Grey values of uint16."""
        if self.function == "SIGMOID":
            steps = np.clip(-4 * (values.astype(np.float64) - self.centre) / self.width, -700, 700)
            return np.round(65535 / (1 + np.exp(steps))).astype(np.uint16)
        low, high = self.bounds
        if low == high:  # a LINEAR window of width 1 is a threshold
            return np.where(values > low, np.uint16(65535), np.uint16(0))
        return show(values, low, high)


@dataclass(frozen=True)
class Grey:
    """How grey numbers are shown: by `modality` or else `slope` and `intercept`, then by `voi`.

    `padding` bounds the stored numbers that stand for no measurement. Numbers that `are_bytes` have 8 bits and no sign.
    """

    are_bytes: bool
    slope: float = 1.0
    intercept: float = 0.0
    modality: Table | None = None
    voi: Table | FileWindow | None = None
    is_inverted: bool = False
    padding: tuple[float, float] | None = None

    @property
    def is_deep(self) -> bool:
        """Whether the picture becomes uint16: bytes without a transformation stay what they are."""
        return not self.are_bytes or (self.slope, self.intercept, self.modality, self.voi) != (1.0, 0.0, None, None)

    def measured(self, stored: Num[np.ndarray, "*space"]) -> Num[np.ndarray, "*space"]:
        """Values such as Hounsfield units."""
        if self.modality is not None:
            return self.modality.of(stored)
        if (self.slope, self.intercept) == (1.0, 0.0):
            return stored
        return stored.astype(np.float64) * self.slope + self.intercept

    def usual_range(self, stored: Num[np.ndarray, "..."]) -> tuple[float, float]:
        """`values.usual_range` of what was measured; a straight line needs no second array for that."""
        if self.modality is not None:
            return usual_range(self.measured(stored))
        low, high = (bound * self.slope + self.intercept for bound in usual_range(stored))
        return min(low, high), max(low, high)


def grey_of(file: DicomFile, frame: int) -> Grey:
    """What a file says of how one of its grey frames is shown.

    Raises
    ------
    ImageError
        A slope that is 0, or numbers and tables that are none.
    """
    layout = file.layout
    slope = _number(file.told("RescaleSlope", "PixelValueTransformationSequence", frame), 1.0, file)
    intercept = _number(file.told("RescaleIntercept", "PixelValueTransformationSequence", frame), 0.0, file)
    if slope == 0 or not np.isfinite([slope, intercept]).all():
        raise ImageError(file.name, f"its values cannot be rescaled: slope {slope:g}, intercept {intercept:g}")
    shape = str(file.header.get("PresentationLUTShape") or "").strip("\0 ").upper()
    grey = Grey(
        are_bytes=file.pixel_keyword == "PixelData" and layout.bits_stored == 8 and not layout.is_signed,
        slope=slope,
        intercept=intercept,
        modality=_first_table(file.header, "ModalityLUTSequence", file),
        is_inverted=layout.photometric == "MONOCHROME1" or shape == "INVERSE",
        padding=_padding(file),
    )
    voi = _first_table(file.header, "VOILUTSequence", file) or _window(file, frame)
    # A window from 0 to 255 shows bytes as they are.
    shows_as_stored = isinstance(voi, FileWindow) and voi.function != "SIGMOID" and voi.bounds == (0, 255)
    return grey if shows_as_stored and not grey.is_deep else replace(grey, voi=voi)


def _number(value: Any, default: float, file: DicomFile) -> float:
    if value is None or value == "":
        return default
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise ImageError(
            file.name, phrase("its values cannot be rescaled: slope or intercept is not one number")
        ) from error


def _window(file: DicomFile, frame: int) -> FileWindow | None:
    """The first window of the file; none where its width cannot be one."""
    macro = "FrameVOILUTSequence"
    centre, width = (_first_number(file.told(key, macro, frame)) for key in ("WindowCenter", "WindowWidth"))
    function = str(file.told("VOILUTFunction", macro, frame) or "LINEAR").strip("\0 ").upper()
    if centre is None or width is None or function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        return None
    return FileWindow(centre, width, function) if width >= (1 if function == "LINEAR" else 1e-12) else None


def _first_number(value: Any) -> float | None:
    values = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    try:
        number = float(values[0])
    except (TypeError, ValueError, IndexError):
        return None
    return number if np.isfinite(number) else None


def _padding(file: DicomFile) -> tuple[float, float] | None:
    """Stored numbers from the padding value to its range limit, where that is stated (PS3.3 C.7.5.1.1.2)."""
    kind = {"PixelData": "Pixel", "FloatPixelData": "FloatPixel", "DoubleFloatPixelData": "DoubleFloatPixel"}
    prefix = kind[file.pixel_keyword]
    first = _first_number(file.header.get(f"{prefix}PaddingValue"))
    last = _first_number(file.header.get(f"{prefix}PaddingRangeLimit"))
    if first is None:
        return None
    bounds = [first, first if last is None else last]
    if prefix == "Pixel":  # often written with the sign that the pixels do not have
        size = 1 << file.layout.bits_allocated
        lowest = -size // 2 if file.layout.is_signed else 0
        bounds = [(bound - lowest) % size + lowest for bound in bounds]
    return min(bounds), max(bounds)


def _first_table(header: Dataset, keyword: str, file: DicomFile) -> Table | None:
    items = header.get(keyword)
    if not items:
        return None
    return table_of(items[0].get("LUTDescriptor"), items[0].get("LUTData"), file)


def table_of(descriptor: Any, data: Any, file: DicomFile) -> Table:
    """Read a lookup table: its descriptor (entries, first mapped value, bits) and its data.

    Data of 8 bits may come one or two bytes an entry. Where an entry is larger than the stated bits allow, the bits are
    those of the largest.

    Raises
    ------
    ImageError
        There are fewer entries than the descriptor says.
    """
    try:
        count, first, bits = (int(number) for number in descriptor)
    except (TypeError, ValueError) as error:
        raise ImageError(file.name, phrase("a lookup table of it is damaged")) from error
    count = count & 0xFFFF or 1 << 16
    if isinstance(data, bytes | bytearray):
        words = np.frombuffer(data[: len(data) // 2 * 2], "<u2" if file.syntax.is_little_endian else ">u2")
        if len(data) < 2 * count:  # packed in words, the low byte first
            words = np.frombuffer(words.astype("<u2").tobytes(), np.uint8)
    else:
        words = np.atleast_1d(np.array(data if data is not None else [], np.uint16))
    if len(words) < count:
        raise ImageError(file.name, f"a lookup table of it has {len(words)} entries of {count}")
    entries = words[:count].astype("<u2")
    largest = int(entries.max())
    bits = bits if 1 <= bits <= 16 and largest < 1 << bits else max(8, largest.bit_length())
    return Table(first, bits, entries.tobytes())


def shown(
    stored: Num[np.ndarray, "first *space"], grey: Grey, window: Window | None
) -> UInt[np.ndarray, "first *space"]:
    """Show grey numbers as a reader sees them: uint8 where `grey` is not deep, else uint16.

    A `window` goes before that of the file. Padding and values that are not finite are black.
    """
    black = _blank(stored, grey)
    low, high = (0.0, 0.0)
    if window is None and grey.voi is None and grey.is_deep:
        low, high = grey.usual_range(stored if black is None else stored[~black])

    def show_part(part: Num[np.ndarray, "*part"]) -> UInt[np.ndarray, "*part"]:
        if window is not None:
            seen = show(grey.measured(part), *window.bounds)
            return seen if grey.is_deep else np.round(seen / 257).astype(np.uint8)
        if not grey.is_deep:
            return part.astype(np.uint8)
        if isinstance(grey.voi, Table):
            return show(grey.voi.of(grey.measured(part)), 0, (1 << grey.voi.bits) - 1)
        return grey.voi.show(grey.measured(part)) if grey.voi else show(grey.measured(part), low, high)

    picture = np.empty(stored.shape, np.uint16 if grey.is_deep else np.uint8)
    if stored.dtype.kind in "iu" and (lowest := int(stored.min())) + _LARGEST_CURVE > int(stored.max()):
        curve = show_part(np.arange(lowest, int(stored.max()) + 1))
        for place, part in enumerate(stored):  # row by row or slice by slice: a whole array of places is large
            picture[place] = curve[part.astype(np.int64) - lowest]
    else:
        for place, part in enumerate(stored):
            picture[place] = show_part(part if part.dtype.kind != "f" else np.nan_to_num(part, nan=0.0))
    if grey.is_inverted:
        np.invert(picture, out=picture)
    if black is not None:
        picture[black] = 0
    return picture


def _blank(stored: Num[np.ndarray, "*space"], grey: Grey) -> np.ndarray | None:
    """Where a number stands for nothing measured."""
    blank = None if stored.dtype.kind != "f" else ~np.isfinite(stored)
    if grey.padding is not None:
        padded = (stored >= grey.padding[0]) & (stored <= grey.padding[1])
        blank = padded if blank is None else blank | padded
    return blank if blank is not None and blank.any() else None


def merged(
    parts: Sequence[Num[np.ndarray, "row column"]], greys: Sequence[Grey]
) -> tuple[Num[np.ndarray, "slice row column"], Grey]:
    """Stack slices that are to be shown alike: where they state several windows none holds.

    Slices that are rescaled in different ways, as those of PET often are, become their measured values.
    """
    first = greys[0]
    if any(grey.voi != first.voi for grey in greys):
        greys = [replace(grey, voi=None) for grey in greys]
    if all(grey == greys[0] for grey in greys):
        return np.stack(parts), greys[0]
    measured = []
    for part, grey in zip(parts, greys, strict=True):
        values: Float[np.ndarray, "row column"] = grey.measured(part).astype(np.float32)
        blank = _blank(part, grey)
        measured.append(values if blank is None else np.where(blank, np.float32(np.nan), values))
    return np.stack(measured), Grey(are_bytes=False, voi=greys[0].voi, is_inverted=first.is_inverted)
