"""Files and folders to predictions: decoded on every core while the model answers, by the one road to working size."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, UInt

from medladder.archive import read_images
from medladder.errors import ImageError, InputError
from medladder.images.formats import Image, is_image_name, read_image
from medladder.images.prepare import Preparation, prepare, prepare_volume
from medladder.progress import QUIET, Progress

from .seeing import as_seen, has_foreign_colour

if TYPE_CHECKING:
    from .model import Model

FILES_AT_ONCE = 256
"""Decoded ahead of the model: enough to fill a batch, few enough to fit in memory at any working size."""


@dataclass(frozen=True)
class Prediction:
    """What a model says of one image; `probabilities` in the order of its classes."""

    file: str
    probabilities: tuple[float, ...]
    decision: str
    unlike_training: bool


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
            flag = "yes" if one.unlike_training else "no"
            table.writerow([one.file, one.decision, flag, *(f"{p:.6f}" for p in one.probabilities), ""])
        for file, reason in self.unreadable.items():
            table.writerow([file, "", "", *("" for _ in names), reason])
        return text.getvalue()


def predict_files(
    model: Model, paths: Sequence[str | Path], *, progress: Progress = QUIET, threads: int | None = None
) -> Predictions:
    """Predict image files, every image below folders, and the `*_images` arrays of npz files.

    A file that cannot be read is named with the reason and the others go on. A colour picture given to a model of grey
    images is turned to grey, and unlike the training images by that alone.

    Raises
    ------
    InputError
        A path is not there or of another kind, no image is below a folder, or none of the files can be read.
    """
    wanted = list(_wanted(paths))
    answered: list[Prediction] = []
    unreadable: dict[str, str] = {}
    with progress.follow("Predicting", len(wanted)) as advance:
        for block in _decoded(wanted, model, threads or os.cpu_count() or 1):
            known = [one for one in block if one.pixels is not None]
            unreadable |= {one.file: one.reason for one in block if one.pixels is None}
            if known:
                answered += _answers(model, known)
            advance(len(block))
    if not answered:
        file, reason = next(iter(unreadable.items()))
        raise InputError(
            found=f"None of the {len(unreadable)} images can be read; {file}: {reason}.",
            needed="PNG, JPEG, TIFF or BMP files, or an npz.",
            do="Open one in a viewer; export them again if it fails there too.",
        )
    return Predictions(model.record.classes, tuple(answered), unreadable)


@dataclass(frozen=True, eq=False)
class _Decoded:
    file: str
    pixels: UInt[np.ndarray, "..."] | None = None
    is_foreign: bool = False
    reason: str = ""


@dataclass(frozen=True, eq=False)
class _Wanted:
    """A file, or one image of an array."""

    file: str
    path: Path | None = None
    pixels: UInt[np.ndarray, "..."] | None = None


def _wanted(paths: Sequence[str | Path]) -> Iterator[_Wanted]:
    for given in paths:
        path = Path(given)
        if path.is_dir():
            yield from _below(path)
        elif path.is_file() and path.suffix.lower() == ".npz":
            for name, images in read_images(path).items():
                for place, pixels in enumerate(images):
                    yield _Wanted(f"{given}:{name}[{place}]", pixels=pixels)
        elif path.is_file() and path.suffix.lower() not in (".csv", ".json", ".txt"):
            yield _Wanted(str(given), path)
        else:
            raise InputError(
                found=f"{path} is a file of another kind." if path.exists() else f"{path} is not there.",
                needed="Image files, folders of them, or an npz.",
                do="Check the path; to score a cohort with known classes use 'medladder evaluate'.",
            )


def _below(folder: Path) -> Iterator[_Wanted]:
    found = False
    for place, inner, files in os.walk(folder):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        for name in sorted(files):
            if is_image_name(name) and not name.startswith("."):
                found = True
                yield _Wanted(str(Path(place) / name), Path(place) / name)
    if not found:
        raise InputError(
            found=f"{folder} holds no image.",
            needed="PNG, JPEG, TIFF or BMP files at any depth.",
            do="Name the folder that holds them.",
        )


def _decoded(wanted: Sequence[_Wanted], model: Model, threads: int) -> Iterator[list[_Decoded]]:
    """Blocks in order, the next one under way while this one is answered."""
    decode = partial(_decode, preparation=model.record.preparation, shape=model.record.shape)
    blocks = [wanted[start : start + FILES_AT_ONCE] for start in range(0, len(wanted), FILES_AT_ONCE)]
    with ThreadPoolExecutor(threads) as pool:
        try:
            coming = [pool.submit(decode, one) for one in blocks[0]]
            for place in range(len(blocks)):
                here = coming
                coming = [pool.submit(decode, one) for one in (blocks[place + 1] if place + 1 < len(blocks) else [])]
                yield [future.result() for future in here]
        finally:
            pool.shutdown(cancel_futures=True)  # a Ctrl-C should not wait for the rest


def read_prepared(path: Path, preparation: Preparation, shape: tuple[int, ...]) -> tuple[UInt[np.ndarray, "..."], bool]:
    """One image at working size as networks of this shape see it, and whether it is in a colour they do not know.

    An image of an npz is named as `predict` names it: `volumes.npz:train_images[3]`.

    Raises
    ------
    InputError
        There is no such file, or it is no image, or of another kind.
    """
    decoded = _decode(_one(path), preparation, shape)
    if decoded.pixels is None:
        raise InputError(
            found=f"{path}: {decoded.reason}.",
            needed=f"An image of {'×'.join(map(str, shape))} at working size.",
            do="Open it in a viewer; export it again if it fails there too.",
        )
    return decoded.pixels, decoded.is_foreign


def _one(path: Path) -> _Wanted:
    inside = re.fullmatch(r"(.+\.npz):(\w+)\[(\d+)\]", str(path), re.IGNORECASE)
    if path.is_file() and path.suffix.lower() != ".npz":
        return _Wanted(str(path), path)
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
    return _Wanted(str(path), pixels=arrays[inside[2]][int(inside[3])])


def _decode(one: _Wanted, preparation: Preparation, shape: tuple[int, ...]) -> _Decoded:
    try:
        pixels = read_image(one.path).pixels if one.path is not None else one.pixels
        assert pixels is not None
        if pixels.ndim != len(preparation.size) + 1:
            kinds = {3: "picture", 4: "volume"}
            reason = f"it is a {kinds[pixels.ndim]}, and the model is for {kinds[len(preparation.size) + 1]}s"
            raise ImageError(one.file, reason)
    except ImageError as error:
        return _Decoded(one.file, reason=error.reason)
    bring = _picture if pixels.ndim == 3 else prepare_volume
    prepared = bring(pixels, preparation)
    return _Decoded(one.file, as_seen(prepared, shape), is_foreign=has_foreign_colour(pixels, shape))


def _picture(
    pixels: UInt[np.ndarray, "row column channel"], preparation: Preparation
) -> UInt[np.ndarray, "r c channel"]:
    return prepare(Image(pixels), preparation)


def _answers(model: Model, known: Sequence[_Decoded]) -> Iterator[Prediction]:
    is_deep = any(one.pixels is not None and one.pixels.dtype == np.uint16 for one in known)
    images = np.stack([_at_depth(one.pixels, is_deep=is_deep) for one in known if one.pixels is not None])
    probabilities: Float[np.ndarray, "image class_"] = model.predict_proba(images)
    decided, unlike = model.decide(probabilities), model.is_unlike(images)
    for one, row, class_, flag in zip(known, probabilities.tolist(), decided.tolist(), unlike.tolist(), strict=True):
        yield Prediction(one.file, tuple(row), model.record.classes[class_], bool(flag) or one.is_foreign)


def _at_depth(pixels: UInt[np.ndarray, "..."], *, is_deep: bool) -> UInt[np.ndarray, "..."]:
    return pixels * np.uint16(257) if is_deep and pixels.dtype == np.uint8 else pixels
