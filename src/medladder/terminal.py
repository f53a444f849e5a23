"""What a person reads in the terminal: results on stdout, errors and progress on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .architecture import split_channels
from .errors import InputError, MedladderError
from .progress import minutes

if TYPE_CHECKING:  # reading a finished study needs neither images nor torch
    from .architecture import Budget
    from .audit import Finding
    from .cohort import Cohort
    from .cost import Effort
    from .models.record import ModelRecord
    from .planning import PlannedStudy
    from .rungs.budgets import RungBudget

_SEVERITY_STYLE = {"stop": "bold red", "warning": "yellow", "note": "dim"}
_CLASSES_SHOWN = 12
_FILES_SHOWN = 6


@contextmanager
def errors_spoken(*, as_json: bool) -> Iterator[None]:
    """Turn medladder's errors into a message and the exit code that goes with them."""
    try:
        yield
    except InputError as error:
        parts = {"found": error.found, "needed": error.needed, "do": error.do}
        if as_json:
            print_json({"error": {"kind": type(error).__name__, **parts}})
        console = Console(stderr=True, soft_wrap=True, highlight=False)
        for name, text in parts.items():
            console.print(f"[bold red]{name:>7}[/]  {escape(text)}")
        raise typer.Exit(error.exit_code) from error
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        raise typer.Exit(130) from None
    except MedladderError as error:
        if as_json:
            print_json({"error": {"kind": type(error).__name__, "found": str(error)}})
        print(f"medladder could not go on: {error}", file=sys.stderr)
        raise typer.Exit(error.exit_code) from error


def print_json(data: dict[str, Any]) -> None:
    """One object on stdout."""
    print(json.dumps(data, ensure_ascii=False, allow_nan=False))


def print_verdict(evidence: dict[str, Any], report: str) -> None:
    """The verdict's sentences, the scores at the largest size, and where the report is."""
    console = Console(highlight=False)
    verdict = evidence["verdict"]
    console.print()
    for warning in verdict["warnings"]:
        console.print(f"[yellow]![/] {escape(warning['text'])}")
    for sentence in verdict["sentences"]:
        console.print(f"[bold]{escape(sentence['text'])}[/]")
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for name in ("rung", f"{evidence['unit']}s", "AUROC", "95 % interval", "balanced accuracy"):
        table.add_column(name, justify="left" if name == "rung" else "right", header_style="dim")
    for rung in evidence["rungs"]:
        if rung["points"]:
            last = rung["points"][-1]
            auroc, balanced = last["auroc"], last["balanced_accuracy"]
            is_pick = rung["rung"] == verdict["recommended"]
            table.add_row(
                f"[bold]{escape(rung['rung'])} ◂[/]" if is_pick else escape(rung["rung"]),
                str(last["n_train"]),
                f"{auroc['estimate']:.3f}",
                f"{auroc['low']:.3f}–{auroc['high']:.3f}",
                f"{balanced['estimate']:.3f}",
            )
    console.print()
    console.print(table)
    console.print(f"\nReport: {escape(report)}", soft_wrap=True)


def print_offer(names: Sequence[str], effort: Effort) -> None:
    """What a longer study would add to the one just done."""
    console = Console(highlight=False)
    console.print(
        f"\nNot tried: {names[-1]}, {effort.fits:,} fits, about {minutes(effort.expected_seconds)} here. "
        f"The same command with --rungs {','.join(names)} adds it to this study.",
        soft_wrap=True,
    )


def print_plan(planned: PlannedStudy, effort: Effort, left_out: Sequence[str] = ()) -> None:
    """What a study would run and about how long."""
    plan = planned.plan
    console = Console(highlight=False)
    console.print(f"{escape(repr(planned.cohort))}")
    console.print(f"test    {escape(plan.split)}")
    console.print(f"rungs   {escape(', '.join(p.rung for p in plan.rungs))}")
    if described := plan.describe_covariates():
        console.print(f"covars  {escape(described)}")
    console.print(f"sizes   {', '.join(map(str, plan.sizes))} training patients, {plan.repeats} repeats each")
    threads = "1 thread" if effort.threads == 1 else f"{effort.threads} threads"
    console.print(f"fits    {effort.fits:,}, about {minutes(effort.expected_seconds)} here")
    console.print(f"cores   {effort.processes} processes at once, {threads} each")
    for line in left_out:
        console.print(line, soft_wrap=True)


def print_audit(cohort: Cohort, counted: dict[str, Any], findings: Sequence[Finding]) -> None:
    """Counts by part and class, then each finding with a few of its files."""
    console = Console(highlight=False, soft_wrap=True)
    colour = "colour" if counted["is_colour"] else "grey"
    sides = f"{counted['smallest_side']} to {counted['largest_side']} pixels a side"
    console.print(
        f"[bold]{escape(cohort.name)}[/]: {counted['images']} images, {colour}, {counted['bit_depth']} bit, {sides}"
    )
    console.print(_count_table(cohort, counted["parts"]))
    for finding in findings:
        console.print(f"\n[{_SEVERITY_STYLE[finding.severity]}]{finding.severity}[/] {finding.kind}")
        console.print(f"  {escape(finding.message)}\n  {escape(finding.action)}")
        for file in finding.files[:_FILES_SHOWN]:
            reason = cohort.unreadable.get(file)
            console.print(f"    {escape(file)}" + (f": {escape(reason)}" if reason else ""), style="dim")
        if len(finding.files) > _FILES_SHOWN:
            console.print(f"    and {len(finding.files) - _FILES_SHOWN} more (--json lists all)", style="dim")
    if not findings:
        console.print("\nNothing found that a study must not hide.")


def _count_table(cohort: Cohort, parts: dict[str, dict[str, dict[str, int]]]) -> Table:
    """A row a class, its parts in columns; of many classes those with the fewest images are left out."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column("class", header_style="dim")
    for part in parts:
        table.add_column(part, justify="right", header_style="dim")
    n_images = {name: sum(counts[name]["images"] for counts in parts.values()) for name in cohort.classes}
    shown = sorted(cohort.classes, key=lambda name: -n_images[name])[:_CLASSES_SHOWN]
    for name in (name for name in cohort.classes if name in shown):
        told = [counts[name] for counts in parts.values()]
        cells = [
            f"{n['images']} of {n['patients']} patients" if cohort.patients_known else str(n["images"]) for n in told
        ]
        table.add_row(escape(name), *cells)
    if len(cohort.classes) > len(shown):
        table.add_row(f"and {len(cohort.classes) - len(shown)} more", style="dim")
    return table


def print_budget(budget: Budget, name: str | None = None) -> None:
    """Nodes, parameters and arithmetic, layer by layer; `name` is the rung's."""
    console = Console(highlight=False)
    if name is not None:
        members = f" × {budget.members} members, counted for one" if budget.members > 1 else ""
        console.print(f"\n[bold]{escape(name)}[/]{members}")
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for heading in ("layer", "nodes", "parameters", "multiply-adds an image"):
        table.add_column(heading, justify="left" if heading == "layer" else "right", header_style="dim")
    for layer in budget.layers:
        table.add_row(layer.name, f"{layer.nodes:,}", f"{layer.parameters:,}", f"{layer.multiply_adds:,}")
    table.add_row("[bold]all[/]", "", f"[bold]{budget.parameters:,}[/]", f"[bold]{budget.multiply_adds:,}[/]")
    console.print(table)
    training = (
        "solved on all its rows at once, not in batches"
        if budget.training_bytes is None
        else f"{budget.training_bytes / 1e6:.1f} MB while training (weights, gradients, Adam's two moments and what "
        f"{budget.batch} images keep of their activations)"
    )
    console.print(f"\n{budget.model_bytes / 1e6:.1f} MB as a model, {training}.", soft_wrap=True)


def print_model(record: ModelRecord, out: Path) -> None:
    """What a model is, how it decides, and what to do with it."""
    console = Console(highlight=False, soft_wrap=True)
    training = record.training
    unit = "patients" if training["patients_known"] else "images"
    console.print(
        f"\n[bold]{escape(record.rung['rung'])}[/], fitted on {training['patients']:,} {unit} "
        f"of {escape(training['cohort']['name'])}"
        + ("" if training["test_part_kept_apart"] else ", every part of it: evaluate it on others.")
    )
    if record.evidence is not None:
        found, n = record.evidence, record.evidence["point"]["n_train"]
        auroc = (found["selected"] or {"auroc": found["point"]["auroc"]})["auroc"]
        console.print(
            f"Evidence from models of the same recipe on {n:,} {found['unit']}s, not this model: "
            f"AUROC {_spoken(auroc)}."
        )
    elif record.out_of_part is not None and record.out_of_part["auroc"] is not None:
        console.print(f"No study stands behind it. Out-of-part AUROC {_spoken(record.out_of_part['auroc'])}.")
    if record.threshold is not None and record.positive is not None:
        console.print(f"'{escape(record.positive)}' is decided for from a probability of {record.threshold:.3f}.")
    console.print(f"\nCard: {escape(str(out / 'MODEL_CARD.md'))}")
    console.print(f"Next: medladder predict {escape(str(out))} IMAGES")


def print_evaluation(found: dict[str, Any]) -> None:
    """What a model scores on a cohort, and how far its probabilities can be believed there."""
    from .evidence.points import METRICS

    console = Console(highlight=False, soft_wrap=True)
    counts = ", ".join(f"{escape(name)} {count:,}" for name, count in found["n"]["per_class"].items())
    console.print(f"\n{found['n']['patients']:,} {found['unit']}s of {escape(found['cohort']['name'])} ({counts})")
    for warning in found["warnings"]:
        console.print(f"[yellow]![/] {escape(warning['text'])}")
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for name in ("this model here", "estimate", "95 % interval"):
        table.add_column(name, justify="left" if name == "this model here" else "right", header_style="dim")
    rows = [(_metric_label(name, found[name]), found[name]) for name in METRICS]
    rows += [(f"recall of {name}", one) for name, one in found["recall"].items()]
    calibration = found["calibration"]
    rows += [(f"calibration {name}", calibration[name]) for name in ("intercept", "slope")]
    for name, label in (("ppv", "PPV"), ("npv", "NPV"), ("net_benefit", "net benefit")):
        if found["at_prevalence"] is not None:
            rows.append((f"{label} at {found['at_prevalence']['prevalence']:.1%}", found["at_prevalence"][name]))
    for label, one in rows:
        if one is not None:
            table.add_row(escape(label), f"{one['estimate']:.3f}", f"{one['low']:.3f}–{one['high']:.3f}")
    console.print()
    console.print(table)
    console.print(f"\n{found['unlike_training']['share']:.1%} of the images are unlike the training images.")


def _metric_label(name: str, found: dict[str, float] | None) -> str:
    """A metric's name in words: `sensitivity_at_specificity` where that is .9 is «sensitivity at specificity 0.9»."""
    words = name.replace("_", " ").replace("auroc", "AUROC").replace("f1", "F1")
    return f"{words} {found['at']:g}" if found is not None and "at" in found else words


def _spoken(interval: dict[str, float]) -> str:
    return f"{interval['estimate']:.3f} ({interval['low']:.3f}–{interval['high']:.3f})"


def print_rung_budgets(weighed: Sequence[RungBudget]) -> None:
    """How the image's size was read, each rung's network, and how they grow with the image."""
    grid, channels = split_channels(weighed[0].image_shape)
    several = f" and {channels} channels" if channels > 1 else ""
    print(f"Images of {' × '.join(map(str, grid))} {'voxels' if len(grid) == 3 else 'pixels'}{several}.")
    for one in weighed:
        print_budget(one.budget, one.rung)
    _print_growth(weighed)


def _print_growth(weighed: Sequence[RungBudget]) -> None:
    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("one network", header_style="dim", overflow="fold")
    table.add_column("")
    for shape, _ in weighed[0].growth:
        side = f"{shape[0]}{'³' if len(shape) == 4 else '²'}"
        table.add_column(side, justify="right", header_style="dim", no_wrap=True)
    for one in weighed:
        budgets = [budget for _, budget in one.growth]
        table.add_row(escape(one.rung), "parameters", *(brief(b.parameters) if b else "–" for b in budgets))
        if one.budget.training_bytes is not None:
            training = [b.training_bytes if b else None for b in budgets]
            table.add_row("", "training", *("–" if n is None else f"{brief(n)}B" for n in training))
    console.print("\n[bold]As images grow[/]")
    console.print(table)


def brief(number: float) -> str:
    """A large number to three digits, with the unit prefix that it needs.

    Example
    -------
    >>> brief(785), brief(218465), brief(67_126_337), brief(3.45e10)
    ('785 ', '218 k', '67.1 M', '34.5 G')
    """
    for prefix, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= 0.9995 * size:
            digits = 0 if number >= 99.95 * size else 1 if number >= 9.995 * size else 2
            return f"{number / size:.{digits}f} {prefix}"
    return f"{number:.0f} "


_COLUMNS = {
    "area": "share of the image that holds half of what a unit looks at",
    "pieces": "its connected parts",
    "overlap": "with other units' regions, 0 to 1",
    "edges": "how like an edge, 0 to 1",
    "selective": "how well a unit by itself tells a class from the others, 0 to 1",
    "probe": "AUROC of a linear classifier on the layer's values, among patients held out",
}


def _print_columns(console: Console, *names: str) -> None:
    said = "; ".join(f"{name}: {_COLUMNS[name]}" for name in names)
    console.print(f"\n[dim]{said}.[/]")


def print_inspection(found: dict[str, Any]) -> None:
    """The layers of one network in a table, and what they say."""
    console = Console(highlight=False)
    console.print(
        f"[bold]{escape(found['rung'])}[/]: medians over the units of its first network; in brackets at random weights"
    )
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("layer", header_style="dim", no_wrap=True)
    for name in ("units", "dead", "area", "pieces", "edges", "selective", "probe"):
        table.add_column(name, justify="right", header_style="dim")
    if found["input"] is not None:
        table.add_row("input", *[""] * 6, f"{found['input']['auroc']['estimate']:.3f}")
    for layer in found["layers"]:
        regions, features = layer["regions"], layer["features"]
        probe = "–" if layer["probe"] is None else f"{layer['probe']['auroc']['estimate']:.3f}"
        if layer["probe"] is not None and layer["probe"]["random"] is not None:
            probe += f" [dim]({layer['probe']['random']['estimate']:.3f})[/]"
        table.add_row(
            layer["name"],
            f"{layer['units']:,}",
            f"{layer['dead']:,}",
            _beside(regions["area"], regions["random"]["area"], ".1%"),
            _beside(regions["pieces"], regions["random"]["pieces"], ".0f"),
            _beside(features["edge_likeness"], features["random"]["edge_likeness"], ".2f"),
            _beside(features["selectivity"], features["random"]["selectivity"], ".2f"),
            probe,
        )
    console.print(table)
    _print_columns(console, "area", "pieces", "edges", "selective", "probe")
    for sentence in found["sentences"]:
        console.print(f"\n{escape(sentence['text'])}")
    if found.get("probe_note"):
        console.print(f"\n[dim]{escape(found['probe_note'])}[/]")
    of_all = [one for part in ("structure", "taper") for one in (found.get(part) or {}).get("sentences", [])]
    if of_all:
        console.print("\n[bold]The rungs of the study[/]")
    for sentence in of_all:
        console.print(escape(sentence["text"]))
    if found.get("others"):
        others = " · ".join(found["others"])
        console.print(f"\n[dim]Also looked into, one at a time by --rung: {escape(others)}[/]", soft_wrap=True)


def print_units(layer: dict[str, Any]) -> None:
    """The units of one layer, those that matter most to the answer first."""
    regions, features = layer["regions"]["by_unit"], layer["features"]["by_unit"]
    console = Console(highlight=False)
    console.print(f"[bold]{escape(layer['name'])}[/]: {layer['units']:,} units, {layer['dead']:,} of them dead")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("unit", "importance", "area", "pieces", "overlap", "edges", "selective"):
        table.add_column(name, justify="right", header_style="dim")
    for name in ("favours", ""):
        table.add_column(name, header_style="dim")
    for unit in sorted(range(layer["units"]), key=lambda unit: -(features["importance"][unit] or 0)):
        numbers = [
            "–" if value is None else f"{value:{form}}"
            for value, form in (
                (features["importance"][unit], ".3f"),
                (regions["area"][unit], ".1%"),
                (regions["pieces"][unit], ".0f"),
                (regions["overlap"][unit], ".2f"),
                (features["edge_likeness"][unit], ".2f"),
                (features["selectivity"][unit], ".2f"),
            )
        ]
        note = "dead" if regions["is_dead"][unit] else "like noise" if regions["is_noise"][unit] else ""
        table.add_row(f"{unit}", *numbers, escape(features["favours"][unit]), f"[dim]{note}[/]")
    console.print(table)
    _print_columns(console, "area", "pieces", "overlap", "edges", "selective")
    if any(regions["is_noise"]):
        console.print("[dim]like noise: a region no smaller than at random weights.[/]")


def _beside(value: dict[str, float] | None, random: dict[str, float] | None, form: str) -> str:
    if value is None:
        return "–"
    return f"{value['median']:{form}}" + ("" if random is None else f" [dim]({random['median']:{form}})[/]")


def print_forecast(found: dict[str, Any]) -> None:
    """What a curve is expected to bring, and how sure that is."""
    console, share = Console(soft_wrap=True, highlight=False), f"{100 * found['confidence']:g} %"
    for warning in found["warnings"]:
        console.print(f"[yellow]{escape(warning['text'])}[/]")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("patients", "expected score", f"{share} interval", f"one new study, {share}"):
        table.add_column(name, justify="right")
    for kind in ("measured", "forecast"):
        for point in found[kind]:
            spans = (f"{point[low]:.3f}–{point[high]:.3f}" for low, high in (("low", "high"), ("new_low", "new_high")))
            style = "dim" if kind == "measured" else ""
            table.add_row(f"{point['n_train']:,}", f"{point['estimate']:.3f}", *spans, style=style)
    console.print(table)
    if found["needed"] is not None:
        console.print(f"\nA score of {found['needed']['score']:g} needs {_patients(found['needed'])}.")


def _patients(span: dict[str, Any]) -> str:
    low, high = (span[side] for side in ("low", "high"))
    if low is None:
        return "more than ten times the patients measured, if it is reached at all"
    end = "beyond ten times those measured" if high is None else f"{high:,}"
    return f"{low:,} to {end} training patients (90 % range)"


def print_explanation(found: dict[str, Any], page: Path | None) -> None:
    """What the network says of one image, and whether the maps of it may be believed."""
    console = Console(highlight=False)
    shares = ", ".join(f"{escape(name)} {value:.1%}" for name, value in found["probabilities"].items())
    console.print(f"[bold]{escape(found['decision'])}[/]  {shares}  [dim]by {escape(found['rung'])}[/]", soft_wrap=True)
    if found["unlike_training"]:
        console.print("This image is unlike the training images: the probability may mean nothing.")
    for one in found["attributions"]:
        trust = "" if one["is_trustworthy"] else "[bold]not trustworthy[/]: "
        console.print(f"\n{one['method']}, towards {escape(found['towards'])}: {trust}{escape(one['reason'])}")
    if found["nearest"]:
        console.print("\nNearest training images, by number in the cohort:")
        for near in found["nearest"]:
            console.print(f"  {near['image']:>7,}  {escape(near['class'])}  [dim]distance {near['distance']:.2f}[/]")
    if page is not None:
        console.print(f"\nPictures: {escape(str(page))}", soft_wrap=True)
    else:
        console.print("\n[dim]The maps themselves: --out PAGE.html[/]")


def print_serving(address: str, token: str | None, names: Sequence[str]) -> None:
    """Where the server is, for a person to open."""
    console = Console(highlight=False, soft_wrap=True)
    entry = address if token is None else f"{address}/enter?token={token}"
    console.print(f"Serving {escape(', '.join(names)) or 'nothing yet'}")
    console.print(f"[bold]{escape(entry)}[/]")
    if token is not None:
        console.print("[dim]Programs send it as 'Authorization: Bearer TOKEN'. Whoever has it may ask.[/]")
    console.print("[dim]Ctrl-C stops it, once what it took is answered.[/]")
