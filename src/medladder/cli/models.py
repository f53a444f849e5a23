"""Verbs about models: fit, predict, evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import OptionError
from ..progress import Terminal
from ..terminal import errors_spoken, print_evaluation, print_json, print_model
from .doors import app
from .options import (
    AsJson,
    AtSensitivity,
    AtSpecificity,
    CohortOptions,
    Device,
    Jobs,
    Language,
    Prevalence,
    listed,
    takes_cohort,
)

ModelFolder = Annotated[Path, typer.Argument(metavar="MODEL", help="Folder of a model.")]


@app.command()
@takes_cohort()
def fit(
    source: Annotated[
        str, typer.Argument(metavar="COHORT|RUN", help="A cohort, or the folder of a study, which recommends a rung.")
    ],
    out: Annotated[Path, typer.Option(help="A new folder for the model.")],
    rung: Annotated[
        str | None, typer.Option(help="The rung, as svm or dnn:depth=4; of a RUN by default the recommended one.")
    ] = None,
    cohort: Annotated[
        str | None, typer.Option(metavar="COHORT", help="Where a RUN's images lie, if not where they were.")
    ] = None,
    test: Annotated[
        str | None, typer.Option(metavar="COHORT", help="With --cohort: the other one that the RUN was tested on.")
    ] = None,
    keep_test: Annotated[
        bool, typer.Option("--keep-test", help="Leave a COHORT's own test part out, to evaluate on it.")
    ] = False,
    seed: Annotated[int | None, typer.Option(help="Every random number is keyed by it; 0 unless given.")] = None,
    accept: Annotated[
        list[str] | None, typer.Option(metavar="KIND", help="Go on in spite of a finding of this kind; repeatable.")
    ] = None,
    jobs: Jobs = None,
    device: Device = "auto",
    language: Language = "en",
    as_json: AsJson = False,
    *,
    how: CohortOptions,
) -> None:
    """Fit one rung on all patients, into a folder with weights, ONNX and a model card."""
    from ..images.prepare import Preparation
    from ..language import speaking
    from ..models.fitting import fit_model
    from ..models.folder import check_out
    from ..record.folder import StudyFolder

    with errors_spoken(as_json=as_json):
        check_out(out)
        study = StudyFolder(source)
        if study.is_study and how.how_images:
            raise OptionError(
                found=f"--{next(iter(how.how_images)).replace('_', '-')} with the folder of a study.",
                needed="Images as the study read them.",
                do="Drop it.",
            )
        if (not study.is_study and cohort is not None) or (cohort is None and test is not None):
            idle = "--test without --cohort" if cohort is None else "--cohort with a cohort"
            raise OptionError(found=f"{idle}.", needed="They say where a RUN's images lie.", do="Drop it.")
        images = how.read(source) if not study.is_study else None
        like = Preparation.of_json(study.read_plan().image["preparation"]) if study.is_study else None
        with speaking(language):  # the card is written in it
            model = fit_model(
                study if images is None else images,
                out,
                rung=rung,
                cohort=None if cohort is None else how.read(cohort, test=test, like=like),
                seed=seed,
                keep_test=keep_test,
                accept=tuple(accept or ()),
                device=device,
                jobs=jobs,
                cache=how.cache,
                progress=Terminal(),
            )
        if as_json:
            print_json({"model": str(out), **model.record.to_json()})
        else:
            print_model(model.record, out)


@app.command()
def predict(
    model: ModelFolder,
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Image files, folders of them, or npz.")],
    out: Annotated[Path | None, typer.Option(help="A CSV file to write; by default CSV on stdout.")] = None,
    as_json: AsJson = False,
) -> None:
    """Probabilities, decisions and a flag for what is unlike the training images, as CSV or JSON."""
    from ..models.folder import read_model

    with errors_spoken(as_json=as_json):
        if out is not None and out.exists():
            raise OptionError(found=f"{out} exists.", needed="A new file.", do="Use another --out, or move it away.")
        progress = Terminal()
        predictions = read_model(model).predict_files(*paths, progress=progress)
        for file, reason in predictions.unreadable.items():
            progress.say(f"left out: {file}: {reason}")
        if as_json:
            print_json(predictions.to_json())
        if out is not None:
            _write(out, predictions.to_csv())
        elif not as_json:
            print(predictions.to_csv(), end="")


def _write(out: Path, text: str) -> None:
    try:
        out.write_text(text, "utf-8")
    except OSError as error:
        raise OptionError(
            found=f"{out} cannot be written ({error.strerror}).", needed="A place to write to.", do="Use another --out."
        ) from error


@app.command()
@takes_cohort(is_prepared=True)
def evaluate(
    model: ModelFolder,
    source: Annotated[str, typer.Argument(metavar="COHORT", help="A cohort that the model was not trained on.")],
    part: Annotated[str | None, typer.Option(help="Only this part of it: train, val or test.")] = None,
    classes: Annotated[
        str | None,
        typer.Option(metavar="NAME=NAME,...", help="The model's class for each class of the cohort of another name."),
    ] = None,
    at_specificity: AtSpecificity = 0.9,
    at_sensitivity: AtSensitivity = 0.9,
    prevalence: Prevalence = None,
    accept: Annotated[
        list[str] | None, typer.Option(metavar="KIND", help="trained-on: score it on its own training images too.")
    ] = None,
    as_json: AsJson = False,
    *,
    how: CohortOptions,
) -> None:
    """Score this very model on another cohort, with intervals and calibration."""
    from ..models.folder import read_model

    with errors_spoken(as_json=as_json):
        opened = read_model(model)
        found = opened.evaluate(
            how.read(source, like=opened.record.preparation),
            part=part,
            classes=_renamed(classes),
            at_specificity=at_specificity,
            at_sensitivity=at_sensitivity,
            prevalence=prevalence,
            accept=tuple(accept or ()),
            progress=Terminal(),
        )
        if as_json:
            print_json(found)
        else:
            print_evaluation(found)


def _renamed(text: str | None) -> dict[str, str]:
    pairs = {}
    for item in listed(text) or ():
        theirs, sign, ours = (piece.strip() for piece in item.partition("="))
        if not theirs or not sign or not ours:
            raise OptionError(
                found=f"--classes {text}.", needed="NAME=NAME, the cohort's first.", do="Write --classes '0=normal'."
            )
        pairs[theirs] = ours
    return pairs
