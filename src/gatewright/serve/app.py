"""The routes of a served model."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import HTMLResponse, Response
from starlette.websockets import WebSocketDisconnect

from ..explorer.answers import QUIET, Answer, answer_errors
from ..explorer.refused import Refused, of_error
from ..explorer.security import Guard, Policy, refuse_socket
from ..graph import CellError
from ..tasks.errors import TaskError
from .batching import Batcher
from .figures import CONTENT_TYPE, Figures
from .limit import Limit
from .page import page
from .served import Served, as_json
from .sessions import Session, Sessions
from .settings import ServeSettings
from .watch import Watch

__all__ = ["Server", "policy", "rules"]

LOGGER = logging.getLogger("gatewright.serve")
SWEEP = 5.0
"""Seconds between two looks for sessions that have ended."""
GONE = 1001
"""What a WebSocket is closed with when there is nothing behind it any more."""


def rules(settings: ServeSettings) -> dict[str, Any]:
    """What a `Policy` is told of this server: everything but /health needs the token, what is asked is JSON."""
    return {
        "command": "gatewright serve",
        "asked": re.compile(r"/(?!health(/|$)).*"),
        "questions": re.compile(r"/predict|/sessions/.*"),
        "by_address": re.compile(r"/|/sessions/[\w-]+/stream"),  # a browser's page and its WebSocket send no header
        "body": settings.body_bytes,
        "sockets": True,
    }


def policy(host: str, token: str | None, settings: ServeSettings) -> Policy:
    """Who may ask a server that listens at `host`."""
    return Policy.for_host(host, token, names=settings.more_names, **rules(settings))


class Server:
    """One served model: its thread, its sessions, its figures, and the application in front of them.

    stopping: set when the server is told to end; it is no longer ready then, and answers what it has.
    """

    def __init__(self, served: Served, settings: ServeSettings) -> None:
        self.served, self.settings = served, settings
        self.figures, self.stopping = Figures(), False
        self.batcher = Batcher(
            served.model.answer,
            max_batch=settings.max_batch,
            max_wait=settings.max_wait_ms / 1000,
            max_queue=settings.max_queue,
            figures=self.figures,
        )
        self.sessions = Sessions(
            served.model.session,
            self.batcher.call,
            most=settings.max_sessions,
            seconds=60 * settings.session_minutes,
            timeout=settings.timeout,
        )
        self.figures.gauge("queue_items", "Items and steps that wait.", lambda: self.batcher.depth)
        self.figures.gauge("sessions", "Sessions that are open.", lambda: len(self.sessions))
        self.figures.gauge("ready", "Whether requests are answered.", lambda: float(self.ready))

    @property
    def ready(self) -> bool:
        """Whether requests are answered."""
        return self.batcher.alive and not self.stopping

    def application(self, policy: Policy) -> Any:
        """The ASGI application, behind its guard."""
        app = FastAPI(lifespan=self._life, default_response_class=Answer, redirect_slashes=False, **QUIET)
        answer_errors(app)
        self._pages(app)
        self._predictions(app)
        self._sessions(app)
        limit = Limit(Guard(app, policy), self.settings.max_connections)
        self.figures.gauge("connections", "Requests and streams that are open.", lambda: limit.running)
        return Watch(limit, self.figures, self.settings.log)

    @contextlib.asynccontextmanager
    async def _life(self, _: FastAPI) -> AsyncIterator[None]:
        self.batcher.start()
        sweeper = asyncio.create_task(self._sweep())
        yield
        self.stopping = True
        sweeper.cancel()
        await asyncio.to_thread(self.batcher.stop, self.settings.timeout)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(min(SWEEP, 30 * self.settings.session_minutes))
            self.sessions.expire()

    # -- about the server ----------------------------------------------------------------------------------------

    def _pages(self, app: FastAPI) -> None:
        about = self.served.about(self.settings.to_dict())
        shown = page(self.served, about)

        @app.get("/")
        def index() -> HTMLResponse:
            return HTMLResponse(shown)

        @app.get("/model")
        def model() -> Answer:
            return Answer(about)

        @app.get("/health")
        @app.get("/health/ready")
        def ready() -> Answer:
            state = "ready" if self.ready else "stopping" if self.stopping else "the model's thread has ended"
            return Answer({"live": True, "ready": self.ready, "state": state}, status_code=200 if self.ready else 503)

        @app.get("/health/live")
        def live() -> Answer:
            return Answer({"live": True})

        @app.get("/metrics")
        def metrics() -> Response:
            return Response(self.figures.text(), media_type=CONTENT_TYPE)

    # -- predictions ---------------------------------------------------------------------------------------------

    def _predictions(self, app: FastAPI) -> None:
        @app.post("/predict")
        async def predict(request: Request) -> Answer:
            given = as_json(await request.body())
            items = given if isinstance(given, list) else [given]
            if not items:
                raise Refused(422, "the list is empty", where="items", remedy="give one item, or a list of some")
            if len(items) > self.settings.max_queue:
                told = f"{len(items)} items are more than the {self.settings.max_queue} that may wait"
                raise Refused(413, told, where="items", remedy="ask for fewer at a time")
            found = await self._answers(items)
            if isinstance(given, list):
                return self._listed(found)
            if isinstance(found[0], Refused):
                raise found[0]
            return Answer(found[0])

    async def _answers(self, items: list[Any]) -> list[Any]:
        """What each item is answered with, a `Refused` where it cannot be."""
        futures = [asyncio.wrap_future(future) for future in self.batcher.submit(items)]
        await asyncio.wait(futures, timeout=self.settings.timeout)
        found = [self._result(future) for future in futures]
        for one in found:
            self.figures.items.labels(str(one.status if isinstance(one, Refused) else 200)).inc()
        return found

    def _result(self, future: asyncio.Future[Any]) -> Any:
        if not future.done():
            future.cancel()  # it need not be begun
            remedy = "ask again later, or for less at a time"
            return Refused(504, f"no answer within {self.settings.timeout:g} s", remedy=remedy)
        error = future.exception()
        return future.result() if error is None else refusal(error)

    @staticmethod
    def _listed(found: list[Any]) -> Answer:
        """A list of answers: 200 where all is well, 207 where some items have an error, that error's where all have."""
        bad = [one.status for one in found if isinstance(one, Refused)]
        status = 200 if not bad else 207 if len(bad) < len(found) else max(bad)
        return Answer([one.form() if isinstance(one, Refused) else one for one in found], status_code=status)

    # -- sessions ------------------------------------------------------------------------------------------------

    def _sessions(self, app: FastAPI) -> None:
        @app.post("/sessions", status_code=201)
        async def begin() -> Answer:
            if not self.served.streams:
                told = f"this model ({self.served.model.task}) is not asked step by step"
                raise Refused(501, told, remedy="send whole sequences: POST /predict")
            return Answer(self._shown(await self.sessions.open()), status_code=201)

        @app.get("/sessions/{key}")
        async def look(key: str) -> Answer:
            return Answer(self._shown(self.sessions.get(key)))

        @app.post("/sessions/{key}/step")
        async def step(key: str, request: Request) -> Answer:
            return Answer(await self._step(key, as_json(await request.body())))

        @app.delete("/sessions/{key}", status_code=204)
        async def end(key: str) -> Response:
            self.sessions.close(key)
            return Response(status_code=204)

        @app.websocket("/sessions/{key}/stream")
        async def stream(key: str, socket: WebSocket) -> None:
            await self._stream(key, socket)

    def _shown(self, session: Session) -> dict[str, Any]:
        return {"session": session.id, "steps": session.steps, "seconds_without_a_step": self.sessions.seconds}

    async def _step(self, key: str, item: Any) -> Any:
        try:
            found = await self.sessions.step(key, item)
        except Exception as error:
            refused = refusal(error)
            self.figures.steps.labels(str(refused.status)).inc()
            raise refused from error
        self.figures.steps.labels("200").inc()
        return found

    async def _stream(self, key: str, socket: WebSocket) -> None:
        """A message is a step, its answer the next message; an error is an answer too, and the stream goes on."""
        try:
            session = self.sessions.get(key)
        except Refused as refused:
            return await refuse_socket(refused, socket.scope, socket.receive, socket.send)
        await socket.accept()
        ended = asyncio.create_task(session.ended.wait())
        try:
            while (message := await _before(ended, socket.receive())) is not None:
                if message["type"] == "websocket.disconnect":
                    return None
                await socket.send_text(Answer(await self._answer_message(key, message)).text)
            return await socket.close(GONE, "the session has ended")
        except WebSocketDisconnect:
            return None
        finally:
            ended.cancel()

    async def _answer_message(self, key: str, message: Any) -> Any:
        """What a message is answered with."""
        try:
            if message.get("text") is None:
                raise Refused(422, "a message of bytes; a step is JSON text", where="item")
            return await self._step(key, as_json(message["text"]))
        except (Refused, TaskError) as error:
            return refusal(error).form()


async def _before(end: asyncio.Task[Any], coming: Coroutine[Any, Any, Any]) -> Any:
    """What is coming; None where the end comes first."""
    task = asyncio.create_task(coming)
    try:
        await asyncio.wait((end, task), return_when=asyncio.FIRST_COMPLETED)
        return None if end.done() else task.result()
    finally:
        task.cancel()  # nothing where it is done


def refusal(error: BaseException) -> Refused:
    """What a client is told of an error; of one that nobody expected, the log has the traceback."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, TaskError):
        return Refused(422, str(error), where="item")
    if isinstance(error, CellError):
        return of_error(error, "item")
    LOGGER.error("a request failed", exc_info=(type(error), error, error.__traceback__))
    return Refused(500, "something went wrong with this item", remedy="the server's log has the traceback")
