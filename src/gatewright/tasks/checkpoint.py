"""Files that survive a kill and a full disk: trees of tensors as safetensors and JSON, in folders made by one
rename.

A new folder is filled under a name that begins with a dot, every file and the folder are synced, and one
rename gives it its name. At any moment a reader sees either nothing or all of it. No pickle is written or
read.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from gatewright.nn import files
from gatewright.nn.files import sync_folder, tensor_bytes, write_file
from gatewright.tasks.errors import FolderError

__all__ = [
    "commit",
    "fresh_folder",
    "pack",
    "read_json",
    "read_tensors",
    "replace_file",
    "replace_files",
    "tensor_bytes",
    "unpack",
    "write_file",
]


def pack(tree: Any, path: str = "") -> tuple[Any, dict[str, Tensor]]:
    """A tree of dicts, lists, tuples, tensors and plain values as (a skeleton of JSON values, its tensors by
    path).

    Example:
        >>> import torch
        >>> skeleton, tensors = pack({"step": 3, "m": torch.zeros(2)})
        >>> skeleton
        {'dict': [['step', {'value': 3}], ['m', {'tensor': 'm'}]]}
        >>> unpack(skeleton, tensors)
        {'step': 3, 'm': tensor([0., 0.])}
        >>> pack(float("inf"))[0]
        {'float': 'inf'}
    """
    if isinstance(tree, Tensor):
        return {"tensor": path}, {path: tree.detach().cpu().contiguous()}
    if isinstance(tree, dict):
        items = [(key, *pack(value, f"{path}.{key}".lstrip("."))) for key, value in tree.items()]
        return {"dict": [[key, part] for key, part, _ in items]}, _merge(t for _, _, t in items)
    if isinstance(tree, (list, tuple)):
        pairs = [pack(value, f"{path}.{number}".lstrip(".")) for number, value in enumerate(tree)]
        return {type(tree).__name__: [part for part, _ in pairs]}, _merge(t for _, t in pairs)
    if isinstance(tree, float) and not math.isfinite(tree):  # JSON has none
        return {"float": str(tree)}, {}
    if tree is None or isinstance(tree, (bool, int, float, str)):
        return {"value": tree}, {}
    raise TypeError(f"cannot be saved without pickle: {type(tree).__name__} at {path!r}")


def unpack(skeleton: Any, tensors: dict[str, Tensor]) -> Any:
    """The tree that `pack` took apart."""
    ((kind, content),) = skeleton.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: unpack(part, tensors) for key, part in content}
    if kind in ("list", "tuple"):
        parts = [unpack(part, tensors) for part in content]
        return parts if kind == "list" else tuple(parts)
    if kind == "float":
        return float(content)
    if kind == "value":
        return content
    raise KeyError(kind)


def _merge(parts: Iterable[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: tensor for part in parts for name, tensor in part.items()}


@contextlib.contextmanager
def fresh_folder(target: Path) -> Iterator[Path]:
    """A new empty folder beside `target`, removed again unless `commit` has renamed it.

    An `OSError` on the way (a full disk, no permission) becomes a `FolderError`.
    """
    new = target.parent / f".new-{target.name}-{uuid.uuid4().hex[:8]}"
    try:
        new.mkdir(parents=True)
        yield new
    except OSError as error:
        raise cannot_write(target, error) from error
    finally:
        shutil.rmtree(new, ignore_errors=True)


def commit(new: Path, target: Path) -> None:
    """Sync `new` and give it the name `target`; a `target` that is there already stays instead."""
    sync_folder(new)
    try:
        new.rename(target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
    sync_folder(target.parent)


def replace_file(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old or the new content and never a mixture."""
    try:
        files.replace_file(path, content)
    except OSError as error:
        raise cannot_write(path, error) from error


def replace_files(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write files of a folder that belong together, by name; where one cannot be written, all stay as they are."""
    try:
        files.replace_files({folder / name: content for name, content in contents.items()})
    except OSError as error:
        raise cannot_write(folder, error) from error


def cannot_write(path: Path, error: OSError) -> FolderError:
    """The error for a file or folder that could not be written, with what to do."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    advice = "free some space" if full else "check the path and its permissions"
    return FolderError(
        f"{path}: cannot be written ({error.strerror}); what was saved before is unharmed; "
        f"{advice}, then go on with --resume"
    )


def read_json(path: Path) -> Any:
    """The JSON value of a file. Raises `FolderError` where it is missing or damaged."""
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise FolderError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise FolderError(f"{path}: damaged: not JSON ({error}); restore the file from a copy") from error


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file. Raises `FolderError` where it is missing, truncated or
    another thing.
    """
    try:
        return files.read_tensors(path)
    except OSError as error:
        raise FolderError(f"{path}: cannot be read ({error.strerror or error})") from error
    except files.Damaged as error:
        raise FolderError(f"{error}; restore it from a copy or train again") from error
