"""Lengths, resets and directions: what a sequence looks like in the order in which it is processed.

Everything is by selection, never by multiplication, so that nothing of what is masked out can leak.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .padding import Sequences


def active_steps(steps: int, lengths: Int[Tensor, " B"]) -> Bool[Tensor, "T B"]:
    """True where a step is inside its sequence."""
    return torch.arange(steps, device=lengths.device).unsqueeze(-1) < lengths


def reversed_in_time(x: Tensor, lengths: Int[Tensor, " B"] | None) -> Tensor:
    """x (T, B, …) with every sequence's valid steps in reverse order; padding stays where it is."""
    if lengths is None:
        return x.flip(0)
    steps = torch.arange(x.shape[0], device=x.device).unsqueeze(-1)
    index = torch.where(steps < lengths, lengths - 1 - steps, steps)
    return x.gather(0, index.reshape(*index.shape, *(1,) * (x.dim() - 2)).expand(x.shape))


def reversed_reset(reset: Bool[Tensor, "T B"], lengths: Int[Tensor, " B"] | None) -> Bool[Tensor, "T B"]:
    """A reset at t cuts between t−1 and t; backwards it is met on entering t−1.

    The step at which the reverse direction starts is none: what it starts with is what was passed in.
    """
    cut_behind = torch.cat([reset[1:], torch.zeros_like(reset[:1])])
    turned = reversed_in_time(cut_behind, lengths)
    return torch.cat([torch.zeros_like(turned[:1]), turned[1:]])


def earlier(
    x: Float[Tensor, "T B I"], k: int, reset: Bool[Tensor, "T B"] | None, past: Float[Tensor, "K B I"]
) -> Float[Tensor, "T B I"]:
    """x k steps earlier, from the inputs `past` before its start; zero where a reset lies in between."""
    steps = x.shape[0]
    shifted = torch.cat([past[past.shape[0] - k :], x])[:steps]
    if reset is None:
        return shifted
    return torch.where((_since_reset(reset) >= k).unsqueeze(-1), shifted, 0.0)


def _since_reset(reset: Bool[Tensor, "T B"]) -> Int[Tensor, "T B"]:
    """How many steps ago the last reset was; more than any distance where there was none."""
    t = torch.arange(reset.shape[0], device=reset.device).unsqueeze(-1)
    start = torch.where(reset, t, -FAR).cummax(0).values if reset.shape[0] else reset.long()
    return t - start


FAR = 1 << 40


def remembered(sequences: Sequences, name: int, past: Float[Tensor, "K B I"]) -> Float[Tensor, "K B I"]:
    """The last K inputs of every sequence, for whoever goes on from its end; zero where a reset lies behind them."""
    x = sequences.inputs[name]
    steps, depth = x.shape[0], past.shape[0]
    counts = torch.full(x.shape[1:2], steps, device=x.device)
    if sequences.active is not None:
        counts = sequences.active.sum(0)
    whole = torch.cat([past, x])  # the input of step t stands at t + K
    index = counts + torch.arange(depth, device=x.device).unsqueeze(-1)  # (K, B)
    last = whole.gather(0, index.unsqueeze(-1).expand(-1, -1, x.shape[-1]))
    if sequences.reset is None or not steps:
        return last
    t = torch.arange(steps, device=x.device).unsqueeze(-1)
    start = torch.where(sequences.reset, t, -FAR).amax(0)
    return torch.where((index - depth >= start).unsqueeze(-1), last, 0.0)


def in_order(
    inputs: tuple[Float[Tensor, "T B _"], ...],
    lengths: Int[Tensor, " B"] | None,
    reset: Bool[Tensor, "T B"] | None,
    *,
    reverse: bool,
) -> Sequences:
    """What one direction runs over, without what `previous` looks back at."""
    active = None if lengths is None else active_steps(inputs[0].shape[0], lengths)
    if reverse:
        inputs = tuple(reversed_in_time(x, lengths) for x in inputs)
        reset = None if reset is None else reversed_reset(reset, lengths)
    if reset is not None and active is not None:
        reset = reset & active  # the padding says nothing
    return Sequences(inputs, {}, active, reset)
