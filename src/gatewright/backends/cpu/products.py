"""Matrix products from tiles, and the library module: all that no cell and no shape decides.

A library is compiled once for a dtype and an instruction set; the kernels of all cells call its functions by name.
Sizes and strides count elements.

    gw_rows       n rows, whose elements stand anywhere by strides
    gw_columns    the same on a left operand packed by gw_pack_left: for products that sum over rows
    gw_pack_left  packs the columns of a matrix for gw_columns

Rows are cut into as few chunks as the tiles allow, as equal as can be: 16 rows of which a tile takes 6 are 6, 5 and 5.
`nr`, the width in vectors, is one that the target has tiles for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from llvmlite import ir

from .drops import DROP, SIGNATURE, add_drop
from .emitter import I32, I64, PTR, VOID, Check, Emitter, Module, Size, Value
from .moves import MOVES, add_moves, copy_row
from .philox import CHANCES, add_chances
from .target import Target
from .threads import BARRIER, MANY, add_barrier, add_many
from .tiles import TILE, Arguments, Tile, add_tile, arguments

PRODUCTS: dict[str, Arguments] = {
    "gw_rows": {"nr": I64, **TILE, "n": I64},
    "gw_columns": arguments("nr a* K b* bs c* ldc beta n"),
    "gw_pack_left": arguments("src* ld k n dst* nr"),
}
OTHERS: dict[str, Arguments] = {  # each is described where it is made
    BARRIER: arguments("flags* thread threads phase"),
    CHANCES: arguments("dst* step_stride block_stride threshold seed stream group order* r0 r1 j0 j1"),
    DROP: SIGNATURE,
    MANY: {"job": PTR, "threads": I32},
}
SIGNATURES: dict[str, tuple[ir.Type, ...]] = {
    name: tuple(of.values()) for table in (PRODUCTS, MOVES, OTHERS) for name, of in table.items()
}
"""Every public function of a library and the types of its arguments; none has a result."""


def declare(module: Module, name: str) -> ir.Function:
    """A function of the library, to be called from another module."""
    return module.declare(name, VOID, SIGNATURES[name])


def build_library(real: str, target: Target, *, check: Check | None = None) -> Module:
    """All functions of `SIGNATURES` for a dtype ("float" or "double") and an instruction set."""
    module = Module(f"library_{real}_{target.name}", real, target, check=check)
    tiles = Tiles(module)
    add_rows(module, tiles)
    add_columns(module, tiles)
    _add_pack_left(module, tiles)
    add_moves(module)
    add_barrier(module)
    add_many(module)
    add_chances(module)
    add_drop(module)
    return module


class _Address(ir.FormattedConstant):
    """The address of a tile, found at run time; llvmlite asks what it calls for its type."""

    function_type = ir.FunctionType(VOID, list(TILE.values()))


class Tiles:
    """All tiles of a module, and a table of their addresses by width and rows: less code than a switch at each call."""

    def __init__(self, module: Module, tile: type[Tile] | None = None):
        self.most, self.tile = module.target.tile_rows, tile
        self.stride = max(self.most)
        kind = ir.ArrayType(PTR, self.stride * len(self.most))
        table: Any = ir.GlobalVariable(module.ir, kind, "tiles")
        table.linkage, table.global_constant = "internal", True
        table.initializer = ir.Constant(kind, list(self._entries(module)))
        self.table = ir.FormattedConstant(PTR, table.get_reference())

    def _entries(self, module: Module) -> Iterator[ir.Constant]:
        for width, most in enumerate(self.most, start=1):
            for rows in range(1, self.stride + 1):
                name = add_tile(module, rows, width, self.tile).get_reference() if rows <= most else "null"
                yield ir.FormattedConstant(PTR, name)

    def most_rows(self, e: Emitter, width: Size) -> Value:
        """The most rows of a tile of this width: one byte each of a constant."""
        packed = sum(most << 8 * (i + 1) for i, most in enumerate(self.most))
        return e.b.and_(e.b.lshr(e.i64(packed), e.mul(width, 8)), e.i64(255))

    def call(self, e: Emitter, width: Size, rows: Size, *args: Value) -> None:
        index = e.total(e.mul(e.sub(width, 1), self.stride), rows, -1)
        tile: Any = _Address(PTR, e.load_as(PTR, self.table, index).get_reference())
        e.b.call(tile, [e.i64(x) for x in args])


def chunks(e: Emitter, n: Size, most: Size, run: Callable[[Size, Size], None]) -> None:
    """`run(first row, rows)` for each chunk of n > 0 rows."""
    # Few rows are what a single sequence has, at every step: they are one chunk without a division.
    e.when(e.lt(most, n), lambda: _cut(e, n, most, run), lambda: run(0, n))


def _cut(e: Emitter, n: Size, most: Size, run: Callable[[Size, Size], None]) -> None:
    """Chunks of equal size, but for one more row in the first few."""
    count = e.ceil_div(n, most)
    size = e.div(n, count)
    longer = e.sub(n, e.mul(size, count))

    def chunk(i: Value, first: Value) -> list[Value]:
        rows = e.add(size, e.as_size(e.lt(i, longer)))
        run(first, rows)
        return [e.add(first, rows)]

    e.loop(0, count, chunk, carry=[e.i64(0)])


def add_rows(module: Module, tiles: Tiles, name: str = "gw_rows") -> None:
    e = module.function(name, PRODUCTS["gw_rows"], public=True)
    width, n = e.args["nr"], e.args["n"]
    a, rs, ks, K, step, nseg, b, bs, c, ldc, beta = (e.args[name] for name in TILE)

    def chunk(first: Size, rows: Size) -> None:
        left, out = e.at(a, e.mul(first, rs)), e.at(c, e.mul(first, ldc))
        tiles.call(e, width, rows, left, rs, ks, K, step, nseg, b, bs, out, ldc, beta)

    e.when(_something(e, n, beta, e.mul(K, nseg)), lambda: chunks(e, n, tiles.most_rows(e, width), chunk))
    e.done()


def _something(e: Emitter, n: Size, beta: Size, K: Size) -> Value:
    """Whether there is anything to do: rows, and terms or zeros to write."""
    return e.both(e.lt(0, n), e.b.or_(e.lt(0, K), e.eq(beta, 0)))


def add_columns(module: Module, tiles: Tiles, name: str = "gw_columns") -> None:
    e = module.function(name, PRODUCTS["gw_columns"], public=True)
    width, a, K, b, bs, c, ldc, beta, n = e.args.values()

    def chunk(first: Size, rows: Size) -> None:
        left, out = e.at(a, e.mul(first, K)), e.at(c, e.mul(first, ldc))
        tiles.call(e, width, rows, left, 1, rows, K, 0, 1, b, bs, out, ldc, beta)

    e.when(_something(e, n, beta, K), lambda: chunks(e, n, tiles.most_rows(e, width), chunk))
    e.done()


def _add_pack_left(module: Module, tiles: Tiles) -> None:
    e = module.function("gw_pack_left", PRODUCTS["gw_pack_left"], public=True)
    src, ld, k, n, dst, width = e.args.values()

    def chunk(first: Size, rows: Size) -> None:
        out, column = e.at(dst, e.mul(first, k)), e.at(src, first)
        e.loop(0, k, lambda i: copy_row(e, e.at(column, e.mul(i, ld)), e.at(out, e.mul(i, rows)), rows))

    e.when(e.lt(0, n), lambda: chunks(e, n, tiles.most_rows(e, width), chunk))
    e.done()
