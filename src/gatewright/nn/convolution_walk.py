"""A stack of layers of convolutions, whatever runs them: layer by layer, each direction over the whole sequence.

A pixel is a row, (T, B · pixels, channels), and what is said of a sequence is said of all its rows; so lengths, resets
and directions mean what they mean everywhere, and products alone know of frames.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import dropout, pad

from ..backends.convolve import Convolution, as_frames, by_pixel, each_pixel
from ..backends.masks import in_order, reversed_in_time
from ..backends.piecewise import How
from ..backends.reference import Reference
from .call import Call
from .walk import Past

if TYPE_CHECKING:
    from .convolution import ConvRecurrent


@dataclass(frozen=True)
class _Pass:
    """One layer in one direction; inputs (T, rows, C), states (rows, C) and `past` (K, rows, C); the rest is of
    sequences, not of rows."""

    layer: ConvRecurrent
    k: int
    d: int
    convolution: Convolution
    inputs: tuple[Tensor, ...]
    states: tuple[Tensor, ...]
    past: Tensor | None
    lengths: Tensor | None
    reset: Tensor | None
    every: bool

    @property
    def each(self) -> int:
        """Rows of a sequence."""
        return self.convolution.pixels

    def of_rows(self, of_sequences: Tensor | None) -> Tensor | None:
        return None if of_sequences is None else each_pixel(of_sequences, self.each)

    def of_sequences(self, order: Tensor) -> _Pass:
        """The same with its sequences in this order."""
        inputs, states = (tuple(_selected(x, order, self.each) for x in part) for part in (self.inputs, self.states))
        past = None if self.past is None else _selected(self.past, order, self.each)
        lengths = None if self.lengths is None else self.lengths[order]
        reset = None if self.reset is None else self.reset[:, order]
        return replace(self, inputs=inputs, states=states, past=past, lengths=lengths, reset=reset)

    def weights(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """(the stored tensors, each parameter by its name); peepholes of each pixel as rows of pixels."""
        stored = self.layer.stored_weights(self.k, self.d)
        weights = self.layer._layers[self.k].layout.weights(stored)
        sequences = self.states[0].shape[0] // self.each
        for name in self.layer.piecewise[self.k].maps:
            rows = weights[name].flatten(1).T  # (pixels, C)
            weights[name] = rows.expand(sequences, *rows.shape).flatten(0, 1)
        return stored, weights


_Found = tuple[Tensor, list[Tensor], list[Tensor]]
"""The output (T, rows, C); the final states, or all states (T, rows, C); and the inputs for the next call, if any."""


def run(layer: ConvRecurrent, call: Call, backend: str) -> tuple[Tensor, tuple[Tensor, ...]]:
    """(output, final states, or every state): as `ConvRecurrent.forward` returns them, with a batch axis."""
    dims, turned, given = layer.kernels.dims, layer.batch_first, call.inputs[0].dtype
    space = tuple(call.inputs[0].shape[-dims:])
    dtype = next(iter(layer.stored_weights(0, 0).values())).dtype
    convolution = Convolution(space, layer.kernels.dilation, layer.kernels.padding_mode)
    x, *others = (by_pixel((i.transpose(0, 1) if turned else i).to(dtype), dims) for i in call.inputs)
    reset = call.reset.transpose(0, 1) if call.reset is not None and turned else call.reset
    began, past = ([by_pixel(s.to(dtype), dims) for s in part] for part in (call.states, call.past))
    one = {"reference": _by_reference, "torch": _by_pieces, "cpu": partial(_by_pieces, kernels=True)}[backend]
    states: list[list[Tensor]] = [[] for _ in began]
    kept: list[Tensor] = []
    for k in range(layer.num_layers):
        if k > 0 and layer.dropout:
            x = dropout(x, layer.dropout, layer.training)
        both = []
        for d in range(layer.directions):
            first = tuple(s[k * layer.directions + d] for s in began)
            before = past[k] if past else None
            given_ = _Pass(layer, k, d, convolution, (x, *others), first, before, call.lengths, reset, call.every)
            y, found, following = one(given_)
            both.append(y)
            kept += following
            for so_far, s in zip(states, found, strict=True):
                so_far.append(s)
        x = torch.cat(both, -1) if len(both) > 1 else both[0]
    output, *final = (as_frames(rows, space).to(given) for rows in (x, *map(torch.stack, states), *kept))
    if turned:
        output = output.transpose(0, 1)
        final = [s.transpose(1, 2) for s in final] if call.every else final
    return output, tuple(final[: len(states)] if call.every else final)


# -- one layer in one direction ------------------------------------------------------------------------------


def _by_reference(given: _Pass) -> _Found:
    layer, graph = given.layer, given.layer.equations
    sequences = in_order(given.inputs, given.of_rows(given.lengths), given.of_rows(given.reset), reverse=given.d == 1)
    past = Past(layer, given.past, sequences)  # pyright: ignore[reportArgumentType]
    like, channels = sequences.inputs[0], layer.state_channels
    initial = [like.new_full((n,), layer.initial[name]) for name, n in channels.items()]
    reference = Reference(graph, tuple(channels) if given.every else (), given.convolution)
    outputs, final, records = reference.run(given.weights()[1], past.attached(), given.states, initial)
    series = [(outputs, layer.output_channels // layer.directions)]
    series += [(records[name], n) for name, n in channels.items()] if given.every else []
    stacked = [torch.stack(s) if s else like.new_zeros(*like.shape[:2], n) for s, n in series]
    if given.d == 1:
        stacked = [reversed_in_time(s, given.of_rows(given.lengths)) for s in stacked]
    return stacked[0], stacked[1:] if given.every else final, past.for_the_next_call()


def _by_pieces(given: _Pass, *, kernels: bool = False) -> _Found:
    """In the order of falling lengths, so that what has ended lies behind what has not."""
    layer, order, counts = given.layer, *_falling(given)
    if order is not None:
        given = given.of_sequences(order)
    sequences = in_order(given.inputs, given.of_rows(given.lengths), given.of_rows(given.reset), reverse=given.d == 1)
    past = Past(layer, given.past, sequences)  # pyright: ignore[reportArgumentType]
    stored, weights = given.weights()
    how = How(given.convolution, kernels, [n * given.each for n in counts])
    initial = list(layer.initial.values())
    outputs, every = layer.piecewise[given.k].run(stored, weights, past.attached(), given.states, initial, how)
    final, like = _last(given.states, every), given.inputs[0]
    series = [(outputs, layer.output_channels // layer.directions)]
    if given.every:
        series += [([states[i] for states in every], s.shape[-1]) for i, s in enumerate(final)]
    rows = given.states[0].shape[0]
    found = [torch.stack([_to_the_end(v, rows) for v in s]) if s else like.new_zeros(0, rows, n) for s, n in series]
    if given.d == 1:
        found = [reversed_in_time(s, given.of_rows(given.lengths)) for s in found]
    found = found if given.every else [*found, *final]
    kept = past.for_the_next_call()
    if order is not None:
        back = order.argsort()
        found, kept = ([_selected(s, back, given.each) for s in part] for part in (found, kept))
    return found[0], found[1:], kept


def _falling(given: _Pass) -> tuple[Tensor | None, list[int]]:
    """(the order of falling lengths, None where it is the user's; how many sequences there are at each step)."""
    steps, batch = given.inputs[0].shape[0], given.states[0].shape[0] // given.each
    if given.lengths is None:
        return None, [batch] * steps
    lengths = given.lengths.tolist()
    counts = [sum(n > t for n in lengths) for t in range(steps)]
    falls = all(a >= b for a, b in pairwise(lengths))
    return None if falls else given.lengths.argsort(descending=True, stable=True), counts


def _selected(rows: Tensor, order: Tensor, each: int) -> Tensor:
    """(…, rows, C) with its sequences in another order."""
    return rows.unflatten(-2, (-1, each)).index_select(-3, order).flatten(-3, -2)


def _to_the_end(value: Tensor, rows: int) -> Tensor:
    """What a step gives, with 0 for the rows that have ended."""
    return value if len(value) == rows else pad(value, (0, 0, 0, rows - len(value)))


def _last(began: tuple[Tensor, ...], every: list[list[Tensor]]) -> list[Tensor]:
    """The state of each row at its end, from the states of those that are still there after each step."""
    found = []
    for i, first in enumerate(began):
        series = [first, *(states[i] for states in every)]
        ended = [s[len(following) :] for s, following in pairwise(series)]
        parts = [series[-1], *(s for s in reversed(ended) if len(s))]
        found.append(torch.cat(parts) if len(parts) > 1 else parts[0])
    return found
