"""Answers in JSON, errors among them: what the explorer and `gatewright serve` have in common."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from ..graph import CellError
from ..tasks.errors import TaskError
from .reduce import finite
from .refused import Refused

QUIET: dict[str, Any] = {"docs_url": None, "redoc_url": None, "openapi_url": None}
"""FastAPI's own pages load scripts from a network."""


class Answer(JSONResponse):
    """JSON as it is defined: NaN and the infinities are null."""

    def render(self, content: Any) -> bytes:
        try:
            text = json.dumps(content, allow_nan=False, separators=(",", ":"))
        except ValueError:
            text = json.dumps(finite(content), allow_nan=False, separators=(",", ":"))
        return text.encode()

    @property
    def text(self) -> str:
        """The body as text."""
        return bytes(self.body).decode()


def answer_errors(app: FastAPI) -> None:
    """Have an application answer every error in one form."""
    handled: dict[type[Exception], Callable[[Exception], Refused]] = {
        Refused: lambda error: error,  # pyright: ignore[reportAssignmentType]
        RequestValidationError: _misshapen,
        HTTPException: lambda error: Refused(error.status_code, error.detail),  # pyright: ignore[reportAttributeAccessIssue]
        TaskError: lambda error: Refused(422, str(error)),
        CellError: lambda error: Refused(422, str(error)),
        Exception: lambda _: Refused(500, "something went wrong here", remedy="the terminal has the traceback"),
    }

    def answer(how: Callable[[Exception], Refused]) -> Callable[[Request, Exception], Awaitable[Response]]:
        async def answered(_: Request, error: Exception) -> Response:
            refused = how(error)
            return Answer(refused.form(), status_code=refused.status, headers=refused.headers)

        return answered

    for kind, how in handled.items():
        app.add_exception_handler(kind, answer(how))


def _misshapen(error: Exception) -> Refused:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
    return Refused(422, f"{where}: {first['msg']}", where=where)
