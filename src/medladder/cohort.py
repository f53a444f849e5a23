"""A cohort: images, classes, patients and covariates, read from a folder, a CSV, an npz or a name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, Shaped, UInt

from .archive import read_archive
from .errors import CohortError, OptionError, unknown_name
from .images.cache import Facts, PreparedImages, cache_root, cached, key_of, read_array
from .images.decoding import look_at_files, prepare_arrays, prepare_files
from .images.image import COVARIATES, Header
from .images.prepare import Preparation
from .images.reading import Reading
from .images.values import parse_window
from .language import phrase
from .manifest import Columns, Manifest, is_table_name, join, read_folder, read_labels, read_listing, read_table
from .medmnist import classes_of_file, fetch
from .progress import QUIET, Progress


@dataclass(frozen=True)
class Origin:
    """What a cohort was read from: an absolute path or a name, the table of its labels, the names of its columns."""

    source: str
    labels: str | None = None
    columns: Columns = field(default_factory=Columns)

    @classmethod
    def of(
        cls, source: str | Path, labels: str | Path | None = None, columns: Mapping[str, str] | None = None
    ) -> Origin:
        """As a person names it; paths become absolute, so that they are found again from elsewhere."""
        is_name = str(source).startswith(("demo:", "medmnist:"))
        return cls(
            str(source) if is_name else str(Path(source).absolute()),
            None if labels is None else str(Path(labels).absolute()),
            Columns(**(columns or {})),
        )

    @classmethod
    def of_json(cls, told: Mapping[str, Any]) -> Origin:
        """From its fields; raises KeyError or TypeError where they are others."""
        return cls(told["source"], told["labels"], Columns(**told["columns"]))


@dataclass(frozen=True)
class Cohort:
    """Images of patients, each of one class; row i of every field is image i.

    `images` has the axes of docs/architecture.md and stays on disk (memory-mapped) at `store`; `patients` are
    numbered in cohort order and are the images themselves where no one said whose they are (`patients_known`).
    `parts` are train, val or test, `columns` further ones as text. `files` are for the audit only. `unreadable` maps
    files that were left out to the reason, `ignored` endings of other files to their number, `notes` what was passed
    over in files to how many. `tested_on` names the other cohort whose images are the test part. `origins` are what it
    was read from.
    """

    name: str
    images: UInt[np.ndarray, "image ..."]
    store: Path
    labels: Int[np.ndarray, " image"]
    classes: tuple[str, ...]
    patients: Int[np.ndarray, " image"]
    patients_known: bool
    parts: Shaped[np.ndarray, " image"]
    contents: Shaped[np.ndarray, " image"]
    files: tuple[str, ...]
    heights: Int[np.ndarray, " image"]
    widths: Int[np.ndarray, " image"]
    bit_depth: int
    preparation: Preparation
    columns: Mapping[str, Shaped[np.ndarray, " image"]] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)
    n_unlabelled: int = 0
    ignored: Mapping[str, int] = field(default_factory=dict)
    notes: Mapping[str, int] = field(default_factory=dict)
    tested_on: str | None = None
    origins: tuple[Origin, ...] = ()

    def __repr__(self) -> str:
        told = [f"{name} {n}" for name, n in zip(self.classes, np.bincount(self.labels), strict=True)]
        counts = ", ".join(told[:12]) + (f" and {len(told) - 12} more classes" if len(told) > 12 else "")
        whose = f" of {len(np.unique(self.patients))} patients" if self.patients_known else ""
        return f"Cohort({self.name!r}: {len(self.labels)} images{whose}; {counts})"

    def _repr_html_(self) -> str:
        from html import escape

        rows = "".join(
            f"<tr><td>{escape(name)}</td><td>{n}</td></tr>"
            for name, n in zip(self.classes, np.bincount(self.labels), strict=True)
        )
        size = "×".join(map(str, self.preparation.size))
        head = f"<b>{escape(self.name)}</b>, working size {size}"
        return f"{head}<table><tr><th>class</th><th>images</th></tr>{rows}</table>"

    @cached_property
    def fingerprint(self) -> str:
        """What the cohort is, whatever its path: contents, labels, patients, parts and columns."""
        digest = hashlib.blake2b(digest_size=16)
        columns = {name: self.columns[name].tolist() for name in sorted(self.columns)}
        for part in (self.classes, self.labels.tolist(), self.patients.tolist(), self.parts.tolist(), columns):
            digest.update(json.dumps(part).encode("utf-8"))
        digest.update("".join(self.contents.tolist()).encode("ascii"))
        return digest.hexdigest()

    def hashes_of(self, rows: Int[np.ndarray, " row"]) -> UInt[np.ndarray, "content 16"]:
        """Content hashes of some images, sorted, each once: they tell a known image again, and nothing else."""
        contents = sorted(set(self.contents[rows].tolist()))
        return np.frombuffer(bytes.fromhex("".join(contents)), np.uint8).reshape(-1, 16)

    def column(self, name: str) -> Shaped[np.ndarray, " image"]:
        """One further column of the manifest.

        Raises
        ------
        OptionError
            No such column.
        """
        if name not in self.columns:
            raise unknown_name("column", name, sorted(self.columns) or ["(none: only a CSV has further columns)"])
        return self.columns[name]


def read_cohort(
    source: str | Path,
    *,
    image_size: tuple[int, ...] | None = None,
    window: str | None = None,
    stacks: str | None = None,
    crop: bool = False,
    spacing_mm: tuple[float, ...] | None = None,
    box_mm: tuple[float, ...] | None = None,
    labels: str | Path | None = None,
    columns: Mapping[str, str] | None = None,
    cache: Path | None = None,
    progress: Progress = QUIET,
) -> Cohort:
    """Read a cohort and bring its images to one working size, decoded once into the cache.

    `source` is a folder of class folders, a table (CSV, TSV, Excel, Parquet, JSON list), an npz, `demo:NAME` or
    `medmnist:NAME`; with `labels` a folder of images whose labels stand in that table, joined by path, SOP instance,
    series or patient. `columns` names the table's columns for path, label, patient and split, where they are called
    otherwise.

    `image_size`, `spacing_mm` and `box_mm` are (row, column), or (slice, row, column) for volumes, or one number for
    all; by default the smaller of 64 and the median short side, of the whole image. `window` is how measured values are
    shown, as "lung" or "40/400"; `stacks` says whether DICOM series and multi-frame files are "slices" or "volumes";
    `crop` takes the dark background off.

    Raises
    ------
    CohortError
        The source is missing or cannot make a cohort of two classes or more.
    OptionError
        A window, a kind of stacks or lengths that mean nothing.
    StudyError
        The cache directory is full or cannot be written.
    """
    reading = Reading(image_size, None if window is None else parse_window(window), stacks, crop, spacing_mm, box_mm)
    return read_origin(Origin.of(source, labels, columns), reading, cache=cache, progress=progress)


def read_origin(origin: Origin, reading: Reading, *, cache: Path | None = None, progress: Progress = QUIET) -> Cohort:
    """As `read_cohort`, from where a cohort was read before, or as another one was prepared (`Reading.again`)."""
    root = cache_root(cache)
    text = origin.source
    is_name = text.startswith(("demo:", "medmnist:"))
    if is_name and (origin.labels is not None or origin.columns != Columns()):
        raise OptionError(
            found=f"Labels or names of columns for {text}.", needed="A cohort that has a table.", do="Leave them out."
        )
    if text.startswith("demo:"):
        cohort = _read_drawn(text.removeprefix("demo:"), reading, root)
    elif text.startswith("medmnist:"):
        path, release = fetch(text.removeprefix("medmnist:"), root)
        cohort = _read_npz(path, reading, root, release.classes)
    else:
        cohort = _read_path(Path(text), origin, reading, root, progress)
    _check_classes(cohort)
    return replace(cohort, origins=(origin,))


def join_test(cohort: Cohort, other: Cohort, *, cache: Path | None = None) -> Cohort:
    """Test on another cohort: all of `cohort` becomes the pool, all of `other` the test part.

    Patients of the two are taken to be different people, since ids of two collections do not share a key; exact copies
    of one image are still found by the audit.

    Raises
    ------
    CohortError
        The classes differ, `cohort` has a test part already, or the images do not fit together.
    """
    if (cohort.parts == "test").any():
        raise CohortError(
            found=f"--test {other.name}, but '{cohort.name}' has a test part of its own.",
            needed="One way of testing.",
            do="Drop --test, or give a manifest without the split column.",
        )
    if set(cohort.classes) != set(other.classes) or cohort.images.shape[1:] != other.images.shape[1:]:
        raise CohortError(
            found=f"'{cohort.name}' has the classes {', '.join(cohort.classes)} at {cohort.images.shape[1:]}, "
            f"'{other.name}' {', '.join(other.classes)} at {other.images.shape[1:]}.",
            needed="The same class names, and both grey or both in colour.",
            do="Rename the classes of one, or convert its images.",
        )
    at = np.array([cohort.classes.index(name) for name in other.classes])
    pair = (cohort, other)

    def join(entry: Path) -> None:
        is_deep = max(one.bit_depth for one in pair) == 16
        widened = [_at_depth(one.images, is_deep=is_deep) for one in pair]
        np.save(entry / "pixels.npy", np.concatenate(widened))

    key = key_of("joined", *(one.store.parent.name for one in pair))
    images = cached(cache_root(cache), "images", key, join, lambda entry: read_array(entry / "pixels.npy"))
    shared = [name for name in cohort.columns if name in other.columns]
    return replace(
        cohort,
        name=f"{cohort.name} tested on {other.name}",
        tested_on=other.name,
        images=images,
        store=cache_root(cache) / "images" / key / "pixels.npy",
        labels=np.concatenate([cohort.labels, at[other.labels]]),
        patients=np.concatenate([cohort.patients, cohort.patients.max() + 1 + other.patients]),
        patients_known=cohort.patients_known and other.patients_known,
        parts=np.concatenate([cohort.parts, np.full(len(other.labels), "test")]),
        contents=np.concatenate([cohort.contents, other.contents]),
        files=tuple(f"{one.name}/{file}" for one in pair for file in one.files),
        heights=np.concatenate([cohort.heights, other.heights]),
        widths=np.concatenate([cohort.widths, other.widths]),
        bit_depth=max(one.bit_depth for one in pair),
        columns={name: np.concatenate([one.columns[name] for one in pair]) for name in shared},
        unreadable={f"{one.name}/{file}": why for one in pair for file, why in one.unreadable.items()},
        n_unlabelled=cohort.n_unlabelled + other.n_unlabelled,
        notes={**other.notes, **cohort.notes},
        origins=cohort.origins + other.origins,
    )


def _at_depth(images: UInt[np.ndarray, "image ..."], *, is_deep: bool) -> UInt[np.ndarray, "image ..."]:
    return images * np.uint16(257) if is_deep and images.dtype == np.uint8 else images


def _read_path(path: Path, origin: Origin, reading: Reading, root: Path, progress: Progress) -> Cohort:
    labels = None if origin.labels is None else Path(origin.labels)
    if labels is not None and not path.is_dir():
        raise OptionError(
            found=f"--labels {labels.name} with {path.name}.",
            needed="A folder of images for the labels of a table.",
            do="Name the folder, or leave --labels out.",
        )
    try:
        if path.is_dir() and labels is not None:
            manifest, n_unmatched = _labelled(path, labels, origin.columns, root, progress)
            cohort = _read_files(path.name, manifest, reading, root, progress)
            return replace(cohort, n_unlabelled=cohort.n_unlabelled + n_unmatched)
        if path.is_dir():
            return _read_files(path.name, read_folder(path), reading, root, progress)
        if path.is_file() and is_table_name(path.name):
            return _read_files(_name_of_table(path), read_table(path, origin.columns), reading, root, progress)
        if path.is_file() and path.suffix.lower() == ".npz":
            return _read_npz(path, reading, root, classes_of_file(path.stem))
    except PermissionError as error:
        raise CohortError(
            found=f"{path} may not be read.", needed="Permission to read it.", do="Ask whoever owns it, or copy it."
        ) from error
    found = f"{path} is a file of another kind." if path.exists() else f"{path} is not there."
    raise CohortError(
        found=found,
        needed="A folder of class folders, a table (.csv, .tsv, .xlsx, .parquet, .json), an .npz, demo:NAME or "
        "medmnist:NAME.",
        do="Check the path; 'medladder data list' shows the names.",
    )


def _labelled(folder: Path, labels: Path, columns: Columns, root: Path, progress: Progress) -> tuple[Manifest, int]:
    """The files of a folder that a table has labels for, and how many it has none for."""
    table, names = read_labels(labels, columns), read_listing(folder)
    facts: list[Mapping[str, str]] = [{} for _ in names]
    if table.key != "path":
        headers = look_at_files(folder, names, root=root, progress=progress)
        facts = [header.facts if isinstance(header, Header) else {} for header in headers]
    rows = join(table, facts, names)
    kept = [place for place, row in enumerate(rows) if row >= 0]
    chosen = [rows[place] for place in kept]
    manifest = Manifest(
        folder=folder,
        names=tuple(names[place] for place in kept),
        labels=tuple(table.labels[row] for row in chosen),
        parts=tuple(table.parts[row] for row in chosen),
        patients=None if table.patients is None else tuple(table.patients[row] for row in chosen),
        columns={name: tuple(values[row] for row in chosen) for name, values in table.columns.items()},
        n_unlabelled=table.n_unlabelled,
    )
    return manifest, len(names) - len(kept)


def _name_of_table(path: Path) -> str:
    """The folder says more than «labels» does."""
    return path.resolve().parent.name if path.stem.lower() in ("labels", "manifest", "index") else path.stem


def _read_files(name: str, manifest: Manifest, reading: Reading, root: Path, progress: Progress) -> Cohort:
    manifest = _expanded(manifest)
    prepared = prepare_files(manifest.folder, manifest.names, reading, root=root, progress=progress)
    prepared = _with_one_label_each(prepared, manifest.labels)
    at = prepared.positions
    classes, labels = _classes(manifest.labels)
    facts = prepared.facts
    return _cohort(
        name,
        prepared,
        labels=labels[at],
        classes=classes,
        patients=_patients(manifest, facts, at),
        parts=np.array(manifest.parts)[at],
        files=tuple(_file(manifest, place, frame) for place, frame in zip(at, facts.frames, strict=True)),
        columns={
            **{fact: facts.told[fact] for fact in COVARIATES if fact in facts.told},
            **{column: np.array(values)[at] for column, values in manifest.columns.items()},
        },
        unreadable={manifest.names[i]: reason for i, reason in prepared.unreadable.items()},
        n_unlabelled=manifest.n_unlabelled,
        ignored=manifest.ignored,
        notes=facts.notes,
    )


def _file(manifest: Manifest, place: int, frame: int) -> str:
    return manifest.names[place] if frame < 0 else f"{manifest.names[place]}[{frame}]"


def _expanded(manifest: Manifest) -> Manifest:
    """Rows of folders, such as a DICOM series each, become rows of the files in them."""
    names = [
        [name] if not (manifest.folder / name).is_dir()
        else [f"{name.rstrip('/')}/{file}" for file in read_listing(manifest.folder / name)]
        for name in manifest.names
    ]  # fmt: skip
    if all(len(one) == 1 and one[0] == name for one, name in zip(names, manifest.names, strict=True)):
        return manifest
    rows = [row for row, files in enumerate(names) for _ in files]

    def spread(values: Sequence[str]) -> tuple[str, ...]:
        return tuple(values[row] for row in rows)

    return replace(
        manifest,
        names=tuple(file for files in names for file in files),
        labels=spread(manifest.labels),
        parts=spread(manifest.parts),
        patients=None if manifest.patients is None else spread(manifest.patients),
        columns={column: spread(values) for column, values in manifest.columns.items()},
    )


def _with_one_label_each(prepared: PreparedImages, labels: Sequence[str]) -> PreparedImages:
    """Without series whose slices were given several labels: no one knows which is right."""
    members = prepared.facts.members
    mixed = [row for row, places in enumerate(members) if len({labels[place] for place in places}) > 1]
    if not mixed:
        return prepared
    kept = [row for row in range(len(members)) if row not in set(mixed)]
    refused = {members[row][0]: phrase("the slices of its series have several labels") for row in mixed}
    return replace(
        prepared,
        pixels=prepared.pixels[kept],
        facts=prepared.facts.of(kept),
        unreadable={**prepared.unreadable, **refused},
    )


def _patients(manifest: Manifest, facts: Facts, at: Int[np.ndarray, " image"]) -> Shaped[np.ndarray, " image"] | None:
    """Whose each image is: by the table, else by the images' own ids where all of them have one."""
    if manifest.patients is not None:
        return np.array(manifest.patients)[at]
    told = facts.told.get("patient")
    return told if told is not None and (told != "").all() else None


def _read_npz(path: Path, reading: Reading, root: Path, names: Sequence[str] | None) -> Cohort:
    archive = read_archive(path)
    prepared = prepare_arrays(archive.images, reading, root=root)
    present = np.unique(archive.labels)
    named = names is not None and present.tolist() == list(range(len(names)))
    classes = tuple(names[i] if names is not None and named else str(i) for i in present.tolist())
    return _cohort(
        path.stem,
        prepared,
        labels=np.searchsorted(present, archive.labels),
        classes=classes,
        patients=None,
        parts=np.array(archive.parts),
        files=tuple(f"{path.name}[{i}]" for i in range(len(archive.labels))),
    )


def _read_drawn(name: str, reading: Reading, root: Path) -> Cohort:
    from . import phantoms

    drawn = phantoms.draw(name)
    images = drawn.images if drawn.images.ndim == 4 else drawn.images[..., None]
    return _cohort(
        name,
        prepare_arrays(images, reading, root=root),
        labels=drawn.labels,
        classes=drawn.classes,
        patients=drawn.patients,
        parts=np.array(drawn.parts),
        files=tuple(f"{name}[{i}]" for i in range(len(drawn.labels))),
        columns={key: np.array(values).astype(np.str_) for key, values in drawn.covariates.items()},
    )


def _cohort(
    name: str,
    prepared: PreparedImages,
    *,
    labels: Int[np.ndarray, " image"],
    classes: tuple[str, ...],
    patients: Shaped[np.ndarray, " image"] | None,
    parts: Shaped[np.ndarray, " image"],
    files: tuple[str, ...],
    columns: Mapping[str, Shaped[np.ndarray, " image"]] | None = None,
    unreadable: Mapping[str, str] | None = None,
    n_unlabelled: int = 0,
    ignored: Mapping[str, int] | None = None,
    notes: Mapping[str, int] | None = None,
) -> Cohort:
    return Cohort(
        name=name,
        images=prepared.pixels,
        store=prepared.path,
        labels=labels.astype(np.int64),
        classes=classes,
        patients=np.arange(len(labels)) if patients is None else _numbered(patients),
        patients_known=patients is not None,
        parts=parts,
        contents=np.array(prepared.facts.contents),
        files=files,
        heights=prepared.facts.heights,
        widths=prepared.facts.widths,
        bit_depth=prepared.bit_depth,
        preparation=prepared.preparation,
        columns=columns or {},
        unreadable=unreadable or {},
        n_unlabelled=n_unlabelled,
        ignored=ignored or {},
        notes=notes or {},
    )


def _classes(texts: Sequence[str]) -> tuple[tuple[str, ...], Int[np.ndarray, " image"]]:
    """Class names in order, whole numbers by value and not as text, and each image's class."""
    present = sorted(set(texts), key=lambda text: (0, int(text), text) if text.isdecimal() else (1, 0, text))
    place = {text: i for i, text in enumerate(present)}
    return tuple(present), np.array([place[text] for text in texts], dtype=np.int64)


def _numbered(identifiers: Shaped[np.ndarray, " image"]) -> Int[np.ndarray, " image"]:
    """Patients by number in order of appearance, so that no identifier goes further than here."""
    _, first, inverse = np.unique(identifiers, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]


def _check_classes(cohort: Cohort) -> None:
    counts = np.bincount(cohort.labels, minlength=len(cohort.classes))
    present = [name for name, n in zip(cohort.classes, counts, strict=True) if n]
    if len(present) < 2:
        raise CohortError(
            found=f"'{cohort.name}' has {len(present)} class with readable images: {', '.join(present)}.",
            needed="Two classes or more to tell apart.",
            do="Name the folder whose inner folders are the classes, or check the label column.",
        )
    if len(present) < len(cohort.classes):
        gone = next(name for name, n in zip(cohort.classes, counts, strict=True) if not n)
        raise CohortError(
            found=f"None of the images of class '{gone}' can be read.",
            needed="Readable images of every class.",
            do="Export them again, or leave the class out.",
        )
