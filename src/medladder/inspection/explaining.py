"""One image explained: what the network says, where that comes from, and which training images it takes for alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Num, UInt8

from .attribution import Attribution, attribute
from .layered import LayeredNetwork


@dataclass(frozen=True)
class Near:
    """A training image that lies near, by its number in the cohort."""

    image: int
    class_: str
    distance: float
    """1 is a typical step between two training images, see `neighbours.Neighbours`."""
    picture: UInt8[np.ndarray, "..."]


@dataclass(frozen=True, eq=False)
class Explanation:
    """What there is to say of one image; `unlike_training` and `nearest` are None where nothing knows."""

    file: str
    rung: str
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    decision: str
    unlike_training: bool | None
    towards: str
    """The class that is explained: the likeliest."""
    attributions: tuple[Attribution, ...]
    picture: UInt8[np.ndarray, "*axis channel"]
    nearest: tuple[Near, ...] | None

    def to_json(self) -> dict[str, Any]:
        """As `inspect --image FILE --json` prints it."""
        nearest = self.nearest and [
            {"image": near.image, "class": near.class_, "distance": near.distance} for near in self.nearest
        ]
        return {
            "file": self.file,
            "rung": self.rung,
            "probabilities": dict(zip(self.classes, self.probabilities, strict=True)),
            "decision": self.decision,
            "unlike_training": self.unlike_training,
            "towards": self.towards,
            "attributions": [one.to_json() for one in self.attributions],
            "nearest": nearest,
        }

    def to_page(self) -> dict[str, Any]:
        """The same with the pictures as arrays, for a page to draw."""
        return {
            **self.to_json(),
            "picture": self.picture,
            "maps": [one.values for one in self.attributions],
            "near_pictures": [near.picture for near in self.nearest or ()],
        }


def explain(
    networks: Sequence[LayeredNetwork],
    image: Num[np.ndarray, "..."],
    *,
    file: str,
    rung: str,
    classes: Sequence[str],
    probabilities: Sequence[float],
    decision: str,
    unlike_training: bool | None = None,
    nearest: Sequence[Near] | None = None,
    seed: int = 0,
) -> Explanation:
    """Attribute the likeliest class of one image at working size, and put all that is known of it together."""
    towards = int(np.argmax(probabilities))
    return Explanation(
        file=file,
        rung=rung,
        classes=tuple(classes),
        probabilities=tuple(probabilities),
        decision=decision,
        unlike_training=unlike_training,
        towards=classes[towards],
        attributions=attribute(networks, image, towards=towards, n_classes=len(classes), seed=seed),
        picture=as_picture(image, networks[0]),
        nearest=None if nearest is None else tuple(nearest),
    )


def as_picture(image: Num[np.ndarray, "..."], network: LayeredNetwork) -> UInt8[np.ndarray, "*axis channel"]:
    """A prepared image in 8 bits, with its channels last."""
    whole = image.reshape(*network.grid, network.channels)
    if whole.dtype == np.uint8:
        return whole
    top = np.iinfo(whole.dtype).max if np.issubdtype(whole.dtype, np.integer) else 1.0
    return np.rint(whole / top * 255).clip(0, 255).astype(np.uint8)
