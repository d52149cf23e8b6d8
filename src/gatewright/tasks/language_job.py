"""Language modelling for the trainer: batches along the text, the state carried from one to the next."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

import gatewright as gw
from gatewright.tasks.corpus import Corpus, Rows, refuse_short
from gatewright.tasks.fabric import all_reduce
from gatewright.tasks.folder import config_bytes, model_bytes
from gatewright.tasks.language_network import (
    LOGITS,
    LanguageNetwork,
    detach,
    mean_loss,
    negative_log_likelihood,
)
from gatewright.tasks.language_settings import LanguageSettings
from gatewright.tasks.run_folder import RunFolder
from gatewright.tasks.settings import TrainingSettings
from gatewright.tasks.tokenizers import Tokenizer
from gatewright.tasks.trainer import Job, Outcome, Result, Trainer

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["LanguageJob", "LanguagePlan", "check_length", "language_config", "train_language"]

VALIDATION_ROW = 2048  # tokens that a row of the validation text has at least


@dataclass(frozen=True)
class LanguagePlan:
    """All that a process needs to train; it can be sent to another one."""

    equations: str
    cell_name: str
    settings: LanguageSettings
    training: TrainingSettings
    corpus: Corpus
    text_name: str
    where: dict[str, Any]  # paths of the texts, for a resumption
    folder: str
    resume: bool
    style: str


def language_config(settings: LanguageSettings, tokenizer: Tokenizer) -> bytes:
    """`config.json` of a language model."""
    return config_bytes("language", {"settings": settings.to_dict(), "tokenizer": tokenizer.to_dict()})


def train_language(fabric: Fabric, plan: LanguagePlan) -> Outcome:
    """Train in one process; every process of a Fabric calls this."""
    torch.manual_seed(plan.training.seed)
    job = LanguageJob(plan)
    folder = RunFolder(Path(plan.folder))
    trainer = Trainer(fabric, job, plan.training, folder, plan.style)
    torch.manual_seed(plan.training.seed + fabric.global_rank)  # dropout differs between processes
    if plan.resume:
        tree, _, model = folder.read()
        with folder.fits_together():
            trainer.restore(tree, model)
    return trainer.run()


class LanguageJob(Job):
    """Batches, loss and evaluation of a language model."""

    task = "language"
    unit = "tokens"

    def __init__(self, plan: LanguagePlan) -> None:
        self.plan, self.settings, self.corpus = plan, plan.settings, plan.corpus
        self.cell = gw.parse(plan.equations, name=plan.cell_name)
        self._network = LanguageNetwork(self.cell, self.corpus.tokenizer.size, plan.settings)
        self.rows = plan.training.batch_size
        self._config = language_config(plan.settings, plan.corpus.tokenizer)

    @property
    def network(self) -> LanguageNetwork:
        return self._network

    def stretch(self, epoch: int) -> Rows:
        """The training text in rows; epochs begin at different tokens, so that they are cut differently."""
        window = self.settings.window
        room = min(window, (len(self.corpus.train) - 1) // self.rows // 4)
        offset = int(np.random.default_rng([self.plan.training.seed, epoch]).integers(room + 1)) if epoch else 0
        return Rows(self.corpus.train, self.rows, window, offset)

    def batches(self, epoch: int) -> int:
        return len(self.stretch(epoch))

    def batch(self, epoch: int, index: int, fabric: Fabric) -> torch.Tensor:
        share = self.rows // fabric.world_size
        first = share * fabric.global_rank
        tokens = self.stretch(epoch).batch(index, first, first + share)
        return torch.from_numpy(tokens).to(fabric.device)

    def loss(self, network: nn.Module, batch: torch.Tensor, carried: Any) -> Result:
        logits, state = network(batch[:-1], carried)
        targets = batch[1:]
        return Result(mean_loss(logits, targets), targets.numel(), detach(state))

    def evaluate(self, fabric: Fabric) -> dict[str, float]:
        """Loss and perplexity on the validation text, read in a few rows side by side."""
        world, rank = fabric.world_size, fabric.global_rank
        tokens = self.corpus.valid
        rows = min(self.rows, max(1, (len(tokens) - 1) // VALIDATION_ROW)) // world * world
        first, last = (rows // world * rank, rows // world * (rank + 1)) if rows else (0, 1)
        steps = max(1, min(256, LOGITS // (max(last - first, 1) * self.network.embedding.num_embeddings)))
        stretch, state = Rows(tokens, rows or 1, steps), None
        sums = torch.zeros(2, dtype=torch.float64)
        with torch.no_grad(), fabric.autocast():
            for index in range(len(stretch)):
                batch = torch.from_numpy(stretch.batch(index, first, last)).to(fabric.device)
                logits, state = self.network(batch[:-1], state)
                nats = negative_log_likelihood(logits.flatten(0, 1), batch[1:].flatten())
                sums += torch.tensor([nats, batch[1:].numel()], dtype=torch.float64)
        nats, count = all_reduce(fabric, sums).tolist()
        loss = nats / count
        return {"loss": loss, "perplexity": math.exp(min(loss, 700.0))}

    def model_file(self) -> bytes:
        plan = self.plan
        return model_bytes(self.task, plan.equations, plan.cell_name, self._config, self.network.state_dict())

    def describe(self) -> dict[str, Any]:
        corpus = self.corpus
        return {
            "text": {
                "name": self.plan.text_name,
                "sha256": corpus.sha256,
                "characters": corpus.characters,
                "train_tokens": len(corpus.train),
                "validation_tokens": len(corpus.valid),
                "vocabulary": corpus.tokenizer.size,
            },
            "backend": self.network.backend(),
            "parameters": sum(w.numel() for w in self.network.parameters()),
        }

    def recipe(self) -> dict[str, Any]:
        plan = self.plan
        return {
            "equations": plan.equations,
            "cell_name": plan.cell_name,
            "settings": plan.settings.to_dict(),
            "where": plan.where,
            "config_sha256": hashlib.sha256(self._config).hexdigest(),
        }


def check_length(corpus: Corpus, name: str, rows: int) -> None:
    """Raise `TextError` where a text is too short for `rows` sequences side by side."""
    advice = f"give a longer text or a batch size below {rows}"
    refuse_short(len(corpus.train), 2 * rows + 1, f"{name}, training part", advice)
    advice = "give a longer text or a larger validation share"
    refuse_short(len(corpus.valid), 2, f"{name}, validation part", advice)
