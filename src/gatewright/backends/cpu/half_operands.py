"""What a worker's products multiply: numbers where they lie, or pairs of bfloat16 numbers that are made of them.

Rows of inputs and states become pairs in a place of each thread's own, once for all the products of a stage that meet
them: a row is rounded once, and read by as many matrices as there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...graph.widths import Width
from ...plan.forward import Product
from ...plan.places import Place
from .emitter import Size, Value
from .memory_map import Rows as PanelRows
from .sizes import every_operand, paired

if TYPE_CHECKING:
    from .transposed import BackWorker
    from .worker import Worker

Rows = tuple[Value, Size]
"""Where the first row begins, and how far apart rows are."""


class Operands:
    """The left operands of the products of a forward pass; K and strides count numbers, or words of two."""

    def __init__(self, worker: Worker):
        self.w, self.e, self.halves = worker, worker.e, worker.shared.halves
        self.number = {place: k for k, place in enumerate(every_operand(worker.plan))}

    def terms(self, K: Size) -> Size:
        """How long a row is."""
        return self.e.ceil_div(K, 2) if self.halves else K

    def part(self, k: Size, end: Size) -> tuple[Size, Size]:
        """What of a row holds the numbers from k to the end; a neighbour in the same word meets a zero."""
        return (self.e.div(k, 2), self.e.ceil_div(end, 2)) if self.halves else (k, end)

    def ready(self, products: Sequence[Product], rows: Sequence[Rows], n: Size, where: Value | None = None):
        """(product, its operand's n rows as it takes them) for each product; they are made `where` that holds."""
        if not self.halves:
            return list(zip(products, rows, strict=True))
        given = {p.operand: found for p, found in zip(products, rows, strict=True)}

        def make() -> None:
            for operand, (a, stride) in given.items():
                to, row = self._place(operand)
                self.w.library("gw_halve", a, stride, n, self.w.operand_units(operand), to, row)

        if where is None:
            make()
        elif given:
            self.e.when(where, make)
        return [(p, self._place(p.operand)) for p in products]

    def one(self, product: Product, rows: Rows, n: Size) -> Rows:
        """The n rows that one product takes."""
        return self.ready([product], [rows], n)[0][1]

    def _place(self, operand: Place) -> Rows:
        e, frame = self.e, self.w.frame
        number = e.add(e.mul(self.w.thread, len(self.number)), self.number[operand])
        to = e.at(frame.pointer("halves"), e.mul(number, frame.size("halves each")))
        words = e.ceil_div(self.w.operand_units(operand), self.w.lanes)
        return to, e.mul(words, self.w.lanes // 2)

    def pack(self, source: Value, row: Size, there: Size, K: Size, to: Value, wide: int) -> None:
        """A matrix's rows, `there` of them, as a panel's columns."""
        self.w.library("gw_pack_half", source, row, there, K, to, wide)

    def multiply(self, *args: Size | Value) -> None:
        """`gw_rows`, or the same of pairs."""
        self.w.library("gw_half_rows" if self.halves else "gw_rows", *args)


class Adjoints:
    """The gradients of slots as products of a backward pass take them: their panels, or the same rounded to pairs.

    deep: how many elements of such a panel, or rows of a matrix that it meets, a vector's lanes are.
    """

    def __init__(self, worker: BackWorker):
        self.w, self.e, self.halves = worker, worker.e, worker.shared.halves
        self.lanes = worker.lanes
        self.deep = self.lanes // 2 if self.halves else self.lanes

    def panel(self, width: Width, j: Size, row: Size) -> PanelRows:
        """A block from a row on."""
        found = self.w.map.adjoint(width, j, row)
        return self._rounded(width, j, row) if self.halves else found

    def _rounded(self, width: Width, j: Size, row: Size) -> PanelRows:
        e, stride = self.e, self.w.back.panels[width] * self.deep
        first = e.add(e.mul(j, self.w.frame.size("adjoint rows")), row)
        return PanelRows(e.at(self.w.frame.pointer(f"adjoint halves {width}"), e.mul(first, stride)), stride)

    def between(self, width: Width) -> Size:
        """From one block of units to the next."""
        return self.e.mul(self.w.frame.size("adjoint rows"), self.w.back.panels[width] * self.deep)

    def round(self, width: Width, j: Size, t: Size, rows: tuple[Size, Size]) -> None:
        """Round a block that has been computed."""
        e = self.e
        row = e.add(self.w.map.row_of_step("adjoint", t), rows[0])
        count = e.mul(e.sub(rows[1], rows[0]), self.w.back.panels[width] * self.lanes)
        source, to = self.w.map.adjoint(width, j, row), self._rounded(width, j, row)
        self.w.library("gw_halve", source.base, 0, 1, count, to.base, 0)

    def clear(self, width: Width, j: Size, row: Size, n: Size) -> None:
        """Zeros in n rows of a block."""
        positions = self.w.back.panels[width]
        begin = self.w.map.adjoint(width, j, row)
        self.w.library("gw_zero", begin.base, self.e.mul(n, positions * self.lanes))
        if self.halves:
            rounded = self._rounded(width, j, row)
            self.w.library("gw_zero", rounded.base, self.e.mul(n, positions * self.deep))

    def pack(self, *args: Size | Value) -> None:
        """`gw_copy_rows`, `lanes` rows of a matrix, or the same of pairs of rows."""
        self.w.library("gw_pair_rows" if self.halves else "gw_copy_rows", *args, self.deep)

    def multiply(self, *args: Size | Value) -> None:
        """`gw_rows`, or the same of pairs."""
        self.w.library("gw_half_rows" if self.halves else "gw_rows", *args)

    # -- sums over rows ------------------------------------------------------------------------------

    def pack_left(self, *args: Size | Value) -> None:
        """`gw_pack_left`, or the same of pairs of rows."""
        self.w.library("gw_pack_left_half" if self.halves else "gw_pack_left", *args)

    def columns(self, nr: int, left: Value, n: Size, right: PanelRows, *rest: Size | Value) -> None:
        """`gw_columns` over n rows, or the same of pairs of rows."""
        name, terms = ("gw_half_columns", self.e.ceil_div(n, 2)) if self.halves else ("gw_columns", n)
        self.w.library(name, nr, left, terms, right.base, right.stride, *rest)

    def beside(self, run: Product, j: Size, row: Size, n: Size) -> PanelRows:
        """The gradients of a run's slots, n rows of a block; as pairs of rows in a place of this thread's own."""
        e, wide = self.e, len(run.params) * self.lanes
        panel = self.w.map.adjoint(run.width, j, row)
        source = e.at(panel.base, run.first * self.lanes)
        if not self.halves:
            return PanelRows(source, panel.stride)
        to = e.at(self.w.frame.pointer("paired"), e.mul(self.w.thread, paired(self.w.plan, self.lanes)))
        self.w.library("gw_pair_rows", source, panel.stride, n, wide, to, wide, wide, e.ceil_div(n, 2))
        return PanelRows(to, wide)
