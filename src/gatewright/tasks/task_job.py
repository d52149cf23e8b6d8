"""What a run of any task is made of: prepared data, a plan that can be sent to other processes, and its job."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

import gatewright as gw
from gatewright.nn.blocks import input_sizes
from gatewright.tasks.folder import config_bytes, model_bytes
from gatewright.tasks.job import Job
from gatewright.tasks.run_folder import RunFolder
from gatewright.tasks.trainer import Outcome, Trainer

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from gatewright.tasks.estimator import Estimator
    from gatewright.tasks.settings import TrainingSettings

__all__ = ["Plan", "Prepared", "TaskJob", "backend_of", "train", "whole_config"]


@dataclass(frozen=True)
class Prepared:
    """What data have become. A task's own adds its arrays; it must survive pickling, for it goes to other processes.

    name: of the data, for people. sha256: of all that training sees; a run that goes on demands the same.
    config: JSON values, what the model must know of the data to be used again: labels, vocabulary, columns, scales.
    """

    name: str
    sha256: str
    config: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """All that a process needs to train; it can be sent to another one."""

    estimator: type[Estimator]
    equations: str
    cell_name: str
    settings: Any
    training: TrainingSettings
    prepared: Any  # the task's own kind of Prepared
    where: dict[str, Any]  # where the data came from, for a resumption
    folder: str
    resume: bool
    style: str


def train(fabric: Fabric, plan: Plan) -> Outcome:
    """Train in one process; every process of a Fabric calls this."""
    torch.manual_seed(plan.training.seed)
    job = plan.estimator.job_type(plan)
    folder = RunFolder(Path(plan.folder))
    trainer = Trainer(fabric, job, plan.training, folder, plan.style)
    torch.manual_seed(plan.training.seed + fabric.global_rank)  # dropout differs between processes
    if plan.resume:
        tree, _, model = folder.read()
        with folder.fits_together():
            trainer.restore(tree, model)
    return trainer.run()


class TaskJob(Job):
    """A job made from a plan: the network, the model's file and what checkpoints say are the same for every task."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.settings, self.prepared = plan, plan.settings, plan.prepared
        self.task = plan.estimator.task
        self.cell = gw.parse(plan.equations, name=plan.cell_name)
        self._network = plan.estimator.make_network(self.cell, plan.settings, plan.prepared.config)
        self._config = whole_config(self.task, plan.settings, plan.prepared.config)

    @property
    def network(self) -> Any:
        return self._network

    def batch_size(self, count: int) -> int:
        """Of how many of `count` sequences an update is made, where the settings do not say: 32, or fewer, so that an
        epoch of few has several updates. It does not depend on the devices, which may change while a run goes on.
        """
        return self.plan.training.batch_size or min(max(count // 8, 4), 32)

    @abstractmethod
    def describe_data(self) -> dict[str, Any]:
        """What `metrics.json` says of the data, beside their name; JSON values."""

    def model_file(self) -> bytes:
        plan = self.plan
        return model_bytes(self.task, plan.equations, plan.cell_name, self._config, self.network.state_dict())

    def describe(self) -> dict[str, Any]:
        prepared = self.plan.prepared
        return {
            "data": {"name": prepared.name, "sha256": prepared.sha256, **self.describe_data()},
            "backend": backend_of(self.network),
            "parameters": sum(w.numel() for w in self.network.parameters()),
        }

    def recipe(self) -> dict[str, Any]:
        plan = self.plan
        return {
            "equations": plan.equations,
            "cell_name": plan.cell_name,
            "settings": plan.settings.to_dict(),
            "where": plan.where,
            "data": {"name": plan.prepared.name, "sha256": plan.prepared.sha256},
            "config_sha256": hashlib.sha256(self._config).hexdigest(),
        }


def whole_config(task: str, settings: Any, config: dict[str, Any]) -> bytes:
    """`config.json` of a task's model."""
    return config_bytes(task, {"settings": settings.to_dict(), **config})


def backend_of(network: nn.Module) -> str:
    """What runs the network's cell in training, in the words of its first recurrent layer; how long the input is does
    not matter.
    """
    layer = next((m for m in network.modules() if isinstance(m, gw.Recurrent)), None)
    if layer is None:
        return ""
    weight = next(iter(network.parameters()), torch.zeros(0))
    inputs = [weight.new_zeros(1, 1, size) for size in input_sizes(layer)]
    return str(layer.backend_for(tuple(inputs) if len(inputs) > 1 else inputs[0]))
