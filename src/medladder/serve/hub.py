"""What all routes share, from the start of the server to its end."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from medladder.errors import MedladderError

from .limits import Limits
from .metrics import Metrics
from .predictor import Predictor
from .refusals import UnreadyError
from .room import Room
from .shelf import Shelf, Shelved
from .uploads import Shelter


@dataclass
class Hub:
    """The shelf, the room for requests, and the threads that answer."""

    shelf: Shelf
    room: Room
    metrics: Metrics
    shelter: Shelter
    predictor: Predictor
    explainer: ThreadPoolExecutor
    """One thread: torch fills the cores by itself."""
    is_ready: threading.Event = field(default_factory=threading.Event)
    closed: set[str] = field(default_factory=set)
    """Names of what was given and cannot be opened."""

    @classmethod
    def start(cls, shelf: Shelf, limits: Limits) -> Hub:
        """Start the threads, and open what was named."""
        room = Room(limits)
        explainer = ThreadPoolExecutor(1, "explainer")
        hub = cls(shelf, room, Metrics(room), Shelter(), Predictor(room), explainer)
        threading.Thread(target=hub._open, name="opener", daemon=True).start()
        return hub

    def _open(self) -> None:
        for one in self.shelf.given:
            try:
                one.answering()
            except MedladderError:
                self.closed.add(one.name)  # told at GET /models, and to whoever asks it
        self.is_ready.set()

    def require_ready(self) -> None:
        """Refuse while models are being opened; raises UnreadyError."""
        if not self.is_ready.is_set():
            raise UnreadyError(
                found="Models are still being opened.",
                needed="A moment.",
                do="Ask again when GET /ready answers 200.",
                headers={"Retry-After": "2"},
            )

    def opened(self, one: Shelved) -> Shelved:
        """The same, unless it is yet to be opened; raises UnreadyError."""
        if not one.is_open():
            self.require_ready()
        return one

    def close(self) -> None:
        """Finish what was taken, and leave nothing behind."""
        self.predictor.close()
        self.explainer.shutdown(wait=True, cancel_futures=True)
        self.shelter.close()
