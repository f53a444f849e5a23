"""How a file was stored, as far as its header tells: what may give a class away and shows nothing of a patient."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from .dicom_file import is_dicom
from .names import RASTER, ending_of

_BITS = {"1": "1", "I": "32", "F": "32"}


@dataclass(frozen=True)
class Encoding:
    """Each part "" where the header does not tell.

    `kind` is as PNG or DICOM; `bits` those of a value; `channels` as Pillow or DICOM call them; `compression` the mean
    quantization step of a JPEG, a TIFF's or a DICOM's way of compressing.
    """

    kind: str = ""
    bits: str = ""
    channels: str = ""
    compression: str = ""


def read_encoding(path: Path) -> Encoding:
    """What the header tells, of a file that was decoded before; of a volume's file only the kind.

    Nothing is told of a file whose header cannot be read any more: it is no longer what was decoded.
    """
    ending = ending_of(path.name)
    try:
        if ending in RASTER:
            return _of_raster(path)
        return _of_dicom(path) or Encoding(kind=ending)
    except Exception:  # Pillow and pydicom end in many ways at a damaged file
        return Encoding()


def _of_raster(path: Path) -> Encoding:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        picture = Pillow.open(path)
    with picture:
        steps = getattr(picture, "quantization", None)
        compression = f"{np.mean(steps[min(steps)]):.2f}" if steps else str(picture.info.get("compression", ""))
        mode = picture.mode.split(";")[0]  # I;16 and I;16B are alike but for the order of bytes
        bits = "16" if ";16" in picture.mode else _BITS.get(mode, "8")
        return Encoding(str(picture.format), bits, mode, compression)


def _of_dicom(path: Path) -> Encoding | None:
    from pydicom import dcmread

    if not is_dicom(path):
        return None
    wanted = ["BitsStored", "PhotometricInterpretation", "LossyImageCompressionRatio"]
    header = dcmread(path, stop_before_pixels=True, specific_tags=wanted)
    syntax = header.file_meta.get("TransferSyntaxUID", "")
    lossy = header.get("LossyImageCompressionRatio", "")
    return Encoding(
        "DICOM",
        str(header.get("BitsStored", "")),
        str(header.get("PhotometricInterpretation", "")),
        f"{getattr(syntax, 'name', syntax)} {lossy}".strip(),
    )
