"""Verbs about cohorts and studies: study, check, report, budget."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import OptionError, unknown_name
from ..terminal import (
    errors_spoken,
    print_audit,
    print_budget,
    print_json,
    print_offer,
    print_plan,
    print_rung_budgets,
    print_verdict,
)
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
    Source,
    listed,
    takes_cohort,
)


@app.command()
@takes_cohort()
def study(
    source: Source = "demo:nodule",
    out: Annotated[Path | None, typer.Option(help="Folder of the study; the same folder again goes on.")] = None,
    rungs: Annotated[
        str | None, typer.Option(help="Plain rungs; by default prior,logistic,svm,forest,boosting,nn,dnn.")
    ] = None,
    rung: Annotated[
        list[str] | None, typer.Option(help="A rung with settings, as dnn:depth=4,width=512; repeatable.")
    ] = None,
    sizes: Annotated[str | None, typer.Option(help="Numbers of training patients, as 50,200,all.")] = None,
    repeats: Annotated[int, typer.Option(help="Independent redraws of subset and seed.")] = 10,
    seed: Annotated[int, typer.Option(help="Every random number is keyed by it.")] = 0,
    engine: Annotated[
        str,
        typer.Option(
            metavar="ENGINE",
            help="Who works: local (processes of this machine), dask (a cluster of this machine), dask://HOST:PORT "
            "(one that runs), or slurm.",
        ),
    ] = "local",
    jobs: Jobs = None,
    device: Device = "auto",
    time_budget: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help="Fit sizes and repeats into this time, as 45m or 2h, and say what goes."),
    ] = None,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Take the folder from a process of another host that is gone.")
    ] = False,
    test: Annotated[str | None, typer.Option(metavar="COHORT", help="Test on another cohort, all of it.")] = None,
    leave_out: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", help="Test on each value of a CSV column (site, maker, year), left out in turn."
        ),
    ] = None,
    covariates: Annotated[
        str | None, typer.Option(metavar="COLUMNS", help="CSV columns for the conventional rungs to see, as age,sex.")
    ] = None,
    covariate_use: Annotated[
        str | None,
        typer.Option(metavar="USE", help="feature (the default), or residual: regressed out on the normal class."),
    ] = None,
    normal: Annotated[
        str | None, typer.Option(metavar="CLASS", help="The normal class, where the names do not say it; for residual.")
    ] = None,
    keep_val: Annotated[bool, typer.Option("--keep-val", help="Keep the val part for choosing only.")] = False,
    margin: Annotated[float, typer.Option(help="A difference in AUROC that does not matter.")] = 0.02,
    at_specificity: AtSpecificity = 0.9,
    at_sensitivity: AtSensitivity = 0.9,
    prevalence: Prevalence = None,
    accept: Annotated[
        list[str] | None, typer.Option(metavar="KIND", help="Go on in spite of a finding of this kind; repeatable.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse unreadable files.")] = False,
    group_near: Annotated[
        bool, typer.Option("--group-near", help="Near copies count as one patient, so no split parts them.")
    ] = False,
    pictures: Annotated[
        bool, typer.Option(help="Keep a few images for the report: examples, and the worst errors.")
    ] = True,
    language: Language = "en",
    inspection: Annotated[bool, typer.Option(help="Look into the layers of the networks at the end.")] = True,
    plan: Annotated[bool, typer.Option("--plan", help="Show what would run, and run nothing.")] = False,
    as_json: AsJson = False,
    *,
    how: CohortOptions,
) -> None:
    """Climb the ladder on a cohort: audit, split, fit, weigh, report."""
    with errors_spoken(as_json=as_json):
        wishes: dict[str, Any] = {
            "sizes": listed(sizes),
            "repeats": repeats,
            "seed": seed,
            "leave_out": leave_out,
            "keep_val": keep_val,
            "margin": margin,
            "at_specificity": at_specificity,
            "at_sensitivity": at_sensitivity,
            "prevalence": prevalence,
            "accept": tuple(accept or ()),
            "strict": strict,
            "group_near": group_near,
            "covariates": listed(covariates),
            "covariate_use": covariate_use,
            "normal": normal,
        }
        if rungs is not None or rung:
            wishes["rungs"] = (*(listed(rungs) or ()), *(rung or ()))
        from ..budgeting import read_seconds

        running: dict[str, Any] = {
            "jobs": jobs,
            "engine": engine,
            "device": device,
            "cache": how.cache,
            "pictures": pictures,
            "inspection": inspection,
            "time_budget": None if time_budget is None else read_seconds(time_budget),
            "take_over": take_over,
        }
        cohort = how.read(source, test=test)
        if plan:
            _show_plan(cohort, wishes, running, as_json=as_json)
        else:
            _run(cohort, out, wishes, running, language=language, as_json=as_json)


def _show_plan(cohort: Any, wishes: dict[str, Any], running: dict[str, Any], *, as_json: bool) -> None:
    from ..budgeting import fit_to_budget
    from ..cost import Effort, Pace
    from ..machine import n_processors
    from ..planning import Wishes, plan_study
    from ..progress import Terminal

    planned = plan_study(cohort, Wishes.of(**wishes), progress=Terminal())
    jobs, seconds = running["jobs"], running["time_budget"]
    left_out: list[str] = []
    if seconds is not None:
        pace = Pace(planned.plan)
        planned, left_out = fit_to_budget(
            planned, None, (), pace, seconds, jobs or n_processors(), inspection=running["inspection"]
        )
    effort = Effort.of(planned.plan, jobs)
    if as_json:
        print_json({"plan": planned.plan.to_json(), **asdict(effort), "left_out": left_out})
    else:
        print_plan(planned, effort, left_out)


def _run(
    cohort: Any,
    out: Path | None,
    wishes: dict[str, Any],
    running: dict[str, Any],
    *,
    language: str,
    as_json: bool,
) -> None:
    from ..cost import Effort
    from ..evidence.weighing import weigh
    from ..planning import DEFAULT_RUNGS, SLOW_RUNG, with_slow_rung
    from ..progress import Terminal
    from ..report.page import write_report
    from ..study import keep_errors, run_study

    if out is None:
        raise OptionError(found="No --out.", needed="A folder for the study.", do="Add --out RUN.")
    progress = Terminal()
    for file, reason in cohort.unreadable.items():
        progress.say(f"left out: {file}: {reason}")
    try:
        folder = run_study(cohort, out, progress=progress, **running, **wishes)
    except KeyboardInterrupt as stopped:
        progress.say(f"Stopped. What is finished stands in {out}; the same command goes on from there.")
        raise typer.Exit(128 + getattr(stopped, "number", 2)) from None
    evidence = weigh(folder).to_json()
    # Without pictures those that an earlier run kept go too: they are of test patients.
    keep_errors(folder, cohort, [error["row"] for error in evidence["errors"]] if running["pictures"] else [])
    page = write_report(folder, language=language)
    if as_json:
        print_json({"run": str(folder.path), "report": str(page), "evidence": evidence})
    else:
        print_verdict(evidence, str(page))
        if "rungs" not in wishes:
            effort = Effort.of(with_slow_rung(folder.read_plan(), len(cohort.classes)), running["jobs"])
            print_offer((*DEFAULT_RUNGS, SLOW_RUNG), effort)


@app.command()
@takes_cohort()
def check(
    source: Source,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 2 if anything but notes is found.")] = False,
    html: Annotated[
        Path | None,
        typer.Option(metavar="PAGE", help="Write a page with copies side by side; it shows images and names."),
    ] = None,
    fix: Annotated[
        str | None, typer.Option(metavar="FIX", help="drop-duplicates: a new manifest without exact copies.")
    ] = None,
    regroup: Annotated[
        bool, typer.Option("--regroup", help="A new manifest in which exact and near copies are of one patient.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="MANIFEST", help="The new manifest, a CSV in the folder of the images.")
    ] = None,
    language: Language = "en",
    as_json: AsJson = False,
    *,
    how: CohortOptions,
) -> None:
    """Audit a cohort: unreadable files, copies exact and near, label conflicts, patients on both sides, shortcuts."""
    from ..audit import audit, counts, near_copies_of
    from ..audit.gallery import draw_pairs
    from ..progress import Terminal

    with errors_spoken(as_json=as_json):
        _check_mends(fix, out, regroup=regroup)
        _check_page(html, language)
        cohort = how.read(source)
        near = near_copies_of(cohort, progress=Terminal())
        findings = audit(cohort, near)
        if html is not None:
            html.write_text(draw_pairs(cohort, near, language=language), "utf-8")
        if out is not None:
            _mend(cohort, near, fix, out, regroup=regroup)
        counted = counts(cohort)
        if as_json:
            print_json({"findings": [finding.to_json() for finding in findings], "counts": counted})
        else:
            print_audit(cohort, counted, findings)
        if strict and any(finding.severity != "note" for finding in findings):
            raise typer.Exit(2)


def _check_page(page: Path | None, language: str) -> None:
    """Told before minutes of searching, and nothing is overwritten."""
    if page is None:
        if language != "en":
            raise OptionError(
                found=f"--lang {language} without --html.",
                needed="A page to write in it: the terminal speaks English.",
                do="Add --html PAGE, or drop --lang.",
            )
        return
    if page.exists():
        raise OptionError(
            found=f"{page} is there already.", needed="A name that is free: nothing is overwritten.", do="Name another."
        )
    if not page.absolute().parent.is_dir():
        raise OptionError(
            found=f"There is no folder {page.absolute().parent}.",
            needed="One for the page.",
            do="Make it, or name another.",
        )


def _check_mends(fix: str | None, out: Path | None, *, regroup: bool) -> None:
    from ..audit.mending import FIXES

    if fix is not None and fix not in FIXES:
        raise unknown_name("fix", fix, FIXES)
    if (out is not None) != (fix is not None or regroup):
        raise OptionError(
            found="--out without --fix or --regroup." if out is not None else "A mend without --out.",
            needed="A mend, and where its manifest goes.",
            do="For example --fix drop-duplicates --out FOLDER/mended.csv.",
        )


def _mend(cohort: Any, near: Any, fix: str | None, out: Path, *, regroup: bool) -> None:
    from ..audit import mending
    from ..progress import Terminal

    mend = None if fix is None else mending.fix_of(cohort, fix)
    if regroup:
        mend = mending.regroup(cohort, near, mend)
    if mend is not None:
        mending.write_manifest(cohort, mend, out)
        Terminal().say(f"{out}: {mend.sentence}")


@app.command()
def report(
    run: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Folder of a study; several stand side by side."),
    ],
    margin: Annotated[
        float | None, typer.Option(help="AUROC that counts as no difference; another than planned is marked so.")
    ] = None,
    at_specificity: Annotated[
        float | None,
        typer.Option(help="Sensitivity is also given at this specificity; another than planned is marked so."),
    ] = None,
    at_sensitivity: Annotated[
        float | None,
        typer.Option(help="Specificity is also given at this sensitivity; another than planned is marked so."),
    ] = None,
    prevalence: Annotated[
        float | None,
        typer.Option(
            help="Share of the positive class in use: adds PPV, NPV and net benefit; another than planned is marked."
        ),
    ] = None,
    language: Language = "en",
    out: Annotated[Path, typer.Option(metavar="PAGE", help="The page of several studies.")] = Path("comparison.html"),
    docx: Annotated[bool, typer.Option("--docx", help="Also report.docx, to edit in Word.")] = False,
    pdf: Annotated[bool, typer.Option("--pdf", help="Also report.pdf, by a Chromium that is installed.")] = False,
    figures: Annotated[bool, typer.Option("--figures", help="Also figures/, as SVG and as PNG at 300 dpi.")] = False,
    as_json: AsJson = False,
) -> None:
    """Weigh and draw again, from the study's files alone."""
    from ..evidence.weighing import weigh
    from ..record.folder import StudyFolder
    from ..report.export.files import export, find_printer
    from ..report.page import write_report

    with errors_spoken(as_json=as_json):
        if len(run) > 1:
            asked = (
                margin,
                at_specificity,
                at_sensitivity,
                prevalence,
                *(flag or None for flag in (docx, pdf, figures)),
            )
            _refuse_for_several(*asked)
            _compare(run, out, language, as_json=as_json)
            return
        printer = find_printer() if pdf else None
        folder = StudyFolder(run[0])
        points = {"at_specificity": at_specificity, "at_sensitivity": at_sensitivity, "prevalence": prevalence}
        evidence = weigh(folder, margin=margin, **points).to_json()
        page = write_report(folder, language=language)
        written = export(folder, has_docx=docx, has_figures=figures, printer=printer)
        if as_json:
            print_json({"report": str(page), **written})
        else:
            print_verdict(evidence, str(page))


def _refuse_for_several(*asked: object) -> None:
    if any(one is not None for one in asked):
        raise OptionError(
            found="Several studies, with an option for one.",
            needed="--lang, --out and --json only.",
            do="Give the option with one study at a time, then compare them.",
        )


def _compare(runs: list[Path], out: Path, language: str, *, as_json: bool) -> None:
    from ..evidence.weighing import weigh
    from ..record.folder import StudyFolder
    from ..report.comparison import write_comparison

    folders = [StudyFolder(run) for run in runs]
    for folder in folders:
        weigh(folder)
    written = write_comparison(folders, out, language=language)
    if as_json:
        print_json(written)
    else:
        typer.echo(f"Comparison: {out}")


@app.command()
def budget(
    image: Annotated[
        str, typer.Option(metavar="HxW[xC]", help="Size of an image; of a volume DxHxWxC, grey ones with 1 channel.")
    ],
    hidden: Annotated[
        str | None, typer.Option(help="Widths of a dense network's hidden layers, as 512,128,32.")
    ] = None,
    rung: Annotated[
        list[str] | None,
        typer.Option(help="Instead, a rung: logistic, nn, dnn, cnn, or dnn:taper=1,width=equal; repeatable."),
    ] = None,
    classes: Annotated[int, typer.Option(help="Number of classes.")] = 2,
    batch: Annotated[int, typer.Option(help="Images a training step.")] = 64,
    as_json: AsJson = False,
) -> None:
    """Parameters and cost of a network, before training; of rungs, also how they grow with the image."""
    from ..architecture import budget as count
    from ..architecture import parse_image_shape, parse_widths

    with errors_spoken(as_json=as_json):
        shape = parse_image_shape(image)
        if (hidden is None) == (not rung):
            raise OptionError(
                found="Neither --hidden nor --rung." if hidden is None else "Both --hidden and --rung.",
                needed="One way to say which network.",
                do="Give --hidden 512,128,32, or --rung dnn.",
            )
        if hidden is None:
            _weigh_rungs(rung or [], shape, classes, batch, as_json=as_json)
            return
        counted = count(shape, parse_widths(hidden), classes, batch)
        if as_json:
            print_json(asdict(counted))
        else:
            print_budget(counted)


def _weigh_rungs(names: list[str], shape: tuple[int, ...], classes: int, batch: int, *, as_json: bool) -> None:
    from ..rungs import parse_rung
    from ..rungs.budgets import weigh_rung

    weighed = [weigh_rung(parse_rung(name), shape, classes, batch) for name in names]
    if as_json:
        print_json({"image": shape, "classes": classes, "rungs": [one.to_json() for one in weighed]})
        return
    print_rung_budgets(weighed)
