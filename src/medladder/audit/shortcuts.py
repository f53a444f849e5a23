"""Whether the class can be told without the patient: from what surrounds the picture, or from its frame alone.

What is known of an image's making (columns of the acquisition, size, how the file was stored) and the picture's frame
are each asked twice, by a ridge regression on all values and by the one value that goes best with the class, and scored
on patients that these did not learn from. Whether that is more than chance is asked of the same models on labels that
were permuted among patients: a model finds the direction in which the classes happen to differ, so that out-of-part
scores of meaningless values scatter more than those of fixed scores. A finding is no proof: sick patients may rightly
be imaged on another machine.

Source
------
Ojala & Garriga 2010, Permutation tests for studying classifier performance, JMLR 11:1833; Westfall & Young 1993 for
the largest over all that was tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from scipy.stats import norm, rankdata

from ..cohort import Cohort
from ..images.encoding import read_encoding
from ..language import join, phrase
from .finding import Finding
from .places import paths_of
from .thumbnails import grey_planes, resized

ACQUISITION = (
    *("modality", "view", "laterality", "maker", "manufacturer", "vendor", "device", "model", "scanner", "kvp"),
    *("site", "center", "centre", "hospital", "institution", "clinic", "source", "year", "field_strength", "protocol"),
)
"""Columns that tell how and where an image was made; others, as age, sex or a diagnosis, may well tell the class."""

SMALLEST_AUROC = 0.6
LARGEST_P = 0.04
"""A shortcut has at least this AUROC, and at most this chance that permuted labels are told as well by any model."""

_PERMUTATIONS = 299
_RIDGE = 10.0

_PARTS = 5
_LEAST_PATIENTS = 10
_MOST_IMAGES = 20_000
_NAMES = {
    "size": phrase("size"),
    "aspect": phrase("aspect"),
    "file format": phrase("file format"),
    "bit depth": phrase("bit depth"),
    "channels": phrase("channels"),
    "compression": phrase("compression"),
}
_MOST_KINDS = 20
_SIDE = 64
_BAND = 4
_CORNER = 10


_Weigh = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From centred values (row, value) and centred targets (row, target) to weights (value, target)."""


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
        (
            phrase("what is known of its making ({names})", names=join([_NAMES.get(one, one) for one in names], ", ")),
            columns,
        ),
        (phrase("its border and corners"), _frames(cohort, rows)),
    ]
    models = [(what, values) for what, values in models if values.shape[1] and np.ptp(values, axis=0).any()]
    if not classes or not models:
        return
    tests = [
        [_Test.of(values, labels == class_, patients, weigh) for weigh in (_ridge, _single) for class_ in classes]
        for _, values in models
    ]
    chance = np.max([test.chance for of_model in tests for test in of_model], axis=0)
    for (what, _), of_model in zip(models, tests, strict=True):
        best = max(range(len(of_model)), key=lambda at: of_model[at].distance)
        p = (1 + np.count_nonzero(chance >= of_model[best].distance)) / (1 + len(chance))
        if p <= LARGEST_P and of_model[best].auroc >= SMALLEST_AUROC:
            yield _finding(cohort, what, of_model[best], classes[best % len(classes)], len(np.unique(patients)))


def _finding(cohort: Cohort, what: str, found: _Test, class_: int, n_patients: int) -> Finding:
    name = cohort.classes[1] if len(cohort.classes) == 2 else cohort.classes[class_]
    return Finding(
        "shortcut",
        "warning",
        (),
        n_patients,
        phrase(
            "Class '{name}' can be told from {what} alone: AUROC {auroc} ({low} to {high}).",
            name=name,
            what=what,
            auroc=f"{found.auroc:.2f}",
            low=f"{found.low:.2f}",
            high=f"{found.high:.2f}",
        ),
        phrase(
            "A rung may have learned this and nothing of the disease. Compare within one site and machine, crop the "
            "border (--crop, --box-mm), or test on another hospital (--test)."
        ),
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
    """Mean, spread, darkest and brightest value of four sides' bands and corners; of a volume's middle slice."""
    found = []
    near, far, all_ = slice(0, _BAND), slice(-_BAND, None), slice(_CORNER, -_CORNER)
    low, high = slice(0, _CORNER), slice(-_CORNER, None)
    places = [(near, all_), (far, all_), (all_, near), (all_, far), (low, low), (low, high), (high, low), (high, high)]
    for at in range(0, len(rows), 512):
        planes = resized(grey_planes(cohort.images, rows[at : at + 512]), _SIDE)
        patches = [planes[:, down, across].reshape(len(planes), -1) for down, across in places]
        found.append(np.hstack([_told(patch) for patch in patches]))
    return np.concatenate(found).astype(np.float64)


def _told(patch: Float[np.ndarray, "row pixel"]) -> Float[np.ndarray, "row 4"]:
    return np.stack([patch.mean(axis=1), patch.std(axis=1), patch.min(axis=1), patch.max(axis=1)], axis=1)


@dataclass(frozen=True)
class _Test:
    """How well some values tell a class, and how well they tell permuted labels.

    `low` to `high` is the 95 % interval of `auroc`; `distance` and `chance` are above a half, in standard errors of a
    score that means nothing.
    """

    auroc: float
    low: float
    high: float
    distance: float
    chance: Float[np.ndarray, " permutation"]

    @classmethod
    def of(
        cls,
        values: Float[np.ndarray, "row value"],
        is_positive: Bool[np.ndarray, " row"],
        patients: Int[np.ndarray, " row"],
        weigh: _Weigh,
    ) -> _Test:
        """By patient, on patients that were not learned from; a patient of both classes counts once in each."""
        units, at = np.unique(patients * 2 + is_positive, return_inverse=True)
        rng = np.random.default_rng(0)
        truth = (units % 2).astype(np.float64)
        permuted = np.stack([truth, *(rng.permutation(truth) for _ in range(_PERMUTATIONS))], axis=1)
        parts = rng.permutation(np.arange(patients.max() + 1) % _PARTS)[patients]
        scores = _out_of_part(values, permuted[at], parts, weigh)
        order, n_rows = np.argsort(at, kind="stable"), np.bincount(at)
        by_unit = np.add.reduceat(scores[order], np.cumsum(n_rows) - n_rows) / n_rows[:, None]
        n_ones, n_others = truth.sum(), (1 - truth).sum()
        ranks = rankdata(by_unit, axis=0)
        aurocs = ((ranks * permuted).sum(axis=0) - n_ones * (n_ones + 1) / 2) / (n_ones * n_others)
        distances = (aurocs - 0.5) / np.sqrt((n_ones + n_others + 1) / (12 * n_ones * n_others))
        margin = norm.ppf(0.975) * _error(by_unit[truth == 1, 0], by_unit[truth == 0, 0])
        auroc = float(aurocs[0])
        return cls(auroc, max(auroc - margin, 0.0), min(auroc + margin, 1.0), float(distances[0]), distances[1:])


def _error(ones: Float[np.ndarray, " unit"], others: Float[np.ndarray, " unit2"]) -> float:
    """Standard error of an AUROC.

    Source
    ------
    DeLong, DeLong & Clarke-Pearson 1988, doi:10.2307/2531595.
    """
    ranks = rankdata(np.concatenate([ones, others]))
    above = (ranks[: len(ones)] - rankdata(ones)) / len(others)
    below = 1 - (ranks[len(ones) :] - rankdata(others)) / len(ones)
    return float(np.sqrt(above.var(ddof=1) / len(ones) + below.var(ddof=1) / len(others)))


def _out_of_part(
    values: Float[np.ndarray, "row value"],
    targets: Float[np.ndarray, "row target"],
    parts: Int[np.ndarray, " row"],
    weigh: _Weigh,
) -> Float[np.ndarray, "row target"]:
    """Each row's target by weights that were learned from the other parts, less the mean of what these hold."""
    scaled = (values - values.mean(axis=0)) / np.maximum(values.std(axis=0), 1e-9)
    scores = np.empty(targets.shape)
    for part in range(_PARTS):
        learn = parts != part
        known, wanted = scaled[learn], targets[learn]
        middle = known.mean(axis=0)
        scores[~learn] = (scaled[~learn] - middle) @ weigh(known - middle, wanted - wanted.mean(axis=0))
    return scores


def _ridge(
    known: Float[np.ndarray, "row value"], wanted: Float[np.ndarray, "row target"]
) -> Float[np.ndarray, "value target"]:
    """What is spread over many values, as a site that changes all a little."""
    return np.linalg.solve(known.T @ known + _RIDGE * np.eye(known.shape[1]), known.T @ wanted)


def _single(
    known: Float[np.ndarray, "row value"], wanted: Float[np.ndarray, "row target"]
) -> Float[np.ndarray, "value target"]:
    """The one value that goes best with the class, as a letter in one corner: in all of them it would be lost."""
    agreement = known.T @ wanted / np.maximum(np.linalg.norm(known, axis=0), 1e-9)[:, None]
    is_best = np.arange(len(agreement))[:, None] == np.abs(agreement).argmax(axis=0)
    return np.sign(agreement) * is_best
