"""A user's road through layers: what `inspect` prints, what it refuses, and the page of one image."""

from __future__ import annotations

import base64
import json
import re
import shutil
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import medladder as ml
from medladder import inspecting
from medladder.cli import app
from medladder.cohort import Origin
from medladder.errors import OptionError
from medladder.models.extractor import extractor, layer_names
from medladder.models.looking import open_network
from medladder.record.folder import StudyFolder
from medladder.report.explanation import overlay, render
from test_inspecting import CNN, DNN, NN, _as_in_every_test, photograph, smears, squares

assert _as_in_every_test  # a fixture: folders of its own, small forests


def run(*words: Any) -> Any:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return result


def told(*words: Any) -> dict[str, Any]:
    """The one JSON object that a command prints."""
    return dict(json.loads(run(*words, "--json").stdout))


def refused(*words: Any) -> str:
    """What is said where the caller can mend it: all three parts, on stderr alone."""
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    said = " ".join(result.stderr.split())
    assert re.search(r"found .* needed .* do ", said), said
    return said


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("inspect cli")


@pytest.fixture(scope="module")
def manifest(place: Path) -> Path:
    return photograph(place / "Klinik")


@pytest.fixture(scope="module")
def study(place: Path, manifest: Path) -> Path:
    rungs = ("--rungs", "prior,svm,logistic", "--rung", DNN, "--rung", CNN)
    run("study", manifest, "--out", place / "run", *rungs, "--sizes", "all", "--repeats", 1, "--jobs", 1)
    return place / "run"


@pytest.fixture(scope="module")
def model(place: Path, study: Path) -> Path:
    run("fit", study, "--rung", DNN, "--out", place / "model", "--jobs", 1)
    return place / "model"


@pytest.fixture(scope="module")
def volumes(place: Path) -> tuple[Path, Path]:
    """An npz of volumes, and the folder of a study of them."""
    source = squares(place / "volumes.npz", (8, 9, 8))
    run("study", source, "--out", place / "v", "--rung", NN, "--sizes", "all", "--repeats", 1, "--jobs", 1)
    return source, place / "v"


@pytest.fixture(scope="module")
def colour(place: Path) -> tuple[Path, Path]:
    """An npz of coloured smears of four classes, and a model of them."""
    source = smears(place / "colour.npz")
    run("fit", source, "--rung", CNN, "--out", place / "c", "--jobs", 1)
    return source, place / "c"


@pytest.fixture
def picture(manifest: Path) -> Path:
    return manifest.parent / "Röntgen Köln" / "Aufnahme 03 0.png"


# The layers


def test_the_layers_of_a_run(study: Path) -> None:
    stands = json.loads((study / "inspection.json").read_text("utf-8"))
    by_name = {one["rung"]: one for one in stands["networks"]}
    assert list(by_name) == ["logistic", DNN, CNN]
    for rung, one in by_name.items():
        said = told("inspect", study, "--rung", rung)
        assert all({"name", "regions", "features", "probe"} <= set(layer) for layer in said["layers"])
        assert {name: said[name] for name in one} == one
        assert sorted(said["others"]) == sorted(set(by_name) - {rung})
        assert (said["structure"], said["taper"]) == (stands["structure"], None)
    recommended = json.loads((study / "evidence.json").read_text("utf-8"))["verdict"]["recommended"]
    expected = recommended if recommended in by_name else CNN
    assert told("inspect", study)["rung"] == expected


def test_the_layers_as_a_person_reads_them(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    found = told("inspect", study, "--rung", DNN)
    said = run("inspect", study, "--rung", DNN).stdout
    rows = {line.split()[0]: line.split()[1:] for line in said.splitlines() if line.strip()}
    for layer in found["layers"]:
        assert rows[layer["name"]][:2] == [str(layer["units"]), str(layer["dead"])]
        assert f"{100 * layer['regions']['area']['median']:.1f}%" in rows[layer["name"]]
        assert rows[layer["name"]][-2] == f"{layer['probe']['auroc']['estimate']:.3f}"
    assert rows["input"][0] == f"{found['input']['auroc']['estimate']:.3f}"
    for sentence in [*found["sentences"], *found["structure"]["sentences"]]:
        assert sentence["text"] in " ".join(said.split())
    assert CNN in said.splitlines()[-1]
    assert "logistic" in said.splitlines()[-1], "what else there is to ask for"
    assert "None" not in said
    assert "nan" not in said


def test_names_with_typos(study: Path, model: Path) -> None:
    assert "Did you mean 'logistic'" in refused("inspect", study, "--rung", "logistc")
    assert "svm has no layers" in refused("inspect", study, "--rung", "svm")
    assert f"Known: logistic, {DNN}, {CNN}" in refused("inspect", study, "--rung", "boosting")
    assert "Did you mean 'hidden2'" in refused("inspect", study, "--rung", DNN, "--layer", "hiden2")
    assert "is not there" in refused("inspect", study.parent / "rnu")
    assert "is no folder of a study or a model" in refused("inspect", study.parent)
    assert "is no folder of a study or a model" in refused("inspect", study / "report.html")
    failed = CliRunner().invoke(app, ["inspect", str(model), "--layer", "hiden2", "--json"])
    assert failed.exit_code == 2
    assert set(json.loads(failed.stdout)["error"]) == {"kind", "found", "needed", "do"}


def test_options_without_effect_are_refused(study: Path, model: Path, picture: Path, manifest: Path) -> None:
    out = study.parent / "page.html"
    assert "--out without --image" in refused("inspect", study, "--out", out)
    assert "--image FILE --out PAGE.html" in refused("inspect", study, "--image", picture, "--out", "page.png")
    assert "--layer with --image" in refused("inspect", study, "--image", picture, "--layer", "hidden1")
    assert "A model is of one rung" in refused("inspect", model, "--rung", DNN)
    assert "A model is of one rung" in refused("inspect", model, "--rung", DNN, "--image", picture)
    assert "--on with the --image of a model" in refused("inspect", model, "--image", picture, "--on", manifest)
    assert not out.exists()


def test_one_layer_unit_by_unit(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    found = told("inspect", study, "--rung", DNN, "--layer", "hidden1")
    [layer] = found["layers"]
    assert (layer["name"], layer["units"]) == ("hidden1", 12)
    said = run("inspect", study, "--rung", DNN, "--layer", "hidden1").stdout
    rows = [line.split() for line in said.splitlines() if re.match(r" *\d+ ", line)]
    assert sorted(int(row[0]) for row in rows) == list(range(12))
    importance = [float(row[1]) for row in rows]
    assert importance == sorted(importance, reverse=True)
    by_unit = layer["features"]["by_unit"]
    for row in rows:
        assert float(row[1]) == pytest.approx(by_unit["importance"][int(row[0])], abs=5e-4)
        assert by_unit["favours"][int(row[0])] in row


def test_what_was_not_looked_into_says_what_to_do(place: Path, manifest: Path) -> None:
    wishes = (manifest, "--out", place / "unlooked", "--rung", NN, "--sizes", "all", "--repeats", 1, "--jobs", 1)
    run("study", *wishes, "--no-inspection", "--no-pictures")
    assert not (place / "unlooked" / "inspection.json").exists()
    assert not (place / "unlooked" / "pictures").exists()
    assert "without --no-inspection; what stands is kept" in refused("inspect", place / "unlooked")
    run("study", *wishes, "--no-pictures")
    assert not (place / "unlooked" / "pictures").exists()
    assert told("inspect", place / "unlooked")["rung"] == NN
    assert ".png" not in (place / "unlooked" / "inspection.json").read_text("utf-8")
    assert "unit-" not in (place / "unlooked" / "report.html").read_text("utf-8")


def test_ctrl_c_while_it_looks(place: Path, manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stops(_task: Any) -> Any:
        raise KeyboardInterrupt

    wishes = [str(manifest), "--out", str(place / "stopped"), "--rung", NN, "--sizes", "all", "--repeats", "1"]
    with monkeypatch.context() as broken:
        broken.setattr(inspecting, "work", stops)
        stopped = CliRunner().invoke(app, ["study", *wishes, "--jobs", "1"])
    assert stopped.exit_code == 130
    assert "the same command goes on from there" in " ".join(stopped.stderr.split())
    assert "A study that ran to its end" in refused("inspect", place / "stopped")
    run("study", *wishes, "--jobs", "1")
    assert told("inspect", place / "stopped")["rung"] == NN


# Other cohorts


def test_on_its_own_cohort_the_numbers_are_the_same(study: Path, model: Path, manifest: Path) -> None:
    for target, rung in ((study, ("--rung", CNN)), (model, ())):
        stands, again = told("inspect", target, *rung), told("inspect", target, *rung, "--on", manifest)
        numbers = lambda found: re.sub(  # noqa: E731 - of pictures nothing is said where none is written
            r'"tile": ("[^"]*"|null)|"examples": \[[^]]*\]', "", json.dumps(found)
        )
        for name in ("input", "layers", "separable", "extractor", "probe_note", "images", "members", "classes"):
            assert numbers(again[name]) == numbers(stands[name]), name
        assert ".png" not in json.dumps(again)


def test_on_another_cohort(study: Path, place: Path) -> None:
    other = photograph(place / "Bonn", patients=60, seed=9, side=15)
    result = run("inspect", study, "--rung", DNN, "--on", other, "--json")
    found = json.loads(result.stdout)
    assert found["separable"]["patients"] == 60
    assert "Looking into the 5 networks of dnn" in result.stderr
    assert run("inspect", study, "--rung", "logistic", "--on", other).stderr.startswith("Looking into the network of")
    [layer] = told("inspect", study, "--rung", DNN, "--on", other, "--layer", "output")["layers"]
    assert layer["probe"]["auroc"]["estimate"] == found["layers"][-1]["probe"]["auroc"]["estimate"]


def test_cohorts_of_another_kind_are_refused(
    study: Path, model: Path, place: Path, volumes: tuple[Path, Path], colour: tuple[Path, Path]
) -> None:
    other = photograph(place / "Ulm", patients=12, classes=("gesund", "kranck"))
    for target, rung in ((study, ("--rung", DNN)), (model, ())):
        on = ("inspect", target, *rung, "--on")
        assert "The classes of the network: gesund, krank" in refused(*on, other)
        assert "12×12" in refused(*on, colour[0])
        assert "Volumes to be brought to 12x12" in refused(*on, volumes[0])
        assert "is not there" in refused(*on, place / "nix")
    assert "Pictures to be brought to 8x9x8" in refused("inspect", volumes[1], "--on", other)


# One image


def test_an_image_explained_by_a_model_as_predict_decides(model: Path, picture: Path) -> None:
    [predicted] = told("predict", model, picture)["predictions"]
    found = told("inspect", model, "--image", picture)
    for name, probability in predicted["probabilities"].items():
        assert found["probabilities"][name] == pytest.approx(probability, abs=1e-6)
    assert found["decision"] == predicted["decision"]
    assert found["unlike_training"] == predicted["unlike_training"]
    assert found["towards"] == max(found["probabilities"], key=lambda name: found["probabilities"][name])
    assert found["nearest"] is None, "a model knows no training image"
    assert found["page"] is None
    assert found["attributions"]
    for one in found["attributions"]:
        assert isinstance(one["is_trustworthy"], bool)
        assert one["reason"]
        assert all(-1 <= check["similarity"] <= 1 for check in one["checks"])


def test_an_image_explained_by_a_run(study: Path, picture: Path, manifest: Path) -> None:
    """As the network that the study kept answers; it takes an image it learned from for most alike to itself."""
    found = told("inspect", study, "--rung", CNN, "--image", picture)
    cohort = ml.read_cohort(manifest)
    at = [Path(file).name for file in cohort.files].index(picture.name)
    expected = open_network(study, CNN).rung.predict_proba(cohort.images[at : at + 1])[0]
    np.testing.assert_allclose(list(found["probabilities"].values()), expected, atol=1e-6)
    near = found["nearest"]
    assert near[0]["image"] == at
    assert near[0]["distance"] == pytest.approx(0, abs=1e-6)
    assert near[0]["class"] == "krank"
    distances = [one["distance"] for one in near]
    assert distances == sorted(distances)
    is_pool = StudyFolder(study).read_cohort().test_fold == -1
    assert all(is_pool[one["image"]] for one in near), "training images alone"
    assert found["unlike_training"] is None, "a study does not know"
    assert found == told("inspect", study, "--rung", CNN, "--image", picture, "--on", manifest)
    said = run("inspect", study, "--rung", CNN, "--image", picture).stdout
    assert said.startswith(found["decision"])
    assert "Nearest training images" in said
    assert "--out PAGE.html" in said


def test_a_study_whose_images_have_moved_explains_all_the_same(
    study: Path, picture: Path, place: Path, manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("medladder.models.fitting.recall", lambda _fingerprint: ())
        result = run("inspect", study, "--rung", DNN, "--image", picture, "--json")
        assert json.loads(result.stdout)["nearest"] is None
        assert "Give --on COHORT" in result.stderr
        assert told("inspect", study, "--rung", DNN, "--image", picture, "--on", manifest)["nearest"]
        moved = asdict(Origin.of(place / "moved"))
        elsewhere.setattr("medladder.models.fitting.recall", lambda _fingerprint: (moved,))
        result = run("inspect", study, "--rung", DNN, "--image", picture, "--json")
        assert json.loads(result.stdout)["nearest"] is None
        assert "Give --on COHORT" in result.stderr
    other = photograph(place / "Essen", patients=12)
    said = refused("inspect", study, "--rung", DNN, "--image", picture, "--on", other)
    assert "is not the cohort of the study" in said


def test_a_coloured_picture_for_a_grey_network_is_unlike_it(study: Path, model: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (14, 14, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "farbig.png")
    for target, rung in ((study, ("--rung", DNN)), (model, ())):
        assert told("inspect", target, *rung, "--image", tmp_path / "farbig.png")["unlike_training"] is True
        assert "unlike the training images" in run("inspect", target, *rung, "--image", tmp_path / "farbig.png").stdout


def test_files_that_are_no_image_are_refused(study: Path, model: Path, tmp_path: Path, place: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"bad")
    np.savez(tmp_path / "v.npz", images=np.zeros((3, 8, 9, 8), np.uint8))
    for target, rung in ((study, ("--rung", DNN)), (model, ())):
        ask = ("inspect", target, *rung, "--image")
        assert "bad.png" in refused(*ask, tmp_path / "bad.png")
        assert "is not there" in refused(*ask, tmp_path / "nix.png")
        assert "is a folder" in refused(*ask, tmp_path)
        assert "v.npz:images[0]" in refused(*ask, tmp_path / "v.npz")
        assert "images of 3 images, counted from 0" in refused(*ask, f"{tmp_path}/v.npz:images[3]")
        assert "it is a volume" in refused(*ask, f"{tmp_path}/v.npz:images[2]")


def pictures_of(page: str) -> list[np.ndarray]:
    """The pictures that a page holds."""
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    return [np.asarray(Image.open(BytesIO(base64.b64decode(one)))) for one in found]


def test_the_page_of_one_image(study: Path, picture: Path, tmp_path: Path) -> None:
    out = tmp_path / "neu" / "Seite 1.html"
    said = run("inspect", study, "--rung", CNN, "--image", picture, "--out", out)
    assert str(out) in said.stdout.replace("\n", "")
    page, found = out.read_text("utf-8"), told("inspect", study, "--rung", CNN, "--image", picture)
    drawn = pictures_of(page)
    assert len(drawn) == 1 + len(found["attributions"]) + len(found["nearest"])
    assert [one.shape[:2] for one in drawn] == [(12, 12)] * len(drawn)
    np.testing.assert_array_equal(drawn[0][..., 0], np.asarray(Image.open(picture)))
    for word in ("Undefined", "None", "nan", "http", str(picture), "Müller"):
        assert word not in page.partition("</style>")[2], word
    assert f"<h1>{found['decision']}</h1>" in page
    assert "exists" in refused("inspect", study, "--rung", CNN, "--image", picture, "--out", out)
    assert out.read_text("utf-8") == page, "and is not written over"
    assert told("inspect", study, "--rung", CNN, "--image", picture, "--out", tmp_path / "b.html")["page"]
    assert (tmp_path / "b.html").read_text("utf-8") == page, "the same question, the same page"
    (tmp_path / "file").write_text("")
    said = refused("inspect", study, "--rung", DNN, "--image", picture, "--out", tmp_path / "file" / "a.html")
    assert "cannot be written" in said


@pytest.mark.parametrize("of", ["a study", "a model"])
def test_one_volume_explained(of: str, volumes: tuple[Path, Path], place: Path, tmp_path: Path) -> None:
    source, folder = volumes
    image = f"{source}:test_images[4]"
    if of == "a model":
        folder = tmp_path / "m"
        run("fit", source, "--rung", NN, "--out", folder, "--jobs", 1)
        predicted = told("predict", folder, source)["predictions"]
        [expected] = [one for one in predicted if one["file"] == image]
    found = told("inspect", folder, "--image", image, "--out", tmp_path / "a.html")
    if of == "a model":
        assert found["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-6)
    else:
        assert len(found["nearest"]) == 5
    page = (tmp_path / "a.html").read_text("utf-8")
    assert re.search(r"slice [1-8] of 8", page)
    assert {one.shape[:2] for one in pictures_of(page)} == {(9, 8)}


def test_colour_explained(colour: tuple[Path, Path], tmp_path: Path) -> None:
    source, folder = colour
    found = told("inspect", folder, "--image", f"{source}:test_images[1]", "--out", tmp_path / "a.html")
    assert len(found["probabilities"]) == 4
    assert sum(found["probabilities"].values()) == pytest.approx(1)
    drawn = pictures_of((tmp_path / "a.html").read_text("utf-8"))
    np.testing.assert_array_equal(drawn[0][..., :3], np.load(source)["test_images"][1])
    layers = told("inspect", folder)["layers"]
    assert layers[-1]["units"] == 4
    assert set(layers[0]["features"]["by_unit"]["favours"]) <= set(found["probabilities"])


def test_the_page_takes_names_as_text_and_asks_for_nothing_it_lacks() -> None:
    """Drawn by hand: markup in a class's name stays text, and a fact that is missing is an error, not a gap."""
    check = {"layer": "output", "similarity": 0.25}
    facts = {"method": "grad-cam", "is_trustworthy": False, "reason": "It is <flat>.", "checks": [check]}
    found = {
        "file": "a.png",
        "rung": "cnn",
        "probabilities": {"<b>bold</b>": 0.75, "b": 0.25},
        "decision": "<b>bold</b>",
        "unlike_training": True,
        "towards": "<b>bold</b>",
        "attributions": [facts],
        "nearest": None,
        "picture": np.zeros((4, 4, 1), np.uint8),
        "maps": [np.zeros((4, 4))],
        "near_pictures": [],
    }
    page = render(found)
    assert "<b>bold" not in page
    assert "&lt;b&gt;bold&lt;/b&gt; 75.0 %" in page
    assert "Not trustworthy" in page
    assert "unlike the training images" in page
    assert ">0.25<" in page
    with pytest.raises((jinja2.UndefinedError, KeyError)):
        render({name: value for name, value in found.items() if name != "towards"})


def test_a_map_is_red_for_and_blue_against() -> None:
    """By hand on a black picture, whose paled grey is 0.4 · 255 = 102."""
    values = np.array([[1.0, -1.0], [0.5, 0.0]])
    drawn = overlay(np.zeros((2, 2, 1), np.uint8), values)
    np.testing.assert_array_equal(drawn[0, 0], [0xC6, 0x28, 0x28])
    np.testing.assert_array_equal(drawn[0, 1], [0x1F, 0x5F, 0xA8])
    np.testing.assert_array_equal(drawn[1, 0], [150, 71, 71])
    np.testing.assert_array_equal(drawn[1, 1], [102, 102, 102])
    assert (overlay(np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2))) == 102).all(), "a flat map marks nothing"


# Models


def test_a_model_says_what_its_folder_holds(model: Path) -> None:
    assert told("inspect", model) == json.loads((model / "inspection.json").read_text("utf-8"))
    names = [layer["name"] for layer in told("inspect", model)["layers"]]
    assert names == ["hidden1", "hidden2", "output"]
    assert "hidden2" in run("inspect", model).stdout


def test_features_are_cut_at_the_layers_that_inspect_names(model: Path) -> None:
    opened = ml.read_model(model)
    layers = {layer["name"]: layer["units"] for layer in told("inspect", model)["layers"]}
    assert layer_names(opened) == list(layers)
    for name, units in layers.items():
        assert len(extractor(opened, name).get_feature_names_out()) == 5 * units, "five members side by side"
    with pytest.raises(OptionError, match="Did you mean 'hidden2'"):
        extractor(opened, "hiden2")


@pytest.mark.parametrize("rung", ["svm", "forest:trees=5", "prior"])
def test_a_model_that_is_no_network(rung: str, manifest: Path, picture: Path, tmp_path: Path) -> None:
    run("fit", manifest, "--rung", rung, "--out", tmp_path / "m", "--jobs", 1)
    for more in ((), ("--image", picture), ("--on", manifest)):
        said = refused("inspect", tmp_path / "m", *more)
        assert "logistic, nn, dnn" in said, said
        assert "cnn" in said
        assert "--on" not in said, "nothing that does not help either"


def test_a_tampered_model_is_refused(model: Path, picture: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(model, tmp_path / "m"))
    text = (copy / "inspection.json").read_text("utf-8")
    (copy / "inspection.json").write_text(text.replace("krank", "gesun", 1), "utf-8")
    for more in ((), ("--image", picture)):
        assert "was changed after it was written" in refused("inspect", copy, *more)
