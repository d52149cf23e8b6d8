"""`gatewright report`: the report of any model folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from gatewright.cli.errors import exit_codes
from gatewright.tasks import LanguageModel
from gatewright.tasks.checkpoint import read_json
from gatewright.tasks.errors import FolderError
from gatewright.tasks.folder import CONFIG, REPORT
from gatewright.tasks.report import Report

__all__ = ["report"]

TASKS: dict[str, Callable[[Path], Report]] = {"language": lambda folder: LanguageModel.load(folder).report()}


def report(
    folder: Annotated[Path, typer.Argument(help="A model folder, of any task.")],
    out: Annotated[Path | None, typer.Option(help="The page to write (default: report.html in the folder).")] = None,
) -> None:
    """Write the report of a training run again, from its folder."""
    with exit_codes():
        content = read_json(folder / CONFIG)
        task = content.get("task") if isinstance(content, dict) else None
        if task not in TASKS:
            known = ", ".join(map(repr, TASKS))
            raise FolderError(f"{folder / CONFIG}: expected a model of the task {known}, got {task!r}")
        print(TASKS[task](folder).save(out or folder / REPORT), flush=True)
