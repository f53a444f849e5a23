"""The ladder as one table: the rungs by name, family and source, and how a rung is built from its name.

Importing this imports no rung: torch is loaded when a network is asked for.
"""

from __future__ import annotations

import importlib
import inspect
import math
import re
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from medladder.architecture import node_counts, parse_widths
from medladder.backbones import BackboneFile, find_backbone
from medladder.errors import OptionError, unknown_name

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

Family = Literal["floor", "conventional", "deep", "transfer"]


@dataclass(frozen=True)
class Rung:
    """One kind of classifier; its settings are the parameters of the class it names."""

    name: str
    family: Family
    summary: str
    target: str
    """The class, as module:Class."""
    network: Literal["dense", "convolutional"] | None = None
    """What its layers are made of, where they follow from the size of the image; dense ones see it unrolled."""


@dataclass(frozen=True)
class RungSpec:
    """A rung and its settings; `rung` is the one way to write both."""

    rung: str
    kind: str
    family: Family
    settings: Mapping[str, Any]
    files: Mapping[str, str] = field(default_factory=dict)
    """Where the files that settings name lie on this machine; only their identity, in settings, is written."""


LADDER = (
    Rung("prior", "floor", "class frequencies", "medladder.rungs.prior:PriorClassifier"),
    Rung(
        "logistic",
        "conventional",
        "logistic regression on the unrolled image",
        "medladder.rungs.logistic:LogisticClassifier",
        network="dense",
    ),
    Rung(
        "svm",
        "conventional",
        "support vectors on hand-crafted features",
        "medladder.rungs.support_vectors:SupportVectorClassifier",
    ),
    Rung(
        "forest", "conventional", "many random trees on hand-crafted features", "medladder.rungs.trees:ForestClassifier"
    ),
    Rung(
        "boosting", "conventional", "boosted trees on hand-crafted features", "medladder.rungs.trees:BoostingClassifier"
    ),
    Rung(
        "nn",
        "deep",
        "one hidden layer on the unrolled image",
        "medladder.rungs.networks:NeuralNetworkClassifier",
        network="dense",
    ),
    Rung(
        "dnn",
        "deep",
        "a deep network on the unrolled image, its layers narrowing toward the output",
        "medladder.rungs.networks:DeepNetworkClassifier",
        network="dense",
    ),
    Rung(
        "cnn",
        "deep",
        "a convolutional network on pictures and volumes",
        "medladder.rungs.convolution:ConvolutionalNetworkClassifier",
        network="convolutional",
    ),
    Rung(
        "pretrained",
        "transfer",
        "a frozen backbone on the user's disk and a logistic head",
        "medladder.rungs.pretrained:PretrainedClassifier",
    ),
)
"""From low to high."""


def parse_rung(text: str) -> RungSpec:
    """Read a rung as people write it: `dnn`, or `dnn:depth=4,width=512,taper=0.5,activation=relu`.

    Raises
    ------
    OptionError
        An unknown rung or setting, a value out of range, or a setting without effect.

    Example
    -------
    >>> parse_rung("svm:gamma=1.0,cost=3").rung
    'svm:cost=3,gamma=1'
    """
    kind, colon, rest = text.strip().partition(":")
    rung = _rung(kind)
    if not colon:
        return RungSpec(rung.name, rung.name, rung.family, {})
    takes = settings_of(rung)
    given = _split_settings(text, rest, [name for name in takes if _names_file(takes[name])])
    for name in given:
        if not takes:
            raise OptionError(found=f"Rung '{text}'.", needed=f"{kind} takes no settings.", do=f"Write {kind}.")
        if name not in takes:
            raise unknown_name(f"setting of {kind}", name, takes)
    settings = {name: _read(name, given[name], takes[name]) for name in takes if name in given}
    _refuse_idle(text, settings)
    written = ",".join(f"{name}={_write(value)}" for name, value in settings.items())
    files = {name: str(value.path) for name, value in settings.items() if isinstance(value, BackboneFile)}
    settings |= {name: settings[name].identity for name in files}
    spec = RungSpec(f"{rung.name}:{written}", rung.name, rung.family, settings, files)
    _refuse_bad(spec)
    return spec


def build(spec: RungSpec, device: str = "cpu") -> BaseEstimator:
    """Make the classifier, not yet fitted; `device` is where it trains, for those that can train on more than one."""
    rung: BaseEstimator = _load(_rung(spec.kind))(**{**spec.settings, **spec.files})
    return rung.set_params(device=device) if hasattr(rung, "device") else rung


def check_images(spec: RungSpec, image_shape: Sequence[int]) -> None:
    """Let a rung refuse images of this shape before anything is trained.

    Raises
    ------
    OptionError
        The rung has nothing to see them with.
    """
    rung = build(spec)
    if hasattr(rung, "check_images"):
        rung.check_images(image_shape)


def layers(spec: RungSpec, image_shape: Sequence[int], n_classes: int) -> list[int] | None:
    """Count nodes from input to output; None for a rung that is no network on the unrolled image.

    Raises
    ------
    OptionError
        The settings describe no network.

    Example
    -------
    >>> layers(parse_rung("logistic"), (28, 28), n_classes=2)
    [784, 1]
    """
    if _rung(spec.kind).network != "dense":
        return None
    rung, n_inputs = build(spec), math.prod(image_shape)
    hidden = rung.hidden_widths(n_inputs, n_classes) if hasattr(rung, "hidden_widths") else ()
    return list(node_counts(n_inputs, hidden, n_classes))


def convolution_settings(spec: RungSpec) -> dict[str, Any] | None:
    """What `medladder.architecture.convolution_layers` takes beside the image; None for a rung that convolves nothing.

    Example
    -------
    >>> convolution_settings(parse_rung("cnn:width=32"))
    {'width': 32, 'depth': None}
    """
    if _rung(spec.kind).network != "convolutional":
        return None
    rung = build(spec)
    return {"width": rung.width, "depth": rung.depth}


def members(spec: RungSpec) -> int | None:
    """Networks of one fitted rung, an ensemble's or one; None for a rung that is no network."""
    return None if _rung(spec.kind).network is None else getattr(build(spec), "members", 1)


def settings_of(rung: Rung) -> dict[str, Any]:
    """The settings a rung takes and the type of each: its class's parameters, less the seed and the device."""
    parameters = inspect.signature(_load(rung)).parameters
    hints = typing.get_type_hints(_load(rung).__init__)
    return {name: hints[name] for name in parameters if name not in ("random_state", "device")}


def _rung(name: str) -> Rung:
    for rung in LADDER:
        if rung.name == name:
            return rung
    raise unknown_name("rung", name, [rung.name for rung in LADDER])


def _load(rung: Rung) -> Any:
    module, _, name = rung.target.partition(":")
    return getattr(importlib.import_module(module), name)


def _names_file(hint: Any) -> bool:
    return Path in typing.get_args(hint)


def _split_settings(text: str, rest: str, of_files: Sequence[str]) -> dict[str, str]:
    """Names and values as they were written; a comma in a path ends it only where `name=` follows."""
    given: dict[str, str] = {}
    has_path = any(re.match(rf"\s*{name}\s*=", item) for name in of_files for item in rest.split(","))
    for item in re.split(r",(?=\s*\w+\s*=)" if has_path else ",", rest):
        name, _, value = (part.strip() for part in item.partition("="))
        if not name or not value:
            raise OptionError(
                found=f"Setting '{item}' in rung '{text}'.",
                needed="A name and a value.",
                do="Write name=value, several with commas between.",
            )
        if name in given:
            raise OptionError(found=f"Rung '{text}' sets {name} twice.", needed="Once.", do="Drop one.")
        given[name] = value
    return given


def _read(name: str, text: str, hint: Any) -> Any:
    """Read a value as the first of the setting's types that takes it; the strictest is tried first."""
    hints = typing.get_args(hint) if typing.get_origin(hint) in (types.UnionType, typing.Union) else (hint,)
    origins = [typing.get_origin(one) or one for one in hints]
    if Literal in origins:
        names = typing.get_args(hints[origins.index(Literal)])
        if text in names:
            return text
        if int not in origins:
            raise unknown_name(name, text, names)
    if Path in origins:
        return find_backbone(text)
    if Sequence in origins or tuple in origins:
        return parse_widths(text)
    if bool in origins and text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        if kind in origins and (number := _number(text, kind)) is not None:
            return number
    if str in origins:
        return text
    needed = "a whole number" if int in origins else "a number" if float in origins else "true or false"
    if Literal in origins:
        needed += "".join(f", or '{word}'" for word in names)
    raise OptionError(found=f"{name}={text}.", needed=f"{name} is {needed}.", do="Correct the value.")


def _number(text: str, kind: type[int] | type[float]) -> float | None:
    try:
        number = kind(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _write(value: Any) -> str:
    if isinstance(value, tuple):
        return "-".join(map(str, value))
    if isinstance(value, BackboneFile):
        return value.identity
    return str(value).removesuffix(".0").lower() if isinstance(value, bool | float) else str(value)


def _refuse_bad(spec: RungSpec) -> None:
    """Let the rung itself refuse values out of range, before any fleet is planned with them."""
    layers(spec, (1,), n_classes=2)
    getattr(build(spec), "check_settings", tuple)()


def _refuse_idle(text: str, settings: Mapping[str, Any]) -> None:
    idle = [name for name in ("depth", "width", "taper") if name in settings and "widths" in settings]
    if idle:
        raise OptionError(
            found=f"Rung '{text}' gives widths and {idle[0]}.",
            needed=f"widths names every layer, so {idle[0]} has no effect.",
            do="Give one or the other.",
        )
