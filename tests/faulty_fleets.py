"""Fleets that go wrong, by their names: what workers are given in place of `fleets.fit_fleet` in tests of faults."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np

from medladder.fleets import FittedTrial, FleetTask, fit_fleet
from medladder.rungs.logistic import LogisticClassifier

NAN, DIES, HANGS, RAISES, SWALLOWS = (f"logistic-n16-f{fold}-r0-2" for fold in range(5))


def fit_slowly(task: FleetTask) -> list[FittedTrial]:
    """Every fleet takes a second and a half longer."""
    time.sleep(1.5)
    return fit_fleet(task)


def fit_with_faults(task: FleetTask) -> list[FittedTrial]:
    """Five fleets go wrong, each in its way, whenever they are tried."""
    if task.key.name == DIES:
        os.kill(os.getpid(), signal.SIGKILL)
    if task.key.name == HANGS:
        time.sleep(600)
    if task.key.name == RAISES:
        raise ArithmeticError("the moon is full")
    if task.key.name == SWALLOWS:
        np.ones(2**36)
    if task.key.name == NAN:
        predict = LogisticClassifier.predict_proba
        try:
            LogisticClassifier.predict_proba = lambda self, X: np.nan * predict(self, X)
            return fit_fleet(task)
        finally:
            LogisticClassifier.predict_proba = predict
    return fit_fleet(task)


def fit_with_faults_once(marks: str, task: FleetTask) -> list[FittedTrial]:
    """The same five go wrong the first time only; `marks` is a folder that remembers."""
    marked = Path(marks) / task.key.name
    if marked.exists():
        return fit_fleet(task)
    marked.touch()
    return fit_with_faults(task)
