"""The rung `cnn`: a convolutional network on pictures and volumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from medladder.architecture import BYTES_PER_NUMBER, convolution_layers, split_channels
from medladder.errors import InputError
from medladder.rungs.draws import Sample
from medladder.rungs.networks import NetworkClassifier, are_images
from medladder.rungs.recipe import ConvolutionRecipe, DeviceName, FlipName, require_class_weight


class ConvolutionalNetworkClassifier(NetworkClassifier):
    """Convolutions with ever fewer positions and ever more channels: the rung `cnn`, for pictures and volumes.

    `width` is the channels of the last stage, `depth` the number of stages; None follows from the image's size, see
    `medladder.architecture.convolution_layers`. `epochs` and `batch_size` of None follow the number of rows, see
    `medladder.rungs.filters.pace`.

    While it learns, an image is moved by up to `shift` of its side, zoomed by up to `zoom`, and its contrast and
    brightness changed by up to `exposure`, each time anew. `flips` mirrors images "horizontal"ly or along "all" axes;
    by default none, for the side on which something lies may be what tells the classes apart. `standardise` gives each
    image mean 0 and spread 1 of its own, so that exposure says nothing; turn it off where brightness alone does.

    A vector has no neighbours to convolve with: it is seen as one position with a channel a column, which makes every
    convolution a dense layer, and nothing is moved or standardised. A lone member learns from every row and stops
    nothing early.
    """

    def __init__(
        self,
        *,
        width: int = 64,
        depth: int | None = None,
        weight_decay: float = 0.05,
        shift: float = 0.06,
        zoom: float = 0.06,
        exposure: float = 0.1,
        flips: FlipName | None = None,
        standardise: bool = True,
        class_weight: Mapping[Any, float] | str | None = None,
        members: int = 3,
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float = 6e-3,
        device: DeviceName = "cpu",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.width = width
        self.depth = depth
        self.weight_decay = weight_decay
        self.shift = shift
        self.zoom = zoom
        self.exposure = exposure
        self.flips = flips
        self.standardise = standardise
        self.class_weight = class_weight
        self.members = members
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.device = device
        self.random_state = random_state

    def check_settings(self) -> None:
        """Raise an `OptionError` for a setting out of range, as `fit` would."""
        self._recipe()
        require_class_weight(self.class_weight)

    def check_images(self, image_shape: Sequence[int]) -> None:
        """Raise an `OptionError` where images of this shape cannot be halved `depth` times, as `fit` would."""
        convolution_layers(image_shape, width=self.width, depth=self.depth)

    def model_bytes(self, image_shape: Sequence[int], n_classes: int) -> int:
        """Bytes of a fitted model, all members together."""
        layers = convolution_layers(image_shape, width=self.width, depth=self.depth, n_classes=n_classes)
        return BYTES_PER_NUMBER * self.members * sum(layer.parameters for layer in layers)

    def predict_proba(self, X: ArrayLike) -> Float[np.ndarray, "image class_"]:
        """Mean probability over the members, a column a class in the order of `classes_`.

        Raises
        ------
        InputError
            The images have another shape than those learned from.
        """
        check_is_fitted(self)
        learned = self.ensemble_.layers[0]
        if are_images(X) and split_channels(X.shape[1:]) != (learned.size, learned.channels):
            raise InputError(
                found=f"Images of {_written(*split_channels(X.shape[1:]))}.",
                needed=f"As learned from: {_written(learned.size, learned.channels)}.",
                do="Bring the images to that size.",
            )
        return super().predict_proba(X)

    def _train_ensembles(self, images: Shaped[np.ndarray, "image ..."], samples: Sequence[Sample]) -> Sequence[Any]:
        from medladder.rungs.filters import train_ensembles

        return train_ensembles(images, samples, self._recipe(), self.device)

    def _start_ensembles(self, images: Shaped[np.ndarray, "image ..."], samples: Sequence[Sample]) -> Sequence[Any]:
        from medladder.rungs.filters import start_ensembles

        return start_ensembles(images, samples, self._recipe(), self.device)

    def _ask(
        self, images: Shaped[np.ndarray, "image ..."], members: Sequence[int] | None = None
    ) -> Float[np.ndarray, "image class_"]:
        from medladder.rungs.filters import predict

        return predict(self.ensemble_, images, members)

    def _recipe(self) -> ConvolutionRecipe:
        return ConvolutionRecipe(
            width=self.width,
            depth=self.depth,
            members=self.members,
            weight_decay=self.weight_decay,
            shift=self.shift,
            zoom=self.zoom,
            exposure=self.exposure,
            flips=self.flips,
            standardise=self.standardise,
            learning_rate=self.learning_rate,
            epochs=self.epochs,
            batch=self.batch_size,
        )


def _written(size: tuple[int, ...], channels: int) -> str:
    return f"{'×'.join(map(str, size))} positions and {channels} channel{'s' if channels > 1 else ''}"
