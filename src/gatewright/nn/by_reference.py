"""A stack of layers by the reference: layer by layer, each direction over the whole sequence."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import dropout

from ..backends.masks import earlier, in_order, remembered, reversed_in_time
from ..backends.reference import Sequences, prepared
from .call import Call

if TYPE_CHECKING:
    from .stack import Stack


def run(layer: Stack, call: Call) -> tuple[Tensor, tuple[Tensor, ...]]:
    """(output, final states, or every state): as `Stack.forward` returns them, with a batch axis."""
    turned = layer.batch_first
    x, *others = (i.transpose(0, 1) if turned else i for i in call.inputs)
    reset = call.reset.transpose(0, 1) if call.reset is not None and turned else call.reset
    finals: list[list[Tensor]] = [[] for _ in call.states]
    kept: list[Tensor] = []
    for k in range(layer.num_layers):
        if k > 0 and layer.dropout:
            x = dropout(x, layer.dropout, layer.training)
        both = []
        for d in range(layer.directions):
            sequences = in_order((x, *others), call.lengths, reset, reverse=d == 1)
            past = _Past(layer, call.past[k] if call.past else None, sequences)
            kept += past.for_the_next_call()
            began = tuple(s[k * layer.directions + d] for s in call.states)
            y, states = _direction(layer, k, d, past.attached(), began, call)
            both.append(y)
            for found, state in zip(finals, states, strict=True):
                found.append(state)
        x = torch.cat(both, -1) if len(both) > 1 else both[0]
    final = tuple(torch.stack(found) for found in finals)
    if call.every:
        kept = []
    if turned:
        x = x.transpose(0, 1)
        final = tuple(s.transpose(1, 2) for s in final) if call.every else final
    return x, (*final, *kept)


def _direction(
    layer: Stack, k: int, d: int, sequences: Sequences, began: tuple[Tensor, ...], call: Call
) -> tuple[Tensor, list[Tensor]]:
    """One layer in one direction: (outputs, final states, or all states)."""
    like = sequences.inputs[0]
    widths = layer.state_sizes
    initial = [like.new_full((widths[s.name],), s.initial) for s in layer.cell.graph.states]
    reference = prepared(layer.equations, tuple(widths) if call.every else ())
    outputs, final, records = reference.run(layer.named_weights(k, d), sequences, began, initial)
    series = [(outputs, layer.output_size // layer.directions)]
    series += [(records[name], width) for name, width in widths.items()] if call.every else []
    stacked = [torch.stack(s) if s else like.new_zeros(*like.shape[:2], width) for s, width in series]
    if d == 1:
        stacked = [reversed_in_time(s, call.lengths) for s in stacked]
    return stacked[0], stacked[1:] if call.every else final


class _Past:
    """The inputs that a cell looks back at, before its first step and behind its last.

    They lie side by side in one (K, B, features), in the order of the cell's inputs. A layer with two directions
    begins at both ends, so it has none to carry.
    """

    def __init__(self, layer: Stack, past: Tensor | None, sequences: Sequences):
        self.sequences, self.layer = sequences, layer
        self.depth = max((k for _, k in layer.looks_back), default=0)
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
