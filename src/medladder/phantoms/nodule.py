"""Chest radiographs with one small nodule at a random place in a lung, or none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from .canvas import Field, cloud, ellipse_depth, grain, grid, ridge, scatter, soft, turn
from .patient import DrawnPatient

# How often a patient has 1, 2 or 3 images, whatever the class.
IMAGES_OF_PATIENT = (0.6, 0.25, 0.15)
TRUTH = ("row", "column", "radius", "contrast")


@dataclass(frozen=True)
class Chest:
    """One patient's anatomy, in chest coordinates: origin between the lungs, lengths as shares of the image."""

    width: float
    height: float
    domes: tuple[float, float]
    heart: tuple[float, float]
    mediastinum: float
    rib_spacing: float
    rib_phase: float
    rib_strength: float
    fat: float
    vessels: Float[np.ndarray, "point 2"]
    calibres: Float[np.ndarray, " point"]


@dataclass(frozen=True)
class Nodule:
    """A ball of soft tissue: its centre in chest coordinates, radius, lobulation and peak contrast."""

    across: float
    down: float
    radius: float
    contrast: float
    lobes: Float[np.ndarray, "harmonic 2"]


@dataclass(frozen=True)
class View:
    """How a patient stood before the detector for one image, and how it was exposed."""

    across: float
    down: float
    zoom: float
    tilt: float
    gain: float
    shift: float

    def to_chest(self, across: Field, down: Field) -> tuple[Field, Field]:
        """From the image's coordinates to the chest's."""
        return turn((across - self.across) / self.zoom, (down - self.down) / self.zoom, self.tilt)

    def to_image(self, points: Float[np.ndarray, "point 2"]) -> Float[np.ndarray, "point 2"]:
        """From the chest's coordinates to the image's."""
        across, down = turn(points[:, 0], points[:, 1], -self.tilt)
        return np.stack([across * self.zoom + self.across, down * self.zoom + self.down], axis=1)


def draw_patient(rng: np.random.Generator, label: int, size: int, *, quadrant: int | None = None) -> DrawnPatient:
    """Draw one patient; the clear twin (same `rng`, other label) differs by the nodule's shadow alone.

    With `quadrant` (0 upper left, 1 upper right, 2 lower left, 3 lower right, as the image is seen) the nodule
    stays within it. The truth of each picture: the nodule's centre and radius, in pixels, and its peak contrast
    as a share of full scale, before clipping at white.
    """
    chest = _draw_chest(rng)
    views = [_draw_view(rng) for _ in range(1 + rng.choice(3, p=IMAGES_OF_PATIENT))]
    nodule = _place_nodule(rng, chest, views, quadrant)
    shown = nodule if label else None
    # A generator a picture, so that one picture's noise, which depends on size, does not move the next.
    pictures = [_expose(own, chest, view, shown, size) for own, view in zip(rng.spawn(len(views)), views, strict=True)]
    truth = [_seen_at(nodule, view, size) if label else dict.fromkeys(TRUTH, np.nan) for view in views]
    return DrawnPatient(pictures, truth)


def _seen_at(nodule: Nodule, view: View, size: int) -> dict[str, float]:
    column, row = (view.to_image(np.array([[nodule.across, nodule.down]]))[0] + 0.5) * size - 0.5
    return {
        "row": float(row),
        "column": float(column),
        "radius": nodule.radius * view.zoom * size,
        "contrast": nodule.contrast * view.gain,
    }


def _draw_chest(rng: np.random.Generator) -> Chest:
    heart = rng.normal(0.15, 0.01)
    right_dome = rng.normal(0.25, 0.014)
    vessels, calibres = _grow_vessels(rng)
    return Chest(
        width=rng.normal(1.0, 0.03),
        height=rng.normal(1.0, 0.03),
        domes=(right_dome, right_dome + rng.normal(0.03, 0.012)),
        heart=(heart, heart * rng.normal(0.92, 0.06)),
        mediastinum=rng.normal(0.055, 0.006),
        rib_spacing=rng.normal(0.088, 0.004),
        rib_phase=rng.uniform(0, 1),
        rib_strength=rng.uniform(0.04, 0.08),
        fat=rng.normal(0, 0.03),
        vessels=vessels,
        calibres=calibres,
    )


def _draw_view(rng: np.random.Generator) -> View:
    across, down = rng.normal(0, 0.012, 2)
    return View(
        across=float(across),
        down=float(down),
        zoom=rng.normal(1.0, 0.025),
        tilt=rng.normal(0, 0.02),
        gain=rng.normal(1, 0.06),
        shift=rng.normal(0.03, 0.025),
    )


def _grow_vessels(
    rng: np.random.Generator,
) -> tuple[Float[np.ndarray, "point 2"], Float[np.ndarray, " point"]]:
    """Arteries from both hila: at each of three forks a branch gives two, thinner and shorter."""
    sides = np.repeat([-1.0, 1.0], 5)
    starts = np.stack([sides * 0.085, np.tile(0.0, 10) + rng.normal(0, 0.02, 10)], axis=1)
    angles = np.tile(np.array([-1.25, -0.6, 0.1, 0.75, 1.25]), 2) + rng.normal(0, 0.15, 10)
    calibre, length = 1.0, 0.11
    points, weights = [], []
    for _ in range(4):
        lengths = length * rng.uniform(0.7, 1.3, len(angles))
        steps = np.stack([sides * np.cos(angles), np.sin(angles)], axis=1) * lengths[:, None]
        along = np.linspace(0, 1, 16, endpoint=False)[:, None, None]
        points.append((starts + along * steps).reshape(-1, 2))
        weights.append(np.tile(calibre * lengths / 16, 16))
        starts, sides = np.repeat(starts + steps, 2, axis=0), np.repeat(sides, 2)
        forks = np.tile([-0.4, 0.4], len(angles)) * rng.uniform(0.5, 1.4, 2 * len(angles))
        angles = np.repeat(angles, 2) + forks
        calibre, length = calibre * 0.6, length * 0.72
    return np.concatenate(points), np.concatenate(weights)


def _lung_depth(chest: Chest, across: Field, down: Field) -> Field:
    """Depth inside the air of either lung: the chest's cage less diaphragm, heart and mediastinum."""
    cage = _cage_depth(chest, across, down)
    from_middle = np.abs(across)
    dome = np.where(across < 0, chest.domes[0], chest.domes[1])
    diaphragm = dome + 1.5 * (from_middle / chest.width - 0.17) ** 2 - down
    middle = from_middle - chest.mediastinum - 0.05 * np.exp(-((down / 0.09) ** 2))
    heart = _heart_depth(chest, across, down)
    return np.minimum(np.minimum(cage, diaphragm), np.minimum(middle, -heart))


def _cage_depth(chest: Chest, across: Field, down: Field) -> Field:
    from_middle = np.abs(across) / chest.width
    down = down / chest.height
    centre, reach = 0.215 + 0.09 * down, 0.18 + 0.12 * down
    edge = np.abs((from_middle - centre) / reach) ** 2.3 + np.abs((down + 0.0) / 0.41) ** 2.3
    return (1 - edge) * reach / 2.3


def _heart_depth(chest: Chest, across: Field, down: Field) -> Field:
    body = ellipse_depth(*turn(across - 0.055, down - 0.14, 0.5), chest.heart[0], chest.heart[1])
    knob = ellipse_depth(across - 0.045, down + 0.13, 0.038, 0.042)
    return np.maximum(body, knob)


def _bones(chest: Chest, across: Field, down: Field) -> Field:
    """Posterior ribs falling outward, fainter anterior ribs falling inward, clavicles."""
    from_middle = np.abs(across)
    behind = down + 0.25 * from_middle - 1.35 * from_middle**2
    before = down - 0.35 * (from_middle - 0.2) + 0.5 * from_middle**2
    posterior = _bands(behind / chest.rib_spacing + chest.rib_phase)
    anterior = _bands(before / (chest.rib_spacing * 1.25) + 1.7 * chest.rib_phase)
    inside = soft(_cage_depth(chest, across, down) + 0.025, 0.01) * soft(0.3 - down, 0.04)
    slope = down + 0.36 + 0.3 * (from_middle - 0.16) - 1.2 * (from_middle - 0.16) ** 2
    clavicle = ridge(slope, 0.012) * soft(from_middle - 0.035, 0.008) * soft(0.36 - from_middle, 0.02)
    return inside * chest.rib_strength * (posterior + 0.45 * anterior) + 0.12 * clavicle


def _bands(phase: Field) -> Field:
    """Bands with sharp borders, one at each whole phase."""
    return soft(np.cos(2 * np.pi * phase) - 0.1, 0.22)


def _place_nodule(rng: np.random.Generator, chest: Chest, views: list[View], quadrant: int | None) -> Nodule:
    """Choose a place at random where the lung, and the quadrant if one is asked for, has room in every view."""
    radius, contrast = rng.uniform(0.044, 0.078), rng.uniform(0.18, 0.34)
    lobes = rng.normal(0, [[0.06], [0.035]], (2, 2))
    places = rng.uniform([-0.4, -0.36], [0.4, 0.36], (1024, 2))
    room = _lung_depth(chest, places[:, 0], places[:, 1]) - 0.8 * radius
    if quadrant is not None:
        sides = np.array([1 if quadrant % 2 else -1, 1 if quadrant // 2 else -1])
        for view in views:
            room = np.minimum(room, (view.to_image(places) * sides).min(axis=1) - view.zoom * radius)
    # The first place with room; in a chest too narrow for one, the roomiest.
    across, down = places[np.argmax(room > 0) if (room > 0).any() else np.argmax(room)]
    return Nodule(float(across), float(down), radius, contrast, lobes)


def _shadow(nodule: Nodule, across: Field, down: Field) -> Field:
    """What a ball adds to the picture: its thickness along the beam, with a lobulated outline."""
    across, down = across - nodule.across, down - nodule.down
    angle = np.arctan2(down, across)
    outline = 1 + sum(
        float(cosine) * np.cos(order * angle) + float(sine) * np.sin(order * angle)
        for order, (cosine, sine) in enumerate(nodule.lobes, start=2)
    )
    distance = np.hypot(across, down) / (nodule.radius * outline)
    return nodule.contrast * np.sqrt(np.clip(1 - distance**2, 0, 1))


def _expose(rng: np.random.Generator, chest: Chest, view: View, nodule: Nodule | None, size: int) -> Field:
    """Take one image: thickness along the beam, then scatter, exposure and counting noise."""
    across, down = view.to_chest(*grid(size))
    lung = soft(_lung_depth(chest, across, down), 0.008)
    heart = soft(_heart_depth(chest, across, down), 0.012)
    spine = ridge(across, chest.mediastinum * 0.8)
    from_middle = np.abs(across)
    body = soft(down + 0.53 - 0.75 * from_middle**2, 0.012) * soft(0.5 * chest.width - from_middle, 0.02)
    tissue = 0.56 + chest.fat + 0.1 * soft(down - 0.2, 0.05) + 0.03 * cloud(rng, size, 5)
    air = 0.42 - 0.1 * down + 0.02 * cloud(rng, size, 6)
    vessels = scatter(view.to_image(chest.vessels), chest.calibres, size, 0.007)
    thickness = body * (tissue + 0.07 * heart + 0.09 * spine) - lung * air
    thickness += _bones(chest, across, down) * body + 0.1 * lung * (1 - np.exp(-vessels / 25))
    if nodule is not None:
        thickness += _shadow(nodule, across, down)
    thickness += 0.03 * cloud(rng, size, 2)
    return view.shift + view.gain * thickness + grain(rng, size, 0.03)
