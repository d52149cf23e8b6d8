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
from ..backends.padding import Sequences
from ..backends.piecewise import How
from ..backends.reference import Reference
from .call import Call, weight_of
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

    def weights(self, stored: dict[str, Tensor]) -> dict[str, Tensor]:
        """Each parameter by its name, from the stored tensors; peepholes of each pixel as rows of pixels."""
        weights = self.layer._layers[self.k].layout.weights(stored)
        sequences = self.states[0].shape[0] // self.each
        for name in self.layer.piecewise[self.k].maps:
            rows = weights[name].flatten(1).T  # (pixels, C)
            weights[name] = rows.expand(sequences, *rows.shape).flatten(0, 1)
        return weights


_Found = tuple[Tensor, list[Tensor], list[Tensor]]
"""The output (T, rows, C); the final states, or all states (T, rows, C); and the inputs for the next call, if any."""


def run(layer: ConvRecurrent, call: Call, backend: str) -> tuple[Tensor, tuple[Tensor, ...]]:
    """(output, final states, or every state): as `ConvRecurrent.forward` returns them, with a batch axis."""
    dims, turned, given = layer.kernels.dims, layer.batch_first, call.inputs[0].dtype
    space = tuple(call.inputs[0].shape[-dims:])
    dtype = weight_of(layer).dtype
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
    stored = layer.stored_weights(given.k, given.d)
    initial = [like.new_full((n,), layer.initial[name]) for name, n in channels.items()]
    reference = Reference(graph, tuple(channels) if given.every else (), given.convolution)
    outputs, final, records = reference.run(given.weights(stored), past.attached(), given.states, initial)
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
    attached, stored = past.attached(), layer.stored_weights(given.k, given.d)
    found = _native(given, attached, counts) if kernels else None
    if found is None:
        found = _piece_by_piece(given, stored, given.states, attached, counts, kernels=kernels)
    if given.d == 1:
        series = len(found) if given.every else 1
        found = [*(reversed_in_time(s, given.of_rows(given.lengths)) for s in found[:series]), *found[series:]]
    kept = past.for_the_next_call()
    if order is not None:
        back = order.argsort()
        found, kept = ([_selected(s, back, given.each) for s in part] for part in (found, kept))
    return found[0], found[1:], kept


def _piece_by_piece(
    given: _Pass, stored: dict[str, Tensor], states: tuple[Tensor, ...], sequences: Sequences, counts: list[int],
    *, kernels: bool,
) -> list[Tensor]:  # fmt: skip
    """The output (T, rows, C), and the final states or every state; products by torch."""
    layer, like = given.layer, given.inputs[0]
    how = How(given.convolution, kernels, [n * given.each for n in counts])
    initial, weights = list(layer.initial.values()), given.weights(stored)
    outputs, every = layer.piecewise[given.k].run(stored, weights, sequences, states, initial, how)
    final = _last(states, every)
    series = [(outputs, layer.output_channels // layer.directions)]
    if given.every:
        series += [([states[i] for states in every], s.shape[-1]) for i, s in enumerate(final)]
    rows = states[0].shape[0]
    found = [torch.stack([_to_the_end(v, rows) for v in s]) if s else like.new_zeros(0, rows, n) for s, n in series]
    return found if given.every else [*found, *final]


def _native(given: _Pass, sequences: Sequences, counts: list[int]) -> list[Tensor] | None:
    """The same by native code; None where it cannot be."""
    layer, counts = given.layer, [n for n in counts if n]
    if not counts:
        return None
    from ..backends import framewise_op  # llvmlite is imported where a kernel is needed

    native = framewise_op.layer_for(layer.piecewise[given.k], tuple(layer.initial.values()))
    stored, leaves = layer.stored_weights(given.k, given.d), native.pieces.sequences
    sequences = sequences.part(0, len(counts))
    tensors = [*(native.pieces.sequence(n, sequences) for n in leaves), *given.states, *stored.values()]
    if native.pieces.refusal or not framewise_op.possible(tensors):
        return None

    def again(*own: Tensor) -> tuple[Tensor, ...]:
        """The same by torch's operations, as a function of these tensors."""
        first, behind = len(leaves), len(leaves) + len(given.states)
        replaced = native.pieces.with_sequences(sequences, own[:first])
        weights = dict(zip(stored, own[behind:], strict=True))
        return tuple(_piece_by_piece(given, weights, own[first:behind], replaced, counts, kernels=False))

    convolution, like = given.convolution, given.inputs[0]
    train = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
    kernels = tuple(layer.kernels.of("W" if term.still else "U") for term in native.terms)
    shape = framewise_op.Shape(
        tuple(counts), len(given.states[0]) // given.each, convolution.space, convolution.dilation,
        convolution.padding_mode, kernels, like.dtype, torch.get_num_threads(), train,
    )  # fmt: skip
    reset = None if sequences.reset is None else sequences.reset[:, :: given.each]
    call = framewise_op.Call(
        native, shape, (len(leaves), len(given.states)), tuple(stored), layer._layers[given.k].layout.views, reset,
        given.every, again,
    )  # fmt: skip
    found = framewise_op.run(call, tensors)
    missing, series = len(like) - len(counts), len(found) if given.every else 1
    whole = [pad(s, (0, 0, 0, 0, 0, missing)) if missing else s for s in found[:series]]
    return [*whole, *found[series:]]


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
