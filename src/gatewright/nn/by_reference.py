"""A stack of layers by the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..backends import by_chunks
from ..backends.masks import in_order, reversed_in_time
from ..backends.reference import prepared
from . import walk
from .call import Call
from .initial import initial
from .walk import Pass, Passed, Past

if TYPE_CHECKING:
    from .stack import Stack


def run(layer: Stack, call: Call) -> tuple[Tensor, tuple[Tensor, ...]]:
    """(output, final states, or every state): as `Stack.forward` returns them, with a batch axis."""
    return walk.run(layer, call, direction)


def direction(given: Pass) -> Passed:
    """One layer in one direction."""
    layer, k, d = given.layer, given.k, given.d
    sequences = in_order(given.inputs, given.lengths, given.reset, reverse=d == 1)
    past = Past(layer, given.past, sequences)
    like = sequences.inputs[0]
    widths = layer.state_sizes
    reference = prepared(layer.running, tuple(widths) if given.every else ())
    weights = layer.named_weights(k, d, given.draw)
    starts, earlier = initial(layer, k, d, like), past.attached()
    if layer.kept_every is None or not len(like):
        outputs, final, records = reference.run(weights, earlier, given.states, starts, given.draw)
        series = [(outputs, layer._width_of_output)]
        series += [(records[name], width) for name, width in widths.items()] if given.every else []
        stacked = [torch.stack(s) if s else like.new_zeros(*like.shape[:2], width) for s, width in series]
    else:
        chunks = (weights, earlier, given.states, starts, given.draw, layer.kept_every)
        y, final, records = by_chunks.run(reference, *chunks)
        stacked = [y, *(records[name] for name in reference.recorded)]
    if d == 1:
        stacked = [reversed_in_time(s, given.lengths) for s in stacked]
    return stacked[0], stacked[1:] if given.every else final, past.for_the_next_call()
