"""What a server counts, in the words of Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

__all__ = ["CONTENT_TYPE", "Figures"]

CONTENT_TYPE = CONTENT_TYPE_LATEST
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Figures:
    """The counters of one server; each has its own registry, so that several may live in a process.

    >>> figures = Figures()
    >>> figures.batch(2, 0.01, [0.001, 0.002])
    >>> "gatewright_batch_items_sum 2.0" in figures.text().decode()
    True
    """

    def __init__(self) -> None:
        self.registry = kept = CollectorRegistry()
        ProcessCollector(registry=kept)
        PlatformCollector(registry=kept)
        self.requests = Counter(
            "gatewright_requests",
            "Requests, by route, method and status.",
            ["route", "method", "status"],
            registry=kept,
        )
        self.seconds = Histogram(
            "gatewright_request_seconds",
            "From a request to its answer.",
            ["route", "method"],
            buckets=SECONDS,
            registry=kept,
        )
        self.items = Counter("gatewright_items", "Items of /predict, by status.", ["status"], registry=kept)
        self.steps = Counter("gatewright_steps", "Steps of sessions, by status.", ["status"], registry=kept)
        self.sizes = Histogram(
            "gatewright_batch_items", "Items that were answered together.", buckets=SIZES, registry=kept
        )
        self.model = Histogram(
            "gatewright_batch_seconds", "That the model took for a batch.", buckets=SECONDS, registry=kept
        )
        self.waited = Histogram(
            "gatewright_queue_seconds", "That an item waited for its batch.", buckets=SECONDS, registry=kept
        )

    def batch(self, size: int, seconds: float, waited: Iterable[float]) -> None:
        """Note a batch: its items, its time, and how long each of its items had waited."""
        self.sizes.observe(size)
        self.model.observe(seconds)
        for one in waited:
            self.waited.observe(one)

    def gauge(self, name: str, meaning: str, value: Callable[[], float]) -> None:
        """Show a number as it is when somebody looks."""
        Gauge(f"gatewright_{name}", meaning, registry=self.registry).set_function(value)

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Note a request that was answered."""
        self.requests.labels(route, method, str(status)).inc()
        if method != "WEBSOCKET":  # which lasts as long as its client likes
            self.seconds.labels(route, method).observe(seconds)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)
