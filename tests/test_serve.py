"""The service as its callers meet it: the answers of the command line, over HTTP, whatever is sent."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import medladder as ml
from drawn_dicom import drawn
from hostile_files import jpegs, others, pngs, tiffs
from hostile_volumes import dicoms, metaimages, nifti, niftis, nrrds
from medladder.cli import app
from medladder.serve.app import make_app
from medladder.serve.guard import Policy
from medladder.serve.hub import Hub
from medladder.serve.limits import Limits
from medladder.serve.room import Room
from medladder.serve.shelf import Shelf
from medladder.serve.uploads import Sent, Shelter
from served import Running, serving


def run(*words: Any) -> Any:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def png(seed: int, level: int = 90) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).normal(level, 40, (16, 16)).clip(0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty pictures in two classes, a model of them and a study."""
    folder = tmp_path_factory.mktemp("place")
    for name, level in (("clear", 90), ("effusion", 130)):
        (folder / "cohort" / name).mkdir(parents=True)
        for i in range(20):
            (folder / "cohort" / name / f"{i:02d}.png").write_bytes(png(1000 * level + i, level))
    cohort = ml.read_cohort(folder / "cohort", cache=folder / "cache")
    ml.fit_model(cohort, folder / "model", rung="nn:width=8,epochs=10", jobs=1, cache=folder / "cache")
    ml.fit_model(cohort, folder / "trees", rung="forest:trees=10", jobs=1, cache=folder / "cache")
    ml.run_study(
        cohort, folder / "study", rungs=("logistic", "nn:width=8,epochs=10"), sizes=("all",), repeats=2, jobs=1,
        cache=folder / "cache",
    )  # fmt: skip
    ml.weigh(folder / "study")
    return folder


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[Running]:
    with serving(place, place / "model", place / "trees", place / "study") as running:
        yield running


def test_the_service_answers_what_the_command_line_answers(server: Running, place: Path) -> None:
    files = sorted((place / "cohort").rglob("*.png"))
    for name in ("model", "trees"):
        printed = run("predict", place / name, *files, "--json")
        answer = server.send(f"/predict?model={name}", *((path.name, path.read_bytes()) for path in files))
        assert answer.status_code == 200
        said = answer.json()
        assert said["model"] == {"name": name, "identity": ml.read_model(place / name).record.identity}
        assert said["unreadable"] == printed["unreadable"] == []
        for mine, theirs in zip(said["predictions"], printed["predictions"], strict=True):
            assert mine["probabilities"] == pytest.approx(theirs["probabilities"], abs=1e-6)
            assert (mine["decision"], mine["unlike_training"]) == (theirs["decision"], theirs["unlike_training"])


def test_every_format_and_a_name_without_meaning(server: Running, tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).normal(110, 40, (16, 16)).clip(0, 255).astype(np.uint8)
    drawn(tmp_path / "a.dcm", pixels)
    for ending in ("png", "jpeg", "tiff"):
        Image.fromarray(pixels).save(tmp_path / f"a.{ending}")
    (tmp_path / "a.nii").write_bytes(nifti(pixels[:, :, None]))
    for path in sorted(tmp_path.glob("a.*")):
        for name in (path.name, f"../../{path.name}", f"Müller, Anna {path.suffix}"):
            answer = server.send("/predict", (name, path.read_bytes()))
            assert answer.status_code == 200, (path, answer.text)
            assert len(answer.json()["predictions"]) == 1


def test_files_that_cannot_be_read_are_named_as_they_were_sent(server: Running) -> None:
    answer = server.send("/predict", ("good.png", png(1)), ("bad.png", b"no picture"), ("good.png", png(2))).json()
    assert [one["file"] for one in answer["predictions"]] == ["good.png", "good.png (2)"]
    [bad] = answer["unreadable"]
    assert bad["file"] == "bad.png"
    assert "not an image of a known kind" in bad["reason"]
    none = server.send("/predict", ("bad.png", b"no picture"))
    assert none.status_code == 422
    assert "None of the 1 files can be read; bad.png: " in none.json()["error"]["found"]
    assert none.json()["unreadable"] == [bad]


def test_a_study_answers_with_its_network_and_knows_its_training_images(server: Running, place: Path) -> None:
    answer = server.send("/predict?model=study", ("one.png", png(1))).json()
    assert answer["model"] == {"name": "study", "identity": None}
    [one] = answer["predictions"]
    assert sum(one["probabilities"].values()) == pytest.approx(1)
    assert one["unlike_training"] is False
    black = io.BytesIO()
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(black, "PNG")
    assert server.send("/predict?model=study", ("b.png", black.getvalue())).json()["predictions"][0]["unlike_training"]


def test_models_and_cards(server: Running, place: Path) -> None:
    listed = server.ask("GET", "/models").json()
    assert listed["default"] == "model"
    assert [(one["name"], one["kind"], one["rung"]) for one in listed["models"]] == [
        ("model", "model", "nn:width=8,epochs=10"),
        ("trees", "model", "forest:trees=10"),
        ("study", "study", "logistic"),
    ]
    assert server.ask("GET", "/models/trees").json() == listed["models"][1]
    card = server.ask("GET", "/models/model/card")
    assert card.text == (place / "model" / "MODEL_CARD.md").read_text("utf-8")
    assert server.ask("GET", "/models/study/card").status_code == 404
    assert server.ask("GET", "/models/none").json()["error"]["needed"] == "One of model, trees, study."
    assert server.send("/predict?model=none", ("a.png", png(1))).status_code == 404


def test_an_explanation_says_what_was_predicted_and_shows_where_it_looked(server: Running) -> None:
    predicted = server.send("/predict?model=study", ("one.png", png(1))).json()["predictions"][0]
    found = server.send("/explain?model=study", ("one.png", png(1))).json()
    assert found["probabilities"] == pytest.approx(predicted["probabilities"], abs=1e-5)
    assert (found["decision"], found["unlike_training"]) == (predicted["decision"], predicted["unlike_training"])
    assert found["file"] == "one.png"
    assert all(one["picture"].startswith("data:image/png;base64,") for one in (*found["maps"], *found["nearest"]))
    assert len(found["nearest"]) == 5
    none = server.send("/explain?model=trees", ("one.png", png(1)))
    assert none.status_code == 422
    assert "no layers" in none.json()["error"]["needed"]
    bad = server.send("/explain", ("one.png", b"no picture"))
    assert bad.status_code == 422
    assert bad.json()["error"]["found"].startswith("one.png: ")
    assert server.send("/explain", ("a.png", png(1)), ("b.png", png(2))).status_code == 400


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="Linux tells which libraries a process has loaded.")
def test_predicting_needs_no_torch(place: Path) -> None:
    # A model on hand-crafted features is opened by skops, which looks through all of scikit-learn, and so finds torch.
    with serving(place, place / "model") as running:
        assert running.send("/predict", ("a.png", png(1))).status_code == 200
        assert "libtorch" not in Path(f"/proc/{running.process.pid}/maps").read_text()
        assert running.send("/explain", ("a.png", png(1))).status_code == 200
        assert "libtorch" in Path(f"/proc/{running.process.pid}/maps").read_text()


def test_the_log_and_the_metrics_hold_nothing_that_was_sent(place: Path) -> None:
    with serving(place, place / "model") as running:
        running.send("/predict?model=model", ("Doe^Jane 1962.png", png(1)))
        running.send("/predict?model=Doe", ("Doe^Jane 1962.png", b"Doe"))
        running.send("/Doe/Jane", ("Doe^Jane 1962.png", b"Doe"))
        metrics = running.ask("GET", "/metrics").text
        assert 'medladder_requests_total{route="/predict",status="200"} 1.0' in metrics
        assert 'medladder_images_total{outcome="predicted"} 1.0' in metrics
        assert "medladder_held_bytes_now 0.0" in metrics
        log = running.log.read_text()
    assert "POST /predict 200" in log
    assert "POST other 404" in log
    assert "Doe" not in log + metrics


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="Elsewhere an upload lies in a private folder.")
def test_uploads_lie_in_memory_and_are_gone_afterwards() -> None:
    shelter = Shelter()
    try:
        with shelter.hold([Sent("../x.nii.gz", b"one"), Sent("no image.exe", b"two")]) as paths:
            assert [path.read_bytes() for path in paths] == [b"one", b"two"]
            assert all(path.is_symlink() and os.readlink(path).startswith("/proc/") for path in paths)
            assert [path.name for path in paths] == ["0.nii.gz", "1"]
            assert paths[0].parent.stat().st_mode & 0o077 == 0
            numbers = [int(os.readlink(path).rpartition("/")[2]) for path in paths]
        assert not list(paths[0].parent.iterdir())
        for number in numbers:
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(number)
    finally:
        shelter.close()
    assert not paths[0].parent.exists()


def test_limits_are_told_before_anything_is_read(server: Running) -> None:
    large = server.send("/predict", ("a.png", bytes(65 * 2**20)))
    assert large.status_code == 413
    assert large.json()["error"]["needed"] == "At most 64 MiB a request."
    many = server.send("/predict", *((f"{i}.png", b"x") for i in range(65)))
    assert many.status_code == 413
    assert "More than 64 files" in many.json()["error"]["found"]

    def endless() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
        for _ in range(70):
            yield bytes(2**20)

    try:
        status = server.ask(
            "POST", "/predict", content=endless(), headers={"Content-Type": "multipart/form-data; boundary=b"}
        ).status_code
    except httpx.TransportError:  # the server hung up while we were still sending
        status = 413
    assert status == 413
    assert server.send("/predict", ("a.png", png(1))).status_code == 200


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=b", b""),
        ("multipart/form-data; boundary=b", b"--b\r\nrubbish"),
        ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="other"\r\n\r\n1\r\n--b--'),
        ("application/json", b"{}"),
        ("image/png", b"\x89PNG"),
        ("", b""),
    ],
)
def test_a_body_that_is_no_upload_is_refused(server: Running, kind: str, body: bytes) -> None:
    answer = server.ask("POST", "/predict", content=body, headers={"Content-Type": kind})
    assert answer.status_code == 400
    assert "multipart/form-data" in answer.json()["error"]["needed"]


def test_pages_of_other_sites_and_other_names_are_refused(server: Running) -> None:
    for headers in (
        {"Host": "hospital.example"},
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    ):
        assert server.ask("GET", "/models", headers=headers).status_code == 403, headers
        assert server.send("/predict", ("a.png", png(1)), headers=headers).status_code == 403, headers
    visit = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert server.ask("GET", "/models", headers=visit).status_code == 200
    assert server.ask("POST", "/predict", headers=visit).status_code == 403
    own = {"Origin": server.url, "Sec-Fetch-Site": "same-origin"}
    assert server.send("/predict", ("a.png", png(1)), headers=own).status_code == 200


def test_every_answer_carries_the_headers_that_keep_a_page_to_itself(server: Running) -> None:
    for path in ("/health", "/models", "/none", "/metrics", "/openapi.json"):
        headers = server.ask("GET", path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "server" not in headers


def test_beyond_loopback_a_token_is_asked_for(place: Path) -> None:
    with serving(place, place / "model", "--host", "0.0.0.0") as running:
        assert running.token is not None
        assert len(running.token) >= 32
        assert running.ask("GET", "/health").status_code == 200
        for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": f"Basic {running.token}"}):
            refused = running.send("/predict", ("a.png", png(1)), headers=headers)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"].startswith("Bearer")
        known = {"Authorization": f"Bearer {running.token}"}
        assert running.send("/predict", ("a.png", png(1)), headers=known).status_code == 200
        assert "set-cookie" not in running.ask("GET", "/enter?token=x").headers
        cookie = running.ask("GET", f"/enter?token={running.token}").headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert running.token not in cookie
        assert running.ask("GET", "/models", headers={"Cookie": cookie.partition(";")[0]}).status_code == 200
        told = running.log.read_text()
        assert running.token not in told
        assert "cross the network in the clear" in told


def test_a_token_of_ones_own(place: Path, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("short\n")
    result = CliRunner().invoke(app, ["serve", str(place / "model"), "--token-file", str(file)])
    assert result.exit_code == 2
    assert "At least 16" in " ".join(result.stderr.split())
    with serving(place, place / "model", MEDLADDER_TOKEN="a-token-of-our-own") as running:
        assert running.token == "a-token-of-our-own"
        assert running.ask("GET", "/models").status_code == 401


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("none",), "none is not there."),
        ((".",), "is no folder of a study or a model."),
        ((), "Nothing to serve."),
        (("{model}", "--host", "203.0.113.7"), "It cannot listen at 203.0.113.7:8000"),
        (("{model}", "--tls-cert", "x.pem"), "One of --tls-cert and --tls-key."),
        (("{model}", "--tls-cert", "x.pem", "--tls-key", "x.pem", "--port", "0"), "The certificate or its key"),
        (("{model}", "--token-file", "none.txt"), "none.txt cannot be read."),
    ],
)
def test_what_cannot_be_served_is_told(
    words: tuple[str, ...], told: str, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["serve", *(word.format(model=place / "model") for word in words)])
    assert result.exit_code == 2, result.stderr
    assert told in " ".join(result.stderr.split())


def test_a_damaged_model_does_not_keep_the_others_from_answering(place: Path, tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "model.json").write_text("{}")
    with serving(tmp_path, tmp_path / "bad", place / "model") as running:
        listed = running.ask("GET", "/models").json()
        assert listed["default"] == "model"
        assert "states no protocol" in listed["models"][0]["problem"]["found"]
        assert running.send("/predict", ("a.png", png(1))).status_code == 200
        assert running.send("/predict?model=bad", ("a.png", png(1))).status_code == 422


def test_when_stopped_it_finishes_what_it_took(place: Path) -> None:
    with serving(place, place / "model") as running, ThreadPoolExecutor(16) as threads:
        files = [(f"{i}.png", png(i)) for i in range(64)]
        asked = [threads.submit(running.send, "/predict", *files) for _ in range(8)]
        while (taken := float(_metric(running, "medladder_requests_now"))) < 4:
            time.sleep(0.005)
        assert running.stop() == 0
        statuses = []
        for one in asked:
            try:
                statuses.append(one.result().status_code)
            except (httpx.ConnectError, httpx.ReadError, httpx.WriteError):  # the door was closed before it was in
                statuses.append(0)
        assert statuses.count(200) >= taken
        assert set(statuses) <= {200, 0, 429}


def _metric(running: Running, name: str) -> str:
    lines = running.ask("GET", "/metrics").text.splitlines()
    return next(line.rpartition(" ")[2] for line in lines if line.startswith(f"{name} "))


def test_what_does_not_fit_is_told_when_to_come_again(server: Running) -> None:
    files = [(f"{i}.png", png(i)) for i in range(64)]
    with ThreadPoolExecutor(24) as threads:
        answers = list(threads.map(lambda _: server.send("/predict", *files), range(48)))
    assert {one.status_code for one in answers} <= {200, 429}
    assert any(one.status_code == 429 for one in answers)
    assert any(one.status_code == 200 for one in answers)
    for one in answers:
        if one.status_code == 429:
            assert 1 <= int(one.headers["retry-after"]) <= 60
            assert "images wait" in one.json()["error"]["found"]


def test_room_is_given_back_whatever_happens() -> None:
    room = Room(Limits(upload_bytes=10, held_bytes=15, requests=1))
    with pytest.raises(ZeroDivisionError), room.request(), room.upload(9):
        room.requests / (room.held_bytes - 9)
    assert (room.requests, room.held_bytes) == (0, 0)
    with room.upload(None) as upload:
        upload.arrived(4)
        upload.arrived(4)
        assert room.held_bytes == 8
        with pytest.raises(Exception, match="more than 0 MiB"):
            upload.arrived(4)
        with pytest.raises(Exception, match="busy"), room.upload(8):
            pass
    assert room.held_bytes == 0


def test_what_takes_too_long_is_let_go(place: Path) -> None:
    hub = Hub.start(Shelf.of([place / "model"], None), Limits(seconds_to_arrive=0.2, seconds_to_answer=0.0))
    boundary = {"Content-Type": "multipart/form-data; boundary=b"}

    async def slow() -> AsyncIterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
        await asyncio.sleep(5)
        yield b"x\r\n--b--"

    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(make_app(hub, Policy(None)))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            files = [("files", ("a.png", png(1)))]
            return [
                await client.post("/predict", content=slow(), headers=boundary),
                await client.post("/predict", files=files),
            ]

    try:
        hub.is_ready.wait(60)
        slow_upload, slow_answer = asyncio.run(ask())
        assert slow_upload.status_code == 408
        assert "did not arrive within 0.2 s" in slow_upload.json()["error"]["found"]
        assert slow_answer.status_code == 503
        assert "No answer within" in slow_answer.json()["error"]["found"]
        assert (hub.room.requests, hub.room.held_bytes, hub.room.waiting_images) == (0, 0, 0)
    finally:
        hub.close()


def test_hostile_files_are_named_and_the_server_goes_on(server: Running, tmp_path: Path) -> None:
    cases = [case for make in (pngs, jpegs, tiffs, others, dicoms, niftis, metaimages, nrrds) for case in make()]
    sent = refused = 0
    for number, case in enumerate(cases):
        path = tmp_path / f"{number}" / case.name
        path.parent.mkdir()
        case.make(path)
        if not path.is_file() or path.stat().st_size > 2**25:
            continue
        answer = server.send("/predict", (case.name, path.read_bytes()))
        sent += 1
        assert answer.status_code in (200, 422), (case.name, answer.text)
        said = answer.json()
        assert len(said["predictions"]) + len(said["unreadable"]) >= 1
        if case.reason and answer.status_code == 422:
            refused += 1
        assert "/medladder-" not in answer.text
    assert sent >= 180
    assert refused >= 100
    assert server.send("/predict", ("a.png", png(1))).status_code == 200


def test_what_is_described_is_what_is_answered(server: Running) -> None:
    # Bytes at random are no image: that requests of the right shape are refused is right.
    words = [
        "run",
        f"{server.url}/openapi.json",
        "--max-examples",
        "20",
        "--exclude-checks",
        "positive_data_acceptance",
    ]
    command = [Path(sys.executable).parent / "schemathesis", *words, "--no-color"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=server.log.parent)
    assert done.returncode == 0, done.stdout[-4000:]
    assert "Tested: 8" in done.stdout
