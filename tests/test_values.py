"""Measured values through a window."""

from __future__ import annotations

import numpy as np
import pytest

from medladder.errors import OptionError
from medladder.images.values import Window, parse_window, show, usual_range


def test_a_window_maps_its_bounds_to_black_and_white() -> None:
    shown = show(np.array([-2000.0, -1350, -600, 150, 3000]), *parse_window("lung").bounds)
    assert shown.tolist() == [0, 0, 32768, 65535, 65535]


def test_centre_and_width_may_have_signs_and_decimals() -> None:
    assert parse_window(" -600.5/1500 ") == Window(-600.5, 1500.0)


@pytest.mark.parametrize("text", ["lungs", "40", "40/0", "40/-3", "a/b", "40/400/2", ""])
def test_what_is_no_window_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match="centre/width"):
        parse_window(text)


def test_the_usual_range_of_whole_numbers_does_not_overflow() -> None:
    values = np.array([-32768] * 2 + [32767] * 998, dtype=np.int16)
    low, high = usual_range(values)
    assert (low, high) == (pytest.approx(-32768, abs=70), 32767)


def test_a_single_value_is_shown_dark_and_no_value_has_no_range() -> None:
    assert show(np.full(3, 7), *usual_range(np.full(3, 7))).tolist() == [0, 0, 0]
    assert usual_range(np.array([np.nan, np.inf])) == (0.0, 0.0)
