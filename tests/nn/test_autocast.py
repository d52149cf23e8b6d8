"""Layers under autocast on a CPU: products of bfloat16 where the processor has them, all else in float32."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import Tensor

import gatewright as gw
from cases import generator
from gatewright.backends.cpu.halves import LEAST, has_halves
from gatewright.backends.cpu.target import host
from gatewright.nn import mixed
from tolerances import assert_close, difference

ROUNDS = has_halves(host(), "float")
needed = pytest.mark.skipif(not ROUNDS, reason="this processor has no instruction for products of bfloat16 numbers")

T, B, I, H = 9, 5, 7, 40
LENGTHS = torch.tensor([3, 0, 9, 1, 8])
RESET = torch.rand(T, B, generator=generator(2)) < 0.2
SETTINGS = {
    "plain": {},
    "stack": {"num_layers": 2, "bidirectional": True},
    "heads": {"heads": 5},
    "masks": {"recurrent_dropout": 0.3, "zoneout": 0.2},
    "few kept": {"recompute": 3},
}
CALLS = {"plain": {}, "lengths": {"lengths": LENGTHS}, "resets": {"reset": RESET, "lengths": LENGTHS}}


def run(layer: gw.Recurrent, x: Tensor, *, dtype: torch.dtype | None = torch.bfloat16, **given) -> list[Tensor]:
    """The output, the final states, and the gradients of the input and of all weights, as float32."""
    torch.manual_seed(3)
    x = x.clone().requires_grad_()
    with torch.autocast("cpu", dtype or torch.bfloat16, enabled=dtype is not None):
        y, state = layer(x, **given)
    found = [y, *([state] if isinstance(state, Tensor) else state)]
    leaves = [x, *layer.parameters()]
    along = [torch.randn(t.shape, generator=generator(k)).to(t.dtype) for k, t in enumerate(found)]
    return [t.float() for t in (*found, *torch.autograd.grad(found, leaves, along))]


OTHERS = [pytest.param(cell, marks=pytest.mark.slow) for cell in ("gru", "peephole_lstm", "layer_norm_lstm", "mgu")]


@pytest.mark.parametrize(
    ("setting", "call"),
    [
        ("plain", "plain"),
        ("plain", "resets"),
        ("stack", "lengths"),
        ("heads", "resets"),
        ("masks", "lengths"),
        ("few kept", "resets"),
    ],
)
@pytest.mark.parametrize("cell", ["lstm", *OTHERS])
def test_near_float32(cell, setting, call):
    layer = gw.Recurrent(cell, I, H, backend="cpu", **SETTINGS[setting])
    x = torch.randn(T, B, I)
    found, exact = run(layer, x, **CALLS[call]), run(layer, x, dtype=None, **CALLS[call])
    for mine, right in zip(found, exact, strict=True):
        assert_close(mine, right, 0.15)
    if ROUNDS:
        assert max(map(difference, found, exact)) > 1e-4


@needed
def test_states_stay_in_float32():
    """A state that keeps what it is given: small additions are not lost, as they would be in bfloat16."""
    cell = gw.parse("h = h_{t-1} + 0.001 σ(W x_t)")
    layer = gw.Recurrent(cell, LEAST, LEAST, backend="cpu")
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        _, h = layer(torch.zeros(4000, 1, LEAST))
    assert h.dtype == torch.float32
    assert_close(h, torch.full_like(h, 2.0), 1e-3)


def test_what_stays_as_exact_as_without():
    x = torch.randn(T, B, I)
    small = gw.LSTM(LEAST - 1, LEAST - 1, backend="cpu")
    for layer, given, dtype in [
        (small, torch.randn(T, B, LEAST - 1), torch.bfloat16),
        (gw.LSTM(I, H, backend="cpu"), x, torch.float16),
        (gw.LSTM(I, H, backend="cpu", dtype=torch.float64), x.double(), torch.bfloat16),
    ]:
        exact = layer(given)[0]
        with torch.autocast("cpu", dtype):
            found = layer(given)[0]
        assert torch.equal(found, exact.to(found.dtype))


@needed
def test_vmap():
    layer = gw.LSTM(I, H, backend="cpu")
    many = torch.randn(3, T, B, I)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(torch.func.vmap(lambda one: layer(one)[0])(many), torch.stack([layer(m)[0] for m in many]))


COMPILED = """
import torch, gatewright as gw
layer, x = gw.LSTM(7, 40, backend="cpu"), torch.randn(9, 5, 7, requires_grad=True)
def run(given):
    with torch.autocast("cpu", torch.bfloat16):
        return layer(given)[0]
found = [(y := f(x), *torch.autograd.grad(y.float().sum(), x))
         for f in (run, torch.compile(run, fullgraph=True, backend="aot_eager"))]
assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
"""


@pytest.mark.slow
def test_compiled():
    """In a process of its own: what checks annotated shapes cannot be traced."""
    subprocess.run([sys.executable, "-W", "ignore", "-c", COMPILED], check=True)


@needed
def test_second_derivatives_are_the_references():
    layer = gw.GRU(I, H, backend="cpu")
    x = torch.randn(4, 2, I, requires_grad=True)

    def penalty(*, enabled: bool) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            y, _ = layer(x)
        (d,) = torch.autograd.grad(y.float().pow(2).sum(), x, create_graph=True)
        return torch.autograd.grad(d.pow(2).sum(), list(layer.parameters()))[1]

    assert_close(penalty(enabled=True), penalty(enabled=False), 0.1)


def test_the_layer_says_so():
    layer, x = gw.LSTM(I, H, backend="cpu"), torch.randn(T, B, I)
    assert str(layer.backend_for(x)) == "cpu: kernels are compiled from the equations"
    with torch.autocast("cpu", torch.bfloat16):
        told = str(layer.backend_for(x))
        assert ("products of bfloat16 under autocast" in told) == ROUNDS
        assert "bfloat16" not in str(layer.double().backend_for(x.double()))


def test_where_the_processor_has_none(monkeypatch):
    monkeypatch.setattr(mixed, "_least", lambda: None)
    with torch.autocast("cpu", torch.bfloat16):
        assert mixed.told(torch.zeros(1)).endswith("this processor has none of bfloat16")
