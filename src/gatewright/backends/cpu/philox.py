"""Random choices in kernels: Philox4x32-10 on vectors. What the numbers mean is said in `backends/philox.py`.

A word of 32 bits stands in the lower half of a lane of 64, and what is in the upper half is ignored: a product of two
words is one instruction everywhere, and its lower word needs no other. All units of a row have the same sequence, so
most of the first three rounds is the same for all rows of a block of units, or for all units of a row.
"""

from __future__ import annotations

from functools import reduce

from llvmlite import ir

from ..philox import INCREMENTS, MULTIPLIERS, ROUNDS, WORD
from .emitter import I16, I32, I64, PTR, Emitter, Module, Size, Value

CHANCES = "gw_chances"
_NAMES = "dst step_stride block_stride threshold seed stream group order r0 r1 j0 j1"
_ARGUMENTS = {name: PTR if name in ("dst", "order") else I64 for name in _NAMES.split()}
_State = tuple[Value, Value, Value, Value]


def loaded_chance(e: Emitter, pointer: Value, offset: Size) -> Value:
    """The choices of one block of units, as `where` takes them; the offset counts masks of 16 bits."""
    bits = e.load_as(I16, pointer, offset)
    width = ir.IntType(e.lanes)
    return e.b.bitcast(bits if e.lanes == 16 else e.b.trunc(bits, width), e.VB)


def add_chances(module: Module) -> ir.Function:
    """gw_chances(dst, step_stride, block_stride, threshold, seed, stream, group, order, r0, r1, j0, j1).

    For every block j of units in [j0, j1), row r in [r0, r1) and s in 0…7 it writes the choices of that block's units,
    of sequence order[r], at step 8·group + s: one bit each, the first unit's lowest, in the 16 bits at
    dst[s·step_stride + j·block_stride + r].
    """
    return _Chances(module).build()


class _Chances:
    """Emits the function; a state of the generator is four words, each a scalar or a vector."""

    def __init__(self, module: Module):
        self.e = e = module.function(CHANCES, _ARGUMENTS, public=True)
        self.b, self.args = e.b, e.args
        self.words = ir.VectorType(I64, e.lanes)
        self.keys = self._round_keys()
        self.stream = self._low(self.args["stream"])
        self.after = self._product(self._low(self.args["group"]), 1)  # of the first round, for all units and rows

    def build(self) -> ir.Function:
        self._make_limit()
        self.e.loop(self.args["j0"], self.args["j1"], self._block)
        return self.e.done()

    # -- words: scalars and vectors alike ----------------------------------------------------------

    def _like(self, x: Value, number: int) -> ir.Constant:
        return ir.Constant(x.type, [number] * self.e.lanes if x.type == self.words else number)

    def _low(self, x: Value) -> Value:
        return self.b.and_(x, self._like(x, WORD))

    def _high(self, x: Value) -> Value:
        return self.b.lshr(x, self._like(x, 32))

    def _product(self, x: Value, which: int) -> Value:
        """64 bits; the `and` says that the upper halves do not count, and disappears in the choice of instructions."""
        return self.b.mul(self._low(x), self._like(x, MULTIPLIERS[which]))

    def _wide(self, x: Value) -> Value:
        return x if x.type == self.words else self.e.splat(x, self.words)

    def _xor(self, *terms: Value) -> Value:
        """Scalars are combined before they are spread over the lanes."""
        scalars = [x for x in terms if x.type == I64]
        vectors = [x for x in terms if x.type != I64]
        if not vectors:
            return reduce(self.b.xor, scalars)
        if scalars:
            vectors.append(self._wide(reduce(self.b.xor, scalars)))
        return reduce(self.b.xor, vectors)

    # -- rounds ------------------------------------------------------------------------------------

    def _round_keys(self) -> list[tuple[Value, Value]]:
        """The two words of each round's key, made before any loop."""
        seed = self.args["seed"]
        halves = self._low(seed), self._high(seed)
        return [
            (self._step(halves[0], r * INCREMENTS[0]), self._step(halves[1], r * INCREMENTS[1])) for r in range(ROUNDS)
        ]

    def _step(self, word: Value, by: int) -> Value:
        return self._low(self.b.add(word, ir.Constant(I64, by & WORD)))

    def _round(self, r: int, state: _State) -> _State:
        a, b, c, d = state
        low, high = self.keys[r]
        first, second = self._product(a, 0), self._product(c, 1)
        return self._xor(self._high(second), b, low), second, self._xor(self._high(first), d, high), first

    # -- loops -------------------------------------------------------------------------------------

    def _make_limit(self) -> None:
        """A number is below the threshold where, moved to the upper half of 32 bits, it is below the limit.

        A threshold of 65536 has no such limit: there the number is taken for 0, and the limit is the largest.
        """
        b, threshold = self.b, self.args["threshold"]
        always = b.icmp_signed(">=", threshold, ir.Constant(I64, 1 << 16))
        moved = b.trunc(b.shl(threshold, ir.Constant(I64, 16)), I32)
        narrow = ir.VectorType(I32, self.e.lanes)
        self.limit = self.e.splat(b.select(always, ir.Constant(I32, WORD), moved), narrow)
        self.kept = self.e.splat(b.select(always, ir.Constant(I32, 0), ir.Constant(I32, WORD)), narrow)

    def _block(self, j: Value) -> None:
        """All rows of one block of units. What the first three rounds need of it alone is made here."""
        lanes = ir.Constant(self.words, list(range(self.e.lanes)))
        unit = self.b.add(self._wide(self.b.mul(j, ir.Constant(I64, self.e.lanes))), lanes)
        first = self._product(unit, 0)
        c = self._xor(self._high(first), self.stream, self.keys[0][1])
        second = self._product(c, 1)
        a = self._xor(self._high(second), self.after, self.keys[1][0])
        shared = first, second, self._product(a, 0)
        place = self.b.mul(j, self.args["block_stride"])
        self.e.loop(self.args["r0"], self.args["r1"], lambda r: self._row(r, place, *shared))

    def _row(self, r: Value, place: Value, first: Value, second: Value, third: Value) -> None:
        """One row; `first`, `second` and `third` are the block's products of the first three rounds."""
        sequence = self.e.load_as(I64, self.args["order"], r)
        a = self._xor(self._high(self.after), sequence, self.keys[0][0])
        product = self._product(a, 0)
        c = self._xor(self._high(product), self.keys[1][1], first)
        fourth = self._product(c, 1)
        low, high = self.keys[2]
        state = (
            self._xor(self._high(fourth), second, low),
            fourth,
            self._xor(self._high(third), self._wide(product), self._wide(high)),
            third,
        )
        for number in range(3, ROUNDS):
            state = self._round(number, state)
        self._write(self.b.add(place, r), state)

    def _write(self, place: Value, state: _State) -> None:
        """The comparisons. Each of a word's two numbers in turn is in the upper half; what is below does not matter."""
        by_16 = ir.Constant(ir.VectorType(I32, self.e.lanes), [16] * self.e.lanes)
        for k, word in enumerate(state):
            upper = self.b.and_(self._narrow(word), self.kept)
            lower = self.b.shl(upper, by_16)
            for s, number in ((2 * k, lower), (2 * k + 1, upper)):
                self._store(self.b.icmp_unsigned("<", number, self.limit), place, s)

    def _narrow(self, word: Value) -> Value:
        """The lower halves of the lanes. As a shuffle it is one instruction under AVX-512; as a `trunc` three."""
        halves = self.b.bitcast(word, ir.VectorType(I32, 2 * self.e.lanes))
        every_second = list(range(0, 2 * self.e.lanes, 2))
        return self.b.shuffle_vector(halves, halves, ir.Constant(ir.VectorType(I32, self.e.lanes), every_second))

    def _store(self, choice: Value, place: Value, s: int) -> None:
        bits = self.b.bitcast(choice, ir.IntType(self.e.lanes))
        bits = bits if self.e.lanes == 16 else self.b.zext(bits, I16)
        offset = self.e.add(place, self.e.mul(s, self.args["step_stride"]))
        self.e.store_as(I16, bits, self.args["dst"], offset)
