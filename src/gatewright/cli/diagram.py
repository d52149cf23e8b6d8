"""`gatewright diagram`: a cell as a picture."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

import gatewright as gw
from gatewright.cli.errors import exit_codes

__all__ = ["diagram"]


class Theme(enum.StrEnum):
    """The colours of a picture."""

    light = "light"
    dark = "dark"
    auto = "auto"


def diagram(
    cell: Annotated[str, typer.Argument(help="A cell's name, or a file with equations in a paper's notation.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The .svg to write (default: standard output).")
    ] = None,
    theme: Annotated[Theme, typer.Option(help="auto follows the reader's setting.")] = Theme.light,
    title: Annotated[str | None, typer.Option(help="A line above the picture.")] = None,
    legend: Annotated[bool, typer.Option("--legend", help="Explain the signs below the picture.")] = False,
) -> None:
    """Draw one step of a cell as SVG."""
    with exit_codes():
        picture = _cell(cell).diagram(title=title, theme=theme.value, legend=legend)
        if out is None:
            print(picture.svg, end="", flush=True)
        else:
            print(picture.save(out))


def _cell(name: str) -> gw.Cell:
    """A cell by name, else from a file."""
    path = Path(name)
    if name not in gw.cells and path.is_file():
        return gw.parse(path.read_text(encoding="utf-8"))
    if name not in gw.cells and (path.suffix or len(path.parts) > 1):
        raise FileNotFoundError(f"there is no file {name}, and no cell of that name")
    return gw.cells[name]
