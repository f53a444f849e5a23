"""The folder of a model: written whole or not at all, and opened only if it is what was written.

Nothing in it is code: `model.json` holds facts, `weights.safetensors` numbers, `trees.skops` trees whose every part is
on a fixed list. `model.onnx` is for others and never read here. No file outside the folder is opened.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors
import safetensors.numpy

from medladder import rungs
from medladder.errors import InputError, ModelError, OptionError
from medladder.images.pictures import to_png
from medladder.record.folder import INSPECTION_PROTOCOL
from medladder.weights.freezing import Frozen, freeze, thaw

from .backbone_copy import BACKBONE, copy_backbone, rung_with_copy
from .card import write_card
from .graph import can_graph, to_graph
from .likeness import Likeness
from .model import Model, self_test_images
from .record import PROTOCOL, ModelRecord

if TYPE_CHECKING:
    from medladder.inspection.whole import Inspection

RECORD, WEIGHTS, TREES, GRAPH, CARD, INSPECTION, PICTURES = (
    "model.json",
    "weights.safetensors",
    "trees.skops",
    "model.onnx",
    "MODEL_CARD.md",
    "inspection.json",
    "pictures",
)

LARGEST_RECORD = 2**26
"""Bytes of a model.json: no cohort's facts need more."""

LONGEST_RUNG = 500
"""Characters of a rung with all its settings."""

SELF_TEST_TOLERANCE = 0.01
"""Another processor rounds otherwise, and a tree may then turn the other way; a library that changed does more."""


def write_model(
    record: ModelRecord,
    rung: Any,
    likeness: Likeness,
    trained_on: np.ndarray,
    out: Path,
    backbone: Path | None = None,
    looked: Inspection | None = None,
) -> Model:
    """Write a model into `out`, a new folder, and open it from there.

    Of an inspection what was drawn from the network alone is written, and no patient's image.

    Raises
    ------
    ModelError
        `out` is not empty, or cannot be written.
    """
    check_out(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        try:
            unfinished.chmod(0o777 & ~_umask())
            _write(unfinished, record, rung, likeness, trained_on, backbone, looked)
            model = read_model(unfinished)  # what cannot be opened again is not handed over
            if out.is_dir():
                out.rmdir()  # empty, as was checked
            unfinished.rename(out)
            if backbone is not None:
                model = read_model(out)  # the copy is asked again and again, and where it lies has changed
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        raise ModelError(
            found=f"{out} cannot be written ({error.strerror}).",
            needed="Room and permission for a new folder.",
            do="Make room, or use another --out.",
        ) from error
    return model


def check_out(out: Path) -> None:
    """Refuse a place where something stands, before anything is fitted; raises ModelError."""
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise ModelError(
            found=f"{out} is not empty." if out.is_dir() else f"{out} is a file.",
            needed="A new or empty folder: a model is never written over.",
            do="Use another --out.",
        )


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _write(
    folder: Path,
    record: ModelRecord,
    rung: Any,
    likeness: Likeness,
    trained_on: np.ndarray,
    backbone: Path | None,
    looked: Inspection | None,
) -> None:
    frozen = freeze(rung)
    arrays = {f"rung/{name}": array for name, array in frozen.arrays.items()}
    arrays |= {f"unlike/{name}": array for name, array in likeness.to_arrays().items()}
    arrays["trained_on"] = trained_on
    safetensors.numpy.save_file({name: np.ascontiguousarray(a) for name, a in arrays.items()}, folder / WEIGHTS)
    if frozen.trees is not None:
        (folder / TREES).write_bytes(frozen.trees)
    if backbone is not None:
        copy_backbone(backbone, folder)
    if looked is not None:
        facts = {"protocol": INSPECTION_PROTOCOL, **looked.facts_alone(with_tiles=True)}
        text = json.dumps(facts, indent=1, ensure_ascii=False, allow_nan=False)
        (folder / INSPECTION).write_text(text + "\n", "utf-8")
        (folder / PICTURES).mkdir()
        for name, pixels in looked.tiles.items():
            (folder / PICTURES / name).write_bytes(to_png(pixels))
    record = replace(record, rebuilding=frozen.facts)
    draft = Model(record, rung, likeness, trained_on)
    if can_graph(rung):
        graph = to_graph(rung, draft.calibration, record.shape, record.classes)
        (folder / GRAPH).write_bytes(graph.SerializeToString())
    answers = draft.predict_proba(self_test_images(record.shape)).tolist()
    record = replace(record, self_test=tuple(map(tuple, answers)), files=_hashes(folder))
    (folder / CARD).write_text(write_card(record), "utf-8")
    text = json.dumps(record.to_json(), indent=1, ensure_ascii=False, allow_nan=False)
    (folder / RECORD).write_text(text + "\n", "utf-8")
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(0o666 & ~_umask())  # safetensors writes for the owner alone
            with path.open("rb") as file:
                os.fsync(file.fileno())


def _hashes(folder: Path) -> dict[str, dict[str, Any]]:
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        found[path.relative_to(folder).as_posix()] = {"sha256": digest, "bytes": path.stat().st_size}
    return found


def is_model(path: Path) -> bool:
    """Whether a model's facts stand here."""
    return (path / RECORD).is_file()


def read_model(path: str | os.PathLike[str]) -> Model:
    """Open a model.

    Raises
    ------
    ModelError
        Not a model, one of a newer protocol, a file missing, cut, altered or a link, or a model that answers
        otherwise than when it was made.
    OptionError
        Its backbone cannot be opened here, as where a library is not installed.
    """
    folder = Path(path)
    record = _read_record(folder)
    # A large backbone or graph is hashed where it lies; what is opened below is read once and is what was hashed.
    contents = {name: _verified(folder, name, fact) for name, fact in record.files.items()}
    if WEIGHTS not in contents:
        raise _damaged(folder, f"it has no {WEIGHTS}")
    try:
        arrays = safetensors.numpy.load(contents[WEIGHTS])
        likeness = Likeness.from_arrays(_group(arrays, "unlike/"), record.shape)
        frozen = Frozen(_group(arrays, "rung/"), dict(record.rebuilding), contents.get(TREES))
        rung = thaw(_spec_of(folder, record), record.shape, len(record.classes), frozen)
        trained_on = _trained_on(arrays)
    except (ValueError, KeyError, OptionError, safetensors.SafetensorError) as error:
        raise _damaged(folder, str(error)) from error
    model = Model(record, rung, likeness, trained_on)
    _self_test(folder, model)
    return model


def read_model_inspection(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """What was found on looking into a model's layers; None where nothing was. Raises ModelError as `read_model`."""
    folder = Path(path)
    record = _read_record(folder)
    if INSPECTION not in record.files:
        return None
    _verified(folder, INSPECTION, record.files[INSPECTION])
    try:
        found = json.loads((folder / INSPECTION).read_text("utf-8"))
        if not isinstance(found, dict) or found.get("protocol") != INSPECTION_PROTOCOL:
            raise ValueError("it is of another protocol")
    except (ValueError, RecursionError) as error:
        raise _damaged(folder, f"{INSPECTION}: {error}") from error
    return found


def _read_record(folder: Path) -> ModelRecord:
    path = folder / RECORD
    if not path.is_file() or path.is_symlink():
        what = f"{folder} is not there" if not folder.exists() else f"{folder} holds no {RECORD}"
        if path.is_symlink():
            what = f"{path} is a link"
        raise ModelError(
            found=f"{what}.",
            needed="The folder of a model, as 'medladder fit' makes it.",
            do="Check the path, or make one: medladder fit RUN --out MODEL.",
        )
    try:
        if path.stat().st_size > LARGEST_RECORD:
            raise ValueError(f"it is larger than {LARGEST_RECORD:,} bytes")
        data = json.loads(path.read_text("utf-8"))
        if not isinstance(data, dict) or not isinstance(data.get("protocol"), int):
            raise ValueError("it states no protocol")
    except (ValueError, RecursionError) as error:
        raise _damaged(folder, f"{RECORD}: {error}") from error
    if data["protocol"] != PROTOCOL:
        raise ModelError(
            found=f"{folder} has protocol {data['protocol']}.",
            needed=f"This version reads protocol {PROTOCOL}.",
            do="Use the version of medladder that wrote it, or a newer one.",
        )
    try:
        record = ModelRecord.from_json(data)
        identity = record.identity
    except (ValueError, RecursionError) as error:
        raise _damaged(folder, f"{RECORD}: {error}") from error
    if data.get("identity") != identity:
        raise _damaged(folder, f"{RECORD} does not have the identity it states: it was changed after it was written")
    return record


def _verified(folder: Path, name: str, fact: Mapping[str, Any]) -> bytes:
    """The content of one file, if it is the one that was written; of the largest, which are not opened here, none."""
    path, parts = folder / name, name.split("/")
    is_known = name in (WEIGHTS, TREES, GRAPH, INSPECTION) or (
        len(parts) == 2 and parts[0] in (BACKBONE, PICTURES) and parts[1] not in ("", ".", "..") and "\\" not in name
    )
    if not is_known:
        raise _damaged(folder, f"it names a file that no model has: {name!r}")
    if any((folder / Path(*parts[:depth])).is_symlink() for depth in range(1, len(parts) + 1)):
        raise _damaged(folder, f"{name} is a link")
    if not path.is_file():
        raise _damaged(folder, f"{name} is missing")
    if path.stat().st_size != fact["bytes"]:
        raise _damaged(folder, f"{name} has {path.stat().st_size:,} bytes instead of {fact['bytes']:,}")
    if name in (WEIGHTS, TREES):
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
    else:
        content = b""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != fact["sha256"]:
        raise _damaged(folder, f"{name} was changed after it was written")
    return content


def _spec_of(folder: Path, record: ModelRecord) -> rungs.RungSpec:
    """The rung by its name; a backbone is looked for in the folder alone."""
    text = str(record.rung["rung"])
    if "backbone" in text or "backbone" in record.rung["settings"]:
        inside = {file.partition("/")[2] for file in record.files if file.startswith(f"{BACKBONE}/")}
        return rung_with_copy(folder, record.rung, inside)
    if len(text) > LONGEST_RUNG or re.search(r"\d{7}", text):
        raise ValueError("its rung is beyond what any machine could fit")  # and laying it out would take all memory
    spec = rungs.parse_rung(text)
    if (spec.kind, spec.family) != (record.rung["kind"], record.rung["family"]):
        raise ValueError(f"rung {record.rung['rung']!r} is of another kind")
    return spec


def _group(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _trained_on(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    hashes = arrays["trained_on"]
    if hashes.ndim != 2 or hashes.shape[1] != 16 or hashes.dtype != np.uint8:
        raise ValueError("trained_on holds no content hashes")
    return hashes


def _self_test(folder: Path, model: Model) -> None:
    """Ask the questions that were asked when the model was made."""
    try:
        answers = model.predict_proba(self_test_images(model.record.shape))
    except InputError:
        raise
    except ValueError as error:  # a backbone that gives other features than its head was fitted on
        raise _damaged(folder, str(error)) from error
    expected = np.array(model.record.self_test)
    if answers.shape != expected.shape or not np.abs(answers - expected).max() <= SELF_TEST_TOLERANCE:
        versions = ", ".join(f"{name} {version}" for name, version in model.record.versions.items())
        raise ModelError(
            found=f"{folder} answers otherwise than when it was made.",
            needed="The same probabilities for the same test pattern.",
            do=f"Use the versions it was made with ({versions}), or fit it again.",
        )


def _damaged(folder: Path, reason: str) -> ModelError:
    return ModelError(
        found=f"{folder} cannot be trusted: {reason}.",
        needed="Every file as 'medladder fit' wrote it.",
        do="Copy it again from where it came, or fit it again.",
    )
