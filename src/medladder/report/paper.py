"""«For the paper»: the methods of this very study in the past tense, its references, and the reason for its size.

The text is written with marks, `[[delong1988;sun2014]]`, in the place of citations: what is cited is what the study
used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from markupsafe import Markup, escape

from ..language import counted, join, listed, phrase, tr, translate
from ..record.cohort import CohortRecord
from ..record.plan import Plan
from . import wording
from .ahead import say_crossing, say_needed
from .flow import Flow
from .references import REFERENCES, to_bibtex
from .saying import say_resampling

_MARK = re.compile(r"\[\[([a-z0-9;]+)\]\]")
_FEATURES = ("svm", "forest", "boosting")
_NETWORKS = ("nn", "dnn", "cnn")


def gather_paper(
    plan: Plan, cohort: CohortRecord, evidence: dict[str, Any], flow: Flow, *, is_inspected: bool
) -> dict[str, Any]:
    """What the section's template names: titled paragraphs, references in the order of the alphabet, BibTeX."""
    parts = (
        (tr("Data"), _of_data(plan, cohort, flow)),
        (tr("Models"), _of_models(plan)),
        (tr("Learning curves"), _of_sizes(plan, evidence)),
        (tr("Statistics"), _of_statistics(plan, evidence)),
        *([(tr("Inspection"), _of_inspection())] if is_inspected else []),
        (tr("Software"), _of_software(plan)),
    )
    paragraphs = [(title, " ".join(sentences)) for title, sentences in parts]
    keys = sorted({key for _, text in paragraphs for mark in _MARK.findall(text) for key in mark.split(";")})
    return {
        "paragraphs": [(title, _with_links(text)) for title, text in paragraphs],
        "references": [(key, REFERENCES[key]) for key in keys],
        "bibtex": to_bibtex(keys),
        "rationale": list(_of_size(evidence)),
    }


def _cite(*keys: str) -> str:
    return f"[[{';'.join(keys)}]]"


def _with_links(text: str) -> Markup:
    """The marks as citations, each a link to its reference."""

    def cite(found: re.Match[str]) -> str:
        each = [f'<a href="#ref-{key}" lang="en">{escape(REFERENCES[key].cited)}</a>' for key in found[1].split(";")]
        return f"({'; '.join(each)})"

    return Markup(_MARK.sub(cite, str(escape(wording.keep_percent(text)))))


def _of_data(plan: Plan, cohort: CohortRecord, flow: Flow) -> Iterator[str]:
    known = {"name": cohort.name, "images": flow.n_analysed, "classes": listed(cohort.classes)}
    if flow.n_patients is None:
        yield tr("The cohort “{name}” was analysed with {images} images of the classes {classes}.", **known)
        yield tr("Patients were not identified, so each image was taken as independent.")
    else:
        yield tr(
            "The cohort “{name}” was analysed with {images} images of {patients} patients and the classes {classes}.",
            **known, patients=flow.n_patients,
        )  # fmt: skip
        yield tr("All images of a patient and all exact copies of an image were kept in one part.")
    if "mnist" in cohort.name.lower():
        yield tr("It belongs to the MedMNIST collection {cite}.", cite=_cite("yang2023"))
    if flow.left_out:
        reasons = "; ".join(f"{wording.count(count)}: {reason}" for reason, count in flow.left_out)
        yield tr("Images left out before the analysis: {reasons}.", reasons=reasons)
    yield _say_test(plan)
    if plan.keep_val:
        yield tr("The cohort's own validation part served for choosing only.")
    prepared = plan.image["preparation"]
    size = " × ".join(map(str, prepared["size"]))
    yield tr(
        "Images were brought to {size} by resampling ({how}).", size=size, how=say_resampling(prepared["resampling"])
    )
    if prepared.get("window"):
        window = prepared["window"]
        yield tr(
            "Intensities were windowed at a centre of {centre} and a width of {width}.",
            centre=window["centre"], width=window["width"],
        )  # fmt: skip
    if prepared.get("is_cropped"):
        yield tr("Empty background was cropped.")
    if prepared.get("box_mm"):
        yield tr("A box of {box} mm about the middle was kept.", box=" × ".join(map(str, prepared["box_mm"])))


def _say_test(plan: Plan) -> str:
    if plan.leave_out is not None:
        return tr(
            "Each value of “{column}” was left out in turn and served as test set for models trained on the others.",
            column=plan.leave_out,
        )
    if plan.tested_on is not None:
        return tr(
            "Models were tested on another cohort, “{name}”, of which none was used in training.", name=plan.tested_on
        )
    if len(plan.folds) > 1:
        return tr("Testing was by patient-wise stratified {n}-fold cross-validation.", n=len(plan.folds))
    return tr("The test part that came with the cohort was used for testing only.")


def _of_models(plan: Plan) -> Iterator[str]:
    kinds = {planned.kind for planned in plan.rungs}
    yield tr("The classifiers compared were: {rungs}.", rungs=join([one.rung for one in plan.rungs], "; "))
    yield tr(
        "Whatever was chosen (penalties, kernels, numbers of trees, epochs, thresholds) was chosen on patients held "
        "out within the training subset, never on test patients."
    )
    if "prior" in kinds:
        yield tr("The classifier “prior” gave every image the class frequencies of its training subset.")
    if "logistic" in kinds:
        yield tr(
            "Logistic regression with an L2 penalty was fitted to the standardised pixel values of the unrolled image "
            "{cite}.",
            cite=_cite("hastie2004"),
        )
    if kinds & set(_FEATURES):
        yield tr(
            "Hand-crafted features described intensity, gradients {hog}, local binary patterns {lbp} and grey-level "
            "co-occurrence {glcm}.",
            hog=_cite("dalal2005"), lbp=_cite("ojala2002"), glcm=_cite("haralick1973"),
        )  # fmt: skip
    if "svm" in kinds:
        yield tr(
            "On them a support vector machine with a Gaussian kernel was trained {cite}.", cite=_cite("cortes1995")
        )
    if "forest" in kinds:
        yield tr("On them extremely randomised trees were grown {cite}.", cite=_cite("geurts2006"))
    if "boosting" in kinds:
        yield tr("On them gradient-boosted trees were grown {cite}.", cite=_cite("friedman2001"))
    yield from _of_networks(plan, kinds)
    if "pretrained" in kinds:
        yield tr("A frozen pretrained backbone gave features, on which a penalised logistic regression was fitted.")
    if plan.covariates:
        yield translate(phrase("Covariates: {said}", said=plan.describe_covariates() or ""))
        if plan.covariates["normal_class"] is not None:
            yield tr("Their effect was removed by regression {cite}.", cite=_cite("dukart2011"))


def _of_networks(plan: Plan, kinds: set[str]) -> Iterator[str]:
    for planned in plan.rungs:
        if planned.kind in ("nn", "dnn") and planned.layers:
            nodes = " → ".join(wording.count(one) for one in planned.layers)
            yield tr("The network {rung} saw the unrolled image and had {nodes} nodes.", rung=planned.rung, nodes=nodes)
        if planned.kind == "cnn":
            yield tr("The network {rung} was convolutional.", rung=planned.rung)
    if kinds & set(_NETWORKS):
        members = sorted({planned.members for planned in plan.rungs if planned.kind in _NETWORKS and planned.members})
        yield tr(
            "Networks were trained by AdamW {adamw} with a one-cycle learning rate {cycle}; weights were kept from the "
            "step that did best on the patients held out by each member of the ensemble.",
            adamw=_cite("loshchilov2019"), cycle=_cite("smith2018"),
        )  # fmt: skip
        if members:
            yield tr(
                "Ensembles had {n} members, whose probabilities were averaged.", n=listed([str(n) for n in members])
            )
    if "cnn" in kinds:
        yield tr("Convolutions were initialised with a variance made for rectifiers {cite}.", cite=_cite("he2015"))


def _of_sizes(plan: Plan, evidence: dict[str, Any]) -> Iterator[str]:
    unit, sizes = wording.UNITS[evidence["unit"]], listed([wording.count(size) for size in plan.sizes])
    yield _say_repeats(plan.repeats, sizes, unit)
    if plan.repeats > 1:
        yield tr(
            "The subsets of a repeat were nested; those of different repeats overlapped as little as the pool allowed."
        )
    if len(plan.sizes) > 1:
        yield tr(
            "Curves of AUROC against training size were fitted by Bayesian averaging over parametric families "
            "{families} with sequential Monte Carlo {smc}, and continued to ten times the largest size.",
            families=_cite("viering2023"), smc=_cite("delmoral2006"),
        )  # fmt: skip
    late = sum(bool(extension.get("after_looking")) for extension in plan.extensions)
    if late:
        yield tr("The study was extended after results had been seen ({n} times).", n=late)


def _say_repeats(n_repeats: int, sizes: str, unit: str) -> str:
    """How often each classifier was trained at which sizes."""
    return translate(
        counted(
            n_repeats,
            "Every classifier was trained once at each size: {sizes} training {unit}s.",
            "Every classifier was trained in {n} repeats at each size, with another stratified subset and another seed "
            "each: {sizes} training {unit}s.",
            sizes=sizes,
            unit=unit,
        )
    )


def _of_statistics(plan: Plan, evidence: dict[str, Any]) -> Iterator[str]:
    unit, share = wording.UNITS[evidence["unit"]], f"{100 * evidence['confidence']:.0f}"
    yield tr(
        "Scores were computed per {unit} on {n} test {unit}s and averaged over repeats.",
        unit=unit, n=evidence["n_test"]["patients"],
    )  # fmt: skip
    yield tr(
        "The variance of AUROC over test patients was estimated without a model {delong}; intervals of {confidence} % "
        "were score intervals {score} that also held, where repeats allowed, the variance between training subsets, "
        "with approximate degrees of freedom {dof}.",
        delong=_cite("delong1988", "sun2014"), score=_cite("newcombe2006"), dof=_cite("satterthwaite1946"),
        confidence=share,
    )  # fmt: skip
    yield tr("Intervals of proportions were score intervals {cite}.", cite=_cite("wilson1927"))
    yield tr(
        "Secondary metrics were balanced accuracy, accuracy, the Brier score {brier}, average precision {ap} and a "
        "debiased calibration error {calibration}.",
        brier=_cite("brier1950"), ap=_cite("boyd2013"), calibration=_cite("ferro2012"),
    )  # fmt: skip
    if evidence["comparisons"]:
        yield tr(
            "Classifiers were compared in pairs on the same test {unit}s, with simultaneous intervals {max_t}; the "
            "recommended one was the simplest that none was shown to beat, by multiple comparisons with the best "
            "{best}, with a difference of {margin} AUROC counting as none.",
            unit=unit, max_t=_cite("hothorn2008"), best=_cite("hsu1984"), margin=f"{plan.margin:g}",
        )  # fmt: skip
        yield tr("Its score was also corrected for having been picked {cite}.", cite=_cite("tsamardinos2018"))
    if evidence["positive"]:
        yield tr(
            "The decision threshold was that of the best balanced accuracy on held-out patients of the training "
            "subset, or the training prevalence where a class was too thin."
        )
    else:
        yield tr("An image was assigned the class of the largest ratio of its probability to the training prevalence.")
    yield tr("Mean ROC curves were averaged vertically {cite}.", cite=_cite("fawcett2006"))
    if plan.operating.prevalence is not None and evidence["positive"]:
        yield tr(
            "Predictive values {ppv} and a decision curve of net benefit {benefit} were computed for a prevalence of "
            "{share} %.",
            ppv=_cite("mossman2001"), benefit=_cite("vickers2006"), share=f"{100 * plan.operating.prevalence:g}",
        )  # fmt: skip


def _of_inspection() -> Iterator[str]:
    yield tr(
        "Of the networks trained at the largest size, each unit's region was measured by its mean gradient {regions}, "
        "its pattern compared with Gabor functions {gabor}, its preferred input drawn by activation maximisation "
        "{maximisation}, and each layer probed by logistic regression on patients that the network had not learned "
        "from {probes}.",
        regions=_cite("luo2016"), gabor=_cite("jones1987"), maximisation=_cite("erhan2009"), probes=_cite("alain2016"),
    )  # fmt: skip


def _of_software(plan: Plan) -> Iterator[str]:
    names = {"scikit-learn": "pedregosa2011", "torch": "paszke2019", "scikit-image": "vanderwalt2014"}
    told = []
    for name, version in plan.versions.items():
        cite = f" {_cite(names[name])}" if name in names else ""
        told.append(f"{name} {version}{cite}")
    yield tr(
        "{versions}. All random numbers followed from seed {seed}.",
        versions=", ".join(told),
        seed=str(plan.seed),
    )


def _of_size(evidence: dict[str, Any]) -> Iterator[str]:
    """Why so many patients, and what more would have brought: from curve and forecast alone."""
    unit, verdict = wording.UNITS[evidence["unit"]], evidence["verdict"]
    pick = verdict["recommended"]
    rung = next(one for one in evidence["rungs"] if one["rung"] == pick)
    if rung["points"]:
        last = rung["points"][-1]
        yield tr(
            "The number of {unit}s was what was available: {n} for training at most and {n_test} for testing, where "
            "{rung} reached an AUROC of {auroc}.",
            unit=unit, n=last["n_train"], n_test=evidence["n_test"]["patients"], rung=pick,
            auroc=wording.estimate_with_span(last["auroc"]),
        )  # fmt: skip
    if rung["curve"] is None:
        yield tr("No learning curve was measured, so nothing was concluded on other sample sizes.")
        return
    gain = rung["curve"]["gain_at_twice"]
    yield tr(
        "Twice the training {unit}s were estimated to change the AUROC of {rung} by {gain} ({span}); the belief that "
        "the gain would exceed the margin of {margin} was {belief}.",
        unit=unit, rung=pick, gain=wording.difference(gain["estimate"]), span=wording.span(gain, signed=True),
        margin=f"{evidence['margin']:g}", belief=wording.percent(gain["more_than_margin"]),
    )  # fmt: skip
    if verdict["needed"] is not None:
        yield say_needed(pick, verdict["needed"], evidence["unit"])
    yield from _matter(verdict["crossover"] or [], evidence["unit"])
    yield tr("This took for granted that further {unit}s would be like these.", unit=unit)


def _matter(crossings: Sequence[dict[str, Any]], unit: str) -> Iterator[str]:
    for crossing in crossings:
        if crossing["matters"]:
            yield say_crossing(crossing, unit)
