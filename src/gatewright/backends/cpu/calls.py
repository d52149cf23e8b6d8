"""The two kinds of calls, forward and backward: what each allocates, and which addresses it fills in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ...graph.widths import SCALAR
from ...plan.places import Place
from ..masks import active_steps, reversed_reset
from .build import Native, native, planned
from .call import Context, Parameters, Prepared
from .debug import Watch, debugging
from .heads import Heads
from .memory import result, saved_buffer
from .sizes import (
    Shape,
    Space,
    backward_space,
    every_product,
    forward_space,
    packed_space,
    rows_stored,
    saved_space,
    stored_name,
    widths_of,
)
from .words import Run, Strides, backward_words, forward_words, is_straight

if TYPE_CHECKING:
    from .kernel import Kernel


WHOLE, FALLING, ANY = "whole", "falling", "any"
"""How the lengths of sequences go on: all are T; the longest comes first, and none grows; any other way."""


class _Call:
    """One kind of call: its native function, shape, words and buffers."""

    def __init__(self, kernel: Kernel, key: tuple, inputs, weights, states, *, train: bool, backward: bool):
        self.kernel, self.program = kernel, kernel.program
        self.plan = planned(kernel.program, train=train)
        _, self.reverse, rows, threads, unit, *_ = key
        self.ragged = rows != WHOLE
        self.permuted = rows == ANY or (self.ragged and self.reverse)
        self.T, self.B = T, B = inputs[0].shape[:2]
        self.shape = kernel.shape(
            self.plan, T, B, threads, unit, [x.shape for x in inputs], [s.shape for s in states],
            [w.shape for w in weights],
        )  # fmt: skip
        self.debug = debugging()
        self.native = native(
            self.program.text, kernel.real, kernel.target, train=train, backward=backward, debug=self.debug
        )
        width = self.shape.units(self.plan.output)
        alias = Strides(B * width, width) if self._aliases() else None
        strides = tuple(Strides(*x.stride()[:2]) for x in inputs)
        self.run_ = Run(self.reverse, self.ragged, self.permuted, strides, alias)
        self.turned = [(T - 1) * s.time * kernel.dtype.itemsize if self._goes_back() else 0 for s in strides]
        self.heads = Heads(self.program) if self.program.heads > 1 else None
        self.state_widths = [self.shape.units(s.width) for s in self.plan.states]

    def _goes_back(self) -> bool:
        """Whether addresses are those of the last step: lengths that differ have tables for it."""
        return self.reverse and not self.ragged and self.T > 0

    def _aliases(self) -> bool:
        """Whether the state that the output is lies in the output itself."""
        return self.plan.output_state is not None and not self.plan.reset and not self.permuted and not self.reverse

    def _prepared(self, words: dict[str, int], scratch: Space, name: str) -> Prepared:
        for s, width in zip(self.plan.states, self.state_widths, strict=True):
            for kind in ("initial", "final", "initial_adjoint"):
                words[f"{kind} {s.name} batch"] = width
        words |= {f"chance {k} stream": self.program.stream | c.number for k, c in enumerate(self.plan.chances)}
        prepared = Prepared(
            self.native, self.shape, words, scratch, name, _numbers(self.native, self.shape, self.kernel.dtype)
        )
        alias = self.run_.alias
        self.at_alias = prepared.at(f"state {self.plan.output_state}") if alias else None
        self.before_first = alias.time * self.kernel.dtype.itemsize if alias else 0
        graph, states = self.program.graph, ", ".join(s.name for s in self.plan.states)
        told = f"the {name} kernel ({', '.join(graph.inputs)}; {states}) in {self.kernel.dtype}"
        self.watch = Watch(prepared, scratch, told) if self.debug else None
        return prepared

    def _parameters(self, prepared: Prepared, prefix: str, weights: Sequence[Tensor]) -> Parameters:
        shapes = [tuple(w.shape) for w in self.whole(weights)]
        return Parameters(prepared, prefix, self.program.parts, self.program.stored, shapes)

    def whole(self, weights: Sequence[Tensor]) -> list[Tensor]:
        """The weights as the kernel reads them."""
        return list(weights) if self.heads is None else self.heads.whole(list(weights))

    def _turned(self, width: int) -> int:
        """How far into one of our own sequences, (T, B, width) side by side, its first step in processing lies."""
        return (self.T - 1) * self.B * width * self.kernel.dtype.itemsize if self._goes_back() else 0

    def _at_states(self, kind: str) -> list[int]:
        return [self.prepared.at(f"{kind} {s.name}") for s in self.plan.states]

    prepared: Prepared

    def _tables(self, context: Context, lengths: Tensor | None, reset: Tensor | None, seed: int) -> list:
        """The order of sequences, resets and the seed; gives what must live until the call is over."""
        kept: list = []
        words, at, order = context.words, self.prepared.at, None
        if self.ragged:
            assert lengths is not None
            words[at("begun")] = int(np.count_nonzero(lengths.numpy()))
            if self.permuted:
                table = _order(lengths, reverse=self.reverse)
                kept.append(table)
                order = table[0].numpy()
                for name, row in zip(("order", "count", "first"), table, strict=True):
                    words[at(name)] = row.data_ptr()
            else:
                kept.append(count := lengths.contiguous())
                words[at("count")] = count.data_ptr()
        if self.plan.reset:
            flags = self._flags(reset, lengths, order)
            kept.append(flags)
            words[at("reset")] = flags.data_ptr()
        if self.plan.chances:
            words[at("seed")] = seed
        return kept

    def _flags(self, reset: Tensor | None, lengths: Tensor | None, order: np.ndarray | None) -> Tensor:
        """(T + 1, B) bytes in the order of processing: whether a row's episode starts."""
        flags = torch.zeros(self.T + 1, self.B, dtype=torch.uint8)
        if reset is not None:
            lengths = lengths if self.ragged else None
            turned = reversed_reset(reset, lengths) if self.reverse else reset
            turned = turned if lengths is None else turned & active_steps(self.T, lengths)
            flags[: self.T] = turned if order is None else turned[:, torch.from_numpy(order)]
        return flags


class ForwardCall(_Call):
    def __init__(self, kernel: Kernel, key: tuple, inputs, weights, states):
        self.train = key[0]
        super().__init__(kernel, key, inputs, weights, states, train=self.train, backward=False)
        shape, run = self.shape, self.run_
        words = forward_words(shape, run, train=self.train) | {"pack": 1}
        scratch = forward_space(shape, train=self.train)
        for name, count in packed_space(shape).counts.items():
            scratch.take(name, count)
        width = shape.units(self.plan.output)
        self.series = [("output 0", width)]
        if self.plan.every:
            self.series += [(f"every {s.name}", n) for s, n in zip(self.plan.states, self.state_widths, strict=True)]
        self.series += [(f"record {name}", shape.units(w)) for name, w in self.plan.record]
        for name, n in self.series:
            step = -self.B * n if self.reverse else self.B * n
            words |= {f"{name} step": step, f"{name} time": self.B * n, f"{name} batch": n}
        self.scratch = scratch
        self.prepared = self._prepared(words, scratch, "forward")
        self._find_words()
        self.parameters = self._parameters(self.prepared, "param", weights)
        starts = {f"{stored_name(p)} start": stored_name(p) for p, _ in rows_stored(self.plan)}
        if self.train:
            self.saved = saved_space(shape)
            self.rows_saved = [self._place_in_saved(place) for place, _ in rows_stored(self.plan)]
            self.saved_region = self.prepared.layout.region(self.saved, also=starts)
        else:
            self.prepared.scratch = self.prepared.layout.region(scratch, also=starts)

    def _place_in_saved(self, place: Place) -> tuple[int, int]:
        """From where to where a state or operand lies row by row in what is saved; nothing where the output has it."""
        name = stored_name(place)
        aliased = self.run_.alias is not None and place.kind == "state" and place.name == self.plan.output_state
        first = self.saved.offset[name]
        return first, first if aliased else first + self.saved.counts[name]

    def _find_words(self) -> None:
        """What changes from call to call, and where its words stand."""
        at = self.prepared.at
        self.at_inputs = [at(f"input {k}") for k in range(len(self.turned))]
        self.to_make = [((self.T, self.B, n), at(name), self._turned(n)) for name, n in self.series]
        self.at_initial, self.at_final = self._at_states("initial"), self._at_states("final")
        self.final_shapes = [(self.B, n) for n in self.state_widths]

    def run(self, inputs, weights, states, lengths, reset, seed) -> tuple[list[Tensor], list[Tensor]]:
        prepared, dtype = self.prepared, self.kernel.dtype
        context = prepared.take()
        words = context.words
        kept = self._tables(context, lengths, reset, seed)
        saved = []
        if self.train:
            saved = [saved_buffer(self.saved.total, dtype)]
            if self.ragged:
                for first, behind in self.rows_saved:  # behind an end too whole products read, and multiply by 0
                    saved[0][first:behind].zero_()
            context.place(self.saved_region, saved[0].data_ptr())
        for slot, x, back in zip(self.at_inputs, inputs, self.turned, strict=True):
            words[slot] = x.data_ptr() + back
        outputs, finals = [], []
        for size, slot, back in self.to_make:
            t = result(size, dtype)
            if self.ragged:
                t.zero_()
            words[slot] = t.data_ptr() + back
            outputs.append(t)
        for size, began, first, last in zip(self.final_shapes, states, self.at_initial, self.at_final, strict=True):
            began = began if began.is_contiguous() else began.contiguous()
            kept.append(began)
            words[first] = began.data_ptr()
            final = torch.empty(size, dtype=dtype)
            words[last] = final.data_ptr()
            finals.append(final)
        if self.at_alias is not None:
            words[self.at_alias] = outputs[0].data_ptr() - self.before_first
        kept += (whole := self.whole(weights))
        self.parameters.fill(context, whole)
        if self.watch is None:
            prepared.run(context)
        else:
            saved_places = (self.saved, saved[0]) if self.train else None
            self.watch.run(context, reads=[*inputs, *kept], writes=[*outputs, *finals], saved=saved_places)
        del kept
        return [outputs[0], *finals, *outputs[1:]], saved


class BackwardCall(_Call):
    def __init__(self, kernel: Kernel, key: tuple, inputs, weights, states):
        super().__init__(kernel, key, inputs, weights, states, train=True, backward=True)
        shape, self.wanted = self.shape, key[-1]
        words = backward_words(shape, self.run_, self.wanted)
        self.given = [("output", shape.units(self.plan.output))]
        if self.plan.every:
            self.given += [(s.name, n) for s, n in zip(self.plan.states, self.state_widths, strict=True)]
        scratch = backward_space(shape)
        self.prepared = prepared = self._prepared(words, scratch, "backward")
        also = {}
        straight = is_straight(self.run_)
        for k in range(len(inputs)):
            if not straight:
                also[f"input_adjoint {k}"] = f"gathered {k}"
            if not words[f"input {k} flat"]:
                also[f"operand of input {k}"] = f"regathered {k}"
        prepared.scratch = prepared.layout.region(scratch, also=also)
        self.parameters = self._parameters(prepared, "param", weights)
        self.gradients = self._parameters(prepared, "dparam", weights)
        starts = {f"{stored_name(p)} start": stored_name(p) for p, _ in rows_stored(self.plan)}
        self.saved = saved_space(shape)
        self.saved_region = prepared.layout.region(self.saved, also=starts)
        at = prepared.at
        self.at_inputs = [at(f"input {k}") for k in range(len(inputs))]
        self.at_operands = [
            at(f"operand of input {k}") if words[f"input {k} flat"] else None for k in range(len(inputs))
        ]
        self.at_final, self.at_initial_adjoint = self._at_states("final"), self._at_states("initial_adjoint")
        prepared_parameters = {p.attr.name for p in self.plan.graph.params}
        back = self.plan.backward
        assert back is not None
        self.without_gradient = (
            prepared_parameters - set(back.totals) - {name for p in every_product(self.plan) for name in p.params}
        )
        self.has_gradient = [
            k in back.rests or any(r.operand.index == k for r in self.plan.forward.hoisted) for k in range(len(inputs))
        ]

    def run(self, saved, inputs, weights, states, outputs, lengths, reset, seed, grads, needs) -> list[Tensor | None]:
        B, prepared, dtype = self.B, self.prepared, self.kernel.dtype
        context = prepared.take()
        words = context.words
        kept = self._tables(context, lengths, reset, seed)
        context.place(self.saved_region, saved.data_ptr())
        for slot, operand, x, back in zip(self.at_inputs, self.at_operands, inputs, self.turned, strict=True):
            words[slot] = start = x.data_ptr() + back
            if operand is not None:
                words[operand] = start
        if self.at_alias is not None:
            words[self.at_alias] = outputs[0].data_ptr() - self.before_first
        self._given(context, [grads[0], *grads[1 + len(states) :]])
        zeros: dict[int, Tensor] = {}
        for slot, n, final in zip(self.at_final, self.state_widths, grads[1 : 1 + len(states)], strict=True):
            if final is None:
                final = zeros.get(n)
                if final is None:
                    final = zeros[n] = torch.zeros((B, n), dtype=dtype)
            elif not final.is_contiguous():
                final = final.contiguous()
            kept.append(final)
            words[slot] = final.data_ptr()
        dinputs = self._input_gradients(context, inputs)
        dstates = [torch.empty((B, n), dtype=dtype) for n in self.state_widths]
        for slot, d in zip(self.at_initial_adjoint, dstates, strict=True):
            words[slot] = d.data_ptr()
        kept += (whole := self.whole(weights))
        dweights = [result(w.shape, dtype, exact=True) for w in whole]
        if self.without_gradient:
            for d in dweights:
                d.zero_()
        self.parameters.fill(context, whole)
        self.gradients.fill(context, dweights)
        if self.watch is None:
            prepared.run(context)
        else:
            reads = [*inputs, *kept, *(g for g in grads if g is not None), *outputs]
            self.watch.run(context, reads=reads, writes=[*dinputs, *dweights, *dstates], saved=(self.saved, saved))
        del kept
        dweights = dweights if self.heads is None else self.heads.blocks(dweights)
        found = [*dinputs, *dweights, *dstates]
        return [g if needed else None for g, needed in zip(found, needs, strict=True)]

    def _given(self, context: Context, grads: Sequence[Tensor | None]) -> None:
        """The adjoints of sequences; without any, zeros that stand still."""
        words, slot = context.words, self.prepared.slot
        for (name, _), g in zip(self.given, grads, strict=True):
            name = f"given {name}" if name != "output" else "given output"
            if name not in slot:
                continue
            if g is None:
                words[slot[name]] = self.prepared.nothing.data_ptr()
                time, batch = 0, 0
            else:
                time, batch = g.stride()[:2]
                back = (self.T - 1) * time * g.element_size() if self._goes_back() else 0
                words[slot[name]] = g.data_ptr() + back
            words[slot[f"{name} time"]], words[slot[f"{name} batch"]] = time, batch
            words[slot[f"{name} step"]] = -time if self.reverse else time

    def _input_gradients(self, context: Context, inputs: Sequence[Tensor]) -> list[Tensor]:
        found = []
        straight = is_straight(self.run_)
        for k, x in enumerate(inputs):
            d = result(x.shape if self.wanted[k] or straight else (0,), self.kernel.dtype)
            if self.ragged or not self.has_gradient[k]:
                d.zero_()
            found.append(d)
            if straight:
                context.words[self.prepared.at(f"input_adjoint {k}")] = d.data_ptr()
            context.words[self.prepared.at(f"dinput_adjoint {k}")] = d.data_ptr() + self._turned(x.shape[-1])
        return found


def _numbers(native_: Native, shape: Shape, dtype: torch.dtype) -> Tensor:
    """The table of numbers that a kernel reads: constants of the equations, and numbers of units."""
    units = {str(w): shape.units(w) for w in (*widths_of(shape.plan), SCALAR)}
    values = [float.fromhex(n[6:]) if n.startswith("const ") else float(units[n]) for n in native_.numbers]
    return torch.tensor(values or [0.0], dtype=dtype)


def _order(lengths: Tensor, *, reverse: bool) -> Tensor:
    """(3, B): the kernel's order of sequences, the longest first; their steps; the user's step at which each begins."""
    given = lengths.numpy()
    table = torch.zeros(3, len(given), dtype=torch.int64)
    order, count, first = table.numpy()
    order[:] = (-given).argsort(kind="stable")
    given.take(order, out=count)
    if reverse:
        np.maximum(count - 1, 0, out=first)
    return table
