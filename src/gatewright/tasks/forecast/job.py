"""Forecasting for the trainer: windows drawn from all series, loss and validation over their horizons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from gatewright.tasks.fabric import all_reduce
from gatewright.tasks.forecast.inputs import Inputs
from gatewright.tasks.job import Result
from gatewright.tasks.task_job import TaskJob

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["ForecastJob"]


class ForecastJob(TaskJob):
    """Batches, loss and evaluation of a forecast."""

    unit = "windows"

    def batches(self, epoch: int) -> int:
        return self.prepared.source.batches(epoch)

    def batch(self, epoch: int, index: int, fabric: Fabric) -> Inputs:
        found = self.prepared.source.batch(epoch, index, fabric.global_rank, fabric.world_size)
        return Inputs(found, self.network)

    def loss(self, network: nn.Module, batch: Inputs, carried: Any) -> Result:  # noqa: ARG002 - windows stand alone
        losses = self.network.losses(batch, *network(batch))
        return Result(losses.sum() / batch.target_observed.sum().clamp(min=1), len(losses))

    def evaluate(self, fabric: Fabric) -> dict[str, float]:
        """The mean loss of the validation windows' values; of a direct forecast also its error in the data's own units,
        by those windows alone that training is judged by.
        """
        sums = torch.zeros(3, dtype=torch.float64)
        windows = self.prepared.source.validation(self.plan.training.batch_size, fabric.global_rank, fabric.world_size)
        with torch.no_grad():
            for batch in windows:
                inputs = Inputs(batch, self.network)
                with fabric.autocast():
                    raw, base = self.network(inputs)
                losses = self.network.losses(inputs, raw, base)
                point = batch.inverse(self.network.head.point(raw, base).cpu().double())
                error = (point - batch.inverse(batch.target.double())).abs() * batch.target_observed
                found = [losses.cpu().double().sum().item(), error.sum().item(), batch.target_observed.sum().item()]
                sums += torch.tensor(found, dtype=torch.float64)
        loss, error, count = all_reduce(fabric, sums).tolist()
        figures = {"loss": loss / count}
        return figures if self.settings.stepwise else {**figures, "mae": error / count}

    def describe_data(self) -> dict[str, Any]:
        return self.prepared.describe()
