"""Hostile DICOM, NIfTI, MetaImage and NRRD: measured pictures and volumes of the corpus of test_hostile_files.py."""

from __future__ import annotations

import base64
import bz2
import gzip
import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

import drawn_dicom
from hostile_files import BLACK, NOISE, Case, case, patched, saved, tenths

DEEP = NOISE.astype(np.uint16) * 16
VOLUME = np.random.default_rng(9).integers(30, 220, (7, 6, 5)).astype(np.int16)
"""Voxels along x, y and z."""


# DICOM


def dicom(pixels: np.ndarray = DEEP, **options: Any) -> Callable[[Path], object]:
    return lambda path: drawn_dicom.drawn(path, pixels, **options)


def without_end(pixels: np.ndarray, syntax: str, **elements: Any) -> Callable[[Path], object]:
    """Compressed pixels that break off, and then their marker of the end."""

    def make(path: Path) -> None:
        import pydicom
        from pydicom.encaps import generate_frames

        data = pydicom.dcmread(drawn_dicom.drawn(path, pixels, syntax=syntax, **elements))
        frame = next(generate_frames(data.PixelData, number_of_frames=1))
        cut = frame[: len(frame) * 6 // 10] + b"\xff\xd9"
        stated = {"PhotometricInterpretation": data.PhotometricInterpretation, **elements}
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
        case("extended.dcm", without_end(DEEP, "JPEG extended", BitsStored=12, HighBit=11), with_end),
        case("dark.dcm", dicom(BLACK, syntax="JPEG lossless"), picture=BLACK),
        case(
            "dark 12 bits.dcm", dicom(BLACK.astype(np.uint16) * 16, syntax="JPEG extended", BitsStored=12, HighBit=11)
        ),
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
