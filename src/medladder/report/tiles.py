"""Pictures of an inspection inside the page: tiles, what excites their units, and examples to outline regions on."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib import image as raster

TILE_BYTES = 500_000
"""Of tiles and what excites their units, before base64: the page stays well under 3 MB."""

ROOMS = ((8, 3), (8, 2), (8, 1), (6, 1), (4, 1), (4, 0), (2, 0), (0, 0))
"""Units a layer, and pictures under each, from most to least; the first that `TILE_BYTES` have room for is taken."""

OUTLINED_SIDE = 96
"""Examples that regions are outlined on are made smaller to this."""

_NAME = re.compile(r"(unit|excites|on)-[^/\\]+\.png")


def choose_room(pictures: Path, networks: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """How many units of a layer, and pictures under each, the page has room for."""
    for units, examples in ROOMS:
        names = [
            name
            for network in networks
            for layer in network["layers"]
            for shown in layer["features"]["shown"][:units]
            for name in (shown["tile"], *(shown["examples"] or [])[:examples])
        ]
        if sum(path.stat().st_size for path in _files(pictures, names)) <= TILE_BYTES:
            break
    return units, examples


def embed_tiles(pictures: Path, names: Sequence[str | None]) -> list[str | None]:
    """Tiles of one layer in base64, cut alike to where their units look; None for one that is not there."""
    paths = _files(pictures, names)
    tiles = [_read(path) for path in paths]
    cut = _common_window(tiles)
    inside = {
        path.name: _as_it_is(path) if tile[cut].shape == tile.shape else _encode(tile[cut])
        for path, tile in zip(paths, tiles, strict=True)
    }
    return [inside.get(name or "") for name in names]


def embed(pictures: Path, names: Iterable[str | None]) -> list[str]:
    """Files as they are, in base64; those that are not there are left out."""
    return [_as_it_is(path) for path in _files(pictures, names)]


def find(pictures: Path, name: str | None) -> Path | None:
    """One picture that an inspection names, if it is there."""
    return next(iter(_files(pictures, [name])), None)


def embed_small(path: Path) -> str:
    """An example in base64, no side longer than `OUTLINED_SIDE`: by means over whole blocks of pixels."""
    pixels = _read(path)
    by = -(-max(pixels.shape[:2]) // OUTLINED_SIDE)
    if by > 1:
        rows, columns = (side // by for side in pixels.shape[:2])
        blocks = pixels[: rows * by, : columns * by].reshape(rows, by, columns, by, -1)
        pixels = blocks.mean(axis=(1, 3))
    return _encode(pixels)


def _files(pictures: Path, names: Iterable[str | None]) -> list[Path]:
    """Those that are there, of names that an inspection gives; what else stands in the file is not opened."""
    paths = [pictures / name for name in names if name is not None and _NAME.fullmatch(name)]
    return [path for path in paths if path.is_file()]


def _as_it_is(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode("ascii")


def _read(path: Path) -> Float[np.ndarray, "row column channel"]:
    pixels = np.asarray(raster.imread(BytesIO(path.read_bytes()), format="png"), dtype=np.float64)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels[:, :, :3]


def _encode(pixels: Float[np.ndarray, "row column channel"]) -> str:
    buffer = BytesIO()
    rgb = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
    raster.imsave(buffer, np.ascontiguousarray(np.clip(rgb, 0, 1)), format="png", metadata={"Software": None})  # type: ignore[dict-item]
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _common_window(tiles: Sequence[Float[np.ndarray, "row column channel"]]) -> tuple[slice, slice]:
    """The rows and columns in which some tile is not the plain grey of its own corner."""
    whole = (slice(None), slice(None))
    if len({tile.shape[:2] for tile in tiles}) != 1:
        return whole
    is_drawn = np.any([np.abs(tile - tile[0, 0]).max(axis=2) > 0 for tile in tiles], axis=0)
    rows, columns = np.flatnonzero(is_drawn.any(axis=1)), np.flatnonzero(is_drawn.any(axis=0))
    if not len(rows):
        return whole
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
