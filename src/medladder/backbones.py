"""A pretrained backbone on the user's disk: found by its path, known by its content, fetched only when asked.

What is written down of a backbone is its file name and a hash of its content, never where it lies.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from .errors import OptionError

PREPROCESSOR = "preprocessor_config.json"
"""Says how a backbone wants its images; read from a model folder or from beside an ONNX file."""

_HASH_DIGITS = 12
_WEIGHTS = "model.safetensors"
_WEIGHTS_INDEX = "model.safetensors.index.json"
_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_WANTED = f"An ONNX file, or a Hugging Face image-model folder with config.json and {_WEIGHTS}."
# How ONNX names a file that holds weights apart from the graph: key "location" of a string entry, then its value.
_EXTERNAL = re.compile(rb"\n\x08location\x12([\x01-\x7f])")


@dataclass(frozen=True)
class BackboneFile:
    """Where a backbone lies on this machine, and what it is called in a study."""

    path: Path
    identity: str
    """File name and the first digits of its SHA-256, as `resnet.onnx@1f3a9c2b4d5e`."""


def find_backbone(text: str | Path) -> BackboneFile:
    """Find a backbone by its path; written `PATH@HASH`, as studies write it, its content must also be the one meant.

    The hash of a lone ONNX file begins its SHA-256, as `sha256sum` prints it; several files have one hash.

    Raises
    ------
    OptionError
        No such file, another kind of file, weights that are pickled or missing, or another content.
    """
    named = re.fullmatch(rf"(.+)@([0-9a-f]{{{_HASH_DIGITS}}})", str(text))
    try:
        given, expected = (named[1], named[2]) if named and not Path(text).exists() else (str(text), None)
        path = Path(os.path.abspath(os.path.expanduser(given)))
        digest = _content_hash(files_of(path))[:_HASH_DIGITS]
    except OSError as error:
        raise OptionError(
            found=f"The backbone {text} cannot be read ({error.strerror}).",
            needed=_WANTED,
            do="Name another, or mend it.",
        ) from error
    if expected not in (None, digest):
        raise OptionError(
            found=f"The content of {path} has the hash {digest}.",
            needed=f"The backbone with the hash {expected}.",
            do="Give the file that was used before, or leave out @HASH to use this one as another rung.",
        )
    return BackboneFile(path, f"{path.name}@{digest}")


def files_of(path: Path) -> list[Path]:
    """Every file that decides what a backbone answers, in a fixed order.

    Raises
    ------
    OptionError
        There is no backbone at `path`, or a file of it is missing.
    """
    if not path.exists():
        raise OptionError(
            found=f"There is no backbone at {path}.",
            needed=_WANTED,
            do="Write backbone=PATH, with the path where it lies on this machine; nothing is downloaded.",
        )
    files = _files_of_folder(path) if path.is_dir() else _files_of_onnx(path)
    beside = (path if path.is_dir() else path.parent) / PREPROCESSOR
    return [*files, beside] if beside.is_file() else files


def fetch_backbone(url: str, sha256: str | None, root: Path) -> Path:
    """The ONNX file behind `url`, from the cache under `root` or else from the network, its SHA-256 verified.

    Raises
    ------
    OptionError
        No checksum, no URL of an ONNX file, nothing fetched, or something with another checksum.
    """
    import pooch

    if sha256 is None or not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise OptionError(
            found=f"--sha256 {sha256}." if sha256 else "A backbone without --sha256.",
            needed="The SHA-256 that its publisher states, 64 hexadecimal digits: what comes is run on your images.",
            do="Add --sha256 HEX; medladder guesses no checksum.",
        )
    parts = urlsplit(url)
    name = Path(unquote(parts.path)).name
    if parts.scheme not in ("http", "https") or not parts.netloc or not name.endswith(".onnx"):
        raise OptionError(
            found=f"backbone:{url}.",
            needed="The http or https address of a file that ends in .onnx.",
            do="Give its address; get a Hugging Face folder by other means and name it in --rung pretrained:backbone=.",
        )
    folder = root / "backbones" / sha256.lower()[:_HASH_DIGITS]
    try:
        return Path(pooch.retrieve(url=url, known_hash=f"sha256:{sha256.lower()}", fname=name, path=folder))
    except Exception as error:  # requests' and pooch's own errors share no base
        is_other = isinstance(error, ValueError) and "hash" in str(error)
        raise OptionError(
            found=f"{name} was fetched and has another SHA-256."
            if is_other
            else f"{name} could not be fetched ({type(error).__name__}).",
            needed=f"A file with SHA-256 {sha256.lower()}.",
            do="Check address and checksum with the publisher, or get the file elsewhere and name its path.",
        ) from error


def _files_of_onnx(path: Path) -> list[Path]:
    if path.suffix in _PICKLED:
        raise _pickled(path.name)
    if path.suffix != ".onnx":
        raise OptionError(
            found=f"{path.name} is no ONNX file.",
            needed=_WANTED,
            do="Give the folder that holds it." if path.suffix in (".safetensors", ".json") else "Export it to ONNX.",
        )
    return [path, *(_require(path.parent, name, path.name) for name in _external_names(path))]


def _external_names(path: Path) -> list[str]:
    """The files beside an ONNX graph that hold weights of it."""
    if not path.stat().st_size:
        return []
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as graph:
        found = {graph[m.end() : m.end() + m[1][0]].decode("utf-8", "replace") for m in _EXTERNAL.finditer(graph)}
    return sorted(found)


def _files_of_folder(path: Path) -> list[Path]:
    config = _require(path, "config.json", path.name)
    if (path / _WEIGHTS).is_file():
        return [config, path / _WEIGHTS]
    if (path / _WEIGHTS_INDEX).is_file():
        index = read_json(path / _WEIGHTS_INDEX)
        placed = index.get("weight_map")
        names = sorted(set(map(str, placed.values()))) if isinstance(placed, dict) else []
        return [config, path / _WEIGHTS_INDEX, *(_require(path, name, path.name) for name in names)]
    pickled = sorted(file.name for file in path.iterdir() if file.suffix in _PICKLED)
    if pickled:
        raise _pickled(pickled[0])
    return [_require(path, _WEIGHTS, path.name)]


def read_json(path: Path) -> dict[str, object]:
    """One object from a backbone's folder.

    Raises
    ------
    OptionError
        It is not JSON, or not an object.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise OptionError(
            found=f"{path.name} of the backbone is no JSON object.",
            needed="The file as its publisher gave it.",
            do="Copy the backbone again.",
        )
    return content


def _require(folder: Path, name: str, backbone: str) -> Path:
    """A file of the backbone, in its own folder."""
    file = folder / name
    if Path(name).name != name or not file.is_file():
        raise OptionError(
            found=f"{name} is not in {folder}, where {backbone} needs it.",
            needed=_WANTED,
            do="Copy the whole backbone, every file in one folder.",
        )
    return file


def _pickled(name: str) -> OptionError:
    return OptionError(
        found=f"{name} holds pickled weights, which can run any code when they are opened.",
        needed=_WANTED,
        do=f"Get its {_WEIGHTS}, or convert it on a machine that may run it: model.save_pretrained(FOLDER).",
    )


def _content_hash(files: Sequence[Path]) -> str:
    digests = []
    for file in files:
        with file.open("rb") as opened:
            digests.append(hashlib.file_digest(opened, "sha256").hexdigest())
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode("ascii")).hexdigest()
