"""Layers of convolutions by native code, backward: step by step from the last one, then what needs no state.

A step's gradients of products become padded frames of gradients, which are kept: the weights' gradients are taken from
those of all steps at once, at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

from ..graph.node import Node
from .frames import Job, packed, padded, turned
from .framewise import ALIKE, Run, bench
from .piece_kernels import Backward
from .piecewise import Group, Runner
from .repeated import Repeated


class Gradients(NamedTuple):
    """Those of `Given`, in its order; None where none was asked for or there is none."""

    sequences: list[Tensor | None]
    states: list[Tensor]
    weights: list[Tensor]
    params: dict[str, Tensor]
    maps: list[Tensor]


class Back:
    """Backward of one run.

    Args:
        run: forward, with `train`.
        wanted: whether the gradient of each sequence is needed.
        output: the gradient of the output (frames · pixels, width), if any.
        finals: of each final state (batch · pixels, width), if any.
        every: of each state at every step (frames · pixels, width), if any.
    """

    def __init__(
        self,
        run: Run,
        wanted: Sequence[bool],
        output: Tensor | None,
        finals: Sequence[Tensor | None],
        every: Sequence[Tensor | None],
    ):
        self.forward, self.layer, self.shape, self.given = run, run.layer, run.shape, run.given
        self.setup, self.dtype, self.pixels = run.setup, run.shape.dtype, run.pixels
        self.output, self.every = output, every
        layer, most = run.layer, run.shape.counts[0]
        sequences = layer.pieces.sequences
        self.unwanted = {n for n, asked in zip(sequences, wanted, strict=True) if not asked}
        self.history = [self._begun(s, g) for s, g in zip(run.given.states, finals, strict=True)]
        self.uniform = run.shape.counts[-1] == run.shape.batch
        self.ahead_of_time = self._given_before()
        wide = run.setup.wide
        self.products = {g: self._zeros(run.frames if g in layer.ahead else most, n) for g, n in wide.items()}
        self.maps = {n: self._zeros(run.shape.batch, self._ld(n)) for n in layer.pieces.mapped}
        self.ahead: dict[Node, Tensor] = {}  # gradients of what is known ahead
        self.found: dict[int, Tensor] = {}  # of each term's weight
        self.frames: dict[int, Tensor] = {}
        self.turned: dict[int, Tensor] = {}
        self.ready: set[tuple[int, int]] = set()
        self.params: dict[int, tuple[Tensor, ...]] = {}
        self.calls: list[Job | Backward] = []
        self.written: dict[Node, Tensor] = {}

    # -- where gradients lie -------------------------------------------------------------------------

    def _ld(self, n: Node) -> int:
        return self.setup.ld[n]

    def _zeros(self, frames: int, width: int) -> Tensor:
        return torch.zeros(frames * self.pixels, width, dtype=self.dtype)

    def _begun(self, state: Tensor, gradient: Tensor | None) -> Tensor:
        """The gradients of a state before each step and behind the last one: (T + 1, batch · pixels, width)."""
        rows, width = state.shape
        found = torch.zeros(self.forward.T + 1, rows, padded(width, self.dtype), dtype=self.dtype)
        if gradient is not None:
            found[-1, :, :width] = gradient
        return found

    def _given_before(self) -> Node | None:
        """The state, before a step, into whose gradients the output's have been put for all steps at once.

        None where that cannot be: its first part must be able to add to what is there, as a convolution does, and no
        episode may start, over which no other gradient reaches.
        """
        if self.forward.resets:
            return None
        read = {n for r in self.layer.pieces.steps for n in (*r.piece.inputs, *r.piece.old)}
        for s, history in zip(self.layer.states, self.history, strict=True):
            alone = s.new is self.layer.graph.output and s.old not in read and not self.layer.copies
            if alone and self.uniform and self.output is not None:
                steps = history[1:, :, : self.output.shape[1]]
                steps += self.output.unflatten(0, (self.forward.T, -1))
                return s.old
        return None

    def _scratch(self, key: object, rows: int, width: int) -> Tensor:
        """Memory of this name with any contents; zeros when it is new."""
        own = self.bench.own
        found = own.get((key, width))
        if found is None or len(found) < rows:
            found = own[key, width] = torch.zeros(rows, width, dtype=self.dtype)
        return found[:rows]

    def _place(self, n: Node, f: int, rows: int) -> Tensor:
        """Where the gradient of a value goes at a frame: rows of whole vectors, or of all products of a group."""
        layer = self.layer
        if n in layer.old:
            return self.following[layer.old[n]][:rows]
        first = f * self.pixels
        if n in layer.product:
            group, column = layer.product[n]
            whole = self.products[id(group)][:, column:]
            if id(group) not in layer.ahead:
                return whole[:rows]
            self.ahead[n] = whole
        elif n in layer.still and n not in self.ahead:
            self.ahead[n] = self._zeros(self.forward.frames, self._ld(n))
        if n in self.ahead:
            return self.ahead[n][first : first + rows]
        return self._scratch(n, rows, self._ld(n))

    def _add(self, n: Node, f: int, rows: int, write: Callable[[Tensor, bool], None]) -> None:
        """Have `write(place, adds)` give a part of a value's gradient."""
        if n in self.written:
            write(self.written[n], True)
        else:
            place = self._place(n, f, rows)
            write(place, False)
            self.written[n] = place

    # -- running -------------------------------------------------------------------------------------

    def run(self) -> Gradients:
        with bench(self.setup.backward) as self.bench:
            return self._run()

    def _run(self) -> Gradients:
        run, layer = self.forward, self.layer
        run.origin = 0
        self._steps()
        self.written = dict(self.ahead)
        for r in layer.pieces.steps:
            self._weights_and_inputs(r)
        for r in reversed(layer.pieces.ahead):
            self._kernel(r, 0, run.frames)
            for g in r.groups:
                self._spread(g, 0, run.frames)
            self._weights_and_inputs(r)
        sequences = [
            self.ahead[n][:, : layer.width[n]] if n in self.ahead and n not in self.unwanted else None
            for n in layer.pieces.sequences
        ]
        states = [s[:, : old.shape[1]] for s, old in zip(self.following, self.given.states, strict=True)]
        maps = [self.maps[n][:, : layer.width[n]] for n in layer.pieces.mapped]
        weights = [self.found[i] for i in range(len(layer.terms))]
        return Gradients(sequences, states, weights, self._sums(), maps)

    def _steps(self) -> None:
        """Steps that are alike are repeated, where they are made of native calls alone."""
        T, alike = self.forward.T, self.uniform and not self.forward.resets
        again = 0
        for t in reversed(range(T)):
            if again:
                again -= 1
                continue
            self.calls, self.apart = [], False
            self._step(t)
            if t == T - 2 and alike and T >= ALIKE and not self.apart:
                repeated = Repeated(self.calls)
                self._step(t - 1)
                again = t - 1
                repeated.run(t - 2)

    def _step(self, t: int) -> None:
        run, layer = self.forward, self.layer
        self.t, self.adjoints, self.following = t, [h[t + 1] for h in self.history], [h[t] for h in self.history]
        f, rows = run.begins[t], run.shape.counts[t] * self.pixels
        run.enter(t)
        self.written = {n: g[:rows] for n, g in self.maps.items()}
        if self.ahead_of_time is not None:
            self.written[self.ahead_of_time] = self.following[layer.old[self.ahead_of_time]][:rows]
        totals = self._totals(f, rows)
        self.written |= {n: g for n, g in totals.items() if n not in layer.copies}
        for n in layer.copies:
            width = layer.width[n]
            self._add(n, f, rows, lambda to, adds, n=n, w=width: _put(to[:, :w], totals[n][:, :w], adds=adds))
        for r in reversed(layer.pieces.steps):
            self._kernel(r, f, run.shape.counts[t])
            for g in r.groups:
                self._spread(g, f, run.shape.counts[t])
                for i in layer.of_group[id(g)]:
                    if not layer.terms[i].still:
                        self._back_through(i, f, run.shape.counts[t])
        self._former(t, rows)

    def _totals(self, f: int, rows: int) -> dict[Node, Tensor]:
        """The gradients of what leaves a step, from behind it and from outside."""
        found: dict[Node, Tensor] = {}
        first, layer = f * self.pixels, self.layer
        for s, g in zip(layer.states, self.adjoints, strict=True):
            if s.new in found:
                self.apart = True
                found[s.new].add_(g[:rows])
            else:
                found[s.new] = g[:rows]
        outside = [(layer.graph.output, self.output)] if self.ahead_of_time is None else []
        outside += [(s.new, g) for s, g in zip(layer.states, self.every, strict=True)]
        for n, g in outside:
            if n not in found:
                found[n] = self._scratch("output", rows, self._ld(n)).zero_()
                self.apart = True
            if g is not None:
                found[n][:, : g.shape[1]].add_(g[first : first + rows])
                self.apart = True
        return found

    def _former(self, t: int, rows: int) -> None:
        """The states' gradients before a step; none reaches over an episode's start."""
        for k in self.layer.old.values():
            if t in self.forward.cut:
                assert self.given.reset is not None
                begins = self.given.reset[t, : rows // self.pixels].repeat_interleave(self.pixels)
                self.following[k][:rows][begins] = 0
            if not self.uniform:
                self.following[k][rows:] = self.history[k][-1, rows:]

    # -- pieces --------------------------------------------------------------------------------------

    def _kernel(self, runner: Runner, f: int, count: int) -> None:
        piece, run, rows = runner.piece, self.forward, count * self.pixels
        if piece.graph is None:
            return
        kernel = self._prepared(runner, count)
        results = {n: self._read(n, rows) for n in piece.results}
        into, temporary = [], []
        for k, n in enumerate(piece.inputs):
            there = n in self.written or not kernel.has_gradient[k] or n in self.unwanted
            place = self._scratch(("input", k), rows, kernel.lds[k]) if there else self._place(n, f, rows)
            into.append(place)
            if kernel.has_gradient[k] and n not in self.unwanted:
                temporary += [(n, place)] if there else []
                self.written.setdefault(n, place)
        former = []
        for k, (o, n) in enumerate(zip(piece.old, piece.carried, strict=True)):
            place = None if o is None or o in self.written else self._place(o, f, rows)
            former.append(self._scratch(("old", k), rows, self._ld(n)) if place is None else place)
            if o is not None:
                temporary += [(o, former[-1])] if place is None else []
                self.written.setdefault(o, former[-1])
        output = run.at(piece.results[0], f)
        given = None if piece.output is None else results[piece.output].data_ptr()
        kernel.run(
            run.saved_at(runner, f, count), [run.at(n, f) for n in piece.inputs], output, given,
            [results[n].data_ptr() for n in piece.carried], [p.data_ptr() for p in into],
            [p.data_ptr() for p in former],
        )  # fmt: skip
        self.apart |= bool(temporary)
        for n, place in temporary:
            width = self.layer.width[n]
            self.written[n][:, :width].add_(place[:, :width])

    def _prepared(self, runner: Runner, count: int) -> Backward:
        key, piece, width = (id(runner), count), runner.piece, self.layer.width
        kernel = self.bench.kernels.get(key)
        params = [self.given.params[n] for n in runner.params] if key not in self.ready else []
        if kernel is None:
            inputs = [(width[n], self.forward.ld(n)) for n in piece.inputs]
            lds = [self._gradient_ld(n) for n in piece.inputs]
            states = [(width[n], self._ld(n)) for n in piece.carried]
            output = 0 if piece.output is None else self._ld(piece.output)
            rows, real = count * self.pixels, self.forward.real
            kernel = Backward(runner.program, real, rows, inputs, lds, states, output, params)
            self.bench.kernels[key] = kernel
        if key not in self.ready:
            kernel.read(params)
            self.ready.add(key)
        kernel.into(self._parts(runner))
        self.calls.append(kernel)
        return kernel

    def _parts(self, runner: Runner) -> list[Tensor]:
        """Where the gradients of a piece's parameters go: each step has a place of its own."""
        if id(runner) not in self.params:
            sizes = [self.given.params[n].shape[0] for n in runner.params]
            self.params[id(runner)] = torch.zeros(self.forward.T, sum(sizes), dtype=self.dtype).split(sizes, 1)
        return [part[self.t] for part in self.params[id(runner)]]

    def _sums(self) -> dict[str, Tensor]:
        found = {name: torch.zeros_like(p) for name, p in self.given.params.items()}
        for r in (*self.layer.pieces.ahead, *self.layer.pieces.steps):
            for name, part in zip(r.params, self.params[id(r)], strict=True) if id(r) in self.params else ():
                found[name] += part.sum(0)
        return found

    def _gradient_ld(self, n: Node) -> int:
        return self.products[id(self.layer.product[n][0])].stride(0) if n in self.layer.product else self._ld(n)

    def _read(self, n: Node, rows: int) -> Tensor:
        """The gradient of what a piece has given."""
        found = self.written.get(n)
        return self._scratch("nothing", rows, self._ld(n)) if found is None else found

    # -- convolutions --------------------------------------------------------------------------------

    def _spread(self, g: Group, f: int, count: int) -> None:
        """The gradients of a group's products as padded frames, for each size of a kernel."""
        run, first = self.forward, f if id(g) in self.layer.ahead else 0
        rows = self.products[id(g)][first * self.pixels :]
        for n in g.products if id(g) not in self.layer.ahead else ():
            if n not in self.written:
                self.apart = True
                self._place(n, f, count * self.pixels)[:, : self.layer.width[n]] = 0
        for key in dict.fromkeys(self.setup.given[i] for i in self.layer.of_group[id(g)]):
            frames, jobs = self.setup.gradients[key], self.bench.jobs
            if key not in self.frames:
                self.frames[key] = frames.room(run.frames)
            job = jobs.get(("spread", key, count))
            if job is None:
                job = jobs["spread", key, count] = frames.spread(frames.channels, count)
            self.calls.append(job)
            job.run(src=rows.data_ptr(), dst=frames.start(self.frames[key]) + f * frames.bytes)

    def _back_through(self, i: int, f: int, count: int) -> None:
        """The gradient of a term's vector."""
        term, run = self.layer.terms[i], self.forward
        frames, jobs = self.setup.gradients[i], self.bench.jobs
        if i not in self.turned:
            self.turned[i] = packed(turned(self.given.weights[i]), self.setup.turned[i], frames.channels)
        width = self.layer.width[term.vector]
        job = jobs.get((i, count))
        if job is None:
            job = jobs[i, count] = frames.convolve(width, count)
        start, weight = frames.start(self.frames[self.setup.given[i]]) + f * frames.bytes, self.turned[i].data_ptr()

        def write(to: Tensor, adds: bool) -> None:
            self.calls.append(job)
            if frames.area == run.shape.space and term.vector not in self.layer.product:
                job.run(a=start, b=weight, c=to.data_ptr(), ldc=to.stride(0), beta=int(adds))
                return
            apart = self._scratch("apart", count * prod(frames.area), self._ld(term.vector))
            job.run(a=start, b=weight, c=apart.data_ptr(), ldc=apart.stride(0), beta=0)
            self.apart = True
            found = apart[:, :width] if frames.area == run.shape.space else frames.fold(apart[:, :width])
            _put(to[:, :width], found, adds=adds)

        self._add(term.vector, f, count * self.pixels, write)

    def _weights_and_inputs(self, runner: Runner) -> None:
        """For all steps at once: the gradients of a piece's weights, and of what it multiplies that needs no state."""
        run, layer = self.forward, self.layer
        for g in runner.groups:
            for i in layer.of_group[id(g)]:
                term = layer.terms[i]
                gradients, room = self.setup.gradients[i], self.frames[self.setup.given[i]]
                frames, seen = self.setup.vectors[i], run.padded[self.setup.seen[i]]
                job, found = frames.weigh(gradients, run.frames)
                job.run(g=gradients.start(room), h=frames.start(seen))
                self.found[i] = frames.weights(found, sum(g.rows))
                if term.still and term.vector not in self.unwanted:
                    self._back_through(i, 0, run.frames)


def _put(to: Tensor, value: Tensor, *, adds: bool) -> None:
    if adds:
        to.add_(value)
    else:
        to.copy_(value)
