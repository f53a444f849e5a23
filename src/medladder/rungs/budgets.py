"""What the network of a rung holds and costs, and how that grows with the image, before anything is built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from medladder.architecture import SIDES, Budget, convolution_layers, count, dense_layers, with_side
from medladder.errors import OptionError
from medladder.rungs import RungSpec, build, convolution_settings, layers, members


@dataclass(frozen=True)
class RungBudget:
    """One rung on images of one size, and on images of other sizes."""

    rung: str
    image_shape: tuple[int, ...]
    budget: Budget
    growth: tuple[tuple[tuple[int, ...], Budget | None], ...]
    """By image shape; None where its `depth` asks for more halvings than such an image allows."""

    def to_json(self) -> dict[str, Any]:
        """The budget whole; of other sizes the sums."""
        sums = ("parameters", "multiply_adds", "model_bytes", "training_bytes")
        grown = [
            {"image": shape, **{name: getattr(budget, name) if budget else None for name in sums}}
            for shape, budget in self.growth
        ]
        return {"rung": self.rung, **asdict(self.budget), "growth": grown}


def weigh_rung(spec: RungSpec, image_shape: Sequence[int], n_classes: int = 2, batch: int = 64) -> RungBudget:
    """Count a rung's network at one size of image, and at `medladder.architecture.SIDES`.

    Raises
    ------
    OptionError
        The rung is no network, its settings describe none on such images, or a size is below 1.
    """
    shapes = [with_side(image_shape, side) for side in SIDES]
    return RungBudget(
        spec.rung,
        tuple(image_shape),
        count_rung(spec, image_shape, n_classes, batch),
        tuple((shape, _count_if_any(spec, shape, n_classes, batch)) for shape in shapes),
    )


def count_rung(spec: RungSpec, image_shape: Sequence[int], n_classes: int = 2, batch: int = 64) -> Budget:
    """Count one network of a rung; a `batch_size` among its settings comes before `batch`.

    `logistic` is solved on all its rows at once and not trained in batches, so it has no training bytes.

    Raises
    ------
    OptionError
        As `weigh_rung`.

    Example
    -------
    >>> from medladder.rungs import parse_rung
    >>> [count_rung(parse_rung(name), (28, 28)).parameters for name in ("logistic", "nn", "dnn", "cnn")]
    [785, 100609, 218465, 71921]
    """
    if settings := convolution_settings(spec):
        planned: Sequence[Any] = convolution_layers(image_shape, n_classes=n_classes, **settings)
    elif nodes := layers(spec, image_shape, n_classes):
        planned = dense_layers(image_shape, nodes[1:-1], n_classes)
    else:
        raise OptionError(
            found=f"Rung '{spec.rung}'.",
            needed="A network, whose layers follow from the size of the image: logistic, nn, dnn or cnn.",
            do="Name one of these.",
        )
    rung = build(spec)
    is_trained_in_steps = hasattr(rung, "batch_size")
    return count(planned, members=members(spec) or 1, batch=(rung.batch_size or batch) if is_trained_in_steps else None)


def _count_if_any(spec: RungSpec, image_shape: tuple[int, ...], n_classes: int, batch: int) -> Budget | None:
    try:
        return count_rung(spec, image_shape, n_classes, batch)
    except OptionError:
        return None
