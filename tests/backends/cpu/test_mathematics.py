"""The functions of vectors against numpy in a wider type, and their special values against torch."""

import ctypes
import math
from functools import cache

import numpy as np
import pytest
import torch

from gatewright.backends.cpu import engine
from gatewright.backends.cpu.emitter import I64, PTR, Module
from gatewright.backends.cpu.mathematics import FUNCTIONS
from gatewright.backends.cpu.target import TARGETS, able
from gatewright.backends.reference import FUNCTIONS as REFERENCE
from gatewright.graph.ops import OPS

DTYPES = {"float": np.float32, "double": np.float64}
BITS = {"float": np.uint32, "double": np.uint64}
WIDE = {"float": np.float64, "double": np.longdouble}
EXACT = {
    "exp": np.exp,
    "log": np.log,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "softplus": lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))),
}
ULPS = 4
MACHINES = [(real, target) for target in able() for real in DTYPES]


def over_vectors(e, name):
    """A function's result, from as many of the arguments a, b and c as it takes; masks become 1 and 0."""
    op, n = OPS[name], e.args["n"]

    def body(i):
        args = [e.load(e.args[p], i) for p in "abc"[: op.arity]]
        if op.kind == "select":
            args[0] = e.b.fcmp_unordered("!=", args[0], e.real(0.0))
        found = FUNCTIONS[name](e, *args)
        if op.kind == "compare":
            found = e.b.select(found, e.real(1.0), e.real(0.0))
        e.store(found, e.args["dst"], i)

    e.loop(0, n, body, step=e.lanes)


@cache
def library(real, target, emit=over_vectors, names=tuple(FUNCTIONS)):
    """Every function, on arrays. The symbols have names of their own: `pow` is the C library's."""
    symbols = {name: f"vector_{name}" for name in names}
    module = Module("mathematics", real, TARGETS[target])
    for name, symbol in symbols.items():
        e = module.function(symbol, {"dst": PTR, "a": PTR, "b": PTR, "c": PTR, "n": I64}, public=True)
        emit(e, name)
        e.done()
    loaded = engine.load([engine.compile_object(module)], list(symbols.values()))
    kinds = [ctypes.c_void_p] * 4 + [ctypes.c_int64]
    return {name: loaded.function(symbol, *kinds) for name, symbol in symbols.items()}


def run(function, real, *args):
    size = len(args[0])
    padded = [np.concatenate([a, np.zeros(-size % 16, a.dtype)]).astype(DTYPES[real]) for a in args]
    while len(padded) < 3:
        padded.append(padded[0])
    dst = np.empty_like(padded[0])
    function(dst.ctypes.data, *(p.ctypes.data for p in padded), len(dst))
    return dst[:size]


def samples(real, size, *, seed=0):
    """Numbers of every exponent, and many where the functions do something."""
    draw = np.random.default_rng(seed)
    bits = draw.integers(0, np.iinfo(BITS[real]).max, size, dtype=BITS[real], endpoint=True).view(DTYPES[real])
    far = 100 if real == "float" else 760
    near = [draw.uniform(-limit, limit, size) for limit in (far, 10, 1)]
    halves = np.arange(-2200, 2200) * math.log(2) / 2  # where the exponent changes
    ends = [np.nextafter(sign * far * 0.93, 0) + np.linspace(-8, 8, 4001) for sign in (-1, 1)]
    found = np.concatenate([bits[np.isfinite(bits)], *near, 1 + near[2] * 0.3, halves, *ends])
    return found.astype(DTYPES[real])


def assert_within(found, x, name, real, ulps=ULPS):
    """Right to a few units in the last place; below the normal range, to the smallest normal number."""
    limits = np.finfo(DTYPES[real])
    with np.errstate(all="ignore"):
        exact = EXACT[name](x.astype(WIDE[real]))
        rounded = exact.astype(DTYPES[real])
    assert np.array_equal(np.isnan(found), np.isnan(rounded))
    assert np.array_equal(np.isinf(found), np.isinf(rounded))
    finite = np.isfinite(rounded)
    unit = np.maximum(np.spacing(np.abs(rounded[finite])), limits.tiny * limits.eps).astype(WIDE[real])
    normal = np.abs(rounded[finite]) >= limits.tiny
    error = np.abs(found[finite].astype(WIDE[real]) - exact[finite])
    worst = np.argmax(np.where(normal, error / unit, 0))
    assert (error / unit)[worst] <= ulps, f"{name}({x[finite][worst]!r}) = {found[finite][worst]!r}"
    assert (error[~normal] <= limits.tiny).all()


def test_every_operation_that_works_unit_by_unit_is_there():
    by_unit = {name for name, op in OPS.items() if op.kind in ("unary", "binary", "compare", "select")}
    assert set(FUNCTIONS) == by_unit


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize(("real", "target"), MACHINES)
def test_right_to_four_units_in_the_last_place(real, target, name):
    x = samples(real, 20_000)
    assert_within(run(library(real, target)[name], real, x), x, name, real)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("target", able())
def test_right_over_all_floats(target, name):
    """Every 997th bit pattern there is."""
    x = np.arange(0, 2**32, 997, dtype=np.uint64).astype(np.uint32).view(np.float32)
    x = x[np.isfinite(x)]
    assert_within(run(library("float", target)[name], "float", x), x, name, "float")


@pytest.mark.parametrize(("real", "target"), MACHINES)
def test_a_squashing_stays_in_its_range(real, target):
    x = samples(real, 20_000, seed=1)
    gate, squashed = (run(library(real, target)[name], real, x) for name in ("sigmoid", "tanh"))
    assert ((gate >= 0) & (gate <= 1)).all()
    assert (np.abs(squashed) <= 1).all()
    assert (squashed * x >= 0).all()


INF, NAN = math.inf, math.nan
SPECIAL = {
    "exp": {-INF: 0, INF: INF, 1e4: INF, -1e4: 0, 0.0: 1, NAN: NAN},
    "log": {0.0: -INF, -1.0: NAN, -INF: NAN, INF: INF, 1.0: 0, NAN: NAN},
    "sigmoid": {-INF: 0, INF: 1, 1e4: 1, -1e4: 0, 0.0: 0.5, NAN: NAN},
    "tanh": {-INF: -1, INF: 1, 1e4: 1, -1e4: -1, NAN: NAN},
    "softplus": {-INF: 0, INF: INF, 1e4: 1e4, -1e4: 0, NAN: NAN},
}


@pytest.mark.parametrize("name", SPECIAL)
@pytest.mark.parametrize(("real", "target"), MACHINES)
def test_special_values(real, target, name):
    x = np.array(list(SPECIAL[name]))
    expected = np.array(list(SPECIAL[name].values()), DTYPES[real])
    np.testing.assert_array_equal(run(library(real, target)[name], real, x), expected)


@pytest.mark.parametrize(("real", "target"), MACHINES)
def test_tiny_results_are_relatively_right(real, target):
    functions, limits = library(real, target), np.finfo(DTYPES[real])
    tiny = np.array([1e-3, 1e-10, 1e-30, limits.tiny, limits.tiny / 64, limits.smallest_subnormal], DTYPES[real])
    for x in (tiny, -tiny):
        np.testing.assert_allclose(run(functions["tanh"], real, x), np.tanh(x), rtol=4 * limits.eps)
    left = np.array([-20.0, -50.0, -80.0], DTYPES[real])
    expected = np.exp(left.astype(WIDE[real])).astype(DTYPES[real])
    for name in ("softplus", "sigmoid"):
        np.testing.assert_allclose(run(functions[name], real, left)[1:], expected[1:], rtol=4 * limits.eps)
    logs = np.log(tiny.astype(WIDE[real])).astype(DTYPES[real])
    np.testing.assert_allclose(run(functions["log"], real, tiny), logs, rtol=4 * limits.eps)


@pytest.mark.parametrize(("real", "target"), MACHINES)
def test_tanh_keeps_the_sign_of_zero(real, target):
    found = run(library(real, target)["tanh"], real, np.array([0.0, -0.0]))
    assert np.signbit(found).tolist() == [False, True]


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(("real", "target"), MACHINES)
def test_the_same_as_the_reference(real, target, name):
    """All combinations of ordinary and special numbers."""
    numbers = [-INF, -2.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 2.0, 3.0, 7.3, INF, NAN]
    op = OPS[name]
    args = [a.flatten() for a in np.meshgrid(*[np.array(numbers, DTYPES[real])] * op.arity)]
    tensors = [torch.from_numpy(a.copy()) for a in args]
    if op.kind == "select":
        tensors[0] = tensors[0] != 0
    expected = REFERENCE[name](*tensors).to(tensors[-1].dtype)
    found = torch.from_numpy(run(library(real, target)[name], real, *args))
    exactly = name not in {*EXACT, "pow", "sqrt"}  # torch's root of a float is not always the nearest
    tolerance = {"rtol": 0, "atol": 0} if exactly else {"rtol": 4 * torch.finfo(found.dtype).eps, "atol": 0}
    torch.testing.assert_close(found, expected, equal_nan=True, **tolerance)


@pytest.mark.parametrize(("real", "target"), MACHINES)
def test_quotients_and_roots_are_rounded_correctly(real, target):
    draw = np.random.default_rng(2)
    a, b = (draw.uniform(0.1, 10, 5000).astype(DTYPES[real]) for _ in range(2))
    functions = library(real, target)
    np.testing.assert_array_equal(run(functions["div"], real, a, b), a / b)
    np.testing.assert_array_equal(run(functions["sqrt"], real, a), np.sqrt(a))


def product_and_sum(e, name):
    """a·b ± c, through the table."""

    def body(i):
        a, b, c = (e.load(e.args[p], i) for p in "abc")
        e.store(FUNCTIONS[name](e, FUNCTIONS["mul"](e, a, b), c), e.args["dst"], i)

    e.loop(0, e.args["n"], body, step=e.lanes)


@pytest.mark.parametrize(("real", "target"), [m for m in MACHINES if m[1] != "baseline"])
def test_a_product_and_a_sum_are_one_instruction(real, target):
    functions = library(real, target, product_and_sum, ("add", "sub"))
    a = np.full(16, 1 + 2.0 ** (-12 if real == "float" else -27), DTYPES[real])
    square = a.astype(np.longdouble) ** 2
    rest = (square - (a * a)).astype(DTYPES[real])
    assert rest[0] > 0
    np.testing.assert_array_equal(run(functions["sub"], real, a, a, a * a), rest)
    np.testing.assert_array_equal(run(functions["add"], real, a, a, -(a * a)), rest)
