"""Entries and barriers: every thread of a team runs the worker, and none leaves a barrier before all have come."""

import ctypes
import os
import signal
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from gatewright.backends.cpu import engine, forks, threads
from gatewright.backends.cpu.emitter import I64, PTR, Module
from gatewright.backends.cpu.target import TARGETS, host

LINE = threads.FLAG_BYTES // 8
ENTRY = ctypes.c_void_p, ctypes.c_int


def counting(target):
    """A worker in which each thread counts its rounds, and adds up what it sees of all counts after each round.

    context: rounds, and the places of the flags, the counts and the results (sum, size of the team), a line a thread.
    """
    module = Module("counting", "float", target)
    threads.add_barrier(module)
    e = module.function("worker", {"context": PTR, "thread": I64, "threads": I64})
    context, thread, count = (e.args[name] for name in ("context", "thread", "threads"))
    rounds = e.load_as(I64, context)
    flags, counts, results = (e.load_as(PTR, context, i) for i in (1, 2, 3))
    own = e.mul(thread, LINE)

    def one_round(i, total):
        e.store_as(I64, e.add(i, 1), counts, own)
        threads.barrier(e, flags, thread, count, e.add(e.mul(i, 2), 1))
        (total,) = e.loop(0, count, lambda j, s: [e.add(s, e.load_as(I64, counts, e.mul(j, LINE)))], carry=[total])
        threads.barrier(e, flags, thread, count, e.add(e.mul(i, 2), 2))
        return [total]

    (total,) = e.loop(0, rounds, one_round, carry=[e.i64(0)])
    e.store_as(I64, total, results, own)
    e.store_as(I64, count, results, e.add(own, 1))
    threads.add_entry(module, "count", e.done())
    return module


@pytest.fixture(scope="module")
def code():
    return engine.compile_object(counting(host()))


@pytest.fixture(scope="module")
def count(code):
    """Run `rounds` in `n` threads; gives what each thread added up, and the size of the team."""
    return caller(engine.load([code], ["count"], threads.symbols()))


def caller(library):
    entry = library.function("count", *ENTRY)

    def run(n, rounds):
        flags, counts, results = np.zeros((3, n, LINE), np.int64)
        places = [array.ctypes.data for array in (flags, counts, results)]
        context = np.array([rounds, *places], np.int64)
        entry(context.ctypes.data, n)
        size = int(results[0, 1])
        return results[:size, 0].tolist(), size

    return run


def added_up(n, rounds):
    """Every round, each thread sees the same count from all n."""
    return [n * rounds * (rounds + 1) // 2] * n, n


@pytest.mark.parametrize("n", [1, 2, 3])
def test_every_thread_sees_the_others_rounds(count, n):
    assert count(n, 2000) == added_up(n, 2000)


def test_more_threads_than_cores_finish_promptly(count):
    start = time.perf_counter()
    assert count(8, 50) == added_up(8, 50)
    assert time.perf_counter() - start < 5


def test_several_callers_at_once_have_a_team_each(count):
    with ThreadPoolExecutor(4) as callers:
        found = list(callers.map(lambda n: count(n, 100), [1, 2, 3] * 4))
    assert found == [added_up(n, 100) for n in [1, 2, 3] * 4]


def test_the_number_of_threads_is_torchs(count):
    for n in (2, 1, 3):
        torch.set_num_threads(n)
        assert threads.thread_count() == n
        assert count(threads.thread_count(), 10) == added_up(n, 10)
        assert torch.ones(200_000).add(1).sum() == 400_000  # on the same threads, with work enough for all


def test_the_team_is_torchs_own():
    with open("/proc/self/maps") as maps:
        lines = [line.split() for line in maps]
    found = {line[-1] for line in lines if "libgomp" in line[-1]}  # other packages may bring one of their own
    libraries = {path for path in found if Path(path).parent == Path(torch.__file__).parent / "lib"} or found
    assert len(libraries) == 1
    ranges = [[int(end, 16) for end in line[0].split("-")] for line in lines if line[-1] in libraries]
    for found in (threads.team(), threads._team_of("libtorch_cpu.so")):
        assert len(found.symbols) == 3
        for address in found.symbols.values():
            assert any(start <= address < end for start, end in ranges)
    assert threads._team_of("libnowhere.so") is None
    assert threads._team_of("libc.so.6") is None


PARALLEL = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)


@pytest.mark.parametrize(("asked", "entered"), [(-1, []), (0, []), (1, []), (2, [2])])
def test_one_thread_does_not_enter_openmp(code, asked, entered):
    seen = []
    notes = PARALLEL(lambda worker, data, n, flags: seen.append(n))
    noted = {**threads.symbols(), "GOMP_parallel": ctypes.cast(notes, ctypes.c_void_p).value}
    room = np.zeros((3, LINE), np.int64)
    context = np.array([0, *(row.ctypes.data for row in room)], np.int64)
    engine.load([code], ["count"], noted).function("count", *ENTRY)(context.ctypes.data, asked)
    assert seen == entered
    assert room[2, 1] == (not entered)


def test_without_openmp_the_caller_is_alone(code, monkeypatch):
    torch.set_num_threads(3)
    monkeypatch.setattr(threads, "team", lambda: None)
    assert threads.thread_count() == 1
    alone = caller(engine.load([code], ["count"], threads.symbols()))
    assert alone(4, 10) == added_up(1, 10)  # a team may be smaller than was asked for


def test_a_forked_process_runs_one_thread(count):
    torch.set_num_threads(2)
    assert count(2, 10) == added_up(2, 10)  # now there is a pool, whose threads do not survive
    assert not forks.forked()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python's own, about forks with threads
        child = os.fork()
    if not child:
        right = threads.thread_count() == 1 and count(threads.thread_count(), 10) == added_up(1, 10)
        os._exit(0 if right else 1)
    assert ended(child) == 0
    assert threads.thread_count() == 2
    assert count(2, 10) == added_up(2, 10)


def ended(child, seconds=20):
    """How a process ended; it is killed where it does not."""
    for _ in range(100 * seconds):
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_it_can_be_translated_for_every_target(target):
    module = counting(target)
    spin = "llvm.aarch64.hint" if target.name == "neon" else "llvm.x86.sse2.pause"
    assert f'call void @"{spin}"' in str(module)
    assert engine.static_object(module).startswith(b"\x7fELF")
