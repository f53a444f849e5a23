"""What an operator watches, in Prometheus' text format; counts and times only, nothing of what was sent."""

from __future__ import annotations

from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from .room import Room

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """Of one server."""

    def __init__(self, room: Room) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "medladder_requests", "Requests answered.", ("route", "status"), registry=self._registry
        )
        self.seconds = Histogram(
            "medladder_request_seconds", "Time to answer.", ("route",), buckets=_SECONDS, registry=self._registry
        )
        self.images = Counter(
            "medladder_images", "Images predicted, or not readable.", ("outcome",), registry=self._registry
        )
        for name, text in (
            ("requests", "Requests being answered"),
            ("waiting_images", "Images that wait"),
            ("held_bytes", "Bytes of uploads in memory"),
            ("explanations", "Explanations under way"),
        ):
            gauge = Gauge(f"medladder_{name}_now", f"{text}.", registry=self._registry)
            gauge.set_function(partial(_now, room, name))

    def text(self) -> bytes:
        """All of it."""
        return generate_latest(self._registry)


def _now(room: Room, name: str) -> float:
    return float(getattr(room, name))
