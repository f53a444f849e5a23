"""A fitted rung as one ONNX graph, from pixels of 0–1 to calibrated probabilities, and asking it.

The graph is built by hand from the rung's arrays: its nodes are those of the rung and nothing else, whatever library
trained it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from jaxtyping import Float, Num
from onnx import TensorProto, helper, numpy_helper
from sklearn.base import BaseEstimator

from medladder import __version__
from medladder.errors import OptionError
from medladder.rungs.choosing import Calibration
from medladder.rungs.convolution import ConvolutionalNetworkClassifier
from medladder.rungs.draws import SMALLEST_SPREAD
from medladder.rungs.logistic import LogisticClassifier
from medladder.rungs.networks import DenseClassifier
from medladder.rungs.prior import PriorClassifier

from .calibration import LEAST_PROBABILITY

OPSET, IR_VERSION = 20, 9
"""Read by onnxruntime since 1.17."""

LARGEST = 2**31 - 2**20
"""Bytes that one ONNX file can hold."""

VALUES_AT_ONCE = 2**20
"""Pixels converted and asked about together: more leave the caches, fewer leave cores idle."""

INPUT, OUTPUT = "images", "probabilities"

_ACTIVATIONS = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid", "gelu": "Gelu"}


class GraphBuilder:
    """Nodes and numbers of a graph, in the order in which they are added; a value is known by its name."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.numbers: list[onnx.TensorProto] = []
        self.opsets = {"": OPSET}
        self.ir_version = IR_VERSION

    def add(self, kind: str, *inputs: str, outputs: int = 1, **settings: Any) -> Any:
        """Add a node; the name of its output, or their names."""
        names = [f"{kind.lower()}{len(self.nodes)}" + (f"_{i}" if outputs > 1 else "") for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, name=f"node{len(self.nodes)}", **settings))
        return names if outputs > 1 else names[0]

    def keep(self, array: Num[np.ndarray, "..."] | Sequence[int] | float) -> str:
        """Keep numbers in the graph: whole ones as int64, others as float32."""
        values = np.asarray(array)
        values = values.astype(np.int64 if values.dtype.kind in "iu" else np.float32)
        name = f"number{len(self.numbers)}"
        self.numbers.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def mean(self, value: str, axis: int, *, keep: bool) -> str:
        """Mean along one axis."""
        return str(self.add("ReduceMean", value, self.keep([axis]), keepdims=int(keep)))

    def to_model(self, output: str, image_shape: tuple[int, ...], n_outputs: int) -> onnx.ModelProto:
        """Close the graph: from `images` to one of its values, (image, n_outputs)."""
        images = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["image", *image_shape])
        answers = helper.make_tensor_value_info(output, TensorProto.FLOAT, ["image", n_outputs])
        return helper.make_model(
            helper.make_graph(self.nodes, "medladder", [images], [answers], self.numbers),
            opset_imports=[helper.make_opsetid(*one) for one in self.opsets.items()],
            ir_version=self.ir_version,
            producer_name="medladder",
            producer_version=__version__,
        )


def can_graph(rung: BaseEstimator) -> bool:
    """Whether all that a rung does with an image can be written as a graph."""
    return isinstance(rung, PriorClassifier | LogisticClassifier | DenseClassifier | ConvolutionalNetworkClassifier)


def to_graph(
    rung: BaseEstimator, calibration: Calibration, image_shape: tuple[int, ...], classes: Sequence[str]
) -> onnx.ModelProto:
    """Write a fitted rung as a graph: `images` float32 (image, *shape) of 0–1 to `probabilities` (image, class).

    Raises
    ------
    OptionError
        A rung whose features are computed outside any network, or one too large for a file.
    """
    if not can_graph(rung):
        raise OptionError(
            found=f"A {type(rung).__name__} as ONNX.",
            needed="A rung that is arithmetic on pixels: the features of this one come from image analysis.",
            do="Predict with medladder, or fit prior, logistic, nn, dnn, cnn or pretrained.",
        )
    graph = GraphBuilder()
    shares = _shares(graph, rung, image_shape)
    _calibrate(graph, shares, calibration, len(classes))
    model = graph.to_model(OUTPUT, image_shape, len(classes))
    if model.ByteSize() > LARGEST:
        raise OptionError(
            found=f"A graph of {model.ByteSize():,} bytes.",
            needed=f"At most {LARGEST:,}: an ONNX file holds no more.",
            do="Fit a narrower network, or at a smaller --image-size.",
        )
    helper.set_model_props(model, {"classes": "\n".join(classes), "medladder": __version__})
    return model


def _shares(graph: GraphBuilder, rung: BaseEstimator, image_shape: tuple[int, ...]) -> list[str]:
    """What the rung says: with two classes the shares of the first and the second apart, (image,); else one table."""
    if isinstance(rung, PriorClassifier):
        return _prior(graph, rung)
    if hasattr(rung, "extract") and len(image_shape) > 1:
        from .backbone_graph import add_backbone

        features = add_backbone(graph, rung, image_shape)
        return _voted(graph, [_logistic(graph, rung, features)])
    if isinstance(rung, LogisticClassifier):
        return _voted(graph, [_logistic(graph, rung, graph.add("Flatten", INPUT))])
    if isinstance(rung, DenseClassifier):
        return _voted(graph, _dense(graph, rung.ensemble_))
    return _voted(graph, _convolutional(graph, rung.ensemble_))


def _prior(graph: GraphBuilder, rung: PriorClassifier) -> list[str]:
    n_images = graph.add("Shape", INPUT, start=0, end=1)
    shape = graph.add("Concat", n_images, graph.keep([len(rung.shares_)]), axis=0)
    table = graph.add("Expand", graph.keep(rung.shares_[None]), shape)
    if len(rung.shares_) > 2:
        return [table]
    return [graph.mean(column, 1, keep=True) for column in graph.add("Split", table, outputs=2, axis=1, num_outputs=2)]


def _logistic(graph: GraphBuilder, rung: LogisticClassifier, vectors: str) -> str:
    return str(graph.add("Gemm", vectors, graph.keep(rung.coef_), graph.keep(rung.intercept_), transB=1))


def _standardised(graph: GraphBuilder, is_standardised: bool) -> str:
    """Images as vectors, each with mean 0 and spread 1 of its own where the rung sees them so."""
    vectors = graph.add("Flatten", INPUT)
    if not is_standardised:
        return str(vectors)
    centred = vectors
    for _ in range(2):  # the runtime's sums round: what one mean leaves may be large beside a small spread
        centred = graph.add("Sub", centred, graph.mean(centred, 1, keep=True))
    spread = graph.add("Sqrt", graph.mean(graph.add("Mul", centred, centred), 1, keep=True))
    is_spread = graph.add("Greater", spread, graph.keep(SMALLEST_SPREAD))
    return str(graph.add("Div", centred, graph.add("Where", is_spread, spread, graph.keep(1.0))))


def _dense(graph: GraphBuilder, ensemble: Any) -> list[str]:
    """Outputs of every member; their first layers, which see the same, are one product."""
    vectors, members = _standardised(graph, ensemble.is_standardised), ensemble.members
    first = graph.keep(np.concatenate([network.weights[0] for network in members], axis=1))
    bias = graph.keep(np.concatenate([network.biases[0] for network in members]))
    first_sums = graph.add("Gemm", vectors, first, bias)
    n_members = len(members)
    sums = (
        [first_sums]
        if n_members == 1
        else graph.add("Split", first_sums, outputs=n_members, axis=1, num_outputs=n_members)
    )
    outputs = []
    for network, value in zip(members, sums, strict=True):
        for weights, biases in zip(network.weights[1:], network.biases[1:], strict=True):
            active = graph.add(_ACTIVATIONS[ensemble.activation], value)
            value = graph.add("Gemm", active, graph.keep(weights), graph.keep(biases))
        outputs.append(value)
    return outputs


def _convolutional(graph: GraphBuilder, ensemble: Any) -> list[str]:
    layers = ensemble.layers
    size, channels = layers[0].size, layers[0].channels
    vectors = _standardised(graph, ensemble.is_standardised)
    pixels = graph.add("Reshape", vectors, graph.keep([-1, *size, channels]))
    moved = graph.add("Sub", pixels, graph.keep(ensemble.centre))
    normal = graph.add("Mul", moved, graph.keep(1 / ensemble.scale))
    axes = len(size)
    seen = graph.add("Transpose", normal, perm=[0, axes + 1, *range(1, axes + 1)])
    return [_convolved(graph, seen, layers, network) for network in ensemble.members]


def _convolved(graph: GraphBuilder, value: str, layers: Sequence[Any], network: Any) -> str:
    for layer, weights, biases in zip(layers[1:-1], network.weights[:-1], network.biases[:-1], strict=True):
        rim = [int(width > 1) for width in layer.kernel]
        value = graph.add(
            "Conv",
            value,
            graph.keep(weights),
            graph.keep(biases),
            kernel_shape=list(layer.kernel),
            strides=list(layer.stride),
            pads=[*rim, *rim],
        )
        if max(layer.pool) > 1:
            value = graph.add("MaxPool", value, kernel_shape=list(layer.pool), strides=list(layer.pool))
        value = graph.add("Relu", value)
    sums = [graph.add("Flatten", graph.add(kind, value)) for kind in ("GlobalAveragePool", "GlobalMaxPool")]
    together = graph.add("Concat", *sums, axis=1)
    return str(graph.add("Gemm", together, graph.keep(network.weights[-1]), graph.keep(network.biases[-1]), transB=1))


def _voted(graph: GraphBuilder, outputs: Sequence[str]) -> list[str]:
    """Mean share of each class over members; of one output each, both sides are computed, for 1 - p would cancel."""
    if graph_width(graph, outputs[0]) > 1:
        tables = [graph.add("Softmax", output, axis=1) for output in outputs]
        return [tables[0] if len(tables) == 1 else graph.add("Mean", *tables)]
    together = outputs[0] if len(outputs) == 1 else graph.add("Concat", *outputs, axis=1)
    sides = [graph.add("Sigmoid", side) for side in (graph.add("Neg", together), together)]
    return sides if len(outputs) == 1 else [graph.mean(side, 1, keep=True) for side in sides]


def graph_width(graph: GraphBuilder, output: str) -> int:
    """Nodes of an output layer, which ends in a product: as many as it has biases."""
    [product] = [node for node in graph.nodes if output in node.output]
    [bias] = [number for number in graph.numbers if number.name == product.input[2]]
    return int(bias.dims[0])


def _calibrate(graph: GraphBuilder, shares: Sequence[str], calibration: Calibration, n_classes: int) -> None:
    logs = [graph.add("Log", graph.add("Max", share, graph.keep(LEAST_PROBABILITY))) for share in shares]
    if n_classes == 2:
        odds = graph.add("Sub", logs[1], logs[0])
        steep = graph.add("Mul", odds, graph.keep(calibration.slope))
        score = graph.add("Add", steep, graph.keep(calibration.bias[1] - calibration.bias[0]))
        sides = [graph.add("Sigmoid", side) for side in (graph.add("Neg", score), score)]
        graph.nodes.append(helper.make_node("Concat", sides, [OUTPUT], name="answer", axis=1))
        return
    steep = graph.add("Mul", logs[0], graph.keep(calibration.slope))
    score = graph.add("Add", steep, graph.keep(calibration.bias))
    graph.nodes.append(helper.make_node("Softmax", [score], [OUTPUT], name="answer", axis=1))


def open_graph(
    model: onnx.ModelProto, threads: int | None = None
) -> Callable[[Num[np.ndarray, "image ..."]], Float[np.ndarray, "image class_"]]:
    """A function that asks the graph in ONNX Runtime; `threads` of None fill the cores.

    It takes images as rungs do: uint8 or uint16 over their full range, or floats of 0–1, any number of them.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Threads that wait by spinning would take the cores from those that decode the next images.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if threads is not None:
        options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    n_classes = session.get_outputs()[0].shape[1]

    def ask(images: Num[np.ndarray, "image ..."]) -> Float[np.ndarray, "image class_"]:
        rows = max(1, VALUES_AT_ONCE // max(1, int(np.prod(images.shape[1:]))))
        answers = [np.zeros((0, n_classes), np.float32)]
        for start in range(0, len(images), rows):
            answers += session.run([OUTPUT], {INPUT: _floats(images[start : start + rows])})
        return np.concatenate(answers)

    return ask


def _floats(images: Num[np.ndarray, "image ..."]) -> Float[np.ndarray, "image ..."]:
    """As `in_unit_range`, by a product in place of a division: a third less time, which a small graph notices."""
    floats = images.astype(np.float32)
    if images.dtype in (np.uint8, np.uint16):
        floats *= np.float32(1 / np.iinfo(images.dtype).max)
    return floats
