"""What one rung is like: curves against scikit-learn and simulation, groups against cohorts of their own, the page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from drawn_studies import draw_study
from medladder.decision import score_out_of_part
from medladder.evidence.portrait import ALARMS, portray
from medladder.evidence.reliability import LEAST_UNITS, mean_curve
from medladder.evidence.scores import FoldScores, read_scores
from medladder.evidence.weighing import weigh
from medladder.record.cohort import CohortRecord
from medladder.record.folder import StudyFolder
from medladder.record.grouping import Grouping, group_by
from medladder.report.page import render

SMALL: dict[str, Any] = {"rungs": ("prior", "logistic", "svm"), "sizes": (31, 86), "repeats": 3, "n_test_patients": 200}


def with_columns(folder: StudyFolder, leave_out: str | None = None) -> StudyFolder:
    """The same study with a sex a patient, and a rare site; or with its folds as the values of a column."""
    cohort = folder.read_cohort()
    rare = np.where(np.isin(cohort.patients, np.flatnonzero(cohort.test_fold >= 0)[:4]), 1, 0)
    columns = {
        "sex": Grouping(("f", "m"), cohort.patients % 2),
        "site": Grouping(("common", "rare"), rare),
        "age": Grouping(("young", "old"), (cohort.patients // 2) % 2),
    }
    folder.write_json("cohort.json", CohortRecord(**{**cohort.__dict__, "columns": columns}).to_json())
    if leave_out is not None:
        folder.write_json("plan.json", replace(folder.read_plan(), leave_out=leave_out).to_json())
    return folder


def test_a_mean_roc_curve_is_scikit_learns_averaged(tmp_path: Path) -> None:
    scores = read_scores(draw_study(tmp_path, folds=2, **SMALL))
    found = portray(scores, "svm", 86)
    assert found is not None
    reached = []
    for fold in scores.at("svm", 86):
        for p in fold.probabilities[:, :, 1]:
            alarms, hits, _ = roc_curve(fold.truth, p, drop_intermediate=False)
            reached.append([hits[alarms <= most + 1e-9].max() for most in ALARMS])
    assert found.roc[0].sensitivity == pytest.approx(np.mean(reached, axis=0), abs=1e-5)
    assert (found.roc[0].class_, found.roc[0].sensitivity[-1]) == ("pneumonia", 1)


def test_three_classes_have_three_curves_and_floors_none(tmp_path: Path) -> None:
    found = weigh(draw_study(tmp_path, classes=("a", "b", "c"), **SMALL)).to_json()
    assert found["rungs"][0]["portrait"] is None
    for rung in found["rungs"][1:]:
        assert [curve["class"] for curve in rung["portrait"]["roc"]] == ["a", "b", "c"]
        assert {one["class"] for one in rung["portrait"]["reliability"]} == {"a", "b", "c"}


def drawn_fold(rng: np.random.Generator, n: int, repeats: int) -> FoldScores:
    """Probabilities that are frequencies, each repeat's with a jitter of its own about the same patients' risks."""
    p = rng.beta(1, 2, n)
    truth = (rng.random(n) < p).astype(int)
    given = np.clip(p + 0.001 * rng.standard_normal((repeats, n)), 0, 1)
    both = np.stack([1 - given, given], axis=2)
    return FoldScores(0, np.arange(repeats), 0.0, both, (given > 0.5).astype(int), truth, np.arange(n))


def test_bins_hold_ten_patients_and_repeats_narrow_nothing() -> None:
    one, many = (drawn_fold(np.random.default_rng(1), 95, repeats) for repeats in (1, 9))
    bins = [mean_curve([fold], ("no", "yes"), confidence=0.95) for fold in (one, many)]
    for found in bins:
        assert all(part.n >= LEAST_UNITS for part in found)
        assert 85 < sum(part.n for part in found) <= 95
    widths = [np.mean([part.observed.high - part.observed.low for part in found]) for found in bins]
    assert widths[1] == pytest.approx(widths[0], rel=0.05)


def test_intervals_of_bins_hold_the_truth_where_probabilities_are_right() -> None:
    rng, held, total = np.random.default_rng(2), 0, 0
    for _ in range(300):
        for part in mean_curve([drawn_fold(rng, 200, 3)], ("no", "yes"), confidence=0.95):
            held += part.observed.low <= part.predicted <= part.observed.high
            total += 1
    # 3,000 bins, ± .4 %; within a bin the risks differ, which makes the frequency a little less varied.
    assert 0.94 < held / total < 0.98


def test_a_group_is_scored_as_a_cohort_of_its_own(tmp_path: Path) -> None:
    folder = with_columns(draw_study(tmp_path, **SMALL))
    served = weigh(folder).to_json()["served"]
    told = {(one["column"], one["group"]): one for one in served["subgroups"]}
    assert set(told) == {("sex", "f"), ("sex", "m"), ("age", "young"), ("age", "old")}, "a site of four is not shown"
    scores, cohort = read_scores(folder), folder.read_cohort()
    fold = scores.at(served["rung"], served["n_train"])[0]
    is_f = cohort.patients[fold.patients] % 2 == 0
    expected = np.mean([roc_auc_score(fold.truth[is_f], p[is_f]) for p in fold.probabilities[:, :, 1]])
    assert told["sex", "f"]["auroc"]["estimate"] == pytest.approx(expected)
    assert told["sex", "f"]["patients"] == is_f.sum()
    whole = folder.read_evidence()["rungs"][1]["points"][-1]["auroc"]
    assert told["sex", "f"]["auroc"]["high"] - told["sex", "f"]["auroc"]["low"] > whole["high"] - whole["low"]
    assert served["inside"] is None
    assert served["outside"] == []


def test_groups_left_out_stand_beside_the_inside(tmp_path: Path) -> None:
    folder = with_columns(draw_study(tmp_path, folds=2, **SMALL), leave_out="hospital")
    trials = [replace(t, out_of_part={"area": 0.9, "per_class": [40, 46]}) for t in folder.read_trials()]
    folder.keep_trials(trials)
    served = weigh(folder).to_json()["served"]
    assert [(one["column"], one["patients"]) for one in served["outside"]] == [("hospital", 100), ("hospital", 100)]
    inside = served["inside"]
    assert inside["estimate"] == pytest.approx(0.9)
    assert inside["low"] < 0.87
    assert inside["high"] > 0.92
    fold = read_scores(folder).at(served["rung"], served["n_train"])[0]
    expected = np.mean([roc_auc_score(fold.truth, p) for p in fold.probabilities[:, :, 1]])
    assert served["outside"][0]["auroc"]["estimate"] == pytest.approx(expected)
    text = render(folder)
    assert "Inside and outside what it learned from" in text
    assert "Whom it serves" in text


def test_without_columns_no_groups_are_shown(tmp_path: Path) -> None:
    folder = draw_study(tmp_path, **SMALL)
    served = weigh(folder, prevalence=0.02).to_json()["served"]
    assert (served["outside"], served["subgroups"]) == ([], [])
    text = render(folder)
    assert "Whom it serves" not in text
    assert "Where 2.0\xa0% have" in text


def test_a_cohort_of_before_columns_is_read(tmp_path: Path) -> None:
    folder = draw_study(tmp_path, **SMALL)
    cohort = folder.read_cohort().to_json()
    del cohort["columns"]
    folder.write_json("cohort.json", cohort)
    assert folder.read_cohort().columns == {}


def test_out_of_part_scores_are_scikit_learns_by_patient() -> None:
    rng = np.random.default_rng(0)
    patients, labels = np.arange(90) // 3, (np.arange(90) // 3) % 3
    proba = rng.dirichlet([1, 1, 1], 90)
    proba[:9] = np.nan
    found = score_out_of_part(proba, labels, patients)
    means = proba.reshape(30, 3, 3).mean(axis=1)[3:]
    assert found is not None
    assert found["area"] == pytest.approx(roc_auc_score(labels[9::3], means, multi_class="ovr"), abs=1e-6)
    assert found["per_class"] == [9, 9, 9]
    assert score_out_of_part(proba[:12], labels[:12], patients[:12]) is None


def test_columns_become_groups_and_identifiers_none() -> None:
    patients = np.arange(60)
    sex = group_by(np.array(["f", "m", ""] * 20), patients)
    assert sex is not None
    assert sex.groups == ("(none)", "f", "m")
    ages = group_by(np.array([str(20.5 + i) for i in range(60)]), patients)
    assert ages is not None
    assert np.bincount(ages.of_image).tolist() == [20, 20, 20]
    assert ages.groups[0] == "up to 40.17"
    assert group_by(np.array([f"P{i}" for i in range(60)]), patients) is None
    assert group_by(np.arange(1000, 1060).astype(str), patients) is None
    assert group_by(np.array(["same"] * 60), patients) is None
