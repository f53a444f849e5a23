"""A frozen backbone and its whole intake as nodes of a graph: from pixels of 0–1 to features.

No node that is added here, or after a backbone, means another thing in another opset since 9. So the graph states the
backbone's own opset, and no converter of versions comes between what was fitted and what is exported.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from jaxtyping import Float, Int, Num
from onnx import TensorProto, helper, inliner, version_converter

from medladder.backbones import files_of
from medladder.errors import OptionError
from medladder.rungs.frozen import MOST_SLICES, FrozenNetwork, open_network, pool, resized

from .graph import INPUT, LARGEST, OPSET, GraphBuilder

OLDEST_OPSET = 9

_PREFIX = "backbone/"
_ROWS_AT_ONCE = 64


def add_backbone(graph: GraphBuilder, rung: Any, image_shape: tuple[int, ...]) -> str:
    """Add the backbone of a rung `pretrained`, and all that the rung does to an image before it; name the features.

    The graph is then asked about noise, and its features (image, feature) are held against the rung's own.

    Raises
    ------
    OptionError
        The backbone is too large for one file, of an opset before 9 that cannot be raised, or a folder that cannot be
        exported; or the graph answers otherwise than the rung.
    """
    network = open_network(rung.backbone, rung.input_size)
    said = network.run(np.zeros((1, 3, network.side, network.side), np.float32))
    output = next(name for name in ("pooler_output", "last_hidden_state", *said) if name in said)
    example = np.asarray(said[output])
    path = Path(rung.backbone)
    model = _export(network, output) if path.is_dir() else _read(path)
    slices = _slices_of(image_shape[0]) if len(image_shape) == 4 else None
    pixels = _add_intake(graph, network, image_shape, slices)
    features = _add_pooling(graph, _add_network(graph, model, network, pixels, output, example), example)
    if slices is not None:
        n_features = pool(said, network.name).shape[1]
        of_slices = graph.add("Reshape", features, graph.keep([-1, len(slices), n_features]))
        features = _add_means(graph, of_slices, np.full((1, len(slices)), 1 / len(slices)))
    _require_agreement(graph, features, rung, image_shape)
    return features


def external_names(model: onnx.ModelProto) -> set[str]:
    """Files that a graph wants beside it, wherever in it they are named."""
    tensors = [*_tensors_of(model.graph), *(one for each in model.functions for one in _tensors_in(each.node))]
    apart = [tensor for tensor in tensors if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data]
    return {entry.value for tensor in apart for entry in tensor.external_data if entry.key == "location"}


def _slices_of(n_slices: int) -> Int[np.ndarray, " slice"]:
    """The slices of a volume that `FrozenNetwork.features` looks at."""
    ends = (n_slices // 3, n_slices - 1 - n_slices // 3)
    return np.unique(np.linspace(*ends, MOST_SLICES).round().astype(int))


def _add_intake(
    graph: GraphBuilder, network: FrozenNetwork, image_shape: tuple[int, ...], slices: Int[np.ndarray, " slice"] | None
) -> str:
    """From images, or the slices of volumes one after another, to what the network takes: (image, 3, side, side)."""
    height, width, channels = (*image_shape, 1)[:3] if slices is None else image_shape[1:]
    images = INPUT if slices is None else graph.add("Gather", INPUT, graph.keep(slices), axis=1)
    if channels == 1:
        pixels = graph.add("Reshape", images, graph.keep([-1, 1, height, width]))
    else:
        last = graph.add("Reshape", images, graph.keep([-1, height, width, channels]))
        pixels = graph.add("Transpose", last, perm=[0, 3, 1, 2])
    if (height, width) != (network.side, network.side):
        tall = graph.add("MatMul", graph.keep(_resizing(height, network.side)), pixels)
        pixels = graph.add("MatMul", tall, graph.keep(_resizing(width, network.side).T))
    moved = graph.add("Sub", pixels, graph.keep(network.mean))  # a grey channel becomes three here
    return str(graph.add("Div", moved, graph.keep(network.std)))


def _resizing(length: int, side: int) -> Float[np.ndarray, "side length"]:
    """What resizing does along one axis: each place alone, in an image one pixel wide."""
    places = np.eye(length, dtype=np.float32)[:, None, :, None]
    blocks = [resized(places[at : at + _ROWS_AT_ONCE], side) for at in range(0, length, _ROWS_AT_ONCE)]
    return np.concatenate([block[:, 0, :, 0] for block in blocks]).T


def _read(path: Path) -> onnx.ModelProto:
    """An ONNX file with the weights that lie beside it, its own functions written out."""
    _require_room(path.name, sum(file.stat().st_size for file in files_of(path)))
    model = onnx.load(path)
    if model.functions:
        model = inliner.inline_local_functions(model)
    if model.graph.sparse_initializer:
        raise _unfit(path.name, "keeps numbers as sparse ones", "Dense ones.")
    if _opsets_of(model)[""] < OLDEST_OPSET:
        try:
            model = version_converter.convert_version(model, OLDEST_OPSET)
        except Exception as error:  # its errors share no base
            found = f"is of opset {_opsets_of(model)['']} and cannot be raised to {OLDEST_OPSET}"
            raise _unfit(path.name, found, f"Opset {OLDEST_OPSET} or later.") from error
    return model


def _export(network: FrozenNetwork, output: str) -> onnx.ModelProto:
    """The network of a folder, from its pixels to one of its outputs."""
    import torch

    if find_spec("onnxscript") is None:
        raise OptionError(
            found="The package onnxscript is not installed.",
            needed="onnxscript, to write a backbone of torch as ONNX.",
            do="Install it with: pip install 'medladder[pretrained]'.",
        )
    # The very network that answers: another one opened from the folder might have parts drawn at random.
    inner = network.module
    _require_room(network.name, 4 * sum(numbers.numel() for numbers in inner.parameters()))

    class OneOutput(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return self.inner(pixel_values=pixels)[output]

    pixels = torch.zeros(2, 3, network.side, network.side)
    try:
        with _quiet():
            program: Any = torch.onnx.export(
                OneOutput().eval(),
                (pixels,),
                dynamo=True,
                opset_version=OPSET,
                input_names=["pixels"],
                output_names=[output],
                dynamic_shapes=({0: torch.export.Dim("image")},),
                verbose=False,
            )
            return program.model_proto
    except Exception as error:  # whatever torch raises
        said = str(error).strip().partition("\n")[0][:200]
        found = f"cannot be written as ONNX by torch ({type(error).__name__}: {said})"
        raise _unfit(network.name, found, "A network that torch.onnx can export for any number of images.") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """What torch and onnxscript say of old names, steps left out and libraries not installed is for no one here."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _add_network(
    graph: GraphBuilder,
    model: onnx.ModelProto,
    network: FrozenNetwork,
    pixels: str,
    output: str,
    example: Num[np.ndarray, "one ..."],
) -> str:
    """Add the network's nodes and numbers; one that takes a single image is asked about one after another."""
    given = {number.name for number in model.graph.initializer}
    [taken] = [_PREFIX + value.name for value in model.graph.input if value.name not in given]
    _rename_graph(model.graph)
    graph.opsets = _opsets_of(model)
    graph.ir_version = max(graph.ir_version, model.ir_version)
    graph.numbers += model.graph.initializer
    if network.batch > 1:
        graph.nodes += [helper.make_node("Identity", [pixels], [taken], name=f"{_PREFIX}taken"), *model.graph.node]
        return _PREFIX + output
    one, side = f"{_PREFIX}one", network.side
    lone = helper.make_node("Reshape", [one, graph.keep([1, 3, side, side])], [taken], name=f"{_PREFIX}taken")
    kind = helper.np_dtype_to_tensor_dtype(example.dtype)
    body = helper.make_graph(
        [lone, *model.graph.node],
        f"{_PREFIX}for one image",
        [helper.make_tensor_value_info(one, TensorProto.FLOAT, [3, side, side])],
        [helper.make_tensor_value_info(_PREFIX + output, kind, list(example.shape))],
    )
    in_turn = graph.add("Scan", pixels, body=body, num_scan_inputs=1)
    return str(graph.add("Reshape", in_turn, graph.keep([-1, *example.shape[1:]])))


def _add_pooling(graph: GraphBuilder, value: str, example: Num[np.ndarray, "one ..."]) -> str:
    """One vector an image, as `rungs.frozen.pool` makes it."""
    if example.dtype != np.float32:
        value = graph.add("Cast", value, to=TensorProto.FLOAT)
    if example.ndim == 4:
        return str(graph.add("Flatten", graph.add("GlobalAveragePool", value)))
    if example.ndim == 3:
        tokens = example.shape[1]
        shares = np.zeros((min(tokens, 2), tokens))
        shares[0, 0] = 1
        shares[1:, 1:] = 1 / max(tokens - 1, 1)
        return _add_means(graph, value, shares)
    return value


def _add_means(graph: GraphBuilder, value: str, shares: Float[np.ndarray, "mean part"]) -> str:
    """Weighted means over the parts of each image, side by side: a product, for ReduceMean changed with opset 18."""
    return str(graph.add("Flatten", graph.add("MatMul", graph.keep(shares), value)))


def _require_agreement(graph: GraphBuilder, features: str, rung: Any, image_shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).random((3, *image_shape), np.float32)
    wanted = rung.extract(images)
    model = graph.to_model(features, image_shape, wanted.shape[1])
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        [found] = session.run(None, {INPUT: images})
    except Exception as error:  # its errors share no base
        said = str(error).strip().partition("\n")[0][:200]
        raise _unfit(Path(rung.backbone).name, f"cannot be joined with its head ({said})") from error
    if found.shape != wanted.shape or not np.allclose(found, wanted, rtol=1e-3, atol=1e-3 * np.abs(wanted).max()):
        raise _unfit(Path(rung.backbone).name, "answers otherwise once it is joined with its head")


def _opsets_of(model: onnx.ModelProto) -> dict[str, int]:
    """Version of each set of operators that nodes of the graph belong to; the standard one is always there."""
    known = {_domain(one.domain): one.version for one in model.opset_import}
    used = {"", *(_domain(node.domain) for node in _nodes_in(model.graph.node))}
    return {domain: known[domain] for domain in sorted(used)}


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name


def _nodes_in(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """Nodes, and those of graphs inside them."""
    for node in nodes:
        yield node
        for inner in _graphs_in(node):
            yield from _nodes_in(inner.node)


def _graphs_in(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _tensors_in(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    """Numbers kept in attributes, and in the graphs inside nodes."""
    for node in nodes:
        for attribute in node.attribute:
            tensors = [*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors]
            sparse = [
                *([attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []),
                *attribute.sparse_tensors,
            ]
            yield from (*tensors, *(part for one in sparse for part in (one.values, one.indices)))
        for inner in _graphs_in(node):
            yield from _tensors_of(inner)


def _tensors_of(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    sparse = (part for one in graph.sparse_initializer for part in (one.values, one.indices))
    yield from (*graph.initializer, *sparse, *_tensors_in(graph.node))


def _rename_graph(graph: onnx.GraphProto) -> None:
    """Names that no other node has, and nothing said of the machine it was made on.

    `onnx.compose.add_prefix` leaves numbers unnamed that a graph inside a node takes from the graph around it.
    """
    for value in (*graph.input, *graph.output, *graph.initializer):
        value.name = _PREFIX + value.name
    for told in (*graph.input, *graph.output, *graph.initializer, *graph.node):
        told.doc_string = ""
        del told.metadata_props[:]
    del graph.value_info[:], graph.metadata_props[:], graph.quantization_annotation[:]
    graph.doc_string = ""
    for node in graph.node:
        node.name = node.name and _PREFIX + node.name
        node.input[:] = [name and _PREFIX + name for name in node.input]
        node.output[:] = [name and _PREFIX + name for name in node.output]
        for inner in _graphs_in(node):
            _rename_graph(inner)


def _require_room(name: str, n_bytes: int) -> None:
    if n_bytes > LARGEST:
        raise _unfit(name, f"holds {n_bytes:,} bytes", f"At most {LARGEST:,}: an ONNX file holds no more.")


def _unfit(
    name: str, found: str, needed: str = "One that a single ONNX file can hold together with its head."
) -> OptionError:
    return OptionError(
        found=f"The backbone {name} {found}.",
        needed=needed,
        do="Export it again with a newer opset, or use another.",
    )
