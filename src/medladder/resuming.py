"""Going on with a study: what stands in its folder, what of it is whole, and whether the plan only grows."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from .cohort import Cohort
from .errors import StudyError
from .planning import CONTENT_LETTERS, PlannedStudy, blocks, repeats_a_fleet
from .record.cohort import CohortRecord
from .record.folder import StudyFolder
from .record.plan import Plan
from .record.trials import Trial

_FILES_NAMED = 5


def make_room(folder: StudyFolder) -> None:
    """Make the folder of a study; raises StudyError where that would be among other files, or cannot be."""
    path = folder.path
    if path.exists() and not path.is_dir():
        raise StudyError(found=f"{path} is a file.", needed="A folder for the study.", do="Use another --out.")
    if path.is_dir() and not folder.is_study and any(not child.name.startswith(".") for child in path.iterdir()):
        raise StudyError(
            found=f"{path} holds other files and no study.",
            needed="An empty or new folder, or one with a study to go on with.",
            do="Use another --out.",
        )
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudyError(
            found=f"{path} cannot be made ({error.strerror}).",
            needed="A folder that may be written.",
            do="Use another --out.",
        ) from error


def open_study(
    folder: StudyFolder, planned: PlannedStudy, say: Callable[[str], None]
) -> tuple[PlannedStudy, dict[str, list[Trial]]]:
    """The plan to run, joined with the one that stands in the folder, and the trials of fleets that are whole.

    What the folder lost, a torn line or an altered file, is said, and its fleets are not among the whole ones.

    Raises
    ------
    StudyError
        The folder holds another study, or lines that are not this study's.
    """
    if not folder.is_study:
        return planned, {}
    before = folder.read_plan()
    _check_cohort(folder, before, planned.cohort)
    plan = _extended(folder, before, planned.plan)
    pools = tuple(replace(pool, repeats_a_round=plan.round) for pool in planned.pools)
    return replace(planned, plan=plan, pools=pools), _whole(folder, before, say)


def _whole(folder: StudyFolder, plan: Plan, say: Callable[[str], None]) -> dict[str, list[Trial]]:
    """Trials of the fleets that need not run; the journal is left with these alone."""
    journal = folder.read_journal()
    told = [f"trials.jsonl: {line}." for line in journal.mended]
    told += [
        f"trials.jsonl: lines {first} and {second} say different things of one trial of {fleet}; it runs anew."
        for fleet, (first, second) in (journal.at_odds or {}).items()
    ]
    # A fleet with a failed trial runs again: its cause may have been mended, or the machine is another.
    done = [trial for trial in journal.trials if trial.is_done]
    by_fleet: dict[str, list[Trial]] = defaultdict(list)
    for trial in done:
        by_fleet[trial.fleet].append(trial)
    whole = {}
    for key in plan.fleets():
        trials = by_fleet[key.name]
        if len(trials) == len(key.repeats):
            if folder.has_predictions(key.name, trials[0].predictions_sha256):
                whole[key.name] = trials
            else:
                told.append(f"predictions/{key.name}.npz is not what the study wrote there, or gone; it runs anew.")
    for line in told:
        say(line)
        folder.log(line)
    kept = [trial for trial in journal.trials if trial.fleet in whole]
    if told or len(kept) < len(journal.trials):
        folder.keep_trials(kept)
    return whole


def _check_cohort(folder: StudyFolder, before: Plan, cohort: Cohort) -> None:
    """Refuse a cohort that changed since the study began, and say which files did."""
    if before.cohort["fingerprint"] == cohort.fingerprint or before.cohort["name"] != cohort.name:
        return  # another cohort altogether is told of with the rest of the plan
    try:
        record = folder.read_cohort()
    except StudyError:
        return
    changes = _changes(record, cohort)
    if changes:
        raise StudyError(
            found=f"The files of the cohort changed since {folder.path} was begun: {'; '.join(changes)}.",
            needed="The images and labels that the trials there were fitted on.",
            do="Put them back as they were; or begin a study of what they are now with another --out.",
        )


def _changes(record: CohortRecord, cohort: Cohort) -> list[str]:
    if not record.contents:
        return []
    now = [content[:CONTENT_LETTERS] for content in cohort.contents.tolist()]
    known = zip(record.contents, (record.classes[label] for label in record.labels), strict=True)
    new = _surplus(cohort.files, zip(now, (cohort.classes[k] for k in cohort.labels), strict=True), known)
    gone = Counter(record.contents)
    gone.subtract(now)
    if new and not any(gone.values()):
        return [f"of another class: {_named(new)}"]
    if new or any(gone.values()):
        told = [f"new or altered: {_named(new)}"] if new else []
        return [*told, f"gone or altered: {_gone(record, cohort, now, gone)}"] if max(gone.values()) > 0 else told
    is_ordered = now == list(record.contents)
    patients = zip(cohort.files, cohort.patients.tolist(), record.patients.tolist(), strict=True)
    others = [file for file, patient, before in patients if patient != before] if is_ordered else []
    if others:
        return [f"of another patient: {_named(others)}"]
    return ["the images are the same, their order, parts or columns are not"]


def _surplus(files: Sequence[str], now: Iterable[Hashable], before: Iterable[Hashable]) -> list[str]:
    """Files of which there are more now than before, each told by what stands at its place in `now`."""
    left, found = Counter(before), []
    for file, one in zip(files, now, strict=True):
        left[one] -= 1
        if left[one] < 0:
            found.append(file)
    return found


def _gone(record: CohortRecord, cohort: Cohort, now: Sequence[str], gone: Counter[str]) -> str:
    """Images that are no longer there, by the files that they stood between: a study keeps no names."""
    places: dict[str, int] = {}
    for place, content in enumerate(now):
        places.setdefault(content, place)
    told = []
    for place, content in enumerate(record.contents):
        if gone[content] > 0:
            gone[content] -= 1
            before = next((places[one] for one in reversed(record.contents[:place]) if one in places), None)
            after = "the first file" if before is None else f"after {cohort.files[before]}"
            told.append(f"one of class {record.classes[record.labels[place]]} that was {after}")
    return _named(told)


def _named(names: Sequence[str]) -> str:
    more = len(names) - _FILES_NAMED
    return ", ".join(names[:_FILES_NAMED]) + (f" and {more} more" if more > 0 else "")


def _extended(folder: StudyFolder, before: Plan, now: Plan) -> Plan:
    """The plan of a study that goes on: everything agrees, and rungs, sizes and repeats only grow.

    Raises
    ------
    StudyError
        They do not.
    """
    fixed = (
        "cohort",
        "seed",
        "image",
        "split",
        "folds",
        "keep_val",
        "margin",
        "operating",
        "covariates",
        "training",
        "protocol",
    )
    for name in fixed:
        # Through JSON and back, so that tuples and lists do not differ.
        was, wanted = (json.loads(json.dumps(plan.to_json()[name])) for plan in (before, now))
        if was != wanted and not (name == "cohort" and was["fingerprint"] == wanted["fingerprint"]):
            raise StudyError(
                found=f"{folder.path} holds a study with {_in_words(name, was)}, not {_in_words(name, wanted)}.",
                needed="The same cohort, seed, image size, split, margin, operating points and covariates "
                "to go on with a study.",
                do="Give them as they were, or use another --out.",
            )
    kept: dict[str, tuple[list[Any], list[Any]]] = {
        "rungs": ([p.rung for p in before.rungs], [p.rung for p in now.rungs]),
        "sizes": (list(before.sizes), list(now.sizes)),
        "repeats": (list(range(before.repeats)), list(range(now.repeats))),
    }
    for name, (old, new) in kept.items():
        gone = [str(value) for value in old if value not in new]
        if gone:
            raise StudyError(
                found=f"{folder.path} holds a study with the {name} {_short(old)}; this asks for {_short(new)}.",
                needed=f"All the {name} there were; more may be added.",
                do=f"{_how_to_keep(name, old)}, or use another --out.",
            )
    added = {name: new for name, (old, new) in kept.items() if len(new) > len(old)}
    extended = replace(
        now,
        round=before.round,
        repeat_blocks=before.repeat_blocks + blocks(before.repeats, now.repeats, repeats_a_fleet(now)),
        versions=before.versions,
        extensions=before.extensions,
    )
    if not added:
        return extended
    summary = {name: values if name != "repeats" else [before.repeats, now.repeats] for name, values in added.items()}
    extension = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "added": summary,
        "after_looking": (folder.path / "evidence.json").exists(),
        "versions": now.versions,
    }
    return replace(extended, extensions=(*before.extensions, extension))


def _how_to_keep(name: str, old: Sequence[object]) -> str:
    if name == "repeats":
        return f"Give --repeats {len(old)} or more"
    if name == "sizes":
        return f"Name {', '.join(map(str, old))} in --sizes"
    return "Name " + " ".join(f"--rung {rung}" for rung in old)


def _in_words(name: str, value: Any) -> str:
    if name == "cohort":
        return f"the cohort '{value['name']}' (fingerprint {value['fingerprint'][:8]})"
    if name == "image":
        return f"images of {'×'.join(map(str, value['shape']))}"
    if name == "training":
        return f"networks trained the way of version {value}"
    if name == "covariates":
        return _covariates_in_words(value)
    return f"{name.replace('_', ' ')} {value}"


def _covariates_in_words(covariates: dict[str, Any] | None) -> str:
    if covariates is None:
        return "no covariates"
    names = ", ".join(column["column"] for column in covariates["columns"])
    within = f" on '{covariates['normal_class']}'" if covariates["normal_class"] else ""
    return f"the covariates {names} as {covariates['use']}{within}"


def _short(values: Sequence[object]) -> str:
    is_count = len(values) > 2 and list(values) == list(range(len(values)))
    return f"0 to {len(values) - 1}" if is_count else ", ".join(map(str, values))
