"""Classification for the trainer: batches, loss and evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gatewright.tasks.classify.batches import Batch, Changes, batch_of, by_length, epoch_order, equal_chances
from gatewright.tasks.classify.metrics import from_confusion, from_errors
from gatewright.tasks.fabric import all_reduce
from gatewright.tasks.job import Result
from gatewright.tasks.task_job import Plan, TaskJob

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from gatewright.tasks.classify.data import ClassifyPrepared

__all__ = ["ClassifyJob", "standard"]

EVALUATED = 256  # sequences in a batch of evaluation


class ClassifyJob(TaskJob):
    """Batches, loss and evaluation of a classifier or regressor."""

    unit = "sequences"
    usual_epochs, least_updates, least_between = 40, 400, 10  # with few sequences an epoch is hardly a step

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        data: ClassifyPrepared = self.prepared
        self.data, self.classes = data, data.config["labels"]
        self.targets = standard(data.train_targets, data.config["target"])
        self.size = self.batch_size(len(data.train))
        self.changes = Changes(self.settings, data.config)
        self.drawn = equal_chances(data.train_targets) if self.settings.balance == "sampling" else None
        self.weights = class_weights(data.train_targets, self.classes) if self.settings.balance == "weights" else None
        self._epoch: tuple[int, list[np.ndarray]] = (-1, [])

    def batches(self, epoch: int) -> int:  # noqa: ARG002 - all epochs are alike
        return -(-len(self.data.train) // self.size)

    def order(self, epoch: int) -> list[np.ndarray]:
        """The batches of an epoch, as indices of sequences."""
        if self._epoch[0] != epoch:
            seed = [self.plan.training.seed, epoch]
            self._epoch = epoch, epoch_order(self.data.train.lengths, self.size, seed, self.drawn)
        return self._epoch[1]

    def batch(self, epoch: int, index: int, fabric: Fabric) -> Batch:
        chosen = self.order(epoch)[index]
        if len(chosen) < fabric.world_size:  # a last batch that leaves a process with none: its sequences come again
            chosen = np.resize(chosen, fabric.world_size)
        mine, share = chosen[fabric.global_rank :: fabric.world_size], len(chosen) / fabric.world_size
        seed = [self.plan.training.seed, epoch, index]
        made = batch_of(self.data.train, self.targets, mine, self.changes, seed, share)
        x, lengths, targets = (t.to(fabric.device) for t in made[:3])
        # Here, for Fabric casts what enters the network to half precision where the weights have it.
        return Batch(self.network.standard(x, lengths), lengths, targets, share)

    def loss(self, network: nn.Module, batch: Batch, carried: Any) -> Result:  # noqa: ARG002 - nothing is carried
        losses = self.losses(network(batch.x, batch.lengths, standard=True), batch.targets)
        return Result(losses.sum() / batch.share, len(losses))  # its mean over processes is that of the whole batch

    def losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Of each sequence in training: cross-entropy in nats, or the squared error in standard deviations."""
        logits = logits if logits.dtype == torch.float64 else logits.float()
        if self.classes is None:
            return (logits[:, 0] - targets).square()
        weight = None if self.weights is None else self.weights.to(logits)
        found = F.cross_entropy(logits, targets, reduction="none", label_smoothing=self.settings.label_smoothing)
        return found if weight is None else found * weight[targets]

    def evaluate(self, fabric: Fabric) -> dict[str, float]:
        """Loss and figures on the validation sequences; the loss is plain, without weights or smoothing."""
        data, size = self.data.valid, len(self.classes or [1])
        sums, confusion = torch.zeros(5, dtype=torch.float64), torch.zeros(size * size, dtype=torch.float64)
        batches = by_length(data.lengths, EVALUATED)
        with torch.no_grad(), fabric.autocast():
            for chosen in batches[fabric.global_rank :: fabric.world_size]:
                batch = batch_of(data, self.data.valid_targets, chosen, None, [], len(chosen))
                targets = batch.targets
                logits = self.network(batch.x.to(fabric.device), batch.lengths.to(fabric.device)).cpu().double()
                if self.classes is None:
                    sums += _errors(logits[:, 0], targets, self.data.config["target"])
                else:
                    nats = F.cross_entropy(logits, targets, reduction="sum")
                    sums[:2] += torch.tensor([nats.item(), len(targets)], dtype=torch.float64)
                    confusion += torch.bincount(targets * size + logits.argmax(-1), minlength=size * size)
        sums, confusion = all_reduce(fabric, sums), all_reduce(fabric, confusion)
        if self.classes is None:
            return from_errors(*sums.tolist(), scale=self.data.config["target"]["scale"])
        return {"loss": (sums[0] / sums[1]).item(), **from_confusion(confusion.view(size, size).numpy())}

    def describe_data(self) -> dict[str, Any]:
        train, valid = self.data.train, self.data.valid
        found: dict[str, Any] = {
            "training sequences": len(train),
            "validation sequences": len(valid),
            "shortest": int(min(train.lengths.min(), valid.lengths.min())),
            "longest": int(max(train.lengths.max(), valid.lengths.max())),
            "features": len(train.features) if self.data.config["input"] != "tokens" else 1,
        }
        if self.classes is None:
            return found
        counts = np.bincount(self.data.train_targets, minlength=len(self.classes))
        return found | {"classes": len(self.classes), "training sequences of the rarest class": int(counts.min())}


def class_weights(targets: np.ndarray, classes: list[Any]) -> Tensor:
    """Inverse to how often a class is, 1 on average over the sequences."""
    counts = np.bincount(targets, minlength=len(classes)).clip(min=1)
    return torch.from_numpy(len(targets) / (len(np.unique(targets)) * counts))


def standard(targets: np.ndarray, target: dict[str, float] | None) -> np.ndarray:
    """What is trained on: numbers of classes as they are; numbers in standard deviations from their mean over the
    training data, subtracted in float64, for they may be large and hardly differ.

    target: the mean and the scale of numbers, None of classes.
    """
    return targets if target is None else ((targets - target["mean"]) / target["scale"]).astype(np.float32)


def _errors(outputs: Tensor, targets: Tensor, target: dict[str, float]) -> Tensor:
    """Sums over sequences: their number, error², |error|, and the targets and their squares, seen from their mean."""
    centred = targets - target["mean"]
    error = target["scale"] * outputs - centred
    sums = [torch.ones_like(error), error.square(), error.abs(), centred, centred.square()]
    return torch.stack([s.sum() for s in sums])
