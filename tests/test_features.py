"""Hand-crafted features: worked by hand on tiny images, and what must hold for every image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from skimage.feature import graycomatrix, graycoprops, local_binary_pattern
from sklearn.exceptions import NotFittedError

from medladder.cohort import read_cohort
from medladder.engine.local import LocalEngine
from medladder.errors import InputError
from medladder.rungs import parse_rung
from medladder.rungs.features import (
    HandCraftedFeatures,
    binary_patterns,
    block_means,
    co_occurrence,
    describe_image,
    gradient_histogram,
    intensity_statistics,
    layout_contrasts,
)
from medladder.views import views_of

SHAPES = [(12, 9), (1, 1), (28, 28, 1), (11, 10, 3), (9, 9, 4), (9, 10, 11, 1), (2, 3, 4, 2)]


def draw_images(shape: tuple[int, ...], n: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


def test_intensity_of_a_ramp_by_hand() -> None:
    ramp = np.linspace(0, 1, 101, dtype=np.float32).reshape(1, 101)
    mean, deviation, *quantiles = intensity_statistics(ramp)
    assert mean == pytest.approx(0.5)
    assert deviation == pytest.approx(np.sqrt((101**2 - 1) / 12) / 100)
    assert quantiles == pytest.approx([0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99])


def test_block_means_by_hand() -> None:
    image = np.array([[1, 3, 0, 0], [1, 3, 0, 4], [5, 5, 2, 2], [5, 5, 2, 2]], np.float32)
    assert block_means(image, 2).tolist() == [2, 1, 5, 2]


def test_block_means_of_a_volume_run_slice_row_column() -> None:
    volume = np.zeros((2, 2, 2), np.float32)
    volume[1, 0, 1] = 1
    assert block_means(volume, 2).tolist() == [0, 0, 0, 0, 0, 1, 0, 0]


@pytest.mark.parametrize(
    ("bright", "expected"),
    [
        ((slice(None), slice(0, 4)), [1, 0, 0, 0, 0, 0]),
        ((slice(0, 4), slice(None)), [0, 1, 0, 0, 0, 0]),
        ((slice(None), slice(2, 6)), [0, 0, 0, 1, 0, 1 - 4 / 12]),
        ((slice(2, 6), slice(2, 6)), [0, 0, 0, 0.5, 0.5, 1]),
    ],
)
def test_layout_contrasts_by_hand(bright: tuple[slice, slice], expected: list[float]) -> None:
    image = np.zeros((8, 8), np.float32)
    image[bright] = 1
    assert layout_contrasts(image) == pytest.approx(expected, abs=1e-6)


def test_a_ramp_has_one_orientation_in_every_cell() -> None:
    ramp = np.tile(np.linspace(0, 1, 28, dtype=np.float32), (28, 1))
    bins = gradient_histogram(ramp).reshape(-1, 9)
    assert (bins[:, 0] > 0).all()
    assert not bins[:, 1:].any()


def test_the_steepest_channel_speaks_for_the_gradient() -> None:
    colour = np.zeros((16, 16, 3), np.float32)
    colour[..., 1] = np.linspace(0, 1, 16)
    assert gradient_histogram(colour) == pytest.approx(gradient_histogram(colour[..., 1]))


def test_a_constant_image_has_one_binary_pattern() -> None:
    shares = binary_patterns(np.full((9, 9), 0.4, np.float32))
    assert np.flatnonzero(shares).tolist() == [8, 10 + 16]  # no neighbour is darker, at either radius
    assert shares[[8, 26]].tolist() == [1, 1]


def test_co_occurrence_of_a_checkerboard_by_hand() -> None:
    board = (np.indices((8, 8)).sum(axis=0) % 2).astype(np.float32)
    texture = co_occurrence(board)
    # Levels 0 and 15: neighbours in a row or column differ by 15, on a diagonal and two steps away by 0.
    assert texture[:2] == pytest.approx([(225 + 0 + 225 + 0) / 4, 0])
    assert texture[12:14] == pytest.approx([225, 0])


def texture_images() -> list[np.ndarray]:
    """Noise, few levels, large flat regions, one level: where ties and rounding decide."""
    rng = np.random.default_rng(0)
    flat = np.kron(rng.integers(0, 256, (5, 6)), np.ones((9, 9)))
    few = rng.integers(0, 3, (31, 47)) * 100
    return [
        np.asarray(one, np.float32) / 255 for one in (rng.integers(0, 256, (40, 33)), few, flat, np.full((9, 8), 3))
    ]


@pytest.mark.parametrize("grey", texture_images(), ids=["noise", "few levels", "flat regions", "constant"])
def test_texture_is_what_scikit_image_gives(grey: np.ndarray) -> None:
    def over(low: float, high: float, levels: int) -> np.ndarray:
        return np.rint(np.clip((grey.astype(float) - low) / ((high - low) or 1), 0, 1) * (levels - 1)).astype(int)

    ranked = over(grey.min(), grey.max(), 2**16).astype(np.uint16)
    codes = [local_binary_pattern(ranked, 8 * r, r, method="uniform").astype(int) for r in (1, 2)]
    shares = [np.bincount(one.ravel(), minlength=8 * r + 2) / grey.size for r, one in enumerate(codes, 1)]
    assert np.array_equal(binary_patterns(grey), np.concatenate(shares).astype(np.float32))

    levels = over(*np.quantile(grey, (0.01, 0.99)), 16).astype(np.uint8)
    pairs = graycomatrix(levels, (1, 2), np.arange(4) * np.pi / 4, 16, symmetric=True, normed=True)
    names = ("contrast", "dissimilarity", "homogeneity", "ASM", "correlation", "entropy")
    texture = np.stack([graycoprops(pairs, name) for name in names])
    expected = [*texture.mean(axis=-1).ravel(), *np.ptp(texture, axis=-1).ravel()]
    assert co_occurrence(grey) == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_a_volume_that_brightens_slice_by_slice_has_one_direction() -> None:
    volume = np.linspace(0, 1, 8).reshape(8, 1, 1, 1) * np.ones((8, 8, 8, 1))
    gradient = describe_image(volume)["gradient"]
    assert gradient[:5] == pytest.approx([1 / 7] * 5)
    shares = gradient[5:].reshape(8, 13)
    assert (shares.max(axis=1) == 1).all()
    assert len(set(shares.argmax(axis=1))) == 1


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("value", [0, 77, 255])
def test_a_constant_image_has_finite_features(shape: tuple[int, ...], value: int) -> None:
    described = HandCraftedFeatures().transform(np.full((1, *shape), value, np.uint8))
    assert np.isfinite(described).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_names_match_the_features(shape: tuple[int, ...]) -> None:
    images = draw_images(shape)
    features = HandCraftedFeatures().fit(images)
    described, names = features.transform(images), features.get_feature_names_out()
    assert described.dtype == np.float32
    assert described.shape == (3, len(names))
    assert len(set(names)) == len(names) < 600
    assert any(name.startswith("channel_") for name in names) == (len(shape) > 2 and shape[-1] > 1)


def test_the_length_is_fixed_by_the_kind_of_image_alone() -> None:
    lengths = {HandCraftedFeatures().transform(draw_images(shape)).shape[1] for shape in [(8, 8), (29, 31), (64, 50)]}
    assert len(lengths) == 1


@pytest.mark.parametrize("shape", SHAPES)
def test_depth_of_storage_changes_nothing(shape: tuple[int, ...]) -> None:
    images = draw_images(shape)
    described = HandCraftedFeatures().transform(images)
    for same in (images / np.float32(255), images / 255, images.astype(np.uint16) * 257):
        assert HandCraftedFeatures().transform(same) == pytest.approx(described, abs=1e-5)


def test_one_channel_is_grey() -> None:
    images = draw_images((13, 14))
    grey = HandCraftedFeatures().transform(images)
    assert np.array_equal(grey, HandCraftedFeatures().transform(images[..., None]))


def test_texture_of_12_bit_pixels_survives_a_16_bit_file() -> None:
    narrow = np.random.default_rng(1).integers(0, 4096, (20, 20), dtype=np.uint16)
    low, full = describe_image(narrow), describe_image(narrow * np.uint16(16))
    for part in ("lbp", "glcm", "hog"):
        assert low[part] == pytest.approx(full[part], abs=2e-3)
    assert 16 * low["intensity"] == pytest.approx(full["intensity"], rel=1e-5)
    assert len(set(low["intensity"][2:])) == 9


@settings(max_examples=15, deadline=None)
@given(
    arrays.arrays(np.uint8, st.tuples(st.integers(2, 4), st.integers(1, 12), st.integers(1, 12))),
    st.randoms(use_true_random=False),
)
def test_the_other_images_of_a_batch_change_nothing(images: np.ndarray, chance: object) -> None:
    together = HandCraftedFeatures().fit(images).transform(images)
    order = list(range(len(images)))
    chance.shuffle(order)  # type: ignore[attr-defined]
    for i in order:
        assert np.array_equal(HandCraftedFeatures().transform(images[[i]])[0], together[i])


def test_vectors_are_refused() -> None:
    with pytest.raises(InputError, match="2 axes"):
        HandCraftedFeatures().transform(np.zeros((3, 4)))


def test_names_need_a_shape() -> None:
    with pytest.raises(NotFittedError):
        HandCraftedFeatures().get_feature_names_out()


def test_the_rungs_on_features_share_one_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "drawn.npz", train_images=draw_images((9, 9), n=12), train_labels=np.arange(12) % 2)
    cohort = read_cohort(tmp_path / "drawn.npz", cache=tmp_path)
    specs = [parse_rung(text) for text in ("svm", "forest", "boosting:depth=2", "svm:cost=3", "logistic")]
    with LocalEngine(1) as engine:
        views = views_of(cohort, specs, engine, cache=tmp_path)
    *on_features, on_pixels = (views[spec.rung] for spec in specs)
    assert len(set(on_features)) == 1
    assert on_pixels == cohort.store
    expected = HandCraftedFeatures().transform(np.load(cohort.store))
    assert np.array_equal(np.load(on_features[0]), expected)
