"""A model's folder is opened as it was written or not at all, and nothing outside it is."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import medladder as ml
from medladder.errors import ModelError
from medladder.models.record import ModelRecord


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small models, one of numbers alone and one with trees."""
    folder, rng = tmp_path_factory.mktemp("originals"), np.random.default_rng(1)
    labels = np.arange(40) % 2
    images = (rng.normal(100, 30, (40, 8, 8)) + 40 * labels[:, None, None]).clip(0, 255).astype(np.uint8)
    np.savez(folder / "squares.npz", train_images=images, train_labels=labels)
    cohort = ml.read_cohort(folder / "squares.npz", cache=folder / "cache")
    for rung in ("dnn:widths=6-4,epochs=2,members=2", "forest:trees=5"):
        ml.fit_model(cohort, folder / rung.partition(":")[0], rung=rung, jobs=1, cache=folder / "cache")
    return folder


@pytest.fixture(params=["dnn", "forest"])
def model(request: pytest.FixtureRequest, originals: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(originals / request.param, tmp_path / "model"))


def facts(model: Path) -> dict[str, Any]:
    return dict(json.loads((model / "model.json").read_text("utf-8")))


def rewrite(model: Path, **changed: Any) -> None:
    """Change facts as someone would who knows how the identity is made."""
    data = {**facts(model), **changed}
    files = {
        path.relative_to(model).as_posix(): {
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "bytes": path.stat().st_size,
        }
        for path in model.rglob("*")
        if path.is_file() and path.name not in ("model.json", "MODEL_CARD.md")
    }
    plain = {name: value for name, value in data.items() if name not in ("identity", "files")}
    plain["files"] = changed.get("files", files)
    digest = hashlib.sha256(json.dumps(plain, sort_keys=True, allow_nan=False).encode()).hexdigest()
    (model / "model.json").write_text(json.dumps({**plain, "identity": digest}), "utf-8")


def test_what_was_written_is_opened(model: Path) -> None:
    opened = ml.read_model(model)
    assert opened.record.identity == facts(model)["identity"]
    assert {path.name for path in model.iterdir()} >= {"model.json", "weights.safetensors", "MODEL_CARD.md"}
    assert not any(path.suffix in (".pkl", ".pickle", ".pt", ".joblib", ".npy") for path in model.rglob("*"))
    rewrite(model)  # the tests' own way of making an identity is the record's
    assert ml.read_model(model).record.identity == opened.record.identity


def test_the_card_may_be_edited(model: Path) -> None:
    (model / "MODEL_CARD.md").write_text("Filled in by hand.")
    ml.read_model(model)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_file_cut_anywhere_is_refused(model: Path, share: float) -> None:
    for name in [*facts(model)["files"], "model.json"]:
        whole = (model / name).read_bytes()
        (model / name).write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(ModelError, match="cannot be trusted"):
            ml.read_model(model)
        (model / name).write_bytes(whole)
    ml.read_model(model)


def test_a_changed_byte_is_refused_wherever_it_is(model: Path) -> None:
    rng = np.random.default_rng(0)
    for name in facts(model)["files"]:
        whole = bytearray((model / name).read_bytes())
        for place in rng.integers(len(whole), size=5):
            changed = whole.copy()
            changed[place] ^= 1
            (model / name).write_bytes(changed)
            with pytest.raises(ModelError, match=f"{name} was changed after it was written"):
                ml.read_model(model)
        (model / name).write_bytes(whole)


def test_a_missing_file_is_refused(model: Path) -> None:
    for name in [*facts(model)["files"], "model.json"]:
        (model / name).rename(model / "away")
        with pytest.raises(ModelError, match=r"missing|holds no model.json"):
            ml.read_model(model)
        (model / "away").rename(model / name)


def test_an_edited_fact_is_refused(model: Path) -> None:
    data = facts(model)
    data["decision"]["weights"] = [0.01, 0.99]
    (model / "model.json").write_text(json.dumps(data), "utf-8")
    with pytest.raises(ModelError, match="it was changed after it was written"):
        ml.read_model(model)


def test_a_newer_protocol_is_named(model: Path) -> None:
    rewrite(model, protocol=2)
    with pytest.raises(ModelError, match="has protocol 2"):
        ml.read_model(model)


@pytest.mark.parametrize(
    "text", ["", "no json", "[]", "{}", '{"protocol": 1}', '{"protocol": "1"}', "[" * 100_000, "null"]
)
def test_foreign_facts_are_refused(model: Path, text: str) -> None:
    (model / "model.json").write_text(text, "utf-8")
    with pytest.raises(ModelError, match="cannot be trusted"):
        ml.read_model(model)


@pytest.mark.parametrize(
    "changed",
    [
        {"classes": ["one"]},
        {"classes": ["same", "same"]},
        {"classes": [1, 2]},
        {"classes": ["a", "b", "c"]},
        {
            "image": {
                "shape": [10**9, 10**9],
                "bit_depth": 8,
                "preparation": {"size": [8, 8], "resampling": "", "protocol": 1},
            }
        },
        {"image": {"shape": [8, 9], "bit_depth": 8, "preparation": {"size": [8, 9], "resampling": "", "protocol": 1}}},
        {"calibration": {"slope": -1.0, "bias": [0.0, 0.0], "rule": "none", "images": 0}},
        {"calibration": {"slope": 1.0, "bias": [0.0], "rule": "none", "images": 0}},
        {"decision": {"weights": [0.0, 1.0], "rule": "prevalence"}},
        {"decision": {"weights": ["a", 1.0], "rule": "prevalence"}},
        {"rung": {"rung": "logistic", "kind": "logistic", "family": "conventional", "settings": {}}},
        {"rung": {"rung": "nix", "kind": "nix", "family": "deep", "settings": {}}},
        {
            "rung": {
                "rung": "pretrained:backbone=/etc/passwd",
                "kind": "pretrained",
                "family": "transfer",
                "settings": {"backbone": "/etc/passwd@0123456789ab"},
            }
        },
        {"rung": {"rung": "dnn:depth=1000000000000", "kind": "dnn", "family": "deep", "settings": {}}},
        {"image": {"shape": [8, 8], "bit_depth": 8, "preparation": {"size": [4, 4], "resampling": "", "protocol": 1}}},
        {"rebuilding": {}},
        {"training": []},
        {"self_test": [[2.0, -1.0]] * 4},
        {"extra": 1},
    ],
    ids=str,
)
def test_facts_that_no_model_has_are_refused_whoever_signed_them(model: Path, changed: dict[str, Any]) -> None:
    rewrite(model, **changed)
    with pytest.raises(ModelError, match=r"cannot be trusted|answers otherwise"):
        ml.read_model(model)


def test_files_outside_are_never_named(model: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.safetensors"
    shutil.copy(model / "weights.safetensors", outside)
    fact = facts(model)["files"]["weights.safetensors"]
    for name in (
        "../outside.safetensors",
        str(outside),
        "backbone/../../outside.safetensors",
        "backbone/..",
        "other.bin",
    ):
        rewrite(model, files={**facts(model)["files"], name: fact})
        with pytest.raises(ModelError, match="it names a file that no model has"):
            ml.read_model(model)
        rewrite(model)


def test_links_are_not_followed(model: Path, tmp_path: Path) -> None:
    for name in ("weights.safetensors", "model.json"):
        shutil.move(model / name, tmp_path / "outside")
        (model / name).symlink_to(tmp_path / "outside")
        with pytest.raises(ModelError, match="is a link"):
            ml.read_model(model)
        (model / name).unlink()
        shutil.move(tmp_path / "outside", model / name)
    ml.read_model(model)


@pytest.mark.parametrize("how", ["fewer", "other shape", "other kind", "not a number", "other numbers"])
def test_weights_that_do_not_fit_are_refused_whoever_signed_them(originals: Path, tmp_path: Path, how: str) -> None:
    model = Path(shutil.copytree(originals / "dnn", tmp_path / "model"))
    arrays = safetensors.numpy.load_file(model / "weights.safetensors")
    name = next(name for name in sorted(arrays) if name.startswith("rung/") and arrays[name].ndim == 2)
    if how == "fewer":
        del arrays[name]
    else:
        arrays[name] = {
            "other shape": arrays[name][:-1],
            "other kind": arrays[name].astype(np.int64),
            "not a number": np.full_like(arrays[name], np.nan),
            "other numbers": arrays[name] * 40,
        }[how]
    safetensors.numpy.save_file(
        {key: np.ascontiguousarray(value) for key, value in arrays.items()}, model / "weights.safetensors"
    )
    rewrite(model)
    with pytest.raises(ModelError, match=r"cannot be trusted|answers otherwise"):
        ml.read_model(model)


def test_a_record_survives_its_file(model: Path) -> None:
    data = facts(model)
    record = ModelRecord.from_json(data)
    assert record.to_json() == data
    assert replace(record, classes=("left", "right")).identity != record.identity


def test_nothing_is_left_where_writing_failed(originals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cohort = ml.read_cohort(originals / "squares.npz", cache=originals / "cache")

    def full(*_args: Any, **_kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("medladder.models.folder.os.fsync", full)
    with pytest.raises(ModelError, match="No space left"):
        ml.fit_model(cohort, tmp_path / "model", rung="prior", jobs=1, cache=originals / "cache")
    assert list(tmp_path.iterdir()) == []


def test_the_rung_decides_which_files_there_are(originals: Path) -> None:
    files: Callable[[str], set[str]] = lambda name: {path.name for path in (originals / name).iterdir()}  # noqa: E731
    shared = {"model.json", "weights.safetensors", "MODEL_CARD.md"}
    assert files("dnn") == shared | {"model.onnx", "inspection.json", "pictures"}
    assert files("forest") == shared | {"trees.skops"}


def test_a_model_prepared_another_way_is_refused(model: Path) -> None:
    """Other pixels from the same file would give other answers, and no one would know."""
    image = facts(model)["image"]
    for name, other in (("protocol", 1), ("resampling", "nearest")):
        rewrite(model, image={**image, "preparation": {**image["preparation"], name: other}})
        with pytest.raises(ModelError, match="preparation is not what a model has"):
            ml.read_model(model)


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "1" + "0" * 400])
def test_numbers_that_no_json_should_hold_are_refused(model: Path, number: str) -> None:
    text = (model / "model.json").read_text("utf-8")
    for name in ('"slope": ', '"seed": '):
        start = text.index(name) + len(name)
        end = min(text.index(mark, start) for mark in (",", "\n") if mark in text[start:])
        (model / "model.json").write_text(text[:start] + number + text[end:], "utf-8")
        with pytest.raises(ModelError, match="cannot be trusted"):
            ml.read_model(model)
