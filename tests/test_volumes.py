"""NIfTI, MetaImage and NRRD: read as a second reader reads them, laid along the patient, bad files refused in words.

SimpleITK is the second reader: of its own formats always, of NIfTI for the real volumes.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import itertools
import os
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform

from medladder.errors import ImageError
from medladder.images import streams
from medladder.images.image import Header, Image
from medladder.images.values import Window, show, usual_range
from medladder.images.volumes import read_header, read_volume

SHAPE = (5, 4, 3)
"""Voxels along x, y and z."""

RAS = np.arange(60, dtype=np.int16).reshape(SHAPE) * 7 - 100
"""Values along axes to the patient's right, front and head."""

STEPS = (0.5, 2.0, 3.0)
AFFINE = np.diag([*STEPS, 1.0])
SUFFIXES = (".nii", ".nii.gz", ".mha", ".mhd", ".nrrd", ".nhdr")


def laid(ras: np.ndarray = RAS) -> np.ndarray:
    """Slices upwards, rows from the front, columns from the right: written down without a reader."""
    return np.moveaxis(ras, (2, 1, 0), (0, 1, 2))[:, ::-1, ::-1]


def grey(values: np.ndarray) -> np.ndarray:
    return show(values, *usual_range(values))[..., None]


def nifti(path: Path, voxels: np.ndarray = RAS, affine: np.ndarray | None = AFFINE, **fields: Any) -> Path:
    """A NIfTI by nibabel, then fields of its header overwritten, whatever they say."""
    image = nibabel.Nifti1Image(voxels, affine, dtype=voxels.dtype if voxels.dtype.kind in "iuf" else None)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)
    return changed(path, **fields)


def changed(path: Path, **fields: Any) -> Path:
    opened = gzip.open if path.name.endswith(".gz") else open
    with opened(path, "rb") as file:
        content = file.read()
    header = nibabel.Nifti1Header(content[:348], check=False)
    for name, value in fields.items():
        if isinstance(value, dict):
            for position, one in value.items():
                header[name][position] = one
        else:
            header[name] = value
    with opened(path, "wb") as file:
        file.write(header.binaryblock + content[348:])
    return path


def drawn(voxels: np.ndarray = RAS, direction: np.ndarray | None = None, *, is_vector: bool = False) -> SimpleITK.Image:
    """The volume for SimpleITK, whose space is LPS; the default lies as `RAS` does."""
    image = SimpleITK.GetImageFromArray(np.moveaxis(voxels, (0, 1, 2), (2, 1, 0)), isVector=is_vector)
    image.SetSpacing(STEPS)
    image.SetDirection((np.diag([-1.0, -1.0, 1.0]) if direction is None else direction).ravel().tolist())
    return image


def written(path: Path, image: SimpleITK.Image | None = None, *, is_packed: bool = False) -> Path:
    SimpleITK.WriteImage(drawn() if image is None else image, str(path), useCompression=is_packed)
    return path


def as_text(path: Path, *changes: tuple[str, str]) -> Path:
    """A header, or all of a small file, with parts replaced; a part that is not there is a fault of the test."""
    content = path.read_bytes()
    for old, new in changes:
        assert old.encode() in content
        content = content.replace(old.encode(), new.encode("utf-8", "surrogateescape"), 1)
    path.write_bytes(content)
    return path


def made(path: Path) -> Path:
    """The same volume in any of the formats."""
    return nifti(path) if path.name.endswith((".nii", ".gz")) else written(path)


def both_refuse(path: Path, reason: str) -> None:
    for read in (read_header, read_volume):
        with pytest.raises(ImageError) as caught:
            read(path)
        assert reason in caught.value.reason
        assert caught.value.name == path.name
        assert str(path.parent) not in str(caught.value)


def read_both(path: Path) -> Image:
    """The volume, whose header has to say the same."""
    image, header = read_volume(path), read_header(path)
    assert header.shape == image.pixels.shape[:-1]
    assert header.spacing_mm == image.spacing_mm
    assert header.is_deep == (image.bit_depth == 16)
    assert header.frames == 1
    return image


# Rightly read


def test_real_volumes_are_what_a_second_reader_says(shared_data: Callable[[str], Path]) -> None:
    paths = sorted(shared_data("nifti").glob("*.nii.gz"))
    assert len(paths) == 10
    for path in paths:
        image = read_both(path)
        turned = SimpleITK.DICOMOrient(SimpleITK.ReadImage(str(path)), "LPS")  # columns to the left, rows to the back
        seen = SimpleITK.GetArrayFromImage(turned)
        # The two readers scale in single and in double precision: one grey value of 65,536 may lie between.
        assert np.abs(image.pixels.astype(int) - grey(seen)).max() <= 1
        np.testing.assert_allclose(image.spacing_mm, turned.GetSpacing()[::-1], rtol=1e-6)
        assert image.pixels.shape == (120, 120, 90, 1)
        assert image.notes == ()


def test_real_volumes_look_like_heads(shared_data: Callable[[str], Path]) -> None:
    """They were looked at too: eyes at the top of axial slices, necks below. Here what can be counted of that."""
    for path in sorted(shared_data("nifti").glob("*.nii.gz")):
        is_head = read_volume(path).pixels[..., 0] > 65535 // 8
        # The upper third is the vault alone, and its cut is smaller than one through the middle; the neck is cut off.
        rows = np.flatnonzero(is_head[-30:].any(axis=(0, 2)))
        assert is_head[-3:].mean() < is_head[50:70].mean()
        assert is_head[:3].any(), "the neck runs out of the volume"
        # Left and right mirror each other more than front and back.
        middle = is_head[60:90].astype(float)
        assert np.abs(middle - middle[:, :, ::-1]).mean() < np.abs(middle - middle[:, ::-1]).mean()
        assert rows.size


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_all_formats_give_one_volume(tmp_path: Path, suffix: str) -> None:
    image = read_both(made(tmp_path / f"a{suffix}"))
    np.testing.assert_array_equal(image.pixels, grey(laid()))
    assert image.spacing_mm == (3.0, 2.0, 0.5)
    assert image.notes == ()
    assert image.pixels.flags.c_contiguous


CODES = ["".join(one) for axes in itertools.permutations(("LR", "PA", "IS")) for one in itertools.product(*axes)]


@pytest.mark.parametrize("code", CODES)
def test_every_orientation_gives_the_same_volume(tmp_path: Path, code: str) -> None:
    assert len(CODES) == 48
    turn = ornt_transform(io_orientation(AFFINE), axcodes2ornt(code))
    turned = nibabel.Nifti1Image(RAS, AFFINE).as_reoriented(turn)
    assert nibabel.aff2axcodes(turned.affine) == tuple(code)
    nibabel.save(turned, tmp_path / "a.nii")
    image = read_both(tmp_path / "a.nii")
    np.testing.assert_array_equal(image.pixels, grey(laid()))
    assert image.spacing_mm == (3.0, 2.0, 0.5)
    stored = np.asarray(turned.dataobj)
    back = turned.affine @ np.linalg.inv(inv_ornt_aff(turn, SHAPE)) - AFFINE  # our own drawing is checked too
    np.testing.assert_allclose(back, 0, atol=1e-9)
    assert sorted(stored.ravel()) == sorted(RAS.ravel())
    for suffix in (".mha", ".nrrd"):
        lps = SimpleITK.GetImageFromArray(stored.T)
        steps = np.linalg.norm(turned.affine[:3, :3], axis=0)
        lps.SetSpacing(steps.tolist())
        lps.SetDirection((np.diag([-1, -1, 1]) @ turned.affine[:3, :3] / steps).ravel().tolist())
        np.testing.assert_array_equal(read_both(written(tmp_path / f"a{suffix}", lps)).pixels, image.pixels)


TYPES = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_type_of_voxel(tmp_path: Path, suffix: str, dtype: str) -> None:
    values = np.abs(RAS // 4).astype(dtype) if dtype.startswith("u") else (RAS // 4).astype(dtype)
    path = tmp_path / f"a{suffix}"
    nifti(path, values) if ".nii" in suffix else written(path, drawn(values))
    np.testing.assert_array_equal(read_both(path).pixels, grey(laid(values)))


@pytest.mark.parametrize("dtype", [">i2", ">f4", ">i4", ">f8"])
def test_the_other_byte_first(tmp_path: Path, dtype: str) -> None:
    values = RAS.astype(dtype)
    header = nibabel.Nifti1Header(endianness=">")
    image = nibabel.Nifti1Image(values, AFFINE, header)
    image.set_data_dtype(values.dtype)
    nibabel.save(image, tmp_path / "a.nii")
    assert (tmp_path / "a.nii").read_bytes()[:4] == struct.pack(">i", 348)
    np.testing.assert_array_equal(read_both(tmp_path / "a.nii").pixels, grey(laid()))
    little = values.astype(values.dtype.newbyteorder("<"))
    for suffix, old, new in (
        (".mha", "ByteOrderMSB = False", "ByteOrderMSB = True"),
        (".nrrd", "endian: little", "endian: big"),
    ):
        path = written(tmp_path / f"a{suffix}", drawn(little))
        content = path.read_bytes().replace(old.encode(), new.encode())
        path.write_bytes(content.replace(little.tobytes(order="F"), values.tobytes(order="F")))
        np.testing.assert_array_equal(read_both(path).pixels, grey(laid()))
        np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))), little.T)


@pytest.mark.parametrize("suffix", [".mha", ".mhd", ".nrrd", ".nhdr"])
def test_packed_voxels(tmp_path: Path, suffix: str) -> None:
    path = written(tmp_path / f"a{suffix}", is_packed=True)
    assert b"CompressedData = True" in path.read_bytes() or b"encoding: gzip" in path.read_bytes()
    np.testing.assert_array_equal(read_both(path).pixels, grey(laid()))


def test_bzip2_in_an_nrrd(tmp_path: Path) -> None:
    path = as_text(written(tmp_path / "a.nhdr"), ("encoding: raw", "encoding: bzip2"))
    voxels = tmp_path / "a.raw"
    voxels.write_bytes(bz2.compress(voxels.read_bytes()))
    np.testing.assert_array_equal(read_both(path).pixels, grey(laid()))
    voxels.write_bytes(voxels.read_bytes()[:-20])
    with pytest.raises(ImageError, match="it is cut off"):
        read_volume(path)
    voxels.write_bytes(b"BZh9" + b"\1" * 60)
    with pytest.raises(ImageError, match="its compressed data are damaged"):
        read_volume(path)


def test_nifti_is_unpacked_by_content_and_not_by_name(tmp_path: Path) -> None:
    packed, plain = nifti(tmp_path / "a.nii.gz"), nifti(tmp_path / "b.nii")
    packed.rename(tmp_path / "c.nii")
    plain.rename(tmp_path / "D.NII.GZ")
    for name in ("c.nii", "D.NII.GZ"):
        np.testing.assert_array_equal(read_both(tmp_path / name).pixels, grey(laid()))


def test_nifti_of_the_second_version(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti2Image(RAS, AFFINE), tmp_path / "a.nii")
    np.testing.assert_array_equal(read_both(tmp_path / "a.nii").pixels, grey(laid()))


def test_extensions_of_a_header_are_passed_over(tmp_path: Path) -> None:
    for name in ("a.nii", "a.nii.gz"):
        image = nibabel.Nifti1Image(RAS, AFFINE)
        image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"seen" * 4000))
        nibabel.save(image, tmp_path / name)
        np.testing.assert_array_equal(read_both(tmp_path / name).pixels, grey(laid()))


@pytest.mark.parametrize(("slope", "inter"), [(0.5, -20.0), (-2.0, 7.0), (1e-6, 1000.0)])
@pytest.mark.parametrize("window", [None, Window(0.0, 60.0)])
def test_values_are_scaled_before_they_are_shown(
    tmp_path: Path, slope: float, inter: float, window: Window | None
) -> None:
    slope, inter = float(np.float32(slope)), float(np.float32(inter))
    path = nifti(tmp_path / "a.nii", scl_slope=slope, scl_inter=inter)
    values = np.asanyarray(nibabel.load(path).dataobj)
    assert values.dtype == np.float64
    bounds = usual_range(values) if window is None else window.bounds
    wanted = show(laid(values), *bounds)[..., None].astype(int)
    assert np.abs(read_volume(path, window=window).pixels.astype(int) - wanted).max() <= 1
    meta = as_text(
        written(tmp_path / "a.mha"),
        (
            "DimSize",
            f"ElementToIntensityFunctionSlope = {slope!r}\nElementToIntensityFunctionOffset = {inter!r}\nDimSize",
        ),
    )
    assert np.abs(read_volume(meta, window=window).pixels.astype(int) - wanted).max() <= 1


@pytest.mark.parametrize("slope", [0.0, float("nan"), float("inf")])
def test_a_scaling_that_the_standard_calls_none_is_none(tmp_path: Path, slope: float) -> None:
    path = nifti(tmp_path / "a.nii", scl_slope=slope, scl_inter=5)
    window = Window(100, 300)
    np.testing.assert_array_equal(read_volume(path, window=window).pixels[..., 0], show(laid(), *window.bounds))


def test_a_window_is_of_the_measured_values(tmp_path: Path) -> None:
    values = np.full(SHAPE, 40, np.int16)
    values[0, 0, 0], values[1, 0, 0], values[2, 0, 0] = -1000, 20, 80
    pixels = read_volume(nifti(tmp_path / "a.nii", values), window=Window(40, 80)).pixels[..., 0]
    front_row = pixels[0, -1]  # y 0 is the back: the last row; x 0 is the left: the last column
    assert front_row.tolist() == [32768, 32768, 65535, 16384, 0]


@pytest.mark.parametrize(("unit", "times"), [("mm", 1), ("meter", 1000), ("micron", 0.001), ("unknown", 1)])
def test_spacing_is_in_millimetres_whatever_the_unit(tmp_path: Path, unit: str, times: float) -> None:
    for affine, orientation in ((AFFINE, 1), (None, 0)):
        image = nibabel.Nifti1Image(RAS, affine)
        image.header.set_xyzt_units(unit)
        image.header["pixdim"][1:4] = STEPS
        image.header["sform_code"] = image.header["qform_code"] = orientation
        nibabel.save(image, tmp_path / "a.nii")
        assert read_both(tmp_path / "a.nii").spacing_mm == pytest.approx([3.0 * times, 2.0 * times, 0.5 * times])


def test_sform_goes_before_qform(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(RAS, AFFINE)
    flipped = AFFINE @ np.diag([-1, 1, 1, 1])
    image.set_qform(flipped, 1)
    image.set_sform(AFFINE, 2)
    nibabel.save(image, tmp_path / "both.nii")
    np.testing.assert_array_equal(read_both(tmp_path / "both.nii").pixels, grey(laid()))
    image.set_sform(None, 0)
    nibabel.save(image, tmp_path / "qform.nii")
    np.testing.assert_array_equal(read_both(tmp_path / "qform.nii").pixels, grey(laid()[:, :, ::-1]))


def test_a_qform_without_its_sign(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii", sform_code=0, qform_code=1, pixdim={0: 0})
    np.testing.assert_array_equal(read_both(path).pixels, grey(laid()))


def test_without_orientation_a_nifti_is_taken_as_stored(tmp_path: Path) -> None:
    image = read_both(nifti(tmp_path / "a.nii", sform_code=0, qform_code=0))
    np.testing.assert_array_equal(image.pixels, grey(RAS.T))
    assert image.spacing_mm == (3.0, 2.0, 0.5)
    assert image.notes == ("orientation not stated; taken as stored",)


def test_an_oblique_volume_keeps_its_voxels(tmp_path: Path) -> None:
    turn = np.eye(4)
    angle = np.deg2rad(20)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    image = read_both(nifti(tmp_path / "a.nii", affine=turn @ AFFINE))
    np.testing.assert_array_equal(image.pixels, grey(laid()))
    assert image.spacing_mm == pytest.approx((3.0, 2.0, 0.5))
    lps = np.diag([-1.0, -1.0, 1.0])
    for suffix in (".mha", ".nrrd"):
        meta = read_both(written(tmp_path / f"a{suffix}", drawn(direction=lps @ turn[:3, :3])))
        np.testing.assert_array_equal(meta.pixels, image.pixels)
        assert meta.spacing_mm == pytest.approx((3.0, 2.0, 0.5))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_one_slice_is_a_picture(tmp_path: Path, suffix: str, axis: int) -> None:
    one = np.take(RAS, [1], axis=axis)
    path = tmp_path / f"a{suffix}"
    nifti(path, one) if ".nii" in suffix else written(path, drawn(one))
    image = read_both(path)
    np.testing.assert_array_equal(image.pixels, grey(laid(one).squeeze(2 - axis)))
    assert image.spacing_mm == tuple(step for k, step in enumerate((3.0, 2.0, 0.5)) if k != 2 - axis)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_two_axes_are_a_picture_as_stored(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    flat = np.arange(24, dtype=np.int16).reshape(4, 6)
    picture = SimpleITK.GetImageFromArray(flat)
    picture.SetSpacing((0.5, 2.0))
    image = read_both(written(path, picture))
    np.testing.assert_array_equal(image.pixels, grey(flat))
    assert image.spacing_mm == (2.0, 0.5)


def test_a_step_that_is_never_taken_may_be_zero(tmp_path: Path) -> None:
    flat = nifti(tmp_path / "a.nii", RAS[:, :, :1], sform_code=0, qform_code=1, pixdim={3: 0})
    assert read_both(flat).spacing_mm == (2.0, 0.5)


COLOURS = np.random.default_rng(3).integers(0, 256, (*SHAPE, 3), np.uint8)


def coloured(path: Path, colours: np.ndarray = COLOURS) -> Path:
    if ".nii" not in path.name:
        return written(path, drawn(colours, is_vector=True))
    packed = colours.view([("R", "u1"), ("G", "u1"), ("B", "u1")])[..., 0]
    nibabel.save(nibabel.Nifti1Image(packed, AFFINE), path)
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_colours_of_eight_bits_stay(tmp_path: Path, suffix: str) -> None:
    image = read_both(coloured(tmp_path / f"a{suffix}"))
    np.testing.assert_array_equal(image.pixels, laid(COLOURS))
    assert image.bit_depth == 8
    assert read_header(tmp_path / f"a{suffix}").is_colour
    flat = read_both(coloured(tmp_path / f"b{suffix}", COLOURS[:, :, :1]))
    np.testing.assert_array_equal(flat.pixels, laid(COLOURS[:, :, :1])[0])
    equal = read_volume(coloured(tmp_path / f"c{suffix}", np.repeat(COLOURS[..., :1], 3, axis=3)))
    np.testing.assert_array_equal(equal.pixels, laid(COLOURS[..., :1]))


def test_colours_as_simpleitk_writes_them_into_a_nifti(tmp_path: Path) -> None:
    path = written(tmp_path / "a.nii.gz", drawn(COLOURS, is_vector=True))
    assert nibabel.load(path).shape == (*SHAPE, 1, 3)
    np.testing.assert_array_equal(read_both(path).pixels, laid(COLOURS))


# MetaImage and NRRD, field by field


@pytest.mark.parametrize(
    "change",
    [
        ("BinaryData = True\n", ""),
        ("BinaryDataByteOrderMSB = False\n", ""),
        ("BinaryDataByteOrderMSB", "ElementByteOrderMSB"),
        ("TransformMatrix", "Orientation"),
        ("TransformMatrix", "Rotation"),
        ("ElementSpacing", "ElementSize"),
        ("Offset = 0 0 0\n", "Position = 1 2 3\nComment = a\nComment = b = c: d\n"),
        ("ObjectType = Image\n", "ObjectType: Image\n\n"),
        ("ElementType = MET_SHORT", "HeaderSize = -1\nElementType = MET_SHORT"),
        ("LOCAL", "local"),
    ],
)
def test_a_metaimage_says_one_thing_in_several_ways(tmp_path: Path, change: tuple[str, str]) -> None:
    image = read_both(as_text(written(tmp_path / "a.mha"), change))
    np.testing.assert_array_equal(image.pixels, grey(laid()))
    assert image.spacing_mm == (3.0, 2.0, 0.5)


def test_lines_that_end_as_on_windows(tmp_path: Path) -> None:
    for suffix in (".mhd", ".nhdr"):
        path = written(tmp_path / f"a{suffix}")
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
        np.testing.assert_array_equal(read_both(path).pixels, grey(laid()))


def test_bytes_before_the_voxels(tmp_path: Path) -> None:
    meta, nrrd = written(tmp_path / "a.mhd"), written(tmp_path / "b.nhdr")
    for name in ("a.raw", "b.raw"):
        (tmp_path / name).write_bytes(b"12\n34\n6" + (tmp_path / name).read_bytes())
    as_text(meta, ("ElementType", "HeaderSize = 7\nElementType"))
    as_text(nrrd, ("data file", "line skip: 2\nbyteskip: 1\ndata file"))
    for path in (meta, nrrd):
        np.testing.assert_array_equal(read_both(path).pixels, grey(laid()))
    as_text(nrrd, ("line skip: 2\nbyteskip: 1\n", "byte skip: -1\n"))
    np.testing.assert_array_equal(read_both(nrrd).pixels, grey(laid()))


def test_bytes_before_the_voxels_are_counted_unpacked(tmp_path: Path) -> None:
    path = as_text(written(tmp_path / "a.nhdr", is_packed=True), ("data file", "lineskip: 1\nbyte skip: 2\ndatafile"))
    voxels = tmp_path / "a.raw.gz"
    voxels.write_bytes(b"line\n" + gzip.compress(b"ab" + gzip.decompress(voxels.read_bytes())))
    np.testing.assert_array_equal(read_both(path).pixels, grey(laid()))


@pytest.mark.parametrize(("unit", "times"), [("mm", 1), ("um", 0.001), ("µm", 0.001), ("cm", 10), ("m", 1000)])
def test_units_of_a_metaimage_and_an_nrrd(tmp_path: Path, unit: str, times: float) -> None:
    wanted = pytest.approx([3.0 * times, 2.0 * times, 0.5 * times])
    meta = as_text(written(tmp_path / "a.mha"), ("DimSize", f"DistanceUnits = {unit}\nDimSize"))
    directed = as_text(written(tmp_path / "a.nrrd"), ("kinds", f'space units: "{unit}" "{unit}" "{unit}"\nkinds'))
    for path in (meta, directed):
        assert read_both(path).spacing_mm == wanted
        np.testing.assert_array_equal(read_volume(path).pixels, grey(laid()))
    spaced = plain_nrrd(tmp_path / "b.nrrd", f'spacings: 0.5 2 3\nunits: "{unit}" "{unit}" "{unit}"\n')
    assert read_both(spaced).spacing_mm == wanted


def test_an_unknown_unit_is_no_spacing(tmp_path: Path) -> None:
    meta = as_text(written(tmp_path / "a.mha"), ("DimSize", "DistanceUnits = furlong\nDimSize"))
    directed = as_text(written(tmp_path / "a.nrrd"), ("kinds", 'space units: "px" "px" "px"\nkinds'))
    mixed = as_text(written(tmp_path / "b.nrrd"), ("kinds", 'space units: "mm" "mm" "um"\nkinds'))
    for path in (meta, directed, mixed):
        image = read_both(path)
        assert image.spacing_mm is None
        np.testing.assert_array_equal(image.pixels, grey(laid()))
    assert read_both(plain_nrrd(tmp_path / "c.nrrd", 'spacings: 1 1 1\nunits: "px" "px" "px"\n')).spacing_mm is None


def plain_nrrd(path: Path, fields: str, sizes: str = "5 4 3", voxels: np.ndarray = RAS) -> Path:
    """An NRRD as one writes it by hand."""
    kind = {"int16": "short", "uint8": "uchar"}[voxels.dtype.name]
    axes = len(sizes.split())
    head = f"NRRD0001\n# by hand\ntype: {kind}\ndimension: {axes}\nsizes: {sizes}\nencoding: raw\nendian: little\n"
    path.write_bytes(f"{head}seen:=yes: it was\n{fields}\n".encode() + voxels.tobytes(order="F"))
    return path


def test_without_orientation_or_spacing_nothing_is_made_up(tmp_path: Path) -> None:
    head = written(tmp_path / "a.mha").read_bytes()
    matrix = next(line for line in head.split(b"\n") if line.startswith(b"TransformMatrix"))
    bare = tmp_path / "b.mha"
    bare.write_bytes(head.replace(matrix + b"\n", b"").replace(b"ElementSpacing = 0.5 2 3\n", b""))
    for path in (bare, plain_nrrd(tmp_path / "c.nrrd", "space: left-posterior-superior\n")):
        image = read_both(path)
        np.testing.assert_array_equal(image.pixels, grey(RAS.T))
        assert image.spacing_mm is None
        assert image.notes == ("orientation not stated; taken as stored",)


@pytest.mark.parametrize(
    ("space", "signs"),
    [
        ("left-posterior-superior", (-1, -1, 1)),
        ("LPS", (-1, -1, 1)),
        ("right-anterior-superior", (1, 1, 1)),
        ("RAS", (1, 1, 1)),
        ("left-anterior-superior", (-1, 1, 1)),
    ],
)
def test_spaces_of_an_nrrd(tmp_path: Path, space: str, signs: tuple[int, ...]) -> None:
    x, y, z = (step * sign for step, sign in zip(STEPS, signs, strict=True))
    directions = f"space: {space}\nspace directions: ({x},0,0) (0, {y} ,0) (0,0,{z})\nspace origin: (1,2,3)\n"
    image = read_both(plain_nrrd(tmp_path / "a.nrrd", directions))
    np.testing.assert_array_equal(image.pixels, grey(laid()))
    if space != "LPS":  # the second reader does not know the short names
        turned = SimpleITK.DICOMOrient(SimpleITK.ReadImage(str(tmp_path / "a.nrrd")), "LPS")
        np.testing.assert_array_equal(grey(SimpleITK.GetArrayFromImage(turned)), image.pixels)


def test_a_space_that_is_not_of_a_patient(tmp_path: Path) -> None:
    fields = "space: scanner-xyz\nspace directions: (0,0,0.5) (0,2,0) (3,0,0)\n"
    image = read_both(plain_nrrd(tmp_path / "a.nrrd", fields))
    np.testing.assert_array_equal(image.pixels, grey(RAS.T))
    assert image.spacing_mm == (3.0, 2.0, 0.5)
    assert image.notes == ("orientation not stated; taken as stored",)


def test_one_slice_of_an_nrrd_that_lies_in_space(tmp_path: Path) -> None:
    fields = "space: RAS\nspace directions: (0,0,2) (0,0.5,0)\n"  # first upwards, then to the front: a sagittal slice
    image = read_both(plain_nrrd(tmp_path / "a.nrrd", fields, "4 3", RAS[0]))
    np.testing.assert_array_equal(image.pixels, grey(RAS[0][:, ::-1]))
    assert image.spacing_mm == (2.0, 0.5)


def test_colours_of_an_nrrd_by_kind(tmp_path: Path) -> None:
    first = np.moveaxis(COLOURS, 3, 0)
    fields = "kinds: RGB-color domain domain domain\nspacings: nan 0.5 2 3\n"
    image = read_both(plain_nrrd(tmp_path / "a.nrrd", fields, "3 5 4 3", first))
    np.testing.assert_array_equal(image.pixels, np.swapaxes(COLOURS, 0, 2))
    assert image.spacing_mm == (3.0, 2.0, 0.5)
    last = read_both(plain_nrrd(tmp_path / "b.nrrd", "kinds: space space space RGB-color\n", "5 4 3 3", COLOURS))
    np.testing.assert_array_equal(last.pixels, image.pixels)


# Refused, with the reason


def test_several_volumes_are_refused(tmp_path: Path) -> None:
    four = np.repeat(RAS[..., None], 6, axis=3)
    both_refuse(nifti(tmp_path / "a.nii.gz", four), "it holds 6 volumes along a 4th axis, and one is read")
    both_refuse(nifti(tmp_path / "b.nii", four[..., None, :]), "it has 5 axes (5×4×3×1×6), and one volume is read")
    joined = SimpleITK.JoinSeries([drawn()] * 6)
    for suffix in (".mha", ".nrrd"):
        both_refuse(written(tmp_path / f"a{suffix}", joined), "it holds 6 volumes along a 4th axis")
    fields = "space: RAS\nspace directions: (1,0,0) (0,1,0) (0,0,1) none\nkinds: domain domain domain list\n"
    both_refuse(plain_nrrd(tmp_path / "c.nrrd", fields, "5 4 3 6", four), "it holds 6 volumes along a 4th axis")
    # One volume with a fourth axis of one is one volume.
    np.testing.assert_array_equal(read_both(nifti(tmp_path / "d.nii", RAS[..., None])).pixels, grey(laid()))
    one = written(tmp_path / "d.mha", SimpleITK.JoinSeries([drawn()]))
    np.testing.assert_array_equal(read_both(one).pixels, grey(laid()))


def test_several_numbers_a_voxel_are_refused(tmp_path: Path) -> None:
    for n, dtype in ((2, np.uint8), (3, np.int16), (4, np.uint8), (6, np.float32)):
        vectors = np.zeros((*SHAPE, n), dtype)
        for suffix in (".mha", ".nrrd"):
            both_refuse(
                written(tmp_path / f"a{suffix}", drawn(vectors, is_vector=True)),
                f"each of its voxels holds {n} numbers",
            )
    fields = "kinds: vector domain domain list\n"
    both_refuse(plain_nrrd(tmp_path / "b.nrrd", fields, "5 4 3 1"), "2 of its axes are not of space")


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_complex_voxels_are_refused(tmp_path: Path, dtype: type) -> None:
    both_refuse(nifti(tmp_path / "a.nii", RAS.astype(dtype)), "its voxels are complex numbers")


def test_types_that_are_not_read(tmp_path: Path) -> None:
    rgba = np.zeros(SHAPE, [(name, "u1") for name in "RGBA"])
    both_refuse(nifti(tmp_path / "a.nii", rgba), "its voxels are of a type that is not read")
    both_refuse(changed(nifti(tmp_path / "b.nii"), datatype=1536), "a type of 0 bits, and 16 bits a voxel")
    both_refuse(changed(nifti(tmp_path / "c.nii"), datatype=77), "its header claims type 77, which NIfTI does not have")
    both_refuse(
        changed(nifti(tmp_path / "d.nii"), bitpix=64), "contradicts itself: a type of 16 bits, and 64 bits a voxel"
    )
    both_refuse(changed(nifti(tmp_path / "e.nii"), datatype=1, bitpix=1), "its ")
    for change in (("MET_SHORT", "MET_OTHER"), ("MET_SHORT", "MET_STRING"), ("MET_SHORT", "SHORTS")):
        both_refuse(as_text(written(tmp_path / "a.mha"), change), "its voxels are of a type that is not read")
    both_refuse(as_text(written(tmp_path / "a.nrrd"), ("short", "block")), "its voxels are of a type that is not read")
    text = as_text(written(tmp_path / "b.mha"), ("BinaryData = True", "BinaryData = False"))
    both_refuse(text, "its voxels are written as text")
    for encoding in ("ascii", "hex"):
        both_refuse(as_text(written(tmp_path / "b.nrrd"), ("raw", encoding)), "its voxels are written as text")
    both_refuse(
        as_text(written(tmp_path / "c.nrrd"), ("raw", "zstd")), "its voxels are packed in a way that is not read"
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_voxels_that_are_no_numbers_are_counted(tmp_path: Path, suffix: str, dtype: type, value: float) -> None:
    values = RAS.astype(dtype)
    values[0, :, 1] = value
    path = tmp_path / f"a{suffix}"
    nifti(path, values) if ".nii" in suffix else written(path, drawn(values))
    with pytest.raises(ImageError, match="4 of its 60 voxels are NaN or infinite"):
        read_volume(path)
    with pytest.raises(ImageError, match="4 of its 60 voxels are NaN or infinite"):
        read_volume(path, window=Window(0, 10))


@pytest.mark.parametrize("ends", [(-1.7e308, 1.7e308), (0.0, 1e300), (0.0, 5e-324), (0.0, 1e-300)])
@pytest.mark.parametrize("window", [None, Window(0, 10)])
def test_values_that_overflow_are_refused(tmp_path: Path, ends: tuple[float, float], window: Window | None) -> None:
    values = np.resize(np.array(ends), SHAPE)
    with pytest.raises(ImageError, match="which cannot be shown as grey"):
        read_volume(nifti(tmp_path / "a.nii", values), window=window)


def test_a_volume_of_one_value_is_black(tmp_path: Path) -> None:
    assert not read_volume(nifti(tmp_path / "a.nii", np.full(SHAPE, 9, np.int16))).pixels.any()


@pytest.mark.parametrize("step", [0.0, -1.0, float("nan"), float("inf")])
def test_a_spacing_that_is_none_is_refused(tmp_path: Path, step: float) -> None:
    for fields in ({}, {"sform_code": 0}, {"sform_code": 0, "qform_code": 0}, {"sform_code": 0, "qform_code": 1}):
        both_refuse(nifti(tmp_path / "a.nii", pixdim={2: step}, **fields), f"a spacing of 0.5×{step:g}×3 mm")
    meta = as_text(written(tmp_path / "a.mha"), ("ElementSpacing = 0.5 2 3", f"ElementSpacing = 0.5 {step} 3"))
    both_refuse(meta, f"a spacing of 0.5×{step:g}×3 mm, and each has to be above 0")
    both_refuse(plain_nrrd(tmp_path / "a.nrrd", f"spacings: 0.5 {step} 3\n"), f"a spacing of 0.5×{step:g}×3 mm")
    if not step > 0 and step != -1.0:
        directions = f"space: RAS\nspace directions: (0.5,0,0) (0,{step},0) (0,0,3)\n"
        both_refuse(plain_nrrd(tmp_path / "b.nrrd", directions), f"a spacing of 0.5×{step:g}×3 mm")


@pytest.mark.parametrize("row", [[0, 0, 0, 0], [0, 1, 0, 0], [np.nan, 0, 0, 0], [np.inf, 0, 0, 0], [3e38, 0, 0, 0]])
def test_axes_that_span_no_space_are_refused(tmp_path: Path, row: list[float]) -> None:
    path = nifti(tmp_path / "a.nii", srow_x=row, srow_y=[0, 1, 0, 0])
    if row[0] == 3e38:
        assert read_both(path).pixels.shape == (3, 4, 5, 1)
        return
    both_refuse(path, "its orientation is broken")


def test_other_broken_orientations(tmp_path: Path) -> None:
    both_refuse(nifti(tmp_path / "a.nii", sform_code=0, qform_code=1, quatern_b=3), "its qform is no rotation")
    both_refuse(nifti(tmp_path / "b.nii", sform_code=0, qform_code=1, quatern_b=np.nan), "its orientation is broken")
    both_refuse(nifti(tmp_path / "c.nii", sform_code=0, qform_code=1, pixdim={0: 5}), "its qform is no rotation")
    both_refuse(nifti(tmp_path / "d.nii", scl_slope=2, scl_inter=np.nan), "scales values by what is no number")
    head = written(tmp_path / "a.mha").read_bytes()
    for matrix in (b"1 0 0 1 0 0 0 0 1", b"0 0 0 0 0 0 0 0 0", b"nan 0 0 0 1 0 0 0 1", b"1e308 1e308 0 0 1 0 0 0 1"):
        lines = [b"TransformMatrix = " + matrix if one.startswith(b"Transf") else one for one in head.split(b"\n")]
        (tmp_path / "a.mha").write_bytes(b"\n".join(lines))
        both_refuse(tmp_path / "a.mha", "its orientation is broken")


HUGE = [
    ("a.nii", (2000, 2000, 2000)),
    ("a.nii.gz", (30000, 30000, 1)),
    ("a.mha", (600, 600, 600)),
    ("a.nrrd", (2**31, 2**31, 9)),
]


@pytest.mark.parametrize(("name", "sizes"), HUGE)
def test_headers_that_claim_too_much_are_refused_before_reading(
    tmp_path: Path, name: str, sizes: tuple[int, ...]
) -> None:
    path = made(tmp_path / name)
    if ".nii" in name:
        changed(path, dim={k + 1: size for k, size in enumerate(sizes)})
    else:
        stated = "DimSize = {} {} {}" if name.endswith("a") else "sizes: {} {} {}"
        as_text(path, (stated.format(*SHAPE), stated.format(*sizes)))
    both_refuse(path, f"claims {'×'.join(map(str, sizes))} voxels, over the limit of 200,000,000")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("is_packed", [False, True])
def test_headers_that_claim_more_than_there_is(tmp_path: Path, suffix: str, is_packed: bool) -> None:
    path = tmp_path / f"a{suffix}"
    if ".nii" in suffix:
        changed(nifti(path), dim={3: 30})
    else:
        written(path, is_packed=is_packed)
        old = "DimSize = 5 4 3" if ".mh" in suffix else "sizes: 5 4 3"
        as_text(path, (old, old[:-1] + "30"))
    if suffix.endswith(".gz") or (is_packed and ".nii" not in suffix):
        read_header(path)  # only unpacking tells
        with pytest.raises(ImageError, match="claims 1,200 bytes of voxels, and it holds 120"):
            read_volume(path)
    else:
        both_refuse(path, "it is cut off: its header claims 1,200 bytes of voxels, and it holds 120")


def test_what_no_compression_can_hold_is_refused_unread(tmp_path: Path) -> None:
    for path in (
        changed(nifti(tmp_path / "a.nii.gz"), dim={3: 9000}),
        as_text(written(tmp_path / "a.mha", is_packed=True), ("5 4 3", "5 4 90000")),
        as_text(written(tmp_path / "a.nrrd", is_packed=True), ("5 4 3", "5 4 90000")),
    ):
        both_refuse(path, "compressed bytes can hold")


@pytest.mark.parametrize("dim", [{0: 0}, {0: 8}, {0: -1}, {1: 0}, {2: -4}, {0: 1}])
def test_numbers_of_voxels_that_cannot_be(tmp_path: Path, dim: dict[int, int]) -> None:
    both_refuse(nifti(tmp_path / "a.nii", dim=dim), "its header claims")


@pytest.mark.parametrize("offset", [0, 100, 352.5, -1, np.nan, np.inf])
def test_voxels_that_begin_where_they_cannot(tmp_path: Path, offset: float) -> None:
    for name in ("a.nii", "a.nii.gz"):
        both_refuse(nifti(tmp_path / name, vox_offset=offset), "that the voxels begin at byte")


def test_voxels_that_begin_beyond_the_file(tmp_path: Path) -> None:
    both_refuse(
        nifti(tmp_path / "a.nii", vox_offset=1e6), "it is cut off: its header claims 120 bytes of voxels, and it"
    )
    both_refuse(nifti(tmp_path / "a.nii.gz", vox_offset=1e6), "compressed bytes can hold")
    both_refuse(nifti(tmp_path / "b.nii.gz", vox_offset=2e8), "200,000,000 other bytes come before the voxels")
    short = nifti(tmp_path / "c.nii.gz", vox_offset=4000)
    with pytest.raises(ImageError, match="claims 120 bytes of voxels, and it holds 0"):
        read_volume(short)
    both_refuse(as_text(written(tmp_path / "a.mha"), ("DimSize", "HeaderSize = -7\nDimSize")), "begin at byte -7")
    packed = as_text(written(tmp_path / "b.mha", is_packed=True), ("DimSize", "HeaderSize = -1\nDimSize"))
    both_refuse(packed, "begin at byte -1")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("is_packed", [False, True])
def test_a_file_cut_off_anywhere_is_refused(tmp_path: Path, suffix: str, is_packed: bool) -> None:
    """Every tenth byte, and each of the last; of a detached header that of the voxels too."""
    path = tmp_path / f"a{suffix}"
    nifti(path) if ".nii" in suffix else written(path, is_packed=is_packed)
    for part in sorted(tmp_path.glob("a*")):
        whole = part.read_bytes()
        is_detached_header = part == path and suffix in (".mhd", ".nhdr")
        for end in {*range(0, len(whole), 10), *range(len(whole) - 12, len(whole))}:
            part.write_bytes(whole[:end])
            if is_detached_header and end >= len(whole) - 1:
                continue  # the line feed alone
            with pytest.raises(ImageError) as caught:
                read_volume(path)
            assert caught.value.reason.startswith(("it is ", "its ", "the file of its voxels"))
        part.write_bytes(whole)
    np.testing.assert_array_equal(read_volume(path).pixels, grey(laid()))


def test_empty_files_and_other_files(tmp_path: Path) -> None:
    kinds = {"nii": "NIfTI", "nii.gz": "NIfTI", "mha": "MetaImage", "mhd": "MetaImage", "nrrd": "NRRD", "nhdr": "NRRD"}
    for suffix, kind in kinds.items():
        path = tmp_path / f"a.{suffix}"
        both_refuse(path, "it is not there")
        path.write_bytes(b"")
        both_refuse(path, "it is empty")
        for other in (
            b"\x89PNG\r\n\x1a\n" + bytes(600),
            b"just words\nand more",
            os.urandom(700),
            b"\0" * 1000,
            b"\n\n",
        ):
            path.write_bytes(other)
            both_refuse(
                path, "it is cut off within its header" if other == b"\n\n" and kind != "NRRD" else f"{kind} file"
            )
        path.unlink()
        path.mkdir()
        both_refuse(path, "Is a directory")


def test_gz_files_without_a_volume(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(b""))
    both_refuse(path, "it is empty")
    path.write_bytes(gzip.compress(b"abc"))
    both_refuse(path, "it is cut off within its header")
    path.write_bytes(gzip.compress(bytes(1000)))
    both_refuse(path, "it is not a NIfTI file")
    path.write_bytes(b"\x1f\x8b")
    both_refuse(path, "it is cut off: its compressed data have no end")
    path.write_bytes(b"\x1f\x8b" + b"no gzip at all")
    both_refuse(path, "its compressed data are damaged")


def test_analyze_and_pairs_are_named(tmp_path: Path) -> None:
    both_refuse(nifti(tmp_path / "a.nii", magic=b"ni1"), "its voxels lie in another file, an .img")
    both_refuse(nifti(tmp_path / "b.nii", magic=b""), "its header lacks the mark of NIfTI")


def test_damage_within_compressed_data_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    whole = bytearray(
        nifti(path, np.random.default_rng(0).integers(0, 999, (20, 20, 20)).astype(np.int16)).read_bytes()
    )
    whole[-6] ^= 1  # the checksum
    path.write_bytes(whole)
    with pytest.raises(ImageError, match="its compressed data are damaged"):
        read_volume(path)
    whole[-6] ^= 1
    whole[len(whole) // 2] ^= 255
    path.write_bytes(whole)
    with pytest.raises(ImageError, match=r"its compressed data are damaged|it is cut off"):
        read_volume(path)


def test_a_gzip_without_end_is_read_as_far_as_it_claims(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head = nifti(tmp_path / "small.nii").read_bytes()
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    endless = tmp_path / "a.nii.gz"
    with endless.open("wb") as file:
        file.write(packer.compress(head))
        for _ in range(200):
            file.write(packer.compress(bytes(1_000_000)))
    assert endless.stat().st_size < 300_000
    unpacked: list[int] = []
    real = gzip.GzipFile.read

    def counted(self: gzip.GzipFile, size: int = -1) -> bytes:
        piece = real(self, size)
        unpacked.append(len(piece))
        return piece

    monkeypatch.setattr(gzip.GzipFile, "read", counted)
    tracemalloc.start()
    try:
        image = read_volume(endless)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(image.pixels, grey(laid()))
    assert image.notes == ("more bytes than its header claims; they were passed over",)
    assert sum(unpacked) < 540 + len(head) + 2 * streams._PIECE
    assert peak < 8_000_000


def test_a_zlib_without_end_is_read_as_far_as_it_claims(tmp_path: Path) -> None:
    path = written(tmp_path / "a.mhd", is_packed=True)
    voxels = tmp_path / "a.zraw"
    voxels.write_bytes(zlib.compress(zlib.decompress(voxels.read_bytes()) + bytes(100_000_000)))
    tracemalloc.start()
    try:
        image = read_volume(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(image.pixels, grey(laid()))
    assert image.notes == ("more bytes than its header claims; they were passed over",)
    assert peak < 8_000_000


def test_bytes_after_the_voxels_are_told(tmp_path: Path) -> None:
    for suffix in (".nii", ".mha", ".nrrd"):
        path = made(tmp_path / f"a{suffix}")
        path.write_bytes(path.read_bytes() + b"more")
        image = read_both(path)
        np.testing.assert_array_equal(image.pixels, grey(laid()))
        assert image.notes == ("more bytes than its header claims; they were passed over",)


@pytest.mark.parametrize("suffix", [".mhd", ".nhdr"])
def test_voxels_outside_of_the_folder_are_refused(tmp_path: Path, suffix: str) -> None:
    inner = tmp_path / "inner"
    (inner / "deep").mkdir(parents=True)
    secret = tmp_path / "secret.raw"
    secret.write_bytes(RAS.tobytes(order="F"))
    (tmp_path / "inner2").mkdir()
    (tmp_path / "inner2" / "a.raw").write_bytes(secret.read_bytes())
    (inner / "out.raw").symlink_to(secret)
    (inner / "ring.raw").symlink_to(inner / "ring.raw")
    (inner / "linked").symlink_to(tmp_path)
    outside = "its header sends for voxels outside of its folder"
    cases = {
        str(secret): outside,
        "../secret.raw": outside,
        "deep/../../secret.raw": outside,
        "../inner2/a.raw": outside,
        "../inner/a.raw": outside,
        "out.raw": outside,
        "linked/secret.raw": outside,
        "/etc/passwd": outside,
        "/dev/zero": outside,
        "ring.raw": "the file of its voxels",
        "deep": "the file of its voxels is not there",
        ".": "the file of its voxels is not there",
        "absent.raw": "the file of its voxels is not there",
        "C:\\secret.raw": "the file of its voxels is not there",
        "n" * 300: "the file of its voxels has a name that cannot be",
        "a\0b.raw": "the file of its voxels has a name that cannot be",
        "a\udcff.raw": "the file of its voxels is not there",
        "LIST": "its voxels lie in several files",
        "LIST 2\na.raw\nb.raw": "its voxels lie in several files",
        "IM%03d.raw 1 3 1": "its voxels lie in several files",
    }
    for named, reason in cases.items():
        path = as_text(written(inner / f"a{suffix}"), ("a.raw", named))
        both_refuse(path, reason)


@pytest.mark.parametrize(("suffix", "old"), [(".mha", "LOCAL\n"), (".nrrd", "space origin")])
def test_an_attached_header_cannot_send_elsewhere_either(tmp_path: Path, suffix: str, old: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.raw").write_bytes(RAS.tobytes(order="F"))
    new = "../secret.raw\n" if suffix == ".mha" else "data file: ../secret.raw\nspace origin"
    both_refuse(as_text(written(tmp_path / "in" / f"a{suffix}"), (old, new)), "outside of its folder")


@pytest.mark.parametrize("suffix", [".mhd", ".nhdr"])
def test_voxels_within_the_folder_are_read(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "deep").mkdir()
    path = written(tmp_path / f"a{suffix}")
    for named in ("deep/a b.raw", "lungé.raw", "link.raw", "n" * 251 + ".raw"):
        (tmp_path / "a.raw").rename(tmp_path / "deep" / "a b.raw") if named.startswith("deep") else None
        if named == "link.raw":
            (tmp_path / named).symlink_to(tmp_path / "deep" / "a b.raw")
        elif not named.startswith("deep"):
            (tmp_path / named).write_bytes(RAS.tobytes(order="F"))
        changed_path = as_text(path, ("a.raw", named))
        np.testing.assert_array_equal(read_both(changed_path).pixels, grey(laid()))
        as_text(path, (named, "a.raw"))


def test_a_linked_file_is_read_beside_its_link(tmp_path: Path) -> None:
    (tmp_path / "cohort").mkdir()
    (tmp_path / "cohort" / "a.nii").symlink_to(made(tmp_path / "b.nii"))
    np.testing.assert_array_equal(read_both(tmp_path / "cohort" / "a.nii").pixels, grey(laid()))
    (tmp_path / "cohort" / "a.mhd").symlink_to(made(tmp_path / "b.mhd"))
    both_refuse(tmp_path / "cohort" / "a.mhd", "the file of its voxels is not there")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("NDims = 3", "NDims = three"), "its header is damaged: NDims should be a whole number"),
        (("NDims = 3", "NDims = 2"), "its header is damaged: DimSize should be 2 whole numbers"),
        (("NDims = 3", f"NDims = {'9' * 5000}"), "NDims should be a whole number"),
        (("NDims = 3\n", ""), "its header lacks NDims"),
        (("5 4 3", "5 4 0"), "its header claims 5×4×0 voxels"),
        (("5 4 3", "5 4 -3"), "its header claims 5×4×-3 voxels"),
        (("5 4 3", "5 4 3.5"), "DimSize should be 3 whole numbers"),
        (("5 4 3", "5 4 999999999999999999"), "over the limit of 200,000,000"),
        (("ElementSpacing = 0.5 2 3", "ElementSpacing = 0.5 2"), "ElementSpacing should be 3 numbers"),
        (("ElementSpacing = 0.5 2 3", "ElementSpacing = a b c"), "ElementSpacing should be 3 numbers"),
        (("TransformMatrix = -1", "TransformMatrix = 1 1"), "TransformMatrix should be 9 numbers"),
        (("DimSize", "ElementNumberOfChannels = 0\nDimSize"), "neither picture nor volume"),
        (("DimSize", "DimSize = 9 9 9\nDimSize"), "its header states DimSize twice"),
        (("ElementDataFile", "ElementDataFile: a.raw\nElementDataFile"), "the file of its voxels is not there"),
        (("DimSize", "what is this\nDimSize"), "its header is damaged"),
    ],
)
def test_damaged_headers_of_metaimages(tmp_path: Path, change: tuple[str, str], reason: str) -> None:
    both_refuse(as_text(written(tmp_path / "a.mha"), change), reason)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("dimension: 3", "dimension: x"), "dimension should be a whole number"),
        (("dimension: 3", "dimension: 999999999999999999"), "sizes should be 999999999999999999 whole numbers"),
        (("dimension: 3", "dimension: 0"), "sizes should be 0 whole numbers"),
        (("type: short\n", ""), "its header lacks type"),
        (("endian: little\n", ""), "does not say which byte of a number comes first"),
        (("sizes: 5 4 3", "sizes: 5 4 0"), "its header claims 5×4×0 voxels"),
        (("kinds: domain domain domain", "kinds: domain"), "kinds should be 3 words"),
        (("space directions: (", "space directions: (0,0,1) ("), "space directions should be 3 vectors"),
        (("space directions: (", "space directions: (7,"), "each of the space directions should be 4 numbers"),
        (("sizes", "sizes: 1 1 1\nsizes"), "its header states sizes twice"),
        (("sizes", "what is this\nsizes"), "its header is damaged"),
        (("NRRD0004", "NRRDXXXX"), "it is not an NRRD file"),
        (("sizes", "byte skip: -2\nsizes"), "begin at byte -2"),
        (("sizes", "line skip: 999999999\nsizes"), "it is cut off"),
    ],
)
def test_damaged_headers_of_nrrds(tmp_path: Path, change: tuple[str, str], reason: str) -> None:
    both_refuse(as_text(written(tmp_path / "a.nrrd"), change), reason)


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
def test_a_header_without_end_is_not_read_to_it(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    start = b"NDims = 3\n" if suffix == ".mha" else b"NRRD0004\n"
    path.write_bytes(start + b"".join(b"a%d: 1\n" % k for k in range(300_000)))
    both_refuse(path, "it is cut off within its header")


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = made(tmp_path / "a.nii")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything, so permission cannot be refused")
    both_refuse(path, "Permission denied")


def test_want_of_memory_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*_: object) -> None:
        raise MemoryError

    path = made(tmp_path / "a.nii")
    monkeypatch.setattr(streams.np, "empty", no_room)
    with pytest.raises(ImageError, match="it needs more memory than there is"):
        read_volume(path)


# Whatever the bytes


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(st.data())
def test_any_change_of_bytes_gives_a_volume_or_a_reason(tmp_path: Path, suffix: str, data: st.DataObject) -> None:
    whole = bytearray(
        WHOLE[suffix] if suffix in WHOLE else WHOLE.setdefault(suffix, made(tmp_path / f"w{suffix}").read_bytes())
    )
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(whole) - 1))
        piece = data.draw(
            st.one_of(st.binary(max_size=8), st.sampled_from([b"-1", b"9" * 12, b"nan", b"1e999", b"\n"]))
        )
        whole[at : at + data.draw(st.integers(0, 8))] = piece
    path = tmp_path / f"f{suffix}"
    path.write_bytes(whole)
    for read in (read_header, read_volume):
        with contextlib.suppress(ImageError):
            assert isinstance(read(path), Header | Image)


WHOLE: dict[str, bytes] = {}
