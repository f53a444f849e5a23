"""Losses of rows held out, and calibration."""

from __future__ import annotations

import numpy as np
import pytest

from medladder.rungs.choosing import Calibration, calibrate_out_of_part, fit_calibration, held_out_loss, least_loss


def test_calibration_finds_the_sigmoid_behind_many_scores() -> None:
    rng = np.random.default_rng(0)
    score = rng.normal(size=(20_000, 1))
    codes = (rng.random(20_000) < 1 / (1 + np.exp(-(1.5 * score[:, 0] - 0.5)))).astype(int)
    found = fit_calibration(score, codes, np.array([0.5, 0.5]), slope=2.0)
    assert found.slope == pytest.approx(1.5, abs=0.1)
    assert found.bias[1] - found.bias[0] == pytest.approx(-0.5, abs=0.1)


def test_calibration_never_points_backwards() -> None:
    score, codes = np.linspace(-1, 1, 40)[:, None], (np.arange(40) < 20).astype(int)
    found = fit_calibration(score, codes, np.array([0.5, 0.5]), slope=2.0)
    assert 0 < found.slope < 1


def test_calibration_by_hand() -> None:
    proba = Calibration(2.0, np.log([0.25, 0.75])).proba(np.array([[0.0], [1.0]]))
    assert proba[0] == pytest.approx([0.25, 0.75])
    assert proba[1, 1] == pytest.approx(3 * np.e**2 / (1 + 3 * np.e**2))


def test_a_part_is_calibrated_by_the_others() -> None:
    score, codes = np.random.default_rng(0).normal(size=(30, 1)), np.arange(30) % 2
    fold, shares = np.arange(30) // 10, np.array([0.5, 0.5])
    proba = calibrate_out_of_part(score, codes, fold, shares, slope=2.0)
    flipped = np.where(fold == 1, 1 - codes, codes)
    again = calibrate_out_of_part(score, flipped, fold, shares, slope=2.0)
    assert np.array_equal(proba[fold == 1], again[fold == 1])
    assert not np.allclose(proba[fold == 0], again[fold == 0])


def test_losses_by_hand() -> None:
    proba = np.array([[0.5, 0.5], [0.25, 0.75], [np.nan, np.nan], [1.0, 0.0]])
    codes = np.array([0, 1, 0, 1])
    assert held_out_loss(proba, codes) == pytest.approx(-np.log([0.5, 0.75, 1e-6]).mean())
    assert held_out_loss(np.full((2, 2), np.nan), codes[:2]) == np.inf
    assert least_loss(np.stack([proba, np.where(np.isnan(proba), np.nan, 0.5)]), codes) == 1
