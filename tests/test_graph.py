"""A rung as an ONNX graph says what the rung says: every rung, every kind of image, from any number of images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from sklearn.base import BaseEstimator
from sklearn.neighbors import KNeighborsClassifier

import medladder
from medladder import rungs
from medladder.errors import OptionError
from medladder.models import backbone_graph
from medladder.models.backbone_graph import external_names
from medladder.models.calibration import calibrated
from medladder.models.graph import IR_VERSION, OPSET, can_graph, open_graph, to_graph
from medladder.rungs.choosing import Calibration
from medladder.rungs.draws import Guest, in_unit_range
from medladder.rungs.pretrained import PretrainedClassifier
from test_pretrained import MEAN, hugging_face, write_convolution, write_onnx

assert hugging_face  # a fixture: two tiny image models as their publishers would save them

SHAPES = {"vectors": (12,), "grey": (12, 14), "colour": (12, 14, 3), "volumes": (10, 12, 11, 1)}
CALIBRATIONS = {
    2: Calibration(1.3, np.array([-0.4, 0.4])),
    3: Calibration(0.8, np.array([-0.3, 0.5, -0.2])),
}
CLASSES = {2: ("clear", "effusion"), 3: ("clear", "effusion", "näm")}


def drawn(shape: tuple[int, ...], n_classes: int, n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Images that are brighter the higher their class."""
    labels = np.arange(n) % n_classes
    images = np.random.default_rng(0).integers(0, 200, (n, *shape))
    return (images + 25 * labels.reshape(-1, *(1 for _ in shape))).clip(0, 255).astype(np.uint8), labels


def fitted(rung: str | BaseEstimator, shape: tuple[int, ...], n_classes: int) -> BaseEstimator:
    rung = rungs.build(rungs.parse_rung(rung)) if isinstance(rung, str) else rung
    seeded = rung.set_params(random_state=0) if "random_state" in rung.get_params() else rung
    return seeded.fit(*drawn(shape, n_classes))


def strange(shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Images as they come: of classes, of noise in 8 and 16 bits, blank in three greys, and fractions."""
    rng = np.random.default_rng(1)
    return {
        "drawn": drawn(shape, 3, 20)[0],
        "noise": rng.integers(0, 256, (5, *shape), dtype=np.uint8),
        "16 bits": rng.integers(0, 65536, (5, *shape), dtype=np.uint16),
        "blank": np.broadcast_to(np.array([0, 100, 255], np.uint8).reshape(3, *(1 for _ in shape)), (3, *shape)),
        "nearly blank": 40000 + 800 * rng.integers(0, 2, (2, *shape), dtype=np.uint16),
        "fractions": rng.random((4, *shape)),
    }


def agree(rung: BaseEstimator, shape: tuple[int, ...], n_classes: int, *, within: float = 1e-5) -> onnx.ModelProto:
    """Hold the graph against the rung's own probabilities, calibrated, on images of every kind."""
    calibration = CALIBRATIONS[n_classes]
    model = to_graph(rung, calibration, shape, CLASSES[n_classes])
    onnx.checker.check_model(model, full_check=True)
    ask, changed = open_graph(model, 1), []
    for kind, images in strange(shape).items():
        raw, found = rung.predict_proba(images), ask(images)
        np.testing.assert_allclose(found, calibrated(calibration, raw), atol=within, err_msg=kind)
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6, err_msg=kind)
        changed.append(np.abs(found - raw).max())
    assert max(changed) > 100 * within, "the calibration changes nothing, so that leaving it out would pass"
    return model


EVERYWHERE = (
    "prior",
    "logistic",
    "nn:width=16,epochs=3",
    "dnn:widths=16-8,epochs=3",
    "dnn:widths=8,epochs=3,members=1,standardise=false",
)
CONVOLUTIONS = ("cnn:width=8,epochs=2,members=2", "cnn:width=8,epochs=2,members=1,standardise=false")


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize(
    ("rung", "kind"),
    [(rung, kind) for rung in EVERYWHERE for kind in SHAPES]
    + [(rung, kind) for rung in CONVOLUTIONS for kind in SHAPES if kind != "vectors"],
)
def test_a_graph_says_what_its_rung_says(rung: str, kind: str, n_classes: int) -> None:
    shape = SHAPES[kind]
    of = fitted(rung, shape, n_classes)
    assert rung == "prior" or np.ptp(of.predict_proba(drawn(shape, n_classes)[0]), axis=0).max() > 0.01
    agree(of, shape, n_classes)


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "gelu"])
@pytest.mark.parametrize("members", [1, 3])
def test_every_activation(activation: str, members: int) -> None:
    agree(fitted(f"dnn:widths=16-8,epochs=3,activation={activation},members={members}", (12, 14), 2), (12, 14), 2)


def test_a_certain_answer_is_a_number() -> None:
    """Shares of 0 and 1 have no finite odds."""
    images = np.concatenate([np.zeros((1, 6, 6), np.uint8), drawn((6, 6), 2)[0], np.full((1, 6, 6), 255, np.uint8)])
    for n_classes in (2, 3):
        rung = fitted("logistic", (6, 6), n_classes)
        rung.coef_ *= 300
        wanted = calibrated(CALIBRATIONS[n_classes], rung.predict_proba(images))
        found = open_graph(to_graph(rung, CALIBRATIONS[n_classes], (6, 6), CLASSES[n_classes]), 1)(images)
        assert wanted.min() < 1e-5 < 1 - 1e-5 < wanted.max()
        np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("rung", ["prior", "logistic", "dnn:widths=8,epochs=2,members=2", CONVOLUTIONS[0]])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_an_image_is_answered_whatever_the_others(rung: str, n_classes: int) -> None:
    shape = (12, 14)
    alike_however_asked(to_graph(fitted(rung, shape, n_classes), CALIBRATIONS[n_classes], shape, CLASSES[n_classes]))


def alike_however_asked(model: onnx.ModelProto, within: float = 1e-6) -> None:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    shape = session.get_inputs()[0].shape[1:]
    images = in_unit_range(np.random.default_rng(2).integers(0, 256, (300, *shape), dtype=np.uint8))
    [whole] = session.run(None, {"images": images})
    for size in (1, 7):
        parts = [session.run(None, {"images": images[at : at + size]})[0] for at in range(0, 35, size)]
        np.testing.assert_allclose(np.concatenate(parts), whole[:35], atol=within)


def test_what_the_file_says_of_itself() -> None:
    for kind, n_classes in (("grey", 2), ("volumes", 3)):
        shape, classes = SHAPES[kind], CLASSES[n_classes]
        model = to_graph(fitted("logistic", shape, n_classes), CALIBRATIONS[n_classes], shape, classes)
        [asked], [answer] = model.graph.input, model.graph.output
        assert (asked.name, answer.name) == ("images", "probabilities")
        for value, sizes in ((asked, shape), (answer, (n_classes,))):
            assert value.type.tensor_type.elem_type == TensorProto.FLOAT
            image, *others = value.type.tensor_type.shape.dim
            assert image.dim_param == "image", "any number of them"
            assert [one.dim_value for one in others] == list(sizes)
        assert [(one.domain, one.version) for one in model.opset_import] == [("", OPSET)]
        assert model.ir_version == IR_VERSION
        told = {one.key: one.value for one in model.metadata_props}
        assert told == {"classes": "\n".join(classes), "medladder": medladder.__version__}
        assert open_graph(model, 1)(np.zeros((0, *shape), np.uint8)).shape == (0, n_classes)


@pytest.mark.parametrize("rung", ["svm", "forest", "boosting", "a guest"])
def test_features_from_image_analysis_are_no_graph(rung: str) -> None:
    of = Guest(KNeighborsClassifier()) if rung == "a guest" else rungs.build(rungs.parse_rung(rung))
    assert not can_graph(of)
    with pytest.raises(OptionError, match="come from image analysis"):
        to_graph(of, CALIBRATIONS[2], (12, 14), CLASSES[2])


# ---- backbones


def on_backbone(path: Path, shape: tuple[int, ...], n_classes: int = 2, side: int | None = 24) -> PretrainedClassifier:
    """A head fitted on features, as `medladder fit` does it."""
    rung = PretrainedClassifier(path, penalty=0.1, input_size=side, random_state=0)
    images, labels = drawn(shape, n_classes, 30)
    rung.fit(rung.extract(images), labels)
    assert np.ptp(rung.predict_proba(images)[:, 0]) > 0.05
    return rung


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize(
    "shape",
    [(12, 14), (24, 24), (50, 20), (12, 14, 3), (31, 24, 1), (10, 12, 11, 1), (40, 30, 30, 3), (1, 9, 9, 1)],
    ids=lambda shape: "×".join(map(str, shape)),
)
def test_an_image_on_its_way_into_a_backbone(shape: tuple[int, ...], n_classes: int, tmp_path: Path) -> None:
    """Grey or coloured, smaller, larger or of another form than the backbone's input, or a volume."""
    rung = on_backbone(write_convolution(tmp_path / "net.onnx"), shape, n_classes)
    agree(rung, shape, n_classes, within=1e-4)


def test_a_backbone_is_asked_about_any_number_of_images(tmp_path: Path) -> None:
    path = write_convolution(tmp_path / "net.onnx")
    for shape in ((12, 14), (10, 12, 11, 1)):
        model = to_graph(on_backbone(path, shape), CALIBRATIONS[2], shape, CLASSES[2])
        alike_however_asked(model, within=1e-5)


def test_the_preprocessor_of_a_backbone_is_part_of_it(tmp_path: Path) -> None:
    path = write_convolution(tmp_path / "net.onnx")
    said = '{"image_mean": [0.2, 0.5, 0.6], "image_std": [0.1, 0.3, 0.2], "rescale_factor": 0.01, "size": 16}'
    (tmp_path / "preprocessor_config.json").write_text(said)
    agree(on_backbone(path, (12, 14), side=None), (12, 14), 2, within=1e-4)


def test_vectors_need_no_backbone() -> None:
    agree(fitted(PretrainedClassifier(penalty=0.1), (12,), 3), (12,), 3)


FILTERS = np.random.default_rng(0).normal(size=(8, 3, 3, 3)).astype(np.float32)
SEEN = [("Conv", ["image", "filters"], ["a"], {"strides": [4, 4]}), ("Relu", ["a"], ["map"], {})]
TOKENS = [*SEEN, ("Reshape", ["map", "flat"], ["b"], {}), ("Transpose", ["b"], ["tokens"], {"perm": [0, 2, 1]})]
POOLED = {
    "a map": (SEEN, ("map",)),
    "tokens": (TOKENS, ("tokens",)),
    "one token": ([*TOKENS, ("Gather", ["tokens", "first"], ["token"], {"axis": 1})], ("token",)),
    "a pooled output of two": (
        [*TOKENS, ("ReduceMax", ["tokens", "along"], ["pooler_output"], {"keepdims": 0}),
         ("Identity", ["tokens"], ["last_hidden_state"], {})],
        ("last_hidden_state", "pooler_output"),
    ),
    "a hidden state of two": ([*TOKENS, ("Identity", ["tokens"], ["last_hidden_state"], {})],
                              ("map", "last_hidden_state")),
}  # fmt: skip


@pytest.mark.parametrize("batch", ["n", 1])
@pytest.mark.parametrize("kind", POOLED)
def test_what_a_backbone_gives_is_pooled_as_the_rung_pools_it(kind: str, batch: int | str, tmp_path: Path) -> None:
    """Of a backbone that takes one image too: the graph asks it about one after another."""
    nodes, outputs = POOLED[kind]
    numbers = {"filters": FILTERS, "flat": np.array([0, 8, -1]), "along": np.array([1])}
    takes = (batch, 3, 24, 24)
    path = write_onnx(tmp_path / "net.onnx", *nodes, outputs=outputs, weights=numbers, takes=takes)
    shape = (12, 14)
    rung = on_backbone(path, shape, side=None)
    model = agree(rung, shape, 2, within=1e-4)
    assert any(node.op_type == "Scan" for node in model.graph.node) == (batch == 1)
    alike_however_asked(model, within=1e-5)
    if batch == 1:
        agree(on_backbone(path, (10, 12, 11, 1), side=None), (10, 12, 11, 1), 2, within=1e-4)


def save(path: Path, *nodes: onnx.NodeProto, opset: int = 18, ir: int = 8, **more: Any) -> Path:
    """A graph from `image` to `features` with the filters, of any opset."""
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, "h", "w"])
    features = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 8])
    given = [image]
    if ir < 4:  # numbers were inputs as well
        given.append(helper.make_tensor_value_info("filters", TensorProto.FLOAT, FILTERS.shape))
    graph = helper.make_graph(nodes, "drawn", given, [features], [numpy_helper.from_array(FILTERS, "filters")])
    sets = [helper.make_opsetid("", opset), *more.pop("sets", [])]
    onnx.save(helper.make_model(graph, opset_imports=sets, ir_version=ir, **more), path)
    return path


CONV = helper.make_node("Conv", ["image", "filters"], ["a"], strides=[2, 2])
RELU = helper.make_node("Relu", ["a"], ["b"])
POOL = helper.make_node("GlobalAveragePool", ["b"], ["c"])
FLAT = helper.make_node("Flatten", ["c"], ["features"])


@pytest.mark.parametrize(("opset", "ir"), [(7, 3), (9, 4), (11, 6), (13, 7), (17, 8), (18, 10), (21, 10), (23, 11)])
def test_a_backbone_keeps_its_opset(opset: int, ir: int, tmp_path: Path) -> None:
    path = save(tmp_path / "net.onnx", CONV, RELU, POOL, FLAT, opset=opset, ir=ir)
    for shape, n_classes in (((12, 14), 2), ((10, 12, 11, 3), 3)):
        model = agree(on_backbone(path, shape, n_classes), shape, n_classes, within=1e-4)
        assert [(one.domain, one.version) for one in model.opset_import] == [("", max(opset, 9))]
        assert model.ir_version == max(ir, IR_VERSION)


@pytest.mark.parametrize("batch", ["n", 1])
def test_features_of_half_as_many_digits(batch: int | str, tmp_path: Path) -> None:
    halved = helper.make_node("Cast", ["c"], ["d"], to=TensorProto.FLOAT16)
    path = save(tmp_path / "net.onnx", CONV, RELU, POOL, halved, helper.make_node("Flatten", ["d"], ["features"]))
    model = onnx.load(path)
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    if batch == 1:
        model.graph.input[0].type.CopyFrom(helper.make_tensor_type_proto(TensorProto.FLOAT, [1, 3, 24, 24]))
    onnx.save(model, path)
    agree(on_backbone(path, (12, 14)), (12, 14), 2, within=1e-3)


def test_a_graph_inside_a_node_that_takes_numbers_from_outside(tmp_path: Path) -> None:
    branch = helper.make_graph(
        [helper.make_node("Conv", ["image", "filters"], ["inner"], strides=[2, 2])],
        "branch", [], [helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)],
    )  # fmt: skip
    other = helper.make_graph(
        [helper.make_node("Constant", [], ["step"], value=numpy_helper.from_array(np.array(2.0, np.float32))),
         helper.make_node("Mul", ["a", "step"], ["twice"])],
        "other", [], [helper.make_tensor_value_info("twice", TensorProto.FLOAT, None)],
    )  # fmt: skip
    nodes = [
        CONV,
        helper.make_node("Constant", [], ["yes"], value=numpy_helper.from_array(np.array(True))),
        helper.make_node("If", ["yes"], ["either"], then_branch=branch, else_branch=other),
        helper.make_node("Relu", ["either"], ["b"]),
        POOL,
        FLAT,
    ]
    agree(on_backbone(save(tmp_path / "net.onnx", *nodes), (12, 14)), (12, 14), 2, within=1e-4)


def test_functions_of_a_backbone_are_written_out(tmp_path: Path) -> None:
    own = helper.make_function(
        "theirs", "Seen", ["x", "w"], ["y"],
        [helper.make_node("Conv", ["x", "w"], ["z"], strides=[2, 2]), helper.make_node("Relu", ["z"], ["y"])],
        [helper.make_opsetid("", 18)],
    )  # fmt: skip
    node = helper.make_node("Seen", ["image", "filters"], ["b"], domain="theirs")
    sets = [helper.make_opsetid("theirs", 1)]
    path = save(tmp_path / "net.onnx", node, POOL, FLAT, functions=[own], sets=sets)
    model = agree(on_backbone(path, (12, 14)), (12, 14), 2, within=1e-4)
    assert not model.functions
    assert [one.domain for one in model.opset_import] == [""]


def test_operators_of_the_runtime_s_own(tmp_path: Path) -> None:
    node = helper.make_node("QuickGelu", ["a"], ["b"], domain="com.microsoft")
    sets = [helper.make_opsetid("com.microsoft", 1), helper.make_opsetid("nobody.uses", 3)]
    path = save(tmp_path / "net.onnx", CONV, node, POOL, FLAT, sets=sets)
    model = agree(on_backbone(path, (12, 14)), (12, 14), 2, within=1e-4)
    assert {one.domain: one.version for one in model.opset_import} == {"": 18, "com.microsoft": 1}


def test_weights_beside_a_backbone_go_into_the_graph(tmp_path: Path) -> None:
    whole = write_convolution(tmp_path / "whole.onnx")
    path = tmp_path / "apart.onnx"
    onnx.save(onnx.load(whole), path, save_as_external_data=True, location="w.dat", size_threshold=64)
    rung = on_backbone(path, (12, 14))
    model = agree(rung, (12, 14), 2, within=1e-4)
    assert external_names(onnx.load(path, load_external_data=False)) == {"w.dat"}
    assert not external_names(model)
    (tmp_path / "w.dat").unlink()
    open_graph(model, 1)(np.zeros((1, 12, 14), np.uint8))


def test_files_are_found_wherever_a_graph_names_them() -> None:
    """In an attribute, in a graph inside a node, and in a function; the key may come after the value."""

    def apart(name: str) -> onnx.TensorProto:
        tensor = numpy_helper.from_array(np.zeros(2, np.float32), "x")
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="offset", value="0")
        tensor.external_data.add(key="location", value=name)
        return tensor

    inner = helper.make_graph([], "inner", [], [], [apart("branch")])
    nodes = [
        helper.make_node("Constant", [], ["a"], value=apart("attribute")),
        helper.make_node("If", ["a"], ["b"], then_branch=inner, else_branch=inner),
    ]
    function = helper.make_function(
        "own", "F", [], ["y"], [helper.make_node("Constant", [], ["y"], value=apart("function"))], []
    )
    graph = helper.make_graph(nodes, "g", [], [], [apart("number")])
    model = helper.make_model(graph, functions=[function])
    assert external_names(model) == {"attribute", "branch", "function", "number"}


def test_nothing_of_the_machine_that_exported_a_backbone_is_kept(tmp_path: Path) -> None:
    path = write_convolution(tmp_path / "net.onnx")
    model = onnx.load(path)
    model.graph.node[0].doc_string = "/home/anna.smith/export.py"
    model.graph.node[0].metadata_props.add(key="trace", value="/home/anna.smith")
    model.graph.initializer[0].doc_string = "/home/anna.smith"
    model.metadata_props.add(key="author", value="anna.smith")
    onnx.save(model, path)
    assert b"anna.smith" not in agree(on_backbone(path, (12, 14)), (12, 14), 2, within=1e-4).SerializeToString()


def test_a_graph_that_says_otherwise_is_not_handed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rung = on_backbone(write_convolution(tmp_path / "net.onnx"), (10, 12, 11, 1))
    monkeypatch.setattr(backbone_graph, "_slices_of", lambda n_slices: np.arange(n_slices))
    with pytest.raises(OptionError, match=r"net\.onnx answers otherwise once it is joined"):
        to_graph(rung, CALIBRATIONS[2], (10, 12, 11, 1), CLASSES[2])


def test_a_backbone_beyond_one_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rung = on_backbone(write_convolution(tmp_path / "net.onnx"), (12, 14))
    monkeypatch.setattr(backbone_graph, "LARGEST", 500)
    with pytest.raises(OptionError, match="At most 500"):
        to_graph(rung, CALIBRATIONS[2], (12, 14), CLASSES[2])


def test_sparse_numbers_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_onnx(tmp_path / "net.onnx", ("Mul", ["image", "one"], ["a"], {}), (MEAN[0], ["a", "space"], *MEAN[2:]),
                      weights={"one": np.ones((1, 3, 1, 1), np.float32)})  # fmt: skip
    rung = on_backbone(path, (12, 14))
    model = onnx.load(path)
    values = numpy_helper.from_array(np.ones(1, np.float32), "extra")
    places = numpy_helper.from_array(np.zeros(1, np.int64), "extra_places")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [4]))
    onnx.save(model, path)
    with pytest.raises(OptionError, match="sparse"):
        to_graph(rung, CALIBRATIONS[2], (12, 14), CLASSES[2])


# ---- Hugging Face folders


@pytest.mark.parametrize(
    ("name", "side", "shape", "n_classes"), [("resnet", 32, (40, 36, 3), 3), ("vit", None, (10, 24, 22, 1), 2)]
)
def test_a_folder_is_exported(
    name: str, side: int | None, shape: tuple[int, ...], n_classes: int, hugging_face: Path, capfd: Any
) -> None:
    """One of the two has no pooler of its own, so that torch draws one whenever the folder is opened."""
    pytest.importorskip("onnxscript", reason="torch exports ONNX through onnxscript (extra pretrained)")
    rung = on_backbone(hugging_face / name, shape, n_classes, side)
    capfd.readouterr()
    model = agree(rung, shape, n_classes, within=1e-4)
    assert capfd.readouterr() == ("", ""), "torch speaks of libraries that are not installed"
    alike_however_asked(model, within=1e-5)
    assert [(one.domain, one.version) for one in model.opset_import] == [("", OPSET)]
    content = model.SerializeToString()
    assert not any(place in content for place in (b"site-packages", str(hugging_face).encode(), b".py"))


def test_a_library_that_is_not_installed_is_named(hugging_face: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rung = on_backbone(hugging_face / "resnet", (12, 14), side=32)
    monkeypatch.setattr(backbone_graph, "find_spec", lambda _: None)
    with pytest.raises(OptionError, match=r"onnxscript is not installed.*pip install 'medladder\[pretrained\]'"):
        to_graph(rung, CALIBRATIONS[2], (12, 14), CLASSES[2])
