"""Files and folders to predictions: decoded on every core while the model answers, by the one road to working size."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt

from medladder.archive import read_images
from medladder.errors import ImageError, InputError
from medladder.images.decoding import headers_of, job_of
from medladder.images.image import Image
from medladder.images.names import READABLE, is_image_name
from medladder.images.pool import decoding_pool
from medladder.images.prepare import Preparation, prepare
from medladder.images.reading import Source, find_sources
from medladder.progress import QUIET, Progress

from .answering import Answering
from .seeing import as_seen, has_foreign_colour

FILES_AT_ONCE = 256
"""Decoded ahead of the model: enough to fill a batch, few enough to fit in memory at any working size."""


@dataclass(frozen=True)
class Prediction:
    """What a model says of one image: `probabilities` in the order of its classes; a flag of None means not known."""

    file: str
    probabilities: tuple[float, ...]
    decision: str
    unlike_training: bool | None


@dataclass(frozen=True)
class Predictions:
    """Predictions in the order of the files, and the files that could not be read, with the reason."""

    classes: tuple[str, ...]
    predictions: tuple[Prediction, ...]
    unreadable: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """As `predict --json` prints them."""
        return {
            "predictions": [
                {
                    "file": one.file,
                    "probabilities": dict(zip(self.classes, one.probabilities, strict=True)),
                    "decision": one.decision,
                    "unlike_training": one.unlike_training,
                }
                for one in self.predictions
            ],
            "unreadable": [{"file": file, "reason": reason} for file, reason in self.unreadable.items()],
        }

    def to_csv(self) -> str:
        """A row an image; a file that could not be read has its reason and nothing else."""
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        names = [f"probability_{name}" for name in self.classes]
        table.writerow(["file", "decision", "unlike_training", *names, "unreadable"])
        for one in self.predictions:
            flag = {True: "yes", False: "no", None: ""}[one.unlike_training]
            table.writerow([one.file, one.decision, flag, *(f"{p:.6f}" for p in one.probabilities), ""])
        for file, reason in self.unreadable.items():
            table.writerow([file, "", "", *("" for _ in names), reason])
        return text.getvalue()


def predict_files(asked: Answering, paths: Sequence[str | Path], *, progress: Progress = QUIET) -> Predictions:
    """Predict image files, every image below folders, and the `*_images` arrays of npz files.

    A file that cannot be read is named with the reason and the others go on. A colour picture given to a model of grey
    images is turned to grey, and unlike the training images by that alone.

    Raises
    ------
    InputError
        A path is not there or of another kind, no image is below a folder, or none of the files can be read.
    """
    wanted, unreadable = sort_out(list(_named(paths)), asked.preparation)
    answered: list[Prediction] = []
    with progress.follow("Predicting", len(wanted)) as advance:
        decoded = _decoded(wanted, asked.preparation, asked.shape)
        while block := list(islice(decoded, FILES_AT_ONCE)):
            known = [one for one in block if one.pixels is not None]
            unreadable |= {one.file: one.reason for one in block if one.pixels is None}
            if known:
                answered += answer(asked, known)
            advance(len(block))
    if not answered:
        file, reason = next(iter(unreadable.items()))
        raise InputError(
            found=f"None of the {len(unreadable)} images can be read; {file}: {reason}.",
            needed=f"An npz, or {READABLE}",
            do="Open one in a viewer; export them again if it fails there too.",
        )
    return Predictions(asked.classes, tuple(answered), unreadable)


@dataclass(frozen=True, eq=False)
class Decoded:
    """An image at working size as a model sees it, or the reason why there is none."""

    file: str
    pixels: UInt[np.ndarray, "..."] | None = None
    is_foreign: bool = False
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Wanted:
    """The files that make an image, or one image of an array."""

    file: str
    paths: tuple[Path, ...] = ()
    source: Source | None = None
    pixels: UInt[np.ndarray, "..."] | None = None


def _named(paths: Sequence[str | Path]) -> Iterator[Wanted]:
    for given in paths:
        path = Path(given)
        if path.is_dir():
            yield from _below(path)
        elif path.is_file() and path.suffix.lower() == ".npz":
            for name, images in read_images(path).items():
                for place, pixels in enumerate(images):
                    yield Wanted(f"{given}:{name}[{place}]", pixels=pixels)
        elif path.is_file() and path.suffix.lower() not in (".csv", ".json", ".txt"):
            yield Wanted(str(given), (path,))
        else:
            raise InputError(
                found=f"{path} is a file of another kind." if path.exists() else f"{path} is not there.",
                needed="Image files, folders of them, or an npz.",
                do="Check the path; to score a cohort with known classes use 'medladder evaluate'.",
            )


def sort_out(named: Sequence[Wanted], preparation: Preparation) -> tuple[list[Wanted], dict[str, str]]:
    """What files make images, put together as they were for training, and what does not, with the reason."""
    arrays = [one for one in named if one.pixels is not None]
    files = [one for one in named if one.pixels is None]
    if preparation.stacks is None:
        return list(named), {}
    paths = [one.paths[0] for one in files]
    sources, refused = find_sources(headers_of(paths), preparation.stacks, axes=len(preparation.size))
    images = [Wanted(_name_of(source, files), tuple(paths[i] for i in source.members), source) for source in sources]
    return arrays + images, {files[place].file: reason for place, reason in refused.items()}


def _name_of(source: Source, files: Sequence[Wanted]) -> str:
    first = files[source.members[0]].file
    return first if source.frame is None else f"{first}[{source.frame}]"


def _below(folder: Path) -> Iterator[Wanted]:
    found = False
    for place, inner, files in os.walk(folder):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        for name in sorted(files):
            if is_image_name(name) and not name.startswith("."):
                found = True
                yield Wanted(str(Path(place) / name), (Path(place) / name,))
    if not found:
        raise InputError(
            found=f"{folder} holds no image.",
            needed=f"At any depth, {READABLE}",
            do="Name the folder that holds them.",
        )


def _decoded(wanted: Sequence[Wanted], preparation: Preparation, shape: tuple[int, ...]) -> Iterator[Decoded]:
    """In order; files come from the decoding pool, which is ahead of whoever asks."""
    answers = decoding_pool().answer(job_for(one, preparation) for one in wanted if one.pixels is None)
    for one in wanted:
        if one.pixels is not None:
            yield _of_array(one.file, one.pixels, preparation, shape)
            continue
        answer = next(answers)
        yield of_worker(one.file, answer, shape)


def job_for(wanted: Wanted, preparation: Preparation) -> dict[str, Any]:
    """What a decoding process is asked to do."""
    return job_of(wanted.paths, wanted.source or Source((0,), ()), preparation.to_json())


def of_worker(file: str, answer: dict[str, Any], shape: tuple[int, ...]) -> Decoded:
    """What a decoding process answered."""
    if "reason" in answer:
        return Decoded(file, reason=answer["reason"])
    pixels = answer["pixels"]
    return Decoded(file, as_seen(pixels, shape), is_foreign=has_foreign_colour(pixels, shape))


def _of_array(file: str, pixels: UInt[np.ndarray, "..."], preparation: Preparation, shape: tuple[int, ...]) -> Decoded:
    try:
        prepared = prepare(Image(pixels), preparation)
    except ImageError as error:
        return Decoded(file, reason=error.reason)
    return Decoded(file, as_seen(prepared, shape), is_foreign=has_foreign_colour(pixels, shape))


def read_prepared(path: Path, preparation: Preparation, shape: tuple[int, ...]) -> tuple[UInt[np.ndarray, "..."], bool]:
    """One image at working size as networks of this shape see it, and whether it is in a colour they do not know.

    An image of an npz is named as `predict` names it: `volumes.npz:train_images[3]`.

    Raises
    ------
    InputError
        There is no such file, or it is no image, or of another kind.
    """
    decoded = next(_decoded([_one(path)], preparation, shape))
    if decoded.pixels is None:
        raise InputError(
            found=f"{path}: {decoded.reason}.",
            needed=f"An image of {'×'.join(map(str, shape))} at working size.",
            do="Open it in a viewer; export it again if it fails there too.",
        )
    return decoded.pixels, decoded.is_foreign


def _one(path: Path) -> Wanted:
    inside = re.fullmatch(r"(.+\.npz):(\w+)\[(\d+)\]", str(path), re.IGNORECASE)
    if path.is_file() and path.suffix.lower() != ".npz":
        return Wanted(str(path), (path,))
    if inside is None or not Path(inside[1]).is_file():
        is_archive = path.is_file()
        what = "an npz of several images" if is_archive else "a folder" if path.is_dir() else "not there"
        do = f"Name one of it, as {path}:{next(iter(read_images(path)))}[0]." if is_archive else "Name one."
        raise InputError(found=f"{path} is {what}.", needed="One image file, or one image of an npz.", do=do)
    arrays = read_images(Path(inside[1]))
    counts = {name: len(images) for name, images in arrays.items()}
    if int(inside[3]) >= counts.get(inside[2], 0):
        listed = ", ".join(f"{name} of {n:,} images" for name, n in counts.items())
        raise InputError(
            found=f"{path} is not there.",
            needed=f"{inside[1]} holds {listed}, counted from 0.",
            do="Name one of these.",
        )
    return Wanted(str(path), pixels=arrays[inside[2]][int(inside[3])])


def answer(asked: Answering, known: Sequence[Decoded]) -> list[Prediction]:
    """Predict images that could be read."""
    is_deep = any(one.pixels is not None and one.pixels.dtype == np.uint16 for one in known)
    images = np.stack([_at_depth(one.pixels, is_deep=is_deep) for one in known if one.pixels is not None])
    probabilities = asked.ask(images)
    decided, unlike = asked.decide(probabilities), asked.is_unlike(images)
    return [
        Prediction(one.file, tuple(row), asked.classes[class_], True if one.is_foreign else flag)
        for one, row, class_, flag in zip(known, probabilities.tolist(), decided.tolist(), unlike, strict=True)
    ]


def _at_depth(pixels: UInt[np.ndarray, "..."], *, is_deep: bool) -> UInt[np.ndarray, "..."]:
    return pixels * np.uint16(257) if is_deep and pixels.dtype == np.uint8 else pixels
