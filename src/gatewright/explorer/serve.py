"""`gatewright explore`: the server, from a model to Ctrl-C."""

from __future__ import annotations

import contextlib
import webbrowser
from collections.abc import Callable
from typing import Any

from ..tasks.errors import MissingExtra
from .listening import address, announced, listening_at
from .security import Policy, chosen_token

PORT = 8765


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

    token = chosen_token(host, token)
    with contextlib.closing(listening_at(host, port, say)) as listening:
        url = address(host, listening.getsockname()[1], token)
        say("opening the model …")
        shown = opened(model)
        about(shown)  # measures memories, and compiles what runs: the page need not wait
        for layer in shown.layers.values():
            layer.cell.diagram(theme="auto")  # laid out once for each cell
        app = application(shown, Policy.for_host(host, token))
        config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, **LIMITS)
        server = announced(config, lambda: _ready(url, open_browser, say))
        server.run(sockets=[listening])


LIMITS: dict[str, Any] = {"timeout_keep_alive": 30, "timeout_graceful_shutdown": 1, "limit_concurrency": 100}


def _ready(url: str, open_browser: bool, say: Callable[[str], None]) -> None:
    say(f"explore at {url}\nCtrl-C ends it")
    if open_browser:
        webbrowser.open(url)
