"""A small emitter of LLVM IR: loops, vectors with masks, and arithmetic on sizes that folds what is known.

Sizes and offsets are either Python integers, which are folded here, or IR values of 64 bits: no optimisation passes
run on what is emitted, so whatever could be simplified is simplified while emitting. Offsets count elements.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llvmlite import ir

from .target import Target

F32, F64, I1, I16, I32, I64 = ir.FloatType(), ir.DoubleType(), *(ir.IntType(n) for n in (1, 16, 32, 64))
PTR, VOID = ir.PointerType(), ir.VoidType()
REALS = {"float": F32, "double": F64}
SIZES = {"float": 4, "double": 8}

Size = Any  # a Python int, or an IR value of type i64
Value = Any  # any other IR value
Check = Callable[..., Value]  # (emitter, address, bytes, write=…): the address, or one where nothing is harmed


class Splat(ir.Constant):
    """A vector with one constant in every lane, written once: as lists of lanes they were most of a kernel's text."""

    def get_reference(self) -> str:
        return f"splat ({self.constant[0].type} {self.constant[0].get_reference()})"


class Module:
    """One unit of compilation, for one dtype and one target; every address of a debug build goes through `check`."""

    def __init__(self, name: str, real: str, target: Target, *, check: Check | None = None):
        self.ir = ir.Module(name=name)
        self.ir.triple = target.triple
        self.real, self.target, self.check = real, target, check
        self.R = REALS[real]
        self.bytes = SIZES[real]
        self.lanes = target.lanes(real)
        self.V = ir.VectorType(self.R, self.lanes)
        self.VB = ir.VectorType(I1, self.lanes)
        self.VI = ir.VectorType(I32 if real == "float" else I64, self.lanes)

    def declare(self, name: str, result: ir.Type, args: Sequence[ir.Type]) -> ir.Function:
        """A function that stands elsewhere; declared once."""
        known = self.ir.globals.get(name)
        return known if known is not None else ir.Function(self.ir, ir.FunctionType(result, args), name)

    def function(self, name: str, args: Mapping[str, ir.Type], *, public: bool = False) -> Emitter:
        """A new function without a result; its arguments are the emitter's `args`, by name."""
        fn = ir.Function(self.ir, ir.FunctionType(VOID, list(args.values())), name)
        for argument, given in zip(fn.args, args, strict=True):
            argument.name = given
        if not public:
            fn.linkage = "internal"
        fn.attributes.add("noinline")
        fn.attributes.add("nounwind")
        return Emitter(self, fn)

    def text(self, name: str, value: str) -> None:
        """A public constant: text that ends in a zero byte."""
        content = bytearray(value.encode() + b"\0")
        kind = ir.ArrayType(ir.IntType(8), len(content))
        data: Any = ir.GlobalVariable(self.ir, kind, name)
        data.global_constant = True
        data.initializer = ir.Constant(kind, content)

    def __str__(self) -> str:
        return str(self.ir)


class Emitter:
    """Emits one function. The arguments are there as attributes: `e.arg.name`."""

    def __init__(self, module: Module, fn: ir.Function):
        self.module, self.fn = module, fn
        self.b = ir.IRBuilder(fn.append_basic_block("entry"))
        self.args = {a.name: a for a in fn.args}
        self.R, self.V, self.VB, self.VI, self.lanes = module.R, module.V, module.VB, module.VI, module.lanes

    def comment(self, text: str) -> None:
        self.b.comment(text)

    def done(self) -> ir.Function:
        self.b.ret_void()
        return self.fn

    # -- sizes -----------------------------------------------------------------------------------

    def i64(self, x: Size) -> Value:
        return ir.Constant(I64, x) if isinstance(x, int) else x

    def _fold(self, name: str, fold: Callable[[int, int], int], x: Size, y: Size) -> Size:
        if isinstance(x, int) and isinstance(y, int):
            return fold(x, y)
        return getattr(self.b, name)(self.i64(x), self.i64(y))

    def add(self, x: Size, y: Size) -> Size:
        if isinstance(x, int) and x == 0:
            return y
        return x if isinstance(y, int) and y == 0 else self._fold("add", int.__add__, x, y)

    def sub(self, x: Size, y: Size) -> Size:
        return x if isinstance(y, int) and y == 0 else self._fold("sub", int.__sub__, x, y)

    def mul(self, x: Size, y: Size) -> Size:
        if 0 in [v for v in (x, y) if isinstance(v, int)]:
            return 0
        if isinstance(x, int) and x == 1:
            return y
        return x if isinstance(y, int) and y == 1 else self._fold("mul", int.__mul__, x, y)

    def total(self, *terms: Size) -> Size:
        """The sum of several sizes."""
        found: Size = 0
        for term in terms:
            found = self.add(found, term)
        return found

    def div(self, x: Size, y: Size) -> Size:
        return x if isinstance(y, int) and y == 1 else self._fold("udiv", int.__floordiv__, x, y)

    def rem(self, x: Size, y: Size) -> Size:
        return self._fold("urem", int.__mod__, x, y)

    def ceil_div(self, x: Size, y: Size) -> Size:
        return self.div(self.add(x, self.sub(y, 1)), y)

    def min(self, x: Size, y: Size) -> Size:
        if isinstance(x, int) and isinstance(y, int):
            return min(x, y)
        return self.select(self.lt(x, y), x, y)

    def max(self, x: Size, y: Size) -> Size:
        if isinstance(x, int) and isinstance(y, int):
            return max(x, y)
        return self.select(self.lt(x, y), y, x)

    def compare(self, op: str, x: Size, y: Size) -> Value:
        return self.b.icmp_signed(op, self.i64(x), self.i64(y))

    def lt(self, x: Size, y: Size) -> Value:
        return self.compare("<", x, y)

    def eq(self, x: Size, y: Size) -> Value:
        return self.compare("==", x, y)

    def ne(self, x: Size, y: Size) -> Value:
        return self.compare("!=", x, y)

    def both(self, x: Value, y: Value) -> Value:
        return self.b.and_(x, y)

    def select(self, condition: Value, x: Size, y: Size) -> Value:
        return self.b.select(condition, self.i64(x), self.i64(y))

    def as_size(self, flag: Value) -> Value:
        return self.b.zext(flag, I64)

    @property
    def block(self) -> ir.Block:
        """Where the next instruction goes."""
        block = self.b.block
        assert block is not None
        return block

    # -- control flow ----------------------------------------------------------------------------

    def loop(self, lo: Size, hi: Size, body: Callable[..., Any], *, step: Size = 1, carry: Sequence[Value] = ()):
        """`for i in range(lo, hi, step): carry = body(i, *carry)`; gives the carried values after the last round.

        The test stands at the end, behind a guard, and carried values are in registers.
        """
        b, carry = self.b, list(carry)
        known = isinstance(lo, int) and isinstance(hi, int)
        if known and lo >= hi:
            return carry
        before, inside, behind = self.block, self._block("loop"), self._block("done")
        if known:
            b.branch(inside)
        else:
            b.cbranch(self.lt(lo, hi), inside, behind)
        b.position_at_end(inside)
        i = self._phi(I64, self.i64(lo), before)
        carried = [self._phi(v.type, v, before) for v in carry]
        new = list(body(i, *carried) or [])
        following, last = b.add(i, self.i64(step)), self.block
        i.add_incoming(following, last)
        for phi, value in zip(carried, new, strict=True):
            phi.add_incoming(value, last)
        b.cbranch(self.lt(following, hi), inside, behind)
        b.position_at_end(behind)
        if known:
            return new
        found = []
        for start, end in zip(carry, new, strict=True):
            phi = self._phi(start.type, start, before)
            phi.add_incoming(end, last)
            found.append(phi)
        return found

    def _block(self, name: str) -> ir.Block:
        return self.fn.append_basic_block(name)

    def _phi(self, kind: ir.Type, value: Value, block: ir.Block) -> Value:
        phi = self.b.phi(kind)
        phi.add_incoming(value, block)
        return phi

    def when(self, condition: Value, then: Callable[[], Any], otherwise: Callable[[], Any] | None = None) -> None:
        """Run one thing where the condition holds, and another where it does not."""
        b = self.b
        yes, behind = self._block("then"), self._block("endif")
        no = self._block("else") if otherwise else behind
        b.cbranch(condition, yes, no)
        b.position_at_end(yes)
        then()
        b.branch(behind)
        if otherwise:
            b.position_at_end(no)
            otherwise()
            b.branch(behind)
        b.position_at_end(behind)

    def switch(self, value: Value, cases: Mapping[int, Callable[[], Any]]) -> None:
        """Run the case of a value; nothing where there is none."""
        b, behind = self.b, self._block("endswitch")
        switch = b.switch(value, behind)
        for key, run in cases.items():
            block = self._block(f"case{key}")
            switch.add_case(ir.Constant(value.type, key), block)
            b.position_at_end(block)
            run()
            b.branch(behind)
        b.position_at_end(behind)

    def call(self, function: ir.Function, *args: Size | Value) -> Value:
        """Call a function; whole numbers are sizes."""
        return self.b.call(function, [self.i64(a) for a in args])

    # -- memory ----------------------------------------------------------------------------------

    def at(self, pointer: Value, offset: Size, kind: ir.Type | None = None) -> Value:
        """The address `offset` elements behind a pointer."""
        if isinstance(offset, int) and offset == 0:
            return pointer
        # what is checked may be wrong, and LLVM must not assume that it is not
        sure = self.module.check is None
        return self.b.gep(pointer, [self.i64(offset)], inbounds=sure, source_etype=kind or self.R)

    def _checked(self, pointer: Value, offset: Size, kind: ir.Type, *, write: bool, mask: Value | None = None) -> Value:
        """The address of one access, which a debug build looks at; a table of the module itself is no buffer."""
        place = self.at(pointer, offset, kind.element if isinstance(kind, ir.VectorType) else kind)
        if self.module.check is None or isinstance(pointer, ir.Constant):
            return place
        size = self._size(kind) if mask is None else self.mul(self._count(mask), self.module.bytes)
        return self.module.check(self, place, size, write=write)

    @staticmethod
    def _size(kind: ir.Type) -> int:
        """The bytes of a type."""
        if isinstance(kind, ir.VectorType):
            return kind.count * Emitter._size(kind.element)
        if isinstance(kind, ir.IntType):
            return kind.width // 8
        return 4 if kind is F32 else 8

    def _count(self, mask: Value) -> Size:
        """How many lanes a mask has; they are the first ones."""
        bits = self.b.zext(self.b.bitcast(mask, ir.IntType(self.lanes)), I64)
        return self.b.call(self.module.declare("llvm.ctpop.i64", I64, [I64]), [bits])

    def load_as(self, kind: ir.Type, pointer: Value, offset: Size = 0) -> Value:
        """One value of another type, `offset` of them behind the pointer."""
        return self.b.load(self._checked(pointer, offset, kind, write=False), typ=kind)

    def store_as(self, kind: ir.Type, value: Value, pointer: Value, offset: Size = 0) -> None:
        self.b.store(value, self._checked(pointer, offset, kind, write=True))

    def scalar(self, pointer: Value, offset: Size = 0) -> Value:
        return self.b.load(self._checked(pointer, offset, self.R, write=False), typ=self.R, align=self.module.bytes)

    def load(self, pointer: Value, offset: Size = 0, *, mask: Value | None = None, align: int | None = None) -> Value:
        """A vector; lanes outside a mask are neither read nor anything but 0."""
        place = self._checked(pointer, offset, self.V, write=False, mask=mask)
        align = align or self.module.bytes
        if mask is None:
            return self.b.load(place, typ=self.V, align=align)
        load = self.module.declare(f"llvm.masked.load.{self._suffix}.p0", self.V, [PTR, I32, self.VB, self.V])
        return self.b.call(load, [place, ir.Constant(I32, align), mask, self.real(0.0)])

    def store(
        self, value: Value, pointer: Value, offset: Size = 0, *, mask: Value | None = None, align: int | None = None
    ) -> None:
        """Store a vector; lanes outside a mask are left alone."""
        place = self._checked(pointer, offset, self.V, write=True, mask=mask)
        align = align or self.module.bytes
        if mask is None:
            self.b.store(value, place, align=align)
            return
        store = self.module.declare(f"llvm.masked.store.{self._suffix}.p0", VOID, [self.V, PTR, I32, self.VB])
        self.b.call(store, [value, place, ir.Constant(I32, align), mask])

    def first_lanes(self, count: Size) -> Value:
        """The mask of the lanes below `count`."""
        width = self.VI.element
        number = self.i64(count) if width is I64 else self.b.trunc(self.i64(count), width)
        lanes = ir.Constant(self.VI, list(range(self.lanes)))
        return self.b.icmp_signed("<", lanes, self.splat(number, self.VI))

    # -- vectors ---------------------------------------------------------------------------------

    @property
    def _suffix(self) -> str:
        return f"v{self.lanes}f{8 * self.module.bytes}"

    def real(self, x: float) -> ir.Constant:
        """A vector with this number in every lane."""
        return Splat(self.V, [self._rounded(x)] * self.lanes)

    def _rounded(self, x: float) -> float:
        """LLVM takes a float constant only where it is exact in its type."""
        return struct.unpack("f", struct.pack("f", x))[0] if self.module.bytes == 4 else x

    def integer(self, x: int) -> ir.Constant:
        """A vector of integers as wide as the reals."""
        return Splat(self.VI, [x] * self.lanes)

    def splat(self, scalar: Value, kind: ir.VectorType | None = None) -> Value:
        """A scalar in every lane."""
        kind = kind or self.V
        nothing = ir.Constant(kind, ir.Undefined)
        one = self.b.insert_element(nothing, scalar, ir.Constant(I32, 0))
        return self.b.shuffle_vector(one, nothing, Splat(ir.VectorType(I32, self.lanes), [0] * self.lanes))

    def broadcast(self, pointer: Value, offset: Size = 0) -> Value:
        return self.splat(self.scalar(pointer, offset))

    def lane(self, vector: Value, index: int) -> Value:
        return self.b.extract_element(vector, ir.Constant(I32, index))

    def intrinsic(self, name: str, *args: Value) -> Value:
        """A vector intrinsic such as `llvm.fabs`."""
        function = self.module.declare(f"{name}.{self._suffix}", self.V, [self.V] * len(args))
        return self.b.call(function, list(args))

    def fma(self, x: Value, y: Value, z: Value) -> Value:
        """x·y + z: in one instruction where there is one, else in two."""
        return self.intrinsic("llvm.fmuladd", x, y, z)

    def transpose(self, rows: Sequence[Value]) -> list[Value]:
        """As many vectors as one has lanes, rows and columns exchanged, by swapping blocks of growing size."""
        n, found, size = self.lanes, list(rows), 1
        while size < n:
            low = [lane if not lane & size else n + lane - size for lane in range(n)]
            high = [lane + size if not lane & size else n + lane for lane in range(n)]
            masks = [ir.Constant(ir.VectorType(I32, n), order) for order in (low, high)]
            following = list(found)
            for i in range(n):
                if not i & size:
                    pair = found[i], found[i + size]
                    following[i], following[i + size] = (self.b.shuffle_vector(*pair, m) for m in masks)
            found, size = following, 2 * size
        return found

    def sum_of_lanes(self, vector: Value) -> Value:
        """The sum over the lanes, in every lane: halves are added until one is left."""
        return self._across(vector, self.b.fadd)

    def max_of_lanes(self, vector: Value) -> Value:
        """The largest lane, in every lane; NaN where one is NaN."""
        return self._across(vector, self.maximum)

    def _across(self, vector: Value, combine: Callable[[Value, Value], Value]) -> Value:
        size = self.lanes // 2
        while size:
            order = [lane ^ size for lane in range(self.lanes)]
            turned = self.b.shuffle_vector(vector, vector, ir.Constant(ir.VectorType(I32, self.lanes), order))
            vector, size = combine(vector, turned), size // 2
        return vector

    def maximum(self, x: Value, y: Value) -> Value:
        """The larger of two, NaN where either is: the second wins unless the first is larger or NaN."""
        larger = self.b.or_(self.b.fcmp_ordered(">", x, y), self.b.fcmp_unordered("uno", x, x))
        return self.b.select(larger, x, y)
