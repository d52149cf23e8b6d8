"""Long sequences in little memory: forward keeps the states at every k-th step, backward computes the rest again.

Forward runs as in inference, chunk by chunk, and keeps the states between two chunks. Backward goes through the chunks
from the end: forward again, now saving all that backward needs; then backward, from the adjoint of the chunk's last
state to that of its first. Outputs and the gradients of inputs are written into slices of one tensor each, the
gradients of weights are added up in place, and all else has the size of one chunk.

Source: T. Chen, B. Xu, C. Zhang and C. Guestrin, Training deep nets with sublinear memory cost, arXiv 1604.06174, 2016.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ...plan import chances
from ...plan.program import Program
from ..philox import STEPS
from .memory import result, saved_buffer
from .tables import WHOLE, Tables, is_permuted, kind_of_rows

if TYPE_CHECKING:
    from .calls import BackwardCall, ForwardCall
    from .kernel import Kernel

ROWS = 1024
"""Rows of a chunk at least: with fewer, packing the weights again for each chunk would be seen."""


def steps_between(program: Program, T: Any, B: Any) -> Any:
    """Steps from one kept state to the next, as the program asks; 0 leaves it to us.

    Memory is T/k states and what k steps save: least at about √T. Where a step draws masks, k is a multiple of 8, the
    steps that share random numbers. T and B may be symbols, and so is the number then.
    """
    k = program.recompute
    if not k:
        root = math.ceil(torch.sym_sqrt(T)) if isinstance(T, torch.SymInt) else math.isqrt(max(T - 1, 0)) + 1
        k = max(root, -(-ROWS // max(B, 1)))
    return -(-k // STEPS) * STEPS if _draws_at_steps(program) else k


@lru_cache(maxsize=1024)
def _draws_at_steps(program: Program) -> bool:
    return any(per_step for _, _, _, per_step in (n.attr for n in chances(program.graph)))


def kept_size(k: Any, T: Any, B: Any, widths: Sequence[int]) -> Any:
    """How many elements forward keeps: the states behind each chunk but the last."""
    return (T - 1) // k * B * sum(widths)


class Recomputing:
    """A kernel that keeps few states; called as a `Kernel`. Where one chunk holds all steps, all is saved."""

    def __init__(self, kernel: Kernel, program: Program):
        self.kernel, self.program = kernel, program

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
        **split,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """As `Kernel.forward`; what backward needs are the kept states."""
        T, B = inputs[0].shape[:2]
        k = steps_between(self.program, T, B)
        if not train or k >= T:
            return self.kernel.forward(inputs, weights, states, lengths, reset, seed, reverse, train, **split)
        chunks = _Chunks(self.kernel, k, inputs, weights, states, lengths, reset, reverse, split)
        return chunks.forward(seed)

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
        **split,
    ) -> list[Tensor | None]:
        """As `Kernel.backward`; outputs are not looked at."""
        T, B = inputs[0].shape[:2]
        k = steps_between(self.program, T, B)
        if k >= T:
            rest = (lengths, reset, seed, reverse, grads, needs)
            return self.kernel.backward(saved, inputs, weights, states, outputs, *rest, **split)
        chunks = _Chunks(self.kernel, k, inputs, weights, states, lengths, reset, reverse, split)
        return chunks.backward(saved[0], seed, grads, needs)


class _Chunks:
    """One call in chunks of k steps, counted in the order of processing; there are at least two."""

    def __init__(self, kernel: Kernel, k: int, inputs, weights, states, lengths, reset, reverse: bool, split: dict):
        self.kernel, self.inputs, self.weights, self.reverse, self.split = kernel, inputs, weights, reverse, split
        self.states = [s if s.is_contiguous() else s.contiguous() for s in states]
        self.T, self.B = inputs[0].shape[:2]
        self.bounds = [(t0, min(t0 + k, self.T)) for t0 in range(0, self.T, k)]
        self.rows = kind_of_rows(lengths, self.T)
        self.ragged, self.permuted = self.rows != WHOLE, is_permuted(self.rows, reverse=reverse)
        first = self._forward_call(0, train=False)
        self.tables: Tables = first.tables(lengths, reset, self.T)
        self.whole = first.whole(weights)

    # -- parts of what is whole ----------------------------------------------------------------------

    def _part(self, series: Tensor, c: int) -> Tensor:
        """Chunk c of a series (T, B, …); where sequences are permuted it is all of it, and tables tell the steps."""
        t0, t1 = self.bounds[c]
        if self.permuted:
            return series
        return series[self.T - t1 : self.T - t0] if self.reverse else series[t0:t1]

    def _inputs(self, c: int) -> list[Tensor]:
        return [self._part(x, c) for x in self.inputs]

    def _shaped(self, c: int) -> list[Tensor]:
        """Inputs of as many steps as chunk c has."""
        t0, t1 = self.bounds[c]
        return [x[: t1 - t0] for x in self.inputs]

    def _tables(self, c: int) -> Tables:
        return self.tables.part(*self.bounds[c], reverse=self.reverse)

    def _began(self, kept: Sequence[Tensor], c: int) -> list[Tensor]:
        """The states before chunk c."""
        return [s[c - 1] for s in kept] if c else self.states

    def _kept(self, flat: Tensor) -> list[Tensor]:
        """For each state those behind each chunk but the last: (chunks − 1, B, units), one behind the other."""
        count = len(self.bounds) - 1
        sizes = [count * s.numel() for s in self.states]
        return [part.view(count, *s.shape) for part, s in zip(flat.split(sizes), self.states, strict=True)]

    def _forward_call(self, c: int, *, train: bool) -> ForwardCall:
        """Chunk c's; in training only what backward needs is looked at."""
        given = self._shaped(c), self.weights, self.states
        return self.kernel.forward_call(*given, self.rows, self.reverse, train, discards=train, **self.split)

    def _backward_call(self, c: int, wanted: Sequence[bool]) -> BackwardCall:
        given = self._shaped(c), self.weights, self.states
        return self.kernel.backward_call(*given, self.rows, self.reverse, tuple(wanted), **self.split)

    # -- forward ---------------------------------------------------------------------------------------

    def forward(self, seed: int) -> tuple[list[Tensor], list[Tensor]]:
        dtype, last = self.kernel.dtype, len(self.bounds) - 1
        flat = saved_buffer(last * sum(s.numel() for s in self.states), dtype)
        kept, finals = self._kept(flat), [torch.empty_like(s) for s in self.states]
        series = [result((self.T, self.B, n), dtype) for _, n in self._forward_call(0, train=False).series]
        if self.ragged:
            for t in series:
                t.zero_()
        for c in range(last + 1):
            ends = [s[c] for s in kept] if c < last else finals
            parts = [self._part(t, c) for t in series]
            self._forward_call(c, train=False).fill(
                self._inputs(c), self.whole, self._began(kept, c), self._tables(c), seed, (), parts, ends
            )
        return [series[0], *finals, *series[1:]], [flat]

    # -- backward --------------------------------------------------------------------------------------

    def backward(self, flat: Tensor, seed: int, grads, needs: Sequence[bool]) -> list[Tensor | None]:
        kept, n, wanted = self._kept(flat), 1 + len(self.states), needs[: len(self.inputs)]
        again, back = self._forward_call(0, train=True), self._backward_call(0, wanted)
        # What lies behind an end is 0 from the beginning: no chunk behind has written there.
        saved, series = saved_buffer(again.saved.total, self.kernel.dtype), again.series_made()
        dinputs = back.inputs_made(self._shaped(0), self.T)
        dweights, more = back.weights_made(), back.weights_made()
        dstates, rooms, ends = (
            back.given_finals(grads[1:n]),
            (back.states_made(), back.states_made()),
            back.states_made(),
        )
        last = len(self.bounds) - 1
        for c in range(last, -1, -1):
            inputs, began, tables = self._inputs(c), self._began(kept, c), self._tables(c)
            self._forward_call(c, train=True).fill(inputs, self.whole, began, tables, seed, (saved,), series, ends)
            given = [g if g is None else self._part(g, c) for g in (grads[0], *grads[n:])]
            parts = [self._part(d, c) if w else d for d, w in zip(dinputs, wanted, strict=True)]
            adjoints, dstates = dstates, rooms[c % 2]
            self._backward_call(c, wanted).fill(
                saved, inputs, self.whole, series, tables, seed, given, adjoints, parts,
                dweights if c == last else more, dstates,
            )  # fmt: skip
            if c < last:
                for total, part in zip(dweights, more, strict=True):
                    total.add_(part)
        found = [*dinputs, *back.parts(dweights), *dstates]
        return [g if needed else None for g, needed in zip(found, needs, strict=True)]
