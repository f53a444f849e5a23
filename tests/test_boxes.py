"""Cropping to what is bright, and boxes of stated extent: examples worked by hand, and laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from medladder.errors import ImageError
from medladder.images.boxes import crop_background, take_box
from medladder.images.image import Image


def row(*values: int, dtype: type = np.uint8, spacing: tuple[float, ...] | None = (1.0, 1.0)) -> Image:
    """A picture of one row."""
    return Image(np.array(values, dtype)[None, :, None], spacing)


def values(image: Image) -> list[int]:
    return image.pixels.ravel().tolist()


Drawn = tuple[np.ndarray, tuple[float, ...]]


@st.composite
def drawn(draw: st.DrawFn) -> Drawn:
    """Pixels and spacing; no `Image` yet, whose checker asks for chance that hypothesis does not know of."""
    axes = draw(st.integers(2, 3))
    shape = (*draw(st.lists(st.integers(1, 6), min_size=axes, max_size=axes)), draw(st.sampled_from([1, 3])))
    dtype = draw(st.sampled_from([np.uint8, np.uint16]))
    top = int(np.iinfo(dtype).max)
    pixels = draw(arrays(dtype, shape, elements=st.sampled_from([0, top // 100, top // 10, top]), fill=st.just(0)))
    spacing = draw(st.lists(st.sampled_from([0.25, 0.7, 1.0, 3.3]), min_size=axes, max_size=axes))
    return pixels, tuple(spacing)


def test_the_background_is_what_reaches_no_twentieth_of_the_range() -> None:
    # 5 % of 255 is 12.75, of 65535 it is 3276.75.
    assert values(crop_background(row(0, 12, 13, 0, 200, 12, 0))) == [13, 0, 200]
    assert values(crop_background(row(3276, 3277, 0, dtype=np.uint16))) == [3277]


def test_a_crop_is_a_box_over_all_axes_and_channels() -> None:
    pixels = np.zeros((4, 5, 6, 3), np.uint8)
    pixels[1, 2, 3, 0] = 90
    pixels[2, 4, 1, 2] = 20
    cropped = crop_background(Image(pixels, (3.0, 1.0, 0.5), notes=("seen",)))
    np.testing.assert_array_equal(cropped.pixels, pixels[1:3, 2:5, 1:4])
    assert cropped.spacing_mm == (3.0, 1.0, 0.5)
    assert cropped.notes == ("seen",)


@pytest.mark.parametrize("level", [0, 12, 13, 255])
def test_a_constant_image_is_not_cropped(level: int) -> None:
    image = Image(np.full((3, 4, 1), level, np.uint8))
    assert crop_background(image).pixels.shape == (3, 4, 1)


@given(drawn())
def test_cropping_twice_is_cropping_once(given_as: Drawn) -> None:
    image = Image(*given_as, notes=("seen",))
    once = crop_background(image)
    np.testing.assert_array_equal(crop_background(once).pixels, once.pixels)
    assert (once.spacing_mm, once.notes, once.pixels.dtype) == (image.spacing_mm, image.notes, image.pixels.dtype)


@given(drawn())
def test_a_crop_loses_nothing_bright(given_as: Drawn) -> None:
    image = Image(*given_as, notes=("seen",))
    threshold = 0.05 * np.iinfo(image.pixels.dtype).max
    assert (crop_background(image).pixels > threshold).sum() == (image.pixels > threshold).sum()


@pytest.mark.parametrize(
    ("side_mm", "wanted"),
    [
        (5.0, [1, 2, 3, 4, 5]),
        (3.0, [2, 3, 4]),
        (4.0, [1, 2, 3, 4]),
        (7.0, [0, 1, 2, 3, 4, 5, 0]),
        (6.0, [1, 2, 3, 4, 5, 0]),
        (0.1, [3]),
    ],
)
def test_a_box_lies_about_the_centre(side_mm: float, wanted: list[int]) -> None:
    assert values(take_box(row(1, 2, 3, 4, 5), (1.0, side_mm))) == wanted


def test_a_box_is_measured_in_millimetres_and_rounded_to_voxels() -> None:
    image = Image(np.ones((4, 6, 8, 1), np.uint16), (5.0, 0.7, 2.0))
    taken = take_box(image, (30.0, 2.5, 8.0))  # 6 slices, 3.57 rows, 4 columns
    assert taken.pixels.shape == (6, 4, 4, 1)
    assert taken.spacing_mm == image.spacing_mm
    assert taken.pixels[1:5].all()
    assert not taken.pixels[[0, 5]].any()


def test_a_box_needs_a_spacing_of_every_axis() -> None:
    with pytest.raises(ImageError, match="it states no spacing of its pixels, so no box in mm can be taken"):
        take_box(row(1, 2, spacing=None), (1.0, 1.0))
    with pytest.raises(ImageError, match="it has 2 axes, and the box in mm has 3"):
        take_box(row(1, 2), (1.0, 1.0, 1.0))


@pytest.mark.parametrize("step", [1e-6, 5e-324])
def test_a_spacing_that_lies_does_not_take_the_memory(step: float) -> None:
    with pytest.raises(ImageError, match="at its spacing the box in mm has over 200,000,000 voxels"):
        take_box(row(1, 2, spacing=(step, step)), (100.0, 100.0))


@given(drawn())
def test_a_box_as_large_as_the_image_changes_nothing(given_as: Drawn) -> None:
    image = Image(*given_as, notes=("seen",))
    assert image.spacing_mm is not None
    extent = tuple(n * step for n, step in zip(image.pixels.shape, image.spacing_mm, strict=False))
    taken = take_box(image, extent)
    np.testing.assert_array_equal(taken.pixels, image.pixels)
    assert taken.spacing_mm == image.spacing_mm


@given(drawn(), st.integers(0, 3))
def test_what_was_added_around_is_cut_off_again(given_as: Drawn, more: int) -> None:
    image = Image(*given_as)
    assert image.spacing_mm is not None
    extent = [n * step for n, step in zip(image.pixels.shape, image.spacing_mm, strict=False)]
    larger = take_box(image, tuple(side + more * step for side, step in zip(extent, image.spacing_mm, strict=True)))
    assert larger.pixels.shape[:-1] == tuple(n + more for n in image.pixels.shape[:-1])
    assert larger.pixels.sum(dtype=np.int64) == image.pixels.sum(dtype=np.int64)
    np.testing.assert_array_equal(take_box(larger, tuple(extent)).pixels, image.pixels)
