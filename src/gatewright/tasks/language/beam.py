"""Beam search: the continuations of a text that a model finds likeliest, as far as a narrow search finds them.

At every step each of the best continuations is lengthened by every token, and the best of all those are kept.
Continuations that have come to their end compete by log p(Y) / ((5 + |Y|) / 6)^α with |Y| tokens (Y. Wu et al.,
Google's neural machine translation system, 2016); α = 0 compares log p alone, which favours short ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from gatewright.tasks.language.sampling import penalised

if TYPE_CHECKING:
    from gatewright.tasks.language.network import LanguageNetwork

__all__ = ["Beam", "beam_search", "choose_rows"]


class Beam(NamedTuple):
    """A continuation: its tokens, its log probability in nats, and what it is compared by."""

    tokens: list[int]
    log_probability: float
    score: float


@dataclass
class _Search:
    """What is being searched: the open continuations, and those that have ended."""

    width: int
    alpha: float
    ended: Callable[[list[int]], bool]
    made: list[list[int]] = field(default_factory=lambda: [[]])
    sums: list[float] = field(default_factory=lambda: [0.0])
    done: list[Beam] = field(default_factory=list)

    def take(self, log_p: Tensor) -> tuple[list[int], list[int]]:
        """Lengthen by the best of all tokens, (B, V); which rows go on, and with which tokens."""
        totals = torch.tensor(self.sums, dtype=torch.float64)[:, None] + log_p
        best = totals.flatten().topk(min(2 * self.width, totals.numel()))
        chosen: list[tuple[int, int, list[int], float]] = []  # row, token, continuation, log p
        for total, place in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            row, token = divmod(place, log_p.shape[1])
            if total == -torch.inf or len(chosen) == self.width:
                break
            longer = [*self.made[row], token]
            if self.ended(longer):
                self.done.append(self._beam(longer, total))
                continue
            chosen.append((row, token, longer, total))
        self.made, self.sums = [c[2] for c in chosen], [c[3] for c in chosen]
        return [c[0] for c in chosen], [c[1] for c in chosen]

    def hopeless(self, length: int) -> bool:
        """Whether no open continuation can still overtake the `width` best that have ended."""
        if not self.made:
            return True
        if len(self.done) < self.width:
            return False
        worst = sorted(beam.score for beam in self.done)[-self.width]
        return max(self.sums) / _norm(length, self.alpha) <= worst  # log p only falls, and no norm is larger

    def best(self) -> list[Beam]:
        """The best, the best one first; continuations that have not ended count where too few have."""
        self.done += [self._beam(tokens, total) for tokens, total in zip(self.made, self.sums, strict=True)]
        return sorted(self.done, key=lambda beam: -beam.score)[: self.width]

    def _beam(self, tokens: list[int], total: float) -> Beam:
        return Beam(tokens, total, total / _norm(len(tokens), self.alpha))


@torch.no_grad()
def beam_search(
    network: LanguageNetwork,
    prompt: Sequence[int],
    *,
    width: int,
    length: int,
    length_penalty: float = 0.0,
    ended: Callable[[list[int]], bool] = lambda _: False,
    banned: int | None = None,
    repetition_penalty: float = 1.0,
) -> list[Beam]:
    """The `width` best continuations of a prompt, of at most `length` tokens, the best one first.

    prompt: one token at least. ended: whether a continuation is complete. banned: a token that is never taken.
    With a width of 1 it is the likeliest token at every step.
    """
    network.eval()
    device = network.embedding.weight.device
    state = None
    if len(prompt) > 1:
        _, state = network.outputs(torch.tensor(prompt[:-1], device=device)[:, None])
    last, search = torch.tensor(prompt[-1:], device=device), _Search(width, length_penalty, ended)
    for _ in range(length):
        logits, state = network.step(last, state)
        logits = penalised(logits.double().cpu(), [[*prompt, *made] for made in search.made], repetition_penalty)
        log_p = logits.log_softmax(1)
        if banned is not None and log_p.shape[1] > 1:
            log_p[:, banned] = -torch.inf  # what it takes is not given to the others: log p stays the model's
        rows, tokens = search.take(log_p)
        if search.hopeless(length):
            break
        state, last = choose_rows(state, torch.tensor(rows, device=device)), torch.tensor(tokens, device=device)
    return search.best()


def _norm(length: int, alpha: float) -> float:
    return ((5 + length) / 6) ** alpha


def choose_rows(state: Any, rows: Tensor) -> Any:
    """Some sequences of a state, in another order; every part of a state has its sequences on axis 1."""
    if isinstance(state, Tensor):
        return state.index_select(1, rows)
    return tuple(choose_rows(part, rows) for part in state)
