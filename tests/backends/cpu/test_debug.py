"""Debug builds: every access is looked at, the first wrong one is named, and nothing crashes."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from functools import cache

import kernel_cases
import numpy as np
import pytest
import torch
from kernel_cases import Case, numbers_of, run, setting_of

from gatewright.backends.cpu import calls, debug, engine
from gatewright.backends.cpu.build import emitted
from gatewright.backends.cpu.by_reference import widths
from gatewright.backends.cpu.emitter import I64, PTR, Module
from gatewright.backends.cpu.kernel import DTYPES, Kernel
from gatewright.backends.cpu.target import TARGETS, able, host
from gatewright.plan.program import Program

SMALL = Case("lstm", real="float", H=5, B=3, T=4, I=2)


@pytest.fixture
def debugging(monkeypatch):
    """Kernels of this test are debug builds."""
    monkeypatch.setattr(calls, "debugging", lambda: True)
    made = cache(lambda text, real, target: Kernel(Program.parse(text), real, TARGETS[target]))
    monkeypatch.setattr(kernel_cases, "kernel_of", made)
    return made


def called(case: Case):
    setting = setting_of(case)
    given = numbers_of(case, setting, widths(setting.program, *setting.shaped(DTYPES[case.real])))
    return run(case, setting.program, given)


def kernel_after(case: Case, made) -> Kernel:
    """A debug kernel that has run once, so that its prepared calls can be tampered with."""
    called(case)
    return made(setting_of(case).program.text, case.real, case.target)


# -- the check alone -------------------------------------------------------------------------------------------

ACCESSES = {
    "vector": (lambda e, p: e.load(p), False),
    "masked vector": (lambda e, p: e.load(p, mask=e.first_lanes(3)), False),
    "number": (lambda e, p: e.scalar(p), False),
    "word": (lambda e, p: e.load_as(I64, p), False),
    "stored vector": (lambda e, p: e.store(e.real(1.0), p), True),
    "stored masked vector": (lambda e, p: e.store(e.real(1.0), p, mask=e.first_lanes(3)), True),
    "stored word": (lambda e, p: e.store_as(I64, e.i64(7), p), True),
}


def sizes(target) -> dict[str, int]:
    vector = target.vector_bytes
    return {"vector": vector, "masked vector": min(12, vector), "number": 4, "word": 8, "stored vector": vector,
            "stored masked vector": min(12, vector), "stored word": 8}  # fmt: skip


@cache
def function_of(kind: str):
    module = Module(f"access_{kind}".replace(" ", "_"), "float", host(), check=debug.checked)
    e = module.function("access", {"place": PTR}, public=True)
    ACCESSES[kind][0](e, e.args["place"])
    e.done()
    library = engine.load([engine.compile_object(module)], ["access"], uses=[debug.checker()])
    return library.function("access", ctypes.c_void_p)


def noted(kind: str, start: int, length: int, writable: bool, address: int) -> list[int]:
    """What is noted of one access where one buffer may be touched."""
    return noted_of(function_of(kind), start, length, writable, address)


def noted_of(function, start: int, length: int, writable: bool, address: int) -> list[int]:
    table = np.array([0, 0, 0, 0, 0, 1, start, start + length, int(writable)], dtype=np.int64)
    current = ctypes.c_int64.from_address(debug.checker().address(debug.TABLE))
    current.value = table.ctypes.data
    function(address)
    current.value = 0
    return table[: debug.COUNT].tolist()


@pytest.mark.parametrize("kind", ACCESSES)
def test_an_access_is_seen_with_its_exact_size(kind):
    buffer = torch.zeros(64)
    start, size, write = buffer.data_ptr(), sizes(host())[kind], ACCESSES[kind][1]
    assert noted(kind, start, size, True, start)[0] == 0, "all of it is inside"
    assert noted(kind, start, size - 1, True, start)[:4] == [1, start, size, int(write)], "one byte is not"
    assert noted(kind, start + 1, size, True, start)[0] == 1, "the first byte is not"
    assert noted(kind, start, size, False, start)[0] == int(write), "what is only read may not be written"


@pytest.mark.parametrize("kind", ["stored vector", "stored masked vector", "stored word"])
def test_nothing_is_written_where_nothing_may_be(kind):
    buffer = torch.zeros(64)
    assert noted(kind, buffer.data_ptr(), 4, True, buffer.data_ptr() + 64)[0] == 1
    assert not buffer.any()


@pytest.mark.parametrize("kind", ["vector", "word", "stored vector"])
def test_a_forbidden_address_does_not_end_the_process(kind):
    assert noted(kind, 0, 0, True, 0)[0] == 1


def test_a_mask_without_lanes_touches_nothing():
    module = Module("nothing", "float", host(), check=debug.checked)
    e = module.function("nothing", {"place": PTR}, public=True)
    e.store(e.load(e.args["place"], mask=e.first_lanes(0)), e.args["place"], mask=e.first_lanes(-1))
    e.done()
    nothing = engine.load([engine.compile_object(module)], ["nothing"], uses=[debug.checker()])
    assert noted_of(nothing.function("nothing", ctypes.c_void_p), 0, 0, True, 4096)[0] == 0


def test_the_first_is_noted():
    module = Module("twice", "float", host(), check=debug.checked)
    e = module.function("twice", {"place": PTR}, public=True)
    for offset in (5, 9):
        e.store_as(I64, e.i64(7), e.args["place"], offset)
    e.done()
    twice = engine.load([engine.compile_object(module)], ["twice"], uses=[debug.checker()])
    start = torch.zeros(64).data_ptr()
    assert noted_of(twice.function("twice", ctypes.c_void_p), start, 8, True, start)[:3] == [1, start + 40, 8]


# -- whole kernels ---------------------------------------------------------------------------------------------

RUNS = [
    SMALL,
    Case("gru", H=17, B=7, T=3, I=5, split="2 rows", masks="both", layout="sliced", lengths="ragged"),
]
MORE = [
    SMALL._replace(real="double", lengths="ragged", reverse=True, reset=True, series="records"),
    Case("layer_norm_lstm", real="float", H=17, B=2, T=3, I=5, split="2 units", layout="batch first"),
    Case("peephole_lstm", H=3, B=1, T=0, I=1, lengths="full"),
    Case("slstm", H=15, B=5, T=9, I=4, lengths="ragged", layout="expanded"),
    Case("lstm_1997", H=12, B=3, T=5, reverse=True, given="finals"),
    Case("qrnn", H=33, B=33, T=20, I=40, split="3 rows", needs="weights"),
    *(Case(name, target=t) for name, t in zip(("mgu", "ea_lstm", "mut1", "lstmp"), able(), strict=False)),
]
RUNS += [pytest.param(case, marks=pytest.mark.slow) for case in MORE]


@pytest.mark.parametrize("case", RUNS, ids=str)
def test_right_kernels_report_nothing_and_compute_the_same(case, request):
    plain = called(case)
    request.getfixturevalue("debugging")
    watched = called(case)
    assert_same([*watched.trained, *watched.inferred, *watched.grads], [*plain.trained, *plain.inferred, *plain.grads])


def assert_same(mine, theirs) -> None:
    for a, b in zip(mine, theirs, strict=True):
        assert a is b or torch.equal(a, b)


@pytest.mark.parametrize(
    ("half", "space", "name"),
    [
        ("forward", "saved", "value H"),
        ("forward", "saved", "state c"),
        ("forward", "scratch", "weights 1"),
        ("forward", "scratch", "vectors H"),
        ("backward", "saved", "value H"),
        ("backward", "scratch", "transposed 0 0"),
        ("backward", "scratch", "total b_i"),
        ("backward", "scratch", "gradient 0"),
    ],
)
def test_a_place_that_is_too_small_is_named(debugging, half, space, name):
    kernel = kernel_after(SMALL, debugging)
    call = next(c for c in getattr(kernel, f"_{half}").values() if half == "backward" or c.train)
    places = call.watch.scratch if space == "scratch" else call.saved
    whole, vector = places.counts[name], kernel.lanes
    places.counts[name] = whole - vector
    with pytest.raises(RuntimeError) as raised:
        called(SMALL)
    told = str(raised.value)
    assert told.startswith(f"the {half} kernel (x; h, c) in torch.float32: ")
    assert f"of '{name}', which has {4 * (whole - vector)} bytes" in told
    places.counts[name] = whole
    called(SMALL)


def test_an_error_says_which_work_has_touched_what(debugging):
    kernel = kernel_after(SMALL, debugging)
    call = next(c for c in kernel._forward.values() if c.train)
    call.saved.counts["state c"] = 0
    with pytest.raises(RuntimeError, match=r"enter_H writes \d+ bytes at offset 0 of 'state c', which has 0 bytes"):
        called(SMALL)


@pytest.mark.parametrize(("word", "names"), [("input 0 batch", "'input 0'"), ("state h row", "'output 0'")])
def test_a_wrong_stride_is_caught(debugging, word, names):
    kernel = kernel_after(SMALL, debugging)
    call = next(c for c in kernel._forward.values() if c.train)
    call.prepared._free.clear()
    call.prepared.template[call.prepared.slot[word]] += 1
    with pytest.raises(RuntimeError, match=f"of {names}, which has"):
        called(SMALL)


def test_what_is_only_given_may_not_be_written(debugging, monkeypatch):
    kernel_after(SMALL, debugging)
    own = debug.Watch.run

    def run_all_given(self, context, *, reads, writes, saved):
        own(self, context, reads=[*reads, *writes], writes=[], saved=saved)

    monkeypatch.setattr(debug.Watch, "run", run_all_given)
    with pytest.raises(RuntimeError, match=r"bytes at offset \d+ of '.*', which has \d+ bytes and may only be read"):
        called(SMALL)


def test_backward_may_not_write_into_what_forward_has_saved(debugging, monkeypatch):
    kernel_after(SMALL, debugging)
    own = debug.Watch.run

    def run_into_saved(self, context, *, reads, writes, saved):
        if self.prepared.name == "backward":
            context.words[self.prepared.slot["total b_i"]] = saved[1].data_ptr()
        own(self, context, reads=reads, writes=writes, saved=saved)

    monkeypatch.setattr(debug.Watch, "run", run_into_saved)
    with pytest.raises(RuntimeError, match=r"the backward kernel .* and may only be read"):
        called(SMALL)


def test_release_builds_have_no_check():
    program = setting_of(SMALL).program
    release, watched = (
        str(emitted(program, "float", host(), train=False, backward=False, debug=d)) for d in (False, True)
    )
    assert debug.CHECK not in release
    assert "inbounds" in release
    assert debug.CHECK in watched
    assert "inbounds" not in watched


# -- the environment -------------------------------------------------------------------------------------------

SCRIPT = """
import torch, gatewright as gw
from gatewright.backends.cpu import debug
layer = gw.Recurrent(gw.cells.mgu, input_size=3, hidden_size=4)
layer(torch.randn(2, 2, 3))
print(debug.checker.cache_info().currsize == 1)  # only kernels ask for it
"""


def test_the_environment_asks_for_it(monkeypatch):
    monkeypatch.setenv(debug.DEBUG, "1")
    found = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "True"


@pytest.mark.parametrize("value", ["", "0", "1"])
def test_what_the_environment_may_say(monkeypatch, value):
    monkeypatch.setenv(debug.DEBUG, value)
    assert debug.debugging.__wrapped__() == (value == "1")


def test_any_other_value_is_refused(monkeypatch):
    monkeypatch.setenv(debug.DEBUG, "yes")
    with pytest.raises(ValueError, match=r"GATEWRIGHT_DEBUG: expected 1 .* or 0, got 'yes'"):
        debug.debugging.__wrapped__()
