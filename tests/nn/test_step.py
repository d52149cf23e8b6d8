"""Single steps: T of them are the sequence, for every cell, and torch's cells for torch's equations."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import gatewright as gw
from cases import case_for, generator, sequence_inputs
from tolerances import TOLERANCE, assert_close

T, B, I, H = 6, 3, 4, 5


def each(x, t: int, time: int = 0):
    """The inputs of one step."""
    return tuple(i.select(time, t) for i in x) if isinstance(x, tuple) else x.select(time, t)


def of_input(x, change):
    return tuple(change(i) for i in x) if isinstance(x, tuple) else change(x)


def assert_states(found, expected) -> None:
    """The states are equal."""
    expected = expected if isinstance(expected, tuple) else (expected,)
    found = found if isinstance(found, tuple) else (found,)
    for mine, wanted in zip(found, expected, strict=True):
        assert_close(mine, wanted, 1e-10)


@pytest.mark.parametrize("options", [{}, {"batch_first": True}, {"num_layers": 3}, {"heads": 2}], ids=str)
@pytest.mark.parametrize("name", gw.cells)
def test_steps_are_the_sequence(name, options):
    case = case_for(gw.cells[name].graph, 4, 8)
    layer = case.layer(gw.cells[name], **options, dtype=torch.float64)
    x = sequence_inputs(case, T, B, generator(2))
    time = 1 if layer.batch_first else 0
    x = of_input(x, lambda i: i.transpose(0, 1)) if layer.batch_first else x
    expected, final = layer(x)
    state, outputs = None, []
    for t in range(T):
        y, state = layer.step(each(x, t, time), state)
        outputs.append(y)
    assert_close(torch.stack(outputs, time), expected, 1e-10)
    assert_states(state, final)


@pytest.mark.parametrize("name", gw.cells)
def test_steps_of_one_sequence_and_their_gradients(name):
    case = case_for(gw.cells[name].graph, 4, 8)
    layer = case.layer(gw.cells[name], dtype=torch.float64)
    x = of_input(sequence_inputs(case, T, B, generator(3)), lambda i: i[:, 0])
    expected, final = layer(x)
    state, outputs = None, []
    for t in range(T):
        y, state = layer.step(each(x, t), state)
        outputs.append(y)
    assert_close(torch.stack(outputs), expected, 1e-10)
    assert_states(state, final)
    weight = torch.randn_like(expected)
    whole = torch.autograd.grad((expected * weight).sum(), list(layer.parameters()))
    stepwise = torch.autograd.grad((torch.stack(outputs) * weight).sum(), list(layer.parameters()))
    for mine, wanted, (parameter, _) in zip(stepwise, whole, layer.named_parameters(), strict=True):
        assert_close(mine, wanted, 1e-10, parameter)


def test_a_step_goes_on_from_a_sequence():
    layer = gw.LSTM(I, H, 2, dtype=torch.float64)
    x = torch.randn(T, B, I, dtype=torch.float64)
    expected, final = layer(x)
    _, state = layer(x[:-1])
    y, state = layer.step(x[-1], state)
    assert_close(y, expected[-1], 1e-10)
    assert_states(state, final)


def test_the_state_of_a_cell_that_looks_back_has_its_inputs():
    layer = gw.Recurrent(gw.cells.qrnn.with_(window=3), I, H)
    x = torch.randn(T, B, I)
    _, state = layer.step(x[0])
    _, (c, past) = layer.step(x[1], state)
    assert c.shape == (1, B, H)
    assert torch.equal(past, x[:2])
    y, (c, past) = layer(x[2:], (c, past))
    assert_close(y, layer(x)[0][2:], 1e-5)
    assert torch.equal(past, x[-2:])


def test_step_takes_no_second_direction():
    with pytest.raises(ValueError, match="step: a layer with two directions sees a sequence's end first"):
        gw.GRU(I, H, bidirectional=True).step(torch.randn(B, I))


@pytest.mark.parametrize("name", ["mgu", "qrnn"])
@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        (
            torch.zeros(B, I + 1),
            ValueError,
            r"input: expected 4 features in the last dimension, got 5 \(shape \(3, 5\)\)",
        ),
        (
            torch.zeros(T, B, I),
            ValueError,
            r"input: expected 1 or 2 dimensions, \(features,\) for one sequence or \(B, ",
        ),
        (None, TypeError, "input: expected a tensor, got NoneType"),
        ((torch.zeros(B, I),) * 2, ValueError, r"input: expected a tuple of 1 tensors \(x\), got 2"),
        (
            torch.zeros(B, I, dtype=torch.float64),
            ValueError,
            "input: expected dtype torch.float32, as the weights have",
        ),
    ],
)
def test_bad_steps(name, given, kind, message):
    with pytest.raises(kind, match=message):
        gw.Recurrent(name, I, H).step(given)


def test_steps_of_several_inputs_have_one_layout():
    layer = gw.Recurrent("ea_lstm", (I, 2), H)
    with pytest.raises(
        ValueError, match=r"input: expected every input \(B, features\), or every one \(features,\), got"
    ):
        layer.step((torch.zeros(B, I), torch.zeros(2)))
    y, _ = layer.step([torch.zeros(B, I), torch.zeros(B, 2)])
    assert y.shape == (B, H)


# -- torch's cells -----------------------------------------------------------------------------------------

CELLS = {
    "LSTMCell": {},
    "GRUCell": {},
    "RNNCell": {},
    "RNNCell relu": {"nonlinearity": "relu"},
}


def results(cell: nn.Module, x: torch.Tensor, states, steps: int = 3) -> list[torch.Tensor]:
    """The states after some steps, and every gradient of them."""
    leaves = [x.clone().requires_grad_(), *(s.clone().requires_grad_() for s in states or ())]
    hx = None if states is None else (tuple(leaves[1:]) if len(states) > 1 else leaves[1])
    for _ in range(steps):
        hx = cell(leaves[0], hx)
    final = hx if isinstance(hx, tuple) else (hx,)
    g = generator(5)
    loss = sum((s * torch.randn(s.shape, generator=g, dtype=s.dtype)).sum() for s in final)
    return [*final, *torch.autograd.grad(loss, [*leaves, *cell.parameters()])]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("backend", ["reference", "vendor", "cpu", "auto"])
@pytest.mark.parametrize("name", CELLS)
def test_cells_are_torchs(name, backend, dtype):
    for bias in (True, False):
        options = {"bias": bias, "dtype": dtype} | CELLS[name]
        kind = name.split()[0]
        torch.manual_seed(1)
        theirs = getattr(nn, kind)(I, H, **options)
        torch.manual_seed(1)
        ours = getattr(gw, kind)(I, H, **options, backend=backend)
        assert list(ours.state_dict()) == list(theirs.state_dict())
        assert all(torch.equal(m, t) for m, t in zip(ours.parameters(), theirs.parameters(), strict=True))
        theirs.load_state_dict(ours.state_dict())
        ours.load_state_dict(theirs.state_dict())
        g = generator(6)
        states = tuple(torch.randn(B, H, generator=g, dtype=dtype) for _ in range(1 + (kind == "LSTMCell")))
        x = torch.randn(B, I, generator=g, dtype=dtype)
        for given, began in ((x, states), (x, None), (x[0], None), (x[0], tuple(s[0] for s in states))):
            expected = results(theirs, given, began)
            tolerance = TOLERANCE[dtype, backend.replace("auto", "vendor")]
            for mine, wanted in zip(results(ours, given, began), expected, strict=True):
                assert_close(mine, wanted, tolerance)


def test_cells_have_names_for_their_weights():
    cell = gw.LSTMCell(I, H)
    assert torch.equal(cell.weights()["U_f"], cell.weight_hh[H : 2 * H])
    assert cell.bias_ih is not None and gw.GRUCell(I, H, bias=False).bias_ih is None
    assert repr(gw.RNNCell(I, H, bias=False)) == "RNNCell(4, 5, bias=False)"


def test_a_computed_weight_of_a_cell_runs():
    cell = gw.GRUCell(I, H)
    x = torch.randn(B, I)
    expected = cell(x)
    nn.utils.parametrizations.weight_norm(cell, "weight_ih")
    assert_close(cell(x), expected, 1e-5)


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: gw.LSTMCell(0, H), ValueError, "input_size: expected at least 1, got 0"),
        (lambda: gw.LSTMCell(I, 2.5), TypeError, "hidden_size: expected a whole number, got 2.5"),
        (
            lambda: gw.RNNCell(I, H, nonlinearity="gelu"),
            ValueError,
            "nonlinearity: expected 'tanh' or 'relu', got 'gelu'",
        ),
        (lambda: gw.GRUCell(I, H, backend="fast"), ValueError, "backend: expected one of auto, cpu, reference, vendor"),
        (lambda: gw.GRUCell(I, H)(torch.zeros(B, 3)), ValueError, "input: expected 4 features in the last dimension"),
        (
            lambda: gw.GRUCell(I, H)(torch.zeros(B, I), torch.zeros(2, H)),
            ValueError,
            r"state h: expected shape \(3, 5\)",
        ),
        (
            lambda: gw.LSTMCell(I, H)(torch.zeros(B, I), torch.zeros(B, H)),
            TypeError,
            r"state: expected a tuple of 2 ten",
        ),
        (
            lambda: gw.LSTMCell(I, H)(torch.zeros(B, I), (torch.zeros(B, H),)),
            ValueError,
            r"state: expected 2 tensors \(h, c\), got 1",
        ),
        (
            lambda: gw.GRUCell(I, H)(torch.zeros(B, I), torch.zeros(B, H, dtype=torch.float64)),
            ValueError,
            "state h: expected dtype torch.float32, as the input has, got torch.float64",
        ),
    ],
)
def test_bad_cells(make, kind, message):
    with pytest.raises(kind, match=message):
        make()
