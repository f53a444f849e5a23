"""The networks of a study or of a model, opened to be looked into again: on other images, or at one image alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int, UInt
from sklearn.base import BaseEstimator

from medladder import rungs
from medladder.cohort import Cohort
from medladder.errors import CohortError, InputError, ModelError, OptionError, StudyError, unknown_name
from medladder.images.prepare import Preparation
from medladder.record.folder import KeptNetwork, StudyFolder
from medladder.record.plan import Plan
from medladder.rungs.choosing import Calibration
from medladder.rungs.draws import Draw
from medladder.splits import draw_seed, groups_of, parts_for_choosing
from medladder.weights.freezing import Frozen, thaw

from .answering import Answering, decide
from .files import read_prepared
from .fitting import rows_to_learn_from
from .folder import INSPECTION, RECORD, is_model, read_model, read_model_inspection
from .graph import open_graph, to_graph
from .known import Known, study_draw
from .likeness import Likeness
from .model import Model

if TYPE_CHECKING:  # what imports torch is imported where it is used: reading what stands written does without
    from medladder.inspection.explaining import Explanation
    from medladder.inspection.layered import LayeredNetwork


@dataclass(frozen=True, eq=False)
class Opened:
    """A fitted network rung, and what it was fitted on as far as its folder says."""

    path: Path
    rung: BaseEstimator
    name: str
    classes: tuple[str, ...]
    shape: tuple[int, ...]
    preparation: Preparation
    seed: int
    margin: float
    decision: tuple[float, ...]
    """Weights of the decision: for the class of largest probability / weight."""
    trained_on: UInt[np.ndarray, "content 16"] | None
    """Content hashes of the images it learned from; None where its folder does not hold them."""
    model: Model | None = None
    plan: Plan | None = None

    def answering(self, likeness: Likeness | None = None, *, threads: int | None = None) -> Answering:
        """What answers about files: the model, or the network as the study fitted it, uncalibrated."""
        if self.model is not None:
            return self.model.answering(threads)
        as_it_is = Calibration(1.0, np.zeros(len(self.classes)))
        ask = open_graph(to_graph(self.rung, as_it_is, self.shape, self.classes), threads)
        return Answering(self.classes, self.shape, self.preparation, self.decision, ask, likeness)

    @property
    def networks(self) -> tuple[LayeredNetwork, ...]:
        """Its members."""
        from medladder.inspection.layered import networks_of

        return networks_of(self.rung, self.shape)


def read_inspection(path: Path, rung: str | None = None) -> dict[str, Any]:
    """What stands written of one network of a study, or of a model's.

    Of a study's networks that of `rung`; by default the recommended one, else the last of the ladder.

    Raises
    ------
    StudyError
        The study has no inspection, or not of this rung.
    ModelError
        The model has none: it is no network, or was made by an older version.
    """
    if _is_study(path):
        folder = StudyFolder(path)
        whole = folder.read_inspection()
        if whole is None or not whole["networks"]:
            _kept_networks(folder)  # says so where there is nothing to look into
            raise StudyError(
                found=f"{path} holds no inspection of a network.",
                needed="A study that ran to its end, and not with --no-inspection.",
                do="Give 'medladder study' the same command again, without --no-inspection; what stands is kept.",
            )
        by_name = {one["rung"]: one for one in whole["networks"]}
        chosen = _chosen(rung, list(by_name), folder)
        others = {name: whole[name] for name in ("structure", "taper")}
        return {**by_name[chosen], "others": [name for name in by_name if name != chosen], **others}
    _refuse_rung(rung)
    found = read_model_inspection(path)
    if found is None:
        _require_network(read_model(path))  # which says what is wrong with the folder, if that is why
        raise ModelError(
            found=f"{path} holds no {INSPECTION}.",
            needed="A model whose rung is logistic, nn, dnn or cnn, made by this version.",
            do="Fit such a rung, or look into it on a cohort: --on COHORT.",
        )
    return found


def open_network(path: Path, rung: str | None = None) -> Opened:
    """Open the network that a study kept, or that a model is; which one as for `read_inspection`.

    Raises
    ------
    StudyError
        The study kept no network of this rung.
    ModelError
        The folder cannot be trusted.
    InputError
        Neither a study nor a model, or the rung is no network.
    """
    if not _is_study(path):
        _refuse_rung(rung)
        model = read_model(path)
        record = model.record
        _require_network(model)
        return Opened(
            path,
            model.rung,
            str(record.rung["rung"]),
            record.classes,
            record.shape,
            record.preparation,
            int(record.training["seed"]),
            0.02,
            tuple(record.decision["weights"]),
            model.trained_on,
            model=model,
        )
    folder = StudyFolder(path)
    plan, classes = folder.read_plan(), tuple(folder.read_cohort().classes)
    kept = _kept_networks(folder)
    name = _chosen(rung, list(kept), folder)
    spec, shape = rungs.parse_rung(name), tuple(plan.image["shape"])
    try:
        fitted = thaw(spec, shape, len(classes), Frozen(kept[name].arrays, kept[name].facts, None))
    except ValueError as error:
        raise StudyError(
            found=f"The network of {name} in {path} cannot be trusted: {error}.",
            needed="The file as the study wrote it.",
            do="Restore it from a copy, or run the study again.",
        ) from error
    return Opened(
        path,
        fitted,
        name,
        classes,
        shape,
        Preparation.of_json(plan.image["preparation"]),
        plan.seed,
        plan.margin,
        _decision(folder, plan, name),
        kept[name].trained_on,
        plan=plan,
    )


def inspect_on(opened: Opened, cohort: Cohort) -> dict[str, Any]:
    """Look into the layers with another cohort's images, or again with its own; as `inspection.json` has one network.

    Probes are fitted on patients that the networks did not learn from: of its own cohort those that each member held
    out, of another one all.

    Raises
    ------
    CohortError
        Images of another size or kind, or classes of other names.
    """
    from medladder.inspection.whole import look_into

    if cohort.images.shape[1:] != opened.shape:
        raise CohortError(
            found=f"Images of {_written(cohort.images.shape[1:])}.",
            needed=f"{_written(opened.shape)}, as {opened.name} was trained on: as many channels, and the same axes.",
            do="Bring a cohort of the same kind of images.",
        )
    labels = _labels(opened, cohort)
    draw = _own_draw(opened, cohort)
    if draw is None:
        draw = _foreign_draw(opened, cohort, labels)
    return look_into(
        opened.rung,
        cohort.images,
        labels,
        cohort.patients,
        draw,
        name=opened.name,
        classes=opened.classes,
        margin=opened.margin,
        seed=opened.seed,
    ).facts_alone()


def explain_file(
    opened: Opened,
    file: Path,
    *,
    name: str | None = None,
    known: Callable[[], Known | None] = lambda: None,
    likeness: Likeness | None = None,
) -> Explanation:
    """Explain what the network says of one image file; among images it has learned from, also the nearest of these.

    `name` is what the file is called where its path is not what anyone named. A study's network knows its training
    images by `known_images`, asked for once the file is read, and what is unlike them by `likeness_of_study`.

    Raises
    ------
    InputError
        The file is no image, or of another kind than those trained on.
    """
    from medladder.inspection.explaining import explain

    pixels, is_foreign = read_prepared(file, opened.preparation, opened.shape)
    networks = opened.networks
    unlike: bool | None
    if opened.model is not None:
        proba = opened.model.predict_proba(pixels[None])[0]
        unlike = bool(opened.model.is_unlike(pixels[None])[0]) or is_foreign
        decision = int(opened.model.decide(proba[None])[0])
    else:
        unlike = is_foreign or None if likeness is None else bool(likeness.is_unlike(pixels[None])[0]) or is_foreign
        proba = opened.rung.predict_proba(pixels[None])[0]
        decision = int(decide(proba[None], opened.decision)[0])
    among = known()
    return explain(
        networks,
        pixels,
        file=name or str(file),
        rung=opened.name,
        classes=opened.classes,
        probabilities=tuple(float(one) for one in proba),
        decision=opened.classes[decision],
        unlike_training=unlike,
        nearest=None if among is None else among.nearest(pixels),
        seed=opened.seed,
    )


def _kept_networks(folder: StudyFolder) -> dict[str, KeptNetwork]:
    """The networks of a study by rung; raises StudyError where there are none."""
    plan = folder.read_plan()
    networks = [one.rung for one in plan.rungs if one.members is not None and not one.has_covariates]
    if not networks:
        raise StudyError(
            found=f"{folder.path} is a study of {', '.join(one.rung for one in plan.rungs)}.",
            needed="A network on the image alone: logistic, nn, dnn or cnn.",
            do="Give 'medladder study' the same command again with one of these more; what stands is kept.",
        )
    kept = {rung: folder.read_network(plan.first_fleet(rung)) for rung in networks}
    if not any(kept.values()):
        raise StudyError(
            found=f"{folder.path} kept no network.",
            needed="A study that fitted one at full size, run by this version.",
            do="Give 'medladder study' the same command again if it was stopped; else run it into a new --out.",
        )
    return {rung: network for rung, network in kept.items() if network is not None}


def _is_study(path: Path) -> bool:
    if StudyFolder(path).is_study:
        return True
    if not is_model(path):
        raise InputError(
            found=f"{path} is no folder of a study or a model." if path.exists() else f"{path} is not there.",
            needed=f"The folder of a study (with plan.json) or of a model (with {RECORD}).",
            do="Check the path; 'medladder study COHORT --out RUN' makes the one, 'medladder fit' the other.",
        )
    return False


def _refuse_rung(rung: str | None) -> None:
    if rung is not None:
        raise OptionError(found="--rung with a model.", needed="A model is of one rung.", do="Drop --rung.")


def _chosen(rung: str | None, names: Sequence[str], folder: StudyFolder) -> str:
    """The one asked for, its settings in any order; refuses a rung whose layers cannot be looked into."""
    if rung is None:
        return _default(folder, names)
    name = rung
    with suppress(OptionError):  # a typo is told beside the study's own networks
        name = rungs.parse_rung(rung).rung
    if name in names:
        return name
    if any(planned.rung == name and planned.members is None for planned in folder.read_plan().rungs):
        raise _no_layers(f"{name} has no layers.")
    raise unknown_name("network of this study", name, names)


def _require_network(model: Model) -> None:
    kinds = {known.name for known in rungs.LADDER if known.network is not None}
    if model.record.rung["kind"] not in kinds:
        raise _no_layers(f"A model of the rung {model.record.rung['rung']}.")


def _no_layers(found: str) -> InputError:
    return InputError(
        found=found,
        needed="logistic, nn, dnn or cnn: other rungs have no layers to look into.",
        do="Choose one of these.",
    )


def _default(folder: StudyFolder, names: Sequence[str]) -> str:
    """The recommended rung where it is one of these, else the last of the ladder."""
    try:
        recommended = str(folder.read_evidence()["verdict"]["recommended"])
    except StudyError:  # not weighed yet
        recommended = ""
    return recommended if recommended in names else names[-1]


def _decision(folder: StudyFolder, plan: Plan, rung: str) -> tuple[float, ...]:
    key = plan.first_fleet(rung)
    found = [trial for trial in folder.read_trials() if trial.fleet == key.name and trial.repeat == key.first]
    if not found or found[0].decision is None:
        raise StudyError(
            found=f"{folder.path} has no trial of the network it kept of {rung}.",
            needed="trials.jsonl as the study wrote it.",
            do="Restore it from a copy, or give 'medladder study' the same command again.",
        )
    return tuple(found[0].decision["weights"])


def _labels(opened: Opened, cohort: Cohort) -> Int[np.ndarray, " image"]:
    """The cohort's classes as the network numbers them, told by name."""
    places = {name.casefold(): place for place, name in enumerate(opened.classes)}
    unknown = [name for name in cohort.classes if name.casefold() not in places]
    if unknown or len(cohort.classes) != len(opened.classes):
        raise CohortError(
            found=f"Classes {', '.join(cohort.classes)}.",
            needed=f"The classes of the network: {', '.join(opened.classes)}.",
            do="Name the classes alike.",
        )
    return np.array([places[name.casefold()] for name in cohort.classes])[cohort.labels]


def _own_draw(opened: Opened, cohort: Cohort) -> Draw | None:
    """The rows that the network was fitted on, if this is the cohort it was fitted on."""
    if opened.model is not None:
        training = opened.model.record.training
        if cohort.fingerprint != training["cohort"]["fingerprint"]:
            return None
        return rows_to_learn_from(
            cohort,
            opened.seed,
            keep_test=bool(training["test_part_kept_apart"]),
            group_near=bool(training.get("near_copies_grouped", False)),
        )
    plan = opened.plan
    assert plan is not None
    if cohort.fingerprint != plan.cohort["fingerprint"]:
        return None
    return study_draw(plan, cohort, opened.name)


def _foreign_draw(opened: Opened, cohort: Cohort, labels: Int[np.ndarray, " image"]) -> Draw:
    """All rows but those it was trained on, in parts, of which each member is asked about another."""
    if opened.trained_on is None:
        raise StudyError(
            found=f"{opened.path} does not say which images {opened.name} was trained on.",
            needed="Their content hashes: the probes must meet no image that the network knows.",
            do="Look with the study's own cohort, or run the study into a new --out.",
        )
    known = {bytes(one).hex() for one in opened.trained_on}
    rows = np.flatnonzero([content not in known for content in cohort.contents.tolist()])
    if len(np.unique(labels[rows])) < len(opened.classes):
        is_joined = opened.plan is not None and opened.plan.tested_on is not None
        raise CohortError(
            found="Without the images that the network was trained on a class is missing.",
            needed="Images of every class that it has not seen.",
            do="Bring another cohort; what was found on its own stands in the study: leave --on out."
            if is_joined
            else "Bring another cohort, or the very one it was trained on.",
        )
    groups = groups_of(cohort.patients, cohort.contents)
    fold, is_thin = parts_for_choosing(
        labels[rows], cohort.patients[rows], groups[rows], seed=opened.seed, fold=0, repeat=0
    )
    return Draw(rows, fold, draw_seed(opened.seed, 0, 0), is_thin)


def _written(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))
