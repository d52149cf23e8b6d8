"""Every instruction set that kernels are made for: those of this processor, and Arm's under emulation."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import closing
from functools import cache, partial
from itertools import cycle

import numpy as np
import pytest
import test_kernel
import test_mathematics
import test_philox
import test_products
from covering import covering
from kernel_cases import CALL, Case, forbidden, setting_of
from neon.guest import QEMU, Arena, Guest, Linker, emulator
from neon.objects import Object, link
from neon.tensors import forget, kernels_in

import gatewright as gw
from gatewright.backends.cpu import build, engine, target
from gatewright.backends.cpu.emitter import Module
from gatewright.backends.cpu.products import SIGNATURES, build_library
from gatewright.backends.cpu.target import TARGETS, able
from gatewright.backends.cpu.threads import add_barrier
from gatewright.backends.philox import threshold


def quick(name: str, values, chosen):
    """Every value of an argument, in quick runs the chosen one alone."""
    params = [pytest.param(v, marks=[pytest.mark.slow] * (v != chosen)) for v in values]
    return pytest.mark.parametrize(name, params, ids=str)


REALS = ("float", "double")
BOTH = pytest.mark.parametrize("real", REALS)
CELLS = quick("cell", ("lstm", "gru", "layer_norm_lstm"), "lstm")

# -- this processor ------------------------------------------------------------------------------------------------


@BOTH
@CELLS
@pytest.mark.parametrize("name", able())
def test_cells_on_every_target_of_the_machine(name, cell, real):
    case = Case(cell, real=real, target=name, lengths="ragged", H=19, B=7)
    test_kernel.compare(case, setting_of(case))


LAYER = """
import torch, gatewright as gw
from gatewright.backends.cpu import engine
from gatewright.backends.cpu.target import host

ours, theirs = (gw.GRU(5, 19, backend=name) for name in ("cpu", "reference"))
theirs.load_state_dict(ours.state_dict())
x = torch.randn(6, 3, 5)
found = []
for layer in (ours, theirs):
    y, _ = layer(x)
    found.append((y, *torch.autograd.grad(y.square().sum(), layer.parameters())))
torch.testing.assert_close(*found)
print(host().name)
"""


def layer_in_a_process(name: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {target.RESTRICT: name}
    return subprocess.run([sys.executable, "-c", LAYER], env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
@pytest.mark.parametrize("name", able())
def test_the_environment_restricts_a_layer(name):
    done = layer_in_a_process(name)
    assert (done.returncode, done.stdout) == (0, f"{name}\n"), done.stderr


@pytest.mark.slow
def test_a_target_that_is_not_there_is_an_error_of_the_layer():
    done = layer_in_a_process("sse9")
    assert "GATEWRIGHT_TARGET: 'sse9' is no target; expected one of avx512, avx2, baseline, neon" in done.stderr
    assert done.returncode


# -- what is in the code -------------------------------------------------------------------------------------------

HOLDS = {
    "avx512": (r"%zmm", r"vfmadd", r"%k[1-7]"),
    "avx2": (r"%ymm", r"vfmadd"),
    "baseline": (r"%xmm", r"mulp[sd]", r"addp[sd]"),
    "neon": (r"\.(4s|2d)\b", r"fmla"),
}
HOLDS_NOT = {
    "avx512": (),
    "avx2": (r"%zmm", r"%k[0-7]\b", r"%[xy]mm(1[6-9]|2\d|3[01])\b"),
    "baseline": (r"%[yz]mm", r"\tv[a-z]", r"fmadd", r"\tround[ps][sd]", r"\tblendv", r"\tpmulld"),
    "neon": (r"\bz\d+\.", r"\bp\d+/", r"\b(sdot|udot|bfdot)\b"),
}


def assembly(module, folder) -> str:
    engine.compile_object(module, debug=folder)
    return (folder / f"{module.ir.name}.s").read_text()


@quick("real", REALS, "float")
@pytest.mark.parametrize("name", TARGETS)
def test_a_target_uses_its_instructions_and_no_others(name, real, tmp_path):
    program = setting_of(Case("lstm", masks="both")).program
    made = [build_library(real, TARGETS[name])]
    made.append(build.emitted(program, real, TARGETS[name], train=True, backward=True))
    text = "".join(assembly(module, tmp_path) for module in made)
    assert [pattern for pattern in HOLDS[name] if not re.search(pattern, text)] == []
    assert [found[0] for pattern in HOLDS_NOT[name] if (found := re.search(pattern, text))] == []
    called = set(re.findall(r"\t(?:callq?|jmp|bl|b)\t([a-zA-Z_]\w*)(?:@PLT)?\n", text))
    assert called - set(SIGNATURES) - {f.name for m in made for f in m.ir.functions} <= {"memset", "memcpy"}


# -- Arm -----------------------------------------------------------------------------------------------------------


@quick("case", [Case(*both) for both in zip(gw.cells, cycle(REALS), strict=False)], Case("lstm", "double"))
def test_every_reference_in_code_for_arm_is_known(case):
    """Where it cannot run, it links at least: with what the library has, and what OpenMP and Linux have."""
    program, real, neon = setting_of(case).program, case.real, TARGETS["neon"]
    with closing(Arena()) as arena:
        linker = Linker(arena)
        library = linker.load([engine.static_object(build_library(real, neon))], list(SIGNATURES))
        for entry, train in (("forward", False), ("backward", True)):
            module = build.emitted(program, real, neon, train=train, backward=train)
            found = linker.load([engine.static_object(module)], [entry, "names"], uses=[library])
            assert found.address(entry) in arena


def test_the_linker_tells_what_is_missing_and_what_is_no_object():
    modules = [Module("barrier", "float", TARGETS[name]) for name in ("baseline", "neon")]
    for module in modules:
        add_barrier(module)
    x86, arm = map(engine.static_object, modules)
    with pytest.raises(ValueError, match="expected an object file of machine 183, got one of 62"):
        Object(x86)
    with closing(Arena()) as arena, pytest.raises(RuntimeError, match="symbols not found: sched_yield"):
        link([arm], {}, arena.take_code, arena.view)


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    qemu = emulator()
    if qemu is None:
        pytest.skip(f"no qemu-aarch64 (Debian's qemu-user has it, or {QEMU} may name it)")
    with Guest(qemu, tmp_path_factory.mktemp("neon")) as guest:
        yield guest
    for cached in (test_mathematics.library, test_philox.kernels, machine):
        cached.cache_clear()
    forget()


@pytest.fixture
def guest(program):
    with kernels_in(program):
        yield program


PLAIN = Case("lstm", target="neon", lengths="ragged", series="every", masks="both", H=19, B=7)


@BOTH
@CELLS
def test_cells_on_arm(guest, cell, real):
    """In training and in inference, and every gradient."""
    for case in (PLAIN._replace(cell=cell, real=real), Case(cell, real, "neon", H=1, B=1, I=3, T=2, reverse=True)):
        test_kernel.compare(case, setting_of(case))


@BOTH
@pytest.mark.parametrize("split", ["2 rows", "2 units", "3 units"])
def test_threads_on_arm(guest, split, real):
    """The barrier, in a team of real threads."""
    case = PLAIN._replace(real=real, split=split, T=20)
    test_kernel.compare(case, setting_of(case))


def calls_of_every_cell() -> list[Case]:
    """One call of every cell and dtype, of all kinds."""
    calls = covering({**CALL, "T": (0, 1, 9), "H": (1, 3, 17, 33), "B": (1, 2, 5, 7)}, forbidden)
    programs = [{"cell": cell, "real": real, "target": "neon"} for cell in gw.cells for real in REALS]
    rows = [program | calls[k % len(calls)] for k, program in enumerate(programs)]
    return [Case(**row) for row in rows]  # pyright: ignore[reportArgumentType]


@pytest.mark.slow
@pytest.mark.parametrize("case", calls_of_every_cell(), ids=str)
def test_every_cell_on_arm(guest, case):
    test_kernel.compare(case, setting_of(case))


class Machine(test_products.Machine):
    """The library's functions; arrays are copied into the arena and back."""

    def __init__(self, arena, kind):
        super().__init__(*kind)
        self.arena = arena

    def __call__(self, name, *args):
        arrays = {k: self.arena.array(a) for k, a in enumerate(args) if isinstance(a, np.ndarray)}
        values = [arrays[k].ctypes.data if k in arrays else int(a) for k, a in enumerate(args)]
        self.library.function(name)(*values)
        for k, array in arrays.items():
            args[k][...] = array


machine = cache(Machine)


@pytest.fixture
def arrays(guest, monkeypatch):
    """Calls with arrays, of the tests of single functions: the arrays are copied there and back."""
    arena = guest.arena

    def run(function, real, *args):
        size = len(args[0])
        padded = [np.resize(a, size + -size % 16).astype(test_mathematics.DTYPES[real]) for a in args]
        shared = [arena.array(a) for a in padded + [padded[0]] * (3 - len(padded))]
        dst = arena.array(np.empty_like(shared[0]))
        function(dst.ctypes.data, *(a.ctypes.data for a in shared), len(dst))
        return dst[:size]

    def written(real, name, p, *, seed, stream, group, order, rows, blocks):
        dst = arena.array(np.full((8, blocks[1] + 1, rows[1] + 1), test_philox.UNTOUCHED, np.int16))
        strides, numbers = [s // 2 for s in dst.strides], arena.array(np.array(order, np.int64))
        call = (dst.ctypes.data, *strides[:2], threshold(p), seed, stream, group, numbers.ctypes.data, *rows, *blocks)
        test_philox.kernels(real, name)[1](*call)
        return dst

    def functions(real, name, emit=test_mathematics.over_vectors, names=WITHOUT_LIBM):
        return library(real, name, emit, names)

    library = test_mathematics.library
    monkeypatch.setattr(test_mathematics, "run", run)
    monkeypatch.setattr(test_mathematics, "library", functions)
    monkeypatch.setattr(test_philox, "written", written)
    monkeypatch.setattr(test_products, "machine", partial(machine, arena))


WITHOUT_LIBM = tuple(name for name in test_mathematics.FUNCTIONS if name != "pow")


@BOTH
@pytest.mark.parametrize("name", test_mathematics.EXACT)
def test_functions_on_arm(arrays, real, name):
    test_mathematics.test_right_to_four_units_in_the_last_place(real, "neon", name)
    test_mathematics.test_special_values(real, "neon", name)


@pytest.mark.slow
@pytest.mark.parametrize("name", test_mathematics.EXACT)
def test_functions_over_all_floats_on_arm(arrays, name):
    test_mathematics.test_right_over_all_floats("neon", name)


@BOTH
def test_arithmetic_on_arm(arrays, real):
    for name in WITHOUT_LIBM:
        test_mathematics.test_the_same_as_the_reference(real, "neon", name)
    for test in (
        test_mathematics.test_a_squashing_stays_in_its_range,
        test_mathematics.test_tiny_results_are_relatively_right,
        test_mathematics.test_tanh_keeps_the_sign_of_zero,
        test_mathematics.test_quotients_and_roots_are_rounded_correctly,
        test_mathematics.test_a_product_and_a_sum_are_one_instruction,
    ):
        test(real, "neon")


@BOTH
def test_random_choices_on_arm(arrays, real):
    for case in test_philox.CASES:
        test_philox.test_a_kernel_makes_the_same_choices(real, "neon", case)
    for t in range(test_philox.STEPS):
        for above in (0, 1):
            test_philox.test_the_threshold_itself_is_a_no(real, "neon", t, above)
    test_philox.test_no_rows_and_no_blocks(real, "neon")


LIBRARY = (
    test_products.test_rows,
    test_products.test_every_tile,
    test_products.test_nothing_to_add_leaves_the_result_alone,
    test_products.test_columns,
    test_products.test_panels_and_back,
    test_products.test_copies,
    test_products.test_zero,
    test_products.test_sequences_that_start_and_end_apart,
)


@BOTH
@pytest.mark.parametrize("test", LIBRARY, ids=lambda test: test.__name__.removeprefix("test_"))
def test_the_library_on_arm(arrays, real, test):
    test(kind=("neon", real))
