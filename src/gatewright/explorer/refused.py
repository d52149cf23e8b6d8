"""What a server says when it cannot answer."""

from __future__ import annotations

from typing import Any

from ..graph import NotationError


class Refused(Exception):
    """An answer that is an error: its HTTP status and what a person is told.

    where: which part of the question. line, column: of equations, from 1. remedy: what to do. headers: of the answer,
    besides.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        where: str | None = None,
        remedy: str | None = None,
        line: int | None = None,
        column: int | None = None,
        headers: dict[str, str] | None = None,
    ):
        super().__init__(message)
        self.status, self.message = status, message
        self.where, self.remedy, self.line, self.column = where, remedy, line, column
        self.headers = headers or {}

    def form(self) -> dict[str, Any]:
        """The body of the answer."""
        parts = ("message", "where", "line", "column", "remedy")
        return {"error": {part: getattr(self, part) for part in parts}}

    @classmethod
    def of_form(cls, status: int, form: dict[str, Any], where: str | None = None) -> Refused:
        """The refusal that another process wrote down."""
        told: dict[str, Any] = form["error"] | ({"where": where} if where else {})
        return cls(status, **told)


def of_error(error: Exception, where: str | None = None) -> Refused:
    """A mistake that gatewright found: equations with their line and column."""
    if isinstance(error, NotationError):
        first = str(error).split("\n")[0]
        _, _, said = first.partition(": ")
        return Refused(422, said, where=where, line=error.line, column=error.column)
    return Refused(422, str(error), where=where)
