"""«What each layer learned» on the page: an inspection's own numbers, and nothing drawn where nothing was found."""

from __future__ import annotations

import base64
import html
import json
import math
import re
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import image as raster

from medladder.architecture import convolution_layers, dense_layers
from medladder.errors import StudyError
from medladder.record.folder import StudyFolder
from medladder.report import tiles
from medladder.report.layer_tables import lay_out, say_absent
from medladder.report.page import render, write_report
from medladder.report.probes_figure import place_of, probes_of
from medladder.report.regions_figure import areas_of, choose_rows, draw_outlines, middle_line
from medladder.report.saying import list_parameters, say_curves, say_network, say_parameters
from medladder.report.sketches import draw_marked, draw_parted
from medladder.report.tables import list_rungs
from report_studies import write_study
from test_report import DEEP, NASTY, Page
from test_report_browser import FIND_CLASHES, browser  # noqa: F401 - a fixture

RUNGS = ("prior", "logistic", "svm", "nn", "dnn", "cnn")
TWELVE = "dnn:depth=12,width=512,activation=gelu,taper=0.7"


def spread(median: float) -> dict[str, float]:
    return {"median": median, "low": 0.9 * median, "high": 1.1 * median}


def metric(estimate: float, half: float = 0.01) -> dict[str, float]:
    return {"estimate": estimate, "low": estimate - half, "high": estimate + half}


def square(row: float, column: float, side: float = 3) -> list[list[float]]:
    return [[row, column], [row, column + side], [row + side, column + side], [row + side, column], [row, column]]


def draw_layer(
    rung: str,
    name: str,
    units: int,
    depth: float,
    classes: Sequence[str],
    slice_: int | None,
    shown: int,
    examples: int,
) -> dict[str, Any]:
    area, kinds = 0.3 - 0.2 * depth, ("area", "pieces", "overlap")
    alive = list(range(min(units, 8)))
    slug = "".join(letter if letter.isalnum() or letter in ".-" else "_" for letter in rung)
    return {
        "name": name, "units": units, "dead": 1 if units > 8 else 0,
        "regions": {
            "area": spread(area), "pieces": spread(8), "overlap": spread(0.2) if units > 1 else None,
            "random": {kind: spread(value) for kind, value in zip(kinds, (0.32, 20, 0.2), strict=True)},
            "like_noise": 0 if shown else units, "by_unit": {},
            "shown": [
                {"unit": unit, "area": area, "pieces": 2, "slice": slice_,
                 "on": None if slice_ is None else f"on-{slug}-{name}-{unit}.png",
                 "outlines": [square(4 + unit, 5), square(14, 6 + unit, 4)]}
                for unit in alive[:shown]
            ],
        },
        "features": {
            **{kind: spread(value) for kind, value in (("edge_likeness", 0.3), ("frequency", 6), ("selectivity", 0.5))},
            "random": {kind: spread(0.1) for kind in ("edge_likeness", "frequency", "selectivity")},
            "by_unit": {"favours": [classes[unit % len(classes)] for unit in range(units)]},
            "shown": [
                {"unit": unit, "importance": 1 - 0.1 * unit, "favours": classes[unit % len(classes)],
                 "agreement": 0.9 if unit % 2 == 0 else 0.1, "reached": 5.0, "reached_by_images": 2.0,
                 "tile": f"unit-{slug}-{name}-{unit}.png",
                 "examples": [f"excites-{slug}-{name}-{unit}-{rank}.png" for rank in range(examples)]}
                for unit in alive
            ],
        },
        "probe": {"auroc": metric(0.9 + 0.08 * depth), "random": metric(0.85), "against_output": metric(-0.01)},
    }  # fmt: skip


def draw_inspection(
    folder: StudyFolder, *, shown: int = 3, examples: int = 3, measured: int = 3, side: int = 12
) -> dict[str, Any]:
    """An inspection of every network of a study, its pictures beside it."""
    plan, cohort = folder.read_plan(), folder.read_cohort()
    shape, classes = cohort.image["shape"], list(cohort.classes)
    slice_ = shape[0] // 2 if len(shape) == 4 else None
    networks = []
    for planned in plan.rungs:
        if planned.convolution is not None:
            planned_layers: Any = convolution_layers(shape, n_classes=len(classes), **planned.convolution)
            units = [layer.channels for layer in planned_layers[1:]]
        elif planned.layers:
            units = planned.layers[1:]
        else:
            continue
        kind = "convolution" if planned.convolution is not None else "hidden"
        names = [*(f"{kind}{i}" for i in range(1, len(units))), "output"]
        layers = [
            draw_layer(planned.rung, name, n, i / len(units), classes, slice_, shown, examples)
            for i, (name, n) in enumerate(zip(names, units, strict=True))
        ]
        areas = [layer["regions"]["area"]["median"] for layer in layers]
        is_deep = len(units) > 1
        networks.append(
            {
                "rung": planned.rung, "kind": planned.kind, "members": planned.members, "images": 64,
                "image_shape": shape, "classes": classes, "layers": layers, "slopes": [],
                "input": {"auroc": metric(0.9), "random": None, "against_output": metric(-0.05)} if is_deep else None,
                "networks": [
                    {"trained": {"area": [a * (1 + 0.02 * i) for a in areas]}, "start": {"area": [0.32] * len(areas)}}
                    for i in range(measured if is_deep else 0)
                ],
                "separable": {"from": names[0], "margin": 0.02, "images": 400, "patients": 300} if is_deep else None,
                "probe_note": None if is_deep else "The network learned from every patient.",
                "extractor": {
                    "layer": names[-2], "end_to_end": metric(0.97),
                    "classifiers": [
                        {"classifier": name, "auroc": metric(0.96), "against_end_to_end": metric(-0.01, 0.005)}
                        for name in ("svm", "forest")
                    ],
                } if is_deep else None,
                "sentences": [
                    {"about": about, "text": f"{about} of {planned.rung}: -1.5 % of it.", "rule": f"rule of {about}"}
                    for about in (("regions", "features", "probe", "extractor") if is_deep else ("regions",))
                ],
            }
        )  # fmt: skip
    _draw_pictures(folder.pictures, networks, side)
    inspection = {
        "protocol": 1, "n_train": plan.sizes[-1], "key": "k", "networks": networks,
        "structure": {
            "n_train": plan.sizes[-1],
            "rungs": [
                {"rung": "svm", "auroc": metric(0.95), "shuffled": metric(0.9), "change": metric(-0.05, 0.02)},
                {"rung": "dnn", "auroc": metric(0.95), "shuffled": metric(0.95), "change": metric(0.0, 0.005)},
            ],
            "sentences": [{"about": "structure", "text": "svm does worse.", "rule": "rule of structure"}],
        },
        "taper": {
            "rung": "dnn", "against": "dnn:taper=1,width=equal", "layers": [784, 256, 64, 16, 1],
            "against_layers": [784, 187, 187, 187, 1], "parameters": 218465, "against_parameters": 217295,
            "auroc": metric(0.95), "against_auroc": metric(0.94), "difference": metric(0.01),
            "sentences": [{"about": "taper", "text": "No difference that matters.", "rule": "rule of taper"}],
        },
    }  # fmt: skip
    folder.write_json("inspection.json", inspection)
    return inspection


def _draw_pictures(pictures: Path, networks: Sequence[dict[str, Any]], side: int) -> None:
    """The same speckle for every unit."""
    speckle = BytesIO()
    raster.imsave(speckle, np.random.default_rng(0).random((side, side)), cmap="gray", format="png")
    pictures.mkdir(exist_ok=True)
    for unit in (unit for one in networks for layer in one["layers"] for unit in layer["features"]["shown"]):
        for name in (unit["tile"], *unit["examples"]):
            (pictures / name).write_bytes(speckle.getvalue())
    for unit in (unit for one in networks for layer in one["layers"] for unit in layer["regions"]["shown"]):
        if unit["on"]:
            (pictures / unit["on"]).write_bytes(speckle.getvalue())


def said(text: str) -> str:
    """What is to be read on a page, its tags and entities resolved."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).replace("\N{NO-BREAK SPACE}", " ").split())


STUDIES: dict[str, dict[str, Any]] = {
    "plain": {"rungs": RUNGS},
    "deep": {"rungs": ("dnn", TWELVE, "cnn:width=64,depth=7"), "hidden": DEEP, "shape": (128, 128)},
    "colour, twelve classes": {
        "rungs": RUNGS, "shape": (64, 64, 3),
        "classes": (NASTY, *(f"adenocarcinoma_of_type_{i}_in_situ" for i in range(11))),
    },
    "volumes": {"rungs": RUNGS, "shape": (16, 32, 32, 1)},
    "no pictures": {"rungs": RUNGS, "pictures": 0},
}  # fmt: skip


@pytest.fixture(scope="module", params=STUDIES)
def inspected(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    folder = write_study(tmp_path_factory.mktemp("study") / "chest", **STUDIES[request.param])
    draw_inspection(folder)
    if request.param == "no pictures":
        for path in folder.pictures.glob("*.png"):
            path.unlink()
    return folder


def test_a_page_with_layers_stands_alone(inspected: StudyFolder) -> None:
    path = write_report(inspected)
    text = path.read_text("utf-8")
    page = Page(text)
    assert path.stat().st_size < 3_000_000
    assert "<script>alert" not in text
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert {value[1:] for value in page.values("href") if value.startswith("#")} <= set(ids)
    for reference in page.values("src", "href"):
        assert re.match(r"#|data:|https://(doi|arxiv|jmlr)\.org/", reference), reference
    assert all(attrs.get("alt") for tag, attrs in page.tags if tag == "img")
    assert all(attrs.get("aria-label") for tag, attrs in page.tags if tag == "svg" and attrs.get("class") == "drawing")
    assert write_report(inspected).read_text("utf-8") == text


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (360, 740)])
def test_layers_fit_the_screen(browser: Any, inspected: StudyFolder, width: int, height: int) -> None:  # noqa: F811
    path = inspected.report if inspected.report.exists() else write_report(inspected)
    page = browser.new_page(viewport={"width": width, "height": height})
    page.goto(path.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(FIND_CLASHES) == []
    assert page.locator("#layers").is_visible()
    page.close()


@pytest.fixture
def plain(tmp_path: Path) -> tuple[StudyFolder, dict[str, Any]]:
    folder = write_study(tmp_path / "chest", rungs=RUNGS)
    return folder, draw_inspection(folder)


def test_a_study_that_was_not_looked_into_says_what_to_do(tmp_path: Path) -> None:
    text = render(write_study(tmp_path / "older", rungs=("svm", "dnn")))
    assert "were not looked into. Run the study again" in said(text)
    assert 'id="layers"' not in render(write_study(tmp_path / "none", rungs=("prior", "svm")))


def test_the_deepest_plain_network_is_open_and_the_others_are_folded(
    plain: tuple[StudyFolder, dict[str, Any]],
) -> None:
    text = render(plain[0])
    first, *folded = re.split(r'<details class="opened">', text)
    assert 'id="figure-regions-0"' in first
    assert "dnn : 3 hidden layers and the output" in said(first)
    for one, name in zip(folded, ("logistic : 1 neuron", "nn : 1 hidden layer", "cnn : 6 convolutions"), strict=True):
        assert said(one).startswith(name)


def test_every_sentence_stands_under_its_figure_with_its_rule(plain: tuple[StudyFolder, dict[str, Any]]) -> None:
    text = render(plain[0])
    for about, figure in (("regions", "regions"), ("features", "features"), ("probe", "probes")):
        caption = text[text.index(f'id="figure-{figure}-0"') :]
        sentence = f"{about} of dnn: −1.5 % of it."
        assert sentence in said(caption[: caption.index("</figure>")])
    for about in ("regions", "features", "probe", "extractor", "structure", "taper"):
        [number] = re.findall(rf'<li id="rule-(\d+)">rule of {about}</li>', text)
        assert f'href="#rule-{number}"' in text
    # Three sentences and no warning of the verdict; the layers' rules follow on.
    assert '<li id="rule-4">rule of regions</li>' in text


def test_numbers_of_the_layers_are_the_inspection_s(plain: tuple[StudyFolder, dict[str, Any]]) -> None:
    folder, inspection = plain
    layer = next(one for one in inspection["networks"] if one["rung"] == "dnn")["layers"][1]
    layer["regions"]["area"] = {"median": 0.0312, "low": 0.0211, "high": 0.0455}
    layer["regions"]["random"]["area"] = spread(0.333)
    layer["features"]["selectivity"] = {"median": 0.777, "low": 0.666, "high": 0.888}
    folder.write_json("inspection.json", inspection)
    rows = [said(row) for row in Page(render(folder)).rows]
    [regions] = [row for row in rows if "3.1 %" in row]
    assert regions.startswith("hidden2 128 nodes 1 dead 3.1 % 2.1–4.5 % random 33 %")
    assert any(row.startswith("hidden2") and row.endswith("0.78 0.67–0.89 random 0.10") for row in rows)
    assert any(row.startswith("svm 0.960 0.950–0.970") and row.endswith("−0.010 −0.015 to −0.005") for row in rows)
    assert any(row.startswith("svm 0.950 → 0.900") and row.endswith("−0.050 −0.070 to −0.030") for row in rows)
    assert any(row.startswith("dnn taper=1, width=equal 784 · 187") for row in rows)


def test_no_region_is_drawn_where_there_is_none(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "chest", rungs=("dnn",))
    draw_inspection(folder, shown=0)
    text = render(folder)
    assert 'id="outline-' not in text
    assert "None of its 256 nodes looks at a region that differs from noise" in said(text)
    assert "Its only node looks at no region that differs from noise" in said(text)


def test_why_no_region_is_drawn() -> None:
    def layer(units: int, dead: int, noise: int) -> dict[str, Any]:
        features: dict[str, Any] = {"shown": [{}] * min(8, units - dead)}
        return {"units": units, "dead": dead, "regions": {"like_noise": noise}, "features": features}

    assert say_absent(layer(4, 4, 4), "node").startswith("No image excites any of its 4 nodes")
    assert say_absent(layer(64, 1, 64), "node").startswith("None of its 64 nodes looks")
    assert say_absent(layer(128, 0, 126), "node") == (
        "126 of its 128 nodes look at no region that differs from noise, the 8 that matter most among them, so none is "
        "drawn."
    )


def test_whatever_may_be_absent_may_be(plain: tuple[StudyFolder, dict[str, Any]]) -> None:
    folder, inspection = plain
    for network in inspection["networks"]:
        network.update(separable=None, extractor=None, input=None, sentences=[], slopes=[], networks=[])
        network["probe_note"] = "Nobody was held out."
        for layer in network["layers"]:
            layer["probe"] = None
            for kind in ("area", "pieces", "overlap"):
                layer["regions"][kind] = layer["regions"]["random"][kind] = None
            for kind in ("edge_likeness", "frequency", "selectivity"):
                layer["features"][kind] = layer["features"]["random"][kind] = None
            layer["regions"]["shown"] = []
            for unit in layer["features"]["shown"]:
                unit.update(tile=None, examples=[], agreement=None)
    inspection.update(structure=None, taper=None)
    folder.write_json("inspection.json", inspection)
    text = said(render(folder))
    assert "Nobody was held out." in text
    assert "The study kept no pictures of units" in text
    assert "shuffled" not in text.split("What each layer learned")[1].split("How to read it")[0]
    inspection["networks"] = []
    folder.write_json("inspection.json", inspection)
    assert "What each layer learned" in said(render(folder))


def test_an_inspection_that_cannot_be_read_is_refused(plain: tuple[StudyFolder, dict[str, Any]]) -> None:
    folder, inspection = plain
    path = folder.path / "inspection.json"
    for content, found in (
        ("{", "damaged"), (json.dumps(inspection | {"protocol": 9}), "protocol 9"),
        (json.dumps({**inspection, "networks": [{}]}), "damaged"), (json.dumps({"protocol": 1}), "damaged"),
    ):  # fmt: skip
        path.write_text(content, "utf-8")
        with pytest.raises(StudyError, match=found):
            render(folder)


def test_outlines_stand_on_pixels_and_each_example_once(plain: tuple[StudyFolder, dict[str, Any]]) -> None:
    text = render(plain[0])
    unit = {"unit": 0, "outlines": [[[1.5, 2.0], [1.5, 4.0], [3.0, 4.0], [1.5, 2.0]]]}
    svg = draw_outlines(unit, (28, 30), None, name="n", label="l")
    # (row, column) becomes (x, y) = (column, row); the frame begins half a pixel before the first centre.
    assert 'viewBox="-0.5 -0.5 30 28"' in svg
    assert svg.count("M2 1.5L4 1.5L4 3L2 1.5Z") == 2
    stored = re.findall(r'<image id="(layers-example-\d-\d)"', text)
    assert len(stored) == len(set(stored)) <= 4
    assert text.count(f'href="#{stored[0]}"') > 1


def test_the_region_of_a_volume_is_outlined_on_its_slice_or_an_empty_frame(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "brain", rungs=("dnn",), shape=(16, 32, 32, 1))
    inspection = draw_inspection(folder, shown=2)
    first, second = inspection["networks"][0]["layers"][0]["regions"]["shown"]
    first["slice"], second["slice"], second["on"] = 8, 3, None
    folder.write_json("inspection.json", inspection)
    text = render(folder)
    middle, other = (text[text.index(f'id="outline-0-0-{i}"') :].split("</li>")[0] for i in (0, 1))
    assert "<use" in middle
    assert "slice 9" in said(middle)
    assert "<use" not in other
    assert "slice 4" in said(other)


def test_pictures_give_way_before_the_page_grows_too_large(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "chest", rungs=RUNGS, shape=(64, 64, 3))
    inspection = draw_inspection(folder)
    rng = np.random.default_rng(0)
    for path in [*folder.pictures.glob("unit-*"), *folder.pictures.glob("excites-*")]:
        raster.imsave(path, rng.random((64, 64, 3)), format="png")
    units, examples = tiles.choose_room(folder.pictures, inspection["networks"])
    assert (units, examples) in tiles.ROOMS[1:]
    assert units > 0
    assert write_report(folder).stat().st_size < 3_000_000


def test_only_pictures_of_an_inspection_are_opened(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    (tmp_path / "pictures").mkdir()
    names = ["../secret.png", "unit-/../../secret.png", "example-0-0.png", "unit-absent.png", None]
    assert tiles.embed(tmp_path / "pictures", names) == []
    assert tiles.embed_tiles(tmp_path / "pictures", names) == [None] * 5


def test_tiles_of_a_layer_are_cut_alike_to_where_units_look(tmp_path: Path) -> None:
    for i, (row, column) in enumerate(((4, 5), (6, 7))):
        plane = np.full((12, 12), 0.5)
        plane[row, column] = 1
        raster.imsave(tmp_path / f"unit-{i}.png", plane, cmap="gray", vmin=0, vmax=1, format="png")
    for text in tiles.embed_tiles(tmp_path, ["unit-0.png", "unit-1.png"]):
        assert text is not None
        pixels = raster.imread(BytesIO(base64.b64decode(text)), format="png")
        assert pixels.shape[:2] == (3, 3), "rows 4 to 6, columns 5 to 7"


def test_a_large_example_is_made_smaller_by_means(tmp_path: Path) -> None:
    plane = np.zeros((200, 120))
    plane[:100] = 1
    raster.imsave(tmp_path / "example-0-0.png", plane, cmap="gray", format="png")
    pixels = raster.imread(BytesIO(base64.b64decode(tiles.embed_small(tmp_path / "example-0-0.png"))), format="png")
    assert pixels.shape[:2] == (66, 40)
    np.testing.assert_allclose(pixels[:33, :, 0], 1, atol=0.01)
    np.testing.assert_allclose(pixels[34:, :, 0], 0, atol=0.01)


def test_areas_are_percents_and_break_where_none_is_known() -> None:
    one = {"trained": {"area": [0.1, None]}, "start": {"area": [0.3, 0.2]}}
    two = {"trained": {"area": [0.2, None]}, "start": {"area": [0.5, 0.2]}}
    trained, starts = areas_of({"networks": [one, two], "layers": []})
    assert middle_line(starts) == [40, 20]
    middle = middle_line(trained)
    assert middle[0] == pytest.approx(15)
    assert math.isnan(middle[1])


def test_probes_begin_at_the_pixels_for_both_curves() -> None:
    layers = [
        {"name": "hidden1", "probe": {"auroc": metric(0.9), "random": metric(0.8)}},
        {"name": "output", "probe": None},
    ]
    network = {"input": {"auroc": metric(0.7)}, "layers": layers, "separable": {"from": "hidden1"}}
    assert probes_of(network) == ([metric(0.7), metric(0.9), None], [metric(0.7), metric(0.8), None])
    assert place_of(network) == 1
    assert place_of({**network, "separable": {"from": "input"}}) == 0
    assert place_of({**network, "separable": {"from": None}}) is None


@given(st.integers(1, 60))
def test_input_side_middle_and_output_side_always_get_a_row(n_layers: int) -> None:
    rows = choose_rows(n_layers)
    assert rows[0] == 0
    assert rows[-1] == n_layers - 1
    assert len(rows) == min(n_layers, 5) if n_layers <= 5 else len(rows) == 3
    assert rows == sorted(set(rows))


def test_units_are_marked_in_their_layer_and_elsewhere_nothing_is_red() -> None:
    layers = dense_layers((28, 28), (64, 16))
    red = 'stroke="#c8102e"'
    assert draw_marked(layers, 1, 3, name="n", label="l").count(red) == 3
    assert draw_marked(layers, 3, 1, name="n", label="l").count(red) == 1
    assert draw_marked(layers, 1, 0, name="n", label="l").count(red) == 0
    maps = convolution_layers((28, 28))
    assert draw_marked(maps, 2, 2, name="n", label="l").count(red) == 2
    deep = dense_layers((28, 28), [64] * 20)
    assert draw_marked(deep, 10, 4, name="n", label="l").count(red) == 1, "the dots of the layers left out"


@given(st.integers(2, 30), st.integers(0, 40), st.booleans())
def test_extractor_and_classifier_part_every_network_between_them(depth: int, last: int, is_convolution: bool) -> None:
    layers: Any = (
        convolution_layers((64, 64), depth=1 + depth % 5) if is_convolution else dense_layers((9, 9), [8] * depth)
    )
    svg = draw_parted(layers, last, name="n", label="l")
    boxes = re.findall(r'<rect x="([\d.]+)" width="([\d.]+)" stroke="#(14294d|2e7d4f)"', svg)
    places = [(float(x), float(x) + float(width)) for x, width, _ in boxes]
    if last == 0:
        assert [colour for *_, colour in boxes] == ["2e7d4f"]
        return
    extractor, classifier = places
    assert 4 == extractor[0] < extractor[1] < classifier[0] < classifier[1] == 396


def test_a_strip_reaches_six_percent_beyond_the_furthest_end() -> None:
    strip = lay_out([metric(-0.05, 0.05), metric(0.0, 0.01)], 0.02)
    assert strip["places"][0] == pytest.approx([50 - 50 / 1.06, 50 - 25 / 1.06, 50])
    assert (strip["margin_low"], strip["margin_high"]) == pytest.approx((50 - 10 / 1.06, 50 + 10 / 1.06))
    assert lay_out([], 0.0)["places"] == []


def test_parameters_are_told_for_each_training_patient(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "chest", rungs=("prior", "svm", "dnn"), sizes=(100, 200))
    evidence = folder.read_evidence()
    evidence["cost"]["svm"][-1]["n_parameters"] = 500
    evidence["cost"]["dnn"][-1]["n_parameters"] = 400_000
    networks = [{"rung": "dnn", "of_one": 80_000, "members": 5}]
    svm, dnn = list_parameters(list_rungs(evidence, 200), networks, 200)
    assert (svm.each, svm.of_one) == (2.5, None)
    assert (dnn.each, dnn.of_one, dnn.members) == (2000, 80_000, 5)
    text = say_parameters([svm, dnn], 200, "patient")
    assert text == "dnn stores 2,000 parameters for each of 200 training patients, svm 2.5."
    # 784 · 10 + 10 and 10 + 1: 7,850 of 7,861 lie before the first layer.
    one = say_network(dense_layers((28, 28), (10,)), 100, "patient")
    assert one == (
        "Here one network has 79 parameters for each of 100 training patients, nearly all of them between the input "
        "and the first layer."
    )
    assert say_network(dense_layers((28, 28), ()), 100, "image") == (
        "Here that is 7.8 parameters for each of 100 training images."
    )


def test_the_curves_are_said_in_one_sentence(tmp_path: Path) -> None:
    evidence = write_study(tmp_path / "chest", sizes=(100, 200)).read_evidence()
    for rung in evidence["rungs"]:
        for point in rung["points"]:
            point["auroc"]["estimate"] = 0.8
    by_name = {rung["rung"]: rung["points"] for rung in evidence["rungs"]}
    by_name["svm"][0]["auroc"]["estimate"] = 0.85
    by_name["svm"][1]["auroc"]["estimate"] = 0.88
    by_name["dnn"][1]["auroc"]["estimate"] = 0.9
    assert say_curves(evidence, (100, 200)) == (
        "With 100 training patients svm (AUROC 0.850) is estimated highest; with 200 training patients dnn (0.900), "
        "before svm (0.880), the best conventional rung."
    )
    assert say_curves({**evidence, "rungs": evidence["rungs"][:1]}, (100, 200)) is None


def test_every_figure_of_the_lecture_is_there_with_a_sentence(plain: tuple[StudyFolder, dict[str, Any]]) -> None:
    text = render(plain[0])
    sections = [text.index(f'id="{name}"') for name in ("scores", "networks", "layers", "cohort")]
    assert sections == sorted(sections)
    for figure in ("figure-scores", "figure-unrolled", "figure-growth", "figure-regions-0", "figure-features-0",
                   "figure-probes-0", "figure-structure", "figure-taper"):  # fmt: skip
        assert 'class="here"' in text[text.index(f'id="{figure}"') :].split("</figure>")[0], figure
    drawn = text[text.index('<div class="networks">') :].split("</div>")[0]
    assert drawn.count("<figure>") == drawn.count('class="here"') == 4
