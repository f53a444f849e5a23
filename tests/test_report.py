"""The page: its numbers are the evidence's, it stands alone, and nothing a user names can break it."""

from __future__ import annotations

import html
import inspect
import json
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import image as raster

from medladder.cli.options import CohortOptions
from medladder.errors import StudyError
from medladder.images.reading import Reading
from medladder.images.values import Window, parse_window
from medladder.record.cohort import CohortRecord
from medladder.record.folder import StudyFolder
from medladder.report.page import read_examples, render, write_report
from medladder.report.palette import choose_looks
from medladder.report.rerun import write_commands
from medladder.report.tables import count_parts, group_differences
from report_studies import LADDER, write_study

SECTIONS = ("verdict", "scores", "rungs", "differences", "networks", "cohort", "run", "reading")
NASTY = "<script>alert('x')</script> & \"quoted\" $x^2$"
TEN = (
    "prior", "logistic", "svm", "forest", "boosting", "nn", "dnn", "dnn:depth=4,width=512",
    "dnn:depth=12,width=512,activation=gelu,taper=0.7", "cnn",
)  # fmt: skip
DEEP = {
    "dnn:depth=4,width=512": [512] * 4,
    "dnn:depth=12,width=512,activation=gelu,taper=0.7": [512, 480, 440, 400, 300, 256, 200, 128, 100, 64, 32, 16],
}
SHAPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "one size, one repeat": {"sizes": (120,), "repeats": 1},
    "no pictures": {"pictures": 0},
    "colour, twelve classes, five folds": {
        "classes": tuple(f"class {i} of a long and winding name" for i in range(12)),
        "shape": (64, 64, 3), "folds": ("1", "2", "3", "4", "5"), "n_images": 480,
    },
    "volumes": {"shape": (32, 64, 64, 1), "pictures": 0},
    "ten rungs with gaps": {
        "rungs": TEN, "hidden": DEEP, "missing": (("svm", 240), ("nn", 5232), ("dnn:depth=4,width=512", 31)),
    },
    "one rung": {"rungs": ("svm",)},
    "nothing fitted": {"missing": tuple((rung, size) for rung in LADDER for size in (31, 86)), "sizes": (31, 86)},
}  # fmt: skip


class Page(HTMLParser):
    """What a browser would find: tags with attributes in order, and the text of table rows."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[str] = []
        self._in_row = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append("")
            self._in_row = True

    def handle_endtag(self, tag: str) -> None:
        self._in_row = self._in_row and tag != "tr"

    def handle_data(self, data: str) -> None:
        if self._in_row:
            self.rows[-1] += f" {data.strip()}"

    def values(self, *names: str) -> list[str]:
        return [attrs[name] or "" for _, attrs in self.tags for name in names if name in attrs]


@pytest.fixture(params=SHAPES)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> StudyFolder:
    return write_study(tmp_path / "chest", **SHAPES[request.param])


def test_a_page_of_any_shape_stands_alone(folder: StudyFolder) -> None:
    path = write_report(folder)
    text = path.read_text("utf-8")
    page = Page(text)
    assert path == folder.report
    assert path.stat().st_size < 3_000_000
    assert "<script src" not in text
    assert not re.search(r"@import|url\((?!#)", text)
    for reference in page.values("src", "href", "srcset", "action", "data"):
        assert re.match(r"#|data:|https://(doi|arxiv|jmlr)\.org/", reference), reference


def test_ids_are_unique_and_every_reference_within_the_page_resolves(folder: StudyFolder) -> None:
    text = render(folder)
    page = Page(text)
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    wanted = [value[1:] for value in page.values("href") if value.startswith("#")] + re.findall(
        r"url\(#([^)]+)\)", text
    )
    assert set(wanted) <= set(ids)


def test_two_writes_are_equal(folder: StudyFolder) -> None:
    first = write_report(folder).read_bytes()
    assert write_report(folder.path).read_bytes() == first


def test_every_section_and_figure_is_there_in_order(tmp_path: Path) -> None:
    page = Page(render(write_study(tmp_path / "chest", warnings=("Few patients.",))))
    ids = page.values("id")
    assert [name for name in ids if name in SECTIONS] == list(SECTIONS)
    figures = (
        "scores-wide",
        "scores-narrow",
        "network-0",
        "network-1",
        "network-2",
        "unrolled-wide",
        "unrolled-narrow",
        "growth-wide",
        "growth-narrow",
    )
    assert {*figures, "warnings"} <= set(ids)
    labels = [attrs["aria-label"] or "" for tag, attrs in page.tags if tag == "svg" and attrs.get("id") in figures]
    assert "AUROC at 5,232 training patients: dnn 0.9" in labels[0]
    assert "784 → 256 → 128 → 64 → 1 nodes" in labels[4]
    # 512² · 256 + 256, 256 · 128 + 128, 128 · 64 + 64, 64 + 1
    assert "dnn 242,000 at working size, 67.2 million at a side of 512" in labels[-1]
    assert len([tag for tag, attrs in page.tags if tag == "img" and (attrs["alt"] or "").startswith("Example")]) == 8


def test_numbers_on_the_page_are_the_evidence(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "chest", classes=("a", "b", "c"))
    evidence = folder.read_evidence()
    point = evidence["rungs"][4]["points"][-1]
    point["auroc"] = {"estimate": 0.91234, "low": 0.87654, "high": 0.93651}
    point["recall"]["c"] = {"estimate": 0.71, "low": 0.6996, "high": 0.7204}
    evidence["comparisons"][1]["difference"] = {"estimate": -0.0123, "low": -0.0316, "high": 0.0004}
    evidence["cost"]["dnn"][-1].update(fit_seconds=12.34, n_parameters=218000)
    folder.write_json("evidence.json", evidence)
    rows = [" ".join(row.split()) for row in Page(render(folder)).rows]
    assert any(row.startswith("dnn recommended 0.912 0.877–0.937") and row.endswith("218,000 12.3") for row in rows)
    assert any(row.startswith("c ") and row.endswith("0.710 0.700–0.720") for row in rows)
    assert "dnn against svm −0.012 −0.032 to 0.000" in rows


def test_every_estimate_of_the_evidence_stands_in_the_tables(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "chest", rungs=TEN, hidden=DEEP)
    text = " ".join(Page(render(folder)).rows)
    for rung in folder.read_evidence()["rungs"]:
        for point in rung["points"]:
            assert f"{point['auroc']['low']:.3f}–{point['auroc']['high']:.3f}" in text


def test_the_verdict_says_grade_sentences_rules_and_warnings(tmp_path: Path) -> None:
    folder = write_study(
        tmp_path / "chest", grade="cannot tell", sentences=("Nothing is shown.", "Ask again."), warnings=("Thin.",)
    )
    text = render(folder)
    assert "These data cannot tell" in text
    assert re.search(r'<h1 title="rule of sentence 0">Nothing is shown\.', text)
    assert text.index("Ask again.") < text.index("Thin.") < text.index('id="scores"')
    assert re.search(r'<li id="rule-3">rule of warning 0</li>', text)


def test_a_convolutional_network_is_drawn_and_counted_where_the_plan_tells_it(tmp_path: Path) -> None:
    text = html.unescape(render(write_study(tmp_path / "told", rungs=("svm", "cnn"))))
    assert "feature maps, 16 of 28 × 28 → 32 of 14 × 14 → 64 of 7 × 7." in text
    assert "71,921 parameters × 3 members." in text
    assert 'id="growth-wide"' in text
    assert "unrolled" not in Page(text).values("id")
    before = render(write_study(tmp_path / "older", rungs=("svm", "cnn"), is_told=False))
    assert 'id="networks"' not in before


def test_a_study_of_vectors_or_without_networks_shows_no_growth(tmp_path: Path) -> None:
    assert "growth-wide" not in render(write_study(tmp_path / "svm", rungs=("prior", "svm")))
    assert "growth-wide" not in render(write_study(tmp_path / "vectors", shape=(30,), pictures=0, rungs=("svm", "cnn")))


def test_what_a_user_names_is_escaped_everywhere(tmp_path: Path) -> None:
    folder = write_study(
        tmp_path / "chest",
        classes=("normal", NASTY),
        sentences=(NASTY, NASTY),
        warnings=(NASTY,),
        findings=({"kind": "x", "severity": "note", "count": 1, "message": NASTY, "action": NASTY},),
        excluded=({"kind": "x", "count": 1, "message": NASTY},),
        leave_out=NASTY,
        split=NASTY,
    )
    text = render(folder)
    assert "<script>alert" not in text
    assert text.count("&lt;script&gt;") >= 9
    assert [attrs.get("type") for tag, attrs in Page(text).tags if tag == "script"] == ["application/json", None]


def test_one_size_has_rows_instead_of_curves_and_says_what_one_repeat_means(tmp_path: Path) -> None:
    text = render(write_study(tmp_path / "chest", sizes=(120,), repeats=1))
    assert "so there is no curve" in text
    assert "patients (log scale)" not in text
    assert "test patients only" in text


def test_a_rung_without_a_score_at_the_size_compared_says_so(tmp_path: Path) -> None:
    text = render(write_study(tmp_path / "chest", missing=(("nn", 5232),)))
    assert "The rungs at 5,232" in text
    assert "no score at this size" in text


def test_the_table_is_at_the_size_that_the_verdict_compares(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "chest", missing=(("nn", 5232), ("dnn", 5232)))
    evidence = folder.read_evidence()
    for comparison in evidence["comparisons"]:
        comparison["n_train"] = 1870
    folder.write_json("evidence.json", evidence)
    text = render(folder)
    assert "The rungs at 1,870" in text
    assert "The verdict compares the rungs at this size." in text
    assert "no score at this size" not in text


def test_sensitivity_is_for_two_classes_and_recall_for_more(tmp_path: Path) -> None:
    two = render(write_study(tmp_path / "two"))
    three = render(write_study(tmp_path / "three", classes=("a", "b", "c")))
    assert "Sensitivity is for “pneumonia”" in two
    assert "Recall of each class" not in two
    assert "Recall of each class" in three
    assert "Sensitivity" not in three


def test_examples_give_way_before_the_page_grows_too_large(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "chest", classes=tuple("abcdefghijkl"), pictures=0)
    rng = np.random.default_rng(0)
    folder.pictures.mkdir()
    for label in range(12):
        for i in range(6):
            raster.imsave(folder.pictures / f"example-{label}-{i}.png", rng.random((96, 96, 3)))
    kept = [len(paths) for paths in read_examples(folder.pictures, 12)]
    assert len(set(kept)) == 1
    assert 1 <= kept[0] < 6
    assert write_report(folder).stat().st_size < 3_000_000


def test_the_page_needs_neither_torch_nor_images(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "chest")
    script = (
        "import sys\n"
        "for name in ('torch', 'skimage', 'sklearn', 'medladder.images', 'medladder.cohort', 'medladder.study'):\n"
        "    sys.modules[name] = None\n"
        "from medladder.report.page import write_report\n"
        f"write_report({str(folder.path)!r})\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, timeout=120)
    assert folder.report.is_file()


def test_a_folder_without_evidence_is_refused(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "chest")
    (folder.path / "evidence.json").unlink()
    with pytest.raises(StudyError, match=r"holds no evidence\.json"):
        write_report(folder)


def test_the_command_runs_the_same_study(tmp_path: Path) -> None:
    plan = write_study(tmp_path / "chest", sizes=(31, 86), shape=(28, 28)).read_plan()
    assert write_commands(plan) == [
        "medladder study COHORT --out RUN --rungs prior,logistic,svm,nn,dnn --sizes 31,86 --repeats 10 "
        "--image-size 28 --seed 0 --margin 0.02"
    ]


def test_the_command_keeps_order_settings_and_choices(tmp_path: Path) -> None:
    plan = write_study(
        tmp_path / "chest", rungs=("dnn:depth=4,width=512", "prior"), sizes=(50,), shape=(28, 32, 3), repeats=12,
        round=10, keep_val=True, accept=("shortcut",), leave_out="site of care", hidden=DEEP,
    ).read_plan()  # fmt: skip
    first, second = (shlex.split(command) for command in write_commands(plan))
    assert [first[i + 1] for i, word in enumerate(first) if word == "--rung"] == ["dnn:depth=4,width=512", "prior"]
    assert first[first.index("--image-size") + 1] == "28x32"
    assert first[first.index("--leave-out") + 1] == "site of care"
    assert first[first.index("--accept") + 1] == "shortcut"
    assert "--keep-val" in first
    assert (first[first.index("--repeats") + 1], second[second.index("--repeats") + 1]) == ("10", "12")


@pytest.mark.parametrize(
    "reading",
    [
        Reading((28, 28), Window(-600, 1500), "slices", is_cropped=True, box_mm=(180.0, 160.5)),
        Reading((8, 28, 28), stacks="volumes"),
        Reading((28, 28)),
    ],
)
def test_the_command_reads_the_images_alike(tmp_path: Path, reading: Reading) -> None:
    assert reading.size is not None
    told = reading.settle([reading.size], [None])
    folder = write_study(tmp_path / "chest", shape=reading.size)
    plan = replace(folder.read_plan(), image={"shape": list(reading.size), "preparation": told.to_json()})
    words = shlex.split(write_commands(plan)[0])
    named = {
        name: words[words.index("--" + name) + 1]
        for name in ("image-size", "window", "stacks", "box-mm")
        if "--" + name in words
    }
    typed = CohortOptions(**{name.replace("-", "_"): text for name, text in named.items()}, crop="--crop" in words)
    how = typed.how_images
    again = Reading(
        how["image_size"],
        parse_window(how["window"]) if "window" in how else None,
        how.get("stacks"),
        is_cropped="crop" in how,
        box_mm=how.get("box_mm"),
    )
    assert again.settle([reading.size], [None]) == told


def test_the_command_names_options_that_exist(tmp_path: Path) -> None:
    from medladder import cli

    plan = write_study(
        tmp_path / "chest", rungs=("dnn:depth=4,width=512",), hidden=DEEP, keep_val=True, accept=("x",), leave_out="y"
    ).read_plan()
    options = [word[2:].replace("-", "_") for word in shlex.split(write_commands(plan)[0]) if word.startswith("--")]
    assert set(options) <= set(inspect.signature(cli.studies.study).parameters)


def test_the_command_on_the_page_is_the_command(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "chest", leave_out="site of care")
    block = re.search(r"<pre>(.*?)</pre>", render(folder), flags=re.DOTALL)
    assert block is not None
    assert html.unescape(re.sub(r"<[^>]+>", "", block[1])) == write_commands(folder.read_plan())[0]


def test_images_are_the_unit_where_patients_are_not(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "chest", patients_known=False, sentences=("Nothing is shown.",))
    folder.write_json("evidence.json", folder.read_evidence() | {"unit": "image"})
    text = render(folder)
    assert "Score against number of training images" in text
    assert "training images (log scale)" in text
    assert "each image counts as a patient" in text
    assert "training patients" not in text


def test_no_path_of_this_machine_stands_on_the_page(tmp_path: Path) -> None:
    assert str(tmp_path) not in render(write_study(tmp_path / "chest"))


def test_parts_count_images_and_patients_by_class() -> None:
    # Patient 0 has an image of each class in the pool, patients 1 and 2 are tested, patient 3 is for choosing,
    # patient 4 was left out.
    cohort = CohortRecord(
        "chest", "f", ("a", "b"), True, {},
        labels=np.array([0, 1, 0, 0, 1, 0]), patients=np.array([0, 0, 1, 1, 2, 4]), groups=np.array([0, 0, 1, 1, 2, 4]),
        test_fold=np.array([-1, -1, 0, 0, -2, -3]),
    )  # fmt: skip
    pool, test, choosing = count_parts(cohort, ("test",))
    assert (pool.images, pool.patients, pool.all_patients) == ([1, 1], [1, 1], 1)
    assert (test.images, test.patients, test.all_patients) == ([2, 0], [1, 0], 1)
    assert (choosing.images, choosing.patients, choosing.all_patients) == ([0, 1], [0, 1], 1)


def test_simultaneous_differences_come_first_on_a_scale_symmetric_about_nought() -> None:
    def compare(estimate: float, *, simultaneous: bool) -> dict[str, Any]:
        ends = {"estimate": estimate, "low": estimate - 0.01, "high": estimate + 0.01}
        return {
            "metric": "auroc",
            "n_train": 9,
            "rung": "a",
            "against": "b",
            "difference": ends,
            "simultaneous": simultaneous,
        }

    comparisons = [
        compare(0.0, simultaneous=False),
        compare(0.04, simultaneous=True),
        compare(-0.02, simultaneous=True),
    ]
    first, second = group_differences({"rungs": [], "comparisons": comparisons}, 0.02)
    assert (first.is_simultaneous, second.is_simultaneous) == (True, False)
    # The furthest end is .05, and the strip reaches 6 % further: .053 is the right edge.
    assert first.rows[0].high == pytest.approx(50 + 50 * 0.05 / 0.053)
    assert first.rows[1].middle == pytest.approx(50 - 50 * 0.02 / 0.053)
    assert (first.zero, first.margin_low + first.margin_high) == (50, 100)


def test_differences_to_the_floor_do_not_set_the_scale_of_the_others() -> None:
    floor = {"rung": "prior", "family": "floor"}
    large, small = {"estimate": 0.4, "low": 0.3, "high": 0.5}, {"estimate": 0.0, "low": -0.04, "high": 0.04}
    comparisons = [
        {"metric": "auroc", "n_train": 9, "rung": "a", "against": against, "difference": ends, "simultaneous": True}
        for against, ends in (("prior", large), ("b", small))
    ]
    others, to_floor = group_differences({"rungs": [floor], "comparisons": comparisons}, 0.02)
    assert (others.is_to_floor, to_floor.is_to_floor) == (False, True)
    assert others.rows[0].high == pytest.approx(50 + 50 / 1.06)


@given(st.lists(st.sampled_from([*TEN, "mine", "dnn:width=2", "dnn:width=3", "nn:width=9"]), unique=True, max_size=10))
def test_no_two_rungs_of_a_figure_look_alike(names: list[str]) -> None:
    family = {"prior": "floor", "nn": "deep", "dnn": "deep", "cnn": "deep"}
    looks = choose_looks([{"rung": n, "family": family.get(n.split(":")[0], "conventional")} for n in names])
    assert list(looks) == names
    assert len({(look.dash, look.marker) for look in looks.values()}) == len(names)


def test_a_page_is_drawn_from_weighed_evidence_as_it_comes(tmp_path: Path) -> None:
    from drawn_studies import draw_study
    from medladder.evidence.weighing import weigh

    folder = draw_study(tmp_path / "drawn", repeats=3, sizes=(31, 86), n_test_patients=60)
    weigh(folder)
    text = render(folder)
    evidence = json.loads((folder.path / "evidence.json").read_text("utf-8"))
    auroc = evidence["rungs"][-1]["points"][-1]["auroc"]
    assert f"{auroc['low']:.3f}–{auroc['high']:.3f}" in text


def test_a_volume_is_said_to_be_one(tmp_path: Path) -> None:
    text = render(write_study(tmp_path / "brain", **SHAPES["volumes"]))
    assert "It is a volume of 32 slices" in text
    assert "slices" not in render(write_study(tmp_path / "chest"))
