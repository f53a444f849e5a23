"""Asking a finished study again: thresholds against counting by hand, coverage where the truth is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

import medladder as ml
from drawn_studies import draw_study
from medladder.errors import OptionError
from medladder.evidence.exploring import Explored, act_from
from medladder.evidence.scores import FoldScores


def fold(truth: np.ndarray, positive: np.ndarray) -> FoldScores:
    """One repeat whose probabilities of the positive class are these."""
    probabilities = np.stack([1 - positive, positive], axis=-1)[None]
    places = np.arange(len(truth))
    return FoldScores(0, np.array([0]), 0.0, probabilities, (positive >= 0.5).astype(int)[None], truth, places)


def test_sensitivity_specificity_and_predictive_values_are_those_counted_by_hand() -> None:
    truth = np.repeat([0, 1], [40, 10])
    positive = np.concatenate([np.linspace(0.01, 0.4, 32), np.full(8, 0.7), np.full(9, 0.8), [0.1]])
    found = act_from([fold(truth, positive)], 0.6, 0.2, 0.2)
    assert found.sensitivity.estimate == pytest.approx(9 / 10)
    assert found.specificity.estimate == pytest.approx(32 / 40)
    assert found.at.ppv.estimate == pytest.approx(9 / 17)
    assert found.at.npv.estimate == pytest.approx(32 / 33)
    assert found.at.threshold == pytest.approx(0.6)
    rarer = act_from([fold(truth, positive)], 0.6, 0.02, 0.2)
    assert rarer.sensitivity == found.sensitivity
    assert rarer.at.ppv.estimate == pytest.approx(0.02 * 0.9 / (0.02 * 0.9 + 0.98 * 0.2))


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng, held = np.random.default_rng(4), np.zeros(4)
    sensitivity, specificity, prevalence, n = norm.cdf(0.5), norm.cdf(1.0), 0.1, 600
    ppv = prevalence * sensitivity / (prevalence * sensitivity + (1 - prevalence) * (1 - specificity))
    npv = (1 - prevalence) * specificity / ((1 - prevalence) * specificity + prevalence * (1 - sensitivity))
    for _ in range(n):
        truth = np.repeat([0, 1], [150, 60])
        positive = norm.cdf(rng.standard_normal(210) + 1.5 * truth - 1.0)  # from 0.5 on: those above 0
        found = act_from([fold(truth, positive)], 0.5, prevalence, 0.3)
        spans = (found.sensitivity, found.specificity, found.at.ppv, found.at.npv)
        held += [
            one.low <= value <= one.high for one, value in zip(spans, (sensitivity, specificity, ppv, npv), strict=True)
        ]
    assert ((held / n > 0.925) & (held / n < 0.98)).all(), held / n


def test_a_study_answers_what_its_evidence_says(tmp_path: Path) -> None:
    folder = draw_study(tmp_path / "study", rungs=("prior", "logistic", "dnn"))
    evidence = ml.weigh(folder).to_json()
    explored = Explored(folder)
    needed = evidence["verdict"]["needed"]
    recommended = evidence["verdict"]["recommended"]
    again = explored.needed(recommended, needed["score"])
    assert again is not None
    assert again.to_json() == {key: needed[key] for key in again.to_json()}
    assert explored.needed("prior", 0.9) is None
    last = evidence["rungs"][1]["points"][-1]["n_train"]
    low, high = (explored.acting("logistic", last, threshold, 0.3) for threshold in (0.2, 0.8))
    assert low is not None
    assert high is not None
    assert low.sensitivity.estimate > high.sensitivity.estimate
    assert low.specificity.estimate < high.specificity.estimate
    assert explored.acting("logistic", 7, 0.5, 0.3) is None
    with pytest.raises(OptionError, match="Did you mean 'logistic'"):
        explored.needed("logistik", 0.9)
    for threshold, prevalence in ((0, 0.5), (1, 0.5), (0.5, 0), (0.5, 1), (float("nan"), 0.5)):
        with pytest.raises(OptionError, match="One between 0 and 1"):
            explored.acting("logistic", last, threshold, prevalence)
