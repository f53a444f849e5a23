"""Slices put together: a drawn body cut along several planes comes back as the same volume, or is refused."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.sequence import Sequence as Items

from drawn_dicom import drawn, groups
from medladder.errors import ImageError
from medladder.images.image import Image
from medladder.images.orientation import canonical
from medladder.images.series import read_frames, read_series
from medladder.images.values import Window

# From inferior to superior, anterior to posterior and right to left: 4 by 5 by 6 voxels of 4, 3 and 2 mm.
BODY = np.random.default_rng(1).integers(0, 256, (4, 5, 6), dtype=np.uint8)
UP, BACK, LEFT = 4.0, 3.0, 2.0

# Directions of DICOM's patient: x to the left, y to the back, z up.
AXIAL = [1, 0, 0, 0, 1, 0]
SAGITTAL = [0, 1, 0, 0, 0, -1]
CORONAL = [1, 0, 0, 0, 0, -1]


def write(folder: Path, pictures: Sequence[np.ndarray], places: Sequence[Any], **elements: Any) -> list[Path]:
    """Slices as files whose names and numbers say nothing of where they lie."""
    numbers = random.Random(0).sample(range(100), len(pictures))
    return [
        drawn(
            folder / f"{number:02d}.dcm",
            np.ascontiguousarray(picture),
            ImagePositionPatient=list(place),
            InstanceNumber=number,
            **elements,
        )
        for number, picture, place in zip(numbers, pictures, places, strict=True)
    ]


def axial(folder: Path, **elements: Any) -> list[Path]:
    options = {"ImageOrientationPatient": AXIAL, "PixelSpacing": [BACK, LEFT], **elements}
    return write(folder, BODY, [(0, 0, UP * z) for z in range(4)], **options)


def assert_is_body(image: Image) -> None:
    np.testing.assert_array_equal(image.pixels[..., 0], BODY)
    assert image.spacing_mm == pytest.approx((UP, BACK, LEFT), abs=1e-6)
    assert image.pixels.flags.c_contiguous


# Orientation


def test_axes_of_ras_by_hand() -> None:
    # Stored as x to the right, y to the front, z up, of 2, 3 and 4 mm: slices stay, rows and columns turn round.
    voxels = np.arange(24).reshape(2, 3, 4)
    laid, spacing = canonical(voxels, np.diag([2.0, 3.0, 4.0, 1.0]))
    assert spacing == (4.0, 3.0, 2.0)
    assert laid.shape == (4, 3, 2)
    assert laid[0, 0, 0] == voxels[1, 2, 0]  # lowest, most to the front, most to the right
    assert laid[3, 2, 1] == voxels[0, 0, 3]


def test_axes_that_are_permuted_by_hand() -> None:
    # Stored as (down, to the left, to the front) with 5, 6 and 7 mm.
    affine = np.array([[0.0, -6, 0, 40], [0, 0, 7, -20], [-5, 0, 0, 3], [0, 0, 0, 1]])
    voxels = np.arange(24).reshape(2, 3, 4)
    laid, spacing = canonical(voxels, affine)
    assert spacing == (5.0, 7.0, 6.0)
    np.testing.assert_array_equal(laid, voxels[::-1, :, ::-1].transpose(0, 2, 1))


def test_channels_come_last() -> None:
    voxels = np.arange(72).reshape(2, 3, 4, 3)
    laid, _ = canonical(voxels, np.eye(4))
    assert laid.shape == (4, 3, 2, 3)
    np.testing.assert_array_equal(laid[0, 0, 0], voxels[1, 2, 0])


@given(st.permutations(range(3)), st.lists(st.sampled_from([-1.0, 1.0]), min_size=3, max_size=3))
def test_however_it_is_stored_the_body_comes_back(order: list[int], signs: list[float]) -> None:
    right_front_up = BODY[:, ::-1, ::-1].transpose(2, 1, 0)
    lengths = (LEFT, BACK, UP)
    stored = right_front_up.transpose(order)
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, place in enumerate(order):
        affine[place, axis] = signs[axis] * lengths[place]
        if signs[axis] < 0:
            stored = np.flip(stored, axis)
    laid, spacing = canonical(stored, affine)
    np.testing.assert_array_equal(laid, BODY)
    assert spacing == (UP, BACK, LEFT)


@pytest.mark.parametrize("broken", [np.diag([1.0, 0, 1, 1]), np.diag([1.0, np.nan, 1, 1]), np.ones((4, 4))])
def test_axes_that_span_no_space_are_refused(broken: np.ndarray) -> None:
    with pytest.raises(ValueError, match="do not span space"):
        canonical(BODY, broken)


# Series


def test_axial_slices_in_any_order(tmp_path: Path) -> None:
    paths = axial(tmp_path)
    for seed in range(3):
        assert_is_body(read_series(random.Random(seed).sample(paths, 4)))


def test_sagittal_slices(tmp_path: Path) -> None:
    # Rows run down and columns to the back; the first row is the highest.
    pictures = [BODY[::-1, :, x] for x in range(6)]
    places = [(LEFT * x, 0, UP * 3) for x in range(6)]
    paths = write(tmp_path, pictures, places, ImageOrientationPatient=SAGITTAL, PixelSpacing=[UP, BACK])
    assert_is_body(read_series(paths))


def test_coronal_slices(tmp_path: Path) -> None:
    pictures = [BODY[::-1, y] for y in range(5)]
    places = [(0, BACK * y, UP * 3) for y in range(5)]
    paths = write(tmp_path, pictures, places, ImageOrientationPatient=CORONAL, PixelSpacing=[UP, LEFT])
    assert_is_body(read_series(paths))


def test_prone_slices_are_turned(tmp_path: Path) -> None:
    # Columns to the patient's right and rows to the front, as of a patient who lies on the belly.
    pictures = [BODY[z, ::-1, ::-1] for z in range(4)]
    places = [(10, 12, UP * z) for z in range(4)]
    options = {"ImageOrientationPatient": [-1, 0, 0, 0, -1, 0], "PixelSpacing": [BACK, LEFT]}
    assert_is_body(read_series(write(tmp_path, pictures, places, **options)))


def test_oblique_slices_are_not_resampled(tmp_path: Path) -> None:
    # Turned by 20° about the axis from right to left; each slice lies along the normal of the plane.
    sine, cosine = np.sin(np.radians(20)), np.cos(np.radians(20))
    places = [np.array([0, -sine, cosine]) * UP * z for z in range(4)]
    orientation = [1, 0, 0, 0, round(cosine, 6), round(sine, 6)]
    places = [[round(float(number), 4) for number in place] for place in places]
    image = read_series(write(tmp_path, BODY, places, ImageOrientationPatient=orientation, PixelSpacing=[BACK, LEFT]))
    np.testing.assert_array_equal(image.pixels[..., 0], BODY)
    assert image.spacing_mm == pytest.approx((UP, BACK, LEFT), abs=1e-3)
    assert image.notes == ()


def test_tilted_gantry_is_said(tmp_path: Path) -> None:
    places = [(0, 1.5 * z, UP * z) for z in range(4)]
    image = read_series(write(tmp_path, BODY, places, ImageOrientationPatient=AXIAL, PixelSpacing=[BACK, LEFT]))
    assert_is_body(image)
    assert image.notes == (
        "its slices are not straight above one another, as of a tilted gantry, and are stacked as if they were",
    )


def test_colour_slices(tmp_path: Path) -> None:
    colours = np.random.default_rng(2).integers(0, 256, (4, 5, 6, 3), dtype=np.uint8)
    options = {"ImageOrientationPatient": AXIAL, "PixelSpacing": [BACK, LEFT]}
    paths = write(tmp_path, colours, [(0, 0, UP * z) for z in range(4)], **options)
    np.testing.assert_array_equal(read_series(paths[::-1]).pixels, colours)


def deep(folder: Path, elements: Callable[[int], dict[str, Any]]) -> list[Path]:
    """Slices of Hounsfield units: -1000, 0, 1000 and 2000, stored with an intercept of -1024."""
    return [
        drawn(
            folder / f"{z}",
            np.full((3, 3), 1000 * z + 24, np.uint16),
            ImagePositionPatient=[0, 0, UP * z],
            ImageOrientationPatient=AXIAL,
            PixelSpacing=[1, 1],
            **{"RescaleSlope": 1, "RescaleIntercept": -1024, **elements(z)},
        )
        for z in range(4)
    ]


def levels(image: Image) -> list[int]:
    assert all(len(np.unique(part)) == 1 for part in image.pixels)
    return [int(part.flat[0]) for part in image.pixels]


def test_one_window_for_the_volume(tmp_path: Path) -> None:
    # Given: from 0 to 2000 are 0, 0, half and whole.
    paths = deep(tmp_path, lambda _z: {"WindowCenter": 500.5, "WindowWidth": 1001})
    assert levels(read_series(paths, window=Window(1000, 2000))) == [0, 0, 32768, 65535]
    # Stated by all: 0.5 - 0.5 = 0 to 1000.
    assert levels(read_series(paths)) == [0, 0, 65535, 65535]
    # Stated in several ways: none holds, and the volume's own range, -1000 to 2000, does.
    several = deep(tmp_path, lambda z: {"WindowCenter": 500 + z, "WindowWidth": 1000})
    assert levels(read_series(several)) == [0, 21845, 43690, 65535]


def test_slices_that_are_rescaled_in_different_ways(tmp_path: Path) -> None:
    # As PET has them: stored 24, 1024, 2024 and 3024 times 1, 2, 1 and 2 are 24, 2048, 2024 and 6048.
    paths = deep(tmp_path, lambda z: {"RescaleSlope": 1 + z % 2, "RescaleIntercept": 0})
    expected = [round((value - 24) / 6024 * 65535) for value in (24, 2048, 2024, 6048)]
    assert levels(read_series(paths)) == expected
    assert levels(read_series(paths, window=Window(1500, 3000))) == [524, 44739, 44214, 65535]


def test_monochrome1_slices(tmp_path: Path) -> None:
    paths = deep(tmp_path, lambda _z: {"PhotometricInterpretation": "MONOCHROME1"})
    assert levels(read_series(paths)) == [65535, 43690, 21845, 0]


def refusal(paths: Sequence[Path]) -> str:
    with pytest.raises(ImageError) as caught:
        read_series(paths)
    return caught.value.reason


def test_missing_slices_are_counted_and_placed(tmp_path: Path) -> None:
    places = [(0, 0, z) for z in (0, 4, 8, 12, 24, 28, 36, 40)]
    pictures = [BODY[0]] * len(places)
    paths = write(tmp_path, pictures, places, ImageOrientationPatient=AXIAL, PixelSpacing=[1, 1])
    assert refusal(paths) == (
        "3 of its slices missing, the first between 12.00 and 24.00 mm along the stack, whose slices are 4.00 mm apart"
    )


def test_uneven_slices_are_refused(tmp_path: Path) -> None:
    places = [(0, 0, z) for z in (0, 4, 8, 13.5, 17.5)]
    paths = write(tmp_path, [BODY[0]] * 5, places, ImageOrientationPatient=AXIAL, PixelSpacing=[1, 1])
    assert refusal(paths) == (
        "its slices are unevenly spaced, first between 8.00 and 13.50 mm along the stack, "
        "whose slices are 4.00 mm apart"
    )


def test_gaps_within_one_percent_pass(tmp_path: Path) -> None:
    places = [(0, 0, z) for z in (0, 4.04, 8, 12)]
    assert_is_body(read_series(write(tmp_path, BODY, places, ImageOrientationPatient=AXIAL, PixelSpacing=[BACK, LEFT])))


def test_two_slices_at_one_position_are_refused(tmp_path: Path) -> None:
    places = [(0, 0, z) for z in (0, 4, 4, 8)]
    paths = write(tmp_path, BODY, places, ImageOrientationPatient=AXIAL, PixelSpacing=[1, 1])
    assert refusal(paths) == "1 of 4 slices lie where another lies, the first at 4.00 mm, as of several phases"


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"ImageOrientationPatient": CORONAL}, "the slices are of several orientations, as where a scout stands"),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 0.999, 0.04]}, "the slices are of several orientations"),
        ({"ImageOrientationPatient": None}, "1 of 4 slices do not state where they lie"),
        ({"ImagePositionPatient": None}, "1 of 4 slices do not state where they lie"),
        ({"ImagePositionPatient": [0, 0]}, "1 of 4 slices do not state where they lie"),
        ({"PixelSpacing": None}, "the slices state no spacing"),
        ({"PixelSpacing": [0, 0]}, "the slices state no spacing of their pixels that is above 0"),
        ({"PixelSpacing": [BACK, LEFT * 1.01]}, "the slices have several pixel spacings"),
        ({"SeriesInstanceUID": "1.2.3.2"}, "the slices are of several series"),
        ({"PhotometricInterpretation": "MONOCHROME1"}, "the slices are of several kinds of grey"),
    ],
)
def test_one_slice_that_does_not_go_with_the_others(tmp_path: Path, elements: dict[str, Any], reason: str) -> None:
    paths = axial(tmp_path)
    options = {"ImagePositionPatient": [0, 0, UP * 2], "ImageOrientationPatient": AXIAL, "PixelSpacing": [BACK, LEFT]}
    drawn(paths[2], BODY[2], **{**options, **elements})
    assert refusal(paths).startswith(reason)


def test_other_series_that_are_refused(tmp_path: Path) -> None:
    paths = axial(tmp_path)
    assert refusal(paths[:1]) == "a single slice makes no volume"
    broken = axial(tmp_path, ImageOrientationPatient=[1, 0, 0, 1, 0, 0])
    assert refusal(broken).startswith("its orientation is broken")
    paths = axial(tmp_path)
    options = {"ImagePositionPatient": [0, 0, 0], "ImageOrientationPatient": AXIAL, "PixelSpacing": [BACK, LEFT]}
    drawn(paths[0], BODY[0, :4], **options)
    assert refusal(paths) == "the slices are of several sizes"
    drawn(paths[0], BODY, **options)
    assert refusal(paths) == "it is one of several files of a series, and holds 4 frames"
    paths[0].write_bytes(b"not a picture")
    assert refusal(paths) == "it is not a DICOM file"


def test_volume_over_the_limit_is_refused_before_it_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medladder.images.series.MAX_PIXELS", 119)
    assert refusal(axial(tmp_path)) == "together the slices have more than 119 pixels"


# Frames of one file


def enhanced(path: Path, order: Sequence[int], *, z: Sequence[float] = (0, UP, 2 * UP, 3 * UP), **shared: Any) -> Path:
    """The slices of the body as frames, stored in this order."""
    frames = [
        groups(
            PlanePositionSequence={"ImagePositionPatient": [0, 0, z[i]]},
            PixelValueTransformationSequence={"RescaleSlope": 1, "RescaleIntercept": 0},
        )
        for i in order
    ]
    common = {
        "PlaneOrientationSequence": {"ImageOrientationPatient": AXIAL},
        "PixelMeasuresSequence": {"PixelSpacing": [BACK, LEFT], "SliceThickness": 9},
        **shared,
    }
    return drawn(
        path,
        BODY[list(order)],
        PerFrameFunctionalGroupsSequence=Items(frames),
        SharedFunctionalGroupsSequence=Items([groups(**common)]),
    )


def test_enhanced_frames_are_ordered_by_position(tmp_path: Path) -> None:
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        assert_is_body(read_frames(enhanced(tmp_path / "a", order)))


def test_enhanced_frames_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"1 of 4 slices lie where another lies"):
        read_frames(enhanced(tmp_path / "a", [0, 1, 2, 3], z=(0, 4, 4, 8)))
    with pytest.raises(ImageError, match=r"1 of its slices missing"):
        read_frames(enhanced(tmp_path / "a", [0, 1, 2, 3], z=(0, 4, 8, 16)))


def test_window_and_spacing_of_functional_groups(tmp_path: Path) -> None:
    from medladder.images.dicom import read_file, read_header

    window = {"WindowCenter": 100.5, "WindowWidth": 101}  # from 50 to 150
    path = enhanced(tmp_path / "a", [0, 1, 2, 3], FrameVOILUTSequence=window)
    told = read_header(path)
    assert (told.frames, told.shape, told.spacing_mm, told.is_deep) == (4, (5, 6), (BACK, LEFT), True)
    expected = np.round(np.clip((BODY - 50.0) / 100, 0, 1) * 65535)
    np.testing.assert_array_equal(read_frames(path).pixels[..., 0], expected)
    np.testing.assert_array_equal(read_file(path, frame=2).pixels[..., 0], expected[2])


def test_frames_without_positions_stay_in_their_order(tmp_path: Path) -> None:
    path = drawn(tmp_path / "a", BODY, PixelSpacing=[3, 2], SpacingBetweenSlices=4, SliceThickness=7)
    image = read_frames(path)
    np.testing.assert_array_equal(image.pixels[..., 0], BODY)
    assert image.spacing_mm == (4.0, 3.0, 2.0)
    assert image.notes == ("its frames state no position and stand in the order in which they are stored",)
    assert read_frames(drawn(tmp_path / "a", BODY, PixelSpacing=[3, 2])).spacing_mm is None
    # One position on top is not that of each frame.
    on_top = {"ImagePositionPatient": [0, 0, 0], "ImageOrientationPatient": AXIAL, "PixelSpacing": [3, 2]}
    assert read_frames(drawn(tmp_path / "a", BODY, SliceThickness=7, **on_top)).spacing_mm == (7.0, 3.0, 2.0)


def test_single_frame_is_no_volume(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="holds a single frame"):
        read_frames(drawn(tmp_path / "a", BODY[0]))


def test_real_frames_agree_with_pydicom(shared_data: Callable[[str], Path]) -> None:
    folder = shared_data("dicom")
    stored = dcmread(folder / "emri_small.dcm").pixel_array.astype(float)
    low, high = np.quantile(stored, (0.001, 0.999))
    expected = np.clip((stored - low) / (high - low), 0, 1) * 65535
    for name in ("emri_small", "emri_small_RLE", "emri_small_big_endian"):
        image = read_frames(folder / f"{name}.dcm")
        assert image.pixels.shape == (10, 64, 64, 1)
        assert image.notes == ("its frames state no position and stand in the order in which they are stored",)
        assert np.abs(image.pixels[..., 0] - expected).max() <= 1
    assert read_frames(folder / "OBXXXX1A_2frame.dcm").pixels.shape == (2, 600, 800, 3)
    with pytest.raises(ImageError, match="the file is cut short within its compressed pixels"):
        read_frames(folder / "emri_small_jpeg_2k_lossless_too_short.dcm")
