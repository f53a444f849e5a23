"""Whether the class can be told without the patient: from what surrounds the picture, or from its frame alone.

A small model on the acquisition's columns and the stored size, and another on the picture's frame, are scored on
patients they did not learn from. That is no proof: sick patients may rightly be imaged on another machine.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from scipy.stats import norm, rankdata

from ..cohort import Cohort
from ..images.encoding import read_encoding
from .finding import Finding
from .places import paths_of
from .thumbnails import grey_planes, resized

ACQUISITION = (
    *("modality", "view", "laterality", "maker", "manufacturer", "vendor", "device", "model", "scanner", "kvp"),
    *("site", "center", "centre", "hospital", "institution", "clinic", "source", "year", "field_strength", "protocol"),
)
"""Columns that tell how and where an image was made; others, as age, sex or a diagnosis, may well tell the class."""

SMALLEST_AUROC = 0.6
CONFIDENCE = 0.975
"""A shortcut has at least this AUROC, and the lower end of its one-sided interval, of all tried, above a half."""

_PARTS = 5
_LEAST_PATIENTS = 10
_MOST_IMAGES = 20_000
_MOST_KINDS = 20
_SIDE = 32
_BAND = 2
_CORNER = 5


def shortcuts(cohort: Cohort) -> Iterator[Finding]:
    """A finding for columns and size, and one for the frame, where either tells some class from the rest."""
    rows = _some_rows(cohort)
    labels, patients = cohort.labels[rows], cohort.patients[rows]
    classes = [
        class_
        for class_ in range(len(cohort.classes))
        if min(_n_units(patients[labels == class_]), _n_units(patients[labels != class_])) >= _LEAST_PATIENTS
    ]
    if len(cohort.classes) == 2:
        classes = classes[:1]
    names, columns = _acquisition(cohort, rows)
    models = [
        ("what is known of its making (" + ", ".join(names) + ")", columns),
        ("its border and corners", _frames(cohort, rows)),
    ]
    models = [(what, values) for what, values in models if values.shape[1] and np.ptp(values, axis=0).any()]
    for what, values in models:
        told = [(*_auroc(values, labels == class_, patients, len(classes) * len(models)), class_) for class_ in classes]
        if told and (best := max(told, key=lambda one: one[1]))[1] > 0.5 and best[0] >= SMALLEST_AUROC:
            yield _finding(cohort, what, best, len(np.unique(patients)))


def _finding(cohort: Cohort, what: str, found: tuple[float, float, float, int], n_patients: int) -> Finding:
    auroc, low, high, class_ = found
    name = cohort.classes[1] if len(cohort.classes) == 2 else cohort.classes[class_]
    return Finding(
        "shortcut",
        "warning",
        (),
        n_patients,
        f"Class '{name}' can be told from {what} alone: AUROC {auroc:.2f} ({low:.2f} to {high:.2f}).",
        "A rung may have learned this and nothing of the disease. Compare within one site and machine, crop the "
        "border (--crop, --box-mm), or test on another hospital (--test).",
    )


def _n_units(patients: Int[np.ndarray, " row"]) -> int:
    return len(np.unique(patients))


def _some_rows(cohort: Cohort) -> Int[np.ndarray, " row"]:
    n = len(cohort.labels)
    if n <= _MOST_IMAGES:
        return np.arange(n)
    return np.sort(np.random.default_rng(0).permutation(n)[:_MOST_IMAGES])


def _acquisition(
    cohort: Cohort, rows: Int[np.ndarray, " row"]
) -> tuple[tuple[str, ...], Float[np.ndarray, "row value"]]:
    """Size, aspect, how files were stored and columns of the acquisition as numbers, and the names of what varies."""
    height, width = np.log(cohort.heights[rows]), np.log(cohort.widths[rows])
    told = {"size": ((height + width) / 2)[:, None], "aspect": (height - width)[:, None]}
    told |= {name: _coded(texts) for name, texts in _encodings(cohort, rows).items()}
    told |= {name: _coded(texts[rows]) for name, texts in cohort.columns.items() if name.lower() in ACQUISITION}
    varied = {name: values for name, values in told.items() if values.size and np.ptp(values, axis=0).any()}
    return tuple(varied), np.hstack([np.empty((len(rows), 0)), *varied.values()])


def _encodings(cohort: Cohort, rows: Int[np.ndarray, " row"]) -> dict[str, Shaped[np.ndarray, " row"]]:
    """How each image's file was stored, where images are files of their own."""
    paths = paths_of(cohort, rows)
    if paths is None:
        return {}
    stored = [read_encoding(path) for path in paths]
    return {
        "file format": np.array([one.kind for one in stored]),
        "bit depth": np.array([one.bits for one in stored]),
        "channels": np.array([one.channels for one in stored]),
        "compression": np.array([one.compression for one in stored]),
    }


def _coded(texts: Shaped[np.ndarray, " row"]) -> Float[np.ndarray, "row value"]:
    """Indicators of the commonest kinds; numbers of many kinds as themselves, with an indicator of those missing."""
    kinds, code, counts = np.unique(texts.astype(np.str_), return_inverse=True, return_counts=True)
    numbers = np.array([_number_of(kind) for kind in kinds])
    if len(kinds) > _MOST_KINDS and np.isfinite(numbers).mean() > 0.9:
        values = numbers[code]
        missing = ~np.isfinite(values)
        return np.stack([np.where(missing, np.nanmedian(values), values), missing], axis=1)
    common = np.argsort(-counts, kind="stable")[:_MOST_KINDS]
    return (code[:, None] == common).astype(np.float64)


def _number_of(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan


def _frames(cohort: Cohort, rows: Int[np.ndarray, " row"]) -> Float[np.ndarray, "row value"]:
    """Mean, spread and brightest value of the four sides' bands and the four corners; of a volume's middle slice."""
    found = []
    near, far, all_ = slice(0, _BAND), slice(-_BAND, None), slice(_CORNER, -_CORNER)
    low, high = slice(0, _CORNER), slice(-_CORNER, None)
    places = [(near, all_), (far, all_), (all_, near), (all_, far), (low, low), (low, high), (high, low), (high, high)]
    for at in range(0, len(rows), 512):
        planes = resized(grey_planes(cohort.images, rows[at : at + 512]), _SIDE)
        patches = [planes[:, down, across].reshape(len(planes), -1) for down, across in places]
        found.append(np.hstack([np.stack([p.mean(axis=1), p.std(axis=1), p.max(axis=1)], axis=1) for p in patches]))
    return np.concatenate(found).astype(np.float64)


def _auroc(
    values: Float[np.ndarray, "row value"],
    is_positive: Bool[np.ndarray, " row"],
    patients: Int[np.ndarray, " row"],
    n_tried: int,
) -> tuple[float, float, float]:
    """AUROC by patient, out of part, and its interval, wider the more is tried (Bonferroni).

    Source
    ------
    DeLong, DeLong & Clarke-Pearson 1988, doi:10.2307/2531595, for the variance.
    """
    scores = _out_of_part(values, is_positive, patients)
    units, at = np.unique(patients * 2 + is_positive, return_inverse=True)
    by_unit = np.bincount(at, scores) / np.bincount(at)
    positive = units % 2 == 1
    ones, others = by_unit[positive], by_unit[~positive]
    ranks = rankdata(np.concatenate([ones, others]))
    above = (ranks[: len(ones)] - rankdata(ones)) / len(others)
    below = 1 - (ranks[len(ones) :] - rankdata(others)) / len(ones)
    auroc = float(above.mean())
    error = np.sqrt(above.var(ddof=1) / len(ones) + below.var(ddof=1) / len(others))
    margin = float(norm.ppf(1 - (1 - CONFIDENCE) / n_tried) * error)
    return auroc, max(auroc - margin, 0.0), min(auroc + margin, 1.0)


def _out_of_part(
    values: Float[np.ndarray, "row value"], is_positive: Bool[np.ndarray, " row"], patients: Int[np.ndarray, " row"]
) -> Float[np.ndarray, " row"]:
    """Log odds of each row by a ridge logistic regression that learned from other patients, less its part's mean."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold

    scaled = (values - values.mean(axis=0)) / np.maximum(values.std(axis=0), 1e-9)
    scores = np.zeros(len(values))
    parts = StratifiedGroupKFold(_PARTS, shuffle=True, random_state=0)
    for learn, score in parts.split(scaled, is_positive, patients):
        model = LogisticRegression(C=0.1, max_iter=1000).fit(scaled[learn], is_positive[learn])
        scores[score] = model.decision_function(scaled[score])
    return scores
