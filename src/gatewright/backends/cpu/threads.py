"""Threads: kernels run on those that torch itself uses, so that two pools never fight for the cores.

A kernel is a worker `worker(context, thread, threads)`; its entry runs it once in each of a team of threads, and in
between they wait for each other at barriers.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from llvmlite import ir

from . import engine
from .emitter import I32, I64, PTR, VOID, Emitter, Module, Size, Value
from .forks import forked
from .target import host

# -- what is there ---------------------------------------------------------------------------------

PARALLEL, NUMBER, COUNT = SYMBOLS = ("GOMP_parallel", "omp_get_thread_num", "omp_get_num_threads")


@dataclass(frozen=True)
class Team:
    """The addresses of the three functions of OpenMP's run time that an entry calls, by name."""

    symbols: Mapping[str, int]


@cache
def team() -> Team | None:
    """The OpenMP run time that torch uses; None where it has none, or one without GNU's interface.

    Nothing is loaded for it. The functions are searched for as the dynamic linker did it for torch: first among what
    is visible to all, then among what torch's own library has brought along.
    """
    return _team_of(None) or _team_of("libtorch_cpu.so")


def _team_of(library: str | None) -> Team | None:
    """The run time that a loaded library sees; None stands for the program itself."""
    try:
        found = ctypes.CDLL(library, mode=os.RTLD_NOLOAD | os.RTLD_LAZY)
        return Team({name: _address(found, name) for name in SYMBOLS})
    except (OSError, AttributeError):  # it is not loaded; it lacks a function
        return None


def _address(library: ctypes.CDLL, name: str) -> int:
    return ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0


def thread_count() -> int:
    """How many threads a kernel should ask for: as many as torch's operations use.

    It is one in a forked process, where OpenMP must not be entered, and where torch has no OpenMP.
    """
    return 1 if forked() or team() is None else torch.get_num_threads()


def symbols() -> Mapping[str, int]:
    """What a library with entries must import: OpenMP's functions or, where there are none, those of a team of one."""
    found = team()
    return found.symbols if found else _alone().addresses


@cache
def _alone() -> engine.Library:
    return engine.load([engine.compile_object(alone(Module("gatewright_alone", "float", host())))], SYMBOLS)


def alone(module: Module) -> Module:
    """Stand-ins for OpenMP's functions, for a team that is always the calling thread alone."""
    worker = ir.FunctionType(VOID, [PTR]).as_pointer()  # with its type, since it is called
    e = module.function(PARALLEL, {"worker": worker, "data": PTR, "threads": I32, "flags": I32}, public=True)
    e.b.call(e.args["worker"], [e.args["data"]])
    e.done()
    for name, answer in ((NUMBER, 0), (COUNT, 1)):
        function = module.declare(name, I32, [])
        ir.IRBuilder(function.append_basic_block()).ret(ir.Constant(I32, answer))
    return module


# -- entries ---------------------------------------------------------------------------------------


def add_entry(module: Module, name: str, worker: ir.Function) -> ir.Function:
    """A public function `name(context: ptr, threads: i32)` that runs `worker(context: ptr, thread: i64, threads: i64)`
    in each thread of a team. One thread runs it directly, without entering OpenMP.

    What it imports is in `symbols`.
    """
    member = _add_member(module, f"{name}_member", worker)
    e = module.function(name, {"context": PTR, "threads": I32}, public=True)
    context, threads = e.args["context"], e.args["threads"]
    parallel = module.declare(PARALLEL, VOID, [PTR, PTR, I32, I32])
    e.when(
        e.b.icmp_signed("<=", threads, ir.Constant(I32, 1)),
        lambda: e.call(worker, context, 0, 1),
        lambda: e.b.call(parallel, [member, context, threads, ir.Constant(I32, 0)]),
    )
    return e.done()


def _add_member(module: Module, name: str, worker: ir.Function) -> ir.Function:
    """What OpenMP calls in each thread. The team may be smaller than was asked for, so its size is asked for here."""
    e = module.function(name, {"context": PTR})
    thread, threads = (e.b.sext(e.b.call(module.declare(ask, I32, []), []), I64) for ask in (NUMBER, COUNT))
    e.call(worker, e.args["context"], thread, threads)
    return e.done()


MANY = "gw_many"


def add_many(module: Module) -> ir.Function:
    """A public function `gw_many(job: ptr, threads: i32)` that calls an entry with many contexts, one after the other.

    job: the entry's address, that of the first context, how many words lie from one context to the next, how many
    contexts there are, and in how many shares of neighbours the team's threads take them. A context's own team is one
    thread: only whole contexts run beside each other.
    """
    e = module.function(f"{MANY}_worker", {"context": PTR, "thread": I64, "threads": I64})
    job, thread, threads = e.args["context"], e.args["thread"], e.args["threads"]
    entry: Any = _Entry(PTR, e.load_as(PTR, job).get_reference())
    contexts = e.load_as(PTR, job, 1)
    words, count, shares = (e.load_as(I64, job, i) for i in (2, 3, 4))

    def one(k: Value) -> None:
        e.b.call(entry, [e.at(contexts, e.mul(k, words), I64), ir.Constant(I32, 1)])

    def share(s: Value) -> None:
        first, behind = (e.div(e.mul(e.add(s, more), count), shares) for more in (0, 1))
        e.loop(first, behind, one)

    e.loop(thread, shares, share, step=threads)
    return add_entry(module, MANY, e.done())


class _Entry(ir.FormattedConstant):
    """The address of an entry, found at run time; llvmlite asks what it calls for its type."""

    function_type = ir.FunctionType(VOID, [PTR, I32])


# -- the barrier -----------------------------------------------------------------------------------

BARRIER = "gw_barrier"
FLAG_BYTES = 64  # a flag has a cache line to itself: threads that wait must not disturb those that write
PAUSES = 1000  # some 25 microseconds; a thread that must be waited for longer may need this very core


def barrier(e: Emitter, flags: Value, thread: Size, threads: Size, phase: Size) -> None:
    """Wait until all threads of a team have come to the same phase; phases count up from one.

    flags: `FLAG_BYTES` for each thread, aligned to as many, zero before the first phase. The function called is that
    of `add_barrier`, which may stand in another library.
    """
    e.call(_declare_barrier(e.module), flags, thread, threads, phase)


def _declare_barrier(module: Module) -> ir.Function:
    return module.declare(BARRIER, VOID, [PTR, I64, I64, I64])


def add_barrier(module: Module) -> ir.Function:
    """The barrier's code, public: a module of functions that kernels share.

    Every thread writes the phase into its own flag, then waits for each other's: first in a short spin, since the
    others are mostly close behind, then giving up its core between two looks, since they may be queueing for it.
    """
    names = ("flags", "thread", "threads", "phase")
    e = module.function(BARRIER, dict(zip(names, (PTR, I64, I64, I64), strict=True)), public=True)
    flags, thread, threads, phase = (e.args[name] for name in names)
    _publish(e, phase, _flag(e, flags, thread))
    e.loop(0, threads, lambda other: _await(e, _flag(e, flags, other), phase))
    return e.done()


def _flag(e: Emitter, flags: Value, thread: Size) -> Value:
    return e.at(flags, e.mul(thread, FLAG_BYTES // 8), I64)


def _publish(e: Emitter, phase: Value, flag: Value) -> None:
    # the builder's own method wants a typed pointer
    store = ir.instructions.StoreAtomicInstr(e.b.block, phase, flag, "release", 8)
    e.b._insert(store)


def _await(e: Emitter, flag: Value, phase: Value) -> None:
    b = e.b
    before = b.block
    look, wait, relax, behind = (e.fn.append_basic_block(name) for name in ("look", "wait", "yield", "arrived"))
    b.branch(look)
    b.position_at_end(look)
    looks = b.phi(I64)
    looks.add_incoming(ir.Constant(I64, 0), before)
    seen = b.load_atomic(flag, "acquire", 8, typ=I64)
    b.cbranch(b.icmp_signed(">=", seen, phase), behind, wait)
    b.position_at_end(wait)
    _pause(e)
    following = b.add(looks, ir.Constant(I64, 1))
    looks.add_incoming(following, wait)
    b.cbranch(b.icmp_signed("<", looks, ir.Constant(I64, PAUSES)), look, relax)
    b.position_at_end(relax)
    b.call(e.module.declare("sched_yield", I32, []), [])
    looks.add_incoming(following, relax)
    b.branch(look)
    b.position_at_end(behind)


def _pause(e: Emitter) -> None:
    """Tell the processor that this is a spin."""
    if e.module.target.triple.startswith("aarch64"):
        e.b.call(e.module.declare("llvm.aarch64.hint", VOID, [I32]), [ir.Constant(I32, 1)])
    else:
        e.b.call(e.module.declare("llvm.x86.sse2.pause", VOID, []), [])
