"""Layers of convolutions by native code: a whole sequence of frames in one direction, forward.

    ahead       what needs no state: padded frames of all steps, their convolutions, the pieces between them
    each step   padded frames of what depends on a state, their convolutions added to the first; the piece's kernel

Only sequences that have not ended are there: the frames of all steps follow each other, at each step so many as go on,
the longest sequences first. A value lies row by row, a row for each pixel.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..graph.node import Node
from .cpu.memory import result, saved_buffer
from .frames import REALS, Frames, Grid, Job, packed, padded, panels
from .piece_kernels import Forward
from .piecewise import Group, Piecewise, Runner
from .repeated import Repeated

ALIKE = 5  # steps, of which three show how the others go on
PREPARED = 32  # shapes of calls that are kept ready
CHUNK = 8 << 20  # bytes of the products of inputs that are made ahead where nothing is kept: about what a cache holds


class Term(NamedTuple):
    """A part of a group of products: the vector at a place of it. A later one is added to those before it."""

    group: Group
    place: int
    vector: Node
    still: bool
    later: bool


class Layer:
    """What no call changes: a layer's pieces, and which values lie where."""

    def __init__(self, pieces: Piecewise, initial: Sequence[float]):
        self.pieces, self.graph, self.initial = pieces, pieces.graph, tuple(initial)
        self.states = pieces.graph.states
        self.old = {s.old: k for k, s in enumerate(self.states)}
        runners = (*pieces.ahead, *pieces.steps)
        ahead = {n for r in pieces.ahead for n in (*r.piece.products, *r.piece.results)}
        self.still = ahead | set(pieces.sequences)
        self.groups = [g for r in runners for g in r.groups]
        self.ahead = {id(g) for r in pieces.ahead for g in r.groups}
        self.terms = [term for g in self.groups for term in self._terms(g)]
        self.of_group = {id(g): [i for i, t in enumerate(self.terms) if t.group is g] for g in self.groups}
        self.product = {n: (g, sum(g.rows[:i])) for g in self.groups for i, n in enumerate(g.products)}
        self.params = tuple(dict.fromkeys(name for r in runners if r.piece.graph for name in r.params))
        results, made = dict.fromkeys(pieces.graph.results), {n for r in pieces.steps for n in r.piece.results}
        self.copies = [n for n in results if n not in made]
        every = {n for r in runners for n in (*r.piece.products, *r.piece.results)}
        self.passing = every - (set(results) - set(self.copies))  # what is not kept where nothing is
        named = {*pieces.sequences, *pieces.mapped, *self.old, *results, *every, *(t.vector for t in self.terms)}
        self.width = {n: pieces.sizes.of(n) for n in named | {n for r in runners for n in r.piece.inputs}}
        self.setups: dict[Shape, Setup] = {}
        read = {n for r in pieces.steps for n in r.piece.inputs}
        self.read = {n for n in results if n in read} | {s.new for s in self.states if s.old in read}
        self.read |= {r.piece.results[0] for r in pieces.steps if r.piece.graph and r.piece.output is None}

    def setup(self, shape: Shape) -> Setup:
        """What is prepared for calls of a shape; made once for each of the last few."""
        found = self.setups.get(shape)
        if found is None:
            while len(self.setups) >= PREPARED:
                self.setups.pop(next(iter(self.setups)), None)
            found = self.setups[shape] = Setup(self, shape)
        return found

    def _terms(self, g: Group) -> list[Term]:
        """What is known ahead comes first."""
        order = sorted(range(len(g.vectors)), key=lambda k: g.vectors[k] not in self.still)
        return [Term(g, k, g.vectors[k], g.vectors[k] in self.still, later=i > 0) for i, k in enumerate(order)]


@dataclass(frozen=True)
class Shape:
    """The numbers of one call.

    counts: sequences at each step, falling; the last is not 0. batch: all sequences. space, dilation, mode: of frames.
    kernels: the size of each term's kernel. train: whether backward follows.
    """

    counts: tuple[int, ...]
    batch: int
    space: tuple[int, ...]
    dilation: tuple[int, ...]
    mode: str
    kernels: tuple[tuple[int, ...], ...]
    dtype: torch.dtype
    threads: int
    train: bool


class Given(NamedTuple):
    """The tensors of one call: sequences (frames · pixels, C), states (batch · pixels, C), the weight of each term,
    parameters, those that are given row by row (batch · pixels, C), and resets (T, batch)."""

    sequences: Sequence[Tensor]
    states: Sequence[Tensor]
    weights: Sequence[Tensor]
    params: Mapping[str, Tensor]
    maps: Sequence[Tensor]
    reset: Tensor | None


class Slot(NamedTuple):
    """Where a value lies: rows of a tensor from a column on, and in bytes how far its frames are apart."""

    tensor: Tensor
    start: int
    frame: int

    @property
    def ld(self) -> int:
        return self.tensor.stride(0)

    def at(self, frame: int) -> int:
        return self.start + frame * self.frame


class Bench:
    """Calls that are prepared; for one run at a time."""

    def __init__(self):
        self.jobs: dict[tuple, Job] = {}
        self.kernels: dict[tuple[int, int], Any] = {}
        self.own: dict[object, Tensor] = {}


class Setup:
    """What is prepared for all calls of one shape."""

    def __init__(self, layer: Layer, shape: Shape):
        self.layer, self.shape, dtype = layer, shape, shape.dtype
        self.pixels = prod(shape.space)
        self.begins = [0, *accumulate(shape.counts)]
        self.frames, self.T = self.begins[-1], len(shape.counts)
        grids = [Grid(shape.space, kernel, shape.dilation, shape.mode) for kernel in shape.kernels]
        self.wide = {id(g): padded(sum(g.rows), dtype) for g in layer.groups}
        self.ld = {n: padded(width, dtype) for n, width in layer.width.items()}
        vectors = [(t.vector, grid) for t, grid in zip(layer.terms, grids, strict=True)]
        groups = [(id(t.group), grid) for t, grid in zip(layer.terms, grids, strict=True)]
        self.seen = [vectors.index(v) for v in vectors]  # terms that see the same frames have the number of the first
        self.given = [groups.index(g) for g in groups]
        self.vectors = [Frames(grid, layer.width[n], dtype) for n, grid in vectors]
        self.gradients = [Frames(grid, self.wide[g], dtype, gradient=True) for g, grid in groups]
        self.panels = [panels(sum(t.group.rows), dtype) for t in layer.terms]
        self.turned = [panels(layer.width[t.vector], dtype) for t in layer.terms]
        self.chunk = self.T if shape.train else self._chunk()
        self.forward: list[Bench] = []
        self.backward: list[Bench] = []

    def _chunk(self) -> int:
        """Steps whose products of inputs are made at once."""
        width = sum(self.wide.values())
        each = self.shape.counts[0] * self.pixels * width * self.shape.dtype.itemsize
        return max(1, min(self.T, CHUNK // max(1, each)))


@contextmanager
def bench(free: list[Bench]) -> Iterator[Bench]:
    """One that nobody else uses."""
    try:
        found = free.pop()
    except IndexError:
        found = Bench()
    yield found
    free.append(found)


class Run:
    """One call: forward, and what it leaves for backward."""

    def __init__(self, setup: Setup, given: Given):
        self.setup, self.layer, self.shape, self.given = setup, setup.layer, setup.shape, given
        self.pixels, self.begins, self.frames, self.T = setup.pixels, setup.begins, setup.frames, setup.T
        self.real, self.item, self.chunk = REALS[self.shape.dtype], self.shape.dtype.itemsize, setup.chunk
        self.packed = [packed(w, n) for w, n in zip(given.weights, setup.panels, strict=True)]
        self.padded: dict[int, Tensor] = {}
        self.filled: dict[int, int] = {}  # up to which frame
        self.saved: dict[tuple[int, int], int] = {}  # how many elements, for so many frames
        self.held: dict[tuple[int, int], Tensor] = {}
        self.calls: list[Job | Forward] = []
        self.cut: dict[int, list[Tensor]] = {}
        flags = given.reset
        self.resets = set() if flags is None else {t for t, n in enumerate(self.shape.counts) if flags[t, :n].any()}
        self.values, self.results = self._laid_out()

    # -- where values lie ----------------------------------------------------------------------------

    def _laid_out(self) -> tuple[dict[Node, Slot], dict[Node, Slot]]:
        """(every value, what leaves a step at all steps)."""
        layer, given, width = self.layer, self.given, self.layer.width
        begins = [self.begins[t] for t in range(0, self.T, self.chunk)] + [self.frames]
        largest = max(b - a for a, b in pairwise(begins))
        values = {n: self._slot(x) for n, x in zip(layer.pieces.sequences, given.sequences, strict=True)}
        values |= {n: self._slot(x, fixed=True) for n, x in zip(layer.pieces.mapped, given.maps, strict=True)}
        for g in layer.groups:
            tensor = self._room(largest, self.setup.wide[id(g)])
            values |= {n: self._slot(tensor, layer.product[n][1]) for n in g.products}
        for n in (n for r in (*layer.pieces.ahead, *layer.pieces.steps) for n in r.piece.results):
            values[n] = self._slot(self._room(largest if n in layer.passing else self.frames, width[n]))
        copies = {n: self._slot(self._room(self.frames, width[n])) for n in layer.copies}
        return values, {n: copies[n] if n in copies else values[n] for n in layer.graph.results}

    def _room(self, frames: int, width: int) -> Tensor:
        return result((frames * self.pixels, width), self.shape.dtype)

    def _slot(self, tensor: Tensor, column: int = 0, *, fixed: bool = False) -> Slot:
        frame = 0 if fixed else self.pixels * tensor.stride(0) * self.item
        return Slot(tensor[:, column:], tensor.data_ptr() + column * self.item, frame)

    def at(self, n: Node, f: int) -> int:
        """Where a value lies at a frame."""
        if n in self.layer.old:
            return self.before[self.layer.old[n]]
        return self.values[n].at(f - self.origin if n in self.layer.passing else f)

    def ld(self, n: Node) -> int:
        return self.layer.width[n] if n in self.layer.old else self.values[n].ld

    def rows(self, n: Node, t: int) -> Tensor:
        """The same as a tensor, at a step."""
        f, count = self.begins[t], self.shape.counts[t] * self.pixels
        if n in self.layer.old:
            return self._old(self.layer.old[n], t)
        first = (f - self.origin if n in self.layer.passing else f) * self.pixels
        return self.values[n].tensor[first : first + count, : self.layer.width[n]]

    def _old(self, k: int, t: int) -> Tensor:
        """A state before a step."""
        count = self.shape.counts[t] * self.pixels
        if t in self.cut:
            return self.cut[t][k]
        if t == 0:
            return self.given.states[k][:count]
        first = self.begins[t - 1] * self.pixels
        return self.results[self.layer.states[k].new].tensor[first : first + count]

    # -- running -------------------------------------------------------------------------------------

    def run(self) -> None:
        with bench(self.setup.forward) as self.bench:
            self.ready: set[tuple[int, int]] = set()
            self._run()

    def _run(self) -> None:
        pieces = self.layer.pieces
        for t0 in range(0, self.T, self.chunk):
            t1 = min(t0 + self.chunk, self.T)
            self.origin, self.before = self.begins[t0], []
            frames = self.begins[t1] - self.origin
            for r in pieces.ahead:
                self._products(r, self.origin, frames, still=True)
                self._kernel(r, self.origin, frames)
            for r in pieces.steps:
                self._products(r, self.origin, frames, still=True)
            self._steps(t0, t1)

    def _steps(self, t0: int, t1: int) -> None:
        """Steps that are alike are repeated: what their calls are given grows from each to the next by the same."""
        alike = self.shape.counts[t0] == self.shape.counts[t1 - 1] and not (self.resets or self.layer.copies)
        if not alike or t1 - t0 < ALIKE:
            for t in range(t0, t1):
                self._step(t)
            return
        self._step(t0)  # the states before it lie elsewhere
        self.calls: list[Job | Forward] = []
        self._step(t0 + 1)
        repeated = Repeated(self.calls)
        self._step(t0 + 2)
        repeated.run(t1 - t0 - 3)

    def _step(self, t: int) -> None:
        f, count, layer = self.begins[t], self.shape.counts[t], self.layer
        self.enter(t)
        for r in layer.pieces.steps:
            self._products(r, f, count, still=False)
            self._kernel(r, f, count)
        for n in layer.copies:
            first = f * self.pixels
            self.results[n].tensor[first : first + count * self.pixels].copy_(self.rows(n, t))

    def enter(self, t: int) -> None:
        """Where the states lie before a step; where an episode starts, the initial ones."""
        if t in self.resets and t not in self.cut:
            assert self.given.reset is not None
            begins = self.given.reset[t, : self.shape.counts[t]].repeat_interleave(self.pixels).unsqueeze(-1)
            now = [self._old(k, t) for k in range(len(self.layer.states))]
            self.cut[t] = [torch.where(begins, i, s) for i, s in zip(self.layer.initial, now, strict=True)]
        if t in self.cut:
            self.before = [s.data_ptr() for s in self.cut[t]]
        elif t == 0:
            self.before = [s.data_ptr() for s in self.given.states]
        else:
            self.before = [self.results[s.new].at(self.begins[t - 1]) for s in self.layer.states]

    def _products(self, runner: Runner, f: int, count: int, *, still: bool) -> None:
        for g in runner.groups:
            for i in self.layer.of_group[id(g)]:
                if self.layer.terms[i].still == still:
                    self._convolve(i, f, count)

    def _convolve(self, i: int, f: int, count: int) -> None:
        term = self.layer.terms[i]
        start = self._frames(i, f, count)
        to, jobs = self.values[term.group.products[0]], self.bench.jobs
        job = jobs.get((i, count))
        if job is None:
            job = jobs[i, count] = self.setup.vectors[i].convolve(sum(term.group.rows), count)
        self.calls.append(job)
        job.run(a=start, b=self.packed[i].data_ptr(), c=to.at(f - self.origin), ldc=to.ld, beta=int(term.later))

    def _frames(self, i: int, f: int, count: int) -> int:
        """Where the padded frames of a term's vector begin; filled where they have not been."""
        key, frames, n = self.setup.seen[i], self.setup.vectors[i], self.layer.terms[i].vector
        if key not in self.padded:
            self.padded[key] = frames.room(self.frames if self.shape.train else count)
        start = frames.start(self.padded[key]) + (f * frames.bytes if self.shape.train else 0)
        if self.filled.get(key, 0) <= f:
            ld, jobs = self.ld(n), self.bench.jobs
            job = jobs.get(("spread", key, count, ld))
            if job is None:
                job = jobs["spread", key, count, ld] = frames.spread(ld, count)
            self.calls.append(job)
            job.run(src=self.at(n, f), dst=start)
            self.filled[key] = f + count
        return start

    def _kernel(self, runner: Runner, f: int, count: int) -> None:
        piece = runner.piece
        if piece.graph is None:
            return
        kernel = self._prepared(runner, count)
        self.saved[id(runner), count] = kernel.saved
        saved = self.saved_at(runner, f, count)
        final = [self.at(n, f) for n in piece.carried]
        output = final[0] if piece.output is None else self.at(piece.output, f)
        initial = [self.nothing(count, w) if o is None else self.at(o, f)
                   for o, w in zip(piece.old, runner.unread, strict=True)]  # fmt: skip
        self.calls.append(kernel)
        kernel.run([self.at(n, f) for n in piece.inputs], output, initial, final, saved)

    def saved_at(self, runner: Runner, f: int, count: int) -> int:
        """Where a kernel leaves what backward needs: side by side for steps that are alike."""
        size = self.saved[id(runner), count]
        if not size:
            return 0
        steps = self.T if count == self.shape.counts[0] == self.shape.counts[-1] else 1
        key = id(runner), 0 if steps > 1 else f
        if key not in self.held:
            self.held[key] = saved_buffer(steps * size, self.shape.dtype)
        return self.held[key].data_ptr() + (f // count * size * self.item if steps > 1 else 0)

    def _prepared(self, runner: Runner, count: int) -> Forward:
        key, piece, width = (id(runner), count), runner.piece, self.layer.width
        kernel = self.bench.kernels.get(key)
        if kernel is None:
            inputs = [(width[n], self.ld(n)) for n in piece.inputs]
            widths = [width[n] for n in piece.carried]
            params = [self.given.params[n] for n in runner.params]
            kernel = Forward(
                runner.program, self.real, count * self.pixels, inputs, widths, params, train=self.shape.train
            )
            self.bench.kernels[key] = kernel
        if key not in self.ready:
            kernel.read([self.given.params[n] for n in runner.params])
            self.ready.add(key)
        return kernel

    def nothing(self, count: int, width: int | None) -> int:
        """Zeros for a state of which nothing is read."""
        own, key = self.bench.own, ("nothing", count, width)
        if key not in own:
            own[key] = torch.zeros(count * self.pixels, width or 1, dtype=self.shape.dtype)
        return own[key].data_ptr()
