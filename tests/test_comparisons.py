"""How sure each pair must be: by hand where rungs are independent, laws, and which rungs are compared with which."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm, studentized_range

from medladder.evidence.comparisons import compare_all
from medladder.evidence.jointly import best_confidence, draw_together, pairs_confidence
from medladder.evidence.metrics import FoldMeasure, Measure

N = 100
ALONE = {N: np.zeros((1, 1))}


def apart(k: int, variance: float = 1.0) -> np.ndarray:
    """Independent rungs alike: every difference has twice one rung's variance."""
    return 2 * variance * (1 - np.eye(k))


@pytest.mark.parametrize("k", [2, 3, 8])
def test_all_pairs_of_independent_rungs_are_tukeys(k: int) -> None:
    each = pairs_confidence(apart(k), 0.95)
    expected = studentized_range(k, np.inf).ppf(0.95) / np.sqrt(2)
    assert norm.ppf(0.5 + each / 2) == pytest.approx(expected, abs=0.03)


def test_one_against_the_best_of_independent_rungs_by_hand() -> None:
    """Two rungs: one side of one difference. Three: Dunnett's one-sided value for two comparisons, 1.92."""
    assert best_confidence(apart(2), 0.95, among=np.ones(2, dtype=bool)) == pytest.approx(0.95, abs=0.004)
    of_three = best_confidence(apart(3), 0.95, among=np.ones(3, dtype=bool))
    assert norm.ppf(of_three) == pytest.approx(1.916, abs=0.03)


def test_rungs_that_move_together_count_as_one() -> None:
    """Two rungs that never differ, and a third: the two differences to it are one."""
    variances = np.array([[0.0, 0, 1], [0, 0, 1], [1, 1, 0]])
    assert pairs_confidence(variances, 0.95) == pytest.approx(0.95, abs=0.004)


def test_only_what_is_asked_counts() -> None:
    only = np.zeros((8, 8), dtype=bool)
    only[0, 1] = only[1, 0] = True
    assert pairs_confidence(apart(8), 0.95, only=only) == pytest.approx(0.95, abs=0.004)
    assert pairs_confidence(apart(8), 0.95, only=np.zeros((8, 8), dtype=bool)) == 0.95


def test_drawn_differences_have_the_variances_asked() -> None:
    place = np.random.default_rng(0).normal(size=(5, 4))
    variances = ((place[:, None] - place) ** 2).sum(axis=2)
    drawn = draw_together(variances)
    found = (drawn[:, :, None] - drawn[:, None]).var(axis=0)
    assert found == pytest.approx(variances, rel=0.05)


def measure(place: float, influence: np.ndarray, truth: np.ndarray) -> Measure:
    repeats = 4
    part = FoldMeasure(
        0, 1.0, np.arange(repeats), 1.0, np.full(repeats, place), np.tile(influence, (repeats, 1)), truth,
        np.arange(len(truth)),
    )  # fmt: skip
    return Measure((part,))


def curves_of(estimates: dict[str, float], *, units: int = 200, sd: float = 0.02) -> dict[str, dict[int, Measure]]:
    truth = np.arange(units) % 2
    curves = {}
    for rung, estimate in estimates.items():
        drawn = np.random.default_rng([len(rung), ord(rung[0])]).standard_normal(units)
        for k in (0, 1):
            drawn[truth == k] -= drawn[truth == k].mean()
        scale = 0.0 if rung == "prior" else sd / np.sqrt((drawn**2).sum())
        curves[rung] = {N: measure(estimate, scale * drawn, truth)}
    return curves


def compare(estimates: dict[str, float], **more: float) -> dict[tuple[str, str], tuple[float, float]]:
    found = compare_all(
        curves_of(estimates, **more), N, (100, 100), ALONE, confidence=0.95, floors=["prior"]
    )  # fmt: skip
    return {(pair.rung, pair.against): (pair.difference.low, pair.difference.high) for pair in found}


def width(interval: tuple[float, float]) -> float:
    return float(np.diff(np.arctanh(interval))[0])


def test_rungs_that_learned_are_compared_among_themselves() -> None:
    """With the floor in the family a difference of two rungs would be one of three; it is the only one."""
    with_floor = compare({"prior": 0.5, "a": 0.8, "b": 0.8})
    without = compare({"a": 0.8, "b": 0.8})
    assert with_floor["b", "a"] == pytest.approx(without["b", "a"], abs=1e-3)
    assert with_floor["b", "prior"][0] > 0


def test_where_nothing_is_learned_all_claims_share_one_chance() -> None:
    idle = compare({"prior": 0.5, "a": 0.51, "b": 0.49})
    learned = compare({"prior": 0.5, "a": 0.81, "b": 0.79})
    assert width(idle["b", "a"]) > 1.1 * width(learned["b", "a"])


def test_choosing_asks_less_than_comparing_all() -> None:
    for pair in compare_all(curves_of({"a": 0.8, "b": 0.81, "c": 0.79}), N, (100, 100), ALONE, confidence=0.95):
        assert pair.difference.low < pair.to_best.low < pair.to_best.estimate < pair.to_best.high < pair.difference.high


def test_more_rungs_ask_more_of_each_pair() -> None:
    few, many = (dict.fromkeys(names, 0.8) for names in ("ab", "abcdefgh"))
    assert width(compare(many)["b", "a"]) > 1.3 * width(compare(few)["b", "a"])


def test_a_pair_without_a_common_repeat_is_left_out() -> None:
    curves = curves_of({"a": 0.8, "b": 0.8, "c": 0.8})
    part = curves["c"][N].parts[0]
    curves["c"][N] = Measure((FoldMeasure(**{**part.__dict__, "repeats": part.repeats + 10}),))
    found = compare_all(curves, N, (100, 100), ALONE, confidence=0.95)
    assert [(pair.rung, pair.against) for pair in found] == [("b", "a")]
