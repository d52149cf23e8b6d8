"""The checkpoints of a training run, and the best model published at the top of its folder.

    FOLDER/config.json model.safetensors metrics.json      the best model so far
    FOLDER/checkpoints/00000120/                           all of the run after update 120
        training.safetensors training.json [model.safetensors]

One rename makes a checkpoint; older ones are removed after it. The published model is a copy of the
checkpoint's.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

from gatewright.tasks.checkpoint import (
    commit,
    fresh_folder,
    pack,
    read_json,
    read_tensors,
    replace_file,
    tensor_bytes,
    unpack,
    write_file,
)
from gatewright.tasks.errors import FolderError, SettingsError
from gatewright.tasks.folder import CHECKPOINTS, CONFIG, FORMAT_VERSION, METRICS, WEIGHTS, json_bytes

__all__ = ["RunFolder"]

FORMAT = "gatewright.checkpoint"


class RunFolder:
    """A folder that a run is saved in and can be resumed from."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / CHECKPOINTS
        self._published: bytes | None = None

    def begin(self, *, overwrite: bool) -> None:
        """Make the folder for a new run. Raises `SettingsError` where one is there already, unless
        `overwrite`.
        """
        if self.path.exists() and not self.path.is_dir():
            raise SettingsError(f"{self.path}: is a file, expected a folder to save the model in; give another --out")
        taken = [name for name in (WEIGHTS, CHECKPOINTS) if (self.path / name).exists()]
        if taken and not overwrite:
            raise SettingsError(
                f"{self.path}: holds a model already ({taken[0]}); go on with --resume, "
                "start anew with --overwrite, or give another --out"
            )
        if taken:
            for name in (WEIGHTS, METRICS):
                (self.path / name).unlink(missing_ok=True)
            shutil.rmtree(self.checkpoints, ignore_errors=True)

    def write_config(self, content: bytes) -> None:
        """Put `config.json` there, which stays the same for the whole run."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FolderError(f"{self.path}: cannot be made ({error.strerror}); give another --out") from error
        replace_file(self.path / CONFIG, content)

    def save(self, number: int, tree: dict[str, Any], about: dict[str, Any], model: bytes | None) -> None:
        """Write checkpoint `number`; when this returns, it is on the disk and the ones before it are gone."""
        target = self.checkpoints / f"{number:08}"
        skeleton, tensors = pack(tree)
        content = tensor_bytes(tensors, {"format": FORMAT})
        files = {"training.safetensors": content} | ({WEIGHTS: model} if model else {})
        about = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            **about,
            "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
            "tree": skeleton,
        }
        earlier = self._numbers()
        if target.exists():  # the same update again, after a resumption: the same content
            return
        with fresh_folder(target) as new:
            for name, data in {**files, "training.json": json_bytes(about)}.items():
                write_file(new / name, [data])
            commit(new, target)
        for old in earlier:
            self._remove(old)

    def publish(self, model: bytes | None, metrics: dict[str, Any]) -> None:
        """Make the best model and the metrics visible at the top of the folder."""
        if model is not None and model is not self._published:
            replace_file(self.path / WEIGHTS, model)
            self._published = model
        replace_file(self.path / METRICS, json_bytes(metrics))

    def read(self) -> tuple[dict[str, Any], dict[str, Any], bytes | None]:
        """The newest checkpoint: its tree, what else its JSON says, and its best model's file.

        Raises `FolderError` where there is none, or it is damaged or of a newer version.
        """
        numbers = self._numbers()
        if not numbers:
            raise FolderError(f"{self.path}: nothing to resume: no checkpoint in this folder; train without --resume")
        folder = self.checkpoints / numbers[-1]
        about = read_json(folder / "training.json")
        if not isinstance(about, dict) or about.get("format") != FORMAT:
            raise FolderError(f"{folder / 'training.json'}: not a checkpoint of Gatewright; train without --resume")
        if about.get("format_version", 0) > FORMAT_VERSION:
            raise FolderError(
                f"{folder}: format version {about['format_version']}, and this gatewright reads up to "
                f"{FORMAT_VERSION}; upgrade it: pip install --upgrade gatewright"
            )
        contents = {name: _verified(folder / name, wanted) for name, wanted in about["sha256"].items()}
        tensors, _ = read_tensors(folder / "training.safetensors")
        return unpack(about["tree"], tensors), about, contents.get(WEIGHTS)

    def _numbers(self) -> list[str]:
        if not self.checkpoints.is_dir():
            return []
        return sorted(p.name for p in self.checkpoints.iterdir() if p.name.isdigit() and p.is_dir())

    def _remove(self, name: str) -> None:
        """Remove a checkpoint: first its name, so that a kill on the way leaves none that is half there."""
        doomed = self.checkpoints / f".old-{name}-{os.getpid()}"
        (self.checkpoints / name).rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)

    def tidy(self) -> None:
        """Remove what a killed run has left half written or half removed."""
        for folder in (self.path, self.checkpoints):
            for left in [*folder.glob(".new-*"), *folder.glob(".old-*")]:
                shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)


def read_about(path: Path) -> dict[str, Any]:
    """What the newest checkpoint's JSON says, tensors apart."""
    return RunFolder(path).read()[1]


def _verified(path: Path, wanted: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FolderError(f"{path}: cannot be read ({error.strerror}); the checkpoint is damaged") from error
    if hashlib.sha256(content).hexdigest() != wanted:
        raise FolderError(
            f"{path}: damaged or changed after it was saved (its SHA-256 does not fit); "
            "the model at the top of the folder can still be used; to train, start anew with --overwrite"
        )
    return content
