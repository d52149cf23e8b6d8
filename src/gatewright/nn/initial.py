"""What a sequence begins with: the cell's initial values, or states that are learned.

A learned state is one parameter of the layer, `h_0` for the state h: (layers · directions, width), rows in the order
of a passed state. It begins at the cell's initial value. A call without `hx` starts from it, and so does every
episode that `reset` starts inside a sequence; both give it a gradient.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..graph import Graph
from ..graph.errors import suggestion
from ..plan.learned import start_name
from . import arguments

if TYPE_CHECKING:
    from .stack import Stack

Learned = bool | Sequence[str]
"""Whether states are learned: all of them, none, or those with these names."""


def learned_names(graph: Graph, asked: Learned) -> tuple[str, ...]:
    """The states that are learned, in the order of the equations.

    A state that begins at infinity (the stabiliser of an sLSTM) stays there: "nothing has been let in yet" is no
    place from which a gradient could lead anywhere. Asked for by name it is an error.
    """
    finite = {s.name: not isinstance(s.initial, float) or math.isfinite(s.initial) for s in graph.states}
    if isinstance(asked, bool):
        return tuple(name for name, learns in finite.items() if asked and learns)
    if isinstance(asked, str) or not isinstance(asked, Sequence) or not all(isinstance(n, str) for n in asked):
        raise TypeError(f"learned_state: expected True, False or names of states, as in ('h',); got {asked!r}")
    for name in asked:
        if name not in finite:
            known = ", ".join(finite)
            raise ValueError(
                f"learned_state: there is no state {name!r}{suggestion(name, tuple(finite))} (there are {known})"
            )
        if not finite[name]:
            raise arguments.wrong("learned_state", "states that begin at a finite value", name, "it stays at −∞ or ∞")
    return tuple(name for name in finite if name in asked)


def register(layer: Stack, dtype: torch.dtype | None, device: torch.device | str | None) -> None:
    """Give a layer the parameters of its learned states."""
    for name in layer.learned:
        if name in layer.cell.inputs or start_name(name) in layer._parameters:
            raise arguments.wrong("learned_state", f"no weight {start_name(name)} besides", name, "rename the state")
        shape = layer.num_layers * layer.directions, layer.state_sizes[name]
        layer.register_parameter(start_name(name), arguments.weight(shape, dtype, device))
    stand_in(layer, dtype, device)


def stand_in(layer: nn.Module, dtype: torch.dtype | None, device: torch.device | str | None) -> None:
    """Equations without any weight have a dtype and a device too: those of a buffer without elements."""
    if not layer._parameters:
        layer.register_buffer("no_weights", arguments.weight((0,), dtype, device).detach(), persistent=False)


@torch.no_grad()
def reset(layer: Stack) -> None:
    """Put learned states back to where the cell's begin."""
    for state, (_, value) in zip(layer.state_sizes, layer.starts, strict=True):
        if state in layer.learned:
            getattr(layer, start_name(state)).fill_(value)


def learned(layer: Stack, k: int, d: int) -> tuple[Tensor, ...]:
    """The learned states of one layer and direction, (width,) each."""
    return tuple(getattr(layer, start_name(name))[k * layer.directions + d] for name in layer.learned)


def initial(layer: Stack, k: int, d: int, like: Tensor) -> list[Tensor]:
    """Every state of one layer and direction as it begins, (width,) each, in the dtype of `like`."""
    own = dict(zip(layer.learned, learned(layer, k, d), strict=True))
    return [
        own[name].to(like.dtype) if name in own else like.new_full((size,), value)
        for name, (size, value) in zip(layer.state_sizes, layer.starts, strict=True)
    ]


def before_the_first_step(layer: Stack, like: Tensor, batch: int) -> tuple[Tensor, ...]:
    """The states of a call that was given none: (layers · directions, B, width) each, in the dtype of `like`."""
    rows = layer.num_layers * layer.directions
    found = []
    for name, (size, value) in zip(layer.state_sizes, layer.starts, strict=True):
        if name in layer.learned:
            found.append(getattr(layer, start_name(name)).to(like.dtype).unsqueeze(1).expand(rows, batch, size))
        else:
            found.append(like.new_full((rows, batch, size), value))
    return tuple(found)
