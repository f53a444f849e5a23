"""The workbench in a real browser: the main act of each page, on two screens, by keyboard, in two languages."""

from __future__ import annotations

import csv
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe

import medladder as ml
from medladder.record.folder import StudyFolder
from medladder.serve.workbench.studies import draw_report
from served import Running, serving
from test_report_browser import SCREENS, browser
from test_serve import png
from untranslated import english_in

assert browser  # a fixture

PAGES = {
    "studies": "/",
    "study": "/study/study",
    "evidence": "/study/study/evidence",
    "layers": "/study/study/layers",
    "layers of dnn": "/study/study/layers?rung=nn%3Awidth%3D8%2Cepochs%3D10&layer=hidden1",
    "try": "/try/study",
    "budget": "/budget",
    "audit": "/study/study/audit",
    "new": "/new?path=cohort",
    "not there": "/study/none",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort with near copies, a study of it that was looked into, and a model, below one root."""
    folder = tmp_path_factory.mktemp("root")
    for name, level in (("clear", 90), ("effusion", 130)):
        (folder / "cohort" / name).mkdir(parents=True)
        for i in range(30):
            (folder / "cohort" / name / f"{i:02d}.png").write_bytes(png(1000 * level + i, level))
    (folder / "private").mkdir()
    cohort = ml.read_cohort(folder / "cohort")
    rungs = ("prior", "logistic", "nn:width=8,epochs=10")
    study = ml.run_study(cohort, folder / "study", rungs=rungs, sizes=("20", "30", "all"), repeats=3, jobs=1)
    ml.weigh(study)
    ml.fit_model(cohort, folder / "forest", rung="forest:trees=10", jobs=1)
    return folder


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[Running]:
    words = (place / "study", place / "forest", "--root", place, "--runs", place / "runs")
    with serving(place, *words) as running:
        yield running


class Watched:
    """A page whose console and requests are watched."""

    def __init__(self, browser: Any, server: Running, screen: str = "wide", language: str = "en-US") -> None:
        width, height = SCREENS[screen]
        self.page = browser.new_page(viewport={"width": width, "height": height}, locale=language)
        self.said: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self._asked(request.url, server.url))
        self.url = server.url

    def _asked(self, url: str, own: str) -> None:
        if not url.startswith((own, "data:")):
            self.said.append(f"asked for {url}")

    def go(self, path: str) -> Any:
        self.page.goto(self.url + path)
        self.page.wait_for_load_state("networkidle")
        return self.page


def wait_until(page: Any, check: str) -> None:
    """Playwright's own waiting evaluates text within the page, which the page's policy forbids."""
    until = time.monotonic() + 30
    while not page.evaluate(check):
        assert time.monotonic() < until, check
        time.sleep(0.05)


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("name", PAGES)
def test_every_page_is_silent_whole_and_open_to_all(browser: Any, server: Running, name: str, screen: str) -> None:
    watched = Watched(browser, server, screen)
    page = watched.go(PAGES[name])
    if name == "audit":
        page.wait_for_selector("text=What the audit found", timeout=60_000)
    assert page.evaluate("document.documentElement.scrollWidth") == SCREENS[screen][0]
    found = Axe().run(page).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")] == []
    expected = ["Failed to load resource: the server responded with a status of 404 (Not Found)"]
    assert watched.said == (expected if name == "not there" else [])
    page.close()


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_left_in_english(server: Running, name: str) -> None:
    if name == "not there":
        return  # errors are said in English, as on the command line
    text = server.ask("GET", PAGES[name], headers={"Accept": "text/html", "Accept-Language": "ko-KR,ko;q=0.9"}).text
    names = ["clear", "effusion", "logistic", "prior", "nn:width=8,epochs=10", "medladder", "English", "Grad-CAM"]
    assert 'lang="ko"' in text
    assert english_in(text, names) == []


def test_what_is_said_of_an_image_is_not_left_in_english(server: Running, place: Path) -> None:
    image = (place / "cohort" / "effusion" / "03.png").read_bytes()
    headers = {"Accept": "text/html", "Accept-Language": "ko"}
    text = server.send("/try/study", ("03.png", image), headers=headers).text
    assert text.count('class="estimate"') == 2
    assert "가중치를 무작위로" in text  # why its maps are believed, or not
    names = ["clear", "effusion", "logistic", "study", "forest", "medladder", "English", "Grad-CAM"]
    assert english_in(text, names) == []


def test_a_report_is_drawn_once_for_what_was_weighed(place: Path) -> None:
    folder = StudyFolder(place / "study")
    drawn = draw_report(folder, "en")
    assert draw_report(folder, "en") is drawn
    assert 'lang="ko"' in draw_report(folder, "ko")
    ml.weigh(folder)
    assert draw_report(folder, "en") is not drawn


def test_evidence_answers_while_sliders_move(browser: Any, server: Running) -> None:
    watched = Watched(browser, server)
    page = watched.go("/study/study/evidence")
    assert page.locator("#scores-wide").get_by_text("nn").count() >= 1
    before = page.locator("tr:has-text('Sensitivity') .estimate").inner_text()
    page.locator("input[name=threshold]").evaluate(
        "e => { e.value = 0.9; e.dispatchEvent(new Event('input', {bubbles: true})) }"
    )
    page.wait_for_selector("text=Acting from a probability of 0.90 on")
    after = page.locator("tr:has-text('Sensitivity') .estimate").inner_text()
    assert float(after) <= float(before)
    assert page.locator("output[data-of=threshold]").inner_text() == "0.9"
    page.locator("input[name=show][value=logistic]").uncheck()
    wait_until(page, "!document.querySelector('#scores-wide').textContent.includes('logistic')")
    assert "threshold=0.9" in page.url
    page.reload()
    assert page.locator("text=Acting from a probability of 0.90 on").count() == 1
    assert watched.said == []
    page.close()


def test_evidence_says_what_a_number_must_be(server: Running) -> None:
    for query in ("threshold=2", "prevalence=x", "target=nan", "rung=none"):
        answer = server.ask("GET", f"/study/study/evidence?{query}", headers={"Accept": "text/html"})
        assert answer.status_code == 200
        assert 'role="alert"' in answer.text


def test_layers_are_walked_and_a_unit_is_picked(browser: Any, server: Running) -> None:
    watched = Watched(browser, server)
    page = watched.go("/study/study/layers?rung=nn%3Awidth%3D8%2Cepochs%3D10")
    assert page.locator(".walk li").count() == 2
    first = page.locator("h2").first.inner_text()
    page.locator("a[rel=next]").click()
    page.wait_for_load_state("networkidle")
    assert page.locator("h2").first.inner_text() != first
    page.locator("a[rel=prev]").click()
    page.wait_for_load_state("networkidle")
    page.locator(".units a").nth(1).click()
    page.wait_for_load_state("networkidle")
    number = re.search(r"unit=(\d+)", page.url)
    assert number is not None
    assert page.locator(f"h2:has-text('Unit {number[1]}')").count() == 1
    assert page.locator(".unit img").count() >= 1
    page.locator("table.sortable button:has-text('Area')").click()
    areas = page.locator("table.sortable tbody tr td:nth-child(3)").all_inner_texts()
    values = [float(text.rstrip(" %")) for text in areas if text != "–"]
    assert values == sorted(values, reverse=True)
    assert watched.said == []
    page.close()


def test_an_image_is_tried(browser: Any, server: Running, place: Path) -> None:
    watched = Watched(browser, server)
    page = watched.go("/try/study")
    page.set_input_files("#files", place / "cohort" / "effusion" / "03.png")
    page.wait_for_selector(".maps img", timeout=60_000)
    shown = page.locator(".shares li").all_inner_texts()
    said = server.send("/predict?model=study", ("03.png", png(130_003, 130))).json()["predictions"][0]
    assert len(shown) == 2
    assert f"{100 * said['probabilities']['effusion']:.1f} %" in shown[1]
    assert page.locator("#answers .said").inner_text() == said["decision"]
    assert page.locator(".near img").count() == 5
    page.set_input_files("#files", files=[{"name": "bad.png", "mimeType": "image/png", "buffer": b"no picture"}])
    page.wait_for_selector(".problem", timeout=60_000)
    assert "bad.png" in page.locator(".problem").inner_text()
    page.locator(".others a:has-text('forest')").click()
    page.set_input_files("#files", place / "cohort" / "clear" / "03.png")
    page.wait_for_selector(".shares", timeout=60_000)
    assert page.locator("text=This rung has no layers to look into").count() == 1
    assert [text for text in watched.said if "422" not in text] == []
    page.close()


def test_a_dropped_image_is_tried(browser: Any, server: Running) -> None:
    page = Watched(browser, server).go("/try/forest")
    transfer = page.evaluate_handle(
        """bytes => { const held = new DataTransfer();
        held.items.add(new File([new Uint8Array(bytes)], 'a.png', {type: 'image/png'})); return held; }""",
        list(png(5)),
    )
    page.dispatch_event("form.drop", "drop", {"dataTransfer": transfer})
    page.wait_for_selector(".shares", timeout=60_000)
    page.close()


def test_the_budget_follows_the_sliders(browser: Any, server: Running) -> None:
    watched = Watched(browser, server)
    page = watched.go("/budget")
    first = "document.querySelector('table.counts tbody td').textContent"
    assert page.evaluate(first) == "1.09 million"
    for name, value, expected in (
        ("side", 128, "4.24 million"),
        ("layers", 1, "4.19 million"),
        ("nodes", 16, "262,000"),
    ):
        page.locator(f"input[name={name}]").evaluate(
            "(e, value) => { e.value = value; e.dispatchEvent(new Event('input', {bubbles: true})) }", value
        )
        wait_until(page, f"{first} === '{expected}'")
    assert watched.said == []
    page.close()


def test_pairs_are_judged_into_a_new_manifest(browser: Any, server: Running, place: Path) -> None:
    watched = Watched(browser, server)
    page = watched.go("/study/study/audit")
    page.wait_for_selector("text=Pairs nearly the same", timeout=60_000)
    assert page.locator("text=What the audit found").count() == 1
    if page.locator(".pairs fieldset").count():
        page.locator(".pairs fieldset").first.locator("input[value=drop]").check()
        page.locator("button:has-text('Write it')").click()
        page.wait_for_selector("[role=status]")
        with (place / "cohort" / "labels-mended.csv").open() as file:
            assert len(list(csv.DictReader(file))) == 59
    assert watched.said == []
    page.close()


def test_a_study_is_started_watched_and_opened(browser: Any, server: Running, place: Path) -> None:
    watched = Watched(browser, server)
    page = watched.go("/new")
    page.locator("a:has-text('cohort')").first.click()
    page.wait_for_load_state("networkidle")
    for rung in ("svm", "forest", "boosting", "nn", "dnn"):
        page.locator(f"input[name=rungs][value={rung}]").uncheck()
    page.locator("input[name=name]").fill("mine")
    page.locator("input[name=repeats]").fill("2")
    page.locator("input[name=sizes]").fill("20,all")
    page.locator("button:has-text('Start')").click()
    page.wait_for_url("**/study/mine", timeout=90_000)
    page.wait_for_selector(".progress .state:has-text('finished')", timeout=90_000)
    page.wait_for_selector(".grade", timeout=30_000)
    page.goto(server.url + "/")
    assert page.locator(".card:has-text('mine') .headline").count() == 1
    assert watched.said == []
    page.close()


def test_a_study_is_stopped_and_goes_on(server: Running, place: Path) -> None:
    fields = {
        "path": "cohort",
        "name": "long",
        "rungs": ["logistic", "nn", "dnn"],
        "repeats": "40",
        "sizes": "20,30,all",
    }
    assert server.ask("POST", "/new", data=fields).status_code == 303
    until = time.monotonic() + 90
    while not (place / "runs" / "long" / "trials.jsonl").is_file():
        assert time.monotonic() < until
        time.sleep(0.1)
    page = server.ask("GET", "/study/long", headers={"Accept": "text/html"})
    assert "Stop it" in page.text
    assert server.ask("POST", "/study/long/stop").status_code == 303
    while "data-refresh" in (page := server.ask("GET", "/study/long/progress")).text:
        assert time.monotonic() < until
        time.sleep(0.1)
    assert "stopped" in page.text
    while server.ask("POST", "/study/long/stop").status_code != 404:  # its process is about to end
        assert time.monotonic() < until
        time.sleep(0.1)
    assert server.ask("POST", "/study/long/go-on").status_code == 303
    while "running" not in server.ask("GET", "/study/long/progress").text:
        assert time.monotonic() < until
        time.sleep(0.1)
    assert server.ask("POST", "/study/long/stop").status_code == 303


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"path": "cohort", "name": "../out", "rungs": "prior"}, "letters, digits"),
        ({"path": "cohort", "name": ".hidden", "rungs": "prior"}, "letters, digits"),
        ({"path": "cohort", "name": "a"}, "No rung."),
        ({"path": "cohort", "name": "a", "rungs": "--out"}, "No rung."),
        ({"path": "cohort", "name": "a", "rungs": "prior", "repeats": "0"}, "1 to 100"),
        ({"path": "cohort", "name": "a", "rungs": "prior", "sizes": "--seed"}, "Sizes --seed"),
        ({"path": "../..", "name": "a", "rungs": "prior"}, "A path above"),
        ({"path": "/etc", "name": "a", "rungs": "prior"}, "A path above"),
    ],
)
def test_what_cannot_be_started_is_told(server: Running, fields: dict[str, str], told: str) -> None:
    answer = server.ask("POST", "/new", data=fields, headers={"Accept": "text/html"})
    assert answer.status_code in (403, 422)
    assert told in answer.text


def test_nothing_above_the_root_is_listed(server: Running, place: Path) -> None:
    (place / "private" / "out").symlink_to("/")
    for path in ("..", "/", "private/out", "cohort/../..", "private/out/etc"):
        answer = server.ask("GET", "/new", params={"path": path}, headers={"Accept": "text/html"})
        if path == "/":
            continue
        assert answer.status_code == 403, path
    listed = server.ask("GET", "/new", params={"path": "private"}, headers={"Accept": "text/html"}).text
    assert "private/out" not in listed


def test_without_a_root_no_study_can_be_started(place: Path) -> None:
    with serving(place, place / "study") as running:
        page = running.ask("GET", "/", headers={"Accept": "text/html"}).text
        assert "/new" not in page
        assert running.ask("GET", "/new").status_code == 403
        assert running.ask("POST", "/new", data={"path": "", "name": "a", "rungs": "prior"}).status_code == 403
        assert running.ask("POST", "/study/study/stop").status_code == 403


def test_the_keyboard_is_enough(browser: Any, server: Running, place: Path) -> None:
    watched = Watched(browser, server)
    page = watched.go("/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"

    def tab_to(check: str) -> None:
        for _ in range(80):
            page.keyboard.press("Tab")
            if page.evaluate(check):
                return
        raise AssertionError(check)

    tab_to("document.activeElement.textContent === 'study'")
    page.keyboard.press("Enter")
    page.wait_for_url("**/study/study")
    tab_to("document.activeElement.textContent === 'Evidence'")
    page.keyboard.press("Enter")
    page.wait_for_url("**/evidence")
    tab_to("document.activeElement.name === 'threshold'")
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    page.wait_for_selector("text=Acting from a probability of 0.60 on")
    tab_to("document.activeElement.name === 'prevalence'")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"
    assert watched.said == []
    page.close()


def test_the_language_is_remembered(browser: Any, server: Running) -> None:
    page = Watched(browser, server).go("/")
    page.locator("a[lang=ko]").click()
    page.wait_for_load_state("networkidle")
    assert page.locator("h1").inner_text() == "연구 목록"
    page.goto(server.url + "/budget")
    assert page.evaluate("document.documentElement.lang") == "ko"
    page.close()


def test_the_whole_report_works_within_its_policy(browser: Any, server: Running) -> None:
    watched = Watched(browser, server)
    page = watched.go("/study/study/report")
    assert page.locator(".picks button").count() == 3
    assert watched.said == []
    page.close()


def test_the_token_is_asked_for_in_the_browser(browser: Any, place: Path) -> None:
    with serving(place, place / "forest", MEDLADDER_TOKEN="a-token-of-our-own") as running:
        page = browser.new_context().new_page()
        page.goto(running.url)
        page.fill("input[name=token]", "another-token-than-that")
        page.keyboard.press("Enter")
        page.wait_for_load_state("networkidle")
        page.fill("input[name=token]", "a-token-of-our-own")
        page.keyboard.press("Enter")
        page.wait_for_selector("h1:has-text('Studies')")
        page.goto(f"{running.url}/models")
        assert "forest" in page.content()
        page.close()
        assert httpx.get(running.url, headers={"Accept": "text/html"}).status_code == 401
