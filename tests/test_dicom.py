"""DICOM as a radiologist sees it: real files against other readings, drawn ones against numbers worked by hand.

Untested for want of a file or of an encoder: JPEG XL, MPEG and JPIP (refused by name), lossy HTJ2K, JPEG lossless other
than by selection value 1, segmented palettes of a real maker, and colour of more than 8 bits in a compressed file.

GDCM, which decodes JPEG lossless, JPEG-LS and JPEG of 12 bits, ends the process on about one in a hundred streams that
are damaged at random within. Nothing in the process can stop that: such files are read in processes of their own.
"""

from __future__ import annotations

import base64
import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from pydicom import dcmread
from pydicom.encaps import get_frame
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut
from pydicom.uid import ExplicitVRLittleEndian, HTJ2KLossless, JPEG2000Lossless, JPEGBaseline8Bit, JPEGLosslessSV1

import drawn_dicom
from drawn_dicom import drawn, header, lut
from medladder.errors import ImageError
from medladder.images.dicom import is_dicom, read_file, read_header
from medladder.images.image import Image, hash_identifier
from medladder.images.values import Window

RAMP = (np.arange(48, dtype=np.uint16) * 80).reshape(6, 8)
"""From 0 to 3760, of 12 bits."""


def grey(path: Path, **options: Any) -> np.ndarray:
    image = read_file(path, **options)
    assert image.pixels.shape[2] == 1
    assert (image.bit_depth == 16) == read_header(path).is_deep
    return image.pixels[:, :, 0]


def windowed(values: np.ndarray, centre: float, width: float) -> np.ndarray:
    """LINEAR after PS3.3 C.11.2.1.2.1, onto 0 to 65535."""
    share = (values.astype(float) - (centre - 0.5)) / (width - 1) + 0.5
    return np.round(np.clip(share, 0, 1) * 65535)


def between(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.round(np.clip((values - low) / (high - low), 0, 1) * 65535)


# Real files


@pytest.fixture(scope="module")
def real(request: pytest.FixtureRequest) -> Callable[[str], Path]:
    folder = request.getfixturevalue("shared_data")("dicom")
    return lambda name: folder / f"{name}.dcm"


@pytest.fixture
def independent(real: Callable[[str], Path]) -> Callable[[str], np.ndarray]:
    """The measured values of a file as ITK reads them, with its own GDCM and OpenJPEG."""
    sitk = pytest.importorskip("SimpleITK")
    return lambda name: sitk.GetArrayFromImage(sitk.ReadImage(str(real(name))))


@pytest.mark.parametrize(
    ("name", "centre", "width"),
    [
        ("693_UNCR", 40, 100),
        ("MR-SIEMENS-DICOM-WithOverlays", 450, 790),
        ("MR2_J2KR", 1000, 2000),
        ("MR2_UNCR", 1000, 2000),
        ("bad_sequence", 40, 350),
    ],
)
def test_real_grey_by_its_own_window(
    real: Callable[[str], Path], independent: Callable[[str], np.ndarray], name: str, centre: float, width: float
) -> None:
    expected = windowed(independent(name)[0], centre, width)
    assert np.abs(grey(real(name)) - expected).max() <= 1


def test_real_radiograph_of_monochrome1(real: Callable[[str], Path], independent: Callable[[str], np.ndarray]) -> None:
    # Some versions of ITK invert MONOCHROME1 themselves; the stored values of lossy JPEG 2000 may differ by little.
    stored = dcmread(real("RG1_J2KI")).pixel_array
    seen = grey(real("RG1_J2KI"))
    assert np.abs(seen - (65535 - windowed(stored, 15000, 30000))).max() <= 1
    assert seen[:, 900].mean() > 1.2 * seen[:, 500].mean()  # the spine is brighter than the lung


@pytest.mark.parametrize("name", ["JLSL_16_15_1_1F", "JPEG-LL", "JPEG2000_UNC", "explicit_VR-UN"])
def test_real_grey_without_a_window(
    real: Callable[[str], Path], independent: Callable[[str], np.ndarray], name: str
) -> None:
    values = independent(name)[0].astype(float)
    low, high = np.quantile(values, (0.001, 0.999))
    assert np.abs(grey(real(name)) - between(values, low, high)).max() <= 1


@pytest.mark.parametrize("name", ["emri_small", "emri_small_RLE", "emri_small_big_endian"])
def test_real_frames(real: Callable[[str], Path], independent: Callable[[str], np.ndarray], name: str) -> None:
    volume = independent("emri_small").astype(float)
    for frame in (0, 9):
        low, high = np.quantile(volume[frame], (0.001, 0.999))
        assert np.abs(grey(real(name), frame=frame) - between(volume[frame], low, high)).max() <= 1
    assert read_header(real(name)).frames == 10
    with pytest.raises(ImageError, match="holds 10 frames: --stacks volumes takes all as one, --stacks slices each"):
        read_file(real(name))
    with pytest.raises(ImageError, match="frame 10 is asked for, and it holds 10"):
        read_file(real(name), frame=10)


def test_real_modality_lut(real: Callable[[str], Path]) -> None:
    data = dcmread(real("mlut_18"))
    values = apply_modality_lut(data.pixel_array, data).astype(float)
    low, high = np.quantile(values, (0.001, 0.999))
    assert np.abs(grey(real("mlut_18")) - between(values, low, high)).max() <= 1


BARS = [
    (255, 0, 0),
    (255, 128, 128),
    (0, 255, 0),
    (128, 255, 128),
    (0, 0, 255),
    (128, 128, 255),
    (0, 0, 0),
    (64, 64, 64),
    (192, 192, 192),
    (255, 255, 255),
]


@pytest.mark.parametrize("name", ["SC_rgb", "SC_rgb_expb", "SC_rgb_16bit"])
def test_real_colour_bars(real: Callable[[str], Path], name: str) -> None:
    image = read_file(real(name))
    factor, slack = (257, 257) if image.bit_depth == 16 else (1, 1)
    bars = image.pixels[5::10, 50].astype(int)
    assert np.abs(bars - np.array(BARS) * factor).max() <= slack
    assert image.spacing_mm == (1.0, 1.0)


def test_real_ybr_by_its_formula(real: Callable[[str], Path]) -> None:
    y, cb, cr = np.moveaxis(
        np.frombuffer(dcmread(real("SC_ybr_full_uncompressed")).PixelData, "u1").reshape(-1, 3), 1, 0
    )
    red, blue = y + 1.402 * (cr - 128.0), y + 1.772 * (cb - 128.0)
    green = (y - 0.299 * red - 0.114 * blue) / 0.587
    expected = np.clip(np.stack([red, green, blue], axis=1), 0, 255).reshape(100, 100, 3)
    assert np.abs(read_file(real("SC_ybr_full_uncompressed")).pixels - expected).max() <= 0.51


def test_real_ultrasound_by_jpeg_2000_and_pillow(real: Callable[[str], Path]) -> None:
    plain, compressed = read_file(real("US1_UNCR")).pixels, read_file(real("US1_J2KR")).pixels
    np.testing.assert_array_equal(plain, compressed)
    stream = get_frame(dcmread(real("US1_J2KR")).PixelData, 0, number_of_frames=1)
    with Pillow.open(io.BytesIO(stream)) as picture:
        np.testing.assert_array_equal(compressed, np.asarray(picture.convert("RGB")))


def test_real_siblings_agree(real: Callable[[str], Path]) -> None:
    one = read_file(real("OBXXXX1A"))
    for other in (read_file(real("OBXXXX1A_rle")), read_file(real("OBXXXX1A_2frame"), frame=0)):
        np.testing.assert_array_equal(one.pixels, other.pixels)
    np.testing.assert_array_equal(read_file(real("MR2_UNCR")).pixels, read_file(real("MR2_J2KR")).pixels)


@pytest.mark.parametrize("name", ["OBXXXX1A", "OT-PAL-8-face", "gdcm-US-ALOKA-16"])
def test_real_palettes(real: Callable[[str], Path], name: str) -> None:
    data = dcmread(real(name), force=True)
    if "TransferSyntaxUID" not in data.file_meta:
        data.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2"
    # pydicom looks up in 16 bits; ours are the high bytes, which say all that these palettes do.
    expected = apply_color_lut(data.pixel_array, data)
    assert expected.dtype == np.uint16
    np.testing.assert_array_equal(read_file(real(name)).pixels, expected >> 8 if expected.max() > 255 else expected)


def test_real_file_that_is_cut_short_is_refused(real: Callable[[str], Path]) -> None:
    for read in (read_header, lambda path: read_file(path, frame=0)):
        with pytest.raises(ImageError, match="the file is cut short within its compressed pixels"):
            read(real("emri_small_jpeg_2k_lossless_too_short"))


def test_real_facts(real: Callable[[str], Path]) -> None:
    facts = read_header(real("RG1_J2KI")).facts
    data = dcmread(real("RG1_J2KI"), stop_before_pixels=True)
    assert facts["patient"] == hash_identifier(data.PatientID)
    assert facts["instance"] == hash_identifier(data.SOPInstanceUID)
    assert {name: facts[name] for name in ("modality", "view", "maker", "kvp", "age", "sex")} == {
        "modality": "CR",
        "view": "PA",
        "maker": "PHILIPS MEDICAL SYSTEMS",
        "kvp": "150",
        "age": "64.5",  # from 1940-03-05 to 2004-08-26
        "sex": "F",
    }
    assert read_file(real("MR-SIEMENS-DICOM-WithOverlays")).notes == ("overlays are not drawn",)
    assert read_header(real("RG1_J2KI")).spacing_mm is None  # it states 0.000 by 0.000
    assert read_header(real("gdcm-US-ALOKA-16")).facts["laterality"] == "R"


def test_every_real_file_is_read_or_refused_and_its_header_keeps_its_word(real: Callable[[str], Path]) -> None:
    refused = []
    paths = sorted(real("SC_rgb").parent.glob("*.dcm"))
    assert len(paths) == 26
    for path in paths:
        assert is_dicom(path)
        try:
            told, image = read_header(path), read_file(path, frame=0)
        except ImageError:
            refused.append(path.stem)
            continue
        assert image.pixels.shape[:2] == told.shape
        assert (image.bit_depth == 16) == told.is_deep
        assert (image.pixels.shape[2] == 3) == told.is_colour
        assert image.spacing_mm == told.spacing_mm
    assert refused == ["emri_small_jpeg_2k_lossless_too_short"]


# Kinds of file


@pytest.mark.parametrize("syntax", drawn_dicom.UNCOMPRESSED)
@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "u4"])
def test_uncompressed(tmp_path: Path, syntax: str, dtype: str) -> None:
    values = (RAMP // 16 if dtype == "u1" else RAMP).astype(dtype)
    seen = grey(drawn(tmp_path / "a", values, syntax=syntax), window=Window(100, 200))
    expected = between(values.astype(float), 0, 200)
    np.testing.assert_array_equal(seen, np.round(expected / 257) if dtype == "u1" else expected)


def test_odd_rows_of_bytes(tmp_path: Path) -> None:
    values = np.arange(45, dtype=np.uint8).reshape(5, 9) * 5
    for syntax in drawn_dicom.UNCOMPRESSED:
        np.testing.assert_array_equal(grey(drawn(tmp_path / "a", values, syntax=syntax)), values)


@pytest.mark.parametrize("syntax", ["RLE", "JPEG lossless", "JPEG-LS", "JPEG 2000"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "i2"])
def test_compressed_without_loss(tmp_path: Path, syntax: str, dtype: str) -> None:
    values = np.random.default_rng(3).integers(0, 250 if dtype == "u1" else 4000, (20, 30)).astype(dtype)
    if dtype == "i2":
        values -= 1024
    plain = drawn(tmp_path / "plain", values, WindowCenter=500, WindowWidth=3000)
    packed = drawn(tmp_path / "packed", values, syntax=syntax, WindowCenter=500, WindowWidth=3000)
    assert dcmread(packed).file_meta.TransferSyntaxUID.is_compressed
    np.testing.assert_array_equal(grey(packed), grey(plain))
    np.testing.assert_array_equal(grey(plain), windowed(values, 500, 3000))


@pytest.mark.parametrize("syntax", ["RLE", "JPEG lossless", "JPEG-LS"])
@pytest.mark.parametrize("planar", [0, 1])
def test_compressed_colour(tmp_path: Path, syntax: str, planar: int) -> None:
    colours = np.random.default_rng(4).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    data = colours if planar == 0 else np.ascontiguousarray(colours.transpose(2, 0, 1)).reshape(12, 16, 3)
    path = drawn(tmp_path / "a", data, syntax=syntax, PlanarConfiguration=planar)
    np.testing.assert_array_equal(read_file(path).pixels, colours)


@pytest.mark.parametrize(("photometric", "is_mixed"), [("YBR_RCT", 1), ("RGB", 0)])
def test_colour_of_jpeg_2000(tmp_path: Path, photometric: str, is_mixed: int) -> None:
    file = io.BytesIO()
    Pillow.fromarray(COLOURS).save(file, "JPEG2000", no_jp2=True, irreversible=False, mct=is_mixed)
    path = drawn_dicom.encapsulated(
        tmp_path / "a", [file.getvalue()], JPEG2000Lossless, COLOURS, PhotometricInterpretation=photometric
    )
    np.testing.assert_array_equal(read_file(path).pixels, COLOURS)


def test_twelve_bits_in_sixteen_by_every_lossless_road(tmp_path: Path) -> None:
    expected = between(RAMP.astype(float), 0, 4000)
    for syntax in ("explicit", "RLE", "JPEG lossless", "JPEG-LS", "JPEG 2000"):
        path = drawn(tmp_path / "a", RAMP, syntax=syntax, BitsStored=12, HighBit=11)
        np.testing.assert_array_equal(grey(path, window=Window(2000, 4000)), expected)


def test_signed_twelve_bits_by_every_lossless_road(tmp_path: Path) -> None:
    values = RAMP.astype(np.int16) - 2000
    expected = between(values.astype(float), -2000, 2000)
    for syntax in ("explicit", "RLE", "JPEG lossless", "JPEG-LS", "JPEG 2000"):
        path = drawn(tmp_path / "a", values, syntax=syntax, BitsStored=12, HighBit=11)
        np.testing.assert_array_equal(grey(path, window=Window(0, 4000)), expected, err_msg=syntax)


def smooth(top: int, dtype: str) -> np.ndarray:
    rows, columns = np.mgrid[:48, :64]
    return ((rows / 47 + columns / 63) / 2 * top).astype(dtype)


@pytest.mark.parametrize(
    ("syntax", "top", "stored"),
    [("JPEG baseline", 255, 8), ("JPEG extended", 4095, 12), ("JPEG 2000 lossy", 4095, 12)],
)
def test_compressed_with_loss(tmp_path: Path, syntax: str, top: int, stored: int) -> None:
    values = smooth(top, "u1" if stored == 8 else "u2")
    path = drawn(tmp_path / "a", values, syntax=syntax, BitsStored=stored, HighBit=stored - 1)
    seen = grey(path, window=Window(top / 2, top)).astype(float)
    assert np.abs(seen / seen.max() - values / top).max() < 0.02


HTJ2K = (
    "|4;u>04YEK0000O0000G00000000000000O0000G0000000000009pH0sl|{2mk^A000XAQUDA90ssL31q1{@0smY86Cj9?kdTm&kdTm&kdTmwh="
    "~7W02crOPjF>!N>E53R%LP^FfKASE;BCwkN^q*00000nE(O*lfVEb2l@pEbO68r69Dr30*7<}zyK1!026@e00(pcA{Y4pqBH=&029Cf6+lp-{(*"
    "~h0FFC$`~VPucUAzv02MF*1#l!1iS*iW0(Ahufq{X6f#4YSF@fy30Kfn%pa2%o2!bF8f*|wydU|kzcmT#mqtR$I8jVJy@&6D45FY)AKzsHf0qnm"
    "3|Je"
)
"""Rows 0 to 15 × 100 and columns 0 to 23 × 37, reversible, by OpenJPH through imagecodecs 2026.3.6."""


def test_high_throughput_jpeg_2000(tmp_path: Path) -> None:
    values = (np.arange(16)[:, None] * 100 + np.arange(24) * 37).astype(np.uint16)
    path = drawn_dicom.encapsulated(tmp_path / "a", [base64.b85decode(HTJ2K)], HTJ2KLossless, values)
    np.testing.assert_array_equal(grey(path, window=Window(1500, 3000)), between(values.astype(float), 0, 3000))


def colour_jpeg(**options: Any) -> bytes:
    file = io.BytesIO()
    Pillow.fromarray(COLOURS).save(file, "JPEG", quality=95, **options)
    return file.getvalue()


def without_jfif(stream: bytes) -> bytes:
    """The stream without its first segment, which is JFIF's."""
    (length,) = struct.unpack(">H", stream[4:6])
    return stream[:2] + stream[4 + length :]


def with_adobe(stream: bytes, transform: int) -> bytes:
    return stream[:2] + b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes([transform]) + stream[2:]


_rows, _columns = np.mgrid[:48, :64]
COLOURS = np.stack([_columns * 4, _rows * 5, 255 - _columns * 4], axis=-1).astype(np.uint8)
_as_is = io.BytesIO()
Pillow.frombytes("YCbCr", (64, 48), COLOURS.tobytes()).save(_as_is, "JPEG", quality=95, subsampling=0)
RGB_AS_IT_IS = without_jfif(_as_is.getvalue())


@pytest.mark.parametrize(
    ("stream", "photometrics"),
    [
        (colour_jpeg(subsampling=1), ("YBR_FULL_422", "YBR_FULL", "RGB")),
        (colour_jpeg(subsampling=2), ("YBR_FULL_422", "YBR_FULL", "RGB")),
        (without_jfif(colour_jpeg(subsampling=1)), ("YBR_FULL_422", "YBR_FULL", "RGB")),
        (without_jfif(colour_jpeg(subsampling=0)), ("YBR_FULL_422", "YBR_FULL")),
        (with_adobe(without_jfif(colour_jpeg(subsampling=1)), 1), ("YBR_FULL_422", "YBR_FULL", "RGB")),
        (colour_jpeg(keep_rgb=True), ("YBR_FULL_422", "RGB")),
        (with_adobe(RGB_AS_IT_IS, 0), ("YBR_FULL_422", "RGB")),
        (RGB_AS_IT_IS, ("RGB",)),
    ],
    ids=["4:2:2", "4:2:0", "no JFIF", "no JFIF 4:4:4", "Adobe YCbCr", "named RGB", "Adobe RGB", "RGB by header alone"],
)
def test_colours_of_baseline_jpeg(tmp_path: Path, stream: bytes, photometrics: tuple[str, ...]) -> None:
    for photometric in photometrics:
        path = drawn_dicom.encapsulated(
            tmp_path / "a", [stream], JPEGBaseline8Bit, COLOURS, PhotometricInterpretation=photometric
        )
        seen = read_file(path).pixels.astype(int)
        assert np.abs(seen - COLOURS).mean() < 2, photometric


def test_ybr_full_422_uncompressed(tmp_path: Path) -> None:
    # Two pixels of one row as Y1 Y2 Cb Cr. Red is Y 76.245, Cb 84.97, Cr 255.5 (ITU T.871), here rounded.
    data = drawn_dicom.dataset(np.zeros((1, 2, 3), np.uint8), PhotometricInterpretation="YBR_FULL_422")
    data.PixelData = bytes([76, 150, 85, 255])
    (tmp_path / "a").write_bytes(drawn_dicom.as_bytes(data))
    seen = read_file(tmp_path / "a").pixels[0].astype(int)
    # R = Y + 1.402 (Cr - 128); G = Y - 0.344136 (Cb - 128) - 0.714136 (Cr - 128); B = Y + 1.772 (Cb - 128)
    np.testing.assert_array_equal(seen, [[254, 0, 0], [255, 74, 74]])
    data.PixelData = bytes(6)
    (tmp_path / "a").write_bytes(drawn_dicom.as_bytes(data))
    with pytest.raises(ImageError, match="claims YBR_FULL_422, and its pixels are not subsampled"):
        read_file(tmp_path / "a")


def test_planes_of_colour(tmp_path: Path) -> None:
    colours = np.arange(36, dtype=np.uint8).reshape(3, 4, 3) * 7
    planes = np.ascontiguousarray(colours.transpose(2, 0, 1)).reshape(3, 4, 3)
    for syntax in drawn_dicom.UNCOMPRESSED:
        path = drawn(tmp_path / "a", planes, syntax=syntax, PlanarConfiguration=1)
        np.testing.assert_array_equal(read_file(path).pixels, colours)


def test_colour_of_twelve_bits_takes_the_full_range(tmp_path: Path) -> None:
    colours = np.array([[[0, 2048, 4095], [1, 2, 3]]], np.uint16)
    image = read_file(drawn(tmp_path / "a", colours, BitsStored=12, HighBit=11))
    # 2048 / 4095 × 65535 = 32775.5 exactly halfway in theory; the others: 1 → 16.003, 2 → 32.007, 3 → 48.01
    np.testing.assert_array_equal(image.pixels[0, 1], [16, 32, 48])
    assert image.pixels[0, 0].tolist() in ([0, 32775, 65535], [0, 32776, 65535])


def test_colour_that_is_grey_becomes_grey(tmp_path: Path) -> None:
    image = read_file(drawn(tmp_path / "a", np.repeat(np.arange(8, dtype=np.uint8).reshape(2, 4, 1), 3, axis=2)))
    np.testing.assert_array_equal(image.pixels[:, :, 0], np.arange(8).reshape(2, 4))


# Grey values


def test_bytes_are_shown_as_stored(tmp_path: Path) -> None:
    values = RAMP.astype(np.uint8)
    for options in ({}, {"RescaleSlope": 1, "RescaleIntercept": 0}, {"WindowCenter": 128, "WindowWidth": 256}):
        seen = grey(drawn(tmp_path / "a", values, **options))
        assert seen.dtype == np.uint8
        np.testing.assert_array_equal(seen, values)


def test_bytes_are_inverted_where_monochrome1(tmp_path: Path) -> None:
    values = np.array([[0, 1], [200, 255]], np.uint8)
    for options in (
        {"PhotometricInterpretation": "MONOCHROME1"},
        {"PresentationLUTShape": "INVERSE"},
        {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"},
    ):
        np.testing.assert_array_equal(grey(drawn(tmp_path / "a", values, **options)), [[255, 254], [55, 0]])


def test_rescale_and_window_by_hand(tmp_path: Path) -> None:
    # Stored 0, 500, 1000, 1500 at slope 2 and intercept -1000 are -1000, 0, 1000, 2000; of a window 0 / 2001, black is
    # -0.5 - 1000 and white -0.5 + 1000, so that they become 0.5, 1000.5, 2000.5 and 3000.5 of 2000.
    values = np.array([[0, 500], [1000, 1500]], np.uint16)
    path = drawn(tmp_path / "a", values, RescaleSlope=2, RescaleIntercept=-1000, WindowCenter=0, WindowWidth=2001)
    np.testing.assert_array_equal(grey(path), [[16, 32784], [65535, 65535]])
    # Of the user's window 500 / 2000, black is -500 and white 1500: 0, 0.25, 0.75 and 1.
    np.testing.assert_array_equal(grey(path, window=Window(500, 2000)), [[0, 16384], [49151, 65535]])


def test_functions_of_windows_by_hand(tmp_path: Path) -> None:
    values = np.array([[0, 25], [50, 100]], np.uint16)
    window = {"WindowCenter": 50, "WindowWidth": 100}
    exact = drawn(tmp_path / "a", values, VOILUTFunction="LINEAR_EXACT", **window)
    np.testing.assert_array_equal(grey(exact), [[0, 16384], [32768, 65535]])
    # 65535 / (1 + e^2), / (1 + e^1), / 2 and / (1 + e^-2)
    sigmoid = drawn(tmp_path / "b", values, VOILUTFunction="SIGMOID", **window)
    np.testing.assert_array_equal(grey(sigmoid), [[7812, 17625], [32768, 57723]])
    # Black up to 49.5 - 49.5 = 0, white from 49.5 + 49.5 = 99: 25 is 25 / 99.
    linear = drawn(tmp_path / "c", values, **window)
    np.testing.assert_array_equal(grey(linear), [[0, 16549], [33098, 65535]])
    # A width of 1 is a threshold at 49.5, after the standard.
    threshold = drawn(tmp_path / "d", values, WindowCenter=50, WindowWidth=1)
    np.testing.assert_array_equal(grey(threshold), [[0, 0], [65535, 65535]])


def test_first_of_several_windows(tmp_path: Path) -> None:
    path = drawn(tmp_path / "a", RAMP, WindowCenter=[1000, 50], WindowWidth=[500, 10])
    np.testing.assert_array_equal(grey(path), windowed(RAMP, 1000, 500))


@pytest.mark.parametrize("width", [0, -5])
def test_window_without_width_is_none(tmp_path: Path, width: int) -> None:
    low, high = np.quantile(RAMP, (0.001, 0.999))
    path = drawn(tmp_path / "a", RAMP, WindowCenter=50, WindowWidth=width)
    np.testing.assert_array_equal(grey(path), between(RAMP, low, high))


def test_grey_agrees_with_pydicom(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(-2000, 3000, (30, 40)).astype(np.int16)
    for function in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        path = drawn(
            tmp_path / "a",
            values,
            RescaleSlope=1.5,
            RescaleIntercept=-100,
            WindowCenter=300,
            WindowWidth=1800,
            VOILUTFunction=function,
        )
        data = dcmread(path)
        seen = apply_voi_lut(apply_modality_lut(data.pixel_array, data), data)
        low, high = -(2**15) * 1.5 - 100, (2**15 - 1) * 1.5 - 100
        assert np.abs(grey(path) - (seen - low) / (high - low) * 65535).max() <= 1


def test_lookup_tables_by_hand(tmp_path: Path) -> None:
    values = np.array([[0, 1], [2, 9]], np.uint16)
    # Before the first entry that, after the last one that: 5 → 100, 6 → 300.
    voi = drawn(tmp_path / "a", values, VOILUTSequence=lut([0, 4095, 1000], first=1, bits=12))
    np.testing.assert_array_equal(grey(voi), [[0, 0], [65535, 16004]])  # 1000 / 4095 × 65535 = 16003.7
    both = drawn(
        tmp_path / "b",
        values,
        ModalityLUTSequence=lut([10, 20, 30]),
        VOILUTSequence=lut([0, 255], first=20, bits=8),
        WindowCenter=5,
        WindowWidth=2,
    )
    np.testing.assert_array_equal(grey(both), [[0, 0], [65535, 65535]])


def test_lookup_table_of_negative_numbers(tmp_path: Path) -> None:
    values = np.array([[-5, -2], [-1, 3]], np.int16)
    path = drawn(tmp_path / "a", values, VOILUTSequence=lut([0, 50, 100], first=-2, bits=8))
    np.testing.assert_array_equal(grey(path), [[0, 0], [12850, 25700]])  # 50 and 100 of 255


def test_lookup_table_that_is_too_short_is_refused(tmp_path: Path) -> None:
    table = lut([1, 2, 3])
    table[0].LUTDescriptor = [300, 0, 16]
    with pytest.raises(ImageError, match=r"a lookup table of it has . entries of 300"):
        read_file(drawn(tmp_path / "a", RAMP, VOILUTSequence=table))


@pytest.mark.parametrize("padding", [-2000, 63536])
def test_padding_is_black_and_does_not_count(tmp_path: Path, padding: int) -> None:
    values = RAMP.astype(np.int16)
    values[0] = -2000
    inside = values[1:]
    low, high = np.quantile(inside, (0.001, 0.999))
    path = drawn(tmp_path / "a", values)
    data = dcmread(path)
    # The same 16 bits, with the sign or without: both are found in practice.
    data.add_new("PixelPaddingValue", "SS" if padding < 0 else "US", padding)
    path.write_bytes(drawn_dicom.as_bytes(data))
    seen = grey(path)
    assert not seen[0].any()
    np.testing.assert_array_equal(seen[1:], between(inside, low, high))


def test_range_of_padding_is_black_in_monochrome1_too(tmp_path: Path) -> None:
    values = np.array([[0, 1, 2], [50, 100, 255]], np.uint8)
    path = drawn(
        tmp_path / "a",
        values,
        PhotometricInterpretation="MONOCHROME1",
        PixelPaddingValue=0,
        PixelPaddingRangeLimit=1,
    )
    np.testing.assert_array_equal(grey(path), [[0, 0, 253], [205, 155, 0]])


def test_thirty_two_bits(tmp_path: Path) -> None:
    values = np.array([[0, 500_000], [2_000_000, 4_000_000_000]], np.uint32)
    seen = grey(drawn(tmp_path / "a", values), window=Window(1_000_000, 2_000_000))
    np.testing.assert_array_equal(seen, [[0, 16384], [65535, 65535]])


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_floats(tmp_path: Path, dtype: str) -> None:
    values = np.array([[0.0, 0.25], [0.5, np.nan], [1.0, np.inf]], dtype)
    for syntax in drawn_dicom.UNCOMPRESSED:
        seen = grey(drawn(tmp_path / "a", values, syntax=syntax), window=Window(0.5, 1.0))
        np.testing.assert_array_equal(seen, [[0, 16384], [32768, 0], [65535, 0]])
    # What is not finite does not count towards the usual range either.
    low, high = np.quantile([0, 0.25, 0.5, 1.0], (0.001, 0.999))
    assert grey(tmp_path / "a")[1, 0] == round((0.5 - low) / (high - low) * 65535)


def test_bits_that_are_not_stored_do_not_count(tmp_path: Path) -> None:
    # An overlay in the highest bit, and values that stand at the high end, as ACR-NEMA allowed.
    dirty = RAMP | 0x8000
    clean = grey(drawn(tmp_path / "a", dirty, BitsStored=12, HighBit=11), window=Window(2000, 4000))
    high = grey(drawn(tmp_path / "b", RAMP << 4, BitsStored=12, HighBit=15), window=Window(2000, 4000))
    np.testing.assert_array_equal(clean, between(RAMP, 0, 4000))
    np.testing.assert_array_equal(high, clean)


def test_one_value_is_black(tmp_path: Path) -> None:
    assert not grey(drawn(tmp_path / "a", np.full((4, 4), 7, np.uint16))).any()


# Palettes


def palette(entries: np.ndarray, *, bits: int, first: int = 0) -> dict[str, Any]:
    """Elements of a palette whose columns are red, green and blue."""
    return {"PhotometricInterpretation": "PALETTE COLOR"} | {
        f"{colour}PaletteColorLookupTable{part}": value
        for colour, column in zip(("Red", "Green", "Blue"), entries.T, strict=True)
        for part, value in (("Descriptor", [len(entries), first, bits]), ("Data", column.tobytes()))
    }


EIGHT_BITS = np.array([[10, 20, 30], [40, 50, 60], [255, 0, 128], [1, 2, 3]], np.uint8)
INDICES = np.array([[0, 1, 2], [3, 4, 9]], np.uint8)
EXPECTED = EIGHT_BITS[[[0, 1, 2], [3, 3, 3]]]


@pytest.mark.parametrize(
    ("entries", "bits"),
    [
        (EIGHT_BITS, 8),
        (EIGHT_BITS.astype("<u2"), 8),
        (EIGHT_BITS.astype("<u2"), 16),
        (EIGHT_BITS.astype("<u2") << 8, 16),
        (EIGHT_BITS.astype("<u2") * 257, 16),
    ],
    ids=["packed", "in words", "low bytes", "high bytes", "both bytes"],
)
def test_palettes_of_eight_bits(tmp_path: Path, entries: np.ndarray, bits: int) -> None:
    path = drawn(tmp_path / "a", INDICES, **palette(entries, bits=bits))
    image = read_file(path)
    assert image.bit_depth == 8
    assert not read_header(path).is_deep
    np.testing.assert_array_equal(image.pixels, EXPECTED)


def test_palette_of_sixteen_bits_from_a_first_value(tmp_path: Path) -> None:
    entries = np.array([[100, 200, 300], [40000, 50000, 65535]], "<u2")
    path = drawn(tmp_path / "a", np.array([[3, 4], [5, 6]], np.uint16), **palette(entries, bits=16, first=4))
    image = read_file(path)
    assert image.bit_depth == 16
    assert read_header(path).is_deep
    np.testing.assert_array_equal(image.pixels, entries[[[0, 0], [1, 1]]])


def test_grey_palette_is_grey(tmp_path: Path) -> None:
    path = drawn(tmp_path / "a", INDICES, **palette(np.repeat(EIGHT_BITS[:, :1], 3, axis=1), bits=8))
    assert not read_header(path).is_colour
    np.testing.assert_array_equal(read_file(path).pixels[:, :, 0], EXPECTED[:, :, 0])


def segmented(words: list[int], count: int) -> dict[str, Any]:
    raw = np.array(words, "<u2").tobytes()
    return {"PhotometricInterpretation": "PALETTE COLOR"} | {
        f"{prefix}{colour}PaletteColorLookupTable{part}": value
        for colour in ("Red", "Green", "Blue")
        for prefix, part, value in (("", "Descriptor", [count, 0, 16]), ("Segmented", "Data", raw))
    }


def test_segmented_palette_by_hand(tmp_path: Path) -> None:
    # Discrete 2: 0, 1000; linear 4 to 5000: 2000, 3000, 4000, 5000; indirect: 1 segment from byte 0: 0, 1000.
    words = [0, 2, 0, 1000, 1, 4, 5000, 2, 1, 0, 0]
    path = drawn(tmp_path / "a", np.arange(8, dtype=np.uint8).reshape(2, 4), **segmented(words, 8))
    np.testing.assert_array_equal(read_file(path).pixels[:, :, 0], [[0, 1000, 2000, 3000], [4000, 5000, 0, 1000]])


@pytest.mark.parametrize(
    "words", [[1, 4, 5000], [2, 9, 0, 0], [7, 1, 1], [0, 2, 0, 1000]], ids=["linear", "loop", "unknown", "short"]
)
def test_damaged_segments_are_refused(tmp_path: Path, words: list[int]) -> None:
    path = drawn(tmp_path / "a", np.zeros((2, 4), np.uint8), **segmented(words, 8))
    for read in (read_header, read_file):
        with pytest.raises(ImageError, match=r"segments of its palette are damaged|entries of 8"):
            read(path)


def test_missing_palette_is_refused(tmp_path: Path) -> None:
    path = drawn(tmp_path / "a", INDICES, PhotometricInterpretation="PALETTE COLOR")
    for read in (read_header, read_file):
        with pytest.raises(ImageError, match="from a palette that it does not hold"):
            read(path)


# What is found, and refused


def test_dicom_is_told_by_content(tmp_path: Path) -> None:
    data = drawn_dicom.dataset(RAMP, syntax="implicit")
    for name, content, expected in (
        ("preamble", drawn_dicom.as_bytes(data), True),
        ("implicit", drawn_dicom.as_bytes(data, has_preamble=False), True),
        ("explicit", drawn_dicom.as_bytes(drawn_dicom.dataset(RAMP), has_preamble=False), True),
        ("big", drawn_dicom.as_bytes(drawn_dicom.dataset(RAMP, syntax="big endian"), has_preamble=False), True),
        ("png", b"\x89PNG\r\n\x1a\n" + bytes(200), False),
        ("jpeg", b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(200), False),
        ("text", b"path,label\na.png,1\n" * 20, False),
        ("zeros", bytes(300), False),
        ("longer than the file", b"\x08\x00\x05\x00\xf0\xff\x00\x00" + bytes(40), False),
        ("empty", b"", False),
    ):
        (tmp_path / name).write_bytes(content)
        assert is_dicom(tmp_path / name) is expected, name
    assert not is_dicom(tmp_path)
    assert not is_dicom(tmp_path / "absent")


@pytest.mark.parametrize("syntax", ["implicit", "explicit", "big endian"])
def test_no_preamble(tmp_path: Path, syntax: str) -> None:
    content = drawn_dicom.as_bytes(drawn_dicom.dataset(RAMP, syntax=syntax), has_preamble=False)
    (tmp_path / "a").write_bytes(content)
    np.testing.assert_array_equal(grey(tmp_path / "a", window=Window(2000, 4000)), between(RAMP, 0, 4000))


def refusal(path: Path) -> str:
    """The one reason that both readers give; nothing of the path or the patient is in it."""
    reasons = set()
    for read in (read_header, read_file):
        with pytest.raises(ImageError) as caught:
            read(path)
        reasons.add(caught.value.reason)
        assert caught.value.name == path.name
    (reason,) = reasons
    assert str(path.parent) not in reason
    assert "P-17" not in reason
    return reason


def test_absent_and_foreign_files(tmp_path: Path) -> None:
    assert refusal(tmp_path / "absent") == "it is not there"
    (tmp_path / "a").write_bytes(bytes(300))
    assert refusal(tmp_path / "a") == "it is not a DICOM file"


def test_files_without_pixels(tmp_path: Path) -> None:
    report = header(ExplicitVRLittleEndian, "1.2.840.10008.5.1.4.1.1.88.11")
    (tmp_path / "a").write_bytes(drawn_dicom.as_bytes(report))
    assert refusal(tmp_path / "a") == "it holds no picture; it is: Basic Text SR"
    report.SOPClassUID = "1.2.3.99"
    (tmp_path / "a").write_bytes(drawn_dicom.as_bytes(report))
    assert refusal(tmp_path / "a") == "it holds no picture"
    directory = header(ExplicitVRLittleEndian, "1.2.840.10008.1.3.10")
    (tmp_path / "DICOMDIR").write_bytes(drawn_dicom.as_bytes(directory))
    assert refusal(tmp_path / "DICOMDIR") == "it is a DICOMDIR, a table of contents without pixels"


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0}, "it has 1 bit a pixel"),
        ({"BitsAllocated": 64, "BitsStored": 64, "HighBit": 63}, "64 bits allocated"),
        ({"BitsAllocated": 12, "BitsStored": 12, "HighBit": 11}, "12 bits allocated"),
        ({"BitsStored": 17, "HighBit": 16}, "contradicts itself: 17 bits stored below bit 16 of 16"),
        ({"BitsStored": 12, "HighBit": 5}, "contradicts itself: 12 bits stored below bit 5"),
        ({"Rows": 0}, "claims 0×8 pixels"),
        ({"Columns": 0}, "claims 6×0 pixels"),
        ({"Rows": None}, "does not state Rows"),
        ({"PixelRepresentation": None}, "does not state PixelRepresentation"),
        ({"PhotometricInterpretation": None}, "kind of colour"),
        ({"PhotometricInterpretation": "HSV"}, "kind of colour"),
        ({"PhotometricInterpretation": "RGB"}, "contradicts itself: 1 samples a pixel and RGB"),
        ({"Rows": 7}, "its header claims 112 bytes of pixels, and 96 are there"),
        ({"NumberOfFrames": 2}, "its header claims 192 bytes of pixels, and 96 are there"),
        ({"NumberOfFrames": -3}, "claims 6×8 pixels in -3 frames"),
        ({"Rows": 46341, "Columns": 46341}, "46341×46341 pixels, over the limit of 200,000,000"),
        ({"NumberOfFrames": 2**31 - 1}, "8×6 pixels in 2,147,483,647 frames, over the limit"),
        ({"RescaleSlope": 0}, "cannot be rescaled: slope 0"),
        ({"RescaleSlope": "nan"}, "cannot be rescaled: slope nan|header is damaged"),
    ],
)
def test_lying_headers(tmp_path: Path, elements: dict[str, Any], reason: str) -> None:
    import re

    assert re.search(reason, refusal(drawn(tmp_path / "a", RAMP, **elements)))


def test_two_to_the_31_pixels_of_a_compressed_file(tmp_path: Path) -> None:
    path = drawn_dicom.encapsulated(
        tmp_path / "a", [colour_jpeg()], JPEGBaseline8Bit, COLOURS, Rows=46341, Columns=46341
    )
    assert "over the limit" in refusal(path)


def test_compressed_frame_of_another_size_is_refused(tmp_path: Path) -> None:
    path = drawn_dicom.encapsulated(tmp_path / "a", [colour_jpeg()], JPEGBaseline8Bit, COLOURS, Rows=47)
    with pytest.raises(ImageError, match="claims 64×47 pixels of 3 samples, and its compressed pixels 64×48 of 3"):
        read_file(path)
    path = drawn_dicom.encapsulated(tmp_path / "a", [b"\0" * 100], JPEGLosslessSV1, RAMP)
    with pytest.raises(ImageError, match="compressed pixels are not what its header claims"):
        read_file(path)
    path = drawn_dicom.encapsulated(tmp_path / "a", [colour_jpeg()], JPEGBaseline8Bit, COLOURS, NumberOfFrames=3)
    assert refusal(path) == "its header claims 3 frames, and 1 compressed ones are there"


@pytest.mark.parametrize("syntax", ["JPEG lossless", "JPEG-LS", "JPEG 2000", "JPEG extended"])
@pytest.mark.parametrize(("written", "stated"), [(16, 12), (12, 16)])
def test_precision_of_the_codestream_may_differ(tmp_path: Path, syntax: str, written: int, stated: int) -> None:
    values = smooth(4000, "u2")
    data = dcmread(drawn(tmp_path / "a", values, syntax=syntax, BitsStored=written, HighBit=written - 1))
    stream = get_frame(data.PixelData, 0, number_of_frames=1)
    syntax_uid = data.file_meta.TransferSyntaxUID
    told = {"BitsStored": stated, "HighBit": stated - 1}
    path = drawn_dicom.encapsulated(tmp_path / "b", [stream], syntax_uid, values, **told)
    assert np.abs(grey(path, window=Window(2000, 4000)) - between(values, 0, 4000)).max() <= 400


def test_precision_beyond_the_bits_allocated_is_refused(tmp_path: Path) -> None:
    # GDCM, given 255 bits, writes beyond its memory.
    content = drawn(tmp_path / "a", RAMP, syntax="JPEG lossless").read_bytes()
    start = content.index(b"\xff\xc3") + 4
    (tmp_path / "b").write_bytes(content[:start] + b"\xff" + content[start + 1 :])
    with pytest.raises(ImageError, match="claims 16 bits allocated, and its compressed pixels 255"):
        read_file(tmp_path / "b")


@pytest.mark.parametrize("syntax", ["JPEG lossless", "JPEG-LS", "JPEG 2000", "JPEG baseline", "JPEG extended"])
def test_codestream_that_breaks_off_within_a_whole_file_is_refused(tmp_path: Path, syntax: str) -> None:
    values = smooth(255, "u1") if syntax == "JPEG baseline" else smooth(4095, "u2")
    stored = {} if syntax == "JPEG baseline" else {"BitsStored": 12, "HighBit": 11}
    data = dcmread(drawn(tmp_path / "a", values, syntax=syntax, **stored))
    stream = get_frame(data.PixelData, 0, number_of_frames=1)
    path = drawn_dicom.encapsulated(
        tmp_path / "b", [stream[: len(stream) // 2]], data.file_meta.TransferSyntaxUID, values, **stored
    )
    with pytest.raises(ImageError, match="break off before their end"):
        read_file(path)


@pytest.mark.parametrize("syntax", [*drawn_dicom.UNCOMPRESSED, *drawn_dicom.COMPRESSED])
def test_truncated_at_every_tenth(tmp_path: Path, syntax: str) -> None:
    values = smooth(255, "u1") if syntax == "JPEG baseline" else smooth(4095, "u2")
    stored = {} if syntax == "JPEG baseline" else {"BitsStored": 12, "HighBit": 11}
    whole = drawn(tmp_path / "a", values, syntax=syntax, **stored).read_bytes()
    for tenth in range(10):
        path = tmp_path / f"{tenth}.dcm"
        path.write_bytes(whole[: len(whole) * tenth // 10])
        is_without_magic = path.stat().st_size < 132
        assert ("it is not a DICOM file" if is_without_magic else "cut short") in refusal(path)


def test_deflated_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medladder.images.dicom_file._LARGEST_INFLATED", 2**20)
    plain = drawn_dicom.as_bytes(drawn_dicom.dataset(np.zeros((4, 4), np.uint16), syntax="deflated"))
    machine = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    start = 132 + 12 + struct.unpack("<I", plain[140:144])[0]
    endless = machine.compress(bytes(2**24)) + machine.flush()
    (tmp_path / "a").write_bytes(plain[:start] + endless)
    assert refusal(tmp_path / "a") == "it inflates to more than 1,048,576 bytes"


def test_unknown_transfer_syntax_is_refused(tmp_path: Path) -> None:
    data = drawn_dicom.dataset(RAMP)
    data.file_meta.TransferSyntaxUID = "1.2.840.113619.5.2"
    file = io.BytesIO()
    data.save_as(file, implicit_vr=False, little_endian=True)
    (tmp_path / "a").write_bytes(file.getvalue())
    assert refusal(tmp_path / "a") == "its transfer syntax is unknown (1.2.840.113619.5.2)"


def test_video_is_refused(tmp_path: Path) -> None:
    path = drawn_dicom.encapsulated(tmp_path / "a", [b"\0" * 64], "1.2.840.10008.1.2.4.102", RAMP)
    with pytest.raises(ImageError, match=r"are not what its header claims|cannot be decoded"):
        read_file(path)


def test_broken_facts_do_not_refuse_a_picture(tmp_path: Path) -> None:
    content = drawn_dicom.as_bytes(drawn_dicom.dataset(RAMP, KVP="120.5", PatientAge="045Y"))
    (tmp_path / "a").write_bytes(content.replace(b"120.5 ", b"x\xff!?~ ").replace(b"045Y", b"?\xe4?Y"))
    facts = read_header(tmp_path / "a").facts
    assert not {"kvp", "age"} & facts.keys()


# Facts


@pytest.mark.parametrize(
    ("elements", "age"),
    [
        ({"PatientAge": "045Y"}, "45"),
        ({"PatientAge": "45Y"}, "45"),
        ({"PatientAge": "006M"}, "0.5"),
        ({"PatientAge": "010D"}, "0.0274"),  # 10 / 365.25
        ({"PatientAge": "026W"}, "0.498"),  # 182 / 365.25
        ({"PatientBirthDate": "19500112", "StudyDate": "20040826"}, "54.6"),  # 54 years and 227 days
        ({"PatientBirthDate": "1950.01.12", "StudyDate": "20040826"}, "54.6"),
        ({"PatientAge": "001Y", "PatientBirthDate": "19500112", "StudyDate": "20040826"}, "1"),
        ({"PatientBirthDate": "11111111", "StudyDate": "20040826"}, None),
        ({"PatientBirthDate": "20050101", "StudyDate": "20040826"}, None),
        ({"PatientAge": "old"}, None),
        ({}, None),
    ],
)
def test_age(tmp_path: Path, elements: dict[str, Any], age: str | None) -> None:
    assert read_header(drawn(tmp_path / "a", RAMP, **elements)).facts.get("age") == age


def test_facts(tmp_path: Path) -> None:
    path = drawn(
        tmp_path / "a",
        RAMP,
        Modality="MG",
        ImageLaterality="L",
        Laterality="R",
        ViewPosition="cc",
        Manufacturer=" Acme  Imaging ",
        ManufacturerModelName="Model 7",
        KVP="28.50",
        PatientSex="F",
        StudyInstanceUID="",
    )
    assert dict(read_header(path).facts) == {
        "patient": hash_identifier("P-17"),
        "series": hash_identifier("1.2.3.1"),
        "instance": hash_identifier("1.2.3.4"),
        "modality": "MG",
        "laterality": "L",
        "view": "CC",
        "maker": "ACME IMAGING",
        "device": "Model 7",
        "kvp": "28.5",
        "sex": "F",
    }


@pytest.mark.parametrize(
    ("elements", "spacing"),
    [
        ({"PixelSpacing": [0.5, 0.25], "ImagerPixelSpacing": [1, 1]}, (0.5, 0.25)),
        ({"ImagerPixelSpacing": [0.2, 0.2], "NominalScannedPixelSpacing": [1, 1]}, (0.2, 0.2)),
        ({"NominalScannedPixelSpacing": [0.1, 0.1]}, (0.1, 0.1)),
        ({"PixelSpacing": [0, 0], "ImagerPixelSpacing": [0.2, 0.2]}, (0.2, 0.2)),
        ({"PixelSpacing": [-1, 1]}, None),
        ({"PixelSpacing": [1]}, None),
        ({}, None),
    ],
)
def test_spacing(tmp_path: Path, elements: dict[str, Any], spacing: tuple[float, float] | None) -> None:
    path = drawn(tmp_path / "a", RAMP, **elements)
    assert read_header(path).spacing_mm == read_file(path).spacing_mm == spacing


def test_notes(tmp_path: Path) -> None:
    path = drawn(tmp_path / "a", RAMP, BurnedInAnnotation="YES", PixelAspectRatio=[4, 3])
    assert read_file(path).notes == (
        "its header says that text is burned into the picture",
        "its pixels are not square (4 high, 3 wide) and are shown as if they were",
    )


def test_what_is_read_keeps_no_patient(tmp_path: Path) -> None:
    path = drawn(tmp_path / "a", RAMP, PatientName="Doe^Jane", PatientID="SECRET-1")
    image = read_file(path)
    assert isinstance(image, Image)
    assert "SECRET" not in repr(image)
    assert "SECRET" not in repr(read_header(path))
    assert "Doe" not in repr(read_header(path))
