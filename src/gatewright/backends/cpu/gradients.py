"""The gradients of inputs and weights: products of a chunk's slot gradients, taken while it is in the cache."""

from __future__ import annotations

from collections.abc import Callable

from ...graph.widths import SCALAR, Width
from ...plan.backward import Term
from ...plan.forward import Product
from .emitter import Size, Value
from .forward import pieces
from .memory_map import Rows
from .sizes import COLUMNS, DEPTH, ROWS
from .transposed import BackWorker


class Gradients(BackWorker):
    """Emits what follows each chunk of steps, and what follows the last."""

    # -- gradients of inputs and weights ---------------------------------------------------------------

    def input_gradients(self, t0: Value, t1: Value) -> None:
        """dx of a chunk: each thread takes a part of its rows."""
        for index in dict.fromkeys(run.operand.index for run in self.plan.forward.hoisted):
            runs = [r for r in self.plan.forward.hoisted if r.operand.index == index]
            self.e.when(self.wanted(index), lambda index=index, runs=runs: self._input_gradient(index, runs, t0, t1))
        self._scatter_inputs(t0, t1)

    def _input_gradient(self, index: int, runs: list[Product], t0: Value, t1: Value) -> None:
        e, name, width = self.e, f"input_adjoint {index}", self.plan.input_widths[index]
        lo, hi = self.share(e.mul(e.sub(t1, t0), self.B))
        start = e.mul(e.rem(t0, self.frame.size(f"{name} ring")), self.frame.size(f"{name} step"))
        out, row = e.at(self.frame.pointer(name), start), self.frame.size(f"{name} row")
        row0, columns = self.map.row_of_step("adjoint", t0), self.units(width)
        adds = index in self.back.rests
        scratch = e.at(self.frame.pointer("edge"), e.mul(self.thread, ROWS * self.most * self.lanes))

        def some(r: Value) -> None:
            n = e.min(ROWS, e.sub(hi, r))
            first = e.add(row0, r)

            def panel(first_block: Value) -> None:
                wide = e.min(self.most, e.sub(self.count_of_blocks(width), first_block))
                column = e.mul(first_block, self.lanes)
                to = e.at(out, e.add(e.mul(r, row), column))
                fits = e.compare("<=", e.add(column, e.mul(wide, self.lanes)), columns)
                stride = e.mul(wide, self.lanes)

                def products(target: Value, target_stride: Size, begin_adds: bool) -> None:
                    for k, run in enumerate(runs):
                        term = Term(run.width, run.first, run.params)
                        more = begin_adds or k > 0
                        self.accumulate(self.name_of(run), term, width, first, first_block, wide, target,
                                        target_stride, n, more)  # fmt: skip

                def through_scratch() -> None:
                    there = e.sub(columns, column)
                    if adds:
                        self.library("gw_copy_rows", to, row, n, there, scratch, stride, stride, n)
                    products(scratch, stride, adds)
                    self.copy_out(scratch, stride, to, row, n, there)

                e.when(fits, lambda: products(to, row, adds), through_scratch)

            e.loop(0, self.count_of_blocks(width), panel, step=self.most)

        e.loop(lo, hi, some, step=ROWS)

    def copy_out(self, source: Value, stride: Size, to: Value, row: Size, n: Size, columns: Size) -> None:
        """Rows of whole vectors into rows that end anywhere."""
        e = self.e

        def one(r: Value) -> None:
            def vector(k: Value) -> None:
                column = e.mul(k, self.lanes)
                mask = e.first_lanes(e.sub(columns, column))
                value = e.load(source, e.add(e.mul(r, stride), column))
                e.store(value, to, e.add(e.mul(r, row), column), mask=mask)

            e.loop(0, e.ceil_div(columns, self.lanes), vector)

        e.loop(0, n, one)

    def _scatter_inputs(self, t0: Value, t1: Value) -> None:
        """Where the gradient of an input was taken in the kernel's order of rows, bring it into the user's."""
        e, f = self.e, self.frame
        for index, width in enumerate(self.plan.input_widths):
            if not self._has_gradient(index):
                continue
            name = f"input_adjoint {index}"
            out = f"d{name}"

            def scatter(name=name, out=out, width=width) -> None:
                self.wait()
                lo, hi = self.share(self.B)
                begin = e.mul(e.rem(t0, f.size(f"{name} ring")), f.size(f"{name} step"))
                source = e.at(f.pointer(name), e.add(begin, e.mul(lo, f.size(f"{name} row"))))
                self.library(
                    "gw_scatter", source, f.size(f"{name} row"), f.size(f"{name} step"), f.size(f"{out} step"),
                    f.size(f"{out} time"), f.size(f"{out} batch"), f.pointer("order"), f.pointer("first"),
                    f.pointer("count"), t0, t1, lo, hi, self.units(width), f.pointer(out),
                )  # fmt: skip
                self.wait()

            e.when(e.ne(f.size(f"{name} scattered"), 0), scatter)

    def _has_gradient(self, index: int) -> bool:
        return index in self.back.rests or any(r.operand.index == index for r in self.plan.forward.hoisted)

    def weight_gradients(self, t0: Value, t1: Value, adds: Value) -> None:
        """dW += gᵀ x of a chunk: each thread takes a part of the units."""
        e = self.e
        for k, run in enumerate(self.runs):
            if run.operand.kind == "input":
                self._gathered_input(run, t0, t1)
                name = f"operand of input {run.operand.index}"
                start = e.mul(e.rem(t0, self.frame.size(f"{name} ring")), self.frame.size(f"{name} step"))
                source = e.at(self.frame.pointer(name), start)
                count, row = e.mul(e.sub(t1, t0), self.B), self.frame.size(f"{name} row")
                self._weight_gradient(k, run, t0, count, source, row, e.as_size(adds))
                continue
            begins = e.eq(t0, 0)
            some = self.frame.size("begun")  # the sequences with a step: what others begin with is none of theirs
            first = self.map.stored(run.operand, e.i64(0))

            def start(k=k, run=run, first=first, some=some) -> None:
                self._weight_gradient(k, run, e.i64(0), some, first.base, first.stride, e.as_size(adds))

            e.when(begins, start)
            rest = e.max(t0, 1)
            rows = self.map.stored(run.operand, rest)
            adds_more = e.as_size(e.b.or_(adds, e.both(begins, e.lt(0, some))))
            self._weight_gradient(k, run, rest, e.mul(e.sub(t1, rest), self.B), rows.base, rows.stride, adds_more)

    def _gathered_input(self, run: Product, t0: Value, t1: Value) -> None:
        """Rows that do not follow each other at one stride are gathered, once for all the products that meet them."""
        e, f, index = self.e, self.frame, run.operand.index
        first = next(r for r in self.runs if r.operand == run.operand)
        if first is not run:
            return
        name, user, width = f"operand of input {index}", f"input {index}", self.plan.input_widths[index]

        def gather() -> None:
            lo, hi = self.share(self.B)
            begin = e.mul(e.rem(t0, f.size(f"{name} ring")), f.size(f"{name} step"))
            to = e.at(f.pointer(name), e.add(begin, e.mul(lo, f.size(f"{name} row"))))
            self.library(
                "gw_gather", f.pointer(user), f.size(f"{user} step"), f.size(f"{user} time"), f.size(f"{user} batch"),
                f.pointer("order"), f.pointer("first"), f.pointer("count"), t0, t1, lo, hi, self.units(width), to,
                f.size(f"{name} row"), f.size(f"{name} step"),
            )  # fmt: skip
            self.wait()

        e.when(e.eq(f.size(f"{user} flat"), 0), gather)

    def _weight_gradient(
        self, k: int, run: Product, t0: Size, rows: Size, source: Value, source_row: Size, adds: Size
    ) -> None:
        """g(t)ᵀ x(t) for `rows` rows, of step t0 and those behind it."""
        e, lanes, frame = self.e, self.lanes, self.frame
        gates, columns = len(run.params), self.operand_units(run.operand)
        wide = gates * lanes
        depth = e.ceil_div(rows, e.max(e.ceil_div(rows, DEPTH), 1))
        most = e.div(columns, self.shared.heads) if self.has_heads(run.params) else columns
        across = e.ceil_div(most, e.ceil_div(most, COLUMNS))
        packed = e.at(frame.pointer("packed"), e.mul(self.thread, frame.size("packed each")))
        lo, hi = self.share(self.count_of_blocks(run.width))
        row0 = self.map.row_of_step("adjoint", t0)
        sizes = pieces(gates, self.most)

        def some(q: Value) -> None:
            n = e.min(depth, e.sub(rows, q))
            beta = e.b.or_(e.i64(adds), e.as_size(e.lt(0, q)))

            def columns_from(c: Value) -> None:
                count = e.min(across, e.sub(columns, c))
                for nr in sorted({size for _, size in sizes}):
                    left = e.at(source, e.add(e.mul(q, source_row), c))
                    self.adjoints.pack_left(left, source_row, n, count, packed, nr)
                    mine = [piece for piece in sizes if piece[1] == nr]
                    e.loop(lo, hi, lambda j, nr=nr, mine=mine: block(j, nr, mine, c, count))

            def block(j: Value, nr: int, mine: list[tuple[int, int]], c: Value, count: Size) -> None:
                if not self.has_heads(run.params):
                    product(j, nr, mine, c, count)
                    return
                begin = e.mul(j, lanes)
                k, end = self.met_by(begin, e.add(begin, lanes), self.units(run.width), columns)
                meets = e.both(e.lt(c, end), e.lt(k, e.add(c, count)))
                e.when(meets, lambda: product(j, nr, mine, c, count))

            def product(j: Value, nr: int, mine: list[tuple[int, int]], c: Value, count: Size) -> None:
                panel = self.adjoints.beside(run, j, e.add(row0, q), n)
                out = e.at(frame.pointer(f"gradient {k}"), e.mul(e.add(e.mul(j, columns), c), wide))
                for first, _ in mine:
                    right = Rows(e.at(panel.base, first * lanes), panel.stride)
                    self.adjoints.columns(nr, packed, n, right, e.at(out, first * lanes), wide, beta, count)

            e.loop(0, columns, columns_from, step=across)

        e.loop(0, rows, some, step=depth)

    # -- out -------------------------------------------------------------------------------------------

    def write_weights(self) -> None:
        """From [block][column][gate, unit] into the rows of the user's tensors."""
        e, lanes = self.e, self.lanes
        empty = e.eq(e.mul(self.T, self.frame.size("begun")), 0)
        for k, run in enumerate(self.runs):
            columns, wide = self.operand_units(run.operand), len(run.params) * lanes
            lo, hi = self.share(self.count_of_blocks(run.width))

            def block(j: Value, k=k, run=run, columns=columns, wide=wide) -> None:
                there = e.min(lanes, e.sub(self.units(run.width), e.mul(j, lanes)))
                source = e.at(self.frame.pointer(f"gradient {k}"), e.mul(e.mul(j, columns), wide))
                e.when(empty, lambda: self.library("gw_zero", source, e.mul(columns, wide)))
                for i, name in enumerate(run.params):
                    row = self.frame.size(f"dparam {name} row")
                    to = e.at(self.frame.pointer(f"dparam {name}"), e.mul(e.mul(j, lanes), row))
                    self.library("gw_unpack_rows", e.at(source, i * lanes), wide, there, columns, to, row)

            e.loop(lo, hi, block)

    def write_totals(self) -> None:
        """The gradients of vector parameters: the sum of all threads' parts, in their order."""
        e, lanes = self.e, self.lanes
        target = {p.attr.name: self.plan.graph.widths.of(p) for p in self.plan.graph.params}
        for name, width in self.back.totals.items():
            blocks = self.count_of_blocks(width)
            # what is one value for all units was computed by every thread where they split the units
            parts = e.select(e.b.and_(self.splits_units, e.b.not_(e.eq(blocks, 0))), 1, self.threads)
            parts = parts if width == SCALAR else self.threads
            base = self.frame.pointer(f"total {name}")

            def whole(j: Size, base=base, blocks=blocks, parts=parts) -> Value:
                def add(thread: Value, total: Value) -> list[Value]:
                    return [e.b.fadd(total, e.load(base, e.mul(e.add(e.mul(thread, blocks), j), lanes)))]

                return e.loop(0, parts, add, carry=[e.real(0.0)])[0]

            if target[name] == SCALAR and width != SCALAR:
                self._write_single(name, width, whole)
                continue
            lo, hi = self.share(blocks) if width != SCALAR else (0, e.as_size(e.eq(self.thread, 0)))

            def block(j: Value, name=name, width=width, whole=whole) -> None:
                mask = e.first_lanes(e.sub(self.units(width), e.mul(j, lanes)))
                value = whole(j)
                for part in (f"dparam {name}", f"dparam {name} more"):
                    e.store(value, self.frame.pointer(part), e.mul(j, lanes), mask=mask)

            e.loop(lo, hi, block)

    def _write_single(self, name: str, width: Width, whole: Callable[[Size], Value]) -> None:
        """A parameter of one unit: the sum over all units."""
        e = self.e

        def run() -> None:
            def block(j: Value, total: Value) -> list[Value]:
                mask = e.first_lanes(e.sub(self.units(width), e.mul(j, self.lanes)))
                return [e.b.fadd(total, e.b.select(mask, whole(j), e.real(0.0)))]

            total = e.loop(0, self.count_of_blocks(width), block, carry=[e.real(0.0)])[0]
            mask = e.first_lanes(1)
            for part in (f"dparam {name}", f"dparam {name} more"):
                e.store(e.sum_of_lanes(total), self.frame.pointer(part), mask=mask)

        e.when(e.eq(self.thread, 0), run)
