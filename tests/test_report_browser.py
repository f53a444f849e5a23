"""The page in a real browser: silent, alone, and whole on a wide and a narrow screen."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import html5lib
import pytest
from axe_playwright_python.sync_playwright import Axe

import medladder as ml
from medladder.report.page import write_report
from medladder.report.wording import estimate_with_span
from report_studies import write_study
from test_report import DEEP, NASTY, TEN

STUDIES: dict[str, dict[str, Any]] = {
    "five rungs": {"warnings": ("Every interval may be too narrow.",)},
    "ten rungs, twelve classes, colour": {
        "rungs": TEN, "hidden": DEEP, "shape": (64, 64, 3), "sizes": (64, 90, 128, 181, 256, 362, 512, 724, 1024),
        "classes": (NASTY, *(f"adenocarcinoma_of_type_{i}_in_situ" for i in range(11))),
        "missing": (("nn", 1024), ("svm", 256)), "n_images": 480,
    },
    "convolutional": {
        "rungs": ("logistic", "nn", "cnn", "cnn:width=128,depth=5", "cnn:width=64,depth=7"), "shape": (512, 512, 3),
        "classes": ("a", "b", "c"), "pictures": 1,
    },
    "one size, no pictures": {"sizes": (120,), "repeats": 1, "pictures": 0, "rungs": TEN, "hidden": DEEP},
}  # fmt: skip
SCREENS = {"wide": (1280, 800), "narrow": (390, 844)}

# Pairs of texts of one drawing whose boxes share more than a pixel, and texts cut by the edge of the screen.
FIND_CLASHES = """() => {
  const clashes = [];
  for (const svg of document.querySelectorAll('svg.drawing')) {
    const boxes = [...svg.querySelectorAll('text')].map(t => [t.textContent, t.getBoundingClientRect()])
      .filter(([text, box]) => text.trim() && box.width > 0);
    boxes.forEach(([a, p], i) => {
      if (p.left < -1 || p.right > innerWidth + 1) clashes.push(`${svg.id}: ${a} is cut`);
      for (const [b, q] of boxes.slice(i + 1)) {
        const width = Math.min(p.right, q.right) - Math.max(p.left, q.left);
        const height = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
        if (width > 1 && height > 3) clashes.push(`${svg.id}: ${a} / ${b}`);
      }
    });
  }
  return clashes;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    path = next((found for name in names if (found := shutil.which(name))), None)
    if path is None:
        missing = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        missing("No Chromium or Chrome on the path.")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="module", params=STUDIES)
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(write_study(tmp_path_factory.mktemp("study") / "chest", **STUDIES[request.param]))


@pytest.mark.parametrize("screen", SCREENS)
def test_the_page_is_silent_alone_and_fits(browser: Any, report: Path, screen: str) -> None:
    width, height = SCREENS[screen]
    page = browser.new_page(viewport={"width": width, "height": height})
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(report.as_uri())
    page.wait_for_load_state("load")
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [report.as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(FIND_CLASHES) == []
    other = "narrow" if screen == "wide" else "wide"
    assert page.locator(f"#scores-{screen}").is_visible()
    assert not page.locator(f"#scores-{other}").is_visible()
    page.close()


def test_the_verdict_is_the_largest_thing_on_the_first_screen(browser: Any, report: Path) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto(report.as_uri())
    sizes = page.evaluate(
        "[...document.querySelectorAll('h1, h2, h3, p, li, td, th')]"
        ".map(e => [e.tagName, parseFloat(getComputedStyle(e).fontSize)])"
    )
    largest = max(size for _, size in sizes)
    assert [tag for tag, size in sizes if size == largest] == ["H1"]
    assert page.locator("h1").bounding_box()["y"] < 300
    assert page.locator("#scores h2").bounding_box()["y"] < 800
    page.close()


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("screen", SCREENS)
def test_axe_finds_nothing_serious(browser: Any, report: Path, screen: str, colours: str) -> None:
    width, height = SCREENS[screen]
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=colours)
    page.goto(report.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    found = Axe().run(page).response["violations"]
    page.close()
    assert [(one["id"], one["impact"], one["nodes"][0]["html"][:200]) for one in found] == []


def test_a_study_that_was_run_fits_and_axe_finds_nothing(browser: Any, tmp_path: Path) -> None:
    cohort = ml.read_cohort("demo:atrophy", image_size=(12,))
    study = ml.run_study(
        cohort, tmp_path / "study", rungs=["prior", "logistic", "nn:epochs=3"], sizes=["40", "120"], repeats=3, jobs=1,
        prevalence=0.1, inspection=False,
    )  # fmt: skip
    ml.weigh(study)
    for language in ("en", "ko"):
        path = write_report(study, language=language)
        for width, height in SCREENS.values():
            for colours in ("light", "dark"):
                page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=colours)
                page.goto(path.as_uri())
                page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
                found = Axe().run(page).response["violations"]
                assert page.evaluate("document.documentElement.scrollWidth") == width
                page.close()
                assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found] == []


def test_the_page_is_valid_html(report: Path) -> None:
    parser = html5lib.HTMLParser()
    parser.parse(report.read_text("utf-8"))
    assert [(place, kind) for place, kind, _ in parser.errors] == []


def test_without_scripts_nothing_is_missing(browser: Any, report: Path) -> None:
    texts = []
    for has_script in (True, False):
        context = browser.new_context(java_script_enabled=has_script, viewport={"width": 1280, "height": 800})
        page = context.new_page()
        page.goto(report.as_uri())
        texts.append({" ".join(line.split()) for line in page.locator("main").inner_text().splitlines()})
        context.close()
    with_script, without = texts
    names = {one.split(":")[0] for one in TEN}
    assert {line for line in without - with_script if line.split(":")[0] not in names} == set()


def test_rungs_can_be_put_aside_points_asked_and_tables_sorted(browser: Any, tmp_path: Path) -> None:
    folder = write_study(tmp_path / "chest", rungs=("svm", "nn", "dnn"))
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto(write_report(folder).as_uri())
    pick = page.get_by_role("button", name="nn", exact=True)
    of_nn = page.locator('#scores-wide g[id*="-rung-1-"]')
    assert of_nn.first.is_visible()
    pick.focus()
    page.keyboard.press("Enter")
    assert pick.get_attribute("aria-pressed") == "false"
    assert not of_nn.first.is_visible()
    assert page.locator('#scores-wide g[id*="-rung-0-"]').first.is_visible()
    page.locator('#scores-wide g[id^="scores-wide-rung-0-points"] use').nth(1).hover(force=True)
    point = folder.read_evidence()["rungs"][0]["points"][1]
    expected = f"svm, {point['n_train']:,} training patients: {estimate_with_span(point['auroc'])}"
    assert page.locator("#tip").inner_text() == expected
    scores = page.locator("#rungs td:nth-child(2) .estimate")
    page.locator("#rungs th button", has_text="AUROC").click()
    falling = [float(text) for text in scores.all_inner_texts()]
    page.locator("#rungs th button", has_text="AUROC").click()
    assert falling == sorted(falling, reverse=True)
    assert [float(text) for text in scores.all_inner_texts()] == falling[::-1]
    page.close()
