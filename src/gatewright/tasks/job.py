"""What a task gives the trainer: a network, batches, a loss, an evaluation."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor, nn

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from gatewright.tasks.settings import TrainingSettings

__all__ = ["Job", "Result"]


class Result(NamedTuple):
    """What a loss function returns: the mean loss of this process's items, their number, and what is carried
    on; a penalty, which is trained on but is no part of the figures; a factor of the learning rate, the same in every
    process; and what the loss counts for among those of other updates, where not the number of items.
    """

    loss: Tensor
    items: int
    carried: Any = None
    penalty: Tensor | None = None
    rate: float = 1.0
    weight: float = 0.0


class Job(ABC):
    """What a task gives the trainer."""

    task: str  # its name
    unit: str = "items"  # what is counted, for `items/s`
    batch_axis = 1  # the axis of carried tensors along which processes share a batch
    usual_epochs = 20  # where nothing limits a run
    least_updates = 0  # of such a run, however small its data are
    least_between = 1  # updates between two evaluations, where the settings say nothing

    @property
    @abstractmethod
    def network(self) -> nn.Module:
        """What is trained."""

    @abstractmethod
    def batches(self, epoch: int) -> int:
        """Batches in an epoch."""

    @abstractmethod
    def batch(self, epoch: int, index: int, fabric: Fabric) -> Any:
        """This process's part of a batch, on its device; a function of its arguments alone."""

    @abstractmethod
    def loss(self, network: nn.Module, batch: Any, carried: Any) -> Result:
        """The loss of a batch; `carried` is what the batch before returned, None at an epoch's start."""

    @abstractmethod
    def evaluate(self, fabric: Fabric) -> dict[str, float]:
        """Figures on the validation data, `loss` among them, the same in every process."""

    @abstractmethod
    def model_file(self) -> bytes:
        """`model.safetensors` of the network as it is now."""

    def limit(self, settings: TrainingSettings) -> TrainingSettings:
        """The settings with a limit of the run's length; where they have none, it goes by the size of the data."""
        if settings.limited:
            return settings
        return settings.replace(epochs=max(self.usual_epochs, math.ceil(self.least_updates / self.batches(0))))

    def recipe(self) -> dict[str, Any]:
        """What it takes to make this job again, for a resumption; JSON values, kept in checkpoints only."""
        return {}

    def describe(self) -> dict[str, Any]:
        """What `metrics.json` and checkpoints say about the data; JSON values."""
        return {}
