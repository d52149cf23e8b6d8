"""Products of bfloat16 numbers, summed in float32: two terms of every sum in one instruction.

Where a row of numbers is an operand, its neighbours k and k + 1 lie in one word of 32 bits; in a panel of weights each
lane of a vector is such a pair of its column. A tile then is the tile of float32 with words for numbers, and K counts
words; what has no neighbour has a zero. Numbers are rounded to the nearest, ties to even; those below 2⁻¹²⁶ count as 0.

    gw_half_rows       as gw_rows, on words
    gw_half_columns    as gw_columns, on words
    gw_halve           dst[r·ldd + i] = (src[r·ld + 2i], src[r·ld + 2i + 1])     r < rows, 2i < K; zeros up to half
                       a vector
    gw_pack_half       dst[i·ldd + u] = (src[u·ld + 2i], src[u·ld + 2i + 1])     u < nv, 2i < K; zeros up to a vector
    gw_pair_rows       dst[i·ldd + c] = (src[2i·ld + c], src[(2i + 1)·ld + c])   2i < rows, c < columns; zeros up to
                       `width` and `padded` rows of words
    gw_pack_left_half  as gw_pack_left: packs pairs of rows for gw_half_columns

What gw_halve writes begins at multiples of half a vector.
"""

from __future__ import annotations

from llvmlite import ir

from .emitter import I32, VOID, Check, Emitter, Module, Size, Value
from .products import PRODUCTS, Tiles, add_columns, add_rows, chunks
from .sizes import Shape, every_product
from .target import Target, code_for
from .tiles import Arguments, Tile, arguments

HALVES: dict[str, Arguments] = {
    "gw_half_rows": PRODUCTS["gw_rows"],
    "gw_half_columns": PRODUCTS["gw_columns"],
    "gw_halve": arguments("src* ld rows K dst* ldd"),
    "gw_pack_half": arguments("src* ld nv K dst* ldd"),
    "gw_pair_rows": arguments("src* ld rows columns dst* ldd width padded"),
    "gw_pack_left_half": PRODUCTS["gw_pack_left"],
}
"""Every public function and its arguments; none has a result."""

LEAST = 16
"""Units of the longest operand; with fewer there is little to gain, and products stay exact."""

_DOT = "llvm.x86.avx512bf16.dpbf16ps.512"
_ROUND = "llvm.x86.avx512bf16.cvtneps2bf16.512"


def has_halves(target: Target, real: str) -> bool:
    """Whether code for a target may use such instructions: for float32, and where this machine has them."""
    return real == "float" and target.name == "avx512" and "+avx512bf16" in code_for(target)[1].split(",")


def pays(shape: Shape) -> bool:
    """Whether a call is so much quicker with such products that it is worth the rounding."""
    return any(shape.operand(p) >= LEAST for p in every_product(shape.plan))


def declare(module: Module, name: str) -> ir.Function:
    """A function of this library, to be called from another module."""
    return module.declare(name, VOID, list(HALVES[name].values()))


def build_halves(target: Target, *, check: Check | None = None) -> Module:
    """All functions of `HALVES`."""
    module = Module(f"halves_{target.name}", "float", target, check=check)
    tiles = Tiles(module, _HalfTile)
    add_rows(module, tiles, "gw_half_rows")
    add_columns(module, tiles, "gw_half_columns")
    _add_halve(module)
    _add_pack(module)
    _add_pair_rows(module)
    _add_pack_left(module, tiles)
    return module


class _BFloat(ir.Type):
    """bfloat16, a type that llvmlite has no name for."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat)

    def __hash__(self) -> int:
        return hash(_BFloat)


def _halves(count: int) -> ir.VectorType:
    return ir.VectorType(_BFloat(), count)


class _HalfTile(Tile):
    """A tile whose numbers are pairs."""

    def _step(self, offset: Value, right: Value, sums: list[Value], first: int) -> None:
        e, kind = self.e, _halves(2 * self.e.lanes)
        dot = e.module.declare(_DOT, e.V, [e.V, kind, kind])
        vectors = [e.b.bitcast(e.load(right, v * e.lanes), kind) for v in range(self.width)]
        for row in self.left:
            value = e.b.bitcast(e.broadcast(row, offset), kind)
            for vector in vectors:
                sums[first] = e.b.call(dot, [sums[first], value, vector])
                first += 1


def _rounded(e: Emitter, vector: Value) -> Value:
    """A vector of bfloat16."""
    return e.b.call(e.module.declare(_ROUND, _halves(e.lanes), [e.V]), [vector])


def _side_by_side(e: Emitter, first: Value, second: Value) -> Value:
    """Two vectors as one of pairs: a word holds a lane of the first and, above it, that of the second."""
    order = [lane // 2 + e.lanes * (lane % 2) for lane in range(2 * e.lanes)]
    mask = ir.Constant(ir.VectorType(I32, 2 * e.lanes), order)
    return e.b.bitcast(e.b.shuffle_vector(_rounded(e, first), _rounded(e, second), mask), e.V)


def _two_rows(e: Emitter, src: Value, ld: Size, i: Size, rows: Size) -> tuple[Value, Value, Value]:
    """Rows 2i and 2i + 1, and whether there is a second: where there is none it is the first again."""
    number = e.mul(i, 2)
    first, there = e.at(src, e.mul(number, ld)), e.lt(e.add(number, 1), rows)
    return first, e.at(first, e.select(there, ld, 0)), there


def _pair(e: Emitter, rows: tuple[Value, Value, Value], column: Size, mask: Value) -> Value:
    first, second, there = rows
    below = e.b.select(there, e.load(second, column, mask=mask), e.real(0.0))
    return _side_by_side(e, e.load(first, column, mask=mask), below)


def _add_halve(module: Module) -> None:
    e = module.function("gw_halve", HALVES["gw_halve"], public=True)
    src, ld, rows, K, dst, ldd = e.args.values()
    start = e.b.and_(K, e.i64(-e.lanes))
    mask = e.first_lanes(e.sub(K, start))
    half = ir.VectorType(I32, e.lanes // 2)

    def copy(r: Value) -> None:
        row, out = e.at(src, e.mul(r, ld)), e.at(dst, e.mul(r, ldd))

        def store(value: Value, k: Size) -> None:
            e.store_as(half, e.b.bitcast(_rounded(e, value), half), e.at(out, e.b.lshr(e.i64(k), e.i64(1))))

        e.loop(0, start, lambda k: store(e.load(row, k), k), step=e.lanes)
        e.when(e.lt(start, K), lambda: store(e.load(row, start, mask=mask), start))

    e.loop(0, rows, copy)
    e.done()


def _add_pack(module: Module) -> None:
    e = module.function("gw_pack_half", HALVES["gw_pack_half"], public=True)
    src, ld, nv, K, dst, ldd = e.args.values()
    last, there, nothing = e.sub(nv, 1), e.first_lanes(nv), e.real(0.0)

    def block(k: Value) -> None:
        # Rows that are not there are read as the last one again, and cleared.
        mask = e.first_lanes(e.sub(K, k))
        rows = [e.load(e.at(src, e.mul(e.min(u, last), ld)), k, mask=mask) for u in range(e.lanes)]
        columns = [e.b.select(there, column, nothing) for column in e.transpose(rows)]
        for i in range(e.lanes // 2):
            number = e.add(e.b.lshr(k, e.i64(1)), i)
            pair = _side_by_side(e, *columns[2 * i : 2 * i + 2])
            out = e.at(dst, e.mul(number, ldd))
            e.when(e.lt(e.mul(number, 2), K), lambda pair=pair, out=out: e.store(pair, out))

    e.loop(0, K, block, step=e.lanes)
    e.done()


def _add_pair_rows(module: Module) -> None:
    e = module.function("gw_pair_rows", HALVES["gw_pair_rows"], public=True)
    src, ld, rows, columns, dst, ldd, width, padded = e.args.values()
    pairs = e.ceil_div(rows, 2)

    def pair(i: Value) -> None:
        two, out = _two_rows(e, src, ld, i, rows), e.at(dst, e.mul(i, ldd))

        def block(c: Value) -> None:
            e.store(_pair(e, two, c, e.first_lanes(e.sub(columns, c))), out, c)

        e.loop(0, width, block, step=e.lanes)

    def nothing(i: Value) -> None:
        out = e.at(dst, e.mul(i, ldd))
        e.loop(0, width, lambda c: e.store(e.real(0.0), out, c), step=e.lanes)

    e.loop(0, pairs, pair)
    e.loop(pairs, padded, nothing)
    e.done()


def _add_pack_left(module: Module, tiles: Tiles) -> None:
    e = module.function("gw_pack_left_half", HALVES["gw_pack_left_half"], public=True)
    src, ld, k, n, dst, width = e.args.values()
    pairs = e.ceil_div(k, 2)

    def chunk(first: Size, rows: Size) -> None:
        out, column, mask = e.at(dst, e.mul(first, pairs)), e.at(src, first), e.first_lanes(rows)

        def pair(i: Value) -> None:
            e.store(_pair(e, _two_rows(e, column, ld, i, k), 0, mask), e.at(out, e.mul(i, rows)), mask=mask)

        e.loop(0, pairs, pair)

    e.when(e.lt(0, n), lambda: chunks(e, n, tiles.most_rows(e, width), chunk))
    e.done()
