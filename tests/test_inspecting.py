"""The stage of a study that looks into its networks: what it writes, when it computes it again, what it never holds."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import medladder as ml
from medladder import inspecting, rungs
from medladder.cohort import Cohort
from medladder.engine.data import SharedArray
from medladder.errors import CohortError, InputError, ModelError, OptionError, StudyError
from medladder.evidence.weighing import weigh
from medladder.fleets import fit_fleet
from medladder.inspecting import CONSTANT_WIDTH, Look, Refit, measured_networks, shuffled
from medladder.inspection.pairing import pair_out_of_part
from medladder.inspection.whole import OUTLINED, TILES, to_tile
from medladder.models import looking
from medladder.models.known import study_draw
from medladder.models.looking import inspect_on, open_network, read_inspection
from medladder.phantoms.drawn import draw
from medladder.record.folder import StudyFolder
from medladder.record.trials import Trial
from medladder.report.page import render
from untranslated import english_in, english_in_drawings

DOCS = Path(__file__).resolve().parents[1] / "docs"

NN, DNN, CNN = "nn:width=8,epochs=2", "dnn:widths=12-6,epochs=2", "cnn:width=8,members=2,epochs=2"
RUNGS = ("prior", "logistic", "svm", NN, DNN, CNN)
WHOLE: dict[str, Any] = {"rungs": RUNGS, "sizes": ("all",), "repeats": 2, "jobs": 1}
QUICK: dict[str, Any] = {"rungs": ("prior", NN), "sizes": ("all",), "repeats": 1, "jobs": 1}


def photograph(
    folder: Path, *, patients: int = 84, side: int = 12, seed: int = 3, classes: tuple[str, ...] = ("gesund", "krank")
) -> Path:
    """A manifest as a hospital writes it: spaces and umlauts in names, patients with one or two pictures, two parts."""
    (folder / "Röntgen Köln").mkdir(parents=True)
    rng, rows = np.random.default_rng(seed), [("path", "label", "patient", "split")]
    for patient in range(patients):
        class_ = patient % len(classes)
        for shot in range(1 + (patient % 5 == 0)):
            pixels = rng.normal(100, 30, (side, side))
            pixels[3:7, 2 * class_ : 2 * class_ + 5] += 45 * class_
            name = f"Röntgen Köln/Aufnahme {patient:02d} {shot}.png"
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / name)
            rows.append((name, classes[class_], f"Müller-{patient:04d}", "test" if patient >= 60 else "train"))
    with (folder / "Liste.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return folder / "Liste.csv"


def squares(file: Path, shape: tuple[int, ...], *, seed: int = 0, n: int = 90) -> Path:
    """An npz of pictures, or volumes, with a bright block in those of class 1."""
    rng, labels = np.random.default_rng(seed), np.arange(n) % 2
    images = rng.normal(100, 30, (n, *shape))
    images[:, 2:5, 3:7] += 50 * labels.reshape(-1, *[1] * len(shape))
    return save(file, images.clip(0, 255).astype(np.uint8), labels)


def smears(file: Path) -> Path:
    """An npz of drawn blood smears: in colour, of four classes."""
    drawn = draw("cells", n_patients=120, size=16)
    return save(file, drawn.images, drawn.labels)


def save(file: Path, images: np.ndarray, labels: np.ndarray) -> Path:
    """An npz of which the last third is the test part."""
    parts = {"train": slice(0, 2 * len(images) // 3), "test": slice(2 * len(images) // 3, None)}
    arrays = {f"{part}_images": images[rows] for part, rows in parts.items()}
    np.savez(file, **arrays, **{f"{part}_labels": labels[rows] for part, rows in parts.items()})
    return file


@pytest.fixture(scope="module", autouse=True)
def _as_in_every_test(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fixtures of a module leave the user's folders alone too; forests are small."""
    with pytest.MonkeyPatch.context() as patched:
        for kind in ("cache", "state"):
            folder = str(tmp_path_factory.getbasetemp() / kind)
            patched.setattr(f"platformdirs.user_{kind}_dir", lambda *_args, folder=folder, **_kwargs: folder)
        patched.setattr("medladder.inspection.probes.TREES", 10)
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("inspecting")


@pytest.fixture(scope="module")
def cohort(place: Path) -> Cohort:
    return ml.read_cohort(photograph(place / "Klinik"), cache=place / "cache")


@pytest.fixture(scope="module")
def whole(place: Path, cohort: Cohort) -> StudyFolder:
    """A study of every kind of network; tests only read it."""
    return ml.run_study(cohort, place / "whole", **WHOLE, cache=place / "cache")


@pytest.fixture(scope="module")
def quick(place: Path, cohort: Cohort) -> StudyFolder:
    """A small one, as others should end up; tests only read it."""
    return ml.run_study(cohort, place / "quick", **QUICK)


@pytest.fixture(scope="module")
def colour(place: Path) -> StudyFolder:
    """In colour, of four classes."""
    cohort = ml.read_cohort(smears(place / "colour.npz"), cache=place / "cache")
    return ml.run_study(cohort, place / "colour", rungs=(DNN,), sizes=("all",), repeats=1, jobs=1)


@pytest.fixture(scope="module")
def volumes(place: Path) -> StudyFolder:
    cohort = ml.read_cohort(squares(place / "volumes.npz", (8, 9, 8)), cache=place / "cache")
    return ml.run_study(cohort, place / "volumes", rungs=(CNN,), sizes=("all",), repeats=1, jobs=1)


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the stage was asked to do, in words."""
    work, asked = inspecting.work, []

    def noting(task: Look | Refit) -> Any:
        asked.append(f"{task.spec.rung} {inspecting._named(task)}")
        return work(task)

    monkeypatch.setattr(inspecting, "work", noting)
    return asked


def found_in(folder: StudyFolder) -> dict[str, Any]:
    """inspection.json, of which every number is one."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} in inspection.json")

    return dict(json.loads((folder.path / "inspection.json").read_text("utf-8"), parse_constant=refuse))


def files_of(folder: StudyFolder) -> dict[str, bytes]:
    """Everything in a study that an inspection writes."""
    of_units = (path for kind in ("unit", "excites", "on") for path in folder.pictures.glob(f"{kind}-*"))
    paths = [folder.path / "inspection.json", *of_units]
    return {path.name: path.read_bytes() for path in paths}


def named_pictures(found: dict[str, Any]) -> set[str]:
    """Picture files that an inspection names."""
    shown = [unit for one in found["networks"] for layer in one["layers"] for unit in layer["features"]["shown"]]
    looked_at = [
        unit["on"] for one in found["networks"] for layer in one["layers"] for unit in layer["regions"]["shown"]
    ]
    return (
        {unit["tile"] for unit in shown} | {file for unit in shown for file in unit["examples"]} | {*looked_at} - {None}
    )


def network_of(found: dict[str, Any], rung: str) -> dict[str, Any]:
    return dict(next(one for one in found["networks"] if one["rung"] == rung))


# What it writes


def test_inspection_json_has_the_fields_that_are_documented(whole: StudyFolder) -> None:
    """Field by field against the example in docs/architecture.md; what is empty there has no fields to compare."""
    text = (DOCS / "architecture.md").read_text("utf-8").partition("### inspection.json")[2]
    documented = json.loads(text.partition("```json")[2].partition("```")[0])
    found = found_in(whole)
    interval, spread = {"estimate", "low", "high"}, {"median", "low", "high"}

    def compare(expected: Any, actual: Any, where: str) -> None:
        if expected in ({}, [], None) or actual is None:
            if isinstance(actual, dict) and expected == {}:
                assert set(actual) in (interval, spread) or "trained" in where or "start" in where, where
            return
        assert type(actual) is type(expected) or {type(actual), type(expected)} == {int, float}, where
        if isinstance(expected, dict):
            assert set(actual) == set(expected), where
            for name, value in expected.items():
                compare(value, actual[name], f"{where}.{name}")
        elif isinstance(expected, list) and actual:
            for one in actual:
                compare(expected[0], one, f"{where}[]")

    # As written there `by_unit`, `trained` and `start` show some of their measures only.
    for one in documented["networks"]:
        one["networks"] = [{"trained": {}, "start": {}}]
    compare({**documented, "taper": None}, found, "")
    assert [one["rung"] for one in found["networks"]] == ["logistic", NN, DNN, CNN]
    assert found["n_train"] == whole.read_plan().sizes[-1] == found["structure"]["n_train"]
    assert found["taper"] is None, "no plain dnn in this study"


def test_numbers_are_in_range_and_agree_with_each_other(
    whole: StudyFolder, colour: StudyFolder, volumes: StudyFolder
) -> None:
    for one in [one for folder in (whole, colour, volumes) for one in found_in(folder)["networks"]]:
        side = one["image_shape"][-3:-1] if len(one["image_shape"]) > 2 else one["image_shape"]
        assert 0 < one["images"] <= 300
        for layer in one["layers"]:
            regions, features, n = layer["regions"], layer["features"], layer["units"]
            for name, values in {**regions["by_unit"], **features["by_unit"]}.items():
                assert len(values) == n, (one["rung"], layer["name"], name)
            dead = regions["by_unit"]["is_dead"]
            assert sum(dead) == layer["dead"]
            assert sum(regions["by_unit"]["is_noise"]) == regions["like_noise"]
            for of, parts in ((regions, ("area", "pieces", "overlap")), (features, ("edge_likeness", "selectivity"))):
                for part in (*parts, *(("frequency",) if of is features else ())):
                    known = [value for value in of["by_unit"][part] if value is not None]
                    at_most = math.inf if part in ("pieces", "frequency") else 1 + 1e-6
                    assert all(0 <= value <= at_most for value in known), part
                    if known:
                        quartiles = np.percentile(known, (25, 50, 75))
                        said = [of[part][name] for name in ("low", "median", "high")]
                        np.testing.assert_allclose(said, quartiles, atol=2e-6, err_msg=part)
                    else:
                        assert of[part] is None
                    random = of["random"][part]
                    assert (random is None) == (part == "overlap" and n == 1), "a lone unit overlaps with none"
                    assert random is None or 0 <= random["low"] <= random["median"] <= random["high"]
            assert all(regions["by_unit"]["area"][unit] is None for unit in range(n) if dead[unit])
            assert set(features["by_unit"]["favours"]) <= set(one["classes"])
            shown = features["shown"]
            assert len(shown) == min(TILES, sum(area is not None for area in regions["by_unit"]["area"]))
            importance = [unit["importance"] for unit in shown]
            assert importance == sorted(importance, reverse=True)
            for unit in shown:
                assert unit["importance"] == pytest.approx(features["by_unit"]["importance"][unit["unit"]], abs=1e-6)
                assert unit["favours"] == features["by_unit"]["favours"][unit["unit"]]
                assert -1 <= (unit["agreement"] or 0) <= 1 + 1e-6
                is_weights = layer["name"] == "hidden1" or (one["kind"] == "logistic" and layer["name"] == "output")
                assert unit["drawn_from"] == ("weights" if is_weights and one["kind"] != "cnn" else "noise")
            assert len(regions["shown"]) <= OUTLINED
            for unit in regions["shown"]:
                assert not regions["by_unit"]["is_noise"][unit["unit"]]
                assert (unit["slice"] is None) == (len(one["image_shape"]) < 4)
                assert unit["slice"] is None or 0 <= unit["slice"] < one["image_shape"][0]
                assert (unit["on"] is None) == (unit["slice"] is None), "of a volume the slice is kept"
                points = np.concatenate([np.array(line) for line in unit["outlines"]])
                assert (points >= -0.51).all()
                assert (points <= np.array(side) - 0.49).all()
                assert all(line[0] == line[-1] for line in unit["outlines"]), "lines close"
        intervals = [layer["probe"]["auroc"] for layer in one["layers"] if layer["probe"]]
        intervals += [other["auroc"] for other in (one["extractor"] or {"classifiers": []})["classifiers"]]
        for auroc in intervals:
            assert 0 <= auroc["low"] <= auroc["estimate"] <= auroc["high"] <= 1


def test_layers_are_those_of_the_network(whole: StudyFolder) -> None:
    found = found_in(whole)
    layers = {one["rung"]: [(layer["name"], layer["units"]) for layer in one["layers"]] for one in found["networks"]}
    assert layers["logistic"] == [("output", 1)]
    assert layers[NN] == [("hidden1", 8), ("output", 1)]
    assert layers[DNN] == [("hidden1", 12), ("hidden2", 6), ("output", 1)]
    names, units = zip(*layers[CNN], strict=True)
    assert (names[0], names[-1], units[-1]) == ("convolution1", "output", 1)
    assert [one["members"] for one in found["networks"]] == [1, 5, 5, 2]


def test_no_more_is_claimed_than_networks_bear(whole: StudyFolder) -> None:
    """Ten networks for the ensembles of five, two repeats of them; four of the cnn, of which nothing is claimed."""
    found = found_in(whole)
    assert network_of(found, "logistic")["slopes"] == []
    for rung, n in ((NN, 10), (DNN, 10), (CNN, 4)):
        one = network_of(found, rung)
        slopes = {slope["measure"]: slope for slope in one["slopes"]}
        assert slopes["area"]["networks"] == n
        assert all((slope["verdict"] == "too few networks") == (slope["networks"] < 10) for slope in slopes.values())
        assert len(one["networks"]) == n
        for network in one["networks"]:
            assert {len(medians) for of in network.values() for medians in of.values()} == {len(one["layers"])}
    assert "is not claimed from 4 networks" in network_of(found, CNN)["sentences"][0]["text"]


def test_probes_stand_where_patients_were_held_out(whole: StudyFolder) -> None:
    found = found_in(whole)
    logistic = network_of(found, "logistic")
    assert logistic["input"] is None
    assert logistic["separable"] is None
    assert logistic["layers"][0]["probe"] is None
    assert logistic["probe_note"]
    for rung in (NN, DNN, CNN):
        one = network_of(found, rung)
        assert one["separable"]["patients"] == 60 * one["members"] // 5, "a fifth of the pool each; no test patient"
        assert one["layers"][-1]["probe"]["against_output"] in (None, {"estimate": 0.0, "low": 0.0, "high": 0.0})
        assert one["extractor"]["layer"] == one["layers"][-2]["name"]
        names = [None, "input", *[layer["name"] for layer in one["layers"]]]
        assert one["separable"]["from"] in names


def test_structure_compares_each_rung_with_itself_on_shuffled_pixels(whole: StudyFolder, cohort: Cohort) -> None:
    """The numbers again, by the refit itself: one fixed order of pixels, the same patients held out."""
    found = found_in(whole)["structure"]
    assert [one["rung"] for one in found["rungs"]] == ["logistic", "svm", NN, DNN, CNN], "all but the floor"
    plan, record = whole.read_plan(), whole.read_cohort()
    draw = study_draw(plan, cohort, NN)
    kept = whole.read_network(plan.first_fleet(NN))
    assert kept is not None
    store = SharedArray.at(cohort.store)
    again = inspecting.work(Refit(rungs.parse_rung(NN), store, record.labels, draw, "cpu", 1.0, shuffled_by=0))
    assert isinstance(again, np.ndarray)
    assert kept.out_of_part is not None
    paired = pair_out_of_part(again, kept.out_of_part, record.labels[draw.rows], record.patients[draw.rows])
    said = next(one for one in found["rungs"] if one["rung"] == NN)
    assert [said[name] for name in ("shuffled", "auroc", "change")] == [one.to_json() for one in paired]
    assert said["change"]["estimate"] == pytest.approx(said["shuffled"]["estimate"] - said["auroc"]["estimate"])


def test_pixels_are_shuffled_alike_in_every_image() -> None:
    """Each place of the outcome comes from one place of the image, channels of a pixel together."""
    for shape in ((5, 6), (5, 6, 3), (3, 4, 5, 1), (3, 4, 5, 2), (30,)):
        n_channels = shape[-1] if len(shape) > 2 else 1
        places = np.arange(math.prod(shape)).reshape(shape)
        images = np.stack([places, places + 1000, places[::-1]])
        moved = shuffled(images, seed=4)
        assert moved.shape == images.shape
        assert moved.dtype == images.dtype
        order = moved[0].reshape(-1, n_channels)
        assert (order % n_channels == np.arange(n_channels)).all(), "channels stay in their order"
        assert (order // n_channels == order[:, :1] // n_channels).all(), "and together"
        assert sorted(order.ravel().tolist()) == list(range(math.prod(shape))), "a permutation"
        assert not (order[:, 0] == places.reshape(-1, n_channels)[:, 0]).all(), "and not that which changes nothing"
        np.testing.assert_array_equal(moved[1], moved[0] + 1000)
        np.testing.assert_array_equal(moved[2].ravel(), images[2].ravel()[moved[0].ravel()])
        np.testing.assert_array_equal(shuffled(images, seed=4), moved)
        assert (shuffled(images, seed=5) != moved).any()


def test_the_taper_is_held_against_constant_width(place: Path, cohort: Cohort) -> None:
    folder = ml.run_study(cohort, place / "taper", rungs=("dnn",), sizes=("all",), repeats=1, jobs=1)
    taper = found_in(folder)["taper"]
    assert (taper["rung"], taper["against"]) == ("dnn", CONSTANT_WIDTH)
    assert taper["layers"][0] == taper["against_layers"][0] == 144
    assert taper["layers"] == folder.read_plan().rungs[0].layers
    assert len(set(taper["against_layers"][1:-1])) == 1, "one width"
    assert taper["layers"][1:] == sorted(taper["layers"][1:], reverse=True)
    assert taper["parameters"] == pytest.approx(taper["against_parameters"], rel=0.02)
    difference = taper["auroc"]["estimate"] - taper["against_auroc"]["estimate"]
    assert taper["difference"]["estimate"] == pytest.approx(difference)
    assert [sentence["about"] for sentence in taper["sentences"]] == ["taper"]
    said = read_inspection(folder.path)
    assert said["taper"] == taper
    assert said["others"] == []


def test_measured_networks_are_one_a_repeat_first() -> None:
    """Repeats in order, a member of each, then further members; other rungs, sizes, folds and failures left aside."""

    def trial(repeat: int, *names: str, **changed: Any) -> Trial:
        layers = [{"trained": [{"name": name}], "start": []} for name in names] or None
        facts = {"fleet": "f", "rung": "nn", "n_train": 30, "fold": 0, "status": "done", "layers": layers, **changed}
        return Trial(repeat=repeat, **facts)

    trials = [
        trial(1, "b1", "b2"),
        trial(0, "a1", "a2", "a3"),
        trial(2),
        trial(3, "c1"),
        trial(4, "x", rung="dnn"),
        trial(5, "x", n_train=20),
        trial(6, "x", fold=1),
    ]
    networks = measured_networks(trials, "nn", 30)
    assert [one["trained"][0]["name"] for one in networks] == ["a1", "b1", "c1", "a2", "b2", "a3"]


# Pictures, and what must not leave the images


def test_every_picture_named_is_there_and_no_other(
    whole: StudyFolder, colour: StudyFolder, volumes: StudyFolder
) -> None:
    for folder, mode in ((whole, "L"), (colour, "RGB"), (volumes, "L")):
        named = named_pictures(found_in(folder))
        there = {path.name for path in folder.pictures.iterdir() if not path.name.startswith("example-")}
        assert there == named
        assert any(name.startswith("excites-") for name in named)
        for name in sorted(named):
            with Image.open(folder.pictures / name) as picture:
                assert picture.mode == mode
                assert max(picture.size) <= 64


def test_nothing_that_tells_a_patient_or_a_place_is_written(whole: StudyFolder, place: Path) -> None:
    text = (whole.path / "inspection.json").read_text("utf-8")
    for secret in (str(place), "Klinik", "Liste", "Aufnahme", "Röntgen", "Köln", "Müller", "cache", ".npy"):
        assert secret not in text
        assert json.dumps(secret)[1:-1] not in text
    assert not re.search(r"(?<![\w.])/\w+/", text), "no path"
    for file in (whole.path / "networks").iterdir():
        assert b"ller-0" not in file.read_bytes()
        assert str(place).encode() not in file.read_bytes()


def test_without_pictures_there_is_no_file_and_no_name_of_one(
    place: Path, cohort: Cohort, quick: StudyFolder, done: list[str]
) -> None:
    folder = ml.run_study(cohort, place / "bare", **QUICK, pictures=False)
    assert not folder.pictures.exists()
    found, text = found_in(folder), (folder.path / "inspection.json").read_text("utf-8")
    assert ".png" not in text
    assert named_pictures(found) == {None}
    with_pictures = found_in(quick)
    assert found["structure"] == with_pictures["structure"]
    for one, other in zip(found["networks"], with_pictures["networks"], strict=True):
        assert without_names(one) == without_names(other), "the numbers are the same"
    done.clear()
    ml.run_study(cohort, folder.path, **QUICK)
    assert done, "asked for pictures, it looks again"
    assert files_of(folder) == files_of(quick)


def without_names(one: dict[str, Any]) -> dict[str, Any]:
    """One network's facts with no picture named."""
    text = json.dumps(one)
    text = re.sub(r'"(tile|on)": (?:"[^"]*"|null)', r'"\1": null', text)
    return dict(json.loads(re.sub(r'"examples": \[[^]]*\]', '"examples": []', text)))


def assert_alike(found: Any, expected: Any) -> None:
    """The same facts; more threads add up in another order, so that last digits may differ."""
    assert type(found) is type(expected)
    if isinstance(found, dict):
        assert list(found) == list(expected)
        found, expected = list(found.values()), list(expected.values())
    if isinstance(found, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_alike(one, other)
    elif isinstance(found, float):
        assert found == pytest.approx(expected, rel=1e-4)
    else:
        assert found == expected


def test_without_inspection_there_is_none(place: Path, cohort: Cohort, quick: StudyFolder, done: list[str]) -> None:
    folder = ml.run_study(cohort, place / "unlooked", **QUICK, inspection=False)
    assert not (folder.path / "inspection.json").exists()
    assert {path.name.partition("-")[0] for path in folder.pictures.iterdir()} == {"example"}
    assert done == []
    ml.weigh(folder)
    ml.write_report(folder)
    with pytest.raises(StudyError, match=r"holds no inspection of a network.*not with --no-inspection"):
        read_inspection(folder.path)
    ml.run_study(cohort, folder.path, **QUICK)
    assert files_of(folder) == files_of(quick), "asked for later, it is the same"


def test_a_study_without_networks_and_one_of_lone_trees_have_none(place: Path, cohort: Cohort) -> None:
    floor = ml.run_study(cohort, place / "floor", rungs=("prior",), sizes=("all",), repeats=1, jobs=1)
    assert not (floor.path / "inspection.json").exists()
    trees = ml.run_study(cohort, place / "trees", rungs=("forest:trees=5",), sizes=("all",), repeats=1, jobs=1)
    found = found_in(trees)
    assert found["networks"] == []
    assert [one["rung"] for one in found["structure"]["rungs"]] == ["forest:trees=5"]
    for ask in (read_inspection, open_network):
        with pytest.raises(StudyError, match=r"a study of forest:trees=5.*logistic, nn, dnn or cnn"):
            ask(trees.path)


# When it is computed again


def test_a_study_done_twice_is_looked_into_once(place: Path, cohort: Cohort, quick: StudyFolder) -> None:
    again = ml.run_study(cohort, place / "twin", **QUICK)
    assert files_of(again) == files_of(quick), "byte for byte"


def test_the_same_command_again_computes_nothing(cohort: Cohort, whole: StudyFolder, done: list[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in [whole.path / "inspection.json", *whole.pictures.glob("unit*")]}
    ml.run_study(cohort, whole.path, **WHOLE)
    assert done == []
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_more_repeats_rungs_or_a_larger_size_are_looked_at_again(place: Path, cohort: Cohort, done: list[str]) -> None:
    wishes = {**QUICK, "sizes": ("24",)}
    folder = ml.run_study(cohort, place / "growing", **wishes)
    assert sorted(done) == [f"{NN} layers", f"{NN} shuffled"]
    assert network_of(found_in(folder), NN)["slopes"][0]["networks"] == 5
    for changed, n_networks, n_train in (
        ({"repeats": 2}, 10, 24),
        ({"rungs": (*QUICK["rungs"], "nn:width=6,epochs=2")}, 10, 24),
        ({"sizes": ("24", "all")}, 10, 60),
    ):
        done.clear()
        wishes |= changed
        ml.run_study(cohort, folder.path, **wishes)
        found = found_in(folder)
        assert f"{NN} layers" in done, changed
        assert (network_of(found, NN)["slopes"][0]["networks"], found["n_train"]) == (n_networks, n_train)
    assert [one["rung"] for one in found["networks"]] == [NN, "nn:width=6,epochs=2"]
    named = {path.name for path in folder.pictures.iterdir() if not path.name.startswith("example-")}
    assert named == named_pictures(found), "pictures of networks that are no longer shown do not stay"
    done.clear()
    ml.run_study(cohort, folder.path, **{**wishes, "sizes": ("16", "24", "all")})
    assert done == [], "a smaller size changes nothing at full size"


def test_a_study_stopped_while_it_looks_ends_like_one_that_was_not(
    tmp_path: Path, cohort: Cohort, quick: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopping(task: Look | Refit) -> Any:
        if isinstance(task, Refit):
            raise KeyboardInterrupt  # the layers are looked at by now
        return work(task)

    work = inspecting.work
    with monkeypatch.context() as broken:
        broken.setattr(inspecting, "work", stopping)
        with pytest.raises(KeyboardInterrupt):
            ml.run_study(cohort, tmp_path / "run", **QUICK)
    folder = StudyFolder(tmp_path / "run")
    assert not (folder.path / "inspection.json").exists()
    assert ml.weigh(folder).to_json()["verdict"]["sentences"], "what was fitted can be weighed"
    ml.run_study(cohort, folder.path, **QUICK)
    assert files_of(folder) == files_of(quick)


@pytest.mark.parametrize("at", ["excites-", "inspection.json"])
def test_a_study_stopped_while_it_writes_ends_like_one_that_was_not(
    at: str, tmp_path: Path, cohort: Cohort, quick: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = StudyFolder.write_bytes

    def stopping(self: StudyFolder, name: str, content: bytes) -> None:
        if at in name:
            raise KeyboardInterrupt
        write(self, name, content)

    with monkeypatch.context() as broken:
        broken.setattr(StudyFolder, "write_bytes", stopping)
        with pytest.raises(KeyboardInterrupt):
            ml.run_study(cohort, tmp_path / "run", **QUICK)
    ml.run_study(cohort, tmp_path / "run", **QUICK)
    assert files_of(StudyFolder(tmp_path / "run")) == files_of(quick)


def test_a_study_stopped_while_it_trains_ends_like_one_that_was_not(
    tmp_path: Path, cohort: Cohort, quick: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = StudyFolder.write_fleet

    def stopping(self: StudyFolder, key: Any, predictions: Any, trials: Any) -> None:
        if key.rung == NN:
            raise KeyboardInterrupt  # the network is written by now, the trials are not
        write(self, key, predictions, trials)

    with monkeypatch.context() as broken:
        broken.setattr(StudyFolder, "write_fleet", stopping)
        with pytest.raises(KeyboardInterrupt):
            ml.run_study(cohort, tmp_path / "run", **QUICK)
    assert not (tmp_path / "run" / "inspection.json").exists()
    ml.run_study(cohort, tmp_path / "run", **QUICK)
    assert files_of(StudyFolder(tmp_path / "run")) == files_of(quick)


def test_what_goes_wrong_is_logged_and_tried_again(
    tmp_path: Path, cohort: Cohort, quick: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:

        def fails(task: Look) -> Any:
            raise ArithmeticError(f"the moon is full over {task.spec.rung}")

        broken.setattr(inspecting, "_look", fails)
        folder = ml.run_study(cohort, tmp_path / "run", **QUICK)
    found = found_in(folder)
    assert found["networks"] == []
    assert found["structure"] == found_in(quick)["structure"], "the rest is written"
    assert f"the moon is full over {NN}" in (folder.path / "log.txt").read_text("utf-8")
    ml.weigh(folder)
    ml.write_report(folder)
    ml.run_study(cohort, folder.path, **QUICK)
    assert files_of(folder) == files_of(quick)


def test_networks_that_failed_at_first_count_when_they_are_there(
    tmp_path: Path, cohort: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medladder.planning.REPEATS_A_FLEET", 1)
    with monkeypatch.context() as broken:
        broken.setattr("medladder.study.fit_fleet", lambda task: fit_fleet(task) if task.key.first == 0 else 1 / 0)
        folder = ml.run_study(cohort, tmp_path / "run", **QUICK | {"repeats": 2})
    assert network_of(found_in(folder), NN)["slopes"][0]["networks"] == 5
    ml.run_study(cohort, folder.path, **QUICK | {"repeats": 2})
    assert network_of(found_in(folder), NN)["slopes"][0]["networks"] == 10


def test_an_older_study_kept_no_network(tmp_path: Path, cohort: Cohort) -> None:
    """It goes on, its report stands, and asking for its layers says what to do that helps."""
    folder = ml.run_study(cohort, tmp_path / "run", **QUICK)
    for path in [folder.path / "inspection.json", *(folder.path / "networks").iterdir()]:
        path.unlink()
    journal = (folder.path / "trials.jsonl").read_text("utf-8").splitlines()
    older = [{name: value for name, value in json.loads(line).items() if name != "layers"} for line in journal]
    (folder.path / "trials.jsonl").write_text("".join(json.dumps(line) + "\n" for line in older), "utf-8")
    ml.weigh(folder)
    ml.write_report(folder)
    for ask in (lambda: read_inspection(folder.path), lambda: open_network(folder.path)):
        with pytest.raises(StudyError, match=r"kept no network.*run it into a new --out"):
            ask()
    ml.run_study(cohort, folder.path, **QUICK)
    found = found_in(folder)
    assert found["networks"] == []
    assert [one["rung"] for one in found["structure"]["rungs"]] == [NN], "fitted again as it is"
    ml.write_report(folder)


def test_a_damaged_network_is_refused_by_name(tmp_path: Path, cohort: Cohort, quick: StudyFolder) -> None:
    folder = StudyFolder(shutil.copytree(quick.path, tmp_path / "run"))
    [file] = (folder.path / "networks").iterdir()
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(StudyError, match=r"nn_width.*cannot be read"):
        open_network(folder.path, NN)
    with pytest.raises(StudyError, match="Delete the file; the study goes on without it"):
        ml.run_study(cohort, folder.path, **QUICK)
    file.unlink()
    ml.run_study(cohort, folder.path, **QUICK)
    assert found_in(folder)["networks"] == []


# Looked into again


SAME_COHORT_ELSE = ("slopes", "networks", "sentences")
"""What rests on networks measured in training, which are gone."""


@pytest.mark.parametrize("rung", ["logistic", NN, DNN, CNN])
def test_its_own_cohort_gives_the_same_numbers(rung: str, whole: StudyFolder, cohort: Cohort) -> None:
    again = json.loads(json.dumps(inspect_on(open_network(whole.path, rung), cohort)))
    stands = without_names(network_of(found_in(whole), rung))
    assert set(again) == set(stands)
    for name in set(stands) - set(SAME_COHORT_ELSE):
        assert_alike(again[name], stands[name])
    assert again["networks"] == []


@pytest.mark.parametrize(("name", "rung"), [("colour", DNN), ("volumes", CNN)])
def test_colour_and_volumes_give_the_same_numbers(
    name: str, rung: str, request: pytest.FixtureRequest, place: Path
) -> None:
    folder: StudyFolder = request.getfixturevalue(name)
    cohort = ml.read_cohort(place / f"{name}.npz", cache=place / "cache")
    again = json.loads(json.dumps(inspect_on(open_network(folder.path, rung), cohort)))
    stands = without_names(network_of(found_in(folder), rung))
    for name in set(stands) - set(SAME_COHORT_ELSE):
        assert_alike(again[name], stands[name])


def test_another_cohort_is_probed_whole(whole: StudyFolder, place: Path) -> None:
    """Classes are told by name, whatever their order; every patient of it is new to the network."""
    manifest = photograph(place / "Bonn", patients=50, seed=8, classes=("KRANK", "Gesund"))
    other = ml.read_cohort(manifest, cache=place / "cache")
    found = inspect_on(open_network(whole.path, DNN), other)
    assert found["classes"] == ["gesund", "krank"]
    assert found["separable"]["patients"] == 50
    assert found["input"]["auroc"]["estimate"] > 0.5
    assert [layer["units"] for layer in found["layers"]] == [12, 6, 1]


def test_cohorts_that_cannot_be_looked_at_are_refused(whole: StudyFolder, place: Path) -> None:
    opened = open_network(whole.path, DNN)
    read = lambda path, **more: ml.read_cohort(path, cache=place / "cache", **more)  # noqa: E731
    other = photograph(place / "Ulm", patients=12, classes=("gesund", "kranck"))
    with pytest.raises(CohortError, match="The classes of the network: gesund, krank"):
        inspect_on(opened, read(other))
    three = photograph(place / "Trier", patients=12, classes=("gesund", "krank", "unklar"))
    with pytest.raises(CohortError, match="Classes gesund, krank, unklar"):
        inspect_on(opened, read(three))
    with pytest.raises(CohortError, match="Images of 16×16"):
        inspect_on(opened, read(place / "Ulm" / "Liste.csv", image_size=(16, 16)))
    with pytest.raises(CohortError, match="Images of 12×12×3"):
        inspect_on(opened, read(squares(place / "c.npz", (12, 12, 3))))
    with pytest.raises(CohortError, match="Images of 8×9×8×1"):
        inspect_on(opened, read(squares(place / "v.npz", (8, 9, 8))))


def test_a_network_is_chosen_by_the_verdict_or_by_name(whole: StudyFolder) -> None:
    recommended = ml.weigh(whole).recommended
    networks = ["logistic", NN, DNN, CNN]
    assert read_inspection(whole.path)["rung"] == (recommended if recommended in networks else CNN)
    for rung in networks:
        found = read_inspection(whole.path, rung)
        assert found["rung"] == open_network(whole.path, rung).name == rung
        assert sorted([*found["others"], rung]) == sorted(networks)
    for ask in (read_inspection, open_network):
        with pytest.raises(OptionError, match=r"Did you mean 'logistic'"):
            ask(whole.path, "logistc")
        with pytest.raises(InputError, match=r"svm has no layers.*logistic, nn, dnn or cnn"):
            ask(whole.path, "svm")
        assert getattr(ask(whole.path, "cnn:epochs=2,members=2,width=8"), "name", CNN) == CNN, "settings in any order"


# Models


@pytest.fixture(scope="module")
def model(place: Path, cohort: Cohort) -> Path:
    ml.fit_model(cohort, place / "model", rung=DNN, keep_test=True, jobs=1, cache=place / "cache")
    return place / "model"


def test_a_models_folder_holds_no_patients_image(model: Path) -> None:
    found = json.loads((model / "inspection.json").read_text("utf-8"))
    assert found["protocol"] == 1
    pictures = {path.name for path in (model / "pictures").iterdir()}
    assert pictures == {unit["tile"] for layer in found["layers"] for unit in layer["features"]["shown"]}, (
        "those named are there, and no other"
    )
    assert all(name.startswith("unit-") for name in pictures)
    assert "excites" not in (model / "inspection.json").read_text("utf-8")
    assert all(unit["on"] is None for layer in found["layers"] for unit in layer["regions"]["shown"])
    listed = set(json.loads((model / "model.json").read_text("utf-8"))["files"])
    assert {"inspection.json", *(f"pictures/{name}" for name in pictures)} <= listed, "each is hashed"


def test_its_own_cohort_gives_a_model_the_same_numbers(model: Path, cohort: Cohort) -> None:
    again = json.loads(json.dumps(inspect_on(open_network(model), cohort)))
    stands = without_names(read_inspection(model))
    for name in set(again) - set(SAME_COHORT_ELSE):
        assert_alike(again[name], stands[name])


@pytest.mark.parametrize("of", ["a model", "a study"])
def test_known_images_are_left_out_of_another_cohort(of: str, model: Path, whole: StudyFolder, place: Path) -> None:
    """All were trained on but those of the test part, which bear other patients' names here: the probes meet these."""
    with (place / "Klinik" / "Liste.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for patient in range(36):  # and some that no one knows
        pixels = np.random.default_rng([9, patient]).integers(0, 256, (12, 12), dtype=np.uint8)
        (place / "Klinik" / "neu").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(place / "Klinik" / "neu" / f"{patient}.png")
        rows.append({"path": f"neu/{patient}.png", "label": ("gesund", "krank")[patient % 2]} | NEW)
    new, known = [row for row in rows if row["split"] == "test"], [row for row in rows if row["split"] == "train"]

    def manifest(name: str, rows: list[dict[str, str]]) -> Cohort:
        with (place / "Klinik" / name).open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(("path", "label"))
            table.writerows((row["path"], row["label"]) for row in rows)
        return ml.read_cohort(place / "Klinik" / name, cache=place / "cache")

    opened = open_network(model) if of == "a model" else open_network(whole.path, DNN)
    found = inspect_on(opened, manifest("alle.csv", rows))
    assert found["separable"]["images"] == len(new)
    with pytest.raises(CohortError, match="a class is missing"):
        inspect_on(opened, manifest("bekannt.csv", known))
    with pytest.raises(StudyError, match="does not say which images"):
        inspect_on(replace(opened, trained_on=None), manifest("alle.csv", rows))


NEW = {"patient": "", "split": "test"}


@pytest.mark.parametrize("how", ["number", "cut", "picture", "patient", "missing", "link"])
def test_a_models_inspection_is_opened_as_written_or_not_at_all(model: Path, tmp_path: Path, how: str) -> None:
    copy = Path(shutil.copytree(model, tmp_path / "model"))
    file = copy / "inspection.json"
    picture = sorted((copy / "pictures").iterdir())[0]
    if how == "number":
        text = file.read_text("utf-8")
        file.write_text(text.replace('"dead": 0', '"dead": 9', 1), "utf-8")
    elif how == "cut":
        file.write_bytes(file.read_bytes()[:-30])
    elif how == "picture":
        picture.write_bytes(picture.read_bytes()[:-1] + b"x")
    elif how == "patient":
        picture.unlink()
    elif how == "missing":
        file.unlink()
    else:
        shutil.move(file, tmp_path / "outside")
        file.symlink_to(tmp_path / "outside")
    with pytest.raises(ModelError, match="cannot be trusted"):
        ml.read_model(copy)
    if how in ("number", "cut", "missing", "link"):
        with pytest.raises(ModelError, match="cannot be trusted"):
            read_inspection(copy)


def test_fit_of_what_is_no_network_looks_at_nothing(place: Path, cohort: Cohort) -> None:
    ml.fit_model(cohort, place / "trees-model", rung="forest:trees=5", jobs=1, cache=place / "cache")
    assert {path.name for path in (place / "trees-model").iterdir()} & {"inspection.json", "pictures"} == set()
    for ask in (read_inspection, open_network):
        with pytest.raises(InputError, match=r"A model of the rung forest:trees=5.*logistic, nn, dnn or cnn"):
            ask(place / "trees-model")


def test_a_fit_whose_layers_cannot_be_looked_at_is_kept(
    tmp_path: Path, cohort: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_args: Any) -> Any:
        raise ArithmeticError("the moon is full")

    monkeypatch.setattr("medladder.models.fitting._look_into", fails)
    model = ml.fit_model(cohort, tmp_path / "model", rung=NN, jobs=1)
    assert model.record.rung["rung"] == NN
    assert not (tmp_path / "model" / "inspection.json").exists()
    ml.read_model(tmp_path / "model")
    with pytest.raises(ModelError, match=r"holds no inspection\.json"):
        read_inspection(tmp_path / "model")


def test_what_is_no_folder_of_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "file").write_text("")
    for ask in (looking.read_inspection, looking.open_network):
        with pytest.raises(InputError, match=r"is not there.*Check the path"):
            ask(tmp_path / "nix")
        for name in ("thesis", "file"):
            with pytest.raises(InputError, match="is no folder of a study or a model"):
                ask(tmp_path / name)


def test_tiles_are_small_grey_or_coloured() -> None:
    """By hand: pixels keep their grey, else least is black and most is white; a volume shows its liveliest slice."""
    pixels = np.array([[0, 51], [102, 255]], dtype=np.uint8)[..., None]
    np.testing.assert_array_equal(to_tile(pixels, is_pixels=True), pixels[..., 0])
    np.testing.assert_array_equal(to_tile(np.array([[-3.0, -1.0]])[..., None]), [[0, 255]])
    assert to_tile(np.full((4, 4, 1), 7.0)).max() == 0, "nothing stands out from nothing"
    assert to_tile(np.zeros((200, 100, 3))).shape == (64, 32, 3)
    volume = np.zeros((3, 2, 2, 1))
    volume[1, 0, 0] = 1.0
    np.testing.assert_array_equal(to_tile(volume), [[255, 0], [0, 0]])


def test_nothing_of_its_report_is_left_in_english(whole: StudyFolder, tmp_path: Path) -> None:
    folder = StudyFolder(shutil.copytree(whole.path, tmp_path / "study"))
    weigh(folder)
    plan, cohort = folder.read_plan(), folder.read_cohort()
    names = [cohort.name, *cohort.classes, *(one.rung for one in plan.rungs)]
    names += [*plan.versions, *plan.versions.values()]
    page = render(folder, language="ko")
    assert english_in(page, names) == []
    drawn = ["AUROC", *cohort.classes, *(word for one in plan.rungs for word in re.split(r"\W+", one.rung))]
    assert english_in_drawings(page, drawn) == []
