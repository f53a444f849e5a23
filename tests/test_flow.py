"""The flow diagram: every image that was given is in one box, and each exclusion has its reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from medladder.record.cohort import CohortRecord
from medladder.record.grouping import Grouping
from medladder.report.flow import Flow, count_flow, draw_flow, say_flow
from medladder.report.page import render
from medladder.report.tables import count_parts, list_characteristics
from report_studies import write_study

FOLD = np.array([0, 0, 0, -1, -1, -1, -1, -2, -3, -3])
PATIENTS = np.array([0, 0, 1, 2, 3, 3, 4, 5, 6, 0])


def a_cohort(classes: tuple[str, ...] = ("well", "sick"), *, patients_known: bool = True) -> CohortRecord:
    """Ten images: three tested, four in the pool, one for choosing, two left out; and two more never read."""
    return CohortRecord(
        "chest",
        "5f1e0c",
        classes,
        patients_known,
        {},
        np.arange(10) % len(classes),
        PATIENTS,
        PATIENTS,
        FOLD,
        excluded=(
            {"kind": "unreadable", "count": 2, "message": "2 of 12 images could not be read."},
            {"kind": "held-apart", "count": 2, "message": "2 training images whose patient is tested."},
        ),
    )


def flow_of(cohort: CohortRecord) -> Flow:
    return count_flow(cohort, count_parts(cohort, ("test",)))


def test_every_image_is_counted_once() -> None:
    flow = flow_of(a_cohort())
    assert (flow.n_given, flow.n_analysed, flow.n_patients) == (12, 8, 6)
    assert sum(sum(part.images) for part in flow.parts) == flow.n_analysed
    assert flow.n_given == flow.n_analysed + sum(count for _, count in flow.left_out)
    assert [(part.part, sum(part.images), part.all_patients) for part in flow.parts] == [
        ("Training pool", 4, 3),
        ("Test", 3, 2),
        ("For choosing only", 1, 1),
    ]


@pytest.mark.parametrize("layout", ["wide", "narrow"])
def test_each_box_and_reason_stands_in_the_drawing(layout: str) -> None:
    flow = flow_of(a_cohort())
    drawing = ElementTree.fromstring(draw_flow(flow, ("well", "sick"))[layout])
    texts = [text.text for text in drawing.iter("text")]
    said = " ".join(text or "" for text in texts)
    assert ("12 images" in texts, "8 images of 6 patients" in texts) == (True, True)
    for told in ("2 could not be read", "2 copy or patient of a test image", "Training pool", "For choosing only"):
        assert told in said
    width = float(drawing.attrib["viewBox"].split()[2])
    boxes = [(float(box.attrib["x"]), float(box.attrib["width"])) for box in drawing.iter("rect")]
    assert all(x >= 0 and x + across <= width for x, across in boxes)


def test_without_patients_and_exclusions_images_alone_are_told(tmp_path: Path) -> None:
    cohort = a_cohort(patients_known=False)
    assert flow_of(cohort).n_patients is None
    assert "patient" not in say_flow(flow_of(cohort)).replace("patient of a test image", "")
    text = render(write_study(tmp_path / "chest", excluded=()))
    assert 'id="figure-flow"' in text
    assert "Left out: none." in text


def test_characteristics_are_patients_of_each_part() -> None:
    """By hand: of the test part's patients 0 and 1, 0 has images of both makers."""
    columns = {"maker": Grouping(("A", "B"), np.array([0, 1, 1, 0, 0, 0, 0, 1, 1, 1]))}
    (maker,) = list_characteristics(replace(a_cohort(), columns=columns), ("test",))
    assert [row.group for row in maker.groups] == ["A", "B"]
    assert [row.patients for row in maker.groups] == [[3, 1, 0], [0, 2, 1]]
    assert maker.groups[0].shares == [1.0, 0.5, 0.0]


def test_many_classes_with_long_names_stay_in_their_boxes() -> None:
    classes = tuple(f"a class whose name is very long, number {n}" for n in range(9))
    drawing = ElementTree.fromstring(draw_flow(flow_of(a_cohort(classes)), classes)["wide"])
    texts = [text.text or "" for text in drawing.iter("text")]
    assert "and 3 more classes" in texts
    assert max(len(text) for text in texts) < 60
