"""The model folder: `model.safetensors`, `config.json`, `metrics.json`, `report.html`; docs/language.md has the format.

`model.safetensors` holds the weights; its metadata holds the equations as text, the format's version, the
SHA-256 of `config.json`, and a digest of all of that and the weights, so that a changed or mixed folder is
noticed.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from gatewright.nn.files import digest
from gatewright.tasks.checkpoint import read_json, read_tensors, tensor_bytes
from gatewright.tasks.errors import FolderError

__all__ = ["FORMAT_VERSION", "Model", "model_bytes", "read_model"]

FORMAT = "gatewright.model"
FORMAT_VERSION = 1
WEIGHTS, CONFIG, METRICS, CHECKPOINTS = "model.safetensors", "config.json", "metrics.json", "checkpoints"
REPORT = "report.html"


@dataclass(frozen=True)
class Model:
    """What a model folder says."""

    equations: str
    cell_name: str
    config: dict[str, Any]
    weights: dict[str, Tensor]
    metrics: dict[str, Any] = field(default_factory=dict)


def config_bytes(task: str, config: dict[str, Any]) -> bytes:
    """The content of `config.json`."""
    whole = {"format": FORMAT, "format_version": FORMAT_VERSION, "task": task, **config}
    return (json.dumps(whole, ensure_ascii=False, indent=1) + "\n").encode()


def json_bytes(values: Any) -> bytes:
    """JSON with a final newline, for people and programs; a number that is not finite is null, for JSON has none.

    >>> json_bytes({"loss": 0.5, "perplexity": float("inf")})
    b'{\\n "loss": 0.5,\\n "perplexity": null\\n}\\n'
    """
    return (json.dumps(_finite(values), ensure_ascii=False, indent=1, allow_nan=False) + "\n").encode()


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def model_bytes(task: str, equations: str, cell_name: str, config: bytes, weights: dict[str, Tensor]) -> bytes:
    """The content of `model.safetensors`."""
    metadata = {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "task": task,
        "cell": equations,
        "cell_name": cell_name,
        "config_sha256": hashlib.sha256(config).hexdigest(),
    }
    return tensor_bytes(weights, {**metadata, "digest": digest(metadata, weights)})


def read_model(folder: Path, task: str) -> Model:
    """Read and check a model folder.

    Raises `FolderError` where it is missing, truncated, changed, of a newer version, of another task or not
    ours.
    """
    if not folder.is_dir():
        raise FolderError(f"{folder}: no such model folder; train one first: gatewright {task} train --out {folder}")
    if not (folder / WEIGHTS).exists():
        raise FolderError(_no_model(folder, task))
    weights, metadata = read_tensors(folder / WEIGHTS)
    _check_kind(folder / WEIGHTS, metadata, task)
    if metadata.get("digest") != digest(metadata, weights):
        raise FolderError(f"{folder / WEIGHTS}: changed after it was saved (its digest does not fit); restore a copy")
    content = _read(folder / CONFIG)
    if hashlib.sha256(content).hexdigest() != metadata.get("config_sha256"):
        raise FolderError(
            f"{folder / CONFIG}: not the file that was saved with {WEIGHTS} (its SHA-256 does not fit); "
            "restore it from a copy"
        )
    metrics = read_json(folder / METRICS) if (folder / METRICS).exists() else {}
    return Model(metadata["cell"], metadata["cell_name"], json.loads(content), weights, metrics)


def _check_kind(path: Path, metadata: dict[str, str], task: str) -> None:
    if metadata.get("format") != FORMAT:
        raise FolderError(f"{path}: a safetensors file, but not a model of Gatewright; give a folder that train made")
    version = metadata.get("format_version", "")
    if not version.isdigit() or int(version) > FORMAT_VERSION:
        raise FolderError(
            f"{path}: format version {version}, and this gatewright reads up to {FORMAT_VERSION}; "
            "upgrade it: pip install --upgrade gatewright"
        )
    if metadata.get("task") != task:
        raise FolderError(of_another_task(str(path), "model", metadata.get("task"), task))


def of_another_task(place: str, what: str, found: Any, expected: str) -> str:
    """What is told of a folder of another task.

    >>> of_another_task("runs/a", "model", "tag", "language")
    "runs/a: a model of the task 'tag', expected 'language'; use gatewright tag, or give another folder"
    """
    told = f"{place}: a {what} of the task {found!r}, expected {expected!r}; "
    return told + (f"use gatewright {found}, or give another folder" if found else "give another folder")


def _no_model(folder: Path, task: str) -> str:
    if (folder / CHECKPOINTS).is_dir():
        return (
            f"{folder}: no model yet: training stopped before its first evaluation; "
            f"go on with: gatewright {task} train --out {folder} --resume"
        )
    return f"{folder}: not a model folder (it has no {WEIGHTS}); give a folder that gatewright {task} train made"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise FolderError(f"{path}: cannot be read ({error.strerror}); restore it from a copy") from error
