"""A DICOM file opened: its header checked against its length, and where its pixels lie."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ImageError, MedladderError
from ..language import phrase
from .image import MAX_PIXELS

if TYPE_CHECKING:
    from typing import BinaryIO

    from pydicom import Dataset
    from pydicom.uid import UID
else:  # pydicom is imported by those who have DICOM; bytes in memory are no BinaryIO to those who look at run time
    BinaryIO = Dataset = UID = Any

_VRS = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV".split()
)
_LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
"""Value representations (PS3.5 7.1.2); the length of the long ones has 4 bytes, after 2 that are reserved."""

_PIXELS = {0x7FE00010: "PixelData", 0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData"}
_BITS = {"PixelData": (8, 16, 32), "FloatPixelData": (32,), "DoubleFloatPixelData": (64,)}
_UNDEFINED = 0xFFFFFFFF
_DIRECTORY = "1.2.840.10008.1.3.10"
_CUT_SHORT = phrase("the file is cut short before its pixels")
_LARGEST_INFLATED = 2 * MAX_PIXELS + 2**26
"""Bytes: the largest picture of 16 bits that is read, and room for a header."""

_PIECE = 1 << 24
"""Bytes that are inflated at a time."""

PHOTOMETRICS = {
    "MONOCHROME1": 1,
    "MONOCHROME2": 1,
    "PALETTE COLOR": 1,
    "RGB": 3,
    "YBR_FULL": 3,
    "YBR_FULL_422": 3,
    "YBR_ICT": 3,
    "YBR_RCT": 3,
}
"""Photometric interpretations that are read, with their samples a pixel (PS3.3 C.7.6.3.1.2)."""


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its content, whatever its name.

    The rule: «DICM» stands at byte 128; or, without a preamble, the file begins with a data element of group 0002 or
    0008, whose value representation is one of the standard's (explicit) or whose length is even and within the file
    (implicit).
    """
    try:
        if not path.is_file():
            return False
        with path.open("rb") as stream:
            head = stream.read(132)
            size = os.fstat(stream.fileno()).st_size
    except OSError:
        return False
    return head[128:] == b"DICM" or _begins_with_element(head[:8], size)


def _begins_with_element(head: bytes, size: int) -> bool:
    if len(head) < 8:
        return False
    group, _, length = struct.unpack("<HHI", head)
    if head[4:6] in _VRS:
        return group in (0x0002, 0x0008, 0x0200, 0x0800)  # the latter two are those of big endian
    return group in (0x0002, 0x0008) and length % 2 == 0 and length <= size - 8


@dataclass(frozen=True)
class Layout:
    """How pixels are stored; of `bits_stored` bits the highest is `high_bit` of the `bits_allocated`."""

    rows: int
    columns: int
    frames: int
    samples: int
    photometric: str
    bits_allocated: int
    bits_stored: int
    high_bit: int
    is_signed: bool
    planar: int

    @property
    def frame_bytes(self) -> int:
        """Of an uncompressed frame."""
        pixels = self.rows * self.columns
        if self.photometric == "YBR_FULL_422":  # two pixels share their two colour samples
            return pixels * 2 * self.bits_allocated // 8
        return pixels * self.samples * self.bits_allocated // 8


@dataclass(frozen=True)
class DicomFile:
    """An open file up to its pixels, which lie in `stream` from `start`; `pixel_keyword` and `pixel_vr` name them.

    `pixel_length` is the stated length of theirs in bytes.
    """

    name: str
    header: Dataset
    layout: Layout
    syntax: UID
    stream: BinaryIO
    start: int
    pixel_keyword: str
    pixel_vr: str
    pixel_length: int

    @property
    def is_longer(self) -> bool:
        """Whether more bytes of pixels follow than the header claims, beyond one that makes their number even."""
        claimed = self.layout.frame_bytes * self.layout.frames
        return not self.syntax.is_encapsulated and self.pixel_length > claimed + claimed % 2

    def told(self, keyword: str, macro: str, frame: int) -> Any:
        """What the file says of one frame: for itself, for all of its frames (enhanced multi-frame), or on top.

        `macro` is the sequence of the functional groups that holds `keyword`. None where nothing is said.
        """
        groups = []
        each = self.header.get("PerFrameFunctionalGroupsSequence") or []
        if frame < len(each):
            groups.append(each[frame])
        groups.extend((self.header.get("SharedFunctionalGroupsSequence") or [])[:1])
        for group in groups:
            for item in (group.get(macro) or [])[:1]:
                if item.get(keyword) is not None:
                    return item.get(keyword)
        return self.header.get(keyword)


@contextlib.contextmanager
def told_plainly(name: str, reason: str) -> Iterator[None]:
    """Whatever fails within is an `ImageError` with this reason; nothing is warned of or logged.

    The words of pydicom and the decoders go no further, because they may quote a value, such as a name.
    """
    logger = logging.getLogger("pydicom")
    level = logger.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.setLevel(logging.CRITICAL + 1)
        try:
            yield
        except MedladderError:
            raise
        except MemoryError as error:
            raise ImageError(name, phrase("it needs more memory than there is")) from error
        except Exception as error:
            raise ImageError(name, reason) from error
        finally:
            logger.setLevel(level)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[DicomFile]:
    """Open a file with pixels that can be decoded, as far as its header tells.

    Raises
    ------
    ImageError
        It is missing, no DICOM, damaged, cut short or without pixels; or its header contradicts itself or its length,
        claims more than `MAX_PIXELS` pixels, or a number of bits or a kind of colour that is not read.
    """
    try:
        stream = path.open("rb")
    except OSError as error:
        reason = phrase("it is not there") if isinstance(error, FileNotFoundError) else str(error.strerror)
        raise ImageError(path.name, reason) from error
    with stream, told_plainly(path.name, phrase("its header is damaged")):
        if not is_dicom(path):
            raise ImageError(path.name, phrase("it is not a DICOM file"))
        yield _parsed(stream, path.name)


def _parsed(stream: BinaryIO, name: str) -> DicomFile:
    from pydicom.filereader import read_preamble
    from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

    read_preamble(stream, force=True)
    meta = _elements(stream, (False, True), lambda tag: tag >> 16 != 2, name)
    if stream.tell() == _size(stream):
        raise ImageError(name, _CUT_SHORT)
    syntax = _syntax(meta, name)
    if syntax == DeflatedExplicitVRLittleEndian:
        stream, syntax = _inflated(stream.read(), name), UID(ExplicitVRLittleEndian)
    encoding = _guessed_encoding(stream) if syntax is None else (syntax.is_implicit_VR, syntax.is_little_endian)
    header = _elements(stream, encoding, lambda tag: tag in _PIXELS, name)
    size = _size(stream)
    if str(meta.get("MediaStorageSOPClassUID")) == _DIRECTORY or "DirectoryRecordSequence" in header:
        raise ImageError(name, phrase("it is a DICOMDIR, a table of contents without pixels"))
    element = _pixel_element(stream, header)
    if element is None:
        raise ImageError(name, _why_without_pixels(header, size))
    keyword, vr, length = element
    if syntax is None:
        syntax = _plain_syntax(header)
    layout = _layout(header, keyword, name)
    file = DicomFile(name, header, layout, syntax, stream, stream.tell(), keyword, vr, length)
    if syntax.is_encapsulated:
        _check_fragments(file, length, size)
    else:
        _check_length(file, length, size)
    return file


def _elements(stream: BinaryIO, encoding: tuple[bool, bool], is_end: Callable[[int], bool], name: str) -> Dataset:
    """Read elements up to the first that `is_end`; `encoding`: whether implicit and whether little endian."""
    from pydicom.filereader import read_dataset

    try:
        return read_dataset(stream, *encoding, stop_when=lambda tag, _vr, _length: is_end(tag))
    except Exception as error:
        if stream.tell() >= _size(stream):
            raise ImageError(name, _CUT_SHORT) from error
        raise


def _size(stream: BinaryIO) -> int:
    place = stream.tell()
    size = stream.seek(0, os.SEEK_END)
    stream.seek(place)
    return size


def _syntax(meta: Dataset, name: str) -> UID | None:
    stated = str(meta.get("TransferSyntaxUID") or "").strip("\0 ")
    if not stated:
        return None
    from pydicom._uid_dict import UID_dictionary
    from pydicom.uid import UID

    if UID_dictionary.get(stated, ("", ""))[1] != "Transfer Syntax":
        told = stated if re.fullmatch(r"[0-9.]{1,64}", stated) else "which is no identifier"
        raise ImageError(name, phrase("its transfer syntax is unknown") + f" ({told})")
    return UID(stated)


def _guessed_encoding(stream: BinaryIO) -> tuple[bool, bool]:
    """Whether implicit and whether little endian, by the first element of a file without a stated transfer syntax."""
    head = stream.read(6)
    stream.seek(-len(head), os.SEEK_CUR)
    is_implicit = head[4:6] not in _VRS
    return is_implicit, is_implicit or head[1:2] == b"\0"


def _plain_syntax(header: Dataset) -> UID:
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    is_implicit, is_little = header.original_encoding
    if is_implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if is_little else ExplicitVRBigEndian


def _inflated(deflated: bytes, name: str) -> BinaryIO:
    """Written piece by piece: zlib alone would hold the whole twice."""
    machine, stream = zlib.decompressobj(-zlib.MAX_WBITS), io.BytesIO()
    while piece := machine.decompress(deflated, _PIECE):
        deflated = machine.unconsumed_tail
        stream.write(piece)
        if stream.tell() > _LARGEST_INFLATED:
            raise ImageError(name, f"it inflates to more than {_LARGEST_INFLATED:,} bytes")
    if not machine.eof:
        raise ImageError(name, phrase("the file is cut short within its deflated data"))
    stream.seek(0)
    return stream


def _pixel_element(stream: BinaryIO, header: Dataset) -> tuple[str, str, int] | None:
    """Keyword, value representation and stated length, with the stream brought to the value."""
    is_implicit, is_little = header.original_encoding
    order = "<" if is_little else ">"
    head = stream.read(8)
    if len(head) < 8:
        return None
    group, number = struct.unpack(order + "HH", head[:4])
    keyword = _PIXELS.get(group << 16 | number)
    if keyword is None:
        return None
    if is_implicit or head[4:6] not in _VRS:
        return keyword, "OW", struct.unpack(order + "I", head[4:])[0]
    vr = head[4:6]
    if vr not in _LONG_VRS:
        return keyword, vr.decode(), struct.unpack(order + "H", head[6:])[0]
    rest = stream.read(4)
    return (keyword, vr.decode(), struct.unpack(order + "I", rest)[0]) if len(rest) == 4 else None


def _why_without_pixels(header: Dataset, size: int) -> str:
    from pydicom._uid_dict import UID_dictionary
    from pydicom.dataelem import RawDataElement

    last = header.get_item(max(header.keys())) if len(header) else None
    if isinstance(last, RawDataElement):
        is_whole = last.value_tell + last.length == size
    else:  # a sequence of undefined length, whose end pydicom has looked for
        is_whole = last is not None and last.is_undefined_length
    known = UID_dictionary.get(str(header.get("SOPClassUID")), ("",))[0]
    if "Rows" in header or "Image Storage" in known or not is_whole:
        return _CUT_SHORT
    return f"it holds no picture; it is: {known.removesuffix(' Storage')}" if known else phrase("it holds no picture")


def _layout(header: Dataset, keyword: str, name: str) -> Layout:
    allocated = _whole(header, "BitsAllocated", name)
    is_float = keyword != "PixelData"
    stored = allocated if is_float else _whole(header, "BitsStored", name, allocated)
    layout = Layout(
        rows=_whole(header, "Rows", name),
        columns=_whole(header, "Columns", name),
        frames=_whole(header, "NumberOfFrames", name, 1) or 1,
        samples=_whole(header, "SamplesPerPixel", name, 1),
        photometric=str(header.get("PhotometricInterpretation") or "").strip("\0 ").upper(),
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=stored - 1 if is_float else _whole(header, "HighBit", name, stored - 1),
        is_signed=is_float or _whole(header, "PixelRepresentation", name) == 1,
        planar=_whole(header, "PlanarConfiguration", name, 0),
    )
    if reason := _contradiction(layout, keyword):
        raise ImageError(name, reason)
    return layout


def _whole(header: Dataset, keyword: str, name: str, default: int | None = None) -> int:
    value = header.get(keyword)
    if value is None or value == "":
        if default is None:
            raise ImageError(name, f"its header does not state {keyword}")
        return default
    if isinstance(value, int | float | str) and float(value).is_integer():
        return int(value)
    raise ImageError(name, f"its header has no whole number for {keyword}")


def _contradiction(layout: Layout, keyword: str) -> str:
    rows, columns, frames = layout.rows, layout.columns, layout.frames
    if min(rows, columns, frames) < 1:
        return f"its header claims {rows}×{columns} pixels in {frames} frames"
    if rows * columns * frames > MAX_PIXELS:
        in_frames = f" in {frames:,} frames" if frames > 1 else ""
        return f"its header claims {columns}×{rows} pixels{in_frames}, over the limit of {MAX_PIXELS:,}"
    if layout.bits_allocated == 1:
        return phrase("it has 1 bit a pixel, as masks and drawings have; 8, 16 and 32 are read")
    if layout.bits_allocated not in _BITS[keyword]:
        return f"its header claims {layout.bits_allocated} bits allocated; 8, 16 and 32 are read, and 64 of floats"
    if not layout.bits_stored <= layout.high_bit + 1 <= layout.bits_allocated or layout.bits_stored < 1:
        return (
            f"its header contradicts itself: {layout.bits_stored} bits stored below bit {layout.high_bit} of "
            f"{layout.bits_allocated}"
        )
    if layout.photometric not in PHOTOMETRICS:
        return phrase("its kind of colour (photometric interpretation) is not one that is read")
    if layout.samples != PHOTOMETRICS[layout.photometric]:
        return f"its header contradicts itself: {layout.samples} samples a pixel and {layout.photometric}"
    if layout.samples == 3 and layout.bits_allocated > (16 if layout.photometric == "RGB" else 8):
        return f"it has {layout.bits_allocated} bits a channel of {layout.photometric}, which is not read"
    return ""


def _check_length(file: DicomFile, stated: int, size: int) -> None:
    layout = file.layout
    needed = layout.frame_bytes * layout.frames
    found = min(stated, size - file.start)
    if stated == _UNDEFINED:
        raise ImageError(file.name, phrase("its header contradicts itself: pixels in fragments, and uncompressed"))
    if found < needed and found < stated:
        raise ImageError(file.name, f"the file is cut short: {found:,} of {needed:,} bytes of pixels are there")
    if found < needed:
        raise ImageError(file.name, f"its header claims {needed:,} bytes of pixels, and {found:,} are there")
    if layout.photometric == "YBR_FULL_422" and found >= needed // 2 * 3:
        raise ImageError(file.name, phrase("its header claims YBR_FULL_422, and its pixels are not subsampled"))


def _check_fragments(file: DicomFile, stated: int, size: int) -> None:
    """Walk the items of compressed pixels to their delimiter (PS3.5 A.4)."""
    if stated != _UNDEFINED:
        raise ImageError(file.name, f"its header claims {file.syntax.name}, and its pixels are not in fragments")
    place, items = file.start, 0
    while True:
        file.stream.seek(place)
        head = file.stream.read(8)
        tag, length = struct.unpack("<II", head) if len(head) == 8 else (0, 0)
        if tag == 0xE0DDFFFE:
            break
        if len(head) < 8 or (tag == 0xE000FFFE and place + 8 + length > size):
            raise ImageError(file.name, phrase("the file is cut short within its compressed pixels"))
        if tag != 0xE000FFFE:
            raise ImageError(file.name, phrase("the fragments of its compressed pixels are damaged"))
        place, items = place + 8 + length, items + 1
    if items - 1 < file.layout.frames:
        raise ImageError(
            file.name,
            f"its header claims {file.layout.frames} frames, and {max(items - 1, 0)} compressed ones are there",
        )
