"""The equations of one work as a loop over rows: what a tile has just written is read, and the sinks are stored.

Values are computed when a sink first needs them; all stores come after all loads of a row.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from ...graph.node import Node
from ...graph.widths import SCALAR, Width
from ...plan.places import Place, Sink
from ...plan.stages import Work
from .context import Frame, blocks
from .emitter import I64, PTR, Size, Value
from .mathematics import FUNCTIONS
from .memory_map import MemoryMap
from .philox import loaded_chance
from .shared import LITERALS, Shared

ARGUMENTS = {"context": PTR, "thread": I64, "t": I64, "j": I64, "q": I64, "r0": I64, "r1": I64, "first": I64}
"""What a work's function is called with: step t, block of units j, which is the q-th of its panel; rows r0 to r1;
whether j is the first block that this thread takes."""

I8 = ir.IntType(8)
OWN = frozenset("value adjoint state vector product carry reduce reduced operand".split())
"""Places in a kernel's own buffers; all others are tensors of its caller."""


class WorkFunction:
    """Emits one work. `backward` says in which half it stands: where a step's neighbours lie differs."""

    def __init__(self, shared: Shared, name: str, work: Work, *, backward: bool):
        self.shared, self.work, self.backward = shared, work, backward
        self.e = e = shared.module.function(name, ARGUMENTS)
        self.frame = Frame(e, shared.fields)
        self.map = MemoryMap(self.frame, shared.plan)
        self.arg = e.args
        self.width = work.width
        self.invariant: dict[Node, Value] = {}
        self.mask: Value | None = None

    def emit(self) -> ir.Function:
        e = self.e
        self._prepare()
        behind = e.mul(e.add(self.arg["j"], 1), e.lanes)
        full = e.compare("<=", behind, self.map.units(self.width))
        if self.width == SCALAR:
            self._loop(None)
        else:
            e.when(full, lambda: self._loop(None), lambda: self._loop(self._edge()))
        return e.done()

    def _edge(self) -> Value:
        e = self.e
        return e.first_lanes(e.sub(self.map.units(self.width), e.mul(self.arg["j"], e.lanes)))

    def _prepare(self) -> None:
        """What does not depend on the row is loaded before the loop."""
        for sink in self.work.sinks:
            for n in _leaves(sink.value):
                if n not in self.invariant and (value := self._constant(n)) is not None:
                    self.invariant[n] = value

    def _constant(self, n: Node) -> Value | None:
        e = self.e
        if n.op == "const":
            if n.attr in LITERALS:
                return e.real(n.attr)
            self.note(n)
            return e.broadcast(self.frame.pointer("constants"), self.shared.constants.of(n))
        if n.op == "param":
            self.note(n)
            return self._parameter(n.attr.name)
        if n.attr.kind == "units":
            self.note(n)
            return e.broadcast(self.frame.pointer("constants"), self.shared.constants.of(n))
        return None

    def _parameter(self, name: str) -> Value:
        e, (width, index) = self.e, self.shared.vectors.place(name)
        count = len(self.shared.vectors.by_width[width])
        pointer = self.frame.pointer(f"vectors {width}")
        if width == SCALAR:
            return e.broadcast(pointer, index * e.lanes)
        return e.load(pointer, e.mul(e.add(e.mul(self.arg["j"], count), index), e.lanes), align=e.lanes)

    def note(self, what: Node | Sink) -> None:
        """In the source view: say what the code that follows computes or stores."""
        if (notes := self.shared.notes) is not None:
            lines = [notes.stored(self.work, what)] if isinstance(what, Sink) else notes.computed(self.work, what)
            for line in lines:
                self.e.comment(line)

    # -- the loop ----------------------------------------------------------------------------------

    def _loop(self, mask: Value | None) -> None:
        e, self.mask = self.e, mask
        self._pointers: dict[tuple, tuple[Value, Size]] = {}
        totals = [s for s in self.work.sinks if s.place.kind == "total"]
        places = [self._total(s.place.name) for s in totals]
        stores = [s for s in self.work.sinks if s.place.kind != "total"]
        for kind_of in self._bases():
            kind_of()

        def row(r: Value, *sums: Value) -> list[Value]:
            one = _Row(self, r)
            values = [one.value(s.value) for s in stores]
            added = [e.b.fadd(total, one.value(s.value)) for total, s in zip(sums, totals, strict=True)]
            for sink, value in zip(stores, values, strict=True):
                one.store(sink, value)
            return added

        sums = e.loop(self.arg["r0"], self.arg["r1"], row, carry=[e.load(p) for p in places])
        for sink, total, place in zip(totals, sums, places, strict=True):
            self.note(sink)
            e.store(total, place)

    def _bases(self) -> list[Callable[[], object]]:
        """Addresses of everything that the rows touch, found before the loop."""
        places = [n.attr for s in self.work.sinks for n in _leaves(s.value) if n.op == "load"]
        found: list[Callable[[], object]] = []
        for place in [*places, *(s.place for s in self.work.sinks)]:
            if place.kind in (
                "value",
                "adjoint",
                "state",
                "vector",
                "product",
                "carry",
                "reduce",
                "reduced",
                "operand",
            ):
                found.append(lambda place=place: self.base(place, loading=True))
        return found

    def base(self, place: Place, *, loading: bool) -> tuple[Value, Size]:
        """Where row 0 of a place begins, and how far apart rows are."""
        key = place._replace(index=0) if place.kind in ("value", "adjoint") else place
        key = (key, loading) if place.kind == "carry" else (key,)
        if key not in self._pointers:
            self._pointers[key] = self._base(place, loading)
        return self._pointers[key]

    def _base(self, place: Place, loading: bool) -> tuple[Value, Size]:
        e, j, map_ = self.e, self.arg["j"], self.map
        thread = self.arg["thread"]
        t = e.add(self.arg["t"], place.shift)
        match place.kind:
            case "value" | "adjoint":
                width = self._width(place.name)
                block = 0 if width == SCALAR else j
                row = map_.row_of_step(place.kind, t)
                panel = (map_.value if place.kind == "value" else map_.adjoint)(width, block, row)
                return panel.base, panel.stride
            case "state" if not self._in_rows(place.name):
                panel = map_.state_panel(place.name, j, t)
                return panel.base, panel.stride
            case "state" | "vector":
                rows = map_.stored(place._replace(shift=0), t)
                single = place.kind == "vector" and self.shared.plan.vectors[place.index].width == SCALAR
                return e.at(rows.base, 0 if single else e.mul(j, e.lanes)), rows.stride
            case "operand":
                name = f"operand {place.index}"
                return e.at(self.frame.pointer(name), e.mul(j, e.lanes)), self.frame.size(f"{name} row")
            case "product":
                rows = map_.product(place.index, thread)
                return e.at(rows.base, e.mul(self.arg["q"], e.lanes)), rows.stride
            case "carry":
                step = e.add(t, 1) if loading else t
                assert self.shared.plan.backward is not None
                width = self.shared.plan.backward.carries[place.index]
                panel = map_.carry(place.index, width, 0 if width == SCALAR else j, e.b.and_(e.i64(step), e.i64(1)))
                return panel.base, panel.stride
            case "reduce" | "reduced":
                rows = map_.reduction(self._reduction(place.index), thread)
                return rows.base, rows.stride
        raise AssertionError(place)

    def _reduction(self, index: int) -> int:
        return index + (len(self.shared.plan.forward.reductions) if self.backward else 0)

    def _width(self, text: str) -> Width:
        plan = self.shared.plan
        known = [*plan.forward.panels, *(plan.backward.panels if plan.backward else ())]
        return next(w for w in known if str(w) == text)

    def _in_rows(self, state: str) -> bool:
        return next(s.rows for s in self.shared.plan.states if s.name == state)

    def _total(self, name: str) -> Value:
        """Where this thread's sum over rows of a vector parameter's gradient lies."""
        e = self.e
        place = e.mul(e.add(e.mul(self.arg["thread"], self._blocks()), self.arg["j"]), e.lanes)
        return e.at(self.frame.pointer(f"total {name}"), place)

    def _blocks(self) -> Size:
        return blocks(self.frame, str(self.width))


def _leaves(n: Node) -> list[Node]:
    found, seen, stack = [], set(), [n]
    while stack:
        current = stack.pop()
        if current in seen:
            continue
        seen.add(current)
        if current.op in ("const", "param", "load"):
            found.append(current)
        stack += current.args if current.op != "spread" else current.args[:1]
    return found


class _Row:
    """The values of one row."""

    def __init__(self, function: WorkFunction, r: Value):
        self.f, self.r, self.e = function, r, function.e
        self.known: dict[Node, Value] = {}

    def value(self, n: Node) -> Value:
        if n in self.f.invariant:
            return self.f.invariant[n]
        if n not in self.known:
            self.known[n] = self._computed(n)
        return self.known[n]

    def _computed(self, n: Node) -> Value:
        match n.op:
            case "load":
                self.f.note(n)
                single = self.f.shared.plan.typing.of(n) == SCALAR
                return self._single(n.attr) if single else self._loaded(n.attr)
            case "spread":
                return self.value(n.args[0])
            case "repeat" | "block_sum":
                self.f.note(n)
                return self._across(n)
        args = [self.value(a) for a in n.args]
        self.f.note(n)
        return FUNCTIONS[n.op](self.e, *args)

    # -- loads -------------------------------------------------------------------------------------

    def _single(self, place: Place) -> Value:
        """One value for all units, in every lane."""
        e = self.e
        match place.kind:
            case "value" | "adjoint":
                return e.broadcast(self._row(place), place.index * e.lanes)
            case "product" | "carry" | "vector" | "state":
                return e.broadcast(self._row(place))
            case "reduced":
                return self._reduced(place)
            case "reset":
                return self._flag(place)
            case "chance":
                return self._chance(place)
        return e.broadcast(self._user(place, single=True))

    def _loaded(self, place: Place) -> Value:
        e, f = self.e, self.f
        match place.kind:
            case "value" | "adjoint":
                return e.load(self._row(place), place.index * e.lanes)
            case "product" | "carry":
                return e.load(self._row(place))
            case "state" | "vector":
                return e.load(self._row(place), mask=f.mask)
            case "chance":
                return self._chance(place)
        return e.load(self._user(place), mask=f.mask)

    def _row(self, place: Place, *, loading: bool = True) -> Value:
        base, stride = self.f.base(place, loading=loading)
        return self.e.at(base, self.e.mul(self.r, stride))

    def _user(self, place: Place, *, single: bool = False) -> Value:
        """The block of this row in a user's tensor."""
        e, f = self.e, self.f
        column = 0 if single else e.mul(f.arg["j"], e.lanes)
        if place.kind in ("initial", "final", "initial_adjoint"):
            return e.at(f.map.user_state(f"{place.kind} {place.name}", self.r), column)
        name = f"{place.kind} {place.name or place.index}"
        t = f.arg["t"]
        if place.shift:  # behind a sequence's end there is nothing to look at
            t = e.min(e.add(t, place.shift), e.max(e.sub(f.map.entry("count", self.r), 1), 0))
        return e.at(f.map.user_row(name, self.r, t), column)

    def _reduced(self, place: Place) -> Value:
        """A complete sum over units: of this thread's part, or of all threads' parts."""
        e, f = self.e, self.f
        index = f._reduction(place.index)
        first, count = f.frame.size("reduce first"), f.frame.size("reduce count")
        thread = e.select(e.eq(count, 1), f.arg["thread"], first)

        def part(k: Size) -> Value:
            rows = f.map.reduction(index, k)
            return e.load(e.at(rows.base, e.mul(self.r, rows.stride)))

        combine = e.b.fadd if place.name == "sum" else e.maximum
        whole = e.loop(
            e.add(thread, 1), e.add(thread, count), lambda k, s: [combine(s, part(k))], carry=[part(thread)]
        )[0]
        return e.sum_of_lanes(whole) if place.name == "sum" else e.max_of_lanes(whole)

    def _flag(self, place: Place) -> Value:
        """Whether an episode starts: a byte for each row and step."""
        e, f = self.e, self.f
        t = e.add(f.arg["t"], place.shift)
        offset = e.add(e.mul(t, f.frame.size("B")), self.r)
        byte = e.load_as(I8, f.frame.pointer("reset"), offset)
        return e.splat(e.b.icmp_unsigned("!=", byte, ir.Constant(I8, 0)), e.VB)

    def _chance(self, place: Place) -> Value:
        """A random mask: 16 bits for each row, of which a block of units has its lanes."""
        e, f = self.e, self.f
        chance = f.shared.plan.chances[place.index]
        t = e.rem(e.add(f.arg["t"], place.shift), 16) if chance.per_step else 0
        blocks_ = f.frame.size(f"blocks {chance.width}") if chance.width != SCALAR else 1
        row = e.add(e.mul(e.add(e.mul(t, blocks_), f.arg["j"]), f.frame.size("B")), self.r)
        return loaded_chance(e, f.frame.pointer(f"chance {place.index}"), row)

    def _across(self, n: Node) -> Value:
        """`repeat` and `block_sum` look at other units: lane by lane."""
        e, f = self.e, self.f
        place, times = n.args[0].attr, n.attr
        row = self._whole_row(place)
        first, count = e.mul(f.arg["j"], e.lanes), f.map.units(f.width)
        result = e.real(0.0)
        for lane in range(e.lanes):
            unit = e.min(e.add(first, lane), e.sub(count, 1))
            if n.op == "repeat":
                value = e.scalar(row, e.div(unit, times))
            else:
                start = e.mul(unit, times)
                value = e.scalar(row, start)
                for k in range(1, times):
                    value = e.b.fadd(value, e.scalar(row, e.add(start, k)))
            result = e.b.insert_element(result, value, ir.Constant(ir.IntType(32), lane))
        return result

    def _whole_row(self, place: Place) -> Value:
        e, f = self.e, self.f
        if place.kind == "input":
            return f.map.user_row(f"input {place.index}", self.r, f.arg["t"])
        base, stride = f.base(place, loading=True)
        back = e.mul(f.arg["j"], -e.lanes)
        return e.at(base, e.add(e.mul(self.r, stride), back))

    # -- stores ------------------------------------------------------------------------------------

    def store(self, sink: Sink, value: Value) -> None:
        self.f.note(sink)
        e, f, place = self.e, self.f, sink.place
        single = f.width == SCALAR
        match place.kind:
            case "adjoint" | "value":
                # what no unit owns must be 0 where a product reads it: NaN times 0 is NaN
                kept = value if f.mask is None else e.b.select(f.mask, value, e.real(0.0))
                if single:
                    kept = e.b.select(e.first_lanes(1), kept, e.real(0.0))
                e.store(kept, self._row(place), place.index * e.lanes)
            case "carry":
                e.store(value, self._row(place, loading=False))
            case "reduce":
                self._reduce(place, value)
            case "state" | "vector" | "operand":
                e.store(value, self._row(place), mask=e.first_lanes(1) if single else f.mask)
            case "input_adjoint":
                e.store(value, self._input_adjoint(place), mask=e.first_lanes(1) if single else f.mask)
            case "output" if f.shared.plan.output_state is not None:
                # the state that it is has been stored there, unless the two lie apart
                apart = e.eq(f.frame.size("output in state"), 0)
                e.when(apart, lambda: e.store(value, self._user(place), mask=f.mask))
            case _:
                e.store(value, self._user(place), mask=e.first_lanes(1) if single else f.mask)

    def _input_adjoint(self, place: Place) -> Value:
        e, f, name = self.e, self.f, f"input_adjoint {place.index}"
        step = e.rem(f.arg["t"], f.frame.size(f"{name} ring"))
        start = e.add(e.mul(step, f.frame.size(f"{name} step")), e.mul(self.r, f.frame.size(f"{name} row")))
        return e.at(f.frame.pointer(name), e.add(start, e.mul(f.arg["j"], e.lanes)))

    def _reduce(self, place: Place, value: Value) -> None:
        e, f = self.e, self.f
        neutral = e.real(0.0 if place.name == "sum" else float("-inf"))
        value = value if f.mask is None else e.b.select(f.mask, value, neutral)
        pointer = self._row(place)
        begin = e.ne(f.arg["first"], 0)
        before = e.b.select(begin, neutral, e.load(pointer))
        combined = e.b.fadd(before, value) if place.name == "sum" else e.maximum(before, value)
        e.store(combined, pointer)
