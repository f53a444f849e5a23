"""An npz in MedMNIST's layout: train_images, train_labels, and optionally val_* and test_*."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int, Shaped, UInt

from .errors import CohortError, MedladderError

_PARTS = ("train", "val", "test")

_FREE_BYTES, _DEEPEST_PACKING = 2**28, 200
"""Arrays beyond so many bytes that are so many times larger than when packed are a bomb: images pack to a half or a
tenth, and deflate could pack zeros to a thousandth."""


@dataclass(frozen=True)
class Archive:
    """All parts joined: `images` over the full range of uint8 or uint16, a channel axis last."""

    images: UInt[np.ndarray, "image ... channel"]
    labels: Int[np.ndarray, " image"]
    parts: tuple[str, ...]


def read_archive(path: Path) -> Archive:
    """Read an npz; a 4-D array is colour if its last axis is 1, 3 or 4, else volumes.

    Integers are taken over the full range of uint8 (where none is above 255) or uint16, floats within 0–1.

    Raises
    ------
    CohortError
        Not an npz; arrays missing, of objects, of differing lengths, shapes or types; values outside their range;
        more than one label an image.
    """
    arrays = _read_arrays(path, [f"{part}_{what}" for part in _PARTS for what in ("images", "labels")])
    images: dict[str, np.ndarray] = {}
    labels, parts = [], []
    for part in _PARTS:
        names = (f"{part}_images", f"{part}_labels")
        if part != "train" and not any(name in arrays for name in names):
            continue
        for name in names:
            if name not in arrays:
                raise CohortError(
                    found=f"{path.name} holds {', '.join(sorted(arrays)) or 'no arrays'}, but no {name}.",
                    needed="train_images and train_labels, and both of val_* and test_* or neither.",
                    do="Save the arrays again under these names.",
                )
        part_images, part_labels = arrays[names[0]], _labels(path, names[1], arrays[names[1]])
        if part_images.ndim == 0 or len(part_images) != len(part_labels):
            entries = f"{len(part_images)} entries" if part_images.ndim else "no axes"
            raise CohortError(
                found=f"{path.name}: {names[0]} has {entries} and {names[1]} {len(part_labels)}.",
                needed="One label an image.",
                do="Save the arrays again, of one length.",
            )
        if len(part_images):
            images[names[0]] = part_images
        labels.append(part_labels)
        parts += [part] * len(part_labels)
    joined = _full_range(path, _with_channels(path, _joined(path, images)))
    return Archive(joined, np.concatenate(labels), tuple(parts))


def read_images(path: Path) -> dict[str, UInt[np.ndarray, "image ... channel"]]:
    """The arrays of images of an npz by name, labels or not: `images`, `train_images`, `val_images`, `test_images`.

    Raises
    ------
    CohortError
        As `read_archive`, and where there is no such array.
    """
    wanted = ["images", *(f"{part}_images" for part in _PARTS)]
    arrays = {name: array for name, array in _read_arrays(path, wanted).items() if array.ndim and len(array)}
    if not arrays:
        raise CohortError(
            found=f"{path.name} holds none of {', '.join(wanted)}.",
            needed="At least one of these arrays.",
            do="Save the images under one of these names.",
        )
    joined = _full_range(path, _with_channels(path, _joined(path, arrays)))
    ends = np.cumsum([len(array) for array in arrays.values()])
    return dict(zip(arrays, np.split(joined, ends[:-1]), strict=True))


def _read_arrays(path: Path, wanted: Sequence[str]) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as file:  # opened here, since numpy leaves open what it finds damaged
            arrays = np.load(file, allow_pickle=False)
            if isinstance(arrays, np.ndarray):
                raise ValueError("it holds a single array")
            names = [name for name in arrays.files if name in wanted]
            _check_packing(path, arrays.zip, names)
            return {name: _array(arrays[name], name) for name in names}
    except MedladderError:
        raise
    # Damaged bytes end numpy and zipfile in a dozen ways (TokenError, zlib.error, NotImplementedError, ...).
    except Exception as error:
        is_object = "Object arrays" in str(error)
        reason = "it holds arrays of Python objects, which are never opened" if is_object else _told(error)
        raise CohortError(
            found=f"{path.name} cannot be read: {reason}.",
            needed="An npz of plain numbers in MedMNIST's layout.",
            do="Save it again with numpy.savez, arrays of numbers only.",
        ) from error


def _told(error: Exception) -> str:
    """The words of numpy and zipfile where they speak of the file, not of the program."""
    is_plain = isinstance(error, OSError | ValueError | EOFError | MemoryError | zipfile.BadZipFile) and str(error)
    return str(error) if is_plain else f"it is damaged ({type(error).__name__})"


def _array(content: object, name: str) -> np.ndarray:
    if not isinstance(content, np.ndarray):  # numpy gives the bytes of what does not begin as an array
        raise ValueError(f"{name} is no array")
    return content


def _check_packing(path: Path, archive: zipfile.ZipFile, names: Sequence[str]) -> None:
    parts = [part for part in archive.infolist() if part.filename.removesuffix(".npy") in names]
    size, packed = sum(part.file_size for part in parts), path.stat().st_size
    if size > max(_FREE_BYTES, packed * _DEEPEST_PACKING):
        raise CohortError(
            found=f"{path.name} has {packed:,} bytes and would unpack to {size:,}.",
            needed=f"Arrays that are at most {_DEEPEST_PACKING} times larger than when packed.",
            do="If they are meant, save them again with numpy.savez, which packs nothing.",
        )


def _labels(path: Path, name: str, array: np.ndarray) -> Int[np.ndarray, " image"]:
    if array.ndim == 2 and array.shape[1] > 1:
        raise CohortError(
            found=f"{path.name}: {name} has {array.shape[1]} labels an image.",
            needed="One class an image.",
            do="Make an npz a label, or keep the images that have just one.",
        )
    flat = array.reshape(-1)
    if flat.dtype.kind not in "iub" or array.ndim == 0 or flat.size != len(array):
        raise CohortError(
            found=f"{path.name}: {name} has shape {array.shape} and type {array.dtype}.",
            needed="One whole number an image.",
            do="Save the labels as integers of shape (images,) or (images, 1).",
        )
    return flat.astype(np.int64)


def _joined(path: Path, images: dict[str, np.ndarray]) -> Shaped[np.ndarray, "image ..."]:
    shapes = {array.shape[1:] for array in images.values()}
    if len(shapes) != 1:
        raise CohortError(
            found=f"{path.name}: the images have {'differing' if shapes else 'no'} shapes {sorted(shapes)}.",
            needed="Images of one shape in all parts.",
            do="Save the arrays again.",
        )
    if len({array.dtype for array in images.values()}) != 1:
        # Scaling here would be a guess: a wider type may hold the full range of 16 bits, or 8-bit values as they were.
        raise CohortError(
            found=f"{path.name}: {', '.join(f'{name} is {array.dtype}' for name, array in images.items())}.",
            needed="One type of numbers in all parts, so that one value means one brightness.",
            do="Save them in one type, on one scale: full 8 bits become full 16 as images.astype('uint16') * 257.",
        )
    return np.concatenate(list(images.values()))


def _full_range(path: Path, images: Shaped[np.ndarray, "image ... channel"]) -> UInt[np.ndarray, "image ... channel"]:
    kind = images.dtype.kind
    if kind == "b":
        return images.astype(np.uint8) * np.uint8(255)
    if images.dtype in (np.uint8, np.uint16):
        return images
    low, high = (images.min(), images.max()) if kind in "iuf" else (np.nan, np.nan)
    if kind in "iu" and low >= 0 and high <= 65535:
        return images.astype(np.uint8 if high <= 255 else np.uint16)
    if kind == "f" and low >= 0 and high <= 1:  # NaN compares false
        return np.round(images * 65535.0).astype(np.uint16)
    raise CohortError(
        found=f"{path.name}: the images are {images.dtype} from {low} to {high}.",
        needed="Whole numbers within 0–65535, or floats within 0–1, and no NaN.",
        do="Bring the values to one of these ranges, the same way for every image.",
    )


def _with_channels(path: Path, images: Shaped[np.ndarray, "image ..."]) -> Shaped[np.ndarray, "image ... channel"]:
    is_colour = images.shape[-1] in (1, 3, 4)
    if images.ndim not in (3, 4, 5) or (images.ndim == 5 and not is_colour) or 0 in images.shape:
        raise CohortError(
            found=f"{path.name}: the images have shape {images.shape}.",
            needed="(image, row, column), (image, row, column, channel) or (image, slice, row, column[, channel]).",
            do="Save the arrays again with these axes.",
        )
    if images.ndim == 3 or (images.ndim == 4 and not is_colour):
        return images[..., None]
    return images[..., :3] if images.shape[-1] == 4 else images
