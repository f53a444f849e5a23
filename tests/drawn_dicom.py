"""Drawn arrays written as DICOM, in the transfer syntaxes that can be written here, and broken on purpose.

Compressed files are written by GDCM, which does not write HTJ2K.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
UNCOMPRESSED = {
    "implicit": ImplicitVRLittleEndian,
    "explicit": ExplicitVRLittleEndian,
    "big endian": ExplicitVRBigEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
}
COMPRESSED = {
    "RLE": "RLELossless",
    "JPEG lossless": "JPEGLosslessProcess14_1",
    "JPEG-LS": "JPEGLSLossless",
    "JPEG 2000": "JPEG2000Lossless",
    "JPEG 2000 lossy": "JPEG2000",
    "JPEG baseline": "JPEGBaselineProcess1",
    "JPEG extended": "JPEGExtendedProcess2_4",
}


def drawn(path: Path, pixels: np.ndarray, *, syntax: str = "explicit", **elements: Any) -> Path:
    """Write `pixels`, (row, column), (frame, row, column) or (row, column, 3), with further or other elements.

    An element that is None is left out.
    """
    plain = syntax if syntax in UNCOMPRESSED else "explicit"
    path.write_bytes(as_bytes(dataset(pixels, syntax=plain, **elements)))
    if syntax not in UNCOMPRESSED:
        _compress(path, syntax)
    return path


def dataset(pixels: np.ndarray, *, syntax: str = "explicit", **elements: Any) -> Dataset:
    """A data set with what an image must say, and `elements`."""
    is_colour = pixels.ndim == 3 and pixels.shape[-1] == 3
    bits = pixels.dtype.itemsize * 8
    data = header(UNCOMPRESSED[syntax])
    data.SamplesPerPixel = 3 if is_colour else 1
    data.PhotometricInterpretation = "RGB" if is_colour else "MONOCHROME2"
    data.Rows, data.Columns = pixels.shape[:2] if is_colour else pixels.shape[-2:]
    if is_colour:
        data.PlanarConfiguration = 0
    elif pixels.ndim == 3:
        data.NumberOfFrames = len(pixels)
    data.BitsAllocated = bits
    order = ">" if syntax == "big endian" else "<"
    raw = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    if pixels.dtype.kind == "f":
        setattr(data, "FloatPixelData" if bits == 32 else "DoubleFloatPixelData", raw)
    else:
        data.BitsStored, data.HighBit = bits, bits - 1
        data.PixelRepresentation = int(pixels.dtype.kind == "i")
        data.PixelData = raw + b"\0" * (len(raw) % 2)
        data["PixelData"].VR = "OW" if bits > 8 or syntax == "implicit" else "OB"
    return told(data, **elements)


def header(syntax: str, storage: str = SECONDARY_CAPTURE) -> Dataset:
    """A data set that says who and what, and has no pixels."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = storage
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = "1.2.3.4"
    data.file_meta.TransferSyntaxUID = syntax
    data.PatientID, data.StudyInstanceUID, data.SeriesInstanceUID = "P-17", "1.2.3", "1.2.3.1"
    data.Modality = "OT"
    return data


def told(data: Dataset, **elements: Any) -> Dataset:
    """The data set with `elements` set, or left out where they are None."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for keyword, value in elements.items():
            if value is None:
                if keyword in data:
                    delattr(data, keyword)
            else:
                setattr(data, keyword, value)
    return data


def as_bytes(data: Dataset, *, has_preamble: bool = True) -> bytes:
    """The file of a data set; without preamble also without file meta information, as of ACR-NEMA's day."""
    file = io.BytesIO()
    syntax = data.file_meta.TransferSyntaxUID
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if has_preamble:
            data.save_as(file, enforce_file_format=True)
        else:
            bare = Dataset(data)
            bare.save_as(file, implicit_vr=syntax.is_implicit_VR, little_endian=syntax.is_little_endian)
    return file.getvalue()


def encapsulated(path: Path, frames: list[bytes], syntax: str, pixels: np.ndarray, **elements: Any) -> Path:
    """Write frames that are compressed already, with the header that `pixels` would have."""
    data = dataset(pixels)
    data.file_meta.TransferSyntaxUID = syntax
    data.PixelData = encapsulate(frames)
    data["PixelData"].VR = "OB"
    data["PixelData"].is_undefined_length = True
    path.write_bytes(as_bytes(told(data, **elements)))
    return path


def _compress(path: Path, syntax: str) -> None:
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, COMPRESSED[syntax])))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()


def lut(entries: list[int], *, first: int = 0, bits: int = 16) -> Sequence:
    """A sequence of one lookup table."""
    item = Dataset()
    item.LUTDescriptor = [len(entries), first, bits]
    item.LUTData = np.array(entries, "<u2").tobytes()
    item["LUTDescriptor"].VR = "SS" if first < 0 else "US"
    item["LUTData"].VR = "OW"
    return Sequence([item])


def groups(**macros: dict[str, Any]) -> Dataset:
    """An item of functional groups, of enhanced multi-frame files."""
    item = Dataset()
    for macro, elements in macros.items():
        inner = told(Dataset(), **elements)
        setattr(item, macro, Sequence([inner]))
    return item
