"""Layers of convolutions by native code, as one operation of autograd for a whole sequence in one direction.

First derivatives are native. Derivatives of derivatives, and those for many cotangents at once, are those of the same
pieces by torch's operations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from .cpu.op import _forward_mode, _is_batched
from .cpu.operators import _unwatched
from .framewise import Given, Layer, Run, Shape
from .framewise_back import Back, Gradients
from .piecewise import Piecewise
from .vendor import in_transform

Outputs = tuple[Tensor, ...]
Named = Mapping[str, Tensor]


@dataclass(frozen=True)
class Call:
    """One call but for its tensors.

    layer, shape: what runs.
    counts: how many tensors are sequences and states; the others are stored weights.
    names: of the stored weights.
    views: each parameter by its name, from the stored weights by theirs.
    reset: (T, batch), in the order of processing.
    every: whether each state is given at every step, in the place of the last one.
    again: the same by torch's operations.
    """

    layer: Layer
    shape: Shape
    counts: tuple[int, int]
    names: tuple[str, ...]
    views: Callable[[dict[str, Tensor]], dict[str, Tensor]]
    reset: Tensor | None
    every: bool
    again: Callable[..., Outputs]

    def split(self, tensors: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any]]:
        a, b = self.counts[0], sum(self.counts)
        return tensors[:a], tensors[a:b], tensors[b:]

    # -- steps side by side, and one behind the other ------------------------------------------------

    def _whole(self) -> bool:
        return self.shape.counts[-1] == self.shape.batch

    def _index(self) -> Tensor:
        """Which frames of (T · batch) are there."""
        batch = self.shape.batch
        return torch.cat([torch.arange(n) + t * batch for t, n in enumerate(self.shape.counts)])

    def packed(self, x: Tensor) -> Tensor:
        """(T, batch · pixels, C) as the frames that are there, (frames · pixels, C)."""
        if self._whole():
            return x.reshape(-1, x.shape[-1]).contiguous()
        apart = x.reshape(-1, prod(self.shape.space), x.shape[-1])
        return apart.index_select(0, self._index()).flatten(0, 1)

    def apart(self, rows: Tensor) -> Tensor:
        """The inverse; 0 behind a sequence's end."""
        steps, width = len(self.shape.counts), rows.shape[-1]
        if self._whole():
            return rows.reshape(steps, -1, width)
        found = rows.new_zeros(steps * self.shape.batch, prod(self.shape.space), width)
        found.index_copy_(0, self._index(), rows.reshape(-1, prod(self.shape.space), width))
        return found.reshape(steps, -1, width)

    # -- forward and backward ------------------------------------------------------------------------

    def given(self, tensors: Sequence[Tensor]) -> Given:
        sequences, states, stored = self.split([t.detach() for t in tensors])
        by_name = dict(zip(self.names, stored, strict=True))
        weights, layer = self.views(by_name), self.layer
        matrices = [t.group.matrix(t.place, layer.pieces.table, by_name, weights) for t in layer.terms]
        maps = [weights[n.attr.name].flatten(1).T for n in layer.pieces.mapped]
        return Given(
            [self.packed(x) for x in sequences],
            [s.contiguous() for s in states],
            matrices,
            {name: weights[name].contiguous() for name in layer.params},
            [rows.repeat(self.shape.batch, 1) for rows in maps],
            self.reset,
        )

    def outputs(self, run: Run) -> Outputs:
        layer, found = self.layer, {}
        for n, slot in run.results.items():
            shared = n in layer.read or n in found
            found[n] = slot.tensor.clone() if shared and self.shape.train else slot.tensor
        output = _alias(self.apart(found[layer.graph.output]))
        if self.every:
            return output, *(self.apart(found[s.new].clone()) for s in layer.states)
        return output, *(self._last(run, k) for k in range(len(layer.states)))

    def _last(self, run: Run, k: int) -> Tensor:
        """Each sequence's state at its end."""
        rows, pixels, counts = run.results[self.layer.states[k].new].tensor, run.pixels, (*self.shape.counts, 0)
        parts = [
            rows[(begin + after) * pixels : (begin + now) * pixels]
            for begin, now, after in zip(run.begins, counts, counts[1:], strict=False)
            if after < now
        ]
        return torch.cat([*reversed(parts), run.given.states[k][counts[0] * pixels :]])

    def gradients(
        self, run: Run, tensors: Sequence[Tensor], grads: Sequence[Tensor | None], needs: Sequence[bool]
    ) -> list[Tensor | None]:
        output, *states = (None if g is None else g for g in grads)
        packed = None if output is None else self.packed(output)
        nothing = [None] * len(states)
        every = [None if g is None else self.packed(g) for g in states] if self.every else nothing
        found = Back(run, needs[: self.counts[0]], packed, nothing if self.every else states, every).run()
        sequences = [None if g is None else self.apart(g) for g in found.sequences]
        stored = self._stored(run, found, self.split(tensors)[2])
        return [g if needed else None for g, needed in zip((*sequences, *found.states, *stored), needs, strict=True)]

    def _stored(self, run: Run, found: Gradients, like: Sequence[Tensor]) -> list[Tensor]:
        """The gradients of the stored weights, from those of their parts."""
        layer = self.layer
        stored = {name: torch.zeros_like(t) for name, t in zip(self.names, like, strict=True)}
        views = self.views(stored)
        for term, weight in zip(layer.terms, found.weights, strict=True):
            names = term.group.matrices[term.place]
            for name, part in zip(names, weight.split(term.group.rows), strict=True):
                views[name].add_(part)
        for name, part in found.params.items():
            views[name].add_(part)
        for n, part in zip(layer.pieces.mapped, found.maps, strict=True):
            each = part.reshape(self.shape.batch, run.pixels, -1).sum(0).T
            views[n.attr.name].add_(each.reshape(views[n.attr.name].shape))
        return list(stored.values())


def _alias(t: Tensor) -> Tensor:
    """The same memory, of which autograd does not know that it is a part of anything."""
    return t.new_empty(0).set_(t.untyped_storage(), t.storage_offset(), t.shape, t.stride())


class _Sequence(torch.autograd.Function):
    @staticmethod
    def forward(ctx, call: Call, *tensors: Tensor) -> Outputs:
        run = Run(call.layer.setup(call.shape), call.given(tensors))
        run.run()
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors)
        ctx.call, ctx.run = call, run
        return call.outputs(run)

    @staticmethod
    def backward(ctx, *grads):  # pyright: ignore[reportIncompatibleMethodOverride]
        call, tensors, needs = ctx.call, ctx.saved_tensors, ctx.needs_input_grad[1:]
        if all(g is None for g in grads):
            return (None,) * (1 + len(needs))
        if torch.is_grad_enabled() or _forward_mode() or any(g is not None and _is_batched(g) for g in grads):
            return None, *_by_torch(call, tensors, grads, needs)
        return None, *call.gradients(ctx.run, tensors, grads, needs)


def _by_torch(call: Call, tensors, grads, needs) -> list[Tensor | None]:
    """The gradients by torch's operations: they can be differentiated again."""
    with torch.enable_grad():
        own = [t.view_as(t) if needed else t for t, needed in zip(tensors, needs, strict=True)]
        found = [(y, g) for y, g in zip(call.again(*own), grads, strict=True) if g is not None and y.requires_grad]
        asked = [t for t, needed in zip(own, needs, strict=True) if needed]
        ys, gs = zip(*found, strict=True)
        rest = iter(torch.autograd.grad(ys, asked, gs, create_graph=torch.is_grad_enabled(), allow_unused=True))
    return [next(rest) if needed else None for needed in needs]


_LAYERS: WeakKeyDictionary[Piecewise, Layer] = WeakKeyDictionary()


def layer_for(pieces: Piecewise, initial: tuple[float, ...]) -> Layer:
    """What native code has to know of a layer; made once, and no part of what is copied or saved."""
    if pieces not in _LAYERS:
        _LAYERS[pieces] = Layer(pieces.whole(), initial)
    return _LAYERS[pieces]


def possible(tensors: Sequence[Tensor]) -> bool:
    """Whether nobody traces, transforms or listens: then native code runs all at once."""
    return not in_transform() and not _forward_mode() and _unwatched(tensors)


def run(call: Call, tensors: Sequence[Tensor]) -> Outputs:
    """The output (T, batch · pixels, C), and each final state (batch · pixels, C) or each state at every step."""
    if call.shape.train:
        return _Sequence.apply(call, *tensors)  # pyright: ignore[reportReturnType]
    native = Run(call.layer.setup(call.shape), call.given(tensors))
    native.run()
    return call.outputs(native)
