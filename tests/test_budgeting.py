"""What fits the time and the memory: what is given up first, what that costs, and that the rest can follow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import medladder as ml
from medladder.budgeting import draws_at_once, fit_to_budget, read_seconds, widening
from medladder.cohort import Cohort, read_cohort
from medladder.cost import Pace, bytes_a_fleet, expected_seconds, seconds_to_look
from medladder.errors import OptionError
from medladder.planning import LONG_SECONDS, PlannedStudy, Wishes, blocks, plan_study, repeats_a_fleet
from medladder.record.plan import Plan
from medladder.record.trials import Trial


@pytest.fixture
def cohort(class_folders: Path) -> Cohort:
    cohort = read_cohort(class_folders)
    return replace(cohort, parts=np.where(np.arange(40) % 4 == 0, "test", "train"))


@pytest.fixture
def planned(cohort: Cohort) -> PlannedStudy:
    return plan_study(cohort, Wishes(rungs=("prior", "logistic"), sizes=(8, 12, 16, 24), repeats=10))


def seconds_of(plan: Plan) -> float:
    return Pace(plan).seconds_left(plan.fleets(), 1)


def fitted(planned: PlannedStudy, seconds: float, before: Plan | None = None) -> tuple[Plan, list[str]]:
    smaller, told = fit_to_budget(planned, before, (), Pace(planned.plan), seconds, 1, inspection=False)
    return smaller.plan, told


def test_time_to_look_into_the_networks_is_kept_back_half_at_most(planned: PlannedStudy) -> None:
    whole, pace = seconds_of(planned.plan), Pace(planned.plan)
    seconds = whole + 2.01 * seconds_to_look(planned.plan)
    same, told = fit_to_budget(planned, None, (), pace, seconds, 1, inspection=True)
    assert same.plan == planned.plan
    assert not told
    smaller, told = fit_to_budget(planned, None, (), pace, 1.1 * whole, 1, inspection=True)
    assert 3 < smaller.plan.repeats < 10, "half of the time is for fits"
    assert "--no-inspection leaves it out" in told[0]


def test_what_fits_is_left_whole(planned: PlannedStudy) -> None:
    plan, told = fitted(planned, seconds_of(planned.plan) + 1)
    assert plan == planned.plan
    assert told == []


def test_repeats_go_first_then_sizes_between_then_the_largest(planned: PlannedStudy) -> None:
    whole = seconds_of(planned.plan)
    plan, told = fitted(planned, 0.75 * whole)
    assert (plan.sizes, plan.repeats) == (planned.plan.sizes, 7)
    assert "7 repeats instead of 10, which makes intervals about" in told[0]
    assert "wider at 8 patients" in told[0]
    plan, told = fitted(planned, 0.25 * whole)
    assert (plan.sizes, plan.repeats) == ((8, 16, 24), 3)
    assert "without the sizes 12: no interval there, and a curve through fewer points" in told[0]
    plan, told = fitted(planned, 0.07 * whole)
    assert plan.sizes[-1] < 24
    assert "a forecast instead of a measurement" in told[0]
    plan, told = fitted(planned, 0.001 * whole)
    assert (plan.sizes, plan.repeats) == ((8,), 3)
    assert "more than there is" in told[1]


def test_what_stands_in_the_folder_stays(planned: PlannedStudy) -> None:
    before = replace(planned.plan, sizes=(12, 24), repeats=5, repeat_blocks=((0, 5),))
    plan, _ = fitted(planned, 0.001, before)
    assert set(plan.sizes) >= {12, 24}
    assert plan.repeats == 5
    assert plan.repeat_blocks == ((0, 5),)


def test_fewer_repeats_widen_intervals_less_the_more_they_share(planned: PlannedStudy) -> None:
    assert widening(planned, 8, 10, 10) == 0
    small, large = (widening(planned, n, 10, 3) for n in (8, 24))
    assert 0 < large < small < 0.6
    assert widening(planned, 8, 10, 2) > small


def test_the_rest_can_be_added_and_is_as_if_never_left_out(cohort: Cohort, tmp_path: Path) -> None:
    how: dict[str, Any] = {"rungs": ("prior", "logistic"), "sizes": (8, 16, 24), "repeats": 6, "jobs": 1}
    how["inspection"] = False
    folder = ml.run_study(cohort, tmp_path / "run", time_budget=0.001, **how)
    plan = folder.read_plan()
    assert (plan.sizes, plan.repeats, plan.round) == ((8,), 3, 6)
    assert len(folder.read_trials()) == 0, "nothing begins that would not end in time"
    ml.run_study(cohort, folder.path, **how)
    whole = ml.run_study(cohort, tmp_path / "whole", **how)
    points = [[rung["points"] for rung in ml.weigh(one).to_json()["rungs"]] for one in (folder, whole)]
    assert points[0] == points[1]


@pytest.mark.parametrize("text", ["", "2", "h", "-1h", "0s", "1y", "nan h", "infs"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match="A duration, as 90s, 45m, 2h or 1d"):
        read_seconds(text)


def test_durations_are_read() -> None:
    assert [read_seconds(text) for text in ("90s", "45m", "2h", "1.5D")] == [90, 2700, 7200, 129_600]


def test_a_fleet_that_does_not_fit_is_fitted_a_few_draws_at_a_time(cohort: Cohort, tmp_path: Path) -> None:
    planned = plan_study(cohort, Wishes(rungs=("nn",), sizes=(24,), repeats=5))
    [rung], [key] = planned.plan.rungs, planned.plan.fleets()
    shape = planned.plan.image["shape"]
    one, two, five = (bytes_a_fleet(rung, 24, shape, 2, draws) for draws in (1, 2, 5))
    assert one < two < five
    assert draws_at_once(planned, None) == draws_at_once(planned, five) == {}
    fewer = draws_at_once(planned, two)
    assert 1 <= fewer[key.name] < 5
    with pytest.raises(OptionError, match=r"nn on 24 patients takes about 0\.\d GB.*--jobs.*--image-size"):
        draws_at_once(planned, one - 1)


def test_a_few_draws_at_a_time_find_the_same(cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    how: dict[str, Any] = {"rungs": ("logistic", "nn:width=8,members=2"), "sizes": (24,), "repeats": 5, "jobs": 1}
    whole = ml.run_study(cohort, tmp_path / "whole", inspection=False, **how)
    monkeypatch.setattr("medladder.study.draws_at_once", two_at_once)
    few = ml.run_study(cohort, tmp_path / "few", inspection=False, **how)
    digests = [{t.fleet: t.predictions_sha256 for t in one.read_trials()} for one in (whole, few)]
    assert digests[0] == digests[1]


def two_at_once(planned: PlannedStudy, worker_bytes: int | None) -> dict[str, int]:
    return {key.name: 2 for key in planned.plan.fleets()}


def test_fleets_that_take_long_are_of_fewer_repeats(planned: PlannedStudy) -> None:
    assert repeats_a_fleet(planned.plan) == 5
    large = replace(planned.plan, sizes=(8, 400_000), image={"shape": [64, 64]})
    each = repeats_a_fleet(large)
    assert each < 5
    key = next(key for key in large.fleets() if key.rung == "logistic" and key.n_train == 400_000)
    assert each == 1 or expected_seconds(large, key) / len(key.repeats) * each <= LONG_SECONDS
    assert blocks(3, 8, each)[0][0] == 3


def test_the_pace_follows_what_was_done_of_a_kind(planned: PlannedStudy) -> None:
    keys = {key.name: key for key in planned.plan.fleets()}
    logistic = [key for key in keys.values() if key.rung == "logistic"]
    pace = Pace(planned.plan)
    assert not pace.is_known
    assert pace.seconds(logistic[-1]) == expected_seconds(planned.plan, logistic[-1])
    for key in logistic[:6]:
        pace.learn(key, 3000 * expected_seconds(planned.plan, key))
    assert pace.is_known
    assert pace.seconds(logistic[-1]) == pytest.approx(3000 * expected_seconds(planned.plan, logistic[-1]), rel=0.1)
    done = logistic[0]
    seconds = 7 * expected_seconds(planned.plan, done) / len(done.repeats)
    trials = [Trial(done.name, done.rung, done.n_train, 0, r, "done", fit_seconds=seconds) for r in done.repeats]
    assert Pace(planned.plan, trials).seconds(done) == pytest.approx(7 * expected_seconds(planned.plan, done), rel=0.01)
    assert pace.seconds_left(logistic, 2) < pace.seconds_left(logistic, 1)
    assert pace.seconds_left([], 2) == 0
