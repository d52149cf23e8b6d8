"""Optimisers, and the learning rate as a function of how much of the run is done."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from gatewright.tasks.settings import TrainingSettings

__all__ = ["learning_rate", "make_optimizer", "share_done"]

WARMUP = 0.1  # largest share of a run that its warm-up takes: a short run would never reach its learning rate


def make_optimizer(network: nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
    """AdamW or SGD; weight decay on matrices, none on vectors (biases, peepholes, gains)."""
    weights = [w for w in network.parameters() if w.requires_grad]
    groups = [
        {"params": [w for w in weights if w.dim() > 1], "weight_decay": settings.weight_decay},
        {"params": [w for w in weights if w.dim() <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=settings.momentum)
    return torch.optim.AdamW(groups, lr=settings.learning_rate)


def share_done(
    settings: TrainingSettings, updates: int, epochs: float, seconds: float, evaluation_seconds: float
) -> float:
    """How much of a run is done, 0 to 1, by whichever of its limits is nearest.

    A time budget leaves room for a last evaluation as long as the one before.
    """
    shares = [0.0]
    if settings.updates:
        shares.append(updates / settings.updates)
    if settings.epochs:
        shares.append(epochs / settings.epochs)
    if settings.minutes:
        shares.append(seconds / max(60 * settings.minutes - evaluation_seconds, 1e-9))
    return min(max(shares), 1.0)


def learning_rate(settings: TrainingSettings, update: int, share: float, factor: float) -> float:
    """The learning rate of an update: a linear rise over `warmup` updates, but at most `WARMUP` of the run, then
    the schedule's decay.

    `update` counts from 0; `share` is how much of the run is done; `factor` is the plateau schedule's.
    """
    rise = min(1.0, max((update + 1) / settings.warmup, share / WARMUP)) if settings.warmup else 1.0
    match settings.schedule:
        case "cosine":
            fall = settings.final + (1 - settings.final) * (1 + math.cos(math.pi * share)) / 2
        case "linear":
            fall = settings.final + (1 - settings.final) * (1 - share)
        case "plateau":
            fall = factor
        case "constant":
            fall = 1.0
    return settings.learning_rate * rise * fall
