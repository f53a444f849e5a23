"""A fitted rung with all that it takes to use it: from images to probabilities, a decision, and a word of caution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, Int, Num, Shaped, UInt
from sklearn.base import BaseEstimator

from medladder.errors import InputError
from medladder.rungs.choosing import Calibration

from .answering import Answering, decide
from .calibration import calibrated
from .graph import can_graph, open_graph, to_graph
from .likeness import Likeness
from .record import ModelRecord

if TYPE_CHECKING:
    from medladder.cohort import Cohort

    from .files import Predictions

_ROWS_AT_ONCE = 256


@dataclass(frozen=True, eq=False)
class Model:
    """A model that answers; `medladder.read_model` opens one, `medladder.fit_model` makes one.

    `rung` is the fitted scikit-learn classifier inside, before calibration; `trained_on` the content hashes of the
    images it was trained on.
    """

    record: ModelRecord
    rung: BaseEstimator
    likeness: Likeness
    trained_on: UInt[np.ndarray, "image 16"]

    def __repr__(self) -> str:
        return f"Model({self.record.rung['rung']!r}, classes={list(self.record.classes)}, {self.record.identity[:12]})"

    def _repr_html_(self) -> str:
        record, training = self.record, self.record.training
        size = "×".join(map(str, record.preparation.size))
        rows = {
            "rung": record.rung["rung"],
            "classes": ", ".join(record.classes),
            "trained on": f"{training['patients']:,} patients of {training['cohort']['name']}",
            "working size": size,
            "identity": record.identity[:12],
        }
        return (
            "<table>" + "".join(f"<tr><td>{k}</td><td>{escape(str(v))}</td></tr>" for k, v in rows.items()) + "</table>"
        )

    @property
    def classes_(self) -> Shaped[np.ndarray, " class_"]:
        """Names of the classes, in the order of the probabilities' columns."""
        return np.array(self.record.classes)

    def predict_proba(self, images: Num[np.ndarray, "image ..."]) -> Float[np.ndarray, "image class_"]:
        """Calibrated probability of each class for images at working size: integers over their range, or 0–1.

        Raises
        ------
        InputError
            Images of another shape, or floats outside 0–1.
        """
        self._check_images(images)
        return self._answer(images)

    def predict(self, images: Num[np.ndarray, "image ..."]) -> Shaped[np.ndarray, " image"]:
        """Names of the classes decided for, at the model's threshold; raises as `predict_proba` does."""
        return self.classes_[self.decide(self.predict_proba(images))]

    def decide(self, probabilities: Float[np.ndarray, "image class_"]) -> Int[np.ndarray, " image"]:
        """The class of largest probability / weight; with two classes: the second where p ≥ threshold."""
        return decide(probabilities, self.record.decision["weights"])

    def is_unlike(self, images: Num[np.ndarray, "image ..."]) -> Bool[np.ndarray, " image"]:
        """Whether an image is unlike the training images, so that its probability may mean nothing."""
        self._check_images(images)
        return self.likeness.is_unlike(images)

    def predict_files(self, *paths: Any, **options: Any) -> Predictions:
        """Predict image files and folders of them; see `medladder.models.files.predict_files`."""
        from .files import predict_files

        return predict_files(self.answering(), paths, **options)

    def evaluate(self, cohort: Cohort, **options: Any) -> dict[str, Any]:
        """Score this very model on another cohort; see `medladder.models.evaluation.evaluate`."""
        from .evaluation import evaluate

        return evaluate(self, cohort, **options)

    def answering(self, threads: int | None = None) -> Answering:
        """What answers about files and uploads, on so many threads; None fills the cores."""
        record, weights = self.record, tuple(self.record.decision["weights"])
        ask = self._answer if threads is None else self._asking(threads)
        return Answering(record.classes, record.shape, record.preparation, weights, ask, self.likeness)

    @property
    def calibration(self) -> Calibration:
        """From the rung's probabilities to the model's."""
        return Calibration(float(self.record.calibration["slope"]), np.array(self.record.calibration["bias"], float))

    @cached_property
    def _answer(self) -> Callable[[Num[np.ndarray, "image ..."]], Float[np.ndarray, "image class_"]]:
        return self._asking(None)

    def _asking(
        self, threads: int | None
    ) -> Callable[[Num[np.ndarray, "image ..."]], Float[np.ndarray, "image class_"]]:
        """The rung in ONNX Runtime where it has a graph, else itself."""
        if can_graph(self.rung) and self.record.rung["kind"] != "pretrained":
            return open_graph(to_graph(self.rung, self.calibration, self.record.shape, self.record.classes), threads)
        return self._ask_rung

    def _ask_rung(self, images: Num[np.ndarray, "image ..."]) -> Float[np.ndarray, "image class_"]:
        if not len(images):
            return np.zeros((0, len(self.record.classes)))
        starts = range(0, len(images), _ROWS_AT_ONCE)
        blocks = [self.rung.predict_proba(np.asarray(images[start : start + _ROWS_AT_ONCE])) for start in starts]
        return calibrated(self.calibration, np.concatenate(blocks))

    def _check_images(self, images: Num[np.ndarray, "image ..."]) -> None:
        needed = f"Arrays of shape (image, {', '.join(map(str, self.record.shape))}): uint8, uint16, or 0–1."
        if not isinstance(images, np.ndarray) or images.shape[1:] != self.record.shape:
            found = (
                f"Images of shape {images.shape}." if isinstance(images, np.ndarray) else f"{type(images).__name__}."
            )
            raise InputError(found=found, needed=needed, do="Give arrays so, or files to predict_files.")
        if images.dtype not in (np.uint8, np.uint16) and images.size and not (images.min() >= 0 and images.max() <= 1):
            found = f"{images.dtype} values from {images.min()} to {images.max()}."
            raise InputError(found=found, needed=needed, do="Divide by the largest value a pixel can have.")


def self_test_images(shape: tuple[int, ...]) -> UInt[np.ndarray, "image ..."]:
    """Images of no one, which a model is asked about whenever it is opened: noise, a slope, and one grey."""
    noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    slope = np.linspace(0, 255, noise.size).astype(np.uint8).reshape(shape)
    return np.stack([noise, slope, np.full(shape, 100, np.uint8), noise // 2 + slope // 2])
