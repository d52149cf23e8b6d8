"""Histograms of weights and gradients through training, kept in checkpoints for the report."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from gatewright.inside.pictures.watch import Watch
from gatewright.tasks.errors import first_line

__all__ = ["Histograms"]

KEEP = 200  # evaluations; beyond it every second is dropped


class Histograms:
    """A `gw.inside.Watch` that looks once an evaluation, and goes into a checkpoint and out of it.

    missing: why there are none, where a device cannot count them; training goes on.

    >>> network = nn.Linear(2, 3)
    >>> seen = Histograms(network)
    >>> seen.look(10)
    >>> again = Histograms(network)
    >>> again.restore(seen.tree())
    >>> again.watch
    <watch of 2 parameters over 1 updates>
    """

    def __init__(self, network: nn.Module) -> None:
        self.watch = Watch(network, keep=KEEP)
        self.missing = ""

    def look(self, update: int) -> None:
        """Count the weights, and the gradients of the last update."""
        if self.missing:
            return
        try:
            self.watch.update(update)
        except (TypeError, RuntimeError, ValueError) as error:  # no float64 or no frexp on this device
            self.missing = f"{type(error).__name__}: {first_line(error)}"

    def tree(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        watch = self.watch
        tables = {"parameters": watch.parameters, "gradients": watch.gradients}
        counts = {key: {n: _stacked(rows) for n, rows in table.items()} for key, table in tables.items()}
        places = {"steps": watch.steps, "every": watch.every, "calls": watch._calls}
        return {**places, **counts, "norms": [list(pair) for pair in watch.norms], "missing": self.missing}

    def restore(self, tree: dict[str, Any] | None) -> None:
        """Take up what a checkpoint has kept; None for one of an earlier version."""
        if tree is None:
            return
        watch, self.missing = self.watch, tree["missing"]
        watch.steps, watch.every, watch._calls = list(tree["steps"]), tree["every"], tree["calls"]
        watch.parameters = {name: list(t.numpy()) for name, t in tree["parameters"].items()}
        watch.gradients = {name: list(t.numpy()) for name, t in tree["gradients"].items()}
        watch.norms = [(int(step), float(norm)) for step, norm in tree["norms"]]


def _stacked(rows: list[Any]) -> torch.Tensor:
    return torch.stack([torch.from_numpy(row.astype("int64")) for row in rows]).to(torch.int32)
