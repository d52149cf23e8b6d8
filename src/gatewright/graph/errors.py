"""The errors of a cell: they say where, what was expected, what came, and what to do."""


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
