"""The forward sequence: products of the inputs by chunks of time, then step by step, stage by stage."""

from __future__ import annotations

from functools import partial

from llvmlite import ir

from ...graph.widths import SCALAR, Width
from ...plan.forward import Product
from ...plan.places import Place
from .emitter import Size, Value
from .half_operands import Operands
from .shared import Shared
from .sizes import HOISTED
from .worker import Equations, Variable, Worker

PACK, KEEP = 1, 2  # the weights have to be packed; they have been, unless a look at them says otherwise
LOOKS = 4  # rows of which one is looked at


def emit_forward(shared: Shared) -> ir.Function:
    """The kernel `forward(context, threads)`."""
    return _Forward(shared).run()


def pieces(count: int, most: int) -> list[tuple[int, int]]:
    """(first, how many): neighbouring vectors in as few tiles as their widths allow, as equal as can be."""
    number = -(-count // most)
    sizes = [count // number + (k < count % number) for k in range(number)]
    return [(sum(sizes[:k]), size) for k, size in enumerate(sizes)]


class _Forward(Worker):
    def __init__(self, shared: Shared):
        super().__init__(shared, "forward")
        plan = self.plan.forward
        self.stages = [self.equations(f"stage{k}", stage) for k, stage in enumerate(plan.stages)]
        self.enter = self.equations("enter", plan.enter)
        every = [*plan.hoisted, *(p for stage in plan.products for p in stage)]
        self.number = {id(p): k for k, p in enumerate(every)}
        self.every = every
        self.end = Variable(self, self.rows[1])
        self.operands = Operands(self)

    def run(self) -> ir.Function:
        e = self.e
        self._pack()
        self.wait()
        self._chances(e.i64(0), once=True)
        self._enter()
        chunk = self.frame.size("chunk")

        def run_chunk(t0: Value) -> None:
            t1 = e.min(e.add(t0, chunk), self.T)
            self._hoist(t0, t1)
            e.loop(t0, t1, self._step)

        e.loop(0, self.T, run_chunk, step=chunk)
        self._finish()
        return self.entry()

    # -- weights -------------------------------------------------------------------------------------

    def _pack(self) -> None:
        """Weights into panels in which the gates of one block of units lie side by side."""
        for product in self.every:
            lo, hi = self.share(self.count_of_blocks(product.width))
            self.e.loop(lo, hi, lambda j, product=product: self._pack_block(product, j))
        self.pack_vectors()

    def _pack_block(self, product: Product, j: Value) -> None:
        e, K = self.e, self.operand_units(product.operand)
        there = e.min(self.lanes, e.sub(self.units(product.width), e.mul(j, self.lanes)))
        wide = len(product.params) * self.lanes
        panel = self._weights(product, j)
        for i, name in enumerate(product.params):
            row = self.frame.size(f"param {name} row")
            source = e.at(self.frame.pointer(f"param {name}"), e.mul(e.mul(j, self.lanes), row))
            to = e.at(panel, i * self.lanes)
            if self.shared.halves:
                self.operands.pack(source, row, there, K, to, wide)
                continue
            pack = partial(self.library, "gw_pack_rows", source, row, there, K, to, wide)
            e.when(self._is_stale(j, source, row, there, K, to, wide), pack)

    def _is_stale(self, j: Value, source: Value, row: Size, there: Size, K: Size, packed: Value, wide: int) -> Value:
        """Whether a panel has to be packed: always, unless it may be kept.

        Then some numbers are compared, each in another column: weights can be changed behind torch's back.
        """
        e = self.e
        word = ir.IntType(8 * e.module.bytes)

        def differs(u: Value, found: Value) -> list[Value]:
            mixed = e.b.and_(e.add(e.mul(u, 40503), e.mul(j, 12829)), e.i64(0xFFFF))
            k = e.b.lshr(e.mul(K, mixed), e.i64(16))
            here = e.load_as(word, source, e.add(e.mul(u, row), k))
            there_ = e.load_as(word, packed, e.add(e.mul(k, wide), u))
            return [e.b.or_(found, e.as_size(e.b.icmp_unsigned("!=", here, there_)))]

        always = e.as_size(e.eq(self.frame.size("pack"), PACK))
        rows = e.select(e.ne(always, 0), 0, there)
        return e.ne(e.loop(0, rows, differs, step=LOOKS, carry=[always])[0], 0)

    def _weights(self, product: Product, j: Size) -> Value:
        K = self.operands.terms(self.operand_units(product.operand))
        block = self.e.mul(K, len(product.params) * self.lanes)
        return self.e.at(self.frame.pointer(f"weights {self.number[id(product)]}"), self.e.mul(j, block))

    # -- products ------------------------------------------------------------------------------------

    def _product(self, product: Product, j: Size, a: Value, stride: Size, row: Size, n: Size) -> None:
        """n rows of an operand times one block's matrices, into the panel from `row` on."""
        e, K = self.e, self.operand_units(product.operand)
        panel = self.map.value(product.width, j, row)
        weights, wide, terms = self._weights(product, j), len(product.params) * self.lanes, self.operands.terms(K)
        if self.has_heads(product.params):
            begin = e.mul(j, self.lanes)
            met = self.met_by(begin, e.add(begin, self.lanes), self.units(product.width), K)
            k, end = self.operands.part(*met)
            a, weights, terms = e.at(a, k), e.at(weights, e.mul(k, wide)), e.sub(end, k)
        for first, count in pieces(len(product.params), len(self.shared.module.target.tile_rows)):
            right = e.at(weights, first * self.lanes)
            result = e.at(panel.base, (product.first + first) * self.lanes)
            beta = 0 if product.fresh else 1
            self.operands.multiply(count, a, stride, 1, terms, 0, 1, right, wide, result, panel.stride, beta, n)

    def _hoist(self, t0: Value, t1: Value) -> None:
        """The products of inputs for a chunk of steps: all rows at once where units are split, else step by step."""
        e = self.e
        for width, position in self.plan.forward.zeroed:
            lo, hi = self.blocks(width)
            e.loop(t0, t1, lambda t, w=width, p=position, lo=lo, hi=hi: self._zero(t, w, p, lo, hi))
        e.when(e.eq(self.frame.size("fused"), 0), lambda: self._hoist_products(t0, t1))

    def _hoist_products(self, t0: Value, t1: Value) -> None:
        e = self.e
        for product in self.plan.forward.hoisted:
            e.when(
                e.ne(self.frame.size(f"input {product.operand.index} flat"), 0),
                lambda product=product: self._hoist_flat(product, t0, t1),
                lambda product=product: self._hoist_steps(product, t0, t1),
            )

    def _zero(self, t: Value, width: Width, position: int, lo: Size, hi: Size) -> None:
        e = self.e

        def block(j: Value) -> None:
            panel = self.map.value(width, j, self.map.row_of_step("value", t))
            pointer = e.at(panel.base, position * self.lanes)
            e.loop(*self.rows, lambda r: e.store(e.real(0.0), pointer, e.mul(r, panel.stride)))

        e.loop(lo, hi, block)

    def _hoist_flat(self, product: Product, t0: Value, t1: Value) -> None:
        e, name = self.e, f"input {product.operand.index}"
        row0 = self.map.row_of_step("value", t0)
        total = e.mul(e.sub(t1, t0), self.B)
        stride = self.frame.size(f"{name} flat")
        x = e.at(self.frame.pointer(name), e.mul(t0, self.frame.size(f"{name} step")))
        lo, hi = self.blocks(product.width)

        def some(q: Value) -> None:
            n = e.min(HOISTED, e.sub(total, q))
            a, apart = self.operands.one(product, (e.at(x, e.mul(q, stride)), stride), n)
            e.loop(lo, hi, lambda j: self._product(product, j, a, apart, e.add(row0, q), n))

        e.loop(0, total, some, step=HOISTED)

    def _hoist_steps(self, product: Product, t0: Value, t1: Value) -> None:
        """Step by step; rows that do not lie at one stride are gathered first, for the whole chunk."""
        e, name = self.e, f"input {product.operand.index}"
        first, last = self.rows
        lo, hi = self.blocks(product.width)
        K, n = self.operand_units(product.operand), e.sub(last, first)
        plain = e.ne(self.frame.size(f"{name} plain"), 0)
        scratch = self._gathered(product)
        e.when(plain, lambda: None, lambda: self.gather(name, t0, t1, (first, last), K, scratch, K))

        def step(t: Value) -> None:
            row = e.add(self.map.row_of_step("value", t), first)
            there, apart = self._input_rows(product, t)
            here = e.at(scratch, e.mul(e.mul(e.sub(t, t0), n), K))
            found = e.b.select(plain, there, here), e.select(plain, apart, K)
            a, stride = self.operands.one(product, found, n)
            e.loop(lo, hi, lambda j: self._product(product, j, a, stride, row, n))

        def whole() -> None:
            row, count = self.map.row_of_step("value", t0), e.mul(e.sub(t1, t0), n)
            a, stride = self.operands.one(product, (scratch, K), count)
            e.loop(lo, hi, lambda j: self._product(product, j, a, stride, row, count))

        # where a thread has all rows, those of all steps of the chunk follow each other
        at_once = e.both(self.splits_units, e.b.not_(plain))
        e.when(at_once, whole, lambda: e.loop(t0, t1, step))

    def _gathered(self, product: Product) -> Value:
        """This thread's place for an input's rows side by side."""
        e = self.e
        place = e.add(e.mul(self.thread, len(self.plan.input_widths)), product.operand.index)
        return e.at(self.frame.pointer("gathered"), e.mul(place, self.frame.size("gathered each")))

    def gather(
        self, name: str, t0: Size, t1: Size, rows: tuple[Size, Size], columns: Size, to: Value, stride: Size
    ) -> None:
        """A user's sequences, in the order of the kernel's rows, into rows side by side."""
        f = self.frame
        self.library(
            "gw_gather", f.pointer(name), f.size(f"{name} step"), f.size(f"{name} time"), f.size(f"{name} batch"),
            f.pointer("order"), f.pointer("first"), f.pointer("count"), t0, t1, *rows, columns, to, stride,
            self.e.mul(self.e.sub(rows[1], rows[0]), stride),
        )  # fmt: skip

    # -- steps ---------------------------------------------------------------------------------------

    def _enter(self) -> None:
        """The states and operands that step 0 finds; all rows, also those without any step."""
        e = self.e
        for work in self.enter:
            lo, hi = self.blocks(work.width)
            e.loop(lo, hi, lambda j, f=work.function, lo=lo: self._call(f, e.i64(-1), j, lo, self.rows))
        self.wait_for_units()

    def _call(self, function: ir.Function, t: Size, j: Size, lo: Size, rows: tuple[Size, Size]) -> None:
        e = self.e
        e.call(function, e.args["context"], self.thread, t, j, 0, *rows, e.as_size(e.eq(j, lo)))

    def _step(self, t: Value) -> None:
        e = self.e
        self.shrink(self.end, t)
        rows = self.rows[0], self.end.get()
        e.when(e.ne(self.frame.size("fused"), 0), lambda: self._gather_step(t, rows))
        self._chances(t)
        for k, (products, works) in enumerate(zip(self.plan.forward.products, self.stages, strict=True)):
            hoisted = self.plan.forward.hoisted if k == 0 else ()
            for width in dict.fromkeys([*(w.width for w in works), *(p.width for p in (*products, *hoisted))]):
                mine = [w for w in works if w.width == width]
                at_hand = [p for p in products if p.width == width]
                self._blocks_of_stage(t, rows, width, at_hand, mine, first_stage=k == 0)
            self.wait_for_units()

    def _gather_step(self, t: Value, rows: tuple[Value, Value]) -> None:
        """The rows of inputs at one step, where they do not lie at one stride."""
        e = self.e
        for product in {p.operand.index: p for p in self.plan.forward.hoisted}.values():
            name, K, to = f"input {product.operand.index}", self.operand_units(product.operand), self._gathered(product)
            plain = e.ne(self.frame.size(f"{name} plain"), 0)
            gather = partial(self.gather, name, t, e.add(t, 1), rows, K, to, K)
            e.when(plain, lambda: None, gather)

    def _blocks_of_stage(
        self, t: Value, rows: tuple[Size, Size], width: Width, products: list[Product], works: list[Equations],
        *, first_stage: bool,
    ) -> None:  # fmt: skip
        """Products, and the equations on what they have written, block by block of units.

        Every other step goes through the blocks backwards: what a cache still holds of the weights comes first.
        """
        e = self.e
        lo, hi = self.blocks(width)
        odd = e.ne(e.b.and_(t, e.i64(1)), 0)
        row0 = e.add(self.map.row_of_step("value", t), rows[0])
        n = e.sub(rows[1], rows[0])
        ready = self.operands.ready(products, [self._operand(p.operand, t, rows[0]) for p in products], n)
        hoisted = [p for p in self.plan.forward.hoisted if p.width == width and first_stage]
        here = e.ne(self.frame.size("fused"), 0) if hoisted else None
        fused = self.operands.ready(hoisted, [self._step_rows(p, t) for p in hoisted], n, where=here)

        def inputs(j: Value) -> None:
            for product, (a, stride) in fused:
                self._product(product, j, a, stride, row0, n)

        def block(k: Value) -> None:
            j = e.select(odd, e.sub(e.sub(e.add(lo, hi), 1), k), k) if width != SCALAR else k
            if fused:
                e.when(here, lambda: inputs(j))
            for product, (a, stride) in ready:
                self._product(product, j, a, stride, row0, n)
            first = e.as_size(e.eq(k, lo))
            for work in works:
                e.call(work.function, e.args["context"], self.thread, t, j, 0, *rows, first)

        e.loop(lo, hi, block)
        self.without_units(works, e.compare(">=", lo, hi), rows)

    def _input_rows(self, product: Product, t: Value) -> tuple[Value, Size]:
        """This thread's rows of an input at one step, where they lie at one stride."""
        e, name = self.e, f"input {product.operand.index}"
        stride = self.frame.size(f"{name} batch")
        x = e.at(self.frame.pointer(name), e.mul(t, self.frame.size(f"{name} step")))
        return e.at(x, e.mul(self.rows[0], stride)), stride

    def _step_rows(self, product: Product, t: Value) -> tuple[Value, Size]:
        """The same, or where they have been gathered."""
        e = self.e
        plain = e.ne(self.frame.size(f"input {product.operand.index} plain"), 0)
        (there, apart), K = self._input_rows(product, t), self.operand_units(product.operand)
        return e.b.select(plain, there, self._gathered(product)), e.select(plain, apart, K)

    def _operand(self, place: Place, t: Value, row: Size) -> tuple[Value, Size]:
        """The first row of a product's operand, and the stride of its rows."""
        rows = self.map.stored(place, t)
        return self.e.at(rows.base, self.e.mul(row, rows.stride)), rows.stride

    def _chances(self, t: Value, *, once: bool = False) -> None:
        """Random masks, eight steps at a time, one step before the first of them is looked at."""
        for k, chance in enumerate(self.plan.chances):
            if once:
                self.chance(k, self.e.i64(0))
            elif chance.per_step:
                later = self.e.add(t, 1)
                due = self.e.eq(self.e.b.and_(later, self.e.i64(7)), 0)
                self.e.when(due, lambda k=k, later=later: self.chance(k, self.e.div(later, 8)))

    def chance(self, k: int, group: Value) -> None:
        self.draw(k, group, *self.blocks(self.plan.chances[k].width))

    # -- the end ---------------------------------------------------------------------------------------

    def _finish(self) -> None:
        """Each sequence's final states, from behind its last step."""
        e = self.e
        for state in self.plan.states:
            lo, hi = self.blocks(state.width)

            def block(j: Value, state=state) -> None:
                mask = e.first_lanes(e.sub(self.units(state.width), e.mul(j, self.lanes)))

                def row(r: Value) -> None:
                    behind = self.map.entry("count", r)
                    if state.rows:
                        rows = self.map.stored(state.place, behind)
                        value = e.load(rows.base, e.add(e.mul(r, rows.stride), e.mul(j, self.lanes)), mask=mask)
                    else:
                        panel = self.map.state_panel(state.name, j, behind)
                        value = e.load(panel.base, e.mul(r, panel.stride))
                    to = self.map.user_state(f"final {state.name}", r)
                    e.store(value, to, e.mul(j, self.lanes), mask=mask)

                e.loop(*self.rows, row)

            e.loop(lo, hi, block)
