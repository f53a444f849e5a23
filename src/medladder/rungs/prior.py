"""The floor: class frequencies."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from medladder.rungs.conventional import ConventionalRung, RandomState, class_shares
from medladder.rungs.draws import Draw, may_learn


class PriorClassifier(ConventionalRung):
    """Knows the class frequencies and nothing else: the floor every other rung stands on."""

    def __init__(self, random_state: RandomState = None) -> None:
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike, draw: Draw | None = None) -> Self:
        """Count the classes of the rows that may be learned from."""
        _, codes, draw = self._read_to_fit(X, y, draw)
        n_classes = len(self.classes_)

        self.shares_ = class_shares(codes[may_learn(draw.fold)], n_classes)
        # Parts differ in their frequencies by chance alone, and a floor must not rank rows by that.
        self.out_of_part_proba_ = np.where((draw.fold >= 0)[:, None], self.shares_, np.nan)
        self.n_parameters_ = n_classes
        self.chosen_: dict[str, float] = {}
        return self

    def predict_proba(self, X: ArrayLike) -> Float[np.ndarray, "image class_"]:
        """The same class frequencies for each image."""
        rows = self._read(X)
        return np.tile(self.shares_, (len(rows), 1))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = True
        return tags
