"""How each rung of the ladder is taken apart into arrays, what these must be, and how it is put together again."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from medladder.architecture import ConvolutionLayer, convolution_layers, node_counts
from medladder.rungs.choosing import Calibration
from medladder.rungs.ensembles import ConvolutionalEnsemble, DenseEnsemble, Network, weight_shapes

from .arrays import Arrays, Wanted


@dataclass(frozen=True)
class Task:
    """A rung to be filled, and what it was fitted on."""

    rung: Any
    image_shape: tuple[int, ...]
    n_features: int
    n_classes: int
    facts: Mapping[str, Any]

    @property
    def n_outputs(self) -> int:
        """Two classes share one."""
        return self.n_classes if self.n_classes > 2 else 1

    @property
    def is_standardised(self) -> bool:
        """Whether a network standardises each image; vectors never are."""
        return bool(self.rung.standardise) and len(self.image_shape) > 1


@dataclass(frozen=True)
class Packing:
    """How one kind of rung is taken apart and put together."""

    pack: Callable[[Any], Arrays]
    wanted: Callable[[Task, Arrays], dict[str, Wanted]]
    """What the arrays must be; it may look at their sizes where settings leave these open."""
    unpack: Callable[[Task, Arrays], None]
    """Fill the rung; a `ValueError` where arrays of the right shape still do not fit."""
    facts_of: Callable[[Any], dict[str, Any]] = lambda _: {}
    facts: dict[str, type] = field(default_factory=dict)
    is_archive: bool = False


def _wanted_of_prior(task: Task, _: Arrays) -> dict[str, Wanted]:
    return {"shares": Wanted("<f8", (task.n_classes,), least=0.0)}


def _unpack_prior(task: Task, arrays: Arrays) -> None:
    if not math.isclose(arrays["shares"].sum(), 1, abs_tol=1e-9):
        raise ValueError("the shares of the classes do not add up to 1")
    task.rung.shares_ = arrays["shares"]


def _wanted_of_logistic(task: Task, _: Arrays) -> dict[str, Wanted]:
    return {
        "coef": Wanted("<f8", (task.n_outputs, task.n_features)),
        "intercept": Wanted("<f8", (task.n_outputs,)),
    }


def _unpack_logistic(task: Task, arrays: Arrays) -> None:
    task.rung.coef_, task.rung.intercept_ = arrays["coef"], arrays["intercept"]


def _facts_of_networks(rung: Any) -> dict[str, Any]:
    epochs = [float(passes) for passes in rung.ensemble_.epochs]
    return {"epochs": epochs, "is_standardised": rung.ensemble_.is_standardised}


def _pack_networks(rung: Any) -> Arrays:
    return {
        f"member{member}/{part}{layer}": array
        for member, network in enumerate(rung.ensemble_.members)
        for part, of_layers in (("weight", network.weights), ("bias", network.biases))
        for layer, array in enumerate(of_layers, start=1)
    }


def _wanted_of_networks(
    members: int, weights: Sequence[tuple[int, ...]], outputs: Sequence[int], bias: str
) -> dict[str, Wanted]:
    """What the layers of every member must be: shapes of the weights, nodes or channels, and the biases' kind."""
    return {
        f"member{member}/{part}{layer}": Wanted(kind, shape)
        for member in range(members)
        for layer, (weight, n) in enumerate(zip(weights, outputs, strict=True), start=1)
        for part, kind, shape in (("weight", "<f4", weight), ("bias", bias, (n,)))
    }


def _unpack_networks(task: Task, arrays: Arrays) -> tuple[tuple[Network, ...], tuple[float, ...]]:
    """The members, and the passes after which each was kept."""
    epochs, members = task.facts["epochs"], task.rung.members
    if len(epochs) != members or any(type(passes) is not float or not 0 < passes < math.inf for passes in epochs):
        raise ValueError("the fact epochs is not a number above 0 a member")
    if task.facts["is_standardised"] != task.is_standardised:
        raise ValueError("the fact is_standardised is not what its settings and images say")
    layers = range(1, 1 + sum(name.startswith("member0/weight") for name in arrays))
    networks = (
        Network(
            tuple(arrays[f"member{member}/weight{layer}"] for layer in layers),
            tuple(arrays[f"member{member}/bias{layer}"] for layer in layers),
        )
        for member in range(members)
    )
    return tuple(networks), tuple(epochs)


def _facts_of_dense(rung: Any) -> dict[str, Any]:
    return _facts_of_networks(rung) | {"activation": rung.ensemble_.activation, "basis": rung.ensemble_.basis}


def _wanted_of_dense(task: Task, _: Arrays) -> dict[str, Wanted]:
    hidden = task.rung.hidden_widths(task.n_features, task.n_classes)
    nodes = node_counts(task.n_features, hidden, task.n_classes)
    return _wanted_of_networks(task.rung.members, list(pairwise(nodes)), nodes[1:], "<f8")


def _unpack_dense(task: Task, arrays: Arrays) -> None:
    if task.facts["activation"] != task.rung.activation:
        raise ValueError("the fact activation is not what its settings say")
    if task.facts["basis"] not in ("pixels", "span"):
        raise ValueError("the fact basis is neither pixels nor span")
    networks, epochs = _unpack_networks(task, arrays)
    ensemble = DenseEnsemble(task.rung.activation, task.is_standardised, networks, epochs, task.facts["basis"])
    task.rung.ensemble_ = ensemble


def _pack_convolutional(rung: Any) -> Arrays:
    return _pack_networks(rung) | {"centre": rung.ensemble_.centre, "scale": rung.ensemble_.scale}


def _layers_of(task: Task) -> tuple[ConvolutionLayer, ...]:
    width, depth = task.rung.width, task.rung.depth
    return convolution_layers(task.image_shape, width=width, depth=depth, n_classes=task.n_classes)


def _wanted_of_convolutional(task: Task, _: Arrays) -> dict[str, Wanted]:
    layers = _layers_of(task)
    outputs, channels = [layer.channels for layer in layers[1:]], (layers[0].channels,)
    return {
        **_wanted_of_networks(task.rung.members, weight_shapes(layers), outputs, "<f4"),
        "centre": Wanted("<f8", channels),
        "scale": Wanted("<f8", channels, least=0.0, is_above=True),
    }


def _unpack_convolutional(task: Task, arrays: Arrays) -> None:
    networks, epochs = _unpack_networks(task, arrays)
    centre, scale = arrays["centre"], arrays["scale"]
    task.rung.ensemble_ = ConvolutionalEnsemble(_layers_of(task), task.is_standardised, centre, scale, networks, epochs)


def _pack_calibration(rung: Any) -> Arrays:
    """The slope, then a bias a class."""
    return {"calibration": np.array([rung.calibration_.slope, *rung.calibration_.bias])}


def _wanted_of_calibration(task: Task) -> dict[str, Wanted]:
    return {"calibration": Wanted("<f8", (1 + task.n_classes,))}


def _unpack_calibration(task: Task, arrays: Arrays) -> None:
    slope, *bias = arrays["calibration"].tolist()
    if slope <= 0:
        raise ValueError("the calibration points backwards")
    task.rung.calibration_ = Calibration(slope, np.array(bias))


_MACHINE = ("support_vectors", "dual_coef", "offset", "centre", "scale")


def _pack_machine(rung: Any) -> Arrays:
    return {name: getattr(rung, f"{name}_") for name in _MACHINE} | _pack_calibration(rung)


def _wanted_of_machine(task: Task, arrays: Arrays) -> dict[str, Wanted]:
    found = arrays["dual_coef"].shape[:1] if "dual_coef" in arrays else ()
    of_each, [n_vectors] = (task.n_features,), found or (0,)
    return {
        "support_vectors": Wanted("<f4", (n_vectors, task.n_features)),
        "dual_coef": Wanted("<f8", (n_vectors, task.n_outputs)),
        "offset": Wanted("<f8", (task.n_outputs,)),
        "centre": Wanted("<f8", of_each),
        "scale": Wanted("<f8", of_each, least=0.0, is_above=True),
        **_wanted_of_calibration(task),
    }


def _unpack_machine(task: Task, arrays: Arrays) -> None:
    gamma = task.facts["chosen_"].get("gamma")
    if type(gamma) not in (int, float) or not 0 < gamma < math.inf:
        raise ValueError("the fact chosen_ has no gamma above 0")
    for name in _MACHINE:
        setattr(task.rung, f"{name}_", arrays[name])
    _unpack_calibration(task, arrays)


def _facts_of_members(rung: Any) -> dict[str, Any]:
    return {"members": len(rung.members_)}


def _pack_members(rung: Any, pack: Callable[[Any], Arrays]) -> Arrays:
    packed = enumerate(pack(member) for member in rung.members_)
    return {f"member{member}/{name}": array for member, arrays in packed for name, array in arrays.items()}


def _by_member(task: Task, arrays: Arrays) -> list[Arrays]:
    """The arrays of each member, under their own names."""
    prefixes = [f"member{member}/" for member in range(task.facts["members"])]
    return [
        {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
        for prefix in prefixes
    ]


def _pack_forest(rung: Any) -> Arrays:
    from .trees import pack_forest

    return _pack_members(rung, pack_forest) | _pack_calibration(rung)


def _wanted_of_forest(task: Task, arrays: Arrays) -> dict[str, Wanted]:
    from .trees import wanted_of_forest

    trees = -(-task.rung.trees // task.facts["members"])
    members = enumerate(wanted_of_forest(mine, trees) for mine in _by_member(task, arrays))
    wanted = {f"member{member}/{name}": one for member, of_member in members for name, one in of_member.items()}
    return wanted | _wanted_of_calibration(task)


def _unpack_forest(task: Task, arrays: Arrays) -> None:
    from .trees import unpack_forest

    members = _by_member(task, arrays)
    task.rung.members_ = [unpack_forest(mine, task.n_features, task.n_classes) for mine in members]
    _unpack_calibration(task, arrays)


def _pack_boosting(rung: Any) -> Arrays:
    from .trees import pack_boosting

    return _pack_members(rung, pack_boosting)


def _wanted_of_boosting(task: Task, arrays: Arrays) -> dict[str, Wanted]:
    from .trees import wanted_of_boosting

    members = enumerate(map(wanted_of_boosting, _by_member(task, arrays)))
    return {f"member{member}/{name}": one for member, of_member in members for name, one in of_member.items()}


def _unpack_boosting(task: Task, arrays: Arrays) -> None:
    from .trees import unpack_boosting

    members = _by_member(task, arrays)
    task.rung.members_ = [unpack_boosting(mine, task.n_features, task.n_classes) for mine in members]


_LOGISTIC = Packing(
    lambda rung: {"coef": rung.coef_, "intercept": rung.intercept_}, _wanted_of_logistic, _unpack_logistic
)
_OF_NETWORKS: dict[str, type] = {"epochs": list, "is_standardised": bool}
_DENSE = Packing(
    _pack_networks, _wanted_of_dense, _unpack_dense, _facts_of_dense, _OF_NETWORKS | {"activation": str, "basis": str}
)
_OF_MEMBERS: dict[str, type] = {"members": int}

PACKING = {
    "prior": Packing(lambda rung: {"shares": rung.shares_}, _wanted_of_prior, _unpack_prior),
    "logistic": _LOGISTIC,
    "svm": Packing(_pack_machine, _wanted_of_machine, _unpack_machine, is_archive=True),
    "forest": Packing(_pack_forest, _wanted_of_forest, _unpack_forest, _facts_of_members, _OF_MEMBERS, is_archive=True),
    "boosting": Packing(
        _pack_boosting, _wanted_of_boosting, _unpack_boosting, _facts_of_members, _OF_MEMBERS, is_archive=True
    ),
    "nn": _DENSE,
    "dnn": _DENSE,
    "cnn": Packing(
        _pack_convolutional, _wanted_of_convolutional, _unpack_convolutional, _facts_of_networks, _OF_NETWORKS
    ),
    "pretrained": _LOGISTIC,
}
"""By the names of the ladder."""
