"""From modules to functions: what is compiled runs, is found again on disk, and stays as long as it can be called."""

import ctypes
import gc
import os
import subprocess
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from gatewright.backends.cpu import cache, engine, target
from gatewright.backends.cpu.emitter import F32, I64, PTR, VOID, Module
from gatewright.backends.cpu.target import TARGETS, TargetError, able, code_for, host

DTYPES = {"float": np.float32, "double": np.float64}


def adding(amount=1.0, *, real="float", to=None, name="add"):
    """A module with one function, which adds an amount to a vector."""
    module = Module("adding", real, to or host())
    e = module.function(name, {"p": PTR}, public=True)
    p = e.args["p"]
    e.store(e.b.fadd(e.load(p), e.real(amount)), p)
    e.done()
    return module


def added(library, *, real="float", name="add"):
    """What the function makes of zeros, in the first lane."""
    values = np.zeros(16, DTYPES[real])
    library.function(name, ctypes.c_void_p)(values.ctypes.data)
    return float(values[0])


@pytest.mark.parametrize("real", DTYPES)
@pytest.mark.parametrize("name", able())
def test_a_module_runs_on_every_target_of_the_machine(name, real):
    code = engine.compile_object(adding(0.5, real=real, to=TARGETS[name]))
    assert added(engine.load([code], ["add"]), real=real) == 0.5


def test_the_text_and_the_assembly_can_be_looked_at(tmp_path):
    engine.compile_object(adding(), debug=tmp_path)
    assert 'define void @"add"' in (tmp_path / "adding.ll").read_text()
    assert "ret" in (tmp_path / "adding.s").read_text()


def test_a_module_that_is_wrong_is_an_error():
    module = adding()
    module.function("unfinished", {})
    with pytest.raises(RuntimeError, match="expected instruction opcode"):
        engine.compile_object(module)
    assert gc.isenabled()


@pytest.mark.parametrize(("name", "machine"), [("avx512", 62), ("avx2", 62), ("baseline", 62), ("neon", 183)])
def test_objects_for_other_machines(name, machine):
    code = engine.static_object(adding(to=TARGETS[name]))
    assert code.startswith(b"\x7fELF")
    assert int.from_bytes(code[18:20], "little") == machine  # of ELF's header


# -- linking -----------------------------------------------------------------------------------------


def calling(name="add"):
    """A module whose function calls another module's, twice."""
    module = Module("calling", "float", host())
    e = module.function("twice", {"p": PTR}, public=True)
    for _ in range(2):
        e.call(module.declare(name, VOID, [PTR]), e.args["p"])
    e.done()
    return engine.compile_object(module)


def test_a_library_calls_another_and_keeps_it():
    first = engine.load([engine.compile_object(adding(3.0))], ["add"])
    watched = weakref.ref(first)
    second = engine.load([calling()], ["twice"], uses=[first])
    del first
    gc.collect()
    assert added(second, name="twice") == 6.0
    assert watched() is not None
    del second
    gc.collect()
    assert watched() is None


def test_a_function_elsewhere_is_called_by_its_address():
    seen = []
    note = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(seen.append)
    library = engine.load([calling("note")], ["twice"], {"note": ctypes.cast(note, ctypes.c_void_p).value})
    library.function("twice", ctypes.c_void_p)(5)
    assert seen == [5, 5]


def test_objects_of_one_library_call_each_other():
    code = engine.compile_object(adding(2.0))
    assert added(engine.load([calling(), code], ["twice"]), name="twice") == 4.0


def test_a_function_keeps_its_library():
    values = np.zeros(16, np.float32)
    add = engine.load([engine.compile_object(adding())], ["add"]).function("add", ctypes.c_void_p)
    gc.collect()
    add(values.ctypes.data)
    assert values[0] == 1.0


def test_what_code_generation_calls_is_found():
    """Functions of libm, and those that fill and copy memory."""
    module = Module("calls", "float", host())
    e = module.function("calls", {"p": PTR, "size": I64}, public=True)
    p, size, start = e.args["p"], e.args["size"], e.module.R(0.0)
    for name in ("powf", "expf"):
        function = module.declare(name, F32, [F32, F32] if name == "powf" else [F32])
        start = e.b.call(function, [e.scalar(p)] * len(function.args))
        e.b.store(start, p, align=4)
    copy = module.declare("memcpy", PTR, [PTR, PTR, I64])
    e.b.call(copy, [e.at(p, 1), p, size])
    e.done()
    values = np.array([2, 0, 0], np.float32)
    engine.load([engine.compile_object(module)], ["calls"]).function("calls", ctypes.c_void_p, ctypes.c_int64)(
        values.ctypes.data, 4
    )
    np.testing.assert_allclose(values, [np.exp(4), np.exp(4), 0], rtol=1e-6)


def test_a_function_that_is_nowhere_is_an_error():
    with pytest.raises(RuntimeError, match="twice"):
        engine.load([calling("gw_nowhere")], ["twice"])
    with pytest.raises(RuntimeError, match="gw_missing"):
        engine.load([engine.compile_object(adding())], ["gw_missing"])


def test_several_threads_may_load():
    codes = [engine.compile_object(adding(float(i))) for i in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: added(engine.load([codes[i % 4]], ["add"])), range(40)))
    assert found == [float(i % 4) for i in range(40)]


# -- the disk ----------------------------------------------------------------------------------------


@pytest.fixture
def builds(tmp_path, monkeypatch):
    """Calls `compiled` with a folder of the test's own; what was built is noted in `builds.made`."""
    monkeypatch.setenv(cache.FOLDER, str(tmp_path / "kept"))

    def compiled(key, real="float", to=None):
        def build():
            compiled.made.append(key)
            return adding(float(len(key)), real=real, to=to)

        return added(engine.load([engine.compiled(key, build, real=real, target=to)], ["add"]), real=real)

    compiled.made = []
    return compiled


def test_a_kernel_is_compiled_once(builds):
    assert [builds(key) for key in ("a", "bb", "a", "bb")] == [1, 2, 1, 2]
    assert builds.made == ["a", "bb"]


def test_another_dtype_or_target_is_another_kernel(builds):
    for real in DTYPES:
        for name in able():
            assert builds("a", real, TARGETS[name]) == 1
    assert len(builds.made) == 2 * len(able())


def test_other_sources_or_another_processor_are_another_kernel(builds, monkeypatch):
    builds("a")
    monkeypatch.setattr(engine, "_sources", lambda: "other")
    builds("a")
    monkeypatch.setattr(engine, "code_for", lambda target: (target.cpu, ""))
    builds("a")
    builds("a")
    assert len(builds.made) == 3


def test_without_a_cache_everything_is_compiled(builds, monkeypatch):
    monkeypatch.setenv(cache.FOLDER, "off")
    assert [builds("a"), builds("a")] == [1, 1]
    assert len(builds.made) == 2


def test_a_damaged_kernel_is_compiled_anew(builds, tmp_path):
    builds("a")
    (path,) = (tmp_path / "kept").iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    assert [builds("a"), builds("a")] == [1, 1]
    assert len(builds.made) == 2


def test_a_module_of_another_kind_is_an_error(builds):
    with pytest.raises(ValueError, match="expected a module of double for baseline, got float for avx2"):
        engine.compiled("a", lambda: adding(to=TARGETS["avx2"]), real="double", target=TARGETS["baseline"])


def test_every_source_file_counts(tmp_path):
    package = Path(engine.__file__).parents[2]
    files = ["plan/new.py", *(f"{folder}/__init__.py" for folder in engine.DECIDING)]
    digests = [engine.digest_of(tmp_path)]
    for file in files:
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
        digests.append(engine.digest_of(tmp_path))
        path.write_text("x = 1")
        digests.append(engine.digest_of(tmp_path))
    assert len(set(digests)) == len(digests)
    assert all((package / folder).is_dir() for folder in engine.DECIDING)
    assert engine._sources() == engine.digest_of(package)


# -- targets -----------------------------------------------------------------------------------------


def test_the_environment_restricts_the_target(monkeypatch):
    monkeypatch.delenv(target.RESTRICT, raising=False)
    assert host().name == able()[0]
    for name in able():
        monkeypatch.setenv(target.RESTRICT, name)
        assert host() is TARGETS[name]


def test_a_target_that_cannot_be_is_an_error(monkeypatch):
    monkeypatch.setenv(target.RESTRICT, "sse9")
    with pytest.raises(TargetError, match="GATEWRIGHT_TARGET: 'sse9' is no target; expected one of avx512, avx2"):
        host()
    lacking = next(name for name in TARGETS if name not in able())
    monkeypatch.setenv(target.RESTRICT, lacking)
    with pytest.raises(TargetError, match=f"this machine cannot run '{lacking}'; it can run {able()[0]}"):
        host()


def test_a_wrong_target_is_no_reason_to_do_without_kernels(monkeypatch):
    monkeypatch.setenv(target.RESTRICT, "sse9")
    engine.usable.cache_clear()
    with pytest.raises(TargetError, match="sse9"):
        engine.usable()


def test_a_machine_without_kernels_has_a_reason(monkeypatch):
    monkeypatch.setattr(engine, "able", lambda: ())
    engine.usable.cache_clear()
    assert engine.usable() == "there are no CPU kernels for this machine's processor"
    engine.usable.cache_clear()


def test_the_best_target_is_compiled_for_this_very_processor():
    best, *others = able()
    cpu, features = code_for(TARGETS[best])
    assert cpu == engine.llvm.get_host_cpu_name()
    assert features.endswith(TARGETS[best].features)
    for name in {*others, *(set(TARGETS) - {best})}:
        assert code_for(TARGETS[name]) == (TARGETS[name].cpu, TARGETS[name].features)


# -- where kernels cannot be -------------------------------------------------------------------------


def python(program):
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_kernels_are_usable_here():
    assert engine.usable() is None


REFUSING = """
import ctypes
import gatewright.backends.cpu.engine as engine
if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0):  # PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN
    print("not supported")
else:
    print(engine.usable())
"""


def test_where_memory_may_not_become_executable_a_reason_is_given():
    found = python(REFUSING)
    if found == "not supported":
        pytest.skip("this kernel cannot forbid executable memory (Linux 6.3 can)")
    assert found == f"this process may not make memory executable ({os.strerror(13)})"


def test_importing_the_package_loads_no_compiler():
    assert python("import sys, gatewright; print('llvmlite' in sys.modules)") == "False"
