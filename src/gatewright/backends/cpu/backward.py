"""The backward sequence, newest step first: products of the gradients of the step behind, then stage by stage.

After each chunk of steps the gradients of inputs and weights are taken from what is still in the cache. Gradients of
slots lie in a ring of two chunks, so that one barrier a chunk is enough.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from ...graph.widths import SCALAR, Width
from ...plan.backward import Term, Transposed
from ...plan.places import Place
from .emitter import Size, Value
from .gradients import Gradients
from .shared import Shared
from .sizes import transposed
from .worker import Equations, Variable


def emit_backward(shared: Shared) -> ir.Function:
    """The kernel `backward(context, threads)`."""
    return _Backward(shared).run()


class _Backward(Gradients):
    """Emits the whole; the parts that follow a chunk of steps stand in `gradients.py`."""

    def __init__(self, shared: Shared):
        super().__init__(shared)
        self.stages = [self.equations(f"back{k}", stage) for k, stage in enumerate(self.back.stages)]
        self.epilogue = self.equations("epilogue", self.back.epilogue)
        self.end = Variable(self, self.rows[0])
        self.after = Variable(self, self.rows[0])

    def run(self) -> ir.Function:
        e = self.e
        self._pack()
        self._clear()
        self.wait()
        self._chances_at(e.sub(self.T, 1), begin=True)
        chunk = self.frame.size("chunk")
        count = e.ceil_div(self.T, chunk)

        def run_chunk(k: Value) -> None:
            q = e.sub(e.sub(count, 1), k)
            t0 = e.mul(q, chunk)
            t1 = e.min(e.add(t0, chunk), self.T)
            e.loop(0, e.sub(t1, t0), lambda i: self._step(e.sub(e.sub(t1, 1), i)))
            self.wait()
            first = e.eq(k, 0)
            self.input_gradients(t0, t1)
            self.weight_gradients(t0, t1, e.b.not_(first))

        e.loop(0, count, run_chunk)
        self._epilogue()
        self.wait()
        self.write_weights()
        self.write_totals()
        return self.entry()

    # -- before the sequence -------------------------------------------------------------------------

    def _pack(self) -> None:
        self.pack_vectors()
        for product in transposed(self.plan):
            for k, term in enumerate(product.terms):
                each = 1 if product.width == SCALAR else self.frame.size(f"panel {product.width}")
                self.pack_transposed(f"transposed {product.index} {k}", product.width, term, each)
        for run in self.plan.forward.hoisted:
            index = run.operand.index
            width = self.plan.input_widths[index]

            def pack(run=run, width=width) -> None:
                self.pack_transposed(self.name_of(run), width, Term(run.width, run.first, run.params), self.most)

            self.e.when(self.wanted(index), pack)

    def _clear(self) -> None:
        """Sums begin at zero, and carries at the adjoints of the final states."""
        e, lanes = self.e, self.lanes
        for name, width in self.back.totals.items():
            blocks = self.count_of_blocks(width)
            start = e.mul(e.mul(self.thread, blocks), lanes)
            self.library("gw_zero", e.at(self.frame.pointer(f"total {name}"), start), e.mul(blocks, lanes))
        given = {place.index: name for name, place in self.back.starts.items() if place.kind == "carry"}
        for index, width in enumerate(self.back.carries):
            lo, hi = self.share(self.count_of_blocks(width))
            for parity in (0, 1):

                def block(j: Value, index=index, width=width, parity=parity) -> None:
                    panel = self.map.carry(index, width, j, parity)
                    if index in given:
                        self._copy_final(given[index], width, j, panel.base, lanes, (0, self.B))
                    else:
                        self.library("gw_zero", panel.base, e.mul(self.B, lanes))

                e.loop(lo, hi, block)

    def _copy_final(self, name: str, width: Width, j: Size, to: Value, stride: Size, rows: tuple[Size, Size]) -> None:
        """A block of the adjoint of a final state, into rows."""
        e = self.e
        mask = e.first_lanes(e.sub(self.units(width), e.mul(j, self.lanes)))

        def row(r: Value) -> None:
            source = self.map.user_state(f"final {name}", r)
            e.store(e.load(source, e.mul(j, self.lanes), mask=mask), to, e.mul(r, stride))

        e.loop(*rows, row)

    # -- steps ---------------------------------------------------------------------------------------

    def _step(self, t: Value) -> None:
        self.after.set(self.end.get())
        self.grow(self.end, t)
        rows = self.rows[0], self.end.get()
        self._chances_at(t)
        self._clear_ended(t)
        for k, (products, works) in enumerate(zip(self.back.products, self.stages, strict=True)):
            rotated = self.back.rotated if k == 0 else ()
            self._stage(t, rows, rotated, products, works)

    def _stage(
        self,
        t: Size,
        rows: tuple[Size, Size],
        rotated: Sequence[Transposed],
        products: Sequence[Transposed],
        works: list[Equations],
    ) -> None:
        e = self.e
        widths = dict.fromkeys([*(p.width for p in (*rotated, *products)), *(w.width for w in works)])
        for width in sorted(widths, key=lambda w: (w != SCALAR, str(w))):
            lo, hi, each = self.panels(width)

            def panel(k: Value, width=width, lo=lo, hi=hi, each=each) -> None:
                p = self._alternating(t, k, lo, hi) if width != SCALAR else k
                inside = self.in_panel(width, p, each)
                for product in rotated:
                    if product.width == width:
                        self._rotated(product, t, p, each, inside)
                for product in products:
                    if product.width == width:
                        self._transposed(product, t, (rows[0], rows[1]), p, each, inside)
                for work in works:
                    if work.width == width:
                        self._blocks(work, t, p, each, inside, rows, e.eq(k, lo))

            e.loop(lo, hi, panel)
            self.without_units([w for w in works if w.width == width], e.compare(">=", lo, hi), rows)
        self.wait_for_units()

    def _alternating(self, t: Size, k: Value, lo: Size, hi: Size) -> Size:
        """Every other step goes through the panels backwards: a cache still holds the last ones."""
        e = self.e
        odd = e.ne(e.b.and_(e.i64(t), e.i64(1)), 0)
        return e.select(odd, e.sub(e.sub(e.add(lo, hi), 1), k), k)

    def _blocks(self, work: Equations, t: Size, p: Size, each: Size, inside: Size, rows, begin: Value) -> None:
        e = self.e

        def block(q: Value) -> None:
            first = e.as_size(e.both(begin, e.eq(q, 0)))
            j = e.add(e.mul(p, each), q)
            e.call(work.function, e.args["context"], self.thread, t, j, q, *rows, first)
            if work.slots and self.adjoints.halves:
                self.adjoints.round(work.width, j, t, rows)

        e.loop(0, inside, block)

    def _rotated(self, product: Transposed, t: Size, p: Size, each: Size, inside: Size) -> None:
        """The products of the step behind; rows that start here have none, but perhaps their final state's adjoint."""
        e = self.e
        began = self.rows[0], self.after.get()
        self._transposed(product, e.add(t, 1), began, p, each, inside)
        starting = self.after.get(), self.end.get()
        self._start(product, p, each, inside, starting)

    def _start(self, product: Transposed, p: Size, each: Size, inside: Size, rows: tuple[Size, Size]) -> None:
        e = self.e
        scratch = self.map.product(product.index, self.thread)
        state = next((s for s, place in self.back.starts.items() if place == Place("product", "", product.index)), None)

        def block(q: Value) -> None:
            to = e.at(scratch.base, e.mul(q, self.lanes))
            if state is not None:
                self._copy_final(state, product.width, e.add(e.mul(p, each), q), to, scratch.stride, rows)
            else:
                e.loop(*rows, lambda r: e.store(e.real(0.0), to, e.mul(r, scratch.stride)))

        e.when(e.lt(rows[0], rows[1]), lambda: e.loop(0, inside, block))

    def _transposed(
        self, product: Transposed, t: Size, rows: tuple[Size, Size], p: Size, each: Size, inside: Size
    ) -> None:
        """Σ Uᵀ g for one panel of columns, into the scratch."""
        e = self.e
        scratch = self.map.product(product.index, self.thread)
        to = e.at(scratch.base, e.mul(rows[0], scratch.stride))
        n = e.sub(rows[1], rows[0])
        for k, term in enumerate(product.terms):
            first = e.add(self.map.row_of_step("adjoint", t), rows[0])
            self.accumulate(f"transposed {product.index} {k}", term, product.width, first, e.mul(p, each), inside, to,
                            scratch.stride, n, k > 0)  # fmt: skip

    def _clear_ended(self, t: Value) -> None:
        """Sequences that have ended have no gradient: the products of whole chunks read their rows too."""
        e = self.e
        rows = self.end.get(), self.rows[1]

        def clear() -> None:
            for width in self.back.panels:
                lo, hi, each = self.panels(width)

                def panel(p: Value, width=width, each=each) -> None:
                    def block(q: Value) -> None:
                        row = e.add(self.map.row_of_step("adjoint", t), rows[0])
                        self.adjoints.clear(width, e.add(e.mul(p, each), q), row, e.sub(rows[1], rows[0]))

                    e.loop(0, self.in_panel(width, p, each), block)

                e.loop(lo, hi, panel)

        e.when(e.lt(rows[0], rows[1]), clear)

    def _chances_at(self, t: Size, *, begin: bool = False) -> None:
        """Random masks, eight steps at a time, for the present step and the one behind it."""
        e = self.e
        for k, chance in enumerate(self.plan.chances):
            if begin:
                self._chance(k, e.div(self.T, 8) if chance.per_step else e.i64(0))
                if chance.per_step:
                    self._chance(k, e.div(e.max(t, 0), 8))
            elif chance.per_step:
                due = e.eq(e.b.and_(e.i64(t), e.i64(7)), 7)
                e.when(due, lambda k=k: self._chance(k, e.div(t, 8)))

    def _chance(self, k: int, group: Size) -> None:
        width = self.plan.chances[k].width
        lo, hi, each = self.panels(width)
        end = self.e.min(self.e.mul(hi, each), self.count_of_blocks(width))
        self.draw(k, group, self.e.mul(lo, each), end)

    def _epilogue(self) -> None:
        """The adjoints of the states that were passed in, from what step 0 left behind."""
        e = self.e
        self.after.set(self.end.get())
        self.end.set(self.rows[1])
        self._stage(e.i64(-1), self.rows, self.back.rotated, (), self.epilogue)
