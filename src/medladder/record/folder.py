"""The folder of a study: read by anyone at any time, written by one process only."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import safetensors
import safetensors.numpy
from jaxtyping import Float, Int, UInt

from ..errors import StudyError
from .cohort import CohortRecord
from .journal import Journal, append_lines, lines_of, read_journal
from .plan import PROTOCOL, FleetKey, Plan
from .trials import Trial

_DAMAGE = (OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What numpy and zipfile raise where bytes of an npz are wrong; RuntimeError: a flag that claims encryption."""

INSPECTION_PROTOCOL = 1

Rebuilt = TypeVar("Rebuilt")


@dataclass(frozen=True)
class FleetPredictions:
    """Test probabilities of one fleet's finished trials, in the order of `repeats`."""

    probabilities: Float[np.ndarray, "trial row class_"]
    rows: Int[np.ndarray, " row"]
    repeats: Int[np.ndarray, " trial"]


@dataclass(frozen=True, eq=False)
class KeptNetwork:
    """The numbers of one fitted rung; of the rows it learned from the probabilities out of part and content hashes."""

    arrays: dict[str, np.ndarray]
    facts: dict[str, Any]
    out_of_part: Float[np.ndarray, "row class_"] | None
    trained_on: UInt[np.ndarray, "content 16"] | None


class StudyFolder:
    """Paths, readers and writers of one study; holds no state but the path."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.pictures = self.path / "pictures"
        self.report = self.path / "report.html"
        self.journal = self.path / "trials.jsonl"

    def __repr__(self) -> str:
        return f"StudyFolder({str(self.path)!r})"

    @property
    def is_study(self) -> bool:
        """Whether a plan stands here."""
        return (self.path / "plan.json").is_file()

    # Reading

    def read_plan(self) -> Plan:
        """Read plan.json.

        Raises
        ------
        StudyError
            No plan here, a damaged one, or one of a newer protocol.
        """
        return self._rebuilt("plan.json", Plan.from_json)

    def read_cohort(self) -> CohortRecord:
        """Read cohort.json; raises StudyError as `read_plan` does."""
        return self._rebuilt("cohort.json", CohortRecord.from_json)

    def read_evidence(self) -> dict[str, Any]:
        """Read evidence.json; raises StudyError as `read_plan` does."""
        return self._read_json("evidence.json")

    def read_inspection(self) -> dict[str, Any] | None:
        """Read inspection.json; None where the study has none. Raises StudyError as `read_plan` does."""
        if not (self.path / "inspection.json").is_file():
            return None
        return self._read_json("inspection.json", protocol=INSPECTION_PROTOCOL)

    def read_trials(self) -> list[Trial]:
        """Every trial of the journal once, in whatever order fleets finished; a torn last line is passed over.

        Raises
        ------
        StudyError
            A line before the last is not a trial of this study, or two lines are at odds.
        """
        return self.read_journal().settled(self.journal)

    def read_journal(self) -> Journal:
        """The journal and what had to be mended in it; raises StudyError as `read_trials` does."""
        return read_journal(self.journal, self.read_plan() if self.is_study else None)

    def read_predictions(self, fleet: str, digest: str | None = None) -> FleetPredictions:
        """Test probabilities of one fleet; `digest` is what its trials say of the file, None in older studies.

        Raises
        ------
        StudyError
            The file is missing, damaged, or not the one that the study wrote.
        """
        path = self._predictions_of(fleet)
        try:
            content = path.read_bytes()
            if digest is not None and hashlib.sha256(content).hexdigest() != digest:
                raise ValueError("it is not what the study wrote")
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                return FleetPredictions(arrays["probabilities"], arrays["rows"], arrays["repeats"])
        except _DAMAGE as error:
            raise StudyError(
                found=f"{path} cannot be read ({error}).",
                needed="Every finished fleet has its predictions beside the journal.",
                do="Give 'medladder study' the same command again: it runs the fleet anew.",
            ) from error

    def has_predictions(self, fleet: str, digest: str | None) -> bool:
        """Whether the file of a fleet is there as the study wrote it."""
        path = self._predictions_of(fleet)
        if digest is None:
            return path.is_file()
        try:
            return hashlib.sha256(path.read_bytes()).hexdigest() == digest
        except OSError:
            return False

    def _predictions_of(self, fleet: str) -> Path:
        return self.path / "predictions" / f"{fleet}.npz"

    def read_network(self, key: FleetKey) -> KeptNetwork | None:
        """The rung kept of a fleet; None where there is none, as in studies of older versions.

        Raises
        ------
        StudyError
            The file is damaged.
        """
        path = self.path / "networks" / f"{key.name}.safetensors"
        if not path.is_file():
            return None
        try:
            with safetensors.safe_open(path, framework="numpy") as file:
                facts = json.loads((file.metadata() or {})["facts"])
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
        except (*_DAMAGE, safetensors.SafetensorError) as error:
            raise StudyError(
                found=f"{path} cannot be read ({error}).",
                needed="The network as the study kept it.",
                do="Delete the file; the study goes on without it.",
            ) from error
        return KeptNetwork(arrays, facts, arrays.pop("out_of_part", None), arrays.pop("trained_on", None))

    def _rebuilt(self, name: str, rebuild: Callable[[dict[str, Any]], Rebuilt]) -> Rebuilt:
        data = self._read_json(name)
        try:
            return rebuild(data)
        except (KeyError, TypeError, ValueError) as error:
            raise self._damaged(name, f"{type(error).__name__}: {error}", needed="All fields of a study.") from error

    def _damaged(self, name: str, reason: str, *, needed: str) -> StudyError:
        return StudyError(
            found=f"{self.path / name} is damaged ({reason}).",
            needed=needed,
            do="Restore it from a copy, or start again with another --out.",
        )

    def _read_json(self, name: str, *, protocol: int = PROTOCOL) -> dict[str, Any]:
        path = self.path / name
        try:
            data = json.loads(path.read_text("utf-8"))
        except FileNotFoundError as error:
            raise StudyError(
                found=f"{self.path} holds no {name}.",
                needed="The folder of a study made by 'medladder study'.",
                do="Check the path, or run 'medladder study COHORT --out RUN' first.",
            ) from error
        except ValueError as error:
            raise self._damaged(name, str(error), needed="Whole JSON.") from error
        if not isinstance(data, dict):
            raise self._damaged(name, "it holds no fields", needed="All fields of a study.")
        if data.get("protocol") != protocol:
            raise StudyError(
                found=f"{path} has protocol {data.get('protocol')}.",
                needed=f"This version reads protocol {protocol}.",
                do="Use the version of medladder that wrote it.",
            )
        return data

    # Writing

    def write_json(self, name: str, data: dict[str, Any]) -> None:
        """Replace one of the folder's JSON files whole, or leave it as it was."""
        text = json.dumps(data, indent=None if name == "cohort.json" else 1, ensure_ascii=False, allow_nan=False)
        self.write_bytes(name, (text + "\n").encode("utf-8"))

    def write_bytes(self, name: str, content: bytes) -> None:
        """Replace one file whole: temporary name, fsync, rename.

        Raises
        ------
        StudyError
            The disk is full or the folder cannot be written.
        """
        path = self.path / name
        temporary = path.with_name(f".{path.name}.part")
        with self._writing():
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                with temporary.open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)

    def write_fleet(self, key: FleetKey, predictions: FleetPredictions | None, trials: Sequence[Trial]) -> None:
        """Record one fleet: predictions first, then all its lines in one write, each with the predictions' digest.

        Raises
        ------
        StudyError
            The disk is full; what was recorded before stays whole.
        """
        if predictions is not None:
            arrays = io.BytesIO()
            np.savez(
                arrays,
                probabilities=predictions.probabilities.astype(np.float32),
                rows=predictions.rows.astype(np.int64),
                repeats=predictions.repeats.astype(np.int64),
            )
            content = arrays.getvalue()
            self.write_bytes(f"predictions/{key.name}.npz", content)
            digest = hashlib.sha256(content).hexdigest()
            trials = [replace(trial, predictions_sha256=digest) if trial.is_done else trial for trial in trials]
        with self._writing():
            append_lines(self.journal, trials)

    def write_network(self, key: FleetKey, kept: KeptNetwork) -> None:
        """Keep the fitted rung of a fleet; raises StudyError as `write_bytes` does."""
        beside = {"out_of_part": kept.out_of_part, "trained_on": kept.trained_on}
        arrays = {**kept.arrays, **{name: array for name, array in beside.items() if array is not None}}
        content = safetensors.numpy.save(
            {name: np.ascontiguousarray(array) for name, array in arrays.items()},
            metadata={"facts": json.dumps(kept.facts)},
        )
        self.write_bytes(f"networks/{key.name}.safetensors", content)

    def keep_trials(self, trials: Sequence[Trial]) -> None:
        """Rewrite the journal with these trials alone: drops a torn line and fleets that are not whole."""
        self.write_bytes("trials.jsonl", lines_of(trials))

    def keep_pictures(self, names: Collection[str], *, of: tuple[str, ...]) -> None:
        """Delete the pictures whose names begin as in `of`, but for these: none of an earlier state stays behind."""
        with self._writing():
            for path in self.pictures.glob("*.png"):
                if path.name.startswith(of) and path.name not in names:
                    path.unlink()

    def log(self, line: str) -> None:
        """Add one line to log.txt; a full disk must not end a study over its log."""
        stamp = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            with (self.path / "log.txt").open("a", encoding="utf-8") as file:
                file.write(f"{stamp} {line}\n")
        except OSError:
            return

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise StudyError(
                found=f"The disk of {self.path} is full."
                if full
                else f"{self.path} cannot be written ({error.strerror}).",
                needed="Room and permission to write the study; what was recorded before is whole.",
                do="Make room, then give the same command again: it goes on where it stopped.",
            ) from error
