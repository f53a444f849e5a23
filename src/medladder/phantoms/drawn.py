"""The drawn cohorts as one table, and the door to them.

A patient's class is drawn first, from the class frequencies alone; then the patient, from a generator keyed by
(seed, cohort, patient). So patient p is the same in a cohort of any length, and nothing but what the class
means tells the classes apart.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from jaxtyping import Float, Int, UInt8

from ..errors import OptionError, unknown_name
from . import atrophy, cells, nodule
from .patient import DrawnPatient

SIZE_RANGE = (16, 1024)


@dataclass(frozen=True)
class Phantom:
    """One kind of drawn cohort, with the number of patients and the size it has unless told otherwise."""

    name: str
    sentence: str
    classes: tuple[str, ...]
    frequencies: tuple[float, ...]
    n_patients: int
    size: int
    draw_patient: Callable[..., DrawnPatient] = field(repr=False)
    has_quadrants: bool = False


@dataclass(frozen=True)
class DrawnCohort:
    """Images, the classes they were drawn from, and what exactly was drawn.

    All but `name` and `classes` go image by image. `covariates` is what a manifest would hold; `truth` is what only
    the one who drew can know: rows, columns and radii in pixels, the first pixel's centre at 0; NaN where there
    is nothing. About a third of the patients are in part "test", the others in "train".
    """

    name: str
    classes: tuple[str, ...]
    images: UInt8[np.ndarray, "image row column *channel"]
    labels: Int[np.ndarray, " image"]
    patients: Int[np.ndarray, " image"]
    parts: tuple[str, ...]
    covariates: dict[str, tuple[object, ...]]
    truth: dict[str, Float[np.ndarray, " image"]]


_PHANTOMS = (
    Phantom(
        name="nodule",
        sentence="Chest radiographs with one small nodule at a random place in a lung, or none.",
        classes=("clear", "nodule"),
        frequencies=(0.5, 0.5),
        n_patients=600,
        size=32,
        draw_patient=nodule.draw_patient,
        has_quadrants=True,
    ),
    Phantom(
        name="atrophy",
        sentence="Brain slices whose ventricles widen with age, and more so with atrophy; age and sex are given.",
        classes=("stable", "atrophy"),
        frequencies=(0.55, 0.45),
        n_patients=900,
        size=64,
        draw_patient=atrophy.draw_patient,
    ),
    Phantom(
        name="cells",
        sentence="Stained blood smears, in colour, with a white cell of one of four kinds, two of them rarer.",
        classes=("lymphocyte", "monocyte", "neutrophil", "eosinophil"),
        frequencies=(0.35, 0.15, 0.35, 0.15),
        n_patients=900,
        size=64,
        draw_patient=cells.draw_patient,
    ),
)


def known() -> tuple[Phantom, ...]:
    """Every cohort that can be drawn; the first is the embedded default."""
    return _PHANTOMS


def draw(
    name: str, *, n_patients: int | None = None, seed: int = 0, size: int | None = None, quadrant: int | None = None
) -> DrawnCohort:
    """Draw a whole cohort; the options and errors are those of `draw_batches`.

    Example
    -------
    >>> cohort = draw("nodule", n_patients=3)
    >>> cohort.images.shape[1:], cohort.images.dtype, cohort.classes
    ((32, 32), dtype('uint8'), ('clear', 'nodule'))
    """
    phantom = _find(name)
    n_patients = phantom.n_patients if n_patients is None else n_patients
    (cohort,) = draw_batches(
        name, n_patients=n_patients, seed=seed, size=size, quadrant=quadrant, batch=max(n_patients, 1)
    )
    return cohort


def draw_batches(
    name: str,
    *,
    n_patients: int | None = None,
    seed: int = 0,
    size: int | None = None,
    quadrant: int | None = None,
    batch: int = 256,
) -> Iterator[DrawnCohort]:
    """Draw a cohort in pieces of `batch` patients, for cohorts larger than memory.

    Parameters
    ----------
    size
        Rows, and columns, of each image; the same patients at any size, up to the noise.
    quadrant
        Confine what tells the classes apart to one quarter of the image: 0 upper left, 1 upper right,
        2 lower left, 3 lower right. Only for `nodule`.

    Raises
    ------
    OptionError
        Unknown name, a number out of range, or a quadrant for a cohort that has none. Raised on the call itself,
        before the first piece is asked for.
    """
    phantom = _find(name)
    n_patients = phantom.n_patients if n_patients is None else n_patients
    size = phantom.size if size is None else size
    _check_range("patients", n_patients, 1, None)
    _check_range("patients a batch", batch, 1, None)
    _check_range("seed", seed, 0, None)
    _check_range("size", size, *SIZE_RANGE)
    draw_patient = phantom.draw_patient
    if quadrant is not None:
        _check_quadrant(phantom, quadrant)
        draw_patient = partial(draw_patient, quadrant=quadrant)
    starts = range(0, n_patients, batch)
    return (
        _draw_piece(phantom, draw_patient, range(start, min(start + batch, n_patients)), seed, size) for start in starts
    )


def _draw_piece(
    phantom: Phantom, draw_patient: Callable[..., DrawnPatient], patients: range, seed: int, size: int
) -> DrawnCohort:
    key = zlib.crc32(phantom.name.encode())
    images, labels, owners = [], [], []
    truth: list[dict[str, float]] = []
    covariates: list[dict[str, object]] = []
    for patient in patients:
        rng = np.random.default_rng([seed, key, patient])
        label = int(rng.choice(len(phantom.classes), p=phantom.frequencies))
        drawn = draw_patient(rng, label, size)
        count = len(drawn.pictures)
        images += [np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8) for picture in drawn.pictures]
        labels += [label] * count
        owners += [patient] * count
        truth += drawn.truth
        covariates += [drawn.covariates] * count
    return DrawnCohort(
        name=phantom.name,
        classes=phantom.classes,
        images=np.stack(images),
        labels=np.array(labels, np.int64),
        patients=np.array(owners, np.int64),
        parts=tuple("test" if owner % 3 == 2 else "train" for owner in owners),
        covariates={column: tuple(row[column] for row in covariates) for column in covariates[0]},
        truth={fact: np.array([row[fact] for row in truth]) for fact in truth[0]},
    )


def _find(name: str) -> Phantom:
    for phantom in _PHANTOMS:
        if phantom.name == name:
            return phantom
    raise unknown_name("drawn cohort", name, [phantom.name for phantom in _PHANTOMS])


def _check_range(what: str, given: int, low: int, high: int | None) -> None:
    if given < low or (high is not None and given > high):
        raise OptionError(
            found=f"The drawn cohort's {what} is {given}.",
            needed=f"At least {low}." if high is None else f"Between {low} and {high}.",
            do="Give another number.",
        )


def _check_quadrant(phantom: Phantom, quadrant: int) -> None:
    if not phantom.has_quadrants:
        names = ", ".join(each.name for each in _PHANTOMS if each.has_quadrants)
        raise OptionError(
            found=f"A quadrant is asked for in the drawn cohort '{phantom.name}'.",
            needed=f"Only these have one: {names}.",
            do="Leave the quadrant out, or draw one of these.",
        )
    _check_range("quadrant", quadrant, 0, 3)
