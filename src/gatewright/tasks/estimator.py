"""What every task's estimator has: fit, resume, load, save, report, explain, in scikit-learn's manner.

A task gives its settings, how data are read (`_prepare`), a network, a `TaskJob` and what its report shows
(`_findings`); everything else is here, and written once. The way of a run:

    fit(data) -> _prepare -> Prepared -> Plan -> [every process: train -> TaskJob -> Trainer] -> model folder -> report
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import nn

import gatewright as gw
from gatewright.tasks.cell import resolve_cell
from gatewright.tasks.errors import FolderError, SettingsError, TaskError, TrainingError, first_line
from gatewright.tasks.fabric import launch, make_fabric
from gatewright.tasks.folder import CONFIG, METRICS, WEIGHTS, json_bytes, model_bytes, of_another_task, read_model
from gatewright.tasks.progress import check_style
from gatewright.tasks.report.reported import Reported
from gatewright.tasks.run_folder import RunFolder, folder_path
from gatewright.tasks.settings import LIMITS, Settings, TrainingSettings, refuse_unknown, split_settings
from gatewright.tasks.sources import config_of, find_again, remember
from gatewright.tasks.task_job import Plan, Prepared, TaskJob, backend_of, train, whole_config
from gatewright.tasks.tuning.tune import Tuned, defaults_of

__all__ = ["Estimator", "Plan", "Prepared", "TaskJob"]


class Estimator(Reported, Tuned, ABC):
    """A task's model: settings before `fit`, a trained network after it.

    cell: a `gw.Cell`, a name of the zoo, equations as text, or a path to a file of equations. Every other argument is
    a field of `settings_type` (what the model reads and is made of) or of `training_type` (how it is trained). An
    unknown one raises `SettingsError`.
    """

    task: ClassVar[str]
    settings_type: ClassVar[type[Settings]]
    training_type: ClassVar[type[TrainingSettings]] = TrainingSettings
    job_type: ClassVar[type[TaskJob]]
    network_type: ClassVar[type[nn.Module]]
    data_sources: ClassVar[tuple[str, ...]] = ("data", "validation")  # arguments of `fit` that hold data or say where

    def __init__(self, cell: Any = "lstm", **settings: Any) -> None:
        self.settings: Any
        self.training: TrainingSettings
        self.settings, self.training = split_settings(settings, self.settings_type, self.training_type)
        self._given_cell = cell
        # Read back from its own text, as a loaded model is: what runs does not depend on where the cell came from.
        found = resolve_cell(cell)
        self.equations, self.cell_name = str(found), str(found.name)
        self.cell = gw.parse(self.equations, name=self.cell_name)
        self.settings = self.settings.replace(cell=self.cell_name)
        self.metrics: dict[str, Any] = {}
        self.stopped: str | None = None  # the name of the signal that ended training, if one did
        self.leads = True  # whether this process is the first of those that train
        self.config: dict[str, Any] | None = None
        self._network: nn.Module | None = None
        self._fitted: Any = None  # settings, equations and cell name of that network; `set_params` leaves them

    # -- what a task gives ---------------------------------------------------------------------------------------

    @abstractmethod
    def _prepare(self, *args: Any, **sources: Any) -> Prepared:
        """Read and check data: the sources that `fit` was given, by name. config=: that of a run that goes on, or of
        the model whose report is written again: its labels, vocabulary and scales are kept; None for a new run.
        Raises a `TaskError` with a message for people.
        """

    def _sources(self, *args: Any, **sources: Any) -> dict[str, Any]:  # noqa: ARG002 - a task's own has names
        """What `_prepare` takes, from the arguments of `fit` that hold data or say where they are, by name."""
        return sources

    @classmethod
    def make_network(cls, cell: Any, settings: Any, config: dict[str, Any]) -> nn.Module:
        """The network, with new weights."""
        return cls.network_type(cell, settings, config)

    def check(self, prepared: Prepared) -> None:
        """Raise a `TaskError` for what would go wrong in training with these data, before anything is written."""

    # -- scikit-learn's manner -----------------------------------------------------------------------------------

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002 - scikit-learn's signature
        """All settings by name, as `__init__` takes them."""
        settings = {**self.settings.to_dict(), **self.training.to_dict()}
        return {"cell": self._given_cell, **{name: value for name, value in settings.items() if name != "cell"}}

    def set_params(self, **changes: Any) -> Self:
        """Change settings; a fitted network is kept until the next `fit`. Raises `SettingsError`."""
        cell = changes.pop("cell", self._given_cell)
        settings = {name: value for name, value in self.get_params().items() if name != "cell"}
        refuse_unknown(changes, self.settings_type, self.training_type)
        fresh = type(self)(cell, **{**settings, **changes})
        for name in ("settings", "training", "_given_cell", "equations", "cell_name", "cell"):
            setattr(self, name, getattr(fresh, name))
        return self

    def __repr__(self) -> str:
        kinds = (self.settings_type(), self.training_type())
        usual = {name: value for kind in kinds for name, value in kind.to_dict().items()}
        changed = {n: v for n, v in self.get_params().items() if n != "cell" and v != usual[n]}
        return (
            f"{type(self).__name__}({', '.join([repr(self.cell_name), *(f'{n}={v!r}' for n, v in changed.items())])})"
        )

    def evaluate(self, *args: Any, **options: Any) -> dict[str, float]:
        """Figures on other data, by name; the first one is the measure that counts."""
        raise NotImplementedError

    # -- training ------------------------------------------------------------------------------------------------

    def _fit(
        self,
        sources: dict[str, Any],
        *,
        out: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
        progress: str = "none",
    ) -> Self:
        """Train on what `_prepare` makes of the sources; `fit` of a task calls this.

        out: the model folder (default: none is kept). overwrite: begin anew where it holds a model.
        progress: "bar", "lines", "auto" or "none".
        """
        path = None if out is None else folder_path(out)
        prepared = self._prepare(**sources)
        where = remember(sources, self.data_sources)
        if path is None:
            with tempfile.TemporaryDirectory(prefix="gatewright-") as folder:
                return self._begin(Path(folder), prepared, where, overwrite, progress)
        return self._begin(path, prepared, where, overwrite, progress)._reported(path)

    @classmethod
    def resume(
        cls,
        folder: str | os.PathLike[str],
        data: Any = None,
        *,
        validation: Any = None,
        progress: str = "none",
        **changes: Any,
    ) -> Self:
        """Go on with the training that a folder's newest checkpoint holds.

        data and validation may be left out where they were paths. Of the settings, only those of the run's length and
        the devices may change, and the data must be the same. Raises `SettingsError` or `FolderError` otherwise.
        """
        return cls._resume(folder, {"data": data, "validation": validation}, progress, changes)

    @classmethod
    def _resume(
        cls, folder: str | os.PathLike[str], given: dict[str, Any], progress: str, changes: dict[str, Any]
    ) -> Self:
        run = RunFolder(folder_path(folder))
        run.tidy()
        about = run.read()[1]
        if about.get("task") != cls.task:
            raise FolderError(of_another_task(str(run.path), "run", about.get("task"), cls.task))
        with run.fits_together():
            recipe = about["recipe"]
            before = {**recipe["settings"], **about["training"]}
            if "cell" in changes and str(resolve_cell(changes["cell"])) == recipe["equations"]:
                changes["cell"] = before["cell"]
            cls._refuse_changes(before, changes)
            if any(changes.get(limit) is not None for limit in LIMITS):
                usual = defaults_of(cls.training_type)  # the usual length would end a longer run without a word
                before |= {limit: None for limit in LIMITS if before[limit] == usual[limit]}
            settings = {name: value for name, value in {**before, **changes}.items() if name != "cell"}
            model = cls(gw.parse(recipe["equations"], name=recipe["cell_name"]), **settings)
            config = config_of(run.path / CONFIG, recipe["config_sha256"])
            sources = find_again(recipe["where"], given, recipe["data"]["name"])
            prepared = model._prepare(**sources, config=config)
            if prepared.sha256 != recipe["data"]["sha256"]:
                raise SettingsError(
                    f"{prepared.name}: not the data that this run began with ({recipe['data']['name']}); "
                    "give those, or start a new run in another folder"
                )
        fabric = model._checked(prepared, progress)
        return model._launch(fabric, run.path, prepared, recipe["where"], progress, resume=True)._reported(run.path)

    @classmethod
    def _refuse_changes(cls, before: dict[str, Any], changes: dict[str, Any]) -> None:
        split_settings(changes, cls.settings_type, cls.training_type)
        for name, value in changes.items():
            if name not in TrainingSettings.RESUMABLE and value != before[name]:
                raise SettingsError(
                    f"setting {name}: this run began with {before[name]!r} and cannot go on with {value!r}; "
                    "leave it out, or start a new run in another folder"
                )

    def _begin(self, path: Path, prepared: Prepared, where: dict[str, Any], overwrite: bool, progress: str) -> Self:
        folder = RunFolder(path)
        fabric = self._checked(prepared, progress)
        if fabric.global_rank:  # torchrun or a cluster has started this process beside the first one
            return self._launch(fabric, path, prepared, where, progress, resume=False)
        folder.begin(overwrite=overwrite)
        try:
            folder.write({CONFIG: whole_config(self.task, self.settings, prepared.config)})
            return self._launch(fabric, path, prepared, where, progress, resume=False)
        finally:
            folder.put_back()  # where the new run has saved nothing, the one that it was to replace stays

    def _checked(self, prepared: Prepared, progress: str) -> Any:
        """Find what would go wrong in training before anything is written; the Fabric to train on."""
        check_style(progress)
        self.check(prepared)
        check_network(lambda: self.make_network(self.cell, self.settings, prepared.config), self.settings)
        return make_fabric(self.training)

    def _launch(
        self, fabric: Any, path: Path, prepared: Prepared, where: dict[str, Any], progress: str, *, resume: bool
    ) -> Self:
        plan = Plan(
            type(self),
            self.equations,
            self.cell_name,
            self.settings,
            self.training,
            prepared,
            where,
            str(path),
            resume,
            progress,
        )
        self.prepared = prepared
        try:
            outcome = launch(fabric, train, plan)
        except TrainingError as error:
            if fabric.global_rank == 0:
                self._report_failure(path, error)
            raise
        self.metrics = outcome.metrics
        self.stopped = outcome.reason if outcome.reason.startswith("SIG") else None
        self.leads = fabric.global_rank == 0
        if self.leads and self.metrics["best"] is not None:
            found = read_model(path, self.task)
            self._adopt(self.settings, self.cell_name, prepared.config, found.weights)
            self.watch = self._saved_watch(path)
        return self

    # -- files ---------------------------------------------------------------------------------------------------

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """The model of a folder. Raises `FolderError` where the folder is missing, damaged, newer or not ours."""
        found = read_model(Path(folder), cls.task)
        try:
            settings = cls.settings_type.from_dict(found.config["settings"])
            model = cls(gw.parse(found.equations, name=found.cell_name))
            config = {name: value for name, value in found.config.items() if name not in OURS}
            model._adopt(settings, found.cell_name, config, found.weights)
            training = found.metrics.get("training", {})
            known = {f.name for f in dataclasses.fields(cls.training_type)}
            model.training = cls.training_type.from_dict({n: v for n, v in training.items() if n in known})
        except (AttributeError, KeyError, RuntimeError, ValueError) as error:
            raise FolderError(f"{folder}: weights, equations and {CONFIG} do not fit together: {error}") from error
        model.metrics, model.folder = found.metrics, Path(folder)
        return model

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the model folder: `model.safetensors`, `config.json`, `metrics.json`, and `report.html` after `fit`.

        Raises `FolderError` where files of these names are somebody else's.
        """
        path = folder_path(folder)
        network = self.network
        settings, equations, cell_name = self._fitted
        config = whole_config(self.task, settings, self.config or {})
        run = RunFolder(path)
        run.refuse_foreign()
        weights = model_bytes(self.task, equations, cell_name, config, network.state_dict())
        run.write({CONFIG: config, WEIGHTS: weights, METRICS: json_bytes(self.metrics)})
        self._report_saved(path)

    @property
    def network(self) -> Any:
        """The `nn.Module`. Raises `TaskError` before `fit` or `load`."""
        return self._made(self._network)

    def _made(self, part: Any) -> Any:
        if part is None:
            name = type(self).__name__
            raise TaskError(f"this {name} has no weights yet; call fit(…) or {name}.load(folder) first")
        return part

    def to(self, device: str) -> Self:
        """Move the model to a device. Raises `SettingsError` where it is not there."""
        try:
            self.network.to(torch.device(device))
        except (RuntimeError, AssertionError) as error:
            raise SettingsError(f"device {device!r}: not usable here ({first_line(error)}); take cpu") from error
        return self

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return next(iter(self.network.parameters())).device

    def summary(self) -> dict[str, Any]:
        """The figures of the training run, for a table. Raises `TaskError` where there was none."""
        if not self.metrics:
            self._made(self._network)
            raise TaskError(f"this model came without {METRICS}, so there are no figures of its training")
        m, best = self.metrics, self.metrics.get("best") or {}
        figures = {name.replace("_", " "): value for name, value in best.items() if name not in RUNNING}
        data = {
            n.replace("_", " "): v for n, v in m["data"].items() if n != "sha256" and not isinstance(v, dict | list)
        }
        return {
            "cell": self.cell_name,
            "backend": m.get("backend", ""),
            "parameters": m.get("parameters", 0),
            "data": data.pop("name"),
            **data,
            "ended": ENDS.get(m["state"], m["state"]),
            "updates": m["updates"],
            "epochs": m["epochs"],
            "seconds": m["seconds"],
            "best at update": best.get("update"),
            "training loss": best.get("train_loss"),
            "validation loss": figures.pop("loss", None),
            **{f"validation {name}": value for name, value in figures.items()},
        }

    def _adopt(self, settings: Any, cell_name: str, config: dict[str, Any], weights: dict[str, torch.Tensor]) -> None:
        self.settings, self.cell_name, self.config = settings, cell_name, config
        self.cell = gw.parse(self.equations, name=cell_name)
        network = self.make_network(self.cell, settings, config)
        kinds = {w.dtype for w in weights.values() if w.is_floating_point()}
        if kinds - {torch.float32}:
            network.to(next(iter(kinds)))
        network.load_state_dict(weights)
        self._network, self._fitted = network.eval(), (settings, self.equations, cell_name)

    # -- serving -------------------------------------------------------------------------------------------------

    def answer(self, items: list[Any]) -> list[Any]:  # noqa: ARG002 - what a task's own takes
        """One batch of requests, as JSON values, answered: what `gatewright serve` calls."""
        raise TaskError(f"a model of the task {self.task!r} answers no requests")

    def example(self) -> Any:
        """A request that `answer` understands."""
        raise TaskError(f"a model of the task {self.task!r} answers no requests")

    def session(self) -> Any:
        """An object whose `step(item)` takes one step at a time and carries the state, or None."""
        return None


OURS = ("format", "format_version", "task", "settings")
RUNNING = ("update", "epoch", "train_loss", "learning_rate", "gradient_norm", "gradient_norm_max", "items", "seconds")
ENDS = {"finished": "at its limit", "early": "early: the validation loss got no better"}


def check_network(make: Any, settings: Any) -> None:
    """Raise `SettingsError` where no network can be made: widths, heads, backend and memory must fit."""
    try:
        with torch.random.fork_rng(devices=[]):
            backend_of(make())
    except (TaskError, gw.CellError):
        raise
    except (ValueError, RuntimeError, MemoryError) as error:
        reason = first_line(error)
        if "allocate memory" in reason or "overflow" in reason:
            sizes = {name: v for name, v in settings.to_dict().items() if name in ("hidden_size", "num_layers")}
            reason = f"{' and '.join(f'{n} {v}' for n, v in sizes.items())} need more memory than is here"
        raise SettingsError(f"these settings make no network: {reason}") from error
