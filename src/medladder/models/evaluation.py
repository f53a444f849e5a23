"""A fixed model on a cohort it was not trained on: what it scores there, with the chance of the patients alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, Int, UInt

from medladder.cohort import Cohort
from medladder.errors import CohortError, OptionError, unknown_name
from medladder.evidence.fixed import weigh_model
from medladder.progress import QUIET, Progress
from medladder.record.plan import OperatingPoints

from .seeing import as_seen, has_foreign_colour

if TYPE_CHECKING:
    from .model import Model

TRAINED_ON = "trained-on"
"""The kind of finding that stops an evaluation unless it is accepted."""

_ROWS_AT_ONCE = 512


def evaluate(
    model: Model,
    cohort: Cohort,
    *,
    part: str | None = None,
    classes: Mapping[str, str] | None = None,
    at_specificity: float = 0.9,
    at_sensitivity: float = 0.9,
    prevalence: float | None = None,
    accept: Sequence[str] = (),
    progress: Progress = QUIET,
) -> dict[str, Any]:
    """Score one model on a cohort at its working size; `target` is "model", and intervals hold patient chance alone.

    `part` (train, val or test) keeps to one part of the cohort. `classes` says which of the model's classes a class of
    the cohort is, where names differ in more than case. `prevalence` (0–1, two classes) adds PPV, NPV and net
    benefit; sensitivity is also given `at_specificity` (0–1) and the reverse.

    Raises
    ------
    CohortError
        Images the model was trained on (unless "trained-on" is accepted), classes that the model does not know, or
        another working size.
    OptionError
        An option that is unknown, out of range or without effect here.
    """
    operating = OperatingPoints(at_specificity, at_sensitivity, prevalence)
    operating.check_classes(len(model.record.classes))
    rows = _rows(cohort, part)
    labels = _labels(model, cohort, classes or {})[rows]
    known = _known(model, cohort)[rows]
    _refuse_known(known, accept)
    _check_preparation(model, cohort)
    probabilities, unlike = _ask(model, cohort, rows, progress)
    weighed = weigh_model(
        probabilities,
        labels,
        cohort.patients[rows],
        patients_known=cohort.patients_known,
        classes=model.record.classes,
        weights=model.record.decision["weights"],
        operating=operating,
        trained_prevalence=model.record.training["prevalence"],
    ).to_json()
    return {
        "model": {"identity": model.record.identity, "rung": model.record.rung["rung"]},
        "cohort": {"name": cohort.name, "fingerprint": cohort.fingerprint, "part": part},
        **weighed,
        "unlike_training": {"images": int(unlike.sum()), "share": float(unlike.mean())},
        "trained_on": int(known.sum()),
        "warnings": [*_own_warnings(known, unlike), *weighed["warnings"]],
    }


def _rows(cohort: Cohort, part: str | None) -> Int[np.ndarray, " row"]:
    if part is None:
        return np.arange(len(cohort.labels))
    if part not in ("train", "val", "test"):
        raise unknown_name("part", part, ("train", "val", "test"))
    rows = np.flatnonzero(cohort.parts == part)
    if not len(rows):
        there = ", ".join(sorted(set(cohort.parts.tolist())))
        raise OptionError(
            found=f"--part {part}, but '{cohort.name}' has {there} alone.",
            needed="A part that is there.",
            do="Drop it.",
        )
    return rows


def _labels(model: Model, cohort: Cohort, named: Mapping[str, str]) -> Int[np.ndarray, " image"]:
    """The cohort's classes by the model's numbers: as named, else by name, whatever the case."""
    ours = model.record.classes
    for theirs, our in named.items():
        if theirs not in cohort.classes:
            raise unknown_name("class of the cohort", theirs, cohort.classes)
        if our not in ours:
            raise unknown_name("class of the model", our, ours)
    plain = {_plain(name): place for place, name in enumerate(ours)}
    is_told_apart = len(plain) == len(ours)
    places = []
    for theirs in cohort.classes:
        name = named.get(theirs, theirs)
        place = ours.index(name) if name in ours else plain.get(_plain(name)) if is_told_apart else None
        if place is None:
            raise CohortError(
                found=f"'{cohort.name}' has the classes {', '.join(cohort.classes)}, the model {', '.join(ours)}.",
                needed="For each class of the cohort the model's class that it is.",
                do=f"Add --classes '{theirs}={ours[0]}', several with commas between, or leave the class out.",
            )
        places.append(place)
    return np.array(places)[cohort.labels]


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name.strip()).casefold()


def _known(model: Model, cohort: Cohort) -> Bool[np.ndarray, " image"]:
    trained_on = {row.tobytes().hex() for row in model.trained_on}
    return np.array([content in trained_on for content in cohort.contents.tolist()])


def _refuse_known(known: Bool[np.ndarray, " row"], accept: Sequence[str]) -> None:
    for kind in accept:
        if kind != TRAINED_ON:
            raise unknown_name("kind to accept", kind, (TRAINED_ON,))
    if known.any() and TRAINED_ON not in accept:
        raise CohortError(
            found=f"The model was trained on {known.sum():,} of these {len(known):,} images.",
            needed="Images that it has not seen: on its own it looks better than it is.",
            do=f"Give another cohort, --part test of one fitted with --keep-test, or go on with --accept {TRAINED_ON}.",
        )


def _check_preparation(model: Model, cohort: Cohort) -> None:
    own, given = model.record.preparation, cohort.preparation
    if given == own:
        return
    is_size = given.size != own.size
    was, wanted = ("×".join(map(str, one.size)) if is_size else str(one) for one in (given, own))
    raise CohortError(
        found=f"'{cohort.name}' was read at {was}." if is_size else f"'{cohort.name}' was read as {was}.",
        needed=f"The model's working size, {wanted}." if is_size else f"As the model's images were: {wanted}.",
        do=f"Read it with image_size={own.size}."
        if is_size and len(given.size) == len(own.size)
        else "Give pictures to a model of pictures, and volumes to one of volumes."
        if is_size
        else "Read it with the same window, stacks, crop, spacing and box.",
    )


def _ask(
    model: Model, cohort: Cohort, rows: Int[np.ndarray, " row"], progress: Progress
) -> tuple[Float[np.ndarray, "row class_"], Bool[np.ndarray, " row"]]:
    """Probabilities, and which images are unlike the training images."""
    probabilities, unlike = [], []
    with progress.follow("Predicting", len(rows)) as advance:
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            block = cohort.images[rows[start : start + _ROWS_AT_ONCE]]
            seen, is_foreign = _seen(block, model)
            probabilities.append(model.predict_proba(seen))
            unlike.append(model.is_unlike(seen) | is_foreign)
            advance(len(block))
    return np.concatenate(probabilities).astype(np.float64), np.concatenate(unlike)


def _seen(
    block: UInt[np.ndarray, "image ..."], model: Model
) -> tuple[UInt[np.ndarray, "image ..."], Bool[np.ndarray, " image"]]:
    shape, n_axes = model.record.shape, len(model.record.preparation.size)
    if block.shape[1:] == shape:
        return block, np.zeros(len(block), dtype=bool)
    with_channels = block if block.ndim == n_axes + 2 else block[..., None]
    seen = np.stack([as_seen(pixels, shape) for pixels in with_channels])
    # A cohort in colour may hold grey pictures, which were given three equal channels.
    is_coloured = (with_channels != with_channels[..., :1]).reshape(len(block), -1).any(axis=1)
    return seen, is_coloured & has_foreign_colour(with_channels[0], shape)


def _own_warnings(known: Bool[np.ndarray, " row"], unlike: Bool[np.ndarray, " row"]) -> Iterator[dict[str, str]]:
    if known.any():
        text = f"The model was trained on {known.sum():,} of these images: it looks better here than it is."
        yield {"text": text, "rule": "trained on these images"}
    if unlike.mean() > 0.1:
        text = f"{unlike.mean():.0%} of the images are unlike those the model was trained on."
        yield {"text": text, "rule": "unlike the training images"}
