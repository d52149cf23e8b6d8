"""The tasks by name, and a model folder of any of them."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from gatewright.tasks.checkpoint import read_json
from gatewright.tasks.errors import FolderError
from gatewright.tasks.folder import CONFIG

if TYPE_CHECKING:
    from gatewright.tasks.estimator import Estimator

__all__ = ["TASKS", "estimator_of", "load"]

TASKS = {
    "classify": ("gatewright.tasks.classify.classifier", "Classifier"),
    "forecast": ("gatewright.tasks.forecast.forecaster", "Forecaster"),
    "language": ("gatewright.tasks.language.model", "LanguageModel"),
    "tag": ("gatewright.tasks.tag.tagger", "Tagger"),
}


def estimator_of(task: str) -> type[Estimator]:
    """The estimator of a task.

    >>> estimator_of("language").__name__
    'LanguageModel'
    """
    module, name = TASKS[task]
    return getattr(importlib.import_module(module), name)


def load(folder: str | os.PathLike[str]) -> Estimator:
    """The model of a folder, of whatever task: its `config.json` says which.

    Raises `FolderError` where the folder is missing, damaged, newer or not ours.
    """
    path = Path(folder)
    if not path.is_dir():
        raise FolderError(f"{path}: no such model folder; train one first, for instance: gatewright language train")
    if not (path / CONFIG).exists():
        raise FolderError(f"{path}: not a model folder (it has no {CONFIG}); give a folder that gatewright trained")
    content = read_json(path / CONFIG)
    task = content.get("task") if isinstance(content, dict) else None
    if task not in TASKS:
        known = ", ".join(map(repr, TASKS))
        raise FolderError(f"{path / CONFIG}: expected a model of one of the tasks {known}, got {task!r}")
    return estimator_of(task).load(path)
