"""How large everything is that a call needs: the units of every width, and the places in its buffers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ...graph.widths import SCALAR, Sizes, Width
from ...plan.backward import Transposed
from ...plan.forward import Product
from ...plan.places import Place
from ...plan.plan import Plan

ALIGN = 16  # elements: 64 bytes or more
FEW = 6  # rows: with fewer, a thread's tile is not full
CHUNK = 384  # rows whose gradients stay in the cache until those of inputs and weights have been taken from them
HOISTED = 96  # rows whose products with inputs are made ahead
ROWS = 48  # of an input's gradient at a time
COLUMNS = 256  # of an operand packed at a time for a weight's gradient
DEPTH = 512  # rows of it


@dataclass(frozen=True)
class Shape:
    """The numbers of one call. `threads` share units where `unit`, else sequences. `halves`: products multiply pairs of
    bfloat16 numbers.
    """

    plan: Plan
    sizes: Sizes
    T: Any  # a number, or the symbol of one while a program is traced
    B: Any
    lanes: int
    item: int
    panels: int
    threads: int
    unit: bool
    halves: bool = False

    def units(self, width: Width) -> int:
        return 1 if width == SCALAR else self.sizes.number(width)

    def blocks(self, width: Width) -> int:
        return -(-self.units(width) // self.lanes)

    def padded(self, width: Width) -> int:
        return self.blocks(width) * self.lanes

    def operand(self, product: Product) -> int:
        """The units of a product's operand."""
        place, planned = product.operand, self.plan
        if place.kind == "input":
            return self.units(planned.input_widths[place.index])
        stored = planned.states if place.kind == "state" else planned.vectors
        return self.units(next(s.width for s in stored if s.place == place))

    def terms(self, product: Product) -> int:
        """How many numbers or pairs of them a row of a product's operand has."""
        units = self.operand(product)
        return -(-units // 2) if self.halves else units

    @property
    def chunk(self) -> int:
        """Steps in a chunk of the forward pass."""
        return max(1, min(self.T, HOISTED // max(self.B, 1)))

    @property
    def back_chunk(self) -> int:
        return max(1, min(self.T, -(-CHUNK // max(self.B, 1))))

    def panel(self, width: Width) -> int:
        """How many blocks the columns of a transposed product span: as many as leave the threads equal shares."""
        blocks, n = self.blocks(width), self.threads
        if not self.unit:
            return min(self.panels, blocks)

        def worst(each: int) -> int:
            count = -(-blocks // each)
            shares = [range(k * count // n, (k + 1) * count // n) for k in range(n)]
            return max(sum(min(each, blocks - p * each) for p in share) for share in shares)

        return min(range(min(self.panels, blocks), 0, -1), key=lambda each: (worst(each), -each))


class Space:
    """Places in one flat buffer, by name, each at a multiple of a cache line."""

    def __init__(self) -> None:
        self.offset: dict[str, Any] = {}
        self.counts: dict[str, Any] = {}
        self.total = 0

    def take(self, name: str, count: Any) -> None:
        if name not in self.offset:
            self.offset[name], self.counts[name] = self.total, count
            self.total = self.total + (count + ALIGN - 1) // ALIGN * ALIGN


def every_product(planned: Plan) -> list[Product]:
    forward = planned.forward
    return [*forward.hoisted, *(p for stage in forward.products for p in stage)]


def every_operand(planned: Plan) -> list[Place]:
    """What products meet, each once."""
    return list(dict.fromkeys(p.operand for p in every_product(planned)))


def transposed(planned: Plan) -> list[Transposed]:
    back = planned.backward
    assert back is not None
    return [*back.rotated, *(p for stage in back.products for p in stage)]


def vector_widths(planned: Plan) -> dict[Width, int]:
    """The number of vector parameters of each width."""
    found: dict[Width, int] = {}
    for p in planned.graph.params:
        if p.attr.kind not in "WU":
            width = planned.graph.widths.of(p)
            found[width] = found.get(width, 0) + 1
    return found


def widths_of(planned: Plan) -> set[Width]:
    """Every width that a kernel may ask for."""
    forward, back = planned.forward, planned.backward
    found = {*forward.panels, *planned.input_widths, planned.output, *vector_widths(planned)}
    found |= {s.width for s in (*planned.states, *planned.vectors)} | {w for _, w in planned.record}
    found |= {c.width for c in planned.chances} | {p.width for p in every_product(planned)}
    stages = [*forward.stages, forward.enter]
    if back:
        found |= {*back.panels, *back.carries, *back.operands, *back.totals.values()}
        found |= {p.width for p in transposed(planned)}
        stages += [*back.stages, back.epilogue]
    return (found | {work.width for stage in stages for work in stage}) - {SCALAR}


def rows_stored(planned: Plan) -> Iterator[tuple[Place, Width]]:
    """States and operands that lie row by row."""
    for stored in (*planned.states, *planned.vectors):
        if stored.rows:
            yield stored.place, stored.width


def saved_space(shape: Shape) -> Space:
    """What a forward pass leaves for backward; backward may run with another number of threads."""
    space, planned = Space(), shape.plan
    for stored in (*planned.states, *planned.vectors):
        space.take(stored_name(stored.place), (shape.T + 1) * shape.B * shape.padded(stored.width))
    for width, positions in planned.forward.panels.items():
        space.take(f"value {width}", shape.blocks(width) * shape.T * shape.B * positions * shape.lanes)
    return space


def stored_name(place: Place) -> str:
    """What a context calls a state or an operand."""
    return f"{place.kind} {place.name or place.index}"


def packed_space(shape: Shape) -> Space:
    """Weights as the forward kernel reads them."""
    space = Space()
    for k, product in enumerate(every_product(shape.plan)):
        space.take(f"weights {k}", shape.terms(product) * shape.padded(product.width) * len(product.params))
    for width, count in vector_widths(shape.plan).items():
        space.take(f"vectors {width}", shape.padded(width) * count)
    return space


def forward_space(shape: Shape, *, train: bool) -> Space:
    """The scratch of a forward pass."""
    space, planned, B = Space(), shape.plan, shape.B
    if not train:
        for width, positions in planned.forward.panels.items():
            rows = shape.blocks(width) * shape.chunk * B
            space.take(f"value {width}", rows * positions * shape.lanes)
        for stored in (*planned.states, *planned.vectors):
            space.take(stored_name(stored.place), 2 * B * shape.padded(stored.width))
    space.take("gathered", shape.threads * len(planned.input_widths) * gathered(shape))
    if shape.halves:
        space.take("halves", shape.threads * len(every_operand(planned)) * halved(shape))
    _take_common(space, shape)
    return space


def paired(planned: Plan, lanes: int) -> int:
    """The elements of a block's gradients as pairs of rows; a thread has a place for them."""
    return max((len(p.params) for p in every_product(planned)), default=1) * lanes * DEPTH // 2


def halved(shape: Shape) -> int:
    """The elements of the rows of an operand as pairs; a thread has a place for each operand."""
    widest = max((shape.operand(p) for p in every_product(shape.plan)), default=1)
    row = -(-widest // shape.lanes) * shape.lanes // 2
    return -(-max(shape.B, HOISTED) * row // ALIGN) * ALIGN


def gathered(shape: Shape) -> int:
    """The elements of a chunk's rows of an input; a thread has a place for each input."""
    widest = max((shape.units(w) for w in shape.plan.input_widths), default=1)
    return -(-shape.chunk * shape.B * widest // ALIGN) * ALIGN


def backward_space(shape: Shape) -> Space:
    """The scratch of a backward pass."""
    space, planned, B, lanes = Space(), shape.plan, shape.B, shape.lanes
    back = planned.backward
    assert back is not None
    ring = 2 * shape.back_chunk * B
    for width, positions in back.panels.items():
        space.take(f"adjoint {width}", shape.blocks(width) * ring * positions * lanes)
        if shape.halves:
            space.take(f"adjoint halves {width}", shape.blocks(width) * ring * positions * lanes // 2)
    for k, width in enumerate(back.carries):
        space.take(f"carry {k}", 2 * shape.padded(width) * B)
    products = transposed(planned)
    space.take("products", shape.threads * len(products) * B * shape.panels * lanes)
    for p in products:
        for k, term in enumerate(p.terms):
            space.take(f"transposed {p.index} {k}", _depth(shape, term) // (1 + shape.halves) * shape.padded(p.width))
    for run in planned.forward.hoisted:
        name = f"transposed {run.width} {run.first} {run.operand.index}"
        depth = _depth(shape, run) // (1 + shape.halves)
        space.take(name, depth * shape.padded(planned.input_widths[run.operand.index]))
    for name, width in back.totals.items():
        space.take(f"total {name}", shape.threads * shape.padded(width))
    for k, run in enumerate(every_product(planned)):
        space.take(f"gradient {k}", _depth(shape, run) * shape.operand(run))
    space.take("packed", shape.threads * packed_left())
    if shape.halves:
        space.take("paired", shape.threads * paired(planned, lanes))
    space.take("edge", shape.threads * ROWS * shape.panels * lanes)
    for k, width in enumerate(back.operands):
        space.take(f"operand {k}", B * shape.padded(width))
    for k, width in enumerate(planned.input_widths):
        space.take(f"gathered {k}", ring * shape.units(width))
        space.take(f"regathered {k}", ring * shape.units(width))
    for width, count in vector_widths(planned).items():
        space.take(f"vectors {width}", shape.padded(width) * count)
    _take_common(space, shape)
    return space


def _depth(shape: Shape, term) -> int:
    """Slots and padding of a run of neighbours."""
    return shape.padded(term.width) * len(term.params)


def packed_left() -> int:
    """The elements of one packed left operand."""
    return DEPTH * (COLUMNS + 32) + 64


def _take_common(space: Space, shape: Shape) -> None:
    planned, B = shape.plan, shape.B
    sums = len(planned.forward.reductions) + (len(planned.backward.reductions) if planned.backward else 0)
    space.take("reductions", shape.threads * sums * B * shape.lanes)
    for k, chance in enumerate(planned.chances):
        space.take(f"chance {k}", -(-16 * shape.blocks(chance.width) * B * 2 // shape.item))
