"""Frames of a DICOM file decoded to the numbers that are stored, or to colours."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Num, UInt

from ..errors import ImageError
from ..language import phrase
from .dicom_file import DicomFile, told_plainly
from .wholeness import MISSING_ROWS, ends_alike, is_whole_jpeg


def decoded(file: DicomFile, frame: int) -> Num[np.ndarray, "row column *channel"]:
    """One frame: the stored numbers of grey and palettes with their sign, or the RGB of colour.

    Colour has values from 0 to 2^bits stored - 1.

    Raises
    ------
    ImageError
        There is no decoder, the compressed data is damaged, or says another size than the header.
    """
    with told_plainly(file.name, phrase("its pixels cannot be decoded") + f" ({file.syntax.name})"):
        file.stream.seek(file.start)
        if not file.syntax.is_encapsulated:
            return _aligned(_uncompressed(file, frame), file)
        return _compressed(file, frame)


def _options(file: DicomFile) -> dict[str, Any]:
    layout = file.layout
    return {
        "rows": layout.rows,
        "columns": layout.columns,
        "number_of_frames": layout.frames,
        "samples_per_pixel": layout.samples,
        "photometric_interpretation": layout.photometric,
        "planar_configuration": layout.planar,
        "bits_allocated": layout.bits_allocated,
        "bits_stored": layout.bits_stored,
        "pixel_representation": int(layout.is_signed),
        "pixel_keyword": file.pixel_keyword,
        "pixel_vr": file.pixel_vr,
    }


def _uncompressed(file: DicomFile, frame: int) -> Num[np.ndarray, "row column *channel"]:
    from pydicom.pixels.decoders.base import get_decoder

    # Our own alignment knows of the high bit.
    options = {**_options(file), "correct_unused_bits": False}
    values, _ = get_decoder(file.syntax).as_array(file.stream, index=frame, **options)
    return values if values.dtype.isnative else values.astype(values.dtype.newbyteorder("="))


def _aligned(values: Num[np.ndarray, "row column *channel"], file: DicomFile) -> Num[np.ndarray, "row column *channel"]:
    """Drop the bits above and below those stored, which may hold overlays or anything (PS3.5 8.1.1)."""
    layout = file.layout
    above, unused = layout.bits_allocated - 1 - layout.high_bit, layout.bits_allocated - layout.bits_stored
    if values.dtype.kind == "f" or values.dtype.itemsize * 8 != layout.bits_allocated or not unused:
        return values
    return (values << above) >> unused


def _compressed(file: DicomFile, frame: int) -> Num[np.ndarray, "row column *channel"]:
    from pydicom import uid
    from pydicom.encaps import get_frame

    offsets = [file.header.get(key) for key in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")]
    extended = (offsets[0], offsets[1]) if all(offsets) else None
    stream = get_frame(file.stream, frame, number_of_frames=file.layout.frames, extended_offsets=extended)
    if file.syntax == uid.RLELossless:
        return _by_plugin(stream, file)
    told = _checked(stream, file)
    decode = partial(_by_plugin, file=file)
    if file.syntax in (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit):
        decode = partial(_jpeg, told=told, file=file) if told.precision == 8 else partial(_jpeg_12_bits, file=file)
    values = decode(stream)
    if file.syntax in uid.JPEGTransferSyntaxes and ends_alike(values) and not is_whole_jpeg(stream, decode):
        raise ImageError(file.name, MISSING_ROWS)
    return values


def _by_plugin(stream: bytes, file: DicomFile) -> Num[np.ndarray, "row column *channel"]:
    from pydicom import uid
    from pydicom.encaps import encapsulate
    from pydicom.pixels.decoders.base import get_decoder

    plugin = _plugin(file.syntax)
    options = {**_options(file), "number_of_frames": 1}
    if file.syntax in (uid.RLELossless, uid.JPEGLossless, uid.JPEGLosslessSV1):
        options["correct_unused_bits"] = False
    decoder = get_decoder(file.syntax)
    if plugin not in decoder.available_plugins:
        raise ImageError(file.name, f"no decoder is installed for {file.syntax.name}")
    if plugin == "gdcm":
        _silence_gdcm()
    values, _ = decoder.as_array(encapsulate([stream]), index=0, decoding_plugin=plugin, **options)
    return _aligned(values, file) if "correct_unused_bits" in options else values


def _plugin(syntax: Any) -> str:
    """One decoder a syntax, so that the same file gives the same pixels everywhere."""
    from pydicom import uid

    if syntax == uid.RLELossless:
        return "pydicom"
    by_gdcm = (uid.JPEGLossless, uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEGLSNearLossless)
    return "gdcm" if syntax in by_gdcm else "pylibjpeg"


def _silence_gdcm() -> None:
    import gdcm

    gdcm.Trace.WarningOff()
    gdcm.Trace.ErrorOff()


@dataclass(frozen=True)
class Codestream:
    """What a compressed frame says of itself; `ids` and `samplings` are those of JPEG's components."""

    rows: int
    columns: int
    samples: int
    precision: int
    ids: bytes = b""
    samplings: bytes = b""
    markers: frozenset[bytes] = frozenset()


def _checked(stream: bytes, file: DicomFile) -> Codestream:
    """Refuse a frame that is cut short or contradicts the header: decoders would fill in, or take any memory."""
    layout = file.layout
    told = _jpeg_2000_header(stream) or _jpeg_header(stream)
    if told is None:
        raise ImageError(
            file.name, phrase("its compressed pixels are not what its header claims") + f" ({file.syntax.name})"
        )
    if (told.rows, told.columns, told.samples) != (layout.rows, layout.columns, layout.samples):
        raise ImageError(
            file.name,
            f"its header claims {layout.columns}×{layout.rows} pixels of {layout.samples} samples, and its compressed "
            f"pixels {told.columns}×{told.rows} of {told.samples}",
        )
    if told.precision > layout.bits_allocated:
        raise ImageError(
            file.name,
            f"its header claims {layout.bits_allocated} bits allocated, and its compressed pixels {told.precision}",
        )
    if b"\xff\xd9" not in stream[-32:]:
        raise ImageError(file.name, phrase("its compressed pixels break off before their end"))
    return told


def _jpeg_2000_header(stream: bytes) -> Codestream | None:
    """Read the marker SIZ of a codestream, bare or within a JP2 file (ISO 15444-1 A.5.1)."""
    start = 0 if stream.startswith(b"\xff\x4f\xff\x51") else stream.find(b"\xff\x4f\xff\x51", 0, 4096)
    if start < 0 or len(stream) < start + 43 or not stream.startswith((b"\xff\x4f", b"\0\0\0\x0cjP")):
        return None
    x1, y1, x0, y0 = struct.unpack(">4I", stream[start + 8 : start + 24])
    (samples,) = struct.unpack(">H", stream[start + 40 : start + 42])
    return Codestream(y1 - y0, x1 - x0, samples, (stream[start + 42] & 0x7F) + 1)


def _jpeg_header(stream: bytes) -> Codestream | None:
    """Read the markers of a JPEG or JPEG-LS up to the start of its frame (ISO 10918-1 B.2.2)."""
    place = 2
    markers: set[bytes] = set()
    if not stream.startswith(b"\xff\xd8"):
        return None
    while place + 10 < len(stream) and stream[place] == 0xFF:
        code = stream[place + 1]
        if code == 0xFF:  # a byte of fill
            place += 1
            continue
        (length,) = struct.unpack(">H", stream[place + 2 : place + 4])
        if (0xC0 <= code <= 0xCF and code not in (0xC4, 0xC8, 0xCC)) or code == 0xF7:
            precision, rows, columns, samples = struct.unpack(">BHHB", stream[place + 4 : place + 10])
            parts = stream[place + 10 : place + 10 + 3 * samples]
            return Codestream(rows, columns, samples, precision, parts[::3], parts[1::3], frozenset(markers))
        markers.add(stream[place + 4 : place + 9].rstrip(b"\0"))
        place += 2 + length
    return None


def _jpeg(stream: bytes, told: Codestream, file: DicomFile) -> Num[np.ndarray, "row column *channel"]:
    """Decode 8 bits by Pillow, to grey or RGB.

    libjpeg tells YCbCr from RGB by the markers JFIF and Adobe and by the components' names. Where a stream has none of
    these, the header decides; but RGB is never subsampled.
    """
    from PIL import Image as Pillow

    with Pillow.open(io.BytesIO(stream), formats=("JPEG",)) as picture:
        if told.samples == 1:
            values = np.asarray(picture)
            return values.view(np.int8) if file.layout.is_signed else values
        has_no_word = not told.markers & {b"JFIF", b"Adobe"} and told.ids != b"RGB"
        if has_no_word and file.layout.photometric == "RGB" and len(set(told.samplings)) == 1:
            picture.draft("YCbCr", picture.size)  # as they are
            return np.frombuffer(picture.tobytes(), np.uint8).reshape(told.rows, told.columns, 3)
        return np.asarray(picture.convert("RGB"))


def _jpeg_12_bits(stream: bytes, file: DicomFile) -> UInt[np.ndarray, "row column"]:
    """Decode extended JPEG of 12 bits by GDCM, which pydicom does not ask it for."""
    import gdcm
    from pydicom.uid import JPEGExtended12Bit

    layout = file.layout
    if layout.samples != 1 or layout.bits_allocated != 16 or layout.is_signed:
        raise ImageError(file.name, phrase("it is a JPEG of 12 bits that is not unsigned grey, which is not read"))
    _silence_gdcm()
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(stream)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((layout.columns, layout.rows, 1))
    image.SetDataElement(element)
    kind = gdcm.PhotometricInterpretation.GetPIType("MONOCHROME2")
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(kind))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(str(JPEGExtended12Bit))))
    image.SetPixelFormat(gdcm.PixelFormat(1, 16, 12, 11, 0))
    buffer = image.GetBuffer().encode("utf-8", "surrogateescape")
    return np.frombuffer(buffer, "<u2").reshape(layout.rows, layout.columns).astype(np.uint16)
