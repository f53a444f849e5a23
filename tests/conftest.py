"""Fixtures that several test files share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from jaxtyping import install_import_hook
from PIL import Image

# Shapes in signatures are checked while testing and cost nothing in production. Not everywhere: the checker does not
# know `Self` (the estimators), and an axis name means one length a call, which layers of a network have several of.
CHECKED = ("archive", "audit", "decision", "evidence", "images", "record", "splits")
install_import_hook([f"medladder.{name}" for name in CHECKED], "shapes.check")

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def skip_or_fail(reason: str) -> None:
    """A missing prerequisite skips a test on someone's laptop and fails it in CI."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """The path of a real data set beside the project."""

    def find(name: str) -> Path:
        path = SHARED / name
        if not path.exists():
            skip_or_fail(f"real data not found: {path}")
        return path

    return find


@pytest.fixture(scope="session", autouse=True)
def _cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or fills the user's cache, or their notes of where cohorts lie; nor does what tests share."""
    with pytest.MonkeyPatch.context() as patch:
        for kind in ("cache", "state"):
            place = tmp_path_factory.getbasetemp() / kind
            patch.setenv(f"XDG_{kind.upper()}_HOME", str(place))  # for processes that a test starts
            within = str(place / "medladder")  # where such a process then looks
            patch.setattr(f"platformdirs.user_{kind}_dir", lambda *_args, within=within, **_kwargs: within)
        yield


@pytest.fixture
def class_folders(tmp_path: Path) -> Path:
    """Forty little pictures in two class folders that differ in brightness."""
    rng = np.random.default_rng(5)
    for name, level in (("clear", 90), ("effusion", 130)):
        (tmp_path / "cohort" / name).mkdir(parents=True)
        for i in range(20):
            pixels = rng.normal(level, 40, (16, 16)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "cohort" / name / f"{i:02d}.png")
    return tmp_path / "cohort"


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Torch on one thread, as in a worker."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
