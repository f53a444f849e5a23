"""How a volume lies: axes brought to those of the patient, by turning and flipping alone."""

from __future__ import annotations

import numpy as np
from jaxtyping import Num

from ..language import phrase


def canonical(
    voxels: Num[np.ndarray, "axis0 axis1 axis2 *channel"], affine: Num[np.ndarray, "4 4"]
) -> tuple[Num[np.ndarray, "slice row column *channel"], tuple[float, float, float]]:
    """Lay a volume as radiology looks at it: slices upwards, rows from front to back, columns from the patient's right.

    `affine` takes an index of `voxels` to millimetres in RAS (x to the patient's right is positive, y to the front, z
    to the head), as NIfTI has it. Each stored axis becomes the patient's axis that it is closest to; nothing is
    resampled, so an oblique volume stays oblique. Returned are a view of `voxels` with axes (slice from inferior to
    superior, row from anterior to posterior, column from right to left) and the spacing in mm along each.

    Raises
    ------
    ValueError
        The affine is not finite, or two axes run along one line, so that the voxels fill no space.

    Source
    ------
    nibabel's `io_orientation` chooses the axes.
    """
    from nibabel.orientations import apply_orientation, io_orientation

    steps = affine[:3, :3].astype(np.float64)
    if not np.isfinite(affine).all() or not _fills_space(steps):
        raise ValueError(phrase("its orientation is broken: the axes of the volume do not span space"))
    orientation = io_orientation(affine)
    upright = apply_orientation(voxels, orientation)  # x to the right, y to the front, z up
    lengths = np.linalg.norm(steps, axis=0)
    right, front, up = (float(lengths[list(orientation[:, 0]).index(axis)]) for axis in range(3))
    return np.swapaxes(upright, 0, 2)[:, ::-1, ::-1], (up, front, right)


def _fills_space(steps: Num[np.ndarray, "3 3"]) -> bool:
    lengths = np.linalg.norm(steps, axis=0)
    return bool((lengths > 0).all() and abs(np.linalg.det(steps / lengths)) > 1e-3)
