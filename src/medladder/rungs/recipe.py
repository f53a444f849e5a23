"""The settings of networks and their training, checked before anything heavy is imported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from medladder.architecture import NARROWEST
from medladder.errors import OptionError, unknown_name

ActivationName = Literal["sigmoid", "tanh", "relu", "gelu"]

BasisName = Literal["auto", "pixels", "span"]

DeviceName = Literal["auto", "cpu", "cuda"]

FlipName = Literal["horizontal", "all"]

ALIGNMENT = 32
"""Floats in two registers of the widest kind. What begins and ends there is computed alike, whatever stands
beside it in the fleet; batches are multiples of it, so that everything does."""


@dataclass(frozen=True)
class Recipe:
    """How every dense network of a fleet is built and trained.

    Raises
    ------
    OptionError
        A setting is unknown or out of range.
    """

    hidden: tuple[int, ...]
    activation: ActivationName
    members: int
    dropout: float
    weight_decay: float
    shift: float
    """The images of a batch move together, by up to this share of their side each way."""
    standardise: bool
    """Give each image mean 0 and spread 1 of its own, so that exposure says nothing; vectors stay as they are."""
    learning_rate: float
    """At its peak."""
    epochs: int | None = None
    """Passes over the rows; None: by `pace`."""
    batch: int | None = None
    """Rows a step; None: by `pace`."""
    basis: BasisName = "auto"
    """What the first layer is trained on: "pixels", the "span" of the images, or "auto" for the cheaper of the two."""

    def __post_init__(self) -> None:
        if self.activation not in get_args(ActivationName):
            raise unknown_name("activation", str(self.activation), get_args(ActivationName))
        if self.basis not in get_args(BasisName):
            raise unknown_name("basis", str(self.basis), get_args(BasisName))
        require("widths", self.hidden, bool(self.hidden) and min(self.hidden) >= NARROWEST, "2 or more each")
        require("members", self.members, self.members >= 1, "1 or more")
        require("dropout", self.dropout, 0 <= self.dropout < 1, "at least 0 and below 1")
        require("weight_decay", self.weight_decay, self.weight_decay >= 0, "0 or more")
        require("shift", self.shift, 0 <= self.shift <= 0.5, "between 0 and 0.5, a share of the side")
        require("learning_rate", self.learning_rate, self.learning_rate > 0, "above 0")
        require("epochs", self.epochs, self.epochs is None or self.epochs >= 1, "1 or more")
        is_aligned = self.batch is None or (self.batch >= ALIGNMENT and self.batch % ALIGNMENT == 0)
        require("batch_size", self.batch, is_aligned, f"a multiple of {ALIGNMENT}")


@dataclass(frozen=True)
class ConvolutionRecipe:
    """How every convolutional network is built and trained.

    Raises
    ------
    OptionError
        A setting is unknown or out of range.
    """

    width: int
    """Channels of the last stage."""
    depth: int | None
    """Stages; None: by the size of the image."""
    members: int
    weight_decay: float
    shift: float
    """An image moves by up to this share of its side each way."""
    zoom: float
    """An image grows or shrinks by up to this share."""
    exposure: float
    """Contrast changes by up to this share, brightness by up to this share of the image's spread."""
    flips: FlipName | None
    standardise: bool
    """Give each image mean 0 and spread 1 of its own, so that exposure says nothing; vectors stay as they are."""
    learning_rate: float
    """At its peak."""
    epochs: int | None = None
    """Passes over the rows; None: by `pace`."""
    batch: int | None = None
    """Rows a step; None: by `pace`."""

    def __post_init__(self) -> None:
        if self.flips not in (None, *get_args(FlipName)):
            raise unknown_name("flips", str(self.flips), get_args(FlipName))
        require("width", self.width, self.width >= NARROWEST, "2 or more")
        require("depth", self.depth, self.depth is None or self.depth >= 1, "1 or more")
        require("members", self.members, self.members >= 1, "1 or more")
        require("weight_decay", self.weight_decay, self.weight_decay >= 0, "0 or more")
        require("shift", self.shift, 0 <= self.shift <= 0.5, "between 0 and 0.5, a share of the side")
        require("zoom", self.zoom, 0 <= self.zoom <= 0.5, "between 0 and 0.5")
        require("exposure", self.exposure, 0 <= self.exposure <= 1, "between 0 and 1")
        require("learning_rate", self.learning_rate, self.learning_rate > 0, "above 0")
        require("epochs", self.epochs, self.epochs is None or self.epochs >= 1, "1 or more")
        require("batch_size", self.batch, self.batch is None or self.batch >= 2, "2 or more")


def require(name: str, value: object, is_met: bool, needed: str) -> None:
    """Raise an `OptionError` for a setting that is not what it must be."""
    if not is_met:
        raise OptionError(found=f"{name}={value}.", needed=f"It is {needed}.", do=f"Change {name}.")


def require_class_weight(weight: object) -> None:
    """Raise an `OptionError` for a word that weighs no classes."""
    if isinstance(weight, str) and weight != "balanced":
        raise unknown_name("class_weight", weight, ("balanced",))
