"""A user's road through models: study, fit, predict, evaluate; the same answers from every door."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import safetensors.numpy
from PIL import Image
from typer.testing import CliRunner

import medladder as ml
from medladder.backbones import find_backbone
from medladder.cli import app
from medladder.errors import CohortError, ModelError, OptionError, StudyError
from medladder.models.model import Model
from medladder.record.folder import StudyFolder
from test_model_folder import facts, rewrite
from test_pretrained import hugging_face, write_convolution

assert hugging_face  # a fixture: two tiny image models as their publishers would save them


def run(*words: Any) -> Any:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return result


def refused(*words: Any) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 2
    return " ".join(result.stderr.split())


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of 60 patients, some with two pictures, in two classes and three parts, with sex and age."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(3)
    rows = [("path", "label", "patient", "split", "sex", "age")]
    for patient in range(60):
        label = ("clear", "effusion")[patient % 2]
        for shot in range(1 + (patient % 5 == 0)):
            pixels = rng.normal(100, 30, (16, 20))
            pixels[4:10, 5:12] += 45 * (label == "effusion")
            name = f"{patient:02d}-{shot}.png"
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / name)
            part = "test" if patient >= 48 else "train"
            rows.append((name, label, f"p{patient}", part, "fm"[patient % 3 == 0], str(30 + patient)))
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder


@pytest.fixture(scope="module")
def make(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a model of a rung, the cohort's test part kept apart; made once."""
    made: dict[str, Path] = {}

    def model(rung: str) -> Path:
        if rung not in made:
            made[rung] = tmp_path_factory.mktemp("models") / "model"
            cohort = ml.read_cohort(pictures / "labels.csv", cache=made[rung].parent / "cache")
            ml.fit_model(cohort, made[rung], rung=rung, keep_test=True, jobs=1, cache=made[rung].parent / "cache")
        return made[rung]

    return model


RUNGS = (
    "prior",
    "logistic",
    "svm",
    "forest:trees=30",
    "boosting:rounds=5",
    "nn:width=16,epochs=10",
    "dnn:widths=16-8,epochs=10",
    "cnn:width=8,epochs=4,members=2",
)


@pytest.mark.parametrize("rung", RUNGS)
def test_a_model_answers_alike_from_python_the_command_line_and_onnx(
    rung: str, make: Callable[[str], Path], pictures: Path
) -> None:
    folder = make(rung)
    printed = json.loads(run("predict", folder, pictures, "--json").stdout)["predictions"]
    assert [Path(one["file"]).name for one in printed] == sorted(path.name for path in pictures.glob("*.png"))
    from_cli = np.array([list(one["probabilities"].values()) for one in printed])
    model = ml.read_model(folder)
    images = np.stack(
        [np.asarray(Image.open(one["file"]).resize((16, 16), Image.Resampling.BILINEAR)) for one in printed]
    )
    assert images.shape[1:] == model.record.shape
    from_python = model.predict_proba(images)
    np.testing.assert_allclose(from_python, from_cli, atol=1e-6)
    np.testing.assert_allclose(from_python.sum(axis=1), 1, atol=1e-6)
    assert [one["decision"] for one in printed] == model.predict(images).tolist()
    decided = from_python[:, 1] >= model.record.threshold if rung != "prior" else np.zeros(len(images))
    if rung != "prior":
        assert [one["decision"] == "effusion" for one in printed] == decided.tolist()
    graph = folder / "model.onnx"
    assert graph.exists() == (rung.partition(":")[0] not in ("svm", "forest", "boosting"))
    if graph.exists():
        session = onnxruntime.InferenceSession(graph.read_bytes(), providers=["CPUExecutionProvider"])
        [asked] = session.get_inputs()
        assert (asked.type, asked.shape[1:]) == ("tensor(float)", list(model.record.shape))
        [answer] = session.run(None, {asked.name: (images / 255).astype(np.float32)})
        np.testing.assert_allclose(answer, from_python, atol=1e-4)


def test_the_rung_inside_is_the_one_that_was_fitted(make: Callable[[str], Path], pictures: Path) -> None:
    """The calibration, by hand: softmax of slope times log odds, plus bias."""
    model = ml.read_model(make("logistic"))
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16), dtype=np.uint8)
    raw = model.rung.predict_proba(images)
    odds = model.calibration.slope * (np.log(raw[:, 1]) - np.log(raw[:, 0])) + np.diff(model.calibration.bias)
    np.testing.assert_allclose(model.predict_proba(images)[:, 1], 1 / (1 + np.exp(-odds)), atol=1e-5)


def test_a_study_ends_with_a_model_and_its_evidence(pictures: Path, tmp_path: Path) -> None:
    manifest, study, folder = pictures / "labels.csv", tmp_path / "run", tmp_path / "model"
    run(
        "study",
        manifest,
        "--out",
        study,
        "--rungs",
        "prior,logistic,svm",
        "--repeats",
        3,
        "--sizes",
        "20,all",
        "--jobs",
        1,
    )
    said = json.loads(run("fit", study, "--out", folder, "--jobs", 1, "--json").stdout)
    evidence = json.loads((study / "evidence.json").read_text())
    assert said["rung"]["rung"] == evidence["verdict"]["recommended"]
    assert said["training"]["patients"] == 60  # all, those of the test part too
    assert said["evidence"]["point"]["n_train"] == 48
    card = (folder / "MODEL_CARD.md").read_text("utf-8")
    assert "Evidence from models of the same recipe on n = 48 patients, not this model" in card
    assert said["identity"] in card
    assert "sex" in {group["column"] for group in said["subgroups"]}
    # Trained on every picture, it is refused on any of them.
    assert "trained on all" not in refused("evaluate", folder, manifest)
    assert "The model was trained on 72 of these 72 images" in refused("evaluate", folder, manifest)
    told = json.loads(run("evaluate", folder, manifest, "--accept", "trained-on", "--json").stdout)
    assert told["trained_on"] == 72
    assert any("looks better here than it is" in warning["text"] for warning in told["warnings"])


def test_the_road_on_real_radiographs(shared_data: Callable[[str], Path], tmp_path: Path) -> None:
    """Study and fit on a part of PneumoniaMNIST, predict and evaluate on radiographs as they were exported."""
    source = np.load(shared_data("pneumoniamnist.npz"))
    small = {f"train_{what}": source[f"train_{what}"][:500] for what in ("images", "labels")}
    small |= {f"test_{what}": source[f"val_{what}"][:200] for what in ("images", "labels")}
    np.savez(tmp_path / "pneumoniamnist.npz", **small)
    radiographs = shared_data("kermany_cxr")
    with (radiographs / "labels.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "train"][::26]
    for row in rows:
        (tmp_path / row["path"]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(radiographs / row["path"], tmp_path / row["path"])
    with (tmp_path / "kermany.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("path", "label", "patient"))
        table.writerows((row["path"], row["label"], row["patient_id"]) for row in rows)
    study, folder = tmp_path / "run", tmp_path / "model"
    run(
        "study",
        tmp_path / "pneumoniamnist.npz",
        "--out",
        study,
        "--rungs",
        "prior,logistic,dnn",
        "--repeats",
        2,
        "--sizes",
        "100,all",
    )
    run("fit", study, "--out", folder)
    model = ml.read_model(folder)
    assert model.record.classes == ("normal", "pneumonia")
    printed = json.loads(run("predict", folder, *(radiographs / row["path"] for row in rows[:20]), "--json").stdout)
    cohort = ml.read_cohort(tmp_path / "kermany.csv", image_size=(28, 28))
    from_python = model.predict_proba(cohort.images[:20])
    from_cli = np.array([list(one["probabilities"].values()) for one in printed["predictions"]])
    np.testing.assert_allclose(from_cli, from_python, atol=1e-6)
    session = onnxruntime.InferenceSession((folder / "model.onnx").read_bytes(), providers=["CPUExecutionProvider"])
    [from_onnx] = session.run(None, {"images": (cohort.images[:20] / 255).astype(np.float32)})
    np.testing.assert_allclose(from_onnx, from_python, atol=1e-4)
    found = json.loads(run("evaluate", folder, tmp_path / "kermany.csv", "--prevalence", 0.1, "--json").stdout)
    assert found["target"] == "model"
    assert found["n"]["patients"] == len({row["patient_id"] for row in rows})
    assert found["auroc"]["low"] <= found["auroc"]["estimate"] <= found["auroc"]["high"]
    assert found["auroc"]["estimate"] > 0.8  # the same hospital
    assert found["at_prevalence"]["ppv"]["estimate"] < found["at_prevalence"]["npv"]["estimate"]


def test_evaluate_on_the_part_kept_apart(make: Callable[[str], Path], pictures: Path) -> None:
    folder = make("logistic")
    found = json.loads(run("evaluate", folder, pictures / "labels.csv", "--part", "test", "--json").stdout)
    assert found["n"] == {"patients": 12, "images": 14, "per_class": {"clear": 6, "effusion": 6}}
    assert found["trained_on"] == 0
    assert "The model was trained on 58 of these 72 images" in refused("evaluate", folder, pictures / "labels.csv")
    assert "this model here" in run("evaluate", folder, pictures / "labels.csv", "--part", "test").stdout


def test_classes_of_another_name(make: Callable[[str], Path], tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    arrays = {"train_images": rng.integers(0, 256, (30, 16, 16), dtype=np.uint8), "train_labels": np.arange(30) % 2}
    np.savez(tmp_path / "other.npz", **arrays)
    folder = make("logistic")
    message = refused("evaluate", folder, tmp_path / "other.npz")
    assert "--classes '0=clear'" in message
    found = json.loads(
        run("evaluate", folder, tmp_path / "other.npz", "--classes", "0=effusion,1=clear", "--json").stdout
    )
    assert found["n"]["per_class"] == {"clear": 15, "effusion": 15}
    mean = ml.read_model(folder).predict_proba(arrays["train_images"])[::2, 1].mean()
    same = json.loads(
        run("evaluate", folder, tmp_path / "other.npz", "--classes", "0=clear,1=effusion", "--json").stdout
    )
    assert 0 < mean < 1
    np.testing.assert_allclose(found["auroc"]["estimate"], 1 - same["auroc"]["estimate"])
    assert "Unknown class of the cohort 'nix'" in refused(
        "evaluate", folder, tmp_path / "other.npz", "--classes", "nix=clear"
    )


def test_what_cannot_be_fitted_is_refused_before_anything_is(pictures: Path, tmp_path: Path) -> None:
    manifest = pictures / "labels.csv"
    assert "Add --rung" in refused("fit", manifest, "--out", tmp_path / "m")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    assert "is not empty" in refused("fit", manifest, "--rung", "svm", "--out", tmp_path / "full")
    assert "Did you mean 'svm'" in refused("fit", manifest, "--rung", "smv", "--out", tmp_path / "m")
    np.savez(tmp_path / "all.npz", train_images=np.zeros((8, 8, 8), np.uint8), train_labels=np.arange(8) % 2)
    words = ("--rung", "prior", "--keep-test", "--out", tmp_path / "m")
    assert "has no test part" in refused("fit", tmp_path / "all.npz", "--accept", "unreadable", *words)
    assert not (tmp_path / "m").exists()
    assert (tmp_path / "full" / "notes.txt").read_text() == "mine"


def test_a_study_whose_images_are_elsewhere(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cohort = ml.read_cohort(pictures / "labels.csv", cache=tmp_path / "cache")
    study = ml.run_study(
        cohort, tmp_path / "run", rungs=["logistic"], sizes=[20], repeats=1, jobs=1, cache=tmp_path / "cache"
    )
    assert not any(str(pictures) in path.read_text("utf-8") for path in study.path.rglob("*.json"))
    monkeypatch.setattr("platformdirs.user_state_dir", lambda *_args, **_kwargs: str(tmp_path / "nothing"))
    with pytest.raises(StudyError, match="--cohort"):
        ml.fit_model(study, tmp_path / "model", jobs=1)
    other = ml.read_cohort("demo:atrophy", cache=tmp_path / "cache")
    with pytest.raises(StudyError, match="not those of the study"):
        ml.fit_model(study, tmp_path / "model", cohort=other, jobs=1)
    model = ml.fit_model(study, tmp_path / "model", cohort=cohort, jobs=1, cache=tmp_path / "cache")
    assert model.record.evidence is not None


def test_a_rung_that_saw_covariates_is_not_handed_over(pictures: Path, tmp_path: Path) -> None:
    words = ("--covariates", "age", "--rungs", "logistic", "--sizes", "20", "--repeats", 1, "--jobs", 1)
    run("study", pictures / "labels.csv", "--out", tmp_path / "run", *words)
    assert "saw the covariates" in refused("fit", tmp_path / "run", "--out", tmp_path / "model")


def test_a_study_of_another_way_of_training_is_refused(pictures: Path, tmp_path: Path) -> None:
    study, _ = (
        tmp_path / "run",
        run(
            "study",
            pictures / "labels.csv",
            "--out",
            tmp_path / "run",
            "--rungs",
            "logistic",
            "--sizes",
            "20",
            "--repeats",
            1,
            "--jobs",
            1,
        ),
    )
    plan = StudyFolder(study).read_plan().to_json()
    (study / "plan.json").write_text(json.dumps({**plan, "training": 1}))
    assert "another recipe" in refused("fit", study, "--out", tmp_path / "model")


@pytest.mark.parametrize("rung", ["logistic", "cnn:width=8,epochs=2,members=1"])
def test_volumes(rung: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    labels = np.arange(40) % 2
    images = rng.integers(0, 120, (40, 10, 12, 11), dtype=np.uint8)
    images[labels == 1, 3:7, 3:7, 3:7] += 90
    np.savez(tmp_path / "volumes.npz", train_images=images, train_labels=labels)
    cohort = ml.read_cohort(tmp_path / "volumes.npz", cache=tmp_path / "cache")
    model = ml.fit_model(cohort, tmp_path / "model", rung=rung, jobs=1, cache=tmp_path / "cache")
    session = onnxruntime.InferenceSession(
        (tmp_path / "model" / "model.onnx").read_bytes(), providers=["CPUExecutionProvider"]
    )
    [answer] = session.run(None, {"images": (cohort.images / 255).astype(np.float32)})
    np.testing.assert_allclose(answer, model.predict_proba(np.asarray(cohort.images)), atol=1e-4)
    printed = json.loads(run("predict", tmp_path / "model", tmp_path / "volumes.npz", "--json").stdout)["predictions"]
    assert printed[3]["file"].endswith("volumes.npz:train_images[3]")
    np.testing.assert_allclose(list(printed[3]["probabilities"].values()), answer[3], atol=1e-4)


def test_predict_reads_what_a_hospital_has(make: Callable[[str], Path], pictures: Path, tmp_path: Path) -> None:
    """Sixteen bits, colour, depth of folders, hidden and broken files, and names with commas."""
    folder, grey = make("logistic"), np.asarray(Image.open(pictures / "00-0.png"))
    (tmp_path / "in" / "deep, er").mkdir(parents=True)
    Image.fromarray(grey).save(tmp_path / "in" / "a.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "in" / "deep, er" / "b.tif")
    Image.fromarray(np.stack([grey, grey // 2, 255 - grey], axis=2)).save(tmp_path / "in" / "c.png")
    (tmp_path / "in" / "d.png").write_bytes((pictures / "00-0.png").read_bytes()[:90])
    (tmp_path / "in" / ".hidden.png").write_bytes(b"no")
    (tmp_path / "in" / "notes.txt").write_text("no image")
    said = json.loads(run("predict", folder, tmp_path / "in", "--json").stdout)
    by_name = {Path(one["file"]).name: one for one in said["predictions"]}
    assert list(by_name) == ["a.png", "c.png", "b.tif"]
    assert [Path(one["file"]).name for one in said["unreadable"]] == ["d.png"]
    np.testing.assert_allclose(
        list(by_name["a.png"]["probabilities"].values()), list(by_name["b.tif"]["probabilities"].values()), atol=0.01
    )
    assert by_name["c.png"]["unlike_training"] is True
    rows = list(csv.DictReader(io.StringIO(run("predict", folder, tmp_path / "in").stdout)))
    assert [row["unreadable"] != "" for row in rows] == [False, False, False, True]
    assert float(rows[0]["probability_effusion"]) == pytest.approx(
        by_name["a.png"]["probabilities"]["effusion"], abs=1e-5
    )
    run("predict", folder, tmp_path / "in", "--out", tmp_path / "answers.csv")
    assert (tmp_path / "answers.csv").read_text("utf-8").startswith("file,decision,unlike_training,probability_clear")
    assert "exists" in refused("predict", folder, tmp_path / "in", "--out", tmp_path / "answers.csv")


def test_predict_says_what_it_cannot_read(make: Callable[[str], Path], tmp_path: Path) -> None:
    folder = make("logistic")
    assert "is not there" in refused("predict", folder, tmp_path / "nix.png")
    (tmp_path / "empty").mkdir()
    assert "holds no image" in refused("predict", folder, tmp_path / "empty")
    (tmp_path / "bad.png").write_bytes(b"bad")
    assert "None of the 1 images can be read" in refused("predict", folder, tmp_path / "bad.png")
    assert "holds no model.json" in refused("predict", tmp_path, tmp_path / "bad.png")
    np.savez(tmp_path / "volumes.npz", images=np.zeros((2, 8, 8, 8), np.uint8))
    assert "it is a volume where a picture is meant" in refused("predict", folder, tmp_path / "volumes.npz")


def test_arrays_of_another_kind_are_refused(make: Callable[[str], Path]) -> None:
    model = ml.read_model(make("logistic"))
    for wrong in (np.zeros((2, 8, 8), np.uint8), np.full((2, 16, 16), 3.0), np.full((2, 16, 16), np.nan), [[1]]):
        with pytest.raises(ml.InputError, match="Arrays of shape"):
            model.predict_proba(wrong)


def test_a_model_shows_itself(make: Callable[[str], Path]) -> None:
    model = ml.read_model(make("logistic"))
    assert isinstance(model, Model)
    assert "logistic" in repr(model)
    assert "logistic" in model._repr_html_()
    assert "48" in model._repr_html_()


def test_options_of_models_are_checked(make: Callable[[str], Path], pictures: Path) -> None:
    model, cohort = ml.read_model(make("logistic")), ml.read_cohort(pictures / "labels.csv")
    with pytest.raises(OptionError, match="Unknown part 'tset'"):
        model.evaluate(cohort, part="tset")
    with pytest.raises(OptionError, match="Unknown kind to accept"):
        model.evaluate(cohort, accept=["trained"])
    with pytest.raises(CohortError, match="image_size=\\(16, 16\\)"):
        model.evaluate(ml.read_cohort(pictures / "labels.csv", image_size=(8, 8)), part="test")
    with pytest.raises(ModelError, match="is not there"):
        ml.read_model("nowhere/at/all")


# ---- a model on a backbone


def answered(folder: Path, *places: Any) -> np.ndarray:
    printed = json.loads(run("predict", folder, *places, "--json").stdout)["predictions"]
    return np.array([list(one["probabilities"].values()) for one in printed])


@pytest.fixture(scope="module")
def of_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of drawn cells on a backbone that is gone, under names with commas and long numbers in them."""
    home = tmp_path_factory.mktemp("homes")
    path = write_convolution(home / "net_20240115.onnx")
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="net.weights", size_threshold=64)
    (home / "preprocessor_config.json").write_text('{"image_mean": 0.4, "image_std": 0.3}')
    folder = home / "cells, penalty=3" / "model"
    words = ("--rung", f"pretrained:backbone={path},input_size=16", "--image-size", 16, "--jobs", 1)
    said = json.loads(run("fit", "demo:cells", *words, "--out", folder, "--cache", home / "cache", "--json").stdout)
    assert said["rung"]["kind"] == "pretrained"
    for file in home.glob("*.*"):
        file.unlink()
    return folder


@pytest.fixture
def on_onnx(of_onnx: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(of_onnx, tmp_path / "model"))


def test_a_model_brings_its_backbone_along(of_onnx: Path, tmp_path: Path) -> None:
    model = ml.read_model(of_onnx)
    assert {file.name for file in (of_onnx / "backbone").iterdir()} == {
        "net_20240115.onnx",
        "net.weights",
        "preprocessor_config.json",
    }
    assert str(of_onnx.parents[1]) not in (of_onnx / "model.json").read_text("utf-8")
    images = ml.read_cohort("demo:cells", image_size=(16, 16), cache=tmp_path).images[:30]
    for i, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{i:02d}.png")
    from_python = model.predict_proba(np.asarray(images))
    assert np.ptp(from_python, axis=0).max() > 0.1
    np.testing.assert_allclose(answered(of_onnx, *sorted(tmp_path.glob("*.png"))), from_python, atol=1e-6)
    session = onnxruntime.InferenceSession((of_onnx / "model.onnx").read_bytes(), providers=["CPUExecutionProvider"])
    [from_onnx] = session.run(None, {"images": (images / 255).astype(np.float32)})
    np.testing.assert_allclose(from_onnx, from_python, atol=1e-4)


@pytest.mark.parametrize("name", ["net_20240115.onnx", "net.weights", "preprocessor_config.json"])
def test_a_backbone_that_was_changed_is_refused(on_onnx: Path, name: str) -> None:
    file = on_onnx / "backbone" / name
    whole = file.read_bytes()
    for spoilt in (whole[:-3], whole[:-3] + bytes([whole[-3] ^ 1]) + whole[-2:], b""):
        file.write_bytes(spoilt)
        with pytest.raises(ModelError, match=f"{name} (was changed|has)"):
            ml.read_model(on_onnx)
    file.unlink()
    with pytest.raises(ModelError, match=f"{name} is missing"):
        ml.read_model(on_onnx)
    (on_onnx.parent / name).write_bytes(whole)
    file.symlink_to(on_onnx.parent / name)
    with pytest.raises(ModelError, match=f"{name} is a link"):
        ml.read_model(on_onnx)


def test_nothing_is_laid_beside_a_backbone(on_onnx: Path) -> None:
    """Unsigned or signed: a runtime might look for a file there by its name."""
    (on_onnx / "backbone" / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="other files than were written"):
        ml.read_model(on_onnx)
    rewrite(on_onnx)
    with pytest.raises(ModelError, match="no part of the backbone"):
        ml.read_model(on_onnx)


def test_another_backbone_is_refused_whoever_signed_it(on_onnx: Path) -> None:
    """Its own hash stands in the rung; and with that changed too, it answers otherwise."""
    place = on_onnx / "backbone" / "net_20240115.onnx"
    onnx.save(onnx.load(write_convolution(on_onnx.parent / "other.onnx", seed=1)), place,
              save_as_external_data=True, location="net.weights", size_threshold=64)  # fmt: skip
    rewrite(on_onnx)
    with pytest.raises(ModelError, match="another than its rung names"):
        ml.read_model(on_onnx)
    rename(on_onnx, find_backbone(place).identity)
    with pytest.raises(ModelError, match="answers otherwise"):
        ml.read_model(on_onnx)


def rename(folder: Path, identity: str, **settings: Any) -> None:
    """Let the record name another backbone, as someone would who knows how hashes are made."""
    rung = {**facts(folder)["rung"]}
    rewrite(folder, rung={**rung, "settings": {**rung["settings"], "backbone": identity, **settings}})


@pytest.mark.parametrize("where", ["../../outside.weights", "{}/outside.weights"])
@pytest.mark.parametrize("is_hidden", [False, True])
def test_a_backbone_that_names_a_file_outside_reads_none(on_onnx: Path, where: str, is_hidden: bool) -> None:
    """The weights are there and are the right ones; where their name stands in the file changes nothing."""
    place = on_onnx / "backbone" / "net_20240115.onnx"
    shutil.move(on_onnx / "backbone" / "net.weights", on_onnx.parent / "outside.weights")
    model = onnx.load(place, load_external_data=False)
    [tensor] = [one for one in model.graph.initializer if one.external_data]
    said = {one.key: one.value for one in tensor.external_data} | {"location": where.format(on_onnx.parent)}
    del tensor.external_data[:]
    for key, value in said.items():
        tensor.external_data.add(key=key, value=value)
    content = model.SerializeToString()
    if is_hidden:
        content = value_first(content, said["location"])
    place.write_bytes(content)
    if is_hidden:
        rename(on_onnx, find_backbone(place).identity)  # what looks for names without parsing finds none
    else:
        rewrite(on_onnx)
    with pytest.raises(ModelError, match=r"cannot be trusted.*outside\.weights"):
        ml.read_model(on_onnx)


def value_first(content: bytes, location: str) -> bytes:
    """The same graph, with the value of an entry written before its key."""
    length = len(location)
    size = bytes([length] if length < 128 else [length % 128 + 128, length // 128])
    key, value = b"\x0a\x08location", b"\x12" + size + location.encode()
    assert content.count(key + value) == 1
    return content.replace(key + value, value + key)


@pytest.mark.parametrize(
    "settings",
    [{"input_size": 10**6}, {"input_size": 4}, {"input_size": "16"}, {"penalty": "x"}, {"penalty": -1.0}, {"other": 1}],
    ids=str,
)
def test_settings_that_no_backbone_has_are_refused_whoever_signed_them(on_onnx: Path, settings: dict[str, Any]) -> None:
    rename(on_onnx, facts(on_onnx)["rung"]["settings"]["backbone"], **settings)
    with pytest.raises(ModelError, match="cannot be trusted"):
        ml.read_model(on_onnx)


def test_a_rung_names_no_backbone_outside(on_onnx: Path) -> None:
    outside = write_convolution(on_onnx.parent / "other.onnx")
    rung = facts(on_onnx)["rung"]
    for name in (str(outside), f"../../{outside.name}", outside.name):
        identity = f"{name}@{find_backbone(outside).identity.rpartition('@')[2]}"
        rename(on_onnx, identity)
        with pytest.raises(ModelError, match="cannot be trusted"):
            ml.read_model(on_onnx)
    rewrite(on_onnx, rung={**rung, "rung": f"pretrained:backbone={outside}", "settings": {}})
    with pytest.raises(ModelError, match="cannot be trusted"):
        ml.read_model(on_onnx)


def test_a_head_of_another_backbone_is_refused(on_onnx: Path) -> None:
    """Whoever signed it: with more features than the backbone gives."""
    data, arrays = facts(on_onnx), safetensors.numpy.load_file(on_onnx / "weights.safetensors")
    arrays["rung/coef"] = np.hstack([arrays["rung/coef"]] * 2)
    safetensors.numpy.save_file(arrays, on_onnx / "weights.safetensors")
    rewrite(on_onnx, rebuilding={**data["rebuilding"], "n_features_in_": 16})
    with pytest.raises(ModelError, match="8 features"):
        ml.read_model(on_onnx)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_model_brings_a_folder_along(hugging_face: Path, pictures: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="torch exports ONNX through onnxscript (extra pretrained)")
    folder, source = tmp_path / "model", Path(shutil.copytree(hugging_face / "resnet", tmp_path / "resnet"))
    words = ("--rung", f"pretrained:backbone={source},input_size=32", "--image-size", 16, "--jobs", 1)
    run("fit", pictures / "labels.csv", *words, "--out", folder, "--cache", tmp_path / "cache")
    shutil.rmtree(source)
    assert {file.name for file in (folder / "backbone").iterdir()} == {"config.json", "model.safetensors"}
    model = ml.read_model(folder)
    assert model.record.rung["settings"]["backbone"].startswith("resnet@")
    paths = sorted(pictures.glob("*.png"))[:20]
    images = np.stack([np.asarray(Image.open(path).resize((16, 16), Image.Resampling.BILINEAR)) for path in paths])
    from_python = model.predict_proba(images)
    np.testing.assert_allclose(answered(folder, *paths), from_python, atol=1e-6)
    session = onnxruntime.InferenceSession((folder / "model.onnx").read_bytes(), providers=["CPUExecutionProvider"])
    [from_onnx] = session.run(None, {"images": (images / 255).astype(np.float32)})
    np.testing.assert_allclose(from_onnx, from_python, atol=1e-4)
    config = folder / "backbone" / "config.json"
    whole = config.read_text("utf-8")
    config.write_text(whole.replace("basic", "basiC"))
    with pytest.raises(ModelError, match=r"config\.json was changed"):
        ml.read_model(folder)
    for leading in ({"backbone": "someone/theirs"}, {"backbone_config": {"backbone": "/somewhere"}},
                    {"attn_implementation": "someone/code"}):  # fmt: skip
        config.write_text(json.dumps({**json.loads(whole), **leading}))
        rename(folder, find_backbone(folder / "backbone").identity)
        with pytest.raises(ModelError, match="which lies elsewhere"):
            ml.read_model(folder)


def test_a_model_that_was_just_made_answers(pictures: Path, tmp_path: Path) -> None:
    """Its folder was written under another name, where its backbone no longer lies."""
    cohort = ml.read_cohort(pictures / "labels.csv", cache=tmp_path / "cache")
    rung = f"pretrained:backbone={write_convolution(tmp_path / 'net.onnx')},input_size=16"
    model = ml.fit_model(cohort, tmp_path / "model", rung=rung, jobs=1, cache=tmp_path / "cache")
    (tmp_path / "net.onnx").unlink()
    images = np.asarray(cohort.images[:5])
    np.testing.assert_array_equal(model.predict_proba(images), ml.read_model(tmp_path / "model").predict_proba(images))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "model"]


def test_ctrl_c_ends_without_a_word_too_many(
    make: Callable[[str], Path], pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_args: Any, **_options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Model, "predict_files", interrupted)
    result = CliRunner().invoke(app, ["predict", str(make("logistic")), str(pictures)])
    assert result.exit_code == 130
    assert result.stderr == "Stopped.\n"
