"""The rung `pretrained`: a frozen backbone that the user has on disk, and a logistic head on its features."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Num
from numpy.typing import ArrayLike

from medladder.errors import OptionError
from medladder.rungs.conventional import RandomState
from medladder.rungs.frozen import open_network
from medladder.rungs.logistic import LogisticClassifier


class PretrainedClassifier(LogisticClassifier):
    """Logistic regression on the features of a frozen backbone; on vectors, on the vectors themselves.

    Each image is described by itself: scaled to 0–1, a grey one repeated to three channels, stretched whole to the
    backbone's input (nothing is cropped) and normalised by the `preprocessor_config.json` in the folder or beside the
    ONNX file, else by ImageNet's mean and deviation. Of the backbone's outputs the pooled one is taken, else its tokens
    (the first beside the mean of the others) or its map (the mean). A volume is described slice by slice, in up to
    nine slices spread over its middle third, and its features are their mean.

    `n_parameters_` counts the head; the backbone is not trained.

    Parameters
    ----------
    backbone
        An ONNX file, or a Hugging Face image-model folder with `config.json` and `model.safetensors`. None: vectors.
    penalty
        As the head `LogisticClassifier` has it. None: chosen by parts.
    input_size
        Side in pixels that images are brought to. None: what the backbone says, else 224.

    Source
    ------
    On small sets of medical images: Doerrich et al. 2025, doi:10.1038/s41598-025-92156-9.
    """

    features_kind = "backbone"
    features_depend_on: tuple[str, ...] = ("backbone", "input_size")

    def __init__(
        self,
        backbone: Path | str | None = None,
        penalty: float | None = None,
        input_size: int | None = None,
        random_state: RandomState = None,
    ) -> None:
        super().__init__(penalty=penalty, random_state=random_state)
        self.backbone = backbone
        self.input_size = input_size

    def check_settings(self) -> None:
        """Refuse a penalty or an input size out of range."""
        super().check_settings()
        if self.input_size is not None and self.input_size < 8:
            raise OptionError(
                found=f"input_size={self.input_size}.", needed="8 pixels or more.", do="Correct it, or leave it out."
            )
        if self.input_size is not None and self.backbone is None:
            raise OptionError(
                found=f"input_size={self.input_size} without a backbone.",
                needed="A backbone, since the size is that of its input.",
                do="Add backbone=PATH, or leave it out.",
            )

    def check_images(self, image_shape: Sequence[int]) -> None:
        """Open the backbone and describe one image of this shape, so that a study fails before it begins."""
        if len(image_shape) > 1:
            self.extract(np.zeros((1, *image_shape), np.uint8))

    def extract(self, images: Num[np.ndarray, "image *shape"]) -> Float[np.ndarray, "image feature"]:
        """Describe each image by its features, float32: the same whatever the other images."""
        if self.backbone is None:
            raise OptionError(
                found="The rung pretrained without a backbone.",
                needed="A backbone on this machine: an ONNX file or a Hugging Face image-model folder.",
                do="Write --rung pretrained:backbone=PATH.",
            )
        return open_network(self.backbone, self.input_size).features(images)

    def _as_vectors(self, X: ArrayLike) -> ArrayLike:
        return self.extract(X) if isinstance(X, np.ndarray) and X.ndim > 2 else X
