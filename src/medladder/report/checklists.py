"""Reporting checklists, item by item: what this study fills, and what its authors must.

An item names a topic, since the lists ask much the same in other words; a topic is answered once, from the study.
What a list says in full stands in its publication: here are numbers and a short name of each item.

Source
------
TRIPOD+AI: Collins et al. 2024, doi:10.1136/bmj-2023-078378. STARD-AI: Sounderajah et al. 2025,
doi:10.1038/s41591-025-03953-8. CLAIM: Tejani et al. 2024, doi:10.1148/ryai.240300. How the numbering was checked stands
in docs/checklists.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..language import counted, phrase, tr, translate
from ..record.cohort import CohortRecord
from ..record.plan import Plan
from . import saying, wording

Status = Literal["filled", "in part", "author", "not applicable"]

STATUSES = {
    "filled": phrase("filled"),
    "in part": phrase("in part; authors complete"),
    "author": phrase("authors must fill"),
    "not applicable": phrase("not applicable"),
}


@dataclass(frozen=True)
class Study:
    """What the answers are taken from."""

    plan: Plan
    cohort: CohortRecord
    evidence: Mapping[str, Any]
    n_left_out: int
    has_characteristics: bool
    has_networks: bool
    is_inspected: bool


@dataclass(frozen=True)
class Answer:
    """What stands beside an item; `link` is an id of the page."""

    status: Status
    text: str = ""
    link: str | None = None


@dataclass(frozen=True)
class Fixed:
    """An answer that is the same for every study."""

    status: Status
    text: str
    link: str | None


@dataclass(frozen=True)
class Item:
    """One item of a list, answered."""

    number: str
    title: str
    answer: Answer


@dataclass(frozen=True)
class Checklist:
    """One list, answered: how many of its items that apply are filled from the study."""

    name: str
    citation: str
    link: str
    items: tuple[Item, ...]
    doubt: str | None = None
    """What is not certain of its numbers."""

    @property
    def n_filled(self) -> int:
        """Items filled in full."""
        return sum(item.answer.status == "filled" for item in self.items)

    @property
    def n_asked(self) -> int:
        """Items that apply to this study."""
        return sum(item.answer.status != "not applicable" for item in self.items)


def answer_checklists(study: Study) -> list[Checklist]:
    """The three lists, answered."""
    return [
        Checklist(
            name,
            citation,
            link,
            tuple(Item(number, translate(_TOPICS[topic][0]), _answer(topic, study)) for number, topic in items.items()),
            translate(_DOUBTS[name]) if name in _DOUBTS else None,
        )
        for name, citation, link, items in LISTS
    ]


def _answer(topic: str, study: Study) -> Answer:
    given = _TOPICS[topic][1]
    if given is None:
        return Answer("author")
    if isinstance(given, Fixed):
        return Answer(given.status, translate(given.text), given.link)
    return given(study)


def _filled(text: str, link: str) -> Answer:
    return Answer("filled", text, link)


def _of_design(study: Study) -> Answer:
    return _filled(tr("Testing: {split}.", split=saying.say_split(study.plan)), "run")


def _of_preprocessing(study: Study) -> Answer:
    size = " × ".join(map(str, study.plan.image["preparation"]["size"]))
    return _filled(tr("Images brought to {size}; every step stands there.", size=size), "run")


def _of_quality(study: Study) -> Answer:
    n = len(study.cohort.findings)
    text = counted(
        n, "Checked before the study; {n} finding is listed.", "Checked before the study; {n} findings listed."
    )
    return _filled(translate(text), "cohort")


def _of_exclusions(study: Study) -> Answer:
    if not study.n_left_out:
        return _filled(tr("No image was left out."), "figure-flow")
    text = counted(study.n_left_out, "{n} image left out, with its reason.", "{n} images left out, with their reasons.")
    return _filled(translate(text), "figure-flow")


def _of_missing(study: Study) -> Answer:
    if study.plan.covariates:
        return Answer("in part", tr("Images left out are counted; say how missing covariates arose."), "figure-flow")
    return _filled(
        tr("Images without a label or that could not be read were left out; none was imputed."), "figure-flow"
    )


def _of_partitions(study: Study) -> Answer:
    unit = wording.UNITS[study.evidence["unit"]]
    n_test = study.evidence["n_test"]["patients"]
    return _filled(tr("Parts are counted; {n} test {unit}s.", n=n_test, unit=unit), "cohort")


def _of_disjointness(study: Study) -> Answer:
    if study.cohort.patients_known:
        return _filled(tr("By patient: no patient stands on both sides."), "cohort")
    return Answer("in part", tr("By image: patients were not identified."), "cohort")


def _of_architecture(study: Study) -> Answer:
    if study.has_networks:
        return _filled(tr("Networks are drawn with their layers and parameters."), "networks")
    return _filled(tr("The classifiers are described in the methods."), "paper")


def _of_initialisation(study: Study) -> Answer:
    if not study.has_networks:
        return Answer("not applicable", tr("No network was trained."))
    return Answer("in part", tr("Trained from scratch, from the seed that is given; name the initialisation."), "run")


def _of_ensembles(study: Study) -> Answer:
    if any((planned.members or 1) > 1 for planned in study.plan.rungs):
        return _filled(tr("Members' probabilities were averaged."), "paper")
    return Answer("not applicable", tr("No ensemble was used."))


def _of_robustness(study: Study) -> Answer:
    if study.plan.repeats < 2:
        return Answer("author", tr("One repeat: nothing is known of other training draws."))
    text = tr(
        "{n} repeats with other training draws, at {sizes} sizes.", n=study.plan.repeats, sizes=len(study.plan.sizes)
    )
    return _filled(text, "scores")


def _of_explainability(study: Study) -> Answer:
    if study.is_inspected:
        return _filled(tr("Networks were opened; what is claimed was tested against random weights."), "layers")
    return Answer("not applicable", tr("No network was looked into."))


def _of_internal_test(study: Study) -> Answer:
    if study.plan.tested_on is not None:
        return Answer("in part", tr("Out of part, within the training pool."), "portrait")
    return _filled(tr("Scores are of test data of the same cohort."), "rungs")


def _of_external_test(study: Study) -> Answer:
    if study.plan.tested_on is not None:
        return _filled(tr("Tested on another cohort."), "rungs")
    if study.plan.leave_out is not None:
        return Answer(
            "in part", tr("Each value of “{column}” left out in turn.", column=study.plan.leave_out), "portrait"
        )
    return Answer("author", tr("No external data were tested; say why."))


def _of_characteristics(study: Study) -> Answer:
    if study.has_characteristics:
        return Answer("in part", tr("By the columns of the table, part by part; add what they do not hold."), "cohort")
    return Answer("author", tr("The cohort came without such columns."))


def _of_comparison_of_parts(study: Study) -> Answer:
    if study.has_characteristics:
        return _filled(tr("Characteristics stand part by part."), "cohort")
    return Answer("author", tr("The cohort came without such columns."))


def _of_performance(study: Study) -> Answer:
    if study.evidence.get("served", {}).get("subgroups"):
        return _filled(tr("With intervals, and by subgroup."), "rungs")
    return Answer("in part", tr("With intervals; no subgroup could be formed."), "rungs")


def _of_parts(study: Study) -> Answer:
    if study.evidence.get("served", {}).get("subgroups"):
        return Answer("in part", tr("On test data, with intervals and by subgroup; not on training data."), "rungs")
    return Answer("in part", tr("On test data, with intervals; not on training data."), "rungs")


def _of_confusion(study: Study) -> Answer:
    if _has_portrait(study):
        return _filled(tr("Decisions against truth, as a table."), "portrait")
    return Answer("author", tr("Nothing was learned that could be tabled."))


def _of_failures(study: Study) -> Answer:
    if _has_portrait(study):
        return Answer(
            "in part", tr("A confusion matrix and the surest errors; say what they have in common."), "portrait"
        )
    return Answer("author")


def _of_fairness(study: Study) -> Answer:
    if study.evidence.get("served", {}).get("subgroups"):
        return Answer("in part", tr("Scores by subgroup; say what was done about differences."), "portrait")
    return Answer("author", tr("No subgroup could be formed from the table."))


def _of_predictors(study: Study) -> Answer:
    if study.plan.covariates:
        return _filled(tr("The image, and the covariates that are named."), "reading")
    return _filled(tr("The image alone."), "run")


def _of_clusters(study: Study) -> Answer:
    if study.plan.leave_out is not None:
        return _filled(tr("Scores of each value of “{column}”.", column=study.plan.leave_out), "portrait")
    return Answer("author", tr("Not examined; say whether clusters exist."))


def _of_code(study: Study) -> Answer:
    version = study.plan.versions.get("medladder", "")
    return _filled(tr("medladder {version} and the command; add where your own code stands.", version=version), "run")


def _has_portrait(study: Study) -> bool:
    pick = study.evidence["verdict"]["recommended"]
    return any(rung["rung"] == pick and rung.get("portrait") for rung in study.evidence["rungs"])


_TOPICS: dict[str, tuple[str, Callable[[Study], Answer] | Fixed | None]] = {
    "title": (phrase("Title names the method, population and target"), None),
    "abstract": (phrase("Structured abstract"), None),
    "background": (phrase("Background, rationale and existing models"), None),
    "intended use": (phrase("Target population, intended use and users"), None),
    "inequalities": (phrase("Known health inequalities"), None),
    "objectives": (phrase("Objectives and hypotheses"), None),
    "prospective": (phrase("Prospective or retrospective"), None),
    "goal": (phrase("Goal of the study"), None),
    "ethics": (phrase("Ethical approval and consent"), None),
    "source": (phrase("Sources of data and their representativeness"), None),
    "dates": (phrase("Setting, places and dates"), None),
    "setting": (phrase("Study setting and centres"), None),
    "accrual": (phrase("Dates of data collection"), None),
    "eligibility": (phrase("Inclusion and exclusion criteria"), None),
    "identified": (phrase("How participants were identified"), None),
    "series": (phrase("Consecutive, random or convenience series"), None),
    "treatments": (phrase("Treatments received"), None),
    "preprocessing": (phrase("Preprocessing"), _of_preprocessing),
    "quality": (phrase("Preprocessing and quality checks"), _of_quality),
    "subsets": (phrase("Selection of subsets of the data"), _of_exclusions),
    "deidentification": (phrase("De-identification"), None),
    "missing": (phrase("Missing data"), _of_missing),
    "acquisition": (phrase("Image acquisition"), None),
    "devices": (phrase("Devices and software of acquisition"), None),
    "reference": (phrase("Definition of the reference standard"), None),
    "reference rationale": (phrase("Why this reference standard"), None),
    "reference cut-offs": (phrase("Categories of the reference standard"), None),
    "annotators": (phrase("Annotators and their training"), None),
    "annotation": (phrase("Annotation procedure and tools"), None),
    "rater variability": (phrase("Variability between and within raters"), None),
    "blinding": (phrase("Blinding of the outcome's assessment"), None),
    "index blinding": (phrase("What readers of the index test knew"), None),
    "outcome": (phrase("Definition of the outcome"), None),
    "assessors": (phrase("Assessors and their qualifications"), None),
    "partitions": (phrase("Assignment to parts"), _of_partitions),
    "disjointness": (phrase("Level at which parts are disjoint"), _of_disjointness),
    "sample size": (
        phrase("Sample size"),
        Fixed("filled", phrase("What was available; what more would bring is estimated."), "paper"),
    ),
    "architecture": (phrase("Description of the models"), _of_architecture),
    "software": (
        phrase("Software and versions"),
        Fixed("filled", phrase("Versions, seed and the command are given."), "run"),
    ),
    "initialisation": (phrase("Initialisation of parameters"), _of_initialisation),
    "training": (
        phrase("Training and hyperparameters"),
        Fixed("in part", phrase("How classifiers were trained; settings not named are medladder's defaults."), "paper"),
    ),
    "selection": (
        phrase("Selection of the final model"),
        Fixed("filled", phrase("By a stated rule, shown beside the recommendation."), "verdict"),
    ),
    "ensembles": (phrase("Ensembles"), _of_ensembles),
    "metrics": (
        phrase("Measures of performance"),
        Fixed("filled", phrase("AUROC first; the others stand beside it."), "rungs"),
    ),
    "uncertainty": (
        phrase("Uncertainty and significance"),
        Fixed("filled", phrase("95 % intervals throughout; how they were computed stands there."), "paper"),
    ),
    "robustness": (phrase("Robustness or sensitivity analysis"), _of_robustness),
    "explainability": (phrase("Explainability"), _of_explainability),
    "internal test": (phrase("Testing on internal data"), _of_internal_test),
    "external test": (phrase("Testing on external data"), _of_external_test),
    "external differences": (phrase("How external data differ"), None),
    "registration": (phrase("Registration"), None),
    "flow": (
        phrase("Flow of participants and images"),
        Fixed("filled", phrase("A diagram from the images given to those analysed."), "figure-flow"),
    ),
    "characteristics": (phrase("Characteristics of participants, part by part"), _of_characteristics),
    "comparison of parts": (phrase("Comparison of development and evaluation data"), _of_comparison_of_parts),
    "performance of parts": (phrase("Performance on each part, also by subgroup"), _of_parts),
    "performance": (phrase("Performance, also by subgroup"), _of_performance),
    "accuracy": (
        phrase("Diagnostic accuracy and its precision"),
        Fixed("filled", phrase("Estimates with 95 % intervals."), "rungs"),
    ),
    "failures": (phrase("Failure analysis"), _of_failures),
    "confusion": (phrase("Cross-tabulation against the reference"), _of_confusion),
    "limitations": (phrase("Limitations"), None),
    "implications": (phrase("Implications for practice"), None),
    "protocol": (phrase("Study protocol"), None),
    "availability": (
        phrase("Availability of data, models and code"),
        Fixed("in part", phrase("Software and command are given; say where data and models can be had."), "run"),
    ),
    "data sharing": (phrase("Availability of data"), None),
    "code": (phrase("Availability of code"), _of_code),
    "funding": (phrase("Funding"), None),
    "interests": (phrase("Conflicts of interest"), None),
    "public": (phrase("Involvement of patients and the public"), None),
    "predictors": (phrase("Choice of predictors"), _of_predictors),
    "predictor definition": (phrase("Definition of predictors and how they were measured"), None),
    "data use": (phrase("How the data were used"), _of_design),
    "handling": (
        phrase("Handling of predictors"),
        Fixed(
            "filled", phrase("Standardised pixel values or hand-crafted features, as each classifier needs."), "paper"
        ),
    ),
    "modelling": (
        phrase("Type of model and how it was built"),
        Fixed("filled", phrase("Type, choosing within the training subset, and testing are described."), "paper"),
    ),
    "clusters": (phrase("Heterogeneity across clusters"), _of_clusters),
    "updating": (phrase("Updating of the model"), Fixed("not applicable", phrase("No model was updated."), None)),
    "predictions": (
        phrase("How predictions were calculated"),
        Fixed("filled", phrase("By the software and command that are given."), "run"),
    ),
    "imbalance": (phrase("Class imbalance"), None),
    "fairness": (phrase("Fairness"), _of_fairness),
    "output": (
        phrase("Output and thresholds"),
        Fixed("filled", phrase("Probabilities; thresholds were chosen inside the training subset."), "paper"),
    ),
    "differences": (phrase("Differences between development and evaluation"), None),
    "numbers": (
        phrase("Participants and outcomes in each analysis"),
        Fixed("filled", phrase("Images and patients of each class, part by part."), "cohort"),
    ),
    "specification": (
        phrase("The model in full"),
        Fixed("in part", phrase("The command “fit” gives the model; say where it can be had."), "run"),
    ),
    "interpretation": (phrase("Interpretation of the results"), None),
    "poor input": (phrase("Handling of poor or missing input in use"), None),
    "expertise": (phrase("Interaction and expertise required of users"), None),
    "next": (phrase("Next steps of research"), None),
    "development": (
        phrase("How the index test was developed"),
        Fixed("filled", phrase("Training sizes, choosing and testing are described."), "paper"),
    ),
    "indeterminate": (phrase("Indeterminate results"), None),
    "severity": (phrase("Distribution of severity"), None),
    "alternatives": (phrase("Distribution of alternative diagnoses"), None),
    "interval": (phrase("Time between index test and reference"), None),
    "representative": (phrase("Whether test data represent the intended use"), None),
    "adverse": (phrase("Adverse events"), None),
    "ethical issues": (phrase("Ethical issues and fairness in use"), None),
    "audit": (phrase("Whether outputs are stored and can be audited"), None),
}

_CLAIM = {
    "1": "title", "2": "abstract", "3": "background", "4": "objectives", "5": "prospective", "6": "goal", "7": "source",
    "8": "eligibility", "9": "preprocessing", "10": "subsets", "11": "deidentification", "12": "missing",
    "13": "acquisition", "14": "reference", "15": "reference rationale", "16": "annotators", "17": "annotation",
    "18": "rater variability", "19": "partitions", "20": "disjointness", "21": "sample size", "22": "architecture",
    "23": "software", "24": "initialisation", "25": "training", "26": "selection", "27": "ensembles", "28": "metrics",
    "29": "uncertainty", "30": "robustness", "31": "explainability", "32": "internal test", "33": "external test",
    "34": "registration", "35": "flow", "36": "characteristics", "37": "performance of parts", "38": "accuracy",
    "39": "failures", "40": "limitations", "41": "implications", "42": "protocol", "43": "availability",
    "44": "funding",
}  # fmt: skip
_TRIPOD = {
    "1": "title", "2": "abstract", "3a": "background", "3b": "intended use", "3c": "inequalities", "4": "objectives",
    "5a": "source", "5b": "accrual", "6a": "setting", "6b": "eligibility", "6c": "treatments", "7": "quality",
    "8a": "outcome", "8b": "assessors", "8c": "blinding", "9a": "predictors", "9b": "predictor definition",
    "9c": "assessors", "10": "sample size", "11": "missing", "12a": "data use", "12b": "handling", "12c": "modelling",
    "12d": "clusters", "12e": "metrics", "12f": "updating", "12g": "predictions", "13": "imbalance", "14": "fairness",
    "15": "output", "16": "differences", "17": "ethics", "18a": "funding", "18b": "interests", "18c": "protocol",
    "18d": "registration", "18e": "data sharing", "18f": "code", "19": "public", "20a": "flow",
    "20b": "characteristics", "20c": "comparison of parts", "21": "numbers", "22": "specification",
    "23a": "performance", "23b": "clusters", "24": "updating", "25": "interpretation", "26": "limitations",
    "27a": "poor input", "27b": "expertise", "27c": "next",
}  # fmt: skip
_STARD = {
    "1": "title", "2": "abstract", "3": "background", "4": "objectives", "5": "prospective", "6": "ethics",
    "7": "eligibility", "8": "identified", "9": "dates", "10": "series", "11": "source", "12": "annotators",
    "13": "devices", "14": "acquisition", "15a": "architecture", "15b": "development", "15c": "output",
    "15d": "expertise", "16a": "reference", "16b": "reference rationale", "16c": "reference cut-offs",
    "17a": "index blinding", "17b": "blinding", "18": "uncertainty", "19": "indeterminate", "20": "missing",
    "21": "robustness", "22": "sample size", "23": "fairness", "24": "flow", "25": "characteristics",
    "26a": "severity", "26b": "alternatives", "27": "interval", "28": "representative", "29": "external differences",
    "30": "confusion", "31": "accuracy", "32": "adverse", "33": "limitations", "34": "implications",
    "35": "ethical issues", "36": "registration", "37": "protocol", "38": "funding", "39": "interests",
    "40a": "availability", "40b": "audit",
}  # fmt: skip

_DOUBTS = {
    "CLAIM 2024": phrase(
        "The numbers of this list could not be checked against its publication: go by the items' names."
    )
}

LISTS: tuple[tuple[str, str, str, dict[str, str]], ...] = (
    ("CLAIM 2024", "Tejani et al. 2024", "https://doi.org/10.1148/ryai.240300", _CLAIM),
    ("TRIPOD+AI", "Collins et al. 2024", "https://doi.org/10.1136/bmj-2023-078378", _TRIPOD),
    ("STARD-AI", "Sounderajah et al. 2025", "https://doi.org/10.1038/s41591-025-03953-8", _STARD),
)
"""Name, who published it, where, and the topic of each numbered item."""
