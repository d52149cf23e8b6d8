"""The checkpoints of a training run, and the best model published at the top of its folder.

    FOLDER/config.json model.safetensors metrics.json      the best model so far
    FOLDER/checkpoints/00000120/                           all of the run after update 120
        training.safetensors training.json [model.safetensors]

One rename makes a checkpoint; older ones are removed after it. The published model is a copy of the
checkpoint's. A run that `overwrite` replaces waits in `FOLDER/.gatewright-replaced` until the new run's first
checkpoint is there; where it never comes, the old run is put back.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gatewright.tasks.checkpoint import (
    commit,
    fresh_folder,
    pack,
    read_json,
    read_tensors,
    replace_file,
    replace_files,
    tensor_bytes,
    unpack,
    write_file,
)
from gatewright.tasks.errors import FolderError, SettingsError, TaskError, first_line
from gatewright.tasks.folder import CHECKPOINTS, CONFIG, FORMAT_VERSION, METRICS, REPORT, WEIGHTS, json_bytes
from gatewright.tasks.folder import FORMAT as MODEL_FORMAT

__all__ = ["RunFolder", "folder_path"]

FORMAT = "gatewright.checkpoint"
TRAINING = "training.safetensors"


class RunFolder:
    """A folder that a run is saved in and can be resumed from."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / CHECKPOINTS
        self._replaced = path / ".gatewright-replaced"
        self._published: bytes | None = None

    def begin(self, *, overwrite: bool) -> None:
        """Make room for a new run. Raises `SettingsError` where one is there already, unless `overwrite`, and
        `FolderError` where the files there are somebody else's.
        """
        if self.path.exists() and not self.path.is_dir():
            raise SettingsError(f"{self.path}: is a file, expected a folder to save the model in; give another --out")
        self.put_back()
        self.refuse_foreign(CHECKPOINTS)
        taken = [name for name in (WEIGHTS, CHECKPOINTS) if (self.path / name).exists()]
        if taken and not overwrite:
            raise SettingsError(
                f"{self.path}: holds a model already ({taken[0]}); go on with --resume, "
                "start anew with --overwrite, or give another --out"
            )
        if taken:
            self._set_aside()

    def refuse_foreign(self, *more: str) -> None:
        """Raise `FolderError` where a file (or one of `more`) has our name but `config.json` is not ours."""
        taken = [name for name in (CONFIG, METRICS, WEIGHTS, REPORT, *more) if (self.path / name).exists()]
        if taken and not _is_ours(self.path / CONFIG):
            raise FolderError(
                f"{self.path / taken[0]}: would be overwritten, but {CONFIG} in this folder is not a Gatewright "
                "model's; give another folder, or move the file away"
            )

    def _set_aside(self) -> None:
        self._replaced.mkdir()
        for name in (CONFIG, METRICS, WEIGHTS, REPORT, CHECKPOINTS):
            if (self.path / name).exists():
                (self.path / name).rename(self._replaced / name)

    def put_back(self) -> None:
        """Undo `begin` where the new run has no checkpoint yet; nothing where it has one."""
        if not self._replaced.is_dir():
            return
        for kept in self._replaced.iterdir():
            target = self.path / kept.name
            if target.is_dir():
                shutil.rmtree(target)
            kept.replace(target)
        self._replaced.rmdir()

    def write(self, contents: dict[str, bytes]) -> None:
        """Put files there by their names, all or none: a run's `config.json`, which stays the same, or a model."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FolderError(f"{self.path}: cannot be made ({error.strerror}); give another --out") from error
        replace_files(self.path, contents)

    def save(self, number: int, tree: dict[str, Any], about: dict[str, Any], model: bytes | None) -> None:
        """Write checkpoint `number`; when this returns, it is on the disk and the ones before it are gone."""
        target = self.checkpoints / f"{number:08}"
        skeleton, tensors = pack(tree)
        content = tensor_bytes(tensors, {"format": FORMAT})
        files = {TRAINING: content} | ({WEIGHTS: model} if model else {})
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
        if self._replaced.is_dir():
            _discard(self._replaced, self.path / f".old-run-{os.getpid()}")

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
        path = folder / "training.json"
        about = read_json(path)
        if not isinstance(about, dict) or about.get("format") != FORMAT:
            raise FolderError(f"{path}: not a checkpoint of Gatewright; train without --resume")
        with self.fits_together():
            if about["format_version"] > FORMAT_VERSION:
                raise FolderError(
                    f"{folder}: format version {about['format_version']}, and this gatewright reads up to "
                    f"{FORMAT_VERSION}; upgrade it: pip install --upgrade gatewright"
                )
            contents = {name: _verified(folder / name, about["sha256"][name]) for name in (TRAINING, *about["sha256"])}
            tensors, _ = read_tensors(folder / TRAINING)
            return unpack(about["tree"], tensors), about, contents.get(WEIGHTS)

    @contextlib.contextmanager
    def fits_together(self) -> Iterator[None]:
        """While the newest checkpoint is taken up: what goes wrong with it becomes a `FolderError` that names
        it.
        """
        try:
            yield
        except TaskError:
            raise
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            path = self.checkpoints / self._numbers()[-1] / "training.json"
            raise FolderError(
                f"{path}: damaged or changed after it was saved ({type(error).__name__}: {first_line(error)});"
                " the model at the top of the folder can still be used; to train, start anew with --overwrite"
            ) from error

    def _numbers(self) -> list[str]:
        if not self.checkpoints.is_dir():
            return []
        return sorted(p.name for p in self.checkpoints.iterdir() if p.name.isdigit() and p.is_dir())

    def _remove(self, name: str) -> None:
        """Remove a checkpoint: first its name, so that a kill on the way leaves none that is half there."""
        _discard(self.checkpoints / name, self.checkpoints / f".old-{name}-{os.getpid()}")

    def tidy(self) -> None:
        """Remove what a killed run has left half written or half removed; put back what it never replaced."""
        self.put_back()
        for folder in (self.path, self.checkpoints):
            for left in [*folder.glob(".new-*"), *folder.glob(".old-*")]:
                shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)


def folder_path(folder: str | os.PathLike[str]) -> Path:
    """The path itself. Raises `SettingsError` for an empty one, which would be the working folder."""
    if not os.fspath(folder):
        raise SettingsError("out: the name of the folder is empty; give the folder to save the model in")
    return Path(folder)


def _is_ours(config: Path) -> bool:
    try:
        content = read_json(config)
    except FolderError:  # none there, or no JSON: not what we write
        return False
    return isinstance(content, dict) and content.get("format") == MODEL_FORMAT


def _discard(folder: Path, doomed: Path) -> None:
    folder.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


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
