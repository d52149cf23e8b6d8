"""Learned initial states: where they are used, their gradients, on both backends."""

from __future__ import annotations

import copy
import math
import pickle
import subprocess
import sys

import pytest
import torch
from torch import Tensor

import gatewright as gw
from cases import case_for, generator, sequence_inputs
from tolerances import assert_close

T, B, I, H = 7, 4, 3, 5
LENGTHS = torch.tensor([3, 0, 7, 5])
RESET = torch.rand(T, B, generator=generator(2)) < 0.4
RESET[0] = torch.tensor([True, True, False, True])
CELLS = ("lstm", "gru", "lstmp", "layer_norm_lstm", "slstm", "qrnn")
SETTINGS = {
    "both": {"reset": RESET, "lengths": LENGTHS},
    "all": {"reset": RESET, "lengths": LENGTHS, "states": "all"},
}


def sample(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def tensors(found) -> list[Tensor]:
    return [found] if isinstance(found, Tensor) else [t for part in found for t in tensors(part)]


def randomise(layer):
    g = generator(5)
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(torch.randn(p.shape, generator=g, dtype=p.dtype) * 0.5)
    return layer


def made(name: str, backend: str, **options):
    case = case_for(gw.cells[name].graph, I, H)
    layer = case.layer(gw.cells[name], learned_state=True, backend=backend, dtype=torch.float64, **options)
    return case, randomise(layer)


def results(layer, x, hx=None, **given) -> dict[str, Tensor]:
    """Outputs, states and all gradients, for random cotangents."""
    torch.manual_seed(7)
    leaves = {f"d input {i}": t.requires_grad_() for i, t in enumerate(tensors(x))}
    leaves |= {f"d hx {i}": t.requires_grad_() for i, t in enumerate(tensors(hx) if hx is not None else ())}
    leaves |= {f"d {name}": p for name, p in layer.named_parameters()}
    outputs = tensors(layer(x, hx, **given))
    loss = torch.stack([(y * sample(*y.shape, seed=i)).sum() for i, y in enumerate(outputs)]).sum()
    grads = torch.autograd.grad(loss, list(leaves.values()), materialize_grads=True)
    return {f"output {i}": y for i, y in enumerate(outputs)} | dict(zip(leaves, grads, strict=True))


def same(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float = 1e-10) -> None:
    assert list(found) == list(expected)
    for name in expected:
        infinite = expected[name].isinf() & (found[name] == expected[name])  # a stabiliser before its first step
        assert_close(found[name].masked_fill(infinite, 0), expected[name].masked_fill(infinite, 0), tolerance, name)


# -- the kernels do what the reference does --------------------------------------------------------------------


@pytest.mark.parametrize("how", SETTINGS)
@pytest.mark.parametrize("name", CELLS)
def test_kernels_give_the_references_results(name, how):
    options = {"bidirectional": name != "qrnn"}
    case, ours = made(name, "cpu", **options)
    _, theirs = made(name, "reference", **options)
    x = sequence_inputs(case, T, B, generator())
    same(results(ours, x, **SETTINGS[how]), results(theirs, x, **SETTINGS[how]))


@pytest.mark.parametrize("name", ["lstm", pytest.param("gru", marks=pytest.mark.slow)])
def test_with_regularisers_layers_and_batch_first(name):
    options = {
        "num_layers": 2, "bidirectional": True, "batch_first": True, "zoneout": 0.2, "recurrent_dropout": 0.3,
        "weight_drop": 0.2,
    }  # fmt: skip
    _, ours = made(name, "cpu", **options)
    _, theirs = made(name, "reference", **options)
    x = sample(B, T, I)
    given = {"lengths": LENGTHS, "reset": RESET.T}
    same(results(ours, x, **given), results(theirs, x, **given))


def test_with_heads_and_a_passed_state():
    ours, theirs = (
        randomise(gw.Recurrent("peephole_lstm", I, 6, 2, heads=2, learned_state=True, backend=b, dtype=torch.float64))
        for b in ("cpu", "reference")
    )
    x, hx = sample(T, B, I), (sample(2, B, 6, seed=1), sample(2, B, 6, seed=2))
    same(results(ours, x, hx, reset=RESET), results(theirs, x, hx, reset=RESET))


@pytest.mark.slow
@pytest.mark.parametrize("name", gw.cells)
def test_every_cell(name):
    case, ours = made(name, "cpu", num_layers=1)
    _, theirs = made(name, "reference", num_layers=1)
    x = sequence_inputs(case, T, B, generator())
    same(results(ours, x, **SETTINGS["both"]), results(theirs, x, **SETTINGS["both"]))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("size", [(1, 40), (9, 33)], ids=str)
def test_many_units_and_threads(size, threads):
    batch, hidden = size
    torch.set_num_threads(threads)
    reset = torch.rand(T, batch, generator=generator(3)) < 0.3
    ours, theirs = (
        randomise(gw.Recurrent("gru", I, hidden, learned_state=True, backend=b, dtype=torch.float64))
        for b in ("cpu", "reference")
    )
    x = sample(T, batch, I)
    same(results(ours, x, reset=reset), results(theirs, x, reset=reset))


# -- what it means ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_an_episode_that_a_reset_starts_is_a_sequence_of_its_own(backend):
    _, layer = made("lstm", backend)
    reset = torch.zeros(T, 1, dtype=torch.bool)
    reset[4] = True
    x = sample(T, 1, I)
    whole = results(layer, x, reset=reset)
    torch.manual_seed(7)
    parts = [layer(x[:4]), layer(x[4:])]
    assert_close(whole["output 0"], torch.cat([y for y, _ in parts]), 1e-12)
    for found, state in zip(("output 1", "output 2"), parts[1][1], strict=True):
        assert_close(whole[found], state, 1e-12)
    loss = (torch.cat([y for y, _ in parts]) * sample(T, 1, H)).sum()
    loss = loss + sum((s * sample(*s.shape, seed=i)).sum() for i, s in enumerate(parts[1][1], 1))
    for name, grad in zip(("h_0", "c_0"), torch.autograd.grad(loss, [layer.h_0, layer.c_0]), strict=True):
        assert_close(whole[f"d {name}"], grad, 1e-12, name)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_resets_go_back_to_the_row_of_their_layer_and_direction(backend):
    _, layer = made("gru", backend, num_layers=2, bidirectional=True)
    x = sample(3, 1, I)
    y, _ = layer(x, reset=torch.ones(3, 1, dtype=torch.bool))
    assert_close(y, layer(x.transpose(0, 1))[0].transpose(0, 1), 1e-12)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_a_passed_state_survives_unless_it_is_reset(backend):
    _, layer = made("gru", backend)
    x, hx = sample(1, B, I), sample(1, B, H, seed=1).requires_grad_()
    reset = torch.tensor([[True, False, False, True]])
    y, _ = layer(x, hx, reset=reset)
    mixed = torch.where(reset[0].unsqueeze(-1), layer.h_0[0], hx[0])
    expected, _ = layer(x, mixed.unsqueeze(0))
    assert_close(y, expected, 1e-12)
    grads = torch.autograd.grad(y.sum(), [hx, layer.h_0])
    assert_close(grads[0], torch.autograd.grad(expected.sum(), [hx], retain_graph=True)[0], 1e-12)
    assert not grads[0][0, 0].any() and grads[0][0, 1].all()
    assert_close(grads[1], torch.autograd.grad(expected.sum(), [layer.h_0])[0], 1e-12)
    plain = torch.autograd.grad(layer(x, hx)[0].sum(), layer.h_0, allow_unused=True)[0]
    assert plain is None, "a passed state without resets leaves nothing to learn from"


def test_rows_are_layers_and_directions():
    layer = randomise(gw.LSTM(I, H, 2, bidirectional=True, learned_state=True, dtype=torch.float64))
    assert layer.h_0.shape == layer.c_0.shape == (4, H)
    x = sample(T, B, I)
    hx = tuple(p.unsqueeze(1).expand(4, B, H) for p in (layer.h_0, layer.c_0))
    for mine, passed in zip(tensors(layer(x)), tensors(layer(x, hx)), strict=True):
        assert torch.equal(mine, passed)
    y, (h, _) = layer(x, lengths=[0, T, 1, 2])
    assert torch.equal(h[:, 0], layer.h_0) and not y[:, 0].any()


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn"])
def test_drop_ins_and_their_vendor(name):
    module = {"lstm": gw.LSTM, "gru": gw.GRU, "rnn": gw.RNN}[name]
    found = []
    for backend in ("vendor", "reference", "cpu"):
        layer = randomise(module(I, H, 2, learned_state=True, backend=backend, dtype=torch.float64))
        found.append(results(layer, sample(T, B, I), lengths=LENGTHS))
    same(found[0], found[1])
    same(found[2], found[1])
    packed = torch.nn.utils.rnn.pack_padded_sequence(sample(T, 3, I), torch.tensor([7, 2, 4]), enforce_sorted=False)
    _, final = layer(packed)
    expected = layer(sample(T, 3, I), lengths=[7, 2, 4])[1]
    for mine, theirs in zip(tensors(final), tensors(expected), strict=True):
        assert_close(mine, theirs, 1e-12)


def test_drop_ins_begin_as_torchs_do():
    torch.manual_seed(3)
    ours = gw.LSTM(I, H, 2, learned_state=True)
    torch.manual_seed(3)
    theirs = torch.nn.LSTM(I, H, 2)
    for name, weight in theirs.named_parameters():
        assert torch.equal(getattr(ours, name), weight)
    assert not ours.h_0.any() and not ours.c_0.any()
    x = torch.randn(T, B, I)
    assert_close(ours(x)[0], theirs(x)[0], 1e-5)


# -- single steps ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["cpu", "reference", "auto"])
def test_steps_and_streams_begin_there(backend):
    layer = randomise(gw.Recurrent("lstm", I, H, 2, learned_state=True, backend=backend, dtype=torch.float64))
    x = sample(T, B, I)
    expected, _ = layer(x)
    state, stream = None, gw.Stream(layer)
    with torch.no_grad():
        for t in range(T):
            y, state = layer.step(x[t], state)
            assert_close(y, expected[t], 1e-12)
            assert_close(stream(x[t]), expected[t], 1e-12)
        stream.reset()
        assert_close(stream(x[0]), expected[0], 1e-12)
        layer.h_0.add_(1.0)
        stream.reset()
        assert_close(stream(x[0]), layer(x)[0][0], 1e-12)


def test_a_stream_with_learned_states_takes_the_fast_way():
    layer = gw.Recurrent("gru", I, H, learned_state=True)
    with torch.no_grad():
        _, state = layer.step(torch.randn(B, I))
        layer.step(torch.randn(B, I), state)
    assert layer._steps._kept, "single steps have been prepared"


# -- what a module must bear -----------------------------------------------------------------------------------


def test_state_dict_round_trip_copies_and_dtypes():
    layer = randomise(gw.Recurrent("peephole_lstm", I, H, bidirectional=True, learned_state=True))
    assert {"h_0", "c_0"} < set(layer.state_dict())
    other = gw.Recurrent("peephole_lstm", I, H, bidirectional=True, learned_state=True)
    other.load_state_dict(layer.state_dict())
    x = torch.randn(T, B, I)
    for again in (other, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(again(x, reset=RESET)[0], layer(x, reset=RESET)[0])
    assert layer.double().h_0.dtype == torch.float64
    with pytest.raises(RuntimeError, match=r"Unexpected key\(s\) in state_dict: .*h_0"):
        gw.Recurrent("peephole_lstm", I, H, bidirectional=True).load_state_dict(layer.state_dict())
    layer.reset_parameters()
    assert not layer.h_0.any() and not layer.c_0.any()


def test_only_some_states():
    layer = gw.Recurrent("lstm", I, H, learned_state=("c",))
    assert layer.learned == ("c",) and not hasattr(layer, "h_0")
    assert "learned_state=('c',)" in repr(layer) and "learned_state=True" in repr(gw.GRU(I, H, learned_state=True))
    assert "learned" not in repr(gw.GRU(I, H))


def test_it_begins_where_the_cell_begins_and_infinity_stays():
    @gw.cell(initial={"n": 0.5, "m": -math.inf})
    def cell(x, h, n, m):
        m = gw.maximum(m, gw.affine(x, name="m"))
        n = gw.affine(h, name="n") * gw.sigmoid(n)
        h = gw.tanh(gw.affine(x, n, name="h") + m)
        return h, n, m

    layer = gw.Recurrent(cell, I, H, learned_state=True)
    assert layer.learned == ("h", "n")
    assert (layer.n_0 == 0.5).all() and not layer.h_0.any()
    _, (_, _, m) = layer(torch.randn(T, B, I), lengths=[0] * B)
    assert (m == -math.inf).all()


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        (("d",), ValueError, r"learned_state: there is no state 'd'.*\(there are h, c, n, m\)"),
        (("m",), ValueError, "learned_state: expected states that begin at a finite value, got m"),
        ("h", TypeError, "learned_state: expected True, False or names of states"),
        ((1,), TypeError, "learned_state: expected True, False or names of states"),
        (1, TypeError, "learned_state: expected True, False or names of states"),
    ],
)
def test_bad_arguments(asked, error, message):
    with pytest.raises(error, match=message):
        gw.Recurrent("slstm", I, H, learned_state=asked)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_second_derivatives_and_functional_calls(backend):
    _, layer = made("lstm", backend)
    x = sample(T, B, I)

    def loss(h_0, c_0):
        own = dict(layer.named_parameters()) | {"h_0": h_0, "c_0": c_0}
        return torch.func.functional_call(layer, own, (x,), {"reset": RESET})[0].pow(2).sum()

    start = (layer.h_0.detach().clone().requires_grad_(), layer.c_0.detach().clone().requires_grad_())
    grads = torch.func.grad(loss, (0, 1))(*start)
    expected = torch.autograd.grad(loss(*start), start, create_graph=True)
    for mine, theirs in zip(grads, expected, strict=True):
        assert_close(mine, theirs, 1e-12)
    assert torch.autograd.gradcheck(loss, start)
    assert torch.autograd.gradgradcheck(loss, start)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_what_a_reset_drops_reaches_nothing(backend):
    _, layer = made("lstm", backend)
    hx = tuple(torch.full((1, B, H), math.nan, dtype=torch.float64, requires_grad=True) for _ in "hc")
    y, _ = layer(sample(T, B, I), hx, reset=torch.arange(T).unsqueeze(-1).expand(T, B) == 0)
    y.sum().backward()
    assert torch.isfinite(y).all() and not hx[0].grad.any() and not hx[1].grad.any()
    assert all(torch.isfinite(p.grad).all() for p in layer.parameters())


COMPILED = """
import torch, gatewright as gw

layer = gw.Recurrent("gru", 3, 5, 2, learned_state=True)
torch.nn.init.normal_(layer.h_0)
program = torch.compile(lambda x, reset: layer(x, reset=reset)[0], fullgraph=True, backend="aot_eager")
x, reset = torch.randn(7, 4, 3), torch.rand(7, 4) < 0.3
found = [torch.autograd.grad(y.sum(), layer.h_0)[0] for y in (program(x, reset), layer(x, reset=reset)[0])]
torch.testing.assert_close(*found)
"""


@pytest.mark.slow
def test_compiled():
    """In a process of its own, since Dynamo cannot look through the checks of types that tests put everywhere."""
    subprocess.run([sys.executable, "-c", COMPILED], check=True)


def test_an_ensemble_by_vmap():
    _, layer = made("gru", "cpu")
    x, starts = sample(T, B, I), sample(3, 1, H, seed=1)

    def run(h_0):
        return torch.func.functional_call(layer, {"h_0": h_0}, (x,), {"reset": RESET})[0]

    for mine, start in zip(torch.func.vmap(run)(starts), starts, strict=True):
        assert_close(mine, run(start), 1e-12)
    slopes = torch.func.vmap(torch.func.grad(lambda h_0: run(h_0).pow(2).sum()))(starts)
    for mine, start in zip(slopes, starts, strict=True):
        assert_close(mine, torch.func.grad(lambda h_0: run(h_0).pow(2).sum())(start), 1e-12)
