"""Choosing the next token from logits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gatewright.tasks.errors import SettingsError
from gatewright.tasks.settings import Settings, setting
from gatewright.tasks.text import check_string

if TYPE_CHECKING:
    from jaxtyping import Float, Int64

__all__ = ["Sampling", "choose", "penalised", "probabilities"]


@dataclass(frozen=True)
class Sampling(Settings):
    """How text is generated."""

    length: int = setting(500, "tokens to generate")
    temperature: float = setting(0.8, "divides the logits: below 1 safer, above 1 wilder, 0 always the likeliest token")
    top_k: int | None = setting(None, "choose among the k likeliest tokens")
    top_p: float | None = setting(None, "choose among the likeliest tokens that together have this probability")
    repetition_penalty: float = setting(
        1.0, "above 1: tokens that are there already become less likely (Keskar et al. 2019); 1: they do not"
    )
    until: str | None = setting(None, "the text ends before this, or after `length` tokens")
    beams: int | None = setting(None, "search for the likeliest text with so many at a time, in place of drawing one")
    length_penalty: float = setting(0.0, "of beams that end at different lengths: above 0 longer ones do better")
    seed: int | None = setting(None, "the same seed gives the same text; none: another text every time")

    def check(self) -> None:
        for name in ("length", "temperature", "seed"):
            self._at_least(name, 0)
        self._at_least("top_k", 1)
        self._at_least("beams", 1)
        self._at_least("top_p", 0, above=True)
        self._within("length_penalty", 0, 10)
        self._within("repetition_penalty", 0.01, 100)
        if self.until == "":
            raise SettingsError("setting until: expected some text, got an empty one; leave it out")
        check_string(self.until or "")

    def _within(self, name: str, lowest: float, highest: float) -> None:
        """Beyond these bounds a power or a quotient may leave the range of numbers."""
        if not lowest <= getattr(self, name) <= highest:
            value = getattr(self, name)
            raise SettingsError(f"setting {name}: expected a number from {lowest} to {highest}, got {value!r}")


def choose(
    logits: Float[Tensor, "B V"],
    sampling: Sampling,
    generator: torch.Generator,
    banned: int | None = None,
    before: Sequence[Sequence[int]] = (),
) -> Int64[Tensor, " B"]:
    """A token a row. `banned` is never chosen, unless there is no other. `before`: each row's tokens so far."""
    return torch.multinomial(probabilities(logits, sampling, banned, before), 1, generator=generator)[:, 0]


def probabilities(
    logits: Float[Tensor, "B V"],
    sampling: Sampling,
    banned: int | None = None,
    before: Sequence[Sequence[int]] = (),
) -> Float[Tensor, "B V"]:
    """What each row's token is drawn with; at temperature 0 all of it is the likeliest token's."""
    logits = penalised(logits.double().cpu(), before, sampling.repetition_penalty)
    if banned is not None and logits.shape[1] > 1:
        logits[:, banned] = -torch.inf
    if sampling.temperature == 0:
        return torch.zeros_like(logits).scatter_(1, logits.argmax(1, keepdim=True), 1.0)
    # The largest becomes 0, so that no temperature makes it infinite.
    logits = (logits - logits.amax(1, keepdim=True)) / sampling.temperature
    if sampling.top_k is not None and sampling.top_k < logits.shape[1]:
        lowest = logits.topk(sampling.top_k).values[:, -1:]
        logits = logits.masked_fill(logits < lowest, -torch.inf)
    if sampling.top_p is not None and sampling.top_p < 1:
        logits = _nucleus(logits, sampling.top_p)
    return logits.softmax(1)


def penalised(logits: Float[Tensor, "B V"], before: Sequence[Sequence[int]], penalty: float) -> Float[Tensor, "B V"]:
    """Logits of tokens that are there already, divided by the penalty; where they are negative, multiplied."""
    if penalty == 1:
        return logits
    logits = logits.clone()
    for row, tokens in zip(logits, before, strict=True):
        there = torch.tensor(sorted(set(tokens)), dtype=torch.int64)
        row[there] = torch.where(row[there] > 0, row[there] / penalty, row[there] * penalty)
    return logits


def _nucleus(logits: Tensor, share: float) -> Tensor:
    """Keep the fewest likeliest tokens whose probabilities add up to `share` (Holtzman et al. 2020)."""
    ordered, order = logits.sort(descending=True)
    before = ordered.softmax(1).cumsum(1) - ordered.softmax(1)  # probability of all that are likelier
    return logits.masked_fill((before >= share).scatter(1, order, before >= share), -torch.inf)
