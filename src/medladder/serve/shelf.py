"""What is served, by name: models and studies that were given, opened once and kept open."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from medladder.audit import Finding, NearCopies, audit, near_copies_of
from medladder.cohort import Cohort
from medladder.errors import InputError, MedladderError, StudyError
from medladder.evidence.exploring import Explored
from medladder.machine import n_processors
from medladder.models.answering import Answering
from medladder.models.fitting import images_of
from medladder.models.folder import CARD, is_model, read_model
from medladder.models.known import Known, known_images, likeness_of_study
from medladder.models.looking import Opened, open_network
from medladder.models.model import Model
from medladder.progress import QUIET
from medladder.record.folder import StudyFolder

from .refusals import NotFoundError


class Shelved:
    """One model or study, under the name it is served by; what it takes to answer is opened when first asked for."""

    def __init__(self, name: str, path: Path, *, is_study: bool) -> None:
        self.name, self.path, self.is_study = name, path, is_study
        self._lock = threading.Lock()
        self._answering: Answering | None = None
        self.cohort: Cohort | None = None
        """Of a study, once it is open and where its images are found."""
        self.audit = Auditing(self)
        self.note: str | None = None
        """Why it does not know what is unlike its training images, where that is so."""

    @property
    def folder(self) -> StudyFolder:
        """The study."""
        return StudyFolder(self.path)

    @cached_property
    def model(self) -> Model:
        """The model; raises ModelError."""
        return read_model(self.path)

    @cached_property
    def network(self) -> Opened:
        """The network that explains; raises InputError where it has no layers."""
        return open_network(self.path)

    @cached_property
    def explored(self) -> Explored:
        """The study's record, to be asked again; raises StudyError."""
        return Explored(self.folder)

    @cached_property
    def known(self) -> Known | None:
        """The images that a study's network has learned from, where they are found."""
        return known_images(self.network, self.cohort)

    def own_cohort(self) -> Cohort:
        """The images of a study, read where they were; raises StudyError where they are not found any more."""
        if self.cohort is None:
            plan = self.folder.read_plan()
            self.cohort = images_of(self.folder, plan, None, None, QUIET)
        return self.cohort

    @cached_property
    def identity(self) -> str | None:
        """Of a model, what its answers are told with; a study has none."""
        return None if self.is_study else self.model.record.identity

    def answering(self) -> Answering:
        """What answers about files. A study's network knows its training images only where these are found.

        Raises
        ------
        InputError
            The folder cannot be trusted, or the study kept no network.
        """
        if self._answering is not None:
            return self._answering
        with self._lock:
            if self._answering is None:
                self._answering = self._of_study() if self.is_study else self.model.answering(_threads())
            return self._answering

    def _of_study(self) -> Answering:
        opened = self.network
        assert opened.plan is not None
        try:
            likeness = likeness_of_study(opened.plan, self.own_cohort(), opened.name)
        except InputError as error:
            self.note = error.found
            return opened.answering(threads=_threads())
        return opened.answering(likeness, threads=_threads())

    def is_open(self) -> bool:
        """Whether it answers at once."""
        return self._answering is not None

    def facts(self) -> dict[str, Any]:
        """What it is, as `GET /models` lists it; raises as `answering` does."""
        asked = self.answering()
        rung = self.network.name if self.is_study else str(self.model.record.rung["rung"])
        found = {
            "name": self.name,
            "kind": "study" if self.is_study else "model",
            "rung": rung,
            "classes": list(asked.classes),
            "image": {"shape": list(asked.shape), "preparation": asked.preparation.to_json()},
            "decision": {"weights": list(asked.weights)},
            "is_calibrated": not self.is_study,
            "knows_unlike": asked.likeness is not None,
        }
        return found if self.is_study else {**found, "identity": self.identity}

    def card(self) -> str:
        """The model card, as Markdown; raises NotFoundError for a study."""
        if self.is_study:
            raise NotFoundError(
                found=f"{self.name} is a study, which has no model card.",
                needed="A model.",
                do="Make one of it with 'medladder fit RUN --out MODEL'.",
            )
        self.answering()  # which holds its files against what was written
        return (self.path / CARD).read_text("utf-8")


class Auditing:
    """The audit of a study's cohort, in a thread: the search for near copies takes its time."""

    def __init__(self, one: Shelved) -> None:
        self._one = one
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._found: tuple[Cohort, NearCopies, list[Finding]] | None = None
        self._error: InputError | None = None

    def is_over(self) -> bool:
        """Whether it is done; begins it when first asked."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._search, name="auditor", daemon=True)
                self._thread.start()
        self._thread.join(0.3)
        return not self._thread.is_alive()

    def result(self) -> tuple[Cohort, NearCopies, list[Finding]]:
        """The cohort, its near copies and what was found; raises StudyError where its images are not found."""
        assert self._thread is not None
        self._thread.join()
        if self._error is not None:
            raise self._error
        assert self._found is not None
        return self._found

    def _search(self) -> None:
        try:
            cohort = self._one.own_cohort()
            near = near_copies_of(cohort)
            self._found = cohort, near, audit(cohort, near)
        except InputError as error:
            self._error = error
        except Exception as error:  # a thread that ends with less would leave the page waiting
            self._error = StudyError(
                found=f"The audit failed ({type(error).__name__}).", needed="A fault of ours.", do=""
            )


@dataclass(frozen=True)
class Shelf:
    """Everything that is served: what was named, and what lies in the folder of runs, which grows."""

    given: tuple[Shelved, ...]
    runs: Path | None
    _found: dict[Path, Shelved]

    @classmethod
    def of(cls, paths: Sequence[Path], runs: Path | None) -> Shelf:
        """What stands at these paths; a folder of several is all of them.

        Raises
        ------
        InputError
            A path is neither a model nor a study, nor a folder that holds one.
        """
        names: dict[str, int] = {}
        given = []
        for path in paths:
            for one in _below(path):
                count = names[one.name] = names.get(one.name, 0) + 1
                given.append(_shelved(one, f"{one.name}-{count}" if count > 1 else one.name))
        return cls(tuple(given), runs, {})

    def __iter__(self) -> Iterator[Shelved]:
        """Those given first, then those of the folder of runs, by name."""
        known = {one.path.resolve() for one in self.given}
        names = {one.name for one in self.given}
        yield from self.given
        for path in sorted(self.runs.iterdir()) if self.runs is not None and self.runs.is_dir() else ():
            if (StudyFolder(path).is_study or is_model(path)) and path.resolve() not in known:
                if path not in self._found:
                    name = path.name if path.name not in names else f"{path.name}-run"
                    self._found[path] = _shelved(path, name)
                yield self._found[path]

    def named(self, name: str) -> Shelved:
        """The one of this name; raises NotFoundError."""
        for one in (*self.given, *self):
            if one.name == name:
                return one
        raise NotFoundError(
            found="Nothing of this name is served.",
            needed=f"One of {', '.join(one.name for one in self)}." if any(True for _ in self) else "A study or model.",
            do="Look at GET /models.",
        )

    def default(self) -> Shelved:
        """The model that answers where none is named: the first model, else the first study that kept a network."""
        for one in sorted(self.given, key=lambda one: one.is_study):
            if can_answer(one):
                return one
        raise NotFoundError(
            found="No model is served, and no study that kept a network.",
            needed="A model: 'medladder serve MODEL'.",
            do="Name one by ?model=NAME if there is one at GET /models.",
        )


def _threads() -> int:
    """Of one answer: the other half of the cores decodes the next images, and a thread that waits helps nobody."""
    return max(1, n_processors() // 2)


def can_answer(one: Shelved) -> bool:
    """Whether it can be opened to predict; a damaged folder or a study without networks cannot."""
    try:
        one.answering()
    except MedladderError:
        return False
    return True


def _shelved(path: Path, name: str) -> Shelved:
    return Shelved(name, path, is_study=StudyFolder(path).is_study)


def _below(path: Path) -> list[Path]:
    if StudyFolder(path).is_study or is_model(path):
        return [path.resolve()]
    inside = (
        [one for one in sorted(path.iterdir()) if StudyFolder(one).is_study or is_model(one)] if path.is_dir() else []
    )
    if not inside:
        raise InputError(
            found=f"{path} is no folder of a study or a model." if path.exists() else f"{path} is not there.",
            needed="A folder that 'medladder study' or 'medladder fit' made, or one that holds some of these.",
            do="Check the path.",
        )
    return [one.resolve() for one in inside]
