"""Tagging for the trainer: batches of sentences of about one length, the joint loss, and what is counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import nn

from gatewright.tasks.fabric import all_reduce
from gatewright.tasks.job import Result
from gatewright.tasks.tag.encode import Batch, Encoded, Vocabulary, bucketed, collate
from gatewright.tasks.tag.spans import Score, SpanCounts
from gatewright.tasks.task_job import Plan, Prepared, TaskJob

if TYPE_CHECKING:
    from jaxtyping import Float32, Integer
    from lightning_fabric import Fabric

    from gatewright.tasks.tag.network import TagNetwork

__all__ = ["Guess", "TagCounts", "TagJob", "TagPrepared", "guesses"]

TOGETHER = 64  # sentences that are tagged at once


@dataclass(frozen=True, kw_only=True)
class TagPrepared(Prepared):
    """Sentences in numbers. vectors: numbers of words, and their vectors, or None. invalid: neighbours in the training
    data's tags that break BIO.
    """

    train: Encoded
    valid: Encoded
    vectors: tuple[Integer[np.ndarray, " M"], Float32[np.ndarray, "M W"]] | None = None
    invalid: int = 0


class Guess(NamedTuple):
    """What a model says of a sentence: tags, the intent ("" where it knows none) with its probability, and −ln p of the
    true tags and the true intent, in nats (None where training did not have them).
    """

    tags: list[str]
    intent: str
    probability: float
    tag_loss: float | None
    intent_loss: float | None


class TagJob(TaskJob):
    """Batches, loss and evaluation of a tagger."""

    unit = "words"
    least_updates, least_between = 300, 10  # with few sentences an epoch is hardly a step

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.size, self.seed = self.batch_size(len(self.prepared.train)), plan.training.seed
        self.vocabulary = Vocabulary.from_dict(self.prepared.config["vocabulary"])
        self._order: tuple[int, list[Any]] = (-1, [])
        if self.prepared.vectors is not None:
            self.network.begin_with(*self.prepared.vectors)

    def batches(self, epoch: int) -> int:  # noqa: ARG002 - every epoch has as many
        return -(-len(self.prepared.train) // self.size)

    def batch(self, epoch: int, index: int, fabric: Fabric) -> tuple[Batch, float]:
        """This process's sentences, and how many a process has on average; one may have one more."""
        if self._order[0] != epoch:
            self._order = epoch, bucketed(self.prepared.train.lengths, self.size, [self.seed, epoch])
        rows = self._order[1][index]
        rows = np.resize(rows, max(len(rows), fabric.world_size))  # a sentence for every process
        mine = collate(self.prepared.train, rows[fabric.global_rank :: fabric.world_size])
        return mine.to(fabric.device), len(rows) / fabric.world_size

    def loss(self, network: nn.Module, batch: tuple[Batch, float], carried: Any) -> Result:  # noqa: ARG002
        mine, share = batch
        out = network(mine)
        nats = out.tag_loss + self.settings.intent_weight * out.intent_loss
        # Its mean over processes is that of the whole batch. Sentences are counted for the mean, words for the speed.
        return Result(nats.sum() / share, int(mine.lengths.sum()), weight=share)

    def evaluate(self, fabric: Fabric) -> dict[str, float]:
        """Loss, span F1 and accuracies on the validation sentences."""
        valid: Encoded = self.prepared.valid
        rows = np.arange(len(valid))[fabric.global_rank :: fabric.world_size]
        counts = TagCounts()
        with fabric.autocast():
            for row, guess in guesses(self.network, valid, self.vocabulary, rows):
                counts.add(*valid.truth(row), guess)
        total = TagCounts.of(all_reduce(fabric, torch.tensor(counts.numbers(), dtype=torch.float64)).tolist())
        return total.figures(self.vocabulary.scheme, self.settings.intent_weight)

    def describe_data(self) -> dict[str, Any]:
        train, valid, known = self.prepared.train, self.prepared.valid, self.vocabulary
        return {
            "train_sentences": len(train),
            "validation_sentences": len(valid),
            "train_words": len(train.word),
            "vocabulary": len(known.words),
            "tags": len(known.tags),
            "intents": len(known.intents),
            "tags_only_in_validation": len(valid.tags) - len(known.tags),
            "neighbours_that_break_bio": self.prepared.invalid,
        }


def guesses(
    network: TagNetwork, data: Encoded, vocabulary: Vocabulary, rows: Sequence[int] | np.ndarray | None = None
) -> Iterator[tuple[int, Guess]]:
    """What the network says of sentences, with their numbers; those of one length are tagged together."""
    device = network.emit.weight.device
    chosen = np.arange(len(data)) if rows is None else np.asarray(rows, np.int64)
    chosen = chosen[np.argsort(data.lengths[chosen], kind="stable")]
    network.eval()
    for first in range(0, len(chosen), TOGETHER):
        some = chosen[first : first + TOGETHER]
        batch = collate(data, some).to(device)
        with torch.no_grad():
            out = network(batch)
            tags = network.decode(out, batch.lengths).T.tolist()
        for row, at, guess in zip(some.tolist(), tags, _intents(out, batch, vocabulary), strict=True):
            names = [vocabulary.tags[k] for k in at[: data.lengths[row]]]
            known = bool((data.tag[data.offsets[row] : data.offsets[row + 1]] < len(vocabulary.tags)).all())
            yield row, guess._replace(tags=names, tag_loss=guess.tag_loss if known else None)


def _intents(out: Any, batch: Batch, vocabulary: Vocabulary) -> Iterator[Guess]:
    tag_losses, losses, true = (t.tolist() for t in (out.tag_loss, out.intent_loss, batch.intents))
    if not vocabulary.intents:
        yield from (Guess([], "", 0.0, loss, None) for loss in tag_losses)
        return
    best = out.intents.float().softmax(-1).max(-1)
    probabilities, places = best.values.tolist(), best.indices.tolist()
    for p, k, tag_loss, loss, i in zip(probabilities, places, tag_losses, losses, true, strict=True):
        yield Guess([], vocabulary.intents[k], p, tag_loss, loss if 0 <= i < len(vocabulary.intents) else None)


class TagCounts:
    """What is counted of sentences; counts of several processes may be added."""

    NAMES = (
        "correct gold predicted words right_words sentences right_sentences with_intent right_intents "
        "tag_nats tag_known intent_nats intent_known"
    ).split()

    def __init__(self, scheme: str | None = "BIO") -> None:
        self.spans = SpanCounts(scheme)
        self.count: dict[str, float] = dict.fromkeys(self.NAMES, 0.0)

    @classmethod
    def of(cls, numbers: Sequence[float]) -> TagCounts:
        """From what `numbers` gives, without the types of spans."""
        made = cls()
        made.count = dict(zip(cls.NAMES, numbers, strict=True))
        return made

    def numbers(self) -> list[float]:
        """All counts, in a fixed order."""
        return list(self.count.values())

    def add(self, tags: list[str], intent: str | None, guess: Guess) -> None:
        """Count a sentence."""
        self.spans.add(tags, guess.tags)
        c = self.count
        c["correct"], c["gold"], c["predicted"] = (
            float(n.total()) for n in (self.spans.correct, self.spans.gold, self.spans.predicted)
        )
        right = sum(a == b for a, b in zip(tags, guess.tags, strict=True))
        c["words"] += len(tags)
        c["right_words"] += right
        c["sentences"] += 1
        c["right_sentences"] += right == len(tags) and intent in (None, guess.intent)
        c["with_intent"] += intent is not None
        c["right_intents"] += intent is not None and intent == guess.intent
        for name, nats in (("tag", guess.tag_loss), ("intent", guess.intent_loss)):
            c[f"{name}_nats"] += nats or 0.0
            c[f"{name}_known"] += nats is not None

    def figures(self, scheme: str | None, intent_weight: float = 1.0) -> dict[str, float]:
        """By name: `loss` is −ln p of the true tags plus the weighted one of the true intent, in nats a sentence, over
        those that training knows, and is left out where it knows none; shares are from 0 to 1. Without spans there is
        no F1; without intents none of theirs.
        """
        c = self.count
        found: dict[str, float] = {}
        if c["tag_known"] and (c["intent_known"] or not c["with_intent"]):
            intents = _mean(c["intent_nats"], c["intent_known"])
            found["loss"] = _mean(c["tag_nats"], c["tag_known"]) + intent_weight * intents
        if scheme is not None:
            score = Score.of(int(c["correct"]), int(c["gold"]), int(c["predicted"]))
            found |= {"f1": score.f1, "precision": score.precision, "recall": score.recall}
        found["accuracy"] = _mean(c["right_words"], c["words"])
        if c["with_intent"]:
            found["intent_accuracy"] = _mean(c["right_intents"], c["with_intent"])
        return found | {"sentence_accuracy": _mean(c["right_sentences"], c["sentences"])}


def _mean(total: float, number: float) -> float:
    return total / number if number else 0.0
