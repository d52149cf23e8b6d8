"""`recompute=`: the same results and gradients in less memory, on both backends."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap

import gatewright as gw
from cases import generator
from gatewright.backends import by_chunks
from tolerances import assert_close

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.jit.script.* is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning"),
]

T, B, I, H = 11, 4, 3, 5
LENGTHS = [11, 4, 0, 8]
BACKENDS = ("cpu", "reference")
ROOT = Path(__file__).parents[2]
EVERYTHING = {"recurrent_dropout": 0.3, "zoneout": 0.2, "weight_drop": 0.3}


def layer_of(cell: str = "peephole_lstm", *sizes: int, **options) -> gw.Recurrent:
    torch.manual_seed(3)
    return gw.Recurrent(cell, *(sizes or (I, H)), **({"dtype": torch.float64} | options))


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def results(layer: gw.Recurrent, x: Tensor, hx: Sequence[Tensor] = (), /, **given) -> list[Tensor]:
    """Outputs, states and the gradients of everything, with random cotangents."""
    x = x.clone().requires_grad_()
    torch.manual_seed(7)
    if not hx:
        rows = layer.num_layers * layer.directions
        hx = tuple(numbers(rows, B, n, seed=k).requires_grad_() for k, n in enumerate(layer.state_sizes.values()))
    y, final = layer(x, tuple(hx) if len(hx) > 1 else next(iter(hx)), **given)
    found = [y, *(final if isinstance(final, tuple) else (final,))]
    loss = sum(((t * numbers(*t.shape, seed=9 + k)).sum() for k, t in enumerate(found)), torch.zeros(()))
    grads = torch.autograd.grad(loss, [x, *hx, *layer.parameters()], materialize_grads=True)
    return [t.detach() for t in (*found, *grads)]


def assert_same(found: list[Tensor], expected: list[Tensor], tolerance: float = 1e-10) -> None:
    for k, (a, b) in enumerate(zip(found, expected, strict=True)):
        assert_close(a, b, tolerance, f"result {k}")


# -- the same meaning --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("recompute", [True, 1, 4, 11, 100])
def test_the_same_as_when_all_is_saved(backend, recompute, monkeypatch):
    monkeypatch.setattr("gatewright.backends.cpu.recompute.ROWS", 1)
    options = {"num_layers": 2, "bidirectional": True, "batch_first": True}
    layer = layer_of(**options, backend=backend, recompute=recompute)
    plain = layer_of(**options, backend="reference")
    given = {"lengths": LENGTHS, "reset": torch.rand(B, T, generator=generator(5)) < 0.2}
    assert_same(results(layer, numbers(B, T, I), **given), results(plain, numbers(B, T, I), **given))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_masks_go_on_across_chunks(backend, bidirectional):
    options = EVERYTHING | {"bidirectional": bidirectional}
    layer = layer_of("lstm", **options, backend=backend, recompute=3)
    plain = layer_of("lstm", **options, backend="reference")
    for given in ({}, {"lengths": LENGTHS}):
        assert_same(results(layer, numbers(T, B, I), **given), results(plain, numbers(T, B, I), **given))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("cell", ["qrnn", "slstm"])
def test_previous_inputs_resets_and_every_state(backend, cell):
    layer, plain = layer_of(cell, backend=backend, recompute=3), layer_of(cell, backend="reference")
    reset = torch.rand(T, B, generator=generator(6)) < 0.3
    for given in ({"reset": reset}, {"reset": reset, "lengths": LENGTHS, "states": "all"}):
        hx = tuple(s.requires_grad_() for s in torch.full((len(layer.state_sizes), 1, B, H), 0.5).double())
        assert_same(results(layer, numbers(T, B, I), hx, **given), results(plain, numbers(T, B, I), hx, **given))


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_state_and_the_inputs_before_go_on_to_the_next_call(backend):
    layer, plain = layer_of("qrnn", backend=backend, recompute=2), layer_of("qrnn", backend="reference")
    x = numbers(T, B, I)
    whole, _ = plain(x)
    first, state = layer(x[:5])
    second, _ = layer(x[5:], state)
    assert_close(torch.cat([first, second]), whole, 1e-10)


@pytest.mark.parametrize("backend", BACKENDS)
def test_padding_reaches_nothing(backend):
    """A NaN behind an end, also where a whole chunk lies behind all ends."""
    layer = layer_of("slstm", backend=backend, recompute=2, bidirectional=True)
    x, lengths = numbers(T, B, I), [4, 3, 0, 1]
    hx = torch.full((4, 2, B, H), 0.5).double().requires_grad_().unbind()
    clean = results(layer, x, hx, lengths=lengths)
    sick = x.clone()
    for b, length in enumerate(lengths):
        sick[length:, b] = float("nan")
    found = results(layer, sick, hx, lengths=lengths)
    for a, b in zip(found, clean, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("drop_in", [gw.LSTM, gw.GRU, gw.RNN])
def test_drop_ins(drop_in):
    theirs = getattr(torch.nn, drop_in.__name__)(I, H, 2, bidirectional=True, dtype=torch.float64)
    ours = drop_in(I, H, 2, bidirectional=True, dtype=torch.float64, recompute=4)
    ours.load_state_dict(theirs.state_dict())
    x = numbers(T, B, I)
    mine, expected = (torch.autograd.grad(m(x)[0].sin().sum(), list(m.parameters())) for m in (ours, theirs))
    assert_same(list(mine), list(expected))


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_steps(backend):
    layer = layer_of(backend=backend, recompute=3)
    y, (h, _) = layer(numbers(0, B, I))
    assert y.shape == (0, B, H) and not h.any()


# -- settings ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [0, -3])
def test_a_number_of_steps_is_positive(wrong):
    with pytest.raises(ValueError, match=f"recompute: expected at least 1, got {wrong}"):
        layer_of(recompute=wrong)


@pytest.mark.parametrize("wrong", [0.5, "all", [3]])
def test_what_recompute_may_be(wrong):
    with pytest.raises(TypeError, match=r"recompute: expected None .* True .* or a number of steps, got"):
        layer_of(recompute=wrong)


def test_it_is_shown_and_kept():
    layer = layer_of(recompute=4)
    assert "recompute=4" in repr(layer) and "recompute" not in repr(layer_of())
    assert layer.recompute == 4 and layer_of(recompute=True).recompute is True
    assert copy.deepcopy(layer).recompute == 4
    assert layer_of(recompute=False).kept_every is None


def test_torchs_kernels_save_everything():
    with pytest.raises(ValueError, match="torch's kernels save all that backward needs"):
        gw.LSTM(I, H, backend="vendor", recompute=True)(torch.zeros(T, B, I))
    assert gw.LSTM(I, H, recompute=True).backend_for(torch.zeros(T, B, I)).name == "cpu"


# -- derivatives of every kind -----------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_second_derivatives(backend):
    layer, plain = layer_of("gru", 2, 3, backend=backend, recompute=2), layer_of("gru", 2, 3, backend="reference")
    x = numbers(5, 2, 2).requires_grad_()

    def second(layer: gw.Recurrent) -> list[Tensor]:
        (dx,) = torch.autograd.grad(layer(x)[0].pow(2).sum(), x, create_graph=True)
        return list(torch.autograd.grad(dx.sin().sum(), [x, *layer.parameters()]))

    assert_same(second(layer), second(plain))


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_of_each_sample(backend):
    layer, plain = layer_of("lstm", backend=backend, recompute=4), layer_of("lstm", backend="reference")
    parameters, xs = dict(layer.named_parameters()), numbers(2, T, 1, I)

    def loss(parameters, x, layer):
        return functional_call(layer, parameters, (x,))[0].pow(2).sum()

    mine = vmap(grad(loss), in_dims=(None, 0, None))(parameters, xs, layer)
    expected = vmap(grad(loss), in_dims=(None, 0, None))(parameters, xs, plain)
    assert_same(list(mine.values()), list(expected.values()))


@pytest.mark.slow
@pytest.mark.parametrize(("compiler", "dynamic"), [("aot_eager", False), ("inductor", True)])
def test_compiled(compiler, dynamic):
    """In processes of their own: the tests' checks of types cannot be traced. With dynamic, √T is a symbol's."""
    code = (
        "import torch, gatewright as gw\n"
        "from gatewright.backends.cpu import recompute\n"
        "recompute.ROWS = 1\n"
        "for wished in (5, True):\n"
        "    layer = gw.LSTM(3, 4, recompute=wished)\n"
        f"    program = torch.compile(layer, fullgraph=True, backend={compiler!r}, dynamic={dynamic})\n"
        "    for T in (21, 30):\n"
        "        x = torch.randn(T, 2, 3, requires_grad=True)\n"
        "        leaves = [x, *layer.parameters()]\n"
        "        pair = [torch.autograd.grad(f(x)[0].sin().sum(), leaves) for f in (program, layer)]\n"
        "        for a, b in zip(*pair): torch.testing.assert_close(a, b)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# -- memory ------------------------------------------------------------------------------------------------------


def saved_elements(layer: gw.Recurrent, x: Tensor) -> int:
    """Elements that the graph of a call holds beside the input, the weights and the output."""
    own = {t.untyped_storage().data_ptr() for t in (x, *layer.parameters())}
    kept: dict[int, int] = {}

    def keep(t: Tensor) -> Tensor:
        kept[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes() // t.element_size()
        return t

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        y, _ = layer(x)
    own.add(y.untyped_storage().data_ptr())
    return sum(n for storage, n in kept.items() if storage not in own)


def test_few_states_are_saved():
    x = numbers(3000, 1, I)
    all_of_it, few = (saved_elements(layer_of(recompute=r), x) for r in (None, 100))
    assert few < 30 * 2 * H + 100 < all_of_it / 20


def test_the_reference_too_keeps_states_alone(monkeypatch):
    counts = []
    for recompute in (None, 5):
        layer, seen = layer_of(backend="reference", recompute=recompute), []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, seen=seen: seen.append(t.numel()) or t, lambda t: t):
            layer(numbers(50, 1, I))
        counts.append(sum(seen))
    assert counts[1] * 10 < counts[0]


def test_without_gradients_nothing_is_computed_twice(monkeypatch):
    monkeypatch.setattr(by_chunks, "checkpoint", None)
    layer = layer_of(backend="reference", recompute=5)
    with torch.no_grad():
        layer(numbers(T, B, I))


@pytest.mark.parametrize("wished", ["true", pytest.param("512", marks=pytest.mark.slow)])
def test_the_peak_of_a_long_sequence(wished):
    """Beside the input, the output and their gradients, as a process of its own measures it; all saved is 120 MiB."""
    script = ROOT / "benchmarks" / "long_run.py"
    told = subprocess.run(
        [sys.executable, str(script), "100000", wished, "1"], stdout=subprocess.PIPE, check=True, text=True
    )
    assert json.loads(told.stdout)["beyond_kib"] < 8 * 1024
