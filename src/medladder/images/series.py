"""Slices put together: the files of a DICOM series, or the frames of one file, as a volume."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt

from ..errors import ImageError
from ..language import phrase
from .dicom import coloured, grey_where_equal, is_coloured, notes_of, numbers_of, spacing_of
from .dicom_file import DicomFile, opened
from .dicom_frames import decoded
from .dicom_values import Grey, grey_of, merged, shown
from .image import MAX_PIXELS, Image
from .orientation import canonical
from .values import Window

ALIKE = 1e-3
"""Direction cosines that differ by more are of different orientations."""

GAP_SHARE, GAP_MM = 0.01, 0.01
"""Gaps between slices may differ from the median one by this share of it and these millimetres."""

SAME_PLACE_MM = 1e-3
"""Slices that are closer lie at one position."""


@dataclass(frozen=True)
class _Slice:
    """Where one picture lies, in mm of the patient (left, back, up); what is not stated is None."""

    path: Path
    frame: int
    shape: tuple[int, int]
    is_colour: bool
    is_inverted: bool
    series: str
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    spacing_mm: tuple[float, float] | None
    notes: tuple[str, ...]


def read_series(paths: Sequence[Path], *, window: Window | None = None) -> Image:
    """Read the files of one series as a volume, ordered by where they lie in the patient and not by their names.

    One window shows all of it: the one given, else the one that every file states, else the usual range of the volume.

    Raises
    ------
    ImageError
        A file cannot be read, or has several frames; the files are of several series, sizes, spacings or orientations;
        positions are missing or double, or leave a gap; or the volume is larger than `MAX_PIXELS`.
    """
    slices = []
    for path in paths:
        with opened(path) as file:
            if file.layout.frames > 1:
                raise ImageError(
                    path.name, f"it is one of several files of a series, and holds {file.layout.frames} frames"
                )
            slices.append(_slice_of(file, path, 0))
    return _laid_out(slices, paths[0].name, window)


def read_frames(path: Path, *, window: Window | None = None) -> Image:
    """Read a file of several frames as a volume, ordered by where they lie in the patient.

    Where the file does not say where, they stay in the order in which they are stored, and a note says so.

    Raises
    ------
    ImageError
        It has one frame; or as `read_series`.
    """
    with opened(path) as file:
        if file.layout.frames < 2:
            raise ImageError(path.name, phrase("it holds a single frame, which makes no volume"))
        slices = [_slice_of(file, path, frame) for frame in range(file.layout.frames)]
        gap = _stated_gap(file)
    if any(one.position is not None and one.orientation is not None for one in slices):
        return _laid_out(slices, path.name, window)
    first = slices[0]
    spacing = None if gap is None or first.spacing_mm is None else (gap, *first.spacing_mm)
    notes = (*first.notes, phrase("its frames state no position and stand in the order in which they are stored"))
    return Image(_decoded(slices, window), spacing, notes)


def _slice_of(file: DicomFile, path: Path, frame: int) -> _Slice:
    # A position on top of a file of several frames is not that of each.
    has_place = file.layout.frames == 1 or bool(file.header.get("PerFrameFunctionalGroupsSequence"))
    position = numbers_of(file.told("ImagePositionPatient", "PlanePositionSequence", frame), 3)
    return _Slice(
        path=path,
        frame=frame,
        shape=(file.layout.rows, file.layout.columns),
        is_colour=is_coloured(file),
        is_inverted=file.layout.photometric == "MONOCHROME1",
        series=str(file.header.get("SeriesInstanceUID") or ""),
        position=position if has_place else None,
        orientation=numbers_of(file.told("ImageOrientationPatient", "PlaneOrientationSequence", frame), 6),
        spacing_mm=spacing_of(file, frame),
        notes=notes_of(file),
    )


def _stated_gap(file: DicomFile) -> float | None:
    for keyword in ("SpacingBetweenSlices", "SliceThickness"):
        numbers = numbers_of([file.told(keyword, "PixelMeasuresSequence", 0)], 1)
        if numbers is not None and numbers[0] > 0:
            return numbers[0]
    return None


def _laid_out(slices: Sequence[_Slice], name: str, window: Window | None) -> Image:
    if reason := _why_no_volume(slices):
        raise ImageError(name, reason)
    orientation = np.array(slices[0].orientation)
    along_row, along_column = orientation[:3], orientation[3:]
    if (
        abs(along_row @ along_column) > ALIKE
        or np.abs([along_row @ along_row - 1, along_column @ along_column - 1]).max() > ALIKE
    ):
        raise ImageError(
            name, phrase("its orientation is broken: the directions of rows and columns are no right angle of length 1")
        )
    normal = np.cross(along_row, along_column)
    positions = np.array([one.position for one in slices])
    order = np.argsort(positions @ normal, kind="stable")
    gap = _even_gap((positions @ normal)[order], name)
    spacing = slices[0].spacing_mm or (0.0, 0.0)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = normal * gap, along_column * spacing[0], along_row * spacing[1]
    affine[:3, 3] = positions[order[0]]
    affine[:2] *= -1  # DICOM counts to the patient's left and back, RAS to the right and front
    pixels, spacing_mm = canonical(_decoded([slices[i] for i in order], window), affine)
    notes = [note for one in slices for note in one.notes]
    if _is_tilted(positions[order], normal, min(spacing)):
        notes.append(
            phrase(
                "its slices are not straight above one another, as of a tilted gantry, and are stacked as if they were"
            )
        )
    return Image(np.ascontiguousarray(pixels), spacing_mm, tuple(dict.fromkeys(notes)))


def _why_no_volume(slices: Sequence[_Slice]) -> str:
    first = slices[0]
    if len({one.series for one in slices}) > 1:
        return phrase("the slices are of several series")
    if len(slices) < 2:
        return phrase("a single slice makes no volume")
    if missing := sum(one.position is None or one.orientation is None for one in slices):
        return f"{missing} of {len(slices)} slices do not state where they lie in the patient"
    if any(one.shape != first.shape for one in slices):
        return phrase("the slices are of several sizes")
    if any((one.is_colour, one.is_inverted) != (first.is_colour, first.is_inverted) for one in slices):
        return phrase("the slices are of several kinds of grey or colour")
    if any(one.spacing_mm is None for one in slices):
        return phrase("the slices state no spacing of their pixels that is above 0")
    spacings, orientations = (
        np.array([getattr(one, what) for one in slices]) for what in ("spacing_mm", "orientation")
    )
    if np.abs(spacings / spacings[0] - 1).max() > ALIKE:
        return phrase("the slices have several pixel spacings")
    if np.abs(orientations - orientations[0]).max() > ALIKE:
        return phrase("the slices are of several orientations, as where a scout stands among them")
    if len(slices) * first.shape[0] * first.shape[1] > MAX_PIXELS:
        return f"together the slices have more than {MAX_PIXELS:,} pixels"
    return ""


def _even_gap(heights: Float[np.ndarray, "slice"], name: str) -> float:
    """The distance in mm of neighbours among ordered slices."""
    gaps = np.diff(heights)
    doubles = np.flatnonzero(gaps < SAME_PLACE_MM)
    if len(doubles):
        reason = (
            f"{len(doubles)} of {len(heights)} slices lie where another lies, the first at {heights[doubles[0]]:.2f} mm"
        )
        raise ImageError(name, f"{reason}, as of several phases")
    median = float(np.median(gaps))
    uneven = np.flatnonzero(np.abs(gaps - median) > GAP_SHARE * median + GAP_MM)
    if not len(uneven):
        return float(gaps.mean())
    missing = [round(gaps[i] / median) - 1 for i in uneven]
    at = uneven[0]
    place = f"between {heights[at]:.2f} and {heights[at + 1]:.2f} mm along the stack"
    where = f"{place}, whose slices are {median:.2f} mm apart"
    if all(
        count > 0 and abs(gaps[i] / (count + 1) - median) < 0.05 * median
        for i, count in zip(uneven, missing, strict=True)
    ):
        raise ImageError(name, f"{sum(missing)} of its slices missing, the first {where}")
    raise ImageError(name, f"its slices are unevenly spaced, first {where}")


def _is_tilted(positions: Float[np.ndarray, "slice 3"], normal: Float[np.ndarray, "3"], pixel: float) -> bool:
    """Whether any slice is shifted within its plane by half a pixel or more against the first."""
    shifts = positions - positions[0]
    aside = shifts - np.outer(shifts @ normal, normal)
    return bool(np.linalg.norm(aside, axis=1).max() > pixel / 2)


def _decoded(slices: Sequence[_Slice], window: Window | None) -> UInt[np.ndarray, "slice row column channel"]:
    parts: list[np.ndarray] = []
    greys: list[Grey] = []
    for path, frames in _by_file(slices):
        with opened(path) as file:
            for frame in frames:
                values = decoded(file, frame)
                if slices[0].is_colour:
                    parts.append(coloured(values, file))
                else:
                    parts.append(values)
                    greys.append(grey_of(file, frame))
    if slices[0].is_colour:
        return grey_where_equal(np.stack(parts))
    stored, grey = merged(parts, greys)
    parts.clear()
    return shown(stored, grey, window)[..., None]


def _by_file(slices: Sequence[_Slice]) -> Iterable[tuple[Path, list[int]]]:
    """A file is opened once for its run of frames."""
    runs: list[tuple[Path, list[int]]] = []
    for one in slices:
        if not runs or runs[-1][0] != one.path:
            runs.append((one.path, []))
        runs[-1][1].append(one.frame)
    return runs
