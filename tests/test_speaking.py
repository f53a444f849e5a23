"""What is said of a network's layers: every sentence as it reads, its rule, and what it must not claim."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medladder.inspection.growth import weigh_slope
from medladder.inspection.speaking import speak, speak_structure, speak_taper
from medladder.language import Message

MARGIN = 0.02


def interval(estimate: float, half: float) -> dict[str, float]:
    return {"estimate": estimate, "low": estimate - half, "high": estimate + half}


def slope(
    measure: str, verdict: str, own: dict[str, float] | None, learned: float = 0.03, n: int = 10
) -> dict[str, Any]:
    known = {"rises": interval(learned, 0.01), "falls": interval(-learned, 0.01), "not shown": interval(0, 0.01)}
    return {"measure": measure, "networks": n, "own": own, "learned": known.get(verdict), "verdict": verdict}


UP, DOWN = interval(0.02, 0.005), interval(-0.02, 0.005)
OPEN, OPEN_BELOW = interval(0.002, 0.005), interval(-0.002, 0.005)
"""Slopes of the networks themselves; the last two may be none."""


def layer(
    name: str, *, area: float | None = 0.2, edges: float | None = 0.3, told: float | None = 0.5
) -> dict[str, Any]:
    """Facts of a layer, as far as they are spoken of."""

    def spread(value: float | None) -> dict[str, float] | None:
        return None if value is None else {"median": value, "low": value, "high": value}

    return {
        "name": name,
        "units": 5,
        "regions": {"area": spread(area), "like_noise": 0},
        "features": {"edge_likeness": spread(edges), "selectivity": spread(told)},
        "probe": {"auroc": interval(0.912, 0.02)},
    }


THREE = [
    layer("hidden1", area=0.412, edges=0.5, told=0.2),
    layer("hidden2", area=0.0951, edges=0.4, told=0.4),
    layer("output", area=0.031, edges=0.1, told=0.9),
]


def told(
    layers: list[dict[str, Any]] = THREE,
    *,
    area: dict[str, Any] | None = None,
    edges: dict[str, Any] | None = None,
    classes: dict[str, Any] | None = None,
    separable: Any = "unasked",
    extractor: dict[str, Any] | None = None,
) -> dict[str, dict[str, str]]:
    """What is said of a network, by what it is about."""
    few = slope("", "too few networks", None, n=3)
    slopes = [{**(one or few), "measure": name} for name, one in (("area", area), ("edge_likeness", edges))]
    found = {
        "layers": layers,
        "slopes": [*slopes, {**(classes or few), "measure": "selectivity"}],
        "input": {"auroc": interval(0.85, 0.02)},
        "separable": None if separable == "unasked" else {"from": separable, "margin": MARGIN},
        "extractor": extractor,
    }
    said = speak(found, MARGIN)
    assert len({one["about"] for one in said}) == len(said)
    return {one["about"]: one for one in said}


def reads_well(sentence: dict[str, str]) -> None:
    """As English does, with nothing left of the machine that wrote it."""
    text = sentence["text"]
    assert sorted(sentence) == ["about", "rule", "said", "text"]
    for key in ("text", "rule"):
        assert Message.from_json(json.loads(json.dumps(sentence["said"][key]))) == sentence[key]
    assert text[0] in "“" or text[0].isupper() or text[0].isdigit()
    assert text.endswith(".")
    assert not re.search(r"\s\s|\s[.,;:]|\.\.|[{}_]|\b(None|nan|inf|True|False)\b|, \(", text)
    assert text.count("(") == text.count(")")
    assert not re.search(r"\d\.\d{4}", text), "more digits than mean anything"
    assert len(sentence["rule"]) > 20
    assert sentence["rule"][0].islower()
    assert not sentence["rule"].endswith(".")
    assert not re.search(r"[{}_]|None|nan", sentence["rule"])


# regions

LISTED = "41 % of the image in hidden1, 10 % in hidden2 and 3.1 % in the output"
SIZES = f"Half of what a typical unit looks at lies on {LISTED}."


@pytest.mark.parametrize(
    ("verdict", "own", "text"),
    [
        (
            "rises",
            UP,
            "Regions grow with depth here, as textbooks draw it, and learning makes them: +3.0 (+2.0 to +4.0)",
        ),
        (
            "rises",
            DOWN,
            "Regions do not grow with depth here, though learning draws them that way: +3.0 (+2.0 to +4.0)",
        ),
        (
            "rises",
            OPEN,
            "Regions are not shown to grow with depth here, though learning draws them that way: +3.0 (+2.0 to +4.0)",
        ),
        (
            "falls",
            UP,
            "Regions grow with depth here by the architecture alone; learning makes the later ones smaller: "
            "-3.0 (-4.0 to -2.0)",
        ),
        (
            "falls",
            DOWN,
            "Regions do not grow with depth here, against the textbook picture; learning makes the later ones smaller: "
            "-3.0 (-4.0 to -2.0)",
        ),
        (
            "falls",
            OPEN,
            "Regions are not shown to grow with depth here, against the textbook picture; learning makes the later "
            "ones smaller: -3.0 (-4.0 to -2.0)",
        ),
        (
            "not shown",
            UP,
            "Regions grow with depth here; that learning has a part in it is not shown: +0.0 (-1.0 to +1.0)",
        ),
        (
            "not shown",
            DOWN,
            "Regions do not grow with depth here; that learning has a part in it is not shown: +0.0 (-1.0 to +1.0)",
        ),
        (
            "not shown",
            OPEN,
            "Regions are not shown to grow with depth here; that learning has a part in it is not shown: "
            "+0.0 (-1.0 to +1.0)",
        ),
    ],
)
def test_whether_regions_grow(verdict: str, own: dict[str, float], text: str) -> None:
    said = told(area=slope("area", verdict, own))["regions"]
    reads_well(said)
    assert said["text"] == f"{text} % of the image a layer beside random starts, 10 networks. {SIZES}"
    if own is OPEN:
        assert told(area=slope("area", verdict, OPEN_BELOW))["regions"] == said
    assert "own random start" in said["rule"]
    assert "10 or more" in said["rule"]


@pytest.mark.parametrize(
    ("n", "after"),
    [
        (9, " Whether regions grow with depth is not claimed from 9 networks."),
        (1, " Whether regions grow with depth is not claimed from 1 network."),
        (0, ""),
    ],
)
def test_from_few_networks_sizes_alone_are_told(n: int, after: str) -> None:
    """From none, as on another cohort, there is no question of it."""
    few = slope("area", "too few networks", UP if n > 1 else None, n=n)
    said = told(area=few)["regions"]
    reads_well(said)
    assert said["text"] == SIZES + after


def test_layers_in_which_no_unit_sees_are_passed_over() -> None:
    dead = [layer("hidden1", area=None), layer("output", area=0.25)]
    said = told(dead)["regions"]
    assert said["text"].startswith("Half of what a typical unit looks at lies on 25 % of the image in the output.")
    reads_well(said)
    none = told([layer("hidden1", area=None), layer("output", area=None)])["regions"]
    assert none["text"].startswith("No unit looks anywhere.")
    reads_well(none)


@pytest.mark.parametrize(
    ("share", "text"), [(0.0012, "0.1 %"), (0.0949, "9.5 %"), (0.0951, "10 %"), (0.5, "50 %"), (0.126, "13 %")]
)
def test_shares_have_two_digits(share: float, text: str) -> None:
    said = told([layer("hidden1", area=share), layer("output", area=None)])["regions"]["text"]
    assert f"lies on {text} of the image in hidden1." in said


# a network of one layer


@pytest.mark.parametrize(
    ("units", "like_noise", "area", "text"),
    [
        (1, 0, 0.123, "One neuron weighs the whole image at once: half of what counts lies on 12 % of the image."),
        (
            3,
            2,
            0.05,
            "3 neurons, one a class, weigh the whole image at once: half of what counts lies on 5.0 % of the image.",
        ),
        (
            1,
            1,
            0.3,
            "One neuron weighs the whole image at once: no region stands out from what random weights would give.",
        ),
        (
            1,
            0,
            None,
            "One neuron weighs the whole image at once: no region stands out from what random weights would give.",
        ),
    ],
)
def test_one_layer_has_no_depth_to_speak_of(units: int, like_noise: int, area: float | None, text: str) -> None:
    lone = layer("output", area=area)
    lone["units"], lone["regions"]["like_noise"] = units, like_noise
    [said] = speak({"layers": [lone], "slopes": [], "separable": None, "extractor": None}, MARGIN)
    assert said["about"] == "regions"
    assert said["text"] == text
    reads_well(said)


# features

SPANS = "Medians from first to last layer: edge-likeness 0.50 to 0.10, class selectivity 0.20 to 0.90."
BETTER, NO_BETTER = (
    "later units tell the classes apart better",
    "later units are not shown to tell the classes apart better",
)
OBJECTS = [
    (verdict, own, verdict == "rises" and own is UP)
    for verdict in ("rises", "falls", "not shown")
    for own in (UP, DOWN, OPEN)
]


@pytest.mark.parametrize(("classes", "class_own", "does_tell"), OBJECTS)
@pytest.mark.parametrize(
    ("edges", "own", "fading", "holds"),
    [
        ("falls", DOWN, "edges fade with depth, and learning makes them", True),
        ("not shown", DOWN, "edges fade with depth, but that learning has a part in it is not shown", False),
        (
            "rises",
            DOWN,
            "edges fade with depth, but by the architecture alone, for at random weights they fade more",
            False,
        ),
        *(
            (verdict, own, f"{who} the more edge-like ones", False)
            for verdict in ("rises", "falls", "not shown")
            for own, who in (
                (UP, "later units are"),
                (OPEN, "early units are not shown to be"),
                (OPEN_BELOW, "early units are not shown to be"),
            )
        ),
    ],
)
def test_whether_edges_turn_into_objects(
    edges: str, own: Any, fading: str, holds: bool, classes: str, class_own: Any, does_tell: bool
) -> None:
    """Both halves must be shown, in the networks themselves and by learning, for the whole to hold."""
    claim = {
        (True, True): "holds here",
        (True, False): "holds in part",
        (False, True): "holds in part",
        (False, False): "is not shown to hold here",
    }[holds, does_tell]
    said = told(edges=slope("edge_likeness", edges, own), classes=slope("selectivity", classes, class_own))["features"]
    reads_well(said)
    telling = BETTER if does_tell else NO_BETTER
    assert said["text"] == f"“From edges to objects” {claim}: {fading}; {telling}. {SPANS}"
    assert "Gabor" in said["rule"]


@pytest.mark.parametrize(("n_edges", "n_classes"), [(9, 9), (10, 7), (7, 10)])
def test_from_few_networks_nothing_is_claimed_of_edges(n_edges: int, n_classes: int) -> None:
    """Though the other measure may have networks enough."""
    slopes = [
        slope(name, "falls" if n == 10 else "too few networks", DOWN, n=n)
        for name, n in (("edge_likeness", n_edges), ("selectivity", n_classes))
    ]
    said = told(edges=slopes[0], classes=slopes[1])["features"]
    reads_well(said)
    n = min(n_edges, n_classes)
    assert said["text"] == f"{SPANS} Whether edges turn into objects is not claimed from {n} networks."


def test_measures_that_no_layer_has_are_unknown() -> None:
    blind = [layer("hidden1", edges=None, told=0.2), layer("output", edges=None, told=None)]
    said = told(blind)["features"]
    reads_well(said)
    assert said["text"].startswith(
        "Medians from first to last layer: edge-likeness unknown, class selectivity 0.20 to 0.20."
    )


def test_the_slopes_that_are_weighed_are_those_that_are_spoken_of() -> None:
    """From the numbers of ten networks to the sentence: regions that grow by learning, edges that do not fade."""

    def layers(rise: float, at: int) -> list[dict[str, float]]:
        return [
            {"area": 0.1 + (rise + 1e-3 * at) * depth, "edge_likeness": 0.3, "selectivity": 0.5} for depth in range(3)
        ]

    networks = [{"trained": layers(0.1, at), "start": layers(0.05, -at)} for at in range(10)]
    area, edges, classes = (weigh_slope(name, networks).to_json() for name in ("area", "edge_likeness", "selectivity"))
    said = told(area=area, edges=edges, classes=classes)
    assert said["regions"]["text"].startswith("Regions grow with depth here, as textbooks draw it, and learning makes")
    assert said["features"]["text"].startswith("“From edges to objects” is not shown to hold here")


# probes and extractor


@pytest.mark.parametrize(
    ("start", "claim"),
    [
        ("input", "On the pixels the classes are already as linearly separable as at the output, within 0.02"),
        ("hidden2", "From hidden2 on the classes are as linearly separable as at the output, within 0.02"),
        ("output", "In no layer before the output are the classes shown to be as linearly separable, within 0.02"),
        (None, "The output is not shown to tell the classes apart, so no layer is compared with it"),
    ],
)
def test_from_where_on_classes_are_apart(start: str | None, claim: str) -> None:
    said = told(separable=start)["probe"]
    reads_well(said)
    assert said["text"] == f"{claim}: a linear probe scores 0.850 on the pixels and 0.912 at the output."
    assert "above −0.02" in said["rule"]


def test_what_was_not_asked_is_not_spoken_of() -> None:
    assert sorted(told()) == ["features", "regions"]
    everything = told(separable="input", extractor=extractor_with(("svm", interval(0, 0.001))))
    assert sorted(everything) == ["extractor", "features", "probe", "regions"]


def extractor_with(*others: tuple[str, dict[str, float]]) -> dict[str, Any]:
    return {
        "layer": "hidden2",
        "end_to_end": interval(0.931, 0.01),
        "classifiers": [{"classifier": name, "against_end_to_end": change} for name, change in others],
    }


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (interval(0.04, 0.01), "svm does better (+0.040, +0.030 to +0.050)"),
        (interval(-0.04, 0.01), "svm does worse (-0.040, -0.050 to -0.030)"),
        (interval(-0.01, 0.005), "svm does as well, within 0.02 (-0.010, -0.015 to -0.005)"),
        (interval(0.01, 0.05), "svm is not shown to differ (+0.010, -0.040 to +0.060)"),
    ],
)
def test_the_front_under_another_classifier(change: dict[str, float], text: str) -> None:
    before = "With its front, up to hidden2, under another classifier instead of end to end (AUROC 0.931): "
    one = told(extractor=extractor_with(("svm", change)))["extractor"]
    reads_well(one)
    assert one["text"] == f"{before}{text}."
    two = told(extractor=extractor_with(("svm", change), ("forest", interval(-0.05, 0.01))))["extractor"]
    reads_well(two)
    assert two["text"] == f"{before}{text} and forest does worse (-0.050, -0.060 to -0.040)."


# structure

LOSES, SLIPS, SAME, GAINS, UNSETTLED = (
    interval(-0.05, 0.01),
    interval(-0.01, 0.005),
    interval(-0.001, 0.01),
    interval(0.05, 0.01),
    interval(-0.03, 0.05),
)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ([LOSES], "With the pixels shuffled a (-0.050) does worse: it uses what lies beside what."),
        (
            [LOSES, LOSES],
            "With the pixels shuffled a (-0.050) and b (-0.050) do worse: they use what lies beside what.",
        ),
        (
            [SLIPS],
            "With the pixels shuffled a (-0.010) does worse: it uses what lies beside what, though by less than 0.02.",
        ),
        (
            [SLIPS, LOSES],
            "With the pixels shuffled a (-0.010) and b (-0.050) do worse: they use what lies beside what.",
        ),
        ([SAME], "a loses nothing that matters when the pixels change places."),
        ([SAME, GAINS, SAME], "a, b and c lose nothing that matters when the pixels change places."),
        ([UNSETTLED], "Whether any rung uses what lies beside what is not settled by so few patients."),
        (
            [UNSETTLED, LOSES, SAME, UNSETTLED],
            "With the pixels shuffled b (-0.050) does worse: it uses what lies beside what. "
            "c loses nothing that matters when the pixels change places. For a and d it is not settled.",
        ),
    ],
)
def test_what_shuffled_pixels_cost(changes: list[dict[str, float]], text: str) -> None:
    [said] = speak_structure(
        [{"rung": name, "change": one} for name, one in zip("abcd", changes, strict=False)], MARGIN
    )
    assert said["about"] == "structure"
    assert said["text"] == text
    assert said["rule"] == "paired 95 % interval of the out-of-part AUROC below 0, or above −0.02; one fit of each"


# taper


@pytest.mark.parametrize(
    ("difference", "text"),
    [
        (interval(0.05, 0.01), "Layers that narrow do better here than layers of one width: +0.050, +0.040 to +0.060"),
        (interval(-0.05, 0.01), "Layers that narrow do worse here than layers of one width: -0.050, -0.060 to -0.040"),
        (
            interval(0.01, 0.005),
            "Whether layers narrow makes no difference that matters here: +0.010, +0.005 to +0.015",
        ),
        (interval(0.0, 0.05), "Whether layers should narrow is not settled here: +0.000, -0.050 to +0.050"),
    ],
)
def test_whether_layers_should_narrow(difference: dict[str, float], text: str) -> None:
    [said] = speak_taper({"difference": difference, "parameters": 218465, "against_parameters": 217295}, MARGIN)
    reads_well(said)
    assert said["about"] == "taper"
    assert said["text"] == f"{text} AUROC at 218,465 and 217,295 parameters a network."
    assert "±0.02" in said["rule"]


# laws of what an interval may be said to show

ENDS = st.floats(-0.2, 0.2)


@given(st.tuples(ENDS, ENDS).map(sorted), st.sampled_from([0.005, 0.02, 0.05]))
def test_a_difference_is_claimed_only_where_its_interval_is_on_one_side(ends: list[float], margin: float) -> None:
    low, high = ends
    change = {"estimate": (low + high) / 2, "low": low, "high": high}
    [taper] = speak_taper({"difference": change, "parameters": 1, "against_parameters": 1}, margin)
    words = [
        word for word in ("do better", "do worse", "no difference that matters", "not settled") if word in taper["text"]
    ]
    assert len(words) == 1
    is_within = -margin < low and high < margin
    assert ("no difference" in words[0]) == is_within
    assert (words[0] == "do better") == (low > 0 and not is_within)
    assert (words[0] == "do worse") == (high < 0 and not is_within)
    [structure] = speak_structure([{"rung": "cnn", "change": change}], margin)
    assert ("does worse" in structure["text"]) == (high < 0)
    assert ("loses nothing" in structure["text"]) == (high >= 0 and low > -margin)
    assert ("not settled" in structure["text"]) == (high >= 0 and low <= -margin)


def test_the_verdict_of_slopes_decides_what_is_said_of_learning() -> None:
    """No sentence gives learning a part that its verdict does not show, whatever the slope itself is."""
    for verdict, own in itertools.product(("not shown", "too few networks"), (UP, DOWN, OPEN)):
        few = verdict == "too few networks"
        one = {**slope("", verdict, own, n=9 if few else 10)}
        for said in told(area=one, edges=one, classes=one).values():
            assert not re.search(r"learning (makes|draws)|holds here|units tell the classes", said["text"])
