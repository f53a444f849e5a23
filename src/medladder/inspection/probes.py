"""Where in a network the classes come apart: linear probes after every layer, and its front under other classifiers.

Everything is measured on patients that the network did not learn from. A member of an ensemble holds out a part of the
patients (`rungs.training.members_of`); its probes are fitted and scored within that part, by parts of it in turn. The
member did choose when to stop by its part, so that its own answers, and so its later layers, may look a little better
here than on patients whom nobody saw; the pixels and the random network have no such help.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int, Num
from sklearn.ensemble import RandomForestClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import Tensor

from ..evidence.intervals import FEW_PATIENTS, Interval
from ..language import join, phrase
from ..rungs.draws import Draw, evenly, may_learn, parts_of
from ..rungs.logistic import LogisticClassifier
from .layered import LayeredNetwork
from .pairing import HeldOut, auroc_interval_of, hold_out, paired_difference

PROBE_PARTS = 5
"""Parts, at most, in which a probe's patients are held out from it in turn."""

LEAST_PATIENTS = 4
"""Patients of a class in a network's part, at least: two parts for its probe, with two of them in each."""

INPUT_BYTES = 2**29
"""Fewer images are probed where their pixels would need more than this."""

TREES = 200

_PARTS = 0x9A27  # keeps the parts' random numbers apart from what else a seed is used for
_ROWS_AT_ONCE, _VALUES_AT_ONCE = 128, 2**21
_CENTRING_ROWS = 512
_LEAST_ROWS = 100  # of a class that is rare among more rows than are wanted


@dataclass(frozen=True)
class Probe:
    """Macro AUROC of a logistic regression on what a layer passes on, on patients held out from network and probe."""

    name: str
    trained: Interval
    random: Interval | None
    """The same layer at random weights; None at the input, which has none."""
    against_output: Interval | None
    """The trained layer's probe less the probe at the output, paired; None at the output itself."""


@dataclass(frozen=True)
class Probes:
    """The probes of a network's layers, from the input to the output."""

    input: Probe
    layers: tuple[Probe, ...]
    separable_from: str | None
    """The first layer, or "input", from which on no probe is inferior to the output's by the margin; None where the
    output itself tells nothing, its interval reaching one half."""
    images: int
    patients: int
    note: str | None
    """What the numbers do not say by themselves; None where there is nothing to add."""


@dataclass(frozen=True)
class AsExtractor:
    """A network's front, up to its last hidden layer, under a classifier of another kind."""

    classifier: str
    layer: str
    auroc: Interval
    against_end_to_end: Interval
    """Its macro AUROC less that of the network itself, paired."""


@dataclass(frozen=True, eq=False)
class _Part:
    """A network, the rows to measure it on, by their place in the draw, and the probe's part that each is in."""

    member: int
    network: LayeredNetwork
    held: Int[np.ndarray, " row"]
    fold: Int[np.ndarray, " row"]
    is_thin: bool


def probe_layers(
    networks: Sequence[LayeredNetwork],
    images: Num[np.ndarray, "image ..."],
    labels: Int[np.ndarray, " image"],
    patients: Int[np.ndarray, " image"],
    draw: Draw,
    *,
    n_classes: int,
    margin: float = 0.02,
    seed: int = 0,
    at_most: int = 1500,
) -> Probes | None:
    """Fit a linear probe at the input and after every layer, of each member on the patients it held out.

    `networks` are the members of the ensemble fitted on `draw`, in order. A probe sees a hidden layer's values, of a
    convolution the mean and the largest value of each channel, of the output its sums, at the input the pixels as the
    network sees them; at most `at_most` images a network. It is scored in each of its parts by itself, and the scores
    averaged by patients, so that every patient counts once. None where no patient was held out, see `why_no_probe`.

    A probe learns from about as many images as a member holds out, most often a fifth of all: at the input, where it
    has the most to learn, it falls short of a logistic regression on everything. Intervals hold the chance of the
    patients, not that of fitting network and probe anew. With the mean and the largest value of a channel, *where* it
    was seen is lost: probes of early convolutions may fall short of the pixels' own.

    Source
    ------
    Alain & Bengio 2016, arXiv 1610.01644. Layers are tested from the output backwards until the first fails, an order
    fixed beforehand, which needs no correction for many tests (Maurer, Hothorn & Lehmacher 1995).
    """
    most = min(at_most, max(INPUT_BYTES // (4 * math.prod(images.shape[1:])), 200))
    measured = list(_parts(networks, labels, patients, draw, n_classes, seed, most))
    if not measured:
        return None
    names = networks[0].names
    codes, who = labels[draw.rows], patients[draw.rows]
    scores = np.full((1 + 2 * len(names), len(draw.rows), n_classes), np.nan)
    whose = np.full(len(draw.rows), -1)
    for part in measured:
        whose[part.held] = part.member * PROBE_PARTS + part.fold
        seen = images[draw.rows[part.held]]
        for place, values in enumerate(_all_values(part, seen, seed)):
            scores[place, part.held] = _probed(values, codes[part.held], part, seed)
    at_input, *held = (hold_out(one, codes, who, whose) for one in scores)
    trained, random = held[: len(names)], held[len(names) :]
    output = trained[-1]
    layers = [
        _probe(name, mine, null, None if mine is output else output)
        for name, mine, null in zip(names, trained, random, strict=True)
    ]
    probes = [_probe("input", at_input, None, output), *layers]
    return Probes(
        input=probes[0],
        layers=tuple(layers),
        separable_from=_separable_from(probes, margin),
        images=int((whose >= 0).sum()),
        patients=len(np.unique(who[whose >= 0])),
        note=_note(measured, len(networks), draw),
    )


def compare_as_extractor(
    networks: Sequence[LayeredNetwork],
    images: Num[np.ndarray, "image ..."],
    labels: Int[np.ndarray, " image"],
    patients: Int[np.ndarray, " image"],
    draw: Draw,
    *,
    n_classes: int,
    seed: int = 0,
    at_most: int = 2000,
) -> tuple[Interval, tuple[AsExtractor, ...]] | None:
    """Score the network end to end, and its front under a support vector machine and under a random forest.

    Both learn from the last hidden layer's values of `at_most` rows that the member itself learned from, and are scored
    beside the member's own answer on the part it held out; of the three the member alone chose by that part when to
    stop. Settings are scikit-learn's defaults, nothing is tuned. A support vector machine's scores are its distances,
    one class against the rest; a forest's, as a network's, are probabilities. The tuple is empty for a network without
    a hidden layer. None where no patient was held out, see `why_no_probe`.
    """
    measured = list(_parts(networks, labels, patients, draw, n_classes, seed, None))
    if not measured:
        return None
    codes, who = labels[draw.rows], patients[draw.rows]
    last = len(networks[0].weights) - 2
    kinds = ("svm", "forest") if last >= 0 else ()
    scores = np.full((1 + len(kinds), len(draw.rows), n_classes), np.nan)
    whose = np.full(len(draw.rows), -1)
    for part in measured:
        whose[part.held] = part.member
        held = layer_values(part.network, images[draw.rows[part.held]], [*([last] if kinds else []), last + 1])
        scores[0, part.held] = _answers(held[-1])
        if kinds:
            learned = _thinned(np.flatnonzero(~_held_rows(draw, part.member, len(networks))), codes, at_most)
            [front] = layer_values(part.network, images[draw.rows[learned]], [last])
            for place, kind in enumerate(kinds, start=1):
                scores[place, part.held] = _classified(kind, front, codes[learned], held[0], n_classes, seed)
    end_to_end, *others = (hold_out(one, codes, who, whose) for one in scores)
    found = tuple(
        AsExtractor(kind, networks[0].names[last], auroc_interval_of(one), paired_difference(one, end_to_end))
        for kind, one in zip(kinds, others, strict=True)
    )
    return auroc_interval_of(end_to_end), found


def why_no_probe(
    networks: Sequence[LayeredNetwork],
    labels: Int[np.ndarray, " image"],
    patients: Int[np.ndarray, " image"],
    draw: Draw,
    *,
    n_classes: int,
) -> str | None:
    """Say in a sentence why nothing can be probed; None where something can."""
    if any(True for _ in _parts(networks, labels, patients, draw, n_classes, 0, None)):
        return None
    if not any(_held_rows(draw, member, len(networks)).any() for member in range(len(networks))):
        return phrase("The network learned from every patient, so none is left to probe it on.")
    return phrase("No network holds out {n} patients of every class, too few to probe it on.", n=LEAST_PATIENTS)


def layer_values(
    network: LayeredNetwork, images: Num[np.ndarray, "image ..."], layers: Sequence[int]
) -> list[Float32[np.ndarray, "image feature"]]:
    """Values of some layers, counted from 0; of a convolution the mean and then the largest value of each channel.

    A few images at a time: a convolution's maps of all of them may not fit in memory.
    """
    found: list[list[np.ndarray]] = [[] for _ in layers]
    rest = [_behind(network, layer) for layer in range(max(layers) + 1)]
    with torch.inference_mode():
        for value in _seen_in_blocks(network, images):
            for layer, one in enumerate(rest):
                value = one.values(value, 0)
                if layer in layers:
                    found[layers.index(layer)].append(_few(value).numpy())
    return [np.concatenate(blocks) for blocks in found]


def patient_parts(
    labels: Int[np.ndarray, " row"], patients: Int[np.ndarray, " row"], n_parts: int, rng: np.random.Generator
) -> Int[np.ndarray, " row"]:
    """Deal rows to parts by patient, evenly over the sets of classes that patients have."""
    _, whose = np.unique(patients, return_inverse=True)
    classes, codes = np.unique(labels, return_inverse=True)
    has = np.zeros((whose.max() + 1, len(classes)), dtype=bool)
    has[whose, codes] = True
    _, stratum = np.unique(has, axis=0, return_inverse=True)
    shuffled = rng.permutation(len(has))
    order = shuffled[np.argsort(stratum.ravel()[shuffled], kind="stable")]
    part = np.empty(len(has), dtype=int)
    part[order] = np.arange(len(has)) % n_parts
    return part[whose]


def _parts(
    networks: Sequence[LayeredNetwork],
    labels: Int[np.ndarray, " image"],
    patients: Int[np.ndarray, " image"],
    draw: Draw,
    n_classes: int,
    seed: int,
    at_most: int | None,
) -> Iterator[_Part]:
    """One network a part of the draw, where its part holds enough patients of every class."""
    codes, who = labels[draw.rows], patients[draw.rows]
    # Members beyond the parts hold out patients that another did: with them, a patient would count twice.
    for member in range(min(len(networks), max(parts_of(draw.fold), 1))):
        held = np.flatnonzero(_held_rows(draw, member, len(networks)))
        if not len(held):
            continue
        held = held if at_most is None else _thinned(held, codes, at_most)
        pairs = np.unique(np.stack([who[held], codes[held]]), axis=1)
        fewest = int(np.bincount(pairs[1], minlength=n_classes).min())
        for n_parts in range(min(PROBE_PARTS, fewest // (LEAST_PATIENTS // 2)), 1, -1):
            rng = np.random.default_rng([seed, member, _PARTS])
            fold = patient_parts(codes[held], who[held], n_parts, rng)
            if all(len(np.unique(codes[held][fold == part])) == n_classes for part in range(n_parts)):
                yield _Part(member, networks[member], held, fold, fewest < FEW_PATIENTS)
                break


def _held_rows(draw: Draw, member: int, n_members: int) -> Bool[np.ndarray, " row"]:
    """Rows that a member did not learn from, as `rungs.training.members_of` deals them."""
    parts = parts_of(draw.fold)
    if n_members == 1 or not parts:
        return ~may_learn(draw.fold)
    return draw.fold == member % parts


def _thinned(rows: Int[np.ndarray, " row"], codes: Int[np.ndarray, " any"], at_most: int) -> Int[np.ndarray, " some"]:
    """At most about so many rows, evenly in every class, of a rare class a few in any case."""
    share = min(at_most / max(len(rows), 1), 1.0)
    of_classes = [rows[codes[rows] == k] for k in np.unique(codes[rows])]
    kept = [evenly(own, max(math.ceil(share * len(own)), _LEAST_ROWS)) for own in of_classes]
    return np.sort(np.concatenate(kept)) if kept else rows


def _all_values(
    part: _Part, images: Num[np.ndarray, "image ..."], seed: int
) -> Iterator[Float32[np.ndarray, "image value"]]:
    """The pixels as seen, then every layer's values, then those of the same network at random weights."""
    network = part.network
    yield np.concatenate([seen.flatten(1).numpy() for seen in _seen_in_blocks(network, images)])
    layers = range(len(network.weights))
    yield from layer_values(network, images, layers)
    some = evenly(np.arange(len(images)), _CENTRING_ROWS)
    yield from layer_values(network.randomised(seed + part.member, network.see(images[some])), images, layers)


def _behind(network: LayeredNetwork, layer: int) -> LayeredNetwork:
    """What is left of a network behind its first so many layers: its first layer is the next one."""
    shapes = None if network.convolutions is None else network.convolutions[layer:]
    return replace(network, weights=network.weights[layer:], convolutions=shapes)


def _seen_in_blocks(
    network: LayeredNetwork, images: Num[np.ndarray, "image ..."]
) -> Iterator[Float32[Tensor, "row ..."]]:
    at_once = min(_ROWS_AT_ONCE, max(_VALUES_AT_ONCE // math.prod(network.seen_shape), 1))
    for start in range(0, len(images), at_once):
        yield network.see(images[start : start + at_once])


def _few(values: Float32[Tensor, "row unit ..."]) -> Float32[Tensor, "row feature"]:
    """Of a convolution's maps what the output sees of the last: the mean of each, then the largest value of each."""
    if values.ndim == 2:
        return values
    maps = values.flatten(2)
    return torch.cat([maps.mean(dim=2), maps.amax(dim=2)], dim=1)


def _probed(
    values: Float32[np.ndarray, "row value"], codes: Int[np.ndarray, " row"], part: _Part, seed: int
) -> Float[np.ndarray, "row class_"]:
    draw = Draw(np.arange(len(codes)), part.fold, seed, is_thin=part.is_thin)
    return LogisticClassifier().fit(values, codes, draw=draw).out_of_part_proba_


def _answers(sums: Float32[np.ndarray, "row output"]) -> Float[np.ndarray, "row class_"]:
    """Probabilities from the output's sums."""
    wide = torch.from_numpy(sums).double()
    if wide.shape[1] > 1:
        return torch.softmax(wide, dim=1).numpy()
    return torch.sigmoid(torch.cat([-wide, wide], dim=1)).numpy()


def _classified(
    kind: str,
    front: Float32[np.ndarray, "learned value"],
    codes: Int[np.ndarray, " learned"],
    held: Float32[np.ndarray, "row value"],
    n_classes: int,
    seed: int,
) -> Float[np.ndarray, "row class_"]:
    if kind == "forest":
        forest = RandomForestClassifier(TREES, random_state=seed).fit(front, codes)
        return forest.predict_proba(held)
    machine = SVC() if n_classes == 2 else OneVsRestClassifier(SVC())
    distance = make_pipeline(StandardScaler(), machine).fit(front, codes).decision_function(held)
    return np.column_stack([-distance, distance]) if distance.ndim == 1 else distance


def _probe(name: str, trained: HeldOut, random: HeldOut | None, output: HeldOut | None) -> Probe:
    return Probe(
        name,
        auroc_interval_of(trained),
        None if random is None else auroc_interval_of(random),
        None if output is None else paired_difference(trained, output),
    )


def _separable_from(probes: Sequence[Probe], margin: float) -> str | None:
    *before, output = probes
    if output.trained.low <= 0.5:
        return None
    first = output.name
    for probe in reversed(before):
        if probe.against_output is None or probe.against_output.low <= -margin:
            break
        first = probe.name
    return first


def _note(measured: Sequence[_Part], n_networks: int, draw: Draw) -> str | None:
    told = []
    possible = min(n_networks, parts_of(draw.fold))
    if len(measured) < possible:
        told.append(
            phrase(
                "{few} of {n} networks hold out too few patients of a class.",
                few=possible - len(measured), n=possible,
            )
        )  # fmt: skip
    if any(part.is_thin for part in measured):
        told.append(
            phrase("A class has fewer than {n} held-out patients a network: probes learn little.", n=FEW_PATIENTS)
        )
    return join(told) if told else None
