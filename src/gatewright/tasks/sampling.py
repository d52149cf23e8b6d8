"""Choosing the next token from logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gatewright.tasks.settings import Settings, setting

if TYPE_CHECKING:
    from jaxtyping import Float, Int64

__all__ = ["Sampling", "choose"]


@dataclass(frozen=True)
class Sampling(Settings):
    """How text is generated."""

    length: int = setting(500, "tokens to generate")
    temperature: float = setting(0.8, "divides the logits: below 1 safer, above 1 wilder, 0 always the likeliest token")
    top_k: int | None = setting(None, "choose among the k likeliest tokens")
    top_p: float | None = setting(None, "choose among the likeliest tokens that together have this probability")
    seed: int | None = setting(None, "the same seed gives the same text; none: another text every time")

    def check(self) -> None:
        for name in ("length", "temperature", "seed"):
            self._at_least(name, 0)
        self._at_least("top_k", 1)
        self._at_least("top_p", 0, above=True)


def choose(
    logits: Float[Tensor, "B V"], sampling: Sampling, generator: torch.Generator, banned: int | None = None
) -> Int64[Tensor, " B"]:
    """A token a row. `banned` is never chosen, unless there is no other."""
    logits = logits.double().cpu()
    if banned is not None and logits.shape[1] > 1:
        logits[:, banned] = -torch.inf
    if sampling.temperature == 0:
        return logits.argmax(1)
    # The largest becomes 0, so that no temperature makes it infinite.
    logits = (logits - logits.amax(1, keepdim=True)) / sampling.temperature
    if sampling.top_k is not None and sampling.top_k < logits.shape[1]:
        lowest = logits.topk(sampling.top_k).values[:, -1:]
        logits = logits.masked_fill(logits < lowest, -torch.inf)
    if sampling.top_p is not None and sampling.top_p < 1:
        logits = _nucleus(logits, sampling.top_p)
    return torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]


def _nucleus(logits: Tensor, share: float) -> Tensor:
    """Keep the fewest likeliest tokens whose probabilities add up to `share` (Holtzman et al. 2020)."""
    ordered, order = logits.sort(descending=True)
    before = ordered.softmax(1).cumsum(1) - ordered.softmax(1)  # probability of all that are likelier
    return logits.masked_fill((before >= share).scatter(1, order, before >= share), -torch.inf)
