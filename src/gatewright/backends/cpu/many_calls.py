"""The calls of many networks: one kernel once for each, on the threads of one team.

A kernel is called with an array of words. From one network to the next only addresses differ, each by a fixed number
of bytes: a call fills in the first network's words, adds a table that was made ahead, and enters the team once. Each
thread takes its share of the networks and never waits for another; the networks of a share have the same scratch, one
after the other, so that it stays in the cache.

One matrix with a block for each network was tried instead. For 16 units and one sequence it takes up to a third less
time, for 64 units up to 5 times more, and sums over units would have to know of the blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import c_int32, c_void_p, cast
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from .build import library
from .call import Context, Parameters, Region
from .calls import BackwardCall, ForwardCall
from .memory import result, saved_buffer
from .tables import Tables
from .threads import MANY
from .words import is_straight

if TYPE_CHECKING:
    from .kernel import Kernel

Tensors = Sequence[Tensor]
AnyCall = ForwardCall | BackwardCall


class Beside(Tables):
    """The first network's tables, those of all (where they differ), and the seed of each."""

    of_all: tuple[Tables, ...] = ()
    seeds: Tensor | None = None


class _OneOfMany(Context):
    """One network's row of a table of words, to be filled in as a context is."""

    def __init__(self, row: np.ndarray):
        self.words = row  # pyright: ignore[reportAttributeAccessIssue]


class _Others:
    """The words of all networks, as what they are beyond the first one's; made ahead."""

    def __init__(self, call: AnyCall, networks: int, shares: int):
        prepared, self.call, self.shares = call.prepared, call, shares
        self.item, self.index = prepared.shape.item, np.arange(networks)
        self.apart = np.zeros((networks, len(prepared.template) + 1), dtype=np.int64)
        firsts = [share * networks // shares for share in range(shares + 1)]
        share = np.repeat(np.arange(shares), np.diff(firsts))
        self.apart[:, prepared.scratch.slots] = share[:, None] * prepared.scratch_size * self.item
        prepared.name, prepared.scratch_size = f"{prepared.name} of many", prepared.scratch_size * shares
        address = cast(prepared.native.function, c_void_p).value  # pyright: ignore[reportArgumentType]
        self.job = np.array([address, 0, self.apart.shape[1], networks, shares], dtype=np.int64)
        self.function = library(call.kernel.real, call.kernel.target).function(MANY, c_void_p, c_int32)

    def step(self, slot: int, elements: int) -> None:
        """From one network to the next this word goes on by so many elements."""
        self.apart[:, slot] = self.index * (elements * self.item)

    def step_region(self, region: Region, elements: int) -> None:
        self.apart[:, region.slots] = self.index[:, None] * (elements * self.item)

    def step_parameters(self, parameters: Parameters, elements: Sequence[int]) -> None:
        for slot, k, _ in parameters.places:
            self.apart[:, slot] = self.index * (elements[k] * self.item)

    def run(self, context: Context, beside: Beside, later: Sequence[tuple[int, int]] = ()) -> None:
        """Run all networks; `later` are slots, and by how many elements they step in this very call."""
        table = self.apart + context.view
        for slot, elements in later:
            table[:, slot] += self.index * (elements * self.item)
        for words, tables in zip(table, beside.of_all, strict=False):
            self.call._point(_OneOfMany(words), tables, 0)
        if beside.seeds is not None and self.call.plan.chances:
            table[:, self.call.prepared.at("seed")] = beside.seeds.numpy()
        job = self.job.copy()
        job[1] = table.ctypes.data
        self.function(job.ctypes.data, self.shares)
        self.call.prepared._free.append(context)


def _first(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [t[0] for t in tensors]


def _beside(call: AnyCall, lengths: Tensor | None, reset: Tensor | None, seeds: Tensor | None) -> Beside:
    given = [t for t in (lengths, reset) if t is not None]
    count = len(given[0]) if any(t.stride(0) for t in given) else 1
    rows = [[None if t is None else t[i] for t in (lengths, reset)] for i in range(count)]
    each = [call.tables(lengths=own, reset=cut) for own, cut in rows]
    found = Beside(*each[0])
    found.of_all, found.seeds = tuple(each) if count > 1 else (), seeds
    return found


def _whole(call: AnyCall, weights: Tensors) -> list[Tensor]:
    """The weights as the kernel reads them: block-diagonal ones with their zeros."""
    if call.heads is None:
        return list(weights)
    each = [call.whole([w[i] for w in weights]) for i in range(len(weights[0]))]
    return [torch.stack(parts) for parts in zip(*each, strict=True)]


class ManyForward(ForwardCall):
    """The forward call of one network, and all others' beside it."""

    def __init__(self, kernel: Kernel, key: tuple, networks: int, inputs: Tensors, weights: Tensors, states: Tensors):
        train, reverse, rows, threads, unit, shares, *_ = key
        super().__init__(kernel, (train, reverse, rows, threads, unit), *map(_first, (inputs, weights, states)))
        self.networks, self.others = networks, (others := _Others(self, networks, shares))
        for slot, x in zip(self.at_inputs, inputs, strict=True):
            others.step(slot, x.stride(0))
        if self.train:
            others.step_region(self.saved_region, self.saved.total)
        for (slot, _), (steps, batch, width) in zip(self.at_series, self.to_make, strict=True):
            others.step(slot, steps * batch * width)
        for began, first, last, width in zip(states, self.at_initial, self.at_final, self.state_widths, strict=True):
            others.step(first, began.stride(0))
            others.step(last, self.B * width)
        if self.at_alias is not None:
            others.step(self.at_alias, self.T * self.B * self.series[0][1])
        others.step_parameters(self.parameters, [w.stride(0) for w in _whole(self, weights)])

    def run_all(
        self, inputs: Tensors, weights: Tensors, states: Tensors,
        lengths: Tensor | None, reset: Tensor | None, seeds: Tensor | None,
    ) -> tuple[list[Tensor], list[Tensor]]:  # fmt: skip
        """([output, final states, every state, records], what backward needs)."""
        n, dtype = self.networks, self.kernel.dtype
        series = [result((n, *size), dtype) for size in self.to_make]
        finals = [torch.empty((n, *size), dtype=dtype) for size in self.final_shapes]
        saved = [saved_buffer(n * self.saved.total, dtype).view(n, -1)] if self.train else []
        if self.ragged:
            for t in series:
                t.zero_()
            for first, behind in self.rows_saved if self.train else ():
                saved[0][:, first:behind].zero_()
        beside, whole = _beside(self, lengths, reset, seeds), _whole(self, weights)
        groups = _first(inputs), _first(whole), _first(states)
        self.fill(*groups, beside, 0, _first(saved), _first(series), _first(finals))
        return [series[0], *finals, *series[1:]], saved

    def _point(self, context: Context, given: Tables, seed: int) -> list[Tensor]:
        if isinstance(given, Beside):
            context.known["beside"] = given
        return super()._point(context, given, seed)

    def _enter(self, context: Context) -> None:
        self.others.run(context, context.known.pop("beside"))  # pyright: ignore[reportArgumentType]


class ManyBackward(BackwardCall):
    """The backward call of one network, and all others' beside it."""

    def __init__(self, kernel: Kernel, key: tuple, networks: int, inputs: Tensors, weights: Tensors, states: Tensors):
        train, reverse, rows, threads, unit, shares, *_, apart, outputs_apart, wanted = key
        super().__init__(kernel, (train, reverse, rows, threads, unit, wanted), *map(_first, (inputs, weights, states)))
        self.networks, self.others = networks, (others := _Others(self, networks, shares))
        for k, x in enumerate(inputs):
            for slot in (self.at_inputs[k], self.at_operands[k]):
                if slot is not None:
                    others.step(slot, x.stride(0))
            for slot in self.at_dinputs[k][:2] if self._has_room(k) else ():
                others.step(slot, x[0].numel())
        others.step_region(self.saved_region, apart)
        if self.at_alias is not None:
            others.step(self.at_alias, outputs_apart)
        for width, *slots in zip(self.state_widths, self.at_final, self.at_initial_adjoint, strict=True):
            for slot in slots:
                others.step(slot, self.B * width)
        whole = _whole(self, weights)
        others.step_parameters(self.parameters, [w.stride(0) for w in whole])
        others.step_parameters(self.gradients, [w[0].numel() for w in whole])

    def _has_room(self, k: int) -> bool:
        """Whether an input's gradient is written somewhere, wanted or not."""
        return self.wanted[k] or is_straight(self.run_)

    def run_all(
        self, saved: Tensor, inputs: Tensors, weights: Tensors, states: Tensors, outputs: Tensors,
        lengths: Tensor | None, reset: Tensor | None, seeds: Tensor | None,
        grads: Sequence[Tensor | None], needs: Sequence[bool],
    ) -> list[Tensor | None]:  # fmt: skip
        """The gradients of inputs, weights and states; None where none is needed."""
        n, dtype, m = self.networks, self.kernel.dtype, 1 + len(states)
        whole = _whole(self, weights)
        dinputs = [result(x.shape if self._has_room(k) else (n, 0), dtype) for k, x in enumerate(inputs)]
        for k, d in enumerate(dinputs):
            if self.ragged or not self.has_gradient[k]:
                d.zero_()
        dweights = [result(w.shape, dtype, exact=True) for w in whole]
        for d in dweights if self.without_gradient else ():
            d.zero_()
        shapes = [(n, self.B, width) for width in self.state_widths]
        dstates = [torch.empty(shape, dtype=dtype) for shape in shapes]
        finals = [
            torch.zeros(shape, dtype=dtype) if g is None else g.contiguous()
            for shape, g in zip(shapes, grads[1:m], strict=True)
        ]
        self.fill(
            saved[0], _first(inputs), _first(whole), _first(outputs),
            _beside(self, lengths, reset, seeds), 0,
            [grads[0], *grads[m:]], _first(finals), _first(dinputs), _first(dweights), _first(dstates),
        )  # fmt: skip
        found = [*dinputs, *self._in_blocks(dweights), *dstates]
        return [g if needed else None for g, needed in zip(found, needs, strict=True)]

    def _point(self, context: Context, given: Tables, seed: int) -> list[Tensor]:
        if isinstance(given, Beside):
            context.known["beside"] = given
        return super()._point(context, given, seed)

    def _given(self, context: Context, grads: Sequence[Tensor | None]) -> None:
        """The first network's, and by how much they step in this call."""
        super()._given(context, [None if g is None else g[0] for g in grads])
        places = [self.prepared.at(f"given {name}") for name, _ in self.given]
        pairs = zip(places, grads, strict=True)
        context.known["later"] = [(place, g.stride(0)) for place, g in pairs if g is not None]

    def _enter(self, context: Context) -> None:
        beside, later = context.known.pop("beside"), context.known.pop("later")
        self.others.run(context, beside, later)  # pyright: ignore[reportArgumentType]

    def _in_blocks(self, dweights: list[Tensor]) -> list[Tensor]:
        """The gradients of the weights as they are stored."""
        if self.heads is None:
            return dweights
        each = [self.parts([d[i] for d in dweights]) for i in range(self.networks)]
        return [torch.stack(parts) for parts in zip(*each, strict=True)]
