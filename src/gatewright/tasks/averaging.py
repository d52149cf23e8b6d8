"""Averaged weights: NT-ASGD (S. Merity, N. S. Keskar and R. Socher, Regularizing and optimizing LSTM language models,
2018; after B. Polyak and A. Juditsky 1992).

    w̄_k = (w_T + … + w_k) / (k − T + 1)

The average begins at the first update T after an evaluation that is worse than the best of those before it but the last
n ("the non-monotonic trigger"). From then on w̄ is what is evaluated and saved; the optimiser goes on from w.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Average", "triggered"]


def triggered(losses: Sequence[float], patience: int) -> bool:
    """Whether the last of the validation losses is worse than the best of those before it but their last `patience`.

    >>> triggered([2.0, 3.0, 2.1], 1), triggered([3.0, 2.0, 2.1], 1), triggered([3.0, 3.1], 1)
    (True, False, False)
    """
    *before, last = losses
    return len(before) > patience and last > min(before[: len(before) - patience])


class Average:
    """The mean of a network's weights since an update; nothing before `begin`."""

    def __init__(self, network: nn.Module) -> None:
        self.weights = dict(network.named_parameters())
        self.mean: dict[str, Tensor] | None = None
        self.count = 0

    @property
    def running(self) -> bool:
        """Whether there is an average, or there will be one from the next update on."""
        return self.mean is not None

    def begin(self) -> None:
        """Average from the next update on."""
        self.mean, self.count = {name: weight.detach().clone() for name, weight in self.weights.items()}, 0

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights as they are now into the mean."""
        if self.mean is None:
            return
        self.count += 1
        for name, mean in self.mean.items():
            mean.lerp_(self.weights[name].detach(), 1 / self.count)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The network with the averaged weights; with its own ones again behind the block."""
        if self.mean is None:
            yield
            return
        kept = {name: weight.detach().clone() for name, weight in self.weights.items()}
        self._write(self.mean)
        try:
            yield
        finally:
            self._write(kept)

    @torch.no_grad()
    def _write(self, values: dict[str, Tensor]) -> None:
        for name, weight in self.weights.items():
            weight.copy_(values[name])

    def tree(self) -> dict[str, Any] | None:
        """What a checkpoint keeps; None before `begin`."""
        return None if self.mean is None else {"mean": self.mean, "count": self.count}

    def restore(self, tree: dict[str, Any] | None) -> None:
        """Take up a checkpoint's average."""
        if tree is not None:
            device = next(iter(self.weights.values())).device
            self.mean = {name: mean.to(device) for name, mean in tree["mean"].items()}
            self.count = tree["count"]
