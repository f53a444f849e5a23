"""How edge-like, how fine and how telling units are: drawn Gabors, sinusoids, and scikit-learn's AUROC."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from sklearn.metrics import roc_auc_score

from medladder.errors import InputError
from medladder.inspection.templates import (
    LONGEST_SIDE,
    edge_likeness,
    planes_of,
    selectivity,
    spatial_frequency,
)

SIDE = 28


def gabor(row: float, column: float, width: float, waves: float, angle: float, phase: float, side: int = SIDE):
    """A Gabor as Jones and Palmer write it, with `waves` cycles in one deviation of a round envelope."""
    down, across = (np.arange(side) - row)[:, None] / width, (np.arange(side) - column) / width
    along = across * math.cos(angle) + down * math.sin(angle)
    return np.exp(-(down**2 + across**2) / 2) * np.cos(2 * math.pi * waves * along + phase)


def blob(row: float, column: float, width: float):
    return gabor(row, column, width, 0, 0, 0)


PLACES, ANGLES = st.floats(8, 19), st.floats(0, math.pi)


@settings(deadline=None, max_examples=60)
@given(PLACES, PLACES, st.floats(1.2, 4), st.floats(0.35, 0.55), ANGLES, st.floats(0, 2 * math.pi))
def test_a_gabor_is_as_edge_like_as_can_be_wherever_it_lies(row, column, width, waves, angle, phase):
    drawn = gabor(row, column, width, waves, angle, phase)
    share = edge_likeness(drawn[None])[0]
    assert 0.95 < share <= 1
    np.testing.assert_allclose(edge_likeness(-7e3 * drawn[None] + 5), share, atol=1e-3)
    np.testing.assert_allclose(edge_likeness(1e-6 * drawn[None]), share, atol=1e-3)


def test_noise_is_not_edge_like_and_less_so_the_larger():
    rng = np.random.default_rng(0)
    small, large = (edge_likeness(rng.standard_normal((40, side, side))) for side in (14, SIDE))
    assert large.max() < 0.08
    assert large.mean() == pytest.approx(20 / SIDE**2, rel=0.3)
    assert large.mean() < small.mean() < 0.2


@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("place", [(13.5, 13.5), (5, 9), (1, 1)])
def test_a_blob_is_less_edge_like_than_an_edge(place, width):
    edge = ndimage.gaussian_filter1d(blob(13.5, 13.5, width), width / 2, axis=0, order=1)
    assert edge_likeness(edge[None])[0] > 0.9
    assert edge_likeness(blob(*place, width)[None])[0] < 0.75


def test_edges_of_three_pixels_are_edges_and_a_square_of_nine_is_not():
    kernels = np.array(
        [
            [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]],  # Sobel's
            [[1, 1, 1], [0, 0, 0], [-1, -1, -1]],  # Prewitt's
            [[-1, 2, -1], [-1, 2, -1], [-1, 2, -1]],  # a line
            [[1, 1, 1], [1, 1, 1], [1, 1, 1]],
        ]
    )
    planes = np.zeros((4, SIDE, SIDE))
    planes[:, 12:15, 12:15] = kernels
    found = edge_likeness(planes)
    assert (found[:3] > 0.9).all()
    assert found[3] < 0.6


def test_a_share_never_exceeds_one_and_never_depends_on_the_planes_beside_it():
    rng = np.random.default_rng(1)
    planes = rng.standard_normal((9, 6, 5)) * 10.0 ** rng.integers(-9, 9, (9, 1, 1))
    together = edge_likeness(planes)
    assert ((together > 0) & (together <= 1)).all()
    np.testing.assert_allclose(np.concatenate([edge_likeness(one[None]) for one in planes]), together, rtol=1e-5)


def test_turning_and_mirroring_a_plane_changes_little():
    planes = ndimage.gaussian_filter(np.random.default_rng(3).standard_normal((10, SIDE, SIDE)), (0, 2, 2))
    upright = edge_likeness(planes)
    for other in (planes.mT, planes[:, ::-1], planes[:, :, ::-1]):
        np.testing.assert_allclose(edge_likeness(other), upright, atol=0.03)


def test_larger_planes_are_shrunk_in_proportion():
    large = np.kron(gabor(20, 30, 4, 0.4, 1, 1, side=LONGEST_SIDE), np.ones((3, 3)))
    assert edge_likeness(large[None])[0] > 0.95
    oblong = large[:, 30:130]
    assert edge_likeness(oblong[None])[0] > 0.9
    fine = (-1.0) ** np.arange(256) * np.ones((256, 1))  # finer than what is left of it
    assert np.isnan(edge_likeness(fine[None])[0])


def test_a_plane_of_one_value_has_no_likeness_and_no_frequency():
    planes = np.stack([np.zeros((8, 8)), np.full((8, 8), 0.1), np.full((8, 8), -1e9), np.eye(8)])
    for measure in (edge_likeness, spatial_frequency):
        assert np.isnan(measure(planes)).tolist() == [True, True, True, False]
        assert np.isnan(measure(np.ones((2, 1, 1)))).all()
        assert measure(np.ones((0, 8, 8))).shape == (0,)


@given(st.integers(0, 13), st.integers(1, 13), st.floats(0, 2 * math.pi))
def test_the_frequency_of_a_sinusoid_is_found(down, across, phase):
    grid = np.mgrid[:SIDE, :SIDE] / SIDE
    wave = 3 + 0.01 * np.cos(2 * math.pi * (down * grid[0] + across * grid[1]) + phase)
    assert spatial_frequency(wave[None])[0] == pytest.approx(math.hypot(down, across), rel=1e-4)
    assert spatial_frequency(-1e4 * wave[None])[0] == pytest.approx(math.hypot(down, across), rel=1e-4)


def test_cycles_are_counted_along_the_longer_side():
    wave = np.cos(2 * math.pi * 5 * np.arange(40) / 40) * np.ones((10, 1))
    assert spatial_frequency(np.stack([wave]))[0] == pytest.approx(5)
    assert spatial_frequency(np.stack([wave.T]))[0] == pytest.approx(5)
    # Two cycles in 10 rows are eight in 40; as much power as the five: the mean.
    both = wave + np.cos(2 * math.pi * 2 * np.arange(10) / 10)[:, None]
    assert spatial_frequency(both[None])[0] == pytest.approx((5 + 8) / 2)


def test_frequency_at_the_limit_of_pixels_counts_once():
    stripes = (-1.0) ** np.arange(8) * np.ones((8, 1))
    slow = np.cos(2 * math.pi * np.arange(8) / 8)[:, None] * math.sqrt(2)  # as much power as the stripes
    assert spatial_frequency(stripes[None])[0] == pytest.approx(4)
    assert spatial_frequency((stripes + slow)[None])[0] == pytest.approx((4 + 1) / 2)


def test_smoother_noise_has_lower_frequency():
    noise = np.random.default_rng(0).standard_normal((20, SIDE, SIDE))
    found = [spatial_frequency(ndimage.gaussian_filter(noise, (0, s, s))).mean() for s in (0, 1, 2, 4)]
    assert found == sorted(found, reverse=True)


def test_a_grey_template_is_its_plane():
    templates = np.random.default_rng(0).standard_normal((3, 5, 6, 1))
    np.testing.assert_array_equal(planes_of(templates), templates[..., 0])


def test_channels_are_added_along_the_direction_they_vary_in():
    plane = gabor(10, 12, 3, 0.4, 0.5, 1)
    opposed = plane[..., None] * [1, -3, 0.5] + [4, 4, 4]  # green against red: their mean would hide most of it
    found = planes_of(opposed[None])[0]
    assert abs(np.corrcoef(found.ravel(), plane.ravel())[0, 1]) == pytest.approx(1)
    assert found.var() == pytest.approx(opposed.var(axis=(0, 1)).sum())
    # The largest part, green's, counts positively.
    assert np.corrcoef(found.ravel(), opposed[..., 1].ravel())[0, 1] == pytest.approx(1)
    np.testing.assert_array_equal(planes_of(np.zeros((1, 4, 4, 3))), np.zeros((1, 4, 4)))


def test_of_a_volume_the_liveliest_slice_is_seen():
    volumes = np.random.default_rng(0).standard_normal((2, 4, 5, 6, 1))
    volumes[0, 3] *= 5
    volumes[1, 1] *= 5
    volumes[1, 2] += 100  # brighter, but not livelier
    found = planes_of(volumes)
    np.testing.assert_array_equal(found, [volumes[0, 3, ..., 0], volumes[1, 1, ..., 0]])
    assert planes_of(np.ones((2, 4, 5, 6, 3))).shape == (2, 5, 6)


def test_a_vector_has_no_plane():
    with pytest.raises(InputError, match="no neighbours"):
        planes_of(np.ones((2, 5, 1)))


def test_selectivity_by_hand():
    labels = np.array([0, 0, 1, 1])
    # All below; none told; of four pairs three are in order: AUROC 3/4; one value; all above.
    values = np.array([[1, 2, 3, 4], [1, 2, 1, 2], [1, 3, 2, 4], [5, 5, 5, 5], [4, 3, 2, 1]], dtype=float).T
    np.testing.assert_allclose(selectivity(values, labels, 2), [1, 0, 0.5, 0, 1])
    # Of three classes the one that is told best: 2 lies above all others.
    np.testing.assert_allclose(selectivity(np.array([[1.0], [1], [1], [1], [9]]), np.array([0, 0, 1, 1, 2]), 3), [1])


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 4), st.integers(6, 40))
def test_selectivity_is_that_of_scikit_learn(seed, n_classes, n):
    rng = np.random.default_rng(seed)
    values, labels = rng.integers(0, 5, (n, 3)).astype(float), rng.integers(0, n_classes, n)
    labels[:2] = 0, 1  # at least two; others may have no image
    known = [code for code in range(n_classes) if (labels == code).any()]
    wanted = [max(abs(2 * roc_auc_score(labels == code, unit) - 1) for code in known) for unit in values.T]
    np.testing.assert_allclose(selectivity(values, labels, n_classes), wanted, atol=1e-12)
    np.testing.assert_allclose(selectivity(-np.exp(values), labels, n_classes), wanted, atol=1e-12)


@pytest.mark.parametrize("labels", [[0, 1], [0, 1, 2], [0, 1, -1], []])
def test_labels_that_are_none_are_refused(labels):
    with pytest.raises(InputError, match=f"{len(labels)} labels for 3 images and 2 classes"):
        selectivity(np.ones((3, 2)), np.array(labels, dtype=int), 2)


def test_one_class_tells_nothing():
    with pytest.raises(InputError, match="3 images of one class"):
        selectivity(np.ones((3, 2)), np.ones(3, dtype=int), 2)
