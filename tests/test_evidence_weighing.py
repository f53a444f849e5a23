"""A study's folder weighed: schema, laws over whole studies, order of lines, and every rule of the verdict."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from drawn_studies import draw_study
from medladder.errors import OptionError, StudyError
from medladder.evidence.comparisons import Comparison
from medladder.evidence.intervals import Interval
from medladder.evidence.points import METRICS
from medladder.evidence.verdict import Pick, Standing, pick_rung
from medladder.evidence.weighing import Evidence, weigh
from medladder.record.cohort import CohortRecord
from medladder.record.folder import FleetPredictions, StudyFolder
from medladder.record.plan import OperatingPoints

SMALL = {"rungs": ("prior", "logistic", "dnn"), "sizes": (31, 86), "repeats": 4, "n_test_patients": 120}


def rules(evidence: Evidence) -> str:
    return " | ".join(sentence.rule for sentence in (*evidence.verdict.sentences, *evidence.verdict.warnings))


def test_evidence_json_has_the_keys_of_the_contract(tmp_path):
    folder = draw_study(tmp_path, **SMALL)
    evidence = weigh(folder)
    found = folder.read_evidence()
    assert found == json.loads(json.dumps(evidence.to_json()))
    assert list(found) == [
        *("protocol", "target", "confidence", "unit", "n_test", "classes", "positive", "rungs", "comparisons"),
        *("margin", "verdict", "selected", "served", "errors", "cost"),
    ]
    assert found["n_test"] == {"patients": 120, "per_class": [60, 60], "folds": 1}
    assert (found["positive"], found["target"], found["unit"]) == ("pneumonia", "expected", "patient")
    assert [rung["rung"] for rung in found["rungs"]] == ["prior", "logistic", "dnn"]
    for rung in found["rungs"]:
        assert list(rung) == ["rung", "family", "points", "curve", "forecast", "portrait"]
        assert [point["n_train"] for point in rung["points"]] == [31, 86]
    point = found["rungs"][1]["points"][0]
    assert list(point) == [
        *("n_train", "repeats", "failed", "overlap", "holds", *METRICS),
        *("recall", "per_class_auroc", "confusion", "at_prevalence"),
    ]
    assert list(point["recall"]) == list(point["per_class_auroc"]) == ["normal", "pneumonia"]
    for name in METRICS:
        where = ["at"] if name in ("sensitivity_at_specificity", "specificity_at_sensitivity") else []
        assert list(point[name]) == [*where, "estimate", "low", "high"]
    assert np.sum(point["confusion"], axis=1).tolist() == [60, 60]
    assert point["at_prevalence"] is None
    pairs = [(pair["rung"], pair["against"]) for pair in found["comparisons"]]
    assert pairs == [("logistic", "prior"), ("dnn", "prior"), ("dnn", "logistic")]
    assert list(found["comparisons"][0]) == [
        "metric", "n_train", "rung", "against", "difference", "to_best", "simultaneous",
    ]  # fmt: skip
    assert list(found["verdict"]) == ["recommended", "grade", "sentences", "warnings", "crossover", "needed", "said"]
    assert list(found["cost"]["dnn"][0]) == ["n_train", "fit_seconds", "n_parameters"]
    assert evidence.recommended in repr(evidence)
    assert "<table>" in evidence._repr_html_()


def test_more_than_two_classes_in_folds(tmp_path):
    evidence = weigh(draw_study(tmp_path, classes=("a", "b", "c"), folds=5, images_per_patient=2, **SMALL))
    point = evidence.rungs[1].points[0]
    assert {name for name in METRICS if point.to_json()[name] is None} == {
        *("sensitivity", "specificity", "sensitivity_at_specificity", "specificity_at_sensitivity")
    }
    assert point.auroc.estimate == pytest.approx(np.mean([area.estimate for area in point.per_class_auroc.values()]))
    assert list(point.recall) == ["a", "b", "c"]
    assert evidence.to_json()["positive"] is None
    recalls = [interval.estimate for interval in point.recall.values()]
    assert point.metrics["balanced_accuracy"].estimate == pytest.approx(np.mean(recalls))


def test_the_order_of_lines_moves_nothing(tmp_path):
    folder = draw_study(tmp_path, folds=2, failed={("dnn", 31, 2)}, **SMALL)
    before = weigh(folder).to_json()
    trials = folder.read_trials()
    folder.keep_trials([trials[place] for place in np.random.default_rng(0).permutation(len(trials))])
    assert json.dumps(weigh(folder).to_json()) == json.dumps(before)


def test_seconds_stand_under_cost_alone(tmp_path):
    folder = draw_study(tmp_path, **SMALL)
    before = weigh(folder).to_json()
    slower = [type(t)(**{**t.__dict__, "fit_seconds": 99.0}) for t in folder.read_trials()]
    folder.keep_trials(slower)
    after = weigh(folder).to_json()
    assert before.pop("cost") != after.pop("cost")
    assert before == after


def test_nine_copies_of_every_image_narrow_nothing(tmp_path):
    once = draw_study(tmp_path / "once", **SMALL)
    before = weigh(once).to_json()
    cohort = once.read_cohort()
    copied = StudyFolder(tmp_path / "copied")
    rows = np.repeat(np.arange(len(cohort.labels)), 9)
    columns = {name: getattr(cohort, name)[rows] for name in ("labels", "patients", "groups", "test_fold")}
    copied.write_json("plan.json", once.read_plan().to_json())
    copied.write_json("cohort.json", CohortRecord(**{**cohort.__dict__, **columns}).to_json())
    trials = once.read_trials()
    for key in once.read_plan().fleets():
        fleet = once.read_predictions(key.name)
        many = FleetPredictions(
            fleet.probabilities.repeat(9, axis=1), np.flatnonzero(columns["test_fold"] == 0), fleet.repeats
        )
        copied.write_fleet(key, many, [trial for trial in trials if trial.fleet == key.name])
    for rung, other in zip(before["rungs"], weigh(copied).to_json()["rungs"], strict=True):
        for point, again in zip(rung["points"], other["points"], strict=True):
            assert again["auroc"] == pytest.approx(point["auroc"], abs=1e-6)
            assert again["sensitivity"] == pytest.approx(point["sensitivity"], abs=1e-6)


def test_decision_weights_decide(tmp_path):
    folder = draw_study(tmp_path, **SMALL)
    # Weights (1 - t, t) with t near 1 call nobody ill.
    strict = [
        type(t)(**{**t.__dict__, "decision": {"weights": [1e-9, 1 - 1e-9], "rule": "x"}}) for t in folder.read_trials()
    ]
    folder.keep_trials(strict)
    point = weigh(folder).rungs[1].points[0]
    assert (point.metrics["sensitivity"].estimate, point.metrics["specificity"].estimate) == (0, 1)


def test_operating_points_are_the_plans_or_said_to_be_chosen_afterwards(tmp_path):
    folder = draw_study(tmp_path, **SMALL)
    planned = weigh(folder)
    assert planned.rungs[1].points[0].metrics["sensitivity_at_specificity"] is not None
    assert "chosen afterwards" not in rules(planned)
    strict = weigh(folder, at_specificity=0.99, prevalence=0.05)
    before, after = (one.to_json()["rungs"][1]["points"][1] for one in (planned, strict))
    assert (before["sensitivity_at_specificity"]["at"], after["sensitivity_at_specificity"]["at"]) == (0.9, 0.99)
    assert after["sensitivity_at_specificity"]["estimate"] < before["sensitivity_at_specificity"]["estimate"]
    assert after["at_prevalence"]["ppv"]["estimate"] < after["sensitivity"]["estimate"]
    assert after["auroc"] == before["auroc"]
    said = {one.rule: one.text for one in strict.verdict.warnings if "chosen afterwards" in one.rule}
    assert list(said) == ["specificity chosen afterwards", "prevalence chosen afterwards"]
    assert "0.99 was chosen after looking; the plan said 0.9" in said["specificity chosen afterwards"]


def test_a_plan_of_before_operating_points_is_read(tmp_path):
    folder = draw_study(tmp_path, **SMALL)
    plan = folder.read_plan().to_json()
    del plan["operating"]
    folder.write_json("plan.json", plan)
    assert folder.read_plan().operating == OperatingPoints()


@pytest.mark.parametrize("wrong", [{"at_specificity": 1.0}, {"at_sensitivity": 0.0}, {"prevalence": -0.1}])
def test_operating_points_out_of_range_are_refused(tmp_path, wrong):
    with pytest.raises(OptionError, match="between 0 and 1"):
        weigh(draw_study(tmp_path, **SMALL), **wrong)


def test_shown(tmp_path):
    rungs = {"logistic": 0.95, "dnn": 0.90}
    evidence = weigh(draw_study(tmp_path, auroc=rungs, rungs=("prior", "logistic", "dnn"), n_test_patients=600))
    assert (evidence.recommended, evidence.verdict.grade) == ("logistic", "shown")
    assert "Conventional methods are shown better" in evidence.verdict.sentences[1].text


def test_not_contradicted(tmp_path):
    rungs = {"logistic": 0.90, "dnn": 0.91}
    evidence = weigh(draw_study(tmp_path, auroc=rungs, rungs=("prior", "logistic", "dnn"), n_test_patients=160))
    assert (evidence.recommended, evidence.verdict.grade) == ("logistic", "not contradicted")
    missed = next(pair for pair in evidence.comparisons if pair.against == "logistic" and pair.rung == "dnn")
    assert f"up to {missed.to_best.high:.3f} AUROC may be missed" in evidence.verdict.sentences[0].text
    assert missed.to_best.high < missed.difference.high, "choosing asks less than comparing all pairs"
    assert "No difference between deep and conventional" in evidence.verdict.sentences[1].text


def test_a_higher_rung_that_is_shown_better_is_picked(tmp_path):
    rungs = {"logistic": 0.70, "dnn": 0.95}
    evidence = weigh(draw_study(tmp_path, auroc=rungs, rungs=("prior", "logistic", "dnn"), n_test_patients=300))
    assert (evidence.recommended, evidence.verdict.grade) == ("dnn", "shown")


def test_cannot_tell_with_few_test_patients(tmp_path):
    evidence = weigh(draw_study(tmp_path, auroc={"logistic": 0.95, "dnn": 0.9}, n_test_patients=14))
    assert evidence.verdict.grade == "cannot tell"
    assert "test set too small" in rules(evidence)


def test_no_better_than_prior(tmp_path):
    evidence = weigh(draw_study(tmp_path, auroc={"logistic": 0.5, "dnn": 0.5}, **SMALL))
    assert evidence.recommended == "prior"
    assert "no better than prior" in rules(evidence)
    assert "better than knowing nothing" in evidence.verdict.sentences[0].text


def standing(*pairs: tuple[str, str, float, float]) -> Standing:
    names = ("logistic", "svm", "dnn")
    comparisons = [Comparison(100, a, b, *2 * (Interval((low + high) / 2, low, high),)) for a, b, low, high in pairs]
    aurocs = {name: Interval(0.8 + place / 100, 0.7, 0.9) for place, name in enumerate(names)}
    families = {"logistic": "conventional", "svm": "conventional", "dnn": "deep"}
    return Standing(100, families, aurocs, comparisons, (50, 50), 0.02, "patient")


def test_pick_by_hand():
    open_choice = standing(("svm", "logistic", -0.1, 0.12), ("dnn", "logistic", -0.1, 0.05), ("dnn", "svm", -0.1, 0.1))
    assert pick_rung(open_choice) == Pick("logistic", "cannot tell", 0.12)
    beaten = standing(("svm", "logistic", 0.01, 0.05), ("dnn", "logistic", 0.01, 0.05), ("dnn", "svm", -0.1, 0.03))
    assert (pick_rung(beaten).rung, pick_rung(beaten).grade, pick_rung(beaten).missed) == (
        "svm",
        "not contradicted",
        0.03,
    )
    ring = standing(("svm", "logistic", 0.01, 0.05), ("dnn", "logistic", -0.05, -0.01), ("dnn", "svm", 0.01, 0.05))
    assert (pick_rung(ring).rung, pick_rung(ring).grade) == ("dnn", "cannot tell")


def test_every_warning_is_given(tmp_path):
    looked = {"when": "2026-01-31T12:00:00+00:00", "added": {"repeats": [3, 4]}, "after_looking": True}
    leak = {"kind": "shared-patients", "severity": "stop", "count": 2, "message": "2 patients in both.", "action": "-"}
    folder = draw_study(
        tmp_path,
        failed={("dnn", 86, 1), ("dnn", 86, 3)},
        extensions=[looked, {**looked, "after_looking": False}, looked],
        findings=[leak],
        patients_known=False,
        failure="Out of memory.",
        **SMALL,
    )
    evidence = weigh(folder)
    texts = " ".join(warning.text for warning in evidence.verdict.warnings)
    assert "2 of 8 trials of dnn failed; the first said: Out of memory." in texts
    assert "extended after looking, 2 times" in texts
    assert evidence.verdict.warnings[0].text.endswith("2 patients in both.")
    assert "every interval may be too narrow" in texts.replace("\n", " ")
    assert evidence.unit == "image"
    assert evidence.rungs[2].points[1].failed == 2


def test_one_repeat_holds_test_patients_only(tmp_path):
    evidence = weigh(draw_study(tmp_path, **{**SMALL, "repeats": 1}))
    assert {point.holds for rung in evidence.rungs for point in rung.points} == {"test patients only"}
    assert "test patients only" in rules(evidence)


def test_a_rung_that_failed_throughout_takes_no_part(tmp_path):
    lost = {("dnn", n, repeat) for n in (31, 86) for repeat in range(4)}
    evidence = weigh(draw_study(tmp_path, failed=lost, **SMALL))
    assert evidence.rungs[2].points == ()
    assert "left out of the choice" in rules(evidence)
    assert evidence._repr_html_()


def test_a_study_without_a_finished_trial_is_refused(tmp_path):
    folder = draw_study(tmp_path, **SMALL)
    folder.keep_trials([])
    with pytest.raises(StudyError, match="no finished trial"):
        weigh(folder)


def test_predictions_of_another_cohort_are_refused(tmp_path):
    folder = draw_study(tmp_path, **SMALL)
    key = next(folder.read_plan().fleets())
    fleet = folder.read_predictions(key.name)
    trials = folder.read_trials()
    folder.keep_trials([trial for trial in trials if trial.fleet != key.name])
    own = [trial for trial in trials if trial.fleet == key.name]
    folder.write_fleet(key, FleetPredictions(fleet.probabilities, fleet.rows + 1, fleet.repeats), own)
    with pytest.raises(StudyError, match="do not fit"):
        weigh(folder)


def test_evidence_needs_neither_torch_nor_images():
    code = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "skimage", "PIL", "sklearn", "matplotlib"):
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
import medladder.evidence.weighing
making = ("rungs", "images", "cohort", "study", "engine")
assert not any("medladder." + name in sys.modules for name in making)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_another_margin_is_marked_as_chosen_afterwards(tmp_path):
    folder = draw_study(
        tmp_path, rungs=("prior", "logistic", "dnn"), auroc={"logistic": 0.9, "dnn": 0.92}, n_test_patients=300
    )
    planned, wide = weigh(folder), weigh(folder, margin=0.1)
    assert (planned.margin, wide.margin) == (0.02, 0.1)
    assert "margin chosen afterwards" not in rules(planned)
    assert "margin chosen afterwards" in rules(wide)
    assert "0.1 AUROC was chosen after looking; the plan said 0.02" in " ".join(w.text for w in wide.verdict.warnings)
    assert wide.recommended == "logistic", "within .1 the simpler rung is as good"
    assert weigh(folder).to_json() == planned.to_json(), "the plan stands"
    with pytest.raises(OptionError, match="A margin of 0"):
        weigh(folder, margin=0)


def test_curves_and_forecasts_of_a_study(tmp_path):
    folder = draw_study(
        tmp_path, rungs=("prior", "logistic", "dnn"), auroc={"logistic": 0.9, "dnn": 0.92}, n_test_patients=300
    )
    evidence = weigh(folder).to_json()
    prior, *learned = evidence["rungs"]
    assert (prior["curve"], prior["forecast"]) == (None, None)
    largest = prior["points"][-1]["n_train"]
    for rung in learned:
        assert [one["n_train"] for one in rung["forecast"]] == [2 * largest, 5 * largest, 10 * largest]
        for one in rung["forecast"]:
            score = one["auroc"]
            assert 0 <= score["new_low"] <= score["low"] <= score["estimate"] <= score["high"] <= score["new_high"] <= 1
        sizes = [point["n_train"] for point in rung["curve"]["points"]]
        assert sizes == sorted(set(sizes))
        assert {sizes[0], largest, 10 * largest} <= set(sizes)
        assert rung["curve"]["course"] in ("rises", "falls", "breaks", "not shown")
    pick = evidence["verdict"]["recommended"]
    assert [pick in (one["lower"], one["upper"]) for one in evidence["verdict"]["crossover"]] == [True]
    gain = next(rung for rung in learned if rung["rung"] == pick)["curve"]["gain_at_twice"]
    [said] = [s["text"] for s in evidence["verdict"]["sentences"] if "twice the training patients" in s["text"]]
    assert f"{gain['estimate']:+.3f}".replace("-", "−") in said


def test_one_size_has_no_curve(tmp_path):
    evidence = weigh(draw_study(tmp_path, sizes=(86,), n_test_patients=120)).to_json()
    assert all(rung["curve"] is None and rung["forecast"] is None for rung in evidence["rungs"])
    assert evidence["verdict"]["crossover"] == []
    assert evidence["verdict"]["needed"] is None
