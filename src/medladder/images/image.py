"""An image in memory, and what its file says of it before it is decoded."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import UInt

MAX_PIXELS = 200_000_000
"""Larger pictures and volumes are refused before decoding: a lying header must not take the machine's memory."""


@dataclass(frozen=True)
class Image:
    """One picture or volume: `pixels` over the full range of uint8 or uint16; 1 channel where all are equal.

    Space is (row, column), or (slice, row, column) from inferior to superior, anterior to posterior and right to left
    of the patient where the file says how it lies. `spacing_mm` is the distance between voxel centres along each of
    these axes; None where the file does not state it. `notes` say what was passed over, such as overlays.
    """

    pixels: UInt[np.ndarray, "*space channel"]
    spacing_mm: tuple[float, ...] | None = None
    notes: tuple[str, ...] = ()

    @property
    def bit_depth(self) -> int:
        """Bits a pixel is stored with: 8 or 16."""
        return self.pixels.dtype.itemsize * 8

    @property
    def content(self) -> str:
        """A hash of what is seen, not of the file: the same pixels as PNG and as TIFF agree."""
        digest = hashlib.blake2b(digest_size=16)
        digest.update(repr((self.pixels.shape, self.pixels.dtype.str)).encode())
        digest.update(np.ascontiguousarray(self.pixels).data)
        return digest.hexdigest()


@dataclass(frozen=True)
class Header:
    """What a file claims before it is decoded.

    `shape` is (row, column), upright, or (slice, row, column) as `Image` lays space out; `is_deep`: read as uint16.
    `frames` counts pictures in one file that are no volume by their format, such as a multi-frame DICOM. `facts` are
    about patient and acquisition (`FACTS`), as text; identifiers stand there as hashes alone (`hash_identifier`).
    """

    shape: tuple[int, ...]
    is_deep: bool
    is_colour: bool
    frames: int = 1
    spacing_mm: tuple[float, ...] | None = None
    facts: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As the cache keeps it."""
        return {**self.__dict__, "facts": dict(self.facts)}

    @classmethod
    def of_json(cls, told: Mapping[str, Any]) -> Header:
        """The header that `to_json` wrote."""
        spacing = told["spacing_mm"]
        return cls(**{**told, "shape": tuple(told["shape"]), "spacing_mm": None if spacing is None else tuple(spacing)})


IDENTIFIERS = ("patient", "study", "series", "instance")
"""Facts that name someone or something: in a `Header` as hashes, to be compared and never to be shown."""

COVARIATES = ("modality", "laterality", "view", "maker", "device", "kvp", "age", "sex")
"""Facts that become columns of a cohort: age in years, kvp in kilovolts, maker and device (model) of the machine."""

FACTS = (*IDENTIFIERS, *COVARIATES)


def hash_identifier(text: str) -> str:
    """What stands for an identifier from an image: equal texts agree, and the text itself goes no further."""
    return hashlib.blake2b(text.strip().encode("utf-8"), digest_size=16).hexdigest()
