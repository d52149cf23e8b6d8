"""The errors of a cell: they say where, what was expected, what came, and what to do."""

import difflib
from collections.abc import Iterable


class CellError(ValueError):
    """A cell whose equations cannot be understood, or do not fit together."""


class UnknownName(CellError, KeyError, AttributeError):
    """A name that is not there; the message suggests the nearest one.

    It is a `KeyError` and an `AttributeError` too, so that `hasattr`, `getattr` with a default and `in` work
    on whatever raises it.
    """

    __str__ = ValueError.__str__  # KeyError would show the message in quotes


class NotationError(CellError):
    """Equations as text that cannot be read: the message has line, column and a caret."""

    def __init__(self, message: str, *, line: int, column: int, source: str, width: int = 1):
        self.line, self.column = line, column
        caret = " " * (column - 1) + "^" * max(1, width)
        super().__init__(f"line {line}, column {column}: {message}\n  {source}\n  {caret}")


def suggestion(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'lstm'?`, or nothing where no known name is near."""
    near = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""
