"""One thread's part of a kernel: what it owns of units and rows, and where threads wait for each other.

Threads split either the units of every width, and wait for each other behind every stage, or the rows, and never
wait inside a step. Rows are ordered so that the longest sequences come first: of any thread's rows those that have not
ended are a prefix, and nothing behind it is touched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llvmlite import ir

from ...graph.widths import SCALAR, Width
from ...plan.places import Place
from ...plan.stages import Stage
from .context import Frame, blocks, units
from .emitter import I64, PTR, Size, Value
from .halves import HALVES
from .halves import declare as declare_half
from .memory_map import MemoryMap
from .products import declare
from .shared import Shared
from .threads import add_entry, barrier
from .works import WorkFunction

WORKER = {"context": PTR, "thread": I64, "threads": I64}


@dataclass(frozen=True)
class Equations:
    """A work as a function, the sums over units that it adds to, and whether it writes gradients of slots."""

    width: Width
    function: ir.Function
    sums: tuple[Place, ...]
    slots: bool


class Variable:
    """A number that changes while a function runs."""

    def __init__(self, worker: Worker, value: Size):
        self.e = worker.e
        self.place = self.e.b.alloca(I64)
        self.set(value)

    def get(self) -> Value:
        return self.e.b.load(self.place, typ=I64)

    def set(self, value: Size) -> None:
        self.e.b.store(self.e.i64(value), self.place)


class Worker:
    """Emits the function that every thread runs."""

    backward = False

    def __init__(self, shared: Shared, name: str):
        self.shared, self.plan, self.name = shared, shared.plan, name
        self.e = e = shared.module.function(f"{name}_worker", WORKER)
        self.frame = Frame(e, shared.fields)
        self.map = MemoryMap(self.frame, shared.plan)
        self.thread, self.threads = e.args["thread"], e.args["threads"]
        self.lanes = e.lanes
        self.phase = Variable(self, self.frame.size("phase"))
        self.splits_units = e.ne(self.frame.size("unit"), 0)
        self.T, self.B = self.frame.size("T"), self.frame.size("B")
        self.rows = self._rows()

    def library(self, name: str, *args: Size | Value) -> None:
        found = declare_half if name in HALVES else declare
        self.e.call(found(self.shared.module, name), *args)

    # -- shares --------------------------------------------------------------------------------------

    def share(self, count: Size, *, units_split: bool | None = None) -> tuple[Size, Size]:
        """This thread's part of `count` things; of units or rows only where they are what is split."""
        e = self.e
        lo = e.div(e.mul(self.thread, count), self.threads)
        hi = e.div(e.mul(e.add(self.thread, 1), count), self.threads)
        if units_split is None:
            return lo, hi
        split = self.splits_units if units_split else e.b.not_(self.splits_units)
        return e.select(split, lo, 0), e.select(split, hi, count)

    def _rows(self) -> tuple[Size, Size]:
        """The rows of which this thread computes all units: as many, or as many steps, as the others."""
        e = self.e
        lo, hi = (Variable(self, end) for end in self.share(self.B, units_split=False))
        ragged = e.both(e.ne(self.frame.size("ragged"), 0), e.b.not_(self.splits_units))

        def by_steps() -> None:
            def add(r: Value, total: Value) -> list[Value]:
                return [e.add(total, self.map.entry("count", r))]

            total = e.loop(0, self.B, add, carry=[e.i64(0)])[0]
            begin, end = (e.mul(e.add(self.thread, k), total) for k in (0, 1))

            def row(r: Value, before: Value, first: Value, last: Value) -> list[Value]:
                scaled = e.mul(before, self.threads)
                first = e.add(first, e.as_size(e.lt(scaled, begin)))
                last = e.add(last, e.as_size(e.lt(scaled, end)))
                return [e.add(before, self.map.entry("count", r)), first, last]

            _, first, last = e.loop(0, self.B, row, carry=[e.i64(0)] * 3)
            lo.set(first)
            hi.set(e.select(e.eq(e.add(self.thread, 1), self.threads), self.B, last))

        e.when(ragged, by_steps)
        return lo.get(), hi.get()

    def blocks(self, width: Width) -> tuple[Size, Size]:
        """The blocks of units of which this thread computes the equations; what is one value all compute."""
        if width == SCALAR:
            return 0, 1
        return self.share(blocks(self.frame, str(width)), units_split=True)

    def count_of_blocks(self, width: Width) -> Size:
        return blocks(self.frame, str(width))

    def units(self, width: Width) -> Size:
        return units(self.frame, str(width))

    # -- waiting -------------------------------------------------------------------------------------

    def wait(self) -> None:
        """All threads come here before any goes on."""
        e = self.e

        def run() -> None:
            barrier(e, self.frame.pointer("flags"), self.thread, self.threads, self.phase.get())
            self.phase.set(e.add(self.phase.get(), 1))

        e.when(e.lt(1, self.threads), run)

    def wait_for_units(self) -> None:
        """The same where units are split and read each other's values: rows need no one else's."""
        if self.mixes_units():
            self.e.when(self.splits_units, self.wait)

    def mixes_units(self) -> bool:
        """Whether what a step computes of a unit depends on others; without a product in the loop it may not."""
        back = self.plan.backward if self.backward else None
        part = back or self.plan.forward
        products = (*part.products, back.rotated if back else ())
        return len(part.stages) > 1 or any(products) or bool(part.reductions)

    # -- rows ----------------------------------------------------------------------------------------

    def while_(self, condition: Callable[[], Value], body: Callable[[], object]) -> None:
        e = self.e
        test, inside, behind = (e.fn.append_basic_block(n) for n in ("test", "while", "endwhile"))
        e.b.branch(test)
        e.b.position_at_end(test)
        e.b.cbranch(condition(), inside, behind)
        e.b.position_at_end(inside)
        body()
        e.b.branch(test)
        e.b.position_at_end(behind)

    def shrink(self, end: Variable, t: Size) -> None:
        """Going forwards in time: leave out the rows that have ended before step t."""
        e, first = self.e, self.rows[0]
        inside = e.fn.append_basic_block("look")
        behind = e.fn.append_basic_block("active")
        e.b.cbranch(e.lt(first, end.get()), inside, behind)
        e.b.position_at_end(inside)
        last = e.sub(end.get(), 1)
        ended = e.compare("<=", self.map.entry("count", last), t)
        again = e.fn.append_basic_block("ended")
        e.b.cbranch(ended, again, behind)
        e.b.position_at_end(again)
        end.set(last)
        more = e.lt(first, last)
        e.b.cbranch(more, inside, behind)
        e.b.position_at_end(behind)

    def grow(self, end: Variable, t: Size) -> None:
        """Going backwards in time: take in the rows that have not ended at step t."""
        e, last = self.e, self.rows[1]
        inside, again, behind = (e.fn.append_basic_block(n) for n in ("look", "active", "found"))
        e.b.cbranch(e.lt(end.get(), last), inside, behind)
        e.b.position_at_end(inside)
        goes_on = e.lt(t, self.map.entry("count", end.get()))
        e.b.cbranch(goes_on, again, behind)
        e.b.position_at_end(again)
        end.set(e.add(end.get(), 1))
        e.b.cbranch(e.lt(end.get(), last), inside, behind)
        e.b.position_at_end(behind)

    # -- weights -------------------------------------------------------------------------------------

    def pack_vectors(self) -> None:
        """The vector parameters of each width, block by block."""
        for width, names in self.shared.vectors.by_width.items():
            lo, hi = self.share(self.count_of_blocks(width))
            self.e.loop(lo, hi, lambda j, width=width, names=names: self._pack_vectors(width, names, j))

    def _pack_vectors(self, width: Width, names: Sequence[str], j: Value) -> None:
        """Vector parameters; one that is stored in two parts is their sum."""
        e = self.e
        mask = e.first_lanes(e.sub(self.units(width), e.mul(j, self.lanes)))
        for i, name in enumerate(names):
            parts = [self.frame.pointer(f"param {name}"), self.frame.pointer(f"param {name} more")]
            first, more = (e.load(p, e.mul(j, self.lanes), mask=mask) for p in parts)
            place = e.mul(e.add(e.mul(j, len(names)), i), self.lanes)
            e.store(e.b.fadd(first, more), self.frame.pointer(f"vectors {width}"), place)

    def operand_units(self, place: Place) -> Size:
        match place.kind:
            case "input":
                return self.units(self.plan.input_widths[place.index])
            case "state":
                return self.units(next(s.width for s in self.plan.states if s.name == place.name))
        return self.units(self.plan.vectors[place.index].width)

    def has_heads(self, params: Sequence[str]) -> bool:
        """Whether matrices are block-diagonal: with zeros outside the blocks, which need not be multiplied."""
        kinds = {p.attr.name: p.attr.kind for p in self.plan.graph.params}
        return self.shared.heads > 1 and kinds[params[0]] == "U"

    def met_by(self, first: Size, end: Size, mine: Size, others: Size) -> tuple[Size, Size]:
        """The units on the other side of a block-diagonal matrix that the units first … end − 1 of this side meet."""
        e, heads = self.e, self.shared.heads
        each = e.div(others, heads)
        head = e.div(e.mul(first, heads), mine)
        last = e.div(e.mul(e.sub(e.min(end, mine), 1), heads), mine)
        return e.mul(head, each), e.mul(e.add(last, 1), each)

    def draw(self, k: int, group: Size, lo: Size, hi: Size) -> None:
        """A random mask for eight steps, `group` of them, and the blocks of units from lo to hi."""
        e, frame = self.e, self.frame
        stride = e.mul(self.count_of_blocks(self.plan.chances[k].width), self.B)
        half = e.mul(e.mul(e.b.and_(e.i64(group), e.i64(1)), 8), stride)
        if self.plan.chances[k].per_step:  # a call may be a part of a longer one
            group = e.add(group, frame.size("group"))
        self.library(
            "gw_chances", e.at(frame.pointer(f"chance {k}"), half, ir.IntType(16)), stride, self.B,
            frame.size(f"chance {k} threshold"), frame.size("seed"), frame.size(f"chance {k} stream"), group,
            frame.pointer("order"), *self.rows, lo, hi,
        )  # fmt: skip

    # -- equations -----------------------------------------------------------------------------------

    def equations(self, name: str, stage: Stage) -> list[Equations]:
        """The functions of a stage's works."""
        found = []
        for work in stage:
            function = WorkFunction(self.shared, f"{name}_{work.width}", work, backward=self.backward).emit()
            sums = tuple(s.place for s in work.sinks if s.place.kind == "reduce")
            slots = any(s.place.kind == "adjoint" for s in work.sinks)
            found.append(Equations(work.width, function, sums, slots))
        return found

    def without_units(self, works: Sequence[Equations], none: Value, rows: tuple[Size, Size]) -> None:
        """A thread that has no units of its own still has sums over them, which the others read."""
        e, offset = self.e, len(self.plan.forward.reductions) if self.backward else 0

        def clear(place: Place) -> None:
            neutral = e.real(0.0 if place.name == "sum" else float("-inf"))
            to = self.map.reduction(place.index + offset, self.thread)
            e.loop(*rows, lambda r: e.store(neutral, to.base, e.mul(r, to.stride)))

        if sums := [place for work in works for place in work.sums]:
            e.when(none, lambda: [clear(place) for place in sums])

    # -- ends ----------------------------------------------------------------------------------------

    def entry(self) -> ir.Function:
        """Ends the worker, and gives the function that a caller enters."""
        return add_entry(self.shared.module, self.name, self.e.done())
