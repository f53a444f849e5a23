"""Damage valid files of every format at random and read them, for as long as asked: a script, not a test.

    python tests/fuzz_readers.py MINUTES --out FOLDER [--formats png,jpeg] [--seed 0]

Files are read in a process of their own under the limit of memory of a decoding worker. A finding is a process that
ended, an error that is none of medladder's own, more than `SECONDS` of work, more than `BYTES` of memory beyond what
the process takes when idle, or a picture that is not what its header promised. Their bytes are kept in FOLDER, the
first few of each kind, and what was seen is written to FOLDER/told.json. Each finding belongs, once mended, into
test_hostile_files.py.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import io
import json
import os
import random
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from PIL import Image as Pillow

import drawn_dicom
from medladder.archive import read_archive
from medladder.errors import CohortError, ImageError
from medladder.images.formats import read_header, read_image
from medladder.images.prepare import Preparation, prepare
from medladder.images.values import Window
from medladder.images.worker import MEMORY_BYTES
from medladder.machine import limit_memory
from medladder.manifest import read_table

SECONDS = 10.0
BYTES = MEMORY_BYTES
_PATIENCE = 90.0
"""Seconds until a silent process counts as hanging: more than `SECONDS`, for the machine may be busy with others."""
_KEPT = 5
"""Files kept of each kind of finding."""

GREY = (np.add.outer(np.arange(24), np.arange(20)) * 6 % 256).astype(np.uint8)
DEEP = GREY.astype(np.uint16) * 16
COLOUR = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=2)
RAS = (np.arange(7 * 6 * 5, dtype=np.int16) * 9 - 300).reshape(7, 6, 5)

Seeds = dict[str, list[tuple[str, bytes]]]


def seeds() -> Seeds:
    """Valid files by format: name and bytes."""
    return {
        "png": list(_pngs()),
        "jpeg": list(_jpegs()),
        "tiff": list(_tiffs()),
        "gif": list(_gifs()),
        "webp": list(_webps()),
        "bmp": [("a.bmp", _saved(_picture(one), "BMP")) for one in (GREY, COLOUR)],
        "dicom": list(_dicoms()),
        "frames": list(_frames()),
        "series": list(_series()),
        "nifti": list(_niftis()),
        "nifti.gz": [("a.nii.gz", gzip.compress(content, mtime=0)) for _, content in _niftis()],
        "metaimage": list(_metaimages()),
        "nrrd": list(_nrrds()),
        "npz": list(_archives()),
        "table": list(_tables()),
    }


def _picture(pixels: np.ndarray) -> Pillow.Image:
    return Pillow.fromarray(pixels)


def _saved(picture: Pillow.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def _turned() -> Pillow.Exif:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    return exif


def _pngs() -> Iterator[tuple[str, bytes]]:
    for picture in (
        _picture(GREY),
        _picture(DEEP),
        _picture(COLOUR),
        _picture(GREY).convert("P"),
        _picture(GREY).convert("1"),
        _picture(COLOUR).convert("RGBA"),
        _picture(GREY).convert("LA"),
    ):
        yield "a.png", _saved(picture, "PNG")
    yield "a.png", _saved(_picture(GREY), "PNG", save_all=True, append_images=[_picture(GREY[::-1])])
    yield "a.png", _saved(_picture(COLOUR), "PNG", exif=_turned())


def _jpegs() -> Iterator[tuple[str, bytes]]:
    for options in ({}, {"progressive": True}, {"exif": _turned()}, {"subsampling": 0}, {"restart_marker_rows": 1}):
        yield "a.jpg", _saved(_picture(COLOUR), "JPEG", **options)
    yield "a.jpg", _saved(_picture(GREY), "JPEG")
    yield "a.jpg", _saved(_picture(np.repeat(GREY[:, :, None], 3, axis=2)), "JPEG")
    yield "a.jpg", _saved(_picture(COLOUR).convert("CMYK"), "JPEG")


def _tiffs() -> Iterator[tuple[str, bytes]]:
    pictures = (_picture(GREY), _picture(DEEP), _picture(COLOUR), _picture((GREY / 255).astype(np.float32)))
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"):
        for picture in pictures:
            yield "a.tif", _saved(picture, "TIFF", compression=compression)
    yield "a.tif", _saved(_picture(COLOUR), "TIFF", compression="jpeg")
    yield "a.tif", _saved(_picture(GREY).convert("1"), "TIFF", compression="group4")
    yield "a.tif", _saved(_picture(GREY), "TIFF", save_all=True, append_images=[_picture(GREY[::-1])] * 2)


def _gifs() -> Iterator[tuple[str, bytes]]:
    yield "a.gif", _saved(_picture(GREY), "GIF")
    yield "a.gif", _saved(_picture(COLOUR), "GIF", save_all=True, append_images=[_picture(COLOUR[::-1])])


def _webps() -> Iterator[tuple[str, bytes]]:
    yield "a.webp", _saved(_picture(COLOUR), "WEBP")
    yield "a.webp", _saved(_picture(COLOUR).convert("RGBA"), "WEBP", lossless=True)
    yield "a.webp", _saved(_picture(COLOUR), "WEBP", save_all=True, append_images=[_picture(COLOUR[::-1])])


def _drawn(pixels: np.ndarray, **options: Any) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return drawn_dicom.drawn(Path(folder, "a"), pixels, **options).read_bytes()


def _palette() -> dict[str, Any]:
    words = np.array([0, 2, 0, 1000, 1, 4, 5000, 2, 1, 0, 0], "<u2").tobytes()
    return {"PhotometricInterpretation": "PALETTE COLOR"} | {
        f"{prefix}{colour}PaletteColorLookupTable{part}": value
        for colour in ("Red", "Green", "Blue")
        for prefix, part, value in (("", "Descriptor", [8, 0, 16]), ("Segmented", "Data", words))
    }


def _dicoms() -> Iterator[tuple[str, bytes]]:
    for syntax in (*drawn_dicom.UNCOMPRESSED, *drawn_dicom.COMPRESSED):
        if syntax not in ("JPEG baseline", "JPEG extended"):
            yield "a.dcm", _drawn(DEEP, syntax=syntax, BitsStored=12, HighBit=11)
            yield "a.dcm", _drawn(COLOUR, syntax=syntax)
    yield "a.dcm", _drawn(GREY, syntax="JPEG baseline")
    yield "a.dcm", _drawn(DEEP, syntax="JPEG extended", BitsStored=12, HighBit=11)
    yield "a.dcm", _drawn(DEEP, WindowCenter=1000, WindowWidth=500, RescaleSlope=2, RescaleIntercept=-1024)
    yield "a.dcm", _drawn(DEEP, ModalityLUTSequence=drawn_dicom.lut(list(range(4096)), bits=16))
    yield "a.dcm", _drawn(DEEP, VOILUTSequence=drawn_dicom.lut(list(range(4096)), bits=12), PixelPaddingValue=0)
    yield "a.dcm", _drawn(DEEP.astype(np.float32))
    yield "a.dcm", _drawn(GREY % 8, **_palette())
    bare = drawn_dicom.as_bytes(drawn_dicom.dataset(DEEP), has_preamble=False)
    yield "IM0001", bare


def _place(z: float) -> dict[str, Any]:
    return {
        "ImagePositionPatient": [0, 0, z],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "PixelSpacing": [1.5, 1.5],
    }


def _frames() -> Iterator[tuple[str, bytes]]:
    stack = np.stack([DEEP, DEEP[::-1], DEEP // 2])
    yield "a.dcm", _drawn(stack, SpacingBetweenSlices=2.0, PixelSpacing=[1, 1])
    yield "a.dcm", _drawn(stack, syntax="RLE")
    yield "a.dcm", _drawn(stack, syntax="JPEG 2000")
    from pydicom.sequence import Sequence

    each = [
        drawn_dicom.groups(
            PlanePositionSequence={"ImagePositionPatient": [0, 0, 2.0 * i]},
            PixelValueTransformationSequence={"RescaleSlope": 1 + i, "RescaleIntercept": 0},
        )
        for i in range(3)
    ]
    shared = drawn_dicom.groups(
        PlaneOrientationSequence={"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]},
        PixelMeasuresSequence={"PixelSpacing": [1, 1]},
    )
    yield (
        "a.dcm",
        _drawn(
            stack,
            PerFrameFunctionalGroupsSequence=Sequence(each),
            SharedFunctionalGroupsSequence=Sequence([shared]),
        ),
    )


def _series() -> Iterator[tuple[str, bytes]]:
    yield "a.dcm", _slice(0)


def _slice(number: int) -> bytes:
    return _drawn(DEEP, SOPInstanceUID=f"1.2.{number + 1}", **_place(2.0 * number))


def _niftis() -> Iterator[tuple[str, bytes]]:
    affine = np.diag([0.5, 2.0, 3.0, 1.0])
    for voxels in (RAS, RAS.astype(np.float32), RAS.astype(np.uint8), RAS[:, :, :1]):
        image = nibabel.Nifti1Image(voxels, affine)
        image.header.set_slope_inter(2, 5)
        yield "a.nii", image.to_bytes()
    yield "a.nii", nibabel.Nifti2Image(RAS, affine).to_bytes()
    coloured = np.zeros(RAS.shape, [("R", "u1"), ("G", "u1"), ("B", "u1")])
    yield "a.nii", nibabel.Nifti1Image(coloured, affine).to_bytes()


def _metaimages() -> Iterator[tuple[str, bytes]]:
    raw = RAS.tobytes()
    head = (
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = {packed}\n"
        "TransformMatrix = 1 0 0 0 1 0 0 0 1\nElementSpacing = 0.5 2 3\nDimSize = 7 6 5\n"
        "ElementType = MET_SHORT\nElementDataFile = {file}\n"
    )
    yield "a.mha", head.format(packed="False", file="LOCAL").encode() + raw
    yield "a.mha", head.format(packed="True", file="LOCAL").encode() + zlib.compress(raw)
    yield "a.mhd", head.format(packed="False", file="a.raw").encode()


def _nrrds() -> Iterator[tuple[str, bytes]]:
    raw = RAS.tobytes()
    head = (
        "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 7 6 5\n"
        "space directions: (0.5,0,0) (0,2,0) (0,0,3)\nkinds: domain domain domain\nendian: little\n"
    )
    yield "a.nrrd", f"{head}encoding: raw\n\n".encode() + raw
    yield "a.nrrd", f"{head}encoding: gzip\n\n".encode() + gzip.compress(raw, mtime=0)
    import bz2

    yield "a.nrrd", f"{head}encoding: bzip2\n\n".encode() + bz2.compress(raw)
    yield "a.nhdr", f"{head}encoding: raw\nline skip: 0\nbyte skip: -1\ndata file: a.raw\n".encode() + b"\n"
    yield (
        "a.nrrd",
        b"NRRD0005\ntype: uint8\ndimension: 2\nsizes: 20 24\nspacings: 1 2\nencoding: raw\n\n" + GREY.tobytes(),
    )


def _archives() -> Iterator[tuple[str, bytes]]:
    arrays = {"train_images": np.stack([GREY] * 4), "train_labels": np.array([[0], [1], [0], [1]])}
    for save in (np.savez, np.savez_compressed):
        file = io.BytesIO()
        save(file, **arrays)
        yield "a.npz", file.getvalue()


def _tables() -> Iterator[tuple[str, bytes]]:
    rows = [("path", "label", "patient", "age"), *((f"{i}.png", "ab"[i % 2], f"p{i}", str(40 + i)) for i in range(6))]
    text = "\n".join(",".join(row) for row in rows)
    yield "a.csv", text.encode()
    yield "a.tsv", text.replace(",", "\t").encode()
    yield "a.json", json.dumps([{"image": row[0], "label": row[1]} for row in rows[1:]]).encode()
    with contextlib.suppress(ImportError):
        import openpyxl

        book, file = openpyxl.Workbook(), io.BytesIO()
        for row in rows:
            book.active.append(row)
        book.save(file)
        yield "a.xlsx", file.getvalue()
    with contextlib.suppress(ImportError):
        import pyarrow
        import pyarrow.parquet

        file = io.BytesIO()
        columns = dict(zip(rows[0], zip(*rows[1:], strict=True), strict=True))
        pyarrow.parquet.write_table(pyarrow.table({name: list(cells) for name, cells in columns.items()}), file)
        yield "a.parquet", file.getvalue()


# Damage

_INTEGERS = (0, 1, 2, 3, 7, 8, 16, 17, 32, 64, 127, 128, 255, 256, 257, 4096, 32767, 32768, 65535, 65536,
             2**24, 2**31 - 1, 2**31, 2**32 - 1)  # fmt: skip
_WORDS = (b"-1", b"0", b"9" * 12, b"nan", b"inf", b"1e999", b"\n", b"\0", b" ", b"../", b"LIST", b"1 " * 40, b"=", b",")


def damaged(content: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """One to four changes: flips, cuts, integers and words in place of others, pieces moved, doubled or borrowed."""
    whole = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        if not whole:
            break
        _damage(whole, others, rng)
    return bytes(whole)


def _damage(whole: bytearray, others: list[bytes], rng: random.Random) -> None:
    # Headers come first and decide most; half of the changes fall into the first 400 bytes.
    at = rng.randrange(min(len(whole), 400) if rng.random() < 0.5 else len(whole))
    kind = rng.randrange(8)
    if kind == 0:
        whole[at] ^= 1 << rng.randrange(8)
    elif kind == 1:
        whole[at] = rng.randrange(256)
    elif kind == 2:
        del whole[at:]
    elif kind == 3:
        size, order = rng.choice((1, 2, 4)), rng.choice(("little", "big"))
        value = rng.choice(_INTEGERS) % 256**size
        whole[at : at + size] = value.to_bytes(size, order)
    elif kind == 4:
        word = rng.choice(_WORDS)
        whole[at : at + rng.randrange(4)] = word
    elif kind == 5:
        end = min(len(whole), at + rng.randrange(1, 64))
        piece = whole[at:end]
        if rng.random() < 0.5:
            del whole[at:end]
        to = rng.randrange(len(whole) + 1)
        whole[to:to] = piece
    elif kind == 6:
        other = rng.choice(others)
        start = rng.randrange(len(other)) if rng.random() < 0.5 else min(at, len(other))
        piece = other[start : start + rng.randrange(1, 200)]
        whole[at : at + (len(piece) if rng.random() < 0.7 else 0)] = piece
    else:
        end = min(len(whole), at + rng.randrange(1, 16))
        whole[at:end] = bytes([rng.choice((0, 255))]) * (end - at)


def damaged_within(kind: str, content: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """Damage behind a checksum or a packing, half of the time where there is one, which else would catch it all."""
    if rng.random() < 0.5:
        if kind == "png":
            return _with_checksums(damaged(content, others, rng))
        if kind == "nifti.gz":
            return gzip.compress(damaged(gzip.decompress(content), [gzip.decompress(one) for one in others], rng), 1)
        if content.startswith(b"PK"):
            return _with_a_damaged_part(content, others, rng)
    return damaged(content, others, rng)


def _with_checksums(png: bytes) -> bytes:
    whole, place = bytearray(png), 8
    while place + 12 <= len(whole):
        (length,) = struct.unpack(">I", whole[place : place + 4])
        end = place + 8 + length
        if end + 4 > len(whole):
            break
        whole[end : end + 4] = struct.pack(">I", zlib.crc32(whole[place + 4 : end]))
        place = end + 4
    return bytes(whole)


def _with_a_damaged_part(content: bytes, others: list[bytes], rng: random.Random) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        parts = {name: old.read(name) for name in old.namelist()}
        chosen = rng.choice(list(parts))
        for name, part in parts.items():
            new.writestr(name, damaged(part, others, rng) if name == chosen else part)
    return file.getvalue()


# Reading


def readers(kind: str, path: Path, rng: random.Random) -> list[Callable[[], Any]]:
    """What a file of this kind is asked."""
    window = rng.choice((None, None, Window(40, 400)))
    if kind == "npz":
        return [lambda: read_archive(path)]
    if kind == "table":
        return [lambda: read_table(path)]
    if kind == "frames":
        return [lambda: _both(path, is_stack=True, window=window), lambda: _both(path, frame=rng.randrange(3))]
    if kind == "series":
        places = [path, path.with_name("1.dcm"), path.with_name("2.dcm")]
        return [lambda: read_image(places, window=window)]
    return [lambda: _both(path, window=window)]


def _both(path: Path, **options: Any) -> None:
    """Header and picture as the worker takes them: what the header promises, the picture must keep."""
    header = read_header(path)
    image = read_image([path], **options)
    space = (header.frames, *header.shape) if options.get("is_stack") else header.shape
    if options.get("is_stack") and sorted(image.pixels.shape[:-1]) != sorted(space):
        raise AssertionError(f"header {space}, picture {image.pixels.shape}")
    if not options.get("is_stack") and image.pixels.shape[:-1] != space:
        raise AssertionError(f"header {space}, picture {image.pixels.shape}")
    if image.pixels.shape[-1] == 3 and not header.is_colour:
        raise AssertionError("colours that the header does not promise")
    prepare(image, Preparation((8,) * (image.pixels.ndim - 1)))


def be_child(folder: Path, formats: list[str], seed: int, begun: float, seconds: float) -> None:
    """Damage and read until the time is over; a line of standard output before and after each file."""
    warnings.simplefilter("ignore")
    own = os.fdopen(os.dup(1), "w", buffering=1)
    rng = random.Random(seed)
    files = {kind: one for kind, one in seeds().items() if kind in formats}
    for number in (1, 2):
        (folder / f"{number}.dcm").write_bytes(_slice(number))
    (folder / "a.raw").write_bytes(RAS.tobytes())
    for number in range(6):
        (folder / f"{number}.png").write_bytes(b"")
    _warm_up(files, folder)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # decoders in C print what they like
        os.dup2(nowhere, stream)
    limit_memory(MEMORY_BYTES)
    idle = _peak()
    while time.time() - begun < seconds:
        kind = rng.choice(list(files))
        name, content = rng.choice(files[kind])
        others = [one for _, one in files[kind]]
        path = folder / name
        path.write_bytes(damaged_within(kind, content, others, rng))
        own.write(json.dumps({"file": name, "kind": kind}) + "\n")
        for read in readers(kind, path, rng):
            told = _outcome(read)
            own.write(json.dumps({**told, "bytes": told["bytes"] - idle}) + "\n")


def _warm_up(files: Seeds, folder: Path) -> None:
    """Import all readers and see that undamaged files are read, before memory is limited."""
    rng = random.Random(0)
    for kind, seeds_of_kind in files.items():
        for name, content in seeds_of_kind:
            (folder / name).write_bytes(content)
            for read in readers(kind, folder / name, rng):
                told = _outcome(read)
                # A window on colours and the like are refused, a valid seed with a fault of ours is not.
                if told["outcome"] != "read":
                    raise SystemExit(f"the seed {name} of {kind} is not read: {told}")


def _outcome(read: Callable[[], Any]) -> dict[str, Any]:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak of memory starts anew
    begun = time.process_time()
    told: dict[str, Any] = {}
    try:
        read()
        told["outcome"] = "read"
    except (ImageError, CohortError) as error:
        told["outcome"] = "refused"
        told["reason"] = error.reason if isinstance(error, ImageError) else error.found
    except MemoryError:
        told["outcome"] = "memory"
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        ours = [f"{Path(one.filename).name}:{one.lineno}" for one in frames if "medladder" in one.filename]
        told |= {"outcome": "fault", "where": f"{type(error).__name__} {ours[-1] if ours else frames[-1].name}"}
        told["trace"] = "".join(traceback.format_exception(error))[-3000:]
    told["seconds"] = time.process_time() - begun
    told["bytes"] = _peak()
    return told


def _peak() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


# The process that watches


class Watch:
    """Counts what is told, and keeps the bytes of findings."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.calls: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.findings: Counter[str] = Counter()
        self.slowest: dict[str, float] = {}
        self.largest: dict[str, int] = {}
        self.minutes = 0.0
        out.mkdir(parents=True, exist_ok=True)

    def take(self, kind: str, path: Path, told: dict[str, Any]) -> None:
        """One file read."""
        self.calls[kind] += 1
        self.outcomes[f"{kind} {told['outcome']}"] += 1
        self.slowest[kind] = max(self.slowest.get(kind, 0), told.get("seconds", 0))
        self.largest[kind] = max(self.largest.get(kind, 0), told.get("bytes", 0))
        if told["outcome"] in ("fault", "ended", "hung"):
            self.keep(f"{kind} {told['outcome']} {told.get('where', '')}", path, told)
        if told.get("seconds", 0) > SECONDS:
            self.keep(f"{kind} slow", path, told)
        if told.get("bytes", 0) > BYTES:
            self.keep(f"{kind} big", path, told)

    def keep(self, what: str, path: Path, told: dict[str, Any]) -> None:
        """Copy the bytes of a finding, and what is known of it."""
        self.findings[what] += 1
        if self.findings[what] <= _KEPT and path.exists():
            name = "".join(letter if letter.isalnum() else "-" for letter in what)
            place = self.out / f"{name}-{self.findings[what]}{''.join(path.suffixes)}"
            shutil.copy(path, place)
            place.with_name(f"{place.name}.txt").write_text(json.dumps(told, indent=1).replace("\\n", "\n"))

    def tell(self) -> dict[str, Any]:
        """What was seen so far, written down."""
        told = {
            "minutes": round(self.minutes, 1),
            "calls": dict(self.calls),
            "outcomes": dict(sorted(self.outcomes.items())),
            "slowest_seconds": {kind: round(one, 2) for kind, one in self.slowest.items()},
            "largest_megabytes": {kind: one >> 20 for kind, one in self.largest.items()},
            "findings": dict(self.findings.most_common()),
        }
        (self.out / "told.json").write_text(json.dumps(told, indent=1))
        return told


def follow(watch: Watch, formats: list[str], seed: int, begun: float, seconds: float) -> None:
    """Run one process until it ends, is ended, or its time is over."""
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, __file__, "--child", place, ",".join(formats), str(seed), str(begun), str(seconds)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            kind, path, is_asked = "", Path(place), False
            buffer = b""
            while True:
                ready, _, _ = select.select([child.stdout], [], [], _PATIENCE)
                if not ready:
                    child.kill()
                    watch.take(kind, path, {"outcome": "hung"})
                    return
                piece = os.read(child.stdout.fileno(), 1 << 16)
                if not piece:
                    break
                *lines, buffer = (buffer + piece).split(b"\n")
                for line in lines:
                    told = json.loads(line)
                    is_asked = "kind" in told
                    if is_asked:
                        kind, path = told["kind"], Path(place, told["file"])
                    else:
                        watch.take(kind, path, told)
                watch.minutes = (time.time() - begun) / 60
            code = child.wait()
            if code and kind:
                watch.take(kind, path, {"outcome": "ended", "where": f"by {code}"})
            elif code:
                raise SystemExit("a process ended before its first file")


def main() -> None:
    """Read the command line, and go on until the minutes are over."""
    if sys.argv[1:2] == ["--child"]:
        place, formats, seed, begun, seconds = sys.argv[2:]
        be_child(Path(place), formats.split(","), int(seed), float(begun), float(seconds))
        return
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("minutes", type=float)
    words.add_argument("--out", type=Path, required=True)
    words.add_argument("--formats", default=",".join(seeds()))
    words.add_argument("--seed", type=int, default=0)
    given = words.parse_args()
    watch, begun, turn = Watch(given.out), time.time(), 0
    while time.time() - begun < given.minutes * 60:
        # A new process now and then, so that what one file leaves behind is not charged to thousands after it.
        left = min(begun + given.minutes * 60 - time.time(), 120)
        follow(watch, given.formats.split(","), given.seed * 10_000 + turn, time.time(), left)
        turn += 1
        watch.minutes = (time.time() - begun) / 60
        watch.tell()
    print(json.dumps(watch.tell(), indent=1))


if __name__ == "__main__":
    main()
