"""Files to arrays: every raster kind as it was stored, one road to working size, decoded once."""

from __future__ import annotations

import errno
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from medladder.errors import CohortError, ImageError, StudyError
from medladder.images import raster
from medladder.images.decoding import prepare_arrays, prepare_files
from medladder.images.image import Image
from medladder.images.pictures import to_png
from medladder.images.prepare import Preparation, prepare, resize
from medladder.images.raster import read_header, read_image
from medladder.images.reading import Reading

RAMP = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5


def saved(path: Path, picture: Pillow.Image, **options: object) -> Path:
    picture.save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["png", "tiff", "bmp"])
def test_grey_is_read_as_stored(tmp_path: Path, suffix: str) -> None:
    image = read_image(saved(tmp_path / f"a.{suffix}", Pillow.fromarray(RAMP)))
    assert image.bit_depth == 8
    np.testing.assert_array_equal(image.pixels[:, :, 0], RAMP)


def test_jpeg_is_read_nearly_as_stored(tmp_path: Path) -> None:
    image = read_image(saved(tmp_path / "a.jpg", Pillow.fromarray(RAMP), quality=100))
    assert np.abs(image.pixels[:, :, 0].astype(int) - RAMP).max() <= 3


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_sixteen_bits_are_kept(tmp_path: Path, suffix: str) -> None:
    deep = (np.arange(48, dtype=np.uint16) * 1300).reshape(6, 8)
    image = read_image(saved(tmp_path / f"a.{suffix}", Pillow.fromarray(deep)))
    assert image.bit_depth == 16
    np.testing.assert_array_equal(image.pixels[:, :, 0], deep)


def deep_png(path: Path, pixels: np.ndarray) -> Path:
    """A PNG of 16 bits a channel, which Pillow does not write: each row after the byte 0 for «no filter»."""
    height, width, channels = pixels.shape
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
    return path


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_sixteen_bits_a_channel_are_refused_and_not_cut_to_eight(tmp_path: Path, channels: int) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (6, 8, channels), dtype=np.uint16)
    for read in (read_header, read_image):
        with pytest.raises(ImageError, match="16 bits a channel, read for grey alone: save it as 16-bit grey"):
            read(deep_png(tmp_path / "a.png", deep))
    grey = read_image(deep_png(tmp_path / "grey.png", deep[:, :, :1]))
    np.testing.assert_array_equal(grey.pixels, deep[:, :, :1])


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_sixteen_bit_colour_in_a_tiff_is_refused_too(tmp_path: Path, compression: str | None, byteorder: str) -> None:
    colour = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    options = {"photometric": "rgb", "compression": compression, "byteorder": byteorder}
    tifffile.imwrite(tmp_path / "deep.tif", colour.astype(np.uint16) * 257, **options)
    with pytest.raises(ImageError, match="16 bits a channel"):
        read_image(tmp_path / "deep.tif")
    tifffile.imwrite(tmp_path / "shallow.tif", colour, **options)
    np.testing.assert_array_equal(read_image(tmp_path / "shallow.tif").pixels, colour)


def test_floats_within_0_and_1_are_read_and_others_refused(tmp_path: Path) -> None:
    image = read_image(saved(tmp_path / "a.tiff", Pillow.fromarray(np.array([[0.0, 0.5, 1.0]], dtype=np.float32))))
    assert image.pixels[0, :, 0].tolist() == [0, 32768, 65535]
    with pytest.raises(ImageError, match=r"from -1000.0 to 2000.0.*within 0–1"):
        read_image(saved(tmp_path / "b.tiff", Pillow.fromarray(np.array([[-1000.0, 2000.0]], dtype=np.float32))))


def test_equal_channels_are_grey_and_colour_stays(tmp_path: Path) -> None:
    equal = np.repeat(RAMP[:, :, None], 3, axis=2)
    assert read_image(saved(tmp_path / "grey.png", Pillow.fromarray(equal))).pixels.shape == (6, 8, 1)
    equal[2, 3, 1] += 1
    assert read_image(saved(tmp_path / "colour.png", Pillow.fromarray(equal))).pixels.shape == (6, 8, 3)


def test_palette_and_alpha_are_resolved(tmp_path: Path) -> None:
    palette = Pillow.fromarray(np.array([[0, 1]], dtype=np.uint8), mode="P")
    palette.putpalette([255, 0, 0, 0, 0, 255])
    pixels = read_image(saved(tmp_path / "p.png", palette)).pixels
    assert pixels.tolist() == [[[255, 0, 0], [0, 0, 255]]]
    half = Pillow.fromarray(np.array([[[200, 100, 50, 255], [200, 100, 50, 0]]], dtype=np.uint8))
    pixels = read_image(saved(tmp_path / "a.png", half)).pixels
    assert pixels.tolist() == [[[200, 100, 50], [0, 0, 0]]], "what is transparent lies over black"


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6  # the camera was turned by 90 degrees
    path = saved(tmp_path / "a.jpg", Pillow.fromarray(RAMP), exif=exif, quality=100)
    header = read_header(path)
    assert header.shape == (8, 6)
    pixels = read_image(path).pixels[:, :, 0].astype(int)
    assert np.abs(pixels - np.rot90(RAMP, -1)).max() <= 3


def test_content_is_what_is_seen_not_the_file(tmp_path: Path) -> None:
    as_png = read_image(saved(tmp_path / "a.png", Pillow.fromarray(RAMP)))
    as_tiff = read_image(saved(tmp_path / "a.tiff", Pillow.fromarray(RAMP)))
    other = read_image(saved(tmp_path / "b.png", Pillow.fromarray(RAMP + 1)))
    assert as_png.content == as_tiff.content != other.content


def test_truncated_and_foreign_files_are_named_without_their_folder(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (99, 99), dtype=np.uint8)
    path = saved(tmp_path / "cut.jpg", Pillow.fromarray(noise))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ImageError, match=r"cut\.jpg cannot be read: .*truncated") as caught:
        read_image(path)
    assert str(tmp_path) not in str(caught.value)
    (tmp_path / "text.png").write_text("not a picture")
    with pytest.raises(ImageError, match="not an image of a known kind") as caught:
        read_image(tmp_path / "text.png")
    assert str(tmp_path) not in str(caught.value)


def test_a_header_that_claims_too_much_is_refused_before_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path / "a.png", Pillow.fromarray(RAMP))
    monkeypatch.setattr(raster, "MAX_PIXELS", 47)
    with pytest.raises(ImageError, match="claims 8×6 pixels"):
        read_header(path)


def test_resize_by_two_is_the_mean_of_neighbours_where_the_picture_is_linear() -> None:
    ramp = np.tile(np.arange(0, 160, 10, dtype=np.uint8), (16, 1))[:, :, None]
    small = resize(ramp, (8, 8))[:, :, 0]
    # A triangle filter keeps a linear ramp: pixel j is centred between columns 2j and 2j + 1.
    np.testing.assert_array_equal(small[3, 1:-1], np.arange(0, 160, 20)[1:-1] + 5)


@given(st.integers(0, 65535), st.sampled_from([np.uint8, np.uint16]), st.integers(4, 20), st.sampled_from([1, 3]))
def test_a_constant_picture_stays_constant_at_any_size(value: int, kind: type, side: int, channels: int) -> None:
    value = value % (np.iinfo(kind).max + 1)
    picture = np.full((13, 7, channels), value, dtype=kind)
    resized = resize(picture, (side, side + 1))
    assert resized.shape == (side, side + 1, channels)
    assert resized.dtype == kind
    assert (resized == value).all()


def test_volumes_are_brought_to_size_along_every_axis() -> None:
    volume = np.broadcast_to(np.arange(0, 240, 20, dtype=np.uint8)[:, None, None, None], (12, 9, 8, 1)).copy()
    small = prepare(Image(volume), Preparation((6, 5, 4)))
    assert small.shape == (6, 5, 4, 1)
    np.testing.assert_array_equal(small[1:-1, 2, 2, 0], np.arange(0, 240, 40)[1:-1] + 10)


def test_files_are_decoded_once_and_kept_by_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(3):
        saved(tmp_path / f"{i}.png", Pillow.fromarray(RAMP + i))
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    names = ["0.png", "bad.png", "1.png", "2.png"]
    first = prepare_files(tmp_path, names, root=tmp_path / "cache")
    assert first.positions.tolist() == [0, 2, 3]
    assert list(first.unreadable) == [1]
    assert first.pixels.shape == (3, 6, 6), "the default side is the median short side"
    np.testing.assert_array_equal(first.pixels[1], prepare(Image((RAMP + 1)[:, :, None]), Preparation((6, 6)))[:, :, 0])
    monkeypatch.setattr("medladder.images.decoding._decode", lambda *_: pytest.fail("decoded twice"))
    again = prepare_files(tmp_path, names, root=tmp_path / "cache")
    np.testing.assert_array_equal(first.pixels, again.pixels)
    assert again.facts.contents == first.facts.contents


def test_a_changed_file_is_decoded_again(tmp_path: Path) -> None:
    path = saved(tmp_path / "0.png", Pillow.fromarray(RAMP))
    before = prepare_files(tmp_path, ["0.png"], reading=Reading((6, 8)), root=tmp_path / "cache")
    saved(path, Pillow.fromarray(255 - RAMP))
    after = prepare_files(tmp_path, ["0.png"], reading=Reading((6, 8)), root=tmp_path / "cache")
    np.testing.assert_array_equal(before.pixels[0], RAMP)
    np.testing.assert_array_equal(after.pixels[0], 255 - RAMP)


def test_one_deep_or_colour_file_decides_for_all(tmp_path: Path) -> None:
    saved(tmp_path / "shallow.png", Pillow.fromarray(np.full((8, 8), 100, dtype=np.uint8)))
    saved(tmp_path / "deep.png", Pillow.fromarray(np.full((8, 8), 300, dtype=np.uint16)))
    deep = prepare_files(tmp_path, ["shallow.png", "deep.png"], reading=Reading((8, 8)), root=tmp_path / "cache")
    assert deep.bit_depth == 16
    assert deep.pixels[:, 0, 0].tolist() == [100 * 257, 300], "both over the full range of 16 bits"
    saved(tmp_path / "red.png", Pillow.fromarray(np.full((8, 8, 3), (9, 0, 0), dtype=np.uint8)))
    both = prepare_files(tmp_path, ["shallow.png", "red.png"], reading=Reading((8, 8)), root=tmp_path / "cache")
    assert both.pixels[:, 0, 0].tolist() == [[100, 100, 100], [9, 0, 0]]


def test_no_readable_file_and_no_writable_cache_are_said(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no")
    with pytest.raises(CohortError, match="None of the 1 image files"):
        prepare_files(tmp_path, ["bad.png"], root=tmp_path / "cache")
    saved(tmp_path / "good.png", Pillow.fromarray(RAMP))
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StudyError, match="name another place with --cache"):
        prepare_files(tmp_path, ["good.png"], root=tmp_path / "file" / "cache")


def test_arrays_take_the_same_road(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 255, (5, 90, 70, 1), dtype=np.uint8)
    prepared = prepare_arrays(images, root=tmp_path)
    assert prepared.pixels.shape == (5, 64, 64)
    np.testing.assert_array_equal(prepared.pixels[3], resize(images[3], (64, 64))[:, :, 0])
    volumes = prepare_arrays(images[..., None], reading=Reading((8, 8, 8)), root=tmp_path)
    assert volumes.pixels.shape == (5, 8, 8, 8, 1)
    with pytest.raises(CohortError, match="These volumes have 3 sides"):
        prepare_arrays(images[..., None], reading=Reading((8, 8)), root=tmp_path)


def test_pictures_are_eight_bit_and_windowed(tmp_path: Path) -> None:
    deep = np.linspace(1000, 2000, 64).reshape(8, 8).astype(np.uint16)
    (tmp_path / "a.png").write_bytes(to_png(deep))
    shown = read_image(tmp_path / "a.png").pixels
    assert shown.dtype == np.uint8
    assert (shown.min(), shown.max()) == (0, 255), "a 12-bit picture in 16 bits must not look black"


def test_other_pictures_with_the_same_names_sizes_and_times_are_not_mixed_up(tmp_path: Path) -> None:
    for place, shift in (("one", 0), ("two", 1)):
        (tmp_path / place).mkdir()
        path = saved(tmp_path / place / "0.bmp", Pillow.fromarray(RAMP + shift))
        os.utime(path, (1, 1))
    first, second = (
        prepare_files(tmp_path / place, ["0.bmp"], Reading((6, 8)), root=tmp_path / "cache") for place in ("one", "two")
    )
    np.testing.assert_array_equal(first.pixels[0], RAMP)
    np.testing.assert_array_equal(second.pixels[0], RAMP + 1)


@pytest.mark.parametrize(
    "damage", [lambda entry: (entry / "index.npz").unlink(), lambda entry: cut(entry / "pixels.npy")]
)
def test_a_damaged_entry_is_made_again(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    saved(tmp_path / "0.png", Pillow.fromarray(RAMP))
    entry = prepare_files(tmp_path, ["0.png"], reading=Reading((6, 8)), root=tmp_path / "cache").path.parent
    damage(entry)
    np.testing.assert_array_equal(
        prepare_files(tmp_path, ["0.png"], reading=Reading((6, 8)), root=tmp_path / "cache").pixels[0], RAMP
    )


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def test_a_full_cache_is_an_error_and_leaves_nothing_half_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(tmp_path / "0.png", Pillow.fromarray(RAMP))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("medladder.images.decoding.take_room", full)
    with pytest.raises(StudyError, match=r"is full\..*--cache"):
        prepare_files(tmp_path, ["0.png"], reading=Reading((6, 8)), root=tmp_path / "cache")
    assert not list((tmp_path / "cache" / "images").iterdir())


def test_grey_and_colour_jpegs_by_turns_are_what_pillow_sees(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for place in range(12):
        grey = rng.integers(0, 256, (16, 24), dtype=np.uint8)
        pixels = np.stack([grey] * 3, axis=2) if place % 3 else rng.integers(0, 256, (16, 24, 3), dtype=np.uint8)
        path = saved(tmp_path / f"{place}.jpg", Pillow.fromarray(pixels), quality=95)
        seen = read_image(path).pixels
        with Pillow.open(path) as picture:
            np.testing.assert_array_equal(np.broadcast_to(seen, (16, 24, 3)), np.asarray(picture.convert("RGB")))
        assert seen.shape[2] == (1 if place % 3 else 3)
