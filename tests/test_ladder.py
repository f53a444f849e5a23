"""The ladder: its order, how a rung is written and built, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest
from sklearn.base import ClassifierMixin

from medladder import rungs
from medladder.errors import OptionError


def test_the_ladder_runs_from_low_to_high() -> None:
    assert [rung.name for rung in rungs.LADDER] == [
        "prior",
        "logistic",
        "svm",
        "forest",
        "boosting",
        "nn",
        "dnn",
        "cnn",
        "pretrained",
    ]
    assert [rung.family for rung in rungs.LADDER] == ["floor", *["conventional"] * 4, *["deep"] * 3, "transfer"]


@pytest.mark.parametrize("rung", rungs.LADDER, ids=lambda rung: rung.name)
def test_every_rung_is_built_by_name(rung: rungs.Rung) -> None:
    spec = rungs.parse_rung(rung.name)
    assert (spec.rung, spec.kind, spec.family, spec.settings) == (rung.name, rung.name, rung.family, {})
    built = rungs.build(spec)
    assert isinstance(built, ClassifierMixin)
    assert type(built).__name__ == rung.target.partition(":")[2]
    assert "random_state" in built.get_params()


def test_importing_and_naming_rungs_loads_no_engine() -> None:
    code = (
        "import sys, medladder.rungs as r; "
        "[r.parse_rung(n) for n in ('prior', 'logistic', 'svm', 'forest', 'boosting', 'nn', 'dnn')]; "
        "print(sorted({'torch', 'sklearn', 'skimage', 'scipy'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_building_a_conventional_rung_loads_no_torch() -> None:
    code = "import sys, medladder.rungs as r; r.build(r.parse_rung('svm:cost=3')); print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"


def test_settings_are_typed_and_written_one_way() -> None:
    spec = rungs.parse_rung(" dnn: activation=relu, taper=0.50 ,depth=4,width=512 ")
    assert spec.rung == "dnn:depth=4,width=512,taper=0.5,activation=relu"
    assert spec.settings == {"depth": 4, "width": 512, "taper": 0.5, "activation": "relu"}
    assert type(spec.settings["depth"]) is int
    assert rungs.parse_rung(spec.rung) == spec
    assert rungs.build(spec).get_params()["width"] == 512


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("dnn:widths=256-64-16,members=1", {"widths": (256, 64, 16), "members": 1}),
        ("dnn:width=equal,taper=1", {"width": "equal", "taper": 1.0}),
        ("logistic:penalty=2", {"penalty": 2.0}),
        ("svm:cost=3,gamma=1e-05", {"cost": 3.0, "gamma": 1e-5}),
        ("forest:trees=40,depth=6", {"trees": 40, "depth": 6}),
        ("boosting:learning_rate=0.05,rounds=80", {"learning_rate": 0.05, "rounds": 80}),
        ("nn:width=32,class_weight=balanced", {"width": 32, "class_weight": "balanced"}),
    ],
)
def test_settings_of_each_type(text: str, settings: dict[str, object]) -> None:
    spec = rungs.parse_rung(text)
    assert spec.rung == text
    assert spec.settings == settings


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "ddn",
            "Unknown rung 'ddn'. Known: prior, logistic, svm, forest, boosting, nn, dnn, cnn, pretrained. "
            "Did you mean 'dnn'?",
        ),
        ("woods", "Unknown rung 'woods'"),
        ("forest:trees=0", "trees is above 0"),
        ("boosting:learning_rate=-1", "learning_rate is above 0"),
        ("", "Unknown rung ''"),
        ("dnn:detph=3", "Did you mean 'depth'?"),
        ("nn:depth=3", "Unknown setting of nn 'depth'"),
        ("dnn:random_state=3", "Unknown setting of dnn 'random_state'"),
        ("prior:width=3", "prior takes no settings"),
        ("dnn:depth=deep", "depth is a whole number"),
        ("dnn:depth=2.5", "depth is a whole number"),
        ("dnn:taper=nan", "taper is a number"),
        ("dnn:width=wide", "width is a whole number, or 'equal'"),
        ("dnn:widths=8-4,width=equal", "width has no effect"),
        ("nn:width=equal", "width is a whole number"),
        ("svm:cost=inf", "cost is a number"),
        ("dnn:taper=1.5", "taper=1.5"),
        ("dnn:depth=0", "depth=0"),
        ("dnn:widths=64-x", "Layer widths '64-x'"),
        ("svm:cost=-1", "cost is above 0"),
        ("dnn:", "A name and a value"),
        ("dnn:depth", "A name and a value"),
        ("dnn:depth=2,depth=3", "sets depth twice"),
        ("dnn:widths=8-4,depth=2", "depth has no effect"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, said: str) -> None:
    with pytest.raises(OptionError) as refusal:
        rungs.parse_rung(text)
    assert said in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "shape", "n_classes", "expected"),
    [
        ("prior", (28, 28), 2, None),
        ("svm", (28, 28), 2, None),
        ("logistic", (28, 28), 2, [784, 1]),
        ("logistic", (8, 8, 3), 4, [192, 4]),
        ("nn:width=32", (28, 28), 2, [784, 32, 1]),
        ("dnn:depth=3,width=256,taper=0.25", (64, 64), 3, [4096, 256, 64, 16, 3]),
        ("dnn:depth=3,width=8,taper=0.1", (5, 5), 2, [25, 8, 2, 2, 1]),
        ("dnn:widths=30-20", (4, 4, 4, 1), 2, [64, 30, 20, 1]),
        ("dnn:width=equal,taper=1", (28, 28), 2, [784, 187, 187, 187, 1]),
        ("cnn", (28, 28), 2, None),
    ],
)
def test_layers_are_counted_from_input_to_output(
    text: str, shape: tuple[int, ...], n_classes: int, expected: list[int] | None
) -> None:
    assert rungs.layers(rungs.parse_rung(text), shape, n_classes) == expected


@pytest.mark.parametrize(
    ("text", "members", "convolution"),
    [
        ("svm", None, None),
        ("logistic", 1, None),
        ("dnn:members=3", 3, None),
        ("cnn:members=2,width=32", 2, {"width": 32, "depth": None}),
    ],
)
def test_what_a_plan_tells_of_networks(text: str, members: int | None, convolution: dict[str, int] | None) -> None:
    spec = rungs.parse_rung(text)
    assert rungs.members(spec) == members
    assert rungs.convolution_settings(spec) == convolution
