"""The mend: a new manifest without copies, or with copies under one patient. No image is ever touched."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int

from ..cohort import Cohort
from ..errors import CohortError, OptionError, unknown_name
from ..splits import groups_of
from .copies import conflicting_rows
from .near import NearCopies, merged_contents
from .places import folder_of

FIXES = ("drop-duplicates",)
_RANK = {"test": 0, "val": 1, "train": 2}


@dataclass(frozen=True)
class Mend:
    """Which rows a new manifest keeps, whose it says they are (None: as before), and how many it leaves out."""

    kept: Bool[np.ndarray, " image"]
    patients: Int[np.ndarray, " image"] | None
    sentence: str


def drop_duplicates(cohort: Cohort) -> Mend:
    """Without exact copies: of each set one image stays, of the test part if one is; none where the labels conflict."""
    rank = np.array([_RANK[part] for part in cohort.parts.tolist()])
    order = np.lexsort((np.arange(len(rank)), rank))
    _, first = np.unique(cohort.contents[order], return_index=True)
    kept = np.zeros(len(rank), dtype=bool)
    kept[order[first]] = True
    kept &= ~conflicting_rows(cohort)
    patients = cohort.patients if cohort.patients_known else None
    return Mend(kept, patients, f"{int((~kept).sum())} exact copies left out, {int(kept.sum())} images kept.")


def regroup(cohort: Cohort, near: NearCopies, of: Mend | None = None) -> Mend:
    """Exact and near copies under one patient; images of train or val whose new patient is tested are left out."""
    groups = groups_of(cohort.patients, merged_contents(cohort.contents, near))
    kept = ~conflicting_rows(cohort) if of is None else of.kept.copy()
    parted = np.zeros(len(kept), dtype=bool)
    for part, later in (("train", ("val", "test")), ("val", ("test",))):
        parted |= (cohort.parts == part) & np.isin(groups, groups[np.isin(cohort.parts, later) & kept])
    kept &= ~parted
    joined = len(np.unique(cohort.patients)) - len(np.unique(groups))
    return Mend(kept, groups, f"{joined} patients joined with others by copies; {int((~kept).sum())} images left out.")


def judged(cohort: Cohort, near: NearCopies, *, dropped: Sequence[int], joined: Sequence[int]) -> Mend:
    """As someone judged pairs by eye: rows left out, and near copies, by their place, that are of one patient."""
    kept = ~conflicting_rows(cohort)
    kept[list(dropped)] = False
    places = list(joined)
    if places:
        some = NearCopies(near.pairs[places], near.position[places], near.agreement[places])
        return regroup(cohort, some, of=Mend(kept, None, ""))
    patients = cohort.patients if cohort.patients_known else None
    return Mend(kept, patients, f"{int((~kept).sum())} images left out.")


def fix_of(cohort: Cohort, name: str) -> Mend:
    """The mend of that name; raises OptionError for an unknown one."""
    if name not in FIXES:
        raise unknown_name("fix", name, FIXES)
    return drop_duplicates(cohort)


def write_manifest(cohort: Cohort, mend: Mend, path: Path) -> None:
    """Write a CSV that `read_cohort` reads: path, label, patient where known, split where there is one, and columns.

    Raises
    ------
    OptionError
        The images are no files of their own, such as an npz or frames; or the place is not the images' folder.
    CohortError
        The file is there already.
    """
    folder = _folder_of(cohort)
    if path.resolve().parent != folder.resolve():
        raise OptionError(
            found=f"{path} is in another folder than the images.",
            needed="A place from which the paths of the images are found.",
            do=f"Name a file in {folder}.",
        )
    if path.exists():
        raise CohortError(
            found=f"{path} is there already.", needed="A name that is free: nothing is overwritten.", do="Name another."
        )
    has_split = len(np.unique(cohort.parts)) > 1
    names = ["path", "label", *(["patient"] if mend.patients is not None else []), *(["split"] if has_split else [])]
    columns = [name for name in cohort.columns if name.lower() not in {*names, "patient", "patient_id", "split"}]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*names, *columns])
        for row in np.flatnonzero(mend.kept).tolist():
            cells = [cohort.files[row], cohort.classes[cohort.labels[row]]]
            cells += [] if mend.patients is None else [f"p{mend.patients[row]}"]
            cells += [str(cohort.parts[row])] if has_split else []
            writer.writerow(cells + [str(cohort.columns[name][row]) for name in columns])


def _folder_of(cohort: Cohort) -> Path:
    folder = folder_of(cohort)
    if folder is None or not all((folder / file).exists() for file in cohort.files):
        raise OptionError(
            found=f"'{cohort.name}' is not made of one file an image.",
            needed="A folder of class folders, or a table of files.",
            do="Leave --fix and --regroup out: a study does as much without them.",
        )
    return folder
