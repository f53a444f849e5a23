"""Hostile files by format, each with what has to be said of it: the corpus of test_hostile_files.py.

Here are pictures, and what stands under a name and is no file of images; DICOM and volumes are in hostile_volumes.py,
tables in hostile_tables.py. Files that are damaged beyond reading have a `reason`, a part of what is told (a space is
in all of them); those that look hostile and are sound have the `picture` that has to be seen. Every one of them was
found by hand or by fuzz_readers.py.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

SHAPE = (20, 24)
NOISE = np.random.default_rng(7).integers(30, 220, SHAPE, dtype=np.uint8)
BLACK = np.where(np.arange(20)[:, None] < 9, NOISE, 0).astype(np.uint8)
"""Sound, with an end such as decoders leave where rows are missing; so is `GREY`."""

GREY = np.where(np.arange(20)[:, None] < 8, NOISE, 128).astype(np.uint8)
COLOUR = np.random.default_rng(8).integers(30, 220, (*SHAPE, 3), dtype=np.uint8)


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


def in_passes(pixels: np.ndarray) -> bytes:
    """An interlaced PNG, which Pillow does not write."""
    starts = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    rows = [row for x, y, right, down in starts for row in pixels[y::down, x::right] if row.size]
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    whole = png(data=data)
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 8, 0, 0, 0, 1)
    return whole[:8] + chunk(b"IHDR", header) + whole[33:]


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
        case("black.png", saved(BLACK, "PNG"), picture=BLACK),
        case("black in passes.png", in_passes(BLACK), picture=BLACK),
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
    scans = saved(COLOUR, "JPEG", progressive=True)
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
        case("few scans.jpg", scans[: len(scans) * 2 // 3] + b"\xff\xd9", note="its last scans are missing"),
        case("grey.jpg", saved(GREY, "JPEG", quality=95), picture=as_seen(saved(GREY, "JPEG", quality=95))),
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
