"""So many requests and WebSockets at once, and no more."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

from ..explorer.refused import Refused
from ..explorer.security import Message, refuse

__all__ = ["Limit"]

ALWAYS = re.compile(r"/health(/.*)?|/metrics")
"""Paths of those who watch the server: they ask when there is too much to do."""


class Limit:
    """Turns away what is more than `most` at once, before any of it is read. running: how many there are."""

    def __init__(self, app: Callable[..., Awaitable[None]], most: int) -> None:
        self.app, self.most, self.running = app, most, 0

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan" or ALWAYS.fullmatch(scope["path"]):
            return await self.app(scope, receive, send)
        if self.running >= self.most:
            told = f"{self.most} requests and streams are open, and no more may be"
            refused = Refused(503, told, remedy="ask again later", headers={"retry-after": "1"})
            return await refuse(refused, scope, receive, send)
        self.running += 1
        try:
            return await self.app(scope, receive, send)
        finally:
            self.running -= 1
