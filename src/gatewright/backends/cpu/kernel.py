"""The kernels of a program, and how they are called.

A kernel is compiled once for all sizes. What a call needs beyond its tensors' addresses follows from its shape, and is
prepared once for each.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, TypeVar

import torch
from torch import Tensor

from ...graph.widths import SCALAR
from ...plan.plan import Plan
from ...plan.program import Program
from .build import planned
from .calls import BackwardCall, ForwardCall
from .halves import has_halves, pays
from .recompute import kept_size, steps_between
from .sizes import FEW, Shape, every_product, saved_space
from .tables import kind_of_rows
from .target import Target, host
from .threads import thread_count

AnyCall = TypeVar("AnyCall", ForwardCall, BackwardCall)

DTYPES = {"float": torch.float32, "double": torch.float64}
WIDE = 512  # units: the weights of wider layers exceed a core's cache
SMALL = 400_000  # multiplications: with fewer, waking a second thread costs more than it brings
PREPARED = 64  # kinds of calls that are kept ready


class Kernel:
    """One program for one dtype: forward and backward over whole sequences.

    Tensors are laid out as the recurrence is defined: inputs (T, B, width) with any strides but the last, which is 1;
    states (B, width); `lengths` (B,); `reset` (T, B). Everything is in the user's order of time.
    """

    def __init__(self, program: Program, real: str, target: Target | None = None):
        self.program, self.real, self.target = program, real, target or host()
        self.code = replace(program, stream=0).text  # where random numbers begin is no part of the code
        self.dtype, self.lanes = DTYPES[real], self.target.lanes(real)
        self.halves = program.halves and has_halves(self.target, real)
        self._forward: dict[tuple, ForwardCall] = {}
        self._backward: dict[tuple, BackwardCall] = {}
        self._lock = threading.Lock()

    def forward(
        self,
        inputs: Sequence[Tensor],
        weights: Sequence[Tensor],
        states: Sequence[Tensor],
        lengths: Tensor | None = None,
        reset: Tensor | None = None,
        seed: int = 0,
        reverse: bool = False,
        train: bool = False,
        *,
        threads: int | None = None,
        unit: bool | None = None,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """([output, final states, every state, records], what backward needs)."""
        rows = kind_of_rows(lengths, inputs[0].shape[0])
        call = self.forward_call(inputs, weights, states, rows, reverse, train, threads=threads, unit=unit)
        return call.run(inputs, weights, states, lengths, reset, seed)

    def forward_call(
        self, inputs, weights, states, rows: str, reverse: bool, train: bool,
        *, threads: int | None = None, unit: bool | None = None, discards: bool = False,
    ) -> ForwardCall:  # fmt: skip
        """What is prepared for calls of this kind; rows say how lengths go on."""
        key = (train, reverse, rows, threads or thread_count(), unit, discards, *_shapes(inputs, weights, states))
        call = self._forward.get(key)
        if call is None:
            call = self._keep(self._forward, key, ForwardCall(self, key, inputs, weights, states, discards=discards))
        return call

    def backward(
        self,
        saved: Sequence[Tensor],
        inputs: Sequence[Tensor],
        weights: Sequence[Tensor],
        states: Sequence[Tensor],
        outputs: Sequence[Tensor],
        lengths: Tensor | None,
        reset: Tensor | None,
        seed: int,
        reverse: bool,
        grads: Sequence[Tensor | None],
        needs: Sequence[bool],
        *,
        threads: int | None = None,
        unit: bool | None = None,
    ) -> list[Tensor | None]:
        """The gradients of inputs, weights and states; None where none was asked for."""
        rows, wanted = kind_of_rows(lengths, inputs[0].shape[0]), tuple(needs[: len(inputs)])
        call = self.backward_call(inputs, weights, states, rows, reverse, wanted, threads=threads, unit=unit)
        return call.run(saved[0], inputs, weights, states, outputs, lengths, reset, seed, grads, needs)

    def backward_call(
        self, inputs, weights, states, rows: str, reverse: bool, wanted: tuple[bool, ...],
        *, threads: int | None = None, unit: bool | None = None,
    ) -> BackwardCall:  # fmt: skip
        """What is prepared for calls of this kind; wanted are the gradients of inputs."""
        key = (True, reverse, rows, threads or thread_count(), unit, *_shapes(inputs, weights, states), wanted)
        call = self._backward.get(key)
        if call is None:
            call = self._keep(self._backward, key, BackwardCall(self, key, inputs, weights, states))
        return call

    def _keep(self, calls: dict[tuple, AnyCall], key: tuple, call: AnyCall) -> AnyCall:
        with self._lock:
            while len(calls) >= PREPARED:
                del calls[next(iter(calls))]
            calls[key] = call
        return call

    def shape(self, planned_: Plan, T: int, B: int, threads: int, unit: bool | None, inputs, states, stored) -> Shape:
        """The numbers of a call; `inputs`, `states` and `stored` are the tensors' shapes."""
        count = len(self.program.graph.inputs)
        sizes = self.program.sizes(
            tuple(s[-1] for s in inputs[:count]), tuple(s[-1] for s in states), tuple(map(tuple, stored))
        )
        item, panels = self.dtype.itemsize, len(self.target.tile_rows)
        shape = Shape(planned_, sizes, T, B, self.lanes, item, panels, threads, bool(unit))
        if SCALAR in planned_.forward.slots:
            unit = False  # sums of products that every thread needs: they must not add to the same place
            shape = replace(shape, unit=False)
        if unit is None:
            work = sum(shape.operand(p) * shape.padded(p.width) * len(p.params) for p in every_product(planned_))
            widest = max((shape.units(w) for w in planned_.forward.panels), default=1)
            threads = 1 if work * T * B < SMALL else threads
            # one thread that takes all units, too, multiplies the inputs of many steps at once: a row alone is slow
            split = FEW * threads > B or (threads > 1 and widest >= WIDE)
            shape = replace(shape, threads=threads, unit=split)
        return replace(shape, halves=pays(shape)) if self.halves else shape

    def code_of(self, shape: Shape) -> str:
        """The text of what runs a call."""
        return (self.program if shape.halves else self.program.exact).text


@lru_cache(maxsize=256)
def _kernel(text: str, real: str, target: Target) -> Kernel:
    return Kernel(Program.parse(text), real, target)


def kernel_for(program: Program, real: str) -> Kernel:
    """The kernel of a program; made once, whether all is saved or not."""
    return _kernel(program.saving.text, real, host())


def saved_size(program: Program, real: str, T: Any, B: Any, inputs: tuple, stored: tuple, states: tuple) -> Any:
    """How many elements forward saves, from widths and shapes; T and B may be symbols, and so is the number then."""
    kernel = kernel_for(program, real)
    count = len(program.graph.inputs)
    sizes = program.sizes(tuple(inputs[:count]), tuple(states), tuple(map(tuple, stored)))
    if program.recompute is not None and (k := steps_between(program, T, B)) < T:
        return kept_size(k, T, B, [sizes.of_state(s.name) for s in program.graph.states])
    shape = Shape(planned(program, train=True), sizes, T, B, kernel.lanes, 0, 0, thread_count(), False)
    return saved_space(shape).total


def _shapes(inputs: Sequence[Tensor], weights: Sequence[Tensor], states: Sequence[Tensor]) -> list:
    """All that one kind of call has in common: layers of any size share a kernel."""
    return [*[(x.shape, x.stride()) for x in inputs], *[w.shape for w in weights], *[s.shape for s in states]]
