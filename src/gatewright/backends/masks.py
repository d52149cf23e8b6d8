"""Lengths, resets and directions: what a sequence looks like in the order in which it is processed.

Everything is by selection, never by multiplication, so that nothing of what is masked out can leak.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .reference import Sequences


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


def earlier(x: Float[Tensor, "T B I"], k: int, reset: Bool[Tensor, "T B"] | None) -> Float[Tensor, "T B I"]:
    """x k steps earlier; zero before the start, and where a reset lies in between."""
    steps = x.shape[0]
    shifted = torch.cat([torch.zeros_like(x[: min(k, steps)]), x[: max(steps - k, 0)]])
    if reset is None:
        return shifted
    t = torch.arange(steps, device=x.device).unsqueeze(-1)
    start = torch.where(reset, t, 0).cummax(0).values
    return torch.where((t - start >= k).unsqueeze(-1), shifted, 0.0)


def in_order(
    inputs: tuple[Float[Tensor, "T B _"], ...],
    names: tuple[str, ...],
    looks_back: Iterable[tuple[str, int]],
    lengths: Int[Tensor, " B"] | None,
    reset: Bool[Tensor, "T B"] | None,
    *,
    reverse: bool,
) -> Sequences:
    """What one direction runs over; `looks_back` are the inputs and distances of `previous`."""
    active = None if lengths is None else active_steps(inputs[0].shape[0], lengths)
    if reverse:
        inputs = tuple(reversed_in_time(x, lengths) for x in inputs)
        reset = None if reset is None else reversed_reset(reset, lengths)
    if reset is not None and active is not None:
        reset = reset & active  # the padding says nothing
    by_name = dict(zip(names, inputs, strict=True))
    previous = {(name, k): earlier(by_name[name], k, reset) for name, k in looks_back}
    return Sequences(inputs, previous, active, reset)
