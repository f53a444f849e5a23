"""From images to the browser on real data: study, fit, serve, and what a person sees."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from medladder.cli import app
from served import serving
from test_report_browser import browser
from test_workbench import Watched

assert browser  # a fixture


def run(*words: Any) -> Any:
    result = CliRunner().invoke(app, [str(word) for word in (*words, "--json")], catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize("name", ["pneumoniamnist.npz", "kermany_cxr"])
def test_a_study_is_fitted_served_and_looked_at(
    name: str, shared_data: Callable[[str], Path], browser: Any, tmp_path: Path
) -> None:
    source = shared_data(name)
    rungs = ("--rungs", "prior,logistic", "--rung", "dnn:widths=32-16,epochs=10,members=2")
    drawn = ("--sizes", "100,300", "--repeats", "2", "--image-size", "28")
    run("study", source, "--out", tmp_path / "study", *rungs, *drawn)
    run("fit", tmp_path / "study", "--rung", "dnn:widths=32-16,epochs=10,members=2", "--out", tmp_path / "model")
    if source.suffix == ".npz":
        picture = tmp_path / "one.png"
        Image.fromarray(np.load(source)["test_images"][0]).save(picture)
    else:
        picture = next(iter(sorted(source.rglob("*.jpeg"))))
    [predicted] = run("predict", tmp_path / "model", picture)["predictions"]
    with serving(tmp_path, tmp_path / "study", tmp_path / "model") as running:
        [served] = running.send("/predict", (picture.name, picture.read_bytes())).json()["predictions"]
        assert served["probabilities"] == pytest.approx(predicted["probabilities"], abs=1e-6)
        assert served["decision"] == predicted["decision"]
        watched = Watched(browser, running)
        page = watched.go("/")
        page.locator(".card a").first.click()
        page.wait_for_selector(".grade")
        page.locator("a:has-text('Evidence')").click()
        page.wait_for_selector("text=Acting from a probability of")
        page.goto(f"{running.url}/try/model")
        page.set_input_files("#files", picture)
        page.wait_for_selector(".maps img", timeout=60_000)
        assert page.locator("#answers .said").inner_text() == predicted["decision"]
        shares = page.locator(".shares .estimate").all_inner_texts()
        assert shares == [f"{100 * share:.1f} %" for share in predicted["probabilities"].values()]
        page.goto(f"{running.url}/study/study/layers")
        assert page.locator(".walk li").count() >= 1
        page.goto(f"{running.url}/try/study")
        page.set_input_files("#files", picture)
        page.wait_for_selector(".near img", timeout=60_000)
        assert watched.said == []
        page.close()
