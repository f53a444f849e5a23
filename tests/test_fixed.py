"""What one fixed model shows: against scikit-learn, numbers worked by hand, and the laws of its intervals."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import expit, logit
from scipy.stats import beta
from scipy.stats import t as student
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    brier_score_loss,
    confusion_matrix,
    recall_score,
    roc_auc_score,
)

from medladder.errors import CohortError, OptionError
from medladder.evidence.fixed import weigh_model
from medladder.evidence.intervals import Interval
from medladder.evidence.prevalence import Rate, at_prevalence
from medladder.evidence.recalibration import recalibration_intercept, recalibration_slope
from medladder.evidence.reliability import LEAST_UNITS, MOST_BINS, _bins, _squared_excess, reliability_of
from medladder.evidence.subgroups import LEAST_PATIENTS, subgroup_scores
from medladder.record.plan import OperatingPoints

NAMES = ("normal", "mild", "severe", "other")
BOUNDED = ("auroc", "balanced_accuracy", "accuracy", "sensitivity", "specificity", "brier")


def weigh(probabilities, labels, patients=None, *, threshold=0.5, **options: Any) -> dict[str, Any]:
    """Evidence as JSON; a list of numbers is the probability of the second of two classes."""
    probabilities, labels = np.asarray(probabilities, dtype=float), np.asarray(labels)
    if probabilities.ndim == 1:
        probabilities = np.column_stack([1 - probabilities, probabilities])
    n_classes = probabilities.shape[1]
    options = {"weights": (1 - threshold, threshold) if n_classes == 2 else (1 / n_classes,) * n_classes} | options
    found = weigh_model(
        probabilities,
        labels,
        np.arange(len(labels)) if patients is None else np.asarray(patients),
        patients_known=patients is not None,
        classes=NAMES[:n_classes],
        **options,
    )
    return found.to_json()


def draw(seed: int, n: int, *, n_classes: int = 2, steepness: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that mean what they say (at steepness 1), and labels."""
    rng = np.random.default_rng(seed)
    odds = 1.5 * rng.standard_normal((n, n_classes))
    true = np.exp(odds) / np.exp(odds).sum(axis=1, keepdims=True)
    labels = (true.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    stated = true**steepness
    return stated / stated.sum(axis=1, keepdims=True), labels


@st.composite
def cohorts(draw_from: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Any cohort: classes may be absent, patients may have images of several classes, probabilities may tie or be 0."""
    n_classes, n = draw_from(st.integers(2, 4)), draw_from(st.integers(1, 40))
    whole = st.lists(st.integers(0, 6), min_size=n_classes, max_size=n_classes).filter(any)
    parts = np.array(draw_from(st.lists(whole, min_size=n, max_size=n)), dtype=float)
    labels = np.array(draw_from(st.lists(st.integers(0, n_classes - 1), min_size=n, max_size=n)))
    patients = np.array(draw_from(st.lists(st.integers(0, 30), min_size=n, max_size=n)))
    return parts / parts.sum(axis=1, keepdims=True), labels, patients


def intervals_of(found: dict[str, Any]) -> list[tuple[str, dict[str, float]]]:
    """Every interval in the evidence, by what it is of."""
    told = [(name, found[name]) for name in BOUNDED]
    told += [("recall", one) for one in found["recall"].values()]
    told += [(name, found["calibration"][name]) for name in ("intercept", "slope")]
    told += [("observed", one["observed"]) for one in found["calibration"]["curve"]]
    if found["at_prevalence"] is not None:
        told += [(name, found["at_prevalence"][name]) for name in ("ppv", "npv", "net_benefit")]
    return [(name, one) for name, one in told if one is not None]


# scikit-learn as oracle


@pytest.mark.parametrize("seed", range(5))
def test_two_classes_are_scored_as_scikit_learn_does(seed: int) -> None:
    probabilities, labels = draw(seed, 90)
    decided = (probabilities[:, 1] >= 0.3).astype(int)
    found = weigh(probabilities, labels, threshold=0.3)
    assert found["auroc"]["estimate"] == pytest.approx(roc_auc_score(labels, probabilities[:, 1]))
    assert found["brier"]["estimate"] == pytest.approx(brier_score_loss(labels, probabilities[:, 1]))
    assert found["accuracy"]["estimate"] == pytest.approx(accuracy_score(labels, decided))
    assert found["balanced_accuracy"]["estimate"] == pytest.approx(balanced_accuracy_score(labels, decided))
    assert found["sensitivity"]["estimate"] == pytest.approx(recall_score(labels, decided))
    assert found["specificity"]["estimate"] == pytest.approx(recall_score(labels, decided, pos_label=0))
    assert found["confusion"] == confusion_matrix(labels, decided).tolist()
    assert found["recall"] == {"normal": found["specificity"], "mild": found["sensitivity"]}


@pytest.mark.parametrize("seed", range(3))
def test_more_classes_are_scored_as_scikit_learn_does(seed: int) -> None:
    probabilities, labels = draw(seed, 90, n_classes=4)
    weights = (0.4, 0.3, 0.2, 0.1)
    decided = (probabilities / weights).argmax(axis=1)
    found = weigh(probabilities, labels, weights=weights)
    area = roc_auc_score(labels, probabilities, multi_class="ovr")
    assert found["auroc"]["estimate"] == pytest.approx(area)
    assert found["balanced_accuracy"]["estimate"] == pytest.approx(balanced_accuracy_score(labels, decided))
    recalls = [one["estimate"] for one in found["recall"].values()]
    assert recalls == pytest.approx(recall_score(labels, decided, average=None).tolist())
    assert found["confusion"] == confusion_matrix(labels, decided, labels=range(4)).tolist()
    assert found["brier"]["estimate"] == pytest.approx(((probabilities - np.eye(4)[labels]) ** 2).sum(axis=1).mean())
    assert found["sensitivity"] is found["specificity"] is found["positive"] is None
    assert found["calibration"]["slope"] is found["calibration"]["intercept"] is None
    assert found["calibration"]["note"] == "Intercept and slope are for two classes."


def test_recalibration_is_logistic_regression_where_patients_are_many() -> None:
    probabilities, labels = draw(1, 4000, steepness=1.6)
    found = weigh(probabilities, labels)["calibration"]
    odds = logit(probabilities[:, 1])
    plain = LogisticRegression(C=np.inf, tol=1e-8).fit(odds[:, None], labels)
    assert found["slope"]["estimate"] == pytest.approx(plain.coef_[0, 0], abs=2e-3)
    # The textbook's Wald interval, from the inverse of the information.
    share = plain.predict_proba(odds[:, None])[:, 1]
    terms = np.column_stack([odds, np.ones(len(odds))])
    error = np.sqrt(np.linalg.inv((terms * (share * (1 - share))[:, None]).T @ terms)[0, 0])
    half = (found["slope"]["high"] - found["slope"]["low"]) / 2
    assert half == pytest.approx(1.96 * error, rel=0.04)


# by hand


def test_images_of_a_patient_are_averaged() -> None:
    # Patient 7: (.2 + .6) / 2 = .4 is below .5 although one image is above; patient 3: (.9 + .3) / 2 = .6.
    found = weigh([0.2, 0.6, 0.9, 0.3, 0.1], [1, 1, 1, 1, 0], [7, 7, 3, 3, 1])
    assert found["unit"] == "patient"
    assert found["n"] == {"patients": 3, "images": 5, "per_class": {"normal": 1, "mild": 2}}
    assert found["confusion"] == [[1, 0], [1, 1]]
    assert found["brier"]["estimate"] == pytest.approx((0.6**2 + 0.4**2 + 0.1**2) / 3)
    assert found["target"] == "model"
    assert found["confidence"] == 0.95


def test_a_patient_with_images_of_two_classes_is_one_patient_and_two_units() -> None:
    found = weigh([0.9, 0.2, 0.1], [1, 0, 0], [4, 4, 5])
    assert found["n"] == {"patients": 2, "images": 3, "per_class": {"normal": 2, "mild": 1}}


def test_a_probability_at_the_threshold_is_positive() -> None:
    assert weigh([0.25, 0.2], [1, 0], threshold=0.25)["confusion"] == [[1, 0], [0, 1]]


def test_nothing_but_one_class_still_has_its_recall() -> None:
    found = weigh([0.9, 0.8, 0.1, 0.7], [1, 1, 1, 1])
    assert found["recall"]["normal"] is None
    assert found["recall"]["mild"]["estimate"] == found["accuracy"]["estimate"] == 0.75
    assert found["brier"]["estimate"] == pytest.approx((0.01 + 0.04 + 0.81 + 0.09) / 4)
    assert found["auroc"] is found["balanced_accuracy"] is found["specificity"] is None
    assert found["calibration"]["note"] == "Intercept and slope need units of both classes."
    rules = [warning["rule"] for warning in found["warnings"]]
    assert rules == ["a class is absent", "under 10 in a class", "no patient ids"]


def test_with_one_of_three_classes_absent_the_others_are_averaged() -> None:
    # Class 1 is absent. One against the rest: class 0 wins 3 of 4 pairs and class 2 wins 4 of 4.
    probabilities = [[0.6, 0.3, 0.1], [0.3, 0.5, 0.2], [0.4, 0.2, 0.4], [0.1, 0.1, 0.8]]
    found = weigh(probabilities, [0, 0, 2, 2])
    assert found["auroc"]["estimate"] == pytest.approx((0.75 + 1) / 2)
    assert found["balanced_accuracy"]["estimate"] == pytest.approx((0.5 + 1) / 2)  # .4 and .4 tie: the last is taken
    assert found["recall"]["mild"] is None
    assert found["warnings"][1]["text"].endswith("AUROC and balanced accuracy are means over the others.")


def test_warnings_say_what_is_thin() -> None:
    probabilities, labels = draw(0, 60)
    assert weigh(probabilities, labels, np.arange(60))["warnings"] == []
    few = weigh([0.1, 0.2, 0.9] * 9, [0, 0, 1] * 9, np.arange(27))
    assert few["warnings"] == [
        {
            "text": "Class 'mild' has only 9 patients here: its scores are nearly unknown.",
            "rule": "under 10 in a class",
        }
    ]


def test_intercept_by_hand() -> None:
    """With all odds at 0 it is the log odds of the share, bounded where twice the likelihood falls by t²."""
    happened = np.array([1.0] * 3 + [0.0] * 17)
    found = recalibration_intercept(np.zeros(20), happened, np.arange(20), confidence=0.95)
    assert found.estimate == pytest.approx(np.log(3 / 17), abs=1e-6)

    def drop(value: float) -> float:
        """Twice the fall of the likelihood, 3 · z - 20 · log(1 + exp(z))."""
        peak = np.log(3 / 17)
        return float(2 * (3 * (peak - value) - 20 * (np.log1p(np.exp(peak)) - np.log1p(np.exp(value)))))

    # The doubt is 20 · .15 · .85 = 2.55; the clustered variance is the information's, times 20 / 19.
    excess = (2.55 * 20 / 19 + 2) / 4.55
    assert drop(found.low) == pytest.approx(student.ppf(0.975, 19) ** 2 * excess, rel=1e-4)
    assert drop(found.low) == pytest.approx(drop(found.high), rel=1e-4)


def test_a_classifier_without_a_mistake_is_not_told_a_wrong_intercept() -> None:
    """Probabilities of exactly 0 and 1 that are right: any intercept within about ten would do, and 0 is best."""
    found = weigh([0.0] * 20 + [1.0] * 20, [0] * 20 + [1] * 20)["calibration"]
    assert found["intercept"]["estimate"] == pytest.approx(0, abs=1e-6)
    assert found["intercept"]["low"] < -8
    assert found["intercept"]["high"] > 8
    assert found["expected_error"] == 0


def test_slope_by_hand() -> None:
    """Odds of -1 and 1 alone make a table of four: the penalty adds ½ to each, the slope is half the log ratio."""
    odds = np.repeat([-1.0, 1.0], 10)
    happened = np.array([1.0] * 2 + [0.0] * 8 + [1.0] * 7 + [0.0] * 3)
    found = recalibration_slope(odds, happened, np.arange(20), confidence=0.95)
    assert found is not None
    assert found.estimate == pytest.approx((np.log(7.5 / 3.5) - np.log(2.5 / 8.5)) / 2, abs=1e-5)
    assert found.low < 1 < found.high


@pytest.mark.parametrize("stated", [[0, 0, 0, 1, 1], [0.1, 0.2, 0.3, 0.7, 0.9], [0.9, 0.8, 0.7, 0.7, 0.1]])
def test_classes_entirely_apart_have_no_slope(stated: list[float]) -> None:
    """The right way round, the wrong way round, or but for a tie at the cut."""
    found = weigh(stated, [0, 0, 0, 1, 1])["calibration"]
    assert found["slope"] is None
    assert found["note"] == "The probabilities part the classes entirely, so there is no slope."
    overlapping = weigh([0.1, 0.2, 0.8, 0.7, 0.9], [0, 0, 0, 1, 1])["calibration"]
    assert overlapping["slope"] is not None


def test_the_same_probability_for_all_has_no_slope() -> None:
    found = weigh([0.3] * 40, [0, 1] * 20)["calibration"]
    assert found["slope"] is None
    assert found["note"] == "All probabilities are the same, so there is no slope."
    assert found["intercept"]["estimate"] == pytest.approx(-logit(0.3), abs=1e-5)  # half are positive
    assert [one["n"] for one in found["curve"]] == [40]


def test_units_of_one_patient_widen_intercept_and_slope() -> None:
    """Ten copies of a unit under one patient number are no ten patients."""
    probabilities, labels = draw(5, 60)
    odds, happened = np.repeat(logit(probabilities[:, 1]), 10), np.repeat((labels == 1).astype(float), 10)
    for regress in (recalibration_intercept, recalibration_slope):
        apart = regress(odds, happened, np.arange(600), confidence=0.95)
        together = regress(odds, happened, np.repeat(np.arange(60), 10), confidence=0.95)
        assert apart is not None
        assert together is not None
        ratio = (together.high - together.low) / (apart.high - apart.low)
        assert 2.2 < ratio < 3.7  # about √10


def test_expected_error_by_hand() -> None:
    # One bin: stated .3 and seen in 10 of 20, so .2² less .5 · .5 / 19.
    probabilities = np.column_stack([np.full(20, 0.7), np.full(20, 0.3)])
    found = reliability_of(probabilities, np.arange(20) % 2, np.arange(20), ("a", "b"), confidence=0.95)
    assert found.expected_error == pytest.approx(np.sqrt(0.04 - 0.25 / 19))
    [one] = found.curve
    assert (one.predicted, one.observed.estimate, one.n) == (pytest.approx(0.3), 0.5, 20)


@pytest.mark.parametrize("n", [15, 40])
def test_expected_error_of_wide_bins_takes_off_no_more_than_chance(n: int) -> None:
    """The square, before the root, is 0 on average; the variance of a frequency takes off .007 more at 15 units."""
    rng, told = np.random.default_rng(0), []
    for _ in range(3000):
        odds = rng.normal(0, 2, n)
        stated, happened = expit(odds), rng.random(n) < expit(odds)
        parts = [(stated[part], happened[part]) for part in _bins(stated)]
        told.append(sum(_squared_excess(*part) * len(part[0]) for part in parts) / n)
    assert abs(np.mean(told)) < 4 * np.std(told) / np.sqrt(len(told)) < 0.0015


def test_expected_error_is_nearly_none_where_probabilities_are_right() -> None:
    """Its square is right on average; with the bias left in it would be the variance of ten bins of 20 units."""
    squares, naive = [], []
    for seed in range(150):
        probabilities, labels = draw(seed, 200, n_classes=3)  # of two classes it is the same, with slower neighbours
        found = reliability_of(probabilities, labels, np.arange(200), NAMES[:3], confidence=0.95)
        assert found.expected_error is not None
        squares.append(found.expected_error**2)
        naive.append(np.mean([(one.predicted - one.observed.estimate) ** 2 for one in found.curve]))
    assert np.mean(naive) > 0.006
    assert np.mean(squares) < 0.3 * np.mean(naive)
    probabilities, labels = draw(0, 4000)
    wrong = np.clip(probabilities[:, 1] * 0.8 + 0.15, 0, 1)  # the line that is .05 off on average, and more at the ends
    assert weigh(wrong, labels)["calibration"]["expected_error"] == pytest.approx(
        np.sqrt(np.mean((wrong - probabilities[:, 1]) ** 2)), abs=0.015
    )


@given(st.lists(st.integers(0, 20), min_size=1, max_size=250))
@settings(max_examples=50, deadline=None)
def test_the_curve_holds_everyone_once_in_bins_of_enough(steps: list[int]) -> None:
    values = np.array(steps) / 20
    both = np.column_stack([1 - values, values])
    truth = np.zeros(len(values), dtype=int)
    curve = reliability_of(both, truth, np.arange(len(values)), ("a", "b"), confidence=0.95).curve
    assert (curve == ()) == (len(values) < LEAST_UNITS)
    if curve:
        assert sum(one.n for one in curve) == len(values)
        assert len(curve) <= MOST_BINS
        assert min(one.n for one in curve) >= LEAST_UNITS
        stated = [one.predicted for one in curve]
        assert (np.diff(stated) > 0).all()  # so equal probabilities are in one bin


# at another prevalence


def rates(hits: tuple[int, int], counts: tuple[int, int]) -> tuple[Rate, Rate]:
    specificity, sensitivity = (Rate.of_counts(hit, n) for hit, n in zip(hits, counts, strict=True))
    return specificity, sensitivity


def test_values_in_use_by_hand() -> None:
    # Sensitivity 8 / 10, specificity 36 / 40, and 10 % have it: .08 found, .09 false alarms, .81 cleared, .02 missed.
    found = at_prevalence(*rates((36, 8), (40, 10)), 0.1, 0.4, 0.25, confidence=0.95)
    assert found.ppv.estimate == pytest.approx(8 / 17)
    assert found.npv.estimate == pytest.approx(81 / 83)
    # Odds 2 / 3 where 1 : 3 have it are odds 2 / 3 · (1 / 9) / (1 / 3) = 2 / 9 where 1 : 9 do.
    assert found.threshold == pytest.approx(2 / 11)
    assert found.net_benefit.estimate == pytest.approx(0.08 - 0.09 * 2 / 9)
    assert found.net_benefit_of_treating_all == pytest.approx(0.1 - 0.9 * 2 / 9)
    assert at_prevalence(*rates((36, 8), (40, 10)), 0.1, 0.4, None, confidence=0.95).threshold == pytest.approx(0.4)


@pytest.mark.parametrize(("hits", "counts"), [((36, 8), (40, 10)), ((7, 4), (9, 4)), ((300, 60), (320, 90))])
def test_predictive_values_are_bounded_as_by_integration(hits: tuple[int, int], counts: tuple[int, int]) -> None:
    """PPV ≤ v where sensitivity ≤ false alarms · (1 - P) v / (P (1 - v)): integrated over Jeffreys' posteriors."""
    found = at_prevalence(*rates(hits, counts), 0.2, 0.5, None, confidence=0.95)
    clear, hit = (beta(right + 0.5, n - right + 0.5) for right, n in zip(hits, counts, strict=True))

    def below(value: float) -> float:
        rate = 0.8 * value / (0.2 * (1 - value))
        return float(quad(lambda spec: clear.pdf(spec) * hit.cdf((1 - spec) * rate), 0, 1, limit=200)[0])

    assert below(found.ppv.low) == pytest.approx(0.025, abs=0.004)
    assert below(found.ppv.high) == pytest.approx(0.975, abs=0.004)


def test_a_rate_known_by_its_interval_is_about_that_known_by_counts() -> None:
    interval = Interval(0.8, *(float(beta(80.5, 20.5).ppf(q)) for q in (0.025, 0.975)))
    found = Rate.of_interval(interval, confidence=0.95)
    assert found.estimate == 0.8
    assert found.hits / (found.hits + found.misses) == pytest.approx(0.8, abs=0.01)
    assert found.hits + found.misses == pytest.approx(101, rel=0.05)


def test_a_model_that_never_says_positive_has_the_predictive_value_of_chance() -> None:
    found = at_prevalence(*rates((40, 0), (40, 10)), 0.1, 0.5, None, confidence=0.95)
    assert found.ppv.estimate == pytest.approx(0.1)
    assert found.npv.estimate == pytest.approx(0.9)
    assert found.net_benefit.estimate == 0


def test_at_the_models_own_prevalence_the_threshold_is_its_own() -> None:
    probabilities, labels = draw(2, 80)
    options = {"threshold": 0.37, "trained_prevalence": (0.7, 0.3)}
    found = weigh(probabilities, labels, operating=OperatingPoints(prevalence=0.3), **options)["at_prevalence"]
    assert found["threshold"] == pytest.approx(0.37)
    assert (
        weigh(probabilities, labels, operating=OperatingPoints(prevalence=0.1), **options)["at_prevalence"]["threshold"]
        < 0.37
    )
    assert weigh(probabilities, labels, **options)["at_prevalence"] is None


@pytest.mark.parametrize("prevalence", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_a_prevalence_out_of_range_is_refused(prevalence: float) -> None:
    with pytest.raises(OptionError, match="between 0 and 1"):
        weigh([0.2, 0.8], [0, 1], operating=OperatingPoints(prevalence=prevalence))


def test_a_prevalence_needs_two_classes_and_both_here() -> None:
    with pytest.raises(OptionError, match="3 classes"):
        weigh(*draw(0, 30, n_classes=3), operating=OperatingPoints(prevalence=0.1))
    with pytest.raises(OptionError, match="of which 1 are here"):
        weigh([0.2, 0.8], [1, 1], operating=OperatingPoints(prevalence=0.1))


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -0.1, 1.1])
def test_what_is_no_probability_is_refused(wrong: float) -> None:
    with pytest.raises(CohortError, match="1 of 3 images have a probability that is not from"):
        weigh([0.2, wrong, 0.8], [0, 1, 1])
    with pytest.raises(CohortError, match="0 of 0 images"):
        weigh(np.empty((0, 2)), np.empty(0, dtype=int))


# laws


@given(cohorts(), st.floats(0.01, 0.99))
@settings(max_examples=50, deadline=None)
def test_every_interval_holds_its_estimate_and_stays_in_range(cohort, prevalence: float) -> None:
    probabilities, labels, patients = cohort
    is_asked = probabilities.shape[1] == 2 and len(np.unique(labels)) == 2
    found = weigh(
        probabilities, labels, patients, operating=OperatingPoints(prevalence=prevalence if is_asked else None)
    )
    json.dumps(found, allow_nan=False)
    for name, one in intervals_of(found):
        assert one["low"] <= one["estimate"] <= one["high"], name
        if name not in ("intercept", "slope", "net_benefit"):
            assert one["low"] >= 0, name
            assert one["high"] <= (2 if name == "brier" and probabilities.shape[1] > 2 else 1), name
    assert (found["auroc"] is None) == (len(np.unique(labels)) < 2)
    assert np.sum(found["confusion"]) == sum(found["n"]["per_class"].values())


@given(cohorts(), st.integers(2, 9), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_photographing_each_patient_more_often_narrows_nothing(cohort, times: int, random) -> None:
    probabilities, labels, patients = cohort
    order = np.repeat(np.arange(len(labels)), times)
    random.shuffle(order)
    once = weigh(probabilities, labels, patients)
    often = weigh(probabilities[order], labels[order], patients[order])
    assert often["n"].pop("images") == times * once["n"].pop("images")
    for (name, one), (_, other) in zip(intervals_of(once), intervals_of(often), strict=True):
        np.testing.assert_allclose(list(one.values()), list(other.values()), atol=2e-4, rtol=2e-4, err_msg=name)
    assert {**often, **dict.fromkeys(dict(intervals_of(often)))}.keys() == once.keys() | dict(intervals_of(once)).keys()


@given(st.integers(0, 10_000), st.integers(20, 60), st.floats(0.05, 0.95))
@settings(max_examples=20, deadline=None)
def test_naming_the_classes_the_other_way_round_swaps_sensitivity_and_specificity(
    seed: int, n: int, threshold: float
) -> None:
    probabilities, labels = draw(seed, n)
    labels[:10] = (0, 1) * 5
    found = weigh(probabilities, labels, threshold=threshold, operating=OperatingPoints(prevalence=0.2))
    other = weigh(
        probabilities[:, ::-1], 1 - labels, threshold=1 - threshold, operating=OperatingPoints(prevalence=0.8)
    )
    for name, swapped in (("sensitivity", "specificity"), ("auroc", "auroc"), ("brier", "brier"), ("accuracy",) * 2):
        assert list(found[name].values()) == pytest.approx(list(other[swapped].values()))
    assert found["confusion"] == np.array(other["confusion"])[::-1, ::-1].tolist()
    slopes = [one["calibration"]["slope"] for one in (found, other)]
    assert slopes == [None, None] or list(slopes[0].values()) == pytest.approx(
        list(slopes[1].values()), abs=1e-3, rel=1e-3
    )
    there, back = found["calibration"]["intercept"], other["calibration"]["intercept"]
    assert [there["estimate"], there["low"], there["high"]] == pytest.approx(
        [-back["estimate"], -back["high"], -back["low"]], abs=1e-3
    )
    ppv, npv = found["at_prevalence"]["ppv"], other["at_prevalence"]["npv"]
    assert ppv["estimate"] == pytest.approx(npv["estimate"])
    assert [ppv["low"], ppv["high"]] == pytest.approx([npv["low"], npv["high"]], abs=0.02)  # other draws


def test_the_same_cohort_gives_the_same_numbers() -> None:
    probabilities, labels = draw(3, 50)
    assert weigh(probabilities, labels, operating=OperatingPoints(prevalence=0.1)) == weigh(
        probabilities, labels, operating=OperatingPoints(prevalence=0.1)
    )


def test_more_patients_narrow_every_interval() -> None:
    few, many = (weigh(*draw(11, n), operating=OperatingPoints(prevalence=0.2)) for n in (60, 960))
    for (name, wide), (_, narrow) in zip(intervals_of(few), intervals_of(many), strict=False):
        if name == "observed":
            break  # the curves have other bins
        assert 1.5 * (narrow["high"] - narrow["low"]) < wide["high"] - wide["low"], name


# subgroups


def group(columns, probabilities, labels, patients=None, **options: Any) -> list[dict[str, Any]]:
    return subgroup_scores(
        probabilities,
        labels,
        np.arange(len(labels)) if patients is None else patients,
        {name: np.array(column) for name, column in columns.items()},
        patients_known=patients is not None,
        classes=NAMES[: probabilities.shape[1]],
        weights=(0.5, 0.5),
        **options,
    )


def test_groups_are_scored_like_cohorts_of_their_own() -> None:
    probabilities, labels = draw(4, 80)
    sex = np.array(["f", "m"] * 40)
    women, men = group({"sex": sex}, probabilities, labels, np.arange(80))
    assert (women["column"], women["group"], women["patients"]) == ("sex", "f", 40)
    alone = weigh(probabilities[sex == "m"], labels[sex == "m"], np.arange(40))
    assert men["auroc"] == alone["auroc"]
    assert men["recall"] == alone["recall"]


def test_small_groups_leave_no_trace() -> None:
    probabilities, _ = draw(4, 80)
    labels = np.arange(80) % 2
    site = np.array(["Basel"] * 30 + ["Chur"] * 41 + ["Davos"] * 9)
    # The whole less Basel and Chur would be Davos: the smaller of them goes too. Of 71 and 9 nothing can be shown.
    assert [one["group"] for one in group({"site": site}, probabilities, labels)] == ["Chur"]
    assert group({"site": np.where(site == "Chur", "Basel", site)}, probabilities, labels) == []
    # An empty cell names no one, and takes no one with it.
    site[site == "Davos"] = ""
    assert [one["group"] for one in group({"site": site}, probabilities, labels)] == ["Basel", "Chur"]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1)), min_size=1, max_size=120))
@settings(max_examples=80, deadline=None)
def test_what_is_hidden_cannot_be_had_by_subtraction(cells: list[tuple[int, int]]) -> None:
    sites, labels = np.array(cells).T
    probabilities = np.tile([0.4, 0.6], (len(labels), 1))
    found = group({"site": np.array(list("abcd"))[sites]}, probabilities, labels)
    rest = len(labels) - sum(one["patients"] for one in found)
    assert rest == 0 or rest >= LEAST_PATIENTS or not found
    for number, name in enumerate(NAMES[:2]):
        told = [one["group"] for one in found if one["recall"][name] is not None]
        counts = {site: int(((sites == place) & (labels == number)).sum()) for place, site in enumerate("abcd")}
        assert all(counts[site] >= LEAST_PATIENTS for site in told)
        rest = sum(counts.values()) - sum(counts[site] for site in told)
        assert rest == 0 or rest >= LEAST_PATIENTS or not told
    for one in found:
        if one["auroc"] is not None:
            assert None not in one["recall"].values()


def test_many_images_do_not_make_a_group_large() -> None:
    probabilities, labels = draw(4, 60)
    patients = np.repeat(np.arange(20), 3)
    labels = np.repeat(labels[:20], 3)
    side = np.repeat(["left"] * 12 + ["right"] * 8, 3)
    assert group({"side": side}, probabilities, labels, patients) == []
    # The same images as patients of their own.
    assert [one["patients"] for one in group({"side": side}, probabilities, labels)] == [36, 24]


def test_a_class_of_few_in_a_group_is_not_shown() -> None:
    probabilities, _ = draw(4, 60)
    labels = np.array(([1] * 9 + [0] * 21) + ([1] * 15 + [0] * 15))
    first, second = group({"site": ["a"] * 30 + ["b"] * 30}, probabilities, labels)
    assert first["recall"]["mild"] is None
    assert first["recall"]["normal"] is not None
    assert first["auroc"] is None  # it rests on the same nine
    assert second["recall"]["mild"] is None  # or the nine could be had from the whole
    assert second["recall"]["normal"] is not None


def test_numbers_are_cut_into_thirds_and_the_cuts_are_told() -> None:
    probabilities, labels = draw(4, 61)
    age = [f"{20 + i % 50}" for i in range(60)] + [""]
    found = group({"age": age}, probabilities, labels)
    # 60 ages: 20–29 twice, 30–69 once; a third of the way lie 29.67 and 49.33.
    assert [(one["group"], one["patients"]) for one in found] == [
        ("up to 29.67", 20),
        ("above 29.67 to 49.33", 20),
        ("above 49.33", 20),
    ]


def test_a_patient_of_many_images_does_not_move_the_cuts() -> None:
    probabilities, labels = draw(4, 33)
    age = np.array([f"{40 + i % 30}.5" for i in range(33)])
    once = group({"age": age}, probabilities, labels, np.arange(33))
    rows = np.concatenate([np.arange(33), np.zeros(50, dtype=int)])
    again = group({"age": age[rows]}, probabilities[rows], labels[rows], np.arange(33)[rows])
    assert [one["group"] for one in once] == [one["group"] for one in again] != []


@pytest.mark.parametrize(
    "column",
    [
        [f"P-{i:03}" for i in range(60)],
        [str(10_000 + 7 * i) for i in range(60)],
        [f"note {i % 12}" for i in range(60)],
        ["f"] * 60,
        [""] * 60,
    ],
    ids=["names", "numbers", "notes", "all alike", "empty"],
)
def test_columns_that_name_patients_or_nothing_are_left_out(column: list[str]) -> None:
    assert group({"column": column}, *draw(4, 60)) == []


def test_numbers_may_come_as_numbers() -> None:
    probabilities, labels = draw(4, 60)
    ages = 20.0 + np.arange(60) % 50
    as_text = group({"age": [f"{age}" for age in ages]}, probabilities, labels)
    assert group({"age": ages}, probabilities, labels) == as_text != []


def test_images_without_a_probability_are_dropped() -> None:
    probabilities, labels = draw(4, 60)
    sex = np.array(["f", "m"] * 30)
    probabilities[::4] = np.nan  # half of the women
    women, men = group({"sex": sex}, probabilities, labels)
    assert (women["patients"], men["patients"]) == (15, 30)
    kept = ~np.isnan(probabilities[:, 0])
    assert group({"sex": sex[kept]}, probabilities[kept], labels[kept]) == [women, men]


def test_a_group_of_one_class_has_its_recall_alone() -> None:
    probabilities, _ = draw(4, 40)
    found = group({"site": ["a"] * 20 + ["b"] * 20}, probabilities, np.repeat([0, 1], 20))
    assert [one["auroc"] for one in found] == [None, None]
    assert found[0]["recall"]["mild"] is None
    assert found[0]["recall"]["normal"] is not None


def test_the_odds_of_the_oracle_are_right() -> None:
    """The drawn probabilities mean what they say, or the tests above would prove nothing."""
    probabilities, labels = draw(9, 20_000)
    assert abs(labels.mean() - probabilities[:, 1].mean()) < 0.01
    high = probabilities[:, 1] > expit(1)
    assert labels[high].mean() == pytest.approx(probabilities[high, 1].mean(), abs=0.015)
