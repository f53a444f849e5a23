"""What each unit adds to the answer, and for which class it speaks."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from scipy.stats import rankdata
from torch import Tensor

from .layered import LayeredNetwork


def importance_of(network: LayeredNetwork, seen: Float32[Tensor, "row ..."], layer: int) -> Float[np.ndarray, " unit"]:
    """How much of the answer's spread over images goes through each unit, to first order; 0 or more.

    The deviation over images of value times gradient, added up over positions, and its mean over outputs. A unit of the
    output itself counts by its own deviation.
    """
    with torch.no_grad():
        values = network.values(seen, layer)
    if layer == len(network.weights) - 1:
        return values.std(dim=0, correction=0).numpy().astype(np.float64)
    values.requires_grad_()
    outputs = network.from_values(values, layer)
    deviations = []
    for output in range(outputs.shape[1]):
        (slope,) = torch.autograd.grad(outputs[:, output].sum(), values, retain_graph=True)
        share = (slope * values.detach()).flatten(2).sum(dim=2) if values.ndim > 2 else slope * values.detach()
        deviations.append(share.std(dim=0, correction=0))
    return torch.stack(deviations).mean(dim=0).numpy().astype(np.float64)


def classes_favoured(
    values: Float[np.ndarray, "image unit"], labels: Int[np.ndarray, " image"], n_classes: int
) -> Int[np.ndarray, " unit"]:
    """The class whose images each unit ranks highest against the rest; the first of equals."""
    ranks = rankdata(values, axis=0)
    found = np.full((n_classes, values.shape[1]), -np.inf)
    for class_ in range(n_classes):
        mine = labels == class_
        if mine.any() and not mine.all():
            found[class_] = ranks[mine].mean(axis=0) - ranks[~mine].mean(axis=0)
    return found.argmax(axis=0)
