"""A model's card: its record in the words of `templates/card.md`.

Source
------
Mitchell et al. 2019, doi:10.1145/3287560.3287596, for what a card holds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import jinja2

from ..evidence.reading import UNITS
from ..evidence.verdict import GRADES
from ..language import Message, from_text, listed, of_record, phrase, tr, translate
from .record import ModelRecord

_FAMILIES = {
    "floor": phrase("the floor of the ladder: class frequencies, whatever the image"),
    "conventional": phrase("a conventional classifier"),
    "deep": phrase("networks trained from scratch"),
    "transfer": phrase("a frozen pretrained network with a logistic head"),
}
_RULES = {
    "out-of-part": phrase("the best balanced accuracy on out-of-part patients"),
    "prevalence": phrase("the share of the classes in training, which counts each class the same"),
    "majority": phrase("nothing: every image gets the same probability"),
}
_METRICS = {
    "balanced_accuracy": phrase("balanced accuracy"),
    "accuracy": phrase("accuracy"),
    "sensitivity": phrase("sensitivity"),
    "specificity": phrase("specificity"),
    "brier": phrase("Brier score (0 is best)"),
}
_HOLDS = {
    "test patients only": phrase("the test patients only"),
    "test patients and training draw": phrase("the test patients and of the training draw"),
}
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|])")


def write_card(record: ModelRecord) -> str:
    """The card of a model, as Markdown."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("medladder.models"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=False,
        keep_trailing_newline=True,
        autoescape=False,
        finalize=lambda value: translate(value) if isinstance(value, Message) else value,
    )
    environment.filters["md"] = _escaped
    environment.filters["of_record"] = of_record
    environment.filters["say_tested_by"] = _say_tested_by
    environment.globals.update(
        from_text=from_text,
        tr=tr,
        listed=lambda names: translate(listed(names)),
        units=UNITS,
        grades=GRADES,
        holds=_HOLDS,
    )
    text = environment.get_template("card.md").render(record=record, **_context(record))
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _say_tested_by(how: str) -> str:
    """How a study tested, as its plan has it."""
    if how == "the cohort's own test part":
        return tr("the cohort's own test part")
    if found := re.fullmatch(r"patient-wise stratified (\d+)-fold", how):
        return tr("patient-wise stratified {n}-fold", n=int(found[1]))
    if found := re.fullmatch(r"each value of the column '(.*)' left out in turn", how):
        return tr("each value of the column '{column}' left out in turn", column=found[1])
    return how


def _escaped(text: object) -> str:
    """Names that people typed, so that no mark in them is taken for Markdown or HTML."""
    return _SPECIAL.sub(r"\\\1", str(text))


def _context(record: ModelRecord) -> dict[str, Any]:
    training, per_class = record.training, record.training["per_class"]
    return {
        "classes": [f"“{_escaped(name)}”" for name in record.classes],
        "family": _FAMILIES[record.rung["family"]],
        "rule": _RULES[record.decision["rule"]],
        "metrics": _METRICS,
        "aurocs": _aurocs(record.evidence),
        "is_corrected": _is_corrected(record.evidence),
        "shares": _pairs(record, training["prevalence"], "{:.1%}"),
        "weights": _pairs(record, record.decision["weights"], "{:.3f}"),
        "per_class": [
            (_escaped(name), f"{counts['patients']:,}", f"{counts['images']:,}") for name, counts in per_class.items()
        ],
        "thinnest": min(counts["patients"] for counts in per_class.values()),
        "heights": _range(*training["heights"]),
        "widths": _range(*training["widths"]),
        "size": " × ".join(map(str, record.preparation.size)),
        "shape": " × ".join(map(str, record.shape)),
        "settings": _listed(record.rung["settings"]) or tr("the defaults"),
        "chosen": _listed(record.parameters["chosen"]) or tr("nothing"),
        "files": [(f"`{name}`", f"`{fact['sha256']}`") for name, fact in record.files.items()],
    }


def _aurocs(evidence: Mapping[str, Any] | None) -> list[tuple[str, Mapping[str, Any]]]:
    if evidence is None:
        return []
    if not _is_corrected(evidence):
        return [("AUROC", evidence["point"]["auroc"])]
    return [
        (tr("AUROC, corrected for the choice of the rung"), evidence["selected"]["auroc"]),
        (tr("AUROC as it came"), evidence["point"]["auroc"]),
    ]


def _is_corrected(evidence: Mapping[str, Any] | None) -> bool:
    return evidence is not None and evidence["selected"] is not None and evidence["selected"]["n_rungs"] > 1


def _pairs(record: ModelRecord, numbers: list[float], form: str) -> str:
    return ", ".join(
        f"{_escaped(name)} {form.format(number)}" for name, number in zip(record.classes, numbers, strict=True)
    )


def _range(low: int, middle: int, high: int) -> str:
    return f"{low:,}" if low == high else tr("{low}–{high} (median {middle})", low=low, high=high, middle=middle)


def _listed(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_escaped(value)}" for name, value in settings.items())
