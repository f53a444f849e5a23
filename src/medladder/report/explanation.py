"""One image explained, as a page: the image, the maps over it, their checks and the nearest training images."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from jaxtyping import Float, UInt8
from matplotlib import image as raster

from ..errors import OptionError

_FOR, _AGAINST = np.array([0xC6, 0x28, 0x28]), np.array([0x1F, 0x5F, 0xA8])
_STRONGEST = 99.5  # percentile of a map's sizes that is drawn at full strength


def write_explanation(found: Mapping[str, Any], out: Path) -> None:
    """Write the page of `inspection.explaining.Explanation.to_page`.

    Raises
    ------
    OptionError
        `out` cannot be written.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(render(found), "utf-8")
    except OSError as error:
        raise OptionError(
            found=f"{out} cannot be written ({error.strerror}).", needed="A place to write to.", do="Use another --out."
        ) from error


@dataclass(frozen=True)
class Drawn:
    """The pictures of one explanation as data URIs; of a volume one slice, `slice` of `slices` from 0."""

    picture: str
    maps: tuple[str, ...]
    near: tuple[str, ...]
    slice: int | None
    slices: int | None


def draw(found: Mapping[str, Any]) -> Drawn:
    """Draw what there is to see; of a volume the slice that the first map marks most."""
    picture, maps = found["picture"], found["maps"]
    where, n_slices = None, None
    if picture.ndim == 4:
        where, n_slices = int((np.asarray(maps[0]) ** 2).sum(axis=(1, 2)).argmax()), len(picture)
    plane = picture if where is None else picture[where]
    return Drawn(
        _embedded(_coloured(plane)),
        tuple(_embedded(overlay(plane, values if where is None else values[where])) for values in maps),
        tuple(_embedded(_coloured(_middle(pixels))) for pixels in found["near_pictures"]),
        where,
        n_slices,
    )


def render(found: Mapping[str, Any]) -> str:
    """The page as text."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("medladder.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        lstrip_blocks=True,
    )
    drawn = draw(found)
    return environment.get_template("explanation.html.j2").render(
        found=found,
        drawn=drawn,
        similarities=[
            {check["layer"]: f"{check['similarity']:.2f}" for check in one["checks"]} for one in found["attributions"]
        ],
        near=[{**near, "picture": picture} for near, picture in zip(found["nearest"] or (), drawn.near, strict=True)],
    )


def overlay(
    picture: UInt8[np.ndarray, "row column channel"], values: Float[np.ndarray, "row column"]
) -> UInt8[np.ndarray, "row column 3"]:
    """The picture in pale grey, red where a map is above 0 and blue where below, stronger where it is larger."""
    grey = _coloured(picture).mean(axis=2, keepdims=True) * 0.6 + 255 * 0.4
    top = float(np.percentile(np.abs(values), _STRONGEST))
    strength = np.clip(np.abs(values) / top, 0, 1)[..., None] if top > 0 else np.zeros((*values.shape, 1))
    colour = np.where(values[..., None] >= 0, _FOR, _AGAINST)
    return np.rint(grey * (1 - strength) + colour * strength).astype(np.uint8)


def _coloured(plane: UInt8[np.ndarray, "row column channel"]) -> UInt8[np.ndarray, "row column 3"]:
    return plane if plane.shape[2] == 3 else np.repeat(plane[:, :, :1], 3, axis=2)


def _middle(picture: UInt8[np.ndarray, "*axis channel"]) -> UInt8[np.ndarray, "row column channel"]:
    return picture[len(picture) // 2] if picture.ndim == 4 else picture


def _embedded(pixels: UInt8[np.ndarray, "row column 3"]) -> str:
    file = BytesIO()
    raster.imsave(file, pixels, format="png")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")
