"""Ctrl-C and a polite kill: noted, and obeyed after the current update; a second one at once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any

__all__ = ["Interrupt"]


class Interrupt:
    """While open, SIGINT and SIGTERM only set `number`; a later SIGINT raises `KeyboardInterrupt`.

    With `forward`, they also go to the processes that this one has started (and end it where there are none).
    A terminal sends Ctrl-C to all of them too, so a SIGINT within `GRACE` seconds of the first is the same one.
    Outside the main thread, where Python takes no signals, nothing happens.
    """

    GRACE = 1.0

    def __init__(self, *, forward: bool = False) -> None:
        self.number = 0
        self._forward, self._since = forward, 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        children = multiprocessing.active_children() if self._forward else []
        if self._forward and not children:  # nobody who could obey it
            raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)
        now = time.monotonic()
        if self.number and number == signal.SIGINT and now - self._since > self.GRACE:
            raise KeyboardInterrupt
        if not self.number:
            self.number, self._since = number, now
        for child in children:
            if child.pid is not None:
                os.kill(child.pid, number)
