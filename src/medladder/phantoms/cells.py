"""Stained blood smears with one white cell among red ones, four kinds told by nucleus and cytoplasm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from .canvas import Field, cloud, ellipse_depth, grain, grid, scatter, soft, turn
from .patient import DrawnPatient

Colour = tuple[float, float, float]
Picture = Float[np.ndarray, "row column channel"]

PLASMA: Colour = (0.93, 0.88, 0.86)
RED_CELL: Colour = (0.88, 0.62, 0.62)
NUCLEUS: Colour = (0.42, 0.24, 0.56)
CLEARING = 0.24  # from the white cell's centre, as a share of the image's side; no red cell comes nearer


@dataclass(frozen=True)
class Kind:
    """How one kind of white cell usually looks; lengths as shares of the image's side."""

    radius: float
    nucleus: float
    lobes: tuple[int, ...]
    cytoplasm: Colour
    granule: Colour
    granularity: float


LYMPHOCYTE = Kind(0.215, 0.83, (1,), (0.72, 0.78, 0.92), (0.6, 0.6, 0.85), 0.1)
MONOCYTE = Kind(0.285, 0.70, (1,), (0.72, 0.72, 0.84), (0.62, 0.6, 0.76), 0.25)
NEUTROPHIL = Kind(0.26, 0.64, (3, 4, 5), (0.89, 0.77, 0.83), (0.78, 0.62, 0.72), 0.35)
EOSINOPHIL = Kind(0.26, 0.62, (2, 3), (0.91, 0.74, 0.72), (0.86, 0.42, 0.32), 0.7)
KINDS = (LYMPHOCYTE, MONOCYTE, NEUTROPHIL, EOSINOPHIL)


@dataclass(frozen=True)
class Cell:
    """The white cell of one picture; the nucleus is a chain of discs, a notch bends a single one."""

    across: float
    down: float
    radius: float
    squash: float
    angle: float
    discs: Float[np.ndarray, "disc 3"]
    notch: float
    granules: Float[np.ndarray, "granule 2"]
    granularity: float


def draw_patient(rng: np.random.Generator, label: int, size: int) -> DrawnPatient:
    """Draw one patient: one white cell of the class on a field of red ones, stained once.

    The truth: the cell's centre and radius, in pixels; its nucleus' lobes, and area in square pixels.
    """
    cell = _draw_cell(rng, label)
    picture, nucleus_area = _photograph(rng, KINDS[label], cell, size)
    truth = {
        "row": (cell.down + 0.5) * size - 0.5,
        "column": (cell.across + 0.5) * size - 0.5,
        "radius": cell.radius * size,
        "lobes": float(len(cell.discs)),
        "nucleus_area": nucleus_area * size**2,
    }
    return DrawnPatient([picture], [truth])


def _draw_cell(rng: np.random.Generator, label: int) -> Cell:
    kind = KINDS[label]
    radius = kind.radius * float(np.exp(rng.normal(0, 0.1)))
    across, down = rng.normal(0, 0.045, 2)
    n_lobes = int(rng.choice(kind.lobes))
    granules = np.array([across, down]) + rng.normal(0, 0.42, (160, 2)) * radius
    return Cell(
        across=float(across),
        down=float(down),
        radius=radius,
        squash=rng.normal(0, 0.06),
        angle=rng.uniform(0, 2 * np.pi),
        discs=_draw_discs(rng, n_lobes, radius * kind.nucleus * rng.normal(1, 0.07)),
        notch=_draw_notch(rng, kind),
        granules=granules,
        granularity=kind.granularity * float(np.exp(rng.normal(0, 0.35))),
    )


def _draw_notch(rng: np.random.Generator, kind: Kind) -> float:
    """How deep the nucleus is indented, as a share of its radius: monocytes much, lymphocytes hardly."""
    deep, shallow = rng.beta(3, 2.2), 0.35 * rng.beta(1.2, 3)
    return float(deep if kind is MONOCYTE else shallow)


def _draw_discs(rng: np.random.Generator, n_lobes: int, radius: float) -> Float[np.ndarray, "disc 3"]:
    """Lobes on an arc (across, down, radius) whose joint area hardly depends on their number."""
    sizes = radius * rng.normal(1, 0.14, n_lobes) * (1.0, 0.64, 0.55, 0.49, 0.45)[n_lobes - 1]
    turnover = rng.uniform(0.75, 1.2) * (0, 2.6, 3.5, 4.2, 4.8)[n_lobes - 1]
    angles = np.linspace(-turnover / 2, turnover / 2, n_lobes) + rng.normal(0, 0.25, n_lobes)
    arm = (0.0, 0.6, 0.58, 0.6, 0.64)[n_lobes - 1] * radius * rng.normal(1, 0.13, n_lobes)
    return np.stack([arm * np.cos(angles), arm * np.sin(angles), sizes], axis=1)


def _nucleus_depth(cell: Cell, across: Field, down: Field) -> Field:
    """Depth inside the joined lobes, less the notch of a kidney-shaped nucleus."""
    lobes = [float(radius) - np.hypot(across - float(x), down - float(y)) for x, y, radius in cell.discs]
    for (x, y, _), (next_x, next_y, _) in zip(cell.discs[:-1], cell.discs[1:], strict=True):
        lobes.append(_strand_depth(across, down, (x, y), (next_x, next_y), 0.06 * cell.radius))
    # A soft maximum lets neighbouring lobes flow into each other.
    flow = 0.07 * cell.radius
    depth = flow * np.log(sum(np.exp(lobe / flow) for lobe in lobes))
    if len(lobes) > 1:
        return depth
    radius = float(cell.discs[0, 2])
    bite = np.hypot((across + radius * (1.75 - cell.notch)) / 1.25, down) - 0.6 * radius
    return -flow * np.log(np.exp(-depth / flow) + np.exp(-bite / flow))


def _strand_depth(
    across: Field, down: Field, start: tuple[float, float], end: tuple[float, float], width: float
) -> Field:
    x, y = float(end[0] - start[0]), float(end[1] - start[1])
    along = ((across - float(start[0])) * x + (down - float(start[1])) * y) / (x * x + y * y)
    along = np.clip(along, 0, 1)
    return width - np.hypot(across - float(start[0]) - along * x, down - float(start[1]) - along * y)


def _photograph(rng: np.random.Generator, kind: Kind, cell: Cell, size: int) -> tuple[Picture, float]:
    """One field of the smear, and the nucleus' share of it."""
    across, down = grid(size)
    focus = rng.uniform(0.006, 0.016)
    picture = np.full((size, size, 3), PLASMA, np.float32)
    _paint_red_cells(rng, picture, cell, focus)
    x, y = turn(across - cell.across, down - cell.down, cell.angle)
    wobble = 0.012 * cloud(rng, size, 5)
    body = ellipse_depth(x, y, cell.radius * (1 + cell.squash), cell.radius * (1 - cell.squash)) + wobble
    nucleus = soft(_nucleus_depth(cell, x, y) + 0.5 * wobble + 0.006 * cloud(rng, size, 10), focus)
    specks = 1 - np.exp(-scatter(cell.granules, np.full(len(cell.granules), 1e-3), size, 0.009) / 3)
    inside = soft(body, focus)
    _blend(picture, _vary(rng, kind.cytoplasm, 0.03), inside)
    _blend(picture, _vary(rng, kind.granule, 0.03), np.clip(cell.granularity * specks, 0, 1) * inside)
    _blend(picture, _vary(rng, NUCLEUS, 0.03), nucleus * inside * (0.9 + 0.06 * cloud(rng, size, 14)))
    return _stain(rng, picture), float((nucleus * inside).mean())


def _paint_red_cells(rng: np.random.Generator, picture: Picture, cell: Cell, focus: float) -> None:
    """Discs with a pale middle, pushed aside by the white cell, by as far for every kind: no shortcut to the class."""
    size = len(picture)
    across, down = grid(size)
    for _ in range(rng.integers(7, 13)):
        radius = 0.12 * float(np.exp(rng.normal(0, 0.07)))
        x, y = rng.uniform(-0.6, 0.6, 2)
        gap = CLEARING + radius
        away = max(float(np.hypot(x - cell.across, y - cell.down)), 1e-3)
        if away < gap:
            x, y = cell.across + (x - cell.across) * gap / away, cell.down + (y - cell.down) * gap / away
        squash = rng.normal(0, 0.06)
        turned = turn(across - float(x), down - float(y), rng.uniform(0, np.pi))
        depth = ellipse_depth(*turned, radius * (1 + squash), radius * (1 - squash))
        pallor = 0.55 * soft(depth - 0.55 * radius, 0.2 * radius)
        _blend(picture, RED_CELL, soft(depth, focus) * (1 - pallor) * rng.uniform(0.8, 1.0))


def _vary(rng: np.random.Generator, colour: Colour, spread: float) -> Colour:
    red, green, blue = np.asarray(colour) + rng.normal(0, spread, 3)
    return float(red), float(green), float(blue)


def _blend(picture: Picture, colour: Colour, share: Field) -> None:
    picture += share[..., None] * (np.array(colour, np.float32) - picture)


def _stain(rng: np.random.Generator, picture: Picture) -> Picture:
    """Stain, lamp and camera: dyes of varying strength on optical density, a white balance, noise."""
    density = -np.log(np.clip(picture, 0.02, 1))
    dyes = np.exp(rng.normal(0, 0.1, 3) + rng.normal(0, 0.15)).astype(np.float32)
    lamp = np.float32(rng.normal(1.0, 0.02, 3))
    light = 1 + 0.03 * cloud(rng, len(picture), 2)
    noise = np.stack([grain(rng, len(picture), 0.03, blur=0.006) for _ in range(3)], axis=2)
    return np.exp(-density * dyes) * lamp * light[..., None] + noise
