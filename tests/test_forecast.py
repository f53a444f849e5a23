"""Forecasts, patients needed and crossovers: by hand on curves that are known, refusals of files, the verb."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from medladder.cli import app
from medladder.errors import InputError, OptionError
from medladder.evidence.curve_files import read_trials
from medladder.evidence.curves import Curve, Sizes, fit_curve
from medladder.evidence.families import Prior
from medladder.evidence.forecast import (
    Foreseen,
    Span,
    crossover,
    foresee,
    look_ahead,
    patients_needed,
    recognise,
)
from test_curves import SIZES, course, measure


class Known(Curve):
    """A curve without doubt about its parts: each share of the belief is in score = top − slope / n^power."""

    def __init__(
        self, *tops: float, deviation: float = 0.0, slope: float = 1.0, power: float = 0.5, at: float = 400.0
    ) -> None:
        super().__init__(at, (100, 400), Prior(), {}, ())
        vars(self).update(tops=np.array(tops), deviation=deviation, slope=slope, power=power)

    def expected(self, sizes: Sizes) -> np.ndarray:
        return self.tops[:, None] - self.slope * np.asarray(sizes, dtype=float) ** -self.power

    def scatter(self, sizes: Sizes) -> np.ndarray:
        return np.full((len(self.tops), len(sizes)), self.deviation)


# By hand


def test_a_known_curve_is_foreseen_as_it_is() -> None:
    [at_2500] = foresee(Known(0.9), [2500])
    assert at_2500.expected.estimate == pytest.approx(0.88)
    assert at_2500.expected.low == at_2500.expected.high == at_2500.new_low == at_2500.new_high


def test_interval_of_a_new_study_by_hand() -> None:
    """Scatter of .01: one study ± .0196, the mean of endlessly many ± 0."""
    curve = Known(*[0.9] * 4000, deviation=0.01)
    [one] = foresee(curve, [2500])
    assert one.expected.low == one.expected.high
    assert (one.new_high - one.new_low) / 2 == pytest.approx(0.0196, rel=0.05)


def test_what_repeats_share_is_added_and_shrinks_with_the_error() -> None:
    """At 400 the error is .15, at 2,500 .12: a shared deviation of .01 is .008 there."""
    curve = Known(*[0.9] * 4000)
    for n, deviation in ((400, 0.01), (2500, 0.008)):
        [found] = foresee(curve, [n], shared_deviation=0.01)
        assert (found.expected.high - found.expected.low) / 2 == pytest.approx(1.96 * deviation, rel=0.05)


def test_patients_needed_by_hand() -> None:
    """.88 is reached where n^−.5 = .02: at 2,500 patients; never with a top of .85."""
    assert patients_needed(Known(0.9), 0.88).estimate == pytest.approx(2500, rel=0.02)
    half = patients_needed(Known(0.9, 0.9, 0.85), 0.88)
    assert (half.estimate, half.high) == (half.low, None)
    assert half.beyond == pytest.approx(1 / 3)
    assert patients_needed(Known(0.85), 0.88) == Span(None, None, None, 1.0)
    assert patients_needed(Known(0.9), 0.7).estimate == 100, "it is there from the smallest size on"
    with pytest.raises(OptionError, match=r"A target of 1\.2"):
        patients_needed(Known(0.9), 1.2)


def test_crossover_by_hand() -> None:
    """The upper rung has the higher top but starts lower: .95 − 40 / n meets .9 − 1 / √n where both are equal."""

    steep = Known(0.95, slope=40.0, power=1.0)
    n = np.geomspace(100, 4000, 100_000)
    meeting = n[np.argmax(0.95 - 40 / n >= 0.9 - n**-0.5)]
    found = crossover(Known(0.9), steep, margin=0.02)
    assert found is not None
    assert found.estimate == pytest.approx(meeting, rel=0.02)
    never = crossover(steep, Known(0.9), margin=0.02)
    assert never is not None
    assert (never.estimate, never.beyond) == (None, 1.0)
    assert crossover(Known(0.9), Known(0.91), margin=0.02) is None, "they touch within the margin"


# Fitted curves


def test_intervals_hold_their_estimate_and_widen_with_distance() -> None:
    curve = fit_curve(measure())
    points = foresee(curve, [360, 720, 3600, 36_000])
    widths = [point.expected.high - point.expected.low for point in points]
    assert widths == sorted(widths)
    for point in points:
        assert 0 <= point.new_low <= point.expected.low <= point.expected.estimate <= point.expected.high
        assert point.expected.high <= point.new_high <= 1
    again = foresee(fit_curve(measure()), [720])
    assert again[0] == points[1], "the same numbers again"


@pytest.mark.parametrize(
    ("f", "name"),
    [
        (course, "rises"),
        (lambda n: 0.9 - 0.0003 * np.asarray(n), "falls"),
        (lambda n: 0.7 + 0.2 * (np.asarray(n) == 180), "breaks"),
    ],
)
def test_courses_are_recognised(f, name: str) -> None:
    trials = measure(8, f=f)
    assert recognise(trials, fit_curve(trials)).name == name


def test_smooth_curves_seldom_break() -> None:
    names = [
        recognise(trials, fit_curve(trials, particles=200)).name
        for seed in range(16)
        for trials in [measure(5, seed=seed)]
    ]
    assert names.count("breaks") <= 1
    assert names.count("falls") == 0


def test_a_flat_curve_is_not_said_to_rise() -> None:
    names = [
        recognise(trials, fit_curve(trials, particles=200)).name
        for seed in range(10)
        for trials in [measure(5, seed=seed, f=lambda n: 0.8 + 0 * np.asarray(n))]
    ]
    assert names.count("not shown") >= 5


def test_ahead_says_what_it_rests_on() -> None:
    ahead = look_ahead(measure(1), [720, 36_000], target=0.9).to_json()
    assert [point["n_train"] for point in ahead["forecast"]] == [720, 36_000]
    assert [point["n_train"] for point in ahead["measured"]] == list(SIZES)
    assert {warning["rule"] for warning in ahead["warnings"]} >= {"one repeat", "beyond the horizon"}
    assert sum(ahead["families"].values()) == pytest.approx(1)
    assert ahead["needed"]["score"] == 0.9
    assert [point["n_train"] for point in look_ahead(measure()).to_json()["forecast"]] == [720, 1800, 3600]


def test_a_point_is_plain_json() -> None:
    [point] = foresee(fit_curve(measure()), [720])
    assert isinstance(point, Foreseen)
    assert set(point.to_json()) == {"n_train", "estimate", "low", "high", "new_low", "new_high"}
    json.dumps(look_ahead(measure()).to_json(), allow_nan=False)


# Files


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


GOOD = ["n_train,repeat,score", "60,0,.7", "60,1,.72", "120,0,.75", "120,1,.77"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_columns_are_found_by_name(tmp_path: Path, delimiter: str) -> None:
    lines = ["\ufeffNote,Score,Repeat,N_train", "x,.7,first,60", "", "y,.75,first,120", "z,.76,second,120"]
    trials = read_trials(write(tmp_path / "c.csv", [line.replace(",", delimiter) for line in lines]))
    assert trials.n_train.tolist() == [60, 120, 120]
    assert trials.score.tolist() == [0.7, 0.75, 0.76]
    assert trials.repeat.tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([], "c.csv is empty|no column"),
        (["n_train,repeat,score"], "No score at all"),
        (["n,repeat,score", "60,0,.7"], "no column n_train"),
        (["n_train,score", "60,.7"], "no column repeat"),
        (GOOD[:3], "A single size, 60"),
        ([*GOOD, "240,0,nan"], "Line 6 .* score 'nan'"),
        ([*GOOD, "240,0,"], "Line 6 .* score ''"),
        ([*GOOD, "many,0,.8"], "Line 6 .* n_train 'many'"),
        ([*GOOD, "240,0,1.8"], "1 of 5 scores are not from 0 to 1; the first is 1.8"),
        ([*GOOD, "240,0,-.1"], "1 of 5 scores are not from 0 to 1"),
        ([*GOOD, "120,1,.9"], "Line 6 .* second score of repeat 1 at 120 patients, the first being in line 5"),
        ([*GOOD, "240,0"], "Line 6 .* 2 values"),
        ([*GOOD, "0,0,.5"], "A size of 0"),
    ],
)
def test_files_that_hold_no_curve_are_refused(tmp_path: Path, lines: list[str], found: str) -> None:
    with pytest.raises(InputError, match=found):
        read_trials(write(tmp_path / "c.csv", lines))


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_trials(tmp_path / "none.csv")
    (tmp_path / "picture.csv").write_bytes(b"\xff\xd8\xff\xe0" * 9)
    with pytest.raises(InputError, match="no UTF-8 text"):
        read_trials(tmp_path / "picture.csv")


# The verb


def test_the_verb_prints_one_object(tmp_path: Path) -> None:
    trials = measure()
    lines = ["n_train,repeat,score"]
    lines += [f"{n:g},{r},{s:.6f}" for n, r, s in zip(trials.n_train, trials.repeat, trials.score, strict=True)]
    path = write(tmp_path / "curves.csv", lines)
    result = CliRunner().invoke(app, ["forecast", str(path), "--at", "1796,804", "--target", ".85", "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert [point["n_train"] for point in found["forecast"]] == [804, 1796]
    assert found["forecast"][0]["low"] < float(course(804)) < found["forecast"][0]["high"]
    said = CliRunner().invoke(app, ["forecast", str(path), "--target", ".85"]).stdout
    assert "expected score" in said
    assert "A score of 0.85 needs" in said


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--at", "804,x"], "'x'"),
        (["--at", ""], "A forecast at 0"),
        (["--at", "0"], "A forecast at 0"),
        (["--target", "2"], "target of 2"),
    ],
)
def test_wrong_options_exit_with_2(tmp_path: Path, options: list[str], found: str) -> None:
    path = write(tmp_path / "c.csv", GOOD)
    result = CliRunner().invoke(app, ["forecast", str(path), *options])
    assert result.exit_code == 2
    assert found in result.stderr
