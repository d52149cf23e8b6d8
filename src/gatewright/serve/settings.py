"""What a server allows: sizes, numbers, times."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from ..tasks.errors import SettingsError
from ..tasks.settings import Settings, setting

__all__ = ["ServeSettings"]

UNITS = {"": 1, "B": 1, "KB": 1000, "MB": 1000**2, "KIB": 1 << 10, "MIB": 1 << 20}


@dataclass(frozen=True)
class ServeSettings(Settings):
    """How a model is served.

    >>> ServeSettings(max_body="64KB").body_bytes
    64000
    """

    max_batch: int = setting(64, "items that are answered together, at most; 1: each by itself")
    max_wait_ms: float = setting(5.0, "milliseconds that an item waits for others to be answered with it")
    max_queue: int = setting(1024, "items that wait to be answered, at most; beyond it: 503")
    max_body: str = setting("1MB", "size of a request, at most: bytes, KB, MB, KiB or MiB; beyond it: 413")
    timeout: float = setting(10.0, "seconds that an answer may take; beyond it: 504")
    max_sessions: int = setting(1000, "sessions at once, at most; beyond it: 429")
    session_minutes: float = setting(10.0, "minutes without a step after which a session ends")
    max_connections: int = setting(1000, "requests and WebSockets at once, at most; beyond it: 503")
    threads: int | None = setting(None, "threads that one batch is computed with (torch's own choice)")
    device: str = setting("cpu", "where the model runs: cpu, cuda, cuda:1, mps")
    names: str = setting("", "names of hosts by which the server is reached besides its own, with commas")
    log: Literal["none", "text", "json"] = setting("none", "a line for every request, on standard error")

    def check(self) -> None:
        for name in ("max_batch", "max_queue", "max_sessions", "max_connections", "threads"):
            self._at_least(name, 1)
        for name in ("timeout", "session_minutes"):
            self._at_least(name, 0, above=True)
        self._at_least("max_wait_ms", 0)
        if self.body_bytes < 1:
            raise SettingsError(f"setting max_body: expected a size above 0, got {self.max_body!r}")

    @property
    def body_bytes(self) -> int:
        """`max_body` as a number."""
        found = re.fullmatch(r"(\d{1,12})\s*([A-Za-z]*)", self.max_body.strip())
        if not found or found[2].upper() not in UNITS:
            raise SettingsError(f"setting max_body: expected a size like 1MB, 512KiB or 65536, got {self.max_body!r}")
        return int(found[1]) * UNITS[found[2].upper()]

    @property
    def more_names(self) -> list[str]:
        """`names` one by one."""
        return [name.strip() for name in self.names.split(",") if name.strip()]
