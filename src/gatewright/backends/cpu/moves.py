"""Moving numbers between the user's tensors and the kernels' panels.

The user's memory may end anywhere, so nothing outside the named elements is touched there; panels are whole vectors.

    gw_pack_rows    dst[k·ldd + u] = src[u·ld + k]     u < nv, k < K; zeros up to a whole vector: panels of weights
    gw_unpack_rows  dst[u·ldd + k] = src[k·lds + u]    u < nv, k < K; the inverse
                    (both: 0 < nv ≤ lanes; a panel's rows are whole vectors)
    gw_copy_rows    dst[r·ldd + v] = src[r·ld + v]     r < rows, v < columns; zeros up to `width` and `padded` rows
    gw_zero         p[i] = 0                           i < n
    gw_gather       rows of sequences that start and end apart, into rows side by side; zeros behind an end
    gw_scatter      the inverse; nothing is written behind an end
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from .emitter import I64, Emitter, Module, Size, Value
from .tiles import Arguments, arguments

MOVES: dict[str, Arguments] = {
    "gw_pack_rows": arguments("src* ld nv K dst* ldd"),
    "gw_unpack_rows": arguments("src* lds nv K dst* ldd"),
    "gw_copy_rows": arguments("src* ld rows columns dst* ldd width padded"),
    "gw_zero": arguments("p* n"),
    "gw_gather": arguments("src* step st sb order* first* count* t0 t1 r0 r1 columns dst* ldd dst_t"),
    "gw_scatter": arguments("src* ldd src_t step st sb order* first* count* t0 t1 r0 r1 columns dst*"),
}


def add_moves(module: Module) -> None:
    _add_pack_rows(module)
    _add_unpack_rows(module)
    _add_copy_rows(module)
    _add_zero(module)
    _add_gather(module)
    _add_scatter(module)


# -- exact rows --------------------------------------------------------------------------------------


def whole(e: Emitter, n: Size) -> Size:
    """The part of n that whole vectors cover."""
    return e.b.and_(e.i64(n), e.i64(-e.lanes))


def _rest(e: Emitter, n: Size, value: Callable[..., Value], out: Value) -> None:
    """What whole vectors leave of n values: `value(offset, mask=…)` gives a vector, `value(offset, one=True)` one."""
    start = whole(e, n)
    if not e.module.target.masks:  # a masked store is a branch a lane, or slow, where it is no part of the target
        e.loop(start, n, lambda i: e.store_as(e.R, value(i, one=True), out, i))
        return
    mask = e.first_lanes(e.sub(n, start))
    e.when(e.lt(start, n), lambda: e.store(value(start, mask=mask), out, start, mask=mask))


def copy_row(e: Emitter, src: Value, dst: Value, n: Size) -> None:
    """dst[i] = src[i] for i < n, and nothing else is touched."""

    def value(i: Size, *, mask: Value | None = None, one: bool = False) -> Value:
        return e.scalar(src, i) if one else e.load(src, i, mask=mask)

    e.loop(0, whole(e, n), lambda i: e.store(value(i), dst, i), step=e.lanes)
    _rest(e, n, value, dst)


def zero_row(e: Emitter, dst: Value, n: Size) -> None:
    """dst[i] = 0 for i < n, and nothing else is touched."""
    nothing = e.real(0.0)

    def value(_: Size, *, one: bool = False, **__: Value) -> Value:
        return e.lane(nothing, 0) if one else nothing

    e.loop(0, whole(e, n), lambda i: e.store(nothing, dst, i), step=e.lanes)
    _rest(e, n, value, dst)


def _add_zero(module: Module) -> None:
    e = module.function("gw_zero", MOVES["gw_zero"], public=True)
    zero_row(e, *e.args.values())
    e.done()


def _add_copy_rows(module: Module) -> None:
    e = module.function("gw_copy_rows", MOVES["gw_copy_rows"], public=True)
    src, ld, rows, columns, dst, ldd, width, padded = e.args.values()
    start = whole(e, columns)
    mask = e.first_lanes(e.sub(columns, start))

    def copy(r: Value) -> None:
        row, out = e.at(src, e.mul(r, ld)), e.at(dst, e.mul(r, ldd))
        e.loop(0, start, lambda i: e.store(e.load(row, i), out, i), step=e.lanes)
        e.when(e.lt(start, columns), lambda: e.store(e.load(row, start, mask=mask), out, start))
        zeros(out, e.mul(e.ceil_div(columns, e.lanes), e.lanes))

    def zeros(out: Value, first: Size) -> None:
        e.loop(first, width, lambda i: e.store(e.real(0.0), out, i), step=e.lanes)

    e.loop(0, rows, copy)
    e.loop(rows, padded, lambda r: zeros(e.at(dst, e.mul(r, ldd)), 0))
    e.done()


# -- transposed panels -------------------------------------------------------------------------------


def _blocks(e: Emitter, K: Size, block: Callable[[Size], None], one: Callable[[Size], None]) -> None:
    """`block(k)` for each whole vector of k, the last one as far back as it must; `one(k)` where there is none.

    The last block does some k again: nothing is read or written beyond K, and without any mask.
    """

    def many() -> None:
        e.loop(0, e.ceil_div(K, e.lanes), lambda i: block(e.min(e.mul(i, e.lanes), e.sub(K, e.lanes))))

    e.when(e.lt(K, e.lanes), lambda: e.loop(0, K, one) and None, many)


def _add_pack_rows(module: Module) -> None:
    e = module.function("gw_pack_rows", MOVES["gw_pack_rows"], public=True)
    src, ld, nv, K, dst, ldd = e.args.values()
    last, mask, nothing = e.sub(nv, 1), e.first_lanes(nv), e.real(0.0)

    def block(k: Size) -> None:
        # Rows that are not there are read as the last one again, and cleared.
        rows = [e.load(e.at(src, e.mul(e.min(u, last), ld)), k) for u in range(e.lanes)]
        for i, column in enumerate(e.transpose(rows)):
            e.store(e.b.select(mask, column, nothing), dst, e.mul(e.add(k, i), ldd))

    def one(k: Size) -> None:
        out = e.at(dst, e.mul(k, ldd))
        e.store(nothing, out)
        e.loop(0, nv, lambda u: e.store_as(e.R, e.scalar(src, e.add(e.mul(u, ld), k)), out, u))

    _blocks(e, K, block, one)
    e.done()


def _add_unpack_rows(module: Module) -> None:
    e = module.function("gw_unpack_rows", MOVES["gw_unpack_rows"], public=True)
    src, lds, nv, K, dst, ldd = e.args.values()
    last = e.sub(nv, 1)

    def block(k: Size) -> None:
        rows = e.transpose([e.load(src, e.mul(e.add(k, i), lds)) for i in range(e.lanes)])
        # Lanes that are no row are written where the last row goes, before it: stores keep their order.
        for u in reversed(range(e.lanes)):
            e.store(rows[u], e.at(dst, e.mul(e.min(u, last), ldd)), k)

    def one(k: Size) -> None:
        row = e.at(src, e.mul(k, lds))
        e.loop(0, nv, lambda u: e.store_as(e.R, e.scalar(row, u), dst, e.add(e.mul(u, ldd), k)))

    _blocks(e, K, block, one)
    e.done()


# -- sequences ---------------------------------------------------------------------------------------


def _each(e: Emitter, present: Callable[[Value, Value], None], absent: Callable[[Value], None] | None = None) -> None:
    """Every row r of every step t: `present(user's row, packed row)` before the sequence's end, else `absent`.

    The user's row lies at order[r]·sb + first[r]·st + t·step, the packed one at (t − t0)·a step + (r − r0)·ldd.
    """
    order, first, count = (e.args[name] for name in ("order", "first", "count"))
    packed_step = e.args.get("dst_t", e.args.get("src_t"))

    def row(t: Value, r: Value) -> None:
        place = e.add(e.mul(e.sub(t, e.args["t0"]), packed_step), e.mul(e.sub(r, e.args["r0"]), e.args["ldd"]))
        start = e.add(e.mul(_entry(e, order, r), e.args["sb"]), e.mul(_entry(e, first, r), e.args["st"]))
        theirs = e.add(start, e.mul(t, e.args["step"]))
        e.when(e.lt(t, _entry(e, count, r)), lambda: present(theirs, place), absent and partial(absent, place))

    e.loop(e.args["t0"], e.args["t1"], lambda t: e.loop(e.args["r0"], e.args["r1"], lambda r: row(t, r)) and None)


def _entry(e: Emitter, table: Value, index: Size) -> Value:
    return e.load_as(I64, table, index)


def _add_gather(module: Module) -> None:
    e = module.function("gw_gather", MOVES["gw_gather"], public=True)
    src, dst, columns = (e.args[name] for name in ("src", "dst", "columns"))
    _each(
        e,
        lambda theirs, place: copy_row(e, e.at(src, theirs), e.at(dst, place), columns),
        lambda place: zero_row(e, e.at(dst, place), columns),
    )
    e.done()


def _add_scatter(module: Module) -> None:
    e = module.function("gw_scatter", MOVES["gw_scatter"], public=True)
    src, dst, columns = (e.args[name] for name in ("src", "dst", "columns"))
    _each(e, lambda theirs, place: copy_row(e, e.at(src, place), e.at(dst, theirs), columns))
    e.done()
