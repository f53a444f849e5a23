"""Drawn cohorts as files: PNG images and a CSV that says what is known of each."""

from __future__ import annotations

import csv
from pathlib import Path

from .errors import CohortError, OptionError
from .images.pictures import to_png
from .phantoms import draw_batches, known
from .progress import QUIET, Progress


def write_drawn(
    name: str,
    out: Path,
    *,
    n_patients: int | None = None,
    seed: int = 0,
    size: int | None = None,
    progress: Progress = QUIET,
) -> tuple[Path, int]:
    """Write a drawn cohort into a new folder; the path of its labels.csv and the number of images.

    Raises
    ------
    OptionError
        No such drawn cohort, or a number below 1.
    CohortError
        The folder is there and not empty, or cannot be written.
    """
    for option, value in (("--patients", n_patients), ("--size", size)):
        if value is not None and value < 1:
            raise OptionError(found=f"{option} {value}.", needed="1 or more.", do=f"Change {option}.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise CohortError(found=f"{out} is there already.", needed="A new folder.", do="Use another --out.")
    n_expected = n_patients or next((p.n_patients for p in known() if p.name == name), 1)
    n_images = 0
    batches = draw_batches(name, n_patients=n_patients, seed=seed, size=size)
    first = next(batches)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with (
            (out / "labels.csv").open("w", newline="", encoding="utf-8") as file,
            progress.follow(f"Drawing {name}", n_expected) as advance,
        ):
            rows = csv.writer(file)
            rows.writerow(["path", "label", "patient", "split", *first.covariates])
            for batch in (first, *batches):
                for i, image in enumerate(batch.images):
                    label = batch.classes[batch.labels[i]]
                    path = Path(label) / f"{n_images:06d}.png"
                    (out / label).mkdir(exist_ok=True)
                    (out / path).write_bytes(to_png(image))
                    known_of_patient = [values[i] for values in batch.covariates.values()]
                    rows.writerow(
                        [path.as_posix(), label, f"P{batch.patients[i]:06d}", batch.parts[i], *known_of_patient]
                    )
                    n_images += 1
                advance(len(set(batch.patients.tolist())))
    except OSError as error:
        raise CohortError(
            found=f"{out} cannot be written ({error.strerror}).", needed="Room and permission.", do="Use another --out."
        ) from error
    return out / "labels.csv", n_images
