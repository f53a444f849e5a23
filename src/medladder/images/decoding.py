"""Many files or arrays to one prepared array, in parallel, once."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt

from ..errors import CohortError
from ..language import phrase
from ..progress import QUIET, Progress
from .cache import Facts, PreparedImages, cached, key_of, read_entry, take_room, write_entry
from .image import FACTS, Header, Image
from .names import READABLE
from .pool import decoding_pool
from .prepare import PREPARATION_PROTOCOL, prepare
from .reading import LARGEST_DEFAULT, Reading, Source, find_sources, refusal_of

_LEAST_SLICES = 5
"""Files of a series from which on they are called slices: some views of a breast or a hand are one series too."""
_SLICE_NOTE = phrase(
    "a slice of a series, taken as an image of its own (--stacks volumes makes one volume of a series)"
)


def look_at_files(
    folder: Path, names: Sequence[str], *, root: Path, progress: Progress = QUIET
) -> tuple[Header | str, ...]:
    """The header of each file, or the reason why it has none; read once into the cache.

    Raises
    ------
    StudyError
        The cache directory is full or cannot be written.
    """
    stamped = _stamped(folder, names)

    def make(entry: Path) -> None:
        jobs = [{"look": str(folder / name)} for name in names]
        with (entry / "headers.jsonl").open("w", encoding="utf-8") as file:
            for answer in _followed("Reading headers", jobs, progress):
                file.write(json.dumps(answer) + "\n")

    def read(entry: Path) -> tuple[Header | str, ...]:
        lines = (entry / "headers.jsonl").read_text("utf-8").splitlines()
        return tuple(_header(json.loads(line)) for line in lines)

    return cached(root, "headers", key_of("headers", PREPARATION_PROTOCOL, *stamped), make, read)


def headers_of(paths: Sequence[Path]) -> tuple[Header | str, ...]:
    """The header of each file, or the reason why it has none; read anew."""
    answers = decoding_pool().answer({"look": str(path)} for path in paths)
    return tuple(_header(answer) for answer in answers)


def _header(answer: Mapping[str, Any]) -> Header | str:
    return Header.of_json(answer["header"]) if "header" in answer else str(answer["reason"])


def prepare_files(
    folder: Path, names: Sequence[str], reading: Reading | None = None, *, root: Path, progress: Progress = QUIET
) -> PreparedImages:
    """Decode files to working size into the cache; unreadable ones are named by position, with the reason.

    The entry is keyed by folder, relative name, size in bytes, time of change and reading. The folder is in it because
    unpacking two archives of one layout can give other pictures the same names, sizes and times. A file that changes
    while it is read is unreadable.

    Raises
    ------
    CohortError
        No file could be read, or they do not fit what was asked.
    StudyError
        The cache directory is full or cannot be written.
    """
    reading = reading or Reading()
    stamped = _stamped(folder, names)
    key = key_of("files", PREPARATION_PROTOCOL, reading, *stamped)

    def make(entry: Path) -> None:
        headers = look_at_files(folder, names, root=root, progress=progress)
        _decode(entry, [folder / name for name in names], headers, reading, progress)

    return cached(root, "images", key, make, read_entry)


def _stamped(folder: Path, names: Sequence[str]) -> tuple[str, list[tuple[str, int, int]]]:
    """Files with their size in bytes and time of change; -1 where there is none."""
    return str(folder.resolve()), [(name, *_stamp(folder / name)) for name in names]


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return (-1, -1)
    return (status.st_size, status.st_mtime_ns)


def _followed(what: str, jobs: Sequence[Mapping[str, Any]], progress: Progress) -> Iterator[dict[str, Any]]:
    with progress.follow(what, len(jobs)) as advance:
        for answer in decoding_pool().answer(map(dict, jobs)):
            yield answer
            advance(1)


def _decode(
    entry: Path, paths: Sequence[Path], headers: Sequence[Header | str], reading: Reading, progress: Progress
) -> None:
    sources, unreadable = find_sources(headers, reading.stacks)
    if not sources:
        first = next(iter(sorted(unreadable.items())), (0, "there is none"))
        raise CohortError(
            found=f"None of the {len(paths)} image files can be read; the first: {first[1]}.",
            needed=READABLE,
            do="Open one in a viewer; export them again if it fails there too.",
        )
    told = [headers[source.members[0]] for source in sources]
    known = [header for header in told if isinstance(header, Header)]
    preparation = reading.settle([source.shape for source in sources], [_spacing(one) for one in known])
    is_deep = any(header.is_deep for header in known)
    channels = 3 if any(header.is_colour for header in known) else 1
    shape = (len(sources), *preparation.size, channels)
    dtype = np.dtype(np.uint16 if is_deep else np.uint8)
    # A file, not memory: 100,000 colour images of 224×224 are 15 GB. Its room is taken beforehand: writing
    # through a map into a full disk ends the process without a word.
    scratch = entry / "scratch"
    with scratch.open("wb") as file:
        take_room(file, int(np.prod(shape)) * dtype.itemsize)
    settings = preparation.to_json()
    into = {"path": str(scratch), "dtype": dtype.str, "shape": shape}
    jobs = [
        {**job_of([paths[i] for i in source.members], source, settings), "into": {**into, "at": at}}
        for at, source in enumerate(sources)
    ]
    before = [_stamp(path) for path in paths]
    answers = list(_followed("Decoding images", jobs, progress))
    for source, answer in zip(sources, answers, strict=True):
        if "reason" not in answer and any(_stamp(paths[i]) != before[i] for i in source.members):
            answer["reason"] = phrase("it changed while it was read")
    for source, answer in zip(sources, answers, strict=True):
        if "reason" in answer:
            unreadable |= refusal_of(source, answer["reason"])
    rows = np.array([at for at, answer in enumerate(answers) if "reason" not in answer], dtype=np.int64)
    if reading.stacks is None:
        _note_slices(known, answers)
    facts = _facts(sources, known, answers).of(rows.tolist())
    pixels = np.memmap(scratch, dtype=dtype, mode="r", shape=shape)
    write_entry(entry, pixels, rows, facts, unreadable=unreadable, preparation=preparation)
    del pixels  # a map that is open keeps some systems from removing the file
    scratch.unlink()


def job_of(paths: Sequence[Path], source: Source, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What the decoding pool is asked to prepare one image; `settings` are those of the preparation."""
    return {
        "prepare": [str(path) for path in paths],
        "frame": source.frame,
        "is_stack": source.is_stack,
        "preparation": settings,
    }


def _spacing(header: Header) -> tuple[float, ...] | None:
    return header.spacing_mm


def _note_slices(headers: Sequence[Header], answers: Sequence[dict[str, Any]]) -> None:
    """Where whole series were taken for pictures, one note with each: the user may never have heard of `--stacks`."""
    series = [header.facts.get("series", "") for header in headers]
    n_files = Counter(series)
    for name, answer in zip(series, answers, strict=True):
        if name and n_files[name] >= _LEAST_SLICES:
            answer["notes"] = [*answer.get("notes", ()), _SLICE_NOTE]


def _facts(sources: Sequence[Source], headers: Sequence[Header], answers: Sequence[Mapping[str, Any]]) -> Facts:
    told = {name: [header.facts.get(name, "") for header in headers] for name in FACTS}
    notes = Counter(note for answer in answers for note in answer.get("notes", ()))
    return Facts(
        members=tuple(source.members for source in sources),
        frames=np.array([-1 if source.frame is None else source.frame for source in sources], dtype=np.int64),
        contents=tuple(answer.get("content", "") for answer in answers),
        heights=np.array([source.shape[-2] for source in sources], dtype=np.int64),
        widths=np.array([source.shape[-1] for source in sources], dtype=np.int64),
        told={name: np.array(values, dtype=np.str_) for name, values in told.items() if any(values)},
        notes=dict(notes.most_common()),
    )


def prepare_arrays(
    images: UInt[np.ndarray, "image ... channel"], reading: Reading | None = None, *, root: Path
) -> PreparedImages:
    """Bring images that came as one array to working size, into the cache under a hash of their pixels.

    `images` has axes (image, row, column, channel) or (image, slice, row, column, channel).

    Raises
    ------
    CohortError
        The reading's size has another number of axes than the images, or lengths in mm are asked for.
    """
    stored = images.shape[1:-1]
    reading = reading or Reading()
    preparation = reading.settle([stored], [None])
    if reading.size is None and max(stored) <= LARGEST_DEFAULT:
        preparation = replace(preparation, size=stored)  # small arrays stay as they are

    def make(entry: Path) -> None:
        is_same = stored == preparation.size and not preparation.is_cropped
        pixels = images if is_same else np.stack([prepare(Image(one), preparation) for one in images])
        rows = np.arange(len(images))
        facts = Facts(
            members=tuple((row,) for row in range(len(images))),
            frames=np.full(len(images), -1),
            contents=tuple(Image(one).content for one in images),
            heights=np.full(len(images), stored[-2]),
            widths=np.full(len(images), stored[-1]),
        )
        write_entry(entry, pixels, rows, facts, unreadable={}, preparation=preparation)

    content = hashlib.blake2b(np.ascontiguousarray(images).data, digest_size=16).hexdigest()
    key = key_of("array", PREPARATION_PROTOCOL, preparation, images.shape, images.dtype.str, content)
    return cached(root, "images", key, make, read_entry)
