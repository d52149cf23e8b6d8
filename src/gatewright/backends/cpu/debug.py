"""Debug builds: with GATEWRIGHT_DEBUG=1 a kernel looks at every address before it reads or writes there.

All buffers of a call stand in one table. What lies in none of them is not touched: the first such access is noted, the
kernel goes on with memory that does no harm, and the call ends in an error that says what was meant.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from llvmlite import ir
from torch import Tensor

from . import engine
from .emitter import I64, PTR, Emitter, Module, Size, Value
from .sizes import Space
from .target import Target, host

if TYPE_CHECKING:
    from .call import Context, Prepared

DEBUG = "GATEWRIGHT_DEBUG"
CHECK, TABLE = EXPORTS = ("gw_check", "gw_table")
NOTED, ADDRESS, SIZE, WRITE, WHERE, COUNT, HEAD = range(7)
"""The words of a table: whether something was noted, what it was, and how many buffers follow behind the head."""
ROW = 3  # of a buffer: its first byte, the one behind its last, whether it may be written
Array = Tensor | np.ndarray
HARMLESS = 64  # bytes: the longest vector


@cache
def debugging() -> bool:
    """Whether the environment asks for debug builds; read once."""
    value = os.environ.get(DEBUG, "")
    if value not in ("", "0", "1"):
        raise ValueError(f"{DEBUG}: expected 1 (every access is checked) or 0, got {value!r}")
    return value == "1"


# -- the check ---------------------------------------------------------------------------------------


def checked(e: Emitter, place: Value, size: Size, *, write: bool) -> Value:
    """The address itself, or where the access does no harm: one call, of a function that all kernels share."""
    name = f"in_{e.fn.name}"
    if name not in e.module.ir.globals:
        e.module.text(name, e.fn.name)
    check = e.module.declare(CHECK, PTR, [PTR, I64, I64, PTR])
    return e.call(check, place, size, int(write), ir.FormattedConstant(PTR, f'@"{name}"'))


def build_check(target: Target) -> Module:
    """gw_check(address, size, write, function) -> address; without a table everything is allowed."""
    module = Module("check", "float", target)
    table = _variable(module, TABLE, PTR)
    waste, zeros = (_variable(module, name, ir.ArrayType(I64, HARMLESS // 8)) for name in ("waste", "zeros"))
    e = Emitter(module, module.declare(CHECK, PTR, [PTR, I64, I64, PTR]))
    e.fn.attributes.add("nounwind")
    place, size, write, where = e.fn.args
    buffers = e.load_as(PTR, table)
    nothing = e.eq(e.b.ptrtoint(buffers, I64), 0)
    buffers = e.b.select(nothing, zeros, buffers)
    address = e.b.ptrtoint(place, I64)
    always = e.b.or_(nothing, e.eq(size, 0))
    allowed = e.ne(_allowed(e, buffers, address, size, write, e.as_size(always)), 0)
    words = (address, size, write, e.b.ptrtoint(where, I64))
    e.when(e.b.not_(allowed), lambda: _note(e, buffers, words))
    harmless = e.b.select(e.ne(write, 0), waste, zeros)  # what is read is 0: a number of rounds stays small
    e.b.ret(e.b.select(allowed, place, harmless))
    return module


def _variable(module: Module, name: str, kind: ir.Type) -> ir.Constant:
    """The address of a variable that begins as zero."""
    variable: Any = ir.GlobalVariable(module.ir, kind, name)
    variable.initializer, variable.align = ir.Constant(kind, None), HARMLESS
    return ir.FormattedConstant(PTR, variable.get_reference())


def _allowed(e: Emitter, buffers: Value, address: Value, size: Value, write: Value, always: Value) -> Value:
    """Not 0 where one buffer holds all of it, and may be written if that is asked."""
    end = e.add(address, size)

    def look(i: Value, found: Value) -> list[Value]:
        row = e.add(HEAD, e.mul(i, ROW))
        first, behind, may = (e.load_as(I64, buffers, e.add(row, k)) for k in range(ROW))
        inside = e.both(e.compare("<=", first, address), e.compare("<=", end, behind))
        fits = e.both(inside, e.compare("<=", write, may))
        return [e.b.or_(found, e.as_size(fits))]

    return e.loop(0, e.load_as(I64, buffers, COUNT), look, carry=[always])[0]


def _note(e: Emitter, buffers: Value, words: Sequence[Value]) -> None:
    """Write down an access, unless some thread has been faster."""
    exchange: Any = ir.instructions.CmpXchg(
        e.block, buffers, e.i64(0), e.i64(1), "monotonic", "monotonic", e.fn.scope.register("noted", deduplicate=True)
    )
    e.b._insert(exchange)
    first = e.b.extract_value(exchange, 1)
    places = (ADDRESS, SIZE, WRITE, WHERE)
    e.when(first, lambda: [e.store_as(I64, w, buffers, k) for k, w in zip(places, words, strict=True)])


@cache
def checker() -> engine.Library:
    """The check's code, for all kernels of this process."""
    target = host()
    made = engine.compiled("check", lambda: build_check(target), real="float", target=target)
    return engine.load([made], EXPORTS)


# -- calls -------------------------------------------------------------------------------------------

_lock = threading.Lock()
_own = threading.local()


class OneAtATime:
    """A kernel of a debug build: it looks at the table of this thread's call, and no other runs meanwhile."""

    def __init__(self, function: Callable[[int, int], None]):
        self.function = function

    def __call__(self, context: int, threads: int) -> None:
        current = ctypes.c_int64.from_address(checker().address(TABLE))
        with _lock:
            current.value = getattr(_own, "table", 0)
            try:
                self.function(context, threads)
            finally:
                current.value = 0


class Buffer(NamedTuple):
    """Memory that a call may touch; its name is None where the context's words tell it."""

    name: str | None
    first: int
    behind: int
    writable: bool


class Watch:
    """Runs calls of one kind with a table of all their buffers."""

    def __init__(self, prepared: Prepared, scratch: Space, kernel: str):
        self.prepared, self.scratch, self.kernel = prepared, scratch, kernel

    def run(
        self, context: Context, *, reads: Iterable[Array], writes: Iterable[Array], saved: tuple[Space, Tensor] | None
    ) -> None:
        """Run a call; RuntimeError where it has left its buffers."""
        buffers = [*self._own_buffers(context), *_tensors(reads, False), *_tensors(writes, True)]
        if saved is not None:
            buffers += _places(*saved, writable=self.prepared.name == "forward")
        words = list(context.words)
        table = np.array([0] * COUNT + [len(buffers)] + [n for b in buffers for n in b[1:]], dtype=np.int64)
        _own.table = table.ctypes.data
        try:
            self.prepared.run(context)
        finally:
            _own.table = 0
        if table[NOTED]:
            raise RuntimeError(self._message(buffers, words, *(int(n) for n in table[ADDRESS:COUNT])))

    def _own_buffers(self, context: Context) -> Iterator[Buffer]:
        prepared: Any = self.prepared
        yield Buffer("the context", context.address, context.address + 8 * len(context.words), False)
        yield from _places(self.scratch, context.known["scratch"], writable=True)
        kept = (prepared.numbers, prepared.identity, prepared.count, prepared.first, prepared.nothing)
        yield from (*_tensors(kept, False), *_tensors([prepared.waste], True))

    def _message(
        self, buffers: Sequence[Buffer], words: Sequence[int], address: int, size: int, write: int, where: int
    ):
        nearest = min(buffers, key=lambda b: _distance(b, address, size))
        length, function = nearest.behind - nearest.first, ctypes.string_at(where).decode()
        inside = nearest.first <= address and address + size <= nearest.behind
        return (
            f"{self.kernel}: {function} {'writes' if write else 'reads'} {size} bytes at offset "
            f"{address - nearest.first} of {self._called(nearest, words)}, which has {length} bytes"
            f"{' and may only be read' if inside else ''}"
        )

    def _called(self, buffer: Buffer, words: Sequence[int]) -> str:
        """A buffer's name: its own, or those of the words that point into it."""
        names = [n for n, word in zip(self.prepared.native.fields, words, strict=False) if _is_inside(word, buffer)]
        return f"'{buffer.name or ', '.join(names) or 'a tensor'}'"


def _is_inside(word: int, buffer: Buffer) -> bool:
    return buffer.first <= word < buffer.behind


def _distance(buffer: Buffer, address: int, size: int) -> tuple[int, bool, int]:
    """How far an access reaches out of a buffer; of two, the one beyond whose end it lies, and the nearest such."""
    out = max(buffer.first - address, address + size - buffer.behind, 0)
    return out, buffer.first > address, -buffer.first


def _tensors(tensors: Iterable[Array], writable: bool) -> Iterator[Buffer]:
    """From the first to the last element of each."""
    for t in map(torch.as_tensor, tensors):
        if t.numel():
            last = sum((n - 1) * stride for n, stride in zip(t.shape, t.stride(), strict=True))
            yield Buffer(None, t.data_ptr(), t.data_ptr() + (last + 1) * t.element_size(), writable)


def _places(space: Space, buffer: Any, *, writable: bool) -> Iterator[Buffer]:
    start, item = buffer.data_ptr(), buffer.element_size()
    for name, count in space.counts.items():
        first = start + space.offset[name] * item
        yield Buffer(name, first, first + count * item, writable)
