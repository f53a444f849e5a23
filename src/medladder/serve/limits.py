"""How much the service takes on at once; what is beyond is refused before it costs anything."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Sizes in bytes, times in seconds. Pixels of one image are limited where it is read (`images.formats`)."""

    upload_bytes: int = 64 * 2**20
    """Of one request."""
    files: int = 64
    """Of one request."""
    held_bytes: int = 512 * 2**20
    """Of all requests that are being answered."""
    requests: int = 256
    """That are being answered."""
    waiting_images: int = 256
    """That came and are not decoded yet; a request that finds so many is told to come back."""
    explanations: int = 4
    """That are under way or waiting: one takes seconds, and a core."""
    seconds_to_arrive: float = 30.0
    seconds_to_answer: float = 60.0
    seconds_to_stop: int = 30
    """What was taken is still answered."""
