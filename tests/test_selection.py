"""The correction for having been picked: by hand where the answer is known, and the laws it must keep."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drawn_studies import draw_study
from medladder.evidence.comparisons import Comparison
from medladder.evidence.intervals import Interval
from medladder.evidence.metrics import FoldMeasure, Measure, auroc
from medladder.evidence.selection import WHOLE, Selected, choose_by_rule, correct_pick, draw_shifts
from medladder.evidence.variance import training_spread, variance_of
from medladder.evidence.verdict import Standing
from medladder.evidence.weighing import weigh

N = 100
ALONE = {N: np.ones((1, 1))}


def measure_of(influence, *, value=0.8, patients=None, repeats=1) -> Measure:
    """One fold of given influences, the same in every repeat."""
    influence = np.tile(np.asarray(influence, dtype=float), (repeats, 1))
    units = influence.shape[1]
    patients = np.arange(units) if patients is None else np.asarray(patients)
    values = np.full(repeats, value)
    part = FoldMeasure(0, 1.0, np.arange(repeats), 1.0, values, influence, np.arange(units) % 2, patients)
    return Measure((part,))


def stand(estimates, *, half=0.05, families=None, counts=(50, 50), margin=0.02, pair_half=0.2) -> Standing:
    """Rungs a, b, … with plain intervals of one half-width, and every pair compared."""
    names = [chr(ord("a") + place) for place in range(len(estimates))]
    return Standing(
        n_train=N,
        families=families or dict.fromkeys(names, "conventional"),
        aurocs={
            name: Interval(value, value - half, value + half) for name, value in zip(names, estimates, strict=True)
        },
        comparisons=[
            Comparison(N, names[i], names[j], *2 * (between(estimates[i] - estimates[j], pair_half),))
            for i in range(len(names))
            for j in range(i)
        ],
        counts=counts,
        margin=margin,
        unit="patient",
    )


def between(middle: float, half: float) -> Interval:
    return Interval(middle, middle - half, middle + half)


def best(standing: Standing) -> str:
    return max(standing.aurocs, key=lambda rung: standing.aurocs[rung].estimate)


def noise(units: int, rng: np.random.Generator, sd: float = 0.02) -> np.ndarray:
    """Influences whose squares sum to sd², centred in each class."""
    drawn = rng.standard_normal(units)
    for k in (0, 1):
        drawn[k::2] -= drawn[k::2].mean()
    return np.asarray(sd * drawn / np.sqrt((drawn**2).sum()))


def curves_of(standing: Standing, influences) -> dict[str, dict[int, Measure]]:
    rungs = list(standing.aurocs)
    return {
        rung: {N: measure_of(influence, value=standing.aurocs[rung].estimate)}
        for rung, influence in zip(rungs, influences, strict=True)
    }


def test_two_equal_rungs_by_hand():
    # Of two independent normal moves of sd s the larger is s/√π on average, and the pick is always the larger.
    rng = np.random.default_rng(1)
    standing = stand([0.8, 0.8])
    curves = curves_of(standing, [noise(400, rng), noise(400, rng)])
    found = correct_pick(standing, curves, ALONE, seed=0, choose=best, draws=3000)
    sd = np.sqrt(variance_of(curves["a"][N], N, None, ALONE[N]).patient)
    assert found.optimism == pytest.approx(sd / np.sqrt(np.pi), rel=0.08)
    assert found.auroc.estimate == pytest.approx(0.8 - found.optimism)
    assert found.auroc.low == pytest.approx(0.75 - WHOLE * found.optimism)
    assert found.auroc.high == found.naive.high == pytest.approx(0.85)
    assert found.naive == standing.aurocs[found.rung]


def test_rungs_that_move_together_are_not_flattered():
    # Chance that two rungs share decides nothing between them.
    influence = noise(400, np.random.default_rng(2))
    standing = stand([0.8, 0.8])
    found = correct_pick(standing, curves_of(standing, [influence, influence]), ALONE, seed=0, choose=best, draws=300)
    assert found.optimism < 1e-9


def test_a_pick_that_no_draw_changes_is_not_corrected():
    rng = np.random.default_rng(3)
    standing = stand([0.95, 0.6])
    curves = curves_of(standing, [noise(200, rng), noise(200, rng)])
    found = correct_pick(standing, curves, ALONE, seed=0, choose=best, draws=300)
    assert found.optimism < 1e-9
    assert found.auroc.estimate == pytest.approx(found.naive.estimate)


def test_the_simplest_rung_is_flattered_less_than_the_best():
    """The study's rule stays with the first rung unless another is shown better: there is little to win by chance."""
    rng = np.random.default_rng(4)
    standing = stand([0.8] * 6, pair_half=0.06)
    curves = curves_of(standing, [noise(200, rng) for _ in range(6)])
    by_rule = correct_pick(standing, curves, ALONE, seed=0, draws=300)
    by_best = correct_pick(standing, curves, ALONE, seed=0, choose=best, draws=300)
    assert by_rule.rung == choose_by_rule(standing) == "a"
    assert 0 < by_rule.optimism < 0.3 * by_best.optimism


def test_differences_move_with_their_rungs():
    """Rung b is picked where its difference from a is shown, which the drawn difference alone can say."""
    rng = np.random.default_rng(5)
    standing = stand([0.8, 0.8], pair_half=0.01, margin=0.001)
    curves = curves_of(standing, [noise(200, rng), noise(200, rng)])
    seen = []

    def choose(moved: Standing) -> str:
        pair = moved.comparisons[0]
        gap = moved.aurocs["b"].estimate - moved.aurocs["a"].estimate
        seen.append((pair.difference.estimate - gap, pair.difference.high - pair.difference.low))
        return choose_by_rule(moved)

    found = correct_pick(standing, curves, ALONE, seed=0, choose=choose, draws=300)
    assert np.allclose(seen, [(0.0, 0.02)] * 301)
    assert found.optimism > 0.001


def test_one_learned_rung_is_left_alone():
    standing = stand([0.5, 0.8], families={"a": "floor", "b": "deep"})
    curves = curves_of(standing, [np.zeros(200), noise(200, np.random.default_rng(6))])
    found = correct_pick(standing, curves, ALONE, seed=0)
    assert found == Selected("b", N, 1, found.naive, found.naive, 0.0)


def test_a_floor_that_is_picked_is_left_alone():
    rng = np.random.default_rng(7)
    standing = stand([0.5, 0.52, 0.52], families={"a": "floor", "b": "deep", "c": "deep"})
    certain = Interval(0.5, 0.5, 0.5)
    standing = Standing(**{**standing.__dict__, "aurocs": {**standing.aurocs, "a": certain}})
    curves = curves_of(standing, [np.zeros(200), noise(200, rng), noise(200, rng)])
    found = correct_pick(standing, curves, ALONE, seed=0)
    assert (found.rung, found.n_rungs, found.optimism, found.auroc) == ("a", 2, 0.0, certain)


def test_the_corrected_numbers_stay_above_zero():
    rng = np.random.default_rng(8)
    standing = stand([0.02] * 8, half=0.01)
    curves = curves_of(standing, [noise(60, rng, sd=0.2) for _ in range(8)])
    found = correct_pick(standing, curves, ALONE, seed=0, choose=best, draws=300)
    assert found.optimism > 0.02
    assert (found.auroc.estimate, found.auroc.low, found.auroc.high) == (0.0, 0.0, found.naive.high)


@settings(max_examples=15, deadline=None)
@given(
    estimates=st.lists(st.floats(0.5, 1.0), min_size=2, max_size=4),
    seed=st.integers(0, 99),
    is_by_rule=st.booleans(),
)
def test_laws(estimates, seed, is_by_rule):
    rng = np.random.default_rng(seed)
    standing = stand(estimates)
    curves = curves_of(standing, [noise(80, rng, sd=0.03) for _ in estimates])
    choose = choose_by_rule if is_by_rule else best
    found = correct_pick(standing, curves, ALONE, seed=seed, choose=choose, draws=30)
    assert found.rung == choose(standing)
    assert found.optimism >= 0
    assert 0 <= found.auroc.low <= found.auroc.estimate <= found.naive.estimate
    assert found.auroc.low <= found.naive.low
    assert found.auroc.high == found.naive.high
    assert found == correct_pick(standing, curves, ALONE, seed=seed, choose=choose, draws=30)


def test_shifts_have_the_variance_of_the_interval():
    """Patients alone: as `patient_variance` has it, images of one patient moving together; and the covariance."""
    rng = np.random.default_rng(9)
    patients = np.repeat(np.arange(60), 4)
    influences = [noise(240, rng), noise(240, rng)]
    curves = {
        name: {N: measure_of(influence, patients=patients)} for name, influence in zip("ab", influences, strict=True)
    }
    shifts = draw_shifts(curves, N, ALONE, draws=20_000, rng=rng)
    assert np.allclose(shifts.mean(axis=0), 0, atol=1e-12)
    for place, curve in enumerate(curves.values()):
        expected = variance_of(curve[N], N, None, ALONE[N]).patient
        assert shifts[:, place].var() == pytest.approx(expected, rel=0.06)
    by_patient = [np.bincount(patients, weights=influence) for influence in influences]
    correlation = np.dot(*by_patient) / np.sqrt(np.prod([(row**2).sum() for row in by_patient]))
    assert np.corrcoef(shifts.T)[0, 1] == pytest.approx(correlation, abs=0.03)


def trained(rng: np.random.Generator, own: float, shared: np.ndarray, truth: np.ndarray) -> dict[int, Measure]:
    """A rung whose repeats scatter: a luck shared with other rungs, and one of its own."""
    luck = shared + own * rng.standard_normal(len(shared))
    scores = (1 + luck)[:, None] * truth + 0.3 * rng.standard_normal((len(shared), len(truth)))
    values, influence = auroc(scores, truth == 1)
    repeats = np.arange(len(shared))
    return {N: Measure((FoldMeasure(0, 1.0, repeats, 0.0, values, influence, truth, np.arange(len(truth))),))}


def test_shifts_hold_the_training_draw():
    """Where repeats scatter, each rung moves by both its parts, and a difference by its own."""
    rng = np.random.default_rng(10)
    truth = np.arange(400) % 2
    shared = 0.2 * rng.standard_normal(10)
    curves = {"a": trained(rng, 0.1, shared - 0.6, truth), "b": trained(rng, 0.1, shared - 0.6, truth)}
    shifts = draw_shifts(curves, N, ALONE, draws=20_000, rng=rng)
    for place, curve in enumerate(curves.values()):
        variance = variance_of(curve[N], N, training_spread(curve), ALONE[N])
        assert variance.training > 0.5 * variance.patient
        assert shifts[:, place].var() == pytest.approx(variance.total, rel=0.06)
    # Luck that both rungs share moves them alike.
    apart = (shifts[:, 0] - shifts[:, 1]).var()
    assert apart < 0.6 * (shifts[:, 0].var() + shifts[:, 1].var())


SMALL = {"sizes": (31, 86), "repeats": 4, "n_test_patients": 120}


def test_a_study_carries_its_correction(tmp_path):
    rungs = ("prior", "logistic", "svm", "nn", "dnn")
    folder = draw_study(tmp_path, rungs=rungs, auroc=dict.fromkeys(rungs[1:], 0.85), seed=2, **SMALL)
    evidence = weigh(folder)
    found = folder.read_evidence()["selected"]
    assert list(found) == ["rung", "n_train", "n_rungs", "auroc", "naive", "optimism"]
    assert found == json.loads(json.dumps(evidence.selected.to_json()))
    assert (found["rung"], found["n_train"], found["n_rungs"]) == (evidence.recommended, 86, 4)
    point = next(rung for rung in evidence.rungs if rung.rung == evidence.recommended).points[-1]
    assert found["naive"] == point.auroc.to_json()
    assert found["auroc"]["estimate"] == pytest.approx(found["naive"]["estimate"] - found["optimism"])


def test_the_seed_of_the_plan_decides_the_draws(tmp_path):
    rungs = ("prior", "logistic", "svm")
    folder = draw_study(tmp_path, rungs=rungs, auroc={"logistic": 0.8, "svm": 0.9}, folds=3, **SMALL)
    once, again = weigh(folder).selected, weigh(folder).selected
    assert once == again
    assert once.optimism > 0
    folder.write_json("plan.json", {**folder.read_plan().to_json(), "seed": 1})
    other = weigh(folder).selected
    assert other.optimism != once.optimism
    assert other.optimism == pytest.approx(once.optimism, abs=0.003)


def test_a_study_of_one_rung(tmp_path):
    evidence = weigh(draw_study(tmp_path, rungs=("logistic",), **SMALL))
    assert evidence.selected.n_rungs == 1
    assert evidence.selected.auroc == evidence.selected.naive


def test_rungs_with_failed_trials_and_several_classes(tmp_path):
    failed = {("dnn", 86, repeat) for repeat in range(3)}
    rungs = ("prior", "logistic", "dnn")
    folder = draw_study(tmp_path, classes=("a", "b", "c"), rungs=rungs, folds=5, failed=failed, **SMALL)
    found = weigh(folder).selected
    assert found.n_rungs == 2
    assert found.auroc.low <= found.auroc.estimate <= found.naive.estimate
