"""What answers about images at working size, and all that it takes to bring a file to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Num

from medladder.images.prepare import Preparation

from .likeness import Likeness


@dataclass(frozen=True, eq=False)
class Answering:
    """A model, or a network that a study kept: `ask` gives probabilities (image, class)."""

    classes: tuple[str, ...]
    shape: tuple[int, ...]
    preparation: Preparation
    weights: tuple[float, ...]
    """Of the decision: for the class of largest probability / weight."""
    ask: Callable[[Num[np.ndarray, "image ..."]], Float[np.ndarray, "image class_"]]
    likeness: Likeness | None

    def decide(self, probabilities: Float[np.ndarray, "image class_"]) -> Int[np.ndarray, " image"]:
        """The class of largest probability / weight."""
        return decide(probabilities, self.weights)

    def is_unlike(self, images: Num[np.ndarray, "image ..."]) -> list[bool] | list[None]:
        """Whether an image is unlike the training images; None where nothing knows what these look like."""
        if self.likeness is None:
            return [None] * len(images)
        unlike: list[bool] = self.likeness.is_unlike(images).tolist()
        return unlike


def decide(probabilities: Float[np.ndarray, "image class_"], weights: Sequence[float]) -> Int[np.ndarray, " image"]:
    """The class of largest probability / weight; of equals the last, so that p = threshold is for the positive one."""
    weighed = probabilities / np.array(weights)
    return weighed.shape[1] - 1 - weighed[:, ::-1].argmax(axis=1)
