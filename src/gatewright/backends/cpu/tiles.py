"""The micro tile of every matrix product: a few rows times a few vectors, whose sums stay in registers.

    C[r][v] (+)= Σ_s Σ_k A(r, s, k) · B[s·K + k][v]        r < rows, v < width (vectors), s < nseg, k < K

    A(r, s, k)   at a + r·rs + s·as + k·ks: rows, panels and packed columns are only other strides
    B[q]         at b + q·bs, `width` vectors side by side
    C[r]         at c + r·ldc; beta 0 starts from zero, beta 1 adds to what is there

There are no masks: what a tile reads and writes is padded to whole vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir

from .emitter import I64, PTR, Emitter, Module, Size, Value

Arguments = dict[str, ir.Type]


def arguments(text: str) -> Arguments:
    """The arguments of a function by name: a size, or with a star a pointer."""
    return {word.rstrip("*"): PTR if word.endswith("*") else I64 for word in text.split()}


TILE = arguments("a* rs ks K as nseg b* bs c* ldc beta")


def sets_of(rows: int, width: int) -> int:
    """How many sets of sums a tile keeps, each for another k: one multiply-add waits four cycles for the last one."""
    return 4 if rows * width <= 4 else 2 if rows * width <= 8 else 1


def add_tile(module: Module, rows: int, width: int, kind: type[Tile] | None = None) -> ir.Function:
    """The tile of so many rows and vectors."""
    e = module.function(f"tile_{rows}x{width}", TILE)
    tile = (kind or Tile)(e, rows, width)
    tile.store(tile.segments(tile.start()))
    return e.done()


def _frozen(e: Emitter, value: Value) -> Value:
    """The same value, of which LLVM does not ask where it comes from."""
    freeze = ir.instructions.Instruction(e.b.block, value.type, "freeze", [value])
    e.b._insert(freeze)
    return freeze


class Tile:
    """Emits one tile. Sums are listed set by set, in a set row by row."""

    def __init__(self, e: Emitter, rows: int, width: int):
        self.e, self.rows, self.width = e, rows, width
        self.sets, self.cells = sets_of(rows, width), rows * width
        self.left = [e.at(e.args["a"], e.mul(e.args["rs"], r)) for r in range(rows)]

    def _targets(self) -> list[tuple[Value, int]]:
        """Where the sums of one set stand in C."""
        e = self.e
        rows = [e.at(e.args["c"], e.mul(e.args["ldc"], r)) for r in range(self.rows)]
        return [(row, v * e.lanes) for row in rows for v in range(self.width)]

    def start(self) -> list[Value]:
        """The first sums: C is read `beta` times, that is once or not at all; further sets start from zero."""
        e = self.e
        zeros = [e.real(0.0)] * self.cells
        sums = e.loop(0, e.args["beta"], lambda *_: [e.load(*place) for place in self._targets()], carry=zeros)
        return [*sums, *zeros * (self.sets - 1)]

    def segments(self, sums: Sequence[Value]) -> list[Value]:
        e = self.e

        def segment(_: Size, offset: Value, right: Value, *sums: Value) -> list[Value]:
            return [e.add(offset, e.args["as"]), *self._range(offset, right, sums)[1:]]

        return e.loop(0, e.args["nseg"], segment, carry=[e.i64(0), e.args["b"], *sums])[2:]

    def _range(self, offset: Value, right: Value, sums: Sequence[Value]) -> list[Value]:
        """All k of one segment: as many at a time as there are sets, then what is left one by one."""
        e, K = self.e, self.e.args["K"]
        whole = e.b.and_(K, e.i64(-self.sets)) if self.sets > 1 else K
        carry = e.loop(0, whole, self._steps(self.sets), step=self.sets, carry=[offset, right, *sums])
        return e.loop(whole, K, self._steps(1), carry=carry) if self.sets > 1 else carry

    def _steps(self, count: int) -> Any:
        def run(_: Size, offset: Value, right: Value, *sums: Value) -> list[Value]:
            e, sums_ = self.e, list(sums)
            # Frozen: LLVM must not think up address arithmetic of its own. It takes longer and finds nothing better.
            offset, right = _frozen(e, offset), _frozen(e, right)
            for which in range(count):
                self._step(offset, right, sums_, which * self.cells)
                offset, right = e.add(offset, e.args["ks"]), e.at(right, e.args["bs"])
            return [offset, right, *sums_]

        return run

    def _step(self, offset: Value, right: Value, sums: list[Value], first: int) -> None:
        """One k: every row's value of A times every vector of B."""
        e = self.e
        vectors = [e.load(right, v * e.lanes) for v in range(self.width)]
        for row in self.left:
            value = e.broadcast(row, offset)
            for vector in vectors:
                sums[first] = e.fma(value, vector, sums[first])
                first += 1

    def store(self, sums: Sequence[Value]) -> None:
        """Add the sets up, neighbours first, and write them."""
        e, sums = self.e, list(sums)
        while len(sums) > self.cells:
            half = len(sums) // 2
            sums = [e.b.fadd(x, y) for x, y in zip(sums[:half], sums[half:], strict=True)]
        for value, place in zip(sums, self._targets(), strict=True):
            e.store(value, *place)
