"""`gatewright serve`: the server, from a model to the signal that ends it."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import torch

from ..explorer.listening import address, listening_at
from ..explorer.security import chosen_token, is_loopback
from ..tasks.errors import MissingExtra, SettingsError
from .settings import ServeSettings

__all__ = ["application", "serve"]

PORT = 8000
GRACE = 2.0
"""Seconds beyond the time that an answer may take, for those that are running when the server is told to end."""


def serve(
    model: Any,
    *,
    host: str = "127.0.0.1",
    port: int = PORT,
    token: str | None = None,
    say: Callable[[str], None] = print,
    **settings: Any,
) -> None:
    """Serve a model over HTTP until Ctrl-C or SIGTERM; the requests that are running then are answered.

    Args:
        model: a folder of a trained model of any task, or the model itself.
        host: the address to listen at; beyond this machine's own a token is needed, and made where none is given.
        port: 0 for any that is free.
        token: that every request but one for /health has to show.
        say: where lines for people go.
        settings: fields of `ServeSettings`.

    Raises:
        MissingExtra: fastapi, uvicorn, websockets or prometheus_client is not installed.
        FolderError, TaskError: there is no such model, or it answers no requests.
        SettingsError: a setting is unknown or out of range, or the address is not usable.
    """
    chosen = ServeSettings.from_dict(settings)
    token = chosen_token(host, token)
    with contextlib.closing(listening_at(host, port, say, tried=1)) as listening, _polite():
        url = address(host, listening.getsockname()[1], token)
        say("opening the model …")
        app, server = _made(model, host, token, chosen)
        ready = f"{server.served.name} at {url}\nCtrl-C ends it, after the requests that are running"
        _uvicorn(app, server, chosen, lambda: say(ready)).run(sockets=[listening])


def application(model: Any, *, host: str = "127.0.0.1", token: str | None = None, **settings: Any) -> Any:
    """The server as an ASGI application, to run by a server of one's own.

    host: where that one listens, which decides what names it is reached by. token: that requests have to show; it must
    be given where others than this machine can connect. model, settings and what is raised: as in `serve`. The
    application has to get its lifespan, by which its thread begins.
    """
    chosen = ServeSettings.from_dict(settings)
    if not (token or "").strip() and not is_loopback(host):
        raise SettingsError(
            f"token: expected one, for other machines reach {host}; give token=…, or host='127.0.0.1' where the server "
            "listens there"
        )
    return _made(model, host, chosen_token(host, token), chosen)[0]


def _made(model: Any, host: str, token: str | None, settings: ServeSettings) -> tuple[Any, Any]:
    """The application, and what knows of its state."""
    try:
        import prometheus_client  # noqa: F401
        import uvicorn  # noqa: F401
        import websockets  # noqa: F401

        from .app import Server, policy
    except ImportError as error:
        library = (error.name or "fastapi").partition(".")[0]
        raise MissingExtra(library, "serve", "serving a model") from error
    from .served import opened

    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    served = opened(model)
    served.model.to(settings.device)
    with torch.no_grad():
        served.warm()
    server = Server(served, settings)
    return server.application(policy(host, token, settings)), server


def _uvicorn(app: Any, server: Any, settings: ServeSettings, ready: Callable[[], None]) -> Any:
    """uvicorn, which says when it is ready and when it is told to end."""
    import uvicorn

    class Listening(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            ready()

        def handle_exit(self, sig: int, frame: Any) -> None:
            server.stopping = True
            super().handle_exit(sig, frame)

    logging.getLogger("uvicorn.error").addFilter(_about_us)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="websockets-sansio",
        ws_max_size=settings.body_bytes,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=round(settings.timeout + GRACE),
    )
    return Listening(config)


def _about_us(record: logging.LogRecord) -> bool:
    """Whether a line of uvicorn's is true: it says this of each WebSocket that was answered with an error instead."""
    return record.getMessage() != "ASGI callable returned without completing handshake."


@contextlib.contextmanager
def _polite() -> Iterator[None]:
    """SIGTERM ends what is here as an exception does, with its exit code, where it would end it on the spot."""
    if threading.current_thread() is not threading.main_thread() or os.name != "posix":
        yield
        return

    def leave(number: int, frame: Any) -> None:  # noqa: ARG001
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
