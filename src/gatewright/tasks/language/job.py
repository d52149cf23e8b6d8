"""Language modelling for the trainer: batches along the text, the state carried from one to the next."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

import gatewright as gw
from gatewright.tasks.fabric import all_reduce
from gatewright.tasks.job import Result
from gatewright.tasks.language.corpus import Corpus, Rows, refuse_short
from gatewright.tasks.language.score import LOGITS, negative_log_likelihood
from gatewright.tasks.task_job import Plan, Prepared, TaskJob

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["LanguageJob", "LanguagePrepared", "check_length"]

VALIDATION_ROW = 2048  # tokens that a row of the validation text has at least
SHORTEST = 5  # steps of an update, where their number is drawn


@dataclass(frozen=True)
class LanguagePrepared(Prepared):
    """A text as tokens."""

    corpus: Corpus = field(kw_only=True)


class LanguageJob(TaskJob):
    """Batches, loss and evaluation of a language model."""

    unit = "tokens"

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.corpus: Corpus = self.prepared.corpus
        self.rows = plan.training.batch_size
        self._stretch: tuple[int, Rows] | None = None  # of the epoch that was asked for last

    def stretch(self, epoch: int) -> Rows:
        """The training text in rows; epochs begin at different tokens, so that they are cut differently."""
        if self._stretch is None or self._stretch[0] != epoch:
            self._stretch = epoch, self._cut(epoch)
        return self._stretch[1]

    def _cut(self, epoch: int) -> Rows:
        window = self.settings.window
        room = min(window, (len(self.corpus.train) - 1) // self.rows // 4)
        offset = int(np.random.default_rng([self.plan.training.seed, epoch]).integers(room + 1)) if epoch else 0
        rows = Rows(self.corpus.train, self.rows, window, offset)
        if not self.settings.variable_steps:
            return rows
        draw = np.random.default_rng([self.plan.training.seed, epoch, 1])
        return dataclasses.replace(rows, starts=drawn_starts(rows.length, window, draw))

    def batches(self, epoch: int) -> int:
        return len(self.stretch(epoch))

    def batch(self, epoch: int, index: int, fabric: Fabric) -> torch.Tensor:
        share = self.rows // fabric.world_size
        first = share * fabric.global_rank
        tokens = self.stretch(epoch).batch(index, first, first + share)
        return torch.from_numpy(tokens).to(fabric.device)

    def loss(self, network: nn.Module, batch: torch.Tensor, carried: Any) -> Result:
        targets = batch[1:]
        losses, state = network(batch[:-1], carried, targets)
        rate = len(targets) / self.settings.window if self.settings.variable_steps else 1.0
        return Result(losses.entropy, targets.numel(), gw.detach(state), losses.penalty, rate)

    def evaluate(self, fabric: Fabric) -> dict[str, float]:
        """Loss and perplexity on the validation text, read in a few rows side by side."""
        world, rank = fabric.world_size, fabric.global_rank
        tokens = self.corpus.valid
        rows = min(self.rows, max(1, (len(tokens) - 1) // VALIDATION_ROW))  # as many, whatever the processes
        first, last = rows * rank // world, rows * (rank + 1) // world
        steps = max(1, min(256, LOGITS // (max(last - first, 1) * self.network.embedding.num_embeddings)))
        stretch, state = Rows(tokens, rows, steps), None
        sums = torch.zeros(2, dtype=torch.float64)
        with torch.no_grad(), fabric.autocast():
            for index in range(len(stretch) if first < last else 0):
                batch = torch.from_numpy(stretch.batch(index, first, last)).to(fabric.device)
                logits, state = self.network(batch[:-1], state)
                nats = negative_log_likelihood(logits.flatten(0, 1), batch[1:].flatten())
                sums += torch.tensor([nats, batch[1:].numel()], dtype=torch.float64)
        nats, count = all_reduce(fabric, sums).tolist()
        loss = nats / count
        return {"loss": loss, "perplexity": math.exp(min(loss, 700.0))}

    def describe_data(self) -> dict[str, Any]:
        corpus = self.corpus
        return {
            "characters": corpus.characters,
            "train_tokens": len(corpus.train),
            "validation_tokens": len(corpus.valid),
            "vocabulary": corpus.tokenizer.size,
        }


def drawn_starts(length: int, steps: int, draw: np.random.Generator) -> np.ndarray:
    """Where the batches of an epoch begin, `length` predictions long: each has about N(steps, 5) of them, or half of
    that with probability 0.05, and 5 at least (Merity, Keskar and Socher 2018), so that no epoch is cut like another.
    """
    starts, end = [0], 0
    while True:
        base = steps if draw.random() < 0.95 else steps / 2
        end += max(SHORTEST, int(draw.normal(base, 5)))
        if end >= length:
            return np.array(starts)
        starts.append(end)


def check_length(corpus: Corpus, name: str, rows: int) -> None:
    """Raise `TextError` where a text is too short for `rows` sequences side by side."""
    advice = f"give a longer text or a batch size below {rows}"
    refuse_short(len(corpus.train), 2 * rows + 1, f"{name}, training part", advice)
    advice = "give a longer text or a larger validation share"
    refuse_short(len(corpus.valid), 2, f"{name}, validation part", advice)
