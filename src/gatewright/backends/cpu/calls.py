"""The two kinds of calls, forward and backward: what each allocates, and which addresses it fills in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...plan.places import Place
from .build import native, planned
from .call import Context, Parameters, Prepared, numbers_of
from .debug import Watch, debugging
from .heads import Heads
from .memory import maker, result
from .sizes import (
    Space,
    backward_space,
    every_product,
    forward_space,
    packed_space,
    rows_stored,
    saved_space,
    stored_name,
)
from .tables import NOTHING, WHOLE, Tables, is_permuted, tables
from .words import Run, Strides, backward_words, forward_words, is_straight

if TYPE_CHECKING:
    from .kernel import Kernel


class _Call:
    """One kind of call: its native function, shape, words and buffers."""

    def __init__(self, kernel: Kernel, key: tuple, inputs, weights, states, *, train: bool, backward: bool):
        self.kernel, self.program = kernel, kernel.program
        self.plan = planned(kernel.program, train=train)
        _, self.reverse, rows, threads, unit, *_ = key
        self.ragged = rows != WHOLE
        self.permuted = is_permuted(rows, reverse=self.reverse)
        self.T, self.B = T, B = inputs[0].shape[:2]
        self.shape = kernel.shape(
            self.plan, T, B, threads, unit, [x.shape for x in inputs], [s.shape for s in states],
            [w.shape for w in weights],
        )  # fmt: skip
        self.debug = debugging()
        self.native = native(
            kernel.code_of(self.shape), kernel.real, kernel.target, train=train, backward=backward, debug=self.debug
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
            self.native, self.shape, words, scratch, name, numbers_of(self.native, self.shape, self.kernel.dtype)
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

    def tables(self, lengths: Tensor | None, reset: Tensor | None, T: int | None = None) -> Tables:
        """The order of sequences, their steps and resets; of T steps, where the call is a part of so many."""
        if not self.ragged and not self.plan.reset:
            return NOTHING
        T, given = self.T if T is None else T, lengths if self.ragged else None
        how = {"permuted": self.permuted, "reverse": self.reverse, "resets": self.plan.reset}
        return tables(T, self.B, given, reset, **how)

    def _point(self, context: Context, given: Tables, seed: int) -> list[Tensor]:
        """Point to tables, and say where random numbers begin; gives what must live until the call is over."""
        words, at, kept = context.words, self.prepared.at, []
        if given.rows is not None:
            words[at("begun")] = given.begun
            names = ("order", "count", "first") if self.permuted else ("count",)
            for name, row in zip(names, given.rows if self.permuted else (given.rows,), strict=True):
                words[at(name)] = row.data_ptr()
            kept.append(given.rows)
        if given.flags is not None:
            kept.append(given.flags)
            words[at("reset")] = given.flags.data_ptr()
        if self.plan.chances:
            words[at("seed")], words[at("group")] = seed, given.group
        return kept

    def _enter(self, context: Context) -> None:
        self.prepared.run(context)


class ForwardCall(_Call):
    """Forward over whole sequences; one that `discards` is for what it saves, and writes all steps to one place."""

    def __init__(self, kernel: Kernel, key: tuple, inputs, weights, states, *, discards: bool = False):
        self.train, self.discards = key[0], discards
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
        for k, (name, n) in enumerate(self.series):
            time = 0 if self._is_discarded(k) else self.B * n
            words |= {f"{name} step": -time if self.reverse else time, f"{name} time": time, f"{name} batch": n}
        self.scratch = scratch
        self.prepared = self._prepared(words, scratch, "forward")
        self.saved = saved_space(shape) if self.train else Space()
        self._find_words()
        self.parameters = self._parameters(self.prepared, "param", weights)
        starts = {f"{stored_name(p)} start": stored_name(p) for p, _ in rows_stored(self.plan)}
        if self.train:
            self.rows_saved = [self._place_in_saved(place) for place, _ in rows_stored(self.plan)]
            self.saved_region = self.prepared.layout.region(self.saved, also=starts)
        else:
            self.prepared.scratch = self.prepared.layout.region(scratch, also=starts)

    def _is_discarded(self, k: int) -> bool:
        """Of a series, whether nobody reads it: the output may hold a state that backward reads."""
        return self.discards and not (k == 0 and self.run_.alias)

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
        self.at_series = [(at(name), 0 if self._is_discarded(k) else self._turned(n))
                          for k, (name, n) in enumerate(self.series)]  # fmt: skip
        self.to_make = [(1 if self._is_discarded(k) else self.T, self.B, n) for k, (_, n) in enumerate(self.series)]
        self.at_initial, self.at_final = self._at_states("initial"), self._at_states("final")
        self.final_shapes = [(self.B, n) for n in self.state_widths]
        self.make_series = [maker(size, self.kernel.dtype) for size in self.to_make]
        self.make_finals = [maker(size, self.kernel.dtype) for size in self.final_shapes]
        self.make_saved = maker((self.saved.total,), self.kernel.dtype) if self.train else None

    def run(self, inputs, weights, states, lengths, reset, seed) -> tuple[list[Tensor], list[Tensor]]:
        saved = [self.make_saved()] if self.make_saved else []
        given = self.tables(lengths, reset)
        series, finals = self.series_made(given.least), self.finals_made()
        states = [s.contiguous() for s in states]
        self.fill(inputs, self.whole(weights), states, given, seed, (*saved,), series, finals)
        return [series[0], *finals, *series[1:]], saved

    def series_made(self, least: int = 0) -> list[Tensor]:
        """Room for the output and all else that is given at every step; 0 behind an end, where `least` is the first."""
        made = [make() for make in self.make_series]
        if self.ragged:
            for t in made:
                t[least:].zero_()
        return made

    def finals_made(self) -> list[Tensor]:
        """Room for the final states."""
        return [make() for make in self.make_finals]

    def fill(
        self,
        inputs: Sequence[Tensor],
        weights: Sequence[Tensor],
        states: Sequence[Tensor],
        given: Tables,
        seed: int,
        saved: Sequence[Tensor],
        series: Sequence[Tensor],
        finals: Sequence[Tensor],
    ) -> None:
        """Run, and write into what is there: `saved` (in training), `series` and `finals`.

        Weights are whole. All but inputs is contiguous. Where sequences are permuted, inputs and series are whole ones
        from their first step on, of which the tables tell the steps that are meant; else they are those steps.
        """
        context = self.prepared.take()
        words, kept = context.words, self._point(context, given, seed)
        if self.train:
            if self.ragged:
                for first, behind in self.rows_saved:  # behind an end too whole products read, and multiply by 0
                    written = (behind - first) // (self.T + 1) * given.least
                    saved[0][first + written : behind].zero_()
            context.place(self.saved_region, saved[0].data_ptr())
        for slot, x, back in zip(self.at_inputs, inputs, self.turned, strict=True):
            words[slot] = x.data_ptr() + back
        for (slot, back), t in zip(self.at_series, series, strict=True):
            words[slot] = t.data_ptr() + back
        for began, final, first, last in zip(states, finals, self.at_initial, self.at_final, strict=True):
            words[first], words[last] = began.data_ptr(), final.data_ptr()
        if self.at_alias is not None:
            words[self.at_alias] = series[0].data_ptr() - self.before_first
        self.parameters.fill(context, weights)
        if self.watch is None:
            self._enter(context)
        else:
            saved_places = (self.saved, saved[0]) if self.train else None
            reads = [*inputs, *kept, *states, *weights]
            self.watch.run(context, reads=reads, writes=[*series, *finals], saved=saved_places)


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
        spare = len(prepared.template)  # where the kernel's rows are not the user's, it has a place of its own
        self.at_dinputs = [
            (at(f"input_adjoint {k}") if straight else spare, at(f"dinput_adjoint {k}"), self._turned(x.shape[-1]))
            for k, x in enumerate(inputs)
        ]
        prepared_parameters = {p.attr.name for p in self.plan.graph.params}
        back = self.plan.backward
        assert back is not None
        self.without_gradient = (
            prepared_parameters - set(back.totals) - {name for p in every_product(self.plan) for name in p.params}
        )
        self.has_gradient = [
            k in back.rests or any(r.operand.index == k for r in self.plan.forward.hoisted) for k in range(len(inputs))
        ]
        self._find_makers(inputs, weights)

    def _find_makers(self, inputs: Sequence[Tensor], weights: Sequence[Tensor]) -> None:
        dtype, straight = self.kernel.dtype, is_straight(self.run_)
        shapes = [x.shape if straight or wanted else (0,) for x, wanted in zip(inputs, self.wanted, strict=True)]
        self.make_dinputs = [maker(shape, dtype) for shape in shapes]
        self.make_dweights = [maker(w.shape, dtype, exact=True) for w in self.whole(weights)]
        self.make_dstates = [maker((self.B, n), dtype) for n in self.state_widths]
        by_width = {n: torch.zeros((self.B, n), dtype=dtype, device="cpu") for n in self.state_widths}
        self.zeros = [by_width[n] for n in self.state_widths]  # adjoints of final states, which kernels only read

    def run(self, saved, inputs, weights, states, outputs, lengths, reset, seed, grads, needs) -> list[Tensor | None]:
        whole, n = self.whole(weights), 1 + len(states)
        tables = self.tables(lengths, reset)
        dinputs = self.inputs_made(inputs, least=tables.least)
        dweights, dstates = self.weights_made(), self.states_made()
        finals = self.given_finals(grads[1:n])
        given = [grads[0], *grads[n:]]
        self.fill(saved, inputs, whole, outputs, tables, seed, given, finals, dinputs, dweights, dstates)
        found = [*dinputs, *self.parts(dweights), *dstates]
        return [g if needed else None for g, needed in zip(found, needs, strict=True)]

    def inputs_made(self, inputs: Sequence[Tensor], T: int | None = None, least: int = 0) -> list[Tensor]:
        """Room for the gradients of inputs; of T steps, where a call is a part of so many. `least` as above."""
        found = []
        for k, x in enumerate(inputs):
            longer = (T, *x.shape[1:]) if T is not None and self.wanted[k] else None
            found.append(d := result(longer, self.kernel.dtype) if longer else self.make_dinputs[k]())
            if self.ragged or not self.has_gradient[k]:
                d[least if self.has_gradient[k] else 0 :].zero_()
        return found

    def weights_made(self) -> list[Tensor]:
        """Room for the gradients of whole weights; 0 where none will be written."""
        made = [make() for make in self.make_dweights]
        if self.without_gradient:
            for d in made:
                d.zero_()
        return made

    def states_made(self) -> list[Tensor]:
        """Room for the gradients of the states before the first step."""
        return [make() for make in self.make_dstates]

    def given_finals(self, grads: Sequence[Tensor | None]) -> list[Tensor]:
        """The adjoints of the final states, contiguous; zeros for those that have none."""
        return [zeros if g is None else g.contiguous() for zeros, g in zip(self.zeros, grads, strict=True)]

    def parts(self, dweights: list[Tensor]) -> list[Tensor]:
        """The gradients of the weights as they are stored, from those of whole ones."""
        return dweights if self.heads is None else self.heads.blocks(dweights)

    def fill(
        self,
        saved: Tensor,
        inputs: Sequence[Tensor],
        weights: Sequence[Tensor],
        outputs: Sequence[Tensor],
        given: Tables,
        seed: int,
        grads: Sequence[Tensor | None],
        finals: Sequence[Tensor],
        dinputs: Sequence[Tensor],
        dweights: Sequence[Tensor],
        dstates: Sequence[Tensor],
    ) -> None:
        """Run, and write into what is there; as for `ForwardCall.fill`.

        grads: the adjoints of the output and of every state. finals: those of the final states. dinputs lie as inputs
        do, contiguous.
        """
        context = self.prepared.take()
        words, kept = context.words, self._point(context, given, seed)
        context.place(self.saved_region, saved.data_ptr())
        for slot, operand, x, back in zip(self.at_inputs, self.at_operands, inputs, self.turned, strict=True):
            words[slot] = start = x.data_ptr() + back
            if operand is not None:
                words[operand] = start
        if self.at_alias is not None:
            words[self.at_alias] = outputs[0].data_ptr() - self.before_first
        self._given(context, grads)
        for slot, final in zip(self.at_final, finals, strict=True):
            words[slot] = final.data_ptr()
        for (straight, slot, back), d in zip(self.at_dinputs, dinputs, strict=True):
            words[straight], words[slot] = d.data_ptr(), d.data_ptr() + back
        for slot, d in zip(self.at_initial_adjoint, dstates, strict=True):
            words[slot] = d.data_ptr()
        self.parameters.fill(context, weights)
        self.gradients.fill(context, dweights)
        if self.watch is None:
            self._enter(context)
        else:
            reads = [*inputs, *kept, *weights, *finals, *(g for g in grads if g is not None), *outputs]
            self.watch.run(context, reads=reads, writes=[*dinputs, *dweights, *dstates], saved=(self.saved, saved))

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
