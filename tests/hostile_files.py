"""Hostile files by format, each with what has to be said of it: the corpus of test_hostile_files.py.

Files that are damaged beyond reading have a `reason`, a part of what is told (a space is in all of them); those that
look hostile and are sound have the `picture` that has to be seen. Every one of them was found by hand or by
fuzz_readers.py.
"""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from PIL import Image as Pillow

import drawn_dicom

SHAPE = (20, 24)
NOISE = np.random.default_rng(7).integers(30, 220, SHAPE, dtype=np.uint8)
DEEP = NOISE.astype(np.uint16) * 16
COLOUR = np.random.default_rng(8).integers(30, 220, (*SHAPE, 3), dtype=np.uint8)
VOLUME = np.random.default_rng(9).integers(30, 220, (7, 6, 5)).astype(np.int16)
"""Voxels along x, y and z."""


@dataclass(frozen=True)
class Case:
    """One file of a folder: `make` writes it there, or anything else that stands under a name."""

    name: str
    make: Callable[[Path], object]
    reason: str = ""
    picture: np.ndarray | None = None
    note: str = ""


def case(name: str, content: bytes | Callable[[Path], object], reason: str = "", **expected: Any) -> Case:
    """A case of bytes, or of what writes them."""
    make = content if callable(content) else lambda path: path.write_bytes(content)
    return Case(name, make, reason, **expected)


def saved(pixels: np.ndarray | Pillow.Image, kind: str, **options: Any) -> bytes:
    picture = Pillow.fromarray(pixels) if isinstance(pixels, np.ndarray) else pixels
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def patched(content: bytes, old: bytes, new: bytes) -> bytes:
    """One part replaced; a part that is not there is a fault of the test."""
    assert old in content
    return content.replace(old, new, 1)


def at(content: bytes, place: int, new: bytes) -> bytes:
    return content[:place] + new + content[place + len(new) :]


def tenths(name: str, content: bytes) -> list[Case]:
    """A file that ends after each tenth of its bytes but the last; one case of nine files."""
    stem, _, ending = name.partition(".")
    return [case(f"{stem}-{tenth}.{ending}", content[: len(content) * tenth // 10], " ") for tenth in range(1, 10)]


# Pictures


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(*, size: tuple[int, int] = (24, 20), bits: int = 8, colours: int = 0, data: bytes | None = None,
        before: bytes = b"") -> bytes:  # fmt: skip
    """A PNG whose header says what it likes; `size` is (width, height)."""
    rows = b"".join(b"\0" + row.tobytes() for row in NOISE)
    packed = zlib.compress(rows) if data is None else data
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, bits, colours, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + before + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def pngs() -> list[Case]:
    good = png()
    rows = b"".join(b"\0" + row.tobytes() for row in NOISE)
    zeros = zlib.compress(bytes(2**26))
    alpha = np.dstack([COLOUR, np.full(SHAPE, 255, np.uint8)])
    return [
        *tenths("cut.png", good),
        case("empty.png", b"", "not an image of a known kind"),
        case("text.png", b"not a picture at all", "not an image of a known kind"),
        case("magic.png", b"\x88" + good[1:], "not an image of a known kind"),
        case("large.png", png(size=(65536, 65536)), "over the limit of 200,000,000"),
        case("long.png", png(size=(2**31 - 1, 1)), "over the limit of 200,000,000"),
        case("flat.png", png(size=(0, 20)), " "),
        case("few rows.png", png(data=zlib.compress(rows[: len(rows) // 2])), "fewer rows than its header claims"),
        case("tall.png", png(size=(24, 40)), "fewer rows than its header claims"),
        case("checksum.png", at(good, 60, b"\xff"), " "),
        case("no pixels.png", patched(good, b"IDAT", b"iDAT"), " "),
        case("deep colour.png", png(bits=16, colours=2), "16 bits a channel"),
        case("no palette.png", png(colours=3), "a palette that it does not hold"),
        case("clear and no palette.png", png(colours=3, before=chunk(b"tRNS", b"\0\1")), "a palette that it does not"),
        case("text bomb.png", png(before=chunk(b"zTXt", b"Comment\0\0" + zeros)), " "),
        case("bomb.png", png(data=zlib.compress(rows + bytes(2**26))), picture=NOISE),
        case("no end.png", good[:-12], picture=NOISE),
        case("jpeg.png", saved(NOISE, "PNG"), picture=NOISE),
        case("alpha.png", saved(alpha, "PNG"), picture=COLOUR),
        case(
            "many.png",
            saved(NOISE, "PNG", save_all=True, append_images=[Pillow.fromarray(255 - NOISE)]),
            picture=NOISE,
            note="the first of 2 pages",
        ),
    ]


def as_seen(content: bytes) -> np.ndarray:
    """By Pillow alone: lossy files have no other truth."""
    with Pillow.open(io.BytesIO(content)) as picture:
        seen = np.asarray(picture.convert("RGB"))
    return seen[:, :, 0] if (seen == seen[:, :, :1]).all() else seen


def turned(pixels: np.ndarray, orientation: int) -> bytes:
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    return saved(pixels, "JPEG", quality=95, exif=exif)


def jpegs() -> list[Case]:
    good, colour = saved(NOISE, "JPEG", quality=90), saved(COLOUR, "JPEG", quality=90)
    cmyk = saved(Pillow.fromarray(COLOUR).convert("CMYK"), "JPEG", quality=95)
    size = struct.pack(">HH", *SHAPE)
    lying = "fewer rows than its header claims"
    upside_down = turned(NOISE, 3)
    wide = turned(np.ascontiguousarray(np.rot90(NOISE)), 6)
    return [
        *tenths("cut.jpg", colour),
        case("early end.jpg", colour[: len(colour) * 2 // 3] + b"\xff\xd9", lying),
        case("early grey end.jpg", good[: len(good) * 2 // 3] + b"\xff\xd9", lying),
        case("tall.jpg", patched(good, size, struct.pack(">HH", 60, 24)), lying),
        case("large.jpg", patched(good, size, struct.pack(">HH", 65500, 65500)), "over the limit"),
        case("flat.jpg", patched(good, size, struct.pack(">HH", 0, 24)), " "),
        case("magic.jpg", b"\xfe" + good[1:], "not an image of a known kind"),
        case("trailing.jpg", good + b"trailing words" * 99, picture=as_seen(good)),
        case("strange exif.jpg", turned(NOISE, 99), picture=as_seen(turned(NOISE, 99))),
        case("upside down.jpg", upside_down, picture=np.rot90(as_seen(upside_down), 2)),
        case("turned.jpg", wide, picture=np.rot90(as_seen(wide), -1)),
        case("cmyk.jpg", cmyk, picture=as_seen(cmyk)),
        case(
            "progressive.jpg",
            saved(COLOUR, "JPEG", progressive=True),
            picture=as_seen(saved(COLOUR, "JPEG", progressive=True)),
        ),
    ]


def tag(number: int, kind: int) -> bytes:
    return struct.pack("<HHI", number, kind, 1)


def tiffs() -> list[Case]:
    good = saved(NOISE, "TIFF")
    rows = good.index(tag(0x101, 4)) + 8
    pages = saved(NOISE, "TIFF", save_all=True, append_images=[Pillow.fromarray(255 - NOISE)])
    (first,) = struct.unpack("<I", good[4:8])
    (entries,) = struct.unpack("<H", good[first : first + 2])
    following = first + 2 + 12 * entries
    floats = (NOISE / 255).astype(np.float32)
    broken, endless = floats.copy(), floats.copy()
    broken[3, 4], endless[3, 4] = np.nan, np.inf
    units = "medladder reads floats within 0–1"
    return [
        *tenths("cut.tif", good),
        case("tall.tif", at(good, rows, struct.pack("<I", 40)), "fewer rows than its header claims"),
        case("large.tif", at(good, rows, struct.pack("<I", 2**31 - 1)), "over the limit"),
        case("flat.tif", at(good, rows, struct.pack("<I", 0)), " "),
        case("circle.tif", at(good, following, struct.pack("<I", first)), picture=NOISE),
        case("page without size.tif", at(good, following, struct.pack("<I", len(good))) + bytes(6), "is damaged"),
        case("magic.tif", b"XX" + good[2:], "not an image of a known kind"),
        case("nan.tif", saved(broken, "TIFF"), units),
        case("inf.tif", saved(endless, "TIFF"), units),
        case("hounsfield.tif", saved(floats * 3000 - 1000, "TIFF"), units),
        case("pages.tif", pages, picture=NOISE, note="the first of 2 pages"),
        case("packed.tif", saved(NOISE, "TIFF", compression="tiff_lzw"), picture=NOISE),
    ]  # fmt: skip


def others() -> list[Case]:
    gif = saved(NOISE, "GIF")
    animated = saved(COLOUR, "WEBP", lossless=True, save_all=True, append_images=[Pillow.fromarray(255 - COLOUR)])
    film = saved(NOISE, "GIF", save_all=True, append_images=[Pillow.fromarray(255 - NOISE)])
    still = saved(COLOUR, "WEBP", lossless=True)
    bmp = saved(NOISE, "BMP")
    second = film.index(b"\x2c\0\0\0\0", film.index(b"\x2c\0\0\0\0") + 1)
    return [
        *tenths("cut.gif", gif),
        *tenths("cut.webp", still),
        *tenths("cut.bmp", bmp),
        case("large.gif", at(gif, 6, b"\xff\xff\xff\xff"), "over the limit"),
        case("film.gif", film, picture=NOISE, note="the first of 2 pages"),
        case("film that breaks off.gif", film[: second + 3], "damaged"),
        case("film.webp", animated, picture=COLOUR, note="the first of 2 pages"),
        case("length.webp", at(still, 4, b"\xff\xff\xff\x7f"), " "),
        case("large.bmp", at(bmp, 22, struct.pack("<i", 2**31 - 1)), "over the limit"),
        case("depth.bmp", at(bmp, 28, struct.pack("<H", 64)), " "),
    ]


# DICOM


def dicom(pixels: np.ndarray = DEEP, **options: Any) -> Callable[[Path], object]:
    return lambda path: drawn_dicom.drawn(path, pixels, **options)


def without_end(pixels: np.ndarray, syntax: str) -> Callable[[Path], object]:
    """Compressed pixels that break off, and then their marker of the end."""

    def make(path: Path) -> None:
        import pydicom
        from pydicom.encaps import generate_frames

        data = pydicom.dcmread(drawn_dicom.drawn(path, pixels, syntax=syntax))
        frame = next(generate_frames(data.PixelData, number_of_frames=1))
        cut = frame[: len(frame) * 6 // 10] + b"\xff\xd9"
        stated = {"PhotometricInterpretation": data.PhotometricInterpretation}
        drawn_dicom.encapsulated(path, [cut + bytes(len(cut) % 2)], data.file_meta.TransferSyntaxUID, pixels, **stated)

    return make


def written(change: Callable[[bytes], bytes], pixels: np.ndarray = DEEP, **options: Any) -> Callable[[Path], object]:
    """A DICOM whose bytes are changed afterwards."""
    return lambda path: path.write_bytes(change(drawn_dicom.drawn(path, pixels, **options).read_bytes()))


def inflating(path: Path) -> None:
    data = drawn_dicom.as_bytes(drawn_dicom.dataset(DEEP, syntax="deflated"))
    start = data.index(b"1.2.840.10008.1.2.1.99") + 22
    machine = zlib.compressobj(wbits=-15)
    zeros = machine.compress(bytes(2**24)) + machine.flush(zlib.Z_FULL_FLUSH)
    path.write_bytes(data[:start] + zeros * 32)


def nested(path: Path) -> None:
    """Sequences within sequences, a thousand deep, each of undefined length."""
    whole = drawn_dicom.as_bytes(drawn_dicom.dataset(DEEP))
    deep = (struct.pack("<HH2sHI", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF) + b"\xfe\xff\x00\xe0\xff\xff\xff\xff") * 1000
    path.write_bytes(whole[: whole.index(b"\x08\x00\x60\x00")] + deep)


def dicoms() -> list[Case]:
    grey = {"PhotometricInterpretation": "MONOCHROME2"}
    floats = DEEP.astype(np.float32)
    floats[2, 3] = np.nan
    with_end = "fewer rows than its header claims"
    return [
        *tenths("cut.dcm", drawn_dicom.as_bytes(drawn_dicom.dataset(DEEP))),
        case("magic.dcm", bytes(128) + b"DICM" + b"nothing of the kind" * 9, " "),
        case("empty.dcm", b"", "not an image of a known kind"),
        case("rows.dcm", dicom(Rows=4000, Columns=4000), "its header claims"),
        case("large.dcm", dicom(Rows=65535, Columns=65535), "over the limit"),
        case("frames.dcm", dicom(NumberOfFrames=2**31 - 1), "over the limit"),
        case("negative.dcm", dicom(NumberOfFrames=-5), "in -5 frames"),
        case("flat.dcm", dicom(Rows=0), "its header claims 0×24"),
        case("one bit.dcm", dicom(BitsAllocated=1), "1 bit a pixel"),
        case("64 bits.dcm", dicom(BitsAllocated=64), "64 bits allocated"),
        case("stored.dcm", dicom(BitsStored=99), "contradicts itself"),
        case("kind.dcm", dicom(PhotometricInterpretation="HSV"), "kind of colour"),
        case("samples.dcm", dicom(SamplesPerPixel=3), "contradicts itself"),
        case("film.dcm", dicom(np.stack([DEEP] * 3)), "it holds 3 frames: --stacks"),
        case(
            "syntax.dcm",
            written(lambda one: patched(one, b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.9.9.9\0")),
            "transfer syntax is unknown",
        ),
        case("inflating.dcm", inflating, "it inflates to more than"),
        case("nested.dcm", nested, " "),
        case("length.dcm", written(lambda one: patched(one, b"CS\x02\x00OT", b"CS\xfe\xffOT")), " "),
        case("baseline.dcm", without_end(NOISE, "JPEG baseline"), with_end),
        case("lossless.dcm", without_end(DEEP, "JPEG lossless"), with_end),
        case("jpeg-ls.dcm", without_end(DEEP, "JPEG-LS"), "cannot be decoded"),
        case("jpeg 2000.dcm", without_end(DEEP, "JPEG 2000"), "cannot be decoded"),
        case("decoder.dcm", gzip.decompress(base64.b64decode(ENDS_THE_DECODER)), " "),
        case(
            "names.dcm", dicom(NOISE, PatientName="Ünïcode^\N{SNOWMAN}", SpecificCharacterSet="ISO_IR 6"), picture=NOISE
        ),
        case("spacing.dcm", dicom(NOISE, PixelSpacing=[0, 0]), picture=NOISE),
        case("longer.dcm", dicom(NOISE, Rows=10), picture=None, note="more bytes than its header claims"),
        case("no ending", dicom(NOISE, **grey), picture=NOISE),
    ]


ENDS_THE_DECODER = (
    "H4sIAAAAAAACA+1SvU4bQRD+9nwiq0DQGhCyUm3pJqvZ8/lsquD4ULDk4yzOKA0FBe+RV0iZB0mdBinPEJCQ/CQc364dCSioUkUZaW++mW/+9n"
    "aA12QVPg8tVj87QEJ8zPNL4e9JOZtWofDFPMUPhCYK9ad1M6iE+mL2Ht5lbpyL8yIydkPnXc7j3Yh8hxE6RgxcTtvQPnyREazcjSTBHllZs1nh"
    "yLtBMRbJB/R4T+VlxMPyQuyHLhBFgn00p2/xuZxWduM5xOQkjR5N/PqUGr1nU2pYlBONTLLC+6zQECyrXchAZDh2cpQdFbnVWLArGH2FaZOgXm"
    "pcE6X40pRkv2FxBt7XbLTFvE6x+OBHhvXKSfAdMx7sbmzJPH/prcU7zrK1noU5u08m87RN7GnRxawJen+jbazUDy/ShFfqI6VnB1V9Vk9Pz+vq"
    "JLP98PfJ9sh2IzogggrIEKmIdkKViLaJOhGFyuemJBJWaSLyREszr0PH1VcT96KlhIX8s5h7TG1/tzfYNux6oFQ3hjyR9Z69Me0dtFIcHN97/+"
    "Uflo/t7UN7HzfkESI2uubeBAAA"
)
"""A lossless JPEG, packed by gzip, that ends the process in GDCM 3.2, found by chance; other versions may refuse it."""


# Volumes


def nifti(voxels: np.ndarray = VOLUME, **fields: Any) -> bytes:
    """A NIfTI, with fields of its header overwritten, whatever they say."""
    image = nibabel.Nifti1Image(voxels, np.diag([0.5, 2.0, 3.0, 1.0]))
    content = image.to_bytes()
    header = nibabel.Nifti1Header(content[:348], check=False)
    for name, value in fields.items():
        if isinstance(value, dict):
            for position, one in value.items():
                header[name][position] = one
        else:
            header[name] = value
    return bytes(header.binaryblock) + content[348:]


def endless(start: bytes) -> bytes:
    """A gzip of a start and then gigabytes of zeros: members that follow one another are one stream."""
    return gzip.compress(start) + _packed_zeros() * 64


@cache
def _packed_zeros() -> bytes:
    return gzip.compress(bytes(2**26), 1)


def metaimage(**fields: Any) -> bytes:
    told = {
        "NDims": 3, "DimSize": "7 6 5", "ElementSpacing": "0.5 2 3", "ElementType": "MET_SHORT",
        "CompressedData": "False", "ElementDataFile": "LOCAL",
    } | fields  # fmt: skip
    told["ElementDataFile"] = told.pop("ElementDataFile")  # always the last
    head = "".join(f"{field} = {value}\n" for field, value in told.items()).encode()
    return head + VOLUME.tobytes(order="F")


def nrrd(voxels: bytes | None = None, **fields: Any) -> bytes:
    told = {
        "type": "short", "dimension": 3, "sizes": "7 6 5", "endian": "little", "encoding": "raw", "spacings": "1 1 1",
    } | {name.replace("_", " "): value for name, value in fields.items()}  # fmt: skip
    head = "NRRD0004\n" + "".join(f"{field}: {value}\n" for field, value in told.items() if value is not None) + "\n"
    return head.encode() + (VOLUME.tobytes(order="F") if voxels is None else voxels)


def broken(value: float) -> np.ndarray:
    voxels = VOLUME.astype(np.float32)
    voxels[1, 2, 3] = value
    return voxels


def niftis() -> list[Case]:
    good, whole = nifti(), "voxels are NaN or infinite"
    return [
        *tenths("cut.nii", good),
        *tenths("packed.nii.gz", gzip.compress(good, mtime=0)),
        case("empty.nii", b"", "it is empty"),
        case("magic.nii", b"no volume" * 99, "not a NIfTI file"),
        case("picture.nii", saved(NOISE, "PNG"), "not a NIfTI file"),
        case("endless.nii.gz", endless(nifti(dim={1: 30000, 2: 30000, 3: 30000})), "over the limit"),
        case("endless voxels.nii.gz", endless(good), note="more bytes than its header claims"),
        case("endless offset.nii.gz", endless(nifti(vox_offset=2.0**31)), "other bytes come before the voxels"),
        case("large.nii", nifti(dim={1: 32767, 2: 32767, 3: 2}), "over the limit"),
        case("beyond.nii", nifti(dim={1: 500, 2: 500, 3: 500}), "cut off"),
        case("negative.nii", nifti(dim={1: -7}), "neither picture nor volume"),
        case("spacing.nii", nifti(pixdim={1: 0}), "has to be above 0"),
        case("nan spacing.nii", nifti(pixdim={2: np.nan}), "has to be above 0"),
        case("nan.nii", nifti(broken(np.nan)), whole),
        case("inf.nii", nifti(broken(np.inf)), whole),
        case("offset.nii", nifti(vox_offset=np.nan), "the voxels begin at byte nan"),
        case("bits.nii", nifti(bitpix=1), "contradicts itself"),
        case("type.nii", nifti(datatype=1), " "),
        case("slope.nii", nifti(scl_slope=1, scl_inter=np.inf), " "),
        case("axes.nii", nifti(dim={0: 7, 4: 1, 5: 1, 6: 1, 7: 2}), " "),
        case("flat.nii", nifti(srow_x=np.zeros(4), sform_code=1), "orientation is broken"),
    ]


def metaimages() -> list[Case]:
    bomb = metaimage(CompressedData="True")[: -VOLUME.nbytes] + zlib.compress(VOLUME.tobytes() + bytes(2**26), 1)
    outside = "outside of its folder"
    return [
        *tenths("cut.mha", metaimage()),
        case("empty.mha", b"", "it is empty"),
        case("magic.mha", b"\0\1\2\3" * 99, "not a MetaImage file"),
        case("up.mhd", metaimage(ElementDataFile="../../secret.raw"), outside),
        case("root.mhd", metaimage(ElementDataFile="/etc/passwd"), outside),
        case("list.mhd", metaimage(ElementDataFile="LIST"), "several files"),
        case("absent.mhd", metaimage(ElementDataFile="absent.raw"), "not there"),
        case("linked.mhd", lambda path: (path.write_bytes(metaimage(ElementDataFile="linked.raw")),
             path.with_name("linked.raw").symlink_to("/etc/passwd")), outside),
        case("large.mha", metaimage(DimSize="2147483648 1 1"), "over the limit"),
        case("beyond.mha", metaimage(DimSize="500 500 500"), "cut off"),
        case("spacing.mha", metaimage(ElementSpacing="0 1 1"), "has to be above 0"),
        case("inf.mha", metaimage(ElementSpacing="inf 1 1"), "has to be above 0"),
        case("header.mha", metaimage(HeaderSize=10**15), "cut off"),
        case("axes.mha", metaimage(NDims=10**15), " "),
        case("bomb.mha", bomb, note="more bytes than its header claims"),
    ]  # fmt: skip


def nrrds() -> list[Case]:
    raw = VOLUME.tobytes(order="F")
    return [
        *tenths("cut.nrrd", nrrd()),
        case("magic.nrrd", b"NRRX" + nrrd()[4:], "not an NRRD file"),
        case("up.nhdr", nrrd(b"", data_file="../../secret.raw"), "outside of its folder"),
        case("list.nhdr", nrrd(b"", data_file="LIST"), "several files"),
        case("large.nrrd", nrrd(sizes="2147483648 1 1"), "over the limit"),
        case("spacing.nrrd", nrrd(spacings="0 1 1"), "has to be above 0"),
        case("nan.nrrd", nrrd(broken(np.nan).tobytes(), type="float"), "NaN or infinite"),
        case("lines.nrrd", nrrd(line_skip=10**15), " "),
        case("no end.nrrd", b"NRRD0004\n" + b"# a comment\n" * 200_000, " "),
        case("endless.nrrd", nrrd(endless(raw), encoding="gzip"), note="more bytes than its header claims"),
        case("bomb.nrrd", nrrd(bz2.compress(raw + bytes(2**26)), encoding="bzip2"), note="more bytes than"),
    ]


# What stands under a name and is no file of images


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**34)


def entries() -> list[Case]:
    """By what the system calls them."""
    good = png()
    long = "ä" * 125 + ".png"  # 254 bytes; 255 are the most of most systems
    return [
        case("folder.png", lambda path: path.mkdir()),
        case("pipe.png", os.mkfifo, "it is no file"),
        case("dangling.png", lambda path: path.symlink_to("nowhere"), "it is not there"),
        case("loop.png", lambda path: path.symlink_to(path.name), " "),
        case("device.png", lambda path: path.symlink_to("/dev/zero"), "it is no file"),
        case("sparse.png", sparse, "not an image of a known kind"),
        case("sparse.dcm", sparse, "not an image of a known kind"),
        case("sparse.nii", sparse, "not a NIfTI file"),
        case("sparse.mha", sparse, "not a MetaImage file"),
        case(long, good, picture=NOISE),
        case("\N{SNOWMAN} \u202egnp.png", good, picture=NOISE),
        case("new\nline \x1b[31m.png", good, picture=NOISE),
        case("-rf.png", good, picture=NOISE),
    ]


FOLDERS: dict[str, Callable[[], list[Case]]] = {
    "png": pngs, "jpeg": jpegs, "tiff": tiffs, "gif, webp and bmp": others, "dicom": dicoms, "nifti": niftis,
    "metaimage": metaimages, "nrrd": nrrds, "entries": entries,
}  # fmt: skip
"""The cases that lie in a folder beside good files."""
