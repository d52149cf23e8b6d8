"""`gatewright report`: the report of any model folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gatewright.cli.errors import exit_codes
from gatewright.tasks.folder import REPORT
from gatewright.tasks.registry import load

__all__ = ["report"]


def report(
    folder: Annotated[Path, typer.Argument(help="A model folder, of any task.")],
    out: Annotated[Path | None, typer.Option(help="The page to write (default: report.html in the folder).")] = None,
) -> None:
    """Write the report of a training run again, from its folder."""
    with exit_codes():
        print(load(folder).report().save(out or folder / REPORT), flush=True)
