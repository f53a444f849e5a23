"""Where in one image a network's answer comes from, and whether the map of it may be believed.

What is explained is the members' mean of one number, the log odds of a class against the rest: for two classes the
output itself, its sign turned for the first; for several the class's logit less the log-sum-exp of the others'. A
lone logit would not do there: softmax is blind to what is added to all of them, and so would be half of the map.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from captum.attr import IntegratedGradients
from jaxtyping import Float, Float32, Num
from torch import Tensor
from torch.nn import functional

from ..errors import InputError
from ..language import phrase
from ..rungs.draws import in_unit_range
from .layered import LayeredNetwork
from .sanity import MOST_ALIKE, Check, cascade, is_flat

STEPS, MOST_STEPS = 64, 1024
"""Points on the way from the baseline to the image; doubled until the attributions add up, or there are so many."""

CHECK_STEPS = 16
"""Points on the way for a random network, whose map is only ranked."""

ADDS_UP, AT_LEAST = 0.01, 0.05
"""Completeness that is sought, and beyond which a map is not believed."""

VALUES_AT_ONCE = 2**24
"""Numbers that all members together keep for a gradient; points on the way are cut to that, at least one a call."""

_LINEAR = {2: "bilinear", 3: "trilinear"}


@dataclass(frozen=True, eq=False)
class Attribution:
    """What each place of one image adds to the answer, and how far that can be believed."""

    method: str
    """«integrated gradients» or «grad-cam»."""
    values: Float[np.ndarray, "*axis"]
    """One number a pixel or voxel, channels added up: for the class above 0, against it below; Grad-CAM never below."""
    completeness: float | None
    """How far the values miss what they should add up to, the answer's change from the baseline, as a share of that.

    None for Grad-CAM, which adds up to nothing, and where the answer does not change.
    """
    checks: tuple[Check, ...]
    """From the output down; the last has no learned weight left."""
    is_trustworthy: bool
    reason: str
    """One sentence."""

    def to_json(self) -> dict[str, Any]:
        """As plain values, without the map."""
        return {
            "method": self.method,
            "completeness": self.completeness,
            "checks": [check.to_json() for check in self.checks],
            "is_trustworthy": self.is_trustworthy,
            "reason": self.reason,
        }


def attribute(
    networks: Sequence[LayeredNetwork],
    image: Num[np.ndarray, "..."],
    *,
    towards: int,
    n_classes: int,
    seed: int = 0,
) -> tuple[Attribution, ...]:
    """Integrated gradients, and Grad-CAM where there are convolutions, for one class of one image.

    `networks` are the members of one ensemble. Each map is drawn again with random weights and judged by that.

    Raises
    ------
    InputError
        The image has another shape than the network takes or holds what is no number, or there is no such class.
    """
    _require(networks, image, towards, n_classes)
    seen, baseline = networks[0].see(image[None]), networks[0].see(even_grey(image)[None])
    both = torch.cat([baseline, seen])

    def gradients_of(members: Sequence[LayeredNetwork]) -> Float[np.ndarray, "*axis"]:
        return integrated_gradients(members, seen, baseline, towards, steps=CHECK_STEPS)

    def cam_of(members: Sequence[LayeredNetwork]) -> Float[np.ndarray, "*axis"]:
        return grad_cam(members, seen, towards)

    values, completeness = _complete(networks, seen, baseline, towards)
    checks = cascade(gradients_of, networks, values, both, seed=seed)
    found = [Attribution("integrated gradients", values, completeness, checks, *_judge(values, checks, completeness))]
    if networks[0].convolutions is not None:
        values = cam_of(networks)
        checks = cascade(cam_of, networks, values, both, seed=seed)
        found.append(Attribution("grad-cam", values, None, checks, *_judge(values, checks, None)))
    return tuple(found)


def even_grey(image: Num[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """The baseline: an image that is everywhere, in all channels, the mean of this one.

    A network that standardises its images sees zeros in it, whatever the grey; to another it is as bright as the image,
    so that what is explained is the picture and not its exposure.
    """
    unit = in_unit_range(image)
    return np.full_like(unit, unit.mean(dtype=np.float64))


def integrated_gradients(
    networks: Sequence[LayeredNetwork],
    seen: Float32[Tensor, "1 ..."],
    baseline: Float32[Tensor, "1 ..."],
    towards: int,
    *,
    steps: int,
) -> Float[np.ndarray, "*axis"]:
    """The gradient by what the networks see, averaged on the straight way from the baseline, times that way.

    Without the last factor (captum's `multiply_by_inputs=False`) maps lean less on the image: wholly random weights
    gave maps .02 to .13 alike instead of .31 to .45, and on drawn nodules the nodule's pixels stood out 1.7-fold
    instead of 1.4 (`dnn`) and 12-fold instead of 10 (`cnn`). But then they are no amounts: they do not add up to the
    answer, and a pixel that is like the baseline gets a share. So the factor is kept, and the checks show its price.

    Source
    ------
    Sundararajan et al. 2017, arXiv 1703.01365; by captum, with Gauss-Legendre points.
    """
    first = networks[0]
    kept = math.prod(first.image_shape) + sum(layer.kept for layer in first.convolutions or ())
    rows = max(1, VALUES_AT_ONCE // (kept * len(networks)))
    method = IntegratedGradients(lambda points: log_odds(networks, points, towards))
    found = method.attribute(seen, baselines=baseline, n_steps=steps, internal_batch_size=rows)
    return np.asarray(first.to_image(found.detach())[0].sum(axis=-1, dtype=np.float64))


def grad_cam(
    networks: Sequence[LayeredNetwork], seen: Float32[Tensor, "1 channel ..."], towards: int
) -> Float[np.ndarray, "*axis"]:
    """The maps that the last convolution passes on, pooled where it pools, each times its mean gradient, added up.

    What is below 0 is dropped. The maps of all members stand beside one another, as in one network. The sum is drawn at
    the size of the image, linearly between the middles of the positions: it is no finer than these.

    Source
    ------
    Selvaraju et al. 2017, arXiv 1610.02391, equations 1 and 2.
    """
    last, grid = len(networks[0].weights) - 2, networks[0].grid
    maps = [network.values(seen, last).detach().requires_grad_() for network in networks]
    logits = [network.from_values(value, last) for network, value in zip(networks, maps, strict=True)]
    gradients = torch.autograd.grad(_mean_log_odds(logits, towards).sum(), maps)
    weighed = [
        (value.detach() * gradient.flatten(2).mean(dim=2).view(*gradient.shape[:2], *(1,) * len(grid))).sum(dim=1)
        for value, gradient in zip(maps, gradients, strict=True)
    ]
    speaks_for = torch.stack(weighed).sum(dim=0, keepdim=True).relu()
    drawn = functional.interpolate(speaks_for, size=grid, mode=_LINEAR[len(grid)], align_corners=False)
    return drawn[0, 0].double().numpy()


def log_odds(
    networks: Sequence[LayeredNetwork], seen: Float32[Tensor, "row ..."], towards: int
) -> Float32[Tensor, " row"]:
    """What is explained: the members' mean log odds of a class against the rest."""
    return _mean_log_odds([network.logits(seen) for network in networks], towards)


def _mean_log_odds(logits: Sequence[Float32[Tensor, "row output"]], towards: int) -> Float32[Tensor, " row"]:
    each = torch.stack(list(logits))
    if each.shape[2] == 1:
        return (each[..., 0] if towards == 1 else -each[..., 0]).mean(dim=0)
    others = [output for output in range(each.shape[2]) if output != towards]
    return (each[..., towards] - each[..., others].logsumexp(dim=2)).mean(dim=0)


def _complete(
    networks: Sequence[LayeredNetwork],
    seen: Float32[Tensor, "1 ..."],
    baseline: Float32[Tensor, "1 ..."],
    towards: int,
) -> tuple[Float[np.ndarray, "*axis"], float | None]:
    """Integrated gradients at as many points as they need to add up, and how far they miss."""
    first, last = log_odds(networks, torch.cat([baseline, seen]), towards).tolist()
    steps = STEPS
    while True:
        values = integrated_gradients(networks, seen, baseline, towards, steps=steps)
        if first == last:
            return values, None
        missed = abs(float(values.sum()) - (last - first)) / abs(last - first)
        if missed <= ADDS_UP or steps >= MOST_STEPS:
            return values, missed
        steps *= 2


def _judge(values: Float[np.ndarray, "*axis"], checks: Sequence[Check], completeness: float | None) -> tuple[bool, str]:
    """Whether to believe a map, and why."""
    alike = checks[-1].similarity
    if not values.any():
        return False, phrase("The map is empty: the method finds no place in this image that speaks for the class.")
    if is_flat(values):
        return False, phrase("The map is the same everywhere: it points nowhere.")
    if completeness is not None and completeness > AT_LEAST:
        return False, phrase(
            "The map does not add up: it misses the answer's change from an even grey by {share} of that.",
            share=f"{completeness:.0%}",
        )
    if alike > MOST_ALIKE:
        return False, phrase(
            "The map survives random weights: with nothing of what was learned it is still {alike} alike, more than "
            "{most}, so it shows the image more than the network.",
            alike=f"{alike:.2f}",
            most=f"{MOST_ALIKE:.2f}",
        )
    return True, phrase(
        "With random weights the map is another ({alike} alike, at most {most} is allowed): it hangs on the network's "
        "own weights.",
        alike=f"{alike:.2f}",
        most=f"{MOST_ALIKE:.2f}",
    )


def _require(networks: Sequence[LayeredNetwork], image: Num[np.ndarray, "..."], towards: int, n_classes: int) -> None:
    shape, outputs = networks[0].image_shape, networks[0].units[-1]
    if image.shape != shape:
        raise InputError(
            found=f"An image of {_sides(image.shape)}.",
            needed=f"The network takes {_sides(shape)}.",
            do="Bring the image to that size and kind first, as the model's own reading of files does.",
        )
    if not np.isfinite(image).all():
        raise InputError(
            found="An image with values that are no numbers.",
            needed="Every pixel must have a finite value.",
            do="Export the image again.",
        )
    if n_classes < 2 or outputs != (1 if n_classes == 2 else n_classes) or not 0 <= towards < n_classes:
        raise InputError(
            found=f"Class {towards} of {n_classes}, for a network with {outputs} output{'s' * (outputs > 1)}.",
            needed="Classes are counted from 0; two have one output, more have one each.",
            do="Name a class that the network was trained on.",
        )


def _sides(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape)) or "no size"
