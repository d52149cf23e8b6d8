"""A stack of layers by the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..backends import by_chunks
from ..backends.masks import in_order, reversed_in_time
from ..backends.reference import prepared
from . import by_operator, walk
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
    if torch.compiler.is_dynamo_compiling() and given.view is None:
        return by_operator.direction(given)
    layer, k, d = given.layer, given.k, given.d
    sequences = in_order(given.inputs, given.lengths, given.reset, reverse=d == 1)
    past = Past(layer, given.past, sequences)
    like = sequences.inputs[0]
    widths = layer.state_sizes
    seen = given.view
    states = tuple(widths) if given.every else ()
    shown = tuple(name for name in seen.names if name not in states) if seen else ()
    reference = prepared(seen.graph if seen else layer.running, (*states, *shown))
    weights = layer.named_weights(k, d, given.draw)
    starts, earlier = initial(layer, k, d, like), past.attached()
    if layer.kept_every is None or not len(like):
        outputs, final, records = reference.run(weights, earlier, given.states, starts, given.draw)
        series = {"": outputs} | records
        stacked = [
            torch.stack(s) if s else like.new_zeros(*like.shape[:2], _width(given, name)) for name, s in series.items()
        ]
    else:
        chunks = (weights, earlier, given.states, starts, given.draw, layer.kept_every)
        y, final, records = by_chunks.run(reference, *chunks)
        stacked = [y, *(records[name] for name in reference.recorded)]
    if d == 1:
        stacked = [reversed_in_time(s, given.lengths) for s in stacked]
    by_name = dict(zip(reference.recorded, stacked[1:], strict=True))
    every = [by_name[name] for name in states]
    values = [by_name[name].detach() for name in seen.names] if seen else []
    every = [s.clone() for s in every] if values else every  # the user may write into what is given away
    return stacked[0], every if given.every else final, past.for_the_next_call(), values


def _width(given: Pass, name: str) -> int:
    """How wide the output is, or a value with a name."""
    layer = given.layer
    return layer._layers[given.k].sizes.of(layer.equations.watchable()[name]) if name else layer._width_of_output
