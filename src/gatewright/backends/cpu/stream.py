"""One step at a time: the weights stay packed from call to call, and a call does nothing that could be done before."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .call import Context
from .calls import ForwardCall
from .forward import KEEP, PACK
from .sizes import packed_space, rows_stored, stored_name
from .threads import thread_count

if TYPE_CHECKING:
    from .kernel import Kernel


class Stepper:
    """One step of one layer, for inputs of one shape: `stepper(inputs, states) -> (output, new states)`.

    Weights are packed again when torch says that they have changed; a look at each row finds most of what was changed
    behind its back.
    """

    def __init__(self, kernel: Kernel, inputs: Sequence[Tensor], weights: Sequence[Tensor], states: Sequence[Tensor]):
        sequences = [x.unsqueeze(0) for x in inputs]
        key = (False, False, False, thread_count(), None)
        self.call = ForwardCall(kernel, key, sequences, weights, states)
        self.weights = tuple(weights)
        prepared, shape = self.call.prepared, self.call.shape
        self.function, self.dtype, self.batch = prepared.native.function, kernel.dtype, shape.B
        slot = prepared.slot
        self.wide = self.call.series[0][1]
        names = [s.name for s in self.call.plan.states]
        self.inputs = [self._slot(f"input {k}") for k in range(len(inputs))]
        self.slots = [(self._slot(f"initial {name}"), self._slot(f"final {name}")) for name in names]
        self.output = slot["output 0"]
        self.pack = self._slot("pack")
        self.threads, self.phase = shape.threads, self._slot("phase")
        self.alias = slot.get(f"state {self.call.plan.output_state}") if self.call.run_.alias else None
        self.behind = self.call.run_.alias.time * kernel.dtype.itemsize if self.call.run_.alias else 0
        self._own = threading.local()

    def _slot(self, name: str) -> int:
        """Where a word stands; behind the last one for what the kernel does not ask for."""
        return self.call.prepared.slot.get(name, len(self.call.prepared.template))

    def _context(self) -> _Own:
        """This thread's own words and buffers."""
        own = getattr(self._own, "kept", None)
        if own is None:
            own = self._own.kept = _Own(self)
        return own

    def __call__(self, inputs: Sequence[Tensor], states: Sequence[Tensor]) -> list[Tensor]:
        """[output, new states], each (B, units); inputs and states are contiguous, and nothing is checked."""
        own = getattr(self._own, "kept", None) or self._context()
        words = own.words
        for slot, x in zip(self.inputs, inputs):  # noqa: B905: a call takes a microsecond or two
            words[slot] = x.data_ptr()
        found = [torch.empty(self.batch, self.wide, dtype=self.dtype)]
        for (began, end), old in zip(self.slots, states):  # noqa: B905
            new = torch.empty_like(old)
            words[began], words[end] = old.data_ptr(), new.data_ptr()
            found.append(new)
        words[self.output] = start = found[0].data_ptr()
        if self.alias is not None:
            words[self.alias] = start - self.behind
        versions = [w._version for w in self.weights]
        words[self.pack] = KEEP if versions == own.versions else PACK
        own.versions = versions
        if self.threads > 1:
            own.phase += self.call.prepared.phases
            words[self.phase] = own.phase
        self.function(own.address, self.threads)
        return found


class _Own:
    """What one thread has of a stepper: a context, its scratch and its packed weights."""

    def __init__(self, stepper: Stepper):
        call = stepper.call
        prepared, shape = call.prepared, call.shape
        self.context = Context(prepared)
        self.words, self.address = self.context.words, self.context.address
        scratch, packed = call.scratch, packed_space(shape)
        self.buffers = [torch.zeros(s.total + 64, dtype=stepper.dtype) for s in (scratch, packed)]
        starts = [b.data_ptr() + -b.data_ptr() % 64 for b in self.buffers]
        also = {f"{stored_name(p)} start": stored_name(p) for p, _ in rows_stored(call.plan)}
        self.context.place(prepared.layout.region(scratch, also=also), starts[0])
        self.context.place(prepared.layout.region(packed), starts[1])
        call.parameters.fill(self.context, stepper.weights)
        self.versions: list[int] | None = None
        self.phase = 1
