"""What is written is true: the manual is not stale, the examples run, every module has a floor."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_the_manual_is_what_the_command_line_says(tmp_path: Path) -> None:
    words = [
        "utils",
        "docs",
        "--name",
        "medladder",
        "--title",
        "The command line",
        "--output",
        str(tmp_path / "cli.md"),
    ]
    subprocess.run([sys.executable, "-m", "typer", "medladder.cli", *words], check=True, capture_output=True)
    fresh = (tmp_path / "cli.md").read_text("utf-8")
    assert fresh == (ROOT / "docs" / "cli.md").read_text("utf-8"), "run 'make docs'"


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.stem)
def test_examples_run(example: Path, tmp_path: Path) -> None:
    places = dict.fromkeys(("XDG_CACHE_HOME", "XDG_STATE_HOME", "TMPDIR"), str(tmp_path))
    environment = {**os.environ, **places}
    done = subprocess.run([sys.executable, str(example)], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_every_dependency_has_its_reason() -> None:
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    block = re.search(r"^dependencies = \[(.*?)^\]", project, re.DOTALL | re.MULTILINE)
    assert block is not None
    reasons = (ROOT / "docs" / "dependencies.md").read_text("utf-8")
    constraints = (ROOT / "constraints.txt").read_text("utf-8").lower()
    names = re.findall(r'"([a-z0-9-]+)', block.group(1))
    assert len(names) > 5
    for name in names:
        assert f"| {name} |" in reasons
        assert f"\n{name}==" in constraints


def test_links_in_the_readme_and_docs_lead_somewhere() -> None:
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name} → {target}"


@pytest.mark.parametrize(
    ("version", "machine", "message"),
    [
        ((3, 10, 1), ("Linux", "x86_64", "glibc"), "Python 3.11, 3.12, 3.13 or 3.14"),
        ((3, 15, 0), ("Linux", "x86_64", "glibc"), "Python 3.11, 3.12, 3.13 or 3.14"),
        ((3, 12, 0), ("Darwin", "x86_64", ""), "Apple silicon"),
        ((3, 12, 0), ("Linux", "x86_64", ""), "no musl build"),
        ((3, 12, 0), ("Haiku", "x86_64", ""), "Linux, macOS or Windows"),
        ((3, 14, 0), ("Darwin", "arm64", ""), None),
        ((3, 11, 0), ("Windows", "AMD64", ""), None),
    ],
)
def test_an_unfit_machine_is_told_so_before_anything_is_installed(
    version: tuple[int, ...], machine: tuple[str, str, str], message: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import platform
    import runpy

    check = runpy.run_path(str(ROOT / "scripts" / "check_python.py"))["why_not"]
    monkeypatch.setattr(sys, "version_info", version)
    for name, value in zip(("system", "machine", "libc_ver"), machine, strict=True):
        answer = (value, "2") if name == "libc_ver" else value
        monkeypatch.setattr(platform, name, lambda answer=answer: answer)
    problem = check()
    assert (problem is None) if message is None else message in " ".join(problem)
