"""A stack of layers, whatever runs them: layer by layer, each direction over the whole sequence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from ..backends.masks import earlier, remembered
from ..backends.padding import Sequences
from ..backends.reference import Draw
from ..plan import stream
from .call import Call
from .dropout import between
from .lens import Look, Place, View
from .merge import merged

if TYPE_CHECKING:
    from .stack import Stack


class Pass(NamedTuple):
    """One layer in one direction over whole sequences, everything in the user's order of time.

    inputs: (T, B, features) each. states: (B, width) each, before the first step. past: the inputs before the first
    step that the cell looks back at, where a call carries them. draw: where random masks come from. view: what runs
    instead of the layer's equations, and what it shows, while a lens is on the layer.
    """

    layer: Stack
    k: int
    d: int
    inputs: tuple[Tensor, ...]
    states: tuple[Tensor, ...]
    past: Tensor | None
    lengths: Tensor | None
    reset: Tensor | None
    every: bool
    draw: Draw | None
    view: View | None = None


Passed = tuple[Tensor, list[Tensor], list[Tensor], list[Tensor]]
"""The output (T, B, width); the final states, or all states; the inputs for the next call, if it needs any; and the
values that a view shows."""


def run(layer: Stack, call: Call, one: Callable[[Pass], Passed]) -> tuple[Tensor, tuple[Tensor, ...]]:
    """(output, final states, or every state): as `Stack.forward` returns them, with a batch axis."""
    turned = layer.batch_first
    x, *others = [i.transpose(0, 1) for i in call.inputs] if turned else call.inputs
    reset = call.reset.transpose(0, 1) if call.reset is not None and turned else call.reset
    seed = layer.regularisers.seed(layer.training, x.device)
    finals: list[list[Tensor]] = [[] for _ in call.states]
    kept: list[Tensor] = []
    for k in range(layer.num_layers):
        if k > 0 and layer.dropout:
            x = between(x, layer.dropout, layer.dropout_kind, layer.training)
        both = []
        for d in range(layer.directions):
            began = tuple([s[k * layer.directions + d] for s in call.states])
            past = call.past[k] if call.past else None
            draw = Draw(seed, stream(k, d)) if seed is not None else None
            look = Look(layer, call, Place(k, d == 1)) if layer.lenses else None
            inputs, view = ((x, *others, *look.inputs(x)), look.view) if look else ((x, *others), None)
            given = Pass(layer, k, d, inputs, began, past, call.lengths, reset, call.every, draw, view)
            y, states, inputs, values = one(given)
            if look:
                look.show(values)
            kept += inputs
            both.append(y)
            for found, state in zip(finals, states, strict=True):
                found.append(state)
        x = merged(both, layer.merge)
    final = tuple([_side_by_side(found) for found in finals])  # lists: a generator takes a microsecond more
    if turned:
        x = x.transpose(0, 1)
        final = tuple(s.transpose(1, 2) for s in final) if call.every else final
    return x, final if call.every else (*final, *kept)


def _side_by_side(rows: list[Tensor]) -> Tensor:
    """The states of all layers and directions in one tensor; of a single one without a copy."""
    return torch.stack(rows) if len(rows) > 1 else rows[0].unsqueeze(0)


class Past:
    """The inputs that a cell looks back at, before its first step and behind its last.

    They lie side by side in one (K, B, features), in the order of the cell's inputs. A layer with two directions
    begins at both ends, so it has none to carry.
    """

    def __init__(self, layer: Stack, past: Tensor | None, sequences: Sequences):
        self.sequences, self.layer = sequences, layer
        self.depth = max([0, *[k for _, k in layer.looks_back]])  # a list: torch.compile knows no default=
        self.names = [name for name in layer.cell.inputs if any(name == seen for seen, _ in layer.looks_back)]
        self.at = {name: layer.cell.inputs.index(name) for name in self.names}
        sizes = [sequences.inputs[i].shape[-1] for i in self.at.values()]
        self.carries = past is not None
        if past is None and self.names:
            like = sequences.inputs[0]
            past = like.new_zeros(self.depth, like.shape[1], sum(sizes))
        self.parts = dict(zip(self.names, past.split(sizes, -1), strict=True)) if past is not None else {}

    def attached(self) -> Sequences:
        """The sequences with the input k steps earlier, for every k that the cell asks for."""
        x = self.sequences
        previous = {
            (name, k): earlier(x.inputs[self.at[name]], k, x.reset, self.parts[name])
            for name, k in self.layer.looks_back
        }
        return replace(x, previous=previous)

    def for_the_next_call(self) -> list[Tensor]:
        """What a call that goes on from here must know: one tensor, or none."""
        if not self.carries:
            return []
        parts = [remembered(self.sequences, self.at[name], part) for name, part in self.parts.items()]
        return [torch.cat(parts, -1)]
