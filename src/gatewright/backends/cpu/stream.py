"""One step at a time: the weights stay packed from call to call, and a call does nothing that could be done before."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .call import Context
from .calls import ForwardCall
from .forward import KEEP, PACK
from .kernel import Kernel
from .sizes import packed_space, rows_stored, stored_name
from .tables import WHOLE
from .threads import thread_count

_version = Tensor._version.__get__  # pyright: ignore[reportAttributeAccessIssue]  # as a function, to be mapped


@dataclass(frozen=True)
class Level:
    """One layer of a stack: its kernel and its stored weights."""

    kernel: Kernel
    weights: tuple[Tensor, ...]


class Stepper:
    """One step of a stack of layers, for inputs of one shape: `stepper(inputs, states) -> [output, new states]`.

    inputs: (B, features) each, or (features,). states: (layers, B, units) each, or (layers, units). All are
    contiguous and of the kernels' dtype. Weights are packed again when torch says that
    they have changed; a look at some numbers of each panel finds most of what was changed behind its back.
    """

    def __init__(self, levels: Sequence[Level], inputs: Sequence[Tensor], states: Sequence[Tensor]):
        self.levels = tuple(levels)
        self.shape, self.dtype = tuple(inputs[0].shape[:-1]), levels[0].kernel.dtype
        self.weights = tuple(w for level in levels for w in level.weights)
        self.plans = self._planned(inputs, states)
        self.wide = self.plans[-1].wide
        self.out = torch.empty(*self.shape, self.wide, dtype=self.dtype)
        self.shapes = [t.shape for t in (*inputs, *states)]
        self.count = len(self.shapes)
        self._own = threading.local()

    def _planned(self, inputs: Sequence[Tensor], states: Sequence[Tensor]) -> list[_Plan]:
        first, *others = [x.reshape(1, -1, x.shape[-1]) for x in inputs]
        began = [s.reshape(len(self.levels), -1, s.shape[-1])[0] for s in states]
        found = []
        for level in self.levels:
            found.append(_Plan(level, [first, *others], began))
            first = first.new_zeros(1, first.shape[1], found[-1].wide)
        return found

    def __call__(self, inputs: tuple[Tensor, ...], states: tuple[Tensor, ...]) -> list[Tensor] | None:
        """None where the tensors are not like those that it was prepared for."""
        given = inputs + states
        if len(given) != self.count:
            return None
        dtype, starts = self.dtype, []
        for t, shape in zip(given, self.shapes):  # noqa: B905 a step takes microseconds
            if t.dtype is not dtype or type(t) is not Tensor or t.shape != shape or not t.is_contiguous():
                return None
            starts.append(t.data_ptr())
        try:
            own = self._own.kept
        except AttributeError:  # this thread's first step
            own = self._own.kept = [_Own(plan, last=plan is self.plans[-1]) for plan in self.plans]
        found = [torch.empty_like(self.out), *map(torch.empty_like, states)]
        output, *new = map(Tensor.data_ptr, found)
        starts += new
        marks = [*map(_version, self.weights), *map(Tensor.data_ptr, self.weights)]
        for k, one in enumerate(own):
            starts[0] = one.run(k, starts, one.output or output, marks)
        return found


class _Plan:
    """One layer's prepared call, and where its words stand."""

    def __init__(self, level: Level, inputs: Sequence[Tensor], states: Sequence[Tensor], threads: int | None = None):
        kernel = level.kernel
        self.level = level
        how = (False, False, WHOLE, threads or thread_count(), None)
        self.call = call = ForwardCall(kernel, how, inputs, level.weights, states)
        self.wide, self.threads = call.series[0][1], call.shape.threads
        names = [s.name for s in call.plan.states]
        self.slots = [self._slot(f"input {k}") for k in range(len(inputs))]
        self.slots += [self._slot(f"{kind} {name}") for kind in ("initial", "final") for name in names]
        item = kernel.dtype.itemsize
        widths = [n * call.B * item for n in call.state_widths]
        self.steps = [0] * len(inputs) + widths * 2  # from one layer's states to the next one's
        self.output, self.pack, self.phase = (self._slot(name) for name in ("output 0", "pack", "phase"))
        alias = call.run_.alias
        self.alias = self._slot(f"state {call.plan.output_state}") if alias else None
        self.behind = alias.time * item if alias else 0

    def _slot(self, name: str) -> int:
        """Where a word stands; behind the last one for what the kernel does not ask for."""
        return self.call.prepared.slot.get(name, len(self.call.prepared.template))


class _Own:
    """What one thread has of a layer: a context, its scratch and its packed weights."""

    def __init__(self, plan: _Plan, *, last: bool):
        self.plan, call = plan, plan.call
        prepared = call.prepared
        self.context = Context(prepared)
        self.words, self.address, self.function = self.context.words, self.context.address, prepared.native.function
        packed = packed_space(call.shape)
        sizes = [call.scratch.total, packed.total, plan.wide * call.B]
        self.buffers = [torch.zeros(n + 64, dtype=plan.level.kernel.dtype) for n in sizes]
        scratch, panels, output = (b.data_ptr() + -b.data_ptr() % 64 for b in self.buffers)
        self.output = 0 if last else output  # the last layer's goes to the user
        also = {f"{stored_name(p)} start": stored_name(p) for p, _ in rows_stored(call.plan)}
        self.context.place(prepared.layout.region(call.scratch, also=also), scratch)
        self.context.place(prepared.layout.region(packed), panels)
        self.marks: list[int] | None = None
        self.next_phase = 1

    def point(self, k: int, starts: list[int]) -> None:
        """Where layer k finds its inputs, and reads and writes its states."""
        words, plan = self.words, self.plan
        if k:
            starts = [start + k * step for start, step in zip(starts, plan.steps, strict=True)]
        for slot, start in zip(plan.slots, starts):  # noqa: B905 a step takes microseconds
            words[slot] = start

    def run(self, k: int, starts: list[int], output: int, marks: list[int]) -> int:
        """Run one step from and to these addresses; gives where the output is."""
        self.point(k, starts)
        return self.finish(output, marks)

    def finish(self, output: int, marks: list[int]) -> int:
        words, plan = self.words, self.plan
        words[plan.output] = output
        if plan.alias is not None:
            words[plan.alias] = output - plan.behind
        if marks == self.marks:
            words[plan.pack] = KEEP
        else:
            words[plan.pack] = PACK
            self.marks = marks
            self._whole = plan.call.whole(plan.level.weights)
            plan.call.parameters.fill(self.context, self._whole)
        if plan.threads > 1:
            words[plan.phase] = self.next_phase
            self.next_phase += plan.call.prepared.phases
        self.function(self.address, plan.threads)
        return output


class Carried:
    """One step of a stack that keeps its own state: `carried(inputs) -> output`; the state is changed in place.

    states: (layers, B, units) each, contiguous. The rest is as for `Stepper`.
    """

    def __init__(self, levels: Sequence[Level], inputs: Sequence[Tensor], states: Sequence[Tensor]):
        self.stepper = stepper = Stepper(levels, inputs, states)
        self.states = tuple(states)
        self.weights, self.dtype, self.shape = stepper.weights, stepper.dtype, inputs[0].shape
        self.out = stepper.out
        self.layers = [_Own(plan, last=plan is stepper.plans[-1]) for plan in stepper.plans]
        begun = [s.data_ptr() for s in states]
        starts = [*map(Tensor.data_ptr, inputs), *begun, *begun]  # read before they are written
        for k, one in enumerate(self.layers):
            one.point(k, starts)

    def __call__(self, inputs: tuple[Tensor, ...], out: Tensor | None = None) -> Tensor:
        """inputs: as those that it was made with; out: like `self.out`, where the output is written, if given."""
        output = torch.empty_like(self.out) if out is None else out
        marks = [*map(_version, self.weights), *map(Tensor.data_ptr, self.weights)]
        start, address = output.data_ptr(), inputs[0].data_ptr()
        for one in self.layers:
            one.words[one.plan.slots[0]] = address
            address = one.finish(one.output or start, marks)
        return output
