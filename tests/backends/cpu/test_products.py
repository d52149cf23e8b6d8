"""The library's functions against numpy, with memory that may not be touched right behind every operand."""

import ctypes
import mmap
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewright.backends.cpu import engine
from gatewright.backends.cpu.emitter import PTR, Module
from gatewright.backends.cpu.products import SIGNATURES, build_library, declare
from gatewright.backends.cpu.target import TARGETS, able

NUMPY = {"float": np.float32, "double": np.float64}
RUNNABLE = [name for name in TARGETS if name in able()]
EVERY = pytest.mark.parametrize("kind", [(t, real) for t in RUNNABLE for real in NUMPY], ids="-".join)
SEEDS = st.integers(0, 2**32 - 1)
SOME = settings(max_examples=30)


class Machine:
    """A library that is loaded, called with arrays and numbers."""

    def __init__(self, target, real):
        self.target, self.dtype = TARGETS[target], NUMPY[real]
        self.lanes = self.target.lanes(real)
        self.tolerance = 1e-5 if real == "float" else 1e-13
        self.library = engine.load([engine.compile_object(build_library(real, self.target))], list(SIGNATURES))

    def __call__(self, name, *args):
        kinds = [ctypes.c_void_p if kind == PTR else ctypes.c_int64 for kind in SIGNATURES[name]]
        assert len(kinds) == len(args)
        self.library.function(name, *kinds)(*[a.ctypes.data if isinstance(a, np.ndarray) else int(a) for a in args])

    def chunks(self, n, nr):
        """The rows of each chunk: as few as can be, and as equal."""
        count = -(-n // self.target.tile_rows[nr - 1])
        return [n // count + (i < n % count) for i in range(count)] if n else []


@cache
def machine(kind):
    return Machine(*kind)


libc = ctypes.CDLL(None, use_errno=True)


class Fenced:
    """Arrays that end where a page that cannot be touched begins, or begin where one ends."""

    def __init__(self):
        self.kept = []

    def array(self, values, *, at_start=False):
        values = np.ascontiguousarray(values)
        page = mmap.PAGESIZE
        size = -(-max(values.nbytes, 1) // page) * page
        memory = mmap.mmap(-1, size + 2 * page)
        start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        for fence in (start, start + page + size):
            assert libc.mprotect(ctypes.c_void_p(fence), page, 0) == 0
        self.kept.append(memory)
        offset = page if at_start else page + size - values.nbytes
        inside = np.frombuffer(memory, values.dtype, values.size, offset).reshape(values.shape)
        inside[...] = values
        return inside


def strided(values, *strides):
    """The flat array in which value (i, j, …) stands at i·strides[0] + j·strides[1] + …; all else is NaN."""
    last = sum((n - 1) * s for n, s in zip(values.shape, strides, strict=True))
    flat = np.full(last + 1 if values.size else 0, np.nan, values.dtype)
    np.lib.stride_tricks.as_strided(flat, values.shape, [s * flat.itemsize for s in strides])[...] = values
    return flat


def close(machine, found, expected, size):
    np.testing.assert_allclose(found, expected, rtol=0, atol=machine.tolerance * (1 + size))


# -- products --------------------------------------------------------------------------------------


def product_case(m, rng, nr, n, K, nseg, beta):
    """Operands for `gw_rows` with strides in any order, what they give, and a margin that must stay."""
    a = rng.standard_normal((n, nseg, K)).astype(m.dtype)
    b = rng.standard_normal((nseg * K, nr * m.lanes)).astype(m.dtype)
    gap = int(rng.integers(0, 3))
    order = rng.permutation(3)
    strides, step = [0, 0, 0], 1
    for axis in order:
        strides[axis], step = step, step * max(a.shape[axis], 1) + gap
    bs, ldc = nr * m.lanes + int(rng.integers(0, 9)), nr * m.lanes + int(rng.integers(0, 9))
    c = rng.standard_normal((n, ldc)).astype(m.dtype)
    expected = c.astype(np.float64)
    expected[:, : nr * m.lanes] *= beta
    expected[:, : nr * m.lanes] += a.reshape(n, nseg * K).astype(np.float64) @ b.astype(np.float64)
    return strided(a, *strides), strides, strided(b, bs, 1), bs, c, ldc, expected


@EVERY
@given(seed=SEEDS, n=st.integers(-1, 40), K=st.integers(0, 21), nseg=st.integers(0, 4), beta=st.integers(0, 1))
@SOME
def test_rows(kind, seed, n, K, nseg, beta):
    m, rng, memory = machine(kind), np.random.default_rng(seed), Fenced()
    nr = int(rng.integers(1, len(m.target.tile_rows) + 1))
    a, (rs, step, ks), b, bs, c, ldc, expected = product_case(m, rng, nr, max(n, 0), K, nseg, beta)
    found = memory.array(c.reshape(-1)[: max(n * ldc - ldc + nr * m.lanes, 0)])
    m("gw_rows", nr, memory.array(a), rs, ks, K, step, nseg, memory.array(b), bs, found, ldc, beta, n)
    close(m, found, expected.reshape(-1)[: found.size], K * nseg)


@EVERY
def test_every_tile(kind):
    """Each number of rows and each width, with every remainder of K in the sets of sums."""
    m, rng = machine(kind), np.random.default_rng(0)
    for nr, most in enumerate(m.target.tile_rows, start=1):
        for n in range(1, most + 1):
            for K in range(1, 6):
                a, (rs, step, ks), b, bs, c, ldc, expected = product_case(m, rng, nr, n, K, 2, 1)
                m("gw_rows", nr, a, rs, ks, K, step, 2, b, bs, c, ldc, 1, n)
                close(m, c, expected, 2 * K)


@EVERY
def test_nothing_to_add_leaves_the_result_alone(kind):
    m = machine(kind)
    nothing = np.empty(0, m.dtype)
    for n, K, nseg in ((3, 0, 1), (3, 5, 0), (0, 5, 1), (-2, 5, 1)):
        m("gw_rows", 1, nothing, 1, 1, K, 1, nseg, nothing, m.lanes, 0, m.lanes, 1, n)  # C is nowhere
    m("gw_columns", 1, nothing, 0, nothing, m.lanes, 0, m.lanes, 1, 3)


@EVERY
@given(seed=SEEDS, n=st.integers(0, 40), K=st.integers(0, 40), beta=st.integers(0, 1), at_start=st.booleans())
@SOME
def test_columns(kind, seed, n, K, beta, at_start):
    """Packing, and the product of what was packed: C (+)= srcᵀ · B."""
    m, rng, memory = machine(kind), np.random.default_rng(seed), Fenced()
    nr = int(rng.integers(1, len(m.target.tile_rows) + 1))
    ld = n + int(rng.integers(0, 4))
    src = rng.standard_normal((K, n)).astype(m.dtype)
    packed = memory.array(np.full(n * K, np.nan, m.dtype), at_start=at_start)
    m("gw_pack_left", memory.array(strided(src, ld, 1), at_start=at_start), ld, K, n, packed, nr)
    first = 0
    for rows in m.chunks(n, nr):
        chunk = packed[first * K : (first + rows) * K].reshape(K, rows)
        np.testing.assert_array_equal(chunk, src[:, first : first + rows])
        first += rows
    b = rng.standard_normal((K, nr * m.lanes)).astype(m.dtype)
    c = rng.standard_normal((n, nr * m.lanes)).astype(m.dtype)
    expected = beta * c.astype(np.float64) + src.T.astype(np.float64) @ b.astype(np.float64)
    found = memory.array(c)
    m("gw_columns", nr, packed, K, memory.array(b), nr * m.lanes, found, nr * m.lanes, beta, n)
    close(m, found, expected, K)


# -- moves -----------------------------------------------------------------------------------------


@EVERY
@given(seed=SEEDS, K=st.integers(0, 70), at_start=st.booleans())
@SOME
def test_panels_and_back(kind, seed, K, at_start):
    m, rng, memory = machine(kind), np.random.default_rng(seed), Fenced()
    nv, gap = int(rng.integers(1, m.lanes + 1)), int(rng.integers(0, 5))
    src = rng.standard_normal((nv, K)).astype(m.dtype)
    rows = strided(src, K + gap, 1)
    padded = np.zeros((K, m.lanes), m.dtype)
    padded[:, :nv] = src.T
    expected = strided(padded, m.lanes + gap, 1)
    panel = memory.array(np.full_like(expected, np.nan), at_start=at_start)
    m("gw_pack_rows", memory.array(rows, at_start=at_start), K + gap, nv, K, panel, m.lanes + gap)
    np.testing.assert_array_equal(panel, expected)
    back = memory.array(np.full_like(rows, np.nan), at_start=at_start)
    m("gw_unpack_rows", panel, m.lanes + gap, nv, K, back, K + gap)
    np.testing.assert_array_equal(back, rows)


@EVERY
@given(seed=SEEDS, rows=st.integers(0, 9), columns=st.integers(0, 70), at_start=st.booleans())
@SOME
def test_copies(kind, seed, rows, columns, at_start):
    m, rng, memory = machine(kind), np.random.default_rng(seed), Fenced()
    width = (-(-columns // m.lanes) + int(rng.integers(0, 2))) * m.lanes
    padded, ld, ldd = rows + int(rng.integers(0, 3)), columns + int(rng.integers(0, 3)), width + int(rng.integers(0, 3))
    src = rng.standard_normal((rows, columns)).astype(m.dtype)
    zeros = np.zeros((padded, width), m.dtype)
    zeros[:rows, :columns] = src
    expected = strided(zeros, ldd, 1)
    found = memory.array(np.full_like(expected, np.nan), at_start=at_start)
    src_ = memory.array(strided(src, ld, 1), at_start=at_start)
    m("gw_copy_rows", src_, ld, rows, columns, found, ldd, width, padded)
    np.testing.assert_array_equal(found, expected)


@EVERY
def test_zero(kind):
    m, memory = machine(kind), Fenced()
    for n in range(3 * m.lanes):
        for at_start in (False, True):
            found = memory.array(np.full(n, np.nan, m.dtype), at_start=at_start)
            m("gw_zero", found, n)
            np.testing.assert_array_equal(found, 0)


@EVERY
@given(seed=SEEDS, T=st.integers(1, 7), B=st.integers(1, 6), columns=st.integers(0, 40), reverse=st.booleans())
@SOME
def test_sequences_that_start_and_end_apart(kind, seed, T, B, columns, reverse):
    m, rng, memory = machine(kind), np.random.default_rng(seed), Fenced()
    theirs = memory.array(rng.standard_normal((T, B, columns)).astype(m.dtype))
    st_, sb = B * columns, columns
    order, count = rng.permutation(B), rng.integers(0, T + 1, B)
    first = rng.integers(0, T - count + 1)
    step = -st_ if reverse else st_
    if reverse:
        first = first + np.maximum(count - 1, 0)
    t0, r0 = int(rng.integers(0, T)), int(rng.integers(0, B))
    t1, r1 = int(rng.integers(t0, T + 1)), int(rng.integers(r0, B + 1))
    ldd = columns + int(rng.integers(0, 3))
    dst_t = ldd * (r1 - r0) + int(rng.integers(0, 3))
    packed, written = np.zeros((t1 - t0, r1 - r0, columns), m.dtype), np.full_like(theirs, np.nan)
    for t, r in np.ndindex(t1 - t0, r1 - r0):
        if t0 + t < count[r0 + r]:
            place = first[r0 + r] + (t0 + t) * (-1 if reverse else 1), order[r0 + r]
            packed[t, r] = written[place] = theirs[place]
    tables = [memory.array(x.astype(np.int64)) for x in (order, first, count)]
    expected = strided(packed, dst_t, ldd, 1)
    found = memory.array(np.full(expected.size, np.nan, m.dtype))
    m("gw_gather", theirs, step, st_, sb, *tables, t0, t1, r0, r1, columns, found, ldd, dst_t)
    np.testing.assert_array_equal(found, expected)
    back = memory.array(np.full_like(theirs, np.nan))
    m("gw_scatter", found, ldd, dst_t, step, st_, sb, *tables, t0, t1, r0, r1, columns, back)
    np.testing.assert_array_equal(back, written)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("real", NUMPY)
def test_signatures_are_those_of_the_functions(target, real):
    """What another module declares is what the library defines, and all that it defines for others."""
    library = build_library(real, TARGETS[target])
    public = {f.name: f for f in library.ir.functions if not f.is_declaration and f.linkage != "internal"}
    assert set(public) == set(SIGNATURES)
    other = Module("other", real, TARGETS[target])
    for name, function in public.items():
        assert declare(other, name).function_type == function.function_type
        assert declare(other, name) is declare(other, name)


@pytest.mark.parametrize("target", [name for name in TARGETS if name not in RUNNABLE])
@pytest.mark.parametrize("real", NUMPY)
def test_code_for_other_machines(target, real):
    """Where it cannot run here, it compiles at least."""
    assert engine.static_object(build_library(real, TARGETS[target]))
