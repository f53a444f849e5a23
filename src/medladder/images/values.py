"""From measured values, such as Hounsfield units, to the grey values that a reader looks at."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Num, UInt

from ..errors import OptionError

WINDOWS = {
    "abdomen": (50.0, 400.0),
    "bone": (400.0, 1800.0),
    "brain": (40.0, 80.0),
    "liver": (30.0, 150.0),
    "lung": (-600.0, 1500.0),
    "mediastinum": (50.0, 350.0),
    "stroke": (32.0, 8.0),
    "subdural": (75.0, 215.0),
}
"""Centre and width in Hounsfield units, as radiology commonly sets them (Radiopaedia, «Windowing (CT)»)."""

USUAL_SHARES = (0.001, 0.999)
"""Where a file states no window, values are shown between these quantiles of its own values."""


@dataclass(frozen=True)
class Window:
    """Values from `centre` - `width` / 2 to `centre` + `width` / 2 are shown, darker below and brighter above."""

    centre: float
    width: float

    @property
    def bounds(self) -> tuple[float, float]:
        """The value shown as black and the value shown as white."""
        return self.centre - self.width / 2, self.centre + self.width / 2


def parse_window(text: str) -> Window:
    """Read a window as people write it: a name, or centre and width.

    Raises
    ------
    OptionError
        No such name; not two numbers; a width that is not above 0.

    Example
    -------
    >>> parse_window("lung"), parse_window("40/400").bounds
    (Window(centre=-600.0, width=1500.0), (-160.0, 240.0))
    """
    if text.lower() in WINDOWS:
        return Window(*WINDOWS[text.lower()])
    numbers = re.fullmatch(r"\s*([-+]?\d+\.?\d*)\s*/\s*(\d+\.?\d*)\s*", text)
    if numbers is None or not float(numbers[2]) > 0:
        raise OptionError(
            found=f"--window {text}.",
            needed=f"One of {', '.join(WINDOWS)}, or centre/width with a width above 0, as 40/400.",
            do="Change --window, or leave it out to take each file's own.",
        )
    return Window(float(numbers[1]), float(numbers[2]))


def usual_range(values: Num[np.ndarray, "..."]) -> tuple[float, float]:
    """From which value to which an image without a window is shown: the `USUAL_SHARES` of its finite values."""
    seen = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    if not seen.size:
        return 0.0, 0.0
    if seen.dtype.kind in "iu" and seen.dtype.itemsize < 4:
        seen = seen.astype(np.int32)  # between two of its values numpy takes their difference, which may not fit
    low, high = np.quantile(seen, USUAL_SHARES)
    return float(low), float(high)


def show(values: Num[np.ndarray, "..."], low: float, high: float) -> UInt[np.ndarray, "..."]:
    """Grey values of uint16: 0 at `low` and below, 65535 at `high` and above; all 0 where the two are one."""
    if not high > low:
        return np.zeros(values.shape, np.uint16)
    scaled: Float[np.ndarray, "..."] = (values.astype(np.float64) - low) * (65535 / (high - low))
    return np.clip(np.round(scaled), 0, 65535).astype(np.uint16)
