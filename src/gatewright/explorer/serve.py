"""`gatewright explore`: the server, from a model to Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import webbrowser
from collections.abc import Callable
from typing import Any

from ..tasks.errors import MissingExtra, SettingsError
from .security import Policy, is_loopback

PORT, TRIED = 8765, 20


def explore(
    model: Any = None,
    *,
    host: str = "127.0.0.1",
    port: int = PORT,
    open_browser: bool = True,
    token: str | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Show a model in a browser until Ctrl-C.

    Args:
        model: a folder of a trained language model, a file of `gw.save`, a model itself, or None for the shipped one.
        host: the address to listen at; beyond this machine's own a token is needed, and made where none is given.
        port: where it is taken, the next free one is used. 0 for any.
        open_browser: whether the page is opened.
        token: that a page has to show.
        say: where lines for people go.

    Raises:
        MissingExtra: fastapi or uvicorn is not installed.
        FolderError, SettingsError: there is no such model, or the address is not usable.
    """
    try:
        import uvicorn

        from .about import about
        from .app import application
    except ImportError as error:
        library = (error.name or "fastapi").partition(".")[0]
        raise MissingExtra(library, "explorer", "the explorer") from error
    from .opening import opened

    token = token or (None if is_loopback(host) else secrets.token_urlsafe(18))
    with contextlib.closing(_listening(host, port, say)) as listening:
        url = address(host, listening.getsockname()[1], token)
        say("opening the model …")
        shown = opened(model)
        about(shown)  # measures memories, and compiles what runs: the page need not wait
        for layer in shown.layers.values():
            layer.cell.diagram(theme="auto")  # laid out once for each cell
        app = application(shown, Policy.for_host(host, token))
        config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, **LIMITS)
        server = _server(config, lambda: _ready(url, open_browser, say))
        server.run(sockets=[listening])


LIMITS: dict[str, Any] = {"timeout_keep_alive": 30, "timeout_graceful_shutdown": 1, "limit_concurrency": 100}


def address(host: str, port: int, token: str | None) -> str:
    """What to type into a browser.

    >>> address("::1", 8765, None), address("0.0.0.0", 80, "secret")
    ('http://[::1]:8765/', 'http://127.0.0.1:80/?token=secret')
    """
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    name = f"[{name}]" if ":" in name else name
    return f"http://{name}:{port}/" + (f"?token={token}" if token else "")


def _ready(url: str, open_browser: bool, say: Callable[[str], None]) -> None:
    say(f"explore at {url}\nCtrl-C ends it")
    if open_browser:
        webbrowser.open(url)


def _listening(host: str, port: int, say: Callable[[str], None]) -> socket.socket:
    """A socket at the first free port."""
    if not 0 <= port <= 65_535:
        raise SettingsError(f"port: expected 0 to 65535, got {port}")
    try:
        family, *_, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (socket.gaierror, UnicodeError) as error:
        raise SettingsError(f"host {host!r}: no address of this machine ({error}); take 127.0.0.1") from None
    last, tried = None, port
    for tried in range(port, min(port + TRIED, 65_536)):
        found = socket.socket(family)
        if os.name == "posix":
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((where[0], tried, *where[2:]))
            found.listen(128)
        except OSError as error:
            found.close()
            last = error
            continue
        if tried != port:
            say(f"port {port} cannot be had ({last.strerror if last else ''}): taking {tried}")
        return found
    raise SettingsError(f"host {host!r}, ports {port} to {tried}: none can be had ({last}); give --host or --port")


def _server(config: Any, ready: Callable[[], None]) -> Any:
    """uvicorn's server, which says when it is ready."""
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            ready()

    return Server(config)
