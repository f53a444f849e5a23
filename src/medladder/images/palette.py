"""Palettes of DICOM: one number a pixel, looked up in a table for each of red, green and blue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Num, UInt

from ..errors import ImageError
from ..language import phrase
from .dicom_file import DicomFile
from .dicom_values import Table, table_of

_COLOURS = ("Red", "Green", "Blue")


@dataclass(frozen=True)
class Palette:
    """What each stored number from `first` on looks like: `colours` over the full range of uint8 or uint16."""

    first: int
    colours: UInt[np.ndarray, "entry 3"]

    @property
    def is_deep(self) -> bool:
        """Whether pictures become uint16."""
        return self.colours.dtype == np.uint16

    @property
    def is_colour(self) -> bool:
        """Whether any entry is not grey."""
        return bool((self.colours != self.colours[:, :1]).any())

    def of(self, stored: Num[np.ndarray, "row column"]) -> UInt[np.ndarray, "row column 3"]:
        """Numbers below and above the palette take its first and last colour (PS3.3 C.7.6.3.1.5)."""
        return self.colours[np.clip(stored.astype(np.int64) - self.first, 0, len(self.colours) - 1)]


def palette_of(file: DicomFile) -> Palette:
    """Read the palette of a file, plain or in segments.

    Entries become uint8 where 8 bits say all that they do: most palettes of 16 bits hold 8-bit colours, as they are, in
    the high byte, or in both.

    Raises
    ------
    ImageError
        There is no palette, or it is damaged.
    """
    tables = [_channel(file, colour) for colour in _COLOURS]
    if len({(table.first, len(table.entries)) for table in tables}) != 1:
        raise ImageError(file.name, phrase("the three tables of its palette differ in length or start"))
    entries = np.stack([table.values for table in tables], axis=1)
    return Palette(tables[0].first, _full_range(entries, max(table.bits for table in tables)))


def _full_range(entries: UInt[np.ndarray, "entry 3"], bits: int) -> UInt[np.ndarray, "entry 3"]:
    if bits == 8 or entries.max() < 256:
        return entries.astype(np.uint8)
    low, high = entries & 0xFF, entries >> 8
    if not low.any() or (low == high).all():
        return high.astype(np.uint8)
    top = (1 << bits) - 1
    return np.round(entries * (65535 / top)).astype(np.uint16)


def _channel(file: DicomFile, colour: str) -> Table:
    descriptor = file.header.get(f"{colour}PaletteColorLookupTableDescriptor")
    plain = file.header.get(f"{colour}PaletteColorLookupTableData")
    segments = file.header.get(f"Segmented{colour}PaletteColorLookupTableData")
    if descriptor is None or (plain is None and segments is None):
        raise ImageError(file.name, phrase("its colours come from a palette that it does not hold"))
    if plain is not None:
        return table_of(descriptor, plain, file)
    return table_of(descriptor, _expanded(segments, descriptor, file), file)


def _expanded(segments: Any, descriptor: Any, file: DicomFile) -> list[int]:
    """Lay out discrete, linear and indirect segments one by one (PS3.3 C.7.9.2)."""
    count, wide = int(descriptor[0]) & 0xFFFF or 1 << 16, int(descriptor[2]) > 8
    order = "<" if file.syntax.is_little_endian else ">"
    words = np.frombuffer(bytes(segments), f"{order}u2" if wide else np.uint8).tolist()
    table: list[int] = []
    steps = [(0, len(words))]  # of segments still to come: from which word, and how many segments at most
    while steps and len(table) < count:
        place, left = steps.pop()
        if left < 1 or place + 1 >= len(words):
            continue
        code, length = words[place], words[place + 1]
        if code == 0:
            table.extend(words[place + 2 : place + 2 + length])
            after = place + 2 + length
        elif code == 1 and table and place + 2 < len(words):
            line = np.linspace(table[-1], words[place + 2], length + 1)[1:]
            table.extend(int(value) for value in np.round(line))
            after = place + 3
        elif code == 2 and len(steps) < 2:
            parts = words[place + 2 : place + (4 if wide else 6)]
            offset = parts[0] | parts[1] << 16 if wide else int.from_bytes(bytes(parts), "little")
            after = place + (4 if wide else 6)
            steps.append((after, left - 1))
            steps.append((offset // (2 if wide else 1), length))
            continue
        else:
            raise ImageError(file.name, phrase("the segments of its palette are damaged"))
        steps.append((after, left - 1))
    return table
