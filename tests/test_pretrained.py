"""The rung `pretrained`: backbones made here, small and random, stand for those on a user's disk."""

from __future__ import annotations

import gc
import hashlib
import http.server
import json
import os
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.utils.estimator_checks import check_estimator

from medladder import rungs, views
from medladder.backbones import find_backbone
from medladder.errors import OptionError
from medladder.evidence.comparisons import Comparison
from medladder.evidence.intervals import Interval
from medladder.evidence.verdict import Pick, Standing, speak
from medladder.rungs.frozen import IMAGENET_MEAN, IMAGENET_STD, MOST_SLICES, open_network, pool
from medladder.rungs.pretrained import PretrainedClassifier
from test_cli import answer, call, refused

onnx = pytest.importorskip("onnx", reason="backbones are drawn with onnx (extra dev)")
pytest.importorskip("onnxruntime", reason="ONNX backbones need onnxruntime (extra pretrained)")

FLOAT = onnx.TensorProto.FLOAT
Shape = tuple[int | str, ...]


def write_onnx(
    path: Path,
    *nodes: tuple[str, list[str], list[str], dict[str, Any]],
    takes: Shape = ("n", 3, "h", "w"),
    kind: int = FLOAT,
    outputs: tuple[str, ...] = ("features",),
    weights: dict[str, np.ndarray] | None = None,
    more_inputs: tuple[str, ...] = (),
) -> Path:
    """A graph from `image` to `outputs`; with no nodes, the mean of each channel."""
    nodes = nodes or (("ReduceMean", ["image", "space"], ["features"], {"keepdims": 0}),)
    given = [onnx.helper.make_tensor_value_info("image", kind, takes)]
    given += [onnx.helper.make_tensor_value_info(name, FLOAT, takes) for name in more_inputs]
    values = {"space": np.array([2, 3]), "first": np.array([0]), **(weights or {})}
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(op, ins, outs, **settings) for op, ins, outs, settings in nodes],
        "drawn",
        given,
        [onnx.helper.make_tensor_value_info(name, FLOAT, None) for name in outputs],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, path)
    return path


MEAN = ("ReduceMean", ["image", "space"], ["features"], {"keepdims": 0})


def write_convolution(path: Path, seed: int = 0) -> Path:
    """Random filters, rectified, averaged: knows more of an image than its brightness."""
    filters = np.random.default_rng(seed).normal(size=(8, 3, 3, 3)).astype(np.float32)
    return write_onnx(
        path,
        ("Conv", ["image", "filters"], ["map"], {"strides": [2, 2]}),
        ("Relu", ["map"], ["seen"], {}),
        ("ReduceMean", ["seen", "space"], ["features"], {"keepdims": 0}),
        weights={"filters": filters},
    )


@pytest.fixture
def means(tmp_path: Path) -> Path:
    return write_onnx(tmp_path / "means.onnx")


def normalised(level: float) -> np.ndarray:
    return (level - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_STD)


def rng_images(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


# ---- what a backbone sees


@pytest.mark.parametrize(
    ("images", "level"),
    [
        (np.full((2, 9, 14), 128, np.uint8), 128 / 255),
        (np.full((2, 20, 20, 1), 40000, np.uint16), 40000 / 65535),
        (np.full((2, 20, 20, 3), 0.25), 0.25),
    ],
    ids=["grey, not square", "one channel of 16 bits", "colour floats"],
)
def test_pixels_reach_the_backbone_scaled_and_normalised(means: Path, images: np.ndarray, level: float) -> None:
    features = PretrainedClassifier(means).extract(images)
    assert features.dtype == np.float32
    assert features == pytest.approx(np.tile(normalised(level), (2, 1)), abs=1e-4)


def test_the_preprocessor_beside_the_file_says_how(means: Path) -> None:
    said = {"image_mean": [0.5, 0.4, 0.3], "image_std": 0.5, "rescale_factor": 2 / 255, "size": {"shortest_edge": 16}}
    (means.parent / "preprocessor_config.json").write_text(json.dumps(said))
    network = open_network(means)
    assert network.side == 16
    # 2 · 0.5 = 1, less the mean, over the deviation
    assert network.features(np.full((1, 8, 8), 0.5))[0] == pytest.approx([1, 1.2, 1.4], abs=1e-5)


@pytest.mark.parametrize(
    ("said", "side", "expected"),
    [
        ({"do_normalize": False}, 224, 0.5),
        ({"do_normalize": False, "do_rescale": False}, 224, 127.5),
        ({"do_normalize": False, "size": 64}, 64, 0.5),
        ({"do_normalize": False, "size": {"height": 48, "width": 48}}, 48, 0.5),
        ({"do_normalize": False, "size": {"shortest_edge": 80}, "do_center_crop": True, "crop_size": 72}, 72, 0.5),
    ],
)
def test_preprocessors_of_several_kinds(means: Path, said: dict[str, Any], side: int, expected: float) -> None:
    (means.parent / "preprocessor_config.json").write_text(json.dumps(said))
    network = open_network(means)
    assert network.side == side
    assert network.features(np.full((1, 8, 8), 0.5))[0] == pytest.approx([expected] * 3, abs=1e-4)


def test_a_volume_is_the_mean_over_its_middle_third(means: Path) -> None:
    levels = np.array([9, 9, 9, 0.1, 0.3, 0.8, 9, 9, 9])
    volume = np.broadcast_to(levels[None, :, None, None, None], (1, 9, 8, 8, 1))
    assert PretrainedClassifier(means).extract(volume)[0] == pytest.approx(normalised(0.4), abs=1e-4)


@pytest.mark.parametrize(("n_slices", "seen"), [(1, 1), (2, 2), (4, 2), (27, 9), (300, MOST_SLICES)])
def test_few_slices_of_a_volume_are_seen(means: Path, n_slices: int, seen: int, monkeypatch: Any) -> None:
    network = open_network(means)
    looked = []
    monkeypatch.setattr(type(network), "_describe", lambda self, images: looked.append(1) or np.zeros((1, 3)))
    network.features(np.zeros((1, n_slices, 8, 8, 1), np.uint8))
    assert len(looked) == seen


def test_an_image_is_described_whatever_the_other_images(tmp_path: Path) -> None:
    rung = PretrainedClassifier(write_convolution(tmp_path / "net.onnx"), input_size=24)
    images = rng_images(70, 16, 16)
    together = rung.extract(images)
    assert together == pytest.approx(np.concatenate([rung.extract(images[i : i + 1]) for i in range(70)]), abs=1e-5)
    assert together[::-1] == pytest.approx(rung.extract(images[::-1]), abs=1e-5)


def test_pooling_by_hand() -> None:
    tokens = np.array([[[1, 2], [3, 4], [5, 8]]])
    assert pool({"x": tokens}, "b").tolist() == [[1, 2, 4, 6]]
    assert pool({"x": tokens[:, :1]}, "b").tolist() == [[1, 2]]
    assert pool({"x": np.array([[[[1, 2], [3, 6]]]])}, "b").tolist() == [[3]]
    assert pool({"last_hidden_state": tokens, "pooler_output": np.array([[7]])}, "b").tolist() == [[7]]
    assert pool({"last_hidden_state": tokens, "other": np.array([[7]])}, "b").tolist() == [[1, 2, 4, 6]]


def test_a_graph_for_one_image_at_a_time(tmp_path: Path) -> None:
    fixed = PretrainedClassifier(write_onnx(tmp_path / "one.onnx", takes=(1, 3, 32, 32)))
    free = PretrainedClassifier(write_onnx(tmp_path / "many.onnx"), input_size=32)
    images = rng_images(5, 20, 20, 3)
    assert fixed.extract(images) == pytest.approx(free.extract(images), abs=1e-5)


# ---- what is refused, before anything is trained


BAD_GRAPHS: dict[str, tuple[dict[str, Any], list[Any], str]] = {
    "not a number": ({}, [("Neg", ["image"], ["a"], {}), ("Abs", ["a"], ["b"], {}), ("Neg", ["b"], ["c"], {}),
                          ("Sqrt", ["c"], ["d"], {}), ("ReduceMean", ["d", "space"], ["features"], {"keepdims": 0})],
                     "not numbers"),
    "mixes images": ({}, [("ReduceMean", ["image", "first"], ["a"], {}), ("Sub", ["image", "a"], ["b"], {}),
                          ("ReduceMean", ["b", "space"], ["features"], {"keepdims": 0})], "images beside it"),
    "random": ({}, [("RandomNormalLike", ["image"], ["a"], {}),
                    ("ReduceMean", ["a", "space"], ["features"], {"keepdims": 0})], "by chance"),
    "one vector for all": ({}, [(*MEAN[:2], ["a"], MEAN[3]), ("ReduceMean", ["a", "first"], ["features"], {})],
                           "not one vector an image"),
    "two outputs": ({"outputs": ("a", "b")}, [("Relu", ["image"], ["a"], {}), ("Neg", ["image"], ["b"], {})],
                    "has 2 outputs (a, b)"),
    "two inputs": ({"more_inputs": ("mask",)}, [MEAN], "has 2 inputs (image, mask)"),
    "bytes": ({"kind": onnx.TensorProto.UINT8},
              [("Cast", ["image"], ["a"], {"to": FLOAT}), ("ReduceMean", ["a", "space"], ["features"], {})],
              "takes tensor(uint8)"),
    "channels last": ({"takes": ("n", 32, 32, 3)}, [MEAN], "of ?×32×32×3"),
    "grey": ({"takes": ("n", 1, "h", "w")}, [MEAN], "of ?×1×?×?"),
    "vectors": ({"takes": ("n", 10)}, [("Relu", ["image"], ["features"], {})], "of ?×10"),
    "not square": ({"takes": ("n", 3, 32, 64)}, [MEAN], "batches of ?×3×32×64"),
    "batches of four": ({"takes": (4, 3, 32, 32)}, [MEAN], "batches of 4×3×32×32"),
    "five axes": ({}, [("Unsqueeze", ["image", "first"], ["features"], {})], "5 axes"),
    "a shape it cannot take": ({"weights": {"line": np.ones((5, 2), np.float32)}},
                               [("MatMul", ["image", "line"], ["features"], {})], "cannot describe images of 224×224"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_GRAPHS)
def test_a_backbone_that_cannot_serve_is_refused(name: str, tmp_path: Path) -> None:
    settings, nodes, said = BAD_GRAPHS[name]
    path = write_onnx(tmp_path / "bad.onnx", *nodes, **settings)
    rung = rungs.parse_rung(f"pretrained:backbone={path}")
    with pytest.raises(OptionError) as refusal:
        rungs.check_images(rung, (28, 28))
    assert said in str(refusal.value)
    assert str(tmp_path) not in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("garbage.onnx", b"\x00\x01garbage", "cannot be opened as ONNX"),
        ("empty.onnx", b"", "cannot be opened as ONNX"),
        ("weights.bin", b"x", "pickled weights"),
        ("weights.pth", b"x", "pickled weights"),
        ("model.safetensors", b"x", "Give the folder that holds it"),
        ("photo.png", b"x", "no ONNX file"),
    ],
)
def test_another_kind_of_file_is_refused(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(OptionError) as refusal:
        rungs.check_images(rungs.parse_rung(f"pretrained:backbone={tmp_path / name}"), (28, 28))
    assert said in str(refusal.value)


def test_what_images_need(means: Path, tmp_path: Path) -> None:
    rungs.check_images(rungs.parse_rung(f"pretrained:backbone={means}"), (16, 16, 16, 1))
    rungs.check_images(rungs.parse_rung("pretrained"), (30,))
    with pytest.raises(OptionError, match="pretrained:backbone=PATH"):
        rungs.check_images(rungs.parse_rung("pretrained"), (28, 28))
    with pytest.raises(OptionError, match="1 or 3 channels"):
        rungs.check_images(rungs.parse_rung(f"pretrained:backbone={means}"), (28, 28, 4))
    fixed = write_onnx(tmp_path / "fixed.onnx", takes=("n", 3, 32, 32))
    with pytest.raises(OptionError, match="32×32 only"):
        rungs.check_images(rungs.parse_rung(f"pretrained:backbone={fixed},input_size=64"), (28, 28))
    with pytest.raises(OptionError, match="8 pixels or more"):
        rungs.parse_rung(f"pretrained:backbone={means},input_size=4")
    with pytest.raises(OptionError, match="without a backbone"):
        rungs.parse_rung("pretrained:input_size=64")


def test_a_runtime_that_is_not_installed_is_named(means: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(OptionError, match=r"medladder\[pretrained\]"):
        open_network(means)


def test_an_overflow_in_one_image_is_said(tmp_path: Path) -> None:
    steep = write_onnx(
        tmp_path / "steep.onnx",
        ("Mul", ["image", "slope"], ["a"], {}),
        ("Exp", ["a"], ["b"], {}),
        ("ReduceMean", ["b", "space"], ["features"], {"keepdims": 0}),
        weights={"slope": np.array(10, np.float32)},
    )
    with pytest.raises(OptionError, match="not numbers"):
        PretrainedClassifier(steep, input_size=8).extract(np.array([0.0, 90.0]).repeat(64).reshape(2, 8, 8))


# ---- a path, and what is written of it


@pytest.mark.parametrize("name", ["net.onnx", "a,b.onnx", "a=b.onnx", "my net (2).onnx", "net@home.onnx", "näm.onnx"])
def test_paths_of_ordinary_characters(name: str, tmp_path: Path) -> None:
    path = write_onnx(tmp_path / name)
    spec = rungs.parse_rung(f"pretrained:backbone={path},penalty=3")
    identity = f"{name}@{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"
    assert spec.rung == f"pretrained:backbone={identity},penalty=3"
    assert spec.settings == {"backbone": identity, "penalty": 3.0}
    assert spec.files == {"backbone": str(path)}
    assert rungs.build(spec).get_params()["backbone"] == str(path)
    assert rungs.parse_rung(f"pretrained:penalty=3,backbone={path}") == spec


def test_a_comma_before_a_name_begins_a_setting(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "net,width=3.onnx")
    with pytest.raises(OptionError, match="Unknown setting of pretrained 'width'"):
        rungs.parse_rung(f"pretrained:backbone={path}")


def test_a_written_rung_names_its_content(means: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = rungs.parse_rung(f"pretrained:backbone={means}")
    monkeypatch.chdir(means.parent)
    assert rungs.parse_rung(spec.rung) == spec
    identity = str(spec.settings["backbone"])
    assert find_backbone(means.parent / identity).identity == identity
    write_onnx(means, ("Neg", ["image"], ["a"], {}), ("ReduceMean", ["a", "space"], ["features"], {}))
    with pytest.raises(OptionError, match="The content of"):
        rungs.parse_rung(spec.rung)
    monkeypatch.chdir("/")
    with pytest.raises(OptionError, match="There is no backbone at"):
        rungs.parse_rung(spec.rung)


def test_weights_beside_the_graph_belong_to_it(tmp_path: Path) -> None:
    path = write_convolution(tmp_path / "net.onnx")
    whole = PretrainedClassifier(path, input_size=16).extract(rng_images(3, 16, 16))
    onnx.save(onnx.load(path), tmp_path / "apart.onnx", save_as_external_data=True, location="w.dat", size_threshold=64)
    apart = PretrainedClassifier(tmp_path / "apart.onnx", input_size=16)
    assert apart.extract(rng_images(3, 16, 16)) == pytest.approx(whole)
    before = find_backbone(tmp_path / "apart.onnx").identity
    weights = bytearray((tmp_path / "w.dat").read_bytes())
    weights[2] ^= 1
    (tmp_path / "w.dat").write_bytes(weights)
    assert find_backbone(tmp_path / "apart.onnx").identity != before
    (tmp_path / "w.dat").unlink()
    with pytest.raises(OptionError, match=r"w\.dat is not in"):
        find_backbone(tmp_path / "apart.onnx")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(means: Path) -> None:
    means.chmod(0)
    with pytest.raises(OptionError, match="cannot be read"):
        find_backbone(means)


def test_a_name_that_is_too_long_is_no_crash() -> None:
    with pytest.raises(OptionError, match="cannot be read"):
        find_backbone("x" * 5000 + ".onnx")


def test_a_changed_preprocessor_is_another_backbone(means: Path) -> None:
    seen = set()
    for mean in (None, 0.5, 0.4):
        if mean is not None:
            (means.parent / "preprocessor_config.json").write_text(json.dumps({"image_mean": mean}))
        seen.add(find_backbone(means).identity)
    assert len(seen) == 3


# ---- on vectors


def test_estimator_checks_pass_in_full() -> None:
    checks = check_estimator(PretrainedClassifier(), on_skip=None)
    by_status = {s: [c["check_name"] for c in checks if c["status"] == s] for s in ("passed", "skipped")}
    print(f"PretrainedClassifier: {len(by_status['passed'])} of {len(checks)} estimator checks passed")
    assert len(by_status["passed"]) >= 54
    assert len(by_status["passed"]) + len(by_status["skipped"]) == len(checks)
    assert set(by_status["skipped"]) <= {"check_array_api_input"}


def test_on_images_it_is_the_head_on_their_features(tmp_path: Path) -> None:
    images = rng_images(40, 12, 12)
    images[::2] //= 2
    labels = np.where(np.arange(40) % 2, "bright", "dark")
    rung = PretrainedClassifier(write_convolution(tmp_path / "net.onnx"), input_size=16, penalty=0.3).fit(
        images, labels
    )
    head = PretrainedClassifier(penalty=0.3).fit(rung.extract(images), labels)
    assert rung.predict_proba(images) == pytest.approx(head.predict_proba(rung.extract(images)))
    assert (rung.predict(images) == labels).mean() > 0.9
    assert rung.n_parameters_ == 8 + 1


# ---- a study with it

QUICK = ["--rungs", "prior", "--sizes", "16,all", "--repeats", "2", "--jobs", "1"]


def test_a_study_with_a_backbone(class_folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "anna.smith"
    home.mkdir()
    path = write_convolution(home / "net.onnx")
    run = tmp_path / "run"
    cache = ("--cache", tmp_path / "cache")
    study = ("study", class_folders, "--out", run, *QUICK, *cache)
    done = answer(*study, "--rung", f"pretrained:backbone={path},input_size=32")
    name = f"pretrained:backbone=net.onnx@{hashlib.sha256(path.read_bytes()).hexdigest()[:12]},input_size=32"
    assert [(r["rung"], r["family"]) for r in done["evidence"]["rungs"]] == [("prior", "floor"), (name, "transfer")]
    assert done["evidence"]["rungs"][1]["points"][-1]["auroc"]["estimate"] > 0.7
    said = " ".join(sentence["text"] for sentence in done["evidence"]["verdict"]["sentences"])
    assert "from scratch" not in said
    for file in run.rglob("*"):
        assert not file.is_file() or b"anna.smith" not in file.read_bytes(), file.name
    plan = json.loads((run / "plan.json").read_text("utf-8"))
    assert {"onnxruntime", "transformers"} <= set(plan["versions"])
    planned = plan["rungs"][1]
    assert planned["settings"] == {"backbone": name.partition("=")[2].partition(",")[0], "input_size": 32}
    # Elsewhere on the disk it is still the same backbone: nothing is described or trained again.
    moved = Path(shutil.move(path, tmp_path / "net.onnx"))
    monkeypatch.setattr(views, "_extracted", lambda *_: pytest.fail("described again"))
    again = answer(*study, "--rung", f"pretrained:backbone={moved},input_size=32")
    assert again["evidence"] == done["evidence"]
    head = f"pretrained:backbone={moved},input_size=32,penalty=3"
    answer(*("study", class_folders, "--out", tmp_path / "other", *QUICK, *cache), "--rung", head)
    # Another content under the same name is not.
    write_convolution(moved, seed=1)
    error = refused(*study, "--rung", f"pretrained:backbone={moved},input_size=32")
    assert name in error["found"]
    assert name in error["do"]


def test_a_study_is_refused_before_its_folder_is_made(class_folders: Path, tmp_path: Path) -> None:
    bad = write_onnx(tmp_path / "bad.onnx", *BAD_GRAPHS["not a number"][1])
    study = ("study", class_folders, "--out", tmp_path / "run", *QUICK)
    assert "not numbers" in refused(*study, "--rung", f"pretrained:backbone={bad}")["found"]
    assert "no backbone at" in refused(*study, "--rung", f"pretrained:backbone={tmp_path / 'none.onnx'}")["found"]
    assert "without a backbone" in refused(*study, "--rung", "pretrained")["found"]
    assert not (tmp_path / "run").exists()


# ---- Hugging Face folders


@pytest.fixture(scope="module")
def hugging_face(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tiny image models as their publishers would save them: a ResNet, and a vision transformer that classifies."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers", reason="model folders need transformers (extra pretrained)")
    transformers.logging.disable_progress_bar()
    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("models")
    shapes = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}
    transformers.ResNetModel(transformers.ResNetConfig(**shapes)).save_pretrained(root / "resnet")
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.ViTConfig(**small, image_size=32, patch_size=16)
    transformers.ViTForImageClassification(config).save_pretrained(root / "vit")
    return root


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        pytest.fail("asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.usefixtures("no_network")
def test_a_folder_serves_without_a_network(hugging_face: Path) -> None:
    images = rng_images(40, 20, 20)
    rung = PretrainedClassifier(hugging_face / "resnet", input_size=32)
    features = rung.extract(images)
    assert features.shape == (40, 16)
    alone = np.concatenate([rung.extract(images[i : i + 1]) for i in range(5)])
    assert features[:5] == pytest.approx(alone, abs=1e-5)
    spec = rungs.parse_rung(f"pretrained:backbone={hugging_face / 'resnet'}")
    assert str(spec.settings["backbone"]).startswith("resnet@")


def test_a_pooler_that_was_never_trained_is_not_used(hugging_face: Path) -> None:
    """The checkpoint of a classifier has none, and transformers draws one at random each time it opens it."""
    images = rng_images(3, 32, 32)
    twice = []
    for _ in range(2):
        open_network.__globals__["_opened"].cache_clear()
        network = open_network(hugging_face / "vit")
        assert network.side == 32
        twice.append(network.features(images))
    assert twice[0].shape == (3, 2 * 16), "first token beside the mean of the others"
    assert np.array_equal(*twice)


def test_a_folder_that_cannot_serve_is_refused(hugging_face: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    def spoilt(name: str, spoil: Callable[[Path], object]) -> str:
        shutil.copytree(hugging_face / "resnet", tmp_path / name)
        spoil(tmp_path / name)
        with pytest.raises(OptionError) as refusal:
            rungs.check_images(rungs.parse_rung(f"pretrained:backbone={tmp_path / name}"), (28, 28))
        return str(refusal.value)

    def drop_one(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        save_file(dict(list(weights.items())[1:]), folder / "model.safetensors", metadata={"format": "pt"})

    def configure(folder: Path, **settings: object) -> None:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        (folder / "config.json").write_text(json.dumps({**config, **settings}), "utf-8")

    def bring_code(folder: Path) -> None:
        (folder / "theirs.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
        configure(folder, model_type="theirs", auto_map={"AutoConfig": "theirs.C", "AutoModel": "theirs.M"})

    assert "pickled" in spoilt(
        "bin", lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    )
    assert "is not in" in spoilt("bare", lambda folder: (folder / "model.safetensors").unlink())
    assert "config.json is not in" in spoilt("unsaid", lambda folder: (folder / "config.json").unlink())
    assert "of its weights" in spoilt("holes", drop_one)
    assert "cannot be opened" in spoilt("other", lambda folder: configure(folder, hidden_sizes=[8, 24]))
    assert "cannot be opened" in spoilt("cut", lambda folder: (folder / "model.safetensors").write_bytes(b"cut"))
    assert "cannot be opened" in spoilt("code", bring_code)
    assert not (tmp_path / "ran").exists()
    assert "mean or deviation" in spoilt(
        "grey", lambda folder: (folder / "preprocessor_config.json").write_text('{"image_mean": [0.5, 0.5]}')
    )
    assert "no JSON object" in spoilt("list", lambda folder: (folder / "preprocessor_config.json").write_text("[1]"))


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
def test_the_two_roads_agree(hugging_face: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="torch exports ONNX through onnxscript (extra dev)")
    import torch
    import transformers

    class Named(torch.nn.Module):
        def __init__(self, inner: torch.nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return self.inner(pixel_values=pixels).last_hidden_state

    model = Named(transformers.AutoModel.from_pretrained(hugging_face / "vit", local_files_only=True)).eval()
    size = ({0: torch.export.Dim("n")},)
    torch.onnx.export(
        model, (torch.zeros(2, 3, 32, 32),), str(tmp_path / "vit.onnx"), dynamo=True, dynamic_shapes=size, verbose=False
    )
    images = rng_images(40, 50, 40, 3)
    folder, graph = (open_network(path).features(images) for path in (hugging_face / "vit", tmp_path / "vit.onnx"))
    assert graph == pytest.approx(folder, abs=1e-4)
    assert np.ptp(folder, axis=0).max() > 0.01, "images differ"


# ---- fetching


@pytest.fixture
def publisher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, str]]:
    """Address and checksum of a backbone on a server of this test's own."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    folder = tmp_path / "published"
    folder.mkdir()
    content = write_convolution(folder / "net.onnx").read_bytes()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            return

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/net.onnx", hashlib.sha256(content).hexdigest()
        server.shutdown()
    gc.collect()  # requests leaves a refused answer's socket to the collector


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_backbone_is_fetched_with_its_checksum_only(publisher: tuple[str, str], tmp_path: Path) -> None:
    url, checksum = publisher
    fetch = ("data", "fetch", f"backbone:{url}", "--cache", tmp_path / "cache")
    assert "guesses no checksum" in refused(*fetch)["do"]
    assert "64 hexadecimal digits" in refused(*fetch, "--sha256", "abc")["needed"]
    assert "another SHA-256" in refused(*fetch, "--sha256", "0" * 64)["found"]
    assert not list((tmp_path / "cache").rglob("*.onnx"))
    fetched = answer(*fetch, "--sha256", checksum.upper())
    assert fetched["identity"] == f"net.onnx@{checksum[:12]}"
    assert find_backbone(fetched["file"]).identity == fetched["identity"]
    spoken = call(*fetch, "--sha256", checksum)
    assert f"--rung pretrained:backbone={fetched['file']}" in spoken.stdout
    gone = f"backbone:{url.replace('net', 'gone')}"
    assert "could not be fetched" in refused("data", "fetch", gone, "--sha256", checksum)["found"]


@pytest.mark.parametrize(
    "url", ["ftp://host/net.onnx", "https://host/model.safetensors", "net.onnx", "https:///n.onnx"]
)
def test_only_addresses_of_onnx_files_are_fetched(url: str) -> None:
    assert "ends in .onnx" in refused("data", "fetch", f"backbone:{url}", "--sha256", "0" * 64)["needed"]


def test_a_checksum_without_effect_is_refused() -> None:
    assert "Leave --sha256 out" in refused("data", "fetch", "breastmnist", "--sha256", "0" * 64)["do"]


# ---- what the verdict says


def standing(**families: str) -> Standing:
    names = list(families)
    pairs = [(a, b) for i, b in enumerate(names) for a in names[i + 1 :]]
    comparisons = [Comparison(100, a, b, *2 * (Interval(0.0, -0.01, 0.01),)) for a, b in pairs]
    aurocs = {name: Interval(0.8, 0.75, 0.85) for name in names}
    return Standing(100, families, aurocs, comparisons, (50, 50), 0.02, "patient")


@pytest.mark.parametrize(
    ("rung", "grade", "families"),
    [
        ("svm", "shown", {"prior": "floor", "svm": "conventional", "dnn": "deep"}),
        ("svm", "not contradicted", {"svm": "conventional", "dnn": "deep"}),
        ("svm", "cannot tell", {"svm": "conventional", "dnn": "deep"}),
        ("prior", "not contradicted", {"prior": "floor", "dnn": "deep"}),
        ("dnn", "not contradicted", {"dnn": "deep"}),
    ],
)
def test_without_a_backbone_the_headline_says_so(rung: str, grade: str, families: dict[str, str]) -> None:
    said = speak(standing(**families), Pick(rung, grade, 0.01))
    assert said[0].text.partition(". ")[0].startswith("Among models trained from scratch, ")
    assert "No pretrained backbone was compared" in said[-1].text
    with_one = speak(standing(**families, pretrained="transfer"), Pick(rung, grade, 0.01))
    assert not any("scratch" in sentence.text or "No pretrained" in sentence.text for sentence in with_one)
    assert with_one[0].text[0].isupper() or with_one[0].text.startswith(rung)


def test_deep_learning_is_not_called_worse_where_no_convolution_was_tried() -> None:
    worse = Interval(-0.2, -0.3, -0.1)

    def said_of(deep: str) -> str:
        families = {"svm": "conventional", deep: "deep"}
        of = standing(**families)
        lost = Comparison(100, deep, "svm", worse, worse)
        beaten = Standing(100, families, of.aurocs, [lost], (50, 50), 0.02, "patient")
        return speak(beaten, Pick("svm", "shown", 0.01))[1].text

    assert "shown better than networks on the unrolled image here" in said_of("dnn")
    assert "No convolutional network was tried." in said_of("dnn")
    assert "shown better than deep learning here" in said_of("cnn:members=1")
    assert "No convolutional" not in said_of("cnn:members=1")
