"""Lists of images in JSON, as COCO and as MONAI write them, made into tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import CohortError, OptionError
from ..images.names import DICOM, RASTER, VOLUMES, ending_of
from .cells import MAX_CELLS, Table, build_table, read_bytes, refuse_cells, shown, text_of
from .columns import Columns
from .rows import PARTS

_FORMS = (
    'As {"images": …, "annotations": …, "categories": …}, or as {"training": [{"image": "a.nii.gz", "label": 1}, …]}.'
)


def read_list(path: Path, columns: Columns) -> tuple[Table, Columns]:
    """Read a JSON list as a table, and say what its columns are called.

    COCO: `images`, `annotations` and `categories`; an image has at most one category. MONAI: a list of objects with
    `image` and `label`, or such lists under `training`, `validation` and `test`. Further single values are columns.

    Raises
    ------
    CohortError
        Not JSON in UTF-8, another form of list, a label that is an image (a segmentation), several categories an
        image, or no table (`build_table`).
    OptionError
        A name for a column that the form of the list fixes.
    """
    told = _parse(path)
    if isinstance(told, dict) and "images" in told:
        _check_free(path, columns, ("path", "label"))
        entries = _coco_entries(path, told)
        own = replace(columns, path="file_name", label="category")
    else:
        own = replace(columns, path=columns.path or "image", label=columns.label or "label")
        by_part = isinstance(told, dict)
        if by_part:
            _check_free(path, columns, ("split",))
            own = replace(own, split="split")
        entries = _monai_entries(path, told, own)
    return build_table(path.name, _lines(path, entries)), own


def _refuse(path: Path, found: str, do: str = _FORMS) -> CohortError:
    return CohortError(
        found=f"{path.name}: {found}.", needed="A list of images as COCO or MONAI write it, in JSON.", do=do
    )


def _parse(path: Path) -> object:
    content = read_bytes(path)
    if sum(content.count(mark) for mark in (b",", b"[", b"{")) > MAX_CELLS:
        raise refuse_cells(path.name)
    try:
        return json.loads(content.decode("utf-8-sig"), object_pairs_hook=_object)
    except UnicodeDecodeError as error:
        raise _refuse(path, f"not UTF-8 text ({error.reason} at byte {error.start})", "Save it as UTF-8.") from error
    except RecursionError as error:
        raise _refuse(path, "lists within lists deeper than Python reads") from error
    except ValueError as error:
        raise _refuse(path, f"not JSON ({error})", "Mend it there, or write it again.") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key '{shown(next(key for key in keys if keys.count(key) > 1))}' stands twice in one")
    return made


def _check_free(path: Path, columns: Columns, fixed: Sequence[str]) -> None:
    given = columns.given()
    for meaning in fixed:
        if meaning in given:
            raise OptionError(
                found=f"--{meaning}-column {given[meaning]}, but {path.name} is a list in JSON.",
                needed=f"A table: this form of list says itself where the {meaning} stands.",
                do=f"Drop --{meaning}-column.",
            )


def _objects(path: Path, told: object, what: str) -> list[dict[str, Any]]:
    if not isinstance(told, list) or not all(isinstance(entry, dict) for entry in told):
        raise _refuse(path, f"'{shown(what)}' is not a list of objects")
    return told


def _identity(path: Path, entry: Mapping[str, Any], key: str) -> int | str:
    value = entry.get(key)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise _refuse(path, f"an entry has no '{key}' that is a whole number or text")
    return value


def _coco_entries(path: Path, told: Mapping[str, Any]) -> list[dict[str, Any]]:
    images = _objects(path, told["images"], "images")
    names: dict[int | str, str] = {}
    for category in _objects(path, told.get("categories"), "categories"):
        key = _identity(path, category, "id")
        if key in names:
            raise _refuse(path, f"two categories have the id {shown(str(key))}")
        names[key] = _cell(path, category, "name")
    places = {_identity(path, image, "id"): place for place, image in enumerate(images)}
    if len(places) < len(images):
        raise _refuse(path, f"{len(images) - len(places)} images have the id of another")
    labels: list[str] = [""] * len(images)
    for annotation in _objects(path, told.get("annotations"), "annotations"):
        image, category_id = _identity(path, annotation, "image_id"), _identity(path, annotation, "category_id")
        if image not in places or category_id not in names:
            what = f"image_id {shown(str(image))}" if image not in places else f"category_id {shown(str(category_id))}"
            raise _refuse(path, f"an annotation has the {what}, which is nowhere defined")
        place, name = places[image], names[category_id]
        if labels[place] not in ("", name):
            raise CohortError(
                found=f"{path.name} gives {shown(str(images[place].get('file_name')))} the categories "
                f"{shown(labels[place])} and {shown(name)}.",
                needed="One category an image; medladder tells classes apart and finds no objects.",
                do="Keep the category that is to be predicted.",
            )
        labels[place] = name
    further = [{key: value for key, value in image.items() if key not in ("id", "category")} for image in images]
    return [{**entry, "category": label} for entry, label in zip(further, labels, strict=True)]


def _monai_entries(path: Path, told: object, columns: Columns) -> list[dict[str, Any]]:
    if isinstance(told, dict):
        parts = {key: value for key, value in told.items() if key.lower() in PARTS}
        if not parts:
            raise _refuse(path, "neither 'images' nor 'training' stands at the top")
        entries = []
        for part, listed in parts.items():
            # As the Medical Segmentation Decathlon writes its test part: paths alone, without labels.
            bare = [{"image": e} if isinstance(e, str) else e for e in listed] if isinstance(listed, list) else listed
            for entry in _objects(path, bare, part):
                if "split" in entry:
                    raise _refuse(path, f"an entry under '{shown(part)}' has a 'split' of its own", "Keep one of them.")
                entries.append({**entry, "split": part})
    else:
        entries = list(_objects(path, told, "the whole"))
    for meaning, key in {"path": "image", "label": "label"}.items():
        if getattr(columns, meaning) == key and entries and not any(key in entry for entry in entries):
            raise _refuse(path, f"no entry has '{key}'", f"Say --{meaning}-column and the key that stands for it.")
    for entry in entries:
        _check_label(path, entry.get(columns.label or "label"))
    return entries


def _check_label(path: Path, label: object) -> None:
    is_mask = isinstance(label, str) and ending_of(label.strip()) in RASTER | VOLUMES | DICOM
    if is_mask or isinstance(label, list | dict):
        said = f"'{shown(label)}', an image" if isinstance(label, str) else "a list of several values"
        raise CohortError(
            found=f"{path.name} has a label that is {said}.",
            needed="The class of each image, as a word or a number; medladder tells classes apart and learns no "
            "segmentation.",
            do="Write the class under 'label', and leave the segmentation out.",
        )


def _cell(path: Path, entry: Mapping[str, Any], key: str) -> str:
    try:
        return text_of(entry.get(key))
    except TypeError as error:
        raise _refuse(path, f"'{shown(key)}' is a list or an object where a single value is needed") from error


def _lines(path: Path, entries: Sequence[Mapping[str, Any]]) -> list[tuple[int, list[str]]]:
    """The header and a row an entry, of all keys that hold single values; an image is one file, never several."""
    keys = {key: "" for entry in entries for key, value in entry.items() if not isinstance(value, list | dict)}
    for entry in entries:
        for key in ("image", "file_name"):
            _cell(path, entry, key)
    if len(keys) * len(entries) > MAX_CELLS:
        raise refuse_cells(path.name)
    rows = [
        ["" if isinstance(entry.get(key), list | dict) else _cell(path, entry, key) for key in keys]
        for entry in entries
    ]
    return [(0, [key.strip() for key in keys]), *enumerate(rows, start=1)]
