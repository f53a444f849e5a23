"""How far a study is: what its folder says, and whether a process writes it now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from medladder.cost import Pace
from medladder.errors import StudyError
from medladder.machine import n_processors
from medladder.record.folder import StudyFolder
from medladder.record.lock import process_writing


@dataclass(frozen=True)
class Standing:
    """Fits that are done, of those planned; `seconds_left` is known while it runs, once something is done."""

    state: Literal["running", "stopped", "finished"]
    done: int
    planned: int
    seconds_left: float | None

    @property
    def share(self) -> float:
        """Of the fits, 0–1."""
        return self.done / max(self.planned, 1)


def standing_of(folder: StudyFolder) -> Standing:
    """How far a study is; raises StudyError where its folder is damaged."""
    plan, trials = folder.read_plan(), folder.read_trials()
    done = {trial.fleet for trial in trials}
    keys = list(plan.fleets())
    planned = sum(len(key.repeats) for key in keys)
    is_running = process_writing(folder.path) is not None
    if not is_running:
        is_whole = all(key.name in done for key in keys) and (folder.path / "evidence.json").is_file()
        return Standing("finished" if is_whole else "stopped", len(trials), planned, None)
    pace = Pace(plan, trials)
    left = pace.seconds_left((key for key in keys if key.name not in done), n_processors())
    return Standing("running", len(trials), planned, left if pace.is_known else None)


def evidence_of(folder: StudyFolder) -> dict[str, Any] | None:
    """What the study shows; None until it has been weighed."""
    try:
        return folder.read_evidence()
    except StudyError:
        return None
