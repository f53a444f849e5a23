"""Small changes of an image that leave its class alone: it moves, grows, is exposed otherwise; flipped only if asked.

Which side an organ lies on can be the finding, so nothing is mirrored or turned by default.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor
from torch.nn import functional

from medladder.rungs.recipe import ConvolutionRecipe


def vary(
    images: Float32[Tensor, "row channel ..."], recipe: ConvolutionRecipe, rng: np.random.Generator
) -> Float32[Tensor, "row channel ..."]:
    """Change each image in its own way; where nothing is known, the rim is repeated."""
    rows, axes = len(images), images.ndim - 2
    chance = torch.from_numpy(rng.uniform(-1, 1, (2 * axes + 3, rows)).astype(np.float32)).to(images.device)
    places, mirrors, (size, contrast, brightness) = chance[:axes], chance[axes : 2 * axes], chance[2 * axes :]
    if recipe.shift or recipe.zoom or recipe.flips:
        # The last axis of an image comes first here: its columns, which a horizontal flip mirrors.
        to_source = torch.zeros(rows, axes, axes + 1, device=images.device)
        for axis in range(axes):
            is_flipped = recipe.flips == "all" or (recipe.flips == "horizontal" and axis == 0)
            to_source[:, axis, axis] = torch.exp(size * recipe.zoom)
            to_source[:, axis, axis] *= torch.where((mirrors[axis] < 0) & is_flipped, -1.0, 1.0)
            to_source[:, axis, axes] = places[axis] * 2 * recipe.shift  # an image reaches from -1 to 1
        grid = functional.affine_grid(to_source, list(images.shape), align_corners=False)
        images = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    if recipe.exposure:
        each = (rows, *(1,) * (axes + 1))
        images = images * torch.exp(contrast * recipe.exposure).view(each)
        images = images + (brightness * recipe.exposure).view(each)
    return images
