"""The worst errors: which they are, by hand; what is kept of them; and that nothing names a patient."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from typer.testing import CliRunner

import medladder as ml
from medladder.cli import app
from medladder.evidence.errors import OF_A_KIND, find_worst
from medladder.evidence.scores import FoldScores, Units, units_of
from medladder.evidence.weighing import weigh
from medladder.report.page import render
from medladder.study import keep_errors
from report_studies import write_study


def scores_of(
    probabilities: np.ndarray, labels: np.ndarray, patients: np.ndarray
) -> tuple[list[FoldScores], tuple[Units, ...]]:
    """One fold; a row of probabilities of class 1 a repeat, by unit."""
    units = units_of(np.arange(len(labels)), labels, patients)
    both = np.stack([1 - probabilities, probabilities], axis=2)
    decided = (probabilities >= 0.5).astype(np.int64)
    fold = FoldScores(0, np.arange(len(probabilities)), 0.0, both, decided, units.truth, units.patients)
    return [fold], (units,)


def test_the_surest_wrong_by_hand() -> None:
    """Patients 0 to 4 of one image but patient 2, of two; two repeats."""
    labels, patients = np.array([0, 0, 1, 1, 1, 1]), np.array([0, 1, 2, 2, 3, 4])
    probabilities = np.array([[0.9, 0.2, 0.4, 0.8, 0.1], [0.7, 0.9, 0.2, 0.9, 0.3]])
    found = find_worst(*scores_of(probabilities, labels, patients))
    # Patient 1 is wrong in one repeat of two: not in most.
    assert [(one.row, one.truth, one.decided, one.probability, one.images) for one in found] == [
        (0, 0, 1, 0.8, 1), (5, 1, 0, 0.8, 1), (2, 1, 0, 0.7, 2),
    ]  # fmt: skip


def test_a_few_of_each_kind() -> None:
    n = 30
    labels = np.repeat([0, 1], n)
    probabilities = np.concatenate([np.linspace(0.51, 0.99, n), np.linspace(0.49, 0.01, n)])[None]
    found = find_worst(*scores_of(probabilities, labels, np.arange(2 * n)))
    assert [one.row for one in found] == [n - 1 - i for i in range(OF_A_KIND)] + [
        2 * n - 1 - i for i in range(OF_A_KIND)
    ]


def test_pictures_are_kept_shown_and_replaced(tmp_path: Path) -> None:
    cohort = ml.read_cohort("demo:nodule", image_size=(16,))
    study = ml.run_study(cohort, tmp_path / "study", rungs=["prior", "logistic"], sizes=["60"], repeats=2, jobs=1)
    errors = weigh(study).to_json()["errors"]
    assert errors
    assert all(set(one) == {"row", "truth", "decided", "probability", "images"} for one in errors)
    assert "kept no pictures of them" in render(study)
    keep_errors(study, cohort, [one["row"] for one in errors])
    first = {path.name: path.read_bytes() for path in study.pictures.glob("error-*.png")}
    assert set(first) == {f"error-{one['row']}.png" for one in errors}
    page = render(study)
    section = page[page.index('<section id="errors">') :].split("</section>")[0]
    assert section.count('alt="Image ') == section.count("data:image/png") == len(errors)
    assert "kept no pictures of them" not in page
    keep_errors(study, cohort, [one["row"] for one in errors])
    assert {path.name: path.read_bytes() for path in study.pictures.glob("error-*.png")} == first
    keep_errors(study, cohort, [])
    assert not list(study.pictures.glob("error-*.png"))


def test_a_study_run_again_without_pictures_keeps_none_of_test_patients(tmp_path: Path) -> None:
    """As the page advises whoever may not show them."""
    words = [
        "study",
        "demo:nodule",
        "--image-size",
        "16",
        "--out",
        str(tmp_path / "study"),
        "--rungs",
        "prior,logistic",
    ]
    words += ["--sizes", "60", "--repeats", "2", "--jobs", "1", "--no-inspection"]
    page = tmp_path / "study" / "report.html"
    assert CliRunner().invoke(app, words).exit_code == 0
    kept = {path.name: path.read_bytes() for path in (tmp_path / "study" / "pictures").glob("error-*.png")}
    assert kept
    assert "images of test patients" in page.read_text()
    assert CliRunner().invoke(app, words).exit_code == 0
    assert kept == {path.name: path.read_bytes() for path in (tmp_path / "study" / "pictures").glob("error-*.png")}
    assert CliRunner().invoke(app, [*words, "--no-pictures"]).exit_code == 0
    assert not list((tmp_path / "study" / "pictures").glob("error-*.png"))
    assert "images of test patients" not in page.read_text()
    assert '<section id="errors">' in page.read_text()


def test_pictures_without_room_are_listed_without(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "chest")
    evidence = folder.read_evidence()
    errors = [{"row": row, "truth": 0, "decided": 1, "probability": 0.9, "images": 1} for row in range(12)]
    folder.write_json("evidence.json", {**evidence, "errors": errors})
    for row in range(12):
        folder.write_bytes(f"pictures/error-{row}.png", b"x" * 100_000)
    page = render(folder)
    section = page[page.index('<section id="errors">') :].split("</section>")[0]
    assert section.count("<li>") == 12
    assert section.count("<img") == 7
    assert len(page.encode()) < 5_000_000
