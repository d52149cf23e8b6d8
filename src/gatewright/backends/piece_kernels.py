"""A piece's kernel, held ready for one step after the other: a call writes a few addresses and enters it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..plan.program import Program
from .cpu.call import Context
from .cpu.kernel import kernel_for
from .cpu.memory import workspace
from .cpu.tables import WHOLE
from .cpu.threads import thread_count

MANY = 20_000  # units of all inputs, with fewer waking a second thread costs more than it brings
Strided = tuple[int, int]
"""A width, and how far apart rows lie."""


class Held:
    """A prepared call of one step, and a context of its own.

    changing: what it remembers of its words that others change.
    """

    changing: tuple = ()

    def __init__(self, call):
        self.call, self.prepared = call, call.prepared
        self.context = Context(self.prepared)  # its strides are not those of others
        self.words, self.threads = self.context.words, call.shape.threads
        self.address = self.context.address
        self.function = self.prepared.native.function
        self.phase = self.prepared.slot.get("phase")

    def enter(self) -> None:
        if self.phase is not None:
            self.words[self.phase] = self.context.phase
            self.context.phase += self.prepared.phases
        self.function(self.address, self.threads)

    def repeated(self, count: int) -> None:
        """It has been entered so many times by somebody else, who has changed its words."""
        self.context.phase += count * self.prepared.phases
        for key in self.changing:
            self.context.known.pop(key, None)

    def read(self, params: Sequence[Tensor]) -> None:
        """Begin a sequence: where the parameters are, and this thread's scratch."""
        scratch = self.context.known["scratch"] = workspace(
            self.prepared.name, self.prepared.scratch_size, self.prepared.dtype
        )
        self.context.place(self.prepared.scratch, scratch.data_ptr())
        self.call.parameters.fill(self.context, params)


def _like(rows: int, sizes: Sequence[Strided]) -> list[Tensor]:
    return [torch.empty_strided((1, rows, n), (rows * ld, ld, 1), device="meta") for n, ld in sizes]


def _threads(rows: int, sizes: Sequence[Strided]) -> int:
    return thread_count() if rows * sum(n for n, _ in sizes) >= MANY else 1


class Forward(Held):
    """One step of so many rows.

    Args:
        program: the piece; its parameters are stored one by one.
        real: "float" or "double".
        rows: how many.
        inputs: the width of each input, and how far apart its rows lie.
        states: the width of each state; their rows, and the output's, lie side by side.
        params: the parameters.
        train: whether backward will follow.
    """

    def __init__(self, program: Program, real: str, rows: int, inputs, states: Sequence[int], params, *, train: bool):
        old = [torch.empty(rows, n, device="meta") for n in states]
        how = {"threads": _threads(rows, inputs), "unit": False}
        super().__init__(
            kernel_for(program, real).forward_call(_like(rows, inputs), params, old, WHOLE, False, train, **how)
        )
        self.train = train
        self.changing = (self.call.saved_region,) if train else ()
        self.at_output = self.call.at_series[0][0]

    @property
    def saved(self) -> int:
        """How many elements a step leaves for backward."""
        return self.call.saved.total if self.train else 0

    def run(self, inputs: Sequence[int], output: int, initial: Sequence[int], final: Sequence[int], saved: int) -> None:
        """All are addresses."""
        words, call = self.words, self.call
        if self.train:
            self.context.place(call.saved_region, saved)
        for slots, starts in ((call.at_inputs, inputs), (call.at_initial, initial), (call.at_final, final)):
            for slot, start in zip(slots, starts):  # noqa: B905 a step takes microseconds
                words[slot] = start
        words[self.at_output] = output
        if call.at_alias is not None:
            words[call.at_alias] = output - call.before_first
        self.enter()


class Backward(Held):
    """The gradients of one step of so many rows; gradients have their rows in whole vectors."""

    def __init__(
        self, program: Program, real: str, rows: int, inputs, adjoints: Sequence[int], states: Sequence[Strided],
        output: int, params: Sequence[Tensor],
    ):  # fmt: skip
        old = [torch.empty(rows, n, device="meta") for n, _ in states]
        how = {"threads": _threads(rows, inputs), "unit": False}
        wanted = (True,) * len(inputs)
        super().__init__(
            kernel_for(program, real).backward_call(_like(rows, inputs), params, old, WHOLE, False, wanted, **how)
        )
        call, at, words = self.call, self.prepared.at, self.words
        for kind in ("final", "initial_adjoint"):
            for s, (_, ld) in zip(call.plan.states, states, strict=True):
                words[at(f"{kind} {s.name} batch")] = ld
        for k, ld in enumerate(adjoints):
            words[at(f"input_adjoint {k} row")] = ld
            words[at(f"input_adjoint {k} step")] = words[at(f"dinput_adjoint {k} step")] = rows * ld
            words[at(f"dinput_adjoint {k} batch")] = ld
        self.changing = (call.saved_region, call.gradients)
        self.at_given = at("given output")
        self.nothing = self.prepared.nothing.data_ptr()
        self.given = [(at("given output time"), 0), (at("given output step"), 0), (at("given output batch"), output)]
        self.has_gradient, self.lds = call.has_gradient, tuple(adjoints)

    def into(self, gradients: Sequence[Tensor]) -> None:
        """Where the parameters' gradients go."""
        self.call.gradients.fill(self.context, gradients)

    def run(
        self, saved: int, inputs: Sequence[int], output: int, given: int | None, final: Sequence[int],
        dinputs: Sequence[int], initial: Sequence[int],
    ) -> None:  # fmt: skip
        """All are addresses; `output` is what forward gave, `given` its gradient, if it has one of its own."""
        words, call = self.words, self.call
        self.context.place(call.saved_region, saved)
        for slot, operand, start in zip(call.at_inputs, call.at_operands, inputs):  # noqa: B905
            words[slot] = start
            if operand is not None:
                words[operand] = start
        if call.at_alias is not None:
            words[call.at_alias] = output - call.before_first
        words[self.at_given] = self.nothing if given is None else given
        for slot, step in self.given:
            words[slot] = 0 if given is None else step
        for (straight, slot, _), start in zip(call.at_dinputs, dinputs):  # noqa: B905
            words[straight] = words[slot] = start
        for slots, starts in ((call.at_final, final), (call.at_initial_adjoint, initial)):
            for slot, start in zip(slots, starts):  # noqa: B905
                words[slot] = start
        self.enter()
