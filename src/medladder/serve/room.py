"""Who is let in: bytes, requests and images that are under way are counted, and what does not fit is told when to come.

All of it runs on the event loop, so nothing here is locked.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from .limits import Limits
from .refusals import BusyError, TooLargeError

_REMEMBERED = 256  # images over which the pace is measured


class Room:
    """What is under way, and how fast it goes."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.requests = self.held_bytes = self.waiting_images = self.explanations = 0
        self._finished: deque[float] = deque(maxlen=_REMEMBERED)

    @contextmanager
    def request(self) -> Iterator[None]:
        """A place for one request.

        Raises
        ------
        BusyError
            Too many requests are being answered, or too many images wait.
        """
        if self.requests >= self.limits.requests:
            raise BusyError(f"{self.requests} requests are being answered", self.seconds_left())
        if self.waiting_images >= self.limits.waiting_images:
            raise BusyError(f"{self.waiting_images} images wait", self.seconds_left())
        self.requests += 1
        try:
            yield
        finally:
            self.requests -= 1

    @contextmanager
    def explanation(self) -> Iterator[None]:
        """A place for one explanation; raises BusyError."""
        if self.explanations >= self.limits.explanations:
            raise BusyError(f"{self.explanations} explanations are under way", 5.0)
        self.explanations += 1
        try:
            yield
        finally:
            self.explanations -= 1

    @contextmanager
    def upload(self, announced: int | None) -> Iterator[Upload]:
        """A place for the bytes of one request, `announced` if it says how many it brings.

        Raises
        ------
        TooLargeError
            More than one request may bring.
        BusyError
            The bytes of all requests do not fit.
        """
        upload = Upload(self)
        try:
            upload.take(announced or 0)
            upload.is_announced = announced is not None
            yield upload
        finally:
            self.held_bytes -= upload.bytes

    def finished(self, n_images: int) -> None:
        """So many images were answered now."""
        self._finished.extend([time.monotonic()] * n_images)

    def seconds_left(self) -> float:
        """Until what waits now is answered, at the pace of late."""
        if len(self._finished) < 2:
            return 1.0
        pace = len(self._finished) / max(time.monotonic() - self._finished[0], 1e-3)
        return min(60.0, self.waiting_images / pace)


class Upload:
    """The bytes that one request brings."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self.bytes = self._arrived = 0
        self.is_announced = False

    def arrived(self, n_bytes: int) -> None:
        """So many more have come; raises as `Room.upload` does."""
        self._arrived += n_bytes
        if self._arrived > self.bytes:
            self.take(self._arrived - self.bytes)

    def take(self, n_bytes: int) -> None:
        """Room for so many more."""
        limits = self._room.limits
        if self.bytes + n_bytes > limits.upload_bytes:
            raise TooLargeError(
                found=f"A request of more than {limits.upload_bytes // 2**20} MiB.",
                needed=f"At most {limits.upload_bytes // 2**20} MiB a request.",
                do="Send the images in several requests, or predict them with 'medladder predict'.",
                headers={"Connection": "close"},
            )
        if self._room.held_bytes + n_bytes > limits.held_bytes:
            raise BusyError(f"it holds {self._room.held_bytes // 2**20} MiB of uploads", self._room.seconds_left())
        self.bytes += n_bytes
        self._room.held_bytes += n_bytes
