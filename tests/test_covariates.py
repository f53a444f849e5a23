"""Covariates: how columns are read and refused, what a rung sees of them, and a study with them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.metrics import roc_auc_score
from sklearn.utils.estimator_checks import check_estimator
from typer.testing import CliRunner

import medladder as ml
from medladder.cli import app
from medladder.errors import FitError, InputError, OptionError
from medladder.planning import Wishes, plan_study
from medladder.record.folder import StudyFolder
from medladder.record.plan import Plan
from medladder.report.rerun import write_commands
from medladder.rungs import build, parse_rung
from medladder.rungs.columns import Reading, find_normal_class, how_telling, read_column
from medladder.rungs.covariates import (
    CovariateClassifier,
    Covariates,
    beside,
    fit_beside,
    regress,
    unseen_residual,
)
from medladder.rungs.draws import Draw, draw_by_row

USES = ("feature", "residual")


def logistic(**settings: float) -> Any:
    return build(parse_rung("logistic")).set_params(**settings)


def draw_confounded(n: int, d: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns that all rise with age, whose spread hides a smaller rise with the disease; patients are older."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    age = rng.normal(66 + 4 * labels, 8)
    values = (0.1 * (age - 68) + 0.8 * labels)[:, None] + rng.normal(0, 2, (n, d))
    return values.astype(np.float32), age[:, None], labels


# ---- the wrapper


@pytest.mark.parametrize(("kind", "use"), [("logistic", "feature"), ("logistic", "residual"), ("svm", "residual")])
def test_estimator_checks_pass_in_full(kind: str, use: Any) -> None:
    checks = check_estimator(CovariateClassifier(build(parse_rung(kind)), use=use), on_skip=None)
    passed = [check["check_name"] for check in checks if check["status"] == "passed"]
    print(f"{kind} with a covariate as {use}: {len(passed)} of {len(checks)} estimator checks passed")
    assert len(passed) >= 54
    skipped = {check["check_name"] for check in checks if check["status"] == "skipped"}
    assert skipped <= {"check_array_api_input"}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("kind", ["logistic", "svm"])
def test_a_confounder_that_is_known_helps(kind: str, use: Any) -> None:
    values, age, labels = draw_confounded(700)
    images, learn, test = values.reshape(700, 10, 6), np.arange(200), np.arange(200, 700)
    draw = draw_by_row(labels[learn], seed=0)
    rung = build(parse_rung(kind))
    vectors = values if kind == "svm" else images
    alone = rung.fit(vectors[learn], labels[learn], draw=draw).predict_proba(vectors[test])[:, 1]
    (fitted,) = fit_beside(rung, vectors, labels, [draw], Covariates(age, use, 0))
    assert not isinstance(fitted, FitError), str(fitted)
    aided = fitted.predict_proba(beside(vectors[test], age[test]))[:, 1]
    assert roc_auc_score(labels[test], aided) > roc_auc_score(labels[test], alone) + 0.02
    assert fitted.out_of_part_proba_.shape == (200, 2)
    assert np.isfinite(fitted.out_of_part_proba_).all()
    assert roc_auc_score(labels[learn], fitted.out_of_part_proba_[:, 1]) == pytest.approx(
        roc_auc_score(labels[test], aided), abs=0.1
    )


@pytest.mark.parametrize("use", USES)
def test_nothing_outside_the_draw_is_looked_at(use: Any) -> None:
    values, age, labels = draw_confounded(90)
    inside = np.arange(0, 90, 2) // 4 * 4 + np.arange(45) % 2  # half of the rows, both classes
    draw = replace(draw_by_row(labels[inside], seed=0), rows=inside)
    spoilt = (values.copy(), labels.copy(), age.copy())
    outside = ~np.isin(np.arange(90), inside)
    spoilt[0][outside], spoilt[1][outside], spoilt[2][outside] = 1e3, 0, -1e3
    (one,) = fit_beside(logistic(), values, labels, [draw], Covariates(age, use, 0))
    (other,) = fit_beside(logistic(), spoilt[0], spoilt[1], [draw], Covariates(spoilt[2], use, 0))
    np.testing.assert_array_equal(one.out_of_part_proba_, other.out_of_part_proba_)
    asked = beside(values, age)
    np.testing.assert_array_equal(one.predict_proba(asked), other.predict_proba(asked))


@pytest.mark.parametrize("use", USES)
def test_no_model_and_no_regression_trains_on_a_lone_part(use: Any) -> None:
    values, age, labels = draw_confounded(60)
    fold = np.where(np.arange(60) < 44, -1, 0)
    draw = Draw(np.arange(60), fold, seed=0, is_thin=True)  # nothing to choose
    spoilt = values.copy()
    spoilt[44:] += 50
    fits = [fit_beside(logistic(), v, labels, [draw], Covariates(age, use, 0))[0] for v in (values, spoilt)]
    asked = beside(values, age)
    np.testing.assert_allclose(fits[0].predict_proba(asked), fits[1].predict_proba(asked), atol=1e-5)


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("shape", [(5, 5, 3), (3, 4, 4, 1)], ids=["colour", "volumes"])
def test_three_classes_in_colour_and_in_volumes(shape: tuple[int, ...], use: Any) -> None:
    rng, labels = np.random.default_rng(0), np.arange(60) % 3
    brighter = (20 * labels).astype(np.uint8).reshape(-1, *[1] * len(shape))
    images = rng.integers(0, 200, (60, *shape), dtype=np.uint8) + brighter
    age = rng.normal(60, 9, (60, 1))
    asked = beside(images, age)
    np.testing.assert_allclose(asked[:, :-1], images.reshape(60, -1) / 255, atol=1e-6)
    np.testing.assert_allclose(asked[:, -1], age[:, 0], rtol=1e-6)
    (fitted,) = fit_beside(logistic(), images, labels, [draw_by_row(labels, seed=0)], Covariates(age, use, 2))
    assert not isinstance(fitted, FitError), str(fitted)
    np.testing.assert_allclose(fitted.predict_proba(asked).sum(axis=1), 1, atol=1e-6)
    assert (fitted.predict(asked) == labels).mean() > 0.9


def test_parameters_and_choices_are_counted_and_said() -> None:
    values, age, labels = draw_confounded(40)
    vectors, draw = beside(values, age), draw_by_row(labels, seed=0)
    residual = CovariateClassifier(logistic(), use="residual", normal_class=0).fit(vectors, labels, draw=draw)
    # 60 weights and an offset; two weights of each column, and a centre and a scale
    assert residual.n_parameters_ == 61 + 2 * 60 + 2
    assert set(residual.chosen_) == {"penalty"}
    feature = CovariateClassifier(logistic()).fit(vectors, labels, draw=draw)
    assert feature.n_parameters_ == 61 + feature.chosen_["covariate_copies"]
    json.dumps(feature.chosen_)


def test_vectors_without_anything_but_covariates_are_refused() -> None:
    with pytest.raises(InputError, match="of which 3 are covariates"):
        CovariateClassifier(logistic(), n_covariates=3).fit(np.eye(6)[:, :3], [0, 1] * 3)
    with pytest.raises(OptionError, match="Did you mean 'residual'"):
        CovariateClassifier(logistic(), use="residul").fit(np.eye(6), [0, 1] * 3)  # type: ignore[arg-type]


# ---- as a feature


def test_a_covariate_gets_the_weight_that_rows_held_out_say_it_deserves() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 2
    noise = rng.normal(size=(120, 400))
    draw = draw_by_row(labels, seed=0)
    told = labels[:, None] + rng.normal(0, 0.6, (120, 1))
    helpful = CovariateClassifier(logistic()).fit(np.hstack([noise, told]), labels, draw=draw)
    assert helpful.copies_ == 100, "a quarter of 400"
    one_each = logistic().fit(np.hstack([noise, told]), labels, draw=draw)
    held_out = [roc_auc_score(labels, one.out_of_part_proba_[:, 1]) for one in (one_each, helpful)]
    assert held_out[1] > held_out[0] + 0.1
    image = noise + 0.5 * labels[:, None]
    useless = CovariateClassifier(logistic()).fit(np.hstack([image, rng.normal(size=(120, 1))]), labels, draw=draw)
    assert useless.copies_ <= 20
    thin = replace(draw, is_thin=True)
    assert CovariateClassifier(logistic()).fit(np.hstack([noise, told]), labels, draw=thin).copies_ == 1


# ---- the residual


def test_the_residual_by_hand() -> None:
    # In the normal class the value is 0.2 a year: 10 at 50, 12 at 60, 14 at 70.
    fitted = regress(np.array([[10.0], [12.0], [14.0]]), np.array([[50.0], [60.0], [70.0]]))
    assert fitted.residual(np.array([[20.0], [9.0]]), np.array([[80.0], [40.0]])).ravel() == pytest.approx([4, 1])


def test_an_unseen_residual_by_hand() -> None:
    # The line through the other two points: y = 4x - 3 at 0, y = 2.5x at 1, y = x at 2.
    values, x = np.array([[0.0], [1.0], [5.0]]), np.array([[0.0], [1.0], [2.0]])
    residual = unseen_residual(values, x, np.full(3, -1)).ravel()
    assert residual == pytest.approx([3, -1.5, 3])


@given(st.integers(0, 10**6), st.integers(8, 40), st.integers(1, 3), st.booleans())
def test_a_row_never_enters_its_own_regression(seed: int, n: int, k: int, is_coarse: bool) -> None:
    rng = np.random.default_rng(seed)
    covariates = rng.integers(0, 4, (n, k)).astype(float) if is_coarse else rng.normal(60, 9, (n, k))
    values, fold = rng.normal(size=(n, 5)), rng.integers(-1, 3, n)
    residual = unseen_residual(values, covariates, fold)
    row = int(rng.integers(n))
    alike = (fold == fold[row]) & (covariates == covariates[row]).all(axis=1) & (fold[row] >= 0)
    alike[row] = True
    terms = np.hstack([np.ones((n, 1)), covariates])
    if np.linalg.matrix_rank(terms[~alike]) == k + 1:  # else many regressions fit alike, and tests no particular one
        weights = np.linalg.lstsq(terms[~alike], values[~alike], rcond=None)[0]
        np.testing.assert_allclose(residual[row], values[row] - terms[row] @ weights, atol=1e-6)
    spoilt = values.copy()
    spoilt[alike] += 100
    np.testing.assert_allclose(unseen_residual(spoilt, covariates, fold)[row], residual[row] + 100, atol=1e-6)


def test_covariates_that_say_the_same_or_nothing_change_nothing() -> None:
    values, age, _ = draw_confounded(30)
    fold = np.arange(30) % 5
    doubled = np.hstack([age, 365 * age, np.full_like(age, 7)])
    np.testing.assert_allclose(unseen_residual(values, doubled, fold), unseen_residual(values, age, fold), atol=1e-4)
    seen = [regress(values, one).residual(values, one) for one in (age, doubled)]
    np.testing.assert_allclose(*seen, atol=1e-4)


def test_noise_is_not_told_apart_by_who_was_regressed_on() -> None:
    """Regressed on as usual, rows of the normal class lie nearer to 0 than others, and that passes for a finding."""
    rng, labels = np.random.default_rng(1), np.arange(40) % 2
    honest, usual = [], []
    for seed in range(12):
        values, covariates = rng.normal(size=(40, 80)), rng.normal(size=(40, 3))
        draw = draw_by_row(labels, seed=seed)
        rung = CovariateClassifier(build(parse_rung("svm")), n_covariates=3, use="residual", normal_class=0)
        honest.append(rung.fit(np.hstack([values, covariates]), labels, draw).out_of_part_proba_[:, 1])
        seen = regress(values[labels == 0], covariates[labels == 0]).residual(values, covariates)
        usual.append(build(parse_rung("svm")).fit(seen, labels, draw).out_of_part_proba_[:, 1])
    auroc = [np.mean([roc_auc_score(labels, proba) for proba in probas]) for probas in (honest, usual)]
    assert auroc[0] < 0.65
    assert auroc[1] > auroc[0] + 0.1


def test_too_few_of_the_normal_class_is_one_trials_failure() -> None:
    values, age, labels = draw_confounded(6)
    (failed,) = fit_beside(logistic(), values, labels, [draw_by_row(labels, seed=0)], Covariates(age, "residual", 0))
    assert isinstance(failed, FitError)
    assert "The normal class has 3 samples to learn from. 4 or more" in str(failed)


# ---- reading columns


def read(texts: list[str], labels: list[int] | None = None, pool: list[int] | None = None) -> Reading:
    codes = np.arange(len(texts)) % 2 if labels is None else np.array(labels)
    return read_column(
        "age", np.array(texts), codes, ("a", "b"), np.arange(len(texts)) if pool is None else np.array(pool)
    )


def test_numbers_are_numbers_and_texts_are_indicators() -> None:
    assert read(["61", "6e1", " 70.5", "61"]).code(np.array(["1", "2.5"])).tolist() == [[1], [2.5]]
    reading = read(["F", "M", "M", "M", "?", "F", "M", "F"])
    assert reading.values == ("?", "F"), "all but the commonest"
    assert reading.code(np.array(["M", "F", "?", "never seen"])).tolist() == [[0, 0], [0, 1], [1, 0], [0, 0]]
    assert reading.to_json() == {"column": "age", "read_as": "indicators", "columns": 2}


def test_only_the_pool_says_which_values_there_are() -> None:
    texts = ["F", "F", "M", "M", "F", "M", "X"]
    assert read(texts, pool=[0, 1, 2, 3, 4, 5]).values == ("M",)
    with pytest.raises(OptionError, match="has one value in all 3 training images"):
        read(texts, pool=[0, 1, 4])


@pytest.mark.parametrize(
    ("texts", "labels", "message"),
    [
        (["61", "", "NA", "nan", "70", "70"], None, "3 of 6 images have no age"),
        (["inf", "61", "62", "60"], None, "1 of 4 images have no age"),
        ([f"P{i}" for i in range(30)], None, "30 different values in 30 training.*identifier is no covariate"),
        (["61y", *map(str, range(29))], None, "30 different values in 30 training images, 29 of them numbers"),
        (["left", "right", "both", "none"], None, "4 different values in 4"),
        (["5", "5.0"] * 4, None, "one value in all 8"),
        (["yes", "no"] * 8, None, "alone tells 'a' from the rest"),
        ([str(i % 2 * 10 + i / 100) for i in range(16)], None, "alone tells 'a' from the rest"),
        (["2", "1", "2", "3"] * 3, None, "alone tells 'a' from the rest"),
        (["1", "2", "3", "4", "5", "6", "7", "8"], [1, 1, 1, 1, 0, 0, 0, 0], "alone tells 'a' from the rest"),
    ],
)  # fmt: skip
def test_columns_that_are_no_covariates_are_refused(texts: list[str], labels: list[int] | None, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        read(texts, labels)


def test_how_telling_by_hand() -> None:
    is_class = np.array([True, True, False, False])
    assert how_telling(np.array([1.0, 3, 2, 4]), is_class, is_ordered=True) == 0.75, "3 of 4 pairs, turned around"
    # The same few values: 1 and 3 are the class's alone, which no order of them says.
    assert how_telling(np.tile([1.0, 3, 2, 2], 3), np.tile(is_class, 3), is_ordered=True) == 1
    # Value 0 holds both of the class and one of the two others: (2/2 + 1/2) / 2
    assert how_telling(np.array([0.0, 0, 0, 1]), is_class, is_ordered=False) == 0.75


@given(st.lists(st.tuples(st.integers(0, 30), st.booleans()), min_size=4, max_size=60))
def test_how_telling_stays_between_a_half_and_1_and_sees_no_direction(rows: list[tuple[int, bool]]) -> None:
    values, is_class = np.array([v for v, _ in rows], float), np.array([c for _, c in rows])
    if is_class.all() or not is_class.any():
        return
    told = how_telling(values, is_class, is_ordered=True)
    assert 0.5 <= told <= 1
    assert how_telling(-values, is_class, is_ordered=True) == pytest.approx(told)
    assert how_telling(values, ~is_class, is_ordered=True) == pytest.approx(told)


@pytest.mark.parametrize(
    ("classes", "normal"),
    [
        (("NORMAL", "pneumonia"), 0),
        (("malignant", "Benign"), 1),
        (("sick", "Healthy_Controls"), 1),
        (("no finding", "nodule", "mass"), 0),
        (("abnormal", "negative"), 1),
        (("atrophy", "stable"), 1),
    ],
)
def test_the_normal_class_is_known_by_its_name(classes: tuple[str, ...], normal: int) -> None:
    assert find_normal_class(classes, None) == normal
    assert find_normal_class(classes, classes[1]) == 1


def test_a_normal_class_is_never_guessed() -> None:
    with pytest.raises(OptionError, match="none has a name for the normal one"):
        find_normal_class(("nodule", "notable", "abnormal"), None)
    with pytest.raises(OptionError, match="more than one has a name for the normal one: 'normal', 'benign'"):
        find_normal_class(("normal", "benign", "malignant"), None)
    with pytest.raises(OptionError, match="Did you mean 'normal'"):
        find_normal_class(("normal", "other"), "norml")


# ---- a study

QUICK = ("--rungs", "prior,logistic", "--sizes", "16,all", "--repeats", "2", "--jobs", "1")


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Forty-eight little pictures that brighten with age, and more so with the disease."""
    rng = np.random.default_rng(3)
    rows = ["path,label,patient,age,sex,site,ward,name,gap,code"]
    (tmp_path / "cohort").mkdir()
    for i in range(48):
        label, age = ("normal", "scarred")[i % 2], rng.normal(60 + 4 * (i % 2), 8)
        pixels = rng.normal(60 + age + 10 * (i % 2), 25, (12, 12)).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "cohort" / f"{i}.png")
        sex, site = "FM"[rng.integers(2)], "ABC"[rng.integers(3)]
        gap = "" if i in (4, 9, 11) else "1" if i % 3 else "2"
        rows.append(f"{i}.png,{label},p{i},{age:.4f},{sex},{site},W1,NAME{i},{gap},{label[0]}")
    path = tmp_path / "cohort" / "labels.csv"
    path.write_text("\n".join(rows))
    return path


def call(*words: str | Path) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_a_study_with_residuals_from_the_command_line(manifest: Path, tmp_path: Path) -> None:
    words = ("study", manifest, *QUICK, "--covariates", "age,site", "--covariate-use", "residual")
    shown = call(*words, "--plan")
    assert shown.exit_code == 0, shown.output
    said = (
        "age, site (3 kinds): regressed out of every feature or pixel in the class “normal” of the training subset, "
        "for logistic. Without covariates: prior."
    )
    assert said in " ".join(shown.stdout.split())
    done = call(*words, "--out", tmp_path / "run")
    assert done.exit_code == 0, done.output
    plan = json.loads((tmp_path / "run" / "plan.json").read_text("utf-8"))
    assert plan["covariates"] == {
        "columns": [
            {"column": "age", "read_as": "number", "columns": 1},
            {"column": "site", "read_as": "indicators", "columns": 2},
        ],
        "use": "residual",
        "normal_class": "normal",
    }
    assert [planned["has_covariates"] for planned in plan["rungs"]] == [False, True]
    assert all(trial.is_done for trial in StudyFolder(tmp_path / "run").read_trials())
    assert said in (tmp_path / "run" / "report.html").read_text("utf-8")
    command = write_commands(StudyFolder(tmp_path / "run").read_plan())[0]
    assert "--covariates age,site --covariate-use residual --normal normal" in command
    ages = [line.split(",")[3] for line in manifest.read_text("utf-8").splitlines()[1:]]
    for file in (tmp_path / "run").rglob("*"):
        if file.suffix in (".json", ".jsonl", ".txt", ".html"):
            text = file.read_text("utf-8")
            assert not [age for age in ages if age in text], f"a patient's age in {file.name}"


def test_features_change_the_conventional_rungs_and_no_other(manifest: Path, tmp_path: Path) -> None:
    cohort = ml.read_cohort(manifest)
    wishes: dict[str, Any] = {
        "rungs": ("prior", "logistic", "svm", "nn:width=4,members=1,epochs=2"),
        "sizes": ("16",), "repeats": 1, "jobs": 1, "pictures": False,
    }  # fmt: skip
    runs = [
        ml.run_study(cohort, tmp_path / name, **wishes, **given)
        for name, given in (("without", {}), ("with", {"covariates": ("age", "sex")}))
    ]
    for trial in runs[0].read_trials():
        without, aided = (run.read_predictions(trial.fleet).probabilities for run in runs)
        is_same = np.array_equal(without, aided)
        assert is_same == (trial.rung not in ("logistic", "svm")), trial.rung
    ml.weigh(runs[1])
    page = ml.write_report(runs[1]).read_text("utf-8")
    assert "age, sex (2 kinds): as features beside the image’s, for logistic, svm." in page
    assert "Diagrams count the image’s nodes alone." in page


def test_a_study_goes_on_with_the_same_covariates_only(manifest: Path, tmp_path: Path) -> None:
    words = ("study", manifest, "--out", tmp_path / "run", *QUICK)
    with_age = (*words, "--covariates", "age")
    assert call(*with_age).exit_code == 0
    before = (tmp_path / "run" / "trials.jsonl").read_text("utf-8")
    grown = call(*with_age[:-4], "--repeats", "3", "--jobs", "1", "--covariates", "age")
    assert grown.exit_code == 0, grown.output
    assert (tmp_path / "run" / "trials.jsonl").read_text("utf-8").startswith(before)
    for other, found in (
        ((), "not no covariates"),
        (("--covariates", "age,sex"), "not the covariates age, sex as feature"),
        (("--covariates", "age", "--covariate-use", "residual"), "not the covariates age as residual on 'normal'"),
    ):
        refused = call(*words, *other)
        assert refused.exit_code == 2
        assert found in " ".join(refused.stderr.split())


def test_a_plan_from_before_there_were_covariates_is_gone_on_with(manifest: Path, tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "run")
    words = ("study", manifest, "--out", folder.path, *QUICK)
    assert call(*words).exit_code == 0
    plan = json.loads((folder.path / "plan.json").read_text("utf-8"))
    del plan["covariates"]
    for planned in plan["rungs"]:
        del planned["has_covariates"]
    folder.write_json("plan.json", plan)
    assert Plan.from_json(plan).describe_covariates() is None
    assert call("report", folder.path).exit_code == 0
    assert call(*words).exit_code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--covariates", "aeg"), "Known: age, code, gap, name, sex, site, ward. Did you mean 'age'?"),
        (("--covariates", "patient"), "Unknown column 'patient'"),
        (("--covariates", "ward"), "Column 'ward' has one value in all 48 training images"),
        (("--covariates", "name"), "an identifier is no covariate"),
        (("--covariates", "gap"), "3 of 48 images have no gap"),
        (("--covariates", "code"), "Column 'code' alone tells 'normal' from the rest"),
        (("--covariates", "age,age"), "--covariates names age twice"),
        (("--covariates", ""), "--covariates names no column"),
        (("--covariates", "age", "--covariate-use", "both"), "Unknown use of covariates 'both'"),
        (("--covariate-use", "residual"), "--covariate-use residual without --covariates"),
        (("--normal", "normal"), "--normal normal without --covariates"),
        (("--covariates", "age", "--normal", "normal"), "--normal normal, but covariates as features"),
        (("--covariates", "age", "--covariate-use", "residual", "--normal", "norml"), "Did you mean 'normal'"),
        (("--covariates", "site", "--leave-out", "site"), "both a covariate and left out in turn"),
        (("--covariates", "age", "--rungs", "prior,nn"), "none of the rungs takes them (prior, nn)"),
    ],
)  # fmt: skip
def test_what_has_no_effect_or_no_sense_is_refused(
    manifest: Path, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    refused = call("study", manifest, "--out", tmp_path / "run", *QUICK, *words)
    assert refused.exit_code == 2, refused.output
    assert message in " ".join(refused.stderr.replace("needed ", "").replace("do ", "").split())
    assert not (tmp_path / "run").exists()


def test_residuals_need_a_class_that_is_normal_by_name_or_by_word(manifest: Path) -> None:
    cohort = replace(ml.read_cohort(manifest), classes=("early", "late"))
    wishes = {"rungs": ("logistic",), "covariates": "age", "covariate_use": "residual"}
    with pytest.raises(OptionError, match="Name it with --normal CLASS"):
        plan_study(cohort, Wishes.of(**wishes))
    planned = plan_study(cohort, Wishes.of(**wishes, normal="late"))
    assert planned.covariates is not None
    assert planned.covariates.normal_class == 1
    assert planned.plan.covariates is not None
    assert planned.plan.covariates["normal_class"] == "late"
