"""Where a server listens, and what it is reached by; of the explorer and of `gatewright serve`."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from ..tasks.errors import SettingsError

TRIED = 20


def address(host: str, port: int, token: str | None) -> str:
    """What to type into a browser.

    >>> address("::1", 8765, None), address("0.0.0.0", 80, "50%+")
    ('http://[::1]:8765/', 'http://127.0.0.1:80/?token=50%25%2B')
    """
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    name = f"[{name}]" if ":" in name else name
    return f"http://{name}:{port}/" + (f"?token={quote(token, safe='')}" if token else "")


def listening_at(host: str, port: int, say: Callable[[str], None], *, tried: int = TRIED) -> socket.socket:
    """A socket at the first free one of `tried` ports. Raises `SettingsError` where there is none."""
    if not 0 <= port <= 65_535:
        raise SettingsError(f"port: expected 0 to 65535, got {port}")
    try:
        family, *_, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (socket.gaierror, UnicodeError) as error:
        raise SettingsError(f"host {host!r}: no address of this machine ({error}); take 127.0.0.1") from None
    last, taken = None, port
    for taken in range(port, min(port + tried, 65_536)):
        found = socket.socket(family)
        if os.name == "posix":
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((where[0], taken, *where[2:]))
            found.listen(128)
        except OSError as error:
            found.close()
            last = error
            continue
        if taken != port:
            say(f"port {port} cannot be had ({last.strerror if last else ''}): taking {taken}")
        return found
    ports = f"port {port} cannot" if taken == port else f"ports {port} to {taken}: none can"
    raise SettingsError(f"host {host!r}, {ports} be had ({last}); give --host or --port")


def announced(config: Any, ready: Callable[[], None]) -> Any:
    """uvicorn's server, which says when it is ready."""
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            ready()

    return Server(config)
