"""Dropped weights by a kernel against the definition, bit for bit, and their derivatives."""

import ctypes
from functools import cache

import numpy as np
import pytest
import torch

from gatewright.backends import philox
from gatewright.backends.cpu import engine, weight_drop
from gatewright.backends.cpu.drops import DROP, SIGNATURE, STEPS, add_drop
from gatewright.backends.cpu.emitter import Module
from gatewright.backends.cpu.target import TARGETS, able

MACHINES = [(real, target) for target in able() for real in ("float", "double")]
DTYPES = {"float": torch.float32, "double": torch.float64}
SEED, STREAM = torch.tensor(-1234567890123456789), (3 << 16) + 7
RATES = [[(0.5, 19)], [(0.25, 3), (0.0, 9), (0.9, 7)], [(0.0, 8), (0.5, 11)], [(0.999, 19)]]


@cache
def kernel(real, target):
    module = Module("drops", real, TARGETS[target])
    add_drop(module)
    library = engine.load([engine.compile_object(module)], [DROP])
    kinds = [ctypes.c_void_p if str(kind) == "ptr" else ctypes.c_int64 for kind in SIGNATURE.values()]
    return library.function(DROP, *kinds), module.lanes


@pytest.mark.parametrize(("real", "target"), MACHINES)
@pytest.mark.parametrize("columns", [1, 3, 16, 37])
def test_a_row_times_its_choices(real, target, columns):
    """Rows from r0 to r1 alone are written, and of them no more than their columns."""
    (function, lanes), dtype, rows, r0, r1 = kernel(real, target), DTYPES[real], 19, 2, 18
    blocks, groups = -(-columns // lanes), -(-rows // STEPS)
    off = np.random.default_rng(0).random((groups, STEPS, blocks * lanes)) < 0.4
    bits = np.zeros((STEPS, blocks, groups), np.uint16)
    for lane in range(lanes):
        bits |= (off[:, :, lane::lanes].transpose(1, 2, 0).astype(np.uint16) << lane).astype(np.uint16)
    source, scale = torch.randn(rows, columns, dtype=dtype), torch.tensor(1.25, dtype=dtype)
    found = torch.full((rows + 1, columns), torch.inf, dtype=dtype)
    choices = torch.from_numpy(bits.view(np.int16))
    strides = blocks * groups, groups
    function(
        choices.data_ptr(), *strides, scale.data_ptr(), r0, r1, columns, source.data_ptr(), found.data_ptr()
    )  # fmt: skip
    kept = torch.from_numpy(~off.reshape(groups * STEPS, -1)[r0:r1, :columns])
    assert torch.equal(found[r0:r1], source[r0:r1] * (kept * scale))
    assert found[:r0].isinf().all() and found[r1:].isinf().all()


def expected_of(weight, rates):
    """By the definition: each rate decides on the whole matrix, and has its rows of it."""
    pieces, start = [], 0
    for p, count in rates:
        off = philox.weight_chance(p, seed=SEED, stream=STREAM, rows=weight.shape[0], columns=weight.shape[1])
        rows = slice(start, start + count)
        pieces.append(weight[rows] * ((~off[rows]).to(weight.dtype) * (1 / (1 - p))) if p else weight[rows])
        start += count
    return torch.cat(pieces)


@pytest.mark.parametrize("rates", RATES, ids=str)
@pytest.mark.parametrize("columns", [1, 5, 16, 33])
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
def test_dropped_weights(dtype, columns, rates):
    weight = torch.randn(19, columns, dtype=dtype, requires_grad=True)
    assert weight_drop.drops(weight, SEED)
    found, expected = weight_drop.dropped(weight, rates, seed=SEED, stream=STREAM), expected_of(weight, rates)
    assert torch.equal(found, expected)
    along = torch.randn_like(found)
    assert torch.equal(*(torch.autograd.grad(w, weight, along)[0] for w in (found, expected)))


def test_derivatives_of_all_kinds():
    weight = torch.randn(19, 5, dtype=torch.float64, requires_grad=True)
    rates = RATES[1]

    def function(w):
        return weight_drop.dropped(w, rates, seed=SEED, stream=STREAM)

    assert torch.autograd.gradcheck(function, weight)
    assert torch.autograd.gradgradcheck(function, weight)
    along = torch.randn(3, 19, 5, dtype=torch.float64).transpose(1, 2).contiguous().transpose(1, 2)
    found, expected = (
        torch.autograd.grad(of(weight), weight, along, is_grads_batched=True)[0]
        for of in (function, lambda w: expected_of(w, rates))
    )
    torch.testing.assert_close(found, expected)


def test_who_else_looks_on_is_served_elsewhere():
    weight = torch.randn(19, 5)
    assert not weight_drop.drops(weight.to(torch.bfloat16), SEED)
    assert not weight_drop.drops(weight.T, SEED)
    seen = []
    torch.func.vmap(lambda w: seen.append(weight_drop.drops(w, SEED)) or w)(weight[None])
    assert seen == [False]
