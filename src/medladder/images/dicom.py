"""DICOM: one file as a radiologist sees it, and what it says of patient and acquisition."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt

from ..errors import ImageError
from ..language import phrase
from .dicom_file import DicomFile, is_dicom, opened
from .dicom_frames import decoded
from .dicom_values import grey_of, shown
from .image import Header, Image, hash_identifier
from .palette import palette_of
from .values import Window

if TYPE_CHECKING:
    from pydicom import Dataset
else:  # pydicom is imported by those who have DICOM
    Dataset = Any

__all__ = ["is_dicom", "read_file", "read_header"]

_IDENTIFIERS = {
    "patient": "PatientID",
    "study": "StudyInstanceUID",
    "series": "SeriesInstanceUID",
    "instance": "SOPInstanceUID",
}
_DAYS_A_YEAR = 365.25
_AGES = {"Y": 1.0, "M": 1 / 12, "W": 7 / _DAYS_A_YEAR, "D": 1 / _DAYS_A_YEAR}


def read_header(path: Path) -> Header:
    """Read what a file says of itself, without decoding its pixels.

    Raises
    ------
    ImageError
        As `dicom_file.opened` and `dicom_values.grey_of` say.
    """
    with opened(path) as file:
        layout = file.layout
        if layout.photometric == "PALETTE COLOR":
            palette = palette_of(file)
            is_deep, is_colour = palette.is_deep, palette.is_colour
        elif is_coloured(file):
            is_deep, is_colour = layout.bits_allocated > 8, True
        else:
            is_deep, is_colour = any(grey_of(file, i).is_deep for i in _frames_that_differ(file)), False
        return Header(
            shape=(layout.rows, layout.columns),
            is_deep=is_deep,
            is_colour=is_colour,
            frames=layout.frames,
            spacing_mm=spacing_of(file, 0),
            facts=_facts(file.header),
        )


def _frames_that_differ(file: DicomFile) -> range:
    return range(max(1, min(file.layout.frames, len(file.header.get("PerFrameFunctionalGroupsSequence") or []))))


def read_file(path: Path, *, window: Window | None = None, frame: int | None = None) -> Image:
    """Read a picture, or one frame, counted from 0, of a file with several.

    Grey is shown by a `window` of measured values, or else as the file states; where it states nothing, 8 bits as they
    are stored and others between `values.usual_range`. Palettes and YBR become RGB, and colour that is grey becomes
    grey.

    Raises
    ------
    ImageError
        It cannot be decoded, as `dicom_frames.decoded` says; it has several frames and none is asked for; or it has no
        such frame.
    """
    with opened(path) as file:
        count = file.layout.frames
        if frame is None and count > 1:
            reason = f"it holds {count} frames: --stacks volumes takes all as one, --stacks slices each as an image"
            raise ImageError(path.name, reason)
        frame = frame or 0
        if not 0 <= frame < count:
            raise ImageError(path.name, f"frame {frame} is asked for, and it holds {count}")
        values = decoded(file, frame)
        if is_coloured(file):
            pixels = grey_where_equal(coloured(values, file))
        else:
            pixels = shown(values, grey_of(file, frame), window)[:, :, None]
        return Image(pixels, spacing_of(file, frame), notes_of(file))


def is_coloured(file: DicomFile) -> bool:
    """Whether the file is of a kind that has colours, even if all of them are grey."""
    return file.layout.samples == 3 or file.layout.photometric == "PALETTE COLOR"


def coloured(values: np.ndarray, file: DicomFile) -> UInt[np.ndarray, "row column 3"]:
    """Colours over the full range of uint8 or uint16, from decoded RGB or the numbers of a palette."""
    if file.layout.photometric == "PALETTE COLOR":
        return palette_of(file).of(values)
    full = 255 if file.layout.bits_allocated == 8 else 65535
    top = (1 << file.layout.bits_stored) - 1
    scaled = values if top == full else np.clip(np.round(values * (full / top)), 0, full)
    return scaled.astype(np.uint8 if full == 255 else np.uint16)


def grey_where_equal(pixels: UInt[np.ndarray, "*space 3"]) -> UInt[np.ndarray, "*space channel"]:
    """One channel where all three are equal everywhere."""
    red, green, blue = (pixels[..., channel] for channel in range(3))
    is_grey = np.array_equal(red, green) and np.array_equal(red, blue)
    return np.ascontiguousarray(pixels[..., :1]) if is_grey else pixels


def spacing_of(file: DicomFile, frame: int) -> tuple[float, float] | None:
    """Distance in mm between rows and between columns: in the patient, else at the detector, else on the scanned film.

    What is not above 0 counts as not stated.
    """
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        numbers = numbers_of(file.told(keyword, "PixelMeasuresSequence", frame), 2)
        if numbers is not None and min(numbers) > 0:
            return numbers[0], numbers[1]
    return None


def numbers_of(value: Any, count: int) -> tuple[float, ...] | None:
    """So many finite numbers, or None."""
    try:
        numbers = tuple(float(number) for number in value)
    except (TypeError, ValueError):
        return None
    return numbers if len(numbers) == count and np.isfinite(numbers).all() else None


def notes_of(file: DicomFile) -> tuple[str, ...]:
    """What was passed over."""
    header = file.header
    notes: list[str] = []
    if any(0x6000 <= tag.group <= 0x60FF for tag in header.keys()):  # noqa: SIM118 - a Dataset yields its elements
        notes.append(phrase("overlays are not drawn"))
    if _text(header, "BurnedInAnnotation").upper() == "YES":
        notes.append(phrase("its header says that text is burned into the picture"))
    if _text(header, "PixelPresentation").upper() in ("COLOR", "MIXED"):
        notes.append(phrase("its supplemental palette is not applied"))
    if file.is_longer:
        notes.append(phrase("more bytes than its header claims; they were passed over"))
    aspect = numbers_of(header.get("PixelAspectRatio"), 2)
    if aspect is not None and aspect[0] != aspect[1] and spacing_of(file, 0) is None:
        notes.append(
            f"its pixels are not square ({aspect[0]:g} high, {aspect[1]:g} wide) and are shown as if they were"
        )
    return tuple(notes)


def _facts(header: Dataset) -> Mapping[str, str]:
    """What is said of patient and acquisition; what is empty or broken is left out."""
    told = {name: _text(header, keyword) for name, keyword in _IDENTIFIERS.items()}
    facts = {name: hash_identifier(text) for name, text in told.items() if text}
    facts |= {
        "modality": _text(header, "Modality").upper(),
        "laterality": (_text(header, "ImageLaterality") or _text(header, "Laterality")).upper(),
        "view": _text(header, "ViewPosition").upper(),
        "maker": _text(header, "Manufacturer").upper(),
        "device": _text(header, "ManufacturerModelName"),
        "kvp": _kilovolts(header),
        "age": _age(header),
        "sex": _text(header, "PatientSex").upper(),
    }
    return {name: text for name, text in facts.items() if text}


def _text(header: Dataset, keyword: str) -> str:
    """An element as text with single spaces; empty where it is missing, has several values, or cannot be read."""
    try:
        value = header.get(keyword)
    except Exception:  # pydicom reads an element when it is asked for, and may fail in any way; the pixels do not care
        return ""
    if value is None or not isinstance(value, str | int | float):
        return ""
    return " ".join(str(value).replace("\0", " ").split())


def _kilovolts(header: Dataset) -> str:
    try:
        kilovolts = float(_text(header, "KVP"))
    except ValueError:
        return ""
    return f"{kilovolts:g}" if kilovolts > 0 and np.isfinite(kilovolts) else ""


def _age(header: Dataset) -> str:
    """Years, to three digits: as stated, else from birth to the study."""
    stated = re.fullmatch(r"(\d{1,3})([YMWD])", _text(header, "PatientAge").upper())
    if stated is not None:
        return f"{int(stated[1]) * _AGES[stated[2]]:.3g}"
    birth, study = (_day(_text(header, keyword)) for keyword in ("PatientBirthDate", "StudyDate"))
    if birth is None or study is None:
        return ""
    years = (study - birth).days / _DAYS_A_YEAR
    return f"{years:.3g}" if 0 <= years < 130 else ""  # dates that were blanked are often of the year 1111 or 1900


def _day(text: str) -> date | None:
    """A date, with the points of ACR-NEMA or without."""
    try:
        return datetime.strptime(re.sub(r"(\d{4})\.(\d\d)\.(\d\d)", r"\1\2\3", text), "%Y%m%d").date()
    except ValueError:
        return None
