"""A fitted rung as arrays and back: the same bits for every rung, and a reason against all else that a file may say."""

from __future__ import annotations

import copy
import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import skops.io
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from medladder import rungs
from medladder.errors import OptionError
from medladder.rungs.covariates import CovariateClassifier
from medladder.rungs.draws import Draw, Guest
from medladder.rungs.features import HandCraftedFeatures
from medladder.weights.freezing import Frozen, freeze, thaw
from medladder.weights.skops_archive import read_archive, write_archive

pytestmark = pytest.mark.usefixtures("one_thread")

GREY, COLOUR, VOLUME, VECTOR = (12, 11), (9, 8, 3), (5, 8, 7, 1), (6,)
RUNGS = (
    "prior",
    "logistic",
    "logistic:penalty=2",
    "svm",
    "svm:gamma=0.3",
    "forest:trees=12",
    "forest:trees=8,depth=2",
    "boosting:rounds=4",
    "nn:epochs=1",
    "nn:epochs=1,width=7,activation=tanh,members=1",
    "dnn:epochs=1,basis=span",
    "dnn:epochs=1,depth=2,width=9,taper=0.5,standardise=false",
    "dnn:epochs=1,width=equal,taper=1,members=2",
    "cnn:epochs=1,width=8,members=2",
    "cnn:epochs=1,width=4,depth=1,standardise=false",
)


def draw_images(shape: tuple[int, ...], n: int = 33, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.random((n, *shape)) if len(shape) == 1 else rng.integers(0, 256, (n, *shape), dtype=np.uint8)


def fit(text: str, shape: tuple[int, ...], n_classes: int = 2) -> tuple[rungs.RungSpec, Any]:
    spec, images = rungs.parse_rung(text), draw_images(shape)
    rung = rungs.build(spec).set_params(random_state=0)
    return spec, rung.fit(images, np.arange(len(images)) % n_classes)


def on_disk(frozen: Frozen) -> Frozen:
    """As it comes back from a folder."""
    arrays = safetensors.numpy.load(safetensors.numpy.save(frozen.arrays)) if frozen.arrays else {}
    return Frozen(arrays, json.loads(json.dumps(frozen.facts)), frozen.trees)


# Answers


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("shape", [GREY, COLOUR, VOLUME, VECTOR], ids=["grey", "colour", "volume", "vector"])
@pytest.mark.parametrize("text", RUNGS)
def test_a_rung_that_was_frozen_answers_with_the_same_bits(text: str, shape: tuple[int, ...], n_classes: int) -> None:
    spec, rung = fit(text, shape, n_classes)
    thawed = thaw(spec, shape, n_classes, on_disk(freeze(rung)))
    new = draw_images(shape, n=20, seed=1)
    assert np.array_equal(thawed.predict_proba(new), rung.predict_proba(new))
    assert np.array_equal(thawed.predict(new), rung.predict(new))
    assert thawed.classes_.tolist() == list(range(n_classes))
    assert (thawed.n_parameters_, thawed.chosen_, thawed.n_features_in_) == (
        rung.n_parameters_,
        json.loads(json.dumps(rung.chosen_)),
        rung.n_features_in_,
    )
    assert not hasattr(thawed, "out_of_part_proba_")


def test_matrices_lie_in_memory_as_they_did() -> None:
    # How a product rounds hangs on that, and on its size: by rows, a third of these answers or more differed.
    spec, rung = fit("logistic", (10, 12), n_classes=9)
    assert not rung.coef_.flags.c_contiguous
    thawed = thaw(spec, (10, 12), 9, on_disk(freeze(rung)))
    assert thawed.coef_.strides == rung.coef_.strides
    for n in (1, 7, 64):
        asked = draw_images((10, 12), n=n, seed=n)
        assert np.array_equal(thawed.predict_proba(asked), rung.predict_proba(asked))


@pytest.mark.parametrize(
    "text", ["svm", "forest:trees=12", "boosting:rounds=4", "logistic", "dnn:epochs=1", "cnn:epochs=1"]
)
def test_default_settings_and_a_second_freezing(text: str) -> None:
    spec, rung = fit(text, GREY)
    once = freeze(thaw(spec, GREY, 2, on_disk(freeze(rung))))
    first = freeze(rung)
    assert once.facts == first.facts
    arrays, again = (read_archive(one.trees) if one.trees else one.arrays for one in (first, once))
    assert arrays.keys() == again.keys()
    assert all(np.array_equal(arrays[name], again[name]) for name in arrays)


@pytest.mark.parametrize("text", ["svm", "forest:trees=12", "boosting:rounds=4"])
def test_a_rung_fitted_on_features_takes_images_afterwards(text: str) -> None:
    spec, images = rungs.parse_rung(text), draw_images(COLOUR)
    vectors = HandCraftedFeatures().transform(images)
    rung = rungs.build(spec).set_params(random_state=0).fit(vectors, np.arange(33) % 2)
    thawed = thaw(spec, COLOUR, 2, freeze(rung))
    assert np.array_equal(thawed.predict_proba(images), rung.predict_proba(vectors))


def test_pretrained_keeps_its_head_and_finds_its_backbone(tmp_path: Path) -> None:
    backbone = write_backbone(tmp_path / "backbone.onnx")
    spec, rung = fit(f"pretrained:backbone={backbone}", COLOUR, n_classes=3)
    frozen = on_disk(freeze(rung))
    assert {name: array.shape for name, array in frozen.arrays.items()} == {"coef": (3, 4), "intercept": (3,)}
    elsewhere = backbone.rename(tmp_path / "elsewhere.onnx")
    thawed = thaw(replace(spec, files={"backbone": str(elsewhere)}), COLOUR, 3, frozen)
    backbone.write_bytes(elsewhere.read_bytes())
    new = draw_images(COLOUR, seed=1)
    assert np.array_equal(thawed.predict_proba(new), rung.predict_proba(new))
    assert str(tmp_path) not in json.dumps(frozen.facts)


def write_backbone(path: Path) -> Path:
    import onnx

    filters = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)
    made = onnx.helper.make_node
    graph = onnx.helper.make_graph(
        [
            made("Conv", ["image", "filters"], ["map"], strides=[2, 2]),
            made("Relu", ["map"], ["seen"]),
            made("ReduceMean", ["seen", "space"], ["features"], keepdims=0),
        ],
        "drawn",
        [onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, ("n", 3, "h", "w"))],
        [onnx.helper.make_tensor_value_info("features", onnx.TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(filters, "filters"), onnx.numpy_helper.from_array(np.array([2, 3]), "space")],
    )
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10), path)
    return path


@pytest.mark.parametrize("text", ["forest:trees=6", "boosting:rounds=3"])
def test_members_that_never_saw_a_class(text: str) -> None:
    # Part 0 is all of class 2 and part 1 all else: member 0 learns two classes, member 1 one.
    labels = np.array([0, 1, 2] * 12)
    spec, vectors = rungs.parse_rung(text), draw_images(VECTOR, n=36)
    draw = Draw(np.arange(36), np.where(labels == 2, 0, 1), seed=0)
    rung = rungs.build(spec).fit(vectors, labels, draw=draw)
    assert [len(member.classes_) for member in rung.members_] == [2, 1]
    thawed = thaw(spec, VECTOR, 3, freeze(rung))
    assert np.array_equal(thawed.predict_proba(vectors), rung.predict_proba(vectors))


@pytest.mark.parametrize("shape", [(16, 16), (17, 40), (64, 30, 3), (20, 28, 2), (9, 33, 21, 1)])
def test_features_are_as_many_on_larger_images(shape: tuple[int, ...]) -> None:
    n_axes = min(3, len(shape)) - (len(shape) == 3)
    small = (*(min(16, side) for side in shape[:n_axes]), *shape[n_axes:])
    counted = [HandCraftedFeatures().transform(draw_images(one, n=1)).shape[1] for one in (shape, small)]
    assert counted[0] == counted[1]


# What cannot be kept


class Own(LogisticRegression):
    pass


@pytest.mark.parametrize(
    ("rung", "reason"),
    [
        (CovariateClassifier(rungs.build(rungs.parse_rung("logistic"))), "covariates"),
        (Guest(Own()), "Own.*without pickle"),
        (Own(), "Own.*without pickle"),
        (rungs.build(rungs.parse_rung("svm")), "not fitted"),
    ],
    ids=["covariates", "guest", "own", "unfitted"],
)
def test_what_cannot_be_kept_is_refused(rung: BaseEstimator, reason: str) -> None:
    with pytest.raises(OptionError, match=reason):
        freeze(rung)


def test_a_subclass_of_a_rung_is_not_the_rung() -> None:
    _, rung = fit("prior", VECTOR)
    rung.__class__ = type("Louder", (type(rung),), {})
    with pytest.raises(OptionError, match="Louder"):
        freeze(rung)


# Plain arrays that do not fit


def refused(
    spec: rungs.RungSpec, frozen: Frozen, reason: str, shape: tuple[int, ...] = GREY, n_classes: int = 2
) -> None:
    with pytest.raises(ValueError, match=reason):
        thaw(spec, shape, n_classes, frozen)


KEPT = {
    text: fit(text, GREY) for text in ("prior", "logistic", "nn:epochs=1,width=4", "cnn:epochs=1,width=4,members=2")
}
FIRST = {"prior": "shares", "logistic": "coef"}


@pytest.mark.parametrize("text", KEPT)
def test_arrays_that_do_not_fit_are_refused(text: str) -> None:
    spec, rung = KEPT[text]
    frozen = freeze(rung)
    name = FIRST.get(text, "member1/weight2")
    array = frozen.arrays[name]
    spoilt = array.copy()
    spoilt.flat[-1] = np.nan
    for other, reason in (
        (array[..., :-1], "shape"),
        (array[None], "shape"),
        (array.astype("f2"), "float16"),
        (array.astype(array.dtype.newbyteorder(">")), "is of"),
        (spoilt, "not finite"),
        (np.where(array == array.flat[0], np.inf, array), "not finite"),
    ):
        refused(spec, replace(frozen, arrays=frozen.arrays | {name: other}), reason)
    refused(spec, replace(frozen, arrays=frozen.arrays | {"stranger": array}), "'stranger' has no place")
    refused(spec, replace(frozen, arrays={n: a for n, a in frozen.arrays.items() if n != name}), f"'{name}' is missing")
    refused(spec, replace(frozen, trees=b""), "not kept in such files")
    refused(spec, frozen, "144 values|has the shape|was fitted on", shape=(12, 12))
    refused(spec, frozen, "has the shape", n_classes=3)


def test_shares_are_shares() -> None:
    spec, rung = KEPT["prior"]
    for shares, reason in (([0.5, 0.6], "add up"), ([-0.5, 1.5], "below 0")):
        refused(spec, replace(freeze(rung), arrays={"shares": np.array(shares)}), reason)


def test_a_channels_scale_is_above_0() -> None:
    spec, rung = KEPT["cnn:epochs=1,width=4,members=2"]
    frozen = freeze(rung)
    refused(spec, replace(frozen, arrays=frozen.arrays | {"scale": np.zeros(1)}), "not above 0")


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("n_features_in_", 7, "fitted on 7 values"),
        ("n_features_in_", 132.0, "no int"),
        ("n_parameters_", 0, "no parameters"),
        ("n_parameters_", True, "no int"),
        ("chosen_", [], "no dict"),
        ("by_column", "coef", "no list"),
        ("epochs", [1.0, 2.0], "a member"),
        ("epochs", [1.0, 1.0, 1.0, 1.0, None], "a member"),
        ("epochs", [1.0, 1.0, 1.0, 1.0, -2.0], "a member"),
        ("activation", "tanh", "activation"),
        ("is_standardised", False, "is_standardised"),
        ("is_standardised", 1, "no bool"),
        ("basis", "sand", "basis"),
        ("stranger", 1, "its facts are not"),
    ],
)
def test_facts_that_do_not_fit_are_refused(name: str, value: object, reason: str) -> None:
    spec, rung = KEPT["nn:epochs=1,width=4"]
    frozen = freeze(rung)
    refused(spec, replace(frozen, facts=frozen.facts | {name: value}), reason)


def test_facts_that_are_missing_are_refused() -> None:
    spec, rung = KEPT["nn:epochs=1,width=4"]
    frozen = freeze(rung)
    for name in frozen.facts:
        refused(spec, replace(frozen, facts={n: v for n, v in frozen.facts.items() if n != name}), "its facts are not")
    refused(spec, replace(frozen, facts=[]), "its facts are not")


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("nn", {"width": 10**12}),
        ("nn", {"members": 10**12}),
        ("nn", {"members": 10**12, "width": 4}),
        ("dnn", {"depth": 10**12}),
        ("dnn", {"widths": (10**8, 10**8)}),
        ("cnn", {"members": 10**12}),
        ("cnn", {"width": 10**12}),
        ("cnn", {"depth": 10**12}),
    ],
)
def test_settings_of_a_giant_cost_nothing_to_refuse(kind: str, settings: dict[str, Any]) -> None:
    # Listing the arrays of any of these would fill the memory: that this test ends is what it shows.
    spec, rung = KEPT["cnn:epochs=1,width=4,members=2" if kind == "cnn" else "nn:epochs=1,width=4"]
    refused(
        replace(spec, kind=kind, settings=settings), freeze(rung), "with 1. arrays|with 2. arrays|has the shape|missing"
    )


@pytest.mark.parametrize("shape", [(2**15, 2**15), (2**14, 2**14, 3), (64, 64, 2**17), (2**9, 2**9, 2**9, 1)])
@pytest.mark.parametrize("text", ["logistic", "cnn:epochs=1,width=4,members=2"])
def test_images_of_a_giant_cost_nothing_to_refuse(text: str, shape: tuple[int, ...]) -> None:
    spec, rung = KEPT[text]
    frozen = freeze(rung)
    refused(spec, frozen, "fitted on 132 values", shape=shape)
    said = frozen.facts | {"n_features_in_": int(np.prod(shape))}
    refused(spec, replace(frozen, facts=said), "has the shape|missing|no place", shape=shape)


def test_features_of_a_giant_cost_nothing_to_count() -> None:
    spec, rung = fit("svm", GREY)
    assert thaw(spec, (2**15, 2**15), 2, freeze(rung)).n_features_in_ == rung.n_features_in_
    refused(spec, freeze(rung), "channels", shape=(64, 64, 2**17))


@pytest.mark.parametrize(("shape", "n_classes"), [((), 2), ((1,) * 5, 2), ((0, 4), 2), ((10**9, 10**9), 2), (GREY, 1)])
def test_no_images_and_no_classes(shape: tuple[int, ...], n_classes: int) -> None:
    spec, rung = KEPT["prior"]
    refused(spec, freeze(rung), "no rung tells", shape=shape, n_classes=n_classes)


# Archives that anyone may have written

SVM_SPEC, SVM = fit("svm", VECTOR)
GENUINE = freeze(SVM).trees or b""


def taken_apart(data: bytes) -> tuple[dict[str, Any], dict[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    return json.loads(files.pop("schema.json")), files


def put_together(schema: Any, files: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        archive.writestr("schema.json", schema if isinstance(schema, bytes) else json.dumps(schema))
    return buffer.getvalue()


def with_node(node: dict[str, Any]) -> bytes:
    """The genuine archive with something else in the place of an array."""
    schema, files = taken_apart(GENUINE)
    file = schema["content"]["offset"].get("file")
    schema["content"]["offset"] = {"__id__": 1, **node}
    return put_together(schema, {name: content for name, content in files.items() if name != file})


def node(module: str, name: str, loader: str, **more: Any) -> dict[str, Any]:
    return {"__module__": module, "__class__": name, "__loader__": loader, "__id__": 7, **more}


def text(value: str) -> dict[str, Any]:
    return node("builtins", "str", "JsonNode", content=json.dumps(value), is_json=True)


def tuple_of(*items: dict[str, Any]) -> dict[str, Any]:
    return node("builtins", "tuple", "TupleNode", content=list(items))


class Touch:
    """What an attacker would have run when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.path}",)


def pickled(path: Path) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([Touch(path)], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def hostile_nodes(sentinel: Path) -> dict[str, dict[str, Any]]:
    command = text(f"touch {sentinel}")
    system = node("os", "system", "FunctionNode")
    nothing = node(
        "builtins", "dict", "DictNode", key_types=node("builtins", "list", "ListNode", content=[]), content={}
    )
    partial = {"func": system, "args": tuple_of(command), "kwds": nothing, "namespace": nothing}
    return {
        "os.system": node("os", "system", "TypeNode"),
        "os.system as a function": system,
        "builtins.eval": node("builtins", "eval", "TypeNode"),
        "a call by reduction": node("subprocess", "Popen", "ConstructorFromReduceNode", content=tuple_of(command)),
        "a partial": node("functools", "partial", "PartialNode", content=partial),
        "a method": node("builtins", "method", "MethodNode", content={"func": "system", "obj": system}),
        "an operator": node("operator", "methodcaller", "OperatorFuncNode", attrs=tuple_of(command)),
        "an object": node("pathlib", "PosixPath", "ObjectNode"),
        "a ufunc": node("numpy", "add", "FunctionNode"),
        "a tree": node("sklearn.tree._tree", "Tree", "TreeNode"),
        "an estimator": node("sklearn.tree._classes", "DecisionTreeClassifier", "ObjectNode"),
        "a loss": node("sklearn._loss._loss", "CyHalfBinomialLoss", "LossNode"),
        "text": command,
        "a cached node": node("builtins", "dict", "CachedNode"),
        "a loader that is not there": node("os", "system", "NoSuchNode"),
        "an array's loader of another type": node("os", "system", "NdArrayNode", type="numpy", file="1.npy"),
        "a numpy number": node("numpy", "float64", "NdArrayNode", type="numpy", file="1.npy"),
    }


@pytest.mark.parametrize("what", hostile_nodes(Path()))
def test_a_schema_that_names_anything_but_arrays_is_refused(what: str, tmp_path: Path) -> None:
    found = hostile_nodes(tmp_path / "ran")[what]
    with pytest.raises(
        ValueError, match=f"it holds {found['__module__']} {found['__class__']} .* where ndarray belongs"
    ):
        read_archive(with_node(found))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("place", ["root", "keys", "key"])
def test_so_it_is_wherever_else_it_stands(place: str) -> None:
    schema, files = taken_apart(GENUINE)
    system = node("os", "system", "FunctionNode")
    if place == "root":
        schema |= system
    elif place == "keys":
        schema["key_types"] = system
    else:
        schema["key_types"]["content"][0] = system
    with pytest.raises(ValueError, match="it holds os system FunctionNode where"):
        read_archive(put_together(schema, files))


@pytest.mark.parametrize(
    "trusted_by_skops",
    [
        DecisionTreeClassifier(),
        {"offset": np.array([{"an": "object"}], dtype=object)},
        {"offset": np.add},
        {"offset": {1, 2}},
        [np.zeros(2)],
        {1: np.zeros(2)},
    ],
    ids=["estimator", "object array", "ufunc", "set", "list", "number as key"],
)
def test_what_skops_itself_would_load_is_refused(trusted_by_skops: object) -> None:
    data = skops.io.dumps(trusted_by_skops)
    skops.io.loads(data)
    with pytest.raises(ValueError, match=r"it holds|its schema|array of Python objects"):
        read_archive(data)


def test_a_pickle_in_the_place_of_an_array_is_not_run(tmp_path: Path) -> None:
    schema, files = taken_apart(GENUINE)
    files[schema["content"]["offset"]["file"]] = pickled(tmp_path / "ran")
    data = put_together(schema, files)
    with pytest.raises(ValueError, match="array of Python objects"):
        read_archive(data)
    assert not (tmp_path / "ran").exists()
    pickle.loads(pickle.dumps(Touch(tmp_path / "ran")))  # noqa: S301 - it would have run
    assert (tmp_path / "ran").exists()


def edited(edit: Callable[[dict[str, Any], dict[str, bytes]], Any]) -> bytes:
    schema, files = taken_apart(GENUINE)
    edit(schema, files)
    return put_together(schema, files)


def npy(header: str, content: bytes = b"") -> bytes:
    padded = header.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded.encode() + content


def set_file(content: bytes) -> Callable[[dict[str, Any], dict[str, bytes]], None]:
    return lambda schema, files: files.update({schema["content"]["offset"]["file"]: content})


BROKEN: dict[str, tuple[Callable[[dict[str, Any], dict[str, bytes]], Any], str]] = {
    "an older protocol": (lambda s, f: s.update(protocol=0), "protocol is 0"),
    "a newer protocol": (lambda s, f: s.update(protocol=10**6), "protocol 1000000"),
    "a protocol of truth": (lambda s, f: s.update(protocol=True), "protocol is True"),
    "a number twice": (
        lambda s, f: s["content"]["scale"].update(__id__=s["content"]["offset"]["__id__"]),
        "object twice",
    ),
    "the root's number": (lambda s, f: s["content"]["scale"].update(__id__=s["__id__"]), "object twice"),
    "no number": (lambda s, f: s["content"]["scale"].pop("__id__"), "as skops does not"),
    "more than a node says": (lambda s, f: s["content"]["scale"].update(content={}), "as skops does not"),
    "objects as JSON": (lambda s, f: s["content"]["scale"].update(type="json"), "Python objects"),
    "no dict": (lambda s, f: s.update(content=[]), "no dict of arrays"),
    "a key too few": (lambda s, f: s["key_types"]["content"].pop(), "no dict of arrays"),
    "a node that is a list": (lambda s, f: s["content"].update(scale=[]), "not one that skops writes"),
    "a file outside": (lambda s, f: s["content"]["scale"].update(file="../../etc/passwd"), "disagree"),
    "a file that no one asked for": (lambda s, f: f.update({"3.npy": b""}), "disagree"),
    "a file that climbs": (lambda s, f: f.update({"../3.npy": b""}), "file named '../3.npy'"),
    "a program": (lambda s, f: f.update({"3.py": b""}), "file named '3.py'"),
    "one file for two": (
        lambda s, f: s["content"]["scale"].update(file=s["content"]["offset"]["file"]),
        "disagree",
    ),
    "no array": (set_file(b"hello"), "NumPy did not write"),
    "an empty array file": (set_file(b""), "NumPy did not write"),
    "a header that is code": (set_file(npy("__import__('os').system('true')")), "NumPy did not write"),
    "a header without end": (set_file(npy("(" * 5000)), "NumPy did not write"),
    "a giant": (
        set_file(npy("{'descr': '<f8', 'fortran_order': False, 'shape': (9999999999, 9999999999)}")),
        "another size",
    ),
    "less than nothing": (
        set_file(npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -1)}", bytes(8))),
        "another size",
    ),
    "too few bytes": (
        set_file(npy("{'descr': '<f8', 'fortran_order': False, 'shape': (2,)}", bytes(8))),
        "another size",
    ),
    "too many bytes": (
        set_file(npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1,)}", bytes(9))),
        "another size",
    ),
    "values of no size": (set_file(npy("{'descr': '|V0', 'fortran_order': False, 'shape': (9,)}")), "or of nothing"),
    "records with an object": (
        set_file(npy("{'descr': [('a', '<f8'), ('b', '|O')], 'fortran_order': False, 'shape': (1,)}", bytes(16))),
        "Python objects",
    ),
    "an array too long to be one": (
        lambda s, f: f.update({f"{n}.npy": b"" for n in range(1001)}),
        "at most 1001 are read",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_archives_made_by_hand_are_refused(what: str) -> None:
    edit, reason = BROKEN[what]
    with pytest.raises(ValueError, match=reason):
        read_archive(edited(edit))


def test_the_unbroken_archive_is_read() -> None:
    arrays = read_archive(edited(lambda schema, files: None))
    assert np.array_equal(arrays["support_vectors"], SVM.support_vectors_)


def test_bombs_and_copies_of_files_are_refused() -> None:
    schema, files = taken_apart(GENUINE)
    with pytest.raises(ValueError, match="compressed or encrypted"):
        read_archive(put_together(schema, files | {"3.npy": bytes(2**26)}, zipfile.ZIP_DEFLATED))
    with pytest.raises(ValueError, match="schema is too long"):
        read_archive(put_together(schema | {"x": "x" * 2**20}, files))
    with pytest.raises(ValueError, match="no whole skops archive"):
        read_archive(put_together(b"[" * 10**5, files))
    with pytest.raises(ValueError, match="no schema"):
        read_archive(without_schema(files))
    with pytest.warns(UserWarning, match="Duplicate name"), pytest.raises(ValueError, match="a file twice"):
        read_archive(without_schema(files | {"schema.json": json.dumps(schema).encode()}, again=True))


def without_schema(files: dict[str, bytes], again: bool = False) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in [*files.items(), *(list(files.items())[:1] if again else [])]:
            archive.writestr(name, content)
    return buffer.getvalue()


def test_one_stretch_of_bytes_under_many_names_is_refused() -> None:
    # The directory of a zip may point as often as it likes to the same bytes, and so unpack to any size.
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("1.npy", bytes(10_000))
        for number in range(2, 40):
            alias = copy.copy(archive.getinfo("1.npy"))
            alias.filename = f"{number}.npy"
            archive.filelist.append(alias)
        archive.writestr("schema.json", "{}")
    assert len(buffer.getvalue()) < 20_000
    with pytest.raises(ValueError, match="a file twice"):
        read_archive(buffer.getvalue())


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_damage_is_a_value_error_or_does_no_harm(data: st.DataObject) -> None:
    damaged = bytearray(GENUINE)
    if data.draw(st.booleans(), label="truncated"):
        del damaged[data.draw(st.integers(0, len(damaged) - 1)) :]
    else:
        for _ in range(data.draw(st.integers(1, 4))):
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = read_archive(bytes(damaged))
    except ValueError:
        return
    assert {name: array.tolist() for name, array in found.items()} == {
        name: array.tolist() for name, array in read_archive(GENUINE).items()
    }


@given(st.binary(max_size=300))
def test_garbage_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="no whole skops archive"):
        read_archive(data)


# Numbers inside an archive that do not fit


def with_arrays(frozen: Frozen, **changes: np.ndarray) -> Frozen:
    arrays = read_archive(frozen.trees or b"")
    return replace(
        frozen, trees=write_archive(arrays | {name.replace("__", "/"): new for name, new in changes.items()})
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"support_vectors": np.zeros((3, 6), "f4")}, "has the shape"),
        ({"dual_coef": np.zeros((3, 2))}, "has the shape"),
        ({"dual_coef": np.zeros(())}, "has the shape"),
        ({"scale": np.zeros(6)}, "not above 0"),
        ({"offset": np.array([np.nan])}, "not finite"),
        ({"calibration": np.array([0.0, 0, 0])}, "backwards"),
        ({"calibration": np.array([1.0, 0, 0, 0])}, "has the shape"),
        ({"stranger": np.zeros(1)}, "no place"),
    ],
)
def test_a_machine_that_does_not_fit_is_refused(changes: dict[str, np.ndarray], reason: str) -> None:
    refused(SVM_SPEC, with_arrays(freeze(SVM), **changes), reason, VECTOR)


@pytest.mark.parametrize("gamma", [None, 0, -1.0, "1", float("inf")])
def test_a_machine_without_a_gamma_is_refused(gamma: object) -> None:
    frozen = freeze(SVM)
    refused(SVM_SPEC, replace(frozen, facts=frozen.facts | {"chosen_": {"gamma": gamma}}), "no gamma above 0", VECTOR)


FOREST_SPEC, FOREST = fit("forest:trees=10", VECTOR, 3)
BOOSTING_SPEC, BOOSTING = fit("boosting:rounds=3", VECTOR, 3)
BY_NAME = {"forest": (FOREST_SPEC, freeze(FOREST)), "boosting": (BOOSTING_SPEC, freeze(BOOSTING))}
LINKS = {
    "forest": ("left_child", "right_child", "feature", "threshold"),
    "boosting": ("left", "right", "feature_idx", "num_threshold"),
}


def with_nodes(name: str, changes: dict[str, Any], at: int = 0) -> tuple[rungs.RungSpec, Frozen]:
    spec, frozen = BY_NAME[name]
    nodes = read_archive(frozen.trees or b"")["member0/nodes"].copy()
    for field, value in changes.items():
        nodes[field][at] = value
    return spec, with_arrays(frozen, member0__nodes=nodes)


@pytest.mark.parametrize("name", BY_NAME)
def test_nodes_that_lead_astray_are_refused(name: str) -> None:
    left, right, feature, threshold = LINKS[name]
    sizes = read_archive(BY_NAME[name][1].trees or b"")["member0/sizes"]
    assert sizes[0] > 3
    for changes, reason in (
        ({left: sizes[0]}, "out of it, or back"),
        ({right: 2**31}, "out of it, or back"),
        ({left: 0}, "out of it, or back"),
        ({left: 2}, "no parent, or with two"),
        ({feature: 6}, "beyond the 6"),
        ({feature: -1}, "beyond the 6"),
        ({feature: 2**40}, "beyond the 6"),
        ({threshold: np.nan}, "not at a number"),
        ({"missing_go_to_left": 7}, "not at a number"),
    ):
        refused(*with_nodes(name, changes), reason, VECTOR, 3)
    # The last tree's first node may not look past the end, nor into the tree before it.
    last = int(sizes[:-1].sum())
    refused(*with_nodes(name, {right: sizes[-1]}, last), "out of it, or back", VECTOR, 3)
    refused(*with_nodes(name, {left: 0}, last), "out of it, or back", VECTOR, 3)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"left_child": -1}, "one child"),
        ({"right_child": -1}, "one child"),
        ({"left_child": -1, "right_child": -1}, "no parent"),
        ({"left_child": -2, "right_child": -2}, "out of it, or back"),
    ],
)
def test_nodes_of_a_forest(changes: dict[str, Any], reason: str) -> None:
    refused(*with_nodes("forest", changes), reason, VECTOR, 3)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"is_leaf": 2}, "neither a split at a number nor a leaf"),
        ({"is_leaf": 1}, "no parent"),
        ({"is_categorical": 1}, "neither a split at a number nor a leaf"),
        ({"value": np.inf}, "not finite"),
    ],
)
def test_nodes_of_a_boosting(changes: dict[str, Any], reason: str) -> None:
    refused(*with_nodes("boosting", changes), reason, VECTOR, 3)


def test_a_split_of_what_is_missing_is_at_infinity() -> None:
    spec, frozen = with_nodes("boosting", {"num_threshold": np.inf})
    assert np.isfinite(thaw(spec, VECTOR, 3, frozen).predict_proba(draw_images(VECTOR))).all()


@pytest.mark.parametrize("name", BY_NAME)
def test_members_that_do_not_fit_are_refused(name: str) -> None:
    spec, frozen = BY_NAME[name]
    arrays = read_archive(frozen.trees or b"")
    sizes, nodes = arrays["member0/sizes"], arrays["member0/nodes"]
    for changes, reason in (
        ({"member0__sizes": np.array([*sizes[:-1], sizes[-1] + 1])}, "than they say"),
        ({"member0__sizes": np.array([sizes[0] + sizes[1], 0, *sizes[2:]])}, "than they say"),
        ({"member0__sizes": np.array([-(2**62), *sizes[1:]])}, "than they say"),
        ({"member0__sizes": np.full(len(sizes), 2**62)}, "than they say"),
        ({"member0__classes": np.array([0, 1, 3])}, "not there"),
        ({"member0__classes": np.array([0, 2, 1])}, "not there"),
        ({"member0__classes": np.array([-1, 0, 1])}, "not there"),
        ({"member0__nodes": nodes[list(nodes.dtype.names[:-1])]}, "is of records"),
        ({"member0__nodes": nodes[:0]}, "has the shape|than they say"),
        ({"member0__nodes": np.zeros((2, 2), nodes.dtype)}, "has the shape"),
        ({"member5__nodes": nodes}, "no place"),
    ):
        refused(spec, with_arrays(frozen, **changes), reason, VECTOR, 3)
    for members in (0, -1, 4, 6, 10**12):
        refused(
            spec,
            replace(frozen, facts=frozen.facts | {"members": members}),
            "no place|missing|arrays|has the shape",
            VECTOR,
            3,
        )


def test_a_forest_with_other_trees_than_its_settings_is_refused() -> None:
    spec, frozen = BY_NAME["forest"]
    refused(replace(spec, settings={"trees": 20}), frozen, "has the shape", VECTOR, 3)
    refused(replace(spec, settings={"trees": 10**15}), frozen, "has the shape", VECTOR, 3)
    depths = read_archive(frozen.trees or b"")["member0/depths"]
    for other in (depths - 100, depths + 100):
        refused(spec, with_arrays(frozen, member0__depths=other), "deeper than", VECTOR, 3)
    values = read_archive(frozen.trees or b"")["member0/values"]
    for other, reason in ((-values, "below 0"), (values * np.nan, "not finite"), (values[:, :2], "has the shape")):
        refused(spec, with_arrays(frozen, member0__values=other), reason, VECTOR, 3)


def test_boosting_whose_trees_make_no_rounds_is_refused() -> None:
    spec, frozen = BY_NAME["boosting"]
    sizes, nodes = (read_archive(frozen.trees or b"")[f"member0/{name}"] for name in ("sizes", "nodes"))
    fewer = with_arrays(frozen, member0__sizes=sizes[:-1], member0__nodes=nodes[: -sizes[-1]])
    refused(spec, fewer, "8 trees make no rounds of 3", VECTOR, 3)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_node_is_refused_or_walked_to_a_probability(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(list(BY_NAME)))
    left, right, feature, _ = LINKS[name]
    nodes = read_archive(BY_NAME[name][1].trees or b"")["member0/nodes"]
    field = data.draw(st.sampled_from([left, right, feature, *(["is_leaf"] if name == "boosting" else [])]))
    at, kind = data.draw(st.integers(0, len(nodes) - 1)), np.iinfo(nodes.dtype[field])
    near = st.integers(max(kind.min, -3), min(kind.max, len(nodes) + 3))
    spec, frozen = with_nodes(name, {field: data.draw(near | st.integers(int(kind.min), int(kind.max)))}, at)
    try:
        thawed = thaw(spec, VECTOR, 3, frozen)
    except ValueError:
        return
    proba = thawed.predict_proba(draw_images(VECTOR))
    assert np.allclose(proba.sum(axis=1), 1)


def test_boosting_with_categories_is_not_what_a_rung_has() -> None:
    # The one reason why `pack_boosting` may leave out scikit-learn's bitsets: no rung makes any.
    members = BOOSTING.members_
    assert all(
        isinstance(member, HistGradientBoostingClassifier) and member.is_categorical_ is None for member in members
    )
