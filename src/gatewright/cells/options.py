"""Hyper-parameters of cells that are words: a wrong one is an error that names the right ones."""

from __future__ import annotations

from collections.abc import Collection

from ..graph.errors import CellError, suggestion


def one_of(name: str, value: object, known: Collection[str]) -> None:
    """Raise where a hyper-parameter is none of the known words."""
    if value not in known:
        raise CellError(
            f"{name}={value!r}: expected one of {', '.join(map(repr, known))}{suggestion(str(value), known)}"
        )


def letters_of(name: str, value: object, known: str) -> None:
    """Raise where a hyper-parameter names something that the cell does not have; it is a string of letters."""
    if not isinstance(value, str) or set(value) - set(known):
        raise CellError(f"{name}={value!r}: expected some of the letters of {known!r}")
