"""What kernels find in a process with an operating system and OpenMP, for a program that has neither library.

A team of threads is made anew for every call, by Linux's `clone`; a thread's number is its thread pointer.
"""

from __future__ import annotations

import re
import struct

from llvmlite import ir

from gatewright.backends.cpu.emitter import I32, I64, PTR, VOID, Emitter, Module, Value
from gatewright.backends.cpu.target import TARGETS
from gatewright.backends.cpu.threads import COUNT, NUMBER, PARALLEL, _await

MOST = 8  # threads
STACK = 1 << 18
TEAM = 8 * (1 + MOST)
"""Bytes that a team shares: how many it is, and a word for each, which says that it is done."""


def assembled(text: str) -> bytes:
    """Machine code from lines of `word instruction  word instruction …`; LLVM's assembler is not at hand."""
    words = re.findall(r"(?:^|\s)([0-9a-f]{8})\s", text)
    return struct.pack(f"<{len(words)}I", *(int(word, 16) for word in words))


# spawn(worker, data, end of its stack, number, done): a thread that calls worker(data), writes 1 to `done` and ends.
SPAWN = assembled("""
a9be0440 stp x0, x1, [x2, #-32]!    f9000844 str x4, [x2, #16]
d281e000 mov x0, #0xf00             f2a001a0 movk x0, #0xd, lsl #16
aa0203e1 mov x1, x2                 d2800002 mov x2, #0             d2800004 mov x4, #0
d2801b88 mov x8, #220               d4000001 svc #0                 b4000040 cbz x0, 8
d65f03c0 ret
a94003e9 ldp x9, x0, [sp]           d63f0120 blr x9
f9400be9 ldr x9, [sp, #16]          d280002a mov x10, #1            c89ffd2a stlr x10, [x9]
d2800000 mov x0, #0                 d2800ba8 mov x8, #93            d4000001 svc #0
""")  # the flags are CLONE_VM, FS, FILES and SIGHAND, and CLONE_THREAD, SYSVSEM and SETTLS
YIELD = assembled("""
d2800f88 mov x8, #124               d4000001 svc #0                 d65f03c0 ret
""")


def team(place: int, stacks: int) -> Module:
    """OpenMP's functions. They call `spawn`; `place` is the address of `TEAM` bytes, `stacks` of as many as may be."""
    module = Module("team", "float", TARGETS["neon"])
    _add_parallel(module, place, stacks)
    b = _answering(module, NUMBER)
    b.ret(b.ptrtoint(b.call(module.declare("llvm.thread.pointer.p0", PTR, []), []), I32))
    b = _answering(module, COUNT)
    b.ret(b.trunc(b.load(_address(b, place), typ=I64), I32))
    return module


def _add_parallel(module: Module, place: int, stacks: int) -> None:
    worker = ir.FunctionType(VOID, [PTR]).as_pointer()  # with its type, since it is called
    e = module.function(PARALLEL, {"worker": worker, "data": PTR, "threads": I32, "flags": I32}, public=True)
    shared, threads = _address(e.b, place), e.b.zext(e.args["threads"], I64)
    spawn = module.declare("spawn", VOID, [PTR, PTR, I64, I64, PTR])

    def start(k: Value) -> None:
        done = e.at(shared, e.add(k, 1), I64)
        e.store_as(I64, e.i64(0), done)
        end = e.add(stacks, e.mul(e.add(k, 1), STACK))
        e.call(spawn, e.args["worker"], e.args["data"], end, k, done)

    e.store_as(I64, threads, shared)
    e.loop(1, threads, start)
    e.b.call(e.args["worker"], [e.args["data"]])
    e.loop(1, threads, lambda k: _wait(e, shared, k))
    e.done()


def _wait(e: Emitter, shared: Value, k: Value) -> None:
    _await(e, e.at(shared, e.add(k, 1), I64), e.i64(1))


def _answering(module: Module, name: str) -> ir.IRBuilder:
    return ir.IRBuilder(module.declare(name, I32, []).append_basic_block())


def _address(b: ir.IRBuilder, place: int) -> Value:
    return b.inttoptr(ir.Constant(I64, place), PTR)
