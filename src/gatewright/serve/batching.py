"""Requests of many clients, answered together: one thread runs the model, items that wait side by side share a call.

A network that reads 32 sequences at once takes little longer than for one, so a server that gathers what arrives within
a few milliseconds answers many times as much. An item that is wrong fails alone: a batch that fails is halved until
what is wrong with it stands by itself.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import torch

from ..explorer.refused import Refused
from .figures import Figures

__all__ = ["Batcher", "each"]

Answer = Callable[[list[Any]], Sequence[Any]]


def each(answer: Answer, items: list[Any]) -> list[Any]:
    """The answers of a batch; in the place of an item that cannot be answered, the exception that says why.

    >>> each(lambda batch: [1 / x for x in batch], [1, 2, 0, 4])
    [1.0, 0.5, ZeroDivisionError('division by zero'), 0.25]
    """
    try:
        found = list(answer(items))
        if len(found) != len(items):
            raise RuntimeError(f"the model gave {len(found)} answers to {len(items)} items")
    except Exception as error:
        if len(items) == 1:
            return [error]
        half = len(items) // 2
        return each(answer, items[:half]) + each(answer, items[half:])
    return found


@dataclass(eq=False)
class Waiting:
    """Something for the thread to do, and who waits for it."""

    work: Any
    future: Future[Any] = field(default_factory=Future)
    since: float = field(default_factory=time.monotonic)


class Batcher:
    """The thread that runs the model.

    answer: gets a list of items, gives a list of answers. max_wait: seconds that the first item of a batch waits for
    others. max_queue: items that wait, at most.
    """

    def __init__(
        self, answer: Answer, *, max_batch: int, max_wait: float, max_queue: int, figures: Figures | None = None
    ) -> None:
        self.answer, self.max_batch, self.max_wait, self.max_queue = answer, max_batch, max_wait, max_queue
        self.figures = figures or Figures()
        self._items: deque[Waiting] = deque()
        self._calls: deque[Waiting] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._pace = 0.0  # seconds an item has taken of late
        self._thread = threading.Thread(target=self._run, name="gatewright-model", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self, seconds: float | None = None) -> None:
        """Answer what waits, then end; `seconds`: that this may take, at most."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(seconds)

    @property
    def alive(self) -> bool:
        """Whether there is somebody to answer."""
        return self._thread.is_alive() and not self._stopping

    @property
    def depth(self) -> int:
        """Items and steps that wait."""
        return len(self._items) + len(self._calls)

    def submit(self, items: Sequence[Any]) -> list[Future[Any]]:
        """Have items answered, each by its own future. Raises `Refused` where too many wait already."""
        return self._add(self._items, items)

    def call(self, function: Callable[[], Any]) -> Future[Any]:
        """Have a function called by the thread, between two batches. Raises `Refused` as `submit` does."""
        return self._add(self._calls, [function])[0]

    def _add(self, queue: deque[Waiting], work: Sequence[Any]) -> list[Future[Any]]:
        with self._changed:
            if self._stopping:
                raise Refused(503, "the server is stopping", remedy="ask another one", headers={"retry-after": "1"})
            if self.depth + len(work) > self.max_queue:
                seconds = max(1, round(self.depth * self._pace))
                raise Refused(
                    503,
                    f"{self.depth} items wait already, and no more than {self.max_queue} may",
                    remedy=f"ask again in {seconds} s",
                    headers={"retry-after": str(seconds)},
                )
            added = [Waiting(part) for part in work]
            queue.extend(added)
            self._changed.notify_all()
        for waiting in added:
            waiting.future.add_done_callback(functools.partial(self._forget, queue, waiting))
        return [waiting.future for waiting in added]

    def _forget(self, queue: deque[Waiting], waiting: Waiting, future: Future[Any]) -> None:
        """Take off the queue what nobody waits for any more, so that it takes no place there."""
        if future.cancelled():
            with self._changed, contextlib.suppress(ValueError):  # the thread may have just taken it
                queue.remove(waiting)

    # -- the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        calls_next = True
        with torch.no_grad():
            while True:
                batch = self._next(calls_next)
                if not batch:
                    return
                if callable(batch[0].work):
                    self._call(batch[0])
                else:
                    self._answer(batch)
                calls_next = not callable(batch[0].work)  # in turn, so that neither kind waits for ever

    def _next(self, calls_next: bool) -> list[Waiting]:
        """What to do next: one call, or items that go together; nothing at the end."""
        with self._changed:
            while True:
                due = self._due()
                if self._calls and (calls_next or due > 0):
                    return [self._calls.popleft()]
                if due <= 0:
                    return [self._items.popleft() for _ in range(min(self.max_batch, len(self._items)))]
                if self._stopping and not self._items:
                    return []
                self._changed.wait(None if due == float("inf") else due)

    def _due(self) -> float:
        """Seconds until the items that wait are answered together; infinite where there are none."""
        if not self._items:
            return float("inf")
        if self._stopping or len(self._items) >= self.max_batch:
            return 0.0
        return self._items[0].since + self.max_wait - time.monotonic()

    def _call(self, waiting: Waiting) -> None:
        if waiting.future.set_running_or_notify_cancel():
            try:
                result = waiting.work()
            except Exception as error:
                waiting.future.set_exception(error)
            else:
                waiting.future.set_result(result)

    def _answer(self, batch: list[Waiting]) -> None:
        wanted = [waiting for waiting in batch if waiting.future.set_running_or_notify_cancel()]
        if not wanted:  # whoever asked has given up
            return
        began = time.monotonic()
        found = each(self.answer, [waiting.work for waiting in wanted])
        seconds = time.monotonic() - began
        self._pace = 0.8 * self._pace + 0.2 * seconds / len(wanted) if self._pace else seconds / len(wanted)
        self.figures.batch(len(wanted), seconds, [began - waiting.since for waiting in wanted])
        for waiting, result in zip(wanted, found, strict=True):
            if isinstance(result, Exception):
                waiting.future.set_exception(result)
            else:
                waiting.future.set_result(result)
