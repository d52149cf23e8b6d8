"""Where a run's data came from, in a form that a checkpoint can keep: paths are found again, objects are not."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from gatewright.tasks.errors import FolderError, SettingsError

__all__ = ["config_of", "find_again", "remember"]


def remember(sources: dict[str, Any], data: tuple[str, ...]) -> dict[str, Any]:
    """JSON values for the arguments of a task's `fit`. data: the names of those that hold data or a path to them.

    >>> remember({"data": Path("/a/b.csv"), "validation": None, "pattern": "*"}, ("data", "validation"))
    {'data': {'path': '/a/b.csv'}, 'validation': {'value': None}, 'pattern': {'value': '*'}}
    >>> remember({"data": [1.0, 2.0]}, ("data",))
    {'data': {'object': 'list'}}
    """
    return {name: _remembered(value, name in data) for name, value in sources.items()}


def _remembered(value: Any, is_data: bool) -> dict[str, Any]:
    if isinstance(value, os.PathLike):
        return {"path": str(Path(value).resolve())}
    if value is None or (not is_data and isinstance(value, bool | int | float | str)):
        return {"value": value}
    return {"object": type(value).__name__}


def find_again(where: dict[str, Any], given: dict[str, Any], name: str) -> dict[str, Any]:
    """The arguments of `fit` again: what is given now, else what was remembered. name: of the data, for people.

    Raises `SettingsError` where data were an object, which is not kept, and are not given.

    >>> find_again({"data": {"path": "/a/b.csv"}}, {"data": None}, "b.csv")["data"].name
    'b.csv'
    """
    found: dict[str, Any] = {}
    for source, kept in where.items():
        if given.get(source) is not None:
            found[source] = given[source]
        elif "object" in kept:
            raise SettingsError(
                f"{source}: this run was given {_article(kept['object'])} ({name}), which is not kept; give it again"
            )
        else:
            found[source] = Path(kept["path"]) if "path" in kept else kept["value"]
    return found | {source: value for source, value in given.items() if source not in where and value is not None}


def _article(kind: str) -> str:
    return "text as a string" if kind == "str" else f"{'an' if kind[0].lower() in 'aeiou' else 'a'} {kind}"


def config_of(path: Path, wanted: str) -> dict[str, Any]:
    """The `config.json` that a run began with, less what every one has.

    Raises `FolderError` where it is gone or another one.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FolderError(f"{path}: cannot be read ({error.strerror}); restore it from a copy") from error
    if hashlib.sha256(content).hexdigest() != wanted:
        raise FolderError(f"{path}: changed after the run began (its SHA-256 does not fit); restore it from a copy")
    whole = json.loads(content)
    return {name: value for name, value in whole.items() if name not in SHARED}


SHARED = ("format", "format_version", "task", "settings")
