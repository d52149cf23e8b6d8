"""What the backward pass shares: panels of packed transposed weights, and products of slots' gradients with them."""

from __future__ import annotations

from ...graph.widths import SCALAR, Width
from ...plan.backward import Term
from ...plan.forward import Product
from .emitter import Size, Value
from .half_operands import Adjoints
from .shared import Shared
from .sizes import every_product
from .worker import Worker

SEGMENTS = 8  # blocks of units in one product: more would drive what they share out of the cache


class BackWorker(Worker):
    """Emits one thread's part of a backward pass; see `backward.py` for the whole."""

    backward = True

    def __init__(self, shared: Shared):
        super().__init__(shared, "backward")
        assert self.plan.backward is not None
        self.back = self.plan.backward
        self.most = len(shared.module.target.tile_rows)
        self.runs = every_product(self.plan)
        self.adjoints = Adjoints(self)

    # -- panels of blocks ----------------------------------------------------------------------------

    def panels(self, width: Width) -> tuple[Size, Size, Size]:
        """(first panel, end, blocks in a panel) of this thread: the columns of one transposed product."""
        if width == SCALAR:
            return 0, 1, 1
        each = self.frame.size(f"panel {width}")
        lo, hi = self.share(self.e.ceil_div(self.count_of_blocks(width), each), units_split=True)
        return lo, hi, each

    def in_panel(self, width: Width, p: Size, each: Size) -> Size:
        """How many blocks a panel has: the last one may have fewer."""
        if width == SCALAR:
            return 1
        return self.e.min(each, self.e.sub(self.count_of_blocks(width), self.e.mul(p, each)))

    def name_of(self, run: Product) -> str:
        return f"transposed {run.width} {run.first} {run.operand.index}"

    def wanted(self, index: int) -> Value:
        return self.e.ne(self.frame.size(f"input_adjoint {index} wanted"), 0)

    def pack_transposed(self, name: str, width: Width, term: Term, each: Size) -> None:
        """[panel][block of units, gate, unit][columns]: the right operand of Σ Uᵀ g."""
        e, lanes, deep = self.e, self.lanes, self.adjoints.deep
        columns, rows = self.units(width), self.units(term.width)
        depth = e.mul(self.count_of_blocks(term.width), len(term.params) * deep)
        lo, hi = self.share(e.ceil_div(self.count_of_blocks(width), each))

        def panel(p: Value) -> None:
            wide = e.mul(self.e.min(each, e.sub(self.count_of_blocks(width), e.mul(p, each))), lanes)
            column = e.mul(e.mul(p, each), lanes)
            there = e.min(wide, e.sub(columns, column))
            base = e.at(self.frame.pointer(name), e.mul(e.mul(column, 1), depth))

            def block(j: Value) -> None:
                first = e.mul(j, lanes)
                present = e.min(lanes, e.sub(rows, first))
                for i, param in enumerate(term.params):
                    row = self.frame.size(f"param {param} row")
                    source = e.at(self.frame.pointer(f"param {param}"), e.add(e.mul(first, row), column))
                    to = e.mul(e.mul(e.add(e.mul(j, len(term.params)), i), deep), wide)
                    self.adjoints.pack(source, row, present, there, e.at(base, to), wide, wide)

            e.loop(0, self.count_of_blocks(term.width), block)

        e.loop(lo, hi, panel)

    def accumulate(
        self, name: str, term: Term, width: Width, row: Size, first: Size, wide: Size, to: Value, stride: Size, n: Size,
        adds: bool,
    ) -> None:  # fmt: skip
        """n rows of slots' gradients times a panel of packed columns of a width, a few blocks of units at a time."""
        e, lanes = self.e, self.lanes
        gates, blocks = len(term.params), self.count_of_blocks(term.width)
        begin, between = self.adjoints.panel(term.width, 0, row), self.adjoints.between(term.width)
        deep = self.adjoints.deep
        depth = e.mul(blocks, gates * deep)
        right = e.at(self.frame.pointer(name), e.mul(e.mul(first, lanes), depth))
        right_row = e.mul(wide, lanes)
        start: Size = 0
        if self.has_heads(term.params):
            column, columns = e.mul(first, lanes), self.units(width)
            unit, end = self.met_by(column, e.add(column, right_row), columns, self.units(term.width))
            start, blocks = e.div(unit, lanes), e.ceil_div(end, lanes)

        def some(s: Value) -> None:
            left = e.at(begin.base, e.add(e.mul(s, between), term.first * deep))
            count = e.min(SEGMENTS, e.sub(blocks, s))
            beta = 1 if adds else e.as_size(e.lt(start, s))
            b = e.at(right, e.mul(s, e.mul(gates * deep, right_row)))
            self.adjoints.multiply(wide, left, begin.stride, 1, gates * deep, between, count, b, right_row, to, stride,
                                   beta, n)  # fmt: skip

        e.loop(start, blocks, some, step=SEGMENTS)
