"""Weights with elements dropped: one pass over a matrix, from the choices that `gw_chances` has drawn."""

from __future__ import annotations

from llvmlite import ir

from .emitter import I16, Module, Size, Value
from .moves import whole
from .philox import loaded_chance
from .tiles import Arguments, arguments

DROP = "gw_drop"
SIGNATURE: Arguments = arguments("choices* step_stride block_stride scale* r0 r1 columns src* dst*")
STEPS = 8  # rows that share a sequence of the generator


def add_drop(module: Module) -> ir.Function:
    """gw_drop(choices, step_stride, block_stride, scale, r0, r1, columns, src, dst).

    dst[r·columns + i] = src[r·columns + i] · (0 where row r, column i was chosen, else scale), for r0 ≤ r < r1. A
    block's choices for row r are the 16 bits at choices[(r % 8)·step_stride + block·block_stride + r // 8].
    """
    e = module.function(DROP, SIGNATURE, public=True)
    choices, step_stride, block_stride, scale, r0, r1, columns, src, dst = e.args.values()
    factor, nothing, start = e.broadcast(scale), e.real(0.0), whole(e, columns)

    def row(r: Value) -> None:
        first = e.total(e.mul(e.rem(r, STEPS), step_stride), e.div(r, STEPS))
        given, out = e.at(src, e.mul(r, columns)), e.at(dst, e.mul(r, columns))

        def place(i: Size) -> Size:
            return e.add(first, e.mul(e.div(i, e.lanes), block_stride))

        def factors(i: Size) -> Value:
            return e.b.select(loaded_chance(e, choices, place(i)), nothing, factor)

        def one(i: Value) -> None:
            bits = e.load_as(I16, choices, place(i))
            lane = e.b.trunc(e.rem(i, e.lanes), I16)
            off = e.b.trunc(e.b.lshr(bits, lane), ir.IntType(1))
            kept = e.b.select(off, e.lane(nothing, 0), e.scalar(scale))
            e.store_as(e.R, e.b.fmul(e.scalar(given, i), kept), out, i)

        e.loop(0, start, lambda i: e.store(e.b.fmul(e.load(given, i), factors(i)), out, i), step=e.lanes)
        e.loop(start, columns, one)

    e.loop(r0, r1, row)
    return e.done()
