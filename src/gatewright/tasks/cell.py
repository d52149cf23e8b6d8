"""The cell that a user names: a `Cell`, a name of the zoo, equations as text, or a file of equations."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import gatewright as gw
from gatewright.tasks.errors import SettingsError

__all__ = ["resolve_cell"]


def resolve_cell(cell: Any) -> Any:
    """A `gw.Cell` from a cell, a name (`"lstm"`), equations (`"h = tanh(W x + U h + b)"`) or a path to a file
    of them. A string is a name of the zoo if there is such a one, else equations if it has a `=`, else a path.

    Raises `SettingsError` where the name or the file is unknown or the equations are wrong, with their own
    message.
    """
    if isinstance(cell, gw.Cell):
        return cell
    if not isinstance(cell, (str, os.PathLike)):
        raise SettingsError(f"setting cell: expected a Cell, a name, equations or a path, got {type(cell).__name__}")
    try:
        if isinstance(cell, os.PathLike) or _names_a_file(cell):
            path = Path(cell)
            return gw.parse(path.read_text(encoding="utf-8"), name=_identifier(path.stem))
        return gw.parse(cell) if "=" in cell else gw.cells[cell]
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"setting cell: {cell}: cannot be read as text: {error}") from error
    except gw.CellError as error:
        raise SettingsError(f"setting cell: {error}") from error


def _names_a_file(text: str) -> bool:
    return text not in gw.cells and "=" not in text and os.path.isfile(text)  # False too for what can be no path


def _identifier(stem: str) -> str:
    name = "".join(c if c.isalnum() else "_" for c in stem)
    return name if name.isidentifier() else f"cell_{name}"
