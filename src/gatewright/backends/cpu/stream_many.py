"""One step at a time of many networks: each keeps its state and its packed weights, and one call runs them all."""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import c_int32, c_void_p, cast

import numpy as np
import torch
from torch import Tensor

from .build import library
from .forks import forked
from .forward import KEEP, PACK
from .kernel import SMALL
from .stream import Level, _Own, _Plan
from .threads import MANY, thread_count

Marks = tuple[list[int], list[int]]


class CarriedMany:
    """One step of n networks that keep their own states: `carried((input,)) -> output`; states are changed in place.

    levels: with the weights of all networks, (n, …) each. input: as it will be given, with an axis of time or not;
    step: the same without one, (B, features) or (features,) for all networks, or (n, B, features). states: (n, layers,
    B, units) each, or (n, layers, units), contiguous.
    """

    def __init__(self, levels: Sequence[Level], input: Tensor, step: Tensor, states: Sequence[Tensor], shares: int):
        self.states, self.shape, self.dtype = tuple(states), input.shape, levels[0].kernel.dtype
        self.weights = tuple(w for level in levels for w in level.weights)
        n, own = len(states[0]), step.dim() == 3
        first = (step[0] if own else step).reshape(1, -1, step.shape[-1])
        apart = first[0].numel() if own else 0
        self.layers: list[_Layer] = []
        for k, level in enumerate(levels):
            last = k == len(levels) - 1
            began = [s.view(n, len(levels), -1, s.shape[-1])[:, k] for s in states]
            made = _Layer(level, first, began, apart, shares, last=last)
            self.layers.append(made)
            first, apart = first.new_zeros(1, first.shape[1], made.plan.wide), first.shape[1] * made.plan.wide
        self.out = torch.empty(*(() if own else (n,)), *input.shape[:-1], self.layers[-1].plan.wide, dtype=self.dtype)

    def __call__(self, inputs: tuple[Tensor, ...], out: Tensor | None = None) -> Tensor:
        """inputs: one, as that which it was made with; out: like `self.out`, where the output is written, if given."""
        output = torch.empty_like(self.out) if out is None else out
        marks = [w._version for w in self.weights], [*map(Tensor.data_ptr, self.weights)]
        start, address = output.data_ptr(), inputs[0].data_ptr()
        for layer in self.layers:
            address = layer.run(address, start, marks)
        return output


class _Layer:
    """One layer of every network, and the words of all their calls in one table.

    began: the states of each network, (n, B, units). apart: how many numbers lie from one network's input to the next.
    """

    def __init__(self, level: Level, x: Tensor, began: Sequence[Tensor], apart: int, shares: int, *, last: bool):
        n, item = len(began[0]), level.kernel.dtype.itemsize
        one = Level(level.kernel, tuple(w[0] for w in level.weights))
        self.weights, self.plan = level.weights, _Plan(one, [x], [s[0] for s in began], threads=1)
        self.each = [_Own(self.plan, last=True) for _ in range(n)]
        plan = self.plan
        for i, network in enumerate(self.each):
            starts = [s[i].data_ptr() for s in began]
            network.point(0, [0, *starts, *starts])
        size = x.shape[1] * plan.wide
        self.between = None if last else torch.empty(n * size, dtype=level.kernel.dtype)
        index = np.arange(n, dtype=np.int64)
        self.inputs, self.outputs = index * (apart * item), index * (size * item)
        self.table = np.empty((n, len(self.each[0].context.view)), dtype=np.int64)
        address = cast(plan.call.prepared.native.function, c_void_p).value  # pyright: ignore[reportArgumentType]
        words = self.table.shape[1]
        self.job = np.array([address, self.table.ctypes.data, words, n, shares], dtype=np.int64)
        self.start, self.shares = self.job.ctypes.data, shares
        self.function = library(level.kernel.real, level.kernel.target).function(MANY, c_void_p, c_int32)
        self.marks: Marks | None = None

    def run(self, address: int, output: int, marks: Marks) -> int:
        """One step of all networks from an address; gives where the output is, the given place if it is the last."""
        table, plan = self.table, self.plan
        if marks != self.marks:
            self._point_to_weights()
            self.marks = marks
            table[:, plan.pack] = PACK
        else:
            table[:, plan.pack] = KEEP
        target = output if self.between is None else self.between.data_ptr()
        table[:, plan.slots[0]] = self.inputs + address
        table[:, plan.output] = self.outputs + target
        if plan.alias is not None:
            table[:, plan.alias] = self.outputs + (target - plan.behind)
        self.function(self.start, 1 if forked() else self.shares)
        return target

    def _point_to_weights(self) -> None:
        for i, network in enumerate(self.each):
            network._whole = self.plan.call.whole([w[i] for w in self.weights])
            self.plan.call.parameters.fill(network.context, network._whole)
            self.table[i] = network.context.view


def carried_many(levels: Sequence[Level], input: Tensor, step: Tensor, states: Sequence[Tensor]) -> CarriedMany | None:
    """None where all threads should work on one network after the other: few large ones."""
    n, work = len(states[0]), step[..., 0].numel() * sum(w[0].numel() for level in levels for w in level.weights)
    if 2 * n <= thread_count() and work >= SMALL:
        return None
    return CarriedMany(levels, input, step, states, min(n, thread_count()) if n * work >= SMALL else 1)
