"""In front of everything: each request is counted and, if that is wanted, written down."""

from __future__ import annotations

import datetime
import json
import sys
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from .figures import Figures

__all__ = ["Watch"]

Message = MutableMapping[str, Any]
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


class Watch:
    """Counts requests by the pattern of their route, so that the names of sessions are no labels and in no log.

    log: "none", "text" or "json", a line for each request on standard error.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], figures: Figures, log: str = "none") -> None:
        self.app, self.figures, self.log = app, figures, log

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        began, status = time.perf_counter(), 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                status = message["status"]
            elif message["type"] == "websocket.accept":
                status = 101
            elif message["type"] == "websocket.close" and status == 500:
                status = 403
            await send(message)

        try:
            await self.app(scope, receive, noted)
        finally:
            method = scope.get("method", "WEBSOCKET")
            method = method if method in METHODS or method == "WEBSOCKET" else "other"
            route = getattr(scope.get("route"), "path", "other")
            self._note(scope, route, method, status, time.perf_counter() - began)

    def _note(self, scope: Message, route: str, method: str, status: int, seconds: float) -> None:
        self.figures.request(route, method, status, seconds)
        if self.log == "none":
            return
        line = {
            "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
            "client": (scope.get("client") or ("",))[0],
            "method": method,
            "route": route,
            "status": status,
            "ms": round(1000 * seconds, 3),
        }
        text = json.dumps(line) if self.log == "json" else " ".join(map(str, line.values()))
        print(text, file=sys.stderr, flush=True)
