"""How one layer of a stack is run, and what of its states the layer above takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .blocks import BELOW, Layer
from .call import one_or_all, start
from .merge import merged
from .stack import Stack

Ran = tuple[Tensor, Any, dict[str, Tensor]]
"""A layer's output, its state, and what of its states the next layer takes."""


def sequence(layer: Layer, given: Any, state: Any, feeds: bool, *, how: dict, states: str | None, time: int) -> Ran:
    """A layer over whole sequences; `feeds`: the layer above takes its states."""
    if not feeds:
        return (*layer(given, state, states=states, **how), {})
    assert isinstance(layer, Stack)
    y, found = layer(given, state, states="all", **how)
    every = found if isinstance(found, tuple) else (found,)
    if states is None:
        x = given[0] if isinstance(given, tuple) else given
        found = one_or_all(last_of(every, began(layer, state, x), how["lengths"], time, layer.directions))
    return y, found, states_below(layer, every)


def step(layer: Layer, given: Any, state: Any, feeds: bool) -> Ran:
    """A layer over one step."""
    y, new = layer.step(given, state)
    if not feeds:
        return y, new, {}
    assert isinstance(layer, Stack)
    return y, new, states_below(layer, new if isinstance(new, tuple) else (new,))


def states_below(lower: Stack, every: Sequence[Tensor]) -> dict[str, Tensor]:
    """Every state of a layer's uppermost level, as the layer above takes them: by the names of its inputs.

    every: (layers · directions, T, B, width) each, or without T for a step.
    """
    rows = (state[-lower.directions :].unbind() for state in every)
    return {name + BELOW: merged(both, lower.merge) for name, both in zip(lower.state_sizes, rows, strict=True)}


def began(layer: Stack, state: Any, x: Tensor) -> tuple[Tensor, ...]:
    """The states before the first step, laid out as they are returned."""
    batched = x.dim() == 3
    states, _ = start(layer, state, x, x.shape[1 - layer.batch_first] if batched else 1, batched=batched)
    return states if batched else tuple(s.squeeze(1) for s in states)


def last_of(
    every: Sequence[Tensor], before: Sequence[Tensor], lengths: Tensor | None, time: int, directions: int
) -> tuple[Tensor, ...]:
    """The final states among all of them: each sequence's last; where it has no steps, the one before the first.

    every: (layers · directions, T, B, width) each, or (layers · directions, B, T, width). time: the axis of time in
    one of its rows. A reverse direction ends at the first step.
    """
    found = []
    for states, initial in zip(every, before, strict=True):
        if not states.shape[1 + time]:
            found.append(initial)
            continue
        rows = [
            row.select(time, 0) if k % directions else _at_the_end(row, lengths, time)
            for k, row in enumerate(states.unbind())
        ]
        last = torch.stack(rows)
        found.append(
            last if lengths is None else torch.where((lengths > 0).view(-1, *[1] * (last.dim() - 2)), last, initial)
        )
    return tuple(found)


def _at_the_end(row: Tensor, lengths: Tensor | None, time: int) -> Tensor:
    """The last valid step of (T, B, width), (B, T, width) or (T, width)."""
    if lengths is None:
        return row.select(time, -1)
    last = (lengths - 1).clamp(min=0)
    index = last.unsqueeze(time).unsqueeze(-1) if row.dim() == 3 else last.unsqueeze(-1)
    return row.gather(time, index.expand(*index.shape[:-1], row.shape[-1])).squeeze(time)
