"""One fitted rung looked into: regions, features and probes of every layer, as numbers, and small pictures of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, Num, Shaped, UInt8
from scipy.stats import norm
from skimage.measure import approximate_polygon, find_contours
from skimage.transform import resize
from sklearn.base import BaseEstimator
from torch import Tensor

from ..language import join, parts_of, phrase
from ..rungs.draws import Draw, evenly, may_learn
from ..rungs.logistic import LogisticClassifier
from ..rungs.networks import DenseClassifier
from .growth import MEASURES, dead_units, reference_rows, weigh_slope
from .importance import classes_favoured, importance_of
from .layered import LayeredNetwork, networks_of
from .maximisation import excite, highest_sums, most_exciting_images, patch_of, patch_slices
from .probes import Probes, compare_as_extractor, probe_layers, why_no_probe
from .regions import Projection, Regions, as_trained, mean_gradients, regions_of
from .speaking import speak
from .templates import edge_likeness, planes_of, selectivity, spatial_frequency

TILES = 8
"""Units of a layer that are drawn: those that matter most to the answer, of those alive."""

OUTLINED = 4
"""Of these, units whose region is outlined."""

EXAMPLES = 3
"""Real images or patches shown beside a unit: those that excite it most."""

TILE_SIDE = 64
"""Tiles are made smaller to this."""

GALLERY_IMAGES = 1024
"""Images, at most, among which those that excite a unit most are looked for."""

NULL_UNITS = 100
"""Units at random weights that say what a region of noise looks like, at least."""

NOISE_CHANCE = 0.01
"""Chance that a layer at random weights has a unit whose region would count: areas are taken as log-normal there."""


@dataclass(frozen=True, eq=False)
class Inspection:
    """What was found; `tiles` are drawn from the network alone, `examples` are patients' images or patches of them."""

    facts: dict[str, Any]
    tiles: dict[str, UInt8[np.ndarray, "..."]]
    examples: dict[str, UInt8[np.ndarray, "..."]]

    def facts_alone(self, *, with_tiles: bool = False) -> dict[str, Any]:
        """The facts without the names of patients' images, and of tiles unless these are kept."""
        layers = []
        for layer in self.facts["layers"]:
            shown = [
                {**unit, "examples": [], "tile": unit["tile"] if with_tiles else None}
                for unit in layer["features"]["shown"]
            ]
            regions = {**layer["regions"], "shown": [{**unit, "on": None} for unit in layer["regions"]["shown"]]}
            layers.append({**layer, "regions": regions, "features": {**layer["features"], "shown": shown}})
        return {**self.facts, "layers": layers}


def look_into(
    rung: BaseEstimator,
    images: Shaped[np.ndarray, "image ..."],
    labels: Int[np.ndarray, " image"],
    patients: Int[np.ndarray, " image"],
    draw: Draw,
    *,
    name: str,
    classes: Sequence[str],
    measured: Sequence[Mapping[str, Any]] = (),
    margin: float = 0.02,
    seed: int = 0,
) -> Inspection:
    """Look into the layers of one fitted rung with the images it was fitted on.

    Units are those of the first member; probes use them all. `measured` are networks of this rung measured in training,
    as `growth.weigh_slope` takes them.

    Raises
    ------
    InputError
        The rung is no network on the image.
    """
    networks, n_classes = networks_of(rung, images.shape[1:]), len(classes)
    network, learned = networks[0], draw.rows[may_learn(draw.fold)]
    rows, gallery = reference_rows(learned, math.prod(images.shape[1:])), evenly(learned, _gallery_size(images))
    seen, many = network.see(images[rows]), network.see(images[gallery])
    project = _projection(rung, images, replace(draw, rows=learned, fold=draw.fold[may_learn(draw.fold)]))
    looked = _Looked(network, seen, many, images, gallery, labels, classes, seed, slug(name), project)
    layers: list[dict[str, Any]] = []
    tiles: dict[str, UInt8[np.ndarray, "..."]] = {}
    examples: dict[str, UInt8[np.ndarray, "..."]] = {}
    for layer in range(len(network.names)):
        facts, drawn, shown = _look_at(looked, layer)
        layers.append(facts)
        tiles |= drawn
        examples |= shown
    probes = probe_layers(networks, images, labels, patients, draw, n_classes=n_classes, margin=margin, seed=seed)
    for facts, probe in zip(layers, probes.layers if probes else [None] * len(layers), strict=True):
        facts["probe"] = None if probe is None else _plain_probe(probe)
    slopes = [weigh_slope(measure, measured) for measure in MEASURES] if len(layers) > 1 else []
    found: dict[str, Any] = {
        "rung": name,
        "kind": name.partition(":")[0],
        "members": len(networks),
        "images": len(rows),
        "image_shape": list(images.shape[1:]),
        "classes": list(classes),
        "input": None if probes is None else _plain_probe(probes.input),
        "layers": layers,
        "slopes": [slope.to_json() for slope in slopes],
        "networks": [_medians(one) for one in measured],
        "separable": None if probes is None else _plain_separable(probes, margin),
        "probe_note": _note(probes, network)
        if probes
        else why_no_probe(networks, labels, patients, draw, n_classes=n_classes),
        "extractor": _as_extractor(networks, images, labels, patients, draw, n_classes, seed),
    }
    found["said"] = parts_of(probe_note=found["probe_note"])
    found["sentences"] = speak(found, margin)
    return Inspection(found, tiles, examples)


@dataclass(frozen=True, eq=False)
class _Looked:
    """What is the same for every layer."""

    network: LayeredNetwork
    seen: Float32[Tensor, "row ..."]
    many: Float32[Tensor, "row ..."]
    images: Shaped[np.ndarray, "image ..."]
    gallery: Int[np.ndarray, " row"]
    labels: Int[np.ndarray, " image"]
    classes: Sequence[str]
    seed: int
    slug: str
    project: Projection | None
    """What of weights on pixels training could have left; None where all of them."""


def _projection(rung: BaseEstimator, images: Shaped[np.ndarray, "image ..."], draw: Draw) -> Projection | None:
    """Of a network that learned in the span of its images, which turn noise into patterns of their own."""
    return rung.projection(images, draw) if isinstance(rung, DenseClassifier | LogisticClassifier) else None


def _look_at(looked: _Looked, layer: int) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    network, n_classes = looked.network, len(looked.classes)
    name, labels = network.names[layer], looked.labels[looked.gallery]
    highest = _highest(network, looked.many, layer)
    dead = dead_units(highest, network.activation, is_output=name == "output")
    gradients = mean_gradients(network, looked.seen, layer)
    gradients[dead] = 0
    regions, null = regions_of(gradients), _null(looked, layer)
    noise = _is_noise(regions, null.area, is_confined=network.convolutions is not None)
    planes, planes_null = planes_of(gradients), planes_of(null.gradients)
    matters = importance_of(network, looked.seen, layer)
    favoured = classes_favoured(highest, labels, n_classes)
    sees = ~np.isnan(regions.area)  # a dead unit, or one behind dead ones, sees nothing
    units = np.argsort(-np.where(sees, matters, -1), kind="stable")[: min(TILES, int(sees.sum()))]
    shown, tiles, examples = _draw_units(looked, layer, units, gradients, matters, favoured)
    like = {
        "edge_likeness": (edge_likeness(planes), edge_likeness(planes_null)),
        "frequency": (spatial_frequency(planes), spatial_frequency(planes_null)),
        "selectivity": (
            np.where(dead, np.nan, selectivity(highest, labels, n_classes)),
            selectivity(null.highest, labels, n_classes),
        ),
    }
    outlined, slices = _outline_units(looked, name, regions, units[~noise[units]][:OUTLINED], favoured)
    facts: dict[str, Any] = {
        "name": name,
        "units": network.units[layer],
        "dead": int(dead.sum()),
        "regions": {
            **{part: _spread(getattr(regions, part)) for part in ("area", "pieces", "overlap")},
            "random": {part: _spread(getattr(null, part)) for part in ("area", "pieces", "overlap")},
            "like_noise": int(noise.sum()),
            "by_unit": {
                "area": _plain(regions.area),
                "pieces": _plain(regions.pieces),
                "overlap": _plain(regions.overlap),
                "is_dead": dead.tolist(),
                "is_noise": noise.tolist(),
            },
            "shown": outlined,
        },
        "features": {
            **{part: _spread(values) for part, (values, _) in like.items()},
            "random": {part: _spread(values) for part, (_, values) in like.items()},
            "by_unit": {
                **{part: _plain(values) for part, (values, _) in like.items()},
                "importance": _plain(matters),
                "favours": [looked.classes[class_] for class_ in favoured],
            },
            "shown": shown,
        },
    }
    return facts, tiles, examples | slices


def _outline_units(
    looked: _Looked,
    layer: str,
    regions: Regions,
    units: Int[np.ndarray, " outlined"],
    favoured: Int[np.ndarray, " unit"],
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The regions of a few units; of volumes also the slice outlined, of an image of the class that the unit favours.

    Of flat images the page has examples of its own.
    """
    outlined: list[dict[str, Any]] = []
    slices: dict[str, UInt8[np.ndarray, "..."]] = {}
    labels = looked.labels[looked.gallery]
    for place, unit in enumerate(units.tolist()):
        outline = _outline(regions.core[unit], regions.mass[unit])
        alike = looked.gallery[labels == favoured[unit]]
        outline["on"] = None
        if outline["slice"] is not None and len(alike):
            outline["on"] = f"on-{looked.slug}-{layer}-{unit}.png"
            image = _with_channels(looked.images[alike[place % len(alike)]], looked.network)
            slices[outline["on"]] = to_tile(image[outline["slice"]], is_pixels=True)
        area, pieces = float(regions.area[unit]), int(regions.pieces[unit])
        outlined.append({"unit": unit, "area": area, "pieces": pieces, **outline})
    return outlined, slices


@dataclass(frozen=True, eq=False)
class _Null:
    """Units of a layer at random weights, of those that the network could have started from."""

    gradients: Float32[np.ndarray, "unit *axis channel"]
    highest: Float[np.ndarray, "image unit"]
    area: Float[np.ndarray, " unit"]
    pieces: Float[np.ndarray, " unit"]
    overlap: Float[np.ndarray, " unit"]


def _null(looked: _Looked, layer: int) -> _Null:
    network, drawn = looked.network, []
    times = 1 if network.convolutions is not None else math.ceil(NULL_UNITS / network.units[layer])
    for draw in range(times):
        random = network.randomised(looked.seed + draw, looked.seen)
        drawn.append((mean_gradients(random, looked.seen, layer), _highest(random, looked.many, layer)))
    gradients = as_trained(np.concatenate([gradients for gradients, _ in drawn]), looked.project)
    n_units = network.units[layer]
    regions = [regions_of(gradients[start : start + n_units]) for start in range(0, len(gradients), n_units)]
    return _Null(
        gradients,
        np.concatenate([highest for _, highest in drawn], axis=1),
        *(np.concatenate([getattr(one, part) for one in regions]) for part in ("area", "pieces", "overlap")),
    )


def _highest(network: LayeredNetwork, seen: Float32[Tensor, "row ..."], layer: int) -> Float[np.ndarray, "image unit"]:
    return highest_sums(network, layer, seen).numpy().astype(np.float64)


def _is_noise(regions: Regions, null: Float[np.ndarray, " unit"], *, is_confined: bool) -> Bool[np.ndarray, " unit"]:
    """Mark regions no smaller than those of random weights; a convolution's are small by construction, and count."""
    known = np.log(null[null > 0])
    if is_confined or len(known) < 2:
        return np.zeros(len(regions.area), dtype=bool)
    deviations = float(norm.isf(NOISE_CHANCE / len(regions.area)))
    bound = known.mean() - deviations * max(float(known.std(ddof=1)), 0.01)
    return np.asarray(~(regions.area < math.exp(bound)))


def _draw_units(
    looked: _Looked,
    layer: int,
    units: Int[np.ndarray, " shown"],
    gradients: Float32[np.ndarray, "unit *axis channel"],
    matters: Float[np.ndarray, " unit"],
    favoured: Int[np.ndarray, " unit"],
) -> tuple[list[dict[str, Any]], dict[str, Any], dict[str, Any]]:
    """Tiles of the units shown: what excites each most, drawn from noise, and the real images that do.

    Of a dense first layer the weights themselves are drawn: what excites a weighted sum most is its weights.
    """
    if not len(units):
        return [], {}, {}
    network, chosen = looked.network, units.tolist()
    excited = excite(network, layer, chosen, looked.seen, seed=looked.seed)
    nearest = most_exciting_images(network, layer, chosen, looked.many, n=EXAMPLES)
    middle = patch_slices(network, layer)
    is_weights = layer == 0 and network.convolutions is None
    shown, tiles, examples = [], {}, {}
    for place, unit in enumerate(chosen):
        stem = f"{looked.slug}-{network.names[layer]}-{unit}"
        tiles[f"unit-{stem}.png"] = to_tile(gradients[unit] if is_weights else excited.images[place][middle])
        files = []
        for rank, found in enumerate(nearest[place]):
            image = looked.images[looked.gallery[found]]
            window = patch_of(network, layer, unit, looked.many[int(found)])
            files.append(f"excites-{stem}-{rank}.png")
            examples[files[-1]] = to_tile(_with_channels(image, network)[window], is_pixels=True)
        shown.append(
            {
                "unit": unit,
                "importance": float(matters[unit]),
                "favours": looked.classes[int(favoured[unit])],
                "agreement": _number(excited.agreement[place]),
                "reached": _number(excited.sums[place]),
                "reached_by_images": _number(excited.reached_by_images[place]),
                "tile": f"unit-{stem}.png",
                "drawn_from": "weights" if is_weights else "noise",
                "examples": files,
            }
        )
    return shown, tiles, examples


def to_tile(values: Num[np.ndarray, "*axis channel"], *, is_pixels: bool = False) -> UInt8[np.ndarray, "..."]:
    """A small picture: pixels as they are, else from least to largest; of a volume the liveliest slice."""
    plane = values.astype(np.float64)
    if plane.ndim == 4:
        away = plane - plane.mean()
        plane = plane[int((away**2).sum(axis=(1, 2, 3)).argmax())]
    if is_pixels and np.issubdtype(values.dtype, np.integer):
        plane = plane / np.iinfo(values.dtype).max
    else:
        low, high = np.percentile(plane, (0.5, 99.5))
        plane = np.clip((plane - low) / max(high - low, 1e-12), 0, 1)
    if max(plane.shape[:2]) > TILE_SIDE:
        scale = TILE_SIDE / max(plane.shape[:2])
        sides = tuple(max(1, round(side * scale)) for side in plane.shape[:2])
        plane = resize(plane, (*sides, plane.shape[2]), anti_aliasing=True)
    tile = np.rint(plane * 255).astype(np.uint8)
    return tile if tile.shape[2] == 3 else tile[:, :, 0]


def slug(name: str) -> str:
    """A rung's name as part of a file's, that every system takes."""
    return "".join(letter if letter.isalnum() or letter in ".-" else "_" for letter in name)


def _with_channels(image: Shaped[np.ndarray, "..."], network: LayeredNetwork) -> Shaped[np.ndarray, "*axis channel"]:
    return image.reshape(*network.grid, network.channels)


def _outline(core: Bool[np.ndarray, "*axis"], mass: Float32[np.ndarray, "*axis"]) -> dict[str, Any]:
    """A core's rim as closed lines of (row, column), pixels' centres whole; of a volume where most mass is."""
    where = None
    if core.ndim == 3:
        where = int(mass.sum(axis=(1, 2)).argmax())
        core = core[where]
    lines = [
        approximate_polygon(line - 1, 0.3).round(1).tolist()
        for line in find_contours(np.pad(core, 1).astype(float), 0.5)
    ]
    return {"slice": where, "outlines": lines}


def _gallery_size(images: Shaped[np.ndarray, "image ..."]) -> int:
    return max(32, min(GALLERY_IMAGES, 2**25 // math.prod(images.shape[1:])))


def _as_extractor(
    networks: Sequence[LayeredNetwork],
    images: Shaped[np.ndarray, "image ..."],
    labels: Int[np.ndarray, " image"],
    patients: Int[np.ndarray, " image"],
    draw: Draw,
    n_classes: int,
    seed: int,
) -> dict[str, Any] | None:
    if len(networks[0].weights) < 2:
        return None
    compared = compare_as_extractor(networks, images, labels, patients, draw, n_classes=n_classes, seed=seed)
    if compared is None:
        return None
    whole, others = compared
    return {
        "layer": networks[0].names[-2],
        "end_to_end": whole.to_json(),
        "classifiers": [
            {
                "classifier": other.classifier,
                "auroc": other.auroc.to_json(),
                "against_end_to_end": other.against_end_to_end.to_json(),
            }
            for other in others
        ],
    }


def _plain_probe(probe: Any) -> dict[str, Any]:
    return {
        "auroc": probe.trained.to_json(),
        "random": None if probe.random is None else probe.random.to_json(),
        "against_output": None if probe.against_output is None else probe.against_output.to_json(),
    }


def _note(probes: Probes, network: LayeredNetwork) -> str | None:
    """What the probes do not say by themselves."""
    of_maps = phrase(
        "A convolution is probed by the mean and the largest value of each map: what it says of places is lost."
    )
    said = [probes.note, of_maps if network.convolutions is not None else None]
    return join([note for note in said if note]) if any(said) else None


def _plain_separable(probes: Probes, margin: float) -> dict[str, Any]:
    return {"from": probes.separable_from, "margin": margin, "images": probes.images, "patients": probes.patients}


def _medians(network: Mapping[str, Any]) -> dict[str, Any]:
    """Of one measured network, each measure's medians layer by layer."""
    return {
        of: {measure: [layer[measure] for layer in network[of]] for measure in MEASURES} for of in ("trained", "start")
    }


def _spread(values: Float[np.ndarray, " unit"]) -> dict[str, float] | None:
    """Median and quartiles over units; None where none has a value."""
    known = values[~np.isnan(values)]
    if not len(known):
        return None
    low, middle, high = np.percentile(known, (25, 50, 75))
    return {"median": float(middle), "low": float(low), "high": float(high)}


def _plain(values: Float[np.ndarray, " unit"]) -> list[float | None]:
    return [_number(value) for value in values]


def _number(value: float) -> float | None:
    return round(float(value), 6) if math.isfinite(value) else None
