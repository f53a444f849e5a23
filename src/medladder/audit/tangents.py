"""Whether two coarse shapes differ by more than how a picture lies in its frame: a shift, a stretch and a gain.

Source
------
Simard, LeCun & Denker 1993, «Efficient pattern recognition using a new transformation distance».
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, UInt

from .thumbnails import Spectra, best_positions, grey_planes, tangents_of


def weights_of(spectra: Spectra) -> Float[np.ndarray, " value"]:
    """What makes the coefficients count: less the more they vary over images, none that never does."""
    deviations = spectra.std(axis=0).ravel()
    return np.where(deviations > 1e-6, 1 / np.sqrt(np.maximum(deviations, 1e-6)), 0.0).astype(np.float32)


def unexplained(
    images: UInt[np.ndarray, "image ..."],
    spectra: Spectra,
    pairs: Int[np.ndarray, "pair 2"],
    weights: Float[np.ndarray, " value"],
) -> tuple[Float[np.ndarray, " pair"], Int[np.ndarray, " pair"]]:
    """The share, 0–1, of each second image's shape that the first, moved a little, does not give; and its position."""
    ones, others = pairs.T
    position, moved = best_positions(spectra[ones], spectra[others])
    values = moved.reshape(len(moved), -1) * weights
    distinct, at = np.unique(ones, return_inverse=True)
    tangents = tangents_of(grey_planes(images, distinct)) * weights
    tangents /= np.maximum(np.linalg.norm(tangents, axis=2, keepdims=True), 1e-9)
    gram = (tangents @ tangents.transpose(0, 2, 1)).astype(np.float64)
    inverse = np.linalg.inv(gram + 1e-6 * np.eye(gram.shape[1])).astype(np.float32)
    along = (tangents[at] @ values[..., None])[..., 0]
    inside = ((inverse[at] @ along[..., None])[..., 0] * along).sum(axis=1)
    return 1 - inside / np.maximum((values**2).sum(axis=1), 1e-12), position
