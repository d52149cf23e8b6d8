"""What is served: a model of any task, and what people are told of it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import gatewright as gw

from ..tasks.errors import TaskError
from ..tasks.registry import load

__all__ = ["Served", "opened"]


class Served:
    """A model with `answer`, `example` and `session`, and its description.

    name: for people. Raises `TaskError` where the model answers no requests.
    """

    def __init__(self, model: Any, name: str) -> None:
        self.model, self.name = model, name
        self.example = model.example()
        self.streams = model.session() is not None

    def warm(self) -> None:
        """Answer the example, so that what has to be compiled is. Raises `TaskError` where the model cannot."""
        self.model.answer([self.example])
        if self.streams:
            self.model.session()

    def about(self, limits: dict[str, Any]) -> dict[str, Any]:
        """The answer to GET /model."""
        model = self.model
        parameters = sum(p.numel() for p in model.network.parameters())
        return {
            "name": self.name,
            "task": model.task,
            "cell": model.cell_name,
            "equations": model.equations,
            "parameters": parameters,
            "settings": model.settings.to_dict(),
            "figures": (model.metrics.get("best") or {}) if model.metrics else {},
            "example": self.example,
            "sessions": self.streams,
            "limits": limits,
            "gatewright": gw.__version__,
        }


def opened(model: Any) -> Served:
    """What is meant by a folder or by a fitted model.

    Raises `FolderError` where the folder is none of a model, and `TaskError` where the model answers no requests.
    """
    if isinstance(model, str | os.PathLike):
        return Served(load(model), Path(model).resolve().name)
    return Served(model, f"{model.cell_name}, {model.task}")


def as_json(text: bytes | str) -> Any:
    """The JSON value of a request. Raises `TaskError` where it is none."""
    try:
        return json.loads(text, parse_constant=_no_number)
    except RecursionError:
        raise TaskError("the request is nested too deeply") from None
    except ValueError as error:
        raise TaskError(f"the request is not JSON: {error}") from None


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number in JSON; a value that is missing is null")
