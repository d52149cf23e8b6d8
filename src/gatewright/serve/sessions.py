"""Sessions: a model's state between one request and the next, for what comes step by step."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from ..explorer.refused import Refused
from ..graph import CellError
from ..tasks.errors import TaskError

__all__ = ["Session", "Sessions"]

Run = Callable[[Callable[[], Any]], "Future[Any]"]


@dataclass
class Session:
    """One sequence. model: what has `step(item)` and carries the state. used: when it was last asked. ended: whether it
    is over.
    """

    id: str
    model: Any
    used: float
    steps: int = 0
    waiting: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Sessions:
    """The sessions of a server: so many at once, each for so long without a step.

    make: a new state. run: has a function called where the model runs. seconds: without a step, after which a session
    ends. timeout: seconds that a step may take.
    """

    def __init__(
        self,
        make: Callable[[], Any],
        run: Run,
        *,
        most: int,
        seconds: float,
        timeout: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.make, self.run, self.most, self.seconds, self.timeout = make, run, most, seconds, timeout
        self._clock = clock
        self._kept: dict[str, Session] = {}
        self._opening = 0

    def __len__(self) -> int:
        return len(self._kept)

    async def open(self) -> Session:
        """A new session. Raises `Refused` (429) where there are as many as may be."""
        self.expire()
        if len(self._kept) + self._opening >= self.most:
            raise self._full()
        self._opening += 1
        try:
            model = await asyncio.wait_for(asyncio.wrap_future(self.run(self.make)), self.timeout)
        except TimeoutError:
            raise Refused(504, f"no session within {self.timeout:g} s", remedy="ask again") from None
        finally:
            self._opening -= 1
        session = Session(secrets.token_urlsafe(18), model, self._clock())
        self._kept[session.id] = session
        return session

    def get(self, key: str) -> Session:
        """An open session. Raises `Refused` (404) where there is none."""
        self.expire()
        if key not in self._kept:
            told = f"there is no such session: it has ended, or was {self.seconds / 60:g} minutes without a step"
            raise Refused(404, told, where="session", remedy="open a new one: POST /sessions")
        return self._kept[key]

    def close(self, key: str) -> None:
        """End a session. Raises `Refused` (404) where there is none."""
        self.close_now(self.get(key))

    def expire(self) -> None:
        """End those that were not used for too long."""
        oldest = self._clock() - self.seconds
        for session in [s for s in self._kept.values() if s.used < oldest and not s.waiting]:
            self.close_now(session)

    def close_now(self, session: Session) -> None:
        """End a session whether it is still there or not."""
        session.ended.set()
        self._kept.pop(session.id, None)

    async def step(self, key: str, item: Any) -> Any:
        """One step of a session, after those that were asked for before it.

        Raises `Refused`: 404 where it is not there, 504 where the step took too long. A step that had not begun by
        then is not taken, and the session goes on; one that had begun may have changed the state, so its session ends,
        as it does after an error of the model's own.
        """
        session = self.get(key)
        session.waiting += 1
        work: Future[Any] | None = None
        try:
            async with asyncio.timeout(self.timeout), session.lock:
                self._check_open(session)
                work = self.run(lambda: session.model.step(item))
                found = await asyncio.wrap_future(work)
            session.steps += 1
            return found
        except TimeoutError:
            if work is None or work.cancel():
                remedy = "the step was not taken: ask again"
            else:
                self.close_now(session)
                remedy = "the session has ended, for its state is not known: open a new one"
            raise Refused(504, f"no answer within {self.timeout:g} s", where="session", remedy=remedy) from None
        except (Refused, TaskError, CellError):  # a step that was refused has changed nothing
            raise
        except Exception:
            self.close_now(session)
            raise
        finally:
            session.waiting -= 1
            session.used = self._clock()

    def _check_open(self, session: Session) -> None:
        if session.ended.is_set():  # while this step waited for its turn
            self.get(session.id)

    def _full(self) -> Refused:
        idle = [session.used for session in self._kept.values() if not session.waiting]
        left = self.seconds - (self._clock() - min(idle)) if idle else self.seconds
        return Refused(
            429,
            f"there are {self.most} sessions, and no more may be",
            remedy="end one that is no longer needed, DELETE /sessions/{id}, or ask again later",
            headers={"retry-after": str(max(1, round(left)))},
        )
