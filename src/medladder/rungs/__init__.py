"""The ladder as one table: the rungs by name, family and source, and how a rung is built from its name.

Importing this imports no rung: torch is loaded when a network is asked for.
"""

from __future__ import annotations

import importlib
import inspect
import math
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from medladder.architecture import node_counts, parse_widths
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
    is_network: bool = False
    """A network on the unrolled image: it has layers to count."""


@dataclass(frozen=True)
class RungSpec:
    """A rung and its settings; `rung` is the one way to write both."""

    rung: str
    kind: str
    family: Family
    settings: Mapping[str, Any]


LADDER = (
    Rung("prior", "floor", "class frequencies", "medladder.rungs.classical:PriorClassifier"),
    Rung(
        "logistic",
        "conventional",
        "logistic regression on the unrolled image",
        "medladder.rungs.classical:LogisticClassifier",
        is_network=True,
    ),
    Rung(
        "svm",
        "conventional",
        "support vectors on hand-crafted features",
        "medladder.rungs.classical:SupportVectorClassifier",
    ),
    Rung(
        "nn",
        "deep",
        "one hidden layer on the unrolled image",
        "medladder.rungs.networks:NeuralNetworkClassifier",
        is_network=True,
    ),
    Rung(
        "dnn",
        "deep",
        "a deep network on the unrolled image, its layers narrowing toward the output",
        "medladder.rungs.networks:DeepNetworkClassifier",
        is_network=True,
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
    given = _split_settings(text, rest)
    for name in given:
        if not takes:
            raise OptionError(found=f"Rung '{text}'.", needed=f"{kind} takes no settings.", do=f"Write {kind}.")
        if name not in takes:
            raise unknown_name(f"setting of {kind}", name, takes)
    settings = {name: _read(name, given[name], takes[name]) for name in takes if name in given}
    _refuse_idle(text, settings)
    written = ",".join(f"{name}={_write(value)}" for name, value in settings.items())
    spec = RungSpec(f"{rung.name}:{written}", rung.name, rung.family, settings)
    _refuse_bad(spec)
    return spec


def build(spec: RungSpec) -> BaseEstimator:
    """Make the classifier, not yet fitted."""
    return _load(_rung(spec.kind))(**spec.settings)


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
    if not _rung(spec.kind).is_network:
        return None
    hidden_widths = getattr(build(spec), "hidden_widths", tuple)
    return list(node_counts(math.prod(image_shape), hidden_widths(), n_classes))


def settings_of(rung: Rung) -> dict[str, Any]:
    """The settings a rung takes and the type of each: its class's parameters, less the seed."""
    parameters = inspect.signature(_load(rung)).parameters
    hints = typing.get_type_hints(_load(rung).__init__)
    return {name: hints[name] for name in parameters if name != "random_state"}


def _rung(name: str) -> Rung:
    for rung in LADDER:
        if rung.name == name:
            return rung
    raise unknown_name("rung", name, [rung.name for rung in LADDER])


def _load(rung: Rung) -> Any:
    module, _, name = rung.target.partition(":")
    return getattr(importlib.import_module(module), name)


def _split_settings(text: str, rest: str) -> dict[str, str]:
    given: dict[str, str] = {}
    for item in rest.split(","):
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
    hints = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    origins = [typing.get_origin(one) or one for one in hints]
    if Literal in origins:
        names = typing.get_args(hints[origins.index(Literal)])
        if text not in names:
            raise unknown_name(name, text, names)
        return text
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
